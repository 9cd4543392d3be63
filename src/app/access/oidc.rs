//! Sign-in by OpenID Connect: the section `[access.oidc]`, and the conversation with the provider (authorization code flow with PKCE).

use super::super::config;
use super::super::https::Https;
use anyhow::{Context, anyhow, bail, ensure};
use auscult_access::{Identity, Role};
use auscult_api::{Authorization, Expected, IdentityProvider, ProviderError};
use auscult_core::units::text::clean;
use auscult_core::units::{Nanos, Timestamp};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm as Algorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::http::Method;
use openidconnect::url::{Host, Url};
use openidconnect::{
    AccessToken, AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, Client, ClientId,
    ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdToken, IdTokenClaims, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, SubjectIdentifier, TokenResponse, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use ureq::Agent;

/// Longest wait for one answer of the provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of the provider.
const MAX_BODY: u64 = 1 << 20;
/// What the provider says of itself is asked for again after so long, and its keys when one is missing after so short.
const KEEP: Nanos = Nanos::from_secs(3600);
const REFRESH: Nanos = Nanos::from_secs(60);
/// A provider that did not answer is not asked again within this time: many sign-ins would wait for it one after the other.
const PAUSE: Nanos = Nanos::from_secs(2);
/// Longest name of a user, bytes.
const MAX_NAME: usize = 128;
/// Path that the provider sends browsers back to.
const CALLBACK: &str = "/api/v1/session/oidc/callback";
/// Claims that are looked at for roles unless one is configured.
const ROLE_CLAIMS: [&str; 2] = ["roles", "groups"];
const USER_CLAIM: &str = "preferred_username";

/// Signatures that are accepted: with a public key of the provider.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawOidc {
    issuer: Option<String>,
    client_id: Option<String>,
    client_secret_file: Option<PathBuf>,
    redirect_url: Option<String>,
    name: Option<String>,
    scopes: Option<Vec<String>>,
    user_claim: Option<String>,
    role_claim: Option<String>,
    default_role: Option<Role>,
    link_users: Option<bool>,
    ca_file: Option<PathBuf>,
    roles: BTreeMap<String, Role>,
}

impl RawOidc {
    /// Files that the section names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.client_secret_file.iter().chain(&self.ca_file)
    }
}

/// The section as checked.
#[derive(Clone)]
pub struct OidcSettings {
    issuer: String,
    client_id: String,
    client_secret: String,
    redirect_url: Url,
    name: String,
    scopes: Vec<String>,
    user_claim: String,
    role_claim: Option<String>,
    default_role: Option<Role>,
    link_users: bool,
    authorities: Option<Vec<u8>>,
    /// Value of the claim and the role that it gives.
    roles: BTreeMap<String, Role>,
}

impl std::fmt::Debug for OidcSettings {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl OidcSettings {
    /// `None` where the section has no key.
    ///
    /// # Errors
    /// A key that is missing or wrong, a file that cannot be read.
    pub fn check(raw: RawOidc, warnings: &mut Vec<String>) -> anyhow::Result<Option<OidcSettings>> {
        let Some(issuer) = raw.issuer.clone() else {
            let rest = [&raw.client_id, &raw.redirect_url, &raw.name, &raw.user_claim, &raw.role_claim];
            let is_empty = rest.iter().all(|key| key.is_none()) && raw.client_secret_file.is_none();
            ensure!(is_empty && raw.roles.is_empty(), "access.oidc.issuer is missing: the address of the provider");
            return Ok(None);
        };
        let missing = |key: &str| anyhow!("access.oidc.{key} is missing");
        let issuer_url = service("access.oidc.issuer", &issuer)?;
        let redirect_url = raw.redirect_url.ok_or_else(|| missing("redirect_url"))?;
        let redirect_url = service("access.oidc.redirect_url", &redirect_url)?;
        if redirect_url.path() != CALLBACK || redirect_url.query().is_some() {
            bail!("access.oidc.redirect_url = \"{redirect_url}\": it must end with {CALLBACK}");
        }
        let client_id = raw.client_id.filter(|id| !id.is_empty()).ok_or_else(|| missing("client_id"))?;
        let secret_file = raw.client_secret_file.ok_or_else(|| missing("client_secret_file"))?;
        let client_secret = config::secret("access.oidc.client_secret_file", &secret_file, warnings)?;
        ensure!(!client_secret.is_empty(), "access.oidc.client_secret_file {} is empty", secret_file.display());
        let host = issuer_url.host_str().unwrap_or_default().to_owned();
        let name = clean(&raw.name.unwrap_or(host), MAX_NAME);
        let authorities = raw.ca_file.map(|path| {
            std::fs::read(&path).with_context(|| format!("cannot read access.oidc.ca_file {}", path.display()))
        });
        let settings = OidcSettings {
            issuer,
            client_id,
            client_secret,
            redirect_url,
            name,
            scopes: raw.scopes.unwrap_or_else(|| vec!["openid".to_owned(), "profile".to_owned()]),
            user_claim: raw.user_claim.unwrap_or_else(|| USER_CLAIM.to_owned()),
            role_claim: raw.role_claim,
            default_role: raw.default_role,
            link_users: raw.link_users.unwrap_or(false),
            authorities: authorities.transpose()?,
            roles: raw.roles,
        };
        if settings.roles.is_empty() && settings.default_role.is_none() && !settings.link_users {
            bail!("access.oidc gives nobody a role: set [access.oidc.roles], default_role or link_users");
        }
        agent(&settings)?;
        Ok(Some(settings))
    }

