//! Calls drawn at random over everything a world can do: for tests that must hold for any traffic.

use crate::call::{CallSpec, Change, Outcome, Party, Relay, Rtcp, Side, Transport, Way, What};
use crate::codec::Codec;
use crate::path::{Jitter, Loss, Path, Reorder, Stretch, Window};
use crate::rng::Rng;
use crate::sender::Habits;
use crate::world::{Mirror, World};

impl World {
    /// A world of `calls` random calls, about one a second; some worlds have a mirror that copies, or a VLAN. Snap lengths are
    /// left to the caller: they take SIP away.
    pub fn random(seed: u64, calls: usize) -> World {
        let mut rng = Rng::new(seed).fork(0xCA11);
        let mut world = World::new(seed);
        for i in 0..calls {
            let start_ms = i as i64 * 1_000 + rng.range(0, 999);
            world = world.call(CallSpec::random(start_ms, i, &mut rng));
        }
        if rng.chance(0.25) {
            world = world.mirror(Mirror { share: 1.0, min_us: 2, max_us: rng.range(10, 2_000) });
        }
        if rng.chance(0.25) {
            world = world.vlan(rng.range(1, 4_094) as u16);
        }
        world.other_traffic(calls as i64 * 1_000)
    }
}

impl CallSpec {
    /// The call numbered `i`, with addresses and ports of its own.
    pub fn random(start_ms: i64, i: usize, rng: &mut Rng) -> CallSpec {
        let six = rng.chance(0.2);
        let ip = |net: u32| {
            let host = i / 200 % 250 + 1;
            if six {
                format!("2001:db8:{net}::{host:x}")
            } else {
                format!("{}.{host}", [NETS[0], NETS[1], NETS[2]][net as usize])
            }
        };
        let port = |i: usize| 10_000 + (i % 200) as u16 * 8;
        let caller = Party::new("Caller", &format!("+1202555{:04}", 100 + i % 100), &ip(0), port(i));
        let callee = Party::new("Callee", &format!("+1312555{:04}", 100 + i / 100 % 100), &ip(1), port(i) + 4);
        let mut spec = CallSpec::new(start_ms, caller, callee);
        spec.codec = *rng.pick(&Codec::ALL);
        spec.ptime_ms = *rng.pick(&[20, 20, 20, 40]);
        spec.ring_ms = rng.range(50, 1_500);
        spec.answer_ms = spec.ring_ms + rng.range(200, 4_000);
        spec.talk_ms = rng.range(4_000, 20_000);
        spec.transport = *rng.pick(&[Transport::Udp, Transport::Udp, Transport::Tcp]);
        spec.auth = rng.chance(0.2);
        spec.early_media = rng.chance(0.2);
        spec.retransmits = u32::from(rng.chance(0.1));
        spec.acked = rng.chance(0.97);
        spec.released_by = *rng.pick(&[Some(Side::Caller), Some(Side::Callee), Some(Side::Caller), None]);
        spec.outcome = match rng.below(20) {
            0 => Outcome::Refused(*rng.pick(&[403, 404, 480, 486, 488, 500, 503, 603])),
            1 => Outcome::Cancelled,
            2 => Outcome::NoResponse,
            _ => Outcome::Answered,
        };
        spec.rtcp = rng.chance(0.8).then(|| Rtcp { interval_ms: rng.range(1_000, 5_000), mux: rng.chance(0.3) });
        spec.forward = way(spec.talk_ms, rng);
        spec.backward = way(spec.talk_ms, rng);
        if rng.chance(0.15) {
            let by = *rng.pick(&[Side::Caller, Side::Callee]);
            let at_ms = rng.range(1_000, spec.talk_ms / 2);
            spec.changes.push(Change { at_ms, by, what: What::Hold { music: rng.chance(0.5) } });
            spec.changes.push(Change { at_ms: at_ms + rng.range(500, 1_500), by, what: What::Resume });
        } else if rng.chance(0.1) {
            let what = What::Codec(*rng.pick(&Codec::ALL));
            spec.changes.push(Change { at_ms: spec.talk_ms / 2, by: Side::Caller, what });
        }
        if rng.chance(0.1) {
            let at = |p: u16| std::net::SocketAddr::new(ip(2).parse().expect("an IP address"), p);
            let (outer_media, inner_media) = (at(port(i)), at(port(i) + 4));
            let delay_us = rng.range(100, 3_000);
            spec.relay = Some(Relay { outer_sip: at(5060), outer_media, inner_sip: at(5080), inner_media, delay_us });
        }
        spec
    }
}

