//! Tunnels: what is inside MPLS, GRE, and UDP to the ports of GTP-U, VXLAN, Geneve and TZSP.
//!
//! RTP may use those ports too: where the bytes are not the tunnel's, the datagram is a datagram.

use super::byte_reader::Span;
use super::layers::{
    CUT, Context, MAX_EXTENSIONS, MAX_LABELS, MAX_TUNNELS, Next, OTHER, Read, Step, deeper, enter, is_vlan_tag,
};
use crate::model::{Ignored, Layer, Outcome, Tunnel, UnreadTunnel};

const GTPU_PORT: u16 = 2152;
const VXLAN_PORT: u16 = 4789;
const GENEVE_PORT: u16 = 6081;
const TZSP_PORT: u16 = 37008;
const L2TP_PORT: u16 = 1701;

const PORTS: [u16; 5] = [GTPU_PORT, VXLAN_PORT, GENEVE_PORT, TZSP_PORT, L2TP_PORT];

/// A bit for the last six bits of each of [`PORTS`], and one for the six bits before them.
const BITS: [u64; 2] = {
    let (mut bits, mut at) = ([0, 0], 0);
    while at < PORTS.len() {
        bits[0] |= 1 << (PORTS[at] & 63);
        bits[1] |= 1 << (PORTS[at] >> 6 & 63);
        at += 1;
    }
    bits
};

/// Whether UDP to this port may hold a tunnel. So it seems of 25 in 4,096 ports, which the slow way looks at: comparing each
/// packet with five ports takes 20 instructions more.
#[inline]
pub(super) fn may_be_tunnel_port(port: u16) -> bool {
    let [last, before] = BITS;
    (last >> (port & 63)) & (before >> (port >> 6 & 63)) & 1 != 0
}

/// What a datagram to `port` holds, if it holds a tunnel.
pub(super) fn in_udp<'a>(context: &mut Context, port: u16, payload: Span<'a>) -> Result<Option<Next<'a>>, Outcome> {
    match port {
        GTPU_PORT => gtp_u(context, payload),
        VXLAN_PORT => vxlan(context, payload),
        GENEVE_PORT => geneve(context, payload),
        TZSP_PORT => tzsp(context, payload),
        L2TP_PORT => l2tp(payload),
        _ => Ok(None),
    }
}

/// Label stack (RFC 3032). What it carries is not said: IP, or Ethernet with or without a pseudowire control word (RFC 4448).
/// The first nibble distinguishes them (RFC 4928) but for Ethernet without control word, whose address may begin with any.
pub(super) fn mpls<'a>(context: &mut Context, mut span: Span<'a>) -> Read<'a> {
    context.tunnel = Some(Tunnel::Mpls);
    loop {
        let entry = span.cursor().u32().ok_or(CUT)?;
        deeper(&mut context.labels, MAX_LABELS)?;
        span = span.skip(4);
        if entry & 0x100 != 0 {
            break;
        }
    }
    let first = span.bytes.first().map(|b| b >> 4).ok_or(CUT)?;
    let next = match first {
        4 | 6 if !is_ethernet(span) || is_ip(span) => Next::Ip(span),
        // The sixteen bits before the number of a control word are zero (RFC 4448 section 4.6).
        0 if !is_ethernet(span) || span.bytes.starts_with(&[0, 0]) && is_ethernet(span.skip(4)) => {
            deeper(&mut context.tunnels, MAX_TUNNELS)?;
            Next::Ethernet(span.skip(4))
        }
        _ if is_ethernet(span) => {
            deeper(&mut context.tunnels, MAX_TUNNELS)?;
            Next::Ethernet(span)
        }
        _ => return Err(Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::Pseudowire))),
    };
    Ok(Step::Go(next))
}

/// Whether these bytes are an Ethernet frame with something in it that is read here: the type behind the addresses, and the
/// version where it is that of IP.
fn is_ethernet(span: Span<'_>) -> bool {
    let type_at = |at: usize| Some(u16::from_be_bytes([*span.bytes.get(at)?, *span.bytes.get(at + 1)?]));
    let mut at = 12;
    for _ in 0..2 {
        at += if type_at(at).is_some_and(is_vlan_tag) { 4 } else { 0 };
    }
    let version = span.bytes.get(at + 2).map(|b| b >> 4);
    match type_at(at) {
        Some(0x0800) => version.is_none_or(|v| v == 4),
        Some(0x86dd) => version.is_none_or(|v| v == 6),
        Some(0x0806 | 0x8847 | 0x8848 | 0x8863 | 0x8864) => true,
        _ => false,
    }
}

