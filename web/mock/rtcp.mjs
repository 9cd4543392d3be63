// What the receivers of the mock world report, and the view of each stream that follows from it.

import { ip, iso } from "./figures.mjs";

/** Fewer packets are within what reports and probe count differently. */
const ENOUGH = 3;

/** Reports of every stream in the order of time. Sets the `remote` and `rtt_ms` of the streams they are about. */
export function makeRtcp(streams, intervals, random) {
  const out = [];
  const habits = streams.map((stream) => habitOf(stream, random()));
  const halves = streams.map(() => 4 + random() * 30);
  streams.forEach((stream, n) => {
    const habit = habits[n];
    const back = streams.find((other) => other.src === stream.dst);
    const from = { src: rtcpPort(stream.dst), dst: rtcpPort(stream.src), reporter_ssrc: back?.ssrc ?? "0x00c0ffee", about_ssrc: stream.ssrc, stream: stream.id, voip: null, vq: null, implausible: null };
    const heard = { expected: 0, lost: 0, before: 0 };
    const reports = [];
    for (const row of habit === "silent" ? [] : intervals[stream.id]) {
      if (habit === "once" && reports.length > 0) break;
      const behind = habit === "behind" ? Math.round(row.expected * 0.04) : 0;
      const before = habit === "got" ? 0 : row.lost;
      heard.expected += row.expected;
      heard.before += row.lost;
      heard.lost += before + behind;
      const odd = random() < 0.01;
      const report = {
        ...from, at: iso(Date.parse(row.start_at) + row.length_ms * 0.9), kind: back ? "sender_report" : "receiver_report",
        fraction_lost_pct: odd ? 99.6 : row.expected > 0 ? (100 * (before + behind)) / row.expected : 0, cumulative_lost: odd ? 8388607 : heard.lost, jitter_ms: (row.jitter_ms.mean ?? 0) * (0.9 + random() * 0.4),
        rtt_probe_reporter_ms: reports.length > 0 && !odd ? halves[n] : null, sent_packets: back ? 50 * (reports.length + 1) * 10 : null, implausible: odd ? "more packets lost than were sent" : null,
      };
      reports.push({ row: report, ...heard });
      out.push(report);
    }
    stream.remote = viewOf(reports);
    if (["before_probe", "both"].includes(stream.remote?.loss_side)) stream.quality.loss_evidence = "receiver_lost_them";
    out.push(...measurements(stream, intervals[stream.id].at(-1), from, habit, random));
  });
  const known = streams.length === 2 && streams.every((stream) => stream.remote !== null);
  for (const stream of streams) stream.rtt_ms = known ? halves[0] + halves[1] : null;
  return out.sort((x, y) => (x.at < y.at ? -1 : 1));
}

/** Loss whose evidence comes from reports has a receiver that reports. */
function habitOf({ quality }, dice) {
  if (quality.loss_source === "capture") return "got";
  if (quality.loss_evidence !== null) return dice < 0.4 ? "behind" : "regular";
  return dice < 0.15 ? "silent" : dice < 0.2 ? "once" : dice < 0.3 ? "behind" : "regular";
}

/** First report to last, as the engine compares them. */
function viewOf(reports) {
  const [first, last] = [reports[0], reports.at(-1)];
  const believed = reports.filter(({ row }) => row.implausible === null);
  const expected = reports.length > 1 ? last.expected - first.expected : 0;
  if (expected === 0 || believed.length === 0) return null;
  const lost = last.lost - first.lost;
  const before = last.before - first.before;
  const behind = lost - before;
  const side =
    before >= ENOUGH && behind >= ENOUGH && behind >= before / 4 && before >= behind / 4 ? "both"
    : behind >= ENOUGH && behind > before ? "behind_probe"
    : before >= ENOUGH ? (behind > -Math.max(ENOUGH, before / 2) ? "before_probe" : "capture")
    : "none";
  const jitters = believed.map(({ row }) => row.jitter_ms);
  return { reports: reports.length, expected, lost, loss_pct: (100 * lost) / expected, jitter_last_ms: jitters.at(-1), jitter_max_ms: Math.max(...jitters), lost_before_probe: before, lost_behind_probe: behind, loss_side: side };
}

/** Half of the reporting endpoints send XR VoIP metrics, some of those a report by SIP too, one in five of which no one can believe. */
function measurements(stream, last, from, habit, random) {
  if (!last || habit === "silent" || habit === "once" || random() >= 0.5) return [];
  const none = { fraction_lost_pct: null, cumulative_lost: null, jitter_ms: null, rtt_probe_reporter_ms: null, sent_packets: null };
  const lossPct = stream.remote?.loss_pct ?? stream.loss_pct;
  const mosLq = stream.mos.lq === null ? null : Math.max(1, Math.round(10 * (stream.mos.lq - (habit === "behind" ? 0.6 : 0.1))) / 10);
  const voip = { loss_pct: lossPct, discard_pct: 0.8, r: 84, mos_lq: mosLq, mos_cq: null, round_trip_ms: 62, end_system_ms: 80, burst_ms: 0, gap_ms: 9000, jb_nominal_ms: 60, burst_density_pct: 0, gap_density_pct: 0.4, gmin: 16, signal_dbm: -18, noise_dbm: -62, rerl_db: 55, external_r: null, rx_config: 0xe4, jb_maximum_ms: 120, jb_absolute_maximum_ms: 200 };
  const xr = { ...from, ...none, at: last.start_at, kind: "voip_metrics", voip };
  if (random() < 0.5) return [xr];
  const doubted = random() < 0.4;
  const more = { side: "local", start_at: stream.first_at, stop_at: stream.last_at, one_way_delay_ms: null, symmetric_one_way_delay_ms: 71, interarrival_jitter_ms: 4, mean_absolute_jitter_ms: 6, r_cq: 82, external_r_out: null, described: { Report: "VQSessionReport: CallTerm", PD: "PCMA" } };
  const vq = { ...from, ...none, at: stream.last_at, kind: "vq_report", voip: { ...voip, mos_lq: doubted ? null : mosLq, burst_ms: null }, vq: more, implausible: doubted ? "MOSLQ out of range" : null };
  return [xr, vq];
}

function rtcpPort(endpoint) {
  return `${ip(endpoint)}:${Number(endpoint.split(":")[1]) + 1}`;
}
