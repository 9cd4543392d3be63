//! How the program ends when something is wrong with it, and what it says of calls that were up.

use crate::events::{expected, same, stored_rows};
use crate::program::{Program, TOKEN, command, end_of, get, http, json, reaches, run_arguments, sql};
use crate::{engine, read, sample, samples, temporary};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// A pcapng of Ethernet with these times in microseconds; each frame is an empty UDP datagram.
fn pcapng(dir: &Path, times: &[u64]) -> PathBuf {
    let block = |kind: u32, body: &[u8]| {
        let len = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes(), &len[..], body, &len].concat()
    };
    let mut file = block(0x0a0d_0d0a, &[&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
    file.extend(block(1, &[1, 0, 0, 0, 0, 0, 4, 0]));
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0];
    frame.extend([198, 51, 100, 1, 192, 0, 2, 1, 0x9c, 0x40, 0x9c, 0x42, 0, 8, 0, 0, 0, 0]);
    let len = (frame.len() as u32).to_le_bytes();
    for units in times {
        let (high, low) = (((units >> 32) as u32).to_le_bytes(), (*units as u32).to_le_bytes());
        file.extend(block(6, &[&[0; 4], &high[..], &low, &len, &len, &frame].concat()));
    }
    let path = dir.join("times.pcapng");
    std::fs::write(&path, file).expect("a file");
    path
}

