//! Every limit is reached, counted, and holds; floods cost those beside them nothing.

use super::*;
use auscult_core::model::{Outcome, OverLimit, Shedding, Transport};
use auscult_core::signal::{CapturedMessage, Signal};
use std::net::SocketAddr;
use testkit::World;
use testkit::call::{CallSpec, Party};
use testkit::frame::{self, Lower, Segment};
use testkit::rng::Rng;
use testkit::world::START;

const MS: i64 = 1_000_000;
const LOWER: Lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };

fn limits() -> Limits {
    Limits::default()
}

fn over(run: &Run, what: OverLimit) -> u64 {
    assert_eq!(run.outcomes.total(), run.frames, "every frame has an outcome");
    run.outcomes.get(Outcome::OverLimit(what))
}

fn udp(at: i64, src: &str, dst: &str, payload: &[u8]) -> Frame {
    let bytes = frame::udp(src.parse().unwrap(), dst.parse().unwrap(), LOWER, payload);
    Frame { at, wire_len: bytes.len() as u32, bytes }
}

fn rtp(at: i64, src: &str, dst: &str, ssrc: u32, seq: u16) -> Frame {
    let mut payload = vec![0x80, 0];
    payload.extend(seq.to_be_bytes());
    payload.extend((u32::from(seq) * 160).to_be_bytes());
    payload.extend(ssrc.to_be_bytes());
    payload.extend([0xFF; 20]);
    udp(at, src, dst, &payload)
}

/// An INVITE with an offer, or what `start` and `more` make of it.
fn sip(start: &str, call_id: &str, to_tag: &str, cseq: &str, sdp_port: u16) -> Vec<u8> {
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio {sdp_port} RTP/AVP 0\r\n"
    );
    let body = if sdp_port == 0 { String::new() } else { body };
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{call_id}{}\r\n\
         From: <sip:a@example.com>;tag=f{call_id}\r\nTo: <sip:b@example.com>{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
         Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        cseq.replace(' ', ""),
        body.len()
    )
    .into_bytes()
}

const INVITE: &str = "INVITE sip:b@example.com SIP/2.0";
const ENDS: (&str, &str) = ("192.0.2.9:5060", "198.51.100.9:5060");

fn invite(at: i64, call_id: &str, sdp_port: u16) -> Frame {
    udp(at, ENDS.0, ENDS.1, &sip(INVITE, call_id, "", "1 INVITE", sdp_port))
}

fn answer(at: i64, status: &str, call_id: &str, to_tag: &str, sdp_port: u16) -> Frame {
    udp(at, ENDS.1, ENDS.0, &sip(&format!("SIP/2.0 {status}"), call_id, to_tag, "1 INVITE", sdp_port))
}

/// Twenty answered calls, all up at the same time.
fn reference() -> Vec<Frame> {
    let mut world = World::new(20);
    for i in 0..20u16 {
        let caller = Party::new("A", &format!("+120255501{i:02}"), "192.0.2.1", 10_000 + 8 * i);
        let callee = Party::new("B", &format!("+131255501{i:02}"), "198.51.100.1", 10_004 + 8 * i);
        let mut spec = CallSpec::new(50 + 97 * i64::from(i), caller, callee);
        (spec.ring_ms, spec.answer_ms, spec.talk_ms) = (60, 600, 12_000);
        world = world.call(spec);
    }
    world.build().frames
}

/// What a run says about the reference calls: calls, streams, rows, SIP and RTCP.
fn about_reference(run: &Run) -> Vec<String> {
    let ours = |a: &SocketAddr| ["192.0.2.1", "198.51.100.1"].contains(&a.ip().to_string().as_str());
    let about = |e: &&Event| match e {
        Event::CallChanged(c) | Event::CallEnded(c) => c.signalling_src.as_ref().is_some_and(ours),
        Event::StreamStarted(s) | Event::StreamEnded(s) => ours(&s.src),
        Event::Interval(i) => ours(&i.src),
        Event::SipMessage(m) => ours(&m.src),
        Event::Rtcp(r) => ours(&r.src),
        Event::Capture(_) => false,
    };
    let mut lines: Vec<String> = run.events.iter().filter(about).map(|e| format!("{e:?}")).collect();
    lines.sort_unstable();
    lines
}

