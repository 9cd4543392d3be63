//! `[retention]`: how long rows are kept, and which calls are emergency calls.

use super::config::within;
use anyhow::{anyhow, bail};
use auscult_core::model::{CallRecord, CallUid, Event, SipMessageRecord};
use auscult_core::privacy::{Mode, Privacy};
use auscult_store::query::PhoneNumber;
use auscult_store::retention::{Family, LONGEST_DAYS, Period, Retention};
use auscult_store::{CallKind, Record};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet, VecDeque};

/// As written: days. A key that is not set leaves what the store has.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRetention {
    calls: Option<u32>,
    streams: Option<u32>,
    stream_intervals: Option<u32>,
    sip_messages: Option<u32>,
    rtcp_reports: Option<u32>,
    capture_intervals: Option<u32>,
    groups: Option<u32>,
    hours: Option<u32>,
    alerts: Option<u32>,
    emergency_numbers: Vec<String>,
    emergency: RawEmergency,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawEmergency {
    calls: Option<u32>,
    streams: Option<u32>,
    stream_intervals: Option<u32>,
    sip_messages: Option<u32>,
    rtcp_reports: Option<u32>,
}

/// Most emergency numbers: each call is compared with all of them.
const NUMBERS_MAX: usize = 64;

/// The section as checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionConfig {
    pub periods: Retention,
    pub emergency_numbers: Vec<PhoneNumber>,
}

impl RetentionConfig {
    /// A masked number is not known for an emergency number.
    pub fn warn_of_masks(&self, privacy: &Privacy, warnings: &mut Vec<String>) {
        let is_masked = |number: &&PhoneNumber| {
            privacy.mode() == Mode::Masked
                && !PhoneNumber::parse(&privacy.user(number.as_str())).is_ok_and(|n| n == **number)
        };
        if let Some(number) = self.emergency_numbers.iter().find(is_masked) {
            warnings.push(format!(
                "retention.emergency_numbers has {}, which is masked in rows: its calls are kept as others are; add it to \
                 privacy.emergency_numbers, or use pseudonyms",
                number.as_str()
            ));
        }
    }
}

/// Checks the section.
///
/// # Errors
/// A period or a number that is none; the error names the key.
pub(super) fn check(raw: &RawRetention, warnings: &mut Vec<String>) -> anyhow::Result<RetentionConfig> {
    let mut periods = BTreeMap::new();
    for family in Family::ALL {
        let (days, emergency) = raw.days(family);
        let name = family.name();
        let usual = family.default_days();
        let checked = |key: &str, days: Option<u32>| days.map(|d| within(key, d, 1, LONGEST_DAYS)).transpose();
        let days = checked(&format!("retention.{name}"), days)?;
        let emergency_days = checked(&format!("retention.emergency.{name}"), emergency)?;
        if days.is_none() && emergency_days.is_none() {
            continue;
        }
        let Some(days) = days else {
            bail!(
                "retention.emergency.{name} needs retention.{name} (by default {usual}): other rows would be kept as the store has it, which is \
                 not known here"
            );
        };
        periods.insert(family, Period { days, emergency_days: emergency_days.unwrap_or(days) });
    }
    let of = |family| periods.get(&family).copied().unwrap_or(Period::same(Family::default_days(family)));
    for family in [Family::Streams, Family::StreamIntervals, Family::SipMessages, Family::RtcpReports] {
        if of(family).days > of(Family::Calls).days {
            warnings.push(format!(
                "retention.{} is longer than retention.calls: its rows stay when their call is gone",
                family.name()
            ));
        }
    }
    if raw.emergency_numbers.len() > NUMBERS_MAX {
        bail!("retention.emergency_numbers has {} numbers: it may have {NUMBERS_MAX}", raw.emergency_numbers.len());
    }
    let number = |text: &String| {
        PhoneNumber::parse(text).map_err(|_| anyhow!("retention.emergency_numbers: {text:?} is no number"))
    };
    let emergency_numbers = raw.emergency_numbers.iter().map(number).collect::<anyhow::Result<_>>()?;
    Ok(RetentionConfig { periods: Retention(periods), emergency_numbers })
}

