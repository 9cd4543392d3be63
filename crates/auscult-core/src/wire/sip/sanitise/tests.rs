//! Values as they come out, one by one, and what passes as it was. Secrets planted everywhere are in `tests/secrets.rs`.

use super::super::parse;
use super::*;

const HEAD: &str = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\n";

/// The stored text of the lines after the head.
fn stored(lines: &str) -> String {
    let (headers, _) = sanitise(&parse(format!("{HEAD}{lines}\r\n\r\n").as_bytes()).expect("parses"));
    headers.lines().skip(5).collect::<Vec<_>>().join("\n")
}

fn session(lines: &str) -> String {
    let message = format!("{HEAD}Content-Type: application/sdp\r\n\r\n{lines}");
    sanitise(&parse(message.as_bytes()).expect("parses")).1
}

#[track_caller]
fn table(cases: &[(&str, &str)], of: impl Fn(&str) -> String) {
    for (sent, expect) in cases {
        assert_eq!(of(sent), *expect, "{sent:?}");
    }
}

#[test]
fn what_is_read_in_operation_stays_as_it_was() {
    for line in [
        "Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK-1;rport=5061;received=192.0.2.1",
        "From: \"Alice Example\" <sip:+15555550100@192.0.2.1;user=phone>;tag=76341",
        "t: <sips:bob@example.com:5061;transport=tcp;lr>;tag=a6c85cf",
        "Contact: <sip:alice@192.0.2.1:5060;transport=udp>;q=0.5;expires=3600, *",
        "P-Asserted-Identity: \"Bob\" <sip:+15555550101@example.net>, <tel:+1-555-555-0101;phone-context=example.com>",
        "Diversion: <sip:+15555550102@192.0.2.9>;reason=unconditional;counter=1;privacy=off",
        "CSeq: 31862 INVITE",
        "RAck: 776656 1 INVITE",
        "User-Agent: Asterisk PBX 18.4.0 (x86_64)",
        "Server: kamailio (5.6.1 (x86_64/linux))",
        "Reason: Q.850;cause=16;text=\"Normal call clearing\", SIP;cause=200",
        "Warning: 304 192.0.2.1 \"Incompatible media format\"",
        "Allow: INVITE, ACK, BYE, CANCEL",
        "Supported: 100rel, timer, X-vendor",
        "Session-Expires: 1800;refresher=uac",
        "Retry-After: 120;duration=60",
        "Date: Sat, 13 Nov 2010 23:29:00 GMT",
        "Event: dialog;id=7",
        "Subscription-State: terminated;reason=noresource",
        "P-Charging-Vector: icid-value=\"a1b2-c3\";orig-ioi=example.net",
        "Alert-Info: <urn:alert:service:call-waiting>",
        "Privacy: id;user",
        "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000",
        "Replaces: 98732@example.com;from-tag=r33th4x0r;to-tag=ff87ff",
        "Content-Type: application/sdp",
        "Accept: application/sdp;q=0.5, text/plain",
    ] {
        assert_eq!(stored(line), line);
    }
    let lines = "v=0\r\no=- 20518 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nb=AS:64\r\nt=0 0\r\n\
        a=group:BUNDLE audio\r\nm=audio 49170 UDP/TLS/RTP/SAVPF 111 8 101\r\na=rtpmap:111 opus/48000/2\r\n\
        a=fmtp:111 minptime=10;useinbandfec=1\r\na=fmtp:101 0-16\r\na=fmtp:97 mode-set=0,2,4,7;octet-align=1\r\na=ptime:20\r\na=sendrecv\r\na=rtcp:53020 IN IP6 2001:db8::1\r\n\
        a=rtcp-fb:111 transport-cc\r\na=rtcp-xr:rcvr-rtt=all:10 voip-metrics\r\na=setup:actpass\r\na=fingerprint:sha-256 19:E2:1C\r\n\
        a=candidate:1 1 UDP 2130706431 192.0.2.1 53000 typ srflx raddr 10.0.1.1 rport 8998 generation 0\r\n\
        a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";
    assert_eq!(session(lines), lines.replace('\r', ""));
}

