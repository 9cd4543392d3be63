//! What a mirror port shows besides plain calls: late descriptions, hold, redirects, transfers, recorders, copies of routers.

use super::*;
use auscult_core::model::{CallState, RelationKind};
use std::net::SocketAddr;
use testkit::frame::{self, Lower};
use testkit::scene::{Dialog, Rtp, Scene, SipMessage, sdp};

const INVITE: &str = "INVITE sip:b@example.com SIP/2.0";
const ACK: &str = "ACK sip:b@example.com SIP/2.0";
const BYE: &str = "BYE sip:b@example.com SIP/2.0";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn a() -> SocketAddr {
    at("192.0.2.1:5060")
}

fn b() -> SocketAddr {
    at("198.51.100.1:5060")
}

fn media() -> (SocketAddr, SocketAddr) {
    (at("192.0.2.1:20000"), at("198.51.100.1:30000"))
}

fn offer() -> String {
    sdp("192.0.2.1", &[(20000, "96|a=rtpmap:96 opus/48000/2")])
}

fn answer() -> String {
    sdp("198.51.100.1", &[(30000, "96|a=rtpmap:96 opus/48000/2")])
}

fn opus(at_ms: i64, packets: u32) -> Rtp {
    let (src, dst) = media();
    Rtp { payload_type: 96, ticks: 960, payload_len: 80, ..Rtp::pcmu(at_ms, src, dst, 11, packets) }
}

fn bye(scene: &mut Scene, at_ms: i64, call_id: &str) {
    scene.sip(at_ms, a(), b(), SipMessage::new(BYE, call_id, "9 BYE").tagged());
    scene.sip(at_ms + 10, b(), a(), SipMessage::new("SIP/2.0 200 OK", call_id, "9 BYE").tagged());
}

/// Source, Call-ID, codec, packets and loss of each stream, by source.
fn streams(run: &Run) -> Vec<(String, String, String, u64, u64)> {
    let mut rows: Vec<_> = run
        .streams()
        .iter()
        .map(|s| {
            let n = &s.numbers;
            (s.src.to_string(), s.call_id.to_string(), s.codec.to_string(), n.unique, n.lost())
        })
        .collect();
    rows.sort();
    rows
}

fn row(src: &str, call: &str, packets: u64) -> (String, String, String, u64, u64) {
    (src.to_owned(), call.to_owned(), "opus".to_owned(), packets, 0)
}

fn ended(scene: &Scene) -> Run {
    run(&scene.frames(), &Setup::rested())
}

#[track_caller]
fn sound(run: &Run, calls: usize) {
    assert_eq!(run.calls().len(), calls);
    for call in run.calls() {
        assert!(call.diagnoses.is_empty(), "{}: {:?}", call.call_id, call.diagnoses);
    }
}

/// RFC 3264 section 5: the offer comes in the 200 and the answer in the ACK.
#[test]
fn a_delayed_offer() {
    let mut scene = Scene::new();
    scene.sip(0, a(), b(), SipMessage::new(INVITE, "c1", "1 INVITE"));
    scene.sip(20, b(), a(), SipMessage::new("SIP/2.0 180 Ringing", "c1", "1 INVITE").tagged());
    scene.sip(1_000, b(), a(), SipMessage::new("SIP/2.0 200 OK", "c1", "1 INVITE").tagged().with_sdp(&answer()));
    scene.sip(1_010, a(), b(), SipMessage::new(ACK, "c1", "1 ACK").tagged().with_sdp(&offer()));
    scene.both_ways(opus(1_020, 200));
    bye(&mut scene, 5_030, "c1");
    let run = ended(&scene);
    assert_eq!(streams(&run), [row("192.0.2.1:20000", "c1", 200), row("198.51.100.1:30000", "c1", 200)]);
    sound(&run, 1);
    assert_eq!(run.calls()[0].directions_seen, 2);
}

