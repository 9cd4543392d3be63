//! Clock rates that the wire refutes, and streams without signalling that begin oddly.

use super::*;
use auscult_core::model::{ClockSource, DiagnosisCode};
use std::net::SocketAddr;
use testkit::World;
use testkit::call::{CallSpec, Party};
use testkit::codec::Codec;
use testkit::frame::{self, Lower};

const MS: i64 = 1_000_000;
const START: i64 = 1_794_301_200_000 * MS;

fn call(codec: Codec, replace: Option<(&str, &str)>) -> Run {
    let caller = Party::new("A", "+12025550101", "192.0.2.10", 20_000);
    let callee = Party::new("B", "+12025550102", "198.51.100.20", 30_000);
    let spec = CallSpec { codec, talk_ms: 30_000, ..CallSpec::new(0, caller, callee) };
    let mut frames = World::new(7).call(spec).build().frames;
    if let Some((old, new)) = replace {
        assert_eq!(old.len(), new.len(), "lengths of the message stay as they are");
        for frame in &mut frames {
            let places: Vec<usize> = frame
                .bytes
                .windows(old.len())
                .enumerate()
                .filter(|(_, w)| *w == old.as_bytes())
                .map(|(i, _)| i)
                .collect();
            for place in places {
                frame.bytes[place..place + new.len()].copy_from_slice(new.as_bytes());
            }
        }
    }
    run(&frames, &Setup::default())
}

#[test]
fn a_clock_that_the_wire_refutes_is_replaced_and_both_are_kept() {
    let right = call(Codec::Opus, None);
    let wrong = call(Codec::Opus, Some(("opus/48000", "opus/16000")));
    assert_eq!((right.streams().len(), wrong.streams().len()), (2, 2));
    for (right, wrong) in right.streams().iter().zip(wrong.streams()) {
        assert_eq!((right.clock_source, right.clock_rate_signalled), (Some(ClockSource::Sdp), None));
        assert_eq!(
            (wrong.clock_rate, wrong.clock_source, wrong.clock_rate_signalled),
            (Some(48_000), Some(ClockSource::Wire), Some(16_000))
        );
        assert_eq!(right.numbers.late, wrong.numbers.late);
        assert_eq!(right.numbers.pdv, wrong.numbers.pdv);
        assert_eq!(right.ptime, wrong.ptime);
    }
    let codes = |run: &Run| run.calls()[0].diagnoses.iter().map(|d| d.code).collect::<Vec<_>>();
    assert_eq!((codes(&right), codes(&wrong)), (vec![], vec![DiagnosisCode::ClockMismatch]));
}

/// RTP of one sender: number, timestamp and time of arrival in ms of each packet.
struct Sender {
    payload_type: u8,
    payload: usize,
    src: SocketAddr,
}

impl Sender {
    fn new(payload_type: u8) -> Sender {
        Sender { payload_type, payload: 160, src: ([192, 0, 2, 1], 4000).into() }
    }

    fn frame(&self, at_us: i64, seq: u16, timestamp: u32) -> Frame {
        let mut rtp = vec![0x80, self.payload_type];
        rtp.extend(seq.to_be_bytes());
        rtp.extend(timestamp.to_be_bytes());
        rtp.extend(0x1234_5678u32.to_be_bytes());
        rtp.extend(vec![0x55; self.payload]);
        let lower = Lower { id: seq, ttl: 64, dscp: 0, vlan: None };
        let bytes = frame::udp(self.src, ([198, 51, 100, 1], 5000).into(), lower, &rtp);
        Frame { at: START + at_us * 1000, wire_len: bytes.len() as u32, bytes }
    }
}

/// Packets of 20 ms; `at` gives the time of the nth in ms.
fn paced(sender: &Sender, packets: u32, ticks: u32, at: impl Fn(u32) -> i64) -> Vec<Frame> {
    (0..packets).map(|n| sender.frame(1000 * at(n), n as u16, n * ticks)).collect()
}

