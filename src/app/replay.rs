//! The ledger of replayed captures: a capture is stored once, also when the program dies in the middle of it.
//!
//! A replay is entered before its first row and marked done after its last. One that was begun and not ended
//! is replayed again, and rows that are in the store already (the same capture gives the same rows) are left out.

use anyhow::Context;
use auscult_core::model::Labels;
use auscult_core::units::Timestamp;
use auscult_store::rows::{
    AlertRow, CallGroupRow, CallRow, CaptureRow, IntervalRow, MediaGroupRow, Record, RtcpRow, SipMessageRow, StreamRow,
    row_spans,
};
use auscult_store::spool::{Files, dead_letters, decode, removed_rows};
use auscult_store::{Table, private};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes at both ends of a file that identify it, together with its size.
const ENDS: u64 = 1 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    #[serde(skip)]
    path: PathBuf,
    /// By fingerprint of the files taken together.
    replays: BTreeMap<String, Replay>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Replay {
    files: Vec<String>,
    begun_at: String,
    done: bool,
}

/// Rows of a replay that the store does not have, by table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Set aside in the dead letters.
    pub kept: BTreeMap<String, u64>,
    /// Set aside by an earlier version, which did not note whose rows they are; perhaps of this replay.
    pub perhaps: BTreeMap<String, u64>,
    /// Set aside, and removed since because dead letters were over their bound.
    pub removed: BTreeMap<String, u64>,
}

impl Missing {
    /// What a spool directory says about a replay.
    pub fn of(spool: &Path, fingerprint: &str, begun: Timestamp) -> anyhow::Result<Missing> {
        let letters = dead_letters(&Files, spool).with_context(|| format!("cannot read {}", spool.display()))?;
        let mut missing = Missing { removed: removed_rows(&Files, spool, fingerprint), ..Missing::default() };
        for letter in letters {
            let since = letter.stored_at.is_none_or(|at| i64::from(at) >= from_second(begun));
            let place = match &letter.replay {
                Some(replay) if replay == fingerprint => &mut missing.kept,
                None if since => &mut missing.perhaps,
                _ => continue,
            };
            *place.entry(letter.table.to_owned()).or_default() += u64::from(letter.rows);
        }
        Ok(missing)
    }

    /// One line: what is missing and how it is delivered; `None` when nothing is.
    pub fn status_line(&self, data: &Path) -> Option<String> {
        let mut parts = Vec::new();
        if !self.kept.is_empty() {
            parts.push(format!("{} of these captures are not in the store, which refused them", listed(&self.kept)));
        }
        if !self.perhaps.is_empty() {
            parts.push(format!("{}, perhaps of these captures, are not in the store", listed(&self.perhaps)));
        }
        (!parts.is_empty()).then(|| {
            format!(
                "{}; they are kept in {}: `auscult spool list` says why, `auscult spool redeliver --data {}` and the next \
                 run deliver them again",
                parts.join("; "),
                data.join("spool/dead_letter").display(),
                data.display()
            )
        })
    }
}

/// Rows by table in words.
pub fn listed(rows: &BTreeMap<String, u64>) -> String {
    rows.iter()
        .map(|(table, n)| format!("{n} row{} of {table}", if *n == 1 { "" } else { "s" }))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What the ledger says about a replay.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    New,
    /// Begun at this time, not ended.
    Unfinished(Timestamp),
    /// Begun at this time, and all of its rows are in the store or the spool.
    Done(Timestamp),
}

