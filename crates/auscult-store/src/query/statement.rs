//! One SQL statement: fixed text and bound parameters, and the run of it.

use super::{CLIENT_TIMEOUT, QueryError};
use clickhouse::query::{BytesCursor, Query};
use clickhouse::{Client, Row, RowOwned, RowRead};
use std::fmt::Write as _;

/// A value that travels beside the statement as a `{name:Type}` parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    Ids(Vec<u64>),
    /// Names of closed lists.
    Names(Vec<&'static str>),
    Texts(Vec<String>),
}

/// Statement text can only be appended from `&'static str`: there is no door for a caller's text.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    sql: String,
    values: Vec<(&'static str, Value)>,
}

impl Statement {
    pub fn new(sql: &'static str) -> Statement {
        Statement { sql: sql.to_owned(), values: Vec::new() }
    }

    pub fn text(mut self, sql: &'static str) -> Statement {
        self.sql.push_str(sql);
        self
    }

    /// The columns of a row, in the order of its struct.
    pub fn columns<R: Row>(self) -> Statement {
        self.join(R::COLUMN_NAMES, ", ")
    }

    /// Joins fixed fragments.
    pub fn join(mut self, parts: &[&'static str], separator: &'static str) -> Statement {
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                self.sql.push_str(separator);
            }
            self.sql.push_str(part);
        }
        self
    }

    /// ` WHERE a AND b ...`, with the parameters of the conditions.
    pub fn conditions(mut self, conditions: Conditions) -> Statement {
        for (i, clause) in conditions.clauses.iter().enumerate() {
            let word = if i == 0 { " WHERE " } else { " AND " };
            let _ = write!(self.sql, "{word}({clause})");
        }
        self.values.extend(conditions.values);
        self
    }

    /// ` AND a AND b ...`, without the parameters of the conditions: another part of the statement brings them.
    pub fn clauses(mut self, conditions: &Conditions) -> Statement {
        for clause in &conditions.clauses {
            let _ = write!(self.sql, " AND ({clause})");
        }
        self
    }

    pub fn value(mut self, name: &'static str, value: Value) -> Statement {
        self.values.push((name, value));
        self
    }

    #[cfg(test)]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The answer as the engine writes it in a format.
    pub fn fetch_bytes(self, client: &Client, format: &str) -> Result<BytesCursor, QueryError> {
        Ok(self.query(client).fetch_bytes(format)?)
    }

    pub async fn fetch_all<T: RowOwned + RowRead>(self, client: &Client) -> Result<Vec<T>, QueryError> {
        match tokio::time::timeout(CLIENT_TIMEOUT, self.query(client).fetch_all::<T>()).await {
            Ok(rows) => Ok(rows?),
            Err(_) => Err(QueryError::TooSlow),
        }
    }

    fn query(self, client: &Client) -> Query {
        let mut query = client.query_raw(&self.sql);
        for (name, value) in self.values {
            query = match value {
                Value::Int(v) => query.param(name, v),
                Value::Uint(v) => query.param(name, v),
                Value::Float(v) => query.param(name, v),
                Value::Text(v) => query.param(name, v),
                Value::Ids(v) => query.param(name, v),
                Value::Names(v) => query.param(name, v),
                Value::Texts(v) => query.param(name, v),
            };
        }
        query
    }

    pub async fn fetch_one<T: RowOwned + RowRead>(self, client: &Client) -> Result<T, QueryError> {
        let mut rows = self.fetch_all::<T>(client).await?;
        rows.pop().ok_or_else(|| QueryError::Engine("no row came back where one was expected".to_owned()))
    }
}

/// Conditions of a WHERE clause, joined by AND.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    clauses: Vec<&'static str>,
    values: Vec<(&'static str, Value)>,
}

impl Conditions {
    pub fn and<const N: usize>(&mut self, clause: &'static str, values: [(&'static str, Value); N]) {
        self.clauses.push(clause);
        self.values.extend(values);
    }

    #[cfg(test)]
    pub fn clauses(&self) -> &[&'static str] {
        &self.clauses
    }
}
