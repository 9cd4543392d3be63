//! SIP (RFC 3261) as a monitor reads it: a tolerant scanner that copies nothing and refuses little.
//!
//! An endpoint must answer 400 to much of what is accepted here; a monitor wants the Call-ID all the same.
//! What is odd is noted in [`Message::anomalies`]. Time is linear in the length of the message.

mod addr;
mod anomaly;
mod body;
mod bytes;
mod frame;
mod sanitise;

pub use addr::NameAddr;
pub use anomaly::{Anomalies, Anomaly};
pub use bytes::text;
pub use frame::{Framing, frame_len, looks_like_sip};
pub use sanitise::sanitise;

use bytes::{cut, is_lws, is_token, number, param, split_unquoted, trim};
use std::borrow::Cow;

/// Longest value that is stored; longer ones are used whole for matching and noted.
pub const FIELD_MAX: usize = 512;
/// Header fields looked at by [`Message::headers`]; the named accessors see them all.
pub const HEADERS_MAX: usize = 256;
/// How far a start line may be preceded by bytes that are not part of the message.
const JUNK_MAX: usize = 512;

/// Methods of the IANA registry (RFC 3261, 3262, 3265, 3311, 3428, 3515, 3903, 6086).
const METHODS: [&[u8]; 14] = [
    b"INVITE",
    b"ACK",
    b"BYE",
    b"CANCEL",
    b"REGISTER",
    b"OPTIONS",
    b"INFO",
    b"PRACK",
    b"UPDATE",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"REFER",
    b"MESSAGE",
    b"PUBLISH",
];

/// Why bytes are not a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SipError {
    #[error("empty datagram")]
    Empty,
    #[error("keep-alive of line ends or zero bytes (RFC 5626 section 3.5.1)")]
    KeepAlive,
    #[error("neither a SIP request nor a SIP response")]
    NotSip,
    #[error("broken SIP start line")]
    StartLine,
    #[error("the message ends inside its headers")]
    Incomplete,
    #[error("SIP message without {0}")]
    Missing(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    Request {
        method: &'a [u8],
        uri: &'a [u8],
    },
    Response {
        /// `None` outside 100..=699: then the answer means nothing.
        status: Option<u16>,
        reason: &'a [u8],
    },
}

/// CSeq: number within 32 bits, and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// `None` when it is no number or above 32 bits.
    pub number: Option<u32>,
    pub method: &'a [u8],
}

/// An SDP body found in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdpBody<'a> {
    pub bytes: &'a [u8],
    /// The body's last line may be cut: Content-Length and the bytes at hand disagree.
    pub cut: bool,
}

/// A checked view of one message.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    start: StartLine<'a>,
    first_line: &'a [u8],
    headers: &'a [u8],
    body: &'a [u8],
    body_cut: bool,
    known: Known<'a>,
    anomalies: Anomalies,
    version_known: bool,
}

/// Raw values of the headers everybody asks for; first occurrence wins.
#[derive(Clone, Copy, Debug, Default)]
struct Known<'a> {
    call_id: Option<&'a [u8]>,
    from: Option<&'a [u8]>,
    to: Option<&'a [u8]>,
    cseq: Option<&'a [u8]>,
    via: Option<&'a [u8]>,
    vias: u16,
    contact: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    reason: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    content_encoding: Option<&'a [u8]>,
}

/// Reads one message from the payload of a datagram, or from the bytes [`frame_len`] delimited.
/// Bytes beyond the message are left out (RFC 3261 section 18.3).
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, SipError> {
    let mut odd = Anomalies::default();
    let lead = bytes.iter().take_while(|b| is_lws(**b) || **b == 0).count();
    let bytes = bytes.get(lead..).unwrap_or_default();
    if bytes.is_empty() {
        return Err(if lead == 0 { SipError::Empty } else { SipError::KeepAlive });
    }
    let (first_line, rest, start, version_known) = start_line(bytes, &mut odd)?;

    let mut known = Known::default();
    let mut content_length = ContentLength::default();
    let block = scan_headers(rest, &mut known, &mut content_length, &mut odd);
    if !block.terminated {
        odd.set(Anomaly::HeadersNotTerminated);
    }
    let incomplete_without = |value: Option<&[u8]>| !block.terminated && value.is_none();
    if incomplete_without(known.call_id) || incomplete_without(known.cseq) || incomplete_without(known.from) {
        return Err(SipError::Incomplete);
    }
    if known.call_id.is_none_or(<[u8]>::is_empty) {
        return Err(SipError::Missing("Call-ID"));
    }

    let after = rest.get(block.body_at..).unwrap_or_default();
    let (body, body_cut) = content_length.body(after, &mut odd);
    let headers = rest.get(..block.len).unwrap_or(rest);
    let mut message = Message { start, first_line, headers, body, body_cut, known, anomalies: odd, version_known };
    message.anomalies = message.examine();
    Ok(message)
}

