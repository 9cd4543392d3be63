//! Users, tokens and the audit log by commands, before, beside and after a running program; secrets in no log.

use crate::program::{End, Program, command, end_of, http, run_arguments, sql};
use crate::{engine, read, samples, temporary};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

const PASSWORD: &str = "plum-orchard-7-trains";

/// `auscult ARGUMENTS --data DATA`, with a password on standard input.
fn auscult(data: &Path, arguments: &[&str], password: Option<&str>) -> End {
    let mut all: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    all.extend(["--data".to_owned(), data.display().to_string()]);
    if password.is_some() {
        all.extend(["--password-file".to_owned(), "-".to_owned()]);
    }
    let mut child = command(&all).stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    writeln!(input, "{}", password.unwrap_or_default()).expect("it reads");
    drop(input);
    let out = child.wait_with_output().expect("it ends");
    let lines = |text: &[u8], mark: &str| -> Vec<String> {
        String::from_utf8_lossy(text).lines().map(|line| format!("{mark}{line}")).collect()
    };
    let mut said = lines(&out.stdout, "");
    said.extend(lines(&out.stderr, "! "));
    End { code: out.status.code().unwrap_or(-1), said }
}

#[track_caller]
fn good(data: &Path, arguments: &[&str], password: Option<&str>) -> String {
    let end = auscult(data, arguments, password);
    assert_eq!(end.code, 0, "{arguments:?}: {end:?}");
    end.said.join("\n")
}

#[track_caller]
fn refused(data: &Path, arguments: &[&str], password: Option<&str>) -> String {
    let end = auscult(data, arguments, password);
    assert_eq!(end.code, 1, "{arguments:?}: {end:?}");
    end.error().to_owned()
}

fn token(data: &Path, name: &str, role: &str) -> String {
    let said = good(data, &["token", "add", name, "--role", role], None);
    said.lines().find(|line| line.starts_with("auscult_")).expect("its text").to_owned()
}

fn status(api: SocketAddr, path: &str, headers: &str) -> u16 {
    http(api, "GET", path, headers, "").0
}