impl RawRetention {
    /// Days of a family, and of its rows of emergency calls.
    fn days(&self, family: Family) -> (Option<u32>, Option<u32>) {
        let emergency = &self.emergency;
        match family {
            Family::Calls => (self.calls, emergency.calls),
            Family::Streams => (self.streams, emergency.streams),
            Family::StreamIntervals => (self.stream_intervals, emergency.stream_intervals),
            Family::SipMessages => (self.sip_messages, emergency.sip_messages),
            Family::RtcpReports => (self.rtcp_reports, emergency.rtcp_reports),
            Family::CaptureIntervals => (self.capture_intervals, None),
            Family::Groups => (self.groups, None),
            Family::Hours => (self.hours, None),
            Family::Alerts => (self.alerts, None),
        }
    }
}

/// Emergency calls remembered at most. Older ones are forgotten first; what comes of them later counts as of an ordinary call.
const REMEMBERED: usize = 65_536;

/// Knows which records belong to emergency calls: those to `urn:service:sos` (RFC 5031) and to configured numbers.
#[derive(Debug, Default)]
pub struct EmergencyCalls {
    configured: Vec<PhoneNumber>,
    /// The same, and their pseudonyms by each key.
    numbers: Vec<PhoneNumber>,
    calls: HashSet<CallUid>,
    oldest: VecDeque<CallUid>,
}

impl EmergencyCalls {
    /// `privacy` is how events have numbers.
    pub fn new(numbers: Vec<PhoneNumber>, privacy: &Privacy) -> EmergencyCalls {
        let mut calls = EmergencyCalls { configured: numbers, ..EmergencyCalls::default() };
        calls.set_privacy(privacy);
        calls
    }

    /// From now on events have numbers by this privacy, and by the one before of calls that are up.
    pub fn set_privacy(&mut self, privacy: &Privacy) {
        let hidden = self.configured.iter().flat_map(|number| privacy.pseudonyms(number.as_str()));
        let hidden = hidden.filter_map(|form| PhoneNumber::parse(&form).ok());
        self.numbers = self.configured.iter().cloned().chain(hidden).collect();
    }

    /// Looks at an event before its record is stored.
    pub fn see(&mut self, event: &Event) {
        let found = match event {
            Event::CallChanged(call) | Event::CallEnded(call) => self.is_callee(call).then_some(call.uid),
            // Messages come before the change that they make.
            Event::SipMessage(message) => self.is_addressed(message).then_some(message.call_uid),
            _ => None,
        };
        if let Some(uid) = found
            && self.calls.insert(uid)
        {
            self.oldest.push_back(uid);
            if self.oldest.len() > REMEMBERED
                && let Some(forgotten) = self.oldest.pop_front()
            {
                self.calls.remove(&forgotten);
            }
        }
    }

    pub fn kind(&self, record: &Record) -> CallKind {
        match self.calls.is_empty() {
            false if record.call_uid().is_some_and(|uid| self.calls.contains(&uid)) => CallKind::Emergency,
            _ => CallKind::Ordinary,
        }
    }

    fn is_callee(&self, call: &CallRecord) -> bool {
        is_service(&call.callee.uri) || is_service(&call.callee.user) || self.is_number(&call.callee.user)
    }

    fn is_number(&self, user: &str) -> bool {
        !user.is_empty() && self.numbers.iter().any(|number| number.is_exactly(user))
    }

    /// Whether the first line or To of an INVITE names an emergency service.
    fn is_addressed(&self, message: &SipMessageRecord) -> bool {
        if message.method != "INVITE" || message.status != 0 {
            return false;
        }
        let mut lines = message.headers.lines();
        let first = lines.next().and_then(|line| line.split(' ').nth(1));
        let to = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_to = name.trim().eq_ignore_ascii_case("to") || name.trim().eq_ignore_ascii_case("t");
            is_to.then(|| value.rsplit_once('<').map_or(value, |(_, uri)| uri))
        });
        first.into_iter().chain(to).map(str::trim).any(|uri| is_service(uri) || self.is_number(user_of(uri)))
    }
}

