//! What a running instance says of its losses on `/metrics`, in words, each with what to do about it.

use auscult_core::model::Limits;
use auscult_core::units::Nanos;
use auscult_http::tls::pinned_stream;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// All of asking. The instance answers from memory, within milliseconds.
const PATIENCE: Nanos = Nanos::from_secs(2);

/// Longest answer read; `/metrics` has tens of kilobytes.
const MOST_BYTES: usize = 8 << 20;

/// What was found of one thing.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Good(String),
    /// The program does without, with what to do.
    Missing(String),
    /// Something was lost, with what to do.
    Lost(String),
    /// Good for a short time only, with what to do.
    Expiring(String),
    /// Neither good nor bad.
    Unknown(String),
}

/// A subject, and what was found of it.
pub type Line = (String, Found);

/// Asks the instance that listens on this address, in TLS where it has a certificate: this file's, and no other is taken.
/// `limits`: those of its configuration, as far as it is known.
pub fn losses(listen: SocketAddr, certificate: Option<&Path>, limits: &Limits) -> Vec<Line> {
    let at = reachable(listen);
    let name = || "running program".to_owned();
    match ask(at, certificate) {
        Ok(answer) => match metrics(&answer) {
            Some(samples) => {
                let scheme = if certificate.is_some() { "https" } else { "http" };
                told(&format!("{scheme}://{at}"), &samples, limits)
            }
            None if answer.contains("this port takes HTTPS only") => {
                vec![(
                    name(),
                    Found::Unknown(format!(
                        "what answers on {at} takes HTTPS only; name its configuration with --config"
                    )),
                )]
            }
            None => vec![(name(), Found::Unknown(format!("what answers on {at} is no auscult")))],
        },
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            let file = certificate.unwrap_or(Path::new("")).display();
            let text = format!("what answers on {at} is not the program with the certificate {file} ({e})");
            vec![(name(), Found::Unknown(text))]
        }
        Err(e) => {
            let how = "start one with `auscult run`, or say where it is with --config or --listen";
            vec![(name(), Found::Unknown(format!("nobody answers on {at} ({e}); {how}")))]
        }
    }
}

/// Who listens on all addresses is asked by way of this host.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The whole answer. HTTP/1.0, so that it ends where the connection does.
fn ask(at: SocketAddr, certificate: Option<&Path>) -> io::Result<String> {
    let until = super::wall_clock() + PATIENCE;
    let left = || match u64::try_from((until - super::wall_clock()).0) {
        Ok(ns) if ns > 0 => Ok(Duration::from_nanos(ns)),
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
    };
    let late = |e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        _ => e,
    };
    let socket = TcpStream::connect_timeout(&at, left()?)?;
    socket.set_write_timeout(Some(left()?))?;
    socket.set_read_timeout(Some(left()?))?;
    // Timeouts are those of the socket, whichever handle sets them.
    let mut stream: Box<dyn ReadWrite> = match certificate {
        None => Box::new(socket.try_clone()?),
        Some(file) => Box::new(pinned_stream(socket.try_clone()?, file).map_err(io::Error::other)?),
    };
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(late)?;
    let (mut answer, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        socket.set_read_timeout(Some(left()?))?;
        let bytes = stream.read(&mut piece).map_err(late)?;
        answer.extend_from_slice(&piece[..bytes]);
        if bytes == 0 || answer.len() > MOST_BYTES {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

/// A connection, plain or in TLS.
trait ReadWrite: Read + Write {}

impl<S: Read + Write> ReadWrite for S {}

/// One line of OpenMetrics text.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// The samples of an answer, when it is one of ours.
fn metrics(answer: &str) -> Option<Vec<Sample>> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1) != Some("200") || !body.contains("auscult_build_info") {
        return None;
    }
    Some(body.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
}

/// `name{label="value",...} number`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what follows that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            char => value.push(char),
        }
    }
    None
}

