//! JSON parts that streams, intervals, calls and statistics share: bursts, the R budget, the receiver's view.

use super::json::{Ordered, known};
use auscult_core::model::DISCARD_BUFFERS_MS;
use serde::Serialize;
use utoipa::ToSchema;

/// A listening MOS and its scale.
#[derive(Serialize, ToSchema)]
pub struct RatedJson {
    lq: f32,
    /// `nb`, `wb` or `fb`.
    #[schema(required)]
    scale: Option<String>,
}

impl RatedJson {
    pub fn new(lq: Option<f32>, scale: String) -> Option<RatedJson> {
        lq.map(|lq| RatedJson { lq, scale: known(scale) })
    }
}

/// Time from a request to its automatic answer at the probe, by the side that answers. Null where none was seen.
#[derive(Serialize, ToSchema)]
pub struct SipRttJson {
    #[schema(required)]
    pub toward_caller: Option<RoundTripsJson>,
    #[schema(required)]
    pub toward_callee: Option<RoundTripsJson>,
}

/// Least and most, milliseconds.
#[derive(Serialize, ToSchema)]
pub struct RoundTripsJson {
    samples: u32,
    min: f32,
    max: f32,
}

impl RoundTripsJson {
    pub fn new(samples: Option<u32>, min: Option<f32>, max: Option<f32>) -> Option<RoundTripsJson> {
        Some(RoundTripsJson { samples: samples?, min: min?, max: max? })
    }
}

/// Lost packets by RFC 3611 section 4.7.2, Gmin 16: [bursts](/docs/metrics#loss-runs-bursts-and-the-burst-ratio).
/// Durations are null where the packet time is unknown.
#[derive(Serialize, ToSchema)]
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
    pub duration_ms: Option<f32>,
    /// Mean stretch outside bursts: the text of the RFC.
    #[schema(required)]
    pub gap_duration_ms: Option<f32>,
    /// All time outside bursts by the number of bursts: the RFC's example and appendix A.2.
    #[schema(required)]
    pub gap_duration_a2_ms: Option<f32>,
    /// BurstR of the lost packets; 1 is random loss.
    #[schema(required)]
    pub burst_ratio: Option<f32>,
    /// P(lost | the one before came).
    #[schema(required)]
    pub markov_p: Option<f32>,
    /// P(came | the one before was lost).
    #[schema(required)]
    pub markov_q: Option<f32>,
    #[schema(required)]
    pub mean_loss_run: Option<f32>,
    /// Sequence numbers from one lost packet to the next (RFC 3357).
    #[schema(required)]
    pub mean_loss_distance: Option<f32>,
}

/// As `bursts`, of packets that were lost or discarded by the jitter buffer:
/// [lost or late](/docs/metrics#lost_or_late).
#[derive(Serialize, ToSchema)]
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
    pub duration_ms: Option<f32>,
    #[schema(required)]
    pub gap_duration_ms: Option<f32>,
    #[schema(required)]
    pub gap_duration_a2_ms: Option<f32>,
    #[schema(required)]
    pub burst_ratio: Option<f32>,
}

/// Difference of delay between packets that follow each other, without sign: [IPDV](/docs/metrics#variation).
#[derive(Serialize, ToSchema)]
pub struct IpdvJson {
    #[schema(required)]
    pub mean: Option<f32>,
    #[schema(required)]
    pub max: Option<f32>,
    /// Differences the mean is of; null for rows stored before this was kept.
    #[schema(required)]
    pub samples: Option<u64>,
}

/// What [MAPDV2](/docs/metrics#variation) is the sum of: mean deviation above the running mean of the delay and below
/// it, with their numbers, so that spans add up. A mean of nothing is null.
#[derive(Serialize, ToSchema)]
pub struct Mapdv2PartsJson {
    #[schema(required)]
    pub above_ms: Option<f32>,
    #[schema(required)]
    pub above_samples: Option<u64>,
    #[schema(required)]
    pub below_ms: Option<f32>,
    #[schema(required)]
    pub below_samples: Option<u64>,
}

/// What the distance from the clean rating is made of, in points of R on the scale of the rating:
/// [R budget](/docs/metrics#the-r-budget). `clean_max` less the other four is the rating with delay.
#[derive(Serialize, ToSchema)]
pub struct BudgetJson {
    clean_max: f32,
    codec: f32,
    /// Loss up to the probe.
    loss: f32,
    /// Late packets, on top of that loss.
    late: f32,
    /// 0 where the delay is unknown.
    delay: f32,
}

impl BudgetJson {
    /// `parts`: clean maximum, codec, loss, late, delay.
    pub fn new(parts: [Option<f32>; 5]) -> Option<BudgetJson> {
        let [clean_max, codec, loss, late, delay] = parts;
        Some(BudgetJson { clean_max: clean_max?, codec: codec?, loss: loss?, late: late?, delay: delay? })
    }
}

/// What the receiver reports by RTCP, first report to last, beside what the probe saw over the same time:
/// [the receiver's view](/docs/metrics#the-receiver-s-view).
#[derive(Serialize, ToSchema)]
pub struct RemoteJson {
    pub reports: u32,
    #[schema(required)]
    pub expected: Option<u64>,
    /// Copies count as received there, so this may be negative.
    #[schema(required)]
    pub lost: Option<i64>,
    #[schema(required)]
    pub loss_pct: Option<f32>,
    #[schema(required)]
    pub jitter_last_ms: Option<f32>,
    #[schema(required)]
    pub jitter_max_ms: Option<f32>,
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
pub fn bounds(low: Option<f32>, high: Option<f32>) -> Option<[f32; 2]> {
    low.zip(high).map(|(low, high)| [low, high])
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
    fn a_budget_is_whole_or_absent() {
        assert!(BudgetJson::new([Some(93.2), Some(0.0), Some(1.0), Some(2.0), Some(3.0)]).is_some());
        assert!(BudgetJson::new([Some(93.2), None, Some(1.0), Some(2.0), Some(3.0)]).is_none());
    }
}
