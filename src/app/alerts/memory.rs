//! What outlives a restart, as one file in the data directory: written whole, synced, and put in place of the one before, so that a
//! crash leaves the old file or the new one.

use super::silences::Silence;
use anyhow::Context;
use auscult_core::alert::{Evaluator, GroupKey, Label, Memory, State};
use auscult_store::private;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// States of groups, alerts that receivers know of, notifications on their way, and silences.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Remembered {
    #[serde(default)]
    pub groups: Vec<RememberedGroup>,
    /// By labels as text.
    #[serde(default)]
    pub active: BTreeMap<String, Active>,
    #[serde(default)]
    pub queue: Vec<Notification>,
    #[serde(default)]
    pub silences: Vec<Silence>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RememberedGroup {
    pub rule: String,
    pub group: Vec<(String, String)>,
    pub memory: Memory,
}

/// An alert as receivers have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Active {
    pub rule: String,
    pub labels: BTreeMap<String, String>,
    pub summary: String,
    pub description: String,
    pub url: String,
    /// Nanoseconds since 1970.
    pub starts_at: i64,
    pub ends_at: Option<i64>,
    /// How long a receiver may believe it without hearing of it again.
    pub lease_ns: i64,
    /// The silence that keeps it from webhooks.
    #[serde(default)]
    pub silenced_by: Option<String>,
    /// Webhooks were notified that it fires.
    #[serde(default = "yes")]
    pub told: bool,
}

/// An alert of a version without silences was sent.
fn yes() -> bool {
    true
}

/// A body for one webhook, until that has taken it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    pub id: String,
    pub url: String,
    pub body: String,
    pub made_at: i64,
}

pub struct MemoryFile {
    path: PathBuf,
}

impl MemoryFile {
    /// Reads the file of a data directory; an absent one is empty. A damaged one is set aside: measuring goes on, and alerts that
    /// fire are sent once more.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(data: &Path) -> anyhow::Result<(MemoryFile, Remembered)> {
        let path = data.join("alerts.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok((MemoryFile { path }, Remembered::default()));
            }
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let remembered = serde_json::from_slice(&bytes).unwrap_or_else(|e| {
            let aside = path.with_extension("json.damaged");
            let kept = match std::fs::rename(&path, &aside) {
                Ok(()) => format!("it is kept as {}", aside.display()),
                Err(e) => format!("it cannot be kept ({e})"),
            };
            crate::app::print_status(format_args!(
                "alerts: {} is damaged ({e}): {kept}, and alerts that fire are told once more",
                path.display()
            ));
            Remembered::default()
        });
        Ok((MemoryFile { path }, remembered))
    }

    pub fn save(&self, remembered: &Remembered) -> anyhow::Result<()> {
        let save = || -> std::io::Result<()> {
            let scratch = self.path.with_extension("json.new");
            let mut file = private::create_file(&scratch)?;
            file.write_all(&serde_json::to_vec(remembered)?)?;
            file.sync_all()?;
            std::fs::rename(&scratch, &self.path)?;
            if let Some(parent) = self.path.parent() {
                std::fs::File::open(parent)?.sync_all()?;
            }
            Ok(())
        };
        save().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Groups worth remembering: those that are pending or fire, and those that fired.
pub fn groups_of(evaluator: &Evaluator) -> Vec<RememberedGroup> {
    let worth =
        |memory: &Memory| memory.state.is_firing() || memory.state == State::Pending || !memory.fired.is_empty();
    let named =
        |group: &GroupKey| group.iter().map(|(label, value)| (label.name().to_owned(), value.to_string())).collect();
    evaluator
        .memories()
        .filter(|(_, _, memory)| worth(memory))
        .map(|(rule, group, memory)| RememberedGroup {
            rule: rule.name.clone(),
            group: named(group),
            memory: memory.clone(),
        })
        .collect()
}

/// Carries states on. Those of rules that are gone or group by something else are left out.
pub fn restore(evaluator: &mut Evaluator, groups: &[RememberedGroup]) {
    for group in groups {
        let labels = group.group.iter().map(|(name, value)| {
            let label = if name == Label::Statement.name() { Some(Label::Statement) } else { Label::parse(name) };
            label.map(|label| (label, value.as_str().into()))
        });
        if let Some(key) = labels.collect::<Option<Vec<_>>>() {
            evaluator.restore(&group.rule, &key, group.memory.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_set_aside_and_a_whole_one_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("alerts.json"), "{\"groups\": [").unwrap();
        let (file, mut remembered) = MemoryFile::open(dir.path()).unwrap();
        assert!(remembered.active.is_empty() && dir.path().join("alerts.json.damaged").exists());
        let made_at = 7;
        remembered.queue.push(Notification { id: "i".into(), url: "u".into(), body: "b".into(), made_at });
        file.save(&remembered).unwrap();
        let (_, again) = MemoryFile::open(dir.path()).unwrap();
        assert_eq!(again.queue, remembered.queue);
    }
}
