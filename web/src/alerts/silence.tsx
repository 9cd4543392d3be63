// Asking for a silence of one alert: how long, and why.

import { useState } from "preact/hooks";
import { beginSilence } from "../api";
import { useSession } from "../session/store";
import type { Alert } from "../types";

const HOURS = [1, 4, 8, 24, 72, 168];

export function SilenceForm({ alert, done }: { alert: Alert; done: () => void }) {
  const [hours, setHours] = useState(4);
  const [reason, setReason] = useState("");
  const [name, setName] = useState("");
  const user = useSession().session?.user ?? null;
  const by = user ?? name;
  const [failed, setFailed] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const send = (event: Event): void => {
    event.preventDefault();
    setBusy(true);
    beginSilence({ rule: alert.rule, labels: alert.group, hours, reason, by }).then(done, (error: Error) => {
      setBusy(false);
      setFailed(error.message);
    });
  };
  return (
    <form class="silence" onSubmit={send}>
      <label class="field">
        <span>For</span>
        <select value={hours} onChange={(event) => setHours(Number(event.currentTarget.value))}>
          {HOURS.map((each) => (
            <option key={each} value={each}>
              {each < 48 ? `${each} h` : `${each / 24} days`}
            </option>
          ))}
        </select>
      </label>
      <label class="field wide">
        <span>Reason, which others read</span>
        <input type="text" required maxLength={500} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </label>
      {user === null && (
        <label class="field">
          <span>Your name</span>
          <input type="text" maxLength={100} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
      )}
      <button type="submit" disabled={busy || reason.trim() === ""}>
        Silence it
      </button>
      {failed && (
        <p class="failed" role="alert">
          {failed}
        </p>
      )}
    </form>
  );
}
