//! ClickHouse's own compression frames, as `decompress=1` and `compress=1` mean them.
//!
//! A frame is a 16-byte CityHash102 checksum, then what it covers: method (0x82 LZ4, 0x90 ZSTD, 0x02 none),
//! size with these nine header bytes and size unpacked (both u32, little endian), and the data.

const CHECKSUM: usize = 16;
const HEADER: usize = 9;

/// Largest frame taken, packed or unpacked: clients send blocks of about 1 MiB, batches of ours up to 64 MiB.
pub const LARGEST: usize = 128 * 1024 * 1024;

/// Takes bytes as they arrive and gives back frames as they complete.
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were given out already.
    taken: usize,
    largest: usize,
}

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::with_largest(LARGEST)
    }
}

impl FrameReader {
    /// A reader that takes frames of up to `largest` bytes, packed or unpacked.
    pub fn with_largest(largest: usize) -> FrameReader {
        FrameReader { buffer: Vec::new(), taken: 0, largest }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // Once for each push and not for each frame.
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame unpacked, `None` until more bytes come.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, String> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((head, _)) = rest.split_at_checked(CHECKSUM + HEADER) else { return Ok(None) };
        let packed = size_at(head, CHECKSUM + 1)?;
        let unpacked = size_at(head, CHECKSUM + 5)?;
        if !(HEADER..=self.largest).contains(&packed) || unpacked > self.largest {
            return Err(format!("compressed block of {packed} bytes, {unpacked} unpacked, is outside the limits"));
        }
        let Some(frame) = rest.get(..CHECKSUM + packed) else { return Ok(None) };
        let (checksum, covered) = frame.split_at(CHECKSUM);
        if checksum != checksum_of(covered) {
            return Err("checksum of a compressed block does not match".to_owned());
        }
        let (header, data) = covered.split_at(HEADER);
        let bytes = match header.first() {
            Some(0x82) => lz4_flex::block::decompress(data, unpacked).map_err(|e| e.to_string())?,
            Some(0x90) => zstd::bulk::decompress(data, unpacked).map_err(|e| e.to_string())?,
            Some(0x02) => data.to_vec(),
            other => return Err(format!("unknown compression method {other:02x?}")),
        };
        if bytes.len() != unpacked {
            return Err("a compressed block has another size than it says".to_owned());
        }
        self.taken += CHECKSUM + packed;
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        }
        Ok(Some(bytes))
    }

    /// An error if bytes of an unfinished frame are left.
    pub fn finish(&self) -> Result<(), String> {
        if self.taken == self.buffer.len() { Ok(()) } else { Err("the last compressed block is cut short".to_owned()) }
    }
}

/// One LZ4 frame of `data`, which is shorter than 4 GiB.
pub fn pack(data: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(data);
    let mut covered = Vec::with_capacity(HEADER + packed.len());
    covered.push(0x82);
    covered.extend_from_slice(&((packed.len() + HEADER) as u32).to_le_bytes());
    covered.extend_from_slice(&(data.len() as u32).to_le_bytes());
    covered.extend_from_slice(&packed);
    let mut frame = checksum_of(&covered).to_vec();
    frame.append(&mut covered);
    frame
}

fn checksum_of(covered: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(covered).rotate_right(64).to_le_bytes()
}

fn size_at(bytes: &[u8], at: usize) -> Result<usize, String> {
    let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or("a compressed block is cut short")?;
    Ok(u32::from_le_bytes(four) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_back_whatever_the_cuts(data in prop::collection::vec(any::<u8>(), 0..2000), cut in 1usize..64) {
            let mut wire = pack(&data);
            wire.extend(pack(b"second"));
            let mut reader = FrameReader::default();
            let mut out = Vec::new();
            for piece in wire.chunks(cut) {
                reader.push(piece);
                while let Some(frame) = reader.next_frame().unwrap() {
                    out.extend(frame);
                }
            }
            prop_assert!(reader.finish().is_ok());
            let mut expected = data.clone();
            expected.extend(b"second");
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn a_changed_bit_is_an_error_or_waits_for_more(at in 0usize..60, bit in 0u8..8) {
            let mut wire = pack(&[7u8; 300]);
            let at = at % wire.len();
            wire[at] ^= 1 << bit;
            let mut reader = FrameReader::default();
            reader.push(&wire);
            if let Ok(frame) = reader.next_frame() {
                prop_assert!(frame.is_none() && reader.finish().is_err());
            }
        }
    }
}
