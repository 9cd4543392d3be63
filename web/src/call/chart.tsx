// Three small charts per direction on the call's one time axis: MOS, delay variation with jitter, loss.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { clock } from "../format";
import { useTheme, useWidth } from "../hooks";
import type { IntervalRow } from "../types";
import { captureBlamed } from "../words";
import { type Direction, spanOf } from "./directions";
import type { Reported } from "./receiver";

/** Space left of and right of the plotting area, the same in every lane so that times line up. */
export const GUTTER = 52;
export const RIGHT = 14;
const CLOSE_S = 1.5;
/** Below the lowest chart: the times, clear of its zero. */
const X_AXIS = 27;
/** Half the width of a time at the axis: one nearer to the edge would be cut. */
const HALF_TIME = 25;

export interface TimeRange {
  min: number;
  max: number;
}

export interface SipMark {
  at: number;
  label: string;
}

interface Props {
  direction: Direction;
  /** What the receiver says of it. */
  reported: Reported[];
  range: TimeRange;
  delayTop: number;
  lossTop: number;
  marks: SipMark[];
  syncKey: string;
  last: boolean;
  onCursor: (index: number | null) => void;
  onZoom: (range: TimeRange) => void;
}

interface Series {
  x: number[];
  /** Index into the direction's intervals per point, -1 for the end of a run. */
  index: number[];
  mos: (number | null)[];
  p50: (number | null)[];
  p95: (number | null)[];
  max: (number | null)[];
  jitter: (number | null)[];
  loss: (number | null)[];
}

/** Points at the start of each interval, one more where a run of intervals ends, so that steps keep their length. */
export function seriesOf(direction: Direction): Series {
  const s: Series = { x: [], index: [], mos: [], p50: [], p95: [], max: [], jitter: [], loss: [] };
  const push = (at: number, index: number, of: (number | null)[]): void => {
    const [mos = null, p50 = null, p95 = null, max = null, jitter = null, loss = null] = of;
    s.x.push(at);
    s.index.push(index);
    s.mos.push(mos);
    s.p50.push(p50);
    s.p95.push(p95);
    s.max.push(max);
    s.jitter.push(jitter);
    s.loss.push(loss);
  };
  direction.intervals.forEach((interval, i) => {
    const { from: at, to: end } = spanOf(interval);
    const values = figuresOf(interval.row);
    const before = s.x.at(-1);
    push(before !== undefined && at <= before ? before + 0.001 : at, i, values);
    const next = direction.intervals[i + 1];
    if (!next || spanOf(next).from - end > CLOSE_S) {
      push(Math.max(end, at + 0.001), i, values);
      push(Math.max(end, at + 0.001) + 0.002, -1, []);
    } else if (figuresOf(next.row).some((value, k) => value === null && values[k] !== null)) {
      // A step towards nothing is not drawn: the last one needs an end of its own.
      push(Math.max(spanOf(next).from - 0.001, at + 0.001), i, values);
    }
  });
  return s;
}

function figuresOf(row: IntervalRow): (number | null)[] {
  const dv = row.delay_variation_ms;
  const share = row.expected > 0 ? (100 * row.lost) / row.expected : null;
  return [row.mos_lq, dv.p50, dv.p95, dv.max, row.jitter_ms.mean, share];
}

export function LaneCharts(props: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const { isDark } = useTheme();
  const latest = useRef(props);
  latest.current = props;
  const plots = useRef<uPlot[]>([]);

  useEffect(() => {
    const host = box.current;
    if (!host || width < 80) return;
    const made = draw(host, width, latest);
    plots.current = made;
    return () => {
      for (const plot of made) plot.destroy();
      plots.current = [];
    };
  }, [width, isDark, props.direction, props.reported, props.delayTop, props.lossTop]);

  useEffect(() => {
    for (const plot of plots.current) {
      const { min, max } = plot.scales.x ?? {};
      if (min !== props.range.min || max !== props.range.max) plot.setScale("x", props.range);
    }
  }, [props.range.min, props.range.max]);

  return <div class="charts" ref={box} aria-hidden="true" />;
}

