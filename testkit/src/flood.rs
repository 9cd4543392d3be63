//! Floods: frames that cost their sender nothing and name something new each time.
//!
//! A frame is written once and then patched in place, so that making one costs next to nothing beside taking it in.

use crate::frame::{self, Lower};
use crate::rng::Rng;
use std::net::SocketAddr;

/// What every frame of a flood names anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RTP, one packet each: random IPv4 addresses, ports and SSRCs.
    Keys,
    /// The same over IPv6.
    Keys6,
    /// RTP between two addresses, random SSRCs.
    OneFlow,
    /// INVITEs with an offer, random Call-IDs.
    CallIds,
    /// RTP from addresses that count up.
    Sources,
    /// RTP from ports and addresses that count up in steps of 256.
    Strides,
    /// RTP whose source address and SSRC differ in the same bits.
    Cancelling,
    /// RTP from IPv6 addresses below the prefix c0ac:29b7:c97c:50dd, a public constant of foldhash: under a hash that
    /// multiplies by what differs from it, all of them are one.
    Wiping,
    /// RTP streams of four packets in sequence, each from a random address: every one is taken for a stream.
    Streams,
}

/// An endless row of frames of one kind.
pub struct Flood {
    kind: Kind,
    rng: Rng,
    n: u64,
    /// Source and SSRC of the present stream.
    key: [u32; 2],
    frame: Vec<u8>,
    /// Where the digits of an INVITE are.
    digits: Vec<usize>,
}

/// Where the parts of a frame without VLAN tag and IP options are.
const V4_SRC: usize = 26;
const V4_PORT: usize = 34;
const V4_RTP: usize = 42;
const V6_SRC: usize = 22;
const V6_PORT: usize = 54;
const V6_RTP: usize = 62;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Stands for the sixteen digits that change.
const MARK: &str = "0000000000000000";

impl Flood {
    pub fn new(kind: Kind, seed: u64) -> Flood {
        let lower = Lower { id: 0, ttl: 60, dscp: 0, vlan: None };
        let (src, dst, payload) = match kind {
            Kind::CallIds => ("203.0.113.7:5060", "203.0.113.8:5060", invite()),
            Kind::Keys6 | Kind::Wiping => ("[c0ac:29b7:c97c:50dd::1]:4000", "[2001:db8::9]:6000", rtp()),
            _ => ("203.0.113.7:4000", "203.0.113.8:6000", rtp()),
        };
        let address = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let frame = frame::udp(address(src), address(dst), lower, &payload);
        let digits = if kind == Kind::CallIds { places(&frame) } else { Vec::new() };
        Flood { kind, rng: Rng::new(seed), n: 0, key: [0; 2], frame, digits }
    }

    /// The next frame. Checksums are those of the first.
    pub fn next_frame(&mut self) -> &[u8] {
        let n = self.n;
        self.n += 1;
        match self.kind {
            Kind::Keys => {
                let (a, b) = (self.rng.next_u64(), self.rng.next_u64());
                self.put(V4_SRC, &(a | 0xC000_0000).to_be_bytes());
                self.put(V4_PORT, &(b as u32 | 0x8000_8000).to_be_bytes());
                self.put(V4_RTP + 8, &((b >> 32) as u32).to_be_bytes());
                self.put(V4_RTP + 2, &(a as u16).to_be_bytes());
            }
            Kind::Keys6 => {
                let (a, b, c) = (self.rng.next_u64(), self.rng.next_u64(), self.rng.next_u64());
                self.put(V6_SRC, &a.to_be_bytes());
                self.put(V6_SRC + 8, &b.to_be_bytes());
                self.put(V6_PORT, &(c as u32 | 0x8000_8000).to_be_bytes());
                self.put(V6_RTP + 8, &((c >> 32) as u32).to_be_bytes());
            }
            Kind::OneFlow => {
                let ssrc = self.rng.next_u32();
                self.put(V4_RTP + 8, &ssrc.to_be_bytes());
            }
            Kind::CallIds => {
                let id = self.rng.next_u64();
                let mut digits = [0; 16];
                for (i, digit) in digits.iter_mut().enumerate() {
                    *digit = HEX[(id >> (4 * i)) as usize & 15];
                }
                for i in 0..self.digits.len() {
                    self.put(self.digits[i], &digits);
                }
            }
            Kind::Sources => self.put(V4_SRC, &(0x0A00_0000 + n as u32).to_be_bytes()),
            Kind::Strides => {
                self.put(V4_SRC, &(0x0A00_0000 + ((n as u32 & 0xFFFF) << 8)).to_be_bytes());
                self.put(V4_PORT, &(((n >> 16) as u16) << 8 | 0x80).to_be_bytes());
            }
            Kind::Cancelling => {
                self.put(V4_SRC, &(0x0A00_0000 ^ n as u32).to_be_bytes());
                self.put(V4_RTP + 8, &(0x0A00_0000 ^ n as u32).to_be_bytes());
            }
            Kind::Wiping => self.put(V6_SRC + 8, &n.to_be_bytes()),
            Kind::Streams => {
                if n.is_multiple_of(4) {
                    self.key = [self.rng.next_u32(), self.rng.next_u32()];
                }
                let [source, ssrc] = self.key;
                self.put(V4_SRC, &(source | 0xC000_0000).to_be_bytes());
                self.put(V4_RTP + 8, &ssrc.to_be_bytes());
                self.put(V4_RTP + 2, &(n as u16 % 4).to_be_bytes());
                self.put(V4_RTP + 4, &(n as u32 % 4 * 160).to_be_bytes());
            }
        }
        &self.frame
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.frame[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn rtp() -> Vec<u8> {
    let mut payload = vec![0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
    payload.extend([0xFF; 20]);
    payload
}

fn invite() -> Vec<u8> {
    let body =
        "v=0\r\no=- 1 1 IN IP4 203.0.113.7\r\ns=-\r\nc=IN IP4 203.0.113.7\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0\r\n";
    format!(
        "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:5060;branch=z9hG4bK{MARK}\r\n\
         From: <sip:a@example.com>;tag={MARK}\r\nTo: <sip:b@example.com>\r\nCall-ID: {MARK}\r\nCSeq: 1 INVITE\r\n\
         Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// After the branch's cookie, the tag and the name of Call-ID.
fn places(frame: &[u8]) -> Vec<usize> {
    let after = |text: &[u8]| {
        let at = frame.windows(text.len()).position(|w| w == text);
        at.expect("the INVITE was written here") + text.len()
    };
    vec![after(b"z9hG4bK"), after(b"tag="), after(b"Call-ID: ")]
}
