//! Whether a figure differs between two samples: the difference, its interval of confidence, and a verdict. Over streams or calls, never
//! over packets: packets of one stream share its fate.

use super::coverage::Sums;
use super::statement::{Statement, Value};
use super::stats::{GroupBy, StatsGroup, StatsRequest};
use super::{
    MAX_DETAIL_DAYS, OutcomeFilter, OutcomeRequest, Outcomes, QueryError, Session, Spans, StreamFilter, Window,
};
use auscult_core::units::{DelayHistogram, span_bucket_middle};

/// Two-sided 95 %.
const Z: f64 = 1.959_963_985;
/// Streams or calls that each sample needs for a verdict.
pub const LEAST: u64 = 20;

/// A sample of one figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// So many of so many have a property.
    Share { part: u64, of: u64 },
    /// Values with their counts, ascending; the counts are scaled down to `independent` observations.
    Values { counts: Vec<(f64, u64)>, independent: u64 },
}

/// What a comparison says. "Better" and "worse" are of the second sample against the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Better,
    Worse,
    NoDifferenceShown,
    TooFew,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoDifferenceShown => "no_difference_shown",
            Verdict::TooFew => "too_few",
        }
    }
}

/// An estimate and its interval of confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Difference of two samples, second less first.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub first: Option<Estimate>,
    pub second: Option<Estimate>,
    pub difference: Option<Estimate>,
    pub verdict: Verdict,
}

impl Sample {
    /// Streams or calls it stands on.
    pub fn size(&self) -> u64 {
        match self {
            Sample::Share { of, .. } => *of,
            Sample::Values { independent, .. } => *independent,
        }
    }

    /// The share in percent, or the value at quantile `q`, with its interval of confidence of 95 %: Wilson's score interval, or the
    /// values at the ranks that a binomial count of smaller ones reaches. `None` without observations.
    fn estimate(&self, q: f64) -> Option<Estimate> {
        match self {
            Sample::Share { of: 0, .. } => None,
            Sample::Share { part, of } => {
                let (low, high) = wilson(*part, *of);
                Some(Estimate { value: 100.0 * *part as f64 / *of as f64, low: 100.0 * low, high: 100.0 * high })
            }
            Sample::Values { counts, independent } => {
                let total: u64 = counts.iter().map(|(_, n)| n).sum();
                if total == 0 || *independent == 0 {
                    return None;
                }
                let n = (*independent).min(total) as f64;
                let spread = Z * (q * (1.0 - q) / n).sqrt();
                let at = |q: f64| {
                    let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
                    let mut seen = 0;
                    let mut values = counts.iter().filter(|(_, n)| {
                        seen += n;
                        seen >= rank
                    });
                    values.next().map_or(0.0, |(value, _)| *value)
                };
                Some(Estimate { value: at(q), low: at(q - spread), high: at(q + spread) })
            }
        }
    }
}

/// Compares two samples of one figure: `q` is the quantile of values, `more_is_better` its direction. The interval of the
/// difference is put together from both intervals (square-and-add, Newcombe 1998 method 10 for shares; Zou and Donner 2008).
pub fn compare(first: &Sample, second: &Sample, q: f64, more_is_better: bool) -> Comparison {
    let (a, b) = (first.estimate(q), second.estimate(q));
    let difference = a.zip(b).map(|(a, b)| {
        let value = b.value - a.value;
        Estimate {
            value,
            low: value - (b.value - b.low).hypot(a.high - a.value),
            high: value + (b.high - b.value).hypot(a.value - a.low),
        }
    });
    let verdict = match difference {
        _ if first.size() < LEAST || second.size() < LEAST => Verdict::TooFew,
        None => Verdict::TooFew,
        Some(d) if d.low > 0.0 && more_is_better || d.high < 0.0 && !more_is_better => Verdict::Better,
        Some(d) if d.low > 0.0 || d.high < 0.0 => Verdict::Worse,
        Some(_) => Verdict::NoDifferenceShown,
    };
    Comparison { first: a, second: b, difference, verdict }
}

/// What can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Asr,
    Ner,
    Ser,
    Seer,
    Isa,
    BadCalls,
    ShortCalls,
    PddP50,
    PddP95,
    SetupP50,
    SetupP95,
    DelayVariationP50,
    DelayVariationP95,
    DelayVariationP99,
    JitterP50,
    JitterP95,
    JitterP99,
    MosUnder36,
    MosUnder31,
    OneSided,
    MosNbP5,
    MosNbP50,
    MosWbP5,
    MosWbP50,
    MosFbP5,
    MosFbP50,
    /// Packets that a stream lost, percent, without those that the capture lost.
    LossP50,
    LossP95,
    /// Streams that lost more than 1 % so.
    LossOver1Pct,
}

