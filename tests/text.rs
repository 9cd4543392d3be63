//! Text of strangers: every field of a capture that can carry it, every character that a terminal, a browser or a log
//! reader obeys or does not show, and every way out of the program.

use auscult::app::analyze::{AnalyzeArgs, Format, run};
use auscult_api::{AppState, Check, HostPolicy, LiveFeed, MetricFamily, Telemetry, app};
use auscult_capture::Timeline;
use auscult_core::alert::{Evaluator, Origin, RuleSet, SumsInput};
use auscult_core::engine::Engine;
use auscult_core::groups::{Group, Groups};
use auscult_core::model::Labels;
use auscult_core::model::{Event, Limits, Policy, TimestampSource, TrunkMatch};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::Reader;
use auscult_store::rows::{
    AlertRow, CallGroupRow, CallRow, CaptureRow, IntervalRow, MediaGroupRow, Record, RtcpRow, SipMessageRow, StreamRow,
    Table,
};
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::frame::{Lower, udp};
use tower::ServiceExt;

/// Characters of each kind: control, format (bidirectional, zero-width, tags), line ends, default-ignorable letters and
/// marks, private use, noncharacters, unassigned.
fn hostile() -> Vec<char> {
    let ranges: [(u32, u32); 41] = [
        (0, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x61c, 0x61c),
        (0x600, 0x605),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x115f, 0x1160),
        (0x17b4, 0x17b5),
        (0x180b, 0x180f),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x206f),
        (0x3164, 0x3164),
        (0xe000, 0xe003),
        (0xf8fd, 0xf8ff),
        (0xfdd0, 0xfdef),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffb),
        (0xfffe, 0xffff),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0x1fffe, 0x1ffff),
        (0xe0000, 0xe0003),
        (0xe0020, 0xe007f),
        (0xe0100, 0xe0103),
        (0xe01ef, 0xe01f0),
        (0xe0fff, 0xe0fff),
        (0xefffe, 0xf0001),
        (0xffffd, 0xfffff),
        (0x10_0000, 0x10_0001),
        (0x10_fffd, 0x10_ffff),
        (0x2fffe, 0x2ffff),
    ];
    ranges.into_iter().flat_map(|(low, high)| low..=high).filter_map(char::from_u32).collect()
}

/// Twelve to a call, so that the longest take 48 bytes of the 64 an encoding name may have. Line ends and blanks separate
/// fields in SIP and SDP, so only the container has those.
fn chunks() -> Vec<String> {
    let within: Vec<char> = hostile().into_iter().filter(|c| !matches!(c, '\t'..='\r')).collect();
    within.chunks(12).map(|chunk| chunk.iter().collect()).collect()
}

struct Frames {
    at: i64,
    blocks: Vec<u8>,
}

impl Frames {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.at += 1_000_000;
        let frame = udp(from, to, Lower { id: 1, ttl: 60, dscp: 46, vlan: None }, payload);
        let (high, low, len) = ((self.at >> 32) as u32, self.at as u32, frame.len() as u32);
        let mut body = words(&[0, high, low, len, len]);
        body.extend(padded(&frame));
        body.extend(option(1, &container_text()));
        self.blocks.extend(block(6, &body));
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = body.len() as u32 + 12;
    [words(&[kind, len]), body.to_vec(), words(&[len])].concat()
}

fn option(code: u16, text: &str) -> Vec<u8> {
    let mut option = [code.to_le_bytes(), (text.len() as u16).to_le_bytes()].concat();
    option.extend(padded(text.as_bytes()));
    option
}

/// All of them, as names, descriptions and comments of a capture file.
fn container_text() -> String {
    format!("if{}0", hostile().into_iter().collect::<String>())
}

