//! Capture files: classic pcap with nanoseconds, plain or compressed, written and read back.

use flate2::{Compression, GzBuilder, read::GzDecoder};
use std::io::{self, Read, Write};

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Nanoseconds since the epoch.
    pub at: i64,
    /// Length on the wire; longer than `bytes` when a snap length cut it.
    pub wire_len: u32,
    pub bytes: Vec<u8>,
}

const MAGIC_NS: u32 = 0xA1B2_3C4D;
const MAGIC_US: u32 = 0xA1B2_C3D4;
/// Snap length written to headers: no frame here is longer.
const SNAPLEN: u32 = 262_144;

/// The header of a little-endian Ethernet file with nanoseconds.
pub fn header() -> [u8; 24] {
    let mut out = [0; 24];
    out[0..4].copy_from_slice(&MAGIC_NS.to_le_bytes());
    out[4..6].copy_from_slice(&2u16.to_le_bytes());
    out[6..8].copy_from_slice(&4u16.to_le_bytes());
    out[16..20].copy_from_slice(&SNAPLEN.to_le_bytes());
    out[20..24].copy_from_slice(&1u32.to_le_bytes());
    out
}

/// Appends one record.
pub fn record(out: &mut impl Write, at: i64, wire_len: u32, bytes: &[u8]) -> io::Result<()> {
    let mut head = [0; 16];
    head[0..4].copy_from_slice(&(at.div_euclid(1_000_000_000) as u32).to_le_bytes());
    head[4..8].copy_from_slice(&(at.rem_euclid(1_000_000_000) as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    head[12..16].copy_from_slice(&wire_len.to_le_bytes());
    out.write_all(&head)?;
    out.write_all(bytes)
}

/// A whole file in memory.
pub fn to_bytes(frames: &[Frame]) -> Vec<u8> {
    let mut out = header().to_vec();
    for f in frames {
        record(&mut out, f.at, f.wire_len, &f.bytes).expect("writing to memory");
    }
    out
}

/// How a file is packed, by the end of its name.
pub fn pack(name: &str, plain: &[u8]) -> io::Result<Vec<u8>> {
    if name.ends_with(".gz") {
        // No time and no name in the header, so that the same capture gives the same file.
        let mut gz = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
        gz.write_all(plain)?;
        gz.finish()
    } else if name.ends_with(".zst") {
        zstd::encode_all(plain, 19)
    } else {
        Ok(plain.to_vec())
    }
}

/// The plain capture inside a file packed by [`pack`] or by the usual tools.
pub fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    match packed {
        [0x1F, 0x8B, ..] => {
            let mut out = Vec::new();
            GzDecoder::new(packed).read_to_end(&mut out)?;
            Ok(out)
        }
        [0x28, 0xB5, 0x2F, 0xFD, ..] => zstd::decode_all(packed),
        _ => Ok(packed.to_vec()),
    }
}

/// The frames of a plain little-endian pcap (microseconds or nanoseconds, Ethernet). An error names the offset.
pub fn read(plain: &[u8]) -> Result<Vec<Frame>, String> {
    let word = |at: usize| -> Result<u32, String> {
        let b = plain.get(at..at + 4).ok_or(format!("pcap ends at {}, wanted 4 bytes at {at}", plain.len()))?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let unit = match word(0)? {
        MAGIC_NS => 1,
        MAGIC_US => 1_000,
        other => return Err(format!("pcap magic {other:#010x} is not one this reader knows")),
    };
    if word(20)? != 1 {
        return Err(format!("link type {} is not Ethernet", word(20)?));
    }
    let mut frames = Vec::new();
    let mut at = 24;
    while at < plain.len() {
        let len = word(at + 8)? as usize;
        let bytes = plain.get(at + 16..at + 16 + len).ok_or(format!("record at {at} is cut short"))?;
        let time = i64::from(word(at)?) * 1_000_000_000 + i64::from(word(at + 4)?) * unit;
        frames.push(Frame { at: time, wire_len: word(at + 12)?, bytes: bytes.to_vec() });
        at += 16 + len;
    }
    Ok(frames)
}

/// Frames and captured bytes of a plain little-endian pcap, read in blocks: no less can be done with a capture.
pub fn walk(file: &mut impl Read) -> io::Result<(u64, u64)> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut block = vec![0; 1 << 20];
    let (mut frames, mut bytes, mut checksum) = (0u64, 0u64, 0u32);
    // What of the block is filled, and read.
    let (mut end, mut at) = (0, 0);
    let mut header = 24;
    loop {
        block.copy_within(at..end, 0);
        end -= at;
        at = 0;
        let read = file.read(&mut block[end..])?;
        end += read;
        if header > 0 && end >= header {
            at = std::mem::take(&mut header);
        }
        while let Some(head) = block[at..end].first_chunk::<16>() {
            let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
            if len > SNAPLEN as usize {
                return Err(invalid(format!("frame {frames} claims {len} bytes")));
            }
            let Some(frame) = block.get(at + 16..at + 16 + len).filter(|_| at + 16 + len <= end) else { break };
            // As a reader has to, it touches the first line of each frame.
            checksum ^= u32::from(frame.get(30).copied().unwrap_or(0));
            frames += 1;
            bytes += len as u64;
            at += 16 + len;
        }
        if read == 0 {
            std::hint::black_box(checksum);
            return if at == end { Ok((frames, bytes)) } else { Err(invalid(format!("cut after frame {frames}"))) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walking_sees_every_frame() {
        let plan = crate::bulk::Streams::new(40, 30);
        let mut file = Vec::new();
        plan.write_pcap(&mut file).unwrap();
        let frames = read(&file).unwrap();
        let bytes: usize = frames.iter().map(|f| f.bytes.len()).sum();
        assert!(file.len() > 2 << 20, "more than a block");
        assert_eq!(walk(&mut file.as_slice()).unwrap(), (frames.len() as u64, bytes as u64));
        assert!(walk(&mut &file[..file.len() - 1]).is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        let frames = vec![
            Frame { at: 1_794_301_200_123_456_789, wire_len: 3, bytes: vec![1, 2, 3] },
            Frame { at: 1_794_301_200_999_999_999, wire_len: 90, bytes: vec![4; 60] },
        ];
        let plain = to_bytes(&frames);
        for name in ["a.pcap", "a.pcap.gz", "a.pcap.zst"] {
            let packed = pack(name, &plain).unwrap();
            assert_eq!(unpack(&packed).unwrap(), plain, "{name}");
        }
        assert_eq!(pack("a.gz", &plain).unwrap()[4..8], [0; 4], "gzip mtime");
        assert_eq!(read(&plain).unwrap(), frames);
        assert!(read(&plain[..plain.len() - 1]).is_err());
    }
}
