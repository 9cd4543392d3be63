//! Session descriptions (RFC 8866): lines and attributes by list, each built anew from its parts.

use super::super::bytes::{cut, is_token, trim};
use super::params::is_listed;
use super::{Built, Hiding, NAME_MAX, REMOVED, Text, physical_lines, uri};

/// Most words of a line that are shown.
const WORDS_MAX: usize = 130;
/// Longest word of a line, in bytes: keys are longer.
const WORD_MAX: usize = 32;

/// Lines by type, and what of them is stored.
pub(super) const LINES: &[(&str, &str)] = &[
    ("v=", "number"),
    ("o=", "session id, version, address; the user name only as `-`"),
    ("s=", "only as `-`"),
    ("c=", "address"),
    ("b=", "type and number"),
    ("t=", "numbers"),
    ("r=", "numbers"),
    ("z=", "numbers"),
    ("m=", "media, port, transport, formats"),
    ("a=", "attributes as listed below"),
];

/// How the value of an attribute is read and built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Flag,
    /// Digits, with `. , / -` among them.
    Numbers,
    /// Words of letters, digits and `. + / _ - *`, at most 32 bytes each.
    Words,
    Rtpmap,
    Fmtp,
    Rtcp,
    RtcpXr,
    Candidate,
    Crypto,
    Fingerprint,
    Ssrc,
    Extmap,
}

use Attribute::{Candidate, Crypto, Extmap, Fingerprint, Flag, Fmtp, Numbers, Rtcp, RtcpXr, Rtpmap, Ssrc, Words};

impl Attribute {
    pub(super) fn words(self) -> &'static str {
        match self {
            Flag => "without a value",
            Numbers => "numbers",
            Words => "words",
            Rtpmap => "payload type, name, clock rate, channels",
            Fmtp => "payload type, parameters of a=fmtp",
            Rtcp => "port, address",
            RtcpXr => "names of report blocks",
            Candidate => "foundation to type, related address, tcptype, generation, network; not user and password",
            Crypto => "tag, suite, parameters of a=crypto; not the key",
            Fingerprint => "hash of a certificate",
            Ssrc => "SSRC and name of its attribute",
            Extmap => "number, URN of RTP header extensions",
        }
    }
}

/// Attributes whose values are stored (RFC 8866, 4568, 5761, 8839, 8122, 5763, 5285, 4585, 3611, 3264, T.38 Annex D).
pub(super) const ATTRIBUTES: &[(&str, Attribute)] = &[
    ("T38FaxFillBitRemoval", Words),
    ("T38FaxMaxBuffer", Numbers),
    ("T38FaxMaxDatagram", Numbers),
    ("T38FaxMaxIFP", Numbers),
    ("T38FaxRateManagement", Words),
    ("T38FaxTranscodingJBIG", Words),
    ("T38FaxTranscodingMMR", Words),
    ("T38FaxUdpEC", Words),
    ("T38FaxUdpECDepth", Numbers),
    ("T38FaxVersion", Numbers),
    ("T38MaxBitRate", Numbers),
    ("T38ModemType", Words),
    ("T38VendorInfo", Words),
    ("bundle-only", Flag),
    ("candidate", Candidate),
    ("conf", Words),
    ("connection", Words),
    ("content", Words),
    ("crypto", Crypto),
    ("curr", Words),
    ("des", Words),
    ("direction", Words),
    ("ecan", Words),
    ("end-of-candidates", Flag),
    ("extmap", Extmap),
    ("extmap-allow-mixed", Flag),
    ("fingerprint", Fingerprint),
    ("fmtp", Fmtp),
    ("framerate", Numbers),
    ("framesize", Numbers),
    ("group", Words),
    ("ice-lite", Flag),
    ("ice-mismatch", Flag),
    ("ice-options", Words),
    ("ice-pacing", Numbers),
    ("inactive", Flag),
    ("label", Words),
    ("lang", Words),
    ("max-message-size", Numbers),
    ("maxprate", Numbers),
    ("maxptime", Numbers),
    ("mid", Words),
    ("minptime", Numbers),
    ("nortpproxy", Words),
    ("ptime", Numbers),
    ("quality", Numbers),
    ("recvonly", Flag),
    ("remote-candidates", Words),
    ("rtcp", Rtcp),
    ("rtcp-fb", Words),
    ("rtcp-mux", Flag),
    ("rtcp-mux-only", Flag),
    ("rtcp-rsize", Flag),
    ("rtcp-xr", RtcpXr),
    ("rtpmap", Rtpmap),
    ("sctp-port", Numbers),
    ("sendonly", Flag),
    ("sendrecv", Flag),
    ("setup", Words),
    ("silenceSupp", Words),
    ("sqn", Numbers),
    ("ssrc", Ssrc),
    ("ssrc-group", Words),
];

