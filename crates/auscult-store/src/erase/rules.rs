//! What happens to each table when a person's rows are erased. A table without a rule fails a test.

/// What a table has of a single person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Rows belong to one call and are deleted with it.
    OfCall {
        /// Rows may name a stream where its call was not known yet.
        has_streams: bool,
    },
    /// Rows list calls among others (`worst_calls`): those are taken out, the row stays.
    CitesCalls,
    /// Sums, or no personal data. With the reason.
    Stays(&'static str),
}

/// The rule of a table, without `_local` of a cluster; `None` for a table that is not known.
pub fn rule(table: &str) -> Option<Rule> {
    let sums = Rule::Stays("sums over many calls, without parties and addresses");
    Some(match table {
        "calls" | "sip_messages" => Rule::OfCall { has_streams: false },
        "streams" | "stream_intervals" | "rtcp_reports" => Rule::OfCall { has_streams: true },
        "alerts" => Rule::CitesCalls,
        "capture_intervals" => Rule::Stays("counts of the capture"),
        "media_groups" | "media_groups_5m" | "media_groups_1h" => sums,
        "call_groups" | "call_groups_5m" | "call_groups_1h" | "call_counts_5m" | "call_counts_1h" => sums,
        "schema_migrations" => Rule::Stays("versions of the tables"),
        _ => return None,
    })
}
