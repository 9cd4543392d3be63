//! What every target asserts about whatever bytes it is given.

mod sequence;

pub use sequence::engine_seq;

use auscult::capture::{FileReader, MAX_RECORD};
use auscult::model::Limits;
use auscult::units::Timestamp;
use auscult::wire::classify::{self, Class};
use auscult::wire::sip::{Framer, Framing, FramingLimits, looks_like_sip, sanitise};
use auscult::wire::{Decoded, Decoder, LinkType, fast_rtp, fast_udp, rtcp, rtp, sdp, sip};

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
            (None, Decoded::Done(_)) => {}
        }
    }
}

/// A capture file: it is refused, or read to an end.
pub fn pcap(bytes: &[u8]) {
    // A bomb of zeros is unpacked as a stream; that takes time, not memory, and finds nothing.
    const FRAMES: u32 = 20_000;
    let Ok(mut reader) = FileReader::from_reader(std::io::Cursor::new(bytes.to_vec()), "fuzz") else { return };
    for _ in 0..FRAMES {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                assert!(frame.bytes.len() <= MAX_RECORD && frame.wire_len as usize >= frame.bytes.len());
            }
            Ok(None) | Err(_) => break,
        }
    }
    assert!(reader.interfaces().len() <= auscult::capture::MAX_INTERFACES);
}
