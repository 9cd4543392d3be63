// The source of the dashboards: `node dashboards/source.mjs` writes the JSON files beside it, and a test holds both to each other.
//
// Sums are read from the table that fits the step of a panel: single intervals, five minutes, hours. Percentiles come from merged
// histograms, each with the number of streams or calls it stands on.

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const DATA_SOURCE = { type: "grafana-clickhouse-datasource", uid: "${datasource}" };
const LEVELS = [
  { suffix: "", when: "$__interval_s < 300", merge: "" },
  { suffix: "_5m", when: "$__interval_s >= 300 AND $__interval_s < 3600", merge: "Merge" },
  { suffix: "_1h", when: "$__interval_s >= 3600", merge: "Merge" },
];

/** Conditions of the variables. */
const all = (...names) => names.map((name) => `$__conditionalAll(${name} IN ($\{${name}:singlequote}), $${name})`).join(" AND ");

/** Sums by time and label from the table that fits the step. `columns`: name to expression over the table; `[pdv]` adds up an array. */
function sums(table, { columns, label, where }) {
  const keys = ["time", ...(label ? ["label"] : [])];
  const parts = LEVELS.map(({ suffix, when, merge }) => {
    const figures = Object.entries(columns).map(([name, sql]) => `${sql.replace(/\[(\w+)\]/g, `sumForEach${merge}($1)`)} AS ${name}`);
    return `SELECT $__timeInterval(start_at) AS time, ${label ? `${label} AS label, ` : ""}${figures.join(", ")} FROM ${table}${suffix} WHERE ${when} AND $__timeFilter(start_at) AND ${where} GROUP BY ${keys.join(", ")}`;
  });
  return `(${parts.join(" UNION ALL ")})`;
}

/** The value at quantile `q` of a histogram, by nearest rank; NULL when it is empty. */
const at = (q, cumulative, middle) => `if(empty(${cumulative}), NULL, ${middle}[arrayFirstIndex(x -> x >= greatest(1, ceil(${q} * ${cumulative}[-1])), ${cumulative})])`;
const MIDDLE = "(SELECT groupArray(middle_ms) FROM (SELECT middle_ms FROM histogram_buckets WHERE version = 1 ORDER BY bucket))";
const SPANS = "(SELECT groupArray(middle_ms) FROM (SELECT middle_ms FROM span_buckets ORDER BY bucket))";
/** The value at quantile `q` of a map of counts; NULL when it is empty. */
const inMap = (q, map) =>
  `if(empty(${map}), NULL, arraySort(mapKeys(${map}))[arrayFirstIndex(x -> x >= greatest(1, ceil(${q} * arraySum(mapValues(${map})))), arrayCumSum(arrayMap(k -> ${map}[k], arraySort(mapKeys(${map})))))])`;

const MEDIA = all("site", "trunk", "codec", "probe");
const CALLS = all("site", "trunk", "probe");
const DELAYS = { pdv: "[pdv]", streams: "sum(streams)", capture_drops: "max(capture_drops)" };
const LOSS = { expected: "sum(expected)", network: "sum(lost_network)", capture: "sum(lost_capture)", suspected: "sum(lost_suspected_capture)" };
const OUTCOMES = { attempts: "sum(attempts)", answers: "sum(answers)", codes: "sumMap(final_codes)", cancelled: "sum(cancelled)" };
const pct = (part, whole) => `if(${whole} = 0, NULL, 100 * (${part}) / (${whole}))`;
const withCode = (condition) => `arraySum(mapValues(mapFilter((code, n) -> ${condition}, codes)))`;
const PERSONS = "code IN (404, 480, 484, 486, 487, 600, 603, 604)";
const NER = pct(`least(attempts, answers + ${withCode(PERSONS)} + greatest(toInt64(cancelled) - toInt64(codes[487]), 0))`, "attempts");
const ASR = pct("answers", "attempts");
const SEER = pct(`answers + ${withCode("code IN (480, 486, 600, 603)")}`, `attempts - ${withCode("(code >= 300 AND code < 400) OR code IN (401, 402, 407)")}`);
const OUTCOME_SUMS = "sum(attempts) AS attempts, sum(answers) AS answers, sumMap(codes) AS codes, sum(cancelled) AS cancelled";

const total = (figures, from, keys = "") => `SELECT ${figures} FROM ${from}${keys ? ` GROUP BY ${keys} ORDER BY ${keys}` : ""}`;
const delays = (where, label) => {
  const keys = label ? "time, label" : "time";
  return `WITH ${MIDDLE} AS middle SELECT ${keys}, ${[0.5, 0.95, 0.99].map((q) => `${at(q, "c", "middle")} AS p${q * 100}`).join(", ")}, streams FROM (SELECT ${keys}, arrayCumSum(sumForEach(pdv)) AS c, sum(streams) AS streams FROM ${sums("media_groups", { columns: DELAYS, label, where })} GROUP BY ${keys}) ORDER BY time`;
};
const mosOver = (where, scale) =>
  `SELECT time, toFloat64(${inMap(0.1, "mos")}) / 100 AS p10, toFloat64(${inMap(0.5, "mos")}) / 100 AS p50, streams FROM (SELECT time, sumMap(mos) AS mos, sum(streams) AS streams FROM ${sums("media_groups", { columns: { mos: "sumMap(mos)", streams: "sum(streams)" }, where: `${where} AND mos_scale = '${scale}'` })} GROUP BY time) ORDER BY time`;
const lossOver = (where) =>
  `SELECT time, ${pct("sum(network)", "sum(expected)")} AS network, ${pct("sum(capture)", "sum(expected)")} AS capture, ${pct("sum(suspected)", "sum(expected)")} AS "suspected capture" FROM ${sums("media_groups", { columns: LOSS, where })} GROUP BY time ORDER BY time`;
