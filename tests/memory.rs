//! Memory is what `Limits::shares` states, counted by the allocator under content chosen to take most of it.
//!
//! Each test fills one table to its limit and beyond, with unique and longest texts, and holds the peak of the heap to the
//! bytes that the limits allow. Numbers of units are just above a power of two, where tables have grown last.

#[path = "store/samples.rs"]
#[allow(dead_code, reason = "shared with the tests of the store, which need all of it")]
mod samples;

use auscult_core::engine::{Engine, EngineCounters, With};
use auscult_core::groups::Groups;
use auscult_core::live::LiveView;
use auscult_core::model::{
    CallRecord, CallState, CallUid, Diagnosis, DiagnosisCode, Event, Limits, Outcome, OverLimit, Party, Policy,
    StreamId, TrunkMatch,
};
use auscult_core::units::{BUCKETS, DelayHistogram, Nanos, Timestamp};
use auscult_core::wire::LinkType;
use auscult_store::rows::{Record, Table};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use testkit::frame::{self, Lower, Segment};
use testkit::rng::Rng;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(chunk(layout));
        // SAFETY: the caller's contract is passed on as it is.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(chunk(layout));
        // SAFETY: the caller's contract is passed on as it is.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-chunk(layout));
        // SAFETY: the caller's contract is passed on as it is.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the allocator takes for a block: its size and eight bytes, in steps of sixteen, at least 32.
fn chunk(layout: Layout) -> isize {
    (layout.size() + 8).next_multiple_of(16).max(32) as isize
}

fn count(bytes: isize) {
    let now = NOW.get() + bytes;
    NOW.set(now);
    PEAK.set(PEAK.get().max(now));
}

/// The most bytes of heap that this thread held at once meanwhile, beyond those before.
fn peak<T>(what: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let value = what();
    (value, (PEAK.get() - before).max(0) as usize)
}

const MS: i64 = 1_000_000;
const START: i64 = 1_000_000_000_000;
const LOWER: Lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };

/// An engine whose events are thrown away.
struct Rig {
    engine: Engine,
    at: i64,
}

impl Rig {
    fn new(limits: &Limits, policy: Policy) -> Rig {
        Rig { engine: Engine::new(limits.clone(), policy, 1, 1), at: START }
    }

    fn frame(&mut self, bytes: &[u8]) {
        self.engine.frame(Timestamp(self.at), LinkType::ETHERNET, bytes, bytes.len(), &mut With(drop));
    }

    fn udp(&mut self, src: SocketAddr, dst: SocketAddr, payload: &[u8]) {
        self.frame(&frame::udp(src, dst, LOWER, payload));
    }

    fn pass(&mut self, ms: i64) {
        self.at += ms * MS;
        self.engine.tick(Timestamp(self.at), &mut With(drop));
    }

    fn counters(&self) -> EngineCounters {
        self.engine.counters()
    }

    fn over(&mut self, what: OverLimit) -> u64 {
        self.engine.outcomes().get(Outcome::OverLimit(what))
    }
}

/// What an engine has without any traffic, and what one message takes while it is read.
const SLACK: usize = 256 << 10;

/// Runs and holds the peak to the shares named.
#[track_caller]
fn holds(limits: &Limits, policy: Policy, names: &[&str], fill: impl FnOnce(&mut Rig)) -> Rig {
    let (rig, peak) = peak(|| {
        let mut rig = Rig::new(limits, policy);
        fill(&mut rig);
        rig
    });
    judge(limits, names, peak);
    rig
}

#[track_caller]
fn judge(limits: &Limits, names: &[&str], peak: usize) {
    let shares: Vec<_> = limits.shares().into_iter().filter(|share| names.contains(&share.name)).collect();
    assert_eq!(shares.len(), names.len(), "each name is that of a share");
    let allowed = SLACK + shares.iter().map(|share| share.total()).sum::<usize>();
    let first = shares.iter().find(|share| share.name == names[0]).expect("a share");
    println!(
        "{}: peak {peak} of {allowed} bytes allowed; {} units of {} bytes, {} each by the peak",
        first.name,
        first.units,
        first.bytes,
        peak / first.units.max(1)
    );
    assert!(peak <= allowed, "{names:?}: {peak} bytes, {allowed} allowed");
}

