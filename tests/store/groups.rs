//! Sums over many streams: delivered once in all three tables, and statistics from them are those of the rows of streams.

use crate::samples::{call_group, labels, media_group};
use crate::schema::{at_version, insert_known, json};
use crate::{embedded, now, quick};
use auscult_core::engine::Engine;
use auscult_core::groups::Groups;
use auscult_core::model::{CallClass, CallState, Event, Labels, Limits, Policy, TimestampSource};
use auscult_core::units::{Nanos, Timestamp};
use auscult_core::wire::LinkType;
use auscult_store::query::{
    AddressRange, CallFilter, CallGroup, CallSort, CallTimeline, Cost, Figure, GroupBy, OutcomeFilter, OutcomeGroup,
    OutcomeRequest, Outcomes, PhoneNumber, Reader, Side, Source, Spans, StatsGroup, StatsRequest, StreamFilter, Window,
};
use auscult_store::rowbinary::RowBinary;
use auscult_store::rows::{CallRow, IntervalRow, Record};
use auscult_store::writer::Leftover;
use auscult_store::{Backend, Store, StoreWriter};
use std::time::Duration;
use testkit::World;
use testkit::rng::Rng;

/// Sends rows as the writer does, with the token of their batch.
async fn send(store: &Store, table: &str, token: &str, records: &[Record]) -> Result<(), String> {
    let mut rows = RowBinary::default();
    for record in records {
        record.encode(&labels(), now(), &mut rows).unwrap();
    }
    let columns = rows.columns().join(", ");
    let sql = format!(
        "INSERT INTO {table} ({columns}) SETTINGS insert_deduplicate=1, insert_deduplication_token='{token}', async_insert=0, \
         deduplicate_blocks_in_dependent_materialized_views=1, insert_distributed_sync=1 FORMAT RowBinary"
    );
    let mut insert = store.writer().insert_formatted_with(sql).with_setting("wait_end_of_query", "1");
    insert.send(rows.bytes().to_vec().into()).await.map_err(|e| e.to_string())?;
    insert.end().await.map_err(|e| e.to_string())
}

async fn sum(store: &Store, of: &str) -> u64 {
    store.reader().query(&format!("SELECT toUInt64(sum({of}")).fetch_one().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_delivered_twice_counts_once_in_five_minutes_and_hours() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let media: Vec<Record> = (0..50).map(|n| Record::MediaGroup(Box::new(media_group(n)))).collect();
    let calls: Vec<Record> = (0..50).map(|n| Record::CallGroup(Box::new(call_group(n)))).collect();
    for _ in 0..3 {
        send(&store, "media_groups", "first", &media).await.unwrap();
        send(&store, "call_groups", "second", &calls).await.unwrap();
    }
    // The same figures under another token are another batch.
    send(&store, "media_groups", "third", &media).await.unwrap();
    for table in ["media_groups", "media_groups_5m", "media_groups_1h"] {
        assert_eq!(sum(&store, &format!("packets)) FROM {table}")).await, 2 * 50 * 3, "{table}");
        assert_eq!(sum(&store, &format!("mos[150])) FROM {table}")).await, 2 * 50 * 150, "{table}");
    }
    for table in ["call_groups", "call_groups_5m", "call_groups_1h"] {
        assert_eq!(sum(&store, &format!("attempts)) FROM {table}")).await, 50 * 30, "{table}");
        assert_eq!(sum(&store, &format!("final_codes[486])) FROM {table}")).await, 50 * 9, "{table}");
    }
}

/// The store takes the rows and fails before the coarser tables have them: the same batch is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_taken_in_part_is_completed_when_it_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let media: Vec<Record> = (0..50).map(|n| Record::MediaGroup(Box::new(media_group(n)))).collect();
    let execute = |sql: &'static str| {
        let store = store.clone();
        async move { store.writer().query(sql).execute().await.unwrap() }
    };
    execute("RENAME TABLE media_groups_1h TO away").await;
    assert!(send(&store, "media_groups", "first", &media).await.is_err());
    execute("RENAME TABLE away TO media_groups_1h").await;
    for _ in 0..2 {
        send(&store, "media_groups", "first", &media).await.unwrap();
    }
    for table in ["media_groups", "media_groups_5m", "media_groups_1h"] {
        assert_eq!(sum(&store, &format!("packets)) FROM {table}")).await, 50 * 3, "{table}");
    }
}

