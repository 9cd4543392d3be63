//! The conversation with a provider: good sign-ins, tokens that do not hold, a provider that is away, slow or without end.

use super::*;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreRsaPrivateSigningKey};
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};

const NOW: Timestamp = Timestamp::from_secs(1_772_366_400);
const CODE: &str = "the code";
const SECRET: &str = "a secret of the client";

/// Of this test alone.
const RSA_KEY: &str = include_str!("oidc_test_key.pem");

/// What the provider of a test does.
#[derive(Clone)]
struct Script {
    /// What differs from a good token; null takes a claim away.
    claims: Value,
    header: Value,
    user_info: Value,
    /// How the token is signed.
    signed: Signed,
    /// Path that never answers, and the one that answers without end.
    hangs: &'static str,
    floods: &'static str,
    /// Keys that are served, of `a` and `b`.
    keys: &'static str,
    methods: Value,
    refuses: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Signed {
    Rsa,
    EdDsa,
    /// With the secret of the client, by HS256.
    Shared,
    /// Algorithm `none`, without a signature.
    Not,
    /// A good signature of another text.
    Otherwise,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            claims: json!({}),
            header: json!({}),
            user_info: json!({ "sub": "account-1" }),
            signed: Signed::Rsa,
            hangs: "-",
            floods: "-",
            keys: "ab",
            methods: json!(null),
            refuses: false,
        }
    }
}

#[derive(Clone)]
struct Served {
    script: Arc<Mutex<Script>>,
    issuer: String,
    /// The challenge and nonce of the last authorization, and requests by path.
    asked: Arc<Mutex<(String, String, Vec<String>)>>,
}

/// A provider on a port of this host, and the client under test.
struct Rig {
    served: Served,
    oidc: Oidc,
    _runtime: tokio::runtime::Runtime,
}

fn ed_key() -> CoreEdDsaPrivateSigningKey {
    // PKCS #8 of a key that is all sevens (RFC 8410 section 7).
    let der = [&data_encoding::HEXLOWER.decode(b"302e020100300506032b657004220420").unwrap()[..], &[7; 32]].concat();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&der));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new("b".to_owned()))).unwrap()
}

fn rsa_key() -> CoreRsaPrivateSigningKey {
    CoreRsaPrivateSigningKey::from_pem(RSA_KEY, Some(JsonWebKeyId::new("a".to_owned()))).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().unwrap() {
        match value {
            Value::Null => drop(into.as_object_mut().unwrap().remove(name)),
            value => into[name] = value.clone(),
        }
    }
}

