//! What is wrong with a rule is said in one line, with file and line, and the other rules go on.

use auscult_core::alert::{CaptureSums, Evaluator, Origin, RuleSet, SqlRow, State, SumsInput, rule::Test};
use auscult_core::model::{GroupPart, GroupTrunk, MediaFigures, MediaGroup};
use auscult_core::units::{Nanos, Timestamp};

fn parse(text: &str) -> RuleSet {
    RuleSet::parse([("r.toml", text)], Nanos::from_secs(10))
}

const GOOD: &str = "[[rule]]\nname = \"good\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\n";

#[track_caller]
fn refused(rule: &str, line: usize, says: &str) {
    let text = format!("{GOOD}\n[[rule]]\n{rule}");
    let set = parse(&text);
    assert_eq!(set.rules.len(), 1, "the other rule goes on: {:?}", set.errors);
    let [error] = set.errors.as_slice() else { panic!("{:?}", set.errors) };
    assert!(error.what.contains(says), "{error}");
    assert_eq!((error.file.as_str(), error.line), ("r.toml", line), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
}

#[test]
fn errors_name_file_line_and_reason() {
    refused(
        "name = \"x\"\nmeasure = \"los_pct\"\nfire = { above = 1 }",
        8,
        "no measure \"los_pct\" (did you mean loss_pct?)",
    );
    refused("name = \"x\"\nmeasure = \"loss_pct\"\nby = [\"dst_ip\"]\nfire = { above = 1 }", 9, "no column \"dst_ip\"");
    refused("name = \"x\"\nmeasure = \"asr_pct\"\nby = [\"codec\"]\nfire = { below = 1 }", 9, "has no codec");
    refused(
        "name = \"x\"\nmeasure = \"loss_pct\"\nwindow = \"65s\"\nfire = { above = 1 }",
        9,
        "no multiple of the interval",
    );
    refused(
        "name = \"x\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\nclear = { above = 2 }",
        10,
        "clear is on the wrong side",
    );
    refused("name = \"x\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\nclear = { below = 2 }", 10, "at most 1");
    refused(
        "name = \"good\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }",
        7,
        "r.toml:1 has a rule of this name already",
    );
    refused("name = \"x\"\nmeasure = \"loss_pct\"\nfires = { above = 1 }", 9, "unknown field `fires`");
    refused(
        "name = \"x\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\nneed = 20",
        10,
        "such as `need = { streams = 20 }`",
    );
    refused("name = \"x\"\nmeasure = \"loss_pct\"\nfire = 5", 9, "such as `fire = { above = 5 }`");
    refused("name = \"x\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\nonly = { trunk = 3 }", 10, "a list of texts");
    refused("name = \"x\"\nfire = { above = 1 }", 6, "either a measure or sql");
    refused("name = \"x y\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }", 7, "letters, digits and _");
    refused(
        "name = \"x\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\nsummary = \"{volume}\"",
        10,
        "there is no {volume}",
    );
    refused("name = \"x\"\nsql = \"DROP TABLE calls\"\nfire = { above = 1 }", 8, "one SELECT");
    refused("name = \"x\"\nsql = \"SELECT 1 AS value\"\nfire = { above = 1 }", 8, "{from:");
    refused(
        "name = \"x\"\nmeasure = \"loss_pct\"\nbaseline = { side = \"above\", k = 3 }",
        9,
        "needs a measure of calls",
    );
    refused("name = \"x\"\nmeasure = \"pdv_p95_ms\"\nburn = { goal_pct = 99 }", 9, "share of what is bad");
    refused(
        "name = \"x\"\nmeasure = \"asr_pct\"\nbaseline = { side = \"below\", k = 3, timezone = \"Mars\" }",
        9,
        "\"Mars\" is unknown",
    );
    refused("name = \"x\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\ninterval = \"\"", 10, "unknown field");
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line() {
    let set = parse("[[rule]]\nname = \"x\n");
    assert_eq!((set.rules.len(), set.errors.len(), set.errors[0].line), (0, 1, 2), "{:?}", set.errors);
}

#[test]
fn a_rule_of_the_operator_replaces_the_one_that_ships() {
    let own = "[[rule]]\nname = \"trunk_loss\"\nmeasure = \"network_loss_pct\"\nfire = { above = 7 }\n\
               [[rule]]\nname = \"trunk_jitter\"\nmeasure = \"jitter_p95_ms\"\nfire = { above = 7 }\nenabled = false\n";
    let shipped = (auscult_core::alert::DEFAULT_RULES_FILE, auscult_core::alert::DEFAULT_RULES);
    let set = RuleSet::parse([("own.toml", own), shipped], Nanos::from_secs(10));
    assert_eq!(set.errors, []);
    let named = |name: &str| set.rules.iter().filter(|rule| rule.name == name).collect::<Vec<_>>();
    assert!(matches!(named("trunk_loss")[..], [rule] if matches!(rule.test, Test::Fixed { fire: 7.0, .. })));
    assert!(named("trunk_jitter").is_empty() && set.disabled == ["trunk_jitter"]);
}

#[test]
fn a_burn_rate_is_four_rules() {
    let set = parse("[[rule]]\nname = \"b\"\nmeasure = \"bad_calls_pct\"\nburn = { goal_pct = 99 }\n");
    let names: Vec<&str> = set.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["b_1h", "b_6h", "b_1d", "b_3d"]);
    assert_eq!(set.rules[0].inhibits, ["b_6h", "b_1d", "b_3d"]);
}

#[test]
fn the_name_of_a_burn_rate_inhibits_all_of_its_pairs() {
    let set = parse(
        "[[rule]]\nname = \"b\"\nmeasure = \"bad_calls_pct\"\nburn = { goal_pct = 99 }\n\
         [[rule]]\nname = \"x\"\nmeasure = \"loss_pct\"\nfire = { above = 1 }\ninhibits = [\"b\"]\n",
    );
    assert_eq!(set.errors, []);
    assert_eq!(set.rules[4].inhibits, ["b", "b_1h", "b_6h", "b_1d", "b_3d"]);
}

/// Groups of a statement come from what strangers send: they are bounded, and gone ones are forgotten.
#[test]
fn groups_of_a_statement_are_bounded_and_forgotten() {
    let sql = "SELECT caller_agent, 1 AS value, 1 AS samples FROM calls WHERE first_at >= {from:DateTime('UTC')} AND \
               first_at < {to:DateTime('UTC')}";
    let set = parse(&format!("[[rule]]\nname = \"s\"\nsql = \"{sql}\"\nfire = {{ above = 5 }}\nmax_groups = 3\n"));
    assert_eq!(set.errors, []);
    let mut evaluator = Evaluator::new(set.rules);
    let row = |name: String| SqlRow {
        labels: vec![("agent".to_owned(), name)],
        value: Some(1.0),
        bound: None,
        samples: 1,
        drops_pct: 0.0,
    };
    for minute in 0..50 {
        evaluator.sql_answer("s", Ok((0..3).map(|n| row(format!("{minute} {n}"))).collect()));
        evaluator.evaluate(Timestamp::from_secs(60 * minute), &mut Vec::new());
    }
    assert!(evaluator.memories().count() <= 6, "{}", evaluator.memories().count());
    evaluator.sql_answer("s", Ok((0..4).map(|n| row(n.to_string())).collect()));
    let mut told = Vec::new();
    evaluator.evaluate(Timestamp::from_secs(60 * 50), &mut told);
    assert!(told.iter().all(|e| e.state == State::Error), "{told:?}");
    assert!(told[0].why.as_ref().is_some_and(|why| why.contains("more than 3 groups")), "{told:?}");
}

#[test]
fn a_probe_that_never_saw_a_frame_is_silent() {
    let set = parse("[[rule]]\nname = \"s\"\nmeasure = \"probe_silence_s\"\nby = [\"probe\"]\nfire = { above = 90 }\n");
    let mut evaluator = Evaluator::new(set.rules);
    evaluator.probe_began(Origin { probe: "p", site: "" }, Timestamp::from_secs(0));
    let mut told = Vec::new();
    (1..=2).for_each(|minute| evaluator.evaluate(Timestamp::from_secs(60 * minute), &mut told));
    assert_eq!(told.iter().map(|e| e.state).collect::<Vec<_>>(), [State::Ok, State::Firing]);
}

/// A window that is not judged says why.
#[test]
fn a_blind_window_names_what_was_not_seen() {
    let rule = "[[rule]]\nname = \"loss\"\nmeasure = \"loss_pct\"\nwindow = \"5m\"\nwiden_to = \"5m\"\ndelay = \"0s\"\nneed = { streams = 1 }\n\
                fire = { above = 1 }\nno_data = \"ok\"\n";
    let says = |missed: u64, measured_s: i64, quiet_s: i64| {
        let mut evaluator = Evaluator::new(parse(rule).rules);
        let origin = Origin { probe: "p", site: "s" };
        let end = Timestamp::from_secs(1_790_000_400);
        let length = Nanos::from_secs(10);
        for n in (1..=measured_s / 10).rev() {
            let start = end - Nanos::from_secs(quiet_s + 10 * n);
            let input = CaptureSums { start, length, frames: 1_000, missed, shed: 0 };
            evaluator.add(&SumsInput::Capture(input), origin, end);
            let figures =
                MediaFigures { streams: 1, present_before: [(0, 1)].into(), expected: 500, ..Default::default() };
            let (codec, mos_scale, part, trunk) = ("PCMA".into(), None, GroupPart::default(), GroupTrunk::default());
            let group = MediaGroup { start, length, trunk, codec, mos_scale, part, figures };
            evaluator.add(&SumsInput::Media(&group), origin, end);
        }
        let mut told = Vec::new();
        evaluator.evaluate(end, &mut told);
        told.first().map(|evaluation| (evaluation.state, evaluation.render().description)).unwrap_or_default()
    };
    let (state, text) = says(0, 300, 0);
    assert!(state == State::Ok && !text.contains("not judged"), "{state:?} {text}");
    for (missed, measured, quiet, why) in [
        (10, 300, 0, "not judged: the capture missed 0.99 %, more than 0.1 %"),
        (0, 100, 0, "not judged: the probe saw 33 % of the window, less than half"),
        (0, 240, 70, "not judged: the probe saw no frame in its last 70 s"),
    ] {
        let (state, text) = says(missed, measured, quiet);
        assert!(state == State::Blind && text.contains(why), "{state:?} {text}");
    }
}