impl<'a> Message<'a> {
    pub fn start(&self) -> StartLine<'a> {
        self.start
    }

    /// Start line as sent, without its line end.
    pub fn first_line(&self) -> &'a [u8] {
        self.first_line
    }

    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// Method of the request, or of the CSeq for a response; empty when that is missing.
    pub fn method(&self) -> &'a [u8] {
        match self.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => self.cseq().map(|c| c.method).unwrap_or_default(),
        }
    }

    /// Status code of a response; `None` for requests and for codes outside 100..=699.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Response { status, .. } => status,
            StartLine::Request { .. } => None,
        }
    }

    /// False for `SIP/7.0` and the like: attribution works, state must not follow.
    pub fn version_known(&self) -> bool {
        self.version_known
    }

    pub fn anomalies(&self) -> Anomalies {
        self.anomalies
    }

    /// Never empty. Raw: it may hold any octet.
    pub fn call_id(&self) -> &'a [u8] {
        self.known.call_id.unwrap_or_default()
    }

    pub fn from(&self) -> Option<NameAddr<'a>> {
        self.known.from.map(NameAddr::parse)
    }

    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.known.to.map(NameAddr::parse)
    }

    pub fn contact(&self) -> Option<NameAddr<'a>> {
        self.known.contact.map(NameAddr::parse)
    }

    pub fn cseq(&self) -> Option<CSeq<'a>> {
        let value = trim(self.known.cseq?);
        let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number_text, method) = value.split_at_checked(digits)?;
        Some(CSeq { number: number(number_text).and_then(|n| u32::try_from(n).ok()), method: trim(method) })
    }

    /// Branch of the top Via; `None` when it has none (RFC 2543).
    pub fn via_branch(&self) -> Option<&'a [u8]> {
        let top = split_unquoted(self.known.via?, b',').next()?;
        param(cut(top, b';').1, "branch").filter(|b| !b.is_empty())
    }

    /// Number of Via entries: hops since the sender.
    pub fn via_count(&self) -> u16 {
        self.known.vias
    }

    pub fn user_agent(&self) -> Option<&'a [u8]> {
        self.known.user_agent
    }

    pub fn server(&self) -> Option<&'a [u8]> {
        self.known.server
    }

    /// Value of the Reason header (RFC 3326).
    pub fn reason_header(&self) -> Option<&'a [u8]> {
        self.known.reason
    }

    /// Media type without parameters.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.known.content_type.map(|v| trim(cut(v, b';').0))
    }

    /// All header lines as sent, without the start line and the empty line.
    pub fn header_bytes(&self) -> &'a [u8] {
        self.headers
    }

    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The SDP body, alone or as a part of a multipart body.
    pub fn sdp(&self) -> Option<SdpBody<'a>> {
        if self.known.content_encoding.is_some_and(|e| !e.eq_ignore_ascii_case(b"identity")) {
            return None;
        }
        body::find_sdp(self.known.content_type, self.body, self.body_cut, &mut Anomalies::default())
    }

    /// Names and unfolded values in the order of the message, at most [`HEADERS_MAX`].
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Cow<'a, [u8]>)> {
        Lines::new(self.headers)
            .filter_map(|line| split_header(line.bytes))
            .take(HEADERS_MAX)
            .map(|(name, value)| (name, unfold(value)))
    }

    /// Unfolded values of one header, compact form included.
    pub fn header(&self, name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
        self.headers().filter(move |(n, _)| long_name(n).eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// What the scan itself did not see.
    fn examine(&self) -> Anomalies {
        let mut odd = self.anomalies;
        let cseq = self.cseq();
        match cseq {
            Some(CSeq { number: None, .. }) => odd.set(Anomaly::ScalarOverflow),
            Some(_) => {}
            None => odd.set(Anomaly::MissingMandatoryHeader),
        }
        if cseq.is_some_and(|c| c.method.len() > FIELD_MAX) {
            odd.set(Anomaly::FieldTooLong);
        }
        let branch = self.via_branch();
        if let StartLine::Request { method, uri } = self.start {
            if !METHODS.contains(&method) {
                odd.set(Anomaly::UnknownMethod);
            }
            if cseq.is_some_and(|c| c.method != method) {
                odd.set(Anomaly::CseqMethodMismatch);
            }
            examine_ruri(uri, &mut odd);
        }
        if branch.is_some_and(|b| b.eq_ignore_ascii_case(b"z9hG4bK")) {
            odd.set(Anomaly::BranchMagicOnly);
        }
        for value in [self.known.from, self.known.to] {
            match value {
                Some(value) => _ = addr::parse_flagged(value, &mut odd),
                None => odd.set(Anomaly::MissingMandatoryHeader),
            }
        }
        if self.is_request() && branch.is_none() && self.from().is_some_and(|f| f.tag.is_empty()) {
            odd.set(Anomaly::Rfc2543);
        }
        let contact = self.known.contact.unwrap_or_default();
        if !contact.contains(&b'<') && cut(contact, b';').0.contains(&b'?') {
            odd.set(Anomaly::ContactSyntax);
        }
        if [self.known.via, self.known.contact].into_iter().flatten().any(empty_parameters) {
            odd.set(Anomaly::HeaderSyntax);
        }
        body::find_sdp(self.known.content_type, self.body, self.body_cut, &mut odd);
        odd
    }
}

/// Start line, the bytes after it, its meaning, and whether the version is 2.0.
type Start<'a> = (&'a [u8], &'a [u8], StartLine<'a>, bool);

