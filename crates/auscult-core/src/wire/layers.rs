//! One frame, layer by layer, down to UDP, TCP or a fragment.
//!
//! A loop over [`Next`]: each step reads one header and names what follows. Depths are capped, so a frame made of
//! headers ends in [`OverLimit::EncapsulationDepth`].

use super::byte_reader::Span;
use super::esp;
use super::fragments::{Fragment, FragmentKey};
use super::icmp::{self, IcmpError};
use super::tunnels::{gre, in_udp, mpls};
use super::{Datagram, LinkType, Path, Segment};
use crate::model::{Ignored, Layer, Outcome, OverLimit, Tunnel, UnreadLink, UnreadTunnel};
use etherparse::err::{ipv4, ipv6, tcp};
use etherparse::{
    Ethernet2HeaderSlice, IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, SingleVlanHeaderSlice, TcpHeaderSlice, UdpHeaderSlice,
};
use std::net::{IpAddr, SocketAddr};

/// Tags and labels beyond these are a bomb, not a network: real frames carry two VLAN tags and three or four labels.
const MAX_VLANS: u8 = 4;
pub(super) const MAX_LABELS: u8 = 8;
pub(super) const MAX_TUNNELS: u8 = 3;
/// Extension headers per IP header, or per GTP-U header.
pub(super) const MAX_EXTENSIONS: u8 = 8;

/// What is known from the layers outside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    vlan: u16,
    vlans: u8,
    pub labels: u8,
    pub tunnels: u8,
    extensions: u8,
    pub tunnel: Option<Tunnel>,
}