/// The rows of a world, with its sums, as the program stores them.
fn records(seed: u64, labels: &Labels, policy: &Policy) -> Vec<Record> {
    let frames = World::random(seed, 30).build().frames;
    let mut engine = Engine::new(Limits::default(), policy.clone(), 1, 1);
    engine.set_source("test", TimestampSource::CaptureFile, 1);
    let mut groups = Groups::new(&Limits::default(), policy);
    let mut records = Vec::new();
    for n in 0..=frames.len() {
        let mut events: Vec<Event> = Vec::new();
        match frames.get(n) {
            Some(f) => {
                engine.frame(Timestamp(f.at), LinkType::ETHERNET, &f.bytes, f.wire_len as usize, &mut events);
            }
            None => engine.finish(&mut events),
        }
        for event in events {
            let trunk = match &event {
                Event::CallChanged(call) | Event::CallEnded(call) => labels.trunk_of_call(call),
                Event::Interval(i) => labels.trunk_of(i.src, i.dst),
                _ => Default::default(),
            };
            groups.event(&event, trunk, &mut |group| records.push(group.into()));
            records.extend(Record::from_event(event));
        }
        groups.close_before(engine.interval_end(), &mut |group| records.push(group.into()));
    }
    groups.finish(&mut |group| records.push(group.into()));
    records
}

/// Figures that must be equal, and those that may differ by the width of a bucket.
fn figures(group: &StatsGroup) -> (String, [Option<f64>; 3]) {
    let StatsGroup { jitter_ms, calls: _, ref mos, .. } = *group;
    let mos: Vec<String> =
        mos.iter().map(|m| format!("{} {:.2} {:.2} {}", m.scale, m.p5, m.p50, m.intervals)).collect();
    let same = StatsGroup { jitter_ms: [None; 3], jitter: Vec::new(), calls: None, mos: Vec::new(), ..group.clone() };
    let trimmed = |counts: &[u64]| counts.iter().copied().take(200).collect::<Vec<_>>();
    let same = StatsGroup { pdv: trimmed(&same.pdv), ..same };
    (format!("{same:?} {mos:?}"), jitter_ms)
}

