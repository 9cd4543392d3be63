//! The captures of `testdata/`: small worlds, each showing one thing to somebody new. Addresses are of the documentation
//! ranges, numbers of those kept for fiction.

use crate::call::{CallSpec, Change, Outcome, Party, Relay, Side, Transport, Way, What};
use crate::codec::Codec;
use crate::path::{Jitter, Loss, Path, Reorder, Stretch, Window};
use crate::pcap;
use crate::rng::Rng;
use crate::world::{Capture, Mirror, World};
use std::fmt::Write;
use std::net::SocketAddr;

/// One file of `testdata/`.
pub struct Sample {
    pub name: &'static str,
    /// What to see in it.
    pub about: &'static str,
    pub world: World,
}

/// Name and bytes of each file, the README among them.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let built: Vec<(Sample, Capture)> = all()
        .into_iter()
        .map(|s| {
            let capture = s.world.build();
            (s, capture)
        })
        .collect();
    let mut out = vec![("README.md".to_owned(), readme(&built).into_bytes())];
    for (sample, capture) in built {
        let packed = pcap::pack(sample.name, &capture.pcap()).expect("compressing in memory");
        out.push((sample.name.to_owned(), packed));
    }
    out
}

/// Every sample. Their calls have addresses and ports of their own, so that all files can be read as one.
pub fn all() -> Vec<Sample> {
    vec![healthy(), bursty(), one_way(), wifi(), failed(), call_on_hold(), doubled()]
}

fn healthy() -> Sample {
    let mut cast = Cast::new(1);
    let mut world = World::new(1).other_traffic(30_000);
    for i in 0..26 {
        let start_ms = i * 21_000 + cast.rng.range(0, 6_000);
        let mut spec = cast.call(start_ms, Trunk::pick(i as usize));
        spec.codec = [
            Codec::Pcma,
            Codec::G729,
            Codec::Opus,
            Codec::G722,
            Codec::G729,
            Codec::Pcmu,
            Codec::Amr,
            Codec::G729,
            Codec::AmrWb,
            Codec::Ilbc,
            Codec::G729,
            Codec::Gsm,
        ][i as usize % 12];
        spec.talk_ms = cast.rng.range(11_000, 32_000);
        spec.transport = if i % 4 == 3 { Transport::Tcp } else { Transport::Udp };
        spec.auth = i % 5 == 0;
        spec.early_media = i % 6 == 2;
        let calm = Jitter::Uniform { max_us: 400 + 100 * (i % 9) };
        for way in [&mut spec.forward, &mut spec.backward] {
            way.habits.dtx = true;
            way.habits.drift_ppm = cast.rng.range(-40, 40) as i32;
            way.path.before = way.path.before.clone().with_jitter(Window::ALWAYS, calm);
        }
        world = world.call(spec);
    }
    let about = "26 good calls of nine codecs, over UDP and TCP, IPv4 and IPv6, some challenged (407), some with early media. \
        Silence is not sent (DTX), so sequence numbers go on while time passes: no loss. What a quiet morning looks like.";
    Sample { name: "01-healthy-office.pcap.gz", about, world }
}

fn bursty() -> Sample {
    let mut cast = Cast::new(2);
    let mut world = World::new(2);
    let mut long = cast.call(4_000, Trunk::B);
    long.talk_ms = 185_000;
    for (from, to) in [(20_000, 34_000), (78_000, 96_000), (141_000, 150_000)] {
        let queue = Jitter::Gamma { shape: 2, mean_us: 14_000 };
        let before = &mut from_outside(&mut long).path.before;
        before.loss.push((Window::new(from, to), Loss::bursts(0.14, 7.0)));
        before.jitter.push((Window::new(from - 2_000, to), queue));
    }
    world = world.call(long);
    for i in 0..10 {
        let mut spec = cast.call(30_000 + i * 52_000, Trunk::B);
        spec.talk_ms = cast.rng.range(14_000, 38_000);
        if i % 2 == 0 {
            spec.talk_ms = 38_000;
            let loss = Loss::bursts(0.04 + 0.02 * i as f64, 6.0);
            from_outside(&mut spec).path.before.loss.push((Window::new(20_000, 32_000), loss));
        } else if i == 5 {
            from_outside(&mut spec).path.before.loss.push((Window::ALWAYS, Loss::Bernoulli { p: 0.015 }));
        }
        world = world.call(spec);
    }
    let about = "11 calls over a WAN that loses packets in runs, from the carrier to the office only. The call at 09:00:04 lasts \
        three minutes and has three bad spells; five shorter ones turn bad 20 s after the answer. One has a little even loss \
        instead: about the same share can sound quite different. The other direction is clean.";
    Sample { name: "02-bursty-wan.pcap.zst", about, world }
}

