//! Sign-in at a real provider: npm's `oidc-provider`, which `make test-tools` installs in `testkit/oidc`.

use crate::program::{Program, command};
use crate::{engine, temporary};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const SECRET: &str = "a secret of this test";

/// The provider as a child; killed when dropped.
struct Provider {
    child: Child,
    issuer: String,
    /// Kept open: the provider ends when it cannot write to it.
    _output: BufReader<ChildStdout>,
}

impl Provider {
    /// `None`, with a line that says so, where Node.js or the package is absent.
    fn start(redirect_url: &str) -> Option<Provider> {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testkit/oidc");
        if !dir.join("node_modules/oidc-provider").exists() {
            testkit::skip("npm's oidc-provider is absent; make test-tools installs it");
            return None;
        }
        let arguments = ["provider.mjs", "auscult", SECRET, redirect_url, "alice", "voice-ops"];
        let started = Command::new("node")
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = started else {
            testkit::skip("node is absent");
            return None;
        };
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let issuer = line.trim().strip_prefix("issuer ").expect("it says where it is").to_owned();
        Some(Provider { child, issuer, _output: output })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Follows redirects and keeps cookies of each origin, as a browser does.
struct Browser {
    agent: ureq::Agent,
    cookies: BTreeMap<(String, String), String>,
}

struct Page {
    status: u16,
    location: Option<String>,
    text: String,
}

fn origin(url: &str) -> String {
    url.split('/').take(3).collect::<Vec<_>>().join("/")
}

impl Browser {
    fn new() -> Browser {
        let config = ureq::Agent::config_builder().max_redirects(0).max_redirects_will_error(false);
        let agent = config.http_status_as_error(false).proxy(None).build().new_agent();
        Browser { agent, cookies: BTreeMap::new() }
    }

    fn get(&mut self, url: &str) -> Page {
        let own = origin(url);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|((origin, _), value)| *origin == own && !value.is_empty())
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let mut answer = self.agent.get(url).header("cookie", cookies.join("; ")).call().unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert((own.clone(), name.to_owned()), value.to_owned());
        }
        let location = answer.headers().get("location").map(|to| {
            let to = to.to_str().unwrap();
            if to.starts_with('/') { format!("{own}{to}") } else { to.to_owned() }
        });
        Page { status: answer.status().as_u16(), location, text: answer.body_mut().read_to_string().unwrap() }
    }

    /// Addresses that it is sent to, until one that is no redirect or that `ends` knows.
    fn follow(&mut self, url: &str, ends: impl Fn(&str) -> bool) -> Vec<String> {
        let mut visited = vec![url.to_owned()];
        for _ in 0..20 {
            let Some(next) = self.get(visited.last().unwrap()).location else { break };
            visited.push(next);
            if ends(visited.last().unwrap()) {
                break;
            }
        }
        visited
    }
}

fn write_config(dir: &Path, port: u16, issuer: &str) -> PathBuf {
    let (path, secret) = (dir.join("auscult.toml"), dir.join("secret"));
    std::fs::write(&secret, SECRET).unwrap();
    let text = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\n[access.oidc]\nissuer = \"{issuer}\"\nclient_id = \"auscult\"\nclient_secret_file = {secret:?}\n\
         redirect_url = \"http://127.0.0.1:{port}/api/v1/session/oidc/callback\"\nname = \"Directory\"\n\
         scopes = [\"openid\", \"profile\"]\n[access.oidc.roles]\nvoice-ops = \"operator\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn somebody_signs_in_at_a_real_provider() {
    if !engine() {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let service = format!("http://127.0.0.1:{port}");
    let Some(provider) = Provider::start(&format!("{service}/api/v1/session/oidc/callback")) else { return };
    let dir = temporary();
    let (config, data) = (write_config(dir.path(), port, &provider.issuer), dir.path().join("data"));
    let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
    let mut program = Program::start(&["run", "--config", config, "--data", data]);
    program.until(" on http://");

    let mut browser = Browser::new();
    let session = browser.get(&format!("{service}/api/v1/session")).text;
    assert!(session.contains(r#""open":false"#) && session.contains(r#""methods":["oidc"]"#), "{session}");
    assert!(session.contains(r#""provider":"Directory""#), "{session}");
    assert_eq!(browser.get(&format!("{service}/api/v1/stats")).status, 401);

    let wanted = format!("{service}/stats?trunk=a");
    let visited =
        browser.follow(&format!("{service}/api/v1/session/oidc?return_to=%2Fstats%3Ftrunk%3Da"), |url| url == wanted);
    assert_eq!(visited.last(), Some(&wanted), "{visited:#?}");
    assert!(visited.iter().any(|url| url.starts_with(&format!("{}/auth?", provider.issuer))), "{visited:#?}");
    let session = browser.get(&format!("{service}/api/v1/session")).text;
    assert!(session.contains(r#""user":"alice""#) && session.contains(r#""role":"operator""#), "{session}");
    assert_eq!(browser.get(&format!("{service}/api/v1/audit")).status, 403, "no admin");
    let metrics = browser.get(&format!("{service}/metrics")).text;
    assert!(metrics.contains("auscult_provider_sign_ins_total{outcome=\"succeeded\"} 1"), "{metrics}");

    // The way back is of use once.
    let callback = visited.iter().find(|url| url.contains("/oidc/callback?")).unwrap();
    let again = browser.get(callback).location;
    assert_eq!(again.as_deref(), Some(&*format!("{service}/sign-in?error=expired&return_to=%2F")));

    // A provider that goes away in the middle of a sign-in.
    let mut second = Browser::new();
    let visited = second.follow(&format!("{service}/api/v1/session/oidc"), |url| url.contains("/oidc/callback?"));
    drop(provider);
    let failed = second.get(visited.last().unwrap()).location;
    assert_eq!(failed.as_deref(), Some(&*format!("{service}/sign-in?error=provider_unavailable&return_to=%2F")));

    assert_eq!(program.terminate().code, 0);
    let audit = command(&["audit", "list", "--data", data]).output().unwrap();
    let audit = String::from_utf8_lossy(&audit.stdout);
    assert!(audit.contains("alice") && audit.contains("oidc") && audit.contains("sign_in"), "{audit}");
    for (_, value) in browser.cookies.iter().filter(|((origin, _), value)| *origin == service && !value.is_empty()) {
        assert!(!audit.contains(value.as_str()));
    }
}

#[test]
fn a_provider_that_is_away_keeps_nothing_from_starting() {
    if !engine() {
        return;
    }
    let port = |listener: TcpListener| listener.local_addr().unwrap().port();
    // Ports that nothing listens on once both listeners are gone.
    let (a, b) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (own, away) = (port(a), port(b));
    let dir = temporary();
    let config = write_config(dir.path(), own, &format!("http://127.0.0.1:{away}"));
    let data = dir.path().join("data");
    let mut program = Program::start(&["run", "--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    let line = program.until("sign-in provider http://127.0.0.1:");
    assert!(line.contains("is asked again at the next sign-in"), "{line}");
    program.until(" on http://");
    let mut browser = Browser::new();
    let service = format!("http://127.0.0.1:{own}");
    let answer = browser.get(&format!("{service}/api/v1/session/oidc?return_to=%2Falerts"));
    let expected = format!("{service}/sign-in?error=provider_unavailable&return_to=%2Falerts");
    assert_eq!((answer.status, answer.location), (303, Some(expected)));
    assert_eq!(program.terminate().code, 0);
}
