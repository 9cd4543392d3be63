//! Requests to other services: TLS with own authorities and a client's certificate, no redirects, a bound on time.

use anyhow::Context;
use auscult_http::tls::PemPair;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// How a service is reached over TLS.
#[derive(Clone, Copy, Default)]
pub struct Https<'a> {
    /// Certificates in PEM that are trusted instead of the public ones.
    pub authorities: Option<&'a [u8]>,
    /// Where they are configured.
    pub authorities_key: &'static str,
    /// What the client shows, and where its key is configured.
    pub client: Option<(&'a PemPair, &'static str)>,
}

impl Https<'_> {
    /// An agent whose every request ends after `patience`.
    ///
    /// # Errors
    /// There is no certificate in the authorities, or the client's key cannot be used.
    pub fn agent(&self, patience: Duration) -> anyhow::Result<Agent> {
        let mut tls = TlsConfig::builder();
        if let Some(pem) = self.authorities {
            let found = certificates(pem);
            anyhow::ensure!(!found.is_empty(), "{} has no certificate in PEM", self.authorities_key);
            tls = tls.root_certs(RootCerts::new_with_certs(&found));
        }
        if let Some((pem, key)) = self.client {
            let private = PrivateKey::from_pem(&pem.key).context(key)?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(&pem.certificates), private)));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(patience))
            .http_status_as_error(false)
            // A redirect would carry the credentials to another host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls.build())
            .user_agent(concat!("auscult/", env!("CARGO_PKG_VERSION")));
        Ok(config.build().new_agent())
    }
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let found = parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    found.collect()
}
