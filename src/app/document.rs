//! The JSON document of `auscult analyze`. Its schema is `schemas/analyze.schema.json`; calls and streams have the types of the API.
//!
//! The JSON of a call or stream is made when it is written, and dropped after it.

use super::analysis_results::{AnalysisResults, CallList, Streams};
use auscult_api::{CallJson, StreamJson};
use auscult_core::model::{CallClass, CaptureCondition, OutcomeCounts, StreamId};
use auscult_core::units::Nanos;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything found in the files.
#[derive(Serialize)]
pub struct Document {
    pub frames: u64,
    /// Frames by what became of them; their sum is `frames`.
    pub outcomes: BTreeMap<String, u64>,
    /// A file ended inside a record: everything before it was used.
    pub truncated: bool,
    pub truncations: Vec<String>,
    pub capture: CaptureDocument,
    pub calls: Calls,
    pub streams: StreamList,
}

/// The state of the capture: counts over the files, and the worst of each state.
#[derive(Debug, Serialize)]
pub struct CaptureDocument {
    /// What a reader of the figures has to know, gravest first.
    pub findings: Vec<FindingDocument>,
    /// Share of all packets that the capture lost one by one, between two bounds; null where it is not known.
    pub loss_floor_low_pct: Option<f64>,
    pub loss_floor_high_pct: Option<f64>,
    pub blackout_ms: f64,
    /// `none`, `clumped`, `coarse`; null where it is not known.
    pub timestamp_fault: Option<&'static str>,
    pub timestamp_error_ms: Option<f64>,
    pub timestamp_granularity_ns: Option<u32>,
    pub clock_steps: u32,
    /// In the interval with most streams: share of them of which no stream the other way was seen.
    pub one_sided_pct: Option<f64>,
    pub mirror_copies: u64,
    pub sampled_one_of: Option<f32>,
}

#[derive(Debug, Serialize)]
pub struct FindingDocument {
    pub code: &'static str,
    /// What the capture does, without a subject.
    pub text: String,
}

impl CaptureDocument {
    fn new(c: &CaptureCondition) -> CaptureDocument {
        let pct = |share: f32| round(100.0 * f64::from(share), 4);
        CaptureDocument {
            findings: c.findings().into_iter().map(|(code, text)| FindingDocument { code, text }).collect(),
            loss_floor_low_pct: c.loss_floor.map(|floor| pct(floor.low)),
            loss_floor_high_pct: c.loss_floor.map(|floor| pct(floor.high)),
            blackout_ms: ms(c.blackout),
            timestamp_fault: c.timestamps.map(|check| check.fault.name()),
            timestamp_error_ms: c.timestamps.map(|check| ms(check.error)),
            timestamp_granularity_ns: c.timestamp_granularity_ns,
            clock_steps: c.clock_steps,
            one_sided_pct: (c.streams > 0)
                .then(|| round(100.0 * f64::from(c.one_sided_streams) / f64::from(c.streams), 2)),
            mirror_copies: c.copies,
            sampled_one_of: c.sampled_one_of,
        }
    }
}

/// Calls in order of time and identity.
pub struct Calls {
    records: CallList,
    measured_at: Arc<str>,
}

/// Streams in order of time and identity.
pub struct StreamList {
    kept: Streams,
    measured_at: Arc<str>,
}

impl Document {
    /// Sorts calls and streams by time and identity, so that the same frames always give the same bytes.
    pub fn new(
        frames: u64,
        outcomes: &OutcomeCounts,
        truncations: Vec<String>,
        kept: AnalysisResults,
        measured_at: &str,
    ) -> Document {
        let measured_at: Arc<str> = Arc::from(measured_at);
        let AnalysisResults { mut calls, mut streams, condition } = kept;
        calls.sort_by(|a, b| (a.first_at, &a.call_id, a.uid).cmp(&(b.first_at, &b.call_id, b.uid)));
        streams.sort();
        Document {
            frames,
            outcomes: outcomes.0.iter().map(|(o, n)| (o.name(), *n)).collect(),
            truncated: !truncations.is_empty(),
            truncations,
            capture: CaptureDocument::new(&condition),
            calls: Calls { records: calls, measured_at: measured_at.clone() },
            streams: StreamList { kept: streams, measured_at },
        }
    }
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub fn at(&self, place: usize) -> CallJson {
        CallJson::of_record(&self.records[place], &self.measured_at)
    }

    pub fn class_of(&self, place: usize) -> CallClass {
        self.records[place].class()
    }

    /// Streams of the call at a place.
    pub fn streams_of(&self, place: usize) -> &[StreamId] {
        &self.records[place].streams
    }
}

impl Serialize for Calls {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq((0..self.len()).map(|place| self.at(place)))
    }
}

impl StreamList {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn at(&self, place: usize) -> StreamJson {
        StreamJson::of_report(&self.kept.at(place), &self.measured_at)
    }

    /// Identities with their places, ordered.
    pub fn places(&self) -> Vec<(StreamId, usize)> {
        self.kept.places()
    }
}

impl Serialize for StreamList {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq((0..self.len()).map(|place| self.at(place)))
    }
}

fn ms(span: Nanos) -> f64 {
    round(span.as_millis_f64(), 6)
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
