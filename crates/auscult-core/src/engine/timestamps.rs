//! How far the times of frames can be trusted: clumps and coarse times.
//!
//! A mirror or capture that hands frames over in bunches gives all frames of a bunch nearly one time, and no frame comes
//! between two bunches. Hosts that send independently of each other leave next to no time without a frame: of time cut at
//! random (Poisson), gaps of more than ten mean spacings take 0.05 %. A host may send all of its streams at the same tick,
//! so each host counts with one frame for each of its packet times. Times that are all multiples of a millisecond are coarse.
//!
//! Work is done per gap, and every half second, never per frame.

use super::clock::{LEAST_SILENCE, SILENCE};
use crate::model::{TimestampCheck, TimestampFault};
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::HashMap;

/// Mean spacings without a frame that are a gap.
const SPACINGS: i64 = 10;
/// Gaps that are looked at are no shorter.
const SHORTEST: Nanos = Nanos::from_micros(500);
/// The mean spacing is that of so long.
pub const ADAPTED_EVERY: Nanos = Nanos::from_millis(500);
/// The packet time of a host of which none is known: the longest that is usual.
const LONG_PTIME: Nanos = Nanos::from_millis(60);
/// Hosts that send, and time in which gaps are seen, without which nothing is said.
const ENOUGH_HOSTS: usize = 5;
const ENOUGH_TIME: Nanos = Nanos::from_secs(2);
/// Clumps of this length have to be seen where it is said that there are none.
const SEEN: Nanos = Nanos::from_millis(10);
/// Share of the frames that were taken for independent, and are.
const INDEPENDENT: f64 = 0.3;
/// Packets a second from which no frame for longer than [`SILENCE_OF_MANY`] is unusual, however few hosts send.
const BUSY: f64 = 500.0;
const SILENCE_OF_MANY: Nanos = Nanos::from_millis(50);
/// Share of the time in gaps from which frames come in clumps.
const CLUMPED: f64 = 0.25;
/// Times that are compared, of those of one interval.
const ENOUGH_SAMPLES: u32 = 100;
/// From here on times are coarse.
const COARSE: u64 = 1_000_000;

/// Greatest common divisor of the times of some packets, and of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommonDivisor {
    value: u64,
    samples: u32,
}

impl CommonDivisor {
    pub fn add(&mut self, at: Timestamp) {
        self.samples = self.samples.saturating_add(1);
        if self.value != 1 {
            self.value = greatest_common_divisor(self.value, at.0.unsigned_abs());
        }
    }
}

#[derive(Debug)]
pub struct TimestampMonitor {
    /// No frame for longer is looked at: the shorter of the two below.
    pub odd_gap: Nanos,
    /// No frame for longer is a gap between clumps.
    clump_gap: Nanos,
    /// No frame for longer may be a step of the clock.
    pub silence: Nanos,
    /// When [`TimestampMonitor::odd_gap`] is set next; [`Timestamp::MAX`] while nothing comes.
    pub deadline: Timestamp,
    /// Of the present interval: time in which gaps were seen, in gaps, and the sum of their squares in microseconds.
    watched: Nanos,
    in_gaps: Nanos,
    squares: u128,
    /// Frames a second that count, over the half seconds of the time watched.
    rates: f64,
    /// Packets of the interval and shortest packet time, by host.
    sent: HashMap<u32, (u64, Nanos), Seeded>,
    /// Frames a second that count of each host, in the mean.
    ticks: f64,
    /// The interval before was clumped.
    clumped: bool,
}

/// What an interval showed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimestampFindings {
    pub check: Option<TimestampCheck>,
    pub granularity_ns: Option<u32>,
}

impl TimestampMonitor {
    pub fn new(hasher: &Seeded) -> TimestampMonitor {
        TimestampMonitor {
            odd_gap: SILENCE,
            clump_gap: SILENCE,
            silence: SILENCE,
            deadline: Timestamp::MAX,
            watched: Nanos::ZERO,
            in_gaps: Nanos::ZERO,
            squares: 0,
            rates: 0.0,
            sent: HashMap::with_hasher(hasher.clone()),
            ticks: 1.0 / LONG_PTIME.as_secs_f64(),
            clumped: false,
        }
    }

