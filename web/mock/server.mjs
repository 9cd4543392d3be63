// A server with the API's contract over seeded data, and the built page with the headers the real one sends.
// `node mock/server.mjs [--port 8799] [--empty] [--role viewer|operator|investigator|admin|none|open]`; the tests import `start`.
// With `none` one signs in as a user of mock/session.mjs; with the name of a role one has it from the start.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { HOSTILE, makeWorld } from "./data.mjs";
import { bufferFor } from "./figures.mjs";
import { audit, Sessions } from "./session.mjs";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const CALL_ENDS_AFTER_MS = 2500;
const LONGEST_MS = 92 * 86_400_000;
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".md": "text/plain; charset=utf-8" };
const FILTERS = ["from", "to", "number", "call_id", "address", "codec", "state", "class", "final_code", "mos_below", "pdv_p95_above", "loss_above", "diagnosis", "trunk", "trunk_direction", "site", "seen_from"];
/** Parameters per resource; any other is refused, as the real server does. */
const KNOWN = { "/range": [], "/alerts": ["state"], "/timeline": [...FILTERS, "buckets"], "/calls": [...FILTERS, "sort", "limit", "cursor"], "/alerts/history": ["from", "to", "rule", "id", "trunk", "limit"], "/outcomes": ["from", "to", "group_by", "trunk", "trunk_direction", "site"], "/audit": ["from", "to", "who", "action", "limit", "cursor"], "/stats": ["from", "to", "group_by", "bucket_s", "codec", "trunk", "site", "address"] };
export const CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/** Serves until `close()`. Port 0 takes a free one. `asked` has every request of the API with the status of its answer. */
export async function start({ port = 0, empty = false, role = "open" } = {}) {
  const world = empty ? [] : makeWorld();
  const sessions = new Sessions(role);
  const asked = [];
  const feeds = new Set();
  const server = createServer((request, response) => {
    if (request.url.startsWith("/api/")) response.on("close", () => asked.push({ method: request.method, url: request.url, status: response.statusCode }));
    answer({ world, sessions, feeds }, request, response).catch((error) => send(response, 500, problem(500, "internal", String(error))));
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  const cut = () => {
    for (const feed of feeds) feed.end();
  };
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    world,
    sessions,
    asked,
    /** As when a session's time is over: its live feed ends too. */
    endSessions: () => {
      sessions.end();
      cut();
    },
    closeToStrangers: () => {
      sessions.close();
      cut();
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

async function answer({ world, sessions, feeds }, request, response) {
  const url = new URL(request.url, "http://mock");
  if (!url.pathname.startsWith("/api/v1/")) return page(url.pathname, response);
  const path = url.pathname.slice("/api/v1".length);
  try {
    if (path === "/session" || path.startsWith("/session/")) {
      const [status, body, headers] = await sessions.answer(request, url, path);
      return send(response, status, Array.isArray(body) ? problem(status, ...body) : body, headers);
    }
    const refused = sessions.refusal(request, url, path);
    if (refused) throw new Refused(...refused);
    const role = sessions.roleOf(request);
    if (path === "/live") return live(world, request, response, feeds, role);
    if (path.startsWith("/alerts/silences")) return await silence(request, path, response);
    const evaluated = path.match(/^\/alerts\/([0-9a-f]{16})\/evaluations$/);
    if (evaluated) return send(response, 200, evaluations(url.searchParams));
    const call = path.match(/^\/calls\/([^/]+)$/);
    if (call) {
      const first = url.searchParams.get("first_at");
      if ([...url.searchParams.keys()].some((name) => name !== "first_at") || (first !== null && Number.isNaN(Date.parse(first)))) throw new Refused(400, "bad_request", "`first_at` must be RFC 3339");
      if (!/^[0-9a-f]{16}$/.test(call[1])) throw new Refused(400, "bad_request", "id: expected 16 hex digits");
      const found = world.find((each) => each.call.id === call[1]);
      if (!found) throw new Refused(404, "not_found", `no call ${call[1]} is stored; it may be older than the retention`);
      return send(response, 200, role === "operator" ? { ...found, ladder: [], messages_withheld: true } : found);
    }
    const stray = [...url.searchParams.keys()].find((name) => !(KNOWN[path] ?? []).includes(name));
    if (stray) throw new Refused(400, "bad_request", `unknown field \`${stray}\``);
    const of = { "/range": range, "/timeline": timeline, "/calls": calls, "/stats": stats, "/outcomes": outcomes, "/audit": (_world, query) => audit(query), "/alerts": alerts, "/alerts/history": alertHistory }[path];
    if (!of) throw new Refused(404, "not_found", `no such resource: ${path}`);
    send(response, 200, of(world, url.searchParams));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    send(response, error.status, problem(error.status, error.code, error.message));
  }
}

function problem(status, code, message) {
  return { type: "about:blank", title: "", status, detail: message, code, error: { code, message } };
}

function send(response, status, body, headers = {}) {
  response.writeHead(status, { ...(body === null ? {} : { "content-type": status < 400 ? "application/json" : "application/problem+json" }), "cache-control": "no-store", ...headers });
  response.end(body === null ? undefined : JSON.stringify(body));
}

async function page(path, response) {
  const file = /\.[a-z]+$/.test(path) ? path : "/index.html";
  const full = normalize(join(DIST, file));
  try {
    if (!full.startsWith(DIST)) throw new Error("outside");
    const body = await readFile(full);
    response.writeHead(200, { "content-type": TYPES[extname(full)] ?? "application/octet-stream", "content-security-policy": CSP, "x-content-type-options": "nosniff" });
    response.end(body);
  } catch {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("not found");
  }
}

let silences = [];

/** One alert that fires, one pending, and one that cannot be judged; a codec's name comes from the wire. */
export function alerts(_world, query) {
  const one = (id, rule, severity, state, group, summary) => ({
    id, rule, severity, state, group, summary,
    judgement: state === "firing" ? "firing" : state, measure: "network_loss_pct", unit: "%",
    since: state === "firing" || state === "pending" ? "2026-03-01T10:05:00Z" : null,
    from: "2026-03-01T10:00:00Z", to: "2026-03-01T10:05:00Z", value: 7.5, bound: 5.6, limit: 5, samples: 80, sample_unit: "streams",
    capture_loss_pct: state === "blind" ? 3.5 : 0, inhibited_by: null,
    description: `${summary}, over 80 streams in 5m`, calls: "/?from=2026-03-01T10%3A00%3A00Z&to=2026-03-01T10%3A05%3A00Z&sort=worst",
    worst_calls: state === "firing" ? ["0000000000000001"] : [],
    silenced_by: silences.find((each) => each.active && each.rule === rule)?.id ?? null,
  });
  const asked = query?.get("state")?.split(",") ?? ["firing", "keeping", "pending", "error", "blind"];
  const text = (rule) => `[[rule]]\nname = "${rule}"\nmeasure = "network_loss_pct"\nfire = { above = 5 }`;
  const rules = ["trunk_loss_critical", "codec_loss", "trunk_mos", "trunk_jitter"];
  return {
    alerts: [
      one("00000000000000a1", "trunk_loss_critical", "critical", "firing", { trunk: "carrier-a", trunk_direction: "from" }, "Packet loss on carrier-a: 7.50 %"),
      one("00000000000000a2", "codec_loss", "warning", "pending", { codec: HOSTILE }, "Packet loss"),
      one("00000000000000a3", "trunk_mos", "warning", "blind", { trunk: "" }, "Speech quality on (none)"),
      one("00000000000000a5", "trunk_jitter", "warning", "few", { trunk: "carrier-b" }, "Jitter on carrier-b"),
    ].filter((each) => asked.includes(each.state)),
    counts: { firing: 1, pending: 1, blind: 1, few: 1 },
    truncated: false,
    rule_texts: Object.fromEntries(rules.map((rule) => [rule, text(rule)])),
    evaluated: true,
    rules: 27,
    silences,
    may_silence: true,
  };
}

/** An alert that fires and one that ended; the name of the trunk is a stranger's. */
export function alertHistory() {
  const one = (id, fired_at, ended_at, group) => ({
    id, probe: "probe-1", site: "site-1", rule: "trunk_loss_critical", severity: "critical", measure: "network_loss_pct", unit: "%", group,
    fired_at, ended_at, last_at: ended_at ?? "2026-03-01T10:05:00Z", peak: 9.25, limit: 5, samples: 80, sample_unit: "streams",
    summary: "Packet loss: 7.50 %", inhibited_by: null, silenced_by: null, worst_calls: ["0000000000000001"],
  });
  return {
    window: { from: "2026-02-22T10:05:00Z", to: "2026-03-01T10:05:00Z" },
    alerts: [
      one("00000000000000a1", "2026-03-01T10:05:00Z", null, { trunk: "carrier-a", trunk_direction: "from" }),
      one("00000000000000a4", "2026-03-01T08:00:00Z", "2026-03-01T08:42:00Z", { trunk: HOSTILE }),
    ],
  };
}

/** An hour, once a minute: quiet, blind for five minutes, then beyond the limit. */
export function evaluations(query) {
  const end = Date.parse(query.get("to") ?? "2026-03-01T10:05:00Z");
  const rows = [...Array(60).keys()].map((i) => {
    const blind = i >= 20 && i < 25;
    const value = blind ? null : i < 40 ? 1 + Math.sin(i / 5) / 2 : 7 + Math.sin(i);
    return {
      at: new Date(end - (60 - i) * 60_000).toISOString(), probe: "probe-1", state: blind ? "blind" : i < 40 ? "ok" : "firing", judgement: blind ? "blind" : i < 40 ? "ok" : "firing",
      value, low: value === null ? null : value * 0.8, high: value === null ? null : value * 1.3, limit: 5, samples: 80, capture_loss_pct: blind ? 3.5 : 0, baseline: 1.1, baseline_spread: 0.2,
    };
  });
  return { window: { from: rows[0].at, to: rows.at(-1).at }, evaluations: rows };
}

async function silence(request, path, response) {
  if (request.method === "POST" && path === "/alerts/silences") {
    if (request.headers["content-type"] !== "application/json") throw new Refused(415, "not_json", "the body must be JSON, with Content-Type: application/json");
    let body = "";
    for await (const piece of request) body += piece;
    const asked = JSON.parse(body);
    if (!asked.reason?.trim()) throw new Refused(400, "bad_request", "`reason` must say why: others read it");
    const begun = {
      id: "00000000000000b1", rule: asked.rule, labels: asked.labels, from: "2026-03-01T10:05:00Z", to: "2026-03-01T14:05:00Z",
      reason: asked.reason, by: asked.by, active: true, forwarded: 1, refused: null,
    };
    silences = [begun];
    return send(response, 201, begun);
  }
  if (request.method === "DELETE" && silences.length > 0) {
    silences = silences.map((each) => ({ ...each, active: false, to: "2026-03-01T10:06:00Z" }));
    return send(response, 200, silences[0]);
  }
  throw new Refused(405, "method_not_allowed", "only GET and HEAD are answered here");
}

function range(world) {
  const times = world.map((each) => each.call.first_at).sort();
  return { from: times[0] ?? null, to: times.at(-1) ?? null, calls: world.length, streams: world.reduce((sum, each) => sum + each.streams.length, 0) };
}

function windowOf(world, query) {
  const stored = range(world);
  const from = query.get("from") ?? stored.from ?? "1970-01-01T00:00:00Z";
  const to = query.get("to") ?? (stored.to ? new Date(Date.parse(stored.to) + 1).toISOString() : "1970-01-01T00:00:00Z");
  if (Number.isNaN(Date.parse(from))) throw new Refused(400, "bad_request", `from: "${from}" is not an RFC 3339 time`);
  if (Number.isNaN(Date.parse(to))) throw new Refused(400, "bad_request", `to: "${to}" is not an RFC 3339 time`);
  if (Date.parse(to) - Date.parse(from) > LONGEST_MS) throw new Refused(400, "bad_request", "window: longer than 92 days; narrow from and to");
  return { from, to };
}

function matching(world, query) {
  const { from, to } = windowOf(world, query);
  const above = (name) => {
    if (!query.get(name)) return null;
    const value = Number(query.get(name));
    if (Number.isNaN(value)) throw new Refused(400, "bad_request", `${name}: "${query.get(name)}" is not a number`);
    return value;
  };
  const [mos, pdv, loss] = [above("mos_below"), above("pdv_p95_above"), above("loss_above")];
  const text = (name) => query.get(name) ?? "";
  const number = bare(text("number"));
  const whole = /^\d+\.\d+\.\d+\.\d+(:\d+)?$/;
  if (text("address") && !whole.test(text("address"))) throw new Refused(400, "bad_request", "`address` is not an address, address:port or network (192.0.2.0/24)");
  return world.filter(({ call, streams }) => {
    const at = Date.parse(call.first_at);
    if (at < Date.parse(from) || at >= Date.parse(to)) return false;
    if (text("seen_from") && Date.parse(call.last_at) < Date.parse(text("seen_from"))) return false;
    const addresses = [call.signalling_src, call.signalling_dst, ...streams.flatMap((s) => [s.src, s.dst])];
    return (
      (!number || [call.caller.user, call.callee.user].some((user) => bare(user) === number || (number.length >= 3 && bare(user).endsWith(number)))) &&
      (!text("call_id") || call.call_id === text("call_id")) &&
      (!text("address") || addresses.some((address) => address === text("address") || address.startsWith(`${text("address")}:`))) &&
      (!text("codec") || call.codecs.includes(text("codec"))) &&
      (!text("state") || call.state === (text("state") === "active" ? "established" : text("state"))) &&
      (!text("class") || text("class").split(",").includes(call.class)) &&
      (!text("final_code") || text("final_code").split(",").includes(String(call.final_code ?? 0))) &&
      (!text("diagnosis") || call.diagnoses.some((d) => text("diagnosis").split(",").includes(d.code))) &&
      (!text("trunk") || call.trunk === text("trunk")) &&
      (!text("site") || call.site === text("site")) &&
      (mos === null || (call.mos_worst !== null && call.mos_worst < mos)) &&
      (pdv === null || (call.pdv_p95_worst_ms ?? -1) > pdv) &&
      (loss === null || (call.loss_pct_worst ?? -1) > loss)
    );
  });
}

/** A number without what does not tell it from others. */
function bare(text) {
  return text.toLowerCase().replace(/[ ()./-]/g, "").replace(/^(\+|00)/, "");
}

const SORTS = {
  worst: (x, y) => y.badness - x.badness,
  newest: (x, y) => (x.first_at < y.first_at ? 1 : -1),
  oldest: (x, y) => (x.first_at < y.first_at ? -1 : 1),
  longest: (x, y) => (y.duration_ms ?? 0) - (x.duration_ms ?? 0),
  mos: (x, y) => (x.mos_worst ?? 9) - (y.mos_worst ?? 9),
  delay_variation: (x, y) => (y.pdv_p95_worst_ms ?? -1) - (x.pdv_p95_worst_ms ?? -1),
  loss: (x, y) => (y.loss_pct_worst ?? -1) - (x.loss_pct_worst ?? -1),
};

function calls(world, query) {
  const sort = SORTS[query.get("sort") ?? "worst"];
  if (!sort) throw new Refused(400, "bad_request", `sort: "${query.get("sort")}" is not worst, newest, oldest or longest`);
  const limit = Number(query.get("limit") ?? 50);
  const offset = Number(query.get("cursor") ?? 0);
  const rows = matching(world, query).map((each) => each.call).sort(sort);
  return { window: windowOf(world, query), calls: rows.slice(offset, offset + limit), next_cursor: offset + limit < rows.length ? String(offset + limit) : null };
}

function timeline(world, query) {
  const { from, to } = windowOf(world, query);
  const wanted = Number(query.get("buckets") ?? 120);
  const bucket = Math.max(1, Math.ceil((Date.parse(to) - Date.parse(from)) / 1000 / wanted));
  const start = Math.floor(Date.parse(from) / 1000 / bucket) * bucket;
  const buckets = [];
  for (let at = start; at * 1000 < Date.parse(to); at += bucket) buckets.push({ at: new Date(at * 1000).toISOString(), calls: 0, good: 0, fair: 0, poor: 0, failed: 0, not_answered: 0, unrated: 0 });
  for (const { call } of matching(world, query)) {
    const into = buckets[Math.floor((Date.parse(call.first_at) / 1000 - start) / bucket)];
    into.calls++;
    into[call.class]++;
  }
  return { from, to, bucket_s: bucket, source: "groups", buckets, group_by: [], groups: [], truncated: false };
}

function stats(world, query) {
  const window = windowOf(world, query);
  const by = (query.get("group_by") ?? "").split(",").filter(Boolean);
  if (by.length > 3) throw new Refused(400, "bad_request", "group_by: at most 3 of codec, trunk, site, probe, src, dst");
  const bucket = query.get("bucket_s") ? Number(query.get("bucket_s")) : null;
  const source = query.has("address") || by.includes("src") || by.includes("dst") ? "raw" : "groups";
  const groups = new Map();
  const narrowed = new URLSearchParams(query);
  for (const each of matching(world, narrowed)) {
    for (const stream of each.streams) {
      for (const row of each.intervals[stream.id]) {
        const at = bucket ? new Date(Math.floor(Date.parse(row.start_at) / 1000 / bucket) * bucket * 1000).toISOString() : null;
        const of = { codec: stream.codec, trunk: stream.trunk, site: stream.site, trunk_direction: stream.trunk ? "from" : "", probe: stream.probe, src: stream.src.split(":")[0], dst: stream.dst.split(":")[0] };
        const key = Object.fromEntries(by.map((name) => [name, of[name]]));
        const name = JSON.stringify([key, at]);
        if (!groups.has(name)) groups.set(name, { key, at, rows: [], streams: new Set(), calls: new Set(), runs: {} });
        const group = groups.get(name);
        group.rows.push(row);
        group.streams.add(stream.id);
        group.calls.add(each.call.id);
        if (row.longest_loss_run > 0) group.runs[Math.min(row.longest_loss_run, 9)] = (group.runs[Math.min(row.longest_loss_run, 9)] ?? 0) + 1;
      }
    }
  }
  const out = [...groups.values()].map(({ key, at, rows, streams, calls: of, runs }) => {
    const sum = (pick) => rows.reduce((total, row) => total + pick(row), 0);
    const p = (values, q) => [...values].sort((x, y) => x - y)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? null;
    const p95s = rows.map((row) => row.delay_variation_ms.p95);
    const scales = ["nb", "wb", "fb"].map((scale) => ({ scale, values: rows.filter((row) => row.mos_scale === scale).map((row) => row.mos_lq) })).filter((each) => each.values.length > 0);
    const latePct = Object.fromEntries(Object.keys(rows[0]?.late_pct ?? {}).map((size) => [size, sum((r) => r.late_pct[size] * r.packets) / sum((r) => r.packets)]));
    return {
      late_pct: latePct, buffer_ms_for_0_5_pct: bufferFor(latePct),
      key, at, streams: streams.size, intervals: rows.length, calls: source === "raw" ? of.size : null, packets: sum((r) => r.packets), expected: sum((r) => r.expected), lost: sum((r) => r.lost), loss_pct: sum((r) => r.expected) ? (100 * sum((r) => r.lost)) / sum((r) => r.expected) : null, reordered: sum((r) => r.reordered),
      lost_by_source: { network: sum((r) => r.lost), capture: 0, suspected_capture: 0 }, mos_under_3_6: rows.filter((row) => row.mos_lq < 3.6).length, mos_under_3_1: rows.filter((row) => row.mos_lq < 3.1).length, one_sided: 0,
      jitter_ms: Object.fromEntries([0.5, 0.95, 0.99].map((q) => [`p${q * 100}`, p(rows.map((row) => row.jitter_ms.mean), q)])),
      delay_variation_ms: { p50: p(rows.map((row) => row.delay_variation_ms.p50), 0.5), p95: p(p95s, 0.93), p99: p(p95s, 0.985), p999: Math.max(...rows.map((row) => row.delay_variation_ms.p99)) }, jitter_max_ms: Math.max(...rows.map((row) => row.jitter_ms.max)), loss_runs: runs,
      mos: scales.map(({ scale, values }) => ({ scale, p5: p(values, 0.05), p50: p(values, 0.5), intervals: values.length })),
    };
  });
  return { window, group_by: by, bucket_s: bucket, source, groups: out.slice(0, 1000), truncated: out.length > 1000 };
}

/** Calls, attempts and their ratios by trunk or whatever is asked for. */
export function outcomes(world, query) {
  const by = (query.get("group_by") ?? "").split(",").filter(Boolean);
  const groups = new Map();
  for (const { call } of matching(world, query)) {
    const key = Object.fromEntries(by.map((name) => [name, call[name] ?? ""]));
    const name = JSON.stringify(key);
    if (!groups.has(name)) groups.set(name, { key, calls: [] });
    groups.get(name).calls.push(call);
  }
  const spans = (values) => {
    const sorted = values.filter((value) => value !== null && value !== undefined).sort((x, y) => x - y);
    const p = (q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? null;
    return { calls: sorted.length, p50: p(0.5), p95: p(0.95), p99: p(0.99) };
  };
  const tally = (values) => Object.fromEntries([...new Set(values)].map((value) => [value, values.filter((each) => each === value).length]));
  const rows = [...groups.values()].map(({ key, calls }) => {
    const of = (test) => calls.filter(test).length;
    const ratio = (n) => ({ pct: calls.length ? (100 * n) / calls.length : null, of: calls.length });
    const answers = of((call) => call.answered_at !== null);
    const ended = calls.filter((call) => call.ended_at !== null);
    return {
      key, at: null, attempts: calls.length, answers, final_codes: tally(calls.map((call) => call.final_code ?? 0)), cancelled: of((call) => call.state === "cancelled"), setup_timeouts: of((call) => call.final_code === null && call.answered_at === null),
      asr: ratio(answers), ner: ratio(of((call) => call.class !== "failed")), ser: ratio(answers), seer: ratio(of((call) => call.class !== "failed")), isa: ratio(of((call) => (call.final_code ?? 0) >= 500)), scr: ratio(of((call) => call.state === "completed")),
      pdd_ms: spans(calls.map((call) => call.pdd_ms)), setup_ms: spans(calls.map((call) => call.setup_ms)), srd_failed_ms: spans([]), duration_ms: spans(calls.map((call) => call.duration_ms)), sdd_ms: spans([]),
      ended: ended.length, classes: tally(ended.map((call) => call.class)), diagnoses: tally(ended.flatMap((call) => call.diagnoses.map(({ code }) => code))), completed: of((call) => call.state === "completed"), short: of((call) => call.duration_ms !== null && call.duration_ms < 10_000), concurrent: { mean: null, max: null },
    };
  });
  return { window: windowOf(world, query), group_by: by, bucket_s: null, source: "groups", groups: rows.sort((x, y) => y.attempts - x.attempts), truncated: false };
}

function live(world, request, response, feeds, role) {
  feeds.add(response);
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  let n = 0;
  const snapshot = () => {
    const drops = world.length === 0 ? 0 : 41;
    response.write(`event: snapshot\ndata: ${JSON.stringify({ at: new Date().toISOString(), calls: world.length ? 212 + (n % 5) : 0, streams: world.length ? 424 + (n % 7) : 0, frames_per_s: world.length ? 21_180.4 + n : 0, capture_drops: drops, calls_bad: world.length ? 9 : 0, capture_findings: world.length ? [{ code: "one_sided", text: "sees one direction of 214 of 424 streams: a missing direction is not judged" }] : [] })}\n\n`);
    n++;
  };
  const changed = (call, ended) => response.write(`event: call\ndata: ${JSON.stringify({ id: call.id, call_id: call.call_id, state: call.state, diagnosis: call.diagnosis, class: call.class, ended })}\n\n`);
  const last = role === "viewer" ? undefined : world.at(-1)?.call;
  if (last) changed(last, false);
  const later = last ? setTimeout(() => changed(last, true), CALL_ENDS_AFTER_MS) : undefined;
  snapshot();
  const timer = setInterval(snapshot, 1000);
  response.on("close", () => {
    feeds.delete(response);
    clearInterval(timer);
    clearTimeout(later);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name) => process.argv[process.argv.indexOf(name) + 1 || process.argv.length];
  const { url } = await start({ port: Number(option("--port") ?? 8799), empty: process.argv.includes("--empty"), role: option("--role") ?? "open" });
  console.log(`mock API and page: ${url}`);
}
