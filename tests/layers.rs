//! The layer rules as a table: which module may use which, and what a module without effects may not contain.
//!
//! Between crates Cargo holds most of the rules. `ARCHITECTURE.md` describes the same modules in words; change both together.

use std::fmt;
use std::path::Path;

/// A module of `auscult-core`, or one of the crates around it. It may use the modules before it in [`MODULES`], less those in `not`.
struct Module {
    name: &'static str,
    effects: Effects,
    /// Earlier modules that this one may not use all the same.
    not: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effects {
    /// No clock, no file, no socket, no log line, no output, no runtime. These modules are in `auscult-core`.
    None,
    Io,
}

const fn pure(name: &'static str, not: &'static [&'static str]) -> Module {
    Module { name, effects: Effects::None, not }
}

const fn io(name: &'static str, not: &'static [&'static str]) -> Module {
    Module { name, effects: Effects::Io, not }
}

/// The inside of the engine: consumers of its events do not see it.
const ENGINE: &[&str] = &["wire", "media", "signal", "engine"];

/// The API sees neither the engine nor the capture; `app` connects them.
const ENGINE_AND_CAPTURE: &[&str] = &["wire", "media", "signal", "engine", "capture"];

const MODULES: &[Module] = &[
    pure("units", &[]),
    pure("privacy", &[]),
    pure("model", &[]),
    pure("wire", &[]),
    pure("quality", &["wire"]),
    pure("media", &[]),
    pure("signal", &["quality", "media"]),
    pure("engine", &[]),
    pure("groups", ENGINE),
    pure("live", ENGINE),
    pure("alert", ENGINE),
    io("capture", &["privacy", "model", "quality", "media", "signal", "engine", "live", "alert"]),
    io(
        "access",
        &["privacy", "model", "wire", "quality", "media", "signal", "engine", "groups", "live", "alert", "capture"],
    ),
    io(
        "http",
        &[
            "access", "units", "privacy", "model", "wire", "quality", "media", "signal", "engine", "live", "alert",
            "capture",
        ],
    ),
    io("store", &["wire", "media", "signal", "engine", "live", "capture"]),
    io("api", ENGINE_AND_CAPTURE),
    io("app", &[]),
];

/// Files that belong to no module: they declare the modules, or start the program.
const ROOTS: &[&str] = &["crates/auscult-core/src/lib.rs", "src/lib.rs", "src/main.rs"];

/// Where unsafe code is allowed: system calls of capture, and the C interface of the engine library.
const UNSAFE_ALLOWED: &[&str] = &["crates/auscult-capture/src/", "crates/auscult-store/src/chdb.rs"];

/// Paths with an effect, as they are written in a `use` or in place.
const EFFECTS: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::os",
    "tokio",
    "tracing",
    "libc",
    "rand",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
];

/// Names that the glossary of `ARCHITECTURE.md` replaced: no item may have one of them again.
const REPLACED_NAMES: &[&str] = &[
    "front",
    "Front",
    "Plain",
    "takes",
    "held",
    "Held",
    "past",
    "Past",
    "shed",
    "Pressure",
    "touch",
    "settle",
    "settled",
    "Tally",
    "StreamNumbers",
    "Turn",
    "due",
    "turned",
    "Place",
    "tell",
    "acquit",
    "Witness",
    "Standing",
    "kin",
    "Kin",
    "Join",
    "Wish",
    "Blamed",
    "Word",
    "Worst",
    "Heard",
    "Sight",
    "Fate",
    "Face",
    "attend",
    "digest",
    "hold",
    "weigh",
    "fact",
    "Fact",
    "Feed",
    "Cursor",
    "Kept",
    "unsafe_yet",
    "freeze",
    "thaw",
    "bury",
    "Doors",
    "Outlet",
    "leave",
    "say",
    "octets",
];

/// Most lines of code of a function, without comments and blank lines.
const FUNCTION_LINES: usize = 60;

/// Most parameters of a function, a receiver apart.
const PARAMETERS: usize = 5;

/// Longer functions. What maps fields one by one may be as long as its type; the others are to be split, and none is added.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    // They map fields, or have an arm for each kind.
    ("crates/auscult-api/src/json.rs", "from"),
    ("crates/auscult-api/src/json_report.rs", "of_record"),
    ("crates/auscult-api/src/json_report.rs", "of_report"),
    ("crates/auscult-api/src/json_stream.rs", "from"),
    ("crates/auscult-api/src/json_stream.rs", "new"),
    ("crates/auscult-api/src/metrics.rs", "of_trunks"),
    ("crates/auscult-api/src/metrics.rs", "of_view"),
    ("crates/auscult-core/src/wire/sdp.rs", "attribute"),
    ("crates/auscult-core/src/wire/sip/sanitise/sdp.rs", "push_attribute"),
    ("crates/auscult-core/src/wire/vqreport.rs", "set"),
    ("crates/auscult-store/src/endpoint/check/expression.rs", "expression_in"),
    ("crates/auscult-store/src/rows/media.rs", "new"),
    ("crates/auscult-store/src/rows/mod.rs", "new"),
    ("src/app/telemetry.rs", "families"),
    ("src/app/telemetry.rs", "of_engine"),
];

/// Directories whose files may not import each other in a circle.
const ACYCLIC: &[&str] = &["crates/auscult-core/src/media"];

/// Longest `ARCHITECTURE.md`, in lines: what is longer is not read.
const ARCHITECTURE_LINES: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn sources_keep_to_the_layers() {
    let files = shipped_sources();
    let found: Vec<String> =
        files.iter().flat_map(|(file, source)| violations(file, source)).map(|v| v.to_string()).collect();
    assert!(found.is_empty(), "{} violations of the table in tests/layers.rs:\n{}", found.len(), found.join("\n"));
}

/// Every identifier that is defined in the sources, with its line: what stands after a keyword that begins an item.
fn defined_names(code: &str) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let begins =
        |word: &str| ["fn", "struct", "enum", "trait", "type", "mod", "const", "static", "union"].contains(&word);
    tokens
        .windows(2)
        .filter(|pair| begins(pair[0].1) && is_name(pair[1].1))
        .map(|pair| (line_of(code, pair[1].0), pair[1].1.to_owned()))
        .collect()
}

