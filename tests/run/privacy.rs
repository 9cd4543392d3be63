//! Numbers planted everywhere, through the whole program: what it stores, sends, logs and answers shows none where they are hidden.
//!
//! Tables come from the store and routes from the OpenAPI document, so that a new one is looked through by itself.

use crate::program::{Program, TOKEN, command, get, json, reaches, rows, run_arguments, sql, try_http};
use crate::{engine, temporary};
use auscult_store::Table;
use auscult_store::spool::decode;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::JoinHandle;
use testkit::numbers::Numbers;
use testkit::pcap;

const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101\n";

/// What showed how many of the planted texts.
type Shown = BTreeMap<String, usize>;

struct Rig {
    dir: tempfile::TempDir,
    world: Numbers,
    capture: String,
    settings: String,
    hidden: bool,
    shown: Shown,
}

impl Rig {
    fn new(mode: &str) -> Rig {
        let dir = temporary();
        let (world, capture) = (Numbers::new(), dir.path().join("numbers.pcap"));
        std::fs::write(&capture, pcap::to_bytes(&world.frames)).unwrap();
        let (key, file) = (dir.path().join("key"), dir.path().join("auscult.toml"));
        std::fs::write(&key, KEY).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "[measure]\ninterval_s = 1\n[[trunk]]\nname = \"t\"\nnetworks = [\"192.0.2.0/24\"]\n\
             [privacy]\nnumbers = {mode:?}\nkey_file = \"key\"\nkeep_headers = [\"X-Kept\"]\n"
        );
        std::fs::write(&file, text).unwrap();
        let (capture, settings) = (capture.display().to_string(), file.display().to_string());
        Rig { dir, world, capture, settings, hidden: mode != "clear", shown: Shown::new() }
    }

    /// Looks through what a sink holds.
    #[track_caller]
    fn sink(&mut self, name: &str, text: &str) {
        let shown = self.world.shown_by(text);
        if let (true, Some(place)) = (self.hidden, shown.first()) {
            let planted = self.world.planted.iter().find(|p| p.place == *place).unwrap();
            let line = text.lines().find(|line| line.contains(&planted.text)).unwrap_or_default();
            panic!("{name} shows {shown:?}: {}", line.chars().take(3_000).collect::<String>());
        }
        let most = self.shown.entry(name.to_owned()).or_default();
        *most = shown.len().max(*most);
    }

    fn files(&mut self, name: &str, dir: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(name, &path);
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap_or_default();
            if let Ok(batch) = decode(&bytes) {
                bytes.extend(batch.payload);
            }
            self.sink(name, &String::from_utf8_lossy(&bytes));
        }
    }

    /// A replay at its own speed, with the server-sent events and the running calls in the meantime.
    fn replay(&mut self, data: &Path) {
        let arguments = run_arguments(data, &["-c", &self.settings, "--read", &self.capture, "--pace", "real"]);
        let mut program = Program::spawn(command(&arguments).env("RUST_LOG", "trace"));
        let api = program.api();
        let events = std::thread::spawn(move || get(api, "/api/v1/live").1);
        let active = while_it_runs(api, "/api/v1/calls?state=active&limit=1000");
        program.until(" frames in ");
        for table in ["calls", "sip_messages", "streams", "rtcp_reports"] {
            assert!(reaches(api, &rows(table, "delivered"), 4), "{table}");
        }
        self.routes(api);
        let end = program.terminate();
        assert_eq!(end.code, 0, "{end:?}");
        self.sink("live events", &events.join().unwrap());
        self.sink("running calls", &active.join().unwrap());
        self.sink("log", &end.said.join("\n"));
    }

    /// Every route that the OpenAPI document has a GET for, also as files.
    fn routes(&mut self, api: SocketAddr) {
        let document = json(api, "/api/v1/openapi.json");
        let calls = json(api, "/api/v1/calls?limit=1000");
        let ids: Vec<String> =
            calls["calls"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect();
        assert!(ids.len() > 80, "{}", ids.len());
        let mut routes = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            // The events are read while calls go on.
            if methods.get("get").is_none() || path == "/api/v1/live" {
                continue;
            }
            routes += 1;
            let parameters = methods["get"]["parameters"].as_array().cloned().unwrap_or_default();
            let takes = |name: &str| parameters.iter().any(|p| p["name"] == name);
            let asked: Vec<String> = match path.as_str() {
                "/api/v1/calls/{id}" => ids.iter().map(|id| path.replace("{id}", id)).collect(),
                "/api/v1/compare" => vec![format!("{path}?figure=loss_pct")],
                path => vec![path.replace("{id}", "0000000000000001")],
            };
            for one in asked {
                let limit = if takes("limit") { "?limit=1000" } else { "" };
                let (status, body) = get(api, &format!("{one}{limit}"));
                assert!(status < 500, "{one}: {body}");
                self.sink(path, &body);
            }
            for format in ["csv", "parquet"].into_iter().filter(|_| takes("format")) {
                let (status, body) = get(api, &format!("{path}?format={format}"));
                assert_eq!(status, 200, "{path}: {body}");
                self.sink(&format!("{path} as {format}"), &body);
            }
        }
        assert!(routes >= 15, "{routes}");
    }

    /// Whole numbers, however they are written, and clear Call-IDs find their call.
    fn searches(&mut self, data: &Path) {
        let mut program = Program::run(data, &["-c", &self.settings]);
        let api = program.api();
        let [caller, callee, call_id] = self.world.call.clone();
        let found = |query: &str| {
            let list = json(api, &format!("/api/v1/calls?{query}"));
            list["calls"]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| c["id"].as_str().unwrap().to_owned())
                .collect::<BTreeSet<_>>()
        };
        let by_id = found(&format!("call_id={call_id}"));
        assert_eq!(by_id.len(), 1);
        for query in [
            format!("number=%2B{caller}"),
            format!("number=00{callee}"),
            format!("number={} {}", &caller[..4], &caller[4..]).replace(' ', "%20"),
        ] {
            assert!(found(&query).is_superset(&by_id), "{query}");
        }
        let last = found(&format!("number={}", &caller[5..]));
        assert_eq!(last.is_superset(&by_id), !self.hidden, "the last digits find a number in clear only");
        assert_eq!(found("number=4930999999999").len(), 0);
        assert_eq!(program.terminate().code, 0);
    }

    /// All rows of all tables of the store.
    fn tables(&mut self, data: &Path) {
        let (mut store, address) = Program::store(&data.join("clickhouse"), "127.0.0.1:0");
        let (status, names) =
            sql(address, Some(TOKEN), "SELECT name FROM system.tables WHERE database = 'auscult' FORMAT TSV");
        assert_eq!(status, 200, "{names}");
        let names: BTreeSet<&str> = names.lines().collect();
        assert!(Table::ALL.iter().all(|table| names.contains(table.name())), "{names:?}");
        for name in names {
            let (status, text) = sql(address, Some(TOKEN), &format!("SELECT * FROM `{name}` FORMAT JSONEachRow"));
            assert_eq!(status, 200, "{name}: {text}");
            self.sink(&format!("table {name}"), &text);
            // Columns that are not among those of `*`, such as the reversed numbers.
            let more = format!(
                "SELECT name FROM system.columns WHERE database = 'auscult' AND table = '{name}' AND default_kind IN ('MATERIALIZED', 'ALIAS') FORMAT TSV"
            );
            for column in sql(address, Some(TOKEN), &more).1.lines() {
                let (_, text) = sql(
                    address,
                    Some(TOKEN),
                    &format!("SELECT reverseUTF8(toString(`{column}`)) FROM `{name}` FORMAT TSV"),
                );
                self.sink(&format!("column {name}.{column}"), &text);
            }
        }
        store.signal("TERM");
        store.ended_within(std::time::Duration::from_secs(10));
    }
}