/// A gateway plays its ring tone before the 183 that describes it.
#[test]
fn early_media_before_its_description() {
    let (caller, callee) = media();
    let mut scene = Scene::new();
    scene.sip(0, a(), b(), SipMessage::new(INVITE, "c1", "1 INVITE").with_sdp(&offer()));
    scene.rtp(Rtp { src: callee, dst: caller, ssrc: 12, ..opus(300, 250) });
    scene.sip(
        900,
        b(),
        a(),
        SipMessage::new("SIP/2.0 183 Session Progress", "c1", "1 INVITE").tagged().with_sdp(&answer()),
    );
    scene.sip(2_000, b(), a(), SipMessage::new("SIP/2.0 200 OK", "c1", "1 INVITE").tagged().with_sdp(&answer()));
    scene.sip(2_010, a(), b(), SipMessage::new(ACK, "c1", "1 ACK").tagged());
    scene.rtp(opus(2_020, 164));
    bye(&mut scene, 5_310, "c1");
    let run = ended(&scene);
    assert_eq!(streams(&run), [row("192.0.2.1:20000", "c1", 164), row("198.51.100.1:30000", "c1", 250)]);
    sound(&run, 1);
}

/// Ninety seconds of hold; the senders number on and their timestamps go on with time, or stand still.
#[test]
fn hold_for_ninety_seconds() {
    for ticks in [0, 90 * 48_000] {
        let mut scene = Scene::new();
        scene.dialog(&Dialog {
            at_ms: 0,
            call_id: "c1",
            caller: a(),
            callee: b(),
            offer: &offer(),
            answer: &answer(),
            talk_ms: None,
        });
        scene.both_ways(opus(120, 490));
        for (ms, cseq, direction) in [(10_000, "2 INVITE", "inactive"), (100_000, "3 INVITE", "sendrecv")] {
            scene.sip(
                ms,
                a(),
                b(),
                SipMessage::new(INVITE, "c1", cseq).tagged().with_sdp(&format!("{}a={direction}\r\n", offer())),
            );
            scene.sip(
                ms + 10,
                b(),
                a(),
                SipMessage::new("SIP/2.0 200 OK", "c1", cseq)
                    .tagged()
                    .with_sdp(&format!("{}a={direction}\r\n", answer())),
            );
            scene.sip(ms + 20, a(), b(), SipMessage::new(ACK, "c1", &cseq.replace("INVITE", "ACK")).tagged());
        }
        let first = opus(100_040, 300);
        let first_timestamp = 1_000 + 490 * 960 + ticks;
        scene.both_ways(Rtp { first_seq: 590, first_timestamp, ..first });
        bye(&mut scene, 106_050, "c1");
        let run = ended(&scene);
        assert_eq!(streams(&run), [row("192.0.2.1:20000", "c1", 790), row("198.51.100.1:30000", "c1", 790)], "{ticks}");
        sound(&run, 1);
    }
}

/// While the caller is on hold, music comes from a server that the re-INVITE names.
#[test]
fn music_on_hold_from_elsewhere() {
    let (_, callee) = media();
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a(),
        callee: b(),
        offer: &offer(),
        answer: &answer(),
        talk_ms: None,
    });
    scene.both_ways(opus(120, 490));
    let music = sdp("203.0.113.9", &[(40000, "96|a=rtpmap:96 opus/48000/2|a=sendonly")]);
    for (ms, cseq, description) in [(10_000, "2 INVITE", &music), (30_000, "3 INVITE", &offer())] {
        scene.sip(ms, a(), b(), SipMessage::new(INVITE, "c1", cseq).tagged().with_sdp(description));
        scene.sip(ms + 10, b(), a(), SipMessage::new("SIP/2.0 200 OK", "c1", cseq).tagged().with_sdp(&answer()));
        scene.sip(ms + 20, a(), b(), SipMessage::new(ACK, "c1", &cseq.replace("INVITE", "ACK")).tagged());
    }
    scene.rtp(Rtp { src: at("203.0.113.9:40000"), dst: callee, ssrc: 99, ..opus(10_040, 990) });
    let again = Rtp { first_seq: 590, first_timestamp: 1_000 + 490 * 960 + 20 * 48_000, ..opus(30_040, 300) };
    scene.both_ways(again);
    bye(&mut scene, 36_050, "c1");
    let run = ended(&scene);
    let expected =
        [row("192.0.2.1:20000", "c1", 790), row("198.51.100.1:30000", "c1", 790), row("203.0.113.9:40000", "c1", 990)];
    assert_eq!(streams(&run), expected);
    sound(&run, 1);
}