/// The IP header around the part being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip {
    pub src: IpAddr,
    pub dst: IpAddr,
    ip_id: Option<u16>,
    ttl: u8,
    dscp: u8,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next<'a> {
    Ethernet(Span<'a>),
    EtherType(u16, Span<'a>),
    Ppp(Span<'a>),
    Mpls(Span<'a>),
    Ip(Span<'a>),
    /// IP protocol or extension header of this number.
    Protocol(Ip, u8, Span<'a>),
}

/// The end of the way through one frame.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Udp(Datagram<'a>),
    Tcp(Segment<'a>),
    Fragment(Fragment<'a>),
    Icmp(IcmpError<'a>),
    Nothing(Outcome),
}

pub(super) const CUT: Outcome = Outcome::Ignored(Ignored::CutShort);
pub(super) const NOT_IP: Outcome = Outcome::Ignored(Ignored::NotIp);
pub(super) const OTHER: Outcome = Outcome::Ignored(Ignored::OtherProtocol);
const TOO_DEEP: Outcome = Outcome::OverLimit(OverLimit::EncapsulationDepth);

/// One step: what follows, or the end.
pub(super) enum Step<'a> {
    Go(Next<'a>),
    End(Found<'a>),
}

pub(super) type Read<'a> = Result<Step<'a>, Outcome>;

/// EtherTypes that announce a VLAN tag: 802.1Q, 802.1ad and the two older QinQ values.
#[inline]
pub(super) fn is_vlan_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}

/// Reads the link header of a frame.
pub(super) fn start(link: LinkType, frame: Span<'_>) -> Result<Next<'_>, Outcome> {
    let mut c = frame.cursor();
    match link {
        LinkType::ETHERNET => Ok(Next::Ethernet(frame)),
        LinkType::RAW | LinkType::DLT_RAW | LinkType::DLT_RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Ok(Next::Ip(frame))
        }
        LinkType::NULL | LinkType::LOOP => {
            let family = c.u32().ok_or(CUT)?;
            // AF_INET is 2 everywhere; AF_INET6 is 24 (BSD), 28 (FreeBSD), 30 (macOS), 10 (Linux)
            match family.min(family.swap_bytes()) {
                2 | 10 | 24 | 28 | 30 => Ok(Next::Ip(frame.skip(4))),
                _ => Err(NOT_IP),
            }
        }
        LinkType::LINUX_SLL => {
            c.take(14).ok_or(CUT)?;
            Ok(Next::EtherType(c.u16().ok_or(CUT)?, frame.skip(16)))
        }
        LinkType::LINUX_SLL2 => {
            let ethertype = c.u16().ok_or(CUT)?;
            c.take(18).ok_or(CUT)?;
            Ok(Next::EtherType(ethertype, frame.skip(20)))
        }
        LinkType::PPP | LinkType::PPP_HDLC => Ok(Next::Ppp(frame)),
        LinkType::PPP_ETHER => Ok(Next::EtherType(0x8864, frame)),
        LinkType::NFLOG => nflog(frame),
        LinkType(other) => Err(Outcome::Ignored(Ignored::UnreadLink(UnreadLink::of(other)))),
    }
}

/// A packet that netfilter logged: family, version and group, then attributes with a length in the byte order of the host
/// that captured, one of which is the packet (nfnetlink_log.h).
fn nflog(frame: Span<'_>) -> Result<Next<'_>, Outcome> {
    const PAYLOAD: u16 = 9;
    /// The kernel has some twenty kinds of attributes.
    const MAX_ATTRIBUTES: u8 = 64;
    let mut c = frame.cursor();
    c.take(4).ok_or(CUT)?;
    let (mut at, mut attributes) = (4, 0);
    loop {
        deeper(&mut attributes, MAX_ATTRIBUTES)?;
        let [length, kind] = [c.array::<2>().ok_or(CUT)?, c.array::<2>().ok_or(CUT)?];
        // The upper bits of the kind are flags. Of the two byte orders, that of the host gives the smaller one.
        let little = u16::from_le_bytes(kind) & 0x3fff <= u16::from_be_bytes(kind) & 0x3fff;
        let number = |bytes| usize::from(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) });
        let (length, kind) = (number(length), number(kind) & 0x3fff);
        let body = length.checked_sub(4).ok_or(Outcome::Malformed(Layer::Link))?;
        if kind == usize::from(PAYLOAD) {
            return Ok(Next::Ip(frame.skip(at + 4).with_length(body)));
        }
        let padded = body.next_multiple_of(4);
        c.take(padded).ok_or(CUT)?;
        at += 4 + padded;
    }
}

/// Goes on from `next` until something is found.
pub(super) fn walk<'a>(context: &mut Context, next: Next<'a>) -> Found<'a> {
    let mut step = Ok(Step::Go(next));
    loop {
        step = match step {
            Ok(Step::Go(Next::Ethernet(span))) => ethernet(span),
            Ok(Step::Go(Next::EtherType(ethertype, span))) => by_ethertype(context, ethertype, span),
            Ok(Step::Go(Next::Ppp(span))) => ppp(span),
            Ok(Step::Go(Next::Mpls(span))) => mpls(context, span),
            Ok(Step::Go(Next::Ip(span))) => match span.bytes.first().map(|b| b >> 4) {
                Some(4) => ip_version_4(context, span),
                Some(6) => ip_version_6(context, span),
                Some(_) => Err(Outcome::Malformed(Layer::Ip)),
                None => Err(CUT),
            },
            Ok(Step::Go(Next::Protocol(ip, protocol, span))) => by_protocol(context, ip, protocol, span),
            Ok(Step::End(found)) => return found,
            Err(outcome) => return Found::Nothing(outcome),
        };
    }
}

fn ethernet(span: Span<'_>) -> Read<'_> {
    let header = Ethernet2HeaderSlice::from_slice(span.bytes).map_err(|_| CUT)?;
    Ok(Step::Go(Next::EtherType(header.ether_type().0, span.skip(14))))
}

fn by_ethertype<'a>(context: &mut Context, ethertype: u16, span: Span<'a>) -> Read<'a> {
    let next = match ethertype {
        0x0800 | 0x86dd => Next::Ip(span),
        tag if is_vlan_tag(tag) => {
            let header = SingleVlanHeaderSlice::from_slice(span.bytes).map_err(|_| CUT)?;
            deeper(&mut context.vlans, MAX_VLANS)?;
            if context.vlans == 1 {
                context.vlan = header.vlan_identifier().value();
            }
            Next::EtherType(header.ether_type().0, span.skip(4))
        }
        0x8847 | 0x8848 => Next::Mpls(span),
        0x8864 => {
            let mut c = span.cursor();
            let (version_type, code) = (c.u8().ok_or(CUT)?, c.u8().ok_or(CUT)?);
            let _session = c.u16().ok_or(CUT)?;
            let length = c.u16().ok_or(CUT)?;
            if version_type != 0x11 {
                return Err(Outcome::Malformed(Layer::Link));
            }
            if code != 0 {
                return Err(NOT_IP);
            }
            context.tunnel = Some(Tunnel::Pppoe);
            Next::Ppp(span.skip(6).with_length(usize::from(length)))
        }
        // Provider backbone bridge (IEEE 802.1ah): the service tag, then the customer's own frame
        0x88e7 => enter(context, Tunnel::Pbb, Next::Ethernet(span.skip(4)))?,
        0x88e5 => return Err(Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::Macsec))),
        0x894f => return Err(Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::Nsh))),
        // IEEE 802.3 length (and the 802.2 marker of Linux cooked captures): LLC, of which only SNAP carries IP
        4 | 36..=1500 => {
            let mut c = span.cursor();
            match c.array::<6>() {
                Some([0xaa, 0xaa, 0x03, 0, 0, 0]) => Next::EtherType(c.u16().ok_or(CUT)?, span.skip(8)),
                Some(_) => return Err(NOT_IP),
                None => return Err(CUT),
            }
        }
        _ => return Err(NOT_IP),
    };
    Ok(Step::Go(next))
}

