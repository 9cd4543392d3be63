//! Messages of any length made to be dear: each repeats what a reader might go over more than once.

/// What is repeated, and what stands around it.
#[derive(Clone, Copy)]
pub struct Fill {
    pub name: &'static str,
    before: &'static str,
    unit: &'static str,
    after: &'static str,
}

impl Fill {
    /// As many units as make `bytes` bytes.
    fn text(&self, bytes: usize) -> String {
        let units = bytes.div_ceil(self.unit.len());
        [self.before, &self.unit.repeat(units), self.after].concat()
    }
}

const fn fill(name: &'static str, before: &'static str, unit: &'static str, after: &'static str) -> Fill {
    Fill { name, before, unit, after }
}

/// What stands in the header block, before the header fields that a message needs.
pub const HEADERS: &[Fill] = &[
    fill("folds", "X: a", "\r\n ", "\r\n"),
    fill("folded_text", "X: a", "\r\n a", "\r\n"),
    fill("folded_via", "Via: SIP/2.0/UDP h", "\r\n ,", "\r\n"),
    fill("folded_contact", "Contact: <sip:a@h>", "\r\n ;", "\r\n"),
    fill("folded_length", "Content-Length: 0", "\r\n ", "\r\n"),
    fill("folded_authorization", "Authorization: Digest a=\"b\"", "\r\n ,a=b", "\r\n"),
    fill("header_lines", "", "a:b\r\n", ""),
    fill("bare_lines", "", "a\n", ""),
    fill("colon_lines", "", ":\r\n", ""),
    fill("blank_lines", "", " \r\n", ""),
    fill("colons", "X: ", ":", "\r\n"),
    fill("commas", "Via: ", ",", "\r\n"),
    fill("quotes", "Via: ", "\",", "\r\n"),
    fill("open_quote", "Via: \"", ",", "\r\n"),
    fill("angles", "Via: ", "<,;", "\r\n"),
    fill("parameters", "Contact: <sip:a@h>", ";a=b", "\r\n"),
    fill("tags", "From: <sip:a@h>", ";tag", "\r\n"),
    fill("display_name", "From: \"", "\\\"", "\" <sip:a@h>;tag=f\r\n"),
    fill("open_display_name", "From: \"", "\\\\<", "\r\n"),
    fill("words", "From: ", "a ", "<sip:a@h>;tag=f\r\n"),
    fill("escapes", "To: <sip:", "%00", "@h>\r\n"),
    fill("references", "Via: [", ":::", "\r\n"),
    fill("passwords", "From: <sip:a:", "@:", ">\r\n"),
    fill("spaces", "X: ", " ", "x\r\n"),
    fill("carriage_returns", "X: ", "\r", "x\r\n"),
    fill("lengths", "", "l: 7\r\n", ""),
    fill("digits", "Max-Forwards: ", "1", "\r\n"),
    fill("long_name", "", "a", ": b\r\n"),
];

/// Headers with as many hashes to the byte as fit, where numbers are hidden.
pub const NUMBERS: &[Fill] = &[
    fill("users", "Contact: ", "a@b,", "\r\n"),
    fill("user_lines", "", "Route: a@b\r\n", ""),
    fill("identifiers", "Supported: ", "1234567,", "\r\n"),
    fill("flags", "Contact: <sip:a@h>", ";1234567", "\r\n"),
    fill("hosts", "Via: ", "SIP/2.0/UDP 1,", "\r\n"),
    fill("call_ids", "", "In-Reply-To: a\r\n", ""),
    fill("numbered_names", "", "a1234567:\r\n", ""),
    fill("phrases", "Warning: ", "399 a \"123\",", "\r\n"),
    fill("kept_users", "X-Kept: ", "a@b ", "\r\n"),
    fill("kept_uris", "X-Kept: ", "im:a,", "\r\n"),
    fill("kept_quotes", "X-Kept: ", "\"\\\"", "\r\n"),
    fill("kept_open_quotes", "X-Kept: ", "\"", "\r\n"),
    fill("kept_digits", "X-Kept: ", "1 ", "\r\n"),
    fill("kept_percents", "X-Kept: ", "%3", "\r\n"),
];

