//! Messages with a secret in a known place: what is stored of them never holds it.

use crate::script::Script;
use auscult_core::wire::sip;

const SECRET: &str = "Sx9Kq7Zw";

/// Header lines and SDP lines with a secret; `{S}` is the secret, `{n}` what the script puts around it.
const HEADERS: &[&str] = &[
    "Authorization: Digest username=\"a\", realm=\"r\", response=\"{S}\"",
    "Authorization: Digest username=\"a\",nonce=\"{S}\", cnonce=\"{S}\", opaque=\"{S}\"",
    "Proxy-Authorization: Bearer {S}",
    "Proxy-Authorization: Basic {S}",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"{S}\", qop=\"auth\"",
    "Authentication-Info: nextnonce=\"{S}\", qop=auth",
    "PROXY-AUTHENTICATE:Digest realm=\"r, nonce={S}",
    "Authorization: Digest username=\"a\"; response=\"{S}\"",
    "Authorization: Digest realm=\"\\\"\", response=\"{S}\"",
    "Authorization: Digest auts=\"{S}\", ik=\"{S}\", ck=\"{S}\"",
    "Contact: <sip:a:{S}@h>",
    "Refer-To: <sip:b@h?Authorization={S}>",
    "Cookie: session={S}",
    "X-Auth-Token: {S}",
    "X-Note: a\rAuthorization: Bearer {S}",
    "P-Asserted-Identity: \"x\" <sips:a:{S}@h;user=phone>",
    "Identity: {S}.{S}.{S};info=<https://h/{S}>;alg=ES256",
];

const LINES: &[&str] = &[
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{S}|2^20",
    "k=clear:{S}",
    "a=ice-pwd:{S}",
    "a=key-mgmt:mikey {S}",
    "A=CRYPTO:1 X inline:{S}",
    "a=cryptoscale:1 client AES_CM_128_HMAC_SHA1_80 inline:{S}|2^31",
    "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{S}",
    "a=x-crypto:{S}",
    "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host password {S}",
    "a=ice-ufrag:{S}",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80\tinline: {S}",
];

pub fn secrets(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (header, line, how) = (script.byte(), script.byte(), script.byte());
    let noise = |bytes: &[u8]| -> String {
        // Line ends would move the secret to another header, where it may be no secret.
        let shown = String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ");
        shown.replace(SECRET, "")
    };
    let (before, after) = (noise(script.take(24)), noise(script.take(24)));
    let pick = |list: &[&str], at: u8| list[usize::from(at) % list.len()].replace("{S}", SECRET);
    let header = pick(HEADERS, header);
    let line = pick(LINES, line);
    let eol = if how & 1 == 0 { "\r\n" } else { "\n" };
    let extra = format!("Subject: {before}{eol}{header}{eol}X-Note: {after}");
    let body = format!("v=0{eol}o=- 1 1 IN IP4 192.0.2.1{eol}s={before}{eol}{line}{eol}a=x:{after}{eol}");
    let message = format!(
        "INVITE sip:b@h SIP/2.0{eol}Via: SIP/2.0/UDP h;branch=z9hG4bK1{eol}From: <sip:a@h>;tag=1{eol}To: <sip:b@h>{eol}\
         Call-ID: x{eol}CSeq: 1 INVITE{eol}{extra}{eol}Content-Type: application/sdp{eol}Content-Length: {}{eol}{eol}{body}",
        body.len()
    );
    let Ok(message) = sip::parse(message.as_bytes()) else { return };
    let (headers, sdp) = sip::sanitise(&message);
    assert!(!headers.contains(SECRET) && !sdp.contains(SECRET), "stored:\n{headers}\n{sdp}");
}
