// Groups of rules that are not ok: what fires, what is about to, and what cannot be judged and why.

import { useEffect } from "preact/hooks";
import { alerts as loadAlerts } from "../api";
import { number, plural } from "../format";
import { useLoad, useTitle } from "../hooks";
import { Failure, Notice, Time } from "../parts";
import type { Alert } from "../types";

const EVERY_MS = 10_000;

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
  const loaded = useLoad("alerts", loadAlerts);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) loaded.retry();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [loaded.retry]);
  if (loaded.error) return <Failure error={loaded.error} retry={loaded.retry} />;
  if (!loaded.data) return <p class="loading">Loading …</p>;
  const { alerts, evaluated, rules } = loaded.data;
  if (!evaluated) {
    return (
      <Notice kind="empty" title="No rules are evaluated.">
        <p>Rules are evaluated on live capture. This program replays captures, captures nothing, or has alerts turned off.</p>
      </Notice>
    );
  }
  const told = alerts.filter((each) => each.state === "firing" || each.state === "keeping");
  const rest = Object.keys(STATES).filter((state) => !["firing", "keeping"].includes(state));
  return (
    <div class="alerts">
      <h1>
        {told.length === 0 ? "No alert fires" : `${plural(told.length, "alert fires", "alerts fire")}`}
        <span class="of">{plural(rules, "rule")} evaluated</span>
      </h1>
      {told.map((each) => (
        <One key={keyOf(each)} alert={each} />
      ))}
      {rest.map((state) => {
        const some = alerts.filter((each) => each.state === state);
        if (some.length === 0) return null;
        return (
          <details key={state} open={state === "pending" || state === "error" || state === "blind"}>
            <summary>
              {STATES[state]?.word} <b>{number(some.length)}</b> <span class="of">{STATES[state]?.means}</span>
            </summary>
            {some.map((each) => (
              <One key={keyOf(each)} alert={each} />
            ))}
          </details>
        );
      })}
    </div>
  );
}

function keyOf(alert: Alert): string {
  return `${alert.rule} ${JSON.stringify(alert.group)}`;
}

function One({ alert }: { alert: Alert }) {
  const group = Object.entries(alert.group).map(([label, value]) => `${label.replaceAll("_", " ")} ${value || "(none)"}`);
  return (
    <article class={`alert ${alert.severity} ${alert.state}`}>
      <p class="head">
        <b class="state">{STATES[alert.state]?.word ?? alert.state}</b> <span>{alert.severity}</span> <b>{alert.rule}</b>{" "}
        <span>{group.join(", ") || "all"}</span>
        {alert.since && (
          <span>
            since <Time at={alert.since} />
          </span>
        )}
      </p>
      <p>{alert.summary}</p>
      <p class="told">{alert.description}</p>
      {alert.inhibited_by && <p class="told">Not sent: {alert.inhibited_by} says the same.</p>}
      <p>
        <a href={alert.calls}>Calls of this window, worst first</a>
      </p>
    </article>
  );
}
