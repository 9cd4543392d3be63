// Entry: one shell, pages by path, sign-in in place of them.

import "uplot/dist/uPlot.min.css";
import "./styles.css";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { AlertsPage } from "./alerts/page";
import { AuditView } from "./audit/page";
import { CallPage } from "./call/page";
import { CallsPage } from "./calls/page";
import { MetricsPage } from "./docs/page";
import { OverviewPage } from "./overview/page";
import { Failure, Notice } from "./parts";
import { followLinks, navigate, timeOf, usePlace } from "./router";
import { NotForRole } from "./session/head";
import { identityOf, isIn, rightsOf, SIGN_IN, safeReturn } from "./session/rights";
import type { Session } from "./session/shape";
import { SignIn } from "./session/sign-in";
import { refresh, useSession } from "./session/store";
import { Frame, Shell } from "./shell";
import { StatsPage } from "./stats/page";

function App() {
  const { path, query } = usePlace();
  const { session, error, why } = useSession();
  useEffect(() => {
    document.addEventListener("click", followLinks);
    void refresh();
    return () => document.removeEventListener("click", followLinks);
  }, []);
  const who = identityOf(session);
  const returnTo = path === SIGN_IN ? safeReturn(query.get("return_to"), location.origin) : location.pathname + location.search + location.hash;
  useEffect(() => {
    if (who !== "" && path === SIGN_IN) navigate(returnTo, true);
  }, [who, path]);
  const asked = session !== null && !isIn(session);
  const wasAsked = useRef(false);
  useEffect(() => {
    // After sign-in the field that had the focus is gone.
    if (wasAsked.current && !asked) document.getElementById("main")?.focus();
    wasAsked.current = asked;
  }, [asked]);
  if (session === null) return <Frame>{error ? <Failure error={error} retry={refresh} /> : <p class="loading">Loading …</p>}</Frame>;
  if (asked) {
    return (
      <Frame>
        <SignIn session={session} why={why} returnTo={returnTo} error={path === SIGN_IN ? (query.get("error") ?? null) : null} />
      </Frame>
    );
  }
  return (
    <Shell key={who} path={path} session={session}>
      {path === SIGN_IN ? null : page(path, query, session)}
    </Shell>
  );
}

function page(path: string, query: URLSearchParams, session: Session) {
  const rights = rightsOf(session);
  if (path === "/") return rights.calls ? <CallsPage query={query} /> : <OverviewPage query={query} />;
  if (path === "/stats") return <StatsPage query={query} />;
  if (path === "/alerts") return <AlertsPage />;
  if (path === "/docs/metrics") return <MetricsPage />;
  if (path === "/audit") return rights.audit ? <AuditView query={query} /> : <NotForRole role={session.role} what="the audit log" of="audit" />;
  const call = path.match(/^\/calls\/([0-9a-f]{16})\/?$/);
  if (call?.[1]) return rights.calls ? <CallPage key={call[1]} id={call[1]} firstAt={timeOf(query.get("first_at"))} /> : <NotForRole role={session.role} what="single calls" of="calls" />;
  return (
    <Notice kind="empty" title="There is no such page.">
      <p>
        The calls are at <a href="/">the start</a>. A call's address is /calls/ and 16 hex digits.
      </p>
    </Notice>
  );
}

const root = document.getElementById("app");
if (root) render(<App />, root);