const ratios = (where) => `SELECT time, ${NER} AS NER, ${ASR} AS ASR, ${SEER} AS SEER, attempts FROM (${total(`time, ${OUTCOME_SUMS}`, sums("call_groups", { columns: OUTCOMES, where }), "time")}) ORDER BY time`;
const spans = (column, where) =>
  `WITH ${SPANS} AS middle SELECT time, ${[0.5, 0.95].map((q) => `middle[toUInt16(${inMap(q, "spans")}) + 1] AS p${q * 100}`).join(", ")}, calls FROM (SELECT time, sumMap(spans) AS spans, arraySum(mapValues(spans)) AS calls FROM ${sums("call_groups", { columns: { spans: `sumMap(${column})` }, where })} GROUP BY time) WHERE calls > 0 ORDER BY time`;
const perMinute = (name) => `60 * sum(${name}) / $__interval_s`;

const OCTAVES = [0, 32, 40, 48, 56, 64, 72, 80, 88, 130];
const OCTAVE_NAMES = ["under 1 ms", "1 to 2 ms", "2 to 4 ms", "4 to 8 ms", "8 to 17 ms", "17 to 34 ms", "34 to 67 ms", "67 to 134 ms", "over 134 ms"];
const heat = (where) =>
  `SELECT time, ${OCTAVE_NAMES.map((name, i) => `arraySum(arraySlice(pdv, ${OCTAVES[i] + 1}, ${OCTAVES[i + 1] - OCTAVES[i]})) AS "${name}"`).join(", ")} FROM (SELECT time, sumForEach(pdv) AS pdv FROM ${sums("media_groups", { columns: { pdv: "[pdv]" }, where })} GROUP BY time) ORDER BY time`;

const CALL_COLUMNS = "first_at, lower(leftPad(hex(call_uid), 16, '0')) AS id, trunk, caller_user AS caller, callee_user AS callee, state, final_code, diagnosis, mos_worst, mos_scale, pdv_p95_worst_ms, loss_pct_worst, duration_ms";
const callLink = { title: "This call", url: '${base}/calls/${__data.fields["id"]:percentencode}', targetBlank: true };
const callsLink = (query) => ({ title: "These calls", url: `$\{base}/?from=$\{__from:date:iso}&to=$\{__to:date:iso}${query}`, targetBlank: true });
const trunkLink = { title: "This trunk", url: "/d/auscult-trunk?${__url_time_range}&var-trunk=${__data.fields.trunk:percentencode}" };

let next = 0;
function panel(type, title, description, { sql, unit = "short", x, y, w, h, table = type === "table", streams, links = [], options = {}, custom = {}, overrides = [], interval }) {
  const counts = streams ? [{ matcher: { id: "byName", options: streams }, properties: [{ id: "unit", value: "short" }, { id: "custom.axisPlacement", value: "right" }, { id: "custom.lineStyle", value: { fill: "dot" } }, { id: "custom.fillOpacity", value: 0 }, { id: "min", value: 0 }] }] : [];
  next += 1;
  return {
    id: next, type, title, description, datasource: DATA_SOURCE, gridPos: { x, y, w, h }, interval: interval ?? "10s", links: [],
    fieldConfig: { defaults: { unit, links, custom: type === "timeseries" ? { spanNulls: false, showPoints: "auto", ...custom } : custom }, overrides: [...counts, ...overrides] },
    options,
    targets: [{ refId: "A", datasource: DATA_SOURCE, editorType: "sql", format: table ? 1 : 0, queryType: table ? "table" : "timeseries", rawSql: sql }],
  };
}
const stat = (title, description, settings) => panel("stat", title, description, { table: true, h: 4, ...settings, options: { reduceOptions: { calcs: ["lastNotNull"], values: false }, textMode: "value_and_name", ...settings.options } });
const series = (title, description, settings) => panel("timeseries", title, description, { h: 8, ...settings, options: { tooltip: { mode: "multi" }, legend: { displayMode: "list", placement: "bottom" } } });
const unitOf = (name, unit) => ({ matcher: { id: "byName", options: name }, properties: [{ id: "unit", value: unit }] });
const linkOf = (name, link) => ({ matcher: { id: "byName", options: name }, properties: [{ id: "links", value: [link] }] });
const STACKED = { stacking: { mode: "normal" }, fillOpacity: 30 };

const list = (name, label, column, from) => ({
  name, label, type: "query", datasource: DATA_SOURCE, refresh: 2, multi: true, includeAll: true, sort: 1, current: { text: ["All"], value: ["$__all"] }, options: [],
  query: `SELECT DISTINCT ${column} FROM ${from} WHERE $__timeFilter(start_at) ORDER BY ${column} LIMIT 1000`,
});
const SITE = list("site", "Site", "site", "call_groups_1h");
const TRUNK = list("trunk", "Trunk", "trunk", "call_groups_1h");
const PROBE = list("probe", "Probe", "probe", "call_groups_1h");
const CODEC = list("codec", "Codec", "codec", "media_groups_1h");
const BASE = { name: "base", label: "Address of the page", type: "textbox", query: "http://localhost:8642", current: { text: "http://localhost:8642", value: "http://localhost:8642" }, options: [] };
const CALL = { name: "call", label: "Call, 16 hexadecimal digits", type: "textbox", query: "", current: { text: "", value: "" }, options: [] };
const DATA = { name: "datasource", label: "Data source", type: "datasource", query: "grafana-clickhouse-datasource", refresh: 1, current: {}, options: [], regex: "" };

