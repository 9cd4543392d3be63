//! What the ratings of intervals and streams are made of: the same packets, the same figures.

use super::*;
use testkit::frame::{Lower, udp};

const MS: i64 = 1_000_000;

/// 25 s of AMR-WB to an address that an INVITE named, under a transport profile.
fn amr_wb(profile: &str, ptime_ms: u32, octets: usize) -> Run {
    let (sender, receiver) = ("192.0.2.7:20000".parse().unwrap(), "198.51.100.4:30000".parse().unwrap());
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 198.51.100.4\r\ns=-\r\nc=IN IP4 198.51.100.4\r\nt=0 0\r\n\
         m=audio 30000 {profile} 96\r\na=rtpmap:96 AMR-WB/16000\r\n"
    );
    let invite = format!(
        "INVITE sip:b@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.4;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=f\r\n\
         To: <sip:b@h>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    let mut frames = Vec::new();
    let mut frame = |ms: i64, src, dst, payload: &[u8]| {
        let lower = Lower { id: frames.len() as u16, ttl: 64, dscp: 46, vlan: None };
        let bytes = udp(src, dst, lower, payload);
        frames.push(Frame { at: 1_700_000_000_000 * MS + ms * MS, wire_len: bytes.len() as u32, bytes });
    };
    let port = |address: std::net::SocketAddr| std::net::SocketAddr::new(address.ip(), 5060);
    frame(0, port(receiver), port(sender), invite.as_bytes());
    for n in 0..25_000 / ptime_ms {
        let mut packet = vec![0x80, 96];
        packet.extend((n as u16).to_be_bytes());
        packet.extend((n * ptime_ms * 16).to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.resize(12 + octets, 0x55);
        frame(100 + i64::from(n * ptime_ms), sender, receiver, &packet);
    }
    let mut setup = Setup::interval(5);
    setup.policy.assumed_one_way_delay = Some(Nanos::from_millis(50));
    run(&frames, &setup)
}

#[test]
fn intervals_are_rated_by_the_packet_time_and_the_mode_of_their_stream() {
    // 12.65 kbit/s, octet-aligned: one octet, then 33 for each frame. SRTP adds 10.
    for (profile, ptime_ms, octets) in
        [("RTP/AVP", 20, 34), ("RTP/AVP", 40, 67), ("RTP/SAVP", 20, 44), ("UDP/TLS/RTP/SAVPF", 40, 77)]
    {
        let run = amr_wb(profile, ptime_ms, octets);
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
