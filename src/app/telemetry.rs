//! What the program says about itself: metric families and readiness checks beyond those the API folds from events.

use super::alerts::AlertService;
use super::config::Config;
use super::progress::{Progress, STUCK};
use super::tls::Certificates;
use auscult_api::{
    AlertView, Check, MetricFamily, MetricValue, NewSilence, Sample, SilenceError, SilenceJson, Telemetry,
};
use auscult_core::alert::State;
use auscult_core::engine::EngineCounters;
#[cfg(feature = "live")]
use auscult_core::engine::Missed;
use auscult_core::model::RelationKind;
use auscult_core::units::{Nanos, Timestamp};
use auscult_http::{ConnectionCounters, ConnectionSnapshot};
use auscult_store::writer::{Counters, DiskState};
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// A live capture without any frame for this long is not ready: the mirror is down or the filter is wrong.
const SILENT: Nanos = Nanos::from_secs(60);

pub struct ProgramTelemetry {
    store: Arc<Counters>,
    disk: Arc<DiskState>,
    spool_limit: u64,
    interfaces: Vec<String>,
    frames: AtomicU64,
    last_frame: AtomicI64,
    /// By interface: ring, interface, queue.
    missed: Vec<[AtomicU64; 3]>,
    streams: AtomicU64,
    engine: Mutex<EngineCounters>,
    related: [AtomicU64; RelationKind::ALL.len()],
    grouped_as_other: AtomicU64,
    /// Frames that were refused for their time.
    refused_times: AtomicU64,
    progress: Progress,
    started: Timestamp,
    /// Connections by server.
    servers: Vec<(&'static str, Arc<ConnectionCounters>)>,
    alerts: Option<AlertService>,
    certificates: Certificates,
}

impl ProgramTelemetry {
    pub fn new(store: Arc<Counters>, disk: Arc<DiskState>, config: &Config) -> ProgramTelemetry {
        ProgramTelemetry {
            store,
            disk,
            spool_limit: config.store.spool_bytes.unwrap_or(auscult_store::spool::SpoolLimits::default().bytes),
            interfaces: config.capture.interfaces.clone(),
            frames: AtomicU64::new(0),
            last_frame: AtomicI64::new(i64::MIN),
            missed: config.capture.interfaces.iter().map(|_| Default::default()).collect(),
            streams: AtomicU64::new(0),
            engine: Mutex::default(),
            related: Default::default(),
            grouped_as_other: AtomicU64::default(),
            refused_times: AtomicU64::new(0),
            progress: Progress::new(),
            started: super::wall_clock(),
            servers: Vec::new(),
            alerts: None,
            certificates: Certificates::of(config),
        }
    }