#[test]
fn start_lines() {
    let first = |line: &str| String::from_utf8_lossy(&start_line(line.as_bytes(), &Hiding::new(&CLEAR))).into_owned();
    table(
        &[
            ("INVITE sip:a:secret@h;transport=tcp SIP/2.0", "INVITE sip:a:***@h;transport=tcp SIP/2.0"),
            ("OPTIONS sip:h:5060 SIP/2.0", "OPTIONS sip:h:5060 SIP/2.0"),
            ("INVITE urn:service:sos.fire SIP/2.0", "INVITE urn:service:sos.fire SIP/2.0"),
            ("INVITE urn:uuid:0-secret SIP/2.0", "INVITE urn:*** SIP/2.0"),
            ("INVITE http://h/secret SIP/2.0", "INVITE http:*** SIP/2.0"),
            ("SIP/2.0 486 Busy here", "SIP/2.0 486 Busy here"),
            ("SIP/2.0 200 ", "SIP/2.0 200"),
            ("SIP/2.0 403 Password=secret", "SIP/2.0 403 Password=***"),
            ("nonsense", "***"),
        ],
        first,
    );
}

#[test]
fn uris_lose_passwords_and_headers() {
    let of = |uri: &str| {
        let hiding = Hiding::new(&CLEAR);
        let mut out = Built::new(&hiding);
        uri::push(&mut out, uri.as_bytes());
        String::from_utf8(out.to_vec()).expect("text")
    };
    table(
        &[
            ("sip:u:secret@h", "sip:u:***@h"),
            ("sip:u%3Asecret@h", "sip:u:***@h"),
            ("sip:u:se@cr@h:5060;lr", "sip:u:***@h:5060;lr"),
            ("sip:u:se?cr@h", "sip:u:***@h"),
            ("sip:u:se;cr@h", "sip:u:***@h"),
            ("sip:u;password=secret@h", "sip:u;password=***@h"),
            ("sip:u;isub=1;phone-context=+1@h", "sip:u;isub=***;phone-context=+1@h"),
            ("sip:+15555550100,,1234@h", "sip:+15555550100***@h"),
            ("sip:h;gr=secret;token=secret;ob;lr=on", "sip:h;gr=***;token=***;ob;lr=on"),
            ("sip:a@h?Replaces=x%40y&Authorization=secret&secret=x", "sip:a@h?Replaces=***&Authorization=***&***"),
            ("SIPS:a@[2001:db8::1]", "SIPS:a@[2001:db8::1]"),
            ("tel:+1-555-555-0100;isub=1;ext=7", "tel:+1-555-555-0100;isub=***;ext=7"),
            ("tel:+15555550100p1234", "tel:+15555550100***"),
            ("a:secret@h", "a:***"),
            ("sip:a@h ost", "sip:a@***"),
            ("sip:a:1234?se@h", "sip:a:***@h"),
        ],
        of,
    );
}

#[test]
fn headers_keep_their_names() {
    table(
        &[
            ("X-Password: secret", "X-Password: ***"),
            ("Cookie: a=secret", "Cookie: ***"),
            ("Subject: secret", "Subject: ***"),
            ("s: secret", "s: ***"),
            ("Geolocation: <sip:secret@h>", "Geolocation: ***"),
            (
                "P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=secret",
                "P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=***",
            ),
            (
                "Contact: <sip:a@h>;+sip.instance=\"<urn:uuid:secret>\";reg-id=1",
                "Contact: <sip:a@h>;+sip.instance=***;reg-id=1",
            ),
            ("From: \"A, B\" <sip:a:secret@h;x>;tag=1;y=secret;z", "From: \"A, B\" <sip:a:***@h;x>;tag=1;y=***;z"),
            ("From: \"A <sip:a:secret@h>;tag=1", "From: ***"),
            ("From: A key=secret <sip:a@h>", "From: A key=*** <sip:a@h>"),
            ("Refer-To: <sip:c@h?Authorization=secret>", "Refer-To: <sip:c@h?Authorization=***>"),
            ("Call-Info: <http://h/?token=secret>;purpose=icon", "Call-Info: <http:***>;purpose=icon"),
            ("User-Agent: Phone/1 token: secret", "User-Agent: Phone/1 token:***"),
            ("Via: SIP / 2.0 / UDP h : 5060 ;branch=x;token=secret", "Via: SIP/2.0/UDP h:5060;branch=x;token=***"),
            ("Content-Type: multipart/mixed;boundary=secret", "Content-Type: multipart/mixed;boundary=***"),
            ("Retry-After: 18000;duration=3600 (secret)", "Retry-After: 18000;duration=***"),
            ("User-Agent: a\r X-Key: secret", "User-Agent: a ***"),
            (
                "User-Agent: a\rAuthorization: Digest response=\"secret\"",
                "User-Agent: a\nAuthorization: Digest response=***",
            ),
            ("no colon secret", "***"),
            ("Signal=5\r\nDuration=160", "***"),
            ("Empty:", "Empty:"),
        ],
        stored,
    );
}

