//! Calls that are up, as rows: the same figures, filters and orders as those of the store, from the live view.

use super::calls::CallSort;
use super::{CallFilter, PageCursor, QueryError, StoredCall, Window};
use crate::rows::CallRow;
use auscult_core::model::{CallClass, CallRecord, CallState, DiagnosisCode, Labels, RunningCall, Scale};
use auscult_core::units::Timestamp;
use std::collections::BTreeSet;

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
        let at = (list.key(&call.record), -call.record.first_at.0, call.record.uid.0);
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

impl StoredCall {
    /// A call that is up, as it would be stored now.
    pub fn running(call: &RunningCall, probe: &str, site: &str) -> StoredCall {
        let labels = Labels { probe: probe.to_owned(), site: site.to_owned(), trunks: Vec::new() };
        let row = CallRow { trunk: call.trunk.to_string(), ..CallRow::new(&call.record, &labels, Timestamp(0)) };
        let codecs: BTreeSet<String> = call.streams.iter().map(|s| s.codec.to_string()).collect();
        StoredCall { row, codecs: codecs.into_iter().filter(|codec| !codec.is_empty()).collect() }
    }
}

/// The lowest MOS of a call, and whether it is on the narrowband scale.
pub(super) struct Sound {
    pub mos: Option<f32>,
    pub narrowband: bool,
}

/// What [`CallSort::Worst`] sorts by, 0..=1000: the same as the column `badness` of `calls`.
pub fn badness(call: &CallRecord) -> i64 {
    let sound = Sound { mos: call.mos_worst, narrowband: call.mos_worst_scale == Some(Scale::Nb) };
    let codes = call.diagnoses.iter().map(|diagnosis| Some(diagnosis.code));
    badness_of(sound, codes).max(badness_of_end(call.class().name(), call.state.name(), call.final_code))
}

/// How bad a call sounded, and how its diagnoses read; those of a newer program are `None`.
pub(super) fn badness_of(sound: Sound, codes: impl Iterator<Item = Option<DiagnosisCode>>) -> i64 {
    let clean = if sound.narrowband { 4.41 } else { 4.5 };
    let heard = sound.mos.map_or(0, |mos| {
        let share = (clean - f64::from(mos)) / (clean - 1.0);
        (1.0 + 999.0 * share.clamp(0.0, 1.0)).round_ties_even() as i64
    });
    let judged = codes.map(|code| match code {
        Some(DiagnosisCode::NoMedia) => 1000,
        Some(DiagnosisCode::OneWayMedia) => 950,
        Some(DiagnosisCode::NoResponse) => 900,
        Some(DiagnosisCode::MediaInterrupted | DiagnosisCode::MediaNotSeen) => 800,
        _ => 100,
    });
    heard.max(judged.max().unwrap_or(0))
}

/// How the end of a call reads, by the names of its class and state.
pub(super) fn badness_of_end(class: &str, state: &str, final_code: u16) -> i64 {
    let (timeout, failed) = (CallState::SetupTimeout.name(), CallState::Failed.name());
    match final_code {
        _ if class == CallClass::NotAnswered.name() => 0,
        _ if state == timeout => 850,
        0 | 408 | 500..600 if state == failed => 850,
        _ if state == failed => 350,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_core::model::CallUid;
    use std::sync::Arc;

    #[test]
    fn a_row_is_as_bad_as_its_record() {
        let bad = |code| auscult_core::model::Diagnosis { code, confidence: 0.5, evidence: String::new() };
        for (n, code) in DiagnosisCode::ALL.into_iter().enumerate() {
            let state = CallState::ALL[n % CallState::ALL.len()];
            let record = CallRecord {
                uid: CallUid(7),
                state,
                final_code: [0, 200, 404, 408, 486, 500, 603][n % 7],
                mos_worst: (n % 3 > 0).then_some(1.0 + n as f32 / 7.0),
                mos_worst_scale: [None, Some(Scale::Nb), Some(Scale::Wb)][n % 3],
                diagnoses: vec![bad(code)],
                ..CallRecord::default()
            };
            let expected = badness(&record);
            let call = RunningCall { record: Arc::new(record), trunk: "carrier".into(), streams: Vec::new() };
            let stored = StoredCall::running(&call, "probe", "site");
            assert_eq!((stored.row.call_uid, stored.row.trunk.as_str()), (7, "carrier"));
            assert_eq!(stored.badness(), expected, "{code:?} {state:?}");
        }
    }
}
