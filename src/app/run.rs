//! `auscult run`: capture or replay, store, API and page in one process.
//!
//! One thread feeds the engine, whatever the source: replay and live are the same loop. Facts go to the store's
//! writer and to the live view; the API reads the store. Live capture never waits for either; a replay does.

use super::config::{self, Config};
use super::feed::{Feed, Source};
use super::replay::{Known, Ledger, Stored, fingerprint};
use super::telemetry::ProgramTelemetry;
use crate::api::{AppState, HostPolicy, LiveFeed, app};
use crate::store::endpoint::{Access, serve_endpoint};
use crate::store::query::Reader;
use crate::store::{Backend, Store, StoreOptions, StoreWriter};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    /// As recorded.
    Real,
    /// As fast as the machine can.
    Fast,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// Interfaces to listen on.
    #[arg(short, long, num_args = 1.., value_name = "IFACE")]
    pub interface: Vec<String>,
    /// Captures to replay into the store; several are one timeline. A capture is stored once.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub read: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = Pace::Fast, requires = "read")]
    pub pace: Pace,
    /// Directory of the embedded store and the spool.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Write to this ClickHouse server instead of the embedded store.
    #[arg(long, value_name = "URL")]
    pub clickhouse: Option<String>,
    /// Address of the API and the page.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Leave when the replay is stored, instead of serving on.
    #[arg(long, requires = "read")]
    pub exit: bool,
    /// Print what to look at first.
    #[arg(long, hide = true)]
    pub guide: bool,
}

/// How long shutting down waits for the store; what is not delivered then stays in the spool for the next run.
const DRAIN: Duration = Duration::from_secs(20);

impl RunArgs {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default_config()?,
        };
        if !self.interface.is_empty() {
            config.capture.interfaces = self.interface.clone();
        }
        if let Some(data) = &self.data {
            config.store.data = data.clone();
        }
        if let Some(url) = &self.clickhouse {
            match &mut config.store.server {
                Some(server) => server.url = url.clone(),
                none => {
                    *none = Some(config::Server {
                        url: url.clone(),
                        user: "default".to_owned(),
                        password: String::new(),
                        database: "auscult".to_owned(),
                        cluster: None,
                    });
                }
            }
        }
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if !self.read.is_empty() && !config.capture.interfaces.is_empty() && self.interface.is_empty() {
            // Interfaces of the file do not stand in the way of a replay asked for by hand.
            config.capture.interfaces.clear();
        }
        if !self.read.is_empty() && !self.interface.is_empty() {
            bail!("--read and --interface exclude each other: a replay has its own times");
        }
        Ok(config)
    }
}

/// Runs until SIGINT or SIGTERM. Does not return: the embedded engine does not survive exit handlers.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    let config = args.config()?;
    // Sockets first, then privileges, then threads.
    let source = Source::open(&args.read, args.pace == Pace::Real, &config.capture)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(serve(args, config, source))?;
    use std::io::Write;
    let _ = std::io::stdout().flush();
    crate::store::chdb::leave(0)
}

async fn serve(args: &RunArgs, config: Config, source: Source) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.store.data)
        .with_context(|| format!("cannot create {}", config.store.data.display()))?;
    let store = backend(&config.store).open()?;
    if config.store.migrates() {
        store.migrate().await.or_else(|e| if config.store.server.is_some() { Ok(Vec::new()) } else { Err(e) })?;
    }
    let mut options = StoreOptions::new(super::wall_clock);
    options.migrate = config.store.migrates();
    if let Some(bytes) = config.store.spool_bytes {
        options.spool.bytes = bytes;
    }
    let (sender, writer) =
        StoreWriter::start(store.clone(), &config.store.data.join("spool"), config.labels.clone(), options)?;
    let live = Arc::new(LiveFeed::new(&config.limits));
    let telemetry = Arc::new(ProgramTelemetry::new(writer.counters(), &config));
    let listener = tokio::net::TcpListener::bind(config.listen).await.with_context(|| {
        format!("cannot listen on {}: another program has it, or it is not an address of this machine; choose one with --listen", config.listen)
    })?;
    let address = listener.local_addr()?;
    let state = AppState {
        reader: Reader::new(store.reader()),
        live: live.clone(),
        telemetry: telemetry.clone(),
        hosts: if address.ip().is_loopback() { HostPolicy::Only(config.hosts.clone()) } else { HostPolicy::Any },
        now: super::wall_clock,
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let server = tokio::spawn({
        let mut stopped = stopped.clone();
        async move {
            axum::serve(listener, app(state))
                .with_graceful_shutdown(async move { drop(stopped.wait_for(|s| *s).await) })
                .await
        }
    });
    open_store_endpoint(&config, &store).await?;
    println!("auscult {} on http://{address}", env!("CARGO_PKG_VERSION"));

    let mut work = Work::prepare(args, &config, &store, &writer).await?;
    let feed = match source {
        Source::Replay(_) if work.skip => {
            println!("these captures are in the store already");
            None
        }
        Source::None => None,
        source => {
            let feed = Feed::new(&config, sender.clone(), live.clone(), telemetry.clone(), work.stored.take());
            let handle = feed.stop_handle();
            let thread = std::thread::Builder::new()
                .name("feed".to_owned())
                .spawn(move || feed.run(source))
                .context("cannot start a thread")?;
            Some((handle, thread))
        }
    };

    let mut finished = feed.is_none();
    let mut result = Ok(());
    let (mut handle, mut thread) = feed.unzip();
    let mut guided = false;
    loop {
        if !finished && thread.as_ref().is_none_or(|t| t.is_finished()) {
            finished = true;
            if let Some(thread) = thread.take() {
                result = thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("the measuring thread failed; this is a defect")));
            }
            if result.is_err() || !args.read.is_empty() {
                wait_until_delivered(&writer).await;
                if result.is_ok() {
                    work.finish()?;
                }
            }
        }
        if finished && !guided {
            guided = true;
            if result.is_ok() && args.guide {
                guide(&store, address).await;
            }
            if args.exit || result.is_err() {
                break;
            }
        }
        tokio::select! {
            () = signalled() => break,
            () = tokio::time::sleep(Duration::from_millis(if finished { 1000 } else { 50 })) => {}
        }
    }
    if let Some(handle) = handle.take() {
        handle.store(true, Ordering::Relaxed);
    }
    if let Some(thread) = thread.take() {
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
    live.close();
    let _ = stop.send(true);
    drop(sender);
    let leftover = writer.drain(DRAIN).await;
    let _ = tokio::time::timeout(Duration::from_secs(3), server).await;
    if leftover.spooled_rows > 0 {
        println!("{} rows wait in the spool and are delivered by the next run", leftover.spooled_rows);
    }
    if leftover.lost_rows > 0 {
        bail!(
            "{} rows could neither be delivered nor written to the spool in {}",
            leftover.lost_rows,
            config.store.data.display()
        );
    }
    result
}