fn one_way() -> Sample {
    let mut cast = Cast::new(3);
    let mut world = World::new(3);
    for i in 0..6 {
        let mut spec = cast.call(20_000 + i * 90_000, Trunk::pick(1 + i as usize));
        spec.ptime_ms = 40;
        spec.talk_ms = 11_000 + 900 * i;
        spec.released_by = Some(Side::Caller);
        match i {
            0..=2 => spec.backward.habits.mute = true,
            3 => spec.forward.habits.stops_at_ms = Some(5_000),
            4 => spec.backward.habits.late_ms = 4_000,
            _ => (spec.forward.habits.mute, spec.backward.habits.mute) = (true, true),
        }
        world = world.call(spec);
    }
    let about = "Six answered calls. In three nothing comes back from the callee (a firewall, a wrong address in SDP), in one the \
        caller falls silent after 5 s, in one the callee's audio starts 4 s late, in one there is no audio at all.";
    Sample { name: "03-one-way-audio.pcap", about, world }
}

fn wifi() -> Sample {
    let mut cast = Cast::new(4);
    let mut world = World::new(4);
    for i in 0..12 {
        let mut spec = cast.call(9_000 + i * 46_000, Trunk::pick(i as usize));
        spec.talk_ms = cast.rng.range(12_000, 24_000);
        spec.codec = if i % 4 == 1 { Codec::Opus } else { Codec::G729 };
        from_outside(&mut spec).habits.dtx = true;
        let up = &mut from_office(&mut spec).path.before;
        let jitter = match i % 6 {
            0 => Jitter::Spikes { p: 0.02, mean_us: 90_000 },
            1 => Jitter::Gamma { shape: 2, mean_us: 22_000 },
            2 => Jitter::Normal { sigma_us: 9_000 },
            3 => Jitter::Periodic { period_ms: 4_000, height_us: 70_000 },
            4 => Jitter::Uniform { max_us: 2_000 },
            _ => Jitter::Spikes { p: 0.006, mean_us: 180_000 },
        };
        up.jitter.push((Window::ALWAYS, jitter));
        if i == 4 || i == 10 {
            up.reorder = Some(Reorder { p: 0.03, extent: 2 });
        }
        if i == 7 {
            up.route.push((8_000, 45_000));
        }
        world = world.call(spec);
    }
    let about = "12 calls of phones on busy Wi-Fi: no loss worth the name, but delay that varies. Spikes, queues, a slow wave, two \
        calls with reordered packets, one with a change of route. Compare p50 and p99 of delay variation, and what a buffer of \
        40, 60 or 100 ms would have thrown away. RTP jitter alone tells little of it.";
    Sample { name: "04-jitter-wifi.pcap.gz", about, world }
}

fn failed() -> Sample {
    let mut cast = Cast::new(5);
    let mut world = World::new(5);
    let outcomes = [
        Outcome::Refused(486),
        Outcome::Refused(404),
        Outcome::Cancelled,
        Outcome::Refused(503),
        Outcome::Refused(503),
        Outcome::Refused(480),
        Outcome::NoResponse,
        Outcome::Refused(486),
        Outcome::Refused(403),
        Outcome::Cancelled,
        Outcome::Refused(488),
        Outcome::Refused(503),
        Outcome::Answered,
        Outcome::Refused(404),
        Outcome::NoResponse,
        Outcome::Refused(603),
        Outcome::Cancelled,
    ];
    for (i, outcome) in outcomes.into_iter().enumerate() {
        let mut spec = cast
            .call(3_000 + i as i64 * 33_000, if outcome == Outcome::Refused(503) { Trunk::B } else { Trunk::pick(i) });
        spec.outcome = outcome;
        spec.auth = i % 3 == 1;
        (spec.ring_ms, spec.answer_ms) = match outcome {
            Outcome::Refused(486 | 603) => (700, 4_200),
            Outcome::Refused(480) => (900, 31_000),
            Outcome::Cancelled => (1_100, 9_000 + 2_000 * i as i64),
            Outcome::Answered => (6_800, 11_500),
            _ => (120, 120),
        };
        if i == 1 {
            // The announcement that the number is not in use.
            (spec.early_media, spec.ring_ms, spec.answer_ms) = (true, 500, 4_500);
        }
        spec.retransmits = u32::from(i == 12);
        spec.ptime_ms = 40;
        spec.talk_ms = 6_000;
        world = world.call(spec);
    }
    let about = "17 attempts, one answered (after a repeated INVITE and a wait of seven seconds): busy (486), not in use (404, once with an announcement \
        as early media), declined (603), forbidden (403), codec refused (488), no answer (480), given up by the caller (CANCEL), no \
        reply at all, and three 503 of one trunk. Some are challenged first; a 407 is no failure.";
    Sample { name: "05-failed-setups.pcap", about, world }
}

