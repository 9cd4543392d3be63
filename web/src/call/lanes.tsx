// Both directions of a call's media on one time axis, with the signalling above it.

import { Fragment } from "preact";
import { useCallback, useMemo, useRef, useState } from "preact/hooks";
import { clock, count, duration, epochMs, mos, ms, msList, number, percent, scaleShort, UNKNOWN } from "../format";
import { useWidth } from "../hooks";
import { MosValue, Term } from "../parts";
import type { CallDetail, IntervalRow, SipMessage, StreamRow } from "../types";
import { captureBlamed, nullReason } from "../words";
import { Buffers } from "./buffers";
import { GUTTER, LaneCharts, RIGHT, type SipMark, type TimeRange, topOf, wholeRange } from "./chart";
import { Budget, BurstLine } from "./costs";
import { DirectionTrust } from "./direction-trust";
import type { Direction } from "./directions";
import { type Reported, reportedOf } from "./receiver";
import { Measured, Remote } from "./remote";
import { whatSpoilt, worstInterval } from "./worst";

const MARK_ROWS = 3;
const MARK_ROW_PX = 15;
const CHARACTER_PX = 6.6;
const MOST_STRETCH = 2;
const NO_REPORTS: Reported[] = [];

interface Props {
  detail: CallDetail;
  all: Direction[];
  onMessage: (index: number) => void;
}

export function Lanes({ detail, all, onMessage }: Props) {
  const marks = useMemo(() => sipMarks(detail.ladder), [detail]);
  const whole = useMemo(() => wholeRange(marks, all), [marks, all]);
  const [range, setRange] = useState<TimeRange | null>(null);
  const shown = range ?? whole;
  const rows = all.flatMap((direction) => direction.intervals.map(({ row }) => row));
  const reported = useMemo(() => new Map(all.map((direction) => [direction.key, reportedOf(detail, direction)])), [detail, all]);
  const said = [...reported.values()].flat();
  const ourTop = topOf(
    rows.flatMap((row) => [row.delay_variation_ms.p95, row.delay_variation_ms.p99, row.jitter_ms.mean]),
    4,
  );
  // Digits inflate reported jitter: it may stretch the scale, not flatten all else.
  const delayTop = topOf([ourTop, ...said.map(({ jitterMs }) => (jitterMs === null ? null : Math.min(jitterMs, MOST_STRETCH * ourTop)))], 4);
  const lossTop = topOf([...rows.map((row) => (row.expected > 0 ? (100 * row.lost) / row.expected : null)), ...said.map(({ lossPct }) => lossPct)], 2);
  const zoom = useCallback(
    (next: TimeRange) => {
      if (!whole) return;
      const isWhole = Math.abs(next.min - whole.min) < 0.01 && Math.abs(next.max - whole.max) < 0.01;
      setRange((before) => (isWhole ? null : before && before.min === next.min && before.max === next.max ? before : next));
    },
    [whole],
  );
  if (!shown || !whole) return null;
  return (
    <section class="lanes panel" aria-labelledby="media-title">
      <div class="head">
        <h2 id="media-title">Media, both directions on one time axis</h2>
        <span class="hint">Drag to zoom in. Times are UTC.</span>
        {range && (
          <button type="button" onClick={() => setRange(null)}>
            Whole call
          </button>
        )}
      </div>
      <Legend reported={said.length > 0} />
      {marks.length > 0 && <MarkStrip marks={marks} range={shown} onPick={onMessage} />}
      {all.map((direction, i) => (
        <Lane
          key={direction.key}
          direction={direction}
          detail={detail}
          reported={reported.get(direction.key) ?? NO_REPORTS}
          range={shown}
          delayTop={delayTop}
          lossTop={lossTop}
          marks={marks}
          last={i === all.length - 1}
          onZoom={zoom}
          onWhole={() => setRange(null)}
        />
      ))}
    </section>
  );
}

