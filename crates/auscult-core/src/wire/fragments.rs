//! Reassembly of IP fragments, bounded in bytes, pieces and time.

use super::byte_reader::Span;
use super::layers::{Context, Ip};
use crate::model::Tunnel;
use crate::units::{Nanos, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// A datagram whose pieces did not all come within this time is given up (Linux `ipfrag_time`).
const TIMEOUT: Nanos = Nanos::from_secs(30);
/// A 64 KiB datagram over a path with an MTU of 576 has 119 pieces.
const MAX_PIECES: usize = 256;
/// What a piece costs beside its bytes.
const PIECE_OVERHEAD: usize = 128;
/// What a datagram costs beside its pieces: its entries in the tables, which grow by doubling.
const DATAGRAM_OVERHEAD: usize = 768;

/// What the pieces of one datagram have in common. Tunnel and VLAN are part of it: the same packet is often captured
/// on both sides of an encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FragmentKey {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub id: u32,
    pub protocol: u8,
    pub vlan: u16,
    pub tunnel: Option<Tunnel>,
}

/// One fragment as found in a frame, and what is needed to go on when the datagram is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub key: FragmentKey,
    pub context: Context,
    pub ip: Ip,
    /// Offset of the payload in the datagram.
    pub at: usize,
    pub more: bool,
    pub payload: Span<'a>,
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Kept, or the repetition of one that is kept.
    Pending,
    /// The last missing one: bytes up to the first hole in the capture, and the length on the wire.
    Whole { bytes: Vec<u8>, wire: usize },
    /// It overlaps another one; the whole datagram is dropped (RFC 5722, RFC 1858).
    Overlap,
    /// More pieces than a datagram has, or more bytes than may be held at all.
    TooMany,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FragmentCounters {
    pub reassembled: u64,
    pub overlapping: u64,
    pub expired: u64,
    pub evicted: u64,
}

#[derive(Debug)]
pub(super) struct Fragments {
    limit: usize,
    held: usize,
    serial: u64,
    waiting: HashMap<FragmentKey, Partial>,
    by_age: BTreeMap<(Timestamp, u64), FragmentKey>,
    pub counters: FragmentCounters,
}

#[derive(Debug)]
struct Partial {
    age: (Timestamp, u64),
    /// In order of offset, never overlapping.
    pieces: Vec<Piece>,
    /// Bytes of the datagram that they cover.
    covered: usize,
    /// Length of the datagram, once its last piece came.
    total: Option<usize>,
    cost: usize,
}

#[derive(Debug)]
struct Piece {
    at: usize,
    wire: usize,
    bytes: Vec<u8>,
}

impl Fragments {
    pub fn new(limit: usize) -> Self {
        Fragments {
            limit,
            held: 0,
            serial: 0,
            waiting: HashMap::new(),
            by_age: BTreeMap::new(),
            counters: FragmentCounters::default(),
        }
    }

    pub fn add(&mut self, now: Timestamp, fragment: &Fragment<'_>) -> Added {
        self.expire(now);
        let key = fragment.key;
        let first = if self.waiting.contains_key(&key) { 0 } else { DATAGRAM_OVERHEAD };
        let cost = fragment.payload.bytes.len() + PIECE_OVERHEAD + first;
        if cost > self.limit {
            return Added::TooMany;
        }
        while self.held + cost > self.limit {
            // the oldest may be this very datagram: then it starts anew with this piece and never becomes whole
            if !self.drop_oldest() {
                break;
            }
            self.counters.evicted += 1;
        }
        let serial = &mut self.serial;
        let by_age = &mut self.by_age;
        let partial = self.waiting.entry(key).or_insert_with(|| {
            *serial += 1;
            let age = (now, *serial);
            by_age.insert(age, key);
            Partial { age, pieces: Vec::new(), covered: 0, total: None, cost: 0 }
        });
        match partial.insert(fragment) {
            Inserted::Repeated => Added::Pending,
            Inserted::Overlap => {
                self.remove(&key);
                self.counters.overlapping += 1;
                Added::Overlap
            }
            Inserted::TooMany => {
                self.remove(&key);
                self.counters.evicted += 1;
                Added::TooMany
            }
            Inserted::New => {
                partial.cost += cost;
                self.held += cost;
                let Some(wire) = partial.complete() else { return Added::Pending };
                self.counters.reassembled += 1;
                let bytes = self.remove(&key).map(Partial::assemble).unwrap_or_default();
                Added::Whole { bytes, wire }
            }
        }
    }

    /// Gives up datagrams older than [`TIMEOUT`].
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((&(started, _), _)) = self.by_age.first_key_value() {
            if now - started <= TIMEOUT {
                break;
            }
            self.drop_oldest();
            self.counters.expired += 1;
        }
    }

    /// Bytes held, with overhead.
    pub fn buffered_bytes(&self) -> usize {
        self.held
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, key)) = self.by_age.pop_first() else { return false };
        self.remove(&key);
        true
    }

    fn remove(&mut self, key: &FragmentKey) -> Option<Partial> {
        let partial = self.waiting.remove(key)?;
        self.by_age.remove(&partial.age);
        self.held -= partial.cost;
        Some(partial)
    }
}

enum Inserted {
    New,
    Repeated,
    Overlap,
    TooMany,
}

impl Partial {
    fn insert(&mut self, fragment: &Fragment<'_>) -> Inserted {
        let (at, wire) = (fragment.at, fragment.payload.wire);
        let end = at + wire;
        let index = self.pieces.partition_point(|p| p.at < at);
        if let Some(same) = self.pieces.get(index)
            && same.at == at
        {
            let repeated = same.wire == wire && same.bytes == fragment.payload.bytes;
            return if repeated { Inserted::Repeated } else { Inserted::Overlap };
        }
        let before_ends = index.checked_sub(1).and_then(|i| self.pieces.get(i)).map_or(0, |p| p.at + p.wire);
        let after_starts = self.pieces.get(index).map_or(usize::MAX, |p| p.at);
        let total = if fragment.more { self.total } else { Some(end) };
        let beyond = total.is_some_and(|t| end > t || self.pieces.last().is_some_and(|p| p.at + p.wire > t));
        let two_ends = !fragment.more && self.total.is_some();
        if before_ends > at || end > after_starts || beyond || two_ends {
            return Inserted::Overlap;
        }
        if self.pieces.len() >= MAX_PIECES {
            return Inserted::TooMany;
        }
        self.total = total;
        self.covered += wire;
        self.pieces.insert(index, Piece { at, wire, bytes: fragment.payload.bytes.to_vec() });
        Inserted::New
    }

    /// Length of the datagram when nothing is missing. Pieces never overlap, so the sum of their lengths shows it.
    fn complete(&self) -> Option<usize> {
        self.total.filter(|total| self.covered == *total)
    }

    fn assemble(self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.pieces.iter().map(|p| p.bytes.len()).sum());
        for piece in self.pieces {
            whole.extend_from_slice(&piece.bytes);
            if piece.bytes.len() < piece.wire {
                break;
            }
        }
        whole
    }
}
