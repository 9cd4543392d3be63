//! Segments set aside: damaged on disk, or refused by the store. They are kept for a person to look at and to deliver
//! again, within a bound; what is removed to keep the bound is noted, so that it can be said later.

use super::segment::{HEAD, about};
use super::{BadSegment, Disk, Segment, Spool, decode, file_name, parse_name};
use crate::rows::Table;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

pub(super) const FOLDER: &str = "dead_letter";

/// Rows of removed dead letters, by replay and table.
const REMOVED: &str = "removed.json";

/// Replays of which removed rows are remembered.
const REMOVED_REPLAYS: usize = 10_000;

/// A segment in the spool or set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Name of the file.
    pub file: String,
    pub table: &'static str,
    pub rows: u32,
    pub bytes: u64,
    /// Why it was set aside; empty for a segment that waits.
    pub reason: String,
    /// When its first row was stored, seconds since 1970; unknown for damaged headers and very old segments.
    pub stored_at: Option<u32>,
    /// The replay its rows come from, as `replays.json` names it.
    pub replay: Option<String>,
    /// `None` when it can be delivered again; otherwise what is wrong with the file.
    pub damage: Option<String>,
}

/// Rows of a dead letter that was removed to keep the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    pub table: Table,
    pub rows: u32,
}

/// What [`Spool::redeliver`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Redelivered {
    /// Wait in the spool now.
    pub moved: Vec<DeadLetter>,
    /// Stay where they are: damaged, of a newer format, or too large for what the spool may still take.
    pub kept: Vec<DeadLetter>,
}

/// The segments set aside in a spool directory, oldest first. Reads every file whole to see whether it is sound.
///
/// # Errors
/// The directory cannot be read; one that is not there holds nothing.
pub fn dead_letters(disk: &dyn Disk, spool: &Path) -> io::Result<Vec<DeadLetter>> {
    let dir = spool.join(FOLDER);
    listed(disk, &dir, |segment, name| {
        let read = disk.read(&dir.join(name));
        let checked = match &read {
            Ok(bytes) => match decode(bytes) {
                Ok(batch) if (batch.table, batch.rows) == (segment.table, segment.rows) => None,
                Ok(_) => Some(BadSegment::Damaged("name and contents differ").to_string()),
                Err(damage) => Some(damage.to_string()),
            },
            Err(e) => Some(format!("cannot read it: {e}")),
        };
        let why = disk.read(&dir.join(name).with_extension("why")).unwrap_or_default();
        let why = String::from_utf8_lossy(&why).trim().to_owned();
        described(&segment, name, why, checked, read.as_deref().unwrap_or_default())
    })
}

/// The segments that wait for delivery, oldest first. Reads their headers only.
///
/// # Errors
/// The directory cannot be read; one that is not there holds nothing.
pub fn waiting_segments(disk: &dyn Disk, spool: &Path) -> io::Result<Vec<DeadLetter>> {
    listed(disk, spool, |segment, name| {
        let head = disk.read_head(&spool.join(name), HEAD).unwrap_or_default();
        let damage = about(&head).is_none().then(|| "its header cannot be read".to_owned());
        described(&segment, name, String::new(), damage, &head)
    })
}

/// Rows of a replay whose dead letters were removed to keep the bound, by table.
pub fn removed_rows(disk: &dyn Disk, spool: &Path, replay: &str) -> BTreeMap<String, u64> {
    removed(disk, &spool.join(FOLDER)).remove(replay).unwrap_or_default()
}