/// Parameters of codecs (the registrations of their media types); `config` and `sprop-parameter-sets` are blobs and left out.
pub(super) const FMTP_PARAMS: &[&str] = &[
    "annexa",
    "annexb",
    "apt",
    "bitrate",
    "br",
    "br-recv",
    "br-send",
    "bw",
    "bw-recv",
    "bw-send",
    "cbr",
    "ch-aw-recv",
    "ch-recv",
    "ch-send",
    "channels",
    "cif",
    "cif4",
    "cmr",
    "crc",
    "dtx",
    "dtx-recv",
    "evs-mode-switch",
    "hf-only",
    "interleaving",
    "level-asymmetry-allowed",
    "level-id",
    "max-br",
    "max-cpb",
    "max-dpb",
    "max-fps",
    "max-fr",
    "max-fs",
    "max-mbps",
    "max-red",
    "max-smbps",
    "maxaveragebitrate",
    "maxbr",
    "maxplaybackrate",
    "maxptime",
    "minptime",
    "mode",
    "mode-change-capability",
    "mode-change-neighbor",
    "mode-change-period",
    "mode-set",
    "octet-align",
    "packetization-mode",
    "profile",
    "profile-id",
    "profile-level-id",
    "ptime",
    "qcif",
    "robust-sorting",
    "rtx-time",
    "sprop-maxcapturerate",
    "sprop-stereo",
    "stereo",
    "tier-flag",
    "usedtx",
    "useinbandfec",
    "vad",
    "vbd",
    "vbr",
];

/// Session parameters of RFC 4568 section 6.3.
pub(super) const CRYPTO_PARAMS: &[&str] =
    &["KDR", "WSH", "UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP", "FEC_ORDER"];

/// Report blocks of RFC 3611 section 5.1.
const REPORT_BLOCKS: &[&str] =
    &["pkt-loss-rle", "pkt-dup-rle", "pkt-rcpt-times", "rcvr-rtt", "stat-summary", "voip-metrics"];

/// Extensions of an ICE candidate whose values are stored.
const CANDIDATE_PARAMS: &[&str] = &["raddr", "rport", "tcptype", "generation", "network-id", "network-cost"];

/// Adds the lines of a session description. A line that is no `x=value`, or stands where its type cannot, is removed.
pub(super) fn push(session: &[u8], hiding: &Hiding<'_>, out: &mut Text) {
    let mut first = true;
    let mut in_media = false;
    for line in physical_lines(session) {
        let line = line.bytes.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if out.is_full() {
            return;
        }
        let stands = match line {
            [b'v', b'=', ..] => first,
            [b'o' | b's' | b'u' | b'e' | b'p' | b't' | b'r' | b'z', b'=', ..] => !in_media,
            [b'i' | b'c' | b'b' | b'k' | b'a' | b'm', b'=', ..] => true,
            _ => false,
        };
        first = false;
        let [kind, b'=', value @ ..] = line else {
            out.push_removed();
            continue;
        };
        if !stands {
            out.push_removed();
            continue;
        }
        in_media |= *kind == b'm';
        let mut clean = Built::new(hiding);
        clean.extend_from_slice(&[*kind, b'=']);
        push_value(&mut clean, *kind, value.trim_ascii());
        out.push_line(&clean);
    }
}

