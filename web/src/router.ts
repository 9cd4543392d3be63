// Where the reader is: path and query, kept in the address bar. Links work without this code, only slower.

import { useEffect, useState } from "preact/hooks";

type Listener = () => void;
const listeners = new Set<Listener>();
let current = location.pathname + location.search;

function changed(): void {
  current = location.pathname + location.search;
  for (const listener of listeners) listener();
}

history.scrollRestoration = "manual";
let wentBack = false;
addEventListener("popstate", () => {
  wentBack = true;
  changed();
});

/** Whether the reader came here by Back or Forward. */
export function cameBack(): boolean {
  return wentBack;
}

export function navigate(to: string, replace = false): void {
  if (to === location.pathname + location.search) return;
  const from = location.pathname;
  wentBack = false;
  if (replace) history.replaceState(history.state, "", to);
  else history.pushState({ from }, "", to);
  changed();
  if (location.pathname !== from) scrollTo(0, 0);
}

/** Page of a call. Its time makes the store find it faster; without it, as in links of alerts, it is found as well. */
export function callPage(call: { id: string; first_at: string }): string {
  return `/calls/${call.id}?first_at=${encodeURIComponent(call.first_at)}`;
}

/** A time of an address as the API takes it, or null: a link with a wrong time still leads to its call. */
export function timeOf(text: string | null): string | null {
  return text !== null && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(text) && !Number.isNaN(Date.parse(text)) ? text : null;
}

/** Whether Back leads to the call list. */
export function cameFromList(): boolean {
  const state: unknown = history.state;
  return typeof state === "object" && state !== null && "from" in state && state.from === "/";
}

export interface Place {
  path: string;
  query: URLSearchParams;
}

export function usePlace(): Place {
  const [at, setAt] = useState(current);
  useEffect(() => {
    const listener = (): void => setAt(current);
    listeners.add(listener);
    listener();
    return () => {
      listeners.delete(listener);
    };
  }, []);
  const url = new URL(at, location.origin);
  return { path: url.pathname, query: url.searchParams };
}

/** Follows plain left clicks on our own links without loading the page again. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.getAttribute("href")?.startsWith("#") || !isPage(link.pathname)) return;
  event.preventDefault();
  navigate(link.pathname + link.search + link.hash);
}

function isPage(path: string): boolean {
  return path === "/" || path === "/stats" || path === "/alerts" || path === "/audit" || path === "/docs/metrics" || path.startsWith("/calls/");
}
