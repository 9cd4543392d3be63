//! Readers with a token: what they may run against the real engine, and what they must not reach.

use crate::endpoint::{open, request};
use crate::statements::KINDS;
use crate::{Dice, embedded};
use auscult_store::Store;
use auscult_store::endpoint::check::{Names, check_on_this_stack, functions, settings};
use auscult_store::endpoint::{Access, check};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::PathBuf;

const KEY: &str = "x-clickhouse-key: r\r\n";
const IN_THE_FILE: &str = "victim-7f3a91";
const IN_THE_TABLE: &str = "secret-91bc07";

/// A file, a port, a second database and a path, none of which a reader may reach.
struct Traps {
    victim: PathBuf,
    out: PathBuf,
    listener: TcpListener,
}

impl Traps {
    async fn set(dir: &std::path::Path, store: &Store) -> Traps {
        let (victim, out) = (dir.join("victim"), dir.join("out"));
        std::fs::write(&victim, IN_THE_FILE).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        for sql in [
            "CREATE DATABASE secret".to_owned(),
            "CREATE TABLE secret.t (x String) ENGINE = MergeTree ORDER BY x".to_owned(),
            format!("INSERT INTO secret.t SELECT '{IN_THE_TABLE}'"),
        ] {
            store.writer().query_raw(&sql).execute().await.unwrap();
        }
        Traps { victim, out, listener }
    }

    fn fill(&self, sql: &str) -> String {
        let port = self.listener.local_addr().unwrap().port().to_string();
        let (victim, out) = (self.victim.display().to_string(), self.out.display().to_string());
        sql.replace("VICTIM", &victim).replace("OUT'", &format!("{out}'")).replace("PORT", &port)
    }

    /// Nothing was read, written or dialled.
    fn untouched(&self, what: &str) {
        assert_eq!(std::fs::read_to_string(&self.victim).unwrap(), IN_THE_FILE, "{what}");
        assert!(!self.out.exists(), "{what}");
        assert!(self.listener.accept().is_err(), "{what} dialled");
    }
}

/// The names a check needs, as the endpoint reads them.
fn names_of(store: &Store) -> Names {
    let connection = store.engine().unwrap().connect(&[]).unwrap();
    let set = |sql: &str| -> BTreeSet<String> {
        let answer = connection.query(sql, "TSVRaw").unwrap();
        String::from_utf8_lossy(answer.bytes()).lines().map(str::to_owned).collect()
    };
    Names {
        database: "auscult".to_owned(),
        tables: set("SELECT name FROM system.tables WHERE database = 'auscult'"),
        functions: set(
            "SELECT lower(name) FROM system.functions UNION ALL SELECT lower(name) FROM system.table_functions",
        ),
    }
}