/// What a path answers until the program has ended.
fn while_it_runs(api: SocketAddr, path: &'static str) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut all = String::new();
        while let Some((200, body)) = try_http(api, "GET", path, "", "") {
            all.push_str(&body);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        all
    })
}

/// Everything that a program in this mode makes of the capture.
fn sinks(mode: &str) -> Option<Shown> {
    if !engine() {
        return None;
    }
    let mut rig = Rig::new(mode);
    let data = rig.dir.path().join("data");
    rig.replay(&data);
    rig.searches(&data);
    rig.tables(&data);
    rig.files("files of the data directory", &data);
    // A store that is away: everything stays in the spool.
    let away = rig.dir.path().join("away");
    let arguments = run_arguments(
        &away,
        &["-c", &rig.settings, "--clickhouse", "http://127.0.0.1:1", "--read", &rig.capture, "--exit"],
    );
    let end = Program::spawn(command(&arguments).env("RUST_LOG", "trace")).end();
    rig.sink("log without a store", &end.said.join("\n"));
    rig.files("spool", &away);
    Some(rig.shown)
}

#[test]
fn in_clear_the_sinks_show_what_was_planted() {
    let Some(shown) = sinks("clear") else { return };
    // Where nothing shows in clear, the tests of the other modes prove nothing.
    for (sink, least) in [
        ("table calls", 25),
        ("table sip_messages", 100),
        ("table rtcp_reports", 4),
        ("table streams", 8),
        ("column calls.caller_reversed", 4),
        ("spool", 100),
        ("live events", 4),
        ("running calls", 4),
        ("/api/v1/calls", 25),
        ("/api/v1/calls/{id}", 4),
        ("/api/v1/calls as csv", 20),
        ("/api/v1/streams", 4),
    ] {
        assert!(shown.get(sink).is_some_and(|n| *n >= least), "{sink}: {shown:#?}");
    }
}

