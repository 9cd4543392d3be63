//! A store by URL: whole replays, a server that dies in the middle, one that is not there.

use crate::events::{expected, held_by, same};
use crate::program::{End, Program, TOKEN, end_of, json, reaches, rows, sql};
use crate::{engine, read, sample, samples, temporary, worlds};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

/// Settings that name a server and hold its password.
fn settings(dir: &Path, address: SocketAddr) -> String {
    let (file, password) = (dir.join("auscult.toml"), dir.join("password"));
    std::fs::write(&password, format!("{TOKEN}\n")).expect("a file");
    let text = format!("[store]\nclickhouse = \"http://{address}\"\npassword_file = {:?}\n", password.display());
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

fn arguments(dir: &Path, address: SocketAddr, more: &[&str]) -> Vec<String> {
    let settings = settings(dir, address);
    let more: Vec<&str> = more.iter().copied().chain(["-c", &settings]).collect();
    crate::program::run_arguments(&dir.join("data"), &more)
}

#[test]
fn a_replay_goes_to_a_server() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let (_server, address) = Program::store(&dir.path().join("server"), "127.0.0.1:0");
    let files = samples();
    let arguments = arguments(dir.path(), address, &read(&files, &["--exit"]));
    let end = end_of(&arguments);
    assert_eq!(end.code, 0, "{end:?}");
    assert!(!dir.path().join("data/clickhouse").exists(), "no embedded store beside a server");
    same(&held_by(address), &expected(&files));
    assert!(end_of(&arguments).says("in the store already"));
    same(&held_by(address), &expected(&files));
}

#[test]
fn a_server_that_dies_in_the_middle_gets_every_row_once() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let store = dir.path().join("server");
    let (server, address) = Program::store(&store, "127.0.0.1:0");
    let files = [worlds::short_calls(dir.path(), 5)];
    let arguments = arguments(dir.path(), address, &read(&files, &["--pace", "real"]));
    let mut program = Program::start(&arguments);
    let api = program.api();
    program.until("replaying");
    assert!(reaches(api, &rows("sip_messages", "delivered"), 1));
    server.kill();
    assert!(reaches(api, "auscult_store_retries_total", 1));
    assert_eq!(crate::program::get(api, "/readyz").0, 503, "not ready without a store");
    assert_eq!(crate::program::get(api, "/healthz").0, 200);
    let (_server, _) = Program::store(&store, &address.to_string());
    program.until("stored 18 calls");
    assert_eq!(json(api, "/readyz")["ready"], true);
    assert_eq!(program.terminate().code, 0);
    same(&held_by(address), &expected(&files));
}

#[test]
fn a_program_killed_while_the_server_is_away_goes_on_when_it_is_back() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let store = dir.path().join("server");
    let (server, address) = Program::store(&store, "127.0.0.1:0");
    let files = [worlds::short_calls(dir.path(), 8)];
    let mut program = Program::start(&arguments(dir.path(), address, &read(&files, &["--pace", "real"])));
    let api = program.api();
    program.until("replaying");
    assert!(reaches(api, &rows("sip_messages", "delivered"), 1));
    server.kill();
    // Some rows are with the server, some are in the spool, some nowhere yet.
    assert!(reaches(api, "auscult_spool_rows", 1));
    program.kill();
    let arguments = arguments(dir.path(), address, &read(&files, &["--exit"]));
    let refused = end_of(&arguments);
    assert!(refused.code == 1 && refused.error().contains("cannot go on without the store"), "{refused:?}");
    let (_server, _) = Program::store(&store, &address.to_string());
    let next: End = end_of(&arguments);
    assert!(next.code == 0 && next.says("going on with a replay"), "{next:?}");
    same(&held_by(address), &expected(&files));
}

#[test]
fn rows_wait_in_the_spool_for_a_server_that_is_not_there() {
    if !engine() {
        return;
    }
    let dir = temporary();
    // A port that was free a moment ago: nothing listens on it.
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let files = [sample("05-failed")];
    let arguments = arguments(dir.path(), address, &read(&files, &["--exit"]));
    let first = end_of(&arguments);
    assert_eq!(first.code, 1, "{first:?}");
    assert!(first.says("is not ready"), "{first:?}");
    assert!(first.error().contains("rows wait in") && first.error().contains("delivered by the next run"), "{first:?}");
    let (_server, _) = Program::store(&dir.path().join("server"), &address.to_string());
    let second = end_of(&arguments);
    assert_eq!(second.code, 0, "{second:?}");
    same(&held_by(address), &expected(&files));
}

#[test]
fn rows_the_server_refuses_are_kept_and_said_and_nobody_waits_for_them() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let (_server, address) = Program::store(&dir.path().join("server"), "127.0.0.1:0");
    let first = [sample("05-failed")];
    assert_eq!(end_of(&arguments(dir.path(), address, &read(&first, &["--exit"]))).code, 0);
    let (status, answer) = sql(address, Some(TOKEN), "ALTER TABLE calls DROP COLUMN acked");
    assert_eq!(status, 200, "{answer}");
    let second = [sample("03-one-way")];
    let end = end_of(&arguments(dir.path(), address, &read(&second, &["--exit"])));
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.error().contains("6 rows were refused") && end.error().contains("dead_letter"), "{end:?}");
    let dead = std::fs::read_dir(dir.path().join("data/spool/dead_letter")).expect("dead letters").count();
    assert_eq!(dead, 2, "the rows, and why");
    let streams = sql(address, Some(TOKEN), "SELECT count() FROM streams FORMAT TSV").1;
    assert_eq!(streams.trim(), "10", "rows of other tables are stored");
}
