//! The floor under the delays of a segment: a sliding minimum along the line of the sender's clock drift.
//!
//! Per second the lowest transit along the line is kept. The lower convex hull of these minima gives the line (the edge
//! above their mean time: all points lie on or above it, and queueing cannot bend it). The base at any
//! time is the lowest of the last [`WINDOW`] minima moved along the line, so it follows a change of route
//! within seconds and a drift for ever.
//!
//! Minima are whole nanoseconds and the hull is exact, so that it does not depend on rounding which of nearly collinear
//! points are its corners.

/// Seconds over which a shift to a longer path is taken for jitter before it becomes the new base.
const WINDOW: usize = 8;
const SECOND: i64 = 1_000_000_000;
/// Drift is neither corrected nor reported under this many seconds of minima.
const DRIFT_AFTER: usize = 30;
/// A steeper line is no crystal but a wrong clock rate or an adapting sender.
const MAX_PPM: f64 = 500.0;
/// Where the minima lie this much above the line on the average, per nanosecond of it, the line may be wrong by as much:
/// then it is neither used nor reported. What it costs is this times [`WINDOW`].
const MAX_DOUBT: f64 = 20e-6;
/// Least move of the base that is reported: the minimum of jittered delays moves by less.
const MOVE: f64 = 10e6;
/// One within a second from here on is a step: a change of route, and no queue that builds up.
const STEP: f64 = 20e6;
/// Hull points kept; the flattest corner goes first. Only a drift that grows for as many seconds has more.
const HULL: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
struct Point {
    /// Nanoseconds of arrival since the origin of the segment.
    at: i64,
    /// Nanoseconds.
    transit: i64,
}

/// How the base moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Movement {
    /// Nanoseconds up and down, in moves of at least [`MOVE`].
    pub rise: f64,
    pub fall: f64,
    /// Moves of at least [`STEP`] within a second.
    pub steps: u32,
}

impl Movement {
    pub fn add(&mut self, other: Movement) {
        self.rise += other.rise;
        self.fall += other.fall;
        self.steps += other.steps;
    }
}

#[derive(Debug)]
pub struct Base {
    /// Nanoseconds of transit per nanosecond.
    slope: f64,
    /// Lowest of the window, moved to the origin along the slope.
    floor: f64,
    second_ends: i64,
    /// Lowest of the present second, by the present slope: arrival and transit.
    lowest: (i64, f64),
    lowest_moved: f64,
    history: Box<History>,
}

#[derive(Debug, Default)]
struct History {
    movement: Movement,
    /// The base, in nanoseconds of transit, a second ago and when a move was reported last.
    before: Option<(f64, f64)>,
    recent: [Point; WINDOW],
    seconds: usize,
    hull: Vec<Point>,
    sum_at: i128,
    sum_transit: i128,
}

impl Base {
    /// `lowest` is the lowest transit already known to come.
    pub fn new(lowest: f64) -> Base {
        Base {
            slope: 0.0,
            floor: lowest,
            second_ends: SECOND,
            lowest: (0, 0.0),
            lowest_moved: f64::INFINITY,
            history: Box::default(),
        }
    }

    /// See [`super::stream::Stream::prefetch`].
    #[inline]
    pub fn prefetch(&self) -> u64 {
        self.floor.to_bits()
    }

    pub fn lower_to(&mut self, transit: f64) {
        self.floor = self.floor.min(transit);
    }

    /// Takes a transit at `at` nanoseconds after the origin and returns its height above the base.
    #[inline]
    pub fn above(&mut self, at: i64, transit: f64) -> f64 {
        if at >= self.second_ends {
            self.end_second(at);
        }
        let moved = transit - self.slope * at as f64;
        if moved < self.lowest_moved {
            self.lowest_moved = moved;
            self.lowest = (at, transit);
            if moved < self.floor {
                self.floor = moved;
            }
        }
        moved - self.floor
    }

    /// Height of a transit above the base as it stands.
    pub fn height(&self, at: i64, transit: f64) -> f64 {
        transit - self.slope * at as f64 - self.floor
    }

    pub fn drift_ppm(&self) -> Option<f64> {
        self.history.slope().map(|slope| slope * 1e6)
    }

    #[inline(never)]
    fn end_second(&mut self, at: i64) {
        self.second_ends = at - at.rem_euclid(SECOND) + SECOND;
        if self.lowest_moved == f64::INFINITY {
            return;
        }
        let (lowest_at, transit) = self.lowest;
        self.history.push(Point { at: lowest_at, transit: transit.round() as i64 });
        let slope = self.history.slope().unwrap_or(0.0);
        // The line is no move: what lies before the present second is seen along the new one.
        if let Some((second, told)) = &mut self.history.before {
            let turn = (slope - self.slope) * at as f64;
            (*second, *told) = (*second - turn, *told - turn);
        }
        self.slope = slope;
        let used = self.history.seconds.min(WINDOW);
        let moved = |p: &Point| p.transit as f64 - self.slope * p.at as f64;
        self.floor = self.history.recent[..used].iter().map(moved).fold(f64::INFINITY, f64::min);
        self.lowest_moved = f64::INFINITY;
        self.history.moved(self.floor);
    }

    /// How the base moved since this was asked last.
    pub fn take_movement(&mut self) -> Movement {
        std::mem::take(&mut self.history.movement)
    }
}

