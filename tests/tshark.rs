//! Auscult against tshark, stream by stream: every difference has a rule that explains it, and every rule occurs.
//!
//! The figures tshark 4.0 gave for the real captures are recorded beside them and need no tshark; what differs there
//! stands in docs/tshark.md, written with AUSCULT_UPDATE=1. Where tshark is installed it is run too, over the same
//! captures, the samples and random worlds.

use auscult::app::analyze::{AnalyzeArgs, Format, analyze};
use auscult_core::model::Policy;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is compared. `rtp,streams` shows no skew.
const FIGURES: [&str; 5] = ["packets", "lost", "max delta", "max jitter", "mean jitter"];
/// Figure of a stream that one of the two does not list.
const LISTED: &str = "listed";

/// tshark's line about a stream. Milliseconds.
#[derive(Clone, Debug)]
struct Line {
    key: Key,
    payload: String,
    packets: i64,
    lost: i64,
    max_delta: f64,
    max_jitter: f64,
    mean_jitter: f64,
}

/// Source, destination, SSRC as eight hexadecimal digits in lower case.
type Key = (SocketAddr, SocketAddr, String);

/// One figure that differs.
struct Case<'a> {
    figure: &'static str,
    ours: f64,
    /// Otherwise null.
    known: bool,
    stream: &'a Value,
    theirs: Option<&'a Line>,
    /// tshark's own sums over the packets; `None` without any packet in UDP.
    sums: Option<Sums>,
    /// Whether tshark's figure must be what its sums give: they are those of version 4.0.
    exact: bool,
}

struct Rule {
    name: &'static str,
    /// Occurs in the recorded figures; otherwise only in generated captures.
    recorded: bool,
    says: &'static str,
    holds: fn(&Case) -> bool,
}

#[path = "tshark/arithmetic.rs"]
mod arithmetic;
#[path = "tshark/round_trips.rs"]
mod round_trips;
#[path = "tshark/rules.rs"]
mod rules;

use arithmetic::Sums;
use rules::{HEAD, RULES};

/// A difference as the table shows it.
struct Difference {
    file: String,
    ssrc: String,
    figure: &'static str,
    ours: String,
    theirs: String,
    rule: Option<&'static str>,
    sums: Option<Sums>,
}

