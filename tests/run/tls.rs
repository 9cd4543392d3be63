//! TLS: page, API and store endpoint, certificates exchanged while the program runs, and what is refused.

use crate::program::{End, Program, TOKEN, command, end_of};
use crate::{engine, read, sample, temporary};
use auscult_http::tls::{Authorities, ClientTls};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use testkit::certificates::{Authority, DAY, Files, now_s};

const WAIT: Duration = Duration::from_secs(120);

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, client: &ClientTls) -> Stream {
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(WAIT)).expect("a timeout");
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(client.config().expect("a client")), name).expect("a client");
    StreamOwned::new(connection, socket)
}

/// Sends a request and reads the answer to the end of the connection.
fn ask(address: SocketAddr, client: &ClientTls, request: &str) -> io::Result<(String, Vec<u8>)> {
    let mut stream = connect(address, client);
    stream.write_all(format!("{request}\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let shown = stream.conn.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec());
    Ok((answer, shown.unwrap_or_default()))
}

/// Asks on a connection that stays open.
fn ask_again(stream: &mut Stream) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("an open connection");
    let mut answer = [0; 4096];
    let bytes = stream.read(&mut answer).expect("an answer");
    assert!(answer[..bytes].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..bytes]));
}

fn trusting(dir: &Path, authority: &Authority) -> (PathBuf, ClientTls) {
    let file = dir.join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let authorities = Some(Authorities::load(&file).expect("an authority"));
    (file, ClientTls { authorities, identity: None })
}

fn tls_section(section: &str, files: &Files) -> String {
    format!("[{section}.tls]\ncertificate_file = {:?}\nkey_file = {:?}\n", files.certificate, files.key)
}

#[test]
fn a_certificate_is_exchanged_while_the_program_runs() {
    if !engine() {
        return;
    }
    let (dir, authority) = (temporary(), Authority::new());
    let files = authority.issue(&["localhost"]).write(dir.path(), "server");
    let (_, trusted) = trusting(dir.path(), &authority);
    let (file, token) = (dir.path().join("auscult.toml"), dir.path().join("token"));
    std::fs::write(&token, TOKEN).expect("a file");
    let store = format!("[store]\nlisten = \"127.0.0.1:0\"\ntoken_file = {token:?}\n");
    std::fs::write(&file, format!("{}{store}{}", tls_section("api", &files), tls_section("store", &files)))
        .expect("a file");
    let config = file.display().to_string();
    let mut program = Program::run(&dir.path().join("data"), &["-c", &config]);
    let store = program.address("read-only, on https://");
    let api = program.address(" on https://");

    let (metrics, first) = ask(api, &trusted, "GET /metrics HTTP/1.1").expect("an answer");
    assert!(metrics.contains("auscult_certificate_expiry_timestamp_seconds{use=\"store\"}"), "{metrics}");
    let query = format!("GET /?query=SELECT+1 HTTP/1.1\r\nx-clickhouse-key: {TOKEN}");
    let (one, _) = ask(store, &trusted, &query).expect("an answer");
    assert!(one.starts_with("HTTP/1.1 200"), "{one}");
    let (status, plain) = crate::program::get(api, "/healthz");
    assert!(status == 400 && plain.contains("takes HTTPS only"), "{status} {plain}");
    let stranger = ask(api, &ClientTls::default(), "GET / HTTP/1.1").expect_err("its authority is not trusted");
    assert!(stranger.to_string().contains("UnknownIssuer"), "{stranger}");
    let mut old = connect(api, &trusted);
    ask_again(&mut old);

    authority.issue(&["localhost"]).write(dir.path(), "server");
    for _ in ["api", "store"] {
        program.until(" is in use, valid until ");
    }
    let (_, second) = ask(api, &trusted, "GET /healthz HTTP/1.1").expect("an answer");
    assert_ne!(first, second);
    ask_again(&mut old);
    let doctor = command(&["doctor", "-c", &config, "--listen", &api.to_string()]).output().expect("a report");
    let report = String::from_utf8_lossy(&doctor.stdout);
    assert!(report.contains(&format!("https://{api}: 0 frames read")), "{report}");
    assert!(report.contains("certificate api") && report.contains("is valid until 20"), "{report}");

    // A key of another pair, from the next look on; SIGHUP refuses the whole file.
    let other = authority.issue(&["localhost"]);
    std::fs::write(&files.key, &other.key).expect("a file");
    let line = program.until("! auscult: the certificate for api stays as it was: the key ");
    assert!(line.contains("does not belong to the first certificate"), "{line}");
    program.signal("HUP");
    program.until("SIGHUP: nothing changed: ");
    assert_eq!(ask(api, &trusted, "GET /healthz HTTP/1.1").expect("an answer").1, second);
    let (metrics, _) = ask(api, &trusted, "GET /metrics HTTP/1.1").expect("an answer");
    assert!(metrics.contains("auscult_certificate_outdated{use=\"api\"} 1"), "{metrics}");
    std::fs::write(&files.certificate, &other.certificate).expect("a file");
    program.signal("HUP");
    program.until("a new certificate for api is in use");
    assert_ne!(ask(api, &trusted, "GET /healthz HTTP/1.1").expect("an answer").1, second);
    assert_eq!(program.terminate().code, 0);
}

