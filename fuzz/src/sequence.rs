//! Hostile sequences for the engine: bytes become calls, media, reports, noise and pauses.

use auscult_core::engine::Engine;
use auscult_core::model::{Event, Limits, Policy};
use auscult_core::units::{Nanos, Timestamp};
use auscult_core::wire::LinkType;
use std::net::SocketAddr;
use testkit::frame::{Lower, udp};

/// One thing that happens, `gap` after the one before.
struct Step {
    gap: Nanos,
    frame: Vec<u8>,
}

/// Small enough that inputs of a few hundred bytes reach every limit.
fn limits() -> Limits {
    Limits {
        streams: 6,
        candidates: 6,
        candidates_per_flow: 2,
        calls: 4,
        messages_per_call: 12,
        branches_per_call: 3,
        media_endpoints: 12,
        tcp_connections: 4,
        tcp_bytes: 4096,
        fragment_bytes: 8192,
        message_bytes: 4096,
        header_bytes: 2048,
        groups: 4,
        challenge_hold: Nanos::from_secs(7),
        pending_bytes: 64 * 1024,
        queue_bytes: 1 << 20,
    }
}

/// The same frames with and without ticks, and over one and several shards, give the same facts; every frame has one
/// outcome.
pub fn engine_seq(bytes: &[u8]) {
    let steps = steps(bytes);
    same("ticks", &facts(&steps, limits(), 1, false), &facts(&steps, limits(), 1, true));
    // Limits are spread over shards: what is evicted may differ, what is measured may not.
    same("shards", &facts(&steps, Limits::default(), 1, false), &facts(&steps, Limits::default(), 3, false));
}

#[track_caller]
fn same(what: &str, left: &[String], right: &[String]) {
    let without =
        |a: &[String], b: &[String]| a.iter().filter(|f| !b.contains(f)).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        left == right,
        "{what} change facts; only without:\n{}\nonly with:\n{}",
        without(left, right),
        without(right, left)
    );
}

fn facts(steps: &[Step], limits: Limits, shards: usize, ticks: bool) -> Vec<String> {
    let mut engine = Engine::new(limits, Policy::default(), shards, 7);
    let mut events = Vec::new();
    let mut now = Timestamp(1_790_000_000_000_000_000);
    for step in steps {
        let before = now;
        now = now + step.gap;
        if ticks && step.gap > Nanos::ZERO {
            engine.tick(before + Nanos(step.gap.0 / 2), &mut events);
            engine.tick(now, &mut events);
        }
        engine.frame(now, LinkType::ETHERNET, &step.frame, step.frame.len(), &mut events);
    }
    engine.finish(&mut events);
    let outcomes = engine.outcomes();
    assert_eq!(outcomes.total(), steps.len() as u64, "frames in are the sum of outcomes");
    let mut stated: Vec<String> = events
        .iter()
        .filter(|e| !matches!(e, Event::CallChanged(_) | Event::StreamStarted(_)))
        .map(|e| format!("{e:?}"))
        .collect();
    stated.push(format!("{outcomes:?}"));
    stated.sort();
    stated
}

/// Four bytes a step: what, who, detail, pause.
fn steps(bytes: &[u8]) -> Vec<Step> {
    const MOST: usize = 2000;
    bytes.chunks_exact(4).take(MOST).map(|c| step([c[0], c[1], c[2], c[3]])).collect()
}

