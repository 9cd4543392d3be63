//! Ports and SSRCs that one call after the other uses, and addresses that several calls share: whose stream it is, and whose
//! description holds for it.

use super::*;
use auscult_core::model::DiagnosisCode;
use std::net::SocketAddr;
use testkit::scene::{Dialog, Rtp, Scene, SipMessage, sdp};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Call-ID, codec, clock and packets of each stream, in the order of their beginning.
fn streams(run: &Run) -> Vec<(String, String, Option<u32>, u64)> {
    let mut streams = run.streams();
    streams.sort_by_key(|s| (s.first_at, s.src));
    let row = |s: &&StreamReport| (s.call_id.to_string(), s.codec.to_string(), s.clock_rate, s.numbers.packets);
    streams.iter().map(row).collect()
}

fn packets(run: &Run) -> Vec<(String, u64)> {
    streams(run).into_iter().map(|(call, _, _, packets)| (call, packets)).collect()
}

/// Calls one after the other between the same ports, each with its own codec for the same payload type.
fn back_to_back(pause_ms: i64, ssrc: impl Fn(usize) -> u32) -> Run {
    let (a, b) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    let (am, bm) = (at("192.0.2.1:20000"), at("198.51.100.1:30000"));
    let codecs =
        [("G726-16/8000", 40, 160), ("G726-24/8000", 60, 160), ("L16/8000", 320, 160), ("L16/16000", 640, 320)];
    let mut scene = Scene::new();
    let mut ms = 0;
    for (i, (codec, payload_len, ticks)) in codecs.into_iter().enumerate() {
        let line = format!("96|a=rtpmap:96 {codec}");
        scene.dialog(&Dialog {
            at_ms: ms,
            call_id: &format!("c{i}"),
            caller: a,
            callee: b,
            offer: &sdp("192.0.2.1", &[(20000, &line)]),
            answer: &sdp("198.51.100.1", &[(30000, &line)]),
            talk_ms: Some(4_740),
        });
        let rtp = Rtp::pcmu(ms + 115, am, bm, ssrc(i), 236);
        scene.both_ways(Rtp { payload_type: 96, payload_len, ticks, ..rtp });
        ms += 4_855 + pause_ms;
    }
    run(&scene.frames(), &Setup::rested())
}

#[test]
fn each_of_four_calls_on_one_pair_of_ports_has_its_own_codec() {
    let expected: Vec<_> = [("G726-16", 8_000), ("G726-24", 8_000), ("L16", 8_000), ("L16", 16_000)]
        .iter()
        .enumerate()
        .flat_map(|(i, (codec, clock))| vec![(format!("c{i}"), (*codec).to_owned(), Some(*clock), 236); 2])
        .collect();
    // With an SSRC for each call, and with the same one for all: the same recording is played each time.
    for pause_ms in [5, 100, 1_000, 4_000, 20_000] {
        assert_eq!(streams(&back_to_back(pause_ms, |i| 1000 * (1 + i as u32))), expected, "{pause_ms} ms");
        assert_eq!(streams(&back_to_back(pause_ms, |_| 7)), expected, "{pause_ms} ms, one SSRC");
    }
    let run = back_to_back(1_000, |_| 7);
    assert!(run.streams().iter().all(|s| s.numbers.lost() == 0 && s.numbers.restarts == 0), "{:?}", streams(&run));
    assert!(run.streams().iter().all(|s| s.numbers.jitter.max_ns < 1e6 as _), "clocks fit");
    let codes = run.calls().into_iter().flat_map(|c| c.diagnoses.iter().map(|d| d.code));
    assert!(
        codes.into_iter().all(|code| code == DiagnosisCode::LowQualityCodec),
        "16 kbit/s costs quality, nothing else"
    );
}

/// A phone with one port for everything: its side of two calls.
fn two_calls(second_at_ms: i64, first_talk_ms: Option<i64>, edit: impl Fn(&mut Scene, SocketAddr, SocketAddr)) -> Run {
    let (a, b) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    let (am, bm) = (at("192.0.2.1:20000"), at("198.51.100.1:30000"));
    let mut scene = Scene::new();
    let (offer, answer) = (sdp("192.0.2.1", &[(20000, "0")]), sdp("198.51.100.1", &[(30000, "0")]));
    let dialog = Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a,
        callee: b,
        offer: &offer,
        answer: &answer,
        talk_ms: first_talk_ms,
    };
    scene.dialog(&dialog);
    scene.dialog(&Dialog { at_ms: second_at_ms, call_id: "c2", talk_ms: Some(5_000), ..dialog });
    edit(&mut scene, am, bm);
    run(&scene.frames(), &Setup::rested())
}