const NETS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];

fn way(talk_ms: i64, rng: &mut Rng) -> Way {
    let mid = |rng: &mut Rng| Some(rng.range(1_000, talk_ms - 500));
    let mut habits = Habits {
        mute: rng.chance(0.03),
        dtx: rng.chance(0.2),
        drift_ppm: if rng.chance(0.5) { rng.range(-100, 100) as i32 } else { 0 },
        first_seq: rng.chance(0.3).then(|| rng.range(65_300, 65_535) as u16),
        first_ts: rng.chance(0.2).then_some(u32::MAX - 20_000),
        late_ms: if rng.chance(0.05) { rng.range(500, 2_000) } else { 0 },
        ..Habits::default()
    };
    match rng.below(20) {
        0 => habits.ssrc_change_ms = mid(rng),
        1 => habits.seq_restart_ms = mid(rng),
        2 => habits.ts_jump = mid(rng).map(|at| (at, rng.next_u32())),
        3 => habits.nat_rebind_ms = mid(rng),
        4 | 5 => habits.digits = vec![(1_000, "1#5".into())],
        6 => habits.stops_at_ms = mid(rng),
        _ => {}
    }
    Way {
        habits,
        path: Path { before: stretch(talk_ms, rng), probe_loss: probe_loss(rng), after: stretch(talk_ms, rng) },
    }
}

fn stretch(talk_ms: i64, rng: &mut Rng) -> Stretch {
    let mut out = Stretch::delay(rng.range(200, 60_000));
    match rng.below(8) {
        0 => out.loss.push((Window::ALWAYS, Loss::Bernoulli { p: rng.unit() * 0.05 })),
        1 => out.loss.push((Window::ALWAYS, Loss::bursts(0.005 + rng.unit() * 0.1, 1.5 + rng.unit() * 10.0))),
        2 => out.loss.push((Window::new(talk_ms / 3, talk_ms / 3 + rng.range(40, 1_500)), Loss::All)),
        3 => out.loss.push((Window::ALWAYS, Loss::List((0..5).map(|_| rng.range(10, 300) as u32).collect()))),
        _ => {}
    }
    match rng.below(8) {
        0 => out.jitter.push((Window::ALWAYS, Jitter::Uniform { max_us: rng.range(100, 40_000) })),
        1 => out.jitter.push((Window::ALWAYS, Jitter::Normal { sigma_us: rng.range(100, 12_000) })),
        2 => out.jitter.push((Window::ALWAYS, Jitter::Gamma { shape: 2, mean_us: rng.range(500, 25_000) })),
        3 => out.jitter.push((Window::ALWAYS, Jitter::Spikes { p: 0.01, mean_us: rng.range(20_000, 200_000) })),
        4 => out
            .jitter
            .push((Window::ALWAYS, Jitter::Periodic { period_ms: 1_000, height_us: rng.range(1_000, 60_000) })),
        _ => {}
    }
    if rng.chance(0.1) {
        out.reorder = Some(Reorder { p: 0.02, extent: rng.range(1, 5) as u32 });
    }
    if rng.chance(0.1) {
        out.duplicate = 0.02;
    }
    if rng.chance(0.1) {
        out.route.push((talk_ms / 2, rng.range(1_000, 80_000)));
    }
    out
}

fn probe_loss(rng: &mut Rng) -> Vec<(Window, Loss)> {
    if rng.chance(0.1) { vec![(Window::ALWAYS, Loss::Bernoulli { p: 0.01 })] } else { Vec::new() }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
