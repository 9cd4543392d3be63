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

/** `93.2 at best − 11.0 codec − 4.1 loss − 0 late packets = R 78.1 (NB), without delay: it is unknown` */
export function sentenceOf(budget: RBudget, stream: StreamRow): string {
  const known = stream.mos.cq !== null;
  const [rest, ...causes] = parts(budget);
  const taken = causes.filter(({ key }) => key !== "delay" || known).map(({ name, points }) => ` − ${points === 0 ? "0" : number(points, 1)} ${name}`);
  const tail = known ? "" : ", without delay: it is unknown";
  return `${number(budget.clean_max, 1)} at best${taken.join("")} = R ${number(rest?.points, 1)} (${scaleShort(stream.mos.scale)})${tail}`;
}
