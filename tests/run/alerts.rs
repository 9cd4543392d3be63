//! Alerts of live capture, delivered to a webhook that is away at first and to a real Alertmanager.

use crate::program::{Program, capture_user, http, json, reaches};
use crate::{engine, temporary};
use auscult_capture::CaptureError;
use auscult_capture::live::{LiveCapture, LiveConfig};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(90);

/// A rule that fires without any traffic, and one that cannot be read.
const RULES: &str = "[[rule]]\nname = \"evaluated\"\nmeasure = \"watchdog\"\nevery = \"10s\"\nwindow = \"10s\"\nfire = { above = 0 }\n\
    labels = { team = \"voice\" }\n[[rule]]\nname = \"broken\"\nmeasure = \"nothing\"\nfire = { above = 0 }\n";

fn can_capture() -> bool {
    match LiveCapture::open(&LiveConfig::new("lo")) {
        Err(e @ CaptureError::NotPermitted { .. }) => {
            testkit::skip(e);
            false
        }
        _ => true,
    }
}

fn write(dir: &Path, rules: &str, receivers: &str) -> String {
    std::fs::write(dir.join("rules.toml"), rules).unwrap();
    let file = dir.join("auscult.toml");
    let text = format!(
        "[capture]\n{}\n[alerts]\ndefault_rules = false\nrules = [\"rules.toml\"]\n{receivers}",
        capture_user(dir)
    );
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// A request a webhook got.
#[derive(Debug)]
struct Got {
    headers: BTreeMap<String, String>,
    body: Value,
}

/// Answers with these codes, then 200.
fn webhook(mut codes: Vec<u16>) -> (SocketAddr, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, got) = channel();
    codes.reverse();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut headers = BTreeMap::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':') {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
            }
            let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let code = codes.pop().unwrap_or(200);
            let _ = write!(stream.get_mut(), "HTTP/1.1 {code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let body = serde_json::from_slice(&body).unwrap_or_default();
            if sender.send(Got { headers, body }).is_err() {
                return;
            }
        }
    });
    (address, got)
}

#[test]
fn a_webhook_that_is_away_gets_the_alert_later_and_once() {
    if !engine() || !can_capture() {
        return;
    }
    let dir = temporary();
    let (hook, got) = webhook(vec![503]);
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "key\n").unwrap();
    let receivers = format!("webhooks = [\"http://{hook}/x\"]\nwebhook_secret_file = {secret:?}\n");
    let config = write(dir.path(), RULES, &receivers);
    let mut program = Program::run(dir.path(), &["-i", "lo", "-c", &config]);
    program.until("rules.toml:10: rule broken: there is no measure \"nothing\"");
    program.until("1 rules of alerts, sent to 1 receiver");
    let api = program.api();
    let first = got.recv_timeout(WAIT).unwrap();
    let second = got.recv_timeout(WAIT).unwrap();
    let id = |got: &Got| got.headers["x-auscult-delivery"].clone();
    assert_eq!((id(&first), &first.body), (id(&second), &second.body), "the same delivery again");
    assert!(first.headers["x-auscult-signature"].starts_with("sha256="));
    let alert = &second.body["alerts"][0];
    assert_eq!((&second.body["version"], &second.body["status"]), (&Value::from("4"), &Value::from("firing")));
    assert_eq!((&alert["labels"]["alertname"], &alert["labels"]["team"]), (&"evaluated".into(), &"voice".into()));
    let shown = json(api, "/api/v1/alerts");
    let alert = &shown["alerts"][0];
    assert_eq!(
        (&shown["evaluated"], &shown["rules"], &alert["rule"], &alert["state"]),
        (&true.into(), &1.into(), &"evaluated".into(), &"firing".into())
    );
    assert!(reaches(api, "auscult_alert_deliveries_total{receiver=\"webhook\",outcome=\"taken\"}", 1));
    program.kill();

    // Nothing that was taken is sent again after a crash; the end of the rule is.
    let mut program = Program::run(dir.path(), &["-i", "lo", "-c", &config]);
    let api = program.api();
    assert!(reaches(api, "auscult_alert_evaluations_total", 2), "rules are evaluated");
    assert!(got.try_recv().is_err(), "an alert that was taken is sent once");
    write(dir.path(), "", &receivers);
    program.hang_up();
    program.until("0 rules of alerts");
    let ended = got.recv_timeout(WAIT).unwrap();
    assert_eq!((&ended.body["status"], &ended.body["alerts"][0]["status"]), (&"resolved".into(), &"resolved".into()));
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
}

