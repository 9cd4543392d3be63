//! Who hears whom, by every witness: RTCP of the receivers, ICMP errors, addresses of the session descriptions.

use super::*;
use auscult_core::model::DiagnosisCode::{self, MediaElsewhere, MediaNotSeen, NoMedia, NoResponse, OneWayMedia};
use std::net::SocketAddr;
use testkit::frame::Unreachable;
use testkit::scene::{Dialog, Rtp, Scene, SipMessage, sdp};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const CALLER: &str = "192.0.2.1:20000";
const CALLEE: &str = "198.51.100.1:30000";

/// An answered call of 20 s that announces media at two addresses.
fn dialog(caller: &str, callee: &str) -> Scene {
    let (caller, callee) = (at(caller), at(callee));
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: at("192.0.2.1:5060"),
        callee: at("198.51.100.1:5060"),
        offer: &sdp(&caller.ip().to_string(), &[(caller.port(), "0")]),
        answer: &sdp(&callee.ip().to_string(), &[(callee.port(), "0")]),
        talk_ms: Some(20_000),
    });
    scene
}

fn of_caller(scene: &mut Scene) -> (SocketAddr, SocketAddr) {
    scene.rtp(Rtp::pcmu(120, at(CALLER), at(CALLEE), 7, 1_000));
    (at(CALLER), at(CALLEE))
}

/// Codes with confidence and evidence.
fn found(scene: &Scene) -> Vec<(DiagnosisCode, f32, String)> {
    let run = run(&scene.frames(), &Setup::rested());
    let [call] = run.calls()[..] else { panic!("{} calls", run.calls().len()) };
    call.diagnoses.iter().map(|d| (d.code, d.confidence, d.evidence.clone())).collect()
}

#[track_caller]
fn only(scene: &Scene, code: DiagnosisCode, confidence: f32, words: &str) {
    let found = found(scene);
    let [(of, sure, evidence)] = &found[..] else { panic!("{found:?}") };
    assert!((*of, *sure) == (code, confidence) && evidence.contains(words), "{found:?}");
}

#[test]
fn without_a_witness_it_is_only_not_seen() {
    let mut scene = dialog(CALLER, CALLEE);
    of_caller(&mut scene);
    only(&scene, MediaNotSeen, 0.6, "no RTCP, ICMP or SDP says");
}

#[test]
fn reports_of_the_receiver_say_that_it_hears() {
    let mut scene = dialog(CALLER, CALLEE);
    let way = of_caller(&mut scene);
    scene.report(5_000, way, 7, Some(250), Some(99));
    only(&scene, MediaElsewhere, 0.9, "1 RTCP reports of the caller say that it hears");
    // A report about its own stream says nothing of the other side.
    let mut scene = dialog(CALLER, CALLEE);
    let way = of_caller(&mut scene);
    scene.report(5_000, way, 7, Some(250), Some(7));
    only(&scene, MediaNotSeen, 0.6, "none from the callee");
}

#[test]
fn reports_that_name_no_source_say_that_it_does_not() {
    let mut scene = dialog(CALLER, CALLEE);
    let way = of_caller(&mut scene);
    scene.report(5_000, way, 7, Some(250), None);
    only(&scene, MediaNotSeen, 0.6, "none from the callee");
    scene.report(10_000, way, 7, Some(500), None);
    only(&scene, OneWayMedia, 0.95, "2 RTCP reports of the caller name no source");
}

#[test]
fn a_side_that_sends_receiver_reports_sends_no_media() {
    let mut scene = dialog(CALLER, CALLEE);
    let (caller, callee) = of_caller(&mut scene);
    for ms in [4_000, 8_000, 12_000] {
        scene.report(ms, (callee, caller), 55, None, Some(7));
    }
    only(&scene, OneWayMedia, 0.9, "the callee sends 3 RTCP receiver reports");
    // One that sends sender reports does, somewhere.
    let mut scene = dialog(CALLER, CALLEE);
    let (caller, callee) = of_caller(&mut scene);
    for ms in [4_000, 8_000, 12_000] {
        scene.report(ms, (callee, caller), 55, Some(100), Some(7));
    }
    only(&scene, MediaNotSeen, 0.6, "none from the callee");
}

