//! Silences: alerts of a rule and group are shown, but not sent to webhooks, until a given time.

use auscult_api::{NewSilence, SilenceJson};
use auscult_core::alert::{GroupKey, Label, Rule};
use auscult_core::units::text::clean;
use auscult_core::units::{Nanos, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Silences that are kept at most, ended ones among them.
const MAX_SILENCES: usize = 1_000;

/// Longest silence.
const LONGEST: Nanos = Nanos::from_secs(30 * 86_400);

/// Ended ones are shown so long.
const SHOWN: Nanos = Nanos::from_secs(7 * 86_400);

/// Longest text, in characters.
const MAX_TEXT: usize = 500;

/// One silence. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    /// Name of the rule; of every rule when empty.
    pub rule: String,
    /// Values of labels that a group must have.
    pub labels: BTreeMap<String, String>,
    pub starts_at: i64,
    pub ends_at: i64,
    pub reason: String,
    /// Who asked for it, as they said.
    pub by: String,
    /// By address, what each Alertmanager has of it.
    #[serde(default)]
    pub forwarded: BTreeMap<String, Forwarded>,
    /// Alertmanagers that refused it, so that they are not asked again.
    #[serde(default)]
    pub refused: BTreeMap<String, String>,
}

/// A silence as an Alertmanager has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    pub id: String,
    pub ends_at: i64,
}

impl Silence {
    /// Makes a silence from a request, and checks the request.
    ///
    /// # Errors
    /// One line: what is wrong, with the name of the field.
    pub fn new(asked: &NewSilence, now: Timestamp) -> Result<Silence, String> {
        let seconds = (asked.hours * 3600.0).round();
        if !seconds.is_finite() || seconds < 60.0 || seconds > LONGEST.as_secs_f64() {
            return Err("`hours` must be from one minute (0.0167) to 30 days (720)".to_owned());
        }
        let text = |name: &str, text: &str| match text.trim() {
            text if text.chars().count() > MAX_TEXT => Err(format!("`{name}` takes at most {MAX_TEXT} characters")),
            // What turns a line around or is not seen would show another text than what is kept.
            text if clean(text, usize::MAX) != text => Err(format!("`{name}` must be one line of plain text")),
            text => Ok(text.to_owned()),
        };
        let reason = text("reason", &asked.reason)?;
        if reason.is_empty() {
            return Err("`reason` must say why: others read it".to_owned());
        }
        let known = |name: &&String| Label::parse(name).is_none() && *name != Label::Statement.name();
        if let Some(name) = asked.labels.keys().find(known) {
            let name: String = name.chars().take(40).collect();
            return Err(format!("`labels`: {name:?} is no label that rules group by"));
        }
        if asked.labels.len() > Label::ALL.len() {
            return Err("`labels`: too many".to_owned());
        }
        let labels = asked.labels.iter().map(|(name, value)| Ok((name.clone(), text("labels", value)?)));
        let labels: BTreeMap<String, String> = labels.collect::<Result<_, String>>()?;
        let rule = text("rule", &asked.rule)?;
        if rule.is_empty() && labels.is_empty() {
            return Err("`rule` or `labels` must be given: a silence of everything hides everything".to_owned());
        }
        let ends_at = now + Nanos::from_secs(seconds as i64);
        let by = text("by", &asked.by)?;
        let id = uuid_like(now, &rule, &labels);
        Ok(Silence { id, rule, labels, starts_at: now.0, ends_at: ends_at.0, reason, by, ..Silence::default() })
    }

    pub fn is_active(&self, at: Timestamp) -> bool {
        self.starts_at <= at.0 && at.0 < self.ends_at
    }

    pub fn covers(&self, rule: &Rule, group: &GroupKey) -> bool {
        let has =
            |name: &String, value: &String| group.iter().any(|(label, own)| label.name() == name && **own == **value);
        (self.rule.is_empty() || self.rule == rule.name) && self.labels.iter().all(|(name, value)| has(name, value))
    }

    /// The body that an Alertmanager (API v2) takes.
    pub fn forwarded_body(&self) -> Value {
        let matcher =
            |name: &str, value: &str| json!({ "name": name, "value": value, "isRegex": false, "isEqual": true });
        let mut matchers: Vec<Value> = Vec::new();
        if !self.rule.is_empty() {
            matchers.push(matcher("alertname", &self.rule));
        }
        matchers.extend(self.labels.iter().map(|(name, value)| matcher(name, value)));
        json!({
            "matchers": matchers,
            "startsAt": Timestamp(self.starts_at).to_rfc3339(),
            "endsAt": Timestamp(self.ends_at).to_rfc3339(),
            "createdBy": if self.by.is_empty() { "auscult" } else { &self.by },
            "comment": self.reason,
        })
    }