/// The instance's lines: that it is there, then each loss since it was started.
fn told(url: &str, samples: &[Sample], limits: &Limits) -> Vec<Line> {
    let all = |name: &'static str| samples.iter().filter(move |s| s.name == name);
    let sum = |name| all(name).map(|s| s.value).sum::<f64>();
    let read = sum("auscult_frames_read_total");
    let came = read + sum("auscult_frames_missed_total");
    let mut lines = vec![(
        "running program".to_owned(),
        Found::Good(format!(
            "{url}: {read} frames read, {} streams measured, {} rows wait in the spool",
            sum("auscult_streams_measured"),
            sum("auscult_spool_rows")
        )),
    )];
    let mut lose = |what: String, lost: String, advice: &str| {
        lines.push((what, Found::Lost(format!("{lost}: {advice}"))));
    };
    for s in all("auscult_frames_missed_total").filter(|s| s.value > 0.0) {
        let (interface, place) = (s.label("interface"), s.label("place"));
        let share = 100.0 * s.value / came;
        lose(format!("{interface} {place}"), format!("{} frames missed ({share:.2} % of all)", s.value), missed(place));
    }
    for s in all("auscult_frames_refused_total").filter(|s| s.value > 0.0) {
        let advice =
            "their time is before 1970 or after 2105; look at the clock that stamped them (capture.timestamps)";
        lose("frames refused".to_owned(), format!("{} by {}", s.value, s.label("reason").replace('_', " ")), advice);
    }
    for s in all("auscult_panics_total").filter(|s| s.value > 0.0) {
        lose("panics".to_owned(), format!("{} of threads", s.value), "each is a defect; report the line of the log");
    }
    for s in all("auscult_shedding_total").filter(|s| s.value > 0.0) {
        let what = s.label("what");
        lose("full table".to_owned(), format!("{} {}", s.value, what.replace('_', " ")), &eviction_text(what, limits));
    }
    for s in all("auscult_capture_finding").filter(|s| s.value > 0.0) {
        let code = s.label("finding");
        lose("capture".to_owned(), format!("{code} in the last interval"), finding(code));
    }
    for s in all("auscult_capture_blackout_seconds_total").filter(|s| s.value > 0.0) {
        lose("capture".to_owned(), format!("interrupted for {} s in all", s.value), finding("blackout"));
    }
    let mut reasons: Vec<&str> = all("auscult_store_dropped_rows_total").map(|s| s.label("reason")).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        let of_reason =
            all("auscult_store_dropped_rows_total").filter(|s| s.label("reason") == reason && s.value > 0.0);
        let tables: Vec<String> = of_reason.map(|s| format!("{} of {}", s.value, s.label("table"))).collect();
        if !tables.is_empty() {
            lose("store".to_owned(), format!("rows given up, {}", tables.join(", ")), given_up(reason));
        }
    }
    if lines.len() == 1 {
        lines.push(("losses".to_owned(), Found::Good("none since it was started".to_owned())));
    }
    lines
}

/// What to do about a finding of the capture.
fn finding(code: &str) -> &'static str {
    match code {
        "sampled" => {
            "the mirror sends one packet of several; turn sampling off, or give the mirror session a port that is fast enough"
        }
        "blackout" => "nothing came while streams went on; look at the mirror session and the link to the probe",
        "clumped" => {
            "a mirror, tunnel or virtual switch holds frames back; take a tap, or a port with hardware time stamps \
             (capture.timestamps)"
        }
        "coarse" => "what wrote the capture has a coarse clock; delay variation below its step can not be seen",
        "one_sided" => {
            "mirror both directions of the ports (rx and tx), or add the other side's interface (capture.interfaces)"
        }
        "loss" => {
            "the mirror port drops packets one by one that receivers got; mirror less to it, or give it a faster port"
        }
        "clock_steps" => "the clock was set; let NTP or PTP slew it",
        _ => "see docs/metrics.md, the state of the capture",
    }
}

fn missed(place: &str) -> &'static str {
    match place {
        "ring" => {
            "the kernel's ring was full, its thread did not run in time; give the capture threads processors of their \
             own (capture.cpus), bridge longer pauses (capture.ring_mib), or add a thread (capture.threads)"
        }
        "interface" => {
            "the adapter had no room; enlarge its receive ring (ethtool -G), and keep its interrupts off busy processors"
        }
        "queue" => {
            "the measuring thread was behind; give it a processor of its own (capture.measure_cpu), leave out what is \
             not voice (capture.filter), or bridge longer peaks (capture.queue_mib)"
        }
        _ => "see docs/operations.md, \"Every queue and table\"",
    }
}

fn eviction_text(what: &str, limits: &Limits) -> String {
    let name = match what {
        "streams_shed" | "streams_refused" => "streams",
        "calls_shed" | "calls_refused" => "calls",
        _ => return "see docs/operations.md, \"When a table is full\"".to_owned(),
    };
    let bytes = limits.shares().into_iter().find(|share| share.name == name).map_or(0, |share| share.bytes);
    format!(
        "limits.{name} was reached; raise it if this is your traffic, at up to {} KiB of memory each, else look for a flood",
        bytes.div_ceil(1024)
    )
}

