// One direction here at the probe, beside what its receiver says of it.

import { type ComponentChildren, Fragment } from "preact";
import { clock, count, ms, msList, number, percent, plural, UNKNOWN } from "../format";
import { MosValue, Term } from "../parts";
import type { CallDetail, RtcpRow, StreamRow, VoipMetrics } from "../types";
import { lossSide, noRemote, nullReason, rtcpKind } from "../words";
import { halvesOf, measurementsAbout, reportsAbout } from "./receiver";

/** The sentence of the receiver's view. */
export function remoteSentence(detail: CallDetail, stream: StreamRow): string {
  return stream.remote ? lossSide(stream.remote) : noRemote(reportsAbout(detail, stream).length);
}

export function Remote({ detail, stream }: { detail: CallDetail; stream: StreamRow }) {
  const { remote, mos } = stream;
  const halves = halvesOf(detail, stream);
  const measured = measurementsAbout(detail, stream);
  const own = measured.filter((row) => row.implausible === null && row.voip !== null).at(-1)?.voip ?? null;
  const reports = reportsAbout(detail, stream);
  const silent = reports.length === 0 ? "it sends no RTCP here" : "its reports do not compare";
  const jitter = reports.filter((row) => row.implausible === null && row.jitter_ms !== null).map((row) => row.jitter_ms ?? 0);
  const adaptive = mos.jitter_buffer === "adaptive";
  const late = adaptive ? stream.discarded_adaptive_pct : (stream.late_pct[String(mos.jitter_buffer_ms)] ?? null);
  return (
    <section class="remote">
      <h4>
        <Term of="the-receiver-s-view">Probe vs receiver</Term>
      </h4>
      <div class="scroll" tabIndex={0} role="region" aria-label="The direction at the probe and at its receiver">
        <table>
          <thead>
            <tr>
              <td />
              <th scope="col">Here at the probe</th>
              <th scope="col">At the receiver (RTCP{reports.length > 0 && `, ${plural(reports.length, "report")}`})</th>
            </tr>
          </thead>
          <tbody>
            <tr>
              <th scope="row">Lost{remote && <small> between its first and last report</small>}</th>
              <td>
                {remote ? (
                  <Counted lost={remote.lost_before_probe} of={remote.expected} pct={null} why="these rows do not say" />
                ) : (
                  <Counted lost={stream.lost} of={stream.expected} pct={stream.loss_pct} why="nothing was expected" />
                )}
              </td>
              <td>{remote ? <Counted lost={remote.lost} of={remote.expected} pct={remote.loss_pct} why="its reports do not say" /> : <Unknown why={silent} />}</td>
            </tr>
            <tr>
              <th scope="row">Jitter, last / max</th>
              <td>{stream.jitter_ms.max === null ? <Unknown why="no clock rate" /> : msList([stream.jitter_ms.last, stream.jitter_ms.max])}</td>
              <td>
                {remote && remote.jitter_max_ms !== null ? (
                  msList([remote.jitter_last_ms, remote.jitter_max_ms])
                ) : jitter.length > 0 ? (
                  msList([jitter.at(-1), Math.max(...jitter)])
                ) : (
                  <Unknown why={reports.length === 0 ? silent : stream.clock_rate === null ? "no clock rate to read it by" : "no report to be believed"} />
                )}
              </td>
            </tr>
            <tr>
              <th scope="row">
                <Term of="rtt">RTT per side</Term>
              </th>
              <td>{halves.toSender === null ? <Unknown why="no report answers one of the receiver's that passed here" /> : <>{ms(halves.toSender)} to the sender and back</>}</td>
              <td>{halves.toReceiver === null ? <Unknown why="no report answers one of the sender's that passed here" /> : <>{ms(halves.toReceiver)} to the receiver and back</>}</td>
            </tr>
            {own && (
              <>
                <tr>
                  <th scope="row">Discarded as too late</th>
                  <td>{late === null ? <Unknown why="no delay was measured" /> : adaptive ? <>{percent(late)} by an adaptive buffer</> : <>{percent(late)} by a buffer of {number(mos.jitter_buffer_ms)}&#8239;ms</>}</td>
                  <td>{own.discard_pct === null ? <Unknown why="it does not say" /> : <>{percent(own.discard_pct)} by its own</>}</td>
                </tr>
                <tr>
                  <th scope="row">MOS-LQ</th>
                  <td>{mos.lq === null ? <Unknown why={nullReason(mos.reason_null)} /> : <MosValue value={mos.lq} scale={mos.scale} />}</td>
                  <td>{own.mos_lq === null ? <Unknown why="it does not say" /> : <>{number(own.mos_lq, 1)} as it rates itself</>}</td>
                </tr>
              </>
            )}
          </tbody>
        </table>
      </div>
      {stream.rtt_ms !== null && <p class="hint">Round trip between the two ends: {ms(stream.rtt_ms)}, the mean over the call.</p>}
    </section>
  );
}

function Counted({ lost, of, pct, why }: { lost: number | null; of: number | null; pct: number | null; why: string }) {
  if (lost === null || !of) return <Unknown why={why} />;
  return (
    <>
      {percent(pct ?? (100 * lost) / of)} <small>{lost < 0 ? `${count(-lost)} copies more than losses, of ${count(of)}` : `${count(lost)} of ${count(of)}`}</small>
    </>
  );
}

/** A dash with its reason beside it. */
export function Unknown({ why }: { why: string }) {
  return (
    <span class="unknown">
      {UNKNOWN} <small>{why}</small>
    </span>
  );
}

const COLUMNS: { name: string; of: (voip: VoipMetrics) => ComponentChildren }[] = [
  { name: "Lost", of: (v) => percent(v.loss_pct) },
  { name: "Discarded", of: (v) => percent(v.discard_pct) },
  { name: "R", of: (v) => number(v.r) },
  { name: "MOS-LQ", of: (v) => number(v.mos_lq, 1) },
  { name: "MOS-CQ", of: (v) => number(v.mos_cq, 1) },
  { name: "Round trip", of: (v) => ms(v.round_trip_ms) },
  { name: "End system", of: (v) => ms(v.end_system_ms) },
  { name: "Burst", of: (v) => ms(v.burst_ms) },
  { name: "Gap", of: (v) => ms(v.gap_ms) },
  { name: "Buffer", of: (v) => ms(v.jb_nominal_ms) },
];

/** Everything the endpoint measured itself, report by report. */
export function Measured({ detail, stream }: { detail: CallDetail; stream: StreamRow }) {
  const rows: RtcpRow[] = measurementsAbout(detail, stream);
  if (rows.length === 0) return null;
  const doubted = rows.filter((row) => row.implausible !== null).length;
  return (
    <details class="measured">
      <summary>
        The receiver's own measurements ({plural(rows.length, "report")}
        {doubted > 0 && `, ${number(doubted)} not believed`})
      </summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="The receiver's own measurements">
        <table>
          <thead>
            <tr>
              <th scope="col">Time, UTC</th>
              <th scope="col">Report</th>
              {COLUMNS.map(({ name }) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, i) => (
              <Fragment key={i}>
                <tr class={row.implausible ? "doubted" : undefined}>
                  <th scope="row">{clock(row.at, true)}</th>
                  <td>
                    {rtcpKind(row.kind)}
                    {row.vq?.side === "remote" && " of its peer"}
                  </td>
                  {COLUMNS.map(({ name, of }) => (
                    <td key={name}>{row.voip ? of(row.voip) : UNKNOWN}</td>
                  ))}
                </tr>
                {row.implausible && (
                  <tr class="doubt">
                    <td colSpan={COLUMNS.length + 2}>
                      <span class="tag">Not believed: {row.implausible}</span>
                    </td>
                  </tr>
                )}
              </Fragment>
            ))}
          </tbody>
        </table>
      </div>
      <p class="hint">A dash: the report leaves that figure out. MOS and R are as the endpoint rates itself, on a scale it does not name.</p>
    </details>
  );
}
