//! Who a request comes from: sessions, API tokens, users a proxy vouches for; and what the audit log records of it.

use super::ApiError;
use super::metrics::{MetricFamily, Sample};
use super::provider::{IdentityProvider, Provider};
use auscult_access::audit::{Action, AuditLog, Entry, Outcome};
use auscult_access::{Access, Principal, SignIn, SignInError, Via};
use auscult_core::model::Cidr;
use auscult_core::units::{Nanos, Timestamp};
use auscult_http::{PeerAddress, client_of};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the cookie of a session: the second over TLS, where a browser takes it from this host only.
const COOKIE: &str = "auscult_session";
const COOKIE_OF_HOST: &str = "__Host-auscult_session";
/// What the cookie of a sign-in at the provider begins with; one for each, so that two pages of a browser do not disturb each other.
const SIGN_IN_COOKIE: &str = "auscult_sign_in_";

/// Refusals of one minute that are recorded; more are counted.
const REFUSALS_RECORDED: u32 = 120;

/// Longest chain of addresses in `X-Forwarded-For` that is read.
const MAX_FORWARDED: usize = 16;

/// A proxy in front of the service that says who its clients are.
#[derive(Clone, Debug)]
pub struct TrustedProxy {
    /// Its addresses. Headers of all others are not looked at.
    pub networks: Vec<Cidr>,
    /// The header with the name of a user who signed in there; none when the proxy only forwards addresses.
    pub user_header: Option<HeaderName>,
}

/// What decides on rights, and records what was done with them. One for a program.
pub struct AccessControl {
    access: Arc<Access>,
    audit: Option<Arc<AuditLog>>,
    proxy: Option<TrustedProxy>,
    provider: Option<Arc<Provider>>,
    /// Browsers reach the service over TLS only.
    secure: bool,
    counters: Counters,
    /// The minute of the last refusal that was recorded, and how many were.
    refusals: Mutex<(i64, u32)>,
}

#[derive(Default)]
struct Counters {
    sign_ins: AtomicU64,
    sign_ins_failed: AtomicU64,
    sign_ins_delayed: AtomicU64,
    not_signed_in: AtomicU64,
    not_allowed: AtomicU64,
    recorded: AtomicU64,
    not_recorded: AtomicU64,
    refusals_left_out: AtomicU64,
}

/// How a request may be answered to: who asks, from where, and until when.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whom queries are counted for; `None` on loopback and without a connection, where clients share what there is.
    pub client: Option<IpAddr>,
    /// The client's address for the audit log.
    pub address: Option<IpAddr>,
    pub principal: Principal,
    /// When the session ends if nothing more comes; none for tokens and proxies.
    pub ends: Option<Timestamp>,
    credential: Credential,
}