fn call_on_hold() -> Sample {
    let mut cast = Cast::new(6);
    let mut world = World::new(6);
    let hold = |at_ms, by, music| Change { at_ms, by, what: What::Hold { music } };
    let resume = |at_ms, by| Change { at_ms, by, what: What::Resume };
    for i in 0..7i64 {
        let mut spec = cast.call(15_000 + i * 70_000, Trunk::pick(i as usize));
        spec.talk_ms = 22_000;
        match i {
            0 => spec.changes = vec![hold(6_000, Side::Callee, false), resume(13_000, Side::Callee)],
            1 => spec.changes = vec![hold(5_000, Side::Callee, true), resume(12_000, Side::Callee)],
            2 => spec.forward.habits.digits = vec![(3_000, "2".into()), (6_000, "4711#".into())],
            3 => {
                // Fax tone heard: the gateway asks for G.711.
                let what = What::Codec(Codec::Pcma);
                spec.changes = vec![Change { at_ms: 8_000, by: Side::Callee, what }];
            }
            4 => {
                // From outside to a desk that passes the caller on to another desk.
                spec = cast.placed(spec.start_ms, Trunk::B, false);
                spec.talk_ms = 12_000;
                spec.released_by = Some(Side::Callee);
                spec.transfer = Some((10_000, "sip:+12025550177@example.com".into()));
                let mut second = cast.placed(spec.start_ms + spec.answer_ms + 10_100, Trunk::B, false);
                second.caller = Party { media: second.caller.media, ..spec.caller.clone() };
                second.callee.user = "+12025550177".into();
                second.talk_ms = 14_000;
                (second.ring_ms, second.answer_ms) = (300, 1_400);
                world = world.call(second);
            }
            5 => {
                let at = |port: u16| SocketAddr::from(([192, 0, 2, 20], port));
                let (outer_sip, inner_sip) = (at(5060), at(5080));
                spec.relay = Some(Relay {
                    outer_sip,
                    inner_sip,
                    outer_media: at(30_000),
                    inner_media: at(30_040),
                    delay_us: 300,
                });
                spec.talk_ms = 12_000;
            }
            _ => {
                spec.backward.habits.ssrc_change_ms = Some(9_000);
                spec.forward.habits.nat_rebind_ms = Some(14_000);
            }
        }
        world = world.call(spec);
    }
    let about = "Eight calls with a life: hold and resume (silent, and with music), digits (RFC 4733), a change of codec by re-INVITE, a \
        transfer (REFER) with the call it makes, one call through a B2BUA with both legs on the wire, one with a new SSRC and a lost \
        NAT binding. All of them are good: none of this is loss or delay variation.";
    Sample { name: "06-hold-transfer-dtmf.pcap.gz", about, world }
}

fn doubled() -> Sample {
    let mut cast = Cast::new(7);
    let mut world = World::new(7).mirror(Mirror { share: 1.0, min_us: 3, max_us: 900 }).vlan(120);
    for i in 0..8 {
        let mut spec = cast.call(12_000 + i * 66_000, Trunk::pick(i as usize));
        spec.talk_ms = cast.rng.range(9_000, 15_000);
        spec.forward.habits.dtx = true;
        if i == 3 {
            from_outside(&mut spec).path.before.loss.push((Window::ALWAYS, Loss::bursts(0.06, 3.0)));
        }
        if i == 5 {
            from_outside(&mut spec).path.before.duplicate = 0.06;
        }
        world = world.call(spec);
    }
    let about = "Eight calls seen through a mirror port that takes in each frame twice, microseconds apart, on VLAN 120. A count \
        of packets would show twice the rate and negative loss. The call with real loss and the one with real duplicates of the \
        network must still show theirs.";
    Sample { name: "07-span-doubled.pcap.zst", about, world }
}

