//! Frames in: files of every kind against an independent reader, hostile and cut files, several files as one timeline.

#[path = "capture/build.rs"]
mod build;
#[cfg(feature = "live")]
#[path = "capture/live.rs"]
mod live;
#[path = "capture/memory.rs"]
mod memory;
#[path = "capture/sandbox.rs"]
mod sandbox;
#[path = "capture/timeline.rs"]
mod timeline;

use auscult_capture::{CaptureError, FileDrops, FileReader, Oddities, TruncationKind};
use build::*;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn real_captures_give_exactly_the_frames_another_reader_gives() {
    let Some(folder) = testkit::shared("captures") else { return };
    let mut files = 0;
    for path in [folder.clone(), folder.join("sipp_pcap")].iter().flat_map(|f| captures_in(f)) {
        let bytes = fs::read(&path).expect("readable");
        let expected = oracle(&bytes);
        let (frames, reader) = drain(FileReader::open(&path).expect("a capture"));
        assert_eq!(reader.truncated(), None, "{}", path.display());
        assert_eq!(frames.len(), expected.len(), "{}", path.display());
        assert!(frames == expected, "{}: the frames differ", path.display());
        assert_eq!(reader.position(), (bytes.len() as u64, Some(bytes.len() as u64)), "{}", path.display());
        let (streamed, _) = read(&bytes).expect("a capture");
        assert!(streamed == expected, "{}: read as a stream the frames differ", path.display());
        files += 1;
    }
    assert!(files >= 40, "only {files} captures found");
}

fn captures_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path());
    let is_capture = |p: &PathBuf| p.extension().is_some_and(|x| x == "pcap" || x == "pcapng" || x == "rtp");
    entries.filter(is_capture).collect()
}

#[test]
fn hostile_captures_end_as_expected() {
    let Some(path) = testkit::shared("hostile/hostile_cases.json") else { return };
    let all: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON");
    let cases = all["cases"].as_array().expect("cases").iter();
    let mut seen = 0;
    for case in cases.filter(|c| c["delivery"] == "file") {
        let id = case["id"].as_str().expect("id");
        let bytes: Vec<u8> = case["parts"].as_array().expect("parts").iter().flat_map(part).collect();
        assert_eq!(bytes.len() as u64, case["len"].as_u64().expect("len"), "{id}");
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        fs::write(file.path(), &bytes).expect("written");
        let opened = || FileReader::open(file.path());
        let ((verdict, _), heap) = memory::peak(|| verdict(opened()));
        assert_eq!(verdict, case["expect"]["verdict"], "{id}");
        let compressed = bytes.starts_with(&[0x1f, 0x8b]);
        let allowed = case["expect"]["max_heap_bytes"].as_u64().expect("bytes") as usize;
        assert!(compressed || heap <= allowed, "{id}: {heap} bytes of heap, {allowed} allowed");
        let (streamed, heap) = memory::peak(|| verdict_of(&bytes));
        assert_eq!(streamed, case["expect"]["verdict"], "{id} as a stream");
        assert!(compressed || heap <= allowed, "{id} as a stream: {heap} bytes of heap, {allowed} allowed");
        seen += 1;
    }
    assert!(seen >= 9, "only {seen} cases found");
}

fn part(part: &serde_json::Value) -> Vec<u8> {
    let times = part["n"].as_u64().unwrap_or(1) as usize;
    let hex = |x: &str| {
        let digit = |i: usize| u8::from_str_radix(&x[i..i + 2], 16).expect("hex");
        (0..x.len()).step_by(2).map(digit).collect::<Vec<u8>>()
    };
    match (part["t"].as_str(), part["x"].as_str()) {
        (Some(text), _) => text.chars().map(|c| c as u8).collect::<Vec<u8>>().repeat(times),
        (_, Some(x)) => hex(x).repeat(times),
        _ => panic!("a part without bytes"),
    }
}

