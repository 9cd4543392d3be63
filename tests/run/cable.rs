//! Known streams over a cable, captured as they come: none missed with room enough; every one that is missed counted,
//! in the intervals it was missed in; an interface that goes down and comes back.

use crate::program::{Program, TOKEN, capture_user, deliver, end_of, metric, reaches, run_arguments, sql};
use crate::sandbox::confinement;
use crate::{engine, temporary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::bulk::Streams;
use testkit::{network, send};

/// Directory of release binaries: the test at line rate runs these. See `make live-test`.
const RELEASE: &str = "AUSCULT_LIVE_BIN";

/// A network of its own with an engine, or a line that says what is missing.
fn ready() -> bool {
    engine() && network::own_network().map_err(testkit::skip).is_ok()
}

fn settings(dir: &Path, interval_s: u32, capture: &str) -> String {
    let path = dir.join("auscult.toml");
    let text = format!(
        "[capture]\ninterfaces = [\"cable1\"]\nfilter = \"udp\"\n{capture}\n{}\n[measure]\ninterval_s = {interval_s}\n",
        capture_user(dir)
    );
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn plan(streams: u32, seconds: u32) -> Streams {
    Streams { payload: 160, ..Streams::new(streams, seconds) }
}

/// Asks the stored tables when the program has ended.
fn stored<T>(dir: &Path, ask: impl FnOnce(&dyn Fn(&str) -> String) -> T) -> T {
    deliver(dir);
    let (_store, address) = Program::store(&dir.join("clickhouse"), "127.0.0.1:0");
    ask(&|statement| {
        let (status, body) = sql(address, Some(TOKEN), &format!("{statement} FORMAT TSV"));
        assert_eq!(status, 200, "{statement}: {body}");
        body.trim().to_owned()
    })
}

/// Packets and losses of each stream by its source port and SSRC.
const STREAMS: &str = "SELECT src_port, ssrc, unique_packets, expected, lost, duplicates_network, reordered, capture_drops \
                       FROM streams ORDER BY src_port, ssrc";

fn as_sent(plan: &Streams) -> String {
    let rows: BTreeMap<(u16, u32), u32> =
        (0..plan.streams).map(|i| plan.truth(i)).map(|f| ((f.src.port(), f.ssrc), f.unique)).collect();
    let lines = rows.iter().map(|((port, ssrc), n)| format!("{port}\t{ssrc}\t{n}\t{n}\t0\t0\t0\t0"));
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn all_as_sent(dir: &Path, plan: &Streams) {
    stored(dir, |ask| {
        let drops = ask(
            "SELECT sum(frames), sum(dropped_ring), sum(dropped_interface), sum(dropped_queue) FROM capture_intervals",
        );
        assert_eq!(drops, format!("{}\t0\t0\t0", plan.frames_total()));
        let (found, sent) = (ask(STREAMS), as_sent(plan));
        let differ = found.lines().zip(sent.lines()).find(|(found, sent)| found != sent);
        assert_eq!(differ, None, "stored and sent");
        assert_eq!(found.lines().count(), sent.lines().count());
    });
}

#[test]
fn nothing_is_missed_with_one_ring_or_with_several() {
    if !ready() {
        return;
    }
    for threads in [1, 3] {
        let dir = temporary();
        let config = settings(dir.path(), 1, &format!("threads = {threads}\ncpus = [0]"));
        let mut program = Program::run(dir.path(), &["--config", &config]);
        let api = program.api();
        let plan = plan(400, 3);
        send::send(&plan, "cable0").expect("sent");
        assert!(reaches(api, "auscult_frames_read_total", plan.frames_total()), "it goes on");
        assert_eq!(program.terminate().code, 0);
        all_as_sent(dir.path(), &plan);
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the program's times are the host's")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Sleeps into the next second, to the middle of it.
fn middle_of_a_second() {
    std::thread::sleep(Duration::from_secs_f64(1.5 - now().fract()));
}

#[test]
fn a_stopped_reader_misses_what_it_counts_and_marks_the_time_it_was_stopped() {
    if !ready() {
        return;
    }
    let dir = temporary();
    let config = settings(dir.path(), 1, "ring_mib = 1");
    let mut program = Program::run(dir.path(), &["--config", &config]);
    let api = program.api();
    // A ring of two thirds of a second, so that a busy host is not a stopped reader.
    let plan = plan(100, 9);
    let sender = {
        let plan = plan.clone();
        std::thread::spawn(move || send::send(&plan, "cable0").expect("sent"))
    };
    assert!(reaches(api, "auscult_frames_read_total", 1000), "it goes on");
    middle_of_a_second();
    program.signal("STOP");
    let stopped = now() as u64;
    std::thread::sleep(Duration::from_secs(2));
    middle_of_a_second();
    let resumed = now() as u64;
    program.signal("CONT");
    let missed = |place| format!("auscult_frames_missed_total{{interface=\"cable1\",place=\"{place}\"}}");
    let seen = || ["ring", "interface", "queue"].map(|place| metric(api, &missed(place)).expect("it goes on"));
    // On a busy host the reader comes back late, and really misses more: until when is what its counters say.
    let (mut last, mut changed) = (seen(), now() as u64);
    for _ in 0..2000 {
        let read = metric(api, "auscult_frames_read_total").expect("it goes on");
        let missed = seen();
        if missed != last {
            (last, changed) = (missed, now() as u64);
        }
        if sender.is_finished() && read + last.iter().sum::<u64>() >= plan.frames_total() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    sender.join().expect("sent");
    let [ring, interface, queue] = seen();
    assert!(ring > 0);
    let doctor = end_of(&["doctor", "--listen", &api.to_string()]);
    let said = doctor.said.iter().find(|line| line.starts_with("cable1 ring")).expect("a line for the ring");
    assert!(said.contains(" lost ") && said.contains(&format!(" {ring} frames missed")), "{said}");
    assert!(said.contains("capture.ring_mib"), "{said}");
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
    stored(dir.path(), |ask| {
        let sum = "SELECT sum(frames) + sum(dropped_ring + dropped_interface + dropped_queue), sum(dropped_ring), \
                   sum(dropped_interface), sum(dropped_queue) FROM capture_intervals";
        assert_eq!(
            ask(sum),
            format!("{}\t{ring}\t{interface}\t{queue}", plan.frames_total()),
            "delivered and dropped are sent"
        );
        let marked = ask("SELECT toUnixTimestamp(start_at) AS s FROM capture_intervals \
                          WHERE dropped_ring + dropped_interface + dropped_queue > 0 GROUP BY s ORDER BY s");
        let end = marked.lines().last().and_then(|s| s.parse().ok()).expect("a second");
        assert!((resumed..=changed).contains(&end), "{resumed} to {changed}: {marked}");
        let overlap = (stopped..=end).map(|s| s.to_string()).collect::<Vec<_>>().join("\n");
        assert_eq!(marked, overlap, "intervals with drops are those of the stop");
        let rows =
            "SELECT DISTINCT toUnixTimestamp(start_at) AS s FROM stream_intervals WHERE capture_drops > 0 ORDER BY s";
        assert_eq!(ask(rows), overlap, "and rows of streams say so");
        let lost =
            "SELECT loss_source, count() > 0, sum(lost) > 0 FROM stream_intervals WHERE lost > 0 GROUP BY loss_source";
        assert_eq!(ask(lost), "capture\t1\t1", "no loss is the network's");
        let streams = "SELECT count(), countIf(lost > 0 AND loss_source = 'capture'), sum(lost) FROM streams";
        let lost = plan.frames_total() - sum_of_frames(ask);
        assert_eq!(ask(streams), format!("{0}\t{0}\t{lost}", plan.streams), "every stream lost what the probe missed");
    });
}

fn sum_of_frames(ask: &dyn Fn(&str) -> String) -> u64 {
    ask("SELECT sum(frames) FROM capture_intervals").parse().expect("a number")
}

#[test]
fn an_interface_that_goes_down_is_waited_for() {
    if !ready() {
        return;
    }
    let dir = temporary();
    let config = settings(dir.path(), 1, "");
    let mut program = Program::run(dir.path(), &["--config", &config]);
    let api = program.api();
    let plan = plan(20, 1);
    send::send(&plan, "cable0").expect("sent");
    assert!(reaches(api, "auscult_frames_read_total", plan.frames_total()), "it goes on");
    network::ip("link set cable1 down").expect("down");
    program.until("cable1 is down; nothing is captured until it is up again");
    network::ip("link set cable1 up").expect("up");
    program.until("cable1 is up again");
    send::send(&plan, "cable0").expect("sent");
    assert!(reaches(api, "auscult_frames_read_total", 2 * plan.frames_total()), "it goes on");
    each_thread_is_confined(&program);
    assert!(status(&program, "Uid:").split_whitespace().all(|id| id != "0"));
    program.signal("TERM");
    assert!(program.ended_within(Duration::from_secs(20)), "it ends");
}

#[test]
fn it_leaves_while_frames_still_come_and_loses_none_that_it_took() {
    if !ready() {
        return;
    }
    let dir = temporary();
    let config = settings(dir.path(), 1, "ring_mib = 64");
    let mut program = Program::run(dir.path(), &["--config", &config]);
    let api = program.api();
    // A minute: longer than any shutdown takes that does not wait for the end of the frames.
    let plan = plan(400, 60);
    let sender = {
        let plan = plan.clone();
        std::thread::spawn(move || send::send(&plan, "cable0").expect("sent"))
    };
    assert!(reaches(api, "auscult_frames_read_total", 20_000), "it goes on");
    let end = program.terminate();
    assert_eq!(end.code, 0, "{end:?}");
    assert!(!sender.is_finished(), "it waited for the frames to end");
    stored(dir.path(), |ask| {
        let streams = ask("SELECT count(), countIf(lost > 0), sum(unique_packets) >= 20000 FROM streams");
        assert_eq!(streams, format!("{}\t0\t1", plan.streams));
        let packets =
            "SELECT (SELECT sum(unique_packets) FROM streams) = sum(frames), sum(dropped_queue) FROM capture_intervals";
        assert_eq!(ask(packets), "1\t0", "every frame is in a stream");
    });
}

/// No thread has a capability or a way to one; capture and measuring threads have a filter more than the others.
fn each_thread_is_confined(program: &Program) {
    let states = confinement(program.id());
    let filters = |name: &str| -> Vec<u32> {
        states.iter().filter(|thread| thread.name.starts_with(name)).map(|thread| thread.filters).collect()
    };
    assert!(states.iter().all(|thread| thread.is_confined()), "{states:?}");
    let (process, ring, feed) = (filters("runtime"), filters("ring-"), filters("feed"));
    assert!(!process.is_empty() && process.iter().all(|count| *count == process[0]), "{states:?}");
    assert_eq!((ring, feed), (vec![process[0] + 1], vec![process[0] + 1]), "{states:?}");
}

/// A line of what the system says of the program.
fn status(program: &Program, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/status", program.id())).expect("it is there");
    text.lines().find_map(|line| line.strip_prefix(field)).expect(field).trim().to_owned()
}

/// At line rate, with the release binaries: run by `make live-test`, for which it prints what was used.
#[test]
#[ignore = "needs the release binaries and both processors: make live-test"]
fn line_rate() {
    let Some(bin) = std::env::var_os(RELEASE).map(PathBuf::from) else {
        testkit::skip(format_args!("{RELEASE} is not set; `make live-test` does it"));
        return;
    };
    if !ready() {
        return;
    }
    let number = |name: &str, usual: u32| std::env::var(name).map_or(usual, |n| n.parse().expect(name));
    let (streams, seconds) = (number("STREAMS", 5000), number("SECONDS", 20));
    let capture = std::env::var("CAPTURE").unwrap_or_else(|_| "ring_mib = 256".to_owned()).replace(';', "\n");
    let plan = plan(streams, seconds);
    let dir = temporary();
    let config = settings(dir.path(), number("INTERVAL", 10), &capture);
    let arguments = run_arguments(dir.path(), &["--config", &config]);
    let mut release = Command::new(bin.join("auscult"));
    release.args(&arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = Program::spawn(&mut release);
    let api = program.api();
    let before = threads(program.id());
    let load =
        ["send", "--streams", &streams.to_string(), "--seconds", &seconds.to_string(), "cable0"].map(str::to_owned);
    let sent = Command::new(bin.join("testkit")).args(load).output().expect("a sender");
    assert!(sent.status.success(), "{sent:?}");
    print!("{}", String::from_utf8_lossy(&sent.stdout));
    for (name, ticks) in threads(program.id()) {
        let used = ticks - before.get(&name).copied().unwrap_or(0);
        if used > 0 {
            println!("{name}: {:.1} % of a processor", used as f64 / f64::from(seconds));
        }
    }
    println!(
        "resident: {} MiB",
        status(&program, "VmRSS:").trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    );
    println!("capture: {capture}");
    for place in ["ring", "interface", "queue"] {
        let name = format!("auscult_frames_missed_total{{interface=\"cable1\",place=\"{place}\"}}");
        println!("missed, {place}: {}", metric(api, &name).expect("it goes on"));
    }
    assert!(reaches(api, "auscult_frames_read_total", plan.frames_total()), "it goes on");
    assert_eq!(program.terminate().code, 0);
    all_as_sent(dir.path(), &plan);
}

/// Hundredths of a second of processor time by name of thread.
fn threads(id: u32) -> BTreeMap<String, u64> {
    let mut used = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{id}/task")).expect("it is there").flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, s)| s.rsplit_once(") ")) else { continue };
        let ticks = rest.split(' ').skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum::<u64>();
        *used.entry(name.to_owned()).or_insert(0) += ticks;
    }
    used
}