/// PPP (RFC 1661), with or without HDLC address and control, with or without protocol field compression.
fn ppp(span: Span<'_>) -> Read<'_> {
    let mut c = span.cursor();
    let mut used = 0;
    let mut first = c.u8().ok_or(CUT)?;
    if first == 0xff {
        c.u8().ok_or(CUT)?;
        first = c.u8().ok_or(CUT)?;
        used = 2;
    }
    let protocol = if first & 1 == 1 {
        used += 1;
        u16::from(first)
    } else {
        used += 2;
        u16::from_be_bytes([first, c.u8().ok_or(CUT)?])
    };
    match protocol {
        0x0021 | 0x0057 => Ok(Step::Go(Next::Ip(span.skip(used)))),
        0x0281 => Ok(Step::Go(Next::Mpls(span.skip(used)))),
        _ => Err(NOT_IP),
    }
}

fn ip_version_4<'a>(context: &mut Context, span: Span<'a>) -> Read<'a> {
    let header = Ipv4HeaderSlice::from_slice(span.bytes).map_err(|e| match e {
        ipv4::HeaderSliceError::Len(_) => CUT,
        ipv4::HeaderSliceError::Content(_) => Outcome::Malformed(Layer::Ip),
    })?;
    let header_len = header.slice().len();
    let payload = match usize::from(header.total_len()) {
        // segmentation offload: the interface had not filled it in yet
        0 => span.skip(header_len),
        total if total < header_len => return Err(Outcome::Malformed(Layer::Ip)),
        total => span.skip(header_len).with_length(total - header_len),
    };
    context.extensions = 0;
    let ip = Ip {
        src: IpAddr::V4(header.source_addr()),
        dst: IpAddr::V4(header.destination_addr()),
        ip_id: Some(header.identification()),
        ttl: header.ttl(),
        dscp: header.dcp().value(),
    };
    let protocol = header.protocol().0;
    if !header.is_fragmenting_payload() {
        return Ok(Step::Go(Next::Protocol(ip, protocol, payload)));
    }
    let fields = FragmentFields {
        id: u32::from(header.identification()),
        protocol,
        at: usize::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
    };
    fragment(context, ip, fields, payload)
}

fn ip_version_6<'a>(context: &mut Context, span: Span<'a>) -> Read<'a> {
    let header = Ipv6HeaderSlice::from_slice(span.bytes).map_err(|e| match e {
        ipv6::HeaderSliceError::Len(_) => CUT,
        ipv6::HeaderSliceError::Content(_) => Outcome::Malformed(Layer::Ip),
    })?;
    let payload = match usize::from(header.payload_length()) {
        // segmentation offload, or a jumbogram (RFC 2675)
        0 => span.skip(40),
        length => span.skip(40).with_length(length),
    };
    context.extensions = 0;
    let ip = Ip {
        src: IpAddr::V6(header.source_addr()),
        dst: IpAddr::V6(header.destination_addr()),
        ip_id: None,
        ttl: header.hop_limit(),
        dscp: header.dscp().value(),
    };
    Ok(Step::Go(Next::Protocol(ip, header.next_header().0, payload)))
}

/// What an IPv4 header or an IPv6 fragment header says of a fragment.
struct FragmentFields {
    id: u32,
    protocol: u8,
    /// Fragment offset in bytes.
    at: usize,
    /// More fragments follow.
    more: bool,
}

fn fragment<'a>(context: &Context, ip: Ip, fields: FragmentFields, payload: Span<'a>) -> Read<'a> {
    let FragmentFields { id, protocol, at, more } = fields;
    let end = at + payload.wire;
    if payload.wire == 0 || end > usize::from(u16::MAX) {
        return Err(Outcome::Malformed(Layer::Ip));
    }
    let key = FragmentKey { src: ip.src, dst: ip.dst, id, protocol, vlan: context.vlan, tunnel: context.tunnel };
    Ok(Step::End(Found::Fragment(Fragment { key, context: *context, ip, at, more, payload })))
}

