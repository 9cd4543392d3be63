//! The OpenAPI document, written from the handlers and types themselves.

use super::rights::{Needs, RULES};
use super::vocabulary::{MEANINGS, shape};
use super::{
    alerts, audit, calls, compare, export, health, live, metrics, oidc, outcomes, retention, session, stats, streams,
};
use auscult_access::audit::Action;
use auscult_core::alert::State;
use auscult_core::model::{CallClass, CallState, DiagnosisCode, LossEvidence, TimestampFault, TrunkDirection};
use auscult_store::budget::{LOOKUPS_AT_ONCE, MAX_EXECUTION_S, QUERY_MEMORY_BYTES, SCANS_AT_ONCE};
use auscult_store::query::{
    CallGroup, CallSort, Figure, GroupBy, MAX_DETAIL_DAYS, MAX_ROWS, MAX_WINDOW_DAYS, OutcomeGroup, StreamSort,
};
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Parameter, ParameterStyle};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{OpenApi as Documented, Ref, RefOr, Schema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Auscult",
        description = "Call quality as measured by a passive probe: calls, RTP streams and statistics over them. \
            Times are RFC 3339 in UTC with nanoseconds, ids of calls and streams 16 hexadecimal digits, unknown values null. \
            What each figure means and cannot tell: [metrics](/docs/metrics)."
    ),
    paths(
        calls::range,
        calls::timeline,
        calls::list,
        calls::one,
        streams::list,
        export::intervals,
        stats::stats,
        outcomes::outcomes,
        compare::compare,
        retention::retention,
        alerts::alerts,
        alerts::history,
        alerts::evaluations,
        alerts::begin_silence,
        alerts::end_silence,
        live::events,
        session::current,
        session::begin,
        session::end,
        oidc::begin,
        oidc::callback,
        audit::rows,
        document,
        health::alive,
        health::ready,
        health::version,
        metrics::render
    ),
    components(schemas(live::LiveSnapshot, live::LiveChange, live::LiveLagged))
)]
struct Document;

/// The document as `schemas/openapi.json` has it.
pub fn openapi_json() -> String {
    let mut document = Document::openapi();
    let bounds = format!(
        " Every query is bounded: {MAX_DETAIL_DAYS} days ({MAX_WINDOW_DAYS} for calls, and for statistics from sums), {MAX_ROWS} rows, {MAX_EXECUTION_S} seconds, {} MB of memory; \
         {SCANS_AT_ONCE} that read a whole window and {LOOKUPS_AT_ONCE} others at once. One more waits for its turn, clients \
         taking turns; 503 says that none came in time, 429 that this address has too many waiting. Both have `Retry-After`.",
        QUERY_MEMORY_BYTES / 1_000_000
    );
    document.info.description.get_or_insert_default().push_str(&bounds);
    describe(&mut document);
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Adds what the types do not say: the meaning of each name, formats, closed lists and examples.
fn describe(document: &mut Documented) {
    for (path, item) in &mut document.paths.paths {
        let operations = [("get", &mut item.get), ("post", &mut item.post), ("delete", &mut item.delete)];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(operation_id(method, path));
            let needs = RULES.iter().find(|rule| rule.path == path && rule.method.eq_ignore_ascii_case(method));
            if needs.is_some_and(|rule| rule.needs != Needs::Nobody) {
                for status in ["401", "403"] {
                    let refused = || RefOr::T(problem());
                    operation.responses.responses.entry(status.to_owned()).or_insert_with(refused);
                }
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = meaning_of_status(status).to_owned();
                }
            }
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    describe_parameter(path, parameter);
                }
            }
        }
    }
    let schemas = document.components.iter_mut().flat_map(|components| components.schemas.iter_mut());
    for (schema, definition) in schemas {
        let RefOr::T(Schema::Object(Object { properties, .. })) = definition else { continue };
        for (name, property) in properties.iter_mut() {
            describe_field(schema, name, property);
        }
    }
}

/// An answer of problem details; what it means follows from its status.
fn problem() -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().content("application/problem+json", body).build()
}

/// Unique, and fit for the name of a function: `get_calls_by_id` for `/api/v1/calls/{id}`.
fn operation_id(method: &str, path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path).replace("{id}", "by_id");
    format!("{method}{}", path.replace(['/', '.'], "_"))
}

