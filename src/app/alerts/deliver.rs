//! Alerts to their receivers: Alertmanager (API v2), and webhooks in its format (version 4).

use super::super::https::Https;
use super::memory::{Active, Notification};
use auscult_core::units::Timestamp;
use auscult_http::tls::{Identity, PemPair};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::StatusCode;

/// Longest wait for one answer of a receiver.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most alerts in one request.
const BATCH: usize = 100;

/// Addresses of receivers and what they want to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receivers {
    pub alertmanagers: Vec<String>,
    pub webhooks: Vec<String>,
    /// Value of the header `Authorization`, for all of them.
    pub authorization: Option<String>,
    /// Certificates of authorities in PEM instead of the public ones.
    pub authorities: Option<Vec<u8>>,
    /// Key of the signature of webhooks.
    pub secret: Option<String>,
    /// What the program shows to receivers that ask who it is.
    pub identity: Option<Identity>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    /// It will not be taken later either.
    Refused(String),
    /// No answer, or one that says later.
    Later(String),
}

impl Outcome {
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Taken => "taken",
            Outcome::Refused(_) => "refused",
            Outcome::Later(_) => "failed",
        }
    }
}

/// The text of an answer that took something, or what became of it.
fn judged(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<String, Outcome> {
    let mut answer = answer.map_err(|e| Outcome::Later(reason(&e)))?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(2_048).read_to_string().unwrap_or_default();
    let short: String = text.chars().take(200).collect();
    match status {
        _ if status.is_success() => Ok(text),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(Outcome::Later(status.to_string())),
        _ if status.is_server_error() => Err(Outcome::Later(format!("{status} {short}"))),
        _ => Err(Outcome::Refused(format!("{status} {short}"))),
    }
}

/// An error before there was an answer, and what to do where TLS is the reason.
fn reason(error: &ureq::Error) -> String {
    let text = error.to_string();
    let advice = [
        ("UnknownIssuer", "; name the authority that issued it in alerts.ca_file"),
        ("CertificateRequired", "; set alerts.client_certificate_file and alerts.client_key_file"),
        ("UnknownCA", "; the receiver does not know the authority of alerts.client_certificate_file"),
    ];
    match advice.iter().find(|(why, _)| text.contains(why)) {
        Some((_, advice)) => text + advice,
        None => text,
    }
}

impl Receivers {
    pub fn is_empty(&self) -> bool {
        self.alertmanagers.is_empty() && self.webhooks.is_empty()
    }
}

/// Sends to receivers; blocks.
pub struct Receiver {
    agent: Agent,
    authorization: Option<String>,
    secret: Option<String>,
    /// The certificate it shows, and what that was when the agent was made.
    shown: Option<(Identity, Arc<PemPair>)>,
}

impl Receiver {
    /// # Errors
    /// Certificates that cannot be read.
    pub fn new(receivers: &Receivers) -> anyhow::Result<Receiver> {
        let shown = receivers.identity.as_ref().map(|identity| (identity.clone(), identity.pem()));
        let https = Https {
            authorities: receivers.authorities.as_deref(),
            authorities_key: "alerts.ca_file",
            client: shown.as_ref().map(|(_, pem)| (&**pem, "alerts.client_key_file")),
        };
        let agent = https.agent(PATIENCE)?;
        Ok(Receiver { agent, authorization: receivers.authorization.clone(), secret: receivers.secret.clone(), shown })
    }

    /// Whether its certificate was exchanged since it was made: a new one has to be made then.
    pub fn is_outdated(&self) -> bool {
        self.shown.as_ref().is_some_and(|(identity, pem)| !Arc::ptr_eq(&identity.pem(), pem))
    }

    fn post(&self, url: &str, body: &str, headers: &[(&str, &str)]) -> Outcome {
        self.exchange(url, body, headers).err().unwrap_or(Outcome::Taken)
    }

    /// The answer of a receiver that took what it was sent; no longer than it matters.
    fn exchange(&self, url: &str, body: &str, headers: &[(&str, &str)]) -> Result<String, Outcome> {
        let mut request = self.agent.post(url).header("content-type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        judged(request.send(body))
    }

    /// Begins a silence at an Alertmanager; its id there.
    ///
    /// # Errors
    /// It does not take it, now or ever.
    pub fn begin_silence(&self, base: &str, body: &Value) -> Result<String, Outcome> {
        let url = format!("{}/api/v2/silences", base.trim_end_matches('/'));
        let answer = self.exchange(&url, &body.to_string(), &[])?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let id = answer.get("silenceID").and_then(Value::as_str).map(str::to_owned);
        id.ok_or_else(|| Outcome::Refused("its answer has no silenceID".to_owned()))
    }

    /// Ends a silence at an Alertmanager. One that it does not know has ended.
    pub fn end_silence(&self, base: &str, id: &str) -> Outcome {
        let mut request = self.agent.delete(format!("{}/api/v2/silence/{id}", base.trim_end_matches('/')));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        match judged(request.call()) {
            Ok(_) => Outcome::Taken,
            Err(Outcome::Refused(why)) if why.starts_with("404") => Outcome::Taken,
            Err(outcome) => outcome,
        }
    }

    /// Tells an Alertmanager of alerts that fire and that ended lately. Of a batch with a bad alert it takes the good ones and says
    /// 400, so that such a batch is not sent again.
    pub fn alertmanager(&self, base: &str, alerts: &[&Active], now: Timestamp) -> Vec<Outcome> {
        let url = format!("{}/api/v2/alerts", base.trim_end_matches('/'));
        let batches = alerts.chunks(BATCH).map(|batch| {
            let body: Vec<Value> = batch
                .iter()
                .map(|alert| {
                    let ends = alert.ends_at.unwrap_or(now.0 + alert.lease_ns);
                    json!({
                        "labels": alert.labels,
                        "annotations": { "summary": alert.summary, "description": alert.description },
                        "startsAt": Timestamp(alert.starts_at).to_rfc3339(),
                        "endsAt": Timestamp(ends.max(alert.starts_at)).to_rfc3339(),
                        "generatorURL": alert.url,
                    })
                })
                .collect();
            self.post(&url, &Value::from(body).to_string(), &[])
        });
        batches.collect()
    }

    /// Sends a notification; the receiver recognises a repetition by its delivery id.
    pub fn webhook(&self, notification: &Notification) -> Outcome {
        let signature = self.secret.as_deref().map(|secret| format!("sha256={}", sign(secret, &notification.body)));
        let mut headers = vec![("x-auscult-delivery", notification.id.as_str())];
        if let Some(signature) = &signature {
            headers.push(("x-auscult-signature", signature));
        }
        self.post(&notification.url, &notification.body, &headers)
    }
}

/// The certificates in a text; anything else in it is left out.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA256 of a body, as receivers compute it.
fn sign(secret: &str, body: &str) -> String {
    // Every length is a key of HMAC (RFC 2104 section 2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(body.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// The body of a webhook for the alerts of one rule, in the format of Alertmanager, version 4.
pub fn notification(url: &str, rule: &str, alerts: &[&Active], external_url: &str, now: Timestamp) -> Notification {
    let status = |alert: &Active| if alert.ends_at.is_some() { "resolved" } else { "firing" };
    let all = if alerts.iter().any(|alert| alert.ends_at.is_none()) { "firing" } else { "resolved" };
    let mut common: BTreeMap<&String, &String> =
        alerts.first().map(|alert| alert.labels.iter().collect()).unwrap_or_default();
    common.retain(|name, value| alerts.iter().all(|alert| alert.labels.get(*name) == Some(value)));
    let list: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            json!({
                "status": status(alert),
                "labels": alert.labels,
                "annotations": { "summary": alert.summary, "description": alert.description },
                "startsAt": Timestamp(alert.starts_at).to_rfc3339(),
                "endsAt": alert.ends_at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| Timestamp(at).to_rfc3339()),
                "generatorURL": alert.url,
                "fingerprint": fingerprint(&alert.labels),
            })
        })
        .collect();
    let body = json!({
        "version": "4",
        "groupKey": format!("{{alertname=\"{rule}\"}}"),
        "truncatedAlerts": 0,
        "status": all,
        "receiver": "auscult",
        "groupLabels": { "alertname": rule },
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": external_url,
        "alerts": list,
    })
    .to_string();
    let id = hex(&Sha256::digest(format!("{url}\n{}\n{body}", now.0)).as_slice()[..16]);
    Notification { id, url: url.to_owned(), body, made_at: now.0 }
}

