//! The hot path alone: frames in memory through the engine, events thrown away.

use crate::{Options, Round, best, measure, print_heading, print_row};
use auscult_core::engine::{Engine, With};
use auscult_core::model::{Event, Limits, Policy};
use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;
use std::hint::black_box;
use testkit::bulk::Streams;

/// Frames made at once, about what a block of a capture file holds.
const CHUNK: usize = 4_096;

/// Packets of a round at least, and seconds of traffic at least: the second interval's end must be in it.
const PACKETS: u32 = 10_000_000;
const SECONDS: u32 = 21;

pub fn run(options: &Options) -> Result<(), String> {
    print_heading("hot path");
    for streams in &options.streams {
        print_row("hot path", *streams, best(options.rounds, &["one-hot", &streams.to_string()])?);
    }
    Ok(())
}

/// One round, in this process.
pub fn one(streams: u32) -> Result<(), String> {
    let seconds = (PACKETS / streams.max(1) / 50).max(SECONDS);
    let mut frames = Streams::new(streams, seconds).frames();
    let mut chunk = (Vec::with_capacity(CHUNK * 128), Vec::with_capacity(CHUNK));
    let mut sink = With(|event: Event| {
        black_box(&event);
    });
    // They all begin at once, as no real ones do.
    let limits = Limits { streams: streams as usize, candidates: streams as usize, ..Limits::default() };
    let mut round = Round { packets: 0, cpu: 0.0, memory: 0 };
    fill(&mut frames, &mut chunk);
    let before = measure::resident();
    let mut engine = Engine::new(limits, Policy::default(), 1, 1);
    while !chunk.1.is_empty() {
        let start = measure::cpu();
        let mut from = 0;
        for (at, end) in &chunk.1 {
            let bytes = &chunk.0[from..*end];
            engine.frame(Timestamp(*at), LinkType::ETHERNET, bytes, bytes.len(), &mut sink);
            from = *end;
        }
        round.cpu += measure::cpu() - start;
        round.packets += chunk.1.len() as u64;
        fill(&mut frames, &mut chunk);
    }
    assert_eq!(engine.active_streams(), streams as usize, "every stream is measured");
    round.memory = measure::peak().saturating_sub(before);
    round.report();
    Ok(())
}

/// The next frames: their bytes, and of each its time and where it ends.
fn fill(frames: &mut testkit::bulk::Frames, (bytes, index): &mut (Vec<u8>, Vec<(i64, usize)>)) {
    bytes.clear();
    index.clear();
    while index.len() < CHUNK {
        let Some((at, frame)) = frames.next_frame() else { break };
        bytes.extend_from_slice(frame);
        index.push((at, bytes.len()));
    }
}
