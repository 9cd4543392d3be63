//! The detector of loss by the capture against worlds whose truth is known, by gap events: no frame is made. Whole captures
//! are in `tests/loss_source.rs`.

use super::Setup;
use auscult_core::engine::{CaptureLossDetector, Judged};
use auscult_core::media::{FlowKey, Gap};
use auscult_core::model::{DiagnosisCode, LossAttribution, StreamId};
use auscult_core::units::{Seeded, Ssrc, Timestamp};
use testkit::World as TestWorld;
use testkit::call::{CallSpec, Party};
use testkit::observe;
use testkit::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Topology {
    /// Each call between two hosts of its own.
    Mesh,
    OneSbc,
    TwoSbcs,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mirror {
    None,
    /// Frames by themselves, a share of all.
    Singles(f64),
    /// 20 to 500 frames in one piece, a share of all.
    Bursts(f64),
    /// Everything for so many milliseconds.
    Blackout(i64),
    /// Half of all frames in 50 ms of each second.
    Peaks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Network {
    Random(f64),
    /// Runs of three on average.
    Gilbert(f64),
}

#[derive(Clone, Copy, Debug)]
struct World {
    streams: usize,
    topology: Topology,
    /// Packets of all streams come within 5 of each 20 ms, and every second one talks by turns.
    bursting: bool,
    mirror: Mirror,
    network: Network,
    /// Share of the calls that the network harms.
    harmed: f64,
    seconds: i64,
    seed: u64,
}

const WORLD: World = World {
    streams: 400,
    topology: Topology::Mesh,
    bursting: false,
    mirror: Mirror::None,
    network: Network::Random(0.0),
    harmed: 0.5,
    seconds: 20,
    seed: 1,
};

struct Stream {
    key: FlowKey,
    phase: i64,
    harmed: bool,
    in_burst: bool,
    last: Timestamp,
    missing: u32,
    by_network: u32,
    by_mirror: u32,
    capture: f64,
    variance: f64,
    /// Missing packets of gaps that were judged or found no place.
    decided: u32,
}

/// Calls that lost packets mostly in the network and in the capture, and how many of each were said to be the capture's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Confusion {
    network: [u32; 2],
    mirror: [u32; 2],
}

impl Confusion {
    fn false_pct(&self) -> f64 {
        100.0 * f64::from(self.network[1]) / f64::from((self.network[0] + self.network[1]).max(1))
    }

    fn hit_pct(&self) -> f64 {
        100.0 * f64::from(self.mirror[1]) / f64::from((self.mirror[0] + self.mirror[1]).max(1))
    }

    /// Upper end of the Wilson interval of the share of false alarms (95 %, one-sided).
    fn false_upper_pct(&self) -> f64 {
        let n = f64::from(self.network[0] + self.network[1]).max(1.0);
        let (p, z) = (f64::from(self.network[1]) / n, 1.645);
        let center = p + z * z / (2.0 * n);
        100.0 * (center + z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt()) / (1.0 + z * z / n)
    }
}

fn streams(world: &World, rng: &mut Rng) -> Vec<Stream> {
    let harmed: Vec<bool> = (0..world.streams / 2).map(|_| rng.chance(world.harmed)).collect();
    (0..world.streams)
        .map(|i| {
            let call = (i / 2) as u32;
            let host = |n: u32, side: u8| [10 + side, (n >> 16) as u8, (n >> 8) as u8, n as u8];
            let far = host(call, 0);
            let near = match world.topology {
                Topology::Mesh => host(call, 1),
                Topology::OneSbc => host(0, 2),
                Topology::TwoSbcs => host(call % 2, 2),
            };
            let ends = ((far, 4000), (near, 5000 + (call % 50_000) as u16));
            let (src, dst) = if i % 2 == 0 { ends } else { (ends.1, ends.0) };
            let phase = if world.bursting { rng.range(0, 4_999) } else { rng.range(0, 19_999) };
            Stream {
                key: FlowKey::new(src.into(), dst.into(), Ssrc(i as u32)),
                phase: phase * 1000,
                harmed: harmed[call as usize],
                in_burst: false,
                last: Timestamp::MIN,
                missing: 0,
                by_network: 0,
                by_mirror: 0,
                capture: 0.0,
                variance: 0.0,
                decided: 0,
            }
        })
        .collect()
}

/// What a frame's turn at the mirror is.
struct MirrorState {
    kind: Mirror,
    burst: u64,
}

impl MirrorState {
    fn drops(&mut self, at: Timestamp, rng: &mut Rng) -> bool {
        match self.kind {
            Mirror::None => false,
            Mirror::Singles(p) => rng.chance(p),
            Mirror::Bursts(p) => {
                if self.burst == 0 && rng.chance(p / (260.0 * (1.0 - p))) {
                    self.burst = rng.range(20, 500) as u64;
                }
                let drops = self.burst > 0;
                self.burst = self.burst.saturating_sub(1);
                drops
            }
            Mirror::Blackout(ms) => (8_000..8_000 + ms).contains(&(at.0 / 1_000_000)),
            Mirror::Peaks => at.0 / 1_000_000 % 1000 < 50 && rng.chance(0.5),
        }
    }
}

fn run(world: &World) -> Confusion {
    let root = Rng::new(world.seed);
    let mut all = streams(world, &mut root.fork(1));
    let mut detector = CaptureLossDetector::new(1 << 17, &Seeded::new(world.seed));
    all.iter().for_each(|s| detector.stream_started(&s.key));
    let (mut network, mut mirror_rng, mut noise) = (root.fork(2), root.fork(3), root.fork(4));
    let mut mirror = MirrorState { kind: world.mirror, burst: 0 };
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|i| all[*i].phase);
    for turn in 0..world.seconds * 50 {
        for i in &order {
            let (i, stream) = (*i, &mut all[*i]);
            if world.bursting && i % 4 >= 2 && turn / 50 % 2 == 1 {
                continue;
            }
            let at = Timestamp(turn * 20_000_000 + stream.phase + noise.range(0, 1_999_999));
            let lost_before = stream.harmed && loses(world.network, &mut stream.in_burst, &mut network);
            // A frame that the network lost never comes to the mirror.
            let lost = lost_before || mirror.drops(at, &mut mirror_rng);
            if lost {
                stream.missing += u32::from(stream.last > Timestamp::MIN);
                stream.by_network += u32::from(lost_before && stream.last > Timestamp::MIN);
                stream.by_mirror += u32::from(!lost_before && stream.last > Timestamp::MIN);
                continue;
            }
            detector.packets(std::iter::once(at));
            if detector.deadline() <= at {
                let mut judged = Vec::new();
                detector.judge(at, |j| judged.push(j));
                judged.iter().for_each(|j| note(&mut all, j));
            }
            let stream = &mut all[i];
            if stream.missing > 0 {
                let elapsed = (turn + 1) as f64;
                let unexplained = f64::from(stream.decided) - stream.capture;
                let gap = Gap { stream: StreamId(i as u64), at: stream.last, noticed: at, missing: stream.missing };
                stream.missing = 0;
                let key = stream.key;
                if !detector.gap(&gap, &key, (unexplained / elapsed).clamp(0.0, 1.0)) {
                    stream.decided += gap.missing;
                }
            }
            stream.last = at;
        }
    }
    let mut judged = Vec::new();
    detector.judge_now(None, |j| judged.push(j));
    judged.iter().for_each(|j| note(&mut all, j));
    let mut confusion = Confusion::default();
    for call in all.chunks(2) {
        let sum = |of: fn(&Stream) -> u32| call.iter().map(of).sum::<u32>();
        let (by_network, by_mirror) = (sum(|s| s.by_network), sum(|s| s.by_mirror));
        let capture: f64 = call.iter().map(|s| s.capture).sum();
        let proven = capture - 2.0 * call.iter().map(|s| s.variance).sum::<f64>().sqrt();
        // Gaps that found no place are undecided: they count in the whole.
        let said = usize::from(2.0 * proven > f64::from(by_network + by_mirror));
        // Between 40 and 60 % neither answer is wrong.
        let mostly = |a: u32, b: u32| a > 0 && 2 * a >= 3 * b;
        confusion.network[said] += u32::from(mostly(by_network, by_mirror));
        confusion.mirror[said] += u32::from(mostly(by_mirror, by_network));
    }
    confusion
}

