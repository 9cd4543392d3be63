//! What the program says about itself: metric families and readiness checks beyond those the API folds from facts.

use super::config::Config;
use crate::api::{Check, MetricFamily, Sample, Telemetry};
use crate::engine::Missed;
use crate::model::RelationKind;
use crate::store::writer::Counters;
use crate::units::{Nanos, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A live capture without any frame for this long is not ready: the mirror is down or the filter is wrong.
const SILENT: Nanos = Nanos::from_secs(60);

pub struct ProgramTelemetry {
    store: Arc<Counters>,
    spool_limit: u64,
    interfaces: usize,
    frames: AtomicU64,
    last_frame: AtomicI64,
    missed: [AtomicU64; 3],
    streams: AtomicU64,
    related: [AtomicU64; RelationKind::ALL.len()],
    started: Timestamp,
}

impl ProgramTelemetry {
    pub fn new(store: Arc<Counters>, config: &Config) -> ProgramTelemetry {
        ProgramTelemetry {
            store,
            spool_limit: config.store.spool_bytes.unwrap_or(crate::store::spool::SpoolLimits::default().bytes),
            interfaces: config.capture.interfaces.len(),
            frames: AtomicU64::new(0),
            last_frame: AtomicI64::new(i64::MIN),
            missed: Default::default(),
            streams: AtomicU64::new(0),
            related: Default::default(),
            started: super::wall_clock(),
        }
    }

    #[inline]
    pub fn frame(&self, at: Timestamp) {
        self.frames.store(self.frames.load(Relaxed) + 1, Relaxed);
        self.last_frame.store(at.0, Relaxed);
    }

    pub fn missed(&self, missed: Missed) {
        for (counter, n) in self.missed.iter().zip([missed.ring, missed.interface, missed.queue]) {
            counter.fetch_add(n, Relaxed);
        }
    }

    pub fn streams(&self, active: usize) {
        self.streams.store(active as u64, Relaxed);
    }

    /// Ended streams so far by what they were to another one.
    pub fn related(&self, counts: impl Iterator<Item = (RelationKind, u64)>) {
        for (kind, n) in counts {
            self.related[kind as usize].store(n, Relaxed);
        }
    }
}

impl Telemetry for ProgramTelemetry {
    fn families(&self) -> Vec<MetricFamily> {
        let now = self.store.snapshot();
        let mut rows = Vec::new();
        for (table, counts) in &now.tables {
            rows.push(Sample::counter([("table", table.name()), ("state", "received")], counts.received));
            rows.push(Sample::counter([("table", table.name()), ("state", "spooled")], counts.spooled));
            rows.push(Sample::counter([("table", table.name()), ("state", "delivered")], counts.delivered));
        }
        let dropped = now
            .tables
            .iter()
            .flat_map(|(table, counts)| {
                counts
                    .dropped
                    .iter()
                    .map(|(reason, n)| Sample::counter([("table", table.name()), ("reason", reason.name())], *n))
            })
            .collect();
        let family = |name, help, samples| MetricFamily { name, help, samples };
        vec![
            family("auscult_store_rows", "Rows by table and how far they came", rows),
            family("auscult_store_dropped_rows", "Rows that were given up, by reason", dropped),
            family("auscult_store_retries", "Deliveries tried again", vec![Sample::counter([], now.retries)]),
            family(
                "auscult_spool_bytes",
                "Bytes waiting in the spool",
                vec![Sample::gauge([], now.waiting_bytes as f64)],
            ),
            family("auscult_spool_rows", "Rows waiting in the spool", vec![Sample::gauge([], now.waiting_rows as f64)]),
            family(
                "auscult_frames_read",
                "Frames handed to the engine",
                vec![Sample::counter([], self.frames.load(Relaxed))],
            ),
            family(
                "auscult_frames_missed",
                "Frames the probe missed, by place",
                ["ring", "interface", "queue"]
                    .into_iter()
                    .zip(&self.missed)
                    .map(|(place, n)| Sample::counter([("place", place)], n.load(Relaxed)))
                    .collect(),
            ),
            family(
                "auscult_streams_measured",
                "Streams in the engine's tables",
                vec![Sample::gauge([], self.streams.load(Relaxed) as f64)],
            ),
            family(
                "auscult_streams_related",
                "Ended streams that go on from another one or repeat it, by relation",
                RelationKind::ALL
                    .into_iter()
                    .zip(&self.related)
                    .map(|(kind, n)| Sample::counter([("relation", kind.name())], n.load(Relaxed)))
                    .collect(),
            ),
        ]
    }

    fn checks(&self) -> Vec<Check> {
        let now = self.store.snapshot();
        let check = |name: &str, problem: Option<String>| Check {
            name: name.to_owned(),
            ok: problem.is_none(),
            reason: problem,
        };
        let spool = (now.waiting_bytes > self.spool_limit / 10 * 9).then(|| {
            format!(
                "{} of {} bytes of the spool are in use; is the store reachable?",
                now.waiting_bytes, self.spool_limit
            )
        });
        let delivery = (!now.reachable).then_some(now.last_error).flatten();
        let mut checks = vec![check("spool", spool), check("delivery", delivery)];
        if self.interfaces > 0 {
            let clock = super::wall_clock();
            let last = Timestamp(self.last_frame.load(Relaxed)).0.max(self.started.0);
            let silent = clock - Timestamp(last);
            checks.push(check(
                "capture",
                (silent > SILENT).then(|| format!("no frame for {:.0} s", silent.as_secs_f64())),
            ));
        }
        checks
    }
}
