//! Several files as one timeline.

use super::build::*;
use auscult_capture::{CaptureError, Timeline};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Frames with their times, each one byte that is its number, as pcap files.
fn files(of: &[Vec<(i64, u8)>]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let paths = of.iter().enumerate().map(|(n, frames)| {
        let mut file = LITTLE.pcap_header(0xa1b2_3c4d, 1);
        for (at, number) in frames {
            let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
            file.extend(LITTLE.pcap_record(seconds as u32, nanos as u32, &[*number]));
        }
        let path = folder.path().join(format!("{n:03}"));
        fs::write(&path, file).expect("written");
        path
    });
    let paths = paths.collect();
    (folder, paths)
}

fn drain(timeline: &mut Timeline) -> Vec<(i64, u8)> {
    let mut frames = Vec::new();
    while let Some(frame) = timeline.next_frame().expect("readable") {
        frames.push((frame.at.0, frame.bytes[0]));
    }
    frames
}

fn merged(of: &[Vec<(i64, u8)>]) -> Vec<(i64, u8)> {
    let (_folder, paths) = files(of);
    drain(&mut Timeline::open(&paths).expect("captures"))
}

#[test]
fn files_that_follow_each_other_are_the_whole_in_whatever_order_they_are_named() {
    let (a, b, c) = (vec![(10, 1), (20, 2)], vec![(30, 3), (40, 4)], vec![(50, 5)]);
    assert_eq!(merged(&[c, a, vec![], b]), [(10, 1), (20, 2), (30, 3), (40, 4), (50, 5)]);
}

#[test]
fn times_that_go_back_inside_a_file_keep_their_place() {
    let ours = vec![(10, 1), (50, 2), (45, 3), (60, 4)];
    let other = vec![(20, 11), (48, 12), (55, 13)];
    assert_eq!(merged(&[ours, other]), [(10, 1), (20, 11), (48, 12), (50, 2), (45, 3), (55, 13), (60, 4)]);
}

#[test]
fn equal_times_come_in_the_order_the_files_were_named() {
    assert_eq!(
        merged(&[vec![(7, 1), (7, 2)], vec![(7, 3)], vec![(6, 4), (7, 5)]]),
        [(6, 4), (7, 1), (7, 2), (7, 3), (7, 5)]
    );
}

#[test]
fn a_thousand_files_in_a_row_need_no_more_than_one_open() {
    let many: Vec<_> = (0..1000).map(|n| vec![(n * 100, n as u8), (n * 100 + 50, n as u8)]).collect();
    let (_folder, paths) = files(&many);
    let mut timeline = Timeline::open(&paths).expect("captures");
    let open_files = || fs::read_dir("/proc/self/fd").expect("a list").count();
    let mut frames = 0;
    while timeline.next_frame().expect("readable").is_some() {
        frames += 1;
        assert!(open_files() < 200);
    }
    assert_eq!(frames, 2000);
    let (read, total) = timeline.position();
    assert_eq!((Some(read), read), (total, 1000 * (24 + 2 * 17)));
}

#[test]
fn what_is_wrong_with_any_file_is_kept() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let cut = folder.path().join("cut");
    let corrupt = folder.path().join("corrupt");
    let whole = small_pcap(6);
    fs::write(&cut, &whole[..whole.len() - 3]).expect("written");
    fs::write(&corrupt, [&whole[..24], &[0xff; 16]].concat()).expect("written");
    let mut timeline = Timeline::open(&[&cut, &corrupt]).expect("captures");
    let mut frames = 0;
    while timeline.next_frame().expect("readable").is_some() {
        frames += 1;
    }
    let mut names: Vec<_> = timeline.truncations().iter().map(|t| t.name.clone()).collect();
    names.sort();
    assert_eq!((frames, names), (5, vec![corrupt.display().to_string(), cut.display().to_string()]));
}

#[test]
fn interfaces_of_one_name_are_one_across_files() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (ng, pcap) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&ng, small_pcapng()).expect("written");
    fs::write(&pcap, small_pcap(2)).expect("written");
    let mut timeline = Timeline::open(&[&ng, &pcap, &ng]).expect("captures");
    let mut seen = Vec::new();
    while let Some(frame) = timeline.next_frame().expect("readable") {
        let number = usize::from(frame.interface);
        seen.push((number, frame.link.0));
    }
    let names: Vec<_> = timeline.interfaces().iter().map(|i| i.name.as_deref()).collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&Some("eth0")) && names.contains(&Some("tun0")) && names.contains(&None));
    let of = |name| names.iter().position(|n| *n == name).expect("an interface");
    let count = |number| seen.iter().filter(|s| s.0 == number).count();
    assert_eq!([of(Some("eth0")), of(Some("tun0")), of(None)].map(count), [4, 4, 2]);
    assert_eq!(timeline.dropped().by_system, Some(8));
}

#[test]
fn nothing_to_read_is_an_error_and_so_is_a_file_that_is_no_capture() {
    assert!(matches!(Timeline::open::<PathBuf>(&[]), Err(CaptureError::NoFiles)));
    let folder = tempfile::tempdir().expect("temporary folder");
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a capture").expect("written");
    let Err(error) = Timeline::open(&[&text]) else { panic!("text was taken for a capture") };
    assert!(error.to_string().contains("notes.txt"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_capture_dealt_out_to_several_files_comes_back_whole(
        gaps in prop::collection::vec((1i64..2_000_000_000, 0usize..4), 1..80),
    ) {
        let mut at = 0;
        let mut whole = Vec::new();
        let mut dealt = vec![Vec::new(); 4];
        for (n, (gap, to)) in gaps.into_iter().enumerate() {
            at += gap;
            whole.push((at, n as u8));
            dealt[to].push((at, n as u8));
        }
        prop_assert_eq!(merged(&dealt), whole);
    }
}
