//! What is usual at this hour of the week.

use super::evaluator::{self, Judged};
use super::measure::Kind;
use super::rule::{Baseline, BaselineLimit, Rule, Side};
use super::stat::median;
use super::sums::{Group, Measured};
use crate::units::{Nanos, Timestamp};
use jiff::Span;
use jiff::tz::TimeZone;

const HOUR_NS: i64 = 3_600_000_000_000;

/// A median absolute deviation times this estimates a standard deviation (normal distribution).
const MAD_SCALE: f64 = 1.4826;

/// Median and deviation of the same wall-clock time in the weeks before `at`, between the two hours around it. `None` with fewer
/// weeks than the rule wants. `fired` says of an hour (since 1970) that the group fired in it: such weeks are left out.
pub(super) fn of(
    test: &Baseline,
    kind: Kind,
    group: &Group,
    at: Timestamp,
    fired: &dyn Fn(i64) -> bool,
) -> Option<(f64, f64)> {
    let zone = TimeZone::get(&test.timezone).ok()?;
    let now = jiff::Timestamp::from_nanosecond(i128::from(at.0)).ok()?.to_zoned(zone);
    let value = |hour: i64| -> Option<f64> {
        let (num, den) = group.hour(hour)?;
        match kind {
            Kind::PerMinute => Some(num as f64 / 60.0),
            _ => (den > 0).then(|| 100.0 * num as f64 / den as f64),
        }
    };
    let mut values = Vec::new();
    for week in 1..=i64::from(test.weeks) {
        // The wall clock of the zone: daylight saving moves nothing.
        let then = now.checked_sub(Span::new().weeks(week)).ok()?;
        let then = i64::try_from(then.timestamp().as_nanosecond()).ok()?;
        // Values of hours stand for their middles; between two middles the usual value lies on a line.
        let first = (then - HOUR_NS / 2).div_euclid(HOUR_NS);
        let share = ((then - HOUR_NS / 2).rem_euclid(HOUR_NS)) as f64 / HOUR_NS as f64;
        if fired(first) || fired(first + 1) {
            continue;
        }
        let known = match (value(first), value(first + 1)) {
            (Some(a), Some(b)) => Some(a + share * (b - a)),
            (a, b) => a.or(b),
        };
        values.extend(known);
    }
    if values.len() < test.min_weeks as usize {
        return None;
    }
    let middle = median(&mut values)?;
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some((middle, MAD_SCALE * median(&mut deviations)?))
}

/// Compares a value with what is usual.
pub(super) fn compare(
    rule: &Rule,
    test: &Baseline,
    judged: Judged,
    measured: Measured,
    (middle, spread): (f64, f64),
) -> Judged {
    let sign = if test.side == Side::Above { 1.0 } else { -1.0 };
    let (fire, clear) = match test.limit {
        BaselineLimit::Deviations { k, floor } => {
            let distance = (k * spread).max(floor);
            (middle + sign * distance, middle + sign * 0.8 * distance)
        }
        // Where little is usual, a little less is no deviation.
        BaselineLimit::Percent { floor, .. } if middle < floor => {
            return evaluator::compare(rule, judged, measured, sign * f64::INFINITY, sign * f64::INFINITY);
        }
        BaselineLimit::Percent { percent, .. } => {
            let limit = middle * percent / 100.0;
            (limit, limit + (middle - limit) * 0.2)
        }
    };
    evaluator::compare(rule, judged, measured, fire, clear)
}

/// How long hours have to be kept for a baseline of so many weeks.
pub fn history(weeks: u32) -> Nanos {
    Nanos::from_secs(i64::from(weeks) * 7 * 86_400 + 7_200)
}
