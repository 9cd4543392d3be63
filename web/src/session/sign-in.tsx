// Sign-in in place of the page: the address stays, and the page goes on there afterwards.

import { useEffect, useRef, useState } from "preact/hooks";
import { API, ApiError } from "../api";
import { plural } from "../format";
import { useTitle } from "../hooks";
import { Notice } from "../parts";
import { failureText, oidcAddress } from "./rights";
import type { Session } from "./shape";
import { signIn, type Why } from "./store";

const WHYS: Record<Exclude<Why, null>, string> = {
  ended: "Your session has ended. After sign-in you go on where you were.",
  closed: "This service has users now, so it asks for sign-in. After it you go on where you were.",
  out: "You are signed out.",
};

interface Props {
  session: Session;
  why: Why;
  /** Where the reader wants to go. */
  returnTo: string;
  /** Error code of a sign-in at the provider. */
  error: string | null;
}

export function SignIn({ session, why, returnTo, error }: Props) {
  useTitle("Sign in");
  const { methods, provider } = session;
  const [failed, setFailed] = useState<{ text: string; n: number }>({ text: failureText(error) ?? "", n: 0 });
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (!methods.includes("password")) link.current?.focus();
  }, []);
  const fail = (text: string): void => setFailed((before) => ({ text, n: before.n + 1 }));
  return (
    <section class="sign-in panel" aria-labelledby="sign-in-title">
      <h1 id="sign-in-title">Sign in</h1>
      {why && <p role="status">{WHYS[why]}</p>}
      {failed.text && (
        <p key={failed.n} id="sign-in-failed" class="failed" role="alert">
          {failed.text}
        </p>
      )}
      {methods.includes("password") && <PasswordForm fail={fail} failed={failed.text !== ""} />}
      {methods.includes("password") && methods.includes("oidc") && <p class="or">or</p>}
      {methods.includes("oidc") && (
        <a class="button" href={oidcAddress(API, returnTo)} ref={link}>
          Sign in with {provider || "OpenID Connect"}
        </a>
      )}
      {!methods.includes("password") && !methods.includes("oidc") && (
        <Notice kind="warn" title={methods.includes("proxy") ? "A proxy in front of this service signs in, and it named no user. Open the page through the proxy." : "No way to sign in is set up. An administrator adds users with auscult user add."} />
      )}
    </section>
  );
}

function PasswordForm({ fail, failed }: { fail: (text: string) => void; failed: boolean }) {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [waitS, setWaitS] = useState(0);
  const first = useRef<HTMLInputElement>(null);
  const second = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);
  useEffect(() => {
    if (waitS <= 0) return;
    const timer = setTimeout(() => {
      setWaitS(waitS - 1);
      if (waitS === 1) fail("");
    }, 1000);
    return () => clearTimeout(timer);
  }, [waitS]);
  const send = (event: Event): void => {
    event.preventDefault();
    if (busy || waitS > 0) return;
    setBusy(true);
    signIn(user.trim(), password).catch((error: Error) => {
      setBusy(false);
      setPassword("");
      fail(textOf(error));
      if (error instanceof ApiError && error.status === 429) setWaitS(error.retryAfterS ?? WAIT_S);
      second.current?.focus();
    });
  };
  const described = failed ? "sign-in-failed" : undefined;
  return (
    // By POST: where a submit is not handled here, nothing typed comes into the address.
    <form method="post" onSubmit={send}>
      <label class="field">
        <span>User</span>
        <input ref={first} name="username" type="text" required autocomplete="username" autocapitalize="none" spellcheck={false} aria-describedby={described} value={user} onInput={(event) => setUser(event.currentTarget.value)} />
      </label>
      <label class="field">
        <span>Password</span>
        <input ref={second} name="password" type="password" required autocomplete="current-password" aria-describedby={described} value={password} onInput={(event) => setPassword(event.currentTarget.value)} />
      </label>
      <button type="submit" class="main" aria-disabled={busy || waitS > 0}>
        {busy ? "Signing in …" : waitS > 0 ? `Sign in, possible in ${waitS} s` : "Sign in"}
      </button>
    </form>
  );
}

/** Without Retry-After. */
const WAIT_S = 30;

function textOf(error: Error): string {
  if (!(error instanceof ApiError)) return error.message;
  switch (error.code) {
    case "wrong_credentials":
      return "User or password is wrong.";
    case "too_many_sign_ins":
      return `Too many sign-ins failed. Try again in ${plural(error.retryAfterS ?? WAIT_S, "second")}.`;
    case "busy":
      return "The service is busy. Try again in a moment.";
    default:
      return error.message;
  }
}
