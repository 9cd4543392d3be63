// One group of a rule over time: value with its bounds, the limit, and what is usual at this hour.

import { useEffect } from "preact/hooks";
import uPlot from "uplot";
import { evaluations } from "../api";
import { clock, day, epochMs, number } from "../format";
import { useLoad, useTheme, useWidth } from "../hooks";
import { Failure } from "../parts";
import type { AlertEvaluation } from "../types";

const HEIGHT = 180;
/** Shown before the first and after the last moment asked for. */
const AROUND_MS = 30 * 60_000;
/** Without a beginning so much is shown. */
const USUAL_MS = 6 * 3600_000;
/** Evaluations farther apart are not joined by a line. */
const GAP_S = 650;

interface Props {
  alert: { id: string; rule: string; unit: string };
  /** When it fired; without it the last hours are shown. */
  from?: string;
  to: string;
}

export function AlertChart({ alert, from, to }: Props) {
  const start = from ? epochMs(from) - AROUND_MS : epochMs(to) - USUAL_MS;
  const query = new URLSearchParams({ from: new Date(start).toISOString(), to: new Date(epochMs(to) + AROUND_MS).toISOString() });
  const { data, error, retry } = useLoad(`${alert.id} ${query}`, (signal) => evaluations(alert.id, query, signal));
  if (error) return <Failure error={error} retry={retry} />;
  if (!data) return <p class="loading">Loading …</p>;
  if (data.evaluations.length === 0) return <p class="hint">No evaluation is stored yet.</p>;
  return <Drawn alert={alert} rows={onePerTime(data.evaluations)} />;
}

/** Two evaluators of one alert say nearly the same: the first of each time is drawn. */
export function onePerTime(rows: AlertEvaluation[]): AlertEvaluation[] {
  const seen = new Set<string>();
  return rows.filter((row) => !seen.has(row.at) && seen.add(row.at) !== undefined);
}

/** Columns of the chart, with a gap where no evaluation is stored for long. */
export function columns(rows: AlertEvaluation[]): { x: number[]; value: (number | null)[]; low: (number | null)[]; high: (number | null)[]; limit: (number | null)[]; baseline: (number | null)[] } {
  const out = { x: [] as number[], value: [] as (number | null)[], low: [] as (number | null)[], high: [] as (number | null)[], limit: [] as (number | null)[], baseline: [] as (number | null)[] };
  const push = (x: number, row: AlertEvaluation | null): void => {
    out.x.push(x);
    out.value.push(row?.value ?? null);
    out.low.push(row?.low ?? null);
    out.high.push(row?.high ?? null);
    out.limit.push(row?.limit ?? null);
    out.baseline.push(row?.baseline ?? null);
  };
  for (const row of rows) {
    const x = epochMs(row.at) / 1000;
    const before = out.x.at(-1);
    if (before !== undefined && x - before > GAP_S) push(before + 1, null);
    push(x, row);
  }
  return out;
}

function Drawn({ alert, rows }: { alert: { rule: string; unit: string }; rows: AlertEvaluation[] }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const { isDark } = useTheme();
  const baseline = rows.some((row) => row.baseline !== null);
  useEffect(() => {
    const host = box.current;
    if (!host || width < 80) return;
    const css = getComputedStyle(host);
    const colour = (name: string): string => css.getPropertyValue(name).trim();
    const font = `11px ${css.fontFamily}`;
    const { x, value, low, high, limit, baseline: usual } = columns(rows);
    // Times at which nothing was judged are shaded, each to the next evaluation that is stored.
    const unjudged = rows.flatMap((row, i) => {
      const at = epochMs(row.at) / 1000;
      const next = rows[i + 1];
      const until = next ? epochMs(next.at) / 1000 : at + 30;
      return row.judgement === "ok" || row.judgement === "firing" ? [] : [{ at, until: until - at > GAP_S ? at + 30 : until }];
    });
    const mark = (v: number): string => `${Number(v.toPrecision(3))}${alert.unit ? `\u202f${alert.unit}` : ""}`;
    const plot = new uPlot(
      {
        width,
        height: HEIGHT,
        padding: [8, 20, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
        scales: { x: { time: false }, y: { range: (_self, min, max) => [Math.min(0, min ?? 0), Math.max(max ?? 0, 1e-9) * 1.08] } },
        bands: [{ series: [3, 2], fill: colour("--band") }],
        axes: [
          { font, size: 26, gap: 9, stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, space: 90, incrs: [60, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400], values: (_self, splits) => splits.map((at) => clock(at * 1000).slice(0, 5)) },
          { font, size: 66, gap: 6, stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, values: (_self, splits) => splits.map(mark) },
        ],
        series: [
          {},
          { stroke: colour("--accent"), width: 1.75, points: { show: rows.length < 40, size: 4, fill: colour("--accent") } },
          { stroke: colour("--band-edge"), width: 0.75, points: { show: false } },
          { stroke: colour("--band-edge"), width: 0.75, points: { show: false } },
          { stroke: colour("--failed"), width: 1.25, dash: [6, 4], points: { show: false } },
          { stroke: colour("--muted"), width: 1.25, dash: [2, 3], points: { show: false } },
        ],
        hooks: {
          drawClear: [
            (self) => {
              const { ctx } = self;
              ctx.save();
              ctx.fillStyle = colour("--sunk");
              for (const { at, until } of unjudged) {
                const left = self.valToPos(at, "x", true);
                ctx.fillRect(left, self.bbox.top, Math.max(self.valToPos(until, "x", true) - left, 1), self.bbox.height);
              }
              ctx.restore();
            },
          ],
          setCursor: [
            (self) => {
              const at = self.cursor.idx;
              const node = host.parentElement?.querySelector("output");
              const when = typeof at === "number" ? x[at] : undefined;
              const row = when === undefined ? undefined : rows.find((each) => epochMs(each.at) / 1000 === when);
              if (node) node.textContent = row ? told(row, alert.unit) : "";
            },
          ],
        },
      },
      [x, value, low, high, limit, usual],
      host,
    );
    return () => plot.destroy();
  }, [width, isDark, rows, alert]);
  const last = rows.at(-1);
  return (
    <div class="alert-chart">
      <p class="legend">
        <span>
          <svg width="26" height="8" aria-hidden="true">
            <line class="of-value" x1="0" x2="26" y1="4" y2="4" />
          </svg>
          value and its bounds
        </span>
        <span>
          <svg width="26" height="8" aria-hidden="true">
            <line class="of-limit" x1="0" x2="26" y1="4" y2="4" stroke-dasharray="6 4" />
          </svg>
          limit
        </span>
        {baseline && (
          <span>
            <svg width="26" height="8" aria-hidden="true">
              <line class="of-usual" x1="0" x2="26" y1="4" y2="4" stroke-dasharray="2 3" />
            </svg>
            usual at this hour
          </span>
        )}
        <output />
      </p>
      <div class="charts" ref={box} role="img" aria-label={last ? `${alert.rule}: ${told(last, alert.unit)}` : alert.rule} />
    </div>
  );
}

function told(row: AlertEvaluation, unit: string): string {
  const of = (value: number | null): string => `${number(value, 2)}${unit && value !== null ? `\u202f${unit}` : ""}`;
  const bounds = row.low !== null || row.high !== null ? ` (${of(row.low)} to ${of(row.high)})` : "";
  return `${day(row.at)} ${clock(row.at).slice(0, 5)} UTC: ${of(row.value)}${bounds}, ${number(row.samples)} samples, ${row.state.replaceAll("_", " ")}`;
}
