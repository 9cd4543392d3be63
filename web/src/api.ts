// The API as functions. A failure is one line for the reader: the server's own where it gave one.

import type { AuditPage, Session, Withheld } from "./session/shape";
import type { AlertEvaluations, AlertHistory, Alerts, CallDetail, CallPageOf, NewSilence, Outcomes, Range, Silence, Stats, Timeline } from "./types";

export const API = "/api/v1";

const SENDS_JSON = { accept: "application/json", "content-type": "application/json" };

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** From Retry-After, seconds. */
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

let rightsChanged = (): void => {};

/** Calls `then` when an answer says that the session ended or that the role does not allow something. */
export function onRightsChanged(then: () => void): void {
  rightsChanged = then;
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
  if (response.status === 204) return undefined as T;
  let body: unknown;
  try {
    body = await response.json();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(response.status, "not_json", `The server answered ${response.status} without JSON. Check what stands between this page and auscult.`);
  }
  if (!response.ok) throw refusal(response, body);
  return body as T;
}

function refusal(response: Response, body: unknown): ApiError {
  const said = (typeof body === "object" && body !== null ? body : {}) as { code?: string; detail?: string; error?: { code?: string; message?: string } };
  const code = said.code ?? said.error?.code ?? "error";
  const wait = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  if (code === "not_signed_in" || code === "not_allowed") rightsChanged();
  return new ApiError(response.status, code, said.detail ?? said.error?.message ?? `The server answered ${response.status}.`, Number.isFinite(wait) ? wait : null);
}

export const range = (signal: AbortSignal) => get<Range>("/range", null, signal);
export const timeline = (query: URLSearchParams, signal: AbortSignal) => get<Timeline>("/timeline", query, signal);
export const calls = (query: URLSearchParams, signal: AbortSignal) => get<CallPageOf>("/calls", query, signal);
export const call = (id: string, firstAt: string | null, signal: AbortSignal) => get<CallDetail & Withheld>(`/calls/${encodeURIComponent(id)}`, firstAt === null ? null : new URLSearchParams({ first_at: firstAt }), signal);
export const stats = (query: URLSearchParams, signal: AbortSignal) => get<Stats>("/stats", query, signal);
export const alerts = (query: URLSearchParams | null, signal: AbortSignal) => get<Alerts>("/alerts", query, signal);
export const alertHistory = (query: URLSearchParams, signal: AbortSignal) => get<AlertHistory>("/alerts/history", query, signal);
export const evaluations = (id: string, query: URLSearchParams, signal: AbortSignal) => get<AlertEvaluations>(`/alerts/${encodeURIComponent(id)}/evaluations`, query, signal);
export const beginSilence = (silence: NewSilence) => ask<Silence>("/alerts/silences", { method: "POST", headers: SENDS_JSON, body: JSON.stringify(silence) });
export const endSilence = (id: string) => ask<Silence>(`/alerts/silences/${encodeURIComponent(id)}`, { method: "DELETE", headers: { accept: "application/json" } });
export const session = () => ask<Session>("/session", { headers: { accept: "application/json" }, cache: "no-store" });
export const signIn = (user: string, password: string) => ask<Session>("/session", { method: "POST", headers: SENDS_JSON, body: JSON.stringify({ user, password }) });
export const signOut = () => ask<void>("/session", { method: "DELETE", headers: { accept: "application/json" } });
export const audit = (query: URLSearchParams, signal: AbortSignal) => get<AuditPage>("/audit", query, signal);
export const outcomes = (query: URLSearchParams, signal: AbortSignal) => get<Outcomes>("/outcomes", query, signal);
