//! Which columns hold personal data, and what is stored of them: for a record of processing (GDPR article 30).

use super::endpoint::{literal, quoted_name};
use super::erase::{Rule, rule};
use super::{Store, StoreError};
use serde::Serialize;

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Numbers and addresses of record of the parties.
    Numbers,
    /// Display names.
    Names,
    /// Addresses of hosts, which may be those of persons' telephones.
    Addresses,
    /// Call-IDs and what is made of them: they join the rows of a call.
    CallIdentities,
    /// Texts of SIP messages by the allow-list of docs/security.md: numbers and addresses among them.
    Signalling,
    /// Kinds of telephones and programs.
    Devices,
    /// That a call was made to an emergency service.
    EmergencyCalls,
}

impl Kind {
    pub fn words(self) -> &'static str {
        match self {
            Kind::Numbers => "numbers and SIP addresses of the parties",
            Kind::Names => "display names",
            Kind::Addresses => "IP addresses and ports",
            Kind::CallIdentities => "identities of calls and streams",
            Kind::Signalling => "texts of SIP messages",
            Kind::Devices => "kinds of telephones and programs",
            Kind::EmergencyCalls => "whether it was an emergency call",
        }
    }
}

/// What a column has of a person; `None` for figures, times, codes and the operator's own names.
pub fn kind_of(table: &str, column: &str) -> Option<Kind> {
    if matches!(rule(table), None | Some(Rule::Stays(_))) {
        return None;
    }
    Some(match column {
        "caller_uri" | "caller_user" | "callee_uri" | "callee_user" | "caller_reversed" | "callee_reversed" => {
            Kind::Numbers
        }
        "caller_name" | "callee_name" => Kind::Names,
        "caller_agent" | "callee_agent" => Kind::Devices,
        "headers" | "sdp" | "reason" | "final_reason" | "release_reason" | "diagnoses" | "vq_described" => {
            Kind::Signalling
        }
        "call_uid" | "call_id" | "stream_id" | "streams" | "retry_of" | "worst_calls" | "ssrc" | "related_to"
        | "reporter_ssrc" | "about_ssrc" | "row_id" => Kind::CallIdentities,
        "emergency" => Kind::EmergencyCalls,
        _ if column.ends_with("_ip") || column.ends_with("_port") => Kind::Addresses,
        _ => return None,
    })
}

/// What is stored in a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Holding {
    pub table: String,
    pub rows: u64,
    /// On disk.
    pub bytes: u64,
    /// When the oldest and the newest row were stored, seconds since 1970; `None` without rows.
    pub oldest: Option<u32>,
    pub newest: Option<u32>,
    /// As the store has it; empty when rows are kept for ever.
    pub ttl: String,
    pub days: Option<u32>,
    /// Of rows of emergency calls.
    pub emergency_days: Option<u32>,
    /// Columns with personal data.
    pub columns: Vec<(String, Kind)>,
    /// What `auscult erase` does with the table.
    pub erased: &'static str,
}

/// Every table that has rows, by name.
///
/// # Errors
/// The store cannot be reached, or its tables may not be read.
pub async fn holdings(store: &Store) -> Result<Vec<Holding>, StoreError> {
    holdings_of(&store.reader(), store.retention().await?, store.database()).await
}

/// As [`holdings`], of a client.
///
/// # Errors
/// As [`holdings`].
pub async fn holdings_of(
    client: &clickhouse::Client,
    ttls: Vec<super::retention::TableTtl>,
    database: &str,
) -> Result<Vec<Holding>, StoreError> {
    let failed = |cause| StoreError::Client { what: "read what is stored".to_owned(), cause };
    let mut found = Vec::new();
    for ttl in ttls {
        let stored = ttl.stored_column();
        let (name, table) = (quoted_name(database), quoted_name(&ttl.table));
        let seen = match stored {
            Some(column) => format!(
                "SELECT count(), toUInt32(toUnixTimestamp(toDateTime(min({column}), 'UTC'))), \
                 toUInt32(toUnixTimestamp(toDateTime(max({column}), 'UTC'))) FROM {name}.{table}"
            ),
            None => format!("SELECT count(), toUInt32(0), toUInt32(0) FROM {name}.{table}"),
        };
        let (rows, oldest, newest): (u64, u32, u32) = client.query_raw(&seen).fetch_one().await.map_err(failed)?;
        let in_table = format!("database = {} AND table = {}", literal(database), literal(&ttl.name));
        let bytes = format!("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND {in_table}");
        let bytes: u64 = client.query_raw(&bytes).fetch_one().await.map_err(failed)?;
        let columns = format!("SELECT name FROM system.columns WHERE {in_table} ORDER BY position");
        let columns: Vec<String> = client.query_raw(&columns).fetch_all().await.map_err(failed)?;
        let times = |at: u32| Some(at).filter(|_| rows > 0 && stored.is_some());
        let columns =
            columns.into_iter().filter_map(|column| kind_of(&ttl.table, &column).map(|kind| (column, kind))).collect();
        let erased = match rule(&ttl.table) {
            Some(Rule::OfCall { .. }) => "rows are deleted",
            Some(Rule::CitesCalls) => "calls are taken out of rows",
            Some(Rule::Stays(why)) => why,
            None => "unknown to this version: rows stay",
        };
        found.push(Holding {
            oldest: times(oldest),
            newest: times(newest),
            days: ttl.period.map(|period| period.days),
            emergency_days: ttl.period.filter(|_| ttl.marks_emergency_rows()).map(|period| period.emergency_days),
            table: ttl.table,
            ttl: ttl.ttl,
            rows,
            bytes,
            columns,
            erased,
        });
    }
    Ok(found)
}