fn given_up(reason: &str) -> &'static str {
    match reason {
        "queue_full" => {
            "the store's writer was behind; make fewer rows (measure.interval_s), or use a faster disk for store.data"
        }
        "spool_full" => "the store was away for longer than the spool lasts; see /readyz, and raise store.spool_mib",
        "spool_unwritable" => "the spool could not be written; look at the disk and the owner of store.data",
        "damaged" | "refused" => {
            "they are kept in spool/dead_letter of store.data, each with why; see `auscult spool list`"
        }
        "store_cap" => "the store reached store.disk_mib; raise it, or shorten retention",
        "disk_full" => "the disk of store.data is nearly full; make space, or shorten retention",
        "unencodable" => "they had no form in the store's format, which is a defect; the log names them",
        _ => "see docs/operations.md",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const HEAD: &str = "HTTP/1.0 200 OK\r\ncontent-type: x\r\n\r\n# HELP a b\nauscult_build_info{version=\"1\"} 1.0\n";

    fn lines(body: &str) -> Vec<Line> {
        let samples = metrics(&format!("{HEAD}{body}# EOF\n")).unwrap();
        told("http://127.0.0.1:8642", &samples, &Limits::default())
    }

    #[test]
    fn samples_are_read_with_their_labels() {
        let found = sample(r#"x_total{a="q\"u\\o\nte",b=""} 12"#).unwrap();
        assert_eq!((found.name.as_str(), found.label("a"), found.label("b")), ("x_total", "q\"u\\o\nte", ""));
        assert_eq!(sample("x 2.5").map(|s| (s.labels.len(), s.value)), Some((0, 2.5)));
        for broken in ["", "x", "x{", "x{a", "x{a=\"", "x{a=\"b\"", "x{a=\"b\" 1", "x{a=\"b\"} y", "x{a=\"\\"] {
            assert_eq!(sample(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn nothing_lost_is_said_in_one_line() {
        let found =
            lines("auscult_frames_read_total 5\nauscult_frames_missed_total{interface=\"e\",place=\"ring\"} 0\n");
        assert_eq!(found[1], ("losses".to_owned(), Found::Good("none since it was started".to_owned())));
        assert!(matches!(&found[0].1, Found::Good(text) if text.contains("5 frames read")), "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn each_loss_has_a_line_with_what_to_do() {
        let found = lines(concat!(
            "auscult_frames_read_total 960\n",
            "auscult_frames_missed_total{interface=\"eth1\",place=\"ring\"} 15\n",
            "auscult_frames_missed_total{interface=\"eth1\",place=\"queue\"} 5\n",
            "auscult_frames_missed_total{interface=\"eth2\",place=\"interface\"} 20\n",
            "auscult_frames_refused_total{reason=\"time_out_of_range\"} 4\n",
            "auscult_panics_total 0\n",
            "auscult_shedding_total{what=\"streams_refused\"} 7\n",
            "auscult_shedding_total{what=\"calls_shed\"} 0\n",
            "auscult_capture_finding{finding=\"sampled\"} 1\n",
            "auscult_capture_finding{finding=\"loss\"} 0\n",
            "auscult_capture_blackout_seconds_total 6\n",
            "auscult_store_dropped_rows_total{table=\"calls\",reason=\"refused\"} 1\n",
            "auscult_store_dropped_rows_total{table=\"streams\",reason=\"refused\"} 2\n",
            "auscult_store_dropped_rows_total{table=\"calls\",reason=\"queue_full\"} 0\n",
        ));
        let expected = [
            ("eth1 ring", "15 frames missed (1.50 % of all): ", "capture.ring_mib"),
            ("eth1 queue", "5 frames missed (0.50 % of all): ", "capture.measure_cpu"),
            ("eth2 interface", "20 frames missed (2.00 % of all): ", "ethtool -G"),
            ("frames refused", "4 by time out of range: ", "capture.timestamps"),
            ("full table", "7 streams refused: ", "limits.streams"),
            ("capture", "sampled in the last interval: ", "turn sampling off"),
            ("capture", "interrupted for 6 s in all: ", "mirror session"),
            ("store", "rows given up, 1 of calls, 2 of streams: ", "dead_letter"),
        ];
        assert_eq!(found.len(), 1 + expected.len(), "{found:?}");
        for ((name, found), (subject, lost, advice)) in found[1..].iter().zip(expected) {
            let Found::Lost(text) = found else { panic!("{name}: {found:?}") };
            assert!(name == subject && text.starts_with(lost) && text.contains(advice), "{name}: {text}");
        }
    }

    #[test]
    fn who_does_not_answer_or_is_somebody_else_is_said_in_one_line() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = other.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let _ = stream.read(&mut [0; 512]);
            stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\nnothing").unwrap();
        });
        for (at, says) in
            [(nobody, "nobody answers"), (silent.local_addr().unwrap(), "no answer in time"), (at, "no auscult")]
        {
            let found = losses(at, None, &Limits::default());
            let [(name, Found::Unknown(text))] = found.as_slice() else { panic!("{found:?}") };
            assert!(name == "running program" && text.contains(says) && text.contains(&at.to_string()), "{text}");
        }
    }

    #[test]
    fn all_addresses_are_asked_by_way_of_this_machine() {
        for (listen, at) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("192.0.2.7:80", "192.0.2.7:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), at.parse().unwrap());
        }
    }
}