/// `run` and `check-config` refuse the same files with the same words.
#[test]
fn what_cannot_be_used_is_refused_at_the_start_and_by_check_config() {
    let (dir, authority) = (temporary(), Authority::new());
    let now = now_s();
    let good = authority.issue(&["localhost"]).write(dir.path(), "good");
    let other = authority.issue(&["localhost"]).write(dir.path(), "other");
    let old = authority.issue_for(&["localhost"], now - 2 * DAY, now - DAY).write(dir.path(), "old");
    let open = authority.issue(&["localhost"]).write(dir.path(), "open");
    std::fs::set_permissions(&open.key, PermissionsExt::from_mode(0o644)).expect("a mode");
    let token = dir.path().join("token");
    std::fs::write(&token, TOKEN).expect("a file");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).expect("a mode");
    let mixed = Files { certificate: good.certificate.clone(), key: other.key };
    let client = format!("client_certificate_file = {:?}\n", good.certificate);
    let reached = |more: &str| {
        format!("[store]\nlisten = \"0.0.0.0:0\"\ntoken_file = {token:?}\ntoken_role = \"viewer\"\n{more}")
    };
    for (text, says) in [
        (tls_section("api", &mixed), "api.tls.certificate_file: the key "),
        (tls_section("store", &old), "store.tls.certificate_file: the certificate "),
        (tls_section("api", &open), "can be read or changed by other users: chmod 600 "),
        (format!("[api.tls]\nkey_file = {:?}\n", good.key), "api.tls.key_file needs api.tls.certificate_file"),
        (format!("[alerts]\n{client}"), "alerts.client_certificate_file needs alerts.client_key_file"),
        (format!("[store]\n{client}"), "store.client_certificate_file needs store.client_key_file"),
        (format!("[store]\nca_file = {token:?}\n"), "store.ca_file: "),
        (
            format!("[store]\nclickhouse = \"http://db\"\nca_file = {:?}\n", good.certificate),
            "need a store.clickhouse that begins with https://",
        ),
        ("[store]\nclickhouse = \"db:8123\"\n".to_owned(), "it must start with http:// or https://"),
        ("[api]\nlisten = \"0.0.0.0:0\"\n".to_owned(), "api.listen = \"0.0.0.0:0\": other hosts reach this address"),
        (reached(""), "allow it with store.plain_http = true"),
    ] {
        let file = dir.path().join("auscult.toml");
        std::fs::write(&file, &text).expect("a file");
        let file = file.display().to_string();
        let data = dir.path().join("data").display().to_string();
        let check = end_of(&["check-config", &file]);
        let run = end_of(&["run", "-c", &file, "--data", &data]);
        for end in [&check, &run] {
            assert!(end.code == 1 && end.error().contains(says), "{says}: {end:?}");
        }
    }
    let password = dir.path().join("password");
    std::fs::write(&password, "plum-orchard-7-trains").expect("a file");
    let (password, users) = (password.display().to_string(), dir.path().join("data").display().to_string());
    let added = end_of(&["user", "add", "root", "--role", "admin", "--password-file", &password, "--data", &users]);
    assert_eq!(added.code, 0, "{added:?}");
    for text in [
        "[api]\nlisten = \"0.0.0.0:0\"\nplain_http = true\n".to_owned(),
        format!("[api]\nlisten = \"[::]:0\"\n{}", tls_section("api", &good)),
        reached("plain_http = true\n"),
        reached(&tls_section("store", &good)),
        format!("[store]\nclickhouse = \"https://db\"\nca_file = {:?}\n", good.certificate),
    ] {
        let file = dir.path().join("auscult.toml");
        std::fs::write(&file, &text).expect("a file");
        // Its data are in the working directory.
        let check =
            Program::spawn(command(&["check-config", &file.display().to_string()]).current_dir(dir.path())).end();
        assert!(check.code == 0 && !check.says("warning"), "{text}: {check:?}");
    }
    let data = dir.path().join("data").display().to_string();
    let by_flag = end_of(&["run", "--data", &data, "--listen", "0.0.0.0:0"]);
    assert!(
        by_flag.code == 1 && by_flag.error().contains("set certificate_file and key_file in [api.tls]"),
        "{by_flag:?}"
    );
    let soon = authority.issue_for(&["localhost"], now - 80 * DAY, now + 10 * DAY).write(dir.path(), "soon");
    let file = dir.path().join("auscult.toml");
    std::fs::write(&file, tls_section("api", &soon)).expect("a file");
    let check = end_of(&["check-config", &file.display().to_string()]);
    assert!(check.code == 0 && check.says("warning: api.tls.certificate_file: the certificate "), "{check:?}");
    assert!(check.says("days: renew it"), "{check:?}");
}

