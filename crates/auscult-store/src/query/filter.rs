//! What a list is narrowed to: numbers, addresses, codecs, thresholds, as conditions with bound parameters.

use super::statement::{Conditions, Statement, Value};
use super::{Cost, QueryError, Window};
use auscult_core::model::{CallClass, CallState, CallUid, DiagnosisCode, RunningCall, TrunkDirection, mapped};
use auscult_core::privacy::{Privacy, bare};
use auscult_core::units::{Nanos, Timestamp};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A user part to look for, normalised: no separators, no `+` or `00` in front, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneNumber {
    bare: String,
    /// What it is stored as where numbers are hidden, or were: whole user parts, normalised.
    hidden: Vec<String>,
}

impl PhoneNumber {
    /// Shorter ones match whole user parts only: a two-digit suffix is in every hundredth number.
    const SHORTEST_SUFFIX: usize = 3;
    const LONGEST: usize = 128;

    pub fn parse(text: &str) -> Result<PhoneNumber, QueryError> {
        let bare = bare(text);
        if bare.is_empty() || bare.len() > Self::LONGEST {
            return Err(QueryError::BadRequest(format!(
                "`number` needs 1 to {} characters besides separators",
                Self::LONGEST
            )));
        }
        Ok(PhoneNumber { bare, hidden: Vec::new() })
    }

    /// The number as it is compared: without separators and without what stands before an international number.
    pub fn as_str(&self) -> &str {
        &self.bare
    }

    /// As the columns `caller_reversed` and `callee_reversed` have it.
    pub(crate) fn reversed(&self) -> String {
        self.bare.chars().rev().collect()
    }

    /// Whether a user part is this number.
    pub fn is_exactly(&self, user: &str) -> bool {
        bare(user) == self.bare
    }

    /// Whether a user part is this number, or ends with it.
    fn is_of(&self, user: &str) -> bool {
        let user = bare(user);
        let ends = self.bare.len() >= Self::SHORTEST_SUFFIX && user.ends_with(&self.bare);
        user == self.bare || ends || self.hidden.contains(&user)
    }

    fn narrow(&self, conditions: &mut Conditions) {
        let reversed = |text: &String| text.chars().rev().collect::<String>();
        let number = ("number", Value::Text(reversed(&self.bare)));
        let hidden = ("hidden", Value::Texts(self.hidden.iter().map(reversed).collect()));
        match (self.bare.len() < Self::SHORTEST_SUFFIX, self.hidden.is_empty()) {
            (true, true) => conditions.and(CALLER_OR_CALLEE_IS, [number]),
            (false, true) => conditions.and(CALLER_OR_CALLEE_ENDS_WITH, [number]),
            (true, false) => conditions.and(CALLER_OR_CALLEE_IS_OR_IS_HIDDEN, [number, hidden]),
            (false, false) => conditions.and(CALLER_OR_CALLEE_ENDS_WITH_OR_IS_HIDDEN, [number, hidden]),
        }
    }
}

/// The columns `caller_reversed` and `callee_reversed` hold user parts as [`auscult_core::privacy::bare`] makes them, from their end, and the projections of
/// `calls` have them in order: an end is looked for as a beginning, and only rows that have it are read.
macro_rules! calls_with_number {
    ($before:literal, $after:literal $(, $also:literal)?) => {
        concat!(
            "(first_at, call_uid) GLOBAL IN (SELECT first_at, call_uid FROM calls WHERE ",
            $before,
            "caller_reversed",
            $after,
            " UNION ALL SELECT first_at, call_uid FROM calls WHERE ",
            $before,
            "callee_reversed",
            $after,
            $(
                " UNION ALL SELECT first_at, call_uid FROM calls WHERE caller_reversed",
                $also,
                " UNION ALL SELECT first_at, call_uid FROM calls WHERE callee_reversed",
                $also,
            )?
            ")"
        )
    };
}

