//! Removing the rows of one person or one call: from every table of the store, from segments that wait and from dead letters.
//!
//! Sums over many calls stay: nobody can be found in them. The proof is a count of what is left, by the same conditions.

mod rules;
mod text;

pub use rules::{Rule, rule};
pub use text::NumberInText;

use super::endpoint::{literal, quoted_name};
use super::query::PhoneNumber;
use super::rows::{RowFate, RowView};
use super::schema::{self, Dialect};
use super::spool::{EraseFailure, Spool};
use super::{Store, StoreError, Table};
use auscult_core::model::{CallRecord, CallUid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whose rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Every call from or to a number, in each form in which rows may have it. Whole numbers only.
    Number(Vec<PhoneNumber>),
    /// The call of this identity, as the page shows it, or every call that has this Call-ID, in each form in which rows may have it: a
    /// probe sees one call for each leg that keeps it.
    Call(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Counts, and changes nothing.
    DryRun,
    Erase,
}

/// Where rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    Store,
    /// Segments that wait for the store.
    Spool,
    /// Segments that were set aside.
    DeadLetters,
}

impl Location {
    pub fn name(self) -> &'static str {
        match self {
            Location::Store => "store",
            Location::Spool => "spool",
            Location::DeadLetters => "dead letters",
        }
    }
}

/// Rows of a table in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub place: Location,
    pub table: String,
    pub before: u64,
    pub after: u64,
}

/// What was found, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseReport {
    pub dry_run: bool,
    /// Identities of the calls, as the page shows them.
    pub calls: Vec<String>,
    /// Of these, calls that are still up: more rows of them come.
    pub still_up: Vec<String>,
    pub counts: Vec<Counted>,
    /// Segments that cannot be read, so that nobody knows whose rows they have.
    pub unreadable: Vec<String>,
    /// Parts of tables from before are still on the disk of the store, which removes them within minutes.
    pub parts_remain: bool,
}

impl EraseReport {
    /// Rows that are still there.
    pub fn left(&self) -> u64 {
        self.counts.iter().map(|count| count.after).sum()
    }

    /// This report with what an earlier one had erased.
    pub fn after(mut self, earlier: Option<EraseReport>) -> EraseReport {
        let Some(earlier) = earlier else { return self };
        for old in earlier.counts {
            let same = |new: &&mut Counted| (new.place, &new.table) == (old.place, &old.table);
            match self.counts.iter_mut().find(same) {
                Some(new) => new.before += old.before - old.after.min(old.before),
                None => self.counts.push(Counted { after: 0, ..old }),
            }
        }
        self.calls.extend(earlier.calls);
        self.calls.sort();
        self.calls.dedup();
        self.parts_remain |= earlier.parts_remain;
        self
    }

    /// Whether everything is gone, and nothing more comes.
    pub fn is_complete(&self) -> bool {
        self.left() == 0 && self.still_up.is_empty() && self.unreadable.is_empty()
    }
}

/// Calls and streams whose rows go.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub calls: BTreeSet<u64>,
    pub streams: BTreeSet<u64>,
    /// Calls of which rows were seen.
    found: BTreeSet<u64>,
    numbers: Vec<PhoneNumber>,
    call_ids: Vec<String>,
    named: Option<NumberInText>,
}

/// Identities in one statement, of up to 20 digits: a statement has 256 KiB at most.
const IDS_AT_ONCE: usize = 5_000;

/// Bytes of conditions that one statement may have.
const CONDITION_BYTES: usize = 200_000;

/// Rounds of erasing: rows that were on their way while a round went on are found by the next.
const ROUNDS: usize = 5;

/// How long a segment that is being delivered is waited for.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(70);