#[test]
fn credentials_by_grammar() {
    table(
        &[
            (
                "Authorization: Digest username=\"a\", realm=\"r, s\", nonce=\"secret\",\r\n response = \"secret\", uri=\"sip:b:secret@h\", cnonce=secret, qop=auth, nc=00000001",
                "Authorization: Digest username=\"a\", realm=\"r, s\", nonce=***, response=***, uri=\"sip:b:***@h\", cnonce=***, qop=auth, nc=00000001",
            ),
            ("Proxy-Authorization: Bearer secret", "Proxy-Authorization: Bearer ***"),
            ("Authorization: secret", "Authorization: ***"),
            ("Authorization: Digest", "Authorization: Digest"),
            ("Authentication-Info: nextnonce=\"secret\", qop=auth", "Authentication-Info: nextnonce=***, qop=auth"),
            ("WWW-Authenticate: Digest realm=\"x, response=secret", "WWW-Authenticate: Digest ***"),
            (
                "WWW-Authenticate: Digest realm=\"a\\\", response=\\\"secret\\\"\"",
                "WWW-Authenticate: Digest realm=\"a\\\", response=***\"",
            ),
            ("Authorization: Digest realm=\"a\\\",response=\"secret\"", "Authorization: Digest ***"),
            ("Authorization: Digest username=\"a\"; response=\"secret\"", "Authorization: Digest ***"),
            ("Authorization: Digest username=a response=secret", "Authorization: Digest ***"),
            (
                "WWW-Authenticate: Digest realm=\"a\", ik=\"secret\", ck=secret, auts=\"secret\"",
                "WWW-Authenticate: Digest realm=\"a\", ik=***, ck=***, auts=***",
            ),
        ],
        stored,
    );
}

#[test]
fn claims_of_a_passport_and_not_its_signature() {
    // {"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://example.com/cert?key=secret"}
    let header = "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9leGFtcGxlLmNvbS9jZXJ0P2tleT1zZWNyZXQifQ";
    // {"attest":"A","dest":{"tn":["15555550101"]},"iat":1443208345,"orig":{"tn":"15555550100"},"origid":"123e4567","rcd":{"nam":"secret"}}
    let claims = "eyJhdHRlc3QiOiJBIiwiZGVzdCI6eyJ0biI6WyIxNTU1NTU1MDEwMSJdfSwiaWF0IjoxNDQzMjA4MzQ1LCJvcmlnIjp7InRuIjoiMTU1NTU1NTAxMDAifSwib3JpZ2lkIjoiMTIzZTQ1NjciLCJyY2QiOnsibmFtIjoic2VjcmV0In19";
    assert_eq!(
        stored(&format!(
            "Identity: {header}.{claims}.secret;info=<https://example.com/secret>;alg=ES256;ppt=\"shaken\""
        )),
        "Identity: {\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"}.{\"attest\":\"A\",\"dest\":{\"tn\":[\"15555550101\"]},\
         \"iat\":1443208345,\"orig\":{\"tn\":\"15555550100\"},\"origid\":\"123e4567\"}.***;info=***;alg=ES256;ppt=\"shaken\""
    );
    assert_eq!(stored("Identity: ..secret;info=<x>"), "Identity: ..***;info=***");
    assert_eq!(stored("y: \"secret\""), "y: ***");
    assert_eq!(stored("Identity: secret.secret.secret"), "Identity: ***.***.***");
}

