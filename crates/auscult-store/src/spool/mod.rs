//! The spool: batches as files, from the moment they are synced until the store has acknowledged them.
//!
//! A file is written under another name, synced, renamed, and the directory synced: then, and only then, its rows
//! are safe. What does not fit pushes out the oldest batch of the least precious table, and is counted.
//!
//! A segment that the store refuses is replaced by two with half of its rows each ([`Spool::replace`]). The removal of the
//! whole one decides: before it, the halves are removed at the next start; after it, they are segments like others.
//!
//! A segment from which rows are erased ([`Spool::erase`]) is written anew under its number with fewer rows in its name. Where both
//! files are found, the one with more rows is removed.

mod dead_letters;
mod disk;
mod erase;
mod segment;
mod upgrade;

pub use dead_letters::{DeadLetter, Redelivered, Removed, dead_letters, removed_rows, waiting_segments};
pub use disk::{Disk, Files};
pub use erase::{EditRows, EraseFailure, SpoolFiles};
pub use segment::{BadSegment, Batch, EncodedBatch, decode, encode, encode_batch, encode_replayed};
pub use upgrade::{Clean, Resanitised};

use super::StoreError;
use super::rows::Table;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much the spool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Bytes of segments waiting for delivery.
    pub bytes: u64,
    /// Bytes of damaged and refused segments kept for a person to look at; the oldest go first.
    pub dead_letter_bytes: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        SpoolLimits { bytes: 8 << 30, dead_letter_bytes: 256 << 20 }
    }
}

/// A segment that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub number: u64,
    pub table: Table,
    pub rows: u32,
    pub bytes: u64,
    /// Failed deliveries since the program started.
    pub attempts: u32,
    /// Left by an earlier run, which may have ended in the middle of its delivery.
    pub inherited: bool,
    /// The segment of which this is a part.
    pub half_of: Option<u64>,
}

/// A segment taken back for its delivery.
#[derive(Debug)]
pub enum Loaded {
    Batch(Batch),
    /// Not a segment any more; now in the dead letters.
    Damaged(BadSegment),
    /// Kept in place: of a newer format, or unreadable for now.
    Kept(String),
}

/// Segments on disk, oldest first.
pub struct Spool {
    dir: PathBuf,
    limits: SpoolLimits,
    disk: Arc<dyn Disk>,
    waiting: BTreeMap<u64, Segment>,
    /// Being delivered: must not be pushed out.
    in_flight: Option<u64>,
    bytes: u64,
    next_number: u64,
    /// Delivered, but the file could not be removed yet.
    leftovers: Vec<PathBuf>,
    /// A segment was replaced by its halves, and the directory is not synced yet.
    unsynced: bool,
    /// Dead letters removed to keep their bound, until they are counted.
    trimmed: Vec<Removed>,
    /// Different in every run, so that numbers may repeat.
    run: u128,
    _lock: Option<std::fs::File>,
}

impl Spool {
    /// Opens (or creates) a spool on the file system; another process on the same directory is refused.
    pub fn open(dir: &Path, limits: SpoolLimits) -> Result<Spool, StoreError> {
        let io = |what: &'static str| move |source| StoreError::Io { what, path: dir.to_path_buf(), source };
        Files.create_dir(dir).map_err(io("create the spool directory"))?;
        let lock = super::private::open_lock_file(&dir.join("spool.lock")).map_err(io("lock the spool directory"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { dir: dir.to_path_buf(), process: None });
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(io("lock the spool directory")(e)),
        }
        let mut spool = Spool::open_on(Arc::new(Files), dir, limits).map_err(io("read the spool directory"))?;
        spool._lock = Some(lock);
        let dead = Files.list(&dir.join("dead_letter")).map_err(io("read the spool directory"))?;
        if spool.waiting.is_empty() && dead.is_empty() {
            let _ = Files.write_synced(&dir.join(upgrade::MARKER), b"");
        }
        Ok(spool)
    }

