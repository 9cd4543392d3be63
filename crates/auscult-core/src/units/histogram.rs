//! A mergeable histogram of delays: 16 octaves of eight logarithmic buckets, one bucket below and one above.
//!
//! Bucket 0 holds [0, 65.536 us); buckets 1..=128 grow by a factor of 2^(1/8) each, up to 4.295 s; bucket
//! 129 holds everything above. A value read back as the geometric middle of its bucket is at most 4.5 % off
//! between 0.125 ms and 4 s. Bounds are the same for every stream and every version of the program with the
//! same [`HISTOGRAM_VERSION`], so histograms add up bucket by bucket, in memory and in SQL (`sumForEach`).

use super::Nanos;
use serde::{Deserialize, Serialize};

/// Number of buckets.
pub const BUCKETS: usize = DELAYS.buckets();

/// Written to every row that carries a histogram; changes whenever a bound changes.
pub const HISTOGRAM_VERSION: u8 = 1;

const SUB: usize = 8;
const FIRST_OCTAVE: u32 = 16;
const LAST_OCTAVE: u32 = 31;

/// Lower bounds of the eight sub-buckets of an octave, in 1/256 of the octave: round(256 (2^(k/8) - 1)).
const STEPS: [u16; SUB] = [0, 23, 48, 76, 106, 139, 175, 215];

/// Sub-bucket by the eight bits after the leading one.
const SUB_OF: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let mut k = SUB - 1;
        while STEPS[k] as usize > i {
            k -= 1;
        }
        table[i] = k as u8;
        i += 1;
    }
    table
};

/// A scale of logarithmic buckets: eight to each octave from `first` to `last`, one below and one above.
#[derive(Clone, Copy)]
struct Octaves {
    first: u32,
    last: u32,
}

impl Octaves {
    const fn buckets(self) -> usize {
        (self.last - self.first + 1) as usize * SUB + 2
    }

    /// The bucket of a time. Negative ones count as zero.
    #[inline]
    fn bucket_of(self, time: Nanos) -> usize {
        let ns = time.0.max(0) as u64;
        if ns < 1 << self.first {
            return 0;
        }
        let octave = 63 - ns.leading_zeros();
        if octave > self.last {
            return self.buckets() - 1;
        }
        let fraction = (ns >> (octave - 8)) as usize & 0xff;
        1 + (octave - self.first) as usize * SUB + SUB_OF[fraction] as usize
    }

    /// Lower (inclusive) and upper (exclusive) bound in nanoseconds; the last has no upper bound (`u64::MAX`).
    fn bounds_ns(self, bucket: usize) -> (u64, u64) {
        let lower = |b: usize| -> u64 {
            if b == 0 {
                return 0;
            }
            let octave = self.first + ((b - 1) / SUB) as u32;
            (256 + u64::from(STEPS[(b - 1) % SUB])) << (octave - 8)
        };
        match bucket + 1 < self.buckets() {
            true => (lower(bucket), lower(bucket + 1)),
            false => (1 << (self.last + 1), u64::MAX),
        }
    }

    /// What a bucket is read back as: the geometric middle, half of the lowest one, the lower bound of the last.
    fn middle(self, bucket: usize) -> Nanos {
        let (low, high) = self.bounds_ns(bucket);
        if low == 0 {
            return Nanos((high / 2) as i64);
        }
        if high == u64::MAX {
            return Nanos(low as i64);
        }
        Nanos(((low as f64) * (high as f64)).sqrt() as i64)
    }
}

const DELAYS: Octaves = Octaves { first: FIRST_OCTAVE, last: LAST_OCTAVE };
const SPANS: Octaves = Octaves { first: 20, last: 46 };

/// Number of buckets of a histogram of spans: set-up times, durations. Bucket 0 holds [0, 1.049 ms), bucket 217 what takes
/// 39 hours or longer; those between grow by a factor of 2^(1/8) each. The view `span_buckets` has the bounds.
pub const SPAN_BUCKETS: usize = SPANS.buckets();

/// The bucket of a span. Negative spans count as zero.
pub fn span_bucket_of(span: Nanos) -> u8 {
    SPANS.bucket_of(span) as u8
}

/// The value a bucket of spans is read back as; buckets that do not exist read as the last.
pub fn span_bucket_middle(bucket: u8) -> Nanos {
    SPANS.middle(usize::from(bucket))
}

/// Lower (inclusive) and upper (exclusive) bound of a bucket of spans in nanoseconds; the last has no upper bound (`u64::MAX`).
pub fn span_bucket_bounds_ns(bucket: usize) -> (u64, u64) {
    SPANS.bounds_ns(bucket)
}

/// The bucket a delay falls into. Negative delays count as zero.
#[inline]
pub fn bucket_of(delay: Nanos) -> usize {
    DELAYS.bucket_of(delay)
}

/// Lower (inclusive) and upper (exclusive) bound of a bucket in nanoseconds; the last has no upper bound (`u64::MAX`).
pub fn bucket_bounds_ns(bucket: usize) -> (u64, u64) {
    DELAYS.bounds_ns(bucket)
}

/// Counts of delays per bucket, as far as the highest bucket that has one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u32>", into = "Vec<u32>")]
pub struct DelayHistogram {
    counts: Vec<u32>,
}

impl std::fmt::Debug for DelayHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.counts.iter().enumerate().filter(|(_, c)| **c > 0)).finish()
    }
}

/// Missing buckets are zero, surplus ones are dropped: stored arrays end at their last non-zero bucket.
impl From<Vec<u32>> for DelayHistogram {
    fn from(mut counts: Vec<u32>) -> Self {
        counts.truncate(BUCKETS);
        counts.truncate(used(&counts));
        DelayHistogram { counts }
    }
}

