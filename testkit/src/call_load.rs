//! Many short calls, cheaply: the seven messages of an answered call and G.711 both ways. For benches and load tests.

use crate::frame::{self, Lower};
use crate::pcap;
use crate::world::START;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::net::SocketAddr;

const MS: i64 = 1_000_000;

/// `calls` answered calls, one after the other begun; each with its own Call-ID, addresses and SSRCs, released by the caller.
#[derive(Clone, Copy, Debug)]
pub struct CallLoad {
    /// At most 2^22.
    pub calls: u32,
    /// Calls begun in a second, at least 1.
    pub per_second: u32,
    /// From the answer to the BYE.
    pub seconds: u32,
}

/// Messages of a call before its media and after.
const OPENING: usize = 5;
const MESSAGES: usize = 7;

impl CallLoad {
    /// SIP messages and RTP packets of all calls.
    pub fn totals(&self) -> (u64, u64) {
        let calls = u64::from(self.calls);
        (calls * MESSAGES as u64, calls * 2 * u64::from(self.packets()))
    }

    /// RTP packets of one direction.
    fn packets(&self) -> u32 {
        self.seconds * 50
    }

    /// Writes everything as a pcap, in order of time; returns the number of frames.
    pub fn write_pcap(&self, out: &mut impl Write) -> io::Result<u64> {
        out.write_all(&pcap::header())?;
        // The next frame of each running call, the earliest first.
        let mut due: BinaryHeap<std::cmp::Reverse<(i64, u32, u32)>> = BinaryHeap::new();
        let mut frames = 0;
        let mut begun = 0;
        loop {
            let next_call = START + i64::from(begun) * 1_000 * MS / i64::from(self.per_second.max(1));
            let starts = begun < self.calls && due.peek().is_none_or(|next| next.0.0 >= next_call);
            let (at, call, step) = if starts {
                begun += 1;
                (next_call, begun - 1, 0)
            } else if let Some(std::cmp::Reverse(next)) = due.pop() {
                next
            } else {
                return Ok(frames);
            };
            let bytes = self.frame(call, step);
            pcap::record(out, at, bytes.len() as u32, &bytes)?;
            frames += 1;
            if let Some(after) = self.after(step) {
                due.push(std::cmp::Reverse((at + after, call, step + 1)));
            }
        }
    }

    /// Time from one frame of a call to the next.
    fn after(&self, step: u32) -> Option<i64> {
        let media = 2 * self.packets();
        let step = step as usize;
        match step {
            0..OPENING => Some(20 * MS),
            _ if step < OPENING + media as usize => Some(10 * MS),
            _ if step + 1 < MESSAGES + media as usize => Some(5 * MS),
            _ => None,
        }
    }

    fn frame(&self, call: u32, step: u32) -> Vec<u8> {
        let host =
            |net: u8| std::net::IpAddr::from([net, (call >> 14) as u8, (call >> 6) as u8, (call & 63) as u8 + 1]);
        let (caller, callee) = (host(10), host(172));
        let port = 10_000 + (call % 20_000) as u16 * 2;
        let media = 2 * self.packets();
        if (OPENING as u32..OPENING as u32 + media).contains(&step) {
            let n = step - OPENING as u32;
            let (src, dst) = if n.is_multiple_of(2) { (caller, callee) } else { (callee, caller) };
            let mut rtp = vec![0x80, 0];
            rtp.extend((n as u16 / 2).to_be_bytes());
            rtp.extend((n / 2 * 160).to_be_bytes());
            rtp.extend((2 * call + n % 2 + 1).to_be_bytes());
            rtp.extend([0xFF; 160]);
            return udp(SocketAddr::new(src, port), SocketAddr::new(dst, port), n as u16 + 1, &rtp);
        }
        let message = if step < OPENING as u32 { step } else { step - media };
        let (start, cseq, from_caller) = [
            ("INVITE sip:b@example.com SIP/2.0", "1 INVITE", true),
            ("SIP/2.0 100 Trying", "1 INVITE", false),
            ("SIP/2.0 180 Ringing", "1 INVITE", false),
            ("SIP/2.0 200 OK", "1 INVITE", false),
            ("ACK sip:b@example.com SIP/2.0", "1 ACK", true),
            ("BYE sip:b@example.com SIP/2.0", "2 BYE", true),
            ("SIP/2.0 200 OK", "2 BYE", false),
        ][message as usize];
        let own = if from_caller { caller } else { callee };
        let body = match message {
            0 | 3 => format!(
                "v=0\r\no=- 1 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
                 a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n"
            ),
            _ => String::new(),
        };
        let to_tag = if message == 0 || message == 1 { String::new() } else { format!(";tag=t{call}") };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP {caller}:5060;branch=z9hG4bK{call}.{}\r\nMax-Forwards: 70\r\n\
             From: \"Alice\" <sip:+12025550101@example.com>;tag=f{call}\r\nTo: <sip:+12025550102@example.com>{to_tag}\r\n\
             Call-ID: {call:08x}@load.example.com\r\nCSeq: {cseq}\r\nContact: <sip:a@{own}:5060>\r\n\
             User-Agent: ExamplePhone/4.2\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n{content}Content-Length: {}\r\n\r\n{body}",
            cseq.replace(' ', ""),
            body.len()
        );
        let (src, dst) = if from_caller { (caller, callee) } else { (callee, caller) };
        udp(SocketAddr::new(src, 5060), SocketAddr::new(dst, 5060), message as u16 + 1, text.as_bytes())
    }
}

fn udp(src: SocketAddr, dst: SocketAddr, id: u16, payload: &[u8]) -> Vec<u8> {
    frame::udp(src, dst, Lower { id, ttl: 60, dscp: 46, vlan: None }, payload)
}
