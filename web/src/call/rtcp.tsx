// What the endpoints reported by RTCP, beside what the probe counted up to the same time.

import { useState } from "preact/hooks";
import { clock, epochMs, ms, number, percent, plural, UNKNOWN } from "../format";
import { Term } from "../parts";
import type { CallDetail, IntervalRow, RoundTrips, RtcpRow, VoipMetrics } from "../types";
import { rtcpKind } from "../words";
import { compared, type LostByThen, lostByThen, withoutCopies } from "./compare";

const SHOWN_FIRST = 12;
const REMARKS = {
  behind: { say: "More lost at the receiver", why: "The receiver counts more as lost than the probe does by then: the rest was lost behind the probe, or came too late to count there." },
  unreported: { say: "More lost at the probe", why: "The probe counts more as lost than the receiver does by then: the packets took another path, or the probe missed them." },
};

export function Rtcp({ detail }: { detail: CallDetail }) {
  const [all, setAll] = useState(false);
  const rows = withoutCopies(detail.rtcp.filter((row) => row.about_ssrc !== null || row.voip !== null || row.implausible));
  if (rows.length === 0) {
    return (
      <section class="panel" aria-labelledby="rtcp-title">
        <h2 id="rtcp-title">Endpoint RTCP reports</h2>
        <p class="hint">No RTCP report was seen for this call. The figures above do not need it; they come from RTP.</p>
        <BySip detail={detail} />
      </section>
    );
  }
  const shown = all ? rows : rows.slice(0, SHOWN_FIRST);
  return (
    <section class="panel" aria-labelledby="rtcp-title">
      <div class="head">
        <h2 id="rtcp-title">Endpoint RTCP reports</h2>
        <span class="hint">
          Cumulative lost counts from the start of the stream. The probe's count is known per interval, so by the time of a report it is a range.
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
              <th scope="col" class="n" title="Fraction lost since the receiver's report before, or since its start in an XR report">
                Receiver: lost
              </th>
              <th scope="col" class="n" title="Cumulative number of packets lost, as the receiver reports it">
                Receiver: cumulative lost
              </th>
              <th scope="col" class="n" title="Packets the probe counted as lost by the time of the report">
                Probe: cumulative lost
              </th>
              <th scope="col" class="n">
                Receiver: jitter
              </th>
              <th scope="col" class="n">
                Probe: jitter
              </th>
              <th scope="col" class="n">
                Round trip to probe
              </th>
              <th scope="col">Remarks</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((row, i) => (
              <Report key={`${row.at}${row.reporter_ssrc}${i}`} row={row} ours={intervalAt(detail, row)} lost={lostByThen(detail, row)} />
            ))}
          </tbody>
        </table>
      </div>
      <BySip detail={detail} />
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

/** The other witness of the round trip, where it saw anything. */
function BySip({ detail }: { detail: CallDetail }) {
  const { toward_caller, toward_callee } = detail.call.sip_rtt_ms;
  const halves = [toward_caller && `caller ${trips(toward_caller)}`, toward_callee && `callee ${trips(toward_callee)}`].filter(Boolean);
  if (halves.length === 0) return null;
  return (
    <p class="hint">
      <Term of="sip_rtt">Round trip to probe by SIP</Term>, processing included: {halves.join(", ")}
    </p>
  );
}

function trips({ samples, min, max }: RoundTrips): string {
  return samples === 1 ? `${ms(min)} (1 answer)` : `${ms(min)} at least, ${ms(max)} at most (${plural(samples, "answer")})`;
}

function Report({ row, ours, lost }: { row: RtcpRow; ours: IntervalRow | null; lost: LostByThen | null }) {
  const remark = compared(row, lost);
  return (
    <tr class={row.implausible ? "doubted" : undefined}>
      <th scope="row">{clock(row.at, true)}</th>
      <td>{rtcpKind(row.kind)}</td>
      <td class="mono">{row.src}</td>
      <td class="mono">{row.about_ssrc ?? UNKNOWN}</td>
      <td class="n">{percent(row.fraction_lost_pct ?? row.voip?.loss_pct ?? null)}</td>
      <td class="n">{number(row.cumulative_lost)}</td>
      <td class="n">{rangeOf(lost)}</td>
      <td class="n">{ms(row.jitter_ms)}</td>
      <td class="n">{ms(ours?.jitter_ms.last)}</td>
      <td class="n">{ms(row.rtt_probe_reporter_ms)}</td>
      <td>
        {row.implausible && <span class="tag">Not believed: {row.implausible}</span>}
        {remark && (
          <span class="tag" title={REMARKS[remark].why}>
            {REMARKS[remark].say}
          </span>
        )}
        {row.voip && <span>{metrics(row.voip)}</span>}
      </td>
    </tr>
  );
}

function rangeOf(lost: LostByThen | null): string {
  if (lost === null) return UNKNOWN;
  return lost.least === lost.most ? number(lost.least) : `${number(lost.least)} to ${number(lost.most)}`;
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
