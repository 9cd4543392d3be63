//! Whose loss it is: verdicts against the truth of generated worlds, over mirror loss, network loss and copies.
//!
//! The table is a snapshot; `docs/metrics.md` quotes its false alarms.

use auscult_core::engine::Engine;
use auscult_core::model::{Event, Limits, LossSide, LossSource, Policy, StreamReport};
use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;
use std::collections::BTreeMap;
use std::fmt::Write;
use testkit::call::{CallSpec, Party, Rtcp, Way};
use testkit::path::{Loss, Path, Stretch, Window};
use testkit::truth::StreamTruth;
use testkit::world::{Capture, Mirror, World};

const CALLS: u8 = 5;
const TALK_MS: i64 = 30_000;

/// How frames go missing in the capture.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missing {
    /// Each by itself: a mirror port that is always a little too full.
    Single,
    /// All of 60 ms: a ring that runs over.
    Overruns,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    mirror_pct: i64,
    missing: Missing,
    network_pct: i64,
    /// The network's loss strikes all calls at once: an uplink that fails.
    uplink: bool,
    copies_pct: i64,
    rtcp: bool,
}

/// Everything lost in 60 ms out of every so many that make the share, at the same time for all calls.
fn strikes(pct: i64, start_ms: i64, offset_ms: i64) -> Vec<(Window, Loss)> {
    if pct == 0 {
        return Vec::new();
    }
    let every = 6_000 / pct;
    (0..(TALK_MS + 20_000) / every)
        .map(|k| offset_ms + k * every - start_ms - 3_000)
        .filter(|from| (0..TALK_MS).contains(from))
        .map(|from| (Window::new(from, from + 60), Loss::All))
        .collect()
}

fn world(s: &Setting) -> Capture {
    let mut world = World::new(7 + s.mirror_pct as u64 * 31 + s.network_pct as u64);
    for n in 0..CALLS {
        let start_ms = i64::from(n) * 700;
        let party = |name: &str, host: u8| Party::new(name, "1000", &format!("198.51.100.{host}"), 20_000);
        let way = || {
            let share = s.network_pct as f64 / 100.0;
            let mut before = Stretch::delay(15_000);
            if s.uplink {
                before.loss = strikes(s.network_pct, start_ms, 130);
            } else if s.network_pct > 0 {
                before = before.with_loss(Window::ALWAYS, Loss::bursts(share, 3.0));
            }
            let mut path = Path::new(before, Stretch::delay(20_000));
            path.probe_loss = match s.missing {
                Missing::Single if s.mirror_pct > 0 => {
                    vec![(Window::ALWAYS, Loss::Bernoulli { p: s.mirror_pct as f64 / 100.0 })]
                }
                Missing::Single => Vec::new(),
                Missing::Overruns => strikes(s.mirror_pct, start_ms, 0),
            };
            Way { path, ..Way::default() }
        };
        let mut spec = CallSpec::new(start_ms, party("a", 2 * n + 1), party("b", 2 * n + 2));
        spec.talk_ms = TALK_MS;
        spec.rtcp = s.rtcp.then_some(Rtcp { interval_ms: 4_000, mux: false });
        (spec.forward, spec.backward) = (way(), way());
        world = world.call(spec);
    }
    if s.copies_pct > 0 {
        world = world.mirror(Mirror { share: s.copies_pct as f64 / 100.0, min_us: 20, max_us: 400 });
    }
    world.build()
}

fn measured(capture: &Capture) -> Vec<StreamReport> {
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
    let mut events = Vec::new();
    for f in &capture.frames {
        engine.frame(Timestamp(f.at), LinkType::ETHERNET, &f.bytes, f.wire_len as usize, &mut events);
    }
    engine.finish(&mut events);
    let ended = |e: Event| if let Event::StreamEnded(report) = e { Some(*report) } else { None };
    events.into_iter().filter_map(ended).collect()
}

fn truth_of<'a>(capture: &'a Capture, report: &StreamReport) -> &'a StreamTruth {
    let name = (report.src.to_string(), report.dst.to_string(), report.ssrc.to_string());
    let same = |s: &&StreamTruth| (&s.src, &s.dst, &s.ssrc) == (&name.0, &name.1, &name.2);
    capture.truth.streams.iter().find(same).expect("a stream that was sent")
}

/// Streams by (most of the loss is the capture's, it is suspected).
#[derive(Clone, Copy, Debug, Default)]
struct Confusion([[u32; 2]; 2]);

