// The call list: what is stored, worst first.

import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { calls as loadCalls, range as loadRange, timeline as loadTimeline } from "../api";
import { epochMs, plural } from "../format";
import { useKeys, useLoad, useTitle } from "../hooks";
import { Failure, Notice } from "../parts";
import { cameBack, navigate } from "../router";
import { identity, useRights } from "../session/store";
import { useLiveCalls } from "../shell";
import type { CallRow, LiveCall, Range } from "../types";
import { Filters } from "./filters";
import { ACTIVE } from "../words";
import { activeFilters, apiQuery, changed, FILTERS } from "./query";
import { Strip } from "./strip";
import { CallTable } from "./table";

const PAGE = 50;
/** Calls counted as ended since the list was loaded; beyond it the number says nothing new. */
const MOST_FRESH = 999;
const LONGEST_WINDOW_MS = 31 * 86_400_000;

export function CallsPage({ query }: { query: URLSearchParams }) {
  useTitle("Calls");
  const range = useLoad("range", loadRange);
  if (range.error) return <Failure error={range.error} retry={range.retry} />;
  if (!range.data) return <p class="loading">Loading …</p>;
  const active = query.get("state") === ACTIVE;
  if (!active && range.data.calls === 0 && range.data.streams === 0) return <NothingStored retry={range.retry} />;
  return <List query={query} range={range.data} onRefresh={range.retry} />;
}

export function NothingStored({ retry }: { retry: () => void }) {
  const { calls } = useRights();
  return (
    <Notice kind="empty" title="Nothing is stored yet.">
      <p>
        Calls show up here when they end. Run auscult on the interface of a mirror port (<code>auscult run -i eth1</code>) or let it read a
        capture file. If it runs and nothing comes, the strip above says whether frames arrive at all: no frames means the mirror port
        or its VLAN, frames without calls means that no SIP reaches the probe.
      </p>
      <p>
        <button type="button" onClick={retry}>
          Look again
        </button>{" "}
        {calls && <a href={`/?state=${ACTIVE}`}>Calls that are up now</a>}
      </p>
    </Notice>
  );
}

function List({ query, range, onRefresh }: { query: URLSearchParams; range: Range; onRefresh: () => void }) {
  const filters = apiQuery(query);
  const listQuery = new URLSearchParams(filters);
  listQuery.set("sort", query.get("sort") ?? "worst");
  listQuery.set("limit", String(PAGE));
  const list = usePages(listQuery);
  const timelineQuery = new URLSearchParams(filters);
  timelineQuery.set("buckets", "120");
  const timeline = useLoad(timelineQuery.toString(), (signal) => loadTimeline(timelineQuery, signal));
  const fresh = useFreshCalls();

  const from = query.get("from") ?? timeline.data?.from ?? range.from;
  const to = query.get("to") ?? timeline.data?.to ?? range.to;
  const refresh = (): void => {
    fresh.reset();
    onRefresh();
    timeline.retry();
    list.retry();
  };

  useKeys({
    "/": (event) => {
      event.preventDefault();
      const search = document.getElementById("search");
      if (search instanceof HTMLInputElement) {
        search.focus();
        search.select();
      }
    },
    j: () => moveFocus(1),
    k: () => moveFocus(-1),
    r: refresh,
    Escape: () => {
      if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    },
  });

  return (
    <>
      <h1 class="sr">Calls</h1>
      <Filters query={query} from={from} to={to} />
      <Windows query={query} range={range} from={from} to={to}>
        <span class="grow" />
        {fresh.count > 0 && (
          <button type="button" class="fresh" onClick={refresh}>
            {fresh.count < MOST_FRESH ? plural(fresh.count, "new call") : `${MOST_FRESH} new calls and more`}: refresh <kbd>r</kbd>
          </button>
        )}
      </Windows>
      {timeline.data && query.get("state") !== ACTIVE && (
        <Strip timeline={timeline.data} onPick={(a, b) => navigate(changed(new URLSearchParams(location.search), "/", { from: a, to: b }))} />
      )}
      {list.error ? (
        <Failure error={list.error} retry={list.retry} />
      ) : list.rows === null ? (
        <p class="loading">Loading …</p>
      ) : list.rows.length === 0 ? (
        <NoMatch query={query} range={range} />
      ) : (
        <>
          <CallTable rows={list.rows} busy={list.loading} />
          <More list={list} />
        </>
      )}
      <p class="keys" aria-label="Keyboard shortcuts">
        <kbd>/</kbd> search <kbd>j</kbd> <kbd>k</kbd> next, previous <kbd>Enter</kbd> open <kbd>r</kbd> refresh <kbd>Esc</kbd> leave
      </p>
    </>
  );
}

