//! The engine's events added up by group: what many streams and calls did during one interval.
//!
//! A pure fold. [`Groups::event`] takes every event in the order of the engine, [`Groups::close_before`] states the groups of intervals
//! that are over. Rows of one group add up, so an event that is known late, and a table that is full, cost another row and change
//! no sum.

mod calls;
mod media;

use crate::model::{CallGroup, Event, GroupPart, GroupTrunk, Limits, MediaGroup, Policy, TrunkMatch};
use crate::units::{Nanos, Timestamp};
use calls::Calls;
use media::Media;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A finished sum.
#[derive(Clone, Debug, PartialEq)]
pub enum Group {
    Media(Box<MediaGroup>),
    Calls(Box<CallGroup>),
}

/// Sums of the intervals that are open, and what it takes to count streams and calls once.
#[derive(Debug)]
pub struct Groups {
    interval: Nanos,
    interval_end: Timestamp,
    part: GroupPart,
    begun: bool,
    trunks: BTreeSet<Arc<str>>,
    media: Media,
    calls: Calls,
    /// Groups held at most before they are stated early.
    held: usize,
}

impl Groups {
    pub fn new(limits: &Limits, policy: &Policy) -> Groups {
        Groups {
            interval: policy.interval,
            interval_end: Timestamp::MAX,
            part: GroupPart::default(),
            begun: false,
            trunks: BTreeSet::new(),
            media: Media::new(limits.groups),
            calls: Calls::new(policy.interval),
            held: limits.groups.max(1),
        }
    }

    /// Takes in an event; `trunk` is that of its stream or call. Groups are stated early when more are open than may be held.
    pub fn event(&mut self, event: &Event, trunk: TrunkMatch<'_>, out: &mut dyn FnMut(Group)) {
        match event {
            Event::Interval(interval) => {
                self.begin(interval.start);
                let trunk = self.trunk(trunk);
                self.media.interval(interval, trunk);
            }
            Event::StreamEnded(stream) => self.media.ended(stream.id),
            Event::CallChanged(call) => {
                self.begin(call.first_at);
                let trunk = self.trunk(trunk);
                self.calls.changed(call, trunk);
            }
            Event::CallEnded(call) => {
                self.begin(call.first_at);
                let trunk = self.trunk(trunk);
                self.calls.ended(call, trunk);
            }
            Event::StreamStarted(_) | Event::SipMessage(_) | Event::Rtcp(_) | Event::Capture(_) => {}
        }
        if self.media.open() + self.calls.open() > self.held {
            self.state(Timestamp::MAX, out);
        }
    }

    /// Says when the present interval ends (the engine's `interval_end`): when that has changed, the groups of
    /// those before it are stated. To be called after every frame and tick.
    #[inline]
    pub fn close_before(&mut self, interval_end: Timestamp, out: &mut dyn FnMut(Group)) {
        if interval_end != self.interval_end {
            self.interval_end = interval_end;
            let until = interval_end - self.interval;
            self.calls.up_until(until);
            self.state(until, out);
        }
    }

    /// States all groups: measuring is over.
    pub fn finish(&mut self, out: &mut dyn FnMut(Group)) {
        self.state(Timestamp::MAX, out);
    }

    /// Names of trunks mean something else from now on: a stream that goes on is new to its trunk.
    pub fn relabelled(&mut self) {
        self.media.forget();
        self.trunks.clear();
    }

    /// Intervals of streams that were counted in a group named `other`.
    pub fn in_other(&self) -> u64 {
        self.media.in_other()
    }

    fn begin(&mut self, at: Timestamp) {
        if !self.begun {
            self.begun = true;
            self.part.since = at;
        }
    }

    /// The trunk as groups hold it: each name once.
    fn trunk(&mut self, trunk: TrunkMatch<'_>) -> GroupTrunk {
        let name = match self.trunks.get(trunk.name) {
            Some(name) => name.clone(),
            None => {
                let name: Arc<str> = trunk.name.into();
                self.trunks.insert(name.clone());
                name
            }
        };
        GroupTrunk { name, direction: trunk.direction }
    }

    fn state(&mut self, until: Timestamp, out: &mut dyn FnMut(Group)) {
        let (part, length) = (&mut self.part, self.interval);
        let mut next = || {
            let now = *part;
            part.number += 1;
            now
        };
        self.calls.take(until, &mut |(start, trunk), figures| {
            out(Group::Calls(Box::new(CallGroup { start, length, trunk, part: next(), figures })));
        });
        self.media.take(until, &mut |key, figures| {
            out(Group::Media(Box::new(MediaGroup {
                start: key.start,
                length,
                trunk: key.trunk,
                codec: key.codec,
                mos_scale: key.mos_scale,
                part: next(),
                figures,
            })));
        });
    }
}

/// Start of the interval a time lies in, on the UTC grid.
fn start_of(at: Timestamp, interval: Nanos) -> Timestamp {
    Timestamp(at.0 - at.0.rem_euclid(interval.0))
}