/// The last packets of a call that are still on their way when the next call comes belong to it.
#[test]
fn packets_in_flight_belong_to_the_call_that_ended() {
    let run = two_calls(3_125, Some(3_000), |scene, a, b| {
        scene.rtp(Rtp::pcmu(115, b, a, 7, 156));
        scene.rtp(Rtp { first_seq: 100, ..Rtp::pcmu(3_400, b, a, 7, 200) });
    });
    assert_eq!(packets(&run), [("c1".to_owned(), 156), ("c2".to_owned(), 200)]);
}

/// A gateway numbers on over its calls: the second call begins where it was announced.
#[test]
fn a_sender_that_numbers_on_is_parted_where_the_next_call_begins() {
    let run = two_calls(4_115, Some(3_000), |scene, a, b| {
        scene.rtp(Rtp::pcmu(115, b, a, 7, 150));
        scene.rtp(Rtp { first_seq: 250, first_timestamp: 25_000, ..Rtp::pcmu(4_300, b, a, 7, 200) });
    });
    assert_eq!(packets(&run), [("c1".to_owned(), 150), ("c2".to_owned(), 200)]);
    // Music that goes on without a break, too.
    let run = two_calls(4_115, Some(3_000), |scene, a, b| {
        scene.rtp(Rtp::pcmu(115, b, a, 7, 450));
    });
    let parts = packets(&run);
    assert_eq!((parts.len(), parts[0].0.as_str(), parts[1].0.as_str()), (2, "c1", "c2"));
    assert_eq!(parts[0].1 + parts[1].1, 450);
    assert!((200..=212).contains(&parts[0].1), "{parts:?}");
}

/// The BYE of the first call was not captured.
#[test]
fn a_call_whose_end_was_not_seen_loses_a_silent_address_to_the_next() {
    let run = two_calls(5_000, None, |scene, a, b| {
        scene.both_ways(Rtp::pcmu(115, b, a, 7, 150));
        scene.both_ways(Rtp::pcmu(5_200, b, a, 7, 200));
    });
    let expected = [("c1", 150), ("c1", 150), ("c2", 200), ("c2", 200)].map(|(call, n)| (call.to_owned(), n));
    assert_eq!(packets(&run), expected);
}

/// A call that goes on keeps its streams when another call names the same addresses: a gateway that stays out of the media
/// has two Call-IDs for it.
#[test]
fn a_call_that_goes_on_keeps_its_streams() {
    let run = two_calls(2_000, Some(9_000), |scene, a, b| {
        scene.both_ways(Rtp::pcmu(115, b, a, 7, 450));
    });
    assert_eq!(packets(&run), [("c1".to_owned(), 450), ("c1".to_owned(), 450)]);
}

/// A re-INVITE (here: hold and resume) of the same call ends no stream.
#[test]
fn a_call_that_announces_its_address_again_keeps_its_streams() {
    let (a, b) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    let (am, bm) = (at("192.0.2.1:20000"), at("198.51.100.1:30000"));
    let mut scene = Scene::new();
    let (offer, answer) = (sdp("192.0.2.1", &[(20000, "0")]), sdp("198.51.100.1", &[(30000, "0")]));
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a,
        callee: b,
        offer: &offer,
        answer: &answer,
        talk_ms: Some(20_000),
    });
    for (ms, cseq, direction) in [(4_000, "2 INVITE", "a=sendonly"), (10_000, "3 INVITE", "a=sendrecv")] {
        let invite = "INVITE sip:b@example.com SIP/2.0";
        scene.sip(ms, a, b, SipMessage::new(invite, "c1", cseq).tagged().with_sdp(&format!("{offer}{direction}\r\n")));
        scene.sip(ms + 10, b, a, SipMessage::new("SIP/2.0 200 OK", "c1", cseq).tagged().with_sdp(&answer));
    }
    scene.both_ways(Rtp::pcmu(115, am, bm, 7, 190));
    let later = Rtp { first_seq: 290, first_timestamp: 1_000 + 495 * 160, ..Rtp::pcmu(10_015, am, bm, 7, 400) };
    scene.both_ways(later);
    let run = run(&scene.frames(), &Setup::rested());
    assert_eq!(packets(&run), [("c1".to_owned(), 590), ("c1".to_owned(), 590)]);
}

