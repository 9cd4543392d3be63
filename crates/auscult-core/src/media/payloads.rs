//! The payload types of one stream: what they carry, by SDP, by RFC 3551, or by their looks.

use super::sample::Parked;
use crate::model::{ClockSource, CodecId, JitterStat, PayloadKind, PayloadMap};
use crate::units::{ClockRate, PayloadType};
use crate::wire::sdp::static_payload;
use std::sync::{Arc, LazyLock};

/// Payload types distinguished per stream; packets of further ones count as media of the present type.
const MAX_PAYLOADS: usize = 12;
/// Length of an RFC 4733 event payload.
const EVENT_LEN: u16 = 4;

#[derive(Clone, Debug)]
pub struct Payload {
    pub payload_type: PayloadType,
    pub kind: PayloadKind,
    pub codec: CodecId,
    pub clock: Option<ClockRate>,
    pub clock_source: Option<ClockSource>,
    /// What signalling or RFC 3551 says, where the wire refuted it.
    pub clock_signalled: Option<ClockRate>,
    pub packets: u64,
    pub jitter: JitterStat,
    pub parked: Parked,
}

/// Never empty. What every packet needs of the current type stands beside the list, so that the list is only
/// looked into when the type changes.
#[derive(Clone, Debug)]
pub struct Payloads {
    current_type: u8,
    current_sampled: bool,
    current: u16,
    /// Packets of the current type that its entry does not count yet.
    uncounted: u32,
    all: Vec<Payload>,
    /// What an offer or answer said.
    known: Option<Arc<[PayloadMap]>>,
}

impl Payloads {
    pub fn new(payload_type: u8, payload_len: u16, known: Option<Arc<[PayloadMap]>>) -> Payloads {
        let first = Payload::guess(payload_type, payload_len, known.as_deref().unwrap_or_default());
        Payloads {
            current_type: payload_type,
            current_sampled: first.is_sampled(),
            current: 0,
            uncounted: 0,
            all: vec![first],
            known,
        }
    }

    pub fn current(&self) -> &Payload {
        &self.all[usize::from(self.current)]
    }

    pub fn current_mut(&mut self) -> &mut Payload {
        &mut self.all[usize::from(self.current)]
    }

    #[inline]
    pub fn is_current(&self, payload_type: u8) -> bool {
        self.current_type == payload_type
    }

    /// Whether the current type carries samples on a clock.
    #[inline]
    pub fn current_is_sampled(&self) -> bool {
        self.current_sampled
    }

    pub fn at(&self, index: usize) -> &Payload {
        &self.all[index]
    }

    #[inline]
    pub fn count_current(&mut self, packets: u32) {
        self.uncounted += packets;
        if self.uncounted >= u32::MAX / 2 {
            self.flush_count();
        }
    }

    pub fn switch(&mut self, index: usize) {
        self.flush_count();
        self.current = index as u16;
        self.note_current();
    }

    fn flush_count(&mut self) {
        let count = std::mem::take(&mut self.uncounted);
        self.current_mut().packets += u64::from(count);
    }

    fn note_current(&mut self) {
        self.current_type = self.current().payload_type.0;
        self.current_sampled = self.current().is_sampled();
    }

    /// Packets of an entry, those not settled among them.
    fn packets(&self, index: usize) -> u64 {
        let open = if index == usize::from(self.current) { u64::from(self.uncounted) } else { 0 };
        self.all[index].packets + open
    }

    /// Counts a packet of a type that is not the current one and returns its place; `None` when there are too many.
    pub fn enter(&mut self, payload_type: u8, payload_len: u16) -> Option<usize> {
        let index = match self.all.iter().position(|p| p.payload_type.0 == payload_type) {
            Some(index) => index,
            None if self.all.len() < MAX_PAYLOADS => {
                self.all.reserve_exact(1);
                self.all.push(Payload::guess(payload_type, payload_len, self.known.as_deref().unwrap_or_default()));
                self.all.len() - 1
            }
            None => return None,
        };
        self.all[index].packets += 1;
        Some(index)
    }

    pub fn kind_of(&self, payload_type: u8) -> PayloadKind {
        self.all.iter().find(|p| p.payload_type.0 == payload_type).map_or(PayloadKind::Other, |p| p.kind)
    }

