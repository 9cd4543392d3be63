//! Certificates of the program: what the configuration says of them, who uses them, and how they are exchanged while it
//! runs.

use super::config::Config;
use super::print_status;
use super::signals::Stop;
use anyhow::{Context, anyhow, bail};
use auscult_api::{MetricFamily, Sample};
use auscult_http::HttpServer;
use auscult_http::tls::{Authorities, ClientTls, Identity, TlsError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time between two looks at the files. What changed is read when it is the same at two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Seconds of a day.
const DAY: i64 = 24 * 3600;

/// `[api.tls]` and `[store.tls]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawTls {
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

impl RawTls {
    /// Files that the section names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificate_file.iter().chain(&self.key_file)
    }
}

/// Paths of a client: its authorities, its certificate, its key.
pub type ClientFiles = [Option<PathBuf>; 3];

/// How the program does TLS; the alerts' client is in their receivers.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Of the page and the API; `None` is plain HTTP.
    pub api: Option<Identity>,
    /// Of `store.listen`.
    pub store: Option<Identity>,
    /// To a ClickHouse server at `https://`.
    pub clickhouse: ClientTls,
    /// Plain HTTP may be on addresses that other hosts reach.
    pub api_plain_http: bool,
    pub store_plain_http: bool,
}

impl RawTls {
    /// The identity of `[section]`, if it has one.
    pub fn identity(self, section: &str, warnings: &mut Vec<String>) -> anyhow::Result<Option<Identity>> {
        let keys = [format!("{section}.certificate_file"), format!("{section}.key_file")];
        identity(&keys, self.certificate_file, self.key_file, warnings)
    }
}

