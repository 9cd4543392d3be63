//! pcapng blocks (draft-ietf-opsawg-pcapng): sections of either byte order, interfaces with their clocks, packets in
//! their three forms, and the drop counters of interface statistics.

use super::bytes::ByteReader;
use super::file::{Notes, Record};
use super::input::Input;
use super::{FileDrops, Interface, MAX_INTERFACES, MAX_RECORD, Oddities, TruncationKind, link_type};
use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;

/// Block types.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// The byte-order magic as a little-endian section stores it.
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const BIG_ENDIAN: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// Type, length, body, length again.
const MIN_BLOCK: usize = 12;

/// The longest block that is looked into: a full record and as much again for options.
const MAX_BLOCK: usize = 2 * MAX_RECORD;

/// Bytes of a packet block before the frame: type, length and five words.
const PACKET_HEADER: usize = 28;

/// Longest interface name kept, in bytes: Linux has 15, Windows names a GUID of 50.
const NAME_MAX: usize = 256;

const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_TSRESOL: u16 = 9;
const OPTION_IF_TSOFFSET: u16 = 14;
const OPTION_EPB_DROPCOUNT: u16 = 4;
const OPTION_ISB_IFDROP: u16 = 5;
const OPTION_ISB_OSDROP: u16 = 7;

/// The state of reading one pcapng file.
#[derive(Default)]
pub(super) struct Pcapng {
    big: bool,
    /// The interfaces of the current section, by their number in it.
    section: Vec<Clocked>,
    /// The interfaces of the whole file: one that a later section describes alike is the same.
    pub interfaces: Vec<Interface>,
    /// Drops per interface from sections that have ended; statistics blocks count from the start of their section.
    ended: Vec<FileDrops>,
}

/// What a packet needs to know of its interface.
#[derive(Clone, Copy)]
struct Clocked {
    index: u16,
    link: LinkType,
    snap_len: u32,
    step: TimeStep,
    /// `None` when the offset alone does not fit 64 bits.
    offset_ns: Option<i64>,
}

/// The finest steps in which 64 bits hold a day: 10^-14 s (2.1 days) and 2^-47 s (1.5 days).
const FINEST_DECIMAL: u32 = 14;
const FINEST_BINARY: u32 = 47;

/// Length of one unit of an interface's time stamps (`if_tsresol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeStep {
    /// Whole nanoseconds: 10^-9 s and coarser.
    Nanos(u64),
    /// So many units in a nanosecond.
    PerNano(u64),
    /// 2^-n seconds.
    Binary(u32),
    /// So fine that 64 bits hold less than a day: no clock counts like that, and it cannot represent a time since 1970.
    Unusable,
}

/// Begin of a block.
#[derive(Clone, Copy)]
struct BlockHeader {
    kind: u32,
    /// Its length as it states it, bytes.
    claimed: u32,
}

impl BlockHeader {
    #[inline(always)]
    fn len(self) -> usize {
        self.claimed as usize
    }

    /// Others are passed over.
    #[inline(always)]
    fn is_known(self) -> bool {
        matches!(
            self.kind,
            SECTION_HEADER | INTERFACE_DESCRIPTION | PACKET | SIMPLE_PACKET | INTERFACE_STATISTICS | ENHANCED_PACKET
        )
    }
}

/// What makes a packet block impossible: with the bytes it claims, or the interface it names.
#[derive(Clone, Copy)]
enum Fault {
    ShortHeader,
    TooLong(u32),
    BeyondBlock(u32),
    NoInterfaces(u32),
}

impl Fault {
    #[cold]
    fn text(self) -> String {
        match self {
            Fault::ShortHeader => "a packet block too short for its header".to_owned(),
            Fault::TooLong(n) => format!("a record claims {n} bytes, more than the {MAX_RECORD} a capture can hold"),
            Fault::BeyondBlock(n) => format!("a frame of {n} bytes in a block too short for it"),
            Fault::NoInterfaces(n) => format!("a packet of interface {n} in a section that has described none"),
        }
    }
}

impl TimeStep {
    fn from_tsresol(value: u8) -> TimeStep {
        let exponent = u32::from(value & 0x7f);
        match (value & 0x80 != 0, exponent) {
            (true, n @ 0..=FINEST_BINARY) => TimeStep::Binary(n),
            (false, n @ 0..=9) => TimeStep::Nanos(10u64.pow(9 - n)),
            (false, n @ 10..=FINEST_DECIMAL) => TimeStep::PerNano(10u64.pow(n - 9)),
            _ => TimeStep::Unusable,
        }
    }

