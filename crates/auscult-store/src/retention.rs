//! How long rows are kept: the TTL of each table, by configuration, and as the store has it.
//!
//! Rows of emergency calls may have a period of their own. Then a part holds rows of both periods and is rewritten when the
//! first ones expire; otherwise it is dropped whole with its day, which costs nothing.

use super::StoreError;
use super::endpoint::quoted_name;
use super::schema::{self, Dialect};
use clickhouse::Client;
use std::collections::BTreeMap;
use std::fmt;

/// Longest period in days. Times of the tables end in 2106: a row that would expire after that would expire at once.
pub const LONGEST_DAYS: u32 = 3650;

/// Tables that are kept for the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Calls, and the counts of them that lists show.
    Calls,
    Streams,
    StreamIntervals,
    SipMessages,
    RtcpReports,
    CaptureIntervals,
    /// Sums of streams and calls by interval and by five minutes.
    Groups,
    /// The same by hour.
    Hours,
    Alerts,
}

impl Family {
    pub const ALL: [Family; 9] = [
        Family::Calls,
        Family::Streams,
        Family::StreamIntervals,
        Family::SipMessages,
        Family::RtcpReports,
        Family::CaptureIntervals,
        Family::Groups,
        Family::Hours,
        Family::Alerts,
    ];

    /// As the configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Family::Calls => "calls",
            Family::Streams => "streams",
            Family::StreamIntervals => "stream_intervals",
            Family::SipMessages => "sip_messages",
            Family::RtcpReports => "rtcp_reports",
            Family::CaptureIntervals => "capture_intervals",
            Family::Groups => "groups",
            Family::Hours => "hours",
            Family::Alerts => "alerts",
        }
    }

    /// Days of a new store.
    pub fn default_days(self) -> u32 {
        match self {
            Family::Calls | Family::Streams | Family::CaptureIntervals | Family::Groups | Family::Alerts => 90,
            Family::StreamIntervals | Family::RtcpReports => 30,
            Family::SipMessages => 7,
            Family::Hours => 730,
        }
    }

    pub fn tables(self) -> &'static [&'static str] {
        match self {
            Family::Calls => &["calls", "call_counts_5m", "call_counts_1h"],
            Family::Streams => &["streams"],
            Family::StreamIntervals => &["stream_intervals"],
            Family::SipMessages => &["sip_messages"],
            Family::RtcpReports => &["rtcp_reports"],
            Family::CaptureIntervals => &["capture_intervals"],
            Family::Groups => &["media_groups", "media_groups_5m", "call_groups", "call_groups_5m"],
            Family::Hours => &["media_groups_1h", "call_groups_1h"],
            Family::Alerts => &["alerts"],
        }
    }

    /// Whether rows belong to single calls, of which some are emergency calls.
    pub fn is_of_calls(self) -> bool {
        matches!(
            self,
            Family::Calls | Family::Streams | Family::StreamIntervals | Family::SipMessages | Family::RtcpReports
        )
    }
}

/// How long the rows of a table are kept, in days from when they were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub days: u32,
    /// Of rows of emergency calls; the same unless it is set apart.
    pub emergency_days: u32,
}

impl Period {
    pub fn same(days: u32) -> Period {
        Period { days, emergency_days: days }
    }

    fn expression(self, stored: &str) -> String {
        let Period { days, emergency_days } = self;
        match days == emergency_days {
            true => format!("{stored} + toIntervalDay({days})"),
            false => format!("{stored} + toIntervalDay(if(emergency, {emergency_days}, {days}))"),
        }
    }

    /// What a TTL says; `None` for one that somebody wrote in other words.
    fn of_expression(ttl: &str) -> Option<Period> {
        let (_, argument) = ttl.split_once("toIntervalDay(")?;
        let argument = argument.strip_suffix(')')?;
        match argument.strip_prefix("if(emergency, ").and_then(|two| two.strip_suffix(')')?.split_once(", ")) {
            Some((emergency, other)) => {
                Some(Period { days: other.parse().ok()?, emergency_days: emergency.parse().ok()? })
            }
            None => argument.parse().ok().map(Period::same),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.days == self.emergency_days {
            true => write!(f, "{} days", self.days),
            false => write!(f, "{} days, of emergency calls {} days", self.days, self.emergency_days),
        }
    }
}

/// Periods that are configured. A family that is not in it stays as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention(pub BTreeMap<Family, Period>);

/// The TTL of a table as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableTtl {
    /// In the store.
    pub name: String,
    /// Without `_local` of a cluster.
    pub table: String,
    /// The expression, empty when rows are kept for ever.
    pub ttl: String,
    /// Its days, where it is of this program's form.
    pub period: Option<Period>,
    /// Whole parts are dropped, rows are not removed from them.
    drops_parts: bool,
}

