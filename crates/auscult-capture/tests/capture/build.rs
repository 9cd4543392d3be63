//! Capture files made by hand, and what an independent reader (`pcap-parser`) finds in one.

use auscult_capture::{CaptureError, FileReader, Frame};
use pcap_parser::{Block, PcapBlockOwned, PcapError};
use std::io::{Cursor, Write};

/// A frame that outlives its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedFrame {
    pub at: i64,
    pub link: u32,
    pub bytes: Vec<u8>,
    pub wire_len: u32,
}

impl From<Frame<'_>> for OwnedFrame {
    fn from(f: Frame<'_>) -> OwnedFrame {
        OwnedFrame { at: f.at.0, link: f.link.0, bytes: f.bytes.to_vec(), wire_len: f.wire_len }
    }
}

/// Everything a reader delivers, and the reader.
pub fn drain(mut reader: FileReader) -> (Vec<OwnedFrame>, FileReader) {
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().expect("readable") {
        frames.push(frame.into());
    }
    (frames, reader)
}

pub fn read(bytes: &[u8]) -> Result<(Vec<OwnedFrame>, FileReader), CaptureError> {
    FileReader::from_reader(Cursor::new(bytes.to_vec()), "made by hand").map(drain)
}

/// Writes numbers in one byte order.
#[derive(Clone, Copy)]
pub struct Order {
    pub big: bool,
}

pub const LITTLE: Order = Order { big: false };
pub const BIG: Order = Order { big: true };

impl Order {
    pub fn u16(self, n: u16) -> [u8; 2] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub fn words(self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|n| if self.big { n.to_be_bytes() } else { n.to_le_bytes() }).collect()
    }

    pub fn u64(self, n: u64) -> [u8; 8] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub fn pcap_header(self, magic: u32, link: u32) -> Vec<u8> {
        let mut file = self.words(&[magic]);
        file.extend(self.u16(2));
        file.extend(self.u16(4));
        file.extend(self.words(&[0, 0, 65_535, link]));
        file
    }

    pub fn pcap_record(self, seconds: u32, fraction: u32, bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len() as u32;
        let mut record = self.words(&[seconds, fraction, len, len]);
        record.extend(bytes);
        record
    }

    pub fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let len = padded as u32 + 12;
        let mut block = self.words(&[kind, len]);
        block.extend(body);
        block.resize(8 + padded, 0);
        block.extend(self.words(&[len]));
        block
    }

    pub fn section(self) -> Vec<u8> {
        let mut body = self.words(&[0x1a2b_3c4d]);
        body.extend(self.u16(1));
        body.extend(self.u16(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    pub fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [self.u16(code), self.u16(value.len() as u16)].concat();
        option.extend(value);
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    pub fn interface(self, link: u16, snap_len: u32, options: &[Vec<u8>]) -> Vec<u8> {
        let mut body = [self.u16(link), [0, 0]].concat();
        body.extend(self.words(&[snap_len]));
        body.extend(options.concat());
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(1, &body)
    }

    pub fn enhanced_packet(self, interface: u32, units: u64, bytes: &[u8], options: &[Vec<u8>]) -> Vec<u8> {
        let len = bytes.len() as u32;
        let mut body = self.words(&[interface, (units >> 32) as u32, units as u32, len, len]);
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options.concat());
        self.block(6, &body)
    }

    pub fn statistics(self, interface: u32, options: &[Vec<u8>]) -> Vec<u8> {
        let mut body = self.words(&[interface, 0, 0]);
        body.extend(options.concat());
        body.extend([0; 4]);
        self.block(5, &body)
    }
}

/// A microsecond pcap of `count` Ethernet frames 20 ms apart, lengths from 0 to 219.
pub fn small_pcap(count: u32) -> Vec<u8> {
    let mut file = LITTLE.pcap_header(0xa1b2_c3d4, 1);
    for n in 0..count {
        let bytes = vec![n as u8; (n as usize * 37) % 220];
        file.extend(LITTLE.pcap_record(1_700_000_000 + n / 50, n % 50 * 20_000, &bytes));
    }
    file
}

/// A pcapng with two sections of different byte order and every kind of block.
pub fn small_pcapng() -> Vec<u8> {
    let name = |o: Order, name: &str| o.option(2, name.as_bytes());
    let mut file = LITTLE.section();
    file.extend(LITTLE.interface(1, 0, &[name(LITTLE, "eth0"), LITTLE.option(9, &[9])]));
    file.extend(LITTLE.enhanced_packet(0, 1_700_000_000_000_000_001, b"first", &[]));
    file.extend(LITTLE.block(4, &[1; 40]));
    file.extend(LITTLE.enhanced_packet(0, 1_700_000_000_000_000_002, b"second", &[LITTLE.option(2, &[0; 4])]));
    file.extend(LITTLE.statistics(0, &[LITTLE.option(5, &LITTLE.u64(3)), LITTLE.option(7, &LITTLE.u64(4))]));
    file.extend(BIG.section());
    file.extend(BIG.interface(101, 6, &[name(BIG, "tun0")]));
    let mut old = [BIG.u16(0), BIG.u16(2)].concat();
    let units = 1_700_000_001_000_000u64;
    old.extend(BIG.words(&[(units >> 32) as u32, units as u32, 3, 60]));
    old.extend(b"old\0");
    file.extend(BIG.block(2, &old));
    file.extend(BIG.block(3, &[&BIG.words(&[9])[..], b"simple\0\0"].concat()));
    file
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("zstd")
}

/// The frames `pcap-parser` finds, its time stamps as nanoseconds.
pub fn oracle(bytes: &[u8]) -> Vec<OwnedFrame> {
    let mut reader = pcap_parser::create_reader(1 << 20, Cursor::new(bytes)).expect("a capture");
    let (mut frames, mut interfaces, mut per_unit, mut link) = (Vec::new(), Vec::new(), 1000, 0);
    loop {
        let used = match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(h) => {
                        link = h.network.0 as u32;
                        per_unit = if h.is_nanosecond_precision() { 1 } else { 1000 };
                    }
                    PcapBlockOwned::Legacy(b) => frames.push(OwnedFrame {
                        at: i64::from(b.ts_sec) * 1_000_000_000 + i64::from(b.ts_usec) * per_unit,
                        link,
                        bytes: b.data.to_vec(),
                        wire_len: b.origlen,
                    }),
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(i)) => {
                        let per_second = i.ts_resolution().expect("a decimal resolution");
                        interfaces.push((i.linktype.0 as u32, i128::from(per_second), i128::from(i.if_tsoffset)));
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(b)) => {
                        let (link, per_second, offset) = interfaces[b.if_id as usize];
                        let units = i128::from(b.ts_high) << 32 | i128::from(b.ts_low);
                        let at = offset * 1_000_000_000 + units * 1_000_000_000 / per_second;
                        let bytes = b.data[..b.caplen as usize].to_vec();
                        frames.push(OwnedFrame { at: at as i64, link, bytes, wire_len: b.origlen });
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                used
            }
            Err(PcapError::Incomplete(_)) => {
                reader.refill().expect("refill");
                continue;
            }
            Err(PcapError::Eof) => return frames,
            Err(e) => panic!("pcap-parser: {e:?}"),
        };
        reader.consume(used);
    }
}
