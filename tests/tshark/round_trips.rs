//! SIP round trips from the messages tshark reads, found the slow way.

use super::{captures, name, version};
use auscult::app::analyze::{AnalyzeArgs, Format, analyze};
use auscult_core::model::Policy;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const FIELDS: [&str; 11] = [
    "sip.Call-ID",
    "frame.time_epoch",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "sip.Status-Code",
    "sip.CSeq.seq",
    "sip.CSeq.method",
    "sip.Via.branch",
    "sip.from.tag",
];

struct Message {
    at_ns: i64,
    src: String,
    dst: String,
    status: Option<u16>,
    cseq: u64,
    method: String,
    /// Of the topmost Via first.
    branches: Vec<String>,
    from_tag: String,
}

#[test]
fn sip_round_trips_are_those_of_tshark_s_messages() {
    if version().is_none() {
        return;
    }
    let mut halves = [0; 2];
    for (path, truth) in captures() {
        if truth["sip"]["messages"].as_u64().unwrap_or(0) == 0 {
            continue;
        }
        let prefs: Vec<&str> =
            truth["tshark_prefs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        halves[0] += compare(&path, &prefs);
    }
    let dir = tempfile::tempdir().unwrap();
    for seed in 1..=2 {
        let path = dir.path().join(format!("world-{seed}.pcap"));
        std::fs::write(&path, testkit::World::random(seed, 12).build().pcap()).unwrap();
        halves[1] += compare(&path, &[]);
    }
    println!("{halves:?} halves compared");
    assert!(halves[1] > 20 && (halves[0] == 0 || halves[0] > 15), "{halves:?} are too few to say anything");
}

/// Number of halves that have a figure.
fn compare(path: &Path, prefs: &[&str]) -> usize {
    let calls = messages(path, prefs);
    if calls.is_empty() {
        return 0;
    }
    let args = AnalyzeArgs { format: Format::Json, shards: 1, files: vec![path.to_owned()] };
    let document = serde_json::to_value(analyze(&args, &Policy::default()).unwrap()).unwrap();
    let ours = document["calls"].as_array().unwrap();
    let mut halves = 0;
    for call in ours {
        let id = call["call_id"].as_str().unwrap();
        // A Call-ID used for several calls says nothing of where one ends; one in a frame of several messages is left out.
        let Some(messages) = calls.get(id).filter(|_| ours.iter().filter(|c| c["call_id"] == id).count() == 1) else {
            continue;
        };
        let expected = json!({
            "toward_caller": half(messages, false),
            "toward_callee": half(messages, true),
        });
        assert_eq!(call["sip_rtt_ms"], expected, "{} {id}", name(path));
        halves += expected.as_object().unwrap().values().filter(|half| !half.is_null()).count();
    }
    halves
}

fn half(messages: &[Message], asked_by_caller: bool) -> Value {
    let caller = &messages[0].from_tag;
    let mut transactions: BTreeMap<_, (Vec<&Message>, Vec<&Message>)> = BTreeMap::new();
    for m in messages.iter().filter(|m| (m.from_tag == *caller) == asked_by_caller) {
        let (asker, answerer) = if m.status.is_none() { (&m.src, &m.dst) } else { (&m.dst, &m.src) };
        let both = transactions.entry((m.cseq, &m.method, m.branches.first(), asker, answerer)).or_default();
        if m.status.is_none() { both.0.push(m) } else { both.1.push(m) }
    }
    let mut samples = Vec::new();
    for ((_, method, ..), (requests, answers)) in transactions {
        let (Some(request), Some(answer)) = (requests.first(), answers.first()) else { continue };
        let ms = (answer.at_ns - request.at_ns) as f64 / 1e6;
        // Sent again, not copied by the mirror, before the answer.
        let again = requests.iter().any(|r| r.at_ns - request.at_ns > 50_000_000 && r.at_ns < answer.at_ns);
        let automatic = match method.as_str() {
            "INVITE" => answer.status == Some(100),
            "BYE" | "CANCEL" | "INFO" | "NOTIFY" | "OPTIONS" | "PRACK" | "UPDATE" => answer.status != Some(408),
            _ => false,
        };
        if automatic && !again && (0.0..=32_000.0).contains(&ms) {
            samples.push((request.branches.len(), ms));
        }
    }
    let Some(nearest) = samples.iter().map(|(vias, _)| *vias).max() else { return Value::Null };
    let ms: Vec<f64> = samples.iter().filter(|(vias, _)| *vias == nearest).map(|(_, ms)| *ms).collect();
    let (min, max) = (ms.iter().copied().fold(f64::INFINITY, f64::min), ms.iter().copied().fold(0.0, f64::max));
    json!({"samples": ms.len(), "min": min, "max": max})
}

/// By Call-ID, in order of capture. Those in frames of several messages are left out.
fn messages(path: &Path, prefs: &[&str]) -> BTreeMap<String, Vec<Message>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-Y", "sip", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|"]).args(prefs);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let run = command.arg("-r").arg(path).output().unwrap();
    assert!(run.status.success(), "tshark {}: {}", path.display(), String::from_utf8_lossy(&run.stderr));
    let (mut calls, mut unclear): (BTreeMap<String, Vec<Message>>, BTreeSet<String>) = Default::default();
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        let field: Vec<&str> = line.split('\t').collect();
        let [ids, time, src, dst, src6, dst6, status, cseq, method, branches, from_tag] = field[..] else {
            panic!("{line}")
        };
        if ids.contains('|') || cseq.contains('|') {
            unclear.extend(ids.split('|').map(str::to_owned));
            continue;
        }
        let (Some((s, ns)), Ok(cseq)) = (time.split_once('.'), cseq.parse()) else {
            unclear.insert(ids.to_owned());
            continue;
        };
        // Of a tunnel the inner addresses, which come last.
        let inner = |four: &str, six: &str| {
            let text = if six.is_empty() { four } else { six };
            text.rsplit('|').next().unwrap_or_default().to_owned()
        };
        calls.entry(ids.to_owned()).or_default().push(Message {
            at_ns: s.parse::<i64>().unwrap() * 1_000_000_000 + format!("{ns:0<9}").parse::<i64>().unwrap(),
            src: inner(src, src6),
            dst: inner(dst, dst6),
            status: status.parse().ok(),
            cseq,
            method: method.to_owned(),
            branches: branches.split('|').filter(|b| !b.is_empty()).map(str::to_owned).collect(),
            from_tag: from_tag.to_owned(),
        });
    }
    calls.retain(|id, _| !unclear.contains(id));
    calls
}
