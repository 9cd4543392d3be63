//! The bytes of a capture as a window that moves forward over one buffer.
//!
//! Reading blocks costs what mapping the file costs, and a file that is cut or a disk that fails while it is read is an
//! error here, where a mapping would end the process.

use std::io::{self, Read};
use std::ops::Range;

/// A buffer starts this small and doubles only once data has filled it: what a file claims allocates nothing.
const FIRST_BUFFER: usize = 32 * 1024;

/// What a buffer grows to with the data: few system calls at line rate, and it stays in a core's second cache beside what
/// the packets touch.
const USUAL_BUFFER: usize = 256 * 1024;
/// The largest it gets, for the longest block.
const MAX_BUFFER: usize = 1024 * 1024;

/// A window onto a capture's bytes.
pub(super) struct Input {
    from: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The window within the buffer.
    start: usize,
    end: usize,
    /// Offset in the capture of the buffer's first byte.
    base: u64,
    finished: bool,
    failure: Option<io::Error>,
}

impl Input {
    pub fn new(from: Box<dyn Read + Send>) -> Input {
        Input { from, buffer: vec![0; FIRST_BUFFER], start: 0, end: 0, base: 0, finished: false, failure: None }
    }

    /// The bytes at hand.
    #[inline]
    pub fn window(&self) -> &[u8] {
        self.bytes(self.start..self.end)
    }

    /// Bytes of the buffer by a range made from [`Input::place`]; `consume` keeps them, the next `fill` may not.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// Where bytes of the window are in the buffer.
    #[inline]
    pub fn place(&self, from: usize, len: usize) -> Range<usize> {
        self.start + from..self.start + from + len
    }

    /// Offset in the capture of the window's first byte.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Moves the window's front past `n` bytes of it.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Sees to it that the window holds `n` bytes (at most [`MAX_BUFFER`]); false when there are no more to be had.
    #[inline(always)]
    pub fn fill(&mut self, n: usize) -> bool {
        self.end - self.start >= n || self.fetch(n)
    }

    #[cold]
    fn fetch(&mut self, n: usize) -> bool {
        while !self.finished && self.end - self.start < n {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.base += self.start as u64;
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.buffer.len() && !self.grow(MAX_BUFFER) {
                break;
            }
            match self.from.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => self.finished = true,
                Ok(got) => self.end += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.finished = true;
                    self.failure = Some(e);
                }
            }
            if self.end == self.buffer.len() {
                self.grow(USUAL_BUFFER);
            }
        }
        self.end - self.start >= n
    }

    /// Doubles a buffer that data have filled.
    fn grow(&mut self, most: usize) -> bool {
        let may = self.buffer.len() < most;
        if may {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        may
    }

    /// Moves past `n` bytes however many they are; false when the capture ends before.
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
        let mut input = Input::new(Box::new(io::repeat(7).take(1000)));
        assert!(!input.fill(512 * 1024));
        assert_eq!(input.window().len(), 1000);
        assert_eq!(input.buffer.len(), FIRST_BUFFER);
    }

    #[test]
    fn a_window_moves_through_a_reader_and_keeps_count() {
        let data: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
        let mut input = Input::new(Box::new(io::Cursor::new(data.clone())));
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
        let mut input = Input::new(Box::new(io::repeat(0).take(100)));
        assert!(input.skip(60));
        assert_eq!(input.offset(), 60);
        assert!(!input.skip(u64::from(u32::MAX)));
    }
}
