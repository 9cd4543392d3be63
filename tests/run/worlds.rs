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

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}
