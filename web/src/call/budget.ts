// The R budget as parts of one bar, and as a sentence.

import { number, scaleShort } from "../format";
import type { RBudget, StreamRow } from "../types";

export interface Part {
  key: "rest" | "codec" | "loss" | "late" | "delay";
  name: string;
  points: number;
}

/** What is left of the clean maximum first, then what each cause took. Their sum is the clean maximum, or more where the causes took more than there was. */
export function parts(budget: RBudget): Part[] {
  const rest = Math.max(0, budget.clean_max - budget.codec - budget.loss - budget.late - budget.delay);
  return [
    { key: "rest", name: "left", points: rest },
    { key: "codec", name: "codec", points: budget.codec },
    { key: "loss", name: "loss", points: budget.loss },
    { key: "late", name: "late packets", points: budget.late },
    { key: "delay", name: "delay", points: budget.delay },
  ];
}

/** Points between the clean maximum and what is left. */
export function distance(budget: RBudget): number {
  return budget.codec + budget.loss + budget.late + budget.delay;
}

/** The delay is in the budget only where a conversational MOS is. */
export function delayKnown(stream: StreamRow): boolean {
  return stream.mos.cq !== null;
}

/** `15.1 of 93.2 points lost: R 78.1 (NB) is left; without delay, which is unknown: no round trip over both halves was measured` */
export function sentenceOf(budget: RBudget, stream: StreamRow): string {
  const [rest] = parts(budget);
  const tail = delayKnown(stream) ? "" : "; without delay, which is unknown: no round trip over both halves was measured";
  return `${points(distance(budget))} of ${number(budget.clean_max, 1)} points lost: R ${number(rest?.points, 1)} (${scaleShort(stream.mos.scale)}) is left${tail}`;
}

/** A cost that is above zero never reads as zero, and rounding noise of the model never as a cost. */
export function points(value: number): string {
  if (value < NOISE) return "0";
  return value < 0.05 ? "<0.1" : number(value, 1);
}

const NOISE = 0.001;