/// What showed who the caller is.
#[derive(Clone)]
enum Credential {
    None,
    Token(String),
    Session(String),
    Name(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

/// What a request shows of its client before anybody is looked up.
pub(super) struct Origin {
    pub client: Option<IpAddr>,
    pub address: Option<IpAddr>,
    /// A trusted proxy stands between.
    through_proxy: bool,
}

impl AccessControl {
    pub fn new(
        access: Arc<Access>,
        audit: Option<Arc<AuditLog>>,
        proxy: Option<TrustedProxy>,
        secure: bool,
    ) -> AccessControl {
        AccessControl {
            access,
            audit,
            proxy,
            provider: None,
            secure,
            counters: Counters::default(),
            refusals: Mutex::default(),
        }
    }

    /// Users may sign in at this provider, too.
    pub fn with_provider(mut self, provider: Arc<dyn IdentityProvider>) -> AccessControl {
        self.provider = Some(Arc::new(Provider::new(provider)));
        self
    }

    pub(super) fn provider(&self) -> Option<&Arc<Provider>> {
        self.provider.as_ref()
    }

    /// Everybody on this host may do everything, and nothing is recorded.
    pub fn without_users() -> AccessControl {
        AccessControl::new(Arc::new(Access::without_users()), None, None, false)
    }

    pub(super) fn access(&self) -> &Arc<Access> {
        &self.access
    }

    pub(super) fn audit(&self) -> Option<&Arc<AuditLog>> {
        self.audit.as_ref()
    }

    /// Whether users of a proxy are let in.
    pub(super) fn has_proxy_users(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.user_header.is_some())
    }

    /// Where a request comes from. Behind a trusted proxy: the last address it forwards that is none of its own.
    pub(super) fn origin(&self, parts: &Parts) -> Origin {
        let peer = parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip().to_canonical());
        let trusted = |address: IpAddr| {
            self.proxy.as_ref().is_some_and(|proxy| proxy.networks.iter().any(|network| network.contains(address)))
        };
        let through_proxy = peer.is_some_and(trusted);
        let forwarded = through_proxy.then(|| {
            let values = parts.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
            let addresses: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
            let last = addresses.into_iter().rev().take(MAX_FORWARDED).map_while(forwarded_address);
            last.map(|address| address.to_canonical()).find(|address| !trusted(*address))
        });
        let address = forwarded.flatten().or(peer);
        Origin { client: address.and_then(client_of), address, through_proxy }
    }

    /// Who a request comes from; `None` for nobody known.
    ///
    /// # Errors
    /// Credentials that are wrong: a token that does not exist, was revoked or has expired, or a user of the proxy who is not known here.
    pub(super) fn identify(&self, parts: &Parts, now: Timestamp) -> Result<Option<Caller>, ApiError> {
        let Origin { client, address, through_proxy } = self.origin(parts);
        let caller = |principal, ends, credential| Some(Caller { client, address, principal, ends, credential });
        if let Some(text) = bearer(&parts.headers) {
            return match self.access.of_token(text, now) {
                Some(principal) => Ok(caller(principal, None, Credential::Token(text.to_owned()))),
                None => Err(self.refuse_unknown("the token does not exist, was revoked or has expired")),
            };
        }
        if let Some(secret) = self.cookie(&parts.headers)
            && let Some((principal, ends)) = self.access.of_session(secret, now)
        {
            return Ok(caller(principal, Some(ends), Credential::Session(secret.to_owned())));
        }
        let header = self.proxy.as_ref().filter(|_| through_proxy).and_then(|proxy| proxy.user_header.as_ref());
        let mut names = header.into_iter().flat_map(|header| parts.headers.get_all(header));
        if let Some(name) = names.next() {
            // Of two, one is the client's own.
            let name = name.to_str().ok().filter(|name| names.next().is_none() && !name.contains(','));
            let found = name.and_then(|name| self.access.of_name(name.trim(), Via::Proxy));
            return match found {
                Some(principal) => {
                    let name = principal.name.to_string();
                    Ok(caller(principal, None, Credential::Name(name)))
                }
                None => Err(self.refuse_unknown("the proxy names a user who is not known here; an admin adds users")),
            };
        }
        // A service that others reach is never open; a request without a connection is a test's or the program's own.
        let is_near = address.is_none_or(|address| address.is_loopback());
        Ok(if self.access.is_open() && is_near && !through_proxy {
            caller(Principal::open(), None, Credential::None)
        } else {
            None
        })
    }

    /// Whether a caller is still who they were, with the same rights. Keeps no session from ending.
    pub(super) fn holds(&self, caller: &Caller, now: Timestamp) -> bool {
        let known = match &caller.credential {
            Credential::None => self.access.is_open().then(Principal::open),
            Credential::Token(text) => self.access.of_token(text, now),
            Credential::Session(secret) => self.access.of_session_unused(secret, now),
            Credential::Name(name) => self.access.of_name(name, Via::Proxy),
        };
        known.is_some_and(|known| known == caller.principal)
    }

    /// The error of somebody who has to sign in.
    pub(super) fn refuse_unknown(&self, why: &str) -> ApiError {
        self.counters.not_signed_in.fetch_add(1, Relaxed);
        ApiError::new(StatusCode::UNAUTHORIZED, "not_signed_in", why)
    }

