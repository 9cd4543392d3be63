//! Unit tests of the scanner; the torture messages of RFC 4475 and RFC 5118 are in `tests/signalling.rs`.

use super::*;

const INVITE: &str = "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP i;branch=z9hG4bK2\r\n\
    From: \"A\" <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\nContent-Type: application/sdp\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n";

fn s(b: &[u8]) -> &str {
    std::str::from_utf8(b).expect("text")
}

#[test]
fn a_plain_request() {
    let m = parse(INVITE.as_bytes()).expect("parses");
    assert_eq!(m.start(), StartLine::Request { method: b"INVITE", uri: b"sip:b@example.com" });
    assert_eq!((s(m.call_id()), m.status(), s(m.method())), ("c1", None, "INVITE"));
    assert_eq!(m.cseq(), Some(CSeq { number: Some(7), method: b"INVITE" }));
    assert_eq!((m.via_branch(), m.via_count()), (Some(&b"z9hG4bK1"[..]), 2));
    assert_eq!(m.from().map(|f| (s(f.display), s(f.user), s(f.tag))), Some(("A", "a", "f")));
    assert_eq!(m.sdp(), Some(BodyPart { bytes: b"v=0\r\n", cut: false }));
    assert!(m.anomalies().is_empty(), "{:?}", m.anomalies());
}

#[test]
fn compact_names_folds_and_bare_line_feeds_say_the_same() {
    let lf = INVITE.replace("\r\n", "\n");
    let compact = INVITE
        .replace("Call-ID: c1", "i \t:\r\n c1")
        .replace("Content-Length", "L")
        .replace("From", "f")
        .replace("CSeq: 7 INVITE", "CSEQ:7\r\n\tINVITE");
    for text in [&lf, &compact, &format!("\r\n\r\n{INVITE}"), &format!("\0\0{INVITE}")] {
        let m = parse(text.as_bytes()).expect("parses");
        assert_eq!((s(m.call_id()), m.cseq().and_then(|c| c.number)), ("c1", Some(7)), "{text}");
        assert_eq!(m.sdp().map(|b| b.bytes.len() >= 4), Some(true), "{text}");
    }
}

#[test]
fn values_of_a_header_by_either_name() {
    let m = parse(b"INVITE sip:b@h SIP/2.0\r\ni: x\r\nv: one\r\nVIA: two\r\n three\r\n\r\n").expect("parses");
    let values: Vec<_> = m.header("Via").map(|v| s(&v).to_owned()).collect();
    assert_eq!(values, ["one", "two three"]);
}

#[test]
fn refusals_say_why() {
    for (text, error) in [
        ("", SipError::Empty),
        ("\r\n\r\n", SipError::KeepAlive),
        ("\0", SipError::KeepAlive),
        ("GET / HTTP/1.1\r\n\r\n", SipError::NotSip),
        ("INVITE sip:b@h\r\n\r\n", SipError::StartLine),
        ("SIP/2.0 20 OK\r\nCall-ID: x\r\n\r\n", SipError::StartLine),
        ("INVITE sip:b@h SIP/2.0\rCall-ID: x\r\r", SipError::StartLine),
        ("INVITE sip:b@h SIP/2.0\r\n\r\n", SipError::Missing("Call-ID")),
        ("INVITE sip:b@h SIP/2.0\r\nCall-ID:\r\n\r\n", SipError::Missing("Call-ID")),
        ("INVITE sip:b@h SIP/2.0\r\nCall-ID: ab", SipError::Incomplete),
        ("INVITE sip:b@h", SipError::Incomplete),
    ] {
        assert_eq!(parse(text.as_bytes()).err(), Some(error), "{text:?}");
    }
}

#[test]
fn junk_before_the_start_line_is_stepped_over() {
    let m = parse(b"jaK\x01\r\nSIP/2.0 200 OK\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n").expect("parses");
    assert_eq!(m.status(), Some(200));
    assert!(m.anomalies().has(Anomaly::JunkBeforeStart));
}

#[test]
fn the_body_is_what_is_there_and_what_is_declared() {
    let body = |length: &str, after: &str| {
        let text = format!("INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nContent-Length: {length}\r\n\r\n{after}");
        let m = parse(text.as_bytes()).expect("parses");
        let odd = m.anomalies().iter().map(Anomaly::name).filter(|n| n.contains("length") || n.contains("trailing"));
        format!("{} {}", s(m.body()), odd.collect::<Vec<_>>().join("+"))
    };
    assert_eq!(body("3", "abc"), "abc ");
    assert_eq!(body("9", "abc"), "abc content_length_gt_datagram");
    assert_eq!(body("4294967298", "abc"), "abc content_length_gt_datagram");
    assert_eq!(body("-1", "abc"), "abc content_length_invalid");
    assert_eq!(body("2", "abc"), "ab content_length_lt_body");
    assert_eq!(body("0", INVITE), " trailing_octets");
    assert_eq!(body("3\r\nl: 2", "abc"), "ab duplicate_content_length+content_length_lt_body");
}

#[test]
fn sdp_is_found_among_parts() {
    let text = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nContent-Type: multipart/mixed; boundary=\"u\"\r\n\r\n\
        preamble\r\n--u\r\nContent-Type: application/isup\r\n\r\n\x00\x01--u\r\n--u\r\n\
        Content-Type: multipart/alternative;boundary=w\r\n\r\n--w\r\nc: Application/SDP\r\n\r\nv=0\r\n--w--\r\n--u--\r\n";
    let m = parse(text.as_bytes()).expect("parses");
    assert_eq!(m.sdp(), Some(BodyPart { bytes: b"v=0", cut: false }));
    assert!(m.anomalies().has(Anomaly::Multipart) && !m.anomalies().has(Anomaly::MultipartSyntax));
}

#[test]
fn numbers_out_of_range_are_unknown_not_wrapped() {
    let m = parse(b"SIP/2.0 4294967496 OK\r\nCall-ID: x\r\nCSeq: 4294967296 INVITE\r\n\r\n").expect("parses");
    assert_eq!((m.status(), m.cseq().and_then(|c| c.number)), (None, None));
    assert!(m.anomalies().has(Anomaly::StatusCodeRange) && m.anomalies().has(Anomaly::ScalarOverflow));
}
