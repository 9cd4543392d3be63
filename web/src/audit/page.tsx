// Who looked at what and changed what, newest first, for administrators.

import { useEffect, useState } from "preact/hooks";
import { audit as loadAudit } from "../api";
import { TextField } from "../calls/filters";
import { changed } from "../calls/query";
import { number, UNKNOWN } from "../format";
import { useKeys, useTitle } from "../hooks";
import { Copy, Failure, MomentField, Notice, Time } from "../parts";
import { navigate } from "../router";
import type { AuditPage, AuditRow } from "../session/shape";

const PAGE = 100;
const FILTERS = ["from", "to", "who", "action"];

export function AuditView({ query }: { query: URLSearchParams }) {
  useTitle("Audit");
  const asked = new URLSearchParams({ limit: String(PAGE) });
  for (const name of FILTERS) {
    const value = query.get(name)?.trim();
    if (value) asked.set(name, value);
  }
  const pages = useRows(asked);
  const set = (changes: Record<string, string | null>) => navigate(changed(new URLSearchParams(location.search), "/audit", changes));
  const narrowed = FILTERS.some((name) => query.has(name));
  const { rows, head } = pages;
  const values = (of: (row: AuditRow) => string): string[] => [...new Set((rows ?? []).map(of))].sort();
  useKeys({ r: pages.again });
  return (
    <>
      <h1 class="sr">Audit</h1>
      <form class="filters" role="search" aria-label="Filter the audit log" onSubmit={(event) => event.preventDefault()}>
        <div class="line">
          <TextField name="who" label="Who" query={query} path="/audit" known={values((row) => row.who)} />
          <TextField name="action" label="Action" query={query} path="/audit" known={values((row) => row.action)} />
          <MomentField label="From, UTC" value={query.get("from")} onChange={(value) => set({ from: value })} />
          <MomentField label="To, UTC" value={query.get("to")} onChange={(value) => set({ to: value })} />
          <button type="button" class="plain" disabled={!narrowed} onClick={() => set(Object.fromEntries(FILTERS.map((name) => [name, null])))}>
            Clear filters
          </button>
          <button type="button" class="plain" onClick={pages.again}>
            Refresh <kbd>r</kbd>
          </button>
        </div>
      </form>
      {head && (
        <p class="chain">
          <span>
            The chain ends at row <b>{number(head.seq)}</b>, MAC <code title={head.mac}>{head.mac.slice(0, 16)}…</code>
          </span>
          <Copy label="Head" text={`${head.seq}:${head.mac}`} title="Copy the head, as auscult audit verify --head takes it" />
          <span>
            <code>auscult audit verify</code> checks that no row was changed, taken away or put in since it was written.
          </span>
        </p>
      )}
      {pages.error && rows === null ? (
        <Failure error={pages.error} retry={pages.again} />
      ) : rows === null ? (
        <p class="loading">Loading …</p>
      ) : rows.length === 0 ? (
        <Notice kind="empty" title={narrowed ? "No row matches these filters." : "The audit log is empty."} />
      ) : (
        <>
          <Table rows={rows} busy={pages.loading} />
          <div class="more">
            {pages.error && <p role="alert">{pages.error.message}</p>}
            {pages.next ? (
              <button type="button" onClick={pages.next} disabled={pages.loading}>
                {pages.loading ? "Loading …" : "Older rows"}
              </button>
            ) : (
              <span>{number(rows.length)} rows, all shown</span>
            )}
          </div>
        </>
      )}
    </>
  );
}

interface Pages {
  rows: AuditRow[] | null;
  head: AuditPage["head"] | null;
  error: Error | null;
  loading: boolean;
  next: (() => void) | null;
  again: () => void;
}

/** Rows of a question, one page after the other. */
function useRows(asked: URLSearchParams): Pages {
  const key = asked.toString();
  const [attempt, setAttempt] = useState(0);
  const [place, setPlace] = useState<{ of: string; cursor: string } | null>(null);
  const of = `${attempt} ${key}`;
  // A cursor is of its question.
  const cursor = place?.of === of ? place.cursor : null;
  const [state, setState] = useState<{ key: string; rows: AuditRow[] | null; head: AuditPage["head"] | null; next: string | null; error: Error | null; loading: boolean }>({
    key: "",
    rows: null,
    head: null,
    next: null,
    error: null,
    loading: true,
  });
  useEffect(() => {
    const stop = new AbortController();
    const query = new URLSearchParams(key);
    if (cursor !== null) query.set("cursor", cursor);
    setState((before) => ({ ...before, loading: true }));
    loadAudit(query, stop.signal).then(
      (page) => {
        if (!stop.signal.aborted) setState((before) => ({ key, rows: cursor === null ? page.rows : [...(before.rows ?? []), ...page.rows], head: page.head, next: page.next_cursor, error: null, loading: false }));
      },
      (error: Error) => {
        if (!stop.signal.aborted) setState((before) => ({ ...before, rows: cursor === null ? null : before.rows, error, loading: false }));
      },
    );
    return () => stop.abort();
  }, [key, cursor, attempt]);
  const { next } = state;
  return { rows: state.rows, head: state.head, error: state.error, loading: state.loading, next: next !== null && state.key === key ? () => setPlace({ of, cursor: next }) : null, again: () => setAttempt((n) => n + 1) };
}

function Table({ rows, busy }: { rows: AuditRow[]; busy: boolean }) {
  return (
    <table class="audit panel" aria-busy={busy}>
      <caption class="sr">Rows of the audit log, newest first</caption>
      <thead>
        <tr>
          <th scope="col" class="n">
            Row
          </th>
          <th scope="col">Time, UTC</th>
          <th scope="col">Who</th>
          <th scope="col">From</th>
          <th scope="col">Action</th>
          <th scope="col">What</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.seq} class={row.outcome}>
            <td class="n seq">{number(row.seq)}</td>
            <td class="at">
              <Time at={row.at} />
            </td>
            <td class="by">
              <b>
                <bdi>{row.who || "nobody"}</bdi>
              </b>
              <small>
                {row.role ? `${row.role}, ` : ""}
                {row.via}
              </small>
            </td>
            <td class="client">{row.address ?? UNKNOWN}</td>
            <td class="action">
              {row.action} {row.outcome !== "allowed" && <span class="tag">{row.outcome}</span>}
            </td>
            <td class="said">
              <bdi>{row.what}</bdi>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
