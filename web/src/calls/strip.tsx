// Calls over time by class, worst at the bottom. Drag to narrow the window; the From and To fields do the same by keyboard.

import { useState } from "preact/hooks";
import { clock, dateTime, day, epochMs, number, plural } from "../format";
import { useWidth } from "../hooks";
import { ClassMark } from "../parts";
import type { CallClass, Timeline, TimelineBucket } from "../types";
import { CLASS_ORDER, classHint, classWord } from "../words";

const HEIGHT = 76;
const AXIS = 18;
const PLOT = HEIGHT - AXIS;
const LEAST_DRAG_PX = 4;

interface Props {
  timeline: Timeline;
  onPick: (from: string, to: string) => void;
}

export function Strip({ timeline, onPick }: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [hover, setHover] = useState<number | null>(null);
  const start = epochMs(timeline.from);
  const end = Math.max(epochMs(timeline.to), start + 1);
  const toX = (at: number): number => ((at - start) / (end - start)) * width;
  const toTime = (x: number): number => start + (Math.min(Math.max(x, 0), width) / Math.max(width, 1)) * (end - start);
  const most = Math.max(1, ...timeline.buckets.map((bucket) => bucket.calls));
  const step = timeline.bucket_s * 1000;
  const under = hover === null ? undefined : timeline.buckets.find((b) => hover >= epochMs(b.at) && hover < epochMs(b.at) + step);
  const place = (event: PointerEvent): number => event.clientX - (box.current?.getBoundingClientRect().left ?? 0);

  const finish = (): void => {
    if (drag && Math.abs(drag.to - drag.from) >= LEAST_DRAG_PX) {
      const [a, b] = [toTime(Math.min(drag.from, drag.to)), toTime(Math.max(drag.from, drag.to))];
      onPick(new Date(Math.floor(a / 1000) * 1000).toISOString(), new Date(Math.ceil(b / 1000) * 1000).toISOString());
    }
    setDrag(null);
  };

  return (
    <section class="strip" aria-label="Calls over time">
      <Summary timeline={timeline} under={under} />
      <div
        class="plot"
        ref={box}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag({ from: place(event), to: place(event) });
        }}
        onPointerMove={(event) => {
          const x = place(event);
          setHover(toTime(x));
          if (drag) setDrag({ ...drag, to: x });
        }}
        onPointerUp={finish}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setHover(null)}
      >
        <svg width={width} height={HEIGHT} role="img" aria-label={describe(timeline)}>
          <defs>
            <pattern id="hatch" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect width="4" height="4" class="hatch-ground" />
              <rect width="1.4" height="4" class="hatch-line" />
            </pattern>
          </defs>
          <line class="base" x1="0" x2={width} y1={PLOT + 0.5} y2={PLOT + 0.5} />
          {ticks(start, end, width).map((tick) => (
            <g key={tick.at}>
              <line class="tick" x1={toX(tick.at)} x2={toX(tick.at)} y1="0" y2={PLOT + 4} />
              <text x={toX(tick.at) + 3} y={HEIGHT - 4}>
                {tick.label}
              </text>
            </g>
          ))}
          {timeline.buckets.map((bucket) => {
            const left = Math.max(toX(epochMs(bucket.at)), 0);
            const right = toX(Math.min(epochMs(bucket.at) + step, end));
            return <Bar key={bucket.at} bucket={bucket} x={left} width={Math.max(right - left - (right - left > 3 ? 1 : 0), 1)} most={most} />;
          })}
          {drag && <rect class="brush" x={Math.min(drag.from, drag.to)} width={Math.abs(drag.to - drag.from)} y="0" height={PLOT} />}
        </svg>
      </div>
    </section>
  );
}

function Bar({ bucket, x, width, most }: { bucket: TimelineBucket; x: number; width: number; most: number }) {
  let y = PLOT;
  return (
    <>
      {CLASS_ORDER.map((of) => {
        const n = bucket[of];
        if (n === 0) return null;
        const height = Math.max((n / most) * (PLOT - 4), of === "good" ? 1 : 2);
        y -= height;
        return <rect key={of} class={`bar ${of}`} x={x} y={Math.max(y, 0)} width={width} height={height} />;
      })}
    </>
  );
}

function Summary({ timeline, under }: { timeline: Timeline; under: TimelineBucket | undefined }) {
  const shown = under ?? total(timeline);
  const when = under
    ? `${clock(under.at)} to ${clock(epochMs(under.at) + timeline.bucket_s * 1000)}`
    : `${dateTime(timeline.from)} to ${day(timeline.from) === day(timeline.to) ? clock(timeline.to) : dateTime(timeline.to)} UTC`;
  return (
    <p class="summary">
      <b>{plural(shown.calls, "call")}</b>
      {CLASS_ORDER.map((of) => (
        <span key={of} title={classHint(of)} class={shown[of] === 0 ? "none" : undefined}>
          <ClassMark of={of} size={11} /> {number(shown[of])} {classWord(of).toLowerCase()}
        </span>
      ))}
      <span class="when">{when}</span>
    </p>
  );
}

function total(timeline: Timeline): TimelineBucket {
  const sum: TimelineBucket = { at: timeline.from, calls: 0, good: 0, fair: 0, poor: 0, failed: 0, not_answered: 0, unrated: 0 };
  for (const bucket of timeline.buckets) {
    sum.calls += bucket.calls;
    for (const of of CLASS_ORDER) sum[of] += bucket[of];
  }
  return sum;
}

function describe(timeline: Timeline): string {
  const sum = total(timeline);
  const parts = CLASS_ORDER.map((of: CallClass) => `${sum[of]} ${classWord(of).toLowerCase()}`);
  return `${plural(sum.calls, "call")} from ${dateTime(timeline.from)} to ${dateTime(timeline.to)} UTC: ${parts.join(", ")}`;
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

function ticks(start: number, end: number, width: number): { at: number; label: string }[] {
  const wanted = Math.max(2, Math.floor(width / 110));
  const step = (STEPS_S.find((s) => (end - start) / 1000 / s <= wanted) ?? 604800) * 1000;
  const out: { at: number; label: string }[] = [];
  for (let at = Math.ceil(start / step) * step; at < end; at += step) {
    const midnight = at % 86_400_000 === 0;
    out.push({ at, label: midnight ? day(at) : step < 60_000 ? clock(at) : clock(at).slice(0, 5) });
  }
  return out;
}