/// 302 to another server under the same Call-ID, and a session that is refreshed with what it had (RFC 4028).
#[test]
fn a_redirect_and_session_refreshes() {
    let other = at("198.51.100.2:5060");
    let mut scene = Scene::new();
    scene.sip(0, a(), b(), SipMessage::new(INVITE, "c1", "1 INVITE").with_sdp(&offer()));
    scene.sip(50, b(), a(), SipMessage::new("SIP/2.0 302 Moved Temporarily", "c1", "1 INVITE").tagged());
    scene.sip(100, a(), other, SipMessage::new(INVITE, "c1", "2 INVITE").with_sdp(&offer()));
    scene.sip(900, other, a(), SipMessage::new("SIP/2.0 200 OK", "c1", "2 INVITE").tagged().with_sdp(&answer()));
    scene.sip(910, a(), other, SipMessage::new(ACK, "c1", "2 ACK").tagged());
    scene.both_ways(opus(920, 3_000));
    for (ms, cseq) in [(20_000, "3 INVITE"), (40_000, "4 INVITE")] {
        scene.sip(ms, a(), other, SipMessage::new(INVITE, "c1", cseq).tagged().with_sdp(&offer()));
        scene.sip(ms + 10, other, a(), SipMessage::new("SIP/2.0 200 OK", "c1", cseq).tagged().with_sdp(&answer()));
        scene.sip(ms + 20, a(), other, SipMessage::new(ACK, "c1", &cseq.replace("INVITE", "ACK")).tagged());
    }
    scene.sip(60_930, a(), other, SipMessage::new(BYE, "c1", "9 BYE").tagged());
    scene.sip(60_940, other, a(), SipMessage::new("SIP/2.0 200 OK", "c1", "9 BYE").tagged());
    let run = ended(&scene);
    assert_eq!(streams(&run), [row("192.0.2.1:20000", "c1", 3_000), row("198.51.100.1:30000", "c1", 3_000)]);
    sound(&run, 1);
    let call = run.calls()[0];
    assert_eq!((call.state, call.final_code, call.reinvites), (CallState::Completed, 200, 2));
}

/// An attended transfer: the second call replaces the first, and the phone keeps its port.
#[test]
fn a_transfer_with_replaces() {
    let target = at("203.0.113.7:5060");
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a(),
        callee: b(),
        offer: &offer(),
        answer: &answer(),
        talk_ms: Some(10_000),
    });
    scene.both_ways(opus(120, 499));
    scene.sip(9_500, b(), a(), SipMessage::new("REFER sip:a@example.com SIP/2.0", "c1", "3 REFER").tagged());
    scene.sip(9_510, a(), b(), SipMessage::new("SIP/2.0 202 Accepted", "c1", "3 REFER").tagged());
    scene.dialog(&Dialog {
        at_ms: 10_200,
        call_id: "c2",
        caller: a(),
        callee: target,
        offer: &offer(),
        answer: &sdp("203.0.113.7", &[(50000, "96|a=rtpmap:96 opus/48000/2")]),
        talk_ms: Some(6_000),
    });
    let second =
        Rtp { dst: at("203.0.113.7:50000"), first_seq: 599, first_timestamp: 1_000 + 515 * 960, ..opus(10_320, 299) };
    scene.rtp(second);
    scene.rtp(Rtp { src: second.dst, dst: second.src, ssrc: 77, ..second });
    let run = ended(&scene);
    let expected = [
        row("192.0.2.1:20000", "c1", 499),
        row("192.0.2.1:20000", "c2", 299),
        row("198.51.100.1:30000", "c1", 499),
        row("203.0.113.7:50000", "c2", 299),
    ];
    assert_eq!(streams(&run), expected);
    sound(&run, 2);
}

