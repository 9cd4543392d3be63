//! Segments that were cut or changed on disk, and directories in use.

use crate::samples::{call, labels};
use crate::{Dice, counts, embedded, library, now, put, quick};
use auscult_store::chdb::{ChdbEngine, EngineLimits};
use auscult_store::rowbinary::RowBinary;
use auscult_store::rows::{Record, Table};
use auscult_store::spool::{Spool, SpoolLimits, encode};
use auscult_store::writer::{DropReason, Leftover};
use auscult_store::{StoreError, StoreWriter};
use std::path::Path;
use std::time::Duration;

/// A spool of so many segments, ten calls in each.
fn fill(at: &Path, segments: u64) {
    let mut spool = Spool::open(at, SpoolLimits::default()).unwrap();
    for segment in 0..segments {
        let mut rows = RowBinary::default();
        for n in 0..10 {
            Record::Call(Box::new(call(segment * 10 + n))).encode(&labels(), now(), &mut rows).unwrap();
        }
        let (number, token) = spool.next_ticket();
        put(&mut spool, &encode(number, Table::Calls, token, &rows).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_segments_are_set_aside_and_later_ones_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let seed = 0x5eed_0003;
    let mut dice = Dice(seed);
    let at = dir.path().join("spool");
    fill(&at, 30);
    let mut damaged = 0;
    let mut files: Vec<_> = std::fs::read_dir(&at).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "seg")) {
        let mut bytes = std::fs::read(path).unwrap();
        let somewhere = dice.roll(bytes.len() as u64) as usize;
        match dice.roll(4) {
            0 => bytes.truncate(somewhere),
            1 => bytes[somewhere] ^= 1 << dice.roll(8),
            _ => continue,
        }
        damaged += 1;
        std::fs::write(path, bytes).unwrap();
    }
    assert!((3..27).contains(&damaged), "seed {seed:#x}");
    std::fs::write(at.join("0000000000000099-calls-1.tmp"), b"never renamed").unwrap();
    std::fs::write(at.join("notes.txt"), b"not ours").unwrap();
    let (_, writer) = StoreWriter::start(store.clone(), &at, labels(), quick()).unwrap();
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(30)).await, Leftover::default());
    let counted = counters.snapshot().table(Table::Calls);
    assert_eq!(counted.dropped, [(DropReason::Damaged, damaged * 10)], "seed {seed:#x}");
    assert_eq!(counted.delivered, 300 - damaged * 10);
    assert_eq!(counts(&store, "calls").await, (counted.delivered, counted.delivered));
    assert!(!at.join("0000000000000099-calls-1.tmp").exists() && at.join("notes.txt").exists());
}

/// A crash after the store committed and before the segment's file was gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_comes_back_after_its_delivery_is_not_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let (at, aside) = (dir.path().join("spool"), dir.path().join("aside"));
    std::fs::create_dir(&aside).unwrap();
    fill(&at, 5);
    let copy = |from: &Path, to: &Path| {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|e| e == "seg") {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    copy(&at, &aside);
    for run in 1..=3 {
        let (sender, writer) = StoreWriter::start(store.clone(), &at, labels(), quick()).unwrap();
        let counters = writer.counters();
        assert_eq!(writer.drain(Duration::from_secs(30)).await, Leftover::default());
        assert_eq!(counters.snapshot().table(Table::Calls).delivered, 50, "run {run}");
        assert_eq!(counts(&store, "calls").await, (50, 50), "run {run}");
        drop(sender);
        copy(&aside, &at);
    }
}

#[test]
fn a_directory_in_use_is_one_clear_line() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (process, _) = crate::child::server(dir.path(), "127.0.0.1:0");
    let Err(error) = ChdbEngine::open(&library, dir.path(), &EngineLimits::default()) else { panic!("opened twice") };
    assert!(matches!(error, StoreError::Locked { process: Some(_), .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("another auscult (process ") && text.lines().count() == 1, "{text}");
    process.kill("nothing");
    assert!(ChdbEngine::open(&library, dir.path(), &EngineLimits::default()).is_ok(), "the lock dies with its process");
}