/// Erases, or counts. Reads and writes files where it runs, so that it belongs on a thread that may block. `still_up` are calls of the subject that are not over. Rows on their way to the spool must be in it.
///
/// # Errors
/// The store or the spool cannot be read or changed. What was erased before stays erased; the same call goes on.
pub async fn erase(
    store: &Store,
    spool: &Mutex<Spool>,
    subject: &Subject,
    still_up: &[CallUid],
    mode: Mode,
) -> Result<EraseReport, StoreError> {
    let eraser = Eraser { store, client: store.writer(), spool };
    let mut scope = Scope::of(subject, still_up);
    let mut before: BTreeMap<(Location, String), u64> = BTreeMap::new();
    let mut report = EraseReport { dry_run: mode == Mode::DryRun, ..EraseReport::default() };
    for round in 0..ROUNDS {
        eraser.find(&mut scope).await?;
        let counts = eraser.count(&scope, &mut report.unreadable).await?;
        for (place, rows) in &counts {
            let most = before.entry(place.clone()).or_default();
            *most = (*most).max(*rows);
        }
        let left: u64 = counts.values().sum();
        if mode == Mode::DryRun || left == 0 && round > 0 {
            break;
        }
        eraser.erase_spool(&scope).await?;
        eraser.erase_store(&scope, &counts, &mut report).await?;
    }
    eraser.find(&mut scope).await?;
    let after = eraser.count(&scope, &mut report.unreadable).await?;
    let shown = |uid: &u64| format!("{uid:016x}");
    scope.found.extend(still_up.iter().map(|uid| uid.0));
    report.calls = scope.found.iter().map(shown).collect();
    report.still_up = still_up.iter().map(|uid| shown(&uid.0)).collect();
    report.counts = before
        .into_iter()
        .map(|((place, table), before)| {
            let after = after.get(&(place, table.clone())).copied().unwrap_or(0);
            Counted { place, table, before, after }
        })
        .collect();
    Ok(report)
}

fn literals(texts: &[String]) -> String {
    texts.iter().map(|text| literal(text)).collect::<Vec<_>>().join(", ")
}

/// The identity that 16 hexadecimal digits are.
fn identity(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

impl Subject {
    /// Whether a call is of the subject.
    pub fn is_of(&self, call: &CallRecord) -> bool {
        match self {
            Subject::Number(forms) => {
                forms.iter().any(|n| n.is_exactly(&call.caller.user) || n.is_exactly(&call.callee.user))
            }
            Subject::Call(ids) => ids.iter().any(|id| *call.call_id == **id || identity(id) == Some(call.uid.0)),
        }
    }
}

impl Scope {
    fn of(subject: &Subject, still_up: &[CallUid]) -> Scope {
        let mut scope = Scope { calls: still_up.iter().map(|uid| uid.0).collect(), ..Scope::default() };
        match subject {
            Subject::Number(forms) => {
                scope.named = Some(NumberInText::new(forms));
                scope.numbers = forms.clone();
            }
            Subject::Call(ids) => {
                scope.calls.extend(ids.iter().filter_map(|id| identity(id)));
                scope.call_ids = ids.clone();
            }
        }
        scope
    }

    /// Adds the call of a row of `calls` that is of the subject, and its streams.
    fn add(&mut self, row: &RowView<'_>) {
        let Some(uid) = row.number("call_uid") else { return };
        let is_party = |column| row.text(column).is_some_and(|user| self.numbers.iter().any(|n| n.is_exactly(user)));
        let has_id = row.text("call_id").is_some_and(|id| self.call_ids.iter().any(|wanted| wanted == id));
        if has_id || is_party("caller_user") || is_party("callee_user") || self.calls.contains(&uid) {
            self.calls.insert(uid);
            self.found.insert(uid);
            self.streams.extend(row.list("streams").unwrap_or_default());
        }
    }

    /// What happens to a row that waits.
    pub fn fate(&self, table: Table, row: &RowView<'_>) -> RowFate {
        match rule(table.name()) {
            Some(Rule::OfCall { .. }) => {
                let uid = row.number("call_uid").unwrap_or(0);
                let of_stream = uid == 0 && row.number("stream_id").is_some_and(|id| self.streams.contains(&id));
                let names = table == Table::SipMessages
                    && self
                        .named
                        .as_ref()
                        .is_some_and(|named| row.text("headers").is_some_and(|text| named.is_in(text)));
                match uid != 0 && self.calls.contains(&uid) || of_stream || names {
                    true => RowFate::Drop,
                    false => RowFate::Keep,
                }
            }
            Some(Rule::CitesCalls) => {
                let cited = row.list("worst_calls").unwrap_or_default();
                let kept: Vec<u64> = cited.iter().copied().filter(|uid| !self.calls.contains(uid)).collect();
                if kept.len() == cited.len() { RowFate::Keep } else { RowFate::List("worst_calls", kept) }
            }
            Some(Rule::Stays(_)) | None => RowFate::Keep,
        }
    }

    /// Conditions that together select the rows of a table, each short enough for a statement.
    fn conditions(&self, table: &str) -> Vec<String> {
        let chunks = |ids: &BTreeSet<u64>| -> Vec<String> {
            let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
            ids.chunks(IDS_AT_ONCE).map(|some| some.join(", ")).collect()
        };
        match rule(table) {
            Some(Rule::OfCall { has_streams }) => {
                let mut all: Vec<String> =
                    chunks(&self.calls).iter().map(|ids| format!("call_uid IN ({ids})")).collect();
                if has_streams {
                    let of_none = chunks(&self.streams);
                    all.extend(of_none.iter().map(|ids| format!("(call_uid = 0 AND stream_id IN ({ids}))")));
                }
                if let Some(named) = self.named.as_ref().filter(|_| table == Table::SipMessages.name()) {
                    all.push(format!("match(headers, {})", literal(&named.sql())));
                }
                all
            }
            Some(Rule::CitesCalls) => {
                chunks(&self.calls).iter().map(|ids| format!("hasAny(worst_calls, [{ids}])")).collect()
            }
            Some(Rule::Stays(_)) | None => Vec::new(),
        }
    }
}

#[derive(clickhouse::Row, Deserialize)]
struct FoundCall {
    call_uid: u64,
    streams: Vec<u64>,
}

struct Eraser<'a> {
    store: &'a Store,
    client: clickhouse::Client,
    spool: &'a Mutex<Spool>,
}

