//! Capture containers: classic pcap, pcapng with any blocks and options, compressed wrappers, several files as one timeline,
//! and their frames in the engine.

use crate::readers::assert_clean;
use crate::script::Script;
use auscult_capture::{FileReader, Frame, MAX_INTERFACES, MAX_RECORD, Timeline};
use auscult_core::engine::Engine;
use auscult_core::model::{Event, Limits, Policy, TimestampSource};
use std::io::{Cursor, Read, Write};

/// A bomb of zeros is unpacked as a stream; that takes time, not memory, and finds nothing.
const FRAMES: u32 = 20_000;

/// What is compared of a frame.
type AnalysisResults = (i64, u32, u16, u32, Vec<u8>);

fn keep(frame: &Frame<'_>) -> AnalysisResults {
    assert!(frame.bytes.len() <= MAX_RECORD && frame.wire_len as usize >= frame.bytes.len());
    (frame.at.0, frame.link.0, frame.interface, frame.wire_len, frame.bytes.to_vec())
}

fn read(from: impl Read + Send + 'static) -> Option<Vec<AnalysisResults>> {
    let mut reader = FileReader::from_reader(from, "fuzz").ok()?;
    let mut frames = Vec::new();
    while frames.len() < FRAMES as usize
        && let Ok(Some(frame)) = reader.next_frame()
    {
        frames.push(keep(&frame));
    }
    assert!(reader.interfaces().len() <= MAX_INTERFACES);
    for interface in reader.interfaces() {
        assert!(interface.resolution_ns >= 1);
        interface.name.iter().for_each(|name| assert_clean(name, 256));
    }
    assert!(frames.iter().all(|(_, _, interface, ..)| usize::from(*interface) < reader.interfaces().len()));
    let _ = (reader.oddities().total(), reader.dropped(), reader.truncated().map(ToString::to_string));
    Some(frames)
}

/// A capture file as it is: it is refused, or read to an end.
pub fn pcap(bytes: &[u8]) {
    let _ = read(Cursor::new(bytes.to_vec()));
}

/// Gives its bytes a few at a time.
struct Trickle {
    bytes: Cursor<Vec<u8>>,
    step: usize,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = self.step.min(buffer.len());
        self.bytes.read(buffer.get_mut(..most).unwrap_or_default())
    }
}

