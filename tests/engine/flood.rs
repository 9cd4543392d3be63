//! Floods at a million packets a second beside twenty calls: the calls' figures stay what they were, bit for bit, memory
//! stays within what the limits imply, and keys chosen with care cost no more than random ones.
//!
//! The short ones run with all tests; `make flood` runs a minute of each kind in release and prints what it took.

use super::*;
use auscult_core::engine::With;
use auscult_core::model::{Outcome, OverLimit, Shedding};
use std::net::SocketAddr;
use testkit::World;
use testkit::call::{CallSpec, Party, Rtcp};
use testkit::codec::Codec;
use testkit::flood::{Flood, Kind};
use testkit::path::{Jitter, Loss, Path, Stretch, Window};
use testkit::world::START;

const MS: i64 = 1_000_000;
/// A million a second.
const STEP: i64 = 1_000;

/// Twenty answered calls with loss and jitter one way and RTCP every second, begun within 400 ms of each other.
fn reference(talk_ms: i64) -> Vec<Frame> {
    let calls = (0..20u16).map(|i| {
        let caller = Party::new("A", &format!("+120255501{i:02}"), "192.0.2.1", 10_000 + 8 * i);
        let callee = Party::new("B", &format!("+131255501{i:02}"), "198.51.100.1", 10_004 + 8 * i);
        let mut spec = CallSpec::new(50 + 20 * i64::from(i), caller, callee);
        (spec.ring_ms, spec.answer_ms, spec.talk_ms) = (40, 200, talk_ms);
        spec.codec = if i % 2 == 0 { Codec::G729 } else { Codec::Pcma };
        spec.rtcp = Some(Rtcp { interval_ms: 1_000, mux: i % 3 == 0 });
        let lossy = Stretch::delay(5_000)
            .with_loss(Window::ALWAYS, Loss::bursts(0.02, 2.0))
            .with_jitter(Window::ALWAYS, Jitter::Gamma { shape: 2, mean_us: 3_000 });
        spec.forward.path = Path::new(lossy, Stretch::delay(5_000));
        spec
    });
    World::new(20).calls(calls).build().frames
}

/// What was said about the reference calls, and of everything else how much.
#[derive(Default)]
struct Told {
    about: Vec<String>,
    shed_streams: u64,
    shed_calls: u64,
    shedding: Shedding,
    outcomes: OutcomeCounts,
    frames: u64,
}

impl Told {
    fn hear(&mut self, event: &Event) {
        let ours = |a: &SocketAddr| ["192.0.2.1", "198.51.100.1"].contains(&a.ip().to_string().as_str());
        let about = match event {
            Event::CallChanged(c) => c.signalling_src.as_ref().is_some_and(ours),
            Event::CallEnded(c) => {
                self.shed_calls += u64::from(c.evicted);
                c.signalling_src.as_ref().is_some_and(ours)
            }
            Event::StreamStarted(s) => ours(&s.src),
            Event::StreamEnded(s) => {
                self.shed_streams += u64::from(s.quality.evicted);
                ours(&s.src)
            }
            Event::Interval(i) => ours(&i.src),
            Event::SipMessage(m) => ours(&m.src),
            Event::Rtcp(r) => ours(&r.src),
            Event::Capture(c) => {
                self.shedding.merge(&c.shedding);
                false
            }
        };
        if about {
            self.about.push(without_attribution(format!("{event:?}")));
        }
    }
}

/// With more streams beside it less of a loss is undecided.
fn without_attribution(mut text: String) -> String {
    while let Some(from) = text.find("loss: LossAttribution {") {
        let length = text[from..].find('}').map_or(0, |end| end + 1);
        text.replace_range(from..from + length.max(1), "");
    }
    text
}

/// Takes a frame.
type Take<'a> = &'a mut dyn FnMut(&[u8]);

