//! The dashboards: their structure, and every query of theirs as the plugin of the data source expands it, run through the read-only
//! endpoint over a seeded history.

use crate::embedded;
use crate::endpoint::{open, request};
use auscult_core::model::CallUid;
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::Store;
use auscult_store::endpoint::Access;
use auscult_store::query::{
    AddressRange, CallFilter, CallGroup, CallSort, Cost, GroupBy, OutcomeFilter, OutcomeGroup, OutcomeRequest,
    PhoneNumber, Reader, Source, StatsRequest, StreamFilter, Window,
};
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::history::History;

const KEY: &str = "x-clickhouse-key: r\r\n";

fn dashboards() -> Vec<(String, Value)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards");
    let mut all: Vec<(String, Value)> = std::fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?.to_owned();
            let text = std::fs::read_to_string(path.extension().filter(|e| *e == "json").map(|_| &path)?).unwrap();
            Some((name, serde_json::from_str(&text).unwrap()))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(all.len(), 5);
    all
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn string<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Names of variables in a text: `${name}`, `${name:format}` and `$name`, without Grafana's own.
fn variables(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('$') {
        let rest = text[at + 1..].trim_start_matches('{');
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if !name.is_empty() && !name.starts_with("__") {
            found.insert(name);
        }
    }
    found
}

/// What a link must lead to: another dashboard, or a page of ours.
fn check_link(url: &str, uids: &BTreeSet<String>, fields: &str) {
    if let Some(path) = url.strip_prefix("/d/") {
        let uid: String = path.chars().take_while(|c| *c != '?').collect();
        assert!(uids.contains(&uid), "{url}");
    } else {
        let path =
            url.strip_prefix("${base}").unwrap_or_else(|| panic!("{url} leads to neither a dashboard nor the page"));
        assert!(path.starts_with("/calls/${__data.fields") || path.starts_with("/?"), "{url}");
        assert!(!path.contains("__url_time_range"), "{url}: the page takes times as RFC 3339");
    }
    if let Some((_, rest)) = url.split_once("__data.fields") {
        let name: String =
            rest.trim_start_matches(['[', '"', '.']).chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        assert!(fields.contains(&name), "{url}: no column {name}");
    }
}

#[test]
fn their_structure_is_sound() {
    let all = dashboards();
    let uids: BTreeSet<String> = all.iter().map(|(_, d)| string(d, "/uid").to_owned()).collect();
    assert_eq!(uids.len(), all.len());
    for (file, dashboard) in &all {
        let text = dashboard.to_string();
        assert!((39..=41).contains(&dashboard["schemaVersion"].as_u64().unwrap()), "{file}");
        assert!(dashboard["id"].is_null() && dashboard["editable"] == true, "{file}");
        assert!(dashboard.get("__inputs").is_none() && !text.contains("adhoc"), "{file}");
        assert!(!string(dashboard, "/title").is_empty() && !string(dashboard, "/description").is_empty(), "{file}");
        let defined: BTreeSet<String> =
            list(dashboard, "/templating/list").iter().map(|v| string(v, "/name").to_owned()).collect();
        assert_eq!(string(dashboard, "/templating/list/0/type"), "datasource", "{file}");
        for variable in list(dashboard, "/templating/list").iter().filter(|v| v["type"] == "query") {
            assert_eq!(variable["refresh"], 2, "{file}: {variable}");
        }
        let used = variables(&text);
        assert!(used.is_subset(&defined), "{file}: {used:?} of {defined:?}");
        assert!(defined.is_subset(&used), "{file}: {defined:?} of {used:?}");
        for link in list(dashboard, "/links") {
            check_link(string(link, "/url"), &uids, "");
        }
        let mut ids = BTreeSet::new();
        let mut places: Vec<[u64; 4]> = Vec::new();
        for panel in list(dashboard, "/panels") {
            let title = format!("{file}: {}", string(panel, "/title"));
            assert!(ids.insert(panel["id"].as_u64()), "{title}");
            assert!(string(panel, "/title").len() > 2 && string(panel, "/description").len() > 20, "{title}");
            assert!(!string(panel, "/fieldConfig/defaults/unit").is_empty(), "{title}");
            assert_eq!(string(panel, "/datasource/uid"), "${datasource}", "{title}");
            assert_eq!(list(panel, "/targets").len(), 1, "{title}");
            let sql = string(panel, "/targets/0/rawSql");
            // A percentile shows the number it stands on.
            let alone = ["Delay variation p95 by codec"];
            if sql.contains("arrayFirstIndex") && !alone.contains(&string(panel, "/title")) {
                assert!(sql.contains("streams") || sql.contains("calls"), "{title}");
            }
            let defaults = list(panel, "/fieldConfig/defaults/links").iter();
            let overrides = list(panel, "/fieldConfig/overrides").iter().flat_map(|o| list(o, "/properties"));
            let overrides = overrides.filter(|p| p["id"] == "links").flat_map(|p| list(p, "/value"));
            defaults.chain(overrides).for_each(|link| check_link(string(link, "/url"), &uids, sql));
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + w <= 24 && w > 0 && h > 0, "{title}");
            for [ox, oy, ow, oh] in &places {
                let apart = x + w <= *ox || ox + ow <= x || y + h <= *oy || oy + oh <= y;
                assert!(apart, "{title} overlaps another panel");
            }
            places.push([x, y, w, h]);
        }
    }
}