#[test]
fn a_sender_that_begins_with_a_burst_keeps_its_clock() {
    let sender = Sender::new(0);
    // Half a second of audio at once, then on the beat; and late by up to 90 ms in turn.
    let burst = paced(&sender, 1_000, 160, |n| if n < 25 { i64::from(n) } else { 500 + i64::from(n - 25) * 20 });
    let jittery = paced(&sender, 1_000, 160, |n| i64::from(n) * 20 + i64::from(n * 7_919 % 10) * 2);
    for frames in [burst, jittery] {
        let run = run(&frames, &Setup::default());
        let [stream] = run.streams()[..] else { panic!("{} streams", run.streams().len()) };
        assert_eq!((stream.clock_rate, stream.clock_source), (Some(8_000), Some(ClockSource::Static)));
        assert_eq!(stream.clock_rate_signalled, None);
    }
}

#[test]
fn neighbouring_rates_are_told_apart() {
    for (rate, ticks) in [(48_000u32, 960), (44_100, 882)] {
        // Arrivals that are late by up to 60 ms in bursts, which bends the slope of the first second.
        let frames = paced(&Sender::new(111), 1_500, ticks, |n| i64::from(n) * 20 + i64::from(n % 64 / 8) * 8);
        let run = run(&frames, &Setup::default());
        let [stream] = run.streams()[..] else { panic!("{} streams", run.streams().len()) };
        assert_eq!((stream.clock_rate, stream.clock_source), (Some(rate), Some(ClockSource::Inferred)));
    }
}

#[test]
fn a_stream_may_begin_out_of_order() {
    let sender = Sender::new(0);
    let frames: Vec<Frame> =
        (0..500u32).map(|n| sender.frame(i64::from(n) * 20_000, (n ^ 1) as u16, (n ^ 1) * 160)).collect();
    let run = run(&frames, &Setup::default());
    let [stream] = run.streams()[..] else { panic!("{} streams", run.streams().len()) };
    assert_eq!((stream.numbers.unique, stream.numbers.lost(), stream.numbers.reordered), (500, 0, 250));
}

#[test]
fn payload_types_below_the_dynamic_range_are_found() {
    for (payload_type, found) in [(35, 1), (63, 1), (77, 0)] {
        let frames = paced(&Sender::new(payload_type), 200, 960, |n| i64::from(n) * 20);
        assert_eq!(run(&frames, &Setup::default()).streams().len(), found, "{payload_type}");
    }
}

#[test]
fn one_short_payload_makes_no_telephone_events() {
    let (short, long) = (Sender { payload: 4, ..Sender::new(97) }, Sender::new(97));
    let frame = |n: u32| if n == 0 { &short } else { &long }.frame(i64::from(n) * 20_000, n as u16, n * 160);
    let frames: Vec<Frame> = (0..500).map(frame).collect();
    let run = run(&frames, &Setup::default());
    let [stream] = run.streams()[..] else { panic!("{} streams", run.streams().len()) };
    assert_ne!(&*stream.codec, "telephone-event");
    assert!(stream.numbers.jitter.samples > 400, "{}", stream.numbers.jitter.samples);
    // Events only: four bytes each, one timestamp for each digit.
    let digits: Vec<Frame> = (0..100u32).map(|n| short.frame(i64::from(n) * 20_000, n as u16, n / 10 * 1600)).collect();
    let digits = self::run(&digits, &Setup::default());
    assert!(digits.streams().iter().all(|s| &*s.codec == "telephone-event"), "{:?}", digits.streams().len());
}

#[test]
fn the_clock_of_video_in_bursts_is_found() {
    // 30 frames a second of 12 packets each: 64 packets last less than half a second.
    let sender = Sender { payload: 1_000, ..Sender::new(120) };
    let frames: Vec<Frame> = (0..3_600u32)
        .map(|n| sender.frame(i64::from(n / 12) * 33_333 + i64::from(n % 12) * 100, n as u16, n / 12 * 3_000))
        .collect();
    let run = run(&frames, &Setup::default());
    let [stream] = run.streams()[..] else { panic!("{} streams", run.streams().len()) };
    assert_eq!((stream.clock_rate, stream.clock_source), (Some(90_000), Some(ClockSource::Inferred)));
}

#[test]
fn a_timestamp_that_stands_still_is_no_rtp() {
    let sender = Sender::new(96);
    let still: Vec<Frame> = (0..200u32).map(|n| sender.frame(i64::from(n) * 100_000, n as u16, 7)).collect();
    assert_eq!(run(&still, &Setup::default()).streams().len(), 0);
}