fn step([what, who, detail, pause]: [u8; 4]) -> Step {
    let gap = match pause {
        0..=127 => Nanos::from_millis(i64::from(pause)),
        128..=200 => Nanos::from_millis(i64::from(pause - 127) * 250),
        201..=250 => Nanos::from_secs(i64::from(pause - 200) * 20),
        _ => Nanos::ZERO,
    };
    let call = who & 7;
    let caller: SocketAddr = ([192, 0, 2, 1 + call % 3], 5060).into();
    let callee: SocketAddr = ([198, 51, 100, 1], 5060).into();
    let media = |base: u16| -> [SocketAddr; 2] {
        let port = base + 2 * u16::from(call);
        [([192, 0, 2, 1 + call % 3], port).into(), ([198, 51, 100, 1], port).into()]
    };
    let [near, far] = media(16_384);
    let (from, to, payload) = match what % 12 {
        0 => (caller, callee, request("INVITE", call, detail, Some(near))),
        1 => (callee, caller, response(call, [100, 180, 183, 401, 407, 486, 487, 503][usize::from(detail & 7)], None)),
        2 => (callee, caller, response(call, 200, Some(far))),
        3 => (caller, callee, request("ACK", call, detail, None)),
        4 => (near, far, rtp(call, detail, who >> 3)),
        5 => (far, near, rtp(call | 8, detail, who >> 3)),
        6 => (near, far, rtcp(call, detail)),
        7 => (caller, callee, request("BYE", call, detail, None)),
        8 => (callee, caller, response(call, 200, None)),
        9 => (
            caller,
            callee,
            request(["CANCEL", "UPDATE", "PRACK", "INFO"][usize::from(detail & 3)], call, detail, None),
        ),
        10 => (near, far, vec![what, who, detail, pause, detail, who, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        // An attacker with fresh SSRCs on one port, and on many.
        _ => {
            let to = SocketAddr::new(far.ip(), 20_000 + u16::from(who & 0xf0));
            (near, to, rtp(detail, who, 0))
        }
    };
    Step { gap, frame: udp(from, to, Lower { id: u16::from(detail), ttl: 60, dscp: 46, vlan: None }, &payload) }
}

fn request(method: &str, call: u8, detail: u8, media: Option<SocketAddr>) -> Vec<u8> {
    // CSeq and To tag vary: retransmissions, re-INVITEs, forks, strangers.
    let cseq = 1 + (detail >> 6);
    let tag = if detail & 0x20 == 0 { String::new() } else { format!(";tag=b{}", detail & 3) };
    sip(&format!("{method} sip:b@198.51.100.1 SIP/2.0"), method, call, cseq, &tag, media)
}

fn response(call: u8, status: u16, media: Option<SocketAddr>) -> Vec<u8> {
    let method = if media.is_none() && status == 200 { "BYE" } else { "INVITE" };
    sip(&format!("SIP/2.0 {status} Any"), method, call, 1, ";tag=b0", media)
}

fn sip(start: &str, method: &str, call: u8, cseq: u8, to_tag: &str, media: Option<SocketAddr>) -> Vec<u8> {
    let body = media.map_or_else(String::new, |at| {
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n",
            ip = at.ip(),
            port = at.port()
        )
    });
    let kind = if media.is_some() { "Content-Type: application/sdp\r\n" } else { "" };
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{call}-{cseq}-{method}\r\nFrom: <sip:a@192.0.2.1>;tag=a{call}\r\n\
         To: <sip:b@198.51.100.1>{to_tag}\r\nCall-ID: call-{call}\r\nCSeq: {cseq} {method}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// `detail` is the sequence number, `jump` throws it and the timestamp about.
fn rtp(ssrc: u8, detail: u8, jump: u8) -> Vec<u8> {
    let seq = u16::from(detail) + u16::from(jump & 3) * 0x4000;
    let timestamp = (u32::from(seq) * 160).wrapping_add(if jump & 4 == 0 { 0 } else { 0xffff_0000 });
    let payload_type = [0, 8, 101, 13][usize::from(jump >> 3 & 3)];
    let mut packet = vec![0x80, payload_type];
    packet.extend(seq.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([0x11, 0x22, 0x33, ssrc]);
    packet.extend([0xd5; 160]);
    packet
}

fn rtcp(ssrc: u8, detail: u8) -> Vec<u8> {
    let mut packet = vec![0x81, 200, 0, 12, 0x11, 0x22, 0x33, ssrc];
    packet.extend(u64::from(detail).to_be_bytes());
    packet.extend([0, 0, 0, detail, 0, 0, 0, detail, 0, 0, 1, 0]);
    packet.extend([0x11, 0x22, 0x33, ssrc ^ 8, detail, 0, 0, 1, 0, 0, 0, detail, 0, 0, 0, 9]);
    packet.extend([detail, 1, 2, 3, 0, 0, detail, 0]);
    packet
}
