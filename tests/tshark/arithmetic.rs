//! What tshark 4.0 makes of the packets of one stream: its own sums, over packets read by Auscult's decoder. A
//! difference is explained only when these sums give tshark's figure.

use super::Key;
use auscult_capture::Timeline;
use auscult_core::model::Limits;
use auscult_core::wire::classify::{Class, classify};
use auscult_core::wire::tcp::{Protocol, Reassembler, TcpOutcome};
use auscult_core::wire::units::Unit;
use auscult_core::wire::{Datagram, Decoded, Decoder, rtp};
use std::collections::HashMap;
use std::path::Path;

/// Packets this far before the first are late; those farther are of another cycle.
const LATE: u16 = 100;

#[derive(Clone, Copy)]
pub struct Packet {
    at_ms: f64,
    seq: u16,
    timestamp: u32,
    marker: bool,
    pub payload_type: u8,
    pub payload_len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub lost: i64,
    pub max_delta: f64,
    pub max_jitter: f64,
    pub mean_jitter: f64,
    /// Largest difference between what passed by the clock and by the timestamps, ms.
    pub largest_step: f64,
    /// Packets with a marker or of comfort noise, and those after noise: left out of mean and maximum.
    pub left_out: u64,
    /// Packets with a timestamp before the first one.
    pub passed_over: u64,
}

/// Packets that may be RTP, by stream, in order of capture.
pub fn packets(path: &Path) -> HashMap<Key, Vec<Packet>> {
    let mut timeline = Timeline::open(&[path.to_owned()]).unwrap();
    let mut decoder = Decoder::new(&Limits::default());
    let mut tcp = Reassembler::new(&Limits::default());
    let mut streams: HashMap<Key, Vec<Packet>> = HashMap::new();
    let mut start = None;
    while let Some(frame) = timeline.next_frame().unwrap() {
        let start = *start.get_or_insert(frame.at);
        let at_ms = (frame.at.0 - start.0) as f64 / 1e6;
        let mut take = |d: &Datagram<'_>| {
            let Ok(h) = rtp::parse(d.payload, d.wire_len) else { return };
            streams.entry((d.src, d.dst, h.ssrc.to_string().to_ascii_lowercase())).or_default().push(Packet {
                at_ms,
                seq: h.seq,
                timestamp: h.timestamp,
                marker: h.marker,
                payload_type: h.payload_type.0,
                payload_len: h.payload_len,
            });
        };
        match decoder.decode(frame.at, frame.link, frame.bytes, frame.wire_len as usize) {
            Decoded::Udp(d) => take(&d),
            Decoded::Tcp(segment) => {
                let TcpOutcome::Readable(mut stream) = tcp.push(frame.at, &segment) else { continue };
                let Protocol::Packets(units) = stream.protocol() else { continue };
                while let Unit::Packet { header, len, total } = stream.unit(units) {
                    let bytes = &stream.bytes()[header..header + len];
                    let (payload, wire_len) = match classify(bytes, len) {
                        Class::Relayed { payload, wire_len } => (payload, wire_len),
                        _ => (bytes, len),
                    };
                    let (src, dst) = (stream.flow().src, stream.flow().dst);
                    take(&Datagram { src, dst, path: stream.path(), payload, wire_len });
                    stream.consume(total);
                }
            }
            _ => {}
        }
    }
    streams
}

/// `clock`: rate of a payload type, 0 where tshark knows none.
pub fn sums(packets: &[Packet], clock: impl Fn(u8) -> u32) -> Sums {
    let noise = |payload_type| matches!(payload_type, 13 | 19);
    let mut out = Sums::default();
    let [first, rest @ ..] = packets else { return out };
    let (mut jitter, mut media, mut counted) = (0.0, 0.0, 0.0);
    let (mut cycles, mut wrapped) = (0, false);
    let (mut before, mut last, mut timestamp, mut ticks) = (first, first.seq, first.timestamp, 0);
    for p in rest {
        // What comes late from before the first packet is passed over.
        if !wrapped && cycles == 0 && (1..=LATE).contains(&first.seq.wrapping_sub(p.seq)) {
            continue;
        }
        // A number below the first, or the step from 65535 to 0, is another cycle until a number is above the first.
        if !wrapped && (p.seq < first.seq || (p.seq == 0 && last == u16::MAX)) {
            (cycles, wrapped) = (cycles + 1, true);
        } else if wrapped && p.seq > first.seq {
            wrapped = false;
        }
        last = p.seq;
        // Nothing is measured at timestamps before the first one.
        ticks += i64::from(p.timestamp.wrapping_sub(timestamp).cast_signed());
        timestamp = p.timestamp;
        if ticks < 0 {
            counted += 1.0;
            out.passed_over += 1;
            continue;
        }
        let hz = clock(p.payload_type);
        if hz > 0 {
            let now = ticks as f64 / f64::from(hz / 1000);
            let step = ((p.at_ms - before.at_ms) - (now - media)).abs();
            jitter = (15.0 * jitter + step) / 16.0;
            media = now;
            out.largest_step = out.largest_step.max(step);
        }
        let delta = p.at_ms - before.at_ms;
        if p.marker || noise(p.payload_type) || noise(before.payload_type) {
            out.left_out += 1;
        } else {
            out.max_delta = out.max_delta.max(delta);
            if hz > 0 {
                out.max_jitter = out.max_jitter.max(jitter);
                out.mean_jitter = (out.mean_jitter * counted + jitter) / (counted + 1.0);
            }
        }
        counted += 1.0;
        before = p;
    }
    let expected = i64::from(last) + 65_536 * cycles - i64::from(first.seq) + 1;
    out.lost = expected - packets.len() as i64;
    out
}
