// A seeded world of calls in the shape of the API, for developing the page and for its tests.

import { completeDetail } from "./nullable.mjs";
import { budgetOf, delayFigures, ip, iso, lossFigures } from "./figures.mjs";
import { makeRtcp } from "./rtcp.mjs";

const CODES = { PCMU: ["nb", 0, 25.1, 8000], PCMA: ["nb", 0, 25.1, 8000], G729: ["nb", 11, 19, 8000], G722: ["wb", 13, 20, 8000], opus: ["fb", 8, 22, 48000] };
const BEST_R = { nb: 93.2, wb: 129, fb: 148 };
const MODELS = { nb: "G.107", wb: "G.107.1", fb: "G.107.2" };
const SCALE_TOP = { nb: 100, wb: 129, fb: 148 };
const TRUNKS = ["carrier-north", "carrier-south", "pbx-hq", ""];
const SITES = ["fra1", "ams2"];
const LATE_BUFFERS = [20, 40, 60, 80, 100, 150, 200];

/** Text that would run if anything put it into the page as HTML. */
export const HOSTILE = `<img src=x onerror="window.__xss=1"><script>window.__xss=1</script>`;

const payloadTypes = (pt, packets, events) => ({ payload_types: events ? [pt, 101] : [pt], packets_by_payload_type: events ? { [pt]: packets, 101: events } : { [pt]: packets } });
const copies = (probe) => ({ duplicates: probe, duplicates_probe: probe, duplicates_network: 0 });

export function makeWorld({ seed = 7, calls = 420, end = Date.parse("2026-03-01T14:30:00Z"), hours = 3 } = {}) {
  const random = generator(seed);
  const world = [];
  for (let i = 0; i < calls; i++) {
    const at = end - hours * 3_600_000 * (1 - i / calls) - random() * 20_000;
    world.push(completeDetail(makeCall(random, i, at, end)));
  }
  return world;
}

