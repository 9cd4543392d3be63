//! The HTTP interface: the official client with all it does, foreign clients, and what readers may not do.

use crate::{embedded, now};
use auscult_store::budget::QUERY_MEMORY_BYTES;
use auscult_store::endpoint::{Access, serve_endpoint};
use auscult_store::rows::CallRow;
use clickhouse::{Client, Compression};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub async fn open(store: &auscult_store::Store, access: Access) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let engine = store.engine().unwrap().clone();
    tokio::spawn(serve_endpoint(engine, access, listener));
    address
}

/// One request by hand; status and everything after the first line.
pub async fn request(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_runs_unmodified() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let address = open(&store, Access::writer(Some("t".to_owned()))).await;
    let lz4 = Client::default()
        .with_url(format!("http://{address}"))
        .with_password("t")
        .with_database("auscult")
        .with_compression(Compression::Lz4);
    for client in [store.writer(), lz4] {
        client.query("TRUNCATE TABLE calls").execute().await.unwrap();
        let row = CallRow::new(&crate::samples::call(1), &crate::samples::labels(), now());
        let mut insert = client.insert::<CallRow>("calls").await.unwrap();
        for uid in 0..5000 {
            insert.write(&CallRow { call_uid: uid, row_id: uid, ..row.clone() }).await.unwrap();
        }
        insert.end().await.unwrap();
        let text = "tab\t quote' back\\slash \u{1F600}\nline";
        let query =
            client.query("SELECT {text:String}, {n:UInt32} + ?, count() FROM calls WHERE call_uid < {n:UInt32}");
        let found: (String, u64, u64) = query.param("text", text).param("n", 7u32).bind(1u8).fetch_one().await.unwrap();
        assert_eq!(found, (text.to_owned(), 8, 7));
        let mut cursor = client.query("SELECT number FROM numbers(1500000)").fetch::<u64>().unwrap();
        let mut sum = 0;
        while let Some(n) = cursor.next().await.unwrap() {
            sum += n;
        }
        assert_eq!(sum, 1_500_000 * 1_499_999 / 2);
        let none =
            client.query("SELECT ?fields FROM calls WHERE call_uid > 5000").fetch_all::<CallRow>().await.unwrap();
        assert_eq!(none, []);
        assert_eq!(client.query("SELECT 1 WHERE 0").fetch_optional::<u8>().await.unwrap(), None);
        for (format, lines) in [("JSONCompact", 1), ("CSVWithNames", 1_000_001), ("JSONEachRow", 1_000_000)] {
            let sql = "SELECT number AS n FROM numbers(1000000) SETTINGS max_block_size = 65536";
            let mut cursor = client.query(sql).fetch_bytes(format).unwrap();
            let whole = cursor.collect().await.unwrap();
            match format {
                "JSONCompact" => assert_eq!(whole.windows(6).filter(|w| w == b"\"meta\"").count(), lines, "{format}"),
                _ => assert_eq!(whole.iter().filter(|b| **b == b'\n').count(), lines, "{format}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_first_rows_is_an_error_at_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let sql = "SELECT throwIf(number = 1000000, 'as asked') FROM numbers(2000000) SETTINGS max_block_size = 65536";
    let mut cursor = store.writer().query(sql).fetch::<u8>().unwrap();
    let mut rows = 0;
    let error = loop {
        match cursor.next().await {
            Ok(Some(_)) => rows += 1,
            Ok(None) => panic!("the error was lost after {rows} rows"),
            Err(e) => break e.to_string(),
        }
    };
    assert!(rows > 0 && error.contains("Code: 395") && error.contains("as asked"), "{rows} rows, then {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_does_not_hold_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    // Twice as many as may run at once, each with far more rows than anybody reads.
    for _ in 0..12 {
        let mut cursor = store.reader().query("SELECT number FROM numbers(100000000000)").fetch::<u64>().unwrap();
        assert_eq!(cursor.next().await.unwrap(), Some(0));
    }
    tokio::time::timeout(std::time::Duration::from_secs(5), store.ping()).await.expect("turns come back").unwrap();
    let running = "SELECT count() FROM system.processes WHERE query LIKE '%numbers(100000000000)%' AND query NOT LIKE '%processes%'";
    let running: u64 = store.reader().query(running).fetch_one().await.unwrap();
    assert!(running < 12, "{running} queries run for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_only_read_and_only_within_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let reader = store.reader();
    for sql in [
        "INSERT INTO schema_migrations (version, name) VALUES (8, 'x')",
        "DROP TABLE calls",
        "SET readonly = 0",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT 1 SETTINGS max_memory_usage = 0",
    ] {
        let error = reader.query_raw(sql).execute().await.expect_err(sql).to_string();
        assert!(error.contains("Code: 164"), "{sql}: {error}");
    }
    let seen = |client: Client| async move {
        let sql = "SELECT toUInt64(getSetting('max_execution_time')), toUInt64(getSetting('max_memory_usage'))";
        client.query(sql).fetch_one::<(u64, u64)>().await.unwrap()
    };
    assert_eq!(seen(reader.clone()).await, (10, QUERY_MEMORY_BYTES));
    let wishes = |time: &str, memory: &str| {
        reader.clone().with_setting("max_execution_time", time).with_setting("max_memory_usage", memory)
    };
    assert_eq!(seen(wishes("3", "9999999999")).await, (3, QUERY_MEMORY_BYTES));
    assert_eq!(seen(wishes("0", "1000000")).await, (10, 1_000_000));
    let sql = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 0";
    let error = wishes("1", "0").query(sql).fetch_one::<u64>().await.unwrap_err().to_string();
    assert!(error.contains("Code: 159"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_clients_are_understood_and_strangers_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let read = open(&store, Access::reader(Some("r".to_owned()))).await;
    let write = open(&store, Access::writer(Some("w".to_owned()))).await;
    let key = "x-clickhouse-key: w\r\n";

    assert_eq!(request(&read, "GET", "/ping", "", b"").await.0, 200);
    for headers in ["", "x-clickhouse-key: w\r\n", "authorization: Bearer rr\r\n", "authorization: Basic !\r\n"] {
        let (status, answer) = request(&read, "POST", "/", headers, b"SELECT 1").await;
        assert_eq!(status, 401, "{headers}");
        assert!(answer.contains("x-clickhouse-exception-code: 516"), "{answer}");
    }
    let (status, answer) =
        request(&read, "GET", "/?query=SELECT%201%20AS%20a%20FORMAT%20JSONEachRow&password=r", "", b"").await;
    assert!(status == 200 && answer.contains("{\"a\":1}") && answer.contains("x-clickhouse-timezone: UTC"), "{answer}");
    let (status, answer) = request(
        &read,
        "POST",
        "/?database=auscult&default_format=CSV",
        "authorization: bearer r\r\n",
        b"SHOW TABLES LIKE 'call%'",
    )
    .await;
    assert!(status == 200 && answer.contains("\"calls\""), "{answer}");

    for (path, code) in [
        ("/?path=/etc", "115"),
        ("/?max_server_memory_usage=1", "115"),
        ("/?session_id=x", "115"),
        ("/?query=SELECT%20nope", "47"),
        ("/?query=SELECT%20%28", "62"),
        ("/?database=nope&query=SELECT%201", "81"),
    ] {
        let (status, answer) = request(&write, "POST", path, key, b"").await;
        assert!(
            (400..500).contains(&status) && answer.contains(&format!("exception-code: {code}\r\n")),
            "{path}: {answer}"
        );
    }

    let create = "CREATE TABLE auscult.t (a UInt32, b String) ENGINE = MergeTree ORDER BY a";
    assert_eq!(request(&write, "POST", "/", key, create.as_bytes()).await.0, 200);
    for (path, body) in [
        ("/", &b"INSERT INTO auscult.t VALUES (1, 'one'), (2, 'FORMAT x')"[..]),
        ("/?database=auscult", b"INSERT INTO t FORMAT TSV\n3\tthree\n"),
        ("/?query=INSERT%20INTO%20auscult.t%20FORMAT%20JSONEachRow", b"{\"a\":4,\"b\":\"\\n\\nfour\"}"),
        ("/?query=INSERT%20INTO%20auscult.t%20VALUES", b"(5, 'five')"),
        ("/?query=INSERT%20INTO%20auscult.t%20FORMAT%20RowBinary", b"\x06\0\0\0\x03\n\n\0"),
        ("/", b"INSERT INTO auscult.t SELECT 7, 'seven'"),
    ] {
        let (status, answer) = request(&write, "POST", path, key, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    // What ends too early is not half stored, nor is what GET asks for.
    let torn = b"\x08\0\0\0\x01x\x09\0\0\0\x7f";
    let path = "/?query=INSERT%20INTO%20auscult.t%20FORMAT%20RowBinary";
    assert_eq!(request(&write, "POST", path, key, torn).await.0, 400);
    assert_eq!(request(&write, "GET", "/?query=INSERT%20INTO%20auscult.t%20SELECT%2010,%20'x'", key, b"").await.0, 403);
    let mut stream = TcpStream::connect(&write).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{key}content-length: 100\r\n\r\n\x0b\0\0\0\x01x");
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let found = store.reader().query("SELECT a, b FROM t ORDER BY a").fetch_all::<(u32, String)>().await.unwrap();
    let expected =
        [(1, "one"), (2, "FORMAT x"), (3, "three"), (4, "\n\nfour"), (5, "five"), (6, "\n\n\0"), (7, "seven")];
    assert_eq!(found, expected.map(|(a, b)| (a, b.to_owned())));
}
