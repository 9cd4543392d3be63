//! `/metrics`: what was folded from events and what the program adds, as Prometheus text or as OpenMetrics.

use super::AppState;
use auscult_core::live::{DelayTotals, LiveView, SpanTotals, TrunkLabel, TrunkTotals};
use auscult_core::model::{CAPTURE_FINDINGS, CallClass, CallState, DiagnosisCode};
use auscult_core::units::{DelayHistogram, bucket_bounds_ns, span_bucket_bounds_ns, span_bucket_middle};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;

/// One metric with all its label combinations. Labels must be bounded: never numbers, Call-IDs or addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// Without the suffix `_total`, which counters get when written.
    pub name: &'static str,
    /// One sentence without its full stop.
    pub help: &'static str,
    /// All of one kind.
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: MetricValue,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    Counter(u64),
    Gauge(f64),
    /// `(upper bound, count of this bucket alone)`; the last bound is infinity.
    Histogram {
        sum: f64,
        buckets: Vec<(f64, u64)>,
    },
}

impl Sample {
    pub fn counter<const N: usize>(labels: [(&'static str, &str); N], value: u64) -> Sample {
        Sample { labels: labels.map(|(k, v)| (k, v.to_owned())).to_vec(), value: MetricValue::Counter(value) }
    }

    pub fn gauge<const N: usize>(labels: [(&'static str, &str); N], value: f64) -> Sample {
        Sample { labels: labels.map(|(k, v)| (k, v.to_owned())).to_vec(), value: MetricValue::Gauge(value) }
    }
}

/// Counters and gauges of the probe; the figures since the start unless they say otherwise, with bounded labels only. Prometheus
/// text (0.0.4), or OpenMetrics (1.0.0) for clients whose `Accept` prefers it.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, content(
        (String = "text/plain; version=0.0.4"),
        (String = "application/openmetrics-text; version=1.0.0"),
    ))))]
pub(super) async fn render(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let mut families = {
        let view = state.live.view();
        let mut families = of_view(&view);
        families.extend(of_trunks(view.of_trunks()));
        families
    };
    families.extend(state.live.families());
    families.extend(state.access.families());
    families.extend(state.telemetry.families());
    let openmetrics = prefers_openmetrics(&headers);
    match encode(families) {
        Ok((text, _)) if openmetrics => with_type("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        Ok((text, counters)) => {
            with_type("text/plain; version=0.0.4; charset=utf-8", as_prometheus_text(&text, &counters))
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn with_type(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], text).into_response()
}

/// Whether `Accept` names OpenMetrics with a weight no lower than that of plain text.
fn prefers_openmetrics(headers: &HeaderMap) -> bool {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let weight = |wanted: &str| {
        let of_one = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(wanted));
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            named.then_some(weight.unwrap_or(1.0))
        };
        accept.iter().flat_map(|value| value.split(',')).filter_map(of_one).fold(0.0, f32::max)
    };
    let openmetrics = weight("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= weight("text/plain")
}

