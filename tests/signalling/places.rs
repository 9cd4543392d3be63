//! Places of a SIP message where a secret may stand, and messages with secrets at some of them.

/// Where the secret goes in a text of [`PLACES`].
pub const MARK: &str = "%S";

#[derive(Clone, Copy, Debug)]
pub enum Position {
    /// Lines among the headers.
    Header(&'static str),
    /// The Request-URI.
    Target(&'static str),
    /// Lines of the session description.
    Session(&'static str),
    /// Content-Type, and the whole body.
    Body(&'static str, &'static str),
    /// What follows the last header instead of an empty line.
    Unended(&'static str),
}

pub use Position::{Body, Header, Session, Target, Unended};

pub const PLACES: &[Position] = &[
    // Credentials.
    Header(
        "Authorization: Digest username=\"a\", realm=\"r\", nonce=\"%S\", uri=\"sip:h\", response=\"%S\", cnonce=\"%S\", opaque=\"%S\"",
    ),
    Header("Authorization: Digest username=\"a\", realm=\"r\", response=%S, auts=\"%S\", ik=\"%S\", ck=%S"),
    Header("Authorization: Digest realm=\"a\\\"b\", response=\"%S\""),
    Header("Authorization: Digest realm=\"a\\\\\", response=\"%S\""),
    Header("Authorization: Digest realm=\"a\\\",response=\"%S\""),
    Header("Authorization: Digest realm=\"a\\\", response=\\\"%S\\\"\""),
    Header("Authorization: Digest username=\"a\"; response=\"%S\"; realm=\"r\""),
    Header("Authorization: Digest username=\"a\" response=\"%S\" realm=\"r\""),
    Header("Authorization: Digest username=\"a, response=%S"),
    Header("Authorization: Digest username='a', response='%S'"),
    Header("Authorization: Digest username=\"a\",,response = \"%S\""),
    Header("Authorization:Digest\tresponse=\"%S\""),
    Header("Authorization: Digest x=\"%S\", username*=UTF-8''%S"),
    Header("Authorization: Digest username=\"a:%S\", realm=\"r\""),
    Header("Authorization: Digest uri=\"sip:a:%S@h\", realm=\"r\""),
    Header("Authorization: Digest uri=sip:a:%S@h?Authorization=%S, realm=\"r\""),
    Header("Authorization: Digest domain=\"sip:a:%S@h sip:h;token=%S\""),
    Header("Authorization: Basic %S"),
    Header("Authorization: Basic\r\n %S"),
    Header("Authorization: Bearer %S"),
    Header("Authorization: %S"),
    Header("Authorization: NTLM qop=\"auth\", gssapi-data=\"%S\", realm=\"r\""),
    Header("Authorization: Kerberos qop=\"auth\", gssapi-data=\"%S\""),
    Header("Authorization: TLS-DSK qop=\"auth\", opaque=\"%S\", crand=\"%S\", cnum=\"1\", response=\"%S\""),
    Header("Authorization: Token %S"),
    Header("Proxy-Authorization: Digest nonce=\"%S\", response=\"%S\""),
    Header("PROXY-AUTHORIZATION : Digest realm=\"x, response=%S"),
    Header("WWW-Authenticate: Digest realm=\"r\", nonce=\"%S\", opaque=\"%S\""),
    Header("WWW-Authenticate: Digest realm=\"r\", nonce=\"x\", Digest realm=\"s\", nonce=\"%S\""),
    Header("Proxy-Authenticate: Bearer authz_server=\"https://h/?k=%S\", error=\"%S\""),
    Header("Authentication-Info: nextnonce=\"%S\", qop=auth, rspauth=\"%S\", cnonce=\"%S\""),
    Header("Authentication-Info: NTLM rspauth=\"%S\", srand=\"%S\""),
    Header("Proxy-Authentication-Info: rspauth=%S"),
    Header("Identity: %S;info=<https://h/%S>;alg=ES256"),
    Header("Identity: eyJhbGciOiJFUzI1NiJ9.eyJhdHRlc3QiOiJBIn0.%S"),
    Header("Identity: \"%S\""),
    Header("y: ..%S"),
    Header("Identity-Info: <https://h/c?key=%S>;alg=rsa-sha1"),
    Header("Cookie: session=%S"),
    Header("Set-Cookie: %S; Path=/"),
    Header("P-OSP-Auth-Token: %S"),
    Header("P-Media-Authorization: %S"),
    // Headers of vendors.
    Header("X-Password: %S"),
    Header("X-Auth-Token: %S"),
    Header("X-FS-Support: update_display,token=%S"),
    Header("X-Twilio-Params: Pin=%S"),
    Header("x-ms-conf: %S"),
    Header("Ms-User-Data: ms-publiccloud=TRUE;token=%S"),
    Header("X-JWT: eyJhbGciOiJIUzI1NiJ9.%S.sig"),
    Header("Access-Token: access_token=%S"),
    Header("SAML: <saml:Assertion>%S</saml:Assertion>"),
    Header("User-to-User: %S;encoding=hex"),
    Header("Signal=%S"),
    Header("Signal=%S\r\nDuration=160"),
    Header("DTMF: %S"),
    Header("password %S"),
    Header("Passwörd: %S"),
    Header("Subject: the PIN is %S"),
    Header("s: %S"),
    Header("Organization: %S"),
    // Places and devices of people.
    Header("Geolocation: <sip:%S@h>;routing-allowed=yes"),
    Header("Geolocation-Routing: %S"),
    Header("P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=%S"),
    Header("Cellular-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=\"%S\""),
    Header("P-Charging-Function-Addresses: ccf=%S;ecf=\"%S\""),
    Header("P-Charging-Vector: icid-value=1;access-network-charging-info=%S"),
    Header("P-Visited-Network-ID: \"%S\""),
    Header("Contact: <sip:a@h>;+sip.instance=\"<urn:uuid:%S>\";reg-id=1"),
    Header("Contact: <sip:a@h;pn-provider=apns;pn-param=%S;pn-prid=%S>"),
    Header("Contact: <sip:a@h;gr=%S>;pub-gruu=\"sip:a@h;gr=%S\";temp-gruu=\"sip:%S@h;gr\""),
    Header("Contact: <sip:a@h;ob;token=%S>;token=%S"),
    Header("Contact: <sip:a@h;rinstance=%S>;+x.push=\"%S\";epid=%S"),
    Header("SIP-ETag: %S"),
    Header("SIP-If-Match: %S"),
    // URIs.
    Header("From: \"A\" <sip:a:%S@h>;tag=1"),
    Header("From: sip:a:%S@h;tag=1"),
    Header("From: <sip:a%3A%S@h>;tag=1"),
    Header("From: <sip:a;password=%S@h>;tag=1"),
    Header("From: <sip:a:x@%S@h>;tag=1"),
    Header("From: <sip:a:x?%S@h>;tag=1"),
    Header("From: <sip:a@h?Authorization=%S>;tag=1"),
    Header("From: \"sip:a:%S@h\" <sip:a@h>;tag=1"),
    Header("From: \"A password=%S\" <sip:a@h>;tag=1"),
    Header("From: \"A <sip:a:%S@h>;tag=1"),
    Header("From: A key: %S <sip:a@h>;tag=1"),
    Header("f: <sips:a:%S@h>;tag=1;x=%S"),
    Header("To: <sip:b:%S@h>"),
    Header("To: <sip:b;isub=%S;postd=%S@h>"),
    Header("To: <tel:+15555550100;isub=%S;postd=%S>"),
    Header("To: <tel:+15555550100;phone-context=x;token=%S>"),
    Header("To: <http://b:%S@h/?%S>"),
    Header("To: <mailto:%S@h>"),
    Header("To: <b:%S@h>"),
    Header("Contact: <sip:a:%S@h:5060;transport=tcp>;q=0.5, sip:c:%S@h;q=0.1"),
    Header("m: \"x\" <sip:a:%S@h"),
    Header("Route: <sip:a:%S@h;lr>, <sip:h;lr;key=%S>"),
    Header("Record-Route: <sip:h;lr;vsf=%S>"),
    Header("Path: <sip:h;lr?X=%S>"),
    Header("Service-Route: <sip:s:%S@h;lr>"),
    Header("P-Asserted-Identity: \"x: %S\" <sip:a:%S@h>"),
    Header("P-Preferred-Identity: <sip:a@h;token=%S>"),
    Header("Remote-Party-ID: <sip:a:%S@h>;party=calling;x=%S"),
    Header("Refer-To: <sip:c@h?Replaces=1&Authorization=Digest%20response%3D%S>"),
    Header("r: <sip:c@h?X-Token=%S&%S=1>"),
    Header("Referred-By: <sip:a:%S@h>;cid=\"%S@h\""),
    Header("Refer-To: <https://h/join?pwd=%S>"),
    Header("Diversion: <sip:a:%S@h>;reason=unconditional;x=\"%S\""),
    Header("History-Info: <sip:a@h?Reason=%S&Privacy=%S>;index=1;x=%S"),
    Header("Alert-Info: <http://h/r.wav?token=%S>;info=%S"),
    Header("Call-Info: <https://h/c?access_token=%S>;purpose=icon;m=%S"),
    Header("Error-Info: <sip:e:%S@h>"),
    Header("Reply-To: <sip:a:%S@h>"),
    Header("P-Asserted-Service: urn:uuid:%S"),
    Header("Info-Package: x;key=%S"),
    Header("Via: SIP/2.0/UDP h;branch=z9hG4bK2;token=%S"),
    Header("Via: SIP/2.0/UDP a:%S@h;branch=z9hG4bK2"),
    Header("v: SIP/2.0/UDP h (%S);branch=z9hG4bK2"),
    Header("Content-Type: multipart/mixed;boundary=\"%S\""),
    Header("Event: presence;token=%S"),
    Header("Subscription-State: active;token=%S"),
    Header("Retry-After: 5 (password %S)"),
    Header("Replaces: sip:a:%S@h;from-tag=1;to-tag=2;key=%S"),
    Header("Accept-Contact: *;+g.x=\"%S\""),
    Header("Feature-Caps: *;+g.3gpp.x=\"%S\""),
    // Free text.
    Header("User-Agent: Phone/1.0 (password=%S)"),
    Header("User-Agent: Phone sip:a:%S@h"),
    Header("Server: x\r\n Authorization: Digest response=%S"),
    Header("Reason: Q.850;cause=16;text=\"token=%S\";key=%S"),
    Header("Warning: 399 h \"password: %S\""),
    Header("Warning: 399 a:%S@h \"x\""),
    Header("Date: %S"),
    // Lines that only some receivers see.
    Header("User-Agent: x\rAuthorization: Digest response=%S"),
    Header("User-Agent: x\r Authorization: Digest response=%S"),
    Header("Supported: timer\rX-Key: %S"),
    Header("From: \"x\rAuthorization: Basic %S\" <sip:a@h>"),
    Header("Call-ID: y\rAuthorization: Bearer %S"),
    Header("CSeq: 1 INVITE\rProxy-Authorization: Bearer %S"),
    Header("Reason: SIP;cause=200\rCookie: %S"),
    Header("User-Agent: x\0Authorization: Digest response=%S"),
    Header("\0Authorization: Digest response=%S"),
    Header(" Authorization: Digest response=%S"),
    Header("Via: SIP/2.0/UDP h\r\n ;branch=z9hG4bK2\r\n ;key=%S"),
    // Start lines.
    Target("sip:a:%S@h"),
    Target("sips:a:%S@h;transport=tls"),
    Target("sip:a%3a%S@h"),
    Target("sip:a;password=%S@h"),
    Target("sip:b@h?Authorization=%S"),
    Target("sip:b@h;token=%S"),
    Target("https://h/%S"),
    Target("urn:uuid:%S"),
    Target("tel:+15555550100;isub=%S"),
    // Session descriptions.
    Session("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%S|2^20|1:32"),
    Session("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%S;inline:%S FEC_KEY=inline:%S"),
    Session("a=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE: %S"),
    Session("a=crypto:1\tAES_CM_128_HMAC_SHA1_80\tinline:%S"),
    Session("a = crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%S"),
    Session(" a=crypto :1 AES_CM_128_HMAC_SHA1_80 inline:%S"),
    Session("a= crypto: 1 AES_CM_128_HMAC_SHA1_80 inline:%S"),
    Session("A=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%S"),
    Session("a=Crypto:1 aes_cm inline:%S"),
    Session("a=crypto 1 AES_CM_128_HMAC_SHA1_80 inline:%S"),
    Session("a=crypto:%S"),
    Session("a=ptime:20\ra=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%S"),
    Session("a=ptime:20 inline:%S"),
    Session("a=cryptoscale:1 client AES_CM_128_HMAC_SHA1_80 inline:%S|2^31|1:1"),
    Session("a=x-crypto:1 inline:%S"),
    Session("a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%S"),
    Session("a=pcfg:1 a=%S"),
    Session("a=tcap:1 RTP/SAVP %S"),
    Session("a=key-mgmt:mikey %S"),
    Session("a=KEY-MGMT : mikey %S"),
    Session("a=3GE2AE:mikey %S"),
    Session("k=base64:%S"),
    Session("k=prompt:%S"),
    Session("a=ice-pwd:%S"),
    Session("a=ice-ufrag:%S"),
    Session("a=candidate:%S 1 %S UDP 0.830 192.0.2.1 50012"),
    Session("a=candidate:1 1 UDP 1 192.0.2.1 5 typ host ufrag %S pwd %S"),
    Session("a=candidate:1 1 UDP 1 192.0.2.1 5 typ host password=%S"),
    Session("a=candidate:1 1 UDP 1 192.0.2.1 5 %S"),
    Session("a=remote-candidate:%S"),
    Session("a=alt:1 1 : user %S 192.0.2.1 5"),
    Session("a=ssrc:1 cname:%S"),
    Session("a=ssrc:1 msid:%S %S"),
    Session("a=msid:- %S="),
    Session("a=identity:%S"),
    Session("a=tls-id:%S"),
    Session("a=dtls-message:client %S"),
    Session("a=path:msrp://a:%S@h:1/%S;tcp"),
    Session("a=accept-types:message/cpim x=%S"),
    Session("a=file-selector:name:\"%S\" type:x"),
    Session("a=fmtp:96 key=%S"),
    Session("a=fmtp:96 config=%S;sprop-parameter-sets=%S"),
    Session("a=fmtp:96 mode=20 password %S="),
    Session("a=extmap:1 http://h/?k=%S %S"),
    Session("a=tool:%S"),
    Session("a=label:x %S="),
    Session("i=%S"),
    Session("u=http://h/?pwd=%S"),
    Session("e=%S@h"),
    Session("p=%S"),
    Session("c=IN IP4 h %S"),
    Session("t=0 %S"),
    Session("b=X-KEY:%S"),
    Session("m=audio %S RTP/AVP 0"),
    Session("Signal=%S"),
    Session("Password: %S"),
    Session("%S"),
    Session("s=%S"),
    Session("o=%S 1 1 IN IP4 h"),
    Session("\r\n\r\nthe PIN is %S"),
    // Bodies.
    Body("application/sdp", "Signal=%S\r\nDuration=160\r\n"),
    Body("application/sdp", "{\"password\":\"%S\"}"),
    Body("application/sdp", "s=%S\r\no=%S\r\n"),
    Body("application/sdp", "v=0\rs=%S\ra=crypto:1 A_B inline:%S\r"),
    Body("application/dtmf-relay", "Signal=%S\r\nDuration=160\r\n"),
    Body("application/dtmf", "%S"),
    Body("text/plain", "the PIN is %S"),
    Body("application/pidf+xml", "<presence><ca:LOC>%S</ca:LOC></presence>"),
    Body("application/cpim-pidf+xml", "%S"),
    Body("message/sipfrag", "SIP/2.0 200 OK\r\nAuthorization: Digest response=\"%S\"\r\n"),
    Body("message/sip", "INVITE sip:a:%S@h SIP/2.0\r\nAuthorization: Basic %S\r\n\r\n"),
    Body("application/json", "{\"access_token\":\"%S\"}"),
    Body("application/isup", "\u{1}%S"),
    Body(
        "multipart/mixed;boundary=u",
        "--u\r\nContent-Type: application/sdp\r\n\r\nv=0\r\na=key-mgmt:mikey %S\r\n--u\r\nContent-Type: text/plain\r\n\r\n%S\r\n--u--\r\n",
    ),
    Body(
        "multipart/mixed;boundary=u",
        "%S\r\n--u\r\nContent-Type: application/sdp\r\nX-Key: %S\r\n\r\nv=0\r\nm=audio 1 RTP/AVP 0\r\n%S\r\n--u--\r\n%S",
    ),
    Unended("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%S\r\nk=clear:%S\r\n"),
    Unended("\r\rv=0\ra=ice-pwd:%S\r"),
    Unended("Signal=%S\r\n"),
    Unended("the PIN is %S\r\nPIN: %S\r\n"),
];

/// How the same message may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Usual,
    /// Line ends of LF alone.
    Lf,
    /// Line ends of CR alone after the start line and the Call-ID.
    Cr,
    /// Each header folded after its name.
    Folded,
    /// A response.
    Answer,
}

pub const STYLES: [Style; 5] = [Style::Usual, Style::Lf, Style::Cr, Style::Folded, Style::Answer];
pub const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REGISTER",
    "OPTIONS",
    "INFO",
    "PRACK",
    "UPDATE",
    "SUBSCRIBE",
    "NOTIFY",
    "REFER",
    "MESSAGE",
    "PUBLISH",
];

/// A message with the secret at all `places`.
pub fn compose(places: &[Position], secret: &str, method: &str, style: Style) -> Vec<u8> {
    let plant = |text: &str| text.replace(MARK, secret);
    let (mut target, mut content_type, mut body) = ("sip:b@192.0.2.2".to_owned(), "application/sdp", None);
    let (mut headers, mut session, mut end) = (String::new(), String::new(), "\r\n".to_owned());
    for place in places {
        match place {
            Header(lines) => headers.push_str(&format!("{}\r\n", plant(lines))),
            Target(uri) => target = plant(uri),
            Session(lines) => session.push_str(&format!("{}\r\n", plant(lines))),
            Body(of_type, text) => (content_type, body) = (of_type, Some(plant(text))),
            Unended(text) => end = plant(text),
        }
    }
    let body = body.unwrap_or_else(|| {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 96\r\n\
             a=rtpmap:0 PCMU/8000\r\n{session}"
        )
    });
    let first = match style {
        Style::Answer => "SIP/2.0 200 OK".to_owned(),
        _ => format!("{method} {target} SIP/2.0"),
    };
    let head = format!("{first}\r\nCall-ID: call@192.0.2.1\r\n");
    // What is planted comes first, so that it is what the records are made of.
    let rest = format!(
        "{headers}CSeq: 1 {method}\r\nFrom: \"Alice\" <sip:alice@192.0.2.1>;tag=f\r\nTo: <sip:bob@192.0.2.2>\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\nUser-Agent: Phone/1.0\r\nContent-Type: {content_type}\r\n"
    );
    let text = match style {
        Style::Usual | Style::Answer => format!("{head}{rest}{end}{body}"),
        Style::Lf => format!("{head}{rest}{end}{body}").replace("\r\n", "\n"),
        Style::Cr => {
            // The headers that a message is known by must be seen.
            let usual = format!("CSeq: 1 {method}\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\n");
            format!("{head}{usual}Subject: x\r{}", format!("{rest}{end}{body}").replace("\r\n", "\r"))
        }
        Style::Folded => {
            let folded: Vec<String> = rest.split("\r\n").map(|line| line.replacen(':', ":\r\n\t", 1)).collect();
            format!("{head}{}{end}{body}", folded.join("\r\n"))
        }
    };
    text.into_bytes()
}

/// The first piece of the secret that is in the text.
pub fn leaked<'s>(text: &str, secret: &'s str) -> Option<&'s str> {
    (0..secret.len().saturating_sub(7)).map(|at| &secret[at..at + 8]).find(|piece| text.contains(piece))
}
