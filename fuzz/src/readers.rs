//! Readers of frames and payloads: what each asserts about whatever bytes it is given.

use crate::script::Script;
use auscult_core::model::Limits;
use auscult_core::units::text::{clean, clean_bytes, clean_lines};
use auscult_core::units::{Nanos, Timestamp};
use auscult_core::wire::classify::{self, Class};
use auscult_core::wire::sip::{Framer, Framing, FramingLimits, looks_like_sip, sanitise};
use auscult_core::wire::tcp::{Protocol, Reassembler, TcpOutcome, TcpStream};
use auscult_core::wire::units::Unit;
use auscult_core::wire::websocket::WsStep;
use auscult_core::wire::{
    Decoded, Decoder, LinkType, Path, Segment, fast_rtp, fast_udp, rtcp, rtp, sdp, sip, vqreport,
};

/// Links a frame may begin with; the first byte of an input picks one.
const LINKS: [LinkType; 10] = [
    LinkType::ETHERNET,
    LinkType::LINUX_SLL,
    LinkType::LINUX_SLL2,
    LinkType::RAW,
    LinkType::NULL,
    LinkType::LOOP,
    LinkType::PPP,
    LinkType::PPP_HDLC,
    LinkType::PPP_ETHER,
    LinkType::IPV6,
];

/// A SIP message by itself, and as the front of a stream.
pub fn sip_msg(bytes: &[u8]) {
    let _ = looks_like_sip(bytes);
    if let Ok(message) = sip::parse(bytes) {
        assert!(message.header_bytes().len() + message.body().len() <= bytes.len());
        let _ = (message.from(), message.to(), message.contact(), message.cseq(), message.via_branch());
        let (headers, body) = sanitise(&message);
        for text in [&headers, &body] {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "a control character is stored");
            assert_clean(&clean_lines(text, usize::MAX).replace('\n', ""), usize::MAX);
        }
        if let Some(found) = message.sdp() {
            assert!(found.bytes.len() <= bytes.len());
        }
    }
    let limits = FramingLimits { message: 4096, headers: 2048 };
    // How the stream is cut is the first byte's choice.
    let size = bytes.first().map_or(1, |b| usize::from(*b) + 1);
    let (mut framer, mut buffer) = (Framer::default(), Vec::new());
    for piece in bytes.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            let taken = match framer.next(&buffer, &limits) {
                Framing::Message(n) => {
                    assert!(n <= limits.message.max(buffer.len()), "a message of {n} over the limit");
                    n
                }
                Framing::Skip(n) | Framing::Junk(n) | Framing::TooLong(n) | Framing::HeadersTooLong(n) => n,
                Framing::Need => {
                    assert!(buffer.len() < limits.message, "wants more than the limit");
                    break;
                }
                Framing::NotSip => return,
            };
            assert!(taken > 0 && taken <= buffer.len(), "a stream stands still");
            buffer.drain(..taken);
        }
    }
}

/// A session description: what is read is bounded, and reading less gives no more.
pub fn sdp(bytes: &[u8]) {
    for cut in [false, true] {
        let read = sdp::parse(bytes, cut);
        assert!(read.media.len() <= sdp::MEDIA_MAX);
        for media in &read.media {
            for format in &media.formats {
                assert_clean(&format.name, 64);
                assert_clean(&format.fmtp, 512);
            }
            assert!(media.endpoint().is_none_or(|e| e.port() != 0 || media.port == 0));
        }
    }
}

/// A payload: classification, the readers behind it, and what a snap length leaves of it.
pub fn rtp_rtcp(bytes: &[u8]) {
    for wire_len in [bytes.len(), bytes.len() + 100] {
        match classify::classify(bytes, wire_len) {
            Class::Rtp(header) => {
                assert_eq!(rtp::parse(bytes, wire_len), Ok(header), "classification and reader disagree");
            }
            Class::Relayed { payload, wire_len: inner } => {
                assert!(payload.len() <= bytes.len() && inner <= wire_len);
                let _ = classify::classify(payload, inner);
            }
            _ => {}
        }
        let _ = rtp::parse(bytes, wire_len);
        let read = rtcp::packets(bytes, wire_len).count();
        assert!(read <= rtcp::MAX_PACKETS + 1, "{read} packets");
    }
}

