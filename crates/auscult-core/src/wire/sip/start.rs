//! The start line: request or status line, and stepping over what comes before it.

use super::anomaly::{Anomalies, Anomaly};
use super::bytes::{is_lws, is_token, number, trim};
use super::{SipError, StartLine, looks_like_sip};

/// How far a start line may be preceded by bytes that are not part of the message.
const JUNK_MAX: usize = 512;

/// Start line, the bytes after it, its meaning, and whether the version is 2.0.
pub(super) type Start<'a> = (&'a [u8], &'a [u8], StartLine<'a>, bool);

pub(super) fn start_line<'a>(bytes: &'a [u8], odd: &mut Anomalies) -> Result<Start<'a>, SipError> {
    if let Ok(start) = start_line_at(bytes, odd) {
        return Ok(start);
    }
    // Junk of a few lines may come first; a start line further on is then the message.
    let window = bytes.get(..JUNK_MAX.min(bytes.len())).unwrap_or(bytes);
    for at in memchr::memchr_iter(b'\n', window) {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        if rest.first().is_some_and(|b| !is_lws(*b) && *b != 0)
            && looks_like_sip(rest)
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

pub(super) fn read_start_line<'a>(line: &'a [u8], odd: &mut Anomalies) -> Option<(StartLine<'a>, bool)> {
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
pub(super) fn version_prefix(s: &[u8]) -> Option<usize> {
    let rest = s.get(4..).filter(|_| s.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"SIP/")))?;
    let major = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let minor = rest.get(major + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    (major > 0 && minor > 0 && rest.get(major) == Some(&b'.')).then_some(4 + major + 1 + minor)
}
