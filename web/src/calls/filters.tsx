// The filter bar: one search field that knows numbers, Call-IDs and addresses, and one field per other filter.

import { useEffect, useRef, useState } from "preact/hooks";
import { stats } from "../api";
import { useLoad } from "../hooks";
import { MomentField } from "../parts";
import { navigate } from "../router";
import type { CallClass } from "../types";
import { CLASS_ORDER, classWord, DIAGNOSIS_CODES, diagnosisTitle, STATE_CODES, stateWord } from "../words";
import { activeFilters, changed, FILTERS, guessKind, SEARCH_KINDS, searchable, type SearchKind, SORTS } from "./query";

const TYPING_PAUSE_MS = 250;
const KIND_WORDS: Record<SearchKind, string> = { number: "Number", call_id: "Call-ID", address: "Address" };
const SORT_WORDS: Record<string, string> = { worst: "Worst first", newest: "Newest first", oldest: "Oldest first", longest: "Longest first", mos: "Lowest MOS", delay_variation: "Most variation", loss: "Most loss" };

export function Filters({ query, from, to }: { query: URLSearchParams; from: string | null; to: string | null }) {
  const set = (changes: Record<string, string | null>, replace = false) => navigate(changed(query, "/", changes), replace);
  const known = useKnownValues(from, to);
  const active = activeFilters(query);
  const clear = Object.fromEntries(FILTERS.map((name) => [name, null]));
  return (
    <form class="filters" role="search" aria-label="Filter calls" onSubmit={(event) => event.preventDefault()}>
      <div class="line">
        <Search query={query} />
        <MomentField label="From, UTC" value={from} onChange={(value) => set({ from: value, to })} />
        <MomentField label="To, UTC" value={to} onChange={(value) => set({ from, to: value })} />
        <label class="field">
          <span>Sort by</span>
          <select value={query.get("sort") ?? "worst"} onChange={(event) => set({ sort: event.currentTarget.value === "worst" ? null : event.currentTarget.value })}>
            {SORTS.map((sort) => (
              <option key={sort} value={sort}>
                {SORT_WORDS[sort]}
              </option>
            ))}
          </select>
        </label>
      </div>
      <div class="line">
        <label class="field wide">
          <span>Diagnosis</span>
          <select value={query.get("diagnosis") ?? ""} onChange={(event) => set({ diagnosis: event.currentTarget.value })}>
            <option value="">Any</option>
            <Several value={query.get("diagnosis")} word={diagnosisTitle} />
            {DIAGNOSIS_CODES.map((code) => (
              <option key={code} value={code}>
                {diagnosisTitle(code)}
              </option>
            ))}
          </select>
        </label>
        <label class="field wide">
          <span>State</span>
          <select value={query.get("state") ?? ""} onChange={(event) => set({ state: event.currentTarget.value })}>
            <option value="">Any</option>
            <Several value={query.get("state")} word={stateWord} />
            {STATE_CODES.map((code) => (
              <option key={code} value={code}>
                {stateWord(code)}
              </option>
            ))}
          </select>
        </label>
        <label class="field wide">
          <span>Class</span>
          <select value={query.get("class") ?? ""} onChange={(event) => set({ class: event.currentTarget.value })}>
            <option value="">Any</option>
            <Several value={query.get("class")} word={(code) => classWord(code as CallClass)} />
            {CLASS_ORDER.map((code) => (
              <option key={code} value={code}>
                {classWord(code)}
              </option>
            ))}
          </select>
        </label>
        <TextField name="final_code" label="Final code" hint="One or several: 486 or 500,503; 0 is none" query={query} />
        <TextField name="codec" label="Codec" query={query} known={known.codec} />
        <TextField name="trunk" label="Trunk" query={query} known={known.trunk} />
        <TrunkDirection query={query} />
        <TextField name="site" label="Site" query={query} known={known.site} />
        <TextField name="mos_below" label="MOS below" query={query} numeric />
        <TextField name="pdv_p95_above" label="PDV p95 > (ms)" hint="95th percentile of delay variation, worst direction" query={query} numeric />
        <TextField name="loss_above" label="Loss > (%)" query={query} numeric />
        {query.get("seen_from") && <MomentField label="Seen from, UTC" value={query.get("seen_from")} onChange={(value) => set({ seen_from: value })} />}
        <button type="button" class="plain" disabled={active.length === 0} onClick={() => set(clear)}>
          Clear filters
        </button>
      </div>
    </form>
  );
}