/// A certificate and its key from two files, of which one needs the other.
fn identity(
    keys: &[String; 2],
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Option<Identity>> {
    let (certificate, key) = match (certificate, key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => bail!("{} needs {}", keys[0], keys[1]),
        (None, Some(_)) => bail!("{} needs {}", keys[1], keys[0]),
    };
    let now = now_s();
    let identity = Identity::load(&certificate, &key, now).map_err(|e| anyhow!("{}: {e}", keys[0]))?;
    warnings.extend(remaining(&identity, now).map(|text| format!("{}: {text}", keys[0])));
    Ok(Some(identity))
}

/// The certificate and key that a client of `section` shows.
pub fn client_identity(
    section: &str,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Option<Identity>> {
    let keys = [format!("{section}.client_certificate_file"), format!("{section}.client_key_file")];
    identity(&keys, certificate, key, warnings)
}

/// What the client of a ClickHouse server trusts and shows. `url`: the server's, as far as the file has one.
pub fn store_client(url: Option<&str>, files: ClientFiles, warnings: &mut Vec<String>) -> anyhow::Result<ClientTls> {
    let [ca, certificate, key] = files;
    let is_set = ca.is_some() || certificate.is_some() || key.is_some();
    let is_plain = url.map(auscult_store::server::is_https).transpose().context("store.clickhouse")? == Some(false);
    if is_set && is_plain {
        bail!("store.ca_file and store.client_certificate_file need a store.clickhouse that begins with https://");
    }
    let authorities = ca.map(|path| Authorities::load(&path).map_err(|e| anyhow!("store.ca_file: {e}"))).transpose()?;
    Ok(ClientTls { authorities, identity: client_identity("store", certificate, key, warnings)? })
}

/// Refuses plain HTTP on an address that other hosts reach, unless the configuration allows it.
pub fn check_addresses(config: &Config) -> anyhow::Result<()> {
    let store = config.store.listen.as_ref().filter(|_| config.store.server.is_none());
    let listeners = [
        ("api", Some(config.listen), config.tls.api.is_some() || config.tls.api_plain_http),
        ("store", store.map(|(address, _)| *address), config.tls.store.is_some() || config.tls.store_plain_http),
    ];
    for (section, address, may) in listeners {
        if let Some(address) = address.filter(|address| !may && !address.ip().to_canonical().is_loopback()) {
            bail!(
                "{section}.listen = \"{address}\": other hosts reach this address, and plain HTTP shows them what passes; \
                 set certificate_file and key_file in [{section}.tls], or listen on 127.0.0.1, or allow it with \
                 {section}.plain_http = true"
            );
        }
    }
    Ok(())
}

/// `server` in TLS where there is a certificate for it.
pub fn server(server: HttpServer, identity: Option<&Identity>) -> Result<HttpServer, TlsError> {
    match identity {
        Some(identity) => server.with_tls(identity),
        None => Ok(server),
    }
}

/// Where a server is reached.
pub fn url(identity: Option<&Identity>, address: SocketAddr) -> String {
    let scheme = if identity.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// The wall clock in seconds since the epoch, as certificates have it.
pub fn now_s() -> i64 {
    super::wall_clock().0.div_euclid(1_000_000_000)
}

/// That a certificate ends soon, in words; `None` while it does not.
fn remaining(identity: &Identity, now_s: i64) -> Option<String> {
    let validity = identity.validity();
    let file = identity.certificate_file().display();
    let until = validity.until_text();
    if now_s > validity.until {
        return Some(format!("the certificate {file} has expired at {until}: renew it"));
    }
    let days = (validity.until - now_s) / DAY;
    validity.ends_soon(now_s).then(|| format!("the certificate {file} expires at {until}, in {days} days: renew it"))
}

/// The certificates that are in use, by their use: `api`, `store`, `clickhouse`, `alerts`. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Arc<Mutex<BTreeMap<&'static str, Identity>>>);

impl Certificates {
    pub fn of(config: &Config) -> Certificates {
        let server = config.store.server.as_ref();
        let alerts = config.alerts.as_ref().and_then(|alerts| alerts.receivers.identity.as_ref());
        let all = [
            ("api", config.tls.api.as_ref()),
            ("store", config.tls.store.as_ref().filter(|_| server.is_none() && config.store.listen.is_some())),
            ("clickhouse", config.tls.clickhouse.identity.as_ref().filter(|_| server.is_some())),
            ("alerts", alerts),
        ];
        let used = all.into_iter().filter_map(|(usage, identity)| Some((usage, identity?.clone())));
        Certificates(Arc::new(Mutex::new(used.collect())))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Identity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<(&'static str, Identity)> {
        self.lock().iter().map(|(usage, identity)| (*usage, identity.clone())).collect()
    }

    /// Takes over a new setting of a use: the files that are in use already stay the same identity, others replace it.
    pub fn replace(&self, usage: &'static str, new: &mut Option<Identity>) {
        let mut all = self.lock();
        match (all.get(usage), &new) {
            (Some(old), Some(same)) if old == same => *new = Some(old.clone()),
            (_, Some(other)) => {
                all.insert(usage, other.clone());
            }
            (_, None) => {
                all.remove(usage);
            }
        }
    }

    /// Reads all files again; what changed, and what could not be used.
    pub fn reload(&self) -> Vec<String> {
        let now = now_s();
        let lines = self.all().into_iter().filter_map(|(usage, identity)| match identity.reload(now) {
            Ok(true) => Some(exchanged(usage, &identity)),
            Ok(false) => None,
            Err(e) => Some(kept(usage, &e)),
        });
        lines.collect()
    }

    /// Looks at all files; lines for the operator.
    fn look(&self) -> Vec<Result<String, String>> {
        let now = now_s();
        let lines = self.all().into_iter().filter_map(|(usage, identity)| {
            Some(match identity.look(now)? {
                Ok(()) => Ok(exchanged(usage, &identity)),
                Err(e) => Err(kept(usage, &e)),
            })
        });
        lines.collect()
    }

    /// What ends soon or has ended, with its use.
    fn expiring(&self) -> BTreeMap<&'static str, (bool, String)> {
        let now = now_s();
        let of = |(usage, identity): (_, Identity)| {
            let has_ended = now > identity.validity().until;
            Some((usage, (has_ended, remaining(&identity, now)?)))
        };
        self.all().into_iter().filter_map(of).collect()
    }

    /// For `auscult doctor`: the use, until when, and whether it is to be renewed.
    pub fn report(&self) -> Vec<(&'static str, Result<String, String>)> {
        let now = now_s();
        let line = |identity: &Identity| match remaining(identity, now) {
            Some(problem) => Err(problem),
            None => Ok(format!(
                "{} is valid until {}",
                identity.certificate_file().display(),
                identity.validity().until_text()
            )),
        };
        self.all().iter().map(|(usage, identity)| (*usage, line(identity))).collect()
    }

    pub fn families(&self) -> [MetricFamily; 2] {
        let (mut ends, mut outdated) = (Vec::new(), Vec::new());
        for (usage, identity) in self.all() {
            ends.push(Sample::gauge([("use", usage)], identity.validity().until as f64));
            outdated.push(Sample::gauge([("use", usage)], f64::from(u8::from(identity.is_outdated()))));
        }
        [
            MetricFamily {
                name: "auscult_certificate_expiry_timestamp_seconds",
                help: "When the certificate that is in use ends, seconds since the epoch",
                samples: ends,
            },
            MetricFamily {
                name: "auscult_certificate_outdated",
                help: "1 where the files hold something else that cannot be used, and the old certificate stays in use",
                samples: outdated,
            },
        ]
    }

    /// Exchanges certificates whose files change until the program stops. `user`: whom the program became.
    pub fn watch(self, user: Option<&str>, stop: Stop) {
        if let Some(user) = user {
            for line in self.reload() {
                print_status(format_args!("warning: {line}; user {user} has to be able to read the files"));
            }
        }
        tokio::spawn(async move {
            let mut reported = self.expiring();
            while !stop.is_asked() {
                tokio::time::sleep(LOOK_EVERY).await;
                let certificates = self.clone();
                // Files may be on a slow file system.
                let Ok(lines) = tokio::task::spawn_blocking(move || certificates.look()).await else { return };
                for line in lines {
                    match line {
                        Ok(line) => print_status(line),
                        Err(line) => eprintln!("auscult: {line}"),
                    }
                }
                let expiring = self.expiring();
                for (usage, (has_ended, text)) in &expiring {
                    if reported.get(usage).is_none_or(|(had_ended, _)| had_ended != has_ended) {
                        print_status(format_args!("warning: {usage}: {text}"));
                    }
                }
                reported = expiring;
            }
        });
    }
}

fn exchanged(usage: &str, identity: &Identity) -> String {
    format!("a new certificate for {usage} is in use, valid until {}", identity.validity().until_text())
}

fn kept(usage: &str, error: &TlsError) -> String {
    format!("the certificate for {usage} stays as it was: {error}")
}

/// Reads the pair of the command `store-endpoint`.
pub fn of_command(certificate: Option<&Path>, key: Option<&Path>) -> anyhow::Result<Option<Identity>> {
    Ok(match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Identity::load(certificate, key, now_s())?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::certificates::Authority;

    #[test]
    fn files_that_stay_keep_their_identity_and_others_replace_it() {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let load = |name: &str| {
            let files = authority.issue(&["localhost"]).write(dir.path(), name);
            Identity::load(&files.certificate, &files.key, now_s()).unwrap()
        };
        let certificates = Certificates::default();
        let first = load("a");
        certificates.replace("alerts", &mut Some(first.clone()));
        let text = |identity: &Identity| identity.pem().certificates.clone();

        // The same files with another content: what is watched and in use is taken, and reads them.
        let mut again = Some(load("a"));
        certificates.replace("alerts", &mut again);
        let again = again.unwrap();
        assert_eq!(text(&again), text(&first));
        let lines = certificates.reload();
        assert!(lines.len() == 1 && lines[0].starts_with("a new certificate for alerts is in use"), "{lines:?}");
        assert_eq!(text(&again), text(&first), "both are the one that was read again");
        assert_eq!(certificates.reload(), [] as [String; 0]);

        let mut other = Some(load("b"));
        certificates.replace("alerts", &mut other);
        assert_eq!(certificates.all(), [("alerts", other.unwrap())]);
        std::fs::remove_file(dir.path().join("b.key")).unwrap();
        let lines = certificates.reload();
        assert!(lines[0].starts_with("the certificate for alerts stays as it was: cannot read the key "), "{lines:?}");
        certificates.replace("alerts", &mut None);
        assert_eq!(certificates.all(), []);
    }

    #[test]
    fn an_end_that_is_near_is_said_with_its_days() {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let until = now_s() + 10 * DAY;
        let files = authority.issue_for(&["x"], until - 90 * DAY, until).write(dir.path(), "x");
        let identity = Identity::load(&files.certificate, &files.key, now_s()).unwrap();
        let said = |now| remaining(&identity, now);
        assert_eq!(said(until - 20 * DAY), None);
        assert!(said(until - 3 * DAY).unwrap().ends_with(", in 3 days: renew it"));
        assert!(said(until + 1).unwrap().contains(" has expired at "));
    }
}