impl Figure {
    pub const ALL: [Figure; 29] = [
        Figure::Asr,
        Figure::Ner,
        Figure::Ser,
        Figure::Seer,
        Figure::Isa,
        Figure::BadCalls,
        Figure::ShortCalls,
        Figure::PddP50,
        Figure::PddP95,
        Figure::SetupP50,
        Figure::SetupP95,
        Figure::DelayVariationP50,
        Figure::DelayVariationP95,
        Figure::DelayVariationP99,
        Figure::JitterP50,
        Figure::JitterP95,
        Figure::JitterP99,
        Figure::MosUnder36,
        Figure::MosUnder31,
        Figure::OneSided,
        Figure::MosNbP5,
        Figure::MosNbP50,
        Figure::MosWbP5,
        Figure::MosWbP50,
        Figure::MosFbP5,
        Figure::MosFbP50,
        Figure::LossP50,
        Figure::LossP95,
        Figure::LossOver1Pct,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Figure::Asr => "asr",
            Figure::Ner => "ner",
            Figure::Ser => "ser",
            Figure::Seer => "seer",
            Figure::Isa => "isa",
            Figure::BadCalls => "bad_calls",
            Figure::ShortCalls => "short_calls",
            Figure::PddP50 => "pdd_p50",
            Figure::PddP95 => "pdd_p95",
            Figure::SetupP50 => "setup_p50",
            Figure::SetupP95 => "setup_p95",
            Figure::DelayVariationP50 => "delay_variation_p50",
            Figure::DelayVariationP95 => "delay_variation_p95",
            Figure::DelayVariationP99 => "delay_variation_p99",
            Figure::JitterP50 => "jitter_p50",
            Figure::JitterP95 => "jitter_p95",
            Figure::JitterP99 => "jitter_p99",
            Figure::MosUnder36 => "mos_under_3_6",
            Figure::MosUnder31 => "mos_under_3_1",
            Figure::OneSided => "one_sided",
            Figure::MosNbP5 => "mos_nb_p5",
            Figure::MosNbP50 => "mos_nb_p50",
            Figure::MosWbP5 => "mos_wb_p5",
            Figure::MosWbP50 => "mos_wb_p50",
            Figure::MosFbP5 => "mos_fb_p5",
            Figure::MosFbP50 => "mos_fb_p50",
            Figure::LossP50 => "loss_p50",
            Figure::LossP95 => "loss_p95",
            Figure::LossOver1Pct => "loss_over_1_pct",
        }
    }

    /// `pct` (of calls or streams; of a stream's packets for quantiles of loss), `ms` or `mos`.
    pub fn unit(self) -> &'static str {
        match self {
            _ if self.scale().is_some() => "mos",
            Figure::LossP50 | Figure::LossP95 => "pct",
            _ if self.quantile().is_some() => "ms",
            _ => "pct",
        }
    }

    pub fn more_is_better(self) -> bool {
        matches!(self, Figure::Asr | Figure::Ner | Figure::Ser | Figure::Seer) || self.scale().is_some()
    }

    /// Scale of a MOS; values on different scales are not comparable.
    fn scale(self) -> Option<&'static str> {
        match self {
            Figure::MosNbP5 | Figure::MosNbP50 => Some("nb"),
            Figure::MosWbP5 | Figure::MosWbP50 => Some("wb"),
            Figure::MosFbP5 | Figure::MosFbP50 => Some("fb"),
            _ => None,
        }
    }

    fn is_of_loss(self) -> bool {
        matches!(self, Figure::LossP50 | Figure::LossP95 | Figure::LossOver1Pct)
    }

    /// Whether it counts calls; the others count streams.
    pub fn is_of_calls(self) -> bool {
        (self as u8) < Figure::DelayVariationP50 as u8
    }

    fn quantile(self) -> Option<f64> {
        match self {
            Figure::PddP50 | Figure::SetupP50 | Figure::DelayVariationP50 | Figure::JitterP50 | Figure::LossP50 => {
                Some(0.5)
            }
            Figure::PddP95 | Figure::SetupP95 | Figure::DelayVariationP95 | Figure::JitterP95 | Figure::LossP95 => {
                Some(0.95)
            }
            Figure::MosNbP5 | Figure::MosWbP5 | Figure::MosFbP5 => Some(0.05),
            Figure::MosNbP50 | Figure::MosWbP50 | Figure::MosFbP50 => Some(0.5),
            Figure::DelayVariationP99 | Figure::JitterP99 => Some(0.99),
            _ => None,
        }
    }

    fn of_calls(self, of: &Outcomes) -> Sample {
        let class = |name: &str| of.classes.iter().find(|(class, _)| class == name).map_or(0, |(_, n)| *n);
        let share = |(part, of): (u64, u64)| Sample::Share { part: part.min(of), of };
        let spans = |spans: &Spans| Sample::Values {
            counts: spans.0.iter().map(|(bucket, n)| (span_bucket_middle(*bucket).as_millis_f64(), *n)).collect(),
            independent: spans.total(),
        };
        match self {
            Figure::Asr => share(of.asr()),
            Figure::Ner => share(of.ner()),
            Figure::Ser => share(of.ser()),
            Figure::Seer => share(of.seer()),
            Figure::Isa => share(of.isa()),
            Figure::BadCalls => {
                let bad = class("poor") + class("failed");
                share((bad, bad + class("good") + class("fair")))
            }
            Figure::ShortCalls => share((of.short, of.duration.total())),
            Figure::SetupP50 | Figure::SetupP95 => spans(&of.setup),
            _ => spans(&of.pdd),
        }
    }

    fn of_streams(self, of: &StatsGroup) -> Sample {
        // Intervals of one stream are no independent observations.
        let share = |part: u64, all: u64| {
            let part = if all == 0 { 0.0 } else { part as f64 / all as f64 * of.streams as f64 };
            Sample::Share { part: part.round() as u64, of: if all == 0 { 0 } else { of.streams } }
        };
        let values = |counts: &[u64]| Sample::Values {
            counts: counts
                .iter()
                .enumerate()
                .filter(|(_, n)| **n > 0)
                .map(|(bucket, n)| (DelayHistogram::middle(bucket).as_millis_f64(), *n))
                .collect(),
            independent: of.streams,
        };
        if let Some(wanted) = self.scale() {
            let scale = of.mos.iter().find(|scale| scale.scale == wanted);
            let counts = scale.map_or(&[][..], |scale| &scale.counts);
            return Sample::Values {
                counts: counts.iter().map(|(mos, n)| (f64::from(*mos) / 100.0, *n)).collect(),
                independent: of.streams,
            };
        }
        let rated = of.mos.iter().map(|scale| scale.intervals).sum();
        match self {
            Figure::MosUnder36 => share(of.mos_under_3_6, rated),
            Figure::MosUnder31 => share(of.mos_under_3_1, rated),
            Figure::OneSided => share(of.one_sided, of.intervals),
            Figure::JitterP50 | Figure::JitterP95 | Figure::JitterP99 => values(&of.jitter),
            _ => values(&of.pdv),
        }
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    pub window: Window,
    pub codec: Option<String>,
    pub filter: OutcomeFilter,
}