fn replaced_names(source: &str) -> Vec<(usize, String)> {
    let mut names = defined_names(&blank(source));
    names.retain(|(_, name)| REPLACED_NAMES.contains(&name.as_str()));
    names
}

/// Functions with more than [`FUNCTION_LINES`] lines of code, with the line each begins at and its name. Test modules are left out.
fn long_functions(source: &str) -> Vec<(usize, String)> {
    let code = without_test_modules(&blank(source));
    let tokens = tokens(&code);
    let mut found = Vec::new();
    for (i, pair) in tokens.windows(2).enumerate().filter(|(_, pair)| pair[0].1 == "fn" && is_name(pair[1].1)) {
        let rest = &tokens[i..];
        // A declaration ends before any brace of its own.
        let Some(open) = rest.iter().position(|(_, t)| *t == "{" || *t == ";").filter(|at| rest[*at].1 == "{") else {
            continue;
        };
        let mut depth = 0;
        let end = rest[open..].iter().find_map(|(at, t)| {
            depth += i32::from(*t == "{") - i32::from(*t == "}");
            (depth == 0).then_some(*at)
        });
        let body = &code[rest[open].0..end.unwrap_or(code.len())];
        if body.lines().skip(1).filter(|line| !line.trim().is_empty()).count() > FUNCTION_LINES {
            found.push((line_of(&code, pair[1].0), pair[1].1.to_owned()));
        }
    }
    found
}