fn beside(mut frames: Vec<Frame>) -> Vec<Frame> {
    frames.extend(reference());
    frames.sort_by_key(|f| f.at);
    frames
}

#[test]
fn a_flood_of_ssrcs_costs_the_reference_calls_nothing() {
    let limits = Limits { candidates: 2_000, ..limits() };
    let plain = run(&reference(), &Setup::limited(limits.clone()));
    assert_eq!((plain.calls().len(), plain.streams().len()), (20, 40));
    let mut rng = Rng::new(1);
    let flood = (0..200_000i64).map(|i| {
        let n = rng.next_u32();
        let src = format!("203.0.113.{}:{}", 1 + n % 250, 1_024 + (n >> 8) % 60_000);
        rtp(START + i * 75_000, &src, "203.0.113.254:4000", rng.next_u32(), n as u16)
    });
    let frames = beside(flood.collect());
    for shards in [1, 8] {
        let flooded = run(&frames, &Setup { shards, ..Setup::limited(limits.clone()) });
        same(&about_reference(&plain), &about_reference(&flooded), "calls beside a flood");
        assert_eq!(flooded.streams().len(), 40);
        let counted = over(&flooded, OverLimit::Candidates);
        assert!(counted > 190_000, "{counted}");
    }
}

/// The flood comes on the addresses of calls that are up: eight candidates to a pair of addresses, no more.
#[test]
fn a_flood_of_ssrcs_on_live_addresses_costs_nothing() {
    let plain = run(&reference(), &Setup::default());
    let mut rng = Rng::new(2);
    let flood = (0..50_000i64).map(|i| {
        let port = 10_000 + 8 * rng.below(20);
        let (src, dst) = (format!("192.0.2.1:{port}"), format!("198.51.100.1:{}", port + 4));
        rtp(START + 4_000 * MS + i * 100_000, &src, &dst, rng.next_u32(), rng.next_u32() as u16)
    });
    let flooded = run(&beside(flood.collect()), &Setup::default());
    same(&about_reference(&plain), &about_reference(&flooded), "streams beside a flood on their addresses");
    let counted = over(&flooded, OverLimit::Candidates);
    assert!(counted > 49_000, "{counted}");
}

/// The message in a frame over UDP and IPv4.
fn message_of(f: &Frame) -> CapturedMessage<'_> {
    let (src, dst) = (ENDS.0.parse().unwrap(), ENDS.1.parse().unwrap());
    let (at, transport, bytes) = (Timestamp(f.at), Transport::Udp, &f.bytes[42..]);
    CapturedMessage { at, src, dst, transport, bytes, cut_short: false }
}

#[test]
fn a_flood_of_call_ids_costs_the_reference_calls_nothing() {
    let limits = Limits { calls: 1_500, ..limits() };
    let plain = run(&reference(), &Setup::limited(limits.clone()));
    // It goes on when the calls are over: those that nobody answered make room for each other before them.
    let flood: Vec<Frame> = (0..40_000i64).map(|i| invite(START + i * 500_000, &format!("flood{i}"), 0)).collect();
    let mut signal = Signal::new(&Policy::default(), &limits);
    let mut events = Vec::new();
    for f in &flood {
        signal.message(message_of(f), &mut events);
        assert!(signal.len() <= limits.calls);
        events.clear();
    }
    assert_eq!(signal.counters().calls_shed, 40_000 - 1_500);
    let flooded = run(&beside(flood), &Setup::limited(limits));
    same(&about_reference(&plain), &about_reference(&flooded), "calls beside a flood");
    assert_eq!(flooded.calls().len(), 20 + 40_000, "each is stated once, evicted or not");
    assert_eq!(flooded.calls().iter().filter(|c| c.evicted).count(), 40_000 - 1_500);
    assert_eq!(flooded.outcomes.total(), flooded.frames);
}

fn shedding(run: &Run) -> Shedding {
    let mut all = Shedding::default();
    for event in &run.events {
        if let Event::Capture(capture) = event {
            all.merge(&capture.shedding);
        }
    }
    all
}