    /// Name by which browsers reach this service.
    pub fn host(&self) -> &str {
        self.redirect_url.host_str().unwrap_or_default()
    }
}

/// The address of a service that is reached over TLS, or on this host.
fn service(key: &str, text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).map_err(|e| anyhow!("{key} = {text:?} is no address: {e}"))?;
    if !is_protected(&url) {
        bail!("{key} = {text:?}: it must begin with https:// (http:// for this host only)");
    }
    Ok(url)
}

fn is_protected(url: &Url) -> bool {
    let is_near = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    url.scheme() == "https" || url.scheme() == "http" && is_near
}

fn agent(settings: &OidcSettings) -> anyhow::Result<Agent> {
    Https { authorities: settings.authorities.as_deref(), authorities_key: "access.oidc.ca_file", client: None }
        .agent(PATIENCE)
}

/// Claims beyond those that OpenID Connect names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct OtherClaims(Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

type TokenFields =
    IdTokenFields<OtherClaims, EmptyExtraTokenFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, Algorithm>;
type Answer = StandardTokenResponse<TokenFields, CoreTokenType>;
type Token = IdToken<OtherClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, Algorithm>;
type Claims = IdTokenClaims<OtherClaims, CoreGenderClaim>;
type ProviderClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What the provider last said of itself.
#[derive(Default)]
struct Discovered {
    client: Option<Arc<ProviderClient>>,
    /// When that was, and when it was asked last.
    at: Timestamp,
    asked: Option<Timestamp>,
    /// Why it did not answer then.
    failure: Option<String>,
}

/// The provider of the section.
pub struct Oidc {
    settings: OidcSettings,
    agent: Agent,
    discovered: Mutex<Discovered>,
}

impl Oidc {
    /// # Errors
    /// Certificates that cannot be read.
    pub fn new(settings: OidcSettings) -> anyhow::Result<Oidc> {
        Ok(Oidc { agent: agent(&settings)?, settings, discovered: Mutex::default() })
    }

    /// Asks the provider what it says of itself, so that its absence is known before somebody signs in. Blocks.
    pub fn look(&self, now: Timestamp) {
        // Its failure is printed there.
        let _ = self.client(now, false);
    }

    /// A request to the provider, bounded in time and size.
    fn send(&self, request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
        let url = Url::parse(&request.uri().to_string()).map_err(std::io::Error::other)?;
        if !is_protected(&url) {
            return Err(std::io::Error::other(format!("the provider names an address without TLS: {url}")));
        }
        let (parts, body) = request.into_parts();
        let answer = match parts.method {
            Method::GET => self.agent.run(ureq::http::Request::from_parts(parts, ())),
            _ => self.agent.run(ureq::http::Request::from_parts(parts, body)),
        };
        let (parts, mut body) = answer.map_err(std::io::Error::other)?.into_parts();
        let bytes = body.with_config().limit(MAX_BODY).read_to_vec().map_err(std::io::Error::other)?;
        Ok(HttpResponse::from_parts(parts, bytes))
    }

