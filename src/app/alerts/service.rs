//! The thread that evaluates rules as inputs come, and the one that delivers.

use super::behind::{CallsBehind, has_calls};
use super::deliver::{Outcome, Receiver, Receivers, notification};
use super::history::History;
use super::memory::{Active, MemoryFile, Remembered, groups_of, restore};
use super::replayed;
use super::silences::{self, Forwarded, Silence};
use auscult_api::{AlertJson, AlertView, MetricFamily, NewSilence, Sample, SilenceError, SilenceJson};
use auscult_core::alert::{
    CaptureSums, Evaluation, Evaluator, Origin, Rule, State, SumsInput, group_text, history, labels_of,
};
use auscult_core::model::{CallGroup, CallUid, Labels, MediaGroup};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::StoreSender;
use auscult_store::query::{Cost, QueryError, Reader};
use auscult_store::rows::Record;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver as Inputs, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An input on its way to the evaluator.
pub enum OwnedInput {
    Media(Box<MediaGroup>),
    Calls(Box<CallGroup>),
    Capture(CaptureSums),
}

/// Inputs that wait at most, each of some kilobytes: those of minutes of a busy probe.
const QUEUE: usize = 16_384;

/// Notifications that wait for webhooks at most.
const MAX_QUEUE: usize = 1_000;

/// How often alerts are sent to Alertmanagers again.
const RESEND: Nanos = Nanos::from_secs(60);

/// How long the end of an alert is sent to them.
const RESOLVED_FOR: Nanos = Nanos::from_secs(15 * 60);

/// Longest time between looks at the clock.
const NAP: Duration = Duration::from_millis(250);

/// Longest time the end of the program waits for an evaluation.
const LAST_EVALUATION: Duration = Duration::from_secs(3);

/// What the service gets at its start, and again on SIGHUP.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub rules: Vec<Rule>,
    pub receivers: Receivers,
    /// Where the page is reached, without a slash at its end.
    pub external_url: String,
    pub repeat: Nanos,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub struct AlertCounters {
    inputs_dropped: AtomicU64,
    evaluations: AtomicU64,
    late: AtomicU64,
    notifications_dropped: AtomicU64,
    memory_failures: AtomicU64,
    overflowed: AtomicU64,
    rows_left_out: AtomicU64,
    states: Mutex<BTreeMap<(String, State), u64>>,
    deliveries: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Groups that are not ok, by fingerprint, and how many rules there are.
    view: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    groups: BTreeMap<u64, (Evaluation, Vec<CallUid>)>,
    rules: u64,
}

/// Kinds of receivers and outcomes, so that every counter is there from the start.
const DELIVERIES: [(&str, &str); 6] = [
    ("alertmanager", "taken"),
    ("alertmanager", "refused"),
    ("alertmanager", "failed"),
    ("webhook", "taken"),
    ("webhook", "refused"),
    ("webhook", "failed"),
];

impl AlertCounters {
    fn show(&self, rules: u64, evaluations: &[Evaluation], history: &History) {
        let mut view = lock(&self.view);
        view.rules = rules;
        // A group that is forgotten is not evaluated any more.
        if let Some(at) = evaluations.first().map(|evaluation| evaluation.at) {
            view.groups.retain(|_, (old, _)| at - old.at <= Nanos(2 * old.rule.every.0));
        }
        for evaluation in evaluations {
            let key = evaluation.fingerprint();
            match evaluation.state {
                State::Ok => view.groups.remove(&key),
                // Formatted on request: a thousand quiet trunks have 20,000 groups that are not judged.
                _ => view.groups.insert(key, (evaluation.clone(), history.calls_of(key).to_vec())),
            };
        }
    }

    pub fn families(&self) -> Vec<MetricFamily> {
        let states = lock(&self.states);
        let deliveries = lock(&self.deliveries);
        let counter = |name, help, n: &AtomicU64| MetricFamily {
            name,
            help,
            samples: vec![Sample::counter([], n.load(Relaxed))],
        };
        vec![
            MetricFamily {
                name: "auscult_alerts",
                help: "Groups of each rule by state, groups that are ok left out",
                samples: states
                    .iter()
                    .map(|((rule, state), n)| Sample::gauge([("rule", rule), ("state", state.name())], *n as f64))
                    .collect(),
            },
            MetricFamily {
                name: "auscult_alert_deliveries",
                help: "Requests to receivers of alerts by what became of them",
                samples: DELIVERIES
                    .iter()
                    .map(|key| {
                        let n = deliveries.get(key).copied().unwrap_or(0);
                        Sample::counter([("receiver", key.0), ("outcome", key.1)], n)
                    })
                    .collect(),
            },
            counter("auscult_alert_evaluations", "Evaluations of groups of rules", &self.evaluations),
            counter(
                "auscult_alert_evaluations_late",
                "Times at which rules were due and not evaluated in time",
                &self.late,
            ),
            counter(
                "auscult_alert_inputs_dropped",
                "Sums that found the queue to the rules full",
                &self.inputs_dropped,
            ),
            counter(
                "auscult_alert_groups_overflowed",
                "Sums counted in a group of all others (max_groups)",
                &self.overflowed,
            ),
            counter(
                "auscult_alert_rows_left_out",
                "Evaluations that were not stored, because there were too many at once",
                &self.rows_left_out,
            ),
            counter(
                "auscult_alert_notifications_dropped",
                "Notifications to webhooks that were given up because too many waited",
                &self.notifications_dropped,
            ),
            counter(
                "auscult_alert_memory_failures",
                "Times the states of alerts could not be written",
                &self.memory_failures,
            ),
        ]
    }
}