#[test]
fn functions_are_short() {
    let files = shipped_sources();
    let all: Vec<(&str, usize, String)> = files
        .iter()
        .filter(|(file, _)| !file.ends_with("tests.rs"))
        .flat_map(|(file, source)| long_functions(source).into_iter().map(|(line, name)| (file.as_str(), line, name)))
        .collect();
    let listed = |file: &str, name: &str| LONG_FUNCTIONS.contains(&(file, name));
    let new: Vec<_> = all.iter().filter(|(file, _, name)| !listed(file, name)).collect();
    assert!(new.is_empty(), "more than {FUNCTION_LINES} lines: {new:#?}");
    let gone: Vec<_> =
        LONG_FUNCTIONS.iter().filter(|(f, n)| !all.iter().any(|(file, _, name)| f == file && n == name)).collect();
    assert!(gone.is_empty(), "no longer so long, take it off the list: {gone:?}");
    let planted = |lines: usize| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n    // no code\n\n".repeat(lines));
    assert_eq!(long_functions(&planted(60)), []);
    assert_eq!(long_functions(&planted(61)), [(2, "f".to_owned())]);
}

/// Functions with more than [`PARAMETERS`] parameters, with the line each begins at and its name.
fn wide_functions(source: &str) -> Vec<(usize, String)> {
    let code = blank(source);
    let tokens = tokens(&code);
    let functions = tokens.windows(2).enumerate().filter(|(_, pair)| pair[0].1 == "fn" && is_name(pair[1].1));
    functions
        .filter(|(i, _)| parameters(&tokens[i + 2..]) > PARAMETERS)
        .map(|(_, pair)| (line_of(&code, pair[1].0), pair[1].1.to_owned()))
        .collect()
}

/// Parameters of the function after whose name the tokens begin, without a receiver.
fn parameters(tokens: &[(usize, &str)]) -> usize {
    // Inside of brackets of any kind; an arrow closes none.
    let (mut open, mut generics, mut begun) = (0, 0, false);
    let (mut count, mut words, mut receiver) = (0, 0, false);
    for (i, (_, token)) in tokens.iter().enumerate() {
        let arrow = *token == ">" && i > 0 && matches!(tokens[i - 1].1, "-" | "=");
        match *token {
            "<" => generics += 1,
            ">" if !arrow => generics -= 1,
            "(" if !begun && generics == 0 => begun = true,
            _ if !begun => {}
            ")" if open == 0 => break,
            "(" | "[" | "{" => (open, words) = (open + 1, words + 1),
            ")" | "]" | "}" => open -= 1,
            "," if open == 0 && generics == 0 => (count, words) = (count + usize::from(words > 0), 0),
            "self" if open == 0 && count == 0 && !matches!(tokens[i + 1].1, ":" | "::") => {
                (receiver, words) = (true, words + 1);
            }
            _ => words += 1,
        }
    }
    count + usize::from(words > 0) - usize::from(receiver)
}

#[test]
fn functions_have_fewer_than_six_parameters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = shipped_sources();
    collect(root, &root.join("testkit"), &mut files);
    let found: Vec<String> = files
        .iter()
        .flat_map(|(file, source)| wide_functions(source).into_iter().map(move |(n, f)| format!("{file}:{n}: {f}")))
        .collect();
    assert!(found.is_empty(), "more than {PARAMETERS} parameters:\n{}", found.join("\n"));
    let planted =
        |list: &str| wide_functions(&format!("impl A {{\n    fn f<T: Fn(A, B) -> C>({list}) -> D {{}}\n}}\n"));
    let wide = vec![(2, "f".to_owned())];
    for list in
        ["&mut self, a: A, (b, c): (B, C), d: HashMap<D, E>, e: &dyn Fn(F, G) -> H, f: [I; 2],", "a: A, b: B", ""]
    {
        assert_eq!(planted(list), [], "{list}");
    }
    for list in ["a: A, b: B, c: C, d: D, e: E, f: F", "&'a self, a: A, b: B, c: C, d: D, e: E, f: F,"] {
        assert_eq!(planted(list), wide, "{list}");
    }
}

#[test]
fn no_item_has_a_name_that_was_replaced() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "tests", "crates", "benches", "testkit", "fuzz"] {
        collect(root, &root.join(dir), &mut files);
    }
    let found: Vec<String> = files
        .iter()
        .flat_map(|(file, source)| {
            replaced_names(source).into_iter().map(move |(line, name)| format!("{file}:{line}: {name}"))
        })
        .collect();
    assert!(found.is_empty(), "the glossary of ARCHITECTURE.md has better names:\n{}", found.join("\n"));
    let planted = "//! x\n// fn thaw\npub struct Kin;\nimpl X {\n    fn acquit(&self, turned: u8) {}\n}\nconst A: &str = \"fn say\";\n";
    assert_eq!(replaced_names(planted), [(3, "Kin".to_owned()), (5, "acquit".to_owned())]);
}

