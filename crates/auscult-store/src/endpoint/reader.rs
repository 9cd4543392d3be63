//! Requests of readers with a token: body, check, queue.

use super::check::{self, check};
use super::frames::pack;
use super::hello;
use super::names::NamesCache;
use super::request::Fields;
use super::rights::{self, EndpointReader, RecordRead};
use super::run::{Job, run};
use super::{Endpoint, Refusal, take_form, unpack_all};
use crate::chdb::ChdbEngine;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a request of a reader with a token waits for its turn. Dashboards open up to 50 connections at once.
const READER_TURN: Duration = Duration::from_secs(60);

/// Requests of readers with a token that may wait; the next is refused at once with a time to come back.
const WAITING: usize = 128;

/// Statements of readers with a token that are checked at once; a check takes well under a millisecond of a processor
/// for usual statements, and tens of milliseconds for the longest.
pub(super) const CHECKS: usize = 2;

/// Largest request body of a reader with a token: a statement, or a form with its parameters.
const READER_BODY_LIMIT: usize = 1024 * 1024;

/// Settings that every statement of a reader with a token runs with.
const READER_SETTINGS: [(&str, &str); 5] = [
    ("allow_ddl", "0"),
    ("allow_introspection_functions", "0"),
    ("function_range_max_elements_in_block", "100000"),
    // The printed statement is longer than what the caller wrote.
    ("max_query_size", "4194304"),
    ("max_parser_depth", "3000"),
];

impl Endpoint {
    /// A request of a reader with a token: its statement runs as [`check()`] prints it.
    pub(super) async fn answer_reader(
        &self,
        request: Request,
        mut fields: Fields,
        reader: EndpointReader,
    ) -> Result<Response, Refusal> {
        let content = request.headers().get(header::CONTENT_TYPE).map(|v| v.as_bytes().to_vec()).unwrap_or_default();
        let whole = axum::body::to_bytes(request.into_body(), READER_BODY_LIMIT).await;
        let whole = whole.map_err(|e| {
            Refusal::bad_arguments(&format!("a body of at most {READER_BODY_LIMIT} bytes is taken: {e}"))
        })?;
        // After the body: a client that sends slowly takes no place in the queue. Bodies are bounded by the connections.
        let _queued = Queued::enter(&self.waiting).ok_or_else(Refusal::too_many_requests)?;
        if content.starts_with(b"multipart/form-data") {
            let mut form = Request::new(Body::from(whole));
            let value = HeaderValue::from_bytes(&content).map_err(|e| Refusal::bad_arguments(&e.to_string()))?;
            form.headers_mut().insert(header::CONTENT_TYPE, value);
            take_form(form, &mut fields).await?;
        } else {
            let whole = if fields.decompress {
                unpack_all(&whole, READER_BODY_LIMIT).map_err(|e| Refusal::bad_arguments(&e))?
            } else {
                whole.to_vec()
            };
            let text = String::from_utf8(whole).map_err(|_| Refusal::bad_arguments("the query is not UTF-8"))?;
            if !fields.query.is_empty() && !text.is_empty() {
                fields.query.push('\n');
            }
            fields.query.push_str(&text);
        }
        if let Some(block) = hello::answer(&fields, self.engine.version()) {
            let number = self.requests.fetch_add(1, Ordering::Relaxed);
            let block = if fields.compress { pack(&block) } else { block };
            return Ok(self.with_headers(Response::new(Body::from(block)), number));
        }
        let (sql, fields) = {
            let checking = self.checks.clone().acquire_owned().await.map_err(|_| Refusal::too_many_requests())?;
            let (engine, names, record) = (self.engine.clone(), self.names.clone(), self.access.record.clone());
            let checked = tokio::task::spawn_blocking(move || {
                let _checking = checking;
                checked(&engine, &names, fields, (&reader, record.as_ref()))
            });
            checked.await.map_err(|e| Refusal::bad_arguments(&e.to_string()))??
        };
        let mut job = Job { engine: self.engine.clone(), fields, sql: sql.into_bytes() };
        self.limit(&mut job.fields.settings, false);
        for (name, value) in READER_SETTINGS {
            job.fields.settings.retain(|(n, _)| n != name);
            job.fields.settings.push((name.to_owned(), value.to_owned()));
        }
        let turn = tokio::time::timeout(READER_TURN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refusal::too_many_requests()) };
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let response = run(job, turn).await?;
        Ok(self.with_headers(response, number))
    }
}

/// A place in the queue of readers with a token, given back when it is dropped.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Option<Queued<'a>> {
        let queued = Queued(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The statement to run for a reader's request, and its fields with nothing in them that was not checked. The names of
/// tables are read again when one is not known: a migration may have run since.
///
/// What the role of the reader may not read is refused; what shows parties is recorded first.
fn checked(
    engine: &ChdbEngine,
    cache: &NamesCache,
    mut fields: Fields,
    (reader, record): (&EndpointReader, Option<&RecordRead>),
) -> Result<(String, Fields), Refusal> {
    let mut names = cache.get(engine)?;
    if let Some(database) = fields.database.as_deref().filter(|database| *database != names.database) {
        let text = format!("the database {database:?} cannot be read here, only {}", names.database);
        return Err(check::Refused { reason: check::Reason::UnknownDatabase, text }.into());
    }
    let is_unknown = |result: &Result<check::Checked, check::Refused>| {
        result.as_ref().is_err_and(|refused| refused.reason == check::Reason::UnknownTable)
    };
    let run = |names: &check::Names| check(&fields.query, &fields.parameters, &rights::narrowed(names, reader.role));
    let mut result = run(&names);
    if is_unknown(&result) {
        if let Some(refused) = rights::needs_role(&fields, &names, reader.role) {
            return Err(refused.into());
        }
        names = cache.read(engine)?;
        result = run(&names);
    }
    if let (Ok(_), Some(record)) = (&result, record)
        && let Some(read) = rights::read_of(&fields, &names, reader)
    {
        let failed = |why: String| {
            let text = format!("the read cannot be recorded in the audit log, so it does not run: {why}");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, 1001, "STD_EXCEPTION", &text)
        };
        record(&read).map_err(failed)?;
    }
    let check::Checked { sql, settings, format } = result?;
    let mut chosen = Vec::new();
    for (name, value) in fields.settings.iter().chain(&settings) {
        if let Some((name, value)) = check::settings::setting(name, value)? {
            chosen.retain(|(n, _)| n != name);
            chosen.push((name.to_owned(), value));
        }
    }
    let named = match (format, &fields.default_format) {
        (Some(format), _) => Some(format),
        (None, Some(name)) => Some(check::settings::format(name)?),
        (None, None) => None,
    };
    fields.default_format = named.map(str::to_owned);
    fields.settings = chosen;
    fields.parameters = Vec::new();
    fields.query = String::new();
    // What has no database of its own in the printed statement (a CTE) can be looked up in no other.
    fields.database = Some(names.database.clone());
    Ok((sql, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_readers_is_bounded() {
        let waiting = AtomicUsize::new(0);
        let places: Vec<_> = (0..WAITING).map_while(|_| Queued::enter(&waiting)).collect();
        assert_eq!(places.len(), WAITING);
        assert!(Queued::enter(&waiting).is_none());
        drop(places);
        assert!(Queued::enter(&waiting).is_some() && waiting.load(Ordering::Relaxed) == 0);
    }
}
