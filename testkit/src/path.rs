//! What networks do to packets: delay, its variation, loss, reordering, copies, route changes.

use crate::rng::Rng;

/// One millisecond in nanoseconds.
pub const MS: i64 = 1_000_000;
/// Packets of one flow leave a queue at least this far apart.
const SPACING_NS: i64 = 20_000;

/// A span of a call, ms from its answer (for a lone [`Stretch`], from the given start).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub from_ms: i64,
    pub to_ms: i64,
}

impl Window {
    pub const ALWAYS: Window = Window { from_ms: i64::MIN, to_ms: i64::MAX };

    pub fn new(from_ms: i64, to_ms: i64) -> Window {
        Window { from_ms, to_ms }
    }

    fn holds(self, ms: i64) -> bool {
        (self.from_ms..self.to_ms).contains(&ms)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Independent, with this probability.
    Bernoulli { p: f64 },
    /// Two states: `p` is P(lost | last received), `q` is P(received | last lost). Mean burst 1/q, share lost p/(p+q).
    Gilbert { p: f64, q: f64 },
    /// Numbers of the packets lost, counted from 0 in order of sending.
    List(Vec<u32>),
    /// Everything: an outage.
    All,
}

impl Loss {
    /// Gilbert loss with the given share lost (0..1) and mean run of losses.
    pub fn bursts(share: f64, mean_run: f64) -> Loss {
        let q = 1.0 / mean_run;
        Loss::Gilbert { p: q * share / (1.0 - share), q }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Between 0 and `max_us`.
    Uniform { max_us: i64 },
    /// Normal about 3 sigma, cut at 0 and at 6 sigma.
    Normal { sigma_us: i64 },
    /// Gamma with this shape and mean.
    Gamma { shape: u32, mean_us: i64 },
    /// With probability `p` a delay of exponential length; what follows queues up behind it.
    Spikes { p: f64, mean_us: i64 },
    /// A triangle wave between 0 and `height_us`.
    Periodic { period_ms: i64, height_us: i64 },
}

/// Packets held back with probability `p` until about `extent` later ones have passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reorder {
    pub p: f64,
    pub extent: u32,
}

/// One stretch of network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    pub delay_us: i64,
    /// Added up.
    pub jitter: Vec<(Window, Jitter)>,
    /// Lost when any of them says so.
    pub loss: Vec<(Window, Loss)>,
    pub reorder: Option<Reorder>,
    /// Probability of a copy with its own IP header, 4 to 9 ms later.
    pub duplicate: f64,
    /// From `.0` ms on the delay is larger by `.1` microseconds (summed).
    pub route: Vec<(i64, i64)>,
}

impl Stretch {
    pub fn delay(delay_us: i64) -> Stretch {
        Stretch { delay_us, ..Stretch::default() }
    }

    pub fn with_loss(mut self, window: Window, loss: Loss) -> Stretch {
        self.loss.push((window, loss));
        self
    }

    pub fn with_jitter(mut self, window: Window, jitter: Jitter) -> Stretch {
        self.jitter.push((window, jitter));
        self
    }

    /// Delay without variation at `ms`, in ns: what RTCP and signalling take.
    pub fn base_ns(&self, ms: i64) -> i64 {
        1_000 * (self.delay_us + self.route.iter().filter(|(at, _)| *at <= ms).map(|(_, step)| step).sum::<i64>())
    }

    /// Passes packets `(time, index)` in order of time through; `start` is what windows count from, `ptime_ms` the usual distance.
    /// Returns what comes out in order of time.
    pub fn pass(&self, input: &[Passed], start: i64, ptime_ms: i64, rng: &mut Rng) -> Vec<Passed> {
        let mut last_lost = vec![false; self.loss.len()];
        let mut queue_free = i64::MIN;
        let mut out = Vec::with_capacity(input.len());
        for p in input {
            let ms = (p.at - start) / MS;
            let mut at = p.at + self.base_ns(ms);
            for (window, jitter) in &self.jitter {
                let extra = jitter.draw(ms, rng);
                at += if window.holds(ms) { extra } else { 0 };
            }
            let held = self.reorder.is_some_and(|r| rng.chance(r.p));
            let lost = self.loses(p, ms, &mut last_lost, rng);
            let copied = rng.chance(self.duplicate);
            let copy_after = rng.range(4 * MS, 9 * MS);
            if lost {
                continue;
            }
            if held {
                at += i64::from(self.reorder.map_or(0, |r| r.extent)) * ptime_ms * MS + ptime_ms * MS / 4;
            } else {
                at = at.max(queue_free);
                queue_free = at + SPACING_NS;
            }
            out.push(Passed { at, ..*p });
            if copied {
                out.push(Passed { at: at + copy_after, copy: p.copy + 1, ..*p });
            }
        }
        out.sort_by_key(|p| p.at);
        out
    }

    fn loses(&self, p: &Passed, ms: i64, last_lost: &mut [bool], rng: &mut Rng) -> bool {
        let mut lost = false;
        for ((window, loss), last) in self.loss.iter().zip(last_lost) {
            let u = rng.unit();
            let inside = window.holds(ms);
            let here = inside
                && match loss {
                    Loss::Bernoulli { p } => u < *p,
                    Loss::Gilbert { q, .. } if *last => u >= *q,
                    Loss::Gilbert { p, .. } => u < *p,
                    Loss::List(numbers) => numbers.contains(&(p.index as u32)),
                    Loss::All => true,
                };
            *last = here;
            lost |= here;
        }
        lost
    }
}