impl Confusion {
    fn add(&mut self, other: &Confusion) {
        for (a, b) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *a += b;
        }
    }

    fn false_alarms_pct(&self) -> Option<f64> {
        let [network, _] = self.0;
        (network[0] + network[1] > 0).then(|| 100.0 * f64::from(network[1]) / f64::from(network[0] + network[1]))
    }

    fn found_pct(&self) -> Option<f64> {
        let [_, capture] = self.0;
        (capture[0] + capture[1] > 0).then(|| 100.0 * f64::from(capture[1]) / f64::from(capture[0] + capture[1]))
    }
}

fn judge(setting: &Setting) -> Confusion {
    let capture = world(setting);
    let mut confusion = Confusion::default();
    for report in measured(&capture) {
        let truth = truth_of(&capture, &report);
        let lost = report.numbers.lost();
        if lost == 0 {
            assert_eq!(report.quality.loss_source, LossSource::None);
            continue;
        }
        assert_ne!(report.quality.loss_source, LossSource::None);
        let suspected = report.quality.loss_source == LossSource::SuspectedCapture;
        let bounds = report.mos.bounds.filter(|_| suspected);
        assert_eq!(bounds.is_some(), suspected, "{setting:?}");
        if let (Some((low, high)), Some(lq)) = (bounds, report.mos.lq) {
            assert!(low == lq && high > low, "{low} {lq} {high}");
        }
        let of_capture = truth.missed_by_probe > truth.lost_before_probe;
        confusion.0[usize::from(of_capture)][usize::from(suspected)] += 1;
    }
    confusion
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |v| format!("{v:.0}"))
}

#[test]
fn confusion_matrix() {
    let mut table = String::from(
        "rtcp  missing    uplink  network%  mirror%  copies%  network:kept/suspected  capture:kept/suspected\n",
    );
    let mut sums: BTreeMap<&str, Confusion> = BTreeMap::new();
    for rtcp in [true, false] {
        for (missing, uplink) in [(Missing::Single, false), (Missing::Overruns, false), (Missing::Single, true)] {
            for network_pct in [0, 5, 20] {
                for mirror_pct in [0, 5, 20] {
                    for copies_pct in [0, 50, 100] {
                        let nothing_new = (missing == Missing::Overruns && mirror_pct == 0)
                            || (uplink && (network_pct == 0 || mirror_pct > 0 || copies_pct > 0))
                            || (copies_pct == 50 && (network_pct, mirror_pct) != (5, 5));
                        if nothing_new || (network_pct, mirror_pct) == (0, 0) {
                            continue;
                        }
                        let c = judge(&Setting { mirror_pct, missing, network_pct, uplink, copies_pct, rtcp });
                        writeln!(
                            table,
                            "{:<5} {:<10} {:<7} {network_pct:>8} {mirror_pct:>8} {copies_pct:>8} {:>20}/{:<3} {:>20}/{:<3}",
                            if rtcp { "yes" } else { "no" },
                            format!("{missing:?}"),
                            if uplink { "yes" } else { "no" },
                            c.0[0][0],
                            c.0[0][1],
                            c.0[1][0],
                            c.0[1][1],
                        )
                        .unwrap();
                        let sum = match (rtcp, uplink) {
                            (true, _) => "with reports of the receiver",
                            (false, false) => "without reports",
                            (false, true) => "without reports, uplink failing for all at once",
                        };
                        sums.entry(sum).or_default().add(&c);
                    }
                }
            }
        }
    }
    for (name, c) in &sums {
        writeln!(
            table,
            "{name}: false alarms {} %, capture's loss found {} %",
            percent(c.false_alarms_pct()),
            percent(c.found_pct())
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn sides_of_the_probe() {
    for (before, behind, side) in [
        (0.05, 0.0, LossSide::BeforeProbe),
        (0.0, 0.05, LossSide::BehindProbe),
        (0.05, 0.05, LossSide::Both),
        (0.0, 0.0, LossSide::None),
    ] {
        let stretch = |p: f64| Stretch::delay(10_000).with_loss(Window::ALWAYS, Loss::Bernoulli { p });
        let mut spec =
            CallSpec::new(0, Party::new("a", "1", "192.0.2.1", 20_000), Party::new("b", "2", "192.0.2.2", 20_000));
        spec.talk_ms = 60_000;
        spec.forward.path = Path::new(stretch(before), stretch(behind));
        let capture = World::new(11).call(spec).build();
        let reports = measured(&capture);
        let forward = reports.iter().find(|r| r.src.port() == 20_000 && r.src.ip().to_string() == "192.0.2.1").unwrap();
        let (remote, truth) = (forward.remote.unwrap(), truth_of(&capture, forward));
        assert_eq!(remote.side, side, "{before} before, {behind} behind: {remote:?}");
        assert!(remote.lost_before_probe <= truth.lost_before_probe);
        assert!(remote.lost_behind_probe <= truth.lost_after_probe as i64 + 3, "{remote:?}");
        assert!(remote.jitter_last.is_some() && remote.reports > 5);
    }
}
