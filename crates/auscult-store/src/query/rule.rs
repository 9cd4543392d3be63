//! Statements of rules: any columns, few rows.

use super::{QueryError, Session};
use auscult_core::units::Timestamp;
use serde_json::Value as Json;

/// Rows of an answer that are looked at.
const MAX_RULE_ROWS: usize = 2_000;

/// One row: `value`, `samples`, `bound` and `drops` by name, all other columns as labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleRow {
    pub labels: Vec<(String, String)>,
    pub value: Option<f64>,
    pub bound: Option<f64>,
    pub samples: u64,
    pub drops_pct: f64,
}

impl Session {
    /// Runs the statement of a rule over `[from, to)`, read-only, under the limits of all questions.
    pub async fn rule_rows(&self, sql: &str, from: Timestamp, to: Timestamp) -> Result<Vec<RuleRow>, QueryError> {
        let second = |at: Timestamp| at.0.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX));
        let query = self
            .client
            .clone()
            .with_setting("max_result_rows", MAX_RULE_ROWS.to_string())
            .query_raw(sql)
            .param("from", second(from))
            .param("to", second(to));
        let ask = async {
            let mut answer = query.fetch_bytes("JSON")?;
            let bytes = answer.collect().await?;
            Ok::<_, clickhouse::error::Error>(bytes)
        };
        let bytes = match tokio::time::timeout(super::CLIENT_TIMEOUT, ask).await {
            Ok(bytes) => bytes?,
            Err(_) => return Err(QueryError::TooSlow),
        };
        let answer: Json = serde_json::from_slice(&bytes).map_err(|e| QueryError::Engine(e.to_string()))?;
        Ok(rows_of(&answer))
    }
}

fn rows_of(answer: &Json) -> Vec<RuleRow> {
    let number = |value: &Json| match value {
        Json::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    let rows = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |row: &Json| {
        let mut read = RuleRow::default();
        for (name, value) in row.as_object()? {
            match name.as_str() {
                "value" => read.value = number(value),
                "bound" => read.bound = number(value),
                "samples" => read.samples = number(value).unwrap_or(0.0) as u64,
                "drops" => read.drops_pct = number(value).unwrap_or(0.0),
                _ => read.labels.push((name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
            }
        }
        Some(read)
    };
    rows.iter().filter_map(row).collect()
}
