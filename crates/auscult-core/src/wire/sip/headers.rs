//! The block of header lines: folding, compact names, the headers everybody asks for, Content-Length.

use super::anomaly::{Anomalies, Anomaly};
use super::bytes::{number, split_unquoted, trim};
use super::{FIELD_MAX, HEADERS_MAX, Known, looks_like_sip};
use crate::wire::steps::scanned;
use std::borrow::Cow;

pub(super) struct Block {
    /// Bytes of header lines, without the empty line.
    pub len: usize,
    pub body_at: usize,
    pub terminated: bool,
}

/// One header line with its continuations; `bytes` is without the last line end.
pub(super) struct Line<'a> {
    pub bytes: &'a [u8],
    pub end: usize,
    pub terminated: bool,
}

pub(super) struct Lines<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    pub fn new(all: &'a [u8]) -> Self {
        Lines { all, at: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.all.get(self.at..).filter(|r| !r.is_empty())?;
        let line_end = |from: usize| {
            let lf = memchr::memchr(b'\n', rest.get(from..).unwrap_or_default());
            lf.map(|lf| from + lf + 1)
        };
        let first = line_end(0);
        let mut terminated = first.is_some();
        let mut end = first.unwrap_or(rest.len());
        // A blank line has no continuation, and a line that begins with text is never blank: only its first line is trimmed.
        if terminated && !trim(rest.get(..end).unwrap_or_default()).is_empty() {
            while terminated && matches!(rest.get(end), Some(b' ' | b'\t')) {
                let next = line_end(end);
                terminated = next.is_some();
                end = next.unwrap_or(rest.len());
            }
        }
        scanned(end);
        let bytes = rest.get(..end).unwrap_or(rest);
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        self.at += end;
        Some(Line { bytes, end: self.at, terminated })
    }
}

pub(super) fn scan_headers<'a>(
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
pub(super) fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (trim(line.get(..colon)?), trim(line.get(colon + 1..)?));
    (!name.is_empty()).then_some((name, value))
}

/// The long form of a compact header name (IANA registry of SIP header fields).
pub(super) fn long_name(name: &[u8]) -> &[u8] {
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
pub(super) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
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
pub(super) struct ContentLength {
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
    pub fn body<'a>(&self, after: &'a [u8], odd: &mut Anomalies) -> (&'a [u8], bool) {
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines as the rule says them, without regard to cost: a line goes on where the next one begins with white space, unless all
    /// of it so far is white space.
    fn by_the_rule(all: &[u8]) -> Vec<(Vec<u8>, usize, bool)> {
        let (mut lines, mut at) = (Vec::new(), 0);
        while at < all.len() {
            let ends = |end: &usize| {
                all[*end - 1] == b'\n'
                    && (trim(&all[at..*end]).is_empty() || !matches!(all.get(*end), Some(b' ' | b'\t')))
            };
            let found = (at + 1..=all.len()).find(ends);
            let end = found.unwrap_or(all.len());
            let bytes = &all[at..end];
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            lines.push((bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec(), end, found.is_some()));
            at = end;
        }
        lines
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_rule(text in "[ a:\t\r\n]{0,40}") {
            let lines: Vec<_> = Lines::new(text.as_bytes()).map(|l| (l.bytes.to_vec(), l.end, l.terminated)).collect();
            prop_assert_eq!(lines, by_the_rule(text.as_bytes()));
        }
    }
}