impl Served {
    fn token(&self, script: &Script, nonce: &str) -> String {
        let now = NOW.0 / 1_000_000_000;
        let mut claims = json!({
            "iss": self.issuer, "aud": "client", "sub": "account-1", "nonce": nonce, "iat": now, "exp": now + 300,
            "preferred_username": "alice", "groups": ["everybody", "voice-ops"],
        });
        merge(&mut claims, &script.claims);
        let (alg, kid) = match script.signed {
            Signed::Rsa | Signed::Otherwise => ("RS256", "a"),
            Signed::EdDsa => ("EdDSA", "b"),
            Signed::Shared => ("HS256", "a"),
            Signed::Not => ("none", "a"),
        };
        let mut header = json!({ "alg": alg, "kid": kid });
        merge(&mut header, &script.header);
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&header), part(&claims));
        let signature = match script.signed {
            Signed::Rsa => rsa_key().sign(&Algorithm::RsaSsaPkcs1V15Sha256, text.as_bytes()).unwrap(),
            Signed::Otherwise => rsa_key().sign(&Algorithm::RsaSsaPkcs1V15Sha256, b"another text").unwrap(),
            Signed::EdDsa => ed_key().sign(&Algorithm::EdDsa, text.as_bytes()).unwrap(),
            Signed::Shared => {
                let key = openidconnect::core::CoreHmacKey::new(SECRET);
                key.sign(&Algorithm::HmacSha256, text.as_bytes()).unwrap()
            }
            Signed::Not => Vec::new(),
        };
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn keys(&self, script: &Script) -> Value {
        let mut keys = Vec::new();
        if script.keys.contains('a') {
            keys.push(serde_json::to_value(rsa_key().as_verification_key()).unwrap());
        }
        if script.keys.contains('b') {
            keys.push(serde_json::to_value(ed_key().as_verification_key()).unwrap());
        }
        json!({ "keys": keys })
    }

    fn metadata(&self, script: &Script) -> Value {
        let issuer = &self.issuer;
        let mut metadata = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"), "userinfo_endpoint": format!("{issuer}/me"), "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256", "EdDSA", "HS256", "none"],
        });
        if !script.methods.is_null() {
            metadata["token_endpoint_auth_methods_supported"] = script.methods.clone();
        }
        metadata
    }

    /// The token endpoint: the code, the verifier and the client have to be right.
    fn redeem(&self, script: &Script, authorization: Option<&str>, form: &str) -> (u16, Value) {
        let form: BTreeMap<String, String> =
            openidconnect::url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let (challenge, nonce, _) = self.asked.lock().unwrap().clone();
        let verifier = form.get("code_verifier").map(String::as_str).unwrap_or_default();
        let fits = BASE64URL_NOPAD.encode(&Sha256::digest(verifier)) == challenge;
        let basic = format!("Basic {}", BASE64.encode(b"client:a+secret+of+the+client"));
        let by_form = form.get("client_secret").is_some_and(|secret| secret == SECRET);
        let knows = if script.methods.is_null() { authorization == Some(&*basic) } else { by_form };
        if script.refuses || !fits || !knows || form.get("code").is_none_or(|code| code != CODE) {
            return (400, json!({ "error": "invalid_grant", "error_description": "no\nsuch code" }));
        }
        let token = self.token(script, &nonce);
        (200, json!({ "access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": token }))
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let script = served.script.lock().unwrap().clone();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    served.asked.lock().unwrap().2.push(path.clone());
    if path == script.hangs {
        std::future::pending::<()>().await;
    }
    if path == script.floods {
        return Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(format!("{{\"a\":\"{}\"}}", "a".repeat(10 << 20))))
            .unwrap();
    }
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let (status, json) = match path.as_str() {
        "/.well-known/openid-configuration" => (200, served.metadata(&script)),
        "/keys" => (200, served.keys(&script)),
        "/token" => served.redeem(&script, authorization, &String::from_utf8_lossy(&body)),
        "/me" if authorization == Some("Bearer access") => (200, script.user_info.clone()),
        _ => (404, json!({})),
    };
    let answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    answer.body(Body::from(json.to_string())).unwrap()
}

fn settings(text: &str) -> anyhow::Result<Option<OidcSettings>> {
    let raw: RawOidc = toml::from_str(text).map_err(|e| anyhow!("{}", e.message()))?;
    OidcSettings::check(raw, &mut Vec::new())
}

impl Rig {
    fn new(script: Script, more: &str) -> Rig {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let served = Served { script: Arc::new(Mutex::new(script)), issuer: issuer.clone(), asked: Arc::default() };
        let router = Router::new().fallback(answer).with_state(served.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), SECRET).unwrap();
        let text = format!(
            "issuer = \"{issuer}\"\nclient_id = \"client\"\nclient_secret_file = {:?}\nredirect_url = \"http://localhost{CALLBACK}\"\n{more}",
            secret.path()
        );
        let oidc = Oidc::new(settings(&text).unwrap().unwrap()).unwrap();
        Rig { served, oidc, _runtime: runtime }
    }

    fn with(script: Script) -> Rig {
        Rig::new(script, "[roles]\nvoice-ops = \"operator\"\nvoice-admins = \"admin\"")
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.served.script.lock().unwrap());
    }

    fn asked(&self, path: &str) -> usize {
        self.served.asked.lock().unwrap().2.iter().filter(|asked| *asked == path).count()
    }

    /// The browser goes to the provider, which remembers what it was sent.
    fn begin(&self, now: Timestamp) -> Result<Expected, ProviderError> {
        let Authorization { url, expected } = self.oidc.authorization("the state", now)?;
        let url = Url::parse(&url).unwrap();
        let sent: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/authorize");
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "client"),
            ("state", "the state"),
            ("scope", "openid profile"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", "http://localhost/api/v1/session/oidc/callback"),
        ] {
            assert_eq!(sent[name], value, "{name}");
        }
        let mut asked = self.served.asked.lock().unwrap();
        (asked.0, asked.1) = (sent["code_challenge"].clone(), sent["nonce"].clone());
        Ok(expected)
    }

    fn sign_in(&self) -> Result<Identity, ProviderError> {
        let expected = self.begin(NOW)?;
        self.oidc.identity(CODE, &expected, NOW)
    }
}

