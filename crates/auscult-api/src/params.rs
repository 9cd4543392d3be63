//! Query strings: typed, bounded, with errors that name the parameter.

use super::ApiError;
use auscult_core::model::{CallClass, CallState, CallUid, DiagnosisCode, TrunkDirection};
use auscult_core::units::Timestamp;
use auscult_core::units::text::clean;
use auscult_store::query::{
    AddressRange, CallFilter, Figure, MAX_GROUPINGS, MAX_ROWS, OutcomeFilter, PhoneNumber, StreamFilter,
};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

/// A query string read into `T`; unknown and repeated parameters are refused, so a typing error never widens a search.
pub(super) struct Params<T>(pub T);

/// Longest text of a parameter, in bytes.
const MAX_TEXT: usize = 512;
/// Most values of one parameter.
const MAX_LIST: usize = 64;

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Params(params)),
            Err(rejection) => {
                let text = rejection.body_text();
                let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(ApiError::bad_request(clean(&why.chars().take(200).collect::<String>(), usize::MAX)))
            }
        }
    }
}

/// Parameters of `/calls/{id}`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct CallParams {
    /// RFC 3339: `first_at` of the call, as lists have it. The call is looked for at this time first, which is faster.
    pub first_at: Option<String>,
}

/// Parameters of `/calls`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct CallsParams {
    /// RFC 3339. Without `from` and `to`: all that is stored when it spans at most 31 days (92 with `number` or `call_id`), else its last
    /// days.
    pub from: Option<String>,
    /// RFC 3339, at most 92 days after `from`.
    pub to: Option<String>,
    /// User part of caller or callee: the whole of it or its end. Separators, `+` and `00` in front do not matter. Where numbers are
    /// masked or pseudonyms, the whole of it, or what is stored.
    pub number: Option<String>,
    /// Exact Call-ID, as it was sent; where Call-IDs are hashed, also the hash.
    pub call_id: Option<String>,
    /// Signalling or media address: `192.0.2.1`, `192.0.2.1:5060` or `192.0.2.0/24`.
    pub address: Option<String>,
    /// Encoding name of one of its streams, such as `PCMU`.
    pub codec: Option<String>,
    /// One or several of `trying`, `proceeding`, `established`, `completed`, `cancelled`, `failed`, `setup_timeout`, `unfinished`,
    /// `mid_call`, separated by commas; or `active` alone: calls that are up.
    pub state: Option<String>,
    /// One or several of `good`, `fair`, `poor`, `failed`, `not_answered`, `unrated`, separated by commas.
    pub class: Option<String>,
    /// One or several SIP status codes of the final response (200 to 699), separated by commas; 0 is a call without one.
    #[param(example = "486,603")]
    pub final_code: Option<String>,
    /// Worst listening MOS below this.
    #[param(value_type = Option<f64>)]
    pub mos_below: Option<String>,
    /// Worst p95 of delay variation above this, milliseconds.
    #[param(value_type = Option<f64>)]
    pub pdv_p95_above: Option<String>,
    /// Worst loss above this, percent.
    #[param(value_type = Option<f64>)]
    pub loss_above: Option<String>,
    /// One or several diagnosis codes, such as `one_way_media,no_media`, separated by commas: calls that have one of them.
    pub diagnosis: Option<String>,
    pub trunk: Option<String>,
    /// Calls that come `from` their trunk, or go `toward` it.
    pub trunk_direction: Option<String>,
    pub site: Option<String>,
    /// RFC 3339: calls of which a message or packet came then or later.
    pub seen_from: Option<String>,
    /// `worst` (default), `newest`, `oldest`, `longest`, `mos` (lowest first), `delay_variation` or `loss` (largest first; calls without
    /// the figure come last); of equal calls the later one comes first. `worst` is by badness, 0 to 1000, the larger of two figures:
    /// 1 + 999 (clean - MOS) / (clean - 1) with clean 4.41 on the narrowband scale and 4.5 on the others, 0 without MOS;
    /// and the worst diagnosis: no_media 1000, one_way_media 950, no_response 900, media_interrupted and media_not_seen 800, others 100,
    /// or for a failed call 850 (408, 5xx, no final answer in time) and 350 (other answers such as busy).
    #[param(value_type = Option<String>)]
    pub sort: Option<String>,
    /// 1 to 1000, 50 by default.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub limit: Option<String>,
    /// `next_cursor` of the page before; the other parameters must stay as they were.
    pub cursor: Option<String>,
    /// `json` (default), `csv` or `parquet`; also by `Accept`. A file has all rows in the order of time (up to 1,000,000, of Parquet
    /// 100,000; more are an error) and takes neither `sort`, `limit` nor `cursor`.
    pub format: Option<String>,
}