fn shown(evaluation: &Evaluation, calls: &[CallUid], silences: &[Silence], now: Timestamp) -> AlertJson {
    let (rule, alert) = (&evaluation.rule, evaluation.render());
    AlertJson {
        id: format!("{:016x}", evaluation.fingerprint()),
        rule: rule.name.clone(),
        severity: rule.severity.clone(),
        state: evaluation.state.name().to_owned(),
        judgement: evaluation.judgement.name().to_owned(),
        measure: rule.measure_name().to_owned(),
        unit: rule.unit().to_owned(),
        group: evaluation.group.iter().map(|(label, value)| (label.name().to_owned(), value.to_string())).collect(),
        since: evaluation.since.map(Timestamp::to_rfc3339),
        from: evaluation.from.to_rfc3339(),
        to: evaluation.until.to_rfc3339(),
        value: evaluation.measured.map(|measured| measured.value),
        bound: evaluation.bound(),
        limit: evaluation.limit.filter(|limit| limit.is_finite()),
        samples: evaluation.measured.map_or(0, |measured| measured.samples),
        sample_unit: rule.sample_unit().to_owned(),
        capture_loss_pct: evaluation.capture_loss_pct,
        inhibited_by: evaluation.inhibited_by.clone(),
        summary: alert.summary,
        description: alert.description,
        calls: has_calls(evaluation).then(|| CallsBehind::of(evaluation).url("")),
        worst_calls: calls.iter().map(CallUid::to_string).collect(),
        silenced_by: silences::of(silences, rule, &evaluation.group, now).map(|silence| silence.id.clone()),
    }
}

/// Firing ones first, then what is about to, then what is not judged.
fn rank(state: State) -> usize {
    use State::*;
    [Firing, Keeping, Pending, Error, Blind].iter().position(|one| *one == state).unwrap_or(9)
}

