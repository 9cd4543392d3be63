//! How much the capture may lose of everything, packet by packet: what no single gap shows.
//!
//! A mirror port that drops single frames spares nobody; a network harms some far ends and directions and leaves others
//! whole. So far ends and directions without any loss bound what the capture can have lost of all (binomial): with a loss
//! of p, of those that sent N packets no more than (1 - p)^N stay whole. Many of them say that the capture lost next to
//! nothing; next to none, that it may have lost what the least harmed ones lost. It is a statement about the probe and an
//! interval; it moves no packet to the capture, but leaves open whose loss it is.

use super::capture_loss::Way;
use super::remote::FewMissing;
use crate::model::LossFloor;
use crate::units::Seeded;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Far ends and directions without which nothing is said, and packets of each.
const ENOUGH: usize = 12;
const PACKETS: u64 = 100;
/// Standard deviations of the count of those without loss.
const SIGMAS: f64 = 3.0;
/// At least this share of far ends and directions is whole where only the network loses.
const WHOLE: f64 = 1.0 / 3.0;
/// Halvings of an interval of 0 to 1.
const STEPS: usize = 24;

#[derive(Debug)]
pub struct FloorCounter {
    /// Packets expected and lost, by far end and direction.
    ways: HashMap<Way, (u64, u64), Seeded>,
}

impl FloorCounter {
    pub fn new(hasher: &Seeded) -> FloorCounter {
        FloorCounter { ways: HashMap::with_hasher(hasher.clone()) }
    }

    /// Adds a stream's interval; `lost` is without what is known to be the capture's.
    pub fn add(&mut self, way: Way, expected: u64, lost: u64) {
        let sum = self.ways.entry(way).or_default();
        (sum.0, sum.1) = (sum.0 + expected, sum.1 + lost);
    }

    /// What the interval says, and begins the next.
    pub fn take(&mut self) -> Option<LossFloor> {
        let mut sums: Vec<(u64, u64)> = self.ways.drain().map(|(_, sum)| sum).collect();
        sums.retain(|(expected, _)| *expected >= PACKETS);
        // The order of a sum of floats is that of the counts, not of a hash.
        sums.sort_unstable();
        floor(&sums)
    }
}

/// Intervals over which reports add up.
const REPORTED_INTERVALS: usize = 6;
/// Streams whose receiver misses another number than the probe, without which nothing is said.
const DIFFERENT: f64 = 20.0;
/// Standard deviations of the sign test: one in thirty thousand.
const SIGN: f64 = 4.0;

/// What probe and receivers miss of streams that lose next to nothing. A single packet of one stream proves nothing; where many more
/// streams miss a packet at the probe only than at the receiver only (sign test), the capture lost them.
#[derive(Debug, Default)]
pub struct ReportSums {
    intervals: VecDeque<Reports>,
    present: Reports,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reports {
    more: f64,
    fewer: f64,
    ours: f64,
    theirs: f64,
    expected: f64,
}

impl ReportSums {
    pub fn add(&mut self, few: &FewMissing) {
        let sum = &mut self.present;
        sum.more += f64::from(u8::from(few.ours > few.theirs));
        sum.fewer += f64::from(u8::from(few.ours < few.theirs));
        sum.ours += f64::from(few.ours);
        sum.theirs += f64::from(few.theirs);
        sum.expected += f64::from(few.expected);
    }

