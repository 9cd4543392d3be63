//! `auscult run`: capture or replay, store, API and page in one process.
//!
//! One thread feeds the engine, whatever the source: replay and live are the same loop. Records go to the store's
//! writer and to the live view; the API reads the store. Live capture never waits for either; a replay does.

use super::access;
use super::alerts::{AlertService, StoreHandles};
use super::config::{self, Config};
use super::erase::RunningEraser;
use super::feed::{CaptureLoop, Consumers, Ended, Prepared, Source};
use super::privacy;
use super::progress::{Doing, LOOK_EVERY, STANDS_STILL};
use super::reload::{Handover, Reload};
use super::replay::{Known, Ledger, Missing, Stored, fingerprint, is_stored, listed};
use super::resanitise::{cleaner, say_cleared, say_not_migrated, say_resanitised};
use super::sandbox;
use super::signals::{self, Stop};
use super::telemetry::ProgramTelemetry;
use super::tls;
use anyhow::{Context, bail};
use auscult_api::{AppState, HostPolicy, LiveFeed, app};
use auscult_core::units::{Nanos, Timestamp};
use auscult_http::HttpServer;
use auscult_store::budget::ENDPOINT_QUERIES_AT_ONCE;
use auscult_store::endpoint::{Access, LocalSocket, Token, Turns, reader_limits, serve_endpoint_on, serve_local};
use auscult_store::library::{PINNED_SHA256, PINNED_VERSION, checksum, find_library};
use auscult_store::private;
use auscult_store::query::Reader;
use auscult_store::writer::{CountersSnapshot, DiskLimits, DropReason, Failed};
use auscult_store::{Backend, Store, StoreError, StoreOptions, StoreSender, StoreWriter, Table};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    /// As recorded.
    Real,
    /// As fast as the host can.
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
    /// Leave when the replay is stored, instead of serving on; with an error when the store takes nothing for 10 s.
    /// Rows then wait in the spool, and the next run delivers them.
    #[arg(long, requires = "read")]
    pub exit: bool,
    /// Print what to look at first.
    #[arg(long, hide = true)]
    pub guide: bool,
}

/// How long a replay that has ended goes on delivering; what is left then stays in the spool for the next run.
const DRAIN: Duration = Duration::from_secs(20);

/// The same when the store did not answer the last time it was asked.
const DRAIN_UNREACHABLE: Duration = Duration::from_secs(2);

/// The same after a signal. Everything is in the spool by then, and a probe that is started again measures nothing until
/// the one before has left.
const DRAIN_STOPPED: Duration = Duration::from_millis(500);

/// How long answers on their way may take at the end; event streams, which end by themselves within a second, are cut.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long `--exit` and a replay that goes on wait for a store that takes nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a signal, how long a replay may take to read its next frame.
const READS_FOR: Nanos = Nanos::from_secs(2);

/// Name of the measuring thread.
const MEASURING: &str = "feed";

/// An upgrade of the embedded store that takes longer than this is named.
const SLOW_UPGRADE: Duration = Duration::from_secs(2);

/// How long the start waits for a server to answer; it is not needed for starting.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

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
        tls::check_addresses(&config)?;
        Ok(config)
    }
}

/// Runs until SIGINT or SIGTERM, or the end of a replay with `--exit`. Returns only errors from before the store was
/// opened: the embedded engine does not survive exit handlers, so the process ends here.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    let hangups = signals::hangups()?;
    let config = args.config()?;
    access::check_reach(&config)?;
    private::restrict_umask();
    for warning in &config.warnings {
        super::print_status(format_args!("warning: {warning}"));
    }
    if let Some(line) = privacy::status_line(&config.policy.privacy) {
        super::print_status(line);
    }
    // Sockets first, then privileges and the sandbox, then files of strangers and threads.
    let listeners = Listeners::open(&config)?;
    let prepared = Prepared::open(&args.read, args.pace == Pace::Real, &config.capture)?;
    for line in private::claim(&config.store.data)? {
        super::print_status(line);
    }
    sandbox::enter(&config, args)?;
    let source = Source::start(prepared)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(signals::WORKER)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    super::panics::install();
    let code = match runtime.block_on(serve(args, &config, listeners, source, hangups)) {
        Ok(()) => 0,
        Err(error) => super::report(&error),
    };
    exit_now(code)
}

