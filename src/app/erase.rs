//! `auscult erase`: the rows of one person or one call are removed from store and spool, and what is left is counted.
//!
//! A running program does it itself, since it has the embedded store, the spool, and rows on their way there; the command asks it by
//! its socket. Without one the command opens store and spool as `auscult run` does.

use super::access::command::{check_owner, commander};
use super::access::directory;
use super::config::{Config, Server};
use anyhow::{Context, bail};
use auscult_access::Principal;
use auscult_access::audit::{Action, AuditLog, Entry};
use auscult_api::LiveFeed;
use auscult_core::privacy::Privacy;
use auscult_store::endpoint::post_local;
use auscult_store::erase::{EraseReport, Mode, Subject, erase};
use auscult_store::query::{PhoneNumber, Reader};
use auscult_store::spool::{Spool, SpoolLimits};
use auscult_store::{Backend, Store, StoreError, StoreSender, private};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use clap::{ArgGroup, Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The route of the socket.
const ROUTE: &str = "/erase";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Removes rows for good. The exit code is 0 only when nothing of the person or call is left.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("subject").required(true).args(["number", "call"])))]
pub struct EraseArgs {
    /// Number of a person: every call from or to it. The whole number as rows have it, with or without `+` or `00`; a number that only
    /// ends with it is another one.
    #[arg(long)]
    pub number: Option<String>,
    /// One call: its identity as the page shows it (16 hexadecimal digits), or its Call-ID.
    #[arg(long, value_name = "ID")]
    pub call: Option<String>,
    /// Configuration file.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// Directory of the embedded store and the spool, as for `run`.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Count the rows, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// What the command asks a running program for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    number: Option<String>,
    call: Option<String>,
    dry_run: bool,
    /// Who gives the command.
    by: String,
}

impl Wanted {
    /// Whose rows these are, in every form in which rows may have number and Call-ID.
    fn subject(&self, privacy: &Privacy) -> anyhow::Result<Subject> {
        match (&self.number, &self.call) {
            (Some(number), None) => {
                let number =
                    PhoneNumber::parse(number).map_err(|_| anyhow::anyhow!("--number: {number:?} is no number"))?;
                Ok(Subject::Number(stored_forms(&number, privacy)))
            }
            (None, Some(call)) if !call.trim().is_empty() => {
                let ids = std::iter::once(call.trim().to_owned()).chain(privacy.stored_call_ids(call.trim()));
                Ok(Subject::Call(ids.collect()))
            }
            _ => bail!("name a number or a call"),
        }
    }

    fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Erase }
    }
}

/// Every form in which rows may have this number and no other: in clear, and its pseudonyms by each key. A mask stands for several numbers:
/// rows with one are found by their call alone.
fn stored_forms(number: &PhoneNumber, privacy: &Privacy) -> Vec<PhoneNumber> {
    let pseudonyms = privacy.pseudonyms(number.as_str());
    std::iter::once(number.clone()).chain(pseudonyms.iter().filter_map(|form| PhoneNumber::parse(form).ok())).collect()
}

/// What is said where rows may have the number masked.
fn say_masked(wanted: &Wanted, privacy: &Privacy) {
    let forms = wanted.number.as_deref().map(|number| (privacy.stored_forms(number), privacy.pseudonyms(number)));
    if forms.is_some_and(|(all, exact)| all.len() > exact.len()) {
        eprintln!(
            "rows that were stored with this number masked stay, as a mask stands for several numbers: erase them by --call"
        );
    }
}

/// The audit log of a data directory. It is opened before rows are erased: what cannot be recorded is not done.
fn open_audit(data: &Path, key_file: Option<&Path>) -> anyhow::Result<AuditLog> {
    AuditLog::open(&directory(data), key_file).context("the audit log")
}

/// What the audit log says of whose rows it is about: a keyed hash.
fn subject_of(audit: &AuditLog, wanted: &Wanted) -> String {
    match (&wanted.number, &wanted.call) {
        (Some(number), _) => {
            let number =
                PhoneNumber::parse(number).map_or_else(|_| number.clone(), |number| number.as_str().to_owned());
            format!("number=hmac:{}", audit.pseudonym(&number))
        }
        (None, Some(call)) => format!("call_id=hmac:{}", audit.pseudonym(call.trim())),
        (None, None) => String::new(),
    }
}

