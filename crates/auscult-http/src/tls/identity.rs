//! A certificate chain and its key in two files, which may be exchanged while they are in use.

use super::{TlsError, pem, provider};
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode};

/// When a certificate is valid, in seconds since the epoch; both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: i64,
    pub until: i64,
}

/// A certificate with fewer seconds left is to be renewed.
const SOON: i64 = 14 * 24 * 3600;

impl Validity {
    /// Of a certificate in DER (RFC 5280 section 4.1.2.5).
    fn of(der: &[u8]) -> Result<Validity, String> {
        let certificate = Certificate::from_der(der).map_err(|e| format!("it is no X.509 certificate: {e}"))?;
        let validity = certificate.tbs_certificate().validity();
        let seconds =
            |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Ok(Validity { from: seconds(validity.not_before), until: seconds(validity.not_after) })
    }

    /// Whether fewer than 14 days are left, or less than a third of the whole time where that is shorter: certificates
    /// that are made for a few days are renewed after two thirds of them.
    pub fn ends_soon(&self, now_s: i64) -> bool {
        self.until - now_s < SOON.min((self.until - self.from) / 3)
    }

    /// The end as RFC 3339.
    pub fn until_text(&self) -> String {
        text(self.until)
    }
}

fn text(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    DateTime::from_unix_duration(since).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// A certificate chain and its key in two PEM files. Clones are the same identity: exchanged in one, it is in all.
#[derive(Clone)]
pub struct Identity(Arc<Shared>);

struct Shared {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Current>,
    watched: Mutex<Watched>,
}

#[derive(Clone)]
struct Current {
    pair: Arc<CertifiedKey>,
    pem: Arc<PemPair>,
    validity: Validity,
}

/// The texts of the two files.
pub struct PemPair {
    pub certificates: Vec<u8>,
    pub key: Vec<u8>,
}

/// What the files looked like.
struct Watched {
    /// When they were read last.
    read: Stamps,
    /// At the last look.
    seen: Stamps,
    /// Why what was read last is not in use.
    failure: Option<(Stamps, String)>,
}

/// Device, inode, size, and time of the last change of content or attributes of the two files.
type Stamps = [Option<(u64, u64, u64, i64, i64)>; 2];

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate_file", &self.0.certificate_file)
            .field("key_file", &self.0.key_file)
            .finish_non_exhaustive()
    }
}

/// Identities are equal when their files are: what these hold may be exchanged at any time.
impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        let files = |identity: &Identity| (identity.0.certificate_file.clone(), identity.0.key_file.clone());
        files(self) == files(other)
    }
}

impl Eq for Identity {}

impl Identity {
    /// Reads both files. Of the chain only the first certificate has to be valid now: authorities of a chain that ended
    /// are left out of account by clients that know another way.
    ///
    /// # Errors
    /// A file that cannot be read or has nothing in it, a key that others can read or that belongs to another
    /// certificate, a certificate that is not valid now.
    pub fn load(certificate_file: &Path, key_file: &Path, now_s: i64) -> Result<Identity, TlsError> {
        let stamps = stamps(certificate_file, key_file);
        let current = read(certificate_file, key_file, now_s)?;
        Ok(Identity(Arc::new(Shared {
            certificate_file: certificate_file.to_owned(),
            key_file: key_file.to_owned(),
            current: RwLock::new(current),
            watched: Mutex::new(Watched { read: stamps, seen: stamps, failure: None }),
        })))
    }

    /// Reads both files again now; true when they hold something else than before. Connections that are up go on with
    /// what they began with.
    ///
    /// # Errors
    /// As of [`Identity::load`]; what was in use stays in use.
    pub fn reload(&self, now_s: i64) -> Result<bool, TlsError> {
        let mut watched = self.watched();
        self.read_again(&mut watched, now_s)
    }

    /// Looks whether the files were changed, and reads them if so. To be called every few seconds: files that changed
    /// are read when they are the same at two looks in a row, so that a pair is exchanged as a whole, and files that
    /// could not be used are tried again at each look.
    ///
    /// `Some` when there is something to report: a new certificate is in use, or why not, once for each change.
    pub fn look(&self, now_s: i64) -> Option<Result<(), TlsError>> {
        let mut watched = self.watched();
        let stamps = stamps(&self.0.certificate_file, &self.0.key_file);
        let settled = std::mem::replace(&mut watched.seen, stamps) == stamps;
        let reported = watched.failure.clone();
        if !settled || (stamps == watched.read && reported.is_none()) {
            return None;
        }
        match self.read_again(&mut watched, now_s) {
            Ok(changed) => (changed || reported.is_some()).then_some(Ok(())),
            Err(_) if watched.failure == reported => None,
            Err(e) => Some(Err(e)),
        }
    }

    fn read_again(&self, watched: &mut Watched, now_s: i64) -> Result<bool, TlsError> {
        let Shared { certificate_file, key_file, .. } = &*self.0;
        let stamps = stamps(certificate_file, key_file);
        (watched.read, watched.seen) = (stamps, stamps);
        match read(certificate_file, key_file, now_s) {
            Ok(new) => {
                watched.failure = None;
                let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
                let changed = new.pair.cert != current.pair.cert;
                *current = new;
                Ok(changed)
            }
            Err(e) => {
                watched.failure = Some((stamps, e.to_string()));
                Err(e)
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Current {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of the certificate that is in use.
    pub fn validity(&self) -> Validity {
        self.current().validity
    }

    /// What is in use, for clients with a TLS of their own. It is the same `Arc` until it is read again.
    pub fn pem(&self) -> Arc<PemPair> {
        self.current().pem
    }

    /// Whether the files were changed to something that cannot be used.
    pub fn is_outdated(&self) -> bool {
        self.watched().failure.is_some()
    }

    pub fn certificate_file(&self) -> &Path {
        &self.0.certificate_file
    }

    pub fn key_file(&self) -> &Path {
        &self.0.key_file
    }
}

fn read(certificate_file: &Path, key_file: &Path, now_s: i64) -> Result<Current, TlsError> {
    let (chain, certificates) = pem::certificates(certificate_file)?;
    let unusable = |what, path: &Path, why: String| TlsError::Unusable {
        what,
        path: path.to_owned(),
        why: why.replace('\n', " "),
    };
    let first = chain.first().map(|der| Validity::of(der)).unwrap_or_else(|| Err("it is empty".to_owned()));
    let validity = first.map_err(|why| unusable("certificate", certificate_file, why))?;
    let (key, key_pem) = pem::key(key_file)?;
    let key = provider().key_provider.load_private_key(key).map_err(|e| unusable("key", key_file, e.to_string()))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        // A key that does not say what its public half is cannot be compared.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            return Err(TlsError::Mismatch { certificate: certificate_file.to_owned(), key: key_file.to_owned() });
        }
        Err(e) => return Err(unusable("certificate", certificate_file, e.to_string())),
    }
    if now_s > validity.until {
        return Err(TlsError::Expired { path: certificate_file.to_owned(), until: text(validity.until) });
    }
    if now_s < validity.from {
        return Err(TlsError::NotYetValid { path: certificate_file.to_owned(), from: text(validity.from) });
    }
    let pem = PemPair { certificates, key: key_pem };
    Ok(Current { pair: Arc::new(pair), pem: Arc::new(pem), validity })
}

fn stamps(certificate_file: &Path, key_file: &Path) -> Stamps {
    [certificate_file, key_file].map(|path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.dev(), about.ino(), about.size(), about.ctime(), about.ctime_nsec()))
    })
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().pair)
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current().pair)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
