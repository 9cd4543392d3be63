//! What a store has to hold after captures were replayed, from the engine itself; and what it does hold.

use crate::program::{Program, TOKEN, sql};
use auscult::app::config::Config;
use auscult_capture::Timeline;
use auscult_core::engine::Engine;
use auscult_core::groups::Groups;
use auscult_core::model::{Event, Limits, Policy, TimestampSource, TrunkMatch};
use auscult_core::units::Timestamp;
use auscult_store::rows::{
    CallGroupRow, CallRow, CaptureRow, IntervalRow, MediaGroupRow, Record, RtcpRow, SipMessageRow, StreamRow, Table,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Per table its rows in short, sorted: identity first, then what must be right about it.
pub type Rows = BTreeMap<&'static str, Vec<String>>;

/// The columns of [`Rows`].
const COLUMNS: [(&str, &str); 8] = [
    ("calls", "row_id, call_uid, final_code, messages, length(streams)"),
    ("streams", "row_id, stream_id, call_uid, packets, unique_packets, lost, reordered"),
    ("stream_intervals", "row_id, stream_id, call_uid, packets, unique_packets, lost, payload_bytes"),
    ("sip_messages", "row_id, call_uid, status, cseq, length(headers)"),
    ("rtcp_reports", "row_id, call_uid, stream_id, reporter_ssrc"),
    ("call_groups", "row_id, attempts, answers, ended, arraySum(mapValues(duration)), toUInt64(up_ms)"),
    ("media_groups", "row_id, streams, streams_begun, packets, lost_network, arraySum(pdv), r_rated"),
    ("capture_intervals", "row_id, frames, bytes, dropped_ring, outcomes['media']"),
];

/// Feeds captures to an engine as the program does.
pub fn expected(files: &[PathBuf]) -> Rows {
    let labels = Config::default_config().expect("the default is valid").labels;
    let mut timeline = Timeline::open(files).expect("captures");
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 7);
    let name = files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ");
    engine.set_source(&name, TimestampSource::CaptureFile, timeline.resolution_ns());
    let mut groups = Groups::new(&Limits::default(), &Policy::default());
    let mut records = Vec::new();
    let mut take = |groups: &mut Groups, events: Vec<Event>| {
        for event in events {
            let mut full = Vec::new();
            groups.event(&event, TrunkMatch::default(), &mut |group| full.push(Record::from(group)));
            records.extend(Record::from_event(event));
            records.append(&mut full);
        }
    };
    let mut closed = Vec::new();
    while let Some(frame) = timeline.next_frame().expect("a frame") {
        let mut events = Vec::new();
        engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut events);
        take(&mut groups, events);
        groups.close_before(engine.interval_end(), &mut |group| closed.push(Record::from(group)));
    }
    let mut events = Vec::new();
    engine.finish(&mut events);
    take(&mut groups, events);
    groups.finish(&mut |group| closed.push(Record::from(group)));
    records.append(&mut closed);
    let at = Timestamp::default();
    // A replay evaluates no rules.
    let tables = Table::ALL.iter().filter(|table| **table != Table::Alerts);
    let mut rows: Rows = tables.map(|table| (table.name(), Vec::new())).collect();
    for record in records {
        let table = record.table().name();
        let figures: Vec<u64> = match &record {
            Record::Call(r) => {
                let r = CallRow::new(r, &labels, at);
                vec![r.row_id, r.call_uid, r.final_code.into(), r.messages.into(), r.streams.len() as u64]
            }
            Record::Stream(r) => {
                let r = StreamRow::new(r, &labels, at);
                vec![r.row_id, r.stream_id, r.call_uid, r.packets, r.unique_packets, r.lost, r.reordered]
            }
            Record::Interval(r) => {
                let r = IntervalRow::new(r, &labels, at);
                let (packets, unique, lost) = (r.packets.into(), r.unique_packets.into(), r.lost.into());
                vec![r.row_id, r.stream_id, r.call_uid, packets, unique, lost, r.payload_bytes]
            }
            Record::SipMessage(r) => {
                let r = SipMessageRow::new(r, &labels, at);
                vec![r.row_id, r.call_uid, r.status.into(), r.cseq.into(), r.headers.len() as u64]
            }
            Record::Rtcp(r) => {
                let r = RtcpRow::new(r, &labels, at);
                vec![r.row_id, r.call_uid, r.stream_id, r.reporter_ssrc.into()]
            }
            Record::Capture(r) => {
                let r = CaptureRow::new(r, &labels, at);
                let media = r.outcomes.iter().find(|(name, _)| *name == "media").map_or(0, |(_, n)| *n);
                vec![r.row_id, r.frames, r.bytes, r.dropped_ring, media]
            }
            Record::CallGroup(r) => {
                let r = CallGroupRow::new(r, &labels, at);
                let durations = r.duration.iter().map(|(_, n)| n).sum();
                vec![r.row_id, r.attempts, r.answers, r.ended, durations, r.up_ms as u64]
            }
            Record::Alert(_) => continue,
            Record::MediaGroup(r) => {
                let r = MediaGroupRow::new(r, &labels, at);
                vec![r.row_id, r.streams, r.streams_begun, r.packets, r.lost_network, r.pdv.iter().sum(), r.r_rated]
            }
        };
        let line = figures.iter().map(u64::to_string).collect::<Vec<_>>().join("\t");
        rows.entry(table).or_default().push(line);
    }
    rows.values_mut().for_each(|lines| lines.sort());
    for (table, lines) in &rows {
        let ids = lines.iter().map(|line| line.split('\t').next());
        let distinct: std::collections::BTreeSet<_> = ids.clone().collect();
        assert_eq!(distinct.len(), ids.count(), "{table}: each row has an identity of its own");
    }
    rows
}

/// What a store's endpoint answers.
pub fn held_by(address: SocketAddr) -> Rows {
    COLUMNS
        .iter()
        .map(|(table, columns)| {
            let (status, answer) = sql(address, Some(TOKEN), &format!("SELECT {columns} FROM {table} FORMAT TSV"));
            assert_eq!(status, 200, "{table}: {answer}");
            let mut lines: Vec<String> = answer.lines().map(str::to_owned).collect();
            lines.sort();
            (*table, lines)
        })
        .collect()
}

/// What the embedded store of a data directory holds; no program may have it open.
pub fn stored_rows(data: &Path) -> Rows {
    let (_store, address) = Program::store(&data.join("clickhouse"), "127.0.0.1:0");
    held_by(address)
}

/// Every row exactly once: says how many are missing or too many, by table.
#[track_caller]
pub fn same(stored_rows: &Rows, expected: &Rows) {
    let mut problems = Vec::new();
    for (table, want) in expected {
        let have = &stored_rows[table];
        let count = |lines: &[String]| -> BTreeMap<String, i64> {
            lines.iter().fold(BTreeMap::new(), |mut all, line| {
                *all.entry(line.clone()).or_default() += 1;
                all
            })
        };
        let (want, have) = (count(want), count(have));
        for line in want.keys().chain(have.keys().filter(|line| !want.contains_key(*line))) {
            let (w, h) = (want.get(line).unwrap_or(&0), have.get(line).unwrap_or(&0));
            if w != h {
                problems.push(format!("{table}: {h} instead of {w} of {line}"));
            }
        }
    }
    let shown = problems.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(problems.is_empty(), "{} differences:\n{shown}", problems.len());
}