#[test]
fn rows_go_to_a_server_in_tls_and_to_no_other() {
    if !engine() {
        return;
    }
    let (dir, authority) = (temporary(), Authority::new());
    let files = authority.issue(&["localhost"]).write(dir.path(), "server");
    let (store, certificate, key) = (dir.path().join("server"), files.certificate.display(), files.key.display());
    let mut server = Program::start(&[
        "store-endpoint",
        "--data",
        &store.display().to_string(),
        "--token",
        TOKEN,
        "--writable",
        "--tls-certificate",
        &certificate.to_string(),
        "--tls-key",
        &key.to_string(),
    ]);
    let address = server.address("store endpoint on https://");
    let (password, file) = (dir.path().join("password"), dir.path().join("auscult.toml"));
    std::fs::write(&password, TOKEN).expect("a file");
    let captures = [sample("05-failed")];
    let run = |authority: &Authority| -> End {
        let (ca, _) = trusting(dir.path(), authority);
        let url = format!("https://localhost:{}", address.port());
        let text = format!("[store]\nclickhouse = \"{url}\"\npassword_file = {password:?}\nca_file = {ca:?}\n");
        std::fs::write(&file, text).expect("a file");
        let (file, data) = (file.display().to_string(), dir.path().join("data").display().to_string());
        let more = ["run", "-c", &file, "--data", &data, "--listen", "127.0.0.1:0"];
        end_of(&more.into_iter().chain(read(&captures, &["--exit"])).collect::<Vec<_>>())
    };
    let refused = run(&Authority::new());
    let why = "invalid peer certificate: UnknownIssuer; name the authority that issued it in store.ca_file";
    assert!(refused.code == 1 && refused.error().contains(why), "{refused:?}");
    let stored = run(&authority);
    assert!(stored.code == 0, "{stored:?}");
    let (_, trusted) = trusting(dir.path(), &authority);
    let query = format!("GET /?query=SELECT+count()+FROM+auscult.calls HTTP/1.1\r\nx-clickhouse-key: {TOKEN}");
    let (answer, _) = ask(address, &trusted, &query).expect("an answer");
    let calls = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    assert!(calls.contains(|digit: char| ('1'..='9').contains(&digit)), "{answer}");
}
