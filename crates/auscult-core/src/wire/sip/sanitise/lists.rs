//! The allow-list as tables: what is here is stored, everything else keeps its name and loses its value.

use super::sdp;

/// How the value of a header is read and built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One name-addr or URI with the header parameters listed.
    Address(&'static [&'static str]),
    /// Several, separated by commas.
    Addresses(&'static [&'static str]),
    Via,
    /// Comma-separated tokens (with `/` for media types), each with the parameters listed.
    Items(&'static [&'static str]),
    /// At most three tokens separated by blanks.
    Words,
    /// A Call-ID with the parameters listed.
    CallId(&'static [&'static str]),
    /// `name=value` pairs separated by semicolons.
    Pairs(&'static [&'static str]),
    /// Products and comments, up to the first `:` or `=`.
    Text,
    Date,
    Warning,
    Credentials,
    Passport,
}

use Kind::{Address, Addresses, CallId, Credentials, Date, Items, Pairs, Passport, Text, Via, Warning, Words};

pub(super) const REASON_PARAMS: &[&str] = &["cause", "text", "location"];
const CONTACT_PARAMS: &[&str] = &["q", "expires", "methods", "reg-id", "received"];
const SECURITY_PARAMS: &[&str] =
    &["alg", "ealg", "mod", "prot", "spi-c", "spi-s", "port-c", "port-s", "q", "d-alg", "d-qop"];

/// Headers whose values are stored, by their long names, with the document they come from.
pub(super) const HEADERS: &[(&str, Kind, &str)] = &[
    ("Accept", Items(&["q"]), "RFC 3261"),
    ("Accept-Contact", Items(&[]), "RFC 3841"),
    ("Accept-Encoding", Items(&["q"]), "RFC 3261"),
    ("Accept-Language", Items(&["q"]), "RFC 3261"),
    ("Alert-Info", Addresses(&["appearance"]), "RFC 3261, 7462"),
    ("Allow", Items(&[]), "RFC 3261"),
    ("Allow-Events", Items(&[]), "RFC 6665"),
    ("Answer-Mode", Items(&[]), "RFC 5373"),
    ("Authentication-Info", Credentials, "RFC 7615"),
    ("Authorization", Credentials, "RFC 3261, 7616, 8760"),
    ("CSeq", Words, "RFC 3261"),
    ("Call-ID", CallId(&[]), "RFC 3261"),
    ("Call-Info", Addresses(&["purpose"]), "RFC 3261"),
    ("Contact", Addresses(CONTACT_PARAMS), "RFC 3261, 3840"),
    ("Content-Disposition", Items(&["handling"]), "RFC 3261"),
    ("Content-Encoding", Items(&[]), "RFC 3261"),
    ("Content-Language", Items(&[]), "RFC 3261"),
    ("Content-Length", Items(&[]), "RFC 3261"),
    ("Content-Type", Items(&["charset", "version", "base"]), "RFC 3261"),
    ("Date", Date, "RFC 3261"),
    ("Diversion", Addresses(&["reason", "counter", "limit", "privacy", "screen"]), "RFC 5806"),
    ("Error-Info", Addresses(&[]), "RFC 3261"),
    ("Event", Items(&["id"]), "RFC 6665"),
    ("Expires", Items(&[]), "RFC 3261"),
    ("Flow-Timer", Items(&[]), "RFC 5626"),
    ("From", Address(&["tag"]), "RFC 3261"),
    ("History-Info", Addresses(&["index", "mp", "rc", "np"]), "RFC 7044"),
    ("Identity", Passport, "RFC 8224, 8588"),
    ("In-Reply-To", CallId(&[]), "RFC 3261"),
    ("Join", CallId(&["to-tag", "from-tag"]), "RFC 3911"),
    ("MIME-Version", Words, "RFC 3261"),
    ("Max-Breadth", Items(&[]), "RFC 5393"),
    ("Max-Forwards", Items(&[]), "RFC 3261"),
    ("Min-Expires", Items(&[]), "RFC 3261"),
    ("Min-SE", Items(&[]), "RFC 4028"),
    ("P-Access-Network-Info", Items(&[]), "RFC 7315; the cell is removed"),
    ("P-Asserted-Identity", Addresses(&[]), "RFC 3325"),
    ("P-Asserted-Service", Addresses(&[]), "RFC 6050"),
    ("P-Called-Party-ID", Address(&[]), "RFC 7315"),
    ("P-Charging-Vector", Pairs(&["icid-value", "orig-ioi", "term-ioi"]), "RFC 7315"),
    ("P-Early-Media", Items(&[]), "RFC 5009"),
    ("P-Preferred-Identity", Addresses(&[]), "RFC 3325"),
    ("P-Preferred-Service", Addresses(&[]), "RFC 6050"),
    ("P-Served-User", Address(&["sescase", "regstate"]), "RFC 5502"),
    ("Path", Addresses(&[]), "RFC 3327"),
    ("Priority", Items(&[]), "RFC 3261"),
    ("Privacy", Items(&[]), "RFC 3323"),
    ("Proxy-Authenticate", Credentials, "RFC 3261, 7616, 8760"),
    ("Proxy-Authentication-Info", Credentials, "RFC 7615"),
    ("Proxy-Authorization", Credentials, "RFC 3261, 7616, 8760"),
    ("Proxy-Require", Items(&[]), "RFC 3261"),
    ("RAck", Words, "RFC 3262"),
    ("RSeq", Items(&[]), "RFC 3262"),
    ("Reason", Items(REASON_PARAMS), "RFC 3326, 8606"),
    ("Record-Route", Addresses(&[]), "RFC 3261"),
    ("Recv-Info", Items(&[]), "RFC 6086"),
    ("Refer-Sub", Items(&[]), "RFC 4488"),
    ("Refer-To", Address(&[]), "RFC 3515"),
    ("Referred-By", Address(&[]), "RFC 3892"),
    ("Reject-Contact", Items(&[]), "RFC 3841"),
    ("Remote-Party-ID", Addresses(&["party", "id-type", "privacy", "screen"]), "draft-ietf-sip-privacy"),
    ("Replaces", CallId(&["to-tag", "from-tag"]), "RFC 3891"),
    ("Reply-To", Address(&[]), "RFC 3261"),
    ("Request-Disposition", Items(&[]), "RFC 3841"),
    ("Require", Items(&[]), "RFC 3261"),
    ("Resource-Priority", Items(&[]), "RFC 4412"),
    ("Retry-After", Items(&["duration"]), "RFC 3261"),
    ("Route", Addresses(&[]), "RFC 3261"),
    ("Security-Client", Items(SECURITY_PARAMS), "RFC 3329"),
    ("Security-Server", Items(SECURITY_PARAMS), "RFC 3329"),
    ("Security-Verify", Items(SECURITY_PARAMS), "RFC 3329"),
    ("Server", Text, "RFC 3261"),
    ("Service-Route", Addresses(&[]), "RFC 3608"),
    ("Session-Expires", Items(&["refresher"]), "RFC 4028"),
    ("Session-ID", CallId(&["remote"]), "RFC 7989"),
    ("Subscription-State", Items(&["reason", "expires", "retry-after"]), "RFC 6665"),
    ("Supported", Items(&[]), "RFC 3261"),
    ("Target-Dialog", CallId(&["local-tag", "remote-tag"]), "RFC 4538"),
    ("Timestamp", Words, "RFC 3261"),
    ("To", Address(&["tag"]), "RFC 3261"),
    ("Unsupported", Items(&[]), "RFC 3261"),
    ("User-Agent", Text, "RFC 3261"),
    ("Via", Via, "RFC 3261"),
    ("WWW-Authenticate", Credentials, "RFC 3261, 7616, 8760"),
    ("Warning", Warning, "RFC 3261"),
];