fn verdict(opened: Result<FileReader, CaptureError>) -> (&'static str, usize) {
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(CaptureError::NotACapture { .. }) => return ("malformed", 0),
        Err(e) => panic!("{e}"),
    };
    let mut frames = 0;
    while reader.next_frame().expect("readable").is_some() {
        frames += 1;
    }
    let verdict = match reader.truncated().map(|t| t.kind) {
        Some(TruncationKind::Cut) => "truncated",
        Some(_) => "malformed",
        None if reader.oddities().total() > 0 => "ok_flagged",
        None => "ok",
    };
    (verdict, frames)
}

fn verdict_of(bytes: &[u8]) -> &'static str {
    verdict(FileReader::from_reader(std::io::Cursor::new(bytes.to_vec()), "a stream")).0
}

#[test]
fn a_claim_of_four_gigabytes_allocates_nothing() {
    let mut pcap = small_pcap(3);
    pcap.extend(LITTLE.words(&[1, 0, u32::MAX, u32::MAX]));
    let mut block = small_pcapng();
    block.extend(BIG.words(&[6, u32::MAX - 3, 0, 0]));
    let mut skipped = small_pcapng();
    skipped.extend(BIG.words(&[0xbad, u32::MAX - 3, 0, 0]));
    let mut largest = small_pcap(3);
    largest.extend(LITTLE.words(&[1, 0, 256 * 1024, 256 * 1024]));
    let mut packet = LITTLE.section();
    packet.extend(LITTLE.interface(1, 0, &[]));
    packet.extend(LITTLE.block(6, &LITTLE.words(&[0, 0, 0, u32::MAX, u32::MAX])));
    for (bytes, expected) in [
        (pcap, "malformed"),
        (block, "malformed"),
        (skipped, "truncated"),
        (largest, "truncated"),
        (packet, "malformed"),
    ] {
        let (found, heap) = memory::peak(|| verdict_of(&bytes));
        assert_eq!(found, expected);
        assert!(heap <= 64 * 1024 + 4 * bytes.len(), "{heap} bytes of heap");
    }
}

/// Interface blocks alone: what each costs does not grow with the names of those before it.
#[test]
fn long_names_of_interfaces_are_cut_and_never_copied_for_later_blocks() {
    let name = [b"eth".as_slice(), &[b'x'; 60_000]].concat();
    let mut file = LITTLE.section();
    for n in 0..200u32 {
        file.extend(LITTLE.interface(1, n, &[LITTLE.option(2, &name)]));
    }
    for _ in 0..200 {
        file.extend(LITTLE.section());
        file.extend(LITTLE.interface(1, 0, &[]));
    }
    let ((frames, reader), heap) = memory::taken(|| read(&file).unwrap());
    assert!(frames.is_empty() && reader.truncated().is_none());
    assert_eq!(reader.interfaces().len(), 201);
    assert!(reader.interfaces().iter().filter_map(|i| i.name.as_ref()).all(|name| name.len() == 256));
    assert!(heap <= 2 * file.len(), "{heap} bytes of heap for a file of {}", file.len());
}

#[test]
fn magic_numbers_and_byte_orders_of_pcap() {
    for order in [LITTLE, BIG] {
        for (magic, nanos, resolution) in [(0xa1b2_c3d4, 5_000, 1000), (0xa1b2_3c4d, 5, 1)] {
            let mut file = order.pcap_header(magic, 113);
            file.extend(order.pcap_record(4_000_000_000, 5, b"frame"));
            let (frames, reader) = read(&file).expect("a capture");
            let at = 4_000_000_000 * 1_000_000_000 + nanos;
            assert_eq!(frames, [OwnedFrame { at, link: 113, bytes: b"frame".to_vec(), wire_len: 5 }]);
            assert_eq!((reader.resolution_ns(), reader.oddities()), (resolution, Oddities::default()));
        }
    }
}

