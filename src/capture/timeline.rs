//! Several capture files as one timeline.
//!
//! Files are merged by the time of the frame each stands at; within a file the order is the file's own, even where its
//! times go back. A file is held open only from its first frame to its last, so a thousand files of a ring capture that
//! follow each other cost no more than one.

use super::file::Record;
use super::{CaptureError, FileDrops, FileReader, Frame, Interface, Oddities, STDIN, Truncation};
use crate::units::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::path::{Path, PathBuf};

/// A file of the timeline that was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTruncation {
    pub name: String,
    pub truncation: Truncation,
}

/// Merges capture files by time.
pub struct Timeline {
    /// Files not begun yet, the one that begins first at the back.
    waiting: Vec<Waiting>,
    /// By place in the list of files; only those under way are there.
    open: Vec<Option<Box<Open>>>,
    /// The open files by the time of the frame they stand at, then by their place in the list of files.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The first of them has had its frame delivered and has to move on before the next.
    delivered: bool,
    interfaces: Vec<Interface>,
    truncations: Vec<FileTruncation>,
    oddities: Oddities,
    dropped: FileDrops,
    resolution_ns: u32,
    /// Octets of files that are done, and of all files if each says how long it is.
    read: u64,
    total: Option<u64>,
}

struct Waiting {
    first_at: Timestamp,
    index: usize,
    source: Source,
}

enum Source {
    /// A regular file, to be opened when its time comes.
    Path(PathBuf),
    /// What can be read only once: kept open, standing at its first frame.
    Opened(Box<Open>),
}

struct Open {
    reader: FileReader,
    head: Record,
    /// This file's interface numbers as numbers of the timeline.
    interfaces: Vec<u16>,
}

impl Timeline {
    /// Opens every file far enough to know when it begins.
    ///
    /// # Errors
    /// Those of [`FileReader::open`], for the first file that cannot be used, and [`CaptureError::NoFiles`].
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Timeline, CaptureError> {
        if paths.is_empty() {
            return Err(CaptureError::NoFiles);
        }
        let mut timeline = Timeline {
            waiting: Vec::with_capacity(paths.len()),
            open: paths.iter().map(|_| None).collect(),
            order: BinaryHeap::new(),
            delivered: false,
            interfaces: Vec::new(),
            truncations: Vec::new(),
            oddities: Oddities::default(),
            dropped: FileDrops::default(),
            resolution_ns: 1,
            read: 0,
            total: Some(0),
        };
        for (index, path) in paths.iter().enumerate() {
            timeline.admit(index, path.as_ref())?;
        }
        timeline.waiting.sort_by_key(|w| Reverse((w.first_at, w.index)));
        Ok(timeline)
    }

    fn admit(&mut self, index: usize, path: &Path) -> Result<(), CaptureError> {
        let mut reader = FileReader::open(path)?;
        let size = reader.position().1;
        self.total = self.total.zip(size).map(|(sum, size)| sum + size);
        let Some(head) = reader.next_record()? else {
            self.close(&reader);
            return Ok(());
        };
        let first_at = head.at;
        let again = path.as_os_str() != STDIN && path.is_file();
        let source = if again {
            Source::Path(path.to_owned())
        } else {
            Source::Opened(Box::new(Open { reader, head, interfaces: Vec::new() }))
        };
        self.waiting.push(Waiting { first_at, index, source });
        Ok(())
    }

