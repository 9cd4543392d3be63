//! Classic pcap records (draft-ietf-opsawg-pcap): microseconds or nanoseconds, either byte order, and the
//! modified variant with interface fields behind each record header (magic a1b2cd34).

use super::bytes::ByteReader;
use super::file::{Notes, Record};
use super::input::Input;
use super::{FileDrops, Interface, MAX_RECORD, link_type};
use auscult_core::units::Timestamp;

/// Bytes of the header of the file.
pub(super) const HEADER: usize = 24;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const MODIFIED: u32 = 0xa1b2_cd34;

/// Bytes of a record header, and of one in the modified variant: plus interface index, protocol, packet type, padding.
const RECORD_HEADER: usize = 16;
const MODIFIED_RECORD_HEADER: usize = 24;

/// What the file header says about the records.
pub(super) struct Classic {
    big: bool,
    record_header: usize,
    nanos_per_step: i64,
    /// Writers before version 2.3 stored the two lengths in the other order (2.3 itself: either).
    lengths_swapped: Swapped,
    pub interface: Interface,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Swapped {
    No,
    Always,
    WhenLonger,
}

/// True when the first bytes are those of a classic pcap file.
pub(super) fn is_classic(head: &[u8]) -> bool {
    magic(head).is_some()
}

impl Classic {
    /// Reads the file header. The error says what is wrong with it.
    pub fn parse(head: &[u8]) -> Result<Classic, String> {
        let (magic, big) = magic(head).ok_or("no pcap magic number")?;
        let mut c = ByteReader::new(head.get(..HEADER).ok_or("the file ends inside its pcap header")?, big);
        let mut header = || {
            c.u32()?;
            let version = (c.u16()?, c.u16()?);
            c.take(8)?;
            Some((version, c.u32()?, c.u32()?))
        };
        let (version, snap_len, network) = header().ok_or("the file ends inside its pcap header")?;
        if version.0 != 2 {
            return Err(format!("pcap version {}.{}, only 2.x is known", version.0, version.1));
        }
        let nanos_per_step = if magic == NANOSECONDS { 1 } else { 1000 };
        Ok(Classic {
            big,
            record_header: if magic == MODIFIED { MODIFIED_RECORD_HEADER } else { RECORD_HEADER },
            nanos_per_step,
            lengths_swapped: match version.1 {
                0..=2 => Swapped::Always,
                3 => Swapped::WhenLonger,
                _ => Swapped::No,
            },
            interface: Interface {
                name: None,
                // The upper half of the field is flags and the length of the frame check sequence.
                link: link_type(network & 0xffff),
                resolution_ns: nanos_per_step as u32,
                snap_len,
                drops: FileDrops::default(),
            },
        })
    }

    /// The next record; `None` at the end and where it goes no further, which is noted.
    #[inline(always)]
    pub fn next(&self, input: &mut Input, notes: &mut Notes) -> Option<Record> {
        if !input.fill(self.record_header) {
            self.end(input, notes);
            return None;
        }
        let &[s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3] = input.window().first_chunk()?;
        let number = |b: [u8; 4]| if self.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) };
        let seconds = number([s0, s1, s2, s3]);
        let fraction = number([f0, f1, f2, f3]);
        let (mut len, mut wire_len) = (number([c0, c1, c2, c3]), number([w0, w1, w2, w3]));
        if self.lengths_swapped == Swapped::Always || self.lengths_swapped == Swapped::WhenLonger && len > wire_len {
            (len, wire_len) = (wire_len, len);
        }
        if len as usize > MAX_RECORD {
            notes.corrupt(input, too_long(len));
            return None;
        }
        let total = self.record_header + len as usize;
        if !input.fill(total) {
            let there = input.window().len().saturating_sub(self.record_header);
            notes.cut(input, format!("the file ends {there} bytes into a frame of {len}"));
            return None;
        }
        let nanos = i64::from(fraction) * self.nanos_per_step;
        notes.oddities.fraction_over_second += u64::from(nanos >= 1_000_000_000);
        let place = input.place(self.record_header, len as usize);
        input.consume(total);
        // At most 2^32 s and 4295 s: fits 64 bits. The caller refuses what is not measured.
        let at = Timestamp(i64::from(seconds) * 1_000_000_000 + nanos);
        Some(Record::new(at, self.interface.link, 0, wire_len, place))
    }

    #[cold]
    fn end(&self, input: &Input, notes: &mut Notes) {
        let there = input.window().len();
        if there > 0 {
            notes.cut(input, format!("the file ends {there} bytes into a record header"));
        }
    }
}

#[cold]
fn too_long(claimed: u32) -> String {
    format!("a record claims {claimed} bytes, more than the {MAX_RECORD} a capture can hold")
}

fn magic(head: &[u8]) -> Option<(u32, bool)> {
    let first = *head.first_chunk::<4>()?;
    let known = |magic: &u32| matches!(*magic, MICROSECONDS | NANOSECONDS | MODIFIED);
    let little = Some(u32::from_le_bytes(first)).filter(known).map(|m| (m, false));
    little.or_else(|| Some(u32::from_be_bytes(first)).filter(known).map(|m| (m, true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_core::wire::LinkType;

    fn header(magic: u32, minor: u16, network: u32) -> Vec<u8> {
        let mut file = magic.to_le_bytes().to_vec();
        file.extend([2, 0]);
        file.extend(minor.to_le_bytes());
        file.extend([0; 8]);
        file.extend(65_535u32.to_le_bytes());
        file.extend(network.to_le_bytes());
        file
    }

    fn records(file: Vec<u8>) -> Vec<(i64, u64, Vec<u8>)> {
        let classic = Classic::parse(&file).expect("header");
        let mut input = Input::new(Box::new(std::io::Cursor::new(file)));
        assert!(input.skip(HEADER as u64));
        let mut out = Vec::new();
        while let Some(r) = classic.next(&mut input, &mut Notes::default()) {
            out.push((r.at.0, r.wire_len, input.bytes(r.place).to_vec()));
        }
        out
    }

    #[test]
    fn the_modified_variant_has_eight_more_octets_per_record() {
        let mut file = header(MODIFIED, 4, 1);
        for n in 1..=2u32 {
            file.extend([n, 5, 3, 9].map(u32::to_le_bytes).concat());
            file.extend([0xee; 8]);
            file.extend([n as u8; 3]);
        }
        assert_eq!(records(file), [(1_000_005_000, 9, vec![1; 3]), (2_000_005_000, 9, vec![2; 3])]);
    }

    #[test]
    fn writers_before_2_3_swapped_the_lengths() {
        let mut file = header(MICROSECONDS, 2, 1);
        file.extend([1, 0, 60, 2].map(u32::to_le_bytes).concat());
        file.extend([1, 2]);
        assert_eq!(records(file), [(1_000_000_000, 60, vec![1, 2])]);
    }

    #[test]
    fn flags_above_the_link_type_are_not_the_link_type() {
        let classic = Classic::parse(&header(NANOSECONDS, 4, 0x5400_0001)).expect("header");
        assert_eq!((classic.interface.link, classic.interface.resolution_ns), (LinkType(1), 1));
        let raw = Classic::parse(&header(NANOSECONDS, 4, 12)).expect("header");
        assert_eq!(raw.interface.link, LinkType(101));
    }
}
