// What each direction's rating was lost to: the R budget, bursts of loss, and what jitter buffers would have discarded.

import { ms, number, percent, plural } from "../format";
import { Term } from "../parts";
import type { Bursts, RBudget, StreamRow } from "../types";
import { parts, sentenceOf } from "./budget";
import "./costs.css";

export function Costs({ stream }: { stream: StreamRow }) {
  const { r_budget: budget, bursts } = stream;
  return (
    <dl class="costs">
      {budget && <Budget budget={budget} stream={stream} />}
      {stream.mos.bounds && <Bounds low={stream.mos.bounds[0]} high={stream.mos.bounds[1]} />}
      {bursts && stream.lost > 0 && <BurstLine bursts={bursts} stream={stream} />}
      <Buffers stream={stream} />
    </dl>
  );
}

function Budget({ budget, stream }: { budget: RBudget; stream: StreamRow }) {
  const all = parts(budget);
  const total = all.reduce((sum, { points }) => sum + points, 0);
  let from = 0;
  return (
    <div class="budget">
      <dt>
        <Term of="the-r-budget">R budget</Term>
      </dt>
      <dd>
        <svg viewBox="0 0 1000 10" preserveAspectRatio="none" height="12" aria-hidden="true">
          {all.map(({ key, points }) => {
            const x = from;
            const width = total > 0 ? (1000 * points) / total : 0;
            from += width;
            return <rect key={key} class={`of-${key}`} x={x} width={width} height="10" />;
          })}
        </svg>
        <span class="keys" aria-hidden="true">
          {all
            .filter(({ points }) => points > 0)
            .map(({ key, name, points }) => (
              <span key={key}>
                <svg width="9" height="9">
                  <rect class={`of-${key}`} width="9" height="9" />
                </svg>
                {name} {number(points, 1)}
              </span>
            ))}
        </span>
        <p>{sentenceOf(budget, stream)}</p>
      </dd>
    </div>
  );
}

function Bounds({ low, high }: { low: number; high: number }) {
  return (
    <div>
      <dt>
        <Term of="bounds">MOS-LQ bounds</Term>
      </dt>
      <dd>
        {number(low, 2)} if all of the loss is the network's, {number(high, 2)} if none of it is
      </dd>
    </div>
  );
}

function BurstLine({ bursts, stream }: { bursts: Bursts; stream: StreamRow }) {
  return (
    <div>
      <dt>
        <Term of="loss-runs-bursts-and-the-burst-ratio">Bursts and gaps</Term>
      </dt>
      <dd>
        {bursts.count === 0 ? (
          "no bursts: every loss stands alone"
        ) : (
          <>
            {plural(bursts.count, "burst")} of {ms(bursts.duration_ms)} with {percent(bursts.density_pct)} lost; between them {ms(bursts.gap_duration_ms)} with {percent(bursts.gap_density_pct)} lost
          </>
        )}
        ; burst ratio {number(bursts.burst_ratio, 2)}
        {stream.concealed_seconds !== null && (
          <>
            ; <Term of="concealed_seconds">{plural(stream.concealed_seconds, "second")} concealed</Term>, {number(stream.severely_concealed_seconds)} severely
          </>
        )}
      </dd>
    </div>
  );
}

/** What jitter buffers would throw away on top of the loss. */
function Buffers({ stream }: { stream: StreamRow }) {
  const sizes = Object.entries(stream.late_pct).sort(([a], [b]) => Number(a) - Number(b));
  if (!sizes.some(([, share]) => share !== null)) return null;
  const rated = stream.mos.jitter_buffer_ms;
  return (
    <div>
      <dt>
        <Term of="late">Too late for a jitter buffer</Term>
      </dt>
      <dd>
        <div class="scroll" tabIndex={0} role="region" aria-label="Packets too late for a jitter buffer, by its size">
          <table>
            <thead>
              <tr>
                {sizes.map(([size]) => (
                  <th key={size} scope="col" class={Number(size) === rated ? "rated" : undefined} title={Number(size) === rated ? "The MOS assumes this one" : undefined}>
                    {size}&#8239;ms
                  </th>
                ))}
                <th scope="col" title="One that adapts between 20 and 200 ms">
                  adaptive
                </th>
              </tr>
            </thead>
            <tbody>
              <tr>
                {sizes.map(([size, share]) => (
                  <td key={size} class={Number(size) === rated ? "rated" : undefined}>
                    {percent(share)}
                  </td>
                ))}
                <td>{percent(stream.discarded_adaptive_pct)}</td>
              </tr>
            </tbody>
          </table>
        </div>
        {rated !== null && <small>The MOS assumes a buffer of {number(rated)}&#8239;ms.</small>}
      </dd>
    </div>
  );
}
