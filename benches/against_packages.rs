//! Our own readers against the usual packages, on the same bytes in memory or in the page cache: frames a second.
//!
//! `cargo bench --bench against_packages -- CAPTURE.pcap` (an uncompressed capture; `testkit bulk` writes one).
//! `ARCHITECTURE.md` quotes the ratios.

use auscult_capture::FileReader;
use auscult_core::model::Limits;
use auscult_core::units::Timestamp;
use auscult_core::wire::{Decoded, Decoder, LinkType, fast_udp};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

/// Best of so many rounds: what disturbs a round only ever makes it slower.
const ROUNDS: usize = 7;

fn main() {
    let Some(path) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) else {
        println!("give an uncompressed capture: cargo bench --bench against_packages -- CAPTURE.pcap");
        return;
    };
    let path = Path::new(&path);
    println!("reading {}", path.display());
    let own = best("own reader", || read_own(path));
    let package = best("pcap-parser", || read_package(path));
    println!("  ratio {:.2}", own / package);

    let frames = frames(path);
    println!("decoding {} frames down to UDP", frames.len());
    let fast = best("fast path", || decode(&frames, |f| fast_udp(LinkType::ETHERNET, f).map(|d| d.payload.len())));
    let mut decoder = Decoder::new(&Limits::default());
    let full = best("full decoder", || {
        decode(&frames, |f| match decoder.decode(Timestamp(0), LinkType::ETHERNET, f, f.len()) {
            Decoded::Udp(d) => Some(d.payload.len()),
            _ => None,
        })
    });
    let package = best("etherparse", || decode(&frames, etherparse_udp));
    println!("  ratio {:.2} to etherparse, {:.2} to the full decoder", fast / package, fast / full);
}

/// Frames a second of the best round. `work` returns how many frames and bytes it saw, the same every time.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn best(name: &str, mut work: impl FnMut() -> (u64, u64)) -> f64 {
    let expected = work();
    let fastest = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let seen = work();
            let took = start.elapsed();
            assert_eq!(seen, expected, "{name}: another result");
            took.as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    let (frames, bytes) = expected;
    let rate = frames as f64 / fastest;
    println!(
        "  {name:<14} {:>8.1} ns a frame, {:>6.1} million a second ({frames} frames, {bytes} bytes)",
        1e9 / rate,
        rate / 1e6
    );
    rate
}

fn read_own(path: &Path) -> (u64, u64) {
    let mut reader = FileReader::open(path).expect("a capture");
    let (mut frames, mut bytes) = (0, 0);
    while let Some(frame) = reader.next_frame().expect("readable") {
        frames += 1;
        bytes += read_one(frame.at.0, frame.bytes);
    }
    (frames, bytes)
}

fn read_package(path: &Path) -> (u64, u64) {
    let mut reader = create_reader(1 << 20, std::fs::File::open(path).expect("a file")).expect("a capture");
    let (mut frames, mut bytes) = (0, 0);
    let mut fraction = 1000;
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(h) => fraction = if h.is_nanosecond_precision() { 1 } else { 1000 },
                    PcapBlockOwned::Legacy(b) => {
                        frames += 1;
                        let at = i64::from(b.ts_sec) * 1_000_000_000 + i64::from(b.ts_usec) * fraction;
                        bytes += read_one(at, b.data);
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(b)) => {
                        frames += 1;
                        bytes += read_one((i64::from(b.ts_high) << 32) + i64::from(b.ts_low), b.packet_data());
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return (frames, bytes),
            Err(PcapError::Incomplete(_)) => reader.refill().expect("more"),
            Err(e) => panic!("{e:?}"),
        }
    }
}

/// Both readers must come to the same bytes, and must really look at the time.
fn read_one(at: i64, bytes: &[u8]) -> u64 {
    black_box(at);
    bytes.len() as u64
}

fn frames(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = FileReader::open(path).expect("a capture");
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().expect("readable") {
        frames.push(frame.bytes.to_vec());
    }
    frames
}

fn decode(frames: &[Vec<u8>], mut one: impl FnMut(&[u8]) -> Option<usize>) -> (u64, u64) {
    let mut bytes = 0;
    for frame in frames {
        bytes += one(black_box(frame)).unwrap_or(0) as u64;
    }
    (frames.len() as u64, bytes)
}

/// What a user of the package would write: addresses, ports and payload.
fn etherparse_udp(frame: &[u8]) -> Option<usize> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    match packet.net? {
        NetSlice::Ipv4(ip) => black_box(ip.header().source_addr()).is_multicast(),
        NetSlice::Ipv6(ip) => black_box(ip.header().source_addr()).is_multicast(),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Udp(udp)) = packet.transport else { return None };
    black_box((udp.source_port(), udp.destination_port()));
    Some(udp.payload().len())
}