/// Ends the process without exit handlers.
pub(super) fn exit_now(code: u8) -> ! {
    use std::io::Write;
    let _ = std::io::stdout().flush();
    auscult_store::chdb::exit_now(i32::from(code))
}

async fn serve(
    args: &RunArgs,
    config: &Config,
    listeners: Listeners,
    source: Source,
    hangups: tokio::signal::unix::Signal,
) -> anyhow::Result<()> {
    let stopping = Stop::on_signals()?;
    let mut stop = stopping.watch();
    // An upgrade of the schema may take minutes; cut off, the next start goes on with it.
    let store = tokio::select! {
        store = open_store(config) => store?,
        () = stopped(&mut stop) => return Ok(()),
    };
    let access = access::open(config, &stopping)?;
    let ((sender, writer), origin) = start_writer(config, &store)?;
    let live = Arc::new(LiveFeed::new(&config.limits));
    let reader = Reader::new(store.reader()).with_privacy(config.policy.privacy.clone());
    let alerts = start_alerts(config, &source, reader.clone(), &writer, &sender)?;
    let (http, store_http) = http_servers(config)?;
    let telemetry = Arc::new(
        ProgramTelemetry::new(writer.counters(), writer.disk(), config)
            .with_servers([("api", http.counters()), ("store", store_http.counters())])
            .with_alerts(alerts.clone()),
    );
    let address = listeners.api.local_addr()?;
    let state = AppState {
        reader: reader.clone(),
        live: live.clone(),
        telemetry: telemetry.clone(),
        hosts: host_policy(address, &config.hosts),
        access: Arc::new(access.control(config)),
        probe: config.labels.probe.as_str().into(),
        site: config.labels.site.as_str().into(),
        now: super::wall_clock,
    };
    let (close, closing) = watch::channel(false);
    let listener = tokio::net::TcpListener::from_std(listeners.api)?;
    let server =
        stopping.when_it_ends("the server of the API", async move { http.serve(listener, app(state), closing).await });
    let turns = Turns::new(ENDPOINT_QUERIES_AT_ONCE);
    let _socket = open_socket(config, &store, turns.clone(), (&sender, &live, &reader));
    let token = open_store_endpoint(config, listeners.store, &store, (store_http, turns), (&access, &stopping))?;
    let handover = Arc::new(Handover::default());
    let others = (alerts.clone(), telemetry.certificates().clone());
    let reload = Reload::new(args.config.clone(), config, token, handover.clone(), others).with_reader(reader);
    signals::reload_on(hangups, reload, stopping.clone());
    watch_parts(config, &writer, &telemetry, &stopping);
    let url = tls::url(config.tls.api.as_ref(), address);
    super::print_status(format_args!("auscult {} on {url}", env!("CARGO_PKG_VERSION")));

    let work = Work::default();
    let mut program = Program { args, config, store, writer, sender, live, telemetry, handover, origin, work, alerts };
    let ended = program.run(source, &url, &mut stop).await?;
    stopping.ends_now();
    if let Some(alerts) = &program.alerts {
        alerts.stop().await;
    }
    program.live.close();
    let _ = close.send(true);
    let signalled = *stop.borrow();
    let (result, _) = tokio::join!(program.end(ended, signalled), tokio::time::timeout(LAST_ANSWERS, server));
    match stopping.failure() {
        Some(failure) => bail!(failure.to_owned()),
        None => result,
    }
}