/// Headers that no setting makes pass as they came.
pub(super) const CREDENTIALS: &[&str] = &[
    "Authorization",
    "Proxy-Authorization",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Authentication-Info",
    "Proxy-Authentication-Info",
    "Identity",
    "Identity-Info",
    "Cookie",
    "Set-Cookie",
];

pub(super) const VIA_PARAMS: &[&str] = &["branch", "received", "rport", "alias", "ttl", "maddr", "comp", "keep", "i"];

/// Parameters after the host of a SIP URI.
pub(super) const URI_PARAMS: &[&str] = &[
    "transport",
    "user",
    "method",
    "ttl",
    "maddr",
    "lr",
    "comp",
    "cause",
    "alias",
    "ftag",
    "r2",
    "nat",
    "tgrp",
    "trunk-context",
    "otg",
    "dtg",
    "phone-context",
    "npdi",
    "rn",
    "rn-context",
    "cic",
    "cic-context",
    "cpc",
    "oli",
];

/// Parameters of a telephone number, in a `tel` URI or in the user part of a SIP URI.
pub(super) const USER_PARAMS: &[&str] = &[
    "phone-context",
    "ext",
    "tgrp",
    "trunk-context",
    "npdi",
    "rn",
    "rn-context",
    "cic",
    "cic-context",
    "cpc",
    "oli",
    "user",
];