/// The files of a directory by their module names, each with those of its siblings that it imports; `mod` is the directory's
/// own `mod.rs`. Test modules are left out.
fn imports<'a>(dir: &str, files: &'a [(String, String)]) -> Vec<(&'a str, Vec<&'a str>)> {
    let module =
        |file: &'a str| file.strip_prefix(dir)?.strip_prefix('/')?.strip_suffix(".rs").filter(|m| !m.contains('/'));
    let sources: Vec<(&str, &str)> =
        files.iter().filter_map(|(file, source)| Some((module(file)?, source.as_str()))).collect();
    let absolute = format!("crate::{}::", dir.rsplit('/').next().unwrap_or_default());
    let imported = |name: &str, source: &str| {
        let code = without_test_modules(&blank(source));
        let mut found = Vec::new();
        for (at, path) in full_paths(&code) {
            let climb = "super::".repeat(usize::from(name != "mod") + enclosing_modules(&code, at));
            let rest = path
                .strip_prefix(&absolute)
                .or_else(|| path.strip_prefix(&climb))
                .filter(|rest| !rest.starts_with("super::"));
            // In `mod.rs` a name alone is a declaration, or not of a module.
            let Some(rest) = rest.filter(|rest| name != "mod" || rest.contains("::")) else { continue };
            let first = rest.split("::").next();
            match sources.iter().find(|(sibling, _)| Some(*sibling) == first) {
                Some((sibling, _)) => found.push(*sibling),
                None => found.push("mod"),
            }
        }
        found.retain(|sibling| *sibling != name);
        found.sort_unstable();
        found.dedup();
        found
    };
    sources.iter().map(|(name, source)| (*name, imported(name, source))).collect()
}

/// Modules of which each imports the next one and the last one the first.
fn cycle<'a>(imports: &[(&'a str, Vec<&'a str>)]) -> Option<Vec<&'a str>> {
    let mut rest = imports.to_vec();
    // What imports none of the rest is in no cycle.
    while let Some(leaf) =
        rest.iter().position(|(_, used)| !used.iter().any(|u| rest.iter().any(|(name, _)| name == u)))
    {
        rest.remove(leaf);
    }
    let mut path = vec![rest.first()?.0];
    loop {
        let (_, used) = rest.iter().find(|(name, _)| Some(name) == path.last())?;
        let next = used.iter().find(|u| rest.iter().any(|(name, _)| name == *u))?;
        if let Some(from) = path.iter().position(|name| name == next) {
            return Some(path.split_off(from));
        }
        path.push(next);
    }
}

#[test]
fn files_of_a_module_do_not_import_each_other_in_a_circle() {
    let files = shipped_sources();
    for dir in ACYCLIC {
        let imports = imports(dir, &files);
        assert!(
            imports.iter().map(|(_, used)| used.len()).sum::<usize>() > 5,
            "few imports were found in {dir}: {imports:?}"
        );
        assert_eq!(cycle(&imports), None, "{dir}");
    }
    let planted = |a: &str, b: &str, root: &str| {
        let file = |name: &str, code: &str| (format!("x/media/{name}.rs"), format!("//! x\n{code}\n"));
        let files = [file("a", a), file("b", b), file("c", "use super::b::C;"), file("mod", root)];
        cycle(&imports("x/media", &files)).map(|cycle| cycle.join(" "))
    };
    let found = |cycle: &str| Some(cycle.to_owned());
    assert_eq!(planted("use super::b::B;", "use std::fmt;", "pub use a::A;"), None);
    assert_eq!(planted("use super::b::B;", "use crate::media::a::A;", ""), found("a b"));
    assert_eq!(planted("use super::{\n    b::B,\n};", "use super::c::C;", ""), found("b c"));
    assert_eq!(planted("use super::c::C;", "fn f() {\n    super::a::g();\n}", ""), found("a c b"));
    assert_eq!(planted("use super::A;", "", "pub use a::A;"), found("a mod"));
    assert_eq!(
        planted(
            "use super::b::B;",
            "// use super::a::A;\n#[cfg(test)]\nmod tests {\n    use super::super::a::A;\n}",
            ""
        ),
        None
    );
}