/// The program looks at users and tokens every second.
#[track_caller]
fn until(api: SocketAddr, path: &str, headers: &str, wanted: u16) {
    for _ in 0..200 {
        if status(api, path, headers) == wanted {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{path} is not answered {wanted}, but {}", status(api, path, headers));
}

#[test]
fn commands_change_users_and_tokens_and_say_what_is_wrong_in_one_line() {
    let dir = temporary();
    let data = dir.path();
    assert!(
        refused(data, &["user", "add", "eve", "--role", "viewer"], Some(PASSWORD))
            .contains("first user must have role admin")
    );
    assert!(
        refused(data, &["user", "add", "eve", "--role", "root"], Some(PASSWORD))
            .contains("choose one of viewer, operator")
    );
    assert!(refused(data, &["user", "add", "eve", "--role", "admin"], Some("short")).contains("it needs 12"));
    assert!(
        refused(data, &["user", "add", "eve mallory", "--role", "admin"], Some(PASSWORD)).contains("cannot be a name")
    );
    let said = good(data, &["user", "add", "alice", "--role", "admin"], Some(PASSWORD));
    assert!(said.contains("from now on everybody has to sign in"), "{said}");
    good(data, &["user", "add", "bob", "--role", "operator", "--trunk", "a", "--trunk", "b"], Some(PASSWORD));
    good(data, &["user", "add", "proxied", "--role", "viewer", "--no-password"], None);
    assert!(refused(data, &["user", "add", "bob", "--role", "viewer"], Some(PASSWORD)).contains("already"));
    assert!(refused(data, &["user", "remove", "alice"], None).contains("last admin"));
    assert!(refused(data, &["user", "remove", "carol"], None).contains("no user carol"));
    let listed = good(data, &["user", "list"], None);
    assert!(
        listed.contains("bob: operator trunks a, b, since 20") && listed.contains("proxied: viewer, no password"),
        "{listed}"
    );
    good(data, &["user", "role", "bob", "--role", "viewer"], None);
    good(data, &["user", "password", "bob"], Some("another-long-password"));
    good(data, &["user", "remove", "bob"], None);
    let text = token(data, "prometheus", "viewer");
    good(data, &["token", "add", "old", "--role", "viewer", "--expires", "0"], None);
    let listed = good(data, &["token", "list"], None);
    assert!(
        listed.contains("prometheus: viewer, since 20") && listed.contains("old: viewer") && listed.contains("expired"),
        "{listed}"
    );
    assert!(!listed.contains(&text));
    good(data, &["token", "revoke", "prometheus"], None);
    assert!(refused(data, &["token", "revoke", "prometheus"], None).contains("no token prometheus"));
    // Everything is in the log, and no secret.
    let log = good(data, &["audit", "list"], None);
    for action in ["user_add", "user_change", "user_remove", "token_add", "token_revoke"] {
        assert!(log.contains(action), "{action}\n{log}");
    }
    let whole = good(data, &["audit", "verify"], None);
    let head = whole.rsplit("head ").next().expect("a head").trim().to_owned();
    assert!(whole.starts_with("whole: rows 1 to 9"), "{whole}");
    good(data, &["audit", "verify", "--head", &head], None);
    assert!(refused(data, &["audit", "verify", "--head", "x"], None).contains("--head must be"));
    let mut files = Vec::new();
    for entry in
        std::fs::read_dir(data.join("access")).unwrap().chain(std::fs::read_dir(data.join("access/audit")).unwrap())
    {
        let path = entry.unwrap().path();
        if path.is_file() {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o077, 0, "{}", path.display());
            files.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    assert!(files.len() >= 4 && files.iter().all(|file| !file.contains(PASSWORD) && !file.contains(&text)));
    // A row that is changed.
    let segment = data.join("access/audit/000000000001.jsonl");
    let rows = std::fs::read_to_string(&segment).unwrap().replace("proxied: viewer", "proxied: admin");
    std::fs::write(&segment, rows).unwrap();
    assert!(refused(data, &["audit", "verify"], None).contains("the audit log is not whole: "));
}

#[test]
fn the_first_user_closes_a_running_program_and_secrets_are_in_no_log() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let (data, files) = (dir.path().join("data"), samples());
    let config = dir.path().join("auscult.toml");
    let store_token = dir.path().join("store.token");
    std::fs::write(&store_token, "the-store-token\n").unwrap();
    std::fs::write(
        &config,
        format!("[store]\nlisten = \"127.0.0.1:0\"\ntoken_file = {store_token:?}\ntoken_role = \"viewer\"\n"),
    )
    .unwrap();
    let config = config.display().to_string();
    let mut arguments = run_arguments(&data, &read(&files, &["--config", &config]));
    arguments.retain(|argument| !argument.is_empty());
    let mut program = Program::spawn(command(&arguments).env("RUST_LOG", "trace"));
    program.until("nobody has to sign in");
    let store = program.address("the store answers ClickHouse's HTTP interface, read-only, on http://");
    let api = program.api();
    program.until("stored 89 calls");
    assert_eq!(status(api, "/api/v1/calls", ""), 200);
    good(&data, &["user", "add", "alice", "--role", "admin"], Some(PASSWORD));
    until(api, "/api/v1/calls", "", 401);
    for (path, expected) in
        [("/metrics", 401), ("/version", 401), ("/healthz", 200), ("/readyz", 200), ("/api/v1/session", 200)]
    {
        assert_eq!(status(api, path, ""), expected, "{path}");
    }
    // By password.
    let body = format!("{{\"user\":\"alice\",\"password\":\"{PASSWORD}\"}}");
    let (wrong, _) =
        http(api, "POST", "/api/v1/session", "Content-Type: application/json\r\n", &body.replace("7", "8"));
    assert_eq!(wrong, 401);
    let (signed_in, answer) = http(api, "POST", "/api/v1/session", "Content-Type: application/json\r\n", &body);
    assert!(signed_in == 200 && answer.contains("\"admin\""), "{answer}");
    // By token: API and store.
    let (viewer, investigator) = (token(&data, "prometheus", "viewer"), token(&data, "grafana", "investigator"));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    until(api, "/metrics", &bearer(&viewer), 200);
    assert_eq!(status(api, "/api/v1/calls", &bearer(&viewer)), 403);
    until(api, "/api/v1/calls?number=4930", &bearer(&investigator), 200);
    for (token, statement, expected) in [
        ("the-store-token", "SELECT count() FROM media_groups", 200),
        ("the-store-token", "SELECT count() FROM calls", 403),
        (&viewer, "SELECT count() FROM calls_without_parties", 200),
        (&viewer, "SELECT count() FROM streams", 403),
        (&investigator, "SELECT count() FROM calls WHERE caller_user = '4930123456'", 200),
        (&investigator, "SELECT count() FROM sip_messages", 200),
        ("guess", "SELECT 1", 401),
    ] {
        let (status, answer) = sql(store, Some(token), statement);
        assert_eq!(status, expected, "{statement}: {answer}");
    }
    let log = good(&data, &["audit", "list", "--who", "grafana"], None);
    assert!(log.contains("call_search") && log.contains("store_query allowed tables sip_messages"), "{log}");
    let searched = good(&data, &["audit", "list", "--number", "+49 30 123456"], None);
    assert!(searched.contains("store_query") && searched.contains("tables calls"), "{searched}");
    good(&data, &["token", "revoke", "grafana"], None);
    until(api, "/api/v1/calls", &bearer(&investigator), 401);
    // Open to others only with users, and again after the file is moved away.
    std::fs::rename(data.join("access/users.json"), data.join("access/users.kept")).unwrap();
    program.until("it was there at the start and is gone");
    assert_eq!(status(api, "/api/v1/calls", ""), 401, "a file that is moved away opens nothing");
    std::fs::rename(data.join("access/users.kept"), data.join("access/users.json")).unwrap();
    program.until("users and tokens were read again");
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
    let said = end.said.join("\n");
    for secret in [PASSWORD, &viewer, &investigator, "the-store-token", "8-trains"] {
        assert!(!said.contains(secret), "{secret} is in the log");
    }
    assert!(said.len() > 10_000, "the log is that of trace");
    good(&data, &["audit", "verify"], None);
}

#[test]
fn an_address_that_others_reach_takes_users_and_check_config_says_so() {
    let dir = temporary();
    let data = dir.path().join("data");
    let config = dir.path().join("auscult.toml");
    std::fs::write(&config, format!("[store]\ndata = {data:?}\n[api]\nlisten = \"0.0.0.0:0\"\nplain_http = true\n"))
        .unwrap();
    let config = config.display().to_string();
    for arguments in [vec!["check-config", &config], vec!["run", "--config", &config]] {
        let end = end_of(&arguments);
        assert!(
            end.code == 1 && end.error().contains("there are no users: run `auscult user add --role admin"),
            "{end:?}"
        );
    }
    good(&data, &["user", "add", "alice", "--role", "admin"], Some(PASSWORD));
    assert_eq!(end_of(&["check-config", &config]).code, 0);
}
