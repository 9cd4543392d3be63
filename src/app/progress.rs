//! Whether the measuring thread makes progress. The thread counts its steps; a task of the program looks at the count.
//!
//! The thread reads no clock for it: a step is two stores. Who looks remembers when the count last changed, so the time is
//! exact to the distance between two looks ([`LOOK_EVERY`]).

use auscult_capture::pace::{SystemClock, WallClock};
use auscult_core::units::Nanos;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Without a step for this long while it has work, the thread stands still and the program is not ready. The longest
/// step of a full probe (closing an interval of 400,000 streams) counts each of its rows as a step.
pub const STANDS_STILL: Nanos = Nanos::from_secs(10);

/// Without a step for this long, only a new start helps: the program is not healthy.
pub const STUCK: Nanos = Nanos::from_secs(60);

/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the measuring thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Doing {
    /// There is none, or it has ended.
    Nothing,
    /// It has a frame, or closes intervals.
    Measuring,
    /// It reads a capture; a pipe may have nothing for hours.
    Reading,
    /// It waits for the time at which a frame is due, for frames of an interface, or for the store to catch up.
    Waiting,
}

/// Written by one thread, read by others.
pub struct Progress {
    doing: AtomicU8,
    steps: AtomicU64,
    clock: SystemClock,
    seen: Mutex<Seen>,
}

/// The count as it was when a look last found it changed, and when that was.
struct Seen {
    steps: u64,
    since: Nanos,
}

impl Progress {
    pub fn new() -> Progress {
        let clock = SystemClock::start();
        let seen = Mutex::new(Seen { steps: 0, since: clock.now() });
        Progress { doing: AtomicU8::new(Doing::Nothing as u8), steps: AtomicU64::new(0), clock, seen }
    }

    /// The thread begins something else; that is a step.
    #[inline]
    pub fn begins(&self, doing: Doing) {
        self.step();
        self.doing.store(doing as u8, Relaxed);
    }

    /// The thread got on with what it is at.
    #[inline]
    pub fn step(&self) {
        // One thread writes: no need to lock the line of memory.
        self.steps.store(self.steps.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub fn doing(&self) -> Doing {
        match self.doing.load(Relaxed) {
            1 => Doing::Measuring,
            2 => Doing::Reading,
            3 => Doing::Waiting,
            _ => Doing::Nothing,
        }
    }

    /// Time since the last step, as far as it was looked for.
    pub fn since_last_step(&self) -> Nanos {
        self.look(self.clock.now())
    }

    /// How long the thread has stood still while it had work.
    pub fn stands_still(&self) -> Option<Nanos> {
        let since = self.since_last_step();
        (self.doing() == Doing::Measuring && since >= STANDS_STILL).then_some(since)
    }

    fn look(&self, now: Nanos) -> Nanos {
        let steps = self.steps.load(Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if steps != seen.steps {
            *seen = Seen { steps, since: now };
        }
        now - seen.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_resets_the_time_and_looking_does_not() {
        let progress = Progress::new();
        let start = progress.seen.lock().unwrap().since;
        let at = |s: i64| start + Nanos::from_secs(s);
        assert_eq!(progress.look(at(5)), Nanos::from_secs(5));
        assert_eq!(progress.look(at(9)), Nanos::from_secs(9));
        progress.step();
        assert_eq!(progress.look(at(11)), Nanos::ZERO);
        assert_eq!(progress.look(at(14)), Nanos::from_secs(3));
        progress.begins(Doing::Waiting);
        assert_eq!((progress.look(at(20)), progress.doing()), (Nanos::ZERO, Doing::Waiting));
    }

    #[test]
    fn only_a_thread_that_has_work_can_stand_still() {
        let progress = Progress::new();
        progress.begins(Doing::Measuring);
        let now = progress.clock.now();
        progress.look(now);
        progress.seen.lock().unwrap().since = now - STANDS_STILL;
        assert!(progress.stands_still().is_some());
        for doing in [Doing::Nothing, Doing::Reading, Doing::Waiting] {
            progress.begins(doing);
            progress.look(now);
            progress.seen.lock().unwrap().since = now - STANDS_STILL;
            assert_eq!(progress.stands_still(), None, "{doing:?}");
        }
    }
}