/// Each response has a description (OpenAPI 3.1 section 4.8.17).
fn meaning_of_status(status: &str) -> &'static str {
    match status {
        "200" => "The answer",
        "201" => "It has begun",
        "204" => "It is done",
        "401" => "Nobody is signed in, or the credentials are wrong",
        "403" => "The role or the scope does not allow it",
        "400" => "A parameter is not as described; `parameter` names it where one alone is at fault",
        "404" => "Nothing is stored under this id",
        _ => "The service cannot do its work",
    }
}

fn meaning(schema: &str, name: &str) -> Option<String> {
    let own = format!("{schema}.{name}");
    let find = |wanted: &str| MEANINGS.iter().find(|(name, _)| *name == wanted).map(|(_, text)| (*text).to_owned());
    find(&own).or_else(|| find(name))
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|value| name(*value)).collect()
}

/// The values a parameter may have, and whether it takes several separated by commas.
fn values(path: &str, name: &str) -> Option<(Vec<&'static str>, bool)> {
    let route = path.trim_start_matches("/api/v1/");
    Some(match (route, name) {
        // What the provider sends back, of any form.
        ("session/oidc/callback", "state") => return None,
        ("alerts", "state") => (names(&State::ALL, State::name), true),
        (_, "state") => (names(&CallState::ALL, CallState::name).into_iter().chain(["active"]).collect(), true),
        (_, "class") => (names(&CallClass::ALL, CallClass::name), true),
        (_, "diagnosis") => (names(&DiagnosisCode::ALL, DiagnosisCode::name), true),
        (_, "trunk_direction" | "against_trunk_direction") => {
            (vec![TrunkDirection::From.name(), TrunkDirection::Toward.name()], false)
        }
        ("audit", "action") => (names(Action::ALL, Action::name), false),
        (_, "figure") => (names(&Figure::ALL, Figure::name), false),
        ("calls", "sort") => (names(&CallSort::ALL, CallSort::name), false),
        ("streams", "sort") => (names(&StreamSort::ALL, StreamSort::name), false),
        ("intervals", "format") => (vec!["csv", "parquet"], false),
        (_, "format") => (vec!["json", "csv", "parquet"], false),
        ("stats", "group_by") => (names(&GroupBy::ALL, GroupBy::name), true),
        ("outcomes", "group_by") => (names(&OutcomeGroup::ALL, OutcomeGroup::name), true),
        ("timeline", "group_by") => (names(&CallGroup::ALL, CallGroup::name), true),
        _ => return None,
    })
}

fn text_of(values: &[&'static str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.to_vec())).build()
}

fn describe_parameter(path: &str, parameter: &mut Parameter) {
    if parameter.description.as_deref().is_none_or(str::is_empty) {
        parameter.description = meaning("", &parameter.name);
    }
    if let Some((values, several)) = values(path, &parameter.name) {
        let example = values.first().copied().unwrap_or_default();
        parameter.schema = Some(match several {
            false => {
                let mut one = text_of(&values);
                one.examples = vec![example.into()];
                RefOr::T(Schema::Object(one))
            }
            true => {
                (parameter.style, parameter.explode) = (Some(ParameterStyle::Form), Some(false));
                let list = ArrayBuilder::new().items(text_of(&values)).examples([Value::from(vec![example])]);
                RefOr::T(Schema::Array(list.build()))
            }
        });
        return;
    }
    if parameter.name == "final_code" {
        (parameter.style, parameter.explode) = (Some(ParameterStyle::Form), Some(false));
        let code = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(699)).build();
        let list = ArrayBuilder::new().items(code).examples([Value::from(vec![486, 603])]);
        parameter.schema = Some(RefOr::T(Schema::Array(list.build())));
        return;
    }
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    if let Some((format, example)) = shape(&parameter.name) {
        schema.format = format.map(|format| SchemaFormat::Custom(format.to_owned()));
        schema.examples = vec![example.into()];
    }
    let number = match parameter.name.as_str() {
        "bucket_s" => 300.into(),
        "buckets" => 120.into(),
        "limit" => 50.into(),
        "mos_below" => 3.6.into(),
        "pdv_p95_above" => 30.0.into(),
        "loss_above" => 1.0.into(),
        _ => Value::Null,
    };
    if !number.is_null() {
        schema.examples = vec![number];
    }
}

