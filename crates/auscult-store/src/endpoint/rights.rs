//! What each role may read over the store endpoint, and what is recorded of it.

use super::check::{Names, Reason, Refused, check};
use super::request::Fields;
use auscult_access::Role;
use std::sync::Arc;

/// Tables and views without parties and addresses. What a migration adds is not among them until it is put here.
const FIGURES: &[&str] = &[
    "alerts",
    "call_counts_1h",
    "call_counts_5m",
    "call_groups",
    "call_groups_1h",
    "call_groups_5m",
    "calls_without_parties",
    "capture_intervals",
    "histogram_buckets",
    "media_groups",
    "media_groups_1h",
    "media_groups_5m",
    "schema_migrations",
    "span_buckets",
    "streams_without_addresses",
];

/// Tables with SIP messages.
const MESSAGES: &[&str] = &["sip_messages"];

/// Runs of digits in a statement that are recorded as keyed hashes, and the shortest that may be a number.
const MAX_NUMBERS: usize = 8;
const SHORTEST_NUMBER: usize = 6;

/// Who reads over the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointReader {
    /// Name of the token.
    pub name: String,
    pub role: Role,
}

/// A statement that reads parties or addresses, before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRead<'a> {
    pub reader: &'a EndpointReader,
    /// Tables with parties or addresses that it reads.
    pub tables: Vec<String>,
    /// Runs of digits in it that may be numbers.
    pub numbers: Vec<String>,
}

/// API tokens that the endpoint takes besides its own: who has one.
pub type FindReader = Arc<dyn Fn(&str) -> Option<EndpointReader> + Send + Sync>;

/// Records a read before it runs; an error keeps it from running.
pub type RecordRead = Arc<dyn Fn(&EndpointRead) -> Result<(), String> + Send + Sync>;

/// Whether a table or view is for this role. `.inner` tables of views and the like are for nobody.
fn is_for(role: Role, table: &str) -> bool {
    let table = table.strip_suffix("_local").unwrap_or(table);
    match role {
        Role::Viewer => FIGURES.contains(&table),
        Role::Operator => !MESSAGES.contains(&table),
        Role::Investigator | Role::Admin => true,
    }
}

/// The names without those that are not for a role.
pub(super) fn narrowed(names: &Names, role: Role) -> Names {
    let tables = names.tables.iter().filter(|table| is_for(role, table)).cloned().collect();
    Names { database: names.database.clone(), tables, functions: names.functions.clone() }
}

/// The reason why a statement that names an unknown table is refused: there is one, and it is for another role.
pub(super) fn needs_role(fields: &Fields, names: &Names, role: Role) -> Option<Refused> {
    let needed = Role::ALL.into_iter().filter(|needed| *needed > role).find(|needed| {
        !check(&fields.query, &fields.parameters, &narrowed(names, *needed))
            .is_err_and(|refused| refused.reason == Reason::UnknownTable)
    })?;
    let text =
        format!("the statement reads a table that needs the role {}; the token has {}", needed.name(), role.name());
    Some(Refused { reason: Reason::Denied, text })
}

/// What of a statement is recorded; `None` when it reads no parties.
pub(super) fn read_of<'a>(fields: &Fields, names: &Names, reader: &'a EndpointReader) -> Option<EndpointRead<'a>> {
    let passes = |names: &Names| check(&fields.query, &fields.parameters, names).is_ok();
    if passes(&narrowed(names, Role::Viewer)) {
        return None;
    }
    let of_parties = names.tables.iter().filter(|table| !is_for(Role::Viewer, table));
    let tables = of_parties.filter(|table| {
        let mut without = names.clone();
        without.tables.remove(*table);
        !passes(&without)
    });
    let values = fields.parameters.iter().map(|(_, value)| value.as_str());
    let numbers = std::iter::once(fields.query.as_str()).chain(values).flat_map(numbers_in).take(MAX_NUMBERS);
    Some(EndpointRead { reader, tables: tables.cloned().collect(), numbers: numbers.collect() })
}

/// Runs of digits in the order of the text.
fn numbers_in(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|run| (SHORTEST_NUMBER..=20).contains(&run.len()))
        .map(|run| run.strip_prefix("00").unwrap_or(run).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let tables = ["calls", "sip_messages", "media_groups", "calls_without_parties", "of_a_later_version"];
        Names {
            database: "auscult".to_owned(),
            tables: tables.map(str::to_owned).into(),
            functions: ["count".to_owned()].into(),
        }
    }

    fn fields(query: &str) -> Fields {
        Fields { query: query.to_owned(), ..Fields::default() }
    }

    #[test]
    fn each_role_reads_what_it_may_and_a_new_table_is_not_for_viewers() {
        for (table, least) in [
            ("media_groups", Role::Viewer),
            ("calls_without_parties", Role::Viewer),
            ("calls", Role::Operator),
            ("of_a_later_version", Role::Operator),
            ("sip_messages", Role::Investigator),
        ] {
            let asked = fields(&format!("SELECT count() FROM {table}"));
            for role in Role::ALL {
                let names = narrowed(&names(), role);
                let runs = check(&asked.query, &[], &names).is_ok();
                assert_eq!(runs, role >= least, "{table} as {}", role.name());
                if !runs {
                    let refused = needs_role(&asked, &self::names(), role).unwrap();
                    assert!(refused.text.contains(&format!("needs the role {}", least.name())), "{}", refused.text);
                }
            }
        }
        assert_eq!(needs_role(&fields("SELECT 1 FROM nothing"), &names(), Role::Viewer), None);
        let joined = fields("SELECT count() FROM media_groups WHERE 1 IN (SELECT call_uid FROM calls)");
        assert!(check(&joined.query, &[], &narrowed(&names(), Role::Viewer)).is_err());
    }

    #[test]
    fn what_reads_parties_is_recorded_with_its_tables_and_numbers() {
        let reader = EndpointReader { name: "grafana".into(), role: Role::Investigator };
        let read = |query: &str| read_of(&fields(query), &names(), &reader).map(|read| (read.tables, read.numbers));
        assert_eq!(read("SELECT count() FROM media_groups"), None);
        let sql = "SELECT count() FROM calls WHERE caller_user = '0049301234567' AND call_uid IN (SELECT call_uid FROM sip_messages)";
        let (tables, numbers) = read(sql).unwrap();
        assert_eq!((tables, numbers), (vec!["calls".into(), "sip_messages".into()], vec!["49301234567".to_owned()]));
    }
}
