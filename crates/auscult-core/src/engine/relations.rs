//! What one stream is to another: moved, relayed, forked, or the same sender under a new SSRC.
//!
//! Judged once, when a stream is recognised, by where it and the others stand at that packet; so neither the number of
//! shards nor the batches of packets change it. Rules: docs/metrics.md, "One stream or two".

use crate::media::{FlowKey, SequencePosition};
use crate::model::{Relation, RelationKind, StreamId};
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::HashMap;
use std::cmp::Reverse;

/// Streams of one SSRC, and between two addresses, that a new one is compared with: the latest.
pub const COMPARED: usize = 64;
/// A jump of more is a new start of the sender (MAX_DROPOUT of RFC 3550 A.1).
const MAX_STEP: i16 = 3000;
/// Numbers that two legs of the same packets may be apart: a second of 20 ms packets.
const LEG_LAG: u16 = 50;
/// Time that they may be apart.
const LEG_DELAY: Nanos = Nanos::from_secs(1);
/// The old stream's last packet may come this long after the first of the new one, out of order: one packet time.
const SEAM: Nanos = Nanos::from_millis(20);
/// A stream heard this long after the first packet of the new one goes on beside it.
const BESIDE: Nanos = Nanos::from_millis(200);
/// A pause before a new SSRC; after a longer one it is the next call on the same ports, unless it is known to be the same.
const SSRC_PAUSE: Nanos = Nanos::from_secs(2);

/// A stream as it stands.
#[derive(Clone, Copy, Debug)]
pub struct RelatedStream {
    pub id: StreamId,
    pub key: FlowKey,
    pub at: SequencePosition,
    /// Both are known to be of one call.
    pub same_call: bool,
}

pub struct Relations {
    stream_timeout: Nanos,
    held: HashMap<StreamId, (Relation, Timestamp), Seeded>,
    /// By the stream before it, a stream that goes on under another SSRC.
    successors: HashMap<StreamId, StreamId, Seeded>,
    counts: [u64; RelationKind::ALL.len()],
}

impl Relations {
    pub fn new(stream_timeout: Nanos, hasher: Seeded) -> Relations {
        Relations {
            stream_timeout,
            held: HashMap::with_hasher(hasher.clone()),
            successors: HashMap::with_hasher(hasher),
            counts: Default::default(),
        }
    }

    /// A stream was recognised. `others` are those of its SSRC and those between its addresses.
    pub fn started(&mut self, new: &RelatedStream, others: &[RelatedStream]) -> Option<Relation> {
        let same_ssrc = || others.iter().filter(|o| o.key.ssrc == new.key.ssrc);
        let nearest = |o: &&RelatedStream| (lag(new, o), o.at.first_at, o.key);
        let of = |kind, other: &RelatedStream| Relation { kind, other: other.id, lost_at_move: None };
        let fork = same_ssrc().filter(|o| is_fork(new, o)).min_by_key(nearest);
        let relay = same_ssrc().filter(|o| is_leg_after(new, o)).min_by_key(nearest);
        let relation = fork
            .map(|o| of(RelationKind::ForkOf, o))
            .or_else(|| self.moved(new, same_ssrc()))
            .or_else(|| relay.map(|o| of(RelationKind::RelayOf, o)))
            .or_else(|| self.ssrc_changed(new, others));
        if let Some(relation) = relation {
            self.remember(new.id, new.at.first_at, relation);
        }
        if fork.is_none() && relay.is_none() {
            // The relay's own leg may have been recognised first.
            for later in same_ssrc().filter(|o| is_leg_after(o, new)) {
                if !self.held.contains_key(&later.id) {
                    self.remember(later.id, later.at.first_at, of(RelationKind::RelayOf, new));
                }
            }
        }
        relation
    }

    /// A stream's latest packet: when it goes on beside the one that seemed to follow it, that one did not.
    pub fn heard(&mut self, id: StreamId, last_at: Timestamp) {
        if let Some(next) = self.successors.get(&id).copied()
            && self.held.get(&next).is_some_and(|(_, first_at)| last_at > *first_at + BESIDE)
        {
            self.held.remove(&next);
            self.successors.remove(&id);
        }
    }

    /// A stream is over; what it was to another one.
    pub fn ended(&mut self, id: StreamId) -> Option<Relation> {
        self.successors.remove(&id);
        let (relation, _) = self.held.remove(&id)?;
        if self.successors.get(&relation.other) == Some(&id) {
            self.successors.remove(&relation.other);
        }
        self.counts[relation.kind as usize] += 1;
        Some(relation)
    }

