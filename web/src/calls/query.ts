// The filters of the call list and their place in the address bar.

/** Every filter the API knows, by its name there and here. */
export const FILTERS = [
  "number",
  "call_id",
  "address",
  "codec",
  "state",
  "class",
  "final_code",
  "diagnosis",
  "mos_below",
  "pdv_p95_above",
  "loss_above",
  "trunk",
  "trunk_direction",
  "site",
  "seen_from",
] as const;

export type Filter = (typeof FILTERS)[number];
export type SearchKind = "number" | "call_id" | "address";

export const SEARCH_KINDS: SearchKind[] = ["number", "call_id", "address"];
export const SORTS = ["worst", "newest", "oldest", "longest", "mos", "delay_variation", "loss"] as const;

/** What a typed text is most likely to be: a number or user, an address, or a Call-ID. */
export function guessKind(text: string): SearchKind {
  const value = text.trim();
  if (/^\d{1,3}(\.\d{1,3}){0,3}\.?$/.test(value) && value.includes(".")) return "address";
  if (/^\d{1,3}(\.\d{1,3}){3}(:\d{0,5}|\/\d{0,2})$/.test(value)) return "address";
  if (/^\[?[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,}/i.test(value)) return "address";
  if (value.includes("@")) return "call_id";
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-/i.test(value)) return "call_id";
  if (/^(?=.*\d)(?=.*[a-z])[0-9a-z-]{20,}$/i.test(value)) return "call_id";
  return "number";
}

/** Whether a search can be sent as it stands: the API takes whole addresses and networks only, and half-typed ones would show as errors. */
export function searchable(text: string, kind: SearchKind): boolean {
  const value = text.trim();
  if (value === "" || kind !== "address") return true;
  const octet = "(25[0-5]|2[0-4]\\d|1?\\d?\\d)";
  const v4 = new RegExp(`^${octet}(\\.${octet}){3}(:\\d{1,5}|/\\d{1,2})?$`);
  const v6 = value.match(/^(?:\[([0-9a-f:.]+)\](?::\d{1,5})?|([0-9a-f:.]+)(?:\/\d{1,3})?)$/i);
  return v4.test(value) || isIpv6(v6?.[1] ?? v6?.[2] ?? "");
}

function isIpv6(text: string): boolean {
  const groups = text.split(":");
  const gaps = text.split("::").length - 1;
  const filled = groups.filter((group) => group !== "").length;
  return groups.length > 2 && !text.includes(":::") && groups.every((group) => /^[0-9a-f]{0,4}$/i.test(group)) && (gaps === 0 ? filled === 8 : gaps === 1 && filled < 8);
}

/** The part of the page's query that the API's list, timeline and statistics take. */
export function apiQuery(query: URLSearchParams): URLSearchParams {
  const out = new URLSearchParams();
  for (const name of ["from", "to", ...FILTERS]) {
    const value = query.get(name)?.trim();
    if (value) out.set(name, value);
  }
  return out;
}

/** The page's address with some parameters changed; null and empty take one away. */
export function changed(query: URLSearchParams, path: string, changes: Record<string, string | null>): string {
  const out = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") out.delete(name);
    else out.set(name, value);
  }
  const text = out.toString().replaceAll("%3A", ":");
  return text ? `${path}?${text}` : path;
}

export function activeFilters(query: URLSearchParams): Filter[] {
  return FILTERS.filter((name) => (query.get(name) ?? "").trim() !== "");
}
