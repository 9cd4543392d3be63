//! Writes a first corpus for every target, from the seeded world: `seeds DIR`.

use std::fs;
use std::path::Path;
use testkit::{World, samples};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: seeds DIR")?;
    let put = |target: &str, name: &str, bytes: &[u8]| -> std::io::Result<()> {
        let dir = Path::new(&dir).join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(name), bytes)
    };
    for seed in 0..8 {
        let capture = World::random(seed, 2).build();
        let (mut sip, mut media) = (0, 0);
        for (_, frame) in capture.pairs() {
            // A frame's payload, as far as a corpus needs it: what follows the headers.
            let text = frame.windows(8).position(|w| w == b"SIP/2.0 " || w == b"INVITE s" || w == b"BYE sip:");
            if let Some(at) = text.filter(|_| sip < 12) {
                sip += 1;
                let message = &frame[at..];
                put("sip_msg", &format!("{seed}-{sip}"), message)?;
                put("frame", &format!("{seed}-sip-{sip}"), &[&[0], frame.as_slice()].concat())?;
                if let Some(at) = message.windows(3).position(|w| w == b"v=0") {
                    put("sdp", &format!("{seed}-{sip}"), &message[at..])?;
                }
            } else if text.is_none() && media < 12 && frame.len() > 60 {
                media += 1;
                put("frame", &format!("{seed}-media-{media}"), &[&[0], frame.as_slice()].concat())?;
                put("rtp_rtcp", &format!("{seed}-{media}"), &frame[42..])?;
            }
        }
        let plain = testkit::pcap::to_bytes(&capture.frames[..capture.frames.len().min(50)]);
        for name in ["pcap", "pcap.gz", "pcap.zst"] {
            put("pcap", &format!("{seed}.{name}"), &testkit::pcap::pack(name, &plain)?)?;
        }
    }
    // A call in the alphabet of `engine_seq`: invite, answer, media both ways, reports, bye.
    let call = [0u8, 0, 0, 40, 2, 0, 0, 90, 3, 0, 0, 20];
    let media: Vec<u8> = (0..200u8).flat_map(|i| [4 + (i & 1), 0, i, 10]).collect();
    put("engine_seq", "call", &[&call, media.as_slice(), &[6, 0, 0, 10, 7, 0, 0, 10, 8, 0, 0, 10]].concat())?;
    println!("{} sample captures know more; seeds written to {dir}", samples::files().len());
    Ok(())
}