function Legend({ reported }: { reported: boolean }) {
  return (
    <p class="legend" aria-hidden="true">
      <span>
        <svg width="22" height="10">
          <path class="of-mos" d="M0 3h11v4h11" />
        </svg>
        MOS
      </span>
      <span>
        <svg width="22" height="10">
          <rect class="of-band" width="22" height="10" />
        </svg>
        delay variation p50 to p95
      </span>
      <span>
        <svg width="22" height="10">
          <path class="of-max" d="M0 5h22" />
        </svg>
        max (▲ off scale)
      </span>
      <span>
        <svg width="22" height="10">
          <path class="of-jitter" d="M0 5h22" />
        </svg>
        jitter
      </span>
      <span>
        <svg width="22" height="10">
          <rect class="of-loss" x="1" width="9" height="10" />
          <path class="of-hatch" d="M12 10L20 0M16 10L22 3M12 5L16 0M12.5 .5h9v9h-9z" />
        </svg>
        loss, hatched where the probe is suspected
      </span>
      <span>
        <svg width="22" height="10">
          <rect class="of-silence" x=".5" y=".5" width="21" height="9" />
        </svg>
        nothing received
      </span>
      {reported && (
        <span>
          <svg width="34" height="10">
            <path class="of-remote" d="M0 5h34" />
            <circle class="of-remote" cx="17" cy="5" r="2.5" />
          </svg>
          loss and jitter as the receiver reports them
        </span>
      )}
    </p>
  );
}

interface LaneProps {
  direction: Direction;
  detail: CallDetail;
  reported: Reported[];
  range: TimeRange;
  delayTop: number;
  lossTop: number;
  marks: SipMark[];
  last: boolean;
  onZoom: (range: TimeRange) => void;
  onWhole: () => void;
}

function Lane({ direction, detail, reported, range, delayTop, lossTop, marks, last, onZoom, onWhole }: LaneProps) {
  const readout = useRef<HTMLParagraphElement>(null);
  const answered = detail.call.answered_at;
  const onCursor = useCallback(
    (index: number | null) => {
      const target = readout.current;
      if (!target) return;
      const found = index === null ? undefined : direction.intervals[index];
      target.textContent = found ? describe(found.row, answered, saidThen(reported, found.row)) : "";
      target.classList.toggle("on", found !== undefined);
    },
    [direction, answered, reported],
  );
  const first = direction.streams[0];
  if (!first) return null;
  return (
    <article class="lane" aria-label={`Direction ${direction.name || `${first.src} to ${first.dst}`}`}>
      <h3>
        {direction.name && <span class="way">{direction.name}</span>}
        <span class="mono">
          {first.src} → {direction.streams.at(-1)?.dst}
        </span>
      </h3>
      {direction.streams.map((stream) => (
        <Fragment key={stream.id}>
          <StreamFigures stream={stream} intervals={detail.intervals[stream.id] ?? []} several={direction.streams.length > 1} />
          <DirectionTrust detail={detail} stream={stream} />
        </Fragment>
      ))}
      {direction.intervals.length > 0 ? (
        <div onDblClick={onWhole}>
          <LaneCharts
            direction={direction}
            reported={reported}
            range={range}
            delayTop={delayTop}
            lossTop={lossTop}
            marks={marks}
            syncKey={detail.call.id}
            last={last}
            onCursor={onCursor}
            onZoom={onZoom}
          />
          <p class="readout" ref={readout} aria-hidden="true" />
        </div>
      ) : (
        <p class="hint">No interval rows are stored for this direction; they are kept for a shorter time than the totals above.</p>
      )}
      <LaneTable direction={direction} reported={reported} />
      {direction.streams.map((stream) => (
        <div key={stream.id} class="costs">
          {direction.streams.length > 1 && (
            <p class="which">
              {stream.codec ?? "unknown codec"}, from {clock(stream.first_at)}
            </p>
          )}
          <Remote detail={detail} stream={stream} />
          <Buffers stream={stream} />
          <Budget stream={stream} />
          <BurstLine stream={stream} />
          <Measured detail={detail} stream={stream} />
        </div>
      ))}
    </article>
  );
}