/// Records that an erasure begins, so that one which fails half way has a row, too.
fn record_begin(audit: &AuditLog, wanted: &Wanted) -> anyhow::Result<()> {
    if wanted.dry_run {
        return Ok(());
    }
    let what = format!("{}: begins", subject_of(audit, wanted));
    let entry = Entry::of(&Principal::command(&wanted.by), None, Action::Erase, what, super::wall_clock());
    audit.append(&[entry]).map(drop).context("the erasure cannot be recorded in the audit log, so it does not begin")
}

/// Records that rows were counted or erased. A number or Call-ID is in the audit log as a keyed hash, and in no line of the log.
fn record_erasure(audit: &AuditLog, wanted: &Wanted, report: &EraseReport) -> anyhow::Result<()> {
    let subject = subject_of(audit, wanted);
    let rows: u64 = report.counts.iter().map(|count| count.before - count.after.min(count.before)).sum();
    let (calls, left) = (report.calls.len(), report.left());
    let what = match wanted.dry_run {
        true => format!("{subject}: dry run, {calls} calls, {left} rows"),
        false => format!("{subject}: {calls} calls, {rows} rows erased, {left} left"),
    };
    let principal = Principal::command(&wanted.by);
    let done = audit.append(&[Entry::of(&principal, None, Action::Erase, what, super::wall_clock())]);
    if !wanted.dry_run {
        let by = if wanted.number.is_some() { "number" } else { "call" };
        tracing::info!(by, calls, rows, left, "rows were erased");
    }
    done.map(drop).context("the audit log does not have what was done")
}

/// Erasing in a running program.
#[derive(Clone)]
pub struct RunningEraser {
    store: Store,
    sender: StoreSender,
    live: Arc<LiveFeed>,
    /// Knows how numbers are stored.
    reader: Reader,
    data: PathBuf,
    audit_key_file: Option<PathBuf>,
    /// One at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Times that rows of calls that ended meanwhile are looked for.
const LOOKS: usize = 3;

impl RunningEraser {
    pub fn new(
        config: &Config,
        store: &Store,
        (sender, live, reader): (&StoreSender, &Arc<LiveFeed>, &Reader),
    ) -> RunningEraser {
        RunningEraser {
            store: store.clone(),
            sender: sender.clone(),
            live: live.clone(),
            reader: reader.clone(),
            data: config.store.data.clone(),
            audit_key_file: config.access.audit_key_file.clone(),
            turn: Arc::default(),
        }
    }

    /// Blocks: to be run on a thread that may.
    async fn erase(&self, wanted: &Wanted) -> anyhow::Result<EraseReport> {
        let (subject, mode) = (wanted.subject(&self.reader.privacy())?, wanted.mode());
        let audit = open_audit(&self.data, self.audit_key_file.as_deref())?;
        let up = || self.live.calls_where(|call| subject.is_of(call));
        record_begin(&audit, wanted)?;
        let mut done: Option<EraseReport> = None;
        for _ in 0..LOOKS {
            // In this order: the rows of a call that is no longer up are in the queue, and then in the spool.
            let before = up();
            self.sender.flush().map_err(anyhow::Error::msg)?;
            let report = erase(&self.store, self.sender.spool(), &subject, &before, mode).await?;
            done = Some(report.after(done));
            if mode == Mode::DryRun || up() == before {
                break;
            }
        }
        let mut report = done.unwrap_or_default();
        report.still_up = up().iter().map(|uid| format!("{:016x}", uid.0)).collect();
        record_erasure(&audit, wanted, &report)?;
        Ok(report)
    }

    /// The route by which a command asks for it.
    pub fn routes(self) -> Router {
        Router::new().route(ROUTE, post(answer)).with_state(self)
    }
}

async fn answer(State(eraser): State<RunningEraser>, Json(wanted): Json<Wanted>) -> (StatusCode, String) {
    let turn = eraser.turn.clone().lock_owned().await;
    let runtime = tokio::runtime::Handle::current();
    // The turn ends with the work, which goes on when the command is interrupted.
    let erased = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        runtime.block_on(eraser.erase(&wanted))
    });
    match erased.await {
        Ok(Ok(report)) => (StatusCode::OK, serde_json::to_string(&report).unwrap_or_default()),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, super::one_line(&error)),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the erasing thread ended by a defect".to_owned()),
    }
}

