// What an endpoint reports as lost since its start, against what the probe counted up to the same moment.

import { epochMs } from "../format";
import type { CallDetail, RtcpRow } from "../types";

/** The probe's count by some moment. Its rows tell it per interval, so it lies between two sums. */
export interface LostByThen {
  least: number;
  most: number;
  /** Copies made by the network: a receiver takes them off its count (RFC 3550 A.3). */
  copies: number;
}

/** The probe books a number as lost when it is this many behind the highest. */
const BOOKED_AFTER_PACKETS = 100;
const USUAL_PTIME_MS = 20;
const TOLERANCE_PACKETS = 5;
const TOLERANCE_SHARE = 0.2;

/** Null where the two do not count the same packets: start not seen, sender restarted or sent elsewhere, rows missing. */
export function lostByThen(detail: CallDetail, row: RtcpRow): LostByThen | null {
  const stream = detail.streams.find((each) => each.id === row.stream);
  const rows = stream ? (detail.intervals[stream.id] ?? []) : [];
  if (!stream || rows.length === 0 || detail.truncated) return null;
  if (stream.quality.started_mid_call || stream.restarts > 0 || stream.sent_elsewhere > 0) return null;
  if (rows.reduce((sum, each) => sum + each.lost, 0) !== stream.lost) return null;
  const at = epochMs(row.at);
  const booked = at + BOOKED_AFTER_PACKETS * (stream.ptime_ms ?? USUAL_PTIME_MS);
  const sum = { least: 0, most: 0, copies: 0 };
  for (const each of rows) {
    const start = epochMs(each.start_at);
    if (start + each.length_ms <= at) sum.least += each.lost;
    if (start <= booked) sum.most += each.lost;
    if (start <= at) sum.copies += each.duplicates_network;
  }
  return sum;
}

/** A claim only where the counts differ by more than their spans and 20 %, at least 5 packets, allow. */
export function compared(row: RtcpRow, ours: LostByThen | null): "behind" | "unreported" | null {
  const theirs = row.cumulative_lost;
  if (theirs === null || ours === null || row.implausible !== null) return null;
  const room = (count: number): number => Math.max(TOLERANCE_PACKETS, TOLERANCE_SHARE * count);
  if (theirs - ours.most > room(theirs)) return "behind";
  if (ours.least - ours.copies - theirs > room(ours.least)) return "unreported";
  return null;
}

/** A mirror port delivers the same report twice within microseconds; an endpoint never sends two that soon. */
const COPY_MS = 20;

/** Reports in the order of time without repeats. */
export function withoutCopies(rows: RtcpRow[]): RtcpRow[] {
  const last = new Map<string, number>();
  return rows.filter((row) => {
    const { at, ...content } = row;
    const key = JSON.stringify({ ...content, rtt_probe_reporter_ms: null });
    const before = last.get(key);
    const now = epochMs(at);
    last.set(key, now);
    return before === undefined || now - before > COPY_MS;
  });
}