#[test]
fn pcapng_sections_interfaces_clocks_and_drops() {
    let (frames, reader) = read(&small_pcapng()).expect("a capture");
    let kept = |at, link, bytes: &[u8], wire_len| OwnedFrame { at, link, bytes: bytes.to_vec(), wire_len };
    assert_eq!(
        frames,
        [
            kept(1_700_000_000_000_000_001, 1, b"first", 5),
            kept(1_700_000_000_000_000_002, 1, b"second", 6),
            kept(1_700_000_001_000_000_000, 101, b"old", 60),
            kept(1_700_000_001_000_000_000, 101, b"simple", 9),
        ]
    );
    let names: Vec<_> = reader.interfaces().iter().map(|i| (i.name.as_deref(), i.resolution_ns, i.snap_len)).collect();
    assert_eq!(names, [(Some("eth0"), 1, 0), (Some("tun0"), 1000, 6)]);
    let eth0 = FileDrops { by_interface: Some(3), by_system: Some(4), by_record: None };
    assert_eq!(reader.interfaces()[0].drops, eth0);
    let tun0 = FileDrops { by_record: Some(2), ..FileDrops::default() };
    assert_eq!(reader.interfaces()[1].drops, tun0);
    assert_eq!(reader.dropped(), eth0.plus(tun0));
    assert_eq!((reader.resolution_ns(), reader.oddities().untimed, reader.truncated()), (1000, 1, None));
}

#[test]
fn clocks_with_binary_steps_and_offsets() {
    for order in [LITTLE, BIG] {
        let offset = |s: i64| order.option(14, &order.u64(s as u64));
        let mut file = order.section();
        file.extend(order.interface(1, 0, &[order.option(9, &[0x80 | 10]), offset(100)]));
        file.extend(order.interface(1, 0, &[order.option(9, &[3]), offset(-5)]));
        file.extend(order.enhanced_packet(0, 2 << 10 | 512, b"a", &[]));
        file.extend(order.enhanced_packet(1, 7_250, b"b", &[]));
        file.extend(order.enhanced_packet(1, u64::MAX, b"c", &[]));
        let (frames, reader) = read(&file).expect("a capture");
        let times: Vec<i64> = frames.iter().map(|f| f.at).collect();
        assert_eq!(times, [102_500_000_000, 2_250_000_000]);
        assert_eq!(reader.oddities(), Oddities { time_out_of_range: 1, time_went_back: 1, ..Oddities::default() });
        assert_eq!(reader.interfaces().len(), 2, "two nameless interfaces of one section are two");
    }
}

/// Each record whose time is not measured is left out and counted, and the file goes on; those at both ends are kept.
#[test]
fn records_of_impossible_times_are_left_out_and_the_file_goes_on() {
    const LATEST: u64 = 4_291_747_200;
    for order in [LITTLE, BIG] {
        let offset = |s: i64| order.option(14, &order.u64(s.cast_unsigned()));
        let resolution = |tsresol: u8| order.option(9, &[tsresol]);
        let mut file = order.section();
        for options in [
            vec![],
            vec![resolution(0)],
            vec![resolution(9), offset(i64::MAX)],
            vec![resolution(9), offset(i64::MIN)],
            vec![resolution(15)],
            vec![resolution(0x7f)],
            vec![resolution(0xff)],
            vec![resolution(0x80), offset(-10)],
        ] {
            file.extend(order.interface(1, 0, &options));
        }
        let (micros, seconds, ahead, behind, fine, finest, binary, shifted) = (0, 1, 2, 3, 4, 5, 6, 7);
        let kept = [
            (micros, 0),
            (micros, LATEST * 1_000_000),
            (seconds, LATEST),
            (shifted, 10),
            (shifted, LATEST + 10),
            (micros, 1_700_000_000_000_000),
        ];
        let refused = [
            (micros, LATEST * 1_000_000 + 1),
            (micros, u64::MAX),
            (micros, u64::MAX / 1000),
            (seconds, LATEST + 1),
            (seconds, u64::MAX),
            (seconds, u64::MAX / 1_000_000_000 + 1),
            (ahead, 5),
            (ahead, u64::MAX),
            (behind, 5),
            (behind, u64::MAX),
            (fine, 1),
            (finest, u64::MAX),
            (binary, u64::MAX),
            (shifted, 9),
            (shifted, 0),
            (shifted, LATEST + 11),
        ];
        for (i, (interface, units)) in refused.iter().enumerate() {
            file.extend(order.enhanced_packet(*interface, *units, b"refused", &[]));
            if let Some((interface, units)) = kept.get(i) {
                file.extend(order.enhanced_packet(*interface, *units, b"kept", &[]));
            }
        }
        let (frames, reader) = read(&file).expect("a capture");
        assert!(frames.len() == kept.len() && frames.iter().all(|f| f.bytes == b"kept"), "{frames:?}");
        assert_eq!((reader.oddities().time_out_of_range, reader.truncated()), (refused.len() as u64, None));
        // Classic captures have 32 bits of seconds, and fractions that may be more than one.
        let mut file = order.pcap_header(0xa1b2_c3d4, 1);
        for (seconds, fraction) in [(u32::MAX, u32::MAX), (LATEST as u32, 1), (LATEST as u32, 0), (0, 0), (u32::MAX, 0)]
        {
            file.extend(order.pcap_record(seconds, fraction, b"x"));
        }
        let (frames, reader) = read(&file).expect("a capture");
        let times: Vec<i64> = frames.iter().map(|f| f.at).collect();
        assert_eq!((times, reader.oddities().time_out_of_range), (vec![LATEST as i64 * 1_000_000_000, 0], 3));
    }
}

