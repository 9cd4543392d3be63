// The SIP ladder: one column per endpoint, one arrow per message, the chosen message beside it.

import { useEffect, useMemo, useRef } from "preact/hooks";
import { clock, duration, epochMs, ms, plural } from "../format";
import { useWidth } from "../hooks";
import { Copy } from "../parts";
import type { SipMessage } from "../types";

const ROW = 30;
const HEAD = 34;
const TIMES = 104;
const LEAST_COLUMN = 150;

interface Props {
  ladder: SipMessage[];
  /** Whether the reader's role leaves the messages out. */
  withheld: boolean;
  chosen: number;
  onChoose: (index: number) => void;
}

export function Ladder({ ladder, withheld, chosen, onChoose }: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const columns = useMemo(() => [...new Set(ladder.flatMap((message) => [message.src, message.dst]))], [ladder]);
  const group = useRef<SVGSVGElement>(null);
  const message = ladder[chosen];

  const move = (event: KeyboardEvent): void => {
    const to = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, Home: 0, End: ladder.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.min(Math.max(to, 0), ladder.length - 1);
    onChoose(next);
    group.current?.querySelector<SVGGElement>(`[data-index="${next}"]`)?.focus();
  };

  if (ladder.length === 0) {
    return (
      <section class="panel" aria-labelledby="ladder-title">
        <h2 id="ladder-title">Signalling</h2>
        {withheld ? (
          <p class="hint">Your role may not see SIP messages; investigators and administrators may. The verdict and the figures above take them into account.</p>
        ) : (
          <p class="hint">No SIP message of this call is stored. Messages are kept for a shorter time than calls, and not at all where the policy says so.</p>
        )}
      </section>
    );
  }
  const span = Math.max((Math.max(width, 300) - TIMES) / columns.length, LEAST_COLUMN);
  const x = (endpoint: string): number => TIMES + span * (columns.indexOf(endpoint) + 0.5);
  const full = TIMES + span * columns.length;
  const height = HEAD + ladder.length * ROW + 8;
  const start = epochMs(ladder[0]?.at ?? "");
  const whens = ladder.map((each, i) => (i === 0 ? clock(each.at, true) : since(epochMs(each.at) - start)));
  return (
    <section class="panel" aria-labelledby="ladder-title">
      <div class="head">
        <h2 id="ladder-title">Signalling</h2>
        <span class="hint">{plural(ladder.length, "message")}. Click a message, or use the arrow keys.</span>
      </div>
      <div class="ladder">
        <div class="scroll" ref={box}>
          <svg ref={group} width={full} height={height} role="group" aria-label="SIP ladder" onKeyDown={move}>
            <defs>
              <marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">
                <path d="M0 0.5L8 4L0 7.5z" />
              </marker>
            </defs>
            {columns.map((endpoint) => (
              <g key={endpoint} class="column">
                <line x1={x(endpoint)} x2={x(endpoint)} y1={HEAD - 8} y2={height} />
                <text x={x(endpoint)} y="16" text-anchor="middle">
                  {endpoint}
                </text>
              </g>
            ))}
            {ladder.map((each, i) => (
              <Arrow
                key={`${each.at}${i}`}
                message={each}
                index={i}
                from={x(each.src)}
                to={x(each.dst)}
                full={full}
                when={whens[i] ?? ""}
                chosen={i === chosen}
                onChoose={onChoose}
              />
            ))}
            {whens.map((when, i) => (
              <text key={i} class="time" x="8" y={HEAD + (i + 1) * ROW - 10} aria-hidden="true">
                {when}
              </text>
            ))}
          </svg>
        </div>
        {message && <Message message={message} />}
      </div>
    </section>
  );
}

interface ArrowProps {
  message: SipMessage;
  index: number;
  from: number;
  to: number;
  full: number;
  when: string;
  chosen: boolean;
  onChoose: (index: number) => void;
}

function Arrow({ message, index, from, to, full, when, chosen, onChoose }: ArrowProps) {
  const top = HEAD + index * ROW;
  const y = top + ROW - 9;
  const label = nameOf(message) + (message.sdp ? " (SDP)" : "");
  const kind = message.direction === "request" ? "request" : (message.status ?? 0) >= 300 ? "refusal" : "response";
  const loop = from === to;
  const name = `${label}${message.retransmission ? " again" : ""}`;
  return (
    <g
      class={`message ${kind}${message.retransmission ? " again" : ""}`}
      role="button"
      tabindex={chosen ? 0 : -1}
      aria-pressed={chosen}
      aria-label={`${name}, ${when}, ${message.src} to ${message.dst}`}
      data-index={index}
      onClick={(event) => {
        onChoose(index);
        event.currentTarget.focus();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onChoose(index);
      }}
    >
      <rect class="row" x="1" y={top + 1} width={full - 2} height={ROW - 2} rx="3" />
      {loop ? (
        <path class="line" d={`M${from} ${y - 8}h26v8h-24`} marker-end="url(#tip)" />
      ) : (
        <line class="line" x1={from} x2={to} y1={y} y2={y} marker-end="url(#tip)" />
      )}
      <text class="label" x={loop ? from + 32 : (from + to) / 2} y={y - 5} text-anchor={loop ? "start" : "middle"}>
        {name}
      </text>
    </g>
  );
}

function since(milliseconds: number): string {
  return `+${milliseconds < 1000 ? ms(milliseconds) : duration(milliseconds)}`;
}

function nameOf(message: SipMessage): string {
  return message.status ? `${message.status} ${message.reason ?? ""}`.trim() : message.method;
}

function Message({ message }: { message: SipMessage }) {
  const pre = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (pre.current) pre.current.scrollTop = 0;
  }, [message]);
  const text = message.sdp ? `${message.headers.trimEnd()}\r\n\r\n${message.sdp}` : message.headers;
  return (
    <div class="detail" role="region" aria-label="Chosen message" aria-live="polite">
      <div class="head">
        <h3>{nameOf(message)}</h3>
        <span class="hint">
          {clock(message.at, true)} UTC, {message.transport}, CSeq {message.cseq} {message.method}
          {message.retransmission && ", retransmission"}
        </span>
        <Copy label="Message" text={text} title="Copy headers and SDP" />
      </div>
      {message.cut_short && <p class="tag">Cut short by the snap length of the capture: fewer bytes were captured than the message has.</p>}
      <pre ref={pre} tabIndex={0} role="region" aria-label="Headers and SDP">
        {message.headers.trimEnd().replaceAll("\r", "")}
        {message.sdp && <span class="sdp">{`\n\n${message.sdp.trimEnd().replaceAll("\r", "")}`}</span>}
      </pre>
    </div>
  );
}