#[test]
fn recorded_figures_differ_only_as_explained() {
    let mut differences = Vec::new();
    for (path, truth) in captures() {
        let lines = recorded(&truth);
        compare(&path, &lines, true, &mut differences);
    }
    if differences.is_empty() {
        return;
    }
    explained(&differences);
    occur(&differences, |rule| rule.recorded);
    let page = page(&differences);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tshark.md");
    if std::env::var_os("AUSCULT_UPDATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == page, "docs/tshark.md is not what the comparison gives; AUSCULT_UPDATE=1 writes it");
}

#[test]
fn tshark_here_differs_only_as_explained_on_captures() {
    let Some(version) = version() else { return };
    let exact = version.starts_with(MODELLED);
    let mut differences = Vec::new();
    for (path, truth) in captures() {
        // The twelve digits are alike.
        if recorded(&truth).is_empty() || name(&path).starts_with("dtmf_2833_") && name(&path) != "dtmf_2833_0.pcap" {
            continue;
        }
        let prefs: Vec<&str> = truth["tshark_prefs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        compare(&path, &streams_by_tshark(&path, &prefs), exact, &mut differences);
    }
    explained(&differences);
}

#[test]
fn tshark_here_differs_only_as_explained_on_samples_and_worlds() {
    let Some(version) = version() else { return };
    let exact = version.starts_with(MODELLED);
    let mut differences = Vec::new();
    let mut compared = 0;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        if name(&path).contains(".pcap") {
            compared += compare(&path, &streams_by_tshark(&path, &[]), exact, &mut differences);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for seed in 1..=WORLDS {
        let path = dir.path().join(format!("world-{seed}.pcap"));
        std::fs::write(&path, testkit::World::random(seed, CALLS).build().pcap()).unwrap();
        compared += compare(&path, &streams_by_tshark(&path, &[]), exact, &mut differences);
    }
    println!("{compared} streams compared, {} differences", differences.len());
    assert!(compared > 200, "{compared} streams are too few to say anything");
    explained(&differences);
    // What another version does otherwise is no fault of the table.
    if exact {
        occur(&differences, |rule| !rule.recorded);
    }
}

/// Versions whose sums are those of `arithmetic`.
const MODELLED: &str = "4.0.";
const WORLDS: u64 = 12;
const CALLS: usize = 6;

/// Compares one capture and returns the number of streams.
fn compare(path: &Path, lines: &[Line], exact: bool, out: &mut Vec<Difference>) -> usize {
    let args = AnalyzeArgs { format: Format::Json, shards: 1, files: vec![path.to_owned()] };
    let document = analyze(&args, &Policy::default()).unwrap_or_else(|e| panic!("{}: {e:#}", path.display()));
    let document = serde_json::to_value(document).unwrap();
    let mut ours: BTreeMap<Key, &Value> = BTreeMap::new();
    for s in document["streams"].as_array().unwrap() {
        let same = ours.insert(key_of(s), s);
        assert!(same.is_none(), "{}: {} is listed twice", path.display(), s["ssrc"]);
    }
    let packets = arithmetic::packets(path);
    let mut differs = |key: &Key, case: Case, theirs: String| {
        let rule = RULES.iter().find(|rule| (rule.holds)(&case)).map(|rule| rule.name);
        let ours = match (case.known, case.figure) {
            (true, "packets" | "lost" | "listed") => case.ours.to_string(),
            (true, _) => format!("{:.3}", case.ours),
            (false, _) => "null".into(),
        };
        out.push(Difference {
            file: name(path).into(),
            ssrc: key.2.clone(),
            figure: case.figure,
            ours,
            theirs,
            rule,
            sums: case.sums,
        });
    };
    for line in lines {
        let packets = packets.get(&line.key);
        let Some(s) = ours.remove(&line.key) else {
            let sums = packets.map(|p| arithmetic::sums(p, |_| 0));
            let case =
                Case { figure: LISTED, ours: 0.0, known: true, stream: &Value::Null, theirs: Some(line), sums, exact };
            differs(&line.key, case, line.packets.to_string());
            continue;
        };
        let sums = packets.map(|p| arithmetic::sums(p, |payload_type| clock(payload_type, p, s, line)));
        for figure in FIGURES {
            let (ours, theirs, tolerance) = figures(figure, s, line);
            if ours.is_none_or(|ours| (ours - theirs).abs() > tolerance) {
                let known = ours.is_some();
                let case =
                    Case { figure, ours: ours.unwrap_or_default(), known, stream: s, theirs: Some(line), sums, exact };
                differs(&line.key, case, theirs.to_string());
            }
        }
    }
    for (key, s) in &ours {
        let packets = s["packets"].as_f64().unwrap();
        differs(
            key,
            Case { figure: LISTED, ours: packets, known: true, stream: s, theirs: None, sums: None, exact },
            "0".into(),
        );
    }
    lines.len() + ours.len()
}

/// The clock rate tshark goes by. It has none for a number without SDP, and leaves telephone events out of its sums if
/// it knows them for such.
fn clock(payload_type: u8, packets: &[arithmetic::Packet], s: &Value, line: &Line) -> u32 {
    let named = !line.payload.contains(&format!("RTPType-{payload_type}"));
    let event = line.payload.contains("telephone-event")
        && packets.iter().filter(|p| p.payload_type == payload_type).all(|p| p.payload_len == 4);
    let generated = testkit::codec::Codec::ALL.into_iter().find(|c| line.payload.contains(c.name()));
    match auscult_core::wire::sdp::static_payload(auscult_core::units::PayloadType(payload_type)) {
        Some((_, rate)) => rate.hz(),
        None if payload_type < 96 || event || !named => 0,
        None => match generated.filter(|c| c.payload_type() == payload_type) {
            Some(codec) => codec.clock(),
            None => s["clock_rate"].as_u64().unwrap_or(0) as u32,
        },
    }
}

/// Our figure, tshark's with its three digits, and what may lie between two that are the same.
fn figures(figure: &str, s: &Value, line: &Line) -> (Option<f64>, f64, f64) {
    let packets = line.packets as f64;
    match figure {
        "packets" => (s["packets"].as_f64(), packets, 0.0),
        "lost" => (s["lost"].as_f64(), line.lost as f64, 0.0),
        "max delta" => (s["max_delta_ms"].as_f64(), line.max_delta, 0.001),
        "max jitter" => (s["jitter_ms"]["max"].as_f64(), line.max_jitter, 0.001),
        _ => {
            let mean = line.mean_jitter;
            (s["jitter_ms"]["mean"].as_f64(), mean, f64::max(0.002, mean * 0.001))
        }
    }
}

fn explained(differences: &[Difference]) {
    let unexplained: Vec<String> = differences
        .iter()
        .filter(|d| d.rule.is_none())
        .map(|d| format!("{}  tshark's sums: {:?}\n", row(d), d.sums))
        .collect();
    assert!(unexplained.is_empty(), "{} differences without a rule:\n{}", unexplained.len(), unexplained.join(""));
}

/// Fails on a rule that should occur and does not.
fn occur(differences: &[Difference], expected: impl Fn(&Rule) -> bool) {
    let seen: BTreeSet<&str> = differences.iter().filter_map(|d| d.rule).collect();
    let idle: Vec<&str> = RULES.iter().filter(|r| expected(r) && !seen.contains(r.name)).map(|r| r.name).collect();
    assert!(idle.is_empty(), "rules that explain nothing any more: {idle:?}");
}

fn row(d: &Difference) -> String {
    let rule = d.rule.unwrap_or("none");
    format!("| `{}` | `{}` | {} | {} | {} | {rule} |\n", d.file, d.ssrc, d.figure, d.ours, d.theirs)
}

fn page(differences: &[Difference]) -> String {
    let mut out = HEAD.to_owned();
    for rule in RULES {
        let times = differences.iter().filter(|d| d.rule == Some(rule.name)).count();
        let seen = if rule.recorded { format!("{times} below") } else { "generated captures only".into() };
        writeln!(out, "- **{}** ({seen}). {}", rule.name, rule.says).unwrap();
    }
    out.push_str(
        "\n## Differences\n\n| capture | SSRC | figure | Auscult | tshark | rule |\n|---|---|---|--:|--:|---|\n",
    );
    out.extend(differences.iter().map(row));
    out
}

fn key_of(s: &Value) -> Key {
    let at = |end: &str| s[end].as_str().unwrap().parse().unwrap();
    (at("src"), at("dst"), ssrc(s["ssrc"].as_str().unwrap()))
}

fn ssrc(text: &str) -> String {
    text.to_ascii_lowercase()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Every capture with its truth; none where they are not.
fn captures() -> Vec<(PathBuf, Value)> {
    let Some(root) = testkit::shared("captures") else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(root.join("truth")) else {
        testkit::skip(format_args!("no captures at {}", root.display()));
        return Vec::new();
    };
    let mut truths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    truths.sort();
    let both = |truth: PathBuf| {
        let file = truth.file_stem().unwrap().to_str().unwrap();
        let path = match file.strip_prefix("sipp_pcap_") {
            Some(file) => root.join("sipp_pcap").join(file),
            None => root.join(file),
        };
        (path, serde_json::from_str(&std::fs::read_to_string(&truth).unwrap()).unwrap())
    };
    truths.into_iter().map(both).collect()
}

/// The lines recorded for a capture, found with the heuristic: they hold those found without.
fn recorded(truth: &Value) -> Vec<Line> {
    let line = |s: &Value| {
        let at = |ip: &str, port: &str| {
            let ip: IpAddr = s[ip].as_str().unwrap().parse().unwrap();
            SocketAddr::new(ip, s[port].as_u64().unwrap() as u16)
        };
        let ms = |figure: &str| s[figure].as_f64().unwrap();
        Line {
            key: (at("src", "sport"), at("dst", "dport"), ssrc(s["ssrc"].as_str().unwrap())),
            payload: s["payload"].as_str().unwrap().into(),
            packets: s["packets"].as_i64().unwrap(),
            lost: s["lost"].as_i64().unwrap(),
            max_delta: ms("max_delta_ms"),
            max_jitter: ms("max_jitter_ms"),
            mean_jitter: ms("mean_jitter_ms"),
        }
    };
    truth["rtp"]["tshark_heuristic"].as_array().map(|all| all.iter().map(line).collect()).unwrap_or_default()
}

/// The version of the tshark installed; `None` where there is none.
fn version() -> Option<String> {
    let Ok(said) = Command::new("tshark").arg("--version").output() else {
        testkit::skip("no tshark here; `make test` installs it");
        return None;
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

fn streams_by_tshark(path: &Path, prefs: &[&str]) -> Vec<Line> {
    let run = Command::new("tshark")
        .args(["-n", "-q", "-z", "rtp,streams", "--enable-heuristic", "rtp_udp", "--enable-heuristic", "rtp_stun"])
        .args(prefs)
        .arg("-r")
        .arg(path)
        .output()
        .unwrap();
    assert!(run.status.success(), "tshark {}: {}", path.display(), String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).lines().filter_map(parse).collect()
}

/// One line of `rtp,streams`: since version 4 with smallest, mean and largest of delta and jitter, before with largest
/// delta, largest and mean jitter.
fn parse(line: &str) -> Option<Line> {
    let (left, right) = line.rsplit_once('(')?;
    let (_, right) = right.split_once(')')?;
    let left: Vec<&str> = left.split_whitespace().collect();
    let [_, _, src, sport, dst, dport, ssrc, payload @ .., packets, lost] = left.as_slice() else { return None };
    let ms: Vec<f64> = right.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let (max_delta, mean_jitter, max_jitter) = match ms.as_slice() {
        [_, _, max_delta, _, mean, max] => (*max_delta, *mean, *max),
        [max_delta, max, mean] => (*max_delta, *mean, *max),
        _ => return None,
    };
    let at = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
    Some(Line {
        key: (at(src, sport)?, at(dst, dport)?, self::ssrc(ssrc)),
        payload: payload.join(" "),
        packets: packets.parse().ok()?,
        lost: lost.parse().ok()?,
        max_delta,
        max_jitter,
        mean_jitter,
    })
}
