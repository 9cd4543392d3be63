//! Who may see what: the section `[access]`, users and the audit log of a data directory, and what watches over them while the program runs.

pub mod command;
mod oidc;

use super::config::Config;
use super::signals::Stop;
use anyhow::{Context, anyhow, bail};
use auscult_access::audit::{Action, AuditLog, Entry, Outcome};
use auscult_access::{Access, AccessFile, DIRECTORY, SessionLimits, Via};
use auscult_api::{AccessControl, TrustedProxy};
use auscult_core::model::Cidr;
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::endpoint::{EndpointRead, EndpointReader, FindReader, RecordRead};
use oidc::Oidc;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawAccess {
    trusted_proxies: Vec<String>,
    user_header: Option<String>,
    secure_cookies: Option<bool>,
    session_idle_minutes: Option<u32>,
    session_hours: Option<u32>,
    audit_key_file: Option<PathBuf>,
    audit_keep_days: Option<u32>,
    oidc: oidc::RawOidc,
}

/// The section as checked.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    pub sessions: SessionLimits,
    pub proxy: Option<TrustedProxy>,
    /// Browsers reach the service over TLS only, by its own or that of a proxy.
    pub secure_cookies: bool,
    /// The key of the audit log, where it is not in the data directory.
    pub audit_key_file: Option<PathBuf>,
    /// How long rows of the audit log are kept.
    pub audit_keep: Nanos,
    /// A provider at which users sign in.
    pub oidc: Option<oidc::OidcSettings>,
}

/// Six years, as 45 CFR 164.316 asks for.
const AUDIT_KEEP_DAYS: u32 = 2192;

/// How often users and tokens are read again when they have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the head of the audit log is logged, and rows that are too old are removed.
const HOUR: Duration = Duration::from_secs(3600);

impl RawAccess {
    /// Files that the section names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.audit_key_file.iter().chain(self.oidc.files())
    }
}

impl AccessSettings {
    pub fn check(raw: RawAccess, warnings: &mut Vec<String>) -> anyhow::Result<AccessSettings> {
        let usual = SessionLimits::default();
        let within = super::config::within;
        let minutes = |minutes: u32| Nanos::from_secs(i64::from(minutes) * 60);
        let idle = raw.session_idle_minutes.map(|m| within("access.session_idle_minutes", m, 1, 10_080));
        let longest = raw.session_hours.map(|h| within("access.session_hours", h, 1, 720));
        let sessions = SessionLimits {
            idle: idle.transpose()?.map_or(usual.idle, minutes),
            longest: longest.transpose()?.map_or(usual.longest, |hours| minutes(hours * 60)),
        };
        let mut networks = Vec::new();
        for text in &raw.trusted_proxies {
            let network = if text.contains('/') { text.clone() } else { whole_address(text)? };
            networks.push(network.parse::<Cidr>().map_err(|e| anyhow!("access.trusted_proxies: {e}"))?);
        }
        let user_header = raw
            .user_header
            .as_deref()
            .map(|name| name.parse().map_err(|_| anyhow!("access.user_header: {name:?} is no name of a header")));
        let user_header = user_header.transpose()?;
        if user_header.is_some() && networks.is_empty() {
            bail!("access.user_header needs access.trusted_proxies: anybody could send the header otherwise");
        }
        let keep = within("access.audit_keep_days", raw.audit_keep_days.unwrap_or(AUDIT_KEEP_DAYS), 1, 36_500)?;
        Ok(AccessSettings {
            sessions,
            proxy: (!networks.is_empty()).then_some(TrustedProxy { networks, user_header }),
            secure_cookies: raw.secure_cookies.unwrap_or(false),
            audit_key_file: raw.audit_key_file,
            audit_keep: Nanos::from_secs(i64::from(keep) * 86_400),
            oidc: oidc::OidcSettings::check(raw.oidc, warnings)?,
        })
    }
}

/// An address as a network of its own.
fn whole_address(text: &str) -> anyhow::Result<String> {
    let address: std::net::IpAddr =
        text.parse().map_err(|_| anyhow!("access.trusted_proxies: {text:?} is neither an address nor a network"))?;
    Ok(format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }))
}

/// Directory of users and the audit log.
pub fn directory(data: &Path) -> PathBuf {
    data.join(DIRECTORY)
}

/// Refuses an address that other hosts reach while nobody would have to sign in there, and a provider that sends browsers back to a name
/// which is not served.
///
/// # Errors
/// That, or users and tokens cannot be read.
pub fn check_reach(config: &Config) -> anyhow::Result<()> {
    let file = AccessFile::load(&directory(&config.store.data))?;
    let oidc = &config.access.oidc;
    if let Some(oidc) = oidc {
        oidc::check_host(oidc, config.listen, &config.hosts)?;
    }
    if config.listen.ip().is_loopback() || file.has_users() || oidc.is_some() {
        return Ok(());
    }
    bail!(
        "api.listen = {}: other hosts reach it, and there are no users: run `auscult user add --role admin NAME --data {}` first (with \
         --config FILE where `run` has one), or listen on 127.0.0.1",
        config.listen,
        config.store.data.display()
    )
}

