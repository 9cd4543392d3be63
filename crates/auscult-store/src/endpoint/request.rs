//! What a request asks for: statement, parameters, settings; and how an INSERT is taken apart.

/// Settings a caller may pass, handed to the engine as they are. The engine ignores names it does not know, so
/// anything not listed here is refused by name, as a server would (code 115).
const SETTINGS: &[&str] = &[
    "additional_table_filters",
    "async_insert",
    "cancel_http_readonly_queries_on_client_close",
    "date_time_input_format",
    "date_time_output_format",
    "describe_include_subcolumns",
    "extremes",
    "format_csv_delimiter",
    "input_format_skip_unknown_fields",
    "insert_deduplicate",
    "insert_deduplication_token",
    "insert_distributed_sync",
    "join_use_nulls",
    "log_comment",
    "max_block_size",
    "max_bytes_to_read",
    "max_execution_time",
    "max_insert_block_size",
    "max_memory_usage",
    "max_result_bytes",
    "max_result_rows",
    "max_rows_to_read",
    "max_threads",
    "mutations_sync",
    "optimize_use_projections",
    "output_format_json_named_tuples_as_objects",
    "output_format_json_quote_64bit_floats",
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_denormals",
    "output_format_native_encode_types_in_binary_format",
    "priority",
    "readonly",
    "result_overflow_mode",
    "session_timezone",
    "timeout_overflow_mode",
    "wait_for_async_insert",
];

/// Fields of the HTTP interface that are about the connection or the caller, not about the query: accepted, without effect.
const WITHOUT_EFFECT: &[&str] = &[
    "add_http_cors_header",
    "buffer_size",
    "enable_http_compression",
    "http_zlib_compression_level",
    "http_write_exception_in_output_format",
    "network_compression_method",
    "password",
    "query_id",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "stacktrace",
    "user",
    "wait_end_of_query",
];

/// The fields of one request, sorted by what they do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub query: String,
    pub database: Option<String>,
    pub default_format: Option<String>,
    pub query_id: Option<String>,
    pub password: Option<String>,
    /// `client_protocol_version`: the revision of the Native format that the caller knows.
    pub client_revision: Option<u64>,
    /// Body comes in compression frames.
    pub decompress: bool,
    /// Answer goes out in compression frames.
    pub compress: bool,
    pub settings: Vec<(String, String)>,
    /// Values of `{name:Type}` in the text format of the type (tab escaped, backslash doubled).
    pub parameters: Vec<(String, String)>,
}

impl Fields {
    /// Sorts one field in. The error is the name of a setting that is not known.
    pub fn take(&mut self, name: String, value: String) -> Result<(), String> {
        let truth = || !matches!(value.as_str(), "" | "0" | "false");
        match name.as_str() {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value).filter(|v| !v.is_empty()),
            "default_format" => self.default_format = Some(value),
            "decompress" => self.decompress = truth(),
            "compress" => self.compress = truth(),
            "query_id" => self.query_id = Some(value),
            "password" => self.password = Some(value),
            "client_protocol_version" => self.client_revision = value.parse().ok(),
            "session_id" | "session_timeout" | "session_check" if truth() => return Err(name),
            "session_id" | "session_timeout" | "session_check" => {}
            known if WITHOUT_EFFECT.contains(&known) => {}
            known if SETTINGS.contains(&known) => self.settings.push((name, value)),
            other => match other.strip_prefix("param_") {
                Some(parameter) if is_identifier(parameter) => {
                    self.parameters.push((parameter.to_owned(), value));
                }
                _ => return Err(name),
            },
        }
        Ok(())
    }
}

/// How a statement has to be run.
#[derive(Debug, PartialEq, Eq)]
pub enum Statement<'a> {
    /// A SELECT, with the format it names itself, if any.
    Select(Option<&'a [u8]>),
    /// An INSERT whose rows are data in `format`; `inline` are the bytes after the format's name.
    Insert { head: String, format: &'a str, inline: &'a [u8] },
    /// Everything else, `INSERT ... SELECT` and `INSERT ... VALUES` with its rows as text included.
    Other,
}

/// Distinguishes statements by their top-level words; strings, quoted names, comments and parentheses are skipped.
/// `sql` may be followed by rows in any encoding, hence bytes.
pub fn classify(sql: &[u8]) -> Statement<'_> {
    let mut words = Words { sql, at: 0, depth: 0 };
    match words.next() {
        Some((word, _)) if is(word, "INSERT") => {}
        Some((word, _)) if is(word, "SELECT") || is(word, "WITH") => {
            let format = words.by_ref().find(|(word, _)| is(word, "FORMAT")).and_then(|_| words.next());
            return Statement::Select(format.map(|(name, _)| name));
        }
        _ => return Statement::Other,
    }
    let mut before: &[u8] = b"INSERT";
    while let Some((word, start)) = words.next() {
        let names_a_table = is(before, "INTO") || is(before, "TABLE");
        if !names_a_table && (is(word, "SELECT") || is(word, "WITH") || is(word, "VALUES")) {
            return Statement::Other;
        }
        if !names_a_table && is(word, "FORMAT") {
            let Some((format, _)) = words.next() else { return Statement::Other };
            let head = String::from_utf8_lossy(sql.get(..start).unwrap_or_default()).trim_end().to_owned();
            return match std::str::from_utf8(format) {
                Ok("Values") | Err(_) => Statement::Other,
                Ok(format) => Statement::Insert { head, format, inline: after_format(sql.get(words.at..)) },
            };
        }
        before = word;
    }
    Statement::Other
}

