// What the figures mean: docs/metrics.md as a page, loaded when asked for.

import { useEffect, useRef } from "preact/hooks";
import { useKeys, useLoad, useTitle } from "../hooks";
import { Failure } from "../parts";

export function MetricsPage() {
  useTitle("Metrics");
  const { data, error, retry } = useLoad("metrics", async () => (await import("virtual:metrics")).default);
  const text = useRef<HTMLElement>(null);
  useKeys({ Escape: () => history.back() });
  useEffect(() => {
    if (!data || location.hash.length < 2) return;
    const target = document.getElementById(location.hash.slice(1));
    // Without this a fragment that was not there while loading is never the :target.
    if (target && text.current?.contains(target)) location.replace(location.href);
  }, [data]);
  if (error) return <Failure error={error} retry={retry} />;
  if (!data) return <p class="loading">Loading …</p>;
  return <article class="panel prose" ref={text} dangerouslySetInnerHTML={{ __html: data }} />;
}
