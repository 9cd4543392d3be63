//! The check without an engine: what is printed, what is refused, where it ends.

use super::literal::{quote, unescape};
use super::*;
use proptest::prelude::*;

fn names() -> Names {
    let set = |words: &str| words.split_whitespace().map(str::to_owned).collect();
    Names {
        database: "auscult".to_owned(),
        tables: set("calls streams stream_intervals histogram_buckets"),
        functions: set(
            "file url view sleep hostname tostring arraymap count displayname numbers remote executable throwif",
        ),
    }
}

fn printed(sql: &str) -> String {
    let parameters = [("n", "5"), ("text", "it\\'s \\\\ \\t"), ("list", "['a','b\\'c']"), ("none", "\\N")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    check(sql, &parameters, &names()).unwrap_or_else(|e| panic!("{sql}: {e}")).sql
}

fn refused(sql: &str) -> Refused {
    match check(sql, &[], &names()) {
        Ok(checked) => panic!("{sql} runs as {}", checked.sql),
        Err(refused) => refused,
    }
}

#[test]
fn statements_are_printed_in_one_form() {
    for (sql, expected) in [
        ("select 1", "SELECT 1"),
        ("SELECT 1 -- x\n;;", "SELECT 1"),
        ("SELECT Count(*), countIf(1) FROM calls c", "SELECT count(), countIf(1) FROM `auscult`.`calls` AS `c`"),
        ("SELECT 1+2*3 AS a", "SELECT (1 + (2 * 3)) AS `a`"),
        ("SELECT - -1, NOT 1 = 2", "SELECT (-(-1)), (NOT (1 = 2))"),
        ("SELECT 'a\\'b''c\\\\', '\\d\\x41'", "SELECT 'a\\'b\\'c\\\\', '\\\\dA'"),
        (
            "SELECT a[1], t.1, m['k'].2",
            "SELECT arrayElement(`a`, 1), tupleElement(`t`, 1), tupleElement(arrayElement(`m`, 'k'), 2)",
        ),
        ("SELECT a IN (1), c.a NOT IN (1)", "SELECT (`a` IN (1)), (identity(`c`.`a`) NOT IN (1))"),
        ("SELECT +1, + NOT a", "SELECT 1, (NOT `a`)"),
        ("SELECT a OR b OR c AND d", "SELECT (`a` OR `b` OR (`c` AND `d`))"),
        ("WITH 1 AS a SELECT a UNION ALL SELECT 2", "(WITH 1 AS `a` SELECT `a`) UNION ALL (WITH 1 AS `a` SELECT 2)"),
        (
            "WITH calls AS (SELECT 1 AS x) SELECT x FROM calls",
            "WITH `calls` AS (SELECT 1 AS `x`) SELECT `x` FROM `calls`",
        ),
        ("SELECT 1 UNION ALL SELECT 2 EXCEPT SELECT 3", "((SELECT 1) UNION ALL (SELECT 2)) EXCEPT (SELECT 3)"),
        (
            "SELECT {n:UInt8}, {list:Array(String)}",
            "SELECT CAST('5', 'UInt8'), CAST('[\\'a\\',\\'b\\\\\\'c\\']', 'Array(String)')",
        ),
        (
            "SELECT {text:String}, {none:Nullable(String)}",
            "SELECT CAST('it\\'s \\\\ \t', 'String'), CAST(NULL, 'Nullable(String)')",
        ),
        ("SELECT displayName()", "SELECT 'auscult' AS `displayName()`"),
        ("SELECT x::DateTime('UTC')", "SELECT CAST(`x`, 'DateTime(\\'UTC\\')')"),
        ("SELECT inf, `inf`", "SELECT inf, `inf`"),
        ("DESC auscult.calls", "DESCRIBE TABLE `auscult`.`calls`"),
    ] {
        assert_eq!(printed(sql), expected, "{sql}");
    }
}

#[test]
fn what_reaches_beyond_the_store_is_refused() {
    for sql in [
        "SELECT file('/p')",
        "SELECT FILE('/p')",
        "SELECT `file`('/p')",
        "SELECT \"file\"('/p')",
        "SELECT system.file('/p')",
        "SELECT arrayMap(file, ['/p'])",
        "SELECT arrayMap(FiLe, ['/p'])",
        "SELECT arrayMap(`file`, ['/p'])",
        "SELECT arrayMap((file), ['/p'])",
        "SELECT arrayMap(toString, ['/p'])",
        "SELECT CAST(1)",
        "SELECT arrayMap(a.file, ['/p'])",
        "SELECT arrayMap(x -> file(x), ['/p'])",
        "SELECT 1 AS file",
        "WITH 1 AS file SELECT 1",
        "WITH file AS (SELECT 1) SELECT 1",
        "WITH x -> file(x) AS f SELECT f('/p')",
        "SELECT 1 FROM calls AS file",
        "SELECT arrayMap(file -> 1, [1])",
        "SELECT * APPLY(file) FROM calls",
        "SELECT * APPLY file FROM calls",
        "SELECT * APPLY(x -> file(x)) FROM calls",
        "SELECT * REPLACE(file('/p') AS trunk) FROM calls",
        "SELECT * EXCEPT (file) FROM calls",
        "SELECT COLUMNS('.*') FROM calls",
        "SELECT * FROM file('/p')",
        "SELECT * FROM view(SELECT 1)",
        "SELECT * FROM numbers(1)",
        "SELECT view(SELECT file('/p'))",
        "SELECT quantile(file('/p'))(1)",
        "SELECT quantile(trunk)(1) FROM calls",
        "SELECT 1 IN calls",
        "SELECT 1 IN (calls)",
        "SELECT 1 IN (1, calls)",
        "SELECT 1 IN (toString(calls))",
        "SELECT 1 IN file('/p')",
        "SELECT in(1, calls)",
        "SELECT * FROM secret.t",
        "SELECT * FROM system.one",
        "SELECT * FROM system.processes",
        "SELECT * FROM information_schema.tables",
        "SELECT secret.t.x FROM secret.t",
        "SELECT 1 FROM calls JOIN secret.t USING (x)",
        "SELECT (SELECT x FROM secret.t)",
        "SELECT 1 INTO OUTFILE '/p'",
        "SELECT 1 INTO t",
        "SELECT 1 FORMAT Template",
        "SELECT 1 SETTINGS format_template_row = '/p'",
        "SELECT 1 SETTINGS max_threads = 9999",
        "SELECT (SELECT 1 SETTINGS max_threads = 1)",
        "SELECT 1; SELECT 2",
        "SELECT 1;SELECT 2;",
        "EXPLAIN SELECT 1",
        "INSERT INTO calls VALUES (1)",
        "WITH a AS (INSERT INTO calls VALUES (1)) SELECT 1",
        "SET readonly = 0",
        "DESCRIBE TABLE file('/p')",
        "DESCRIBE TABLE view(SELECT 1)",
        "DESCRIBE (SELECT file('/p'))",
        "EXISTS DATABASE secret",
        "SHOW TABLES FROM secret",
        "SHOW CREATE USER x",
        "SELECT toTimeZone(now(), 'file:/p')",
        "SELECT toTimeZone(now(), concat('file', ':/p'))",
        "SELECT addDays(now(), 1, concat('file', ':/p'))",
        "WITH 'file:/p' AS z SELECT toTimeZone(now(), z)",
        "SELECT formatDateTime(now(), '%Y', reverse('p/:elif'))",
        "SELECT now(reverse('p/:elif'))",
        "SELECT CAST(now() AS DateTime('file:/p'))",
        "SELECT CAST(now(), 'DateTime(\\'file:/p\\')')",
        "SELECT CAST(now(), concat('DateTime', ''))",
        "SELECT now()::DateTime64(3, 'file:/p')",
        "SELECT {x:Identifier}",
        "SELECT * FROM {x:Identifier}",
        "SELECT {n:DateTime('file:/p')}",
        "SELECT $$x$$",
        "SELECT @@version",
        "SELECT 1 FROM calls FINAL",
        "SELECT 1 FROM calls ORDER BY 1 COLLATE 'x'",
        "SELECT 1\0",
        "SELECT \u{2018}x\u{2019}",
        "SELECT 'x\\",
        "SELECT 'x\\'",
        "SELECT '\\xff'",
        "",
        ";",
        "/* */",
    ] {
        let text = refused(sql).text;
        assert!(!text.contains('\n') && !text.is_empty(), "{sql}: {text}");
    }
}

#[test]
fn a_statement_is_bounded_in_length_depth_and_size() {
    let deep = |open: &str, close: &str, n: usize| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
    for (open, close) in [("(", ")"), ("[", "]"), ("abs(", ")"), ("(SELECT ", ")"), ("CAST(", ", 'UInt8')")] {
        printed(&deep(open, close, 20));
        assert_eq!(refused(&deep(open, close, MAX_BRACKETS + 1)).reason, Reason::TooLarge, "{open}");
    }
    // Chains that the parser builds without recursion; AND and UNION are walked the same way.
    let chain = |operand: &str, n: usize| format!("SELECT 1{}", operand.repeat(n));
    printed(&chain(" OR 1", 14_000));
    printed(&chain(" UNION ALL SELECT 1", 4_000));
    assert_eq!(refused(&chain(" + 1", 14_000)).reason, Reason::TooLarge);
    assert_eq!(refused(&chain("::UInt8", 9_000)).reason, Reason::TooLarge);
    assert_eq!(refused(&chain(" + 1", MAX_TOKENS)).reason, Reason::TooLarge);
    for prefix in ["NOT ", "- ", "CASE WHEN ", "x -> "] {
        refused(&format!("SELECT {}1", prefix.repeat(2000)));
    }
    let long = |n: usize| format!("SELECT '{}'", "x".repeat(n));
    printed(&long(MAX_BYTES - 9));
    assert_eq!(refused(&long(MAX_BYTES)).reason, Reason::TooLarge);
    // A WITH clause is repeated for each operand of a union.
    let clause = "x".repeat(20_000);
    let many = format!("WITH '{clause}' AS a SELECT 1{}", " UNION ALL SELECT 1".repeat(500));
    assert_eq!(refused(&many).reason, Reason::TooLarge);
}

#[test]
fn settings_and_formats_are_taken_by_list() {
    let checked =
        check("SELECT 1 SETTINGS max_threads = 2, readonly = 0, join_use_nulls = true FORMAT json", &[], &names());
    let checked = checked.unwrap();
    let settings = [("max_threads", "2"), ("join_use_nulls", "1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!((checked.settings.as_slice(), checked.format), (settings.as_slice(), Some("JSON")));
    for (name, value) in [
        ("max_threads", "-1"),
        ("max_threads", "1 "),
        ("session_timezone", "file:/p"),
        ("session_timezone", "../p"),
        ("format_schema", "x"),
        ("additional_table_filters", "{}"),
        ("MAX_THREADS", "1"),
    ] {
        assert_eq!(settings::setting(name, value).unwrap_err().reason, Reason::Setting, "{name}={value}");
    }
    assert!(settings::format("Template").is_err() && settings::format("CapnProto").is_err());
}

proptest! {
    #[test]
    fn a_text_survives_its_literal(chars in prop::collection::vec(prop_oneof![any::<char>(), prop::char::range('\0', '\u{9f}')], 0..40)) {
        let text: String = chars.into_iter().collect();
        let mut literal = String::new();
        quote(&text, &mut literal);
        let inside = &literal[1..literal.len() - 1];
        prop_assert_eq!(unescape(inside), Some(text));
        // The printed statement is read once more as it is.
        prop_assert!(!literal.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')), "{literal:?}");
    }
}

#[test]
fn what_grows_with_the_product_of_lengths_is_bounded() {
    for sql in [
        "SELECT positionCaseInsensitiveUTF8(call_id, concat(repeat('a', 100000), 'b')) FROM calls",
        "SELECT countSubstrings(call_id, site) FROM calls",
        "SELECT call_id LIKE concat('%', site) FROM calls",
        "SELECT call_id ILIKE repeat('%a', 4000) FROM calls",
        "SELECT position(site IN call_id) FROM calls",
        "SELECT kolmogorovSmirnovTest('two-sided', 'exact')(duration_ms, 1) FROM calls",
    ] {
        assert_eq!(refused(sql).reason, Reason::Denied, "{sql}");
    }
    let long = "x".repeat(1025);
    assert_eq!(refused(&format!("SELECT call_id LIKE '{long}' FROM calls")).reason, Reason::Denied);
    for sql in [
        "SELECT call_id LIKE '%123', position(call_id, 'a'), splitByString(',', call_id) FROM calls",
        "SELECT replaceRegexpAll(call_id, '[0-9]+', '#') FROM calls",
    ] {
        check(sql, &[], &names()).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let named = |value: &str| [("a".to_owned(), value.to_owned())];
    let like = "SELECT call_id LIKE {a:String} FROM calls";
    assert!(check(like, &named("%1"), &names()).is_ok());
    assert_eq!(check(like, &named(&long), &names()).unwrap_err().reason, Reason::Denied);
}

#[test]
fn what_one_statement_names_often_is_bounded() {
    let joins = |n: usize| format!("SELECT 1 FROM calls{}", " CROSS JOIN calls".repeat(n));
    assert!(check(&joins(99), &[], &names()).is_ok());
    assert_eq!(refused(&joins(100)).reason, Reason::TooLarge);
    assert_eq!(refused(&"WITH ".repeat(501)).reason, Reason::TooLarge);
    let value = [("a".to_owned(), "x".repeat(900_000))];
    let select = format!("SELECT {}", ["{a:String}"; 3].join(","));
    assert_eq!(check(&select, &value, &names()).unwrap_err().reason, Reason::TooLarge);
}
