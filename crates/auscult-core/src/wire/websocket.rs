//! SIP over WebSocket (RFC 7118, RFC 6455): the handshake passed over, frames unmasked, messages put together from fragments.
//!
//! One [`WebSocket`] reads one direction of a TCP connection. Frames whose payload is compressed (permessage-deflate) are not
//! read. A message above the limit is passed over; the connection goes on.

use super::byte_reader::ByteReader;
use super::classify::{SipStart, sip_start};

/// Longest handshake that is waited for, in bytes.
const HANDSHAKE_MAX: usize = 8 * 1024;

/// What the front of the stream held. The bytes counted are to be removed before the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsStep {
    /// More bytes are needed.
    Need,
    /// Handshake, control frame, or part of a message.
    Skip(usize),
    /// The end of a message, which [`WebSocket::message`] has.
    Message(usize),
    /// The end of a message above the limit.
    TooLong(usize),
    /// Not a WebSocket, or one that cannot be read.
    Broken,
}

#[derive(Debug)]
pub struct WebSocket {
    handshake: bool,
    message: Vec<u8>,
    /// Inside a message: its first fragment was seen.
    within: bool,
    /// The message is above the limit.
    too_long: bool,
    /// Of the frame being read: payload bytes still to come, whether it is the last of its message, and its mask.
    frame: Option<Frame>,
    /// Bytes of the handshake that hold no end of it.
    searched: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    left: u64,
    last: bool,
    control: bool,
    mask: Option<[u8; 4]>,
    /// Payload bytes read so far: the place in the mask.
    at: usize,
}

impl WebSocket {
    /// A connection from its beginning, or from the frame that begins here.
    pub fn new(handshake: bool) -> WebSocket {
        WebSocket { handshake, message: Vec::new(), within: false, too_long: false, frame: None, searched: 0 }
    }

    /// The message that ended; empty before the first.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Bytes held of a message that is not whole.
    pub fn buffered_bytes(&self) -> usize {
        self.message.len()
    }

    /// Looks at `bytes`, which were not removed yet. `most`: bytes of a message.
    pub fn next(&mut self, bytes: &[u8], most: usize) -> WsStep {
        if self.handshake {
            return self.handshake(bytes);
        }
        let Some(frame) = &mut self.frame else { return self.header(bytes) };
        if bytes.is_empty() && frame.left > 0 {
            return WsStep::Need;
        }
        let taken = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
        if !frame.control {
            self.too_long |= self.message.len() + taken > most;
            if self.too_long {
                self.message = Vec::new();
            } else {
                let place = self.message.len();
                self.message.extend_from_slice(&bytes[..taken]);
                if let Some(mask) = frame.mask {
                    unmask(&mut self.message[place..], mask, frame.at);
                }
            }
        }
        frame.left -= taken as u64;
        frame.at = frame.at.wrapping_add(taken);
        if frame.left > 0 {
            return WsStep::Skip(taken);
        }
        let ends = frame.last && !frame.control;
        self.frame = None;
        if !ends {
            return WsStep::Skip(taken);
        }
        self.within = false;
        if self.too_long { WsStep::TooLong(taken) } else { WsStep::Message(taken) }
    }

    fn handshake(&mut self, bytes: &[u8]) -> WsStep {
        let end = memchr::memmem::find(bytes.get(self.searched..).unwrap_or_default(), b"\r\n\r\n");
        match end.map(|at| self.searched + at + 4) {
            None if bytes.len() >= HANDSHAKE_MAX => WsStep::Broken,
            None => {
                self.searched = bytes.len().saturating_sub(3);
                WsStep::Need
            }
            Some(end) if upgrades(&bytes[..end]) => {
                self.handshake = false;
                WsStep::Skip(end)
            }
            Some(_) => WsStep::Broken,
        }
    }

    fn header(&mut self, bytes: &[u8]) -> WsStep {
        let Some((header, length)) = header(bytes) else {
            return if bytes.len() < HEADER_MAX { WsStep::Need } else { WsStep::Broken };
        };
        if header.reserved {
            return WsStep::Broken;
        }
        let control = match header.opcode {
            0 if self.within => false,
            1 | 2 if !self.within => {
                (self.within, self.too_long) = (true, false);
                self.message.clear();
                false
            }
            8..=10 if header.last && header.length < 126 => true,
            _ => return WsStep::Broken,
        };
        let Header { last, mask, length: left, .. } = header;
        self.frame = Some(Frame { left, last, control, mask, at: 0 });
        WsStep::Skip(length)
    }
}

/// Longest header of a frame.
const HEADER_MAX: usize = 14;

struct Header {
    last: bool,
    reserved: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    length: u64,
}

/// The header of a frame and its length; `None` where it is not whole.
fn header(bytes: &[u8]) -> Option<(Header, usize)> {
    let mut c = ByteReader::new(bytes);
    let [first, second] = c.array::<2>()?;
    let length = match second & 0x7f {
        126 => u64::from(c.u16()?),
        127 => c.u64()?,
        short => u64::from(short),
    };
    let mask = if second & 0x80 != 0 { Some(c.array::<4>()?) } else { None };
    let used = bytes.len() - c.rest().len();
    let header = Header { last: first & 0x80 != 0, reserved: first & 0x70 != 0, opcode: first & 15, mask, length };
    Some((header, used))
}

fn unmask(bytes: &mut [u8], mask: [u8; 4], at: usize) {
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte ^= mask[(at.wrapping_add(i)) & 3];
    }
}