/// Source port and packets of the streams that were shed, in the order of their ports.
fn evictions(run: &Run) -> Vec<(u16, u64)> {
    let mut all: Vec<_> =
        run.streams().iter().filter(|s| s.quality.evicted).map(|s| (s.src.port(), s.numbers.packets)).collect();
    all.sort_unstable();
    all
}

/// Five packets in sequence from a port of 192.0.2.1.
fn burst(at: i64, port: u16, first: u16) -> Vec<Frame> {
    let packet = |i: u16| {
        rtp(at + i64::from(i) * 20 * MS, &format!("192.0.2.1:{port}"), "198.51.100.1:5000", u32::from(port), first + i)
    };
    (0..5).map(packet).collect()
}

#[test]
fn the_longest_idle_stream_makes_room_first() {
    let limits = Limits { streams: 3, ..limits() };
    let mut frames = Vec::new();
    // Three streams, the last packets 30.5, 30 and 3 s old when the fourth comes, and the fifth and sixth after it.
    frames.extend(burst(START, 4002, 0));
    frames.extend(burst(START + 500 * MS, 4000, 0));
    frames.extend(burst(START + 27_500 * MS, 4004, 0));
    frames.extend(burst(START + 30_500 * MS, 4006, 0));
    frames.extend(burst(START + 31_500 * MS, 4008, 0));
    frames.extend(burst(START + 32_500 * MS, 4010, 0));
    frames.sort_by_key(|f| f.at);
    for seed in [1, 2] {
        let run = run(&frames, &Setup { seed, ..Setup::limited(limits.clone()) });
        assert_eq!(evictions(&run), [(4000, 5), (4002, 5)]);
        assert_eq!(run.streams().len(), 5);
        // Four packets are a stream that is refused, the fifth a candidate that comes to nothing.
        assert_eq!(over(&run, OverLimit::Streams), 4);
        assert_eq!(shedding(&run), Shedding { streams_shed: 2, streams_refused: 1, ..Shedding::default() });
    }
}

#[test]
fn a_stream_of_a_call_displaces_the_youngest_that_has_none() {
    let limits = Limits { streams: 4, ..limits() };
    let mut frames = Vec::new();
    for i in 0..4u16 {
        for packet in 0..20 {
            frames.extend(burst(START + i64::from(100 * i + 100 * packet) * MS, 4000 + 2 * i, 5 * packet));
        }
    }
    let call = |at: i64, id: &str, port: u16| vec![invite(at, id, port), answer(at + MS, "200 OK", id, "t", port + 2)];
    frames.extend(call(START + 900 * MS, "first", 6000));
    frames.extend(call(START + 910 * MS, "second", 6100));
    frames.extend(call(START + 920 * MS, "third", 6200));
    let media = |at: i64, port: u16| {
        (0..20).map(move |i| {
            rtp(at + i64::from(i) * 20 * MS, "198.51.100.9:7000", &format!("192.0.2.9:{port}"), u32::from(port), i)
        })
    };
    for (n, port) in [6000, 6002, 6100, 6102, 6200].into_iter().enumerate() {
        frames.extend(media(START + (1_000 + 50 * n as i64) * MS, port));
    }
    frames.sort_by_key(|f| f.at);
    let run = run(&frames, &Setup::limited(limits));
    // The youngest first, until none without a call is left; streams of calls never.
    let ports: Vec<u16> = run.streams().iter().filter(|s| s.quality.evicted).map(|s| s.src.port()).collect();
    assert_eq!(ports, [4006, 4004, 4002, 4000]);
    let of_calls = run
        .streams()
        .iter()
        .filter(|s| s.call_uid.is_some())
        .map(|s| (s.dst.port(), s.numbers.packets))
        .collect::<Vec<_>>();
    assert_eq!(of_calls.len(), 4);
    assert!(of_calls.iter().all(|(port, packets)| *port != 6200 && *packets == 20), "{of_calls:?}");
    assert_eq!(shedding(&run).streams_shed, 4);
}