#[test]
fn a_private_address_that_nobody_corrects() {
    let mut scene = dialog("10.1.2.3:20000", CALLEE);
    scene.rtp(Rtp::pcmu(120, at("203.0.113.9:41000"), at(CALLEE), 7, 1_000));
    only(&scene, OneWayMedia, 0.8, "the caller wants its media at 10.1.2.3 and sends from 203.0.113.9");
    // The same inside one network is no fault.
    let mut scene = dialog("10.1.2.3:20000", CALLEE);
    scene.rtp(Rtp::pcmu(120, at("10.1.2.9:41000"), at(CALLEE), 7, 1_000));
    only(&scene, MediaNotSeen, 0.6, "none from the callee");
}

/// ICMP errors of the caller's host about media to it, at these times.
fn refusals(scene: &mut Scene, times: &[i64], port: u16) {
    let (src, dst) = (at(CALLEE), SocketAddr::new(at(CALLER).ip(), port));
    for ms in times {
        scene.unreachable(*ms, Unreachable { from: dst.ip(), code: 3, quoted: 8 }, (src, dst), &[0x80; 172]);
    }
}

#[test]
fn a_closed_port_is_a_witness_where_it_stays_closed() {
    let mut scene = dialog(CALLER, CALLEE);
    of_caller(&mut scene);
    refusals(&mut scene, &[1_000, 2_000, 4_000], 20_000);
    only(&scene, OneWayMedia, 0.95, "ICMP port unreachable from 192.0.2.1 for 3 packets");
    // Both directions pass the probe, and one host refuses what comes.
    let mut scene = dialog(CALLER, CALLEE);
    scene.both_ways(Rtp::pcmu(120, at(CALLER), at(CALLEE), 7, 1_000));
    refusals(&mut scene, &[1_000, 2_000, 4_000], 20_000);
    only(&scene, OneWayMedia, 0.9, "RTP to the caller is seen and not delivered");
}

#[test]
fn a_port_that_is_closed_for_a_moment_proves_nothing() {
    for (times, port) in [
        // Before the caller opened it, after it hung up, and RTCP that nobody reads.
        (&[50, 110, 400, 1_000][..], 20_000),
        (&[20_112, 20_120, 22_500], 20_000),
        (&[1_000, 2_000, 4_000], 20_001),
    ] {
        let mut scene = dialog(CALLER, CALLEE);
        scene.both_ways(Rtp::pcmu(120, at(CALLER), at(CALLEE), 7, 1_000));
        refusals(&mut scene, times, port);
        assert_eq!(found(&scene), [], "{times:?} at {port}");
    }
    // An error about a datagram of a stranger to the call's port.
    let mut scene = dialog(CALLER, CALLEE);
    scene.both_ways(Rtp::pcmu(120, at(CALLER), at(CALLEE), 7, 1_000));
    for ms in [1_000, 3_000, 5_000] {
        scene.unreachable(
            ms,
            Unreachable { from: at(CALLER).ip(), code: 3, quoted: 8 },
            (at("203.0.113.5:9"), at(CALLER)),
            &[0x80; 172],
        );
    }
    assert_eq!(found(&scene), []);
}

#[test]
fn no_media_by_its_witnesses() {
    let scene = dialog(CALLER, CALLEE);
    only(&scene, NoMedia, 0.6, "media may bypass this probe");
    let mut scene = dialog(CALLER, CALLEE);
    scene.report(5_000, (at(CALLER), at(CALLEE)), 7, Some(250), Some(99));
    only(&scene, MediaElsewhere, 0.9, "reports of the caller say that it hears");
    let mut scene = dialog(CALLER, CALLEE);
    refusals(&mut scene, &[1_000, 4_000], 20_000);
    only(&scene, NoMedia, 0.9, "media to the caller: ICMP port unreachable");
}