/// A media server with one port for all of its calls: each stream belongs to the call that named both of its addresses.
#[test]
fn calls_that_share_the_port_of_a_server_have_their_own_streams() {
    let server = at("198.51.100.9:10000");
    let mut scene = Scene::new();
    for i in 0..100u16 {
        let ip = format!("192.0.2.{}", 10 + i);
        let (line_a, line_b) = (format!("{}|a=rtpmap:{} opus/48000/2", 96 + i % 20, 96 + i % 20), "0".to_owned());
        scene.dialog(&Dialog {
            at_ms: 10 * i64::from(i),
            call_id: &format!("c{i:02}"),
            caller: at(&format!("{ip}:5060")),
            callee: at("198.51.100.9:5060"),
            offer: &sdp(&ip, &[(20000, &line_a)]),
            answer: &sdp("198.51.100.9", &[(10000, &line_b)]),
            talk_ms: Some(4_000),
        });
        let (own, ssrc) = (at(&format!("{ip}:20000")), 1_000 + u32::from(i));
        scene.rtp(Rtp::pcmu(1_000 + i64::from(i), own, server, ssrc, 100));
        let opus = Rtp {
            payload_type: 96 + (i % 20) as u8,
            ticks: 960,
            payload_len: 80,
            ..Rtp::pcmu(1_001, server, own, 5_000 + ssrc, 100)
        };
        scene.rtp(opus);
    }
    let run = run(&scene.frames(), &Setup::rested());
    let wrong: Vec<_> = run
        .streams()
        .iter()
        .filter(|s| {
            let own = if s.src == server { s.dst } else { s.src };
            let (call, codec) = (
                format!("c{:02}", own.ip().to_string()[8..].parse::<u16>().unwrap() - 10),
                if s.src == server { "opus" } else { "PCMU" },
            );
            *s.call_id != *call || s.codec.as_ref() != codec || s.numbers.packets != 100
        })
        .map(|s| format!("{} {} {} {}", s.src, s.dst, s.call_id, s.codec))
        .collect();
    assert_eq!(run.streams().len(), 200);
    none(wrong);
    assert!(run.calls().iter().all(|c| c.directions_seen == 2 && c.streams.len() == 2 && c.diagnoses.is_empty()));
}

/// The time in which a user types the password is no slow setup; the same time before the ring is.
#[test]
fn waiting_for_credentials_is_no_slow_setup() {
    let (a, b) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    let invite = "INVITE sip:b@example.com SIP/2.0";
    let codes = |retry_ms: i64, ring_ms: i64| {
        let mut scene = Scene::new();
        scene.sip(0, a, b, SipMessage::new(invite, "c1", "1 INVITE"));
        scene.sip(20, b, a, SipMessage::new("SIP/2.0 407 Proxy Authentication Required", "c1", "1 INVITE").tagged());
        scene.sip(retry_ms, a, b, SipMessage::new(invite, "c1", "2 INVITE"));
        scene.sip(retry_ms + ring_ms, b, a, SipMessage::new("SIP/2.0 180 Ringing", "c1", "2 INVITE").tagged());
        scene.sip(retry_ms + ring_ms + 900, b, a, SipMessage::new("SIP/2.0 200 OK", "c1", "2 INVITE").tagged());
        scene.sip(
            retry_ms + ring_ms + 910,
            a,
            b,
            SipMessage::new("ACK sip:b@example.com SIP/2.0", "c1", "2 ACK").tagged(),
        );
        scene.sip(
            retry_ms + ring_ms + 1_500,
            a,
            b,
            SipMessage::new("BYE sip:b@example.com SIP/2.0", "c1", "3 BYE").tagged(),
        );
        scene.sip(retry_ms + ring_ms + 1_510, b, a, SipMessage::new("SIP/2.0 200 OK", "c1", "3 BYE").tagged());
        let run = run(&scene.frames(), &Setup::rested());
        assert_eq!(run.calls().len(), 1);
        run.calls()[0].diagnoses.iter().map(|d| d.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(30_000, 500), []);
    assert_eq!(codes(60, 7_000), [DiagnosisCode::SlowSetup]);
    assert_eq!(codes(30_000, 7_000), [DiagnosisCode::SlowSetup]);
}