    /// The first frame after a time without any.
    pub fn begin(&mut self, at: Timestamp) {
        if self.deadline == Timestamp::MAX {
            self.deadline = at.floor_to(ADAPTED_EVERY) + ADAPTED_EVERY;
        }
    }

    /// Sets what is a gap by the packets of the last [`ADAPTED_EVERY`] and the hosts that have streams.
    pub fn adapt(&mut self, packets: u64, hosts: usize) {
        let by_packets = packets as f64 / ADAPTED_EVERY.as_secs_f64();
        let rate = by_packets.min(self.ticks * hosts as f64);
        if self.clump_gap < SILENCE {
            self.watched += ADAPTED_EVERY;
            self.rates += rate;
        }
        self.clump_gap = match rate > 0.0 {
            true => Nanos((1e9 * SPACINGS as f64 / rate) as i64).clamp(SHORTEST, SILENCE),
            false => SILENCE,
        };
        let usual = if by_packets >= BUSY { SILENCE_OF_MANY } else { SILENCE };
        self.silence = self.clump_gap.clamp(LEAST_SILENCE, usual);
        self.odd_gap = self.clump_gap.min(self.silence);
        self.deadline = match packets {
            0 => Timestamp::MAX,
            _ => self.deadline + ADAPTED_EVERY,
        };
    }

    /// No frame came for longer than [`TimestampMonitor::odd_gap`].
    pub fn gap(&mut self, after: Nanos) {
        if after >= self.clump_gap && after < SILENCE {
            self.in_gaps += after;
            let micros = (after.0 / 1_000).unsigned_abs();
            self.squares += u128::from(micros) * u128::from(micros);
        }
    }

    /// Whether gaps are those of clumps and no silence of everything.
    pub fn is_clumped(&self) -> bool {
        self.clumped || self.share_in_gaps() >= CLUMPED
    }

    fn share_in_gaps(&self) -> f64 {
        self.in_gaps.0 as f64 / self.watched.max(ADAPTED_EVERY).0 as f64
    }

    /// Packets that a host sent in the interval in one stream, and its packet time.
    pub fn sent(&mut self, host: u32, packets: u32, ptime: Option<Nanos>) {
        let ptime = ptime.filter(|ptime| ptime.0 > 0).unwrap_or(LONG_PTIME);
        let (sum, shortest) = self.sent.entry(host).or_insert((0, LONG_PTIME));
        (*sum, *shortest) = (*sum + u64::from(packets), ptime.min(*shortest));
    }

    /// What the interval showed, and begins the next. `divisor`: of the times of some packets.
    pub fn close(&mut self, length: Nanos, divisor: CommonDivisor) -> TimestampFindings {
        let (mut independent, mut ticks) = (0, 0.0);
        for (packets, ptime) in self.sent.values() {
            independent += packets.min(&(length.0 / ptime.0).unsigned_abs());
            ticks += ptime.0 as f64;
        }
        if ticks > 0.0 {
            self.ticks = self.sent.len() as f64 * 1e9 / ticks;
        }
        let many = self.sent.len() >= ENOUGH_HOSTS;
        let taken_for = self.rates * ADAPTED_EVERY.as_secs_f64();
        let watched = many && self.watched >= ENOUGH_TIME && independent as f64 >= INDEPENDENT * taken_for;
        let clump = match (watched, self.share_in_gaps() >= CLUMPED) {
            (true, true) => {
                Some(Nanos((self.squares / u128::from((self.in_gaps.0 / 1_000).unsigned_abs()).max(1)) as i64 * 1_000))
            }
            // Clumps that would not be seen may be there.
            (true, false) if self.clump_gap > SEEN => None,
            (true, false) => Some(Nanos::ZERO),
            (false, _) => None,
        };
        let divisor = Some(divisor.value).filter(|_| many && divisor.samples >= ENOUGH_SAMPLES);
        let coarse = divisor.filter(|ns| *ns >= COARSE).map(|ns| Nanos(i64::try_from(ns).unwrap_or(i64::MAX)));
        let check = match (clump, coarse) {
            // Coarse times alone look like clumps of their length.
            (clump, Some(error)) if clump.is_none_or(|clump| clump.0 <= 2 * error.0) => {
                Some(TimestampCheck { fault: TimestampFault::Coarse, error })
            }
            (Some(Nanos::ZERO), _) => Some(TimestampCheck::default()),
            (Some(error), _) => Some(TimestampCheck { fault: TimestampFault::Clumped, error }),
            (None, _) => None,
        };
        self.clumped = check.is_some_and(|check| check.fault == TimestampFault::Clumped);
        self.sent.clear();
        (self.watched, self.in_gaps, self.squares) = (Nanos::ZERO, Nanos::ZERO, 0);
        self.rates = 0.0;
        TimestampFindings { check, granularity_ns: divisor.map(granularity) }
    }
}

