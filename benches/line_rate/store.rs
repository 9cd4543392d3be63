//! The store's writer into the embedded engine: rows a second, rows dropped, and what a row takes on disk.
//!
//! The rows are those of a seeded world of calls, with other streams, times and figures for each copy.

use crate::{Options, measure};
use auscult_core::engine::Engine;
use auscult_core::model::Labels;
use auscult_core::model::{CallUid, Event, IntervalReport, Limits, Policy, StreamId, TimestampSource};
use auscult_core::units::{Nanos, Ssrc, Timestamp};
use auscult_core::wire::LinkType;
use auscult_store::rows::Record;
use auscult_store::writer::Counters;
use auscult_store::{Backend, StoreOptions, StoreSender, StoreWriter, Table, chdb};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::World;
use testkit::rng::Rng;

/// 10 gigabit of G.711 with 20 ms a packet, both directions of a call: 5.25 million packets a second.
const STREAMS: u64 = 105_000;
const INTERVAL: Nanos = Nanos::from_secs(10);

/// Worlds and calls of each that rows are taken from.
const WORLDS: u64 = 60;
const CALLS: usize = 50;

/// A replay waits at this depth of the queue, as `auscult run --read` does.
const REPLAY_DEPTH: usize = 16_384;

/// Seconds of the parts at a given pace.
const PACED_SECONDS: u64 = 30;

pub fn run(options: &Options) -> Result<(), String> {
    if let Err(e) = chdb::find_library(None) {
        println!("skipped: store: {e}");
        return Ok(());
    }
    let dir = tempfile::tempdir().map_err(|e| format!("cannot make a directory for the store: {e}"))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let done = runtime.block_on(measured(dir.path(), options.rows));
    let removed = dir.close();
    if let Err(e) = &done {
        eprintln!("line_rate: store: {e}");
    }
    if let Err(e) = removed {
        eprintln!("line_rate: cannot remove the store: {e}");
    }
    let _ = std::io::stdout().flush();
    // Exit handlers do not survive an engine that was open.
    chdb::exit_now(i32::from(done.is_err()))
}

async fn measured(dir: &Path, rows: u64) -> Result<(), String> {
    let store = Backend::embedded(dir.join("data"), None).open().map_err(|e| e.to_string())?;
    store.migrate().await.map_err(|e| e.to_string())?;
    let options = StoreOptions::new(now);
    let labels = Labels { probe: "fra1-span".to_owned(), site: "Frankfurt".to_owned(), trunks: Vec::new() };
    let (sender, writer) =
        StoreWriter::start(store.clone(), &dir.join("spool"), labels, options).map_err(|e| e.to_string())?;
    let counters = writer.counters();
    let source = {
        let sender = sender.clone();
        tokio::task::spawn_blocking(move || Source::of_worlds(&sender)).await.map_err(|e| e.to_string())?
    };
    all_delivered(&counters).await;

    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}",
        "store", "rows", "dropped", "rows/s", "rows/CPU-s", "depth", "spooled"
    );
    let mut source = Some(source);
    for part in [Part::Even, Part::AtOnce, Part::FlatOut(rows)] {
        let before = counters.snapshot().table(Table::StreamIntervals);
        let (wall, cpu) = (wall(), measure::cpu());
        let (sender, watched) = (sender.clone(), counters.clone());
        let mut taken = source.take().ok_or("the rows are gone")?;
        let task = tokio::task::spawn_blocking(move || {
            let most = part.run(&mut taken, &sender, &watched);
            (taken, most)
        });
        let (back, most) = task.await.map_err(|e| e.to_string())?;
        all_delivered(&counters).await;
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), measure::cpu() - cpu - back.made_cpu);
        let after = counters.snapshot().table(Table::StreamIntervals);
        let dropped: u64 = after.dropped.iter().chain(&before.dropped).map(|(_, n)| n).sum::<u64>()
            - 2 * before.dropped.iter().map(|(_, n)| n).sum::<u64>();
        let delivered = after.delivered - before.delivered;
        println!(
            "{:<34} {delivered:>9} {dropped:>9} {:>9.0} {:>11.0} {:>9} {:>9}",
            part.name(),
            delivered as f64 / wall,
            delivered as f64 / cpu,
            most.depth,
            most.spooled,
        );
        source = Some(back);
    }
    let left = writer.drain(Duration::from_secs(60)).await;
    if left.spooled_rows + left.lost_rows > 0 {
        return Err(format!("{} rows left in the spool, {} lost", left.spooled_rows, left.lost_rows));
    }
    println!(
        "answers: {} ms at the median, {} ms at most",
        counters.answers().value_at_quantile(0.5) / 1000,
        counters.answers().max() / 1000
    );
    println!("peak memory of the process: {} MiB", measure::peak() >> 20);

    let sql = "SELECT table, sum(rows), sum(bytes_on_disk), sum(data_uncompressed_bytes), count() FROM system.parts \
               WHERE active AND database = 'auscult' AND table NOT LIKE 'schema%' GROUP BY table ORDER BY table";
    let tables: Vec<(String, u64, u64, u64, u64)> =
        store.reader().query(sql).fetch_all().await.map_err(|e| e.to_string())?;
    println!("{:<20} {:>9} {:>10} {:>10} {:>6}", "table", "rows", "B/row disk", "B/row raw", "parts");
    for (table, rows, disk, raw, parts) in tables {
        let per_row = |bytes: u64| bytes as f64 / rows.max(1) as f64;
        println!("{table:<20} {rows:>9} {:>10.1} {:>10.1} {parts:>6}", per_row(disk), per_row(raw));
    }
    Ok(())
}