fn start_line<'a>(bytes: &'a [u8], odd: &mut Anomalies) -> Result<Start<'a>, SipError> {
    if let Ok(start) = start_line_at(bytes, odd) {
        return Ok(start);
    }
    // Junk of a few lines may come first; a start line further on is then the message.
    let window = bytes.get(..JUNK_MAX.min(bytes.len())).unwrap_or(bytes);
    for at in memchr::memchr_iter(b'\n', window) {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        if looks_like_sip(rest)
            && let Ok(start) = start_line_at(rest, odd)
        {
            odd.set(Anomaly::JunkBeforeStart);
            return Ok(start);
        }
    }
    if !looks_like_sip(bytes) { Err(SipError::NotSip) } else { start_line_at(bytes, odd) }
}

fn start_line_at<'a>(bytes: &'a [u8], odd: &mut Anomalies) -> Result<Start<'a>, SipError> {
    let (line, rest) = match memchr::memchr(b'\n', bytes) {
        Some(at) => (bytes.get(..at).unwrap_or(bytes), bytes.get(at + 1..).unwrap_or_default()),
        None if memchr::memchr(b'\r', bytes).is_some_and(|cr| cr + 1 < bytes.len()) => return Err(SipError::StartLine),
        None => return Err(SipError::Incomplete),
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (start, version_known) = read_start_line(line, odd).ok_or(SipError::StartLine)?;
    Ok((line, rest, start, version_known))
}

fn read_start_line<'a>(line: &'a [u8], odd: &mut Anomalies) -> Option<(StartLine<'a>, bool)> {
    if line.contains(&b'\r') {
        return None;
    }
    let mut noted = Anomalies::default();
    let version_length = version_prefix(line);
    let result = if let Some(length) = version_length {
        let (version, rest) = line.split_at_checked(length)?;
        let rest = rest.strip_prefix(b" ")?;
        let rest = trim(rest);
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (code, reason) = rest.split_at_checked(digits)?;
        if digits < 3 || !(reason.is_empty() || reason.first() == Some(&b' ')) {
            return None;
        }
        let status = number(code).and_then(|n| u16::try_from(n).ok()).filter(|n| digits == 3 && (100..700).contains(n));
        if status.is_none() {
            noted.set(Anomaly::StatusCodeRange);
        }
        (StartLine::Response { status, reason: trim(reason) }, version)
    } else {
        let trimmed = trim(line);
        if trimmed.len() != line.len() {
            noted.set(Anomaly::StartLineLws);
        }
        let method_end = trimmed.iter().position(|b| is_lws(*b))?;
        let version_at = trimmed.iter().rposition(|b| is_lws(*b))? + 1;
        let (method, version) = (trimmed.get(..method_end)?, trimmed.get(version_at..)?);
        let between = trimmed.get(method_end + 1..version_at.checked_sub(1)?)?;
        let uri = trim(between);
        if !is_token(method) || uri.is_empty() || version_prefix(version) != Some(version.len()) {
            return None;
        }
        if uri.len() != between.len() {
            noted.set(Anomaly::StartLineLws);
        }
        (StartLine::Request { method, uri }, version)
    };
    let known = result.1.eq_ignore_ascii_case(b"SIP/2.0");
    if !known {
        noted.set(Anomaly::UnknownSipVersion);
    }
    for a in noted.iter() {
        odd.set(a);
    }
    Some((result.0, known))
}