fn note(all: &mut [Stream], judged: &Judged) {
    let stream = &mut all[judged.gap.stream.0 as usize];
    stream.decided += judged.gap.missing;
    stream.capture += judged.capture;
    stream.variance += judged.variance;
}

fn loses(network: Network, in_burst: &mut bool, rng: &mut Rng) -> bool {
    match network {
        Network::Random(p) => rng.chance(p),
        Network::Gilbert(p) => {
            let leave = 1.0 / 3.0;
            let enter = leave * p / (1.0 - p);
            *in_burst = if *in_burst { !rng.chance(leave) } else { rng.chance(enter) };
            *in_burst
        }
    }
}

const NETWORKS: [Network; 6] = [
    Network::Random(0.0),
    Network::Random(0.002),
    Network::Random(0.02),
    Network::Random(0.3),
    Network::Gilbert(0.02),
    Network::Gilbert(0.2),
];
const MIRRORS: [Mirror; 9] = [
    Mirror::None,
    Mirror::Singles(0.01),
    Mirror::Singles(0.05),
    Mirror::Bursts(0.005),
    Mirror::Bursts(0.05),
    Mirror::Bursts(0.2),
    Mirror::Blackout(300),
    Mirror::Blackout(6_000),
    Mirror::Peaks,
];

/// A few cells of the matrix. All of them, for the sizes in `AUSCULT_STREAMS` (`20,400,4000`) with at least as many streams in each
/// as `AUSCULT_CELL` says, or those whose line has the text `AUSCULT_ONLY` (`Random(0.3)`), in an optimised build: their table goes to
/// standard output, and `docs/metrics.md` quotes it.
#[test]
fn confusion_matrix() {
    let sizes = std::env::var("AUSCULT_STREAMS").unwrap_or_default();
    let sizes: Vec<usize> = sizes.split(',').filter_map(|s| s.parse().ok()).collect();
    let cell = std::env::var("AUSCULT_CELL").ok().and_then(|s| s.parse().ok()).unwrap_or(4_000);
    let mut worlds = Vec::new();
    for streams in &sizes {
        for topology in [Topology::Mesh, Topology::OneSbc, Topology::TwoSbcs] {
            for bursting in [false, true] {
                for network in NETWORKS {
                    worlds.extend(MIRRORS.map(|mirror| {
                        (World { streams: *streams, topology, bursting, mirror, network, ..WORLD }, cell)
                    }));
                }
            }
        }
    }
    if sizes.is_empty() {
        for (topology, network, mirror) in [
            (Topology::Mesh, Network::Random(0.3), Mirror::None),
            (Topology::OneSbc, Network::Gilbert(0.02), Mirror::Bursts(0.005)),
            (Topology::TwoSbcs, Network::Random(0.02), Mirror::Blackout(300)),
        ] {
            worlds.push((World { streams: 200, seconds: 12, topology, network, mirror, ..WORLD }, 200));
        }
    }
    let only = std::env::var("AUSCULT_ONLY").unwrap_or_default();
    let mut wrong = Vec::new();
    for (world, cell) in worlds {
        let World { streams, topology, bursting, network, mirror, .. } = world;
        let load = if bursting { "bursting" } else { "steady" };
        let name = format!("{streams} {topology:?} {load} {network:?} {mirror:?}");
        if !name.contains(&only) {
            continue;
        }
        let mut sum = Confusion::default();
        for round in 0..(cell / world.streams).max(1) as u64 {
            let one = run(&World { seed: 100 + round, ..world });
            let add = |all: &mut [u32; 2], one: [u32; 2]| all.iter_mut().zip(one).for_each(|(all, one)| *all += one);
            add(&mut sum.network, one.network);
            add(&mut sum.mirror, one.mirror);
        }
        let (lossy, captured) = (sum.network[0] + sum.network[1], sum.mirror[0] + sum.mirror[1]);
        println!(
            "{name}: false {:.2} % of {lossy} (below {:.2}), hits {:.1} % of {captured}",
            sum.false_pct(),
            sum.false_upper_pct(),
            sum.hit_pct()
        );
        let limit = if bursting { 5.0 } else { 1.0 };
        let false_pct = if lossy >= 1_000 { sum.false_upper_pct() } else { sum.false_pct() };
        // Few calls lose more in the network than a strong capture loss takes: those are at the edge between both.
        let enough = lossy >= 300 || lossy >= captured / 4;
        if enough && false_pct > limit + f64::from(u8::from(lossy < 1_000)) {
            wrong.push((world, sum));
        }
        if sizes.is_empty() && captured > 0 && sum.hit_pct() < 85.0 {
            wrong.push((world, sum));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Calls between hosts of their own by packets: half of them lose 3 % in the network, and a mirror drops 200 frames in one
/// piece every three seconds.
#[test]
fn both_losses_of_a_call_are_told_apart_by_packets() {
    let call = |n: u32| {
        let host = |side: u8| format!("10.{side}.{}.{}", n >> 8, n & 255);
        let caller = Party::new("A", &format!("+1202555{n:04}"), &host(0), 4000);
        let callee = Party::new("B", &format!("+1312555{n:04}"), &host(1), 5000);
        CallSpec { rtcp: None, talk_ms: 15_000, ..CallSpec::new(i64::from(n) * 20, caller, callee) }
    };
    let frames = TestWorld::new(3).calls((0..40).map(call)).build().frames;
    let mut rng = Rng::new(9);
    let (mut by_network, mut by_mirror, mut kept) = (0u64, 0u64, Vec::new());
    for (index, frame) in frames.into_iter().enumerate() {
        let media = observe::rtp_of(&frame, &|_| 8000).map(|((src, ..), _)| src);
        let harmed =
            media.is_some_and(|src| src.ip().to_string().as_bytes().last().is_some_and(|digit| digit % 2 == 0));
        if harmed && rng.chance(0.03) {
            by_network += 1;
        } else if index % 12_000 >= 11_800 && media.is_some() {
            by_mirror += 1;
        } else {
            kept.push(frame);
        }
    }
    let run = super::run(&kept, &Setup::default());
    let (streams, calls) = (run.streams(), run.calls());
    assert_eq!((streams.len(), calls.len()), (80, 40));
    let mut sum = LossAttribution::default();
    for stream in &streams {
        assert_eq!(stream.quality.loss.lost(), stream.numbers.lost());
        sum.add(&stream.quality.loss);
    }
    for row in run.intervals() {
        assert_eq!(row.quality.loss.lost(), row.numbers.lost());
    }
    let mut of_calls = LossAttribution::default();
    calls.iter().for_each(|call| of_calls.add(&call.quality.loss));
    assert_eq!(of_calls, sum, "a call's counts are those of its streams");
    let close = |counted: u64, true_count: u64| 10 * counted.abs_diff(true_count) <= true_count;
    assert!(close(sum.capture, by_mirror), "{sum:?}: {by_mirror} by the mirror");
    assert!(close(sum.network + sum.undecided, by_network), "{sum:?}: {by_network} by the network");
    let with = |code| calls.iter().filter(|c| c.diagnoses.iter().any(|d| d.code == code)).count();
    let (captured, harmed) = (with(DiagnosisCode::CaptureLoss), with(DiagnosisCode::RandomLoss));
    assert!(
        captured > 30 && (18..=22).contains(&harmed),
        "{captured} with loss by the capture, {harmed} by the network"
    );
    let both = calls.iter().flat_map(|c| &c.diagnoses).find(|d| d.evidence.contains("by the capture, "));
    assert!(both.is_some_and(|d| d.evidence.contains(" in the network")), "both counts are told: {both:?}");
}