/// Identifies a set of labels.
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let text: String = labels.iter().map(|(name, value)| format!("{name}\u{ff}{value}\u{ff}")).collect();
    hex(&Sha256::digest(text).as_slice()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use testkit::certificates::{Authority, now_s};

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign("Jefe", "what do ya want for nothing?"), expected);
    }

    /// A receiver in TLS that takes everything from clients with a certificate of this authority.
    fn receiver(authority: &Authority, clients: &Authority) -> std::net::SocketAddr {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = authority.issue(&["localhost"]);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
            )
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                let mut request = [0; 4096];
                // The head and the body of a short request come in one or two records.
                let mut text = Vec::new();
                while !text.ends_with(b"{}") {
                    match stream.read(&mut request) {
                        Ok(bytes) if bytes > 0 => text.extend_from_slice(&request[..bytes]),
                        _ => break,
                    }
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        address
    }

    #[test]
    fn a_receiver_that_asks_for_a_certificate_gets_it_and_one_of_another_authority_is_refused() {
        let (dir, authority, clients) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
        let address = receiver(&authority, &clients);
        let identity = |of: &Authority| {
            let files = of.issue(&["auscult"]).write(dir.path(), "client");
            Identity::load(&files.certificate, &files.key, now_s()).unwrap()
        };
        let receivers = |trusted: &Authority, identity: Option<Identity>| Receivers {
            authorities: Some(trusted.pem().as_bytes().to_vec()),
            identity,
            ..Receivers::default()
        };
        let send = |of: &Receiver| of.post(&format!("https://localhost:{}", address.port()), "{}", &[]);
        let failed = |outcome: Outcome| match outcome {
            Outcome::Later(line) if line.lines().count() == 1 => line,
            other => panic!("{other:?}"),
        };
        let wrong = Receiver::new(&receivers(&Authority::new(), Some(identity(&clients)))).unwrap();
        let line = failed(send(&wrong));
        assert!(line.ends_with("UnknownIssuer; name the authority that issued it in alerts.ca_file"), "{line}");
        let nothing = Receiver::new(&receivers(&authority, None)).unwrap();
        let line = failed(send(&nothing));
        assert!(line.ends_with("; set alerts.client_certificate_file and alerts.client_key_file"), "{line}");

        let stranger = receivers(&authority, Some(identity(&Authority::new())));
        let made = Receiver::new(&stranger).unwrap();
        let line = failed(send(&made));
        assert!(line.contains("does not know the authority of alerts.client_certificate_file"), "{line}");
        assert!(!made.is_outdated());
        // The files are exchanged for those of a client that the receiver knows.
        clients.issue(&["auscult"]).write(dir.path(), "client");
        assert!(stranger.identity.as_ref().unwrap().reload(now_s()).unwrap() && made.is_outdated());
        assert_eq!(send(&Receiver::new(&stranger).unwrap()), Outcome::Taken);
    }

    #[test]
    fn a_webhook_has_the_format_of_version_4() {
        let labels: BTreeMap<String, String> =
            [("alertname", "loss"), ("trunk", "a")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let firing = Active {
            rule: "loss".into(),
            labels,
            summary: "s".into(),
            description: "d".into(),
            url: "http://x/".into(),
            starts_at: 5_000_000_000,
            ends_at: None,
            lease_ns: 1,
            silenced_by: None,
            told: true,
        };
        let mut other = Active { ends_at: Some(9_000_000_000), ..firing.clone() };
        other.labels.insert("trunk".into(), "b".into());
        let now = Timestamp::from_secs(10);
        let made = notification("http://hook/", "loss", &[&firing, &other], "http://x", now);
        let body: Value = serde_json::from_str(&made.body).unwrap();
        assert_eq!((&body["version"], &body["status"]), (&json!("4"), &json!("firing")));
        assert_eq!(body["commonLabels"], json!({ "alertname": "loss" }));
        assert_eq!(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
        assert_eq!(body["alerts"][1]["status"], "resolved");
        assert_ne!(body["alerts"][0]["fingerprint"], body["alerts"][1]["fingerprint"]);
        let ended = notification("http://hook/", "loss", &[&other], "http://x", now);
        assert_ne!(made.id, ended.id);
        assert!(ended.body.contains("\"status\":\"resolved\""));
    }
}
