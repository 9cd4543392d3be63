//! Each route as each role, generated from the document; sign-in, tokens, scopes, what is withheld and what is recorded.

use crate::world::{Answer, START, World, call, get, service_with, sql_time, stream};
use auscult_access::audit::{Action, AuditLog, Filter, Row};
use auscult_access::{Access, AccessFile, NewToken, NewUser, Role, Scope, SessionLimits, Via};
use auscult_api::{AccessControl, LiveFeed, Needs, RULES, TrustedProxy, openapi_json};
use auscult_core::model::{CallState, Limits};
use auscult_http::PeerAddress;
use auscult_store::query::Reader;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use clickhouse::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt;

const PASSWORD: &str = "four words and more";

/// A service with a user and a token of each role.
struct Office {
    dir: TempDir,
    access: Arc<Access>,
    audit: Arc<AuditLog>,
    router: Router,
    /// Token of each role.
    tokens: BTreeMap<Role, String>,
}

impl Office {
    fn new(reader: Client, live: Arc<LiveFeed>) -> Office {
        let dir = tempfile::tempdir().unwrap();
        let tokens = AccessFile::change(dir.path(), |file| {
            let mut tokens = BTreeMap::new();
            for role in [Role::Admin, Role::Investigator, Role::Operator, Role::Viewer] {
                let (name, scope) = (role.name(), Scope::all());
                file.add_user(&NewUser { name, role, scope: scope.clone(), password: Some(PASSWORD) }, START)?;
                let token = NewToken { name: &format!("{name}-token"), role, scope, expires_at: None };
                tokens.insert(role, file.add_token(&token, START)?.1);
            }
            Ok(tokens)
        })
        .unwrap();
        let access = Arc::new(Access::open(dir.path(), true, SessionLimits::default()).unwrap());
        let audit = Arc::new(AuditLog::open(dir.path(), None).unwrap());
        let proxy = TrustedProxy {
            networks: vec!["198.51.100.0/24".parse().unwrap()],
            user_header: Some("x-forwarded-user".parse().unwrap()),
        };
        let control = AccessControl::new(access.clone(), Some(audit.clone()), Some(proxy), false);
        let router = service_with(Reader::new(reader), live, true, Arc::new(control));
        Office { dir, access, audit, router, tokens }
    }

    /// Without a store behind it: every route that needs one answers 503.
    fn without_store() -> Office {
        let live = Arc::new(LiveFeed::new(&Limits::default()));
        Office::new(Client::default().with_url("http://127.0.0.1:1"), live)
    }

    fn token(&self, role: Role) -> String {
        format!("Bearer {}", self.tokens[&role])
    }

    fn scoped(&self, name: &str, role: Role, scope: Scope) -> String {
        let new = NewToken { name, role, scope, expires_at: None };
        let (_, text) = AccessFile::change(self.dir.path(), |file| file.add_token(&new, START)).unwrap();
        self.access.refresh().unwrap();
        format!("Bearer {text}")
    }

    async fn ask(&self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_with(method, uri, headers, "").await
    }