/// Shapes whose `state` is one of an alert.
const OF_ALERTS: [&str; 2] = ["AlertJson", "EvaluationJson"];

fn describe_field(schema: &str, name: &str, property: &mut RefOr<Schema>) {
    let text = meaning(schema, name);
    let description = match property {
        RefOr::Ref(reference) => {
            if reference.description.is_empty() {
                reference.description = text.unwrap_or_default();
            }
            return;
        }
        RefOr::T(Schema::Object(object)) => {
            // Names of members are texts in JSON, numbers among them, too.
            object.property_names = None;
            let shape = match (schema, name) {
                ("SessionJson" | "SignInJson", "user") => Some((None, "alice")),
                ("CallJson", "from" | "to") => shape("uri"),
                _ => shape(name),
            };
            if let Some((format, example)) = shape.filter(|_| is_text(object)) {
                object.format = format.map(|format| SchemaFormat::Custom(format.to_owned()));
                object.examples = vec![example.into()];
            }
            let closed = match name {
                "class" => names(&CallClass::ALL, CallClass::name),
                "state" | "judgement" if OF_ALERTS.contains(&schema) => names(&State::ALL, State::name),
                "state" => names(&CallState::ALL, CallState::name),
                "scale" | "mos_scale" => vec!["nb", "wb", "fb"],
                "jitter_buffer" => vec!["adaptive", "fixed"],
                "loss_evidence" => names(&LossEvidence::ALL, LossEvidence::name),
                "timestamp_fault" => names(&TimestampFault::ALL, TimestampFault::name),
                _ => Vec::new(),
            };
            if !closed.is_empty() && is_text(object) {
                let null = is_nullable(object).then_some(Value::Null);
                object.enum_values = Some(closed.into_iter().map(Value::from).chain(null).collect());
            }
            &mut object.description
        }
        RefOr::T(Schema::Array(array)) => &mut array.description,
        RefOr::T(Schema::OneOf(one_of)) => &mut one_of.description,
        RefOr::T(_) => return,
    };
    if description.is_none() {
        *description = text;
    }
}

fn is_nullable(object: &Object) -> bool {
    serde_json::to_value(&object.schema_type).is_ok_and(|kind| kind.is_array())
}

/// A text, or a text or null.
fn is_text(object: &Object) -> bool {
    serde_json::to_value(&object.schema_type)
        .is_ok_and(|kind| kind == "string" || kind == serde_json::json!(["string", "null"]))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations",
    responses((status = 200, content_type = "application/json", body = Object)))]
pub(super) async fn document() -> axum::response::Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_parameter_and_field_is_described_and_no_meaning_is_idle() {
        let document: Value = serde_json::from_str(&openapi_json()).unwrap();
        let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let mut named = BTreeSet::new();
        let mut described = |schema: &str, name: &str, value: &Value| {
            assert!(value["description"].as_str().is_some_and(|text| text.len() > 3), "{schema} {name}: {value}");
            named.extend([name.to_owned(), format!("{schema}.{name}")]);
        };
        let mut ids = BTreeSet::new();
        let items = object(&document["paths"]);
        let operations = items.iter().flat_map(|(path, item)| object(item).into_iter().map(move |(_, of)| (path, of)));
        for (path, operation) in operations {
            assert!(ids.insert(operation["operationId"].to_string()), "{path}");
            for (status, response) in object(&operation["responses"]) {
                described(path, &status, &response);
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                described(path, name, parameter);
                let example = parameter.get("example").or_else(|| parameter["schema"]["examples"].get(0));
                assert!(example.is_some_and(|example| !example.is_null()), "{path} {name}: {parameter}");
            }
        }
        for (schema, definition) in object(&document["components"]["schemas"]) {
            for (name, property) in object(&definition["properties"]) {
                described(&schema, &name, &property);
            }
        }
        let idle: Vec<&str> = MEANINGS.iter().map(|(name, _)| *name).filter(|name| !named.contains(*name)).collect();
        assert_eq!(idle, [] as [&str; 0]);
    }

    #[test]
    fn meanings_are_in_the_order_of_the_alphabet() {
        let (own, shared): (Vec<&str>, Vec<&str>) =
            MEANINGS.iter().map(|(name, _)| *name).partition(|name| name.contains('.'));
        assert!(own.is_sorted() && shared.is_sorted_by(|a, b| a < b));
    }
}