/// What a viewer has chosen.
struct View {
    from: i64,
    to: i64,
    step: u64,
    /// Names and values of variables; those that are missing are `All`.
    chosen: Vec<(&'static str, String)>,
}

/// A query as the plugin sends it.
fn expand(sql: &str, view: &View) -> String {
    let value = |name: &str| view.chosen.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
    let mut text = sql.to_owned();
    // The condition, or nothing when the variable is All.
    while let Some(at) = text.find("$__conditionalAll(") {
        let inside = &text[at + "$__conditionalAll(".len()..];
        let mut depth = 1;
        let end = inside
            .char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth == 0
            })
            .expect("a closing bracket")
            .0;
        let (condition, variable) = inside[..end].rsplit_once(", ").expect("two arguments");
        let kept = value(variable.trim_start_matches('$')).map_or("1=1".to_owned(), |_| condition.to_owned());
        text = format!("{}{}{}", &text[..at], kept, &inside[end + 1..]);
    }
    for (name, value) in &view.chosen {
        text = text.replace(&format!("${{{name}:singlequote}}"), &format!("'{}'", value.replace('\'', "''")));
    }
    let (from, to, step) = (view.from, view.to, view.step);
    let mut replaced = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("$__") {
        replaced.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$__interval_s") {
            replaced.push_str(&step.to_string());
            rest = after;
            continue;
        }
        let (name, arguments) = rest.split_once('(').unwrap_or_else(|| panic!("{rest}"));
        let (column, after) = arguments.split_once(')').expect("a closing bracket");
        replaced.push_str(&match name {
            "$__timeFilter" => format!("{column} >= toDateTime({from}) AND {column} <= toDateTime({to})"),
            "$__timeFilter_ms" => format!(
                "{column} >= fromUnixTimestamp64Milli({}) AND {column} <= fromUnixTimestamp64Milli({})",
                from * 1000,
                to * 1000
            ),
            "$__timeInterval" => format!("toStartOfInterval(toDateTime({column}), INTERVAL {step} second)"),
            other => panic!("{other} is not expanded here"),
        });
        rest = after;
    }
    replaced + rest
}

