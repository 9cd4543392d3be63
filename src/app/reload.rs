//! Reading the configuration again on SIGHUP: what of it takes effect now, and what needs a restart.
//!
//! A file that cannot be used changes nothing. What the measuring thread has to know ([`Settings`]) it takes at the next
//! boundary between two intervals, so that no interval has rows by two sets of settings.

use super::alerts::{self, AlertService};
use super::config::Config;
use super::privacy;
use super::tls::Certificates;
use auscult_core::model::{Labels, MessagePolicy};
use auscult_core::privacy::{Mode, Privacy};
use auscult_store::endpoint::Token;
use auscult_store::query::Reader;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the measuring thread takes over at a boundary between intervals. A field of the engine's policy that may change
/// while it runs belongs here, with the key in [`APPLIED`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub labels: Labels,
    pub privacy: Privacy,
    pub messages: MessagePolicy,
}

/// Keys that SIGHUP applies; a change of any other is only reported.
const APPLIED: [&str; 8] = [
    "trunk",
    "store.token_file",
    "privacy.numbers",
    "privacy.mask",
    "privacy.key_file",
    "privacy.emergency_numbers",
    "privacy.messages",
    "measure.keep_sip_messages",
];

/// The section whose keys SIGHUP applies, but for `enabled`.
const ALERTS: &str = "alerts.";

/// Settings on their way to the measuring thread; newer ones replace those it has not taken yet.
#[derive(Default)]
pub struct Handover {
    waiting: AtomicBool,
    settings: Mutex<Option<Settings>>,
}

impl Handover {
    pub fn put(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
        self.waiting.store(true, Ordering::Release);
    }

    /// Whether there are any. Asked before each frame.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn take(&self) -> Option<Settings> {
        self.waiting.store(false, Ordering::Release);
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads the file again and hands out what changed.
pub struct Reload {
    path: Option<PathBuf>,
    /// Keys and values as the program runs with them: of the start, and those applied since.
    running: toml::Table,
    /// What the measuring thread has, or gets at the next boundary.
    settings: Settings,
    /// Searches by how numbers are stored.
    reader: Option<Reader>,
    token_text: Option<String>,
    password: Option<String>,
    /// Of the store's endpoint, while that is open.
    token: Option<Token>,
    handover: Arc<Handover>,
    certificates: Certificates,
    /// Rules and receivers, while alerts are on; and what they were read as.
    alerts: Option<(AlertService, alerts::Settings)>,
}

impl Reload {
    /// `config` is what the program was started with, from the file at `path`.
    pub fn new(
        path: Option<PathBuf>,
        config: &Config,
        token: Option<Token>,
        handover: Arc<Handover>,
        (alerts, certificates): (Option<AlertService>, Certificates),
    ) -> Reload {
        Reload {
            path,
            running: config.written.clone(),
            settings: Settings {
                labels: config.labels.clone(),
                privacy: config.policy.privacy.clone(),
                messages: config.policy.messages.clone(),
            },
            reader: None,
            token_text: config.store.listen.as_ref().map(|(_, token)| token.clone()),
            password: config.store.server.as_ref().map(|server| server.password.clone()),
            token,
            handover,
            certificates,
            alerts: alerts.zip(config.alerts.clone()),
        }
    }

    /// Whose searches follow a change of `privacy`.
    pub fn with_reader(mut self, reader: Reader) -> Reload {
        self.reader = Some(reader);
        self
    }