/// Limits at which nothing but what a test raises takes much.
fn least() -> Limits {
    Limits {
        streams: 64,
        candidates: 64,
        calls: 64,
        media_endpoints: 64,
        tcp_connections: 4,
        fragment_bytes: 1 << 16,
        pending_bytes: 1 << 16,
        ..Limits::default()
    }
}

fn address(n: u32, port: u16) -> SocketAddr {
    SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], port))
}

fn rtp(payload_type: u8, seq: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(seq.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xFF; 20]);
    packet
}

/// A receiver report of `reporter` with a block about each.
fn report(reporter: u32, about: &[u32]) -> Vec<u8> {
    let mut packet = vec![0x80 | about.len() as u8, 201];
    packet.extend((1 + 6 * about.len() as u16).to_be_bytes());
    packet.extend(reporter.to_be_bytes());
    for ssrc in about {
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0; 20]);
    }
    packet
}

/// Static payload types of sampled media: each switch parks the timing of the one before.
const TYPES: [u8; 12] = [0, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18];

/// Streams that change their type, lose, reorder and are late without end, over four intervals.
fn wild_streams(rig: &mut Rig, streams: u32, rounds: u16) {
    let mut rng = Rng::new(1);
    let mut seqs = vec![0u16; streams as usize];
    for n in 0..streams {
        for seq in 1..5 {
            rig.at += 1_000;
            rig.udp(address(n, 4000), address(n, 5000), &rtp(0, seq, u32::from(seq) * 160, n + 1));
        }
    }
    seqs.fill(4);
    for round in 5..rounds {
        for n in 0..streams {
            let seq = &mut seqs[n as usize];
            *seq = seq.wrapping_add(1 + (rng.below(4) as u16) * 3);
            let late = if round > 5 && rng.below(5) == 0 { 2 } else { 0 };
            let payload_type = TYPES[rng.below(12) as usize];
            let seq = seq.wrapping_sub(late);
            let timestamp = u32::from(seq) * 160 + if rng.below(3) == 0 { rng.below(3_000) as u32 } else { 0 };
            rig.at += 1_000 + rng.below(20_000) as i64;
            rig.udp(address(n, 4000), address(n, 5000), &rtp(payload_type, seq, timestamp, n + 1));
        }
        rig.pass(700);
        if round == 20 {
            (0..streams).for_each(|n| rig.udp(address(n, 5001), address(n, 4001), &report(1 << 24 | n, &[n + 1])));
        }
    }
}

#[test]
fn streams() {
    let limits = Limits { streams: 1_800, ..least() };
    let names = ["streams", "candidates", "rtcp_senders", "gaps", "missing_packets", "rtcp_copies"];
    let mut rig = holds(&limits, Policy::default(), &names, |rig| wild_streams(rig, 2_000, 64));
    assert_eq!(rig.engine.active_streams(), 1_800);
    assert!(rig.over(OverLimit::Streams) > 0);
}

#[test]
fn candidates() {
    let limits = Limits { candidates: 3_600, ..least() };
    let mut rig = holds(&limits, Policy::default(), &["candidates"], |rig| {
        for n in 0..4_000 {
            for i in 0..7u16 {
                rig.udp(address(n, 4000), address(n, 5000), &rtp(0, i * 1000, 1 << (3 * i), n));
            }
            for _ in 0..16 {
                rig.udp(address(n, 4000), address(n, 5000), &rtp(0, 6000, 1 << 18, n));
            }
            rig.at += 1_000;
        }
    });
    assert!(rig.over(OverLimit::Candidates) > 0);
}

/// A SIP message whose fields are as long as those kept; `n` makes them those of one call.
fn sip(start: &str, n: u32, (branch, cseq): (&str, &str), tags: (&str, &str), more: &str, body: &str) -> Vec<u8> {
    let long = |what: &str| format!("{what}{n}{}", "x".repeat(600));
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let to_tag = if tags.1.is_empty() { String::new() } else { format!(";tag={}", tags.1) };
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
         From: \"{}\" <sip:{}@{}>;tag={}\r\nTo: \"{}\" <sip:{}@{}>{to_tag}\r\n\
         Call-ID: {}\r\nCSeq: {cseq}\r\nUser-Agent: {}\r\nServer: {}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
        long("f"),
        long("u"),
        long("h"),
        tags.0,
        long("t"),
        long("v"),
        long("i"),
        long("c"),
        long("a"),
        long("s"),
        body.len()
    )
    .into_bytes()
}

