//! The last packets of a stream, as far as it takes to tell who made a copy: the mirror or the network.

use super::packet::Packet;
use crate::units::Timestamp;

/// Packets remembered: a mirror's copy may come after a burst that a queue let go at once.
const RECENT: usize = 64;
/// Copies by a mirror come within 2 ms when the IP header cannot tell.
const MIRROR_WINDOW: u16 = (2_000_000 >> TICK_BITS) as u16 + 1;
/// Times are kept in units of 2^17 ns (131 us) modulo 8.6 s.
const TICK_BITS: u32 = 17;

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

    /// Whether a packet with a number seen before is the very frame seen before.
    pub fn is_copy(&self, packet: &Packet) -> bool {
        let slot = slot(packet.seq);
        let (mark, timed) = mark(packet.ip_id, packet.at);
        let first = self.marks.0[slot];
        match (timed, self.timed >> slot & 1 == 1) {
            (true, true) => mark.wrapping_sub(first) <= MIRROR_WINDOW,
            (false, false) => mark == first,
            _ => false,
        }
    }

    /// See [`super::stream::Stream::touch`].
    #[inline]
    pub fn touch(&self, seq: u16) -> u64 {
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
