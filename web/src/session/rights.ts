// What a role may see and do, and where the page goes on after sign-in.

import type { Role, Session } from "./shape";

export interface Rights {
  /** Calls with their parties, streams and intervals. */
  calls: boolean;
  /** Begin and end silences. */
  silences: boolean;
  /** SIP messages of a call. */
  messages: boolean;
  audit: boolean;
}

const RANKS: Record<Role, number> = { viewer: 0, operator: 1, investigator: 2, admin: 3 };

const SEES: Record<Role, string> = {
  viewer: "figures, no single calls",
  operator: "calls and their parties, no SIP messages",
  investigator: "calls and their SIP messages",
  admin: "everything, the audit log too",
};

/** A role that this page does not know has the rights of a viewer. */
export function rightsOf(session: Session | null): Rights {
  const rank = session?.open ? RANKS.admin : session?.role ? (RANKS[session.role] ?? 0) : 0;
  return { calls: rank >= RANKS.operator, silences: rank >= RANKS.operator, messages: rank >= RANKS.investigator, audit: rank >= RANKS.admin };
}

export function roleSees(role: Role): string {
  return SEES[role] ?? "what its name allows";
}

/** Whether the page may be shown. */
export function isIn(session: Session): boolean {
  return session.signed_in || session.open;
}

/** Who the data on screen belong to: another value means that nothing of before may stay. */
export function identityOf(session: Session | null): string {
  if (!session || !isIn(session)) return "";
  return session.open ? "open" : JSON.stringify([session.user, session.role, session.probes, session.trunks]);
}

/** Begins OpenID Connect: a full navigation that comes back to `returnTo`. */
export function oidcAddress(api: string, returnTo: string): string {
  return `${api}/session/oidc?return_to=${encodeURIComponent(returnTo)}`;
}

/** A page of this origin named by `return_to`, else the start: an address from outside leads nowhere else. */
export function safeReturn(text: string | null, origin: string): string {
  if (text === null || !text.startsWith("/") || !URL.canParse(text, origin)) return "/";
  const url = new URL(text, origin);
  const page = url.origin === origin && url.pathname !== SIGN_IN && !url.pathname.startsWith("/api/") && !url.pathname.startsWith("//");
  return page ? url.pathname + url.search + url.hash : "/";
}

/** Where OpenID Connect leads when it fails: `/sign-in?error=CODE&return_to=...`. */
export const SIGN_IN = "/sign-in";

const FAILURES: Record<string, string> = {
  provider_unavailable: "The sign-in provider does not answer. Try again later, or sign in another way.",
  provider_refused: "The sign-in provider refused, or the sign-in was cancelled there.",
  expired: "The sign-in took too long or was begun in another browser. Begin again.",
  no_role: "The provider knows you, and no role is given to you here. Ask an administrator of this service for one.",
  too_many_sign_ins: "Too many sign-ins from here. Wait a minute, then try again.",
  busy: "The service is busy. Try again in a moment.",
};

/** The sentence for an error code of the sign-in address: only known codes, so that a link cannot put words on this page. */
export function failureText(code: string | null): string | null {
  if (code === null) return null;
  return (Object.hasOwn(FAILURES, code) && FAILURES[code]) || "The sign-in did not succeed. Begin again; the log of the service has the reason.";
}
