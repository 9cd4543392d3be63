//! One segment file: a batch frozen with its token, checked by checksums when it is read back.
//!
//! Layout: magic, header length (u32 little endian), header (JSON), CRC-32 of the header (u32), payload (RowBinary in
//! one zstd frame). The header carries the length and CRC-32 of the payload. A file is whole or it is not a segment.

use crate::rowbinary::{RowBinary, RowKey};
use crate::rows::Table;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"AUSCSEG\n";

/// Format written; readers take this and older ones.
const VERSION: u32 = 2;

/// Texts of SIP messages in segments of this format and later ones passed the allow-list.
pub(super) const FIRST_CLEAN: u32 = 2;

/// Largest header read: column names of one table are about 1 KiB.
const HEADER_LIMIT: usize = 64 * 1024;

/// Largest batch unpacked, bytes; the writer closes a batch long before.
const ROWS_LIMIT: usize = 256 * 1024 * 1024;

/// A batch that will not change any more: same rows, same order, same token on every try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBatch {
    /// Place in the order of the spool.
    pub number: u64,
    pub table: Table,
    pub rows: u32,
    pub token: String,
    /// Number of the segment of which this is a part.
    pub half_of: Option<u64>,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// A batch read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Format of the file it was read from, or is to be written in.
    pub format: u32,
    pub table: Table,
    pub columns: Vec<String>,
    pub rows: u32,
    /// Deduplication token: a second delivery of the same batch has no effect.
    pub token: String,
    /// The batch's first row, by which the store is asked whether it has the batch. All rows of a batch are stored
    /// in the same second, so they are one part of one partition: there together or not at all.
    pub first: Option<RowKey>,
    /// The replay these rows come from, as the ledger names it; `None` for live capture.
    pub origin: Option<String>,
    /// Rows in RowBinary.
    pub payload: Vec<u8>,
}

/// What a segment says about itself, read without its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub first: Option<RowKey>,
    pub origin: Option<String>,
}

/// Why a file is not a segment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSegment {
    #[error("damaged: {0}")]
    Damaged(&'static str),
    #[error("written by a newer auscult (format {0}, this one reads up to {VERSION}): it is kept for that one")]
    Newer(u32),
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    table: String,
    columns: Vec<String>,
    rows: u32,
    token: String,
    #[serde(default)]
    first: Option<RowKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    payload_length: u64,
    payload_crc32: u32,
}

/// Turns rows into a file's bytes.
pub fn encode(number: u64, table: Table, token: String, rows: &RowBinary) -> std::io::Result<EncodedBatch> {
    encode_replayed(number, table, token, rows, None)
}

/// As [`encode`], with the name of the replay the rows come from.
pub fn encode_replayed(
    number: u64,
    table: Table,
    token: String,
    rows: &RowBinary,
    origin: Option<String>,
) -> std::io::Result<EncodedBatch> {
    let columns = rows.columns().iter().map(|c| (*c).to_owned()).collect();
    let (first, rows, payload) = (rows.first(), rows.rows(), rows.bytes().to_vec());
    encode_batch(number, None, &Batch { format: VERSION, table, columns, rows, token, first, origin, payload })
}

/// Turns a batch into a file's bytes.
pub fn encode_batch(number: u64, half_of: Option<u64>, batch: &Batch) -> std::io::Result<EncodedBatch> {
    let payload = zstd::bulk::compress(&batch.payload, 1)?;
    let header = serde_json::to_vec(&Header {
        version: VERSION,
        table: batch.table.name().to_owned(),
        columns: batch.columns.clone(),
        rows: batch.rows,
        token: batch.token.clone(),
        first: batch.first,
        origin: batch.origin.clone(),
        payload_length: payload.len() as u64,
        payload_crc32: crc32fast::hash(&payload),
    })?;
    let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + header.len() + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok(EncodedBatch { number, table: batch.table, rows: batch.rows, token: batch.token.clone(), half_of, bytes })
}