/// Waits until the store acknowledged everything.
async fn all_delivered(counters: &Counters) {
    let open = || {
        counters
            .snapshot()
            .tables
            .iter()
            .any(|(_, t)| t.received > t.delivered + t.dropped.iter().map(|(_, rows)| rows).sum::<u64>())
    };
    while open() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How rows come.
#[derive(Clone, Copy)]
enum Part {
    /// Each stream's row at its own time.
    Even,
    /// All streams' rows at the end of their interval, as fast as they can be made.
    AtOnce,
    /// So many rows with a replay's patience.
    FlatOut(u64),
}

/// The worst seen while rows were sent.
#[derive(Default)]
struct Most {
    depth: usize,
    spooled: u64,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Even => "105,000 streams, over 10 s",
            Part::AtOnce => "105,000 streams, at its end",
            Part::FlatOut(_) => "as fast as it goes",
        }
    }

    fn run(self, source: &mut Source, sender: &StoreSender, counters: &Counters) -> Most {
        let mut most = Most::default();
        source.made_cpu = 0.0;
        let mut look = |sender: &StoreSender| {
            most.depth = most.depth.max(sender.depth());
            most.spooled = most.spooled.max(counters.snapshot().waiting_rows);
        };
        let start = wall();
        match self {
            Part::Even => {
                // A piece every 10 ms.
                let piece = STREAMS / 1_000;
                for n in 0..PACED_SECONDS * 100 {
                    for report in source.rows(piece) {
                        sender.try_send(report);
                    }
                    look(sender);
                    std::thread::sleep(Duration::from_millis(10 * (n + 1)).saturating_sub(start.elapsed()));
                }
            }
            Part::AtOnce => {
                for n in 0..PACED_SECONDS / 10 {
                    let rows = source.rows(STREAMS);
                    for (i, report) in rows.into_iter().enumerate() {
                        sender.try_send(report);
                        if i % 1_024 == 0 {
                            look(sender);
                        }
                    }
                    std::thread::sleep(Duration::from_secs(10 * (n + 1)).saturating_sub(start.elapsed()));
                }
            }
            Part::FlatOut(rows) => {
                for _ in 0..rows.div_ceil(1_000) {
                    for report in source.rows(1_000) {
                        while sender.depth() > REPLAY_DEPTH {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        sender.try_send(report);
                    }
                    look(sender);
                }
            }
        }
        most
    }
}

/// Interval rows without end.
struct Source {
    pool: Vec<IntervalReport>,
    rng: Rng,
    next: u64,
    /// CPU time it took to make rows since it was last set to 0.
    made_cpu: f64,
}