const CALLER_OR_CALLEE_IS: &str = calls_with_number!("", " = {number:String}");
const CALLER_OR_CALLEE_ENDS_WITH: &str = calls_with_number!("startsWith(", ", {number:String})");
const CALLER_OR_CALLEE_IS_OR_IS_HIDDEN: &str =
    calls_with_number!("", " = {number:String}", " IN {hidden:Array(String)}");
const CALLER_OR_CALLEE_ENDS_WITH_OR_IS_HIDDEN: &str =
    calls_with_number!("startsWith(", ", {number:String})", " IN {hidden:Array(String)}");

/// Addresses from `low` to `high` (IPv4 mapped into IPv6 as the tables have it), and a port if one was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    low: Ipv6Addr,
    high: Ipv6Addr,
    port: Option<u16>,
}

impl AddressRange {
    /// `192.0.2.1`, `192.0.2.1:5060`, `192.0.2.0/24`, `2001:db8::1`, `[2001:db8::1]:5060`, `2001:db8::/32`.
    pub fn parse(text: &str) -> Result<AddressRange, QueryError> {
        let text = text.trim();
        let one = |ip: IpAddr, port| AddressRange { low: mapped(ip), high: mapped(ip), port };
        let parsed = if let Ok(at) = text.parse::<SocketAddr>() {
            Some(one(at.ip(), Some(at.port())))
        } else if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Some(one(ip, None))
        } else {
            Self::parse_network(text)
        };
        parsed.ok_or_else(|| {
            QueryError::BadRequest("`address` is not an address, address:port or network (192.0.2.0/24)".to_owned())
        })
    }

    fn parse_network(text: &str) -> Option<AddressRange> {
        let (ip, prefix) = text.split_once('/')?;
        let ip: IpAddr = ip.parse().ok()?;
        let prefix: u32 = prefix.parse().ok()?;
        let (bits, prefix) = match ip {
            IpAddr::V4(_) if prefix <= 32 => (mapped(ip), prefix + 96),
            IpAddr::V6(v6) if prefix <= 128 => (v6, prefix),
            _ => return None,
        };
        let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
        let bits = u128::from(bits);
        Some(AddressRange { low: Ipv6Addr::from(bits & !hosts), high: Ipv6Addr::from(bits | hosts), port: None })
    }

    fn contains(&self, address: SocketAddr) -> bool {
        (self.low..=self.high).contains(&mapped(address.ip())) && self.port.is_none_or(|port| port == address.port())
    }

    fn values(&self) -> [(&'static str, Value); 2] {
        [("ip_low", Value::Text(self.low.to_string())), ("ip_high", Value::Text(self.high.to_string()))]
    }

    fn port_value(&self, port: u16) -> [(&'static str, Value); 3] {
        let [low, high] = self.values();
        [low, high, ("port", Value::Uint(u64::from(port)))]
    }
}

macro_rules! in_range {
    ($column:literal) => {
        concat!($column, " BETWEEN toIPv6({ip_low:String}) AND toIPv6({ip_high:String})")
    };
}

macro_rules! at_port {
    ($ip:literal, $port:literal) => {
        concat!("(", in_range!($ip), " AND ", $port, " = {port:UInt16})")
    };
}

const MEDIA_IP: &str = concat!(in_range!("src_ip"), " OR ", in_range!("dst_ip"));
const MEDIA_IP_PORT: &str = concat!(at_port!("src_ip", "src_port"), " OR ", at_port!("dst_ip", "dst_port"));

/// GLOBAL: on a cluster the inner table is distributed too; on one node the word changes nothing.
macro_rules! media_in_window {
    ($($what:tt)*) => {
        concat!(
            "call_uid GLOBAL IN (SELECT call_uid FROM streams WHERE call_uid != 0 ",
            "AND first_at BETWEEN fromUnixTimestamp64Nano({from:Int64}) - INTERVAL 1 HOUR ",
            "AND fromUnixTimestamp64Nano({to:Int64}) + INTERVAL 6 HOUR AND (",
            $($what)*,
            "))"
        )
    };
}

/// A call by one of its signalling or media addresses.
const CALL_IP: &str = concat!(
    in_range!("signalling_src_ip"),
    " OR ",
    in_range!("signalling_dst_ip"),
    " OR ",
    media_in_window!(concat!(in_range!("src_ip"), " OR ", in_range!("dst_ip")))
);
const CALL_IP_PORT: &str = concat!(
    at_port!("signalling_src_ip", "signalling_src_port"),
    " OR ",
    at_port!("signalling_dst_ip", "signalling_dst_port"),
    " OR ",
    media_in_window!(concat!(at_port!("src_ip", "src_port"), " OR ", at_port!("dst_ip", "dst_port")))
);
const CALL_CODEC: &str = media_in_window!("lower(codec) = lower({codec:String})");

/// What a list of calls is narrowed to; everything given must hold. Of a list one of its values must, and an empty one narrows
/// nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallFilter {
    pub number: Option<PhoneNumber>,
    pub call_id: Option<String>,
    /// What the Call-ID is stored as where Call-IDs are hashed, or were.
    pub hashed_call_ids: Vec<String>,
    pub address: Option<AddressRange>,
    pub codec: Option<String>,
    pub states: Vec<CallState>,
    pub classes: Vec<CallClass>,
    /// SIP status codes of the final response; 0 is none.
    pub final_codes: Vec<u16>,
    pub mos_below: Option<f64>,
    /// Milliseconds.
    pub pdv_p95_above: Option<f64>,
    /// Percent.
    pub loss_above: Option<f64>,
    /// The call has one of these among its diagnoses.
    pub diagnoses: Vec<DiagnosisCode>,
    pub trunk: Option<String>,
    /// Of the first INVITE, seen from its trunk.
    pub trunk_direction: Option<TrunkDirection>,
    pub site: Option<String>,
    /// The last message or packet came then or later.
    pub seen_from: Option<Timestamp>,
}

