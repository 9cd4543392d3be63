//! A message as evidence that may be stored, by allow-list: what is not known to be harmless keeps its name and loses its value.
//!
//! Values of listed headers, parameters and SDP attributes are built anew from what was parsed ([`lists`] has the tables). A
//! value whose grammar does not hold loses the rest from there on. Lines are cut as the most liberal receiver would cut
//! them: at CR LF, at LF and at a CR alone. Time is linear in the length of the message.

mod built;
mod credentials;
mod free_text;
mod lists;
#[cfg(test)]
mod number_tests;
mod params;
mod passport;
mod sdp;
#[cfg(test)]
mod tests;
mod uri;
mod values;

use built::{Built, Hiding};
pub use lists::{AllowListRow, allow_list};

use super::bytes::{self, is_token, trim, visible};
use super::headers::{long_name, split_header};
use super::start::{read_start_line, version_prefix};
use super::{Anomalies, HEADERS_MAX, Message, NameAddr, StartLine};
use crate::privacy::Privacy;
use crate::units::text::printable_run;
use std::borrow::Cow;

const HEADERS_TEXT_MAX: usize = 16 * 1024;
const SDP_TEXT_MAX: usize = 16 * 1024;
/// What a value is replaced by.
const REMOVED: &[u8] = b"***";
/// Longest header name, parameter name or URI scheme that is shown.
const NAME_MAX: usize = 64;
/// Longest value that is read, in bytes; what follows is removed.
const VALUE_MAX: usize = HEADERS_TEXT_MAX;

static CLEAR: Privacy = Privacy::clear();

/// What an operator decided about stored messages.
#[derive(Clone, Copy, Debug)]
pub struct Storing<'a> {
    /// Headers whose values are stored as they came, in whatever case they are written there. A name that [`may_keep`] refuses
    /// has no effect.
    pub keep: &'a [String],
    pub privacy: &'a Privacy,
    /// Session descriptions are stored, too.
    pub bodies: bool,
    /// Fewer bytes were captured than the message has.
    pub cut_short: bool,
}

impl Storing<'_> {
    /// By the allow-list alone, in clear.
    pub const USUAL: Storing<'static> = Storing { keep: &[], privacy: &CLEAR, bodies: true, cut_short: false };
}

/// Start line and headers, then SDP, each with LF line ends and cut at 16 KiB, with the values of the allow-list alone.
/// Bodies other than SDP are left out: they carry text messages, locations, DTMF.
pub fn sanitise(message: &Message<'_>) -> (String, String) {
    sanitise_as(message, Storing::USUAL)
}

/// As [`sanitise`], with what the operator decided.
pub fn sanitise_as(message: &Message<'_>, storing: Storing<'_>) -> (String, String) {
    let mut headers = Text::new(HEADERS_TEXT_MAX, message.first_line.len() + message.headers.len());
    let hiding =
        Hiding::of_message(storing.privacy, message.first_line.len() + message.headers.len() + message.body.len());
    headers.push_line(&start_line(message.first_line, &hiding));
    // The user of a URI that was cut before its `@` looks like a host.
    let last_is_cut = storing.cut_short && message.body.is_empty() && !storing.privacy.is_clear();
    let whole = if last_is_cut { without_last_line(message.headers) } else { message.headers };
    push_headers(whole, storing.keep, &hiding, &mut headers);
    let Some(body) = message.sdp().filter(|_| storing.bodies) else { return (headers.out, String::new()) };
    let mut session = Text::new(SDP_TEXT_MAX, body.bytes.len());
    sdp::push(body.bytes, &hiding, &mut session);
    (headers.out, session.out)
}

fn without_last_line(headers: &[u8]) -> &[u8] {
    let lines = headers.trim_ascii_end();
    headers.get(..memchr::memrchr2(b'\r', b'\n', lines).unwrap_or(0)).unwrap_or_default()
}