    /// Whether an Alertmanager does not have it yet.
    pub fn is_to_begin_at(&self, base: &str, now: Timestamp) -> bool {
        self.is_active(now) && !self.forwarded.contains_key(base) && !self.refused.contains_key(base)
    }

    /// The id at an Alertmanager that believes in it longer than it holds.
    pub fn is_to_end_at(&self, base: &str) -> Option<&str> {
        let forwarded = self.forwarded.get(base)?;
        (forwarded.ends_at > self.ends_at).then_some(forwarded.id.as_str())
    }

    pub fn json(&self, now: Timestamp) -> SilenceJson {
        SilenceJson {
            id: self.id.clone(),
            rule: self.rule.clone(),
            labels: self.labels.clone(),
            from: Timestamp(self.starts_at).to_rfc3339(),
            to: Timestamp(self.ends_at).to_rfc3339(),
            reason: self.reason.clone(),
            by: self.by.clone(),
            active: self.is_active(now),
            forwarded: self.forwarded.len() as u64,
            refused: self.refused.values().next().cloned(),
        }
    }
}

/// The first silence that keeps a group from being sent.
pub fn of<'a>(silences: &'a [Silence], rule: &Rule, group: &GroupKey, at: Timestamp) -> Option<&'a Silence> {
    silences.iter().find(|silence| silence.is_active(at) && silence.covers(rule, group))
}

/// Adds a silence, and forgets those that ended long ago.
///
/// # Errors
/// One line, when there are too many.
pub fn add(silences: &mut Vec<Silence>, silence: Silence, now: Timestamp) -> Result<(), String> {
    silences.retain(|old| old.ends_at + SHOWN.0 > now.0);
    if silences.len() >= MAX_SILENCES {
        // An ended silence is removed to make room.
        let ended = silences.iter().position(|old| !old.is_active(now));
        let Some(ended) = ended else { return Err(format!("there are {MAX_SILENCES} silences already: end some")) };
        silences.remove(ended);
    }
    silences.push(silence);
    Ok(())
}

/// An id that no other silence has: of its time and what it is of.
fn uuid_like(now: Timestamp, rule: &str, labels: &BTreeMap<String, String>) -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_i64(now.0);
    hasher.write(rule.as_bytes());
    hasher.write_usize(labels.len());
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(hours: f64, reason: &str) -> NewSilence {
        NewSilence {
            rule: "trunk_loss".to_owned(),
            labels: [("trunk".to_owned(), "carrier-a".to_owned())].into(),
            hours,
            reason: reason.to_owned(),
            by: String::new(),
        }
    }

    #[test]
    fn what_is_asked_for_is_checked_with_the_name_of_the_field() {
        let now = Timestamp::from_secs(1_790_000_000);
        let why = |asked: &NewSilence| Silence::new(asked, now).err().unwrap_or_default();
        for hours in [0.0, 0.001, 721.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(why(&asked(hours, "carrier works on it")).contains("`hours`"), "{hours}");
        }
        assert!(why(&asked(1.0, "  ")).contains("`reason`"));
        for text in ["a\nb", "\u{202e}gnp.exe", "a\u{200b}b", "\u{1b}[31m"] {
            assert!(why(&asked(1.0, text)).contains("`reason`"), "{text:?}");
        }
        assert_eq!(why(&asked(1.0, "Störung bei carrier-a, Ticket 4711 <https://x>")), "");
        assert!(why(&asked(1.0, &"x".repeat(501))).contains("`reason`"));
        let other = NewSilence { labels: [("caller".to_owned(), "x".to_owned())].into(), ..asked(1.0, "r") };
        assert!(why(&other).contains("`labels`"));
        let all = NewSilence { rule: String::new(), labels: BTreeMap::new(), ..asked(1.0, "r") };
        assert!(why(&all).contains("`rule`"));
        let silence = Silence::new(&asked(2.0, "carrier works on it"), now).unwrap();
        assert!(silence.is_active(now) && silence.is_active(now + Nanos::from_secs(7_199)));
        assert!(!silence.is_active(now + Nanos::from_secs(7_200)));
    }

    #[test]
    fn silences_are_bounded_and_ended_ones_make_room() {
        let now = Timestamp::from_secs(1_790_000_000);
        let mut all = Vec::new();
        for _ in 0..MAX_SILENCES {
            add(&mut all, Silence::new(&asked(1.0, "r"), now).unwrap(), now).unwrap();
        }
        assert!(add(&mut all, Silence::new(&asked(1.0, "r"), now).unwrap(), now).is_err());
        all[3].ends_at = now.0;
        add(&mut all, Silence::new(&asked(1.0, "r"), now).unwrap(), now).unwrap();
        assert_eq!(all.len(), MAX_SILENCES);
        add(&mut all, Silence::new(&asked(1.0, "r"), now).unwrap(), now + Nanos::from_secs(8 * 86_400)).unwrap();
        assert_eq!(all.len(), 1);
    }
}
