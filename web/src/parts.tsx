// Small parts every page uses: class marks, MOS with its scale, times, notices, copy buttons.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api";
import { clock, dateTime, local, mos, parseMoment, scaleLong, scaleShort, UNKNOWN } from "./format";
import type { CallClass, Scale } from "./types";
import { classWord } from "./words";

/** A shape per class, so that colour never stands alone: cross, diamond, triangle, disc, ring. An empty label where the word stands beside it. */
export function ClassMark({ of, size = 14, label }: { of: CallClass; size?: number; label?: string }) {
  const named = label === "" ? { "aria-hidden": true as const } : { role: "img" as const, "aria-label": label ?? classWord(of) };
  return (
    <svg class={`mark ${of}`} width={size} height={size} viewBox="0 0 14 14" {...named}>
      {MARKS[of]}
    </svg>
  );
}

const MARKS: Record<CallClass, ComponentChildren> = {
  failed: [
    <rect key="a" x="0.5" y="0.5" width="13" height="13" rx="2.5" />,
    <path key="b" class="cut" d="M4.2 4.2l5.6 5.6M9.8 4.2l-5.6 5.6" />,
  ],
  poor: [<path key="a" d="M7 0.2L13.8 7L7 13.8L0.2 7z" />, <path key="b" class="cut" d="M7 3.9v3.6M7 9.4v.5" />],
  fair: [<path key="a" d="M7 1L13.6 12.8H0.4z" />],
  good: [<circle key="a" cx="7" cy="7" r="6.2" />, <path key="b" class="cut" d="M4.1 7.2l2 2.1l3.9-4.4" />],
  not_answered: [<circle key="a" class="ring" cx="7" cy="7" r="5.2" />, <path key="b" class="ring" d="M4 7h6" />],
  unrated: [<circle key="a" class="ring" cx="7" cy="7" r="5.2" />],
};

/** A MOS never stands without its scale. */
export function MosValue({ value, scale, why }: { value: number | null; scale: Scale | null; why?: string | null }) {
  if (value === null) {
    return (
      <span class="unknown" title={why ? `no MOS: ${why.replaceAll("_", " ")}` : "no MOS"}>
        {UNKNOWN}
      </span>
    );
  }
  return (
    <span class="mos" title={`MOS ${mos(value)}, ${scaleLong(scale)}`}>
      {mos(value)}
      <abbr>{scaleShort(scale)}</abbr>
    </span>
  );
}

/** A figure's name, leading to what it means. `of` is its name in docs/metrics.md. */
export function Term({ of, title, children }: { of: string; title?: string; children: ComponentChildren }) {
  return (
    <a class="term" href={`/docs/metrics#${of}`} title={title ?? "What this figure means"}>
      {children}
    </a>
  );
}

/** UTC; the reader's own time on hover. */
export function Time({ at, only, fraction }: { at: string | null; only?: "clock"; fraction?: boolean }) {
  if (at === null) return <span class="unknown">{UNKNOWN}</span>;
  return (
    <time dateTime={at} title={`${dateTime(at)} UTC\n${local(at)}`}>
      {only === "clock" ? clock(at, fraction) : dateTime(at)}
    </time>
  );
}

/** A moment as 24-hour UTC text, applied on Enter or when the field is left. */
export function MomentField({ label, value, onChange }: { label: string; value: string | null; onChange: (value: string) => void }) {
  const shown = value ? dateTime(value) : "";
  const [text, setText] = useState(shown);
  useEffect(() => setText(shown), [shown]);
  const wrong = text !== shown && parseMoment(text, value) === null;
  const apply = (): void => {
    if (text === shown) return;
    const next = parseMoment(text, value);
    if (next) onChange(next);
  };
  return (
    <label class="field date">
      <span>{label}</span>
      <input
        type="text"
        autocomplete="off"
        spellcheck={false}
        placeholder="2026-03-01 14:00"
        title="Date and time, or a time alone, in UTC"
        value={text}
        aria-invalid={wrong ? "true" : undefined}
        onInput={(event) => setText(event.currentTarget.value)}
        onBlur={apply}
        onKeyDown={(event) => {
          if (event.key === "Enter") apply();
          if (event.key === "Escape") setText(shown);
        }}
      />
    </label>
  );
}

export function Notice({ kind, title, children }: { kind: "empty" | "error" | "warn"; title: string; children?: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === "error" ? "alert" : "status"}>
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Failure({ error, retry }: { error: Error; retry: () => void }) {
  if (error instanceof ApiError && error.code === "not_allowed") {
    return (
      <Notice kind="empty" title="Your role may not see this.">
        <p>{error.message}</p>
      </Notice>
    );
  }
  return (
    <Notice kind="error" title={error.message}>
      <p>
        <button type="button" onClick={retry}>
          Try again
        </button>
      </p>
    </Notice>
  );
}

/** Copies text, also where the page is not served over TLS and the clipboard API is missing. */
export function Copy({ label, text, title }: { label: string; text: string; title?: string }) {
  const [said, setSaid] = useState<"" | "Copied" | "Not copied">("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async (): Promise<void> => {
    setSaid((await toClipboard(text)) ? "Copied" : "Not copied");
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setSaid(""), 1600);
  };
  return (
    <button type="button" class="copy" onClick={copy} title={title ?? text} data-copy={text}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
        <path d="M4 3.5V1.2h6.8v6.8H8.5M1.2 4h6.8v6.8H1.2z" />
      </svg>
      <span>{said || label}</span>
      <span class="sr" role="status">
        {said}
      </span>
    </button>
  );
}

async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
