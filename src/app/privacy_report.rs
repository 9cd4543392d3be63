//! `auscult privacy report`: which personal data is stored, where, for how long, and how much: for a record of processing.

use super::access::command::check_owner;
use super::access::directory;
use super::config::Config;
use super::erase::{Format, backend};
use super::running::Found;
use anyhow::Context;
use auscult_core::units::Timestamp;
use auscult_store::endpoint::local_client;
use auscult_store::personal::{Holding, Kind, holdings, holdings_of};
use auscult_store::private;
use auscult_store::retention::{Period, Retention, TableTtl, of_store};
use auscult_store::spool::{DeadLetter, Files, dead_letters, waiting_segments};
use clap::Args;
use indicatif::HumanBytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Configuration file.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// Directory of the embedded store and the spool, as for `run`.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// A file or directory with rows or names in it.
#[derive(Debug, Serialize)]
struct StoredFile {
    path: PathBuf,
    holds: &'static str,
    kept: &'static str,
    rows: Option<u64>,
    bytes: u64,
    /// When its oldest row was stored, seconds since 1970.
    oldest: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Report {
    made_at: String,
    probe: String,
    site: String,
    /// The data directory, or the address of the server and its database.
    store: String,
    tables: Vec<Holding>,
    files: Vec<StoredFile>,
    /// Tables whose period in the store is not the configured one; the next start of the program applies it.
    not_applied_yet: Vec<String>,
    /// `clear`, `masked` or `pseudonym`.
    numbers: &'static str,
    /// Of calls without a trunk, and of trunks that are not listed: `off`, `headers` or `whole`.
    sip_messages: &'static str,
    sip_messages_of_trunks: BTreeMap<String, &'static str>,
    headers_stored_as_they_came: Vec<String>,
    emergency_numbers: usize,
    never_stored: &'static str,
}

const NEVER_STORED: &str = "audio, digits that were dialled in a call, keys, passwords and other credentials";

pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let mut config = args.config.as_deref().map_or_else(Config::default_config, Config::load)?;
    if let Some(data) = &args.data {
        config.store.data.clone_from(data);
    }
    if config.store.data.is_dir() {
        check_owner(&config.store.data)?;
    }
    private::restrict_umask();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let mut out = std::io::stdout().lock();
    let done = runtime.block_on(report(&config)).and_then(|report| {
        match args.format {
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, &report)?;
                writeln!(out)?;
            }
            Format::Text => print(&report, &mut out)?,
        }
        Ok(out.flush()?)
    });
    drop(out);
    // The embedded engine does not survive exit handlers.
    super::run::exit_now(done.map_or_else(|error| super::report(&error), |()| 0))
}

