//! A backtest over the store of a program that runs finds what that program found as it happened.

use crate::program::{Program, capture_user, end_of, json};
use crate::{engine, temporary};
use auscult_capture::CaptureError;
use auscult_capture::live::{LiveCapture, LiveConfig};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

const STREAMS: usize = 16;
/// A tenth of the window has to be lost, of enough streams.
const RULES: &str = "[[rule]]\nname = \"loss\"\nmeasure = \"loss_pct\"\nwindow = \"10s\"\nevery = \"10s\"\ndelay = \"10s\"\n\
    need = { streams = 6 }\nconfidence = 0.9\nfor = \"0s\"\nkeep_firing_for = \"0s\"\nfire = { above = 10 }\n";

struct Sender {
    from: UdpSocket,
    to: SocketAddr,
    seq: u16,
}

impl Sender {
    /// Packets of 20 ms; in the middle two of five are never sent.
    fn send(&mut self, ssrc: usize, loses: bool) {
        self.seq = self.seq.wrapping_add(1);
        if loses && self.seq % 5 < 2 {
            return;
        }
        let mut packet = vec![0x80, 0];
        packet.extend(self.seq.to_be_bytes());
        packet.extend((u32::from(self.seq) * 160).to_be_bytes());
        packet.extend((0x1000 + ssrc as u32).to_be_bytes());
        packet.extend([0xd5; 160]);
        let _ = self.from.send_to(&packet, self.to);
    }
}

fn backtest(data: &Path, config: &str, rules: &Path, more: &[&str]) -> Value {
    let (data, rules) = (data.display().to_string(), rules.display().to_string());
    let mut arguments = vec!["alerts", "backtest", &rules, "-c", config, "--data", &data, "--json"];
    arguments.extend(more);
    let end = end_of(&arguments);
    assert_eq!(end.code, 0, "{end:?}");
    let text: Vec<&str> = end.said.iter().map(String::as_str).filter(|line| !line.starts_with("! ")).collect();
    serde_json::from_str(&text.join("\n")).unwrap_or_else(|e| panic!("{e}: {end:?}"))
}

#[test]
fn a_backtest_finds_what_the_running_program_found_and_asks_it_for_its_store() {
    if !engine() {
        return;
    }
    if let Err(e @ CaptureError::NotPermitted { .. }) = LiveCapture::open(&LiveConfig::new("lo")) {
        testkit::skip(e);
        return;
    }
    let dir = temporary();
    let socket = || UdpSocket::bind("127.0.0.1:0").expect("a port");
    let even = || std::iter::repeat_with(socket).find(|s| s.local_addr().is_ok_and(|a| a.port() % 2 == 0)).unwrap();
    let heard = even();
    let to = heard.local_addr().unwrap();
    let mut senders: Vec<Sender> = (0..STREAMS).map(|n| Sender { from: even(), to, seq: n as u16 * 100 }).collect();
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, RULES).unwrap();
    let config = dir.path().join("auscult.toml");
    let filter = format!("udp dst port {}", to.port());
    let config = config.display().to_string();
    // What a killed program left is no hindrance.
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    let data = dir.path().join("data");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(data.join("auscult.sock")).unwrap());
    let text = format!(
        "[capture]\nfilter = {filter:?}\n{}\n[alerts]\ndefault_rules = false\nrules = [\"rules.toml\"]\n",
        capture_user(dir.path())
    );
    std::fs::write(&config, text).unwrap();
    let mut program = Program::run(&data, &["-i", "lo", "-c", &config]);
    let api = program.api();
    let about = std::fs::symlink_metadata(data.join("auscult.sock")).unwrap();
    assert!(about.file_type().is_socket() && about.permissions().mode() & 0o777 == 0o600, "{about:?}");

    let mut past = Value::Null;
    // A tick is 20 ms and what sending takes. The loss begins after some intervals without.
    for tick in 1..=6_000u32 {
        let loses = (750..1_750).contains(&tick);
        senders.iter_mut().enumerate().for_each(|(n, sender)| sender.send(n, loses));
        if tick.is_multiple_of(250) {
            past = json(api, "/api/v1/alerts/history")["alerts"][0].clone();
            if past["ended_at"].is_string() {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(past["ended_at"].is_string(), "{past}");
    let time = |text: &Value| text.as_str().unwrap().to_owned();
    let (fired, ended) = (time(&past["fired_at"]), time(&past["ended_at"]));
    // The way to it is in the history, too.
    let series = json(api, &format!("/api/v1/alerts/{}/evaluations", past["id"].as_str().unwrap()));
    let states: Vec<&str> =
        series["evaluations"].as_array().unwrap().iter().filter_map(|each| each["state"].as_str()).collect();
    assert!(
        states.iter().any(|state| ["ok", "few", "no_data"].contains(state)) && states.contains(&"firing"),
        "{states:?}"
    );

    let from = format!("{}:00Z", &fired[..16]);
    let before = |text: &str| {
        auscult_core::units::Timestamp::parse_rfc3339(text).unwrap() - auscult_core::units::Nanos::from_secs(60)
    };
    let (from, to) = (before(&from).to_rfc3339(), ended.clone());
    let span = ["--from", &from, "--to", &to];
    let asked = backtest(&data, &config, &rules, &span);
    let firing = &asked["firings"][0];
    assert_eq!(asked["firings"].as_array().unwrap().len(), 1, "{asked}");
    assert_eq!((time(&firing["from"]), time(&firing["to"])), (fired.clone(), ended.clone()), "{past}\n{asked}");
    assert_eq!(firing["peak"], past["peak"]);
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
    assert!(!data.join("auscult.sock").exists(), "the socket goes with the program");

    // Without a program the command opens the store itself, and finds the same.
    assert_eq!(backtest(&data, &config, &rules, &span)["firings"], asked["firings"]);
}