/// Length of `SIP/digits.digits` at the start of `s`.
fn version_prefix(s: &[u8]) -> Option<usize> {
    let rest = s.get(4..).filter(|_| s.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"SIP/")))?;
    let major = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let minor = rest.get(major + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    (major > 0 && minor > 0 && rest.get(major) == Some(&b'.')).then_some(4 + major + 1 + minor)
}

fn examine_ruri(uri: &[u8], odd: &mut Anomalies) {
    if uri.len() > FIELD_MAX {
        odd.set(Anomaly::FieldTooLong);
    }
    let mut own = Anomalies::default();
    let (_, host) = addr::uri_parts(uri, &mut own);
    if uri.contains(&b'<') || uri.iter().any(|b| is_lws(*b)) || (own.has(Anomaly::UriSyntax) && host.len() < 5) {
        odd.set(Anomaly::RuriSyntax);
    }
    if uri.get(uri.len() - uri.iter().rev().take_while(|b| **b != b'@').count()..).is_some_and(|h| h.contains(&b'?')) {
        odd.set(Anomaly::RuriHeaders);
    }
    for a in own.iter() {
        odd.set(a);
    }
}

/// `;;` or `,,` or a separator at the end, outside quotes.
fn empty_parameters(value: &[u8]) -> bool {
    split_unquoted(value, b',').any(|entry| split_unquoted(entry, b';').any(|p| trim(p).is_empty()))
}

struct Block {
    /// Bytes of header lines, without the empty line.
    len: usize,
    body_at: usize,
    terminated: bool,
}

/// One header line with its continuations; `bytes` is without the last line end.
struct Line<'a> {
    bytes: &'a [u8],
    end: usize,
    terminated: bool,
}

struct Lines<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn new(all: &'a [u8]) -> Self {
        Lines { all, at: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.all.get(self.at..).filter(|r| !r.is_empty())?;
        let mut end = 0;
        let mut terminated = false;
        loop {
            match memchr::memchr(b'\n', rest.get(end..).unwrap_or_default()) {
                Some(lf) => {
                    end += lf + 1;
                    let empty = rest.get(..end).is_some_and(|l| trim(l).is_empty());
                    if empty || !matches!(rest.get(end), Some(b' ' | b'\t')) {
                        terminated = true;
                        break;
                    }
                }
                None => {
                    end = rest.len();
                    break;
                }
            }
        }
        let bytes = rest.get(..end).unwrap_or(rest);
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        self.at += end;
        Some(Line { bytes, end: self.at, terminated })
    }
}

fn scan_headers<'a>(
    rest: &'a [u8],
    known: &mut Known<'a>,
    content_length: &mut ContentLength,
    odd: &mut Anomalies,
) -> Block {
    let mut count = 0usize;
    let mut len = 0;
    for line in Lines::new(rest) {
        if line.bytes.is_empty() && line.terminated {
            return Block { len, body_at: line.end, terminated: true };
        }
        len = line.end;
        count += 1;
        if count > HEADERS_MAX {
            odd.set(Anomaly::TooManyHeaders);
        }
        let Some((name, value)) = split_header(line.bytes) else {
            odd.set(Anomaly::HeaderSyntax);
            continue;
        };
        if value.len() > FIELD_MAX {
            odd.set(Anomaly::FieldTooLong);
        }
        // A last line without an end may be half a line: what it seems to say is not believed.
        if line.terminated {
            note_header(long_name(name), value, known, content_length, odd);
        }
    }
    Block { len, body_at: rest.len(), terminated: false }
}

