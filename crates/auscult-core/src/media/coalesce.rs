//! The front of a stream: the one line of memory that each of its usual packets touches, and behind it those packets,
//! waiting to be measured together.
//!
//! A packet is plain when it is the next in sequence, one packet time of media after the one before, of the same type and
//! on the same way, without a marker or a silence before it. Of such a packet four numbers say everything, and it changes
//! nothing that anybody asks for between two packets. So it waits, until there are [`WAITING`] of them or somebody looks at
//! the stream: then they are measured one after the other, as if they came at that moment, with all that the stream
//! consists of in the cache once instead of sixteen times.

use super::in_order::{InOrderPacket, MIN_JUMP, Next, WAITING};
use super::packet::{FlowKey, Packet};
use super::stream::Stream;
use super::warmup::Pool;
use crate::units::Timestamp;

/// No payload type: no packet is plain.
const NONE: u8 = u8::MAX;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct PacketCoalescer {
    key: FlowKey,
    at: Timestamp,
    timestamp: u32,
    ticks: u32,
    seq: u16,
    payload_type: u8,
    dscp: u8,
    ttl: [u8; 2],
    count: u8,
    waiting: [InOrderPacket; WAITING],
}

impl PacketCoalescer {
    const EMPTY: PacketCoalescer = PacketCoalescer {
        key: FlowKey { src_ip: 0, dst_ip: 0, src_port: 0, dst_port: 0, ssrc: 0 },
        at: Timestamp::MIN,
        timestamp: 0,
        ticks: 0,
        seq: 0,
        payload_type: NONE,
        dscp: 0,
        ttl: [0; 2],
        count: 0,
        waiting: [InOrderPacket { after: 0, ip_id: 0, payload_len: 0 }; WAITING],
    };

    pub fn key(&self) -> FlowKey {
        self.key
    }

    /// Whether packets came that the stream does not know of.
    pub fn has_waiting(&self) -> bool {
        self.count > 0
    }

    /// Lets a packet wait if it is plain and there is room.
    #[inline(always)]
    pub fn try_push(&mut self, packet: &Packet) -> bool {
        let after = packet.at.0.wrapping_sub(self.at.0) as u64;
        let plain = (packet.seq == self.seq)
            & (packet.timestamp == self.timestamp)
            & (packet.payload_type == self.payload_type)
            & !packet.marker
            & !packet.cut_short
            & (packet.dscp == self.dscp)
            & (packet.ttl >= self.ttl[0])
            & (packet.ttl <= self.ttl[1])
            & (after < MIN_JUMP.0 as u64);
        let Some(waiting) = self.waiting.get_mut(usize::from(self.count)).filter(|_| plain) else { return false };
        *waiting = InOrderPacket {
            after: after as u32,
            ip_id: packet.ip_id.unwrap_or_default(),
            payload_len: packet.payload_len,
        };
        self.count += 1;
        self.at = packet.at;
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.ticks);
        true
    }

    /// Whether no other packet can wait.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        usize::from(self.count) == WAITING
    }

    /// Has those who wait measured.
    #[inline]
    pub fn drain_into(&mut self, stream: &mut Stream, pool: &mut Pool) {
        let count = usize::from(std::mem::take(&mut self.count));
        if count > 0 {
            stream.in_order(&self.waiting[..count], pool);
        }
    }

    /// Follows the stream after a packet that was not plain, or whatever else may have changed what is. No packet is buffered.
    pub fn follow(&mut self, stream: &Stream) {
        let Next { at, seq, timestamp, ticks, payload_type, dscp, ttl } = stream.next();
        let payload_type = payload_type.unwrap_or(NONE);
        *self = PacketCoalescer {
            key: self.key,
            count: 0,
            waiting: self.waiting,
            at,
            seq,
            timestamp,
            ticks,
            payload_type,
            dscp,
            ttl,
        };
    }
}

/// The coalescers of all streams by slot, in blocks, so that a table that grows is not copied.
#[derive(Debug, Default)]
pub struct PacketCoalescers {
    blocks: Vec<Box<[PacketCoalescer]>>,
}

impl PacketCoalescers {
    const BLOCK: usize = 256;

    /// Makes room for a slot and says whose it is.
    pub fn enter(&mut self, slot: u32, key: FlowKey) -> &mut PacketCoalescer {
        let (block, at) = PacketCoalescers::position(slot);
        while self.blocks.len() <= block {
            self.blocks.push(vec![PacketCoalescer::EMPTY; PacketCoalescers::BLOCK].into_boxed_slice());
        }
        let coalescer = &mut self.blocks[block][at];
        *coalescer = PacketCoalescer { key, ..PacketCoalescer::EMPTY };
        coalescer
    }

    #[inline(always)]
    pub fn get(&self, slot: u32) -> Option<&PacketCoalescer> {
        let (block, at) = PacketCoalescers::position(slot);
        self.blocks.get(block)?.get(at)
    }

    #[inline(always)]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut PacketCoalescer> {
        let (block, at) = PacketCoalescers::position(slot);
        self.blocks.get_mut(block)?.get_mut(at)
    }

    #[inline(always)]
    fn position(slot: u32) -> (usize, usize) {
        (slot as usize / PacketCoalescers::BLOCK, slot as usize % PacketCoalescers::BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_packet_touches_is_one_line_of_memory() {
        assert_eq!(std::mem::offset_of!(PacketCoalescer, waiting), 64);
        assert_eq!(size_of::<PacketCoalescer>(), 64 + 8 * WAITING);
    }
}