#[track_caller]
fn refused(script: Script, why: &str) {
    match Rig::with(script).sign_in() {
        Err(ProviderError::Refused(text)) => assert!(text.contains(why) && !text.contains('\n'), "{text}"),
        other => panic!("{other:?}, not {why}"),
    }
}

fn claims(claims: Value) -> Script {
    Script { claims, ..Script::default() }
}

#[test]
fn who_signs_in_has_the_name_and_the_highest_role_of_the_claims() {
    let rig = Rig::with(Script::default());
    let alice = Identity { name: "alice".to_owned(), role: Some(Role::Operator), linked: false };
    assert_eq!(rig.sign_in(), Ok(alice.clone()));
    assert_eq!(rig.sign_in(), Ok(alice.clone()));
    assert_eq!((rig.asked("/keys"), rig.asked("/me")), (1, 0), "kept, and not needed");
    rig.change(|script| script.signed = Signed::EdDsa);
    assert_eq!(rig.sign_in(), Ok(alice));
    for (given, name, role) in [
        (json!({ "groups": ["voice-ops", "voice-admins"] }), "alice", Some(Role::Admin)),
        (json!({ "groups": null, "roles": "voice-admins" }), "alice", Some(Role::Admin)),
        (json!({ "groups": ["voice-op", "VOICE-OPS", "admin"] }), "alice", None),
        (json!({ "groups": 1 }), "alice", None),
        (json!({ "preferred_username": null }), "account-1", Some(Role::Operator)),
        (json!({ "preferred_username": "Zoë Müller" }), "Zoë Müller", Some(Role::Operator)),
    ] {
        rig.change(|script| script.claims = given.clone());
        assert_eq!(rig.sign_in().map(|i| (i.name, i.role)), Ok((name.to_owned(), role)), "{given}");
    }
}

#[test]
fn claims_may_be_nested_or_in_the_user_info() {
    let more = "user_claim = \"email\"\nrole_claim = \"realm_access.roles\"\ndefault_role = \"viewer\"\nlink_users = true\n[roles]\nops = \"investigator\"";
    let rig = Rig::new(claims(json!({ "email": "a@example.com", "realm_access": { "roles": ["ops"] } })), more);
    let expected = |role| Ok(Identity { name: "a@example.com".to_owned(), role: Some(role), linked: true });
    assert_eq!(rig.sign_in(), expected(Role::Investigator));
    rig.change(|script| script.claims = json!({ "email": "a@example.com" }));
    assert_eq!(rig.sign_in(), expected(Role::Viewer), "the default");
    rig.change(|script| {
        script.claims = json!({});
        script.user_info =
            json!({ "sub": "account-1", "email": "a@example.com", "realm_access": { "roles": ["ops"] } });
    });
    assert_eq!(rig.sign_in(), expected(Role::Investigator));
    // What the token says is not replaced, and the user info of somebody else is not taken.
    rig.change(|script| script.claims = json!({ "email": "b@example.com" }));
    assert_eq!(rig.sign_in().map(|i| i.name), Ok("b@example.com".to_owned()));
    rig.change(|script| script.user_info["sub"] = json!("account-2"));
    assert!(matches!(rig.sign_in(), Err(ProviderError::Unavailable(why)) if why.contains("user info")));
    rig.change(|script| {
        script.claims =
            json!({ "email": "root@example.com", "email_verified": false, "realm_access": { "roles": ["ops"] } });
    });
    assert!(matches!(rig.sign_in(), Err(ProviderError::Refused(why)) if why.contains("e-mail")));
}

