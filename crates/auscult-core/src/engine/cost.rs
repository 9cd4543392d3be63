//! What messages cost must grow with their length: bytes looked at by the scanners are counted, not time. The instructions of many
//! more cases are counted by `tools/cost-gate`.

use super::Engine;
use crate::model::{Limits, Outcome, OverLimit, Policy};
use crate::units::Timestamp;
use crate::wire::LinkType;
use crate::wire::steps::scanned_by;

/// Bytes of the smaller message; one twice as long is within the limit of a header block.
const BYTES: usize = 16 * 1024;
/// The same where a frame has few of them.
const FEW_BYTES: usize = 2 * 1024;
/// How often one byte may be looked at: framing, parsing and storing read each header a few times.
const LOOKS: u64 = 24;

fn ip(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend(length.to_be_bytes());
    frame.extend([0, 9]);
    frame.extend(fragment.to_be_bytes());
    frame.extend([64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1]);
    frame.extend(payload);
    frame
}

fn udp(payload: &[u8]) -> Vec<u8> {
    [&[0x13, 0xc4, 0x13, 0xc4][..], &(8 + payload.len() as u16).to_be_bytes(), &[0, 0], payload].concat()
}

fn fragments(payload: &[u8]) -> Vec<Vec<u8>> {
    let datagram = udp(payload);
    let pieces = datagram.chunks(1480).enumerate();
    pieces
        .map(|(n, piece)| {
            let more = if (n + 1) * 1480 < datagram.len() { 0x2000 } else { 0 };
            ip(17, (n * 1480 / 8) as u16 | more, piece)
        })
        .collect()
}

fn segments(size: usize, stream: &[u8]) -> Vec<Vec<u8>> {
    let segment = |seq: usize, flags: u8, payload: &[u8]| {
        let seq = (seq as u32).to_be_bytes();
        let header = [&[0x13, 0xc4, 0x13, 0xc4][..], &seq, &[0; 4], &[0x50, flags, 1, 0, 0, 0, 0, 0]].concat();
        ip(6, 0, &[&header, payload].concat())
    };
    let pieces = stream.chunks(size).enumerate().map(|(n, piece)| segment(1 + n * size, 0x18, piece));
    std::iter::once(segment(0, 2, &[])).chain(pieces).collect()
}

/// Bytes looked at while an engine takes these frames, and how often the limit of header blocks was met.
fn looked_at(frames: &[Vec<u8>]) -> (u64, u64) {
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
    let mut out = Vec::new();
    let looked = scanned_by(|| {
        for (n, frame) in frames.iter().enumerate() {
            engine.frame(Timestamp(1_000_000_000 + n as i64), LinkType::ETHERNET, frame, frame.len(), &mut out);
        }
    });
    (looked, engine.outcomes().get(Outcome::OverLimit(OverLimit::HeaderSize)))
}

/// A message whose header block, or body, repeats `unit` for `bytes` bytes.
fn message(before: &str, unit: &str, after: &str, bytes: usize) -> Vec<u8> {
    let fill = unit.repeat(bytes / unit.len());
    let needed = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";
    let (headers, body) = match before.strip_prefix("body ") {
        Some(kind) => {
            let (media_type, opening) = kind.split_once(' ').unwrap_or((kind, ""));
            (format!("Content-Type: {media_type}\r\n"), format!("{opening}{fill}{after}"))
        }
        None => (format!("{before}{fill}{after}"), String::new()),
    };
    format!("INVITE sip:b@h SIP/2.0\r\n{headers}{needed}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn scanning_grows_with_the_bytes_whatever_they_are_and_however_they_come() {
    let fills = [
        ("X: a", "\r\n ", "\r\n"),
        ("X: a", "\r\n b", "\r\n"),
        ("Via: SIP/2.0/UDP h", "\r\n ,", "\r\n"),
        ("Content-Length: 0", "\r\n ", "\r\n"),
        ("", " \r\n", ""),
        ("", "a:b\r\n", ""),
        ("Via: ", "\",", "\r\n"),
        ("Via: \"", ",", "\r\n"),
        ("Contact: <sip:a@h>", ";a=b", "\r\n"),
        ("X: ", " ", "y\r\n"),
        ("body text/plain", "x", ""),
        ("body multipart/mixed;boundary=b --b\r\nX: a", "\r\n ", "\r\n\r\n--b--"),
        ("body multipart/mixed;boundary=b", "--b\r\n\r\n\r\n", "--b--"),
    ];
    type Carried = fn(&[u8]) -> Vec<Vec<u8>>;
    let ways: [(&str, Carried); 8] = [
        ("one datagram", |m| vec![ip(17, 0, &udp(m))]),
        ("fragments", fragments),
        ("pieces of 1", |m| segments(1, m)),
        ("pieces of 2", |m| segments(2, m)),
        ("pieces of 7", |m| segments(7, m)),
        ("pieces of 100", |m| segments(100, m)),
        ("pieces of 536", |m| segments(536, m)),
        ("pieces of 1460", |m| segments(1460, m)),
    ];
    for (before, unit, after) in fills {
        for (way, carried) in ways {
            let bytes = if matches!(way, "pieces of 1" | "pieces of 2" | "pieces of 7") { FEW_BYTES } else { BYTES };
            let cost = |bytes| looked_at(&carried(&message(before, unit, after, bytes)));
            let ((once, over), (twice, over_twice)) = (cost(bytes), cost(2 * bytes));
            assert_eq!((over, over_twice), (0, 0));
            assert!(once > 0, "{before:?} {unit:?} in {way}: nothing was counted");
            assert!(twice <= 2 * once + once / 50, "{before:?} {unit:?} in {way}: {once}, of twice the bytes {twice}");
            assert!(twice <= LOOKS * (2 * bytes as u64 + 1_000), "{before:?} {unit:?} in {way}: {twice}");
        }
    }
}

/// Streams that never are, or are no more, messages within the limits.
#[test]
fn what_is_no_message_is_looked_at_a_few_times_at_most() {
    let first = "OPTIONS sip:b@h SIP/2.0\r\nCall-ID: x\r\n\r\n";
    for (before, unit) in [
        ("", "\r\n"),
        (first, "\r\n\r\n"),
        (first, "a\n"),
        (first, "?"),
        (first, " INVITE sip:b@h SIP/2.0\r\nl: x\r\n\r\n"),
        ("", "INVITE sip:b@h SIP/2.0\r\n"),
        ("INVITE sip:b@h SIP/2.0\r\n", "a:b\r\n"),
        ("INVITE sip:b@h SIP/2.0\r\nX: a", "\r\n "),
        ("INVITE sip:", "a"),
    ] {
        for size in [1, 100, 1460] {
            let bytes = if size == 1 { 4_000 } else { 300_000 };
            let stream = [before, &unit.repeat(bytes / unit.len())].concat();
            let (looked, _) = looked_at(&segments(size, stream.as_bytes()));
            assert!(looked <= LOOKS * stream.len() as u64, "{before:?} {unit:?} in pieces of {size}: {looked}");
        }
    }
}
