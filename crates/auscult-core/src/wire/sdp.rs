//! SDP (RFC 8866) as a monitor needs it: where each side wants to receive which payload types.
//!
//! A tolerant line reader: any order, any line end, unknown lines and attributes are passed over, numbers out
//! of range are dropped and noted. Nothing is looked up: a host name is not an address.

use crate::model::Srtp;
use crate::units::text::clean;
use crate::units::{ClockRate, PayloadType};
use std::net::{IpAddr, SocketAddr};
use std::str::SplitAsciiWhitespace;

/// Media descriptions read; more are noted and left out.
pub const MEDIA_MAX: usize = 32;
/// Attributes read per media description.
pub const ATTRIBUTES_MAX: usize = 128;
/// Longest text kept of one value.
const TEXT_MAX: usize = 512;
/// Longest encoding name kept; the longest that is registered has 27 characters.
const NAME_MAX: usize = 64;
/// Longest packet time believed, in milliseconds.
const PTIME_MAX: u16 = 400;
/// ICE candidates kept per media description: host, reflexive and relayed ones of several interfaces.
pub const CANDIDATES_MAX: usize = 8;
/// Longest identification tag kept (`a=mid`), and bundled media descriptions of all groups.
const MID_MAX: usize = 64;
const BUNDLED_MAX: usize = 64;
/// Consecutive ports of one `m=` line that are plausible (RFC 8866 section 5.14).
const PORTS_MAX: u32 = 8;

/// Whether media may flow, from the point of view of the side that wrote the SDP (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    fn of(name: &str) -> Option<Direction> {
        match name {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    Audio,
    Video,
    /// `m=image`: T.38 fax.
    Image,
    Other,
}

/// A connection address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    Ip(IpAddr),
    /// `0.0.0.0` or `::`: send nothing here (hold as in RFC 2543, RFC 3264 section 8.4).
    Hold,
}

/// One payload type of an `m=` line with its `a=rtpmap` and `a=fmtp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub payload_type: PayloadType,
    /// Encoding name: of `a=rtpmap`, else of RFC 3551; empty when neither has it.
    pub name: String,
    /// `None` when neither has a usable rate.
    pub clock: Option<ClockRate>,
    pub channels: u8,
    pub fmtp: String,
}

/// One `m=` line with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub kind: MediaKind,
    /// 0 refuses or ends the media (RFC 3264 section 6).
    pub port: u16,
    /// Transport profile, upper case (`RTP/AVP`, `UDP/TLS/RTP/SAVPF`, `UDPTL`).
    pub proto: String,
    pub formats: Vec<Format>,
    /// `c=` of this media, else of the session; `None` when neither is an IP address.
    pub address: Option<Address>,
    /// Where RTCP is wanted: `a=rtcp`, the RTP port with `a=rtcp-mux`, else the next port.
    pub rtcp: Option<SocketAddr>,
    pub rtcp_mux: bool,
    /// Packet time wished for, in milliseconds.
    pub ptime_ms: Option<u16>,
    pub direction: Direction,
    /// On where keys were offered or the profile is a secure one.
    pub srtp: Srtp,
    /// UDP addresses of ICE candidates for RTP (RFC 8839 section 5.1), at most [`CANDIDATES_MAX`], without that of `c=`
    /// and `m=`.
    pub candidates: Vec<SocketAddr>,
    /// Position in [`Sdp::media`] of the description whose addresses this one shares (RFC 9143); `None` for itself.
    pub bundled_with: Option<usize>,
}

impl Media {
    /// Where RTP may be sent: the address of `c=` and `m=`, then the candidates.
    pub fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoint().into_iter().chain(self.candidates.iter().copied())
    }

    /// Where RTP is to be sent; `None` when refused, on hold, or by host name.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        match self.address {
            Some(Address::Ip(ip)) if self.port != 0 => Some(SocketAddr::new(ip, self.port)),
            _ => None,
        }
    }

    pub fn is_rtp(&self) -> bool {
        self.proto.contains("RTP/")
    }
}

