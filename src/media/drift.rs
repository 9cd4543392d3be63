//! The floor under the delays of a segment: a sliding minimum along the line of the sender's clock drift.
//!
//! Per second the lowest transit is kept. The lower convex hull of these minima gives the drift (the edge
//! above their mean time: the line all points lie on or above, which queueing cannot bend). The base at any
//! time is the lowest of the last [`WINDOW`] minima moved along that line, so it follows a change of route
//! within seconds and a drift for ever.

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
/// Hull points kept; the flattest corner goes first.
const HULL: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
struct Point {
    /// Nanoseconds of arrival since the origin of the segment.
    at: f64,
    transit: f64,
}

#[derive(Debug)]
pub struct Base {
    /// Nanoseconds of transit per nanosecond.
    slope: f64,
    /// Lowest of the window, moved to the origin along the slope.
    floor: f64,
    second_ends: i64,
    /// Lowest of the present second, by the present slope.
    lowest: Point,
    lowest_moved: f64,
    history: Box<History>,
}

#[derive(Debug, Default)]
struct History {
    recent: [Point; WINDOW],
    seconds: usize,
    hull: Vec<Point>,
    sum_at: f64,
    sum_transit: f64,
}

impl Base {
    /// `lowest` is the lowest transit already known to come.
    pub fn new(lowest: f64) -> Base {
        Base {
            slope: 0.0,
            floor: lowest,
            second_ends: SECOND,
            lowest: Point::default(),
            lowest_moved: f64::INFINITY,
            history: Box::default(),
        }
    }

    /// See [`super::stream::Stream::touch`].
    #[inline]
    pub fn touch(&self) -> u64 {
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
            self.lowest = Point { at: at as f64, transit };
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
        let slope = self.history.slope()?;
        (slope.abs() <= MAX_PPM * 1e-6).then_some(slope * 1e6)
    }

    #[inline(never)]
    fn end_second(&mut self, at: i64) {
        self.second_ends = at - at.rem_euclid(SECOND) + SECOND;
        if self.lowest_moved == f64::INFINITY {
            return;
        }
        self.history.push(self.lowest);
        self.slope = self.drift_ppm().unwrap_or(0.0) * 1e-6;
        let used = self.history.seconds.min(WINDOW);
        let slope = self.slope;
        self.floor = self.history.recent[..used].iter().map(|p| p.transit - slope * p.at).fold(f64::INFINITY, f64::min);
        self.lowest_moved = f64::INFINITY;
    }
}

impl History {
    fn push(&mut self, point: Point) {
        self.recent[self.seconds % WINDOW] = point;
        self.seconds += 1;
        self.sum_at += point.at;
        self.sum_transit += point.transit;
        while let [.., a, b] = self.hull[..] {
            if cross(a, b, point) > 0.0 {
                break;
            }
            self.hull.pop();
        }
        self.hull.push(point);
        if self.hull.len() > HULL {
            let flattest =
                (1..self.hull.len() - 1).min_by(|i, j| self.corner(*i).total_cmp(&self.corner(*j))).unwrap_or(1);
            self.hull.remove(flattest);
        }
    }

    fn corner(&self, i: usize) -> f64 {
        cross(self.hull[i - 1], self.hull[i], self.hull[i + 1])
    }

    /// Slope of the hull edge above the mean time of all minima, where they are close enough to it.
    fn slope(&self) -> Option<f64> {
        if self.seconds < DRIFT_AFTER {
            return None;
        }
        let mean = self.sum_at / self.seconds as f64;
        let edge = self.hull.windows(2).find(|e| e[1].at >= mean)?;
        let length = edge[1].at - edge[0].at;
        let slope = (edge[1].transit - edge[0].transit) / length;
        let height = self.sum_transit / self.seconds as f64 - (edge[0].transit + slope * (mean - edge[0].at));
        (height <= MAX_DOUBT * length).then_some(slope)
    }
}

/// Positive when `c` lies above the line through `a` and `b`.
fn cross(a: Point, b: Point, c: Point) -> f64 {
    (b.at - a.at) * (c.transit - a.transit) - (b.transit - a.transit) * (c.at - a.at)
}
