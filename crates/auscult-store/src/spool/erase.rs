//! Rows of one person taken out of segments that wait and of dead letters.
//!
//! A segment is written anew beside the old file and synced before that is removed. Its token stays: rows that the store may
//! have of an earlier delivery are not stored again, and are deleted there.

use super::dead_letters::FOLDER;
use super::segment::{self, Batch};
use super::upgrade::first_words;
use super::{Disk, Segment, Spool, file_name, parse_name};
use crate::Table;
use crate::erase::Location;
use crate::rows::{EditedRows, RowFate, RowView, edit_rows};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why rows could not be erased from the spool.
#[derive(Debug)]
pub enum EraseFailure {
    /// A segment with such rows is being delivered.
    InFlight,
    Io {
        path: PathBuf,
        source: io::Error,
    },
}

/// What a row becomes, by its table.
pub type EditRows<'a> = dyn Fn(Table, &RowView<'_>) -> RowFate + 'a;

/// The files of a spool, to be read without keeping it from its work.
pub struct SpoolFiles {
    disk: Arc<dyn Disk>,
    files: Vec<(Location, PathBuf)>,
}

impl SpoolFiles {
    /// Shows every row that waits or was set aside, where it still is. Returns the names of files whose rows cannot be read.
    pub fn look_at_rows(&self, look: &mut dyn FnMut(Location, Table, &RowView<'_>)) -> Vec<String> {
        let mut unreadable = Vec::new();
        for (place, path) in &self.files {
            let mut keep = |table, row: &RowView<'_>| {
                look(*place, table, row);
                RowFate::Keep
            };
            if let Read::Damaged = read(&*self.disk, path, &mut keep) {
                unreadable.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        unreadable
    }

    /// The files with rows that would not be kept.
    pub fn affected(&self, fate: &EditRows<'_>) -> Vec<(Location, PathBuf)> {
        let is_affected = |path: &Path| match read(&*self.disk, path, &mut |table, row| fate(table, row)) {
            Read::Rows(_, kept) => kept.edited > 0,
            Read::Damaged | Read::Gone => false,
        };
        self.files.iter().filter(|(_, path)| is_affected(path)).cloned().collect()
    }
}

/// What a file of the spool was found to be.
enum Read {
    Rows(Box<Batch>, EditedRows),
    Damaged,
    /// Delivered, or removed, in the meantime.
    Gone,
}

fn read(disk: &dyn Disk, path: &Path, fate: &mut dyn FnMut(Table, &RowView<'_>) -> RowFate) -> Read {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Read::Gone,
        Err(_) => return Read::Damaged,
    };
    let Ok(batch) = segment::decode(&bytes) else { return Read::Damaged };
    let table = batch.table;
    match edit_rows(table, &batch.columns, batch.rows, &batch.payload, &mut |row| fate(table, row)) {
        Some(kept) => Read::Rows(Box::new(batch), kept),
        None => Read::Damaged,
    }
}

impl Spool {
    /// The files that wait and those that were set aside, as they are now.
    pub fn files(&self) -> SpoolFiles {
        let mut files: Vec<(Location, PathBuf)> =
            self.waiting.values().map(|segment| (Location::Spool, self.path_of(segment))).collect();
        let dir = self.dir.join(FOLDER);
        let mut set_aside = self.disk.list(&dir).unwrap_or_default();
        set_aside.sort();
        let named = set_aside.into_iter().filter(|(name, _)| parse_name(name).is_some());
        files.extend(named.map(|(name, _)| (Location::DeadLetters, dir.join(name))));
        SpoolFiles { disk: Arc::clone(&self.disk), files }
    }

    /// Takes rows out of a file, or changes them. May be cut off anywhere, and is then called again.
    ///
    /// # Errors
    /// The file is being delivered, or cannot be replaced.
    pub fn erase(&mut self, place: Location, path: &Path, fate: &EditRows<'_>) -> Result<(), EraseFailure> {
        let named = path.file_name().and_then(|name| parse_name(&name.to_string_lossy()));
        let Some(segment) = named else { return Ok(()) };
        let failed = |source| EraseFailure::Io { path: path.to_path_buf(), source };
        if place == Location::Spool && self.in_flight == Some(segment.number) {
            return Err(EraseFailure::InFlight);
        }
        let Read::Rows(batch, kept) = read(&*self.disk, path, &mut |table, row| fate(table, row)) else {
            return Ok(());
        };
        if kept.edited == 0 {
            return Ok(());
        }
        if place == Location::DeadLetters {
            return self.erase_dead_letter(&segment, *batch, kept).map_err(failed);
        }
        let Some(waiting) = self.waiting.get(&segment.number).cloned() else { return Ok(()) };
        let (rows, bytes) = self.rewrite(&self.dir, &waiting, *batch, kept).map_err(failed)?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes) + bytes;
        match self.waiting.get_mut(&segment.number).filter(|_| rows > 0) {
            Some(segment) => (segment.rows, segment.bytes) = (rows, bytes),
            None => drop(self.waiting.remove(&segment.number)),
        }
        Ok(())
    }

    fn erase_dead_letter(&self, segment: &Segment, batch: Batch, kept: EditedRows) -> io::Result<()> {
        let dir = self.dir.join(FOLDER);
        // The words of the store about a refused row may quote it.
        let reason = dir.join(file_name(segment)).with_extension("why");
        let why = self.disk.read(&reason).unwrap_or_default();
        let why = first_words(&String::from_utf8_lossy(&why));
        let new_reason = dir.join(file_name(&Segment { rows: kept.rows, ..segment.clone() })).with_extension("why");
        self.disk.write_synced(&new_reason, format!("{why}\n").as_bytes())?;
        let (rows, _) = self.rewrite(&dir, segment, batch, kept)?;
        for unneeded in [&reason, &new_reason] {
            if rows == 0 || *unneeded != new_reason {
                let _ = self.disk.remove(unneeded);
            }
        }
        Ok(())
    }

    /// Puts the rows that stay in the place of a segment; returns how many they are and their bytes.
    fn rewrite(&self, dir: &Path, old: &Segment, batch: Batch, kept: EditedRows) -> io::Result<(u32, u64)> {
        let EditedRows { payload, rows, first, .. } = kept;
        let path = dir.join(file_name(old));
        let mut bytes = 0;
        if rows > 0 {
            let new = segment::encode_batch(old.number, old.half_of, &Batch { payload, rows, first, ..batch })?;
            let place = dir.join(file_name(&Segment { rows, ..old.clone() }));
            let temporary = place.with_extension("tmp");
            let written = self
                .disk
                .write_synced(&temporary, &new.bytes)
                .and_then(|()| self.disk.rename(&temporary, &place))
                .and_then(|()| self.disk.sync_dir(dir));
            if written.is_err() {
                let _ = self.disk.remove(&temporary);
            }
            written?;
            bytes = new.bytes.len() as u64;
            if place == path {
                return Ok((rows, bytes));
            }
        }
        self.disk.remove(&path)?;
        self.disk.sync_dir(dir)?;
        Ok((rows, bytes))
    }
}