    /// Opens a spool on any [`Disk`], without a lock.
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, limits: SpoolLimits) -> io::Result<Spool> {
        disk.create_dir(dir)?;
        disk.create_dir(&dir.join("dead_letter"))?;
        let mut spool = Spool {
            dir: dir.to_path_buf(),
            limits,
            disk,
            waiting: BTreeMap::new(),
            in_flight: None,
            bytes: 0,
            next_number: 1,
            leftovers: Vec::new(),
            unsynced: false,
            trimmed: Vec::new(),
            run: random(),
            _lock: None,
        };
        // A buried segment keeps its number, so that a later one does not take its place.
        for (name, _) in spool.disk.list(&dir.join("dead_letter"))? {
            let buried = parse_name(&name).map_or(0, |named| named.number);
            spool.next_number = spool.next_number.max(buried + 1);
        }
        for (name, bytes) in spool.disk.list(dir)? {
            if name.ends_with(".tmp") {
                // Never synced, so never claimed.
                spool.disk.remove(&dir.join(&name))?;
            } else if let Some(named) = parse_name(&name) {
                spool.next_number = spool.next_number.max(named.number + 1);
                let found = Segment { bytes, inherited: true, ..named };
                // Two of one number: rows were erased from a segment, and the program ended before the older file was gone.
                match spool.waiting.get(&found.number).cloned() {
                    Some(other) if other.rows < found.rows => spool.disk.remove(&dir.join(&name))?,
                    other => {
                        if let Some(older) = other {
                            spool.disk.remove(&spool.path_of(&older))?;
                            spool.bytes -= older.bytes;
                        }
                        spool.bytes += bytes;
                        spool.waiting.insert(found.number, found);
                    }
                }
            }
        }
        // A half whose whole is still there belongs to a split that was not finished: the whole has its rows.
        let unfinished = |half: &&Segment| half.half_of.is_some_and(|whole| spool.waiting.contains_key(&whole));
        let unfinished: Vec<Segment> = spool.waiting.values().filter(unfinished).cloned().collect();
        for half in unfinished {
            spool.disk.remove(&spool.path_of(&half))?;
            spool.waiting.remove(&half.number);
            spool.bytes -= half.bytes;
        }
        Ok(spool)
    }

    /// A number and a token for the next batch. The token stays with its rows whatever becomes of the file.
    pub fn next_ticket(&mut self) -> (u64, String) {
        let number = self.next_number;
        self.next_number += 1;
        (number, format!("{:032x}-{number}", self.run))
    }

    /// Makes room for a batch. Pushes out the oldest segments of the least precious tables, never of a more precious
    /// one than the batch's own; the batch gets no place when everything else is more precious.
    pub fn make_room(&mut self, batch: &EncodedBatch) -> Room {
        let mut pushed_out = Vec::new();
        let bytes = batch.bytes.len() as u64;
        while self.bytes + bytes > self.limits.bytes {
            match self.least_precious().filter(|least| least.table >= batch.table) {
                Some(least) => {
                    self.forget(least.number);
                    pushed_out.push(least);
                }
                None => return Room { pushed_out, place: None },
            }
        }
        let (disk, dir) = (Arc::clone(&self.disk), self.dir.clone());
        let path = self.path_of(&segment_of(batch));
        Room { pushed_out, place: Some(SegmentFile { disk, dir, path }) }
    }

    /// The batch was written to its place: from now on it waits for delivery.
    pub fn stored(&mut self, batch: &EncodedBatch) {
        self.bytes += batch.bytes.len() as u64;
        self.waiting.insert(batch.number, segment_of(batch));
        self.remove_leftovers();
    }

    /// The next segment to deliver among those `ready` says may go: calls and streams first, then the oldest.
    pub fn next(&mut self, mut ready: impl FnMut(&Segment) -> bool) -> Option<Segment> {
        self.sync_removals();
        let unsynced = self.unsynced;
        let best = self
            .waiting
            .values()
            .filter(|s| !(unsynced && s.half_of.is_some()) && ready(s))
            .min_by_key(|s| {
                // The newest half first: a refused row is found before other pieces are divided.
                let order = if s.half_of.is_some() { u64::MAX - s.number } else { s.number };
                (!s.table.is_summary(), s.half_of.is_none(), order)
            })?
            .clone();
        self.in_flight = Some(best.number);
        Some(best)
    }

    /// Reads a segment for delivery.
    pub fn load(&mut self, segment: &Segment) -> Loaded {
        let path = self.path_of(segment);
        match self.disk.read(&path).map(|bytes| decode(&bytes)) {
            Ok(Ok(batch)) if batch.format < segment::FIRST_CLEAN => Loaded::Kept(format!(
                "{}: written by an earlier version and not cleaned of secrets yet; the next start does it",
                path.display()
            )),
            Ok(Ok(batch)) if (batch.table, batch.rows) == (segment.table, segment.rows) => Loaded::Batch(batch),
            Ok(Ok(_)) => self.bury_damaged(segment, BadSegment::Damaged("name and contents differ")),
            Ok(Err(BadSegment::Newer(version))) => {
                Loaded::Kept(format!("{}: {}", path.display(), BadSegment::Newer(version)))
            }
            Ok(Err(damage)) => self.bury_damaged(segment, damage),
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.bury_damaged(segment, BadSegment::Damaged("removed")),
            Err(e) => Loaded::Kept(format!("cannot read {}: {e}", path.display())),
        }
    }

    /// The store has it: the file goes.
    pub fn acknowledge(&mut self, number: u64) {
        self.forget(number);
    }

    /// One more failed delivery; returns how many it are now.
    pub fn failed(&mut self, number: u64) -> u32 {
        self.in_flight = None;
        self.waiting.get_mut(&number).map_or(0, |segment| {
            segment.attempts += 1;
            segment.attempts
        })
    }

    /// Two numbers for the halves of a segment, which is not pushed out until [`Spool::replace`] or [`Spool::failed`].
    pub fn begin_split(&mut self, number: u64) -> [u64; 2] {
        self.in_flight = Some(number);
        let first = self.next_number;
        self.next_number += 2;
        [first, first + 1]
    }

    /// Whether a segment still has the rows that were read from it.
    pub fn holds(&self, number: u64, batch: &Batch) -> bool {
        let read = self.waiting.get(&number).and_then(|segment| self.disk.read(&self.path_of(segment)).ok());
        read.is_some_and(|bytes| decode(&bytes).as_ref() == Ok(batch))
    }

    /// Where a half goes. The bound of the spool is not asked: its whole goes in exchange.
    pub fn place_of(&self, half: &EncodedBatch) -> SegmentFile {
        SegmentFile { disk: Arc::clone(&self.disk), dir: self.dir.clone(), path: self.path_of(&segment_of(half)) }
    }

    /// Puts two halves, which were written to their places, in the place of their whole.
    ///
    /// # Errors
    /// The whole is still there and waits as before; the halves are gone, or go at the next start.
    pub fn replace(&mut self, number: u64, halves: &[EncodedBatch; 2]) -> io::Result<()> {
        self.in_flight = None;
        let removed = match self.waiting.get(&number) {
            Some(whole) => self.disk.remove(&self.path_of(whole)),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if let Err(error) = removed {
            self.abandon(halves);
            return Err(error);
        }
        if let Some(whole) = self.waiting.remove(&number) {
            self.bytes = self.bytes.saturating_sub(whole.bytes);
        }
        for half in halves {
            self.bytes += half.bytes.len() as u64;
            self.waiting.insert(half.number, segment_of(half));
        }
        // Before a half is delivered its whole must not come back, not even after a power cut.
        self.unsynced = true;
        self.sync_removals();
        Ok(())
    }

    /// Removes what was written of halves that are not wanted any more.
    pub fn abandon(&mut self, halves: &[EncodedBatch]) {
        for half in halves {
            let path = self.path_of(&segment_of(half));
            if self.disk.remove(&path).is_err() {
                self.leftovers.push(path);
            }
        }
    }

    /// Makes the removal of split segments last; tried again until it worked.
    fn sync_removals(&mut self) {
        if self.unsynced && self.disk.sync_dir(&self.dir).is_ok() {
            self.unsynced = false;
        }
    }

    /// Moves a segment out of the way, with the reason beside it.
    pub fn dead_letter(&mut self, number: u64, why: &str) {
        self.in_flight = None;
        let Some(segment) = self.waiting.remove(&number) else { return };
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        self.move_to_dead_letters(&segment, why);
    }

    /// A number that no other run of a spool has.
    pub fn run(&self) -> u128 {
        self.run
    }

    /// Segments that wait, and their rows and bytes.
    pub fn size(&self) -> SpoolSize {
        SpoolSize {
            segments: self.waiting.len() as u64,
            rows: self.waiting.values().map(|s| u64::from(s.rows)).sum(),
            bytes: self.bytes,
        }
    }

    /// Numbers of the oldest and the newest segment that wait.
    pub fn waiting_numbers(&self) -> Option<(u64, u64)> {
        Some((*self.waiting.first_key_value()?.0, *self.waiting.last_key_value()?.0))
    }

    fn bury_damaged(&mut self, segment: &Segment, damage: BadSegment) -> Loaded {
        self.dead_letter(segment.number, &damage.to_string());
        Loaded::Damaged(damage)
    }

    fn least_precious(&self) -> Option<Segment> {
        let movable = self.waiting.values().filter(|s| Some(s.number) != self.in_flight);
        movable.max_by_key(|s| (s.table, std::cmp::Reverse(s.number))).cloned()
    }

    fn forget(&mut self, number: u64) {
        if self.in_flight == Some(number) {
            self.in_flight = None;
        }
        if let Some(segment) = self.waiting.remove(&number) {
            self.bytes = self.bytes.saturating_sub(segment.bytes);
            self.leftovers.push(self.path_of(&segment));
            self.remove_leftovers();
        }
    }

    /// A file that cannot be removed now (read-only disk) is tried again; delivered twice, its token makes it one.
    fn remove_leftovers(&mut self) {
        let disk = &self.disk;
        self.leftovers.retain(|path| match disk.remove(path) {
            Ok(()) => false,
            Err(e) => e.kind() != io::ErrorKind::NotFound,
        });
    }

    fn path_of(&self, segment: &Segment) -> PathBuf {
        self.dir.join(file_name(segment))
    }
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolSize {
    pub segments: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// What [`Spool::make_room`] found.
pub struct Room {
    /// Segments that are gone now, to be counted.
    pub pushed_out: Vec<Segment>,
    /// Where the batch goes; `None` when it is the least precious of all and has to go itself.
    pub place: Option<SegmentFile>,
}

/// A place for one segment. Writing needs no lock on the spool: a sync can take long.
pub struct SegmentFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    path: PathBuf,
}

impl SegmentFile {
    /// Writes a batch so that it survives a crash.
    ///
    /// # Errors
    /// The batch is not safe; it may be written again, anew, with the same token.
    pub fn write(&self, batch: &EncodedBatch) -> io::Result<()> {
        let temporary = self.path.with_extension("tmp");
        let written = self
            .disk
            .write_synced(&temporary, &batch.bytes)
            .and_then(|()| self.disk.rename(&temporary, &self.path))
            .and_then(|()| self.disk.sync_dir(&self.dir));
        if written.is_err() {
            // Whichever name it has now, it is not claimed. If removing fails too, a later start finds either a
            // temporary file (removed) or the same rows under the same token (delivered once).
            let _ = self.disk.remove(&temporary);
            let _ = self.disk.remove(&self.path);
        }
        written
    }
}

fn segment_of(batch: &EncodedBatch) -> Segment {
    Segment {
        number: batch.number,
        table: batch.table,
        rows: batch.rows,
        bytes: batch.bytes.len() as u64,
        attempts: 0,
        inherited: false,
        half_of: batch.half_of,
    }
}

fn file_name(segment: &Segment) -> String {
    let Segment { number, table, rows, half_of, .. } = segment;
    let part = half_of.map_or_else(String::new, |whole| format!("-of-{whole:016x}"));
    format!("{number:016x}-{}-{rows}{part}.seg", table.name())
}

/// What the name of a file says; its size and state are not known by it.
fn parse_name(name: &str) -> Option<Segment> {
    let mut parts = name.strip_suffix(".seg")?.split('-');
    // Numbers count up from 1: the spool never writes one so large, and the next one would overflow.
    let number = u64::from_str_radix(parts.next()?, 16).ok().filter(|number| *number < 1 << 63)?;
    let table = Table::from_name(parts.next()?)?;
    let rows = parts.next()?.parse().ok()?;
    let half_of = match parts.next() {
        None => None,
        Some("of") => Some(u64::from_str_radix(parts.next()?, 16).ok()?),
        Some(_) => return None,
    };
    let segment = Segment { number, table, rows, bytes: 0, attempts: 0, inherited: false, half_of };
    parts.next().is_none().then_some(segment)
}

fn random() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || u128::from(RandomState::new().build_hasher().finish());
    (half() << 64) | half()
}

#[cfg(test)]
mod tests;
