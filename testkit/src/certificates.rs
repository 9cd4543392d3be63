//! Certificates made at test time: an authority, and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// One day in seconds.
pub const DAY: i64 = 24 * 3600;

/// The wall clock, seconds since the epoch: clients compare certificates with it.
#[expect(clippy::disallowed_methods, reason = "rustls reads the clock as well")]
pub fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// Authorities made so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// An authority with a key and a name of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate for servers and clients with its key, both in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Where the two files of a pair are.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        // Clients look for an authority by its name.
        let number = MADE.fetch_add(1, Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number} of tests"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate of these names and addresses for 90 days from yesterday.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_for(names, now_s() - DAY, now_s() + 90 * DAY)
    }

    /// A certificate that is valid from one time to another, in seconds since the epoch.
    pub fn issue_for(&self, names: &[&str], from_s: i64, until_s: i64) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        let at = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs());
        (params.not_before, params.not_after) = (at(from_s), at(until_s));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Pair {
    /// Writes both files, the key for its owner alone. Files that are there are replaced as a tool that renews would:
    /// written beside and renamed.
    pub fn write(&self, dir: &Path, name: &str) -> Files {
        let files = Files { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
        for (path, text, mode) in [(&files.certificate, &self.certificate, 0o644), (&files.key, &self.key, 0o600)] {
            let new = path.with_extension("new");
            std::fs::write(&new, text).expect("a file");
            std::fs::set_permissions(&new, PermissionsExt::from_mode(mode)).expect("a mode");
            std::fs::rename(&new, path).expect("a name");
        }
        files
    }
}
