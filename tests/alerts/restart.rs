//! A program that is started again goes on with the states it had, whatever the minute.

use auscult_core::alert::{CaptureSums, Evaluation, Evaluator, Memory, Origin, RuleSet, State, SumsInput};
use auscult_core::model::{GroupPart, GroupTrunk, MediaFigures, MediaGroup};
use auscult_core::units::{Nanos, Timestamp};
use std::collections::BTreeMap;

const STEP: i64 = 10;
const START: i64 = 1_772_409_600;
const RULE: &str = "[[rule]]\nname = \"loss\"\nmeasure = \"network_loss_pct\"\nby = [\"trunk\"]\nwindow = \"2m\"\nevery = \"1m\"\n\
    fire = { above = 2 }\nclear = { below = 1 }\nfor = \"3m\"\nkeep_firing_for = \"4m\"\n\
    [[rule]]\nname = \"hits\"\nmeasure = \"network_loss_pct\"\nby = [\"trunk\"]\nwindow = \"1m\"\nfire = { above = 2 }\n\
    clear = { below = 1 }\nhits = { of = 5, at_least = 3 }\n";

fn evaluator() -> Evaluator {
    let set = RuleSet::parse([("r", RULE)], Nanos::from_secs(STEP));
    assert_eq!(set.errors, []);
    Evaluator::new(set.rules)
}

/// Loss from the tenth minute on, the capture overflows in between, and it ends.
fn add(evaluator: &mut Evaluator, begun: i64) {
    let minute = (begun - START) / 60;
    let lossy = (10..24).contains(&minute) && minute != 15;
    let missed = if (18..20).contains(&minute) { 5_000 } else { 0 };
    let start = Timestamp::from_secs(begun);
    let (length, now) = (Nanos::from_secs(STEP), Timestamp::from_secs(begun + STEP));
    let origin = Origin { probe: "p", site: "" };
    evaluator.add(&SumsInput::Capture(CaptureSums { start, length, frames: 50_000, missed, shed: 0 }), origin, now);
    let present = [(0, 20), ((begun - STEP) as u32, 180)].into();
    let figures = MediaFigures {
        streams: 200,
        expected: 100_000,
        lost_network: if lossy { 9_000 } else { 50 },
        present_before: present,
        ..MediaFigures::default()
    };
    let trunk = GroupTrunk { name: "a".into(), direction: None };
    let part = GroupPart::default();
    let group = MediaGroup { start, length, trunk, codec: "PCMA".into(), mos_scale: None, part, figures };
    evaluator.add(&SumsInput::Media(&group), origin, now);
}

type States = BTreeMap<(i64, String), (State, Option<Timestamp>)>;

/// States of each minute; with a restart after so many minutes.
fn run(restart: Option<i64>) -> States {
    let mut states = States::new();
    let mut own = evaluator();
    for begun in (START..START + 40 * 60).step_by(STEP as usize) {
        if restart == Some((begun - START) / 60) && begun % 60 == 0 {
            let memories: Vec<(String, auscult_core::alert::GroupKey, Memory)> = own
                .memories()
                .map(|(rule, group, memory)| (rule.name.clone(), group.clone(), memory.clone()))
                .collect();
            own = evaluator();
            for (rule, group, memory) in memories {
                // As it comes back from the file.
                let text = serde_json::to_string(&memory).unwrap();
                assert!(own.restore(&rule, &group, serde_json::from_str(&text).unwrap()));
            }
            (START..begun).step_by(STEP as usize).for_each(|past| add(&mut own, past));
        }
        add(&mut own, begun);
        let now = begun + STEP;
        if now % 60 == 0 {
            let mut told: Vec<Evaluation> = Vec::new();
            own.evaluate(Timestamp::from_secs(now), &mut told);
            for evaluation in told {
                states.insert(((now - START) / 60, evaluation.rule.name.clone()), (evaluation.state, evaluation.since));
            }
        }
    }
    states
}

#[test]
fn a_restart_at_any_minute_changes_no_state() {
    let whole = run(None);
    let seen: std::collections::BTreeSet<State> = whole.values().map(|(state, _)| *state).collect();
    for state in [State::Ok, State::Pending, State::Firing, State::Keeping] {
        assert!(seen.contains(&state), "the world has {state:?}: {whole:?}");
    }
    for minute in 1..40 {
        assert_eq!(run(Some(minute)), whole, "restart after {minute} minutes");
    }
}
