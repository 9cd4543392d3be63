//! Numbers and names planted in every place of a message: what is stored where they are hidden.

use super::super::parse;
use super::*;
use crate::privacy::{KEY_BYTES, Key, Mask, Mode, PrivacySettings};

/// Header lines with a number `{n}` or a name `{a}`.
pub const PLACES: &[&str] = &[
    "From: \"{n}\" <sip:{n}@192.0.2.1;user=phone>;tag=t{n}",
    "From: {a} Smith <sip:{a}@example.com>",
    "f: \"{a} \\\" Smith\" <sip:+{n};phone-context=+{n}@example.com>",
    "To: <tel:+{n};ext={n};phone-context=+{n}>",
    "To: sip:{n}@example.com;tag=1",
    "To: <sip:{n}",
    "Contact: <sip:{n}@192.0.2.1:5060;transport=udp>;q=0.5, \"{a}\" <sips:{a}@example.com>;reg-id={n}",
    "Contact: <sip:{n}:5060;rn=+{n};tgrp={n};otg={n}>;{n}={n}",
    "m: {n} <sip:%3{first}{rest}@192.0.2.1>",
    "P-Asserted-Identity: \"{n}\" <sip:+{n}@example.com>, <tel:+{n}>",
    "P-Preferred-Identity: <sip:{n}@example.com;{n}>",
    "P-Called-Party-ID: <sip:{n}@example.com>",
    "P-Served-User: <sip:{n}@example.com>;sescase=orig",
    "P-Charging-Vector: icid-value={n};orig-ioi={n}.example.com",
    "Remote-Party-ID: {a} <sip:{n}@example.com>;party=calling",
    "Diversion: \"{a}\" <sip:{n}@example.com>;reason=unconditional;counter={n}",
    "History-Info: <sip:{n}@example.com?Reason=SIP>;index={n}",
    "Referred-By: <sip:{n}@example.com>",
    "Refer-To: <sip:{n}@example.com?Replaces={n}>",
    "Reply-To: <sip:{a}@example.com>",
    "Record-Route: <sip:{n}@192.0.2.1;lr;ftag={n}>",
    "Route: <sip:{n}.example.com;lr>",
    "Path: <sip:{n}@example.com;lr>",
    "Service-Route: <sip:{n}@example.com;lr>",
    "Via: SIP/2.0/UDP {n}.example.com:5060;branch=z9hG4bK{n};received={n};rport",
    "Via: SIP/2.0/TCP {n};branch=z9hG4bK-{dashed}",
    "Reason: SIP;cause=200;text=\"{n} answered\"",
    "Reason: {n};cause={n};text=\"call {spaced} now\"",
    "Warning: 399 {n}.example.com \"{n} or {dashed} is away\"",
    "User-Agent: phone {n}",
    "Server: {n}",
    "Call-ID: {n}@192.0.2.1",
    "Call-ID: {a}-call@example.com",
    "In-Reply-To: {n}@h",
    "Replaces: {n}@h;to-tag={n};from-tag=x{n}",
    "Join: {n};to-tag={n}",
    "Target-Dialog: {n};local-tag={n}",
    "Session-ID: {n};remote={n}",
    "Authorization: Digest username=\"{n}\", realm=\"{n}\", uri=\"sip:{n}@example.com\"",
    "Proxy-Authorization: Digest username=\"{n}@example.com\", realm=\"r\"",
    "Proxy-Authorization: Digest username={a}, realm={n}",
    "WWW-Authenticate: Digest realm=\"{n}\", {n}=1",
    "Identity: eyJhbGciOiJFUzI1NiJ9.{passport}.sig;info=<https://h/{n}>;alg=ES256",
    "Alert-Info: <sip:{n}@example.com>;appearance={n}",
    "Call-Info: <sip:{n}@example.com>;purpose=icon",
    "Error-Info: <sip:{n}@example.com>",
    "Event: dialog;id={n}",
    "Subscription-State: active;reason={n}",
    "Accept-Contact: {n}",
    "Supported: x{n}",
    "Retry-After: 5;duration={n}",
    "Privacy: {n}",
    "Date: {n}",
    "Timestamp: {n}",
    "Subject: {a} {n}",
    "Organization: {n}",
    "X-{n}: {n}",
    "X-Kept: \"{a}\" <sip:{a}@example.com>, sip:{n}@h;x={n}, tel:+{n}, {n}, {spaced}, id=\"{n}\", {a}@example.com",
    "X-Kept: sip:{a};{n}",
    "{n}",
    "P-Access-Network-Info: 3GPP;{n}={n}",
    "Content-Disposition: session;handling={n}",
];

