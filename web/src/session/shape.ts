// The shape of the session and audit routes, written by hand.

export type Role = "viewer" | "operator" | "investigator" | "admin";
export type Method = "password" | "oidc" | "proxy";

/** Answer of GET and POST `/session`. */
export interface Session {
  signed_in: boolean;
  /** No user exists and the service is on loopback: everything works without sign-in. */
  open: boolean;
  user: string | null;
  role: Role | null;
  /** Probes and trunks this user is limited to; null is all. */
  probes: string[] | null;
  trunks: string[] | null;
  /** RFC 3339. */
  expires_at: string | null;
  methods: Method[];
  /** Name of the OpenID Connect provider. */
  provider: string | null;
}

/** What `/calls/{id}` has in addition for a role that may not see SIP messages. */
export interface Withheld {
  messages_withheld?: boolean;
}

export interface AuditRow {
  seq: number;
  /** RFC 3339. */
  at: string;
  who: string;
  via: "password" | "token" | "oidc" | "proxy" | "command";
  role: string | null;
  /** Address of the client. */
  address: string | null;
  action: string;
  /** One line. */
  what: string;
  outcome: "allowed" | "refused";
}

/** Answer of `/audit`, newest first. */
export interface AuditPage {
  rows: AuditRow[];
  next_cursor: string | null;
  /** The last row of the chain and its MAC in hexadecimal. */
  head: { seq: number; mac: string };
}
