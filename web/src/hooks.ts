// Loading from the API, keyboard shortcuts and the theme, as hooks.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export interface Loaded<T> {
  data: T | null;
  error: Error | null;
  loading: boolean;
  retry: () => void;
}

/** Loads whenever `key` changes; older data stays on screen meanwhile. A null key loads nothing. */
export function useLoad<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ data: T | null; error: Error | null; loading: boolean }>({
    data: null,
    error: null,
    loading: key !== null,
  });
  const [attempt, setAttempt] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    if (key === null) return;
    const stop = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    latest.current(stop.signal).then(
      (data) => {
        if (!stop.signal.aborted) setState({ data, error: null, loading: false });
      },
      (cause: unknown) => {
        if (stop.signal.aborted) return;
        setState({ data: null, error: cause instanceof Error ? cause : new Error(String(cause)), loading: false });
      },
    );
    return () => stop.abort();
  }, [key, attempt]);
  const retry = useCallback(() => setAttempt((n) => n + 1), []);
  return { ...state, retry };
}

/** Keyboard shortcuts of a page. Keys typed into fields are left alone, except Escape. */
export function useKeys(keys: Record<string, (event: KeyboardEvent) => void>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.key !== "Escape" && typing(event.target)) return;
      latest.current[event.key]?.(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

export function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement
  );
}

export type Theme = "system" | "light" | "dark";
const THEME_KEY = "auscult.theme";
const themeListeners = new Set<() => void>();
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => {
  for (const listener of themeListeners) listener();
});

function storedTheme(): Theme {
  const set = document.documentElement.dataset.theme;
  return set === "light" || set === "dark" ? set : "system";
}

export function setTheme(theme: Theme): void {
  try {
    if (theme === "system") localStorage.removeItem(THEME_KEY);
    else localStorage.setItem(THEME_KEY, theme);
  } catch {
    // Without storage the choice holds until the page is closed.
  }
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  for (const listener of themeListeners) listener();
}

/** The reader's choice, and whether that is dark now. Canvas charts redraw on a change. */
export function useTheme(): { theme: Theme; isDark: boolean } {
  const read = () => {
    const theme = storedTheme();
    return { theme, isDark: theme === "dark" || (theme === "system" && dark.matches) };
  };
  const [state, setState] = useState(read);
  useEffect(() => {
    const listener = (): void => setState(read());
    themeListeners.add(listener);
    return () => {
      themeListeners.delete(listener);
    };
  }, []);
  return state;
}

/** Width of an element in CSS pixels, 0 before it is laid out. */
export function useWidth<E extends HTMLElement>(): [{ current: E | null }, number] {
  const element = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const target = element.current;
    if (!target) return;
    const observer = new ResizeObserver(() => setWidth(target.clientWidth));
    observer.observe(target);
    setWidth(target.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Auscult` : "Auscult";
  }, [title]);
}
