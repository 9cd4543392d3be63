//! Which rows a session may read: those of some probes and trunks.
//!
//! The engine adds the condition wherever one of the tables is read (`additional_table_filters`), subqueries included, so that no statement
//! can leave it out. Names are matched in the database of the connection.

use crate::endpoint::literal;
use auscult_access::Scope;
use clickhouse::Client;
use std::fmt::Write as _;

/// What rows of a table say about their trunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trunk {
    Column,
    /// Label of the alert's group.
    Label,
    /// Nothing: rows of one call, which is read first, or of the capture.
    None,
}

/// Every table that holds rows of a probe. Each has a column `probe`; `tests/store/schema.rs` compares them with the schema.
const TABLES: &[(&str, Trunk)] = &[
    ("calls", Trunk::Column),
    ("streams", Trunk::Column),
    ("stream_intervals", Trunk::Column),
    ("sip_messages", Trunk::None),
    ("rtcp_reports", Trunk::None),
    ("capture_intervals", Trunk::None),
    ("media_groups", Trunk::Column),
    ("media_groups_5m", Trunk::Column),
    ("media_groups_1h", Trunk::Column),
    ("call_groups", Trunk::Column),
    ("call_groups_5m", Trunk::Column),
    ("call_groups_1h", Trunk::Column),
    ("call_counts_5m", Trunk::Column),
    ("call_counts_1h", Trunk::Column),
    ("alerts", Trunk::Label),
];

/// The tables a scope is applied to, and whether its rows have a column `trunk`.
pub fn scoped_tables() -> impl Iterator<Item = (&'static str, bool)> {
    TABLES.iter().map(|(name, trunk)| (*name, *trunk == Trunk::Column))
}

/// A client that reads rows of the scope only.
pub(super) fn narrowed(client: &Client, scope: &Scope) -> Client {
    if scope.is_all() {
        return client.clone();
    }
    client.clone().with_setting("additional_table_filters", filters(scope))
}

fn filters(scope: &Scope) -> String {
    let mut map = String::from("{");
    for (table, trunk) in TABLES {
        let mut clauses = Vec::new();
        if let Some(probes) = &scope.probes {
            clauses.push(format!("probe IN ({})", list(probes)));
        }
        if let Some(trunks) = &scope.trunks {
            match trunk {
                Trunk::Column => clauses.push(format!("trunk IN ({})", list(trunks))),
                Trunk::Label => clauses.push(format!("labels['trunk'] IN ({})", list(trunks))),
                Trunk::None => {}
            }
        }
        if clauses.is_empty() {
            continue;
        }
        let clause = literal(&clauses.join(" AND "));
        // On a cluster the rows are in local tables behind the distributed ones.
        for name in [(*table).to_owned(), format!("{table}_local")] {
            let comma = if map.len() > 1 { "," } else { "" };
            let _ = write!(map, "{comma}{}:{clause}", literal(&name));
        }
    }
    map.push('}');
    map
}

/// Literals of names; of none, one that no row has.
fn list(names: &[String]) -> String {
    match names.is_empty() {
        true => literal("\u{1}nothing"),
        false => names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_literals_inside_a_literal() {
        let scope = Scope { probes: None, trunks: Some(vec!["it's \\ a".into(), "b".into()]) };
        let text = filters(&scope);
        assert!(text.starts_with(r"{'calls':'trunk IN (\'it\\\'s \\\\ a\',\'b\')','calls_local':'trunk"), "{text}");
        assert!(!text.contains("sip_messages"), "{text}");
        let nothing = filters(&Scope { probes: Some(Vec::new()), trunks: None });
        assert!(nothing.contains("'sip_messages':'probe IN (\\'"), "{nothing}");
        assert_eq!(narrowed(&Client::default(), &Scope::all()).get_setting("additional_table_filters"), None);
    }
}
