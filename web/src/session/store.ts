// The session of this browser as the service sees it: asked for at the start, when an answer says that it ended, and when the tab comes back into sight.

import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { navigate } from "../router";
import { identityOf, isIn, type Rights, rightsOf } from "./rights";
import type { Session } from "./shape";

/** Why sign-in is asked for: the session ended, the first user was added, or the reader signed out. */
export type Why = "ended" | "closed" | "out" | null;

export interface State {
  session: Session | null;
  error: Error | null;
  why: Why;
}

let state: State = { session: null, error: null, why: null };
const listeners = new Set<() => void>();
/** Counts changes by the reader, so that an answer from before one is not taken for the present. */
let turn = 0;
let asking: Promise<void> | null = null;

function set(next: State): void {
  state = next;
  for (const listener of listeners) listener();
}

function take(session: Session, signedOut = false): void {
  const before = state.session;
  const gone = before !== null && isIn(before) && !isIn(session);
  const why = isIn(session) ? null : signedOut ? "out" : gone ? (before.open ? "closed" : "ended") : state.why;
  set({ session, error: null, why });
}

/** Asks who is signed in. Without an answer the last one stands. */
export function refresh(): Promise<void> {
  const asked = turn;
  asking ??= api
    .session()
    .then(
      (session) => {
        if (turn === asked) take(session);
      },
      (error: Error) => {
        if (turn === asked && state.session === null) set({ ...state, error });
      },
    )
    .finally(() => {
      asking = null;
    });
  return asking;
}

export async function signIn(user: string, password: string): Promise<void> {
  const session = await api.signIn(user, password);
  turn++;
  take(session);
}

/** Whether it worked: a proxy that names the user with every request signs in again at once. */
export async function signOut(): Promise<boolean> {
  try {
    await api.signOut();
  } catch (error) {
    if (!(error instanceof api.ApiError && error.status === 401)) throw error;
  }
  turn++;
  const none = { signed_in: false, open: false, user: null, role: null, probes: null, trunks: null, expires_at: null };
  const session = await api.session().catch(() => ({ methods: [], provider: null, ...state.session, ...none }));
  // The address may hold what was searched for.
  if (!isIn(session)) navigate("/", true);
  take(session, true);
  return !session.signed_in;
}

api.onRightsChanged(() => void refresh());

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && state.session) void refresh();
});

export function useSession(): State {
  const [shown, setShown] = useState(state);
  useEffect(() => {
    const listener = (): void => setShown(state);
    listeners.add(listener);
    listener();
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return shown;
}

export function useRights(): Rights {
  return rightsOf(useSession().session);
}

/** Who the data on screen belong to now. */
export function identity(): string {
  return identityOf(state.session);
}