/// Killed when dropped.
struct Alertmanager(Child, SocketAddr);

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Alertmanager {
    /// `None` where it is not installed.
    fn start(dir: &Path) -> Option<Alertmanager> {
        let config = dir.join("alertmanager.yml");
        std::fs::write(&config, "route:\n  receiver: none\nreceivers:\n  - name: none\n").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.join("am").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Alertmanager(child, address)),
            Err(e) => {
                testkit::skip(format_args!("prometheus-alertmanager cannot be started: {e}"));
                None
            }
        }
    }

    /// What `amtool` says of alerts that are active.
    fn alerts(&self) -> Vec<Value> {
        let url = format!("--alertmanager.url=http://{}", self.1);
        let out = Command::new("amtool").args([&url, "alert", "query", "-o", "json"]).output().expect("amtool runs");
        serde_json::from_slice(&out.stdout).unwrap_or_default()
    }

    fn until(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut waited = Duration::ZERO;
        loop {
            let alerts = self.alerts();
            if wanted(&alerts) {
                return alerts;
            }
            assert!(waited < WAIT, "{alerts:?}");
            std::thread::sleep(Duration::from_millis(200));
            waited += Duration::from_millis(200);
        }
    }
}

#[test]
fn a_real_alertmanager_has_the_alert_until_it_ends() {
    if !engine() || !can_capture() {
        return;
    }
    let dir = temporary();
    let Some(manager) = Alertmanager::start(dir.path()) else { return };
    let receivers =
        format!("alertmanagers = [\"http://{}\"]\nexternal_url = \"https://calls.example.com/\"\n", manager.1);
    let rules = RULES.replace("nothing", "watchdog").replace("broken", "other");
    let config = write(dir.path(), &rules, &receivers);
    let mut program = Program::run(dir.path(), &["-i", "lo", "-c", &config]);
    program.api();
    let alerts = manager.until(|alerts| alerts.len() == 2);
    let found = alerts.iter().find(|alert| alert["labels"]["alertname"] == "evaluated").expect("the alert");
    assert_eq!(found["labels"]["severity"], "warning");
    assert!(found["annotations"]["description"].as_str().unwrap().contains("watchdog"), "{found}");
    // The rule is about the probe: no calls are behind it.
    assert_eq!(found["generatorURL"], "https://calls.example.com/alerts");

    // Another probe with the same rules, which has the same labels: they are one alert.
    let other_dir = temporary();
    let other_config = write(other_dir.path(), &rules, &format!("{receivers}[probe]\nname = \"other\"\n"));
    let mut other = Program::run(other_dir.path(), &["-i", "lo", "-c", &other_config]);
    let api = other.api();
    assert!(reaches(api, "auscult_alert_deliveries_total{receiver=\"alertmanager\",outcome=\"taken\"}", 1));
    assert_eq!(manager.alerts().len(), 2);
    // Each evaluates its own.
    until(api, "/api/v1/alerts", |view| view["alerts"].as_array().is_some_and(|alerts| alerts.len() == 2));
    // One of them dies: the other's lease goes on.
    program.kill();
    manager.until(|alerts| alerts.len() == 2);
    write(other_dir.path(), "", &format!("{receivers}[probe]\nname = \"other\"\n"));
    other.hang_up();
    manager.until(|alerts| alerts.is_empty());
    let end = other.terminate();
    assert_eq!(end.code, 0, "{end:?}");
}

/// A statement that always gives a group beyond the limit.
const STATEMENT: &str = "[[rule]]\nname = \"busy\"\nsql = \"SELECT 'a' AS trunk, 5.0 AS value, toUInt64(10) AS samples \
    WHERE {from:DateTime('UTC')} < {to:DateTime('UTC')}\"\nevery = \"10s\"\nwindow = \"10s\"\ndelay = \"0s\"\nneed = { samples = 1 }\nfire = { above = 1 }\n";