const CALLER: ([u8; 4], u16) = ([192, 0, 2, 9], 5060);
const CALLEE: ([u8; 4], u16) = ([198, 51, 100, 9], 5060);

/// Calls with challenges, hops, branches and re-INVITEs up to every limit.
fn wild_calls(rig: &mut Rig, calls: u32, messages: u32) {
    let (caller, callee) = (SocketAddr::from(CALLER), SocketAddr::from(CALLEE));
    let reason = "r".repeat(600);
    for n in 200_000..200_000 + calls {
        let invite = |i: u32, hop: u32| {
            let start = "INVITE sip:b@example.com SIP/2.0";
            sip(start, n, (&format!("{n}-{i}-{hop}"), &format!("{i} INVITE")), ("f", ""), "", "")
        };
        let answer = |i: u32, status: u32, tag: u32| {
            let start = format!("SIP/2.0 {status} {reason}");
            sip(&start, n, (&format!("{n}-{i}-0"), &format!("{i} INVITE")), ("f", &format!("t{tag}")), "", "")
        };
        for i in 1..=16 {
            for hop in 0..4 {
                rig.udp(caller, callee, &invite(i, hop));
            }
            if i < 16 {
                rig.udp(callee, caller, &answer(i, 407, 0));
            }
            rig.at += 100_000;
        }
        for tag in 0..10 {
            rig.udp(callee, caller, &answer(16, 183, tag));
            rig.udp(callee, caller, &answer(16, 200, tag));
        }
        for i in 0..messages {
            let start = "UPDATE sip:b@example.com SIP/2.0";
            let cseq = format!("{} UPDATE", 20 + i);
            rig.udp(caller, callee, &sip(start, n, (&format!("{n}-u{i}"), &cseq), ("f", "t0"), "", ""));
        }
        rig.at += 1_000_000;
    }
}

#[test]
fn calls() {
    let limits = Limits { calls: 60, messages_per_call: 120, branches_per_call: 8, ..least() };
    let mut rig = holds(&limits, Policy::default(), &["calls"], |rig| wild_calls(rig, 66, 40));
    assert!(rig.over(OverLimit::Calls) > 0 && rig.over(OverLimit::MessagesPerCall) > 0);
}

/// An offer of 24 media lines of 64 payload types each, nothing of it said before.
fn wild_offer(n: u32) -> String {
    let mut sdp = format!("v=0\r\no=- {n} 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n");
    for line in 0..24 {
        let types: Vec<String> = (64..128).map(|t: u32| t.to_string()).collect();
        sdp += &format!(
            "m=audio {} RTP/AVP {}\r\nc=IN IP4 10.9.{}.{}\r\n",
            2000 + 2 * line,
            types.join(" "),
            n >> 8,
            n & 255
        );
        for t in 64..128 {
            let name = if t < 72 { format!("own{n}-{line}-{t}{}", "y".repeat(40)) } else { "PCMU".to_owned() };
            sdp += &format!("a=rtpmap:{t} {name}/{}\r\n", 8_000 + n % 1_000 + line);
        }
    }
    sdp
}

fn wild_offers(rig: &mut Rig, calls: u32) {
    for n in 0..calls {
        let start = "INVITE sip:b@example.com SIP/2.0";
        let offer = sip(start, n, (&format!("{n}"), "1 INVITE"), ("f", ""), "", &wild_offer(n));
        for part in fragments(n as u16, SocketAddr::from(CALLER), SocketAddr::from(CALLEE), &offer) {
            rig.frame(&part);
        }
        rig.at += 1_000_000;
    }
}