    /// Ends an interval. Where reports give a floor, it takes the place of the one by far ends.
    pub fn take(&mut self, by_far_ends: Option<LossFloor>) -> Option<LossFloor> {
        if self.intervals.len() == REPORTED_INTERVALS {
            self.intervals.pop_front();
        }
        self.intervals.push_back(std::mem::take(&mut self.present));
        let mut sum = Reports::default();
        for one in &self.intervals {
            sum.more += one.more;
            sum.fewer += one.fewer;
            sum.ours += one.ours;
            sum.theirs += one.theirs;
            sum.expected += one.expected;
        }
        let different = sum.more + sum.fewer;
        if different < DIFFERENT || sum.more - sum.fewer < SIGN * different.sqrt() {
            return by_far_ends;
        }
        let (by, spread) = (sum.ours - sum.theirs, SIGMAS * (sum.ours + sum.theirs).sqrt());
        let share = |packets: f64| (packets.max(0.0) / sum.expected.max(1.0)).min(1.0) as f32;
        Some(LossFloor { low: share(by - spread), high: share(by + spread), reported: true })
    }
}

fn floor(sums: &[(u64, u64)]) -> Option<LossFloor> {
    if sums.len() < ENOUGH {
        return None;
    }
    if sums.iter().all(|(_, lost)| *lost == 0) {
        return Some(LossFloor { low: 0.0, high: 0.0, reported: false });
    }
    let whole = sums.iter().filter(|(_, lost)| *lost == 0).count() as f64;
    let spread = SIGMAS * whole.max(1.0).sqrt();
    let (expected, lost) = sums.iter().fold((0, 0), |(e, l), sum| (e + sum.0, l + sum.1));
    let most = lost as f64 / expected.max(1) as f64;
    // Where next to none is whole, the capture may have lost what most of them lost.
    let high = match whole > spread {
        true => share_that_leaves(sums, whole - spread).min(most),
        false => median_share(sums),
    };
    let low = share_that_leaves(sums, (whole + spread) / WHOLE).min(high);
    Some(LossFloor { low: low as f32, high: high as f32, reported: false })
}

fn median_share(sums: &[(u64, u64)]) -> f64 {
    let mut shares: Vec<f64> = sums.iter().map(|(expected, lost)| *lost as f64 / *expected as f64).collect();
    shares.sort_unstable_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or(0.0)
}

/// The loss of everything that leaves so many without any.
fn share_that_leaves(sums: &[(u64, u64)], whole: f64) -> f64 {
    let left = |p: f64| sums.iter().map(|(expected, _)| (1.0 - p).powf(*expected as f64)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    if left(low) <= whole {
        return 0.0;
    }
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        if left(middle) > whole { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `whole` and `harmed` far ends with 500 packets each; the harmed ones lost so many.
    fn of(whole: usize, harmed: usize, lost: u64) -> LossFloor {
        let mut sums = vec![(500, 0); whole];
        sums.extend(vec![(500, lost); harmed]);
        floor(&sums).unwrap()
    }

    #[test]
    fn far_ends_without_loss_bound_what_the_capture_lost() {
        assert_eq!(of(400, 0, 0), LossFloor { low: 0.0, high: 0.0, reported: false });
        let half = of(200, 200, 10);
        assert!(half.low == 0.0 && half.high < 0.002, "{half:?}");
        let few = of(14, 1, 20);
        assert!(few.low == 0.0 && few.high < 0.003, "{few:?}");
    }

    #[test]
    fn loss_that_spares_nobody_may_be_the_captures() {
        // 1 % of 500 packets spares 0.7 % of far ends.
        let floor = of(3, 397, 5);
        assert!((0.002..0.01).contains(&floor.low) && (floor.high - 0.01).abs() < 1e-6, "{floor:?}");
        let all = of(0, 400, 25);
        assert!(all.low > 0.005 && (all.high - 0.05).abs() < 1e-6, "{all:?}");
    }

    #[test]
    fn reports_of_many_streams_decide_where_those_of_one_do_not() {
        let mut sums = ReportSums::default();
        let mut reports = |ours, theirs, count| {
            (0..count).for_each(|_| sums.add(&FewMissing { ours, theirs, expected: 500 }));
        };
        // 0.1 % lost by the capture: in 400 streams of 500 packets.
        reports(1, 0, 130);
        reports(2, 0, 35);
        reports(0, 0, 235);
        let floor = sums.take(None).unwrap();
        assert!(floor.low > 0.0005 && floor.high < 0.0015 && floor.low < 0.001 && floor.high > 0.001, "{floor:?}");
        // The same lost by the network.
        let mut sums = ReportSums::default();
        let mut reports = |ours, theirs, count| {
            (0..count).for_each(|_| sums.add(&FewMissing { ours, theirs, expected: 500 }));
        };
        reports(1, 1, 130);
        reports(1, 0, 12);
        reports(0, 1, 12);
        let by_far_ends = Some(LossFloor { low: 0.0, high: 0.002, reported: false });
        assert_eq!(sums.take(by_far_ends), by_far_ends);
        assert_eq!(sums.take(None), None);
    }

    #[test]
    fn reports_are_forgotten_after_some_intervals() {
        let mut sums = ReportSums::default();
        (0..100).for_each(|_| sums.add(&FewMissing { ours: 1, theirs: 0, expected: 500 }));
        assert!((0..REPORTED_INTERVALS).all(|_| sums.take(None).is_some()));
        assert_eq!(sums.take(None), None);
    }

    #[test]
    fn few_far_ends_say_nothing() {
        assert_eq!(floor(&[(500, 5); ENOUGH - 1]), None);
        let mut counter = FloorCounter::new(&Seeded::new(1));
        (0..40).for_each(|far| counter.add(Way { far, toward_near: true }, 99, 0));
        assert_eq!(counter.take(), None);
    }
}