/// Waits until `wanted` holds of what a path answers.
fn until(api: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut waited = Duration::ZERO;
    loop {
        let found = json(api, path);
        if wanted(&found) {
            return found;
        }
        assert!(waited < WAIT, "{path}: {found}");
        std::thread::sleep(Duration::from_millis(200));
        waited += Duration::from_millis(200);
    }
}

#[test]
fn a_silence_holds_the_webhook_outlives_a_crash_and_reaches_alertmanager() {
    if !engine() || !can_capture() {
        return;
    }
    let dir = temporary();
    let Some(manager) = Alertmanager::start(dir.path()) else { return };
    let (hook, got) = webhook(vec![]);
    let receivers = format!(
        "alertmanagers = [\"http://{}\"]\nwebhooks = [\"http://{hook}/x\"]\nrepeat_interval = \"1m\"\n",
        manager.1
    );
    let config = write(dir.path(), STATEMENT, &receivers);
    let mut program = Program::run(dir.path(), &["-i", "lo", "-c", &config]);
    let api = program.api();
    assert_eq!(got.recv_timeout(WAIT).unwrap().body["status"], "firing");
    manager.until(|alerts| alerts.len() == 1);

    // What is no rule is no silence either.
    let json_type = "Content-Type: application/json\r\n";
    let (status, answer) =
        http(api, "POST", "/api/v1/alerts/silences", json_type, r#"{"rule": "buzy", "hours": 1, "reason": "r"}"#);
    assert!(status == 400 && answer.contains("there is no rule"), "{status} {answer}");
    // What the page sends.
    let own = "Content-Type: application/json\r\nOrigin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n";
    let body = r#"{"rule": "busy", "hours": 1, "reason": "carrier works on it", "by": "noc"}"#;
    let (status, answer) = http(api, "POST", "/api/v1/alerts/silences", own, body);
    assert_eq!(status, 201, "{answer}");
    let begun: Value = serde_json::from_str(&answer).unwrap();
    let id = begun["id"].as_str().unwrap().to_owned();
    let view = json(api, "/api/v1/alerts");
    assert_eq!((&view["alerts"][0]["silenced_by"], &view["may_silence"]), (&Value::from(id.clone()), &true.into()));
    manager.until(|alerts| alerts.iter().all(|alert| alert["status"]["state"] == "suppressed"));
    assert!(reaches(api, "auscult_alert_silences", 1));
    program.kill();

    // After a crash it holds, and nothing is sent again, though the interval of repetitions passes.
    let mut program = Program::run(dir.path(), &["-i", "lo", "-c", &config]);
    let api = program.api();
    let view = until(api, "/api/v1/alerts", |view| view["alerts"][0]["state"] == "firing");
    assert_eq!(
        (&view["alerts"][0]["silenced_by"], &view["silences"][0]["reason"]),
        (&Value::from(id.clone()), &"carrier works on it".into())
    );
    let history = until(api, "/api/v1/alerts/history", |history| history["alerts"][0]["silenced_by"].is_string());
    let past = &history["alerts"][0];
    assert_eq!(
        (&past["rule"], &past["ended_at"], &past["peak"]),
        (&"busy".into(), &Value::Null, &5.0.into()),
        "{past}"
    );
    let series = json(api, &format!("/api/v1/alerts/{}/evaluations", past["id"].as_str().unwrap()));
    let last = series["evaluations"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["state"], &last["value"], &last["limit"]), (&"firing".into(), &5.0.into(), &1.0.into()));
    if let Ok(told) = got.recv_timeout(Duration::from_secs(65)) {
        panic!("a silenced alert is not repeated: {}", told.body);
    }

    // Its end is news for the webhook.
    let (status, answer) = http(api, "DELETE", &format!("/api/v1/alerts/silences/{id}"), "", "");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(http(api, "DELETE", &format!("/api/v1/alerts/silences/{id}"), "", "").0, 404, "it has ended");
    assert_eq!(got.recv_timeout(WAIT).unwrap().body["status"], "firing");
    manager.until(|alerts| alerts.iter().all(|alert| alert["status"]["state"] == "active"));
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
}