/// Users, tokens and the audit log of the data directory, which this program has claimed; they are looked after until it ends.
///
/// # Errors
/// They cannot be read or made.
pub fn open(config: &Config, stopping: &Stop) -> anyhow::Result<Opened> {
    let dir = directory(&config.store.data);
    let settings = &config.access;
    // Whoever configures a provider, or users of a proxy, wants sign-in.
    let by_proxy = settings.proxy.as_ref().is_some_and(|proxy| proxy.user_header.is_some());
    let may_be_open = config.listen.ip().is_loopback() && settings.oidc.is_none() && !by_proxy;
    let access = Arc::new(Access::open(&dir, may_be_open, settings.sessions)?);
    let audit = Arc::new(AuditLog::open(&dir, settings.audit_key_file.as_deref()).context("the audit log")?);
    if access.is_open() {
        super::print_status(
            "nobody has to sign in, as there are no users; `auscult user add --role admin NAME` changes that at once",
        );
    }
    let provider = settings.oidc.clone().map(Oidc::new).transpose()?.map(Arc::new);
    if let Some(provider) = provider.clone() {
        tokio::task::spawn_blocking(move || provider.look(super::wall_clock()));
    }
    let opened = Opened { access, audit, provider };
    opened.clone().watch(settings.audit_keep, stopping);
    Ok(opened)
}

/// What [`open`] opened.
#[derive(Clone)]
pub struct Opened {
    pub access: Arc<Access>,
    pub audit: Arc<AuditLog>,
    pub provider: Option<Arc<Oidc>>,
}

impl Opened {
    /// What the API decides by.
    pub fn control(&self, config: &Config) -> AccessControl {
        let settings = &config.access;
        let secure = settings.secure_cookies || config.tls.api.is_some();
        let (access, audit) = (self.access.clone(), Some(self.audit.clone()));
        let control = AccessControl::new(access, audit, settings.proxy.clone(), secure);
        match &self.provider {
            Some(provider) => control.with_provider(provider.clone()),
            None => control,
        }
    }

    /// API tokens of which the endpoint of the store takes those whose scope is everything, since tables are not narrowed there.
    pub fn find_reader(&self) -> FindReader {
        let access = self.access.clone();
        Arc::new(move |text| {
            let found = access.of_token(text, super::wall_clock()).filter(|principal| principal.scope.is_all())?;
            Some(EndpointReader { name: found.name.to_string(), role: found.role })
        })
    }

    /// Records what is read of parties over the endpoint of the store.
    pub fn record_read(&self) -> RecordRead {
        let audit = self.audit.clone();
        Arc::new(move |read: &EndpointRead| {
            let mut what = format!("tables {}", read.tables.join(", "));
            for number in &read.numbers {
                what.push_str(&format!(" number=hmac:{}", audit.pseudonym(number)));
            }
            let (at, role) = (super::wall_clock(), Some(read.reader.role));
            let who = read.reader.name.clone();
            let entry = Entry {
                at,
                who,
                via: Via::Token,
                role,
                from: None,
                action: Action::StoreQuery,
                what,
                outcome: Outcome::Allowed,
            };
            audit.append(&[entry]).map(|_| ()).map_err(|e| e.to_string())
        })
    }

    /// Reads users and tokens again when they have changed; logs the head of the audit log and shortens it.
    fn watch(self, keep: Nanos, stopping: &Stop) {
        let mut stop = stopping.watch();
        let users = self.access.clone();
        tokio::spawn(async move {
            loop {
                match users.refresh() {
                    Ok(true) => super::print_status("users and tokens were read again"),
                    Ok(false) => {}
                    Err(e) => super::print_status(format_args!("users and tokens stay as they were: {e}")),
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        tokio::spawn(async move {
            loop {
                let audit = self.audit.clone();
                let _ = tokio::task::spawn_blocking(move || look_after(&audit, keep, super::wall_clock())).await;
                tokio::select! {
                    () = tokio::time::sleep(HOUR) => {}
                    _ = stop.changed() => return,
                }
            }
        });
    }
}

/// Removes rows that are too old, and logs the head: what is logged elsewhere cannot be cut off here unseen.
fn look_after(audit: &AuditLog, keep: Nanos, now: Timestamp) {
    match audit.prune(now - keep, now) {
        Ok(0) => {}
        Ok(rows) => {
            super::print_status(format_args!("{rows} rows of the audit log were older than kept and are removed"))
        }
        Err(e) => super::print_status(format_args!("rows of the audit log that are too old stay: {e}")),
    }
    match audit.head() {
        Ok(head) if head.seq > 0 => super::print_status(format_args!("audit log: head {}", head.to_text())),
        Ok(_) => {}
        Err(e) => super::print_status(format_args!("the audit log cannot be read: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<AccessSettings, String> {
        let raw: RawAccess = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        AccessSettings::check(raw, &mut Vec::new()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_section_is_checked() {
        let good =
            check("trusted_proxies = [\"192.0.2.1\", \"2001:db8::/32\"]\nuser_header = \"X-User\"\nsession_hours = 2")
                .unwrap();
        assert_eq!(good.sessions.longest, Nanos::from_secs(7200));
        let proxy = good.proxy.unwrap();
        assert!(
            proxy.networks[0].contains("192.0.2.1".parse().unwrap())
                && !proxy.networks[0].contains("192.0.2.2".parse().unwrap())
        );
        for (text, why) in [
            ("user_header = \"X-User\"", "needs access.trusted_proxies"),
            ("trusted_proxies = [\"proxy\"]", "neither an address nor a network"),
            ("trusted_proxies = [\"192.0.2.1/24\"]", "access.trusted_proxies"),
            ("trusted_proxies = [\"192.0.2.1\"]\nuser_header = \"a b\"", "no name of a header"),
            ("session_idle_minutes = 0", "from 1 to"),
            ("session_hours = 1000", "from 1 to"),
            ("audit_keep_days = 0", "from 1 to"),
            ("roles = 1", "unknown field"),
        ] {
            assert!(check(text).unwrap_err().contains(why), "{text}");
        }
    }
}