const CAPTURE_LOSS = {
  name: "Capture lost frames", datasource: DATA_SOURCE, enable: true, iconColor: "red",
  target: { refId: "Anno", editorType: "sql", format: 1, queryType: "table", rawSql: "SELECT start_at AS time, start_at + INTERVAL 10 SECOND AS timeEnd, concat(probe, ' ', interface, ': ', toString(dropped_ring + dropped_interface + dropped_queue), ' frames lost by the capture: figures are in doubt') AS text FROM capture_intervals WHERE $__timeFilter(start_at) AND dropped_ring + dropped_interface + dropped_queue > 0 ORDER BY time LIMIT 500" },
};
/** Alerts as bands, each from its firing to its last evaluation. */
const ALERTS = {
  name: "Alerts", datasource: DATA_SOURCE, enable: true, iconColor: "orange",
  target: { refId: "Anno", editorType: "sql", format: 1, queryType: "table", rawSql: "SELECT assumeNotNull(fired_at) AS time, max(at) AS timeEnd, concat(any(rule), ': ', argMax(summary, at)) AS text FROM alerts WHERE $__timeFilter(at) AND fired_at IS NOT NULL AND measure != 'watchdog' GROUP BY probe, fingerprint, fired_at ORDER BY time LIMIT 500" },
};
const OTHERS = [["auscult-noc", "NOC wall"], ["auscult-trunk", "Trunk"], ["auscult-codec-site", "Codec and site"], ["auscult-call", "Call"], ["auscult-probe", "Probe health"]];

function dashboard(uid, title, description, variables, make, time = "now-3h") {
  next = 0;
  return {
    id: null, uid, title, description, tags: ["auscult"], schemaVersion: 41, editable: true, timezone: "utc", refresh: "30s", time: { from: time, to: "now" },
    __requires: [{ type: "grafana", id: "grafana", name: "Grafana", version: "11.6.0" }, { type: "datasource", id: "grafana-clickhouse-datasource", name: "ClickHouse", version: "4.20.0" }],
    templating: { list: [DATA, ...variables] },
    annotations: { list: [CAPTURE_LOSS, ALERTS] },
    links: OTHERS.filter(([other]) => other !== uid).map(([other, name]) => ({ type: "link", title: name, url: `/d/${other}`, keepTime: true, includeVars: false, asDropdown: false, icon: "dashboard", tags: [], targetBlank: false, tooltip: "" })),
    panels: make(),
  };
}

const WINDOW_SUMS = (columns, where, table) => sums(table, { columns, where });