impl CallFilter {
    /// Finds numbers and Call-IDs in what is stored by this privacy, too.
    #[must_use]
    pub fn searching(mut self, privacy: &Privacy) -> CallFilter {
        if let Some(number) = &mut self.number {
            number.hidden = privacy.stored_forms(&number.bare);
        }
        if let Some(call_id) = &self.call_id {
            self.hashed_call_ids = privacy.stored_call_ids(call_id);
        }
        self
    }

    /// Longest window of a list narrowed to this: as long as calls are kept where both ends are given (`whole`), and for what an
    /// index finds.
    pub fn longest(&self, whole: bool) -> Nanos {
        match whole || self.number.is_some() || self.call_id.is_some() {
            true => Window::MAX,
            false => Window::MAX_DETAIL,
        }
    }

    /// What a list narrowed to this costs: numbers are compared as text, addresses and codecs are looked up in the streams.
    pub fn cost(&self) -> Cost {
        let searches = self.number.is_some() || self.address.is_some() || self.codec.is_some();
        if searches { Cost::Scan } else { Cost::Lookup }
    }

    /// Whether a call that is up is narrowed to: the same as the conditions in SQL.
    pub(super) fn matches_running(&self, call: &RunningCall, site: &str) -> bool {
        let record = &call.record;
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        let below = |limit: Option<f64>, mos: Option<f32>| limit.is_none_or(|l| mos.is_some_and(|m| f64::from(m) < l));
        let above =
            |limit: Option<f64>, value: Option<f32>| limit.is_none_or(|l| value.is_some_and(|v| f64::from(v) > l));
        let users = [&record.caller.user, &record.callee.user];
        let signalling = [record.signalling_src, record.signalling_dst].into_iter().flatten();
        let mut addresses = signalling.chain(call.streams.iter().flat_map(|stream| [stream.src, stream.dst]));
        let mut codecs = call.streams.iter().map(|stream| &stream.codec);
        self.number.as_ref().is_none_or(|number| users.into_iter().any(|user| number.is_of(user)))
            && (is(&self.call_id, &record.call_id)
                || self.hashed_call_ids.iter().any(|hashed| **hashed == *record.call_id))
            && self.address.is_none_or(|range| addresses.any(|address| range.contains(address)))
            && self.codec.as_ref().is_none_or(|wanted| codecs.any(|codec| codec.eq_ignore_ascii_case(wanted)))
            && one_of(&self.states, &record.state)
            && one_of(&self.classes, &record.class())
            && one_of(&self.final_codes, &record.final_code)
            && below(self.mos_below, record.mos_worst)
            && above(self.pdv_p95_above, record.pdv_p95_worst.map(|pdv| pdv.as_millis_f64() as f32))
            && above(self.loss_above, record.loss_pct_worst)
            && (self.diagnoses.is_empty() || record.diagnoses.iter().any(|d| self.diagnoses.contains(&d.code)))
            && is(&self.trunk, &call.trunk)
            // The direction is written when a call has ended.
            && self.trunk_direction.is_none()
            && is(&self.site, site)
            && self.seen_from.is_none_or(|from| record.last_at >= from)
    }

