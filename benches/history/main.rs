//! How fast a NOC's history is asked: fills a store with seeded rows inside the engine and times the questions of the page and
//! the dashboards, the first and the tenth time, while rows are written. `docs/performance.md` has figures.
//!
//! ```text
//! cargo bench --bench history -- [--days N] [--streams N] [--data DIR] [--written N]
//! ```
//!
//! `--written` is how many rows of intervals are written each second meanwhile, 2,000 unless given.
//!
//! A day of 1,780 streams at a time, the default, is 15.4 million rows of intervals; 89 days of 590 streams are 148 million (of the last
//! 29 days: the store keeps intervals 30 days) and 57 million calls. With `--data` the
//! store is kept, and one that is there is not filled again. Needs the engine's library (`make engine`).

#![allow(clippy::disallowed_methods, reason = "it measures")]

use auscult_core::model::CallUid;
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{
    AddressRange, CallFilter, CallSort, Cost, GroupBy, OutcomeFilter, OutcomeGroup, OutcomeRequest, PhoneNumber,
    QueryError, Reader, Session, Source, StatsGroup, StatsRequest, StreamFilter, StreamSort, Window,
};
use auscult_store::{Backend, Store, chdb};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::history::History;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 10;
/// Statements at once while the store is filled.
const FILLED_BY: usize = 2;

fn main() -> Outcome<()> {
    let (mut days, mut streams, mut data, mut written) = (1, 1_780, None, 2_000);
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--days" => days = value()?.parse()?,
            "--streams" => streams = value()?.parse()?,
            "--written" => written = value()?.parse()?,
            "--data" => data = Some(PathBuf::from(value()?)),
            other => return Err(format!("{other} is no option").into()),
        }
    }
    let scratch = tempfile::tempdir()?;
    let dir = data.unwrap_or_else(|| scratch.path().join("data"));
    let history = History { seed: 7, from_s: today() - i64::from(days) * 86_400, days, streams };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&dir, history, written))
}

/// The first second of this day.
fn today() -> i64 {
    jiff::Timestamp::now().as_second() / 86_400 * 86_400
}