function StreamFigures({ stream, intervals, several }: { stream: StreamRow; intervals: IntervalRow[]; several: boolean }) {
  const dv = stream.delay_variation_ms;
  const worst = worstInterval(stream, intervals);
  return (
    <dl class="figures">
      <Figure term={several ? `${stream.codec ?? "unknown"}, ${clock(stream.first_at)}` : "Codec"}>
        {stream.codec ?? UNKNOWN}
        {stream.ptime_ms !== null && <small> {number(stream.ptime_ms)} ms</small>}
      </Figure>
      <Figure term="MOS-LQ, worst minute" of="mos_worst_minute">
        <MosValue value={stream.mos.worst_minute} scale={stream.mos.scale} why={stream.mos.reason_null} />
        {stream.mos.worst_minute_at !== null && <small> from {clock(stream.mos.worst_minute_at)}</small>}
        {stream.mos.beyond_model && <small title="Burst ratio above 2 with 2 % loss or more: G.107 does not vouch for the rating"> beyond G.107</small>}
      </Figure>
      <Figure term="MOS-LQ, full call" of="lq">
        <MosValue value={stream.mos.lq} scale={stream.mos.scale} why={stream.mos.reason_null} />
        {stream.mos.lq === null && <small> {nullReason(stream.mos.reason_null)}</small>}
      </Figure>
      <Figure term="Worst interval" of="mos_worst_interval">
        <MosValue value={stream.mos.worst_interval} scale={stream.mos.scale} why={stream.mos.reason_null} />
        {worst && <small title={`The interval from ${clock(worst.start_at)} UTC`}> {whatSpoilt(worst)}</small>}
      </Figure>
      <Figure term="Lost" of="loss_pct">
        {percent(stream.loss_pct)} <small>{`${count(stream.lost)} of ${count(stream.expected)}`}</small>
        {captureBlamed(stream.quality.loss_source) && <span class="tag">Probe drop?</span>}
      </Figure>
      <Figure term="Longest run" of="loss_runs.longest">{stream.longest_loss_run > 0 ? number(stream.longest_loss_run) : "0"}</Figure>
      <Figure term="Delay var. p50 / p95 / p99" of="pdv_p95_ms">
        {msList([dv.p50, dv.p95, dv.p99])}
      </Figure>
      <Figure term="max" of="pdv_max">{ms(dv.max)}</Figure>
      <Figure term="Jitter mean / max" of="jitter">
        {msList([stream.jitter_ms.mean, stream.jitter_ms.max])}
      </Figure>
      <Figure term="Reordered" of="reordered">{number(stream.reordered)}</Figure>
      <Figure term="SSRC">
        <span class="mono">{stream.ssrc}</span>
      </Figure>
      <LossRuns runs={stream.loss_runs} />
    </dl>
  );
}