/// A frame; its first byte picks the link type.
pub fn frame(bytes: &[u8]) {
    let Some((link, frame)) = bytes.split_first() else { return };
    let link = LINKS[usize::from(*link) % LINKS.len()];
    let mut decoder = Decoder::new(&Limits::default());
    assert!(fast_rtp(link, frame).is_none() || fast_udp(link, frame).is_some());
    for wire_len in [frame.len(), frame.len() + 400] {
        let slow = decoder.decode(Timestamp(0), link, frame, wire_len);
        match (fast_udp(link, frame), &slow) {
            (Some(fast), Decoded::Udp(slow)) => assert_eq!(fast, *slow),
            (Some(fast), other) => panic!("{fast:?} by the fast path, {other:?} by the other"),
            (None, Decoded::Udp(d)) => assert!(d.payload.len() <= frame.len().max(65_535)),
            (None, Decoded::Tcp(s)) => assert!(s.payload.len() <= frame.len().max(65_535)),
            (None, Decoded::Icmp(e)) => assert!(e.payload.len() <= frame.len()),
            (None, Decoded::Done(_)) => {}
        }
    }
}

/// A voice quality report: what is kept of it is clean and bounded.
pub fn vq_report(bytes: &[u8]) {
    let Ok(report) = vqreport::parse(bytes) else { return };
    let texts = [&report.call_id, &report.local_id, &report.remote_id, &report.orig_id, &report.dialog_id];
    for text in texts.into_iter().chain(&report.alert) {
        assert_clean(text, 256);
    }
    for metrics in std::iter::once(&report.local).chain(&report.remote) {
        assert!(metrics.described.len() <= 32, "{} descriptions", metrics.described.len());
        metrics.described.iter().for_each(|(_, value)| assert_clean(value, 256));
        assert!(metrics.moslq.is_none_or(|mos| (0.0..=4.9).contains(&mos)));
    }
}

/// The cleaner itself: bounded, done once, and nothing left that is obeyed or invisible.
pub fn text(bytes: &[u8]) {
    let Some((max, bytes)) = bytes.split_first() else { return };
    let max = usize::from(*max);
    let line = clean_bytes(bytes, max);
    assert_clean(&line, max);
    assert_eq!(clean(&line, max), line);
    let lines = clean_lines(&String::from_utf8_lossy(bytes), max);
    assert_clean(&lines.replace('\n', ""), max);
    assert_eq!(clean_lines(&lines, max), lines);
}

pub fn assert_clean(text: &str, max: usize) {
    assert!(text.len() <= max, "{} bytes of {max}", text.len());
    let bad = text.chars().find(|c| {
        c.is_control()
            || matches!(*c as u32,
                0xad | 0x34f | 0x61c | 0x200b | 0x200e..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfe00..=0xfe0f
                | 0xfeff | 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xfff0..=0xfffb | 0xe0000..=0x10ffff)
            || *c as u32 & 0xfffe == 0xfffe
    });
    assert_eq!(bad, None, "in {text:?}");
}

