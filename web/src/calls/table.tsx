// Rows of the call list.

import { clock, dateTime, day, duration, ipOf, local, ms, percent } from "../format";
import { ClassMark, MosValue, Term } from "../parts";
import { callPage, navigate } from "../router";
import type { CallRow, Party } from "../types";
import { captureBlamed, classWord, figuresFirst, finalAnswer, lossSource, verdict } from "../words";

export function CallTable({ rows, busy }: { rows: CallRow[]; busy: boolean }) {
  return (
    <table class="calls" aria-busy={busy}>
      <caption class="sr">Calls in the window, in the order chosen</caption>
      <thead>
        <tr>
          <th scope="col">Verdict</th>
          <th scope="col" class="n">
            <Term of="mos_worst_minute" title="Listening MOS of the worst minute of the call, with its scale">
              Worst MOS
            </Term>
          </th>
          <th scope="col" class="n">
            <Term of="pdv_p95_ms" title="95th percentile of packet delay variation, worst direction">
              p95 delay var.
            </Term>
          </th>
          <th scope="col" class="n">
            <Term of="loss_pct" title="Share of expected packets lost, worst direction">
              Loss
            </Term>
          </th>
          <th scope="col" class="n">
            Duration
          </th>
          <th scope="col">Codec</th>
          <th scope="col">Caller → callee</th>
          <th scope="col" class="n">
            Start, UTC
          </th>
          <th scope="col" class="where">
            Trunk, site
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Row key={row.id} call={row} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ call }: { call: CallRow }) {
  const href = callPage(call);
  const { title, detail } = verdict(call);
  const more = call.diagnoses.length - 1;
  const answer = finalAnswer(call);
  return (
    <tr
      onClick={(event) => {
        if (event.target instanceof Element && event.target.closest("a")) return;
        if (getSelection()?.toString()) return;
        if (event.metaKey || event.ctrlKey) window.open(href, "_blank", "noopener");
        else navigate(href);
      }}
    >
      <td class="verdict">
        <ClassMark of={call.class} label={classWord(call.class)} />
        <div>
          <a class="open" href={href}>
            {title}
          </a>
          {more > 0 && <span class="and"> +{more}</span>}
          {call.state === "established" && <span class="tag">in progress</span>}
          <p title={detail}>{figuresFirst(detail) || answer}</p>
        </div>
      </td>
      <td class="n">
        <MosValue value={call.mos_worst} scale={call.mos_scale} />
        {call.mos_worst !== null && <MosBar value={call.mos_worst} of={call.class === "failed" ? "unrated" : call.class} />}
      </td>
      <td class="n">{ms(call.pdv_p95_worst_ms)}</td>
      <td class="n">
        {percent(call.loss_pct_worst)}
        {captureBlamed(call.loss_source) && (
          <p class="tag" title={`Lost ${lossSource(call.loss_source)}`}>
            Probe drop?
          </p>
        )}
      </td>
      <td class="n">{duration(call.duration_ms)}</td>
      <td>{call.codecs.length > 0 ? call.codecs.join(", ") : <span class="unknown">–</span>}</td>
      <td>
        <div class="parties">
          <PartyText party={call.caller} at={call.signalling_src} />
          <span class="arrow" role="img" aria-label="to">
            →
          </span>
          <PartyText party={call.callee} at={call.signalling_dst} />
        </div>
      </td>
      <td class="n when">
        <time dateTime={call.first_at} title={`${dateTime(call.first_at)} UTC\n${local(call.first_at)}`}>
          {clock(call.first_at)}
          <p>{day(call.first_at)}</p>
        </time>
      </td>
      <td class="where">
        {call.trunk || <span class="unknown">–</span>}
        <p>{call.site || call.probe}</p>
      </td>
    </tr>
  );
}

function PartyText({ party, at }: { party: Party; at: string | null }) {
  const shown = party.user || party.uri || (at ? ipOf(at) : "unknown");
  return (
    <span class="party" title={[party.name, party.uri, party.agent, at].filter(Boolean).join("\n")}>
      <bdi>{shown}</bdi>
      <small>
        <bdi>{party.name || party.uri.split("@")[1] || ""}</bdi>
      </small>
    </span>
  );
}

/** Where the figure stands between 1 and 5. */
function MosBar({ value, of }: { value: number; of: string }) {
  const share = Math.min(Math.max((value - 1) / 4, 0), 1);
  return (
    <svg class="mosbar" width="52" height="4" aria-hidden="true">
      <rect class="ground" width="52" height="4" rx="2" />
      <rect class={`bar ${of}`} width={Math.max(52 * share, 3)} height="4" rx="2" />
    </svg>
  );
}
