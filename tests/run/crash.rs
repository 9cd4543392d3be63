//! `kill -9` at any moment of a replay, also of one that goes on: nothing missing, nothing twice.

use crate::events::{expected, same, stored_rows};
use crate::program::{Program, end_of, reaches, rows, run_arguments};
use crate::{engine, read, temporary, worlds};
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::rng::Rng;

/// When a start of the program is killed.
enum Moment {
    After(Duration),
    /// As soon as so many calls are safe in the spool.
    Calls(u64),
}

/// Starts a replay and kills it, unless it ends before. Says whether it was one that went on and was killed.
fn kill(data: &Path, files: &[PathBuf], pace: &str, moment: &Moment) -> bool {
    let mut program = Program::run(data, &read(files, &["--pace", pace, "--exit"]));
    let ended = match moment {
        Moment::After(time) => program.ended_within(*time),
        Moment::Calls(least) => {
            let api = program.api();
            !reaches(api, &rows("calls", "spooled"), *least)
        }
    };
    let end = if ended { program.end() } else { program.kill() };
    // What the capture is like may be said.
    let complains = |line: &String| line.starts_with("! ") && !line.contains("\"finding\"");
    assert!(!end.said.iter().any(complains), "{end:?}");
    assert!(end.code == 0 || end.code == -9, "{end:?}");
    end.code != 0 && end.says("going on with a replay")
}

/// Lets the last start end, and compares.
fn last(data: &Path, files: &[PathBuf]) {
    let last = end_of(&run_arguments(data, &read(files, &["--exit"])));
    assert_eq!(last.code, 0, "{last:?}");
    same(&stored_rows(data), &expected(files));
}

#[test]
fn a_replay_at_real_speed_survives_kills() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let files = [worlds::short_calls(dir.path(), 1)];
    let mut dice = Rng::new(11);
    let moments = (0..6).map(|_| Moment::After(Duration::from_millis(dice.range(500, 5_500) as u64)));
    let went_on: Vec<bool> = moments.map(|moment| kill(dir.path(), &files, "real", &moment)).collect();
    println!("killed while going on: {went_on:?}");
    last(dir.path(), &files);
}

#[test]
fn a_replay_at_full_speed_survives_kills() {
    if !engine() {
        return;
    }
    let captures = temporary();
    let files = worlds::busy_minutes(captures.path());
    testkit::for_seeds(21..23, |seed| {
        let dir = temporary();
        let mut dice = Rng::new(seed);
        // Enough is left to do after the third.
        for bound in [4, 8, 12] {
            let moment = Moment::Calls(dice.range(1, bound) as u64);
            kill(dir.path(), &files, "fast", &moment);
            let calls = stored_rows(dir.path())["calls"].len();
            println!("seed {seed}: killed with {calls} calls in the store");
        }
        let time = Moment::After(Duration::from_millis(dice.range(200, 2_000) as u64));
        kill(dir.path(), &files, "fast", &time);
        last(dir.path(), &files);
    });
}

#[test]
fn what_was_safe_when_the_program_was_killed_is_there_at_once() {
    if !engine() {
        return;
    }
    let captures = temporary();
    let files = worlds::busy_minutes(captures.path());
    let dir = temporary();
    let mut program = Program::run(dir.path(), &read(&files, &["--exit"]));
    let api = program.api();
    assert!(reaches(api, &rows("calls", "spooled"), 3), "killed before its end");
    program.kill();
    // A start without captures delivers what the spool holds.
    let mut program = Program::run(dir.path(), &[]);
    let api = program.api();
    assert!(reaches(api, &rows("calls", "delivered"), 3), "it delivers without being asked");
    assert_eq!(program.terminate().code, 0);
    let (stored_rows, expected) = (stored_rows(dir.path()), expected(&files));
    let stored = stored_rows["calls"].len();
    assert!(stored >= 3, "{stored} calls");
    assert!(stored_rows["calls"].iter().all(|call| expected["calls"].contains(call)), "and nothing else");
    last(dir.path(), &files);
}