fn invite(scene: &mut Scene, times: &[i64]) {
    for ms in times {
        let start = "INVITE sip:b@example.com SIP/2.0";
        scene.sip(*ms, at("192.0.2.1:5060"), at("198.51.100.1:5060"), SipMessage::new(start, "c1", "1 INVITE"));
    }
}

/// An error about the INVITE; so many bytes of it are quoted.
fn refused_invite(scene: &mut Scene, ms: i64, quoted: usize) {
    let (src, dst) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    let text = "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKc11INVITE\r\n\
                From: <sip:a@example.com>;tag=fc1\r\nTo: <sip:b@example.com>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\r\n";
    scene.unreachable(ms, Unreachable { from: dst.ip(), code: 3, quoted }, (src, dst), text.as_bytes());
}

#[test]
fn an_invite_that_was_not_delivered_needs_no_timer() {
    for quoted in [8, 1_000] {
        let mut scene = Scene::new();
        invite(&mut scene, &[0]);
        refused_invite(&mut scene, 40, quoted);
        only(&scene, NoResponse, 0.95, "INVITE not delivered: ICMP port unreachable from 198.51.100.1");
        // The capture ends at once: nothing has to be waited for.
        let run = run(&scene.frames(), &Setup::default());
        assert_eq!(run.calls()[0].diagnoses.first().map(|d| d.code), Some(NoResponse));
    }
}

#[test]
fn an_invite_that_was_not_delivered_is_bad_while_it_waits() {
    let mut scene = Scene::new();
    invite(&mut scene, &[0]);
    refused_invite(&mut scene, 40, 8);
    let run = run(&scene.frames(), &Setup::default());
    let shown: Vec<_> = run.changes().map(|call| call.class().name()).collect();
    assert_eq!(shown, ["unrated", "failed"]);
}

/// Each error is compared with a bounded number of streams, whoever has how many at an address.
#[test]
fn a_flood_of_errors_about_a_crowded_address_is_cheap() {
    let mut scene = dialog(CALLER, CALLEE);
    for ssrc in 0..300 {
        scene.rtp(Rtp::pcmu(120 + i64::from(ssrc), at(CALLER), at(CALLEE), 1_000 + ssrc, 6));
    }
    for n in 0..2_000 {
        scene.unreachable(
            3_000 + 2 * n,
            Unreachable { from: at(CALLER).ip(), code: 3, quoted: 8 },
            (at(CALLEE), at(CALLER)),
            &[0x80; 60],
        );
    }
    let run = run(&scene.frames(), &Setup::rested());
    assert_eq!(run.outcomes.get(auscult_core::model::Outcome::Ignored(auscult_core::model::Ignored::IcmpError)), 2_000);
    assert_eq!(run.calls()[0].diagnoses[0].code, OneWayMedia);
}

#[test]
fn an_error_before_an_answer_is_forgotten() {
    let mut scene = Scene::new();
    invite(&mut scene, &[0, 500]);
    refused_invite(&mut scene, 40, 1_000);
    let (a, b) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    scene.sip(600, b, a, SipMessage::new("SIP/2.0 486 Busy Here", "c1", "1 INVITE").tagged());
    assert_eq!(found(&scene), []);
    // An error about another call, or another request, is none about this one.
    let mut scene = Scene::new();
    invite(&mut scene, &[0]);
    scene.unreachable(
        40,
        Unreachable { from: b.ip(), code: 3, quoted: 1_000 },
        (a, b),
        b"OPTIONS sip:b@example.com SIP/2.0\r\nCall-ID: c1\r\n\r\n",
    );
    let run = run(&scene.frames(), &Setup::default());
    assert_eq!(run.calls()[0].diagnoses, []);
}
