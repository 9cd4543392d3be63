//! Fuzz targets: functions over bytes that assert more than "no panic". [`TARGETS`] lists them; libFuzzer drives them with
//! coverage (`fuzz/run-all`), a seeded mutator without (`make fuzz-smoke`).

mod containers;
pub mod mutate;
mod readers;
mod sanitiser;
mod script;
mod sequence;
mod statements;
mod stored;
mod web;

/// One target.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs of one smoke run: as many as take a few seconds in an unoptimised build.
    pub smoke: u32,
    /// Longest input worth making, in bytes.
    pub max_len: usize,
    /// Pieces that mutations put in.
    pub words: &'static [&'static str],
}

const SIP: &[&str] = &[
    "INVITE ",
    "SIP/2.0 ",
    "\r\n\r\n",
    "\r\n ",
    "Call-ID: ",
    "Content-Length: ",
    "Content-Type: ",
    "Via: ",
    "CSeq: ",
    ";tag=",
    "multipart/mixed;boundary=x",
    "--x\r\n",
    "application/sdp",
    "\"",
    "<sip:",
    "l: 99999999999",
    "\u{1b}[2J",
    "\u{202e}",
    "\0",
];
const SDP: &[&str] = &[
    "m=audio ",
    "c=IN IP4 ",
    "a=rtpmap:",
    "a=fmtp:",
    "a=crypto:1 ",
    "a=rtcp:",
    "RTP/SAVP",
    "\r\n",
    "inline:",
    "0.0.0.0",
    "::",
    "65536",
    "a=ptime:",
    "\u{9b}",
    "\u{200b}",
];
const VQ: &[&str] = &[
    "VQSessionReport: CallTerm\r\n",
    "LocalMetrics:\r\n",
    "RemoteMetrics:\r\n",
    "SessionDesc: ",
    "FMTP=\"",
    "NLR=",
    "MOSLQ=",
    "SSRC=0x",
    "NaN",
    "inf",
    "1e308",
    "\r\n ",
    "START=2025-03-04T09:15:02Z",
];
const SQL: &[&str] = &[
    "SELECT ",
    "INSERT INTO t ",
    "FORMAT ",
    "VALUES",
    "'",
    "\\'",
    "`",
    "/*",
    "*/",
    "-- ",
    "\n",
    "(",
    ")",
    ";",
    "INTO OUTFILE ",
    "file(",
    "EXPLAIN AST ",
    "param_x=",
    "query=",
    "&",
];
const STATEMENTS: &[&str] = &[
    "SELECT ",
    " FROM calls",
    " WHERE ",
    " GROUP BY ",
    "count()",
    "quantile(0.95)(loss_pct)",
    "arrayMap(x -> ",
    "file('/etc/passwd')",
    "'\\'",
    "'it''s'",
    "`",
    "/*",
    "*/",
    "--\n",
    "$$",
    "; ",
    " INTO OUTFILE '/tmp/x'",
    " FORMAT JSON",
    " SETTINGS max_threads = 1",
    " IN (",
    "APPLY(file)",
    "WITH a AS (",
    "::String",
    "toTimeZone(now(), 'UTC')",
    "{x:UInt8}",
    "0x1F",
    "1e400",
];
const URL: &[&str] = &[
    "/api/v1/calls?",
    "/api/v1/streams?",
    "/api/v1/stats?",
    "/api/v1/timeline?",
    "/api/v1/alerts/history?",
    "/api/v1/alerts/00c0ffee00c0ffee/evaluations?",
    "/metrics",
    "from=",
    "to=",
    "cursor=",
    "limit=",
    "number=",
    "call_id=",
    "address=",
    "group_by=codec,trunk",
    "&",
    "%00",
    "%E2%80%AE",
    "%1B",
    "2026-11-20T20:13:51Z",
    "9999-12-31T23:59:59Z",
    "-1",
    "1e309",
];
const TOML: &[&str] = &[
    "[measure]\n",
    "[limits]\n",
    "[store]\n",
    "[[trunk]]\n",
    "[capture]\n",
    "[api]\n",
    "interval_s = ",
    "spool_mib = ",
    "networks = [",
    "18446744073709551615",
    "-1",
    "\"\"\"",
    "[[",
    "{",
    "\u{202e}",
    "listen = \"127.0.0.1:1\"\n",
];

macro_rules! targets {
    ($($name:ident: $module:ident, $smoke:literal, $max_len:literal, $words:expr;)*) => {
        /// Every target, by name.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $module::$name,
            smoke: $smoke,
            max_len: $max_len,
            words: $words,
        }),*];
    };
}

targets! {
    sip_msg: readers, 6000, 4096, SIP;
    sdp: readers, 6000, 4096, SDP;
    rtp_rtcp: readers, 20000, 1500, &[];
    frame: readers, 20000, 2048, &[];
    vq_report: readers, 6000, 4096, VQ;
    text: readers, 6000, 1024, &["\u{301}", "\u{200d}", "\u{202e}", "\u{627}", "\u{e0041}", "\u{fe0f}", " \t"];
    tcp: readers, 4000, 2048, SIP;
    pcap: containers, 1500, 8192, &[];
    pcapng: containers, 1500, 2048, &[];
    timeline: containers, 600, 4096, &[];
    replay: containers, 300, 4096, &[];
    engine_seq: sequence, 120, 1200, &[];
    clickhouse_frames: stored, 6000, 4096, &[];
    request: stored, 20000, 2048, SQL;
    statement: statements, 4000, 1024, STATEMENTS;
    segment: stored, 3000, 2048, &["{\"version\":1", "\"rows\":", "\"payload_length\":", "\"columns\":[", "calls"];
    api_query: web, 1500, 1024, URL;
    config: web, 3000, 4096, TOML;
    secrets: sanitiser, 6000, 2048, SIP;
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
