//! Statements of readers of the store endpoint: what runs is what was checked.

use auscult_store::endpoint::check::{Names, check_on_this_stack};
use std::collections::BTreeSet;

/// Functions and statements that no reader may reach, as the engine would read them.
const REFUSED: &[&str] =
    &["file", "url", "executable", "remote", "s3", "sleep", "hostname", "outfile", "infile", "apply"];

fn names() -> Names {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let mut functions = set(REFUSED);
    functions.extend(set(&["count", "quantile", "arraymap", "numbers", "merge", "view", "dictget"]));
    Names { database: "auscult".to_owned(), tables: set(&["calls", "streams"]), functions }
}

/// A statement that passes is printed with every name and text in quotes, once, and passes again as it is.
pub fn statement(bytes: &[u8]) {
    let Ok(sql) = std::str::from_utf8(bytes) else { return };
    let names = names();
    let parameters = [("x".to_owned(), "1".to_owned())];
    let Ok(checked) = check_on_this_stack(sql, &parameters, &names) else { return };
    let bare = outside_quotes(&checked.sql);
    assert!(
        !bare.contains([';', '{', '#']) && !bare.contains("--") && !bare.contains("/*"),
        "{sql:?}: {}",
        checked.sql
    );
    for word in bare.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()) {
        assert!(!REFUSED.iter().any(|refused| word.eq_ignore_ascii_case(refused)), "{sql:?}: {}", checked.sql);
    }
    // Tables of the engine's own are answered by fixed subqueries, which a reader may not write.
    if bare.contains("system.") {
        return;
    }
    match check_on_this_stack(&checked.sql, &[], &names) {
        Ok(again) => assert_eq!(again.sql, checked.sql, "{sql:?}"),
        Err(refused) => panic!("{sql:?} became {}, which is refused: {refused}", checked.sql),
    }
}

/// The text without what stands in quotes of any kind. A quote that is not closed takes the rest.
fn outside_quotes(sql: &str) -> String {
    let mut out = String::new();
    let mut chars = sql.chars();
    while let Some(c) = chars.next() {
        if !matches!(c, '\'' | '"' | '`') {
            out.push(c);
            continue;
        }
        out.push(' ');
        loop {
            match chars.next() {
                Some('\\') => _ = chars.next(),
                Some(end) if end == c => break,
                Some(_) => {}
                None => panic!("a quote is not closed in {sql}"),
            }
        }
    }
    out
}
