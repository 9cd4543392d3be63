//! `auscult erase` and `auscult privacy report`, while the program runs and when it does not.

use crate::program::{End, Program, command, end_of, http, json, reaches, rows, run_arguments};
use crate::{engine, read, temporary, worlds};
use auscult_store::spool::decode;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

fn erase(data: &Path, more: &[&str]) -> End {
    let data = data.display().to_string();
    let usual = ["erase", "--data", &data];
    end_of(&usual.iter().chain(more).copied().collect::<Vec<_>>())
}

fn document(end: &End) -> Value {
    let text: Vec<&str> = end.said.iter().filter(|line| !line.starts_with("! ")).map(String::as_str).collect();
    serde_json::from_str(&text.join("\n")).unwrap_or_else(|e| panic!("{e}: {end:?}"))
}

fn report(data: &Path) -> Value {
    let data = data.display().to_string();
    let end = end_of(&["privacy", "report", "--data", &data, "--format", "json"]);
    assert_eq!(end.code, 0, "{end:?}");
    document(&end)
}

fn rows_of(report: &Value, table: &str) -> u64 {
    let tables = report["tables"].as_array().unwrap();
    tables.iter().find(|t| t["table"] == table).unwrap()["rows"].as_u64().unwrap()
}

/// Sum over tables of rows in a place of the document of an erasure.
fn sum(document: &Value, field: &str) -> u64 {
    document["counts"].as_array().unwrap().iter().map(|count| count[field].as_u64().unwrap()).sum()
}

const WINDOW: &str = "limit=500";

fn callers(api: std::net::SocketAddr) -> Vec<String> {
    let calls = json(api, &format!("/api/v1/calls?{WINDOW}"));
    let mut callers: Vec<String> =
        calls["calls"].as_array().unwrap().iter().map(|c| c["caller"]["user"].as_str().unwrap().to_owned()).collect();
    callers.sort();
    callers
}

#[test]
fn a_running_program_erases_a_person_and_a_stopped_one_s_store_is_opened() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let data = dir.path().join("data");
    let files = [worlds::short_calls(dir.path(), 3)];
    let mut arguments = command(&run_arguments(&data, &read(&files, &[])));
    let mut program = Program::spawn(arguments.env("RUST_LOG", "auscult=info"));
    let api = program.api();
    assert!(reaches(api, &rows("calls", "delivered"), 18));
    program.until("stored 18 calls");
    let before = report(&data);
    assert_eq!(rows_of(&before, "calls"), 18);
    assert!(rows_of(&before, "sip_messages") > 18 && rows_of(&before, "rtcp_reports") > 18);
    let calls = before["tables"].as_array().unwrap().iter().find(|t| t["table"] == "calls").unwrap();
    assert_eq!((calls["days"].as_u64(), calls["emergency_days"].as_u64()), (Some(90), Some(90)));

    let part = erase(&data, &["--number", "2025550105", "--format", "json"]);
    assert_eq!((part.code, sum(&document(&part), "before")), (0, 0), "the end of a number is another one: {part:?}");
    let number = "001 202 555-0105";
    let dry = erase(&data, &["--number", number, "--dry-run", "--format", "json"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    let would_go = sum(&document(&dry), "after");
    assert!(would_go > 5, "{dry:?}");
    assert_eq!(rows_of(&report(&data), "calls"), 18, "a dry run changes nothing");

    let done = erase(&data, &["--number", number, "--format", "json"]);
    let document = document(&done);
    assert_eq!((done.code, sum(&document, "before"), sum(&document, "after")), (0, would_go, 0), "{done:?}");
    let after = report(&data);
    assert_eq!(rows_of(&after, "calls"), 17);
    assert_eq!(rows_of(&after, "call_groups"), rows_of(&before, "call_groups"), "sums stay");
    let left = callers(api);
    assert_eq!(left.len(), 17);
    assert!(!left.contains(&"+12025550105".to_owned()) && left.contains(&"+12025550104".to_owned()));
    let (status, found) = http(api, "GET", &format!("/api/v1/calls?{WINDOW}&number=%2B12025550105"), "", "");
    assert_eq!((status, serde_json::from_str::<Value>(&found).unwrap()["calls"].as_array().unwrap().len()), (200, 0));
    let end = program.terminate();
    let logged: Vec<&String> = end.said.iter().filter(|line| line.contains("rows were erased")).collect();
    assert_eq!(logged.len(), 2, "each erasure, and no dry run: {logged:?}");
    assert!(!end.said.iter().any(|line| line.contains("2025550105")), "no number in the log");

    // Stopped: the command opens the store itself.
    let uid = {
        let (_store, address) = Program::store(&data.join("clickhouse"), "127.0.0.1:0");
        let uid = "SELECT lower(leftPad(hex(call_uid), 16, '0')) FROM calls WHERE caller_user = '+12025550104'";
        let (_, uid) = crate::program::sql(address, Some(crate::program::TOKEN), uid);
        uid.trim().to_owned()
    };
    let done = erase(&data, &["--call", &uid]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.says(&format!("calls: 1 ({uid})")) && done.says("erased: "), "{done:?}");
    assert_eq!(rows_of(&report(&data), "calls"), 16);
    let again = erase(&data, &["--call", &uid, "--format", "json"]);
    assert_eq!((again.code, sum(&self::document(&again), "before")), (0, 0));
}

/// A store that is away keeps rows in the spool: they go from there, and from nowhere else, however often it is cut off.
#[test]
fn an_erasure_that_is_killed_is_ended_by_the_next() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let data = dir.path().join("data");
    let files = [worlds::short_calls(dir.path(), 4)];
    // A server that does not answer: rows stay in the spool. Then the embedded store of the same directory.
    let away = ["--clickhouse", "http://127.0.0.1:1", "--exit"];
    assert_eq!(end_of(&run_arguments(&data, &read(&files, &away))).code, 1);
    assert_eq!(
        end_of(&run_arguments(
            &data,
            &["--read", files[0].to_str().unwrap(), "--clickhouse", "http://127.0.0.1:1", "--exit"]
        ))
        .code,
        1
    );
    std::fs::create_dir_all(data.join("clickhouse")).unwrap();
    let calls = || waiting(&data, "calls");
    assert_eq!(calls(), 18);
    for milliseconds in [50, 300, 700, 1_200] {
        let path = data.display().to_string();
        let mut erasing = Program::start(&["erase", "--data", &path, "--number", "+12025550107"]);
        if !erasing.ended_within(Duration::from_millis(milliseconds)) {
            erasing.kill();
        }
        assert!((17..=18).contains(&calls()), "others' rows are there once");
    }
    let done = erase(&data, &["--number", "+12025550107", "--format", "json"]);
    assert_eq!((done.code, sum(&document(&done), "after")), (0, 0), "{done:?}");
    assert_eq!(calls(), 17);
    let mut program = Program::run(&data, &[]);
    let api = program.api();
    assert!(reaches(api, &rows("calls", "delivered"), 17));
    let left = callers(api);
    assert_eq!(left.len(), 17);
    assert!(!left.contains(&"+12025550107".to_owned()));
    assert_eq!(program.terminate().code, 0);
}

