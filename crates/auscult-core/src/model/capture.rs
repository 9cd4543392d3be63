//! What the probe knows of its own capture: what it saw and missed in an interval, and how far its times can be trusted.

use super::{OutcomeCounts, Shedding};
use crate::units::{Nanos, Timestamp};
use serde::{Deserialize, Serialize};

/// What one interface or file brought in an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaptureInterval {
    pub start: Timestamp,
    pub length: Nanos,
    pub interface: String,
    pub frames: u64,
    pub bytes: u64,
    /// Frames the kernel ring refused because it was full.
    pub dropped_ring: u64,
    /// Frames the interface itself reported as missed.
    pub dropped_interface: u64,
    /// Frames dropped on a full queue inside the program.
    pub dropped_queue: u64,
    pub outcomes: OutcomeCounts,
    pub shedding: Shedding,
    pub condition: CaptureCondition,
}

/// The state of the capture in an interval, over all interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CaptureCondition {
    /// `None` where too few far ends were measured.
    pub loss_floor: Option<LossFloor>,
    /// Time in which no frame came although streams went on, in the interval in which it ended.
    pub blackout: Nanos,
    /// `None` where too few hosts send to know.
    pub timestamps: Option<TimestampCheck>,
    /// All times are multiples of so many nanoseconds; `None` where too few hosts send to know.
    pub timestamp_granularity_ns: Option<u32>,
    /// Times the clock of the capture was set.
    pub clock_steps: u32,
    /// Streams of calls with packets (where no call is known, all), and those of which no stream the other way was seen.
    pub streams: u32,
    pub one_sided_streams: u32,
    /// Copies of RTP packets that the mirror made.
    pub copies: u64,
    /// The capture sees one packet of so many, 1 and more; `None` where it sees all of them, as far as known.
    pub sampled_one_of: Option<f32>,
}

impl CaptureCondition {
    /// The condition without what adds up over rows.
    pub fn without_counts(&self) -> CaptureCondition {
        let CaptureCondition { loss_floor, timestamps, timestamp_granularity_ns, sampled_one_of, .. } = *self;
        CaptureCondition {
            loss_floor,
            timestamps,
            timestamp_granularity_ns,
            sampled_one_of,
            ..CaptureCondition::default()
        }
    }
}

/// Share of the streams from which the capture sees one way only, and streams without which nothing is said.
const MOST_ONE_SIDED: f64 = 0.5;
const ENOUGH_STREAMS: u32 = 8;
/// Loss by the capture that is worth a finding: a share that moves MOS.
const LOSS_WORTH: f32 = 0.001;

/// Codes of [`CaptureCondition::findings`].
pub const CAPTURE_FINDINGS: [&str; 7] =
    ["sampled", "blackout", "clumped", "coarse", "one_sided", "loss", "clock_steps"];

impl CaptureCondition {
    /// Frames of an interval that passed unseen while `frames` were seen, besides those that drop counters have: those that were
    /// not sampled, and those of the time of a blackout at the rate of the rest.
    pub fn unseen(&self, frames: u64, length: Nanos) -> u64 {
        let seen = frames as f64;
        let sampled = self.sampled_one_of.map_or(0.0, |one_of| seen * f64::from((one_of - 1.0).max(0.0)));
        let dark = self.blackout.min(length);
        let light = (length - dark).max(Nanos::from_millis(1));
        (sampled + seen * dark.0 as f64 / light.0 as f64) as u64
    }