async fn ask(address: &str, sql: &str) -> Result<(Value, u64), String> {
    let path = "/?default_format=JSONCompact&max_execution_time=10&database=auscult";
    let (status, answer) = request(address, "POST", path, KEY, sql.as_bytes()).await;
    if status != 200 {
        return Err(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = if head.contains("chunked") { joined(body) } else { body.to_owned() };
    let body = serde_json::from_str(&body).map_err(|e| format!("{e}: {answer}"))?;
    Ok((body, rows_read(&answer)))
}

/// Rows that the engine read for an answer.
fn rows_read(answer: &str) -> u64 {
    let summary = answer.lines().find_map(|line| line.strip_prefix("x-clickhouse-summary: ")).unwrap_or_default();
    let summary: Value = serde_json::from_str(summary).unwrap_or_default();
    summary["read_rows"].as_str().and_then(|rows| rows.parse().ok()).unwrap_or(u64::MAX)
}

/// A body that came in chunks (RFC 9112 section 7.1).
fn joined(body: &str) -> String {
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    whole
}

/// Rows of probes, signalling and reports beside the history.
async fn fill(store: &Store, history: &History) {
    for statement in history.statements() {
        store.writer().query_raw(&statement).execute().await.unwrap_or_else(|e| panic!("{e}\n{statement}"));
    }
    let from = history.from_s;
    for statement in [
        format!(
            "INSERT INTO capture_intervals (stored_at, probe, site, start_at, length_ms, interface, frames, bytes, dropped_ring, \
             outcomes, row_id, streams_shed, streams_refused, calls_shed, calls_refused, blackout_ms, timestamp_fault, \
             timestamp_error_ms, clock_steps, streams, one_sided_streams, mirror_copies, sampled_one_of, loss_floor_low_pct) SELECT toDateTime({from} + 10 * number + 11), \
             'probe-north', 'north', toDateTime({from} + 10 * number), 10000, 'eth0', 9000, 1000000, number % 50 = 0, \
             map('media', 8000, 'sip', 1000), number, 0, 0, 0, 0, if(number = 99, 1200, 0), 'clumped', 5.5, number = 7, 40, 3, 9, \
             if(number = 8, 2, NULL), 0.1 FROM numbers(8640)"
        ),
        format!(
            "INSERT INTO sip_messages (stored_at, probe, at, call_uid, method, status, reason, src_ip, dst_ip, row_id) SELECT \
             toDateTime({from}), 'probe-north', toDateTime64({from} + 43200, 9), {}, 'INVITE', 0, '', toIPv6('10.0.0.1'), \
             toIPv6('10.0.0.2'), 1",
            history.call_of_middle()
        ),
        format!(
            "INSERT INTO rtcp_reports (stored_at, probe, at, call_uid, kind, src_ip, dst_ip, fraction_lost_pct, row_id) SELECT \
             toDateTime({from}), 'probe-north', toDateTime64({from} + 43210, 9), {}, 'receiver_report', toIPv6('10.0.0.1'), \
             toIPv6('10.0.0.2'), 1.5, 1",
            history.call_of_middle()
        ),
        // An alert that fires around noon.
        format!(
            "INSERT INTO alerts (stored_at, probe, site, at, fingerprint, rule, severity, labels, state, measure, unit, fired_at, value, \
             fire_limit, samples, sample_unit, peak, summary, row_id) SELECT toDateTime({from} + 42000 + 60 * number), 'probe-north', \
             'north', toDateTime({from} + 42000 + 60 * number), 7, 'trunk_loss', 'critical', map('trunk', 'trunk-07'), 'firing', \
             'network_loss_pct', '%', toDateTime({from} + 42000), 7.5, 5, 80, 'streams', 8, 'Packet loss', number FROM numbers(60)"
        ),
    ] {
        store.writer().query_raw(&statement).execute().await.unwrap_or_else(|e| panic!("{e}\n{statement}"));
    }
}

/// The rules of Grafana. The file is JSON behind a comment, which YAML takes.
fn alert_rules() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/provisioning/alerting/auscult.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let json: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let file: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&file["apiVersion"], file["groups"].as_array().map(Vec::len)), (&1.into(), Some(1)));
    list(&file, "/groups/0/rules").to_vec()
}

