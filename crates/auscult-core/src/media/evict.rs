//! Which streams go when the table of streams is full, in the order of `docs/operations.md`.

use super::stream::Stream;
use crate::model::StreamId;
use crate::units::{Nanos, Timestamp};

/// A stream silent for this long may go. RFC 6263 section 6 asks a sender with nothing to say for a keep-alive every 15 s:
/// one that is silent for longer has most likely left.
const IDLE: Nanos = Nanos::from_secs(20);

/// A stream by what it is chosen by: its last packet, or its first.
type Entry = (Timestamp, StreamId, u32);

/// Streams without signalling, looked up when the table was full for the first time in an interval, so that a flood
/// does not have it looked through for every packet. Entries may be out of date: whoever takes one looks again.
#[derive(Debug, Default)]
pub struct EvictionIndex {
    looked: bool,
    /// Idle then, the longest silent last.
    idle: Vec<Entry>,
    /// All of them, the youngest last, with those that began since.
    young: Vec<Entry>,
}

impl EvictionIndex {
    pub fn has_looked(&self) -> bool {
        self.looked
    }

    /// Looks through the streams, once until it is made anew.
    pub fn look<'a>(&mut self, now: Timestamp, streams: impl Iterator<Item = (u32, &'a Stream)>) {
        if std::mem::replace(&mut self.looked, true) {
            return;
        }
        for (slot, stream) in streams.filter(|(_, stream)| !stream.signalled) {
            self.young.push((stream.first_at, stream.id, slot));
            if now - stream.last_at >= IDLE {
                self.idle.push((stream.last_at, stream.id, slot));
            }
        }
        self.young.sort_unstable();
        self.idle.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// A stream without signalling began.
    pub fn joined(&mut self, first_at: Timestamp, id: StreamId, slot: u32) {
        if self.looked {
            let entry = (first_at, id, slot);
            let at = self.young.partition_point(|other| *other < entry);
            self.young.insert(at, entry);
        }
    }

    /// The longest idle stream of those that `stands` says are as they were.
    pub fn idlest(&mut self, stands: impl Fn(Timestamp, u32, StreamId) -> bool) -> Option<u32> {
        std::iter::from_fn(|| self.idle.pop()).find(|(at, id, slot)| stands(*at, *slot, *id)).map(|(.., slot)| slot)
    }

    /// The stream that began last, of those that `stands` says are there.
    pub fn youngest(&mut self, stands: impl Fn(u32, StreamId) -> bool) -> Option<u32> {
        std::iter::from_fn(|| self.young.pop()).find(|(_, id, slot)| stands(*slot, *id)).map(|(.., slot)| slot)
    }
}