fn severity(name: &str) -> usize {
    ["critical", "warning", "info"].iter().position(|one| *one == name).unwrap_or(9)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What both threads share.
struct Shared {
    state: Mutex<Remembered>,
    changed: Condvar,
    file: MemoryFile,
    settings: Mutex<Settings>,
    /// Newer rules wait for the evaluating thread.
    reloaded: AtomicBool,
    stopped: AtomicBool,
    /// The evaluating thread has ended: no row of history comes any more.
    evaluated: AtomicBool,
    counters: Arc<AlertCounters>,
}

impl Shared {
    fn new(settings: Settings, file: MemoryFile, remembered: Remembered) -> Arc<Shared> {
        Arc::new(Shared {
            state: Mutex::new(remembered),
            changed: Condvar::new(),
            file,
            settings: Mutex::new(settings),
            reloaded: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            evaluated: AtomicBool::new(false),
            counters: Arc::default(),
        })
    }
}

/// Marks the end of the evaluating thread, also by a panic.
struct EvaluationEnd(Arc<Shared>);

impl Drop for EvaluationEnd {
    fn drop(&mut self) {
        self.0.evaluated.store(true, Release);
    }
}

/// Hands inputs and settings to both threads.
#[derive(Clone)]
pub struct AlertService {
    inputs: SyncSender<OwnedInput>,
    shared: Arc<Shared>,
}

/// What the evaluating thread reads the past from, and where its history goes.
pub struct StoreHandles {
    pub reader: Reader,
    pub rows: StoreSender,
    pub runtime: tokio::runtime::Handle,
    /// Numbers of the oldest and the newest batch that wait for the store.
    pub waiting: Box<dyn Fn() -> Option<(u64, u64)> + Send>,
}

impl AlertService {
    /// Starts both threads.
    ///
    /// # Errors
    /// States of before that cannot be read, certificates that cannot be read.
    pub fn start(
        settings: Settings,
        data: &Path,
        labels: &Labels,
        store: StoreHandles,
    ) -> anyhow::Result<AlertService> {
        Receiver::new(&settings.receivers)?;
        let (file, remembered) = MemoryFile::open(data)?;
        let shared = Shared::new(settings, file, remembered);
        let (inputs, incoming) = sync_channel(QUEUE);
        let (probe, site) = (labels.probe.clone(), labels.site.clone());
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let (own, end) = (shared.clone(), EvaluationEnd(shared.clone()));
        thread("alerts").spawn(move || {
            let _end = end;
            Evaluating::new(own, probe, site, store).run(&incoming);
        })?;
        let own = shared.clone();
        thread("alert-delivery").spawn(move || deliver(&own))?;
        Ok(AlertService { inputs, shared })
    }

    /// Hands an input over; never waits.
    pub fn send(&self, input: OwnedInput) {
        if let Err(TrySendError::Full(_)) = self.inputs.try_send(input) {
            self.shared.counters.inputs_dropped.fetch_add(1, Relaxed);
        }
    }

    /// Groups that are not ok at their last evaluation, those in the states asked for and at most so many, and silences.
    pub fn view(&self, states: &[State], most: usize) -> AlertView {
        let now = crate::app::wall_clock();
        let silences = lock(&self.shared.state).silences.clone();
        let view = lock(&self.shared.counters.view);
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (evaluation, _) in view.groups.values() {
            *counts.entry(evaluation.state.name()).or_default() += 1;
        }
        let mut wanted: Vec<&(Evaluation, Vec<CallUid>)> =
            view.groups.values().filter(|(evaluation, _)| states.contains(&evaluation.state)).collect();
        wanted.sort_by_key(|(evaluation, _)| (rank(evaluation.state), severity(&evaluation.rule.severity)));
        let truncated = wanted.len() > most;
        wanted.truncate(most);
        let text = |evaluation: &Evaluation| (evaluation.rule.name.clone(), evaluation.rule.place.text.clone());
        AlertView {
            rule_texts: wanted.iter().map(|(evaluation, _)| text(evaluation)).collect(),
            alerts: wanted.iter().map(|(evaluation, calls)| shown(evaluation, calls, &silences, now)).collect(),
            counts,
            truncated,
            rules: view.rules,
            silences: silences.iter().map(|silence| silence.json(now)).collect(),
        }
    }

    pub fn families(&self) -> Vec<MetricFamily> {
        let now = crate::app::wall_clock();
        let active = lock(&self.shared.state).silences.iter().filter(|silence| silence.is_active(now)).count();
        let mut families = self.shared.counters.families();
        families.push(MetricFamily {
            name: "auscult_alert_silences",
            help: "Silences that hold now",
            samples: vec![Sample::gauge([], active as f64)],
        });
        families
    }

    /// Begins a silence. It is on disk before this returns, and reaches Alertmanagers soon after.
    ///
    /// # Errors
    /// What is asked for makes no sense, or cannot be kept.
    pub fn silence(&self, asked: &NewSilence) -> Result<SilenceJson, SilenceError> {
        let now = crate::app::wall_clock();
        let silence = Silence::new(asked, now).map_err(SilenceError::Refused)?;
        let is_known = |name: &str| lock(&self.shared.settings).rules.iter().any(|rule| rule.name == name);
        if !silence.rule.is_empty() && !is_known(&silence.rule) {
            let name: String = silence.rule.chars().take(60).collect();
            return Err(SilenceError::Refused(format!("`rule`: there is no rule {name:?}, or it is turned off")));
        }
        let shown = silence.json(now);
        tracing::info!(id = %silence.id, rule = %silence.rule, labels = ?silence.labels, "silence begins");
        self.change_silences(|silences| silences::add(silences, silence, now).map_err(SilenceError::Refused))?;
        Ok(shown)
    }

    /// Ends a silence before its time.
    ///
    /// # Errors
    /// There is none of this id that holds, or the change cannot be kept.
    pub fn end_silence(&self, id: &str) -> Result<SilenceJson, SilenceError> {
        let now = crate::app::wall_clock();
        self.change_silences(|silences| {
            let found = silences.iter_mut().find(|silence| silence.id == id && silence.is_active(now));
            let silence = found.ok_or(SilenceError::Unknown)?;
            silence.ends_at = now.0;
            tracing::info!(id = %silence.id, rule = %silence.rule, "silence ends");
            Ok(silence.json(now))
        })
    }

    fn change_silences<T>(
        &self,
        change: impl FnOnce(&mut Vec<Silence>) -> Result<T, SilenceError>,
    ) -> Result<T, SilenceError> {
        let mut state = lock(&self.shared.state);
        let before = state.silences.clone();
        let changed = change(&mut state.silences)?;
        if let Err(e) = self.shared.file.save(&state) {
            state.silences = before;
            return Err(SilenceError::Unkept(format!("{e:#}")));
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(changed)
    }

    /// Takes over rules and receivers at the next evaluation.
    pub fn reload(&self, settings: Settings) {
        *lock(&self.shared.settings) = settings;
        self.shared.reloaded.store(true, Relaxed);
        self.shared.changed.notify_all();
    }

    /// Ends both threads. Waits for an evaluation under way, for [`LAST_EVALUATION`] at most, since a row of history that the
    /// writer no longer takes is lost. Does not wait for a delivery: what waits for receivers is on disk.
    pub async fn stop(&self) {
        self.shared.stopped.store(true, Relaxed);
        self.shared.changed.notify_all();
        let ended = async {
            while !self.shared.evaluated.load(Acquire) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(LAST_EVALUATION, ended).await;
    }
}

struct Evaluating {
    shared: Arc<Shared>,
    evaluator: Evaluator,
    probe: String,
    site: String,
    store: StoreHandles,
    history: History,
    /// When webhooks were last notified of the alerts of a rule.
    notified_at: BTreeMap<String, Timestamp>,
    /// When a batch of which number was the newest, as far as older ones may wait.
    batches: VecDeque<(Timestamp, u64)>,
}

impl Evaluating {
    fn new(shared: Arc<Shared>, probe: String, site: String, store: StoreHandles) -> Evaluating {
        let mut evaluator = Evaluator::new(lock(&shared.settings).rules.clone());
        restore(&mut evaluator, &lock(&shared.state).groups);
        // Webhooks know of alerts that went on over a restart.
        let now = crate::app::wall_clock();
        let notified_at = lock(&shared.state).active.values().map(|active| (active.rule.clone(), now)).collect();
        let history = History::default();
        Evaluating { shared, evaluator, probe, site, store, history, notified_at, batches: VecDeque::new() }
    }

    fn run(mut self, incoming: &Inputs<OwnedInput>) {
        self.read_past();
        // Rules may have gone since the last run.
        self.remember(crate::app::wall_clock(), &[]);
        self.shared.counters.show(self.evaluator.rules().count() as u64, &[], &self.history);
        let mut next = self.evaluator.next_after(crate::app::wall_clock());
        loop {
            match incoming.recv_timeout(NAP) {
                Ok(input) => {
                    self.take(&input);
                    // Many come at once where an interval ends.
                    while let Ok(input) = incoming.try_recv() {
                        self.take(&input);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(NAP),
            }
            if self.shared.stopped.load(Relaxed) {
                return;
            }
            if self.shared.reloaded.swap(false, Relaxed) {
                let groups = groups_of(&self.evaluator);
                self.evaluator = Evaluator::new(lock(&self.shared.settings).rules.clone());
                restore(&mut self.evaluator, &groups);
                self.read_past();
                self.remember(crate::app::wall_clock(), &[]);
                // Rules that went are not shown any more.
                *lock(&self.shared.counters.view) = Shown::default();
                self.shared.counters.show(self.evaluator.rules().count() as u64, &[], &self.history);
                next = self.evaluator.next_after(crate::app::wall_clock());
            }
            let now = crate::app::wall_clock();
            next = not_after(next, self.evaluator.next_after(now));
            let Some(due) = next.filter(|due| *due <= now) else { continue };
            // A host that slept has not evaluated what was due, and does not make up for it.
            let latest = self.evaluator.next_after(now - Nanos::from_secs(60)).filter(|at| *at <= now).unwrap_or(due);
            if latest > due {
                self.shared.counters.late.fetch_add(1, Relaxed);
            }
            self.evaluate(latest.max(due));
            next = self.evaluator.next_after(latest.max(due));
        }
    }

    fn take(&mut self, input: &OwnedInput) {
        let now = crate::app::wall_clock();
        let origin = Origin { probe: &self.probe, site: &self.site };
        match input {
            OwnedInput::Media(group) => self.evaluator.add(&SumsInput::Media(group), origin, now),
            OwnedInput::Calls(group) => self.evaluator.add(&SumsInput::Calls(group), origin, now),
            OwnedInput::Capture(capture) => self.evaluator.add(&SumsInput::Capture(*capture), origin, now),
        }
    }

    /// Fills the windows with what the store has: of the last hours single rows, of the weeks before hours. Without an answer the
    /// windows fill as time goes on, and say `few` until then.
    fn read_past(&mut self) {
        if let Err(e) = self.try_read_past() {
            crate::app::print_status(format_args!(
                "alerts: the past is not known, because the store does not answer ({e}); windows fill as time goes on"
            ));
        }
    }

    fn try_read_past(&mut self) -> Result<(), QueryError> {
        let now = crate::app::wall_clock();
        self.evaluator.probe_began(Origin { probe: &self.probe, site: &self.site }, now);
        let (probe, reader, runtime) = (self.probe.clone(), self.store.reader.clone(), self.store.runtime.clone());
        let mut from = (now - self.evaluator.span().min(replayed::DETAIL)).floor_to(replayed::HOUR);
        let weeks = self.evaluator.baseline_weeks();
        if weeks > 0 {
            let hours = runtime.block_on(async {
                reader.session(Cost::Scan, None).await?.call_hours(from - history(weeks), from, &probe).await
            })?;
            for row in &hours {
                let origin = Origin { probe: &row.probe, site: &row.site };
                self.evaluator.add(&SumsInput::Calls(&row.group()), origin, now);
            }
        }
        while from < now {
            let to = from + replayed::CHUNK;
            let rows = runtime
                .block_on(async { reader.session(Cost::Scan, None).await?.group_rows(from, to, &probe).await })?;
            replayed::add(&mut self.evaluator, &rows, now);
            from = to;
        }
        Ok(())
    }

    fn evaluate(&mut self, at: Timestamp) {
        let lag = self.store_lag(at);
        self.evaluator.store_lag(Origin { probe: &self.probe, site: &self.site }, lag);
        self.ask_statements(at);
        let mut evaluations = Vec::new();
        self.evaluator.evaluate(at, &mut evaluations);
        let counters = &self.shared.counters;
        counters.evaluations.fetch_add(evaluations.len() as u64, Relaxed);
        counters.overflowed.store(self.evaluator.overflowed(), Relaxed);
        let mut states = BTreeMap::new();
        for (rule, _, memory) in self.evaluator.memories().filter(|(_, _, memory)| memory.state != State::Ok) {
            *states.entry((rule.name.clone(), memory.state)).or_default() += 1;
        }
        *lock(&counters.states) = states;
        self.history.look_up(&evaluations, &self.store.reader, &self.store.runtime);
        self.shared.counters.show(self.evaluator.rules().count() as u64, &evaluations, &self.history);
        self.remember(at, &evaluations);
        let silences = lock(&self.shared.state).silences.clone();
        let (rows, left_out) = self.history.rows(&self.evaluator, &evaluations, &silences);
        self.shared.counters.rows_left_out.fetch_add(left_out, Relaxed);
        for row in rows {
            // The writer counts what it does not take.
            self.store.rows.try_send(Record::Alert(Box::new(row)));
        }
    }

    /// How long the oldest batch has waited for the store, as far as evaluations saw it.
    fn store_lag(&mut self, at: Timestamp) -> Nanos {
        let Some((oldest, newest)) = (self.store.waiting)() else {
            self.batches.clear();
            return Nanos(0);
        };
        self.batches.push_back((at, newest));
        while self.batches.front().is_some_and(|(_, newest)| *newest < oldest) {
            self.batches.pop_front();
        }
        self.batches.front().map_or(Nanos(0), |(since, _)| at - *since)
    }

    /// Runs the statements of rules that are due, one after the other.
    fn ask_statements(&mut self, at: Timestamp) {
        let due: Vec<Arc<Rule>> =
            self.evaluator.rules().filter(|rule| at.0.rem_euclid(rule.every.0) == 0).cloned().collect();
        for rule in due {
            let auscult_core::alert::rule::What::Sql(sql) = &rule.what else { continue };
            let (reader, until) = (self.store.reader.clone(), at - rule.delay);
            let answer = self.store.runtime.block_on(async {
                let session = reader.session(Cost::Scan, None).await?;
                session.rule_rows(sql, until - rule.window, until).await
            });
            let rows = answer.map_err(|e| e.to_string()).map(|rows| rows.into_iter().map(replayed::sql_row).collect());
            self.evaluator.sql_answer(&rule.name, rows);
        }
    }

    /// Takes evaluations over into what is on disk, and queues what webhooks have to know.
    fn remember(&mut self, at: Timestamp, evaluations: &[Evaluation]) {
        let shared = self.shared.clone();
        let settings = lock(&shared.settings).clone();
        let mut state = lock(&shared.state);
        let before = state.active.clone();
        for evaluation in evaluations {
            self.follow(&mut state, evaluation, &settings, at);
        }
        self.end_forgotten(&mut state.active, at);
        state.active.retain(|_, active| active.ends_at.is_none_or(|ended| ended + RESOLVED_FOR.0 > at.0));
        let changes = Changes { before: &before, active: &state.active };
        let rules = self.rules_to_notify(&changes, &settings, at);
        let mut notifications = Vec::new();
        for rule in &rules {
            self.notified_at.insert(rule.clone(), at);
            let alerts = changes.of_rule(rule);
            let webhooks = settings.receivers.webhooks.iter();
            notifications.extend(webhooks.map(|url| notification(url, rule, &alerts, &settings.external_url, at)));
        }
        state.queue.extend(notifications);
        let over = state.queue.len().saturating_sub(MAX_QUEUE);
        state.queue.drain(..over);
        shared.counters.notifications_dropped.fetch_add(over as u64, Relaxed);
        let any = evaluations.iter().any(Evaluation::changed) || !rules.is_empty() || state.active != before;
        if any {
            state.groups = groups_of(&self.evaluator);
            save(&shared, &state);
        }
        drop(state);
        shared.changed.notify_all();
    }

    /// An alert begins, goes on or ends with an evaluation.
    fn follow(&self, state: &mut Remembered, evaluation: &Evaluation, settings: &Settings, at: Timestamp) {
        if evaluation.changed() {
            tracing::info!(
                rule = %evaluation.rule.name,
                group = %group_text(&evaluation.group),
                from = evaluation.previous.name(),
                to = evaluation.state.name(),
                "alert"
            );
        }
        let key = key_of(&labels_of(&evaluation.rule, &evaluation.group));
        if evaluation.state.is_firing() && evaluation.inhibited_by.is_none() {
            let rendered = evaluation.render();
            let calls = self.history.calls_of(evaluation.fingerprint());
            let silence = silences::of(&state.silences, &evaluation.rule, &evaluation.group, at);
            let silenced_by = silence.map(|silence| silence.id.clone());
            let known = state.active.get(&key).filter(|active| active.ends_at.is_none());
            let active = Active {
                rule: evaluation.rule.name.clone(),
                labels: rendered.labels,
                summary: rendered.summary,
                description: rendered.description + &worst_calls(&settings.external_url, calls),
                url: CallsBehind::url_of(evaluation, &settings.external_url),
                starts_at: evaluation.since.unwrap_or(at).0,
                ends_at: None,
                lease_ns: 4 * evaluation.rule.every.max(RESEND).0,
                told: silenced_by.is_none() || known.is_some_and(|active| active.told),
                silenced_by,
            };
            state.active.insert(key, active);
        } else if let Some(active) = state.active.get_mut(&key).filter(|active| active.ends_at.is_none()) {
            active.ends_at = Some(at.0);
        }
    }

    /// Alerts of rules and groups that are gone have ended.
    fn end_forgotten(&self, active: &mut BTreeMap<String, Active>, at: Timestamp) {
        let known: BTreeSet<String> = self
            .evaluator
            .memories()
            .filter(|(_, _, memory)| memory.state.is_firing())
            .map(|(rule, group, _)| key_of(&labels_of(rule, group)))
            .collect();
        let forgotten = active.iter_mut().filter(|(key, active)| active.ends_at.is_none() && !known.contains(*key));
        forgotten.for_each(|(_, active)| active.ends_at = Some(at.0));
    }

    /// Rules with an alert that is news, or that has to be repeated.
    fn rules_to_notify(&self, changes: &Changes<'_>, settings: &Settings, at: Timestamp) -> BTreeSet<String> {
        let is_due = |rule: &String| self.notified_at.get(rule).is_some_and(|last| at - *last >= settings.repeat);
        changes
            .active
            .iter()
            .filter(|(_, active)| is_sent(active))
            .filter(|(key, active)| changes.is_news(key, active) || (active.ends_at.is_none() && is_due(&active.rule)))
            .map(|(_, active)| active.rule.clone())
            .collect()
    }
}

/// Alerts before and after evaluations.
struct Changes<'a> {
    before: &'a BTreeMap<String, Active>,
    active: &'a BTreeMap<String, Active>,
}

impl<'a> Changes<'a> {
    fn is_news(&self, key: &String, active: &Active) -> bool {
        match self.before.get(key) {
            // A silence that ended over an alert that goes on makes it news.
            Some(old) => {
                let unsilenced = old.silenced_by.is_some() && active.silenced_by.is_none();
                old.ends_at != active.ends_at || old.starts_at != active.starts_at || unsilenced
            }
            None => true,
        }
    }

    /// Alerts of a rule that a notification lists: those that go on, and those that ended since.
    fn of_rule(&self, rule: &str) -> Vec<&'a Active> {
        self.active
            .iter()
            .filter(|(_, active)| active.rule == rule && is_sent(active))
            .filter(|(key, active)| active.ends_at.is_none() || self.is_news(key, active))
            .map(|(_, active)| active)
            .collect()
    }
}

/// Of silenced alerts only the end of what was sent before is sent.
fn is_sent(active: &Active) -> bool {
    active.told && (active.ends_at.is_some() || active.silenced_by.is_none())
}

/// The next evaluation: no later than the first that is due after now, as it would be when the clock was set back.
fn not_after(next: Option<Timestamp>, first: Option<Timestamp>) -> Option<Timestamp> {
    match (next, first) {
        (Some(next), Some(first)) => Some(next.min(first)),
        (next, first) => next.or(first),
    }
}

/// Labels as the key of an alert.
fn key_of(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

fn save(shared: &Shared, state: &Remembered) {
    if let Err(e) = shared.file.save(state) {
        // It goes on in memory: an alert that is sent twice after a crash is better than one that is not sent.
        if shared.counters.memory_failures.fetch_add(1, Relaxed) == 0 {
            crate::app::print_status(format_args!("alerts: {e:#}; alerts go on, and a restart may tell some again"));
        }
    }
}

/// Calls that a text names.
const NAMED_CALLS: usize = 3;

/// The worst calls as addresses of the page.
fn worst_calls(external_url: &str, calls: &[CallUid]) -> String {
    let links: Vec<String> = calls.iter().take(NAMED_CALLS).map(|uid| format!("{external_url}/calls/{uid}")).collect();
    match links.is_empty() {
        true => String::new(),
        false => format!(" Worst calls: {}", links.join(" , ")),
    }
}

/// Begin and end of an alert.
type Times = (i64, Option<i64>);

/// When a webhook is tried again, and how often it failed in a row.
type Backoff = BTreeMap<String, (Timestamp, u32)>;

/// What earlier deliveries left.
#[derive(Default)]
struct DeliveryHistory {
    backoff: Backoff,
    /// By receiver, the problem that was printed last.
    problems: BTreeMap<String, String>,
}

/// Sends what is to be sent until the program ends.
fn deliver(shared: &Shared) {
    let mut sent: Option<(Timestamp, Vec<Times>)> = None;
    let mut history = DeliveryHistory::default();
    let mut receiver: Option<(Receivers, Receiver)> = None;
    while !shared.stopped.load(Relaxed) {
        let wanted = lock(&shared.settings).receivers.clone();
        if receiver.as_ref().is_none_or(|(of, made)| *of != wanted || made.is_outdated()) {
            // What cannot be used was refused when the settings were read.
            let Ok(made) = Receiver::new(&wanted) else { return };
            receiver = Some((wanted.clone(), made));
            sent = None;
        }
        let Some((_, receiver)) = &receiver else { return };
        let now = crate::app::wall_clock();
        // Silences go first, so that the Alertmanager sends no notification of a silenced alert.
        forward_silences(shared, receiver, &wanted, now, &mut history.problems);
        let active: Vec<Active> = lock(&shared.state).active.values().cloned().collect();
        let shape: Vec<Times> = active.iter().map(|alert| (alert.starts_at, alert.ends_at)).collect();
        let due = sent.as_ref().is_none_or(|(at, known)| now - *at >= RESEND || *known != shape);
        if due && !active.is_empty() {
            let alerts: Vec<&Active> = active.iter().collect();
            let mut failed = false;
            for base in &wanted.alertmanagers {
                for outcome in receiver.alertmanager(base, &alerts, now) {
                    failed |= matches!(outcome, Outcome::Later(_));
                    count(shared, "alertmanager", base, &outcome, &mut history.problems);
                }
            }
            // One that did not answer gets them again at the next look.
            sent = (!failed).then_some((now, shape));
        }
        if notify(shared, receiver, &wanted, now, &mut history) {
            continue;
        }
        let state = lock(&shared.state);
        let wait = if state.queue.is_empty() { Duration::from_secs(5) } else { Duration::from_secs(1) };
        drop(shared.changed.wait_timeout(state, wait));
    }
}

/// Begins and ends silences at the Alertmanagers; one that does not answer is tried again at the next look.
fn forward_silences(
    shared: &Shared,
    receiver: &Receiver,
    wanted: &Receivers,
    now: Timestamp,
    said: &mut BTreeMap<String, String>,
) {
    for base in &wanted.alertmanagers {
        let silences = lock(&shared.state).silences.clone();
        for silence in silences {
            let outcome = if silence.is_to_begin_at(base, now) {
                let body = silence.forwarded_body();
                receiver.begin_silence(base, &body).map(|id| Some(Forwarded { id, ends_at: silence.ends_at }))
            } else if let Some(id) = silence.is_to_end_at(base) {
                match receiver.end_silence(base, id) {
                    Outcome::Taken => Ok(None),
                    outcome => Err(outcome),
                }
            } else {
                continue;
            };
            let mut state = lock(&shared.state);
            if let Some(kept) = state.silences.iter_mut().find(|kept| kept.id == silence.id) {
                match &outcome {
                    Ok(Some(forwarded)) => drop(kept.forwarded.insert(base.clone(), forwarded.clone())),
                    Ok(None) => drop(kept.forwarded.remove(base)),
                    Err(Outcome::Refused(why)) => {
                        kept.forwarded.remove(base);
                        kept.refused.insert(base.clone(), why.clone());
                    }
                    Err(_) => {}
                }
            }
            save(shared, &state);
            drop(state);
            let outcome = outcome.err().unwrap_or(Outcome::Taken);
            count(shared, "alertmanager", base, &outcome, said);
            if matches!(outcome, Outcome::Later(_)) {
                break;
            }
        }
    }
}

/// Sends the oldest notification whose webhook is not waited for; the order of those of one webhook stays. True when more may follow.
fn notify(
    shared: &Shared,
    receiver: &Receiver,
    wanted: &Receivers,
    now: Timestamp,
    history: &mut DeliveryHistory,
) -> bool {
    let DeliveryHistory { backoff, problems } = history;
    let ready = |url: &String| backoff.get(url).is_none_or(|(at, _)| now >= *at);
    let next = lock(&shared.state).queue.iter().find(|notification| ready(&notification.url)).cloned();
    let Some(notification) = next else { return false };
    // A webhook that was taken out of the configuration is not waited for.
    let outcome = wanted.webhooks.contains(&notification.url).then(|| receiver.webhook(&notification));
    if let Some(Outcome::Later(_)) = outcome {
        let failures = backoff.get(&notification.url).map_or(0, |(_, failures)| *failures) + 1;
        backoff.insert(notification.url.clone(), (now + Nanos::from_secs(1 << failures.min(6)), failures));
    } else {
        backoff.remove(&notification.url);
        let mut state = lock(&shared.state);
        state.queue.retain(|other| other.id != notification.id);
        save(shared, &state);
    }
    if let Some(outcome) = outcome {
        count(shared, "webhook", &notification.url, &outcome, problems);
    }
    true
}

/// Counts a request, and says once what is wrong with a receiver.
fn count(shared: &Shared, kind: &'static str, url: &str, outcome: &Outcome, said: &mut BTreeMap<String, String>) {
    *lock(&shared.counters.deliveries).entry((kind, outcome.name())).or_default() += 1;
    let problem = match outcome {
        Outcome::Taken => String::new(),
        Outcome::Refused(why) => format!("refuses alerts: {why}"),
        Outcome::Later(why) => format!("does not take alerts: {why}; they are sent again"),
    };
    let before = said.insert(url.to_owned(), problem.clone()).unwrap_or_default();
    if before != problem {
        match problem.as_str() {
            "" => crate::app::print_status(format_args!("alerts: {kind} {} takes alerts again", without_secrets(url))),
            problem => crate::app::print_status(format_args!("alerts: {kind} {} {problem}", without_secrets(url))),
        }
    }
}

/// An address without what may be a secret in it: its scheme and host.
pub(super) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_rules() {
        let at = |seconds| Some(Timestamp::from_secs(seconds));
        assert_eq!(not_after(at(120), at(120)), at(120));
        assert_eq!(not_after(at(60), at(120)), at(60), "due, and not evaluated yet");
        assert_eq!(not_after(at(7_260), at(3_660)), at(3_660), "an hour back");
        assert_eq!((not_after(None, at(60)), not_after(at(60), None)), (at(60), at(60)));
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_evaluation_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let (file, remembered) = MemoryFile::open(dir.path()).unwrap();
        let (receivers, external_url) = (Receivers::default(), String::new());
        let settings = Settings { rules: Vec::new(), receivers, external_url, repeat: Nanos(0) };
        let shared = Shared::new(settings, file, remembered);
        let service = AlertService { inputs: sync_channel(1).0, shared: shared.clone() };
        let (end, rows) = (EvaluationEnd(shared.clone()), Arc::new(AtomicU64::new(0)));
        let written = rows.clone();
        std::thread::spawn(move || {
            let _end = end;
            while !shared.stopped.load(Relaxed) {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(50));
            written.fetch_add(1, Relaxed);
        });
        service.stop().await;
        assert_eq!(rows.load(Relaxed), 1, "the row of the last evaluation is written before the stop returns");
    }

    #[test]
    fn what_matters_comes_first_in_a_list_that_is_cut() {
        let order = [State::Firing, State::Keeping, State::Pending, State::Error, State::Blind, State::Few];
        assert!(order.is_sorted_by_key(|state| rank(*state)));
        assert!(["critical", "warning", "info", "page"].is_sorted_by_key(|name| severity(name)));
    }
}
