// Entry: one shell, five pages by path.

import "uplot/dist/uPlot.min.css";
import "./styles.css";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { AlertsPage } from "./alerts/page";
import { CallPage } from "./call/page";
import { CallsPage } from "./calls/page";
import { MetricsPage } from "./docs/page";
import { Notice } from "./parts";
import { followLinks, timeOf, usePlace } from "./router";
import { Shell } from "./shell";
import { StatsPage } from "./stats/page";

function App() {
  const { path, query } = usePlace();
  useEffect(() => {
    document.addEventListener("click", followLinks);
    return () => document.removeEventListener("click", followLinks);
  }, []);
  return <Shell path={path}>{page(path, query)}</Shell>;
}

function page(path: string, query: URLSearchParams) {
  if (path === "/") return <CallsPage query={query} />;
  if (path === "/stats") return <StatsPage query={query} />;
  if (path === "/alerts") return <AlertsPage />;
  if (path === "/docs/metrics") return <MetricsPage />;
  const call = path.match(/^\/calls\/([0-9a-f]{16})\/?$/);
  if (call?.[1]) return <CallPage key={call[1]} id={call[1]} firstAt={timeOf(query.get("first_at"))} />;
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