/// What is odd about a session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SdpAnomaly {
    Empty,
    /// The last line was cut and left out.
    Truncated,
    /// Lines that are no `x=value`, a version other than 0, an `m=` line without its four parts.
    Syntax,
    FieldTooLong,
    PayloadType,
    Port,
    ClockRate,
    Ptime,
    Address,
    TooManyMedia,
    TooManyAttributes,
    Ssrc,
}

impl SdpAnomaly {
    pub const ALL: [SdpAnomaly; 12] = [
        SdpAnomaly::Empty,
        SdpAnomaly::Truncated,
        SdpAnomaly::Syntax,
        SdpAnomaly::FieldTooLong,
        SdpAnomaly::PayloadType,
        SdpAnomaly::Port,
        SdpAnomaly::ClockRate,
        SdpAnomaly::Ptime,
        SdpAnomaly::Address,
        SdpAnomaly::TooManyMedia,
        SdpAnomaly::TooManyAttributes,
        SdpAnomaly::Ssrc,
    ];

    pub fn name(self) -> &'static str {
        match self {
            SdpAnomaly::Empty => "empty",
            SdpAnomaly::Truncated => "truncated",
            SdpAnomaly::Syntax => "syntax",
            SdpAnomaly::FieldTooLong => "field_too_long",
            SdpAnomaly::PayloadType => "payload_type",
            SdpAnomaly::Port => "port",
            SdpAnomaly::ClockRate => "clock_rate",
            SdpAnomaly::Ptime => "ptime",
            SdpAnomaly::Address => "address",
            SdpAnomaly::TooManyMedia => "too_many_media",
            SdpAnomaly::TooManyAttributes => "too_many_attributes",
            SdpAnomaly::Ssrc => "ssrc",
        }
    }
}

/// A session description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdp {
    pub media: Vec<Media>,
    anomalies: u16,
}

impl Sdp {
    pub fn has(&self, what: SdpAnomaly) -> bool {
        self.anomalies & (1 << what as u8) != 0
    }

    pub fn anomalies(&self) -> impl Iterator<Item = SdpAnomaly> {
        SdpAnomaly::ALL.into_iter().filter(|a| self.has(*a))
    }
}

/// Name and clock rate of the static payload types (RFC 3551 tables 4 and 5). The RTP clock of G.722 is 8000
/// although it samples at 16000 (RFC 3551 section 4.5.2). The reserved type 19 was comfort noise once and is
/// still sent as such.
pub fn static_payload(payload_type: PayloadType) -> Option<(&'static str, ClockRate)> {
    let (name, rate) = match payload_type.0 {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        5 => ("DVI4", 8_000),
        6 => ("DVI4", 16_000),
        7 => ("LPC", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        10 | 11 => ("L16", 44_100),
        12 => ("QCELP", 8_000),
        13 | 19 => ("CN", 8_000),
        14 => ("MPA", 90_000),
        15 => ("G728", 8_000),
        16 => ("DVI4", 11_025),
        17 => ("DVI4", 22_050),
        18 => ("G729", 8_000),
        25 => ("CelB", 90_000),
        26 => ("JPEG", 90_000),
        28 => ("nv", 90_000),
        31 => ("H261", 90_000),
        32 => ("MPV", 90_000),
        33 => ("MP2T", 90_000),
        34 => ("H263", 90_000),
        _ => return None,
    };
    ClockRate::new(rate).map(|clock| (name, clock))
}

/// Reads a session description. `cut`: its last line, if it has no line end, is half a line and left out.
pub fn parse(bytes: &[u8], cut: bool) -> Sdp {
    let mut reader = Reader::default();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        reader.note(SdpAnomaly::Empty);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let line_end = memchr::memchr(b'\n', rest);
        if line_end.is_none() && cut {
            reader.note(SdpAnomaly::Truncated);
            break;
        }
        let line = rest.get(..line_end.unwrap_or(rest.len())).unwrap_or(rest);
        rest = line_end.and_then(|at| rest.get(at + 1..)).unwrap_or_default();
        reader.line(line);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    sdp: Sdp,
    /// `c=`, direction and keys of the session, for media without their own.
    address: Option<Address>,
    direction: Option<Direction>,
    keys: Srtp,
    ptime_ms: Option<u16>,
    current: Option<Open>,
    /// Identification tags of each `a=group:BUNDLE`, and of each media description with whether it is `a=bundle-only`.
    groups: Vec<Vec<String>>,
    mids: Vec<(String, bool)>,
    /// Inside a media description that is over the limit.
    passing_over: bool,
}

/// A media description whose lines are still coming.
struct Open {
    media: Media,
    direction: Option<Direction>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    keys: Srtp,
    mid: String,
    bundle_only: bool,
    attributes: usize,
    /// Position in `media.formats` of each payload type that it has.
    places: [Option<u8>; 128],
}

/// The value of an `m=` line (RFC 8866 section 5.14).
struct MediaLine<'a> {
    kind: MediaKind,
    port: u16,
    /// Number of ports; 1 where it is not a number.
    ports: u32,
    /// In upper case.
    proto: String,
    formats: SplitAsciiWhitespace<'a>,
}

