//! Replay at real speed: when, by the wall clock, a recorded frame is due.

use auscult_core::units::{Nanos, Timestamp};
use std::time::{Duration, Instant};

/// A clock that only goes forward, and a way to let time pass.
pub trait WallClock {
    /// Time since any fixed moment.
    fn now(&self) -> Nanos;
    fn sleep(&self, time: Nanos);
}

/// The clock of the host.
pub struct SystemClock(Instant);

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "replay at real speed is measured against the host's clock")]
    pub fn start() -> SystemClock {
        SystemClock(Instant::now())
    }
}

impl WallClock for SystemClock {
    fn now(&self) -> Nanos {
        Nanos(i64::try_from(self.0.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }

    fn sleep(&self, time: Nanos) {
        if let Ok(ns) = u64::try_from(time.0) {
            std::thread::sleep(Duration::from_nanos(ns));
        }
    }
}

/// Holds frames back until as much time has passed since the first as had passed when they were recorded.
///
/// Nothing drifts: every frame is measured from the first, so a late one does not delay those after it.
pub struct Pacer<C> {
    clock: C,
    speed: f64,
    began: Option<(Timestamp, Nanos)>,
}

impl<C: WallClock> Pacer<C> {
    /// `speed` is recorded seconds per second: 1 is real speed, 2 twice as fast. What is no positive number is 1.
    pub fn new(clock: C, speed: f64) -> Pacer<C> {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Pacer { clock, speed, began: None }
    }

    /// Time until a frame recorded at `at` is due; zero when it is. The first frame asked about is due at once, and so
    /// is every one older than a frame already due.
    pub fn due_in(&mut self, at: Timestamp) -> Nanos {
        let now = self.clock.now();
        let (first_at, first_now) = *self.began.get_or_insert((at, now));
        let recorded = at - first_at;
        let due = if self.speed == 1.0 { recorded } else { Nanos((recorded.0 as f64 / self.speed) as i64) };
        (first_now + due - now).max(Nanos::ZERO)
    }

    /// Sleeps until a frame is due, but not longer than `longest`, so that the caller can see to other things in
    /// between. True when the frame is due.
    pub fn wait(&mut self, at: Timestamp, longest: Nanos) -> bool {
        let due_in = self.due_in(at);
        if due_in == Nanos::ZERO {
            return true;
        }
        self.clock.sleep(due_in.min(longest));
        self.due_in(at) == Nanos::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[derive(Default)]
    struct Hand(Cell<i64>);

    impl WallClock for &Hand {
        fn now(&self) -> Nanos {
            Nanos(self.0.get())
        }

        fn sleep(&self, time: Nanos) {
            self.0.set(self.0.get() + time.0);
        }
    }

    #[test]
    fn frames_keep_their_distance_from_the_first() {
        let hand = Hand(Cell::new(500));
        let mut pacer = Pacer::new(&hand, 1.0);
        let at = |ms| Timestamp(1_000_000_000_000) + Nanos::from_millis(ms);
        assert!(pacer.wait(at(0), Nanos::MAX));
        assert_eq!(pacer.due_in(at(20)), Nanos::from_millis(20));
        (&hand).sleep(Nanos::from_millis(25));
        assert_eq!(pacer.due_in(at(20)), Nanos::ZERO, "late is due");
        assert_eq!(pacer.due_in(at(40)), Nanos::from_millis(15), "and delays nothing");
        assert_eq!(pacer.due_in(at(-7)), Nanos::ZERO, "older than the first");
    }

    #[test]
    fn waiting_comes_back_to_let_the_caller_tick() {
        let hand = Hand::default();
        let mut pacer = Pacer::new(&hand, 1.0);
        assert!(pacer.wait(Timestamp(0), Nanos::MAX));
        let mut waits = 1;
        while !pacer.wait(Timestamp(95), Nanos(10)) {
            waits += 1;
        }
        assert_eq!((waits, hand.0.get()), (10, 95));
    }

    #[test]
    fn speed_divides_the_distance() {
        let hand = Hand::default();
        let mut pacer = Pacer::new(&hand, 4.0);
        pacer.due_in(Timestamp(0));
        assert_eq!(pacer.due_in(Timestamp(1000)), Nanos(250));
        let mut odd = Pacer::new(&hand, f64::NAN);
        odd.due_in(Timestamp(0));
        assert_eq!(odd.due_in(Timestamp(1000)), Nanos(1000));
    }
}