#[test]
fn the_architecture_lists_the_modules_in_their_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() < ARCHITECTURE_LINES, "{} lines", text.lines().count());
    let listed: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("### `")).filter_map(|l| l.split('`').next()).collect();
    let planned: Vec<&str> = MODULES.iter().map(|m| m.name).collect();
    assert_eq!(
        listed, planned,
        "the code map has a `### \\`module\\`` heading for each module, in the order of the table"
    );
    for module in MODULES {
        let before = planned.iter().position(|n| *n == module.name).unwrap();
        assert!(
            module.not.iter().all(|name| planned[..before].contains(name)),
            "{}: a rule about no earlier module",
            module.name
        );
    }
}

#[test]
fn planted_violations_are_found() {
    const CORE: &str = "crates/auscult-core/src/";
    let planted: &[(&str, &str, &[&str])] = &[
        ("CORE/units/mod.rs", "//! x\nuse crate::model::Event;\n", &["2: units uses model, a later module"]),
        ("CORE/wire/a.rs", "//! x\nfn f() {\n    crate::engine::run();\n}\n", &["3: wire uses engine, a later module"]),
        (
            "CORE/media/a.rs",
            "//! x\nuse crate::{\n    units::Ssrc,\n    signal::{self, Signal},\n    alert as s,\n};\n",
            &["4: media uses signal, a later module", "5: media uses alert, a later module"],
        ),
        ("CORE/media/b.rs", "//! x\nuse super::super::live;\n", &["2: media uses live, a later module"]),
        (
            "CORE/wire/sip/b.rs",
            "//! x\nuse super::super::super::{units, alert};\n",
            &["2: wire uses alert, a later module"],
        ),
        ("CORE/signal/mod.rs", "//! x\nuse super::live::View;\n", &["2: signal uses live, a later module"]),
        ("CORE/engine/mod.rs", "//! x\nuse auscult_store::rows;\n", &["2: engine uses store, a later module"]),
        (
            "CORE/quality/mod.rs",
            "//! x\nuse auscult_core :: engine\n  ::Engine;\n",
            &["2: quality uses engine, a later module"],
        ),
        (
            "crates/auscult-capture/src/lib.rs",
            "//! x\nuse auscult_core::engine::Engine;\n",
            &["2: capture uses engine, which it may not"],
        ),
        (
            "crates/auscult-store/src/a/b.rs",
            "//! x\nuse auscult_core::{units, wire::rtp};\n",
            &["2: store uses wire, which it may not"],
        ),
        (
            "crates/auscult-api/src/lib.rs",
            "//! x\nuse auscult_core::engine::Engine;\n",
            &["2: api uses engine, which it may not"],
        ),
        ("CORE/units/a.rs", "//! x\nuse crate::*;\n", &["2: units uses everything of the root"]),
        ("crates/auscult-api/src/a.rs", "//! x\nuse auscult_core::*;\n", &["2: api uses everything of the root"]),
        ("CORE/units/b.rs", "//! x\nuse crate::cellar::Wine;\n", &["2: units uses cellar, which is no module"]),
        ("CORE/cellar/mod.rs", "//! x\n", &["1: cellar is no module of the table"]),
        ("src/loose.rs", "//! x\n", &["1: src/loose.rs is in no module"]),
        ("CORE/units/c.rs", "use std::fmt;\n", &["1: does not start with a `//!` line about its content"]),
        (
            "CORE/live/mod.rs",
            "//! x\nfn f() { let _ = std::time::Instant::now(); }\n",
            &["2: Instant::now in a module without effects"],
        ),
        ("CORE/engine/a.rs", "//! x\nuse std::{fmt, fs::File};\n", &["2: std::fs in a module without effects"]),
        (
            "CORE/engine/b.rs",
            "//! x\nuse std::net::{SocketAddr,\n UdpSocket};\n",
            &["3: std::net::UdpSocket in a module without effects"],
        ),
        ("CORE/media/c.rs", "//! x\nuse tokio::sync::mpsc;\n", &["2: tokio in a module without effects"]),
        (
            "CORE/wire/c.rs",
            "//! x\nfn f() { tracing::info!(\"x\"); println!(); }\n",
            &["2: tracing in a module without effects", "2: println! in a module without effects"],
        ),
        (
            "crates/auscult-store/src/spool/mod.rs",
            "//! x\nunsafe fn f() {}\n",
            &["2: unsafe outside of crates/auscult-capture/src/, crates/auscult-store/src/chdb.rs"],
        ),
        (
            "CORE/wire/e.rs",
            "//! x\n#[cfg(test)]\nmod tests {\n    use crate::alert;\n    fn f() { println!(\"}\"); }\n}\nuse std::fs;\n",
            &["4: wire uses alert, a later module", "7: std::fs in a module without effects"],
        ),
    ];
    for (file, source, expected) in planted {
        let file = file.replace("CORE/", CORE);
        let found: Vec<String> = violations(&file, source).iter().map(|v| format!("{}: {}", v.line, v.what)).collect();
        assert_eq!(found, *expected, "{file}:\n{source}");
    }
}