/// A pcapng whose blocks and options are those of the script, so that mutations reach what is inside of a block. Read in
/// one piece, in small pieces and out of a compressed wrapper it gives the same frames.
pub fn pcapng(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let how = script.byte();
    let file = pcapng_of(&mut script);
    let plain = read(Cursor::new(file.clone()));
    let step = 1 + usize::from(how >> 4);
    assert_eq!(plain, read(Trickle { bytes: Cursor::new(file.clone()), step }), "in pieces of {step}");
    // Each wrapper starts a thread: not for every input.
    let packed = match how & 15 {
        0 => gzip(&file),
        1 => zstd::encode_all(file.as_slice(), 1).unwrap_or_default(),
        _ => return,
    };
    if let Some(plain) = &plain {
        assert_eq!(read(Cursor::new(packed)).as_ref(), Some(plain), "compressed");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let _ = packed.write_all(bytes);
    packed.finish().unwrap_or_default()
}

/// Any file of the script: mostly blocks that close, in the byte order of their section.
fn pcapng_of(script: &mut Script<'_>) -> Vec<u8> {
    let mut big = script.byte() & 1 == 1;
    let mut file = block(big, 0x0a0d_0d0a, &section(big, 1), None);
    while let Some(op) = script.u8() {
        let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let (kind, body) = match op & 15 {
            0 => {
                big = script.byte() & 1 == 1;
                (0x0a0d_0d0a, section(big, u16::from(op >> 7) + 1))
            }
            1..=3 => (1, interface(big, script)),
            4..=8 => {
                let units = if op & 0x80 != 0 { u64::from(script.u32()) * 1_000_000 } else { script.u64() };
                let data = packet(script);
                let mut body = Vec::new();
                for n in [u32::from(op >> 4 & 3), (units >> 32) as u32, units as u32, data.len() as u32] {
                    body.extend(word(n));
                }
                body.extend(word(data.len() as u32 + u32::from(script.byte() & 3)));
                body.extend(padded(&data));
                body.extend(options(big, script));
                (6, body)
            }
            9 => {
                let data = packet(script);
                (3, [word(data.len() as u32 + 8).to_vec(), padded(&data)].concat())
            }
            10 => {
                let mut body = script.take(12).to_vec();
                body.resize(20, 0);
                (2, body)
            }
            11 => {
                let mut body = [word(u32::from(script.byte() & 3)), word(0), word(0)].concat();
                body.extend(options(big, script));
                (5, body)
            }
            12 => (script.u32(), script.take(64).to_vec()),
            13 => {
                // A length that is the script's.
                let claimed = script.u32();
                let body = script.take(32).to_vec();
                file.extend(block(big, 6, &body, Some(claimed)));
                continue;
            }
            14 => {
                let len = usize::from(script.byte());
                file.extend(script.take(len));
                continue;
            }
            _ => (6, script.take(usize::from(op)).to_vec()),
        };
        file.extend(block(big, kind, &padded(&body), None));
    }
    file
}

fn section(big: bool, major: u16) -> Vec<u8> {
    let mut body = if big { vec![0x1a, 0x2b, 0x3c, 0x4d] } else { vec![0x4d, 0x3c, 0x2b, 0x1a] };
    body.extend(if big { major.to_be_bytes() } else { major.to_le_bytes() });
    body.extend([0, 0]);
    body.extend([0xff; 8]);
    body
}

fn interface(big: bool, script: &mut Script<'_>) -> Vec<u8> {
    let half = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let link = [1u16, 101, 113, 276, 0, 12, 9, 50][usize::from(script.byte() & 7)];
    let mut body = half(link).to_vec();
    body.extend([0, 0]);
    body.extend(script.take(4));
    body.resize(8, 0);
    body.extend(options(big, script));
    body
}

/// Names, resolutions, offsets and drop counters, and options that claim what they do not have.
fn options(big: bool, script: &mut Script<'_>) -> Vec<u8> {
    let half = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut out = Vec::new();
    for _ in 0..script.byte() & 3 {
        let (code, len) = match script.byte() % 8 {
            0 => (2, script.byte()),
            1 | 2 => (9, 1),
            3 => (14, 8),
            4 => (4, 8),
            5 => (5, 8),
            6 => (7, 8),
            _ => (script.u16(), script.byte()),
        };
        let value = script.take(usize::from(len));
        let claimed = if len & 0x40 != 0 { u16::from(len) + u16::from(script.byte()) } else { value.len() as u16 };
        out.extend(half(code));
        out.extend(half(claimed));
        out.extend(padded(value));
    }
    out
}

/// A frame: the script's own bytes, or an RTP packet over UDP.
fn packet(script: &mut Script<'_>) -> Vec<u8> {
    let how = script.byte();
    if how & 1 == 0 {
        return script.take(usize::from(how)).to_vec();
    }
    let mut rtp = vec![0x80, 0, 0, script.byte(), 0, 0, script.byte(), 0, 1, 2, 3, how >> 5];
    rtp.extend([0xd5; 80]);
    let lower = testkit::frame::Lower { id: 1, ttl: 60, dscp: 46, vlan: None };
    testkit::frame::udp(([192, 0, 2, 1], 20_000).into(), ([198, 51, 100, 1], 20_002).into(), lower, &rtp)
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn block(big: bool, kind: u32, body: &[u8], claimed: Option<u32>) -> Vec<u8> {
    let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let len = word(claimed.unwrap_or(body.len() as u32 + 12));
    let kind = if kind == 0x0a0d_0d0a { kind.to_be_bytes() } else { word(kind) };
    [&kind[..], &len, body, &len].concat()
}

/// Up to three captures of the script as one timeline: every frame of each of them, in order where each is in order.
pub fn timeline(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let dir = std::env::temp_dir().join(format!("auscult-fuzz-{}", std::process::id()));
    if std::fs::create_dir_all(&dir).is_err() {
        return;
    }
    let (mut paths, mut frames, mut in_order) = (Vec::new(), 0, true);
    for n in 0..3 {
        let len = usize::from(script.u16());
        let part = if n == 2 { script.rest() } else { script.take(len) };
        let mut own = Script::new(part);
        let file = if own.byte() & 1 == 0 { pcapng_of(&mut own) } else { classic_of(&mut own) };
        let Some(alone) = read(Cursor::new(file.clone())) else { continue };
        frames += alone.len();
        in_order &= alone.windows(2).all(|pair| pair[0].0 <= pair[1].0);
        let path = dir.join(format!("{n}.cap"));
        if std::fs::write(&path, &file).is_err() {
            return;
        }
        paths.push(path);
    }
    if paths.is_empty() {
        return;
    }
    let mut timeline = Timeline::open(&paths).unwrap_or_else(|e| panic!("each opened alone: {e}"));
    let (mut count, mut last) = (0, i64::MIN);
    loop {
        let interface = match timeline.next_frame() {
            Ok(Some(frame)) => {
                assert!(!in_order || frame.at.0 >= last, "{} after {last}", frame.at.0);
                last = frame.at.0;
                frame.interface
            }
            Ok(None) => break,
            Err(e) => panic!("each could be read alone: {e}"),
        };
        assert!(usize::from(interface) < timeline.interfaces().len());
        count += 1;
        assert!(count <= frames, "more frames than the files have");
    }
    assert_eq!(count, frames);
    assert!(timeline.resolution_ns() >= 1);
}

/// A classic pcap with records of the script.
fn classic_of(script: &mut Script<'_>) -> Vec<u8> {
    let magic = [0xa1b2_c3d4u32, 0xa1b2_3c4d, 0xa1b2_cd34][usize::from(script.byte() % 3)];
    let mut file = magic.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 1, 0, 0, 0]);
    while let Some(op) = script.u8() {
        file.extend(script.u32().to_le_bytes());
        file.extend(script.u32().to_le_bytes());
        let data = packet(script);
        file.extend((data.len() as u32).to_le_bytes());
        file.extend((data.len() as u32 + u32::from(op & 3)).to_le_bytes());
        if magic == 0xa1b2_cd34 {
            file.extend([0; 8]);
        }
        file.extend(data);
    }
    file
}

/// A capture of the script in the engine, whatever its times are: every frame has one outcome, and it comes to an end.
pub fn replay(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let file = if script.byte() & 1 == 0 { pcapng_of(&mut script) } else { classic_of(&mut script) };
    let Ok(mut reader) = FileReader::from_reader(Cursor::new(file), "fuzz") else { return };
    let limits = Limits { streams: 8, candidates: 8, calls: 4, ..Limits::default() };
    let mut engine = Engine::new(limits, Policy::default(), 1, 7);
    engine.set_source("fuzz", TimestampSource::CaptureFile, 1);
    let mut events: Vec<Event> = Vec::new();
    let mut frames = 0u64;
    while let Ok(Some(frame)) = reader.next_frame() {
        frames += 1;
        engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut events);
    }
    engine.finish(&mut events);
    assert_eq!(engine.outcomes().total(), frames, "frames in are the sum of outcomes");
    // Empty intervals are not stated. A frame counts in its own, and its outcome may come in a later one.
    let intervals = events.iter().filter(|e| matches!(e, Event::Capture(_))).count() as u64;
    assert!(intervals <= 2 * frames + 2, "{intervals} intervals of {frames} frames");
}