/// How long rows are kept, for `auscult doctor`: of a running program, or of a server.
pub(super) fn periods(config: &Config) -> Found {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Found::Unknown("cannot start threads".to_owned());
    };
    let asked = async {
        let client = match &config.store.server {
            Some(_) => Some(backend(config)?.open()?.reader()),
            None => local_client(&config.store.data)?,
        };
        match client {
            Some(client) => anyhow::Ok(Some(of_store(&client).await?)),
            None => Ok(None),
        }
    };
    match runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await }) {
        Ok(Ok(Some(tables))) => {
            let kept = |ttl: TableTtl| match ttl.period {
                Some(period) => format!("{} {period}", ttl.table),
                None if ttl.ttl.is_empty() => format!("{} for ever", ttl.table),
                None => format!("{} by {}", ttl.table, ttl.ttl),
            };
            let tables = tables.into_iter().filter(|ttl| ttl.stored_column().is_some());
            Found::Good(tables.map(kept).collect::<Vec<_>>().join("; "))
        }
        Ok(Ok(None)) => {
            Found::Unknown("no program runs on this data directory; `auscult privacy report` opens it".to_owned())
        }
        Ok(Err(error)) => Found::Unknown(super::one_line(&error)),
        Err(_) => Found::Unknown(format!("the store does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// How long `auscult doctor` waits for a server.
const PATIENCE: Duration = Duration::from_secs(5);

async fn report(config: &Config) -> anyhow::Result<Report> {
    let data = &config.store.data;
    let (store, tables) = match &config.store.server {
        Some(server) => {
            let tables = holdings(&backend(config)?.open()?).await?;
            (format!("{} database {}", server.url, server.database), tables)
        }
        None => {
            let tables = match local_client(data)? {
                Some(client) => {
                    let ttls = of_store(&client).await?;
                    holdings_of(&client, ttls, "auscult").await?
                }
                None => holdings(&backend(config)?.open()?).await?,
            };
            (data.join("clickhouse").display().to_string(), tables)
        }
    };
    let of_trunks = config.policy.messages.of_trunks.iter().map(|(trunk, kept)| (trunk.clone(), kept.name()));
    Ok(Report {
        made_at: super::wall_clock().to_rfc3339(),
        probe: config.labels.probe.clone(),
        site: config.labels.site.clone(),
        store,
        not_applied_yet: not_applied(&tables, &config.retention.periods),
        tables,
        files: files(data)?,
        numbers: config.policy.privacy.mode().name(),
        sip_messages: config.policy.messages.usual.name(),
        sip_messages_of_trunks: of_trunks.collect(),
        headers_stored_as_they_came: config.policy.keep_headers.clone(),
        emergency_numbers: config.retention.emergency_numbers.len(),
        never_stored: NEVER_STORED,
    })
}

/// Tables whose period the next start changes.
fn not_applied(tables: &[Holding], wanted: &Retention) -> Vec<String> {
    let differs = |table: &str| {
        let (family, period) = wanted.0.iter().find(|(family, _)| family.tables().contains(&table))?;
        let found = tables.iter().find(|holding| holding.table == table)?;
        let emergency = family.is_of_calls() && found.emergency_days.is_some();
        let period = if emergency { *period } else { Period::same(period.days) };
        let same =
            found.days == Some(period.days) && found.emergency_days.is_none_or(|days| days == period.emergency_days);
        (!same).then(|| format!("{table}: {period} from the next start on"))
    };
    wanted.0.keys().flat_map(|family| family.tables()).filter_map(|table| differs(table)).collect()
}

fn files(data: &Path) -> anyhow::Result<Vec<StoredFile>> {
    let spool = data.join("spool");
    let cannot = || format!("cannot read {}", spool.display());
    let of = |letters: Vec<DeadLetter>, path: PathBuf, kept| StoredFile {
        path,
        holds: "rows of all tables on their way to the store",
        kept,
        rows: Some(letters.iter().map(|letter| u64::from(letter.rows)).sum()),
        bytes: letters.iter().map(|letter| letter.bytes).sum(),
        oldest: letters.iter().filter_map(|letter| letter.stored_at).min(),
    };
    let mut found = vec![
        of(waiting_segments(&Files, &spool).with_context(cannot)?, spool.clone(), "until the store has them"),
        of(
            dead_letters(&Files, &spool).with_context(cannot)?,
            spool.join("dead_letter"),
            "until they are delivered again, or 256 MiB of newer ones push them out",
        ),
    ];
    for (name, holds, kept) in [
        (
            "alerts.json",
            "alerts that go on and notifications on their way: groups and identities of calls",
            "while they go on",
        ),
        ("replays.json", "names of captures that were replayed", "until the file is removed"),
    ] {
        let path = data.join(name);
        if let Ok(about) = std::fs::metadata(&path) {
            found.push(StoredFile { path, holds, kept, rows: None, bytes: about.len(), oldest: None });
        }
    }
    let access = directory(data);
    if access.is_dir() {
        found.push(StoredFile {
            bytes: bytes_in(&access),
            path: access,
            holds: "users and tokens (passwords and tokens as hashes); the audit log: who saw or changed what, from which address, numbers as keyed hashes",
            kept: "users until they are removed, rows of the audit log for access.audit_keep_days",
            rows: None,
            oldest: None,
        });
    }
    Ok(found)
}

/// Bytes of the files of a directory and those one below.
fn bytes_in(dir: &Path) -> u64 {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let size =
        |path: &Path| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map_or(0, |about| about.len());
    entries(dir).map(|path| size(&path) + entries(&path).map(|path| size(&path)).sum::<u64>()).sum()
}

fn print(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let site = if report.site.is_empty() { String::new() } else { format!(" at {}", report.site) };
    writeln!(out, "personal data stored by the probe {}{site}, {}", report.probe, report.made_at)?;
    writeln!(out, "store: {}\n", report.store)?;
    for holding in &report.tables {
        let mut kinds: BTreeMap<Kind, Vec<&str>> = BTreeMap::new();
        for (column, kind) in &holding.columns {
            kinds.entry(*kind).or_default().push(column);
        }
        let since = match (holding.oldest, holding.newest) {
            (Some(oldest), Some(newest)) => format!(", stored from {} to {}", day(oldest), day(newest)),
            _ => String::new(),
        };
        let bytes = HumanBytes(holding.bytes);
        writeln!(out, "{}: {} rows, {bytes}{since}", holding.table, holding.rows)?;
        writeln!(out, "  kept: {}", kept(holding))?;
        if kinds.is_empty() {
            writeln!(out, "  personal data: none ({})", holding.erased)?;
            continue;
        }
        for (kind, columns) in kinds {
            writeln!(out, "  {}: {}", kind.words(), columns.join(", "))?;
        }
        writeln!(out, "  auscult erase: {}", holding.erased)?;
    }
    writeln!(out, "\nfiles")?;
    for file in &report.files {
        let rows = file.rows.map_or_else(String::new, |rows| format!("{rows} rows, "));
        let since = file.oldest.map_or_else(String::new, |at| format!(", from {}", day(at)));
        writeln!(out, "{}: {rows}{}{since}", file.path.display(), HumanBytes(file.bytes))?;
        writeln!(out, "  holds: {}\n  kept: {}", file.holds, file.kept)?;
    }
    writeln!(out)?;
    for line in &report.not_applied_yet {
        writeln!(out, "not applied yet: {line}")?;
    }
    writeln!(out, "numbers, names and Call-IDs: {} (docs/security.md)", report.numbers)?;
    writeln!(out, "SIP messages, by the allow-list: {}", report.sip_messages)?;
    for (trunk, kept) in &report.sip_messages_of_trunks {
        writeln!(out, "  of trunk {trunk}: {kept}")?;
    }
    if !report.headers_stored_as_they_came.is_empty() {
        writeln!(out, "headers stored as they came: {}", report.headers_stored_as_they_came.join(", "))?;
    }
    writeln!(out, "emergency calls: urn:service:sos and {} configured numbers", report.emergency_numbers)?;
    writeln!(out, "never stored: {}", report.never_stored)
}

fn kept(holding: &Holding) -> String {
    match (holding.days, holding.emergency_days) {
        (Some(days), Some(emergency)) if emergency != days => {
            format!("{days} days, rows of emergency calls {emergency} days")
        }
        (Some(days), _) => format!("{days} days"),
        (None, _) if holding.ttl.is_empty() => "for ever".to_owned(),
        (None, _) => format!("by the expression `{}`", holding.ttl),
    }
}

fn day(seconds: u32) -> String {
    let text = Timestamp::from_secs(i64::from(seconds)).to_rfc3339();
    text.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_store::retention::Family;

    fn holding(table: &str, days: Option<u32>, emergency_days: Option<u32>, ttl: &str) -> Holding {
        Holding {
            table: table.to_owned(),
            rows: 3,
            bytes: 2048,
            oldest: Some(0),
            newest: Some(86_400),
            ttl: ttl.to_owned(),
            days,
            emergency_days,
            columns: vec![("caller_user".to_owned(), Kind::Numbers)],
            erased: "rows are deleted",
        }
    }

    #[test]
    fn periods_are_shown_as_the_store_has_them() {
        let cases = [
            (Some(7), None, "", "7 days"),
            (Some(7), Some(7), "", "7 days"),
            (Some(7), Some(9), "", "7 days, rows of emergency calls 9 days"),
            (None, None, "", "for ever"),
            (None, None, "stored_at + toIntervalMonth(2)", "by the expression `stored_at + toIntervalMonth(2)`"),
        ];
        for (days, emergency, ttl, words) in cases {
            assert_eq!(kept(&holding("calls", days, emergency, ttl)), words);
        }
        assert_eq!((day(0), day(86_400)), ("1970-01-01".to_owned(), "1970-01-02".to_owned()));
    }

    #[test]
    fn a_configured_period_that_the_store_has_not_yet_is_named() {
        let wanted = Retention(BTreeMap::from([(Family::Calls, Period { days: 30, emergency_days: 365 })]));
        let tables = [
            holding("calls", Some(30), Some(365), ""),
            holding("call_counts_5m", Some(90), None, ""),
            holding("call_counts_1h", Some(30), None, ""),
            holding("streams", Some(90), Some(90), ""),
        ];
        let expected = ["call_counts_5m: 30 days from the next start on"];
        assert_eq!(not_applied(&tables, &wanted), expected);
    }
}
