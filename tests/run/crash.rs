//! `kill -9` at any moment of a replay, also of one that goes on: nothing missing, nothing twice.

use crate::facts::{expected, held, same};
use crate::program::{Program, end_of, run_arguments};
use crate::{engine, read, temporary, worlds};
use std::time::Duration;
use testkit::rng::Rng;

/// Kills each start after a seeded time, and lets the last one end.
fn killed(seed: u64, times_ms: std::ops::Range<i64>, kills: u32, files: &[std::path::PathBuf], pace: &str) {
    let dir = temporary();
    let mut dice = Rng::new(seed);
    let mut went_on = 0;
    for _ in 0..kills {
        let mut program = Program::run(dir.path(), &read(files, &["--pace", pace, "--exit"]));
        let time = Duration::from_millis(dice.range(times_ms.start, times_ms.end) as u64);
        if !program.ended_within(time) {
            let end = program.kill();
            assert!(!end.says("! "), "{end:?}");
            went_on += u32::from(end.says("going on with a replay"));
        } else {
            let end = program.end();
            assert_eq!(end.code, 0, "{end:?}");
        }
    }
    let last = end_of(&run_arguments(dir.path(), &read(files, &["--exit"])));
    assert_eq!(last.code, 0, "{last:?}");
    println!("seed {seed}: {went_on} of {kills} kills hit a replay that went on; last: {:?}", last.said);
    same(&held(dir.path()), &expected(files));
}

#[test]
fn a_replay_at_real_speed_survives_kills() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let files = [worlds::short_calls(dir.path(), 1)];
    killed(11, 800..6_500, 6, &files, "real");
}

#[test]
fn a_replay_at_full_speed_survives_kills() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let files = [worlds::many_streams(dir.path())];
    for seed in 21..23 {
        killed(seed, 300..3_000, 4, &files, "fast");
    }
}
