//! The names of tables and engine functions that readers' statements are checked against.

use super::check::Names;
use super::request::literal;
use crate::StoreError;
use crate::chdb::ChdbEngine;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Read from the engine when they are first needed.
pub struct NamesCache {
    database: String,
    names: Mutex<Option<Arc<Names>>>,
}

impl NamesCache {
    pub fn new(database: &str) -> NamesCache {
        NamesCache { database: database.to_owned(), names: Mutex::new(None) }
    }

    /// The names as they were read last.
    ///
    /// # Errors
    /// As [`NamesCache::read`]: without names no statement is checked, and so none runs.
    pub fn get(&self, engine: &ChdbEngine) -> Result<Arc<Names>, StoreError> {
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.map_or_else(|| self.read(engine), Ok)
    }

    /// Reads the names again.
    ///
    /// # Errors
    /// When the engine does not answer, or knows no functions.
    pub fn read(&self, engine: &ChdbEngine) -> Result<Arc<Names>, StoreError> {
        let connection = engine.connect(&[])?;
        let set = |sql: &str| -> Result<BTreeSet<String>, StoreError> {
            let answer = connection.query(sql, "TSVRaw")?;
            Ok(String::from_utf8_lossy(answer.bytes()).lines().map(str::to_owned).collect())
        };
        let database = literal(&self.database);
        let functions =
            "SELECT lower(name) FROM system.functions UNION ALL SELECT lower(name) FROM system.table_functions";
        let names = Names {
            database: self.database.clone(),
            tables: set(&format!("SELECT name FROM system.tables WHERE database = {database} AND name NOT LIKE '.%'"))?,
            functions: set(functions)?,
        };
        if !names.functions.contains("file") {
            return Err(StoreError::Setting(
                "the engine does not name its functions: nothing can be checked".to_owned(),
            ));
        }
        let names = Arc::new(names);
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names.clone());
        Ok(names)
    }
}