/// URNs that name services and not people or devices.
pub(super) const URN_PREFIXES: &[&str] = &[
    "urn:service:",
    "urn:alert:",
    "urn:urn-7:3gpp-service.",
    "urn:urn-7:3gpp-application.",
    "urn:ietf:params:rtp-hdrext:",
];

/// Authentication schemes whose names are shown.
pub(super) const SCHEMES: &[&str] =
    &["Digest", "Basic", "Bearer", "NTLM", "Kerberos", "Negotiate", "TLS-DSK", "PGP", "OAuth"];

/// Parameters of the Digest scheme (RFC 7616, RFC 3310) that do not help to guess a password.
pub(super) const DIGEST_PARAMS: &[&str] = &[
    "realm",
    "username",
    "uri",
    "algorithm",
    "qop",
    "nc",
    "stale",
    "domain",
    "userhash",
    "charset",
    "integrity-protected",
];

/// Parameters of an Identity header and claims of a PASSporT that are shown.
pub(super) const IDENTITY_PARAMS: &[&str] = &["alg", "ppt"];
pub(super) const PASSPORT_HEADER: &[&str] = &["alg", "ppt", "typ"];
pub(super) const PASSPORT_CLAIMS: &[&str] = &["attest", "dest", "div", "iat", "orig", "origid"];

pub(super) fn kind_of(name: &[u8]) -> Option<&'static Kind> {
    // All names begin with a capital, and the table is in their order.
    let first = name.first()?.to_ascii_uppercase();
    let begins = |(known, ..): &(&str, Kind, &str)| known.as_bytes().first().copied();
    let from = HEADERS.partition_point(|row| begins(row) < Some(first));
    let same = HEADERS.get(from..)?.iter().take_while(|row| begins(row) == Some(first));
    let mut same = same.filter(|(known, ..)| known.len() == name.len());
    same.find(|(known, ..)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(_, kind, _)| kind)
}

/// One entry of the allow-list, as `docs/security.md` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowListRow {
    /// Where the name stands: `header`, `parameter`, `SDP line`, `SDP attribute` and so on.
    pub place: &'static str,
    pub name: String,
    /// What of the value is stored.
    pub stored: String,
}

/// The whole allow-list, in the order of the documentation.
pub fn allow_list() -> Vec<AllowListRow> {
    let row = |place, name: &str, stored: String| AllowListRow { place, name: name.to_owned(), stored };
    let mut rows: Vec<AllowListRow> = HEADERS
        .iter()
        .map(|(name, kind, source)| row("header", name, format!("{} ({source})", kind.words())))
        .collect();
    let lists: [(&'static str, &str, &[&str]); 11] = [
        ("parameters", "of Via", VIA_PARAMS),
        ("parameters", "of a SIP URI", URI_PARAMS),
        ("parameters", "of a telephone number", USER_PARAMS),
        ("parameters", "of Digest", DIGEST_PARAMS),
        ("schemes", "of authentication, by name", SCHEMES),
        ("URNs", "that begin with", URN_PREFIXES),
        ("parameters", "of Identity", IDENTITY_PARAMS),
        ("claims", "of a PASSporT's header", PASSPORT_HEADER),
        ("claims", "of a PASSporT", PASSPORT_CLAIMS),
        ("parameters", "of a=fmtp", sdp::FMTP_PARAMS),
        ("parameters", "of a=crypto, its key removed", sdp::CRYPTO_PARAMS),
    ];
    rows.extend(lists.into_iter().map(|(place, name, list)| row(place, name, list.join(", "))));
    rows.extend(sdp::LINES.iter().map(|(name, stored)| row("SDP line", name, (*stored).to_owned())));
    rows.extend(sdp::ATTRIBUTES.iter().map(|(name, kind)| row("SDP attribute", name, kind.words().to_owned())));
    rows
}

impl Kind {
    fn words(&self) -> String {
        let with = |what: &str, params: &[&str]| match params {
            [] => what.to_owned(),
            params => format!("{what}; {}", params.join(", ")),
        };
        match self {
            Address(params) => with("display name, URI", params),
            Addresses(params) => with("display names, URIs", params),
            Via => "protocol, sent-by, parameters of Via".to_owned(),
            Items(params) => with("tokens", params),
            Words => "up to three words".to_owned(),
            CallId(params) => with("up to white space", params),
            Pairs(params) => params.join(", "),
            Text => "text up to `:` or `=`".to_owned(),
            Date => "date and time".to_owned(),
            Warning => "code, agent, text up to `:` or `=`".to_owned(),
            Credentials => "scheme, parameters of Digest".to_owned(),
            Passport => "claims of a PASSporT, parameters of Identity; not the signature".to_owned(),
        }
    }
}