/// Whether the length in an IP header is that of what is there.
fn is_ip(span: Span<'_>) -> bool {
    let field = |at: usize| Some(usize::from(u16::from_be_bytes([*span.bytes.get(at)?, *span.bytes.get(at + 1)?])));
    match span.bytes.first().map(|b| b >> 4) {
        Some(4) => field(2).is_some_and(|length| (20..=span.wire).contains(&length)),
        Some(6) => field(4).is_some_and(|length| length + 40 <= span.wire),
        _ => false,
    }
}

/// GRE (RFC 2784, 2890), its PPTP variant (RFC 2637) and ERSPAN types I to III over it.
pub(super) fn gre<'a>(context: &mut Context, span: Span<'a>) -> Read<'a> {
    let mut c = span.cursor();
    let flags = c.u16().ok_or(CUT)?;
    let protocol = c.u16().ok_or(CUT)?;
    let has = |bit: u16| flags & bit != 0;
    let optional = match flags & 7 {
        // checksum, key and sequence number, four bytes each; source routing (0x4000) was never used
        0 if !has(0x4000) => [has(0x8000), has(0x2000), has(0x1000)],
        1 => [has(0x2000), has(0x1000), has(0x0080)],
        _ => return Err(OTHER),
    };
    let header_len = 4 + 4 * optional.iter().filter(|present| **present).count();
    let inner = span.skip(header_len);
    c.take(header_len - 4).ok_or(CUT)?;
    let next = match protocol {
        0x6558 => enter(context, Tunnel::Gre, Next::Ethernet(inner))?,
        // type I is a bare mirrored frame, type II came with the sequence number
        0x88be if !has(0x1000) => enter(context, Tunnel::Erspan, Next::Ethernet(inner))?,
        0x88be => {
            c.take(8).ok_or(CUT)?;
            enter(context, Tunnel::Erspan, Next::Ethernet(inner.skip(8)))?
        }
        0x22eb => {
            // the last bit of the twelve says whether a platform sub-header of eight more follows
            let optional = c.take(11).and_then(|_| c.u8()).ok_or(CUT)? & 1 == 1;
            if optional {
                c.take(8).ok_or(CUT)?;
            }
            enter(context, Tunnel::Erspan, Next::Ethernet(inner.skip(if optional { 20 } else { 12 })))?
        }
        0x880b => enter(context, Tunnel::Gre, Next::Ppp(inner))?,
        0x0800 | 0x86dd | 0x8100 | 0x88a8 | 0x8847 | 0x8848 => {
            enter(context, Tunnel::Gre, Next::EtherType(protocol, inner))?
        }
        _ => return Err(OTHER),
    };
    Ok(Step::Go(next))
}

/// GTP-U version 1 (3GPP TS 29.281). `None` when the bytes are something else on that port.
fn gtp_u<'a>(context: &mut Context, span: Span<'a>) -> Result<Option<Next<'a>>, Outcome> {
    const G_PDU: u8 = 255;
    let mut c = span.cursor();
    let (Some(flags), Some(kind), Some(length)) = (c.u8(), c.u8(), c.u16()) else { return unknown(span) };
    // version 1, protocol type GTP, spare bit zero
    if flags & 0xf8 != 0x30 {
        return Ok(None);
    }
    match kind {
        G_PDU => {}
        // echo, error indication, supported extensions, tunnel status, end marker
        1 | 2 | 26 | 31 | 253 | 254 => return Err(Outcome::Ignored(Ignored::OtherUdp)),
        _ => return Ok(None),
    }
    let _teid = c.u32().ok_or(CUT)?;
    let mut used = 0;
    if flags & 7 != 0 {
        let [_, _, _, mut next_type] = c.array::<4>().ok_or(CUT)?;
        used = 4;
        let mut extensions = 0;
        while flags & 4 != 0 && next_type != 0 {
            deeper(&mut extensions, MAX_EXTENSIONS)?;
            let bytes = usize::from(c.u8().ok_or(CUT)?) * 4;
            let body = bytes.checked_sub(1).ok_or(Outcome::Malformed(Layer::Tunnel))?;
            next_type = c.take(body).and_then(<[u8]>::last).copied().ok_or(CUT)?;
            used += bytes;
        }
    }
    let inner = span.skip(8).with_length(usize::from(length)).skip(used);
    match inner.bytes.first().map(|b| b >> 4) {
        Some(4 | 6) => enter(context, Tunnel::GtpU, Next::Ip(inner)).map(Some),
        // an Ethernet or unstructured session
        Some(_) => Err(OTHER),
        None => Err(CUT),
    }
}