/// `urn:service:sos` and what is under it; stored addresses have no scheme.
fn is_service(uri: &str) -> bool {
    let uri = uri.trim_start_matches("urn:");
    let head = uri.get(.."service:sos".len());
    let rest = uri.get("service:sos".len()..).and_then(|rest| rest.chars().next());
    head.is_some_and(|head| head.eq_ignore_ascii_case("service:sos")) && rest.is_none_or(|c| !c.is_alphanumeric())
}

/// The user part of a SIP URI, or the number of a `tel` URI.
fn user_of(uri: &str) -> &str {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    let has_user = rest.contains('@') || scheme.eq_ignore_ascii_case("tel");
    if has_user { rest.split(['@', ';', '>', ':']).next().unwrap_or_default() } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_core::model::Party;

    fn checked(text: &str) -> Result<RetentionConfig, String> {
        let raw = toml::from_str(text).map_err(|e| e.to_string())?;
        check(&raw, &mut Vec::new()).map_err(|e| e.to_string())
    }

    #[test]
    fn periods_are_days_and_emergency_rows_follow_the_others_unless_set_apart() {
        let read = checked("calls = 30\nsip_messages = 7\n[emergency]\ncalls = 365\nsip_messages = 30\n").unwrap();
        let expected = BTreeMap::from([
            (Family::Calls, Period { days: 30, emergency_days: 365 }),
            (Family::SipMessages, Period { days: 7, emergency_days: 30 }),
        ]);
        assert_eq!(read.periods, Retention(expected));
        assert_eq!(checked("").unwrap(), RetentionConfig::default());
        for (text, named) in [
            ("calls = 0", "retention.calls = 0"),
            ("[emergency]\nstreams = 4000", "retention.emergency.streams = 4000"),
            ("emergency_numbers = ['-']", "retention.emergency_numbers"),
            ("[emergency]\nhours = 3", "hours"),
            ("[emergency]\ncalls = 30", "retention.emergency.calls needs retention.calls"),
        ] {
            assert!(checked(text).unwrap_err().contains(named), "{text}");
        }
    }

    #[test]
    fn emergency_services_are_known_by_urn_and_by_whole_number() {
        for (uri, is) in [
            ("urn:service:sos", true),
            ("urn:SERVICE:sos.police", true),
            ("service:sos.police", true),
            ("urn:service:sosx", false),
            ("sos", false),
        ] {
            assert_eq!(is_service(uri), is, "{uri}");
        }
        let calls = EmergencyCalls::new(vec![PhoneNumber::parse("112").unwrap()], &Privacy::clear());
        assert!(
            calls.is_number("112") && calls.is_number("+112") && !calls.is_number("4930112") && !calls.is_number("")
        );
        assert_eq!(["sip:112@a;x", "tel:112;y", "<sip:a", "sip:host"].map(user_of), ["112", "112", "", ""]);
    }

    #[test]
    fn rows_of_an_emergency_call_are_marked_from_its_first_message_on() {
        let mut calls = EmergencyCalls::new(vec![PhoneNumber::parse("112").unwrap()], &Privacy::clear());
        let call = |uid, user: &str| {
            let callee = Party { user: user.to_owned(), ..Party::default() };
            Box::new(CallRecord { uid: CallUid(uid), callee, ..CallRecord::default() })
        };
        for event in [Event::CallChanged(call(1, "112")), Event::CallChanged(call(2, "113"))] {
            calls.see(&event);
        }
        let kinds = [1, 2].map(|uid| calls.kind(&Record::Call(call(uid, ""))));
        assert_eq!(kinds, [CallKind::Emergency, CallKind::Ordinary]);
        for uid in 10..10 + REMEMBERED as u64 {
            calls.see(&Event::CallChanged(call(uid, "112")));
        }
        assert_eq!(calls.kind(&Record::Call(call(1, ""))), CallKind::Ordinary, "the oldest is forgotten");
        assert_eq!(calls.calls.len(), REMEMBERED);
    }
}
