//! What goes into table `alerts`: which evaluations, the way to an alert, and the calls behind it.

use super::behind::{CallsBehind, has_calls};
use super::silences::{self, Silence};
use auscult_core::alert::{Evaluation, Evaluator, State};
use auscult_core::model::{AlertRecord, CallUid};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{QueryError, Reader};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows of one evaluation at most: what is over it is counted. Alerts go first.
const MAX_ROWS: usize = 5_000;

/// So many groups that are not judged are stored at each evaluation. Where there are more, each is stored when its state changes and
/// then by these intervals: a thousand quiet trunks have 20,000 groups with too few calls.
const MAX_UNJUDGED: usize = 500;
const UNJUDGED_EVERY: Nanos = Nanos::from_secs(3600);
const BLIND_EVERY: Nanos = Nanos::from_secs(600);

/// Calls behind an alert that are kept.
const CALLS: u32 = 20;

/// How long the calls behind an alert are believed while it goes on.
const CALLS_EVERY: Nanos = Nanos::from_secs(15 * 60);

/// Alerts whose calls are looked up in one evaluation, and how long that may take in all: delivery waits for it.
const LOOKUPS: usize = 10;
const LOOKUP_TIME: Duration = Duration::from_secs(3);

/// What was stored of each group, so that no evaluation is stored twice.
#[derive(Default)]
pub struct History {
    stored: BTreeMap<u64, Timestamp>,
    calls: BTreeMap<u64, (Timestamp, Vec<CallUid>)>,
}

impl History {
    /// Looks up the calls behind alerts that fire. What is not found in time is left out: an alert does not wait for it.
    pub fn look_up(&mut self, evaluations: &[Evaluation], reader: &Reader, runtime: &tokio::runtime::Handle) {
        // The labels of a statement are its own: which calls they mean is not known.
        let fires = |evaluation: &&Evaluation| {
            let of_calls = evaluation.rule.measure().is_some() && has_calls(evaluation);
            evaluation.state.is_firing() && evaluation.inhibited_by.is_none() && of_calls
        };
        let firing: BTreeMap<u64, &Evaluation> =
            evaluations.iter().filter(fires).map(|evaluation| (evaluation.fingerprint(), evaluation)).collect();
        for ended in evaluations.iter().filter(|evaluation| !evaluation.state.is_firing()) {
            self.calls.remove(&ended.fingerprint());
        }
        // A window that is held or clears has no calls of its own.
        let known = |id: &u64, at: Timestamp| self.calls.get(id).is_some_and(|(asked, _)| at - *asked < CALLS_EVERY);
        let asked: Vec<(u64, &Evaluation)> = firing
            .into_iter()
            .filter(|(id, evaluation)| evaluation.judgement == State::Firing && !known(id, evaluation.at))
            .take(LOOKUPS)
            .collect();
        if asked.is_empty() {
            return;
        }
        let calls = &mut self.calls;
        let look_up = async {
            for (id, evaluation) in asked {
                let found = worst(reader, &CallsBehind::of(evaluation)).await?;
                calls.insert(id, (evaluation.at, found));
            }
            Ok::<(), QueryError>(())
        };
        let ended = runtime.block_on(async { tokio::time::timeout(LOOKUP_TIME, look_up).await });
        if let Err(e) = ended.unwrap_or(Err(QueryError::TooSlow)) {
            tracing::debug!(error = %e, "the calls behind an alert are not known");
        }
    }

    /// Identities of the worst calls behind an alert; empty when they are not known.
    pub fn calls_of(&self, fingerprint: u64) -> &[CallUid] {
        self.calls.get(&fingerprint).map_or(&[], |(_, calls)| calls)
    }

