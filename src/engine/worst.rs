//! The worst of a stream: its lowest interval, and its lowest mean over a minute of intervals.

use crate::units::Nanos;
use smallvec::SmallVec;

const MINUTE: Nanos = Nanos::from_secs(60);

/// A listening MOS with the scale it is on.
pub type Rated = (f32, &'static str);

/// Kept small, by the number of the scale: every stream has two.
type Kept = (f32, u8);

const SCALES: [&str; 3] = ["nb", "wb", "fb"];

#[derive(Debug)]
pub struct Worst {
    interval: Option<Kept>,
    minute: Option<Kept>,
    /// Ratings of the last minute, not a number for intervals that could not be rated.
    rows: SmallVec<[f32; 6]>,
    length: u8,
    scale: u8,
}

impl Worst {
    /// `interval` is the length of an interval.
    pub fn new(interval: Nanos) -> Worst {
        let length = (MINUTE.0 / interval.0.max(1)).clamp(1, 60) as u8;
        Worst { interval: None, minute: None, rows: SmallVec::new(), length, scale: 0 }
    }

    /// Takes the next interval. Another scale begins a new minute: ratings of two scales have no mean.
    pub fn add(&mut self, lq: Option<f32>, scale: &'static str) {
        let scale = SCALES.iter().position(|known| *known == scale).unwrap_or(0) as u8;
        if lq.is_some() && scale != self.scale {
            self.minute = self.worst_minute();
            self.rows.clear();
            self.scale = scale;
        }
        if let Some(lq) = lq {
            self.interval = lower_kept(self.interval, Some((lq, scale)));
        }
        if self.rows.len() == usize::from(self.length) {
            self.rows.remove(0);
        }
        self.rows.push(lq.unwrap_or(f32::NAN));
        if self.rows.len() == usize::from(self.length) {
            self.minute = lower_kept(self.minute, self.mean());
        }
    }

    /// Lowest interval.
    pub fn interval(&self) -> Option<Rated> {
        self.interval.map(rated)
    }

    /// Lowest mean of a whole minute of one scale; over all of it where a scale never lasted a minute.
    pub fn minute(&self) -> Option<Rated> {
        self.worst_minute().map(rated)
    }

    fn worst_minute(&self) -> Option<Kept> {
        if self.rows.len() < usize::from(self.length) && self.minute.is_none_or(|(_, scale)| scale != self.scale) {
            return lower_kept(self.minute, self.mean());
        }
        self.minute
    }

    fn mean(&self) -> Option<Kept> {
        let known = self.rows.iter().filter(|lq| !lq.is_nan());
        let (sum, count) = known.fold((0.0, 0u32), |(sum, n), lq| (sum + lq, n + 1));
        (count > 0).then(|| (sum / count as f32, self.scale))
    }
}

fn rated((lq, scale): Kept) -> Rated {
    (lq, SCALES[usize::from(scale)])
}

fn lower_kept(a: Option<Kept>, b: Option<Kept>) -> Option<Kept> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if below_clean(rated(b)) < below_clean(rated(a)) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The one farther below what its scale allows.
pub fn lower(a: Option<Rated>, b: Option<Rated>) -> Option<Rated> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if below_clean(b) < below_clean(a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// MOS against the best its scale allows, so that scales are only compared by distance from clean.
fn below_clean((lq, scale): Rated) -> f32 {
    let clean = if scale == "nb" { 4.409 } else { 4.5 };
    lq - clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[Option<f32>]) -> Worst {
        let mut worst = Worst::new(Nanos::from_secs(10));
        rows.iter().for_each(|lq| worst.add(*lq, "nb"));
        worst
    }

    #[test]
    fn a_minute_is_six_intervals_of_ten_seconds() {
        let mut rows = vec![Some(4.0); 12];
        rows[5] = Some(1.0);
        let worst = of(&rows);
        assert_eq!(worst.interval(), Some((1.0, "nb")));
        assert_eq!(worst.minute(), Some((3.5, "nb")));
    }

    #[test]
    fn less_than_a_minute_is_the_mean_of_what_there_is() {
        assert_eq!(of(&[Some(4.0), None, Some(2.0)]).minute(), Some((3.0, "nb")));
        assert_eq!(of(&[None]).minute(), None);
        assert_eq!(of(&[]).interval(), None);
        // A bad last interval after a good minute is part of a minute that ends with it, not one by itself.
        let worst = of(&[Some(4.0), Some(4.0), Some(4.0), Some(4.0), Some(4.0), Some(4.0), Some(1.0)]);
        assert_eq!(worst.minute(), Some((3.5, "nb")));
    }

    #[test]
    fn scales_have_no_common_mean() {
        let mut worst = of(&[Some(3.0), Some(3.0)]);
        worst.add(Some(4.2), "wb");
        assert_eq!(worst.minute(), Some((3.0, "nb")), "1.4 below clean against 0.3");
        worst.add(Some(1.0), "wb");
        assert_eq!(worst.minute(), Some((2.6, "wb")));
    }
}
