//! Taking frames apart, without any state about streams.

use crate::{Options, measure};
use auscult_core::model::Limits;
use auscult_core::units::Timestamp;
use auscult_core::wire::classify::{Class, classify};
use auscult_core::wire::{Decoded, Decoder, LinkType, fast_rtp, fast_udp};
use std::hint::black_box;
use testkit::bulk::{Batch, Streams};

/// Frames in memory, gone through so often.
const FRAMES: usize = 4_096;
const TIMES: usize = 2_000;

pub fn run(options: &Options) {
    let frames = Streams::new(FRAMES as u32, 1).frames().batch(FRAMES);
    let mut decoder = Decoder::new(&Limits::default());
    println!("{:<26} {:>9} {:>11}", "decode", "M/CPU-s", "ns/packet");
    best(options, "fast path to RTP", &frames, |f| fast_rtp(LinkType::ETHERNET, f).is_some());
    best(options, "fast path to UDP", &frames, |f| fast_udp(LinkType::ETHERNET, f).is_some());
    best(options, "fast path to UDP, class", &frames, |f| {
        fast_udp(LinkType::ETHERNET, f).is_some_and(|d| matches!(classify(d.payload, d.wire_len), Class::Rtp(_)))
    });
    best(options, "full decoder", &frames, |f| {
        matches!(decoder.decode(Timestamp(0), LinkType::ETHERNET, f, f.len()), Decoded::Udp(_))
    });
    best(options, "full decoder and class", &frames, |f| {
        match decoder.decode(Timestamp(0), LinkType::ETHERNET, f, f.len()) {
            Decoded::Udp(d) => matches!(classify(d.payload, d.wire_len), Class::Rtp(_)),
            _ => false,
        }
    });
}

fn best(options: &Options, name: &str, frames: &Batch, mut one: impl FnMut(&[u8]) -> bool) {
    let mut fastest = f64::INFINITY;
    for _ in 0..options.rounds.max(1) {
        let start = measure::cpu();
        for _ in 0..TIMES {
            let taken = frames.iter().filter(|(_, bytes)| one(black_box(bytes))).count();
            assert_eq!(taken, FRAMES, "{name}: every frame is RTP");
        }
        fastest = fastest.min(measure::cpu() - start);
    }
    let ns = fastest * 1e9 / (FRAMES * TIMES) as f64;
    println!("{name:<26} {:>9.1} {ns:>11.1}", 1e3 / ns);
}
