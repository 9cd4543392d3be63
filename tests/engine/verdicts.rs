//! Every verdict with a call that has it, and one just below its threshold that has not.

use super::*;
use auscult_core::model::DiagnosisCode;
use std::fmt::Write;
use std::net::SocketAddr;
use testkit::scene::{Dialog, Rtp, Scene, SipMessage, sdp};

const INVITE: &str = "INVITE sip:b@example.com SIP/2.0";
const TALK_MS: i64 = 20_000;
/// Packets of one direction while the call is up.
const PACKETS: u32 = 1_000;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn signalling() -> (SocketAddr, SocketAddr) {
    (at("192.0.2.1:5060"), at("198.51.100.1:5060"))
}

/// Codes of the one call, joined.
fn verdict(scene: &Scene) -> String {
    let run = run(&scene.frames(), &Setup::rested());
    let [call] = run.calls()[..] else { panic!("{} calls", run.calls().len()) };
    call.diagnoses.iter().map(|d| d.code.name()).collect::<Vec<_>>().join(" ")
}

/// An answered call whose packets from the caller are what `packet` makes of them: `None` is lost; else delay in ms.
fn call(line: &str, stream: impl Fn(Rtp) -> Rtp, packet: impl Fn(u32) -> Option<i64>, back: bool) -> Scene {
    let (a, b) = signalling();
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a,
        callee: b,
        offer: &sdp("192.0.2.1", &[(20000, line)]),
        answer: &sdp("198.51.100.1", &[(30000, line)]),
        talk_ms: Some(TALK_MS),
    });
    let all = stream(Rtp::pcmu(120, at("192.0.2.1:20000"), at("198.51.100.1:30000"), 7, PACKETS));
    if back {
        scene.rtp(Rtp { src: all.dst, dst: all.src, ssrc: 8, ..all });
    }
    for i in 0..all.packets {
        if let Some(delay) = packet(i) {
            scene.rtp(Rtp {
                at_ms: all.at_ms + all.step_ms * i64::from(i) + delay,
                first_seq: all.first_seq.wrapping_add(i as u16),
                first_timestamp: all.first_timestamp + all.ticks * i,
                packets: 1,
                ..all
            });
        }
    }
    scene
}

fn pcmu(packet: impl Fn(u32) -> Option<i64>) -> String {
    verdict(&call("0", |rtp| rtp, packet, true))
}

fn lost(which: impl Fn(u32) -> bool) -> String {
    pcmu(|i| (!which(i)).then_some(0))
}

/// A call that is refused, or whose ring comes so late.
fn setup(status: u32, after_ms: i64) -> String {
    let (a, b) = signalling();
    let mut scene = Scene::new();
    scene.sip(0, a, b, SipMessage::new(INVITE, "c1", "1 INVITE"));
    scene.sip(after_ms, b, a, SipMessage::new(&format!("SIP/2.0 {status} Answer"), "c1", "1 INVITE").tagged());
    if status < 300 {
        scene.sip(after_ms + 100, b, a, SipMessage::new("SIP/2.0 200 OK", "c1", "1 INVITE").tagged());
        scene.sip(after_ms + 110, a, b, SipMessage::new("ACK sip:b@example.com SIP/2.0", "c1", "1 ACK").tagged());
        scene.sip(after_ms + 900, a, b, SipMessage::new("BYE sip:b@example.com SIP/2.0", "c1", "2 BYE").tagged());
        scene.sip(after_ms + 910, b, a, SipMessage::new("SIP/2.0 200 OK", "c1", "2 BYE").tagged());
    }
    verdict(&scene)
}

/// INVITEs repeated until so long after the first, and what answers.
fn unanswered(until_ms: i64, trying_ms: Option<i64>) -> String {
    let (a, b) = signalling();
    let mut scene = Scene::new();
    for ms in [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500].into_iter().filter(|ms| *ms <= until_ms) {
        scene.sip(ms, a, b, SipMessage::new(INVITE, "c1", "1 INVITE"));
    }
    if let Some(ms) = trying_ms {
        scene.sip(ms, b, a, SipMessage::new("SIP/2.0 100 Trying", "c1", "1 INVITE"));
    }
    // Something else goes on until then, and no longer.
    scene.rtp(Rtp::pcmu(0, at("203.0.113.1:4000"), at("203.0.113.2:4000"), 5, (until_ms / 20) as u32));
    let run = run(&scene.frames(), &Setup::default());
    run.calls().iter().flat_map(|c| c.diagnoses.iter().map(|d| d.code.name())).collect::<Vec<_>>().join(" ")
}