impl MediaLine<'_> {
    fn parse(text: &str) -> Result<MediaLine<'_>, SdpAnomaly> {
        let mut words = text.split_ascii_whitespace();
        let (Some(kind), Some(ports), Some(proto)) = (words.next(), words.next(), words.next()) else {
            return Err(SdpAnomaly::Syntax);
        };
        if kind.len() > TEXT_MAX || proto.len() > TEXT_MAX {
            return Err(SdpAnomaly::FieldTooLong);
        }
        let (port, count) = ports.split_once('/').unwrap_or((ports, "1"));
        let kind = match kind.to_ascii_lowercase().as_str() {
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            "image" => MediaKind::Image,
            _ => MediaKind::Other,
        };
        Ok(MediaLine {
            kind,
            port: port.parse().map_err(|_| SdpAnomaly::Port)?,
            ports: count.parse().unwrap_or(1),
            proto: proto.to_ascii_uppercase(),
            formats: words,
        })
    }
}

/// Formats of a media description, and the position in them of each payload type.
struct Formats {
    list: Vec<Format>,
    places: [Option<u8>; 128],
}

impl Default for Formats {
    fn default() -> Self {
        Formats { list: Vec::new(), places: [None; 128] }
    }
}

impl Reader {
    fn note(&mut self, what: SdpAnomaly) {
        self.sdp.anomalies |= 1 << what as u8;
    }