/// Where a call goes.
#[derive(Clone, Copy, PartialEq)]
enum Trunk {
    A,
    B,
    Six,
}

impl Trunk {
    fn pick(i: usize) -> Trunk {
        [Trunk::A, Trunk::B, Trunk::A, Trunk::Six, Trunk::B][i % 5]
    }
}

const PBX: &str = "ExamplePBX/18.3";

/// The way of the media that comes into the office.
fn from_outside(spec: &mut CallSpec) -> &mut Way {
    if spec.caller.agent == PBX { &mut spec.backward } else { &mut spec.forward }
}

/// The way of the media that leaves the office.
fn from_office(spec: &mut CallSpec) -> &mut Way {
    if spec.caller.agent == PBX { &mut spec.forward } else { &mut spec.backward }
}

/// Gives calls their people, addresses and a plain network.
struct Cast {
    rng: Rng,
    file: u16,
    calls: u16,
}

const NAMES: [&str; 10] = [
    "Front Desk",
    "Ada Quill",
    "Ben Orchard",
    "Ward 3",
    "Cleo Marsh",
    "Billing",
    "Dov Larkin",
    "Night Watch",
    "Eva Stone",
    "Lab",
];

impl Cast {
    fn new(file: u16) -> Cast {
        Cast { rng: Rng::new(0xCA57 + u64::from(file)), file, calls: 0 }
    }

    /// A 20 s call from or to the office over a trunk, on a plain network.
    fn call(&mut self, start_ms: i64, trunk: Trunk) -> CallSpec {
        let outgoing = self.rng.chance(0.5);
        self.placed(start_ms, trunk, outgoing)
    }

    fn placed(&mut self, start_ms: i64, trunk: Trunk, outgoing: bool) -> CallSpec {
        let n = self.calls;
        self.calls += 1;
        let port = 16_384 + self.file * 400 + n * 8;
        let (near, far) = match trunk {
            Trunk::A => ("192.0.2.10".to_owned(), format!("198.51.100.{}", 20 + n % 3)),
            Trunk::B => ("192.0.2.10".to_owned(), format!("203.0.113.{}", 5 + n % 2)),
            Trunk::Six => ("2001:db8:10::10".to_owned(), format!("2001:db8:40::{:x}", 0x20 + n % 3)),
        };
        let mut office = Party::new(
            NAMES[usize::from(n) % NAMES.len()],
            &format!("+1202555{:04}", 100 + (self.file * 10 + n) % 70),
            &near,
            port,
        );
        office.agent = PBX.into();
        let number = if n.is_multiple_of(3) {
            format!("+441632960{:03}", 100 + self.file * 30 + n)
        } else {
            format!("+1312555{:04}", 100 + n * 3)
        };
        let mut outside = Party::new("", &number, &far, port + 4);
        outside.domain = if trunk == Trunk::B { "carrier-b.example.net" } else { "carrier-a.example.org" }.into();
        outside.agent = "ExampleGW/7.0".into();
        let (caller, callee) = if outgoing { (office, outside) } else { (outside, office) };
        let mut spec = CallSpec::new(start_ms, caller, callee);
        spec.ring_ms = self.rng.range(180, 1_300);
        spec.answer_ms = spec.ring_ms + self.rng.range(1_500, 7_000);
        spec.released_by = Some(if self.rng.chance(0.6) { Side::Caller } else { Side::Callee });
        let far_delay = self.rng.range(9_000, 38_000);
        let quiet = |delay| Stretch::delay(delay).with_jitter(Window::ALWAYS, Jitter::Uniform { max_us: 250 });
        // The probe sits in the office: what comes from outside has its way behind it.
        let (near, far) = (quiet(400), quiet(far_delay));
        let (out, back) = (Path::new(near.clone(), far.clone()), Path::new(far, near));
        (spec.forward.path, spec.backward.path) = if outgoing { (out, back) } else { (back, out) };
        spec
    }
}

