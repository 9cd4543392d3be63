//! The calls behind an alert: which list of the page shows them.

use auscult_core::alert::measure::{Figure, Source};
use auscult_core::alert::{Evaluation, Label};
use auscult_core::model::{CallClass, DiagnosisCode, TrunkDirection};
use auscult_core::units::Nanos;
use auscult_store::query::{CallFilter, CallSort, Window};

/// Calls that began so long before a window and were seen in it belong to it.
const BEFORE: Nanos = Nanos::from_secs(4 * 3600);

/// Server errors that RFC 3261 and its extensions name.
const SERVER_ERRORS: [u16; 9] = [500, 501, 502, 503, 504, 505, 513, 555, 580];

/// What the list of calls is narrowed to and sorted by.
#[derive(Clone, Debug, PartialEq)]
pub struct CallsBehind {
    pub filter: CallFilter,
    pub window: Window,
    pub sort: CallSort,
}

impl CallsBehind {
    /// Calls seen in the window of an evaluation, of its group, as far as its measure speaks of some of them only.
    pub fn of(evaluation: &Evaluation) -> CallsBehind {
        let value = |wanted: Label| {
            let found = evaluation.group.iter().find(|(label, _)| *label == wanted);
            found.map(|(_, value)| value.to_string()).filter(|value| !value.is_empty())
        };
        let mut filter = CallFilter {
            trunk: value(Label::Trunk),
            site: value(Label::Site),
            codec: value(Label::Codec),
            seen_from: Some(evaluation.from),
            ..CallFilter::default()
        };
        let figure = evaluation.rule.measure().map(|measure| measure.figure);
        match figure {
            Some(Figure::BadCalls) => filter.classes = vec![CallClass::Poor, CallClass::Failed],
            Some(Figure::SetupFailure | Figure::Ineffective) => filter.classes = vec![CallClass::Failed],
            Some(Figure::OneWay) => filter.diagnoses = vec![DiagnosisCode::OneWayMedia],
            Some(Figure::NoMedia) => filter.diagnoses = vec![DiagnosisCode::NoMedia],
            Some(Figure::NoResponse) => filter.final_codes = vec![0, 408],
            Some(Figure::ServerErrors) => filter.final_codes = SERVER_ERRORS.to_vec(),
            _ => {}
        }
        let sort = match figure {
            Some(Figure::Pdv | Figure::Jitter | Figure::Late(_)) => CallSort::DelayVariation,
            Some(Figure::Loss | Figure::NetworkLoss | Figure::Concealed) => CallSort::Loss,
            Some(Figure::Attempts | Figure::Answered) => CallSort::Newest,
            _ => CallSort::Worst,
        };
        // A call has the direction of its first INVITE, a stream its own: only sums of calls narrow by it.
        if let (Some(direction), false) = (
            value(Label::TrunkDirection),
            evaluation.rule.measure().is_none_or(|measure| measure.source != Source::Calls),
        ) {
            filter.trunk_direction = TrunkDirection::parse(&direction);
        }
        CallsBehind { filter, window: Window { from: evaluation.from - BEFORE, to: evaluation.until }, sort }
    }

    /// The address of the page that shows them; that of the alerts where a rule is about the probe itself.
    pub fn url_of(evaluation: &Evaluation, external_url: &str) -> String {
        match has_calls(evaluation) {
            true => CallsBehind::of(evaluation).url(external_url),
            false => format!("{external_url}/alerts"),
        }
    }

    /// The list as an address of the page.
    pub fn url(&self, external_url: &str) -> String {
        let mut url = format!(
            "{external_url}/?from={}&to={}",
            escape(&self.window.from.to_rfc3339()),
            escape(&self.window.to.to_rfc3339())
        );
        let names = |names: Vec<&str>| (!names.is_empty()).then(|| names.join(","));
        let codes: Vec<String> = self.filter.final_codes.iter().map(u16::to_string).collect();
        for (name, value) in [
            ("seen_from", self.filter.seen_from.map(|at| at.to_rfc3339())),
            ("sort", Some(self.sort.name().to_owned())),
            ("trunk", self.filter.trunk.clone()),
            ("trunk_direction", self.filter.trunk_direction.map(|direction| direction.name().to_owned())),
            ("site", self.filter.site.clone()),
            ("codec", self.filter.codec.clone()),
            ("class", names(self.filter.classes.iter().map(|class| class.name()).collect())),
            ("diagnosis", names(self.filter.diagnoses.iter().map(|code| code.name()).collect())),
            ("final_code", (!codes.is_empty()).then(|| codes.join(","))),
        ] {
            if let Some(value) = value {
                url += &format!("&{name}={}", escape(&value));
            }
        }
        url
    }
}