    /// With the connections of these HTTP servers.
    pub fn with_servers<const N: usize>(
        mut self,
        servers: [(&'static str, Arc<ConnectionCounters>); N],
    ) -> ProgramTelemetry {
        self.servers.extend(servers);
        self
    }

    /// With what the rules of alerts count.
    pub fn with_alerts(mut self, alerts: Option<AlertService>) -> ProgramTelemetry {
        self.alerts = alerts;
        self
    }

    /// The certificates that are in use.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Frames handed to the engine since the last call, and the time of the last of them.
    #[inline]
    pub fn frames(&self, count: u64, last: Timestamp) {
        if count > 0 {
            self.frames.fetch_add(count, Relaxed);
            self.last_frame.store(last.0, Relaxed);
        }
    }

    /// Frames refused for their time since the last call; they count as read.
    pub fn refused_times(&self, count: u64) {
        self.frames.fetch_add(count, Relaxed);
        self.refused_times.fetch_add(count, Relaxed);
    }

    /// Where the measuring thread says that it gets on.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    #[cfg(all(test, feature = "live"))]
    pub fn frames_read(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    #[cfg(feature = "live")]
    pub fn missed(&self, interface: usize, missed: Missed) {
        let Some(counters) = self.missed.get(interface) else { return };
        for (counter, n) in counters.iter().zip([missed.ring, missed.interface, missed.queue]) {
            counter.fetch_add(n, Relaxed);
        }
    }

    pub fn streams(&self, active: usize) {
        self.streams.store(active as u64, Relaxed);
    }

    /// What the engine has counted by now.
    pub fn engine(&self, counters: EngineCounters) {
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// Intervals of streams so far that found no group of their own.
    pub fn grouped_as_other(&self, intervals: u64) {
        self.grouped_as_other.store(intervals, Relaxed);
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
        let mut families = vec![
            family("auscult_store_rows", "Rows by table and how far they came", rows),
            family("auscult_store_dropped_rows", "Rows that were given up, by reason", dropped),
            family("auscult_store_retries", "Deliveries tried again", vec![Sample::counter([], now.retries)]),
            family(
                "auscult_store_resent",
                "Batches sent under a new token, because the store had noted the first one without its rows",
                vec![Sample::counter([], now.resent)],
            ),
            family(
                "auscult_resanitised_rows",
                "Rows of earlier versions cleaned of secrets of SIP messages at the start, or dropped, by place",
                [
                    ("store", "cleaned", now.cleared_rows),
                    ("spool", "cleaned", now.resanitised.rows),
                    ("spool", "dropped", now.resanitised.dropped_rows),
                ]
                .map(|(place, outcome, n)| Sample::counter([("place", place), ("outcome", outcome)], n))
                .to_vec(),
            ),
            family(
                "auscult_store_splits",
                "Batches the store refused that were replaced by two halves",
                vec![Sample::counter([], now.splits)],
            ),
            family(
                "auscult_dead_letter_removed_rows",
                "Rows in dead letters that were removed to keep their bound",
                now.tables
                    .iter()
                    .map(|(table, counts)| Sample::counter([("table", table.name())], counts.dead_letters_removed))
                    .collect(),
            ),
            family(
                "auscult_spool_backing_off",
                "Segments that failed and wait for their next try while others are delivered",
                vec![Sample::gauge([], now.backing_off as f64)],
            ),
            family(
                "auscult_disk_free_bytes",
                "Bytes free on the file system of store.data",
                vec![Sample::gauge([], self.disk.used().free as f64)],
            ),
            family(
                "auscult_store_disk_bytes",
                "Bytes the embedded store takes on disk, 0 without store.disk_mib",
                vec![Sample::gauge([], self.disk.used().store as f64)],
            ),
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
                "Frames the probe missed, by interface and place",
                self.interfaces
                    .iter()
                    .zip(&self.missed)
                    .flat_map(|(interface, counters)| {
                        ["ring", "interface", "queue"].into_iter().zip(counters).map(|(place, n)| {
                            Sample::counter([("interface", interface.as_str()), ("place", place)], n.load(Relaxed))
                        })
                    })
                    .collect(),
            ),
            family(
                "auscult_frames_refused",
                "Frames read that were not measured, by reason",
                vec![Sample::counter([("reason", "time_out_of_range")], self.refused_times.load(Relaxed))],
            ),
            family(
                "auscult_panics",
                "Panics of threads; each is a defect",
                vec![Sample::counter([], super::panics::seen())],
            ),
            family(
                "auscult_streams_measured",
                "Streams in the engine's tables",
                vec![Sample::gauge([], self.streams.load(Relaxed) as f64)],
            ),
            family(
                "auscult_store_insert_seconds",
                "Time until the store acknowledged an insert",
                vec![Sample { labels: Vec::new(), value: seconds(&self.store.answers()) }],
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
            family(
                "auscult_grouped_as_other",
                "Intervals of streams counted in the group `other` because limits.groups was reached",
                vec![Sample::counter([], self.grouped_as_other.load(Relaxed))],
            ),
        ];
        families.extend(of_connections(self.servers.iter().map(|(name, counters)| (*name, counters.snapshot()))));
        families.extend(self.certificates.families());
        families.extend(self.alerts.iter().flat_map(|alerts| alerts.families()));
        families.extend(of_engine(&self.engine.lock().unwrap_or_else(PoisonError::into_inner)));
        families
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
        let measuring = self.progress.stands_still().map(stands_still);
        let mut checks = vec![
            check("spool", spool),
            check("delivery", delivery),
            check("disk", self.disk.problem()),
            check("measuring", measuring),
        ];
        if !self.interfaces.is_empty() {
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

    fn alerts(&self, states: &[State], most: usize) -> Option<AlertView> {
        self.alerts.as_ref().map(|alerts| alerts.view(states, most))
    }

    fn silence(&self, asked: &NewSilence) -> Result<SilenceJson, SilenceError> {
        self.alerts.as_ref().ok_or(SilenceError::NotEvaluated)?.silence(asked)
    }

    fn end_silence(&self, id: &str) -> Result<SilenceJson, SilenceError> {
        self.alerts.as_ref().ok_or(SilenceError::NotEvaluated)?.end_silence(id)
    }

    fn stuck(&self) -> Option<String> {
        self.progress.stands_still().filter(|since| *since >= STUCK).map(stands_still)
    }
}

fn stands_still(since: Nanos) -> String {
    format!(
        "the measuring thread stands still since {:.0} s; this is a defect: restart the program",
        since.as_secs_f64()
    )
}

fn family(name: &'static str, help: &'static str, samples: Vec<Sample>) -> MetricFamily {
    MetricFamily { name, help, samples }
}

fn of_connections(servers: impl Iterator<Item = (&'static str, ConnectionSnapshot)>) -> [MetricFamily; 4] {
    let (mut open, mut accepted, mut failed, mut closed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (server, now) in servers {
        open.push(Sample::gauge([("server", server)], now.open() as f64));
        accepted.push(Sample::counter([("server", server)], now.accepted));
        failed.push(Sample::counter([("server", server)], now.accept_failed));
        closed.extend(now.closed.iter().map(|(why, n)| Sample::counter([("server", server), ("reason", why)], *n)));
    }
    [
        family("auscult_http_connections", "Open connections, by server", open),
        family("auscult_http_accepted", "Connections that came, those closed at once included", accepted),
        family(
            "auscult_http_accept_failed",
            "Connections that could not be taken: no descriptors or no memory",
            failed,
        ),
        family("auscult_http_closed", "Connections that ended or were not taken, by reason", closed),
    ]
}

fn of_engine(counters: &EngineCounters) -> Vec<MetricFamily> {
    let EngineCounters {
        signalling,
        fragments,
        tcp,
        rtcp_senders_refused,
        gaps_left_out,
        streams_compared,
        compared_in_part,
        streams_unjudged,
        streams_unindexed,
        rtcp_unremembered,
        late_addresses_left_out,
        round_trips_left_out,
        rtcp_rows_left_out,
    } = counters;
    let by_what =
        |counts: &[(&str, u64)]| counts.iter().map(|(what, n)| Sample::counter([("what", what)], *n)).collect();
    let anomalies = signalling
        .anomalies
        .iter()
        .map(|((protocol, name), n)| Sample::counter([("protocol", protocol), ("anomaly", name)], *n));
    vec![
        family(
            "auscult_signalling",
            "SIP messages, calls and media lines that were left out",
            by_what(&[
                ("copies", signalling.copies),
                ("unattributed", signalling.unattributed),
                ("orphans", signalling.orphans),
                ("orphans_shed", signalling.orphans_shed),
                ("media_refused", signalling.media_refused),
                ("payload_types_left_out", signalling.payload_types_left_out),
            ]),
        ),
        family("auscult_signalling_anomalies", "Oddities of SIP and SDP, by name", anomalies.collect()),
        family(
            "auscult_reassembly",
            "What became of fragmented datagrams, and what went wrong in TCP streams with SIP",
            by_what(&[
                ("datagrams_whole", fragments.reassembled),
                ("datagrams_overlapping", fragments.fragments_overlapping),
                ("datagrams_expired", fragments.fragments_expired),
                ("datagrams_evicted", fragments.fragments_evicted),
                ("tcp_gaps", tcp.gaps),
                ("tcp_conflicts", tcp.conflicts),
                ("tcp_directions_evicted", tcp.evicted),
                ("tcp_overflows", tcp.overflows),
            ]),
        ),
        family(
            "auscult_reassembly_gap_bytes",
            "Bytes of TCP streams with SIP that never came",
            vec![Sample::counter([], tcp.gap_bytes)],
        ),
        family(
            "auscult_evidence_left_out",
            "Reports, gaps and streams that were left out of round trips, loss attribution, binding and verdicts",
            by_what(&[
                ("rtcp_senders", *rtcp_senders_refused),
                ("gaps", *gaps_left_out),
                ("compared_in_part", *compared_in_part),
                ("ended_streams", *streams_unjudged),
                ("rtcp_rows", *rtcp_rows_left_out),
                ("address_streams", *streams_unindexed),
                ("rtcp_copies", *rtcp_unremembered),
                ("late_addresses", *late_addresses_left_out),
                ("round_trips", *round_trips_left_out),
            ]),
        ),
        family(
            "auscult_streams_compared",
            "Streams that RTCP reports, session descriptions and lossy intervals were compared with",
            vec![Sample::counter([], *streams_compared)],
        ),
        family(
            "auscult_fragment_bytes",
            "Bytes held for datagrams that are not whole yet",
            vec![Sample::gauge([], fragments.fragment_bytes as f64)],
        ),
    ]
}

/// Upper bounds of the buckets a store's answer time is shown in, milliseconds.
const ANSWER_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30_000];

/// Microseconds as a histogram of seconds.
fn seconds(us: &Histogram<u64>) -> MetricValue {
    let mut below = 0;
    let mut buckets = Vec::with_capacity(ANSWER_MS.len() + 1);
    for ms in ANSWER_MS {
        let up_to = us.count_between(0, ms * 1000);
        buckets.push((ms as f64 / 1000.0, up_to - below));
        below = up_to;
    }
    buckets.push((f64::INFINITY, us.len() - below));
    MetricValue::Histogram { sum: us.mean() * us.len() as f64 / 1e6, buckets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_once_in_the_first_bucket_that_holds_them() {
        let mut us = Histogram::<u64>::new(2).unwrap();
        for t in [0, 900, 1500, 90_000, 40_000_000] {
            us.record(t).unwrap();
        }
        let MetricValue::Histogram { sum, buckets } = seconds(&us) else { unreachable!("a histogram") };
        assert!((sum / 40.0924 - 1.0).abs() < 0.01, "{sum}");
        let found: Vec<(f64, u64)> = buckets.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(found, [(0.001, 2), (0.002, 1), (0.1, 1), (f64::INFINITY, 1)]);
        let MetricValue::Histogram { sum, buckets } = seconds(&Histogram::new(2).unwrap()) else { unreachable!() };
        assert_eq!((sum, buckets.iter().map(|(_, n)| n).sum::<u64>()), (0.0, 0));
    }

    #[test]
    fn every_counter_of_the_engine_is_shown_under_its_own_name() {
        let mut counters = EngineCounters::default();
        counters.signalling.orphans = 3;
        counters.signalling.anomalies.insert(("sip", "cseq_method_mismatch"), 4);
        counters.fragments.fragments_expired = 5;
        counters.tcp.gap_bytes = 6;
        counters.gaps_left_out = 7;
        let shown: Vec<String> = of_engine(&counters)
            .iter()
            .flat_map(|f| f.samples.iter().map(move |s| (f.name, s)))
            .filter(|(_, s)| !matches!(s.value, MetricValue::Counter(0) | MetricValue::Gauge(0.0)))
            .map(|(name, s)| {
                format!("{name} {:?} {:?}", s.labels.iter().map(|l| l.1.as_str()).collect::<Vec<_>>(), s.value)
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"auscult_signalling ["orphans"] Counter(3)"#,
                r#"auscult_signalling_anomalies ["sip", "cseq_method_mismatch"] Counter(4)"#,
                r#"auscult_reassembly ["datagrams_expired"] Counter(5)"#,
                r#"auscult_reassembly_gap_bytes [] Counter(6)"#,
                r#"auscult_evidence_left_out ["gaps"] Counter(7)"#,
            ]
        );
    }
}