#[test]
fn rules_of_grafana_are_whole_and_off_where_auscult_has_them() {
    let rules = alert_rules();
    let uids: BTreeSet<&str> = rules.iter().map(|rule| string(rule, "/uid")).collect();
    assert_eq!(uids.len(), rules.len());
    for rule in &rules {
        // What the API of the older form spelled otherwise is not read from a file.
        let known = [
            "uid",
            "title",
            "condition",
            "for",
            "isPaused",
            "noDataState",
            "execErrState",
            "labels",
            "annotations",
            "data",
        ];
        assert!(rule.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{rule}");
        assert_eq!(rule["isPaused"], rule["uid"] != "auscult-silent", "{rule}");
        assert_eq!((string(rule, "/condition"), string(rule, "/data/1/datasourceUid")), ("B", "__expr__"));
        assert_eq!(string(rule, "/data/0/datasourceUid"), "auscult", "the one that is provisioned");
        assert!(rule["data"][1]["model"]["conditions"][0]["evaluator"]["params"][0].is_number());
        for text in ["/annotations/summary", "/annotations/description"] {
            let text = string(rule, text);
            assert!(text.len() > 10 && !text.replace("$$", "").contains('$'), "{text}: a dollar sign is written twice");
        }
    }
}

/// Labels as texts, and one number: what Grafana makes an alert of each row from. A trunk that is bad in all ways fires, and none of
/// the others; a small one that is as bad does not.
async fn rules_of_grafana_fire_where_they_should(store: &Store, address: &str, now: i64) {
    let at = now - 300;
    for (trunk, streams, attempts) in [("bad", 100, 200), ("small", 4, 10)] {
        for statement in [
            // Bucket 110 of delay variation is above 100 ms.
            format!(
                "INSERT INTO media_groups (stored_at, probe, site, trunk, trunk_direction, codec, mos_scale, start_at, length_ms, streams, \
                 streams_begun, present_before, packets, unique_packets, expected, lost_network, pdv, row_id) SELECT toDateTime({at}), \
                 'p', 's', '{trunk}', 'from', 'PCMA', 'nb', toDateTime({at}), 10000, {streams}, {streams}, map(0, {streams}), \
                 {streams} * 400, {streams} * 400, {streams} * 500, {streams} * 100, arrayResize([], 110, 0)::Array(UInt64) || [{streams} * 400], 1"
            ),
            format!(
                "INSERT INTO call_groups (stored_at, probe, site, trunk, trunk_direction, start_at, length_ms, attempts, answers, final_codes, \
                 row_id) SELECT toDateTime({at}), 'p', 's', '{trunk}', 'toward', toDateTime({at}), 10000, {attempts}, {attempts} / 2, \
                 map(200, {attempts} / 2, 503, {attempts} / 2), 1"
            ),
        ] {
            store.writer().query_raw(&statement).execute().await.unwrap_or_else(|e| panic!("{e}\n{statement}"));
        }
    }
    for rule in alert_rules() {
        let uid = string(&rule, "/uid");
        let seconds = rule["data"][0]["relativeTimeRange"]["from"].as_i64().unwrap();
        let view = View { from: now - seconds, to: now, step: 60, chosen: Vec::new() };
        let sql = expand(string(&rule, "/data/0/model/rawSql"), &view).replace("now()", &format!("toDateTime({now})"));
        let (answer, _) = ask(address, &sql).await.unwrap_or_else(|e| panic!("{uid}: {e}\n{sql}"));
        let columns: Vec<(&str, &str)> =
            list(&answer, "/meta").iter().map(|c| (string(c, "/name"), string(c, "/type"))).collect();
        let numbers = columns.iter().filter(|(_, kind)| kind.contains("Int") || kind.contains("Float")).count();
        assert_eq!(numbers, 1, "{uid}: {columns:?}");
        assert!(columns[..columns.len() - 1].iter().all(|(_, kind)| kind.contains("String")), "{uid}: {columns:?}");
        let limit = rule["data"][1]["model"]["conditions"][0]["evaluator"]["params"][0].as_f64().unwrap();
        let rows = list(&answer, "/data");
        assert!(!rows.is_empty(), "{uid}: no row\n{sql}");
        let fires = rows.iter().filter(|row| row[columns.len() - 1].as_f64().is_some_and(|value| value > limit));
        let fires: Vec<String> = fires.map(Value::to_string).collect();
        match uid {
            "auscult-fires" => assert!(fires.len() == 1 && fires[0].contains("trunk_loss"), "{fires:?}"),
            "auscult-silent" | "auscult-capture-loss" => assert_eq!(fires, [] as [String; 0], "{uid}"),
            _ => assert!(fires.len() == 1 && fires[0].contains("\"bad\""), "{uid}: {fires:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_answered_as_the_plugin_sends_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let today = jiff::Timestamp::now().as_second() / 86_400 * 86_400;
    let history = History { seed: 5, from_s: today - 86_400, days: 1, streams: 116 };
    fill(&store, &history).await;
    let sql = format!("SELECT lower(leftPad(hex({}), 16, '0'))", history.call_of_middle());
    let call: String = store.reader().query(&sql).fetch_one().await.unwrap();
    let address = open(&store, Access::reader(Some("r".to_owned()))).await;
    let (from, to) = (history.from_s, history.until_s() - 1);
    let noon = from + 43_200;
    let one = |name, value: &str| vec![(name, value.to_owned()), ("call", call.clone())];
    let views = [
        View { from: noon - 1800, to: noon + 1800, step: 10, chosen: one("trunk", "trunk-07") },
        View { from: noon - 10_800, to: noon + 10_800, step: 60, chosen: one("site", "north") },
        View { from, to, step: 300, chosen: one("codec", "PCMU") },
        View { from, to, step: 3600, chosen: one("probe", "probe-north") },
    ];
    let (mut asked, mut wrong) = (0, Vec::new());
    for (file, dashboard) in dashboards() {
        let queries = list(&dashboard, "/templating/list").iter().filter(|v| v["type"] == "query");
        let queries = queries.map(|v| (string(v, "/name"), string(v, "/query"), 2, ""));
        let panels = list(&dashboard, "/panels").iter().map(|panel| {
            let format = panel.pointer("/targets/0/format").and_then(Value::as_u64).unwrap_or(9);
            (string(panel, "/title"), string(panel, "/targets/0/rawSql"), format, string(panel, "/type"))
        });
        let annotations = list(&dashboard, "/annotations/list")
            .iter()
            .map(|a| (string(a, "/name"), string(a, "/target/rawSql"), 1, ""));
        for (name, sql, format, kind) in queries.chain(panels).chain(annotations) {
            for view in &views {
                // The call is in the first two views, and has no codec or probe to choose.
                let call_dashboard = file == "call.json";
                if call_dashboard && view.step > 60 && !kind.is_empty() {
                    continue;
                }
                let sql = expand(sql, view);
                let what = format!("{file}, {name}, step {}: {sql}", view.step);
                let (answer, read) = match ask(&address, &sql).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        wrong.push(format!("{error} {what}"));
                        continue;
                    }
                };
                // The number of rows read follows the number of groups, not that of streams.
                let most = if view.step >= 3600 { 24_000 } else { 240_000 };
                if view.step >= 300 && sql.contains("_groups") && read > most {
                    wrong.push(format!("{read} rows read: {what}"));
                }
                let columns: Vec<(&str, &str)> =
                    list(&answer, "/meta").iter().map(|c| (string(c, "/name"), string(c, "/type"))).collect();
                let rows = list(&answer, "/data");
                if rows.is_empty() {
                    wrong.push(format!("no row: {what}"));
                    continue;
                }
                if format == 0 {
                    if columns[0].0 != "time" || !columns[0].1.starts_with("DateTime") {
                        wrong.push(format!("{columns:?} {what}"));
                    }
                    for (name, kind) in &columns[1..] {
                        let numeric = ["Int", "UInt", "Float", "Nullable(Float", "Nullable(Int", "Nullable(UInt"];
                        let label = *name == "label" && kind.contains("String");
                        if !label && !numeric.iter().any(|n| kind.starts_with(n)) {
                            wrong.push(format!("{name} is {kind}: {what}"));
                        }
                    }
                    let figures = |row: &Value| list(row, "").iter().skip(1).any(|v| !v.is_null());
                    if !rows.iter().any(figures) {
                        wrong.push(format!("only NULL: {what}"));
                    }
                }
                asked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} queries are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 150, "{asked}");
    questions_of_the_api_read_few_rows(&store, &history).await;
    rules_of_grafana_fire_where_they_should(&store, &address, noon).await;
}

/// The engine refuses a statement that would read more rows than this. A day has a million rows of intervals and 125,000 calls.
const MOST_ROWS: u64 = 100_000;

async fn questions_of_the_api_read_few_rows(store: &Store, history: &History) {
    // The rows are older than the schema, as those of a program without sums are.
    let sql = "ALTER TABLE schema_migrations UPDATE applied_at = toDateTime(0) WHERE 1";
    store.writer().query(sql).with_setting("mutations_sync", "2").execute().await.unwrap();
    let reader = Reader::new(store.reader().with_setting("max_rows_to_read", MOST_ROWS.to_string()));
    let session = async |cost| reader.session(cost, None).await.map_err(|e| e.to_string()).unwrap();
    let day =
        Window { from: Timestamp::from_secs(history.from_s + 130), to: Timestamp::from_secs(history.until_s() - 10) };
    let stats = |group_by: Vec<GroupBy>, filter| StatsRequest { window: day, filter, group_by, bucket: None };
    for by in [GroupBy::Trunk, GroupBy::Codec, GroupBy::Site] {
        let page = session(Cost::Scan).await.stats(&stats(vec![by], StreamFilter::default())).await.unwrap();
        let streams: u64 = page.groups.iter().map(|group| group.streams).sum();
        assert!(page.source == Source::Groups && streams > 80_000, "{by:?} {streams}");
    }
    let single = StreamFilter { address: AddressRange::parse("::/0").ok(), ..StreamFilter::default() };
    let refused = session(Cost::Scan).await.stats(&stats(vec![GroupBy::Trunk], single)).await;
    assert!(refused.is_err(), "the rows of streams are more than the engine may read here");
    let outcomes = OutcomeRequest {
        window: day,
        filter: OutcomeFilter::default(),
        group_by: vec![OutcomeGroup::Trunk],
        bucket: None,
    };
    let page = session(Cost::Scan).await.outcomes(&outcomes).await.unwrap();
    assert!(page.groups.iter().map(|group| group.attempts).sum::<u64>() > 100_000);
    let calls = CallFilter::default();
    let groups = [CallGroup::FinalCode];
    let timeline = session(Cost::Scan).await.timeline(&calls, day, Nanos::from_secs(900), &groups).await.unwrap();
    assert!(timeline.buckets.iter().map(|bucket| bucket.calls).sum::<u64>() > 100_000);
    assert_eq!(timeline.groups.len(), 7, "{:?}", timeline.groups.iter().map(|g| &g.key).collect::<Vec<_>>());
    let sql = format!("SELECT caller_user FROM calls WHERE call_uid = {}", history.call_of_middle());
    let number: String = store.reader().query(&sql).fetch_one().await.unwrap();
    let filter = CallFilter { number: PhoneNumber::parse(&number).ok(), ..CallFilter::default() };
    let page = session(Cost::Scan).await.calls(&filter, day, CallSort::Newest, 50, None).await.unwrap();
    assert!(!page.calls.is_empty() && page.calls.iter().all(|call| call.row.caller_user == number), "{number}");
    let uid: u64 = store.reader().query(&format!("SELECT {}", history.call_of_middle())).fetch_one().await.unwrap();
    let sql = format!("SELECT first_at FROM calls WHERE call_uid = {uid}");
    let first_at = Timestamp(store.reader().query(&sql).fetch_one().await.unwrap());
    // A time that is rounded finds it; one that is wrong does not hide it.
    let other = [None, Some(first_at + Nanos::from_millis(900)), Some(first_at - Nanos::from_secs(7_200))];
    for given in other.into_iter().chain([Some(first_at), Some(Timestamp(i64::MIN)), Some(Timestamp(i64::MAX))]) {
        let detail = session(Cost::Lookup).await.call(CallUid(uid), given).await.unwrap().expect("the call");
        assert_eq!((detail.streams.len(), detail.intervals.len()), (2, 24), "{given:?}");
    }
}
