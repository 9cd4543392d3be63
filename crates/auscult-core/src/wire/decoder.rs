//! The full way from frame to datagram or segment, with reassembly of IP fragments.

use super::byte_reader::Span;
use super::fragments::{Added, Fragments};
use super::layers::{self, Context, Found, Next};
use super::{Decoded, LinkType};
use crate::model::{Ignored, Layer, Limits, Outcome, OverLimit};
use crate::units::Timestamp;

/// Reassemblies inside one frame: a fragment may hold a tunnel whose packet is a fragment again.
const NESTED_REASSEMBLIES: usize = 3;

/// Decodes frames of any supported link type.
#[derive(Debug)]
pub struct Decoder {
    fragments: Fragments,
    whole: [Vec<u8>; NESTED_REASSEMBLIES],
}

/// What reassembly did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderCounters {
    /// Datagrams put together from fragments.
    pub reassembled: u64,
    /// Datagrams dropped because two of their fragments overlapped.
    pub fragments_overlapping: u64,
    /// Datagrams given up because a fragment did not come in time.
    pub fragments_expired: u64,
    /// Datagrams given up, oldest first, to stay within [`Limits::fragment_bytes`].
    pub fragments_evicted: u64,
    /// Bytes of fragments held now, with overhead.
    pub fragment_bytes: usize,
}

impl Decoder {
    pub fn new(limits: &Limits) -> Self {
        Decoder { fragments: Fragments::new(limits.fragment_bytes), whole: Default::default() }
    }

    /// Decodes one frame of `wire_len` bytes, of which `bytes` were captured.
    pub fn decode<'a>(&'a mut self, at: Timestamp, link: LinkType, bytes: &'a [u8], wire_len: usize) -> Decoded<'a> {
        let frame = Span::new(bytes, wire_len.max(bytes.len()));
        match layers::start(link, frame) {
            Ok(next) => go(at, &mut self.fragments, &mut self.whole, &mut Context::default(), next),
            Err(outcome) => Decoded::Done(outcome),
        }
    }

    /// Gives up fragments that waited too long. [`Decoder::decode`] does so too; this only frees memory sooner.
    pub fn expire(&mut self, at: Timestamp) {
        self.fragments.expire(at);
    }

    pub fn counters(&self) -> DecoderCounters {
        let c = self.fragments.counters;
        DecoderCounters {
            reassembled: c.reassembled,
            fragments_overlapping: c.overlapping,
            fragments_expired: c.expired,
            fragments_evicted: c.evicted,
            fragment_bytes: self.fragments.buffered_bytes(),
        }
    }
}