    fn line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        let [kind, b'=', value @ ..] = line else {
            return self.note(SdpAnomaly::Syntax);
        };
        match kind {
            b'm' => self.media_line(value),
            b'c' => self.connection(value),
            b'a' => self.attribute(value),
            b'v' if value != b"0" => self.note(SdpAnomaly::Syntax),
            _ => {}
        }
    }

    fn media_line(&mut self, value: &[u8]) {
        self.close();
        self.passing_over = true;
        if self.sdp.media.len() == MEDIA_MAX {
            return self.note(SdpAnomaly::TooManyMedia);
        }
        let text = String::from_utf8_lossy(value);
        let line = match MediaLine::parse(&text) {
            Ok(line) => line,
            Err(anomaly) => return self.note(anomaly),
        };
        if line.ports > PORTS_MAX {
            self.note(SdpAnomaly::Port);
        }
        let formats = if line.proto.contains("RTP/") { self.formats(line.formats) } else { Formats::default() };
        let secure = line.proto.contains("SAVP") || line.proto.contains("DTLS");
        self.passing_over = false;
        self.current = Some(Open {
            media: Media {
                kind: line.kind,
                port: line.port,
                proto: line.proto,
                formats: formats.list,
                address: None,
                rtcp: None,
                rtcp_mux: false,
                ptime_ms: None,
                direction: Direction::SendRecv,
                srtp: if secure { Srtp::On { trailer: None } } else { Srtp::Off },
                candidates: Vec::new(),
                bundled_with: None,
            },
            direction: None,
            rtcp: None,
            keys: Srtp::Off,
            mid: String::new(),
            bundle_only: false,
            attributes: 0,
            places: formats.places,
        });
    }

    /// Payload types of a line, each once, with the names that RFC 3551 gives them.
    fn formats(&mut self, words: SplitAsciiWhitespace<'_>) -> Formats {
        let mut formats = Formats::default();
        for word in words.take(ATTRIBUTES_MAX) {
            let pt = word.parse::<u8>().ok();
            match pt.and_then(|pt| Some((pt, formats.places.get_mut(usize::from(pt))?))) {
                Some((pt, place @ None)) => {
                    *place = u8::try_from(formats.list.len()).ok();
                    let payload_type = PayloadType(pt);
                    let (name, clock) = match static_payload(payload_type) {
                        Some((name, clock)) => (name.to_owned(), Some(clock)),
                        None => (String::new(), None),
                    };
                    formats.list.push(Format { payload_type, name, clock, channels: 1, fmtp: String::new() });
                }
                Some(_) => {}
                None => self.note(SdpAnomaly::PayloadType),
            }
        }
        formats
    }

    fn connection(&mut self, value: &[u8]) {
        if self.passing_over {
            return;
        }
        let address = std::str::from_utf8(value).ok().and_then(|text| {
            let mut words = text.split_ascii_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("IN"), Some(_), Some(address)) => read_address(address),
                _ => None,
            }
        });
        let Some(address) = address else {
            return self.note(SdpAnomaly::Address);
        };
        match &mut self.current {
            Some(open) => open.media.address = open.media.address.or(Some(address)),
            None => self.address = self.address.or(Some(address)),
        }
    }

    fn attribute(&mut self, value: &[u8]) {
        if self.passing_over {
            return;
        }
        if let Some(open) = &mut self.current {
            open.attributes += 1;
            if open.attributes > ATTRIBUTES_MAX {
                return self.note(SdpAnomaly::TooManyAttributes);
            }
        }
        let text = String::from_utf8_lossy(value.get(..value.len().min(2 * TEXT_MAX)).unwrap_or(value));
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.trim();
        match name.trim() {
            "rtpmap" => self.rtpmap(value),
            "fmtp" => {
                if let Some((format, rest)) = self.format_of(value) {
                    format.fmtp = clean(rest, TEXT_MAX);
                }
            }
            "ptime" => match value.parse::<f32>().ok().filter(|p| *p >= 1.0 && *p <= f32::from(PTIME_MAX)) {
                Some(ptime) => {
                    let ptime = Some(ptime as u16);
                    match &mut self.current {
                        Some(open) => open.media.ptime_ms = ptime,
                        None => self.ptime_ms = ptime,
                    }
                }
                None => self.note(SdpAnomaly::Ptime),
            },
            "rtcp" => self.rtcp(value),
            "candidate" => self.candidate(value),
            "group" => self.group(value),
            "mid" => {
                if let Some(open) = &mut self.current {
                    open.mid = clean(value, MID_MAX);
                }
            }
            "bundle-only" => {
                if let Some(open) = &mut self.current {
                    open.bundle_only = true;
                }
            }
            "rtcp-mux" => {
                if let Some(open) = &mut self.current {
                    open.media.rtcp_mux = true;
                }
            }
            name @ ("crypto" | "fingerprint" | "key-mgmt") if !value.is_empty() => {
                let keys = self.current.as_mut().map_or(&mut self.keys, |open| &mut open.keys);
                *keys = keys.and(Srtp::On { trailer: if name == "crypto" { trailer(value) } else { None } });
            }
            "ssrc" => {
                if value.split_ascii_whitespace().next().is_none_or(|n| n.parse::<u32>().is_err()) {
                    self.note(SdpAnomaly::Ssrc);
                }
            }
            name => {
                if let Some(direction) = Direction::of(name) {
                    match &mut self.current {
                        Some(open) => open.direction = Some(direction),
                        None => self.direction = Some(direction),
                    }
                }
            }
        }
    }

    /// `a=rtpmap:<pt> <name>/<rate>[/<channels>]` (RFC 8866 section 6.6).
    fn rtpmap(&mut self, value: &str) {
        let mut bad_rate = false;
        if let Some((format, rest)) = self.format_of(value) {
            let mut parts = rest.split('/').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let rate =
                parts.next().and_then(|r| r.parse::<u32>().ok()).filter(|r| *r >= 1_000).and_then(ClockRate::new);
            let channels = parts.next().and_then(|c| c.parse::<u8>().ok()).filter(|c| *c > 0).unwrap_or(1);
            bad_rate = rate.is_none();
            if !name.is_empty() {
                // A rate nobody can use leaves the one of the static type, if it is the same codec.
                let same = format.name.eq_ignore_ascii_case(name);
                format.clock = rate.or(format.clock.filter(|_| same));
                format.name = clean(name, NAME_MAX);
                format.channels = channels;
            }
        }
        if bad_rate {
            self.note(SdpAnomaly::ClockRate);
        }
    }

    /// The format a `<pt> rest` value is about, and the rest.
    fn format_of<'v>(&mut self, value: &'v str) -> Option<(&mut Format, &'v str)> {
        let (pt, rest) = value.split_once(|c: char| c.is_ascii_whitespace())?;
        let pt = pt.parse::<u8>().ok()?;
        let open = self.current.as_mut()?;
        let place = (*open.places.get(usize::from(pt))?)?;
        let format = open.media.formats.get_mut(usize::from(place))?;
        Some((format, rest.trim()))
    }

    /// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605).
    fn rtcp(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let port = words.next().and_then(|p| p.parse::<u16>().ok()).filter(|p| *p != 0);
        let Some(port) = port else {
            return self.note(SdpAnomaly::Port);
        };
        let address = words.nth(2).and_then(read_address).and_then(|a| match a {
            Address::Ip(ip) => Some(ip),
            Address::Hold => None,
        });
        if let Some(open) = &mut self.current {
            open.rtcp = Some((port, address));
        }
    }

    /// `a=candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type> ...` (RFC 8839 section 5.1).
    /// Host names (mDNS) are not looked up; component 2 is RTCP.
    fn candidate(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace().skip(1);
        let (Some("1"), Some(transport)) = (words.next(), words.next()) else { return };
        if !transport.eq_ignore_ascii_case("udp") {
            return;
        }
        let ip = words.nth(1).and_then(read_address);
        let port = words.next().and_then(|p| p.parse::<u16>().ok()).filter(|p| *p != 0);
        let (Some(Address::Ip(ip)), Some(port), Some(open)) = (ip, port, &mut self.current) else { return };
        let address = SocketAddr::new(ip, port);
        let candidates = &mut open.media.candidates;
        if !ip.is_loopback() && candidates.len() < CANDIDATES_MAX && !candidates.contains(&address) {
            candidates.push(address);
        }
    }

    /// `a=group:BUNDLE <mid> ...` (RFC 9143 section 7).
    fn group(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        if self.current.is_some() || !words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("BUNDLE")) {
            return;
        }
        let left = BUNDLED_MAX - self.groups.iter().map(Vec::len).sum::<usize>();
        let mids: Vec<String> = words.take(left).map(|mid| clean(mid, MID_MAX)).collect();
        if !mids.is_empty() {
            self.groups.push(mids);
        }
    }

    /// Descriptions of one group share the addresses of the first of them that has any. One that is `a=bundle-only` has port 0
    /// in an offer, and is not refused.
    fn bundle(&mut self) {
        for group in &self.groups {
            let members = group.iter().filter_map(|mid| self.mids.iter().position(|(own, _)| own == mid));
            let members: Vec<usize> = members.collect();
            let media = &mut self.sdp.media;
            let tagged =
                members.iter().copied().find(|at| media.get(*at).is_some_and(|m| m.endpoints().next().is_some()));
            let Some(tagged) = tagged else { continue };
            for at in members.into_iter().filter(|at| *at != tagged) {
                let bundle_only = self.mids.get(at).is_some_and(|(_, bundle_only)| *bundle_only);
                if let Some(media) = media.get_mut(at).filter(|m| m.port != 0 || bundle_only) {
                    media.bundled_with = Some(tagged);
                }
            }
        }
    }

    fn close(&mut self) {
        let Some(Open { mut media, direction, rtcp, keys, mid, bundle_only, .. }) = self.current.take() else { return };
        self.mids.push((mid, bundle_only));
        media.address = media.address.or(self.address);
        media.ptime_ms = media.ptime_ms.or(self.ptime_ms);
        if let keys @ Srtp::On { .. } = keys.and(self.keys) {
            media.srtp = keys;
        }
        // With candidates, an address of zeros only says that none of them was chosen yet.
        let on_hold = media.address == Some(Address::Hold) && media.candidates.is_empty();
        let endpoint = media.endpoint();
        media.candidates.retain(|candidate| Some(*candidate) != endpoint);
        media.direction = match direction.or(self.direction) {
            Some(direction) => direction,
            None if on_hold => Direction::SendOnly,
            None => Direction::SendRecv,
        };
        media.rtcp = media.endpoint().filter(|_| media.is_rtp()).and_then(|rtp| match rtcp {
            _ if media.rtcp_mux => Some(rtp),
            Some((port, address)) => Some(SocketAddr::new(address.unwrap_or(rtp.ip()), port)),
            None => rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port)),
        });
        self.sdp.media.push(media);
    }

    fn finish(mut self) -> Sdp {
        self.close();
        self.bundle();
        self.sdp
    }
}