/// Whether a header block asks for a WebSocket, or grants one.
fn upgrades(head: &[u8]) -> bool {
    let mut lines = head.split(|b| *b == b'\n');
    let first = lines.next().unwrap_or_default();
    let granted = first.starts_with(b"HTTP/1.1 101");
    let wanted = |line: &[u8]| {
        let mut parts = line.splitn(2, |b| *b == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        name.eq_ignore_ascii_case(b"Upgrade") && value.trim_ascii().eq_ignore_ascii_case(b"websocket")
    };
    (granted || first.starts_with(b"GET ")) && lines.any(wanted)
}

/// Whether a stream may begin a handshake.
pub(super) fn may_begin(bytes: &[u8]) -> SipStart {
    let begins = |with: &[u8]| {
        let same = bytes.iter().zip(with).all(|(a, b)| a == b);
        match (same, bytes.len() >= with.len()) {
            (true, true) => SipStart::Yes,
            (true, false) => SipStart::Maybe,
            (false, _) => SipStart::No,
        }
    };
    match [begins(b"GET /"), begins(b"HTTP/1.1 101")] {
        [SipStart::Yes, _] | [_, SipStart::Yes] => SipStart::Yes,
        [SipStart::Maybe, _] | [_, SipStart::Maybe] => SipStart::Maybe,
        _ => SipStart::No,
    }
}

/// Whether a segment begins a frame with a SIP message in it: for connections that were up before the capture.
pub(super) fn begins_sip(bytes: &[u8]) -> bool {
    /// Enough of a message for its first line to be known.
    const LOOK_AT: usize = 48;
    let Some((header, used)) = header(bytes) else { return false };
    if header.reserved || !matches!(header.opcode, 1 | 2) {
        return false;
    }
    let payload = bytes.get(used..).unwrap_or_default();
    let mut head = payload.get(..LOOK_AT).unwrap_or(payload).to_vec();
    if let Some(mask) = header.mask {
        unmask(&mut head, mask, 0);
    }
    sip_start(&head) == SipStart::Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match payload.len() {
            n @ ..126 => bytes.push(masked | n as u8),
            n => {
                bytes.push(masked | 126);
                bytes.extend((n as u16).to_be_bytes());
            }
        }
        bytes.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
        let place = bytes.len();
        bytes.extend(payload);
        if let Some(mask) = mask {
            unmask(&mut bytes[place..], mask, 0);
        }
        bytes
    }

    /// Messages of a stream that comes in pieces of `piece` bytes.
    fn read(bytes: &[u8], piece: usize, handshake: bool) -> Result<Vec<String>, Vec<String>> {
        let (mut ws, mut buffer, mut found) = (WebSocket::new(handshake), Vec::new(), Vec::new());
        for part in bytes.chunks(piece) {
            buffer.extend(part);
            loop {
                match ws.next(&buffer, 1_000) {
                    WsStep::Need => break,
                    WsStep::Skip(n) => drop(buffer.drain(..n)),
                    WsStep::Message(n) => {
                        found.push(String::from_utf8_lossy(ws.message()).into_owned());
                        drop(buffer.drain(..n));
                    }
                    WsStep::TooLong(n) => {
                        found.push("too long".to_owned());
                        drop(buffer.drain(..n));
                    }
                    WsStep::Broken => return Err(found),
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn messages_whole_and_in_fragments_with_control_frames_between() {
        let mask = Some([1, 2, 3, 4]);
        let bytes = [
            GET,
            &frame(0x81, mask, b"first"),
            &frame(0x01, mask, b"sec"),
            &frame(0x89, mask, b"ping"),
            &frame(0x00, None, b"on"),
            &frame(0x80, mask, b"d"),
            &frame(0x82, None, &[b'x'; 300]),
            &frame(0x81, mask, b""),
            &frame(0x81, mask, &[b'y'; 1_001]),
            &frame(0x81, mask, b"last"),
        ]
        .concat();
        let expected: Vec<String> =
            ["first", "second", &"x".repeat(300), "", "too long", "last"].map(str::to_owned).to_vec();
        for piece in [1, 2, 7, 64, bytes.len()] {
            assert_eq!(read(&bytes, piece, true), Ok(expected.clone()), "{piece}");
        }
    }

    #[test]
    fn what_is_no_websocket_is_given_up() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nUpgrade: websocket\r\n\r\n",
            &[b'a'; HANDSHAKE_MAX],
        ] {
            assert_eq!(read(bytes, bytes.len(), true), Err(Vec::new()));
        }
        let broken: [Vec<u8>; 5] = [
            frame(0xc1, None, b"compressed"),
            frame(0x80, None, b"goes on with nothing"),
            [frame(0x01, None, b"a"), frame(0x81, None, b"b")].concat(),
            frame(0x09, None, b"a ping in fragments"),
            frame(0x83, None, b"an unknown kind"),
        ];
        for bytes in broken {
            assert!(read(&bytes, 3, false).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_frame_with_sip_in_it_is_known_in_the_middle_of_a_connection() {
        let text = b"INVITE sip:b@example.com SIP/2.0\r\nCall-ID: x\r\n\r\n";
        assert!(begins_sip(&frame(0x81, Some([9, 8, 7, 6]), text)));
        assert!(begins_sip(&frame(0x82, None, b"SIP/2.0 200 OK\r\n\r\n")));
        for other in [&b"hello"[..], b"", &[0x16; 40]] {
            assert!(!begins_sip(&frame(0x81, Some([9, 8, 7, 6]), other)));
            assert!(!begins_sip(other));
        }
    }

    #[test]
    fn a_length_that_never_comes_holds_nothing() {
        let mut ws = WebSocket::new(false);
        let header = [0x81, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(ws.next(&header, 1_000), WsStep::Skip(10));
        for _ in 0..100 {
            assert_eq!(ws.next(&[b'x'; 500], 1_000), WsStep::Skip(500));
        }
        assert!(ws.buffered_bytes() <= 1_000);
    }
}
