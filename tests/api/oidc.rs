//! Sign-in at a provider as the browser sees it, with a provider that the test writes: states, cookies, where the browser ends, what is recorded.

use crate::world::{Answer, START, service_with};
use auscult_access::audit::{AuditLog, Filter, Outcome, Row};
use auscult_access::{Access, AccessFile, Identity, NewUser, Role, Scope, SessionLimits, Via};
use auscult_api::{AccessControl, Authorization, Expected, IdentityProvider, LiveFeed, ProviderError};
use auscult_core::model::Limits;
use auscult_core::units::Timestamp;
use auscult_http::PeerAddress;
use auscult_store::query::Reader;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use clickhouse::Client;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tower::ServiceExt;

const NONCE: &str = "the nonce";
const VERIFIER: &str = "the verifier";

/// Says what it was told to say of whoever comes back with the code `good`.
#[derive(Default)]
struct Scripted {
    away: Mutex<bool>,
    identity: Mutex<Option<Identity>>,
    /// Held by a test to keep the provider from answering.
    busy: Mutex<()>,
}

impl IdentityProvider for Scripted {
    fn name(&self) -> &str {
        "Hospital directory"
    }

    fn authorization(&self, state: &str, _: Timestamp) -> Result<Authorization, ProviderError> {
        drop(self.busy.lock());
        if *self.away.lock().unwrap() {
            return Err(ProviderError::Unavailable("no answer".to_owned()));
        }
        let expected = Expected { nonce: NONCE.to_owned(), verifier: VERIFIER.to_owned() };
        Ok(Authorization { url: format!("https://id.example.com/auth?state={state}"), expected })
    }

    fn identity(&self, code: &str, expected: &Expected, _: Timestamp) -> Result<Identity, ProviderError> {
        assert_eq!((expected.nonce.as_str(), expected.verifier.as_str()), (NONCE, VERIFIER));
        if code != "good" {
            return Err(ProviderError::Refused("the provider: invalid_grant".to_owned()));
        }
        self.identity.lock().unwrap().clone().ok_or_else(|| ProviderError::Unavailable("no answer".to_owned()))
    }
}

struct Office {
    _dir: TempDir,
    audit: Arc<AuditLog>,
    router: Router,
    provider: Arc<Scripted>,
}

/// A sign-in that began.
struct Begun {
    state: String,
    cookie: String,
}

impl Office {
    fn new(secure: bool) -> Office {
        let dir = tempfile::tempdir().unwrap();
        let admin = NewUser { name: "root", role: Role::Admin, scope: Scope::all(), password: None };
        AccessFile::change(dir.path(), |file| file.add_user(&admin, START)).unwrap();
        let access = Arc::new(Access::open(dir.path(), false, SessionLimits::default()).unwrap());
        let audit = Arc::new(AuditLog::open(dir.path(), None).unwrap());
        let provider = Arc::new(Scripted::default());
        let control = AccessControl::new(access, Some(audit.clone()), None, secure).with_provider(provider.clone());
        let live = Arc::new(LiveFeed::new(&Limits::default()));
        let reader = Reader::new(Client::default().with_url("http://127.0.0.1:1"));
        let router = service_with(reader, live, true, Arc::new(control));
        Office { _dir: dir, audit, router, provider }
    }

    fn says(&self, name: &str, role: Option<Role>, linked: bool) {
        *self.provider.identity.lock().unwrap() = Some(Identity { name: name.to_owned(), role, linked });
    }

    async fn ask(&self, uri: &str, cookie: &str, peer: &str) -> Answer {
        self.ask_by("GET", uri, cookie, peer).await
    }

    async fn ask_by(&self, method: &str, uri: &str, cookie: &str, peer: &str) -> Answer {
        let request = Request::builder().method(method).uri(uri).header(header::HOST, "localhost:8080");
        let mut request = request.header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        request.extensions_mut().insert(PeerAddress(peer.parse().unwrap()));
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn begin(&self, return_to: &str) -> Begun {
        let answer = self.ask(&format!("/api/v1/session/oidc?return_to={return_to}"), "", PEER).await;
        let to = location(&answer);
        let state = to.strip_prefix("https://id.example.com/auth?state=").unwrap_or_else(|| panic!("{to}"));
        Begun { state: state.to_owned(), cookie: cookies(&answer).remove(0) }
    }

    async fn come_back(&self, state: &str, code: &str, cookie: &str) -> Answer {
        self.ask(&format!("/api/v1/session/oidc/callback?state={state}&code={code}"), cookie, PEER).await
    }

    fn rows(&self) -> Vec<Row> {
        self.audit.read(&Filter::default(), 100).unwrap()
    }
}

const PEER: &str = "192.0.2.1:9";

fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.headers[header::LOCATION].to_str().unwrap().to_owned()
}

