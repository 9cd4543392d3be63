//! What comes to the store's endpoint and what is read back from the spool: compression frames, fields of a request,
//! statements, segments.

use crate::script::Script;
use auscult_store::endpoint::frames::{FrameReader, pack};
use auscult_store::endpoint::request::{Fields, Statement, classify};
use auscult_store::rowbinary::RowBinary;
use auscult_store::rows::Table;
use auscult_store::spool::{BadSegment, decode, encode};

/// Largest frame the reader takes.
const LARGEST: usize = 128 * 1024 * 1024;

/// Compression frames of ClickHouse: as they are, and with a checksum that is right, so that mutations reach behind it.
pub fn clickhouse_frames(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (how, step) = (script.byte(), 1 + usize::from(script.byte()));
    let mut stream = Vec::new();
    let mut whole: Option<Vec<u8>> = None;
    if how & 1 == 0 {
        stream.extend(script.rest());
    } else if how & 2 == 0 {
        let data = script.rest();
        stream.extend(pack(data));
        whole = Some(data.to_vec());
    } else {
        let method = [0x82, 0x90, 0x02, script.byte()][usize::from(how >> 2 & 3)];
        let (packed, unpacked) = (script.u32(), script.u32());
        let data = script.rest();
        let packed = if how & 0x10 == 0 { data.len() as u32 + 9 } else { packed };
        // Claims of many megabytes cost the memory they claim; a few are enough.
        let unpacked = if how & 0xe0 == 0 { unpacked } else { unpacked % 4096 };
        let mut covered = vec![method];
        covered.extend(packed.to_le_bytes());
        covered.extend(unpacked.to_le_bytes());
        covered.extend(data);
        stream.extend(cityhash_rs::cityhash_102_128(&covered).rotate_right(64).to_le_bytes());
        stream.extend(covered);
    }
    let mut reader = FrameReader::default();
    let mut out: Vec<u8> = Vec::new();
    for piece in stream.chunks(step) {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= LARGEST);
                    out.extend(frame.get(..frame.len().min(1 << 20)).unwrap_or_default());
                }
                Ok(None) => break,
                Err(_) => {
                    assert!(whole.is_none(), "what was packed here is refused");
                    return;
                }
            }
        }
    }
    if let Some(whole) = whole {
        assert!(reader.finish().is_ok() && out == whole, "packed and unpacked differ");
    }
}

/// Fields of a request, and its statement.
pub fn request(bytes: &[u8]) {
    let mut fields = Fields::default();
    let text = String::from_utf8_lossy(bytes);
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if fields.take(name.to_owned(), value.to_owned()).is_err() {
            continue;
        }
    }
    for (name, _) in &fields.settings {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
    }
    for (name, _) in &fields.parameters {
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
    }
    match classify(bytes) {
        Statement::Insert { head, format, inline } => {
            assert!(bytes.ends_with(inline), "rows that the request does not end in");
            assert!(head.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert")) || !head.is_empty());
            assert!(!format.is_empty() && format.len() <= bytes.len());
        }
        Statement::Select(format) => assert!(format.is_none_or(|f| !f.is_empty() && f.len() <= bytes.len())),
        Statement::Other => {}
    }
}

#[derive(serde::Serialize)]
struct Row {
    value: u64,
    text: String,
}

/// Segments of the spool: any bytes; a header of the script under checksums that are right; and what was frozen comes back.
pub fn segment(bytes: &[u8]) {
    let _ = decode(bytes);
    let mut script = Script::new(bytes);
    let cut = usize::from(script.u16());
    let (header, payload) = (script.take(cut), script.rest());
    let mut file = b"AUSCSEG\n".to_vec();
    file.extend((header.len() as u32).to_le_bytes());
    file.extend(header);
    file.extend(crc32fast::hash(header).to_le_bytes());
    file.extend(payload);
    let _ = decode(&file);
    // A whole header over rows that are the script's: what it unpacks to is bounded.
    let header = serde_json::json!({
        "version": 1, "table": "calls", "columns": ["a"], "rows": cut, "token": "t",
        "payload_length": payload.len(), "payload_crc32": crc32fast::hash(payload),
    })
    .to_string();
    let mut file = b"AUSCSEG\n".to_vec();
    file.extend((header.len() as u32).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(crc32fast::hash(header.as_bytes()).to_le_bytes());
    file.extend(payload);
    match decode(&file) {
        Ok(batch) => assert!(batch.payload.len() <= 256 << 20 && batch.table == Table::Calls),
        Err(BadSegment::Newer(_)) => panic!("version 1 is no newer one"),
        Err(_) => {}
    }
    let mut rows = RowBinary::default();
    let row = Row { value: cut as u64, text: String::from_utf8_lossy(payload).into_owned() };
    rows.push(&row).unwrap_or_else(|e| panic!("a row has a form: {e}"));
    let frozen = encode(1, Table::Streams, "t".to_owned(), &rows).unwrap_or_else(|e| panic!("{e}"));
    let batch = decode(&frozen.bytes).unwrap_or_else(|e| panic!("{e}"));
    assert!(batch.payload == rows.bytes() && batch.rows == 1 && batch.columns == ["value", "text"]);
}
