//! `/metrics`: OpenMetrics text of what was folded from events and of what the program adds.

use super::AppState;
use crate::live::{DelayTotals, LiveView};
use crate::units::{BUCKETS, DelayHistogram, bucket_bounds_ns};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

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

/// Counters and gauges of the probe as OpenMetrics text; the figures since the start, with bounded labels only.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(super) async fn render(State(state): State<AppState>) -> Response {
    let mut families = of_view(&state.live.view());
    families.extend(state.live.families());
    families.extend(state.telemetry.families());
    match encode(families) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn of_view(view: &LiveView) -> Vec<MetricFamily> {
    let now = view.snapshot();
    let totals = view.totals();
    let family = |name, help, samples| MetricFamily { name, help, samples };
    let frames = totals.outcomes.0.iter().map(|(o, n)| Sample::counter([("outcome", &o.name())], *n)).collect();
    let dropped = totals.dropped.iter().flat_map(|(interface, missed)| {
        let by_reason = ["ring", "interface", "queue"].into_iter().zip(missed);
        by_reason.map(|(reason, n)| Sample::counter([("interface", interface), ("reason", reason)], *n))
    });
    let shed = totals.shedding.counts().map(|(what, n)| Sample::counter([("what", what)], n));
    let states = totals.calls_ended.iter().map(|(state, n)| Sample::counter([("state", state)], *n)).collect();
    let classes = totals.calls_by_class.iter().map(|(class, n)| Sample::counter([("class", class)], *n)).collect();
    let verdicts = totals.calls_bad.iter().map(|(code, n)| Sample::counter([("diagnosis", code)], *n)).collect();
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
        family("auscult_shedding", "Streams and calls that full tables ended early or refused", shed.to_vec()),
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

/// Upper bounds at octaves from 0.5 ms to 4.3 s: they are bounds of the stored histogram too, so counts are exact.
fn histogram(totals: &DelayTotals) -> MetricValue {
    const FIRST_NS: u64 = 1 << 19;
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut sum = 0.0;
    let mut pending = 0;
    for (bucket, count) in totals.counts.iter().enumerate() {
        let (_, high) = bucket_bounds_ns(bucket);
        pending += count;
        sum += DelayHistogram::middle(bucket).as_secs_f64() * *count as f64;
        if bucket + 1 == BUCKETS {
            buckets.push((f64::INFINITY, pending));
        } else if high >= FIRST_NS && high.is_power_of_two() {
            buckets.push((high as f64 / 1e9, pending));
            pending = 0;
        }
    }
    MetricValue::Histogram { sum, buckets }
}

fn encode(families: Vec<MetricFamily>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
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
        assert_eq!(text.as_deref(), Ok(expected));
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
