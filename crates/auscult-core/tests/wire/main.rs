//! `wire` against real captures; hostile inputs and second ways through the same bytes in the modules.

mod agree;
mod hostile;

use auscult_core::model::{Limits, Tunnel};
use auscult_core::units::{Ssrc, Timestamp};
use auscult_core::wire::classify::{Class, classify};
use auscult_core::wire::rtcp::{self, RtcpError, RtcpPacket};
use auscult_core::wire::tcp::{Protocol, Reassembler, TcpOutcome};
use auscult_core::wire::{Datagram, Decoded, Decoder, LinkType, Segment, fast_udp};
use pcap_parser::{Block, PcapBlockOwned, PcapError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

struct Frame {
    at: Timestamp,
    link: LinkType,
    bytes: Vec<u8>,
    wire_len: usize,
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn frames(path: &Path) -> Vec<Frame> {
    let mut reader = pcap_parser::create_reader(1 << 20, std::fs::File::open(path).unwrap()).unwrap();
    let (mut links, mut frames) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => links.push(LinkType(header.network.0 as u32)),
                    PcapBlockOwned::Legacy(b) => frames.push(Frame {
                        at: Timestamp::from_secs_nanos(i64::from(b.ts_sec), i64::from(b.ts_usec) * 1000),
                        link: links[0],
                        bytes: b.data[..b.caplen as usize].to_vec(),
                        wire_len: b.origlen as usize,
                    }),
                    PcapBlockOwned::NG(Block::InterfaceDescription(d)) => links.push(LinkType(d.linktype.0 as u32)),
                    PcapBlockOwned::NG(Block::EnhancedPacket(b)) => {
                        let ticks = (i64::from(b.ts_high) << 32) | i64::from(b.ts_low);
                        frames.push(Frame {
                            at: Timestamp(ticks),
                            link: links[b.if_id as usize],
                            bytes: b.data[..b.caplen as usize].to_vec(),
                            wire_len: b.origlen as usize,
                        });
                    }
                    _ => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return frames,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(e) => panic!("{}: {e:?}", path.display()),
        }
    }
}

type StreamKey = (SocketAddr, SocketAddr, u32);

/// What a capture holds, seen through the decoder.
#[derive(Default)]
struct Seen {
    rtp: BTreeMap<StreamKey, u64>,
    rtcp: Vec<(SocketAddr, Vec<String>)>,
    classes: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<String, u64>,
    tunnels: BTreeMap<&'static str, u64>,
    vlans: BTreeMap<u16, u64>,
    sip_udp: u64,
    largest_text: usize,
    tcp_segments: u64,
}

fn look(path: &Path) -> Seen {
    let mut decoder = Decoder::new(&Limits::default());
    let mut seen = Seen::default();
    for f in frames(path) {
        let fast = fast_udp(f.link, &f.bytes);
        match decoder.decode(f.at, f.link, &f.bytes, f.wire_len) {
            Decoded::Udp(d) => {
                assert!(fast.is_none_or(|fast| fast == d), "fast path differs");
                *seen.tunnels.entry(d.path.tunnel.map_or("", Tunnel::name)).or_default() += 1;
                *seen.vlans.entry(d.path.vlan).or_default() += 1;
                seen.udp(&d);
            }
            Decoded::Tcp(_) => seen.tcp_segments += 1,
            Decoded::Icmp(_) => *seen.outcomes.entry("ignored.icmp_error".to_owned()).or_default() += 1,
            Decoded::Done(outcome) => {
                assert!(fast.is_none(), "fast path took what the decoder refuses: {outcome:?}");
                *seen.outcomes.entry(outcome.name()).or_default() += 1;
            }
        }
    }
    seen
}

impl Seen {
    fn udp(&mut self, d: &Datagram<'_>) {
        let name = match classify(d.payload, d.wire_len) {
            Class::Rtp(header) => {
                *self.rtp.entry((d.src, d.dst, header.ssrc.0)).or_default() += 1;
                "rtp"
            }
            Class::Rtcp => {
                let packets = rtcp::packets(d.payload, d.wire_len);
                self.rtcp.push((d.src, packets.map(|p| kind(&p)).collect()));
                "rtcp"
            }
            Class::MalformedRtp(_) => "malformed_rtp",
            Class::MalformedRtcp => "malformed_rtcp",
            Class::Stun => "stun",
            Class::Relayed { .. } => "relayed",
            Class::Dtls => "dtls",
            Class::KeepAlive => "keep_alive",
            Class::Text => {
                self.largest_text = self.largest_text.max(d.wire_len);
                let line = d.payload.split(|b| *b == b'\r').next().unwrap_or_default();
                self.sip_udp += u64::from(line.windows(7).any(|w| w == b"SIP/2.0"));
                "text"
            }
            Class::Udptl => "udptl",
            Class::CutShort => "cut_short",
            Class::Other => "other",
        };
        *self.classes.entry(name).or_default() += 1;
    }
}