#[test]
fn calls_make_room_in_the_order_of_what_is_lost_with_them() {
    let limits = Limits { calls: 4, ..limits() };
    let mut frames = vec![
        invite(START, "rings", 0),
        answer(START + MS, "180 Ringing", "rings", "t", 0),
        invite(START + 2 * MS, "trying", 0),
        answer(START + 3 * MS, "100 Trying", "trying", "", 0),
        invite(START + 4 * MS, "busy", 0),
        answer(START + 5 * MS, "486 Busy Here", "busy", "t", 0),
        invite(START + 6 * MS, "silent", 0),
    ];
    // Each of them comes up, so the next has to find room elsewhere.
    for i in 0..5 {
        let (id, at) = (format!("up{i}"), START + (10 + 10 * i) * MS);
        frames.push(invite(at, &id, 0));
        frames.push(answer(at + MS, "200 OK", &id, "t", 0));
    }
    let run = run(&frames, &Setup::limited(limits));
    let ids: Vec<(&str, bool)> = run.calls().iter().map(|c| (&*c.call_id, c.evicted)).collect();
    let shed: Vec<&str> = ids.iter().filter(|(_, shed)| *shed).map(|(id, _)| *id).collect();
    assert_eq!(shed, ["silent", "busy", "trying", "rings"]);
    assert_eq!(ids[4..], [("up0", false), ("up1", false), ("up2", false), ("up3", false)]);
    // The INVITE of the fifth and the answer to it.
    assert_eq!(shedding(&run), Shedding { calls_shed: 4, calls_refused: 2, ..Shedding::default() });
}

#[test]
fn streams_are_limited() {
    let limits = Limits { streams: 5, ..limits() };
    let mut frames = Vec::new();
    for seq in 0..20u16 {
        for stream in 0..8u16 {
            let src = format!("192.0.2.1:{}", 4000 + 2 * stream);
            frames.push(rtp(START + i64::from(seq) * 20 * MS, &src, "198.51.100.1:5000", u32::from(stream), seq));
        }
    }
    let mut engine = Setup::limited(limits.clone()).engine();
    let mut events = Vec::new();
    for f in &frames {
        feed(&mut engine, f, &mut events);
        engine.tick(Timestamp(f.at), &mut events);
        assert!(engine.active_streams() <= 5);
    }
    let run = run(&frames, &Setup::limited(limits));
    assert_eq!(run.streams().len(), 5);
    assert!(run.streams().iter().all(|s| s.numbers.packets == 20));
    assert_eq!(over(&run, OverLimit::Streams), 3 * 20);
}

#[test]
fn candidates_are_limited() {
    let one_each = |n: u16| -> Vec<Frame> {
        (0..n)
            .map(|i| rtp(START + i64::from(i) * MS, &format!("192.0.2.1:{}", 4000 + i), "198.51.100.1:5000", 7, i))
            .collect()
    };
    let run_of = |n| run(&one_each(n), &Setup::limited(Limits { candidates: 10, ..limits() }));
    assert_eq!(over(&run_of(10), OverLimit::Candidates), 0);
    assert_eq!(over(&run_of(100), OverLimit::Candidates), 90);
}

#[test]
fn candidates_of_one_flow_are_limited() {
    let frames: Vec<Frame> =
        (0..100).map(|i| rtp(START + i64::from(i) * MS, "192.0.2.1:4000", "198.51.100.1:5000", i, 1)).collect();
    let run = run(&frames, &Setup::limited(Limits { candidates_per_flow: 8, ..limits() }));
    assert_eq!(over(&run, OverLimit::Candidates), 92);
}

#[test]
fn calls_are_limited_and_those_that_are_up_stay() {
    let limits = Limits { calls: 3, ..limits() };
    let mut frames = Vec::new();
    for i in 0..6 {
        let (id, at) = (format!("up{i}"), START + i * 10 * MS);
        frames.push(invite(at, &id, 0));
        frames.push(answer(at + MS, "200 OK", &id, "t", 0));
    }
    let run = run(&frames, &Setup::limited(limits));
    let ids: Vec<&str> = run.calls().iter().map(|c| &*c.call_id).collect();
    assert_eq!(ids, ["up0", "up1", "up2"]);
    // Six messages: three INVITEs and the answers to them.
    assert_eq!(over(&run, OverLimit::Calls), 6);
}