export const dashboards = {
  "noc.json": dashboard("auscult-noc", "Auscult: NOC wall", "What the network does to calls now, and which calls to look at.", [SITE, TRUNK, CODEC, PROBE, BASE], () => [
    stat("Calls up", "Answered calls that were up at once, mean of the latest step.", { x: 0, y: 0, w: 3, table: false, sql: `SELECT time, sum(up_ms) / 1000 / $__interval_s AS "calls up" FROM ${sums("call_groups", { columns: { up_ms: "sum(up_ms)" }, where: CALLS })} GROUP BY time ORDER BY time` }),
    stat("NER", "Network effectiveness ratio (E.425) over the window: answers and what people decide, of all attempts. Below it how many attempts.", { x: 3, y: 0, w: 3, unit: "percent", overrides: [unitOf("attempts", "short")], sql: `SELECT ${NER} AS NER, attempts FROM (SELECT ${OUTCOME_SUMS} FROM ${WINDOW_SUMS(OUTCOMES, CALLS, "call_groups")})` }),
    stat("Bad calls", "Poor or failed, of the calls that ended and are good, fair, poor or failed. A person's refusal counts as neither.", { x: 6, y: 0, w: 3, unit: "percent", overrides: [unitOf("calls", "short")], links: [callsLink("&class=poor,failed")], sql: `SELECT ${pct("classes['poor'] + classes['failed']", "calls")} AS bad, classes['good'] + classes['fair'] + classes['poor'] + classes['failed'] AS calls FROM (SELECT sumMap(classes) AS classes FROM ${WINDOW_SUMS({ classes: "sumMap(classes)" }, CALLS, "call_groups")})` }),
    stat("Delay variation p95", "Over all packets of the window, with the intervals of streams it stands on.", { x: 9, y: 0, w: 3, unit: "ms", overrides: [unitOf("intervals of streams", "short")], sql: `WITH ${MIDDLE} AS middle SELECT ${at(0.95, "c", "middle")} AS p95, streams AS "intervals of streams" FROM (SELECT arrayCumSum(sumForEach(pdv)) AS c, sum(streams) AS streams FROM ${WINDOW_SUMS(DELAYS, MEDIA, "media_groups")})` }),
    stat("Network loss", "Packets lost on the network, of those expected. What the capture lost is left out.", { x: 12, y: 0, w: 3, unit: "percent", sql: `SELECT ${pct("sum(network)", "sum(expected)")} AS loss FROM ${WINDOW_SUMS(LOSS, MEDIA, "media_groups")}` }),
    stat("MOS p10, narrowband", "A tenth of the intervals of streams is at or below it. Listening quality, G.107, at the probe.", { x: 15, y: 0, w: 3, unit: "none", overrides: [unitOf("intervals of streams", "short")], sql: `SELECT toFloat64(${inMap(0.1, "mos")}) / 100 AS "MOS p10", streams AS "intervals of streams" FROM (SELECT sumMap(mos) AS mos, sum(streams) AS streams FROM ${WINDOW_SUMS({ mos: "sumMap(mos)", streams: "sum(streams)" }, `${MEDIA} AND mos_scale = 'nb'`, "media_groups")})` }),
    stat("One-way or no media", "Ended calls with the verdict one_way_media or no_media.", { x: 18, y: 0, w: 3, links: [callsLink("&diagnosis=one_way_media,no_media")], sql: `SELECT diagnoses['one_way_media'] + diagnoses['no_media'] AS calls FROM (SELECT sumMap(diagnoses) AS diagnoses FROM ${WINDOW_SUMS({ diagnoses: "sumMap(diagnoses)" }, CALLS, "call_groups")})` }),
    stat("Frames lost by the capture", "Frames that the probe missed in the window: above 0 the loss figures are in doubt.", { x: 21, y: 0, w: 3, sql: `SELECT sum(dropped_ring + dropped_interface + dropped_queue) AS frames FROM capture_intervals WHERE $__timeFilter(start_at) AND ${all("site", "probe")}`, options: { colorMode: "background" } }),
    series("Delay variation", "Percentiles over all packets, and the intervals of streams they stand on (dotted, right).", { x: 0, y: 4, w: 12, unit: "ms", streams: "streams", sql: delays(MEDIA) }),
    panel("heatmap", "Delay variation, packets", "How many packets had which delay variation.", { x: 12, y: 4, w: 12, h: 8, table: true, options: { calculate: false, rowsFrame: { layout: "le", value: "packets" }, cellValues: { unit: "short" }, filterValues: { le: 1e-9 }, yAxis: { unit: "none" } }, sql: heat(MEDIA) }),
    series("Loss by source", "Share of the expected packets. Loss of the capture says nothing about the network.", { x: 0, y: 12, w: 12, unit: "percent", custom: STACKED, sql: lossOver(MEDIA) }),
    series("Attempts", "INVITEs and answers per minute, at the time of the final response.", { x: 12, y: 12, w: 6, unit: "cpm", sql: `SELECT time, ${perMinute("attempts")} AS attempts, ${perMinute("answers")} AS answers FROM ${sums("call_groups", { columns: OUTCOMES, where: CALLS })} GROUP BY time ORDER BY time` }),
    series("NER, ASR, SEER", "Ratios of E.425 and RFC 6076, and the attempts they stand on (dotted, right).", { x: 18, y: 12, w: 6, unit: "percent", streams: "attempts", sql: ratios(CALLS) }),
    panel("table", "Trunks", "Each trunk over the window: outcomes and media.", { x: 0, y: 20, w: 24, h: 8, unit: "short", overrides: [linkOf("trunk", trunkLink), unitOf("NER", "percent"), unitOf("ASR", "percent"), unitOf("network loss", "percent"), unitOf("p95", "ms")], sql: `WITH ${MIDDLE} AS middle SELECT trunk, attempts, ${NER} AS NER, ${ASR} AS ASR, ${at(0.95, "c", "middle")} AS p95, ${pct("network", "expected")} AS "network loss", streams AS "intervals of streams" FROM (SELECT label AS trunk, ${OUTCOME_SUMS} FROM ${sums("call_groups", { columns: OUTCOMES, label: "trunk", where: CALLS })} GROUP BY trunk) AS calls FULL JOIN (SELECT label AS trunk, arrayCumSum(sumForEach(pdv)) AS c, sum(network) AS network, sum(expected) AS expected, sum(streams) AS streams FROM ${sums("media_groups", { columns: { ...LOSS, ...DELAYS }, label: "trunk", where: MEDIA })} GROUP BY trunk) AS media USING (trunk) ORDER BY attempts DESC LIMIT 100` }),
    panel("table", "Alerts", "Alerts that fired in the window, the newest first: how far beyond which limit, over how many streams or calls.", { x: 0, y: 38, w: 24, h: 8, sql: `SELECT assumeNotNull(a.fired_at) AS fired, if(max(a.state IN ('firing', 'keeping') AND a.at >= now() - INTERVAL 3 MINUTE), 'firing', 'over') AS now, any(a.severity) AS severity, any(a.rule) AS rule, arrayStringConcat(arrayMap((name, value) -> concat(name, ' ', value), mapKeys(any(a.labels)), mapValues(any(a.labels))), ', ') AS what, argMax(a.peak, a.at) AS peak, any(a.fire_limit) AS fire_limit, any(a.unit) AS unit, argMin(a.samples, a.at) AS samples, any(a.sample_unit) AS of, argMin(a.summary, a.at) AS summary, a.probe FROM alerts AS a WHERE $__timeFilter(a.at) AND a.fired_at IS NOT NULL AND a.measure != 'watchdog' GROUP BY a.probe, a.fingerprint, a.fired_at ORDER BY fired DESC LIMIT 100` }),
    panel("table", "Worst calls", "By badness, 0 to 1000: the verdict and the worst minute. A row leads to the call.", { x: 0, y: 28, w: 24, h: 10, overrides: [linkOf("id", callLink), unitOf("duration_ms", "ms"), unitOf("pdv_p95_worst_ms", "ms"), unitOf("loss_pct_worst", "percent")], sql: `SELECT ${CALL_COLUMNS}, badness FROM calls WHERE $__timeFilter_ms(first_at) AND ${CALLS} ORDER BY badness DESC, call_uid DESC LIMIT 20` }),
  ]),
  "trunk.json": dashboard("auscult-trunk", "Auscult: trunk", "One trunk: what becomes of its calls, and its media each way.", [SITE, TRUNK, CODEC, PROBE, BASE], () => [
    series("Attempts", "INVITEs and answers per minute, at the time of the final response.", { x: 0, y: 0, w: 8, unit: "cpm", sql: `SELECT time, ${perMinute("attempts")} AS attempts, ${perMinute("answers")} AS answers FROM ${sums("call_groups", { columns: OUTCOMES, where: CALLS })} GROUP BY time ORDER BY time` }),
    series("NER, ASR, SEER", "Ratios of E.425 and RFC 6076, and the attempts they stand on (dotted, right).", { x: 8, y: 0, w: 8, unit: "percent", streams: "attempts", sql: ratios(CALLS) }),
    series("Calls up", "Answered calls that were up: mean of each step by direction of the INVITE.", { x: 16, y: 0, w: 8, sql: `SELECT time, label, sum(up_ms) / 1000 / $__interval_s AS "calls up" FROM ${sums("call_groups", { columns: { up_ms: "sum(up_ms)" }, label: "trunk_direction", where: CALLS })} GROUP BY time, label ORDER BY time` }),
    series("Post-dial delay", "INVITE to the first response that is not 100, and the calls it stands on (dotted, right).", { x: 0, y: 8, w: 8, unit: "ms", streams: "calls", sql: spans("pdd", CALLS) }),
    series("Final codes", "Attempts by final code; 0 is none.", { x: 8, y: 8, w: 8, custom: STACKED, sql: `SELECT time, toString(code) AS label, toFloat64(codes[code]) AS attempts FROM (SELECT time, codes, arrayJoin(mapKeys(codes)) AS code FROM (SELECT time, sumMap(codes) AS codes FROM ${sums("call_groups", { columns: { codes: "sumMap(final_codes)" }, where: CALLS })} GROUP BY time)) ORDER BY time` }),
    series("Diagnoses", "Ended calls by every diagnosis they have.", { x: 16, y: 8, w: 8, custom: STACKED, sql: `SELECT time, arrayJoin(mapKeys(diagnoses)) AS label, toFloat64(diagnoses[label]) AS calls FROM (SELECT time, sumMap(diagnoses) AS diagnoses FROM ${sums("call_groups", { columns: { diagnoses: "sumMap(diagnoses)" }, where: CALLS })} GROUP BY time) ORDER BY time` }),
    series("Delay variation from the trunk", "Percentiles over all packets that come from the trunk.", { x: 0, y: 16, w: 12, unit: "ms", streams: "streams", sql: delays(`${MEDIA} AND trunk_direction = 'from'`) }),
    series("Delay variation toward the trunk", "Percentiles over all packets that go to the trunk.", { x: 12, y: 16, w: 12, unit: "ms", streams: "streams", sql: delays(`${MEDIA} AND trunk_direction = 'toward'`) }),
    series("Loss from the trunk", "Share of the expected packets, by whose loss it is.", { x: 0, y: 24, w: 12, unit: "percent", custom: STACKED, sql: lossOver(`${MEDIA} AND trunk_direction = 'from'`) }),
    series("Loss toward the trunk", "Share of the expected packets, by whose loss it is.", { x: 12, y: 24, w: 12, unit: "percent", custom: STACKED, sql: lossOver(`${MEDIA} AND trunk_direction = 'toward'`) }),
    series("MOS from the trunk, narrowband", "Listening quality (G.107) at the probe: a tenth and half of the intervals of streams are at or below.", { x: 0, y: 32, w: 12, unit: "none", streams: "streams", sql: mosOver(`${MEDIA} AND trunk_direction = 'from'`, "nb") }),
    series("MOS toward the trunk, narrowband", "Listening quality (G.107) at the probe: a tenth and half of the intervals of streams are at or below.", { x: 12, y: 32, w: 12, unit: "none", streams: "streams", sql: mosOver(`${MEDIA} AND trunk_direction = 'toward'`, "nb") }),
    panel("table", "Worst calls", "By badness, 0 to 1000. A row leads to the call.", { x: 0, y: 40, w: 24, h: 10, overrides: [linkOf("id", callLink), unitOf("duration_ms", "ms"), unitOf("pdv_p95_worst_ms", "ms"), unitOf("loss_pct_worst", "percent")], sql: `SELECT ${CALL_COLUMNS}, badness FROM calls WHERE $__timeFilter_ms(first_at) AND ${CALLS} ORDER BY badness DESC, call_uid DESC LIMIT 20` }),
  ]),
  "codec-site.json": dashboard("auscult-codec-site", "Auscult: codec and site", "Which codec at which site, and what quality is lost to.", [SITE, TRUNK, CODEC, PROBE], () => [
    panel("table", "Site by codec", "Delay variation, loss, late packets and MOS of the window; a percentile over few streams says little.", { x: 0, y: 0, w: 24, h: 10, overrides: [unitOf("p95", "ms"), unitOf("network loss", "percent"), unitOf("late of 60 ms", "percent"), unitOf("jitter p95", "ms")], sql: `WITH ${MIDDLE} AS middle SELECT site, codec, scale, ${at(0.95, "c", "middle")} AS p95, ${at(0.95, "j", "middle")} AS "jitter p95", ${pct("network", "expected")} AS "network loss", ${pct("late[3]", "c[-1]")} AS "late of 60 ms", toFloat64(${inMap(0.1, "mos")}) / 100 AS "MOS p10", streams AS "intervals of streams" FROM (SELECT splitByChar('\\t', label)[1] AS site, splitByChar('\\t', label)[2] AS codec, splitByChar('\\t', label)[3] AS scale, arrayCumSum(sumForEach(pdv)) AS c, arrayCumSum(sumForEach(jitter)) AS j, sumForEach(late) AS late, sum(network) AS network, sum(expected) AS expected, sumMap(mos) AS mos, sum(streams) AS streams FROM ${sums("media_groups", { columns: { ...LOSS, ...DELAYS, jitter: "[jitter]", late: "[late]", mos: "sumMap(mos)" }, label: "concat(site, '\\t', codec, '\\t', mos_scale)", where: MEDIA })} GROUP BY site, codec, scale) ORDER BY site, codec, scale LIMIT 500` }),
    series("What R is lost to", "Points of the rating factor by cause, mean over the intervals of streams with a budget (G.107).", { x: 0, y: 10, w: 12, unit: "none", custom: STACKED, sql: `SELECT time, ${["codec", "loss", "late", "delay"].map((cause) => `if(sum(rated) = 0, NULL, sum(r_${cause}) / sum(rated) / 1000) AS ${cause}`).join(", ")} FROM ${sums("media_groups", { columns: { rated: "sum(r_rated)", r_codec: "sum(r_cost_codec_milli)", r_loss: "sum(r_cost_loss_milli)", r_late: "sum(r_cost_late_milli)", r_delay: "sum(r_cost_delay_milli)" }, where: MEDIA })} GROUP BY time ORDER BY time` }),
    series("Late for a jitter buffer", "Share of the packets that a fixed buffer of this size would have discarded.", { x: 12, y: 10, w: 12, unit: "percent", sql: `SELECT time, ${[20, 40, 60, 80, 100, 150, 200].map((ms, i) => `${pct(`late[${i + 1}]`, "known")} AS "${ms} ms"`).join(", ")} FROM (SELECT time, sumForEach(late) AS late, arraySum(sumForEach(pdv)) AS known FROM ${sums("media_groups", { columns: { late: "[late]", pdv: "[pdv]" }, where: MEDIA })} GROUP BY time) ORDER BY time` }),
    series("Delay variation p95 by codec", "Over all packets of the codec.", { x: 0, y: 18, w: 12, unit: "ms", sql: `WITH ${MIDDLE} AS middle SELECT time, label, ${at(0.95, "c", "middle")} AS p95 FROM (SELECT time, label, arrayCumSum(sumForEach(pdv)) AS c FROM ${sums("media_groups", { columns: DELAYS, label: "codec", where: MEDIA })} GROUP BY time, label) ORDER BY time` }),
    series("Streams that do not satisfy", "Share of the intervals of streams with a MOS under 3.6 (many users dissatisfied) and under 3.1 (nearly all; G.107 Annex B).", { x: 12, y: 18, w: 12, unit: "percent", sql: `SELECT time, ${pct("sum(under36)", "sum(rated)")} AS "under 3.6", ${pct("sum(under31)", "sum(rated)")} AS "under 3.1" FROM ${sums("media_groups", { columns: { under36: "sum(mos_under_3_6)", under31: "sum(mos_under_3_1)", rated: "sum(arraySum(mapValues(mos)))" }, where: MEDIA })} GROUP BY time ORDER BY time` }),
  ]),
  "call.json": dashboard("auscult-call", "Auscult: call", "One call, by its identity. The page shows it better: follow the link of the first panel.", [CALL, BASE], () => [
    panel("table", "Call", "The record of the call; its identity leads to the page.", { x: 0, y: 0, w: 24, h: 5, overrides: [linkOf("id", callLink), unitOf("duration_ms", "ms"), unitOf("pdv_p95_worst_ms", "ms"), unitOf("loss_pct_worst", "percent")], sql: `SELECT ${CALL_COLUMNS}, class, call_id FROM calls WHERE $__timeFilter_ms(first_at) AND call_uid = reinterpretAsUInt64(reverse(unhex(\${call:singlequote}))) LIMIT 1` }),
    series("MOS of each interval", "Listening quality by stream and interval, on the scale of its codec.", { x: 0, y: 5, w: 12, unit: "none", sql: ofCall("mos_lq") }),
    series("Loss", "Lost packets of each interval.", { x: 12, y: 5, w: 12, unit: "short", sql: ofCall("toFloat64(lost)") }),
    series("Jitter", "Mean interarrival jitter (RFC 3550) of each interval.", { x: 0, y: 13, w: 12, unit: "ms", sql: ofCall("jitter_mean_ms") }),
    series("Largest delay variation", "Largest delay variation of each interval.", { x: 12, y: 13, w: 12, unit: "ms", sql: ofCall("pdv_max_ms") }),
    panel("table", "Signalling", "SIP messages of the call.", { x: 0, y: 21, w: 12, h: 9, sql: "SELECT at, IPv6NumToString(src_ip) AS source, IPv6NumToString(dst_ip) AS destination, method, status, reason FROM sip_messages WHERE call_uid = reinterpretAsUInt64(reverse(unhex(${call:singlequote}))) ORDER BY at LIMIT 200" }),
    panel("table", "RTCP", "What the ends report.", { x: 12, y: 21, w: 12, h: 9, overrides: [unitOf("fraction_lost_pct", "percent")], sql: "SELECT at, kind, IPv6NumToString(src_ip) AS source, fraction_lost_pct, cumulative_lost, rtt_probe_reporter_ms, voip_mos_lq FROM rtcp_reports WHERE call_uid = reinterpretAsUInt64(reverse(unhex(${call:singlequote}))) ORDER BY at LIMIT 200" }),
  ], "now-24h"),
  "probe.json": dashboard("auscult-probe", "Auscult: probe health", "Whether the figures can be trusted: what the probes saw, missed and gave up.", [SITE, PROBE], () => [
    series("Frames", "Frames per second by probe and interface.", { x: 0, y: 0, w: 12, unit: "pps", sql: ofCapture("sum(frames) / $__interval_s", "frames") }),
    series("Frames lost by the capture", "By the ring, the interface and the queue of the program.", { x: 12, y: 0, w: 12, custom: STACKED, sql: `SELECT $__timeInterval(start_at) AS time, toFloat64(sum(dropped_ring)) AS ring, toFloat64(sum(dropped_interface)) AS interface, toFloat64(sum(dropped_queue)) AS queue FROM capture_intervals WHERE $__timeFilter(start_at) AND ${all("site", "probe")} GROUP BY time ORDER BY time` }),
    series("What became of frames", "Frames per second by outcome.", { x: 0, y: 8, w: 12, unit: "pps", custom: STACKED, sql: `SELECT time, arrayJoin(mapKeys(outcomes)) AS label, outcomes[label] / $__interval_s AS frames FROM (SELECT $__timeInterval(start_at) AS time, sumMap(outcomes) AS outcomes FROM capture_intervals WHERE $__timeFilter(start_at) AND ${all("site", "probe")} GROUP BY time) ORDER BY time` }),
    series("Given up", "Streams and calls that full tables ended early or did not take in.", { x: 12, y: 8, w: 12, custom: STACKED, sql: `SELECT $__timeInterval(start_at) AS time, toFloat64(sum(streams_shed)) AS "streams shed", toFloat64(sum(streams_refused)) AS "streams refused", toFloat64(sum(calls_shed)) AS "calls shed", toFloat64(sum(calls_refused)) AS "calls refused" FROM capture_intervals WHERE $__timeFilter(start_at) AND ${all("site", "probe")} GROUP BY time ORDER BY time` }),
    series("One-sided streams", "Share of the intervals of streams whose opposite direction was not seen: mirror and routing are to be checked.", { x: 0, y: 16, w: 12, unit: "percent", sql: `SELECT time, label, ${pct("sum(one_sided)", "sum(streams)")} AS "one-sided" FROM ${sums("media_groups", { columns: { one_sided: "sum(one_sided)", streams: "sum(streams)" }, label: "probe", where: all("site", "probe") })} GROUP BY time, label ORDER BY time` }),
    series("Lag of the store", "From the end of an interval until its row is visible; the largest of each step.", { x: 12, y: 16, w: 12, unit: "s", sql: `SELECT $__timeInterval(start_at) AS time, probe AS label, max(toFloat64(arrived_at) - toFloat64(toUnixTimestamp(start_at)) - length_ms / 1000) AS lag FROM capture_intervals WHERE $__timeFilter(start_at) AND toUnixTimestamp(arrived_at) > 0 AND ${all("site", "probe")} GROUP BY time, label ORDER BY time` }),
    series("Wrong times", "Times of packets may be wrong by so much, because the capture gets frames in clumps or has coarse times. From 4 ms on delay variation is not judged.", { x: 0, y: 24, w: 12, unit: "ms", sql: `SELECT $__timeInterval(start_at) AS time, probe AS label, toFloat64(max(timestamp_error_ms)) AS "wrong by" FROM capture_intervals WHERE $__timeFilter(start_at) AND timestamp_error_ms IS NOT NULL AND ${all("site", "probe")} GROUP BY time, label ORDER BY time` }),
    panel("table", "State of the capture", "What the capture did to everything in the window: interruptions, sampling, loss of single packets, steps of the clock, one direction only, copies.", { x: 12, y: 24, w: 12, h: 8, overrides: [unitOf("interrupted", "ms"), unitOf("wrong by", "ms"), unitOf("loses at least", "percent"), unitOf("one-sided", "percent")], sql: `SELECT probe, toFloat64(sum(blackout_ms)) AS interrupted, toFloat64(max(timestamp_error_ms)) AS "wrong by", toFloat64(max(sampled_one_of)) AS "one packet of", toFloat64(max(loss_floor_low_pct)) AS "loses at least", toFloat64(sum(clock_steps)) AS "clock steps", ${pct("sum(one_sided_streams)", "sum(streams)")} AS "one-sided", toFloat64(sum(mirror_copies)) AS copies FROM capture_intervals WHERE $__timeFilter(start_at) AND ${all("site", "probe")} GROUP BY probe ORDER BY probe LIMIT 100` }),
    panel("table", "Schema", "Steps of the schema that were applied.", { x: 0, y: 32, w: 24, h: 8, sql: "SELECT version, name, min(applied_at) AS applied_at FROM schema_migrations GROUP BY version, name ORDER BY version DESC LIMIT 50" }),
  ]),
};