fn set_cookies(answer: &Answer) -> Vec<String> {
    answer.headers.get_all(header::SET_COOKIE).iter().map(|set| set.to_str().unwrap().to_owned()).collect()
}

/// What a browser sends back.
fn cookies(answer: &Answer) -> Vec<String> {
    set_cookies(answer).iter().map(|set| set.split(';').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_sign_in_at_the_provider_begins_a_session_and_is_recorded() {
    for secure in [false, true] {
        let office = Office::new(secure);
        office.says("alice", Some(Role::Operator), false);
        let page = office.ask("/api/v1/session", "", PEER).await.json();
        assert_eq!((&page["methods"], &page["provider"]), (&"oidc".split(' ').collect(), &"Hospital directory".into()));
        let begun = office.ask("/api/v1/session/oidc?return_to=%2Fcalls%2F00c0ffee%3Fa%3D%252B", "", PEER).await;
        let set = set_cookies(&begun).remove(0);
        assert!(set.contains("; HttpOnly; SameSite=Lax; Max-Age=600") && set.contains("Path=/;"), "{set}");
        assert_eq!(set.starts_with("__Host-auscult_sign_in_") && set.ends_with("; Secure"), secure, "{set}");
        let state = location(&begun).split_once("state=").unwrap().1.to_owned();
        assert!(!set.contains(&state), "two secrets");
        let answer = office.come_back(&state, "good", &format!("a=b; {}", cookies(&begun)[0])).await;
        assert_eq!(location(&answer), "/calls/00c0ffee?a=%2B");
        let set = set_cookies(&answer);
        assert_eq!(set.len(), 2, "{set:?}");
        assert!(set[0].contains("auscult_session=") && set[0].contains("SameSite=Strict"), "{set:?}");
        assert!(set[1].contains("auscult_sign_in_") && set[1].contains("Max-Age=0"), "{set:?}");
        let session = office.ask("/api/v1/session", &cookies(&answer)[0], PEER).await.json();
        assert_eq!((&session["user"], &session["role"]), (&"alice".into(), &"operator".into()));
        assert_eq!(office.ask("/api/v1/audit", &cookies(&answer)[0], PEER).await.status, StatusCode::FORBIDDEN);
        let row = office.rows().into_iter().find(|row| row.action.name() == "sign_in").unwrap();
        assert_eq!((row.who.as_str(), row.via, row.outcome), ("alice", Via::Oidc, Outcome::Allowed));
        assert_eq!((row.role, row.from), (Some(Role::Operator), Some("192.0.2.1".parse().unwrap())));
    }
}

#[tokio::test]
async fn a_state_is_good_once_and_in_its_own_browser() {
    let office = Office::new(false);
    office.says("alice", Some(Role::Viewer), false);
    let (mine, other) = (office.begin("%2Fstats").await, office.begin("%2Falerts").await);
    let expired = "/sign-in?error=expired&return_to=%2F";
    // A browser without the cookie, with that of another sign-in, with a cookie of the right name and another value.
    let (name, _) = mine.cookie.split_once('=').unwrap();
    let (_, value) = other.cookie.split_once('=').unwrap();
    for cookie in ["", &other.cookie, &format!("{name}={value}"), &format!("{name}=")] {
        let answer = office.come_back(&mine.state, "good", cookie).await;
        assert_eq!((location(&answer).as_str(), set_cookies(&answer).len()), (expired, 0), "{cookie}");
    }
    for state in ["", "guess", &mine.state[1..]] {
        assert_eq!(location(&office.come_back(state, "good", &mine.cookie).await), expired);
    }
    // Two pages of one browser do not disturb each other, and nothing above ended the sign-in.
    let both = format!("{}; {}", mine.cookie, other.cookie);
    assert_eq!(location(&office.come_back(&mine.state, "good", &both).await), "/stats");
    assert_eq!(location(&office.come_back(&mine.state, "good", &both).await), expired, "a replay");
    assert_eq!(location(&office.come_back(&other.state, "good", &both).await), "/alerts");
    assert_eq!(office.rows().len(), 2, "what is made up is not recorded");
    // HEAD begins and ends nothing.
    for uri in ["/api/v1/session/oidc", "/api/v1/session/oidc/callback?state=a"] {
        assert_eq!(office.ask_by("HEAD", uri, "", PEER).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn whoever_is_refused_comes_back_to_the_page_and_is_recorded() {
    let office = Office::new(false);
    for (name, role, linked, code, error, who) in [
        ("eve", None, false, "good", "no_role", "eve"),
        // The name of a local admin, at the provider.
        ("root", Some(Role::Viewer), false, "good", "no_role", "root"),
        ("ROOT", Some(Role::Viewer), true, "good", "no_role", "ROOT"),
        ("alice", Some(Role::Viewer), false, "bad", "provider_refused", "unknown"),
        ("alice", Some(Role::Viewer), false, "", "provider_refused", "unknown"),
    ] {
        office.says(name, role, linked);
        let begun = office.begin("%2Fstats").await;
        let answer = office.come_back(&begun.state, code, &begun.cookie).await;
        assert_eq!(location(&answer), format!("/sign-in?error={error}&return_to=%2Fstats"));
        assert!(!set_cookies(&answer).iter().any(|set| set.contains("auscult_session=a")), "no session");
        let row = office.rows().remove(0);
        assert_eq!((row.who.as_str(), row.via, row.outcome, row.role), (who, Via::Oidc, Outcome::Refused, None));
    }
    office.says("root", None, true);
    let begun = office.begin("").await;
    let answer = office.come_back(&begun.state, "good", &begun.cookie).await;
    assert_eq!(location(&answer), "/");
    let session = office.ask("/api/v1/session", &cookies(&answer)[0], PEER).await.json();
    assert_eq!(session["role"], "admin", "linked: the role of the file");
    // The provider says why itself; what it says is cleaned.
    let begun = office.begin("").await;
    let uri = format!("/api/v1/session/oidc/callback?state={}&error=access_denied%0A%1B%5B31m", begun.state);
    let answer = office.ask(&uri, &begun.cookie, PEER).await;
    assert_eq!(location(&answer), "/sign-in?error=provider_refused&return_to=%2F");
    let what = office.rows().remove(0).what;
    assert!(what.starts_with("the provider: access_denied") && !what.contains(['\n', '\u{1b}']), "{what}");
}

#[tokio::test]
async fn a_provider_that_is_away_or_slow_and_a_client_with_too_many() {
    let office = Office::new(false);
    *office.provider.away.lock().unwrap() = true;
    let answer = office.ask("/api/v1/session/oidc?return_to=%2Fa", "", PEER).await;
    assert_eq!(location(&answer), "/sign-in?error=provider_unavailable&return_to=%2Fa");
    *office.provider.away.lock().unwrap() = false;
    for _ in 0..20 {
        office.begin("").await;
    }
    let answer = office.ask("/api/v1/session/oidc", "", PEER).await;
    assert_eq!(location(&answer), "/sign-in?error=too_many_sign_ins&return_to=%2F");
    let other = office.ask("/api/v1/session/oidc", "", "192.0.2.2:9").await;
    assert!(location(&other).starts_with("https://id.example.com/"));
    let begun =
        Begun { state: location(&other).split_once("state=").unwrap().1.to_owned(), cookie: cookies(&other).remove(0) };
    let answer = office.come_back(&begun.state, "good", &begun.cookie).await;
    assert_eq!(location(&answer), "/sign-in?error=provider_unavailable&return_to=%2F");
    let metrics = office.ask("/api/v1/session/oidc?return_to=https%3A%2F%2Fevil.example", "", PEER).await;
    assert_eq!((metrics.status, metrics.json()["parameter"].as_str()), (StatusCode::BAD_REQUEST, Some("return_to")));
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_sign_ins_wait_for_the_provider_and_no_more() {
    let office = Arc::new(Office::new(false));
    let provider = office.provider.clone();
    let held = tokio::task::spawn_blocking(move || {
        // Held by the test until the ninth was refused.
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _busy = provider.busy.lock().unwrap();
            let _ = receiver.recv();
        });
        (sender, thread)
    });
    let (release, thread) = held.await.unwrap();
    while office.provider.busy.try_lock().is_ok() {
        tokio::task::yield_now().await;
    }
    let mut asked = tokio::task::JoinSet::new();
    for i in 0..9 {
        let office = office.clone();
        asked.spawn(async move { office.ask("/api/v1/session/oidc", "", &format!("192.0.2.{i}:9")).await });
    }
    let first = asked.join_next().await.unwrap().unwrap();
    assert_eq!(location(&first), "/sign-in?error=busy&return_to=%2F");
    release.send(()).unwrap();
    thread.join().unwrap();
    while let Some(answer) = asked.join_next().await {
        assert!(location(&answer.unwrap()).starts_with("https://id.example.com/"));
    }
}
