//! Calls as text: one message per line in, one event per line out.
//!
//! `1.5 a>b INVITE cseq=2 sdp=10.0.0.1:4000/sendonly` is an INVITE at 1.5 s from host a to host b. Hosts are
//! a (10.0.0.1), b (10.0.0.2), c (10.0.0.3), p and q (proxies, 10.0.0.9 and 10.0.0.10), all on port 5060.
//! Responses are `180` (to INVITE) or `200/BYE`. Keys: `cseq` (1), `from` and `to` tags (f and none), `branch`
//! (of method and CSeq), `vias` (1), `id` (c1), `reason` (Reason header), `sdp` (`-` for a body without media), `vq` (a voice
//! quality report).
//! `1.5 media` is a packet of media of every call heard of, `1.5 tick` fires deadlines, `1.5 finish` ends the capture.

use auscult_core::model::{Limits, Policy, Transport};
use auscult_core::signal::{CapturedMessage, Signal, SignalEvent};
use auscult_core::units::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;

pub fn check(script: &str, expected: &str) {
    check_with(&Policy::default(), &Limits::default(), script, expected);
}

pub fn check_with(policy: &Policy, limits: &Limits, script: &str, expected: &str) {
    let lines = |text: &str| text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n");
    let got = lines(&run(policy, limits, script));
    assert!(got == lines(expected), "got\n{got}\n\nexpected\n{}", lines(expected));
}

/// Events of a script, messages left out unless the script has a line `messages`.
pub fn run(policy: &Policy, limits: &Limits, script: &str) -> String {
    let mut signal = Signal::new(policy, limits);
    let mut text = String::new();
    let mut messages = false;
    let mut uids = BTreeSet::new();
    let mut last = Timestamp::from_secs(0);
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if line == "messages" {
            messages = true;
            continue;
        }
        let (time, what) = line.split_once(' ').expect("time and message");
        let at = Timestamp((time.parse::<f64>().expect("seconds") * 1e9).round() as i64);
        last = last.max(at);
        let mut events = Vec::new();
        match what.trim() {
            "media" => {
                events.extend(uids.iter().filter_map(|uid| signal.media_seen(*uid, at)).map(SignalEvent::Message))
            }
            "tick" => signal.fire(at, &mut events),
            "finish" => signal.finish(at, &mut events),
            what => {
                let (src, dst, bytes) = compose(what);
                let transport = Transport::Udp;
                let message = CapturedMessage { at, src, dst, transport, bytes: &bytes, cut_short: false };
                signal.message(message, &mut events);
            }
        }
        uids.extend(events.iter().filter_map(|f| match f {
            SignalEvent::Media { uid, .. } | SignalEvent::Changed(uid) => Some(*uid),
            _ => None,
        }));
        show(&events, messages, &mut text);
    }
    let mut events = Vec::new();
    signal.finish(last, &mut events);
    show(&events, messages, &mut text);
    assert!(signal.is_empty(), "calls are left over");
    assert_eq!(signal.next_deadline(), Timestamp::MAX, "deadlines are left over");
    text
}

fn host(name: &str) -> SocketAddr {
    let last = match name {
        "a" => 1,
        "b" => 2,
        "c" => 3,
        "p" => 9,
        "q" => 10,
        _ => panic!("unknown host {name}"),
    };
    SocketAddr::from(([10, 0, 0, last], 5060))
}

pub fn compose(what: &str) -> (SocketAddr, SocketAddr, Vec<u8>) {
    let mut words = what.split_whitespace();
    let (src, dst) = words.next().and_then(|w| w.split_once('>')).expect("src>dst");
    let kind = words.next().expect("method or status");
    let (mut cseq, mut from, mut to, mut id) = ("1", "f", "", "c1");
    let (mut branch, mut vias, mut reason, mut sdp, mut vq) = (None, 1, None, None, None);
    for word in words {
        match word.split_once('=').expect("key=value") {
            ("cseq", v) => cseq = v,
            ("from", v) => from = v,
            ("to", v) => to = v,
            ("id", v) => id = v,
            ("branch", v) => branch = Some(v.to_owned()),
            ("vias", v) => vias = v.parse().expect("number"),
            ("reason", v) => reason = Some(v),
            ("sdp", v) => sdp = Some(v),
            ("vq", v) => vq = Some(v),
            (key, _) => panic!("unknown key {key}"),
        }
    }
    let (status, method) = match kind.split_once('/') {
        Some((status, method)) => (Some(status), method),
        None if kind.starts_with(|c: char| c.is_ascii_digit()) => (Some(kind), "INVITE"),
        None => (None, kind),
    };
    // CANCEL and the ACK of a refusal share the branch of their INVITE (RFC 3261 sections 9.1, 17.1.1.3).
    let of = if method == "CANCEL" { "INVITE" } else { method };
    let branch = branch.unwrap_or_else(|| format!("{of}{cseq}{from}"));
    let mut text = match status {
        Some(status) => format!("SIP/2.0 {status} Text\r\n"),
        None => format!("{method} sip:b@example.com SIP/2.0\r\n"),
    };
    for n in 0..vias {
        write!(text, "Via: SIP/2.0/UDP h{n};branch=z9hG4bK{branch}{}\r\n", if n == 0 { "" } else { "x" })
            .expect("text");
    }
    let (caller, callee) = ("<sip:a@example.com>", "<sip:b@example.com>");
    let (from_uri, to_uri) = if from.starts_with('f') { (caller, callee) } else { (callee, caller) };
    write!(text, "From: {from_uri};tag={from}\r\nTo: {to_uri}").expect("text");
    if !to.is_empty() {
        write!(text, ";tag={to}").expect("text");
    }
    write!(text, "\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\n").expect("text");
    if let Some(reason) = reason {
        write!(text, "Reason: {reason}\r\n").expect("text");
    }
    let mut body = sdp.map(body).unwrap_or_default();
    if let Some(vq) = vq {
        body = report(vq);
        let (alone, parts) = ("application/vq-rtcpxr", "multipart/mixed;boundary=w");
        write!(text, "Content-Type: {}\r\n", if vq.starts_with("parts/") { parts } else { alone }).expect("text");
    }
    if sdp.is_some() {
        text += "Content-Type: application/sdp\r\n";
    }
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("text");
    (host(src), host(dst), text.into_bytes())
}

