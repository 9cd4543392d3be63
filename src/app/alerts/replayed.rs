//! Rows of a store as inputs.

use auscult_core::alert::{CaptureSums, Evaluator, Origin, SqlRow, SumsInput};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{CaptureSeen, GroupRows, RuleRow};

/// How far back single rows are read at a start; longer windows fill as time goes on.
pub const DETAIL: Nanos = Nanos::from_secs(6 * 3600);

/// Rows that are read at once: of a busy probe some tens of megabytes.
pub const CHUNK: Nanos = Nanos::from_secs(900);

pub const HOUR: Nanos = Nanos::from_secs(3600);

/// Adds rows in the order of their intervals.
pub fn add(evaluator: &mut Evaluator, rows: &GroupRows, now: Timestamp) {
    for row in &rows.capture {
        let origin = Origin { probe: &row.probe, site: &row.site };
        evaluator.add(&SumsInput::Capture(capture_sums(row)), origin, now);
    }
    for (row, _) in &rows.media {
        evaluator.add(&SumsInput::Media(&row.group()), Origin { probe: &row.probe, site: &row.site }, now);
    }
    for (row, _) in &rows.calls {
        evaluator.add(&SumsInput::Calls(&row.group()), Origin { probe: &row.probe, site: &row.site }, now);
    }
}

pub fn capture_sums(row: &CaptureSeen) -> CaptureSums {
    CaptureSums {
        start: Timestamp::from_secs(row.start_s),
        length: Nanos::from_millis(i64::from(row.length_ms)),
        frames: row.frames,
        missed: row.missed,
        shed: row.shed,
    }
}

/// A row of a statement as the evaluator takes it.
pub fn sql_row(row: RuleRow) -> SqlRow {
    SqlRow { labels: row.labels, value: row.value, bound: row.bound, samples: row.samples, drops_pct: row.drops_pct }
}
