// One call: verdict, facts, media, signalling, endpoint reports, and how far to trust it all.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { API, call as loadCall } from "../api";
import { neighbours } from "../calls/page";
import { clock, duration, ms, number, percent, plural, UNKNOWN } from "../format";
import { useKeys, useLoad, useTitle } from "../hooks";
import { ClassMark, Copy, Failure, MosValue, Notice, Term, Time } from "../parts";
import { useSession } from "../session/store";
import type { Withheld } from "../session/shape";
import { callPage, cameFromList, navigate } from "../router";
import type { CallDetail, CallRow, Party } from "../types";
import { diagnosisHint, diagnosisTitle, finalAnswer, releasedBy, stateWord, unknownFacts, verdict } from "../words";
import { directions, displayFilter, shellWord } from "./directions";
import { Ladder } from "./ladder";
import { Lanes } from "./lanes";
import { Rtcp } from "./rtcp";
import { Trust } from "./trust";
import { whatSpoilt, worstOf } from "./worst";

export function CallPage({ id, firstAt }: { id: string; firstAt: string | null }) {
  const { data, error, retry } = useLoad(id, (signal) => loadCall(id, firstAt, signal));
  useTitle(data ? `${data.call.caller.user || "unknown"} → ${data.call.callee.user || "unknown"}` : "Call");
  const { before, after } = neighbours(id);
  const go = (to: CallRow | null): void => {
    if (to) navigate(callPage(to), true);
  };
  // By the address, not by what is drawn: a second press may come before the first one's call is.
  const here = (): string => /^\/calls\/([0-9a-f]{16})$/.exec(location.pathname)?.[1] ?? id;
  useKeys({
    Escape: leave,
    j: () => go(neighbours(here()).after),
    k: () => go(neighbours(here()).before),
    r: retry,
  });
  return (
    <>
      <div class="back">
        <a
          href="/"
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
            event.preventDefault();
            leave();
          }}
        >
          ← Calls <kbd>Esc</kbd>
        </a>
        {(before || after) && (
          <span class="neighbours">
            <button type="button" disabled={!before} onClick={() => go(before)}>
              Previous <kbd>k</kbd>
            </button>
            <button type="button" disabled={!after} onClick={() => go(after)}>
              Next <kbd>j</kbd>
            </button>
          </span>
        )}
        {data?.call.state === "established" && (
          <button type="button" onClick={retry}>
            Refresh <kbd>r</kbd>
          </button>
        )}
      </div>
      {error ? <Failure error={error} retry={retry} /> : data ? <Call detail={data} /> : <p class="loading">Loading …</p>}
    </>
  );
}

function leave(): void {
  if (cameFromList()) history.back();
  else navigate("/");
}

function Call({ detail }: { detail: CallDetail & Withheld }) {
  const [chosen, setChosen] = useState(0);
  const all = useMemo(() => directions(detail), [detail]);
  const showMessage = (index: number): void => {
    setChosen(index);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.getElementById("ladder-title")?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  };
  return (
    <div class="call">
      <Verdict detail={detail} />
      <Facts detail={detail} />
      {detail.streams.length > 0 ? (
        <Lanes detail={detail} all={all} onMessage={showMessage} />
      ) : detail.call.ended_at === null && detail.call.stream_ids.length > 0 ? (
        <Notice kind="empty" title="Its streams are being measured.">
          <p>
            {plural(detail.call.stream_ids.length, "stream")} {detail.call.stream_ids.length === 1 ? "is" : "are"} part of this call so far. The figures above are those until now; what each stream
            had shows here when it ends.
          </p>
        </Notice>
      ) : (
        <Notice kind="empty" title="No media was seen for this call.">
          <p>{detail.call.answered_at ? "Answered, but no RTP seen: see the verdict." : "It was not answered."}</p>
        </Notice>
      )}
      <Ladder ladder={detail.ladder} withheld={detail.messages_withheld === true} chosen={chosen} onChoose={setChosen} />
      {detail.streams.length > 0 && <Rtcp detail={detail} />}
      <Trust detail={detail} />
    </div>
  );
}

function Verdict({ detail }: { detail: CallDetail }) {
  const { call } = detail;
  const { title } = verdict(call);
  const filter = displayFilter(detail);
  const open = useSession().session?.open ?? false;
  const token = open ? "" : '-H "Authorization: Bearer $AUSCULT_TOKEN" ';
  const curl = `curl -s ${token}${shellWord(`${location.origin}${API}${callPage(call)}`)}`;
  return (
    <header class={`verdict-head panel ${call.class}`}>
      <div class="top-line">
        <h1>
          <ClassMark of={call.class} size={20} label="" /> {title}
        </h1>
        <div class="copies" role="group" aria-label="Copy">
          <Copy label="Link" text={`${location.origin}${callPage(call)}`} />
          <Copy label="curl" text={curl} />
          <Copy label="Wireshark filter" text={filter} />
          <Copy label="tshark" text={`tshark -r capture.pcap -Y ${shellWord(filter)}`} />
        </div>
      </div>
      <p class="who">
        <Who party={call.caller} />
        <span class="arrow" role="img" aria-label="calls">
          →
        </span>
        <Who party={call.callee} />
        <Time at={call.first_at} /> <span class="utc">UTC</span>
      </p>
      {call.diagnoses.length > 0 ? (
        <ol class="diagnoses">
          {call.diagnoses.map((diagnosis) => (
            <li key={diagnosis.code}>
              <div>
                <b title={diagnosisHint(diagnosis.code)}>{diagnosisTitle(diagnosis.code)}</b>
                <p>{diagnosis.evidence}</p>
              </div>
              <span class="confidence" title="How sure the verdict is">
                <svg width="60" height="5" aria-hidden="true">
                  <rect class="ground" width="60" height="5" rx="2.5" />
                  <rect class="fill" width={60 * Math.min(Math.max(diagnosis.confidence, 0), 1)} height="5" rx="2.5" />
                </svg>
                confidence {number(diagnosis.confidence * 100)}&#8239;%
              </span>
            </li>
          ))}
        </ol>
      ) : (
        <p class="hint">Nothing was found wrong with this call.</p>
      )}
    </header>
  );
}