function draw(host: HTMLElement, width: number, latest: { current: Props }): uPlot[] {
  const { direction, reported, range, delayTop, lossTop, syncKey, last } = latest.current;
  const css = getComputedStyle(host);
  const colour = (name: string): string => css.getPropertyValue(name).trim();
  const font = `11px ${css.fontFamily}`;
  const s = seriesOf(direction);
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const steps = stepped ? { paths: stepped } : {};
  const line = (stroke: string, more: Partial<uPlot.Series> = {}): uPlot.Series => ({ stroke, width: 1.5, points: { show: false }, spanGaps: false, ...steps, ...more });
  const scale = direction.intervals.find(({ row }) => row.mos_scale)?.row.mos_scale;

  const options = (title: string, height: number, y: { range: [number, number]; splits: number[]; unit: string }, series: uPlot.Series[], more: Partial<uPlot.Options>, axis: boolean): uPlot.Options => ({
    width,
    height: height + (axis ? X_AXIS - 7 : 0),
    padding: [title.startsWith("MOS") ? 8 : 13, RIGHT, axis ? 0 : 7, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: true, y: false },
      sync: { key: syncKey, setSeries: false, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      bind: { dblclick: () => null },
    },
    scales: { x: { time: false, range: (_self, min, max) => [min, max] }, y: { range: y.range } },
    axes: [
      {
        show: axis,
        size: X_AXIS,
        font,
        stroke: colour("--muted"),
        grid: { stroke: colour("--grid"), width: 1 },
        ticks: { show: false },
        gap: 11,
        space: 90,
        incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600],
        values: (self, splits) => {
          const { min = 0, max = 0 } = self.scales.x ?? {};
          const last = (max ?? 0) - ((max ?? 0) - (min ?? 0)) * ((HALF_TIME - RIGHT) / (width - GUTTER - RIGHT));
          return splits.map((at) => (at > last ? null : clock(at * 1000)));
        },
      },
      {
        size: GUTTER,
        font,
        stroke: colour("--muted"),
        grid: { stroke: colour("--grid"), width: 1 },
        ticks: { show: false },
        gap: 6,
        splits: () => y.splits,
        values: (_self, splits) => splits.map((v, i) => (i === splits.length - 1 && y.unit ? `${v} ${y.unit}` : String(v))),
      },
    ],
    series: [{}, ...series],
    ...more,
    hooks: {
      ...more.hooks,
      drawClear: [(self) => drawSilence(self, s, colour("--sunk"))],
      draw: [(self) => drawMarks(self, latest.current.marks, colour("--marks")), ...(more.hooks?.draw ?? []), (self) => drawTitle(self, title, font, colour("--muted"), colour("--panel"))],
      setCursor: [
        (self) => {
          const at = self.cursor.idx;
          latest.current.onCursor(at === null || at === undefined || (self.cursor.left ?? -1) < 0 ? null : nearest(s, self.posToVal(self.cursor.left ?? 0, "x")));
        },
      ],
      setScale: [
        (self, key) => {
          const { min, max } = self.scales.x ?? {};
          if (key === "x" && typeof min === "number" && typeof max === "number") latest.current.onZoom({ min, max });
        },
      ],
    },
  });

  const mosTop = 5;
  const mos = new uPlot(
    options(`MOS-LQ${scale ? ` ${scale.toUpperCase()}` : ""}`, 72, { range: [1, mosTop], splits: [1, 3, 5], unit: "" }, [line(colour("--mos"), { width: 2 })], {}, false),
    [s.x, s.mos],
    host,
  );
  const delay = new uPlot(
    options(
      "Delay variation and jitter",
      117,
      { range: [0, delayTop], splits: splitsOf(delayTop), unit: "ms" },
      [
        line(colour("--band-edge"), { width: 1 }),
        line(colour("--band-edge"), { width: 1 }),
        line(colour("--max"), { width: 1, dash: [2, 3] }),
        line(colour("--jitter"), { width: 1.75 }),
      ],
      { bands: [{ series: [2, 1], fill: colour("--band") }], hooks: { draw: [(self) => drawOver(self, s, delayTop, colour("--max")), (self) => drawReported(self, reported, "jitterMs", delayTop, colour("--remote"), colour("--panel"))] } },
      false,
    ),
    [s.x, s.p50, s.p95, s.max, s.jitter],
    host,
  );
  const loss = new uPlot(
    options(
      "Loss",
      67,
      { range: [0, lossTop], splits: [0, lossTop / 2, lossTop], unit: "%" },
      [line("transparent", { width: 0, paths: () => null })],
      { hooks: { draw: [(self) => drawLoss(self, direction, colour("--loss")), (self) => drawReported(self, reported, "lossPct", lossTop, colour("--remote"), colour("--panel"))] } },
      last,
    ),
    [s.x, s.loss],
    host,
  );
  const all = [mos, delay, loss];
  for (const plot of all) plot.setScale("x", range);
  return all;
}

