//! Checked reads: a cursor over bytes, and a span that also knows how long it was on the wire.

/// Reads big-endian fields from the front of a slice. Every read is checked; a failed read takes nothing.
#[derive(Clone, Copy, Debug)]
pub struct ByteReader<'a> {
    rest: &'a [u8],
}

impl<'a> ByteReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        ByteReader { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

/// The captured part of something that was `wire` bytes long on the wire; never more captured than that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub bytes: &'a [u8],
    pub wire: usize,
}

impl<'a> Span<'a> {
    pub fn new(bytes: &'a [u8], wire: usize) -> Self {
        Span { bytes: bytes.get(..wire).unwrap_or(bytes), wire }
    }

    /// Without the first `n` bytes, of which all that were captured are dropped.
    pub fn skip(self, n: usize) -> Span<'a> {
        Span { bytes: self.bytes.get(n..).unwrap_or_default(), wire: self.wire.saturating_sub(n) }
    }

    /// As long as an inner length field says: padding behind it goes, bytes beyond the capture stay on the wire.
    pub fn with_length(self, wire: usize) -> Span<'a> {
        Span::new(self.bytes, wire)
    }

    pub fn is_cut(self) -> bool {
        self.bytes.len() < self.wire
    }

    pub fn cursor(self) -> ByteReader<'a> {
        ByteReader::new(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_takes_nothing() {
        let mut c = ByteReader::new(&[1, 2, 3]);
        assert_eq!(c.u16(), Some(0x0102));
        assert_eq!(c.u16(), None);
        assert_eq!(c.u32(), None);
        assert_eq!(c.take(2), None);
        assert_eq!(c.u8(), Some(3));
        assert!(c.is_empty());
        assert_eq!(c.u8(), None);
    }

    #[test]
    fn a_span_keeps_captured_and_wire_lengths_apart() {
        let s = Span::new(&[1, 2, 3, 4], 10);
        assert!(s.is_cut());
        assert_eq!((s.skip(3).bytes, s.skip(3).wire), (&[4u8][..], 7));
        assert_eq!((s.skip(7).bytes, s.skip(7).wire), (&[][..], 3));
        assert_eq!((s.with_length(2).bytes, s.with_length(2).wire), (&[1u8, 2][..], 2));
        assert!(!s.with_length(4).is_cut());
        assert_eq!(Span::new(&[1, 2], 1).bytes, [1]);
    }
}