/// Rows of a table in segments that wait.
fn waiting(data: &Path, table: &str) -> u64 {
    let files = std::fs::read_dir(data.join("spool")).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|e| e == "seg"));
    let batches = segments.map(|path| decode(&std::fs::read(path).unwrap()).unwrap());
    batches.filter(|batch| batch.table.name() == table).map(|batch| u64::from(batch.rows)).sum()
}

#[test]
fn what_cannot_be_erased_is_one_line() {
    let dir = temporary();
    let nowhere = dir.path().join("nowhere");
    let end = erase(&nowhere, &["--number", "1"]);
    assert_eq!(end.code, 1);
    assert!(end.error().contains("there is no data directory"), "{end:?}");
    assert!(!nowhere.exists());
    let end = erase(dir.path(), &["--number", "()"]);
    assert!(end.error().contains("is no number"), "{end:?}");
    let end = erase(dir.path(), &["--number", "1"]);
    assert!(end.error().contains("there is no embedded store"), "{end:?}");
    for arguments in [&["erase"][..], &["erase", "--number", "1", "--call", "2"]] {
        assert_eq!(end_of(arguments).code, 2, "one subject");
    }
}

/// Every row of an emergency call is marked, from its first message on, and only those.
#[test]
fn rows_of_an_emergency_call_are_marked_and_its_period_is_applied_once() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let data = dir.path().join("data");
    let files = [worlds::short_calls(dir.path(), 5)];
    let config = dir.path().join("auscult.toml");
    let text = "[retention]\ncalls = 90\nsip_messages = 14\nemergency_numbers = [\"+1 202 555-0203\"]\n[retention.emergency]\ncalls = 365\n";
    std::fs::write(&config, text).unwrap();
    let with_config = ["--config", config.to_str().unwrap(), "--exit"];
    let first = end_of(&run_arguments(&data, &read(&files, &with_config)));
    assert_eq!(first.code, 0, "{first:?}");
    let said =
        "calls: 90 days, of emergency calls 365 days instead of 90 days; sip_messages: 14 days instead of 7 days";
    assert!(first.says(said), "{first:?}");
    let second = end_of(&run_arguments(&data, &read(&files, &with_config)));
    assert!(second.code == 0 && !second.says("another time"), "{second:?}");
    let tables = report(&data);
    let calls = tables["tables"].as_array().unwrap().iter().find(|t| t["table"] == "calls").unwrap();
    assert_eq!((calls["days"].as_u64(), calls["emergency_days"].as_u64()), (Some(90), Some(365)));
    let (_store, address) = Program::store(&data.join("clickhouse"), "127.0.0.1:0");
    for table in ["calls", "streams", "stream_intervals", "sip_messages", "rtcp_reports"] {
        // Rows without a call belong to none.
        let sql = format!(
            "WITH (SELECT call_uid FROM calls WHERE callee_user = '+12025550203') AS uid \
             SELECT countIf(emergency) > 0, countIf(emergency != (call_uid = uid)) FROM {table}"
        );
        let (_, answer) = crate::program::sql(address, Some(crate::program::TOKEN), &sql);
        assert_eq!(answer.trim(), "1\t0", "{table}: is any marked, how many are not as they ought to be");
    }
}