#[test]
fn innocent_sources_are_left_alone() {
    let innocent: &[(&str, &str)] = &[
        (
            "CORE/wire/a.rs",
            "//! x [`a`](crate::engine::Engine)\nuse crate::{model::Outcome, units::Ssrc, wire::rtp};\n",
        ),
        (
            "CORE/wire/b.rs",
            "//! x\n// crate::app unsafe\n/* crate::store /* std::fs */ unsafe */\nconst A: &str = \"unsafe crate::api\";\n",
        ),
        (
            "CORE/wire/c.rs",
            "//! x\nconst A: &str = r#\"crate::app \"unsafe\" \"#; const B: char = '\"'; fn f<'a>(unsafe_rows: &'a u8) {}\n",
        ),
        (
            "CORE/wire/d.rs",
            "//! x\nuse super::super::wire::parse;\nuse super::units;\nuse std::net::{IpAddr, SocketAddr};\n",
        ),
        ("CORE/wire/sip/e.rs", "//! x\nuse super::super::engine_like;\nuse super::live;\n"),
        (
            "CORE/wire/f.rs",
            "//! x\n#[cfg(test)]\nmod tests {\n    fn f() { println!(\"{}\", std::fs::read(\"x\").is_ok()); }\n}\n",
        ),
        ("CORE/wire/g.rs", "//! x\n#[cfg(test)]\nmod tests {\n    use super::super::fast_udp;\n    use super::*;\n}\n"),
        ("CORE/wire/sip/tests.rs", "//! x\nfn f() { println!(\"{}\", std::fs::read(\"x\").is_ok()); }\n"),
        (
            "crates/auscult-capture/src/live.rs",
            "//! x\nuse crate::pace;\nuse auscult_core::units::Nanos;\nuse std::fs;\nfn f() { unsafe { g() } }\n",
        ),
        (
            "src/app/mod.rs",
            "//! x\nuse auscult_core::{engine, live};\nuse auscult_store as store;\nuse auscult_api::app;\nfn f() { println!(\"x\"); }\n",
        ),
        ("src/main.rs", "//! x\nuse auscult::app;\n"),
    ];
    for (file, source) in innocent {
        let file = file.replace("CORE/", "crates/auscult-core/src/");
        assert_eq!(violations(&file, source), [], "{file}:\n{source}");
    }
}

/// Sources of the program and its crates, by their paths in the project.
fn shipped_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, &root.join("src"), &mut files);
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        collect(root, &entry.unwrap().path().join("src"), &mut files);
    }
    assert!(files.len() > 200, "only {} files found under {}", files.len(), root.display());
    files
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            files.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// What a file (by its path in the project) does that the table forbids, in the order of its lines.
fn violations(file: &str, source: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    inspect(file, source, &mut |line, what| found.push(Violation { file: file.to_owned(), line, what }));
    found.sort_by_key(|v| v.line);
    found.dedup();
    found
}

