//! Files and directories of a running program: private to its user, whatever was there before.

use crate::program::{Program, command, end_of, json, run_arguments};
use crate::{engine, read, sample, temporary};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Files and directories below `dir` that group or others may touch.
fn open_to_others(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(path) = left.pop() {
        let about = path.symlink_metadata().expect("it is there");
        if !about.is_symlink() && about.permissions().mode() & 0o077 != 0 {
            found.push(format!("{} {:o}", path.display(), about.permissions().mode()));
        }
        if about.is_dir() {
            left.extend(std::fs::read_dir(&path).expect("readable").map(|entry| entry.expect("an entry").path()));
        }
    }
    found
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Replays one sample and ends, under a umask that hides nothing.
fn replayed(data: &Path) -> crate::program::End {
    let files = [sample("05-")];
    let mut arguments: Vec<String> = vec!["-c".into(), "umask 0; exec \"$0\" \"$@\"".into()];
    arguments.push(env!("CARGO_BIN_EXE_auscult").to_owned());
    arguments.extend(run_arguments(data, &read(&files, &["--exit"])));
    let mut shell = std::process::Command::new("sh");
    shell.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Program::spawn(&mut shell).end()
}

#[test]
fn all_that_the_program_makes_is_private_and_a_planted_link_is_not_followed() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let (data, victim) = (dir.path().join("data"), dir.path().join("victim"));
    std::fs::write(&victim, "precious").expect("a file");
    std::fs::create_dir(&data).expect("a directory");
    symlink(&victim, data.join("replays.json.new")).expect("a link");
    let end = replayed(&data);
    assert!(end.code == 0 && end.says("stored"), "{end:?}");
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    assert!(data.join("replays.json").is_file() && data.join("clickhouse/store").is_dir());
    assert_eq!(std::fs::read_to_string(&victim).expect("it is there"), "precious");
}

#[test]
fn a_store_of_an_earlier_version_becomes_private_and_keeps_its_rows() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let data = dir.path().join("data");
    assert_eq!(replayed(&data).code, 0);
    let closed: [PathBuf; 3] = [data.clone(), data.join("spool"), data.join("clickhouse")];
    closed.iter().for_each(|path| set_mode(path, 0o755));
    set_mode(&data.join("replays.json"), 0o644);
    let mut program = Program::run(&data, &[]);
    program.until("4 files and directories were open to other users; they are private now");
    let api = program.api();
    let range = json(api, "/api/v1/range");
    assert!(range["calls"].as_u64().is_some_and(|calls| calls > 0), "{range}");
    assert_eq!(program.terminate().code, 0);
    assert_eq!(open_to_others(&data), Vec::<String>::new());
}

#[test]
fn a_directory_that_others_could_exchange_is_refused_in_one_line() {
    let dir = temporary();
    let open = dir.path().join("open");
    std::fs::create_dir(&open).expect("a directory");
    set_mode(&open, 0o777);
    let refused = end_of(&run_arguments(&open.join("data"), &[]));
    assert!(refused.code == 1 && refused.error().contains("chmod o-w"), "{refused:?}");
}

#[test]
fn a_library_in_the_working_directory_is_not_loaded() {
    let dir = temporary();
    let vendor = dir.path().join("vendor");
    std::fs::create_dir(&vendor).expect("a directory");
    std::fs::write(vendor.join("libchdb.so"), "not a library").expect("a file");
    let data = dir.path().join("data");
    let mut stranger = command(&run_arguments(&data, &[]));
    stranger.current_dir(dir.path()).env("AUSCULT_LIBCHDB", "vendor/libchdb.so");
    let refused = Program::spawn(&mut stranger).end();
    assert!(refused.code == 1 && refused.error().contains("its path must be absolute"), "{refused:?}");
    let mut stranger = command(&["doctor"]);
    stranger.current_dir(dir.path()).env_remove("AUSCULT_LIBCHDB").env("HOME", dir.path());
    let end = Program::spawn(&mut stranger).end();
    let here = dir.path().display().to_string();
    assert!(!end.says(&format!("{here}/vendor")), "{end:?}");
}
