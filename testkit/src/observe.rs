//! RTP found in any frames, as packet lists for the oracle. Sees Ethernet, one VLAN tag, IPv4 or IPv6 without extension
//! headers, UDP; everything else is passed over.

use crate::codec::{COMFORT_NOISE, TELEPHONE_EVENT};
use crate::media::fingerprint;
use crate::oracle::{Kind, PacketSeen};
use crate::pcap::Frame;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Source, destination, SSRC.
pub type StreamKey = (SocketAddr, SocketAddr, u32);

/// Packet lists by stream, in order of the frames. `clock_of` gives the clock rate of a payload type.
pub fn streams(frames: &[Frame], clock_of: impl Fn(u8) -> u32) -> BTreeMap<StreamKey, Vec<PacketSeen>> {
    let mut out: BTreeMap<StreamKey, Vec<PacketSeen>> = BTreeMap::new();
    for f in frames {
        if let Some((key, seen)) = rtp_of(f, &clock_of) {
            out.entry(key).or_default().push(seen);
        }
    }
    out
}

/// The RTP packet in a frame, if it is one: version 2, no RTCP (RFC 5761 section 4), ports above 1023.
pub fn rtp_of(f: &Frame, clock_of: &impl Fn(u8) -> u32) -> Option<(StreamKey, PacketSeen)> {
    let ip = match f.bytes.get(12..14)? {
        [0x81, 0x00] => f.bytes.get(18..)?,
        _ => f.bytes.get(14..)?,
    };
    let (protocol, src, dst, rest): (u8, IpAddr, IpAddr, &[u8]) = match ip.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?));
            (*ip.get(9)?, address(12)?, address(16)?, ip.get(usize::from(ip[0] & 15) * 4..)?)
        }
        6 => {
            let address = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(ip.get(at..at + 16)?).ok()?));
            (*ip.get(6)?, address(8)?, address(24)?, ip.get(40..)?)
        }
        _ => return None,
    };
    let short = |b: &[u8], at: usize| Some(u16::from_be_bytes([*b.get(at)?, *b.get(at + 1)?]));
    let long = |b: &[u8], at: usize| Some(u32::from(short(b, at)?) << 16 | u32::from(short(b, at + 2)?));
    let (sport, dport) = (short(rest, 0)?, short(rest, 2)?);
    let rtp = rest.get(8..)?;
    let (first, second) = (*rtp.first()?, *rtp.get(1)?);
    if protocol != 17 || first >> 6 != 2 || (192..=223).contains(&second) || sport < 1024 || dport < 1024 {
        return None;
    }
    let pt = second & 0x7F;
    let kind = match pt {
        TELEPHONE_EVENT => Kind::Event,
        COMFORT_NOISE => Kind::Noise,
        _ => Kind::Audio,
    };
    let seen = PacketSeen {
        at: f.at,
        sent_at: None,
        seq: short(rtp, 2)?,
        ts: long(rtp, 4)?,
        pt,
        marker: second & 0x80 != 0,
        kind,
        clock: clock_of(pt),
        payload_len: u32::from(short(rest, 4)?).saturating_sub(20),
        fingerprint: fingerprint(ip),
        cut_short: (f.bytes.len() as u32) < f.wire_len,
    };
    Some(((SocketAddr::new(src, sport), SocketAddr::new(dst, dport), long(rtp, 8)?), seen))
}