    /// The provider as it last described itself; `again` asks it for its keys, at most once a minute.
    fn client(&self, now: Timestamp, again: bool) -> Result<Arc<ProviderClient>, ProviderError> {
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |at: Timestamp, limit: Nanos| (0..limit.0).contains(&(now - at).0);
        if let Some(client) = &discovered.client {
            let pause = if again || discovered.failure.is_some() { REFRESH } else { KEEP };
            if since(discovered.asked.unwrap_or(discovered.at), pause) {
                return Ok(client.clone());
            }
        } else if let (Some(why), Some(asked)) = (&discovered.failure, discovered.asked)
            && since(asked, PAUSE)
        {
            return Err(ProviderError::Unavailable(why.clone()));
        }
        discovered.asked = Some(now);
        match self.discover() {
            Ok(client) => {
                if discovered.failure.take().is_some() {
                    self.print("answers again");
                }
                (discovered.client, discovered.at) = (Some(Arc::new(client)), now);
            }
            Err(error) => {
                let why = clean(&format!("{error:#}"), 300);
                if discovered.failure.is_none() {
                    self.print(&format!("does not answer as it should, and is asked again at the next sign-in: {why}"));
                }
                discovered.failure = Some(why);
            }
        }
        let unavailable = || ProviderError::Unavailable(discovered.failure.clone().unwrap_or_default());
        discovered.client.clone().ok_or_else(unavailable)
    }

    fn print(&self, what: &str) {
        super::super::print_status(format_args!("sign-in provider {}: it {what}", self.settings.issuer));
    }

    fn discover(&self) -> anyhow::Result<ProviderClient> {
        let settings = &self.settings;
        let http = |request| self.send(request);
        let issuer = IssuerUrl::new(settings.issuer.clone())?;
        let metadata = CoreProviderMetadata::discover(&issuer, &http).map_err(|e| with_cause(&e))?;
        ensure!(is_protected(metadata.authorization_endpoint().url()), "its authorization endpoint is without TLS");
        // Basic is what a provider takes that says nothing (OpenID Connect Discovery 1.0 section 3).
        let auth_type = match metadata.token_endpoint_auth_methods_supported() {
            Some(methods) if !methods.contains(&CoreClientAuthMethod::ClientSecretBasic) => AuthType::RequestBody,
            _ => AuthType::BasicAuth,
        };
        let secret = ClientSecret::new(settings.client_secret.clone());
        let client = Client::from_provider_metadata(metadata, ClientId::new(settings.client_id.clone()), Some(secret));
        Ok(client.set_auth_type(auth_type).set_redirect_uri(RedirectUrl::from_url(settings.redirect_url.clone())))
    }

    /// The claims of a token that holds: signature, issuer, audience, time and nonce.
    fn verified(&self, token: &Token, expected: &Expected, now: Timestamp) -> Result<Claims, ProviderError> {
        let nonce = Nonce::new(expected.nonce.clone());
        let verify = |client: &ProviderClient| {
            let at = UNIX_EPOCH + Duration::from_nanos(u64::try_from(now.0).unwrap_or(0));
            let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS).set_time_fn(move || at.into());
            token.claims(&verifier, &nonce).cloned()
        };
        let client = self.client(now, false)?;
        let mut claims = verify(&client);
        if let Err(ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::AmbiguousKeyId(_),
        )) = claims
        {
            let newer = self.client(now, true)?;
            if !Arc::ptr_eq(&client, &newer) {
                claims = verify(&newer);
            }
        }
        claims.map_err(|e| ProviderError::Refused(format!("the identity token does not hold: {:#}", with_cause(&e))))
    }

    /// What the provider says of somebody beyond the identity token.
    fn user_info(
        &self,
        client: &ProviderClient,
        access: &AccessToken,
        subject: &SubjectIdentifier,
    ) -> Result<Map<String, Value>, ProviderError> {
        let Ok(request) = client.user_info(access.clone(), Some(subject.clone())) else { return Ok(Map::new()) };
        let claims: UserInfoClaims<OtherClaims, CoreGenderClaim> = request
            .request(&|request| self.send(request))
            .map_err(|e| ProviderError::Unavailable(format!("its user info: {:#}", with_cause(&e))))?;
        Ok(object(&claims))
    }

    fn who(&self, claims: &Map<String, Value>) -> Result<Identity, ProviderError> {
        let settings = &self.settings;
        let subject = claims.get("sub").and_then(Value::as_str);
        let name = text_of(claims, &settings.user_claim).or(subject).unwrap_or_default();
        if settings.user_claim == "email" && claims.get("email_verified") == Some(&Value::Bool(false)) {
            return Err(ProviderError::Refused("the provider has not verified this user's e-mail address".to_owned()));
        }
        if name.is_empty() || clean(name, MAX_NAME) != name {
            let why = format!("the user has no usable name in {}: {:?}", settings.user_claim, clean(name, MAX_NAME));
            return Err(ProviderError::Refused(why));
        }
        let values = self.role_values(claims);
        let role = values.iter().filter_map(|value| settings.roles.get(*value)).max().copied();
        Ok(Identity { name: name.to_owned(), role: role.or(settings.default_role), linked: settings.link_users })
    }

    /// Values of the claims that give roles.
    fn role_values<'a>(&self, claims: &'a Map<String, Value>) -> Vec<&'a str> {
        let configured = self.settings.role_claim.as_deref();
        let names = configured.map_or_else(|| ROLE_CLAIMS.to_vec(), |name| vec![name]);
        let found = names.into_iter().filter_map(|name| at(claims, name));
        found
            .flat_map(|value| match value {
                Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
                Value::String(value) => vec![value.as_str()],
                _ => Vec::new(),
            })
            .collect()
    }
}

