//! What of people is stored: section `[privacy]` of the configuration, the file of its keys, and `auscult privacy`.

use super::config::within;
use super::privacy_report::{self, ReportArgs};
use anyhow::{Context, anyhow, bail};
use auscult_core::model::{Labels, MessagePolicy, Messages};
use auscult_core::privacy::{KEY_BYTES, KEYS_MAX, Key, Mask, Mode, Privacy, PrivacySettings};
use auscult_store::private;
use clap::Subcommand;
use serde::Deserialize;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most headers that may be stored as they came: each header of each message is compared with all of them.
const KEPT_HEADERS_MAX: usize = 64;

/// Most emergency numbers, and the digits of one: each user part is compared with all of them.
const EMERGENCY_NUMBERS_MAX: usize = 64;
const EMERGENCY_DIGITS_MAX: usize = 6;

/// Numbers of emergency services in most countries; those of a country are added by configuration.
pub const EMERGENCY_NUMBERS: [&str; 5] = ["112", "911", "999", "110", "000"];

/// Largest file of keys that is read, bytes.
const KEY_FILE_MAX: u64 = 64 * 1024;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawPrivacy {
    numbers: RawMode,
    mask: Option<RawMask>,
    key_file: Option<PathBuf>,
    emergency_numbers: Option<Vec<String>>,
    pub messages: Option<RawMessages>,
    keep_headers: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawMode {
    #[default]
    Clear,
    Masked,
    Pseudonym,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMask {
    prefix: usize,
    last: usize,
}

/// `off`, `headers` or `whole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawMessages {
    Off,
    Headers,
    Whole,
}

impl From<RawMessages> for Messages {
    fn from(raw: RawMessages) -> Messages {
        match raw {
            RawMessages::Off => Messages::Off,
            RawMessages::Headers => Messages::Headers,
            RawMessages::Whole => Messages::Whole,
        }
    }
}

impl RawPrivacy {
    /// Files that the section names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.key_file.iter()
    }

    /// How numbers are stored. A relative path of the key file begins at `beside`.
    pub fn privacy(&self, beside: &Path, warnings: &mut Vec<String>) -> anyhow::Result<Privacy> {
        let mode = match self.numbers {
            RawMode::Clear => Mode::Clear,
            RawMode::Masked => Mode::Masked,
            RawMode::Pseudonym => Mode::Pseudonym,
        };
        let mask = match self.mask {
            None => Mask::default(),
            Some(raw) => Mask {
                prefix: within("privacy.mask.prefix", raw.prefix, 0, Mask::PREFIX_MAX)?,
                last: within("privacy.mask.last", raw.last, 0, Mask::LAST_MAX)?,
            },
        };
        if self.mask.is_some() && mode != Mode::Masked {
            warnings.push(format!(
                "privacy.mask has no effect on what is stored while privacy.numbers is \"{}\"; rows that were masked are found by it",
                mode.name()
            ));
        }
        let keys = match &self.key_file {
            Some(path) => read_keys(&beside.join(path))?,
            None => Vec::new(),
        };
        let settings = PrivacySettings { mode, mask, keys, emergency_numbers: self.emergency_numbers()? };
        Privacy::new(settings).map_err(|_| {
            anyhow!(
                "privacy.numbers = \"{}\" needs privacy.key_file: Call-IDs, which may hold numbers, are stored as keyed \
                 hashes; make a key with `auscult privacy new-key FILE`",
                mode.name()
            )
        })
    }

    fn emergency_numbers(&self) -> anyhow::Result<Vec<String>> {
        let Some(numbers) = &self.emergency_numbers else {
            return Ok(EMERGENCY_NUMBERS.map(str::to_owned).to_vec());
        };
        within("the count of privacy.emergency_numbers", numbers.len(), 0, EMERGENCY_NUMBERS_MAX)?;
        let is_short =
            |n: &String| (1..=EMERGENCY_DIGITS_MAX).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
        if let Some(wrong) = numbers.iter().find(|number| !is_short(number)) {
            bail!("privacy.emergency_numbers: {wrong:?} is not a number of 1 to {EMERGENCY_DIGITS_MAX} digits");
        }
        Ok(numbers.clone())
    }

    pub fn kept_headers(self) -> anyhow::Result<Vec<String>> {
        let names = self.keep_headers;
        if names.len() > KEPT_HEADERS_MAX {
            bail!("privacy.keep_headers has {} names: it may have {KEPT_HEADERS_MAX}", names.len());
        }
        for name in &names {
            if let Err(why) = auscult_core::wire::sip::may_keep(name) {
                bail!("privacy.keep_headers: {name:?} cannot be kept: {why}");
            }
        }
        Ok(names)
    }
}