    /// Ended streams that were something to another one, by kind.
    pub fn counts(&self) -> impl Iterator<Item = (RelationKind, u64)> {
        RelationKind::ALL.into_iter().zip(self.counts)
    }

    fn remember(&mut self, id: StreamId, first_at: Timestamp, relation: Relation) {
        if relation.kind == RelationKind::SsrcChangedFrom {
            self.successors.insert(relation.other, id);
        }
        self.held.insert(id, (relation, first_at));
    }

    /// One end changed its address and the numbers go on where the other stream fell silent.
    fn moved<'a>(&self, new: &RelatedStream, others: impl Iterator<Item = &'a RelatedStream>) -> Option<Relation> {
        others
            .filter(|o| (o.key.src() == new.key.src()) != (o.key.dst() == new.key.dst()))
            .filter(|o| falls_silent(new, o, self.stream_timeout))
            .map(|o| (step(new, o), Reverse(o.at.last_at), o.key, o.id))
            .filter(|(step, ..)| (1..=MAX_STEP).contains(step))
            .min()
            .map(|(step, .., other)| Relation {
                kind: RelationKind::MovedFrom,
                other,
                lost_at_move: Some(u32::from(step.unsigned_abs()) - 1),
            })
    }

    fn ssrc_changed(&self, new: &RelatedStream, others: &[RelatedStream]) -> Option<Relation> {
        others
            .iter()
            .filter(|o| o.key.ssrc != new.key.ssrc && o.key.src() == new.key.src() && o.key.dst() == new.key.dst())
            .filter(|o| falls_silent(new, o, if o.same_call { self.stream_timeout } else { SSRC_PAUSE }))
            .filter(|o| !self.successors.contains_key(&o.id))
            .max_by_key(|o| (o.at.payload_type == new.at.payload_type, o.at.last_at, o.key))
            .map(|o| Relation { kind: RelationKind::SsrcChangedFrom, other: o.id, lost_at_move: None })
    }
}

/// The other stream was there before and stops where the new one begins, or less than `pause` before.
fn falls_silent(new: &RelatedStream, other: &RelatedStream, pause: Nanos) -> bool {
    let before = new.at.first_at - other.at.last_at;
    other.at.first_at <= new.at.first_at && (Nanos(-SEAM.0)..pause).contains(&before)
}

/// From the last number of the other stream to the first of the new one.
fn step(new: &RelatedStream, other: &RelatedStream) -> i16 {
    new.at.lowest.wrapping_sub(other.at.highest).cast_signed()
}

fn lag(a: &RelatedStream, b: &RelatedStream) -> u16 {
    a.at.highest.wrapping_sub(b.at.highest).cast_signed().unsigned_abs()
}

/// Both carry the same numbers at the same time.
fn goes_along(a: &RelatedStream, b: &RelatedStream) -> bool {
    let shared = |a: &RelatedStream, b: &RelatedStream| b.at.highest.wrapping_sub(a.at.lowest).cast_signed() >= 0;
    let apart = (a.at.last_at - b.at.last_at).abs();
    shared(a, b) && shared(b, a) && lag(a, b) <= LEG_LAG && apart <= LEG_DELAY
}

fn is_fork(new: &RelatedStream, other: &RelatedStream) -> bool {
    new.key.src() == other.key.src() && goes_along(new, other)
}