/// Starts what writes rows, and says what it changed of earlier ones; besides the mark of the rows of a replay.
#[expect(clippy::type_complexity, reason = "the two ends of the writer and the mark")]
fn start_writer(config: &Config, store: &Store) -> anyhow::Result<((StoreSender, StoreWriter), Arc<OnceLock<String>>)> {
    let options = store_options(config);
    let origin = options.origin.clone();
    let ends = StoreWriter::start(store.clone(), &config.store.data.join("spool"), config.labels.clone(), options)?;
    say_resanitised(&ends.1.counters().snapshot().resanitised);
    Ok((ends, origin))
}

/// By which names the page is reached: on an address of others by any, unless some are configured.
fn host_policy(address: SocketAddr, names: &[String]) -> HostPolicy {
    match address.ip().is_loopback() {
        true => HostPolicy::Only(names.to_vec()),
        false if names.is_empty() => HostPolicy::Any,
        false => HostPolicy::OnlyOrAddress(names.to_vec()),
    }
}

/// How rows get to the store, by the configuration.
fn store_options(config: &Config) -> StoreOptions {
    let mut options = StoreOptions::new(super::wall_clock);
    options.migrate = config.store.migrates();
    options.queue_bytes = config.limits.queue_bytes;
    options.queue = options.queue.min((options.queue_bytes / 1024).max(1024));
    options.clean = cleaner(config.policy.keep_headers.clone());
    if let Some(bytes) = config.store.spool_bytes {
        options.spool.bytes = bytes;
    }
    options.disk = Some(DiskLimits::new(
        config.store.server.is_none().then(|| config.store.data.join("clickhouse")),
        config.store.data.clone(),
        config.store.disk_bytes,
        config.store.disk_free_bytes,
    ));
    options
}

/// Lets commands of this user read the embedded store while this program has it, and have rows erased.
fn open_socket(
    config: &Config,
    store: &Store,
    turns: Turns,
    parts: (&StoreSender, &Arc<LiveFeed>, &Reader),
) -> Option<LocalSocket> {
    let eraser = RunningEraser::new(config, store, parts);
    serve_local(store.engine().cloned(), &config.store.data, turns, eraser.routes())
        .inspect_err(|e| {
            super::print_status(format_args!(
                "{e}; commands such as `auscult alerts backtest` and `auscult erase` need this program stopped"
            ))
        })
        .ok()
}

/// Starts the evaluation of rules over live capture. A replay has its own times: `auscult alerts backtest` is for those.
fn start_alerts(
    config: &Config,
    source: &Source,
    reader: Reader,
    writer: &StoreWriter,
    rows: &StoreSender,
) -> anyhow::Result<Option<AlertService>> {
    let Some(settings) = config.alerts.clone().filter(|_| source.is_live()) else { return Ok(None) };
    let (rules, receivers) = (settings.rules.len(), &settings.receivers);
    let to = match receivers.alertmanagers.len() + receivers.webhooks.len() {
        0 => "shown on the page and in /metrics only, as no receiver is set".to_owned(),
        1 => "sent to 1 receiver".to_owned(),
        n => format!("sent to {n} receivers"),
    };
    super::print_status(format_args!("{rules} rules of alerts, {to}"));
    let runtime = tokio::runtime::Handle::current();
    let store = StoreHandles { reader, rows: rows.clone(), runtime, waiting: Box::new(writer.waiting_numbers()) };
    AlertService::start(settings, &config.store.data, &config.labels, store).map(Some)
}

/// The servers of the API and of the store endpoint.
fn http_servers(config: &Config) -> anyhow::Result<(HttpServer, HttpServer)> {
    let api = tls::server(HttpServer::new(config.http), config.tls.api.as_ref())?;
    Ok((api, tls::server(HttpServer::new(reader_limits()), config.tls.store.as_ref())?))
}

