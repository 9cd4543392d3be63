// Percentiles over any grouping: a table of groups and the same figure over time.

import { useEffect, useMemo, useState } from "preact/hooks";
import { alertHistory, range as loadRange, stats as loadStats } from "../api";
import { changed } from "../calls/query";
import { count, epochMs, mos, ms, number, percent, plural, scaleLong, scaleShort, UNKNOWN } from "../format";
import { useLoad, useTitle } from "../hooks";
import { Failure, MomentField, Notice, Term } from "../parts";
import { navigate } from "../router";
import { useRights } from "../session/store";
import type { PastAlert, Stats, StatsGroup } from "../types";
import { FIGURES, type Figure, figureOf, OverTime } from "./chart";

const GROUPINGS = ["codec", "trunk", "trunk_direction", "site", "probe", "src", "dst"] as const;
const GROUPING_WORDS: Record<string, string> = { codec: "Codec", trunk: "Trunk", trunk_direction: "Direction", site: "Site", probe: "Probe", src: "Source", dst: "Destination" };
/** Groupings that show addresses, which a viewer may not see. */
const OF_PARTIES: readonly string[] = ["src", "dst"];
const MOST_GROUPINGS = 3;

/** What one may group by. */
function groupings(withParties: boolean): string[] {
  return GROUPINGS.filter((name) => withParties || !OF_PARTIES.includes(name));
}
const MOST_ROWS = 1000;
const MOST_POINTS = 120;
const BUCKETS_S = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
const CHART_LINES = 6;

export function StatsPage({ query }: { query: URLSearchParams }) {
  useTitle("Statistics");
  const range = useLoad("range", loadRange);
  if (range.error) return <Failure error={range.error} retry={range.retry} />;
  if (!range.data) return <p class="loading">Loading …</p>;
  if (range.data.streams === 0) {
    return (
      <Notice kind="empty" title="No stream is stored yet.">
        <p>Statistics come from the intervals of measured RTP streams; they show up a few seconds after the first packets.</p>
      </Notice>
    );
  }
  return <Groups query={query} />;
}

function Groups({ query }: { query: URLSearchParams }) {
  const withParties = useRights().calls;
  const by = (query.get("group_by") ?? "codec").split(",").filter((name) => groupings(withParties).includes(name));
  const figure = FIGURES.find((each) => each.id === query.get("figure")) ?? FIGURES[1];
  const asked = new URLSearchParams();
  for (const name of ["from", "to", "codec", "trunk", "site", ...(withParties ? ["address"] : [])]) {
    const value = query.get(name);
    if (value) asked.set(name, value);
  }
  asked.set("group_by", by.join(","));
  const total = useLoad(asked.toString(), (signal) => loadStats(asked, signal));

  const window = total.data?.window ?? null;
  const overTime = window ? timeQuery(asked, window, total.data?.groups.length ?? 1) : null;
  const series = useLoad(overTime?.toString() ?? null, (signal) => loadStats(overTime ?? asked, signal));
  const bands = useLoad(window ? `bands ${bandsQuery(asked, window)}` : null, (signal) => alertHistory(bandsQuery(asked, window), signal));
  const alerts = useMemo(() => (bands.data?.alerts ?? []).filter((each) => concerns(each, asked)), [bands.data, asked.toString()]);
  const set = (changes: Record<string, string | null>): void => navigate(changed(query, "/stats", changes));
  if (!figure) return null;
  return (
    <>
      <h1 class="sr">Statistics</h1>
      <Controls query={query} by={by} figure={figure} window={window} set={set} />
      {total.error ? (
        <Failure error={total.error} retry={total.retry} />
      ) : !total.data ? (
        <p class="loading">Loading …</p>
      ) : total.data.groups.length === 0 ? (
        <Notice kind="empty" title="No stream in this window.">
          <p>
            <button type="button" onClick={() => set({ from: null, to: null, codec: null, trunk: null, site: null, address: null })}>
              Show all data
            </button>
          </p>
        </Notice>
      ) : (
        <Shown stats={total.data} series={series.data} by={by} figure={figure} alerts={alerts} />
      )}
    </>
  );
}

/** The same question per time bucket, with buckets as short as the limit on rows allows. */
function timeQuery(asked: URLSearchParams, window: { from: string; to: string }, groups: number): URLSearchParams {
  const out = new URLSearchParams(asked);
  const points = Math.max(2, Math.min(MOST_POINTS, Math.floor(MOST_ROWS / Math.max(groups, 1)) - 1));
  const seconds = (epochMs(window.to) - epochMs(window.from)) / 1000;
  const bucket = BUCKETS_S.find((each) => seconds / each <= points) ?? Math.ceil(seconds / points / 86400) * 86400;
  out.set("bucket_s", String(bucket));
  return out;
}

interface ControlsProps {
  query: URLSearchParams;
  by: string[];
  figure: Figure;
  window: { from: string; to: string } | null;
  set: (changes: Record<string, string | null>) => void;
}