    /// Units since the epoch as nanoseconds, rounded down; `None` beyond the range of a [`Timestamp`].
    #[inline]
    fn nanos(self, units: u64) -> Option<i64> {
        match self {
            TimeStep::Nanos(ns) => units.checked_mul(ns).and_then(|ns| i64::try_from(ns).ok()),
            TimeStep::PerNano(units_per_ns) => i64::try_from(units / units_per_ns).ok(),
            TimeStep::Unusable => None,
            TimeStep::Binary(n) => i64::try_from((u128::from(units) * 1_000_000_000) >> n).ok(),
        }
    }

    fn resolution_ns(self) -> u32 {
        if self == TimeStep::Unusable {
            return 1;
        }
        self.nanos(1).and_then(|ns| u32::try_from(ns).ok()).unwrap_or(u32::MAX).max(1)
    }
}

/// True when the first bytes are those of a pcapng section.
pub(super) fn is_pcapng(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(|t| u32::from_ne_bytes(*t) == SECTION_HEADER)
        && head.get(8..12).is_some_and(|order| order == LITTLE_ENDIAN || order == BIG_ENDIAN)
}

/// True when the first bytes are a section's, but too few to know its byte order.
pub(super) fn is_cut_short(head: &[u8]) -> bool {
    head.len() < MIN_BLOCK && head.starts_with(&SECTION_HEADER.to_be_bytes())
}

impl Pcapng {
    /// The next packet; `None` at the end and where it goes no further, which is noted. `last` is the time of the one
    /// before.
    #[inline(always)]
    pub fn next(&mut self, input: &mut Input, notes: &mut Notes, last: Timestamp) -> Option<Record> {
        loop {
            let block = self.block_header(input, notes)?;
            if !block.is_known() {
                if self.pass(input, block.claimed, notes) {
                    continue;
                }
                return None;
            }
            if !self.fill_block(input, notes, block) {
                return None;
            }
            match self.block(input, &mut notes.oddities, block, last) {
                Ok(packet) => {
                    input.consume(block.len());
                    if packet.is_some() {
                        return packet;
                    }
                }
                Err(what) => {
                    notes.corrupt(input, what);
                    return None;
                }
            }
        }
    }

    /// Type and length of the block that comes; a section header sets the byte order first. `None` at the end of the file, and
    /// where there can be no such block.
    #[inline(always)]
    fn block_header(&mut self, input: &mut Input, notes: &mut Notes) -> Option<BlockHeader> {
        if !input.fill(MIN_BLOCK) {
            self.end(input, notes);
            return None;
        }
        let &[t0, t1, t2, t3, l0, l1, l2, l3, o0, o1, o2, o3] = input.window().first_chunk()?;
        let mut kind = self.number([t0, t1, t2, t3]);
        if u32::from_ne_bytes([t0, t1, t2, t3]) == SECTION_HEADER {
            kind = SECTION_HEADER;
            match [o0, o1, o2, o3] {
                LITTLE_ENDIAN => self.big = false,
                BIG_ENDIAN => self.big = true,
                _ => {
                    notes.corrupt(input, "a section whose byte order is neither big nor little endian".to_owned());
                    return None;
                }
            }
        }
        let block = BlockHeader { kind, claimed: self.number([l0, l1, l2, l3]) };
        if block.len() < MIN_BLOCK || !block.len().is_multiple_of(4) {
            notes.corrupt(input, impossible_length(block.claimed));
            return None;
        }
        Some(block)
    }

    /// Reads a block that is looked into. False, which is noted, when it is too long, not whole, or its two lengths differ.
    #[inline(always)]
    fn fill_block(&self, input: &mut Input, notes: &mut Notes, block: BlockHeader) -> bool {
        let BlockHeader { kind, claimed } = block;
        let len = block.len();
        if len > MAX_BLOCK {
            let what = format!("a block of type {kind} claims {claimed} bytes, more than the {MAX_BLOCK} it can have");
            notes.corrupt(input, what);
            return false;
        }
        if !input.fill(len) {
            let there = input.window().len();
            notes.cut(input, format!("the file ends {there} bytes into a block of {len}"));
            return false;
        }
        let trailer = input.window().get(len - 4..len).and_then(|t| t.first_chunk().copied());
        if trailer.map(|t| self.number(t)) != Some(claimed) {
            notes.corrupt(input, unclosed(claimed));
            return false;
        }
        true
    }