/// Parameters of `/timeline`: the filters of `/calls`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineParams {
    /// As in `/calls`.
    pub from: Option<String>,
    pub to: Option<String>,
    /// Buckets wanted, 1 to 1000, 120 by default; their length is rounded up to a usual one.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub buckets: Option<String>,
    /// Up to three of `trunk`, `trunk_direction`, `site`, `probe`, `class`, `state`, `final_code`, separated by commas.
    #[param(example = "final_code")]
    pub group_by: Option<String>,
    pub number: Option<String>,
    pub call_id: Option<String>,
    pub address: Option<String>,
    pub codec: Option<String>,
    pub state: Option<String>,
    pub class: Option<String>,
    pub final_code: Option<String>,
    #[param(value_type = Option<f64>)]
    pub mos_below: Option<String>,
    #[param(value_type = Option<f64>)]
    pub pdv_p95_above: Option<String>,
    #[param(value_type = Option<f64>)]
    pub loss_above: Option<String>,
    pub diagnosis: Option<String>,
    pub trunk: Option<String>,
    /// Calls that come `from` their trunk, or go `toward` it.
    pub trunk_direction: Option<String>,
    pub site: Option<String>,
    /// RFC 3339: calls of which a message or packet came then or later.
    pub seen_from: Option<String>,
}

/// Parameters of `/streams`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamsParams {
    /// As in `/calls`.
    pub from: Option<String>,
    pub to: Option<String>,
    /// Source or destination: `192.0.2.1`, `192.0.2.1:4000` or `192.0.2.0/24`.
    pub address: Option<String>,
    /// `0x0000abcd` or decimal.
    pub ssrc: Option<String>,
    pub codec: Option<String>,
    /// Identity of a call, 16 hexadecimal digits.
    pub call: Option<String>,
    pub trunk: Option<String>,
    pub site: Option<String>,
    /// `worst` (default: lowest MOS against the clean maximum of its scale, without MOS last) or `newest`.
    pub sort: Option<String>,
    /// 1 to 1000, 50 by default.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub limit: Option<String>,
    pub cursor: Option<String>,
    /// `json` (default), `csv` or `parquet`; also by `Accept`. A file has all rows in the order of time (up to 1,000,000, of Parquet
    /// 100,000; more are an error) and takes neither `sort`, `limit` nor `cursor`.
    pub format: Option<String>,
}

/// Parameters of `/alerts`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsParams {
    /// One or several of `pending`, `firing`, `keeping`, `blind`, `few`, `no_data`, `error`, separated by commas; all but `few` and
    /// `no_data` by default.
    pub state: Option<String>,
}

/// Parameters of `/alerts/history`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertHistoryParams {
    /// RFC 3339; seven days before `to` by default.
    pub from: Option<String>,
    /// RFC 3339, at most 92 days after `from`; now by default.
    pub to: Option<String>,
    /// Name of the rule.
    pub rule: Option<String>,
    /// Identity of rule and group, 16 hexadecimal digits.
    pub id: Option<String>,
    /// Alerts whose group has this trunk, and those of all trunks.
    pub trunk: Option<String>,
    /// 1 to 1000, 50 by default.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub limit: Option<String>,
}

/// Parameters of `/alerts/{id}/evaluations`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct EvaluationsParams {
    /// RFC 3339; six hours before `to` by default.
    pub from: Option<String>,
    /// RFC 3339, at most 92 days after `from`; now by default.
    pub to: Option<String>,
}

/// Parameters of `/audit`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditParams {
    /// RFC 3339: rows of then or later.
    pub from: Option<String>,
    /// RFC 3339: rows of then or before.
    pub to: Option<String>,
    /// Name of the user or token.
    pub who: Option<String>,
    /// One action, as in the rows.
    pub action: Option<String>,
    /// 1 to 1000, 50 by default.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub limit: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `/intervals`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct IntervalsParams {
    /// As in `/streams`.
    pub from: Option<String>,
    pub to: Option<String>,
    pub codec: Option<String>,
    pub trunk: Option<String>,
    /// Streams that come `from` their trunk, or go `toward` it.
    pub trunk_direction: Option<String>,
    pub site: Option<String>,
    pub address: Option<String>,
    /// Identity of a call, 16 hexadecimal digits.
    pub call: Option<String>,
    /// `csv` (default) or `parquet`, up to 1,000,000 and 100,000 rows.
    pub format: Option<String>,
}

