//! Recognises SIP among other traffic, and cuts messages out of a TCP stream (RFC 3261 section 18.3).

use super::METHODS;
use super::anomaly::Anomalies;
use super::bytes::{is_lws, is_token, number, trim};
use super::headers::{long_name, split_header};
use super::start::{read_start_line, version_prefix};
use crate::wire::steps::scanned;

/// Bytes that belong to no message and are passed over between two messages; a stream with more of them is not SIP.
const JUNK_MAX: usize = 64 * 1024;
/// No method, and no version, is longer than this.
const WORD_MAX: usize = 64;

/// What the front of a stream buffer holds. The bytes counted are to be removed before the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// More bytes are needed to decide.
    Need,
    /// One message of this length.
    Message(usize),
    /// Keep-alives, or white space before a message.
    Skip(usize),
    /// Bytes that belong to no message.
    Junk(usize),
    /// A message above [`FramingLimits::message`]: this much is to be dropped.
    TooLong(usize),
    /// A header block above [`FramingLimits::headers`]: this much is to be dropped.
    HeadersTooLong(usize),
    /// Nothing here is SIP.
    NotSip,
}

/// Largest message, and largest header block of one, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingLimits {
    pub message: usize,
    pub headers: usize,
}

/// Cuts messages out of one direction of a TCP connection.
///
/// It keeps its place in the message that is not complete yet, so that no byte of it is looked at again, and the messages do
/// not depend on how the bytes were divided into segments. (One case excepted: where Content-Length is no number, the
/// message ends before the next start line if that is in the buffer, else it has no body.) Without Content-Length a message
/// has no body. One [`Framer`] belongs to one buffer: between two calls the bytes that were counted are removed from its front,
/// and others are only appended.
#[derive(Debug, Default)]
pub struct Framer {
    place: FramingState,
    /// Bytes of no message since the last message.
    junk: usize,
    searched: Searched,
}

/// Where in the grammar the front of the buffer, or the first byte not looked at, is.
#[derive(Clone, Copy, Debug)]
enum FramingState {
    /// Before a start line, or what may become one: its first `seen` bytes hold no line end.
    Start { seen: usize },
    /// Inside a line that belongs to no message.
    Junk,
    /// In the header line that begins at `line`. No line end that could end it is before `seen`.
    Headers { line: usize, seen: usize, folded: bool, length: Length },
    /// In the body of a message of `total` bytes.
    Body { total: usize },
}

impl Default for FramingState {
    fn default() -> Self {
        FramingState::Start { seen: 0 }
    }
}

/// How far the buffer was searched in vain for a start line.
#[derive(Clone, Copy, Debug, Default)]
struct Searched {
    /// Beginning of the last line, which had no end.
    line: usize,
    end: usize,
}

impl Framer {
    /// Looks at `buf`, the bytes of the stream that were not removed yet.
    pub fn next(&mut self, buf: &[u8], limits: &FramingLimits) -> Framing {
        let found = self.look(buf, limits);
        if let Framing::Message(n)
        | Framing::Skip(n)
        | Framing::Junk(n)
        | Framing::TooLong(n)
        | Framing::HeadersTooLong(n) = found
        {
            self.searched.line = self.searched.line.saturating_sub(n);
            self.searched.end = self.searched.end.saturating_sub(n);
        }
        found
    }

    fn look(&mut self, buf: &[u8], limits: &FramingLimits) -> Framing {
        let header_limit = limits.headers.min(limits.message);
        let head = buf.get(..header_limit).unwrap_or(buf);
        if let FramingState::Junk = self.place {
            let line = memchr::memchr(b'\n', buf).map(|lf| lf + 1);
            scanned(line.unwrap_or(buf.len()));
            return match line {
                Some(end) => self.junk(end, FramingState::default()),
                None if buf.is_empty() => Framing::Need,
                None => self.junk(buf.len(), FramingState::Junk),
            };
        }
        if let FramingState::Start { seen } = self.place {
            if seen == 0 {
                let lead = buf.iter().take_while(|b| is_lws(**b) || **b == 0).count();
                if lead > 0 {
                    scanned(lead);
                    return Framing::Skip(lead);
                }
                if buf.is_empty() {
                    return Framing::Need;
                }
            }
            let line_end = memchr::memchr(b'\n', head.get(seen..).unwrap_or_default()).map(|lf| seen + lf);
            scanned(line_end.unwrap_or(head.len()).saturating_sub(seen));
            let Some(lf) = line_end else {
                return match could_begin_sip(head) {
                    false => {
                        self.place = FramingState::Junk;
                        self.look(buf, limits)
                    }
                    true if buf.len() < header_limit => self.wait(FramingState::Start { seen: buf.len() }),
                    true => self.headers_too_long(head, limits),
                };
            };
            if !is_start_line(buf.get(..lf).unwrap_or_default()) {
                return self.junk(lf + 1, FramingState::default());
            }
            self.place = FramingState::Headers { line: lf + 1, seen: lf + 1, folded: false, length: Length::Absent };
        }
        if let FramingState::Headers { line, seen, folded, length } = self.place {
            return match self.headers(head, line, seen, folded, length) {
                Some((body_at, length)) => self.complete(buf, body_at, length, limits),
                None if buf.len() < header_limit => Framing::Need,
                None => self.headers_too_long(head, limits),
            };
        }
        match self.place {
            FramingState::Body { total } if total <= buf.len() => self.message(total),
            _ => Framing::Need,
        }
    }