/// The name of the module that a file belongs to, and its path inside; `None` for a file in no module.
fn module_of(file: &str) -> Option<(&str, &str)> {
    let in_crate = file.strip_prefix("crates/auscult-").and_then(|rest| rest.split_once("/src/"));
    match in_crate {
        Some(("core", inside)) => inside.split_once('/'),
        Some(module) => Some(module),
        None => file.strip_prefix("src/")?.split_once('/'),
    }
}

fn inspect(file: &str, source: &str, add: &mut dyn FnMut(usize, String)) {
    if !source.starts_with("//!") {
        add(1, "does not start with a `//!` line about its content".to_owned());
    }
    let code = blank(source);
    if !UNSAFE_ALLOWED.iter().any(|a| file.starts_with(a)) {
        for (at, _) in tokens(&code).iter().filter(|(_, token)| *token == "unsafe") {
            add(line_of(&code, *at), format!("unsafe outside of {}", UNSAFE_ALLOWED.join(", ")));
        }
    }
    if ROOTS.contains(&file) {
        return;
    }
    let Some((name, inside)) = module_of(file) else {
        return add(1, format!("{file} is in no module"));
    };
    let Some(place) = MODULES.iter().position(|m| m.name == name) else {
        return add(1, format!("{name} is no module of the table"));
    };
    let module = &MODULES[place];
    let core = module.effects == Effects::None;
    for (at, used) in used_modules(&code, inside, core) {
        let line = line_of(&code, at);
        match MODULES.iter().position(|m| m.name == used) {
            _ if used == "*" => add(line, format!("{name} uses everything of the root")),
            None => add(line, format!("{name} uses {used}, which is no module")),
            Some(other) if other > place => add(line, format!("{name} uses {used}, a later module")),
            Some(_) if module.not.contains(&used.as_str()) => {
                add(line, format!("{name} uses {used}, which it may not"))
            }
            Some(_) => {}
        }
    }
    if core && !file.ends_with("/tests.rs") {
        let shipped = without_test_modules(&code);
        let paths = full_paths(&shipped);
        for effect in EFFECTS {
            let hit = paths.iter().filter(|(_, path)| matches_effect(path, effect));
            for (at, _) in hit {
                add(line_of(&shipped, *at), format!("{effect} in a module without effects"));
            }
        }
    }
}

/// Whether a written-out path has this effect: as its beginning, or for `Type::function` as its end.
fn matches_effect(path: &str, effect: &str) -> bool {
    if effect.ends_with("::now") {
        return path == effect || path.ends_with(&format!("::{effect}"));
    }
    let whole = effect.contains("::") || effect.ends_with('!');
    (whole && path == effect) || path.strip_prefix(effect).is_some_and(|rest| rest.starts_with("::"))
}

/// The modules of the table that a file uses, with where that is written: `auscult_core::x` and `auscult_x` in every crate; in
/// `core` also `crate::x`, and one `super::` more than the file (by its path inside the module) is deep.
fn used_modules(code: &str, inside: &str, core: bool) -> Vec<(usize, String)> {
    let mut parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    let mut found = Vec::new();
    for (at, path) in full_paths(code) {
        let rest = if core && path.starts_with("super::") {
            let climb = "super::".repeat(parts.len() + 1 + enclosing_modules(code, at));
            path.strip_prefix(climb.as_str())
        } else if core && path.starts_with("crate::") {
            path.strip_prefix("crate::")
        } else {
            path.strip_prefix("auscult_core::").or_else(|| path.strip_prefix("auscult_"))
        };
        if let Some(name) = rest.and_then(|r| r.split("::").next()) {
            found.push((at, name.to_owned()));
        }
    }
    found
}

/// How many `mod x { ... }` of this file are open at a place.
fn enclosing_modules(code: &str, at: usize) -> usize {
    let mut open = Vec::new();
    let mut before = ["", ""];
    for (_, token) in tokens(&code[..at]) {
        match token {
            "{" => open.push(before[0] == "mod"),
            "}" => drop(open.pop()),
            _ => {}
        }
        before = [before[1], token];
    }
    open.iter().filter(|is_module| **is_module).count()
}

