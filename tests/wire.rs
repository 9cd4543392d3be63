//! The wire room against real captures, hostile inputs and a second way through the same layers.

use auscult::model::{Ignored, Layer, Limits, Outcome, OverLimit};
use auscult::units::{Nanos, Timestamp};
use auscult::wire::classify::{Class, classify};
use auscult::wire::rtcp::{self, RtcpError, RtcpPacket};
use auscult::wire::tcp::{Reassembler, TcpOutcome};
use auscult::wire::{Datagram, Decoded, Decoder, LinkType, Path as NetPath, Segment, fast_udp, rtp};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError};
use proptest::prelude::*;
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

fn shared(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AUSCULT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
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
                *seen.tunnels.entry(d.path.tunnel).or_default() += 1;
                *seen.vlans.entry(d.path.vlan).or_default() += 1;
                seen.udp(&d);
            }
            Decoded::Tcp(_) => seen.tcp_segments += 1,
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
    let dir = shared("captures")?;
    let found = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    Some(found.into_iter().find(|p| p.file_name().unwrap().to_string_lossy().starts_with(prefix)).unwrap())
}

#[test]
fn rtp_packets_per_stream_are_those_of_the_truth() {
    let Some(dir) = shared("captures/truth") else { return };
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
fn zz_show() {
    let Some(dir) = shared("captures") else { return };
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    for path in all {
        if !path.is_file() || path.extension().is_some_and(|e| e == "md" || e == "json") {
            continue;
        }
        let seen = look(&path);
        println!(
            "{}\n   {:?} {:?} {:?} {:?} sip={} text={} tcp={} ",
            path.display(),
            seen.tunnels,
            seen.vlans,
            seen.outcomes,
            seen.classes,
            seen.sip_udp,
            seen.largest_text,
            seen.tcp_segments
        );
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        for (_, k) in &seen.rtcp {
            *kinds.entry(k.join("+")).or_default() += 1;
        }
        println!("   {kinds:?} rtp keys {}", seen.rtp.len());
    }
}