impl IdentityProvider for Oidc {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn authorization(&self, state: &str, now: Timestamp) -> Result<Authorization, ProviderError> {
        let client = self.client(now, false)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = CsrfToken::new(state.to_owned());
        let mut request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, Nonce::new_random)
            .set_pkce_challenge(challenge);
        for scope in self.settings.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, _, nonce) = request.url();
        let expected = Expected { nonce: nonce.secret().clone(), verifier: verifier.secret().clone() };
        Ok(Authorization { url: url.into(), expected })
    }

    fn identity(&self, code: &str, expected: &Expected, now: Timestamp) -> Result<Identity, ProviderError> {
        let client = self.client(now, false)?;
        let unusable = |e: &dyn std::error::Error| ProviderError::Unavailable(format!("{:#}", with_cause(e)));
        let answer: Answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|e| unusable(&e))?
            .set_pkce_verifier(PkceCodeVerifier::new(expected.verifier.clone()))
            .request(&|request| self.send(request))
            .map_err(|e| match &e {
                RequestTokenError::ServerResponse(refusal) => {
                    ProviderError::Refused(format!("the provider: {}", clean(&refusal.to_string(), 200)))
                }
                _ => unusable(&e),
            })?;
        let token = answer.id_token();
        let token = token.ok_or_else(|| ProviderError::Refused("the provider sent no identity token".to_owned()))?;
        let verified = self.verified(token, expected, now)?;
        let mut claims = object(&verified);
        // Many providers have roles, and some names, in the user info alone.
        let lacks_roles = !self.settings.roles.is_empty() && self.role_values(&claims).is_empty();
        if lacks_roles || text_of(&claims, &self.settings.user_claim).is_none() {
            for (name, value) in self.user_info(&client, answer.access_token(), verified.subject())? {
                claims.entry(name).or_insert(value);
            }
        }
        self.who(&claims)
    }
}

fn object(claims: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(claims)) => claims,
        _ => Map::new(),
    }
}

/// A claim by its name, or by the names of objects around it with dots between them (`realm_access.roles`).
fn at<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    at(claims.get(first)?.as_object()?, rest)
}

fn text_of<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    at(claims, name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// An error with those below it, in one line.
fn with_cause(error: &dyn std::error::Error) -> anyhow::Error {
    let mut line = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !line.ends_with(&cause_text) {
            line = format!("{line}: {cause_text}");
        }
        below = cause.source();
    }
    anyhow!("{}", clean(&line, 300))
}

/// Whether `names` and the local names have the host that browsers come back to.
pub fn check_host(settings: &OidcSettings, listen: std::net::SocketAddr, names: &[String]) -> anyhow::Result<()> {
    let host = settings.host();
    let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() && !listen.ip().is_loopback();
    let any = names.is_empty() && !listen.ip().is_loopback();
    if is_local || is_address || any || names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    bail!("access.oidc.redirect_url names {host}, and requests to that name are refused: add it to api.hosts")
}

#[cfg(test)]
#[path = "oidc_tests.rs"]
mod tests;
