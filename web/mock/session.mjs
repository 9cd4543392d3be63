// Users, sessions, rights by role and the audit log of the mock server.

import { randomBytes } from "node:crypto";
import { HOSTILE } from "./data.mjs";

/** Sign in with these; alice also by OpenID Connect. */
export const USERS = {
  alice: { password: "alice-secret", role: "admin", probes: null, trunks: null },
  bob: { password: "bob-secret", role: "operator", probes: null, trunks: null },
  carol: { password: "carol-secret", role: "investigator", probes: ["probe-1"], trunks: null },
  dave: { password: "dave-secret", role: "viewer", probes: null, trunks: ["carrier-north", "carrier-south"] },
};
export const ROLES = ["viewer", "operator", "investigator", "admin", "none", "open"];

const RANKS = { viewer: 0, operator: 1, investigator: 2, admin: 3 };
const RULES = [
  [/^\/(range|timeline|stats|outcomes|compare|live|alerts|alerts\/history|alerts\/[0-9a-f]{16}\/evaluations|openapi\.json)$/, "viewer"],
  [/^\/(calls|calls\/[^/]+|streams|intervals|alerts\/silences|alerts\/silences\/[^/]+)$/, "operator"],
  [/^\/audit$/, "admin"],
];
/** Filters that find one party: a role without calls may not count by them either. */
const PARTY_FILTERS = ["number", "call_id", "address"];
const MOST_FAILURES = 3;
const WAIT_S = 2;
const COOKIE = "auscult_session";

/** Sessions of one server. `role` is a role that everybody has from the start, `none` or `open`. */
export class Sessions {
  constructor(role) {
    if (!ROLES.includes(role)) throw new Error(`--role: ${role} is not one of ${ROLES.join(", ")}`);
    this.open = role === "open";
    this.byToken = new Map();
    this.methods = ["password", "oidc"];
    this.oidcError = null;
    this.failures = 0;
    this.until = 0;
    /** Who everybody is without a cookie. */
    this.given = Object.keys(USERS).find((name) => USERS[name].role === role) ?? null;
  }

  /** The first user is added: sign-in is asked for from now on. */
  close() {
    this.open = false;
  }

  end() {
    this.byToken.clear();
    this.given = null;
  }

  who(request) {
    const token = new RegExp(`${COOKIE}=([0-9a-f]+)`).exec(request.headers.cookie ?? "")?.[1];
    return this.byToken.get(token) ?? this.given;
  }

  roleOf(request) {
    return this.open ? "admin" : (USERS[this.who(request)]?.role ?? null);
  }

  describe(user) {
    const { role = this.open ? "admin" : null, probes = null, trunks = null } = USERS[user] ?? {};
    return { signed_in: user !== null, open: this.open, user, role, probes, trunks, expires_at: user ? new Date(Date.now() + 8 * 3_600_000).toISOString() : null, methods: this.open ? [] : this.methods, provider: this.methods.includes("oidc") && !this.open ? "Hospital directory" : null };
  }

  begin(user) {
    const token = randomBytes(16).toString("hex");
    this.byToken.set(token, user);
    return `${COOKIE}=${token}; Path=/; HttpOnly; SameSite=Lax`;
  }

  /** What is wrong with a request of this role, or null. */
  refusal(request, url, path) {
    const role = this.roleOf(request);
    if (role === null) return [401, "not_signed_in", "sign in first: no session, or it has ended"];
    const needed = RULES.find(([pattern]) => pattern.test(path))?.[1];
    const party = role === "viewer" && PARTY_FILTERS.find((name) => url.searchParams.has(name));
    if (party) return [403, "not_allowed", `the role viewer may not use \`${party}\`; an operator may`];
    return needed && RANKS[role] < RANKS[needed] ? [403, "not_allowed", `the role ${role} may not use ${path}; ${needed} and above may`] : null;
  }

  /** Answers `/session` and below: status, body and headers. */
  async answer(request, url, path) {
    if (path === "/session/oidc") {
      const to = url.searchParams.get("return_to") ?? "/";
      if (this.oidcError) return [303, null, { location: `/sign-in?error=${this.oidcError}&return_to=${encodeURIComponent(to)}` }];
      return [303, null, { location: to, "set-cookie": this.begin("alice") }];
    }
    if (request.method === "GET") return [200, this.describe(this.open ? null : this.who(request)), {}];
    if (request.method === "DELETE") {
      this.byToken.clear();
      this.given = null;
      return [204, null, { "set-cookie": `${COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax` }];
    }
    return this.signIn(request);
  }

  async signIn(request) {
    let body = "";
    for await (const piece of request) body += piece;
    const { user, password } = JSON.parse(body);
    if (Date.now() < this.until) return [429, ["too_many_sign_ins", "too many sign-ins failed from this address"], { "retry-after": String(Math.ceil((this.until - Date.now()) / 1000)) }];
    if (USERS[user]?.password !== password) {
      this.failures++;
      if (this.failures >= MOST_FAILURES) {
        this.failures = 0;
        this.until = Date.now() + WAIT_S * 1000;
      }
      return [401, ["wrong_credentials", "user or password is wrong"], {}];
    }
    this.failures = 0;
    return [200, this.describe(user), { "set-cookie": this.begin(user) }];
  }
}

const ACTIONS = [
  ["call_view", "call 3f1c9a0b7d2e4456, from 2026-03-01T14:03:07Z", "operator"],
  ["number_search", "number hmac:5d41402abc4b2a76, 3 calls", "operator"],
  ["messages_view", "11 SIP messages of call 3f1c9a0b7d2e4456", "investigator"],
  ["silence_begin", `trunk_loss, trunk carrier-a, 4 h: ${HOSTILE}`, "operator"],
  ["user_add", "user dave, role viewer, trunks carrier-north, carrier-south", "admin"],
  ["sign_in", "session of 8 h", "viewer"],
];
const ROWS = 140;

/** Rows as the real log has them, newest first. */
export function audit(query) {
  const rows = [...Array(ROWS).keys()].map((i) => {
    const [action, what, role] = ACTIONS[i % ACTIONS.length];
    const who = action === "user_add" ? "root" : Object.keys(USERS).find((name) => USERS[name].role === role);
    return { seq: ROWS - i, at: new Date(Date.parse("2026-03-01T14:30:00Z") - i * 97_000).toISOString(), who, via: action === "user_add" ? "command" : i % 5 === 0 ? "oidc" : "password", role, address: action === "user_add" ? null : i % 7 === 0 ? "2001:db8::1:4f2a" : "192.0.2.17", action, what, outcome: i % 11 === 3 ? "refused" : "allowed" };
  });
  const found = rows.filter((row) => (!query.get("who") || row.who === query.get("who")) && (!query.get("action") || row.action === query.get("action")) && (!query.get("from") || row.at >= query.get("from")) && (!query.get("to") || row.at <= query.get("to")));
  const offset = Number(query.get("cursor") ?? 0);
  const limit = Number(query.get("limit") ?? 100);
  return { rows: found.slice(offset, offset + limit), next_cursor: offset + limit < found.length ? String(offset + limit) : null, head: { seq: ROWS, mac: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" } };
}
