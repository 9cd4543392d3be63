//! Scenes written by hand: dialogs with any session description and RTP with any numbers, on one capture point. For what
//! real equipment does and [`crate::World`] does not: ports and SSRCs used again, several media lines at one port, relays.

use crate::frame::{self, Lower, Unreachable};
use crate::pcap::Frame;
use crate::world::START;
use std::net::SocketAddr;

const MS: i64 = 1_000_000;
const LOWER: Lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };

/// Frames at times of a world that begins at [`START`].
#[derive(Clone, Debug, Default)]
pub struct Scene {
    frames: Vec<Frame>,
}

/// An answered call: INVITE at `at_ms`, 180 after 20 ms, 200 after 100, ACK after 110; BYE `talk_ms` after the ACK.
#[derive(Clone, Debug)]
pub struct Dialog<'a> {
    pub at_ms: i64,
    pub call_id: &'a str,
    pub caller: SocketAddr,
    pub callee: SocketAddr,
    /// Session descriptions; empty for none.
    pub offer: &'a str,
    pub answer: &'a str,
    /// `None`: no BYE is seen.
    pub talk_ms: Option<i64>,
}

/// What differs from message to message of a dialog.
#[derive(Clone, Copy, Debug)]
pub struct SipMessage<'a> {
    /// Its first line.
    start: &'a str,
    call_id: &'a str,
    /// As in `1 INVITE`.
    cseq: &'a str,
    to_tag: bool,
    sdp: &'a str,
}

impl<'a> SipMessage<'a> {
    /// A message outside of a dialog, without a body.
    pub fn new(start: &'a str, call_id: &'a str, cseq: &'a str) -> SipMessage<'a> {
        SipMessage { start, call_id, cseq, to_tag: false, sdp: "" }
    }

    /// With a tag in To, as every message has that the callee sent or knows the dialog of.
    pub fn tagged(self) -> SipMessage<'a> {
        SipMessage { to_tag: true, ..self }
    }

    /// With a session description; an empty one is none.
    pub fn with_sdp(self, sdp: &'a str) -> SipMessage<'a> {
        SipMessage { sdp, ..self }
    }
}

/// Packets of one stream at a constant rate.
#[derive(Clone, Copy, Debug)]
pub struct Rtp {
    pub at_ms: i64,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub ssrc: u32,
    pub payload_type: u8,
    pub payload_len: usize,
    pub first_seq: u16,
    pub first_timestamp: u32,
    pub packets: u32,
    pub step_ms: i64,
    /// Timestamp units from packet to packet.
    pub ticks: u32,
}

impl Rtp {
    /// 20 ms PCMU.
    pub fn pcmu(at_ms: i64, src: SocketAddr, dst: SocketAddr, ssrc: u32, packets: u32) -> Rtp {
        Rtp {
            at_ms,
            src,
            dst,
            ssrc,
            payload_type: 0,
            payload_len: 160,
            first_seq: 100,
            first_timestamp: 1_000,
            packets,
            step_ms: 20,
            ticks: 160,
        }
    }
}

/// A session description with one audio line per entry: port and the text after the profile with its attributes, lines
/// separated by `|`, as in `0 96|a=rtpmap:96 L16/16000`.
pub fn sdp(ip: &str, lines: &[(u16, &str)]) -> String {
    let mut text = format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n");
    for (port, line) in lines {
        text += &format!("m=audio {port} RTP/AVP {}\r\n", line.replace('|', "\r\n"));
    }
    text
}

impl Scene {
    pub fn new() -> Scene {
        Scene::default()
    }

