//! The plan of rooms as a table: which room may import which, and what no pure room may contain.
//!
//! `ARCHITECTURE.md` tells the same plan in words. Where building shows a better wall, move it in both.

use std::fmt;
use std::path::Path;

/// A room of `src/`. A room may import rooms above it in [`ROOMS`], and of those only the ones its `walls` leave open.
struct Room {
    name: &'static str,
    effects: Effects,
    /// Rooms above that this room must not know all the same.
    walls: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effects {
    /// No clock, no file, no socket, no log line, no output, no runtime.
    None,
    Io,
}

const fn pure(name: &'static str, walls: &'static [&'static str]) -> Room {
    Room { name, effects: Effects::None, walls }
}

const fn io(name: &'static str, walls: &'static [&'static str]) -> Room {
    Room { name, effects: Effects::Io, walls }
}

/// What sits inside the machine: those who use its facts meet it only through them.
const MACHINE: &[&str] = &["wire", "media", "signal", "engine"];

/// The ends of the house know neither the machine nor the other end; `app` ties them.
const MACHINE_AND_CAPTURE: &[&str] = &["wire", "media", "signal", "engine", "capture"];

const ROOMS: &[Room] = &[
    pure("units", &[]),
    pure("model", &[]),
    pure("wire", &[]),
    pure("quality", &["wire"]),
    pure("media", &[]),
    pure("signal", &["quality", "media"]),
    pure("engine", &[]),
    pure("groups", MACHINE),
    pure("live", MACHINE),
    pure("alert", MACHINE),
    io("capture", &["model", "quality", "media", "signal", "engine", "live", "alert"]),
    io("http", &["units", "model", "wire", "quality", "media", "signal", "engine", "live", "alert", "capture"]),
    io("store", &["wire", "media", "signal", "engine", "live", "capture"]),
    io("api", MACHINE_AND_CAPTURE),
    io("app", &[]),
];

/// Files of `src/` that belong to no room: they only say which rooms there are, and start the program.
const DOORS: &[&str] = &["lib.rs", "main.rs"];

/// Where the compiler's checks may be switched off: system calls of capture, and the engine library's C interface.
const UNSAFE_ALLOWED: &[&str] = &["capture/", "store/chdb.rs"];

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
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn the_house_keeps_to_its_plan() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &src, &mut files);
    assert!(files.len() > 50, "only {} files found under {}", files.len(), src.display());
    let found: Vec<String> =
        files.iter().flat_map(|(file, source)| violations(file, source)).map(|v| v.to_string()).collect();
    assert!(found.is_empty(), "{} violations of the plan in tests/plan.rs:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_plan_is_in_step_with_its_telling() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() < ARCHITECTURE_LINES, "{} lines", text.lines().count());
    let told: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("### `")).filter_map(|l| l.split('`').next()).collect();
    let planned: Vec<&str> = ROOMS.iter().map(|r| r.name).collect();
    assert_eq!(told, planned, "the code map has a `### \\`room\\`` heading for each room, in the order of the plan");
    for room in ROOMS {
        let above = planned.iter().position(|n| *n == room.name).unwrap();
        assert!(
            room.walls.iter().all(|wall| planned[..above].contains(wall)),
            "{}: a wall to no room above",
            room.name
        );
    }
}

#[test]
fn planted_violations_are_found() {
    let planted: &[(&str, &str, &[&str])] = &[
        ("units/mod.rs", "//! x\nuse crate::model::Event;\n", &["2: units imports model, a room below it"]),
        ("wire/a.rs", "//! x\nfn f() {\n    crate::engine::run();\n}\n", &["3: wire imports engine, a room below it"]),
        (
            "media/a.rs",
            "//! x\nuse crate::{\n    units::Ssrc,\n    signal::{self, Signal},\n    store as s,\n};\n",
            &["4: media imports signal, a room below it", "5: media imports store, a room below it"],
        ),
        ("media/b.rs", "//! x\nuse super::super::app;\n", &["2: media imports app, a room below it"]),
        ("wire/sip/b.rs", "//! x\nuse super::super::super::{units, api};\n", &["2: wire imports api, a room below it"]),
        ("signal/mod.rs", "//! x\nuse super::live::View;\n", &["2: signal imports live, a room below it"]),
        ("engine/mod.rs", "//! x\nuse auscult::store::rows;\n", &["2: engine imports store, a room below it"]),
        (
            "quality/mod.rs",
            "//! x\nuse crate :: capture\n  ::Frame;\n",
            &["2: quality imports capture, a room below it"],
        ),
        (
            "capture/mod.rs",
            "//! x\nuse crate::engine::Engine;\n",
            &["2: capture imports engine, which a wall keeps out"],
        ),
        ("store/a/b.rs", "//! x\nuse crate::wire::rtp;\n", &["2: store imports wire, which a wall keeps out"]),
        ("api/mod.rs", "//! x\nuse crate::engine::Engine;\n", &["2: api imports engine, which a wall keeps out"]),
        ("units/a.rs", "//! x\nuse crate::*;\n", &["2: units imports everything from the root"]),
        ("units/b.rs", "//! x\nuse crate::cellar::Wine;\n", &["2: units imports cellar, which is no room"]),
        ("cellar/mod.rs", "//! x\n", &["1: cellar is no room of the plan"]),
        ("loose.rs", "//! x\n", &["1: loose.rs is in no room"]),
        ("units/c.rs", "use std::fmt;\n", &["1: does not start with a `//!` line saying what lives there"]),
        ("live/mod.rs", "//! x\nfn f() { let _ = std::time::Instant::now(); }\n", &["2: Instant::now in a pure room"]),
        ("engine/a.rs", "//! x\nuse std::{fmt, fs::File};\n", &["2: std::fs in a pure room"]),
        (
            "engine/b.rs",
            "//! x\nuse std::net::{SocketAddr,\n UdpSocket};\n",
            &["3: std::net::UdpSocket in a pure room"],
        ),
        ("media/c.rs", "//! x\nuse tokio::sync::mpsc;\n", &["2: tokio in a pure room"]),
        (
            "wire/c.rs",
            "//! x\nfn f() { tracing::info!(\"x\"); println!(); }\n",
            &["2: tracing in a pure room", "2: println! in a pure room"],
        ),
        ("wire/d.rs", "//! x\nfn f() { unsafe { g() } }\n", &["2: unsafe outside of capture/, store/chdb.rs"]),
        ("store/spool/mod.rs", "//! x\nunsafe fn f() {}\n", &["2: unsafe outside of capture/, store/chdb.rs"]),
        (
            "wire/e.rs",
            "//! x\n#[cfg(test)]\nmod tests {\n    use crate::app;\n    fn f() { println!(\"}\"); }\n}\nuse std::fs;\n",
            &["4: wire imports app, a room below it", "7: std::fs in a pure room"],
        ),
    ];
    for (file, source, expected) in planted {
        let found: Vec<String> = violations(file, source).iter().map(|v| format!("{}: {}", v.line, v.what)).collect();
        assert_eq!(found, *expected, "{file}:\n{source}");
    }
}

#[test]
fn innocent_sources_are_left_alone() {
    let innocent: &[(&str, &str)] = &[
        ("wire/a.rs", "//! x [`a`](crate::engine::Engine)\nuse crate::{model::Outcome, units::Ssrc, wire::rtp};\n"),
        (
            "wire/b.rs",
            "//! x\n// crate::app unsafe\n/* crate::store /* std::fs */ unsafe */\nconst A: &str = \"unsafe crate::api\";\n",
        ),
        (
            "wire/c.rs",
            "//! x\nconst A: &str = r#\"crate::app \"unsafe\" \"#; const B: char = '\"'; fn f<'a>(unsafe_rows: &'a u8) {}\n",
        ),
        (
            "wire/d.rs",
            "//! x\nuse super::super::wire::parse;\nuse super::units;\nuse std::net::{IpAddr, SocketAddr};\n",
        ),
        ("wire/sip/e.rs", "//! x\nuse super::super::engine_like;\nuse super::live;\n"),
        (
            "wire/f.rs",
            "//! x\n#[cfg(test)]\nmod tests {\n    fn f() { println!(\"{}\", std::fs::read(\"x\").is_ok()); }\n}\n",
        ),
        ("wire/g.rs", "//! x\n#[cfg(test)]\nmod tests {\n    use super::super::fast_udp;\n    use super::*;\n}\n"),
        ("wire/sip/tests.rs", "//! x\nfn f() { println!(\"{}\", std::fs::read(\"x\").is_ok()); }\n"),
        ("capture/live.rs", "//! x\nuse crate::units::Nanos;\nuse std::fs;\nfn f() { unsafe { g() } }\n"),
        ("app/mod.rs", "//! x\nuse crate::{api, capture, engine, live, store};\nfn f() { println!(\"x\"); }\n"),
        ("main.rs", "//! x\nuse auscult::app;\n"),
    ];
    for (file, source) in innocent {
        assert_eq!(violations(file, source), [], "{file}:\n{source}");
    }
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

/// What a file (by its path under `src/`) does that the plan forbids, in the order of its lines.
fn violations(file: &str, source: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    inspect(file, source, &mut |line, what| found.push(Violation { file: file.to_owned(), line, what }));
    found.sort_by_key(|v| v.line);
    found.dedup();
    found
}

fn inspect(file: &str, source: &str, add: &mut dyn FnMut(usize, String)) {
    if !source.starts_with("//!") {
        add(1, "does not start with a `//!` line saying what lives there".to_owned());
    }
    let code = blank(source);
    if !UNSAFE_ALLOWED.iter().any(|a| file.starts_with(a)) {
        for (at, _) in tokens(&code).iter().filter(|(_, token)| *token == "unsafe") {
            add(line_of(&code, *at), format!("unsafe outside of {}", UNSAFE_ALLOWED.join(", ")));
        }
    }
    let Some((room_name, inside)) = file.split_once('/') else {
        if !DOORS.contains(&file) {
            add(1, format!("{file} is in no room"));
        }
        return;
    };
    let Some(place) = ROOMS.iter().position(|r| r.name == room_name) else {
        add(1, format!("{room_name} is no room of the plan"));
        return;
    };
    let room = &ROOMS[place];
    for (at, path) in imports_of_root(&code, inside) {
        let line = line_of(&code, at);
        match ROOMS.iter().position(|r| r.name == path) {
            _ if path == "*" => add(line, format!("{room_name} imports everything from the root")),
            None => add(line, format!("{room_name} imports {path}, which is no room")),
            Some(other) if other > place => add(line, format!("{room_name} imports {path}, a room below it")),
            Some(_) if room.walls.contains(&path.as_str()) => {
                add(line, format!("{room_name} imports {path}, which a wall keeps out"));
            }
            Some(_) => {}
        }
    }
    if room.effects == Effects::None && !file.ends_with("/tests.rs") {
        let shipped = without_test_modules(&code);
        let paths = full_paths(&shipped);
        for effect in EFFECTS {
            let hit = paths.iter().filter(|(_, path)| matches_effect(path, effect));
            for (at, _) in hit {
                add(line_of(&shipped, *at), format!("{effect} in a pure room"));
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

/// First names after the root of the crate, with where they stand, however the root is written: `crate::`,
/// `auscult::`, or one `super::` more than the file (by its path inside the room) is deep.
fn imports_of_root(code: &str, inside: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    let mut found = Vec::new();
    for (at, path) in full_paths(code) {
        let rest = if path.starts_with("super::") {
            let climb = "super::".repeat(parts.len() + 1 + enclosing_modules(code, at));
            path.strip_prefix(climb.as_str())
        } else {
            ["crate::", "auscult::"].iter().find_map(|root| path.strip_prefix(root))
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
    // What an error points at: the first part that says which room is meant.
    let mut start = tokens[i].0;
    loop {
        if path.ends_with("super::") || path == "crate::" || path == "auscult::" {
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