export function TrunkDirection({ query }: { query: URLSearchParams }) {
  return (
    <label class="field">
      <span>Direction</span>
      <select value={query.get("trunk_direction") ?? ""} onChange={(event) => navigate(changed(query, "/", { trunk_direction: event.currentTarget.value }))}>
        <option value="">Any</option>
        <option value="from">From the trunk</option>
        <option value="toward">Toward it</option>
      </select>
    </label>
  );
}

/** What a link asks for that is no single value: several of them. */
function Several({ value, word }: { value: string | null; word: (code: string) => string }) {
  if (!value?.includes(",")) return null;
  return <option value={value}>{value.split(",").map(word).join(" or ")}</option>;
}

interface Known {
  codec: string[];
  trunk: string[];
  site: string[];
}

/** Codecs, trunks and sites that occur in the window, offered while typing. */
export function useKnownValues(from: string | null, to: string | null): Known {
  const query = new URLSearchParams({ group_by: "codec,trunk,site" });
  if (from && to) {
    query.set("from", from);
    query.set("to", to);
  }
  const { data } = useLoad(from ? query.toString() : null, (signal) => stats(query, signal));
  const values = (name: string): string[] =>
    [...new Set((data?.groups ?? []).map((group) => group.key[name] ?? ""))].filter((value) => value !== "").sort();
  return { codec: values("codec"), trunk: values("trunk"), site: values("site") };
}

function Search({ query }: { query: URLSearchParams }) {
  const inUrl = SEARCH_KINDS.find((kind) => query.get(kind));
  const urlValue = inUrl ? (query.get(inUrl) ?? "") : "";
  const [text, setText] = useState(urlValue);
  const [forced, setForced] = useState<SearchKind | null>(inUrl && urlValue && inUrl !== guessKind(urlValue) ? inUrl : null);
  const kind = forced ?? guessKind(text);
  const commit = useCommit();
  useEffect(() => {
    if (commit.pending() || (document.activeElement?.id === "search" && !searchable(text, kind))) return;
    setText((shown) => (shown.trim() === urlValue ? shown : urlValue));
    setForced(inUrl && urlValue && inUrl !== guessKind(urlValue) ? inUrl : null);
  }, [urlValue, inUrl]);
  const go = (value: string, as: SearchKind): void => {
    if (!searchable(value, as)) return commit.drop();
    const changes: Record<string, string | null> = { number: null, call_id: null, address: null };
    changes[as] = value.trim() || null;
    commit.soon((replace) => navigate(changed(new URLSearchParams(location.search), "/", changes), replace));
  };
  return (
    <div class="field search">
      <label for="search">
        Search <kbd>/</kbd>
      </label>
      <div class="joined">
        <select
          aria-label="Search in"
          value={forced ?? "auto"}
          onChange={(event) => {
            const value = event.currentTarget.value;
            const next = SEARCH_KINDS.find((each) => each === value) ?? null;
            setForced(next);
            if (text.trim()) go(text, next ?? guessKind(text));
          }}
        >
          <option value="auto">{text.trim() ? `Auto: ${KIND_WORDS[guessKind(text)]}` : "Auto"}</option>
          {SEARCH_KINDS.map((each) => (
            <option key={each} value={each}>
              {KIND_WORDS[each]}
            </option>
          ))}
        </select>
        <input
          id="search"
          type="search"
          autocomplete="off"
          spellcheck={false}
          placeholder="Number or last digits, Call-ID, address or network"
          aria-describedby="search-says"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            go(event.currentTarget.value, forced ?? guessKind(event.currentTarget.value));
          }}
          onBlur={commit.flush}
          onKeyDown={(event) => {
            if (event.key === "Enter") commit.flush();
            if (event.key === "Escape") event.currentTarget.blur();
          }}
        />
      </div>
      <span id="search-says" class={searchable(text, kind) ? "sr" : "says"} role="status">
        {!searchable(text, kind) ? "Searches when the address is whole: 192.0.2.7, 192.0.2.7:5060 or 192.0.2.0/24" : text.trim() ? `searching as ${KIND_WORDS[kind]}` : ""}
      </span>
    </div>
  );
}