/// `ip:port[/direction][/pt]`.
fn body(sdp: &str) -> String {
    if sdp == "-" {
        return String::new();
    }
    let mut parts = sdp.split('/');
    let (ip, port) = parts.next().and_then(|p| p.split_once(':')).expect("ip:port");
    let direction = parts.next().filter(|d| !d.is_empty()).map_or(String::new(), |d| format!("a={d}\r\n"));
    let pt = parts.next().unwrap_or("0");
    format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {pt}\r\n{direction}")
}

/// `call/loss/mos`, with `parts/` before it inside a multipart body.
fn report(vq: &str) -> String {
    let (whole, vq) = vq.strip_prefix("parts/").map_or((true, vq), |vq| (false, vq));
    let values: Vec<&str> = vq.split('/').collect();
    let [call, loss, mos] = values[..] else { return vq.to_owned() };
    let report = format!(
        "VQSessionReport: CallTerm\r\nCallID: {call}\r\nLocalID: <sip:+15550100@a.example>\r\n\
         RemoteID: <sip:+15550101@b.example>\r\nOrigID: <sip:+15550100@a.example>\r\n\
         LocalMetrics:\r\nPacketLoss: NLR={loss} JDR=0\r\nQualityEst: MOSLQ={mos}\r\n"
    );
    if whole {
        return report;
    }
    format!(
        "--w\r\nContent-Type: text/plain\r\n\r\nhello\r\n--w\r\nContent-Type: application/vq-rtcpxr\r\n\r\n\
         {report}\r\n--w--\r\n"
    )
}

fn show(events: &[SignalEvent], messages: bool, text: &mut String) {
    for event in events {
        match event {
            SignalEvent::Changed(_) => {}
            SignalEvent::Media { side, endpoint, payloads, direction, .. } => {
                let payloads: Vec<_> = payloads.iter().map(|p| format!("{}={}", p.payload_type.0, p.codec)).collect();
                writeln!(text, "media {side:?} {endpoint} {} {}", payloads.join(" "), direction.name())
            }
            .expect("text"),
            SignalEvent::MediaGone { endpoint, .. } => writeln!(text, "gone {endpoint}").expect("text"),
            SignalEvent::Message(m) if messages => {
                let again = if m.retransmission { " again" } else { "" };
                let what = if m.status == 0 { m.method.clone() } else { format!("{}/{}", m.status, m.method) };
                writeln!(text, "message {} {what}{again}", seconds(Some(m.at))).expect("text");
            }
            SignalEvent::Message(_) => {}
            SignalEvent::VqReport(captured) => {
                let report = &captured.report;
                let parties = [&report.local_id, &report.remote_id, &report.orig_id].map(String::len);
                let (nlr, mos) = (report.local.nlr.unwrap_or(-1.0), report.local.moslq.unwrap_or(-1.0));
                let id = &report.call_id;
                writeln!(text, "vq {} {id} loss {nlr} mos {mos} parties {parties:?}", seconds(Some(captured.at)))
                    .expect("text");
            }
            SignalEvent::Ended(r) => {
                let mut line = format!(
                    "ended {} {} {} invite {} ringing {} answered {} ended {} by {}",
                    r.call_id,
                    r.state.name(),
                    r.final_code,
                    seconds(r.invite_at),
                    seconds(r.ringing_at),
                    seconds(r.answered_at),
                    seconds(r.ended_at),
                    r.released_by.map_or("-", |b| b.name())
                );
                for (name, count) in [
                    ("reinvites", r.reinvites),
                    ("auth", r.auth_rounds),
                    ("retry", u32::from(r.retry_of.is_some())),
                    ("retransmissions", r.retransmissions),
                    ("dropped", r.messages_dropped),
                    ("messages", r.messages),
                    ("branches", r.branches),
                ] {
                    if count > 0 {
                        write!(line, " {name} {count}").expect("text");
                    }
                }
                for (name, set) in [("acked", r.acked), ("mid-call", r.started_mid_call)] {
                    if set {
                        write!(line, " {name}").expect("text");
                    }
                }
                if !r.release_reason.is_empty() {
                    write!(line, " reason {}", r.release_reason).expect("text");
                }
                writeln!(text, "{line}").expect("text");
            }
        }
    }
}

fn seconds(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |t| format!("{}", t.0 as f64 / 1e9))
}