#[test]
fn messages_of_a_call_are_limited_and_counted() {
    let frames: Vec<Frame> = (0..50)
        .map(|i| {
            let method = if i == 0 { "INVITE" } else { "INFO" };
            let start = format!("{method} sip:b@example.com SIP/2.0");
            let tag = if i == 0 { "" } else { "t" };
            udp(START + i * 100 * MS, ENDS.0, ENDS.1, &sip(&start, "chatty", tag, &format!("{} {method}", i + 1), 0))
        })
        .collect();
    let run = run(&frames, &Setup::limited(Limits { messages_per_call: 10, ..limits() }));
    assert_eq!(over(&run, OverLimit::MessagesPerCall), 40);
    let kept = run.events.iter().filter(|e| matches!(e, Event::SipMessage(_))).count();
    assert_eq!((run.calls()[0].messages, run.calls()[0].messages_dropped, kept), (50, 40, 10));
}

#[test]
fn branches_of_a_call_are_limited() {
    let mut frames = vec![invite(START, "fork", 0)];
    frames.extend((1..200).map(|i| answer(START + i * 10 * MS, "180 Ringing", "fork", &format!("t{i}"), 0)));
    let run = run(&frames, &Setup::limited(Limits { branches_per_call: 64, ..limits() }));
    assert_eq!(over(&run, OverLimit::MessagesPerCall), 0);
    assert_eq!((run.calls()[0].branches, run.calls()[0].messages), (64, 200));
}

#[test]
fn media_endpoints_are_limited() {
    let limits = Limits { media_endpoints: 2, ..limits() };
    let mut frames: Vec<Frame> =
        (0..5).map(|i| invite(START + i * MS, &format!("media{i}"), 6000 + 2 * i as u16)).collect();
    let mut signal = Signal::new(&Policy::default(), &limits);
    let mut events = Vec::new();
    for f in &frames {
        signal.message(message_of(f), &mut events);
    }
    assert_eq!(signal.counters().media_refused, 3);
    for seq in 0..10u16 {
        for i in 0..5 {
            let (at, dst) = (START + 100 * MS + i64::from(seq) * 20 * MS, format!("192.0.2.9:{}", 6000 + 2 * i));
            frames.push(rtp(at, "198.51.100.9:7000", &dst, 100 + i, seq));
        }
    }
    let run = run(&frames, &Setup::limited(limits));
    let bound = run.streams().iter().filter(|s| s.call_uid.is_some()).count();
    assert_eq!((run.streams().len(), bound), (5, 2), "what is not announced is measured all the same");
}

fn segment(at: i64, port: u16, seq: u32, data: &[u8]) -> Frame {
    let (src, dst) = (SocketAddr::from(([192, 0, 2, 9], port)), ENDS.1.parse().unwrap());
    let bytes = frame::tcp(src, dst, LOWER, Segment { seq, ack: 1, flags: 24 }, data);
    Frame { at, wire_len: bytes.len() as u32, bytes }
}

#[test]
fn tcp_connections_are_limited() {
    // Half a message on each of a hundred connections, then the other half: only the youngest are still known.
    let whole = sip(INVITE, "slow", "", "1 INVITE", 0);
    let (first, second) = whole.split_at(whole.len() / 2);
    let seen = |connections: u16| {
        let mut frames = Vec::new();
        for i in 0..connections {
            frames.push(segment(START + i64::from(i) * MS, 10_000 + i, 1, first));
        }
        for i in 0..connections {
            frames.push(segment(START + i64::from(500 + i) * MS, 10_000 + i, 1 + first.len() as u32, second));
        }
        let run = run(&frames, &Setup::limited(Limits { tcp_connections: 4, ..limits() }));
        assert_eq!(run.outcomes.total(), run.frames);
        (run.calls().len(), run.outcomes.get(Outcome::Ignored(auscult_core::model::Ignored::OtherTcp)))
    };
    assert_eq!(seen(4), (1, 0));
    let (calls, lost) = seen(100);
    assert_eq!(calls, 1, "all are one Call-ID");
    assert!(lost >= 92, "{lost} second halves of forgotten connections");
}