function Figure({ term, of, children }: { term: string; of?: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{of ? <Term of={of}>{term}</Term> : term}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** How many runs of how many packets: one bar per length. */
function LossRuns({ runs }: { runs: Record<string, number> }) {
  const entries = Object.entries(runs)
    .filter(([, n]) => n > 0)
    .sort(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  if (entries.length === 0) return null;
  const most = Math.max(...entries.map(([, n]) => n));
  return (
    <div class="runs">
      <dt>
        <Term of="loss_runs.counts">Loss burst lengths</Term>
      </dt>
      <dd>
        {entries.map(([length, n]) => (
          <span key={length} title={`${number(n)} bursts of ${length} packets`}>
            <svg width="20" height="16" aria-hidden="true">
              <rect x="1" width="18" y={16 - Math.max(2, (16 * n) / most)} height={Math.max(2, (16 * n) / most)} />
            </svg>
            <b>{length}</b>
            <small>×{count(n)}</small>
          </span>
        ))}
      </dd>
    </div>
  );
}

/** The receiver's last word within an interval. */
function saidThen(reported: Reported[], row: IntervalRow): Reported | null {
  const from = epochMs(row.start_at) / 1000;
  return reported.findLast(({ at }) => at >= from && at < from + row.length_ms / 1000) ?? null;
}

function describe(row: IntervalRow, answered: string | null, said: Reported | null): string {
  const at = epochMs(row.start_at);
  const since = answered ? ` (${duration(Math.max(at - epochMs(answered), 0))} after answer)` : "";
  const rated = row.mos_lq === null ? `no MOS (${nullReason(row.mos_reason_null)})` : `MOS ${mos(row.mos_lq)} ${scaleShort(row.mos_scale)}`;
  const dv = row.delay_variation_ms;
  const lost = row.lost === 0 ? "no loss" : `lost ${number(row.lost)} of ${number(row.expected)}, longest run ${number(row.longest_loss_run)}${captureBlamed(row.loss_source) ? ", probe suspected" : ""}`;
  return `${clock(at)} to ${clock(at + row.length_ms)}${since}: ${rated}; delay variation p50 ${ms(dv.p50)}, p95 ${ms(dv.p95)}, max ${ms(dv.max)}; jitter ${ms(row.jitter_ms.mean)}; ${lost}${(row.max_gap_ms ?? 0) >= 1000 ? `; nothing for ${ms(row.max_gap_ms)}` : ""}${said ? `; the receiver says lost ${percent(said.lossPct)}, jitter ${ms(said.jitterMs)}` : ""}`;
}

/** The charts once more as a table, for those who read rather than see. */
function LaneTable({ direction, reported }: { direction: Direction; reported: Reported[] }) {
  return (
    <details class="twin">
      <summary>Show as table ({number(direction.intervals.length)} intervals)</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="Intervals">
        <table>
          <thead>
            <tr>
              <th scope="col">Start, UTC</th>
              <th scope="col">Length</th>
              <th scope="col">MOS-LQ</th>
              <th scope="col">p50</th>
              <th scope="col">p95</th>
              <th scope="col">p99</th>
              <th scope="col">max</th>
              <th scope="col">Jitter</th>
              <th scope="col">Lost</th>
              <th scope="col">Longest run</th>
              <th scope="col">Reordered</th>
              <th scope="col">Longest gap</th>
              {reported.length > 0 && (
                <>
                  <th scope="col">Receiver: lost</th>
                  <th scope="col">Receiver: jitter</th>
                </>
              )}
            </tr>
          </thead>
          <tbody>
            {direction.intervals.map(({ row, stream }) => (
              <tr key={`${stream.id}${row.start_at}`}>
                <th scope="row">{clock(row.start_at)}</th>
                <td>{duration(row.length_ms)}</td>
                <td>
                  <MosValue value={row.mos_lq} scale={row.mos_scale} why={row.mos_reason_null} />
                </td>
                <td>{ms(row.delay_variation_ms.p50)}</td>
                <td>{ms(row.delay_variation_ms.p95)}</td>
                <td>{ms(row.delay_variation_ms.p99)}</td>
                <td>{ms(row.delay_variation_ms.max)}</td>
                <td>{ms(row.jitter_ms.mean)}</td>
                <td>
                  {number(row.lost)} of {number(row.expected)}
                  {captureBlamed(row.loss_source) && " (probe suspected)"}
                </td>
                <td>{number(row.longest_loss_run)}</td>
                <td>{number(row.reordered)}</td>
                <td>{ms(row.max_gap_ms)}</td>
                {reported.length > 0 && <SaidCells said={saidThen(reported, row)} />}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function SaidCells({ said }: { said: Reported | null }) {
  if (!said) return <td colSpan={2}>– no report then</td>;
  return (
    <>
      <td>{percent(said.lossPct)}</td>
      <td>{ms(said.jitterMs)}</td>
    </>
  );
}

interface IndexedMark extends SipMark {
  index: number;
}

/** Messages worth a mark: the first of each, neither 100 nor repeats, nor the same message one hop on. */
function sipMarks(ladder: SipMessage[]): IndexedMark[] {
  const seen = new Set<string>();
  const out: IndexedMark[] = [];
  ladder.forEach((message, index) => {
    if (message.retransmission || message.status === 100) return;
    const key = `${message.status ?? ""} ${message.method} ${message.cseq}`;
    if (seen.has(key)) return;
    seen.add(key);
    const reinvite = message.method === "INVITE" && message.status === null && out.some((mark) => mark.label === "200 INVITE");
    const label = message.status ? `${message.status} ${message.method}` : reinvite ? "re-INVITE" : message.method;
    out.push({ at: epochMs(message.at) / 1000, label, index });
  });
  return out;
}

interface PlacedMark extends IndexedMark {
  x: number;
  /** Row of its label, -1 when there was no room for one. */
  row: number;
  flip: boolean;
}

/** Gives labels to as many marks as fit, the telling ones first. */
function place(marks: IndexedMark[], range: TimeRange, width: number): PlacedMark[] {
  const inner = Math.max(width - GUTTER - RIGHT, 1);
  const taken: [number, number][][] = Array.from({ length: MARK_ROWS }, () => []);
  const weight = (label: string): number => {
    const at = ["INVITE", "200 INVITE", "BYE", "CANCEL", "re-INVITE", "180 INVITE"].indexOf(label);
    return at >= 0 ? at : /^[3-6]/.test(label) ? 2 : label === "ACK" ? 20 : 10;
  };
  const inView = marks
    .map((mark): PlacedMark => ({ ...mark, x: GUTTER + ((mark.at - range.min) / (range.max - range.min)) * inner, row: -1, flip: false }))
    .filter(({ x }) => x >= GUTTER - 1 && x <= width - RIGHT + 1);
  for (const mark of [...inView].sort((a, b) => weight(a.label) - weight(b.label))) {
    const length = mark.label.length * CHARACTER_PX + 10;
    mark.flip = mark.x + length > width;
    const [from, to] = mark.flip ? [mark.x - length, mark.x] : [mark.x, mark.x + length];
    mark.row = taken.findIndex((row) => row.every(([a, b]) => to <= a || from >= b));
    taken[mark.row]?.push([from, to]);
  }
  return inView;
}

function MarkStrip({ marks, range, onPick }: { marks: IndexedMark[]; range: TimeRange; onPick: (index: number) => void }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const height = MARK_ROWS * MARK_ROW_PX + 6;
  const placed = place(marks, range, width);
  return (
    <div class="marks" ref={box}>
      <svg width={width} height={height} role="group" aria-label="Signalling on the time axis">
        <text class="side" x={GUTTER - 6} y="12">
          SIP
        </text>
        {placed.map((mark) => (
          <line key={mark.index} class="stem" x1={mark.x} x2={mark.x} y1={Math.max(mark.row, 0) * MARK_ROW_PX + 2} y2={height} />
        ))}
        {placed.map((mark) => (
          <g
            key={mark.index}
            role="button"
            tabindex={0}
            aria-label={`${mark.label} at ${clock(mark.at * 1000, true)}: show in the ladder`}
            onClick={() => onPick(mark.index)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" && event.key !== " ") return;
              event.preventDefault();
              onPick(mark.index);
            }}
          >
            <title>{`${mark.label}, ${clock(mark.at * 1000, true)} UTC`}</title>
            <line class="hit" x1={mark.x} x2={mark.x} y1={Math.max(mark.row, 0) * MARK_ROW_PX + 2} y2={height} />
            {mark.row >= 0 && (
              <text x={mark.flip ? mark.x - 4 : mark.x + 4} y={mark.row * MARK_ROW_PX + 12} text-anchor={mark.flip ? "end" : "start"}>
                {mark.label}
              </text>
            )}
          </g>
        ))}
      </svg>
    </div>
  );
}
