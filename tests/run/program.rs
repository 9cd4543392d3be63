//! The real binary as a child: what it says, how it ends; and plain HTTP to ask it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// No wait is longer; nothing is asserted about shorter ones.
const WAIT: Duration = Duration::from_secs(120);

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

/// How a program ended. `code` is -9 after SIGKILL.
#[derive(Debug)]
pub struct End {
    pub code: i32,
    /// Lines of both outputs; those of the error output begin with `! `.
    pub said: Vec<String>,
}

impl End {
    /// The only line on the error output that is not the log's (one JSON object a line).
    #[track_caller]
    pub fn error(&self) -> &str {
        let errors: Vec<&str> =
            self.said.iter().filter_map(|line| line.strip_prefix("! ")).filter(|line| !line.starts_with('{')).collect();
        assert_eq!(errors.len(), 1, "one line of error: {self:?}");
        errors[0]
    }

    pub fn says(&self, text: &str) -> bool {
        self.said.iter().any(|line| line.contains(text))
    }
}

pub fn command<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auscult"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Program {
    pub fn start<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Program {
        Program::spawn(&mut command(arguments))
    }

    pub fn spawn(command: &mut Command) -> Program {
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        let outputs: [(&str, Box<dyn Read + Send>); 2] = [
            ("", Box::new(child.stdout.take().expect("an output"))),
            ("! ", Box::new(child.stderr.take().expect("an error output"))),
        ];
        for (mark, output) in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(format!("{mark}{line}"));
                }
            });
        }
        Program { child, lines, said: Vec::new() }
    }

    /// `auscult run` on a free port.
    pub fn run(data: &Path, more: &[&str]) -> Program {
        Program::start(&run_arguments(data, more))
    }

    /// A writable store in another process, with its address.
    pub fn store(data: &Path, listen: &str) -> (Program, SocketAddr) {
        let data = data.display().to_string();
        let arguments = ["store-endpoint", "--data", &data, "--token", TOKEN, "--writable", "--listen", listen];
        let mut program = Program::start(&arguments);
        let address = program.address("store endpoint on http://");
        (program, address)
    }

    /// The next line with this text.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(WAIT) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(e) => panic!("{e} while waiting for {text:?}; it said {:#?}", self.said),
            }
        }
    }

    /// The address after `prefix` on a line.
    #[track_caller]
    pub fn address(&mut self, prefix: &str) -> SocketAddr {
        let line = self.until(prefix);
        let (_, address) = line.split_once(prefix).expect("the line has it");
        address.trim().parse().unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// Where the API is.
    #[track_caller]
    pub fn api(&mut self) -> SocketAddr {
        self.address(" on http://")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the program is still there");
    }

    /// Sends SIGHUP to a program that may have ended.
    pub fn hang_up(&self) {
        let quiet = || Stdio::null();
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-s", "HUP", &id]).stdout(quiet()).stderr(quiet()).status();
    }

    /// Whether it ended by itself within a time.
    pub fn ended_within(&mut self, time: Duration) -> bool {
        let step = Duration::from_millis(5);
        for _ in 0..=time.as_millis() / step.as_millis() {
            if self.child.try_wait().expect("a child").is_some() {
                return true;
            }
            std::thread::sleep(step);
        }
        false
    }

    pub fn kill(mut self) -> End {
        self.child.kill().expect("a child");
        self.end()
    }

    pub fn terminate(self) -> End {
        self.signal("TERM");
        self.end()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn end(mut self) -> End {
        loop {
            match self.lines.recv_timeout(WAIT) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; it said {:#?}", self.said),
            }
        }
        let status = self.child.wait().expect("a child");
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        End { code, said: std::mem::take(&mut self.said) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Token of the stores that tests open.
pub const TOKEN: &str = "open sesame";

pub fn run_arguments(data: &Path, more: &[&str]) -> Vec<String> {
    let data = data.display().to_string();
    let usual = ["run", "--listen", "127.0.0.1:0", "--data", &data];
    usual.iter().chain(more).map(|a| (*a).to_owned()).collect()
}

/// Runs to the end.
#[track_caller]
pub fn end_of<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> End {
    Program::start(arguments).end()
}

/// Sends a request; status and body. HTTP/1.0, so that the end of the connection is the end of the body.
#[track_caller]
pub fn http(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    try_http(address, method, path, headers, body).unwrap_or_else(|| panic!("{address} does not answer {path}"))
}

/// As [`http`]; `None` when nobody answers.
pub fn try_http(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(WAIT)).ok()?;
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The value of a metric, 0 when it is not there; `None` when nobody answers.
pub fn metric(api: SocketAddr, name: &str) -> Option<u64> {
    let (_, text) = try_http(api, "GET", "/metrics", "", "")?;
    let value: Option<f64> = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some(value.unwrap_or(0.0) as u64)
}

/// Rows of a table that came so far.
pub fn rows(table: &str, state: &str) -> String {
    format!("auscult_store_rows_total{{table=\"{table}\",state=\"{state}\"}}")
}

/// Waits until a metric is so high; false when the program ended before.
#[track_caller]
pub fn reaches(api: SocketAddr, name: &str, least: u64) -> bool {
    let pause = Duration::from_millis(5);
    for _ in 0..WAIT.as_millis() / pause.as_millis() {
        match metric(api, name) {
            None => return false,
            Some(value) if value >= least => return true,
            Some(_) => std::thread::sleep(pause),
        }
    }
    panic!("{name} does not reach {least}");
}

/// The line of `[capture]` that live capture takes when root starts it. The directory then belongs to that user.
#[cfg(feature = "live")]
#[track_caller]
pub fn capture_user(dir: &Path) -> &'static str {
    if !rustix::process::geteuid().is_root() {
        return "";
    }
    give(dir, "nobody");
    "user = \"nobody\""
}

#[cfg(feature = "live")]
#[track_caller]
fn give(dir: &Path, user: &str) {
    let given = Command::new("chown").args(["-R", user]).arg(dir).status();
    assert!(given.is_ok_and(|status| status.success()), "{} goes to {user}", dir.display());
}

/// Delivers what a program left in the spool when it was stopped, as its next start does.
#[cfg(feature = "live")]
#[track_caller]
pub fn deliver(data: &Path) {
    if rustix::process::geteuid().is_root() {
        give(data, "root");
    }
    let mut next = Program::run(data, &[]);
    let api = next.api();
    let pause = Duration::from_millis(5);
    for _ in 0..WAIT.as_millis() / pause.as_millis() {
        if metric(api, "auscult_spool_rows") == Some(0) {
            assert_eq!(next.terminate().code, 0);
            return;
        }
        std::thread::sleep(pause);
    }
    panic!("the spool does not get empty");
}

#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    http(address, "GET", path, "", "")
}

/// A JSON answer with status 200.
#[track_caller]
pub fn json(address: SocketAddr, path: &str) -> serde_json::Value {
    let (status, body) = get(address, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
}

/// A statement for a store's endpoint.
pub fn sql(address: SocketAddr, token: Option<&str>, statement: &str) -> (u16, String) {
    let key = token.map_or_else(String::new, |token| format!("X-ClickHouse-Key: {token}\r\n"));
    http(address, "POST", "/?database=auscult", &key, statement)
}
