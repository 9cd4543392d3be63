//! Numbered migrations: plain SQL files with placeholders, rendered for one dialect, applied once, in order.
//!
//! Statements are idempotent (`IF NOT EXISTS`), so a migration that was cut off half way is simply run again.

use super::StoreError;
use super::endpoint::{literal, quoted_name};
use clickhouse::Client;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the tables live. Only table names, engines and `ON CLUSTER` differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    Embedded,
    Server,
    /// Replicated local tables (`calls_local`) and a distributed one over them (`calls`).
    Cluster {
        name: String,
    },
}

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    pub version: u32,
    pub name: &'static str,
    sql: &'static str,
    /// What a cluster needs on top; `None`: the added columns, on the distributed tables, too ([`distributed`]).
    cluster_sql: Option<&'static str>,
}

impl Migration {
    /// The statements that a cluster needs on top.
    fn on_cluster(&self) -> Vec<String> {
        self.cluster_sql.map_or_else(|| distributed(self.sql), split)
    }
}

/// Tables that [`SANITISED_AGAIN`] changes.
const REWRITTEN: [&str; 4] = ["sip_messages", "calls", "streams", "stream_intervals"];

/// A day that no row can have, since times of rows end before it.
const NO_DAY: &str = "2149-06-06";

/// How long the embedded engine may take to remove the parts that a step replaced.
const PURGE_PATIENCE: Duration = Duration::from_secs(120);