function ofCall(figure) {
  return `SELECT start_at AS time, concat(codec, ' ', IPv6NumToString(src_ip), ' to ', IPv6NumToString(dst_ip)) AS label, ${figure} AS value FROM stream_intervals WHERE $__timeFilter(start_at) AND call_uid = reinterpretAsUInt64(reverse(unhex(\${call:singlequote}))) ORDER BY time LIMIT 20000`;
}

function ofCapture(figure, name) {
  return `SELECT $__timeInterval(start_at) AS time, concat(probe, ' ', interface) AS label, ${figure} AS ${name} FROM capture_intervals WHERE $__timeFilter(start_at) AND ${all("site", "probe")} GROUP BY time, label ORDER BY time`;
}

/** 99.9 %, one-sided: a rule looks at thousands of windows a week. */
const Z = 3.09;
/** The value that the true share is above with that confidence (Wilson), percent, of a share `p` over `n` samples. */
const wilson = (p, n) => `100 * greatest(0, (${p} + ${Z * Z} / (2 * ${n}) - ${Z} * sqrt(${p} * (1 - ${p}) / ${n} + ${Z * Z} / (4 * ${n} * ${n}))) / (1 + ${Z * Z} / ${n}))`;
/** Different streams of the window. Two of them count as one sample, as they last differently long. */
const STREAMS = "arraySum((at, n) -> if(at = 0 OR at < toUnixTimestamp(now() - INTERVAL 10 MINUTE), n, 0), mapKeys(sumMap(present_before)), mapValues(sumMap(present_before)))";
/** Loss of the capture looks like loss of the network: then nothing is said. */
const SEEN = "sum(lost_capture + lost_suspected_capture) <= 0.001 * sum(expected) AND sum(expected) > 0";

