// "Jitter-buffer sizing": late packets by buffer size, as bars over their numbers, and in a sentence.

import { number, percent, UNKNOWN } from "../format";
import { Term } from "../parts";
import type { StreamRow } from "../types";
import { bufferSentence } from "../words";
import { ENOUGH_PCT, heightOf, sizesOf, smallestEnough } from "./sizes";

const BAR_PX = 44;
const LIMIT = `${ENOUGH_PCT}\u202f%`;

export function Buffers({ stream }: { stream: StreamRow }) {
  const sizes = sizesOf(stream.late_pct);
  const known = sizes.some(({ share }) => share !== null);
  const enough = smallestEnough(sizes);
  const shares = [...sizes.map(({ share }) => share), stream.discarded_adaptive_pct];
  const drawn = shares.some((share) => share !== null && share > 0);
  const adaptive = stream.mos.jitter_buffer === "adaptive";
  const rated = adaptive ? null : stream.mos.jitter_buffer_ms;
  return (
    <section class="buffers">
      <h4>
        <Term of="late">Jitter-buffer sizing</Term>
      </h4>
      {known ? (
        <>
          <p>{bufferSentence(enough, sizes[0]?.size ?? 0, sizes.at(-1)?.size ?? 0, LIMIT)}</p>
          <div class="scroll" tabIndex={0} role="region" aria-label="Packets too late for a jitter buffer, by its size">
            <table>
              <thead>
                <tr>
                  <th scope="col">Buffer, ms</th>
                  {sizes.map(({ size }) => (
                    <th key={size} scope="col" class={size === enough?.size ? "enough" : undefined}>
                      {number(size)}
                    </th>
                  ))}
                  <th scope="col">adaptive</th>
                </tr>
              </thead>
              <tbody>
                {drawn && <Bars shares={shares} />}
                <tr>
                  <th scope="row">Late, %</th>
                  {sizes.map(({ size, share }) => (
                    <td key={size} class={size === enough?.size ? "enough" : undefined}>
                      {percent(share, false)}
                    </td>
                  ))}
                  <td>{percent(stream.discarded_adaptive_pct, false)}</td>
                </tr>
              </tbody>
            </table>
          </div>
          <p class="hint">
            {rated === null ? "" : `The MOS is rated with ${number(rated)}\u202fms. `}{adaptive && "The MOS is rated with the adaptive one. "}Adaptive: one between 20 and 200&#8239;ms{stream.adaptive_buffer_ms !== null && `, ${number(stream.adaptive_buffer_ms)}\u202fms on average`}{stream.discarded_adaptive_pct === null && "; not kept for this row"}.
            {drawn && ` Bars are on a logarithmic scale, outlined where the share stays below ${LIMIT}.`}
          </p>
        </>
      ) : (
        <p class="hint">
          {UNKNOWN} {stream.clock_rate === null ? "Unknown: without a clock rate there is no delay to hold against a buffer." : "Unknown: no delay was measured, or the row was stored before this was kept."}
        </p>
      )}
    </section>
  );
}

const LIMIT_Y = Math.round(BAR_PX * (1 - heightOf(ENOUGH_PCT))) + 0.5;

function Bars({ shares }: { shares: (number | null)[] }) {
  return (
    <tr aria-hidden="true">
      <td>
        <svg width="66" height={BAR_PX}>
          <line x1="36" x2="66" y1={LIMIT_Y} y2={LIMIT_Y} />
          <text x="0" y={LIMIT_Y + 4}>
            {LIMIT}
          </text>
        </svg>
      </td>
      {shares.map((share, i) => (
        <td key={i}>
          <Bar share={share} />
        </td>
      ))}
    </tr>
  );
}

function Bar({ share }: { share: number | null }) {
  const height = share === null ? 0 : Math.max(heightOf(share) * BAR_PX, share > 0 ? 1.5 : 0);
  return (
    <svg width="100%" height={BAR_PX}>
      {height > 0 && <rect class={(share ?? 0) < ENOUGH_PCT ? "below" : "above"} x="22%" width="56%" y={BAR_PX - height} height={height} />}
      <line x1="0" x2="100%" y1={LIMIT_Y} y2={LIMIT_Y} />
    </svg>
  );
}
