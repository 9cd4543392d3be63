//! Telling SIP from other traffic, and cutting messages out of a TCP stream (RFC 3261 section 18.3).

use super::METHODS;
use super::anomaly::Anomalies;
use super::bytes::{is_token, number, trim};
use super::headers::{Lines, long_name, split_header};
use super::start::{read_start_line, version_prefix};

/// What the front of a stream buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// More bytes are needed to tell.
    Need,
    /// One message of this length.
    Message(usize),
    /// Keep-alives, or junk before the next start line.
    Skip(usize),
    /// A message, or a block of headers, above the limit: this much is to be dropped.
    TooLong(usize),
    /// Nothing here is SIP.
    NotSip,
}

/// Whether a payload opens like SIP: any token as the method of a request, or a status line.
/// Decided by the first line; line ends, zero bytes and white space may come before it.
pub fn looks_like_sip(bytes: &[u8]) -> bool {
    let lead = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n' | b' ' | b'\t' | 0)).count();
    let bytes = bytes.get(lead..).unwrap_or_default();
    if let Some(length) = version_prefix(bytes) {
        return bytes.get(length) == Some(&b' ');
    }
    // No method is longer than this; anything else is not looked at any further.
    let head = bytes.get(..bytes.len().min(64)).unwrap_or_default();
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

/// Looks at the front of a TCP stream. Without Content-Length a message has no body; where Content-Length is
/// no number, the message ends before the next start line. `limit` is the largest message accepted, in bytes.
pub fn frame_len(buf: &[u8], limit: usize) -> Framing {
    let lead = buf.iter().take_while(|b| matches!(b, b'\r' | b'\n' | 0)).count();
    if lead > 0 {
        return Framing::Skip(lead);
    }
    if buf.is_empty() {
        return Framing::Need;
    }
    let Some(first_lf) = memchr::memchr(b'\n', buf) else {
        return match could_begin_sip(buf) {
            true if buf.len() < limit => Framing::Need,
            true => Framing::TooLong(buf.len()),
            false => Framing::NotSip,
        };
    };
    let first_line = trim(buf.get(..first_lf).unwrap_or_default());
    if read_start_line(first_line, &mut Anomalies::default()).is_none() {
        return next_start(buf, first_lf + 1).map_or(Framing::NotSip, Framing::Skip);
    }
    let after = buf.get(first_lf + 1..).unwrap_or_default();
    let mut length = Length::Absent;
    for line in Lines::new(after) {
        if line.bytes.is_empty() && line.terminated {
            return complete(buf, first_lf + 1 + line.end, length, limit);
        }
        if let Some((name, value)) = split_header(line.bytes)
            && long_name(name).eq_ignore_ascii_case(b"Content-Length")
        {
            length = length.and(value);
        }
    }
    if buf.len() < limit {
        return Framing::Need;
    }
    Framing::TooLong(next_start(buf, first_lf + 1).unwrap_or(buf.len()))
}

#[derive(Clone, Copy)]
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

fn complete(buf: &[u8], body_at: usize, length: Length, limit: usize) -> Framing {
    match length {
        Length::Absent => Framing::Message(body_at),
        Length::Invalid => Framing::Message(next_start(buf, body_at).unwrap_or(body_at)),
        Length::Declared(n) => match usize::try_from(n).ok().and_then(|n| body_at.checked_add(n)) {
            Some(total) if total <= limit && total <= buf.len() => Framing::Message(total),
            Some(total) if total <= limit => Framing::Need,
            _ => Framing::TooLong(body_at),
        },
    }
}

/// The next place at or after `from` where a line opens like SIP.
fn next_start(buf: &[u8], from: usize) -> Option<usize> {
    let opens = |at: usize| {
        buf.get(at..)
            .is_some_and(|b| !matches!(b.first(), None | Some(b'\r' | b'\n' | b' ' | b'\t' | 0)) && looks_like_sip(b))
    };
    if opens(from) {
        return Some(from);
    }
    memchr::memchr_iter(b'\n', buf.get(from..)?).map(|lf| from + lf + 1).find(|at| opens(*at))
}

/// Whether a line that has not ended yet may become a start line.
fn could_begin_sip(line: &[u8]) -> bool {
    let version = b"SIP/2.0 ";
    if line.iter().zip(version).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
        return true;
    }
    match line.iter().position(|b| *b == b' ') {
        Some(space) => space <= 64 && line.get(..space).is_some_and(is_token),
        None => line.len() <= 64 && is_token(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nl: 4\r\n\r\nv=0\n";

    #[test]
    fn messages_are_cut_at_their_length() {
        for at in 0..MESSAGE.len() {
            assert_eq!(frame_len(&MESSAGE.as_bytes()[..at], 1000), Framing::Need, "prefix of {at}");
        }
        let two = format!("{MESSAGE}\r\n\r\n{MESSAGE}");
        assert_eq!(frame_len(two.as_bytes(), 1000), Framing::Message(MESSAGE.len()));
        assert_eq!(frame_len(&two.as_bytes()[MESSAGE.len()..], 1000), Framing::Skip(4));
    }

    #[test]
    fn lengths_that_are_none() {
        let with = |length: &str| MESSAGE.replace("l: 4", length);
        let headers = |length: &str| with(length).find("v=0").unwrap_or_default();
        for (length, expect) in [
            ("X: 4", Framing::Message(headers("X: 4"))),
            ("l: -1", Framing::Message(headers("l: -1"))),
            ("l: 1073741824", Framing::TooLong(headers("l: 1073741824"))),
            ("l: 99999999999999999999999", Framing::TooLong(headers("l: 99999999999999999999999"))),
            ("l: 4\r\nl: 3", Framing::Message(headers("l: 4\r\nl: 3") + 3)),
        ] {
            assert_eq!(frame_len(with(length).as_bytes(), 1000), expect, "{length}");
        }
        let invalid_then_next = format!("{}{MESSAGE}", with("l: x"));
        assert_eq!(frame_len(invalid_then_next.as_bytes(), 1000), Framing::Message(with("l: x").len()));
    }

    #[test]
    fn junk_is_skipped_to_the_next_start_line() {
        assert_eq!(frame_len(b"rest of a body\r\nINVITE sip:b@h SIP/2.0\r\n", 1000), Framing::Skip(16));
        assert_eq!(frame_len(b"\x16\x03\x01\x02\x00\x01", 1000), Framing::NotSip);
        assert_eq!(frame_len(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1000), Framing::NotSip);
        assert_eq!(frame_len("a".repeat(65).as_bytes(), 1000), Framing::NotSip);
        let endless = format!("INVITE sip:b@h SIP/2.0\r\n{}", "X: y\r\n".repeat(100));
        assert_eq!(frame_len(endless.as_bytes(), 600), Framing::TooLong(endless.len()));
    }

    #[test]
    fn what_opens_like_sip() {
        for yes in [
            "INVITE sip:b@h SIP/2.0\r\n",
            "\r\n\r\nSIP/2.0 200 OK",
            "sip/2.0 100 \r\n",
            "RE%47 soap.beep://x SIP/2.0\n",
            "INVITE sip:no-version",
            "OPTIONS <sip:a@h> SIP/7.0\r\n",
        ] {
            assert!(looks_like_sip(yes.as_bytes()), "{yes}");
        }
        for no in ["", "GET / HTTP/1.1\r\n", "\0\0\0\0", "SIP/2.0", "HTTP/1.1 200 OK\r\n", "M-SEARCH * HTTP/1.1\r\n"] {
            assert!(!looks_like_sip(no.as_bytes()), "{no}");
        }
    }
}
