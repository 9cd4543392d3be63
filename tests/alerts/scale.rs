//! Many trunks: the shipped rules over an hour, one row a minute and direction. `AUSCULT_TRUNKS=1000` by hand, for the figure in
//! docs/alerts.md.

use auscult_core::alert::{
    CaptureSums, DEFAULT_RULES, DEFAULT_RULES_FILE, Evaluator, Origin, RuleSet, State, SumsInput,
};
use auscult_core::model::{
    CallFigures, CallGroup, GroupPart, GroupTrunk, MediaFigures, MediaGroup, Scale, TrunkDirection,
};
use auscult_core::units::{Nanos, Timestamp};
use std::sync::Arc;

#[test]
fn many_quiet_trunks_are_judged_and_none_fires() {
    let trunks: usize = std::env::var("AUSCULT_TRUNKS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let minutes = std::env::var("AUSCULT_MINUTES").ok().and_then(|n| n.parse().ok()).unwrap_or(60i64);
    let rules = RuleSet::parse([(DEFAULT_RULES_FILE, DEFAULT_RULES)], Nanos::from_secs(10)).rules;
    let most = rules.len();
    let mut evaluator = Evaluator::new(rules);
    let origin = Origin { probe: "p", site: "s" };
    let names: Vec<Arc<str>> = (0..trunks).map(|n| format!("trunk-{n}").into()).collect();
    let (start, length) = (Timestamp::from_secs(1_790_000_040), Nanos::from_secs(10));
    let (mut evaluated, mut firing) = (0, Vec::new());
    for minute in 0..minutes {
        let at = start + Nanos::from_secs(60 * minute);
        for part in 0..6 {
            let start = at + Nanos::from_secs(10 * part);
            let input = CaptureSums { start, length, frames: 1_000_000, missed: 0, shed: 0 };
            evaluator.add(&SumsInput::Capture(input), origin, start + length);
        }
        for name in &names {
            for direction in [TrunkDirection::From, TrunkDirection::Toward] {
                let trunk = GroupTrunk { name: name.clone(), direction: Some(direction) };
                let present = if minute == 0 { 0 } else { (at.0 / 1_000_000_000 - 60) as u32 };
                let mut figures =
                    MediaFigures { streams: 50, present_before: [(present, 50)].into(), ..Default::default() };
                (figures.expected, figures.packets, figures.lost_network) = (25_000, 24_990, 10);
                figures.mos = [(430, 50)].into();
                for ms in 1..12 {
                    figures.pdv.add(auscult_core::units::bucket_of(Nanos::from_millis(ms)), 2_000);
                    figures.jitter.add(auscult_core::units::bucket_of(Nanos::from_millis(ms)), 4);
                }
                let (codec, mos_scale, part) = ("PCMA".into(), Some(Scale::Nb), GroupPart::default());
                let group = MediaGroup { start: at, length, trunk: trunk.clone(), codec, mos_scale, part, figures };
                evaluator.add(&SumsInput::Media(&group), origin, at + length);
                let figures = CallFigures {
                    attempts: 10,
                    answers: 8,
                    final_codes: [(200, 8), (486, 2)].into(),
                    ended: 8,
                    classes: [("good", 8)].into(),
                    ..Default::default()
                };
                let group = CallGroup { start: at, length, trunk, part, figures };
                evaluator.add(&SumsInput::Calls(&group), origin, at + length);
            }
        }
        let mut evaluations = Vec::new();
        evaluator.evaluate(at + Nanos::from_secs(60), &mut evaluations);
        evaluated += evaluations.len();
        firing.extend(evaluations.iter().filter(|e| e.state == State::Firing).map(|e| e.render().summary));
    }
    assert_eq!(firing, [] as [String; 0]);
    println!("{evaluated} evaluations of {trunks} trunks");
    // Every trunk and direction is judged by the rules that group so, and nothing is judged twice.
    assert!(
        evaluated >= minutes as usize * 2 * trunks * 5 && evaluated <= minutes as usize * 2 * trunks * most,
        "{evaluated}"
    );
    assert_eq!(evaluator.overflowed(), 0);
}