pub fn run(args: &EraseArgs) -> anyhow::Result<()> {
    let mut config = args.config.as_deref().map_or_else(Config::default_config, Config::load)?;
    if let Some(data) = &args.data {
        config.store.data.clone_from(data);
    }
    let wanted =
        Wanted { number: args.number.clone(), call: args.call.clone(), dry_run: args.dry_run, by: commander() };
    let privacy = &config.policy.privacy;
    wanted.subject(privacy)?;
    say_masked(&wanted, privacy);
    private::restrict_umask();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let code = match runtime.block_on(report(&config, &wanted)).and_then(|report| print(&report, args.format)) {
        Ok(()) => 0,
        Err(error) => super::report(&error),
    };
    // The embedded engine does not survive exit handlers.
    super::run::exit_now(code)
}

async fn report(config: &Config, wanted: &Wanted) -> anyhow::Result<EraseReport> {
    let data = &config.store.data;
    if !data.is_dir() {
        bail!("there is no data directory {}: name that of `auscult run` with --data or --config", data.display());
    }
    check_owner(data)?;
    let body = serde_json::to_string(wanted)?;
    match post_local(data, ROUTE, &body).await? {
        Some((200, answer)) => {
            return serde_json::from_str(&answer).context("the running program answers in another way");
        }
        Some((404, _)) => bail!("the program that runs on {} is of an older version: restart it first", data.display()),
        Some((_, why)) => bail!("the running program cannot erase: {why}"),
        None => {}
    }
    let backend = backend(config)?;
    if config.written.is_empty() {
        eprintln!(
            "no configuration was named: rows with pseudonyms or hashed Call-IDs, and those of a server, are not looked for (--config)"
        );
    }
    let limits = SpoolLimits {
        bytes: config.store.spool_bytes.unwrap_or(SpoolLimits::default().bytes),
        ..SpoolLimits::default()
    };
    let spool = match Spool::open(&data.join("spool"), limits) {
        Err(StoreError::Locked { .. }) => bail!(
            "auscult is running on {} and does not answer on its socket: try again, or stop it first",
            data.display()
        ),
        spool => Mutex::new(spool?),
    };
    let store = backend.open()?;
    if config.store.migrates() {
        store.migrate().await?;
    }
    let audit = open_audit(data, config.access.audit_key_file.as_deref())?;
    record_begin(&audit, wanted)?;
    let erased = erase(&store, &spool, &wanted.subject(&config.policy.privacy)?, &[], wanted.mode()).await?;
    record_erasure(&audit, wanted, &erased)?;
    Ok(erased)
}

/// The store of the configuration.
pub(super) fn backend(config: &Config) -> anyhow::Result<Backend> {
    Ok(match &config.store.server {
        None => {
            let dir = config.store.data.join("clickhouse");
            if !dir.is_dir() {
                bail!(
                    "there is no embedded store in {}: name the directory of `auscult run`",
                    config.store.data.display()
                );
            }
            Backend::embedded(dir, config.store.library.clone())
        }
        Some(Server { url, user, password, database, cluster }) => Backend::Server {
            url: url.clone(),
            user: user.clone(),
            password: password.clone(),
            database: database.clone(),
            cluster: cluster.clone(),
            tls: config.tls.clickhouse.clone(),
        },
    })
}

fn print(report: &EraseReport, format: Format) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
        }
        Format::Text => print_text(report, &mut out)?,
    }
    out.flush()?;
    if report.dry_run || report.is_complete() {
        return Ok(());
    }
    let mut problems = Vec::new();
    if report.left() > 0 {
        problems.push(format!("{} rows are left: erase again", report.left()));
    }
    if !report.still_up.is_empty() {
        problems.push(format!(
            "{} of these calls are still up and get more rows: erase again when they have ended",
            report.still_up.len()
        ));
    }
    if !report.unreadable.is_empty() {
        problems.push(format!(
            "{} damaged segments may hold rows of the person: look at them with `auscult spool list` and remove them by hand",
            report.unreadable.len()
        ));
    }
    bail!(problems.join("; "))
}

/// Calls that are listed one by one.
const LISTED: usize = 20;