fn backend(store: &config::Store) -> Backend {
    match &store.server {
        None => Backend::embedded(store.data.join("clickhouse"), store.library.clone()),
        Some(server) => Backend::Server {
            url: server.url.clone(),
            user: server.user.clone(),
            password: server.password.clone(),
            database: server.database.clone(),
            cluster: server.cluster.clone(),
        },
    }
}

async fn open_store_endpoint(config: &Config, store: &Store) -> anyhow::Result<()> {
    let (Some((address, token)), Some(engine)) = (&config.store.listen, store.engine()) else { return Ok(()) };
    let listener =
        tokio::net::TcpListener::bind(address).await.with_context(|| format!("cannot open the store on {address}"))?;
    println!("the store answers ClickHouse's HTTP interface, read-only, on http://{}", listener.local_addr()?);
    tokio::spawn(serve_endpoint(engine.clone(), Access::reader(Some(token.clone())), listener));
    Ok(())
}

/// What the ledger says about this replay.
struct Work {
    ledger: Option<(Ledger, String)>,
    skip: bool,
    stored: Option<Stored>,
}

impl Work {
    async fn prepare(args: &RunArgs, config: &Config, store: &Store, writer: &StoreWriter) -> anyhow::Result<Work> {
        let mut work = Work { ledger: None, skip: false, stored: None };
        if args.read.is_empty() {
            return Ok(work);
        }
        let Some(print) = fingerprint(&args.read)? else { return Ok(work) };
        let mut ledger = Ledger::open(&config.store.data)?;
        match ledger.known(&print) {
            Known::New => {}
            Known::Done => work.skip = true,
            Known::Unfinished(begun) => {
                wait_until_delivered(writer).await;
                let stored = Stored::since(&store.reader(), &config.labels, begun).await?;
                println!("going on with a replay that did not end; {} rows of it are stored", stored.len());
                work.stored = Some(stored);
            }
        }
        if !work.skip {
            ledger.begin(&print, &args.read, super::wall_clock())?;
        }
        work.ledger = Some((ledger, print));
        Ok(work)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        match &mut self.ledger {
            Some((ledger, print)) => ledger.done(print),
            None => Ok(()),
        }
    }
}

/// Until everything handed over is in the store, or the store does not answer.
async fn wait_until_delivered(writer: &StoreWriter) {
    let counters = writer.counters();
    loop {
        let now = counters.snapshot();
        let done =
            now.tables.iter().all(|(_, t)| t.delivered + t.dropped.iter().map(|d| d.1).sum::<u64>() >= t.received);
        if (done && now.waiting_segments == 0) || (!now.reachable && now.last_error.is_some()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The address and three things to look at.
async fn guide(store: &Store, address: SocketAddr) {
    #[derive(clickhouse::Row, serde::Deserialize)]
    struct Worst {
        call_uid: u64,
        diagnosis: String,
    }
    let client = store.reader();
    let worst = "SELECT call_uid, diagnosis FROM calls WHERE diagnosis != '' AND mos_worst IS NOT NULL ORDER BY mos_worst LIMIT 1";
    println!("\nopen http://{address} and look at");
    println!("  1. the list of calls, worst first:   http://{address}/");
    if let Ok(Some(call)) = client.query(worst).fetch_optional::<Worst>().await {
        let what = call.diagnosis.replace('_', " ");
        println!("  2. the worst call ({what}):   http://{address}/calls/{:016x}", call.call_uid);
    }
    println!("  3. percentiles by codec and trunk:   http://{address}/stats");
    println!("Ctrl-C stops; the next start serves the same data at once.");
}
