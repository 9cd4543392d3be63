//! The queries of docs/queries.md, run as they stand there over rows whose answers are known.

use crate::samples::{self, labels};
use crate::{embedded, now};
use auscult_core::model::{CallState, DelaySource, LossEvidence, LossSource, RPoints, Scale};
use auscult_core::units::{DelayHistogram, Nanos};
use auscult_store::Store;
use auscult_store::rows::{CallRow, IntervalRow, StreamRow};
use serde_json::{Value, json};

/// The SQL under a heading.
fn query(heading: &str) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/queries.md")).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{heading}"));
    let (_, sql) = section.split_once("```sql\n").unwrap();
    sql.split_once(";\n```").unwrap().0.to_owned()
}

async fn answer(store: &Store, heading: &str) -> Vec<Value> {
    let query = query(heading);
    let query = store.reader().query_raw(&query).with_setting("output_format_json_quote_64bit_integers", "0");
    let query = query.param("from", "2026-09-01 00:00:00").param("to", "2026-10-01 00:00:00");
    let bytes = query.fetch_bytes("JSONEachRow").unwrap().collect().await.unwrap_or_else(|e| panic!("{heading}: {e}"));
    String::from_utf8(bytes.to_vec()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn histogram(delays: impl Iterator<Item = i64>) -> DelayHistogram {
    let mut histogram = DelayHistogram::default();
    delays.for_each(|ms| histogram.record(Nanos::from_millis(ms)));
    histogram
}

async fn seed(store: &Store) {
    let (l, at) = (labels(), now());
    let mut calls = store.writer().insert::<CallRow>("calls").await.unwrap();
    // Fullband 3.9 is farther from its best than narrowband 3.9.
    for (uid, mos, scale) in [
        (1, Some(3.9), Some(Scale::Nb)),
        (2, Some(3.9), Some(Scale::Fb)),
        (3, None, None),
        (0xabc, Some(2.0), Some(Scale::Nb)),
    ] {
        let mut call = samples::call(uid);
        (call.mos_worst, call.mos_worst_scale) = (mos, scale);
        if mos.is_none() {
            (call.state, call.final_code) = (CallState::Failed, 404);
            call.diagnoses.clear();
        }
        calls.write(&CallRow::new(&call, &l, at)).await.unwrap();
    }
    calls.end().await.unwrap();

    let mut streams = store.writer().insert::<StreamRow>("streams").await.unwrap();
    for (id, loss, delay_source) in
        [(1, 10.0, Some(DelaySource::Measured)), (2, 20.0, None), (3, 0.0, Some(DelaySource::Measured))]
    {
        let mut stream = samples::stream(id);
        let delay = if delay_source.is_none() { 0.0 } else { 4.0 };
        stream.mos.budget = (id != 3).then_some(RPoints { clean_max: 128.75, codec: 11.0, loss, late: 2.0, delay });
        stream.mos.delay_source = delay_source;
        streams.write(&StreamRow::new(&stream, &l, at)).await.unwrap();
    }
    streams.end().await.unwrap();

    let mut intervals = store.writer().insert::<IntervalRow>("stream_intervals").await.unwrap();
    let network = (LossSource::Network, None);
    let mirror = (LossSource::SuspectedCapture, Some(LossEvidence::ManyStreamsAtOnce));
    // 1000 packets of 1 to 100 ms in two intervals, one without delays, and one outside the window.
    let halves = [histogram((0..500).map(|n| n % 50 + 1)), histogram((0..500).map(|n| n % 50 + 51))];
    let none = DelayHistogram::default();
    for (id, second, codec, pdv, late, lost, (source, evidence)) in [
        (1, 0, "PCMA", &halves[0], [100, 4, 0, 0, 0, 0, 0], 30, network),
        (1, 10, "PCMA", &halves[1], [300, 3, 4, 0, 0, 0, 0], 60, mirror),
        (2, 10, "G729", &none, [0; 7], 10, network),
        (3, 20 * 86_400, "PCMA", &halves[1], [500; 7], 500, network),
    ] {
        let mut interval = samples::interval(id, second);
        (interval.codec, interval.numbers.late) = (codec.into(), late);
        interval.numbers.pdv = pdv.clone();
        (interval.numbers.expected, interval.numbers.unique) = (500 + lost, 500);
        (interval.quality.loss_source, interval.quality.loss_evidence) = (source, evidence);
        intervals.write(&IntervalRow::new(&interval, &l, at)).await.unwrap();
    }
    intervals.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_query_answers_its_question() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    seed(&store).await;

    let all = histogram((0..1000).map(|n| n % 100 + 1));
    let expected: Vec<f64> = [0.5, 0.95, 0.99, 0.999].map(|q| all.quantile(q).unwrap().as_millis_f64()).into();
    let rows = answer(&store, "Delay variation by trunk and codec").await;
    assert_eq!(rows, [json!({"trunk": "carrier", "codec": "PCMA", "packets": 1000, "p50_p95_p99_p999_ms": expected})]);

    let rows = answer(&store, "How large a jitter buffer must be").await;
    let late = json!([40.0, 0.7, 0.4, 0.0, 0.0, 0.0, 0.0]);
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((&row["packets"], &row["buffer_ms"]), (&json!(1000), &json!(60)));
    let read = row["pct_late_for_20_40_60_80_100_150_200_ms"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
    assert!(read.zip(late.as_array().unwrap()).all(|(a, b)| (a - b.as_f64().unwrap()).abs() < 1e-9), "{row}");

    let rows = answer(&store, "Whose loss it was").await;
    let sources: Vec<_> =
        rows.iter().map(|r| (&r["loss_source"], &r["loss_evidence"], &r["packets_lost"], &r["pct_of_loss"])).collect();
    let (suspected, many) = (json!("suspected_capture"), json!("many_streams_at_once"));
    assert_eq!(
        sources,
        [(&suspected, &many, &json!(60), &json!(60)), (&json!("network"), &json!(""), &json!(40), &json!(40))]
    );
    assert_eq!((&rows[1]["streams"], &rows[1]["intervals_with_runs_of_10"]), (&json!(2), &json!(2)));

    let rows = answer(&store, "Worst calls").await;
    let ids: Vec<_> = rows.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["0000000000000abc", "0000000000000002", "0000000000000001"], "on their own scales, {rows:?}");
    assert_eq!(rows[0]["mos_worst_minute"], json!(2.875));

    let rows = answer(&store, "Outcomes by trunk").await;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let counts = ["calls", "not_answered", "busy", "unknown_number", "unknown_number_pct"].map(|name| &row[name]);
    assert_eq!(counts, [&json!(4), &json!(1), &json!(0), &json!(1), &json!(25)], "{row}");

    let rows = answer(&store, "What cost the quality").await;
    let costs = json!({"trunk": "carrier", "mos_scale": "wb", "streams": 2, "codec": 11, "loss": 15, "late": 2, "delay": 4,
        "loss_and_late_of_worst_tenth": 22});
    assert_eq!(rows, [costs]);
}

#[test]
fn every_query_of_the_page_is_tested() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/queries.md")).unwrap();
    let here = include_str!("queries.rs");
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings.len(), text.matches("```sql\n").count());
    for heading in headings {
        assert!(here.contains(&format!("answer(&store, \"{heading}\")")), "{heading}");
    }
}