/// Stored text of a version that kept more: start line and headers, and SDP, by the same rules. Control characters that were
/// replaced by their pictures when the text was stored end a line again where they were line ends.
pub fn sanitise_stored(headers: &str, session: &str, keep: &[String]) -> (String, String) {
    let lines = |text: &str| text.replace(['\u{240d}', '\u{240a}'], "\n");
    let (headers, session) = (lines(headers), lines(session));
    let hiding = Hiding::new(&CLEAR);
    let mut clean = Text::new(HEADERS_TEXT_MAX, headers.len());
    let (first, rest) = bytes::cut(headers.as_bytes(), b'\n');
    if !headers.is_empty() {
        clean.push_line(&start_line(first, &hiding));
        push_headers(rest, keep, &hiding, &mut clean);
    }
    let mut clean_session = Text::new(SDP_TEXT_MAX, session.len());
    sdp::push(session.as_bytes(), &hiding, &mut clean_session);
    (clean.out, clean_session.out)
}

/// Whether an operator may have this header stored as it came.
///
/// # Errors
/// Why not: it is no header name, or its values are credentials.
pub fn may_keep(name: &str) -> Result<(), &'static str> {
    let name = name.as_bytes();
    if !is_header_name(name) {
        return Err("it is not the name of a SIP header");
    }
    let long = long_name(name);
    if lists::CREDENTIALS.iter().any(|c| c.as_bytes().eq_ignore_ascii_case(long)) {
        return Err("its values are credentials");
    }
    Ok(())
}

/// Words for people, such as a reason, as a record may hold them, at most `max` bytes: what follows `:` or `=` is removed, and so is
/// what follows the end of its line.
pub fn phrase_text(text: &[u8], max: usize, privacy: &Privacy) -> String {
    harmless(text, max, privacy, free_text::Text::Phrase)
}

/// Names and versions of products as a record may hold them, like [`phrase_text`].
pub fn product_text(text: &[u8], max: usize, privacy: &Privacy) -> String {
    harmless(text, max, privacy, free_text::Text::Product)
}

fn harmless(text: &[u8], max: usize, privacy: &Privacy, kind: free_text::Text) -> String {
    let hiding = Hiding::new(privacy);
    let mut out = Built::new(&hiding);
    free_text::push(&mut out, first_line(text), kind);
    bytes::text(&out, max)
}

/// A Call-ID as a record may hold it, at most `max` bytes: up to its first white space or zero byte.
pub fn call_id_text(call_id: &[u8], max: usize, privacy: &Privacy) -> String {
    let hiding = Hiding::new(privacy);
    let mut out = Built::new(&hiding);
    values::push_call_id(&mut out, trim(call_id));
    bytes::text(&out, max)
}

/// The value of a Reason header (RFC 3326) as a record may hold it, at most `max` bytes.
pub fn reason_value(value: &[u8], max: usize, privacy: &Privacy) -> String {
    let hiding = Hiding::new(privacy);
    let mut out = Built::new(&hiding);
    values::push(&mut out, &lists::Kind::Items(lists::REASON_PARAMS), first_line(value));
    bytes::text(&out, max)
}

/// A method as a record may hold it: a token, at most 64 bytes.
pub fn method_text(method: &[u8], privacy: &Privacy) -> String {
    let word = method.split(|b| bytes::is_lws(*b)).next().unwrap_or_default();
    let fits = is_token(word) && word.len() <= NAME_MAX;
    let hiding = Hiding::new(privacy);
    let mut out = Built::new(&hiding);
    out.push_identifier(if fits || word.is_empty() { word } else { REMOVED });
    bytes::text(&out, NAME_MAX)
}

/// Parameters of a codec as a record may hold them, at most `max` bytes.
pub fn fmtp_text(params: &[u8], max: usize, privacy: &Privacy) -> String {
    let hiding = Hiding::new(privacy);
    let mut out = Built::new(&hiding);
    sdp::push_fmtp_params(&mut out, params);
    bytes::text(&out, max)
}

