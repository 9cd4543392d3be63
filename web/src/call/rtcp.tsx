// What the endpoints reported by RTCP, beside what the probe saw at the same time.

import { useState } from "preact/hooks";
import { clock, epochMs, ms, number, percent, plural, UNKNOWN } from "../format";
import type { CallDetail, IntervalRow, RtcpRow, VoipMetrics } from "../types";
import { rtcpKind } from "../words";

const SHOWN_FIRST = 12;
const FAR_APART_LOSS_PCT = 2;

export function Rtcp({ detail }: { detail: CallDetail }) {
  const [all, setAll] = useState(false);
  const rows = detail.rtcp.filter((row) => row.about_ssrc !== null || row.voip !== null || row.implausible);
  if (rows.length === 0) {
    return (
      <section class="panel" aria-labelledby="rtcp-title">
        <h2 id="rtcp-title">Reports of the endpoints (RTCP)</h2>
        <p class="hint">No RTCP report was seen for this call. The figures above do not need it; they come from RTP.</p>
      </section>
    );
  }
  const shown = all ? rows : rows.slice(0, SHOWN_FIRST);
  return (
    <section class="panel" aria-labelledby="rtcp-title">
      <div class="head">
        <h2 id="rtcp-title">Reports of the endpoints (RTCP)</h2>
        <span class="hint">
          Loss that the receiver reports and the probe did not see happened behind the probe; loss that both have happened before it.
        </span>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="RTCP reports">
        <table class="plain rtcp">
          <thead>
            <tr>
              <th scope="col">Time, UTC</th>
              <th scope="col">Report</th>
              <th scope="col">From</th>
              <th scope="col">About</th>
              <th scope="col" class="n">
                Receiver: lost
              </th>
              <th scope="col" class="n">
                Probe: lost
              </th>
              <th scope="col" class="n">
                Receiver: jitter
              </th>
              <th scope="col" class="n">
                Probe: jitter
              </th>
              <th scope="col" class="n">
                Lost in all
              </th>
              <th scope="col" class="n">
                Round trip to probe
              </th>
              <th scope="col">Remarks</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((row, i) => (
              <Report key={`${row.at}${row.reporter_ssrc}${i}`} row={row} ours={intervalAt(detail, row)} />
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > SHOWN_FIRST && (
        <p>
          <button type="button" onClick={() => setAll(!all)} aria-expanded={all}>
            {all ? "Fewer" : `All ${plural(rows.length, "report")}`}
          </button>
        </p>
      )}
    </section>
  );
}

function Report({ row, ours }: { row: RtcpRow; ours: IntervalRow | null }) {
  const seen = ours && ours.expected > 0 ? (100 * ours.lost) / ours.expected : null;
  const theirs = row.fraction_lost_pct ?? row.voip?.loss_pct ?? null;
  const apart = theirs !== null && seen !== null && Math.abs(theirs - seen) > FAR_APART_LOSS_PCT && !row.implausible;
  return (
    <tr class={row.implausible ? "doubted" : undefined}>
      <th scope="row">{clock(row.at, true)}</th>
      <td>{rtcpKind(row.kind)}</td>
      <td class="mono">{row.src}</td>
      <td class="mono">{row.about_ssrc ?? UNKNOWN}</td>
      <td class="n">{percent(theirs)}</td>
      <td class="n">{percent(seen)}</td>
      <td class="n">{ms(row.jitter_ms)}</td>
      <td class="n">{ms(ours?.jitter_ms.last)}</td>
      <td class="n">{number(row.cumulative_lost)}</td>
      <td class="n">{ms(row.rtt_probe_reporter_ms)}</td>
      <td>
        {row.implausible && <span class="tag">Not believed: {row.implausible}</span>}
        {apart && (
          <span class="tag">{(theirs ?? 0) > (seen ?? 0) ? "More lost at the receiver: behind the probe" : "More lost at the probe than at the receiver"}</span>
        )}
        {row.voip && <span>{metrics(row.voip)}</span>}
      </td>
    </tr>
  );
}

function metrics(voip: VoipMetrics): string {
  const parts = [
    voip.mos_lq !== null && `MOS-LQ ${number(voip.mos_lq, 1)} as the endpoint rates it`,
    voip.r !== null && `R ${number(voip.r)}`,
    voip.discard_pct !== null && `discarded ${percent(voip.discard_pct)}`,
    voip.round_trip_ms !== null && `round trip ${ms(voip.round_trip_ms)}`,
    voip.end_system_ms !== null && `end system ${ms(voip.end_system_ms)}`,
    voip.jb_nominal_ms !== null && `buffer ${ms(voip.jb_nominal_ms)}`,
  ];
  return parts.filter(Boolean).join(", ");
}

/** Our interval in which the report was sent, for the stream it is about. */
function intervalAt(detail: CallDetail, row: RtcpRow): IntervalRow | null {
  if (row.stream === null) return null;
  const at = epochMs(row.at);
  return (
    detail.intervals[row.stream]?.find((each) => {
      const start = epochMs(each.start_at);
      return at >= start && at < start + each.length_ms;
    }) ?? null
  );
}