/** First to last moment of media and signalling, with a little air. */
export function wholeRange(marks: SipMark[], all: Direction[]): TimeRange | null {
  const spans = all.flatMap((direction) => direction.intervals.map(spanOf));
  const times = [...marks.map((mark) => mark.at), ...spans.flatMap(({ from, to }) => [from, to])];
  if (times.length === 0) return null;
  const min = times.reduce((a, b) => Math.min(a, b));
  const max = times.reduce((a, b) => Math.max(a, b));
  const air = Math.max((max - min) * 0.01, 0.25);
  return { min: min - air, max: max + air };
}

/** A round upper bound that shows the p95 and jitter well; rarer maxima may stand above it and are marked so. */
export function topOf(values: (number | null)[], least: number): number {
  const most = values.reduce<number>((top, v) => Math.max(top, v ?? 0), least);
  const size = 10 ** Math.floor(Math.log10(most));
  return ([1, 2, 4, 6, 8, 10].find((step) => step * size >= most) ?? 10) * size;
}

function splitsOf(top: number): number[] {
  return [0, top / 4, top / 2, (top * 3) / 4, top];
}

function nearest(s: Series, at: number): number | null {
  let found: number | null = null;
  for (let i = 0; i < s.x.length; i++) {
    if ((s.x[i] ?? Infinity) > at) break;
    found = s.index[i] ?? -1;
  }
  return found === null || found < 0 ? null : found;
}

function clipped(self: uPlot, paint: (ctx: CanvasRenderingContext2D, ratio: number) => void): void {
  const { ctx, bbox } = self;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  paint(ctx, devicePixelRatio || 1);
  ctx.restore();
}

/** Shades the time between two runs of intervals: nothing was received then. */
function drawSilence(self: uPlot, s: Series, fill: string): void {
  clipped(self, (ctx) => {
    ctx.fillStyle = fill;
    s.index.forEach((index, i) => {
      const next = s.x[i + 1];
      if (index >= 0 || next === undefined) return;
      const left = self.valToPos(s.x[i] ?? 0, "x", true);
      ctx.fillRect(left, self.bbox.top, self.valToPos(next, "x", true) - left, self.bbox.height);
    });
  });
}

function drawMarks(self: uPlot, marks: SipMark[], stroke: string): void {
  clipped(self, (ctx, ratio) => {
    ctx.strokeStyle = stroke;
    ctx.lineWidth = ratio;
    ctx.setLineDash([2 * ratio, 2 * ratio]);
    for (const mark of marks) {
      const x = Math.round(self.valToPos(mark.at, "x", true)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(x, self.bbox.top);
      ctx.lineTo(x, self.bbox.top + self.bbox.height);
      ctx.stroke();
    }
  });
}

/** MOS is at home at the top of its chart, so its title stands at the bottom. */
function drawTitle(self: uPlot, title: string, font: string, fill: string, ground: string): void {
  const { ctx, bbox } = self;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.font = font.replace("11px", `${11 * ratio}px`);
  const x = bbox.left + 6 * ratio;
  const top = title.startsWith("MOS") ? bbox.top + bbox.height - 17 * ratio : bbox.top + ratio;
  ctx.fillStyle = ground;
  ctx.globalAlpha = 0.8;
  ctx.fillRect(x - 3 * ratio, top, ctx.measureText(title).width + 6 * ratio, 15 * ratio);
  ctx.globalAlpha = 1;
  ctx.fillStyle = fill;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  ctx.fillText(title, x, top + 2 * ratio);
  ctx.restore();
}

/** A triangle at the upper edge where the maximum lies above the scale. */
function drawOver(self: uPlot, s: Series, top: number, fill: string): void {
  clipped(self, (ctx, ratio) => {
    ctx.fillStyle = fill;
    s.x.forEach((at, i) => {
      const next = s.x[i + 1];
      if ((s.max[i] ?? 0) <= top || next === undefined || next - at < 0.1) return;
      const x = self.valToPos((at + next) / 2, "x", true);
      const y = self.bbox.top + 1;
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x + 3.5 * ratio, y + 6 * ratio);
      ctx.lineTo(x - 3.5 * ratio, y + 6 * ratio);
      ctx.fill();
    });
  });
}