fn go<'a>(
    at: Timestamp,
    fragments: &mut Fragments,
    buffers: &'a mut [Vec<u8>],
    context: &mut Context,
    next: Next<'a>,
) -> Decoded<'a> {
    let fragment = match layers::walk(context, next) {
        Found::Udp(datagram) => return Decoded::Udp(datagram),
        Found::Tcp(segment) => return Decoded::Tcp(segment),
        Found::Icmp(error) => return Decoded::Icmp(error),
        Found::Nothing(outcome) => return Decoded::Done(outcome),
        Found::Fragment(fragment) => fragment,
    };
    let Some((buffer, more_buffers)) = buffers.split_first_mut() else {
        return Decoded::Done(Outcome::OverLimit(OverLimit::EncapsulationDepth));
    };
    match fragments.add(at, &fragment) {
        Added::Pending => Decoded::Done(Outcome::Ignored(Ignored::Fragment)),
        Added::Overlap => Decoded::Done(Outcome::Malformed(Layer::Ip)),
        Added::TooMany => Decoded::Done(Outcome::OverLimit(OverLimit::Fragments)),
        Added::Whole { bytes, wire } => {
            *buffer = bytes;
            let next = Next::Protocol(fragment.ip, fragment.key.protocol, Span::new(buffer, wire));
            go(at, fragments, more_buffers, &mut { fragment.context }, next)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Tunnel, UnreadTunnel};
    use crate::units::Nanos;
    use crate::wire::Datagram;

    const PAYLOAD: &[u8] = b"\x80\x00\x00\x01\x00\x00\x00\xa0\x11\x22\x33\x44payload!";

    fn cat(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    fn udp(dst_port: u16, payload: &[u8]) -> Vec<u8> {
        let len = (8 + payload.len()) as u16;
        cat(&[&4000u16.to_be_bytes(), &dst_port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload])
    }

    /// IPv4 from 192.0.2.1 to 192.0.2.2, identification 7, TTL 61, EF; `fragment` is the flags and offset field.
    fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let len = (20 + payload.len()) as u16;
        let [f0, f1] = fragment.to_be_bytes();
        cat(&[
            &[0x45, 0xb8],
            &len.to_be_bytes(),
            &[0, 7, f0, f1, 61, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2],
            payload,
        ])
    }

    fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x6b, 0x80, 0, 0];
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([next, 61]);
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend(payload);
        packet
    }

    fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
        cat(&[&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &ethertype.to_be_bytes(), payload])
    }

    fn decoder() -> Decoder {
        Decoder::new(&Limits::default())
    }

    /// Decodes one frame that must hold [`PAYLOAD`]; gives tunnel and VLAN.
    fn check(link: LinkType, frame: &[u8]) -> (&'static str, u16) {
        let mut d = decoder();
        let Decoded::Udp(found) = d.decode(Timestamp(0), link, frame, frame.len()) else {
            panic!("no datagram in {frame:02x?}: {:?}", decoder().decode(Timestamp(0), link, frame, frame.len()))
        };
        assert_eq!((found.payload, found.wire_len), (PAYLOAD, PAYLOAD.len()));
        assert_eq!((found.path.ttl, found.path.dscp), (61, 46));
        for cut in 0..frame.len() {
            let mut d = decoder();
            match d.decode(Timestamp(0), link, &frame[..cut], frame.len()) {
                Decoded::Done(Outcome::Ignored(_)) => {}
                Decoded::Udp(part) => {
                    assert!(PAYLOAD.starts_with(part.payload), "cut at {cut}");
                    assert_eq!(part.wire_len, PAYLOAD.len(), "cut at {cut}");
                }
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
        (found.path.tunnel.map_or("", Tunnel::name), found.path.vlan)
    }

    fn outcome(frame: &[u8]) -> Outcome {
        match decoder().decode(Timestamp(0), LinkType::ETHERNET, frame, frame.len()) {
            Decoded::Done(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn link_types() {
        let ip = ipv4(17, 0x4000, &udp(4000, PAYLOAD));
        let ip6 = ipv6(17, &udp(4000, PAYLOAD));
        let padded = cat(&[&ip, &[0; 9]]);
        for (link, frame) in [
            (LinkType::ETHERNET, ethernet(0x0800, &ip)),
            (LinkType::ETHERNET, ethernet(0x0800, &padded)),
            (LinkType::ETHERNET, ethernet(0x86dd, &cat(&[&ip6, &[0; 3]]))),
            (LinkType::ETHERNET, ethernet(56, &cat(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip]))),
            (LinkType::RAW, ip.clone()),
            (LinkType::DLT_RAW, ip6.clone()),
            (LinkType::DLT_RAW_OPENBSD, ip.clone()),
            (LinkType::IPV4, padded),
            (LinkType::IPV6, ip6.clone()),
            (LinkType::NULL, cat(&[&[2, 0, 0, 0], &ip])),
            (LinkType::NULL, cat(&[&[0, 0, 0, 2], &ip])),
            (LinkType::NULL, cat(&[&[30, 0, 0, 0], &ip6])),
            (LinkType::LOOP, cat(&[&[0, 0, 0, 24], &ip6])),
            (LinkType::LINUX_SLL, cat(&[&[0; 14], &[0x08, 0], &ip])),
            (LinkType::LINUX_SLL2, cat(&[&[0x86, 0xdd], &[0; 18], &ip6])),
            (LinkType::PPP, cat(&[&[0xff, 3, 0, 0x21], &ip])),
            (LinkType::PPP_HDLC, cat(&[&[0x57], &ip6])),
        ] {
            assert_eq!(check(link, &frame), ("", 0));
        }
        let nflog = |length: [u8; 2], kind: [u8; 2]| {
            cat(&[&[2, 0, 0, 5], &[8, 0, 1, 0, 0, 0, 0, 0], &[5, 0, 10, 0], b"x\0\0\0", &length, &kind, &ip])
        };
        let length = (4 + ip.len() as u16).to_le_bytes();
        assert_eq!(check(LinkType::NFLOG, &nflog(length, [9, 0])), ("", 0));
        let big = cat(&[&[2, 0, 0, 5, 0, 8, 0, 1, 0, 0, 0, 0], &(4 + ip.len() as u16).to_be_bytes(), &[0, 9], &ip]);
        assert_eq!(check(LinkType::NFLOG, &big), ("", 0));
        for (link, name) in [
            (127, "link_ieee80211"),
            (105, "link_ieee80211"),
            (189, "link_device"),
            (140, "link_ss7"),
            (117, "link_filter_log"),
            (9_999, "link_other"),
        ] {
            let mut d = decoder();
            let outcome = d.decode(Timestamp(0), LinkType(link), &ip, ip.len());
            let Decoded::Done(Outcome::Ignored(why)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(why.name(), name);
        }
    }

    #[test]
    fn encapsulations() {
        let ip = ipv4(17, 0, &udp(4000, PAYLOAD));
        let frame = ethernet(0x0800, &ip);
        let pppoe_len = (ip.len() as u16 + 2).to_be_bytes();
        let gtp_len = (ip.len() as u16).to_be_bytes();
        let gtp_ext_len = (ip.len() as u16 + 8).to_be_bytes();
        let gtp = cat(&[&[0x30, 255], &gtp_len, &[0, 0, 0, 9], &ip]);
        let gtp_ext = cat(&[&[0x34, 255], &gtp_ext_len, &[0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0x10, 0, 0], &ip]);
        let plain = |protocol: u8, payload: &[u8]| ethernet(0x0800, &ipv4(protocol, 0, payload));
        let tagged = |inner: &[u8]| ethernet(0x88a8, &cat(&[&[0x20, 100, 0x81, 0, 0, 200], inner]));
        for (expected, frame) in [
            (("", 100), ethernet(0x8100, &cat(&[&[0x20, 100, 8, 0], &ip]))),
            (("", 100), tagged(&cat(&[&[8, 0], &ip]))),
            (("gtp-u", 100), tagged(&cat(&[&[8, 0], &ipv4(17, 0, &udp(2152, &gtp))]))),
            (("gtp-u", 0), plain(17, &udp(2152, &gtp_ext))),
            (("pppoe", 0), ethernet(0x8864, &cat(&[&[0x11, 0, 0, 1], &pppoe_len, &[0, 0x21], &ip, &[0; 4]]))),
            (("mpls", 0), ethernet(0x8847, &cat(&[&[0, 1, 0, 64, 0, 2, 1, 64], &ip]))),
            (("mpls", 0), ethernet(0x8847, &cat(&[&[0, 1, 1, 64, 0, 0, 0, 0], &frame]))),
            (("gre", 0), plain(47, &cat(&[&[0, 0, 8, 0], &ip]))),
            (("gre", 0), plain(47, &cat(&[&[0xb0, 0, 0x65, 0x58], &[0; 12], &frame]))),
            (("erspan", 0), plain(47, &cat(&[&[0, 0, 0x88, 0xbe], &frame]))),
            (
                ("erspan", 0),
                plain(47, &cat(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], &[0x10, 0, 0, 0, 0, 0, 0, 0], &frame])),
            ),
            (("erspan", 0), plain(47, &cat(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1], &[0x20; 11], &[0], &frame]))),
            (("erspan", 0), plain(47, &cat(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1], &[0x20; 11], &[1; 9], &frame]))),
            (("vxlan", 0), plain(17, &udp(4789, &cat(&[&[8, 0, 0, 0, 0, 0, 42, 0], &frame])))),
            (("geneve", 0), plain(17, &udp(6081, &cat(&[&[0, 0, 0x65, 0x58, 0, 0, 42, 0], &frame])))),
            (("geneve", 0), plain(17, &udp(6081, &cat(&[&[2, 0x40, 8, 0, 0, 0, 42, 0], &[0; 8], &ip])))),
            (("tzsp", 0), plain(17, &udp(37008, &cat(&[&[1, 0, 0, 1, 0, 10, 1, 200, 1], &frame])))),
            (("tzsp", 0), plain(17, &udp(37008, &cat(&[&[1, 1, 0, 1, 1], &frame])))),
            // Ethernet over MPLS without control word, to any address; provider backbone bridges
            (("mpls", 0), ethernet(0x8847, &cat(&[&[0, 1, 1, 64], &frame]))),
            (("mpls", 0), ethernet(0x8847, &cat(&[&[0, 1, 1, 64, 0x4c], &frame[1..]]))),
            (("mpls", 0), ethernet(0x8847, &cat(&[&[0, 1, 1, 64, 0xa2], &frame[1..]]))),
            (("mpls", 200), ethernet(0x8847, &cat(&[&[0, 1, 1, 64], &frame[..12], &[0x81, 0, 0, 200, 8, 0], &ip]))),
            (("pbb", 100), ethernet(0x88a8, &cat(&[&[0, 100, 0x88, 0xe7, 0, 0, 1, 2], &frame]))),
            (("ipip", 0), plain(4, &ip)),
            (("6in4", 0), plain(41, &ipv6(17, &udp(4000, PAYLOAD)))),
            (("ipip", 0), ethernet(0x86dd, &ipv6(4, &ip))),
            (
                ("", 0),
                ethernet(
                    0x86dd,
                    &ipv6(0, &cat(&[&[60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0], &udp(4000, PAYLOAD)])),
                ),
            ),
            (("", 0), plain(51, &cat(&[&[17, 4, 0, 0], &[9; 20], &udp(4000, PAYLOAD)]))),
            // media on the ports of tunnels
            (("", 0), plain(17, &udp(2152, PAYLOAD))),
            (("", 0), plain(17, &udp(4789, PAYLOAD))),
            (("", 0), plain(17, &udp(6081, PAYLOAD))),
            (("", 0), plain(17, &udp(37008, PAYLOAD))),
            (("", 0), plain(17, &udp(1701, PAYLOAD))),
        ] {
            assert_eq!(check(LinkType::ETHERNET, &frame), expected);
        }
    }

    #[test]
    fn esp_is_opened_only_when_trailer_and_header_agree() {
        let inner = udp(4000, PAYLOAD);
        let esp = |pad: &[u8], next: u8, icv: usize| {
            let mut packet = cat(&[&[0, 0, 0, 1, 0, 0, 0, 2], &inner, pad, &[pad.len() as u8, next]]);
            packet.extend(std::iter::repeat_n(0xee, icv));
            ethernet(0x0800, &ipv4(50, 0, &packet))
        };
        for icv in [0, 12, 16, 24, 32] {
            assert_eq!(check(LinkType::ETHERNET, &esp(&[1, 2], 17, icv)), ("esp-null", 0));
        }
        let other = Outcome::Ignored(Ignored::UnreadTunnel(UnreadTunnel::Esp));
        assert_eq!(outcome(&esp(&[2, 1], 17, 12)), other, "padding is 1, 2, 3");
        assert_eq!(outcome(&esp(&[1, 2], 6, 12)), other, "no TCP in it");
        assert_eq!(outcome(&esp(&[1, 2], 17, 13)), other);
    }

    #[test]
    fn tunnels_that_are_not_read_have_their_names() {
        let ip = ipv4(17, 0, &udp(4000, PAYLOAD));
        let plain = |protocol: u8, payload: &[u8]| ethernet(0x0800, &ipv4(protocol, 0, payload));
        for (expected, frame) in [
            ("tunnel_l2tp", plain(115, &cat(&[&[0, 0, 0, 9], &ip]))),
            ("tunnel_l2tp", plain(17, &udp(1701, &cat(&[&[0, 2, 0, 1, 0, 1, 0xff, 3, 0, 0x21], &ip])))),
            ("tunnel_l2tp", plain(17, &udp(1701, &[0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0]))),
            ("tunnel_macsec", ethernet(0x88e5, &[0; 40])),
            ("tunnel_nsh", ethernet(0x894f, &[0; 40])),
            ("tunnel_pseudowire", ethernet(0x8847, &cat(&[&[0, 1, 1, 64], &[0x77; 40]]))),
            ("tunnel_tzsp", plain(17, &udp(37008, &cat(&[&[1, 0, 0, 18, 1], &[8; 40]])))),
            ("other_udp", plain(17, &udp(37008, &[1, 4, 0, 0]))),
            ("other_udp", plain(17, &udp(6081, &[0, 0x80, 0x65, 0x58, 0, 0, 42, 0]))),
        ] {
            let Outcome::Ignored(why) = outcome(&frame) else { panic!("{expected}: {:?}", outcome(&frame)) };
            assert_eq!(why.name(), expected);
        }
        let endless = cat(&[&[1, 0, 0, 1], &[0; 200]]);
        assert_eq!(outcome(&plain(17, &udp(37008, &endless))), Outcome::OverLimit(OverLimit::EncapsulationDepth));
        let endless = cat(&[&[2, 0, 0, 5], &[4, 0, 1, 0].repeat(100)]);
        let mut d = decoder();
        let decoded = d.decode(Timestamp(0), LinkType::NFLOG, &endless, endless.len());
        assert!(matches!(decoded, Decoded::Done(Outcome::OverLimit(OverLimit::EncapsulationDepth))));
    }

    #[test]
    fn bombs_and_contradictions() {
        let ip = ipv4(17, 0, &udp(4000, PAYLOAD));
        let too_deep = Outcome::OverLimit(OverLimit::EncapsulationDepth);
        let mut tags = [0, 1, 0x81, 0].repeat(4);
        tags.extend([0, 1, 8, 0]);
        assert_eq!(outcome(&ethernet(0x8100, &cat(&[&tags, &ip]))), too_deep);
        assert_eq!(outcome(&ethernet(0x8847, &[0, 1, 0, 64].repeat(20))), too_deep);
        let mut nested = ip.clone();
        for _ in 0..4 {
            nested = ipv4(4, 0, &nested);
        }
        assert_eq!(outcome(&ethernet(0x0800, &nested)), too_deep);
        let mut options = [60, 0, 1, 4, 0, 0, 0, 0].repeat(9);
        options.extend(udp(4000, PAYLOAD));
        assert_eq!(outcome(&ethernet(0x86dd, &ipv6(60, &options))), too_deep);
        let mut gtp = vec![0x34, 255, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0x85];
        gtp.extend([1, 0, 0, 0x85].repeat(9));
        assert_eq!(outcome(&ethernet(0x0800, &ipv4(17, 0, &udp(2152, &gtp)))), too_deep);
        gtp[12] = 0;
        let malformed = Outcome::Malformed(Layer::Tunnel);
        assert_eq!(outcome(&ethernet(0x0800, &ipv4(17, 0, &udp(2152, &gtp)))), malformed, "extension of no length");

        let mut short_udp = ip.clone();
        short_udp[25] = 7;
        assert_eq!(outcome(&ethernet(0x0800, &short_udp)), Outcome::Malformed(Layer::Udp));
        let mut short_ip = ip.clone();
        short_ip[3] = 19;
        assert_eq!(outcome(&ethernet(0x0800, &short_ip)), Outcome::Malformed(Layer::Ip));
        let mut short_ihl = ip.clone();
        short_ihl[0] = 0x44;
        assert_eq!(outcome(&ethernet(0x0800, &short_ihl)), Outcome::Malformed(Layer::Ip));
        assert_eq!(outcome(&ethernet(0x0800, &ipv4(6, 0, &[0; 20]))), Outcome::Malformed(Layer::Tcp));
        let quoted = cat(&[&[3, 4, 0, 0, 0, 0, 0, 0], &ip]);
        let other = Outcome::Ignored(Ignored::OtherProtocol);
        assert_eq!(
            outcome(&ethernet(0x0800, &ipv4(1, 0, &quoted))),
            other,
            "quoted by ICMP, which asks for smaller packets"
        );
    }

    #[test]
    fn offloaded_packets_have_no_ip_length_yet() {
        let mut ip = ipv4(17, 0, &udp(4000, PAYLOAD));
        (ip[2], ip[3]) = (0, 0);
        check(LinkType::ETHERNET, &ethernet(0x0800, &ip));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mut ip = ipv6(17, &udp(4000, PAYLOAD));
        for at in [8, 24] {
            ip[at..at + 12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        }
        let frame = ethernet(0x86dd, &ip);
        let mut d = decoder();
        let Decoded::Udp(found) = d.decode(Timestamp(0), LinkType::ETHERNET, &frame, frame.len()) else { panic!() };
        assert!(found.src.is_ipv4() && found.dst.is_ipv4());
        assert_eq!(super::super::fast_udp(LinkType::ETHERNET, &frame), Some(found));
    }

    const PIECE: usize = 16;

    /// The datagram with [`PAYLOAD`] twice, in Ethernet frames of [`PIECE`] payload bytes each.
    fn pieces() -> Vec<Vec<u8>> {
        let whole = udp(4000, &PAYLOAD.repeat(2));
        let count = whole.len().div_ceil(PIECE);
        let chunks = whole.chunks(PIECE).enumerate();
        chunks
            .map(|(i, c)| {
                let more = if i + 1 < count { 0x2000 } else { 0 };
                ethernet(0x0800, &ipv4(17, more | (i * PIECE / 8) as u16, c))
            })
            .collect()
    }

    fn feed(d: &mut Decoder, at: Timestamp, frame: &[u8]) -> Result<usize, Outcome> {
        match d.decode(at, LinkType::ETHERNET, frame, frame.len()) {
            Decoded::Udp(Datagram { payload, wire_len, .. }) => {
                assert!(PAYLOAD.repeat(2).starts_with(payload));
                assert_eq!(wire_len, 2 * PAYLOAD.len());
                Ok(payload.len())
            }
            Decoded::Done(outcome) => Err(outcome),
            other => panic!("{other:?}"),
        }
    }

    const PENDING: Result<usize, Outcome> = Err(Outcome::Ignored(Ignored::Fragment));

    #[test]
    fn fragments_in_any_order_and_repeated() {
        let p = pieces();
        assert_eq!(p.len(), 3);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut d = decoder();
            assert_eq!(feed(&mut d, Timestamp(0), &p[order[0]]), PENDING);
            assert_eq!(feed(&mut d, Timestamp(0), &p[order[0]]), PENDING, "the same again");
            assert_eq!(feed(&mut d, Timestamp(0), &p[order[1]]), PENDING);
            assert_eq!(feed(&mut d, Timestamp(0), &p[order[2]]), Ok(40));
            assert_eq!(d.counters(), DecoderCounters { reassembled: 1, ..Default::default() });
        }
    }

    #[test]
    fn a_fragment_cut_by_the_snap_length_ends_what_is_known() {
        let p = pieces();
        let mut d = decoder();
        assert_eq!(feed(&mut d, Timestamp(0), &p[0]), PENDING);
        let cut = &p[1][..p[1].len() - 6];
        assert!(matches!(
            d.decode(Timestamp(0), LinkType::ETHERNET, cut, p[1].len()),
            Decoded::Done(Outcome::Ignored(Ignored::Fragment))
        ));
        assert_eq!(feed(&mut d, Timestamp(0), &p[2]), Ok(8 + 10));
    }

    #[test]
    fn overlapping_fragments_are_dropped_with_their_datagram() {
        let mut p = pieces();
        let mut d = decoder();
        assert_eq!(feed(&mut d, Timestamp(0), &p[0]), PENDING);
        let other = ethernet(0x0800, &ipv4(17, 0x2001, &[0x22; 16]));
        assert_eq!(feed(&mut d, Timestamp(0), &other), Err(Outcome::Malformed(Layer::Ip)));
        assert_eq!((d.counters().fragments_overlapping, d.counters().fragment_bytes), (1, 0));
        assert_eq!(feed(&mut d, Timestamp(0), &p[1]), PENDING);
        let last = p[1].len() - 1;
        p[1][last] ^= 1;
        assert_eq!(feed(&mut d, Timestamp(0), &p[1]), Err(Outcome::Malformed(Layer::Ip)), "same place, other bytes");
        let beyond = ethernet(0x0800, &ipv4(17, 0x1fff, &[0; 16]));
        assert_eq!(feed(&mut d, Timestamp(0), &beyond), Err(Outcome::Malformed(Layer::Ip)), "ends beyond 64 KiB");
    }

    #[test]
    fn fragments_are_bounded_in_time_and_bytes() {
        let p = pieces();
        let mut d = decoder();
        assert_eq!(feed(&mut d, Timestamp(0), &p[0]), PENDING);
        let late = Timestamp(0) + Nanos::from_secs(31);
        assert_eq!(feed(&mut d, late, &p[1]), PENDING);
        assert_eq!(feed(&mut d, late, &p[2]), PENDING);
        assert_eq!(d.counters().fragments_expired, 1);

        let mut d = Decoder::new(&Limits { fragment_bytes: 6000, ..Limits::default() });
        for id in 0..100u16 {
            let mut frame = p[0].clone();
            frame[18..20].copy_from_slice(&id.to_be_bytes());
            assert_eq!(feed(&mut d, Timestamp(0), &frame), PENDING);
            assert!(d.counters().fragment_bytes <= 6000);
        }
        assert_eq!(d.counters().fragments_evicted, 94, "six of some 930 bytes are held");
        let mut d = Decoder::new(&Limits { fragment_bytes: 1000, ..Limits::default() });
        let huge = ethernet(0x0800, &ipv4(17, 0x2000, &[0; 1480]));
        assert_eq!(feed(&mut d, Timestamp(0), &huge), Err(Outcome::OverLimit(OverLimit::Fragments)));
    }

    #[test]
    fn fragments_inside_a_tunnel_inside_fragments() {
        let gtp = |inner: &[u8]| {
            let len = (inner.len() as u16).to_be_bytes();
            udp(2152, &cat(&[&[0x30, 255], &len, &[0, 0, 0, 9], inner]))
        };
        let mut d = decoder();
        let mut found = 0;
        for (n, piece) in pieces().iter().enumerate() {
            let outer = gtp(&piece[14..]);
            let (head, tail) = outer.split_at(24);
            for (fragment, part) in [(0x2000, head), (3, tail)] {
                let mut frame = ethernet(0x0800, &ipv4(17, fragment, part));
                frame[19] = 100 + n as u8;
                match feed(&mut d, Timestamp(0), &frame) {
                    Ok(len) => found += len,
                    waiting => assert_eq!(waiting, PENDING),
                }
            }
        }
        assert_eq!((found, d.counters().reassembled), (40, 4));
    }

    #[test]
    fn ipv6_fragments_and_atomic_ones() {
        let whole = udp(4000, &PAYLOAD.repeat(2));
        let fragment = |at: u16, more: u16, part: &[u8]| {
            let [o0, o1] = (at | more).to_be_bytes();
            ethernet(0x86dd, &ipv6(44, &cat(&[&[17, 0, o0, o1, 0, 1, 0xab, 0xcd], part])))
        };
        let mut d = decoder();
        assert_eq!(feed(&mut d, Timestamp(0), &fragment(0, 1, &whole[..24])), PENDING);
        assert_eq!(feed(&mut d, Timestamp(0), &fragment(24, 0, &whole[24..])), Ok(40));
        let atomic = fragment(0, 0, &whole);
        let mut d = decoder();
        let Decoded::Udp(found) = d.decode(Timestamp(0), LinkType::ETHERNET, &atomic, atomic.len()) else { panic!() };
        assert_eq!(found.path.ip_id, Some(0xabcd));
    }
}