/// A party as a record may hold it: no password, no parameter that is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartyText {
    /// Empty where numbers are hidden.
    pub display: String,
    /// `user@host` without scheme and port; a number alone for `tel:`; `scheme:***` for a scheme that is not listed.
    pub uri: String,
    /// User without its parameters; empty when there is none.
    pub user: String,
}

/// The party of a From, To or Contact value; each text at most `max` bytes.
pub fn party_text(address: &NameAddr<'_>, max: usize, privacy: &Privacy) -> PartyText {
    let hiding = Hiding::new(privacy);
    let parts = uri::parts(address.uri, &hiding);
    let text = |b: &[u8]| bytes::text(b, max);
    let mut whole = parts.user.to_vec();
    whole.extend_from_slice(&parts.user_params);
    if !whole.is_empty() && !parts.host.is_empty() {
        whole.push(b'@');
    }
    whole.extend_from_slice(&parts.host);
    let display = if privacy.is_clear() { phrase_text(address.display, max, privacy) } else { String::new() };
    PartyText { display, uri: text(&whole), user: text(&parts.user) }
}

/// Lines of a text with a bound.
struct Text {
    out: String,
    max: usize,
}

impl Text {
    /// `likely`: bytes of what it is made from.
    fn new(max: usize, likely: usize) -> Text {
        Text { out: String::with_capacity(likely.min(max)), max }
    }

    fn is_full(&self) -> bool {
        self.out.len() + 1 >= self.max
    }

    fn push_line(&mut self, line: &[u8]) {
        let left = self.max.saturating_sub(self.out.len());
        let line = line.get(..line.len().min(left)).unwrap_or(line);
        // Nearly all lines are plain to their end.
        let plain = printable_run(line);
        let (run, rest) = line.split_at(plain.min(left.saturating_sub(1)));
        self.out.push_str(std::str::from_utf8(run).unwrap_or_default());
        if run.len() < plain {
            return;
        }
        for c in String::from_utf8_lossy(rest).chars() {
            let c = if c == '\t' { ' ' } else { visible(c) };
            if self.out.len() + c.len_utf8() >= self.max {
                return;
            }
            self.out.push(c);
        }
        if self.out.len() < self.max {
            self.out.push('\n');
        }
    }

    /// A line that lost everything. Several in a row are one.
    fn push_removed(&mut self) {
        if !self.out.ends_with("\n***\n") && self.out != "***\n" {
            self.push_line(REMOVED);
        }
    }
}

/// A line as the most liberal receiver cuts it.
struct PhysicalLine<'a> {
    bytes: &'a [u8],
    /// It ended with a CR that no LF follows.
    bare_cr: bool,
}

fn physical_lines(all: &[u8]) -> impl Iterator<Item = PhysicalLine<'_>> {
    let mut rest = all;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (bytes, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let crlf = after.starts_with(b"\r\n");
        let bare_cr = after.first() == Some(&b'\r') && !crlf;
        rest = after.get(if crlf { 2 } else { 1 }..).unwrap_or_default();
        Some(PhysicalLine { bytes, bare_cr })
    })
}

/// Up to the first line end that is not at the start.
fn first_line(value: &[u8]) -> &[u8] {
    let value = trim(value);
    value.get(..memchr::memchr2(b'\r', b'\n', value).unwrap_or(value.len())).unwrap_or(value)
}