function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function makeCall(random, index, startMs, endMs) {
  const hex = (digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("");
  const pick = (list) => list[Math.floor(random() * list.length)];
  const kind = kindOf(random(), index);
  const id = hex(16);
  const callId = index % 3 === 0 ? `${hex(8)}-${hex(4)}-${hex(4)}-${hex(12)}` : `${hex(10)}@10.20.0.${1 + Math.floor(random() * 9)}`;
  const codec = kind === "codec" ? "G729" : pick(["PCMA", "PCMA", "PCMU", "G722", "opus", "G729"]);
  const site = pick(SITES);
  const trunk = pick(TRUNKS);
  const far = `198.51.100.${10 + TRUNKS.indexOf(trunk)}`;
  const phone = `10.20.${1 + Math.floor(random() * 3)}.${2 + Math.floor(random() * 60)}`;
  const sbc = "10.20.0.5";
  const caller = party(`+4930${1000000 + Math.floor(random() * 8999999)}`, "example.net", index === 5 ? HOSTILE : index % 4 === 0 ? pick(["Reception", "Warehouse", "Lena Fuchs", "Support 2"]) : "", "Yealink SIP-T54W 96.86");
  const callee = party(`+44207${100000 + Math.floor(random() * 899999)}`, far, "", "SBC/7.4");
  const pdd = kind === "slow" ? 6200 + random() * 3000 : 240 + random() * 1400;
  const ring = 1500 + random() * 9000;
  const talk = Math.round((12 + random() ** 2 * 460) * 1000);
  const invite = startMs;
  const answered = ["failed", "cancelled", "noresponse"].includes(kind) ? null : invite + pdd + ring;
  const running = answered !== null && index > 412;
  const ended = answered === null ? invite + (kind === "noresponse" ? 32_000 : pdd + ring) : running ? null : Math.min(answered + talk, endMs + 600_000);
  const mediaEnd = answered === null ? null : (ended ?? endMs);
  const streams = [];
  const intervals = {};
  const a = `${phone}:${10000 + 2 * Math.floor(random() * 9000)}`;
  const b = `${far}:${30000 + 2 * Math.floor(random() * 9000)}`;
  if (answered !== null && kind !== "nomedia") {
    const bad = ["bursty", "random", "jitter", "reorder", "capture", "interrupted"].includes(kind) ? (random() < 0.7 ? "ba" : "ab") : "";
    for (const way of kind === "oneway" ? ["ab"] : ["ab", "ba"]) {
      const impaired = way === bad ? kind : kind === "codec" ? "codec" : "clean";
      const made = makeStream({ random, hex, id, callId, src: way === "ab" ? a : b, dst: way === "ab" ? b : a, codec, from: answered, to: mediaEnd, impaired, site, trunk, oneSided: kind === "oneway" });
      streams.push(made.row);
      intervals[made.row.id] = made.intervals;
    }
  }
  const rtcp = makeRtcp(streams, intervals, random);
  for (const stream of streams) if (stream.rtt_ms !== null && stream.r !== null) withDelay(stream);
  const diagnoses = diagnose(kind, { random, pdd, streams, answered, callee });
  const finalCode = answered !== null ? 200 : kind === "failed" ? pick([486, 503, 404, 403]) : kind === "cancelled" ? 487 : null;
  const reasons = { 200: "OK", 486: "Busy Here", 503: "Service Unavailable", 404: "Not Found", 403: "Forbidden", 487: "Request Terminated" };
  if (diagnoses[0]?.code === "setup_failed") diagnoses[0].evidence = `${finalCode} ${reasons[finalCode]} from ${far}:5060 after ${(pdd / 1000).toFixed(1)} s`;
  const worst = streams.filter((s) => s.mos.worst_interval !== null).sort((x, y) => x.mos.worst_interval - y.mos.worst_interval)[0];
  const scale = worst?.mos.scale ?? null;
  const mos = worst?.mos.worst_interval ?? null;
  const state = running ? "established" : answered !== null ? "completed" : { failed: "failed", cancelled: "cancelled", noresponse: "setup_timeout" }[kind];
  const unheard = diagnoses.some(({ code }) => ["no_media", "one_way_media", "no_response"].includes(code));
  const person = state === "cancelled" || (state === "failed" && [404, 486].includes(finalCode));
  if (person) diagnoses.length = 0;
  const klass = person ? "not_answered" : unheard || ["failed", "setup_timeout"].includes(state) ? "failed" : lowered(diagnoses, mos === null ? "unrated" : classOf(mos));
  const by = answered === null ? (kind === "cancelled" ? "caller" : kind === "failed" ? "callee" : "timeout") : running ? null : random() < 0.6 ? "caller" : "callee";
  const call = {
    id, call_id: callId, from: caller.uri, to: callee.uri, caller, callee, state, final_code: finalCode, final_reason: finalCode ? reasons[finalCode] : null, transport: index % 6 === 0 ? "TCP" : "UDP",
    signalling_src: `${phone}:5060`, signalling_dst: `${sbc}:5060`,
    first_at: iso(invite), last_at: iso(ended ?? mediaEnd), invite_at: iso(invite), ringing_at: kind === "noresponse" ? null : iso(invite + pdd),
    answered_at: answered === null ? null : iso(answered), ended_at: ended === null ? null : iso(ended),
    pdd_ms: kind === "noresponse" ? null : pdd, setup_ms: answered === null ? null : answered - invite, duration_ms: answered === null || ended === null ? null : ended - answered, sdd_ms: answered === null || ended === null ? null : 18,
    released_by: by, release_reason: by === "callee" && answered !== null ? 'Q.850;cause=16;text="Normal call clearing"' : "", reinvites: kind === "interrupted" ? 1 : 0,
    auth_rounds: index % 5 === 0 ? 1 : 0, retry_of: null, retransmissions: kind === "noresponse" ? 6 : index % 11 === 0 ? 1 : 0, sip_rtt_ms: { toward_caller: by === "callee" && answered !== null ? { samples: 1, min: 3.4, max: 3.4 } : null, toward_callee: kind === "noresponse" ? null : { samples: 2, min: 21.6, max: 34.2 } },
    messages: 0, branches: 1, acked: answered !== null, started_mid_call: false, shed: false,
    directions_seen: streams.length, stream_ids: streams.map((s) => s.id), codecs: streams.length > 0 ? [codec] : [],
    mos_worst: mos, mos_scale: scale, mos_worst_interval: mos === null ? null : { lq: mos, scale }, mos_worst_minute: worst ? { lq: worst.mos.worst_minute, scale } : null, mos_worst_minute_at: worst ? worst.first_at : null, class: klass,
    pdv_p95_worst_ms: most(streams.map((s) => s.delay_variation_ms.p95)), loss_pct_worst: most(streams.map((s) => s.loss_pct)),
    loss_source: kind === "capture" ? "capture" : streams.some((s) => s.lost > 0) ? "network" : "none",
    quality: {
      capture_drops: most(streams.map((s) => s.quality.capture_drops)) ?? 0, duplicates_removed: streams.reduce((n, s) => n + s.quality.duplicates_removed, 0),
      one_sided: streams.length === 1, snap_cut: false, started_mid_call: false, shed: false, clock_steps: 0, timestamp_source: "kernel", timestamp_resolution_ns: 1000, timestamp_fault: "none", timestamp_error_ms: 0, sampled_one_of: null,
      loss_source: kind === "capture" ? "capture" : streams.some((s) => s.lost > 0) ? "network" : "none", loss_evidence: streams.map((s) => s.quality.loss_evidence).find((e) => e !== null) ?? null,
      loss_attribution: attribution(streams.reduce((n, s) => n + s.lost, 0), streams.map((s) => s.quality.loss_evidence).find((e) => e !== null) ?? null),
    },
    diagnosis: diagnoses[0]?.code ?? null, diagnoses, badness: badnessOf(klass, diagnoses[0]?.code, mos), probe: "span-1", site, trunk,
  };
  const ladder = makeLadder({ call, kind, phone, sbc, far, a, b, codec, random });
  call.messages = ladder.length;
  return { call, streams, intervals, ladder, messages_withheld: false, rtcp, truncated: false };
}

/** Failed calls first, those without media at their head, then by MOS. */
function badnessOf(klass, code, mos) {
  if (klass === "failed") return ["no_media", "one_way_media"].includes(code) ? 1000 : 950;
  return mos === null ? 0 : Math.round((900 * (5 - mos)) / 4);
}

function kindOf(dice, index) {
  if (index === 5) return "bursty";
  const table = [[0.03, "bursty"], [0.05, "random"], [0.075, "jitter"], [0.085, "reorder"], [0.1, "oneway"], [0.108, "nomedia"], [0.12, "capture"], [0.13, "interrupted"], [0.145, "slow"], [0.19, "failed"], [0.225, "cancelled"], [0.232, "noresponse"], [0.27, "codec"]];
  return table.find(([limit]) => dice < limit)?.[1] ?? "clean";
}

function party(user, host, name, agent) {
  return { uri: `${user}@${host}`, user, name, agent };
}

function makeStream({ random, hex, id, callId, src, dst, codec, from, to, impaired, site, trunk, oneSided }) {
  const [scale, ie, bpl, clock] = CODES[codec];
  const rows = [];
  const step = 10_000;
  const worstAt = 0.25 + random() * 0.5;
  for (let at = Math.floor(from / step) * step; at < to; at += step) {
    const start = Math.max(at, from);
    const length = Math.min(at + step, to) - start;
    const expected = Math.floor(length / 20);
    if (expected < 1) continue;
    const where = (at - from) / Math.max(to - from, 1);
    const near = Math.exp(-(((where - worstAt) / 0.16) ** 2));
    if (impaired === "interrupted" && where > 0.4 && where < 0.62) continue;
    const lossShare = impaired === "bursty" ? near * (0.08 + random() * 0.12) : impaired === "random" ? 0.015 + random() * 0.03 : impaired === "capture" && near > 0.6 ? 0.03 : random() < 0.04 ? 0.002 : 0;
    const lost = Math.min(expected, Math.round(expected * lossShare));
    const run = lost === 0 ? 0 : impaired === "bursty" ? Math.min(lost, 4 + Math.floor(random() * 16)) : Math.min(lost, 1 + Math.floor(random() * 2));
    const spread = impaired === "jitter" ? 18 + near * 130 : impaired === "bursty" ? 3 + near * 30 : impaired === "reorder" ? 12 : 1.2;
    const p50 = spread * (0.25 + random() * 0.1);
    const p95 = spread * (0.9 + random() * 0.5);
    const p99 = p95 * (1.2 + random() * 0.4);
    const max = p99 * (1.1 + random() * (impaired === "jitter" ? 1.4 : 0.6));
    const jitter = spread * (0.3 + random() * 0.12);
    const effective = (100 * lost) / expected + (impaired === "jitter" ? near * 9 : 0);
    const r = rating(scale, ie, bpl, effective, run > 3 ? 2.2 : 1);
    const mos = mosOf(r / SCALE_TOP[scale] * 100);
    const runs = {};
    if (lost > 0) add(runs, run, Math.max(1, Math.round(lost / run)));
    const evidence = lost === 0 ? null : impaired === "capture" ? "capture_drops" : impaired === "bursty" ? "receiver_lost_them" : null;
    rows.push({
      ...lossFigures({ lost, expected, runs, bursty: impaired === "bursty", ptimeMs: 20 }), ...delayFigures({ p50, p95, p99, max }),
      loss_runs: runs, late_pct: Object.fromEntries(LATE_BUFFERS.map((buffer) => [buffer, late({ p50, p95, p99, max }, buffer)])), digits: 0, talkspurts: 1, silence_ms: 0,
      r_budget: length < 1000 ? null : budgetOf(BEST_R[scale], ie, r, (100 * lost) / expected, effective - (100 * lost) / expected), mos_bounds: impaired === "capture" && lost > 0 ? [mos, 4.4] : null,
      mos_model: MODELS[scale], ie, bpl, burst_ratio: run > 3 ? 2.2 : 1, effective_loss_pct: effective, codec_status: codec === "opus" ? "estimate" : "standard", delay_source: null, delay_ms: null, jitter_buffer: "adaptive", jitter_buffer_ms: 60, mos_beyond_model: run > 3 && effective >= 2,
      one_sided: oneSided, snap_cut: false, started_mid_call: false, clock_steps: 0, timestamp_source: "kernel", timestamp_resolution_ns: 1000, timestamp_fault: "none", timestamp_error_ms: 0, sampled_one_of: null, loss_evidence: evidence, loss_attribution: attribution(lost, evidence),
      start_at: iso(start), length_ms: Math.round(length), packets: expected - lost, unique: expected - lost, expected, lost, longest_loss_run: run,
      reordered: impaired === "reorder" ? Math.round(expected * 0.03) : 0, reorder_extent: impaired === "reorder" ? 4 : 0, duplicates_probe: 0, duplicates_network: 0, restarts: 0,
      jitter_ms: { last: jitter * 0.9, mean: jitter, max: jitter * 1.5 }, delay_variation_ms: { p50, p95, p99, p999: p99 + (max - p99) * 0.6, max }, max_gap_ms: 20 + run * 20 + max, drift_ppm: null,
      r, mos_lq: length < 1000 ? null : mos, mos_cq: null, mos_scale: length < 1000 ? null : scale, mos_reason_null: length < 1000 ? "too_few_packets" : null,
      capture_drops: impaired === "capture" && lost > 0 ? 41 : 0, loss_source: lost === 0 ? "none" : impaired === "capture" ? "capture" : "network",
    });
  }
  const sum = (pick) => rows.reduce((total, row) => total + pick(row), 0);
  const expected = sum((r) => r.expected);
  const lost = sum((r) => r.lost);
  const rated = rows.filter((r) => r.mos_lq !== null);
  const runs = {};
  for (const row of rows) if (row.lost > 0) add(runs, row.longest_loss_run, Math.max(1, Math.round(row.lost / Math.max(row.longest_loss_run, 1))));
  const dv = { p50: mean(rows, (r) => r.delay_variation_ms.p50), p95: most(rows.map((r) => r.delay_variation_ms.p95)), p99: most(rows.map((r) => r.delay_variation_ms.p99)), p999: most(rows.map((r) => r.delay_variation_ms.p999)), max: most(rows.map((r) => r.delay_variation_ms.max)) };
  const whole = rated.length === 0 ? null : mean(rated, (r) => r.r);
  const lossPct = expected > 0 ? (100 * lost) / expected : 0;
  const bounds = impaired === "capture" && lost > 0 && whole !== null ? [mosOf((whole / SCALE_TOP[scale]) * 100), mosOf(((BEST_R[scale] - ie) / SCALE_TOP[scale]) * 100)] : null;
  const row = {
    ...lossFigures({ lost, expected, runs, bursty: impaired === "bursty", ptimeMs: 20 }), ...delayFigures(dv), strays: 0, telephone_events: 0, comfort_noise: 0, digits: 0, talkspurts: 1, silence_ms: 0,
    remote: null, r_budget: whole === null ? null : budgetOf(BEST_R[scale], ie, whole, lossPct, impaired === "jitter" ? 3 : 0),
    id: hex(16), call_id: callId, call: id, src, dst, ssrc: `0x${hex(8)}`, codec, clock_rate: clock, clock_source: codec === "PCMU" || codec === "PCMA" ? "static" : "sdp", clock_rate_signalled: null,
    ...payloadTypes({ PCMU: 0, PCMA: 8, G729: 18, G722: 9, opus: 111 }[codec], expected - lost, random() < 0.3 ? 12 : 0), ptime_ms: 20,
    first_at: rows[0]?.start_at ?? iso(from), last_at: iso(to), packets: expected - lost, unique: expected - lost, expected, lost, loss_pct: expected > 0 ? (100 * lost) / expected : null,
    ...copies(random() < 0.2 ? 211 : 0), reordered: sum((r) => r.reordered), reorder_extent: impaired === "reorder" ? 4 : 0, restarts: 0, sent_elsewhere: 0,
    loss_runs: runs, longest_loss_run: most(rows.map((r) => r.longest_loss_run)) ?? 0,
    jitter_ms: { last: rows.at(-1)?.jitter_ms.last ?? null, mean: mean(rows, (r) => r.jitter_ms.mean), max: most(rows.map((r) => r.jitter_ms.max)) }, delay_variation_ms: dv,
    late_pct: Object.fromEntries(LATE_BUFFERS.map((buffer) => [buffer, dv.p99 === null ? null : late(dv, buffer)])),
    max_gap_ms: most(rows.map((r) => r.max_gap_ms)), drift_ppm: to - from > 30_000 ? (random() - 0.5) * 60 : null, dscp: random() < 0.8 ? 46 : 0, dscp_changes: 0, ttl: [61, 61], vlan: 210, tunnel: null,
    rtt_ms: null, r: whole,
    mos: { lq: whole === null ? null : mosOf((whole / SCALE_TOP[scale]) * 100), cq: null, scale: whole === null ? null : scale, worst_interval: rated.length === 0 ? null : Math.min(...rated.map((r) => r.mos_lq)), worst_minute: rated.length === 0 ? null : mean(rated, (r) => r.mos_lq), worst_minute_at: rated.length === 0 ? null : rated[0].start_at, bounds, model: whole === null ? null : MODELS[scale], delay_ms: null, jitter_buffer: "adaptive", jitter_buffer_ms: 60, beyond_model: whole === null ? null : false, reason_null: whole === null ? "too_few_packets" : null, ie, bpl, burst_ratio: impaired === "bursty" ? 2.2 : 1, effective_loss_pct: expected > 0 ? (100 * lost) / expected : null, codec_status: codec === "opus" ? "estimate" : "standard", delay_source: null },
    quality: { capture_drops: impaired === "capture" ? 41 : 0, duplicates_removed: 0, one_sided: oneSided, snap_cut: false, started_mid_call: false, shed: false, clock_steps: 0, timestamp_source: "kernel", timestamp_resolution_ns: 1000, timestamp_fault: "none", timestamp_error_ms: 0, sampled_one_of: null, loss_evidence: lost === 0 ? null : impaired === "capture" ? "capture_drops" : impaired === "bursty" ? "receiver_lost_them" : null, loss_attribution: attribution(lost, impaired === "capture" ? "capture_drops" : impaired === "bursty" ? "receiver_lost_them" : null), loss_source: lost === 0 ? "none" : impaired === "capture" ? "capture" : "network" },
    probe: "span-1", site, trunk,
  };
  row.quality.duplicates_removed = row.duplicates_probe;
  return { row, intervals: rows };
}

/** The figures that a measured round trip adds: half of it, the buffer and a packet from mouth to ear. */
function withDelay({ rtt_ms, r_budget, mos, ...stream }) {
  mos.delay_source = "measured";
  mos.delay_ms = rtt_ms / 2 + mos.jitter_buffer_ms + stream.ptime_ms;
  r_budget.delay = 0.006 * mos.delay_ms;
  const left = Math.max(0, r_budget.clean_max - r_budget.codec - r_budget.loss - r_budget.late - r_budget.delay);
  mos.cq = mosOf((left / SCALE_TOP[mos.scale]) * 100);
}

function late(dv, buffer) {
  if (buffer >= dv.max) return 0;
  return buffer < dv.p50 ? 50 : buffer < dv.p95 ? 8 : buffer < dv.p99 ? 2.4 : 0.4;
}

function rating(scale, ie, bpl, lossPct, burst) {
  const top = BEST_R[scale];
  return Math.max(0, top - ie - ((95 - ie) * lossPct) / (lossPct / burst + bpl));
}

/** G.107 annex B. */
function mosOf(r) {
  if (r <= 0) return 1;
  if (r >= 100) return 4.5;
  return Math.max(1, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6);
}

function classOf(mos) {
  return mos >= mosOf(80) ? "good" : mos >= mosOf(60) ? "fair" : "poor";
}

/** A diagnosis lowers the class of the MOS. */
function lowered(diagnoses, klass) {
  const codes = diagnoses.map(({ code }) => code);
  if (codes.includes("media_interrupted")) return "poor";
  return codes.some((code) => !["capture_loss"].includes(code)) && klass !== "poor" ? "fair" : klass;
}

function diagnose(kind, { random, pdd, streams, callee }) {
  const bad = [...streams].sort((x, y) => (y.loss_pct ?? 0) - (x.loss_pct ?? 0))[0];
  const way = bad ? `${bad.src} → ${bad.dst}` : "";
  const confidence = 0.7 + random() * 0.29;
  const one = (code, evidence, sure = confidence) => ({ code, confidence: sure, evidence });
  switch (kind) {
    case "bursty": return [one("bursty_loss", `${bad.loss_pct.toFixed(2)} % of ${bad.expected} packets lost in runs of up to ${bad.longest_loss_run} (${way}); the other direction lost none`), one("high_delay_variation", `p95 of delay variation ${bad.delay_variation_ms.p95.toFixed(0)} ms in the same intervals, ahead of the loss: a filling queue`, 0.64)];
    case "random": return [one("random_loss", `${bad.loss_pct.toFixed(2)} % lost one by one over the whole call (${way}), longest run ${bad.longest_loss_run}`)];
    case "jitter": return [one("high_delay_variation", `p95 ${most(streams.map((s) => s.delay_variation_ms.p95)).toFixed(0)} ms; a 60 ms buffer would discard 8 % of the packets`)];
    case "reorder": return [one("reordering", "3.0 % of the packets came up to 4 places late; nothing was lost")];
    case "oneway": return [one("one_way_media", `no RTP towards ${streams[0].src} during the whole call, ${streams[0].packets} packets the other way`, 0.93)];
    case "nomedia": return [one("no_media", "answered, and no RTP to or from the addresses of SDP", 0.88)];
    case "capture": return [one("capture_loss", "41 frames dropped by the probe in the intervals that show loss; 14 other streams lost packets at the same moment", 0.9)];
    case "interrupted": return [one("media_interrupted", `RTP stopped after a re-INVITE and came back ${(8 + random() * 30).toFixed(0)} s later (${way})`, 0.86)];
    case "slow": return [one("slow_setup", `${(pdd / 1000).toFixed(1)} s from INVITE to the first ring; 100 Trying came after 0.1 s`, 0.95)];
    case "failed": return [one("setup_failed", "", 1)];
    case "noresponse": return [one("no_response", `7 INVITEs to ${callee.uri.split("@")[1]}:5060 and nothing came back`, 0.97)];
    case "codec": return [one("low_quality_codec", "G729 gives at most MOS 4.1 on this scale; loss and delay variation are low", 0.99)];
    default: return [];
  }
}

function makeLadder({ call, kind, phone, sbc, far, a, b, codec, random }) {
  const list = [];
  const p = `${phone}:5060`;
  const s = `${sbc}:5060`;
  const t0 = Date.parse(call.first_at);
  const pt = { PCMU: 0, PCMA: 8, G729: 18, G722: 9, opus: 111 }[codec];
  const rate = codec === "opus" ? "48000/2" : "8000";
  const sdp = (at) => `v=0\r\no=- 1741 1 IN IP4 ${ip(at)}\r\ns=-\r\nc=IN IP4 ${ip(at)}\r\nt=0 0\r\nm=audio ${at.split(":")[1]} RTP/AVP ${pt} 101\r\na=rtpmap:${pt} ${codec}/${rate}\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n`;
  const add = (at, src, dst, method, cseq, status, reason, body = "", retransmission = false) => {
    const first = status ? `SIP/2.0 ${status} ${reason}` : `${method} sip:${call.callee.user}@${ip(dst)} SIP/2.0`;
    const headers = [first, `Via: SIP/2.0/${call.transport} ${p};branch=z9hG4bK${cseq}f31a7`, "Max-Forwards: 70", `From: "${call.caller.name}" <sip:${call.caller.uri}>;tag=8fa1`, `To: <sip:${call.callee.uri}>${status && status > 100 ? ";tag=c07e" : ""}`, `Call-ID: ${call.call_id}`, `CSeq: ${cseq} ${method}`, status ? `Server: ${call.callee.agent}` : `User-Agent: ${call.caller.agent}`, ...(body ? ["Content-Type: application/sdp"] : []), `Content-Length: ${body.length}`, ""].join("\r\n");
    list.push({ at: iso(at), src, dst, transport: call.transport, direction: status ? "response" : "request", method, status: status ?? null, reason: reason ?? null, cseq, retransmission, headers, sdp: body, cut_short: false });
  };
  let cseq = 1;
  let at = t0;
  if (kind === "noresponse") {
    for (const delay of [0, 500, 1500, 3500, 7500, 15500, 31500]) add(t0 + delay, p, s, "INVITE", 1, null, null, sdp(a), delay > 0);
    return list;
  }
  if (call.auth_rounds > 0) {
    add(at, p, s, "INVITE", cseq, null, null, sdp(a));
    add(at + 12, s, p, "INVITE", cseq, 407, "Proxy Authentication Required");
    add(at + 18, p, s, "ACK", cseq, null, null);
    cseq++;
    at += 24;
  }
  const f = `${far}:5060`;
  add(at, p, s, "INVITE", cseq, null, null, sdp(a));
  add(at + 4, s, p, "INVITE", cseq, 100, "Trying");
  add(at + 9, s, f, "INVITE", cseq, null, null, sdp(a));
  if (call.retransmissions > 0) add(at + 509, s, f, "INVITE", cseq, null, null, sdp(a), true);
  const ring = Date.parse(call.ringing_at);
  if (kind === "failed") {
    add(ring - 3, f, s, "INVITE", cseq, call.final_code, call.final_reason);
    add(ring, s, p, "INVITE", cseq, call.final_code, call.final_reason);
    add(ring + 6, p, s, "ACK", cseq, null, null);
    return list;
  }
  add(ring - 3, f, s, "INVITE", cseq, 180, "Ringing");
  add(ring, s, p, "INVITE", cseq, 180, "Ringing");
  if (call.answered_at === null) {
    const end = Date.parse(call.ended_at);
    add(end - 20, p, s, "CANCEL", cseq, null, null);
    add(end - 15, s, p, "CANCEL", cseq, 200, "OK");
    add(end, s, p, "INVITE", cseq, 487, "Request Terminated");
    add(end + 5, p, s, "ACK", cseq, null, null);
    return list;
  }
  const up = Date.parse(call.answered_at);
  add(up - 3, f, s, "INVITE", cseq, 200, "OK", sdp(b));
  add(up, s, p, "INVITE", cseq, 200, "OK", sdp(b));
  add(up + 14, p, s, "ACK", cseq, null, null);
  add(up + 17, s, f, "ACK", cseq, null, null);
  if (call.reinvites > 0 && call.duration_ms) {
    const mid = up + call.duration_ms * 0.4;
    add(mid, p, s, "INVITE", cseq + 1, null, null, sdp(a));
    add(mid + 30, s, p, "INVITE", cseq + 1, 200, "OK", sdp(b));
    add(mid + 42, p, s, "ACK", cseq + 1, null, null);
    cseq++;
  }
  if (call.ended_at !== null) {
    const end = Date.parse(call.ended_at);
    const [from, to] = call.released_by === "caller" ? [p, s] : [s, p];
    add(end, from, to, "BYE", cseq + 1, null, null);
    add(end + 9 + random() * 5, to, from, "BYE", cseq + 1, 200, "OK");
  }
  return list;
}

function most(values) {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? Math.max(...known) : null;
}

function mean(rows, pick) {
  return rows.length > 0 ? rows.reduce((sum, row) => sum + pick(row), 0) / rows.length : null;
}

function add(counts, run, n) {
  const lower = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 50, 100, 500];
  const bin = lower.findLastIndex((low) => low <= run);
  const name = bin < 9 ? String(lower[bin]) : lower[bin + 1] ? `${lower[bin]}-${lower[bin + 1] - 1}` : `${lower[bin]}+`;
  counts[name] = (counts[name] ?? 0) + n;
}

/** Whose loss is whose: by the evidence, a tenth of it undecided. */
function attribution(lost, evidence) {
  const undecided = evidence === null ? 0 : Math.floor(lost / 10);
  const told = lost - undecided;
  const capture = evidence === "capture_drops" ? told : 0;
  return { capture, network: told - capture, undecided, evidence: evidence === null || lost === 0 ? {} : { [evidence]: told } };
}