fn listed(
    disk: &dyn Disk,
    dir: &Path,
    mut describe: impl FnMut(Segment, &str) -> DeadLetter,
) -> io::Result<Vec<DeadLetter>> {
    let mut files = match disk.list(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    files.sort();
    let segments =
        files.iter().filter_map(|(name, bytes)| Some((Segment { bytes: *bytes, ..parse_name(name)? }, name)));
    Ok(segments.map(|(segment, name)| describe(segment, name)).collect())
}

fn described(segment: &Segment, name: &str, reason: String, damage: Option<String>, head: &[u8]) -> DeadLetter {
    let about = about(head);
    DeadLetter {
        file: name.to_owned(),
        table: segment.table.name(),
        rows: segment.rows,
        bytes: segment.bytes,
        reason,
        stored_at: about.as_ref().and_then(|about| about.first).map(|first| first.stored_at),
        replay: about.and_then(|about| about.origin),
        damage,
    }
}

type ByReplay = BTreeMap<String, BTreeMap<String, u64>>;

/// A file that is damaged is as good as none: it only serves to say more.
fn removed(disk: &dyn Disk, dir: &Path) -> ByReplay {
    disk.read(&dir.join(REMOVED)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

impl Spool {
    /// Moves dead letters back among the segments that wait. Their tokens stay, and like all segments of an earlier run
    /// they are looked up in the store after it acknowledged them: rows that it has are not stored again.
    ///
    /// # Errors
    /// The directory cannot be read, or a file cannot be moved; those before it were moved.
    pub fn redeliver(&mut self) -> io::Result<Redelivered> {
        let mut done = Redelivered::default();
        let from = self.dir.join(FOLDER);
        for letter in dead_letters(&*self.disk, &self.dir)? {
            let Some(segment) = parse_name(&letter.file) else { continue };
            if letter.damage.is_some() || self.bytes + letter.bytes > self.limits.bytes {
                done.kept.push(letter);
                continue;
            }
            self.disk.rename(&from.join(&letter.file), &self.dir.join(&letter.file))?;
            let _ = self.disk.remove(&from.join(&letter.file).with_extension("why"));
            self.bytes += letter.bytes;
            self.waiting.insert(segment.number, Segment { bytes: letter.bytes, inherited: true, ..segment });
            done.moved.push(letter);
        }
        self.disk.sync_dir(&self.dir)?;
        self.disk.sync_dir(&from)?;
        Ok(done)
    }

    /// Forgets that dead letters of a replay were removed: it is replayed for their rows.
    pub fn forget_removed(&self, replay: &str) {
        let dir = self.dir.join(FOLDER);
        let mut noted = removed(&*self.disk, &dir);
        if noted.remove(replay).is_some() {
            self.save_removed(&dir, &noted);
        }
    }

    fn save_removed(&self, dir: &Path, noted: &ByReplay) {
        let scratch = dir.join("removed.tmp");
        let saved = serde_json::to_vec_pretty(noted)
            .map_err(io::Error::from)
            .and_then(|bytes| self.disk.write_synced(&scratch, &bytes))
            .and_then(|()| self.disk.rename(&scratch, &dir.join(REMOVED)));
        if let Err(error) = saved {
            tracing::warn!(%error, "cannot note which dead letters were removed");
        }
    }

    /// Dead letters removed since the last call.
    pub fn take_removed(&mut self) -> Vec<Removed> {
        std::mem::take(&mut self.trimmed)
    }

    pub(super) fn move_to_dead_letters(&mut self, segment: &Segment, why: &str) {
        let path = self.path_of(segment);
        let dir = self.dir.join(FOLDER);
        let name = file_name(segment);
        let reason = dir.join(&name).with_extension("why");
        let _ = self.disk.write_synced(&reason, format!("{why}\n").as_bytes());
        if self.disk.rename(&path, &dir.join(&name)).is_err() {
            self.leftovers.push(path);
        }
        self.trim_dead_letters(&dir);
    }

    /// Removes the oldest dead letters beyond their bound, and notes of which replay they were.
    fn trim_dead_letters(&mut self, dir: &Path) {
        let Ok(mut files) = self.disk.list(dir) else { return };
        files.retain(|(name, _)| name != REMOVED);
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        let mut noted = None;
        for (name, bytes) in files {
            if total <= self.limits.dead_letter_bytes {
                break;
            }
            let path = dir.join(&name);
            let head = self.disk.read_head(&path, HEAD).unwrap_or_default();
            if self.disk.remove(&path).is_err() {
                continue;
            }
            total -= bytes;
            let Some(segment) = parse_name(&name) else { continue };
            self.trimmed.push(Removed { table: segment.table, rows: segment.rows });
            let Some(origin) = about(&head).and_then(|about| about.origin) else { continue };
            let noted = noted.get_or_insert_with(|| removed(&*self.disk, dir));
            if noted.len() < REMOVED_REPLAYS || noted.contains_key(&origin) {
                *noted.entry(origin).or_default().entry(segment.table.name().to_owned()).or_default() +=
                    u64::from(segment.rows);
            }
        }
        if let Some(noted) = noted {
            self.save_removed(dir, &noted);
        }
    }
}