/// A datagram of more than one frame, in pieces of 1,400 bytes.
fn fragments(id: u16, src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Vec<Vec<u8>> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (src, dst) else { unreachable!("IPv4") };
    let mut datagram = Vec::new();
    datagram.extend(src.port().to_be_bytes());
    datagram.extend(dst.port().to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    assert!(datagram.len() < 1 << 16, "{} bytes are no UDP datagram", datagram.len());
    let last = datagram.chunks(1400).count() - 1;
    let piece = |(i, piece): (usize, &[u8])| {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((20 + piece.len() as u16).to_be_bytes());
        frame.extend(id.to_be_bytes());
        frame.extend(((i * 1400 / 8) as u16 | if i < last { 0x2000 } else { 0 }).to_be_bytes());
        frame.extend([64, 17, 0, 0]);
        frame.extend(from.ip().octets());
        frame.extend(to.ip().octets());
        frame.extend(piece);
        frame
    };
    datagram.chunks(1400).enumerate().map(piece).collect()
}

#[test]
fn media_endpoints() {
    let limits = Limits { calls: 80, media_endpoints: 1_800, messages_per_call: 8, branches_per_call: 8, ..least() };
    let rig = holds(&limits, Policy::default(), &["media_endpoints", "calls", "fragment_bytes"], |rig| {
        wild_offers(rig, 80);
    });
    assert!(rig.counters().signalling.media_refused > 0, "{:?}", rig.counters().signalling);
}

/// Messages of calls that began before the capture, with headers and descriptions of the greatest length.
fn wild_updates(rig: &mut Rig, updates: u32) {
    for n in 100_000..100_000 + updates {
        // Of what the allow-list stores.
        let host = ["z".repeat(60), "y".repeat(60), "x".repeat(60)].join(".");
        let more: String = (0..80).map(|i| format!("Record-Route: <sip:p{i}.{host};lr>\r\n")).collect();
        let words = ["z".repeat(30).as_str()].repeat(12).join(" ");
        let body = format!("v=0\r\n{}", format!("a=rtcp-fb:96 {words}\r\n").repeat(40));
        let start = "UPDATE sip:b@example.com SIP/2.0";
        let update = sip(start, n, (&format!("{n}"), "1 UPDATE"), ("f", "t"), &more, &body);
        for part in fragments(n as u16, SocketAddr::from(CALLER), SocketAddr::from(CALLEE), &update) {
            rig.frame(&part);
        }
        rig.at += 1_000_000;
    }
}

#[test]
fn single_messages_of_unknown_calls() {
    let limits = Limits { calls: 900, pending_bytes: 2 << 20, messages_per_call: 8, branches_per_call: 8, ..least() };
    let rig = holds(&limits, Policy::default(), &["pending_bytes", "fragment_bytes", "calls"], |rig| {
        wild_updates(rig, 400);
    });
    let shed = rig.counters().signalling.orphans_shed;
    assert!((300..400).contains(&shed), "{shed}: there is room for some sixty of 34 KB");
}

fn wild_segments(rig: &mut Rig, connections: u16, bytes: usize) {
    for n in 0..connections {
        for (src, dst) in [
            (address(u32::from(n), 5060), address(1 << 20, 5060)),
            (address(1 << 20, 5060), address(u32::from(n), 5060)),
        ] {
            let mut seq = 2u32;
            let mut segment = |rig: &mut Rig, data: &[u8], skip: u32| {
                seq += skip;
                rig.frame(&frame::tcp(src, dst, LOWER, Segment { seq, ack: 1, flags: 24 }, data));
                seq += data.len() as u32;
            };
            segment(rig, b"INVITE sip:b@example.com SIP/2.0\r\nSubject: ", 0);
            for _ in 0..bytes / 1_000 - 1 {
                segment(rig, &[b'x'; 990], 0);
            }
            for _ in 0..64 {
                segment(rig, b"y", 3);
            }
            rig.at += 1_000;
        }
    }
}

#[test]
fn tcp_connections() {
    let limits = Limits { tcp_connections: 120, tcp_bytes: 16 << 10, ..least() };
    let rig = holds(&limits, Policy::default(), &["tcp_connections"], |rig| wild_segments(rig, 140, 16 << 10));
    assert!(rig.counters().tcp.evicted > 0);
}

fn wild_fragments(rig: &mut Rig, fragments_sent: u32) {
    for n in 0..fragments_sent {
        let src = address(n, 5060);
        let mut first = fragments(n as u16, src, SocketAddr::from(CALLEE), &[b'x'; 2_000]).remove(0);
        // A first fragment of eight bytes.
        first.truncate(14 + 20 + 8);
        first[16..18].copy_from_slice(&28u16.to_be_bytes());
        rig.frame(&first);
        rig.at += 1_000;
    }
}

#[test]
fn fragments_of_few_bytes() {
    let limits = Limits { fragment_bytes: 1 << 21, ..least() };
    let rig = holds(&limits, Policy::default(), &["fragment_bytes"], |rig| wild_fragments(rig, 10_000));
    assert!(rig.counters().fragments.fragments_evicted > 5_000);
}

fn wild_reports(rig: &mut Rig, reports: u32) {
    for seq in 0..10 {
        rig.at += 20 * MS;
        rig.udp(address(1, 4000), address(1, 5000), &rtp(0, seq, u32::from(seq) * 160, 7));
    }
    for n in 0..reports {
        let about: Vec<u32> = (0..31).map(|i| 1_000 + 31 * n + i).collect();
        rig.at += 1_000;
        rig.udp(address(1, 5001), address(1, 4001), &report(1 << 30 | n, &about));
    }
}

#[test]
fn rtcp_senders() {
    let limits = Limits { streams: 3_600, ..least() };
    let rig = holds(&limits, Policy::default(), &["rtcp_senders"], |rig| wild_reports(rig, 200));
    assert!(rig.counters().rtcp_senders_refused > 1_000);
}

#[test]
fn ended_streams_of_calls_that_go_on() {
    let limits =
        Limits { streams: 1_100, candidates: 1_100, calls: 64, messages_per_call: 8, branches_per_call: 8, ..least() };
    let policy = Policy { stream_timeout: Nanos::from_secs(5), ..Policy::default() };
    let names = ["ended_streams", "streams", "candidates", "calls", "media_endpoints", "late_addresses"];
    let mut ended = 0;
    let rig = holds(&limits, policy, &names, |rig| {
        for round in 0..3u32 {
            for call in 0..16u32 {
                let n = 16 * round + call;
                let body = format!("v=0\r\nc=IN IP4 10.8.0.1\r\nm=audio {} RTP/AVP 0\r\n", 6_000 + 2 * n);
                let start = "INVITE sip:b@example.com SIP/2.0";
                let offer = sip(start, n, (&format!("{n}"), "1 INVITE"), ("f", ""), "", &body);
                rig.udp(SocketAddr::from(CALLER), SocketAddr::from(CALLEE), &offer);
                let answer = sip("SIP/2.0 200 OK", n, (&format!("{n}"), "1 INVITE"), ("f", "t"), "", "");
                rig.udp(SocketAddr::from(CALLEE), SocketAddr::from(CALLER), &answer);
            }
            for seq in 0..40u16 {
                for n in 0..16 * 40u32 {
                    let dst = SocketAddr::from(([10, 8, 0, 1], 6_000 + 2 * (16 * round as u16 + n as u16 / 40)));
                    let payload_type = if seq < 4 { 0 } else { TYPES[(n + u32::from(seq)) as usize % 12] };
                    rig.udp(
                        address(n, 7000),
                        dst,
                        &rtp(payload_type, seq, u32::from(seq) * 160, 1 + 1_000 * round + n),
                    );
                }
                rig.pass(20);
            }
            ended += 16 * 40;
            rig.pass(21_000);
        }
    });
    let kept = limits.ended_streams() as u64;
    assert_eq!(rig.counters().streams_unjudged, ended - kept, "{kept} are kept");
}

#[test]
fn the_live_view() {
    let limits = Limits { calls: 3_600, streams: 3_600, ..least() };
    let (view, peak) = peak(|| {
        let mut view = LiveView::new(&limits);
        for uid in 0..4_000u64 {
            let long = |text: &str| format!("{uid:04}{}", text.repeat(508));
            let party = || Party { uri: long("u"), user: long("n"), display_name: long("d"), user_agent: long("a") };
            let diagnosis = |code| Diagnosis { code, confidence: 1.0, evidence: "e".repeat(200) };
            let call = CallRecord {
                uid: CallUid(uid),
                call_id: long("c").into(),
                caller: party(),
                callee: party(),
                final_reason: long("r"),
                state: CallState::Established,
                streams: vec![StreamId(uid), StreamId(uid + 1)],
                diagnoses: DiagnosisCode::ALL.into_iter().take(8).map(diagnosis).collect(),
                ..CallRecord::default()
            };
            view.apply(&Event::StreamStarted(Box::new(samples::stream(uid))), "");
            view.apply(&Event::CallChanged(Box::new(call)), "");
        }
        view
    });
    judge(&limits, &["live_calls", "live_streams"], peak);
    assert_eq!((view.snapshot().calls, view.snapshot().streams, view.totals().not_shown), (3_600, 3_600, 800));
}

/// Sums over streams of as many codecs as fit, with histograms and maps as long as they become; streams that change codec
/// at every interval; calls that are up.
#[test]
fn sums_over_streams_and_calls() {
    let limits = Limits { groups: 1_100, streams: 2_100, calls: 2_100, ..least() };
    let mut interval = samples::interval(1, 0);
    interval.numbers.pdv = DelayHistogram::default();
    (0..BUCKETS).for_each(|bucket| interval.numbers.pdv.add(bucket, 1 + bucket as u32));
    let (groups, peak) = peak(|| {
        let mut groups = Groups::new(&limits, &Policy::default());
        let mut stated = 0;
        for round in 0..12i64 {
            for n in 0..2_100u64 {
                let mut one = interval.clone();
                one.stream = StreamId(n);
                one.start = samples::at(0) + Nanos::from_secs(10 * round);
                one.codec = format!("codec-{:04}-{}", (n as i64 + round) % 2_100, "x".repeat(100)).into();
                one.mos.lq = Some(1.0 + (n % 350) as f32 / 100.0);
                one.numbers.jitter.sum_ns = 1e5 * (1 + n * n) as f64;
                groups.event(&Event::Interval(Box::new(one)), TrunkMatch::default(), &mut |_| stated += 1);
                let call = CallRecord {
                    uid: CallUid(n),
                    first_at: samples::at(0),
                    invite_at: Some(samples::at(0)),
                    answered_at: Some(samples::at(1)),
                    state: CallState::Established,
                    ..CallRecord::default()
                };
                groups.event(&Event::CallChanged(Box::new(call)), TrunkMatch::default(), &mut |_| stated += 1);
            }
            let end = samples::at(0) + Nanos::from_secs(10 * (round + 2));
            groups.close_before(end, &mut |_| stated += 1);
        }
        groups
    });
    assert!(groups.in_other() > 10_000, "half of the groups is for names that are not known");
    judge(&limits, &["groups", "grouped_streams", "grouped_calls"], peak);
}

/// What the queue to the store takes for a record is not less than the record takes of the heap.
#[test]
fn records_take_what_the_queue_counts() {
    let mut records = Vec::new();
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
    let mut rig = Rig::new(&least(), Policy::default());
    std::mem::swap(&mut rig.engine, &mut engine);
    let mut bytes = Vec::new();
    let mut at = START;
    let mut feed =
        |engine: &mut Engine, payload: &[u8], src: SocketAddr, dst: SocketAddr, records: &mut Vec<(Record, usize)>| {
            at += 20 * MS;
            let bytes = frame::udp(src, dst, LOWER, payload);
            engine.frame(
                Timestamp(at),
                LinkType::ETHERNET,
                &bytes,
                bytes.len(),
                &mut With(|event: Event| {
                    // A copy has what it needs and no more.
                    let (copy, heap) = peak(|| event.clone());
                    records.extend(Record::from_event(copy).map(|record| (record, heap)));
                }),
            );
        };
    let start = "INVITE sip:b@example.com SIP/2.0";
    let body = "v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 5000 RTP/AVP 0\r\n";
    feed(
        &mut rig.engine,
        &sip(start, 1, ("b", "1 INVITE"), ("f", ""), "", body),
        CALLER.into(),
        CALLEE.into(),
        &mut records,
    );
    feed(
        &mut rig.engine,
        &sip("SIP/2.0 200 OK", 1, ("b", "1 INVITE"), ("f", "t"), "", ""),
        CALLEE.into(),
        CALLER.into(),
        &mut records,
    );
    for seq in 0..800u16 {
        let n = u32::from(seq);
        feed(
            &mut rig.engine,
            &rtp(TYPES[(n % 4) as usize], seq, n * 160 + n * n % 3_000, 7),
            address(1, 4000),
            address(1, 5000),
            &mut records,
        );
    }
    feed(&mut rig.engine, &report(9, &[7]), address(1, 5001), address(1, 4001), &mut records);
    rig.engine.finish(&mut With(|event: Event| {
        let (copy, heap) = peak(|| event.clone());
        records.extend(Record::from_event(copy).map(|record| (record, heap)));
    }));
    for (record, heap) in &records {
        bytes.push(record.table().name());
        // Blocks of the allocator are up to 31 bytes larger than asked for, and a record has up to twenty.
        assert!(
            record.held_bytes() + 640 >= *heap,
            "{}: {} counted, {heap} held",
            record.table().name(),
            record.held_bytes()
        );
    }
    for record in [
        Record::MediaGroup(Box::new(samples::media_group(1))),
        Record::CallGroup(Box::new(samples::call_group(1))),
        Record::Alert(Box::new(samples::alert(1))),
    ] {
        let (copy, heap) = peak(|| record.clone());
        assert!(
            copy.held_bytes() + 4_096 >= heap,
            "{}: {} counted, {heap} held",
            copy.table().name(),
            copy.held_bytes()
        );
        bytes.push(copy.table().name());
    }
    bytes.sort_unstable();
    bytes.dedup();
    assert_eq!(bytes.len(), Table::ALL.len(), "{bytes:?}");
}

/// The queue to the store's writer is bounded in bytes: one long message finds no place where a short one does.
#[test]
fn records_beyond_the_bytes_of_the_queue_are_dropped_and_counted() {
    use auscult_core::model::Labels;
    use auscult_store::writer::DropReason;
    use auscult_store::{Backend, StoreOptions, StoreWriter};
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let dir = tempfile::tempdir().expect("a folder");
    let nobody = Backend::Server {
        url: "http://127.0.0.1:1".to_owned(),
        user: String::new(),
        password: String::new(),
        database: "auscult".to_owned(),
        cluster: None,
        tls: Default::default(),
    };
    let now = || Timestamp::from_secs(1_000);
    let options = StoreOptions { queue_bytes: 16 << 10, ..StoreOptions::new(now) };
    let store = nobody.open().expect("a store");
    let (sender, writer) = StoreWriter::start(store, dir.path(), Labels::default(), options).expect("starts");
    let message = |bytes: usize| {
        Record::SipMessage(Box::new(auscult_core::model::SipMessageRecord {
            at: now(),
            call_uid: CallUid(1),
            call_id: "".into(),
            src: CALLER.into(),
            dst: CALLEE.into(),
            transport: auscult_core::model::Transport::Udp,
            direction: auscult_core::model::SipDirection::Request,
            method: "INVITE".to_owned(),
            status: 0,
            reason: String::new(),
            cseq: 1,
            retransmission: false,
            headers: "x".repeat(bytes),
            sdp: String::new(),
            cut_short: false,
        }))
    };
    // Detail rows have three quarters of 16 KiB.
    assert_eq!([13 << 10, 1 << 10].map(|bytes| sender.try_send(message(bytes))), [false, true]);
    assert!(!sender.is_behind(2));
    let counters = writer.counters().snapshot();
    let (_, counts) = counters.tables.iter().find(|(table, _)| table.name() == "sip_messages").expect("a table");
    let dropped: Vec<_> = counts.dropped.iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!((counts.received, dropped), (2, vec![&(DropReason::QueueFull, 1)]));
}

/// Every flood in turn against limits that one figure has set.
#[test]
fn one_figure_bounds_the_sum() {
    let allowed = 64 << 20;
    let limits = Limits::default().within(allowed, &[]).expect("fits");
    let (mut rig, peak) = peak(|| {
        let mut rig = Rig::new(&limits, Policy::default());
        wild_offers(&mut rig, 100);
        wild_updates(&mut rig, 40);
        wild_calls(&mut rig, 20, 4);
        wild_segments(&mut rig, 60, 120 << 10);
        wild_fragments(&mut rig, 4_000);
        for n in 0..3_000 {
            for i in 0..7u16 {
                rig.udp(address(1 << 16 | n, 4000), address(n, 5000), &rtp(0, i * 1000, 1 << (3 * i), n));
            }
        }
        wild_streams(&mut rig, 1_500, 40);
        wild_reports(&mut rig, 200);
        rig
    });
    println!("{} MiB allowed, peak {} bytes, {limits:?}", allowed >> 20, peak);
    assert!(peak <= allowed, "{peak} bytes");
    for what in [OverLimit::Streams, OverLimit::Candidates] {
        assert!(rig.over(what) > 0, "{what:?}");
    }
    let counters = rig.counters();
    assert!(counters.tcp.evicted > 0 && counters.fragments.fragments_evicted > 0, "{counters:?}");
    assert!(counters.signalling.media_refused > 0 && counters.signalling.orphans_shed > 0, "{counters:?}");
}
