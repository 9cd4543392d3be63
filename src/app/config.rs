//! The configuration file in two steps: [`Raw`] as written, [`Config`] as checked. Flags override it.

use super::access::{AccessSettings, RawAccess};
use super::alerts::{Receiver, Receivers, Settings, read_rules};
use super::privacy::{RawMessages, RawPrivacy, kept_messages};
use super::retention::{self, RawRetention, RetentionConfig};
use super::sandbox::RawSandbox;
use super::tls::{self, RawTls, Tls};
use anyhow::{Context, anyhow, bail};
use auscult_access::Role;
use auscult_core::alert::rule::parse_span;
use auscult_core::model::{Cidr, JitterBuffer, Labels, Limits, Policy};
use auscult_core::units::Nanos;
use auscult_http::HttpLimits;
use auscult_store::StoreError;
use auscult_store::chdb::find_library;
use auscult_store::private;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Name of a probe that has none in its configuration; every stored row carries it.
pub const DEFAULT_PROBE: &str = "probe";

/// Where the API and the page listen unless configured otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8642";

/// Largest `store.spool_mib`: one exbibyte, which no disk has. A larger one would shift into nothing.
const MAX_SPOOL_MIB: u64 = 1 << 40;

/// The file as written; every key is optional and unknown ones are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    probe: RawProbe,
    trunk: Vec<RawTrunk>,
    capture: RawCapture,
    measure: RawMeasure,
    privacy: RawPrivacy,
    limits: RawLimits,
    store: RawStore,
    retention: RawRetention,
    api: RawApi,
    access: RawAccess,
    alerts: RawAlerts,
    sandbox: RawSandbox,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawProbe {
    name: Option<String>,
    site: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrunk {
    name: String,
    networks: Vec<String>,
    messages: Option<RawMessages>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCapture {
    interfaces: Vec<String>,
    filter: Option<String>,
    ring_mib: Option<u32>,
    snap_len: Option<u32>,
    promiscuous: Option<bool>,
    queue_mib: Option<usize>,
    threads: Option<u16>,
    cpus: Option<Vec<usize>>,
    measure_cpu: Option<usize>,
    timestamps: Stamps,
    user: Option<String>,
}

/// Whose clock stamps frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stamps {
    #[default]
    Kernel,
    Adapter,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawMeasure {
    interval_s: Option<u32>,
    find_unsignalled: Option<bool>,
    keep_sip_messages: Option<bool>,
    stream_timeout_s: Option<u32>,
    call_timeout_s: Option<u32>,
    jitter_buffer_ms: Option<u32>,
    assumed_one_way_delay_ms: Option<u32>,
    /// Of earlier versions, where it had no effect either.
    sip_ports: Option<Vec<u16>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLimits {
    streams: Option<usize>,
    candidates: Option<usize>,
    calls: Option<usize>,
    messages_per_call: Option<usize>,
    tcp_connections: Option<usize>,
    fragment_mib: Option<usize>,
    memory_mib: Option<usize>,
    header_kib: Option<usize>,
    groups: Option<usize>,
    challenge_hold_s: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStore {
    data: Option<PathBuf>,
    library: Option<PathBuf>,
    clickhouse: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    database: Option<String>,
    cluster: Option<String>,
    listen: Option<SocketAddr>,
    token_file: Option<PathBuf>,
    token_role: Option<String>,
    spool_mib: Option<u64>,
    disk_mib: Option<u64>,
    disk_free_mib: Option<u64>,
    migrate: Option<bool>,
    ca_file: Option<PathBuf>,
    client_certificate_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    plain_http: Option<bool>,
    tls: RawTls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawApi {
    listen: Option<SocketAddr>,
    hosts: Vec<String>,
    max_connections: Option<usize>,
    max_connections_per_address: Option<usize>,
    plain_http: Option<bool>,
    tls: RawTls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawAlerts {
    enabled: Option<bool>,
    rules: Vec<PathBuf>,
    default_rules: Option<bool>,
    alertmanagers: Vec<String>,
    webhooks: Vec<String>,
    bearer_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    client_certificate_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    webhook_secret_file: Option<PathBuf>,
    external_url: Option<String>,
    repeat_interval: Option<String>,
}

/// What the program runs with.
#[derive(Clone, Debug)]
pub struct Config {
    pub policy: Policy,
    pub limits: Limits,
    pub labels: Labels,
    pub capture: Capture,
    pub store: Store,
    pub retention: RetentionConfig,
    pub listen: SocketAddr,
    /// Certificates of servers and of the store's client.
    pub tls: Tls,
    /// Names besides localhost the page may be reached by.
    pub hosts: Vec<String>,
    /// Keys and values as the file has them, to find what changed when it is read again.
    pub written: toml::Table,
    /// Bounds of the connections to the API.
    pub http: HttpLimits,
    /// Sessions, proxies and the audit log.
    pub access: AccessSettings,
    /// Rules and receivers; `None` when alerts are off.
    pub alerts: Option<Settings>,
    /// Every file and directory that a setting names; the sandbox opens these.
    pub files: Vec<PathBuf>,
    /// Whether `run` enters the sandbox.
    pub sandbox: bool,
    /// What works and should be changed all the same, one line each.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Capture {
    pub interfaces: Vec<String>,
    pub filter: Option<String>,
    pub ring_bytes: Option<u32>,
    pub snap_len: Option<u32>,
    pub promiscuous: bool,
    /// Frames on their way from the capture threads to the measuring thread, at most.
    pub queue_bytes: usize,
    /// Capture threads of each interface, each with a ring of its own.
    pub threads: u16,
    /// CPUs of the capture threads, in turn; empty leaves it to the scheduler.
    pub cpus: Vec<usize>,
    /// CPU of the measuring thread.
    pub measure_cpu: Option<usize>,
    /// The adapter stamps frames, not the kernel.
    pub adapter_stamps: bool,
    /// User to become once the sockets are open.
    pub user: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Store {
    pub data: PathBuf,
    pub library: Option<PathBuf>,
    pub server: Option<Server>,
    /// Address on which the embedded store answers ClickHouse's HTTP interface, read-only, and its token.
    pub listen: Option<(SocketAddr, String)>,
    /// What the holder of that token may read.
    pub token_role: Role,
    pub spool_bytes: Option<u64>,
    /// Bytes the embedded store may take on disk before details are refused.
    pub disk_bytes: Option<u64>,
    /// Bytes of the file system of `data` that stay free of details.
    pub disk_free_bytes: u64,
    /// Bring the schema of a server up to date. The embedded store always is.
    pub migrate: bool,
}

impl Store {
    /// Whether this program creates and alters tables.
    pub fn migrates(&self) -> bool {
        self.migrate || self.server.is_none()
    }
}

#[derive(Clone, Debug)]
pub struct Server {
    pub url: String,
    pub user: String,
    pub password: String,
    pub database: String,
    pub cluster: Option<String>,
}

impl Config {
    /// Reads and checks a file; the error names file, place and reason.
    pub fn load(path: &Path) -> anyhow::Result<Config> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read configuration {}", path.display()))?;
        let config = Config::parse_beside(&text, path.parent().unwrap_or(Path::new("")))
            .with_context(|| path.display().to_string())?;
        // The same text was a table a moment ago.
        Ok(Config { written: text.parse().unwrap_or_default(), ..config })
    }

    /// Reads and checks the text of a file; the error names place and reason in one line.
    pub fn parse(text: &str) -> anyhow::Result<Config> {
        Config::parse_beside(text, Path::new(""))
    }

    fn parse_beside(text: &str, beside: &Path) -> anyhow::Result<Config> {
        let raw: Raw = toml::from_str(text).map_err(|e| anyhow!("{}", one_line(&e, text)))?;
        Config::check_beside(raw, beside)
    }

    pub fn check(raw: Raw) -> anyhow::Result<Config> {
        Config::check_beside(raw, Path::new(""))
    }

    /// `beside` is the directory of the file, from which the path of the engine library is taken if it is relative.
    fn check_beside(mut raw: Raw, beside: &Path) -> anyhow::Result<Config> {
        let mut warnings = Vec::new();
        let files = files(&raw, beside);
        if raw.measure.sip_ports.is_some() {
            warnings.push("measure.sip_ports has no effect, as SIP is found on any port: remove it".to_owned());
        }
        let probe = raw.probe.name.unwrap_or_else(|| DEFAULT_PROBE.to_owned());
        let site = raw.probe.site.unwrap_or_default();
        let mut trunks = Vec::new();
        for trunk in &raw.trunk {
            for network in &trunk.networks {
                let network: Cidr = network.parse().map_err(|e| anyhow!("trunk {:?}: {e}", trunk.name))?;
                trunks.push((network, trunk.name.clone()));
            }
        }
        let labels = Labels { probe, site, trunks };
        let listen = match raw.api.listen {
            Some(address) => address,
            None => DEFAULT_LISTEN.parse()?,
        };
        let of_trunks = raw.trunk.iter().filter_map(|trunk| Some((trunk.name.clone(), trunk.messages?))).collect();
        let messages = kept_messages(raw.privacy.messages, raw.measure.keep_sip_messages, of_trunks, &labels)?;
        let privacy = raw.privacy.privacy(beside, &mut warnings)?;
        let keep_headers = raw.privacy.kept_headers()?;
        let policy = Policy { keep_headers, messages, privacy, ..policy(raw.measure)? };
        let retention = retention::check(&raw.retention, &mut warnings)?;
        retention.warn_of_masks(&policy.privacy, &mut warnings);
        let tls = tls(&mut raw.api, &mut raw.store, &mut warnings)?;
        let page = tls::url(tls.api.as_ref(), listen);
        let alerts = alerts(raw.alerts, page, policy.interval, beside, &mut warnings)?;
        Ok(Config {
            policy,
            alerts,
            limits: limits(&raw.limits)?,
            labels,
            capture: capture(raw.capture)?,
            store: store(raw.store, beside, &mut warnings)?,
            retention,
            listen,
            tls,
            http: http(&raw.api)?,
            access: AccessSettings::check(raw.access, &mut warnings)?,
            hosts: raw.api.hosts,
            written: toml::Table::new(),
            files,
            sandbox: raw.sandbox.check(&mut warnings),
            warnings,
        })
    }

    pub fn default_config() -> anyhow::Result<Config> {
        Config::check(Raw::default())
    }
}

fn capture(raw: RawCapture) -> anyhow::Result<Capture> {
    Ok(Capture {
        interfaces: raw.interfaces,
        filter: raw.filter,
        ring_bytes: raw
            .ring_mib
            .map(|mib| within("capture.ring_mib", mib, 1, 1024).map(|mib| mib << 20))
            .transpose()?,
        snap_len: raw.snap_len,
        promiscuous: raw.promiscuous.unwrap_or(true),
        queue_bytes: within("capture.queue_mib", raw.queue_mib.unwrap_or(128), 1, 4096)? << 20,
        threads: within("capture.threads", raw.threads.unwrap_or(1), 1, 64)?,
        cpus: raw.cpus.unwrap_or_default(),
        measure_cpu: raw.measure_cpu,
        adapter_stamps: raw.timestamps == Stamps::Adapter,
        user: raw.user,
    })
}

fn tls(api: &mut RawApi, store: &mut RawStore, warnings: &mut Vec<String>) -> anyhow::Result<Tls> {
    let client = [store.ca_file.take(), store.client_certificate_file.take(), store.client_key_file.take()];
    Ok(Tls {
        api: std::mem::take(&mut api.tls).identity("api.tls", warnings)?,
        store: std::mem::take(&mut store.tls).identity("store.tls", warnings)?,
        clickhouse: tls::store_client(store.clickhouse.as_deref(), client, warnings)?,
        api_plain_http: api.plain_http.unwrap_or(false),
        store_plain_http: store.plain_http.unwrap_or(false),
    })
}

/// Every file and directory that the program reads because a setting names it, `store.data` aside. A new setting of a file belongs here:
/// `run` cannot open it otherwise, at the start or on SIGHUP. A test compares this with the paths in docs/auscult.example.toml.
fn files(raw: &Raw, beside: &Path) -> Vec<PathBuf> {
    let RawStore { library, password_file, token_file, ca_file: store_ca, .. } = &raw.store;
    let RawStore { client_certificate_file: store_certificate, client_key_file: store_key, .. } = &raw.store;
    let RawAlerts { rules, bearer_file, password_file: alerts_password, ca_file, webhook_secret_file, .. } =
        &raw.alerts;
    let RawAlerts { client_certificate_file, client_key_file, .. } = &raw.alerts;
    let secrets = [password_file, token_file, bearer_file, alerts_password, ca_file, webhook_secret_file];
    let certificates = [store_ca, store_certificate, store_key, client_certificate_file, client_key_file];
    let of_servers = [&raw.api.tls, &raw.store.tls].into_iter().flat_map(RawTls::files);
    let beside = library.iter().chain(rules).chain(raw.privacy.files()).map(|path| beside.join(path));
    let named = secrets.into_iter().chain(certificates).flatten().chain(of_servers).chain(raw.access.files());
    named.cloned().chain(beside).collect()
}

fn http(raw: &RawApi) -> anyhow::Result<HttpLimits> {
    let usual = HttpLimits::default();
    let connections = within("api.max_connections", raw.max_connections.unwrap_or(usual.connections), 16, 65_536)?;
    // The default must not forbid a smaller total.
    let per_client = raw.max_connections_per_address.unwrap_or(usual.per_client.min(connections));
    let per_client = within("api.max_connections_per_address", per_client, 1, connections)?;
    Ok(HttpLimits { connections, per_client, ..usual })
}

fn policy(raw: RawMeasure) -> anyhow::Result<Policy> {
    let usual = Policy::default();
    let seconds = |name, value: Option<u32>, low, high, usual: Nanos| match value {
        Some(s) => within(name, s, low, high).map(|s| Nanos::from_secs(i64::from(s))),
        None => Ok(usual),
    };
    let millis = |name, value: Option<u32>, low, high| {
        value.map(|ms| within(name, ms, low, high).map(|ms| Nanos::from_millis(i64::from(ms)))).transpose()
    };
    Ok(Policy {
        interval: seconds("measure.interval_s", raw.interval_s, 1, 60, usual.interval)?,
        find_unsignalled: raw.find_unsignalled.unwrap_or(usual.find_unsignalled),
        stream_timeout: seconds("measure.stream_timeout_s", raw.stream_timeout_s, 5, 3600, usual.stream_timeout)?,
        call_timeout: seconds("measure.call_timeout_s", raw.call_timeout_s, 60, 86_400, usual.call_timeout)?,
        jitter_buffer: millis("measure.jitter_buffer_ms", raw.jitter_buffer_ms, 20, 500)?
            .map_or(usual.jitter_buffer, JitterBuffer::Fixed),
        assumed_one_way_delay: millis("measure.assumed_one_way_delay_ms", raw.assumed_one_way_delay_ms, 0, 2000)?,
        ..usual
    })
}

fn limits(raw: &RawLimits) -> anyhow::Result<Limits> {
    let usual = Limits::default();
    let count = |name, value: Option<usize>, usual| value.map_or(Ok(usual), |v| within(name, v, 1, 100_000_000));
    let limits = Limits {
        streams: count("limits.streams", raw.streams, usual.streams)?,
        candidates: count("limits.candidates", raw.candidates, usual.candidates)?,
        calls: count("limits.calls", raw.calls, usual.calls)?,
        messages_per_call: count("limits.messages_per_call", raw.messages_per_call, usual.messages_per_call)?,
        tcp_connections: count("limits.tcp_connections", raw.tcp_connections, usual.tcp_connections)?,
        fragment_bytes: raw
            .fragment_mib
            .map_or(Ok(usual.fragment_bytes), |mib| within("limits.fragment_mib", mib, 1, 4096).map(|m| m << 20))?,
        header_bytes: raw
            .header_kib
            .map_or(Ok(usual.header_bytes), |kib| within("limits.header_kib", kib, 4, 128).map(|k| k << 10))?,
        groups: raw.groups.map_or(Ok(usual.groups), |groups| within("limits.groups", groups, 16, 65_536))?,
        challenge_hold: raw.challenge_hold_s.map_or(Ok(usual.challenge_hold), |seconds| {
            within("limits.challenge_hold_s", seconds, 5, 3_600).map(|seconds| Nanos::from_secs(seconds as i64))
        })?,
        ..usual
    };
    let Some(mib) = raw.memory_mib else { return Ok(limits) };
    let bytes = within("limits.memory_mib", mib, 64, 4 << 20)? << 20;
    let set = [
        ("streams", raw.streams.is_some()),
        ("candidates", raw.candidates.is_some()),
        ("calls", raw.calls.is_some()),
        ("tcp_connections", raw.tcp_connections.is_some()),
        ("fragment_bytes", raw.fragment_mib.is_some()),
        ("groups", raw.groups.is_some()),
    ];
    let kept: Vec<&str> = set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect();
    limits.within(bytes, &kept).map_err(|excess| {
        let needed = excess.needed.div_ceil(1 << 20);
        anyhow!(
            "limits.memory_mib = {mib}: the limits that are set need {needed} MiB at worst, {} MiB more; raise it, or lower or \
             leave out limits.streams, limits.calls, limits.candidates, limits.tcp_connections or limits.messages_per_call",
            needed - mib
        )
    })
}

/// What the tables of the engine, the live view and the queue to the store take at worst, and the largest parts of it.
pub fn memory(limits: &Limits) -> String {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let mut shares = limits.shares();
    shares.sort_by_key(|share| std::cmp::Reverse(share.total()));
    let largest: Vec<String> =
        shares.iter().take(4).map(|share| format!("{} {} MiB", share.name, mib(share.total()))).collect();
    format!("{} MiB at worst with all tables full ({}, ...)", mib(limits.worst_bytes()), largest.join(", "))
}

/// The first line of a file with a secret; what is wrong with its mode is a warning.
pub(super) fn secret(what: &str, path: &Path, warnings: &mut Vec<String>) -> anyhow::Result<String> {
    let unreadable = || format!("cannot read {what} {}", path.display());
    let text = std::fs::read_to_string(path).with_context(unreadable)?;
    if let Some(problem) = private::exposure(path).with_context(unreadable)? {
        warnings.push(format!("{what} {} {problem}: chmod go-w,o-r {}", path.display(), path.display()));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn alerts(
    raw: RawAlerts,
    page: String,
    interval: Nanos,
    beside: &Path,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Option<Settings>> {
    for (key, urls) in [("alertmanagers", &raw.alertmanagers), ("webhooks", &raw.webhooks)] {
        for url in urls {
            let parsed: axum::http::Uri = url.parse().map_err(|e| anyhow!("alerts.{key}: {url:?} is no URL: {e}"))?;
            if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
                bail!("alerts.{key}: {url:?} must start with http:// or https:// and name a host");
            }
        }
    }
    let authorization = match (raw.bearer_file, raw.user, raw.password_file) {
        (None, None, None) => None,
        (Some(path), None, None) => Some(format!("Bearer {}", secret("alerts.bearer_file", &path, warnings)?)),
        (None, Some(user), Some(path)) => {
            let password = secret("alerts.password_file", &path, warnings)?;
            Some(format!("Basic {}", base64(format!("{user}:{password}").as_bytes())))
        }
        _ => bail!("alerts: set either bearer_file, or user and password_file"),
    };
    if authorization.as_deref().is_some_and(|value| !value.bytes().all(|b| (0x20..0x7f).contains(&b))) {
        bail!("alerts.bearer_file must be one line of printable characters");
    }
    let authorities = match &raw.ca_file {
        None => None,
        Some(path) => {
            Some(std::fs::read(path).with_context(|| format!("cannot read alerts.ca_file {}", path.display()))?)
        }
    };
    let secret =
        raw.webhook_secret_file.map(|path| secret("alerts.webhook_secret_file", &path, warnings)).transpose()?;
    let identity = tls::client_identity("alerts", raw.client_certificate_file, raw.client_key_file, warnings)?;
    let (alertmanagers, webhooks) = (raw.alertmanagers, raw.webhooks);
    let receivers = Receivers { alertmanagers, webhooks, authorization, authorities, secret, identity };
    Receiver::new(&receivers)?;
    let repeat = raw.repeat_interval.as_deref().unwrap_or("4h");
    let repeat = parse_span(repeat)
        .filter(|repeat| *repeat >= Nanos::from_secs(60))
        .ok_or_else(|| anyhow!("alerts.repeat_interval = {repeat:?}: write 1m or longer, such as 4h"))?;
    let mut paths = Vec::new();
    for path in &raw.rules {
        let path = beside.join(path);
        match path.exists() {
            true => paths.push(path),
            false => warnings.push(format!("alerts.rules: there is no {}", path.display())),
        }
    }
    let set = read_rules(&paths, raw.default_rules.unwrap_or(true), interval)?;
    warnings.extend(set.errors.iter().map(|error| format!("{error}; the other rules go on")));
    let external_url = raw.external_url.unwrap_or(page);
    let settings =
        Settings { rules: set.rules, receivers, external_url: external_url.trim_end_matches('/').to_owned(), repeat };
    Ok(raw.enabled.unwrap_or(true).then_some(settings))
}

/// Base64 (RFC 4648 section 4), for basic authentication.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * position)) as usize & 63];
            text.push(if position <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn store(raw: RawStore, beside: &Path, warnings: &mut Vec<String>) -> anyhow::Result<Store> {
    let mut secret = |what: &str, path: &Path| secret(what, path, warnings);
    let password =
        raw.password_file.as_deref().map(|path| secret("store.password_file", path)).transpose()?.unwrap_or_default();
    let listen = match (raw.listen, raw.token_file) {
        (None, _) => None,
        (Some(address), Some(path)) => Some((address, secret("store.token_file", &path)?)),
        (Some(_), None) => bail!("store.listen opens the store to other programs and needs store.token_file"),
    };
    if listen.as_ref().is_some_and(|(_, token)| token.is_empty()) {
        bail!("store.token_file must not be empty");
    }
    let token_role = match raw.token_role.as_deref() {
        Some(name) => Role::parse(name).ok_or_else(|| anyhow!("store.token_role: there is no role {name:?}"))?,
        None => {
            if listen.is_some() {
                let text = "store.token_role is not set: the holder of store.token_file reads numbers and SIP messages (investigator), as in \
                            earlier versions; set viewer, operator or investigator";
                warnings.push(text.to_owned());
            }
            Role::Investigator
        }
    };
    let server = raw.clickhouse.map(|url| Server {
        url,
        user: raw.user.unwrap_or_else(|| "default".to_owned()),
        password,
        database: raw.database.unwrap_or_else(|| "auscult".to_owned()),
        cluster: raw.cluster,
    });
    Ok(Store {
        data: raw.data.unwrap_or_else(|| PathBuf::from("data")),
        library: raw.library.map(|path| library(&path, beside)).transpose()?,
        server,
        listen,
        token_role,
        spool_bytes: raw
            .spool_mib
            .map(|mib| within("store.spool_mib", mib, 1, MAX_SPOOL_MIB).map(|mib| mib << 20))
            .transpose()?,
        disk_bytes: raw
            .disk_mib
            .map(|mib| within("store.disk_mib", mib, 256, MOST_MIB).map(|mib| mib << 20))
            .transpose()?,
        disk_free_bytes: within("store.disk_free_mib", raw.disk_free_mib.unwrap_or(1024), 0, MOST_MIB)? << 20,
        migrate: raw.migrate.unwrap_or(true),
    })
}

/// A pebibyte, so that a wrong unit is noticed.
const MOST_MIB: u64 = 1 << 30;
/// The configured library by its absolute path; what would keep it from being loaded is an error here already.
fn library(path: &Path, beside: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(beside.join(path)).context("store.library")?;
    match find_library(Some(&path)) {
        Err(e @ StoreError::UntrustedLibrary { .. }) => Err(e).context("store.library"),
        // One that is absent is an error of the command that needs it.
        _ => Ok(path),
    }
}

pub(super) fn within<T: PartialOrd + std::fmt::Display>(name: &str, value: T, low: T, high: T) -> anyhow::Result<T> {
    if value < low || value > high {
        bail!("{name} = {value}: it must be from {low} to {high}");
    }
    Ok(value)
}

/// Where in the file, and why.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map(|span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
    let why = error.message().replace('\n', " ");
    line.map_or(why.clone(), |line| format!("line {line}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_core::model::{MessagePolicy, Messages};
    use auscult_store::retention::{Family, Period};

    #[track_caller]
    fn refused(text: &str) -> String {
        match toml::from_str::<Raw>(text) {
            Err(e) => one_line(&e, text),
            Ok(raw) => format!("{:#}", Config::check(raw).expect_err("should be refused")),
        }
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = Config::check(toml::from_str("").unwrap()).unwrap();
        assert_eq!(config.policy, Policy::default());
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.listen, DEFAULT_LISTEN.parse().unwrap());
    }

    #[test]
    fn errors_say_where_and_why() {
        assert_eq!(refused("[measure]\ninterval_s = 0"), "measure.interval_s = 0: it must be from 1 to 60");
        assert!(refused("[measure]\n\nintervall = 1").starts_with("line 3: unknown field `intervall`"));
        assert_eq!(refused("[limits]\nheader_kib = 129"), "limits.header_kib = 129: it must be from 4 to 128");
        assert!(refused("[[trunk]]\nname = \"x\"\nnetworks = [\"192.0.2.1/24\"]").contains("bits after the prefix"));
        assert_eq!(refused("[store]\ndisk_mib = 1"), "store.disk_mib = 1: it must be from 256 to 1073741824");
        assert!(refused("[store]\nlisten = \"127.0.0.1:8123\"").contains("token_file"));
        assert!(refused("[store]\nspool_mib = 0").starts_with("store.spool_mib = 0: it must be from 1 to"));
        assert!(refused("[store]\nspool_mib = 17592186044416").starts_with("store.spool_mib = 17592186044416"));
        assert_eq!(
            refused("[api]\nmax_connections = 64\nmax_connections_per_address = 65"),
            "api.max_connections_per_address = 65: it must be from 1 to 64"
        );
    }

    const EXAMPLE: &str = include_str!("../../docs/auscult.example.toml");

    /// Loads `text` as `auscult check-config` does.
    fn load(text: &str) -> anyhow::Result<Config> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Config::load(file.path())
    }

    #[test]
    fn the_example_is_good_and_its_commented_values_are_the_defaults() {
        let config = load(EXAMPLE).unwrap();
        assert_eq!(config.labels.trunk("203.0.113.9".parse().ok(), None).name, "carrier-b");

        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "secret\n").unwrap();
        let set: Vec<String> = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
                    match rest.split_once("_file = ") {
                        // Either a token or a password, and no certificate at hand.
                        Some(("bearer" | "ca" | "certificate" | "key" | "client_certificate" | "client_key", _)) => {
                            line.to_owned()
                        }
                        Some((key, _)) => format!("{key}_file = {:?}", secret.path()),
                        None => rest.to_owned(),
                    }
                }
                _ => line.to_owned(),
            })
            .collect();
        let full = load(&set.join("\n")).unwrap();
        let usual = Policy::default();
        assert_eq!(full.limits, Limits::default());
        assert_eq!(
            full.policy,
            Policy {
                assumed_one_way_delay: Some(Nanos::from_millis(50)),
                jitter_buffer: JitterBuffer::Fixed(Nanos::from_millis(60)),
                messages: MessagePolicy {
                    usual: Messages::Whole,
                    of_trunks: vec![("carrier-a".to_owned(), Messages::Headers)],
                    labels: full.labels.clone(),
                },
                ..usual
            }
        );
        assert_eq!(full.listen, DEFAULT_LISTEN.parse().unwrap());
        let usual = |family: &Family| Period::same(family.default_days());
        assert!(full.retention.periods.0.iter().all(|(family, period)| *period == usual(family)));
        assert_eq!((full.retention.periods.0.len(), config.retention.periods.0.len()), (Family::ALL.len(), 0));
        assert_eq!((full.http, config.http), (HttpLimits::default(), HttpLimits::default()));
        assert_eq!(full.store.data, config.store.data);
        assert_eq!(full.store.disk_free_bytes, config.store.disk_free_bytes);
        assert_eq!((full.store.disk_bytes, config.store.disk_bytes), (Some(500_000 << 20), None));
        assert_eq!(full.store.spool_bytes, Some(auscult_store::spool::SpoolLimits::default().bytes));
        assert_eq!(full.capture.snap_len, Some(auscult_capture::MAX_RECORD as u32));
        assert_eq!(full.store.server.map(|s| (s.user, s.password, s.database)), {
            Some(("default".to_owned(), "secret".to_owned(), "auscult".to_owned()))
        });
    }

    #[test]
    fn the_example_has_every_key() {
        let keys = |text: &str| -> Vec<String> {
            let message = toml::from_str::<Raw>(text).expect_err("unknown").message().to_owned();
            let (_, expected) = message.split_once("expected").expect("names what it takes");
            expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let mut sections = keys("unknown = 1");
        assert_eq!(sections.len(), 12, "{sections:?}");
        sections.extend(["api.tls", "store.tls", "retention.emergency", "access.oidc"].map(str::to_owned));
        for section in sections {
            let header = if section == "trunk" { "[[trunk]]".to_owned() } else { format!("[{section}]") };
            let (_, body) = EXAMPLE.split_once(&format!("\n{header}\n")).expect(&header);
            let body = body.split("\n[").next().unwrap_or_default();
            // Taken from files of earlier versions, with a warning; and tables of their own.
            let other = ["sip_ports", "oidc", "roles"];
            for key in keys(&format!("{header}\nunknown = 1")).iter().filter(|key| !other.contains(&key.as_str())) {
                let shown = body.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{key} = ")));
                let shown = shown || EXAMPLE.contains(&format!("\n[{section}.{key}]\n"));
                assert!(shown, "{section}.{key} is not in docs/auscult.example.toml");
            }
        }
    }

    #[test]
    fn every_path_of_the_example_is_open_in_the_sandbox() {
        let set = |line: &str| -> Option<(String, String)> {
            let (key, value) = line.trim_start_matches('#').split_once(" = ")?;
            (!key.contains(' ')).then(|| (key.to_owned(), value.to_owned()))
        };
        let mut section = String::new();
        let (mut text, mut paths) = (String::new(), Vec::new());
        for line in EXAMPLE.lines() {
            if line.starts_with('[') {
                section = line.to_owned();
                text.push_str(&format!("{line}\n"));
            }
            let named = set(line).filter(|(_, value)| value.trim_start_matches('[').starts_with("\"/"));
            if let Some((key, value)) = named {
                paths.extend(
                    value.split('"').skip(1).step_by(2).map(|path| (format!("{section} {key}"), path.to_owned())),
                );
                text.push_str(&format!("{key} = {value}\n"));
            }
            if section == "[[trunk]]" && !line.starts_with(['[', '#']) {
                text.push_str(&format!("{line}\n"));
            }
        }
        let open = files(&toml::from_str(&text).unwrap(), Path::new("/"));
        assert!(paths.len() >= 8, "{paths:?}");
        for (key, path) in paths {
            assert!(open.contains(&PathBuf::from(&path)), "{key} = {path:?} is not in `files`");
        }
    }

    #[test]
    fn a_key_that_has_no_effect_is_warned_of() {
        let warnings = |text: &str| load(text).unwrap().warnings;
        assert!(warnings("[measure]\ninterval_s = 10").is_empty());
        assert!(
            warnings("[measure]\nsip_ports = [5060]").iter().any(|w| w.contains("measure.sip_ports has no effect"))
        );
    }

    #[test]
    fn the_kernel_stamps_frames_unless_the_adapter_is_told_to() {
        let adapter = |text: &str| Config::check(toml::from_str(text).unwrap()).unwrap().capture.adapter_stamps;
        assert!(!adapter("") && !adapter("[capture]\ntimestamps = \"kernel\""));
        assert!(adapter("[capture]\ntimestamps = \"adapter\""));
        let line = refused("[capture]\ntimestamps = \"gps\"");
        assert!(line.starts_with("line 2: unknown variant `gps`, expected `kernel` or `adapter`"), "{line}");
    }

    #[test]
    fn only_a_server_may_be_left_as_it_is() {
        let migrates = |text: &str| Config::check(toml::from_str(text).unwrap()).unwrap().store.migrates();
        assert!(migrates(""));
        assert!(migrates("[store]\nmigrate = false"), "nobody else can bring the embedded store up to date");
        assert!(migrates("[store]\nclickhouse = \"http://db:8123\""));
        assert!(!migrates("[store]\nclickhouse = \"http://db:8123\"\nmigrate = false"));
    }

    #[test]
    fn one_figure_bounds_the_sum_of_the_limits() {
        let limits = |text: &str| Config::check(toml::from_str(text).unwrap()).unwrap().limits;
        let fitted = limits("[limits]\nmemory_mib = 1024\nstreams = 20000");
        assert!(fitted.worst_bytes() <= 1024 << 20 && fitted.worst_bytes() > 1000 << 20);
        assert!(fitted.streams == 20_000 && fitted.calls < Limits::default().calls);
        let needed = limits("[limits]\nmemory_mib = 1048576").worst_bytes().div_ceil(1 << 20);
        assert_eq!(limits(&format!("[limits]\nmemory_mib = {needed}")), Limits::default());
        let line = refused("[limits]\nmemory_mib = 512\nstreams = 400000");
        assert!(line.starts_with("limits.memory_mib = 512: the limits that are set need "), "{line}");
        assert!(line.contains(" MiB more; raise it, or lower"), "{line}");
        assert!(refused("[limits]\nmemory_mib = 1").contains("it must be from 64 to 4194304"));
        let said = memory(&fitted);
        assert!(said.starts_with("1024 MiB at worst with all tables full ("), "{said}");
    }

    #[test]
    fn headers_that_are_kept_are_headers_and_no_credentials() {
        let policy = |text: &str| Config::check(toml::from_str(text).unwrap()).unwrap().policy;
        let kept = policy("[privacy]\nkeep_headers = [\"X-Carrier-Trace\", \"p-rtp-stat\"]").keep_headers;
        assert_eq!(kept, ["X-Carrier-Trace", "p-rtp-stat"]);
        assert_eq!(policy("").keep_headers, [] as [String; 0]);
        for (name, why) in [
            ("Proxy-AUTHORIZATION", "credentials"),
            ("cookie", "credentials"),
            ("y", "credentials"),
            ("X Y", "not the name"),
            ("", "not the name"),
        ] {
            let line = refused(&format!("[privacy]\nkeep_headers = [{name:?}]"));
            assert!(line.starts_with("privacy.keep_headers: ") && line.contains(why), "{line}");
        }
        let many: Vec<String> = (0..65).map(|n| format!("\"X-{n}\"")).collect();
        let line = refused(&format!("[privacy]\nkeep_headers = [{}]", many.join(", ")));
        assert_eq!(line, "privacy.keep_headers has 65 names: it may have 64");
    }

    #[test]
    fn files_of_secrets_that_others_can_read_are_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "secret\n").unwrap();
        let text = format!("[store]\nlisten = \"127.0.0.1:0\"\ntoken_file = {token:?}\ntoken_role = \"viewer\"\n");
        for (mode, expected) in [(0o600, 0), (0o640, 0), (0o644, 1), (0o660, 1)] {
            std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
            let warnings = load(&text).unwrap().warnings;
            assert_eq!(warnings.len(), expected, "{mode:o}: {warnings:?}");
            assert!(warnings.iter().all(|line| line.contains("store.token_file") && line.contains("chmod")));
        }
    }

    #[test]
    fn the_library_is_taken_from_beside_the_file_and_not_where_others_can_write() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (file, library) = (dir.path().join("auscult.toml"), dir.path().join("libchdb.so"));
        std::fs::write(&file, "[store]\nlibrary = \"libchdb.so\"\n").unwrap();
        assert_eq!(Config::load(&file).unwrap().store.library.as_ref(), Some(&library), "it need not be there yet");
        std::fs::write(&library, "").unwrap();
        std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o666)).unwrap();
        let refused = format!("{:#}", Config::load(&file).unwrap_err());
        assert!(refused.contains("store.library") && refused.contains("can be written by every user"), "{refused}");
    }

    #[test]
    fn trunks_name_addresses() {
        let text = "[[trunk]]\nname = \"carrier\"\nnetworks = [\"198.51.100.0/24\"]";
        let config = Config::check(toml::from_str(text).unwrap()).unwrap();
        assert_eq!(config.labels.trunk("198.51.100.7".parse().ok(), None).name, "carrier");
    }
}
