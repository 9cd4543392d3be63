//! The whole of `auscult analyze` on a file, from opening it to the JSON document.

use crate::{Options, Round, best, measure, print_heading, print_row};
use auscult::app::analyze::{AnalyzeArgs, run as analyze};
use auscult_core::model::Policy;
use clap::Parser;
use std::fs::File;
use std::io::{BufWriter, Write};
use testkit::bulk::Streams;

/// Packets of a file at least, and seconds of traffic at least.
const PACKETS: u32 = 5_000_000;
const SECONDS: u32 = 12;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: AnalyzeArgs,
}

pub fn run(options: &Options) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| format!("cannot make a directory for captures: {e}"))?;
    print_heading("analyze");
    for streams in &options.streams {
        let path = dir.path().join(format!("{streams}.pcap"));
        let name = path.display().to_string();
        let seconds = (PACKETS / (*streams).max(1) / 50).max(SECONDS);
        let write = |path| {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
            Streams::new(*streams, seconds).write_pcap(&mut file)?;
            file.flush()
        };
        write(&path).map_err(|e: std::io::Error| format!("{name}: {e}"))?;
        print_row("analyze", *streams, best(options.rounds, &["one-analyze", &name])?);
        std::fs::remove_file(&path).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// One round, in this process.
pub fn one(path: &str) -> Result<(), String> {
    let cli = Cli::try_parse_from(["analyze", "--format", "json", path]).map_err(|e| e.to_string())?;
    let mut document = FirstBytes::default();
    let (before, start) = (measure::resident(), measure::cpu());
    analyze(&cli.args, &Policy::default(), &mut document).map_err(|e| format!("{path}: {e:#}"))?;
    let (cpu, memory) = (measure::cpu() - start, measure::peak().saturating_sub(before));
    let packets = document.frames().ok_or(format!("{path}: the document does not begin with its frames"))?;
    Round { packets, cpu, memory }.report();
    Ok(())
}

/// Keeps the beginning of what is written, where the document counts its frames.
#[derive(Default)]
struct FirstBytes(Vec<u8>);

impl FirstBytes {
    fn frames(&self) -> Option<u64> {
        let text = String::from_utf8_lossy(&self.0);
        let (_, after) = text.split_once("\"frames\":")?;
        after.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

impl Write for FirstBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = 4_096usize.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
