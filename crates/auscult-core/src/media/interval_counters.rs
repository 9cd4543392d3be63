//! What is counted of a stream in the present interval, small: most of the memory that packets prefetch.
//!
//! Counts of 32 bits hold the packets of a minute, the longest interval, at any rate a link has.

use crate::model::burst::BurstGap;
use crate::model::{DISCARD_BUFFERS_MS, DelayVariation, JitterStat, LossRuns, StreamStats};
use crate::units::{BUCKETS, DelayHistogram, Nanos, bucket_of};

/// The fields are those of [`StreamStats`]. In the order of use: what every packet touches comes first.
#[derive(Debug, Default, PartialEq)]
#[repr(C)]
pub struct IntervalCounters {
    pub packets: u32,
    pub unique: u32,
    pub expected: u32,
    pub markers: u32,
    pub payload_bytes: u64,
    pub max_delta: Nanos,
    pub variation: Variation,
    pub pdv_max: Nanos,
    pub burst: BurstGap,
    pub discarded_adaptive: u32,
    /// How often the base moved by a step.
    pub base_steps: u32,
    pub adaptive_size_us: u64,
    pub base_rise: Nanos,
    pub base_fall: Nanos,
    pub pdv: Buckets,
    pub late: [u32; DISCARD_BUFFERS_MS.len()],
    pub jitter: JitterStat,
    pub max_gap: Nanos,
    pub silence: Nanos,
    pub duplicates_probe: u32,
    pub duplicates_network: u32,
    pub reordered: u32,
    pub reorder_extent: u32,
    pub restarts: u32,
    pub strays: u32,
    pub concealed_seconds: u32,
    pub severely_concealed_seconds: u32,
    pub telephone_events: u32,
    pub digits: u32,
    pub comfort_noise: u32,
    pub talkspurts: u32,
    pub clock_steps: u32,
    pub cut_short: u32,
    pub loss_runs: Runs,
    pub lost_or_late: BurstGap,
}

/// [`LossRuns`] that take no room before the first loss.
#[derive(Debug, Default, PartialEq)]
pub struct Runs(Option<Box<LossRuns>>);

impl Runs {
    /// Runs so far.
    pub fn count(&self) -> u32 {
        self.0.as_deref().map_or(0, |runs| u32::try_from(runs.runs()).unwrap_or(u32::MAX))
    }

    /// A run of so many lost numbers; none when 0.
    pub fn record(&mut self, run: u32) {
        if run > 0 {
            self.0.get_or_insert_default().record(run);
        }
    }
}

/// As [`DelayVariation`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Variation {
    pub ipdv_sum_ns: u64,
    pub above_sum_ns: u64,
    pub below_sum_ns: u64,
    pub ipdv_samples: u32,
    pub above_samples: u32,
    pub below_samples: u32,
    pub ipdv_max_ns: f64,
    pub skew_max_ns: f64,
}

/// A delay histogram of 16-bit counters; full ones go over into one that is set up for it.
#[derive(Debug, PartialEq)]
pub struct Buckets {
    counts: [u16; BUCKETS],
    spilled: Option<Box<DelayHistogram>>,
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets { counts: [0; BUCKETS], spilled: None }
    }
}

impl Buckets {
    #[inline]
    pub fn record(&mut self, delay: Nanos) {
        let count = &mut self.counts[bucket_of(delay)];
        *count += 1;
        if *count == u16::MAX {
            self.spill();
        }
    }

    /// Some packets of one stream in ten thousand or fewer: a stream of many thousand packets per second.
    #[inline(never)]
    fn spill(&mut self) {
        let mut all = self.spilled.take().unwrap_or_default();
        for (bucket, count) in self.counts.iter_mut().enumerate() {
            all.add(bucket, u32::from(std::mem::take(count)));
        }
        self.spilled = Some(all);
    }

    /// All counts; to be had before the last one is taken.
    pub fn histogram(&self) -> DelayHistogram {
        let used = self.counts.iter().rposition(|c| *c > 0).map_or(0, |i| i + 1);
        let mut all = DelayHistogram::from(self.counts[..used].iter().map(|c| u32::from(*c)).collect::<Vec<_>>());
        if let Some(spilled) = &self.spilled {
            all.merge(spilled);
        }
        all
    }
}

impl IntervalCounters {
    /// See [`super::stream::Stream::prefetch`]. Most delays are of a millisecond to some tens: a line of buckets.
    #[inline]
    pub fn prefetch(&self) -> u64 {
        const MILLISECONDS: usize = 48;
        self.payload_bytes
            ^ self.variation.skew_max_ns.to_bits()
            ^ u64::from(self.discarded_adaptive)
            ^ u64::from(self.pdv.counts[MILLISECONDS])
    }

    /// The same as the module gives it out.
    pub fn numbers(&self) -> StreamStats {
        let wide = u64::from;
        let v = &self.variation;
        StreamStats {
            packets: wide(self.packets),
            unique: wide(self.unique),
            expected: wide(self.expected),
            duplicates_probe: wide(self.duplicates_probe),
            duplicates_network: wide(self.duplicates_network),
            reordered: wide(self.reordered),
            reorder_extent: self.reorder_extent,
            restarts: self.restarts,
            strays: wide(self.strays),
            loss_runs: self.loss_runs.0.as_deref().cloned().unwrap_or_default(),
            burst: self.burst,
            lost_or_late: self.lost_or_late,
            concealed_seconds: wide(self.concealed_seconds),
            severely_concealed_seconds: wide(self.severely_concealed_seconds),
            jitter: self.jitter,
            variation: DelayVariation {
                ipdv_sum_ns: v.ipdv_sum_ns,
                ipdv_samples: wide(v.ipdv_samples),
                ipdv_max_ns: v.ipdv_max_ns,
                above_sum_ns: v.above_sum_ns,
                above_samples: wide(v.above_samples),
                below_sum_ns: v.below_sum_ns,
                below_samples: wide(v.below_samples),
                skew_max_ns: v.skew_max_ns,
            },
            pdv: self.pdv.histogram(),
            pdv_max: self.pdv_max,
            late: self.late.map(wide),
            discarded_adaptive: wide(self.discarded_adaptive),
            adaptive_size_us: self.adaptive_size_us,
            base_rise: self.base_rise,
            base_fall: self.base_fall,
            base_steps: self.base_steps,
            max_gap: self.max_gap,
            max_delta: self.max_delta,
            payload_bytes: self.payload_bytes,
            telephone_events: wide(self.telephone_events),
            digits: wide(self.digits),
            comfort_noise: wide(self.comfort_noise),
            markers: wide(self.markers),
            talkspurts: wide(self.talkspurts),
            silence: self.silence,
            clock_steps: self.clock_steps,
            cut_short: wide(self.cut_short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_counters_go_over() {
        let mut buckets = Buckets::default();
        for i in 0..300_000i64 {
            buckets.record(Nanos::from_millis(if i % 3 == 0 { 40 } else { 1 }));
        }
        let all = buckets.histogram();
        assert_eq!(all.total(), 300_000);
        assert_eq!(all.trimmed()[bucket_of(Nanos::from_millis(40))], 100_000);
        assert_eq!(all.trimmed()[bucket_of(Nanos::from_millis(1))], 200_000);
    }

    #[test]
    fn an_interval_stays_small() {
        assert!(size_of::<IntervalCounters>() <= 656, "{}", size_of::<IntervalCounters>());
    }
}
