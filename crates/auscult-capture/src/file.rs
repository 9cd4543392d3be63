//! One capture file, plain or compressed, or standard input: frames in file order, and what was wrong with it.

use super::classic::{self, Classic};
use super::inflate::{Compression, Counted, Inflated, Progress};
use super::input::Input;
use super::pcapng::{self, Pcapng};
use super::{CaptureError, FileDrops, Frame, Interface, Oddities, Truncation, TruncationKind, sniff};
use auscult_core::units::Timestamp;
use auscult_core::units::text::clean;
use auscult_core::wire::LinkType;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The path that means standard input.
pub const STDIN: &str = "-";

/// Longest name of a file in messages, in bytes: the longest path of most systems.
const NAME_MAX: usize = 4096;

/// Bytes that distinguish every format from every other.
const ENOUGH_TO_TELL: usize = 32;

/// Reads one capture: pcap or pcapng, also gzip or zstd compressed.
pub struct FileReader {
    name: String,
    input: Input,
    format: Format,
    /// Of the source, compressed as it may be.
    progress: Arc<Progress>,
    compression: Option<Compression>,
    total: Option<u64>,
    frames: u64,
    /// Time of the last frame, from before all time at first.
    last: Timestamp,
    notes: Notes,
    truncated: Option<Truncation>,
    finished: bool,
}

/// Where the bytes of a capture come from.
struct Origin {
    name: String,
    /// Bytes in all, where the system says so.
    total: Option<u64>,
    progress: Arc<Progress>,
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

/// A frame whose bytes are still in the input. Every field has eight bytes: two narrower ones are copied by one load,
/// which waits until both were written, and took a tenth of the time of a whole analysis.
#[derive(Clone)]
pub(super) struct Record {
    pub at: Timestamp,
    pub link: u64,
    pub interface: u64,
    pub wire_len: u64,
    pub place: Range<usize>,
}

impl Record {
    #[inline(always)]
    pub fn new(at: Timestamp, link: LinkType, interface: u16, wire_len: u32, place: Range<usize>) -> Record {
        Record { at, link: u64::from(link.0), interface: u64::from(interface), wire_len: u64::from(wire_len), place }
    }
}

/// What a format notes while it reads: beside the frames, so that those stay in registers.
#[derive(Default)]
pub(super) struct Notes {
    pub oddities: Oddities,
    /// Why there is no next record; `None` at the end.
    pub stop: Option<Truncation>,
}

impl Notes {
    #[cold]
    pub fn cut(&mut self, input: &Input, what: String) {
        self.stop(input.offset(), TruncationKind::Cut, what);
    }

    #[cold]
    pub fn corrupt(&mut self, input: &Input, what: String) {
        self.stop(input.offset(), TruncationKind::Corrupt, what);
    }

    #[cold]
    pub fn stop(&mut self, at_byte: u64, kind: TruncationKind, what: String) {
        self.stop = Some(Truncation { at_byte, kind, what });
    }
}

impl FileReader {
    /// Opens a file, or standard input for [`STDIN`].
    ///
    /// # Errors
    /// [`CaptureError::Open`] when the system refuses; [`CaptureError::NotACapture`], with what it looks like, when
    /// the first bytes are not those of pcap or pcapng.
    pub fn open(path: &Path) -> Result<FileReader, CaptureError> {
        if path.as_os_str() == STDIN {
            return FileReader::from_reader(io::stdin(), "standard input");
        }
        let name = clean(&path.display().to_string(), NAME_MAX);
        let refused = |source| CaptureError::Open { name: name.clone(), source };
        let file = File::open(path).map_err(refused)?;
        let meta = file.metadata().map_err(refused)?;
        if meta.is_dir() {
            return Err(CaptureError::not_a_capture(&name, "it is a directory", "name the files in it"));
        }
        let total = meta.is_file().then_some(meta.len());
        FileReader::from_source(Box::new(file), name, total)
    }