/// A comparison, and how many streams or calls each side stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub comparison: Comparison,
    pub sizes: [u64; 2],
}

impl Session {
    /// Compares a figure of `second` with that of `first`.
    ///
    /// # Errors
    /// A codec with a figure of calls, and times before the store had sums.
    pub async fn compare(&self, figure: Figure, first: &Side, second: &Side) -> Result<Compared, QueryError> {
        let (a, b) = (self.sample(figure, first).await?, self.sample(figure, second).await?);
        let comparison = compare(&a, &b, figure.quantile().unwrap_or_default(), figure.more_is_better());
        Ok(Compared { comparison, sizes: [a.size(), b.size()] })
    }

    async fn sample(&self, figure: Figure, side: &Side) -> Result<Sample, QueryError> {
        let without_sums = || {
            QueryError::BadRequest("only times since the store has sums can be compared; ask for later ones".to_owned())
        };
        let Side { window, codec, filter } = side;
        if self.lacks(Sums::Groups, window.from, window.to).await? {
            return Err(without_sums());
        }
        if figure.is_of_calls() {
            if codec.is_some() {
                return Err(QueryError::BadRequest(format!(
                    "`codec` does not narrow `{}`: calls have several",
                    figure.name()
                )));
            }
            let request =
                OutcomeRequest { window: *window, filter: filter.clone(), group_by: Vec::new(), bucket: None };
            let page = self.outcomes(&request).await?;
            return Ok(figure.of_calls(page.groups.first().unwrap_or(&Outcomes::default())));
        }
        let OutcomeFilter { trunk, trunk_direction, site } = filter.clone();
        let filter = StreamFilter { codec: codec.clone(), trunk, trunk_direction, site, ..StreamFilter::default() };
        if figure.is_of_loss() {
            return self.loss(figure, &filter, *window).await;
        }
        let scale = figure.scale();
        // The streams of one scale are counted by themselves.
        let group_by = scale.map_or_else(Vec::new, |_| vec![GroupBy::MosScale]);
        let page = self.stats(&StatsRequest { window: *window, filter, group_by, bucket: None }).await?;
        let group = page.groups.iter().find(|group| scale.is_none_or(|scale| group.key == [scale]));
        let nothing = Sample::Share { part: 0, of: 0 };
        Ok(group.map_or(nothing, |group| figure.of_streams(group)))
    }