/// What all times show: a divisor of a millisecond and more as it is, of a microsecond and more by its power of ten, else 1: a
/// small factor may be one of the adapter's clock, or chance.
fn granularity(divisor: u64) -> u32 {
    if divisor >= COARSE {
        return u32::try_from(divisor).unwrap_or(u32::MAX);
    }
    [1_000, 10_000, 100_000].into_iter().take_while(|ten| divisor.is_multiple_of(u64::from(*ten))).last().unwrap_or(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const PTIME: Option<Nanos> = Some(Nanos::from_millis(20));
    const INTERVAL: Nanos = Nanos::from_secs(10);

    /// Ten seconds of hosts that send a packet each 20 ms; `shown` is the time that the capture gives a frame.
    fn interval(hosts: u32, shown: impl Fn(i64) -> i64) -> TimestampFindings {
        let mut frames: Vec<i64> = (0..hosts)
            .flat_map(|host| {
                let phase = (i64::from(host).wrapping_mul(7_919_333) % 20_000_000) + 17;
                (0..500).map(move |n| n * 20_000_000 + phase)
            })
            .map(shown)
            .collect();
        frames.sort_unstable();
        run(&frames, |monitor| (0..hosts).for_each(|host| monitor.sent(host, 500, PTIME)), hosts as usize)
    }

    fn run(frames: &[i64], sent: impl Fn(&mut TimestampMonitor), hosts: usize) -> TimestampFindings {
        let mut monitor = TimestampMonitor::new(&Seeded::new(1));
        // As after an interval with packets of 20 ms.
        monitor.ticks = 50.0;
        let (mut before, mut counted, mut divisor) = (0, 0, CommonDivisor::default());
        monitor.begin(Timestamp(0));
        for at in frames {
            while Timestamp(*at) >= monitor.deadline {
                monitor.adapt(std::mem::take(&mut counted), hosts);
            }
            if Nanos(at - before) >= monitor.odd_gap {
                monitor.gap(Nanos(at - before));
            }
            monitor.begin(Timestamp(*at));
            divisor.add(Timestamp(*at));
            (before, counted) = (*at, counted + 1);
        }
        sent(&mut monitor);
        monitor.close(INTERVAL, divisor)
    }

    #[test]
    fn independent_hosts_leave_no_gaps() {
        for hosts in [21, 40, 400] {
            let found = interval(hosts, |at| at);
            assert_eq!(found.check, Some(TimestampCheck::default()), "{hosts}");
            assert_eq!(found.granularity_ns, Some(1), "{hosts}");
        }
    }

    #[test]
    fn clumps_of_everything_are_seen_with_their_length() {
        for (hosts, clump_ms) in [(400, 1), (400, 5), (400, 20), (400, 50), (40, 10), (40, 20), (12, 50)] {
            let length = clump_ms * 1_000_000;
            let found = interval(hosts, |at| (at / length + 1) * length + at % 1_000).check.unwrap();
            assert_eq!(found.fault, TimestampFault::Clumped, "{hosts} hosts, {clump_ms} ms");
            let error = found.error.as_millis_f64();
            assert!((0.5..2.1).contains(&(error / clump_ms as f64)), "{hosts} hosts, {clump_ms} ms: {error}");
        }
    }

    #[test]
    fn coarse_times_are_no_clumps() {
        for (ms, hosts) in [(1, 400), (10, 400), (10, 40)] {
            let found = interval(hosts, |at| at / (ms * 1_000_000) * ms * 1_000_000);
            let error = Nanos::from_millis(ms);
            assert_eq!(found.check, Some(TimestampCheck { fault: TimestampFault::Coarse, error }));
            assert_eq!(found.granularity_ns, Some(ms as u32 * 1_000_000));
        }
        assert_eq!(interval(400, |at| at / 1_000 * 1_000).granularity_ns, Some(1_000));
    }

    #[test]
    fn few_hosts_tell_nothing() {
        assert_eq!(interval(4, |at| at), TimestampFindings::default());
        assert_eq!(interval(10, |at| at).check, None, "clumps of 19 ms would not be seen");
        assert_eq!(interval(5, |at| (at / 30_000_000 + 1) * 30_000_000 + 7).check, None, "their gaps are as long");
    }

    /// A media server that sends all of its streams at one tick, and hosts that send the other way.
    #[test]
    fn hosts_that_send_at_ticks_make_no_clumps() {
        let ticks = (0..500).flat_map(|n| (0..400).map(move |k| n * 20_000_000 + k * 1_000));
        let others = (0..400).flat_map(|host| (0..500).map(move |n| n * 20_000_000 + host * 49_999));
        let sent = |monitor: &mut TimestampMonitor| {
            monitor.sent(9_999, 200_000, PTIME);
            (0..400).for_each(|host| monitor.sent(host, 500, PTIME));
        };
        let mut both: Vec<i64> = ticks.clone().chain(others).collect();
        both.sort_unstable();
        assert_eq!(run(&both, sent, 401).check, Some(TimestampCheck::default()));
        // One side of it only: that is how it sends.
        let alone: Vec<i64> = ticks.collect();
        assert_eq!(run(&alone, |monitor| monitor.sent(9_999, 200_000, PTIME), 401).check, None);
        // Ten gateways that send packets of 60 ms, all at nearly the same time.
        let long = |monitor: &mut TimestampMonitor| (0..10).for_each(|host| monitor.sent(host, 6_667, None));
        let mut monitor = TimestampMonitor::new(&Seeded::new(1));
        long(&mut monitor);
        monitor.close(INTERVAL, CommonDivisor::default());
        monitor.begin(Timestamp(0));
        monitor.adapt(3_333, 10);
        assert!(monitor.clump_gap >= Nanos::from_millis(59), "{:?}", monitor.clump_gap);
        let few = |monitor: &mut TimestampMonitor| (0..6).for_each(|host| monitor.sent(host, 33_333, PTIME));
        assert_eq!(run(&alone, few, 6).check, None);
    }

    #[test]
    fn silence_and_less_traffic_are_no_clumps() {
        // 400 hosts for a second, then two.
        let many = (0..400).flat_map(|host| (0..50).map(move |n| n * 20_000_000 + host * 49_999));
        let rest = (50..500).flat_map(|n| [n * 20_000_000, n * 20_000_000 + 9_000_000]);
        let mut frames: Vec<i64> = many.chain(rest).collect();
        frames.sort_unstable();
        let sent = |monitor: &mut TimestampMonitor| (0..400).for_each(|host| monitor.sent(host, 52, PTIME));
        assert_ne!(run(&frames, sent, 400).check.map(|check| check.fault), Some(TimestampFault::Clumped));
        // Everything falls silent for three seconds.
        let pause = |at: &i64| !(4 * SECOND..7 * SECOND).contains(at);
        let steady = (0..400).flat_map(|host| (0..500).map(move |n| n * 20_000_000 + host * 49_999));
        let mut frames: Vec<i64> = steady.filter(pause).collect();
        frames.sort_unstable();
        let sent = |monitor: &mut TimestampMonitor| (0..400).for_each(|host| monitor.sent(host, 350, PTIME));
        assert_eq!(run(&frames, sent, 400).check, Some(TimestampCheck::default()));
    }
}