/// All steps, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "spine",
        sql: include_str!("../../../schemas/0001_spine.sql"),
        cluster_sql: Some(include_str!("../../../schemas/0001_spine.cluster.sql")),
    },
    Migration {
        version: 2,
        name: "histogram_buckets",
        sql: include_str!("../../../schemas/0002_histogram_buckets.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 3,
        name: "figures",
        sql: include_str!("../../../schemas/0003_figures.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 4,
        name: "sip_round_trips",
        sql: include_str!("../../../schemas/0004_sip_round_trips.sql"),
        cluster_sql: None,
    },
    Migration { version: 5, name: "trust", sql: include_str!("../../../schemas/0005_trust.sql"), cluster_sql: None },
    Migration {
        version: 6,
        name: "shedding",
        sql: include_str!("../../../schemas/0006_shedding.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 7,
        name: "figures_in_full",
        sql: include_str!("../../../schemas/0007_figures_in_full.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 8,
        name: "voice_quality_reports",
        sql: include_str!("../../../schemas/0008_voice_quality_reports.sql"),
        cluster_sql: None,
    },
    Migration {
        version: SANITISED_AGAIN,
        name: "sanitised_again",
        sql: include_str!("../../../schemas/0009_sanitised_again.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 12,
        name: "insert_memory",
        sql: include_str!("../../../schemas/0012_insert_memory.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 13,
        name: "signalled_clock",
        sql: include_str!("../../../schemas/0013_signalled_clock.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 14,
        name: "retried_calls",
        sql: include_str!("../../../schemas/0014_retried_calls.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 15,
        name: "adaptive_rating",
        sql: include_str!("../../../schemas/0015_adaptive_rating.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 16,
        name: "class",
        sql: include_str!("../../../schemas/0016_class.sql"),
        cluster_sql: Some(include_str!("../../../schemas/0016_class.cluster.sql")),
    },
    Migration {
        version: 17,
        name: "arrival",
        sql: include_str!("../../../schemas/0017_arrival.sql"),
        cluster_sql: Some(include_str!("../../../schemas/0017_arrival.cluster.sql")),
    },
    Migration {
        version: GROUPS,
        name: "groups",
        sql: include_str!("../../../schemas/0018_groups.sql"),
        cluster_sql: Some(include_str!("../../../schemas/0018_groups.cluster.sql")),
    },
    Migration {
        version: CALL_COUNTS,
        name: "call_counts",
        sql: include_str!("../../../schemas/0019_call_counts.sql"),
        cluster_sql: Some(include_str!("../../../schemas/0019_call_counts.cluster.sql")),
    },
    Migration {
        version: 20,
        name: "alerts",
        sql: include_str!("../../../schemas/0020_alerts.sql"),
        cluster_sql: Some(include_str!("../../../schemas/0020_alerts.cluster.sql")),
    },
    Migration {
        version: 21,
        name: "loss_attribution",
        sql: include_str!("../../../schemas/0021_loss_attribution.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 22,
        name: "capture_condition",
        sql: include_str!("../../../schemas/0022_capture_condition.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 23,
        name: "emergency",
        sql: include_str!("../../../schemas/0023_emergency.sql"),
        cluster_sql: None,
    },
    Migration {
        version: 24,
        name: "without_parties",
        sql: include_str!("../../../schemas/0024_without_parties.sql"),
        cluster_sql: None,
    },
];

/// The step since which probes store sums of streams and calls.
pub const GROUPS: u32 = 18;

/// The step since which the store counts calls by the time they began.
pub const CALL_COUNTS: u32 = 19;

/// The step that empties texts of SIP messages that earlier versions stored.
pub const SANITISED_AGAIN: u32 = 9;

const RECORD: &str = include_str!("../../../schemas/0000_migrations.sql");

/// The newest version this program knows.
pub const VERSION: u32 = match MIGRATIONS.last() {
    Some(last) => last.version,
    None => 0,
};

/// The whole schema as SQL text, for people who apply it themselves.
pub fn render(dialect: &Dialect, database: &str) -> String {
    let mut text = fill(RECORD, dialect, database, "schema_migrations");
    for migration in MIGRATIONS {
        for statement in statements(migration, dialect, database) {
            text.push('\n');
            text.push_str(&statement);
            text.push_str(";\n");
        }
        text.push_str(&format!("\n{};\n", record(migration, database)));
    }
    text
}

/// Brings the store up to [`VERSION`]; returns the versions that were applied now.
///
/// # Errors
/// [`StoreError::NewerSchema`] when a newer program was here; the store is left alone then.
pub async fn apply(client: &Client, dialect: &Dialect, database: &str) -> Result<Vec<u32>, StoreError> {
    apply_counting(client, dialect, database, &AtomicU64::default()).await
}

/// As [`apply`], and adds to `cleared` the rows from which secrets of SIP messages were removed.
///
/// # Errors
/// As [`apply`].
pub async fn apply_counting(
    client: &Client,
    dialect: &Dialect,
    database: &str,
    cleared: &AtomicU64,
) -> Result<Vec<u32>, StoreError> {
    // The database may not exist yet, so no statement relies on a current one.
    let client = client.clone().with_database("default");
    for statement in split(&fill(RECORD, dialect, database, "schema_migrations")) {
        execute(&client, &statement).await?;
    }
    let found = format!("SELECT DISTINCT version FROM {}.schema_migrations ORDER BY version", quoted_name(database));
    let found: Vec<u32> = client
        .query_raw(&found)
        .fetch_all()
        .await
        .map_err(|cause| StoreError::Client { what: "read the schema version".to_owned(), cause })?;
    if let Some(newest) = found.last().copied().filter(|v| *v > VERSION) {
        return Err(StoreError::NewerSchema { found: newest, known: VERSION });
    }
    let mut applied = Vec::new();
    for migration in MIGRATIONS.iter().filter(|m| !found.contains(&m.version)) {
        if migration.version == SANITISED_AGAIN {
            for count in statements(migration, dialect, database).iter().filter_map(|s| counting(s)) {
                let rows = client.query_raw(&count).fetch_one::<u64>().await;
                let failed = |cause| StoreError::Client { what: "count rows of earlier versions".to_owned(), cause };
                cleared.fetch_add(rows.map_err(failed)?, Ordering::Relaxed);
            }
        }
        // A server works on mutations in its own time; nothing else runs in the embedded engine yet.
        let here = match dialect {
            Dialect::Embedded => client.clone().with_setting("mutations_sync", "1"),
            _ => client.clone(),
        };
        for statement in statements(migration, dialect, database) {
            execute(&here, &statement).await?;
        }
        if migration.version == SANITISED_AGAIN && *dialect == Dialect::Embedded {
            let tables: Vec<&str> = REWRITTEN.to_vec();
            if !purge(&client, database, &tables).await? {
                tracing::warn!(
                    "parts of the store from before the upgrade are still there; the engine removes them within minutes"
                );
            }
        }
        execute(&client, &record(migration, database)).await?;
        applied.push(migration.version);
    }
    Ok(applied)
}

/// The newest version applied; 0 when the store has no schema.
///
/// # Errors
/// The store cannot be reached, or its tables may not be read.
pub async fn version(client: &Client, database: &str) -> Result<u32, StoreError> {
    let failed = |cause| StoreError::Client { what: "read the schema version".to_owned(), cause };
    let client = client.clone().with_database("default");
    let tables = format!(
        "SELECT count() FROM system.tables WHERE database = {} AND name = 'schema_migrations'",
        literal(database)
    );
    if client.query_raw(&tables).fetch_one::<u64>().await.map_err(failed)? == 0 {
        return Ok(0);
    }
    let newest = format!("SELECT max(version) FROM {}.schema_migrations", quoted_name(database));
    client.query_raw(&newest).fetch_one().await.map_err(failed)
}

/// The question how many rows an `ALTER TABLE ... UPDATE ... WHERE ...` will change, of all nodes on a cluster.
fn counting(statement: &str) -> Option<String> {
    let (head, condition) = statement.split_once("WHERE ")?;
    let table = head.strip_prefix("ALTER TABLE ")?.split_whitespace().next()?;
    Some(format!("SELECT count() FROM {} WHERE {condition}", table.trim_end_matches("_local")))
}

/// Waits until the parts of these tables that a mutation replaced are gone from the disk. The embedded engine keeps them 8
/// minutes, and looks for them when it has nothing else to do; here they hold what had to go. False when some are still there. The
/// tables have partitions by day.
pub(super) async fn purge(client: &Client, database: &str, tables: &[&str]) -> Result<bool, StoreError> {
    let names: Vec<String> = tables.iter().map(|table| literal(table)).collect();
    let replaced = format!(
        "SELECT count() FROM system.parts WHERE NOT active AND database = {} AND table IN ({})",
        literal(database),
        names.join(", ")
    );
    let failed = |cause| StoreError::Client { what: "look for replaced parts".to_owned(), cause };
    let left = || async { client.query_raw(&replaced).fetch_one::<u64>().await.map_err(failed) };
    if left().await? == 0 {
        return Ok(true);
    }
    let tables = || tables.iter().map(|table| format!("{}.{table}", quoted_name(database)));
    // Parts written by a mutation are not synced; those that are go now.
    let _ = tokio::task::spawn_blocking(rustix::fs::sync).await;
    for table in tables() {
        execute(client, &format!("ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1")).await?;
    }
    let since = tokio::time::Instant::now();
    let mut gone = false;
    while !gone && since.elapsed() < PURGE_PATIENCE {
        tokio::time::sleep(Duration::from_millis(500)).await;
        gone = left().await? == 0;
        if !gone && since.elapsed() > Duration::from_secs(2) {
            // Dropping a partition, be it one without parts, removes old files at once.
            for table in tables() {
                execute(client, &format!("ALTER TABLE {table} DROP PARTITION '{NO_DAY}'")).await?;
            }
        }
    }
    for table in tables() {
        execute(client, &format!("ALTER TABLE {table} RESET SETTING old_parts_lifetime")).await?;
    }
    Ok(gone)
}

pub(super) async fn execute(client: &Client, statement: &str) -> Result<(), StoreError> {
    client.query_raw(statement).execute().await.map_err(|cause| {
        let head: String = statement.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        StoreError::Client { what: format!("apply the schema at `{head} ...`"), cause }
    })
}

fn record(migration: &Migration, database: &str) -> String {
    let Migration { version, name, .. } = migration;
    format!(
        "INSERT INTO {}.schema_migrations (version, name) SELECT {version}, {}",
        quoted_name(database),
        literal(name)
    )
}

/// The statements of a migration, without comments between them and without semicolons.
fn statements(migration: &Migration, dialect: &Dialect, database: &str) -> Vec<String> {
    let mut all: Vec<String> = split(migration.sql).iter().map(|s| fill_statement(s, dialect, database)).collect();
    if matches!(dialect, Dialect::Cluster { .. }) {
        all.extend(migration.on_cluster().iter().map(|s| fill_statement(s, dialect, database)));
    }
    all
}

/// The columns that a migration adds to local tables, for the distributed tables over them: name, type and default of each. Comments
/// and codecs are of the local ones alone.
fn distributed(sql: &str) -> Vec<String> {
    let table_of = |statement: &str| {
        let (table, _) = statement.strip_prefix("ALTER TABLE {database}.")?.split_once("{local} {on_cluster}")?;
        Some(table.to_owned())
    };
    let column = |line: &str| {
        let line = line.trim();
        let end = [" COMMENT '", " CODEC("].iter().filter_map(|part| line.find(part)).min().unwrap_or(line.len());
        let words: Vec<&str> = line[..end].trim_end_matches(',').split_whitespace().collect();
        line.starts_with("ADD COLUMN ").then(|| words.join(" "))
    };
    let alter = |statement: &String| {
        let columns: Vec<String> = statement.lines().filter_map(column).collect();
        let table = table_of(statement).filter(|_| !columns.is_empty())?;
        Some(format!("ALTER TABLE {{database}}.{table} {{on_cluster}}\n    {}", columns.join(",\n    ")))
    };
    split(sql).iter().filter_map(alter).collect()
}

/// Cuts a file at the semicolons that end a line; comment lines before the first word of a statement are dropped.
fn split(sql: &str) -> Vec<String> {
    let pieces = format!("{}\n", sql.trim_end());
    let pieces = pieces.split(";\n");
    let bare = pieces.map(|piece| {
        let lines = piece.lines().skip_while(|line| line.trim().is_empty() || line.trim_start().starts_with("--"));
        lines.collect::<Vec<_>>().join("\n")
    });
    bare.filter(|piece| !piece.trim().is_empty()).collect()
}

/// A replicated table's path in the keeper needs the table's name, which only the statement knows.
fn fill_statement(statement: &str, dialect: &Dialect, database: &str) -> String {
    let named = statement.split_once("{database}.").map_or("", |(_, rest)| rest);
    let table = named.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
    fill(statement, dialect, database, table)
}

/// What stands behind the name of a table that has rows.
pub(super) fn local(dialect: &Dialect) -> &'static str {
    match dialect {
        Dialect::Embedded | Dialect::Server => "",
        Dialect::Cluster { .. } => "_local",
    }
}

/// ` ON CLUSTER ...`, or nothing.
pub(super) fn on_cluster(dialect: &Dialect) -> String {
    match dialect {
        Dialect::Embedded | Dialect::Server => String::new(),
        Dialect::Cluster { name } => format!(" ON CLUSTER {}", literal(name)),
    }
}

fn fill(text: &str, dialect: &Dialect, database: &str, table: &str) -> String {
    let (on_cluster, local, cluster) = match dialect {
        Dialect::Embedded | Dialect::Server => (String::new(), "", ""),
        Dialect::Cluster { name } => (format!("ON CLUSTER {}", literal(name)), "_local", name.as_str()),
    };
    let engine = |family: &str| match dialect {
        Dialect::Embedded | Dialect::Server => family.to_owned(),
        // Every node is a replica of the one record of what was applied.
        Dialect::Cluster { .. } if table == "schema_migrations" => {
            format!(
                "Replicated{family}({}, '{{shard}}-{{replica}}')",
                literal(&format!("/clickhouse/auscult/{database}/{table}"))
            )
        }
        // {shard} and {replica} are macros of the servers.
        Dialect::Cluster { .. } => {
            format!(
                "Replicated{family}({}, '{{replica}}')",
                literal(&format!("/clickhouse/auscult/{database}/{{shard}}/{table}"))
            )
        }
    };
    text.replace("'{cluster}'", &literal(cluster))
        .replace("'{database}'", &literal(database))
        .replace("{database}", &quoted_name(database))
        .replace(" {on_cluster}", &if on_cluster.is_empty() { String::new() } else { format!(" {on_cluster}") })
        .replace("{local}", local)
        .replace("{engine}", &engine("MergeTree"))
        .replace("{aggregating_engine}", &engine("AggregatingMergeTree"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one() {
        assert_eq!(MIGRATIONS.first().map(|m| m.version), Some(1));
        assert!(MIGRATIONS.is_sorted_by(|a, b| a.version < b.version));
    }

    #[test]
    fn no_placeholder_survives_and_a_cluster_adds_its_tables() {
        for dialect in [Dialect::Embedded, Dialect::Server] {
            let text = render(&dialect, "auscult");
            assert!(!text.contains('{') && !text.contains("CLUSTER") && !text.contains("_local"), "{text}");
            assert!(text.contains("CREATE TABLE IF NOT EXISTS `auscult`.calls\n"));
        }
        let text = render(&Dialect::Cluster { name: "noc".to_owned() }, "voice");
        let rest = text.replace("{shard}", "").replace("{replica}", "");
        assert!(!rest.contains('{'), "{rest}");
        for (table, local) in [("calls", "calls_local"), ("stream_intervals", "stream_intervals_local")] {
            assert!(text.contains(&format!("CREATE TABLE IF NOT EXISTS `voice`.{local} ON CLUSTER 'noc'\n")));
            assert!(text.contains(&format!("'/clickhouse/auscult/voice/{{shard}}/{table}', '{{replica}}'")));
            assert!(text.contains(&format!("Distributed('noc', 'voice', '{local}', ")));
        }
    }

    #[test]
    fn a_cluster_gets_every_added_column_on_both_tables() {
        let added = |statement: &str| -> Vec<String> {
            let lines = statement.lines().filter_map(|line| line.trim().strip_prefix("ADD COLUMN IF NOT EXISTS "));
            let words = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            lines.map(|line| words(line.trim_end_matches([',', ';']))).collect()
        };
        for migration in MIGRATIONS {
            let added = |all: &[String]| all.iter().map(|s| added(s)).filter(|a| !a.is_empty()).collect::<Vec<_>>();
            assert_eq!(added(&split(migration.sql)), added(&migration.on_cluster()), "{}", migration.name);
        }
    }

    #[test]
    fn distributed_tables_get_name_type_and_default_of_added_columns() {
        let sql = "-- Why.\nALTER TABLE {database}.calls{local} {on_cluster}\n    ADD COLUMN IF NOT EXISTS shed   Bool DEFAULT false \
                   COMMENT 'ended; to make room, CODEC(no)' CODEC(ZSTD),\n    ADD COLUMN IF NOT EXISTS at DateTime64(9, 'UTC') \
                   CODEC(Delta(8), ZSTD);\nALTER TABLE {database}.calls{local} {on_cluster} MODIFY TTL at + 1;\n";
        let expected = "ALTER TABLE {database}.calls {on_cluster}\n    ADD COLUMN IF NOT EXISTS shed Bool DEFAULT false,\n    \
                        ADD COLUMN IF NOT EXISTS at DateTime64(9, 'UTC')";
        assert_eq!(distributed(sql), [expected]);
    }

    #[test]
    fn statements_are_cut_at_semicolons_that_end_a_line() {
        assert_eq!(split("-- head; er\n\nA 'x;y'\n-- in\n;\n\n-- more\nB;\n"), ["A 'x;y'\n-- in", "B"]);
    }
}