fn kind(packet: &Result<RtcpPacket<'_>, RtcpError>) -> String {
    match packet {
        Ok(RtcpPacket::SenderReport { blocks, .. }) => format!("sr{}", blocks.len()),
        Ok(RtcpPacket::ReceiverReport { blocks, .. }) => format!("rr{}", blocks.len()),
        Ok(RtcpPacket::Sdes(chunks)) => format!("sdes{}", chunks.len()),
        Ok(RtcpPacket::Bye { .. }) => "bye".into(),
        Ok(RtcpPacket::App { .. }) => "app".into(),
        Ok(RtcpPacket::Feedback { .. }) => "fb".into(),
        Ok(RtcpPacket::Xr { .. }) => "xr".into(),
        Ok(RtcpPacket::Encrypted { .. }) => "encrypted".into(),
        Ok(RtcpPacket::Unknown { packet_type }) => format!("unknown{packet_type}"),
        Err(e) => format!("{e:?}"),
    }
}

fn capture(prefix: &str) -> Option<PathBuf> {
    let dir = testkit::shared("captures")?;
    let found = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    Some(found.into_iter().find(|p| p.file_name().unwrap().to_string_lossy().starts_with(prefix)).unwrap())
}

#[test]
fn rtp_packets_per_stream_are_those_of_the_truth() {
    let Some(dir) = testkit::shared("captures/truth") else { return };
    let mut files = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let truth_path = entry.unwrap().path();
        let file = dir.parent().unwrap().join(truth_path.file_stem().unwrap());
        if truth_path.extension().is_none_or(|e| e != "json") || !file.is_file() {
            continue;
        }
        let truth = json(&truth_path);
        let Some(streams) = truth["rtp"]["oracle_streams"].as_array() else { continue };
        let seen = look(&file);
        for s in streams {
            let endpoint = |ip: &str, port: &str| {
                let ip: IpAddr = s[ip].as_str().unwrap().parse().unwrap();
                SocketAddr::new(ip, s[port].as_u64().unwrap() as u16)
            };
            let ssrc = u32::from_str_radix(s["ssrc"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
            let key = (endpoint("src", "sport"), endpoint("dst", "dport"), ssrc);
            // two streams of this file are relayed inside TURN over TCP, which is not followed
            if key.0.port() == 3478 {
                continue;
            }
            let expected = s["packets"].as_u64().unwrap();
            assert_eq!(seen.rtp.get(&key), Some(&expected), "{} {key:?}", file.display());
        }
        files += 1;
    }
    assert!(files > 20, "{files} files");
}

#[test]
fn layers_of_real_captures() {
    let counts = |prefix: &str| capture(prefix).map(|path| look(&path));
    if let Some(seen) = counts("b57e8fcc") {
        assert_eq!(seen.vlans, BTreeMap::from([(0, 6), (107, 30), (3243, 50), (4006, 30)]));
        assert_eq!((seen.tunnels["gtp-u"], seen.classes["rtp"]), (50, 110));
        assert_eq!((seen.rtp.len(), seen.tcp_segments), (7, 4));
    }
    if let Some(seen) = counts("f70ce23a") {
        // 52 of SCTP; all 36 ESP packets are opened
        assert_eq!(
            seen.outcomes,
            BTreeMap::from([("ignored.fragment".into(), 25), ("ignored.other_protocol".into(), 52)])
        );
        assert_eq!((seen.tunnels["gtp-u"], seen.tunnels["esp-null"], seen.sip_udp), (738, 3, 58));
        assert_eq!((seen.rtp.len(), seen.classes["rtp"]), (4, 1050));
    }
    if let Some(seen) = counts("7258bbc5") {
        assert_eq!(seen.outcomes, BTreeMap::from([("ignored.icmp_error".into(), 6)]), "RTP quoted by ICMP");
    }
    if let Some(seen) = counts("647311bb") {
        assert_eq!((seen.tunnels["pppoe"], seen.sip_udp), (32, 32));
    }
    if let Some(seen) = counts("064efe8f") {
        assert_eq!((seen.classes["udptl"], seen.classes["rtp"], seen.sip_udp), (460, 994, 9));
    }
    if let Some(seen) = counts("6f997668") {
        assert_eq!((seen.outcomes["ignored.fragment"], seen.largest_text), (22, 33_324));
    }
    if let Some(seen) = counts("ac556b4e") {
        assert_eq!((seen.classes["dtls"], seen.classes["stun"]), (23, 4));
        assert!(seen.rtcp.iter().all(|(_, packets)| *packets == ["encrypted"]));
    }
    if let Some(seen) = counts("3bd462e1") {
        assert_eq!(seen.classes, BTreeMap::from([("other", 42)]));
    }
}

#[test]
fn rtcp_fields_are_those_of_the_truth() {
    let Some(dir) = testkit::shared("captures/truth") else { return };
    let mut datagrams = 0;
    for prefix in ["064efe8f", "8157845e", "84af7ec4", "b06a6fc8", "f70ce23a"] {
        let Some(file) = capture(prefix) else { return };
        let truth = json(&dir.join(format!("{}.json", file.file_name().unwrap().to_string_lossy())));
        let mut decoder = Decoder::new(&Limits::default());
        let mut expected = truth["rtcp"]["packets"].as_array().unwrap().iter();
        for f in frames(&file) {
            let Decoded::Udp(d) = decoder.decode(f.at, f.link, &f.bytes, f.wire_len) else { continue };
            if classify(d.payload, d.wire_len) != Class::Rtcp {
                continue;
            }
            let seen = rtcp_as_tshark_prints(&d);
            let expected = expected.next().unwrap_or_else(|| panic!("{prefix}: one RTCP datagram too many"));
            assert_eq!(expected["src"], d.src.to_string());
            for (field, value) in seen {
                if let Some(theirs) = expected.get(field) {
                    let theirs = theirs.as_str().unwrap().replace('|', ",");
                    assert_eq!(value, theirs, "{prefix} frame {} {field}", expected["frame"]);
                }
            }
            datagrams += 1;
        }
        assert_eq!(expected.count(), 0, "{prefix}");
    }
    assert_eq!(datagrams, 9 + 23 + 7 + 5 + 30);
}

/// Fields of a compound by tshark's names, values of several packets joined by commas.
fn rtcp_as_tshark_prints(d: &Datagram<'_>) -> Vec<(&'static str, String)> {
    let mut fields: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut put = |name, value: String| fields.entry(name).or_default().push(value);
    let hex = |ssrc: Ssrc| ssrc.to_string();
    for packet in rtcp::packets(d.payload, d.wire_len) {
        let mut all_blocks = Vec::new();
        match packet.unwrap() {
            RtcpPacket::SenderReport { ssrc, rtp_ts, packets, blocks, .. } => {
                put("pt", "200".into());
                put("senderssrc", hex(ssrc));
                put("timestamp.rtp", rtp_ts.to_string());
                put("sender.packetcount", packets.to_string());
                all_blocks = blocks;
            }
            RtcpPacket::ReceiverReport { ssrc, blocks } => {
                put("pt", "201".into());
                put("senderssrc", hex(ssrc));
                all_blocks = blocks;
            }
            RtcpPacket::Sdes(chunks) => {
                put("pt", "202".into());
                chunks.iter().for_each(|c| put("ssrc.identifier", hex(c.ssrc)));
            }
            RtcpPacket::Bye { ssrcs, .. } => {
                put("pt", "203".into());
                ssrcs.iter().for_each(|s| put("ssrc.identifier", hex(*s)));
            }
            other => panic!("{other:?}"),
        }
        for b in all_blocks {
            put("ssrc.identifier", hex(b.ssrc));
            put("ssrc.fraction", b.fraction_lost.to_string());
            put("ssrc.cum_nr", b.cumulative_lost.to_string());
            put("ssrc.ext_high", b.highest_seq.to_string());
            put("ssrc.jitter", b.jitter_ticks.to_string());
            put("ssrc.lsr", b.last_sr.to_string());
            put("ssrc.dlsr", b.delay_since_last_sr.to_string());
        }
    }
    fields.into_iter().map(|(name, values)| (name, values.join(","))).collect()
}

/// Whole SIP messages in TCP streams: header block, then as many bytes as Content-Length says.
fn sip_messages_over_tcp(segments: impl Iterator<Item = (Timestamp, Vec<u8>, Segment<'static>)>) -> (u64, Reassembler) {
    let mut tcp = Reassembler::new(&Limits::default());
    let mut messages = 0;
    for (at, payload, segment) in segments {
        let segment = Segment { payload: &payload, ..segment };
        if let TcpOutcome::Readable(mut stream) = tcp.push(at, &segment)
            && stream.protocol() == Protocol::Sip
        {
            while let Some(len) = message_len(stream.bytes()).filter(|len| *len <= stream.bytes().len()) {
                stream.consume(len);
                messages += 1;
            }
        }
        while let Some(stream) = tcp.release(at) {
            assert!(stream.ends_in_hole(), "no holes are expected here");
        }
    }
    (messages, tcp)
}

fn message_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:").or(l.strip_prefix("l:")));
    Some(end + length.map_or(0, |l| l.trim().parse::<usize>().unwrap()))
}

#[test]
fn sip_over_tcp_is_complete() {
    for (prefix, expected) in
        [("06479b6c", None), ("32b68ce2", None), ("b0c30795", None), ("e2da2994", None), ("f4a2dc4f", Some(0))]
    {
        let (Some(file), Some(dir)) = (capture(prefix), testkit::shared("captures/truth")) else { return };
        let truth = json(&dir.join(format!("{}.json", file.file_name().unwrap().to_string_lossy())));
        let expected = expected.unwrap_or_else(|| truth["sip"]["messages"].as_u64().unwrap());
        let mut decoder = Decoder::new(&Limits::default());
        let mut segments = Vec::new();
        for f in frames(&file) {
            if let Decoded::Tcp(s) = decoder.decode(f.at, f.link, &f.bytes, f.wire_len) {
                segments.push((f.at, s.payload.to_vec(), Segment { payload: &[], ..s }));
            }
        }
        let (messages, tcp) = sip_messages_over_tcp(segments.into_iter());
        assert_eq!(messages, expected, "{prefix}");
        assert_eq!(tcp.counters.gaps, 0, "{prefix}");
    }
}