    /// One UDP datagram.
    pub fn udp(&mut self, at_ms: i64, src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> &mut Scene {
        let bytes = frame::udp(src, dst, LOWER, payload);
        self.frames.push(Frame { at: START + at_ms * MS, wire_len: bytes.len() as u32, bytes });
        self
    }

    /// An ICMP error about a datagram (IPv4).
    pub fn unreachable(
        &mut self,
        at_ms: i64,
        error: Unreachable,
        (src, dst): (SocketAddr, SocketAddr),
        payload: &[u8],
    ) -> &mut Scene {
        let bytes = frame::unreachable(error, src, dst, payload);
        self.frames.push(Frame { at: START + at_ms * MS, wire_len: bytes.len() as u32, bytes });
        self
    }

    /// An RTCP report from the port above each address: a sender report after so many packets, or a receiver report; with a
    /// block about a source, or none.
    pub fn report(
        &mut self,
        at_ms: i64,
        (src, dst): (SocketAddr, SocketAddr),
        ssrc: u32,
        sent: Option<u32>,
        about: Option<u32>,
    ) -> &mut Scene {
        let count = u8::from(about.is_some());
        let words = 1 + 5 * u16::from(sent.is_some()) + 6 * u16::from(count);
        let mut bytes = vec![0x80 | count, if sent.is_some() { 200 } else { 201 }];
        bytes.extend(words.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        if let Some(packets) = sent {
            // NTP and RTP time, packets and bytes.
            for word in [3_900_000_000 + (at_ms / 1000) as u32, 0, 160 * packets, packets, 160 * packets] {
                bytes.extend(word.to_be_bytes());
            }
        }
        if let Some(about) = about {
            for word in [about, 0, 1_000 + (at_ms / 20) as u32, 8, 0, 0] {
                bytes.extend(word.to_be_bytes());
            }
        }
        let above = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
        self.udp(at_ms, above(src), above(dst), &bytes)
    }

    /// One SIP message; tags and branch follow from the Call-ID.
    pub fn sip(&mut self, at_ms: i64, src: SocketAddr, dst: SocketAddr, message: SipMessage<'_>) -> &mut Scene {
        let SipMessage { start, call_id, cseq, to_tag, sdp } = message;
        let caller_first = !start.starts_with("SIP/2.0");
        let via = if caller_first { src } else { dst };
        let to_tag = if to_tag { format!(";tag=t{call_id}") } else { String::new() };
        let content = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let branch = cseq.replace(' ', "").replace("ACK", "INVITEack");
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{call_id}{branch}\r\nFrom: <sip:a@example.com>;tag=f{call_id}\r\n\
             To: <sip:b@example.com>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n{content}Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.udp(at_ms, src, dst, text.as_bytes())
    }

    pub fn dialog(&mut self, d: &Dialog<'_>) -> &mut Scene {
        let (a, b, id, at) = (d.caller, d.callee, d.call_id, d.at_ms);
        self.sip(at, a, b, SipMessage::new("INVITE sip:b@example.com SIP/2.0", id, "1 INVITE").with_sdp(d.offer));
        self.sip(at + 20, b, a, SipMessage::new("SIP/2.0 180 Ringing", id, "1 INVITE").tagged());
        self.sip(at + 100, b, a, SipMessage::new("SIP/2.0 200 OK", id, "1 INVITE").tagged().with_sdp(d.answer));
        self.sip(at + 110, a, b, SipMessage::new("ACK sip:b@example.com SIP/2.0", id, "1 ACK").tagged());
        if let Some(talk) = d.talk_ms {
            self.sip(at + 110 + talk, a, b, SipMessage::new("BYE sip:b@example.com SIP/2.0", id, "2 BYE").tagged());
            self.sip(at + 115 + talk, b, a, SipMessage::new("SIP/2.0 200 OK", id, "2 BYE").tagged());
        }
        self
    }

    /// Packets whose payload differs from packet to packet.
    pub fn rtp(&mut self, r: Rtp) -> &mut Scene {
        for i in 0..r.packets {
            let mut payload = vec![0x80, r.payload_type];
            payload.extend(r.first_seq.wrapping_add(i as u16).to_be_bytes());
            payload.extend(r.first_timestamp.wrapping_add(r.ticks.wrapping_mul(i)).to_be_bytes());
            payload.extend(r.ssrc.to_be_bytes());
            payload.extend((0..r.payload_len).map(|at| (at as u32 ^ i) as u8));
            self.udp(r.at_ms + r.step_ms * i64::from(i), r.src, r.dst, &payload);
        }
        self
    }

    /// The same in both directions between two addresses; the SSRC of the way back is one higher.
    pub fn both_ways(&mut self, r: Rtp) -> &mut Scene {
        self.rtp(r);
        self.rtp(Rtp { src: r.dst, dst: r.src, ssrc: r.ssrc + 1, at_ms: r.at_ms + 3, ..r })
    }

    /// Takes the frames away that have a text in them: a message that was not captured.
    pub fn drop_messages(&mut self, text: &str) -> &mut Scene {
        let text = text.as_bytes();
        self.frames.retain(|frame| !frame.bytes.windows(text.len()).any(|window| window == text));
        self
    }

    /// In order of capture.
    pub fn frames(&self) -> Vec<Frame> {
        let mut frames = self.frames.clone();
        frames.sort_by_key(|f| f.at);
        frames
    }
}