function Controls({ query, by, figure, window, set }: ControlsProps) {
  const withParties = useRights().calls;
  const narrowed = ["from", "to", "codec", "trunk", "site", "address"].some((name) => query.has(name));
  const [from, to] = [query.get("from") ?? window?.from ?? null, query.get("to") ?? window?.to ?? null];
  return (
    <form class="filters" aria-label="Statistics" onSubmit={(event) => event.preventDefault()}>
      <div class="line">
        <fieldset class="field groupings">
          <legend>Group by, up to {MOST_GROUPINGS}</legend>
          <div class="choices">
            {groupings(withParties).map((name) => (
              <label key={name}>
                <input
                  type="checkbox"
                  checked={by.includes(name)}
                  disabled={!by.includes(name) && by.length >= MOST_GROUPINGS}
                  onChange={(event) => set({ group_by: (event.currentTarget.checked ? [...by, name] : by.filter((each) => each !== name)).join(",") || "," })}
                />
                {GROUPING_WORDS[name]}
              </label>
            ))}
          </div>
        </fieldset>
        <MomentField label="From, UTC" value={from} onChange={(value) => set({ from: value, to })} />
        <MomentField label="To, UTC" value={to} onChange={(value) => set({ from, to: value })} />
        <label class="field">
          <span>Chart metric</span>
          <select value={figure.id} onChange={(event) => set({ figure: event.currentTarget.value })}>
            {FIGURES.map((each) => (
              <option key={each.id} value={each.id}>
                {each.label}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class="plain" disabled={!narrowed} onClick={() => set({ from: null, to: null, codec: null, trunk: null, site: null, address: null })}>
          All data
        </button>
      </div>
    </form>
  );
}

/** Alerts of the window, of the trunk asked for. */
function bandsQuery(asked: URLSearchParams, window: { from: string; to: string } | null): URLSearchParams {
  const out = new URLSearchParams({ limit: "100" });
  if (window) {
    out.set("from", window.from);
    out.set("to", window.to);
  }
  const trunk = asked.get("trunk");
  if (trunk) out.set("trunk", trunk);
  return out;
}

/** Whether an alert is about the streams asked for: what both narrow by is the same. */
function concerns(alert: PastAlert, asked: URLSearchParams): boolean {
  return ["codec", "site"].every((name) => !asked.get(name) || alert.group[name] === undefined || alert.group[name]?.toLowerCase() === asked.get(name)?.toLowerCase());
}

function Shown({ stats, series, by, figure, alerts }: { stats: Stats; series: Stats | null; by: string[]; figure: Figure; alerts: PastAlert[] }) {
  const sorted = useMemo(() => [...stats.groups].sort((a, b) => (figureOf(b, figure) ?? -1) - (figureOf(a, figure) ?? -1)), [stats, figure]);
  const keys = sorted.map((group) => keyText(group.key, by));
  // Sums over streams do not know different calls.
  const calls = stats.source === "raw";
  const linked = useRights().calls;
  const [chosen, setChosen] = useState<string[]>([]);
  const all = keys.join("\n");
  useEffect(() => setChosen(keys.slice(0, CHART_LINES)), [all]);
  const toggle = (key: string): void => setChosen((before) => (before.includes(key) ? before.filter((each) => each !== key) : before.length < CHART_LINES ? [...before, key] : before));
  return (
    <>
      {series && series.groups.length > 0 && <OverTime series={series} keys={chosen} keyOf={(group) => keyText(group.key, by)} figure={figure} alerts={alerts} />}
      {(stats.truncated || series?.truncated) && (
        <Notice kind="warn" title={`More than ${number(MOST_ROWS)} groups: truncated. Use fewer groupings or narrow the window.`} />
      )}
      <div class="scroll" tabIndex={0} role="region" aria-label="Groups">
        <table class="plain stats">
          <caption class="sr">Figures per group, worst first</caption>
          <thead>
            <tr>
              <th rowSpan={2} scope="col">
                <span class="sr">In the chart</span>
              </th>
              {(by.length > 0 ? by : ["all"]).map((name) => (
                <th key={name} rowSpan={2} scope="col">
                  {GROUPING_WORDS[name] ?? "Group"}
                </th>
              ))}
              {(calls ? ["Calls", "Streams", "Packets"] : ["Streams", "Packets"]).map((name) => (
                <th key={name} rowSpan={2} scope="col" class="n">
                  {name}
                </th>
              ))}
              <th colSpan={4} scope="colgroup" class="span">
                <Term of="pdv">Delay variation</Term>
              </th>
              {Object.entries({ jitter_mean: "Jitter p95", jitter: "Jitter max", loss_pct: "Loss", reordered: "Reordered" }).map(([of, name]) => (
                <th key={name} rowSpan={2} scope="col" class="n">
                  <Term of={of === "jitter_mean" ? "jitter" : of}>{name}</Term>
                </th>
              ))}
              <th rowSpan={2} scope="col">
                <Term of="loss_runs.counts">Loss runs</Term>
              </th>
              <th rowSpan={2} scope="col">
                <Term of="lq">MOS p5, p50</Term>
              </th>
            </tr>
            <tr>
              {["p50", "p95", "p99", "p99.9"].map((name) => (
                <th key={name} scope="col" class="n">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sorted.map((group, i) => {
              const key = keys[i] ?? "";
              const line = chosen.indexOf(key);
              return <Row key={key} group={group} by={by} window={stats.window} calls={calls} linked={linked} line={line} full={line < 0 && chosen.length >= CHART_LINES} onToggle={() => toggle(key)} name={key} />;
            })}
          </tbody>
        </table>
      </div>
      <p class="hint">
        Percentiles of delay variation are over all packets of the group, those of jitter over the intervals of its streams: no averages of averages. A percentile over few streams says little.
        {linked && " A group name leads to its calls, worst first."}
      </p>
    </>
  );
}

interface RowProps {
  group: StatsGroup;
  by: string[];
  window: { from: string; to: string };
  calls: boolean;
  /** Whether the reader may see the calls of a group. */
  linked: boolean;
  line: number;
  full: boolean;
  name: string;
  onToggle: () => void;
}

function Row({ group, by, window, calls, linked, line, full, name, onToggle }: RowProps) {
  const dv = group.delay_variation_ms;
  return (
    <tr>
      <td>
        <label class="in-chart">
          <input type="checkbox" checked={line >= 0} disabled={full} onChange={onToggle} />
          <span class="sr">{name} in the chart</span>
          <span class={`swatch line-${line}`} aria-hidden="true" />
        </label>
      </td>
      {by.map((each, i) => (
        <th key={each} scope={i === 0 ? "row" : undefined}>
          {linked ? <a href={callsOf(group, by, window)}>{group.key[each] || "none"}</a> : group.key[each] || "none"}
        </th>
      ))}
      {by.length === 0 && <th scope="row">All</th>}
      {calls && <td class="n">{group.calls === null ? UNKNOWN : number(group.calls)}</td>}
      <td class="n">{number(group.streams)}</td>
      <td class="n">{count(group.packets)}</td>
      <td class="n">{ms(dv.p50)}</td>
      <td class="n">{ms(dv.p95)}</td>
      <td class="n">{ms(dv.p99)}</td>
      <td class="n">{ms(dv.p999)}</td>
      <td class="n">{ms(group.jitter_ms.p95)}</td>
      <td class="n">{ms(group.jitter_max_ms)}</td>
      <td class="n" title={lossSaid(group)}>
        {percent(group.loss_pct)}
      </td>
      <td class="n">{number(group.reordered)}</td>
      <td>
        <Runs runs={group.loss_runs} />
      </td>
      <td>
        {group.mos.length === 0
          ? UNKNOWN
          : group.mos.map((each) => (
              <span key={each.scale} class="mos" title={`${plural(each.intervals, "interval")}, ${scaleLong(each.scale)}`}>
                {mos(each.p5)}, {mos(each.p50)}
                <abbr>{scaleShort(each.scale)}</abbr>
              </span>
            ))}
      </td>
    </tr>
  );
}

/** Lost packets by loss source: packets that the probe missed were not lost on the network. */
function lossSaid({ lost_by_source: lost }: StatsGroup): string {
  return `${number(lost.network)} lost by the network, ${number(lost.capture)} by the capture, ${number(lost.suspected_capture)} suspected of the capture`;
}

/** Short runs to the left, long ones to the right: bursts stand out. */
function Runs({ runs }: { runs: Record<string, number> }) {
  const entries = Object.entries(runs)
    .filter(([, n]) => n > 0)
    .sort(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  if (entries.length === 0) return <span class="unknown">none</span>;
  const most = Math.max(...entries.map(([, n]) => Math.log1p(n)));
  const said = entries.map(([length, n]) => `${n} of ${length}`).join(", ");
  return (
    <svg class="runbars" width={entries.length * 6} height="16" role="img" aria-label={`Runs of lost packets: ${said}`}>
      <title>{`Runs of lost packets: ${said}`}</title>
      {entries.map(([length, n], i) => {
        const height = Math.max(2, (16 * Math.log1p(n)) / most);
        return <rect key={length} x={i * 6} y={16 - height} width="4.5" height={height} />;
      })}
    </svg>
  );
}

function callsOf(group: StatsGroup, by: string[], window: { from: string; to: string }): string {
  const out = new URLSearchParams({ from: window.from, to: window.to });
  for (const name of by) {
    const value = group.key[name];
    if (!value) continue;
    if (name === "src" || name === "dst") out.set("address", value);
    else if (name !== "probe" && name !== "trunk_direction") out.set(name, value);
  }
  return `/?${out.toString().replaceAll("%3A", ":")}`;
}

function keyText(key: Record<string, string>, by: string[]): string {
  return by.length === 0 ? "All" : by.map((name) => key[name] || "none").join(", ");
}