    /// Reads a capture from anything; `name` is what messages call it.
    ///
    /// # Errors
    /// As [`FileReader::open`].
    pub fn from_reader(from: impl Read + Send + 'static, name: &str) -> Result<FileReader, CaptureError> {
        FileReader::from_source(Box::new(from), clean(name, NAME_MAX), None)
    }

    fn from_source(from: Box<dyn Read + Send>, name: String, total: Option<u64>) -> Result<FileReader, CaptureError> {
        let refused = |source| CaptureError::Open { name: name.clone(), source };
        let progress = Arc::new(Progress::default());
        let mut counted = Counted { from, progress: progress.clone() };
        let head = head_of(&mut counted, ENOUGH_TO_TELL).map_err(refused)?;
        let Some(compression) = compression_of(&head) else {
            let format = Format::of(&head, &name)?;
            let input = Input::new(Box::new(Cursor::new(head).chain(counted)));
            return Ok(FileReader::begin(Origin { name, total, progress }, None, input, format));
        };
        let again = Counted { from: Box::new(Cursor::new(head).chain(counted)), progress: Arc::default() };
        let mut inflated = Inflated::start(compression, again).map_err(refused)?;
        let inner = head_of(&mut inflated, ENOUGH_TO_TELL).map_err(|e| {
            let what = format!("it is {} data that cannot be decompressed ({e})", compression.name());
            CaptureError::not_a_capture(&name, what, "copy the capture again, this copy is damaged")
        })?;
        let format = Format::of(&inner, &format!("{name} (decompressed)"))?;
        let input = Input::new(Box::new(Cursor::new(inner).chain(inflated)));
        Ok(FileReader::begin(Origin { name, total, progress }, Some(compression), input, format))
    }

    fn begin(origin: Origin, compression: Option<Compression>, mut input: Input, format: Format) -> FileReader {
        let Origin { name, total, progress } = origin;
        if matches!(format, Format::Classic(_)) {
            input.skip(classic::HEADER as u64);
        }
        FileReader {
            name,
            input,
            format,
            progress,
            compression,
            total,
            frames: 0,
            last: Timestamp::MIN,
            notes: Notes::default(),
            truncated: None,
            finished: false,
        }
    }

    /// The next frame in file order; `None` at the end, also at an early one: see [`FileReader::truncated`].
    ///
    /// # Errors
    /// [`CaptureError::Read`], once, when the operating system fails to read on.
    #[inline(always)]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        Ok(self.next_record()?.map(|record| self.frame(&record)))
    }

    /// As [`FileReader::next_frame`], the bytes left where they are until the next call.
    #[inline(always)]
    pub(super) fn next_record(&mut self) -> Result<Option<Record>, CaptureError> {
        if self.finished {
            return Ok(None);
        }
        let mut record = loop {
            let record = match &mut self.format {
                Format::Classic(classic) => classic.next(&mut self.input, &mut self.notes),
                Format::Pcapng(pcapng) => pcapng.next(&mut self.input, &mut self.notes, self.last),
            };
            match record {
                Some(record) if record.at.is_measurable() => break record,
                Some(_) => self.notes.oddities.time_out_of_range += 1,
                None => return self.finish(),
            }
        };
        let oddities = &mut self.notes.oddities;
        let len = record.place.len() as u64;
        self.frames += 1;
        oddities.empty += u64::from(len == 0);
        if len > record.wire_len {
            oddities.longer_than_wire += 1;
            record.wire_len = len;
        }
        oddities.time_went_back += u64::from(record.at < self.last);
        self.last = record.at;
        Ok(Some(record))
    }