/// A packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    pub at: i64,
    /// Number in order of sending.
    pub index: usize,
    /// 0 for the packet itself, then its copies.
    pub copy: u32,
}

impl Jitter {
    /// Extra delay in ns, in whole microseconds: a clock finer than that would only be noise in a file.
    fn draw(self, ms: i64, rng: &mut Rng) -> i64 {
        let us = match self {
            Jitter::Uniform { max_us } => rng.range(0, max_us),
            Jitter::Normal { sigma_us } => (sigma_us as f64 * (3.0 + rng.normal()).clamp(0.0, 6.0)) as i64,
            Jitter::Gamma { shape, mean_us } => rng.gamma(shape, mean_us as f64 / f64::from(shape)) as i64,
            Jitter::Spikes { p, mean_us } => {
                let (hit, length) = (rng.chance(p), rng.exponential(mean_us as f64));
                if hit { length as i64 } else { 0 }
            }
            Jitter::Periodic { period_ms, height_us } => {
                let at = ms.rem_euclid(period_ms);
                2 * height_us * at.min(period_ms - at) / period_ms
            }
        };
        us * 1_000
    }
}

/// The way of one direction of a call: sender, probe, receiver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    /// Sender to probe: what it does is seen in the capture.
    pub before: Stretch,
    /// Frames that pass the probe and are missing in the capture only.
    pub probe_loss: Vec<(Window, Loss)>,
    /// Probe to receiver: seen only in what the receiver reports.
    pub after: Stretch,
}

impl Path {
    pub fn new(before: Stretch, after: Stretch) -> Path {
        Path { before, probe_loss: Vec::new(), after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(n: usize) -> Vec<Passed> {
        (0..n).map(|i| Passed { at: i as i64 * 20 * MS, index: i, copy: 0 }).collect()
    }

    fn pass(stretch: &Stretch, n: usize) -> Vec<Passed> {
        stretch.pass(&sent(n), 0, 20, &mut Rng::new(5))
    }

    #[test]
    fn a_quiet_stretch_only_delays() {
        let out = pass(&Stretch::delay(7_000), 10);
        assert!(out.iter().all(|p| p.at == p.index as i64 * 20 * MS + 7 * MS));
        assert_eq!(out.len(), 10);
    }

    #[test]
    fn losses_have_their_shares_and_runs() {
        let n = 50_000;
        let independent = pass(&Stretch::default().with_loss(Window::ALWAYS, Loss::Bernoulli { p: 0.02 }), n);
        assert!(((n - independent.len()) as f64 / n as f64 - 0.02).abs() < 0.003);
        let bursty = pass(&Stretch::default().with_loss(Window::ALWAYS, Loss::bursts(0.05, 6.0)), n);
        let lost = (n - bursty.len()) as f64;
        let runs = bursty.windows(2).filter(|w| w[1].index - w[0].index > 1).count() as f64;
        assert!((lost / n as f64 - 0.05).abs() < 0.01, "{lost}");
        assert!((lost / runs - 6.0).abs() < 0.5, "{}", lost / runs);
        let outage = pass(&Stretch::default().with_loss(Window::new(100, 200), Loss::All), 20);
        assert_eq!(
            outage.iter().map(|p| p.index).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
        );
        let listed = pass(&Stretch::default().with_loss(Window::ALWAYS, Loss::List(vec![0, 3])), 5);
        assert_eq!(listed.iter().map(|p| p.index).collect::<Vec<_>>(), [1, 2, 4]);
    }

    #[test]
    fn variation_never_reorders_and_reordering_does() {
        let jitters = [
            Jitter::Uniform { max_us: 80_000 },
            Jitter::Normal { sigma_us: 10_000 },
            Jitter::Gamma { shape: 2, mean_us: 20_000 },
            Jitter::Spikes { p: 0.05, mean_us: 90_000 },
            Jitter::Periodic { period_ms: 1_000, height_us: 30_000 },
        ];
        for jitter in jitters {
            let out = pass(&Stretch::default().with_jitter(Window::ALWAYS, jitter), 500);
            assert!(out.windows(2).all(|w| w[0].index < w[1].index), "{jitter:?}");
            assert!(out.iter().any(|p| p.at > p.index as i64 * 20 * MS + 5 * MS), "{jitter:?}");
        }
        let held = Stretch { reorder: Some(Reorder { p: 0.1, extent: 2 }), ..Stretch::default() };
        let out = pass(&held, 500);
        assert_eq!(out.len(), 500);
        assert!(out.windows(2).any(|w| w[0].index > w[1].index));
    }

    #[test]
    fn copies_and_route_changes() {
        let stretch = Stretch { duplicate: 0.1, route: vec![(200, 30_000)], ..Stretch::default() };
        let out = pass(&stretch, 100);
        let copies = out.iter().filter(|p| p.copy == 1).count();
        assert_eq!(out.len(), 100 + copies);
        assert!((2..25).contains(&copies));
        let late = out.iter().filter(|p| p.copy == 0).filter(|p| p.at - p.index as i64 * 20 * MS == 30 * MS).count();
        assert_eq!(late, 90);
    }
}
