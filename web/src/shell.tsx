// The frame around every page: skip link, navigation, the live strip, who is signed in, light and dark.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { API, alerts as loadAlerts } from "./api";
import { count, number, plural } from "./format";
import { setTheme, type Theme, useLoad, useTheme } from "./hooks";
import { Below, UserMenu } from "./session/head";
import { rightsOf } from "./session/rights";
import type { Session } from "./session/shape";
import { refresh } from "./session/store";
import type { LiveCall, LiveSnapshot } from "./types";
import { ACTIVE, captureFinding } from "./words";

type LiveState = "connecting" | "open" | "lost";

interface Live {
  state: LiveState;
  snapshot: LiveSnapshot | null;
}

const callListeners = new Set<(call: LiveCall) => void>();

/** Calls `onCall` for every call that changed while the page is open. */
export function useLiveCalls(onCall: (call: LiveCall) => void): void {
  useEffect(() => {
    callListeners.add(onCall);
    return () => {
      callListeners.delete(onCall);
    };
  }, [onCall]);
}

const RECONNECT_MS = 10_000;

/** The live feed while the tab is in sight: a browser has six connections per server, and hidden tabs would hold them all. */
function useLive(): Live {
  const [live, setLive] = useState<Live>({ state: "connecting", snapshot: null });
  useEffect(() => {
    let source: EventSource | null = null;
    let timer = 0;
    const close = (): void => {
      clearTimeout(timer);
      source?.close();
      source = null;
    };
    const connect = (): void => {
      close();
      const opened = new EventSource(`${API}/live`);
      source = opened;
      opened.addEventListener("snapshot", (event) => {
        const snapshot = parse<LiveSnapshot>(event.data);
        if (snapshot) setLive({ state: "open", snapshot });
      });
      opened.addEventListener("call", (event) => {
        const call = parse<LiveCall>(event.data);
        if (call) for (const listener of callListeners) listener(call);
      });
      opened.onerror = () => {
        setLive((before) => ({ ...before, state: "lost" }));
        if (opened.readyState !== EventSource.CLOSED) return;
        // The browser does not say why. Where the session ended, asking for it ends this feed; else it is tried again.
        void refresh();
        timer = window.setTimeout(connect, RECONNECT_MS);
      };
    };
    const onVisibility = (): void => (document.hidden ? close() : connect());
    onVisibility();
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      document.removeEventListener("visibilitychange", onVisibility);
      close();
    };
  }, []);
  return live;
}

function parse<T>(text: unknown): T | null {
  try {
    return typeof text === "string" ? (JSON.parse(text) as T) : null;
  } catch {
    return null;
  }
}

/** The frame without what needs rights: while nobody is signed in. */
export function Frame({ children }: { children: ComponentChildren }) {
  return (
    <>
      <Skip />
      <header class="top">
        <span class="brand">
          <Brand />
        </span>
        <span class="grow" />
        <ThemeChoice />
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

export function Shell({ path, session, children }: { path: string; session: Session; children: ComponentChildren }) {
  const rights = rightsOf(session);
  const current = (of: string) => (path === of ? "page" : undefined);
  return (
    <>
      <Skip />
      <header class="top">
        <a class="brand" href="/">
          <Brand />
        </a>
        <nav aria-label="Pages">
          <a href="/" aria-current={current("/")}>
            {rights.calls ? "Calls" : "Overview"}
          </a>
          <a href="/stats" aria-current={current("/stats")}>
            Statistics
          </a>
          <a href="/alerts" aria-current={current("/alerts")}>
            Alerts
            <Badge />
          </a>
          {rights.audit && (
            <a href="/audit" aria-current={current("/audit")}>
              Audit
            </a>
          )}
          <a href="/docs/metrics" aria-current={current("/docs/metrics")}>
            Metrics
          </a>
        </nav>
        <LiveStrip calls={rights.calls} />
        {session.signed_in && <UserMenu session={session} />}
        <ThemeChoice />
      </header>
      <Below session={session} />
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

function Skip() {
  return (
    <a class="skip" href="#main">
      Skip to content
    </a>
  );
}

function Brand() {
  return (
    <>
      <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="7" />
        <path d="M5 17h4l3-8 4 15 4-11 2 4h5" />
      </svg>
      Auscult
    </>
  );
}

function ThemeChoice() {
  const { theme } = useTheme();
  return (
    <label class="theme">
      <span class="sr">Colours</span>
      <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
        <option value="system">System colours</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}

const ALERTS_EVERY_MS = 15_000;
const FIRING = new URLSearchParams({ state: "firing,keeping" });

/** How many alerts fire, on every page. */
function Badge() {
  const { data, retry } = useLoad("badge", (signal) => loadAlerts(FIRING, signal));
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) retry();
    }, ALERTS_EVERY_MS);
    return () => clearInterval(timer);
  }, [retry]);
  const firing = (data?.counts.firing ?? 0) + (data?.counts.keeping ?? 0);
  return firing > 0 ? (
    <b class="badge" role="status">
      {number(firing)}
      <span class="sr"> firing</span>
    </b>
  ) : null;
}

function LiveStrip({ calls }: { calls: boolean }) {
  const { state, snapshot } = useLive();
  if (!snapshot || state !== "open") {
    return (
      <div class="live" data-state={state}>
        <span class="dot" aria-hidden="true" />
        <span>{state === "connecting" ? "Live: connecting" : "Live: not connected"}</span>
      </div>
    );
  }
  return (
    <div class="live" data-state="open">
      <span class="dot" aria-hidden="true" />
      <span>
        {calls ? (
          <a href={`/?state=${ACTIVE}`}>
            <Active snapshot={snapshot} />
          </a>
        ) : (
          <Active snapshot={snapshot} />
        )}
      </span>
      <span class="volume">
        <b>{number(snapshot.streams)}</b> {snapshot.streams === 1 ? "stream" : "streams"}
      </span>
      <span class="volume">
        <b>{count(snapshot.frames_per_s)}</b> frames/s
      </span>
      {snapshot.capture_findings.length > 0 && (
        <span class="drops finding" role="status" title={snapshot.capture_findings.map(({ text }) => `This capture ${text}.`).join("\n")}>
          <svg width="13" height="13" viewBox="0 0 14 14" aria-hidden="true">
            <path d="M7 1L13.6 12.8H0.4z" />
          </svg>
          <a href="/docs/metrics#the-state-of-the-capture">capture: {snapshot.capture_findings.map(({ code }) => captureFinding(code)).join(", ")}</a>
        </span>
      )}
      {snapshot.capture_drops > 0 ? (
        <span class="drops" role="status" title="The probe itself missed frames. Loss seen meanwhile may be the probe's, not the network's.">
          <svg width="13" height="13" viewBox="0 0 14 14" aria-hidden="true">
            <path d="M7 1L13.6 12.8H0.4z" />
          </svg>
          {plural(snapshot.capture_drops, "frame")} dropped <span class="volume">by the probe</span>
        </span>
      ) : (
        <span class="quiet">no capture drops</span>
      )}
    </div>
  );
}

function Active({ snapshot }: { snapshot: LiveSnapshot }) {
  return (
    <>
      <b>{number(snapshot.calls)}</b> active {snapshot.calls === 1 ? "call" : "calls"}
      {snapshot.calls_bad > 0 && (
        <>
          , <b>{number(snapshot.calls_bad)}</b> bad
        </>
      )}
    </>
  );
}
