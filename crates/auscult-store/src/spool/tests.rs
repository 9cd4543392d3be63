//! The spool on a disk that fails, forgets and runs full.

use super::*;
use crate::rowbinary::RowBinary;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// A disk in memory that fails operations on request and can lose what was not synced.
#[derive(Default)]
struct FaultyDisk {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Files as a running program sees them.
    seen: BTreeMap<PathBuf, Vec<u8>>,
    /// Files as a crash would leave them at best: names the directory sync made last.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    /// Operations until one fails, if any.
    fail_in: Option<u32>,
}

impl FaultyDisk {
    fn fail_after(&self, operations: u32) {
        self.state.lock().unwrap().fail_in = Some(operations);
    }

    fn step(state: &mut State) -> io::Result<()> {
        match &mut state.fail_in {
            Some(0) => {
                state.fail_in = None;
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Power off: names that were not made to last may be there or not, as `keep` decides.
    fn crash(&self, keep: bool) {
        let mut state = self.state.lock().unwrap();
        if !keep {
            state.seen = state.durable.clone();
        }
        state.fail_in = None;
    }
}

impl Disk for FaultyDisk {
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let torn = Self::step(&mut state);
        let length = if torn.is_ok() { bytes.len() } else { bytes.len() / 2 };
        state.seen.insert(path.to_path_buf(), bytes[..length].to_vec());
        torn
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        Self::step(&mut state)?;
        let bytes = state.seen.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.seen.insert(to.to_path_buf(), bytes);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        Self::step(&mut state)?;
        state.durable = state.seen.clone();
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock().unwrap();
        state.seen.get(path).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.seen.remove(path).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let state = self.state.lock().unwrap();
        let here = state.seen.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(here.map(|(path, b)| (path.file_name().unwrap().to_str().unwrap().to_owned(), b.len() as u64)).collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

const DIR: &str = "/spool";

fn open(disk: &Arc<FaultyDisk>, bytes: u64) -> Spool {
    let limits = SpoolLimits { bytes, dead_letter_bytes: 1 << 20 };
    Spool::open_on(Arc::clone(disk) as Arc<dyn Disk>, Path::new(DIR), limits).unwrap()
}

fn batch(spool: &mut Spool, table: Table, rows: u32) -> EncodedBatch {
    #[derive(serde::Serialize)]
    struct One {
        value: u32,
    }
    let mut encoded = RowBinary::default();
    for value in 0..rows {
        encoded.push(&One { value }).unwrap();
    }
    let (number, token) = spool.next_ticket();
    encode(number, table, token, &encoded).unwrap()
}

/// Stores a batch as the writer does; what was pushed out, the batch itself last when it found no place.
fn store(spool: &mut Spool, batch: &EncodedBatch) -> io::Result<Vec<Segment>> {
    let mut room = spool.make_room(batch);
    match room.place {
        Some(place) => {
            place.write(batch)?;
            spool.stored(batch);
        }
        None => room.pushed_out.push(segment_of(batch)),
    }
    Ok(room.pushed_out)
}

#[test]
fn summaries_go_first_then_the_oldest() {
    let disk = Arc::default();
    let mut spool = open(&disk, 1 << 20);
    for table in [Table::StreamIntervals, Table::RtcpReports, Table::Calls, Table::StreamIntervals, Table::Streams] {
        let batch = batch(&mut spool, table, 3);
        assert_eq!(store(&mut spool, &batch).unwrap(), []);
    }
    let mut order = Vec::new();
    while let Some(segment) = spool.next(|_| true) {
        assert!(matches!(spool.load(&segment), Loaded::Batch(b) if b.rows == 3));
        spool.acknowledge(segment.number);
        order.push(segment.table);
    }
    use Table::*;
    assert_eq!(order, [Calls, Streams, StreamIntervals, RtcpReports, StreamIntervals]);
    assert_eq!(spool.size(), SpoolSize::default());
    assert!(disk.state.lock().unwrap().seen.is_empty());
}

#[test]
fn a_full_spool_gives_up_intervals_before_calls_and_never_what_is_on_its_way() {
    let disk = Arc::default();
    let mut probe = open(&disk, 1 << 20);
    let size = batch(&mut probe, Table::StreamIntervals, 10).bytes.len() as u64 + 40;
    let mut spool = open(&disk, 4 * size);
    for table in [Table::StreamIntervals, Table::Calls, Table::StreamIntervals, Table::Calls] {
        let batch = batch(&mut spool, table, 10);
        assert_eq!(store(&mut spool, &batch).unwrap(), []);
    }
    let on_its_way = spool.next(|s| s.table == Table::StreamIntervals).unwrap();
    let call = batch(&mut spool, Table::Calls, 10);
    let pushed_out = store(&mut spool, &call).unwrap();
    assert_eq!(pushed_out.len(), 1);
    assert_eq!(pushed_out[0].table, Table::StreamIntervals);
    assert_ne!(pushed_out[0].number, on_its_way.number);
    // Nothing less precious is left that may go: the newcomer itself goes.
    let interval = batch(&mut spool, Table::StreamIntervals, 10);
    assert_eq!(store(&mut spool, &interval).unwrap().iter().map(|s| s.number).collect::<Vec<_>>(), [interval.number]);
    // Calls push out the oldest calls.
    let call = batch(&mut spool, Table::Calls, 10);
    let pushed_out = store(&mut spool, &call).unwrap();
    assert_eq!((pushed_out.len(), pushed_out[0].table, pushed_out[0].number), (1, Table::Calls, 2));
}

#[test]
fn a_batch_whose_write_failed_is_not_claimed_and_keeps_its_token() {
    for operation in 0..3 {
        let disk = Arc::new(FaultyDisk::default());
        let mut spool = open(&disk, 1 << 20);
        let batch = batch(&mut spool, Table::Calls, 5);
        disk.fail_after(operation);
        assert!(store(&mut spool, &batch).is_err(), "operation {operation}");
        assert_eq!(spool.size(), SpoolSize::default());
        store(&mut spool, &batch).unwrap();
        let segment = spool.next(|_| true).unwrap();
        let Loaded::Batch(read) = spool.load(&segment) else { panic!("not readable") };
        assert_eq!(read.token, batch.token);
    }
}

#[test]
fn damaged_segments_are_buried_with_a_reason_and_numbers_are_not_reused() {
    let disk = Arc::new(FaultyDisk::default());
    let mut spool = open(&disk, 1 << 20);
    let batch = batch(&mut spool, Table::Calls, 5);
    store(&mut spool, &batch).unwrap();
    disk.state.lock().unwrap().seen.values_mut().for_each(|bytes| bytes.truncate(30));
    let segment = spool.next(|_| true).unwrap();
    assert!(matches!(spool.load(&segment), Loaded::Damaged(_)));
    assert_eq!(spool.next(|_| true), None);
    let names: Vec<_> = disk.list(&Path::new(DIR).join("dead_letter")).unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(open(&disk, 1 << 20).next_ticket().0 > batch.number);
}

#[test]
fn tokens_differ_between_runs() {
    let disk = Arc::new(FaultyDisk::default());
    let tokens: BTreeSet<String> = (0..50).map(|_| open(&disk, 1).next_ticket().1).collect();
    assert_eq!(tokens.len(), 50);
}

proptest! {
    /// Any sequence of writes, failures and power cuts: what was claimed is there, and nothing comes twice.
    #[test]
    fn claimed_batches_survive_crashes_once(steps in prop::collection::vec((0u32..8, any::<bool>(), any::<bool>()), 1..40)) {
        let disk = Arc::new(FaultyDisk::default());
        let mut spool = open(&disk, 1 << 24);
        let mut claimed = BTreeSet::new();
        for (fail, crash, keep) in steps {
            if fail < 4 {
                disk.fail_after(fail);
            }
            let batch = batch(&mut spool, Table::Calls, 2);
            if store(&mut spool, &batch).is_ok() || (!crash && store(&mut spool, &batch).is_ok()) {
                claimed.insert(batch.token.clone());
            }
            disk.state.lock().unwrap().fail_in = None;
            if crash {
                disk.crash(keep);
                spool = open(&disk, 1 << 24);
            }
        }
        disk.crash(false);
        let mut spool = open(&disk, 1 << 24);
        let mut found = Vec::new();
        while let Some(segment) = spool.next(|_| true) {
            if let Loaded::Batch(batch) = spool.load(&segment) {
                found.push(batch.token);
                spool.acknowledge(segment.number);
            }
        }
        let distinct: BTreeSet<String> = found.iter().cloned().collect();
        prop_assert_eq!(distinct.len(), found.len(), "a batch came twice");
        prop_assert!(claimed.is_subset(&distinct), "a claimed batch is gone");
    }
}

/// Halves of a batch of `batch`, written and put in its place as the delivery does.
fn split(spool: &mut Spool, whole: &Segment) -> io::Result<()> {
    let Loaded::Batch(read) = spool.load(whole) else { panic!("not readable") };
    let numbers = spool.begin_split(whole.number);
    let middle = read.payload.len() / 8 * 4;
    let half = |name: &str, from: usize, to: usize| Batch {
        rows: ((to - from) / 4) as u32,
        token: format!("{}/{name}", read.token),
        payload: read.payload[from..to].to_vec(),
        ..read.clone()
    };
    let halves = [half("a", 0, middle), half("b", middle, read.payload.len())];
    let frozen = [
        encode_batch(numbers[0], Some(whole.number), &halves[0]).unwrap(),
        encode_batch(numbers[1], Some(whole.number), &halves[1]).unwrap(),
    ];
    for half in &frozen {
        let written = spool.place_of(half).write(half);
        if written.is_err() {
            spool.abandon(&frozen);
            spool.failed(whole.number);
        }
        written?;
    }
    spool.replace(whole.number, &frozen)
}

proptest! {
    /// Splits that fail and are cut off at any operation: every row is there once, under a token of its batch.
    #[test]
    fn a_split_is_done_or_not_done_whatever_fails(
        rows in 2u32..40,
        steps in prop::collection::vec((0u32..12, any::<bool>(), any::<bool>()), 1..12),
    ) {
        let disk = Arc::new(FaultyDisk::default());
        let mut spool = open(&disk, 1 << 24);
        let first = batch(&mut spool, Table::Calls, rows);
        store(&mut spool, &first).unwrap();
        for (fail, crash, keep) in steps {
            let Some(whole) = spool.next(|s| s.rows > 1) else { break };
            if fail < 9 {
                disk.fail_after(fail);
            }
            let _ = split(&mut spool, &whole);
            disk.state.lock().unwrap().fail_in = None;
            if crash {
                disk.crash(keep);
                spool = open(&disk, 1 << 24);
            }
        }
        let mut values = Vec::new();
        let mut tokens = BTreeSet::new();
        while let Some(segment) = spool.next(|_| true) {
            let Loaded::Batch(read) = spool.load(&segment) else { panic!("not readable") };
            values.extend(read.payload.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())));
            prop_assert!(read.token.starts_with(&first.token) && tokens.insert(read.token));
            spool.acknowledge(segment.number);
        }
        values.sort_unstable();
        prop_assert_eq!(values, (0..rows).collect::<Vec<_>>());
        prop_assert_eq!(spool.size(), SpoolSize::default());
    }
}

#[test]
fn a_half_is_not_delivered_before_the_removal_of_its_whole_lasts() {
    let disk = Arc::new(FaultyDisk::default());
    let mut spool = open(&disk, 1 << 20);
    let whole = batch(&mut spool, Table::Calls, 8);
    store(&mut spool, &whole).unwrap();
    let segment = spool.next(|_| true).unwrap();
    // Two writes of three operations each, the removal, and then the sync fails, twice.
    disk.fail_after(6);
    split(&mut spool, &segment).unwrap();
    disk.fail_after(0);
    assert_eq!(spool.next(|_| true), None);
    assert_eq!(spool.next(|_| true).map(|s| s.rows), Some(4));
}

#[test]
fn dead_letters_are_listed_and_go_back_once() {
    let disk = Arc::new(FaultyDisk::default());
    let mut spool = open(&disk, 1 << 20);
    for table in [Table::Calls, Table::Streams, Table::Calls] {
        let batch = batch(&mut spool, table, 5);
        store(&mut spool, &batch).unwrap();
    }
    for _ in 0..3 {
        let segment = spool.next(|_| true).unwrap();
        spool.dead_letter(segment.number, "refused\nfor a reason");
    }
    let letters = dead_letters(&*disk, Path::new(DIR)).unwrap();
    assert_eq!(
        letters.iter().map(|l| (l.table, l.rows)).collect::<Vec<_>>(),
        [("calls", 5), ("streams", 5), ("calls", 5)]
    );
    assert!(letters.iter().all(|l| l.damage.is_none() && l.reason.starts_with("refused") && l.replay.is_none()));
    let damaged = Path::new(DIR).join("dead_letter").join(&letters[1].file);
    disk.state.lock().unwrap().seen.get_mut(&damaged).unwrap().truncate(60);
    assert_eq!(dead_letters(&*disk, Path::new(DIR)).unwrap()[1].damage.as_deref(), Some("damaged: cut short"));
    let done = spool.redeliver().unwrap();
    assert_eq!((done.moved.len(), done.kept.len(), spool.size().rows), (2, 1, 10));
    assert_eq!(spool.redeliver().unwrap().moved, []);
    assert_eq!(waiting_segments(&*disk, Path::new(DIR)).unwrap().len(), 2);
    assert!(open(&disk, 1 << 20).next_ticket().0 > 3);
}

#[test]
fn what_is_removed_of_a_replay_is_remembered_until_it_is_replayed() {
    let disk = Arc::new(FaultyDisk::default());
    let limits = SpoolLimits { bytes: 1 << 20, dead_letter_bytes: 1 };
    let mut spool = Spool::open_on(Arc::clone(&disk) as Arc<dyn Disk>, Path::new(DIR), limits).unwrap();
    for origin in [Some("one"), Some("two"), None, Some("one")] {
        let mut rows = RowBinary::default();
        rows.push(&(1u32,)).unwrap();
        let (number, token) = spool.next_ticket();
        let batch = encode_replayed(number, Table::Calls, token, &rows, origin.map(str::to_owned)).unwrap();
        store(&mut spool, &batch).unwrap();
        spool.dead_letter(number, "why");
    }
    assert_eq!(spool.take_removed(), vec![Removed { table: Table::Calls, rows: 1 }; 4]);
    assert_eq!(spool.take_removed(), []);
    let of = |replay: &str| removed_rows(&*disk, Path::new(DIR), replay);
    assert_eq!((of("one"), of("two")), ([("calls".to_owned(), 2)].into(), [("calls".to_owned(), 1)].into()));
    spool.forget_removed("one");
    assert_eq!((of("one").len(), of("two").len()), (0, 1));
}

mod erasing {
    use super::*;
    use crate::erase::Location;
    use crate::rows::{RowFate, RowView, SipMessageRow};

    /// A batch of messages of the calls 0 and 1 in turn.
    fn messages(spool: &mut Spool, rows: u32) -> EncodedBatch {
        let mut encoded = RowBinary::default();
        for n in 0..u64::from(rows) {
            let message = auscult_core::model::SipMessageRecord {
                call_uid: auscult_core::model::CallUid(n % 2),
                cseq: n as u32,
                ..message()
            };
            let row = SipMessageRow::new(&message, &Default::default(), auscult_core::units::Timestamp(0));
            let key = crate::rowbinary::RowKey { row_id: row.row_id, stored_at: row.stored_at };
            encoded.push_keyed(&row, key).unwrap();
        }
        let (number, token) = spool.next_ticket();
        encode(number, Table::SipMessages, token, &encoded).unwrap()
    }

    fn message() -> auscult_core::model::SipMessageRecord {
        use auscult_core::model::{CallUid, SipDirection, Transport};
        auscult_core::model::SipMessageRecord {
            at: auscult_core::units::Timestamp(0),
            call_uid: CallUid(0),
            call_id: "c".into(),
            src: "192.0.2.1:5060".parse().unwrap(),
            dst: "192.0.2.2:5060".parse().unwrap(),
            transport: Transport::Udp,
            direction: SipDirection::Request,
            method: "INVITE".to_owned(),
            status: 0,
            reason: String::new(),
            cseq: 0,
            retransmission: false,
            headers: String::new(),
            sdp: String::new(),
            cut_short: false,
        }
    }

    fn is_of_call_0(_: Table, row: &RowView<'_>) -> RowFate {
        if row.number("call_uid") == Some(0) { RowFate::Drop } else { RowFate::Keep }
    }

    fn erase(spool: &mut Spool) -> Result<(), EraseFailure> {
        let files = spool.files();
        files.affected(&is_of_call_0).iter().try_for_each(|(place, path)| spool.erase(*place, path, &is_of_call_0))
    }

    /// Calls of the rows that wait, by segment.
    fn calls(spool: &mut Spool) -> Vec<Vec<u64>> {
        let segments: Vec<Segment> = spool.waiting.values().cloned().collect();
        let of = |segment: &Segment, spool: &mut Spool| {
            let Loaded::Batch(batch) = spool.load(segment) else { panic!("{segment:?} can be read") };
            let mut calls = Vec::new();
            let kept = crate::rows::edit_rows(batch.table, &batch.columns, batch.rows, &batch.payload, &mut |row| {
                calls.push(row.number("call_uid").unwrap());
                RowFate::Keep
            });
            assert_eq!(kept.unwrap().first, batch.first, "the store is asked for the first row that is there");
            calls
        };
        segments.iter().map(|segment| of(segment, spool)).collect()
    }

    #[test]
    fn a_segment_keeps_its_number_its_token_and_the_rows_of_others() {
        let disk = Arc::new(FaultyDisk::default());
        let mut spool = open(&disk, 1 << 20);
        let (mixed, gone) = (messages(&mut spool, 5), messages(&mut spool, 1));
        store(&mut spool, &mixed).unwrap();
        store(&mut spool, &gone).unwrap();
        erase(&mut spool).unwrap();
        let left: Vec<Segment> = spool.waiting.values().cloned().collect();
        assert_eq!((left.len(), left[0].number, left[0].rows), (1, mixed.number, 2));
        let Loaded::Batch(batch) = spool.load(&left[0]) else { panic!("it can be read") };
        assert_eq!(batch.token, mixed.token);
        assert_eq!(spool.size().bytes, disk.list(Path::new(DIR)).unwrap()[0].1);
        assert_eq!(calls(&mut spool), [vec![1, 1]]);
    }

    #[test]
    fn a_segment_on_its_way_is_left_alone_and_said_to_be() {
        let disk = Arc::new(FaultyDisk::default());
        let mut spool = open(&disk, 1 << 20);
        let batch = messages(&mut spool, 4);
        store(&mut spool, &batch).unwrap();
        spool.next(|_| true).unwrap();
        assert!(matches!(erase(&mut spool), Err(EraseFailure::InFlight)));
        spool.failed(batch.number);
        erase(&mut spool).unwrap();
        assert_eq!(calls(&mut spool), [vec![1, 1]]);
    }

    #[test]
    fn dead_letters_are_rewritten_and_a_damaged_one_is_named() {
        let disk = Arc::new(FaultyDisk::default());
        let mut spool = open(&disk, 1 << 20);
        let (refused, damaged) = (messages(&mut spool, 4), messages(&mut spool, 4));
        store(&mut spool, &refused).unwrap();
        store(&mut spool, &damaged).unwrap();
        spool.dead_letter(refused.number, "Code: 27. DB::Exception: 'quoted'");
        let path = spool.path_of(&segment_of(&damaged));
        disk.state.lock().unwrap().seen.insert(path, b"torn".to_vec());
        erase(&mut spool).unwrap();
        let letters = dead_letters(&*disk, Path::new(DIR)).unwrap();
        let about: Vec<_> = letters.iter().map(|l| (l.rows, l.reason.as_str(), l.damage.clone())).collect();
        assert_eq!(about, [(2, "Code: 27", None)]);
        let unreadable = spool.files().look_at_rows(&mut |place, _, row| {
            assert_eq!((place, row.number("call_uid")), (Location::DeadLetters, Some(1)));
        });
        assert_eq!(unreadable, [file_name(&segment_of(&damaged))]);
    }

    proptest! {
        /// Whatever fails and wherever it is cut off: after the next start rows of others are there once, and erasing again ends it.
        #[test]
        fn erasing_may_be_cut_off_anywhere(
            sizes in prop::collection::vec(1u32..6, 1..4),
            set_aside in any::<bool>(),
            fail in 0u32..12,
            keep in any::<bool>(),
        ) {
            let disk = Arc::new(FaultyDisk::default());
            let mut spool = open(&disk, 1 << 20);
            let batches: Vec<EncodedBatch> = sizes.iter().map(|rows| messages(&mut spool, *rows)).collect();
            for batch in &batches {
                store(&mut spool, batch).unwrap();
            }
            if set_aside {
                spool.dead_letter(batches[0].number, "refused");
                disk.sync_dir(Path::new(DIR)).unwrap();
            }
            disk.fail_after(fail);
            let failed = erase(&mut spool).is_err();
            disk.crash(keep);
            let mut spool = open(&disk, 1 << 20);
            let others: u64 = sizes.iter().map(|rows| u64::from(rows / 2)).sum();
            let ours: u64 = sizes.iter().map(|rows| u64::from(rows.div_ceil(2))).sum();
            let count = |spool: &Spool| {
                let mut counts = BTreeMap::new();
                let unreadable = spool.files().look_at_rows(&mut |_, _, row| {
                    *counts.entry(row.number("call_uid").unwrap()).or_insert(0u64) += 1;
                });
                assert!(unreadable.is_empty(), "{unreadable:?}");
                counts
            };
            let counts = count(&spool);
            prop_assert!(counts.get(&0).copied().unwrap_or(0) <= ours);
            // A dead letter may be there in both forms until it is erased again; its token makes it one.
            if !set_aside {
                prop_assert_eq!(counts.get(&1).copied().unwrap_or(0), others, "failed: {}", failed);
            }
            erase(&mut spool).unwrap();
            let mut spool = open(&disk, 1 << 20);
            let counts = count(&spool);
            prop_assert_eq!(counts.get(&0), None);
            prop_assert_eq!(counts.get(&1).copied().unwrap_or(0), others);
            prop_assert_eq!(spool.size().bytes, disk.list(Path::new(DIR)).unwrap().iter().map(|(_, bytes)| bytes).sum::<u64>());
            prop_assert!(calls(&mut spool).iter().flatten().all(|call| *call == 1));
        }
    }
}
