//! Numbers and names planted in every place that can carry one, over every transport: for tests of what is stored of people.

use crate::frame::{self, Lower, Segment};
use crate::pcap::Frame;
use crate::scene::{Rtp, Scene};
use crate::world::START;
use std::net::SocketAddr;

const MS: i64 = 1_000_000;
const LOWER: Lower = Lower { id: 7, ttl: 64, dscp: 0, vlan: None };

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

/// A template with its number and name. The digits of the number stay together but in `{dashed}`, `{spaced}` and `{passport}`.
pub fn fill(template: &str, number: &str, name: &str) -> String {
    let (first, rest) = number.split_at(1);
    let pieces = |separator: &str| {
        number.as_bytes().chunks(3).map(|p| String::from_utf8_lossy(p).into_owned()).collect::<Vec<_>>().join(separator)
    };
    let claims = format!(r#"{{"orig":{{"tn":"{number}"}},"dest":{{"tn":["{number}"]}},"origid":"{number}"}}"#);
    template
        .replace("{n}", number)
        .replace("{a}", name)
        .replace("{first}", first)
        .replace("{rest}", rest)
        .replace("{dashed}", &pieces("-"))
        .replace("{spaced}", &pieces(" "))
        .replace("{passport}", &base64url(claims.as_bytes()))
}

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            text.push(char::from(DIGITS[(word >> (18 - 6 * position)) as usize & 63]));
        }
    }
    text
}

/// A number or name, and where it was put.
#[derive(Clone, Debug)]
pub struct Planted {
    pub place: String,
    /// As it would be found in a text.
    pub text: String,
    pub is_name: bool,
}