impl TableTtl {
    /// The column from which the period counts.
    pub fn stored_column(&self) -> Option<&'static str> {
        match self.table.as_str() {
            "schema_migrations" => None,
            // What views add up has a day only.
            table if table.ends_with("_5m") || table.ends_with("_1h") => Some("stored_on"),
            _ => Some("stored_at"),
        }
    }

    pub fn marks_emergency_rows(&self) -> bool {
        has_emergency_rows(&self.table)
    }
}

/// A period that was changed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub table: String,
    pub before: String,
    pub after: Period,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} instead of {}", self.table, self.after, self.before)
    }
}

/// The TTL of every table that has rows, by name, in the database of a client.
///
/// # Errors
/// The store cannot be reached, or its tables may not be read.
pub async fn of_store(client: &Client) -> Result<Vec<TableTtl>, StoreError> {
    let failed = |cause| StoreError::Client { what: "read how long tables are kept".to_owned(), cause };
    of_client(client).await.map_err(failed)
}

pub(crate) async fn of_client(client: &Client) -> Result<Vec<TableTtl>, clickhouse::error::Error> {
    let sql = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' \
               ORDER BY name";
    let rows: Vec<(String, String)> = client.query_raw(sql).fetch_all().await?;
    let tables = rows.into_iter().map(|(name, engine)| {
        let table = name.strip_suffix("_local").unwrap_or(&name).to_owned();
        let ttl = ttl_of(&engine);
        let period = Period::of_expression(&ttl);
        TableTtl { table, name, period, ttl, drops_parts: engine.contains("ttl_only_drop_parts = 1") }
    });
    Ok(tables.collect())
}

/// The TTL in the description of an engine.
fn ttl_of(engine: &str) -> String {
    let rest = engine.split_once(" TTL ").map_or("", |(_, rest)| rest);
    rest.split(" SETTINGS ").next().unwrap_or_default().trim().to_owned()
}

/// Gives tables the periods that are configured, where they have others; returns what was changed. Rows that are there get the new
/// period too: the store removes what has expired in the background, within hours; what it removed before does not come back.
///
/// # Errors
/// The store cannot be reached, or refuses a change. Those before it are made, and the next call makes the others.
pub async fn apply(
    client: &Client,
    dialect: &Dialect,
    database: &str,
    wanted: &Retention,
) -> Result<Vec<Change>, StoreError> {
    if wanted.0.is_empty() {
        return Ok(Vec::new());
    }
    let found = of_store(client).await?;
    let client = client.clone().with_database("default");
    let mut changes = Vec::new();
    for (family, period) in &wanted.0 {
        for table in family.tables() {
            // Counts have no rows of single calls.
            let period = if has_emergency_rows(table) { *period } else { Period::same(period.days) };
            let Some(before) = found.iter().find(|ttl| ttl.table == *table) else { continue };
            let drops_parts = period.days == period.emergency_days;
            if before.period == Some(period) && before.drops_parts == drops_parts {
                continue;
            }
            let stored = before.stored_column().unwrap_or("stored_at");
            let place = format!(
                "ALTER TABLE {}.{}{}",
                quoted_name(database),
                quoted_name(&format!("{table}{}", schema::local(dialect))),
                schema::on_cluster(dialect)
            );
            // Rows of two periods share parts, from which those that expire are removed.
            let settings = format!("{place} MODIFY SETTING ttl_only_drop_parts = {}", u8::from(drops_parts));
            schema::execute(&client, &settings).await?;
            schema::execute(&client, &format!("{place} MODIFY TTL {}", period.expression(stored))).await?;
            let words = before.period.map_or_else(|| format!("`{}`", before.ttl), |period| period.to_string());
            changes.push(Change { table: (*table).to_owned(), before: words, after: period });
        }
    }
    Ok(changes)
}

/// Whether rows of the table are marked when they belong to emergency calls.
fn has_emergency_rows(table: &str) -> bool {
    Family::ALL.iter().any(|family| family.is_of_calls() && family.tables().first() == Some(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_read_back_as_it_was_written() {
        for period in [Period::same(90), Period { days: 7, emergency_days: 365 }] {
            let engine = format!(
                "MergeTree PARTITION BY toDate(stored_at) ORDER BY (at) TTL {} SETTINGS index_granularity = 8192",
                period.expression("stored_at")
            );
            assert_eq!(Period::of_expression(&ttl_of(&engine)), Some(period));
        }
        assert_eq!(ttl_of("MergeTree ORDER BY version SETTINGS index_granularity = 8192"), "");
        for other in ["", "stored_at + toIntervalMonth(3)", "stored_at + toIntervalDay(if(site = 'a', 1, 2))"] {
            assert_eq!(Period::of_expression(other), None, "{other}");
        }
    }
}