/// Parameters of `/stats`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsParams {
    /// RFC 3339. Without `from` and `to`: all that is stored, as far as it spans no more than `to` allows.
    pub from: Option<String>,
    /// RFC 3339, at most 92 days after `from`; at most 31 where single streams are read (`source` is `raw`).
    pub to: Option<String>,
    /// Up to three of `codec`, `trunk`, `trunk_direction`, `site`, `probe`, `src`, `dst`, `mos_scale`, separated by commas.
    pub group_by: Option<String>,
    /// Length of the buckets of a time series, 1 to 86400 seconds; without it one figure over the whole window.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 86400)]
    pub bucket_s: Option<String>,
    pub codec: Option<String>,
    pub trunk: Option<String>,
    /// Streams that come `from` their trunk, or go `toward` it.
    pub trunk_direction: Option<String>,
    pub site: Option<String>,
    pub address: Option<String>,
}

/// Parameters of `/outcomes`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct OutcomesParams {
    /// RFC 3339. Without `from` and `to`: all that is stored, as far as it spans no more than `to` allows.
    pub from: Option<String>,
    /// RFC 3339, at most 92 days after `from`; at most 31 where single calls are read (`source` is `raw`).
    pub to: Option<String>,
    /// Up to three of `trunk`, `trunk_direction`, `site`, `probe`, separated by commas.
    pub group_by: Option<String>,
    /// Length of the buckets of a time series, 1 to 86400 seconds; without it one figure over the whole window.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 86400)]
    pub bucket_s: Option<String>,
    pub trunk: Option<String>,
    /// Calls that come `from` their trunk, or go `toward` it.
    pub trunk_direction: Option<String>,
    pub site: Option<String>,
}

/// Parameters of `/compare`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct CompareParams {
    /// `asr`, `ner`, `ser`, `seer`, `isa`, `bad_calls`, `short_calls`, `pdd_p50`, `pdd_p95`, `setup_p50`, `setup_p95` of calls;
    /// `delay_variation_p50`, `_p95`, `_p99`, `jitter_p50`, `_p95`, `_p99`, `mos_under_3_6`, `mos_under_3_1`, `one_sided` of streams.
    pub figure: Option<String>,
    /// RFC 3339: the window that is judged, at most 92 days.
    pub from: Option<String>,
    pub to: Option<String>,
    pub codec: Option<String>,
    pub trunk: Option<String>,
    /// Streams and calls that come `from` their trunk, or go `toward` it.
    pub trunk_direction: Option<String>,
    pub site: Option<String>,
    /// What it is compared with: each of these is that of the window above when it is missing. At least one is needed.
    pub against_from: Option<String>,
    pub against_to: Option<String>,
    pub against_codec: Option<String>,
    pub against_trunk: Option<String>,
    pub against_trunk_direction: Option<String>,
    pub against_site: Option<String>,
}

impl CompareParams {
    pub fn figure(&self) -> Result<Figure, ApiError> {
        let names = || Figure::ALL.map(Figure::name).join(", ");
        let figure = given(&self.figure).and_then(|name| Figure::ALL.into_iter().find(|figure| figure.name() == name));
        figure.ok_or_else(|| ApiError::bad_request(format!("`figure` must be one of {}", names())))
    }

    /// The two sides without their windows: what is judged, and what it is compared with.
    pub fn sides(&self) -> Result<[(Option<String>, OutcomeFilter); 2], ApiError> {
        let direction =
            |name: &'static str, value: &Option<String>| parsed(name, value, "from or toward", TrunkDirection::parse);
        let judged = (
            text("codec", &self.codec)?,
            OutcomeFilter {
                trunk: text("trunk", &self.trunk)?,
                trunk_direction: direction("trunk_direction", &self.trunk_direction)?,
                site: text("site", &self.site)?,
            },
        );
        let against = (
            text("against_codec", &self.against_codec)?.or(judged.0.clone()),
            OutcomeFilter {
                trunk: text("against_trunk", &self.against_trunk)?.or(judged.1.trunk.clone()),
                trunk_direction: direction("against_trunk_direction", &self.against_trunk_direction)?
                    .or(judged.1.trunk_direction),
                site: text("against_site", &self.against_site)?.or(judged.1.site.clone()),
            },
        );
        Ok([judged, against])
    }
}