fn note_header<'a>(
    name: &[u8],
    value: &'a [u8],
    known: &mut Known<'a>,
    content_length: &mut ContentLength,
    odd: &mut Anomalies,
) {
    let is = |n: &str| name.eq_ignore_ascii_case(n.as_bytes());
    // Lengths first: comparing text for every header of every message is the cost of this scan.
    let (slot, singleton) = match name.len() {
        2 if is("To") => (&mut known.to, true),
        3 if is("Via") => {
            if value.contains(&b'[') && memchr::memmem::find(value, b":::").is_some() {
                odd.set(Anomaly::Ipv6Reference);
            }
            let entries = split_unquoted(value, b',').filter(|v| !trim(v).is_empty()).count();
            known.vias = known.vias.saturating_add(u16::try_from(entries).unwrap_or(u16::MAX));
            (&mut known.via, false)
        }
        4 if is("From") => (&mut known.from, true),
        4 if is("CSeq") => (&mut known.cseq, true),
        4 if is("Date") => {
            if !trim(value).ends_with(b"GMT") {
                odd.set(Anomaly::DateNotGmt);
            }
            return;
        }
        6 if is("Server") => (&mut known.server, false),
        6 if is("Reason") => (&mut known.reason, false),
        7 if is("Call-ID") => (&mut known.call_id, true),
        7 if is("Contact") => (&mut known.contact, false),
        10 if is("User-Agent") => (&mut known.user_agent, false),
        12 if is("Content-Type") => (&mut known.content_type, false),
        14 if is("Content-Length") => return content_length.note(value, odd),
        16 if is("Content-Encoding") => (&mut known.content_encoding, false),
        7 if is("Expires") => return note_scalar(value, odd),
        11 if is("Retry-After") => return note_scalar(value, odd),
        12 if is("Max-Forwards") => {
            if number(trim(value)).is_none_or(|n| n > 255) {
                odd.set(Anomaly::ScalarOverflow);
            }
            return;
        }
        _ => return,
    };
    match slot {
        Some(_) if singleton => odd.set(Anomaly::DuplicateSingletonHeader),
        Some(_) => {}
        None => *slot = Some(value),
    }
}

fn note_scalar(value: &[u8], odd: &mut Anomalies) {
    let value = trim(value);
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits > 0 && number(value.get(..digits).unwrap_or_default()).is_none_or(|n| n > u64::from(u32::MAX)) {
        odd.set(Anomaly::ScalarOverflow);
    }
}

/// Name and value, both trimmed. White space before the colon is allowed (RFC 3261 HCOLON).
fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (trim(line.get(..colon)?), trim(line.get(colon + 1..)?));
    (!name.is_empty()).then_some((name, value))
}

/// The long form of a compact header name (IANA registry of SIP header fields).
fn long_name(name: &[u8]) -> &[u8] {
    let [letter] = name else { return name };
    match letter.to_ascii_lowercase() {
        b'a' => b"Accept-Contact",
        b'b' => b"Referred-By",
        b'c' => b"Content-Type",
        b'd' => b"Request-Disposition",
        b'e' => b"Content-Encoding",
        b'f' => b"From",
        b'i' => b"Call-ID",
        b'j' => b"Reject-Contact",
        b'k' => b"Supported",
        b'l' => b"Content-Length",
        b'm' => b"Contact",
        b'o' => b"Event",
        b'r' => b"Refer-To",
        b's' => b"Subject",
        b't' => b"To",
        b'u' => b"Allow-Events",
        b'v' => b"Via",
        b'x' => b"Session-Expires",
        b'y' => b"Identity",
        _ => name,
    }
}

/// Each fold as one space.
fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\n') {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    for (n, piece) in value.split(|b| *b == b'\n').enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(trim(piece));
    }
    Cow::Owned(out)
}

/// What Content-Length headers said. Of several valid ones the smallest counts (RFC 4475 section 3.3.9).
#[derive(Default)]
struct ContentLength {
    smallest: Option<u64>,
    seen: bool,
}

impl ContentLength {
    fn note(&mut self, value: &[u8], odd: &mut Anomalies) {
        if self.seen {
            odd.set(Anomaly::DuplicateContentLength);
        }
        self.seen = true;
        let value = trim(value);
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            odd.set(Anomaly::ContentLengthInvalid);
            return;
        }
        let length = number(value).unwrap_or(u64::MAX);
        self.smallest = Some(self.smallest.map_or(length, |s| s.min(length)));
    }

    /// The body among the bytes after the headers, and whether its end is in doubt.
    fn body<'a>(&self, after: &'a [u8], odd: &mut Anomalies) -> (&'a [u8], bool) {
        let Some(declared) = self.smallest else { return (after, false) };
        match usize::try_from(declared).ok().and_then(|n| after.split_at_checked(n)) {
            None => {
                odd.set(Anomaly::ContentLengthGtDatagram);
                (after, true)
            }
            Some((body, rest)) if trim(rest).is_empty() => (body, false),
            Some((body, rest)) => {
                let another = body.is_empty() || looks_like_sip(rest);
                odd.set(if another { Anomaly::TrailingOctets } else { Anomaly::ContentLengthLtBody });
                (body, !another)
            }
        }
    }
}

#[cfg(test)]
mod tests;
