//! What `analyze` keeps of a capture until it is read: calls, and streams that are over, packed to about 350 bytes each.
//! A capture of a day has millions.

use auscult_core::engine::Sink;
use auscult_core::model::{CallRecord, CaptureCondition, CodecId, Event, StreamId, StreamReport, Tunnel};
use auscult_core::units::Timestamp;
use std::collections::HashMap;

#[derive(Default)]
pub struct AnalysisResults {
    pub(super) calls: CallList,
    pub(super) streams: Streams,
    pub(super) condition: CaptureCondition,
}

/// Boxed: they come so, and a list of a kilobyte each would be copied as it grows.
pub type CallList = Vec<Box<CallRecord>>;

impl Sink for AnalysisResults {
    fn push(&mut self, event: Event) {
        match event {
            Event::CallEnded(call) => self.calls.push(call),
            Event::StreamEnded(stream) => self.streams.push(*stream),
            Event::Capture(interval) => self.condition.merge(&interval.condition),
            _ => {}
        }
    }
}

/// Reports in a list that can be read as often as one likes; each is unpacked when its turn comes.
#[derive(Default)]
pub struct Streams {
    packed: Vec<Packed>,
    names: Vec<Names>,
    known: HashMap<Names, u32>,
}

/// When a stream began and which of [`Streams::names`] are its own, then its report. The list is to stay small: it grows
/// while the engine still holds all streams that are not over.
struct Packed(Box<[u8]>);

/// What the packed form of a report leaves out.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Names {
    codec: CodecId,
    tunnel: Option<Tunnel>,
}

impl Streams {
    pub fn push(&mut self, report: StreamReport) {
        let names = Names::of(&report);
        let number = match self.known.get(&names) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                self.names.push(names.clone());
                self.known.insert(names, number);
                number
            }
        };
        let packed = postcard::to_allocvec(&(report.first_at, number, report)).expect("a report has a packed form");
        self.packed.push(Packed(packed.into_boxed_slice()));
    }

    /// By time and identity.
    pub fn sort(&mut self) {
        let Streams { packed, names, .. } = self;
        packed.sort_by_cached_key(Packed::first_at);
        for together in packed.chunk_by_mut(|a, b| a.first_at() == b.first_at()).filter(|run| run.len() > 1) {
            together.sort_by_cached_key(|p| {
                let report = p.unpack(names);
                (report.src, report.dst, report.ssrc, report.id)
            });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    /// The report at a place below [`Streams::len`].
    pub fn at(&self, place: usize) -> StreamReport {
        self.packed[place].unpack(&self.names)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = StreamReport> + Clone {
        self.packed.iter().map(|p| p.unpack(&self.names))
    }

    /// Identities with their places, ordered.
    pub fn places(&self) -> Vec<(StreamId, usize)> {
        let mut places: Vec<_> = self.iter().enumerate().map(|(place, report)| (report.id, place)).collect();
        places.sort_unstable();
        places
    }
}

impl Packed {
    fn first_at(&self) -> Timestamp {
        postcard::take_from_bytes(&self.0).expect("it was packed here").0
    }

    fn unpack(&self, names: &[Names]) -> StreamReport {
        let (_, number, mut report): (Timestamp, u32, StreamReport) =
            postcard::from_bytes(&self.0).expect("it was packed here");
        names[number as usize].give(&mut report);
        report
    }
}

impl Names {
    fn of(report: &StreamReport) -> Names {
        Names { codec: report.codec.clone(), tunnel: report.tunnel }
    }

    fn give(&self, report: &mut StreamReport) {
        report.codec = self.codec.clone();
        report.tunnel = self.tunnel;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_capture::Timeline;
    use auscult_core::engine::{Engine, With};
    use auscult_core::model::{
        CodecStatus, DelaySource, JitterBufferKind, Limits, LossEvidence, LossSide, NullReason, Policy, RPoints,
        Relation, RelationKind, RemoteView, Scale,
    };
    use auscult_core::units::Nanos;

    fn of_sample(name: &str) -> Vec<StreamReport> {
        let mut timeline = Timeline::open(&[format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))]).unwrap();
        let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
        let mut found = Vec::new();
        let mut out = With(|event| {
            if let Event::StreamEnded(report) = event {
                found.push(*report);
            }
        });
        while let Some(frame) = timeline.next_frame().unwrap() {
            engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut out);
        }
        engine.finish(&mut out);
        found
    }

    #[test]
    fn a_report_comes_out_as_it_went_in() {
        let mut reports = of_sample("01-healthy-office.pcap.gz");
        assert!(reports.len() >= 2);
        let every = &mut reports[0];
        (every.tunnel, every.quality.loss_evidence) = (Some(Tunnel::Gre), Some(LossEvidence::ReceiverLostThem));
        let mos = &mut every.mos;
        (mos.scale, mos.codec_status) = (Some(Scale::Fb), Some(CodecStatus::Estimate));
        (mos.delay_source, mos.null_reason) = (Some(DelaySource::Assumed), Some(NullReason::NotAudio));
        mos.jitter_buffer = Some(JitterBufferKind::Fixed);
        (mos.bounds, mos.budget) = (Some((1.5, 2.5)), Some(RPoints { late: 3.0, ..RPoints::default() }));
        every.remote = Some(RemoteView {
            reports: 3,
            expected: 100,
            lost: -2,
            loss_pct: 0.5,
            jitter_last: None,
            jitter_max: Some(Nanos(7)),
            lost_before_probe: 1,
            lost_behind_probe: -3,
            side: LossSide::Both,
        });
        let other = every.id;
        every.relation = Some(Relation { kind: RelationKind::MovedFrom, other, lost_at_move: Some(9) });
        every.call_id = "né@example.com".into();
        let mut streams = Streams::default();
        reports.iter().cloned().for_each(|r| streams.push(r));
        assert_eq!(streams.iter().collect::<Vec<_>>(), reports);
        assert!(streams.packed.iter().all(|p| p.0.len() < 500), "{}", streams.packed[1].0.len());
    }

    #[test]
    fn streams_that_began_together_are_ordered_by_their_addresses() {
        let [mut a, mut b] = [0, 1].map(|n| of_sample("01-healthy-office.pcap.gz").swap_remove(n));
        let addresses = ["198.51.100.9:4000", "198.51.100.10:4000"].map(|a| a.parse().unwrap());
        (a.src, b.src, a.first_at) = (addresses[1], addresses[0], b.first_at);
        let mut streams = Streams::default();
        let mut later = a.clone();
        later.first_at = later.first_at + Nanos(1);
        [later.clone(), a.clone(), b.clone()].into_iter().for_each(|r| streams.push(r));
        streams.sort();
        assert_eq!(streams.iter().collect::<Vec<_>>(), [b, a, later]);
        let places = streams.places();
        assert_eq!(places.iter().map(|(_, place)| *place).max(), Some(2));
        assert!(places.iter().all(|(id, place)| streams.at(*place).id == *id));
    }
}