/** A rule of Grafana. `sql` has one number; its other columns are labels. Off, unless Auscult has no such rule itself. */
function alertRule(uid, title, { sql, above, seconds = 600, wait = "5m", severity = "warning", summary, description, paused = true }) {
  const range = { from: seconds, to: 0 };
  return {
    uid, title, condition: "B", for: wait, isPaused: paused, noDataState: "OK", execErrState: "Error",
    labels: { severity }, annotations: { summary, description },
    data: [
      { refId: "A", relativeTimeRange: range, datasourceUid: "auscult", model: { refId: "A", editorType: "sql", queryType: "table", format: 1, rawSql: sql } },
      { refId: "B", relativeTimeRange: range, datasourceUid: "__expr__", model: { refId: "B", type: "threshold", expression: "A", conditions: [{ evaluator: { type: "gt", params: [above] } }] } },
    ],
  };
}

/** In texts of provisioning a dollar sign is written twice. */
export const alerting = {
  apiVersion: 1,
  groups: [
    {
      orgId: 1, name: "auscult", folder: "Auscult", interval: "1m",
      rules: [
        alertRule("auscult-silent", "Auscult stores nothing", {
          paused: false, severity: "critical", seconds: 86400, above: 180, wait: "1m",
          sql: "SELECT probe, toFloat64(dateDiff('second', max(start_at), now())) AS silent_s FROM capture_intervals WHERE $__timeFilter(start_at) GROUP BY probe ORDER BY probe",
          summary: "{{ $$labels.probe }} has stored nothing for three minutes", description: "The program, its link to the store or the probe is down, and no alert of it can come. Look at its log.",
        }),
        alertRule("auscult-fires", "An alert of Auscult fires", {
          severity: "critical", seconds: 300, above: 0, wait: "0s",
          sql: "SELECT probe, rule, severity AS level, labels['trunk'] AS trunk, labels['trunk_direction'] AS trunk_direction, 1 AS firing FROM alerts WHERE $__timeFilter(at) AND at >= now() - INTERVAL 3 MINUTE AND state IN ('firing', 'keeping') AND silenced_by = '' AND inhibited_by = '' AND measure != 'watchdog' GROUP BY probe, rule, level, trunk, trunk_direction ORDER BY rule, trunk LIMIT 100",
          summary: "{{ $$labels.rule }} {{ $$labels.trunk }} {{ $$labels.trunk_direction }}", description: "Auscult's own evaluation, by table alerts. Turn it on where Grafana sends what Auscult finds.",
        }),
        alertRule("auscult-capture-loss", "The capture loses frames", {
          above: 0.1, wait: "2m",
          sql: "SELECT probe, 100 * sum(dropped_ring + dropped_interface + dropped_queue) / sum(frames + dropped_ring + dropped_interface + dropped_queue) AS lost_pct FROM capture_intervals WHERE $__timeFilter(start_at) GROUP BY probe HAVING sum(frames) > 0 ORDER BY probe",
          summary: "{{ $$labels.probe }} misses frames", description: "Figures of loss and delay are in doubt. auscult doctor says which ring, interface or queue drops.",
        }),
        alertRule("auscult-trunk-loss", "Packet loss on a trunk", {
          severity: "critical", above: 5,
          sql: `SELECT trunk, trunk_direction, ${wilson("p", "n")} AS loss_at_least_pct FROM (SELECT trunk, trunk_direction, sum(lost_network) / sum(expected) AS p, ${STREAMS} / 2 AS n FROM media_groups WHERE $__timeFilter(start_at) GROUP BY trunk, trunk_direction HAVING ${SEEN}) WHERE n >= 15 ORDER BY trunk, trunk_direction LIMIT 1000`,
          summary: "Packet loss {{ $$labels.trunk_direction }} {{ $$labels.trunk }}", description: "Above 5 % with 99.9 % confidence over at least 30 streams of ten minutes.",
        }),
        alertRule("auscult-trunk-delay-variation", "Delay variation on a trunk", {
          above: 50,
          sql: `WITH ${MIDDLE} AS middle SELECT trunk, trunk_direction, middle[arrayFirstIndex(x -> x >= greatest(1, ceil((0.95 - ${Z} * sqrt(0.95 * 0.05 / n)) * c[-1])), c)] AS p95_at_least_ms FROM (SELECT trunk, trunk_direction, arrayCumSum(sumForEach(pdv)) AS c, ${STREAMS} / 2 AS n FROM media_groups WHERE $__timeFilter(start_at) AND notEmpty(pdv) GROUP BY trunk, trunk_direction HAVING ${SEEN}) WHERE n >= 10 AND c[-1] > 0 ORDER BY trunk, trunk_direction LIMIT 1000`,
          summary: "Delay variation {{ $$labels.trunk_direction }} {{ $$labels.trunk }}", description: "The 95th percentile is above 50 ms with 99.9 % confidence over at least 20 streams of ten minutes.",
        }),
        alertRule("auscult-setup-failures", "Calls on a trunk cannot be set up", {
          severity: "critical", above: 20,
          sql: `SELECT trunk, ${wilson("p", "attempts")} AS failed_at_least_pct FROM (SELECT trunk, attempts, 1 - least(attempts, answers + ${withCode(PERSONS)} + greatest(toInt64(cancelled) - toInt64(codes[487]), 0)) / attempts AS p FROM (SELECT trunk, sum(attempts) AS attempts, sum(answers) AS answers, sumMap(final_codes) AS codes, sum(cancelled) AS cancelled FROM call_groups WHERE $__timeFilter(start_at) GROUP BY trunk)) WHERE attempts >= 50 ORDER BY trunk LIMIT 1000`,
          summary: "Calls over {{ $$labels.trunk }} fail", description: "More than 20 % of attempts end by neither an answer nor a person's decision, with 99.9 % confidence over at least 50 attempts of ten minutes.",
        }),
      ],
    },
  ],
};

/** YAML takes JSON as it is. */
export const alertingText = `# Rules of Grafana over the store of Auscult. Only the first is on: Auscult has the others itself (docs/alerts.md). Set isPaused to false
# where Grafana is to alert instead, and have one of the two send. Written by dashboards/source.mjs.
${JSON.stringify(alerting, null, 2)}
`;

/** A dashboard as its file has it. */
export const text = (dashboard) => `${JSON.stringify(dashboard, null, 2)}\n`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, dashboard] of Object.entries(dashboards)) writeFileSync(new URL(file, import.meta.url), text(dashboard));
  writeFileSync(new URL("provisioning/alerting/auscult.yaml", import.meta.url), alertingText);
}
