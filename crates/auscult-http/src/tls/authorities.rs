//! What a client trusts, and what it shows to a server that asks.

use super::{Identity, TlsError, pem, provider};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Certificates of authorities in a PEM file. They take the place of the public ones.
#[derive(Clone, Debug)]
pub struct Authorities {
    file: PathBuf,
    roots: Arc<RootCertStore>,
}

impl Authorities {
    /// # Errors
    /// A file that cannot be read, or has no certificate in it that can be an authority.
    pub fn load(file: &Path) -> Result<Authorities, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(file)?.0 {
            roots.add(certificate).map_err(|e| TlsError::Unusable {
                what: "certificate",
                path: file.to_owned(),
                why: e.to_string(),
            })?;
        }
        Ok(Authorities { file: file.to_owned(), roots: Arc::new(roots) })
    }

    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// How a client does TLS. The default: the public authorities (Mozilla's list, of the time of the build), and nothing
/// to show.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// `None` are the public ones.
    pub authorities: Option<Authorities>,
    /// The client's own certificate, as it is at the time of each handshake.
    pub identity: Option<Identity>,
}

impl ClientTls {
    /// # Errors
    /// None that is known: rustls has what is asked of it.
    pub fn config(&self) -> Result<ClientConfig, TlsError> {
        let roots = match &self.authorities {
            Some(authorities) => authorities.roots.clone(),
            None => Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
        };
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12])?;
        let builder = builder.with_root_certificates(roots);
        Ok(match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity.clone())),
            None => builder.with_no_client_auth(),
        })
    }
}