/// A call whose ACK or BYE was not captured, with media throughout.
fn without(what: &str) -> String {
    let mut scene = call("0", |rtp| rtp, |_| Some(0), true);
    scene.drop_messages(what);
    verdict(&scene)
}

/// A call with reports: the receiver answers a sender report so long after it came, on its own clock.
fn round_trip(ms: i64) -> String {
    use testkit::call::{CallSpec, Party, Rtcp};
    let caller = Party::new("A", "+12025550101", "192.0.2.10", 20_000);
    let callee = Party::new("B", "+12025550102", "198.51.100.20", 30_000);
    let rtcp = Some(Rtcp { interval_ms: 2_000, mux: false });
    let mut spec = CallSpec { talk_ms: 30_000, rtcp, ..CallSpec::new(0, caller, callee) };
    for way in [&mut spec.forward, &mut spec.backward] {
        way.path.before.delay_us = 500 * ms;
    }
    let run = run(&testkit::World::new(7).call(spec).build().frames, &Setup::rested());
    run.calls()[0].diagnoses.iter().map(|d| d.code.name()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_verdict_has_a_call_that_has_it_and_one_that_just_has_not() {
    use DiagnosisCode::*;
    let gsm = |rtp: Rtp| Rtp { payload_type: 3, payload_len: 33, ..rtp };
    let g729 = |rtp: Rtp| Rtp { payload_type: 18, payload_len: 20, ..rtp };
    let clean = |_: u32| Some(0);
    let other_type = |payload_type: u8| verdict(&call("0", |rtp| Rtp { payload_type, ..rtp }, clean, true));
    let opus = |clock: &str| {
        let line = format!("96|a=rtpmap:96 opus/{clock}/2");
        verdict(&call(&line, |rtp| Rtp { payload_type: 96, ticks: 960, payload_len: 80, ..rtp }, clean, true))
    };
    let rows: Vec<(DiagnosisCode, String, String)> = vec![
        (SetupFailed, setup(503, 500), setup(486, 500)),
        (NoResponse, unanswered(33_000, None), unanswered(31_600, None)),
        (NoMedia, verdict(&call("0", |rtp| rtp, |_| None, false)), pcmu(clean)),
        (OneWayMedia, one_way(Some(None)), one_way(Some(Some(9)))),
        (MediaNotSeen, one_way(None), pcmu(clean)),
        (MediaElsewhere, one_way(Some(Some(9))), one_way(Some(None))),
        // 2.2 and 1.8 s in one piece; the loss itself is reported beside it.
        (MediaInterrupted, lost(|i| (500..610).contains(&i)), lost(|i| (500..590).contains(&i))),
        (RandomLoss, lost(|i| i % 90 == 45), lost(|i| i % 110 == 55)),
        (BurstyLoss, lost(|i| i % 150 < 2 && i > 100), lost(|i| i % 75 == 60)),
        (
            HighDelayVariation,
            pcmu(|i| Some(if i % 50 == 25 { 400 } else { 0 })),
            pcmu(|i| Some(if i % 150 == 75 { 400 } else { 0 })),
        ),
        (
            Reordering,
            pcmu(|i| Some(if i % 70 == 35 { 25 } else { 0 })),
            pcmu(|i| Some(if i % 130 == 65 { 25 } else { 0 })),
        ),
        (LowQualityCodec, verdict(&call("3", gsm, clean, true)), verdict(&call("18", g729, clean, true))),
        (LongDelay, round_trip(330), round_trip(270)),
        (CaptureLoss, both_directions(true), both_directions(false)),
        (MissingAck, without("ACK sip:"), without("nothing")),
        (MissingBye, without("BYE"), without("nothing")),
        (SlowSetup, setup(180, 6_300), setup(180, 5_700)),
        (UnnegotiatedPayload, other_type(8), other_type(0)),
        (ClockMismatch, opus("16000"), opus("48000")),
        (QueueBuildUp, pcmu(|i| Some(i64::from(i) * 11 / 50)), pcmu(|i| Some(i64::from(i) * 7 / 50))),
        (RouteChange, pcmu(|i| Some(if i < 500 { 0 } else { 25 })), pcmu(|i| Some(if i < 500 { 0 } else { 15 }))),
        (LowMos, two_small_causes(true), two_small_causes(false)),
    ];
    let mut text = String::new();
    let mut wrong = Vec::new();
    for code in DiagnosisCode::ALL {
        let Some((_, hit, miss)) = rows.iter().find(|(of, ..)| *of == code) else {
            wrong.push(format!("{} has no row", code.name()));
            continue;
        };
        writeln!(text, "{:22} hit: {hit}\n{:22} near-miss: {miss}", code.name(), "").expect("text");
        if !hit.split(' ').any(|name| name == code.name()) || miss.split(' ').any(|name| name == code.name()) {
            wrong.push(format!("{}: {hit:?} and {miss:?}", code.name()));
        }
    }
    none(wrong);
    insta::assert_snapshot!(text);
}

/// Delay in ms of a packet in a stream that stalls for 100 ms once a second and then catches up.
fn stalls(i: u32) -> i64 {
    100 - 20 * i64::from(i % 50).min(5)
}

/// Codes of a call of 80 s: an adaptive buffer discards only at its start, less than one percent.
fn long(delay: impl Fn(u32) -> i64) -> String {
    let mut scene = call("0", |rtp| Rtp { packets: 4_000, ..rtp }, |i| Some(delay(i)), true);
    scene.drop_messages("BYE");
    verdict(&scene)
}

/// An adaptive buffer that grows to take the stalls discards nothing, and the listener waits all the same.
#[test]
fn stalls_that_a_buffer_takes_are_high_delay_variation() {
    assert_eq!(long(stalls), "high_delay_variation missing_bye");
    // The same, shorter than what a receiver's buffer holds anyway.
    assert_eq!(long(|i| stalls(i) / 4), "missing_bye");
}

/// A queue that fills lifts all delays, and takes nothing from the variation on top of them.
#[test]
fn variation_on_a_rising_delay_is_told_from_the_rise() {
    assert_eq!(long(|i| i64::from(i) / 10 + stalls(i)), "high_delay_variation missing_bye queue_build_up");
    assert_eq!(long(|i| i64::from(i) / 10), "missing_bye queue_build_up");
}

/// A share of a few packets is none: of 24 that were due 8 may be missing, of 26 not.
#[test]
fn a_few_packets_have_no_loss_to_speak_of() {
    let short = |packets: u32| verdict(&call("0", |rtp| Rtp { packets, ..rtp }, |i| (i % 3 != 1).then_some(0), true));
    let named = |verdict: String| verdict.split(' ').any(|code| code == "random_loss" || code == "bursty_loss");
    assert!(!named(short(24)));
    assert!(named(short(27)));
}

/// Media of the caller only was seen; its RTCP reports name a source it hears, or none, or there are no reports.
fn one_way(reports: Option<Option<u32>>) -> String {
    let mut scene = call("0", |rtp| rtp, |_| Some(0), false);
    let way = (at("192.0.2.1:20000"), at("198.51.100.1:30000"));
    for n in 1..4 {
        if let Some(hears) = reports {
            scene.report(5_000 * n, way, 7, Some(250 * n as u32), hears);
        }
    }
    verdict(&scene)
}

/// Both directions lose the same moments, or each its own.
fn both_directions(same: bool) -> String {
    let mut scene = Scene::new();
    let (a, b) = signalling();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: a,
        callee: b,
        offer: &sdp("192.0.2.1", &[(20000, "0")]),
        answer: &sdp("198.51.100.1", &[(30000, "0")]),
        talk_ms: Some(TALK_MS),
    });
    let all = Rtp::pcmu(120, at("192.0.2.1:20000"), at("198.51.100.1:30000"), 7, PACKETS);
    let back = Rtp { src: all.dst, dst: all.src, ssrc: 8, ..all };
    for (direction, shift) in [(all, 0), (back, if same { 0 } else { 50 })] {
        for i in (0..PACKETS).filter(|i| (i + 100 - shift) % 100 >= 6 || *i < 100) {
            scene.rtp(Rtp {
                at_ms: direction.at_ms + 20 * i64::from(i),
                first_seq: direction.first_seq + i as u16,
                first_timestamp: direction.first_timestamp + 160 * i,
                packets: 1,
                ..direction
            });
        }
    }
    verdict(&scene)
}

/// A minute of G.711 with packet loss concealment has a low MOS with loss under 1 % over the call only where that loss is in
/// one minute of a long call.
fn two_small_causes(together: bool) -> String {
    let bad =
        |i: u32| if together { (20_000..21_000).contains(&i) && i.is_multiple_of(4) } else { i.is_multiple_of(120) };
    let long = call("0", |rtp| Rtp { packets: 30_000, ..rtp }, |i| (!bad(i)).then_some(0), true);
    let mut scene = long;
    scene.drop_messages("BYE");
    let run = run(&scene.frames(), &Setup::default());
    run.calls()[0].diagnoses.iter().map(|d| d.code.name()).collect::<Vec<_>>().join(" ")
}
