//! JSON parts that streams, intervals, calls and statistics share: bursts, the R budget, the receiver's view.
//!
//! Each is made from a stored row here, and from the engine's record in `json_report`.

use super::json::{Ordered, known};
use auscult_core::model::DISCARD_BUFFERS_MS;
use serde::Serialize;
use utoipa::ToSchema;

/// A listening MOS and its scale.
#[derive(Debug, Serialize, ToSchema)]
pub struct RatedJson {
    pub lq: f64,
    /// `nb`, `wb` or `fb`.
    #[schema(required)]
    pub scale: Option<String>,
}

impl RatedJson {
    pub fn new(lq: Option<f32>, scale: String) -> Option<RatedJson> {
        lq.map(|lq| RatedJson { lq: real(lq), scale: known(scale) })
    }
}

/// Time from a request to its automatic answer at the probe, by the side that answers. Null where none was seen.
#[derive(Debug, Serialize, ToSchema)]
pub struct SipRttJson {
    #[schema(required)]
    pub toward_caller: Option<RoundTripsJson>,
    #[schema(required)]
    pub toward_callee: Option<RoundTripsJson>,
}

/// Least and most, milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoundTripsJson {
    pub samples: u32,
    pub min: f64,
    pub max: f64,
}

impl RoundTripsJson {
    pub fn new(samples: Option<u32>, min: Option<f32>, max: Option<f32>) -> Option<RoundTripsJson> {
        Some(RoundTripsJson { samples: samples?, min: real(min?), max: real(max?) })
    }
}

/// Lost packets by RFC 3611 section 4.7.2, Gmin 16: [bursts](/docs/metrics#loss-runs-bursts-and-the-burst-ratio).
/// Durations are null where the packet time is unknown.
#[derive(Debug, Serialize, ToSchema)]
pub struct BurstsJson {
    pub count: u64,
    /// Lost share of the packets inside bursts, percent.
    #[schema(required)]
    pub density_pct: Option<f64>,
    /// Lost share of the packets outside bursts, percent.
    #[schema(required)]
    pub gap_density_pct: Option<f64>,
    /// Mean, first to last lost packet.
    #[schema(required)]
    pub duration_ms: Option<f64>,
    /// Mean stretch outside bursts: the text of the RFC.
    #[schema(required)]
    pub gap_duration_ms: Option<f64>,
    /// All time outside bursts by the number of bursts: the RFC's example and appendix A.2.
    #[schema(required)]
    pub gap_duration_a2_ms: Option<f64>,
    /// BurstR of the lost packets; 1 is random loss.
    #[schema(required)]
    pub burst_ratio: Option<f64>,
    /// P(lost | the one before came).
    #[schema(required)]
    pub markov_p: Option<f64>,
    /// P(came | the one before was lost).
    #[schema(required)]
    pub markov_q: Option<f64>,
    #[schema(required)]
    pub mean_loss_run: Option<f64>,
    /// Sequence numbers from one lost packet to the next (RFC 3357).
    #[schema(required)]
    pub mean_loss_distance: Option<f64>,
}

/// As `bursts`, of packets that were lost or discarded by the jitter buffer:
/// [lost or late](/docs/metrics#lost_or_late). The four from `markov_p` on are not stored: `auscult analyze` alone has them.
#[derive(Debug, Serialize, ToSchema)]
pub struct LostOrLateJson {
    /// The fixed buffer: packets later than this above the base count as bad. Null for the adaptive buffer.
    #[schema(required)]
    pub buffer_ms: Option<u16>,
    pub count: u64,
    /// Lost or late share of the packets inside bursts, and outside, percent.
    #[schema(required)]
    pub density_pct: Option<f64>,
    #[schema(required)]
    pub gap_density_pct: Option<f64>,
    #[schema(required)]
    pub duration_ms: Option<f64>,
    #[schema(required)]
    pub gap_duration_ms: Option<f64>,
    #[schema(required)]
    pub gap_duration_a2_ms: Option<f64>,
    #[schema(required)]
    pub burst_ratio: Option<f64>,
    /// P(lost or late | the one before was played).
    #[schema(required)]
    pub markov_p: Option<f64>,
    /// P(played | the one before was lost or late).
    #[schema(required)]
    pub markov_q: Option<f64>,
    /// Mean length of runs of lost or late packets.
    #[schema(required)]
    pub mean_loss_run: Option<f64>,
    /// Sequence numbers from one to the next (RFC 3357).
    #[schema(required)]
    pub mean_loss_distance: Option<f64>,
}

impl LostOrLateJson {
    /// A buffer of 0 ms is the adaptive one.
    pub fn new(buffer_ms: u16, bursts: BurstsJson) -> LostOrLateJson {
        LostOrLateJson {
            buffer_ms: (buffer_ms > 0).then_some(buffer_ms),
            count: bursts.count,
            density_pct: bursts.density_pct,
            gap_density_pct: bursts.gap_density_pct,
            duration_ms: bursts.duration_ms,
            gap_duration_ms: bursts.gap_duration_ms,
            gap_duration_a2_ms: bursts.gap_duration_a2_ms,
            burst_ratio: bursts.burst_ratio,
            markov_p: bursts.markov_p,
            markov_q: bursts.markov_q,
            mean_loss_run: bursts.mean_loss_run,
            mean_loss_distance: bursts.mean_loss_distance,
        }
    }
}

/// Difference of delay between packets that follow each other, without sign: [IPDV](/docs/metrics#variation).
#[derive(Debug, Serialize, ToSchema)]
pub struct IpdvJson {
    #[schema(required)]
    pub mean: Option<f64>,
    #[schema(required)]
    pub max: Option<f64>,
    /// Differences the mean is of; null for rows stored before this was kept.
    #[schema(required)]
    pub samples: Option<u64>,
}