const PARAMETERS: &str = "/?param_n=5&param_t=it's%5C%5C&param_d=2026-01-01%2000:00:00&param_a=%5B1,2%5D";

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_with_a_token_reads_the_store_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let traps = Traps::set(dir.path(), &store).await;
    let address = open(&store, Access::reader(Some("r".to_owned()))).await;
    for (kind, examples, allowed) in KINDS {
        for example in *examples {
            let sql = traps.fill(example);
            let (status, answer) = request(&address, "POST", PARAMETERS, KEY, sql.as_bytes()).await;
            let runs = status == 200 && !answer.contains("__exception__");
            let fails = (400..500).contains(&status) && answer.contains("DB::Exception");
            // EXISTS answers 0 about what it cannot see.
            assert!(if *allowed { runs } else { fails }, "{kind}: {sql}: {answer}");
            for secret in [IN_THE_FILE, IN_THE_TABLE] {
                assert!(!answer.contains(secret), "{sql}: {answer}");
            }
            traps.untouched(&sql);
        }
    }
    // Not even whether a table of another database is there.
    for sql in ["SELECT secret.t IN ('x')", "SELECT (nowhere.t) IN (SELECT 'x')", "SELECT secret.t NOT IN ('x')"] {
        let (status, answer) = request(&address, "POST", "/", KEY, sql.as_bytes()).await;
        assert!(status == 404 && answer.contains("exception-code: 47"), "{sql}: {answer}");
    }
    let rows: u64 = store.reader().query("SELECT count() FROM secret.t").fetch_one().await.unwrap();
    assert_eq!(rows, 1);
    // The same over GET, in the URL and as a form.
    let quoted = |sql: &str| {
        sql.replace('%', "%25").replace(' ', "%20").replace('&', "%26").replace('+', "%2B").replace('#', "%23")
    };
    let sql = traps.fill("SELECT file('VICTIM')");
    assert_eq!(request(&address, "GET", &format!("/?query={}", quoted(&sql)), KEY, b"").await.0, 403);
    let form = format!("--b\r\ncontent-disposition: form-data; name=\"query\"\r\n\r\n{sql}\r\n--b--\r\n");
    let headers = format!("{KEY}content-type: multipart/form-data; boundary=b\r\n");
    let (status, answer) = request(&address, "POST", "/", &headers, form.as_bytes()).await;
    assert!(status == 403 && answer.contains("exception-code: 497"), "{answer}");
    for (path, status) in [
        ("/?database=secret&query=SELECT%201", 404),
        ("/?database=auscult&query=SELECT%201", 200),
        ("/?max_execution_time=5&query=SELECT%201", 200),
        ("/?max_execution_time=99999&query=SELECT%201&client_protocol_version=54460", 200),
        ("/?readonly=0&query=SELECT%201", 200),
        ("/?max_threads=0&query=SELECT%201", 400),
        ("/?session_timezone=file:/etc/localtime&query=SELECT%201", 400),
        ("/?session_timezone=Asia/Tokyo&query=SELECT%201", 200),
        ("/?default_format=Template&query=SELECT%201", 403),
        ("/?allow_ddl=1&query=SELECT%201", 400),
    ] {
        let (found, answer) = request(&address, "POST", path, KEY, b"").await;
        assert_eq!(found, status, "{path}: {answer}");
    }
    traps.untouched("the end");
}

/// Where the name of a function can stand; `V` is the victim's path. The last field: a listed function may stand there.
const POSITIONS: &[(&str, &str)] = &[
    ("call", "SELECT NAME('V')"),
    ("call without arguments", "SELECT NAME()"),
    ("call of two", "SELECT NAME('V', 'V')"),
    ("quoted call", "SELECT `NAME`('V')"),
    ("APPLY", "SELECT * APPLY(NAME) FROM (SELECT 'V')"),
    ("APPLY with a lambda", "SELECT * APPLY(x -> NAME(x)) FROM (SELECT 'V')"),
    ("REPLACE", "SELECT * REPLACE(NAME('V') AS trunk) FROM calls"),
    ("argument", "SELECT arrayMap(NAME, ['V'])"),
    ("quoted argument", "SELECT arrayMap(`NAME`, ['V'])"),
    ("body of a lambda", "SELECT arrayMap(x -> NAME(x), ['V'])"),
    ("parameter of a lambda", "SELECT arrayMap(NAME -> 1, ['V'])"),
    ("parametric", "SELECT NAME('V')('V')"),
    ("parameter of an aggregate", "SELECT quantile(NAME('V'))(1)"),
    ("alias", "SELECT 'V' AS NAME"),
    ("alias of a table", "SELECT 1 FROM calls AS NAME"),
    ("name of a CTE", "WITH NAME AS (SELECT 1) SELECT 1"),
    ("name of an expression", "WITH 'V' AS NAME SELECT 1"),
    ("lambda with a name", "WITH x -> NAME(x) AS f SELECT f('V')"),
    ("table function", "SELECT * FROM NAME('V')"),
    ("ARRAY JOIN", "SELECT 1 FROM calls ARRAY JOIN NAME('V') AS a"),
    ("IN", "SELECT 1 IN NAME('V')"),
    ("ORDER BY", "SELECT 1 ORDER BY NAME('V')"),
    ("LIMIT", "SELECT 1 LIMIT NAME('V')"),
    ("window", "SELECT NAME('V') OVER ()"),
    ("DESCRIBE", "DESCRIBE TABLE NAME('V')"),
    ("type", "SELECT CAST('V' AS NAME('V'))"),
];