/// Every path written in the code, groups multiplied out: `use a::{b, c::d}` is `a::b` and `a::c::d`. A macro call keeps
/// its `!`. Each with where its last own part begins.
fn full_paths(code: &str) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if is_name(tokens[i].1) {
            i = path_from(&tokens, i, "", &mut found);
        } else {
            i += 1;
        }
    }
    found
}

/// Reads one path that begins at token `i`, behind `prefix`; returns the token after it.
fn path_from(tokens: &[(usize, &str)], mut i: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.1);
    let mut path = prefix.to_owned();
    // What an error points at: the first part that names the module.
    let mut start = tokens[i].0;
    loop {
        if path.ends_with("super::") || path == "crate::" || path == "auscult_core::" {
            start = tokens[i].0;
        }
        path.push_str(text(i));
        i += 1;
        if text(i) == "!" && text(i + 1) != "=" {
            path.push('!');
            break;
        }
        if text(i) != "::" {
            break;
        }
        path.push_str("::");
        i += 1;
        if text(i) == "{" {
            i += 1;
            while i < tokens.len() && text(i) != "}" {
                if is_name(text(i)) || text(i) == "*" {
                    i = path_from(tokens, i, &path, found);
                    if text(i) == "as" {
                        i += 2;
                    }
                } else {
                    i += 1;
                }
            }
            return i + 1;
        }
        if !is_name(text(i)) && text(i) != "*" {
            path.truncate(path.len() - 2);
            break;
        }
    }
    found.push((start, path));
    i
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single other characters, each with its place.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if c.is_alphabetic() || c == '_' || c.is_ascii_digit() {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            found.push((at, &rest[..length]));
        }
        at += length;
    }
    found
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Test modules (`#[cfg(test)] mod x { ... }`) replaced by blanks.
fn without_test_modules(code: &str) -> String {
    let mut shipped = code.to_owned();
    while let Some(start) = shipped.find("#[cfg(test)]") {
        let rest = &shipped[start..];
        let opens = rest.find('{').filter(|brace| rest.find(';').is_none_or(|end| *brace < end));
        let mut depth = 0;
        let end = match opens {
            None => rest.find(';').map_or(rest.len(), |i| i + 1),
            Some(open) => rest[open..]
                .char_indices()
                .find_map(|(i, c)| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    (depth == 0).then_some(open + i + 1)
                })
                .unwrap_or(rest.len()),
        };
        let blanked: String = rest[..end].chars().map(blanked).collect();
        shipped.replace_range(start..start + end, &blanked);
    }
    shipped
}

fn blanked(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

/// The source with comments, strings and character literals replaced by blanks; lines stay where they are.
fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        let word_before = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|j| at(*j) == '\n').unwrap_or(chars.len()),
            ('/', '*') => {
                let (mut depth, mut j) = (1, i + 2);
                while j < chars.len() && depth > 0 {
                    match (at(j), at(j + 1)) {
                        ('/', '*') => (depth, j) = (depth + 1, j + 2),
                        ('*', '/') => (depth, j) = (depth - 1, j + 2),
                        _ => j += 1,
                    }
                }
                j
            }
            ('"', _) => end_of_string(&chars, i + 1),
            ('r', '"' | '#') if !word_before || at(i - 1) == 'b' || at(i - 1) == 'c' => {
                let hashes = (i + 1..).take_while(|j| at(*j) == '#').count();
                if at(i + 1 + hashes) == '"' {
                    let close = |j: &usize| at(*j) == '"' && (1..=hashes).all(|k| at(j + k) == '#');
                    (i + 2 + hashes..chars.len()).find(close).map_or(chars.len(), |j| j + 1 + hashes)
                } else {
                    i
                }
            }
            ('\'', '\\') => (i + 3..chars.len()).find(|j| at(*j) == '\'').map_or(chars.len(), |j| j + 1),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            code.push(at(i));
            i += 1;
        } else {
            code.extend(chars[i..end.min(chars.len())].iter().map(|c| blanked(*c)));
            i = end;
        }
    }
    code
}

fn end_of_string(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}