/// Text as a string literal of the dialect.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Text as a quoted name of the dialect.
pub fn quoted_name(text: &str) -> String {
    format!("`{}`", text.replace('\\', "\\\\").replace('`', "\\`"))
}

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Blanks and one line end separate the format's name from the rows; a semicolon is allowed before it.
fn after_format(rest: Option<&[u8]>) -> &[u8] {
    let mut rest = rest.unwrap_or_default();
    while let Some((first, tail)) = rest.split_first() {
        match first {
            b' ' | b'\t' | b'\r' | b';' => rest = tail,
            b'\n' => return tail,
            _ => break,
        }
    }
    rest
}

/// Walks over the words of a statement that stand outside quotes, comments and parentheses.
struct Words<'a> {
    sql: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = (&'a [u8], usize);

    fn next(&mut self) -> Option<(&'a [u8], usize)> {
        loop {
            let rest = self.sql.get(self.at..)?;
            match *rest {
                [] => return None,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => self.skip_past(b"\n"),
                [b'/', b'*', ..] => self.skip_past(b"*/"),
                [b'\'', ..] => self.skip_quoted(b'\''),
                [quote @ (b'"' | b'`'), ..] => {
                    // A quoted name stands for itself, whatever it spells.
                    let start = self.at;
                    self.skip_quoted(quote);
                    if self.depth == 0 {
                        return Some((self.sql.get(start..self.at.min(self.sql.len()))?, start));
                    }
                }
                [b'(' | b'[' | b'{', ..] => {
                    // A leading parenthesis wraps a SELECT: its first word still counts.
                    self.depth += usize::from(self.sql.get(..self.at).is_some_and(|b| !b.trim_ascii().is_empty()));
                    self.at += 1;
                }
                [b')' | b']' | b'}', ..] => {
                    self.depth = self.depth.saturating_sub(1);
                    self.at += 1;
                }
                [first, ..] if first.is_ascii_alphabetic() || first == b'_' => {
                    let length =
                        rest.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_')).unwrap_or(rest.len());
                    let start = self.at;
                    self.at += length;
                    if self.depth == 0 {
                        return Some((rest.get(..length)?, start));
                    }
                }
                _ => self.at += 1,
            }
        }
    }
}

impl Words<'_> {
    fn skip_past(&mut self, end: &[u8]) {
        let rest = self.sql.get(self.at..).unwrap_or_default();
        let found = rest.windows(end.len()).position(|w| w == end);
        self.at = found.map_or(self.sql.len(), |i| self.at + i + end.len());
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.sql.get(self.at) {
            self.at += 1;
            if *byte == b'\\' {
                self.at += 1;
            } else if *byte == quote {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert<'a>(head: &str, format: &'a str, inline: &'a [u8]) -> Statement<'a> {
        Statement::Insert { head: head.to_owned(), format, inline }
    }

    #[test]
    fn statements_are_told_apart() {
        for (sql, expected) in [
            ("SELECT 1", Statement::Select(None)),
            ("SELECT 'FORMAT x' FORMAT JSON SETTINGS a=1", Statement::Select(Some(b"JSON"))),
            ("  -- a comment\n/* INSERT */ with 1 as a select a", Statement::Select(None)),
            ("(SELECT 1) UNION ALL (SELECT 2)", Statement::Select(None)),
            ("SHOW TABLES", Statement::Other),
            ("", Statement::Other),
            ("INSERT INTO t SELECT 1", Statement::Other),
            ("INSERT INTO t (a) VALUES (1)", Statement::Other),
            ("INSERT INTO t FORMAT Values (1)", Statement::Other),
            ("INSERT INTO t(a, format) FORMAT RowBinary", insert("INSERT INTO t(a, format)", "RowBinary", b"")),
            (
                "INSERT INTO `format` SETTINGS x='FORMAT y', z=1 FORMAT TSV\n\n1\t2\n",
                insert("INSERT INTO `format` SETTINGS x='FORMAT y', z=1", "TSV", b"\n1\t2\n"),
            ),
            ("INSERT INTO `a`.`values`(`b`) FORMAT TSV", insert("INSERT INTO `a`.`values`(`b`)", "TSV", b"")),
            (
                "insert into format format JSONEachRow {\"a\":1}",
                insert("insert into format", "JSONEachRow", b"{\"a\":1}"),
            ),
        ] {
            assert_eq!(classify(sql.as_bytes()), expected, "{sql}");
        }
    }

    #[test]
    fn fields_are_sorted_and_unknown_ones_named() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("query", "SELECT {x:UInt8}"),
            ("database", "a"),
            ("param_x", "3"),
            ("max_threads", "1"),
            ("wait_end_of_query", "1"),
            ("decompress", "1"),
            ("session_id", ""),
        ] {
            fields.take(name.to_owned(), value.to_owned()).unwrap();
        }
        assert_eq!(fields.parameters, [("x".to_owned(), "3".to_owned())]);
        assert_eq!(fields.settings, [("max_threads".to_owned(), "1".to_owned())]);
        assert!(fields.decompress && !fields.compress);
        for bad in ["path", "max_server_memory_usage", "param_", "param_a b", "session_id"] {
            assert_eq!(fields.take(bad.to_owned(), "1".to_owned()), Err(bad.to_owned()));
        }
        assert_eq!(literal("it's \\"), r"'it\'s \\'");
    }
}