/// SIPREC (RFC 7866): an SBC sends both directions of a call to a recorder, under a Call-ID of its own and in two media lines.
#[test]
fn a_recorder_beside_the_call() {
    let (caller, callee) = media();
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a(),
        callee: b(),
        offer: &offer(),
        answer: &answer(),
        talk_ms: Some(8_000),
    });
    let lines = |port: u16, direction: &str| {
        let line = format!("96|a=rtpmap:96 opus/48000/2|a={direction}");
        sdp(if direction == "sendonly" { "198.51.100.1" } else { "203.0.113.50" }, &[(port, &line), (port + 2, &line)])
    };
    scene.dialog(&Dialog {
        at_ms: 150,
        call_id: "r1",
        caller: b(),
        callee: at("203.0.113.50:5060"),
        offer: &lines(31_000, "sendonly"),
        answer: &lines(41_000, "recvonly"),
        talk_ms: Some(7_850),
    });
    scene.both_ways(opus(300, 380));
    // What the SBC received and what it sent, a moment later.
    let copy = |src: &str, dst: &str, ssrc: u32| Rtp { src: at(src), dst: at(dst), ssrc, ..opus(304, 380) };
    scene.rtp(copy("198.51.100.1:31000", "203.0.113.50:41000", 11));
    scene.rtp(copy("198.51.100.1:31002", "203.0.113.50:41002", 12));
    let run = ended(&scene);
    let mut expected = vec![
        row(&caller.to_string(), "c1", 380),
        row(&callee.to_string(), "c1", 380),
        row("198.51.100.1:31000", "r1", 380),
        row("198.51.100.1:31002", "r1", 380),
    ];
    expected.sort();
    assert_eq!(streams(&run), expected);
    sound(&run, 2);
    let relations: Vec<_> = run.streams().iter().filter_map(|s| Some((&*s.call_id, s.relation?.kind))).collect();
    assert!(relations.contains(&("r1", RelationKind::RelayOf)), "{relations:?}");
}

/// The same packets in the VLAN before a router and in the one behind it, with one hop less; and frames cut at 96 bytes.
#[test]
fn copies_around_a_router_and_cut_frames() {
    let (src, dst) = media();
    let mut frames = Vec::new();
    for i in 0..300u32 {
        let mut payload = vec![0x80, 0];
        payload.extend((i as u16).to_be_bytes());
        payload.extend((160 * i).to_be_bytes());
        payload.extend(7u32.to_be_bytes());
        payload.extend([0xD5; 160]);
        for (hop, delay) in [(0u8, 0), (1, 200_000)] {
            let lower = Lower { id: i as u16 + 1, ttl: 64 - hop, dscp: 46, vlan: Some(100 + u16::from(hop)) };
            let mut bytes = frame::udp(src, dst, lower, &payload);
            let wire_len = bytes.len() as u32;
            bytes.truncate(96);
            frames.push(Frame { at: testkit::world::START + i64::from(i) * 20_000_000 + delay, wire_len, bytes });
        }
    }
    let run = run(&frames, &Setup::rested());
    let [stream] = run.streams()[..] else { panic!("{} streams", run.streams().len()) };
    let n = &stream.numbers;
    assert_eq!((n.unique, n.lost(), n.duplicates_probe, n.duplicates_network), (300, 0, 300, 0));
    assert!(
        stream.quality.snap_cut && n.payload_bytes >= 300 * 160,
        "{} bytes by the length on the wire",
        n.payload_bytes
    );
    assert!(stream.mos.lq > Some(4.3), "{:?}", stream.mos.lq);
}
