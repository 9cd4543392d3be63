//! Secrets in a capture, through the whole program: documents, store, spool, log, API and page show none.

use crate::places::{Header, PLACES, STYLES, Session, Style, compose, leaked};
use crate::program::{Program, TOKEN, command, get, rows, sql};
use crate::{engine, temporary};
use auscult_store::spool::decode;
use std::path::Path;
use testkit::frame::{self, Lower};
use testkit::pcap;

const SECRET: &str = "Zq7xK0vN3+mW9/bT5sLd2Rf8";

/// A call for each place and style, with the secret in its INVITE and in the answer.
fn capture(at: &Path) -> usize {
    let ends = ["192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap()];
    let lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };
    let mut frames = Vec::new();
    let mut number = 0;
    for place in PLACES {
        for style in STYLES {
            number += 1;
            let message = compose(&[*place], SECRET, "INVITE", style);
            let call_id = format!("call{number}@");
            let at = 1_772_366_400_000_000_000 + number * 10_000_000;
            let message = String::from_utf8_lossy(&message).replacen("call@", &call_id, 1);
            let (src, dst) = if style == Style::Answer { (ends[1], ends[0]) } else { (ends[0], ends[1]) };
            let bytes = frame::udp(src, dst, lower, message.as_bytes());
            frames.push(pcap::Frame { at, wire_len: bytes.len() as u32, bytes });
        }
    }
    std::fs::write(at, pcap::to_bytes(&frames)).unwrap();
    number as usize
}

#[track_caller]
fn clean(what: &str, text: &str) {
    if let Some(piece) = leaked(text, SECRET) {
        let line = text.lines().find(|l| l.contains(piece)).unwrap_or_default();
        panic!("{what}: {}", line.chars().take(2000).collect::<String>());
    }
}

#[test]
fn documents_show_no_secret() {
    let dir = temporary();
    let file = dir.path().join("secrets.pcap");
    let calls = capture(&file);
    for format in ["table", "json", "csv"] {
        let output = command(&["analyze", "--format", format, file.to_str().unwrap()]).output().unwrap();
        assert!(output.status.success());
        clean(format, &String::from_utf8_lossy(&output.stdout));
        clean(format, &String::from_utf8_lossy(&output.stderr));
        if format == "json" {
            let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(document["calls"].as_array().unwrap().len() > calls / 2);
        }
    }
}

#[test]
fn a_run_writes_and_shows_no_secret() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let file = dir.path().join("secrets.pcap");
    capture(&file);
    let data = dir.path().join("data");
    let token = dir.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let mut program = Program::spawn(
        command(&crate::program::run_arguments(&data, &["--read", file.to_str().unwrap()]))
            .env("RUST_LOG", "auscult=trace"),
    );
    let api = program.api();
    for table in ["sip_messages", "calls"] {
        assert!(crate::program::reaches(api, &rows(table, "delivered"), 500));
    }
    let ids: Vec<String> = {
        let (status, body) = get(api, "/api/v1/calls?limit=500&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z");
        assert_eq!(status, 200, "{body}");
        clean("calls", &body);
        let list: serde_json::Value = serde_json::from_str(&body).unwrap();
        list["calls"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids.len() > 100, "{}", ids.len());
    let mut shown = 0;
    for id in ids.iter().step_by(10) {
        let (status, body) = get(api, &format!("/api/v1/calls/{id}"));
        assert_eq!(status, 200, "{body}");
        clean(id, &body);
        shown += usize::from(body.contains("Call-ID: call"));
    }
    assert!(shown > 20, "{shown}");
    for path in ["/metrics", "/api/v1/streams", "/readyz"] {
        clean(path, &get(api, path).1);
    }
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
    clean("log", &end.said.join("\n"));
    // All rows, and every file.
    let (mut store, address) = Program::store(&data.join("clickhouse"), "127.0.0.1:0");
    for table in [
        "calls",
        "sip_messages",
        "streams",
        "stream_intervals",
        "rtcp_reports",
        "capture_intervals",
        "media_groups",
        "call_groups",
    ] {
        let (status, text) = sql(address, Some(TOKEN), &format!("SELECT * FROM {table} FORMAT JSONEachRow"));
        assert_eq!(status, 200, "{text}");
        clean(table, &text);
        assert!(table != "sip_messages" || text.lines().count() > 500);
    }
    store.signal("TERM");
    store.ended_within(std::time::Duration::from_secs(10));
    files(&data);
}

fn files(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        if let Ok(batch) = decode(&bytes) {
            bytes.extend(batch.payload);
        }
        clean(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}

/// The places the report of this weakness named are among those that are tried.
#[test]
fn the_known_places_are_tried() {
    let text = format!("{PLACES:?}");
    for known in ["cryptoscale", "acap", "auts", "x-crypto", "?Authorization=", "Cookie", "Signal=", "DTMF"] {
        assert!(text.contains(known), "{known}");
    }
    let (mut headers, mut sessions) = (0, 0);
    for place in PLACES {
        headers += usize::from(matches!(place, Header(_)));
        sessions += usize::from(matches!(place, Session(_)));
    }
    assert!(headers > 100 && sessions > 40, "{headers} {sessions}");
}
