// The streams of a call sorted into directions, each named from signalling where that is certain.

import { epochMs, ipOf, portOf } from "../format";
import type { CallDetail, IntervalRow, SipMessage, StreamRow } from "../types";

export interface Direction {
  key: string;
  /** `caller → callee`, or empty where signalling does not tell. */
  name: string;
  streams: StreamRow[];
  /** Intervals of all its streams in the order of time, with the stream each belongs to. */
  intervals: { row: IntervalRow; stream: StreamRow }[];
}

/** Seconds in which an interval can have had media: rows lie on a grid, the first and last reach beyond their stream. */
export function spanOf({ row, stream }: Direction["intervals"][number]): { from: number; to: number } {
  const start = epochMs(row.start_at);
  const from = Math.max(start, epochMs(stream.first_at)) / 1000;
  return { from, to: Math.max(Math.min(start + row.length_ms, epochMs(stream.last_at)) / 1000, from) };
}

/** One entry per way between two media addresses, the caller's way first; opposite ways stand next to each other. */
export function directions(detail: CallDetail): Direction[] {
  const { caller, callee } = mediaEndpoints(detail);
  const groups = new Map<string, StreamRow[]>();
  for (const stream of detail.streams) {
    const plain = `${ipOf(stream.src)} ${ipOf(stream.dst)}`;
    const rivals = detail.streams.some((other) => other.id !== stream.id && `${ipOf(other.src)} ${ipOf(other.dst)}` === plain && overlap(stream, other));
    const key = rivals ? `${stream.src} ${stream.dst} ${stream.ssrc}` : plain;
    groups.set(key, [...(groups.get(key) ?? []), stream]);
  }
  const all = [...groups].map(([key, streams]): Direction => {
    const sorted = [...streams].sort((a, b) => epochMs(a.first_at) - epochMs(b.first_at));
    const intervals = sorted.flatMap((stream) => (detail.intervals[stream.id] ?? []).map((row) => ({ row, stream })));
    intervals.sort((a, b) => epochMs(a.row.start_at) - epochMs(b.row.start_at));
    return { key, name: nameOf(sorted, caller, callee), streams: sorted, intervals };
  });
  return all.sort((a, b) => pairOf(a).localeCompare(pairOf(b)) || order(a) - order(b));
}

function overlap(a: StreamRow, b: StreamRow): boolean {
  const inner = Math.min(epochMs(a.last_at), epochMs(b.last_at)) - Math.max(epochMs(a.first_at), epochMs(b.first_at));
  return inner > 1000;
}

function pairOf(direction: Direction): string {
  const first = direction.streams[0];
  return first ? [ipOf(first.src), ipOf(first.dst)].sort().join(" ") : "";
}

function order(direction: Direction): number {
  return direction.name.startsWith("caller") ? 0 : 1;
}

function nameOf(streams: StreamRow[], caller: Set<string>, callee: Set<string>): string {
  const way = (from: Set<string>, to: Set<string>): boolean => streams.every((s) => to.has(s.dst) || from.has(s.src));
  const out = way(caller, callee);
  const back = way(callee, caller);
  if (out && !back) return "caller → callee";
  if (back && !out) return "callee → caller";
  return "";
}

/** Where each party said in SDP that it takes media, told apart by the address the first INVITE came from. */
function mediaEndpoints(detail: CallDetail): { caller: Set<string>; callee: Set<string> } {
  const caller = new Set<string>();
  const callee = new Set<string>();
  const tags = new Map<string, "caller" | "callee">();
  for (const message of detail.ladder) {
    const party = partyOf(message, tags);
    if (!party) continue;
    for (const endpoint of sdpEndpoints(message.sdp)) (party === "caller" ? caller : callee).add(endpoint);
  }
  for (const endpoint of [...caller]) {
    if (callee.delete(endpoint)) caller.delete(endpoint);
  }
  return { caller, callee };
}

/** Whose message it is: the From tag of the first INVITE is the caller's for as long as the dialog lasts. */
function partyOf(message: SipMessage, tags: Map<string, "caller" | "callee">): "caller" | "callee" | null {
  const from = message.headers.match(/^(?:From|f)\s*:.*;\s*tag=([^;>\s]+)/im)?.[1];
  if (!from || !message.sdp) return null;
  if (tags.size === 0) {
    if (message.method !== "INVITE") return null;
    tags.set(from, "caller");
  }
  const sender = tags.get(from) ?? "callee";
  const isRequest = message.direction === "request";
  return isRequest === (sender === "caller") ? "caller" : "callee";
}

/** `address:port` of each audio media line (RFC 8866 sections 5.7 and 5.14). */
export function sdpEndpoints(sdp: string): string[] {
  const out: string[] = [];
  let session = "";
  let media: { port: string; address: string } | null = null;
  const close = (): void => {
    if (media && media.port !== "0" && media.address) out.push(media.address.includes(":") ? `[${media.address}]:${media.port}` : `${media.address}:${media.port}`);
  };
  for (const line of sdp.split(/\r?\n/)) {
    const address = line.match(/^c=IN IP[46] ([^\s/]+)/)?.[1];
    const audio = line.match(/^m=(\S+) (\d+)/);
    if (audio) {
      close();
      media = { port: audio[1] === "audio" ? (audio[2] ?? "0") : "0", address: session };
    } else if (address && media) media.address = address;
    else if (address) session = address;
  }
  close();
  return out;
}

/** A Wireshark display filter for the call: its signalling, its media and their RTCP. */
export function displayFilter(detail: CallDetail): string {
  const parts = [`sip.Call-ID == "${detail.call.call_id.replace(/["\\]/g, "\\$&")}"`];
  const seen = new Set<string>();
  for (const stream of detail.streams) {
    const pair = [stream.src, stream.dst].sort();
    const key = pair.join(" ");
    const [one = "", other = ""] = pair;
    const [p, q] = [portOf(one), portOf(other)];
    if (seen.has(key) || p === null || q === null) continue;
    seen.add(key);
    const ports = [...new Set([p, p + 1, q, q + 1])].sort((a, b) => a - b).join(", ");
    parts.push(`(${address(one)} && ${address(other)} && udp.port in {${ports}})`);
  }
  return parts.join(" || ");
}

function address(endpoint: string): string {
  const ip = ipOf(endpoint);
  return `${ip.includes(":") ? "ipv6" : "ip"}.addr == ${ip}`;
}

/** Text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