    /// Whether counts of calls can be narrowed so.
    pub(super) fn is_of_counts(&self) -> bool {
        let CallFilter { number, call_id, address, codec, mos_below, pdv_p95_above, loss_above, diagnoses, .. } = self;
        self.seen_from.is_none()
            && number.is_none()
            && call_id.is_none()
            && address.is_none()
            && codec.is_none()
            && [mos_below, pdv_p95_above, loss_above].iter().all(|limit| limit.is_none())
            && diagnoses.is_empty()
    }

    pub(super) fn conditions(&self, window: Window) -> Conditions {
        self.add_to(within(window))
    }

    /// The conditions besides the window.
    pub(super) fn narrow(&self) -> Conditions {
        self.add_to(Conditions::default())
    }

    fn add_to(&self, mut all: Conditions) -> Conditions {
        if let Some(number) = &self.number {
            number.narrow(&mut all);
        }
        match (&self.call_id, self.hashed_call_ids.as_slice()) {
            (Some(call_id), hashed @ [_, ..]) => {
                let ids = hashed.iter().chain([call_id]).cloned().collect();
                all.and("call_id IN {call_ids:Array(String)}", [("call_ids", Value::Texts(ids))]);
            }
            (call_id, _) => text(&mut all, "call_id = {call_id:String}", "call_id", call_id),
        }
        match &self.address {
            Some(range @ AddressRange { port: Some(port), .. }) => all.and(CALL_IP_PORT, range.port_value(*port)),
            Some(range) => all.and(CALL_IP, range.values()),
            None => {}
        }
        text(&mut all, CALL_CODEC, "codec", &self.codec);
        names(&mut all, "state IN {states:Array(String)}", "states", &self.states, CallState::name);
        names(&mut all, "class IN {classes:Array(String)}", "classes", &self.classes, CallClass::name);
        if !self.final_codes.is_empty() {
            let codes = self.final_codes.iter().map(|code| u64::from(*code)).collect();
            all.and("final_code IN {final_codes:Array(UInt64)}", [("final_codes", Value::Ids(codes))]);
        }
        number(&mut all, "mos_worst < {mos_below:Float64}", "mos_below", self.mos_below);
        number(&mut all, "pdv_p95_worst_ms > {pdv_above:Float64}", "pdv_above", self.pdv_p95_above);
        number(&mut all, "loss_pct_worst > {loss_above:Float64}", "loss_above", self.loss_above);
        let clause = "hasAny(tupleElement(diagnoses, 1), {diagnoses:Array(String)})";
        names(&mut all, clause, "diagnoses", &self.diagnoses, DiagnosisCode::name);
        text(&mut all, "trunk = {trunk:String}", "trunk", &self.trunk);
        let direction = self.trunk_direction.map(|direction| direction.name().to_owned());
        text(&mut all, "trunk_direction = {trunk_direction:String}", "trunk_direction", &direction);
        text(&mut all, "site = {site:String}", "site", &self.site);
        if let Some(from) = self.seen_from {
            all.and("last_at >= fromUnixTimestamp64Nano({seen_from:Int64})", [("seen_from", Value::Int(from.0))]);
        }
        all
    }
}