    /// `peer` in the headers is the client's address.
    async fn ask_with(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(uri).header(header::HOST, "localhost:8080");
        for (name, value) in headers.iter().filter(|(name, _)| *name != "peer") {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        if let Some((_, peer)) = headers.iter().find(|(name, _)| *name == "peer") {
            request.extensions_mut().insert(PeerAddress(peer.parse().unwrap()));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // A stream of events has no end.
        let events = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let bytes = if events { Default::default() } else { to_bytes(body, 64 << 20).await.unwrap() };
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn sign_in(&self, user: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
        let body = json!({ "user": user, "password": password }).to_string();
        let headers = [headers, &[("content-type", "application/json")]].concat();
        self.ask_with("POST", "/api/v1/session", &headers, &body).await
    }

    fn rows(&self) -> Vec<Row> {
        self.audit.read(&Filter::default(), 1000).unwrap()
    }
}

/// What a browser sends back.
fn cookie(answer: &Answer) -> String {
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

/// `(method, path)` of the document, with ids filled in.
fn operations() -> Vec<(String, String, String)> {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let uri = path.replace("{id}", "00c0ffee00c0ffee");
            found.push((method.to_uppercase(), path.clone(), uri));
        }
    }
    found
}

#[test]
fn each_operation_of_the_document_has_one_rule_and_each_rule_an_operation() {
    let operations = operations();
    for (method, path, _) in &operations {
        let rules = RULES.iter().filter(|rule| rule.method == method && rule.path == path).count();
        assert_eq!(rules, 1, "{method} {path} needs a rule in rights.rs");
    }
    assert_eq!(RULES.len(), operations.len());
    // What needs no rights is known by name.
    let free = RULES.iter().filter(|rule| rule.needs == Needs::Nobody).map(|rule| (rule.method, rule.path));
    let expected = [
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/api/v1/session"),
        ("POST", "/api/v1/session"),
        ("DELETE", "/api/v1/session"),
        ("GET", "/api/v1/session/oidc"),
        ("GET", "/api/v1/session/oidc/callback"),
    ];
    assert_eq!(free.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn each_route_as_each_role_and_as_nobody() {
    let office = Office::without_store();
    let narrow = Scope { probes: None, trunks: Some(vec!["a".to_owned()]) };
    let narrow = office.scoped("narrow-admin", Role::Admin, narrow);
    for (method, path, uri) in operations() {
        let rule = RULES.iter().find(|rule| rule.method == method && rule.path == path).unwrap();
        let nobody = office.ask(&method, &uri, &[]).await;
        let wrong = office.ask(&method, &uri, &[("authorization", "Bearer auscult_wrong")]).await;
        let (Needs::Role(role) | Needs::Whole(role)) = rule.needs else {
            assert!(![401, 403].contains(&nobody.status.as_u16()) || path == "/api/v1/session", "{method} {path}");
            continue;
        };
        for refused in [nobody, wrong] {
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(refused.json()["code"], "not_signed_in");
        }
        for asked in Role::ALL {
            let answer = office.ask(&method, &uri, &[("authorization", &office.token(asked))]).await;
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(refused, asked < role, "{method} {path} as {}: {}", asked.name(), answer.text);
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} as {}", asked.name());
            if refused {
                assert_eq!(answer.json()["code"], "not_allowed");
            }
        }
        let answer = office.ask(&method, &uri, &[("authorization", &narrow)]).await;
        assert_eq!(answer.status == StatusCode::FORBIDDEN, matches!(rule.needs, Needs::Whole(_)), "{method} {path}");
    }
    // Routes that do not exist, and methods that no route has, are no way around.
    for (method, uri, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/calls", 405),
        ("POST", "/api/v1/calls", 405),
        ("HEAD", "/api/v1/calls", 401),
        ("GET", "/api/v1/calls/", 404),
        ("GET", "/api/v1//calls", 404),
        ("GET", "/API/v1/calls", 200),
    ] {
        let answer = office.ask(method, uri, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {uri}: {}", answer.text);
        // Beside the API there are only the files of the page.
        assert!(status != 200 || !answer.text.contains("call_id"), "{uri}");
    }
}

#[tokio::test]
async fn a_viewer_may_not_ask_about_one_party() {
    let office = Office::without_store();
    for (uri, allowed) in [
        ("/api/v1/stats", true),
        ("/api/v1/stats?group_by=trunk,codec", true),
        ("/api/v1/stats?number=", false),
        ("/api/v1/stats?group_by=src", false),
        ("/api/v1/stats?group_by=trunk,%20dst", false),
        ("/api/v1/stats?address=192.0.2.1", false),
        ("/api/v1/stats?addr%65ss=192.0.2.1", false),
        ("/api/v1/timeline?number=4930", false),
        ("/api/v1/timeline?call_id=x", false),
        ("/api/v1/timeline?%FF", false),
        ("/api/v1/timeline?trunk=a", true),
    ] {
        let answer = office.ask("GET", uri, &[("authorization", &office.token(Role::Viewer))]).await;
        let passed = answer.status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(
            passed == allowed || answer.status == StatusCode::BAD_REQUEST && uri.ends_with("number="),
            "{uri}: {}",
            answer.text
        );
        let operator = office.ask("GET", uri, &[("authorization", &office.token(Role::Operator))]).await;
        assert_ne!(operator.status, StatusCode::FORBIDDEN, "{uri}");
    }
}

#[tokio::test]
async fn sign_in_gives_a_cookie_that_no_script_and_no_other_page_has() {
    let office = Office::without_store();
    let wrong = office.sign_in("operator", "four words and less", &[]).await;
    assert_eq!((wrong.status, wrong.json()["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("wrong_credentials")));
    assert!(wrong.headers.get(header::SET_COOKIE).is_none());
    let nobody = office.sign_in("nobody", PASSWORD, &[]).await;
    assert_eq!(nobody.text, wrong.text, "the answer does not say who exists");
    let right = office.sign_in("operator", PASSWORD, &[]).await;
    assert_eq!(right.status, StatusCode::OK, "{}", right.text);
    let set = right.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Strict") && set.contains("; Path=/"), "{set}");
    assert_eq!(right.json()["role"], "operator");
    let cookie = cookie(&right);
    let calls = office.ask("GET", "/api/v1/calls", &[("cookie", &format!("a=b; {cookie}"))]).await;
    assert_eq!(calls.status, StatusCode::SERVICE_UNAVAILABLE, "let in");
    // What changes something has to come from a page of this service: a cookie comes along with requests of any page.
    let silence = json!({ "rule": "x", "hours": 1, "reason": "r" }).to_string();
    for (extra, status) in [
        (("sec-fetch-site", "same-origin"), 409),
        (("origin", "http://localhost:8080"), 409),
        (("sec-fetch-site", "cross-site"), 403),
        (("sec-fetch-site", "same-site"), 403),
        (("x-nothing", "1"), 403),
        (("origin", "http://evil.example"), 403),
    ] {
        let headers = [("cookie", cookie.as_str()), ("content-type", "application/json"), extra];
        let answer = office.ask_with("POST", "/api/v1/alerts/silences", &headers, &silence).await;
        assert_eq!(answer.status.as_u16(), status, "{extra:?}: {}", answer.text);
    }
    let who = office.ask("GET", "/api/v1/session", &[("cookie", &cookie)]).await.json();
    assert_eq!((&who["signed_in"], &who["user"], &who["open"]), (&json!(true), &json!("operator"), &json!(false)));
    let out = office.ask("DELETE", "/api/v1/session", &[("cookie", &cookie)]).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(office.ask("GET", "/api/v1/calls", &[("cookie", &cookie)]).await.status, StatusCode::UNAUTHORIZED);
    let who = office.ask("GET", "/api/v1/session", &[("cookie", &cookie)]).await.json();
    assert_eq!(
        (&who["signed_in"], &who["role"], &who["methods"]),
        (&json!(false), &json!(null), &json!(["password", "proxy"]))
    );
}

#[tokio::test]
async fn a_guesser_waits_and_others_do_not() {
    let office = Office::without_store();
    let stranger = [("peer", "192.0.2.9:4000")];
    for _ in 0..10 {
        assert_eq!(office.sign_in("admin", "guess", &stranger).await.status, StatusCode::UNAUTHORIZED);
    }
    let waits = office.sign_in("admin", PASSWORD, &stranger).await;
    assert_eq!(waits.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u32 = waits.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&seconds));
    assert_eq!(office.sign_in("admin", PASSWORD, &[("peer", "192.0.2.10:4000")]).await.status, StatusCode::OK);
    // A body that is no sign-in, and a page of a stranger.
    let form = office.ask_with("POST", "/api/v1/session", &[("content-type", "text/plain")], "{}").await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let more = [("content-type", "application/json")];
    let extra =
        office.ask_with("POST", "/api/v1/session", &more, r#"{"user":"a","password":"b","role":"admin"}"#).await;
    assert_eq!(extra.status, StatusCode::BAD_REQUEST);
    let huge = format!(r#"{{"user":"a","password":"{}"}}"#, "x".repeat(9000));
    let huge = office.ask_with("POST", "/api/v1/session", &more, &huge).await;
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn only_the_listed_proxy_may_say_who_its_clients_are() {
    let office = Office::without_store();
    for (headers, status) in [
        (&[("peer", "198.51.100.7:9"), ("x-forwarded-user", "operator")][..], 503),
        (&[("peer", "198.51.100.7:9"), ("x-forwarded-user", "mallory")], 401),
        (&[("peer", "198.51.100.7:9"), ("x-forwarded-user", "operator"), ("x-forwarded-user", "admin")], 401),
        (&[("peer", "198.51.100.7:9"), ("x-forwarded-user", "operator, admin")], 401),
        (&[("peer", "198.51.100.7:9")], 401),
        (&[("peer", "203.0.113.7:9"), ("x-forwarded-user", "operator")], 401),
        (&[("peer", "203.0.113.7:9"), ("x-forwarded-user", "operator"), ("x-forwarded-for", "198.51.100.7")], 401),
        (&[("peer", "127.0.0.1:9"), ("x-forwarded-user", "operator")], 401),
    ] {
        let answer = office.ask("GET", "/api/v1/calls", headers).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}: {}", answer.text);
    }
    // The last address that the proxies did not add themselves is the client.
    let forwarded = [
        ("peer", "198.51.100.7:9"),
        ("x-forwarded-user", "operator"),
        ("x-forwarded-for", "10.9.9.9, 192.0.2.33:5555, 198.51.100.8"),
    ];
    office.ask("GET", "/api/v1/calls?trunk=x", &forwarded).await;
    let row = office.rows().remove(0);
    assert_eq!((row.from, row.via, row.who.as_str()), ("192.0.2.33".parse().ok(), Via::Proxy, "operator"));
}

#[tokio::test]
async fn what_is_seen_searched_taken_and_changed_is_recorded_and_numbers_are_not() {
    let office = Office::without_store();
    let operator = office.token(Role::Operator);
    let from = [("authorization", operator.as_str()), ("peer", "192.0.2.1:9")];
    for uri in [
        "/api/v1/calls/000000000000000a",
        "/api/v1/calls?trunk=a",
        "/api/v1/calls?number=%2B49%2030%20123456",
        "/api/v1/timeline?number=004930123456",
        "/api/v1/calls?call_id=abc@host",
        "/api/v1/calls?format=csv",
        "/api/v1/intervals?trunk=a",
        "/api/v1/streams",
        "/api/v1/stats",
        "/api/v1/stats?group_by=src",
        "/api/v1/alerts",
        "/api/v1/calls/+4930123456",
        "/api/v1/calls?nummer=4930123456&class=good&number=4930123456",
        "/api/v1/live",
    ] {
        office.ask("GET", uri, &from).await;
    }
    let csv = [from[0], from[1], ("accept", "text/csv")];
    office.ask("GET", "/api/v1/streams", &csv).await;
    office.ask("DELETE", "/api/v1/alerts/silences/00c0ffee00c0ffee", &from).await;
    office.ask("GET", "/api/v1/audit", &from).await;
    office.ask("GET", "/api/v1/audit", &[("authorization", &office.token(Role::Admin))]).await;
    let rows = office.rows();
    let seen: Vec<(Action, &str)> = rows.iter().rev().map(|row| (row.action, row.what.as_str())).collect();
    let number = format!("hmac:{}", office.audit.pseudonym("4930123456"));
    let call_id = format!("hmac:{}", office.audit.pseudonym("abc@host"));
    assert_eq!(
        seen,
        [
            (Action::CallView, "calls/000000000000000a"),
            (Action::CallList, "calls?trunk=a"),
            (Action::CallSearch, &format!("calls?number={number}")),
            (Action::CallSearch, &format!("timeline?number={number}")),
            (Action::CallSearch, &format!("calls?call_id={call_id}")),
            (Action::Export, "calls?format=csv"),
            (Action::Export, "intervals?trunk=a"),
            (Action::StreamList, "streams"),
            (Action::CallSearch, "stats?group_by=src"),
            (Action::CallView, "calls/?"),
            (Action::CallSearch, &format!("calls?number={number}&nummer=?&class=good")),
            (Action::CallList, "live"),
            (Action::Export, "streams"),
            (Action::SilenceEnd, "alerts/silences/00c0ffee00c0ffee"),
            (Action::Denied, "GET /api/v1/audit"),
            (Action::AuditView, "audit"),
        ]
    );
    assert!(rows.iter().all(|row| !row.what.contains("123456")));
    assert_eq!((rows[1].who.as_str(), rows[1].from), ("operator-token", "192.0.2.1".parse().ok()));
    office.audit.verify(None).unwrap();
    // A sign-in is recorded, and a password in the field of the user is not.
    office.sign_in("operator", "wrong password here", &[]).await;
    office.sign_in("my secret password", PASSWORD, &[]).await;
    office.sign_in("operator", PASSWORD, &[]).await;
    let rows = office.rows();
    assert_eq!((rows[0].action, rows[1].action, rows[2].action), (Action::SignIn, Action::SignIn, Action::AuditView));
    assert!(rows.iter().all(|row| !row.who.contains("secret")));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_shown() {
    let office = Office::without_store();
    std::fs::remove_dir_all(office.dir.path().join("audit")).unwrap();
    let answer = office.ask("GET", "/api/v1/calls", &[("authorization", &office.token(Role::Operator))]).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("not_recorded"))
    );
    assert_eq!(office.sign_in("operator", PASSWORD, &[]).await.json()["code"], "not_recorded");
    let figures = office.ask("GET", "/api/v1/stats", &[("authorization", &office.token(Role::Viewer))]).await;
    assert_eq!(figures.json()["code"], "store_unavailable", "what is not recorded goes on");
}

/// Rows of two trunks and two probes.
async fn two_trunks(world: &World) {
    for (uid, trunk, probe) in [(10, "a", "probe-1"), (11, "b", "probe-1"), (12, "a", "probe-2"), (13, "", "probe-1")] {
        let party =
            json!({ "trunk": trunk, "probe": probe, "caller_user": format!("49301000{uid}"), "streams": [uid] });
        world.insert("calls", &[call(uid, 0, party)]).await;
        let labels = json!({ "trunk": trunk, "probe": probe });
        world.insert("streams", &[stream(uid, uid, 0, labels.clone())]).await;
        let interval = json!({ "trunk": trunk, "probe": probe, "start_at": "2026-03-01 12:00:00", "length_ms": 10_000, "expected": 500 });
        let mut interval = crate::world::merged(stream(uid, uid, 0, json!({})), interval);
        for extra in ["first_at", "last_at"] {
            interval.as_object_mut().unwrap().remove(extra);
        }
        world.insert("stream_intervals", &[interval]).await;
        let message = json!({
            "stored_at": crate::world::STORED, "probe": probe, "call_uid": uid, "at": sql_time(START), "src_ip": "::ffff:192.0.2.1",
            "dst_ip": "::ffff:192.0.2.2", "method": "INVITE", "headers": "Subject: from a message", "row_id": uid,
        });
        world.insert("sip_messages", &[message]).await;
    }
}

#[tokio::test]
async fn a_scope_hides_all_other_trunks_and_probes_on_every_route() {
    let Some(world) = World::new("scopes").await else { return };
    two_trunks(&world).await;
    for (uid, trunk) in [(20, "a"), (21, "b")] {
        world.live.publish(&crate::routes::changed(uid, CallState::Established, None), trunk);
    }
    let office = Office::new(world.reader.clone(), world.live.clone());
    let all = office.token(Role::Admin);
    let trunk = office.scoped("of-a", Role::Investigator, Scope { probes: None, trunks: Some(vec!["a".into()]) });
    let probe = office.scoped("of-2", Role::Investigator, Scope { probes: Some(vec!["probe-2".into()]), trunks: None });
    let none = office.scoped("of-none", Role::Investigator, Scope { probes: None, trunks: Some(Vec::new()) });
    let window = "from=2026-03-01T11:00:00Z&to=2026-03-01T13:00:00Z";
    let ids = |answer: &Answer, list: &str| -> Vec<String> {
        let json = answer.json();
        json[list]
            .as_array()
            .unwrap_or_else(|| panic!("{}", answer.text))
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    for (token, calls, running) in [(&all, 4, 2), (&trunk, 2, 1), (&probe, 1, 0), (&none, 0, 0)] {
        let ask = |uri: String| {
            let token = token.clone();
            let office = &office;
            async move { office.ask("GET", &uri, &[("authorization", &token)]).await }
        };
        assert_eq!(ids(&ask(format!("/api/v1/calls?{window}")).await, "calls").len(), calls);
        assert_eq!(ids(&ask(format!("/api/v1/calls?{window}&number=4930")).await, "calls").len(), 0);
        assert_eq!(
            ids(&ask(format!("/api/v1/calls?{window}&number=4930100010")).await, "calls").len(),
            usize::from(token == &all || token == &trunk)
        );
        assert_eq!(ids(&ask(format!("/api/v1/calls?{window}&codec=PCMU")).await, "calls").len(), calls);
        assert_eq!(ids(&ask(format!("/api/v1/streams?{window}")).await, "streams").len(), calls);
        assert_eq!(
            ids(
                &ask("/api/v1/calls?state=active&from=2026-01-01T00:00:00Z&to=2026-01-30T00:00:00Z".to_owned()).await,
                "calls"
            )
            .len(),
            0
        );
        let range = ask("/api/v1/range".to_owned()).await.json();
        assert_eq!((range["calls"].as_u64(), range["streams"].as_u64()), (Some(calls as u64), Some(calls as u64)));
        let csv = ask(format!("/api/v1/calls?{window}&format=csv")).await;
        assert_eq!(csv.text.lines().count(), calls + 1, "{}", csv.text);
        let intervals = ask(format!("/api/v1/intervals?{window}")).await;
        assert_eq!(intervals.text.lines().count(), calls + 1);
        let stats = ask(format!("/api/v1/stats?{window}&group_by=src")).await.json();
        let streams: u64 =
            stats["groups"].as_array().into_iter().flatten().filter_map(|group| group["streams"].as_u64()).sum();
        assert_eq!(streams, calls as u64, "{stats}");
        let timeline = ask(format!("/api/v1/timeline?{window}&number=49301000")).await;
        assert!(!timeline.text.contains("error"), "{}", timeline.text);
        for (uid, of_trunk, of_probe) in [(10, true, false), (11, false, false), (12, true, true), (13, false, false)] {
            let answer = ask(format!("/api/v1/calls/{uid:016x}")).await;
            let seen = token == &all || token == &trunk && of_trunk || token == &probe && of_probe;
            assert_eq!(answer.status == StatusCode::OK, seen, "{uid}: {}", answer.text);
            assert!(!seen || answer.json()["ladder"].as_array().is_some_and(|ladder| ladder.len() == 1));
        }
        let live = [ask(format!("/api/v1/calls/{:016x}", 20)).await, ask(format!("/api/v1/calls/{:016x}", 21)).await];
        assert_eq!(live.iter().filter(|answer| answer.status == StatusCode::OK).count(), running);
    }
    // A name with quotes is a name.
    let quoted = Scope { probes: None, trunks: Some(vec!["x') OR ('1'='1".into(), "it's \\".into()]) };
    let quoted = office.scoped("quoted", Role::Operator, quoted);
    let answer = office.ask("GET", &format!("/api/v1/calls?{window}"), &[("authorization", &quoted)]).await;
    assert_eq!(ids(&answer, "calls").len(), 0);
}

#[tokio::test]
async fn an_operator_gets_a_call_without_its_messages() {
    let Some(world) = World::new("withheld").await else { return };
    two_trunks(&world).await;
    let office = Office::new(world.reader.clone(), world.live.clone());
    for (role, withheld) in [(Role::Operator, true), (Role::Investigator, false), (Role::Admin, false)] {
        let answer =
            office.ask("GET", "/api/v1/calls/000000000000000a", &[("authorization", &office.token(role))]).await;
        let json = answer.json();
        assert_eq!(json["messages_withheld"], withheld, "{}", role.name());
        assert_eq!(json["ladder"].as_array().map(Vec::len), Some(usize::from(!withheld)));
        assert_eq!(answer.text.contains("from a message"), !withheld);
    }
}

#[tokio::test]
async fn without_users_everybody_on_this_host_may_everything_and_nobody_else() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let router = crate::world::service(Client::default().with_url("http://127.0.0.1:1"), live, true);
    let session = get(&router, "/api/v1/session").await.json();
    assert_eq!(
        (&session["open"], &session["signed_in"], &session["role"]),
        (&json!(true), &json!(false), &json!("admin"))
    );
    for (peer, status) in [("127.0.0.1:9", 503), ("[::1]:9", 503), ("192.0.2.1:9", 401)] {
        let mut request = Request::get("/api/v1/calls").header(header::HOST, "localhost").body(Body::empty()).unwrap();
        request.extensions_mut().insert(PeerAddress(peer.parse().unwrap()));
        assert_eq!(router.clone().oneshot(request).await.unwrap().status().as_u16(), status, "{peer}");
    }
}

#[tokio::test]
async fn a_stream_of_events_ends_with_the_rights_to_it() {
    use tokio_stream::StreamExt;
    let office = Office::without_store();
    let text = office.scoped("wall", Role::Viewer, Scope::all());
    let request = Request::get("/api/v1/live").header(header::HOST, "localhost").header(header::AUTHORIZATION, &text);
    let response = office.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut events = response.into_body().into_data_stream();
    assert!(events.next().await.is_some());
    AccessFile::change(office.dir.path(), |file| file.revoke_token("wall")).unwrap();
    office.access.refresh().unwrap();
    let ended =
        tokio::time::timeout(std::time::Duration::from_secs(10), async { while events.next().await.is_some() {} });
    ended.await.expect("the stream ends");
}

/// The table of docs/security.md.
fn table() -> String {
    let mut text = "| method | route | needs | scope |\n|---|---|---|---|\n".to_owned();
    for rule in RULES {
        let (needs, scope) = match rule.needs {
            Needs::Nobody => ("nobody", "-"),
            Needs::Role(role) => (role.name(), "rows of it"),
            Needs::Whole(role) => (role.name(), "everything alone"),
        };
        text.push_str(&format!("| {} | `{}` | {needs} | {scope} |\n", rule.method, rule.path));
    }
    text
}

#[test]
fn the_documents_have_the_table_of_routes_and_roles() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once("<!-- Routes and roles: written by tests/api/access.rs -->\n").unwrap();
    let (written, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var_os("AUSCULT_WRITE_DOCS").is_some() {
        let marked = "<!-- Routes and roles: written by tests/api/access.rs -->\n";
        std::fs::write(path, format!("{before}{marked}{}<!-- end -->{after}", table())).unwrap();
        return;
    }
    assert_eq!(written, table(), "run with AUSCULT_WRITE_DOCS=1 and commit docs/security.md");
}