fn print_text(report: &EraseReport, out: &mut dyn Write) -> std::io::Result<()> {
    let more = report.calls.len().saturating_sub(LISTED);
    let calls: Vec<&str> = report.calls.iter().take(LISTED).map(String::as_str).collect();
    write!(out, "calls: {}", report.calls.len())?;
    match (calls.is_empty(), more) {
        (true, _) => writeln!(out)?,
        (false, 0) => writeln!(out, " ({})", calls.join(", "))?,
        (false, more) => writeln!(out, " ({}, and {more} more)", calls.join(", "))?,
    }
    let (last, note) = if report.dry_run { ("would stay", "dry run") } else { ("after", "erased") };
    writeln!(out, "{:<18} {:<13} {:>10} {:>10}", "table", "place", "rows", last)?;
    for count in &report.counts {
        let after = if report.dry_run { 0 } else { count.after };
        writeln!(out, "{:<18} {:<13} {:>10} {after:>10}", count.table, count.place.name(), count.before)?;
    }
    for uid in &report.still_up {
        writeln!(out, "call {uid} is still up")?;
    }
    for file in &report.unreadable {
        writeln!(out, "{file} cannot be read")?;
    }
    writeln!(out, "sums over many calls (groups, counts of calls) stay as they are: nobody can be found in them")?;
    if report.parts_remain && !report.dry_run {
        writeln!(out, "the store keeps the files that were replaced for some minutes, 8 unless it is set otherwise")?;
    }
    let rows: u64 = report.counts.iter().map(|count| count.before - count.after.min(count.before)).sum();
    match report.dry_run {
        true => writeln!(out, "{note}: {} rows would go", report.left()),
        false => writeln!(out, "{note}: {rows} rows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_access::audit::Filter;
    use auscult_store::erase::{Counted, Location};

    fn wanted(number: Option<&str>, call: Option<&str>) -> Wanted {
        Wanted {
            number: number.map(str::to_owned),
            call: call.map(str::to_owned),
            dry_run: false,
            by: "ann".to_owned(),
        }
    }

    #[test]
    fn a_subject_is_a_number_or_a_call() {
        let clear = Privacy::clear();
        assert!(
            matches!(wanted(Some("+49 30 1"), None).subject(&clear), Ok(Subject::Number(forms)) if forms.len() == 1)
        );
        assert!(matches!(wanted(None, Some(" a@b ")).subject(&clear), Ok(Subject::Call(ids)) if ids == ["a@b"]));
        for (number, call) in [(Some("-"), None), (None, Some(" ")), (None, None), (Some("1"), Some("2"))] {
            assert!(wanted(number, call).subject(&clear).is_err(), "{number:?} {call:?}");
        }
    }

    #[test]
    fn an_erasure_is_a_row_of_the_audit_log_that_names_no_number() {
        let dir = tempfile::tempdir().unwrap();
        let audit = open_audit(dir.path(), None).unwrap();
        let count = Counted { place: Location::Store, table: "calls".to_owned(), before: 3, after: 1 };
        let report = EraseReport { counts: vec![count], ..EraseReport::default() };
        for (number, call) in [(Some("+49 30 12345"), None), (Some("004930-12345"), None), (None, Some("id@host"))] {
            record_erasure(&audit, &wanted(number, call), &report).unwrap();
        }
        let rows = audit.read(&Filter::default(), 10).unwrap();
        let what: Vec<&str> = rows.iter().rev().map(|row| row.what.as_str()).collect();
        assert!(what.iter().all(|what| what.ends_with(": 0 calls, 2 rows erased, 1 left")), "{what:?}");
        assert_eq!(what[0], what[1], "the same number in another form");
        assert!(rows.iter().all(|row| row.who == "ann" && row.action == Action::Erase));
        assert!(!what.iter().any(|what| what.contains("12345") || what.contains("id@host")), "{what:?}");
    }

    #[test]
    fn what_is_left_is_an_error_that_says_what_to_do() {
        let count = |after| Counted { place: Location::Store, table: "calls".to_owned(), before: 3, after };
        let report = |after| EraseReport { counts: vec![count(after)], ..EraseReport::default() };
        assert!(print(&report(0), Format::Json).is_ok());
        assert!(print(&report(1), Format::Json).unwrap_err().to_string().contains("1 rows are left"));
        let up = EraseReport { still_up: vec!["1".to_owned()], ..report(0) };
        assert!(print(&up, Format::Text).unwrap_err().to_string().contains("still up"));
        let dry = EraseReport { dry_run: true, ..report(3) };
        let mut text = Vec::new();
        print_text(&dry, &mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("dry run: 3 rows would go"));
    }
}