#[test]
fn session_descriptions() {
    table(
        &[
            (
                "v=0\no=alice 1 2 IN IP4 h\ns=Board meeting\ni=secret\nu=secret\ne=secret\np=secret\n",
                "v=0\no=*** 1 2 IN IP4 h\ns=***\ni=***\nu=***\ne=***\np=***\n",
            ),
            ("k=clear:secret\n", "k=***\n"),
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret|2^20|1:32 KDR=1 FEC_KEY=inline:secret\n",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:*** KDR=1 ***\n",
            ),
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline: secret\n",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:*** ***\n",
            ),
            ("a = crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\n", "***\n"),
            (
                "v=0\ra=crypto:1 A_B inline:secret\ra=ice-pwd:secret\r",
                "v=0\na=crypto:1 A_B inline:***\na=ice-pwd:***\n",
            ),
            ("a=cryptoscale:1 client AES_CM_128_HMAC_SHA1_80 inline:secret|2^31|1:1\n", "a=cryptoscale:***\n"),
            (
                "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\na=x-crypto:secret\na=key-mgmt:mikey secret\n",
                "a=acap:***\na=x-crypto:***\na=key-mgmt:***\n",
            ),
            (
                "a=ice-ufrag:secret\na=ssrc:42 cname:secret\na=msid:secret secret\n",
                "a=ice-ufrag:***\na=ssrc:42 cname:***\na=msid:***\n",
            ),
            (
                "a=candidate:1 1 udp 1 192.0.2.1 5 typ host ufrag secret pwd secret\n",
                "a=candidate:1 1 udp 1 192.0.2.1 5 typ host ufrag *** pwd ***\n",
            ),
            (
                "a=candidate:secret 1 secret UDP 0.830 192.0.2.1 50012\n",
                "a=candidate:*** 1 *** UDP 0.830 192.0.2.1 50012\n",
            ),
            ("a=fmtp:97 mode=30; x-key=secret;config=secret\n", "a=fmtp:97 mode=30;x-key=***;config=***\n"),
            (
                "v=0\nm=audio 4 RTP/AVP 0\ns=secret\nPassword: secret\nSignal=5\nDuration=160\n",
                "v=0\nm=audio 4 RTP/AVP 0\n***\n",
            ),
            ("Signal=5\nDuration=160\n", "***\n"),
        ],
        session,
    );
}

#[test]
fn texts_of_records() {
    const CLEAR: &Privacy = &Privacy::clear();
    let (call_id, phrase) = (|b: &[u8]| call_id_text(b, 512, CLEAR), |b: &[u8]| phrase_text(b, 512, CLEAR));
    let (reason, fmtp) = (|b: &[u8]| reason_value(b, 512, CLEAR), |b: &[u8]| fmtp_text(b, 512, CLEAR));
    let method = |b: &[u8]| method_text(b, CLEAR);
    assert_eq!(call_id(b"x\rAuthorization: Bearer secret"), "x ***");
    assert_eq!(call_id(b"a=b==;c@[2001:db8::1]"), "a=b==;c@[2001:db8::1]");
    assert_eq!(phrase(b"Phone\rAuthorization: secret"), "Phone");
    assert_eq!(reason(b"Q.850 ;cause=16 ;text=\"Normal\"\rX: secret"), "Q.850;cause=16;text=\"Normal\"");
    assert_eq!(method(b"INVITE\rAuthorization: secret"), "INVITE");
    assert_eq!(fmtp(b"annexb=no; key=secret"), "annexb=no;key=***");
    let party = |value: &str| party_text(&NameAddr::parse(value.as_bytes()), 512, CLEAR);
    for (value, uri, user) in [
        ("<sip:a:secret@h:5060;x=secret>", "a@h", "a"),
        ("<sip:a;isub=secret;phone-context=x@h>", "a;isub=***;phone-context=x@h", "a"),
        ("<tel:+15555550100;isub=secret>", "+15555550100;isub=***", "+15555550100"),
        ("<sip:[2001:db8::1]>", "[2001:db8::1]", ""),
        ("<https://h/secret>", "https:***", ""),
        ("<urn:service:sos>", "urn:service:sos", ""),
        ("sip:a:se;cret@h;tag=1", "***", ""),
    ] {
        let party = party(value);
        assert_eq!((party.uri.as_str(), party.user.as_str()), (uri, user), "{value}");
    }
}