/// How much of messages is stored, by `privacy.messages`, its older form `measure.keep_sip_messages`, and the trunks that have
/// a setting of their own.
pub fn kept_messages(
    messages: Option<RawMessages>,
    keep: Option<bool>,
    of_trunks: Vec<(String, RawMessages)>,
    labels: &Labels,
) -> anyhow::Result<MessagePolicy> {
    let older = keep.map(|keep| if keep { RawMessages::Whole } else { RawMessages::Off });
    let usual = match (messages, older) {
        (Some(new), Some(old)) if (new == RawMessages::Off) != (old == RawMessages::Off) => bail!(
            "privacy.messages = \"{}\" and measure.keep_sip_messages = {} contradict each other: remove the latter",
            Messages::from(new).name(),
            old != RawMessages::Off
        ),
        (new, old) => new.or(old).map_or(Messages::default(), Messages::from),
    };
    for (name, messages) in &of_trunks {
        if of_trunks.iter().any(|(other, differs)| other == name && differs != messages) {
            bail!("trunk {name:?} has two different values of messages");
        }
    }
    let labels = if of_trunks.is_empty() { Labels::default() } else { labels.clone() };
    let of_trunks = of_trunks.into_iter().map(|(name, messages)| (name, messages.into())).collect();
    Ok(MessagePolicy { usual, of_trunks, labels })
}

/// One line for the operator where numbers are hidden: how, and what stays as it was.
pub fn status_line(privacy: &Privacy) -> Option<String> {
    let how = match privacy.mode() {
        Mode::Clear => return None,
        Mode::Masked => format!("numbers are stored masked, Call-IDs hashed by key {}", privacy.key_id()),
        Mode::Pseudonym => format!("numbers are stored as pseudonyms by key {}", privacy.key_id()),
    };
    Some(format!(
        "{how}; rows, spool segments and dead letters from before keep what they have until retention removes them"
    ))
}

/// What is kept of messages, in words.
pub fn message_line(policy: &MessagePolicy) -> String {
    let trunks = policy.of_trunks.iter().map(|(name, messages)| format!(", {} of trunk {name}", messages.name()));
    std::iter::once(policy.usual.name().to_owned()).chain(trunks).collect()
}

/// Reads a file of keys; the newest, which is the last line, comes first.
///
/// # Errors
/// Others may read it, or a line is no key.
fn read_keys(path: &Path) -> anyhow::Result<Vec<Key>> {
    let what = || format!("cannot read privacy.key_file {}", path.display());
    let mut file = std::fs::File::open(path).with_context(what)?;
    let about = file.metadata().with_context(what)?;
    if about.mode() & 0o077 != 0 {
        bail!(
            "privacy.key_file {} has mode {:04o}: other users may read or change it; chmod 600 {}",
            path.display(),
            about.mode() & 0o7777,
            path.display()
        );
    }
    if about.len() > KEY_FILE_MAX {
        bail!("privacy.key_file {} is larger than {KEY_FILE_MAX} bytes: it is no file of keys", path.display());
    }
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(what)?;
    let mut keys: Vec<Key> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let secret = unhex(line).ok_or_else(|| {
            anyhow!(
                "privacy.key_file {}: line {number} is not a key of {} hexadecimal digits",
                path.display(),
                2 * KEY_BYTES
            )
        })?;
        let key = Key::new(secret);
        if keys.iter().any(|other| other.id() == key.id()) {
            bail!("privacy.key_file {}: line {number} has a key that an earlier line has", path.display());
        }
        keys.insert(0, key);
    }
    match keys.len() {
        0 => bail!(
            "privacy.key_file {} has no key: `auscult privacy new-key {}` adds one",
            path.display(),
            path.display()
        ),
        n if n > KEYS_MAX => bail!("privacy.key_file {} has {n} keys: it may have {KEYS_MAX}", path.display()),
        _ => Ok(keys),
    }
}

fn unhex(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = [0; KEY_BYTES];
    for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(secret)
}

#[derive(Debug, Subcommand)]
pub enum PrivacyCommand {
    /// Add a key for pseudonyms to a file, which is made where there is none. The last key is used for writing, all for
    /// searching; a running program takes it over on SIGHUP.
    NewKey {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print what is stored of persons: tables and files, columns, how long, how many rows and from when to when.
    Report(ReportArgs),
}

pub fn run(command: &PrivacyCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        PrivacyCommand::NewKey { file } => new_key(file, out),
        PrivacyCommand::Report(args) => privacy_report::run(args),
    }
}

