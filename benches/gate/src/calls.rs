//! Frames of short calls, one after the other begun: the seven messages of an answered call and a few packets both ways.

use crate::frames::{Frames, START};

/// Packets of each direction of a call.
const PACKETS: u32 = 10;
/// Between the beginnings of two calls, ns.
const APART: i64 = 5_000_000;
const MS: i64 = 1_000_000;

/// Calls `which`, in order of time; they last a third of a second each.
pub fn calls(which: std::ops::Range<u32>) -> Frames {
    let mut frames: Vec<(i64, Vec<u8>)> = Vec::new();
    for call in which {
        let begin = START + i64::from(call) * APART;
        for message in 0..7 {
            let after = [0, 5, 20, 60, 70, 330, 335][message];
            frames.push((begin + after * MS, self::message(call, message)));
        }
        for n in 0..2 * PACKETS {
            frames.push((begin + (80 + 10 * i64::from(n)) * MS, packet(call, n)));
        }
    }
    frames.sort_by_key(|(at, _)| *at);
    let mut out = Frames::default();
    frames.iter().for_each(|(at, bytes)| out.add(*at, bytes));
    out
}

/// Addresses of the caller and the callee, and the media port of both.
fn ends(call: u32) -> ([u8; 4], [u8; 4], u16) {
    let [_, a, b, c] = call.to_be_bytes();
    ([10, a, b, c], [172, a, b, c], 10_000 + (call % 20_000) as u16 * 2)
}

fn packet(call: u32, n: u32) -> Vec<u8> {
    let (caller, callee, port) = ends(call);
    let (src, dst) = if n.is_multiple_of(2) { (caller, callee) } else { (callee, caller) };
    let mut rtp = vec![0x80, 0];
    rtp.extend((n as u16 / 2).to_be_bytes());
    rtp.extend((n / 2 * 160).to_be_bytes());
    rtp.extend((2 * call + n % 2 + 1).to_be_bytes());
    rtp.extend([0xff; 160]);
    udp((src, port), (dst, port), &rtp)
}

fn message(call: u32, which: usize) -> Vec<u8> {
    let (caller, callee, port) = ends(call);
    let (start, cseq, from_caller) = [
        ("INVITE sip:b@example.com SIP/2.0", "1 INVITE", true),
        ("SIP/2.0 100 Trying", "1 INVITE", false),
        ("SIP/2.0 180 Ringing", "1 INVITE", false),
        ("SIP/2.0 200 OK", "1 INVITE", false),
        ("ACK sip:b@example.com SIP/2.0", "1 ACK", true),
        ("BYE sip:b@example.com SIP/2.0", "2 BYE", true),
        ("SIP/2.0 200 OK", "2 BYE", false),
    ][which];
    let (own, other) = if from_caller { (caller, callee) } else { (callee, caller) };
    let text = |ip: [u8; 4]| format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3]);
    let body = match which {
        0 | 3 => format!(
            "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n",
            text(own)
        ),
        _ => String::new(),
    };
    let to_tag = if which < 2 { String::new() } else { format!(";tag=t{call}") };
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP {}:5060;branch=z9hG4bK{call}.{}\r\nMax-Forwards: 70\r\n\
         From: \"Alice\" <sip:+12025550101@example.com>;tag=f{call}\r\nTo: <sip:+12025550102@example.com>{to_tag}\r\n\
         Call-ID: {call:08x}@load.example.com\r\nCSeq: {cseq}\r\nContact: <sip:a@{}:5060>\r\n\
         User-Agent: ExamplePhone/4.2\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n{content}Content-Length: {}\r\n\r\n{body}",
        text(caller),
        cseq.replace(' ', ""),
        text(own),
        body.len()
    );
    udp((own, 5060), (other, 5060), text.as_bytes())
}

fn udp((src, from): ([u8; 4], u16), (dst, to): ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend((28 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend(src);
    frame.extend(dst);
    frame.extend(from.to_be_bytes());
    frame.extend(to.to_be_bytes());
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}
