//! One stream or two: what holds, rebindings, relays, forks, copies and new SSRCs make of the rows, in generated worlds
//! and in real captures; and voice quality reports joined to the stream they are about.

use auscult::app::analyze::{AnalyzeArgs, Format, analyze};
use auscult_core::engine::Engine;
use auscult_core::model::{Event, Limits, Policy, Relation, RelationKind, RtcpKind, StreamReport, VqSide};
use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;
use serde_json::Value;
use std::net::SocketAddr;
use testkit::frame::{Lower, udp};

const MS: i64 = 1_000_000;
const A: &str = "10.0.0.1:4000";
const A2: &str = "10.0.0.1:4100";
const NAT: &str = "10.0.0.7:4000";
const B: &str = "10.0.0.2:5000";
const C: &str = "10.0.0.3:5000";
const R: &str = "10.0.0.9:6000";
const R2: &str = "10.0.0.9:6002";

/// Frames with their times in nanoseconds.
#[derive(Default)]
struct World {
    frames: Vec<(i64, Vec<u8>)>,
    id: u16,
}

impl World {
    /// Packets `numbers` of 20 ms from `start_ms` on; number n always has the timestamp 160 n.
    fn rtp(&mut self, src: &str, dst: &str, ssrc: u32, numbers: std::ops::Range<u32>, start_ms: i64) -> &mut World {
        let first = numbers.start;
        for n in numbers {
            self.packet(src, dst, ssrc, n, start_ms * MS + i64::from(n - first) * 20 * MS);
        }
        self
    }

    fn packet(&mut self, src: &str, dst: &str, ssrc: u32, n: u32, at: i64) {
        let mut payload = vec![0x80, 0];
        payload.extend((n as u16).to_be_bytes());
        payload.extend((160 * n).to_be_bytes());
        payload.extend(ssrc.to_be_bytes());
        payload.extend([0xD5; 160]);
        self.udp(src, dst, at, &payload);
    }

    fn udp(&mut self, src: &str, dst: &str, at: i64, payload: &[u8]) {
        self.id += 1;
        let lower = Lower { id: self.id, ttl: 64, dscp: 46, vlan: None };
        self.frames.push((at, udp(address(src), address(dst), lower, payload)));
    }

    /// What the engine reports; the same for any number of shards.
    fn events(&self) -> Vec<Event> {
        let one = self.run(1, false);
        let text = |events: &[Event]| {
            let mut lines: Vec<String> = events.iter().map(|e| format!("{e:?}")).collect();
            lines.sort_unstable();
            lines
        };
        for (shards, ticks) in [(1, true), (2, false), (8, true)] {
            assert!(text(&one) == text(&self.run(shards, ticks)), "{shards} shards, ticks {ticks}");
        }
        one
    }

    fn run(&self, shards: usize, ticks: bool) -> Vec<Event> {
        let mut engine = Engine::new(Limits::default(), Policy::default(), shards, shards as u64);
        let mut frames: Vec<_> = self.frames.iter().collect();
        frames.sort_by_key(|(at, _)| *at);
        let mut out = Vec::new();
        for (at, bytes) in frames {
            let at = Timestamp::from_secs(1_700_000_000) + auscult_core::units::Nanos(*at);
            if ticks {
                engine.tick(at, &mut out);
            }
            engine.frame(at, LinkType::ETHERNET, bytes, bytes.len(), &mut out);
        }
        engine.finish(&mut out);
        let ended: Vec<_> = streams(&out);
        for (kind, counted) in engine.relations() {
            let told = ended.iter().filter(|s| s.relation.is_some_and(|r| r.kind == kind)).count() as u64;
            assert_eq!(counted, told, "{}", kind.name());
        }
        out
    }