fn push_value(out: &mut Built<'_>, kind: u8, value: &[u8]) {
    match kind {
        _ if value.is_empty() => {}
        b'v' => push_if(out, value, is_digits(value)),
        b'o' => push_origin(out, value),
        b's' => push_if(out, value, value == b"-"),
        b'c' => push_connection(out, value),
        b'b' => {
            let (name, number) = cut(value, b':');
            push_if(out, value, is_word(name) && is_digits(trim(number)));
        }
        b't' | b'r' | b'z' => {
            let number = |w: &[u8]| w.iter().all(|b| b.is_ascii_digit() || b"-dhms".contains(b)) && w.len() <= 20;
            push_if(out, value, words(value).all(number) && words(value).count() <= WORDS_MAX);
        }
        b'm' => push_media(out, value),
        b'a' => push_attribute(out, value),
        _ => out.extend_from_slice(REMOVED),
    }
}

fn push_if(out: &mut Built<'_>, value: &[u8], harmless: bool) {
    out.extend_from_slice(if harmless { value } else { REMOVED });
}

/// As [`push_if`], for a word that may be anything.
fn push_word_if(out: &mut Built<'_>, word: &[u8], harmless: bool) {
    match harmless {
        true => out.push_identifier(word),
        false => out.extend_from_slice(REMOVED),
    }
}

/// As [`push_if`], for SSRCs, priorities and sizes, which have up to ten digits where nothing but a number fits.
fn push_number_if(out: &mut Built<'_>, number: &[u8], harmless: bool) {
    match number.len() <= 10 {
        true => push_if(out, number, harmless),
        false => push_word_if(out, number, harmless),
    }
}

/// As [`push_if`], for an address or host name with `/ttl/count`.
fn push_address_if(out: &mut Built<'_>, address: &[u8], harmless: bool) {
    match harmless {
        true => out.push_host(cut(address, b'/').0, address),
        false => out.extend_from_slice(REMOVED),
    }
}

/// `username sess-id sess-version nettype addrtype unicast-address`.
fn push_origin(out: &mut Built<'_>, value: &[u8]) {
    let fields: Vec<&[u8]> = words(value).take(7).collect();
    let [user, id, version, net, family, address] = fields.as_slice() else {
        return out.extend_from_slice(REMOVED);
    };
    push_if(out, user, *user == b"-");
    for (field, fits) in
        [(id, is_digits(id)), (version, is_digits(version)), (net, is_net(net)), (family, is_family(family))]
    {
        out.push(b' ');
        push_word_if(out, field, fits);
    }
    out.push(b' ');
    push_address_if(out, address, is_address(address));
}

/// `IN IP4 address[/ttl][/count]`.
fn push_connection(out: &mut Built<'_>, value: &[u8]) {
    let fields: Vec<&[u8]> = words(value).take(4).collect();
    match fields.as_slice() {
        [net, family, address] if is_net(net) && is_family(family) && is_address(address) => {
            let head = value.len() - address.len();
            out.extend_from_slice(value.get(..head).unwrap_or_default());
            push_address_if(out, address, true);
        }
        _ => out.extend_from_slice(REMOVED),
    }
}

fn push_media(out: &mut Built<'_>, value: &[u8]) {
    for (n, word) in words(value).take(WORDS_MAX).enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        let fits = match n {
            1 => word.split(|b| *b == b'/').all(is_digits),
            _ => is_word(word),
        };
        push_word_if(out, word, fits);
    }
}

