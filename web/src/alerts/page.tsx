// Groups of rules that are not ok, alerts that were, and silences.

import { useEffect, useState } from "preact/hooks";
import { alertHistory, alerts as loadAlerts, endSilence } from "../api";
import { duration, epochMs, number, plural } from "../format";
import { useLoad, useTitle } from "../hooks";
import { Failure, Notice, Time } from "../parts";
import { useRights } from "../session/store";
import type { Alert, PastAlert, Silence } from "../types";
import { AlertChart } from "./chart";
import { SilenceForm } from "./silence";

const EVERY_MS = 10_000;
/** Rules are evaluated once a minute. */
const PAST_EVERY_MS = 60_000;

/** States in the order of the page, with what they mean. */
const STATES: Record<string, { word: string; means: string }> = {
  firing: { word: "Firing", means: "beyond the limit; receivers are told" },
  keeping: { word: "Clearing", means: "back within the limit, told until it stays so" },
  pending: { word: "Pending", means: "beyond the limit, not yet for as long as the rule wants" },
  error: { word: "Error", means: "the statement of the rule failed" },
  blind: { word: "Blind", means: "not judged: the capture missed frames, or the probe saw none" },
  few: { word: "Few", means: "not judged: too few streams, calls or weeks" },
  no_data: { word: "No data", means: "nothing to measure" },
};

export function AlertsPage() {
  useTitle("Alerts");
  const rights = useRights();
  const loaded = useLoad("alerts", (signal) => loadAlerts(null, signal));
  const past = useLoad("alert history", (signal) => alertHistory(new URLSearchParams({ limit: "50" }), signal));
  const reload = (): void => {
    loaded.retry();
    past.retry();
  };
  useEffect(() => {
    const every = (ms: number, retry: () => void): number => window.setInterval(() => !document.hidden && retry(), ms);
    const timers = [every(EVERY_MS, loaded.retry), every(PAST_EVERY_MS, past.retry)];
    return () => timers.forEach(clearInterval);
  }, [loaded.retry, past.retry]);
  if (loaded.error) return <Failure error={loaded.error} retry={loaded.retry} />;
  if (!loaded.data) return <p class="loading">Loading …</p>;
  const { alerts, counts, evaluated, rules, rule_texts, silences, may_silence } = loaded.data;
  const shared = { silences, may: may_silence && rights.silences, links: rights.calls, reload };
  const told = alerts.filter((each) => each.state === "firing" || each.state === "keeping");
  const rest = Object.keys(STATES).filter((state) => !["firing", "keeping"].includes(state) && (counts[state] ?? 0) > 0);
  const ended = (past.data?.alerts ?? []).filter((each) => each.ended_at !== null || !told.some((now) => now.id === each.id));
  return (
    <div class="alerts">
      {evaluated ? (
        <h1>
          {told.length === 0 ? "No alert fires" : `${plural(told.length, "alert fires", "alerts fire")}`}
          <span class="of">{plural(rules, "rule")} evaluated</span>
        </h1>
      ) : (
        <Notice kind="empty" title="No rules are evaluated.">
          <p>Rules are evaluated on live capture. This program replays captures, captures nothing, or has alerts turned off.</p>
        </Notice>
      )}
      {!rights.calls && <p class="hint">Your role sees what fires and its figures. The calls behind an alert and silences are for operators.</p>}
      {told.map((each) => (
        <One key={each.id} alert={each} text={rule_texts[each.rule]} {...shared} />
      ))}
      {rest.map((state) => (
        <OfState key={state} state={state} count={counts[state] ?? 0} listed={alerts.filter((each) => each.state === state)} texts={rule_texts} {...shared} />
      ))}
      <Silences silences={silences} may={shared.may} role={rights.silences} reload={reload} />
      {past.error ? <Failure error={past.error} retry={past.retry} /> : <Recent alerts={ended} links={rights.calls} />}
    </div>
  );
}

/** What comes by itself; the others are loaded when they are opened, as a thousand quiet trunks have many. */
const LISTED = ["pending", "error", "blind"];
const MOST_BLIND = 3;

interface OfStateProps extends Shared {
  state: string;
  count: number;
  listed: Alert[];
  texts: Record<string, string>;
}

function OfState({ state, count, listed, texts, ...shared }: OfStateProps) {
  const isListed = LISTED.includes(state);
  // A probe that sees nothing makes every group blind, and one of its alerts says so.
  const [open, setOpen] = useState(isListed && (state !== "blind" || count <= MOST_BLIND));
  const query = new URLSearchParams({ state });
  const more = useLoad(open && !isListed ? `alerts ${state} ${count}` : null, (signal) => loadAlerts(query, signal));
  const some = isListed ? listed : (more.data?.alerts ?? []);
  return (
    <details class="of-state" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {STATES[state]?.word} <b>{number(count)}</b> <span class="of">{STATES[state]?.means}</span>
      </summary>
      {more.error && <Failure error={more.error} retry={more.retry} />}
      {open && some.map((each) => <One key={each.id} alert={each} text={texts[each.rule] ?? more.data?.rule_texts[each.rule]} {...shared} />)}
      {open && some.length < count && some.length > 0 && <p class="hint">{number(count - some.length)} more are not listed.</p>}
    </details>
  );
}

function groupText(group: Record<string, string>): string {
  return (
    Object.entries(group)
      .map(([label, value]) => `${label.replaceAll("_", " ")} ${value || "(none)"}`)
      .join(", ") || "all"
  );
}

interface Shared {
  silences: Silence[];
  may: boolean;
  /** Whether the reader may see the calls behind an alert. */
  links: boolean;
  reload: () => void;
}

interface OneProps extends Shared {
  alert: Alert;
  text: string | undefined;
}