/// OpenMetrics text in the form that came before it: the names of counters have their suffix in `HELP` and `TYPE` too, and there is
/// no mark of the end. Help texts here have neither quotes nor line breaks, which the two escape differently.
fn as_prometheus_text(text: &str, counters: &[&str]) -> String {
    let mut out = String::with_capacity(text.len() + 8 * counters.len());
    for line in text.lines().filter(|line| *line != "# EOF") {
        let about = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match about.and_then(|rest| rest.split_once(' ')) {
            Some((name, rest)) if counters.contains(&name) => {
                out.push_str(&line[..7]);
                out.push_str(name);
                out.push_str("_total ");
                out.push_str(rest);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn of_view(view: &LiveView) -> Vec<MetricFamily> {
    let now = view.snapshot();
    let totals = view.totals();
    let findings: Vec<&str> = now.condition.findings().into_iter().map(|(code, _)| code).collect();
    let family = |name, help, samples| MetricFamily { name, help, samples };
    let frames = totals.outcomes.0.iter().map(|(o, n)| Sample::counter([("outcome", &o.name())], *n)).collect();
    let dropped = totals.dropped.iter().flat_map(|(interface, missed)| {
        let by_reason = ["ring", "interface", "queue"].into_iter().zip(missed);
        by_reason.map(|(reason, n)| Sample::counter([("interface", interface), ("reason", reason)], *n))
    });
    let shed = totals.shedding.counts().map(|(what, n)| Sample::counter([("what", what)], n));
    // Counters of closed lists are there from the start: a rate over one that appears with its first event misses that event.
    let closed = |label, names: Vec<&'static str>, counted: &BTreeMap<&'static str, u64>| {
        let count = |name: &&'static str| Sample::counter([(label, *name)], counted.get(name).copied().unwrap_or(0));
        names.iter().map(count).collect()
    };
    let states = closed("state", CallState::ALL.map(CallState::name).to_vec(), &totals.calls_ended);
    let classes = closed("class", CallClass::ALL.map(CallClass::name).to_vec(), &totals.calls_by_class);
    let codes = DiagnosisCode::ALL.iter().map(|code| code.name()).chain(["none"]).collect();
    let verdicts = closed("diagnosis", codes, &totals.calls_bad);
    let delay = totals.delay.iter().map(|((codec, trunk), totals)| Sample {
        labels: vec![("codec", (*codec).to_owned()), ("trunk", trunk.clone())],
        value: histogram(totals),
    });
    vec![
        family(
            "auscult_build_info",
            "Version of the program",
            vec![Sample::gauge([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ),
        family("auscult_frames", "Frames by what became of them", frames),
        family("auscult_capture_dropped", "Frames the probe missed", dropped.collect()),
        family(
            "auscult_capture_finding",
            "1 where the last interval had this finding about the capture",
            CAPTURE_FINDINGS
                .into_iter()
                .map(|code| Sample::gauge([("finding", code)], f64::from(u8::from(findings.contains(&code)))))
                .collect(),
        ),
        family(
            "auscult_capture_blackout_seconds",
            "Whole seconds without any frame while streams went on",
            vec![Sample::counter([], (totals.blackout.0 / 1_000_000_000).unsigned_abs())],
        ),
        family(
            "auscult_capture_clock_steps",
            "Times the clock of the capture was set",
            vec![Sample::counter([], totals.clock_steps)],
        ),
        family(
            "auscult_capture_mirror_copies",
            "RTP packets that the mirror copied",
            vec![Sample::counter([], totals.mirror_copies)],
        ),
        family("auscult_sheddin", "Streams and calls that full tables ended early or refused", shed.to_vec()),
        family("auscult_calls", "Calls that are up", vec![Sample::gauge([], now.calls as f64)]),
        family(
            "auscult_calls_up_bad",
            "Calls that are up and whose class is poor or failed",
            vec![Sample::gauge([], now.calls_bad as f64)],
        ),
        family("auscult_calls_ended", "Calls that ended, by state", states),
        family("auscult_calls_ended_class", "Calls that ended, by class", classes),
        family(
            "auscult_calls_bad",
            "Calls that ended with class poor or failed, by the first code of their verdict",
            verdicts,
        ),
        family("auscult_streams", "RTP streams being measured", vec![Sample::gauge([], now.streams as f64)]),
        family("auscult_streams_ended", "RTP streams that ended", vec![Sample::counter([], totals.streams_ended)]),
        family(
            "auscult_live_not_shown",
            "Calls and streams left out of the full live view",
            vec![Sample::counter([], totals.not_shown)],
        ),
        family(
            "rtp_packets_expected",
            "RTP packets that should have come",
            vec![Sample::counter([], totals.packets_expected)],
        ),
        family("rtp_packets_lost", "RTP packets that did not come", vec![Sample::counter([], totals.packets_lost)]),
        family(
            "rtp_delay_variation_seconds",
            "Delay of RTP packets above the drift-corrected base (RFC 5481 PDV)",
            delay.collect(),
        ),
    ]
}

/// What each trunk did. Each direction stands by itself.
fn of_trunks(trunks: &TrunkTotals) -> Vec<MetricFamily> {
    let labelled = |label: &TrunkLabel, more: &[(&'static str, &str)], value| Sample {
        labels: [("trunk", label.0.as_str()), ("trunk_direction", label.1)]
            .iter()
            .chain(more)
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value,
    };
    let mut families: Vec<MetricFamily> = Vec::new();
    let mut add = |name, help, sample: Sample| match families.iter_mut().find(|family| family.name == name) {
        Some(family) => family.samples.push(sample),
        None => families.push(MetricFamily { name, help, samples: vec![sample] }),
    };
    for (label, minute) in trunks.last_minute() {
        let gauge = |more: &[(&'static str, &str)], value: f64| labelled(label, more, MetricValue::Gauge(value));
        add(
            "auscult_last_minute_streams",
            "RTP streams present in an interval of the last minute, the most",
            gauge(&[], minute.streams as f64),
        );
        for (percentile, q) in [("50", 0.5), ("95", 0.95), ("99", 0.99)] {
            if let Some(pdv) = minute.pdv.quantile(q) {
                let sample = gauge(&[("percentile", percentile)], pdv.as_secs_f64());
                add(
                    "auscult_last_minute_delay_variation_seconds",
                    "Delay variation of packets of the last minute (RFC 5481)",
                    sample,
                );
            }
            if let Some(jitter) = minute.jitter.quantile(q) {
                let sample = gauge(&[("percentile", percentile)], jitter.as_secs_f64());
                let help = "Mean interarrival jitter (RFC 3550) of each stream in each interval of the last minute";
                add("auscult_last_minute_jitter_seconds", help, sample);
            }
        }
        let ratio = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        for (by, lost) in [("network", minute.lost_network), ("capture", minute.lost_capture)] {
            if let Some(ratio) = ratio(lost, minute.expected) {
                add(
                    "auscult_last_minute_loss_ratio",
                    "Share of expected packets of the last minute that the network lost, and that the capture lost",
                    gauge(&[("by", by)], ratio),
                );
            }
        }
        if let Some(ratio) = ratio(minute.late_60, minute.pdv.total()) {
            add(
                "auscult_last_minute_late_ratio",
                "Share of packets of the last minute too late for a jitter buffer of 60 ms",
                gauge(&[("buffer_ms", "60")], ratio),
            );
        }
        if let Some(ratio) = ratio(minute.mos_under_3_6, minute.rated) {
            add(
                "auscult_last_minute_mos_under_3_6_ratio",
                "Share of rated stream intervals of the last minute with a listening MOS under 3.6",
                gauge(&[], ratio),
            );
        }
        for (what, calls) in
            [("attempts", minute.attempts), ("answers", minute.answers), ("setup_failures", minute.setup_failures)]
        {
            add(
                "auscult_last_minute_calls",
                "Call attempts with a final response in the last minute, those answered, and those that failed other than by what a person decides",
                gauge(&[("what", what)], calls as f64),
            );
        }
    }
    for (label, since) in trunks.since_start() {
        let counter = |more: &[(&'static str, &str)], value: u64| labelled(label, more, MetricValue::Counter(value));
        add(
            "auscult_trunk_packets_expected",
            "RTP packets that should have come, by trunk",
            counter(&[], since.expected),
        );
        for (by, lost) in [("network", since.lost_network), ("capture", since.lost_capture)] {
            add(
                "auscult_trunk_packets_lost",
                "RTP packets lost, by trunk and by who lost them",
                counter(&[("by", by)], lost),
            );
        }
        add("auscult_trunk_attempts", "Call attempts with a final response, by trunk", counter(&[], since.attempts));
        add("auscult_trunk_answers", "Call attempts that were answered, by trunk", counter(&[], since.answers));
        add(
            "auscult_trunk_setup_failures",
            "Call attempts that neither were answered nor ended by what a person decides, by trunk",
            counter(&[], since.setup_failures),
        );
        for class in CallClass::ALL {
            let calls = since.ended.get(class.name()).copied().unwrap_or(0);
            add(
                "auscult_trunk_calls_ended",
                "Calls that ended, by trunk and class",
                counter(&[("class", class.name())], calls),
            );
        }
        add(
            "auscult_trunk_jitter_seconds",
            "Mean interarrival jitter (RFC 3550) of each stream in each interval, by trunk",
            labelled(label, &[], histogram(&since.jitter)),
        );
        add(
            "auscult_trunk_post_dial_delay_seconds",
            "INVITE to the first response that is not 100, by trunk",
            labelled(label, &[], spans(&since.pdd)),
        );
        add("auscult_trunk_setup_seconds", "INVITE to 2xx, by trunk", labelled(label, &[], spans(&since.setup)));
        for (scale, mos) in &since.mos {
            add(
                "auscult_trunk_mos",
                "Listening MOS (G.107) of each stream in each interval, by trunk and scale",
                labelled(label, &[("mos_scale", scale)], mos_histogram(mos)),
            );
        }
    }
    families
}

/// Upper bounds at octaves from 0.5 ms to 4.3 s: they are bounds of the stored histogram too, so counts are exact.
fn histogram(totals: &DelayTotals) -> MetricValue {
    octaves(&totals.counts, 1 << 19, bucket_bounds_ns, |bucket| DelayHistogram::middle(bucket).as_secs_f64())
}

/// As [`histogram`], from 34 ms to 137 s: set-up times are longer than delays.
fn spans(totals: &SpanTotals) -> MetricValue {
    const LAST_NS: u64 = 1 << 37;
    let bounds = |bucket| match span_bucket_bounds_ns(bucket) {
        (low, high) if high > LAST_NS => (low, u64::MAX),
        bounds => bounds,
    };
    octaves(&totals.0, 1 << 25, bounds, |bucket| span_bucket_middle(bucket as u8).as_secs_f64())
}

/// A histogram with a bound at each power of two of nanoseconds from `first` on that is a bound of a bucket.
fn octaves(
    counts: &[u64],
    first_ns: u64,
    bounds: impl Fn(usize) -> (u64, u64),
    middle: impl Fn(usize) -> f64,
) -> MetricValue {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut sum = 0.0;
    let mut pending = 0;
    for (bucket, count) in counts.iter().enumerate() {
        let (_, high) = bounds(bucket);
        pending += count;
        sum += middle(bucket) * *count as f64;
        if bucket + 1 == counts.len() {
            buckets.push((f64::INFINITY, pending));
        } else if high >= first_ns && high.is_power_of_two() {
            buckets.push((high as f64 / 1e9, pending));
            pending = 0;
        }
    }
    MetricValue::Histogram { sum, buckets }
}

/// Upper bounds of MOS; those below which users are dissatisfied (3.6 and 3.1) are in hundredths: 3.59 is the largest below.
const MOS_BOUNDS: [u16; 9] = [200, 250, 309, 330, 359, 380, 400, 420, 440];

fn mos_histogram(mos: &BTreeMap<u16, u64>) -> MetricValue {
    let between = |low: u16, high: u16| mos.iter().filter(|(at, _)| **at > low && **at <= high).map(|(_, n)| n).sum();
    let mut low = 0;
    let mut buckets = Vec::new();
    for high in MOS_BOUNDS {
        buckets.push((f64::from(high) / 100.0, between(low, high)));
        low = high;
    }
    buckets.push((f64::INFINITY, between(low, u16::MAX)));
    let sum = mos.iter().map(|(at, n)| f64::from(*at) / 100.0 * *n as f64).sum();
    MetricValue::Histogram { sum, buckets }
}

/// OpenMetrics text, and which families are counters.
fn encode(families: Vec<MetricFamily>) -> Result<(String, Vec<&'static str>), std::fmt::Error> {
    let is_counter = |family: &&MetricFamily| {
        family.samples.first().is_some_and(|sample| matches!(sample.value, MetricValue::Counter(_)))
    };
    let counters = families.iter().filter(is_counter).map(|family| family.name).collect();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok((out, counters))
}

#[derive(Debug)]
struct Families(Vec<MetricFamily>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for family in &self.0 {
            let Some(first) = family.samples.first() else { continue };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind(&first.value))?;
            for sample in &family.samples {
                if sample.labels.is_empty() {
                    write(&mut metric, &sample.value)?;
                } else {
                    write(&mut metric.encode_family(&sample.labels)?, &sample.value)?;
                }
            }
        }
        Ok(())
    }
}

fn kind(value: &MetricValue) -> MetricType {
    match value {
        MetricValue::Counter(_) => MetricType::Counter,
        MetricValue::Gauge(_) => MetricType::Gauge,
        MetricValue::Histogram { .. } => MetricType::Histogram,
    }
}

fn write(metric: &mut MetricEncoder<'_>, value: &MetricValue) -> Result<(), std::fmt::Error> {
    match value {
        MetricValue::Counter(n) => metric.encode_counter::<NoLabelSet, u64, f64>(n, None),
        MetricValue::Gauge(v) => metric.encode_gauge(v),
        MetricValue::Histogram { sum, buckets } => {
            let count = buckets.iter().map(|(_, n)| n).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_core::units::BUCKETS;

    #[test]
    fn text_form() {
        let text = encode(vec![
            MetricFamily {
                name: "auscult_store_rows",
                help: "Rows by table and state",
                samples: vec![
                    Sample::counter([("table", "calls"), ("state", "delivered")], 7),
                    Sample::counter([("table", "a\"b\\c\nd"), ("state", "x")], 1),
                ],
            },
            MetricFamily { name: "auscult_calls", help: "Calls that are up", samples: vec![Sample::gauge([], 2.0)] },
            MetricFamily { name: "nothing", help: "No samples", samples: vec![] },
        ]);
        let expected = concat!(
            "# HELP auscult_store_rows Rows by table and state\n",
            "# TYPE auscult_store_rows counter\n",
            "auscult_store_rows_total{table=\"calls\",state=\"delivered\"} 7\n",
            "auscult_store_rows_total{table=\"a\\\"b\\\\c\\nd\",state=\"x\"} 1\n",
            "# HELP auscult_calls Calls that are up\n",
            "# TYPE auscult_calls gauge\n",
            "auscult_calls 2.0\n",
            "# EOF\n",
        );
        let (text, counters) = text.unwrap();
        assert_eq!(text, expected);
        let plain = expected.replace("_rows Rows", "_rows_total Rows").replace("_rows counter", "_rows_total counter");
        assert_eq!(as_prometheus_text(&text, &counters), plain.replace("# EOF\n", ""));
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prefers = |accept: Option<&str>| {
            let mut headers = HeaderMap::new();
            accept.map(|accept| headers.insert(header::ACCEPT, accept.parse().unwrap()));
            prefers_openmetrics(&headers)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert!(prefers(Some(prometheus)) && prefers(Some("application/openmetrics-text")));
        for accept in [
            None,
            Some("*/*"),
            Some("text/html,application/xhtml+xml"),
            Some("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4"),
            Some("application/openmetrics-text;q=0"),
        ] {
            assert!(!prefers(accept), "{accept:?}");
        }
    }

    #[test]
    fn bounds_of_mos_and_of_spans_keep_every_count() {
        let mos: BTreeMap<u16, u64> = (100..=450).map(|mos| (mos, 1)).collect();
        let MetricValue::Histogram { buckets, sum } = mos_histogram(&mos) else { unreachable!("a histogram") };
        assert_eq!(buckets.iter().map(|(_, n)| n).sum::<u64>(), 351);
        assert!((sum / 351.0 - 2.75).abs() < 1e-9);
        let below_3_6: u64 = buckets.iter().filter(|(le, _)| *le < 3.6).map(|(_, n)| n).sum();
        assert_eq!(below_3_6, 260);
        let mut totals = SpanTotals::default();
        totals.0.fill(1);
        let MetricValue::Histogram { buckets, .. } = spans(&totals) else { unreachable!("a histogram") };
        assert_eq!(buckets.iter().map(|(_, n)| n).sum::<u64>(), totals.0.len() as u64);
        assert_eq!((buckets.len(), buckets[0].0), (14, 0.033_554_432));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn histogram_bounds_are_octaves_and_counts_add_up() {
        let mut totals = DelayTotals::default();
        for (bucket, count) in totals.counts.iter_mut().enumerate() {
            *count = bucket as u64;
        }
        let MetricValue::Histogram { buckets, .. } = histogram(&totals) else { unreachable!("a histogram") };
        assert_eq!(buckets.len(), 15);
        assert_eq!(buckets.first().map(|(le, _)| *le), Some(0.000_524_288));
        assert_eq!(buckets.last().map(|(le, _)| *le), Some(f64::INFINITY));
        assert_eq!(buckets.iter().map(|(_, n)| n).sum::<u64>(), (0..BUCKETS as u64).sum::<u64>());
    }
}
