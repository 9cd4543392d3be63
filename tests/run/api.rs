//! The API, the page and the store's own interface of a running program.

use crate::program::{End, Program, TOKEN, command, end_of, get, json, run_arguments, sql};
use crate::{engine, read, samples, temporary};
use std::net::TcpListener;

#[test]
fn a_running_program_answers() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let files = samples();
    let mut program = Program::run(dir.path(), &read(&files, &["--guide"]));
    let api = program.api();
    program.until("stored 89 calls");
    let look = program.until("open http://");
    assert!(look.contains(&api.to_string()), "{look}");
    let worst = program.until("the worst call");
    let range = json(api, "/api/v1/range");
    assert_eq!((&range["calls"], &range["streams"]), (&89.into(), &144.into()), "{range}");
    let calls = json(api, "/api/v1/calls?limit=5");
    assert_eq!(calls["calls"].as_array().map(Vec::len), Some(5));
    let calls = json(api, "/api/v1/calls?codec=PCMA&limit=1");
    let id = calls["calls"][0]["id"].as_str().expect("an id");
    let detail = json(api, &format!("/api/v1/calls/{id}"));
    assert!(detail["streams"].as_array().is_some_and(|s| !s.is_empty()), "{detail}");
    assert!(detail["ladder"].as_array().is_some_and(|s| !s.is_empty()), "{detail}");
    let shown = worst.rsplit('/').next().expect("a path").trim();
    assert_eq!(json(api, &format!("/api/v1/calls/{shown}"))["call"]["id"], shown, "the guide points at a call");
    let stats = json(api, "/api/v1/stats?group_by=codec");
    assert!(stats["groups"].as_array().is_some_and(|groups| groups.len() > 2), "{stats}");
    assert_eq!(json(api, "/readyz")["ready"], true);
    assert_eq!(json(api, "/healthz")["status"], "ok");
    let (status, metrics) = get(api, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "auscult_frames_read_total 134842",
        "auscult_store_rows_total{table=\"calls\",state=\"delivered\"} 89",
        "auscult_spool_rows 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    if auscult_api::page_is_built() {
        let (status, page) = get(api, "/");
        assert!(status == 200 && page.contains("<html"), "{page}");
    }
    let end = program.terminate();
    assert_eq!((end.code, end.said.iter().filter(|line| line.starts_with("! ")).count()), (0, 0), "{end:?}");
}

#[test]
fn what_is_taken_is_refused_in_one_line() {
    if !engine() {
        return;
    }
    let (dir, other) = (temporary(), temporary());
    let mut program = Program::run(dir.path(), &[]);
    let api = program.api();
    let second = end_of(&run_arguments(dir.path(), &[]));
    assert_eq!(second.code, 1);
    assert!(second.error().contains("another auscult"), "{second:?}");
    let data = other.path().display().to_string();
    let third = end_of(&["run", "--data", &data, "--listen", &api.to_string()]);
    assert_eq!(third.code, 1);
    assert!(third.error().contains(&format!("cannot listen on {api}")) && third.error().contains("--listen"));
    assert_eq!(json(api, "/healthz")["status"], "ok", "the first one goes on");
    assert_eq!(program.terminate().code, 0);
}

#[test]
fn the_store_can_be_opened_for_reading_with_a_token() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let (settings, token) = (dir.path().join("auscult.toml"), dir.path().join("token"));
    std::fs::write(&token, format!("{TOKEN}\n")).expect("a file");
    let text = format!("[store]\nlisten = \"127.0.0.1:0\"\ntoken_file = {:?}\n", token.display());
    std::fs::write(&settings, text).expect("a file");
    let files = samples();
    let settings = settings.display().to_string();
    let mut program = Program::run(dir.path(), &read(&files, &["-c", &settings]));
    let store = program.address("read-only, on http://");
    program.until("stored 89 calls");
    let (status, answer) = sql(store, Some(TOKEN), "SELECT count() FROM calls FORMAT TSV");
    assert_eq!((status, answer.trim()), (200, "89"));
    for statement in [
        "INSERT INTO schema_migrations (version, name) VALUES (99, 'x')",
        "CREATE TABLE t (x UInt8) ENGINE = Memory",
        "DROP TABLE calls",
        "ALTER TABLE calls DELETE WHERE 1",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    ] {
        let (status, answer) = sql(store, Some(TOKEN), statement);
        assert!(status >= 400, "{statement}: {status} {answer}");
    }
    for token in [None, Some("another")] {
        let (status, answer) = sql(store, token, "SELECT count() FROM calls");
        assert!((401..=403).contains(&status), "{status} {answer}");
    }
    assert_eq!(sql(store, Some(TOKEN), "SELECT count() FROM calls FORMAT TSV").1.trim(), "89");
    assert_eq!(program.terminate().code, 0);
}

#[test]
fn what_cannot_work_is_one_line() {
    let dir = temporary();
    let file = dir.path().join("a file");
    std::fs::write(&file, "").expect("a file");
    let below = file.join("data").display().to_string();
    let end = end_of(&["run", "--listen", "127.0.0.1:0", "--data", &below]);
    assert!(end.code == 1 && end.error().contains("cannot create") && end.error().contains("a file"), "{end:?}");

    let without = |arguments: &[String]| -> End {
        let mut command = command(arguments);
        command.env("AUSCULT_LIBCHDB", "/nonexistent").env("HOME", dir.path()).env_remove("XDG_CACHE_HOME");
        Program::spawn(&mut command).end()
    };
    let end = without(&run_arguments(&dir.path().join("data"), &[]));
    assert!(end.code == 1 && end.error().contains("make engine") && end.error().contains("/nonexistent"), "{end:?}");
    let capture = crate::sample("03-one-way").display().to_string();
    let end = without(&["analyze".to_owned(), capture]);
    assert!(end.code == 0 && end.says("one way"), "{end:?}");

    // Nothing answers there, and no engine is needed for it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = listener.local_addr().expect("an address");
    drop(listener);
    let mut command = command(&run_arguments(&dir.path().join("data"), &["--clickhouse", &format!("http://{nobody}")]));
    command.env("AUSCULT_LIBCHDB", "/nonexistent");
    let mut program = Program::spawn(&mut command);
    let api = program.api();
    assert_eq!(get(api, "/healthz").0, 200);
    assert_eq!(get(api, "/readyz").0, 503);
    assert_eq!(get(api, "/api/v1/calls").0, 503);
    assert_eq!(program.terminate().code, 0);

    let missing = end_of(&run_arguments(&dir.path().join("data"), &["--read", "/nonexistent.pcap"]));
    assert!(missing.code == 2 && missing.error().contains("/nonexistent.pcap"), "{missing:?}");
}
