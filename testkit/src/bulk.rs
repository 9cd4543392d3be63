//! Many simultaneous streams, cheaply: one template frame, patched in place. For benches and load tests.

use crate::frame::{self, Lower};
use crate::pcap;
use crate::world::START;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

/// `streams` G.711 or G.729 streams side by side, each with its own addresses and SSRC.
#[derive(Clone, Debug)]
pub struct Streams {
    /// At most 2^24.
    pub streams: u32,
    pub seconds: u32,
    pub ptime_ms: u32,
    /// Bytes of payload: 160 sends PCMU, anything else G.729.
    pub payload: usize,
    /// Every so many packets of a stream one is not there, never its first or last; 0: none.
    pub lose_every: u32,
    /// Time of the first packet, ns since the epoch.
    pub start: i64,
}

/// What is true about one bulk stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamTruth {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub ssrc: u32,
    pub unique: u32,
    pub lost: u32,
}

impl Streams {
    /// 20 ms of G.729 per packet, nothing lost.
    pub fn new(streams: u32, seconds: u32) -> Streams {
        Streams { streams, seconds, ptime_ms: 20, payload: 20, lose_every: 0, start: START }
    }

    /// Packets each stream would have without loss.
    pub fn rounds(&self) -> u32 {
        self.seconds * 1_000 / self.ptime_ms
    }

    /// Frames the iterator will give.
    pub fn frames_total(&self) -> u64 {
        (0..self.streams).map(|i| u64::from(self.truth(i).unique)).sum()
    }

    pub fn truth(&self, stream: u32) -> StreamTruth {
        let lost = match self.lose_every {
            0 => 0,
            _ => (0..self.rounds()).filter(|round| self.loses(stream, *round)).count() as u32,
        };
        let (src, dst) = addresses(stream);
        StreamTruth { src, dst, ssrc: mix(stream), unique: self.rounds() - lost, lost }
    }

    pub fn frames(&self) -> Frames {
        let lower = Lower { id: 0, ttl: 60, dscp: 46, vlan: None };
        let (src, dst) = addresses(0);
        let mut rtp = vec![0x80, if self.payload == 160 { 0 } else { 18 }];
        rtp.resize(12, 0);
        rtp.extend((0..self.payload).map(|i| if self.payload == 160 { 0xFF } else { 0x78 ^ i as u8 }));
        let mut frame = frame::udp(src, dst, lower, &rtp);
        // Sum of the header words that stay: all but identification, checksum and addresses.
        let fixed = [14, 16, 20, 22].map(|at| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]))).iter().sum();
        frame[24..26].copy_from_slice(&[0, 0]);
        Frames { plan: self.clone(), frame, fixed, round: 0, stream: 0 }
    }

    /// Writes everything as a pcap.
    pub fn write_pcap(&self, out: &mut impl Write) -> io::Result<u64> {
        out.write_all(&pcap::header())?;
        let mut frames = self.frames();
        let mut n = 0;
        while let Some((at, bytes)) = frames.next_frame() {
            pcap::record(out, at, bytes.len() as u32, bytes)?;
            n += 1;
        }
        Ok(n)
    }

    fn loses(&self, stream: u32, round: u32) -> bool {
        let inner = round > 0 && round + 1 < self.rounds();
        self.lose_every > 0 && inner && (round + stream) % self.lose_every == self.lose_every - 1
    }
}

/// Walks the frames in order of time: packet after packet of all streams, each in its slot of the packet time.
pub struct Frames {
    plan: Streams,
    frame: Vec<u8>,
    fixed: u32,
    round: u32,
    stream: u32,
}

impl Frames {
    /// The next frame; its bytes are good until the next call.
    pub fn next_frame(&mut self) -> Option<(i64, &[u8])> {
        loop {
            if self.stream == self.plan.streams {
                self.stream = 0;
                self.round += 1;
            }
            if self.round >= self.plan.rounds() || self.plan.streams == 0 {
                return None;
            }
            let (stream, round) = (self.stream, self.round);
            self.stream += 1;
            if !self.plan.loses(stream, round) {
                let at = self.time(stream, round);
                self.patch(stream, round);
                return Some((at, &self.frame));
            }
        }
    }

    /// Up to `count` frames in one buffer.
    pub fn batch(&mut self, count: usize) -> Batch {
        let mut out = Batch { bytes: Vec::with_capacity(count * self.frame.len()), index: Vec::with_capacity(count) };
        while out.index.len() < count {
            let Some((at, bytes)) = self.next_frame() else { break };
            let from = out.bytes.len();
            out.bytes.extend_from_slice(bytes);
            out.index.push((at, from, out.bytes.len()));
        }
        out
    }