#[test]
fn bytes_of_a_tcp_direction_are_limited() {
    let mut frames = vec![segment(START, 10_000, 1, format!("{INVITE}\r\nSubject: ").as_bytes())];
    let mut seq = 1 + format!("{INVITE}\r\nSubject: ").len() as u32;
    for i in 1..20 {
        frames.push(segment(START + i * MS, 10_000, seq, &[b'x'; 1000]));
        seq += 1000;
    }
    let small = run(&frames, &Setup::limited(Limits { tcp_bytes: 4096, message_bytes: 1 << 20, ..limits() }));
    assert!(over(&small, OverLimit::TcpBytes) >= 1, "{:?}", small.outcomes);
    assert_eq!(small.calls().len(), 0);
}

#[test]
fn bytes_of_fragments_are_limited() {
    let fragment = |at: i64, id: u16, len: usize| {
        let mut f = udp(at, ENDS.0, ENDS.1, &vec![b'x'; len]);
        f.bytes[18..20].copy_from_slice(&id.to_be_bytes());
        // More fragments follow, offset 0.
        f.bytes[20..22].copy_from_slice(&[0x20, 0]);
        f
    };
    let frames = [fragment(START, 1, 992), fragment(START + MS, 2, 2992)];
    let run = run(&frames, &Setup::limited(Limits { fragment_bytes: 2000, ..limits() }));
    assert_eq!(over(&run, OverLimit::Fragments), 1);
}

#[test]
fn long_messages_are_limited() {
    let mut long = sip(INVITE, "long", "", "1 INVITE", 0);
    let at = long.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    long.splice(at..at, format!("\r\nSubject: {}", "x".repeat(3000)).into_bytes());
    let run = run(&[udp(START, ENDS.0, ENDS.1, &long)], &Setup::limited(Limits { message_bytes: 2000, ..limits() }));
    assert_eq!(over(&run, OverLimit::MessageSize), 1);
    assert_eq!(run.calls().len(), 0);
}

/// An INVITE whose header block has exactly `bytes` bytes.
fn with_header_block_of(bytes: usize, id: &str) -> Vec<u8> {
    let mut message = sip(INVITE, id, "", "1 INVITE", 0);
    let at = message.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let padding = bytes - (at + 4) - "\r\nSubject: ".len();
    message.splice(at..at, format!("\r\nSubject: {}", "x".repeat(padding)).into_bytes());
    message
}

#[test]
fn header_blocks_are_limited_in_datagrams() {
    let over_after = |bytes| {
        let frame = udp(START, ENDS.0, ENDS.1, &with_header_block_of(bytes, "block"));
        let run = run(&[frame], &Setup::limited(Limits { header_bytes: 2000, ..limits() }));
        (over(&run, OverLimit::HeaderSize), run.calls().len())
    };
    assert_eq!(over_after(2000), (0, 1));
    assert_eq!(over_after(2001), (1, 0));
    assert_eq!(over_after(8000), (1, 0));
}

#[test]
fn header_blocks_are_limited_in_streams_and_the_next_message_is_read() {
    let whole = [with_header_block_of(3000, "long"), with_header_block_of(1000, "short")].concat();
    // The connection is joined in the middle, at a segment that must show that it is SIP.
    for size in [16, 100, 536, 1460] {
        let mut frames = Vec::new();
        let mut seq = 1;
        for (n, piece) in whole.chunks(size).enumerate() {
            frames.push(segment(START + n as i64 * MS / 10, 10_000, seq, piece));
            seq += piece.len() as u32;
        }
        let run = run(&frames, &Setup::limited(Limits { header_bytes: 2000, ..limits() }));
        assert_eq!(over(&run, OverLimit::HeaderSize), 1, "pieces of {size}: {:?}", run.outcomes);
        let ids: Vec<&str> = run.calls().iter().map(|c| &*c.call_id).collect();
        assert_eq!(ids, ["short"], "pieces of {size}");
        assert_eq!(run.outcomes.total(), run.frames);
    }
}
