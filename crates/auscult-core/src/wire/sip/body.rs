//! Finding a body by its type: alone, or as a part of multipart bodies (RFC 2046, RFC 5621).

use super::BodyPart;
use super::anomaly::{Anomalies, Anomaly};
use super::bytes::{cut, param, trim};
use super::headers::{Lines, long_name, split_header};

const PARTS_MAX: usize = 16;
const DEPTH_MAX: usize = 2;
/// RFC 2046 section 5.1.1.
const BOUNDARY_MAX: usize = 70;

/// Media types with a meaning to SIP endpoints; others are noted, never refused.
const KNOWN_TYPES: [&[u8]; 10] = [
    SDP,
    b"application/dtmf-relay",
    b"application/dtmf",
    b"application/pidf+xml",
    VQ_REPORT,
    b"application/media_control+xml",
    b"application/simple-message-summary",
    b"message/sipfrag",
    b"text/plain",
    b"multipart/mixed",
];

pub(super) const SDP: &[u8] = b"application/sdp";
/// RFC 6035.
pub(super) const VQ_REPORT: &[u8] = b"application/vq-rtcpxr";

/// A body with its type, as RFC 2046 has it: that of a message, or one part of a multipart body.
#[derive(Clone, Copy)]
pub(super) struct Entity<'a> {
    pub content_type: Option<&'a [u8]>,
    pub body: &'a [u8],
    /// Bytes are missing at its end.
    pub cut_off: bool,
}

/// The first body of the type wanted.
pub(super) fn find<'a>(wanted: &[u8], entity: Entity<'a>, odd: &mut Anomalies) -> Option<BodyPart<'a>> {
    find_within(wanted, entity, 0, odd)
}

fn find_within<'a>(wanted: &[u8], entity: Entity<'a>, depth: usize, odd: &mut Anomalies) -> Option<BodyPart<'a>> {
    let Entity { content_type, body, cut_off } = entity;
    let (media_type, params) = match content_type {
        Some(value) => {
            let (media_type, params) = cut(value, b';');
            (trim(media_type), params)
        }
        // Without a type, a body that opens like SDP is SDP (RFC 2543 senders).
        None if body.starts_with(b"v=0") => (SDP, &b""[..]),
        None => return None,
    };
    if media_type.eq_ignore_ascii_case(wanted) {
        return Some(BodyPart { bytes: body, cut: cut_off });
    }
    let multipart = media_type.get(..10).is_some_and(|t| t.eq_ignore_ascii_case(b"multipart/"));
    if !multipart {
        if !body.is_empty() && !KNOWN_TYPES.iter().any(|t| t.eq_ignore_ascii_case(media_type)) {
            odd.set(Anomaly::UnknownContentType);
        }
        return None;
    }
    odd.set(Anomaly::Multipart);
    let boundary = param(params, "boundary").unwrap_or_default();
    if depth >= DEPTH_MAX || boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
        odd.set(Anomaly::MultipartSyntax);
        return None;
    }
    parts(body, boundary, odd).into_iter().find_map(|part| {
        let mut part_type = None;
        let mut body_at = part.len();
        for line in Lines::new(part) {
            if line.bytes.is_empty() {
                body_at = line.end;
                break;
            }
            if let Some((name, value)) = split_header(line.bytes)
                && long_name(name).eq_ignore_ascii_case(b"Content-Type")
            {
                part_type = Some(value);
            }
        }
        // Parts of other types are no oddity of the message.
        let mut own = Anomalies::default();
        let body = part.get(body_at..).unwrap_or_default();
        let entity = Entity { content_type: part_type, body, cut_off: false };
        let found = find_within(wanted, entity, depth + 1, &mut own);
        if own.has(Anomaly::MultipartSyntax) {
            odd.set(Anomaly::MultipartSyntax);
        }
        found
    })
}

/// Contents between delimiter lines, at most [`PARTS_MAX`].
fn parts<'a>(body: &'a [u8], boundary: &[u8], odd: &mut Anomalies) -> Vec<&'a [u8]> {
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(boundary);
    let mut found: Vec<&[u8]> = Vec::new();
    let mut start: Option<usize> = None;
    let mut closed = false;
    for at in memchr::memmem::find_iter(body, &delimiter) {
        let line_start = at == 0 || body.get(at - 1) == Some(&b'\n');
        let after = body.get(at + delimiter.len()..).unwrap_or_default();
        let closing = after.starts_with(b"--");
        if !line_start || !(closing || matches!(after.first(), None | Some(b'\r' | b'\n' | b' ' | b'\t'))) {
            continue;
        }
        if let Some(part) = start.and_then(|s| body.get(s..at)) {
            if found.len() == PARTS_MAX {
                odd.set(Anomaly::MultipartSyntax);
                break;
            }
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            found.push(part.strip_suffix(b"\r").unwrap_or(part));
        }
        if closing {
            closed = true;
            break;
        }
        let line_end = memchr::memchr(b'\n', after).map_or(after.len(), |lf| lf + 1);
        start = Some(at + delimiter.len() + line_end);
    }
    if !closed {
        odd.set(Anomaly::MultipartSyntax);
    }
    found
}
