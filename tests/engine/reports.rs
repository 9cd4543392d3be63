//! RTCP makes rows for calls and streams that are known, soon become known or were known just before; and neither it nor a
//! session description costs more the more streams its addresses and sources have.

use super::*;
use auscult_core::engine::EngineCounters;
use auscult_core::model::{Ignored, Outcome, RtcpKind, RtcpRecord};
use std::net::SocketAddr;
use testkit::frame::{self, Lower};
use testkit::world::START;

const MS: i64 = 1_000_000;
const LOWER: Lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };
const UNKNOWN: Outcome = Outcome::Ignored(Ignored::UnknownRtcp);

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn udp(ms: i64, src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Frame {
    let bytes = frame::udp(src, dst, LOWER, payload);
    Frame { at: START + ms * MS, wire_len: bytes.len() as u32, bytes }
}

/// Packets of a stream, 20 ms apart.
fn stream(ms: i64, src: SocketAddr, dst: SocketAddr, ssrc: u32, packets: u16) -> Vec<Frame> {
    let packet = |seq: u16| {
        let mut payload = vec![0x80, 0];
        payload.extend(seq.to_be_bytes());
        payload.extend((u32::from(seq) * 160).to_be_bytes());
        payload.extend(ssrc.to_be_bytes());
        payload.extend([0xFF; 20]);
        udp(ms + 20 * i64::from(seq), src, dst, &payload)
    };
    (0..packets).map(packet).collect()
}

fn words(packet_type: u8, count: usize, words: &[u32]) -> Vec<u8> {
    let mut packet = vec![0x80 | count as u8, packet_type];
    packet.extend((words.len() as u16).to_be_bytes());
    packet.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    packet
}

fn sender_report(ssrc: u32) -> Vec<u8> {
    words(200, 0, &[ssrc, 1, 2, 3, 4, 5])
}

fn receiver_report(ssrc: u32, about: &[u32]) -> Vec<u8> {
    let blocks = about.iter().flat_map(|about| [*about, 0, 0, 0, 0, 0]);
    words(201, about.len(), &std::iter::once(ssrc).chain(blocks).collect::<Vec<_>>())
}

fn bye(ssrcs: &[u32]) -> Vec<u8> {
    words(203, ssrcs.len(), ssrcs)
}

fn invite(ms: i64, media: &[(u8, u16)]) -> Frame {
    let mut body = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n".to_owned();
    for (host, port) in media {
        body += &format!("m=audio {port} RTP/AVP 0\r\nc=IN IP4 192.0.2.{host}\r\n");
    }
    let message = format!(
        "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1\r\n\
         From: <sip:a@example.com>;tag=f\r\nTo: <sip:b@example.com>\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    udp(ms, address(9, 5060), address(8, 5060), message.as_bytes())
}

fn reports(run: &Run) -> Vec<&RtcpRecord> {
    run.events.iter().filter_map(|e| if let Event::Rtcp(r) = e { Some(&**r) } else { None }).collect()
}

/// Rows, and datagrams by whether they made any.
fn made(frames: &[Frame]) -> (usize, u64, u64) {
    let mut frames = frames.to_vec();
    frames.sort_by_key(|f| f.at);
    let run = run(&frames, &Setup { rest: Nanos::from_secs(100), ..Setup::default() });
    assert_eq!(run.outcomes.total(), run.frames, "every frame has an outcome");
    (reports(&run).len(), run.outcomes.get(Outcome::Rtcp), run.outcomes.get(UNKNOWN))
}

#[test]
fn rtcp_of_nothing_known_makes_no_rows() {
    let everything: Vec<u8> = (0..11).flat_map(|i| bye(&(31 * i..31 * i + 31).collect::<Vec<u32>>())).collect();
    assert!(everything.len() == 11 * 128);
    let floods: Vec<Frame> = (0..3_000)
        .map(|i| udp(i, address(1, 20_000 + i as u16), address(2, 30_000 + i as u16), &everything))
        .chain((0..100).map(|i| udp(i, address(3, 5_001), address(4, 6_001), &receiver_report(i as u32, &[1, 2, 3]))))
        .collect();
    assert_eq!(made(&floods), (0, 0, 3_100));
}

#[test]
fn a_bye_makes_rows_of_the_sources_that_are_measured() {
    let (a, b) = (address(1, 5_000), address(2, 6_000));
    let at = |ms: i64, packet: Vec<u8>| udp(ms, address(1, 5_001), address(2, 6_001), &packet);
    let media = || [stream(0, a, b, 7, 20), stream(0, a, b, 8, 20)].concat();
    let many: Vec<u8> = (0..11).flat_map(|i| bye(&(31 * i..31 * i + 31).collect::<Vec<u32>>())).collect();
    let run_of = |bye: Vec<u8>| {
        let mut frames = [media(), vec![at(500, bye)]].concat();
        frames.sort_by_key(|f| f.at);
        let mut engine = Setup::default().engine();
        let mut events = Vec::new();
        frames.iter().for_each(|f| feed(&mut engine, f, &mut events));
        let of =
            |e: &Event| if let Event::Rtcp(r) = e { Some((r.kind, r.reporter.0, r.stream.is_some())) } else { None };
        (events.iter().filter_map(of).collect::<Vec<_>>(), engine.counters().rtcp_rows_left_out)
    };
    let kind = RtcpKind::Bye;
    assert_eq!(run_of(many), (vec![(kind, 7, true), (kind, 8, true)], 339));
    assert_eq!(run_of(bye(&[8])), (vec![(kind, 8, true)], 0));
    // A receiver that never sent media leaves: one row, of the first source.
    assert_eq!(run_of(bye(&[99])), (vec![(kind, 99, false)], 0));
    assert_eq!(run_of(bye(&[99, 98])), (vec![(kind, 99, false)], 1));
    assert_eq!(run_of([bye(&[7]), bye(&[7, 7])].concat()), (vec![(kind, 7, true)], 2));
}

/// Each of these makes a row, as before.
#[test]
fn rtcp_of_known_calls_and_streams_keeps_its_rows() {
    let (a, b) = (address(1, 5_000), address(2, 6_000));
    let (a_rtcp, b_rtcp) = (address(1, 5_001), address(2, 6_001));
    let media = |ms| stream(ms, a, b, 7, 50);
    let with = |more: Frame| [media(0), vec![more]].concat();
    let cases = [
        ("of the sender", with(udp(500, a_rtcp, b_rtcp, &sender_report(7)))),
        ("of a receiver that sends nothing", with(udp(500, b_rtcp, a_rtcp, &receiver_report(9, &[7])))),
        (
            "of a receiver that sends nothing and has nothing to report",
            with(udp(500, b_rtcp, a_rtcp, &receiver_report(9, &[]))),
        ),
        ("on the ports of the media", with(udp(500, b, a, &receiver_report(9, &[7])))),
        (
            "from elsewhere about a measured source",
            with(udp(500, address(3, 1), address(4, 2), &receiver_report(9, &[7]))),
        ),
        ("from elsewhere by a measured source", with(udp(500, address(3, 1), address(4, 2), &sender_report(7)))),
        (
            "before the first packet of the media",
            [vec![udp(0, a_rtcp, b_rtcp, &sender_report(7))], media(9_000)].concat(),
        ),
        ("before it, the other way", [vec![udp(0, b_rtcp, a_rtcp, &receiver_report(9, &[]))], media(9_000)].concat()),
        ("while the stream is not confirmed", [media(0), vec![udp(30, a, b, &sender_report(7))]].concat()),
        ("after the end of the stream", with(udp(1_000 + 75_000, a_rtcp, b_rtcp, &sender_report(7)))),
        ("of an announced address", vec![invite(0, &[(1, 5_000)]), udp(10, b_rtcp, a_rtcp, &receiver_report(9, &[]))]),
        (
            "before its address is announced",
            vec![udp(0, b_rtcp, a_rtcp, &receiver_report(9, &[])), invite(500, &[(1, 5_000)])],
        ),
    ];
    for (case, frames) in cases {
        assert_eq!(made(&frames), (1, 1, 0), "{case}");
    }
    // The near misses: nothing follows, or too late.
    assert_eq!(made(&[udp(0, a_rtcp, b_rtcp, &sender_report(7))]), (0, 0, 1));
    assert_eq!(made(&[vec![udp(0, a_rtcp, b_rtcp, &sender_report(7))], media(10_500)].concat()), (0, 0, 1));
    assert_eq!(made(&with(udp(1_000 + 150_000, a_rtcp, b_rtcp, &sender_report(7)))), (0, 0, 1));
    assert_eq!(made(&with(udp(500, address(3, 1), address(4, 2), &receiver_report(9, &[8])))), (0, 0, 1));
}

#[test]
fn reports_that_wait_are_the_same_for_any_shards_and_ticks() {
    let mut frames = Vec::new();
    for i in 0..60u16 {
        let (a, b) = (address(1, 5_000 + 2 * i), address(2, 6_000 + 2 * i));
        let ms = 700 * i64::from(i);
        frames.push(udp(ms, address(1, 5_001 + 2 * i), address(2, 6_001 + 2 * i), &sender_report(u32::from(i))));
        frames.extend(stream(ms + 300 * i64::from(i % 40), a, b, u32::from(i), 20));
    }
    frames.sort_by_key(|f| f.at);
    let plain = run(&frames, &Setup::default());
    assert_eq!(reports(&plain).len(), plain.outcomes.get(Outcome::Rtcp) as usize);
    assert!(plain.outcomes.get(UNKNOWN) > 0 && reports(&plain).len() > 30, "{:?}", plain.outcomes);
    for shards in [2, 8] {
        same(&plain.sorted(), &run(&frames, &Setup::sharded(shards, 5)).sorted(), "shards");
    }
    let ticked = run_ticked(&frames, &Setup::default(), |from, to| (from..to).step_by(100_000_000).collect());
    same(&plain.sorted(), &ticked.sorted(), "ticks");
}

/// Streams from as many ports to one address, each with a source of its own or all with the same.
fn crowd(streams: u16, to: SocketAddr, ssrc: impl Fn(u16) -> u32) -> Vec<Frame> {
    let mut frames: Vec<Frame> =
        (0..streams).flat_map(|i| stream(i64::from(i), address(1, 10_000 + 2 * i), to, ssrc(i), 5)).collect();
    frames.sort_by_key(|f| f.at);
    frames
}

/// The streams that one more frame was compared with, and the counters after it.
fn compared(crowd: &[Frame], frame: &Frame, events: &mut Vec<Event>) -> (u64, EngineCounters) {
    let mut engine = Setup::default().engine();
    crowd.iter().for_each(|f| feed(&mut engine, f, events));
    engine.tick(Timestamp(frame.at - 1), events);
    let before = engine.counters().streams_compared;
    events.clear();
    feed(&mut engine, frame, events);
    let counters = engine.counters();
    engine.finish(events);
    (counters.streams_compared - before, counters)
}

#[test]
fn an_offer_costs_no_more_the_more_streams_its_address_has() {
    let to = address(2, 6_000);
    let offer = |lines: usize| invite(1_200, &vec![(2, 6_000); lines]);
    let cost = |streams: u16, lines: usize| {
        let mut events = Vec::new();
        let (steps, counters) = compared(&crowd(streams, to, |i| u32::from(i) + 1), &offer(lines), &mut events);
        let bound: Vec<u16> = events
            .iter()
            .filter_map(|e| if let Event::StreamEnded(s) = e { s.call_uid.map(|_| s.src.port()) } else { None })
            .collect();
        (steps, counters.compared_in_part, bound)
    };
    // Ordinary addresses: every stream is looked at once for each line, and all of them are the call's.
    for streams in [1, 2, 30, 64] {
        let (steps, in_part, bound) = cost(streams, 1);
        assert_eq!((steps, in_part, bound.len()), (u64::from(streams), 0, usize::from(streams)));
    }
    let (steps, in_part, bound) = cost(1_000, 1);
    assert_eq!((steps, in_part), (128, 1));
    let latest: Vec<u16> = (936..1_000).map(|i| 10_000 + 2 * i).collect();
    let mut sorted = bound;
    sorted.sort_unstable();
    assert_eq!(sorted, latest, "of many the latest are the call's");
    let (of_32, in_part, _) = cost(1_000, 32);
    assert_eq!((of_32, in_part), (128, 1), "lines of one address are one announcement");
    // Lines of 32 addresses with 100 streams each.
    let mut crowds: Vec<Frame> =
        (0..32).flat_map(|i| crowd(100, address(2, 6_000 + 2 * i), |n| u32::from(100 * i + n))).collect();
    crowds.sort_by_key(|f| f.at);
    let lines: Vec<(u8, u16)> = (0..32).map(|i| (2, 6_000 + 2 * i)).collect();
    let (of_32, counters) = compared(&crowds, &invite(1_200, &lines), &mut Vec::new());
    let in_part = counters.compared_in_part;
    assert!(of_32 <= 2 * 256 + 32 && in_part == 32, "{of_32} steps, {in_part} lines in part");
}

#[test]
fn a_report_costs_no_more_the_more_streams_its_source_has() {
    let to = address(2, 6_000);
    let crowd = |streams| crowd(streams, to, |_| 7);
    let from = |port: u16| udp(5_000, address(2, 6_001), address(1, port + 1), &receiver_report(9, &[7; 31]));
    let found = |streams: u16, port: u16| {
        let mut events = Vec::new();
        let (steps, counters) = compared(&crowd(streams), &from(port), &mut events);
        let of = |e: &Event| if let Event::Rtcp(r) = e { Some(r.stream) } else { None };
        let about: Vec<_> = events.iter().filter_map(of).collect();
        let ended: Vec<_> = events
            .iter()
            .filter_map(|e| if let Event::StreamEnded(s) = e { Some((s.id, s.src.port())) } else { None })
            .collect();
        let port =
            about.first().copied().flatten().and_then(|id| ended.iter().find(|(e, _)| *e == id)).map(|(_, p)| *p);
        (steps, counters.compared_in_part, about.len(), port)
    };
    assert_eq!(found(1, 10_000), (31, 0, 31, Some(10_000)));
    // The first between the hosts, as ever where there are few.
    assert_eq!(found(40, 10_010), (31 * 40, 0, 31, Some(10_000)));
    // Where there are many, the one between the ports of the report.
    assert_eq!(found(1_000, 10_010), (31 * 64, 0, 31, Some(10_010)));
    // Or the latest of them, and it is counted that not all were looked at.
    assert_eq!(found(1_000, 9_000), (31 * 64, 31, 31, Some(11_998)));
}

/// Lossy streams of both directions between two addresses: each is compared with the latest few the other way.
#[test]
fn common_loss_is_looked_for_in_few_streams_the_other_way() {
    let (a, b) = (address(1, 5_000), address(2, 6_000));
    let mut frames = Vec::new();
    for i in 0..200u32 {
        let (src, dst) = if i % 2 == 0 { (a, b) } else { (b, a) };
        // Every second number is missing after the first five.
        let mut packets = stream(10 * i64::from(i), src, dst, i + 1, 65);
        let mut n = 0;
        packets.retain(|_| {
            n += 1;
            n <= 5 || n % 2 == 0
        });
        frames.extend(packets);
    }
    frames.sort_by_key(|f| f.at);
    let mut engine = Setup::default().engine();
    let mut events = Vec::new();
    frames.iter().for_each(|f| feed(&mut engine, f, &mut events));
    engine.finish(&mut events);
    let lossy = events.iter().filter(|e| matches!(e, Event::Interval(i) if i.numbers.lost() > 0)).count() as u64;
    let compared = engine.counters().streams_compared;
    assert!(lossy >= 200 && compared > 2 * lossy && compared <= 16 * lossy, "{compared} for {lossy} lossy rows");
}
