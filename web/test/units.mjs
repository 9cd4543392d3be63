// The page's pure functions: text from figures, what a typed text means, directions and filters of a call.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createServer } from "vite";
import { render } from "../metrics-page.js";
import { makeWorld } from "../mock/data.mjs";
import { completeDetail } from "../mock/nullable.mjs";
import { alertHistory, alerts, evaluations, outcomes } from "../mock/server.mjs";
import { breaches } from "./contract.mjs";

let vite;
let format;
let query;
let ways;
let words;
let compare;
let budget;
let sizes;
let receiver;
let rights;

before(async () => {
  vite = await createServer({ server: { middlewareMode: true, hmr: false, ws: false }, appType: "custom", logLevel: "error", optimizeDeps: { noDiscovery: true } });
  [format, query, ways, words, compare, budget, sizes, receiver, rights] = await Promise.all(["/src/format.ts", "/src/calls/query.ts", "/src/call/directions.ts", "/src/words.ts", "/src/call/compare.ts", "/src/call/budget.ts", "/src/call/sizes.ts", "/src/call/receiver.ts", "/src/session/rights.ts"].map((file) => vite.ssrLoadModule(file)));
});

after(() => vite?.close());

const plain = (text) => text.replaceAll("\u202f", " ");

test("unknown is a dash and never zero; a share above zero never reads as zero", () => {
  assert.equal(format.ms(null), "–");
  assert.equal(format.percent(null), "–");
  assert.equal(format.number(undefined), "–");
  assert.equal(plain(format.percent(0)), "0 %");
  assert.equal(plain(format.percent(0.0004)), "<0.01 %");
  assert.equal(plain(format.percent(4.1667)), "4.17 %");
  assert.equal(plain(format.percent(100)), "100 %");
});

test("the R budget adds up to the clean maximum, and says when the delay is not in it", () => {
  const parts = { clean_max: 93.2, codec: 11, loss: 20, late: 2.2, delay: 5 };
  assert.deepEqual(budget.parts(parts).map(({ key, points }) => [key, Math.round(points * 10) / 10]), [["rest", 55], ["codec", 11], ["loss", 20], ["late", 2.2], ["delay", 5]]);
  assert.equal(budget.parts({ ...parts, loss: 90 })[0].points, 0, "never below nothing");
  const stream = (cq) => ({ mos: { cq, scale: "nb" } });
  assert.equal(budget.sentenceOf(parts, stream(2.9)), "38.2 of 93.2 points lost: R 55.0 (NB) is left");
  assert.equal(budget.sentenceOf({ ...parts, delay: 0, late: 0 }, stream(null)), "31.0 of 93.2 points lost: R 62.2 (NB) is left; without delay, which is unknown: no round trip over both halves was measured");
  assert.deepEqual([0, 4e-9, 0.03, 0.05, 12].map(budget.points), ["0", "0", "<0.1", "0.1", "12.0"]);
});

test("the side of the probe on which packets were lost, in words", () => {
  const said = (loss_side, lost_before_probe, lost_behind_probe, expected = 1000) => plain(words.lossSide({ loss_side, lost_before_probe, lost_behind_probe, expected }));
  assert.match(said("none", 1, 0), /^Under 3 packets lost upstream and downstream/);
  assert.equal(said("before_probe", 40, 0), "Upstream loss: 40 packets (4.00 %); downstream: none.");
  assert.match(said("before_probe", 40, 5), /downstream: 5 packets \(0.50 %\)/);
  assert.equal(said("behind_probe", 0, 1), "Downstream loss: 1 packet (0.10 %) between the probe and the receiver; upstream: none.");
  assert.match(said("behind_probe", 2, 30), /upstream: 2 packets \(0.20 %\)/);
  assert.equal(said("both", 10, 12), "Upstream loss: 10 packets (1.00 %); downstream: 12 packets (1.20 %).");
  assert.match(said("capture", 40, -38), /the receiver got 38 of the 40 packets \(4.00 %\) missing here/);
  assert.match(said(null, null, null, null), /do not show/);
  assert.match(said("both", null, 4, null), /an unknown number of packets; downstream: 4 packets/);
  for (const reports of [0, 1, 5]) assert.match(words.noRemote(reports), /downstream loss is unknown\.$/);
  assert.match(words.noRemote(0), /sends no RTCP/);
});