#[test]
fn no_sink_shows_a_number_where_they_are_masked() {
    sinks("masked");
}

#[test]
fn no_sink_shows_a_number_where_they_are_pseudonyms() {
    sinks("pseudonym");
}

/// Keys are made, refused and changed as the documentation says.
#[test]
fn keys_are_private_and_rotate() {
    let dir = temporary();
    let (key, file) = (dir.path().join("key"), dir.path().join("auscult.toml"));
    let new_key = || {
        let output = command(&["privacy", "new-key", key.to_str().unwrap()]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let check = || {
        let output = command(&["check-config", file.to_str().unwrap()]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    std::fs::write(&file, "[privacy]\nnumbers = \"pseudonym\"\nkey_file = \"key\"\n").unwrap();
    let (good, line) = check();
    assert!(!good && line.contains("cannot read privacy.key_file") && line.lines().count() == 1, "{line}");
    let (good, line) = new_key();
    assert!(good && line.starts_with("key ") && line.contains("SIGHUP"), "{line}");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(check().0);
    assert!(new_key().0);
    let text = std::fs::read_to_string(&key).unwrap();
    let secrets: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(secrets.len() == 2 && secrets[0] != secrets[1] && secrets.iter().all(|s| s.len() == 64), "{text}");
    assert!(check().0);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    for (good, line) in [check(), new_key()] {
        assert!(!good && line.contains("mode 0640") && line.contains("chmod 600"), "{line}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (wrong, why) in [
        ("xyz\n", "line 1 is not a key"),
        ("", "has no key"),
        (&*format!("{KEY}{KEY}"), "line 2 has a key that an earlier line has"),
    ] {
        std::fs::write(&key, wrong).unwrap();
        let (good, line) = check();
        assert!(!good && line.contains(why) && line.lines().count() == 1 && !line.contains("0101"), "{line}");
    }
}
