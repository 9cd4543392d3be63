//! SIP (RFC 3261) as a monitor reads it: a tolerant scanner that copies nothing and refuses little.
//!
//! An endpoint must answer 400 to much of what is accepted here; a monitor wants the Call-ID all the same.
//! What is odd is noted in [`Message::anomalies`]. Time is linear in the length of the message; over TCP also however its
//! bytes are divided into segments ([`Framer`]).

mod addr;
mod anomaly;
mod body;
mod bytes;
mod frame;
mod headers;
mod sanitise;
mod start;

pub use addr::NameAddr;
pub use anomaly::{Anomalies, Anomaly};
pub use bytes::text;
pub use frame::{Framer, Framing, FramingLimits, looks_like_sip};
pub use sanitise::{
    AllowListRow, PartyText, Storing, allow_list, call_id_text, fmtp_text, may_keep, method_text, party_text,
    phrase_text, product_text, reason_value, sanitise, sanitise_as, sanitise_stored,
};

use bytes::{cut, is_lws, number, param, split_unquoted, trim};
use headers::{ContentLength, Lines, long_name, scan_headers, split_header, unfold};
use start::start_line;
use std::borrow::Cow;

/// Longest value that is stored; longer ones are used whole for matching and noted.
pub const FIELD_MAX: usize = 512;
/// Header fields looked at by [`Message::headers`]; the named accessors see them all.
pub const HEADERS_MAX: usize = 256;

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
    #[error("SIP header block above the limit")]
    HeadersTooLong,
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

/// A body found in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPart<'a> {
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

/// Reads one message from the payload of a datagram, or from the bytes [`Framer`] delimited.
/// Bytes beyond the message are left out (RFC 3261 section 18.3).
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, SipError> {
    parse_within(bytes, usize::MAX)
}

/// Like [`parse`]. A header block (start line, header lines and empty line) of more than `header_limit` bytes is
/// [`SipError::HeadersTooLong`]; nothing beyond the limit is read then.
pub fn parse_within(bytes: &[u8], header_limit: usize) -> Result<Message<'_>, SipError> {
    let mut odd = Anomalies::default();
    let lead = bytes.iter().take_while(|b| is_lws(**b) || **b == 0).count();
    let bytes = bytes.get(lead..).unwrap_or_default();
    if bytes.is_empty() {
        return Err(if lead == 0 { SipError::Empty } else { SipError::KeepAlive });
    }
    let (first_line, rest, start, version_known) = start_line(bytes, &mut odd)?;

    let mut known = Known::default();
    let mut content_length = ContentLength::default();
    let before = bytes.len() - rest.len();
    let within = rest.get(..header_limit.saturating_sub(before)).unwrap_or(rest);
    let block = scan_headers(within, &mut known, &mut content_length, &mut odd);
    if before > header_limit || !block.terminated && within.len() < rest.len() {
        return Err(SipError::HeadersTooLong);
    }
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

    /// Never empty. Raw: it may hold any byte.
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
    pub fn sdp(&self) -> Option<BodyPart<'a>> {
        self.body_of(body::SDP)
    }

    /// The voice quality report (RFC 6035), alone or as a part of a multipart body.
    pub fn vq_report(&self) -> Option<BodyPart<'a>> {
        self.body_of(body::VQ_REPORT)
    }

    fn body_of(&self, wanted: &[u8]) -> Option<BodyPart<'a>> {
        if self.known.content_encoding.is_some_and(|e| !e.eq_ignore_ascii_case(b"identity")) {
            return None;
        }
        body::find(wanted, self.entity(), &mut Anomalies::default())
    }

    fn entity(&self) -> body::Entity<'a> {
        body::Entity { content_type: self.known.content_type, body: self.body, cut_off: self.body_cut }
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
        body::find(body::SDP, self.entity(), &mut odd);
        odd
    }
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

#[cfg(test)]
mod tests;
