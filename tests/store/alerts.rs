//! The documented statement of each measure says what the evaluator says, over rows that came back from the store.

use crate::groups::filled;
use auscult_core::alert::{CaptureSums, Evaluator, MEASURES, Origin, RuleSet, SumsInput};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{Cost, Reader};
use clickhouse::Row;
use serde::Deserialize;

#[derive(Row, Deserialize)]
struct Said {
    key: String,
    value: f64,
    samples: u64,
}

const WINDOW: i64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn each_measure_is_what_its_statement_says() {
    let dir = tempfile::tempdir().unwrap();
    let Some((store, starts)) = filled(dir.path()).await else { return };
    let mut rules = String::new();
    for measure in MEASURES.iter().filter(|measure| measure.sql().is_some()) {
        let by = if measure.source.name() == "capture_intervals" { "probe" } else { "trunk" };
        rules += &format!(
            "[[rule]]\nname = \"{}\"\nmeasure = \"{0}\"\nby = [\"{by}\"]\nwindow = \"{WINDOW}s\"\nevery = \"10s\"\ndelay = \"0s\"\n\
             fire = {{ above = 1e9 }}\nneed = {{ samples = 0 }}\nmax_capture_loss_pct = 100\n",
            measure.name
        );
    }
    let set = RuleSet::parse([("all", rules.as_str())], Nanos::from_secs(2));
    assert_eq!(set.errors, []);
    let mut starts: Vec<i64> = starts.iter().map(|at| at / 1_000_000_000).collect();
    starts.dedup();
    let last = *starts.last().expect("the worlds have intervals");
    let rows = Reader::new(store.reader())
        .session(Cost::Scan, None)
        .await
        .unwrap()
        .group_rows(Timestamp::from_secs(0), Timestamp::from_secs(last + 3600), "")
        .await
        .unwrap();
    assert!(!rows.media.is_empty() && !rows.calls.is_empty());
    let (mut compared, mut with_streams) = (0, 0);
    for until in starts.iter().step_by((starts.len() / 8).max(1)).map(|at| at - at % 10 + 20) {
        let mut evaluator = Evaluator::new(set.rules.clone());
        let now = Timestamp::from_secs(until);
        for (row, _) in &rows.media {
            evaluator.add(&SumsInput::Media(&row.group()), Origin { probe: &row.probe, site: &row.site }, now);
        }
        for (row, _) in &rows.calls {
            evaluator.add(&SumsInput::Calls(&row.group()), Origin { probe: &row.probe, site: &row.site }, now);
        }
        for row in &rows.capture {
            let input = CaptureSums {
                start: Timestamp::from_secs(row.start_s),
                length: Nanos::from_millis(i64::from(row.length_ms)),
                frames: row.frames,
                missed: row.missed,
                shed: row.shed,
            };
            // Rates are per minute of the window, as the statement has it: the probe is taken to have seen all of it.
            let whole = row.probe.clone() + "'s twin";
            evaluator.add(&SumsInput::Capture(input), Origin { probe: &whole, site: &row.site }, now);
        }
        let mut evaluations = Vec::new();
        evaluator.evaluate(now, &mut evaluations);
        for measure in MEASURES {
            let Some(sql) = measure.sql() else { continue };
            let key = if sql.starts_with("SELECT probe") || sql.contains("SELECT probe") { "probe" } else { "trunk" };
            let sql = format!(
                "SELECT toString({key}) AS key, toFloat64(value) AS value, toUInt64(samples) AS samples FROM ({sql})"
            );
            let said: Vec<Said> = store
                .reader()
                .query_raw(&sql)
                .param("from", until - WINDOW)
                .param("to", until)
                .fetch_all()
                .await
                .unwrap_or_else(|e| panic!("{}: {e}\n{sql}", measure.name));
            for Said { key, value, samples } in said {
                let key = if key == "p" { "p's twin".to_owned() } else { key };
                let own = evaluations
                    .iter()
                    .find(|e| e.rule.name == measure.name && e.group.iter().any(|(_, value)| **value == key))
                    .and_then(|e| e.measured);
                let Some(own) = own else {
                    // No attempt in the window: a count of zero that the group of an idle trunk has, too.
                    assert!(value == 0.0, "{} of {key:?} to {until}: {value}", measure.name);
                    continue;
                };
                let close = (own.value - value).abs() <= 1e-6 * value.abs().max(1.0);
                assert!(close, "{} of {key:?} to {until}: {} and {value}", measure.name, own.value);
                if measure.source.name() != "capture_intervals" {
                    assert_eq!(own.samples, samples, "{} of {key:?} to {until}", measure.name);
                }
                compared += 1;
                with_streams += u64::from(measure.source.name() == "media_groups" && samples > 1);
            }
        }
    }
    assert!(compared > 200 && with_streams > 50, "{compared} {with_streams}");
}