function One({ alert, text, silences, may, links, reload }: OneProps) {
  const [asking, setAsking] = useState(false);
  const silence = silences.find((each) => each.id === alert.silenced_by);
  const chart = ["firing", "keeping", "pending", "blind"].includes(alert.state);
  return (
    <article class={`alert ${alert.severity} ${alert.state}${silence ? " silenced" : ""}`}>
      <p class="head">
        <b class="state">{STATES[alert.state]?.word ?? alert.state}</b> <span>{alert.severity}</span> <b>{alert.rule}</b> <span>{groupText(alert.group)}</span>
        {alert.since && (
          <span>
            since <Time at={alert.since} />
          </span>
        )}
      </p>
      <p>{alert.summary}</p>
      <p class="told">{alert.description}</p>
      {alert.inhibited_by && <p class="told">Not sent: {alert.inhibited_by} says the same.</p>}
      {silence && (
        <p class="told">
          Silenced until <Time at={silence.to} />: {silence.reason}
          {silence.by && ` (${silence.by})`}
        </p>
      )}
      {chart && <Chart alert={alert} open={alert.state === "firing"} to={alert.to} />}
      <div class="actions">
        {links && alert.calls && <a href={alert.calls}>Calls behind it, worst first</a>}
        {links && <WorstCalls ids={alert.worst_calls} />}
        {may && !silence && (
          <button type="button" class="plain" aria-expanded={asking} onClick={() => setAsking(!asking)}>
            Silence
          </button>
        )}
        {text && (
          <details class="rule">
            <summary>Rule</summary>
            <pre>{text}</pre>
          </details>
        )}
      </div>
      {asking && (
        <SilenceForm
          alert={alert}
          done={() => {
            setAsking(false);
            reload();
          }}
        />
      )}
    </article>
  );
}

function WorstCalls({ ids }: { ids: string[] }) {
  return (
    <>
      {ids.slice(0, 3).map((id, i) => (
        <a key={id} href={`/calls/${id}`}>
          Worst call {i + 1}
        </a>
      ))}
    </>
  );
}

/** The chart of one group, loaded when it is opened. */
function Chart({ alert, open, to }: { alert: { id: string; rule: string; unit: string }; open: boolean; to: string }) {
  const [isOpen, setOpen] = useState(open);
  return (
    <details class="chart" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Chart</summary>
      {isOpen && <AlertChart alert={alert} to={to} />}
    </details>
  );
}

interface SilencesProps {
  silences: Silence[];
  may: boolean;
  /** Whether the role allows it; where it does and `may` is false, the client is the reason. */
  role: boolean;
  reload: () => void;
}

function Silences({ silences, may, role, reload }: SilencesProps) {
  const [failed, setFailed] = useState<Error | null>(null);
  if (silences.length === 0) return null;
  const end = (id: string): void => {
    endSilence(id).then(
      () => {
        setFailed(null);
        reload();
      },
      (error: Error) => setFailed(error),
    );
  };
  return (
    <section aria-label="Silences">
      <h2>Silences</h2>
      {failed && <Notice kind="error" title={failed.message} />}
      <ul class="silences">
        {silences.map((each) => (
          <li key={each.id} class={each.active ? "" : "over"}>
            <b>{each.rule || "every rule"}</b> {groupText(each.labels)}: {each.reason}
            {each.by && ` (${each.by})`}, <Time at={each.from} /> to <Time at={each.to} />
            {each.active ? "" : ", over"}
            {each.forwarded > 0 && `, at ${plural(each.forwarded, "Alertmanager")} too`}
            {each.refused && `; an Alertmanager refused it: ${each.refused}`}{" "}
            {may && each.active && (
              <button type="button" class="plain" onClick={() => end(each.id)}>
                End it now
              </button>
            )}
          </li>
        ))}
      </ul>
      {!may && role && <p class="hint">While nobody signs in, silences can be changed on the host of the probe only.</p>}
    </section>
  );
}

function Recent({ alerts, links }: { alerts: PastAlert[]; links: boolean }) {
  const [open, setOpen] = useState<string | null>(null);
  return (
    <section aria-label="Recent alerts">
      <h2>
        Recent <span class="of">alerts of seven days that ended</span>
      </h2>
      {alerts.length === 0 && <p class="hint">None.</p>}
      {alerts.map((each) => {
        const key = `${each.probe} ${each.id} ${each.fired_at}`;
        const end = each.ended_at ?? each.last_at;
        return (
          <article key={key} class={`alert past ${each.severity}`}>
            <p class="head">
              <Time at={each.fired_at} /> <span>{each.ended_at ? `for ${duration(epochMs(end) - epochMs(each.fired_at))}` : "its end is not stored"}</span> <span>{each.severity}</span> <b>{each.rule}</b>{" "}
              <span>{groupText(each.group)}</span>
            </p>
            <p>
              {each.summary}
              {each.peak !== null && each.measure !== "sql" && (
                <span class="told">
                  {" "}
                  Peak {number(each.peak, 2)} {each.unit}
                  {each.limit !== null && `, limit ${number(each.limit, 2)} ${each.unit}`}, over {number(each.samples)} {each.sample_unit} when it fired.
                </span>
              )}
            </p>
            {(each.silenced_by || each.inhibited_by) && <p class="told">{each.silenced_by ? "It was silenced." : `Not sent: ${each.inhibited_by} said the same.`}</p>}
            <div class="actions">
              <button type="button" class="plain" aria-expanded={open === key} onClick={() => setOpen(open === key ? null : key)}>
                Chart
              </button>
              {links && <WorstCalls ids={each.worst_calls} />}
            </div>
            {open === key && <AlertChart alert={each} from={each.fired_at} to={end} />}
          </article>
        );
      })}
    </section>
  );
}