/// Method or status, Request-URI and version; everything goes when it is no start line.
fn start_line<'p>(line: &[u8], hiding: &'p Hiding<'p>) -> Built<'p> {
    let mut out = Built::new(hiding);
    let Some((start, _)) = read_start_line(line, &mut Anomalies::default()) else {
        out.extend_from_slice(REMOVED);
        return out;
    };
    let line = trim(line);
    match start {
        StartLine::Request { method, uri } => {
            out.push_identifier(method.get(..NAME_MAX).unwrap_or(method));
            out.push(b' ');
            uri::push(&mut out, uri);
            out.push(b' ');
            // The start line was read, so its last word is a version.
            let version = line.rsplit(|b| bytes::is_lws(*b)).next().unwrap_or_default();
            out.extend_from_slice(version.get(..NAME_MAX).unwrap_or(version));
        }
        StartLine::Response { reason, .. } => {
            let version = version_prefix(line).unwrap_or_default();
            // A status has three digits; further ones may be a number.
            let most = if out.is_clear() { NAME_MAX } else { 3 };
            let digits =
                line.iter().skip(version + 1).take_while(|b| b.is_ascii_digit() || **b == b' ').take(most).count();
            let head = line.get(..version + 1 + digits).unwrap_or_default();
            out.extend_from_slice(trim(head.get(..NAME_MAX).unwrap_or(head)));
            if !reason.is_empty() {
                out.push(b' ');
                free_text::push(&mut out, reason, free_text::Text::Phrase);
            }
        }
    }
    out
}

/// A header line with its continuations as one.
struct LogicalLine<'a> {
    bytes: Cow<'a, [u8]>,
    /// A continuation followed a bare CR: whether it belongs to this header is in doubt, so it is left out.
    cut: bool,
    bare_cr: bool,
}

fn push_headers(all: &[u8], keep: &[String], hiding: &Hiding<'_>, out: &mut Text) {
    let mut open: Option<LogicalLine<'_>> = None;
    // One buffer for all lines.
    let (mut scratch, mut count) = (Built::new(hiding), 0);
    scratch.reserve(256);
    for line in physical_lines(all) {
        let content = trim(line.bytes);
        if content.is_empty() {
            continue;
        }
        if let (Some(b' ' | b'\t'), Some(header)) = (line.bytes.first(), &mut open) {
            header.cut |= header.bare_cr;
            if !header.cut {
                let bytes = header.bytes.to_mut();
                bytes.push(b' ');
                bytes.extend_from_slice(content);
            }
            header.bare_cr = line.bare_cr;
            continue;
        }
        if let Some(header) = open.take() {
            push_header(&header, keep, &mut scratch, out);
        }
        count += 1;
        if count > HEADERS_MAX || out.is_full() {
            return;
        }
        open = Some(LogicalLine { bytes: Cow::Borrowed(content), cut: false, bare_cr: line.bare_cr });
    }
    if let Some(header) = open {
        push_header(&header, keep, &mut scratch, out);
    }
}

fn push_header(header: &LogicalLine<'_>, keep: &[String], line: &mut Built<'_>, out: &mut Text) {
    let Some((name, value)) = split_header(&header.bytes).filter(|(name, _)| is_header_name(name)) else {
        return out.push_removed();
    };
    line.clear();
    line.push_identifier(name);
    line.push(b':');
    if !value.is_empty() {
        line.push(b' ');
        let long = long_name(name);
        let same = |n: &str| n.as_bytes().eq_ignore_ascii_case(name) || n.as_bytes().eq_ignore_ascii_case(long);
        let kept = keep.iter().any(|k| same(k) && may_keep(k).is_ok());
        let short = match value.get(..VALUE_MAX) {
            Some(start) if value.len() > VALUE_MAX && !line.is_clear() => whole_entries(start),
            Some(start) => start,
            None => value,
        };
        match lists::kind_of(long) {
            kind if kept && (kind.is_none() || line.is_clear()) => line.push_unknown(short),
            Some(kind) => values::push(line, kind, short),
            None => line.extend_from_slice(REMOVED),
        }
    }
    if header.cut {
        line.push(b' ');
        line.extend_from_slice(REMOVED);
    }
    out.push_line(line);
}

/// The start of a value without what was cut: a user without its host could not be told from other words.
fn whole_entries(start: &[u8]) -> &[u8] {
    let end = start.iter().rposition(|b| b", \t".contains(b)).unwrap_or(0);
    start.get(..end).unwrap_or_default()
}

/// A token that begins with a letter, as all registered names do.
fn is_header_name(name: &[u8]) -> bool {
    is_token(name) && name.len() <= NAME_MAX && name.first().is_some_and(u8::is_ascii_alphabetic)
}
