//! The whole program inside its sandbox: replay, queries, SIGHUP and restart go on, and no thread is outside.

use crate::program::{Program, TOKEN, json, reaches, rows, sql};
use crate::{engine, read, sample, temporary};
use auscult_capture::sandbox::Support;
use std::path::Path;

/// What the system says of a thread.
#[derive(Debug)]
pub struct Confinement {
    #[cfg_attr(not(feature = "live"), expect(dead_code, reason = "tests of live capture look at it"))]
    pub name: String,
    capabilities: Vec<String>,
    no_new_privileges: bool,
    filtered: bool,
    pub filters: u32,
}

impl Confinement {
    pub fn is_confined(&self) -> bool {
        self.capabilities.iter().all(|set| set == "0000000000000000") && self.no_new_privileges && self.filtered
    }
}

/// All threads of a program.
pub fn confinement(id: u32) -> Vec<Confinement> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("it is there").flatten();
    // A thread may end meanwhile.
    let states = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    states
        .map(|text| {
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
            Confinement {
                name: field("Name:").to_owned(),
                capabilities: ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].map(|set| field(set).to_owned()).to_vec(),
                no_new_privileges: field("NoNewPrivs:") == "1",
                filtered: field("Seccomp:") == "2",
                filters: field("Seccomp_filters:").parse().unwrap_or(0),
            }
        })
        .collect()
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(&new, path).expect("renamed");
}

fn settings(dir: &Path, more: &str) -> String {
    let text = format!(
        "[store]\nlisten = \"127.0.0.1:0\"\ntoken_file = {:?}\n[alerts]\nrules = [\"rules.d\"]\n{more}",
        dir.join("secrets/token")
    );
    replace(&dir.join("auscult.toml"), &text);
    dir.join("auscult.toml").display().to_string()
}

#[test]
fn the_program_works_in_the_sandbox_and_every_thread_is_in_it() {
    if !engine() {
        return;
    }
    let support = Support::of_this_kernel();
    if support.landlock_abi == 0 || !support.seccomp {
        testkit::skip(format_args!("this kernel has {support}"));
        return;
    }
    let dir = temporary();
    for name in ["secrets", "rules.d", "elsewhere"] {
        std::fs::create_dir(dir.path().join(name)).expect("made");
    }
    let token = dir.path().join("secrets/token");
    replace(&token, TOKEN);
    let config = settings(dir.path(), "");
    let data = dir.path().join("data");
    // Compressed ones are unpacked by threads that the measuring thread starts.
    let files = [sample("01-"), sample("02-"), sample("03-")];
    let mut program = Program::run(&data, &read(&files, &["-c", &config]));
    program.until(&format!("sandbox: no capabilities, no new privileges, {support}"));
    let line = program.until("the store answers ClickHouse's HTTP interface");
    let store = line.rsplit_once("http://").expect("an address").1.parse().expect("an address");
    let api = program.api();
    program.until(" frames in ");
    assert!(reaches(api, &rows("calls", "delivered"), 40), "it goes on");
    let threads = confinement(program.id());
    assert!(threads.len() > 5 && threads.iter().all(Confinement::is_confined), "{threads:?}");

    // More than three times the same, since the engine makes machine code of what is asked often where it may.
    let heavy = "SELECT codec, sum(unique_packets * 2 + 1), avg(mos_lq + 1) FROM streams GROUP BY codec ORDER BY codec, sum(lost + 1)";
    for _ in 0..6 {
        assert_eq!(sql(store, Some(TOKEN), heavy).0, 200);
    }
    let calls = json(api, "/api/v1/calls?limit=50");
    assert_eq!(calls["calls"].as_array().map(|calls| calls.len() > 40), Some(true), "{calls}");

    // Files that were replaced by rename are read again; what lies elsewhere is not.
    replace(&token, "another");
    program.signal("HUP");
    program.until("a new token for store.listen");
    assert_eq!((sql(store, Some(TOKEN), "SELECT 1").0, sql(store, Some("another"), "SELECT 1").0), (401, 200));
    std::fs::write(dir.path().join("elsewhere/bearer"), "secret\n").expect("written");
    // The directory of the configuration is open with all that is below it.
    settings(dir.path(), &format!("bearer_file = {:?}\n", dir.path().join("elsewhere/bearer")));
    program.signal("HUP");
    program.until("read again: ");
    let other = temporary();
    std::fs::write(other.path().join("bearer"), "secret\n").expect("written");
    settings(dir.path(), &format!("bearer_file = {:?}\n", other.path().join("bearer")));
    program.signal("HUP");
    let line = program.until("SIGHUP: nothing changed: ");
    assert!(
        line.contains("cannot read alerts.bearer_file")
            && line.ends_with("restart it (docs/operations.md, The sandbox)"),
        "{line}"
    );
    assert_eq!(program.terminate().code, 0);

    // After a restart it is readable, and the data is there.
    let mut next = Program::run(&data, &["-c", &config]);
    next.until("the store answers ClickHouse's HTTP interface");
    let api = next.api();
    assert_eq!(json(api, "/api/v1/calls?limit=50")["calls"], calls["calls"]);
    let end = next.terminate();
    assert!(end.code == 0 && !end.said.iter().any(|line| line.contains("WARN")), "{end:?}");
}

#[test]
fn it_can_be_switched_off_and_is_missed() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let config = dir.path().join("auscult.toml");
    std::fs::write(&config, "[sandbox]\nenabled = false\n").expect("written");
    let mut program = Program::run(&dir.path().join("data"), &["-c", &config.display().to_string()]);
    program.until("warning: sandbox.enabled = false: ");
    program.api();
    assert!(confinement(program.id()).iter().all(|thread| thread.filters == 0));
    let end = program.terminate();
    assert!(end.code == 0 && !end.says("sandbox: no capabilities"), "{end:?}");
}

/// Refused before anything is made.
#[cfg(feature = "live")]
#[test]
fn live_capture_does_not_go_on_as_root() {
    if !rustix::process::geteuid().is_root() {
        testkit::skip("this needs root");
        return;
    }
    let dir = temporary();
    let end = crate::program::end_of(&crate::program::run_arguments(&dir.path().join("data"), &["-i", "lo"]));
    assert!(end.code == 1 && end.error().contains("name in capture.user whom to become"), "{end:?}");
    assert!(!dir.path().join("data").exists());
}

/// The unit for systemd, by systemd's own figure: 0 is nothing to attack, 10 is everything.
#[test]
fn the_unit_leaves_little_to_attack() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/auscult.service");
    let analysed = std::process::Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(&unit)
        .env("SYSTEMD_COLORS", "0")
        .output();
    let Ok(analysed) = analysed else {
        testkit::skip("there is no systemd-analyze");
        return;
    };
    let text = String::from_utf8_lossy(&analysed.stdout);
    if !text.contains("Overall exposure level") {
        testkit::skip(format_args!(
            "systemd-analyze cannot look at a file: {}",
            String::from_utf8_lossy(&analysed.stderr).trim()
        ));
        return;
    }
    assert!(analysed.status.success(), "more than 2.0: {text}");
}