/// A capture full of numbers.
#[derive(Debug, Default)]
pub struct Numbers {
    pub frames: Vec<Frame>,
    pub planted: Vec<Planted>,
    /// Caller, callee and Call-ID of a call that was answered, over UDP.
    pub call: [String; 3],
    at_ms: i64,
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl Numbers {
    /// Eleven seconds of calls: one for each place of a message, answered ones over UDP, TCP, WebSocket and through a tunnel, and
    /// RTCP and voice quality reports.
    pub fn new() -> Numbers {
        let mut all = Numbers::default();
        for place in PLACES {
            all.attempt(place, "s=-");
        }
        for line in LINES {
            all.attempt("X: y", line);
        }
        for start in ["SIP/2.0 486 {n} is busy", "SIP/2.0 603 Decline {spaced}"] {
            all.refused(start);
        }
        for way in [Way::Udp, Way::Tcp, Way::WebSocket, Way::Vxlan] {
            all.answered(way);
        }
        all.frames.sort_by_key(|frame| frame.at);
        all
    }

    /// Where a text shows what was planted.
    pub fn shown_by(&self, text: &str) -> Vec<&str> {
        self.planted
            .iter()
            .filter(|planted| text.contains(&planted.text))
            .map(|planted| planted.place.as_str())
            .collect()
    }

    fn number(&mut self, place: &str) -> String {
        let n = self.planted.len() as u64;
        let number = format!("49{}", 17_355_500_000 + n * 7_919_771);
        self.planted.push(Planted { place: place.to_owned(), text: number[2..].to_owned(), is_name: false });
        number
    }

    fn name(&mut self, place: &str) -> String {
        let n = self.planted.len();
        let letters: String = [n / 676, n / 26, n].map(|n| char::from(b'a' + (n % 26) as u8)).iter().collect();
        let name = format!("zaphodq{letters}");
        self.planted.push(Planted { place: format!("{place} (name)"), text: name.clone(), is_name: true });
        name
    }

    fn udp(&mut self, src: &str, dst: &str, payload: &[u8]) {
        let bytes = frame::udp(address(src), address(dst), LOWER, payload);
        self.push(bytes);
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.at_ms += 7;
        self.frames.push(Frame { at: START + self.at_ms * MS, wire_len: bytes.len() as u32, bytes });
    }

    /// An INVITE with a planted line, refused.
    fn attempt(&mut self, header: &str, line: &str) {
        let place = if header == "X: y" { line } else { header };
        let (number, name) = (self.number(place), self.name(place));
        let id = self.planted.len();
        let (header, line) = (fill(header, &number, &name), fill(line, &number, &name));
        let body = format!("v=0\r\n{line}\r\n");
        let message = |start: &str| {
            format!(
                "{start}\r\nCall-ID: attempt-{id}@h\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa{id}\r\nCSeq: 1 INVITE\r\n\
                 From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n{header}\r\nContent-Type: application/sdp\r\n\r\n{body}"
            )
        };
        self.udp("192.0.2.1:5060", "192.0.2.2:5060", message("INVITE sip:b@h SIP/2.0").as_bytes());
        self.udp("192.0.2.2:5060", "192.0.2.1:5060", message("SIP/2.0 486 Busy Here").as_bytes());
    }

    fn refused(&mut self, start: &str) {
        let number = self.number(start);
        let id = self.planted.len();
        let start = fill(start, &number, "");
        let message = |start: &str| {
            format!(
                "{start}\r\nCall-ID: refused-{id}@h\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKr{id}\r\nCSeq: 1 INVITE\r\n\
                 From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\r\n"
            )
        };
        self.udp("192.0.2.1:5060", "192.0.2.2:5060", message("INVITE sip:b@h SIP/2.0").as_bytes());
        self.udp("192.0.2.2:5060", "192.0.2.1:5060", message(&start).as_bytes());
    }

    /// An answered call with media, reports and a release.
    fn answered(&mut self, way: Way) {
        let place = |what: &str| format!("{what} over {way:?}");
        let [from, to, target, contact, asserted, reason, agent, codec] =
            ["From", "To", "Request-URI", "Contact", "P-Asserted-Identity", "Reason", "User-Agent", "codec"]
                .map(|what| self.number(&place(what)));
        let call_id = format!("{}@192.0.2.1", self.number(&place("Call-ID")));
        let (caller_name, callee_name) = (self.name(&place("From")), self.name(&place("To")));
        if way == Way::Udp {
            self.call = [from.clone(), to.clone(), call_id.clone()];
        }
        let media = 20_000 + 4 * self.planted.len() as u16;
        let body = |ip: &str| {
            format!(
                "v=0\r\no={from} 1 1 IN IP4 {ip}\r\ns={from}\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {media} RTP/AVP 97\r\n\
                 a=rtpmap:97 {codec}/8000\r\n"
            )
        };
        let message = |start: &str, cseq: &str, to_tag: &str, body: &str| {
            let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
            format!(
                "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{}{media}\r\n\
                 From: \"{caller_name}\" <sip:+{from}@192.0.2.1;user=phone>;tag=f{media}\r\n\
                 To: {callee_name} <sip:+{to}@192.0.2.2;user=phone>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
                 Contact: <sip:{contact}@192.0.2.1>\r\nP-Asserted-Identity: <tel:+{asserted}>\r\nUser-Agent: phone {agent}\r\n\
                 Reason: Q.850;cause=16;text=\"{reason} hung up\"\r\n{content}Content-Length: {}\r\n\r\n{body}",
                cseq.replace(' ', ""),
                body.len()
            )
            .into_bytes()
        };
        let (uri, tag) = (format!("sip:{target}@192.0.2.2 SIP/2.0"), format!(";tag=t{media}"));
        let mut line = Line::new(way);
        line.up(self, &message(&format!("INVITE {uri}"), "1 INVITE", "", &body("192.0.2.1")));
        line.down(self, &message("SIP/2.0 180 Ringing", "1 INVITE", &tag, ""));
        line.down(self, &message("SIP/2.0 200 OK", "1 INVITE", &tag, &body("192.0.2.2")));
        line.up(self, &message(&format!("ACK {uri}"), "1 ACK", &tag, ""));
        self.media(&place(""), media, &call_id);
        line.down(self, &message("BYE sip:a@192.0.2.1 SIP/2.0", "2 BYE", &tag, ""));
        line.up(self, &message("SIP/2.0 200 OK", "2 BYE", &tag, ""));
    }

    /// RTP both ways, RTCP with a description of its source, and a voice quality report.
    fn media(&mut self, place: &str, port: u16, call_id: &str) {
        let end = |host: u8, port: u16| SocketAddr::from(([192, 0, 2, host], port));
        let stream = Rtp { payload_type: 97, ..Rtp::pcmu(self.at_ms, end(1, port), end(2, port), u32::from(port), 60) };
        self.frames.extend(Scene::new().both_ways(stream).frames());
        self.at_ms += 1_300;
        let mut report = vec![0x80, 200, 0, 6];
        report.extend(u32::from(port).to_be_bytes());
        report.extend([0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0x25, 0x80]);
        let mut chunk = u32::from(port).to_be_bytes().to_vec();
        // CNAME, NAME, EMAIL, PHONE, LOC, TOOL, NOTE.
        for kind in 1..=7 {
            let text = format!("{}@h", self.number(&format!("SDES item {kind}{place}")));
            chunk.extend([kind, text.len() as u8]);
            chunk.extend(text.as_bytes());
        }
        chunk.push(0);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        report.extend([0x81, 202]);
        report.extend((chunk.len() as u16 / 4).to_be_bytes());
        report.extend(chunk);
        let reason = format!("left {}", self.number(&format!("reason of an RTCP BYE{place}")));
        let mut bye = u32::from(port).to_be_bytes().to_vec();
        bye.push(reason.len() as u8);
        bye.extend(reason.as_bytes());
        bye.resize(bye.len().next_multiple_of(4), 0);
        report.extend([0x81, 203]);
        report.extend((bye.len() as u16 / 4).to_be_bytes());
        report.extend(bye);
        let rtcp = frame::udp(end(1, port + 1), end(2, port + 1), LOWER, &report);
        self.push(rtcp);
        let [local, remote, orig, device, codec, dialog] =
            ["LocalID", "RemoteID", "OrigID", "LocalGroup", "QoEEstAlg", "DialogID"]
                .map(|key| self.number(&format!("{key} of a voice quality report{place}")));
        let body = format!(
            "VQSessionReport: CallTerm\r\nCallID: {call_id}\r\nLocalID: \"{local}\" <sip:{local}@h>\r\nRemoteID: <sip:{remote}@h>\r\n\
             OrigID: <sip:{orig}@h>\r\nLocalGroup: {device}\r\nDialogID: {dialog}@h;to-tag={dialog}\r\n\
             LocalAddr: IP=192.0.2.2 PORT={port} SSRC=0x99\r\nRemoteAddr: IP=192.0.2.1 PORT={port} SSRC={port:#x}\r\nLocalMetrics:\r\n\
             SessionDesc: PD=x{codec} FMTP=\"{codec}\"\r\nPacketLoss: NLR=5.0 JDR=2.5\r\nQualityEst: MOSLQ=4.1 QoEEstAlg={codec}\r\n"
        );
        let publish = format!(
            "PUBLISH sip:{local}@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKp{port}\r\nFrom: <sip:{local}@h>;tag=f\r\nTo: <sip:c@h>\r\n\
             Call-ID: publish-{port}\r\nCSeq: 1 PUBLISH\r\nContent-Type: application/vq-rtcpxr\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.udp("192.0.2.2:5060", "192.0.2.9:5060", publish.as_bytes());
    }
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
    WebSocket,
    Vxlan,
}

/// Both directions of a connection, or of datagrams.
struct Line {
    way: Way,
    /// Next sequence numbers.
    seq: [u32; 2],
}

impl Line {
    fn new(way: Way) -> Line {
        Line { way, seq: [0; 2] }
    }

    fn up(&mut self, to: &mut Numbers, message: &[u8]) {
        self.send(to, 0, message);
    }

    fn down(&mut self, to: &mut Numbers, message: &[u8]) {
        self.send(to, 1, message);
    }

    fn send(&mut self, to: &mut Numbers, direction: usize, message: &[u8]) {
        let port = if self.way == Way::WebSocket { 8_080 } else { 5_060 };
        let ends = [SocketAddr::from(([192, 0, 2, 1], 50_000)), SocketAddr::from(([192, 0, 2, 2], port))];
        let (src, dst) = (ends[direction], ends[1 - direction]);
        match self.way {
            Way::Udp => to.push(frame::udp(src, dst, LOWER, message)),
            Way::Vxlan => {
                let inner = frame::udp(src, dst, LOWER, message);
                let outer = [&[8, 0, 0, 0, 0, 0, 42, 0], &inner[..]].concat();
                to.udp("198.51.100.1:55000", "198.51.100.2:4789", &outer);
            }
            Way::Tcp => self.segment(to, (src, dst), direction, message),
            Way::WebSocket => {
                let hello: [&[u8]; 2] = [
                    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                ];
                if self.seq[direction] == 0 {
                    self.segment(to, (src, dst), direction, hello[direction]);
                }
                let mut framed = vec![0x81, if direction == 0 { 0xfe } else { 126 }];
                framed.extend((message.len() as u16).to_be_bytes());
                let mask = if direction == 0 { [0xde, 0xad, 0xbe, 0xef] } else { [0; 4] };
                framed.extend(mask.iter().take(if direction == 0 { 4 } else { 0 }));
                framed.extend(message.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
                self.segment(to, (src, dst), direction, &framed);
            }
        }
    }

    fn segment(&mut self, to: &mut Numbers, (src, dst): (SocketAddr, SocketAddr), direction: usize, payload: &[u8]) {
        let seq = &mut self.seq[direction];
        if *seq == 0 {
            *seq = 1_000;
            to.push(frame::tcp(src, dst, LOWER, Segment { seq: *seq - 1, ack: 1, flags: 0x02 }, &[]));
        }
        to.push(frame::tcp(src, dst, LOWER, Segment { seq: *seq, ack: 1, flags: 0x18 }, payload));
        *seq += payload.len() as u32;
    }
}
