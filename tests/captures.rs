//! The engine over real captures, against figures counted by independent means.

use auscult::app::analyze::{AnalyzeArgs, Format, analyze};
use auscult_core::model::{LossRuns, Policy};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where reality and the counting script part on purpose: file, SSRC, source, and why.
const DEVIATIONS: &[(&str, &str, &str)] = &[(
    "dda9179f",
    "0x00007a8e",
    "on hold the sender goes to another address and comes back: per destination the script counts the time away as loss, \
     the sender lost nothing, and the phone itself reports none",
)];

/// Streams the script finds and this program leaves alone on purpose.
const UNMEASURED: &[(&str, &str, &str)] = &[(
    "ac556b4e",
    "0x321d28bb",
    "relayed by TURN inside TCP: TCP repeats what is lost and holds back what is late, so loss, order and jitter of the \
     segments say nothing about the media",
)];

fn document(path: &Path, shards: usize) -> Value {
    let args = AnalyzeArgs { format: Format::Json, shards, files: vec![path.to_owned()] };
    let document = analyze(&args, &Policy::default()).unwrap_or_else(|e| panic!("{}: {e:#}", path.display()));
    serde_json::to_value(document).unwrap()
}

/// Every capture with its truth, as (path, truth).
fn all() -> Vec<(PathBuf, Value)> {
    let Some(captures) = testkit::shared("captures") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(captures.join("truth")).unwrap() {
        let truth_path = entry.unwrap().path();
        let truth: Value = serde_json::from_str(&std::fs::read_to_string(&truth_path).unwrap()).unwrap();
        let name = truth_path.file_stem().unwrap().to_str().unwrap();
        let path = [captures.join(name), captures.join("sipp_pcap").join(name.trim_start_matches("sipp_pcap_"))]
            .into_iter()
            .find(|p| p.is_file())
            .unwrap_or_else(|| panic!("no capture for {name}"));
        found.push((path, truth));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn endpoint(ip: &Value, port: &Value) -> String {
    let ip: std::net::IpAddr = ip.as_str().unwrap().parse().unwrap();
    std::net::SocketAddr::new(ip, port.as_u64().unwrap() as u16).to_string()
}

fn stream_of<'a>(document: &'a Value, oracle: &Value) -> Option<&'a Value> {
    let (src, dst) = (endpoint(&oracle["src"], &oracle["sport"]), endpoint(&oracle["dst"], &oracle["dport"]));
    document["streams"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["src"] == src && s["dst"] == dst && s["ssrc"] == oracle["ssrc"])
}

fn deviates(path: &Path, ssrc: &Value) -> bool {
    DEVIATIONS.iter().any(|(file, s, _)| name(path).starts_with(file) && ssrc == s)
}

/// A forked INVITE: one branch answers 200, the proxy cancels the other, whose 487 comes last. The truth names the last
/// final answer; the call's is the 200.
fn answered_fork(path: &Path) -> bool {
    name(path).starts_with("f70ce23a")
}

fn plausible(truth: &Value) -> Vec<&Value> {
    truth["rtp"]["oracle_streams"]
        .as_array()
        .map(|s| s.iter().filter(|s| s["plausible"] == true).collect())
        .unwrap_or_default()
}

