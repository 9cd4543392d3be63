//! Fixed work whose instructions are counted: `gate CASE` does it, `gate` alone names the cases.
//!
//! `tools/instruction-gate` runs it under valgrind and counts what happens inside [`counted_part`], by that name. What
//! comes before (frames made, tables grown, streams confirmed) is not counted. Nothing is left to chance: the
//! same build does the same instructions. Of the case of short calls, SIP messages and packets count alike.

mod calls;
mod frames;

use auscult_core::engine::{Engine, With};
use auscult_core::groups::Groups;
use auscult_core::model::{Event, Labels, Limits, Policy, TimestampSource};
use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;
use frames::{Frames, Plan};
use std::hint::black_box;
use std::process::ExitCode;

/// Any number does.
const SEED: u64 = 0x5eed;

struct Case {
    name: &'static str,
    plan: Plan,
    /// Packets of each stream before counting begins; the rest is counted.
    warm_up: u32,
    /// Whether the events are added up by group, as the program does.
    sums: bool,
}

/// An interval has 500 packets of a stream.
const CASES: [Case; 6] = [
    // A whole interval and its end.
    Case { name: "clean_400", plan: Plan { rounds: 1_001, ..plan(400) }, warm_up: 501, sums: false },
    // The same with sums by group: the difference is what the sums cost.
    Case { name: "sums_400", plan: Plan { rounds: 1_001, ..plan(400) }, warm_up: 501, sums: true },
    // Packets only, no end of an interval, in a larger table.
    Case { name: "clean_4000", plan: Plan { rounds: 164, ..plan(4_000) }, warm_up: 100, sums: false },
    Case { name: "loss_400", plan: Plan { rounds: 1_001, lose_every: 20, ..plan(400) }, warm_up: 501, sums: false },
    // Each packet is of a stream not seen before.
    Case { name: "flood", plan: Plan { rounds: 1, ..plan(50_000) }, warm_up: 0, sums: false },
    Case { name: "tunnel_400", plan: Plan { rounds: 200, tunnel: true, ..plan(400) }, warm_up: 100, sums: false },
];

/// Short calls: seven SIP messages and twenty packets each; what is counted is all of a call, its end and its verdict too.
const CALLS: &str = "short_calls";
/// The same with sums by group.
const CALLS_SUMMED: &str = "sums_short_calls";
const WARM_UP_CALLS: u32 = 2_000;
const COUNTED_CALLS: u32 = 2_000;

const fn plan(streams: u32) -> Plan {
    Plan { streams, rounds: 0, lose_every: 0, tunnel: false }
}

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        for case in &CASES {
            println!("{}", case.name);
        }
        println!("{CALLS}\n{CALLS_SUMMED}");
        return ExitCode::SUCCESS;
    };
    if wanted == CALLS || wanted == CALLS_SUMMED {
        let mut engine = measuring(wanted == CALLS_SUMMED);
        // As long as a call is held after its end, so that as many end as begin.
        take(&mut engine, &calls::calls(0..WARM_UP_CALLS));
        let rest = calls::calls(WARM_UP_CALLS..WARM_UP_CALLS + COUNTED_CALLS);
        counted_part(&mut engine, &rest);
        println!("packets {}", rest.len());
        std::mem::forget(engine);
        return ExitCode::SUCCESS;
    }
    let Some(case) = CASES.iter().find(|case| case.name == wanted) else {
        eprintln!("gate: there is no case {wanted}; `gate` alone names them");
        return ExitCode::from(2);
    };
    let mut engine = measuring(case.sums);
    take(&mut engine, &Frames::of(&case.plan, 0..case.warm_up));
    let rest = Frames::of(&case.plan, case.warm_up..case.plan.rounds);
    counted_part(&mut engine, &rest);
    println!("packets {}", rest.len());
    // Stays, so that a heap profile shows at its end what a measuring engine holds.
    std::mem::forget(engine);
    ExitCode::SUCCESS
}

/// An engine and, if wanted, the sums of its events.
struct Measuring {
    engine: Engine,
    groups: Option<Groups>,
    labels: Labels,
}

fn measuring(sums: bool) -> Measuring {
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, SEED);
    engine.set_source("gate", TimestampSource::CaptureFile, 1);
    let trunk = |net: &str, name: &str| net.parse().ok().map(|net| (net, name.to_owned()));
    let trunks = [trunk("10.0.0.0/8", "a"), trunk("172.16.0.0/12", "b"), trunk("192.168.0.0/16", "c")];
    let labels = Labels { trunks: trunks.into_iter().flatten().collect(), ..Labels::default() };
    Measuring { engine, groups: sums.then(|| Groups::new(&Limits::default(), &Policy::default())), labels }
}

#[inline(never)]
fn counted_part(measuring: &mut Measuring, frames: &Frames) {
    take(measuring, frames);
}

fn take(Measuring { engine, groups, labels }: &mut Measuring, frames: &Frames) {
    let mut stated = |group| {
        black_box(&group);
    };
    for (at, bytes) in frames.iter() {
        let mut sink = With(|event: Event| {
            if let Some(groups) = groups.as_mut() {
                let trunk = match &event {
                    Event::CallChanged(call) | Event::CallEnded(call) => labels.trunk_of_call(call),
                    Event::Interval(interval) => labels.trunk_of(interval.src, interval.dst),
                    _ => Default::default(),
                };
                groups.event(&event, trunk, &mut stated);
            }
            black_box(&event);
        });
        engine.frame(Timestamp(at), LinkType::ETHERNET, bytes, bytes.len(), &mut sink);
        if let Some(groups) = groups.as_mut() {
            groups.close_before(engine.interval_end(), &mut stated);
        }
    }
}
