//! Several media lines at one address (RFC 9143), what repairs media (RFC 4588, 2198, 5109), and ICE that changes its path.

use super::*;
use std::net::SocketAddr;
use testkit::scene::{Dialog, Rtp, Scene};

const CALLER: &str = "192.0.2.1:20000";
const CALLEE: &str = "198.51.100.1:30000";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn session(ip: &str, lines: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n{}", lines.replace('|', "\r\n"))
}

fn call(offer: &str, answer: &str, media: impl FnOnce(&mut Scene)) -> Run {
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: at("192.0.2.1:5060"),
        callee: at("198.51.100.1:5060"),
        offer: &session("192.0.2.1", offer),
        answer: &session("198.51.100.1", answer),
        talk_ms: Some(4_200),
    });
    media(&mut scene);
    run(&scene.frames(), &Setup::rested())
}

/// Call-ID, codec, clock, samples of jitter, and whether a MOS is there; by payload type.
fn by_type(run: &Run) -> Vec<(u8, String, String, Option<u32>, bool, bool)> {
    let mut rows: Vec<_> = run
        .streams()
        .iter()
        .filter(|s| s.src == at(CALLER))
        .map(|s| {
            let (codec, jitter) = (s.codec.to_string(), s.numbers.jitter.samples > 0);
            (s.payload_types[0].0.0, s.call_id.to_string(), codec, s.clock_rate, jitter, s.mos.lq.is_some())
        })
        .collect();
    rows.sort();
    rows
}

fn row(
    payload_type: u8,
    codec: &str,
    clock: u32,
    jitter: bool,
    mos: bool,
) -> (u8, String, String, Option<u32>, bool, bool) {
    (payload_type, "c1".to_owned(), codec.to_owned(), Some(clock), jitter, mos)
}

/// Opus, its redundancy, video and its retransmissions, all from one port to one port.
fn everything(scene: &mut Scene) {
    let (a, b) = (at(CALLER), at(CALLEE));
    let opus = Rtp { payload_type: 111, ticks: 960, payload_len: 80, ..Rtp::pcmu(120, a, b, 11, 200) };
    scene.both_ways(opus);
    scene.both_ways(Rtp { payload_type: 63, ssrc: 21, ..opus });
    scene.both_ways(Rtp { payload_type: 96, ssrc: 31, ticks: 1_800, payload_len: 900, ..opus });
    // Retransmissions are sent when they are asked for: their times have nothing to do with their timestamps.
    for i in 0..40 {
        let at_ms = 200 + 97 * i64::from(i) + 31 * i64::from(i % 3);
        let one = Rtp { payload_type: 97, ssrc: 41, packets: 1, at_ms, first_seq: 500 + i, ..opus };
        scene.rtp(Rtp { first_timestamp: 1_800 * u32::from(i) * 5, ..one });
    }
}

const AUDIO: &str = "RTP/AVP 111 63 0|a=mid:0|a=rtpmap:111 opus/48000/2|a=rtpmap:63 red/48000/2|a=fmtp:63 111/111|";
const VIDEO: &str = "RTP/AVP 96 97|a=mid:1|a=rtpmap:96 VP8/90000|a=rtpmap:97 rtx/90000|a=fmtp:97 apt=96|";

#[test]
fn lines_of_one_port_are_told_apart_by_payload_type() {
    let expected = [
        row(63, "opus", 48_000, true, true),
        row(96, "VP8", 90_000, true, false),
        row(97, "rtx", 90_000, false, false),
        row(111, "opus", 48_000, true, true),
    ];
    let of = |port: u16| format!("a=group:BUNDLE 0 1|m=audio {port} {AUDIO}m=video {port} {VIDEO}");
    let bundled = call(&of(20_000), &of(30_000), everything);
    assert_eq!(by_type(&bundled), expected);
    assert!(bundled.calls()[0].diagnoses.is_empty(), "{:?}", bundled.calls()[0].diagnoses);
    // Without a group: RFC 3264 leaves such a description open, and equipment writes it.
    let plain = |port: u16| of(port).replace("a=group:BUNDLE 0 1|", "");
    assert_eq!(by_type(&call(&plain(20_000), &plain(30_000), everything)), expected);
    // Other ports in the offer, or none, until the answer has taken the group (RFC 9143 section 7.2).
    for video in ["m=video 20002 ", "m=video 0 "] {
        let only = if video.contains(" 0 ") { "a=bundle-only|" } else { "" };
        let offer = format!("a=group:BUNDLE 0 1|m=audio 20000 {AUDIO}{video}{VIDEO}{only}");
        assert_eq!(by_type(&call(&offer, &of(30_000), everything)), expected, "{video}");
        // The address of the side that answers is not known: its description says nothing of what it receives.
        assert_eq!(by_type(&call(&offer, "", everything)), expected, "{video}, no answer");
    }
}