    #[inline(always)]
    pub(super) fn frame(&self, record: &Record) -> Frame<'_> {
        Frame {
            at: record.at,
            link: LinkType(record.link as u32),
            interface: record.interface as u16,
            bytes: self.input.bytes(record.place.clone()),
            wire_len: record.wire_len as u32,
        }
    }

    #[cold]
    fn finish(&mut self) -> Result<Option<Record>, CaptureError> {
        self.finished = true;
        let stop = self.notes.stop.take();
        let at_byte = stop.as_ref().map_or_else(|| self.input.offset(), |stop| stop.at_byte);
        match self.input.take_failure() {
            Some(e) if stop.as_ref().is_none_or(|stop| stop.kind == TruncationKind::Cut) => self.failed(at_byte, e),
            _ => {
                self.truncated = stop;
                Ok(None)
            }
        }
    }

    /// The input ended with an error: of the compressed data, or of the system.
    fn failed(&mut self, at_byte: u64, source: io::Error) -> Result<Option<Record>, CaptureError> {
        let of_the_data = self.compression.filter(|_| !self.progress.failed());
        let (kind, what) = match of_the_data {
            Some(c) if source.kind() == io::ErrorKind::UnexpectedEof => {
                (TruncationKind::Cut, format!("the {} data end too early", c.name()))
            }
            Some(c) => (TruncationKind::Corrupt, format!("the {} data are damaged: {source}", c.name())),
            None => (TruncationKind::Unreadable, source.to_string()),
        };
        self.truncated = Some(Truncation { at_byte, kind, what });
        match kind {
            TruncationKind::Unreadable => Err(CaptureError::Read { name: self.name.clone(), at_byte, source }),
            _ => Ok(None),
        }
    }

    /// What messages call this capture.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where and why reading stopped early; `None` while it goes on and when the end was the end.
    pub fn truncated(&self) -> Option<&Truncation> {
        self.truncated.as_ref()
    }

    /// Step of the time stamps in nanoseconds, at least 1: the coarsest of the interfaces met so far.
    pub fn resolution_ns(&self) -> u32 {
        self.interfaces().iter().map(|i| i.resolution_ns).max().unwrap_or(1)
    }

    /// Bytes read so far and bytes in all, for showing progress: of the compressed file where it is one. There is
    /// no total for standard input and pipes.
    pub fn position(&self) -> (u64, Option<u64>) {
        let read = if self.compression.is_some() { self.progress.bytes() } else { self.input.offset() };
        (read, self.total)
    }

    /// Frames delivered so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The interfaces described so far; [`Frame::interface`] is an index into them.
    pub fn interfaces(&self) -> &[Interface] {
        match &self.format {
            Format::Classic(classic) => std::slice::from_ref(&classic.interface),
            Format::Pcapng(pcapng) => &pcapng.interfaces,
        }
    }

    /// What the file says its own capture missed, over all interfaces.
    pub fn dropped(&self) -> FileDrops {
        self.interfaces().iter().fold(FileDrops::default(), |sum, i| sum.plus(i.drops))
    }

    /// Records that were not as they should be, so far.
    pub fn oddities(&self) -> Oddities {
        self.notes.oddities
    }
}

impl Format {
    fn of(head: &[u8], name: &str) -> Result<Format, CaptureError> {
        const AGAIN: &str = "copy the capture again, this copy is not whole";
        if classic::is_classic(head) {
            let refused = |what| CaptureError::not_a_capture(name, what, AGAIN);
            return Classic::parse(head).map(Format::Classic).map_err(refused);
        }
        if pcapng::is_pcapng(head) {
            return Ok(Format::Pcapng(Pcapng::default()));
        }
        if head.is_empty() {
            return Err(CaptureError::not_a_capture(name, "it is empty", "capture again, or copy it again"));
        }
        if pcapng::is_cut_short(head) {
            return Err(CaptureError::not_a_capture(name, "the file ends inside its first pcapng block", AGAIN));
        }
        let (looks_like, advice) = sniff::describe(head);
        Err(CaptureError::not_a_capture(name, looks_like, advice))
    }
}

fn compression_of(head: &[u8]) -> Option<Compression> {
    if head.starts_with(&[0x1f, 0x8b]) {
        Some(Compression::Gzip)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Compression::Zstd)
    } else {
        None
    }
}

/// The first bytes: what comes in one read, and more only until there are `enough`. A slow pipe is not waited for.
fn head_of(from: &mut impl Read, enough: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; sniff::HEAD];
    let mut len = 0;
    while len < enough {
        match from.read(head.get_mut(len..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    head.truncate(len);
    Ok(head)
}