    /// Adds a later interval: counts add up, of states the worst stays, of streams the interval with most of them.
    pub fn merge(&mut self, later: &CaptureCondition) {
        let greater = |a: Option<f32>, b: Option<f32>| a.into_iter().chain(b).reduce(f32::max);
        self.loss_floor = match (self.loss_floor, later.loss_floor) {
            (Some(a), Some(b)) => Some(if b.low > a.low { b } else { a }),
            (a, b) => a.or(b),
        };
        self.blackout += later.blackout;
        self.timestamps = match (self.timestamps, later.timestamps) {
            (Some(a), Some(b)) => Some(a.worse(b)),
            (a, b) => a.or(b),
        };
        // The finest times show what the source can do.
        let (a, b) = (self.timestamp_granularity_ns, later.timestamp_granularity_ns);
        self.timestamp_granularity_ns = a.into_iter().chain(b).min();
        self.clock_steps += later.clock_steps;
        if later.streams > self.streams {
            (self.streams, self.one_sided_streams) = (later.streams, later.one_sided_streams);
        }
        self.copies += later.copies;
        self.sampled_one_of = greater(self.sampled_one_of, later.sampled_one_of);
    }

    /// Whether the capture sees most streams one way only.
    pub fn is_one_sided(&self) -> bool {
        let share = f64::from(self.one_sided_streams) / f64::from(self.streams.max(1));
        self.streams >= ENOUGH_STREAMS && share >= MOST_ONE_SIDED
    }

    /// What a reader of the figures has to know, gravest first: a code and a sentence each.
    pub fn findings(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if let Some(one_of) = self.sampled_one_of {
            let text = format!(
                "sees one of {one_of:.1} packets (a sampled or overloaded mirror): no MOS and no verdict on loss"
            );
            found.push(("sampled", text));
        }
        if self.blackout > Nanos::ZERO {
            let seconds = self.blackout.as_secs_f64();
            found.push(("blackout", format!("was interrupted for {seconds:.1} s: nothing is known of that time")));
        }
        if let Some(check) = self.timestamps.filter(|check| check.fault != TimestampFault::None) {
            let what = match check.fault {
                TimestampFault::Coarse => "has coarse times",
                _ => "gets frames in clumps",
            };
            let error = check.error.as_millis_f64();
            let then = if check.allows_delays() { "" } else { ": delay variation and late packets are not judged" };
            found.push((check.fault.name(), format!("{what}, wrong by up to {error:.1} ms{then}")));
        }
        if self.is_one_sided() {
            let (one, all) = (self.one_sided_streams, self.streams);
            let text = format!("sees one direction of {one} of {all} streams: a missing direction is not judged");
            found.push(("one_sided", text));
        }
        if let Some(floor) =
            self.loss_floor.filter(|floor| floor.reported && floor.low >= LOSS_WORTH && self.sampled_one_of.is_none())
        {
            let (low, high) = (100.0 * floor.low, 100.0 * floor.high);
            found.push((
                "loss",
                format!("loses {low:.2} to {high:.2} % of all packets, one by one, which receivers got"),
            ));
        }
        if self.clock_steps > 0 {
            let times = if self.clock_steps == 1 { "once".to_owned() } else { format!("{} times", self.clock_steps) };
            found.push(("clock_steps", format!("had its clock set {times}")));
        }
        found
    }
}

/// What the capture may have lost of all packets, singly, in an interval: between two shares, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossFloor {
    pub low: f32,
    pub high: f32,
    /// Receivers got packets that the capture missed. Otherwise a network that harms every far end looks the same.
    pub reported: bool,
}

/// What is wrong with the times of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampFault {
    #[default]
    None,
    /// Frames of all senders come in clumps with nothing between: a mirror or capture held them back.
    Clumped,
    /// All times are multiples of a millisecond or more.
    Coarse,
}

impl TimestampFault {
    pub const ALL: [TimestampFault; 3] = [TimestampFault::None, TimestampFault::Clumped, TimestampFault::Coarse];

    pub fn name(self) -> &'static str {
        match self {
            TimestampFault::None => "none",
            TimestampFault::Clumped => "clumped",
            TimestampFault::Coarse => "coarse",
        }
    }
}

/// How far the times of frames are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimestampCheck {
    pub fault: TimestampFault,
    /// A time may be wrong by so much; 0 without a fault.
    pub error: Nanos,
}