fn readme(built: &[(Sample, Capture)]) -> String {
    let mut out = String::from(
        "# Sample captures\n\nSeven small captures of an invented office on 10 November 2026, about 09:00 to 09:10 UTC. Read one, or all of them \
         together: their calls have addresses of their own. The addresses are documentation ranges, the numbers are kept for \
         fiction, the audio is a tone.\n\n",
    );
    out += "| file | calls | answered | RTP streams | RTP packets | lost |\n|---|--:|--:|--:|--:|--:|\n";
    for (sample, Capture { truth, .. }) in built {
        let answered = truth.calls.iter().filter(|c| c.answer_at.is_some()).count();
        let (calls, streams) = (truth.calls.len(), truth.streams.len());
        let lost: u64 = truth.streams.iter().map(|s| s.numbers.lost).sum();
        let _ =
            writeln!(out, "| `{}` | {calls} | {answered} | {streams} | {} | {lost} |", sample.name, truth.totals.rtp);
    }
    for (sample, _) in built {
        let _ = write!(out, "\n## {}\n\n{}\n", sample.name, sample.about);
    }
    out += "\nA call through a B2BUA counts as two: it has two dialogs. Lost packets are those missing between the first and the last \
            of a stream; packets of a mirror's copies are in the packet counts.\n\n\
            The files come from a seeded generator, `cargo run -p testkit -- samples testdata`, and a test checks that they still do.\n";
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path as File;

    /// Compressed files are compared by what is in them: the packing may change with the library that packs.
    #[test]
    fn testdata_is_what_the_generator_makes() {
        let folder = File::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
        let mut total = 0;
        for (name, bytes) in files() {
            let kept = std::fs::read(folder.join(&name)).unwrap_or_else(|e| panic!("testdata/{name}: {e}"));
            total += kept.len();
            let same = pcap::unpack(&kept).unwrap() == pcap::unpack(&bytes).unwrap();
            assert!(same, "testdata/{name} differs: run `cargo run -p testkit -- samples testdata`");
        }
        assert!(total < 3_000_000, "testdata takes {total} bytes");
    }

    #[test]
    fn samples_show_what_they_say() {
        let all = all();
        let truth = |prefix: &str| {
            all.iter()
                .find(|s| s.name.starts_with(prefix))
                .map(|s| s.world.build().truth)
                .expect("a sample of this number")
        };
        let healthy = truth("01");
        assert!(healthy.streams.iter().all(|s| s.numbers.lost == 0 && s.numbers.pdv_ms.p99 < 20.0));
        assert!(healthy.streams.iter().flat_map(|s| &s.codecs).collect::<std::collections::BTreeSet<_>>().len() == 9);
        let bursty = truth("02");
        let worst = bursty.streams.iter().max_by_key(|s| s.numbers.lost).unwrap();
        assert!(worst.numbers.lost > 150 && worst.numbers.loss_run_lengths.iter().any(|r| *r >= 10), "{worst:?}");
        assert_eq!(truth("03").streams.len(), 2 * 6 - 3 - 2);
        assert!(truth("04").streams.iter().any(|s| s.numbers.late[2].share > 0.03));
        let failed = truth("05");
        assert_eq!(failed.calls.iter().filter(|c| c.final_code == 503).count(), 3);
        assert_eq!(failed.calls.iter().filter(|c| c.answer_at.is_some()).count(), 1);
        let hold = truth("06");
        assert_eq!(hold.calls.len(), 9);
        assert!(hold.streams.iter().any(|s| s.digits == "24711#"));
        assert!(hold.streams.iter().all(|s| s.numbers.lost == 0));
        let doubled = truth("07");
        assert!(doubled.streams.iter().all(|s| s.numbers.duplicates_probe >= s.numbers.unique));
        assert!(doubled.streams.iter().any(|s| s.numbers.lost > 15));
        let copied = doubled.streams.iter().map(|s| s.numbers.duplicates_network).max();
        assert!(copied > Some(15), "{copied:?}");
        let calls: usize = ["01", "02", "03", "04", "05", "06", "07"].map(|n| truth(n).calls.len()).iter().sum();
        assert!((60..=100).contains(&calls), "{calls} calls");
    }
}