#[test]
fn a_token_that_does_not_hold_is_refused() {
    refused(claims(json!({ "nonce": "another" })), "nonce");
    refused(claims(json!({ "nonce": null })), "nonce");
    refused(claims(json!({ "aud": "another" })), "audience");
    refused(claims(json!({ "aud": ["client", "another"] })), "audience");
    refused(claims(json!({ "iss": "http://127.0.0.1:1" })), "issuer");
    refused(claims(json!({ "exp": NOW.0 / 1_000_000_000 })), "expired");
    for signed in [Signed::Otherwise, Signed::Not, Signed::Shared] {
        refused(Script { signed, ..Script::default() }, "ignature");
    }
    // The key of another algorithm, and none of its name.
    refused(Script { signed: Signed::EdDsa, header: json!({ "kid": "a" }), ..Script::default() }, "ignature");
    refused(Script { header: json!({ "kid": "c" }), ..Script::default() }, "ignature");
    refused(Script { header: json!({ "typ": "at+jwt" }), ..Script::default() }, "");
    for name in ["a\u{202e}b", "a\nb", " a", &"a".repeat(200)] {
        refused(claims(json!({ "preferred_username": name })), "no usable name");
    }
}

#[test]
fn a_code_needs_the_verifier_and_the_secret() {
    let rig = Rig::with(Script::default());
    let mut expected = rig.begin(NOW).unwrap();
    expected.verifier = "another verifier, of the length that the standard asks for".to_owned();
    let refused = rig.oidc.identity(CODE, &expected, NOW).unwrap_err();
    assert_eq!(refused, ProviderError::Refused("the provider: invalid_grant: no such code".to_owned()));
    let expected = rig.begin(NOW).unwrap();
    assert!(matches!(rig.oidc.identity("another code", &expected, NOW), Err(ProviderError::Refused(_))));
    let by_form = Script { methods: json!(["client_secret_post"]), ..Script::default() };
    assert!(Rig::with(by_form).sign_in().is_ok());
}

#[test]
fn a_key_that_is_missing_is_asked_for_once_a_minute() {
    let rig = Rig::with(Script { signed: Signed::EdDsa, keys: "a", ..Script::default() });
    let at = |seconds| NOW + Nanos::from_secs(seconds);
    let sign_in = |now| {
        let expected = rig.begin(now).unwrap();
        rig.oidc.identity(CODE, &expected, now)
    };
    for seconds in [0, 1, 30, 59] {
        assert!(sign_in(at(seconds)).is_err());
    }
    assert_eq!(rig.asked("/keys"), 1);
    assert!(sign_in(at(60)).is_err());
    assert_eq!(rig.asked("/keys"), 2);
    rig.change(|script| script.keys = "ab");
    assert!(sign_in(at(90)).is_err());
    assert!(sign_in(at(120)).is_ok());
    assert_eq!(rig.asked("/keys"), 3);
    // An hour later the provider may have changed.
    rig.change(|script| script.claims = json!({ "exp": NOW.0 / 1_000_000_000 + 7200 }));
    assert!(sign_in(at(3719)).is_ok());
    assert_eq!(rig.asked("/keys"), 3);
    assert!(sign_in(at(3720)).is_ok());
    assert_eq!(rig.asked("/keys"), 4);
}

#[test]
fn a_provider_that_floods_or_sends_elsewhere_is_unavailable() {
    for path in ["/.well-known/openid-configuration", "/keys", "/token"] {
        let rig = Rig::with(Script { floods: path, ..Script::default() });
        assert!(matches!(rig.sign_in(), Err(ProviderError::Unavailable(_))), "{path}");
    }
    let rig = Rig::with(Script { refuses: true, ..Script::default() });
    assert!(matches!(rig.sign_in(), Err(ProviderError::Refused(_))));
    let request = |url: &str| openidconnect::http::Request::get(url).body(Vec::new()).unwrap();
    let refused = rig.oidc.send(request("http://192.0.2.1/keys")).unwrap_err();
    assert!(refused.to_string().contains("without TLS"));
}

