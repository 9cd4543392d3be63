//! Packets expected and lost of a stream are one pair, wherever they stand: in its row, the sum of its intervals, the document,
//! the figure of its call, the words of the verdict, and the share that the MOS is rated with.

use super::*;
use serde_json::Value;
use testkit::call::{CallSpec, Party, Rtcp};
use testkit::path::{Jitter, Loss, Window};

fn world(seed: u64) -> Vec<Frame> {
    let mut world = testkit::World::new(seed);
    for n in 0..12u32 {
        let caller = Party::new("A", "+12025550101", &format!("192.0.2.{}", 10 + n), 20_000);
        let callee = Party::new("B", "+12025550102", &format!("198.51.100.{}", 10 + n), 30_000);
        let rtcp = (n % 2 == 0).then_some(Rtcp { interval_ms: 2_000, mux: n % 4 == 0 });
        let mut spec = CallSpec { talk_ms: 35_000, rtcp, ..CallSpec::new(i64::from(n) * 700, caller, callee) };
        // Loss, lateness, disorder and copies in all mixtures.
        for (way, seed) in [(&mut spec.forward, n), (&mut spec.backward, n + 5)] {
            let before = &mut way.path.before;
            before.loss = vec![(Window::ALWAYS, Loss::Bernoulli { p: [0.002, 0.004, 0.03, 0.2][seed as usize % 4] })];
            let max_us = [1, 5_000, 90_000][seed as usize % 3];
            before.jitter = vec![(Window::ALWAYS, Jitter::Uniform { max_us })];
            before.duplicate = [0.0, 0.01][seed as usize % 2];
        }
        world = world.call(spec);
    }
    world.build().frames
}

#[test]
fn expected_and_lost_are_the_same_pair_wherever_they_stand() {
    let mut lossy = 0;
    for seed in 1..4 {
        let run = run(&world(seed), &Setup::rested());
        let document: Value = serde_json::from_str(&run.document()).expect("a document");
        let listed = document["streams"].as_array().expect("streams");
        assert_eq!(listed.len(), run.streams().len());
        for stream in run.streams() {
            let n = &stream.numbers;
            let pair = (n.expected, n.lost());
            let rows = run.intervals().into_iter().filter(|row| row.stream == stream.id);
            let sum = rows.fold((0, 0), |(e, u), row| (e + row.numbers.expected, u + row.numbers.unique));
            assert_eq!((sum.0, sum.0 - sum.1), pair, "intervals of {}", stream.ssrc);
            let row = listed.iter().find(|row| row["id"] == stream.id.to_string()).expect("listed");
            let whole = |name: &str| row[name].as_u64().expect("a number");
            assert_eq!((whole("expected"), whole("lost")), pair, "document of {}", stream.ssrc);
            let share = 100.0 * pair.1 as f64 / pair.0 as f64;
            assert!((row["loss_pct"].as_f64().expect("a share") - share).abs() < 1e-4, "{row}");
            // What the MOS is rated with: lost and discarded of those expected.
            if let Some(rated) = stream.mos.effective_loss_pct {
                let discarded = share + 100.0 * n.discarded_adaptive as f64 / pair.0 as f64;
                assert!((f64::from(rated) - discarded).abs() < 0.01, "{rated} and {discarded} of {}", stream.ssrc);
            }
            lossy += u32::from(pair.1 > 0);
        }
        for call in run.calls() {
            let streams = run.streams().into_iter().filter(|s| s.call_uid == Some(call.uid));
            let shares = streams.clone().filter_map(|s| s.numbers.loss_pct());
            assert_eq!(call.loss_pct_worst, shares.reduce(f64::max).map(|pct| pct as f32), "{}", call.call_id);
            for diagnosis in call.diagnoses.iter().filter(|d| d.evidence.contains(" % lost (")) {
                let said = |s: &StreamReport| {
                    diagnosis.evidence.contains(&format!("({} of {})", s.numbers.lost(), s.numbers.expected))
                };
                assert!(streams.clone().any(said), "{}", diagnosis.evidence);
            }
        }
    }
    assert!(lossy > 30, "{lossy} lossy streams");
}
