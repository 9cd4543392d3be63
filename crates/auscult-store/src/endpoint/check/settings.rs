//! Settings and output formats that a reader may choose.

use super::types::is_zone;
use super::{Reason, Refused, one_line};

/// What a value has to be.
#[derive(Clone, Copy, Debug)]
enum Range {
    Bool,
    /// A whole number from the first to the second.
    Number(u64, u64),
    OneOf(&'static [&'static str]),
    /// One printable ASCII character.
    Character,
    Zone,
    /// Accepted and not passed on.
    Ignored,
}

const ANY: Range = Range::Number(0, u64::MAX);

/// Settings a reader may send, in a URL or in a SETTINGS clause. Limits of time and memory are lowered to those of
/// the endpoint later.
const SETTINGS: &[(&str, Range)] = &[
    ("cancel_http_readonly_queries_on_client_close", Range::Bool),
    ("date_time_input_format", Range::OneOf(&["basic", "best_effort", "best_effort_us"])),
    ("date_time_output_format", Range::OneOf(&["simple", "iso", "unix_timestamp"])),
    ("describe_include_subcolumns", Range::Bool),
    ("extremes", Range::Bool),
    ("format_csv_delimiter", Range::Character),
    ("join_use_nulls", Range::Bool),
    ("log_comment", Range::Ignored),
    ("max_block_size", Range::Number(1, 1_048_576)),
    ("max_bytes_to_read", ANY),
    ("max_execution_time", ANY),
    ("max_memory_usage", ANY),
    ("max_result_bytes", ANY),
    ("max_result_rows", ANY),
    ("max_rows_to_read", ANY),
    ("max_threads", Range::Number(1, 64)),
    ("output_format_json_named_tuples_as_objects", Range::Bool),
    ("output_format_json_quote_64bit_floats", Range::Bool),
    ("output_format_json_quote_64bit_integers", Range::Bool),
    ("output_format_json_quote_denormals", Range::Bool),
    ("output_format_native_encode_types_in_binary_format", Range::Bool),
    ("priority", Range::Number(0, 1000)),
    ("readonly", Range::Ignored),
    ("result_overflow_mode", Range::OneOf(&["throw", "break"])),
    ("session_timezone", Range::Zone),
    ("timeout_overflow_mode", Range::OneOf(&["throw", "break"])),
];

/// Output formats. None of them reads a schema or a template.
const FORMATS: &[&str] = &[
    "Arrow",
    "ArrowStream",
    "CSV",
    "CSVWithNames",
    "CSVWithNamesAndTypes",
    "JSON",
    "JSONColumns",
    "JSONColumnsWithMetadata",
    "JSONCompact",
    "JSONCompactColumns",
    "JSONCompactEachRow",
    "JSONCompactEachRowWithNames",
    "JSONCompactEachRowWithNamesAndTypes",
    "JSONCompactStrings",
    "JSONCompactStringsEachRow",
    "JSONCompactStringsEachRowWithNames",
    "JSONCompactStringsEachRowWithNamesAndTypes",
    "JSONEachRow",
    "JSONLines",
    "JSONObjectEachRow",
    "JSONStrings",
    "JSONStringsEachRow",
    "Markdown",
    "NDJSON",
    "Native",
    "Null",
    "Parquet",
    "Pretty",
    "PrettyCompact",
    "PrettyCompactMonoBlock",
    "PrettyCompactNoEscapes",
    "PrettyNoEscapes",
    "PrettySpace",
    "RowBinary",
    "RowBinaryWithNames",
    "RowBinaryWithNamesAndTypes",
    "TSKV",
    "TSV",
    "TSVRaw",
    "TSVRawWithNames",
    "TSVRawWithNamesAndTypes",
    "TSVWithNames",
    "TSVWithNamesAndTypes",
    "TabSeparated",
    "TabSeparatedRaw",
    "TabSeparatedRawWithNames",
    "TabSeparatedRawWithNamesAndTypes",
    "TabSeparatedWithNames",
    "TabSeparatedWithNamesAndTypes",
    "Values",
    "Vertical",
    "XML",
];

/// Names of the settings that have an effect.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().filter(|(_, range)| !matches!(range, Range::Ignored)).map(|(name, _)| *name)
}

/// Names of the formats.
pub fn formats() -> &'static [&'static str] {
    FORMATS
}

/// A listed format, in the spelling of the list.
///
/// # Errors
/// [`Refused`] for every other.
pub fn format(name: &str) -> Result<&'static str, Refused> {
    let found = FORMATS.iter().find(|known| known.eq_ignore_ascii_case(name)).copied();
    found.ok_or_else(|| Refused::denied(format!("the output format {} is not one that is offered", one_line(name))))
}

/// One setting with its value; `None` when it is accepted without effect.
///
/// # Errors
/// [`Refused`] when the setting is not listed or its value is out of range.
pub fn setting(name: &str, value: &str) -> Result<Option<(&'static str, String)>, Refused> {
    let refused = |text: String| Refused { reason: Reason::Setting, text };
    let Some((name, range)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
        let text = format!("Unknown setting '{}', or not one that a reader may set", one_line(name));
        return Err(refused(text));
    };
    let valid = match range {
        Range::Ignored => return Ok(None),
        Range::Bool => ["0", "1", "true", "false"].contains(&value),
        Range::Number(least, most) => {
            value.bytes().all(|b| b.is_ascii_digit()) && value.parse().is_ok_and(|v: u64| (*least..=*most).contains(&v))
        }
        Range::OneOf(values) => values.contains(&value),
        Range::Character => value.len() == 1 && value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)),
        Range::Zone => value.is_empty() || is_zone(value),
    };
    match valid {
        true => Ok(Some((name, value.to_owned()))),
        false => Err(refused(format!("Unknown setting '{name}' with the value '{}'", one_line(value)))),
    }
}