/// Whether calls are behind a rule, and not the probe alone.
pub fn has_calls(evaluation: &Evaluation) -> bool {
    let source = evaluation.rule.measure().map(|measure| measure.source);
    source.is_none_or(|source| matches!(source, Source::Media | Source::Calls))
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_core::alert::{CaptureSums, Evaluator, Origin, RuleSet, SumsInput};
    use auscult_core::model::{CallFigures, CallGroup, GroupPart, GroupTrunk, MediaFigures, MediaGroup};
    use auscult_core::units::Timestamp;

    /// Where an alert of this measure leads to.
    fn url(measure: &str, by: &str) -> String {
        let text = format!(
            "[[rule]]\nname = \"r\"\nmeasure = \"{measure}\"\nby = [{by}]\nwindow = \"5m\"\ndelay = \"0s\"\nneed = {{ samples = 1 }}\n\
             fire = {{ above = 1000 }}\n"
        );
        let set = RuleSet::parse([("r.toml", text.as_str())], Nanos::from_secs(10));
        assert!(set.errors.is_empty(), "{:?}", set.errors);
        let mut evaluator = Evaluator::new(set.rules);
        let origin = Origin { probe: "p", site: "s" };
        let (start, length) = (Timestamp::from_secs(1_790_000_400), Nanos::from_secs(10));
        let trunk = GroupTrunk { name: "carrier & a".into(), direction: Some(TrunkDirection::Toward) };
        let part = GroupPart::default();
        let figures = MediaFigures { streams: 1, present_before: [(0, 1)].into(), expected: 9, ..Default::default() };
        let (codec, mos_scale) = ("PCMA".into(), None);
        let media = MediaGroup { start, length, trunk: trunk.clone(), codec, mos_scale, part, figures };
        let figures = CallFigures { attempts: 5, ended: 5, classes: [("good", 5)].into(), ..Default::default() };
        let calls = CallGroup { start, length, trunk, part, figures };
        let capture = CaptureSums { start, length, frames: 9, missed: 0, shed: 0 };
        for input in [SumsInput::Media(&media), SumsInput::Calls(&calls), SumsInput::Capture(capture)] {
            evaluator.add(&input, origin, start + length);
        }
        let mut evaluations = Vec::new();
        evaluator.evaluate(Timestamp::from_secs(1_790_000_460), &mut evaluations);
        CallsBehind::url_of(&evaluations[0], "http://x")
    }

    #[test]
    fn an_alert_leads_to_the_calls_that_were_seen_in_its_window() {
        let window = "from=2026-09-21T10%3A16%3A00.000000000Z&to=2026-09-21T14%3A21%3A00.000000000Z\
                      &seen_from=2026-09-21T14%3A16%3A00.000000000Z";
        for (measure, by, rest) in [
            // A call has the direction of its INVITE, a stream its own.
            ("loss_pct", "\"trunk\", \"trunk_direction\"", "&sort=loss&trunk=carrier%20%26%20a"),
            ("loss_pct", "\"codec\"", "&sort=loss&codec=PCMA"),
            (
                "bad_calls_pct",
                "\"trunk\", \"trunk_direction\"",
                "&sort=worst&trunk=carrier%20%26%20a&trunk_direction=toward&class=poor,failed",
            ),
            ("setup_failure_pct", "\"site\"", "&sort=worst&site=s&class=failed"),
            ("no_response_pct", "", "&sort=worst&final_code=0%2C408"),
        ] {
            assert_eq!(
                url(measure, by).replace("poor%2Cfailed", "poor,failed"),
                format!("http://x/?{window}{rest}"),
                "{measure}"
            );
        }
        assert_eq!(url("capture_loss_pct", "\"probe\""), "http://x/alerts");
    }
}
