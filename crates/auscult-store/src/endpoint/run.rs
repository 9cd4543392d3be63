//! Statements on the engine's side: a blocking thread per request, its answer handed over in chunks.

use super::Refusal;
use super::frames;
use super::request::{Fields, Statement, classify, literal, quoted_name};
use crate::StoreError;
use crate::chdb::{ChdbEngine, Connection};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// Largest piece of an answer handed to the connection, bytes, so that progress of a slow client is seen.
const PIECE: usize = 64 << 10;

/// Chunks in flight between the engine's thread and the connection.
pub const CHUNKS: usize = 4;

/// One statement on its way to the engine.
pub struct Job {
    pub engine: ChdbEngine,
    pub fields: Fields,
    pub sql: Vec<u8>,
}

/// Rows of an INSERT on their way to the engine.
pub enum InsertRows {
    Rows(Bytes),
    End,
}

impl Job {
    fn connect(&self) -> Result<Connection, StoreError> {
        let connection = self.engine.connect(&self.fields.settings)?;
        if let Some(database) = &self.fields.database {
            connection.query(&format!("USE {}", quoted_name(database)), "TSV")?;
        }
        for (name, value) in &self.fields.parameters {
            connection.query(&format!("SET param_{name} = {}", literal(value)), "TSV")?;
        }
        Ok(connection)
    }

    fn format(&self) -> &str {
        self.fields.default_format.as_deref().unwrap_or("TabSeparated")
    }

    /// Runs an INSERT over the rows that come; returns the rows written.
    pub fn insert_from(&self, mut rows: mpsc::Receiver<InsertRows>) -> Result<u64, Refusal> {
        let Statement::Insert { head, format, inline } = classify(&self.sql) else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, 62, "SYNTAX_ERROR", "not an INSERT with rows"));
        };
        let connection = self.connect()?;
        let mut insert = connection.insert(&head, format)?;
        if !inline.is_empty() {
            insert.append(inline)?;
        }
        loop {
            match rows.blocking_recv() {
                Some(InsertRows::Rows(bytes)) => insert.append(&bytes)?,
                Some(InsertRows::End) => return Ok(insert.finish()?),
                // The caller is gone: what came so far must not become rows.
                None => return Ok(0),
            }
        }
    }

    /// Runs a statement that brings all its rows with it; hands the answer over in chunks.
    fn run(&self, out: &mpsc::Sender<Result<Chunk, Refusal>>) -> Result<(), Refusal> {
        let connection = self.connect()?;
        match classify(&self.sql) {
            Statement::Insert { head, format, inline } => {
                let mut insert = connection.insert(&head, format)?;
                insert.append(inline)?;
                let written = insert.finish()?;
                let _ = out.blocking_send(Ok(Chunk::Summary { read: 0, written }));
            }
            Statement::Select(named) if pieces_join(named.unwrap_or(self.format().as_bytes())) => {
                let mut stream = connection.stream(&self.text()?, self.format())?;
                let with_header = named.unwrap_or(self.format().as_bytes()) == b"RowBinaryWithNamesAndTypes";
                let mut header: Option<Vec<u8>> = None;
                while let Some(chunk) = stream.next_chunk()? {
                    let mut bytes = chunk.bytes();
                    if with_header {
                        match &header {
                            None => header = Some(column_header(bytes).unwrap_or_default().to_vec()),
                            Some(seen) => bytes = bytes.strip_prefix(seen.as_slice()).unwrap_or(bytes),
                        }
                    }
                    let bytes = Bytes::copy_from_slice(bytes);
                    if out.blocking_send(Ok(Chunk::Data(bytes))).is_err() {
                        // Nobody listens any more; dropping the stream cancels the query.
                        return Ok(());
                    }
                }
            }
            Statement::Select(_) | Statement::Other => {
                let answer = connection.query(&self.text()?, self.format())?;
                let (read, written) = (answer.rows_read(), answer.rows_written());
                let _ = out.blocking_send(Ok(Chunk::Summary { read, written }));
                if !answer.bytes().is_empty() {
                    let _ = out.blocking_send(Ok(Chunk::Data(Bytes::copy_from_slice(answer.bytes()))));
                }
            }
        }
        Ok(())
    }

    fn text(&self) -> Result<std::borrow::Cow<'_, str>, Refusal> {
        let not_text = |_| Refusal::new(StatusCode::BAD_REQUEST, 62, "SYNTAX_ERROR", "the query is not UTF-8");
        std::str::from_utf8(&self.sql).map(std::borrow::Cow::Borrowed).map_err(not_text)
    }
}