interface WindowsProps {
  query: URLSearchParams;
  range: Range;
  from: string | null;
  to: string | null;
  children?: ComponentChildren;
}

/** Windows to choose by one click. */
export function Windows({ query, range, from, to, children }: WindowsProps) {
  const narrowed = query.has("from") || query.has("to");
  return (
    <div class="windows" role="group" aria-label="Time window">
      <button type="button" aria-pressed={!narrowed} onClick={() => navigate(changed(query, "/", { from: null, to: null }))}>
        {longer(range) ? "Last 31 days stored" : "All data"}
      </button>
      {PRESETS.map(({ label, ms }) => {
        const at = preset(range, ms);
        if (!at) return null;
        return (
          <button type="button" key={label} aria-pressed={query.get("from") === at.from && query.get("to") === at.to} onClick={() => navigate(changed(query, "/", at))}>
            {label}
          </button>
        );
      })}
      {narrowed && from && to && (
        <button type="button" onClick={() => navigate(changed(query, "/", wider(from, to)))}>
          Zoom out 2x
        </button>
      )}
      {children}
    </div>
  );
}

const PRESETS = [
  { label: "Last 15 minutes of data", ms: 15 * 60_000 },
  { label: "Last hour of data", ms: 3_600_000 },
  { label: "Last 24 hours of data", ms: 86_400_000 },
];

/** A window that ends where the data ends, not now; null when it would show everything anyway. */
function preset(range: Range, length: number): { from: string; to: string } | null {
  if (!range.from || !range.to) return null;
  const end = Math.floor(epochMs(range.to) / 1000) * 1000 + 1000;
  if (end - length <= epochMs(range.from)) return null;
  return { from: new Date(end - length).toISOString(), to: new Date(end).toISOString() };
}

function wider(from: string, to: string): { from: string; to: string } {
  const [a, b] = [epochMs(from), epochMs(to)];
  const grow = Math.min((b - a) / 2, Math.max(0, (LONGEST_WINDOW_MS - (b - a)) / 2));
  return { from: new Date(a - grow).toISOString(), to: new Date(b + grow).toISOString() };
}

function longer(range: Range): boolean {
  return range.from !== null && range.to !== null && epochMs(range.to) - epochMs(range.from) > LONGEST_WINDOW_MS;
}

function NoMatch({ query, range }: { query: URLSearchParams; range: Range }) {
  const filtered = activeFilters(query).length > 0;
  const narrowed = query.has("from") || query.has("to");
  const noFilters = Object.fromEntries(FILTERS.map((name) => [name, null]));
  if (range.calls === 0) {
    return (
      <Notice kind="empty" title="Streams are stored, but no call is.">
        <p>
          RTP was measured and no SIP was seen with it. <a href="/stats">The statistics</a> have its figures. To join streams into calls, the
          signalling must reach the probe too.
        </p>
      </Notice>
    );
  }
  return (
    <Notice kind="empty" title={filtered ? "No call matches these filters in this window." : "No call in this window."}>
      <p>{plural(range.calls, "call")} stored in all.</p>
      <p class="actions">
        {filtered && (
          <button type="button" onClick={() => navigate(changed(query, "/", noFilters))}>
            Clear the filters
          </button>
        )}
        {narrowed && (
          <button type="button" onClick={() => navigate(changed(query, "/", { from: null, to: null }))}>
            Show all data
          </button>
        )}
      </p>
    </Notice>
  );
}

interface Pages {
  rows: CallRow[] | null;
  error: Error | null;
  loading: boolean;
  more: (() => void) | null;
  moreError: Error | null;
  retry: () => void;
}

interface Kept {
  /** Who may see it: nobody finds the list of another session. */
  who: string;
  key: string;
  rows: CallRow[];
  next: string | null;
  scroll: number;
}

/** The last list, so that coming back from a call finds it as it was left. */
let kept: Kept | null = null;

/** The calls before and after this one in the list the reader came from. */
export function neighbours(id: string): { before: CallRow | null; after: CallRow | null } {
  const rows = kept?.who === identity() ? kept.rows : [];
  const at = rows.findIndex((row) => row.id === id);
  return { before: rows[at - 1] ?? null, after: (at >= 0 && rows[at + 1]) || null };
}