pub const LINES: &[&str] = &[
    "o={n} {n} {n} IN IP4 192.0.2.1",
    "o=- {n} 1 IN IP4 {n}.example.com",
    "s={n} {a}",
    "i={n} {a}",
    "u=http://h/{n}",
    "e={a}@example.com ({n})",
    "p=+{n}",
    "c=IN IP4 {n}",
    "m=audio 4000 RTP/AVP {n}",
    "m={n} 4000 RTP/AVP 0",
    "a={n}:1",
    "a=mid:{n}",
    "a=label:x{n}",
    "a=fmtp:97 mode-set={n}",
    "a=fmtp:{n} {n}={n}",
    "a=rtpmap:97 {n}/8000",
    "a=ssrc:{n} cname:{n}",
    "a=ssrc:1 x{n}:{n}",
    "a=candidate:{n} 1 UDP 2130706431 {n}.example.com 4000 typ host raddr {n} x{n} {n}",
    "a=rtcp:4001 IN IP4 {n}",
    "a=extmap:1 sip:{n}@h",
    "a=group:BUNDLE {n}",
    "a=crypto:{n} AES_CM_128_HMAC_SHA1_80 inline:{n}",
    "a=T38FaxMaxBuffer:{n}",
    "a=x:{n}",
    "{n}",
];

const NUMBER: &str = "4917355501234";
const NAME: &str = "Zaphod";

fn fill(template: &str) -> String {
    // {"orig":{"tn":"4917355501234"},"dest":{"tn":["4917355501234"]},"origid":"4917355501234"}
    const PASSPORT: &str = "eyJvcmlnIjp7InRuIjoiNDkxNzM1NTUwMTIzNCJ9LCJkZXN0Ijp7InRuIjpbIjQ5MTczNTU1MDEyMzQiXX0sIm9yaWdpZCI6IjQ5MTczNTU1MDEyMzQifQ";
    template
        .replace("{n}", NUMBER)
        .replace("{a}", NAME)
        .replace("{first}", &NUMBER[..1])
        .replace("{rest}", &NUMBER[1..])
        .replace("{dashed}", "491-7355-501-234")
        .replace("{spaced}", "49 173 555 01 234")
        .replace("{passport}", PASSPORT)
}

/// What stays of the number when the marks between its digits are gone, and of the name.
fn shows(text: &str) -> bool {
    let digits: String = text.chars().filter(|c| !"+- ().".contains(*c)).collect();
    let lower = text.to_lowercase();
    digits.contains(NUMBER) || digits.contains(&NUMBER[2..9]) || digits.contains(&NUMBER[5..]) || lower.contains("zaphod")
}

fn stored(privacy: &Privacy, header: &str, line: &str, start: &str) -> String {
    let body = format!("v=0\r\n{line}\r\n");
    let message = format!(
        "{start}\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\n{header}\r\nContent-Type: application/sdp\r\n\r\n{body}"
    );
    let keep = ["X-Kept".to_owned(), "Contact".to_owned()];
    let message = parse(message.as_bytes()).expect("parses");
    let (headers, sdp) = sanitise_as(&message, Storing { keep: &keep, privacy, ..Storing::USUAL });
    format!("{headers}\n{sdp}")
}