fn push_attribute(out: &mut Built<'_>, attribute: &[u8]) {
    let (name, value) = cut(attribute, b':');
    let (name, value) = (trim(name), trim(value));
    if !is_token(name) || name.len() > NAME_MAX {
        return out.extend_from_slice(REMOVED);
    }
    out.push_identifier(name);
    if !attribute.contains(&b':') {
        return;
    }
    out.push(b':');
    let kind = ATTRIBUTES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(_, kind)| *kind);
    match kind {
        None | Some(Flag) => out.extend_from_slice(REMOVED),
        Some(Numbers) => {
            for (n, word) in words(value).take(WORDS_MAX).enumerate() {
                if n > 0 {
                    out.push(b' ');
                }
                let fits = word.len() <= 20 && word.iter().all(|b| b.is_ascii_digit() || b".,/-".contains(b));
                push_number_if(out, word, fits);
            }
        }
        Some(Words) => push_words(out, value, |_, word| is_word(word)),
        Some(Rtpmap) => push_words(out, value, |n, word| match n {
            0 => is_digits(word),
            _ => is_word(word),
        }),
        Some(Fmtp) => push_fmtp(out, value),
        Some(Rtcp) => push_words(out, value, |n, word| match n {
            0 => is_digits(word),
            1 => is_net(word),
            2 => is_family(word),
            3 => is_address(word),
            _ => false,
        }),
        Some(RtcpXr) => push_words(out, value, |_, word| {
            let (name, value) = cut(word, b'=');
            is_listed(name, REPORT_BLOCKS) && value.iter().all(|b| b.is_ascii_alphanumeric() || b",:-".contains(b))
        }),
        Some(Candidate) => push_candidate(out, value),
        Some(Crypto) => push_crypto(out, value),
        Some(Fingerprint) => push_words(out, value, |n, word| match n {
            0 => is_word(word),
            _ => {
                word.len() <= 256
                    && word.split(|b| *b == b':').all(|h| h.len() == 2 && h.iter().all(u8::is_ascii_hexdigit))
            }
        }),
        Some(Ssrc) => {
            let (id, attribute) = cut(value, b' ');
            push_number_if(out, id, is_digits(id));
            if !trim(attribute).is_empty() {
                let (name, value) = cut(trim(attribute), b':');
                out.push(b' ');
                push_word_if(out, name, is_word(name));
                if !value.is_empty() {
                    out.extend_from_slice(b":***");
                }
            }
        }
        Some(Extmap) => {
            for (n, word) in words(value).take(3).enumerate() {
                match n {
                    0 => push_word_if(
                        out,
                        word,
                        word.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'/') && word.len() <= 16,
                    ),
                    1 => {
                        out.push(b' ');
                        uri::push(out, word);
                    }
                    _ => out.extend_from_slice(b" ***"),
                }
            }
        }
    }
}

/// Words that fit, each other one removed.
fn push_words(out: &mut Built<'_>, value: &[u8], fits: impl Fn(usize, &[u8]) -> bool) {
    for (n, word) in words(value).take(WORDS_MAX).enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        push_word_if(out, word, fits(n, word));
    }
}

/// `101 0-16`, `97 mode-set=0,2; octet-align=1`.
fn push_fmtp(out: &mut Built<'_>, value: &[u8]) {
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (format, params) = value.split_at_checked(end).unwrap_or((value, &[]));
    push_word_if(out, format, is_word(format));
    if !trim(params).is_empty() {
        out.push(b' ');
        push_fmtp_params(out, params);
    }
}

pub(super) fn push_fmtp_params(out: &mut Built<'_>, params: &[u8]) {
    let params = trim(params);
    for (n, param) in params.split(|b| *b == b';').map(trim).filter(|p| !p.is_empty()).enumerate() {
        if n > 0 {
            out.push(b';');
        }
        let (name, value) = cut(param, b'=');
        let (name, value) = (trim(name), trim(value));
        let range = |w: &[u8]| w.len() <= WORD_MAX && w.iter().all(|b| b.is_ascii_digit() || b"-,/".contains(b));
        if !param.contains(&b'=') {
            push_word_if(out, param, range(param));
            continue;
        }
        if !is_token(name) || name.len() > NAME_MAX {
            out.extend_from_slice(REMOVED);
            continue;
        }
        out.push_identifier(name);
        out.push(b'=');
        let plain = value.len() <= WORD_MAX && value.iter().all(|b| b.is_ascii_alphanumeric() || b".,/-".contains(b));
        push_word_if(out, value, plain && is_listed(name, FMTP_PARAMS));
    }
}

