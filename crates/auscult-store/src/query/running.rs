//! Calls that are up, as rows: the same figures, filters and orders as those of the store, from the live view.

use super::calls::CallSort;
use super::{CallFilter, CallRow, PageCursor, QueryError, Window};
use crate::rows;
use auscult_core::model::{CallClass, CallRecord, CallState, DiagnosisCode, Labels, RunningCall, Scale};
use auscult_core::units::Timestamp;

/// Distinguishes orders of lists of running calls from those of stored calls in cursors.
const ORDERS: u8 = 100;

/// Which of the calls that are up are wanted, in which order.
pub struct RunningList {
    pub filter: CallFilter,
    pub sort: CallSort,
    pub site: String,
    /// Calls that began in it.
    pub window: Window,
    /// At least 1.
    pub limit: usize,
    pub after: Option<PageCursor>,
}

/// A list being made: it holds no more than one page.
pub struct Found {
    list: RunningList,
    /// By the key of the order, the later first, and identity.
    page: Vec<((i64, i64, u64), RunningCall)>,
    more: bool,
}

impl RunningList {
    /// Reads a cursor of a list of running calls in this order.
    ///
    /// # Errors
    /// Where it is none, or of another order or list.
    pub fn cursor(text: &str, sort: CallSort) -> Result<PageCursor, QueryError> {
        PageCursor::decode(text, ORDERS + sort.order())
    }

    pub fn begin(self) -> Found {
        Found { list: self, page: Vec::new(), more: false }
    }

    /// Smaller comes first.
    fn key(&self, call: &CallRecord) -> i64 {
        match self.sort {
            CallSort::Worst => -badness(call),
            CallSort::Newest => -call.first_at.0,
            CallSort::Oldest => call.first_at.0,
            // What is not answered yet lasts shortest.
            CallSort::Longest => call.answered_at.map_or(i64::MAX, |at| at.0),
            CallSort::Mos => call.mos_worst.map_or(i64::MAX, |mos| (f64::from(mos) * 1e3) as i64),
            CallSort::DelayVariation => call.pdv_p95_worst.map_or(i64::MAX, |pdv| -pdv.0),
            CallSort::Loss => call.loss_pct_worst.map_or(i64::MAX, |loss| -(f64::from(loss) * 1e3) as i64),
        }
    }
}

impl Found {
    pub fn add(&mut self, call: RunningCall) {
        let list = &self.list;
        let within = (list.window.from..=list.window.to).contains(&call.record.first_at);
        if !within || !list.filter.matches_running(&call, &list.site) {
            return;
        }
        let at = (list.key(&call.record), -call.record.first_at.0, call.record.uid);
        if list.after.is_some_and(|after| at <= (after.key, -after.at.0, after.id)) {
            return;
        }
        let place = self.page.partition_point(|(other, _)| *other < at);
        if place >= list.limit {
            self.more = true;
            return;
        }
        self.page.insert(place, (at, call));
        self.more |= self.page.len() > list.limit;
        self.page.truncate(list.limit);
    }

    /// The page, and where to go on if there is more.
    pub fn end(self) -> (Vec<RunningCall>, Option<PageCursor>) {
        let (order, window) = (ORDERS + self.list.sort.order(), self.list.window);
        let last = self.page.last().filter(|_| self.more).map(|(at, _)| *at);
        let next = last.map(|(key, at, id)| PageCursor { order, window, key, at: Timestamp(-at), id });
        (self.page.into_iter().map(|(_, call)| call).collect(), next)
    }
}

impl CallRow {
    /// The row of a call that is up, as it would be stored now.
    ///
    /// # Errors
    /// Where a column is read that is not written.
    pub fn running(call: &RunningCall, probe: &str, site: &str) -> Result<CallRow, QueryError> {
        let unread = |e: serde_json::Error| QueryError::Engine(e.to_string());
        let labels = Labels { probe: probe.to_owned(), site: site.to_owned(), trunks: Vec::new() };
        let row =
            rows::CallRow { trunk: call.trunk.to_string(), ..rows::CallRow::new(&call.record, &labels, Timestamp(0)) };
        // The columns have one list, that of writing.
        let mut row = serde_json::to_value(row).map_err(unread)?;
        row["badness"] = badness(&call.record).into();
        for key in ["duration_us", "mos_key", "variation_key", "loss_key"] {
            row[key] = (-1).into();
        }
        let mut row: CallRow = serde_json::from_value(row).map_err(unread)?;
        row.codecs = call.streams.iter().map(|s| s.codec.to_string()).filter(|codec| !codec.is_empty()).collect();
        row.codecs.sort_unstable();
        row.codecs.dedup();
        Ok(row)
    }
}

/// What [`CallSort::Worst`] sorts by, 0..=1000: the same as the column `badness` of `calls`.
pub fn badness(call: &CallRecord) -> i64 {
    let clean = if call.mos_worst_scale == Some(Scale::Nb) { 4.41 } else { 4.5 };
    let heard = call.mos_worst.map_or(0, |mos| {
        let share = (clean - f64::from(mos)) / (clean - 1.0);
        (1.0 + 999.0 * share.clamp(0.0, 1.0)).round_ties_even() as i64
    });
    let judged = call.diagnoses.iter().map(|diagnosis| match diagnosis.code {
        DiagnosisCode::NoMedia => 1000,
        DiagnosisCode::OneWayMedia => 950,
        DiagnosisCode::NoResponse => 900,
        DiagnosisCode::MediaInterrupted | DiagnosisCode::MediaNotSeen => 800,
        _ => 100,
    });
    let failed = match (call.class(), call.state, call.final_code) {
        (CallClass::NotAnswered, ..) => 0,
        (_, CallState::SetupTimeout, _) | (_, CallState::Failed, 0 | 408 | 500..600) => 850,
        (_, CallState::Failed, _) => 350,
        _ => 0,
    };
    heard.max(judged.max().unwrap_or(0)).max(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// What is written has every column that is read.
    #[test]
    fn every_column_of_a_row_is_there() {
        let record = Arc::new(CallRecord { uid: 7, ..CallRecord::default() });
        let call = RunningCall { record, trunk: "carrier".into(), streams: Vec::new() };
        let row = CallRow::running(&call, "probe", "site");
        assert_eq!(
            row.map(|row| (row.call_uid, row.trunk, row.class)).map_err(|e| e.to_string()),
            Ok((7, "carrier".into(), "unrated".into()))
        );
    }
}