impl Source {
    /// Sends the events about the worlds, and keeps the interval rows to make others from.
    fn of_worlds(sender: &StoreSender) -> Source {
        let mut pool = Vec::new();
        for seed in 0..WORLDS {
            let capture = World::random(seed, CALLS).build();
            let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
            engine.set_source("eth1", TimestampSource::Kernel, 1);
            let mut events: Vec<Event> = Vec::new();
            for frame in &capture.frames {
                let wire_len = frame.wire_len as usize;
                engine.frame(Timestamp(frame.at), LinkType::ETHERNET, &frame.bytes, wire_len, &mut events);
            }
            engine.finish(&mut events);
            for event in events {
                match Record::from_event(event) {
                    // Few packets: the piece of an interval a call began or ended in. Long calls have mostly whole ones.
                    Some(Record::Interval(report)) if report.numbers.packets > 200 => pool.push(*report),
                    Some(Record::Interval(_)) | None => {}
                    Some(record) => {
                        while sender.depth() > REPLAY_DEPTH {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        sender.try_send(record);
                    }
                }
            }
        }
        Source { pool, rng: Rng::new(7), next: 0, made_cpu: 0.0 }
    }

    /// The next rows: stream after stream, and when all had theirs, the next interval.
    fn rows(&mut self, count: u64) -> Vec<Record> {
        let start = thread_cpu();
        let rows = (0..count).map(|_| Record::Interval(Box::new(self.row()))).collect();
        self.made_cpu += thread_cpu() - start;
        rows
    }

    fn row(&mut self) -> IntervalReport {
        let stream = self.next % STREAMS;
        let interval = (self.next / STREAMS) as i64;
        self.next += 1;
        let rng = &mut self.rng;
        let mut row = rng.pick(&self.pool).clone();
        let scattered = (stream + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        row.stream = StreamId(scattered);
        row.ssrc = Ssrc((scattered >> 32) as u32);
        row.call_uid = Some(CallUid((stream / 2 + 1).wrapping_mul(0xd134_2543_de82_ef95)));
        row.call_id = format!("{:016x}@10.{}.{}.9", scattered.rotate_left(17), stream >> 8 & 255, stream & 7).into();
        let bytes = (stream as u32).to_be_bytes();
        row.src =
            (std::net::Ipv4Addr::new(10, bytes[1], bytes[2], bytes[3]), 16_384 + (stream % 8_192) as u16 * 2).into();
        row.dst = (std::net::Ipv4Addr::new(198, 18, 0, bytes[3] & 63), 20_000 + (stream >> 6) as u16 * 2).into();
        row.start = Timestamp(1_794_301_200_000_000_000) + Nanos(interval * INTERVAL.0);
        let n = &mut row.numbers;
        let factor = rng.range(700_000, 1_300_000) as f64 / 1e6;
        n.jitter.last_ns *= factor;
        n.jitter.sum_ns *= factor;
        n.jitter.max_ns *= factor;
        n.variation.ipdv_sum_ns = (n.variation.ipdv_sum_ns as f64 * factor) as u64;
        n.variation.above_sum_ns = (n.variation.above_sum_ns as f64 * factor) as u64;
        n.variation.below_sum_ns = (n.variation.below_sum_ns as f64 * factor) as u64;
        n.variation.ipdv_max_ns *= factor;
        n.variation.skew_max_ns *= factor;
        n.pdv_max = Nanos((n.pdv_max.0 as f64 * factor) as i64);
        n.max_gap = Nanos((n.max_gap.0 as f64 * factor) as i64);
        n.max_delta = Nanos((n.max_delta.0 as f64 * factor) as i64);
        for _ in 0..8 {
            n.pdv.add(rng.range(1, 60) as usize, rng.range(0, 40) as u32);
        }
        for value in [&mut row.mos.lq, &mut row.mos.r].into_iter().flatten() {
            *value *= 1.0 - rng.range(0, 20_000) as f32 / 1e6;
        }
        row
    }
}

fn thread_cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn wall() -> Instant {
    Instant::now()
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_nanosecond() as i64)
}
