//! The spool: batches as files, from the moment they are synced until the store has acknowledged them.
//!
//! A file is written under another name, synced, renamed, and the directory synced: then, and only then, its rows
//! are safe. What does not fit pushes out the oldest batch of the least precious table, and is counted.

mod disk;
mod segment;

pub use disk::{Disk, Files};
pub use segment::{BadSegment, Batch, Frozen, freeze, thaw};

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
            run: random(),
            _lock: None,
        };
        // A buried segment keeps its number, so that a later one does not take its place.
        for (name, _) in spool.disk.list(&dir.join("dead_letter"))? {
            let buried = parse_name(&name).map_or(0, |(number, ..)| number);
            spool.next_number = spool.next_number.max(buried + 1);
        }
        for (name, bytes) in spool.disk.list(dir)? {
            if name.ends_with(".tmp") {
                // Never synced, so never claimed.
                spool.disk.remove(&dir.join(&name))?;
            } else if let Some((number, table, rows)) = parse_name(&name) {
                spool.bytes += bytes;
                spool.next_number = spool.next_number.max(number + 1);
                spool.waiting.insert(number, Segment { number, table, rows, bytes, attempts: 0, inherited: true });
            }
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
    pub fn make_room(&mut self, batch: &Frozen) -> Room {
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
        Room { pushed_out, place: Some(Place { disk, dir, path }) }
    }

    /// The batch was written to its place: from now on it waits for delivery.
    pub fn stored(&mut self, batch: &Frozen) {
        self.bytes += batch.bytes.len() as u64;
        self.waiting.insert(batch.number, segment_of(batch));
        self.remove_leftovers();
    }

    /// The next segment to deliver among those `ready` says may go: calls and streams first, then the oldest.
    pub fn next(&mut self, mut ready: impl FnMut(&Segment) -> bool) -> Option<Segment> {
        let best =
            self.waiting.values().filter(|s| ready(s)).min_by_key(|s| (!s.table.is_summary(), s.number))?.clone();
        self.in_flight = Some(best.number);
        Some(best)
    }

    /// Reads a segment for delivery.
    pub fn load(&mut self, segment: &Segment) -> Loaded {
        let path = self.path_of(segment);
        match self.disk.read(&path).map(|bytes| thaw(&bytes)) {
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

    /// Moves a segment out of the way, with the reason beside it.
    pub fn bury(&mut self, number: u64, why: &str) {
        self.in_flight = None;
        let Some(segment) = self.waiting.remove(&number) else { return };
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        let path = self.path_of(&segment);
        let graveyard = self.dir.join("dead_letter");
        let name = path.file_name().unwrap_or_default();
        let moved = self.disk.rename(&path, &graveyard.join(name));
        let reason = graveyard.join(name).with_extension("why");
        let _ = self.disk.write_synced(&reason, format!("{why}\n").as_bytes());
        if moved.is_err() {
            self.leftovers.push(path);
        }
        self.trim_dead_letters(&graveyard);
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

    fn bury_damaged(&mut self, segment: &Segment, damage: BadSegment) -> Loaded {
        self.bury(segment.number, &damage.to_string());
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

    fn trim_dead_letters(&self, graveyard: &Path) {
        let Ok(mut files) = self.disk.list(graveyard) else { return };
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (name, bytes) in files {
            if total <= self.limits.dead_letter_bytes {
                break;
            }
            let _ = self.disk.remove(&graveyard.join(name));
            total -= bytes;
        }
    }

    fn path_of(&self, segment: &Segment) -> PathBuf {
        self.dir.join(format!("{:016x}-{}-{}.seg", segment.number, segment.table.name(), segment.rows))
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
    pub place: Option<Place>,
}

/// A place for one segment. Writing needs no lock on the spool: a sync can take long.
pub struct Place {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    path: PathBuf,
}

impl Place {
    /// Writes a batch so that it survives a crash.
    ///
    /// # Errors
    /// The batch is not safe; it may be written again, anew, with the same token.
    pub fn write(&self, batch: &Frozen) -> io::Result<()> {
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

fn segment_of(batch: &Frozen) -> Segment {
    Segment {
        number: batch.number,
        table: batch.table,
        rows: batch.rows,
        bytes: batch.bytes.len() as u64,
        attempts: 0,
        inherited: false,
    }
}

fn parse_name(name: &str) -> Option<(u64, Table, u32)> {
    let mut parts = name.strip_suffix(".seg")?.split('-');
    let number = u64::from_str_radix(parts.next()?, 16).ok()?;
    let table = Table::from_name(parts.next()?)?;
    let rows = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((number, table, rows))
}

fn random() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || u128::from(RandomState::new().build_hasher().finish());
    (half() << 64) | half()
}

#[cfg(test)]
mod tests;