/// Sent on by the host that received the other stream, and not back to its sender.
fn is_leg_after(new: &RelatedStream, other: &RelatedStream) -> bool {
    new.key.src_ip == other.key.dst_ip && new.key.dst() != other.key.src() && goes_along(new, other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Endpoint;
    use crate::units::PayloadType;

    const MS: i64 = 1_000_000;

    fn relations() -> Relations {
        Relations::new(Nanos::from_secs(30), Seeded::new(1))
    }

    /// An SSRC between two addresses.
    fn flow(ssrc: u32, src: Endpoint, dst: Endpoint) -> FlowKey {
        FlowKey { src_ip: src.ip, dst_ip: dst.ip, src_port: src.port, dst_port: dst.port, ssrc }
    }

    /// A stream with its first and last number and times in milliseconds.
    fn related(id: u64, key: FlowKey, seq: (u16, u16), ms: (i64, i64)) -> RelatedStream {
        let at = SequencePosition {
            first_at: Timestamp(ms.0 * MS),
            last_at: Timestamp(ms.1 * MS),
            lowest: seq.0,
            highest: seq.1,
            payload_type: PayloadType(0),
        };
        RelatedStream { id: StreamId(id), key, at, same_call: false }
    }

    const A: Endpoint = Endpoint { ip: 1, port: 4000 };
    const A2: Endpoint = Endpoint { ip: 1, port: 4002 };
    const B: Endpoint = Endpoint { ip: 2, port: 5000 };
    const R: Endpoint = Endpoint { ip: 9, port: 6000 };
    const R2: Endpoint = Endpoint { ip: 9, port: 6002 };

    #[test]
    fn numbers_go_on_from_another_port_across_the_wrap() {
        let old = related(1, flow(7, A, B), (60_000, 65_534), (0, 1_000));
        let moved = |seq, ms| relations().started(&related(2, flow(7, A2, B), seq, ms), &[old]);
        let lost = |r: Option<Relation>| r.filter(|r| r.kind == RelationKind::MovedFrom).and_then(|r| r.lost_at_move);
        assert_eq!(lost(moved((65_535, 2), (1_020, 1_080))), Some(0));
        assert_eq!(lost(moved((3, 6), (1_100, 1_160))), Some(4));
        assert_eq!(lost(moved((2_998, 3_001), (1_100, 1_160))), Some(2_999));
        assert_eq!(moved((2_999, 3_002), (1_100, 1_160)), None, "a jump of 3001");
        assert_eq!(moved((65_535, 2), (31_000, 31_060)), None, "timed out");
        assert_eq!(moved((65_535, 2), (700, 760)), None, "the old one went on beside it");
        let elsewhere = related(2, flow(7, A2, R), (65_535, 2), (1_020, 1_080));
        assert_eq!(relations().started(&elsewhere, &[old]), None, "both ends differ");
    }

    #[test]
    fn the_later_leg_is_the_relay_s_whichever_was_recognised_first() {
        let (to, from) = (related(1, flow(7, A, R), (10, 14), (0, 80)), related(2, flow(7, R2, B), (10, 13), (1, 61)));
        let relay = Relation { kind: RelationKind::RelayOf, other: to.id, lost_at_move: None };
        let mut r = relations();
        assert_eq!(r.started(&from, &[to]), Some(relay));
        assert_eq!((r.ended(from.id), r.ended(to.id)), (Some(relay), None));
        let mut r = relations();
        assert_eq!(r.started(&to, &[from]), None);
        assert_eq!((r.ended(to.id), r.ended(from.id)), (None, Some(relay)));
        let echo = related(3, flow(7, R, A), (10, 13), (1, 61));
        assert_eq!(relations().started(&echo, &[to]), None, "back to its sender");
        let other_numbers = related(4, flow(7, R2, B), (900, 903), (1, 61));
        assert_eq!(relations().started(&other_numbers, &[to]), None);
    }

    #[test]
    fn a_new_ssrc_counts_only_if_the_old_one_stays_silent() {
        let (audio, video) =
            (related(1, flow(7, A, B), (10, 60), (0, 1_000)), related(2, flow(8, A, B), (10, 60), (0, 1_010)));
        let new = related(3, flow(9, A, B), (500, 503), (1_020, 1_080));
        let mut r = relations();
        assert_eq!(r.started(&new, &[audio]).map(|r| r.other), Some(audio.id));
        r.heard(audio.id, Timestamp(1_220 * MS));
        assert_eq!(r.ended(new.id).map(|r| r.kind), Some(RelationKind::SsrcChangedFrom), "within the seam");
        let mut r = relations();
        r.started(&new, &[video]);
        r.heard(video.id, Timestamp(1_300 * MS));
        assert_eq!(r.ended(new.id), None);
        let later = related(4, flow(10, A, B), (700, 703), (15_000, 15_060));
        assert_eq!(relations().started(&later, &[audio]), None, "the next call");
        let of_call = RelatedStream { same_call: true, ..audio };
        assert_eq!(relations().started(&later, &[of_call]).map(|r| r.other), Some(audio.id), "a call that was on hold");
        assert_eq!(r.counts().map(|(_, n)| n).sum::<u64>(), 0);
        assert!(r.held.is_empty() && r.successors.is_empty());
    }
}
