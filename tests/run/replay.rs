//! A replay from its start to its end, again, and stopped in between.

use crate::events::{expected, same, stored_rows};
use crate::program::{Program, TOKEN, end_of, reaches, run_arguments, sql};
use crate::{engine, read, sample, samples, temporary, worlds};

#[test]
fn every_row_of_the_samples_is_stored_once_however_often_they_are_replayed() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let files = samples();
    let arguments = run_arguments(dir.path(), &read(&files, &["--exit"]));
    let first = end_of(&arguments);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.says("replaying 7 captures") && first.says("stored 89 calls, 144 streams"), "{first:?}");
    let expected = expected(&files);
    same(&stored_rows(dir.path()), &expected);
    let again = end_of(&arguments);
    assert!(again.code == 0 && again.says("these captures are in the store already"), "{again:?}");
    same(&stored_rows(dir.path()), &expected);
}

#[test]
fn captures_whose_rows_are_gone_are_replayed_again() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let files = [sample("05-failed")];
    let arguments = run_arguments(dir.path(), &read(&files, &["--exit"]));
    assert_eq!(end_of(&arguments).code, 0);
    std::fs::remove_dir_all(dir.path().join("clickhouse")).expect("the store");
    let again = end_of(&arguments);
    assert!(again.code == 0 && !again.says("already"), "{again:?}");
    same(&stored_rows(dir.path()), &expected(&files));
}

#[test]
fn the_same_content_under_another_name_is_the_same_capture() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let files = [sample("03-one-way")];
    assert_eq!(end_of(&run_arguments(dir.path(), &read(&files, &["--exit"]))).code, 0);
    let copy = dir.path().join("copy.pcap");
    std::fs::copy(&files[0], &copy).expect("a copy");
    let again = end_of(&run_arguments(dir.path(), &read(&[copy], &["--exit"])));
    assert!(again.says("in the store already"), "{again:?}");
    same(&stored_rows(dir.path()), &expected(&files));
}

#[test]
fn a_cut_capture_is_stored_up_to_the_cut() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let whole = std::fs::read(sample("03-one-way")).expect("a sample");
    let cut = dir.path().join("cut.pcap");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("a file");
    let files = [cut];
    let end = end_of(&run_arguments(dir.path(), &read(&files, &["--exit"])));
    assert!(end.code == 0 && end.says("everything before it was used"), "{end:?}");
    same(&stored_rows(dir.path()), &expected(&files));
}

#[test]
fn a_stopped_replay_says_so_and_the_next_start_goes_on() {
    if !engine() {
        return;
    }
    for signal in ["TERM", "INT"] {
        let dir = temporary();
        let files = [worlds::short_calls(dir.path(), 3)];
        let mut first = Program::run(dir.path(), &read(&files, &["--pace", "real"]));
        let api = first.api();
        first.until("replaying 1 capture");
        assert!(reaches(api, "auscult_frames_read_total", 1000));
        first.signal(signal);
        let first = first.end();
        assert_eq!(first.code, 0, "{first:?}");
        assert!(first.says("the next start with these captures goes on with it"), "{first:?}");
        let partly = stored_rows(dir.path());
        let expected = expected(&files);
        let stored = partly["sip_messages"].len();
        assert!(stored > 0 && stored < expected["sip_messages"].len(), "{stored} messages are stored");
        assert_eq!(partly["calls"].len(), 0, "no call ended where the replay was stopped");
        let next = end_of(&run_arguments(dir.path(), &read(&files, &["--exit"])));
        assert!(next.code == 0 && next.says("going on with a replay that did not end"), "{next:?}");
        same(&stored_rows(dir.path()), &expected);
    }
}

/// Rows of a replay that the store refused are missing in it, and a later run says so until they are delivered.
#[test]
fn a_replay_with_rows_set_aside_is_not_called_stored_before_they_are_delivered() {
    if !engine() {
        return;
    }
    let dir = temporary();
    let data = dir.path().display().to_string();
    let alter = |statement: &str| {
        let (_store, address) = Program::store(&dir.path().join("clickhouse"), "127.0.0.1:0");
        let (status, answer) = sql(address, Some(TOKEN), statement);
        assert_eq!(status, 200, "{answer}");
    };
    assert_eq!(end_of(&run_arguments(dir.path(), &read(&[sample("05-failed")], &["--exit"]))).code, 0);
    alter("ALTER TABLE auscult.calls ADD CONSTRAINT none CHECK call_uid = 1");
    let files = [sample("03-one-way")];
    let arguments = run_arguments(dir.path(), &read(&files, &["--exit"]));
    let first = end_of(&arguments);
    assert!(first.code == 1 && first.error().contains("6 rows were refused"), "{first:?}");
    let again = end_of(&arguments);
    assert!(!again.says("already"), "{again:?}");
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.says("6 rows of calls of these captures are not in the store"), "{again:?}");
    assert!(again.error().contains(&format!("auscult spool redeliver --data {data}")), "{again:?}");
    // Of the other captures nothing is missing.
    let other = end_of(&run_arguments(dir.path(), &read(&[sample("05-failed")], &["--exit"])));
    assert!(other.code == 0 && other.says("in the store already"), "{other:?}");

    let listed = end_of(&["spool", "list", "--data", &data]);
    assert!(listed.code == 0 && listed.says("6 rows") && listed.says("none"), "{listed:?}");
    let json = end_of(&["spool", "list", "--json", "--data", &data]);
    let json: serde_json::Value = serde_json::from_str(&json.said.join("\n")).expect("JSON");
    let rows: u64 = json["set_aside"].as_array().expect("a list").iter().filter_map(|l| l["rows"].as_u64()).sum();
    assert_eq!((rows, json["waiting"].as_array().map(Vec::len)), (6, Some(0)));

    let mut running = Program::run(dir.path(), &[]);
    running.api();
    let refused = end_of(&["spool", "redeliver", "--data", &data]);
    assert!(refused.code == 1 && refused.error().contains("stop it, redeliver, and start it again"), "{refused:?}");
    assert_eq!(running.terminate().code, 0);
    alter("ALTER TABLE auscult.calls DROP CONSTRAINT none");
    let moved = end_of(&["spool", "redeliver", "--data", &data]);
    assert!(moved.code == 0 && moved.says("moved back: "), "{moved:?}");
    let last = end_of(&arguments);
    assert!(last.code == 0 && last.says("in the store already"), "{last:?}");
    let mut all = expected(&files);
    for (table, rows) in expected(&[sample("05-failed")]) {
        all.get_mut(table).expect("the same tables").extend(rows);
    }
    same(&stored_rows(dir.path()), &all);
    let missing = end_of(&["spool", "list", "--data", "/nonexistent"]);
    assert!(missing.code == 1 && missing.error().contains("there is no spool"), "{missing:?}");
}
