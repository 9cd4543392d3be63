//! Settings and the small commands around them.

use crate::program::{Program, command, end_of};
use crate::{engine, temporary};

fn check(text: &str) -> crate::program::End {
    let dir = temporary();
    let file = dir.path().join("auscult.toml");
    std::fs::write(&file, text).expect("a file");
    end_of(&["check-config", &file.display().to_string()])
}

#[test]
fn settings_are_checked_and_errors_name_the_place() {
    let good = check("[probe]\nname = \"berlin-1\"\n[measure]\ninterval_s = 10\n[api]\nlisten = \"127.0.0.1:0\"\n");
    assert!(good.code == 0 && good.says("auscult.toml: good"), "{good:?}");
    assert!(good.says("memory of the tables: 19257 MiB at worst with all tables full (calls "), "{good:?}");
    let (refused, not) =
        ("`run` as root refuses to listen on interfaces", "[capture]\ninterfaces = [\"lo\"]\nuser = \"nobody\"\n");
    assert!(check("[capture]\ninterfaces = [\"lo\"]\n").says(refused) && !check(not).says(refused));
    assert!(check("[sandbox]\nenabled = false\n").says("warning: sandbox.enabled = false: "));
    for (text, expected) in [
        ("[measure]\n\nintervall_s = 10\n", "auscult.toml: line 3: unknown field `intervall_s`"),
        ("[measure]\ninterval_s = \"ten\"\n", "auscult.toml: line 2: "),
        ("[measure]\ninterval_s = 0\n", "auscult.toml: measure.interval_s = 0: it must be from 1 to 60"),
        ("[store]\nlisten = \"127.0.0.1:0\"\n", "needs store.token_file"),
        ("[limits]\nmemory_mib = 512\nstreams = 400000\n", "limits.memory_mib = 512: the limits that are set need "),
        ("[store\n", "auscult.toml: line 1: "),
        ("[store]\npassword_file = \"/nonexistent\"\n", "cannot read store.password_file /nonexistent"),
    ] {
        let bad = check(text);
        assert!(bad.code == 1 && bad.error().contains(expected), "{text:?}: {bad:?}");
    }
    let missing = end_of(&["check-config", "/nonexistent.toml"]);
    assert!(missing.code == 1 && missing.error().contains("/nonexistent.toml"), "{missing:?}");
}

#[test]
fn flags_override_the_file() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let (file, of_file, of_flag) =
        (dir.path().join("auscult.toml"), dir.path().join("of-file"), dir.path().join("of-flag"));
    let text = format!("[api]\nlisten = \"192.0.2.1:1\"\nplain_http = true\n[store]\ndata = {:?}\n", of_file.display());
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    let refused = end_of(&["run", "-c", &file]);
    assert!(
        refused.code == 1 && refused.error().contains("api.listen = 192.0.2.1:1: other hosts reach it"),
        "{refused:?}"
    );
    let mut program = Program::run(&of_flag, &["-c", &file]);
    assert!(program.api().ip().is_loopback());
    assert_eq!(program.terminate().code, 0);
    assert!(of_flag.join("clickhouse").is_dir() && !of_file.exists());
    let both = end_of(&["run", "-i", "lo", "--read", "x.pcap"]);
    assert!(both.code == 1 && both.error().contains("exclude each other"), "{both:?}");
}

#[test]
fn the_schema_is_printed_for_a_server_and_a_cluster() {
    let server = end_of(&["schema"]);
    assert!(server.code == 0 && server.says("CREATE TABLE IF NOT EXISTS `auscult`.calls"), "{server:?}");
    assert!(!server.says("ON CLUSTER"));
    let cluster = end_of(&["schema", "--cluster", "noc"]);
    assert!(cluster.code == 0 && cluster.says("calls_local ON CLUSTER 'noc'") && cluster.says("Distributed('noc'"));
}

#[test]
fn doctor_says_what_is_there_and_what_is_not() {
    let mut command = command(&["doctor"]);
    command.env("AUSCULT_LIBCHDB", "/nonexistent");
    let end = Program::spawn(&mut command).end();
    assert_eq!(end.code, 0, "{end:?}");
    let line = end.said.iter().find(|line| line.starts_with("embedded store")).expect("a line for the store");
    assert!(line.contains("missing") && line.contains("make engine"), "{line}");
    assert!(end.says("limits only what is named there"), "{end:?}");
    let line = end.said.iter().find(|line| line.starts_with("sandbox ")).expect("a line for the sandbox");
    assert!(line.contains("Landlock") && line.contains("seccomp"), "{line}");
    if engine() {
        let end = end_of(&["doctor"]);
        let line = end.said.iter().find(|line| line.starts_with("embedded store")).expect("a line for the store");
        assert!(line.contains(" ok "), "{line}");
    }
}

#[test]
fn doctor_asks_the_running_program_what_it_lost() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let mut program = Program::run(dir.path(), &[]);
    let api = program.api().to_string();
    let end = end_of(&["doctor", "--listen", &api]);
    let line = |name: &str| end.said.iter().find(|line| line.starts_with(name)).expect(name);
    assert!(line("running program").contains(" ok ") && line("running program").contains(&api), "{end:?}");
    assert!(line("losses").contains("none since it was started"), "{end:?}");
    assert_eq!(program.terminate().code, 0);
    let file = dir.path().join("auscult.toml");
    std::fs::write(&file, format!("[api]\nlisten = \"{api}\"\n")).expect("a file");
    let end = end_of(&["doctor", "--config", &file.display().to_string()]);
    assert!(end.code == 0 && end.says(&format!("nobody answers on {api}")), "{end:?}");
}