/// Looks at the measuring thread and the files of certificates now and then, and stops the program when a part of the store's
/// writer fails.
fn watch_parts(config: &Config, writer: &StoreWriter, telemetry: &Arc<ProgramTelemetry>, stopping: &Stop) {
    telemetry.certificates().clone().watch(config.capture.user.as_deref(), stopping.clone());
    let (mut failed, stopping) = (writer.failed(), stopping.clone());
    tokio::spawn(async move {
        if let Ok(failed) = failed.wait_for(Option::is_some).await
            && let Some(Failed { what, thread }) = *failed
        {
            stopping.fail(signals::defect(what, &super::panics::last_of(thread.unwrap_or(signals::WORKER))));
        }
    });
    let telemetry = telemetry.clone();
    tokio::spawn(async move {
        loop {
            telemetry.progress().since_last_step();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
}

/// Addresses the program answers on, opened while it may still have the privilege for low ports.
struct Listeners {
    api: std::net::TcpListener,
    store: Option<std::net::TcpListener>,
}

impl Listeners {
    fn open(config: &Config) -> anyhow::Result<Listeners> {
        let bind = |address: SocketAddr, how: &str| {
            let listener = std::net::TcpListener::bind(address).with_context(|| {
                format!(
                    "cannot listen on {address}: another program has it (perhaps another auscult), or it is not an \
                     address of this host; choose one with {how}"
                )
            })?;
            listener.set_nonblocking(true)?;
            anyhow::Ok(listener)
        };
        let store = match (&config.store.listen, &config.store.server) {
            (Some((address, _)), None) => Some(bind(*address, "store.listen")?),
            _ => None,
        };
        Ok(Listeners { api: bind(config.listen, "--listen")?, store })
    }
}

async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let Some(server) = &config.store.server else {
        super::print_status(format_args!("opening the store in {}", config.store.data.display()));
        let library = find_library(config.store.library.as_deref())?;
        let embedded = Backend::embedded(config.store.data.join("clickhouse"), Some(library.clone()));
        let store = embedded.open()?.with_retention(config.retention.periods.clone());
        say_other_library(library, config.store.data.clone());
        migrate_embedded(&store).await?;
        say_cleared(&store);
        say_retention(&store);
        return Ok(store);
    };
    let store = Backend::Server {
        url: server.url.clone(),
        user: server.user.clone(),
        password: server.password.clone(),
        database: server.database.clone(),
        cluster: server.cluster.clone(),
        tls: config.tls.clickhouse.clone(),
    }
    .open()?
    .with_retention(config.retention.periods.clone());
    if !config.store.migrates() {
        if let Ok(Ok(version)) = tokio::time::timeout(FIRST_ANSWER, store.schema_version()).await {
            say_not_migrated(version, &server.url);
        }
        return Ok(store);
    }
    let why = match tokio::time::timeout(FIRST_ANSWER, store.migrate()).await {
        Ok(Ok(_)) => {
            say_cleared(&store);
            say_retention(&store);
            return Ok(store);
        }
        Ok(Err(e @ StoreError::NewerSchema { .. })) => return Err(e.into()),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("no answer within {} s", FIRST_ANSWER.as_secs()),
    };
    super::print_status(format_args!(
        "the store at {} is not ready: {why}; rows wait in the spool until it is",
        server.url
    ));
    Ok(store)
}

/// Says which tables are kept for another time than before.
fn say_retention(store: &Store) {
    let changes: Vec<String> = store.take_retention_changes().iter().map(ToString::to_string).collect();
    if !changes.is_empty() {
        super::print_status(format_args!(
            "rows are kept for another time from now on, those that are stored too: {}; what has expired is removed within hours",
            changes.join("; ")
        ));
    }
}

/// Brings the embedded store up to date, and says so where that takes long.
async fn migrate_embedded(store: &Store) -> anyhow::Result<()> {
    let mut migration = std::pin::pin!(store.migrate());
    let applied = match tokio::time::timeout(SLOW_UPGRADE, &mut migration).await {
        Ok(applied) => applied,
        Err(_) => {
            super::print_status(
                "making or changing the tables of the store for this version: an upgrade may take minutes, and goes on at the next start if it is cut off",
            );
            migration.await
        }
    };
    applied?;
    Ok(())
}

/// Says when the engine library is not the pinned one. Hashing it the first time takes seconds, so that a thread does it.
fn say_other_library(library: PathBuf, data: PathBuf) {
    let thread = std::thread::Builder::new().name("checksum".to_owned());
    // Without the thread nothing is said; the library's owner and mode are checked before it is loaded.
    let _ = thread.spawn(move || match checksum(&library, &data) {
        Ok(sum) if sum == PINNED_SHA256 => {}
        Ok(sum) => super::print_status(format_args!(
            "the engine library {} is not the pinned version {PINNED_VERSION} (its sha256 is {sum}); `make engine` fetches that one",
            library.display()
        )),
        Err(e) => super::print_status(format_args!("the checksum of the engine library {} is unknown: {e}", library.display())),
    });
}

/// Opens the store to other programs where that is set; returns their token.
fn open_store_endpoint(
    config: &Config,
    door: Option<std::net::TcpListener>,
    store: &Store,
    (server, turns): (HttpServer, Turns),
    (opened, stopping): (&access::Opened, &Stop),
) -> anyhow::Result<Option<Token>> {
    let (Some(door), Some((_, token)), Some(engine)) = (door, &config.store.listen, store.engine()) else {
        return Ok(None);
    };
    let listener = tokio::net::TcpListener::from_std(door)?;
    super::print_status(format_args!(
        "the store answers ClickHouse's HTTP interface, read-only, on {}",
        tls::url(config.tls.store.as_ref(), listener.local_addr()?)
    ));
    let access = Access {
        turns,
        token_role: config.store.token_role,
        find: Some(opened.find_reader()),
        record: Some(opened.record_read()),
        ..Access::reader(Some(token.clone()))
    };
    let (token, engine) = (access.token.clone(), engine.clone());
    let serve = async move { serve_endpoint_on(&server, engine, access, listener).await };
    drop(stopping.when_it_ends("the server of the store", serve));
    Ok(token)
}

/// The running parts between the source and the store.
struct Program<'a> {
    args: &'a RunArgs,
    config: &'a Config,
    store: Store,
    writer: StoreWriter,
    sender: StoreSender,
    live: Arc<LiveFeed>,
    telemetry: Arc<ProgramTelemetry>,
    handover: Arc<Handover>,
    /// Marks the rows of a replay with its entry in the ledger.
    origin: Arc<OnceLock<String>>,
    work: Work,
    alerts: Option<AlertService>,
}

/// What the ledger says about this replay.
#[derive(Default)]
struct Work {
    ledger: Option<(Ledger, String)>,
    /// The captures are in the store already.
    skip: bool,
    /// Rows of the captures that the store does not have, in words.
    missing: Option<String>,
    stored: Option<Stored>,
}

impl Program<'_> {
    /// Looks a replay up in the ledger, and enters it. Waits for the store when rows of it may be there.
    async fn prepare(&mut self) -> anyhow::Result<()> {
        let identity = self.config.store.server.as_ref().map(|s| format!("{} {}", s.url, s.database));
        if self.args.read.is_empty() {
            return Ok(());
        }
        let Some(print) = fingerprint(&identity.unwrap_or_default(), &self.args.read)? else { return Ok(()) };
        let mut ledger = Ledger::open(&self.config.store.data)?;
        if let Known::Done(begun) = ledger.known(&print) {
            let gone = self.writer.waiting().rows == 0
                && matches!(is_stored(&self.store.reader(), &self.config.labels, begun).await, Ok(false));
            if gone {
                ledger.forget(&print);
            }
        }
        if let Known::Done(begun) = ledger.known(&print) {
            let missing = Missing::of(&self.config.store.data.join("spool"), &print, begun)?;
            if !missing.removed.is_empty() {
                super::print_status(format_args!(
                    "{} of these captures were refused by the store and are not kept any more: the captures are replayed \
                     for them",
                    listed(&missing.removed)
                ));
                ledger.reopen(&print)?;
                self.writer.forget_removed(&print);
            } else {
                self.work.missing = missing.status_line(&self.config.store.data);
            }
        }
        match ledger.known(&print) {
            Known::New => {}
            Known::Done(_) => {
                match &self.work.missing {
                    Some(missing) => super::print_status(missing),
                    None => super::print_status("these captures are in the store already"),
                }
                self.work.skip = true;
            }
            Known::Unfinished(begun) => {
                let mut stored = self.resume(begun).await?;
                stored.set_aside(&self.config.store.data.join("spool"));
                self.work.stored = Some(stored);
            }
        }
        let _ = self.origin.set(print.clone());
        if !self.work.skip {
            ledger.begin(&print, &self.args.read, super::wall_clock())?;
        }
        self.work.ledger = Some((ledger, print));
        Ok(())
    }

    /// The rows of a replay that did not end: those in the spool are delivered first, so that the store knows them all.
    async fn resume(&self, begun: Timestamp) -> anyhow::Result<Stored> {
        let mut said = false;
        loop {
            let problem = if self.delivered(PATIENCE).await {
                let _ = self.store.migrate().await;
                match Stored::since(&self.store.reader(), &self.config.labels, begun).await {
                    Ok(stored) => {
                        let rows = stored.len();
                        super::print_status(format_args!(
                            "going on with a replay that did not end; {rows} rows of it are stored"
                        ));
                        return Ok(stored);
                    }
                    Err(e) => format!("{e:#}"),
                }
            } else {
                self.problem()
            };
            if self.args.exit {
                bail!("a replay that did not end cannot go on without the store: {problem}");
            }
            if !said {
                super::print_status(format_args!("a replay that did not end waits for the store: {problem}"));
                said = true;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Prepares, measures, and after the end of a replay serves what is stored until a signal. The result is that of measuring.
    ///
    /// # Errors
    /// Where a replay that ended cannot be marked as done.
    async fn run(
        &mut self,
        source: Source,
        url: &str,
        stop: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<anyhow::Result<Ended>> {
        let prepared = tokio::select! {
            prepared = self.prepare() => Some(prepared),
            () = stopped(stop) => None,
        };
        let ended = match prepared {
            None => Ok(Ended::Paused),
            Some(Err(error)) => Err(error),
            Some(Ok(())) => self.measure(source, stop).await,
        };
        if let Ok(Ended::Complete) = ended {
            let exit = self.args.exit;
            tokio::select! {
                () = stopped(stop) => {}
                result = self.finish_replay(url) => {
                    result?;
                    if !exit {
                        stopped(stop).await;
                    }
                }
            }
        }
        Ok(ended)
    }

    /// Feeds the source to the engine until its end or a signal.
    async fn measure(&mut self, mut source: Source, stop: &mut watch::Receiver<bool>) -> anyhow::Result<Ended> {
        if matches!(source, Source::None) || self.work.skip {
            return Ok(Ended::Complete);
        }
        if let Some(name) = self.work.ledger.as_ref().and_then(|(ledger, print)| ledger.name(print)) {
            source.rename(name);
        }
        let (sender, live, telemetry) = (self.sender.clone(), self.live.clone(), self.telemetry.clone());
        let consumers = Consumers { sender, live, telemetry };
        let feed = CaptureLoop::new(self.config, consumers, self.work.stored.take(), self.handover.clone())
            .with_alerts(self.alerts.clone());
        let handle = feed.stop_handle();
        let thread = std::thread::Builder::new()
            .name(MEASURING.to_owned())
            .spawn(move || feed.run(source))
            .context("cannot start a thread")?;
        let mut joined = tokio::task::spawn_blocking(move || thread.join());
        let ended = tokio::select! {
            ended = &mut joined => ended,
            () = stopped(stop) => {
                handle.store(true, Ordering::Relaxed);
                tokio::select! {
                    ended = &mut joined => ended,
                    left = left_behind(&self.telemetry) => return left,
                }
            }
        };
        match ended {
            Ok(Ok(ended)) => ended,
            _ => bail!(signals::defect("the measuring thread", &super::panics::last_of(MEASURING))),
        }
    }

    /// After the source's end: marks the replay done once its rows are safe, and shows the way.
    async fn finish_replay(&mut self, url: &str) -> anyhow::Result<()> {
        if self.args.exit {
            self.delivered(PATIENCE).await;
            return Ok(());
        }
        if self.args.read.is_empty() {
            return Ok(());
        }
        while !self.safe() {
            tokio::time::sleep(POLL).await;
        }
        self.done()?;
        if !self.delivered(PATIENCE).await {
            super::print_status(format_args!("rows wait in the spool: {}", self.problem()));
        }
        self.summary();
        if self.args.guide {
            guide(&self.store, url).await;
        }
        Ok(())
    }

    /// Shuts the writer down, and says what did not get where it should.
    async fn end(mut self, ended: anyhow::Result<Ended>, signalled: bool) -> anyhow::Result<()> {
        let counters = self.writer.counters();
        let failed = self.writer.failed();
        let problem = self.problem();
        let before = counters.snapshot();
        let unreachable = !before.reachable && before.last_error.is_some();
        drop(self.sender);
        let patience = match (signalled, unreachable) {
            (true, _) => DRAIN_STOPPED,
            (false, true) => DRAIN_UNREACHABLE,
            (false, false) => DRAIN,
        };
        let leftover = self.writer.drain(patience).await;
        let now = counters.snapshot();
        match &ended {
            Ok(Ended::Complete) if lost(&now) == 0 && failed.borrow().is_none() => self.work.finish()?,
            Ok(Ended::Paused) if self.work.ledger.is_some() => {
                super::print_status(
                    "the replay was stopped before its end; the next start with these captures goes on with it",
                );
            }
            _ => {}
        }
        let ended = ended?;
        // After a signal the store had next to no time: that it took too little of it is no fault.
        let why = if signalled && !unreachable { String::new() } else { format!(": {problem}") };
        let spool = self.config.store.data.join("spool");
        let mut problems = left_rows(&spool, leftover.spooled_rows, &why, &now);
        if self.args.exit {
            problems.extend(self.work.missing.take());
        }
        let text = problems.join("; ");
        if !text.is_empty() && (lost(&now) > 0 || (self.args.exit && ended == Ended::Complete)) {
            bail!(text);
        }
        if !text.is_empty() {
            super::print_status(text);
        }
        if self.args.exit && ended == Ended::Paused {
            bail!("the replay was stopped before its end");
        }
        if self.args.exit && ended == Ended::Complete && !self.work.skip {
            summary(&now);
        }
        Ok(())
    }

    fn done(&mut self) -> anyhow::Result<()> {
        if lost(&self.writer.counters().snapshot()) > 0 || self.writer.failed().borrow().is_some() {
            return Ok(());
        }
        self.work.finish()
    }

    fn summary(&self) {
        if !self.work.skip {
            summary(&self.writer.counters().snapshot());
        }
    }

    /// Every row handed over is in the spool, in the store, or dropped.
    fn safe(&self) -> bool {
        let now = self.writer.counters().snapshot();
        // Refused and damaged rows were in the spool before, perhaps of an earlier run: they are counted there.
        let never_spooled = |d: &&(DropReason, u64)| !matches!(d.0, DropReason::Refused | DropReason::Damaged);
        now.tables
            .iter()
            .all(|(_, t)| t.spooled + t.dropped.iter().filter(never_spooled).map(|d| d.1).sum::<u64>() >= t.received)
    }

    /// Waits until every row handed over is in the store; false when `patience` went by without one getting there.
    async fn delivered(&self, patience: Duration) -> bool {
        let counters = self.writer.counters();
        let (mut got, mut since) = (0, tokio::time::Instant::now());
        loop {
            // In this order: a row counted as spooled was in the spool's size before.
            if self.safe() && self.writer.waiting().rows == 0 {
                return true;
            }
            let delivered = counters.snapshot().segments_delivered;
            if delivered != got {
                (got, since) = (delivered, tokio::time::Instant::now());
            } else if since.elapsed() > patience {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn problem(&self) -> String {
        let now = self.writer.counters().snapshot();
        now.last_error.filter(|_| !now.reachable).unwrap_or_else(|| "the store is slow".to_owned())
    }
}

/// After the mark to stop: comes back when the measuring thread does not see it, because it waits for a pipe that has
/// nothing, or stands still. It ends with the process.
async fn left_behind(telemetry: &ProgramTelemetry) -> anyhow::Result<Ended> {
    let progress = telemetry.progress();
    loop {
        tokio::time::sleep(POLL).await;
        let since = progress.since_last_step();
        match progress.doing() {
            // What is open of a replay that is stopped is not finished: nothing is missed by not waiting.
            Doing::Reading if since >= READS_FOR => return Ok(Ended::Paused),
            Doing::Measuring if since >= STANDS_STILL => {
                bail!(signals::defect("the measuring thread", &format!("no progress for {:.0} s", since.as_secs_f64())))
            }
            _ => {}
        }
    }
}

impl Work {
    fn finish(&mut self) -> anyhow::Result<()> {
        match &mut self.ledger {
            Some((ledger, print)) => ledger.done(print),
            None => Ok(()),
        }
    }
}

/// Time between looks at the writer's counters.
const POLL: Duration = Duration::from_millis(50);

/// Rows that never were safe, or had to make room.
fn lost(now: &CountersSnapshot) -> u64 {
    let reasons = [
        DropReason::QueueFull,
        DropReason::SpoolFull,
        DropReason::SpoolUnwritable,
        DropReason::StoreCap,
        DropReason::DiskFull,
    ];
    reasons.iter().flat_map(|reason| now.tables.iter().map(|(_, t)| t.dropped_for(*reason))).sum()
}

/// Rows a person can look at in the dead letters.
fn kept(now: &CountersSnapshot) -> u64 {
    let reasons = [DropReason::Refused, DropReason::Damaged];
    reasons.iter().flat_map(|reason| now.tables.iter().map(|(_, t)| t.dropped_for(*reason))).sum()
}

/// A sentence for each kind of row that is not in the store. `why` is added to those that wait.
fn left_rows(spool: &Path, waiting: u64, why: &str, now: &CountersSnapshot) -> Vec<String> {
    let mut problems = Vec::new();
    if waiting > 0 {
        problems.push(format!("{waiting} rows wait in {} and are delivered by the next run{why}", spool.display()));
    }
    if lost(now) > 0 {
        let rows = lost(now);
        problems.push(format!("{rows} rows found no space in {} or on the disk and are lost", spool.display()));
    }
    if kept(now) > 0 {
        let last = now.last_error.as_deref().unwrap_or_default();
        problems.push(format!(
            "{} rows were refused or damaged and are kept in {} (`auscult spool list` says more): {last}",
            kept(now),
            spool.join("dead_letter").display()
        ));
    }
    problems
}

fn summary(now: &CountersSnapshot) {
    let stored = |table| now.table(table).delivered;
    super::print_status(format_args!(
        "stored {} calls, {} streams, {} intervals",
        stored(Table::Calls),
        stored(Table::Streams),
        stored(Table::StreamIntervals)
    ));
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The address and three things to look at.
async fn guide(store: &Store, url: &str) {
    #[derive(clickhouse::Row, serde::Deserialize)]
    struct WorstCall {
        call_uid: u64,
        diagnosis: String,
    }
    let client = store.reader();
    let worst = "SELECT call_uid, diagnosis FROM calls WHERE diagnosis != '' AND mos_worst IS NOT NULL ORDER BY mos_worst LIMIT 1";
    super::print_status(format_args!("\nopen {url} and look at"));
    super::print_status(format_args!("  1. the list of calls, worst first:   {url}/"));
    if let Ok(Some(call)) = client.query(worst).fetch_optional::<WorstCall>().await {
        let what = call.diagnosis.replace('_', " ");
        super::print_status(format_args!("  2. the worst call ({what}):   {url}/calls/{:016x}", call.call_uid));
    }
    super::print_status(format_args!("  3. percentiles by codec and trunk:   {url}/stats"));
    super::print_status("Ctrl-C stops; the next start serves the same data at once.");
}