/// A file whose first records are refused still begins where its first good one does, among others of a timeline.
#[test]
fn a_timeline_is_ordered_by_the_times_that_count() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, times: &[u64]| {
        let mut file = LITTLE.section();
        file.extend(LITTLE.interface(1, 0, &[]));
        for units in times {
            file.extend(LITTLE.enhanced_packet(0, *units, &units.to_be_bytes(), &[]));
        }
        let path = dir.path().join(name);
        fs::write(&path, file).expect("written");
        path
    };
    let paths = [file("a", &[u64::MAX, 30, 40]), file("b", &[10, u64::MAX, 20, 50]), file("c", &[u64::MAX])];
    let mut timeline = auscult_capture::Timeline::open(&paths).expect("captures");
    let mut times = Vec::new();
    while let Some(frame) = timeline.next_frame().expect("readable") {
        times.push(frame.at.0);
    }
    assert_eq!(times, [10_000, 20_000, 30_000, 40_000, 50_000]);
    assert_eq!(timeline.oddities().time_out_of_range, 3);
}

#[test]
fn a_section_that_describes_the_same_interface_continues_it() {
    let section = |units: u64, drops: u64| {
        let mut file = LITTLE.section();
        file.extend(LITTLE.interface(1, 0, &[LITTLE.option(2, b"span0")]));
        file.extend(LITTLE.enhanced_packet(0, units, b"x", &[LITTLE.option(4, &LITTLE.u64(2))]));
        for so_far in [drops / 2, drops] {
            file.extend(LITTLE.statistics(0, &[LITTLE.option(7, &LITTLE.u64(so_far))]));
        }
        file
    };
    let (frames, reader) = read(&[section(1, 10), section(2, 5)].concat()).expect("a capture");
    assert_eq!(frames.len(), 2);
    assert_eq!(reader.interfaces().len(), 1);
    let drops = FileDrops { by_interface: None, by_system: Some(15), by_record: Some(4) };
    assert_eq!(reader.dropped(), drops);
}

#[test]
fn compressed_captures_give_the_same_frames() {
    let plain = small_pcap(20_000);
    let (expected, _) = read(&plain).expect("a capture");
    let (one, two) = plain.split_at(plain.len() / 3);
    let members = [gzip(one), gzip(two)].concat();
    let zstd_frames = [zstd(one), zstd(two)].concat();
    for (name, bytes) in
        [("gzip", gzip(&plain)), ("gzip members", members), ("zstd", zstd(&plain)), ("zstd frames", zstd_frames)]
    {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        fs::write(file.path(), &bytes).expect("written");
        let (frames, reader) = drain(FileReader::open(file.path()).expect("a capture"));
        assert!(frames == expected, "{name}: {} frames", frames.len());
        assert_eq!(reader.truncated(), None, "{name}");
        assert_eq!(reader.position(), (bytes.len() as u64, Some(bytes.len() as u64)), "{name}");
    }
}

