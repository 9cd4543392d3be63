//! What the ratings of intervals and streams are made of, by what signalling says of the media.

use super::*;
use auscult_core::model::JitterBuffer;
use testkit::frame::{Lower, udp};

const MS: i64 = 1_000_000;

/// Frames of one call between two addresses.
#[derive(Default)]
struct Wire(Vec<Frame>);

impl Wire {
    const CALLER: &str = "198.51.100.4:30000";
    const CALLEE: &str = "192.0.2.7:20000";

    fn udp(&mut self, ms: i64, src: &str, dst: &str, payload: &[u8]) {
        let lower = Lower { id: self.0.len() as u16, ttl: 64, dscp: 46, vlan: None };
        let bytes = udp(src.parse().unwrap(), dst.parse().unwrap(), lower, payload);
        self.0.push(Frame { at: (1_700_000_000_000 + ms) * MS, wire_len: bytes.len() as u32, bytes });
    }

    /// A message of the caller's INVITE of that number with what its sender wants to receive as payload type 96.
    fn sdp(&mut self, ms: i64, number: u32, start_line: &str, profile: &str, codec: &str) {
        let answers = start_line.starts_with("SIP/2.0");
        let (from, to) = if answers { (Wire::CALLEE, Wire::CALLER) } else { (Wire::CALLER, Wire::CALLEE) };
        let (ip, port) = from.split_once(':').unwrap();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} 96\r\na=rtpmap:96 {codec}\r\n"
        );
        let message = format!(
            "{start_line}\r\nVia: SIP/2.0/UDP 198.51.100.4;branch=z9hG4bK{number}\r\nFrom: <sip:a@h>;tag=f\r\n\
             To: <sip:b@h>{}\r\nCall-ID: c1\r\nCSeq: {number} INVITE\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            if answers || number > 1 { ";tag=t" } else { "" },
            sdp.len()
        );
        let signalling = |media: &str| format!("{}:5060", media.split_once(':').unwrap().0);
        self.udp(ms, &signalling(from), &signalling(to), message.as_bytes());
    }

    /// 25 s of payload type 96 from 100 ms on.
    fn media(&mut self, from: &str, to: &str, clock_khz: u32, ptime_ms: u32, bytes: usize) {
        for n in 0..25_000 / ptime_ms {
            self.rtp(100 + i64::from(n * ptime_ms), (from, to), n, n * ptime_ms * clock_khz, bytes);
        }
    }

    fn rtp(&mut self, ms: i64, (from, to): (&str, &str), n: u32, timestamp: u32, bytes: usize) {
        let mut packet = vec![0x80, 96];
        packet.extend((n as u16).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.resize(12 + bytes, 0x55);
        self.udp(ms, from, to, &packet);
    }

    fn run(mut self) -> Run {
        self.0.sort_by_key(|f| f.at);
        let mut setup = Setup::interval(5);
        setup.policy.assumed_one_way_delay = Some(Nanos::from_millis(50));
        setup.policy.jitter_buffer = JitterBuffer::Fixed(Nanos::from_millis(60));
        run(&self.0, &setup)
    }
}

#[test]
fn intervals_are_rated_by_the_packet_time_and_the_mode_of_their_stream() {
    // 12.65 kbit/s, octet-aligned: one byte, then 33 for each frame. SRTP adds 10.
    for (profile, ptime_ms, bytes) in
        [("RTP/AVP", 20, 34), ("RTP/AVP", 40, 67), ("RTP/SAVP", 20, 44), ("UDP/TLS/RTP/SAVPF", 40, 77)]
    {
        let mut wire = Wire::default();
        wire.sdp(0, 1, "INVITE sip:b@192.0.2.7 SIP/2.0", profile, "AMR-WB/16000");
        wire.media(Wire::CALLEE, Wire::CALLER, 16, ptime_ms, bytes);
        let run = wire.run();
        let [stream] = run.streams()[..] else { panic!("one stream") };
        let what = format!("{profile}, {ptime_ms} ms");
        // Network 50, buffer 60, look-ahead 5.
        let expected = (Some(13.0), Some(50.0 + 60.0 + ptime_ms as f32 + 5.0));
        assert_eq!((stream.mos.ie, stream.mos.delay_ms), expected, "{what}");
        let whole: Vec<_> = run.intervals().into_iter().filter(|row| row.numbers.expected >= 100).collect();
        assert!(whole.len() >= 4, "{what}");
        for row in whole {
            assert_eq!((row.mos.ie, row.mos.delay_ms), expected, "{what}, {:?}", row.start);
            assert_eq!((row.mos.lq, row.mos.cq), (stream.mos.lq, stream.mos.cq), "{what}, {:?}", row.start);
        }
    }
}

/// Each side says what the number means in packets to it (RFC 3264 section 5.1).
#[test]
fn one_payload_number_has_another_clock_each_way() {
    let mut wire = Wire::default();
    wire.sdp(0, 1, "INVITE sip:b@192.0.2.7 SIP/2.0", "RTP/AVP", "AMR/8000");
    wire.sdp(50, 1, "SIP/2.0 200 OK", "RTP/AVP", "AMR-WB/16000");
    wire.media(Wire::CALLER, Wire::CALLEE, 16, 20, 34);
    wire.media(Wire::CALLEE, Wire::CALLER, 8, 20, 33);
    let run = wire.run();
    let mut found: Vec<_> = run.streams().into_iter().map(|s| (s.src.to_string(), &*s.codec, s.clock_rate)).collect();
    found.sort_unstable();
    let expected = [(Wire::CALLEE, "AMR", 8_000), (Wire::CALLER, "AMR-WB", 16_000)];
    assert_eq!(found, expected.map(|(src, codec, clock)| (src.to_owned(), codec, Some(clock))));
    for s in run.streams() {
        let n = &s.numbers;
        assert_eq!(
            (n.jitter.max_ns, n.pdv_max, n.late[0], s.ptime),
            (0.0, Nanos::ZERO, 0, Some(Nanos::from_millis(20)))
        );
        assert_eq!(s.drift_ppm, None, "25 s are too short");
    }
}

/// RFC 3264 section 8.3.2 forbids it, and the sender takes it up when it has heard of it.
#[test]
fn one_payload_number_gets_another_clock_in_the_middle() {
    for lag_ms in [0, 60, 200, 700] {
        let mut wire = Wire::default();
        wire.sdp(0, 1, "INVITE sip:b@192.0.2.7 SIP/2.0", "RTP/AVP", "AMR/8000");
        wire.sdp(10_000, 2, "INVITE sip:b@192.0.2.7 SIP/2.0", "RTP/AVP", "AMR-WB/16000");
        let mut timestamp = 5;
        for n in 0..2_000u32 {
            let ms = 100 + 20 * i64::from(n);
            wire.rtp(ms + i64::from(n * 7919 % 4), (Wire::CALLEE, Wire::CALLER), n, timestamp, 34);
            timestamp += if ms >= 10_000 + lag_ms { 320 } else { 160 };
        }
        let run = wire.run();
        let [stream] = run.streams()[..] else { panic!("one stream") };
        let (n, what) = (&stream.numbers, format!("after {lag_ms} ms"));
        assert_eq!((stream.clock_rate, stream.ptime), (Some(16_000), Some(Nanos::from_millis(20))), "{what}");
        assert_eq!((n.pdv.total(), n.pdv_max, n.late[0]), (2_000, Nanos::from_millis(3), 0), "{what}");
        assert!(n.jitter.max_ns < 3e6 && n.variation.ipdv_max_ns <= 3e6, "{what}: {n:?}");
    }
}
