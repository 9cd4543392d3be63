// The start for a role that sees figures only: calls over time by class, and outcomes by trunk.

import { outcomes as loadOutcomes, range as loadRange, timeline as loadTimeline } from "../api";
import { TextField, TrunkDirection, useKnownValues } from "../calls/filters";
import { NothingStored, Windows } from "../calls/page";
import { changed, FILTERS } from "../calls/query";
import { Strip } from "../calls/strip";
import { ms, number, percent } from "../format";
import { useKeys, useLoad, useTitle } from "../hooks";
import { ClassMark, Failure, MomentField, Notice } from "../parts";
import { navigate } from "../router";
import type { CallClass, Outcome, Range } from "../types";
import { classHint, classWord } from "../words";

/** What both the timeline and the outcomes can be narrowed by, and names no party. */
const NARROWED_BY = ["from", "to", "trunk", "trunk_direction", "site"] as const;
const BAD: CallClass[] = ["failed", "poor", "fair"];

export function OverviewPage({ query }: { query: URLSearchParams }) {
  useTitle("Overview");
  const range = useLoad("range", loadRange);
  if (range.error) return <Failure error={range.error} retry={range.retry} />;
  if (!range.data) return <p class="loading">Loading …</p>;
  if (range.data.calls === 0 && range.data.streams === 0) return <NothingStored retry={range.retry} />;
  return <Overview query={query} range={range.data} onRefresh={range.retry} />;
}

function Overview({ query, range, onRefresh }: { query: URLSearchParams; range: Range; onRefresh: () => void }) {
  const asked = new URLSearchParams();
  for (const name of NARROWED_BY) {
    const value = query.get(name)?.trim();
    if (value) asked.set(name, value);
  }
  const buckets = new URLSearchParams(asked);
  buckets.set("buckets", "120");
  const timeline = useLoad(buckets.toString(), (signal) => loadTimeline(buckets, signal));
  const byTrunk = new URLSearchParams(asked);
  byTrunk.set("group_by", "trunk");
  const outcomes = useLoad(byTrunk.toString(), (signal) => loadOutcomes(byTrunk, signal));
  const from = query.get("from") ?? timeline.data?.from ?? range.from;
  const to = query.get("to") ?? timeline.data?.to ?? range.to;
  const known = useKnownValues(from, to);
  const set = (changes: Record<string, string | null>) => navigate(changed(query, "/", changes));
  const unused = FILTERS.filter((name) => query.has(name) && !NARROWED_BY.some((each) => each === name));
  const none = Object.fromEntries([...NARROWED_BY, ...FILTERS].map((name) => [name, null]));
  useKeys({
    r: () => {
      onRefresh();
      timeline.retry();
      outcomes.retry();
    },
  });
  return (
    <>
      <h1 class="sr">Overview</h1>
      <form class="filters" aria-label="Narrow the figures" onSubmit={(event) => event.preventDefault()}>
        <div class="line">
          <MomentField label="From, UTC" value={from} onChange={(value) => set({ from: value, to })} />
          <MomentField label="To, UTC" value={to} onChange={(value) => set({ from, to: value })} />
          <TextField name="trunk" label="Trunk" query={query} known={known.trunk} />
          <TrunkDirection query={query} />
          <TextField name="site" label="Site" query={query} known={known.site} />
          <button type="button" class="plain" disabled={![...asked.keys(), ...unused].length} onClick={() => set(none)}>
            Clear filters
          </button>
        </div>
      </form>
      <Windows query={query} range={range} from={from} to={to} />
      {unused.length > 0 && <Notice kind="warn" title={`This address narrows by ${unused.map((name) => name.replaceAll("_", " ")).join(", ")} too. That is left out: your role does not see single calls.`} />}
      {timeline.error ? <Failure error={timeline.error} retry={timeline.retry} /> : timeline.data && <Strip timeline={timeline.data} onPick={(a, b) => navigate(changed(new URLSearchParams(location.search), "/", { from: a, to: b }))} />}
      {outcomes.error ? <Failure error={outcomes.error} retry={outcomes.retry} /> : outcomes.data ? <ByTrunk groups={outcomes.data.groups} /> : <p class="loading">Loading …</p>}
      <p class="hint">Your role sees figures of calls; single calls and the search by number are for operators. Loss, jitter and MOS are in the <a href="/stats">statistics</a>.</p>
    </>
  );
}

function ByTrunk({ groups }: { groups: Outcome[] }) {
  if (groups.length === 0) return <Notice kind="empty" title="No call in this window." />;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Outcomes by trunk">
      <table class="plain stats">
        <caption class="sr">Outcomes of calls by trunk, most attempts first</caption>
        <thead>
          <tr>
            <th scope="col">Trunk</th>
            <th scope="col" class="n">
              Attempts
            </th>
            <th scope="col" class="n" title="Answer-seizure ratio, ITU-T E.425: answers to attempts">
              ASR
            </th>
            <th scope="col" class="n" title="Network effectiveness ratio, ITU-T E.425: answers, busy, declined and no such number to attempts">
              NER
            </th>
            <th scope="col" class="n" title="Post-dial delay: INVITE to the first response that is not 100, 95th percentile">
              PDD p95
            </th>
            <th scope="col" class="n">
              Ended
            </th>
            {BAD.map((of) => (
              <th key={of} scope="col" class="n" title={classHint(of)}>
                {classWord(of)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={group.key.trunk}>
              <th scope="row">{group.key.trunk || "none"}</th>
              <td class="n">{number(group.attempts)}</td>
              <td class="n">{percent(group.asr.pct)}</td>
              <td class="n">{percent(group.ner.pct)}</td>
              <td class="n">{ms(group.pdd_ms.p95)}</td>
              <td class="n">{number(group.ended)}</td>
              {BAD.map((of) => (
                <td key={of} class="n">
                  <ClassMark of={of} size={11} label="" /> {number(group.classes[of] ?? 0)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
