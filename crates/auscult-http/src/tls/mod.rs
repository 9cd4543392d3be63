//! TLS of servers and clients: certificates and keys from PEM files, exchanged while they are in use.
//!
//! TLS 1.2 and 1.3 by rustls with `ring`. Sessions are not resumed, so that each new connection to a server gets the
//! certificate that is in use then. Time is an argument, in seconds since the epoch.

mod authorities;
mod identity;
mod pem;
mod pinned;

pub use authorities::{Authorities, ClientTls};
pub use identity::{Identity, PemPair, Validity};
pub use pinned::pinned_stream;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a certificate or a key cannot be used. Each is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the {what} {}: {source}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has no certificate in PEM (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} has no private key in PEM", path.display())]
    NoKey { path: PathBuf },
    #[error("the key {} is encrypted: store it without a passphrase", path.display())]
    EncryptedKey { path: PathBuf },
    #[error("the {what} {} cannot be used: {why}", path.display())]
    Unusable { what: &'static str, path: PathBuf, why: String },
    #[error(
        "the key {} does not belong to the first certificate in {}: name the files of one pair, and in the chain the \
         certificate of this host first", key.display(), certificate.display()
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("the certificate {} has expired at {until}: renew it", path.display())]
    Expired { path: PathBuf, until: String },
    #[error(
        "the certificate {} is not valid before {from}: look at the clock of this host, or use another", path.display()
    )]
    NotYetValid { path: PathBuf, from: String },
    #[error("the key {} can be read or changed by other users: chmod 600 {0} (640 for a group that may read)", path.display())]
    Exposed { path: PathBuf },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// HTTP/1.1 with the certificate that `identity` has at the time of each handshake.
pub(super) fn server_config(identity: &Identity) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(identity.clone()));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
