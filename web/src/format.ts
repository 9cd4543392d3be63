// Numbers and times as text. Unknown is a dash, never 0; times are UTC with the local time beside on hover.

import type { Scale } from "./types";

export const UNKNOWN = "–";

/** A number with `digits` decimals and thin group separators. */
export function number(value: number | null | undefined, digits = 0): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const [whole = "", fraction] = Math.abs(value).toFixed(digits).split(".");
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole;
  const sign = value < 0 && Number(value.toFixed(digits)) !== 0 ? "−" : "";
  return sign + grouped + (fraction === undefined ? "" : `.${fraction}`);
}

/** Counts as `950`, `41.2 k`, `3.1 M`. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (value < 10_000) return number(value);
  if (value < 1_000_000) return `${number(value / 1000, value < 100_000 ? 1 : 0)}\u202fk`;
  return `${number(value / 1_000_000, 1)}\u202fM`;
}

/** Milliseconds: two decimals below 1 ms, one below 100, none above; from a second on seconds, to three digits. */
export function ms(value: number | null | undefined, unit = true): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (Math.abs(value - TOP_MS) < 0.005) return ">4.29\u202fs";
  if (value >= LONG_MS) return `${number(value / 1000, value < 9995 ? 2 : value < 99_950 ? 1 : 0)}\u202fs`;
  const digits = value === 0 ? 0 : value < 1 ? 2 : value < 100 ? 1 : 0;
  return number(value, digits) + (unit ? "\u202fms" : "");
}

/** A percentile in the open bucket at the top of the delay histogram: more than 2^32 ns. */
const TOP_MS = 4294.967296;

/** What `ms` rounds to a second or more. */
const LONG_MS = 999.5;

/** Several as `0.1 / 2.3 / 40 ms`; each with its unit where one is in seconds. */
export function msList(values: (number | null | undefined)[]): string {
  const mixed = values.some((value) => (value ?? 0) >= LONG_MS);
  return values.map((value, i) => ms(value, mixed || i === values.length - 1)).join(" / ");
}

/** A share in percent. A share that is above zero never reads as zero. */
export function percent(value: number | null | undefined, unit = true): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const tail = unit ? "\u202f%" : "";
  if (value > 0 && value < 0.01) return `<0.01${tail}`;
  const digits = value === 0 || value === 100 ? 0 : value < 10 ? 2 : 1;
  return number(value, digits) + tail;
}

/** Two decimals; one more than anybody hears. */
export function mos(value: number | null | undefined): string {
  return number(value, 2);
}

/** A length of time: `0.4 s`, `42.5 s`, `3:07`, `1:02:45`. */
export function duration(milliseconds: number | null | undefined): string {
  if (milliseconds === null || milliseconds === undefined || !Number.isFinite(milliseconds)) return UNKNOWN;
  if (milliseconds < 59_950) return `${number(milliseconds / 1000, 1)}\u202fs`;
  const seconds = Math.round(milliseconds / 1000);
  const h = Math.floor(seconds / 3600);
  const m = Math.floor((seconds % 3600) / 60);
  const s = two(seconds % 60);
  return h > 0 ? `${h}:${two(m)}:${s}` : `${m}:${s}`;
}

/** Milliseconds since the epoch of an RFC 3339 time, with its fraction to the nanosecond as far as a double carries. */
export function epochMs(at: string): number {
  const dot = at.indexOf(".");
  if (dot < 0) return Date.parse(at);
  const tail = at.slice(dot + 1).match(/^(\d+)(.*)$/);
  if (!tail) return Date.parse(at);
  return Date.parse(at.slice(0, dot) + (tail[2] || "Z")) + Number(`0.${tail[1]}`) * 1000;
}

/** `14:03:07`, or with milliseconds. UTC. */
export function clock(at: string | number, fraction = false): string {
  return utc(at).slice(11, fraction ? 23 : 19);
}

/** `2026-03-01`. UTC. */
export function day(at: string | number): string {
  return utc(at).slice(0, 10);
}

/** `2026-03-01 14:03:07`. UTC. */
export function dateTime(at: string | number): string {
  return `${day(at)} ${clock(at)}`;
}

/** The same moment in the reader's own time zone, for a tooltip. */
export function local(at: string | number): string {
  const date = new Date(typeof at === "string" ? epochMs(at) : at);
  return `${date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })} local time`;
}

/** A typed moment, read as UTC: a date, a date and a time, or a time on the day of `near`. Null when it is none of these. */
export function parseMoment(text: string, near: string | null): string | null {
  const found = text.trim().match(/^(?:(\d{4}-\d{2}-\d{2})(?:[T ]+|$))?(?:(\d{1,2}):(\d{2})(?::(\d{2}))?)?\s*(?:Z|UTC)?$/i);
  if (!found || text.trim() === "") return null;
  const [, date, h = "0", m = "00", s = "00"] = found;
  const on = date ?? (near ? day(near) : null);
  const time = on ? Date.parse(`${on}T${h.padStart(2, "0")}:${m}:${s}Z`) : Number.NaN;
  return Number.isFinite(time) ? new Date(time).toISOString() : null;
}

const SCALE_NAMES: Record<Scale, { short: string; long: string }> = {
  nb: { short: "NB", long: "narrowband scale, ITU-T G.107; 4.5 is the best it can give" },
  wb: { short: "WB", long: "wideband scale, ITU-T G.107.1; not comparable with narrowband figures" },
  fb: { short: "FB", long: "fullband scale, ITU-T G.107.2; not comparable with narrowband figures" },
};

export function scaleShort(scale: Scale | null): string {
  return scale ? SCALE_NAMES[scale].short : "";
}

export function scaleLong(scale: Scale | null): string {
  return scale ? SCALE_NAMES[scale].long : "scale unknown";
}

/** `1 call`, `7 calls`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${number(n)} ${n === 1 ? one : many}`;
}

export function ipOf(endpoint: string): string {
  const v6 = endpoint.match(/^\[([^\]]+)\]/);
  if (v6) return v6[1] ?? endpoint;
  const colon = endpoint.lastIndexOf(":");
  return colon > 0 ? endpoint.slice(0, colon) : endpoint;
}

export function portOf(endpoint: string): number | null {
  const port = Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
  return Number.isInteger(port) && port > 0 ? port : null;
}

/** RFC 3339 in UTC with milliseconds, cut rather than rounded: 11:59:59.9999 is still 11:59:59. */
function utc(at: string | number): string {
  if (typeof at === "number") return new Date(at).toISOString();
  const whole = at.match(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z$/);
  return whole ? `${whole[1]}.${(whole[2] ?? "").padEnd(3, "0").slice(0, 3)}Z` : new Date(epochMs(at)).toISOString();
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}
