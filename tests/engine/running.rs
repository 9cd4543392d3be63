//! Calls are judged as they run: within two intervals of turning bad, and no longer than they are bad.

use super::*;
use auscult_core::live::LiveView;
use auscult_core::model::{CallRecord, Limits};
use std::net::SocketAddr;
use testkit::scene::{Dialog, Rtp, Scene, SipMessage, sdp};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// An answered call that is up for 80 s from the first full interval on; packet `i` of the caller is lost where `lost` says so.
fn scene(lost: impl Fn(u32) -> bool, back: bool) -> Scene {
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: at("192.0.2.1:5060"),
        callee: at("198.51.100.1:5060"),
        offer: &sdp("192.0.2.1", &[(20000, "0")]),
        answer: &sdp("198.51.100.1", &[(30000, "0")]),
        talk_ms: Some(80_000),
    });
    let all = Rtp::pcmu(120, at("192.0.2.1:20000"), at("198.51.100.1:30000"), 7, 4_000);
    if back {
        scene.rtp(Rtp { src: all.dst, dst: all.src, ssrc: 8, ..all });
    }
    for i in (0..all.packets).filter(|i| !lost(*i)) {
        scene.rtp(Rtp {
            at_ms: all.at_ms + 20 * i64::from(i),
            first_seq: all.first_seq.wrapping_add(i as u16),
            first_timestamp: all.first_timestamp + 160 * i,
            packets: 1,
            ..all
        });
    }
    scene
}

/// What was stated of the call while it was up: seconds since the beginning, its first code and its MOS.
fn stated(scene: &Scene) -> Vec<(i64, &'static str, Option<f32>)> {
    let run = run(&scene.frames(), &Setup::rested());
    let up = |r: &&CallRecord| !r.state.is_over() && r.answered_at.is_some();
    let code = |r: &CallRecord| r.diagnoses.first().map_or("", |d| d.code.name());
    let seconds = |r: &CallRecord| (r.last_at - r.first_at).0 / 1_000_000_000;
    run.changes().filter(up).map(|r| (seconds(r), code(r), r.mos_worst)).collect()
}

#[test]
fn a_call_that_turns_bad_says_so_within_two_intervals_and_keeps_saying_so() {
    // Loss begins after 30 s.
    let stated = stated(&scene(|i| i > 1_500 && i % 10 == 0, true));
    let first = stated.iter().find(|(_, code, _)| *code == "random_loss").expect("a verdict");
    assert!((30..50).contains(&first.0), "{stated:?}");
    let after: Vec<_> = stated.iter().skip_while(|(_, code, _)| code.is_empty()).collect();
    assert!(after.iter().all(|(_, code, _)| *code == "random_loss"), "{stated:?}");
    assert!(after.last().and_then(|(.., mos)| *mos) < Some(3.6), "{stated:?}");
}

#[test]
fn a_clean_call_is_stated_with_its_rating_once() {
    let stated = stated(&scene(|_| false, true));
    let rated: Vec<_> = stated.iter().filter(|(.., mos)| mos.is_some()).collect();
    assert_eq!(rated.len(), 1, "{stated:?}");
    assert!(rated[0].0 <= 20 && rated[0].2 > Some(4.0) && stated.iter().all(|(_, code, _)| code.is_empty()));
}

#[test]
fn media_that_is_missing_is_said_while_the_call_is_up() {
    let one = stated(&scene(|_| false, false));
    let first = one.iter().find(|(_, code, _)| *code == "media_not_seen").expect("a verdict");
    assert!(first.0 <= 20, "{one:?}");
    let none = stated(&scene(|_| true, false));
    assert!(none.iter().any(|(_, code, _)| *code == "no_media"), "{none:?}");
}

#[test]
fn a_stream_that_fell_silent_is_an_interruption_until_it_goes_on() {
    // 30 s without packets, the sender goes on with its numbers and timestamps: an outage.
    let silent = |i: u32| (1_000..2_500).contains(&i);
    let mut scene = scene(silent, true);
    scene.drop_messages("BYE");
    let stated = stated(&scene);
    let codes: Vec<&str> = stated.iter().map(|(_, code, _)| *code).collect();
    assert_eq!(codes.iter().filter(|code| **code == "media_interrupted").count().min(1), 1, "{stated:?}");
    let first = stated.iter().find(|(_, code, _)| *code == "media_interrupted").expect("a verdict");
    assert!((20..50).contains(&first.0), "{stated:?}");
}

#[test]
fn a_change_of_signalling_keeps_figures_and_verdict() {
    let mut scene = scene(|i| i % 10 == 0, true);
    let (a, b) = (at("192.0.2.1:5060"), at("198.51.100.1:5060"));
    let (offer, answer) = (sdp("192.0.2.1", &[(20000, "0")]), sdp("198.51.100.1", &[(30000, "0")]));
    scene.sip(
        45_000,
        a,
        b,
        SipMessage::new("INVITE sip:b@example.com SIP/2.0", "c1", "2 INVITE").tagged().with_sdp(&offer),
    );
    scene.sip(45_100, b, a, SipMessage::new("SIP/2.0 200 OK", "c1", "2 INVITE").tagged().with_sdp(&answer));
    scene.sip(45_110, a, b, SipMessage::new("ACK sip:b@example.com SIP/2.0", "c1", "2 ACK").tagged());
    let stated = stated(&scene);
    let after: Vec<_> = stated.iter().filter(|(s, ..)| *s > 40).collect();
    assert!(
        !after.is_empty() && after.iter().all(|(_, code, mos)| *code == "random_loss" && mos.is_some()),
        "{stated:?}"
    );
}

#[test]
fn the_live_view_counts_bad_calls_while_they_are_bad_and_up() {
    let run = run(&scene(|i| i > 1_500 && i % 3 == 0, true).frames(), &Setup::rested());
    let mut view = LiveView::new(&Limits::default());
    let mut counts = Vec::new();
    for event in &run.events {
        view.apply(event, "");
        let now = view.snapshot();
        if counts.last() != Some(&(now.calls, now.calls_bad)) {
            counts.push((now.calls, now.calls_bad));
        }
    }
    assert_eq!(counts, [(0, 0), (1, 0), (1, 1), (0, 0)]);
}