/// A capture whose last time is the largest there is: it is read to its end, by both commands.
#[test]
fn a_capture_of_impossible_times_ends() {
    let dir = temporary();
    let now = 1_795_651_200_000_000;
    let file = pcapng(dir.path(), &[now, u64::MAX, now + 20_000, i64::MAX as u64 / 1000, now + 40_000]);
    let name = file.display().to_string();
    let end = end_of(&["analyze", "--format", "json", &name]);
    assert_eq!(end.code, 0, "{end:?}");
    let document: serde_json::Value = serde_json::from_str(&end.said.join("\n")).expect("a document");
    let outcomes = serde_json::json!({"ignored.keep_alive": 3, "ignored.time_out_of_range": 2});
    assert_eq!((&document["frames"], &document["outcomes"]), (&5.into(), &outcomes), "{document}");
    if !engine() {
        return;
    }
    let mut program = Program::run(&dir.path().join("data"), &["--read", &name]);
    let api = program.api();
    program.until("2 records have a time before 1970 or after 2105");
    // What the engine finishes with is counted after that line.
    program.until("stored ");
    for line in [
        "auscult_frames_refused_total{reason=\"time_out_of_range\"} 2",
        "auscult_frames_total{outcome=\"ignored.time_out_of_range\"} 2",
        "auscult_frames_read_total 5",
        "auscult_panics_total 0",
    ] {
        let (_, metrics) = get(api, "/metrics");
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert_eq!(json(api, "/readyz")["ready"], true);
    assert_eq!(program.terminate().code, 0);
}

/// Builds without debug assertions have no place to fail at.
fn failing(data: &Path, files: &[PathBuf], at: &str, more: &[&str]) -> Option<Program> {
    if !engine() {
        return None;
    }
    if !cfg!(debug_assertions) {
        testkit::skip("this build has no place to fail at");
        return None;
    }
    let mut command = command(&run_arguments(data, &read(files, more)));
    Some(Program::spawn(command.env("AUSCULT_TEST_FAIL", at).env_remove("RUST_BACKTRACE")))
}

#[test]
fn a_panic_in_the_measuring_thread_ends_the_program_and_loses_no_row_that_was_made() {
    let dir = temporary();
    let files = samples();
    for more in [&["--exit"][..], &[]] {
        let Some(program) = failing(dir.path(), &files, "panic@100000", more) else { return };
        let end = program.end();
        assert_eq!(end.code, 1, "{end:?}");
        let line = end.error();
        assert!(line.starts_with("auscult: the measuring thread failed (src/app/fail_point.rs:"), "{line}");
        assert!(line.contains("asked for by AUSCULT_TEST_FAIL") && line.contains("start the program again"), "{line}");
        let logged = end.said.iter().filter(|l| l.starts_with("! {") && l.contains("a thread panicked")).count();
        assert_eq!(logged, 1, "{end:?}");
    }
    let rows: usize = stored_rows(dir.path()).values().map(Vec::len).sum();
    assert!(rows > 1000, "{rows} rows are stored or in the spool");
    let end = end_of(&run_arguments(dir.path(), &read(&files, &["--exit"])));
    assert!(end.code == 0 && end.says("going on with a replay"), "{end:?}");
    same(&stored_rows(dir.path()), &expected(&files));
}

#[test]
fn a_measuring_thread_that_stands_still_is_said_and_does_not_hold_up_the_end() {
    let dir = temporary();
    let Some(mut program) = failing(dir.path(), &[sample("01-healthy")], "stall@2000", &[]) else { return };
    let api = program.api();
    let reason = loop {
        let (status, body) = get(api, "/readyz");
        if status == 503 && body.contains("stands still") {
            break body;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(
        reason.contains("\"measuring\"") && reason.contains("the measuring thread stands still since 1"),
        "{reason}"
    );
    assert_eq!(json(api, "/healthz")["status"], "ok", "for a minute it may come back");
    let end = program.terminate();
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.error().contains("the measuring thread failed (no progress for 1"), "{end:?}");
}

/// Nothing comes from the pipe: the thread that reads it cannot look at the mark to stop.
#[test]
fn a_replay_that_waits_for_a_pipe_can_be_stopped() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let file = pcapng(dir.path(), &[1_795_651_200_000_000; 2000]);
    let mut command = command(&run_arguments(&dir.path().join("data"), &["--read", "-"]));
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    command.stdin(Stdio::from(reader));
    let mut program = Program::spawn(&mut command);
    drop(command);
    writer.write_all(&std::fs::read(file).expect("a file")).expect("written");
    let api = program.api();
    assert!(reaches(api, "auscult_frames_read_total", 1999), "it reads");
    assert_eq!(json(api, "/readyz")["ready"], true, "waiting is no standing still");
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
    drop(writer);
}

/// Calls that are up when a capture file ends say so, in the document and in the store, and get no diagnosis of the end.
#[test]
fn calls_that_a_file_cuts_are_marked() {
    let dir = temporary();
    let file = crate::worlds::cut_calls(dir.path());
    let name = file.display().to_string();
    let end = end_of(&["analyze", "--format", "json", &name]);
    let document: serde_json::Value = serde_json::from_str(&end.said.join("\n")).expect("a document");
    let mut found: Vec<String> = document["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(|c| {
            let codes: Vec<&str> =
                c["diagnoses"].as_array().expect("a list").iter().filter_map(|d| d["code"].as_str()).collect();
            format!(
                "{} {} {}",
                c["state"].as_str().unwrap_or(""),
                c["released_by"].as_str().unwrap_or("-"),
                codes.join(",")
            )
        })
        .collect();
    found.sort();
    let expected = [
        "completed caller ",
        "unfinished capture_ended ",
        "unfinished capture_ended ",
        "unfinished capture_ended random_loss",
    ];
    assert_eq!(found, expected, "{document:#}");
    if !engine() {
        return;
    }
    let data = dir.path().join("data");
    assert_eq!(end_of(&run_arguments(&data, &["--read", &name, "--exit"])).code, 0);
    let (_store, address) = Program::store(&data.join("clickhouse"), "127.0.0.1:0");
    let sql = |text: &str| sql(address, Some(TOKEN), text).1.trim().to_owned();
    let ask = "SELECT state, released_by, diagnosis FROM calls ORDER BY state, diagnosis FORMAT TSV";
    assert_eq!(sql(ask).replace('\t', " ").replace(" \n", "\n"), expected.map(str::trim_end).join("\n"));
}

#[test]
fn health_says_ok_with_nothing_to_measure() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let mut program = Program::run(dir.path(), &[]);
    let api = program.api();
    assert_eq!(http(api, "GET", "/healthz", "", "").0, 200);
    assert_eq!(json(api, "/readyz")["ready"], true);
    assert_eq!(program.terminate().code, 0);
}