impl History {
    /// The base at the end of a second.
    fn moved(&mut self, floor: f64) {
        let (second, told) = *self.before.get_or_insert((floor, floor));
        let since_told = floor - told;
        let told = if since_told.abs() >= MOVE {
            self.movement.rise += since_told.max(0.0);
            self.movement.fall += (-since_told).max(0.0);
            floor
        } else {
            told
        };
        self.movement.steps += u32::from((floor - second).abs() >= STEP);
        self.before = Some((floor, told));
    }

    fn push(&mut self, point: Point) {
        self.recent[self.seconds % WINDOW] = point;
        self.seconds += 1;
        self.sum_at += i128::from(point.at);
        self.sum_transit += i128::from(point.transit);
        // Capture times may go back a little; the line needs points in order of time.
        if self.hull.last().is_some_and(|last| point.at <= last.at) {
            return;
        }
        while let [.., a, b] = self.hull[..] {
            if cross(a, b, point) > 0 {
                break;
            }
            self.hull.pop();
        }
        self.hull.push(point);
        if self.hull.len() > HULL {
            let flattest = (1..self.hull.len() - 1).min_by_key(|i| self.corner(*i)).unwrap_or(1);
            self.hull.remove(flattest);
        }
    }

    fn corner(&self, i: usize) -> i128 {
        cross(self.hull[i - 1], self.hull[i], self.hull[i + 1])
    }

    /// Slope of the hull edge above the mean time of all minima, where they are close enough to it and it is no steeper
    /// than a clock can be.
    fn slope(&self) -> Option<f64> {
        if self.seconds < DRIFT_AFTER {
            return None;
        }
        let n = self.seconds as i128;
        let edge = self.hull.windows(2).find(|e| i128::from(e[1].at) * n >= self.sum_at)?;
        let length = (edge[1].at - edge[0].at) as f64;
        let slope = (i128::from(edge[1].transit) - i128::from(edge[0].transit)) as f64 / length;
        let mean_at = (self.sum_at - n * i128::from(edge[0].at)) as f64 / n as f64;
        let mean_transit = (self.sum_transit - n * i128::from(edge[0].transit)) as f64 / n as f64;
        let height = mean_transit - slope * mean_at;
        (height <= MAX_DOUBT * length && slope.abs() <= MAX_PPM * 1e-6).then_some(slope)
    }
}

/// Positive when `c` lies above the line through `a` and `b`.
fn cross(a: Point, b: Point, c: Point) -> i128 {
    let wide = |p: Point| (i128::from(p.at) - i128::from(a.at), i128::from(p.transit) - i128::from(a.transit));
    let ((b_at, b_transit), (c_at, c_transit)) = (wide(b), wide(c));
    b_at * c_transit - b_transit * c_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::oracle::{Kind, PacketSeen};
    use testkit::playout;

    const CLOCK: u32 = 8_000;

    /// Five minutes of a sender whose clock goes from one rate to another, in ppm, with even jitter. The largest
    /// difference to heights above a base whose hull keeps all corners, and the most corners there were.
    fn against_all_corners(from: f64, to: f64, jitter_ns: i64) -> (i64, usize) {
        let packet = |i: u32| {
            let seconds = f64::from(i) / 50.0;
            let drift = (from * seconds + (to - from) * seconds * seconds / 600.0) * 1e3;
            let jitter = i64::from(i.wrapping_mul(2_654_435_761) >> 8) % jitter_ns.max(1);
            PacketSeen {
                at: i64::from(i) * 20_000_000 + drift as i64 + jitter,
                sent_at: None,
                seq: i as u16,
                ts: i * 160,
                pt: 0,
                marker: false,
                kind: Kind::Audio,
                clock: CLOCK,
                payload_len: 160,
                fingerprint: 0,
                cut_short: false,
            }
        };
        let list: Vec<PacketSeen> = (0..15_000).map(packet).collect();
        let transit = |p: &PacketSeen| (p.at - list[0].at - i64::from(p.ts) * (SECOND / i64::from(CLOCK))) as f64;
        let mut base = Base::new(list[..50].iter().map(transit).fold(f64::INFINITY, f64::min));
        let (mut off, mut corners) = (0, 0);
        for (p, exact) in list.iter().zip(playout::above_base(&list)) {
            let above = base.above(p.at - list[0].at, transit(p)) as i64;
            off = off.max((above - exact).abs());
            corners = corners.max(base.history.hull.len());
        }
        (off, corners)
    }

    #[test]
    fn corners_are_left_out_only_of_clocks_that_bend_and_hardly_matter() {
        let mut reached = 0;
        for (from, to) in [(0.0, 0.0), (-200.0, -200.0), (200.0, 201.0), (0.0, 3.0), (0.0, 100.0), (150.0, 250.0)] {
            for jitter in [0, 300_000, 3_000_000] {
                let (off, corners) = against_all_corners(from, to, jitter);
                let most = match to - from {
                    _ if corners < HULL => 0,
                    bend if bend <= 3.0 => 15_000,
                    // One of the two lines is in doubt and not followed: MAX_PPM over WINDOW.
                    _ => 4_000_000,
                };
                assert!(off <= most, "{from} to {to} ppm, jitter of {jitter} ns: {off} ns, {corners} corners");
                reached += u32::from(corners == HULL && off > 0);
            }
        }
        assert!(reached > 0, "some had more corners than are kept");
    }
}
