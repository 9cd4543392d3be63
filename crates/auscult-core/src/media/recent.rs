//! The last packets of a stream, as far as it takes to know who made a copy: the mirror or the network.

use super::packet::Packet;
use crate::units::Timestamp;

/// Packets remembered: a mirror's copy may come after a burst that a queue let go at once.
const RECENT: usize = 64;
/// Copies by a mirror come within 2 ms when the IP header does not show it.
const MIRROR_WINDOW: u16 = (2_000_000 >> TICK_BITS) as u16 + 1;
/// Times are kept in units of 2^17 ns (131 us) modulo 8.6 s.
const TICK_BITS: u32 = 17;

/// Who made a copy of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopiedBy {
    Mirror,
    /// The network, or the sender.
    Network,
    /// Its IP header has no identification, and it came later than a mirror's copy as a rule.
    Unknown,
}

/// By sequence number modulo [`RECENT`]: identification of the IP header, or the time where that is 0 or there is none.
#[derive(Debug, Default)]
pub struct Recent {
    marks: Marks,
    /// Which marks are times.
    timed: u64,
}

#[derive(Debug)]
struct Marks([u16; RECENT]);

impl Default for Marks {
    fn default() -> Self {
        Marks([0; RECENT])
    }
}

impl Recent {
    #[inline]
    pub fn note(&mut self, seq: u16, ip_id: Option<u16>, at: Timestamp) {
        let slot = slot(seq);
        let (mark, timed) = mark(ip_id, at);
        self.marks.0[slot] = mark;
        self.timed = self.timed & !(1 << slot) | u64::from(timed) << slot;
    }

    /// Who made a packet with a number seen before.
    pub fn copied_by(&self, packet: &Packet) -> CopiedBy {
        let slot = slot(packet.seq);
        let (mark, timed) = mark(packet.ip_id, packet.at);
        let first = self.marks.0[slot];
        match (timed, self.timed >> slot & 1 == 1) {
            (true, true) if mark.wrapping_sub(first) <= MIRROR_WINDOW => CopiedBy::Mirror,
            (true, true) => CopiedBy::Unknown,
            (false, false) if mark == first => CopiedBy::Mirror,
            _ => CopiedBy::Network,
        }
    }

    /// See [`super::stream::Stream::prefetch`].
    #[inline]
    pub fn prefetch(&self, seq: u16) -> u64 {
        self.timed ^ u64::from(self.marks.0[slot(seq)])
    }
}

fn slot(seq: u16) -> usize {
    usize::from(seq) % RECENT
}

/// What is remembered of a packet, and whether it is its time.
#[inline]
fn mark(ip_id: Option<u16>, at: Timestamp) -> (u16, bool) {
    match ip_id {
        Some(id) if id != 0 => (id, false),
        _ => ((at.0 >> TICK_BITS) as u16, true),
    }
}

/// Copies in a row of which a mirror is taken for the maker, and the most that count.
const MIRRORED: u8 = 12;
const MOST: u8 = 32;
/// What a packet without a copy takes off: a mirror may drop one copy in four.
const MISSED: u8 = 4;
/// Copies farther apart in sequence are not in a row.
const TOGETHER: u16 = 8;
/// Copies in a row at the end of a stream that was too short for more.
const MIRRORED_AT_END: u8 = 4;

/// Copies whose origin neither the identification nor the time shows. A mirror copies nearly every packet, a network some.
#[derive(Debug, Default)]
pub struct UnknownCopies {
    last_seq: u16,
    in_a_row: u8,
    /// Not counted yet.
    waiting: u16,
}

/// Copies that are to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MadeBy {
    pub mirror: u32,
    pub network: u32,
}

impl UnknownCopies {
    /// Takes a copy of the packet with this number.
    pub fn add(&mut self, seq: u16) -> MadeBy {
        let apart = seq.wrapping_sub(self.last_seq).cast_signed().unsigned_abs();
        self.last_seq = seq;
        let before = std::mem::take(&mut self.waiting);
        let mut made = MadeBy::default();
        if apart <= 2 {
            self.in_a_row = (self.in_a_row + 1).min(MOST);
        } else {
            self.in_a_row = if apart <= TOGETHER { self.in_a_row.saturating_sub(MISSED) } else { 0 };
            if self.in_a_row == 0 {
                made.network = u32::from(before);
                self.waiting = 1;
                return made;
            }
        }
        if self.in_a_row >= MIRRORED {
            made.mirror = u32::from(before) + 1;
        } else {
            self.waiting = before.saturating_add(1);
        }
        made
    }

    /// The stream ends.
    pub fn finish(&mut self) -> MadeBy {
        let copies = u32::from(std::mem::take(&mut self.waiting));
        match self.in_a_row >= MIRRORED_AT_END {
            true => MadeBy { mirror: copies, network: 0 },
            false => MadeBy { mirror: 0, network: copies },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_of(copied: impl Iterator<Item = u16>) -> (u32, u32) {
        let mut copies = UnknownCopies::default();
        let mut sum = (0, 0);
        for made in copied.map(|seq| copies.add(seq)).collect::<Vec<_>>().into_iter().chain([copies.finish()]) {
            sum = (sum.0 + made.mirror, sum.1 + made.network);
        }
        sum
    }

    #[test]
    fn a_mirror_copies_nearly_every_packet() {
        let every = 65_000..66_000u32;
        assert_eq!(made_of(every.clone().map(|n| n as u16)), (1000, 0), "the numbers begin anew at 65,536");
        let (mirror, network) = made_of(every.filter(|n| n % 7 != 0 && n % 11 != 0).map(|n| n as u16));
        assert!(mirror > 20 * network, "it drops some copies: {mirror}, {network}");
        assert_eq!(made_of(100..108), (8, 0), "a short stream");
    }

    #[test]
    fn a_network_copies_some() {
        assert_eq!(made_of((0..1000).step_by(20)), (0, 50));
        let bursts = (0..1000).filter(|n| n % 100 < 8);
        assert_eq!(made_of(bursts.take(76)), (0, 76), "runs of eight");
        assert_eq!(made_of((0..1000).filter(|n| n % 4 == 0)), (0, 250));
    }
}
