//! How fast each part is, and how much memory it takes. `docs/performance.md` has figures and how to read them.
//!
//! ```text
//! cargo bench --bench line_rate -- [hot|decode|analyze|store]... [--streams N,N,...] [--rounds N] [--rows N]
//! ```
//!
//! Without a name all parts run. Streams are 400, 4,000 and 50,000 unless said otherwise; 400,000 of them take a minute
//! a round and 1 GiB. Each figure of `hot` and `analyze` is the best of so many rounds, each in a process of its own,
//! so that peak memory is that of the round.

mod analyze;
mod decode;
mod hot;
mod measure;
mod store;

use std::process::{Command, ExitCode};

const PARTS: [&str; 4] = ["hot", "decode", "analyze", "store"];

pub struct Options {
    pub streams: Vec<u32>,
    pub rounds: usize,
    /// Interval rows for the flat-out part of `store`.
    pub rows: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("line_rate: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let mut options = Options { streams: vec![400, 4_000, 50_000], rounds: 3, rows: 500_000 };
    let mut parts = Vec::new();
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--streams" => options.streams = value()?.split(',').map(number).collect::<Result<_, _>>()?,
            "--rounds" => options.rounds = number(&value()?)?,
            "--rows" => options.rows = number(&value()?)?,
            "one-hot" => return hot::one(number(&value()?)?),
            "one-analyze" => return analyze::one(&value()?),
            part if PARTS.contains(&part) => parts.push(part.to_owned()),
            other => return Err(format!("{other} is none of {} and no option", PARTS.join(", "))),
        }
    }
    if parts.is_empty() {
        parts = PARTS.map(str::to_owned).to_vec();
    }
    for part in parts {
        match part.as_str() {
            "hot" => hot::run(&options)?,
            "decode" => decode::run(&options),
            "analyze" => analyze::run(&options)?,
            _ => store::run(&options)?,
        }
    }
    Ok(())
}

fn number<T: std::str::FromStr>(text: impl AsRef<str>) -> Result<T, String> {
    let text = text.as_ref();
    text.parse().map_err(|_| format!("{text}: not a whole number"))
}

/// What one round found: packets, CPU time in seconds, most bytes in memory above what there was before.
#[derive(Clone, Copy)]
pub struct Round {
    pub packets: u64,
    pub cpu: f64,
    pub memory: u64,
}

impl Round {
    /// For the parent process.
    fn report(&self) {
        println!("round {} {} {}", self.packets, self.cpu, self.memory);
    }
}

/// The best of the rounds, each a child process of this program.
fn best(rounds: usize, args: &[&str]) -> Result<Round, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut best: Option<Round> = None;
    for _ in 0..rounds.max(1) {
        let output = Command::new(&program).args(args).output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout);
        let round = said.lines().find_map(|line| {
            let mut words = line.strip_prefix("round ")?.split(' ');
            let (packets, cpu, memory) = (words.next()?, words.next()?, words.next()?);
            Some(Round { packets: packets.parse().ok()?, cpu: cpu.parse().ok()?, memory: memory.parse().ok()? })
        });
        let round = round.ok_or_else(|| {
            format!("{}: {}: {}", args.join(" "), output.status, String::from_utf8_lossy(&output.stderr).trim())
        })?;
        best = Some(best.filter(|best| best.cpu <= round.cpu).unwrap_or(round));
    }
    best.ok_or_else(|| "no round".to_owned())
}

fn print_heading(part: &str) {
    println!(
        "{part:<10} {:>9} {:>12} {:>11} {:>11} {:>9} {:>9}",
        "streams", "packets", "M/CPU-s", "ns/packet", "MiB", "B/stream"
    );
}

fn print_row(part: &str, streams: u32, best: Round) {
    println!(
        "{part:<10} {streams:>9} {:>12} {:>11.2} {:>11.1} {:>9.1} {:>9.0}",
        best.packets,
        best.packets as f64 / best.cpu / 1e6,
        best.cpu * 1e9 / best.packets as f64,
        best.memory as f64 / f64::from(1 << 20),
        best.memory as f64 / f64::from(streams),
    );
}