/// What a list of streams, or the statistics over their intervals, is narrowed to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamFilter {
    pub address: Option<AddressRange>,
    pub ssrc: Option<u32>,
    pub codec: Option<String>,
    pub call_uid: Option<CallUid>,
    pub trunk: Option<String>,
    /// Seen from its trunk; of statistics only.
    pub trunk_direction: Option<TrunkDirection>,
    pub site: Option<String>,
}

impl StreamFilter {
    /// Whether sums over many streams can be narrowed so.
    pub(super) fn is_of_sums(&self) -> bool {
        self.address.is_none() && self.ssrc.is_none() && self.call_uid.is_none()
    }

    /// Adds the conditions over sums, whose values [`Self::sum_values`] adds once.
    pub(super) fn sum_conditions(&self, mut statement: Statement) -> Statement {
        let clauses = [
            (self.codec.is_some(), " AND lower(codec) = lower({codec:String})"),
            (self.trunk.is_some(), " AND trunk = {trunk:String}"),
            (self.trunk_direction.is_some(), " AND trunk_direction = {trunk_direction:String}"),
            (self.site.is_some(), " AND site = {site:String}"),
        ];
        for (_, clause) in clauses.iter().filter(|(narrows, _)| *narrows) {
            statement = statement.text(clause);
        }
        statement
    }

    pub(super) fn sum_values(&self, mut statement: Statement) -> Statement {
        for (name, text) in [("codec", &self.codec), ("trunk", &self.trunk), ("site", &self.site)] {
            if let Some(text) = text {
                statement = statement.value(name, Value::Text(text.clone()));
            }
        }
        if let Some(direction) = self.trunk_direction {
            statement = statement.value("trunk_direction", Value::Text(direction.name().to_owned()));
        }
        statement
    }

    /// What a list narrowed to this costs.
    pub fn cost(&self) -> Cost {
        let searches = self.address.is_some() || self.codec.is_some();
        if searches && self.call_uid.is_none() { Cost::Scan } else { Cost::Lookup }
    }

    /// Conditions over `streams`.
    pub(super) fn conditions(&self, window: Window) -> Conditions {
        self.narrow(within(window))
    }

    /// Conditions over `stream_intervals`: the intervals that start inside the window.
    pub(super) fn interval_conditions(&self, window: Window) -> Conditions {
        let mut all = Conditions::default();
        // Whole seconds in the range of the column: an interval that starts in the second the window starts in belongs to it.
        let seconds = |at: Timestamp| Value::Int(at.0.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX)));
        all.and("start_at >= toDateTime({from_s:Int64}, 'UTC')", [("from_s", seconds(window.from))]);
        all.and("start_at <= toDateTime({to_s:Int64}, 'UTC')", [("to_s", seconds(window.to))]);
        if let Some(direction) = self.trunk_direction {
            let value = [("trunk_direction", Value::Text(direction.name().to_owned()))];
            all.and("trunk_direction = {trunk_direction:String}", value);
        }
        self.narrow(all)
    }

    fn narrow(&self, mut all: Conditions) -> Conditions {
        match &self.address {
            Some(range @ AddressRange { port: Some(port), .. }) => all.and(MEDIA_IP_PORT, range.port_value(*port)),
            Some(range) => all.and(MEDIA_IP, range.values()),
            None => {}
        }
        if let Some(ssrc) = self.ssrc {
            all.and("ssrc = {ssrc:UInt32}", [("ssrc", Value::Uint(u64::from(ssrc)))]);
        }
        text(&mut all, "lower(codec) = lower({codec:String})", "codec", &self.codec);
        if let Some(uid) = self.call_uid {
            all.and("call_uid = {call_uid:UInt64}", [("call_uid", Value::Uint(uid.0))]);
        }
        text(&mut all, "trunk = {trunk:String}", "trunk", &self.trunk);
        text(&mut all, "site = {site:String}", "site", &self.site);
        all
    }
}