/// Runs `f` with a stack that is deep enough for [`check_on_this_stack`].
fn on_a_deep_stack<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 20).spawn_scoped(scope, f).unwrap();
        thread.join().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_of_the_engine_in_every_position() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let traps = Traps::set(dir.path(), &store).await;
    let names = names_of(&store);
    let spelled: BTreeSet<String> = {
        let connection = store.engine().unwrap().connect(&[]).unwrap();
        let sql = "SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions";
        let answer = connection.query(sql, "TSVRaw").unwrap();
        String::from_utf8_lossy(answer.bytes()).lines().map(str::to_owned).collect()
    };
    assert!(spelled.len() > 1500, "{}", spelled.len());
    let victim = traps.victim.display().to_string();
    let mut runs = Vec::new();
    let mut refused = 0;
    on_a_deep_stack(|| {
        for name in &spelled {
            let listed = functions::listed(name) != functions::Listed::No;
            // Without parentheses it is the literal, with them the table function.
            let literal = |sql: &str| name == "null" && sql.contains("NULL");
            for (position, template) in POSITIONS {
                let sql = template.replace("NAME", name).replace("'V'", &format!("'{victim}'"));
                match check_on_this_stack(&sql, &[], &names) {
                    Ok(checked) => {
                        assert!(listed || literal(&checked.sql), "{name} is taken as {position}: {}", checked.sql);
                        runs.push(checked.sql);
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    });
    println!("{} functions: {} statements refused, {} run", spelled.len(), refused, runs.len());
    assert!(runs.len() > 1500, "{}", runs.len());
    let limits = [("readonly", "1"), ("max_execution_time", "5"), ("max_memory_usage", "400000000")];
    let limits = limits.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let connection = store.engine().unwrap().connect(&limits).unwrap();
    connection.query("USE auscult", "TSV").unwrap();
    for sql in &runs {
        let answer = match connection.query(sql, "TSV") {
            Ok(answer) => String::from_utf8_lossy(answer.bytes()).into_owned(),
            Err(e) => e.text,
        };
        assert!(!answer.contains(IN_THE_FILE) && !answer.contains(IN_THE_TABLE), "{sql}: {answer}");
    }
    traps.untouched("all functions");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_agree_with_the_engine_and_the_schema() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let names = names_of(&store);
    let connection = store.engine().unwrap().connect(&[]).unwrap();
    let set = |sql: &str| -> BTreeSet<String> {
        let answer = connection.query(sql, "TSVRaw").unwrap();
        String::from_utf8_lossy(answer.bytes()).lines().map(str::to_owned).collect()
    };
    let unknown: Vec<&str> =
        functions::all().filter(|name| !names.functions.contains(&name.to_ascii_lowercase())).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "listed, but the engine has no such function");
    // A column with such a name could not be asked for.
    let columns = set("SELECT DISTINCT name FROM system.columns WHERE database = 'auscult'");
    let unusable: Vec<&String> = columns
        .iter()
        .filter(|name| {
            names.functions.contains(&name.to_ascii_lowercase()) && functions::listed(name) == functions::Listed::No
        })
        .collect();
    assert_eq!(unusable, Vec::<&String>::new());
    let engine = set("SELECT name FROM system.formats WHERE is_output");
    let unknown: Vec<&&str> = settings::formats().iter().filter(|name| !engine.contains(**name)).collect();
    assert_eq!(unknown, Vec::<&&str>::new());
    let engine = set("SELECT name FROM system.settings");
    assert_eq!(settings::names().filter(|name| !engine.contains(*name)).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_listed_function_opens_a_file_as_a_time_zone() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let traps = Traps::set(dir.path(), &store).await;
    let names = names_of(&store);
    let connection = store.engine().unwrap().connect(&[]).unwrap();
    let opened = format!("time zone file:{}", traps.victim.display());
    let raw = format!("SELECT toTimeZone(now(), 'file:{}')", traps.victim.display());
    let error = connection.query(&raw, "TSV").err().expect("not a time zone").text;
    assert!(error.contains(&opened), "the engine opens such files, or this test finds nothing: {error}");
    let zones =
        [format!("'file:{}'", traps.victim.display()), format!("concat('file', ':{}')", traps.victim.display())];
    let shapes = [
        "Z",
        "now(), Z",
        "1, Z",
        "'2026-01-01', Z",
        "today(), Z",
        "now64(), Z",
        "now(), 1, Z",
        "now64(), 3, Z",
        "'2026', '%Y', Z",
        "'day', now(), Z",
        "'day', now(), now(), Z",
        "now(), INTERVAL 1 DAY, Z",
        "now(), INTERVAL 1 DAY, now(), Z",
        "2026, 1, 1, 1, 1, 1, Z",
        "2026, 1, 1, 1, 1, 1, 1, 3, Z",
        "1, '%Y', Z",
        "1, 1, 1, Z",
    ];
    let mut runs = Vec::new();
    on_a_deep_stack(|| {
        for name in functions::PLAIN.split_whitespace() {
            for (zone, shape) in zones.iter().flat_map(|zone| shapes.iter().map(move |shape| (zone, shape))) {
                let sql = format!("SELECT {name}({})", shape.replace('Z', zone));
                if let Ok(checked) = check_on_this_stack(&sql, &[], &names) {
                    runs.push(checked.sql);
                }
            }
        }
    });
    println!("{} statements run", runs.len());
    assert!(runs.len() > 500, "{}", runs.len());
    let is_opened = |sql: &String| connection.query(sql, "TSV").is_err_and(|e| e.text.contains(&opened));
    let found: Vec<String> = runs.into_iter().filter(is_opened).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_one_statement_of_listed_functions_to_the_engine_too() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let names = names_of(&store);
    let connection = store.engine().unwrap().connect(&[]).unwrap();
    let mut accepted = Vec::new();
    on_a_deep_stack(|| {
        for seed in 1..=4000 {
            let sql = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)).statement();
            let Ok(first) = check_on_this_stack(&sql, &[], &names) else { continue };
            let second = check_on_this_stack(&first.sql, &[], &names);
            let second = second.unwrap_or_else(|e| panic!("seed {seed}: {sql}\n{}\n{e}", first.sql));
            assert_eq!(second.sql, first.sql, "seed {seed}: {sql}");
            accepted.push(first.sql);
        }
    });
    accepted.sort_unstable();
    accepted.dedup();
    println!("{} different statements are taken", accepted.len());
    assert!(accepted.len() > 60, "{}", accepted.len());
    // How the engine's tree names operators and brackets.
    let operators = "lambda exists notExists notIn in isNull isNotNull caseWithExpression";
    for sql in &accepted {
        let tree = match connection.query(&format!("EXPLAIN AST {sql}"), "TSVRaw") {
            Ok(tree) => String::from_utf8_lossy(tree.bytes()).into_owned(),
            Err(e) => panic!("the engine does not parse {sql}: {e}"),
        };
        assert!(tree.starts_with("SelectWithUnionQuery") || tree.starts_with("SelectIntersectExcept"), "{sql}: {tree}");
        assert_eq!(tree.lines().filter(|line| !line.starts_with(' ')).count(), 1, "{sql}: {tree}");
        for line in tree.lines() {
            let line = line.trim_start();
            let transforms = line.contains("Transformer") && !line.starts_with("ColumnsTransformerList");
            assert!(!transforms || line.starts_with("ColumnsExceptTransformer"), "{sql}: {tree}");
            let Some(name) = line.strip_prefix("Function ").and_then(|rest| rest.split_whitespace().next()) else {
                continue;
            };
            let known = functions::listed(name) != functions::Listed::No || operators.split(' ').any(|o| o == name);
            assert!(known, "{name} in {sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_the_documentation_run_for_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let address = open(&store, Access::reader(Some("r".to_owned()))).await;
    let client =
        clickhouse::Client::default().with_url(format!("http://{address}")).with_password("r").with_database("auscult");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/queries.md")).unwrap();
    let queries: Vec<&str> = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(queries.len() >= 5);
    for sql in queries {
        let query = client.query_raw(sql).param("from", "2026-09-01 00:00:00").param("to", "2026-10-01 00:00:00");
        let rows = query.fetch_bytes("JSONEachRow").unwrap().collect().await;
        rows.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let text = "tab\t quote' back\\slash \u{1F600}\nline";
    let query = client.query("SELECT {text:String}, {n:UInt32} + ?, has({list:Array(String)}, 'b\\'c')");
    let list = ["a".to_owned(), "b'c".to_owned()];
    let found = query.param("text", text).param("n", 7u32).param("list", &list[..]).bind(1u8);
    assert_eq!(found.fetch_one::<(String, u64, u8)>().await.unwrap(), (text.to_owned(), 8, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_at_once_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let address = open(&store, Access::reader(Some("r".to_owned()))).await;
    let requests = (0..50).map(|n| {
        let address = address.clone();
        tokio::spawn(async move {
            let sql = format!("SELECT count() + {n} AS n FROM calls FORMAT JSONEachRow");
            request(&address, "POST", "/", KEY, sql.as_bytes()).await
        })
    });
    for (n, request) in requests.collect::<Vec<_>>().into_iter().enumerate() {
        let (status, answer) = request.await.unwrap();
        assert!(status == 200 && answer.contains(&format!("{{\"n\":{n}}}")), "{answer}");
    }
}

const BEGIN: &str = "<!-- What a reader may run: written by tests/store/reader.rs -->\n";
const END: &str = "<!-- End of what a reader may run -->\n";

/// The page's list of what is allowed is what the check does. `AUSCULT_WRITE_DOCS=1` writes it.
#[test]
fn the_page_says_what_the_check_does() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<String>>();
    let names = Names {
        database: "auscult".to_owned(),
        tables: words("calls streams"),
        functions: words("totimezone file url hostname sleep view remote executable numbers merge"),
    };
    let parameters = [("n", "5"), ("t", "x"), ("d", "2026-01-01 00:00:00"), ("a", "[1]")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut page = String::from("| statement or construct | a reader |\n|---|---|\n");
    for (kind, examples, allowed) in KINDS {
        for sql in *examples {
            assert_eq!(check(sql, &parameters, &names).is_ok(), *allowed, "{kind}: {sql}");
        }
        writeln!(page, "| {kind} | {} |", if *allowed { "runs" } else { "refused" }).unwrap();
    }
    let list = |text: &str| {
        let mut names: Vec<&str> = text.split_whitespace().collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let (plain, aggregates) = (list(functions::PLAIN), list(functions::AGGREGATES));
    writeln!(page, "\nFunctions: {plain}.\n\nAggregate functions: {aggregates}.").unwrap();
    writeln!(
        page,
        "\nTheir combinators: {}. Of windows: {}.",
        functions::COMBINATORS.join(", "),
        list(functions::WINDOW)
    )
    .unwrap();
    writeln!(page, "\nSettings: {}.", settings::names().collect::<Vec<_>>().join(", ")).unwrap();
    writeln!(page, "\nFormats: {}.", settings::formats().join(", ")).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
    let whole = std::fs::read_to_string(path).unwrap();
    let (before, rest) = whole.split_once(BEGIN).expect("the page has the mark");
    let (found, after) = rest.split_once(END).expect("the page has the second mark");
    if std::env::var_os("AUSCULT_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{page}{END}{after}")).unwrap();
        return;
    }
    assert!(found == page, "docs/security.md is older than the check: run this test with AUSCULT_WRITE_DOCS=1");
}