    /// What an offer or answer says overrides everything else; a type already measured keeps its inferred rate only
    /// if the description does not name it.
    pub fn apply(&mut self, maps: &Arc<[PayloadMap]>) {
        self.known = Some(Arc::clone(maps));
        for payload in &mut self.all {
            if let Some(map) = maps.iter().find(|m| m.payload_type == payload.payload_type) {
                payload.kind = map.kind;
                payload.codec = map.codec.clone();
                // What the wire refuted is not believed for being said again.
                if payload.clock_source != Some(ClockSource::Wire) || payload.clock_signalled != Some(map.clock) {
                    payload.clock = Some(map.clock);
                    payload.clock_source = Some(ClockSource::Sdp);
                    payload.clock_signalled = None;
                }
            }
        }
        self.note_current();
    }

    /// Timestamps and arrivals show this clock rate for the present type.
    pub fn adopt_clock(&mut self, clock: ClockRate) {
        let payload = self.current_mut();
        match payload.clock_source {
            None | Some(ClockSource::Inferred) => payload.clock_source = Some(ClockSource::Inferred),
            Some(ClockSource::Wire) if payload.clock_signalled == Some(clock) => {
                (payload.clock_source, payload.clock_signalled) = (Some(ClockSource::Sdp), None);
            }
            Some(ClockSource::Wire) => {}
            Some(ClockSource::Sdp | ClockSource::Static) => {
                payload.clock_signalled = payload.clock;
                payload.clock_source = Some(ClockSource::Wire);
            }
        }
        payload.clock = Some(clock);
    }

    /// A type that was taken for telephone events by the length of its first packet carries something else.
    pub fn is_no_event(&mut self, payload_type: u8, payload_len: u16) -> bool {
        if payload_len.is_multiple_of(EVENT_LEN) && payload_len <= 3 * EVENT_LEN {
            return false;
        }
        let known = self.known.iter().flat_map(|maps| maps.iter()).any(|m| m.payload_type.0 == payload_type);
        let Some(payload) = self.all.iter_mut().find(|p| p.payload_type.0 == payload_type && !known) else {
            return false;
        };
        (payload.kind, payload.codec) = (PayloadKind::Other, named(""));
        self.note_current();
        true
    }

    /// The type with most packets among those that carry sound or video; else with most packets.
    pub fn main(&self) -> &Payload {
        let media = Payload::is_sampled;
        let rank = |index: &usize| (self.packets(*index), std::cmp::Reverse(self.all[*index].payload_type));
        let index = (0..self.all.len())
            .filter(|index| media(&self.all[*index]))
            .max_by_key(rank)
            .or_else(|| (0..self.all.len()).max_by_key(rank));
        index.map_or(self.current(), |index| &self.all[index])
    }

    /// Types with their packets, most frequent first.
    pub fn counts(&self) -> Vec<(PayloadType, u64)> {
        let mut counts: Vec<_> = self.all.iter().enumerate().map(|(i, p)| (p.payload_type, self.packets(i))).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        counts
    }
}

impl Payload {
    /// Carries samples on a clock: what jitter is measured on.
    pub fn is_sampled(&self) -> bool {
        matches!(self.kind, PayloadKind::Audio | PayloadKind::Video | PayloadKind::Other)
    }

    fn guess(payload_type: u8, payload_len: u16, known: &[PayloadMap]) -> Payload {
        let payload_type = PayloadType(payload_type);
        let with = |kind, codec: CodecId, clock, clock_source| Payload {
            payload_type,
            kind,
            codec,
            clock,
            clock_source,
            clock_signalled: None,
            packets: 0,
            jitter: JitterStat::default(),
            parked: Parked::default(),
        };
        if let Some(map) = known.iter().find(|m| m.payload_type == payload_type) {
            return with(map.kind, map.codec.clone(), Some(map.clock), Some(ClockSource::Sdp));
        }
        if let Some((name, clock)) = static_payload(payload_type) {
            let kind = match name {
                "CN" => PayloadKind::ComfortNoise,
                "CelB" | "JPEG" | "nv" | "H261" | "MPV" | "MP2T" | "H263" => PayloadKind::Video,
                _ => PayloadKind::Audio,
            };
            return with(kind, named(name), Some(clock), Some(ClockSource::Static));
        }
        if payload_type.0 >= 96 && payload_len == EVENT_LEN {
            return with(PayloadKind::TelephoneEvent, named("telephone-event"), None, None);
        }
        with(PayloadKind::Other, named(""), None, None)
    }
}

/// Names that go without saying, shared by all streams.
fn named(name: &'static str) -> CodecId {
    static NAMES: LazyLock<Vec<CodecId>> = LazyLock::new(|| {
        let assigned = (0..128).filter_map(|payload_type| Some(static_payload(PayloadType(payload_type))?.0));
        assigned.chain(["telephone-event", ""]).map(CodecId::from).collect()
    });
    NAMES.iter().find(|known| known.as_ref() == name).cloned().unwrap_or_else(|| name.into())
}