interface TextFieldProps {
  name: string;
  label: string;
  query: URLSearchParams;
  known?: string[];
  numeric?: boolean;
  hint?: string;
  /** Page whose address has the value. */
  path?: string;
}

/** A filter that is applied to the address while it is typed. */
export function TextField({ name, label, query, known, numeric, hint, path = "/" }: TextFieldProps) {
  const urlValue = query.get(name) ?? "";
  const [text, setText] = useState(urlValue);
  const commit = useCommit();
  useEffect(() => {
    if (!commit.pending()) setText(urlValue);
  }, [urlValue]);
  return (
    <label class={numeric ? "field narrow" : "field"} title={hint}>
      <span>{label}</span>
      <input
        name={name}
        type="text"
        inputMode={numeric ? "decimal" : "text"}
        autocomplete="off"
        spellcheck={false}
        placeholder={numeric ? "–" : "Any"}
        list={known && known.length > 0 ? `known-${name}` : undefined}
        value={text}
        aria-invalid={numeric && text !== "" && !isNumber(text) ? "true" : undefined}
        onInput={(event) => {
          const value = event.currentTarget.value;
          setText(value);
          if (numeric && value.trim() !== "" && !isNumber(value)) return;
          const clean = numeric ? value.trim().replace(",", ".") : value.trim();
          commit.soon((replace) => navigate(changed(new URLSearchParams(location.search), path, { [name]: clean }), replace));
        }}
        onBlur={commit.flush}
        onKeyDown={(event) => {
          if (event.key === "Enter") commit.flush();
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      {known && known.length > 0 && (
        <datalist id={`known-${name}`}>
          {known.map((value) => (
            <option key={value} value={value} />
          ))}
        </datalist>
      )}
    </label>
  );
}

function isNumber(text: string): boolean {
  return /^\d+([.,]\d*)?$/.test(text.trim());
}

interface Commit {
  soon: (apply: (replace: boolean) => void) => void;
  drop: () => void;
  flush: () => void;
  pending: () => boolean;
}

/** Applies typing after a pause. One spell of typing is one step in the history: the first change pushes, the rest replace. */
function useCommit(): Commit {
  const state = useRef<{ timer: number; apply: ((replace: boolean) => void) | null; pushed: string | null }>({ timer: 0, apply: null, pushed: null });
  useEffect(() => () => clearTimeout(state.current.timer), []);
  const run = (): void => {
    const { apply, pushed } = state.current;
    state.current.apply = null;
    if (!apply) return;
    apply(pushed !== null && pushed === location.search);
    state.current.pushed = location.search;
  };
  return {
    soon: (apply) => {
      clearTimeout(state.current.timer);
      state.current.apply = apply;
      state.current.timer = window.setTimeout(run, TYPING_PAUSE_MS);
    },
    drop: () => {
      clearTimeout(state.current.timer);
      state.current.apply = null;
    },
    flush: () => {
      clearTimeout(state.current.timer);
      run();
      state.current.pushed = null;
    },
    pending: () => state.current.apply !== null,
  };
}