#[test]
fn a_line_that_was_refused_says_nothing() {
    let refused = format!("m=audio 20000 {AUDIO}m=video 0 {VIDEO}");
    let run = call(&refused, &refused.replace("20000", "30000"), everything);
    let rows = by_type(&run);
    let codecs: Vec<_> = rows.iter().map(|(payload_type, _, codec, ..)| (*payload_type, codec.as_str())).collect();
    assert_eq!(codecs, [(63, "opus"), (96, ""), (97, ""), (111, "opus")]);
}

/// The first line that names a payload type defines it.
#[test]
fn the_first_line_that_names_a_type_defines_it() {
    let both = |port: u16| {
        format!("m=audio {port} RTP/AVP 96|a=rtpmap:96 opus/48000/2|m=video {port} RTP/AVP 96|a=rtpmap:96 VP8/90000|")
    };
    let run = call(&both(20_000), &both(30_000), |scene| {
        let opus =
            Rtp { payload_type: 96, ticks: 960, payload_len: 80, ..Rtp::pcmu(120, at(CALLER), at(CALLEE), 11, 200) };
        scene.both_ways(opus);
    });
    assert_eq!(by_type(&run), [row(96, "opus", 48_000, true, true)]);
}

#[test]
fn turned_off_video_is_no_hold() {
    let of = |port: u16| format!("m=audio {port} {AUDIO}m=video {} {VIDEO}a=inactive|", port + 2);
    // One way only: with hold it would be less sure.
    let run = call(&of(20_000), &of(30_000), |scene| {
        scene.rtp(Rtp { payload_type: 111, ticks: 960, ..Rtp::pcmu(120, at(CALLER), at(CALLEE), 11, 200) });
    });
    let found = &run.calls()[0].diagnoses;
    assert_eq!(found.iter().map(|d| d.code.name()).collect::<Vec<_>>(), ["media_not_seen"]);
    assert!(found[0].confidence > 0.5, "{found:?}");
}

/// Media begins over a relay and goes on directly: host and reflexive candidates are addresses of the call, too.
#[test]
fn both_paths_of_ice_belong_to_the_call() {
    let line = |relay: &str, direct: &str| {
        let (ip, port) = relay.split_once(':').unwrap();
        let (direct_ip, direct_port) = direct.split_once(':').unwrap();
        format!(
            "m=audio {port} RTP/AVP 96|c=IN IP4 {ip}|a=rtpmap:96 opus/48000/2|\
             a=candidate:1 1 UDP 2130706431 {direct_ip} {direct_port} typ host|\
             a=candidate:1 2 UDP 2130706430 {direct_ip} 9 typ host|\
             a=candidate:2 1 TCP 2130706430 {direct_ip} 9 typ host tcptype active|\
             a=candidate:3 1 UDP 2130706430 4f1a.local 4000 typ host|\
             a=candidate:4 1 udp 16777215 {ip} {port} typ relay raddr {direct_ip} rport {direct_port}|"
        )
    };
    let (relay_a, direct_a) = ("203.0.113.5:40000", "192.0.2.1:20000");
    let (relay_b, direct_b) = ("203.0.113.6:40002", "198.51.100.1:30000");
    let of = |first: u16, at_ms: i64, src: &str, dst: &str| Rtp {
        payload_type: 96,
        ticks: 960,
        payload_len: 80,
        first_seq: first,
        first_timestamp: u32::from(first) * 960,
        ..Rtp::pcmu(at_ms, at(src), at(dst), 11, 100)
    };
    let switch = |offer: &str, answer: &str| {
        call(offer, answer, |scene| {
            scene.both_ways(of(1, 120, relay_a, relay_b));
            scene.both_ways(of(101, 2_120, direct_a, direct_b));
        })
    };
    let streams = |run: &Run| {
        let mut rows: Vec<_> = run
            .streams()
            .iter()
            .map(|s| {
                (s.src.to_string(), s.call_id.to_string(), s.codec.to_string(), s.numbers.packets, s.numbers.lost())
            })
            .collect();
        rows.sort();
        rows
    };
    let run = switch(&line(relay_a, direct_a), &line(relay_b, direct_b));
    let row = |src: &str| (src.to_owned(), "c1".to_owned(), "opus".to_owned(), 100, 0);
    assert_eq!(streams(&run), [row(direct_a), row(direct_b), row(relay_a), row(relay_b)]);
    assert!(run.calls()[0].diagnoses.is_empty(), "{:?}", run.calls()[0].diagnoses);
    // One side that hides its addresses (trickle ICE: zeros and port 9) does not keep the other from being known.
    let hidden = "m=audio 9 RTP/AVP 96|c=IN IP4 0.0.0.0|a=rtpmap:96 opus/48000/2|";
    let run = switch(hidden, &line(relay_b, direct_b));
    assert_eq!(streams(&run), [row(direct_a), row(direct_b), row(relay_a), row(relay_b)]);
    // Without candidates the direct path is no address of the call.
    let plain = |text: String| text.split('|').filter(|l| !l.starts_with("a=cand")).collect::<Vec<_>>().join("|");
    let run = switch(&plain(line(relay_a, direct_a)), &plain(line(relay_b, direct_b)));
    let of_call = streams(&run).into_iter().filter(|(_, call, ..)| call == "c1").count();
    assert_eq!(of_call, 2);
}
