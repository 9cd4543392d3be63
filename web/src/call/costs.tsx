// What one direction's rating was lost to: the R budget, and the bursts of loss.

import { ms, number, percent, plural, UNKNOWN } from "../format";
import { Term } from "../parts";
import type { StreamRow } from "../types";
import { nullReason } from "../words";
import { delayKnown, distance, parts, points, sentenceOf } from "./budget";
import "./costs.css";

export function Budget({ stream }: { stream: StreamRow }) {
  const { r_budget: budget, mos } = stream;
  return (
    <section class="budget">
      <h4>
        <Term of="the-r-budget">R-factor breakdown</Term>
      </h4>
      {budget ? (
        <>
          <Bar stream={stream} />
          <p>{sentenceOf(budget, stream)}.</p>
        </>
      ) : (
        <p class="hint">
          {UNKNOWN} No rating, so no budget: {mos.lq === null ? nullReason(mos.reason_null) : "the row was stored before this was kept"}.
        </p>
      )}
    </section>
  );
}

function Bar({ stream }: { stream: StreamRow }) {
  const budget = stream.r_budget;
  if (!budget) return null;
  const [rest, ...causes] = parts(budget);
  const total = (rest?.points ?? 0) + distance(budget);
  const known = delayKnown(stream);
  const hatch = `hatch-late-${stream.id}`;
  let from = 0;
  return (
    <>
      <svg width="100%" height="16" aria-hidden="true">
        <defs>
          <pattern id={hatch} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect class="of-late" width="5" height="5" />
            <rect class="cut" width="1.6" height="5" />
          </pattern>
        </defs>
        {[...(rest ? [rest] : []), ...causes].map(({ key, points: of }) => {
          const x = from;
          const width = total > 0 ? (100 * of) / total : 0;
          from += width;
          return <rect key={key} data-part={key} class={`of-${key}`} x={`${x}%`} width={`${width}%`} height="16" fill={key === "late" ? `url(#${hatch})` : undefined} />;
        })}
      </svg>
      <ul>
        {rest && (
          <li data-part="rest">
            R = <b>{points(rest.points)}</b>
          </li>
        )}
        {causes.map(({ key, name, points: of }) => (
          <li key={key} data-part={key}>
            <svg width="10" height="10" aria-hidden="true">
              <rect class={`of-${key}`} width="10" height="10" fill={key === "late" ? `url(#${hatch})` : undefined} />
            </svg>
            <b>{key === "delay" && !known ? UNKNOWN : /^\d/.test(points(of)) && points(of) !== "0" ? `−${points(of)}` : points(of)}</b> {key === "delay" && !known ? "delay, unknown" : name}
          </li>
        ))}
      </ul>
    </>
  );
}

export function BurstLine({ stream }: { stream: StreamRow }) {
  const { bursts } = stream;
  if (!bursts || stream.lost === 0) return null;
  return (
    <section>
      <h4>
        <Term of="loss-runs-bursts-and-the-burst-ratio">Bursts and gaps of loss</Term>
      </h4>
      <p>
        {bursts.count === 0 ? (
          "No bursts: every loss stands alone"
        ) : (
          <>
            {plural(bursts.count, "burst")} of {ms(bursts.duration_ms)} with {percent(bursts.density_pct)} lost; between them {ms(bursts.gap_duration_ms)} with {percent(bursts.gap_density_pct)} lost
            {bursts.duration_ms === null && " (lengths are unknown without the packet time)"}
          </>
        )}
        ; burst ratio {number(bursts.burst_ratio, 2)}
        {stream.concealed_seconds !== null && (
          <>
            ; <Term of="concealed_seconds">{number(stream.concealed_seconds)} concealed s</Term>, {number(stream.severely_concealed_seconds)} severely concealed s
          </>
        )}
        .
      </p>
    </section>
  );
}