/// A store with the rows and the sums of some worlds, and the starts of its intervals.
pub(crate) async fn filled(dir: &std::path::Path) -> Option<(Store, Vec<i64>)> {
    let store = embedded(dir).await?;
    let trunk = |cidr: &str, name: &str| (cidr.parse().expect(cidr), name.to_owned());
    let labels = Labels {
        probe: "p".to_owned(),
        site: "s".to_owned(),
        trunks: vec![trunk("192.0.2.0/24", "wide"), trunk("198.51.100.0/24", "other side")],
    };
    let policy = Policy { interval: Nanos::from_secs(2), ..Policy::default() };
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.join("spool"), labels.clone(), quick()).unwrap();
    let mut starts = Vec::new();
    for record in (0..3).flat_map(|seed| records(seed, &labels, &policy)) {
        if let Record::MediaGroup(group) = &record {
            starts.push(group.start.0);
        }
        while !sender.try_send(record.clone()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(writer.drain(Duration::from_secs(60)).await, Leftover::default());
    starts.sort_unstable();
    Some((store, starts))
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_of_sums_are_those_of_the_rows_of_streams() {
    let dir = tempfile::tempdir().unwrap();
    let Some((store, starts)) = filled(dir.path()).await else { return };
    let reader = Reader::new(store.reader());
    let everywhere = AddressRange::parse("::/0").unwrap();
    let mut rng = Rng::new(7);
    let mut groups_seen = 0;
    for round in 0..60 {
        let at = |share: f64| Timestamp(starts[((starts.len() - 1) as f64 * share) as usize]);
        let (a, b) = (rng.range(0, 1000) as f64 / 1000.0, rng.range(0, 1000) as f64 / 1000.0);
        let window = Window { from: at(a.min(b)), to: at(a.max(b)) };
        let window = if round == 0 { Window { from: at(0.0), to: at(1.0) } } else { window };
        let all =
            [GroupBy::Codec, GroupBy::Trunk, GroupBy::TrunkDirection, GroupBy::MosScale, GroupBy::Site, GroupBy::Probe];
        let group_by: Vec<GroupBy> = all.into_iter().filter(|_| rng.chance(0.4)).take(3).collect();
        let bucket = [None, Some(2), Some(10), Some(300), Some(3600)][round % 5].map(Nanos::from_secs);
        let filter = StreamFilter {
            codec: rng.chance(0.2).then(|| "pcma".to_owned()),
            trunk: rng.chance(0.2).then(|| "wide".to_owned()),
            ..StreamFilter::default()
        };
        let request = StatsRequest { window, filter, group_by, bucket };
        let of_rows = StatsRequest {
            filter: StreamFilter { address: Some(everywhere), ..request.filter.clone() },
            ..request.clone()
        };
        let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
        let sums = session.stats(&request).await.unwrap();
        let rows = session.stats(&of_rows).await.unwrap();
        assert_eq!((sums.source, rows.source), (Source::Groups, Source::Raw));
        assert_eq!(sums.groups.len(), rows.groups.len(), "{request:?}");
        for (sum, row) in sums.groups.iter().zip(&rows.groups) {
            let ((sum, jitter), (row, exact)) = (figures(sum), figures(row));
            assert_eq!(sum, row, "{request:?}");
            for (bucket, exact) in jitter.into_iter().zip(exact) {
                let near = match (bucket, exact) {
                    // Bucket 0 reads as its middle.
                    (Some(bucket), Some(exact)) => (bucket / exact - 1.0).abs() < 0.1 || exact < 0.125,
                    (bucket, exact) => bucket == exact,
                };
                assert!(near, "{bucket:?} {exact:?} {request:?}");
            }
            groups_seen += 1;
        }
    }
    assert!(groups_seen > 300, "{groups_seen}");
}

/// Makes the rows of this store look like those of a program without sums and counts.
async fn forget_sums(store: &Store) {
    let sql = "ALTER TABLE schema_migrations UPDATE applied_at = now() + INTERVAL 1 HOUR WHERE version IN (18, 19)";
    store.writer().query(sql).with_setting("mutations_sync", "2").execute().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_sums_are_those_of_single_calls() {
    let dir = tempfile::tempdir().unwrap();
    let Some((store, starts)) = filled(dir.path()).await else { return };
    let with_sums = Reader::new(store.reader());
    let session = with_sums.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let (first, last) = (starts[0], starts[starts.len() - 1]);
    let mut requests = Vec::new();
    let mut rng = Rng::new(11);
    for round in 0..40 {
        let at = |share: f64| (first as f64 + (last - first) as f64 * share) as i64 / 2_000_000_000 * 2_000_000_000;
        let (a, b) = (rng.range(0, 1000) as f64 / 1000.0, rng.range(0, 1000) as f64 / 1000.0);
        // Whole intervals of two seconds: the last second of the last one is the end.
        let window = Window { from: Timestamp(at(a.min(b))), to: Timestamp(at(a.max(b)) + 1_000_000_000) };
        let whole = Window { from: Timestamp(at(-0.1)), to: Timestamp(at(1.2) + 1_000_000_000) };
        let request = OutcomeRequest {
            window: if round < 8 { whole } else { window },
            filter: OutcomeFilter { trunk: rng.chance(0.2).then(|| "wide".to_owned()), ..OutcomeFilter::default() },
            group_by: OutcomeGroup::ALL.into_iter().filter(|_| rng.chance(0.4)).take(3).collect(),
            bucket: [None, Some(10), Some(300), Some(3600)][round % 4].map(Nanos::from_secs),
        };
        let sums = session.outcomes(&request).await.unwrap();
        assert_eq!(sums.source, Source::Groups);
        requests.push((request, sums));
    }
    forget_sums(&store).await;
    let without = Reader::new(store.reader());
    let session = without.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let mut attempts = 0;
    for (request, sums) in requests {
        let single = session.outcomes(&request).await.unwrap();
        assert_eq!(single.source, Source::Raw);
        // Groups in which calls were up and nothing else happened are not there.
        let busy = |page: &[Outcomes]| -> Vec<Outcomes> {
            page.iter().filter(|of| of.attempts + of.ended > 0).map(exact).collect()
        };
        let (sums, single) = (busy(&sums.groups), busy(&single.groups));
        assert_eq!(
            sums.iter().map(|of| &of.key).collect::<Vec<_>>(),
            single.iter().map(|of| &of.key).collect::<Vec<_>>()
        );
        for (sum, one) in sums.iter().zip(&single) {
            attempts += sum.attempts;
            let near = |a: &Spans, b: &Spans| {
                let pairs = [0.0, 0.5, 0.95, 1.0].map(|q| (a.quantile(q), b.quantile(q)));
                a.total() == b.total()
                    && pairs.iter().all(|pair| match pair {
                        (Some(a), Some(b)) => (a.0 as f64 / b.0.max(1) as f64 - 1.0).abs() < 0.1,
                        (a, b) => a == b,
                    })
            };
            let spans = |of: &Outcomes| [&of.pdd, &of.setup, &of.srd_failed, &of.duration, &of.sdd].map(Clone::clone);
            for (a, b) in spans(sum).iter().zip(&spans(one)) {
                assert!(near(a, b), "{a:?} {b:?} {request:?}");
            }
            let counts = |of: &Outcomes| Outcomes {
                pdd: Spans::default(),
                setup: Spans::default(),
                srd_failed: Spans::default(),
                duration: Spans::default(),
                sdd: Spans::default(),
                up_ms: 0,
                up_max: 0,
                ..of.clone()
            };
            assert_eq!(counts(sum), counts(one), "{request:?}");
        }
    }
    assert!(attempts > 1000, "{attempts}");
}

/// Calls over three hours, all in one batch that is sent twice; their first times in order.
async fn with_calls(store: &Store) -> Vec<i64> {
    let mut rng = Rng::new(5);
    let begin = now().0 / 1_000_000_000 / 3600 * 3600 - 4 * 3600;
    let mut calls = Vec::new();
    for n in 0..3_000 {
        let mut call = crate::samples::call(n);
        let second = rng.range(0, 3 * 3600);
        // Some at the very bounds of five minutes.
        let nanos = if rng.chance(0.1) { 0 } else { rng.range(0, 1_000_000_000) };
        let second = if nanos == 0 { second / 300 * 300 } else { second };
        call.first_at = Timestamp((begin + second) * 1_000_000_000 + nanos);
        (call.state, call.final_code) = *rng.pick(&[
            (CallState::Completed, 200),
            (CallState::Failed, 503),
            (CallState::Failed, 486),
            (CallState::Cancelled, 487),
            (CallState::SetupTimeout, 0),
        ]);
        if n >= 2_800 {
            // More final codes than one answer has groups.
            (call.state, call.final_code) = (CallState::Failed, 400 + n as u16 % 80);
        }
        call.diagnoses.clear();
        calls.push(call);
    }
    let mut starts: Vec<i64> = calls.iter().map(|call| call.first_at.0).collect();
    starts.sort_unstable();
    let records: Vec<Record> = calls.into_iter().map(|call| Record::Call(Box::new(call))).collect();
    for _ in 0..2 {
        send(store, "calls", "calls", &records).await.unwrap();
    }
    starts
}

/// Counts and single calls say the same for any window, filter and grouping, and no more than the calls that are there.
#[tokio::test(flavor = "multi_thread")]
async fn calls_over_time_from_counts_are_those_of_single_calls() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let starts = with_calls(&store).await;
    let mut rng = Rng::new(23);
    let mut requests = Vec::new();
    for round in 0..60 {
        // Many windows begin and end on whole minutes.
        let step = *rng.pick(&[1, 1_000_000_000, 60_000_000_000, 300_000_000_000]);
        let at = |rng: &mut Rng| (starts[rng.range(0, 2_999) as usize] / step) * step;
        let (a, b) = (at(&mut rng), at(&mut rng));
        let window = Window { from: Timestamp(a.min(b)), to: Timestamp(a.max(b)) };
        let filter = CallFilter {
            states: if rng.chance(0.3) { vec![CallState::Failed, CallState::Completed] } else { Vec::new() },
            classes: if rng.chance(0.2) { vec![CallClass::Failed] } else { Vec::new() },
            final_codes: if rng.chance(0.2) { vec![503, 486] } else { Vec::new() },
            site: rng.chance(0.2).then(|| labels().site),
            ..CallFilter::default()
        };
        let bucket = Nanos::from_secs([60, 300, 900, 3600, 7200, 86_400][round % 6]);
        let group_by: Vec<CallGroup> = CallGroup::ALL.into_iter().filter(|_| rng.chance(0.2)).take(3).collect();
        requests.push((filter, window, bucket, group_by));
    }
    let reader = Reader::new(store.reader());
    let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let (mut counted, mut cut) = (Vec::new(), 0);
    for (filter, window, bucket, group_by) in &requests {
        let timeline = session.timeline(filter, *window, *bucket, group_by).await.unwrap();
        assert_eq!(timeline.source, Source::Groups);
        let calls: u64 = timeline.buckets.iter().map(|bucket| bucket.calls).sum();
        if *filter == CallFilter::default() {
            let there = starts.iter().filter(|at| (window.from.0..=window.to.0).contains(at)).count();
            assert_eq!(calls, there as u64, "{window:?}");
        }
        assert!(timeline.groups.len() <= 50 && timeline.groups.is_sorted_by_key(|g| std::cmp::Reverse(g.calls)));
        cut += usize::from(timeline.truncated);
        if !group_by.is_empty() && !timeline.truncated {
            assert_eq!(timeline.groups.iter().map(|group| group.calls).sum::<u64>(), calls);
        }
        counted.push(timeline);
    }
    drop(session);
    forget_sums(&store).await;
    let reader = Reader::new(store.reader());
    let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let mut calls = 0;
    for ((filter, window, bucket, group_by), counted) in requests.iter().zip(counted) {
        let single = session.timeline(filter, *window, *bucket, group_by).await.unwrap();
        assert_eq!(single.source, Source::Raw);
        calls += single.buckets.iter().map(|bucket| bucket.calls).sum::<u64>();
        let same = CallTimeline { source: Source::Raw, ..counted };
        assert_eq!(same, single, "{filter:?} {window:?} {bucket:?} {group_by:?}");
    }
    assert!(calls > 10_000 && (3..50).contains(&cut), "{calls} {cut}");
}

/// MOS of one scale from sums, loss from the rows of streams: each stream is one observation.
#[tokio::test(flavor = "multi_thread")]
async fn mos_and_loss_are_compared_over_streams() {
    let dir = tempfile::tempdir().unwrap();
    let Some((store, starts)) = filled(dir.path()).await else { return };
    let reader = Reader::new(store.reader());
    let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let window = Window { from: Timestamp(starts[0]), to: Timestamp(starts[starts.len() - 1]) };
    let side = |trunk: &str| Side {
        window,
        codec: None,
        filter: OutcomeFilter { trunk: Some(trunk.to_owned()), ..OutcomeFilter::default() },
    };
    let (wide, other) = (side("wide"), side("other side"));
    let rows: Vec<(u64, String, u64, u64)> = store
        .reader()
        .query(
            "SELECT stream_id, toString(trunk), toUInt64(sum(expected)), toUInt64(sum(lost) - sum(lost_by_evidence['capture_drops'] + lost_by_evidence['sampled_capture'])) \
             FROM stream_intervals GROUP BY ALL HAVING sum(expected) > 0",
        )
        .fetch_all()
        .await
        .unwrap();
    let count = |trunk: &str| rows.iter().filter(|row| row.1 == trunk).count();
    assert!(count("wide") > 20 && count("other side") > 20);
    let mut rated = 0;
    for figure in Figure::ALL.into_iter().filter(|figure| !figure.is_of_calls()) {
        let compared = session.compare(figure, &wide, &other).await.unwrap();
        let of =
            |trunk: &str| rows.iter().filter(|row| row.1 == trunk).map(|row| row.3 as f64 / row.2 as f64).collect();
        let (mut first, second): (Vec<f64>, Vec<f64>) = (of("wide"), of("other side"));
        first.sort_by(f64::total_cmp);
        let estimate = compared.comparison.first;
        match figure.name() {
            "loss_p50" | "loss_p95" | "loss_over_1_pct" => {
                assert_eq!(compared.sizes, [first.len() as u64, second.len() as u64], "{figure:?}");
                let over = first.iter().filter(|loss| (*loss * 1e4).round() > 100.0).count();
                let at = |q: f64| (first[(q * first.len() as f64).ceil() as usize - 1] * 1e4).round() / 100.0;
                let expected = match figure {
                    Figure::LossP50 => at(0.5),
                    Figure::LossP95 => at(0.95),
                    _ => 100.0 * over as f64 / first.len() as f64,
                };
                assert!((estimate.unwrap().value - expected).abs() < 1e-9, "{figure:?} {estimate:?} {expected}");
            }
            name if name.starts_with("mos_nb") || name.starts_with("mos_wb") || name.starts_with("mos_fb") => {
                let request = StatsRequest {
                    window,
                    filter: StreamFilter { trunk: Some("wide".to_owned()), ..StreamFilter::default() },
                    group_by: vec![GroupBy::MosScale],
                    bucket: None,
                };
                let page = session.stats(&request).await.unwrap();
                let Some(group) = page.groups.iter().find(|group| group.key == [&name[4..6]]) else {
                    assert_eq!((estimate, compared.sizes[0]), (None, 0), "{figure:?}");
                    continue;
                };
                rated += 1;
                let estimate = estimate.unwrap();
                let (low, value, high) = (estimate.low, estimate.value, estimate.high);
                assert!(1.0 <= low && low <= value && value <= high && high <= 4.6, "{figure:?} {estimate:?}");
                let expected = if name.ends_with("p50") { group.mos[0].p50 } else { group.mos[0].p5 };
                assert!((value - f64::from(expected)).abs() < 1e-6 && compared.sizes[0] == group.streams, "{figure:?}");
            }
            _ => {}
        }
    }
    assert!(rated >= 2, "{rated}");
}

/// Lists in one order.
fn exact(of: &Outcomes) -> Outcomes {
    let mut of = of.clone();
    of.final_codes.sort_unstable();
    of.classes.sort_unstable();
    of.diagnoses.sort_unstable();
    of
}

/// A store of the version before: what it holds is found as before and read from single rows, what comes is read from sums.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_from_before_sums_is_carried_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = crate::library() else { return };
    let store = Backend::embedded(dir.path().join("data"), Some(library)).open().unwrap();
    at_version(&store, 17).await;
    let l = labels();
    let before = Timestamp(now().0 - 3_600_000_000_000);
    for (n, user) in [(1u64, "+4930123456"), (2, "0049 30 123-456"), (3, "alice")] {
        let mut call = crate::samples::call(n);
        call.caller.user = user.to_owned();
        insert_known(&store, "calls", json(&CallRow::new(&call, &l, before))).await;
        let interval = crate::samples::interval(n, 0);
        insert_known(&store, "stream_intervals", json(&IntervalRow::new(&interval, &l, before))).await;
    }
    assert_eq!(store.migrate().await.unwrap(), [18, 19, 20, 21, 22, 23, 24]);
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), l, quick()).unwrap();
    for n in 100..103 {
        assert!(sender.try_send(Record::MediaGroup(Box::new(media_group(n)))));
        assert!(sender.try_send(Record::CallGroup(Box::new(call_group(n)))));
    }
    assert_eq!(writer.drain(Duration::from_secs(20)).await, Leftover::default());

    let reader = Reader::new(store.reader());
    let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let start = crate::samples::interval(1, 0).start;
    let at = |seconds: i64| start + Nanos::from_secs(seconds);
    let stats = |from, to| StatsRequest {
        window: Window { from, to },
        filter: StreamFilter::default(),
        group_by: vec![GroupBy::Trunk],
        bucket: None,
    };
    let old = session.stats(&stats(at(-60), at(60))).await.unwrap();
    assert_eq!((old.source, old.groups[0].streams), (Source::Raw, 3));
    let new = media_group(100).start;
    let recent = session.stats(&stats(new, new + Nanos::from_secs(60))).await.unwrap();
    assert_eq!((recent.source, recent.groups[0].packets), (Source::Groups, 9));
    let both = session.stats(&stats(at(-60), new + Nanos::from_secs(60))).await.unwrap();
    assert_eq!(both.source, Source::Raw, "one source for a whole window");

    let first_at = crate::samples::call(1).first_at;
    let window = Window { from: first_at - Nanos::from_secs(60), to: first_at + Nanos::from_secs(60) };
    for (number, found) in [("030123456", 0), ("+49 (30) 123456", 2), ("123456", 2), ("56", 0), ("ALICE", 3), ("ce", 0)]
    {
        let filter = CallFilter { number: Some(PhoneNumber::parse(number).unwrap()), ..CallFilter::default() };
        let page = session.calls(&filter, window, CallSort::Worst, 50, None).await.unwrap();
        assert_eq!(page.calls.len(), found, "{number}");
    }
}

