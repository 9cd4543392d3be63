//! Generated captures: one short enough to replay as it was recorded, one long enough to be interrupted at full speed.

use std::path::{Path, PathBuf};
use testkit::bulk::Streams;
use testkit::call::{CallSpec, Party, Rtcp};
use testkit::codec::Codec;
use testkit::{World, pcap};

/// Eighteen calls of two seconds within about seven, some with a lost packet or two, all with RTCP.
pub fn short_calls(dir: &Path, seed: u64) -> PathBuf {
    let calls = (0..18).map(|n| {
        let caller = Party::new("Ann", &format!("+1202555{:04}", 100 + n), &format!("192.0.2.{}", 10 + n), 20_000);
        let callee = Party::new("Bo", &format!("+1202555{:04}", 200 + n), &format!("198.51.100.{}", 10 + n), 30_000);
        CallSpec {
            ring_ms: 100,
            answer_ms: 400,
            talk_ms: 2_000,
            codec: Codec::Pcmu,
            rtcp: Some(Rtcp { interval_ms: 700, mux: false }),
            ..CallSpec::new(250 * n, caller, callee)
        }
    });
    let capture = World::new(seed).calls(calls).build();
    write(dir, "short-calls.pcap", &pcap::to_bytes(&capture.frames))
}

/// Two captures of the same two minutes: eighty calls that end one after the other, and eighty streams without
/// signalling that keep the program busy meanwhile.
pub fn busy_minutes(dir: &Path) -> Vec<PathBuf> {
    let calls = (0..80).map(|n| {
        let caller = Party::new("Cy", &format!("+1202555{:04}", 100 + n), &format!("192.0.2.{}", 10 + n), 20_000);
        let callee = Party::new("Di", &format!("+1202555{:04}", 200 + n), &format!("198.51.100.{}", 10 + n), 30_000);
        CallSpec { talk_ms: 4_000, ..CallSpec::new(1_300 * n, caller, callee) }
    });
    let capture = World::new(2).calls(calls).build();
    let mut bytes = Vec::new();
    Streams { lose_every: 91, ..Streams::new(80, 120) }.write_pcap(&mut bytes).expect("memory");
    vec![write(dir, "calls.pcap", &pcap::to_bytes(&capture.frames)), write(dir, "streams.pcap", &bytes)]
}

/// Four calls of a file that ends while the last three are up: one is over, one has no end, one has lost much by then,
/// and one still rings.
pub fn cut_calls(dir: &Path) -> PathBuf {
    let call = |n: i64, start_ms: i64, talk_ms: i64| {
        let caller = Party::new("Ed", &format!("+1202555{:04}", 100 + n), &format!("192.0.2.{}", 10 + n), 20_000);
        let callee = Party::new("Fi", &format!("+1202555{:04}", 200 + n), &format!("198.51.100.{}", 10 + n), 30_000);
        CallSpec { ring_ms: 100, answer_ms: 1_000, talk_ms, ..CallSpec::new(start_ms, caller, callee) }
    };
    let mut lossy = call(2, 0, 60_000);
    lossy.forward.path.before.loss = vec![(testkit::path::Window::ALWAYS, testkit::path::Loss::Bernoulli { p: 0.1 })];
    let mut rings = call(3, 19_000, 5_000);
    rings.answer_ms = 10_000;
    let capture = World::new(9).calls([call(0, 0, 3_000), call(1, 0, 60_000), lossy, rings]).build();
    let start = capture.frames[0].at;
    let frames: Vec<_> = capture.frames.into_iter().filter(|f| f.at - start < 20_000_000_000).collect();
    write(dir, "cut.pcap", &pcap::to_bytes(&frames))
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}