test("what speaks against a direction's figures is said, and nothing else is", () => {
  const stream = ({ lost = 0, lq = 4.1, bounds = null, reason_null = null, clock_source = "sdp", ...quality } = {}) => ({ lost, clock_source, mos: { lq, bounds, reason_null }, quality: { capture_drops: 0, started_mid_call: false, shed: false, one_sided: false, snap_cut: false, clock_steps: 0, timestamp_fault: "none", timestamp_error_ms: 0, sampled_one_of: null, loss_source: "none", loss_evidence: null, ...quality } });
  assert.deepEqual(words.missing(stream()), []);
  const clumped = stream({ timestamp_fault: "clumped", timestamp_error_ms: 19.69, bounds: [3.9, 4.1] });
  assert.deepEqual(words.missing(clumped), ["exact capture times: frames come in clumps, times are wrong by up to 19.7 ms; delay variation and late packets are not judged"]);
  assert.deepEqual(words.missing(stream({ timestamp_fault: "coarse", timestamp_error_ms: 1 })), ["exact capture times: the clock of the capture is coarse, times are wrong by up to 1.0 ms"]);
  assert.equal(words.timesWrongBy(stream({ timestamp_fault: null, timestamp_error_ms: null }).quality), null);
  assert.equal(words.boundsSentence(clumped), "3.90 if late packets were late, 4.10 without them: the times of the capture do not tell.");
  const sampled = stream({ lost: 30, loss_source: "capture", sampled_one_of: 4, loss_attribution: { capture: 30, network: 0, undecided: 0, evidence: { sampled_capture: 30 } } });
  assert.match(words.missing(sampled).join(), /^most packets: the capture sees one of 4, so loss and MOS are unknown$/);
  assert.equal(words.trustOf(sampled), "doubt");
  assert.equal(words.captureFinding("one_sided"), "one direction only");
  const all = words.missing(stream({ capture_drops: 1, started_mid_call: true, shed: true, one_sided: true, snap_cut: true, clock_steps: 2, clock_source: null }));
  assert.equal(all.length, 7);
  assert.match(all[0], /^1 frame that the probe dropped/);
  assert.match(words.missing(stream({ lost: 3, loss_source: "network" })).join(), /network is assumed/);
  assert.deepEqual(words.missing(stream({ lost: 3, loss_source: "network", loss_evidence: "receiver_lost_them" })), []);
  const levels = [{}, { lost: 2, loss_source: "network" }, { snap_cut: true }, { lost: 3, loss_source: "network" }, { one_sided: true }, { clock_source: "inferred" }, { capture_drops: 1 }, { lost: 1, loss_source: "suspected_capture", loss_evidence: "receiver_got_them" }];
  assert.deepEqual(levels.map((each) => words.trustOf(stream(each))), ["ok", "ok", "ok", "care", "care", "care", "doubt", "doubt"]);
  assert.match(words.lossSentence(stream()), /^Nothing is missing/);
  assert.match(words.lossSentence(stream({ lost: 3, loss_source: "network" })), /assumed; no corroborating RTCP/);
  const mixed = { capture: 5, network: 3, undecided: 0, evidence: { many_streams_at_once: 5 } };
  const both = stream({ lost: 8, loss_source: "suspected_capture", loss_evidence: "many_streams_at_once", loss_attribution: mixed });
  assert.match(words.lossSentence(both), /\. Packets: 5 by the capture, 3 in the network\.$/);
  assert.match(words.missing(both).join(), /5 packets that the capture lost/);
  const one = stream({ lost: 3, loss_source: "network", loss_attribution: { capture: 0, network: 3, undecided: 0, evidence: {} } });
  assert.doesNotMatch(words.lossSentence(one), /Packets:/);
  assert.equal(words.boundsSentence(stream({ lost: 9, bounds: [2.5, 4.1] })), "2.50 if all of the loss is the network's, 4.10 without what the capture may have lost.");
  assert.match(words.boundsSentence(stream({ lq: null, reason_null: "too_few_packets" })), /^– no MOS: fewer than 25 packets/);
  assert.match(words.boundsSentence(stream({ lost: 9, loss_source: "network" })), /counts as the network's; MOS 4.10/);
});

test("the smallest buffer below half a percent, and how it is said", () => {
  const found = (late) => {
    const all = sizes.sizesOf(late);
    return plain(words.bufferSentence(sizes.smallestEnough(all), all[0].size, all.at(-1).size, "0.5 %"));
  };
  assert.equal(found({ 200: 0, 20: 5.7, 40: 0.5, 60: 0.004 }), "The smallest buffer that stays below 0.5 % is 60 ms: <0.01 % too late.");
  assert.equal(found({ 20: 0, 40: 0 }), "A buffer of 20 ms, the smallest looked at, stays below 0.5 %: none is too late.");
  assert.equal(found({ 20: 40, 200: 0.5 }), "Not even a buffer of 200 ms stays below 0.5 % of packets too late.");
  assert.deepEqual([0, 0.01, 1, 100, 250].map(sizes.heightOf), [0, 0, 0.5, 1, 1]);
});

test("a half round trip no listed report proves is what the other leaves of the whole", () => {
  const row = (stream, reporter_ssrc, rtt, implausible = null) => ({ stream, reporter_ssrc, rtt_probe_reporter_ms: rtt, implausible });
  const stream = { id: "a", ssrc: "0x1", rtt_ms: 50 };
  const halves = (rtcp, of = stream) => receiver.halvesOf({ rtcp }, of);
  assert.deepEqual(halves([row("a", "0x2", 10), row("a", "0x2", 20), row("a", "0x2", 900, "no"), row("b", "0x1", 35)]), { toSender: 35, toReceiver: 15 });
  assert.deepEqual(halves([row("a", "0x2", 20)]), { toSender: 30, toReceiver: 20 });
  assert.deepEqual(halves([row("a", "0x2", 20)], { ...stream, rtt_ms: null }), { toSender: null, toReceiver: 20 });
  assert.deepEqual(halves([row("a", "0x2", 60)]), { toSender: null, toReceiver: 60 });
  assert.deepEqual(halves([]), { toSender: null, toReceiver: null });
});

test("reported loss holds since the report before; what is not believed is not drawn", () => {
  const row = (second, lost, more = {}) => ({ stream: "a", reporter_ssrc: "0x2", at: `2026-03-01T12:00:${second}Z`, voip: null, implausible: null, cumulative_lost: 0, fraction_lost_pct: lost, jitter_ms: lost / 10, ...more });
  const stream = { id: "a", first_at: "2026-03-01T12:00:00Z" };
  const start = Date.parse(stream.first_at) / 1000;
  const drawn = receiver.reportedOf({ rtcp: [row("05", 0), row("10", 99, { implausible: "no" }), row("15", 20), row("50", 3)] }, { streams: [stream] });
  assert.deepEqual(drawn.map((each) => [each.from - start, each.at - start, each.lossPct, each.jitterMs]), [[0, 5, 0, 0], [5, 15, 20, 2], [20, 50, 3, 0.3]]);
});

test("the mock server keeps to the contract, to every field", () => {
  const world = makeWorld({ calls: 200 });
  for (const detail of world) assert.deepEqual(breaches("DetailJson", detail).slice(0, 3), [], detail.call.id);
  const { mapdv2_ms, packets, ...less } = world[0].streams[0];
  assert.deepEqual(breaches("DetailJson", completeDetail({ ...world[0], streams: [less] })), ["DetailJson.streams[0].packets is missing"], "only what may be null is filled in");
  assert.deepEqual(breaches("AlertsJson", alerts()), []);
  assert.deepEqual(breaches("AlertHistoryJson", alertHistory()), []);
  assert.deepEqual(breaches("OutcomesJson", outcomes(world, new URLSearchParams({ group_by: "trunk" }))), []);
  assert.deepEqual(breaches("EvaluationsJson", evaluations(new URLSearchParams())), []);
  assert.ok(breaches("RemoteJson", { reports: "2" }).length > 1, "the check itself finds breaches");
  assert.equal(breaches("BudgetJson", { clean_max: 1, codec: 0, loss: 0, late: 0, delay: 0, more: 1 }).length, 1);
  const sides = new Set(world.flatMap(({ streams }) => streams.map(({ remote }) => remote?.loss_side ?? "unknown")));
  for (const side of ["none", "before_probe", "behind_probe", "capture", "unknown"]) assert.ok(sides.has(side), side);
});

test("whose loss it is comes with what speaks for it", () => {
  assert.match(words.lossBlame("network", null), /assumed; no corroborating RTCP/);
  assert.match(words.lossBlame("network", "receiver_lost_them"), /^in the network: the receiver.s RTCP agrees/);
  assert.match(words.lossBlame("suspected_capture", "receiver_got_them"), /^probably by the probe itself: .*received$/);
  assert.equal(words.lossBlame("capture", "some_new_reason").endsWith("some new reason"), true);
});

test("a cut line of evidence keeps its figures", () => {
  assert.equal(words.figuresFirst("203.0.113.6:17260 to [2001:db8::1]:17256: 8.2 % lost, 22 runs"), "8.2 % lost, 22 runs; 203.0.113.6:17260 to [2001:db8::1]:17256");
  assert.equal(words.figuresFirst("no answer to INVITE within 31.50 s"), "no answer to INVITE within 31.50 s");
});

test("numbers and lengths of time", () => {
  const table = [
    [format.number(9999), "9999"],
    [format.number(12345), "12 345"],
    [format.number(-0.2), "0"],
    [format.number(-1234567.8, 1), "−1 234 567.8"],
    [format.ms(0.361), "0.36 ms"],
    [format.ms(62.34), "62.3 ms"],
    [format.ms(999.4), "999 ms"],
    [format.ms(999.6), "1.00 s"],
    [format.ms(5521), "5.52 s"],
    [format.ms(31_500), "31.5 s"],
    [format.msList([0.13, null, 0.25]), "0.13 / – / 0.25 ms"],
    [format.msList([20, 1374.2]), "20.0 ms / 1.37 s"],
    [format.count(41_234), "41.2 k"],
    [format.count(3_100_000), "3.1 M"],
    [format.duration(420), "0.4 s"],
    [format.duration(42_000), "42.0 s"],
    [format.duration(59_960), "1:00"],
    [format.duration(187_000), "3:07"],
    [format.duration(3_765_000), "1:02:45"],
  ];
  for (const [got, wanted] of table) assert.equal(plain(got), wanted);
});

test("nanosecond times keep their milliseconds", () => {
  assert.equal(format.epochMs("2026-03-01T11:29:59.123456789Z"), Date.UTC(2026, 2, 1, 11, 29, 59) + 123.456789);
  assert.equal(format.clock("2026-03-01T11:29:59.999999999Z", true).slice(0, 8), "11:29:59");
  assert.equal(format.epochMs("2026-03-01T11:29:59Z"), Date.UTC(2026, 2, 1, 11, 29, 59));
});

test("typed moments are UTC", () => {
  const near = "2026-03-01T11:29:59Z";
  const table = [
    ["2026-03-01 14:00", "2026-03-01T14:00:00.000Z"],
    ["2026-03-01T14:00:05", "2026-03-01T14:00:05.000Z"],
    ["2026-03-02", "2026-03-02T00:00:00.000Z"],
    ["9:05", "2026-03-01T09:05:00.000Z"],
    ["09:05:07 UTC", "2026-03-01T09:05:07.000Z"],
    ["yesterday", null],
    ["2026-13-01", null],
    ["25:00", null],
    ["", null],
  ];
  for (const [typed, wanted] of table) assert.equal(format.parseMoment(typed, near), wanted, typed);
  assert.equal(format.parseMoment("9:05", null), null);
});

test("what a typed text is taken for", () => {
  const table = { "+49301234": "number", "1001": "number", alice: "number", "10.20.3": "address", "10.20.3.48:5060": "address", "2001:db8::5": "address", "[2001:db8::5]:5060": "address", "a84b4c76e66710@pc33.example.com": "call_id", "d243da46-9509-637c-d4a22cb1d036": "call_id", "3848276298220188511a": "call_id", "00493012345678901234": "number" };
  for (const [typed, wanted] of Object.entries(table)) assert.equal(query.guessKind(typed), wanted, typed);
});

test("half an address is not sent, a whole one or a network is", () => {
  const whole = ["10.20.3.48", "10.20.3.48:5060", "10.20.3.0/24", "2001:db8::5", "::1", "[2001:db8::5]:5060", "2001:db8::/32", "2001:db8:0:1:2:3:4:5"];
  const half = ["10.20.3", "10.20.3.", "10.20.3.48:", "10.20.3.0/", "10.20.3.256", "2001:db8:", "[2001:db8::5", "2001:db8:::5", "1:2:3:4:5:6:7:8:9"];
  for (const text of whole) assert.ok(query.searchable(text, "address"), text);
  for (const text of half) assert.ok(!query.searchable(text, "address"), text);
  assert.ok(query.searchable("10.20", "number"));
});

test("the address of the list takes and drops parameters", () => {
  const at = new URLSearchParams("codec=PCMA&sort=newest");
  assert.equal(query.changed(at, "/", { codec: null, number: "49" }), "/?sort=newest&number=49");
  assert.equal(query.changed(at, "/", { codec: "", sort: null }), "/");
  assert.equal(query.apiQuery(new URLSearchParams("codec=PCMA&sort=newest&figure=p95&number=%20")).toString(), "codec=PCMA");
});

test("directions are named from SDP, caller's first, for every call of the world", () => {
  let named = 0;
  for (const detail of makeWorld({ calls: 80 })) {
    if (detail.streams.length < 2) continue;
    const all = ways.directions(detail);
    assert.deepEqual(all.map(({ name }) => name), ["caller → callee", "callee → caller"]);
    assert.equal(all[0].streams[0].src.split(":")[0], detail.call.signalling_src.split(":")[0]);
    named++;
  }
  assert.ok(named > 20);
});

test("two streams at once between the same hosts are two lanes, one after the other is one", () => {
  const detail = makeWorld({ calls: 30 }).find(({ streams }) => streams.length === 2);
  const [first] = detail.streams;
  const twin = { ...first, id: "00000000000000aa", ssrc: "0x00000001", src: first.src.replace(/\d+$/, "40000") };
  assert.equal(ways.directions({ ...detail, streams: [...detail.streams, twin] }).length, 3);
  const later = { ...twin, first_at: first.last_at, last_at: "2026-03-01T23:00:00Z" };
  assert.equal(ways.directions({ ...detail, streams: [...detail.streams, later] }).length, 2);
});

test("media addresses of SDP: session and media level, IPv6, refused media left out", () => {
  const sdp = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\nm=video 5000 RTP/AVP 96\r\nm=audio 0 RTP/AVP 0\r\nm=audio 6000 RTP/AVP 8\r\nc=IN IP6 2001:db8::9\r\n";
  assert.deepEqual(ways.sdpEndpoints(sdp), ["192.0.2.1:4000", "[2001:db8::9]:6000"]);
});

test("the display filter quotes what comes from the wire and names each pair once", () => {
  const stream = (src, dst) => ({ src, dst });
  const filter = ways.displayFilter({ call: { call_id: 'a"b\\c' }, streams: [stream("10.0.0.1:4000", "10.0.0.2:5000"), stream("10.0.0.2:5000", "10.0.0.1:4000"), stream("[2001:db8::1]:4000", "[2001:db8::2]:4000")] });
  assert.equal(filter, 'sip.Call-ID == "a\\"b\\\\c" || (ip.addr == 10.0.0.1 && ip.addr == 10.0.0.2 && udp.port in {4000, 4001, 5000, 5001}) || (ipv6.addr == 2001:db8::1 && ipv6.addr == 2001:db8::2 && udp.port in {4000, 4001})');
  assert.equal(ways.shellWord("it's"), `'it'\\''s'`);
});

test("a percentile above the histogram says more than", () => {
  assert.equal(format.ms(4294.9673), ">4.29\u202fs");
  assert.equal(format.ms(4295.2), "4.30\u202fs");
});

test("the verdict of a call that was not answered is what people decided", () => {
  const title = (call) => words.verdict({ diagnoses: [], diagnosis: null, stream_ids: [], final_reason: "", ...call }).title;
  assert.equal(title({ class: "not_answered", state: "failed", final_code: 486 }), "Busy (486)");
  assert.equal(title({ class: "not_answered", state: "failed", final_code: 603 }), "Declined (603)");
  assert.equal(title({ class: "not_answered", state: "cancelled", final_code: 487 }), "Cancelled by caller");
  const failed = { class: "failed", state: "failed", final_code: 503, diagnoses: [{ code: "setup_failed", confidence: 1, evidence: "503 Service Unavailable" }] };
  assert.equal(title(failed), "Call failed (503)");
});

test("a receiver's count of lost packets is held only against ours over the same span", () => {
  const interval = (second, lost, more = {}) => ({ start_at: `2026-03-01T12:00:${second}Z`, length_ms: 10_000, lost, duplicates_network: 0, ...more });
  const detail = (more = {}) => ({
    truncated: false,
    streams: [{ id: "a", lost: 133, ptime_ms: 20, restarts: 0, sent_elsewhere: 0, quality: { started_mid_call: false }, ...more }],
    intervals: { a: [interval("00", 0), interval("10", 125), interval("20", 8)] },
  });
  const at = (second, cumulative_lost, more = {}) => ({ stream: "a", at: `2026-03-01T12:00:${second}Z`, cumulative_lost, fraction_lost_pct: 35.2, implausible: null, ...more });
  const said = (row, of = detail()) => compare.compared(row, compare.lostByThen(of, row));

  assert.deepEqual(compare.lostByThen(detail(), at("12.78", 81)), { least: 0, most: 125, copies: 0 });
  assert.equal(said(at("12.78", 81)), null, "in the middle of an interval with loss: anything up to 125 agrees");
  assert.deepEqual(compare.lostByThen(detail(), at("18.5", 125)), { least: 0, most: 133, copies: 0 }, "the next interval has what is booked late");
  assert.equal(said(at("12.78", 160)), "behind");
  assert.equal(said(at("12.78", 155)), null, "within 20 %");
  assert.equal(said(at("32", 100)), "unreported");
  assert.equal(said(at("32", 110)), null);
  assert.equal(said(at("05", 5)), null, "five packets are no claim");
  assert.equal(said(at("32", 900, { implausible: "more lost than sent" })), null);
  assert.equal(said(at("32", null)), null);
  for (const more of [{ restarts: 1 }, { sent_elsewhere: 3 }, { quality: { started_mid_call: true } }, { lost: 140 }]) {
    assert.equal(said(at("32", 900), detail(more)), null, `${JSON.stringify(more)}: not the same packets`);
  }
  const mirrored = [at("12.780400", 81), at("12.780900", 81), at("12.780900", 82), at("17.6", 81)];
  assert.deepEqual(compare.withoutCopies(mirrored), [mirrored[0], mirrored[2], mirrored[3]]);

  const copied = detail();
  copied.intervals.a[1].duplicates_network = 60;
  assert.equal(said(at("32", 80), copied), null, "copies made by the network lower the receiver's count");
});

test("a role has what is below it; nobody signed in has the least", () => {
  const of = (role, open = false) => Object.entries(rights.rightsOf({ signed_in: role !== null, open, role })).filter(([, may]) => may).map(([name]) => name);
  assert.deepEqual(of("viewer"), []);
  assert.deepEqual(of("operator"), ["calls", "silences"]);
  assert.deepEqual(of("investigator"), ["calls", "silences", "messages"]);
  assert.deepEqual(of("admin"), ["calls", "silences", "messages", "audit"]);
  assert.deepEqual(of("admin", true), of("admin"));
  assert.deepEqual(of(null), []);
  assert.deepEqual(of("a-later-role"), []);
  assert.deepEqual(Object.values(rights.rightsOf(null)), [false, false, false, false]);
});

test("another user, role or scope is another identity", () => {
  const base = { signed_in: true, open: false, user: "a", role: "operator", probes: null, trunks: ["x"] };
  const of = (more) => rights.identityOf({ ...base, ...more });
  assert.equal(of({ expires_at: "2026-03-01T00:00:00Z" }), of({}));
  const others = [{ user: "b" }, { role: "viewer" }, { probes: [] }, { trunks: null }, { signed_in: false }, { open: true }].map(of);
  assert.equal(new Set([of({}), ...others]).size, others.length + 1);
  assert.equal(rights.identityOf(null), "");
});

test("sign-in goes on at a page of this origin only", () => {
  const origin = "https://probe.example:8642";
  const to = (text) => rights.safeReturn(text, origin);
  assert.equal(to("/calls/0123456789abcdef?first_at=2026-03-01T14:03:07Z#x"), "/calls/0123456789abcdef?first_at=2026-03-01T14:03:07Z#x");
  for (const text of [null, "", "calls", "https://evil.example/", "//evil.example/", "/\\evil.example/", "/.//evil.example", "\\\\evil", "javascript:alert(1)", "/\t/evil.example", "/sign-in?return_to=/sign-in", "/api/v1/calls", "//"]) {
    assert.equal(to(text), "/", text);
  }
  const address = rights.oidcAddress("/api/v1", "/?trunk=a&b#c");
  assert.equal(new URL(address, origin).searchParams.get("return_to"), "/?trunk=a&b#c");
});

test("only known codes put words on the sign-in page", () => {
  assert.equal(rights.failureText(null), null);
  assert.match(rights.failureText("no_role"), /no role/);
  for (const code of ["call +1 555 0100 to unlock", "<b>", "constructor", "__proto__"]) assert.match(String(rights.failureText(code)), /^The sign-in did not succeed/, code);
});

test("every figure named on the page is explained in docs/metrics.md, at an anchor of its own", () => {
  const html = render(readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8"));
  const anchors = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(anchors).size, anchors.length, "an id twice");
  const src = new URL("../src/", import.meta.url).pathname;
  const named = readdirSync(src, { recursive: true })
    .filter((file) => file.endsWith(".tsx"))
    .flatMap((file) => [...readFileSync(src + file, "utf8").matchAll(/<(?:Term|Fact|Figure)[^>]* of="([^"]+)"/g)].map(([, name]) => name));
  assert.ok(named.length > 12, `${named.length} figures are named`);
  for (const name of [...named, "jitter", "reordered"]) assert.ok(anchors.includes(name), `#${name} is not in docs/metrics.md`);
  assert.doesNotMatch(html, / style=| on[a-z]+=|<script/, "the content security policy would refuse it");
});

test("the dashboards are those of their source", async () => {
  const { alertingText, dashboards, text } = await import("../../dashboards/source.mjs");
  assert.equal(readFileSync(new URL("../../dashboards/provisioning/alerting/auscult.yaml", import.meta.url), "utf8"), alertingText, "run node dashboards/source.mjs");
  const files = readdirSync(new URL("../../dashboards/", import.meta.url)).filter((name) => name.endsWith(".json"));
  assert.deepEqual(files.sort(), Object.keys(dashboards).sort());
  for (const [file, dashboard] of Object.entries(dashboards)) {
    assert.equal(readFileSync(new URL(`../../dashboards/${file}`, import.meta.url), "utf8"), text(dashboard), `${file}: run node dashboards/source.mjs`);
  }
});

test("the types of the page are those of the API's document", () => {
  const here = new URL("../types/", import.meta.url).pathname;
  const scratch = mkdtempSync(join(tmpdir(), "types-"));
  const made = (text) => {
    writeFileSync(join(scratch, "openapi.json"), text);
    execFileSync(join(here, "node_modules/.bin/openapi-typescript"), [join(scratch, "openapi.json"), "-o", join(scratch, "openapi.d.ts")], { stdio: "pipe" });
    return readFileSync(join(scratch, "openapi.d.ts"), "utf8");
  };
  const document = readFileSync(new URL("../../schemas/openapi.json", import.meta.url), "utf8");
  const committed = readFileSync(new URL("../src/openapi.d.ts", import.meta.url), "utf8");
  try {
    assert.equal(made(document) === committed, true, "src/openapi.d.ts is stale: run npm run generate in web/types");
    const changed = document.replace('"auth_rounds"', '"challenges"');
    assert.notEqual(changed, document);
    assert.equal(made(changed) === committed, false, "a document that changed gives other types");
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