async fn run(dir: &Path, history: History, per_s: u64) -> Outcome<()> {
    let store = Backend::embedded(dir.to_owned(), Some(chdb::find_library(None)?)).open()?;
    store.migrate().await?;
    let there: u64 = store.reader().query("SELECT count() FROM stream_intervals").fetch_one().await?;
    if there == 0 {
        fill(&store, &history).await?;
    }
    // The rows are older than the schema, as those of a program without sums are.
    let sql = "ALTER TABLE schema_migrations UPDATE applied_at = toDateTime(0) WHERE 1";
    store.writer().query(sql).with_setting("mutations_sync", "2").execute().await?;
    sizes(&store).await?;
    let began = Instant::now();
    let packets: u64 = store.reader().query("SELECT sum(packets) FROM stream_intervals").fetch_one().await?;
    println!(
        "full scan of one column of stream_intervals: {:.0} ms ({packets} packets)",
        began.elapsed().as_secs_f64() * 1e3
    );
    compare(&store, &history).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write((store.clone(), history, per_s), stop.clone(), written.clone()));
    let began = Instant::now();
    ask(&store, &history).await?;
    stop.store(true, Ordering::Relaxed);
    writer.await??;
    println!("rows written meanwhile: {:.0}/s", written.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

async fn fill(store: &Store, history: &History) -> Outcome<()> {
    let began = Instant::now();
    let jobs = Arc::new(history.jobs());
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..FILLED_BY {
        let (store, jobs, next) = (store.clone(), jobs.clone(), next.clone());
        workers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(n) else { return Ok::<(), String>(()) };
                for statement in job {
                    let done = store.writer().query_raw(statement).execute().await;
                    done.map_err(|e| format!("{e}\n{statement}"))?;
                }
                if n % 100 == 99 {
                    eprintln!("filled {} %", 100 * (n + 1) / jobs.len());
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    println!(
        "filled with {} rows of intervals in {:.1} min",
        history.intervals(),
        began.elapsed().as_secs_f64() / 60.0
    );
    Ok(())
}

async fn sizes(store: &Store) -> Outcome<()> {
    let sql = "SELECT table, sum(rows), toFloat64(sum(bytes_on_disk)) / 1e6 FROM system.parts \
               WHERE active AND database = 'auscult' GROUP BY table ORDER BY 3 DESC";
    for (table, rows, megabytes) in store.reader().query(sql).fetch_all::<(String, u64, f64)>().await? {
        println!("{table:>20} {rows:>12} rows {megabytes:>9.1} MB");
    }
    Ok(())
}

/// Rows of intervals as a probe writes them.
async fn write(
    (store, history, per_s): (Store, History, u64),
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) -> Result<(), String> {
    let mut from_s = history.until_s();
    let mut begun = tokio::time::Instant::now();
    while per_s > 0 && !stop.load(Ordering::Relaxed) {
        let more = History { seed: history.seed + 1, from_s, days: 1, streams: per_s as u32 };
        let statement = more.statements().swap_remove(0).replace("numbers(120000)", &format!("numbers({per_s})"));
        store.writer().query_raw(&statement).execute().await.map_err(|e| e.to_string())?;
        written.fetch_add(per_s, Ordering::Relaxed);
        from_s += 10;
        begun += Duration::from_secs(1);
        tokio::time::sleep_until(begun).await;
    }
    Ok(())
}

/// Sums and the rows of streams answer the same, over an hour.
async fn compare(store: &Store, history: &History) -> Outcome<()> {
    let reader = Reader::new(store.reader());
    let session = session(&reader, Cost::Scan).await?;
    let from = Timestamp::from_secs(history.from_s + 12 * 3600 + 610);
    let window = Window { from, to: from + Nanos::from_secs(3600) };
    for group_by in [vec![GroupBy::Trunk], vec![GroupBy::Codec, GroupBy::TrunkDirection], vec![GroupBy::Site]] {
        let request = StatsRequest { window, filter: StreamFilter::default(), group_by, bucket: None };
        let everywhere =
            StreamFilter { address: Some(AddressRange::parse("::/0").map_err(text)?), ..StreamFilter::default() };
        let sums = session.stats(&request).await.map_err(text)?;
        let began = Instant::now();
        let rows = session.stats(&StatsRequest { filter: everywhere, ..request.clone() }).await.map_err(text)?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        let figures = |g: &StatsGroup| {
            let mos: Vec<_> = g.mos.iter().map(|m| (m.scale, m.p5.to_bits(), m.p50.to_bits(), m.intervals)).collect();
            (g.key.clone(), g.streams, g.packets, g.lost, g.pdv.clone(), g.late.clone(), mos)
        };
        let equal = sums.source == Source::Groups
            && sums.groups.len() == rows.groups.len()
            && sums.groups.iter().zip(&rows.groups).all(|(a, b)| figures(a) == figures(b));
        if !equal {
            return Err(format!("sums and rows differ: {:?}", request.group_by).into());
        }
        println!("an hour by {:?}: sums and rows of streams are equal; from rows {took:.0} ms", request.group_by);
    }
    Ok(())
}

async fn ask(store: &Store, history: &History) -> Outcome<()> {
    let reader = Reader::new(store.reader());
    let until = Timestamp::from_secs(history.until_s());
    let over =
        |seconds: i64| Window { from: until - Nanos::from_secs(seconds - 130), to: until - Nanos::from_secs(10) };
    let (day, all) = (over(86_400), over(86_400 * i64::from(history.days)));
    let stats = |window, group_by: Vec<GroupBy>, bucket: Option<i64>| StatsRequest {
        window,
        filter: StreamFilter::default(),
        group_by,
        bucket: bucket.map(Nanos::from_secs),
    };
    println!("{:>44} {:>9} {:>9}", "question", "first ms", "tenth ms");
    for (name, request) in [
        ("percentiles by trunk, 24 h", stats(day, vec![GroupBy::Trunk], None)),
        ("percentiles by codec, 24 h", stats(day, vec![GroupBy::Codec], None)),
        ("percentiles by site, 24 h", stats(day, vec![GroupBy::Site], None)),
        ("percentiles by trunk, all days", stats(all, vec![GroupBy::Trunk], None)),
        ("percentiles in 96 steps, 24 h", stats(day, vec![], Some(900))),
        ("percentiles of a trunk in 96 steps, 24 h", {
            let mut request = stats(day, vec![], Some(900));
            request.filter.trunk = Some("trunk-07".to_owned());
            request
        }),
        ("percentiles in steps of a minute, 1 h", stats(over(3600), vec![], Some(60))),
    ] {
        time(name, async || session(&reader, Cost::Scan).await?.stats(&request).await.map(|_| ())).await?;
    }
    let outcomes = |window, group_by: Vec<OutcomeGroup>, bucket: Option<i64>| OutcomeRequest {
        window,
        filter: OutcomeFilter::default(),
        group_by,
        bucket: bucket.map(Nanos::from_secs),
    };
    for (name, request) in [
        ("outcomes by trunk, 24 h", outcomes(day, vec![OutcomeGroup::Trunk], None)),
        ("outcomes in 96 steps, 24 h", outcomes(day, vec![], Some(900))),
        ("outcomes by trunk, all days", outcomes(all, vec![OutcomeGroup::Trunk], None)),
    ] {
        time(name, async || session(&reader, Cost::Scan).await?.outcomes(&request).await.map(|_| ())).await?;
    }
    let detail = |window: Window| Window { from: window.from.max(window.to - Window::MAX_DETAIL), ..window };
    for (name, sort) in [("worst 50 calls, 24 h", CallSort::Worst), ("newest 50 calls, 24 h", CallSort::Newest)] {
        let filter = CallFilter::default();
        time(name, async || {
            session(&reader, Cost::Lookup).await?.calls(&filter, day, sort, 50, None).await.map(|_| ())
        })
        .await?;
    }
    let number =
        CallFilter { number: Some(PhoneNumber::parse("+49301234567").map_err(text)?), ..CallFilter::default() };
    let digits = CallFilter { number: Some(PhoneNumber::parse("234567").map_err(text)?), ..CallFilter::default() };
    for (name, filter) in [("a number, all days", number), ("its last six digits, all days", digits)] {
        let window = detail(all);
        time(name, async || {
            session(&reader, Cost::Scan).await?.calls(&filter, window, CallSort::Newest, 50, None).await.map(|_| ())
        })
        .await?;
    }
    let filter = StreamFilter::default();
    time("worst 50 streams, 24 h", async || {
        session(&reader, Cost::Scan).await?.streams(&filter, day, StreamSort::Worst, 50, None).await.map(|_| ())
    })
    .await?;
    let buckets = Nanos::from_secs(900);
    let filter = CallFilter::default();
    time("calls by class in 96 steps, 24 h", async || {
        session(&reader, Cost::Scan).await?.timeline(&filter, day, buckets, &[]).await.map(|_| ())
    })
    .await?;
    let uid: u64 = store.reader().query(&format!("SELECT {}", history.call_of_middle())).fetch_one().await?;
    let first_at: i64 =
        store.reader().query("SELECT first_at FROM calls WHERE call_uid = ?").bind(uid).fetch_one().await?;
    let uid = CallUid(uid);
    for (name, first_at) in
        [("one call of a list", Some(Timestamp(first_at))), ("one call by its identity alone", None)]
    {
        time(name, async || {
            session(&reader, Cost::Lookup).await?.call(uid, first_at).await.map(|found| assert!(found.is_some()))
        })
        .await?;
    }
    Ok(())
}

async fn time(name: &str, ask: impl AsyncFn() -> Result<(), QueryError>) -> Outcome<()> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        if let Err(error) = ask().await {
            println!("{name:>44} {error}");
            return Ok(());
        }
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("{name:>44} {:>9.0} {:>9.0}", took[0], took[ROUNDS - 1]);
    Ok(())
}

async fn session(reader: &Reader, cost: Cost) -> Result<Session, QueryError> {
    reader.session(cost, None).await
}

fn text(error: QueryError) -> String {
    error.to_string()
}