    /// The next frame of the timeline; `None` after the last one of the last file. [`Frame::interface`] is an index
    /// into [`Timeline::interfaces`].
    ///
    /// # Errors
    /// [`CaptureError::Read`] when the system fails to read a file on; the call after that goes on with the others.
    /// Those of [`FileReader::open`] when a file has changed since the timeline was opened.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if std::mem::take(&mut self.delivered) {
            self.advance()?;
        }
        while let Some(waiting) = self.waiting.last() {
            if self.order.peek().is_some_and(|Reverse(first)| *first < (waiting.first_at, waiting.index)) {
                break;
            }
            self.begin_next()?;
        }
        let Some(&Reverse((_, index))) = self.order.peek() else { return Ok(None) };
        self.delivered = true;
        let Some(Some(file)) = self.open.get_mut(index) else { return Ok(None) };
        let local = usize::from(file.head.interface);
        if file.interfaces.len() <= local {
            learn_interfaces(&mut self.interfaces, file);
        }
        let interface = file.interfaces.get(local).copied().unwrap_or(u16::MAX);
        Ok(Some(Frame { interface, ..file.reader.frame(&file.head) }))
    }

    /// Moves the first of the open files to its next frame, or closes it.
    #[inline]
    fn advance(&mut self) -> Result<(), CaptureError> {
        let Some(mut first) = self.order.peek_mut() else { return Ok(()) };
        let Reverse((_, index)) = *first;
        let Some(slot) = self.open.get_mut(index) else { return Ok(()) };
        let Some(file) = slot else { return Ok(()) };
        match file.reader.next_record() {
            Ok(Some(head)) => {
                if first.0.0 != head.at {
                    *first = Reverse((head.at, index));
                }
                file.head = head;
                Ok(())
            }
            end => {
                PeekMut::pop(first);
                if let Some(file) = slot.take() {
                    self.close(&file.reader);
                }
                end.map(|_| ())
            }
        }
    }

    /// Opens the file that begins next.
    fn begin_next(&mut self) -> Result<(), CaptureError> {
        let Some(Waiting { index, source, .. }) = self.waiting.pop() else { return Ok(()) };
        let file = match source {
            Source::Opened(file) => file,
            Source::Path(path) => {
                let mut reader = FileReader::open(&path)?;
                let Some(head) = reader.next_record()? else {
                    self.close(&reader);
                    return Ok(());
                };
                Box::new(Open { reader, head, interfaces: Vec::new() })
            }
        };
        self.order.push(Reverse((file.head.at, index)));
        if let Some(slot) = self.open.get_mut(index) {
            *slot = Some(file);
        }
        Ok(())
    }

    /// Keeps what is to be known of a file that is done.
    fn close(&mut self, reader: &FileReader) {
        if let Some(truncation) = reader.truncated() {
            self.truncations.push(FileTruncation { name: reader.name().to_owned(), truncation: truncation.clone() });
        }
        let (read, total) = reader.position();
        self.read += total.unwrap_or(read);
        self.oddities = self.oddities.plus(reader.oddities());
        self.dropped = self.dropped.plus(reader.dropped());
        self.resolution_ns = self.resolution_ns.max(reader.resolution_ns());
    }

    fn under_way(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().flatten().map(|file| &**file)
    }

    /// Every file, of those that are done, that was not read to its end.
    pub fn truncations(&self) -> &[FileTruncation] {
        &self.truncations
    }

    /// Octets read so far and octets in all; no total with standard input or a pipe among the files.
    pub fn position(&self) -> (u64, Option<u64>) {
        let open: u64 = self.under_way().map(|file| file.reader.position().0).sum();
        (self.read + open, self.total)
    }

    /// The interfaces met so far. Interfaces of the same name and link type are one, also in different files.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What the files say their own captures missed, so far.
    pub fn dropped(&self) -> FileDrops {
        self.under_way().fold(self.dropped, |sum, file| sum.plus(file.reader.dropped()))
    }

    /// Records that were not as they should be, so far.
    pub fn oddities(&self) -> Oddities {
        self.under_way().fold(self.oddities, |sum, file| sum.plus(file.reader.oddities()))
    }

    /// Step of the time stamps in nanoseconds: the coarsest met so far.
    pub fn resolution_ns(&self) -> u32 {
        self.under_way().map(|file| file.reader.resolution_ns()).fold(self.resolution_ns, u32::max)
    }
}

/// Gives the interfaces a file has described since last time their numbers in the timeline.
#[cold]
fn learn_interfaces(known: &mut Vec<Interface>, file: &mut Open) {
    for described in file.reader.interfaces().iter().skip(file.interfaces.len()) {
        let alike = |i: &Interface| i.name.is_some() && i.name == described.name && i.link == described.link;
        let number = known.iter().position(alike).unwrap_or_else(|| {
            if known.len() < usize::from(u16::MAX) {
                known.push(described.clone());
            }
            known.len() - 1
        });
        file.interfaces.push(u16::try_from(number).unwrap_or(u16::MAX));
    }
}
