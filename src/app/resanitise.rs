//! Rows of earlier versions that may hold secrets of SIP messages: their texts by the present rules, for a store that knows no
//! SIP, and what the start says about them.

use auscult_core::privacy::Privacy;
use auscult_core::wire::sip::{self, FIELD_MAX, NameAddr};
use auscult_store::schema::SANITISED_AGAIN;
use auscult_store::spool::{Clean, Resanitised};
use auscult_store::{Store, Table};
use std::sync::Arc;

/// Rows stay in clear or hidden as they are.
const CLEAR: &Privacy = &Privacy::clear();

/// `keep` are the headers that are stored as they came.
pub fn cleaner(keep: Vec<String>) -> Arc<Clean> {
    Arc::new(move |table, column, text| clean(&keep, table, column, text))
}

fn clean(keep: &[String], table: Table, column: &str, text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let bytes = text.as_bytes();
    let new = match (table, column) {
        (_, "call_id") => sip::call_id_text(bytes, FIELD_MAX, CLEAR),
        (Table::SipMessages, "headers") => sip::sanitise_stored(text, "", keep).0,
        (Table::SipMessages, "sdp") => sip::sanitise_stored("", text, keep).1,
        (Table::SipMessages, "method") => sip::method_text(bytes, CLEAR),
        (Table::Calls, "caller_uri" | "callee_uri" | "caller_user" | "callee_user") => party(text),
        (Table::Calls, "caller_name" | "callee_name" | "caller_agent" | "callee_agent" | "final_reason")
        | (Table::SipMessages, "reason") => sip::phrase_text(bytes, FIELD_MAX, CLEAR),
        (Table::Calls, "release_reason") => sip::reason_value(bytes, FIELD_MAX, CLEAR),
        // The evidence of a failed setup: status code and reason phrase.
        (Table::Calls, "diagnoses") if starts_with_status(bytes) => sip::phrase_text(bytes, text.len(), CLEAR),
        _ => return None,
    };
    (new != text).then_some(new)
}

/// `user;parameters@host`, a number, or a host: a stored URI has no scheme.
fn party(text: &str) -> String {
    if !text.contains(['@', ';', '%', ':', '=', '?', ',']) {
        return text.to_owned();
    }
    // A host with an `@` before it is the rest of a password.
    let user = text.split('@').next().unwrap_or_default();
    let host = text.rsplit_once('@').map_or("", |(_, host)| host);
    // A host alone may have colons, as IPv6 references do.
    if host.is_empty() && user.starts_with('[') {
        return text.to_owned();
    }
    let value = format!("<sip:{user}@{host}>");
    sip::party_text(&NameAddr::parse(value.as_bytes()), FIELD_MAX, CLEAR).uri
}

fn starts_with_status(text: &[u8]) -> bool {
    matches!(text, [a, b, c, b' ', ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()))
}

pub(super) fn say_cleared(store: &Store) {
    if store.cleared_rows() > 0 {
        super::print_status(format_args!(
            "secrets of SIP messages that an earlier version may have stored are removed from {} rows of the store",
            store.cleared_rows()
        ));
    }
}

pub(super) fn say_resanitised(found: &Resanitised) {
    if found.segments > 0 {
        super::print_status(format_args!(
            "{} rows of an earlier version in the spool were cleaned of secrets of SIP messages",
            found.rows
        ));
    }
    if found.dropped_segments > 0 {
        super::print_status(format_args!(
            "{} rows of an earlier version in damaged files of the spool are removed: they may hold secrets",
            found.dropped_rows
        ));
    }
    if found.failed_segments > 0 {
        super::print_status(format_args!(
            "{} files of an earlier version in the spool could not be cleaned of secrets and stay there undelivered; \
             make the spool writable and start again",
            found.failed_segments
        ));
    }
}

/// A store that this program may not migrate, with the version of its schema.
pub(super) fn say_not_migrated(version: u32, url: &str) {
    if version < SANITISED_AGAIN {
        super::print_status(format_args!(
            "the store at {url} has schema version {version}: rows from before version {SANITISED_AGAIN} may hold secrets of \
             SIP messages, and store.migrate = false leaves them; apply `auscult schema` as a user that may alter tables"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_calls_lose_what_may_be_a_secret() {
        let cleaned = |column: &str, text: &str| clean(&[], Table::Calls, column, text);
        for (column, before, after) in [
            ("caller_uri", "a;password=secret@h", "a;password=***@h"),
            ("callee_uri", "a@cret@h", "a@h"),
            ("caller_user", "a%3Asecret", "a"),
            ("call_id", "x Authorization: secret", "x ***"),
            ("caller_name", "A key=secret", "A key=***"),
            ("release_reason", "Q.850;cause=16;text=\"key=secret\"", "Q.850;cause=16;text=\"key=***\""),
            ("diagnoses", "403 password=secret after 0.1 s", "403 password=***"),
        ] {
            assert_eq!(cleaned(column, before).as_deref(), Some(after), "{column}");
        }
        for (column, same) in [
            ("caller_uri", "+15555550100@192.0.2.1"),
            ("caller_uri", "[2001:db8::1]"),
            ("caller_user", "+15555550100"),
            ("caller_name", "Alice Example"),
            ("release_reason", "Q.850;cause=16"),
            ("diagnoses", "12.3 % lost; R = 48.8"),
            ("probe", "a=b"),
        ] {
            assert_eq!(cleaned(column, same), None, "{column}");
        }
    }
}