fn privacy(mode: Mode) -> Privacy {
    let keys = vec![Key::new([9; KEY_BYTES])];
    let settings = PrivacySettings { mode, mask: Mask::default(), keys, emergency_numbers: vec!["112".to_owned()] };
    Privacy::new(settings).expect("has a key")
}

#[test]
fn no_place_of_a_message_shows_a_number_where_they_are_hidden() {
    let widest = PrivacySettings {
        mode: Mode::Masked,
        mask: Mask { prefix: 2, last: 2 },
        keys: vec![Key::new([9; KEY_BYTES])],
        emergency_numbers: Vec::new(),
    };
    let modes = [privacy(Mode::Masked), privacy(Mode::Pseudonym), Privacy::new(widest).expect("has a key")];
    let starts = ["INVITE sip:b@h SIP/2.0", "SIP/2.0 486 {n} {a}", "INVITE sip:{n}@h;x={n} SIP/2.0", "INVITE tel:+{n} SIP/2.0", "{n} sip:b@h SIP/2.0"];
    let mut shown_in_clear = 0;
    let mut check = |header: &str, line: &str, start: &str| {
        let (header, line, start) = (fill(header), fill(line), fill(start));
        // The reason phrase has no form by which a name could be told from other words.
        let start = if start.starts_with("SIP") { start.replace(NAME, "") } else { start };
        shown_in_clear += usize::from(shows(&stored(&Privacy::clear(), &header, &line, &start)));
        for privacy in &modes {
            let text = stored(privacy, &header, &line, &start);
            assert!(!shows(&text), "{:?}:\n{header}\n{line}\n{start}\nis stored as\n{text}", privacy.mode());
        }
    };
    for header in PLACES {
        check(header, "s=-", starts[0]);
    }
    for line in LINES {
        check("X: y", line, starts[0]);
    }
    for start in starts {
        check("X: y", "s=-", start);
    }
    // So that it can fail: in clear most of the places show it.
    assert!(shown_in_clear > 60, "{shown_in_clear}");
}

#[test]
fn what_is_hidden_reads_well() {
    let masked = privacy(Mode::Masked);
    let text = stored(
        &masked,
        "From: \"Zaphod\" <sip:+4917355501234@192.0.2.1;user=phone>;tag=9f\r\nP-Asserted-Identity: <tel:+4917355501234>\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
        "c=IN IP4 192.0.2.1/127",
        "INVITE sip:112@h.example SIP/2.0",
    );
    assert!(text.starts_with("INVITE sip:112@h.example SIP/2.0\n"), "{text}");
    assert!(text.contains("From: \"***\" <sip:+4917***34@192.0.2.1;user=phone>;tag=9f\n"), "{text}");
    assert!(text.contains("P-Asserted-Identity: <tel:+4917***34>\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\n"), "{text}");
    assert!(text.contains("c=IN IP4 192.0.2.1/127\n"), "{text}");
}

#[test]
fn a_message_that_was_cut_shows_no_half_of_a_user() {
    let masked = privacy(Mode::Masked);
    let text = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\nContact: <sip:zaphod.beeble";
    let of = |privacy| {
        let storing = Storing { privacy, cut_short: true, ..Storing::USUAL };
        parse(text.as_bytes()).map(|message| sanitise_as(&message, storing).0)
    };
    let (clear, hidden) = (of(&Privacy::clear()), of(&masked));
    assert!(clear.is_ok_and(|text| text.contains("zaphod")));
    assert!(hidden.is_ok_and(|text| !text.contains("zaphod") && text.contains("To: ")));
}

#[test]
fn bodies_are_left_out_where_only_headers_are_kept() {
    let message = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n";
    let message = parse(message.as_bytes()).expect("parses");
    let (headers, sdp) = sanitise_as(&message, Storing { bodies: false, ..Storing::USUAL });
    assert!(headers.contains("application/sdp") && sdp.is_empty());
}