    /// Reads header lines as far as they are there, and keeps the place. Where the body begins and what was said of its
    /// length, when the empty line was reached.
    fn headers(
        &mut self,
        head: &[u8],
        mut line: usize,
        mut seen: usize,
        mut folded: bool,
        mut length: Length,
    ) -> Option<(usize, Length)> {
        // As `Lines` reads them, but able to stop and go on at any byte.
        while let Some(lf) = memchr::memchr(b'\n', head.get(seen..).unwrap_or_default()) {
            scanned(lf + 1);
            let end = seen + lf + 1;
            let bytes = head.get(line..end - 1).unwrap_or_default();
            let blank = !folded && trim(bytes).is_empty();
            if blank && matches!(bytes, b"" | b"\r") {
                return Some((end, length));
            }
            match head.get(end) {
                _ if blank => {}
                Some(b' ' | b'\t') => {
                    (seen, folded) = (end, true);
                    continue;
                }
                Some(_) => {
                    if let Some((name, value)) = split_header(bytes)
                        && long_name(name).eq_ignore_ascii_case(b"Content-Length")
                    {
                        length = length.and(value);
                    }
                }
                // Whether the line goes on shows in the next byte.
                None => {
                    self.place = FramingState::Headers { line, seen: end - 1, folded: true, length };
                    return None;
                }
            }
            (line, seen, folded) = (end, end, false);
        }
        scanned(head.len() - seen);
        self.place = FramingState::Headers { line, seen: head.len(), folded, length };
        None
    }

    fn complete(&mut self, buf: &[u8], body_at: usize, length: Length, limits: &FramingLimits) -> Framing {
        match length {
            Length::Absent => self.message(body_at),
            Length::Invalid => {
                let end = self.next_start(buf, body_at).unwrap_or(body_at);
                self.message(end)
            }
            Length::Declared(n) => match usize::try_from(n).ok().and_then(|n| body_at.checked_add(n)) {
                Some(total) if total <= limits.message && total <= buf.len() => self.message(total),
                Some(total) if total <= limits.message => self.wait(FramingState::Body { total }),
                _ => {
                    *self = Framer { searched: self.searched, ..Framer::default() };
                    Framing::TooLong(body_at)
                }
            },
        }
    }

    fn wait(&mut self, place: FramingState) -> Framing {
        self.place = place;
        Framing::Need
    }

    fn message(&mut self, length: usize) -> Framing {
        *self = Framer { searched: self.searched, ..Framer::default() };
        Framing::Message(length)
    }

    fn junk(&mut self, bytes: usize, place: FramingState) -> Framing {
        self.place = place;
        self.junk = self.junk.saturating_add(bytes);
        if self.junk > JUNK_MAX { Framing::NotSip } else { Framing::Junk(bytes) }
    }

    /// Drops a header block that has no end within its limit. Its empty line may have been lost: reading goes on at the last
    /// line of it that may begin a message. (At the first one, a block of nothing but start lines would be read again from each.)
    fn headers_too_long(&mut self, head: &[u8], limits: &FramingLimits) -> Framing {
        let mut rest = head;
        let mut start = None;
        while let Some(lf) = memchr::memrchr(b'\n', rest) {
            if opens_message(head, lf + 1) {
                start = Some(lf + 1);
                break;
            }
            rest = rest.get(..lf).unwrap_or_default();
        }
        scanned(head.len());
        let in_line = start.is_none() && head.last() != Some(&b'\n');
        let place = if in_line { FramingState::Junk } else { FramingState::default() };
        *self = Framer { place, junk: 0, searched: self.searched };
        let dropped = start.unwrap_or(head.len());
        if limits.headers <= limits.message { Framing::HeadersTooLong(dropped) } else { Framing::TooLong(dropped) }
    }