function Who({ party }: { party: Party }) {
  return (
    <span class="who-is" title={party.uri}>
      <bdi>{party.user || party.uri || "unknown"}</bdi>
      {party.name && (
        <small>
          <bdi>{party.name}</bdi>
        </small>
      )}
    </span>
  );
}

function Facts({ detail }: { detail: CallDetail }) {
  const { call } = detail;
  const worst = worstOf(detail);
  const why = unknownFacts(detail);
  return (
    <section class="facts panel" aria-label="Facts">
      <dl class="key">
        <Fact term="MOS, worst minute" of="mos_worst_minute">
          <MosValue value={call.mos_worst} scale={call.mos_scale} />
          {call.mos_worst_minute_at !== null && <small> from {clock(call.mos_worst_minute_at)}</small>}
          {worst && <small> {whatSpoilt(worst)}</small>}
          {call.mos_worst === null && <small> {why.mos}</small>}
        </Fact>
        <Fact term="Worst p95 delay var." of="pdv_p95_ms">
          {ms(call.pdv_p95_worst_ms)}
          {call.pdv_p95_worst_ms === null && <small> {why.delay}</small>}
        </Fact>
        <Fact term="Worst loss" of="loss_pct">
          {percent(call.loss_pct_worst)}
          {call.loss_pct_worst === null && <small> {why.loss}</small>}
        </Fact>
        <Fact term="Duration">
          {duration(call.duration_ms)}
          {call.duration_ms === null && <small> {why.duration}</small>}
        </Fact>
        <Fact term="Post-dial delay">
          {ms(call.pdd_ms)}
          {call.pdd_ms === null && <small> {why.ring}</small>}
        </Fact>
        <Fact term="Setup">
          {ms(call.setup_ms)}
          {call.setup_ms === null && <small> {why.setup}</small>}
        </Fact>
      </dl>
      <dl>
        <Fact term="State">{stateWord(call.state)}</Fact>
        <Fact term="Final answer">{finalAnswer(call) || UNKNOWN}</Fact>
        <Fact term="Released by">{releasedBy(call.released_by) || UNKNOWN}</Fact>
        {call.release_reason && (
          <Fact term="Reason" wide>
            {call.release_reason}
          </Fact>
        )}
        <Fact term="Codec">{call.codecs.join(", ") || UNKNOWN}</Fact>
        <Fact term="RTP directions">{number(call.directions_seen)}</Fact>
        <Fact term="ACK">{call.answered_at === null ? UNKNOWN : call.acked ? "seen" : "not seen"}</Fact>
        <Fact term="re-INVITEs">{number(call.reinvites)}</Fact>
        <Fact term="Auth challenges">{number(call.auth_rounds)}</Fact>
        {call.retry_of && (
          <Fact term="Retry of">
            <a href={`/calls/${call.retry_of}`}>the challenged attempt</a>
          </Fact>
        )}
        <Fact term="Retransmissions">{number(call.retransmissions)}</Fact>
        <Fact term="Forks">{number(call.branches)}</Fact>
        <Fact term="Trunk">{call.trunk || UNKNOWN}</Fact>
        <Fact term="Site, probe">{[call.site, call.probe].filter(Boolean).join(", ") || UNKNOWN}</Fact>
        <Fact term="Signalling" wide>
          <span class="mono">
            {call.signalling_src ?? UNKNOWN} → {call.signalling_dst ?? UNKNOWN}
          </span>
          {call.transport && <small> {call.transport}</small>}
        </Fact>
        <Fact term="Caller's device" wide>
          {call.caller.agent || UNKNOWN}
        </Fact>
        <Fact term="Callee's device" wide>
          {call.callee.agent || UNKNOWN}
        </Fact>
        <Fact term="Call-ID" wide>
          <span class="mono break">{call.call_id}</span>
        </Fact>
      </dl>
    </section>
  );
}

function Fact({ term, of, wide, children }: { term: string; of?: string; wide?: boolean; children: ComponentChildren }) {
  return (
    <div class={wide ? "wide" : undefined}>
      <dt>{of ? <Term of={of}>{term}</Term> : term}</dt>
      <dd>{children}</dd>
    </div>
  );
}
