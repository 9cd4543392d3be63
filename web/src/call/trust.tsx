// How far the call's figures can be trusted, and why.

import { number, plural, scaleLong } from "../format";
import { Term } from "../parts";
import type { CallDetail, StreamRow } from "../types";
import { captureBlamed, clockSource, nullReason, sentence, timesWrongBy } from "../words";

export type Level = "ok" | "care" | "doubt";

interface Item {
  level: Level;
  what: string;
  say: string;
}

const LEVEL_WORDS: Record<Level, string> = { ok: "Complete", care: "Caution", doubt: "Doubtful" };

export function levelWord(of: Level): string {
  return LEVEL_WORDS[of];
}

export function Trust({ detail }: { detail: CallDetail }) {
  const list = items(detail);
  return (
    <section class="panel trust" aria-labelledby="trust-title">
      <div class="head">
        <h2 id="trust-title">Measurement confidence</h2>
        <span class="hint">
          <Term of="how-far-to-trust-a-row">What these mean</Term>
        </span>
      </div>
      <ul>
        {list.map((item) => (
          <li key={item.what} class={item.level}>
            <LevelMark of={item.level} />
            <div>
              <b>{item.what}</b>
              <p>{item.say}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

export function LevelMark({ of }: { of: Level }) {
  return (
    <svg class={`mark ${{ ok: "good", care: "fair", doubt: "failed" }[of]}`} width="13" height="13" viewBox="0 0 14 14" role="img" aria-label={LEVEL_WORDS[of]}>
      {of === "ok" ? (
        <>
          <circle cx="7" cy="7" r="6.2" />
          <path class="cut" d="M4.1 7.2l2 2.1l3.9-4.4" />
        </>
      ) : of === "care" ? (
        <path d="M7 1L13.6 12.8H0.4z" />
      ) : (
        <>
          <rect x="0.5" y="0.5" width="13" height="13" rx="2.5" />
          <path class="cut" d="M4.2 4.2l5.6 5.6M9.8 4.2l-5.6 5.6" />
        </>
      )}
    </svg>
  );
}

function items({ call, streams, truncated }: CallDetail): Item[] {
  const out: Item[] = [];
  const add = (level: Level, what: string, say: string): void => {
    out.push({ level, what, say });
  };
  const sum = (pick: (stream: StreamRow) => number): number => streams.reduce((total, stream) => total + pick(stream), 0);
  const any = (pick: (stream: StreamRow) => boolean): boolean => streams.some(pick);
  const each = (pick: (stream: StreamRow) => string | null): string => [...new Set(streams.map(pick).filter((text): text is string => text !== null && text !== ""))].join("; ");

  if (streams.length > 0) {
    // Streams share intervals, so their drops do not add up.
    const drops = call.quality?.capture_drops ?? Math.max(...streams.map((s) => s.quality.capture_drops));
    if (drops > 0) add("doubt", "Capture drops", `The probe missed ${plural(drops, "frame")} while this was measured. ${any((s) => captureBlamed(s.quality.loss_source)) ? "Some of the loss shown is probably its own." : "Loss in the same intervals may be its own."}`);
    else add("ok", "Capture drops", "The probe missed no frame while this was measured.");
    const removed = sum((s) => s.quality.duplicates_removed);
    add("ok", "Duplicates", removed > 0 ? `${plural(removed, "copy", "copies")} made by the mirror port left out of every figure.` : "The mirror port made no copies.");
    const oneSided = any((s) => s.quality.one_sided);
    add(oneSided ? "care" : "ok", "View", oneSided ? "Only one direction of the media was seen. Either there is no other, or the mirror port carries one side only." : "Both directions of the media were seen.");
    const sources = new Set(streams.map((s) => s.clock_source));
    add(sources.has("inferred") || sources.has(null) ? "care" : "ok", "Clock rate", `${sentence(each((s) => clockSource(s.clock_source)))}.`);
    const rated = streams.filter((s) => s.mos.scale !== null);
    if (rated.length > 0) {
      const estimate = rated.some((s) => s.mos.codec_status === "estimate");
      const scales = [...new Set(rated.map((s) => scaleLong(s.mos.scale)))].join("; ");
      const delay = rated.some((s) => s.mos.cq !== null) ? `Delay ${each((s) => s.mos.delay_source)}.` : "Without delay: the conversational MOS needs one, and none was measured.";
      add(estimate ? "care" : "ok", "MOS", `${sentence(scales)}. Codec figures: ${each((s) => s.mos.codec_status) || "unknown"}. ${delay}`);
    }
    const unrated = streams.filter((s) => s.mos.reason_null);
    if (unrated.length > 0) add("care", "MOS withheld", `${plural(unrated.length, "stream")}: ${each((s) => (s.mos.reason_null ? nullReason(s.mos.reason_null) : null))}.`);
    const oneOf = call.quality?.sampled_one_of ?? null;
    if (oneOf !== null) add("doubt", "Sampled", `The capture sees one of ${number(oneOf)} packets (a sampled or overloaded mirror). Nothing is known of loss, and there is no MOS.`);
    const steps = call.quality?.clock_steps ?? Math.max(...streams.map((s) => s.quality.clock_steps));
    const stamped = { capture_file: "Stamped by whatever wrote the capture. ", kernel: "Stamped by the probe's kernel. ", adapter: "Stamped by the network adapter. " }[call.quality?.timestamp_source ?? ""] ?? "";
    const resolution = Math.max(...streams.map((s) => s.quality.timestamp_resolution_ns ?? 0));
    const wrong = streams.map((s) => timesWrongBy(s.quality)).find((text) => text !== null);
    add(steps > 0 || wrong ? "care" : "ok", "Capture times", `${stamped}${wrong ? `${sentence(wrong)}. ` : ""}${resolution > 0 ? `Resolution ${resolution >= 1000 ? `${number(resolution / 1000)} µs` : `${resolution} ns`}` : "Resolution unknown"}${steps > 0 ? `; ${plural(steps, "clock step")}, delays are measured anew after each` : "; no clock steps"}.`);
  }
  if (call.started_mid_call || any((s) => s.quality.started_mid_call)) add("care", "Start", "The capture began after the call did: times before the first packet are unknown.");
  if (truncated) add("care", "Cut list", "There is more of this call than one page takes; rows after the limit are left out here and are in the database.");
  add("ok", "Measurement point", `Measured by the probe named “${call.probe}”${call.site ? ` at ${call.site}` : ""}. What happens between the probe and the ear, the receiver's jitter buffer among it, is in these figures only where a receiver's reports are named.`);
  return out.sort((a, b) => RANK[a.level] - RANK[b.level]);
}

const RANK: Record<Level, number> = { doubt: 0, care: 1, ok: 2 };