impl OutcomesParams {
    pub fn filter(&self) -> Result<OutcomeFilter, ApiError> {
        Ok(OutcomeFilter {
            trunk: text("trunk", &self.trunk)?,
            trunk_direction: parsed("trunk_direction", &self.trunk_direction, "from or toward", TrunkDirection::parse)?,
            site: text("site", &self.site)?,
        })
    }
}

impl CallsParams {
    pub fn filter(&self) -> Result<CallFilter, ApiError> {
        call_filter(
            [
                &self.number,
                &self.call_id,
                &self.address,
                &self.codec,
                &self.trunk,
                &self.trunk_direction,
                &self.site,
                &self.seen_from,
            ],
            [&self.state, &self.class, &self.final_code, &self.diagnosis],
            [&self.mos_below, &self.pdv_p95_above, &self.loss_above],
        )
    }
}

impl TimelineParams {
    pub fn filter(&self) -> Result<CallFilter, ApiError> {
        call_filter(
            [
                &self.number,
                &self.call_id,
                &self.address,
                &self.codec,
                &self.trunk,
                &self.trunk_direction,
                &self.site,
                &self.seen_from,
            ],
            [&self.state, &self.class, &self.final_code, &self.diagnosis],
            [&self.mos_below, &self.pdv_p95_above, &self.loss_above],
        )
    }
}

impl StreamsParams {
    pub fn filter(&self) -> Result<StreamFilter, ApiError> {
        let ssrc = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        Ok(StreamFilter {
            address: address(&self.address)?,
            ssrc: parsed("ssrc", &self.ssrc, "0x0000abcd or a decimal number below 2^32", ssrc)?,
            codec: text("codec", &self.codec)?,
            call_uid: call_uid(&self.call)?,
            trunk: text("trunk", &self.trunk)?,
            trunk_direction: None,
            site: text("site", &self.site)?,
        })
    }
}

impl IntervalsParams {
    pub fn filter(&self) -> Result<StreamFilter, ApiError> {
        Ok(StreamFilter {
            address: address(&self.address)?,
            codec: text("codec", &self.codec)?,
            call_uid: call_uid(&self.call)?,
            trunk: text("trunk", &self.trunk)?,
            trunk_direction: parsed("trunk_direction", &self.trunk_direction, "from or toward", TrunkDirection::parse)?,
            site: text("site", &self.site)?,
            ..StreamFilter::default()
        })
    }
}

/// Refuses what a file does not take.
pub(super) fn no_page(given: [(&str, &Option<String>); 3]) -> Result<(), ApiError> {
    match given.iter().find(|(_, value)| value.is_some()) {
        Some((name, _)) => {
            Err(ApiError::bad_request(format!("a file has all rows in the order of time and takes no `{name}`")))
        }
        None => Ok(()),
    }
}

fn call_uid(value: &Option<String>) -> Result<Option<CallUid>, ApiError> {
    let hexadecimal = |id: &str| (id.len() <= 16).then(|| u64::from_str_radix(id, 16).ok().map(CallUid)).flatten();
    parsed("call", value, "16 hexadecimal digits", hexadecimal)
}

impl StatsParams {
    pub fn filter(&self) -> Result<StreamFilter, ApiError> {
        Ok(StreamFilter {
            address: address(&self.address)?,
            codec: text("codec", &self.codec)?,
            trunk: text("trunk", &self.trunk)?,
            trunk_direction: parsed("trunk_direction", &self.trunk_direction, "from or toward", TrunkDirection::parse)?,
            site: text("site", &self.site)?,
            ..StreamFilter::default()
        })
    }
}

fn call_filter(
    texts: [&Option<String>; 8],
    lists: [&Option<String>; 4],
    numbers: [&Option<String>; 3],
) -> Result<CallFilter, ApiError> {
    let [number, call_id, at, codec, trunk, trunk_direction, site, seen_from] = texts;
    let [state, class, final_code, diagnosis] = lists;
    let [mos_below, pdv_p95_above, loss_above] = numbers;
    Ok(CallFilter {
        number: given(number).map(PhoneNumber::parse).transpose()?,
        call_id: text("call_id", call_id)?,
        hashed_call_ids: Vec::new(),
        address: address(at)?,
        codec: text("codec", codec)?,
        states: closed("state", state.as_ref().filter(|state| !is_active(state)), &CallState::ALL, CallState::name)?,
        classes: closed("class", class.as_ref(), &CallClass::ALL, CallClass::name)?,
        final_codes: list("final_code", final_code.as_ref(), "0 or a status code from 200 to 699", |code| {
            code.parse().ok().filter(|code| *code == 0 || (200..700).contains(code))
        })?,
        mos_below: finite("mos_below", mos_below)?,
        pdv_p95_above: finite("pdv_p95_above", pdv_p95_above)?,
        loss_above: finite("loss_above", loss_above)?,
        diagnoses: closed("diagnosis", diagnosis.as_ref(), &DiagnosisCode::ALL, DiagnosisCode::name)?,
        trunk: text("trunk", trunk)?,
        trunk_direction: parsed("trunk_direction", trunk_direction, "from or toward", TrunkDirection::parse)?,
        site: text("site", site)?,
        seen_from: time("seen_from", seen_from)?,
    })
}

