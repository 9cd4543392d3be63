//! The closed list of what rules can measure.

use super::sums::Sums;
use crate::model::{CallClass, CallFigures, DiagnosisCode, MediaFigures};
use crate::units::{BUCKETS, DelayHistogram, SPAN_BUCKETS, span_bucket_middle};

/// Rows a measure is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `media_groups`.
    Media,
    /// `call_groups`.
    Calls,
    /// `capture_intervals`.
    Capture,
    /// The running program itself.
    Program,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Media => "media_groups",
            Source::Calls => "call_groups",
            Source::Capture => "capture_intervals",
            Source::Program => "the running program",
        }
    }
}

/// What a value is made of, and with it how its bound is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Percent of samples. Bound: Wilson over samples.
    Share,
    /// Quantile of a merged histogram. Bound: rank interval over samples.
    Quantile(f64),
    /// Events per minute. Bound: Poisson.
    PerMinute,
    /// A count or an age as it is; nothing is estimated, so the bound is the value.
    Exact,
}

/// What independent samples of a measure are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleUnit {
    Streams,
    Calls,
    Frames,
    Probes,
}

impl SampleUnit {
    pub fn name(self) -> &'static str {
        match self {
            SampleUnit::Streams => "streams",
            SampleUnit::Calls => "calls",
            SampleUnit::Frames => "frames",
            SampleUnit::Probes => "probes",
        }
    }
}

/// What is added up of each row. Measures of one figure share their sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    Pdv,
    Jitter,
    Loss,
    NetworkLoss,
    Late(usize),
    MosUnder36,
    MosUnder31,
    Concealed,
    BadCalls,
    OneWay,
    NoMedia,
    SetupFailure,
    Ineffective,
    Answered,
    NoResponse,
    ServerErrors,
    ShortCalls,
    Pdd,
    Setup,
    Attempts,
    CaptureLoss,
    Shed,
    Silence,
    StoreLag,
    Alive,
}

/// One measure of the list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Name in rules.
    pub name: &'static str,
    /// `ms`, `%`, `s`, `/min`, or empty for a count.
    pub unit: &'static str,
    pub source: Source,
    pub kind: Kind,
    pub figure: Figure,
    pub samples: SampleUnit,
    /// What it says, one sentence.
    pub help: &'static str,
}

const fn media(name: &'static str, unit: &'static str, kind: Kind, figure: Figure, help: &'static str) -> Measure {
    Measure { name, unit, source: Source::Media, kind, figure, samples: SampleUnit::Streams, help }
}

const fn calls(name: &'static str, unit: &'static str, kind: Kind, figure: Figure, help: &'static str) -> Measure {
    Measure { name, unit, source: Source::Calls, kind, figure, samples: SampleUnit::Calls, help }
}

const fn late(index: usize, name: &'static str, help: &'static str) -> Measure {
    media(name, "%", Kind::Share, Figure::Late(index), help)
}