impl Eraser<'_> {
    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database(&self) -> String {
        quoted_name(self.store.database())
    }

    /// Adds the calls of the subject, in the store and on their way there, and their streams.
    async fn find(&self, scope: &mut Scope) -> Result<(), StoreError> {
        let failed = |cause| StoreError::Client { what: "look for the calls in the store".to_owned(), cause };
        let mut conditions: Vec<String> = Vec::new();
        if !scope.numbers.is_empty() {
            let reversed: Vec<String> = scope.numbers.iter().map(|n| literal(&n.reversed())).collect();
            let reversed = reversed.join(", ");
            conditions.push(format!("caller_reversed IN ({reversed}) OR callee_reversed IN ({reversed})"));
        }
        if !scope.call_ids.is_empty() {
            conditions.push(format!("call_id IN ({})", literals(&scope.call_ids)));
        }
        conditions.extend(scope.conditions(Table::Calls.name()));
        for condition in conditions {
            let sql = format!("SELECT call_uid, streams FROM {}.calls WHERE {condition}", self.database());
            let rows: Vec<FoundCall> = self.client.query_raw(&sql).fetch_all().await.map_err(failed)?;
            for call in rows {
                scope.calls.insert(call.call_uid);
                scope.found.insert(call.call_uid);
                scope.streams.extend(call.streams);
            }
        }
        let files = self.spool().files();
        files.look_at_rows(&mut |_, table, row| {
            if table == Table::Calls {
                scope.add(row);
            }
        });
        // Rows of a call whose own row is gone, or not there yet.
        let tables = if scope.call_ids.is_empty() { &[][..] } else { &[Table::Streams, Table::SipMessages] };
        for table in tables {
            let ids = literals(&scope.call_ids);
            let sql = format!(
                "SELECT DISTINCT call_uid FROM {}.{} WHERE call_uid != 0 AND call_id IN ({ids})",
                self.database(),
                table.name()
            );
            let calls: Vec<u64> = self.client.query_raw(&sql).fetch_all().await.map_err(failed)?;
            scope.found.extend(&calls);
            scope.calls.extend(calls);
        }
        // A stream's own row may know its call where the call does not list it.
        for condition in scope.conditions(Table::Calls.name()) {
            let sql = format!("SELECT DISTINCT stream_id FROM {}.streams WHERE {condition}", self.database());
            let streams: Vec<u64> = self.client.query_raw(&sql).fetch_all().await.map_err(failed)?;
            scope.streams.extend(streams);
        }
        Ok(())
    }

    /// Rows of the scope in each place.
    async fn count(
        &self,
        scope: &Scope,
        unreadable: &mut Vec<String>,
    ) -> Result<BTreeMap<(Location, String), u64>, StoreError> {
        let failed = |cause| StoreError::Client { what: "count rows in the store".to_owned(), cause };
        let mut counts = BTreeMap::new();
        for table in Table::ALL.iter().filter(|table| !matches!(rule(table.name()), Some(Rule::Stays(_)))) {
            let conditions = scope.conditions(table.name());
            // Where they are too long for one statement a row may be counted by several.
            let together = conditions.iter().map(String::len).sum::<usize>() < CONDITION_BYTES;
            let asked = if together && conditions.len() > 1 { vec![conditions.join(" OR ")] } else { conditions };
            let mut rows = 0;
            for condition in asked {
                let sql = format!("SELECT count() FROM {}.{} WHERE {condition}", self.database(), table.name());
                rows += self.client.query_raw(&sql).fetch_one::<u64>().await.map_err(failed)?;
            }
            counts.insert((Location::Store, table.name().to_owned()), rows);
        }
        let files = self.spool().files();
        *unreadable = files.look_at_rows(&mut |place, table, row| {
            if !matches!(scope.fate(table, row), RowFate::Keep) {
                *counts.entry((place, table.name().to_owned())).or_default() += 1;
            }
        });
        Ok(counts)
    }

    /// Rewrites segments without the rows; one that is on its way to the store is waited for.
    async fn erase_spool(&self, scope: &Scope) -> Result<(), StoreError> {
        let since = tokio::time::Instant::now();
        let fate = |table, row: &RowView<'_>| scope.fate(table, row);
        loop {
            let mut busy = false;
            let files = self.spool().files();
            for (place, path) in files.affected(&fate) {
                let erased = self.spool().erase(place, &path, &fate);
                match erased {
                    Ok(()) => {}
                    Err(EraseFailure::InFlight) => busy = true,
                    Err(EraseFailure::Io { path, source }) => {
                        return Err(StoreError::Io { what: "remove rows from", path, source });
                    }
                }
            }
            if !busy {
                return Ok(());
            }
            if since.elapsed() > DELIVERY_PATIENCE {
                let why = "a batch is being delivered and does not end; try again when the store answers";
                return Err(StoreError::Setting(why.to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Deletes the rows of the store, and waits until they are gone from its parts.
    async fn erase_store(
        &self,
        scope: &Scope,
        counts: &BTreeMap<(Location, String), u64>,
        report: &mut EraseReport,
    ) -> Result<(), StoreError> {
        let dialect = self.store.dialect();
        let mut changed = Vec::new();
        // Calls last: they say which streams go when this is cut off and begun again.
        for table in Table::ALL.iter().rev() {
            if counts.get(&(Location::Store, table.name().to_owned())).is_none_or(|rows| *rows == 0) {
                continue;
            }
            changed.push(table.name());
            let place = format!(
                "ALTER TABLE {}.{}{}{}",
                self.database(),
                table.name(),
                schema::local(dialect),
                schema::on_cluster(dialect)
            );
            for condition in scope.conditions(table.name()) {
                let what = match rule(table.name()) {
                    Some(Rule::CitesCalls) => {
                        let ids = condition.trim_start_matches("hasAny(worst_calls, ").trim_end_matches(')');
                        format!("UPDATE worst_calls = arrayFilter(uid -> NOT has({ids}, uid), worst_calls)")
                    }
                    _ => "DELETE".to_owned(),
                };
                let sql = format!(
                    "{place} {what} WHERE {condition} SETTINGS mutations_sync = 2, distributed_ddl_task_timeout = 3600"
                );
                let failed = |cause| StoreError::Client { what: format!("delete rows of {}", table.name()), cause };
                self.client.query_raw(&sql).execute().await.map_err(failed)?;
            }
        }
        if *dialect == Dialect::Embedded && !changed.is_empty() {
            report.parts_remain |= !schema::purge(&self.client, self.store.database(), &changed).await?;
        } else {
            report.parts_remain |= !changed.is_empty();
        }
        Ok(())
    }
}