#[test]
fn sizes_are_capped_and_control_characters_are_shown() {
    let message = format!("{HEAD}User-Agent: \x1b[2Jx\r\nContact: {}\r\n\r\n", "<sip:a@h>,".repeat(8_000));
    let (headers, _) = sanitise(&parse(message.as_bytes()).expect("parses"));
    assert!(headers.len() <= HEADERS_TEXT_MAX && headers.len() > HEADERS_TEXT_MAX - 16);
    assert!(headers.contains("User-Agent: \u{241b}[2Jx\n"));
    let message = format!("{HEAD}Content-Type: text/plain\r\n\r\nPIN 1234");
    assert_eq!(sanitise(&parse(message.as_bytes()).expect("parses")).1, "");
}

#[test]
fn an_operator_may_keep_headers_that_are_no_credentials() {
    let message = format!("{HEAD}x-carrier-trace: a=1; b=2\r\nX-Other: secret\r\nAuthorization: Bearer secret\r\n\r\n");
    let keep = ["X-Carrier-Trace", "authorization"].map(str::to_owned);
    let (headers, _) =
        sanitise_as(&parse(message.as_bytes()).expect("parses"), Storing { keep: &keep, ..Storing::USUAL });
    assert!(headers.ends_with("x-carrier-trace: a=1; b=2\nX-Other: ***\nAuthorization: Bearer ***\n"), "{headers}");
    assert_eq!(may_keep("X-Carrier-Trace"), Ok(()));
    for name in ["Authorization", "COOKIE", "identity", "y", "Proxy-Authenticate", "X Carrier", "", "1a", "a:b"] {
        assert!(may_keep(name).is_err(), "{name}");
    }
}

#[test]
fn stored_text_of_earlier_versions_is_read_again() {
    let old = "INVITE sip:a:secret@h SIP/2.0\nFrom: \"x\u{240d}Authorization: Digest response=secret\" <sip:a@h>\nX-Key: secret\n";
    let (headers, sdp) = sanitise_stored(old, "v=0\na=cryptoscale:secret\u{240d}a=x-crypto:secret\n", &[]);
    assert_eq!(headers, "INVITE sip:a:***@h SIP/2.0\nFrom: ***\nAuthorization: Digest ***\nX-Key: ***\n");
    assert_eq!(sdp, "v=0\na=cryptoscale:***\na=x-crypto:***\n");
    assert_eq!(sanitise_stored("", "", &[]), (String::new(), String::new()));
}

/// The table of `docs/security.md` is made of the lists; print it with `AUSCULT_PRINT_ALLOW_LIST`.
#[test]
fn the_documented_allow_list_is_the_one_in_use() {
    let rows = allow_list().into_iter().map(|r| format!("| {} | {} | {} |\n", r.place, r.name, r.stored));
    let table: String = rows.collect();
    let documented = include_str!("../../../../../../docs/security.md");
    assert!(documented.contains(&table), "docs/security.md must have this table:\n{table}");
}

#[test]
fn tables_are_sorted_and_have_each_name_once() {
    assert!(lists::HEADERS.is_sorted_by(|a, b| a.0 < b.0));
    assert!(sdp::ATTRIBUTES.is_sorted_by(|a, b| a.0 < b.0));
    assert!(sdp::FMTP_PARAMS.is_sorted_by(|a, b| a < b));
}