/// All measures, in the order of `docs/alerts.md`.
pub const MEASURES: &[Measure] = &[
    media(
        "pdv_p50_ms",
        "ms",
        Kind::Quantile(0.5),
        Figure::Pdv,
        "median packet delay variation (RFC 5481) of all packets",
    ),
    media(
        "pdv_p95_ms",
        "ms",
        Kind::Quantile(0.95),
        Figure::Pdv,
        "95th percentile of packet delay variation (RFC 5481) of all packets",
    ),
    media(
        "pdv_p99_ms",
        "ms",
        Kind::Quantile(0.99),
        Figure::Pdv,
        "99th percentile of packet delay variation (RFC 5481) of all packets",
    ),
    media(
        "jitter_p50_ms",
        "ms",
        Kind::Quantile(0.5),
        Figure::Jitter,
        "median over streams of mean interarrival jitter (RFC 3550) in an interval",
    ),
    media(
        "jitter_p95_ms",
        "ms",
        Kind::Quantile(0.95),
        Figure::Jitter,
        "95th percentile over streams of mean interarrival jitter (RFC 3550) in an interval",
    ),
    media(
        "jitter_p99_ms",
        "ms",
        Kind::Quantile(0.99),
        Figure::Jitter,
        "99th percentile over streams of mean interarrival jitter (RFC 3550) in an interval",
    ),
    media(
        "loss_pct",
        "%",
        Kind::Share,
        Figure::Loss,
        "lost share of expected packets, of network and capture together",
    ),
    media(
        "network_loss_pct",
        "%",
        Kind::Share,
        Figure::NetworkLoss,
        "lost share of expected packets, without what the capture lost or is suspected to have lost",
    ),
    late(0, "late_pct_20", "share of packets too late for a jitter buffer of 20 ms"),
    late(1, "late_pct_40", "share of packets too late for a jitter buffer of 40 ms"),
    late(2, "late_pct_60", "share of packets too late for a jitter buffer of 60 ms"),
    late(3, "late_pct_80", "share of packets too late for a jitter buffer of 80 ms"),
    late(4, "late_pct_100", "share of packets too late for a jitter buffer of 100 ms"),
    late(5, "late_pct_150", "share of packets too late for a jitter buffer of 150 ms"),
    late(6, "late_pct_200", "share of packets too late for a jitter buffer of 200 ms"),
    media(
        "mos_under_3_6_pct",
        "%",
        Kind::Share,
        Figure::MosUnder36,
        "share of rated stream intervals with a listening MOS under 3.6 (R = 70: many users dissatisfied, G.107 Annex B)",
    ),
    media(
        "mos_under_3_1_pct",
        "%",
        Kind::Share,
        Figure::MosUnder31,
        "share of rated stream intervals with a listening MOS under 3.1 (R = 60: nearly all users dissatisfied)",
    ),
    media(
        "concealed_pct",
        "%",
        Kind::Share,
        Figure::Concealed,
        "share of seconds in which a receiver had to conceal loss (RFC 7294), of the seconds streams were present",
    ),
    calls(
        "bad_calls_pct",
        "%",
        Kind::Share,
        Figure::BadCalls,
        "share of ended calls of class poor or failed among those of class good, fair, poor or failed",
    ),
    calls(
        "one_way_pct",
        "%",
        Kind::Share,
        Figure::OneWay,
        "share of ended answered calls in which one side did not hear the other, as a witness says (`one_way_media`)",
    ),
    calls(
        "no_media_pct",
        "%",
        Kind::Share,
        Figure::NoMedia,
        "share of ended answered calls without media either way (`no_media`)",
    ),
    calls(
        "setup_failure_pct",
        "%",
        Kind::Share,
        Figure::SetupFailure,
        "share of attempts that neither were answered nor ended by what a person or a directory decides (100 - NER)",
    ),
    calls(
        "ner_pct",
        "%",
        Kind::Share,
        Figure::Ineffective,
        "network effectiveness ratio (E.425): attempts answered, or ended by what a person or a directory decides",
    ),
    calls("asr_pct", "%", Kind::Share, Figure::Answered, "answer-seizure ratio (E.425): answered share of attempts"),
    calls(
        "no_response_pct",
        "%",
        Kind::Share,
        Figure::NoResponse,
        "share of attempts without a final response in time (408, or none before the timeout)",
    ),
    calls("server_error_pct", "%", Kind::Share, Figure::ServerErrors, "share of attempts with a 5xx final response"),
    calls("short_calls_pct", "%", Kind::Share, Figure::ShortCalls, "share of ended answered calls shorter than 20 s"),
    calls(
        "pdd_p50_ms",
        "ms",
        Kind::Quantile(0.5),
        Figure::Pdd,
        "median post-dial delay: INVITE to the first response that is not 100",
    ),
    calls("pdd_p95_ms", "ms", Kind::Quantile(0.95), Figure::Pdd, "95th percentile of post-dial delay"),
    calls("setup_p95_ms", "ms", Kind::Quantile(0.95), Figure::Setup, "95th percentile of INVITE to 2xx"),
    calls("calls_per_min", "/min", Kind::PerMinute, Figure::Attempts, "call attempts with a final response a minute"),
    Measure {
        name: "capture_loss_pct",
        unit: "%",
        source: Source::Capture,
        kind: Kind::Share,
        figure: Figure::CaptureLoss,
        samples: SampleUnit::Frames,
        help: "share of frames that ring, interface or queue of the probe dropped, or that a sampled or interrupted capture did not see",
    },
    Measure {
        name: "shed_count",
        unit: "",
        source: Source::Capture,
        kind: Kind::Exact,
        figure: Figure::Shed,
        samples: SampleUnit::Probes,
        help: "streams and calls that full tables ended early or refused",
    },
    Measure {
        name: "probe_silence_s",
        unit: "s",
        source: Source::Capture,
        kind: Kind::Exact,
        figure: Figure::Silence,
        samples: SampleUnit::Probes,
        help: "time since the last interval in which the probe saw a frame",
    },
    Measure {
        name: "store_lag_s",
        unit: "s",
        source: Source::Program,
        kind: Kind::Exact,
        figure: Figure::StoreLag,
        samples: SampleUnit::Probes,
        help: "how long the oldest row has waited for the store; not known to a backtest",
    },
    Measure {
        name: "watchdog",
        unit: "",
        source: Source::Program,
        kind: Kind::Exact,
        figure: Figure::Alive,
        samples: SampleUnit::Probes,
        help: "1 while the rules are evaluated, so that its absence says that they are not",
    },
];

