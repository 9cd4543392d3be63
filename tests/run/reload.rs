//! SIGHUP: the configuration is read again; nothing is lost, and a bad file changes nothing.

use crate::program::{Program, TOKEN, metric, reaches, rows, run_arguments, sql};
use crate::{engine, temporary, worlds};
use std::path::Path;
use std::time::Duration;

fn settings(dir: &Path, name: &str, more: &str) -> String {
    let file = dir.join("auscult.toml");
    let text = format!(
        "[measure]\ninterval_s = 1\n[[trunk]]\nname = {name:?}\nnetworks = [\"192.0.2.0/24\"]\n\
         [store]\nlisten = \"127.0.0.1:0\"\ntoken_file = {:?}\n{more}",
        dir.join("token").display()
    );
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

/// A replay at its own speed whose trunk gets another name in the middle: each interval has one name, and the page's
/// figures have it from the same moment as the rows.
#[test]
fn a_new_trunk_list_takes_effect_at_a_boundary_everywhere() {
    if !engine() {
        return;
    }
    let dir = temporary();
    std::fs::write(dir.path().join("token"), "first\n").expect("a file");
    let capture = worlds::short_calls(dir.path(), 5).display().to_string();
    let file = settings(dir.path(), "before", "");
    let data = dir.path().join("data");
    let more = ["-c", &file, "--read", &capture, "--pace", "real"];
    let mut program = Program::run(&data, &more);
    let line = program.until("the store answers ClickHouse's HTTP interface");
    let store = line.rsplit_once("http://").expect("an address").1.parse().expect("an address");
    let api = program.api();
    let histogram = "rtp_delay_variation_seconds_count{codec=\"PCMU\",trunk=\"before\"}";
    assert!(reaches(api, histogram, 1), "rows of the first name come");

    std::fs::write(&file, "[measure]\nintervall_s = 1\n").expect("a file");
    program.signal("HUP");
    let line = program.until("SIGHUP: nothing changed: ");
    assert!(line.starts_with("! auscult: ") && line.contains("line 2: unknown field `intervall_s`"), "{line}");

    settings(dir.path(), "after", "[limits]\ncalls = 7\n");
    std::fs::write(dir.path().join("token"), "second\n").expect("a file");
    program.signal("HUP");
    let line = program.until("read again: ");
    let said =
        "trunks from the next interval on: after; a new token for store.listen; only a restart applies limits.calls";
    assert!(line.ends_with(said), "{line}");
    assert_eq!((sql(store, Some("first"), "SELECT 1").0, sql(store, Some("second"), "SELECT 1").0), (401, 200));

    program.until(" frames in ");
    // What is open at the end of the file comes after that line, the calls last.
    assert!(reaches(api, &rows("calls", "received"), 18), "it serves on");
    let after = metric(api, "rtp_delay_variation_seconds_count{codec=\"PCMU\",trunk=\"after\"}").expect("an answer");
    let before = metric(api, histogram).expect("an answer");
    assert!(before > 0 && after > 0, "{before} and {after}");
    assert_eq!(program.terminate().code, 0);
    // Rows of the last moments may still be in the spool.
    let mut next = Program::run(&data, &[]);
    let api = next.api();
    while metric(api, "auscult_spool_rows") != Some(0) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(next.terminate().code, 0);
    let (_store, address) = Program::store(&data.join("clickhouse"), "127.0.0.1:0");
    let ask = |statement: &str| sql(address, Some(TOKEN), statement).1.trim().to_owned();
    let of = "FROM stream_intervals FORMAT TSV";
    assert_eq!(
        ask(&format!(
            "SELECT groupUniqArray(trunk) = ['after', 'before'] OR groupUniqArray(trunk) = ['before', 'after'], \
            maxIf(start_at, trunk = 'before') < minIf(start_at, trunk = 'after') {of}"
        )),
        "1\t1",
        "{}",
        ask("SELECT start_at, trunk, count() FROM stream_intervals GROUP BY ALL ORDER BY ALL FORMAT TSV")
    );
    let sum = |name: &str| {
        let samples = format!("SELECT sum(arraySum(pdv)) FROM stream_intervals WHERE trunk = '{name}' FORMAT TSV");
        ask(&samples)
    };
    assert_eq!((sum("before"), sum("after")), (before.to_string(), after.to_string()), "page and rows agree");
}

#[test]
fn without_a_file_and_at_any_moment_it_is_safe() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let mut program = Program::run(dir.path(), &[]);
    // During the start, and several at once.
    program.until("opening the store");
    (0..20).for_each(|_| program.signal("HUP"));
    let api = program.api();
    program.signal("HUP");
    program.until("SIGHUP: no configuration file to read again");
    assert_eq!(metric(api, "auscult_panics_total"), Some(0));
    // And while it ends.
    program.signal("TERM");
    for _ in 0..20 {
        if program.ended_within(Duration::ZERO) {
            break;
        }
        program.hang_up();
    }
    let end = program.end();
    assert_eq!((end.code, end.said.iter().any(|line| line.starts_with("! "))), (0, false), "{end:?}");
}

#[test]
fn the_arguments_still_count_more_than_the_file() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let file = dir.path().join("auscult.toml");
    std::fs::write(&file, "").expect("a file");
    let mut program = Program::start(&run_arguments(&dir.path().join("data"), &["-c", &file.display().to_string()]));
    let api = program.api();
    std::fs::write(&file, "[api]\nlisten = \"127.0.0.1:1\"\n").expect("a file");
    program.signal("HUP");
    let line = program.until("read again: ");
    assert!(line.ends_with("read again: only a restart applies api.listen"), "{line}");
    assert_eq!(metric(api, "auscult_panics_total"), Some(0), "it answers where it did");
    assert_eq!(program.terminate().code, 0);
}
