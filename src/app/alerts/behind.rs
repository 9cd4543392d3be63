//! The calls behind an alert: which list of the page shows them.

use crate::alert::measure::{Figure, Source};
use crate::alert::{Evaluation, Label};
use crate::model::{CallClass, DiagnosisCode, TrunkDirection};
use crate::store::query::{CallFilter, CallSort, Window};
use crate::units::Nanos;

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

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