    /// Loss of each stream in the window, from the rows of its intervals: sums do not know single streams.
    async fn loss(&self, figure: Figure, filter: &StreamFilter, window: Window) -> Result<Sample, QueryError> {
        if window.length() > Window::MAX_DETAIL {
            return Err(QueryError::BadRequest(format!(
                "the loss of single streams is compared over at most {MAX_DETAIL_DAYS} days; ask for a shorter time range"
            )));
        }
        // Hundredths of a percent.
        let rows: Vec<(u16, u64)> = Statement::new(concat!(
            "SELECT toUInt16(round(10000 * least(lost_of, expected_of) / expected_of)) AS loss, count() AS n FROM (\
                 SELECT stream_id, sum(lost) - sum(",
            lost_to_capture!(),
            ") AS lost_of, sum(expected) AS expected_of FROM stream_intervals",
        ))
        .conditions(filter.interval_conditions(window))
        .text(" GROUP BY stream_id HAVING expected_of > 0) GROUP BY loss ORDER BY loss LIMIT {limit:UInt32}")
        .value("limit", Value::Uint(10_001))
        .fetch_all(&self.client)
        .await?;
        let streams = rows.iter().map(|(_, n)| n).sum();
        Ok(match figure {
            Figure::LossOver1Pct => {
                let over = rows.iter().filter(|(loss, _)| *loss > 100).map(|(_, n)| n).sum();
                Sample::Share { part: over, of: streams }
            }
            _ => Sample::Values {
                counts: rows.into_iter().map(|(loss, n)| (f64::from(loss) / 100.0, n)).collect(),
                independent: streams,
            },
        })
    }
}

/// Wilson's score interval of a share.
fn wilson(part: u64, of: u64) -> (f64, f64) {
    let (p, n) = (part as f64 / of as f64, of as f64);
    let z2 = Z * Z;
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 0.005
    }

    /// Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17 (1998), table II:
    /// example (a), method 10.
    #[test]
    fn the_difference_of_shares_is_that_of_the_literature() {
        let first = Sample::Share { part: 48, of: 80 };
        let second = Sample::Share { part: 56, of: 70 };
        let d = compare(&first, &second, 0.5, true).difference.unwrap();
        assert!(near(d.value, 20.0) && (d.low - 5.24).abs() < 0.05 && (d.high - 33.39).abs() < 0.05, "{d:?}");
        let one = Sample::Share { part: 81, of: 263 }.estimate(0.5).unwrap();
        assert!((one.low - 25.53).abs() < 0.02 && (one.high - 36.62).abs() < 0.02, "{one:?}");
    }

    #[test]
    fn few_streams_say_nothing_however_many_packets_they_had() {
        let values = |shift: f64, independent| Sample::Values {
            counts: (0..100).map(|n| (f64::from(n) + shift, 1_000_000)).collect(),
            independent,
        };
        let verdict = |n| compare(&values(0.0, n), &values(20.0, n), 0.95, false).verdict;
        assert_eq!(verdict(5), Verdict::TooFew);
        assert_eq!(verdict(2_000), Verdict::Worse);
        assert_eq!(compare(&values(0.0, 2_000), &values(1.0, 25), 0.5, false).verdict, Verdict::NoDifferenceShown);
        let nothing = Sample::Values { counts: Vec::new(), independent: 0 };
        assert_eq!(compare(&nothing, &values(0.0, 50), 0.5, false).verdict, Verdict::TooFew);
        assert_eq!(compare(&values(20.0, 2_000), &values(0.0, 2_000), 0.95, false).verdict, Verdict::Better);
        assert_eq!(compare(&values(0.0, 2_000), &values(20.0, 2_000), 0.5, true).verdict, Verdict::Better);
    }

    /// Samples of one population: a difference is claimed about as seldom as 95 % says.
    #[test]
    fn a_difference_is_seldom_claimed_where_there_is_none() {
        let mut state = 9u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        let mut values = |n: usize| {
            let mut all: Vec<f64> = (0..n).map(|_| -uniform().max(1e-12).ln()).collect();
            all.sort_by(f64::total_cmp);
            Sample::Values { counts: all.into_iter().map(|v| (v, 1)).collect(), independent: n as u64 }
        };
        let rounds = 2_000;
        let claimed = (0..rounds)
            .filter(|_| compare(&values(60), &values(200), 0.9, false).verdict != Verdict::NoDifferenceShown)
            .count();
        assert!(claimed < rounds * 7 / 100, "{claimed} of {rounds}");
    }
}