/// Bytes that `<tag> <suite> inline:<key>[|<lifetime>][|<MKI>:<length>] [<session parameters>]` (RFC 4568 section 9.1) adds to
/// a packet. Suites of RFC 4568, 5669, 6188, 7714 and 8269 by what their names end in.
fn trailer(value: &str) -> Option<u8> {
    let mut words = value.split_ascii_whitespace().skip(1);
    let suite = words.next()?.to_ascii_uppercase();
    let key = words.next()?;
    let tag = match suite.as_str() {
        _ if words.any(|word| word.eq_ignore_ascii_case("UNAUTHENTICATED_SRTP")) => 0,
        suite if suite.ends_with("_HMAC_SHA1_80") || suite.ends_with("_CCM_80") => 10,
        suite if suite.ends_with("_HMAC_SHA1_32") => 4,
        suite if suite.ends_with("_GCM_96") => 12,
        suite if suite.starts_with("AEAD_") && suite.ends_with("_GCM") => 16,
        _ => return None,
    };
    match key.split(';').next()?.split('|').skip(1).find_map(|part| part.split_once(':')) {
        Some((_, length)) => length.parse::<u8>().ok().filter(|bytes| *bytes <= 128).map(|bytes| tag + bytes),
        None => Some(tag),
    }
}

/// An address without `/ttl/count`; IPv4-mapped IPv6 as IPv4, so that it matches packets on the wire.
fn read_address(text: &str) -> Option<Address> {
    let text = text.split('/').next().unwrap_or(text);
    let ip = text.parse::<IpAddr>().ok()?.to_canonical();
    Some(if ip.is_unspecified() { Address::Hold } else { Address::Ip(ip) })
}

#[cfg(test)]
mod tests;