/// Bodies of `multipart/mixed` with the boundary `b`.
pub const MULTIPART: &[Fill] = &[
    fill("parts", "", "--b\r\n\r\n\r\n", "--b--\r\n"),
    fill("near_boundaries", "--b\r\n\r\n", "\n--bx", "\n--b--\r\n"),
    fill("boundaries_in_a_line", "--b\r\n\r\n", "--b", "\r\n--b--\r\n"),
    fill("dashes", "--b\r\n\r\n", "-", "\r\n--b--\r\n"),
    fill("part_folds", "--b\r\nX: a", "\r\n ", "\r\n\r\n\r\n--b--\r\n"),
    fill("part_lines", "--b\r\n", "a:b\r\n", "\r\n\r\n--b--\r\n"),
    fill(
        "nested",
        "--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n",
        "--c\r\na:b\r\n\r\n",
        "--c--\r\n--b--\r\n",
    ),
    fill("unclosed", "--b\r\n\r\n", "\n--b \n", ""),
];

const SESSION: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 96\r\n";

/// Bodies of `application/sdp`; the session with one media line comes first.
pub const SDP: &[Fill] = &[
    fill("media", SESSION, "m=audio 4000 RTP/AVP 0\r\n", ""),
    fill("attributes", SESSION, "a=b\r\n", ""),
    fill("rtpmaps", SESSION, "a=rtpmap:96 x/8000\r\n", ""),
    fill("fmtps", SESSION, "a=fmtp:96 x\r\n", ""),
    fill("formats", SESSION, " 97 98 99 100 101 102 103 104", "\r\n"),
    fill("many_formats", "v=0\r\nm=audio 4000 RTP/AVP", " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19", "\r\n"),
    fill("connections", SESSION, "c=IN IP4 192.0.2.1\r\n", ""),
    fill("empty_lines", SESSION, "\n", ""),
    fill("long_attribute", SESSION, "a=x:y ", "\r\n"),
    fill("keys", SESSION, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x|1:4\r\n", ""),
];

/// Bodies of `application/vq-rtcpxr`.
pub const VQ_REPORT: &[Fill] = &[
    fill("metrics", "VQSessionReport: CallTerm\r\nLocalMetrics:\r\n", "M:NLR=1.0 JDR=2 \r\n", ""),
    fill("pairs", "VQSessionReport: CallTerm\r\nX:", "A=1 ", "\r\n"),
    fill("described", "VQSessionReport: CallTerm\r\nX:", "PD=a FMTP=b ", "\r\n"),
    fill("equals", "VQSessionReport: CallTerm\r\nX:a", "=", "\r\n"),
    fill("vq_quotes", "VQSessionReport: CallTerm\r\nX:", "a=\"", "\r\n"),
    fill("separators", "VQSessionReport: CallTerm\r\nX:a", ";", "=1\r\n"),
    fill("vq_folds", "VQSessionReport: CallTerm\r\nX:a", "\r\n ", "\r\n"),
    fill("vq_lines", "VQSessionReport: CallTerm\r\n", "a\n", ""),
    fill("long_number", "VQSessionReport: CallTerm\r\nX:NLR=0.", "1", "\r\n"),
    fill("long_time", "VQSessionReport: CallTerm\r\nX:START=", "2026-", "\r\n"),
];

fn message(method: &str, headers: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:b@h SIP/2.0\r\n{headers}Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=f\r\n\
         To: <sip:b@h>\r\nCall-ID: cost\r\nCSeq: 1 {method}\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An INVITE with a header block of about `bytes` bytes.
pub fn headers(fill: Fill, bytes: usize) -> Vec<u8> {
    message("INVITE", &fill.text(bytes), "", "")
}

/// An INVITE with a start line of about `bytes` bytes.
pub fn start_line(fill: Fill, bytes: usize) -> Vec<u8> {
    let whole = message("INVITE", "", "", "");
    let rest = whole.iter().position(|b| *b == b'\r').expect("a line");
    [fill.text(bytes).as_bytes(), &whole[rest..]].concat()
}

pub const START_LINES: &[Fill] = &[
    fill("start_uri", "INVITE sip:", "a:@", " SIP/2.0"),
    fill("start_spaces", "INVITE", " ", "sip:b@h SIP/2.0"),
    fill("start_escapes", "INVITE sip:", "%zz", "@h SIP/2.0"),
    fill("junk_before_start", "INVITE sip:x\r\nINVITE sip:", "a", "@h SIP/2.0"),
];

pub fn multipart(fill: Fill, bytes: usize) -> Vec<u8> {
    message("INVITE", "", "Content-Type: multipart/mixed; boundary=b\r\n", &fill.text(bytes))
}

pub fn sdp(fill: Fill, bytes: usize) -> Vec<u8> {
    message("INVITE", "", "Content-Type: application/sdp\r\n", &fill.text(bytes))
}

pub fn vq_report(fill: Fill, bytes: usize) -> Vec<u8> {
    message("PUBLISH", "", "Event: vq-rtcpxr\r\nContent-Type: application/vq-rtcpxr\r\n", &fill.text(bytes))
}

/// A message with a body of `bytes` bytes that means nothing.
pub fn body(bytes: usize) -> Vec<u8> {
    message("INVITE", "", "Content-Type: text/plain\r\n", &"x".repeat(bytes))
}

/// What a TCP connection carries beside one message.
pub const STREAMS: &[Fill] = &[
    fill("keep_alives_first", "", "\r\n", "OPTIONS sip:b@h SIP/2.0\r\ni: x\r\n\r\n"),
    fill("keep_alives", "OPTIONS sip:b@h SIP/2.0\r\ni: x\r\n\r\n", "\r\n\r\n", ""),
    fill("junk_lines", "OPTIONS sip:b@h SIP/2.0\r\ni: x\r\n\r\n", "a\n", ""),
    fill("junk_line", "OPTIONS sip:b@h SIP/2.0\r\ni: x\r\n\r\n", "?", ""),
    fill("zeros", "OPTIONS sip:b@h SIP/2.0\r\ni: x\r\n\r\n", "\0", ""),
    fill("start_without_end", "INVITE sip:", "a", ""),
    fill("almost_starts", "OPTIONS sip:b@h SIP/2.0\r\ni: x\r\n\r\n", "INVITE sip:b@h\r\n", ""),
    fill("not_sip", "GET / HTTP/1.1\r\n", "a: b\r\n", ""),
    fill("messages", "", "OPTIONS sip:b@h SIP/2.0\r\ni: x\r\nl: 0\r\n\r\n", ""),
    fill("no_lengths", "", " OPTIONS sip:b@h SIP/2.0\r\ni: x\r\nl: x\r\n\r\n", ""),
    fill("starts_as_headers", "", "INVITE sip:b@h SIP/2.0\r\n", ""),
    fill("endless_headers", "INVITE sip:b@h SIP/2.0\r\n", "a:b\r\n", ""),
    fill("endless_folds", "INVITE sip:b@h SIP/2.0\r\nX: a", "\r\n ", ""),
];

pub fn stream(fill: Fill, bytes: usize) -> Vec<u8> {
    fill.text(bytes).into_bytes()
}

/// A name, and what makes an input of so many bytes or entries.
pub type Case = (&'static str, fn(u32) -> Vec<u8>);

/// RTCP compounds: what is repeated.
pub const RTCP: &[Case] = &[
    ("receiver_reports", |n| report(201, n, 31, &[])),
    ("empty_reports", |n| report(201, n, 0, &[])),
    ("sender_reports", |n| report(200, n, 1, &[0; 20])),
    ("byes", |n| {
        [&[0x9f, 203, 0, 31][..], &(0..31).flat_map(|i| (n * 31 + i).to_be_bytes()).collect::<Vec<_>>()].concat()
    }),
    ("sdes", |n| [&[0x81, 202, 0, 5][..], &n.to_be_bytes(), b"\x01\x04cost\x06\x06priv!!\0\0"].concat()),
    ("feedback", |n| [&[0x81, 205, 0, 2][..], &n.to_be_bytes(), &[0; 4]].concat()),
    ("unknown", |_| vec![0x80, 195, 0, 0]),
];

/// XR blocks: what is repeated inside of one packet.
pub const XR: &[(&str, &[u8])] = &[
    ("xr_empty_blocks", &[99, 0, 0, 0]),
    ("xr_reference_times", &[4, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]),
    ("xr_run_lengths", &[1, 0, 0, 3, 0, 0, 0, 9, 0, 1, 0, 9, 0x40, 1, 0, 0]),
    ("xr_delays", &[5, 0, 0, 3, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0]),
];

fn report(packet_type: u8, n: u32, blocks: u8, sender: &[u8]) -> Vec<u8> {
    let words = u16::try_from(1 + sender.len() / 4 + 6 * usize::from(blocks)).expect("fits a packet");
    let mut out = vec![0x80 | blocks, packet_type];
    out.extend_from_slice(&words.to_be_bytes());
    out.extend_from_slice(&n.to_be_bytes());
    out.extend_from_slice(sender);
    for block in 0..u32::from(blocks) {
        out.extend_from_slice(&block.to_be_bytes());
        out.extend_from_slice(&[0; 20]);
    }
    out
}

/// Packets of one kind, `bytes` bytes of them.
pub fn compound(packet: fn(u32) -> Vec<u8>, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for n in 1.. {
        if out.len() >= bytes {
            break;
        }
        out.extend(packet(n));
    }
    out
}

/// One XR packet with `bytes` bytes of blocks.
pub fn xr(block: &[u8], bytes: usize) -> Vec<u8> {
    let blocks = block.repeat(bytes / block.len());
    let words = u16::try_from(1 + blocks.len() / 4).expect("fits a packet");
    [&[0x80, 207][..], &words.to_be_bytes(), &[0, 0, 0, 1], &blocks].concat()
}

/// One XR packet whose one DLRR block has `bytes` bytes.
pub fn xr_long_block(bytes: usize) -> Vec<u8> {
    let entries = [0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0].repeat(bytes / 12);
    let words = u16::try_from(entries.len() / 4).expect("fits a block");
    [&[0x80, 207][..], &(words + 2).to_be_bytes(), &[0, 0, 0, 1, 5, 0], &words.to_be_bytes(), &entries].concat()
}

type Connection = (&'static str, fn() -> Vec<u8>, &'static [u8]);

/// What fills a TCP connection that is no plain SIP, by name: a beginning, and what is repeated behind it.
pub const CONNECTIONS: [Connection; 7] = [
    ("websocket.pings", web_socket, b"\x89\x80abcd"),
    ("websocket.fragments", web_socket_message, b"\x00\x81abcd\x2a"),
    ("websocket.keep_alives", web_socket, b"\x81\x82\0\0\0\0\r\n"),
    ("websocket.handshake", || b"GET / HTTP/1.1\r\n".to_vec(), b"Upgrade: websocket\r\n"),
    ("packets.keep_alives", framed_rtp, &[0, 0]),
    ("packets.rtp", framed_rtp, b"\0\x0c\x80\0\0\x01\0\0\0\xa0\0\0\0\x07"),
    ("packets.channel_data", turn, b"\x40\0\0\x0c\x80\0\0\x01\0\0\0\xa0\0\0\0\x07"),
];

/// So many bytes of a connection.
pub fn connection((_, begin, again): Connection, bytes: usize) -> Vec<u8> {
    let mut out = begin();
    while out.len() < bytes {
        out.extend_from_slice(again);
    }
    out
}

fn web_socket() -> Vec<u8> {
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".to_vec()
}

fn web_socket_message() -> Vec<u8> {
    [&web_socket()[..], b"\x01\x81abcd\x2a"].concat()
}

fn framed_rtp() -> Vec<u8> {
    b"\0\x10\x80\0\0\x01\0\0\0\xa0\0\0\0\x07abcd".to_vec()
}

fn turn() -> Vec<u8> {
    b"\0\x03\0\0\x21\x12\xa4\x42abcdefghijkl".to_vec()
}
