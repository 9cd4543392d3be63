//! A TCP proxy that spoils INSERT requests on purpose, one request per connection.

use crate::Dice;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to an INSERT on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlayoutOutcome {
    Pass,
    /// The store gets half of the request, then the connection breaks.
    CutRequest,
    /// The store gets all of it and commits; its answer never arrives.
    CommitThenCut,
    /// The store commits; its answer comes after the client has given up.
    Late,
    /// An answer 500 from something in between.
    Error500,
    /// Status 200, and an exception as the body.
    ExceptionIn200,
    /// An exception the server gives when it has too much to merge.
    TooManyParts,
}

const FATES: [PlayoutOutcome; 6] = [
    PlayoutOutcome::CutRequest,
    PlayoutOutcome::CommitThenCut,
    PlayoutOutcome::Late,
    PlayoutOutcome::Error500,
    PlayoutOutcome::ExceptionIn200,
    PlayoutOutcome::TooManyParts,
];

/// Where the proxy sends requests now, and what it did.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    pub upstream: Arc<Mutex<String>>,
    pub seen: Arc<Mutex<BTreeMap<PlayoutOutcome, u32>>>,
    /// Answers are held back this long for [`PlayoutOutcome::Late`].
    late: Duration,
}

impl Proxy {
    /// Half of the INSERTs pass, the others meet one of the fates, by `seed`.
    pub async fn start(upstream: String, seed: u64, late: Duration) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap(),
            upstream: Arc::new(Mutex::new(upstream)),
            seen: Arc::default(),
            late,
        };
        let serving = proxy.clone();
        tokio::spawn(async move {
            let dice = Arc::new(Mutex::new(Dice(seed)));
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, dice) = (serving.clone(), Arc::clone(&dice));
                tokio::spawn(async move { proxy.relay(client, &dice).await });
            }
        });
        proxy
    }

    async fn relay(&self, mut client: TcpStream, dice: &Mutex<Dice>) -> Option<()> {
        let request = read_request(&mut client).await?;
        let head = String::from_utf8_lossy(&request[..request.len().min(400)]).into_owned();
        let fate = if head.contains("query=INSERT") {
            let mut dice = dice.lock().unwrap();
            if dice.roll(2) == 0 { PlayoutOutcome::Pass } else { FATES[dice.roll(FATES.len() as u64) as usize] }
        } else {
            PlayoutOutcome::Pass
        };
        *self.seen.lock().unwrap().entry(fate).or_default() += 1;
        let text = |status: &str, more: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n{body}", body.len())
        };
        match fate {
            PlayoutOutcome::Error500 => {
                client.write_all(text("500 Internal Server Error", "", "").as_bytes()).await.ok()?
            }
            PlayoutOutcome::ExceptionIn200 => {
                let body = "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1 (official build))\n";
                client.write_all(text("200 OK", "", body).as_bytes()).await.ok()?;
            }
            PlayoutOutcome::TooManyParts => {
                let body = "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)\n";
                let more = "x-clickhouse-exception-code: 252\r\n";
                client.write_all(text("500 Internal Server Error", more, body).as_bytes()).await.ok()?;
            }
            PlayoutOutcome::CutRequest => {
                let mut upstream = self.dial().await?;
                upstream.write_all(&request[..request.len() / 2]).await.ok()?;
            }
            PlayoutOutcome::Pass | PlayoutOutcome::CommitThenCut | PlayoutOutcome::Late => {
                let mut upstream = self.dial().await?;
                upstream.write_all(&request).await.ok()?;
                let mut answer = Vec::new();
                upstream.read_to_end(&mut answer).await.ok()?;
                if fate == PlayoutOutcome::CommitThenCut {
                    return None;
                }
                if fate == PlayoutOutcome::Late {
                    tokio::time::sleep(self.late).await;
                }
                client.write_all(&answer).await.ok()?;
            }
        }
        client.shutdown().await.ok()
    }

    async fn dial(&self) -> Option<TcpStream> {
        let upstream = self.upstream.lock().unwrap().clone();
        TcpStream::connect(upstream).await.ok()
    }
}

/// One whole request, with `connection: close` put in so that the answer ends with the connection.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        more(client, &mut bytes).await?;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let mut end = head;
    if text.contains("transfer-encoding: chunked") {
        loop {
            let Some(line) = bytes[end..].windows(2).position(|w| w == b"\r\n") else {
                more(client, &mut bytes).await?;
                continue;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[end..end + line]).ok()?, 16).ok()?;
            end += line + 2 + size + 2;
            while bytes.len() < end {
                more(client, &mut bytes).await?;
            }
            if size == 0 {
                break;
            }
        }
    } else if let Some((_, rest)) = text.split_once("content-length: ") {
        end += rest.split("\r\n").next()?.trim().parse::<usize>().ok()?;
        while bytes.len() < end {
            more(client, &mut bytes).await?;
        }
    }
    let mut request = bytes[..head - 2].to_vec();
    request.extend_from_slice(b"connection: close\r\n\r\n");
    request.extend_from_slice(&bytes[head..end]);
    Some(request)
}

async fn more(client: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let read = client.read_buf(bytes).await.ok()?;
    (read > 0).then_some(())
}