    /// The rows of some evaluations, and how many were left out.
    pub fn rows(
        &mut self,
        evaluator: &Evaluator,
        evaluations: &[Evaluation],
        silences: &[Silence],
    ) -> (Vec<AlertRecord>, u64) {
        let Some(at) = evaluations.first().map(|evaluation| evaluation.at) else { return (Vec::new(), 0) };
        let is_unjudged = |e: &&Evaluation| matches!(e.state, State::Few | State::NoData | State::Blind);
        let are_few = evaluations.iter().filter(is_unjudged).count() <= MAX_UNJUDGED;
        let is_wanted = |e: &&Evaluation| are_few && e.state != State::Ok || self.is_stored(e);
        let mut wanted: Vec<&Evaluation> = evaluations.iter().filter(is_wanted).collect();
        let is_pending = |evaluation: &Evaluation| evaluation.state == State::Pending;
        wanted.sort_by_key(|e| (!e.state.is_firing(), !is_pending(e), !e.changed()));
        let mut rows = Vec::new();
        let mut left_out = 0;
        for evaluation in wanted {
            if rows.len() >= MAX_ROWS {
                left_out += 1;
                continue;
            }
            let id = evaluation.fingerprint();
            let begins = evaluation.changed() && matches!(evaluation.previous, State::Ok | State::Few | State::NoData);
            if begins && matches!(evaluation.state, State::Pending | State::Firing) {
                let after = self.stored.get(&id).copied().unwrap_or(Timestamp::MIN);
                rows.extend(evaluator.lead_up(evaluation, after).iter().map(Evaluation::record));
            }
            self.stored.insert(id, evaluation.at);
            let silenced = silences::of(silences, &evaluation.rule, &evaluation.group, at);
            rows.push(AlertRecord {
                silenced_by: silenced.map(|silence| silence.id.clone()).unwrap_or_default(),
                worst_calls: if evaluation.state.is_firing() { self.calls_of(id).to_vec() } else { Vec::new() },
                ..evaluation.record()
            });
        }
        self.stored.retain(|_, stored| at - *stored <= UNJUDGED_EVERY);
        (rows, left_out)
    }

    fn is_stored(&self, evaluation: &Evaluation) -> bool {
        let is_due = |every: Nanos| {
            let last = self.stored.get(&evaluation.fingerprint());
            evaluation.changed() || last.is_none_or(|last| evaluation.at - *last >= every)
        };
        match evaluation.state {
            State::Ok => evaluation.changed(),
            State::Few | State::NoData => is_due(UNJUDGED_EVERY),
            State::Blind => is_due(BLIND_EVERY),
            State::Pending | State::Firing | State::Keeping | State::Error => true,
        }
    }
}

