//! Real calls over UDP, from captures of others, against what is known of them.
//!
//! A light reader: Ethernet (also with PPPoE) and raw IP, IPv4, unfragmented UDP.

use auscult_core::model::{
    CallRecord, CallState, Limits, Policy, ReleasedBy, SipDirection, SipMessageRecord, Transport,
};
use auscult_core::signal::{CapturedMessage, Signal, SignalEvent};
use auscult_core::units::Timestamp;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

const CAPTURES: [&str; 10] = [
    "dda9179f_Wireshark-Captures__sip_hold_resume.pcapng",
    "19f59c64_Wireshark-Captures__rtp_sip_g711ulaw_10ms.pcapng",
    "064efe8f_Wireshark-Captures__fax_t38_nse_sip_ogw.pcapng",
    "8157845e_Wireshark-Captures__fax_sip_passthru_ogw.pcapng",
    "84af7ec4_Wireshark-Captures__dtmf_relay_nte_notify_forbidden.pcapng",
    "493fc036_trex-core__delay_10_sip_video_call_full.pcap",
    "647311bb_sipnab__DTMFsipinfo.pcap",
    "86611038_ipfixprobe__sip.pcap",
    "be0dea17_PcapPlusPlus__sip_non_default_port.pcap",
    "bb0c0f02_zeek__invalid-content-length.pcap",
];

/// Time, link type, bytes.
fn frames(path: &Path) -> Vec<(Timestamp, i32, Vec<u8>)> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).expect("capture").read_to_end(&mut bytes).expect("capture");
    let mut out = Vec::new();
    let mut interfaces: Vec<(i32, u64)> = Vec::new();
    let mut reader: Box<dyn PcapReaderIterator> = match bytes.get(..4) {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => Box::new(PcapNGReader::new(1 << 20, &bytes[..]).expect("pcapng")),
        _ => Box::new(LegacyPcapReader::new(1 << 20, &bytes[..]).expect("pcap")),
    };
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(h) => {
                        interfaces
                            .push((h.network.0, if h.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 }));
                    }
                    PcapBlockOwned::Legacy(p) => {
                        let (link, units) = interfaces[0];
                        let nanos = i64::from(p.ts_usec) * (1_000_000_000 / units as i64);
                        out.push((Timestamp::from_secs_nanos(i64::from(p.ts_sec), nanos), link, p.data.to_vec()));
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(i)) => {
                        interfaces.push((i.linktype.0, i.ts_resolution().unwrap_or(1_000_000)));
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(p)) => {
                        let (link, units) = interfaces[p.if_id as usize];
                        let ticks = u64::from(p.ts_high) << 32 | u64::from(p.ts_low);
                        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(units);
                        let data = p.data.get(..p.caplen as usize).unwrap_or(p.data);
                        out.push((Timestamp(nanos as i64), link, data.to_vec()));
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return out,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("capture"),
            Err(e) => panic!("{}: {e:?}", path.display()),
        }
    }
}

fn udp(link: i32, frame: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let ip = match link {
        1 => match frame.get(12..14)? {
            [0x08, 0x00] => frame.get(14..)?,
            [0x88, 0x64] => frame.get(22..)?,
            _ => return None,
        },
        12 | 101 | 228 => frame,
        _ => return None,
    };
    let ip = ip.get(..usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?])).min(ip.len()))?;
    if ip.first()? >> 4 != 4 || *ip.get(9)? != 17 || u16::from_be_bytes([*ip.get(6)?, *ip.get(7)?]) & 0x3fff != 0 {
        return None;
    }
    let udp = ip.get(usize::from(ip.first()? & 15) * 4..)?;
    let end = |at: usize, port: usize| {
        let bytes: [u8; 4] = ip.get(at..at + 4)?.try_into().ok()?;
        Some(SocketAddr::from((bytes, u16::from_be_bytes([*udp.get(port)?, *udp.get(port + 1)?]))))
    };
    Some((end(12, 0)?, end(16, 2)?, udp.get(8..)?))
}

#[derive(Default)]
struct Listened {
    calls: BTreeMap<String, CallRecord>,
    messages: Vec<SipMessageRecord>,
    /// By Call-ID, where media was announced to be received.
    media: BTreeMap<String, BTreeSet<String>>,
}

fn listen(path: &Path) -> Listened {
    let mut signal = Signal::new(&Policy::default(), &Limits::default());
    let (mut events, mut last) = (Vec::new(), Timestamp::MIN);
    for (at, link, frame) in frames(path) {
        last = last.max(at);
        if let Some((src, dst, payload)) = udp(link, &frame)
            && auscult_core::wire::sip::looks_like_sip(payload)
        {
            let transport = Transport::Udp;
            let message = CapturedMessage { at, src, dst, transport, bytes: payload, cut_short: false };
            signal.message(message, &mut events);
        }
    }
    signal.finish(last, &mut events);
    let mut heard = Listened::default();
    for event in events {
        match event {
            SignalEvent::Ended(r) => {
                assert!(heard.calls.insert(r.call_id.to_string(), *r).is_none(), "a Call-ID ended twice");
            }
            SignalEvent::Message(m) => heard.messages.push(*m),
            SignalEvent::Media { call_id, endpoint, .. } => {
                heard.media.entry(call_id.to_string()).or_default().insert(endpoint.to_string());
            }
            _ => {}
        }
    }
    heard
}