impl Ledger {
    pub fn open(dir: &Path) -> anyhow::Result<Ledger> {
        private::create_dir(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join("replays.json");
        let mut ledger = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; remove it to replay everything again", path.display()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ledger::default(),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        ledger.path = path;
        Ok(ledger)
    }

    pub fn known(&self, fingerprint: &str) -> Known {
        let Some(replay) = self.replays.get(fingerprint) else { return Known::New };
        let begun = Timestamp::parse_rfc3339(&replay.begun_at).unwrap_or(Timestamp::MIN);
        if replay.done { Known::Done(begun) } else { Known::Unfinished(begun) }
    }

    /// The files' names when the replay was begun: part of what its rows are known by.
    pub fn name(&self, fingerprint: &str) -> Option<String> {
        self.replays.get(fingerprint).map(|replay| replay.files.join(", "))
    }

    /// Its rows are not in the store any more: it was never replayed.
    pub fn forget(&mut self, fingerprint: &str) {
        self.replays.remove(fingerprint);
    }

    /// Rows of it are missing: the next run goes on with it, and leaves out what is stored.
    pub fn reopen(&mut self, fingerprint: &str) -> anyhow::Result<()> {
        if let Some(replay) = self.replays.get_mut(fingerprint) {
            replay.done = false;
        }
        self.save()
    }

    /// Enters a replay that begins; one that was begun before keeps its first time.
    pub fn begin(&mut self, fingerprint: &str, files: &[PathBuf], now: Timestamp) -> anyhow::Result<()> {
        let files = files.iter().map(|f| f.display().to_string()).collect();
        self.replays.entry(fingerprint.to_owned()).or_insert(Replay { files, begun_at: now.to_rfc3339(), done: false });
        self.save()
    }

    pub fn done(&mut self, fingerprint: &str) -> anyhow::Result<()> {
        if let Some(replay) = self.replays.get_mut(fingerprint) {
            replay.done = true;
        }
        self.save()
    }

    fn save(&self) -> anyhow::Result<()> {
        let save = || -> std::io::Result<()> {
            let scratch = self.path.with_extension("json.new");
            let mut file = private::create_file(&scratch)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            std::fs::rename(&scratch, &self.path)
        };
        save().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Identifies captures in a store: its name, and of each file size and both ends. `None` for what cannot be read
/// twice (standard input, pipes).
pub fn fingerprint(store: &str, files: &[PathBuf]) -> anyhow::Result<Option<String>> {
    let mut hash = Sha256::new();
    hash.update((store.len() as u64).to_le_bytes());
    hash.update(store);
    for path in files {
        if path.as_os_str() == "-" {
            return Ok(None);
        }
        let cannot = || format!("cannot open {}", path.display());
        let mut file = std::fs::File::open(path).with_context(cannot)?;
        let meta = file.metadata().with_context(cannot)?;
        if !meta.is_file() {
            return Ok(None);
        }
        hash.update(meta.len().to_le_bytes());
        let mut ends = Vec::new();
        Read::by_ref(&mut file).take(ENDS).read_to_end(&mut ends).with_context(cannot)?;
        hash.update(&ends);
        if meta.len() > 2 * ENDS {
            file.seek(SeekFrom::End(-(ENDS as i64))).with_context(cannot)?;
            ends.clear();
            file.take(ENDS).read_to_end(&mut ends).with_context(cannot)?;
            hash.update(&ends);
        }
    }
    Ok(Some(hash.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}

/// Seconds before the ledger's time from which rows are looked for: `stored_at` has whole seconds, and a clock may
/// have been set back. Looking at too many rows costs nothing but time.
const EARLIER: i64 = 60;

/// Whether the store has any row of a replay begun at this time; retention may have taken them all, or a person.
pub async fn is_stored(client: &clickhouse::Client, labels: &Labels, begun: Timestamp) -> anyhow::Result<bool> {
    let sql = format!(
        "SELECT count() FROM capture_intervals WHERE stored_at >= toDateTime({}) AND probe = ?",
        from_second(begun)
    );
    let count = client.query(&sql).bind(&labels.probe).fetch_one::<u64>().await;
    Ok(count.context("cannot ask the store for its captures")? > 0)
}

fn from_second(begun: Timestamp) -> i64 {
    (begun.0 / 1_000_000_000 - EARLIER).max(0)
}

/// Rows of an unfinished replay that are stored already.
pub struct Stored {
    rows: HashSet<u64>,
    labels: Labels,
}

impl Stored {
    /// Asks the store for all rows stored since the replay began.
    pub async fn since(client: &clickhouse::Client, labels: &Labels, begun: Timestamp) -> anyhow::Result<Stored> {
        let mut rows = HashSet::new();
        for table in Table::ALL.map(Table::name) {
            let sql = format!(
                "SELECT row_id FROM {table} WHERE stored_at >= toDateTime({}) AND probe = ?",
                from_second(begun)
            );
            let found = client.query(&sql).bind(&labels.probe).fetch_all::<u64>().await;
            rows.extend(found.with_context(|| format!("cannot ask the store which rows of {table} it has"))?);
        }
        Ok(Stored { rows, labels: labels.clone() })
    }

    /// Counts rows in the dead letters as stored: `auscult spool redeliver` delivers those, and a second copy of them
    /// would be stored beside.
    pub fn set_aside(&mut self, spool: &Path) {
        let dir = spool.join("dead_letter");
        for letter in dead_letters(&Files, spool).unwrap_or_default() {
            let batch = std::fs::read(dir.join(&letter.file)).ok().and_then(|bytes| decode(&bytes).ok());
            let Some(batch) = batch else { continue };
            let spans = row_spans(batch.table, &batch.columns, batch.rows, &batch.payload).unwrap_or_default();
            self.rows.extend(spans.iter().filter_map(|span| span.key).map(|key| key.row_id));
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn has(&self, record: &Record) -> bool {
        let at = Timestamp::default();
        let id = match record {
            Record::Call(r) => CallRow::new(r, &self.labels, at).row_id,
            Record::Stream(r) => StreamRow::new(r, &self.labels, at).row_id,
            Record::Interval(r) => IntervalRow::new(r, &self.labels, at).row_id,
            Record::SipMessage(r) => SipMessageRow::new(r, &self.labels, at).row_id,
            Record::Rtcp(r) => RtcpRow::new(r, &self.labels, at).row_id,
            Record::Capture(r) => CaptureRow::new(r, &self.labels, at).row_id,
            Record::CallGroup(r) => CallGroupRow::new(r, &self.labels, at).row_id,
            Record::MediaGroup(r) => MediaGroupRow::new(r, &self.labels, at).row_id,
            Record::Alert(r) => AlertRow::new(r, &self.labels, at).row_id,
        };
        self.rows.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_new_then_unfinished_then_done() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.pcap");
        std::fs::write(&file, b"something").unwrap();
        let print = fingerprint("here", std::slice::from_ref(&file)).unwrap().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(ledger.known(&print), Known::New);
        ledger.begin(&print, std::slice::from_ref(&file), Timestamp::from_secs(5)).unwrap();
        let mut again = Ledger::open(dir.path()).unwrap();
        assert_eq!(again.known(&print), Known::Unfinished(Timestamp::from_secs(5)));
        again.begin(&print, std::slice::from_ref(&file), Timestamp::from_secs(9)).unwrap();
        assert_eq!(again.known(&print), Known::Unfinished(Timestamp::from_secs(5)));
        again.done(&print).unwrap();
        assert_eq!(Ledger::open(dir.path()).unwrap().known(&print), Known::Done(Timestamp::from_secs(5)));
        assert_ne!(fingerprint("elsewhere", std::slice::from_ref(&file)).unwrap().unwrap(), print);
        std::fs::write(&file, b"other").unwrap();
        assert_ne!(fingerprint("here", &[file]).unwrap().unwrap(), print);
        assert_eq!(fingerprint("here", &["-".into()]).unwrap(), None);
        again.forget(&print);
        assert_eq!(again.known(&print), Known::New);
    }
}