/// `foundation component transport priority address port typ type [extensions]` (RFC 8839 section 5.1). The form of the ICE
/// drafts that Lync and Skype for Business send has a user name first and a password third: both are removed.
fn push_candidate(out: &mut Built<'_>, value: &[u8]) {
    let all: Vec<&[u8]> = words(value).take(WORDS_MAX).collect();
    let ports = |w: &[u8]| w.len() <= 5 && is_digits(w);
    match all.as_slice() {
        [foundation, component, transport, priority, address, port, typ, kind, extensions @ ..]
            if typ.eq_ignore_ascii_case(b"typ") && is_transport(transport) && is_digits(priority) =>
        {
            let ice = |w: &[u8]| w.len() <= 32 && w.iter().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(b));
            for (n, (word, fits)) in [
                (foundation, ice(foundation)),
                (component, ports(component)),
                (transport, true),
                (priority, true),
                (address, is_address(address)),
                (port, ports(port)),
                (typ, true),
                (kind, matches!(kind.to_ascii_lowercase().as_slice(), b"host" | b"srflx" | b"prflx" | b"relay")),
            ]
            .into_iter()
            .enumerate()
            {
                if n > 0 {
                    out.push(b' ');
                }
                push_if_of_candidate(out, n, word, fits);
            }
            for pair in extensions.chunks(2) {
                let [name, value] = pair else { return out.extend_from_slice(b" ***") };
                out.push(b' ');
                push_word_if(out, name, is_word(name));
                out.push(b' ');
                push_address_or_word(out, name, value);
            }
        }
        [_user, component, _password, transport, priority, address, port] if is_transport(transport) => {
            out.extend_from_slice(REMOVED);
            let share = priority.len() <= 12 && priority.iter().all(|b| b.is_ascii_digit() || *b == b'.');
            out.push(b' ');
            push_if(out, component, ports(component));
            out.extend_from_slice(b" *** ");
            out.extend_from_slice(transport);
            out.push(b' ');
            push_number_if(out, priority, share);
            out.push(b' ');
            push_address_if(out, address, is_address(address));
            out.push(b' ');
            push_if(out, port, ports(port));
        }
        _ => out.extend_from_slice(REMOVED),
    }
}

/// A field of a candidate by its place: foundation, priority and address may hold what a number looks like.
fn push_if_of_candidate(out: &mut Built<'_>, place: usize, word: &[u8], fits: bool) {
    match place {
        0 => push_word_if(out, word, fits),
        3 => push_number_if(out, word, fits),
        4 => push_address_if(out, word, fits),
        _ => push_if(out, word, fits),
    }
}

/// The value of an extension of a candidate.
fn push_address_or_word(out: &mut Built<'_>, name: &[u8], value: &[u8]) {
    let fits = is_listed(name, CANDIDATE_PARAMS) && is_address(value);
    match name.eq_ignore_ascii_case(b"raddr") {
        true => push_address_if(out, value, fits),
        false => push_word_if(out, value, fits),
    }
}

fn is_transport(word: &[u8]) -> bool {
    matches!(
        word.to_ascii_lowercase().as_slice(),
        b"udp" | b"tcp" | b"tcp-act" | b"tcp-pass" | b"tcp-so" | b"tls" | b"ssltcp"
    )
}

/// `tag suite inline:key [session parameters]` (RFC 4568 section 9.1).
fn push_crypto(out: &mut Built<'_>, value: &[u8]) {
    let suite = |w: &[u8]| {
        w.len() <= 48
            && w.contains(&b'_')
            && w.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
    };
    for (n, word) in words(value).take(WORDS_MAX).enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        match n {
            0 => push_word_if(out, word, is_digits(word)),
            1 => push_word_if(out, word, suite(word)),
            2 if word.get(..7).is_some_and(|w| w.eq_ignore_ascii_case(b"inline:")) => {
                out.extend_from_slice(b"inline:***")
            }
            2 => out.extend_from_slice(REMOVED),
            _ => {
                let (name, value) = cut(word, b'=');
                let harmless = is_listed(name, CRYPTO_PARAMS)
                    && (is_digits(value) || value.is_empty() || matches!(value, b"FEC_SRTP" | b"SRTP_FEC"));
                push_if(out, word, harmless);
            }
        }
    }
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty())
}

fn is_digits(word: &[u8]) -> bool {
    !word.is_empty() && word.len() <= 20 && word.iter().all(u8::is_ascii_digit)
}

fn is_word(word: &[u8]) -> bool {
    word.len() <= WORD_MAX
        && !word.is_empty()
        && word.iter().all(|b| b.is_ascii_alphanumeric() || b".+/_-*".contains(b))
}

fn is_net(word: &[u8]) -> bool {
    word == b"IN"
}

fn is_family(word: &[u8]) -> bool {
    matches!(word, b"IP4" | b"IP6")
}

/// An address or host name, with `/ttl/count` for groups.
fn is_address(word: &[u8]) -> bool {
    word.len() <= 255 && !word.is_empty() && word.iter().all(|b| b.is_ascii_alphanumeric() || b".:/_-%".contains(b))
}