impl TimestampCheck {
    /// An error from which on delay variation and late packets are not judged: receivers' buffers begin at a few of them.
    const MATTERS: Nanos = Nanos::from_millis(4);

    /// Whether delays measured with these times say anything of the network.
    pub fn allows_delays(&self) -> bool {
        self.error < TimestampCheck::MATTERS
    }

    /// The greater error of two.
    pub fn worse(self, other: TimestampCheck) -> TimestampCheck {
        if other.error > self.error { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(condition: &CaptureCondition) -> Vec<&'static str> {
        let codes: Vec<&str> = condition.findings().into_iter().map(|(code, _)| code).collect();
        assert!(codes.iter().all(|code| CAPTURE_FINDINGS.contains(code)));
        codes
    }

    #[test]
    fn a_capture_that_sees_everything_has_no_findings() {
        let clean = CaptureCondition {
            loss_floor: Some(LossFloor { low: 0.002, high: 0.004, reported: false }),
            timestamps: Some(TimestampCheck::default()),
            timestamp_granularity_ns: Some(1),
            streams: 100,
            one_sided_streams: 20,
            copies: 5_000,
            ..CaptureCondition::default()
        };
        assert_eq!(codes(&clean), Vec::<&str>::new());
        let few = CaptureCondition { streams: 7, one_sided_streams: 7, ..clean };
        assert_eq!(codes(&few), Vec::<&str>::new(), "too few streams");
    }

    #[test]
    fn frames_that_passed_unseen_are_estimated() {
        let interval = Nanos::from_secs(10);
        assert_eq!(CaptureCondition::default().unseen(1_000, interval), 0);
        let sampled = CaptureCondition { sampled_one_of: Some(4.0), ..CaptureCondition::default() };
        assert_eq!(sampled.unseen(1_000, interval), 3_000);
        let dark = |s| CaptureCondition { blackout: Nanos::from_secs(s), ..CaptureCondition::default() };
        assert_eq!(dark(6).unseen(400, interval), 600);
        assert!(dark(3_600).unseen(1, interval) > 0, "a blackout of several intervals");
    }

    #[test]
    fn the_worst_of_several_intervals_stays() {
        let clumped = TimestampCheck { fault: TimestampFault::Clumped, error: Nanos::from_millis(20) };
        let mut all = CaptureCondition { timestamps: Some(TimestampCheck::default()), ..CaptureCondition::default() };
        all.merge(&CaptureCondition {
            timestamps: Some(clumped),
            timestamp_granularity_ns: Some(1000),
            blackout: Nanos::from_secs(6),
            clock_steps: 1,
            ..CaptureCondition::default()
        });
        all.merge(&CaptureCondition {
            timestamps: Some(TimestampCheck::default()),
            timestamp_granularity_ns: Some(1),
            loss_floor: Some(LossFloor { low: 0.01, high: 0.02, reported: true }),
            streams: 8,
            one_sided_streams: 4,
            sampled_one_of: Some(4.0),
            ..CaptureCondition::default()
        });
        let lone = CaptureCondition { streams: 1, one_sided_streams: 1, ..CaptureCondition::default() };
        let mut one = lone;
        (0..9).for_each(|_| one.merge(&lone));
        assert_eq!(codes(&one), Vec::<&str>::new(), "one stream in ten intervals is one stream");
        assert_eq!((all.timestamps, all.timestamp_granularity_ns), (Some(clumped), Some(1)));
        assert_eq!(codes(&all), ["sampled", "blackout", "clumped", "one_sided", "clock_steps"]);
        all.sampled_one_of = None;
        assert_eq!(codes(&all), ["blackout", "clumped", "one_sided", "loss", "clock_steps"]);
        let coarse = TimestampCheck { fault: TimestampFault::Coarse, error: Nanos::from_millis(1) };
        let coarse = CaptureCondition { timestamps: Some(coarse), ..CaptureCondition::default() };
        assert_eq!(coarse.findings(), [("coarse", "has coarse times, wrong by up to 1.0 ms".to_owned())]);
    }
}