#[test]
fn every_prefix_gives_a_prefix_of_the_frames_and_says_that_it_is_cut() {
    let pcap = small_pcap(6);
    let mut block_ends = vec![0];
    let ng = small_pcapng();
    while let Some(&end) = block_ends.last().filter(|end| **end < ng.len()) {
        let len = ng.get(end + 4..end + 8).expect("a length").try_into().expect("four bytes");
        let big = ng[end..].starts_with(&[0, 0]) || ng.get(end + 8..end + 12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
        block_ends.push(end + if big { u32::from_be_bytes(len) } else { u32::from_le_bytes(len) } as usize);
    }
    let mut record_ends = vec![24];
    while let Some(&end) = record_ends.last().filter(|end| **end < pcap.len()) {
        record_ends.push(end + 16 + pcap[end + 8] as usize);
    }
    for (name, whole, ends) in [
        ("pcap", pcap.clone(), &record_ends),
        ("pcapng", ng, &block_ends),
        ("gzip", gzip(&pcap), &Vec::new()),
        ("zstd", zstd(&pcap), &Vec::new()),
    ] {
        let (expected, reader) = read(&whole).expect("a capture");
        assert!(reader.truncated().is_none() && expected.len() >= 4, "{name}");
        for len in 0..whole.len() {
            let file = tempfile::NamedTempFile::new().expect("temporary file");
            fs::write(file.path(), &whole[..len]).expect("written");
            for opened in [FileReader::open(file.path()).map(drain), read(&whole[..len])] {
                match opened {
                    Ok((frames, reader)) => {
                        assert!(expected.starts_with(&frames), "{name} cut to {len}");
                        let cut = reader.truncated().map(|t| t.kind);
                        let clean = ends.contains(&len);
                        assert_eq!(cut, (!clean).then_some(TruncationKind::Cut), "{name} cut to {len}");
                    }
                    // Decompressors give nothing before they have the whole of a block.
                    Err(CaptureError::NotACapture { .. }) => {
                        assert!(ends.is_empty() || len < 24, "{name} cut to {len}");
                    }
                    Err(e) => panic!("{name} cut to {len}: {e}"),
                }
            }
        }
    }
}

#[test]
fn a_truncation_says_where_and_why() {
    let whole = small_pcap(6);
    let (_, reader) = read(&whole[..whole.len() - 1]).expect("a capture");
    let last = 6 - 1;
    let at = whole.len() - 16 - (last * 37) % 220;
    let text = reader.truncated().expect("cut").to_string();
    assert_eq!(text, format!("cut off at byte {at}: the file ends 184 bytes into a frame of 185"));
    let mut broken = small_pcapng();
    let end = broken.len();
    broken[end - 1] ^= 1;
    let (frames, reader) = read(&broken).expect("a capture");
    assert_eq!(frames.len(), 3);
    let text = reader.truncated().expect("corrupt").to_string();
    assert_eq!(text, format!("corrupt at byte {}: a block of 24 bytes whose closing length is not the same", end - 24));
}

#[test]
fn cut_and_damaged_compressed_data_end_the_capture_there() {
    let plain = small_pcap(20_000);
    let (expected, _) = read(&plain).expect("a capture");
    for (name, whole) in [("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
        let middle = whole.len() / 2;
        let mut damaged = whole.clone();
        damaged[middle..].fill(0xff);
        let cut = &whole[..middle];
        for (bytes, kind) in [(&damaged[..], TruncationKind::Corrupt), (cut, TruncationKind::Cut)] {
            let (frames, reader) = read(bytes).expect("a capture");
            assert!(expected.starts_with(&frames), "{name}");
            assert!((1000..20_000).contains(&frames.len()), "{name}: {} frames", frames.len());
            let truncation = reader.truncated().expect("an early end");
            assert!(truncation.kind == kind && truncation.what.contains(name), "{truncation}");
        }
    }
}

#[test]
fn what_is_no_capture_is_told_from_one() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (bytes, looks_like) in [
        (b"".to_vec(), "it is empty"),
        (b"\x89PNG\r\n\x1a\n0000".to_vec(), "a PNG picture"),
        (b"snoop\0\0\0\0\0\0\x02".to_vec(), "a Solaris snoop file"),
        (b"GMBU\0\x02".to_vec(), "a Microsoft Network Monitor 2 file"),
        (b"RTSS\0\x01".to_vec(), "a Microsoft Network Monitor 1 file"),
        (b"\x7fELF\x02\x01\x01".to_vec(), "a program (ELF)"),
        (b"<html><body>Please sign in".to_vec(), "an HTML page"),
        (b"{\"calls\": []}".to_vec(), "JSON"),
        (b"INVITE sip:x@example.org SIP/2.0\r\n".to_vec(), "text"),
        (gzip(b"only some text"), "text"),
        (zstd(&gzip(&small_pcap(2))), "gzip data"),
        (gzip(&small_pcap(2))[..12].to_vec(), "gzip data that cannot be decompressed"),
        (small_pcap(1)[..23].to_vec(), "inside its pcap header"),
        (small_pcapng()[..11].to_vec(), "inside its first pcapng block"),
    ] {
        let path = folder.path().join("file");
        fs::write(&path, &bytes).expect("written");
        let Err(error) = FileReader::open(&path) else { panic!("{looks_like} was taken for a capture") };
        assert!(matches!(error, CaptureError::NotACapture { .. }), "{error}");
        let line = error.to_string();
        assert!(line.contains(looks_like) && line.contains("file") && !line.contains('\n'), "{line}");
    }
    let Err(error) = FileReader::open(folder.path()) else { panic!("a directory was taken for a capture") };
    assert!(error.to_string().contains("a directory"), "{error}");
    let Err(error) = FileReader::open(&folder.path().join("none")) else { panic!("no file was taken for one") };
    assert!(matches!(error, CaptureError::Open { .. }), "{error}");
}

#[test]
fn an_error_of_the_system_is_told_once_and_ends_the_capture() {
    struct Breaks(std::io::Cursor<Vec<u8>>);
    impl std::io::Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::from_raw_os_error(5)),
                n => Ok(n),
            }
        }
    }
    for (bytes, frames) in [(small_pcap(40), 40), (gzip(&small_pcap(40)[..100]), 2)] {
        let mut cut = bytes;
        if frames == 2 {
            cut.truncate(cut.len() - 8);
        }
        let mut reader = FileReader::from_reader(Breaks(std::io::Cursor::new(cut)), "a tape").expect("a capture");
        for n in 0..frames {
            assert!(reader.next_frame().expect("readable").is_some(), "frame {n}");
        }
        let error = reader.next_frame().expect_err("broken").to_string();
        assert!(error.starts_with("cannot read a tape beyond byte"), "{error}");
        assert_eq!(reader.next_frame().expect("told already"), None);
        assert_eq!(reader.truncated().map(|t| t.kind), Some(TruncationKind::Unreadable));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn noise_behind_a_header_never_gives_more_than_it_holds(
        noise in prop::collection::vec(any::<u8>(), 0..600),
        kind in 0usize..6,
        small_lengths in any::<bool>(),
    ) {
        let mut noise = noise;
        if small_lengths {
            // Lengths that fit make the reader go on instead of stopping at the first.
            for word in noise.chunks_exact_mut(4) {
                word[1..].fill(0);
                word[0] &= 0x3c;
            }
        }
        let order = if kind.is_multiple_of(2) { LITTLE } else { BIG };
        let mut file = match kind {
            0 | 1 => order.pcap_header(0xa1b2_c3d4, 1),
            2 | 3 => order.pcap_header(0xa1b2_cd34, 1),
            _ => [order.section(), order.interface(1, 0, &[])].concat(),
        };
        file.extend(&noise);
        let (frames, reader) = read(&file).expect("a capture");
        let bytes: usize = frames.iter().map(|f| f.bytes.len()).sum();
        prop_assert!(bytes <= noise.len());
        prop_assert!(frames.len() <= noise.len() / 12);
        prop_assert_eq!(reader.frames(), frames.len() as u64);
        prop_assert!(frames.iter().all(|f| f.wire_len as usize >= f.bytes.len()));
        prop_assert!(reader.position().0 <= file.len() as u64);
    }
}