enum Chunk {
    Summary { read: u64, written: u64 },
    Data(Bytes),
}

/// Runs a statement; the status is sent once the first chunk, the end or an error is there.
///
/// The turn is held by the engine's thread and by the answer's body: what waits for a slow client counts as running.
pub async fn run(job: Job, turn: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    let (tx, mut rx) = mpsc::channel(CHUNKS);
    let packed = job.fields.compress;
    let turn = Arc::new(turn);
    let of_body = turn.clone();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        if let Err(refusal) = job.run(&tx) {
            let _ = tx.blocking_send(Err(refusal));
        }
    });
    let mut response = Response::new(Body::empty());
    let mut first = rx.recv().await.transpose()?;
    if let Some(Chunk::Summary { read, written }) = first {
        response = summary(read, written);
        first = rx.recv().await.transpose()?;
    }
    let Some(Chunk::Data(first)) = first else { return Ok(response) };
    let tag = exception_tag();
    if let Ok(value) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert("x-clickhouse-exception-tag", value);
    }
    let rest = ReceiverStream::new(rx).filter_map(move |chunk| match chunk {
        Ok(Chunk::Data(bytes)) => Some(bytes),
        Ok(Chunk::Summary { .. }) => None,
        Err(refusal) => Some(exception_block(&refusal.error.text, &tag)),
    });
    let chunks = tokio_stream::once(first).chain(rest);
    let chunks = futures_util::StreamExt::flat_map(chunks, move |bytes| {
        let _turn = &of_body;
        let mut bytes = if packed { Bytes::from(frames::pack(&bytes)) } else { bytes };
        tokio_stream::iter(std::iter::from_fn(move || {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            (!piece.is_empty()).then_some(Ok::<_, std::convert::Infallible>(piece))
        }))
    });
    *response.body_mut() = Body::from_stream(chunks);
    Ok(response)
}

/// Whether a streamed answer in this format is the concatenation of its pieces: the engine formats each piece as if
/// it were alone. [`column_header`] mends that for one more format; all others are answered in one piece.
fn pieces_join(format: &[u8]) -> bool {
    const FORMATS: [&[u8]; 12] = [
        b"RowBinaryWithNamesAndTypes",
        b"RowBinary",
        b"Native",
        b"TabSeparated",
        b"TSV",
        b"TabSeparatedRaw",
        b"TSVRaw",
        b"CSV",
        b"JSONEachRow",
        b"JSONLines",
        b"NDJSON",
        b"JSONCompactEachRow",
    ];
    FORMATS.contains(&format)
}

/// The names and types a RowBinaryWithNamesAndTypes answer starts with: a LEB128 count n, then 2 n strings.
fn column_header(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    let leb128 = |at: &mut usize| -> Option<usize> {
        let mut value = 0usize;
        for shift in (0..35).step_by(7) {
            let byte = *bytes.get(*at)?;
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    for _ in 0..2 * leb128(&mut at)? {
        let length = leb128(&mut at)?;
        at = at.checked_add(length)?;
    }
    bytes.get(..at)
}

/// An error after the status went out: the block ClickHouse 25.11 and newer append, found by its tag.
fn exception_block(text: &str, tag: &str) -> Bytes {
    let text = format!("{}\n", text.trim_end());
    Bytes::from(format!("\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n", text.len()))
}

/// Sixteen letters no row can guess.
fn exception_tag() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    (0..16).map(|i| char::from(b'a' + ((random >> (4 * i)) & 0xf) as u8)).collect()
}

/// An answer without rows.
pub fn summary(read: u64, written: u64) -> Response {
    let mut response = Response::new(Body::empty());
    let text = format!("{{\"read_rows\":\"{read}\",\"written_rows\":\"{written}\"}}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert("x-clickhouse-summary", value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_header_ends_where_the_rows_begin() {
        let answer = b"\x02\x01a\x04text\x05UInt8\x06String\x07\x00";
        assert_eq!(column_header(answer), answer.get(..21));
        assert_eq!(column_header(b"\x02\x01a"), None);
        assert_eq!(column_header(b"\xff\xff\xff\xff\xff\xff"), None);
    }

    #[test]
    fn a_late_error_can_be_found_from_its_end() {
        let block = exception_block("Code: 1. DB::Exception: x. (X)", "abcdefghijklmnop");
        let text = "\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 1. DB::Exception: x. (X)\n31 abcdefghijklmnop\r\n__exception__\r\n";
        assert_eq!(block, text.as_bytes());
        assert_ne!(exception_tag(), exception_tag());
    }
}