/// Feeds the reference calls, and from `from` on for `ns` what `flood` makes, one frame every microsecond.
fn play(reference: &[Frame], setup: &Setup, from: i64, ns: i64, flood: &mut dyn FnMut(i64, Take<'_>)) -> Told {
    let mut engine = setup.engine();
    let mut told = Told::default();
    let mut rest = reference.iter().peekable();
    let mut frames = 0;
    for k in 0..ns / STEP {
        let at = from + k * STEP;
        while let Some(frame) = rest.next_if(|f| f.at <= at) {
            engine.frame(
                Timestamp(frame.at),
                LinkType::ETHERNET,
                &frame.bytes,
                frame.wire_len as usize,
                &mut With(|e| told.hear(&e)),
            );
            frames += 1;
        }
        flood(k, &mut |bytes| {
            engine.frame(Timestamp(at), LinkType::ETHERNET, bytes, bytes.len(), &mut With(|e| told.hear(&e)));
            frames += 1;
        });
        if k % 1024 == 0 {
            assert!(engine.active_streams() <= setup.limits.streams.next_multiple_of(setup.shards));
        }
    }
    for frame in rest {
        engine.frame(
            Timestamp(frame.at),
            LinkType::ETHERNET,
            &frame.bytes,
            frame.wire_len as usize,
            &mut With(|e| told.hear(&e)),
        );
        frames += 1;
    }
    engine.finish(&mut With(|e| told.hear(&e)));
    told.outcomes = engine.outcomes();
    told.frames = frames;
    assert_eq!(told.outcomes.total(), told.frames, "every frame has an outcome");
    assert_eq!((told.shed_streams, told.shed_calls), (told.shedding.streams_shed, told.shedding.calls_shed));
    told.about.sort_unstable();
    told
}

/// Every kind in turn; one INVITE in 64 frames, because reading one takes an unoptimised build as long as 60 others.
fn all_kinds() -> impl FnMut(i64, Take<'_>) {
    const RTP: [Kind; 8] = [
        Kind::Keys,
        Kind::Streams,
        Kind::OneFlow,
        Kind::Sources,
        Kind::Strides,
        Kind::Cancelling,
        Kind::Wiping,
        Kind::Keys6,
    ];
    let mut floods: Vec<Flood> = (1..).zip(RTP).map(|(seed, kind)| Flood::new(kind, seed)).collect();
    let mut invites = Flood::new(Kind::CallIds, 9);
    move |k, feed| {
        if k % 64 == 63 {
            feed(invites.next_frame());
        } else {
            feed(floods[k as usize % RTP.len()].next_frame());
        }
    }
}

fn small() -> Limits {
    Limits { streams: 400, candidates: 4_096, calls: 500, ..Limits::default() }
}

#[test]
fn a_million_packets_a_second_leave_twenty_calls_as_they_were() {
    let reference = reference(2_500);
    for shards in [1, 8] {
        let setup = Setup { shards, ..Setup::limited(small()) };
        let plain = play(&reference, &setup, START, 0, &mut |_, _| {});
        assert_eq!(plain.shedding, Shedding::default());
        let flooded = play(&reference, &setup, START + 40 * MS, 400 * MS, &mut all_kinds());
        same(&plain.about, &flooded.about, "calls beside a flood");
        let over = |what| flooded.outcomes.get(Outcome::OverLimit(what));
        assert!(over(OverLimit::Candidates) > 200_000, "{:?}", flooded.outcomes);
        assert!(over(OverLimit::Streams) > 0 && flooded.shedding.streams_refused > 0);
        // The table was full of streams of the flood when the calls' began.
        assert!((1..=40).contains(&flooded.shedding.streams_shed), "{:?}", flooded.shedding);
        assert_eq!(flooded.shedding.calls_shed, 400_000 / 64 - 500 + 20, "{:?}", flooded.shedding);
        assert_eq!(flooded.shedding.calls_refused, 0);
    }
}

/// On-CPU time of this thread, ns.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Largest resident size of this process so far, bytes.
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A minute of one kind; prints what it took, the making of the frames taken off.
fn minute(kind: Kind, held: &[&str]) {
    const NS: i64 = 60_000 * MS;
    let reference = reference(61_000);
    let setup = Setup { seed: 0x5EED, ..Setup::default() };
    let plain = play(&reference, &setup, START, 0, &mut |_, _| {});
    let before = (cpu_ns(), peak());
    let mut flood = Flood::new(kind, 1);
    let flooded = play(&reference, &setup, START + 40 * MS, NS, &mut |_, feed| feed(flood.next_frame()));
    let took = cpu_ns() - before.0;
    let mut again = Flood::new(kind, 1);
    let start = cpu_ns();
    for _ in 0..NS / STEP {
        std::hint::black_box(again.next_frame());
    }
    let took = took.saturating_sub(cpu_ns() - start);
    let per_second = flooded.frames as f64 * 1e3 / took as f64;
    let shares = setup.limits.shares().into_iter().filter(|share| held.contains(&share.name));
    let allowed = shares.map(|share| share.total() as u64).sum::<u64>();
    let grown = peak().saturating_sub(before.1);
    println!(
        "{kind:?}: {} frames, {per_second:.2} million a CPU-second, peak {} MiB over {} MiB before (limits allow {} MiB), {:?}",
        flooded.frames,
        grown >> 20,
        before.1 >> 20,
        allowed >> 20,
        flooded.shedding
    );
    same(&plain.about, &flooded.about, "calls beside a flood");
    assert!(grown < allowed, "{grown} bytes, the limits allow {allowed}");
}

#[test]
#[ignore = "a minute at a million a second: make flood"]
fn minute_of_keys() {
    minute(Kind::Keys, &["candidates"]);
}

#[test]
#[ignore = "a minute at a million a second: make flood"]
fn minute_of_one_flow() {
    minute(Kind::OneFlow, &["candidates"]);
}

#[test]
#[ignore = "a minute at a million a second: make flood"]
fn minute_of_chosen_keys() {
    minute(Kind::Wiping, &["candidates"]);
}

#[test]
#[ignore = "a minute at a million a second: make flood"]
fn minute_of_streams() {
    minute(Kind::Streams, &["candidates", "streams"]);
}

#[test]
#[ignore = "a minute at a million a second: make flood"]
fn minute_of_call_ids() {
    minute(Kind::CallIds, &["calls", "media_endpoints"]);
}

/// What chosen keys cost beside random ones of the same address family, at the limits a probe has.
#[test]
#[ignore = "time by the clock of the CPU: make flood"]
fn chosen_keys_cost_what_random_ones_do() {
    let cost = |kind| {
        let pass = || {
            let mut flood = Flood::new(kind, 1);
            let start = cpu_ns();
            play(&[], &Setup::default(), START, 2_000 * MS, &mut |_, feed| feed(flood.next_frame()));
            (cpu_ns() - start) as f64 / 2e6
        };
        (0..3).map(|_| pass()).fold(f64::MAX, f64::min)
    };
    let (v4, v6) = (cost(Kind::Keys), cost(Kind::Keys6));
    println!("random keys: {v4:.0} ns a frame over IPv4, {v6:.0} over IPv6");
    for (kind, random) in
        [(Kind::OneFlow, v4), (Kind::Sources, v4), (Kind::Strides, v4), (Kind::Cancelling, v4), (Kind::Wiping, v6)]
    {
        let ns = cost(kind);
        println!("{kind:?}: {ns:.0} ns a frame, {:.2} times random keys", ns / random);
    }
}