/// Segments of a few TCP connections in any order, with holes, repetitions and resets: what is held stays within the
/// limits, and no stream stands still.
pub fn tcp(bytes: &[u8]) {
    let limits = Limits { tcp_connections: 3, tcp_bytes: 2048, message_bytes: 1024, ..Limits::default() };
    let mut tcp = Reassembler::new(&limits);
    let mut script = Script::new(bytes);
    let mut at = Timestamp(1_790_000_000_000_000_000);
    while let Some(op) = script.u8() {
        let (flow, flags) = (script.byte(), script.byte());
        let seq = u32::from(script.u16()) | if op & 0x40 != 0 { 0xffff_0000 } else { 0 };
        let len = usize::from(script.byte());
        let text: &[u8] = match flags >> 4 & 3 {
            0 | 1 => b"OPTIONS sip:b@h SIP/2.0\r\nCall-ID: x\r\nl: 3\r\n\r\nabc",
            2 => b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x01\x82\0\0\0\0SI\x89\0\x80\x02P/",
            _ => b"\0\x10\x80\0\0\x01\0\0\0\xa0\0\0\0\x07abcd\0\0\0\x0c\x80\xc9\0\x01\0\0\0\x07abcd",
        };
        let payload =
            if op & 0x80 != 0 { script.take(len) } else { text.get(..len % (text.len() + 1)).unwrap_or(text) };
        at = at + Nanos::from_millis(i64::from(op & 0x3f) * i64::from(op & 0x3f));
        let segment = Segment {
            src: ([192, 0, 2, flow & 7], 5060).into(),
            dst: ([192, 0, 2, 99], 5060).into(),
            path: Path { ip_id: None, ttl: 64, dscp: 0, vlan: 0, tunnel: None },
            seq,
            syn: flags & 1 != 0,
            fin: flags & 2 != 0,
            rst: flags & 12 == 12,
            payload,
            wire_len: payload.len() + usize::from(flags & 0x80 != 0),
        };
        let read = |stream: &mut auscult_core::wire::tcp::TcpStream<'_>| read_stream(stream, &limits);
        if let TcpOutcome::Readable(mut stream) = tcp.push(at, &segment) {
            read(&mut stream);
        }
        for turn in 0.. {
            let Some(mut stream) = tcp.release(at) else { break };
            read(&mut stream);
            assert!(turn < 1000, "release does not end");
        }
        assert!(tcp.len() <= 6, "{} directions", tcp.len());
        assert!(tcp.buffered() <= 6 * 2 * limits.tcp_bytes, "{} bytes", tcp.buffered());
    }
}

/// Reads a stream as what it is, up to where more bytes are needed.
fn read_stream(stream: &mut TcpStream<'_>, limits: &Limits) {
    let framing = FramingLimits { message: limits.message_bytes, headers: limits.header_bytes };
    let mut still = 0;
    for _ in 0..5_000 {
        let before = stream.bytes().len();
        let more = match stream.protocol() {
            Protocol::Sip => match stream.frame(&framing) {
                Framing::Need => false,
                Framing::Message(n)
                | Framing::Skip(n)
                | Framing::Junk(n)
                | Framing::TooLong(n)
                | Framing::HeadersTooLong(n) => {
                    stream.consume(n);
                    true
                }
                Framing::NotSip => return stream.reject(),
            },
            Protocol::WebSocket => match stream.web_socket(limits.message_bytes) {
                WsStep::Need => false,
                WsStep::Skip(_) | WsStep::TooLong(_) => true,
                WsStep::Message(_) => {
                    assert!(stream.message().len() <= limits.message_bytes);
                    true
                }
                WsStep::Broken => return stream.reject(),
            },
            Protocol::Packets(units) => match stream.unit(units) {
                Unit::Need => false,
                Unit::Packet { header, len, total } => {
                    assert!(header + len <= total && total <= stream.bytes().len());
                    stream.consume(total);
                    true
                }
                Unit::Broken => return stream.reject(),
            },
        };
        if !more {
            if stream.ends_in_hole() {
                stream.resync();
            }
            return;
        }
        // An empty frame of a WebSocket takes two steps, of which the second counts nothing.
        still = if stream.bytes().len() < before { 0 } else { still + 1 };
        assert!(still < 2, "a stream of {before} bytes stands still");
    }
    panic!("a stream does not end");
}