/// What [MAPDV2](/docs/metrics#variation) is the sum of: mean deviation above the running mean of the delay and below
/// it, with their numbers, so that spans add up. A mean of nothing is null.
#[derive(Debug, Serialize, ToSchema)]
pub struct Mapdv2PartsJson {
    #[schema(required)]
    pub above_ms: Option<f64>,
    #[schema(required)]
    pub above_samples: Option<u64>,
    #[schema(required)]
    pub below_ms: Option<f64>,
    #[schema(required)]
    pub below_samples: Option<u64>,
}

/// What the distance from the clean rating is made of, in points of R on the scale of the rating:
/// [R budget](/docs/metrics#the-r-budget). `clean_max` less the other four is the rating with delay.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetJson {
    pub clean_max: f64,
    pub codec: f64,
    /// Loss up to the probe.
    pub loss: f64,
    /// Late packets, on top of that loss.
    pub late: f64,
    /// 0 where the delay is unknown.
    pub delay: f64,
}

impl BudgetJson {
    /// `parts`: clean maximum, codec, loss, late, delay.
    pub fn new(parts: [Option<f32>; 5]) -> Option<BudgetJson> {
        let [clean_max, codec, loss, late, delay] = parts.map(reals);
        Some(BudgetJson { clean_max: clean_max?, codec: codec?, loss: loss?, late: late?, delay: delay? })
    }
}

/// What the receiver reports by RTCP, first report to last, beside what the probe saw over the same time:
/// [the receiver's view](/docs/metrics#the-receiver-s-view).
#[derive(Debug, Serialize, ToSchema)]
pub struct RemoteJson {
    pub reports: u32,
    #[schema(required)]
    pub expected: Option<u64>,
    /// Copies count as received there, so this may be negative.
    #[schema(required)]
    pub lost: Option<i64>,
    #[schema(required)]
    pub loss_pct: Option<f64>,
    #[schema(required)]
    pub jitter_last_ms: Option<f64>,
    #[schema(required)]
    pub jitter_max_ms: Option<f64>,
    #[schema(required)]
    pub lost_before_probe: Option<u64>,
    /// Negative where the receiver got packets the probe did not.
    #[schema(required)]
    pub lost_behind_probe: Option<i64>,
    /// `none`, `before_probe`, `behind_probe`, `both` or `capture`.
    #[schema(required)]
    pub loss_side: Option<String>,
}

/// `[low, high]`, `None` where the loss is not in doubt.
pub fn bounds(low: Option<f32>, high: Option<f32>) -> Option<[f64; 2]> {
    low.zip(high).map(|(low, high)| [low, high].map(real))
}

/// A number of a row, which keeps 32 bits: the seven decimal digits that these hold.
pub fn real(value: f32) -> f64 {
    let value = f64::from(value);
    let mut scale = 1.0;
    while value.abs() * scale < 1e6 && scale < 1e9 {
        scale *= 10.0;
    }
    (value * scale).round() / scale
}

/// [`real`] of one that may be missing.
pub fn reals(value: Option<f32>) -> Option<f64> {
    value.map(real)
}

/// `part` of `of` in percent, 0 of nothing: a density as RFC 3611 has it.
pub fn density_pct(part: Option<impl Into<u64>>, of: Option<impl Into<u64>>) -> Option<f64> {
    let (part, of): (u64, u64) = (part?.into(), of?.into());
    Some(share_pct(part, of).unwrap_or(0.0))
}

/// `part` of `of` in percent, `None` of nothing.
pub fn share_pct(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| 100.0 * part as f64 / of as f64)
}

/// Late share per fixed buffer, of the packets whose delay is known.
pub(super) fn late_pct<N: Copy + Into<u64>>(late: &[N], delays_known: u64) -> Ordered<Option<f64>> {
    let share = |index: usize| late.get(index).and_then(|late| share_pct((*late).into(), delays_known));
    Ordered(DISCARD_BUFFERS_MS.iter().enumerate().map(|(index, size)| (size.to_string(), share(index))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nothing_are_unknown_and_densities_are_zero() {
        assert_eq!((share_pct(0, 0), share_pct(1, 8)), (None, Some(12.5)));
        assert_eq!(density_pct(Some(0u64), Some(0u64)), Some(0.0));
        assert_eq!(density_pct(None::<u64>, Some(4u64)), None);
        let late = late_pct(&[2u32, 1], 200).0;
        assert_eq!(late[..3], [("20".to_owned(), Some(1.0)), ("40".to_owned(), Some(0.5)), ("60".to_owned(), None)]);
        assert_eq!(late.len(), DISCARD_BUFFERS_MS.len());
        assert!(late_pct(&[0u64; 7], 0).0.iter().all(|(_, share)| share.is_none()));
    }

    #[test]
    fn numbers_of_rows_have_the_digits_they_hold() {
        for (row, number) in
            [(4.2f32, 4.2), (0.1, 0.1), (93.206, 93.206), (4294.967, 4294.967), (0.0, 0.0), (-0.125, -0.125)]
        {
            assert_eq!(real(row), number);
        }
        assert_eq!((real(1e-12), real(16_777_216.0), real(3e9)), (0.0, 16_777_216.0, 3e9));
    }

    #[test]
    fn a_budget_is_whole_or_absent() {
        assert!(BudgetJson::new([Some(93.2), Some(0.0), Some(1.0), Some(2.0), Some(3.0)]).is_some());
        assert!(BudgetJson::new([Some(93.2), None, Some(1.0), Some(2.0), Some(3.0)]).is_none());
    }
}