/// A probe that sees signalling only has no intervals: its older calls stand alone.
#[tokio::test(flavor = "multi_thread")]
async fn calls_from_before_sums_count_without_any_interval() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = crate::library() else { return };
    let store = Backend::embedded(dir.path().join("data"), Some(library)).open().unwrap();
    at_version(&store, 17).await;
    let call = crate::samples::call(1);
    let before = Timestamp(now().0 - 3_600_000_000_000);
    insert_known(&store, "calls", json(&CallRow::new(&call, &labels(), before))).await;
    assert_eq!(store.migrate().await.unwrap(), [18, 19, 20, 21, 22, 23, 24]);
    let reader = Reader::new(store.reader());
    let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let window = Window { from: call.first_at - Nanos::from_secs(60), to: call.first_at + Nanos::from_secs(60) };
    let request = OutcomeRequest { window, filter: OutcomeFilter::default(), group_by: Vec::new(), bucket: None };
    let page = session.outcomes(&request).await.unwrap();
    assert_eq!((page.source, page.groups[0].attempts, page.groups[0].answers), (Source::Raw, 1, 1));
}

/// What is deleted or made unreadable for a person is gone from what searches read, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_removed_is_found_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    for (n, user) in [(1u64, "+4930111111"), (2, "+4930222222"), (3, "+4930333333")] {
        let mut call = crate::samples::call(n);
        call.caller.user = user.to_owned();
        let mut insert = store.writer().insert::<CallRow>("calls").await.unwrap();
        insert.write(&CallRow::new(&call, &labels(), now())).await.unwrap();
        insert.end().await.unwrap();
    }
    for sql in [
        "ALTER TABLE calls DELETE WHERE call_uid = 1",
        "ALTER TABLE calls UPDATE caller_user = '***' WHERE call_uid = 2",
    ] {
        store.writer().query(sql).with_setting("mutations_sync", "2").execute().await.unwrap();
    }
    let reader = Reader::new(store.reader());
    let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let first_at = crate::samples::call(1).first_at;
    let window = Window { from: first_at - Nanos::from_secs(60), to: first_at + Nanos::from_secs(60) };
    for (number, found) in [("111111", 0), ("222222", 0), ("333333", 1)] {
        let filter = CallFilter { number: Some(PhoneNumber::parse(number).unwrap()), ..CallFilter::default() };
        let page = session.calls(&filter, window, CallSort::Worst, 50, None).await.unwrap();
        assert_eq!(page.calls.len(), found, "{number}");
    }
    let left: u64 = store
        .reader()
        .query("SELECT count() FROM calls WHERE caller_reversed IN ('1111110394', '2222220394')")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(left, 0);
}