#[test]
fn a_provider_that_was_away_is_asked_again() {
    let rig = Rig::with(Script { floods: "/keys", ..Script::default() });
    let at = |seconds| NOW + Nanos::from_secs(seconds);
    assert!(matches!(rig.begin(at(0)), Err(ProviderError::Unavailable(_))));
    rig.change(|script| script.floods = "-");
    assert!(matches!(rig.begin(at(1)), Err(ProviderError::Unavailable(_))), "not at once");
    assert!(rig.begin(at(2)).is_ok());
    // One that goes away later is known still.
    rig.change(|script| script.floods = "/keys");
    assert!(rig.begin(at(3602)).is_ok());
    assert_eq!(rig.asked("/keys"), 3);
    assert!(rig.begin(at(3603)).is_ok());
    assert_eq!(rig.asked("/keys"), 3);
}

#[test]
fn a_provider_that_hangs_is_unavailable() {
    let rig = Rig::with(Script { hangs: "/token", ..Script::default() });
    assert!(matches!(rig.sign_in(), Err(ProviderError::Unavailable(why)) if why.contains("timeout")));
}

#[test]
fn the_section_is_checked() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s\n").unwrap();
    let good = [
        ("issuer", "\"https://id.example.com/realms/voice\"".to_owned()),
        ("client_id", "\"auscult\"".to_owned()),
        ("client_secret_file", format!("{:?}", secret.path())),
        ("redirect_url", "\"https://calls.example.com/api/v1/session/oidc/callback\"".to_owned()),
        ("default_role", "\"viewer\"".to_owned()),
    ];
    let text = |change: &[(&str, Option<&str>)]| -> String {
        let mut keys: BTreeMap<&str, String> = good.iter().cloned().collect();
        for (key, value) in change {
            match value {
                Some(value) => drop(keys.insert(key, (*value).to_owned())),
                None => drop(keys.remove(key)),
            }
        }
        keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    };
    let checked = settings(&text(&[])).unwrap().unwrap();
    assert_eq!((checked.name.as_str(), checked.client_secret.as_str()), ("id.example.com", "s"));
    assert!(!format!("{checked:?}").contains("secret"));
    assert!(settings("").unwrap().is_none());
    for (change, why) in [
        (("issuer", None), "access.oidc.issuer is missing"),
        (("client_id", None), "client_id is missing"),
        (("client_secret_file", None), "client_secret_file is missing"),
        (("client_secret_file", Some("\"/nowhere\"")), "cannot read access.oidc.client_secret_file /nowhere"),
        (("redirect_url", None), "redirect_url is missing"),
        (("redirect_url", Some("\"https://calls.example.com/\"")), "must end with /api/v1/session/oidc/callback"),
        (
            ("redirect_url", Some("\"http://calls.example.com/api/v1/session/oidc/callback\"")),
            "must begin with https://",
        ),
        (("issuer", Some("\"http://id.example.com\"")), "must begin with https://"),
        (("issuer", Some("\"id.example.com\"")), "is no address"),
        (("default_role", None), "gives nobody a role"),
        (("default_role", Some("\"root\"")), "unknown variant"),
        (("ca_file", Some("\"/nowhere\"")), "cannot read access.oidc.ca_file /nowhere"),
        (("tenant", Some("1")), "unknown field"),
    ] {
        let error = settings(&text(&[change])).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
    let empty = format!("{:?}", tempfile::NamedTempFile::new().unwrap().path());
    assert!(settings(&text(&[("ca_file", Some(&empty))])).is_err());
    // Browsers come back to a name that is served.
    let listen = |text: &str| text.parse().unwrap();
    assert!(check_host(&checked, listen("127.0.0.1:8642"), &[]).unwrap_err().to_string().contains("api.hosts"));
    assert!(check_host(&checked, listen("127.0.0.1:8642"), &["Calls.example.com".to_owned()]).is_ok());
    assert!(check_host(&checked, listen("192.0.2.1:8642"), &[]).is_ok());
    assert!(check_host(&checked, listen("192.0.2.1:8642"), &["other.example.com".to_owned()]).is_err());
}
