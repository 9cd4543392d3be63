//! The system tables that clients look into when they connect: fixed columns, limited to the store's database.

use super::functions;
use super::literal::quote;

/// A query in place of `system.{table}`; `None` for tables that are not offered.
pub(super) fn table(table: &str, database: &str) -> Option<String> {
    let mut name = String::new();
    quote(database, &mut name);
    Some(match table {
        "databases" => format!("(SELECT name, engine, uuid, comment FROM system.databases WHERE name = {name})"),
        "tables" => format!(
            "(SELECT database, name, engine, is_temporary, dependencies_database, dependencies_table, \
             create_table_query, as_select, partition_key, sorting_key, primary_key, sampling_key, total_rows, \
             total_bytes, comment, has_own_data FROM system.tables WHERE database = {name})"
        ),
        "columns" => format!(
            "(SELECT database, table, name, type, position, default_kind, default_expression, data_compressed_bytes, \
             data_uncompressed_bytes, marks_bytes, comment, is_in_partition_key, is_in_sorting_key, is_in_primary_key, \
             is_in_sampling_key, compression_codec, character_octet_length, numeric_precision, numeric_precision_radix, \
             numeric_scale, datetime_precision FROM system.columns WHERE database = {name})"
        ),
        "functions" => {
            let mut names: Vec<&str> = functions::all().collect();
            names.sort_unstable();
            names.dedup();
            let listed: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            let columns = "name, is_aggregate, case_insensitive, alias_to, description";
            format!("(SELECT {columns} FROM system.functions WHERE name IN ({}))", listed.join(", "))
        }
        _ => return None,
    })
}

/// Names of the tables that [`table`] offers.
pub const TABLES: &[&str] = &["columns", "databases", "functions", "tables"];