/// A capture with one call to each chunk: signalling, media both ways, RTCP and a voice quality report.
fn capture() -> Vec<u8> {
    let text = container_text();
    let section = [words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]), option(4, &text), option(1, &text)].concat();
    let interface = [words(&[1, 0]), option(2, &text), option(3, &text), option(9, "\t")].concat();
    let mut frames = Frames { at: 1_790_000_000_000_000_000, blocks: Vec::new() };
    for (n, h) in chunks().iter().enumerate() {
        call(&mut frames, n as u16, h);
    }
    [block(0x0a0d_0d0a, &section), block(1, &interface), frames.blocks].concat()
}

fn call(frames: &mut Frames, n: u16, h: &str) {
    let a: SocketAddr = ([192, 0, 2, 1], 5060).into();
    let b: SocketAddr = ([198, 51, 100, 1], 5060).into();
    let media = |ip: [u8; 4]| -> SocketAddr { (ip, 20_000 + 4 * n).into() };
    let (near, far) = (media([192, 0, 2, 1]), media([198, 51, 100, 1]));
    let common = |cseq: &str| {
        format!(
            "Max-Forwards: 70\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{n}{h}{cseq}\r\nFrom: \"An{h}na\" <sip:us{h}er@ho{h}st>;tag=a{h}\r\n\
             To: \"Bo{h}b\" <sip:+49{h}30@exam{h}ple>;tag=b{h}\r\nCall-ID: id{h}-{n}\r\nCSeq: {cseq}\r\n\
             User-Agent: Agent{h}x\r\nServer: Server{h}x\r\nContact: <sip:con{h}tact@h>\r\nX-Ve{h}ndor: va{h}lue\r\nSubject: su{h}bject\r\n"
        )
    };
    let sdp = |at: SocketAddr| {
        format!(
            "v=0\r\no=o{h}r 1 1 IN IP4 {ip}\r\ns=se{h}ssion\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 96\r\n\
             a=rtpmap:96 C{h}D/8000\r\na=fmtp:96 mo{h}de=1\r\na=mid:m{h}id\r\na=x{h}y:z{h}z\r\n",
            ip = at.ip(),
            port = at.port()
        )
    };
    // A datagram whose first bytes are not text is not taken for SIP at all.
    let s = if h.contains(|c: char| c < ' ' || c == '\x7f') { "" } else { h };
    let with = |start: &str, headers: &str, kind: &str, body: &str| {
        format!("{start}\r\n{headers}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let invite = common("1 INVITE").replace(&format!(";tag=b{h}"), "");
    frames.send(a, b, &with(&format!("INVITE sip:b{s}@h SIP/2.0"), &invite, "application/sdp", &sdp(near)));
    frames.send(b, a, &with(&format!("SIP/2.0 183 Rin{s}ging"), &common("1 INVITE"), "text/plain", ""));
    frames.send(b, a, &with(&format!("SIP/2.0 200 Fi{s}ne"), &common("1 INVITE"), "application/sdp", &sdp(far)));
    frames.send(a, b, &with("ACK sip:b@h SIP/2.0", &common("1 ACK"), "text/plain", ""));
    frames.send(b, a, &with("SIP/2.0 200 OK", &common(&format!("7 ODD{h}METHOD")), "text/plain", ""));
    for seq in 0..60u16 {
        frames.at += 19_000_000;
        for (from, to, ssrc) in [(near, far, 1), (far, near, 2)] {
            let mut rtp = vec![0x80, 96];
            rtp.extend(seq.to_be_bytes());
            rtp.extend((u32::from(seq) * 160).to_be_bytes());
            rtp.extend((u32::from(n) * 2 + ssrc).to_be_bytes());
            rtp.extend([0x55; 160]);
            frames.send(from, to, &rtp);
        }
    }
    let rtcp_at = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
    frames.send(rtcp_at(near), rtcp_at(far), &rtcp(u32::from(n) * 2 + 1, h));
    let report = format!(
        "VQAlertReport: Type=Ty{h}pe Severity=Se{h}verity Dir=lo{h}cal\r\nCallID: id{h}-{n}\r\nLocalID: <sip:lo{h}cal@h>\r\n\
         LocalAddr: IP={} PORT={} SSRC=0x{:08x}\r\nRemoteAddr: IP={} PORT={} SSRC=0x{:08x}\r\nLocalGroup: gr{h}oup\r\nLocalMetrics:\r\n\
         SessionDesc: PT=96 PD=co{h}dec FMTP=\"fm{h}tp\"\r\nQualityEst: MOSLQ=4.1 QoEEstAlg=al{h}go\r\nDialogID: di{h}alog\r\n",
        near.ip(),
        near.port(),
        u32::from(n) * 2 + 1,
        far.ip(),
        far.port(),
        u32::from(n) * 2 + 2,
    );
    let publish = common("9 PUBLISH");
    frames.send(a, b, &with("PUBLISH sip:c@h SIP/2.0", &publish, "application/vq-rtcpxr", &report));
    let bye = format!("{}Reason: Q.850;cause=16;text=\"te{h}xt\"\r\n", common("2 BYE"));
    frames.send(a, b, &with("BYE sip:b@h SIP/2.0", &bye, "text/plain", ""));
    frames.send(b, a, &with(&format!("SIP/2.0 200 By{s}e"), &common("2 BYE"), "text/plain", ""));
}

/// A sender report, SDES with every item, BYE with a reason and APP with a name.
fn rtcp(ssrc: u32, h: &str) -> Vec<u8> {
    let finish = |first: u8, kind: u8, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let mut packet = vec![0x80 | first, kind];
        packet.extend((body.len() as u16 / 4).to_be_bytes());
        packet.extend(body);
        packet
    };
    let id = ssrc.to_be_bytes().to_vec();
    let report = finish(0, 200, [id.clone(), vec![0; 20]].concat());
    let items: Vec<u8> = (1..=8u8).flat_map(|kind| [&[kind, h.len() as u8][..], h.as_bytes()].concat()).collect();
    let sdes = finish(1, 202, [id.clone(), items, vec![0]].concat());
    let app = finish(0, 204, [id.clone(), b"\x1b[2J".to_vec()].concat());
    let bye = finish(1, 203, [id, vec![h.len() as u8], h.as_bytes().to_vec()].concat());
    [report, sdes, app, bye].concat()
}

/// The capture under a name that is itself hostile, as far as a file system takes it.
fn file(dir: &Path) -> PathBuf {
    let path = dir.join("cap\u{1b}]0;x\u{7}\n\u{9b}31m\u{202e}gnp\u{200b}\u{e0041}.pcapng");
    std::fs::write(&path, capture()).unwrap();
    path
}

struct Judge(HashSet<char>);

impl Judge {
    fn new() -> Judge {
        Judge(hostile().into_iter().collect())
    }

    #[track_caller]
    fn text(&self, what: &str, text: &str) {
        let found = text.chars().find(|c| self.0.contains(c) && *c != '\n');
        if let Some(c) = found {
            let at = text.find(c).unwrap_or(0);
            let near: String = text[..at].chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what}: U+{:04X} behind {near:?}", c as u32);
        }
    }

    /// Every decoded string of a document, keys included.
    #[track_caller]
    fn json(&self, what: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(what, text),
            Value::Array(all) => all.iter().for_each(|each| self.json(what, each)),
            Value::Object(all) => all.iter().for_each(|(key, each)| {
                self.text(what, key);
                self.json(&format!("{what}.{key}"), each);
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn analyzed(format: Format, file: &Path) -> String {
    let mut out = Vec::new();
    let args = AnalyzeArgs { format, shards: 1, files: vec![file.to_owned()] };
    run(&args, &Policy::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn analyze_writes_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    let judge = Judge::new();
    judge.text("table", &analyzed(Format::Table, &file));
    let csv = analyzed(Format::Csv, &file);
    judge.text("csv", &csv);
    assert_eq!(csv.lines().count(), 1 + 2 * chunks().len(), "a line a stream and the head");
    let document: Value = serde_json::from_str(&analyzed(Format::Json, &file)).unwrap();
    judge.json("json", &document);
    // The text came through, so that it could have done harm.
    let all = |list: &str| document[list].as_array().unwrap().clone();
    assert_eq!(all("calls").len(), chunks().len());
    for call in all("calls") {
        let [from, to, id] = ["from", "to", "call_id"].map(|field| call[field].as_str().unwrap().to_owned());
        // The allow-list of SIP removes user parts with such characters as a whole.
        assert!(from.contains("us") || from.contains("***"), "{from}");
        assert!(to.contains("+49") || to.contains("***"), "{to}");
        assert!(id.starts_with("id") || id == "***", "{id}");
    }
    let codecs: Vec<String> = all("streams").iter().map(|s| s["codec"].as_str().unwrap().to_owned()).collect();
    assert_eq!(codecs.len(), 2 * chunks().len());
    assert!(codecs.iter().all(|codec| codec.starts_with('C') && codec.ends_with('D')), "{codecs:?}");
    assert!(codecs.iter().filter(|codec| codec.contains('\u{fffd}')).count() > codecs.len() / 2);
}

fn events(file: &Path) -> Vec<Event> {
    let mut timeline = Timeline::open(&[file]).unwrap();
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 7);
    engine.set_source(&file.display().to_string(), TimestampSource::CaptureFile, timeline.resolution_ns());
    let mut events: Vec<Event> = Vec::new();
    while let Some(frame) = timeline.next_frame().unwrap() {
        engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut events);
    }
    engine.finish(&mut events);
    let judge = Judge::new();
    let names: Vec<&str> = timeline.interfaces().iter().filter_map(|i| i.name.as_deref()).collect();
    assert!(names.len() == 1 && names[0].starts_with("if"), "{names:?}");
    assert!(names[0].len() <= 256);
    judge.text("interface name", names[0]);
    events
}

#[test]
fn no_row_holds_any_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let judge = Judge::new();
    let (labels, at) = (Labels::default(), Timestamp::default());
    let mut rows = [0usize; Table::ALL.len()];
    let mut groups = Groups::new(&Limits::default(), &Policy::default());
    let mut records = Vec::new();
    for event in events(&file(dir.path())) {
        groups.event(&event, TrunkMatch::default(), &mut |group| records.push(Record::from(group)));
        records.extend(Record::from_event(event));
    }
    groups.finish(&mut |group| records.push(Record::from(group)));
    for record in records {
        let row = match &record {
            Record::Call(r) => serde_json::to_value(CallRow::new(r, &labels, at)),
            Record::Stream(r) => serde_json::to_value(StreamRow::new(r, &labels, at)),
            Record::Interval(r) => serde_json::to_value(IntervalRow::new(r, &labels, at)),
            Record::SipMessage(r) => serde_json::to_value(SipMessageRow::new(r, &labels, at)),
            Record::Rtcp(r) => serde_json::to_value(RtcpRow::new(r, &labels, at)),
            Record::Capture(r) => serde_json::to_value(CaptureRow::new(r, &labels, at)),
            Record::CallGroup(r) => serde_json::to_value(CallGroupRow::new(r, &labels, at)),
            Record::MediaGroup(r) => serde_json::to_value(MediaGroupRow::new(r, &labels, at)),
            Record::Alert(r) => serde_json::to_value(AlertRow::new(r, &labels, at)),
        };
        judge.json(record.table().name(), &row.unwrap());
        rows[record.table() as usize] += 1;
    }
    let calls = chunks().len();
    // A replay evaluates no rules: those of live capture are, over the same sums, whose codecs were named by the sender.
    rows[Table::Alerts as usize] = alerts(dir.path(), &judge);
    assert!(rows.iter().all(|n| *n > 0) && rows[0] == calls && rows[1] == 2 * calls, "{rows:?}");
    assert!(rows[Table::SipMessages as usize] >= 8 * calls, "{rows:?}");
}

/// Rows of alerts of a rule that groups by codec; how many.
fn alerts(dir: &Path, judge: &Judge) -> usize {
    let rule = "[[rule]]\nname = \"loss\"\nmeasure = \"loss_pct\"\nby = [\"codec\"]\nwindow = \"1h\"\ndelay = \"0s\"\n\
                need = { streams = 1 }\nfire = { above = 99 }\n";
    let set = RuleSet::parse([("r.toml", rule)], Nanos::from_secs(10));
    assert!(set.errors.is_empty(), "{:?}", set.errors);
    let mut evaluator = Evaluator::new(set.rules);
    let mut groups = Groups::new(&Limits::default(), &Policy::default());
    let mut found = Vec::new();
    for event in events(&file(dir)) {
        groups.event(&event, TrunkMatch::default(), &mut |group| found.push(group));
    }
    groups.finish(&mut |group| found.push(group));
    let mut last = Timestamp::default();
    for group in &found {
        if let Group::Media(group) = group {
            last = last.max(group.start + group.length);
            evaluator.add(&SumsInput::Media(group), Origin { probe: "p", site: "s" }, group.start + group.length);
        }
    }
    let mut evaluations = Vec::new();
    evaluator.evaluate(last.floor_to(Nanos::from_secs(60)) + Nanos::from_secs(60), &mut evaluations);
    for evaluation in &evaluations {
        let alert = evaluation.render();
        judge.text("alert", &format!("{} {}", alert.summary, alert.description));
        let row = AlertRow::new(&evaluation.record(), &Labels::default(), last);
        judge.json("alerts", &serde_json::to_value(row).unwrap());
    }
    evaluations.len()
}

struct NoTelemetry;

impl Telemetry for NoTelemetry {
    fn families(&self) -> Vec<MetricFamily> {
        Vec::new()
    }

    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

#[tokio::test]
async fn metrics_and_the_live_view_show_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let judge = Judge::new();
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let router = app(AppState {
        access: std::sync::Arc::new(auscult_api::AccessControl::without_users()),
        reader: Reader::new(clickhouse::Client::default()),
        live: live.clone(),
        telemetry: Arc::new(NoTelemetry),
        hosts: HostPolicy::loopback(),
        probe: "".into(),
        site: "".into(),
        now: Timestamp::default,
    });
    let ask = |uri: &str| {
        let request = Request::get(uri).header(header::HOST, "localhost").body(Body::empty()).unwrap();
        router.clone().oneshot(request)
    };
    let mut listening = ask("/api/v1/live").await.unwrap().into_body().into_data_stream();
    // What a listener has not read yet waits for it, up to a thousand changes.
    let events = events(&file(dir.path()));
    let changes = events.iter().filter(|e| matches!(e, Event::CallChanged(_) | Event::CallEnded(_))).count();
    assert!(changes < 1000, "{changes}");
    events.iter().for_each(|event| live.publish(event, ""));
    let mut ended = 0;
    while ended < chunks().len() {
        let part = listening.next().await.unwrap().unwrap();
        let part = std::str::from_utf8(&part).unwrap();
        judge.text("live", part);
        let Some(data) = part.strip_prefix("event: call\ndata: ") else { continue };
        // An identity follows on a line of its own.
        let call: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
        judge.json("live call", &call);
        ended += usize::from(call["ended"] == true);
    }
    let metrics = to_bytes(ask("/metrics").await.unwrap().into_body(), 1 << 24).await.unwrap();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    judge.text("metrics", &metrics);
    let codecs: HashSet<&str> = metrics.split("codec=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(codecs, HashSet::from(["other"]), "names that are in no table are one label");
}
