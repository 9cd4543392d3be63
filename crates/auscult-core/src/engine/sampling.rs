//! Whether the capture sees one packet of so many: a sampled mirror (sFlow, 1 of N), or one so overloaded that it drops most
//! of everything.
//!
//! All streams miss the same large share then, each within chance (binomial). A network that loses two packets of five and more
//! leaves some streams alone; one that does not, such as a failing uplink of everything, looks the same, unless
//! receivers report that they miss the packets, too.

/// Streams without which nothing is said, and packets of each.
const ENOUGH: usize = 8;
const PACKETS: u32 = 100;
/// The least share of all packets that is missing.
const LEAST: f64 = 0.4;
/// Streams within chance, and standard deviations of it.
const ALIKE: f64 = 0.95;
const SIGMAS: f64 = 4.0;
/// Mean run of lost packets, against the one of packets that are lost one by one.
const LONGEST_RUN: f64 = 2.0;

/// What a stream lost in an interval.
#[derive(Clone, Copy, Debug)]
pub struct StreamLoss {
    pub expected: u32,
    pub lost: u32,
    /// Runs of lost packets.
    pub runs: u32,
}

#[derive(Debug, Default)]
pub struct SamplingDetector {
    streams: Vec<StreamLoss>,
    /// Packets that receivers reported as received, and as lost, of those missing.
    reported: (f64, f64),
}

impl SamplingDetector {
    pub fn add(&mut self, stream: &StreamLoss, (received, missing): (f64, f64)) {
        if stream.expected >= PACKETS {
            self.streams.push(*stream);
            self.reported = (self.reported.0 + received, self.reported.1 + missing);
        }
    }

    /// One of how many packets the capture saw in the interval, if not all, and begins the next.
    pub fn take(&mut self) -> Option<f32> {
        let (received, missing) = std::mem::take(&mut self.reported);
        let found = if missing > received { None } else { sampled(&self.streams) };
        self.streams.clear();
        found
    }
}

fn sampled(streams: &[StreamLoss]) -> Option<f32> {
    let sum = |count: fn(&StreamLoss) -> u32| streams.iter().map(|s| u64::from(count(s))).sum::<u64>();
    let (expected, lost, runs) = (sum(|s| s.expected), sum(|s| s.lost), sum(|s| s.runs));
    let share = lost as f64 / expected.max(1) as f64;
    if streams.len() < ENOUGH || share < LEAST {
        return None;
    }
    let alike = |s: &&StreamLoss| {
        let mean = share * f64::from(s.expected);
        (f64::from(s.lost) - mean).abs() <= SIGMAS * (mean * (1.0 - share)).sqrt() + 1.0
    };
    let alike = streams.iter().filter(alike).count();
    let one_of = 1.0 / (1.0 - share).max(1e-6);
    // Packets chosen one by one leave runs of that mean length; an interruption leaves a long one.
    let single = lost as f64 <= LONGEST_RUN * one_of * runs as f64;
    (single && alike as f64 >= ALIKE * streams.len() as f64).then_some(one_of as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: StreamLoss = StreamLoss { expected: 500, lost: 375, runs: 94 };

    fn of(streams: impl IntoIterator<Item = (u32, u32)>) -> Option<f32> {
        let mut detector = SamplingDetector::default();
        for (expected, lost) in streams {
            // Packets lost one by one, one of four left.
            detector.add(&StreamLoss { expected, lost, runs: lost / 4 + 1 }, (0.0, 0.0));
        }
        detector.take()
    }

    #[test]
    fn streams_that_miss_the_same_share_are_sampled() {
        let near = |lost: u32| (0..20).map(move |n| (500, lost + n % 7));
        let one_of = of(near(372)).unwrap();
        assert!((one_of - 4.0).abs() < 0.1, "{one_of}");
        assert_eq!(of((0..20).map(|_| (500, 0))), None);
        assert_eq!(of(near(100)), None, "20 % may be a network");
        assert_eq!(of((0..7).map(|_| (500, 375))), None, "too few");
    }

    #[test]
    fn loss_that_leaves_some_alone_is_no_sampling() {
        assert_eq!(of((0..20).map(|n| (500, if n % 4 == 0 { 0 } else { 375 }))), None);
        assert_eq!(of((0..20).map(|n| (500, 250 + 12 * n))), None, "by different shares");
    }

    /// The same of every stream is missing, in one piece.
    #[test]
    fn an_interruption_is_no_sampling() {
        let mut detector = SamplingDetector::default();
        (0..20).for_each(|_| detector.add(&StreamLoss { runs: 1, ..QUARTER }, (0.0, 0.0)));
        assert_eq!(detector.take(), None);
    }

    #[test]
    fn receivers_that_miss_the_packets_speak_for_the_network() {
        let mut detector = SamplingDetector::default();
        (0..20).for_each(|_| detector.add(&QUARTER, (0.0, 300.0)));
        assert_eq!(detector.take(), None);
        (0..20).for_each(|_| detector.add(&QUARTER, (300.0, 0.0)));
        assert_eq!(detector.take(), Some(4.0));
        assert_eq!(detector.take(), None, "of the next interval");
    }
}
