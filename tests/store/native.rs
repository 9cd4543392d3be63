//! What clickhouse-go, and so Grafana's ClickHouse data source, reads from the endpoint: the Native format by its own reader.

use crate::embedded;
use crate::endpoint::open;
use auscult_store::endpoint::Access;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The revision of the driver's HTTP client.
const CLIENT: u64 = 54_460;

/// A block of one format revision, column by column.
struct Reader<'a> {
    bytes: &'a [u8],
    revision: u64,
}

#[derive(Debug, PartialEq)]
enum Column {
    Texts(Vec<String>),
    Numbers(Vec<u64>),
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.bytes.split_at_checked(length).expect("the block ends early");
        self.bytes = rest;
        taken.to_vec()
    }

    fn varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
        }
        panic!("a number without end");
    }

    fn text(&mut self) -> String {
        let length = self.varint() as usize;
        String::from_utf8(self.take(length)).unwrap()
    }

    /// As the driver decodes it: info of the block, counts, and name, type and values of each column.
    fn block(&mut self) -> Vec<(String, String, Column)> {
        if self.revision > 0 {
            assert_eq!((self.varint(), self.take(1)), (1, vec![0]), "field 1: overflow row");
            assert_eq!((self.varint(), self.take(4)), (2, vec![0xff; 4]), "field 2: bucket");
            assert_eq!(self.varint(), 0, "end of the info");
        }
        let (columns, rows) = (self.varint(), self.varint());
        let column = |reader: &mut Self| {
            let (name, kind) = (reader.text(), reader.text());
            if reader.revision >= 54_454 {
                assert_eq!(reader.take(1), [0], "no serialisation of its own");
            }
            let width = match kind.as_str() {
                "UInt8" => 1,
                "UInt32" | "DateTime('UTC')" => 4,
                "UInt64" => 8,
                "String" => 0,
                other => panic!("a column of type {other}"),
            };
            let values = match width {
                0 => Column::Texts((0..rows).map(|_| reader.text()).collect()),
                _ => Column::Numbers((0..rows).map(|_| little_endian(&reader.take(width))).collect()),
            };
            (name, kind, values)
        };
        (0..columns).map(|_| column(self)).collect()
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Body of the answer to a statement, asked as the driver does.
async fn ask(address: &str, sql: &str) -> Vec<u8> {
    let path =
        format!("/?client_protocol_version={CLIENT}&database=auscult&default_format=Native&max_execution_time=10");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = sql.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-clickhouse-key: r\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(sql.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&answer[..split]).to_lowercase(), &answer[split + 4..]);
    assert!(head.starts_with("http/1.1 200"), "{sql}: {head} {}", String::from_utf8_lossy(body));
    if !head.contains("transfer-encoding: chunked") {
        return body.to_vec();
    }
    let (mut whole, mut rest) = (Vec::new(), body);
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

fn decode(bytes: &[u8], revision: u64) -> Vec<(String, String, Column)> {
    let mut reader = Reader { bytes, revision };
    let block = reader.block();
    assert!(reader.bytes.is_empty(), "{} bytes are left", reader.bytes.len());
    block
}

/// The driver decodes the first answer by its own revision, and all later ones by the revision it reads there.
#[tokio::test(flavor = "multi_thread")]
async fn the_driver_of_grafana_connects_and_reads() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let address = open(&store, Access::reader(Some("r".to_owned()))).await;
    let hello = decode(&ask(&address, "SELECT displayName(), version(), revision(), timezone()").await, CLIENT);
    let names: Vec<&str> = hello.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["displayName()", "version()", "revision()", "timezone()"]);
    let [name, version, revision, zone] = &hello[..] else { panic!("{hello:?}") };
    assert_eq!(
        (&name.2, &zone.2),
        (&Column::Texts(vec!["auscult".to_owned()]), &Column::Texts(vec!["UTC".to_owned()]))
    );
    let Column::Texts(version) = &version.2 else { panic!("{hello:?}") };
    let numbers: Vec<_> = version[0].split('.').take(3).map(|n| n.parse::<u32>().is_ok()).collect();
    assert_eq!(numbers, [true; 3], "the driver reads three numbers: {version:?}");
    let Column::Numbers(revision) = &revision.2 else { panic!("{hello:?}") };
    assert_eq!(revision, &[0]);

    assert_eq!(decode(&ask(&address, "SELECT 1").await, revision[0])[0].2, Column::Numbers(vec![1]));
    let row = "INSERT INTO calls (stored_at, call_id, call_uid) VALUES (now(), 'c1', 7), (now(), 'c1', 8)";
    store.writer().query_raw(row).execute().await.unwrap();
    let sql = "SELECT call_id, count() AS calls FROM calls GROUP BY call_id";
    let found = decode(&ask(&address, sql).await, revision[0]);
    let found: Vec<_> = found.into_iter().map(|(name, _, values)| (name, values)).collect();
    let (id, calls) = (Column::Texts(vec!["c1".to_owned()]), Column::Numbers(vec![2]));
    assert_eq!(found, [("call_id".to_owned(), id), ("calls".to_owned(), calls)]);
}

/// The data source opens up to 50 connections, and a wall of panels uses them at once.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_at_once_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let address = open(&store, Access::reader(Some("r".to_owned()))).await;
    let asking: Vec<_> = (0..50)
        .map(|n: u64| {
            let address = address.clone();
            tokio::spawn(async move { (n, ask(&address, &format!("SELECT toUInt64({n}) AS n")).await) })
        })
        .collect();
    for asked in asking {
        let (n, body) = asked.await.unwrap();
        assert_eq!(decode(&body, 0)[0].2, Column::Numbers(vec![n]));
    }
}
