//! gzip and zstd, decompressed on a thread of their own through a bounded set of buffers.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Size of one buffer between the two threads.
const CHUNK: usize = 128 * 1024;

/// Buffers under way: memory stays at a few of them however well the file compresses.
const CHUNKS: usize = 4;

/// Largest zstd window in powers of two: 128 MiB, what the zstd tool itself accepts without an option.
const ZSTD_WINDOW_LOG: u32 = 27;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// How far a source has been read, and whether the operating system failed while reading it.
#[derive(Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    failed: AtomicBool,
}

impl Progress {
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// A reader that reports its progress.
pub(super) struct Counted {
    pub from: Box<dyn Read + Send>,
    pub progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.from.read(buffer) {
            Ok(n) => {
                self.progress.bytes.fetch_add(n as u64, Ordering::Relaxed);
                Ok(n)
            }
            Err(e) => {
                if e.kind() != io::ErrorKind::Interrupted {
                    self.progress.failed.store(true, Ordering::Relaxed);
                }
                Err(e)
            }
        }
    }
}

/// The decompressed side of a compressed reader.
pub(super) struct Inflated {
    full: Receiver<io::Result<Chunk>>,
    empty: SyncSender<Vec<u8>>,
    chunk: Chunk,
    taken: usize,
    ended: bool,
}

/// Some decompressed bytes; none mark the end of the data.
#[derive(Default)]
struct Chunk {
    buffer: Vec<u8>,
    len: usize,
}

impl Inflated {
    /// Starts decompressing. The thread ends with the data, at an error, or when this value is dropped.
    pub fn start(compression: Compression, from: Counted) -> io::Result<Inflated> {
        let (full_out, full) = sync_channel(CHUNKS);
        let (empty, empty_in) = sync_channel(CHUNKS);
        thread::Builder::new()
            .name(format!("inflate-{}", compression.name()))
            .spawn(move || inflate(compression, from, &full_out, &empty_in))?;
        Ok(Inflated { full, empty, chunk: Chunk::default(), taken: 0, ended: false })
    }
}

impl Read for Inflated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len {
            let used = std::mem::take(&mut self.chunk.buffer);
            self.chunk = Chunk::default();
            self.taken = 0;
            if !used.is_empty() {
                // A full or closed return channel only means that the buffer is not used again.
                let _ = self.empty.try_send(used);
            }
            if self.ended {
                return Ok(0);
            }
            match self.full.recv() {
                Ok(Ok(chunk)) => {
                    self.ended = chunk.len == 0;
                    self.chunk = chunk;
                }
                Ok(Err(e)) => {
                    self.ended = true;
                    return Err(e);
                }
                Err(_) => return Err(io::Error::other("the decompressing thread has stopped")),
            }
        }
        let ready = self.chunk.buffer.get(self.taken..self.chunk.len).unwrap_or_default();
        let n = ready.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), ready.get(..n)) {
            to.copy_from_slice(from);
        }
        self.taken += n;
        Ok(n)
    }
}

fn inflate(compression: Compression, from: Counted, full: &SyncSender<io::Result<Chunk>>, empty: &Receiver<Vec<u8>>) {
    let mut decoder = match decoder(compression, from) {
        Ok(decoder) => decoder,
        Err(e) => {
            let _ = full.send(Err(e));
            return;
        }
    };
    loop {
        let mut buffer = empty.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
        let message = match decoder.read(&mut buffer) {
            Ok(len) => Ok(Chunk { buffer, len }),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
        let last = message.as_ref().map_or(true, |chunk| chunk.len == 0);
        if full.send(message).is_err() || last {
            return;
        }
    }
}

fn decoder(compression: Compression, from: Counted) -> io::Result<Box<dyn Read>> {
    Ok(match compression {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(from)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}