/// Whether `state` asks for the calls that are up.
pub(super) fn is_active(state: &str) -> bool {
    state.trim() == "active"
}

/// Values of a closed list, separated by commas.
pub(super) fn closed<T: Copy>(
    name: &str,
    value: Option<&String>,
    all: &[T],
    of: fn(T) -> &'static str,
) -> Result<Vec<T>, ApiError> {
    let expected = format!("one of {}", all.iter().map(|value| of(*value)).collect::<Vec<_>>().join(", "));
    list(name, value, &expected, |text| all.iter().copied().find(|value| of(*value) == text))
}

/// Values separated by commas, each as `read` takes it.
fn list<T>(
    name: &str,
    value: Option<&String>,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ApiError> {
    let parts: Vec<&str> = value.map_or_else(Vec::new, |text| text.split(',').map(str::trim).collect());
    if parts.iter().all(|part| part.is_empty()) {
        return Ok(Vec::new());
    }
    if parts.len() > MAX_LIST {
        return Err(ApiError::bad_request(format!("`{name}` takes at most {MAX_LIST} values")));
    }
    let wrong = || ApiError::bad_request(format!("`{name}` must be {expected}; several are separated by commas"));
    parts.into_iter().map(|part| read(part).ok_or_else(wrong)).collect()
}

/// An empty parameter, as forms send them, is an absent one.
pub(super) fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().map(str::trim).filter(|v| !v.is_empty())
}

pub(super) fn time(name: &str, value: &Option<String>) -> Result<Option<Timestamp>, ApiError> {
    // A plus sign that was not escaped arrives as a blank.
    let read = |text: &str| Timestamp::parse_rfc3339(&text.replace(' ', "+"));
    parsed(name, value, "a time such as 2026-11-20T20:13:51Z", read)
}

/// A whole number from `least` to `most`.
pub(super) fn whole(name: &str, value: &Option<String>, least: u32, most: u32) -> Result<Option<u32>, ApiError> {
    let read = |text: &str| text.parse().ok().filter(|n| (least..=most).contains(n));
    parsed(name, value, &format!("a whole number from {least} to {most}"), read)
}

pub(super) fn limit(value: &Option<String>) -> Result<u32, ApiError> {
    Ok(whole("limit", value, 1, MAX_ROWS)?.unwrap_or(50))
}

fn finite(name: &str, value: &Option<String>) -> Result<Option<f64>, ApiError> {
    let read = |text: &str| text.parse().ok().filter(|n: &f64| n.is_finite() && n.abs() < 1e9);
    parsed(name, value, "a number", read)
}

fn address(value: &Option<String>) -> Result<Option<AddressRange>, ApiError> {
    Ok(given(value).map(AddressRange::parse).transpose()?)
}

pub(super) fn text(name: &str, value: &Option<String>) -> Result<Option<String>, ApiError> {
    parsed(name, value, &format!("at most {MAX_TEXT} bytes"), |text| (text.len() <= MAX_TEXT).then(|| text.to_owned()))
}

fn parsed<T>(
    name: &str,
    value: &Option<String>,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    match given(value) {
        None => Ok(None),
        Some(text) => match read(text) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::bad_request(format!("`{name}` must be {expected}"))),
        },
    }
}

/// What `group_by` names: up to three different ones of a list.
pub(super) fn groupings<T: Copy + PartialEq>(
    value: &Option<String>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Vec<T>, ApiError> {
    let mut found: Vec<T> = Vec::new();
    let names = given(value).unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    for wanted in names {
        match all.iter().find(|each| name(**each) == wanted) {
            Some(by) if !found.contains(by) && found.len() < MAX_GROUPINGS => found.push(*by),
            _ => {
                let names: Vec<&str> = all.iter().map(|each| name(*each)).collect();
                return Err(ApiError::bad_request(format!(
                    "`group_by` must be up to three different of {}",
                    names.join(", ")
                )));
            }
        }
    }
    Ok(found)
}
