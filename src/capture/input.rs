//! The octets of a capture as a window that moves forward: a mapped file, or any reader through one buffer.

use memmap2::Mmap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

/// A buffer starts this small and doubles only once data has filled it: what a file claims allocates nothing.
const FIRST_BUFFER: usize = 32 * 1024;

/// The largest a buffer gets: enough for the longest block, and few system calls at line rate.
const MAX_BUFFER: usize = 1024 * 1024;

/// How far a mapped file is trusted before its size is asked for again. Touching pages of a file that has since
/// been cut short would end the process.
const MAPPED_STEP: usize = 4 * 1024 * 1024;

/// A window onto a capture's octets.
pub(super) struct Input {
    store: Store,
    /// The window within the store.
    start: usize,
    end: usize,
    /// Offset in the capture of the store's first octet.
    base: u64,
    failure: Option<io::Error>,
}

enum Store {
    Mapped { map: Mmap, file: File },
    Stream { from: Box<dyn Read + Send>, buffer: Vec<u8>, finished: bool },
}

impl Input {
    /// A regular file, mapped.
    pub fn mapped(file: File) -> io::Result<Input> {
        // SAFETY: the mapping is private and read-only. Another program may still change or cut the file: changed
        // octets are only ever read as numbers and slices whose bounds do not depend on them, and the size is
        // checked again before each further step of the window.
        let map = unsafe { Mmap::map(&file)? };
        let mut input = Input { store: Store::Mapped { map, file }, start: 0, end: 0, base: 0, failure: None };
        input.fill(1);
        Ok(input)
    }

    /// Anything that can be read.
    pub fn stream(from: Box<dyn Read + Send>) -> Input {
        let buffer = vec![0; FIRST_BUFFER];
        Input { store: Store::Stream { from, buffer, finished: false }, start: 0, end: 0, base: 0, failure: None }
    }

    /// The octets at hand.
    #[inline]
    pub fn window(&self) -> &[u8] {
        self.octets(self.start..self.end)
    }

    /// Octets of the store by a range made from [`Input::place`]; valid until the next `fill`, `consume` keeps them.
    #[inline]
    pub fn octets(&self, range: Range<usize>) -> &[u8] {
        let all: &[u8] = match &self.store {
            Store::Mapped { map, .. } => map,
            Store::Stream { buffer, .. } => buffer,
        };
        all.get(range).unwrap_or_default()
    }

    /// Where octets of the window are in the store.
    #[inline]
    pub fn place(&self, from: usize, len: usize) -> Range<usize> {
        self.start + from..self.start + from + len
    }

    /// Offset in the capture of the window's first octet.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Moves the window's front past `n` octets of it.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Sees to it that the window holds `n` octets (at most [`MAX_BUFFER`]); false when there are no more to be had.
    #[inline(always)]
    pub fn fill(&mut self, n: usize) -> bool {
        self.end - self.start >= n || self.fetch(n)
    }

    #[cold]
    fn fetch(&mut self, n: usize) -> bool {
        match &mut self.store {
            Store::Mapped { map, file } => {
                let now = file.metadata().map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX));
                let wanted = self.start.saturating_add(n.max(MAPPED_STEP));
                let reach = wanted.min(map.len()).min(now);
                if reach < map.len() && reach < wanted {
                    self.failure.get_or_insert_with(|| io::Error::other("the file was cut while it was being read"));
                }
                self.end = reach.max(self.start);
            }
            Store::Stream { from, buffer, finished } => {
                while !*finished && self.end - self.start < n {
                    if self.start > 0 {
                        buffer.copy_within(self.start..self.end, 0);
                        self.base += self.start as u64;
                        self.end -= self.start;
                        self.start = 0;
                    }
                    if self.end == buffer.len() {
                        if buffer.len() >= MAX_BUFFER {
                            break;
                        }
                        buffer.resize(buffer.len() * 2, 0);
                    }
                    match from.read(buffer.get_mut(self.end..).unwrap_or_default()) {
                        Ok(0) => *finished = true,
                        Ok(got) => self.end += got,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => {
                            *finished = true;
                            self.failure = Some(e);
                        }
                    }
                    if self.end == buffer.len() && buffer.len() < MAX_BUFFER {
                        buffer.resize(buffer.len() * 2, 0);
                    }
                }
            }
        }
        self.end - self.start >= n
    }

    /// Moves past `n` octets however many they are; false when the capture ends before.
    pub fn skip(&mut self, mut n: u64) -> bool {
        loop {
            let step = usize::try_from(n).unwrap_or(usize::MAX).min(self.end - self.start);
            self.consume(step);
            n -= step as u64;
            if n == 0 {
                return true;
            }
            if !self.fill(1) {
                return false;
            }
        }
    }

    /// The error that ended the input, if it was not simply its end.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_follows_the_data_and_never_a_wish() {
        let mut input = Input::stream(Box::new(io::repeat(7).take(1000)));
        assert!(!input.fill(512 * 1024));
        assert_eq!(input.window().len(), 1000);
        let Store::Stream { buffer, .. } = &input.store else { panic!("a stream") };
        assert_eq!(buffer.len(), FIRST_BUFFER);
    }

    #[test]
    fn a_window_moves_through_a_reader_and_keeps_count() {
        let data: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
        let mut input = Input::stream(Box::new(io::Cursor::new(data.clone())));
        let mut seen = Vec::new();
        while input.fill(1) {
            let n = input.window().len().min(7001);
            assert_eq!(input.offset(), seen.len() as u64);
            seen.extend_from_slice(&input.window()[..n]);
            input.consume(n);
        }
        assert_eq!(seen, data);
    }

    #[test]
    fn skipping_beyond_the_end_says_so() {
        let mut input = Input::stream(Box::new(io::repeat(0).take(100)));
        assert!(input.skip(60));
        assert_eq!(input.offset(), 60);
        assert!(!input.skip(u64::from(u32::MAX)));
    }

    #[test]
    fn a_mapped_file_that_shrinks_is_not_touched_beyond_its_end() {
        let file = tempfile::tempfile().expect("temporary file");
        let size = 3 * MAPPED_STEP as u64;
        file.set_len(size).expect("grow");
        let mut input = Input::mapped(file.try_clone().expect("clone")).expect("map");
        file.set_len(MAPPED_STEP as u64 + 10).expect("shrink");
        let mut octets = 0u64;
        while input.fill(1) {
            let n = input.window().len();
            octets += input.window().iter().map(|b| u64::from(*b == 0)).sum::<u64>();
            input.consume(n);
        }
        assert_eq!(octets, MAPPED_STEP as u64 + 10);
        assert!(input.take_failure().is_some());
    }
}