#[test]
fn calls_of_captures_are_what_is_known_of_them() {
    let mut checked = 0;
    for file in CAPTURES {
        let Some(path) = testkit::shared(&format!("captures/{file}")) else { return };
        let Some(truth) = testkit::shared(&format!("captures/truth/{file}.json")) else { return };
        let truth: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(truth).expect("truth")).expect("JSON");
        let Listened { calls, messages, media } = listen(&path);
        let known: Vec<&serde_json::Value> =
            truth["sip"]["calls"].as_array().expect("calls").iter().filter(|c| !c["invite_time"].is_null()).collect();
        let names: BTreeSet<&str> = known.iter().filter_map(|c| c["call_id"].as_str()).collect();
        assert_eq!(calls.keys().map(String::as_str).collect::<BTreeSet<_>>(), names, "{file}");
        for expected in known {
            let id = expected["call_id"].as_str().expect("Call-ID");
            let call = &calls[id];
            let place = format!("{file} call {checked}");
            checked += 1;
            assert_eq!(u64::from(call.final_code), expected["last_final"].as_u64().unwrap_or(0), "{place}");
            near(call.setup().map(|n| n.as_secs_f64()), &expected["setup_time_s"], &place);
            near(call.invite_at.map(|t| t.0 as f64 / 1e9), &expected["invite_time"], &place);
            if expected["teardown"] == "BYE" {
                assert_eq!(call.state, CallState::Completed, "{place}");
                near(call.duration().map(|n| n.as_secs_f64()), &expected["talk_time_s"], &place);
                let by_caller = expected["bye_src"].as_str().and_then(|s| s.split(':').next())
                    == expected["invite_src"].as_str().and_then(|s| s.split(':').next());
                let by = if by_caller { ReleasedBy::Caller } else { ReleasedBy::Callee };
                assert_eq!(call.released_by, Some(by), "{place}");
            }
            assert_eq!(call.retransmissions, 0, "{place}");
            assert_eq!(u64::from(call.messages), expected["n_messages"].as_u64().expect("number"), "{place}");
            assert_eq!(call.caller.uri, expected["from"].as_str().unwrap_or_default(), "{place}");
            assert_eq!(call.callee.uri, expected["to"].as_str().unwrap_or_default(), "{place}");
            let own: Vec<&SipMessageRecord> = messages.iter().filter(|m| *m.call_id == *id).collect();
            assert_eq!(media.get(id).cloned().unwrap_or_default(), announced(expected), "{place}");
            // The truth counts different CSeq numbers of INVITEs after the first, whoever sent them.
            let numbers: BTreeSet<u32> = own
                .iter()
                .filter(|m| m.direction == SipDirection::Request && m.method == "INVITE")
                .map(|m| m.cseq)
                .collect();
            assert_eq!(numbers.len() as u64 - 1, expected["reinvites"].as_u64().expect("number"), "{place}");
            assert_eq!(call.reinvites, inside_dialog(&own), "{place}");
        }
    }
    assert_eq!(checked, 19);
}

/// Addresses and ports of the session descriptions, holds and refusals left out.
fn announced(call: &serde_json::Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for sdp in call["sdp"].as_array().into_iter().flatten() {
        let address = sdp["c"].as_array().and_then(|c| c.last()?.as_str()?.rsplit(' ').next()).unwrap_or_default();
        for media in sdp["media"].as_array().into_iter().flatten() {
            let port = media.as_str().and_then(|m| m.split(' ').nth(1)).unwrap_or("0");
            if address != "0.0.0.0" && port != "0" {
                all.insert(format!("{address}:{port}"));
            }
        }
    }
    all
}

/// INVITE and UPDATE requests with a To tag after the first 2xx to an INVITE, counted once each.
fn inside_dialog(messages: &[&SipMessageRecord]) -> u32 {
    let tag = |m: &SipMessageRecord, name: &str| {
        let line = m.headers.lines().find(|l| l.to_ascii_lowercase().starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(";tag=").map(|(_, tag)| tag.to_owned())
    };
    let mut answered = false;
    let mut seen = BTreeSet::new();
    for m in messages {
        answered |= m.method == "INVITE" && (200..300).contains(&m.status);
        let request = m.direction == SipDirection::Request && ["INVITE", "UPDATE"].contains(&m.method.as_str());
        if answered && request && tag(m, "to:").is_some() {
            seen.insert((tag(m, "from:"), m.cseq, m.method.clone()));
        }
    }
    seen.len() as u32
}

fn near(got: Option<f64>, expected: &serde_json::Value, place: &str) {
    match (got, expected.as_f64()) {
        (None, None) => {}
        (Some(got), Some(expected)) if (got - expected).abs() < 2e-6 => {}
        (got, expected) => panic!("{place}: {got:?} for {expected:?}"),
    }
}