impl From<DelayHistogram> for Vec<u32> {
    fn from(h: DelayHistogram) -> Vec<u32> {
        h.counts
    }
}

/// Buckets up to the last one that is not empty.
fn used(counts: &[u32]) -> usize {
    counts.iter().rposition(|c| *c > 0).map_or(0, |i| i + 1)
}

impl DelayHistogram {
    pub fn record(&mut self, delay: Nanos) {
        self.add(bucket_of(delay), 1);
    }

    /// Adds `count` to one bucket; a bucket that does not exist is ignored.
    pub fn add(&mut self, bucket: usize, count: u32) {
        if count == 0 || bucket >= BUCKETS {
            return;
        }
        if bucket >= self.counts.len() {
            self.reach(bucket + 1);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
    }

    /// Makes room for exactly so many buckets: hundreds of thousands of streams have such a list.
    fn reach(&mut self, buckets: usize) {
        if buckets > self.counts.len() {
            self.counts.reserve_exact(buckets - self.counts.len());
            self.counts.resize(buckets, 0);
        }
    }

    pub fn merge(&mut self, other: &DelayHistogram) {
        self.reach(other.counts.len());
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a = a.saturating_add(*b);
        }
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().map(|c| u64::from(*c)).sum()
    }

    /// Counts up to the last non-zero bucket, the form rows carry.
    pub fn trimmed(&self) -> &[u32] {
        &self.counts
    }

    /// The value at quantile `q` (0..=1) by nearest rank, as the geometric middle of its bucket;
    /// bucket 0 reads as its upper half (32.768 us). `None` when nothing was recorded.
    pub fn quantile(&self, q: f64) -> Option<Nanos> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut seen = 0u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(Self::middle(bucket));
            }
        }
        None
    }

    /// The value a bucket is read back as.
    pub fn middle(bucket: usize) -> Nanos {
        DELAYS.middle(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_tile_the_axis() {
        let mut at = 0;
        for b in 0..BUCKETS {
            let (low, high) = bucket_bounds_ns(b);
            assert_eq!(low, at, "bucket {b}");
            assert!(high > low);
            assert_eq!(bucket_of(Nanos(low as i64)), b);
            if high != u64::MAX {
                assert_eq!(bucket_of(Nanos(high as i64 - 1)), b);
            }
            at = high;
        }
        assert_eq!(bucket_of(Nanos(-5)), 0);
        assert_eq!(bucket_of(Nanos(i64::MAX)), BUCKETS - 1);
    }

    #[test]
    fn buckets_of_spans_tile_the_axis() {
        assert_eq!((BUCKETS, SPAN_BUCKETS), (130, 218));
        let mut at = 0;
        for b in 0..SPAN_BUCKETS {
            let (low, high) = SPANS.bounds_ns(b);
            assert_eq!(low, at, "bucket {b}");
            assert_eq!(usize::from(span_bucket_of(Nanos(low as i64))), b);
            at = high;
        }
        assert_eq!(span_bucket_of(Nanos::from_secs(40 * 3600)), 217);
        let read = |seconds: i64| span_bucket_middle(span_bucket_of(Nanos::from_secs(seconds))).as_secs_f64();
        assert!([1, 20, 180, 7200].iter().all(|s| (read(*s) / *s as f64 - 1.0).abs() < 0.05));
    }

    #[test]
    fn quantile_is_by_nearest_rank() {
        let mut h = DelayHistogram::default();
        assert_eq!(h.quantile(0.5), None);
        for _ in 0..99 {
            h.record(Nanos::from_millis(1));
        }
        h.record(Nanos::from_millis(500));
        let ms = |q: f64| h.quantile(q).map(|n| n.as_millis_f64()).unwrap_or(f64::NAN);
        assert!((ms(0.99) - 1.0).abs() < 0.05);
        assert!((ms(0.991) - 500.0).abs() < 25.0);
    }

    proptest! {
        #[test]
        fn read_back_error_is_below_five_percent(ns in 125_000i64..4_000_000_000) {
            let read = DelayHistogram::middle(bucket_of(Nanos(ns))).0 as f64;
            prop_assert!((read / ns as f64 - 1.0).abs() < 0.05, "{ns} read back as {read}");
        }

        #[test]
        fn percentiles_are_those_of_hdrhistogram(
            delays in prop::collection::vec(125_000u64..4_000_000_000, 1..400),
            q in 0.001f64..=1.0,
        ) {
            let mut ours = DelayHistogram::default();
            let mut theirs = hdrhistogram::Histogram::<u64>::new(3).unwrap();
            for ns in delays {
                ours.record(Nanos(ns as i64));
                theirs.record(ns).unwrap();
            }
            let (read, exact) = (ours.quantile(q).unwrap().0 as f64, theirs.value_at_quantile(q) as f64);
            prop_assert!((read / exact - 1.0).abs() < 0.05, "p{}: {read} instead of {exact}", 100.0 * q);
        }

        #[test]
        fn merge_equals_recording_together(a in prop::collection::vec(0i64..10_000_000_000, 0..200), cut in 0usize..200) {
            let cut = cut.min(a.len());
            let fill = |v: &[i64]| { let mut h = DelayHistogram::default(); for x in v { h.record(Nanos(*x)); } h };
            let mut merged = fill(&a[..cut]);
            merged.merge(&fill(&a[cut..]));
            prop_assert_eq!(&merged, &fill(&a));
            prop_assert_eq!(DelayHistogram::from(Vec::from(merged.clone())), merged);
        }
    }
}
