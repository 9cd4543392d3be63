// The receiver's side of one direction: what its RTCP and its own measurements say.

import { epochMs } from "../format";
import type { CallDetail, RtcpRow, StreamRow } from "../types";
import { withoutCopies } from "./compare";
import type { Direction } from "./directions";

/** One believable report on the time axis, in seconds. The loss holds since the report before. */
export interface Reported {
  from: number;
  at: number;
  lossPct: number | null;
  jitterMs: number | null;
}

/** No endpoint reports less often than this; before the first report the loss is drawn for no longer. */
const LONGEST_BETWEEN_S = 30;

export function reportsAbout(detail: CallDetail, stream: StreamRow): RtcpRow[] {
  return withoutCopies(detail.rtcp.filter((row) => row.stream === stream.id && row.voip === null && (row.cumulative_lost !== null || row.fraction_lost_pct !== null)));
}

/** Reports of the endpoint's own measurement: XR VoIP metrics and RFC 6035. */
export function measurementsAbout(detail: CallDetail, stream: StreamRow): RtcpRow[] {
  return withoutCopies(detail.rtcp.filter((row) => row.stream === stream.id && (row.voip !== null || MEASURED.has(row.kind))));
}

const MEASURED = new Set(["voip_metrics", "vq_report"]);

export function reportedOf(detail: CallDetail, direction: Direction): Reported[] {
  return direction.streams.flatMap((stream) => {
    const last = new Map<string, number>();
    return reportsAbout(detail, stream)
      .filter((row) => row.implausible === null)
      .map((row): Reported => {
        const at = epochMs(row.at) / 1000;
        const from = Math.max(last.get(row.reporter_ssrc) ?? epochMs(stream.first_at) / 1000, at - LONGEST_BETWEEN_S);
        last.set(row.reporter_ssrc, at);
        return { from: Math.min(from, at), at, lossPct: row.fraction_lost_pct, jitterMs: row.jitter_ms };
      });
  });
}

/** Mean round trips between the probe and the two ends of a stream. */
export interface Halves {
  toSender: number | null;
  toReceiver: number | null;
}

/** The whole is the sum of the two halves, so one that no listed report proves (RFC 3611 DLRR does) is what the other leaves of it. */
export function halvesOf(detail: CallDetail, stream: StreamRow): Halves {
  const half = (of: (row: RtcpRow) => boolean): number | null => {
    const known = detail.rtcp.flatMap((row) => (row.rtt_probe_reporter_ms !== null && row.implausible === null && of(row) ? [row.rtt_probe_reporter_ms] : []));
    return known.length > 0 ? known.reduce((sum, each) => sum + each, 0) / known.length : null;
  };
  const toReceiver = half((row) => row.stream === stream.id);
  const toSender = half((row) => row.reporter_ssrc === stream.ssrc && row.stream !== stream.id);
  const rest = (known: number | null): number | null => (stream.rtt_ms === null || known === null || stream.rtt_ms < known ? null : stream.rtt_ms - known);
  return { toSender: toSender ?? rest(toReceiver), toReceiver: toReceiver ?? rest(toSender) };
}
