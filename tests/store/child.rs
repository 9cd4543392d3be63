//! Other processes: this test binary started again, with what to be in environment variables.

use crate::samples::{call, interval, labels};
use crate::{embedded, quick};
use auscult_store::StoreWriter;
use auscult_store::endpoint::{EndpointArgs, run_endpoint};
use auscult_store::rows::{Record, Table};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const ROLE: &str = "AUSCULT_TEST_ROLE";
const DIR: &str = "AUSCULT_TEST_DIR";
const ARGUMENT: &str = "AUSCULT_TEST_ARGUMENT";

/// A child that dies with its handle.
pub struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub fn start(role: &str, dir: &Path, argument: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child::child_process", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(DIR, dir)
            .env(ARGUMENT, argument)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }

    /// What follows `prefix` on the next line that has it.
    pub fn next(&mut self, prefix: &str) -> Option<String> {
        loop {
            let line = self.lines.next()?.ok()?;
            if let Some((_, rest)) = line.split_once(prefix) {
                return Some(rest.trim().to_owned());
            }
        }
    }

    /// SIGKILL; returns the last line with `prefix` that got out.
    pub fn kill(mut self, prefix: &str) -> Option<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut last = None;
        while let Some(rest) = self.next(prefix) {
            last = Some(rest);
        }
        last
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A writable endpoint on `dir` in another process; its address comes with it.
pub fn server(dir: &Path, listen: &str) -> (Process, String) {
    let mut process = Process::start("endpoint", dir, listen);
    let address = process.next("store endpoint on http://").expect("the endpoint starts");
    (process, address)
}

#[test]
fn child_process() {
    let (Ok(role), Some(dir)) = (std::env::var(ROLE), std::env::var_os(DIR)) else { return };
    let dir = Path::new(&dir);
    let argument = std::env::var(ARGUMENT).unwrap_or_default();
    match role.as_str() {
        "endpoint" => run_endpoint(&EndpointArgs {
            data_dir: dir.to_path_buf(),
            library: None,
            listen: argument.parse().unwrap(),
            token: "secret".to_owned(),
            writable: true,
            identity: None,
        })
        .unwrap(),
        "divider" => divide(dir, argument.parse().unwrap()),
        "writer" => write_until_killed(dir, argument.parse().unwrap()),
        other => panic!("no role {other}"),
    }
}

#[tokio::main]
async fn divide(dir: &Path, query_memory: u64) {
    crate::refused::divide_until_killed(dir, query_memory).await;
}

/// Sends calls numbered from `first`, four intervals with each, and says how many of the calls are safe.
#[tokio::main]
async fn write_until_killed(dir: &Path, first: u64) {
    let Some(store) = embedded(dir).await else { return };
    let (sender, writer) = StoreWriter::start(store, &dir.join("spool"), labels(), quick()).unwrap();
    let counters = writer.counters();
    for n in first.. {
        sender.try_send(Record::Call(Box::new(call(n))));
        for k in 0..4 {
            sender.try_send(Record::Interval(Box::new(interval(n, k))));
        }
        if n % 8 == 0 {
            let counts = counters.snapshot();
            assert_eq!(counts.table(Table::Calls).dropped, []);
            println!("safe {} {}", counts.table(Table::Calls).spooled, n + 1);
            std::io::stdout().flush().unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}
