//! Measures the RTP streams of a classic pcap file (Ethernet, little-endian, nanoseconds):
//! `cargo run -p auscult-core --example measure -- testdata/03-one-way-audio.pcap`

use auscult_core::engine::{Engine, With};
use auscult_core::model::{Event, Limits, Policy};
use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).expect("a capture file");
    let file = std::fs::read(path)?;
    let word = |at: usize| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
    assert_eq!((word(0), word(20)), (0xa1b2_3c4d, 1), "not a pcap file of Ethernet frames in this byte order");
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 0);
    let mut print = With(|event| {
        if let Event::StreamEnded(stream) = event {
            let loss = stream.numbers.loss_pct().unwrap_or(0.0);
            let mos =
                stream.mos.lq.map_or("no MOS".to_owned(), |lq| format!("MOS-LQ {lq:.2} ({})", stream.mos.scale_name()));
            println!("{} -> {}  {}  {loss:.1} % lost  {mos}", stream.src, stream.dst, stream.codec);
        }
    });
    let mut at = 24;
    while at + 16 <= file.len() {
        let time = Timestamp::from_secs_nanos(i64::from(word(at)), i64::from(word(at + 4)));
        let (captured, length) = (word(at + 8) as usize, word(at + 12) as usize);
        let Some(frame) = file.get(at + 16..at + 16 + captured) else { break };
        engine.frame(time, LinkType::ETHERNET, frame, length, &mut print);
        at += 16 + captured;
    }
    engine.finish(&mut print);
    Ok(())
}