    /// The packet of a block; `None` for one without, and for a packet that is lost alone. Errors say what makes it impossible.
    #[inline(always)]
    fn block(
        &mut self,
        input: &Input,
        oddities: &mut Oddities,
        block: BlockHeader,
        last: Timestamp,
    ) -> Result<Option<Record>, String> {
        let len = block.len();
        let packet = match block.kind {
            ENHANCED_PACKET => self.enhanced_packet(input, len, oddities),
            PACKET => self.packet(input, len, oddities),
            SIMPLE_PACKET => self.simple_packet(input, len, oddities, last),
            kind => return self.description(input, len, kind).map(|()| None),
        };
        packet.map_err(Fault::text)
    }

    /// Too few bytes for another block: the end, a cut, or a block that could not be anyway.
    #[cold]
    fn end(&self, input: &Input, notes: &mut Notes) {
        let rest = input.window();
        match rest.get(4..8).and_then(|l| l.first_chunk().copied()).map(|l| self.number(l)) {
            Some(claimed) if (claimed as usize) < MIN_BLOCK => notes.corrupt(input, impossible_length(claimed)),
            _ if rest.is_empty() => {}
            _ => notes.cut(input, format!("the file ends {} bytes into a block header", rest.len())),
        }
    }

    #[inline]
    fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn cursor<'a>(&self, input: &'a Input, len: usize) -> ByteReader<'a> {
        ByteReader::new(input.window().get(8..len - 4).unwrap_or_default(), self.big)
    }

    /// Passes over a block without packets, however long it is. False when it is not whole.
    fn pass(&self, input: &mut Input, claimed: u32, notes: &mut Notes) -> bool {
        let at = input.offset();
        if !input.skip(u64::from(claimed) - 4) || !input.fill(4) {
            notes.stop(at, TruncationKind::Cut, format!("the file ends inside a block of {claimed} bytes"));
            return false;
        }
        let closing = input.window().first_chunk().map(|t| self.number(*t));
        if closing != Some(claimed) {
            notes.stop(at, TruncationKind::Corrupt, unclosed(claimed));
            return false;
        }
        input.consume(4);
        true
    }

    #[inline(always)]
    fn enhanced_packet(&mut self, input: &Input, len: usize, oddities: &mut Oddities) -> Result<Option<Record>, Fault> {
        let mut c = self.cursor(input, len);
        let mut words = || Some((c.u32()?, c.u32()?, c.u32()?, c.u32()?, c.u32()?));
        let (interface, high, low, caplen, wire_len) = words().ok_or(Fault::ShortHeader)?;
        let options = after_frame(&mut c, caplen)?;
        let Some(of) = self.of(interface, oddities)? else { return Ok(None) };
        let at = of.time(u64::from(high) << 32 | u64::from(low));
        if let Some(mut options) = options {
            while let Some((code, mut value)) = options.option() {
                if code == OPTION_EPB_DROPCOUNT {
                    self.dropped_before(of.index, value.u64().unwrap_or(0));
                }
            }
        }
        let place = input.place(PACKET_HEADER, caplen as usize);
        Ok(Some(Record::new(at, of.link, of.index, wire_len, place)))
    }

    fn packet(&mut self, input: &Input, len: usize, oddities: &mut Oddities) -> Result<Option<Record>, Fault> {
        const DROPS_UNKNOWN: u16 = 0xffff;
        let mut c = self.cursor(input, len);
        let mut words = || Some((c.u16()?, c.u16()?, c.u32()?, c.u32()?, c.u32()?, c.u32()?));
        let (interface, drops, high, low, caplen, wire_len) = words().ok_or(Fault::ShortHeader)?;
        after_frame(&mut c, caplen)?;
        let Some(of) = self.of(u32::from(interface), oddities)? else { return Ok(None) };
        let at = of.time(u64::from(high) << 32 | u64::from(low));
        if drops != DROPS_UNKNOWN {
            self.dropped_before(of.index, u64::from(drops));
        }
        let place = input.place(PACKET_HEADER, caplen as usize);
        Ok(Some(Record::new(at, of.link, of.index, wire_len, place)))
    }

    fn simple_packet(
        &mut self,
        input: &Input,
        len: usize,
        oddities: &mut Oddities,
        last: Timestamp,
    ) -> Result<Option<Record>, Fault> {
        const HEADER: usize = 12;
        let mut c = self.cursor(input, len);
        let wire_len = c.u32().ok_or(Fault::ShortHeader)?;
        let Some(of) = self.of(0, oddities)? else { return Ok(None) };
        let kept = if of.snap_len == 0 { wire_len } else { wire_len.min(of.snap_len) };
        let caplen = (kept as usize).min(len - HEADER - 4);
        if caplen > MAX_RECORD {
            return Err(Fault::TooLong(kept));
        }
        oddities.untimed += 1;
        let at = if last == Timestamp::MIN { Timestamp::default() } else { last };
        Ok(Some(Record::new(at, of.link, of.index, wire_len, input.place(HEADER, caplen))))
    }

    /// The interface a packet names. A section without any is broken; one number too high loses only that packet.
    #[inline]
    fn of(&self, interface: u32, oddities: &mut Oddities) -> Result<Option<Clocked>, Fault> {
        match self.section.get(interface as usize) {
            Some(of) => Ok(Some(*of)),
            None if self.section.is_empty() => Err(Fault::NoInterfaces(interface)),
            None => {
                oddities.undescribed_interface += 1;
                Ok(None)
            }
        }
    }

    fn dropped_before(&mut self, interface: u16, frames: u64) {
        if let Some(of) = self.interfaces.get_mut(usize::from(interface)) {
            of.drops.by_record = Some(of.drops.by_record.unwrap_or(0).saturating_add(frames));
        }
    }

    #[cold]
    fn description(&mut self, input: &Input, len: usize, kind: u32) -> Result<(), String> {
        let c = self.cursor(input, len);
        match kind {
            SECTION_HEADER => self.section_header(c)?,
            INTERFACE_DESCRIPTION => self.interface_description(c)?,
            _ => self.interface_statistics(c),
        }
        Ok(())
    }

    fn section_header(&mut self, mut c: ByteReader<'_>) -> Result<(), String> {
        let mut version = || {
            c.u32()?;
            let version = (c.u16()?, c.u16()?);
            c.u64().map(|_| version)
        };
        let (major, minor) = version().ok_or("a section header that is too short")?;
        if major != 1 {
            return Err(format!("a section of pcapng version {major}.{minor}, only 1.x is known"));
        }
        self.section.clear();
        self.ended = self.interfaces.iter().map(|i| i.drops).collect();
        Ok(())
    }

    fn interface_description(&mut self, mut c: ByteReader<'_>) -> Result<(), String> {
        let mut fixed = || {
            let link = c.u16()?;
            c.u16()?;
            Some((link, c.u32()?))
        };
        let (link, snap_len) = fixed().ok_or("an interface description that is too short")?;
        let (mut name, mut tsresol, mut offset_s) = (None, 6, 0);
        while let Some((code, mut value)) = c.option() {
            match code {
                OPTION_IF_NAME => name = Some(value.text(NAME_MAX)),
                OPTION_IF_TSRESOL => tsresol = value.u8().unwrap_or(tsresol),
                OPTION_IF_TSOFFSET => offset_s = value.u64().map_or(offset_s, |s| s as i64),
                _ => {}
            }
        }
        let step = TimeStep::from_tsresol(tsresol);
        let link = link_type(u32::from(link));
        let described =
            Interface { name, link, resolution_ns: step.resolution_ns(), snap_len, drops: FileDrops::default() };
        let index = self.index_of(described)?;
        let offset_ns = i64::checked_mul(offset_s, 1_000_000_000);
        self.section.push(Clocked { index, link, snap_len, step, offset_ns });
        Ok(())
    }

    /// The file-wide number of an interface: that of one described alike in an earlier section, or a new one.
    fn index_of(&mut self, described: Interface) -> Result<u16, String> {
        let too_many = || format!("more than {MAX_INTERFACES} interfaces");
        if self.section.len() >= MAX_INTERFACES {
            return Err(too_many());
        }
        let mut here = [false; MAX_INTERFACES];
        for of in &self.section {
            if let Some(taken) = here.get_mut(usize::from(of.index)) {
                *taken = true;
            }
        }
        // Compared in place: a file of interface blocks alone must not copy every name for each of them.
        let alike = |i: &Interface| {
            let Interface { name, link, resolution_ns, snap_len, drops: _ } = &described;
            (i.link, i.resolution_ns, i.snap_len) == (*link, *resolution_ns, *snap_len) && i.name == *name
        };
        let known = self.interfaces.iter().zip(here).position(|(i, taken)| !taken && alike(i));
        let index = match known {
            Some(index) => index,
            None if self.interfaces.len() >= MAX_INTERFACES => return Err(too_many()),
            None => {
                self.interfaces.push(described);
                self.interfaces.len() - 1
            }
        };
        u16::try_from(index).map_err(|_| too_many())
    }

    fn interface_statistics(&mut self, mut c: ByteReader<'_>) {
        let (Some(interface), Some(_)) = (c.u32(), c.u64()) else { return };
        let Some(of) = self.section.get(interface as usize) else { return };
        let index = usize::from(of.index);
        let mut said = FileDrops::default();
        while let Some((code, mut value)) = c.option() {
            match code {
                OPTION_ISB_IFDROP => said.by_interface = value.u64(),
                OPTION_ISB_OSDROP => said.by_system = value.u64(),
                _ => {}
            }
        }
        let before = self.ended.get(index).copied().unwrap_or_default();
        let total = FileDrops { by_record: None, ..before }.plus(said);
        if let Some(of) = self.interfaces.get_mut(index) {
            of.drops.by_interface = said.by_interface.and(total.by_interface).or(of.drops.by_interface);
            of.drops.by_system = said.by_system.and(total.by_system).or(of.drops.by_system);
        }
    }
}