/// `first_at` inside the window; the parameters `from` and `to` are there for further conditions.
fn within(window: Window) -> Conditions {
    let mut all = Conditions::default();
    all.and("first_at >= fromUnixTimestamp64Nano({from:Int64})", [("from", Value::Int(window.from.0))]);
    all.and("first_at <= fromUnixTimestamp64Nano({to:Int64})", [("to", Value::Int(window.to.0))]);
    all
}

fn text(all: &mut Conditions, clause: &'static str, name: &'static str, value: &Option<String>) {
    if let Some(value) = value {
        all.and(clause, [(name, Value::Text(value.clone()))]);
    }
}

fn names<T: Copy>(
    all: &mut Conditions,
    clause: &'static str,
    name: &'static str,
    values: &[T],
    of: fn(T) -> &'static str,
) {
    if !values.is_empty() {
        all.and(clause, [(name, Value::Names(values.iter().copied().map(of).collect()))]);
    }
}

/// Whether the list is empty or has the value.
fn one_of<T: PartialEq>(list: &[T], value: &T) -> bool {
    list.is_empty() || list.contains(value)
}

fn number(all: &mut Conditions, clause: &'static str, name: &'static str, value: Option<f64>) {
    if let Some(value) = value {
        all.and(clause, [(name, Value::Float(value))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_what_people_write_around_them() {
        for (written, bare) in [
            ("+49 (30) 123-456", "4930123456"),
            ("0049 30 123456", "4930123456"),
            ("030/123.456", "030123456"),
            ("Alice", "alice"),
            ("*21#", "*21#"),
            ("0", "0"),
        ] {
            assert_eq!(
                PhoneNumber::parse(written).ok(),
                Some(PhoneNumber { bare: bare.to_owned(), hidden: Vec::new() }),
                "{written}"
            );
        }
        assert!(PhoneNumber::parse(" - ").is_err());
        assert!(PhoneNumber::parse(&"1".repeat(200)).is_err());
    }

    #[test]
    fn addresses_and_networks() {
        let parse =
            |text: &str| AddressRange::parse(text).map(|r| (r.low.to_string(), r.high.to_string(), r.port)).ok();
        let range = |low: &str, high: &str, port| Some((low.to_owned(), high.to_owned(), port));
        assert_eq!(parse("192.0.2.7"), range("::ffff:192.0.2.7", "::ffff:192.0.2.7", None));
        assert_eq!(parse("192.0.2.7:5060"), range("::ffff:192.0.2.7", "::ffff:192.0.2.7", Some(5060)));
        assert_eq!(parse("192.0.2.7/24"), range("::ffff:192.0.2.0", "::ffff:192.0.2.255", None));
        assert_eq!(parse("0.0.0.0/0"), range("::ffff:0.0.0.0", "::ffff:255.255.255.255", None));
        assert_eq!(parse("[2001:db8::1]:9"), range("2001:db8::1", "2001:db8::1", Some(9)));
        assert_eq!(parse("2001:db8::1"), range("2001:db8::1", "2001:db8::1", None));
        assert_eq!(parse("2001:db8::/127"), range("2001:db8::", "2001:db8::1", None));
        assert_eq!(parse("::1/128"), range("::1", "::1", None));
        for bad in ["", "x", "1.2.3.4/33", "1.2.3", "1.2.3.4'; DROP TABLE calls", "::/129"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_caller_sends_stays_out_of_the_statement() {
        let hostile = "x'; DROP TABLE calls; --{from:String}";
        let filter = CallFilter {
            number: PhoneNumber::parse(hostile).ok(),
            call_id: Some(hostile.to_owned()),
            codec: Some(hostile.to_owned()),
            trunk: Some(hostile.to_owned()),
            site: Some(hostile.to_owned()),
            ..CallFilter::default()
        };
        let conditions = filter.conditions(Window { from: Timestamp(0), to: Timestamp(1) });
        assert_eq!(conditions.clauses().len(), 7);
        assert!(conditions.clauses().iter().all(|clause| !clause.to_lowercase().contains("drop")));
    }
}
