// The API as functions. A failure is one line for the reader: the server's own where it gave one.

import type { AlertEvaluations, AlertHistory, Alerts, CallDetail, CallPageOf, NewSilence, Range, Silence, Stats, Timeline } from "./types";

export const API = "/api/v1";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

function get<T>(path: string, query: URLSearchParams | null, signal: AbortSignal): Promise<T> {
  const text = query?.toString() ?? "";
  return ask<T>(`${path}${text ? `?${text}` : ""}`, { signal, headers: { accept: "application/json" } });
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  const signal = init.signal ?? new AbortController().signal;
  let response: Response;
  try {
    response = await fetch(`${API}${path}`, init);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, "unreachable", "The server does not answer. Check that auscult runs and that this host reaches it, then retry.");
  }
  let body: unknown;
  try {
    body = await response.json();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(response.status, "not_json", `The server answered ${response.status} without JSON. Check what stands between this page and auscult.`);
  }
  if (!response.ok) {
    const said = (body as { error?: { code?: string; message?: string } } | null)?.error;
    throw new ApiError(response.status, said?.code ?? "error", said?.message ?? `The server answered ${response.status}.`);
  }
  return body as T;
}

export const range = (signal: AbortSignal) => get<Range>("/range", null, signal);
export const timeline = (query: URLSearchParams, signal: AbortSignal) => get<Timeline>("/timeline", query, signal);
export const calls = (query: URLSearchParams, signal: AbortSignal) => get<CallPageOf>("/calls", query, signal);
export const call = (id: string, firstAt: string | null, signal: AbortSignal) => get<CallDetail>(`/calls/${encodeURIComponent(id)}`, firstAt === null ? null : new URLSearchParams({ first_at: firstAt }), signal);
export const stats = (query: URLSearchParams, signal: AbortSignal) => get<Stats>("/stats", query, signal);
export const alerts = (query: URLSearchParams | null, signal: AbortSignal) => get<Alerts>("/alerts", query, signal);
export const alertHistory = (query: URLSearchParams, signal: AbortSignal) => get<AlertHistory>("/alerts/history", query, signal);
export const evaluations = (id: string, query: URLSearchParams, signal: AbortSignal) => get<AlertEvaluations>(`/alerts/${encodeURIComponent(id)}/evaluations`, query, signal);
export const beginSilence = (silence: NewSilence) => ask<Silence>("/alerts/silences", { method: "POST", headers: { accept: "application/json", "content-type": "application/json" }, body: JSON.stringify(silence) });
export const endSilence = (id: string) => ask<Silence>(`/alerts/silences/${encodeURIComponent(id)}`, { method: "DELETE", headers: { accept: "application/json" } });
