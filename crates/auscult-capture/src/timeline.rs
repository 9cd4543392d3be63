//! Several capture files as one timeline.
//!
//! Files are merged by the time of the frame each stands at; within a file the order is the file's own, even where its
//! times go back. A file is held open only from its first frame to its last, so a thousand files of a ring capture that
//! follow each other cost no more than one.

use super::file::Record;
use super::{CaptureError, FileDrops, FileReader, Frame, Interface, Oddities, STDIN, Truncation};
use auscult_core::units::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
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
    /// The file frames are taken from, as long as it is the earliest.
    current: Option<Box<Open>>,
    /// The frame the current file stands at has been delivered.
    delivered: bool,
    /// Where the earliest of all other files stands: up to there the current one needs no comparing with each.
    limit: Option<FramePosition>,
    /// The other open files, by place in the list of files.
    open: Vec<Option<Box<Open>>>,
    /// Where they stand.
    order: BinaryHeap<Reverse<FramePosition>>,
    interfaces: Vec<Interface>,
    truncations: Vec<FileTruncation>,
    oddities: Oddities,
    dropped: FileDrops,
    resolution_ns: u32,
    /// Bytes of files that are done, and of all files if each says how long it is.
    read: u64,
    total: Option<u64>,
}

/// A file's next frame in the order of the timeline: its time, then the file's place in the list of files.
type FramePosition = (Timestamp, usize);

struct Waiting {
    first: FramePosition,
    source: Source,
}

enum Source {
    /// A regular file, to be opened when its time comes.
    Path(PathBuf),
    /// What can be read only once: kept open, standing at its first frame.
    Opened(Box<Open>),
}

struct Open {
    index: usize,
    reader: FileReader,
    /// The frame it stands at; not kept up while it is the current file.
    head: Record,
    /// This file's interface numbers as numbers of the timeline.
    interfaces: Vec<u16>,
}

impl Open {
    #[inline]
    fn place(&self) -> FramePosition {
        (self.head.at, self.index)
    }
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
            current: None,
            delivered: false,
            limit: None,
            open: paths.iter().map(|_| None).collect(),
            order: BinaryHeap::new(),
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
        timeline.waiting.sort_by_key(|w| Reverse(w.first));
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
        let first = (head.at, index);
        let again = path.as_os_str() != STDIN && path.is_file();
        let source = if again {
            Source::Path(path.to_owned())
        } else {
            Source::Opened(Box::new(Open { index, reader, head, interfaces: Vec::new() }))
        };
        self.waiting.push(Waiting { first, source });
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
        let mut next = None;
        if std::mem::take(&mut self.delivered)
            && let Some(file) = &mut self.current
        {
            match file.reader.next_record() {
                Ok(Some(head)) if self.limit.is_none_or(|limit| (head.at, file.index) < limit) => next = Some(head),
                Ok(Some(head)) => file.head = head,
                end => self.close_current(end)?,
            }
        }
        if next.is_none() {
            self.choose()?;
        }
        let Some(file) = &mut self.current else { return Ok(None) };
        let head = next.unwrap_or_else(|| file.head.clone());
        self.delivered = true;
        let local = head.interface as usize;
        if file.interfaces.len() <= local {
            learn_interfaces(&mut self.interfaces, file);
        }
        let interface = file.interfaces.get(local).copied().unwrap_or(u16::MAX);
        Ok(Some(Frame { interface, ..file.reader.frame(&head) }))
    }

    /// Makes the earliest of all files the current one, and opens those that begin by then.
    #[cold]
    fn choose(&mut self) -> Result<(), CaptureError> {
        if let Some(file) = self.current.take() {
            self.set_aside(file);
        }
        while let Some(waiting) = self.waiting.last() {
            if self.order.peek().is_some_and(|Reverse(earliest)| *earliest < waiting.first) {
                break;
            }
            self.begin_next()?;
        }
        self.current = self.order.pop().and_then(|Reverse((_, index))| self.open.get_mut(index)?.take());
        let open = self.order.peek().map(|Reverse(place)| *place);
        let waiting = self.waiting.last().map(|waiting| waiting.first);
        self.limit = open.into_iter().chain(waiting).min();
        Ok(())
    }

    fn set_aside(&mut self, file: Box<Open>) {
        if let Some(slot) = self.open.get_mut(file.index) {
            self.order.push(Reverse(file.place()));
            *slot = Some(file);
        }
    }

    #[cold]
    fn close_current(&mut self, end: Result<Option<Record>, CaptureError>) -> Result<(), CaptureError> {
        if let Some(file) = self.current.take() {
            self.close(&file.reader);
        }
        end.map(|_| ())
    }

    /// Opens the file that begins next.
    fn begin_next(&mut self) -> Result<(), CaptureError> {
        let Some(Waiting { first: (_, index), source }) = self.waiting.pop() else { return Ok(()) };
        let file = match source {
            Source::Opened(file) => file,
            Source::Path(path) => {
                let mut reader = FileReader::open(&path)?;
                let Some(head) = reader.next_record()? else {
                    self.close(&reader);
                    return Ok(());
                };
                Box::new(Open { index, reader, head, interfaces: Vec::new() })
            }
        };
        self.set_aside(file);
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
        self.open.iter().flatten().chain(&self.current).map(|file| &**file)
    }

    /// Every file, of those that are done, that was not read to its end.
    pub fn truncations(&self) -> &[FileTruncation] {
        &self.truncations
    }

    /// Bytes read so far and bytes in all; no total with standard input or a pipe among the files.
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