    /// The next line at or after `from` that may begin a message.
    fn next_start(&mut self, buf: &[u8], from: usize) -> Option<usize> {
        let mut at = from.max(self.searched.line);
        if self.searched.end == buf.len() {
            return None;
        }
        loop {
            if opens_message(buf, at) {
                return Some(at);
            }
            let lf = memchr::memchr(b'\n', buf.get(at..).unwrap_or_default());
            scanned(lf.unwrap_or(buf.len() - at.min(buf.len())));
            match lf {
                Some(lf) => at += lf + 1,
                None => {
                    self.searched = Searched { line: at, end: buf.len() };
                    return None;
                }
            }
        }
    }
}

/// Whether a message may begin with the line at `at`. Its end may be missing where the method alone decides.
fn opens_message(buf: &[u8], at: usize) -> bool {
    let line = buf.get(at..).unwrap_or_default();
    let blanks = line.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | 0)).count();
    let line = line.get(blanks..).unwrap_or_default();
    if matches!(line.first(), None | Some(b'\n')) {
        return false;
    }
    let whole = memchr::memchr(b'\n', line).and_then(|lf| line.get(..lf));
    whole.is_some_and(is_start_line) || looks_like_sip(line)
}

/// Whether a whole line is the start line of a message.
fn is_start_line(line: &[u8]) -> bool {
    let line = trim(line);
    could_begin_sip(line) && read_start_line(line, &mut Anomalies::default()).is_some()
}

/// Whether a payload opens like SIP: any token as the method of a request, or a status line.
/// Decided by the first line; line ends, zero bytes and white space may come before it.
pub fn looks_like_sip(bytes: &[u8]) -> bool {
    let lead = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n' | b' ' | b'\t' | 0)).count();
    let bytes = bytes.get(lead..).unwrap_or_default();
    if let Some(length) = version_prefix(bytes) {
        return bytes.get(length) == Some(&b' ');
    }
    // Anything longer is not looked at any further.
    let head = bytes.get(..bytes.len().min(WORD_MAX)).unwrap_or_default();
    let Some(space) = head.iter().position(|b| *b == b' ') else { return false };
    if !head.get(..space).is_some_and(is_token) {
        return false;
    }
    let after = head.get(space + 1..).unwrap_or_default();
    if METHODS.contains(&head.get(..space).unwrap_or_default())
        && [&b"sip:"[..], b"sips:", b"tel:"]
            .iter()
            .any(|s| after.get(..s.len()).is_some_and(|a| a.eq_ignore_ascii_case(s)))
    {
        return true;
    }
    match memchr::memchr(b'\n', bytes) {
        Some(at) => read_start_line(trim(bytes.get(..at).unwrap_or_default()), &mut Anomalies::default()).is_some(),
        None => false,
    }
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Absent,
    Declared(u64),
    Invalid,
}

impl Length {
    fn and(self, value: &[u8]) -> Length {
        let all_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        match (self, all_digits) {
            (Length::Invalid, _) | (_, false) => Length::Invalid,
            (Length::Absent, true) => Length::Declared(number(value).unwrap_or(u64::MAX)),
            (Length::Declared(n), true) => Length::Declared(n.min(number(value).unwrap_or(u64::MAX))),
        }
    }
}

/// Whether a line that may not have ended yet may be a start line; what is added to it never makes it one.
fn could_begin_sip(line: &[u8]) -> bool {
    let line = line.get(..WORD_MAX + 1).unwrap_or(line);
    let word = line.get(..line.iter().position(|b| is_lws(*b)).unwrap_or(line.len())).unwrap_or_default();
    match word.split_at_checked(4) {
        _ if word.len() > WORD_MAX => false,
        Some((protocol, version)) if protocol.eq_ignore_ascii_case(b"SIP/") => {
            version.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        }
        Some(_) => is_token(word),
        None => is_token(word) || b"SIP/".get(..word.len()).is_some_and(|p| p.eq_ignore_ascii_case(word)),
    }
}

#[cfg(test)]
mod tests;