impl Clocked {
    /// The time of a packet; [`Timestamp::MAX`], which the reader refuses, where it does not fit 64 bits.
    #[inline]
    fn time(&self, units: u64) -> Timestamp {
        let at = self.offset_ns.and_then(|offset| self.step.nanos(units)?.checked_add(offset));
        at.map_or(Timestamp::MAX, Timestamp)
    }
}

/// Passes over a frame and its padding. What is left are the options, if anything is.
#[inline]
fn after_frame<'a>(c: &mut ByteReader<'a>, caplen: u32) -> Result<Option<ByteReader<'a>>, Fault> {
    let len = caplen as usize;
    if len > MAX_RECORD {
        return Err(Fault::TooLong(caplen));
    }
    if c.take(len.next_multiple_of(4)).is_none() {
        return Err(Fault::BeyondBlock(caplen));
    }
    Ok((!c.is_empty()).then_some(*c))
}

#[cold]
fn impossible_length(claimed: u32) -> String {
    format!("a block of {claimed} bytes: no multiple of four from {MIN_BLOCK} up")
}

#[cold]
fn unclosed(claimed: u32) -> String {
    format!("a block of {claimed} bytes whose closing length is not the same")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_steps_of_both_bases() {
        let nanos = |tsresol, units| TimeStep::from_tsresol(tsresol).nanos(units);
        assert_eq!(nanos(0, 3), Some(3_000_000_000));
        assert_eq!(nanos(6, 1_500_000), Some(1_500_000_000));
        assert_eq!(nanos(9, 7), Some(7));
        assert_eq!(nanos(12, 7_999), Some(7));
        assert_eq!(nanos(14, u64::MAX), Some(184_467_440_737_095));
        assert_eq!(nanos(0x80, 2), Some(2_000_000_000));
        assert_eq!(nanos(0x80 | 20, 3 << 19), Some(1_500_000_000));
        assert_eq!(nanos(0x80 | 32, (5 << 32) | 0x4000_0000), Some(5_250_000_000));
        assert_eq!(nanos(0x80 | 47, u64::MAX), Some(131_071_999_999_999));
        assert_eq!(nanos(6, u64::MAX), None);
        assert_eq!(nanos(0, 9_223_372_037), None);
    }

    #[test]
    fn steps_too_fine_for_any_clock_are_refused() {
        let usable = |tsresol| TimeStep::from_tsresol(tsresol) != TimeStep::Unusable;
        let (decimal, binary): (Vec<u8>, Vec<u8>) = (0..=255u8).filter(|t| usable(*t)).partition(|t| t & 0x80 == 0);
        assert_eq!((decimal, binary), ((0..=14).collect(), (0x80..=0x80 | 47).collect()));
        assert_eq!(TimeStep::Unusable.nanos(0), None);
        assert_eq!(TimeStep::Unusable.resolution_ns(), 1);
    }

    #[test]
    fn resolution_is_the_step_in_nanoseconds_and_at_least_one() {
        let resolution = |tsresol| TimeStep::from_tsresol(tsresol).resolution_ns();
        assert_eq!([0, 3, 6, 9, 12].map(resolution), [1_000_000_000, 1_000_000, 1000, 1, 1]);
        assert_eq!([0x80, 0x80 | 10, 0x80 | 40].map(resolution), [1_000_000_000, 976_562, 1]);
    }
}
