//! A cursor over the bytes of a block: every read is checked, in the byte order of the file.

use auscult_core::units::text::clean_bytes;

/// Reads numbers from the front of a slice.
#[derive(Clone, Copy)]
pub(super) struct ByteReader<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> ByteReader<'a> {
    pub fn new(bytes: &'a [u8], big: bool) -> ByteReader<'a> {
        ByteReader { bytes, big }
    }

    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        let bytes = self.array()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub fn u32(&mut self) -> Option<u32> {
        let bytes = self.array()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub fn u64(&mut self) -> Option<u64> {
        let bytes = self.array()?;
        Some(if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// The next option of a pcapng block: code and value. `None` at the end mark, at the end, and where options break off.
    pub fn option(&mut self) -> Option<(u16, ByteReader<'a>)> {
        let code = self.u16()?;
        let len = usize::from(self.u16()?);
        if code == 0 {
            return None;
        }
        let value = self.take(len)?;
        self.take(len.next_multiple_of(4) - len);
        Some((code, ByteReader { bytes: value, big: self.big }))
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Everything that is left, as one line of text fit to be shown, at most `max` bytes. The file's maker wrote it.
    pub fn text(&self, max: usize) -> String {
        let padding = self.bytes.iter().rev().take_while(|b| **b == 0).count();
        clean_bytes(self.bytes.get(..self.bytes.len() - padding).unwrap_or_default(), max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_byte_order_and_stop_at_the_end() {
        let mut c = ByteReader::new(&[1, 2, 3, 4, 5, 6, 7], true);
        assert_eq!((c.u16(), c.u32()), (Some(0x0102), Some(0x0304_0506)));
        assert_eq!((c.u16(), c.u8(), c.u8()), (None, Some(7), None));
        assert_eq!(ByteReader::new(&[1, 0, 0, 0, 0, 0, 0, 0], false).u64(), Some(1));
    }

    #[test]
    fn options_are_padded_to_four_octets_and_end_at_zero() {
        let mut c = ByteReader::new(&[2, 0, 1, 0, b'x', 0, 0, 0, 9, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1], false);
        let (code, value) = c.option().expect("first");
        assert_eq!((code, value.text(9)), (2, "x".to_owned()));
        let (code, mut value) = c.option().expect("second");
        assert_eq!((code, value.u8()), (9, Some(6)));
        assert!(c.option().is_none());
        assert!(ByteReader::new(&[2, 0, 0xff, 0xff, 1], false).option().is_none(), "a length beyond the block");
    }
}