#[track_caller]
fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} differences:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn streams_are_those_of_the_oracle() {
    let mut problems = Vec::new();
    for (path, truth) in all() {
        let document = document(&path, 1);
        let oracle = plausible(&truth);
        for o in &oracle {
            let Some(s) = stream_of(&document, o) else {
                if UNMEASURED.iter().any(|(file, ssrc, _)| name(&path).starts_with(file) && o["ssrc"] == *ssrc) {
                    continue;
                }
                problems.push(format!("{}: {} not found", name(&path), o["ssrc"]));
                continue;
            };
            for (ours, theirs) in [
                ("packets", "packets"),
                ("unique", "unique"),
                ("expected", "expected"),
                ("lost", "lost"),
                ("duplicates", "duplicates"),
                ("reordered", "out_of_order"),
                ("restarts", "seq_restarts"),
            ] {
                if s[ours] != o[theirs] && !(deviates(&path, &o["ssrc"]) && matches!(ours, "expected" | "lost")) {
                    problems.push(format!(
                        "{} {}: {ours} {} instead of {}",
                        name(&path),
                        o["ssrc"],
                        s[ours],
                        o[theirs]
                    ));
                }
            }
            let runs: Vec<u64> = o["loss_run_lengths"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
            if !deviates(&path, &o["ssrc"]) {
                let mut bins = BTreeMap::<String, u64>::new();
                for run in &runs {
                    let bin = LossRuns::LOWER.iter().rposition(|low| u64::from(*low) <= *run).unwrap();
                    *bins.entry(LossRuns::bin_name(bin)).or_default() += 1;
                }
                let longest = runs.iter().max().copied().unwrap_or(0);
                if (&s["loss_runs"], &s["longest_loss_run"]) != (&json!(bins), &json!(longest)) {
                    problems.push(format!(
                        "{} {}: runs {} instead of {runs:?}",
                        name(&path),
                        o["ssrc"],
                        s["loss_runs"]
                    ));
                }
            }
        }
        for s in document["streams"].as_array().unwrap() {
            let known = truth["rtp"]["oracle_streams"].as_array().is_some_and(|all| {
                all.iter()
                    .any(|o| endpoint(&o["src"], &o["sport"]) == s["src"].as_str().unwrap() && o["ssrc"] == s["ssrc"])
            });
            if !known {
                problems.push(format!("{}: {} {} -> {} is no stream", name(&path), s["ssrc"], s["src"], s["dst"]));
            }
        }
    }
    none(problems);
}

#[test]
fn a_sender_on_hold_loses_nothing() {
    let Some(captures) = testkit::shared("captures") else { return };
    let document = document(&captures.join("dda9179f_Wireshark-Captures__sip_hold_resume.pcapng"), 1);
    let moved: Vec<_> = document["streams"].as_array().unwrap().iter().filter(|s| s["ssrc"] == "0x00007a8e").collect();
    assert_eq!(moved.len(), 2);
    for s in moved {
        assert_eq!((&s["lost"], &s["expected"]), (&Value::from(0), &s["unique"]));
    }
}

#[test]
fn jitter_of_the_main_payload_type() {
    let mut problems = Vec::new();
    for (path, truth) in all() {
        let document = document(&path, 1);
        for o in plausible(&truth) {
            let Some(s) = stream_of(&document, o) else { continue };
            // Repeated sequence numbers are copies: they have no arrival of their own.
            let reference = [&o["jitter_main_pt_dedup"], &o["jitter_main_pt"]].into_iter().find(|v| v.is_object());
            let Some(reference) = reference else { continue };
            if reference["n"].as_u64().unwrap_or(0) == 0 {
                continue;
            }
            for (ours, theirs) in [("mean", "mean_ms"), ("max", "max_ms")] {
                let (Some(a), Some(b)) = (s["jitter_ms"][ours].as_f64(), reference[theirs].as_f64()) else {
                    problems.push(format!(
                        "{} {}: {ours} {} instead of {}",
                        name(&path),
                        o["ssrc"],
                        s["jitter_ms"],
                        reference
                    ));
                    continue;
                };
                if (a - b).abs() > f64::max(0.05, 0.02 * b) {
                    problems.push(format!("{} {}: {ours} jitter {a} instead of {b}", name(&path), o["ssrc"]));
                }
            }
        }
    }
    none(problems);
}

#[test]
fn calls_are_those_of_the_truth() {
    let mut problems = Vec::new();
    for (path, truth) in all() {
        let document = document(&path, 1);
        let empty = Vec::new();
        let expected: Vec<&Value> =
            truth["sip"]["calls"].as_array().unwrap_or(&empty).iter().filter(|c| !c["invite_time"].is_null()).collect();
        let calls = document["calls"].as_array().unwrap();
        for want in &expected {
            let Some(call) = calls.iter().find(|c| c["call_id"] == want["call_id"]) else {
                problems.push(format!("{}: call {} not found", name(&path), want["call_id"]));
                continue;
            };
            if call["final_code"] != want["last_final"] && !answered_fork(&path) {
                problems.push(format!(
                    "{} {}: final {} instead of {}",
                    name(&path),
                    want["call_id"],
                    call["final_code"],
                    want["last_final"]
                ));
            }
            let setup = call["setup_ms"].as_f64().map(|ms| ms / 1000.0);
            let reference = want["setup_time_s"].as_f64();
            if setup.is_some() != reference.is_some() || (setup.unwrap_or(0.0) - reference.unwrap_or(0.0)).abs() > 1e-4
            {
                problems.push(format!("{} {}: setup {setup:?} instead of {reference:?}", name(&path), want["call_id"]));
            }
        }
        for call in calls {
            if !truth["sip"]["calls"].as_array().unwrap_or(&empty).iter().any(|c| c["call_id"] == call["call_id"]) {
                problems.push(format!("{}: {} is no call", name(&path), call["call_id"]));
            }
        }
    }
    none(problems);
}

#[test]
fn negatives_hold_no_media_and_frames_add_up() {
    for (path, truth) in all() {
        let document = document(&path, 1);
        if truth["negative"] == true {
            assert_eq!(document["streams"], serde_json::json!([]), "{}", name(&path));
        }
        let sum: u64 = document["outcomes"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(Some(sum), document["frames"].as_u64(), "{}", name(&path));
        if let Some(packets) = truth["packets"].as_u64() {
            assert_eq!(document["frames"].as_u64(), Some(packets), "{}", name(&path));
        }
    }
}

#[test]
fn shards_and_runs_change_nothing() {
    for (path, _) in all() {
        let one = document(&path, 1).to_string();
        for shards in [1, 2, 8] {
            let many = document(&path, shards).to_string();
            assert!(one == many, "{} differs with {shards} shards", name(&path));
        }
    }
}

/// Codec and clock of each stream by the truth's own reading of SDP, and the call whose descriptions name an address of it.
#[test]
fn streams_have_codec_clock_and_call_of_their_description() {
    let (mut problems, mut with_codec, mut with_call) = (Vec::new(), 0, 0);
    for (path, truth) in all() {
        let document = document(&path, 1);
        let empty = Vec::new();
        let calls = truth["sip"]["calls"].as_array().unwrap_or(&empty);
        for o in plausible(&truth) {
            let Some(s) = stream_of(&document, o) else { continue };
            let what = format!("{} {}", name(&path), o["ssrc"]);
            if let (Some(codec), Some(clock)) = (o["codec"].as_str(), o["clock"].as_u64()) {
                with_codec += 1;
                let ours = s["codec"].as_str().unwrap_or_default();
                if !ours.eq_ignore_ascii_case(codec) || s["clock_rate"] != clock {
                    problems.push(format!("{what}: {ours}/{} instead of {codec}/{clock}", s["clock_rate"]));
                }
            }
            let ends = [endpoint(&o["src"], &o["sport"]), endpoint(&o["dst"], &o["dport"])];
            let named: Vec<&str> = calls
                .iter()
                .filter(|call| described(call).iter().any(|address| ends.contains(address)))
                .filter_map(|call| call["call_id"].as_str())
                .collect();
            if !named.is_empty() {
                with_call += 1;
                if !s["call_id"].as_str().is_some_and(|id| named.contains(&id)) {
                    problems.push(format!("{what}: of call {} instead of {named:?}", s["call_id"]));
                }
            }
        }
        for call in calls {
            let found =
                document["calls"].as_array().unwrap().iter().filter(|c| c["call_id"] == call["call_id"]).count();
            if found > 1 {
                problems.push(format!("{}: {} calls of {}", name(&path), found, call["call_id"]));
            }
        }
    }
    if testkit::shared("captures").is_some() {
        assert!(with_codec >= 30 && with_call >= 15, "{with_codec} streams with a codec, {with_call} with a call");
    }
    none(problems);
}

/// Addresses that the descriptions of a call name for RTP.
fn described(call: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for sdp in call["sdp"].as_array().into_iter().flatten() {
        let text =
            |list: &str| sdp[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        for media in text("media") {
            let Some(port) = media.split_whitespace().nth(1).and_then(|p| p.parse::<u16>().ok()) else { continue };
            let addresses = text("c").into_iter().filter_map(|c| c.split_whitespace().nth(2)?.parse().ok());
            found.extend(addresses.map(|ip| std::net::SocketAddr::new(ip, port).to_string()));
        }
    }
    found
}