/** One bar per interval, as wide as the interval; hatched where the probe is blamed rather than the network. */
function drawLoss(self: uPlot, direction: Direction, fill: string): void {
  clipped(self, (ctx, ratio) => {
    for (const interval of direction.intervals) {
      const { row } = interval;
      if (row.lost === 0 || row.expected === 0) continue;
      const { from, to } = spanOf(interval);
      const left = self.valToPos(from, "x", true);
      const right = self.valToPos(to, "x", true);
      const zero = self.valToPos(0, "y", true);
      const y = Math.min(self.valToPos((100 * row.lost) / row.expected, "y", true), zero - 2 * ratio);
      const width = Math.max(right - left - ratio, ratio);
      ctx.fillStyle = fill;
      ctx.strokeStyle = fill;
      if (!captureBlamed(row.loss_source)) {
        ctx.fillRect(left, y, width, zero - y);
        continue;
      }
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, y, width, zero - y);
      ctx.clip();
      ctx.lineWidth = 1.5 * ratio;
      for (let x = left - (zero - y); x < right; x += 5 * ratio) {
        ctx.beginPath();
        ctx.moveTo(x, zero);
        ctx.lineTo(x + (zero - y), y);
        ctx.stroke();
      }
      ctx.restore();
      ctx.lineWidth = ratio;
      ctx.strokeRect(left + 0.5, y + 0.5, width - 1, zero - y - 1);
    }
  });
}

/** Rings stand apart from each other and from zero, or are left out. */
const RING_SPACE_PX = 9;
const RING_LEAST_PX = 3;

/** Long dashes from report to report with a ring at each; loss in steps, as it holds since the report before. Above the scale it runs along the edge. */
function drawReported(self: uPlot, reported: Reported[], which: "lossPct" | "jitterMs", top: number, stroke: string, ground: string): void {
  clipped(self, (ctx, ratio) => {
    const edge = self.bbox.top + 2 * ratio;
    const yOf = (value: number): number => (value > top ? edge : Math.max(self.valToPos(value, "y", true), edge));
    const points = reported.flatMap(({ from, at, [which]: value }) => (value === null ? [] : [{ from: self.valToPos(from, "x", true), x: self.valToPos(at, "x", true), y: yOf(Math.max(value, 0)) }]));
    ctx.strokeStyle = stroke;
    ctx.lineWidth = 1.5 * ratio;
    ctx.setLineDash([7 * ratio, 4 * ratio]);
    ctx.beginPath();
    points.forEach(({ from, x, y }, i) => {
      if (which === "lossPct") {
        if (i === 0 || from > (points[i - 1]?.x ?? from) + ratio) ctx.moveTo(from, y);
        else ctx.lineTo(from, y);
      }
      if (which === "jitterMs" && i === 0) ctx.moveTo(x, y);
      else ctx.lineTo(x, y);
    });
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = ground;
    const zero = self.valToPos(0, "y", true);
    let free = Number.NEGATIVE_INFINITY;
    for (const { x, y } of points) {
      if (x < free || zero - y < RING_LEAST_PX * ratio) continue;
      free = x + RING_SPACE_PX * ratio;
      ctx.beginPath();
      ctx.arc(x, y, 2.5 * ratio, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
  });
}
