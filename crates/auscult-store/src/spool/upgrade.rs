//! Segments of versions that stored more of SIP messages: rewritten by the present rules, or dropped where they cannot be read.

use super::segment::{self, BadSegment};
use super::{Spool, parse_name};
use crate::rows::{Table, replace_texts};
use std::io;
use std::path::Path;

/// Given table, column and text: the text that may be stored, `None` for the same.
pub type Clean = dyn Fn(Table, &str, &str) -> Option<String> + Send + Sync;

/// What became of segments of earlier formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resanitised {
    pub segments: u64,
    pub rows: u64,
    /// Damaged, so that their contents are unknown: removed.
    pub dropped_segments: u64,
    pub dropped_rows: u64,
    /// Could not be read or written now. They are not delivered; the next start tries them again.
    pub failed_segments: u64,
}

/// Names the file that says that no segment of an earlier format is left: a header that cannot be read is of this format then.
pub(super) const MARKER: &str = "format-2";

enum Became {
    Same,
    Rewritten(u64),
    Dropped,
}

impl Spool {
    /// Rewrites segments of earlier formats, waiting ones and dead letters. Each is replaced whole, so this may be cut off
    /// anywhere and is then gone on with at the next start.
    pub fn resanitise(&mut self, clean: &Clean) -> Resanitised {
        let mut all = Resanitised::default();
        let marker = self.dir.join(MARKER);
        let done = self.disk.read_head(&marker, 1).is_ok();
        let numbers: Vec<u64> = self.waiting.keys().copied().collect();
        for number in numbers {
            let Some(segment) = self.waiting.get(&number).cloned() else { continue };
            let path = self.path_of(&segment);
            match self.resanitise_file(&path, &self.dir, done, clean) {
                Ok(Became::Rewritten(bytes)) => {
                    self.bytes = self.bytes.saturating_sub(segment.bytes) + bytes;
                    if let Some(segment) = self.waiting.get_mut(&number) {
                        segment.bytes = bytes;
                    }
                    all.segments += 1;
                    all.rows += u64::from(segment.rows);
                }
                Ok(Became::Dropped) => {
                    self.forget(number);
                    all.dropped_segments += 1;
                    all.dropped_rows += u64::from(segment.rows);
                }
                Ok(Became::Same) => {}
                Err(_) => all.failed_segments += 1,
            }
        }
        self.resanitise_dead_letters(done, clean, &mut all);
        if !done && all.failed_segments == 0 {
            let _ = self.disk.write_synced(&marker, b"");
        }
        all
    }

    fn resanitise_dead_letters(&self, done: bool, clean: &Clean, all: &mut Resanitised) {
        let dir = self.dir.join("dead_letter");
        let Ok(files) = self.disk.list(&dir) else { return };
        for (name, _) in files {
            let path = dir.join(&name);
            if name.ends_with(".tmp") {
                // Of a start that was cut off.
                let _ = self.disk.remove(&path);
            }
            let Some(rows) = parse_name(&name).map(|segment| segment.rows) else { continue };
            let reason = path.with_extension("why");
            let old = self
                .disk
                .read_head(&path, segment::HEAD)
                .is_ok_and(|head| segment::format_of(&head).map_or(!done, |format| format < segment::FIRST_CLEAN));
            // The store's words about a refused row may quote it. They go before the segment is rewritten, whose format
            // says that something is still to be done.
            if old {
                let why = self.disk.read(&reason).unwrap_or_default();
                let short = first_words(&String::from_utf8_lossy(&why));
                if self.disk.write_synced(&reason, format!("{short}\n").as_bytes()).is_err() {
                    all.failed_segments += 1;
                    continue;
                }
            }
            match self.resanitise_file(&path, &dir, done, clean) {
                Ok(Became::Rewritten(_)) => {
                    all.segments += 1;
                    all.rows += u64::from(rows);
                }
                Ok(Became::Dropped) => match self.disk.remove(&path) {
                    Ok(()) => {
                        let _ = self.disk.remove(&reason);
                        all.dropped_segments += 1;
                        all.dropped_rows += u64::from(rows);
                    }
                    Err(_) => all.failed_segments += 1,
                },
                Ok(Became::Same) => {}
                Err(_) => all.failed_segments += 1,
            }
        }
    }

    fn resanitise_file(&self, path: &Path, dir: &Path, done: bool, clean: &Clean) -> io::Result<Became> {
        let head = self.disk.read_head(path, segment::HEAD)?;
        let clean_already = match segment::format_of(&head) {
            Some(format) => format >= segment::FIRST_CLEAN,
            // Damaged: the delivery sets it aside.
            None => done,
        };
        if clean_already {
            return Ok(Became::Same);
        }
        let bytes = match rewrite(&self.disk.read(path)?, clean) {
            Ok(bytes) => bytes,
            Err(BadSegment::Newer(_)) => return Ok(Became::Same),
            Err(BadSegment::Damaged(_)) => return Ok(Became::Dropped),
        };
        let temporary = path.with_extension("tmp");
        let written = self
            .disk
            .write_synced(&temporary, &bytes)
            .and_then(|()| self.disk.rename(&temporary, path))
            .and_then(|()| self.disk.sync_dir(dir));
        if written.is_err() {
            let _ = self.disk.remove(&temporary);
        }
        written.map(|()| Became::Rewritten(bytes.len() as u64))
    }
}

/// A segment of an earlier format in the present one: the same rows under the same token, their texts cleaned.
fn rewrite(bytes: &[u8], clean: &Clean) -> Result<Vec<u8>, BadSegment> {
    let batch = segment::decode(bytes)?;
    let table = batch.table;
    let payload =
        replace_texts(table, &batch.columns, batch.rows, &batch.payload, &|column, text| clean(table, column, text))
            .ok_or(BadSegment::Damaged("rows of another layout"))?;
    // Number and parent are in the name of the file, which stays.
    segment::encode_batch(0, None, &segment::Batch { payload, ..batch })
        .map(|frozen| frozen.bytes)
        .map_err(|_| BadSegment::Damaged("rows that cannot be packed"))
}

/// Up to the number of the store's error.
pub(super) fn first_words(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    let end = line.find("Code: ").map_or(0, |at| {
        let digits = line.get(at + 6..).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        at + 6 + digits
    });
    match line.get(..end) {
        Some(head) if end > 0 => head.to_owned(),
        _ => "kept by an earlier version; its reason was removed at the upgrade".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_after_the_number_of_the_error() {
        let why = "cannot store 3 rows of calls: bad response: Code: 27. DB::Exception: near 'secret'\nsecret";
        assert_eq!(first_words(why), "cannot store 3 rows of calls: bad response: Code: 27");
        assert!(!first_words("damaged: secret").contains("secret"));
    }
}