    fn streams(&self) -> Vec<StreamReport> {
        streams(&self.events())
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

fn streams(events: &[Event]) -> Vec<StreamReport> {
    let mut found: Vec<StreamReport> =
        events.iter().filter_map(|e| if let Event::StreamEnded(s) = e { Some((**s).clone()) } else { None }).collect();
    found.sort_by_key(|s| (s.first_at, s.src, s.dst));
    found
}

#[track_caller]
fn lossless(streams: &[StreamReport]) {
    for s in streams {
        assert_eq!((s.numbers.lost(), s.numbers.expected), (0, s.numbers.unique), "{} -> {}", s.src, s.dst);
    }
}

fn relation(kind: RelationKind, other: &StreamReport, lost_at_move: Option<u32>) -> Option<Relation> {
    Some(Relation { kind, other: other.id, lost_at_move })
}

#[test]
fn hold_and_resume_leave_no_loss_and_name_where_the_numbers_went() {
    let mut world = World::default();
    world.rtp(A, B, 7, 100..200, 0).rtp(A, C, 7, 200..300, 2_000).rtp(A, B, 7, 300..400, 4_000);
    let s = world.streams();
    assert_eq!(s.len(), 2);
    lossless(&s);
    assert_eq!((s[0].redirected, s[1].redirected), (100, 0));
    assert_eq!(s[0].relation, None);
    assert_eq!(s[1].relation, relation(RelationKind::MovedFrom, &s[0], Some(0)));
}

#[test]
fn a_new_source_port_or_address_goes_on_with_the_stream() {
    for (source, missing) in [(A2, 0), (NAT, 0), (A2, 5), (A2, 2_999)] {
        let mut world = World::default();
        world.rtp(A, B, 7, 65_500..65_600, 0).rtp(source, B, 7, 65_600 + missing..65_700 + missing, 2_100);
        let s = world.streams();
        assert_eq!(s.len(), 2);
        lossless(&s);
        assert_eq!(s[1].relation, relation(RelationKind::MovedFrom, &s[0], Some(missing)), "{source} {missing}");
    }
    let mut world = World::default();
    world.rtp(A, B, 7, 100..200, 0).rtp(A2, B, 7, 3_200..3_300, 2_100);
    assert_eq!(world.streams()[1].relation, None, "3001 numbers on is a new start");
    let mut world = World::default();
    let timeout = Policy::default().stream_timeout.0 / MS;
    world.rtp(A, B, 7, 100..200, 0).rtp(A2, B, 7, 200..300, 2_000 + timeout);
    assert_eq!(world.streams()[1].relation, None, "the old one had timed out");
    let mut world = World::default();
    world.rtp(A, B, 7, 100..300, 0).rtp(A2, B, 7, 205..300, 2_000);
    assert_eq!(world.streams()[1].relation, None, "both go on");
}

#[test]
fn the_second_leg_of_a_relay_is_a_relay_of_the_first() {
    let mut world = World::default();
    world.rtp(A, R, 7, 100..200, 0);
    for n in (100..200).filter(|n| n % 10 != 0) {
        world.packet(R2, B, 7, n, i64::from(n - 100) * 20 * MS + 3 * MS);
    }
    let s = world.streams();
    assert_eq!(s.len(), 2);
    assert_eq!(s[1].relation, relation(RelationKind::RelayOf, &s[0], None));
    assert_eq!((s[0].relation, s[0].numbers.lost(), s[0].numbers.unique), (None, 0, 100));
    assert_eq!((s[1].numbers.lost(), s[1].numbers.unique), (9, 90), "lost at the hop, the first number unseen");
    let mut world = World::default();
    world.rtp(A, R, 7, 100..200, 0).rtp(R, A, 7, 100..200, 3);
    assert!(world.streams().iter().all(|s| s.relation.is_none()), "an echo goes back to its sender");
}

#[test]
fn the_same_packets_to_a_second_destination_are_a_fork() {
    let mut world = World::default();
    world.rtp(A, B, 7, 100..300, 0).rtp(A, C, 7, 100..300, 1);
    let s = world.streams();
    lossless(&s);
    assert_eq!((s[0].relation, s[0].redirected), (None, 0));
    assert_eq!(s[1].relation, relation(RelationKind::ForkOf, &s[0], None));
    let mut world = World::default();
    world.rtp(A, B, 7, 100..300, 0).rtp(A, C, 7, 200..300, 2_001);
    let s = world.streams();
    assert_eq!(s[1].relation, relation(RelationKind::ForkOf, &s[0], None), "a recorder that joins later");
}

#[test]
fn a_new_ssrc_between_the_same_addresses() {
    let mut world = World::default();
    world.rtp(A, B, 7, 100..200, 0).rtp(A, B, 8, 5_000..5_100, 2_000);
    let s = world.streams();
    lossless(&s);
    assert_eq!(s[1].relation, relation(RelationKind::SsrcChangedFrom, &s[0], None));
    let mut world = World::default();
    world.rtp(A, B, 7, 100..200, 0).rtp(A, B, 8, 5_000..5_100, 1_009);
    assert_eq!(world.streams()[1].relation, None, "two at once");
    let mut world = World::default();
    world.rtp(A, B, 7, 100..200, 0).rtp(A, B, 8, 5_000..5_100, 4_100);
    assert_eq!(world.streams()[1].relation, None, "the next call on the same ports");
}

#[test]
fn copies_of_the_mirror_are_no_duplicates_of_the_network() {
    for copies in [1, 2] {
        let mut world = World::default();
        world.rtp(A, B, 7, 100..200, 0);
        let mirrored = world.frames.clone();
        for copy in 1..=copies {
            world.frames.extend(mirrored.iter().map(|(at, bytes)| (at + copy * 200_000, bytes.clone())));
        }
        for n in [120, 150] {
            world.packet(A, B, 7, n, i64::from(n - 100) * 20 * MS + 5 * MS);
        }
        let s = world.streams();
        assert_eq!(s.len(), 1);
        let n = &s[0].numbers;
        assert_eq!((n.duplicates_probe, n.duplicates_network, n.lost()), (100 * copies as u64, 2, 0));
    }
}

const REPORT: &str = "VQSessionReport: CallTerm\r\nCallID: q1@10.0.0.2\r\nLocalID: <sip:+15550100@b.example>\r\n\
    RemoteID: <sip:+15550101@a.example>\r\nOrigID: <sip:+15550101@a.example>\r\n\
    LocalAddr: IP=10.0.0.2 PORT=5000 SSRC=0x99\r\nRemoteAddr: IP=10.0.0.1 PORT=4000 SSRC=0x00000007\r\n\
    LocalMetrics:\r\nSessionDesc: PD=PCMU\r\nJitterBuffer: JBA=3 JBR=2 JBN=40 JBM=60 JBX=120\r\nPacketLoss: NLR=5.0 JDR=2.5\r\n\
    BurstGapLoss: BLD=50 BD=240 GLD=0.6 GD=9800 GMIN=16\r\nDelay: RTD=105 ESD=65 SOWD=118\r\n\
    QualityEst: RLQ=88 RCQ=86 MOSLQ=4.1 MOSCQ=4.0\r\n";

fn sip(method: &str, call_id: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:b@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{method}{call_id}\r\nFrom: <sip:a@h>;tag=f\r\n\
         To: <sip:b@h>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn a_voice_quality_report_finds_its_call_and_stream() {
    let (ua, server) = ("10.0.0.2:5060", "10.0.0.20:5060");
    let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let records = |report: &str| {
        let mut world = World::default();
        world.udp("10.0.0.1:5060", ua, 0, &sip("INVITE", "q1@10.0.0.2", "application/sdp", sdp));
        world.rtp(A, B, 7, 100..200, 100);
        world.udp(ua, server, 3_000 * MS, &sip("PUBLISH", "p1", "application/vq-rtcpxr", report));
        let events = world.events();
        assert!(!events.iter().any(|e| format!("{e:?}").contains("+1555010")), "numbers of the parties");
        let call = events.iter().find_map(|e| if let Event::CallEnded(c) = e { Some(c.uid) } else { None });
        let stream = streams(&events)[0].id;
        let records: Vec<_> =
            events.iter().filter_map(|e| if let Event::Rtcp(r) = e { Some((**r).clone()) } else { None }).collect();
        (call, stream, records)
    };
    let (call, stream, found) = records(REPORT);
    let [record] = &found[..] else { panic!("{} records", found.len()) };
    assert_eq!((record.kind, record.reporter.0), (RtcpKind::VqReport, 0x99));
    assert!(call.is_some());
    assert_eq!((record.call_uid, record.stream), (call, Some(stream)));
    assert_eq!((record.src, record.dst), (address(ua), address(server)));
    let v = record.voip.expect("metrics");
    assert_eq!((v.ssrc.0, v.loss_pct, v.discard_pct), (7, Some(5.0), Some(2.5)));
    assert_eq!((v.burst_density_pct, v.gap_density_pct), (Some(50.0), Some(0.6)));
    assert_eq!((v.burst_ms, v.gap_ms, v.gmin), (Some(240), Some(9_800), Some(16)));
    assert_eq!((v.round_trip_ms, v.end_system_ms, v.r), (Some(105), Some(65), Some(88)));
    assert_eq!((v.mos_lq, v.mos_cq, v.jitter_buffer_nominal_ms), (Some(4.1), Some(4.0), Some(40)));
    assert_eq!(record.implausible, "");
    let more = record.vq.as_deref().expect("what RTCP has not");
    assert_eq!((more.side, more.symmetric_one_way_delay_ms, more.r_cq), (VqSide::Local, Some(118), Some(86)));
    assert_eq!(more.described, [("PD", "PCMU".to_owned()), ("Report", "VQSessionReport: CallTerm".to_owned())]);
    let (call, stream, found) = records(&format!("{REPORT}RemoteMetrics:\r\nPacketLoss: NLR=250\r\nDelay: OWD=40\r\n"));
    let [own, told] = &found[..] else { panic!("{} records", found.len()) };
    assert_eq!((own.implausible.as_str(), own.stream), ("", Some(stream)));
    let (v, more) = (told.voip.unwrap(), told.vq.as_deref().unwrap());
    assert_eq!((told.reporter.0, v.ssrc.0), (7, 0x99), "what the other side received");
    assert_eq!((told.call_uid, told.stream), (call, None), "no such stream was seen");
    assert_eq!((told.implausible.as_str(), v.loss_pct, v.burst_ms), ("NLR out of range", None, None));
    assert_eq!((more.side, more.one_way_delay_ms), (VqSide::Remote, Some(40)));
    let nameless = REPORT.replace("SSRC=0x00000007", "").replace("CallID: q1@10.0.0.2", "CallID: other");
    let (call, stream, found) = records(&nameless);
    assert_eq!((found[0].call_uid, found[0].stream), (call, Some(stream)), "by the addresses");
    let (.., found) = records(&REPORT.replace("NLR=5.0", "NLR=250"));
    assert_eq!(found[0].implausible, "NLR out of range");
    let (.., found) = records(&REPORT.replace("MOSLQ=4.1", "MOSLQ=0"));
    assert_eq!(found[0].implausible, "MOS below 1");
}

/// The mode of AMR-WB is read from the size of the payload, and how much of that is SRTP's only the answer says.
#[test]
fn the_answer_says_what_srtp_adds_to_a_payload() {
    const LONG: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n";
    const SHORT: &str = "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:c2VjcmV0\r\n";
    let sdp = |ip: &str, port: u16, keys: &str| {
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/SAVP 96\r\n\
             a=rtpmap:96 AMR-WB/16000\r\n{keys}"
        )
    };
    let rated = |answer: &str| {
        let mut world = World::default();
        let invite = sip("INVITE", "s1", "application/sdp", &sdp("10.0.0.1", 4000, &format!("{LONG}{SHORT}")));
        world.udp("10.0.0.1:5060", "10.0.0.2:5060", 0, &invite);
        let ok = String::from_utf8(sip("INVITE", "s1", "application/sdp", &sdp("10.0.0.2", 5000, answer))).unwrap();
        let ok = ok.replace("INVITE sip:b@10.0.0.2 SIP/2.0", "SIP/2.0 200 OK").replace("<sip:b@h>", "<sip:b@h>;tag=t");
        for (src, dst, ssrc) in [(A, B, 7u32), (B, A, 8)] {
            for n in 0..300u32 {
                let mut packet = vec![0x80, 96];
                packet.extend((n as u16).to_be_bytes());
                packet.extend((320 * n).to_be_bytes());
                packet.extend(ssrc.to_be_bytes());
                // 14.25 kbit/s and the short tag.
                packet.extend([0xD5; 37 + 4]);
                world.udp(src, dst, i64::from(n) * 20 * MS, &packet);
            }
        }
        // What is early is rated by the answer too.
        world.udp("10.0.0.2:5060", "10.0.0.1:5060", 1_000 * MS + 1, ok.as_bytes());
        let events = world.events();
        assert!(!format!("{events:?}").contains("c2VjcmV0"), "keys are not kept");
        streams(&events).iter().map(|s| (s.mos.ie, s.mos.codec_status_name())).collect::<Vec<_>>()
    };
    assert_eq!(rated(SHORT), [(Some(10.0), "standard"); 2]);
    assert_eq!(rated("a=fingerprint:sha-256 AA\r\n").iter().map(|s| s.1).collect::<Vec<_>>(), ["estimate"; 2]);
}

/// A capture shared by the developers, outside the project.
fn capture(prefix: &str) -> Option<Value> {
    let captures = testkit::shared("captures")?;
    let files = std::fs::read_dir(&captures).ok().into_iter().flatten().filter_map(Result::ok);
    let Some(path) =
        files.map(|f| f.path()).find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
    else {
        testkit::skip(format_args!("no capture {prefix} at {}", captures.display()));
        return None;
    };
    let args = AnalyzeArgs { format: Format::Json, shards: 1, files: vec![path] };
    Some(serde_json::to_value(analyze(&args, &Policy::default()).expect("capture")).expect("document"))
}

/// SSRC, source, kind, source of the other, lost at the move.
type Related<'a> = (&'a str, &'a str, &'a str, &'a str, Option<u64>);

fn relations(document: &Value) -> Vec<Related<'_>> {
    let streams = document["streams"].as_array().expect("streams");
    fn text<'a>(v: &'a Value, key: &str) -> &'a str {
        v[key].as_str().unwrap_or_default()
    }
    let mut found: Vec<_> = streams
        .iter()
        .filter(|s| !s["relation"].is_null())
        .map(|s| {
            let r = &s["relation"];
            let other = streams.iter().find(|o| text(o, "id") == text(r, "stream")).expect("a listed stream");
            (text(s, "ssrc"), text(s, "src"), text(r, "kind"), text(other, "src"), r["lost_at_move"].as_u64())
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn relations_of_real_captures() {
    let expected: [(&str, &[Related<'_>]); 4] = [
        ("ea214859", &[("0x9c49ca0a", "127.0.0.1:12004", "moved_from", "127.0.0.1:12002", Some(0))]),
        (
            "84af7ec4",
            &[
                ("0x20bedf7b", "10.10.223.107:8148", "relay_of", "10.10.223.123:16434", None),
                ("0xff502041", "10.10.223.107:8146", "relay_of", "10.10.224.2:20886", None),
            ],
        ),
        (
            "f70ce23a",
            &[
                ("0x0029b45f", "10.4.128.21:30328", "relay_of", "192.168.101.6:1244", None),
                ("0x42372fa3", "10.4.128.21:30346", "relay_of", "192.168.101.8:50014", None),
            ],
        ),
        (
            "dda9179f",
            &[
                ("0x00007a8e", "10.180.110.58:8380", "moved_from", "10.180.110.58:8380", Some(0)),
                ("0xe7ec9095", "192.168.136.40:23890", "ssrc_changed_from", "192.168.136.40:23890", None),
            ],
        ),
    ];
    for (prefix, expected) in expected {
        let Some(document) = capture(prefix) else { continue };
        assert_eq!(relations(&document), expected, "{prefix}");
    }
}

#[test]
fn copies_of_a_tunnelled_call_are_the_probe_s() {
    let Some(document) = capture("f70ce23a") else { return };
    for s in document["streams"].as_array().expect("streams") {
        assert_eq!(
            (&s["duplicates_network"], &s["lost"]),
            (&Value::from(0), &Value::from(0)),
            "{} {}",
            s["src"],
            s["ssrc"]
        );
    }
}