async fn worst(reader: &Reader, behind: &CallsBehind) -> Result<Vec<CallUid>, QueryError> {
    let session = reader.session(behind.filter.cost(), None).await?;
    session.call_uids(&behind.filter, behind.window, behind.sort, CALLS).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_core::alert::{Origin, RuleSet, SqlRow};

    /// States that are stored of the first of `groups` equal groups, when the statement gives these values and samples, a minute each.
    fn stored(groups: usize, minutes: &[(f64, u64)]) -> Vec<Vec<(&'static str, i64)>> {
        let text = "[[rule]]\nname = \"s\"\nsql = \"SELECT 1 AS value, {from:DateTime('UTC')}, {to:DateTime('UTC')}\"\n\
                    need = { samples = 10 }\nfire = { above = 5 }\nfor = \"2m\"\nkeep_firing_for = \"0s\"\ndelay = \"0s\"\nmax_groups = 1000\n";
        let set = RuleSet::parse([("r.toml", text)], Nanos::from_secs(10));
        assert!(set.errors.is_empty(), "{:?}", set.errors);
        let mut evaluator = Evaluator::new(set.rules);
        let mut history = History::default();
        let start = Timestamp::from_secs(1_790_000_040);
        let evaluate = |(minute, (value, samples)): (usize, &(f64, u64))| {
            let at = start + Nanos::from_secs(60 * minute as i64);
            let row = |n: usize| SqlRow {
                labels: vec![("n".to_owned(), format!("{n:04}"))],
                value: Some(*value),
                bound: None,
                samples: *samples,
                drops_pct: 0.0,
            };
            evaluator.sql_answer("s", Ok((0..groups).map(row).collect()));
            let mut evaluations = Vec::new();
            evaluator.evaluate(at, &mut evaluations);
            let (rows, left_out) = history.rows(&evaluator, &evaluations, &[]);
            assert_eq!(left_out, 0);
            let first = rows.iter().filter(|row| row.group.iter().all(|(_, value)| value == "n=0000"));
            first.map(|row| (row.state, (row.at - start).0 / 60_000_000_000)).collect()
        };
        minutes.iter().enumerate().map(evaluate).collect()
    }

    #[test]
    fn each_evaluation_that_is_not_ok_is_stored_and_of_many_that_are_not_judged_some() {
        let mut minutes = vec![(1.0, 20), (9.0, 20), (9.0, 20), (9.0, 20), (1.0, 20), (1.0, 20), (1.0, 3)];
        minutes.extend([(1.0, 3); 61]);
        for (groups, many) in [(1, false), (MAX_UNJUDGED + 1, true)] {
            let stored = stored(groups, &minutes);
            let expected: [&[(&str, i64)]; 7] =
                [&[], &[("pending", 1)], &[("pending", 2)], &[("firing", 3)], &[("ok", 4)], &[], &[("few", 6)]];
            assert_eq!(stored[..7], expected, "{groups} groups");
            let later: Vec<i64> = stored[7..].concat().into_iter().map(|(_, minute)| minute).collect();
            let wanted: Vec<i64> = if many { vec![66] } else { (7..68).collect() };
            assert_eq!(later, wanted, "{groups} groups");
        }
    }

    #[test]
    fn the_way_to_an_alert_is_stored_once() {
        let text = "[[rule]]\nname = \"shed\"\nmeasure = \"shed_count\"\nwindow = \"5m\"\nfire = { above = 0 }\nfor = \"0s\"\n\
                    keep_firing_for = \"0s\"\ndelay = \"0s\"\n";
        let set = RuleSet::parse([("r.toml", text)], Nanos::from_secs(10));
        assert!(set.errors.is_empty(), "{:?}", set.errors);
        let mut evaluator = Evaluator::new(set.rules);
        let mut history = History::default();
        let start = Timestamp::from_secs(1_790_000_040);
        let mut rows = Vec::new();
        for minute in 0..60 {
            let at = start + Nanos::from_secs(60 * minute);
            // Something is given up in minute 20 and in minute 35.
            let shed = u64::from(minute == 20 || minute == 35);
            let (length, frames) = (Nanos::from_secs(60), 1_000);
            let input = auscult_core::alert::CaptureSums { start: at - length, length, frames, missed: 0, shed };
            evaluator.add(&auscult_core::alert::SumsInput::Capture(input), Origin { probe: "p", site: "s" }, at);
            let mut evaluations = Vec::new();
            evaluator.evaluate(at, &mut evaluations);
            rows.extend(history.rows(&evaluator, &evaluations, &[]).0);
        }
        let minute = |row: &AlertRecord| (row.at - start).0 / 60_000_000_000;
        let mut minutes: Vec<i64> = rows.iter().map(minute).collect();
        let all = minutes.len();
        minutes.sort_unstable();
        minutes.dedup();
        assert_eq!(minutes.len(), all, "no evaluation twice");
        let firing: Vec<i64> = rows.iter().filter(|row| row.state == "firing").map(minute).collect();
        assert_eq!(firing, (20..25).chain(35..40).collect::<Vec<_>>());
        let before: Vec<i64> =
            rows.iter().filter(|row| row.state == "ok" && row.previous == "ok").map(minute).collect();
        assert_eq!((before.first(), before.last()), (Some(&0), Some(&34)), "{before:?}");
        let ends: Vec<i64> =
            rows.iter().filter(|row| row.previous == "firing" && row.state == "ok").map(minute).collect();
        assert_eq!(ends, [25, 40]);
        assert!(rows.iter().filter(|row| row.previous == "firing").all(|row| row.fired_at.is_some()));
    }
}
