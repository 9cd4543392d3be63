//! Packets that come in order: what is kept of one until it is measured, and what the next one has to be.

use crate::units::{Nanos, Timestamp};

/// Packets that wait at most.
pub const WAITING: usize = 16;

/// The least difference of two transits that may be a jump of the timestamp. Packets in order come closer together than this.
pub const MIN_JUMP: Nanos = Nanos::from_millis(200);

/// What is not known beforehand of a packet in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct InOrderPacket {
    /// Nanoseconds since the packet before; less than [`MIN_JUMP`].
    pub after: u32,
    /// Identification of the IPv4 header; with 0 copies are not recognised by it.
    pub ip_id: u16,
    /// Payload bytes on the wire.
    pub payload_len: u16,
}

/// What the next packet is, if it is in order.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// Time of the packet before.
    pub at: Timestamp,
    pub seq: u16,
    pub timestamp: u32,
    /// Packet time in ticks.
    pub ticks: u32,
    /// `None` where the next packet cannot be in order.
    pub payload_type: Option<u8>,
    pub dscp: u8,
    /// Lowest and highest so far.
    pub ttl: [u8; 2],
}
