// One figure of the chosen groups over time. Lines differ in colour, dashes and the name beside them.

import { useEffect } from "preact/hooks";
import uPlot from "uplot";
import { clock, day, epochMs, ms, percent, plural } from "../format";
import { useTheme, useWidth } from "../hooks";
import { Time } from "../parts";
import type { PastAlert, Stats, StatsGroup } from "../types";

export interface Figure {
  id: string;
  label: string;
  unit: "ms" | "%";
}

export const FIGURES: Figure[] = [
  { id: "p50", label: "Delay variation p50", unit: "ms" },
  { id: "p95", label: "Delay variation p95", unit: "ms" },
  { id: "p99", label: "Delay variation p99", unit: "ms" },
  { id: "p999", label: "Delay variation p99.9", unit: "ms" },
  { id: "loss", label: "Loss", unit: "%" },
  { id: "jitter_p95", label: "Jitter p95", unit: "ms" },
  { id: "jitter", label: "Jitter max", unit: "ms" },
];

const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 4]];
const HEIGHT = 220;
/** Up to so many buckets each is marked: one between two empty ones has no line. */
const FEW_POINTS = 60;

export function figureOf(group: StatsGroup, figure: Figure): number | null {
  switch (figure.id) {
    case "loss":
      return group.loss_pct;
    case "jitter_p95":
      return group.jitter_ms.p95;
    case "jitter":
      return group.jitter_max_ms;
    case "p50":
      return group.delay_variation_ms.p50;
    case "p99":
      return group.delay_variation_ms.p99;
    case "p999":
      return group.delay_variation_ms.p999;
    default:
      return group.delay_variation_ms.p95;
  }
}

interface Props {
  series: Stats;
  keys: string[];
  keyOf: (group: StatsGroup) => string;
  figure: Figure;
  /** Alerts that fired in the window. */
  alerts: PastAlert[];
}

export function OverTime({ series, keys, keyOf, figure, alerts }: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const { isDark } = useTheme();
  useEffect(() => {
    const host = box.current;
    if (!host || width < 80) return;
    const css = getComputedStyle(host);
    const colour = (name: string): string => css.getPropertyValue(name).trim();
    const font = `11px ${css.fontFamily}`;
    const step = series.bucket_s ?? 60;
    const times = [...new Set(series.groups.flatMap((group) => (group.at ? [epochMs(group.at) / 1000] : [])))].sort((a, b) => a - b);
    const x: number[] = [];
    for (const at of times) {
      const before = x.at(-1);
      if (before !== undefined && at - before > step * 1.5) x.push(before + step);
      x.push(at);
    }
    const place = new Map(x.map((at, i) => [at, i]));
    const rows = keys.map((key) => {
      const values: (number | null)[] = x.map(() => null);
      for (const group of series.groups) {
        const i = group.at === null || keyOf(group) !== key ? undefined : place.get(epochMs(group.at) / 1000);
        if (i !== undefined) values[i] = figureOf(group, figure);
      }
      return values;
    });
    const say = (v: number | null): string => (figure.unit === "%" ? percent(v) : ms(v));
    const mark = (v: number): string => `${Number(v.toPrecision(4))}\u202f${figure.unit}`;
    const plot = new uPlot(
      {
        width,
        height: HEIGHT,
        padding: [10, 26, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
        scales: { x: { time: false }, y: { range: (_self, _min, max) => [0, Math.max(max ?? 0, figure.unit === "%" ? 0.1 : 1) * 1.08] } },
        axes: [
          {
            font,
            size: 30,
            gap: 11,
            stroke: colour("--muted"),
            grid: { stroke: colour("--grid"), width: 1 },
            ticks: { show: false },
            space: 100,
            incrs: [60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800],
            values: (_self, splits) => splits.map((at) => (at % 86400 === 0 ? day(at * 1000) : clock(at * 1000).slice(0, 5))),
          },
          { font, size: 62, gap: 6, stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, values: (_self, splits) => splits.map(mark) },
        ],
        series: [{}, ...keys.map((_, i): uPlot.Series => ({ stroke: colour(`--line-${i}`), width: 1.75, dash: DASHES[i] ?? [], points: { show: x.length <= FEW_POINTS, size: 5, fill: colour(`--line-${i}`) }, spanGaps: false }))],
        hooks: {
          // Alerts lie behind the lines, each as long as it fired.
          drawClear: [
            (self) => {
              const { ctx, bbox } = self;
              ctx.save();
              for (const alert of alerts) {
                const left = Math.max(self.valToPos(epochMs(alert.fired_at) / 1000, "x", true), bbox.left);
                const right = Math.min(self.valToPos(epochMs(alert.ended_at ?? alert.last_at) / 1000, "x", true), bbox.left + bbox.width);
                if (right < bbox.left || left > bbox.left + bbox.width) continue;
                ctx.fillStyle = colour(alert.severity === "critical" ? "--error-bg" : "--warn-bg");
                ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
                ctx.fillStyle = colour(alert.severity === "critical" ? "--error-line" : "--warn-line");
                ctx.fillRect(left, bbox.top, 2, bbox.height);
              }
              ctx.restore();
            },
          ],
          setCursor: [
            (self) => {
              const target = host.parentElement?.querySelector(".legend");
              const at = self.cursor.idx;
              for (const [i, node] of [...(target?.querySelectorAll("output") ?? [])].entries()) {
                node.textContent = at === null || at === undefined ? "" : say(rows[i]?.[at] ?? null);
              }
              const when = target?.querySelector("time");
              if (when) when.textContent = at === null || at === undefined ? "" : `${day((x[at] ?? 0) * 1000)} ${clock((x[at] ?? 0) * 1000).slice(0, 5)} UTC`;
            },
          ],
        },
      },
      [x, ...rows],
      host,
    );
    return () => plot.destroy();
  }, [width, isDark, series, keys, figure, alerts]);
  return (
    <section class="panel overtime" aria-label={`${figure.label} over time`}>
      <div class="head">
        <h2>{figure.label} over time</h2>
        <p class="legend">
          {keys.map((key, i) => (
            <span key={key}>
              <svg width="26" height="8" aria-hidden="true">
                <line class={`line-${i}`} x1="0" x2="26" y1="4" y2="4" stroke-dasharray={(DASHES[i] ?? []).join(" ")} />
              </svg>
              {key} <output aria-hidden="true" />
            </span>
          ))}
          <time aria-hidden="true" />
        </p>
      </div>
      <div class="charts" ref={box} aria-hidden="true" />
      {alerts.length > 0 && (
        <details class="bands">
          <summary>{plural(alerts.length, "alert")} in this window, as bands</summary>
          <ul>
            {alerts.map((alert) => (
              <li key={`${alert.probe} ${alert.id} ${alert.fired_at}`}>
                <Time at={alert.fired_at} /> to {alert.ended_at ? <Time at={alert.ended_at} /> : "now"}: {alert.rule}, {alert.summary}
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}