impl Measure {
    pub fn named(name: &str) -> Option<&'static Measure> {
        MEASURES.iter().find(|measure| measure.name == name)
    }

    /// Whether frames that the probe missed look like faults of the network in this measure.
    pub fn is_of_media(&self) -> bool {
        self.source == Source::Media || matches!(self.figure, Figure::OneWay | Figure::NoMedia | Figure::BadCalls)
    }

    /// What a value is read back from its bucket as, in the measure's unit.
    pub fn bucket_middle(&self, bucket: usize) -> f64 {
        let middle = match self.source {
            Source::Media => DelayHistogram::middle(bucket),
            _ => span_bucket_middle(bucket.min(SPAN_BUCKETS - 1) as u8),
        };
        middle.as_millis_f64()
    }
}

impl Figure {
    /// Adds a row of streams. `seconds` is the length of its interval.
    pub(super) fn add_media(self, row: &MediaFigures, seconds: f64, sums: &mut Sums) {
        let histogram = |h: &DelayHistogram, sums: &mut Sums| {
            for (bucket, count) in h.trimmed().iter().enumerate().filter(|(_, count)| **count > 0) {
                sums.count(bucket, u64::from(*count), BUCKETS);
            }
        };
        let rated = || row.mos.values().sum::<u64>();
        match self {
            Figure::Pdv => histogram(&row.pdv, sums),
            Figure::Jitter => histogram(&row.jitter, sums),
            Figure::Loss => {
                sums.share(row.lost_network + row.lost_capture + row.lost_suspected_capture, row.expected);
            }
            Figure::NetworkLoss => sums.share(row.lost_network, row.expected),
            Figure::Late(index) => sums.share(row.late.get(index).copied().unwrap_or(0), row.pdv.total()),
            Figure::MosUnder36 => sums.share(row.mos_under_3_6, rated()),
            Figure::MosUnder31 => sums.share(row.mos_under_3_1, rated()),
            Figure::Concealed => {
                let present = (row.streams as f64 * seconds).round() as u64;
                sums.share(row.concealed_seconds.min(present), present);
            }
            _ => {}
        }
    }

    /// Adds a row of calls.
    pub(super) fn add_calls(self, row: &CallFigures, sums: &mut Sums) {
        let code = |wanted: &dyn Fn(u16) -> bool| -> u64 {
            row.final_codes.iter().filter(|(code, _)| wanted(**code)).map(|(_, n)| n).sum()
        };
        let class = |class: CallClass| row.classes.get(class.name()).copied().unwrap_or(0);
        let diagnosed = |code: DiagnosisCode| row.diagnoses.get(code.name()).copied().unwrap_or(0);
        // Calls that were answered and ended have a duration.
        let talked = || row.duration.0.values().sum::<u64>();
        let spans = |h: &std::collections::BTreeMap<u8, u64>, sums: &mut Sums| {
            for (bucket, count) in h {
                sums.count(usize::from(*bucket), *count, SPAN_BUCKETS);
            }
        };
        match self {
            Figure::BadCalls => {
                let bad = class(CallClass::Poor) + class(CallClass::Failed);
                sums.share(bad, bad + class(CallClass::Good) + class(CallClass::Fair));
            }
            Figure::OneWay => sums.share(diagnosed(DiagnosisCode::OneWayMedia), talked()),
            Figure::NoMedia => sums.share(diagnosed(DiagnosisCode::NoMedia), talked()),
            Figure::SetupFailure => sums.share(row.setup_failures(), row.attempts),
            Figure::Ineffective => sums.share(row.effective(), row.attempts),
            Figure::Answered => sums.share(row.answers, row.attempts),
            Figure::NoResponse => {
                sums.share((row.setup_timeouts + code(&|code| code == 408)).min(row.attempts), row.attempts);
            }
            Figure::ServerErrors => sums.share(code(&|code| (500..600).contains(&code)), row.attempts),
            Figure::ShortCalls => sums.share(row.short, talked()),
            Figure::Pdd => spans(&row.pdd.0, sums),
            Figure::Setup => spans(&row.setup.0, sums),
            Figure::Attempts => sums.share(row.attempts, 0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DISCARD_BUFFERS_MS;

    #[test]
    fn late_shares_are_named_by_their_buffers() {
        for (index, ms) in DISCARD_BUFFERS_MS.iter().enumerate() {
            let measure = Measure::named(&format!("late_pct_{ms}")).expect("a measure for each buffer");
            assert_eq!(measure.figure, Figure::Late(index));
        }
    }
}