fn by_protocol<'a>(context: &mut Context, ip: Ip, protocol: u8, span: Span<'a>) -> Read<'a> {
    let next = match protocol {
        17 => return udp(context, ip, span),
        6 => return tcp(context, ip, span),
        0 | 43 | 60 | 135 | 139 | 140 if ip.src.is_ipv6() => {
            let header = Ipv6RawExtHeaderSlice::from_slice(span.bytes).map_err(|_| CUT)?;
            deeper(&mut context.extensions, MAX_EXTENSIONS)?;
            Next::Protocol(ip, header.next_header().0, span.skip(header.slice().len()))
        }
        44 if ip.src.is_ipv6() => {
            let header = Ipv6FragmentHeaderSlice::from_slice(span.bytes).map_err(|_| CUT)?;
            deeper(&mut context.extensions, MAX_EXTENSIONS)?;
            let (id, inner) = (header.identification(), header.next_header().0);
            let ip = Ip { ip_id: Some(id as u16), ..ip };
            if header.is_fragmenting_payload() {
                let at = usize::from(header.fragment_offset().value()) * 8;
                let fields = FragmentFields { id, protocol: inner, at, more: header.more_fragments() };
                return fragment(context, ip, fields, span.skip(8));
            }
            Next::Protocol(ip, inner, span.skip(8))
        }
        51 => {
            let header = IpAuthHeaderSlice::from_slice(span.bytes).map_err(|_| CUT)?;
            deeper(&mut context.extensions, MAX_EXTENSIONS)?;
            Next::Protocol(ip, header.next_header().0, span.skip(header.slice().len()))
        }
        4 => enter(context, Tunnel::Ipip, Next::Ip(span))?,
        41 => enter(context, if ip.src.is_ipv4() { Tunnel::SixInFour } else { Tunnel::Ipip }, Next::Ip(span))?,
        47 => return gre(context, span),
        50 => {
            let encrypted = Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::Esp));
            let (inner, payload) = esp::unwrap(&ip, span).ok_or(encrypted)?;
            enter(context, Tunnel::EspNull, Next::Protocol(ip, inner, payload))?
        }
        137 => Next::Mpls(span),
        1 | 58 => {
            let error = icmp::error(ip.src, ip.dst, span.bytes).ok_or(OTHER)?;
            return Ok(Step::End(Found::Icmp(error)));
        }
        115 => return Err(Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::L2tp))),
        _ => return Err(OTHER),
    };
    Ok(Step::Go(next))
}

fn udp<'a>(context: &mut Context, ip: Ip, span: Span<'a>) -> Read<'a> {
    let header = UdpHeaderSlice::from_slice(span.bytes).map_err(|_| CUT)?;
    let length = usize::from(header.length());
    if length < 8 {
        return Err(Outcome::Malformed(Layer::Udp));
    }
    if length > span.wire {
        return Err(CUT);
    }
    let payload = span.skip(8).with_length(length - 8);
    if let Some(next) = in_udp(context, header.destination_port(), payload)? {
        return Ok(Step::Go(next));
    }
    Ok(Step::End(Found::Udp(Datagram {
        src: SocketAddr::new(ip.src.to_canonical(), header.source_port()),
        dst: SocketAddr::new(ip.dst.to_canonical(), header.destination_port()),
        path: path(context, &ip),
        payload: payload.bytes,
        wire_len: payload.wire,
    })))
}

fn tcp<'a>(context: &Context, ip: Ip, span: Span<'a>) -> Read<'a> {
    let header = TcpHeaderSlice::from_slice(span.bytes).map_err(|e| match e {
        tcp::HeaderSliceError::Len(_) => CUT,
        tcp::HeaderSliceError::Content(_) => Outcome::Malformed(Layer::Tcp),
    })?;
    let payload = span.skip(header.slice().len());
    Ok(Step::End(Found::Tcp(Segment {
        src: SocketAddr::new(ip.src.to_canonical(), header.source_port()),
        dst: SocketAddr::new(ip.dst.to_canonical(), header.destination_port()),
        path: path(context, &ip),
        seq: header.sequence_number(),
        syn: header.syn(),
        fin: header.fin(),
        rst: header.rst(),
        payload: payload.bytes,
        wire_len: payload.wire,
    })))
}

fn path(context: &Context, ip: &Ip) -> Path {
    Path { ip_id: ip.ip_id, ttl: ip.ttl, dscp: ip.dscp, vlan: context.vlan, tunnel: context.tunnel }
}

pub(super) fn enter<'a>(context: &mut Context, tunnel: Tunnel, next: Next<'a>) -> Result<Next<'a>, Outcome> {
    deeper(&mut context.tunnels, MAX_TUNNELS)?;
    context.tunnel = Some(tunnel);
    Ok(next)
}

pub(super) fn deeper(depth: &mut u8, max: u8) -> Result<(), Outcome> {
    if *depth >= max {
        return Err(TOO_DEEP);
    }
    *depth += 1;
    Ok(())
}
