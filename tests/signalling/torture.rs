//! The 62 torture messages of RFC 4475 and RFC 5118 against what a monitor must make of each.

use auscult_core::model::{Layer, Limits, Outcome, Policy, Transport};
use auscult_core::signal::{CapturedMessage, Signal, SignalEvent};
use auscult_core::units::Timestamp;
use auscult_core::wire::sip::{self, Anomaly};
use std::net::SocketAddr;

fn here() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}

/// A message that came whole over UDP.
pub fn captured(at: i64, bytes: &[u8]) -> CapturedMessage<'_> {
    let (at, transport) = (Timestamp(at), Transport::Udp);
    CapturedMessage { at, src: here(), dst: here(), transport, bytes, cut_short: false }
}

/// One message into an empty monitor: its outcome, and the Call-IDs of the calls it made.
pub fn alone(bytes: &[u8]) -> (Outcome, Vec<String>) {
    let mut signal = Signal::new(&Policy::default(), &Limits::default());
    let mut events = Vec::new();
    let outcome = signal.message(captured(0, bytes), &mut events);
    signal.finish(Timestamp(0), &mut events);
    let calls = events.into_iter().filter_map(|f| match f {
        SignalEvent::Ended(record) => Some(record.call_id.to_string()),
        _ => None,
    });
    (outcome, calls.collect())
}

#[test]
fn every_torture_message_gives_what_a_monitor_needs() {
    let Some(folder) = testkit::shared("torture") else { return };
    let expected = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
    let messages = expected["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 62);
    for case in messages {
        let file = case["file"].as_str().expect("file");
        let bytes = std::fs::read(folder.join(file)).expect("message");
        let events = &case["facts"];
        let parsed = sip::parse(&bytes);
        let (outcome, calls) = alone(&bytes);
        if case["monitor_action"] == "count_only" {
            assert!(parsed.is_err(), "{file}");
            assert_eq!(outcome, Outcome::Malformed(Layer::Sip), "{file}");
            assert!(calls.is_empty(), "{file}");
            continue;
        }
        let m = parsed.unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(outcome, Outcome::Sip, "{file}");
        assert_eq!(
            String::from_utf8_lossy(m.first_line()).trim_end(),
            events["first_line"].as_str().unwrap_or_default().trim_end(),
            "{file}"
        );
        assert_eq!(m.call_id(), events["call_id"][0].as_str().expect("Call-ID").as_bytes(), "{file}");
        match events["method"].as_str() {
            Some(method) => assert_eq!(m.method(), method.as_bytes(), "{file}"),
            None => {
                let status = events["status"].as_str().and_then(|s| s.parse::<u16>().ok());
                assert_eq!(m.status(), status, "{file}");
            }
        }
        let cseq = events["cseq"][0].as_str().expect("CSeq");
        let (number, method) = cseq.split_once(char::is_whitespace).expect("number and method");
        let got = m.cseq().expect("CSeq");
        assert_eq!(got.method, method.trim().as_bytes(), "{file}");
        assert_eq!(got.number, number.parse().ok(), "{file}");
        let flags: Vec<&str> = case["flags"].as_array().expect("flags").iter().filter_map(|f| f.as_str()).collect();
        let noted: Vec<&str> = m.anomalies().iter().map(Anomaly::name).collect();
        for flag in &flags {
            assert!(noted.contains(flag), "{file}: {flag} is not among {noted:?}");
        }
        if case["monitor_action"] == "accept_flag" {
            assert!(!noted.is_empty(), "{file}");
        }
        // An INVITE outside a dialog and nothing else makes a call by itself.
        let opens = events["method"] == "INVITE" && m.version_known() && m.to().is_none_or(|t| t.tag.is_empty());
        assert_eq!(calls.len(), usize::from(opens), "{file}");
    }
}

#[test]
fn every_prefix_of_every_torture_message_is_survived() {
    let Some(folder) = testkit::shared("torture") else { return };
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.extension().is_none_or(|e| e != "sip") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("message");
        let whole = sip::parse(&bytes).ok().map(|m| m.call_id().to_vec());
        for end in 0..bytes.len() {
            if let Ok(m) = sip::parse(&bytes[..end]) {
                assert_eq!(Some(m.call_id().to_vec()), whole, "{} cut at {end}", path.display());
            }
        }
    }
}

#[test]
fn media_of_torture_messages_is_where_their_sdp_says() {
    let Some(folder) = testkit::shared("torture") else { return };
    for (file, endpoints) in [
        ("rfc5118-ipv4-mapped-ipv6", "192.0.2.2:6000 192.0.2.2:6024"),
        ("rfc5118-mult-ip-in-sdp", "192.0.2.1:22334 [2001:db8::1]:6024"),
        ("rfc4475-clerr", "192.0.2.155:49217 192.0.2.155:3227"),
        ("rfc4475-wsinv", "192.0.2.4:49217 192.0.2.4:3227"),
    ] {
        let bytes = std::fs::read(folder.join(format!("{file}.sip"))).expect("message");
        let mut events = Vec::new();
        Signal::new(&Policy::default(), &Limits::default()).message(captured(0, &bytes), &mut events);
        let got: Vec<String> = events
            .iter()
            .filter_map(|f| match f {
                SignalEvent::Media { endpoint, .. } => Some(endpoint.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(got.join(" "), endpoints, "{file}");
    }
}