    /// Within the slot of the stream, somewhere that changes from packet to packet.
    fn time(&self, stream: u32, round: u32) -> i64 {
        let ptime = i64::from(self.plan.ptime_ms) * 1_000_000;
        let slot = ptime / i64::from(self.plan.streams);
        let shift = i64::from(mix(stream ^ round.rotate_left(16))) % slot.clamp(1, 1_000_000);
        self.plan.start + i64::from(round) * ptime + i64::from(stream) * ptime / i64::from(self.plan.streams) + shift
    }

    fn patch(&mut self, stream: u32, round: u32) {
        let first = mix(stream);
        let seq = (first as u16).wrapping_add(round as u16);
        let samples = 8 * self.plan.ptime_ms;
        let ts = first.rotate_left(7).wrapping_add(round.wrapping_mul(samples));
        let (src, dst) = address_bytes(stream);
        let (sport, dport) = ports(stream);
        let f = &mut self.frame;
        f[18..20].copy_from_slice(&seq.to_be_bytes());
        f[26..30].copy_from_slice(&src);
        f[30..34].copy_from_slice(&dst);
        let words =
            |a: [u8; 4]| u32::from(u16::from_be_bytes([a[0], a[1]])) + u32::from(u16::from_be_bytes([a[2], a[3]]));
        let mut sum = self.fixed + u32::from(seq) + words(src) + words(dst);
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        f[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        f[34..36].copy_from_slice(&sport.to_be_bytes());
        f[36..38].copy_from_slice(&dport.to_be_bytes());
        f[44..46].copy_from_slice(&seq.to_be_bytes());
        f[46..50].copy_from_slice(&ts.to_be_bytes());
        f[50..54].copy_from_slice(&first.to_be_bytes());
    }
}

/// Frames one after another in one buffer.
pub struct Batch {
    pub bytes: Vec<u8>,
    /// Capture time, first byte, end.
    pub index: Vec<(i64, usize, usize)>,
}

impl Batch {
    pub fn iter(&self) -> impl Iterator<Item = (i64, &[u8])> {
        self.index.iter().map(|(at, from, to)| (*at, &self.bytes[*from..*to]))
    }
}

fn address_bytes(stream: u32) -> ([u8; 4], [u8; 4]) {
    let [_, a, b, c] = stream.to_be_bytes();
    // 198.18.0.0/15 is for benchmarks (RFC 2544).
    ([10, a, b, c], [198, 18, (stream >> 6) as u8, 1 + (stream & 63) as u8])
}

fn ports(stream: u32) -> (u16, u16) {
    (16_384 + 2 * (stream % 8_192) as u16, 20_000 + 2 * ((stream >> 6) % 20_000) as u16)
}

fn addresses(stream: u32) -> (SocketAddr, SocketAddr) {
    let ((src, dst), (sport, dport)) = (address_bytes(stream), ports(stream));
    ((Ipv4Addr::from(src), sport).into(), (Ipv4Addr::from(dst), dport).into())
}

/// A bijection of 32 bits that scatters (Murmur3's finaliser), so that each stream has its own SSRC.
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{observe, oracle};

    #[test]
    fn bulk_streams_are_what_they_say() {
        let plan = Streams { lose_every: 7, ..Streams::new(300, 2) };
        let mut file = Vec::new();
        assert_eq!(plan.write_pcap(&mut file).unwrap(), plan.frames_total());
        let frames = pcap::read(&file).unwrap();
        assert!(frames.windows(2).all(|w| w[0].at <= w[1].at));
        let seen = observe::streams(&frames, |_| 8_000);
        assert_eq!(seen.len(), 300);
        for i in 0..300 {
            let truth = plan.truth(i);
            let n = oracle::numbers(&seen[&(truth.src, truth.dst, truth.ssrc)], 0.0);
            assert_eq!((n.unique, n.lost), (u64::from(truth.unique), u64::from(truth.lost)));
            assert!(n.lost >= 13 && n.jitter_ms.max < 0.1, "{n:?}");
        }
        let header: u32 = (14..34)
            .step_by(2)
            .map(|i| u32::from(u16::from_be_bytes([frames[9].bytes[i], frames[9].bytes[i + 1]])))
            .sum();
        assert_eq!((header & 0xFFFF) + (header >> 16), 0xFFFF, "IPv4 checksum");
    }

    #[test]
    fn batches_hold_the_same_frames() {
        let plan = Streams::new(40, 1);
        let mut all = plan.frames();
        let mut batched = plan.frames();
        let mut n = 0;
        loop {
            let batch = batched.batch(64);
            if batch.index.is_empty() {
                break;
            }
            for (at, bytes) in batch.iter() {
                assert_eq!(all.next_frame(), Some((at, bytes)));
                n += 1;
            }
        }
        assert_eq!(n, plan.frames_total());
        assert!(all.next_frame().is_none());
    }
}
