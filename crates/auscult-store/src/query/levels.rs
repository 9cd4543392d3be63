//! Which table of sums answers which part of a window: hours for the middle, five minutes and single intervals at its ends.

use super::statement::{Statement, Value};

/// Keys of a grouping by their number: how parts name them, and the list of them that is read.
pub(super) const KEYS: [&str; 4] = ["", ", k1", ", k1, k2", ", k1, k2, k3"];
pub(super) const LISTS: [&str; 4] = [
    "emptyArrayString() AS keys",
    "[toString(k1)] AS keys",
    "[toString(k1), toString(k2)] AS keys",
    "[toString(k1), toString(k2), toString(k3)] AS keys",
];

/// Tables of sums, from the finest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Interval,
    FiveMinutes,
    Hour,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Interval, Level::FiveMinutes, Level::Hour];

    /// Seconds that a row covers; intervals may begin at any second.
    fn seconds(self) -> i64 {
        match self {
            Level::Interval => 1,
            Level::FiveMinutes => 300,
            Level::Hour => 3600,
        }
    }

    /// The condition that a row begins in one of the two spans, `[a, b)` and `[c, d)`.
    fn condition(self) -> &'static str {
        macro_rules! spans {
            ($a:literal, $b:literal, $c:literal, $d:literal) => {
                concat!(
                    " WHERE (start_at >= toDateTime({",
                    $a,
                    ":Int64}, 'UTC') AND start_at < toDateTime({",
                    $b,
                    ":Int64}, 'UTC') OR start_at >= toDateTime({",
                    $c,
                    ":Int64}, 'UTC') AND start_at < toDateTime({",
                    $d,
                    ":Int64}, 'UTC'))"
                )
            };
        }
        match self {
            Level::Interval => spans!("i_a", "i_b", "i_c", "i_d"),
            Level::FiveMinutes => spans!("m_a", "m_b", "m_c", "m_d"),
            Level::Hour => spans!("h_a", "h_b", "h_c", "h_d"),
        }
    }

    fn names(self) -> [&'static str; 4] {
        match self {
            Level::Interval => ["i_a", "i_b", "i_c", "i_d"],
            Level::FiveMinutes => ["m_a", "m_b", "m_c", "m_d"],
            Level::Hour => ["h_a", "h_b", "h_c", "h_d"],
        }
    }
}

/// The spans that one level answers, seconds since 1970, ends excluded. Either may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub level: Level,
    pub spans: [(i64, i64); 2],
}

impl Part {
    /// Adds the condition of this part and its values.
    pub fn narrow(&self, statement: Statement) -> Statement {
        let [(a, b), (c, d)] = self.spans;
        let values = [a, b, c, d].map(|at| Value::Int(at.clamp(0, i64::from(u32::MAX))));
        let statement = statement.text(self.level.condition());
        self.level.names().into_iter().zip(values).fold(statement, |s, (name, value)| s.value(name, value))
    }
}

/// Cuts `[from, to)` so that each level answers as much as it can answer exactly. `bucket`: seconds of the buckets of a time
/// series, which no row may cross.
pub(super) fn parts(from: i64, to: i64, bucket: Option<i64>) -> Vec<Part> {
    let mut parts = Vec::new();
    // What the coarser levels answer, from the inside out.
    let mut inner: Option<(i64, i64)> = None;
    for level in Level::ALL.into_iter().rev() {
        let seconds = level.seconds();
        if bucket.is_some_and(|bucket| bucket % seconds != 0) {
            continue;
        }
        let begin = from + (-from).rem_euclid(seconds);
        let end = to - to.rem_euclid(seconds);
        if begin >= end {
            continue;
        }
        let spans = match inner {
            None => [(begin, end), (end, end)],
            Some((a, b)) => [(begin, a), (b, end)],
        };
        inner = Some((begin, end));
        if spans.iter().any(|(a, b)| a < b) {
            parts.push(Part { level, spans });
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_second_is_answered_once_by_a_row_that_lies_inside(
            from in 0i64..20_000,
            length in 1i64..30_000,
            bucket in prop::option::of(prop::sample::select(vec![1i64, 10, 60, 300, 600, 3600, 7200])),
        ) {
            let to = from + length;
            let mut answered = vec![0; length as usize];
            for part in parts(from, to, bucket) {
                let seconds = part.level.seconds();
                for (a, b) in part.spans {
                    prop_assert!(a >= b || a % seconds == 0 && b % seconds == 0);
                    prop_assert!(bucket.is_none_or(|bucket| bucket % seconds == 0));
                    (a..b).for_each(|at| answered[(at - from) as usize] += 1);
                }
            }
            prop_assert!(answered.iter().all(|n| *n == 1));
        }
    }

    #[test]
    fn hours_answer_the_middle_of_a_day() {
        let parts = parts(86_400 + 10, 2 * 86_400 + 4_210, None);
        let levels: Vec<(Level, i64)> =
            parts.iter().map(|p| (p.level, p.spans.iter().map(|(a, b)| b - a).sum())).collect();
        assert_eq!(levels, [(Level::Hour, 24 * 3600), (Level::FiveMinutes, 3300 + 600), (Level::Interval, 290 + 10)]);
    }
}
