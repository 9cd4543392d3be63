//! `auscult doctor`: what this host has and lacks, and what a running program lost; each with what to do.

use super::config::{Config, memory};
use super::running::{Found, losses};
use super::tls::Certificates;
use auscult_http::tls::Identity;
use auscult_store::chdb::find_library;
use clap::Args;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Configuration file of the running program.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// Address of its API.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

pub fn run(args: &DoctorArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = args.config.as_deref().map_or_else(Config::default_config, Config::load)?;
    let listen = args.listen.unwrap_or(config.listen);
    let mut lacking = 0;
    let mut say = |name: &str, found: Result<String, String>| {
        let found = found.map_or_else(Found::Missing, Found::Good);
        lacking += u32::from(matches!(found, Found::Missing(_)));
        line(out, name, &found)
    };
    say("analyze", Ok("captures can be analysed".to_owned()))?;
    say("embedded store", find_library(None).map(|path| path.display().to_string()).map_err(|e| e.to_string()))?;
    say(
        "page",
        if auscult_api::page_is_built() {
            Ok("built in".to_owned())
        } else {
            Err("not built in; `make web build` does it".to_owned())
        },
    )?;
    say("live capture", live())?;
    say("sandbox", super::sandbox::offered())?;
    for (interface, found) in interfaces() {
        say(&interface, found)?;
    }
    line(out, "memory of tables", &Found::Good(memory(&config.limits)))?;
    line(out, "rows are kept", &super::privacy_report::periods(&config))?;
    for (usage, found) in Certificates::of(&config).report() {
        let found = found.map_or_else(Found::Expiring, Found::Good);
        line(out, &format!("certificate {usage}"), &found)?;
    }
    let certificate = config.tls.api.as_ref().map(Identity::certificate_file);
    for (name, found) in losses(listen, certificate, &config.limits) {
        line(out, &name, &found)?;
    }
    writeln!(
        out,
        "{}",
        if lacking == 0 { "everything is there" } else { "what is missing above limits only what is named there" }
    )?;
    Ok(out.flush()?)
}

fn line(out: &mut impl Write, name: &str, found: &Found) -> std::io::Result<()> {
    let (mark, text) = match found {
        Found::Good(text) => ("ok", text),
        Found::Missing(text) => ("missing", text),
        Found::Lost(text) => ("lost", text),
        Found::Expiring(text) => ("expiring", text),
        Found::Unknown(text) => ("-", text),
    };
    // Parts of it are what others answered: they must not move the cursor.
    let text = format!("{name:<16} {mark:<8} {text}");
    writeln!(out, "{}", text.replace(char::is_control, "\u{fffd}"))
}

#[cfg(feature = "live")]
fn live() -> Result<String, String> {
    let interfaces = auscult_capture::live::interfaces();
    Ok(format!("interfaces: {}", interfaces.join(", ")))
}

#[cfg(not(feature = "live"))]
fn live() -> Result<String, String> {
    Err("built without libpcap: install libpcap-dev (sudo apt-get install libpcap-dev) and run `make build`".to_owned())
}

/// Whether each interface can be opened, and what it has dropped since the host started.
#[cfg(feature = "live")]
fn interfaces() -> Vec<(String, Result<String, String>)> {
    use auscult_capture::live::{LiveCapture, LiveConfig, LiveWorker};
    let dropped = |interface: &str| {
        let total = |name: &str| {
            std::fs::read_to_string(format!("/sys/class/net/{interface}/statistics/{name}"))
                .ok()?
                .trim()
                .parse::<u64>()
                .ok()
        };
        let names = ["rx_packets", "rx_dropped", "rx_missed_errors", "rx_fifo_errors", "rx_over_errors"];
        let parts = names.map(|name| (name, total(name)));
        parts.into_iter().filter_map(|(name, n)| Some(format!("{name} {}", n?))).collect::<Vec<_>>().join(", ")
    };
    auscult_capture::live::interfaces()
        .into_iter()
        .map(|interface| {
            let opened = LiveCapture::open(&LiveConfig::new(&interface));
            let found = match opened {
                Ok(workers) => {
                    let worker = workers.first();
                    let resolution = worker.map_or(1000, LiveWorker::resolution_ns);
                    let down = if worker.and_then(LiveWorker::is_up) == Some(false) { ", is down" } else { "" };
                    Ok(format!("opens, times to {resolution} ns{down}; {}", dropped(&interface)))
                }
                Err(e) => Err(e.to_string()),
            };
            (interface, found)
        })
        .collect()
}

#[cfg(not(feature = "live"))]
fn interfaces() -> Vec<(String, Result<String, String>)> {
    Vec::new()
}