/// Reads a segment back; every byte is covered by a checksum or compared.
pub fn decode(bytes: &[u8]) -> Result<Batch, BadSegment> {
    let (header, payload) = header_of(bytes)?;
    if payload.len() as u64 != header.payload_length {
        return Err(BadSegment::Damaged("length of the rows"));
    }
    if crc32fast::hash(payload) != header.payload_crc32 {
        return Err(BadSegment::Damaged("checksum of the rows"));
    }
    let table = Table::from_name(&header.table).ok_or(BadSegment::Damaged("unknown table"))?;
    let size = zstd::bulk::Decompressor::upper_bound(payload).unwrap_or(ROWS_LIMIT).min(ROWS_LIMIT);
    let payload = zstd::bulk::decompress(payload, size).map_err(|_| BadSegment::Damaged("compressed rows"))?;
    let Header { version: format, columns, rows, token, first, origin, .. } = header;
    Ok(Batch { format, table, columns, rows, token, first, origin, payload })
}

/// The format of a file by its first bytes, at least [`HEAD`] of them; `None` where they are no header. Nothing is checked.
pub(super) fn format_of(head: &[u8]) -> Option<u32> {
    let (length, rest) = take_u32(head.strip_prefix(MAGIC)?)?;
    let header = rest.get(..usize::try_from(length).ok()?)?;
    Some(serde_json::from_slice::<Version>(header).ok()?.version)
}

/// Reads the header alone; `bytes` may end anywhere behind it ([`HEAD`] bytes are enough).
pub fn about(bytes: &[u8]) -> Option<About> {
    header_of(bytes).ok().map(|(header, _)| About { first: header.first, origin: header.origin })
}

/// Bytes from the beginning of a file that hold every header.
pub const HEAD: usize = MAGIC.len() + 8 + HEADER_LIMIT;

/// The checked header, and what follows it.
fn header_of(bytes: &[u8]) -> Result<(Header, &[u8]), BadSegment> {
    let cut = BadSegment::Damaged("cut short");
    let rest = bytes.strip_prefix(MAGIC).ok_or(BadSegment::Damaged("not a segment"))?;
    let (length, rest) = take_u32(rest).ok_or(BadSegment::Damaged("cut short"))?;
    let length = length as usize;
    if length > HEADER_LIMIT {
        return Err(BadSegment::Damaged("header longer than any"));
    }
    let (header, rest) = rest.split_at_checked(length).ok_or(BadSegment::Damaged("cut short"))?;
    let (crc, payload) = take_u32(rest).ok_or(cut)?;
    if crc32fast::hash(header) != crc {
        return Err(BadSegment::Damaged("header checksum"));
    }
    let version = serde_json::from_slice::<Version>(header).map_err(|_| BadSegment::Damaged("header"))?.version;
    if version > VERSION {
        return Err(BadSegment::Newer(version));
    }
    Ok((serde_json::from_slice(header).map_err(|_| BadSegment::Damaged("header"))?, payload))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (four, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*four), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Serialize)]
    struct One {
        value: u64,
    }

    fn sample(values: &[u64]) -> EncodedBatch {
        let mut rows = RowBinary::default();
        for value in values {
            rows.push(&One { value: *value }).unwrap();
        }
        encode(7, Table::Calls, "t-7".to_owned(), &rows).unwrap()
    }

    proptest! {
        #[test]
        fn a_batch_comes_back_as_it_was(values in prop::collection::vec(any::<u64>(), 0..300)) {
            let batch = decode(&sample(&values).bytes).unwrap();
            let payload: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            prop_assert_eq!((batch.payload, batch.rows as usize, batch.token), (payload, values.len(), "t-7".to_owned()));
            prop_assert_eq!(batch.table, Table::Calls);
        }

        #[test]
        fn no_damage_goes_unseen(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
            let whole = sample(&[1, 2, 3]).bytes;
            let mut flipped = whole.clone();
            flipped[at.index(whole.len())] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&whole[..cut.index(whole.len())]).is_err());
            let mut longer = whole;
            longer.push(0);
            prop_assert!(decode(&longer).is_err());
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let header = br#"{"version":3,"shape":"other"}"#;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        bytes.extend(crc32fast::hash(header).to_le_bytes());
        assert_eq!(decode(&bytes), Err(BadSegment::Newer(3)));
    }
}