    /// The error of somebody who may not do this, which is recorded.
    pub(super) async fn refuse(&self, caller: &Caller, what: String, why: String, now: Timestamp) -> ApiError {
        self.counters.not_allowed.fetch_add(1, Relaxed);
        if self.records_refusal(now) {
            let entry = Entry { outcome: Outcome::Refused, ..caller.entry(Action::Denied, what, now) };
            // Refused it is, whether or not that can be recorded.
            let _ = self.record(entry).await;
        }
        ApiError::new(StatusCode::FORBIDDEN, "not_allowed", why)
    }

    /// Whether one more refusal of this minute is recorded; else it is counted.
    pub(super) fn records_refusal(&self, now: Timestamp) -> bool {
        let minute = now.0.div_euclid(Nanos::from_secs(60).0);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.0 != minute {
            *refusals = (minute, 0);
        }
        refusals.1 += 1;
        let records = refusals.1 <= REFUSALS_RECORDED;
        if !records {
            self.counters.refusals_left_out.fetch_add(1, Relaxed);
        }
        records
    }

    /// Records what somebody does, before it is done. Nothing is recorded while there are no users.
    ///
    /// # Errors
    /// It cannot be recorded, so it is not done.
    pub(super) async fn record(&self, entry: Entry) -> Result<(), ApiError> {
        let Some(audit) = self.audit.clone().filter(|_| entry.via != Via::Open) else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || audit.append(&[entry]).map_err(|e| e.to_string())).await;
        match written.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(_) => {
                self.counters.recorded.fetch_add(1, Relaxed);
                Ok(())
            }
            Err(why) => {
                self.counters.not_recorded.fetch_add(1, Relaxed);
                let message = format!("this cannot be recorded in the audit log, so it is not done: {why}");
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", message))
            }
        }
    }

    /// Compares a password and begins a session.
    pub(super) async fn sign_in(
        &self,
        user: String,
        password: String,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<SignIn, ApiError> {
        let (access, client) = (self.access.clone(), origin.client);
        let name = user.clone();
        let compared = tokio::task::spawn_blocking(move || access.sign_in(&name, &password, client, now)).await;
        let result = compared.unwrap_or_else(|e| Err(SignInError::Failed(e.to_string())));
        let (action, outcome) = (Action::SignIn, Outcome::Refused);
        match result {
            Ok(signed_in) => {
                let entry = Entry::of(&signed_in.principal, origin.address, action, String::new(), now);
                if let Err(error) = self.record(entry).await {
                    self.access.sign_out(&signed_in.secret);
                    return Err(error);
                }
                self.counters.sign_ins.fetch_add(1, Relaxed);
                Ok(signed_in)
            }
            Err(SignInError::Wrong) => {
                self.counters.sign_ins_failed.fetch_add(1, Relaxed);
                // Of a name that nobody has, nothing: people write passwords into the wrong field.
                if let Some(principal) = self.access.of_name(&user, Via::Password) {
                    let entry = Entry::of(&principal, origin.address, action, "wrong password".to_owned(), now);
                    if let Some(audit) = self.audit.clone().filter(|_| self.records_refusal(now)) {
                        // Not waited for: the time of the answer must not say who exists.
                        let entry = Entry { outcome, role: None, ..entry };
                        tokio::task::spawn_blocking(move || audit.append(&[entry]));
                    }
                }
                Err(ApiError::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "user or password is wrong"))
            }
            Err(SignInError::Wait(wait)) => {
                self.counters.sign_ins_delayed.fetch_add(1, Relaxed);
                let seconds = wait.0.div_euclid(1_000_000_000) + 1;
                let message = format!("too many sign-ins failed; try again in {seconds} s");
                let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sign_ins", message);
                Err(error.after(seconds))
            }
            Err(SignInError::Busy) => {
                let message = "other sign-ins are being checked; try again in a second";
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message))
            }
            Err(SignInError::Refused(why) | SignInError::Failed(why)) => Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "no_session",
                format!("no session can begin: {why}"),
            )),
        }
    }

    /// Ends the session of a request; whose it was.
    pub(super) fn sign_out(&self, headers: &HeaderMap) -> Option<Principal> {
        self.cookie(headers).and_then(|secret| self.access.sign_out(secret))
    }

    fn cookie_name(&self) -> &'static str {
        if self.secure { COOKIE_OF_HOST } else { COOKIE }
    }

    fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie_named(headers, self.cookie_name())
    }

    /// What the browser brings along of the sign-in at the provider with this label.
    pub(super) fn sign_in_secret<'a>(&self, headers: &'a HeaderMap, label: &str) -> Option<&'a str> {
        cookie_named(headers, &self.sign_in_cookie_name(label))
    }

    fn sign_in_cookie_name(&self, label: &str) -> String {
        format!("{}{SIGN_IN_COOKIE}{label}", if self.secure { "__Host-" } else { "" })
    }

    /// `Set-Cookie` of a sign-in at the provider: its secret and how many seconds it is kept; `None` ends it. The way back from the
    /// provider is a navigation from another site, hence `Lax`.
    pub(super) fn sign_in_cookie(&self, label: &str, kept: Option<(&str, u32)>) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let (value, age) = kept.unwrap_or_default();
        let name = self.sign_in_cookie_name(label);
        HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")).ok()
    }

    /// `Set-Cookie` of a session that begins, or ends (`None`).
    pub(super) fn set_cookie(&self, secret: Option<&str>) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = if secret.is_none() { "; Max-Age=0" } else { "" };
        let (name, value) = (self.cookie_name(), secret.unwrap_or_default());
        HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}")).ok()
    }

    /// Whether a request that changes something comes from a page of this service, or from a program. A cookie and a proxy's header
    /// come along with requests of any page; a token does not.
    pub(super) fn is_own_page(&self, caller: &Caller, headers: &HeaderMap) -> bool {
        if caller.principal.via == Via::Token {
            return true;
        }
        match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
            Some(b"same-origin") => true,
            Some(_) => false,
            // An old browser; Origin was held to Host for every request.
            None => headers.contains_key(header::ORIGIN),
        }
    }

    /// Metric families about sign-ins and the audit log.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let c = &self.counters;
        let count = |label, counts: &[(&str, &AtomicU64)]| {
            counts.iter().map(|(name, n)| Sample::counter([(label, *name)], n.load(Relaxed))).collect()
        };
        let sign_ins = [("succeeded", &c.sign_ins), ("failed", &c.sign_ins_failed), ("delayed", &c.sign_ins_delayed)];
        let refused = [("not_signed_in", &c.not_signed_in), ("not_allowed", &c.not_allowed)];
        let rows = [("recorded", &c.recorded), ("failed", &c.not_recorded), ("refusal_left_out", &c.refusals_left_out)];
        let mut families = vec![
            MetricFamily {
                name: "auscult_sign_ins",
                help: "Sign-ins with a password",
                samples: count("outcome", &sign_ins),
            },
            MetricFamily {
                name: "auscult_requests_refused",
                help: "Requests without the rights they need",
                samples: count("reason", &refused),
            },
            MetricFamily {
                name: "auscult_audit_rows",
                help: "Rows of the audit log, and what was not recorded",
                samples: count("outcome", &rows),
            },
        ];
        families.extend(self.provider.as_ref().map(|provider| provider.family()));
        families
    }
}

impl Caller {
    /// What the audit log records.
    pub(super) fn entry(&self, action: Action, what: String, now: Timestamp) -> Entry {
        Entry::of(&self.principal, self.address, action, what, now)
    }
}

fn cookie_named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let given = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = given.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// An address of `X-Forwarded-For`; some proxies write the port, too.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port)
}

/// The token in `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