/// VXLAN (RFC 7348), also with a group policy. `None` when the bytes are something else on that port.
fn vxlan<'a>(context: &mut Context, span: Span<'a>) -> Result<Option<Next<'a>>, Outcome> {
    match span.cursor().array::<8>() {
        Some([0x08, 0, 0, 0, .., 0] | [0x88, .., 0]) => {
            enter(context, Tunnel::Vxlan, Next::Ethernet(span.skip(8))).map(Some)
        }
        Some(_) => Ok(None),
        None => unknown(span),
    }
}

/// Too few bytes to distinguish a tunnel from a payload.
fn unknown<'a>(span: Span<'a>) -> Result<Option<Next<'a>>, Outcome> {
    if span.is_cut() { Err(CUT) } else { Ok(None) }
}

/// Geneve (RFC 8926). `None` when the bytes are something else on that port.
fn geneve<'a>(context: &mut Context, span: Span<'a>) -> Result<Option<Next<'a>>, Outcome> {
    let Some([first, flags, type_high, type_low, _, _, _, reserved]) = span.cursor().array::<8>() else {
        return unknown(span);
    };
    // Version 0; of the flags only those of control packets and of critical options are used.
    if first & 0xc0 != 0 || flags & 0x3f != 0 || reserved != 0 {
        return Ok(None);
    }
    let inner = span.skip(8 + 4 * usize::from(first & 0x3f));
    let next = match u16::from_be_bytes([type_high, type_low]) {
        0x6558 => Next::Ethernet(inner),
        ip @ (0x0800 | 0x86dd) => Next::EtherType(ip, inner),
        _ => return Ok(None),
    };
    if flags & 0x80 != 0 {
        return Err(Outcome::Ignored(Ignored::OtherUdp));
    }
    enter(context, Tunnel::Geneve, next).map(Some)
}

/// TZSP, as capturing switches and access points send it. `None` when the bytes are something else on that port.
fn tzsp<'a>(context: &mut Context, span: Span<'a>) -> Result<Option<Next<'a>>, Outcome> {
    const ETHERNET: u16 = 1;
    /// Tags before the frame: signal strength, time, channel and the like.
    const MAX_TAGS: u8 = 64;
    let mut c = span.cursor();
    let (Some(version), Some(kind), Some(inside)) = (c.u8(), c.u8(), c.u16()) else { return unknown(span) };
    match (version, kind) {
        // A packet that was received, or one to be sent.
        (1, 0 | 1) => {}
        // Configuration, keep-alive, port opener.
        (1, 3..=5) => return Err(Outcome::Ignored(Ignored::OtherUdp)),
        _ => return Ok(None),
    }
    let (mut used, mut tags) = (4, 0);
    loop {
        deeper(&mut tags, MAX_TAGS)?;
        used += 1;
        match c.u8().ok_or(CUT)? {
            0 => {}
            1 => break,
            _ => {
                let length = usize::from(c.u8().ok_or(CUT)?);
                c.take(length).ok_or(CUT)?;
                used += 1 + length;
            }
        }
    }
    match inside {
        ETHERNET => enter(context, Tunnel::Tzsp, Next::Ethernet(span.skip(used))).map(Some),
        _ => Err(Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::Tzsp))),
    }
}

/// L2TP over UDP (RFC 2661, RFC 3931) is not read: version 2 carries PPP, version 3 whatever its control connection agreed
/// on. `None` when the bytes are something else on that port.
fn l2tp<'a>(span: Span<'a>) -> Result<Option<Next<'a>>, Outcome> {
    let Some(flags) = span.cursor().u16() else { return unknown(span) };
    // The bits between the flags and the version are zero; a control message has its length and sequence numbers, which
    // distinguishes it from RTP.
    let control = flags & 0x8000 != 0;
    match (flags & 0x34f0, flags & 0x000f) {
        (0, 2 | 3) if !control || flags & 0x4800 == 0x4800 => {
            Err(Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::L2tp)))
        }
        _ => Ok(None),
    }
}