function usePages(query: URLSearchParams): Pages {
  const key = query.toString();
  const restored = useRef(cameBack() && kept?.key === key && kept.who === identity() ? kept : null).current;
  const who = useRef(identity()).current;
  const [attempt, setAttempt] = useState(0);
  const [state, setState] = useState<{ key: string; rows: CallRow[] | null; next: string | null; error: Error | null; loading: boolean }>({
    key: restored ? key : "",
    rows: restored?.rows ?? null,
    next: restored?.next ?? null,
    error: null,
    loading: !restored,
  });
  const [moreError, setMoreError] = useState<Error | null>(null);
  const running = useRef<AbortController | null>(null);
  const skipFirst = useRef(restored !== null);

  const load = useCallback((of: URLSearchParams, cursor: string | null) => {
    running.current?.abort();
    const stop = new AbortController();
    running.current = stop;
    const asked = new URLSearchParams(of);
    if (cursor) asked.set("cursor", cursor);
    setState((before) => ({ ...before, loading: true }));
    setMoreError(null);
    loadCalls(asked, stop.signal).then(
      (page) => {
        if (stop.signal.aborted) return;
        setState((before) => ({
          key: of.toString(),
          rows: cursor ? withoutRepeats(before.rows ?? [], page.calls) : page.calls,
          next: page.next_cursor,
          error: null,
          loading: false,
        }));
      },
      (cause: unknown) => {
        if (stop.signal.aborted) return;
        const error = cause instanceof Error ? cause : new Error(String(cause));
        if (cursor) {
          setMoreError(error);
          setState((before) => ({ ...before, loading: false }));
        } else setState({ key: of.toString(), rows: null, next: null, error, loading: false });
      },
    );
  }, []);

  useEffect(() => {
    if (skipFirst.current) {
      skipFirst.current = false;
      return;
    }
    load(query, null);
  }, [key, attempt]);
  useEffect(() => () => running.current?.abort(), []);

  const latest = useRef(state);
  latest.current = state;
  useLayoutEffect(() => {
    if (restored) scrollTo(0, restored.scroll);
    let scroll = scrollY;
    const onScroll = (): void => {
      if (location.pathname === "/") scroll = scrollY;
    };
    addEventListener("scroll", onScroll, { passive: true });
    return () => {
      removeEventListener("scroll", onScroll);
      const { key: of, rows, next } = latest.current;
      kept = rows && who === identity() ? { who, key: of, rows, next, scroll } : null;
    };
  }, []);

  return {
    rows: state.rows,
    error: state.error,
    loading: state.loading,
    more: state.next && state.key === key ? () => load(query, state.next) : null,
    moreError,
    retry: () => setAttempt((n) => n + 1),
  };
}

function withoutRepeats(rows: CallRow[], more: CallRow[]): CallRow[] {
  const have = new Set(rows.map((row) => row.id));
  return [...rows, ...more.filter((row) => !have.has(row.id))];
}

function More({ list }: { list: Pages }) {
  const end = useRef<HTMLDivElement>(null);
  const latest = useRef(list);
  latest.current = list;
  useEffect(() => {
    const target = end.current;
    if (!target) return;
    const observer = new IntersectionObserver(
      (entries) => {
        const { more, loading, moreError } = latest.current;
        if (entries.some((entry) => entry.isIntersecting) && more && !loading && !moreError) more();
      },
      { rootMargin: "400px" },
    );
    observer.observe(target);
    return () => observer.disconnect();
  }, [list.rows?.length]);
  return (
    <div class="more" ref={end}>
      {list.moreError && <p role="alert">{list.moreError.message}</p>}
      {list.more ? (
        <button type="button" onClick={list.more} disabled={list.loading}>
          {list.loading ? "Loading …" : "More calls"}
        </button>
      ) : (
        <span>{plural(list.rows?.length ?? 0, "call")}, all shown</span>
      )}
    </div>
  );
}

function moveFocus(by: number): void {
  const links = [...document.querySelectorAll<HTMLAnchorElement>("table.calls a.open")];
  const at = links.findIndex((link) => link === document.activeElement || link.closest("tr")?.contains(document.activeElement));
  const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1)];
  next?.focus();
  next?.closest("tr")?.scrollIntoView({ block: "nearest" });
}

function useFreshCalls(): { count: number; reset: () => void } {
  const ids = useRef(new Set<string>());
  const [count, setCount] = useState(0);
  const onCall = useCallback((call: LiveCall) => {
    if (call.ended && ids.current.size < MOST_FRESH) setCount(ids.current.add(call.id).size);
  }, []);
  useLiveCalls(onCall);
  const reset = (): void => {
    ids.current.clear();
    setCount(0);
  };
  return { count, reset };
}