fn new_key(file: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let keys = if file.exists() { read_keys(file)? } else { Vec::new() };
    if keys.len() >= KEYS_MAX {
        bail!("{} has {} keys, which is the most: remove the oldest lines first", file.display(), keys.len());
    }
    let mut text = match keys.is_empty() {
        true => "# Keys of auscult's pseudonyms. The last one is used for writing, all for searching. Who has a key can test\n\
                 # which number a pseudonym stands for: keep this file secret, and keep a copy of it.\n"
            .to_owned(),
        false => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut secret = [0; KEY_BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut secret))
        .context("no random numbers")?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push_str(&digits);
    text.push('\n');
    replace(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    let id = Key::new(secret).id().to_owned();
    Ok(writeln!(out, "key {id} added to {}; a running program uses it after SIGHUP", file.display())?)
}

/// Writes a file whole or not at all. Its owner stays.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = private::create_file(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if let Ok(about) = std::fs::metadata(path) {
        std::os::unix::fs::chown(&beside, Some(about.uid()), Some(about.gid()))?;
    }
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::super::config::{Config, Raw};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn check(text: &str) -> anyhow::Result<Config> {
        Config::check(toml::from_str::<Raw>(text).expect("a configuration"))
    }

    fn refused(text: &str) -> String {
        format!("{:#}", check(text).expect_err("refused"))
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_line() {
        for (text, why) in [
            ("[privacy]\nnumbers = \"masked\"", "needs privacy.key_file"),
            ("[privacy]\nnumbers = \"pseudonym\"", "`auscult privacy new-key FILE`"),
            ("[privacy]\nmask = { prefix = 7, last = 2 }", "privacy.mask.prefix = 7: it must be from 0 to 6"),
            ("[privacy]\nmask = { prefix = 4, last = 5 }", "privacy.mask.last = 5: it must be from 0 to 4"),
            (
                "[privacy]\nemergency_numbers = [\"112\", \"+49301234\"]",
                "\"+49301234\" is not a number of 1 to 6 digits",
            ),
            ("[privacy]\nkey_file = \"/nonexistent/key\"", "cannot read privacy.key_file /nonexistent/key"),
            ("[privacy]\nmessages = \"whole\"\n[measure]\nkeep_sip_messages = false", "contradict each other"),
            ("[privacy]\nmessages = \"off\"\n[measure]\nkeep_sip_messages = true", "contradict each other"),
            (
                "[[trunk]]\nname = \"a\"\nnetworks = []\nmessages = \"off\"\n[[trunk]]\nname = \"a\"\nnetworks = []\nmessages = \"whole\"",
                "trunk \"a\" has two different values of messages",
            ),
        ] {
            let line = refused(text);
            assert!(line.contains(why) && line.lines().count() == 1, "{text}: {line}");
        }
    }

    #[test]
    fn messages_are_kept_by_either_key() {
        let usual = |text: &str| check(text).unwrap().policy.messages;
        assert_eq!(usual(""), MessagePolicy::default());
        assert_eq!(usual("[measure]\nkeep_sip_messages = false"), MessagePolicy::all(Messages::Off));
        assert_eq!(
            usual("[measure]\nkeep_sip_messages = true\n[privacy]\nmessages = \"headers\"").usual,
            Messages::Headers
        );
        let of_trunk = usual(
            "[[trunk]]\nname = \"a\"\nnetworks = [\"192.0.2.0/24\"]\nmessages = \"headers\"\n[privacy]\nmessages = \"off\"",
        );
        assert_eq!(message_line(&of_trunk), "off, headers of trunk a");
        assert_eq!(of_trunk.labels.trunk("192.0.2.1".parse().ok(), None).name, "a");
    }

    #[test]
    fn the_last_key_writes_and_the_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let mut said = Vec::new();
        run(&PrivacyCommand::NewKey { file: file.clone() }, &mut said).unwrap();
        run(&PrivacyCommand::NewKey { file: file.clone() }, &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        let keys = read_keys(&file).unwrap();
        let ids: Vec<&str> = said.lines().rev().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(keys.iter().map(Key::id).collect::<Vec<_>>(), ids);
        let text = format!("[privacy]\nnumbers = \"pseudonym\"\nkey_file = {file:?}");
        let privacy = check(&text).unwrap().policy.privacy;
        assert_eq!(privacy.key_id(), ids[0]);
        assert!(status_line(&privacy).unwrap().contains(&format!("as pseudonyms by key {}; rows", ids[0])));
        assert_eq!(status_line(&Privacy::clear()), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
        assert!(refused(&text).contains("has mode 0604: other users may read or change it; chmod 600"));
    }

    #[test]
    fn a_mask_without_effect_is_warned_of() {
        let warnings = check("[privacy]\nmask = { prefix = 2, last = 0 }").unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("privacy.mask has no effect"), "{warnings:?}");
    }
}