    /// Hands trunks, privacy and what is kept of messages to those that use them, and says what of them changed.
    fn take_over(&mut self, config: &Config, said: &mut Vec<String>) {
        let old = self.settings.clone();
        let new = &mut self.settings;
        new.labels.trunks = config.labels.trunks.clone();
        new.privacy = config.policy.privacy.clone();
        new.messages = config.policy.messages.clone();
        if new.labels.trunks != old.labels.trunks {
            let names: BTreeSet<&str> = new.labels.trunks.iter().map(|(_, name)| name.as_str()).collect();
            let names =
                if names.is_empty() { "none".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") };
            said.push(format!("trunks from the next interval on: {names}"));
        }
        if new.privacy != old.privacy {
            if let Some(reader) = &self.reader {
                reader.set_privacy(new.privacy.clone());
            }
            let how = privacy::status_line(&new.privacy).unwrap_or_else(|| match old.privacy.mode() {
                Mode::Clear => "searches use the new keys".to_owned(),
                _ => "numbers are stored in clear; what was hidden stays so".to_owned(),
            });
            said.push(format!("in calls that begin from the next interval on, {how}"));
        }
        if (new.messages.usual, &new.messages.of_trunks) != (old.messages.usual, &old.messages.of_trunks) {
            said.push(format!("SIP messages from the next interval on: {}", privacy::message_line(&new.messages)));
        }
        if *new != old {
            self.handover.put(new.clone());
        }
    }

    /// One line for the operator: what changed, or why nothing did.
    ///
    /// # Errors
    /// When the file cannot be used; nothing has changed then.
    pub fn reload(&mut self) -> Result<String, String> {
        let Some(path) = self.path.clone() else {
            return Ok(
                "SIGHUP: no configuration file to read again (run was started without --config); going on".into()
            );
        };
        let refused = |e| format!("SIGHUP: nothing changed: {}{}", super::one_line(&e), super::sandbox::hint(&e));
        let mut config = Config::load(&path).map_err(refused)?;
        let mut said = Vec::new();
        self.take_over(&config, &mut said);
        if let (Some(token), Some((_, text))) = (&self.token, &config.store.listen)
            && self.token_text.as_ref() != Some(text)
        {
            token.replace(text);
            self.token_text = Some(text.clone());
            said.push("a new token for store.listen".to_owned());
        }
        if let (Some((service, running)), Some(settings)) = (&mut self.alerts, &mut config.alerts)
            && running != settings
        {
            self.certificates.replace("alerts", &mut settings.receivers.identity);
            service.reload(settings.clone());
            *running = settings.clone();
            said.push(format!("{} rules of alerts", settings.rules.len()));
        }
        said.extend(self.certificates.reload());
        let applied = |key: &str| {
            APPLIED.contains(&key) || self.alerts.is_some() && key.starts_with(ALERTS) && key != "alerts.enabled"
        };
        let mut restart = changed(&self.running, &config.written);
        restart.retain(|key| !applied(key));
        let password = config.store.server.as_ref().map(|server| &server.password);
        if let (Some(old), Some(new)) = (&self.password, password)
            && old != new
            && !restart.iter().any(|key| key == "store.password_file")
        {
            restart.push("the content of store.password_file".to_owned());
        }
        if !restart.is_empty() {
            said.push(format!("only a restart applies {}", restart.join(", ")));
        }
        if said.is_empty() {
            said.push("nothing changed".to_owned());
        }
        let wrong = config.warnings.iter().filter(|warning| warning.contains("the other rules go on"));
        said.extend(wrong.cloned());
        Ok(format!("SIGHUP: {} read again: {}", path.display(), said.join("; ")))
    }
}

/// Keys (`section.key`) that two files set differently; a section of a list (`trunk`) is one key.
fn changed(old: &toml::Table, new: &toml::Table) -> Vec<String> {
    let (old, new) = (keys(old), keys(new));
    let differs = |(key, value): &(String, &toml::Value)| !new.iter().any(|(k, v)| k == key && v == value);
    let added = |(key, _): &(String, &toml::Value)| !old.iter().any(|(k, _)| k == key);
    let mut found: Vec<String> = old.iter().filter(|e| differs(e)).map(|(key, _)| key.clone()).collect();
    found.extend(new.iter().filter(|e| added(e)).map(|(key, _)| key.clone()));
    found.sort_unstable();
    found
}

fn keys(table: &toml::Table) -> Vec<(String, &toml::Value)> {
    let mut all = Vec::new();
    for (section, value) in table {
        match value {
            toml::Value::Table(keys) => all.extend(keys.iter().map(|(key, value)| (format!("{section}.{key}"), value))),
            value => all.push((section.clone(), value)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration file and what reads it.
    struct Rig {
        dir: tempfile::TempDir,
        reload: Reload,
        handover: Arc<Handover>,
        token: Token,
    }

    impl Rig {
        fn new(text: &str) -> Rig {
            let dir = tempfile::tempdir().unwrap();
            let (path, token_file) = (dir.path().join("auscult.toml"), dir.path().join("token"));
            std::fs::write(&token_file, "first\n").unwrap();
            std::fs::write(&path, text.replace("TOKEN", &token_file.display().to_string())).unwrap();
            let config = Config::load(&path).unwrap();
            let (handover, token) = (Arc::new(Handover::default()), Token::new("first"));
            let reload = Reload::new(
                Some(path),
                &config,
                Some(token.clone()),
                handover.clone(),
                (None, Certificates::of(&config)),
            );
            Rig { dir, reload, handover, token }
        }

        fn write(&self, name: &str, text: &str) {
            let text = text.replace("TOKEN", &self.dir.path().join("token").display().to_string());
            std::fs::write(self.dir.path().join(name), text).unwrap();
        }

        /// The line without the path.
        fn line(&mut self) -> String {
            let line = match self.reload.reload() {
                Ok(line) | Err(line) => line,
            };
            line.replace(&format!("{}/", self.dir.path().display()), "")
        }
    }

    const STORE: &str = "[store]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"TOKEN\"\n";

    fn trunk(name: &str) -> String {
        format!("[[trunk]]\nname = {name:?}\nnetworks = [\"192.0.2.0/24\"]\n")
    }

    #[test]
    fn trunks_and_the_token_are_taken_over() {
        let mut rig = Rig::new(&format!("{}{STORE}", trunk("old")));
        assert_eq!(rig.line(), "SIGHUP: auscult.toml read again: nothing changed");
        assert!(!rig.handover.is_waiting());
        rig.write("auscult.toml", &format!("{}{STORE}", trunk("new")));
        rig.write("token", "second\n");
        let said =
            "SIGHUP: auscult.toml read again: trunks from the next interval on: new; a new token for store.listen";
        assert_eq!(rig.line(), said);
        let labels = rig.handover.take().unwrap().labels;
        assert_eq!(labels.trunk("192.0.2.1".parse().ok(), None).name, "new");
        assert!(rig.token.matches("second") && !rig.token.matches("first"));
        assert_eq!(rig.line(), "SIGHUP: auscult.toml read again: nothing changed");
        assert!(!rig.handover.is_waiting());
        rig.write("auscult.toml", STORE);
        assert_eq!(rig.line(), "SIGHUP: auscult.toml read again: trunks from the next interval on: none");
    }

    #[test]
    fn privacy_is_taken_over_and_a_bad_key_changes_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let mut rig = Rig::new("");
        let key = rig.dir.path().join("key");
        let mode = |bits| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(bits)).unwrap();
        rig.write("key", &format!("{}\n", "01".repeat(32)));
        mode(0o644);
        rig.write("auscult.toml", "[privacy]\nnumbers = \"pseudonym\"\nkey_file = \"key\"\n");
        let line = rig.line();
        assert!(line.starts_with("SIGHUP: nothing changed: ") && line.contains("mode 0644"), "{line}");
        assert!(!rig.handover.is_waiting());
        mode(0o600);
        let line = rig.line();
        let said =
            "in calls that begin from the next interval on, numbers are stored as pseudonyms by key iruc; rows, ";
        assert!(line.contains(said) && !line.contains("restart"), "{line}");
        let settings = rig.handover.take().unwrap();
        assert_eq!((settings.privacy.mode(), settings.privacy.key_id()), (Mode::Pseudonym, "iruc"));
        // A new key in the same file.
        rig.write("key", &format!("{}\n{}\n", "01".repeat(32), "02".repeat(32)));
        assert!(rig.line().contains("as pseudonyms by key "));
        let rotated = rig.handover.take().unwrap().privacy;
        assert!(rotated.key_id() != "iruc" && rotated.stored_call_ids("x").len() == 2);
        rig.write("auscult.toml", "[privacy]\nmessages = \"headers\"\n");
        let said =
            "numbers are stored in clear; what was hidden stays so; SIP messages from the next interval on: headers";
        let line = rig.line();
        assert!(line.ends_with(said), "{line}");
        assert_eq!(rig.line(), "SIGHUP: auscult.toml read again: nothing changed");
    }

    #[test]
    fn a_bad_file_changes_nothing_and_says_where() {
        let mut rig = Rig::new(&format!("{}{STORE}", trunk("old")));
        rig.write("token", "second\n");
        for (text, said) in [
            ("[measure]\n\nintervall_s = 1\n", "auscult.toml: line 3: unknown field `intervall_s`"),
            ("[[trunk]]\nname = \"x\"\nnetworks = [\"192.0.2.1/24\"]\n", "bits after the prefix are set"),
            ("[store\n", "auscult.toml: line 1: "),
        ] {
            rig.write("auscult.toml", text);
            let line = rig.line();
            assert!(line.starts_with("SIGHUP: nothing changed: ") && line.contains(said), "{line}");
            assert_eq!(line.lines().count(), 1);
            assert!(!rig.handover.is_waiting() && rig.token.matches("first"));
        }
        std::fs::remove_file(rig.dir.path().join("auscult.toml")).unwrap();
        assert!(rig.line().starts_with("SIGHUP: nothing changed: cannot read configuration auscult.toml"));
    }

    #[test]
    fn keys_that_need_a_restart_are_named_until_there_is_one() {
        let mut rig = Rig::new("[capture]\nsnap_len = 200\n[measure]\ninterval_s = 10\n");
        rig.write("auscult.toml", "[probe]\nname = \"x\"\n[measure]\ninterval_s = 20\n");
        let said =
            "SIGHUP: auscult.toml read again: only a restart applies capture.snap_len, measure.interval_s, probe.name";
        assert_eq!((rig.line(), rig.line()), (said.to_owned(), said.to_owned()));
        rig.write("auscult.toml", "[capture]\nsnap_len = 200\n[measure]\ninterval_s = 10\n");
        assert_eq!(rig.line(), "SIGHUP: auscult.toml read again: nothing changed");
    }

    #[test]
    fn without_a_file_there_is_nothing_to_read() {
        let config = Config::default_config().unwrap();
        let mut reload = Reload::new(None, &config, None, Arc::default(), (None, Certificates::default()));
        assert!(reload.reload().unwrap().contains("no configuration file"));
    }
}
