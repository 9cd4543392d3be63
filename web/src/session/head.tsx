// Who is signed in, in the head of the page, with Sign out; below it what the session is limited to, or that nobody signs in.

import { useEffect, useRef, useState } from "preact/hooks";
import { Time } from "../parts";
import { roleSees } from "./rights";
import type { Role, Session } from "./shape";
import { signOut } from "./store";

export function UserMenu({ session }: { session: Session }) {
  const [open, setOpen] = useState(false);
  const [failed, setFailed] = useState("");
  const [busy, setBusy] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event): void => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    };
  }, [open]);
  const leave = (): void => {
    setBusy(true);
    setFailed("");
    const done = (text: string): void => {
      setBusy(false);
      setFailed(text);
    };
    signOut().then(
      (out) => done(out ? "" : "The proxy in front of this service signed you in again: sign out there."),
      (error: Error) => done(error.message),
    );
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !open) return;
    event.preventDefault();
    setOpen(false);
    button.current?.focus();
  };
  const { user, role } = session;
  return (
    <div class="user" ref={box} onKeyDown={onKeyDown}>
      <button ref={button} type="button" aria-expanded={open} aria-controls="user-menu" onClick={() => setOpen(!open)} title={`${user ?? ""}, ${role ?? ""}`}>
        <span class="sr">Signed in: </span>
        <b>{user}</b> <span>{role}</span>
        <svg width="9" height="6" viewBox="0 0 9 6" aria-hidden="true">
          <path d="M1 1l3.5 3.5L8 1" />
        </svg>
      </button>
      <div id="user-menu" class="menu panel" hidden={!open}>
        <dl>
          <dt>User</dt>
          <dd class="break">{user}</dd>
          <dt>Role</dt>
          <dd>
            {role}
            {role && <small>: {roleSees(role)}</small>}
          </dd>
          <dt>Probes</dt>
          <dd class="break">{session.probes?.join(", ") ?? "all"}</dd>
          <dt>Trunks</dt>
          <dd class="break">{session.trunks?.join(", ") ?? "all"}</dd>
          {session.expires_at && (
            <>
              <dt>Until</dt>
              <dd>
                <Time at={session.expires_at} /> UTC
              </dd>
            </>
          )}
        </dl>
        {failed && (
          <p class="failed" role="alert">
            {failed}
          </p>
        )}
        <button type="button" onClick={leave} disabled={busy}>
          Sign out
        </button>
      </div>
    </div>
  );
}

/** Names that stand in the head; the menu has all. */
const NAMED = 4;

function some(names: string[]): string {
  if (names.length === 0) return "none";
  return names.slice(0, NAMED).join(", ") + (names.length > NAMED ? ` and ${names.length - NAMED} more` : "");
}

/** One line below the head. */
export function Below({ session }: { session: Session }) {
  if (session.open) {
    return (
      <p class="below open" role="note">
        Nobody is asked to sign in: no user exists yet. <code>auscult user add --role admin NAME</code> closes this.
      </p>
    );
  }
  const { probes, trunks } = session;
  if (!probes && !trunks) return null;
  return (
    <p class="below" role="note">
      You see only {probes && `probes: ${some(probes)}`}
      {probes && trunks && "; "}
      {trunks && `trunks: ${some(trunks)}`}
    </p>
  );
}

const WHO: Record<"calls" | "messages" | "audit", string> = { calls: "Operators, investigators and administrators may.", messages: "Investigators and administrators may.", audit: "Administrators may." };

/** In place of what a role may not see. */
export function NotForRole({ role, what, of }: { role: Role | null; what: string; of: keyof typeof WHO }) {
  return (
    <div class="notice empty" role="status">
      <strong>Your role{role ? `, ${role},` : ""} may not see {what}.</strong>
      <p>
        {WHO[of]} An administrator gives roles. <a href="/">To the start</a>
      </p>
    </div>
  );
}
