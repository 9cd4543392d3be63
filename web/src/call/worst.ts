// The worst interval of a stream or call, and what made it so: a MOS of 1.00 alone does not tell.

import { ms, percent } from "../format";
import type { CallDetail, IntervalRow, StreamRow } from "../types";

const SAME_MOS = 0.01;

/** The interval the stream's lowest MOS belongs to; null where its row is no longer stored. */
export function worstInterval(stream: StreamRow, intervals: IntervalRow[]): IntervalRow | null {
  const lowest = stream.mos.worst_interval;
  if (lowest === null) return null;
  return intervals.find((row) => row.mos_lq !== null && Math.abs(row.mos_lq - lowest) < SAME_MOS) ?? null;
}

/** The worst interval of the stream that has the call's worst minute. */
export function worstOf({ call, streams, intervals }: CallDetail): IntervalRow | null {
  const lowest = call.mos_worst;
  if (lowest === null) return null;
  const stream = streams.find((each) => each.mos.worst_minute !== null && Math.abs(each.mos.worst_minute - lowest) < SAME_MOS);
  return stream ? worstInterval(stream, intervals[stream.id] ?? []) : null;
}

/** Delay variation that a small jitter buffer does not absorb. */
const TELLING_P95_MS = 20;

/** Its loss, or without loss its delay variation where that can matter. */
export function whatSpoilt(row: IntervalRow): string {
  if (row.expected > 0 && row.lost > 0) return `${percent((100 * row.lost) / row.expected)} loss in that interval`;
  const { p95 } = row.delay_variation_ms;
  return p95 !== null && p95 >= TELLING_P95_MS ? `no loss then, p95 ${ms(p95)}` : "";
}
