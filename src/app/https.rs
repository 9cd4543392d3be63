//! Requests to other services: TLS with own authorities, no redirects, a bound on time.

use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// An agent whose every request ends after `patience`. `authorities` are certificates in PEM that are trusted instead of the public
/// ones; `key` names where they are configured.
///
/// # Errors
/// There is no certificate in them.
pub fn agent(authorities: Option<&[u8]>, key: &str, patience: Duration) -> anyhow::Result<Agent> {
    let mut tls = TlsConfig::builder();
    if let Some(pem) = authorities {
        let items = parse_pem(pem).filter_map(Result::ok);
        let found: Vec<Certificate> = items
            .filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect();
        anyhow::ensure!(!found.is_empty(), "{key} has no certificate in PEM");
        tls = tls.root_certs(RootCerts::new_with_certs(&found));
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
