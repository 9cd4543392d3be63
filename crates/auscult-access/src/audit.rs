//! The audit log: who saw or changed what, when and from where, as lines that are chained with a key.
//!
//! Each line is JSON and ends with `mac`: HMAC-SHA256 with the key of the log over the `mac` before and the line without its own. A line that
//! is changed, removed or put in breaks the chain. What is cut off at the end does not; the head is therefore logged each hour, elsewhere.
//! Segments are files named by the number of their first row; old ones are removed as a whole, and the chain then begins at an anchor.
//! Several processes may append: each append holds a lock and reads the end again when another one wrote.

use super::private::{self, Lock};
use super::role::{Principal, Role, Via};
use super::secret;
use auscult_core::units::Timestamp;
use auscult_core::units::text::clean;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Longest text of a row about what was seen or done, bytes.
const MAX_WHAT: usize = 1000;
/// A segment that is larger, or of another day, ends.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Longest line; a longer one is no row of this log.
const MAX_LINE: u64 = 16 << 10;
/// `,"mac":"`, 64 digits, `"}`.
const MAC_LENGTH: usize = 8 + 64 + 2;
const KEY: &str = "audit.key";
/// What a key makes of a constant, so that another key is noticed.
const KEY_CHECK: &str = "key.check";
const LOCK: &str = "lock";
const ANCHOR: &str = "anchor.json";
const DIRECTORY: &str = "audit";

macro_rules! names {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $kind { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl $kind {
            pub const ALL: &[$kind] = &[$($kind::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }
        }
    };
}

names! {
    /// What somebody did.
    Action {
        /// Signed in, or tried to.
        SignIn = "sign_in",
        SignOut = "sign_out",
        /// Saw a list of calls.
        CallList = "call_list",
        /// Saw one call.
        CallView = "call_view",
        /// Searched calls by number or Call-ID.
        CallSearch = "call_search",
        /// Saw a list of streams with their addresses.
        StreamList = "stream_list",
        /// Took calls, streams or intervals as a file.
        Export = "export",
        /// Read tables with parties or addresses over the store endpoint.
        StoreQuery = "store_query",
        SilenceBegin = "silence_begin",
        SilenceEnd = "silence_end",
        /// Saw the audit log.
        AuditView = "audit_view",
        UserAdd = "user_add",
        UserChange = "user_change",
        UserRemove = "user_remove",
        TokenAdd = "token_add",
        TokenRevoke = "token_revoke",
        /// Deleted the rows of a person or call.
        Erase = "erase",
        /// Old rows of this log were removed.
        Prune = "prune",
        /// A line that a crash had cut off was removed.
        Repair = "repair",
        /// Asked for what the role or scope does not allow.
        Denied = "denied",
    }
}

names! {
    /// What came of it.
    Outcome {
        Allowed = "allowed",
        Refused = "refused",
    }
}

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Timestamp,
    /// Name of the user or token, or what was given as one.
    pub who: String,
    pub via: Via,
    /// None for somebody who did not get in.
    pub role: Option<Role>,
    /// Address of the client; none for commands.
    pub from: Option<IpAddr>,
    pub action: Action,
    /// One line: which call, which parameters. Never a number or a Call-ID in clear.
    pub what: String,
    pub outcome: Outcome,
}

impl Entry {
    /// What somebody known did and was allowed to.
    pub fn of(principal: &Principal, from: Option<IpAddr>, action: Action, what: String, at: Timestamp) -> Entry {
        let who = if principal.name.is_empty() { "anybody".to_owned() } else { principal.name.to_string() };
        let role = Some(principal.role);
        Entry { at, who, via: principal.via, role, from, action, what, outcome: Outcome::Allowed }
    }
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub seq: u64,
    /// RFC 3339.
    pub at: String,
    pub who: String,
    pub via: Via,
    pub role: Option<Role>,
    pub from: Option<IpAddr>,
    pub action: Action,
    pub what: String,
    pub outcome: Outcome,
}

/// Number and `mac` of the last row; 0 and zeros of a log without rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub mac: [u8; 32],
}

impl Head {
    /// As the program logs it and `auscult audit verify --head` takes it: `12:64 hexadecimal digits`.
    pub fn to_text(self) -> String {
        format!("{}:{}", self.seq, secret::hex(&self.mac))
    }

    pub fn parse(text: &str) -> Option<Head> {
        let (seq, mac) = text.trim().split_once(':')?;
        Some(Head { seq: seq.parse().ok()?, mac: secret::from_hex(mac)? })
    }
}

/// Where rows that were removed ended, sealed with the key.
#[derive(Serialize, Deserialize)]
struct Anchor {
    seq: u64,
    mac: String,
    seal: String,
}

/// Why the log cannot be read or written; one line.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: the key of the audit log must be 64 hexadecimal digits", .0.display())]
    Key(PathBuf),
    #[error("{} line {line}: {why}", path.display())]
    Broken { path: PathBuf, line: u64, why: &'static str },
    #[error("{0}")]
    Refused(String),
}

/// What [`AuditLog::verify`] found of a log that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of the first row that is kept; 0 without rows.
    pub first: u64,
    pub head: Head,
    /// Whether the head that was asked for is in the chain; none where it is of a row that was removed.
    pub has_head: Option<bool>,
}

/// Which rows are read; `None` is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub who: Option<String>,
    pub action: Option<Action>,
    /// Rows with smaller numbers only.
    pub before: Option<u64>,
}

impl Filter {
    fn matches(&self, row: &Row) -> bool {
        let at = || Timestamp::parse_rfc3339(&row.at);
        self.before.is_none_or(|before| row.seq < before)
            && self.who.as_ref().is_none_or(|who| *who == row.who)
            && self.action.is_none_or(|action| action == row.action)
            && self.from.is_none_or(|from| at().is_some_and(|at| at >= from))
            && self.to.is_none_or(|to| at().is_some_and(|at| at <= to))
    }
}

/// What happens to a line that a crash has cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    /// It is removed, which the caller records.
    IsCut,
    Stays,
}

/// The end of the log as it was written or read last.
#[derive(Clone, Debug, Default)]
struct End {
    segment: Option<PathBuf>,
    length: u64,
    head: Head,
    /// Day of the first row of the segment, days since 1970.
    day: i64,
}

/// The audit log of a data directory.
pub struct AuditLog {
    dir: PathBuf,
    key: [u8; 32],
    end: Mutex<End>,
}

impl AuditLog {
    /// Opens the log of the directory for access, and makes it and its key. `key_file`: a key that is kept elsewhere.
    ///
    /// # Errors
    /// The directory or key cannot be made or read, or others may read the key.
    pub fn open(access: &Path, key_file: Option<&Path>) -> Result<AuditLog, AuditError> {
        let dir = access.join(DIRECTORY);
        private::create_dir(&dir).map_err(io_error("create", &dir))?;
        let key = match key_file {
            Some(path) => read_key(path)?.ok_or_else(|| {
                AuditError::Refused(format!(
                    "there is no key of the audit log at {}: write 64 hexadecimal digits into it (openssl rand -hex 32), mode 600",
                    path.display()
                ))
            })?,
            None => own_key(&dir)?,
        };
        let log = AuditLog { dir, key, end: Mutex::default() };
        log.check_key()?;
        Ok(log)
    }

    /// Keeps two keys from writing one chain, such as that of a command without the configuration and that of the program.
    fn check_key(&self) -> Result<(), AuditError> {
        let path = self.dir.join(KEY_CHECK);
        let own = secret::hex(&self.mac(&[b"key\0"]));
        let _lock = self.lock()?;
        match private::read(&path).map_err(io_error("read", &path))? {
            None => private::replace(&path, &own).map_err(io_error("write", &path)),
            Some(text) if text.trim() == own => Ok(()),
            Some(_) => Err(AuditError::Refused(format!(
                "the audit log in {} was begun with another key: name the configuration (--config), or set access.audit_key_file as it was",
                self.dir.display()
            ))),
        }
    }

    /// Adds rows, synced to the disk when this returns.
    ///
    /// # Errors
    /// The disk refuses; nothing was added then, or what was is cut off by the next append.
    pub fn append(&self, entries: &[Entry]) -> Result<Head, AuditError> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.lock()?;
        let repaired = self.find_end(&mut end, Torn::IsCut)?;
        let repaired = repaired.map(|bytes| self.repair_entry(entries, bytes));
        for entry in repaired.iter().chain(entries) {
            self.write(&mut end, entry)?;
        }
        Ok(end.head)
    }

    fn repair_entry(&self, entries: &[Entry], bytes: u64) -> Entry {
        Entry {
            at: entries.first().map_or(Timestamp(0), |entry| entry.at),
            action: Action::Repair,
            what: format!("{bytes} bytes of a line that was not finished"),
            ..system_entry()
        }
    }

    /// The end of the log as it is now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head(&self) -> Result<Head, AuditError> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.lock()?;
        self.find_end(&mut end, Torn::Stays)?;
        Ok(end.head)
    }

    /// What is written of a number or Call-ID: 16 hexadecimal digits of a keyed hash. The same text has the same, so that an admin can look
    /// for a number that is known.
    pub fn pseudonym(&self, text: &str) -> String {
        let mac = self.mac(&[b"searched\0", text.as_bytes()]);
        secret::hex(&mac)[..16].to_owned()
    }

    /// The newest rows first.
    ///
    /// # Errors
    /// A file cannot be read, or a line is none of this log.
    pub fn read(&self, filter: &Filter, most: usize) -> Result<Vec<Row>, AuditError> {
        let mut found = Vec::new();
        for (first, path) in self.segments()?.into_iter().rev() {
            if filter.before.is_some_and(|before| first >= before) {
                continue;
            }
            let mut of_segment = Vec::new();
            let mut oldest = None;
            read_lines(&path, |line| {
                let row = row_of(&path, line)?;
                oldest.get_or_insert_with(|| row.at.clone());
                if filter.matches(&row) {
                    of_segment.push(row);
                }
                Ok(())
            })?;
            found.extend(of_segment.into_iter().rev());
            let too_old =
                |at: &String| Timestamp::parse_rfc3339(at).zip(filter.from).is_some_and(|(oldest, from)| oldest < from);
            if found.len() >= most || oldest.as_ref().is_some_and(too_old) {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// Follows the chain from its beginning or anchor to the end. `head` is one that was logged before: the chain must have it.
    ///
    /// # Errors
    /// [`AuditError::Broken`] with the first line that does not fit.
    pub fn verify(&self, head: Option<Head>) -> Result<Verified, AuditError> {
        // Read up to the end of this moment, without keeping others from writing: it may be years of rows.
        let until = self.head()?.seq;
        let anchor = self.anchor()?;
        let (mut at, mut first) = (anchor, 0);
        let mut has_head = head.map(|head| head == at);
        for (_, path) in self.segments()? {
            read_lines(&path, |line| {
                let row = row_of(&path, line)?;
                // A removal of old segments that was cut off; and what was written meanwhile.
                if row.seq <= anchor.seq || row.seq > until {
                    return Ok(());
                }
                let broken = |why| Err(AuditError::Broken { path: path.clone(), line: line.number, why });
                let Some((payload, mac)) = split_mac(line.text) else { return broken("it has no mac") };
                if row.seq != at.seq + 1 {
                    return broken("a row before it is missing");
                }
                if !secret::equal(&self.mac(&[&at.mac, payload.as_bytes(), b"}"]), &mac) {
                    return broken("it was changed, or the row before it was");
                }
                at = Head { seq: row.seq, mac };
                first = if first == 0 { row.seq } else { first };
                has_head = has_head.map(|has| has || head == Some(at));
                Ok(())
            })?;
        }
        let removed = head.is_some_and(|head| head.seq < anchor.seq);
        Ok(Verified { first, head: at, has_head: has_head.filter(|has| *has || !removed) })
    }

    /// Removes segments whose rows are all older than `before`, but for the last one; how many rows went.
    ///
    /// # Errors
    /// As [`AuditLog::append`] and [`AuditLog::verify`]: a log that is not whole is not shortened.
    pub fn prune(&self, before: Timestamp, now: Timestamp) -> Result<u64, AuditError> {
        let segments = self.segments()?;
        let mut last = None;
        for pair in segments.windows(2) {
            let [(first, _), (next, path)] = pair else { continue };
            match first_row(path)?.and_then(|row| Timestamp::parse_rfc3339(&row.at)) {
                Some(at) if at <= before => last = Some((*first, *next - 1)),
                _ => break,
            }
        }
        let Some((_, last)) = last else { return Ok(0) };
        let old = self.anchor()?.seq;
        self.verify(None)?;
        {
            let _end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            let _lock = self.lock()?;
            let mac = self.mac_of(last)?;
            let anchor = Anchor { seq: last, mac: secret::hex(&mac), seal: secret::hex(&self.seal(last, &mac)) };
            let path = self.dir.join(ANCHOR);
            let text = serde_json::to_string(&anchor).map_err(|e| AuditError::Refused(e.to_string()))?;
            private::replace(&path, &text).map_err(io_error("write", &path))?;
            for (first, path) in segments.iter().filter(|(first, _)| *first <= last) {
                debug_assert!(*first <= last);
                std::fs::remove_file(path).map_err(io_error("remove", path))?;
            }
        }
        let removed = last.saturating_sub(old);
        let what = format!("rows {} to {last}", old + 1);
        self.append(&[Entry { at: now, action: Action::Prune, what, ..system_entry() }])?;
        Ok(removed)
    }

    /// The `mac` of one row.
    fn mac_of(&self, seq: u64) -> Result<[u8; 32], AuditError> {
        let mut found = None;
        let segment = self.segments()?.into_iter().rev().find(|(first, _)| *first <= seq);
        if let Some((_, path)) = segment {
            read_lines(&path, |line| {
                if row_of(&path, line)?.seq == seq {
                    found = split_mac(line.text).map(|(_, mac)| mac);
                }
                Ok(())
            })?;
        }
        found.ok_or_else(|| AuditError::Refused(format!("the audit log has no row {seq}")))
    }

    fn seal(&self, seq: u64, mac: &[u8; 32]) -> [u8; 32] {
        self.mac(&[b"anchor\0", &seq.to_be_bytes(), mac])
    }

    /// Where rows that were removed ended.
    fn anchor(&self) -> Result<Head, AuditError> {
        let path = self.dir.join(ANCHOR);
        let Some(text) = private::read(&path).map_err(io_error("read", &path))? else { return Ok(Head::default()) };
        let broken = |why| AuditError::Broken { path: path.clone(), line: 1, why };
        let anchor: Anchor = serde_json::from_str(&text).map_err(|_| broken("it is no anchor"))?;
        let (Some(mac), Some(seal)) = (secret::from_hex(&anchor.mac), secret::from_hex(&anchor.seal)) else {
            return Err(broken("it is no anchor"));
        };
        if !secret::equal(&self.seal(anchor.seq, &mac), &seal) {
            return Err(broken("it was changed, or it is of another key"));
        }
        Ok(Head { seq: anchor.seq, mac })
    }

    fn lock(&self) -> Result<Lock, AuditError> {
        let path = self.dir.join(LOCK);
        Lock::wait(&path).map_err(io_error("lock", &path))
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Number of the first row and path of each segment, in order.
    fn segments(&self) -> Result<Vec<(u64, PathBuf)>, AuditError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(io_error("read", &self.dir))? {
            let entry = entry.map_err(io_error("read", &self.dir))?;
            let name = entry.file_name();
            let first = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|seq| seq.parse().ok());
            found.extend(first.map(|first: u64| (first, entry.path())));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Brings `end` up to date when another process has written. Cuts off a line that was not finished; how many bytes it had.
    fn find_end(&self, end: &mut End, on_torn: Torn) -> Result<Option<u64>, AuditError> {
        if let Some(segment) = &end.segment
            && std::fs::metadata(segment).is_ok_and(|about| about.len() == end.length)
            && !self.dir.join(segment_name(end.head.seq + 1)).exists()
        {
            return Ok(None);
        }
        let Some((_, path)) = self.segments()?.pop() else {
            let anchor = self.anchor()?;
            *end = End { head: anchor, ..End::default() };
            return Ok(None);
        };
        let mut file = File::options().read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        let length = file.metadata().map_err(io_error("look at", &path))?.len();
        let mut tail = Vec::new();
        let from = length.saturating_sub(2 * MAX_LINE);
        let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut tail));
        read.map_err(io_error("read", &path))?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = (tail.len() - whole) as u64;
        if torn > 0 && on_torn == Torn::IsCut {
            file.set_len(length - torn).and_then(|()| file.sync_all()).map_err(io_error("cut", &path))?;
        }
        tail.truncate(whole);
        let last = tail.trim_ascii_end().split(|byte| *byte == b'\n').next_back().unwrap_or_default();
        let head = match std::str::from_utf8(last).ok().filter(|line| !line.is_empty()) {
            None => self.head_before(&path)?,
            Some(line) => {
                let line = Line { number: 0, text: line };
                let row = row_of(&path, line)?;
                let broken = || AuditError::Broken { path: path.clone(), line: 0, why: "its last line has no mac" };
                Head { seq: row.seq, mac: split_mac(line.text).ok_or_else(broken)?.1 }
            }
        };
        let day = first_row(&path)?.and_then(|row| Timestamp::parse_rfc3339(&row.at)).map_or(0, day_of);
        if torn > 0 && on_torn == Torn::Stays {
            *end = End { head, ..End::default() };
            return Ok(None);
        }
        *end = End { segment: Some(path), length: length - torn, head, day };
        Ok((torn > 0).then_some(torn))
    }

    /// The head before a segment whose only line was cut off.
    fn head_before(&self, segment: &Path) -> Result<Head, AuditError> {
        let before = self.segments()?.into_iter().rev().find(|(_, path)| path != segment);
        let Some((_, path)) = before else { return self.anchor() };
        let mut head = Head::default();
        read_lines(&path, |line| {
            let row = row_of(&path, line)?;
            head = Head { seq: row.seq, mac: split_mac(line.text).map_or([0; 32], |(_, mac)| mac) };
            Ok(())
        })?;
        Ok(head)
    }

    fn write(&self, end: &mut End, entry: &Entry) -> Result<(), AuditError> {
        let row = Row {
            seq: end.head.seq + 1,
            at: entry.at.to_rfc3339(),
            who: clean(&entry.who, 128),
            via: entry.via,
            role: entry.role,
            from: entry.from,
            action: entry.action,
            what: clean(&entry.what, MAX_WHAT),
            outcome: entry.outcome,
        };
        let mut line = serde_json::to_string(&row).map_err(|e| AuditError::Refused(e.to_string()))?;
        let mac = self.mac(&[&end.head.mac, line.as_bytes()]);
        line.pop();
        line.push_str(",\"mac\":\"");
        line.push_str(&secret::hex(&mac));
        line.push_str("\"}\n");
        let day = day_of(entry.at);
        let path = match &end.segment {
            Some(path) if end.length < SEGMENT_BYTES && (end.length == 0 || day <= end.day) => path.clone(),
            _ => {
                (end.length, end.day) = (0, day);
                self.dir.join(segment_name(row.seq))
            }
        };
        let mut file = private::open(&path).map_err(io_error("open", &path))?;
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
        if let Err(source) = written {
            // What was written of the line goes; if that fails, too, the next append does it.
            let _ = file.set_len(end.length);
            end.segment = None;
            return Err(AuditError::Io { what: "write", path, source });
        }
        if end.length == 0 {
            let dir = File::open(&self.dir).and_then(|dir| dir.sync_all());
            dir.map_err(io_error("sync", &self.dir))?;
            end.day = day;
        }
        end.length += line.len() as u64;
        end.head = Head { seq: row.seq, mac };
        end.segment = Some(path);
        Ok(())
    }
}

/// What the program does by itself.
fn system_entry() -> Entry {
    Entry {
        at: Timestamp(0),
        who: "auscult".to_owned(),
        via: Via::Command,
        role: None,
        from: None,
        action: Action::Repair,
        what: String::new(),
        outcome: Outcome::Allowed,
    }
}

fn segment_name(first: u64) -> String {
    format!("{first:012}.jsonl")
}

fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(86_400 * 1_000_000_000)
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_path_buf();
    move |source| AuditError::Io { what, path, source }
}

fn read_key(path: &Path) -> Result<Option<[u8; 32]>, AuditError> {
    let Some(text) = private::read(path).map_err(io_error("read", path))? else { return Ok(None) };
    secret::from_hex(text.trim()).map(Some).ok_or_else(|| AuditError::Key(path.to_path_buf()))
}

/// The key in the directory of the log, made when it is not there. Not when there are rows: they would no longer verify.
fn own_key(dir: &Path) -> Result<[u8; 32], AuditError> {
    let path = dir.join(KEY);
    let lock = dir.join(LOCK);
    let _lock = Lock::wait(&lock).map_err(io_error("lock", &lock))?;
    if let Some(key) = read_key(&path)? {
        return Ok(key);
    }
    let mut entries = std::fs::read_dir(dir).map_err(io_error("read", dir))?;
    if entries.any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "jsonl"))) {
        return Err(AuditError::Refused(format!(
            "the audit log has no key at {}: name the configuration (--config) that has access.audit_key_file, put the key back from a copy, \
             or move {} away to begin a new log",
            path.display(),
            dir.display()
        )));
    }
    let key = secret::random::<32>().map_err(io_error("get random bytes for", &path))?;
    private::replace(&path, &format!("{}\n", secret::hex(&key))).map_err(io_error("write", &path))?;
    Ok(key)
}

#[derive(Clone, Copy)]
struct Line<'a> {
    /// From 1 on; 0 for the last.
    number: u64,
    text: &'a str,
}

/// Hands on the finished lines of a segment.
fn read_lines(path: &Path, mut each: impl FnMut(Line) -> Result<(), AuditError>) -> Result<(), AuditError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let mut reader = BufReader::new(file);
    let mut number = 0;
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(io_error("read", path))?;
        if line.is_empty() || line.last() != Some(&b'\n') && line.len() < MAX_LINE as usize {
            return Ok(());
        }
        number += 1;
        let broken = |why| AuditError::Broken { path: path.to_path_buf(), line: number, why };
        let text = std::str::from_utf8(&line).map_err(|_| broken("it is no row of this log"))?;
        each(Line { number, text: text.trim_end_matches('\n') })?;
    }
}

fn first_row(path: &Path) -> Result<Option<Row>, AuditError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let mut line = Vec::new();
    BufReader::new(file).take(MAX_LINE).read_until(b'\n', &mut line).map_err(io_error("read", path))?;
    let text = std::str::from_utf8(&line).ok().filter(|text| text.ends_with('\n'));
    text.map(|text| row_of(path, Line { number: 1, text: text.trim_end() })).transpose()
}

fn row_of(path: &Path, line: Line) -> Result<Row, AuditError> {
    let broken =
        |_| AuditError::Broken { path: path.to_path_buf(), line: line.number, why: "it is no row of this log" };
    serde_json::from_str(line.text).map_err(broken)
}

/// A line without its mac and closing brace, and the mac.
fn split_mac(line: &str) -> Option<(&str, [u8; 32])> {
    let (payload, mac) = line.split_at_checked(line.len().checked_sub(MAC_LENGTH)?)?;
    let mac = mac.strip_prefix(",\"mac\":\"")?.strip_suffix("\"}")?;
    Some((payload, secret::from_hex(mac)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(day: i64, what: &str) -> Entry {
        let at = Timestamp::from_secs(1_700_000_000 + day * 86_400);
        Entry::of(&Principal::command("alice"), "192.0.2.1".parse().ok(), Action::CallView, what.to_owned(), at)
    }

    fn log(dir: &Path) -> AuditLog {
        AuditLog::open(dir, None).unwrap()
    }

    fn segments(dir: &Path) -> Vec<PathBuf> {
        log(dir).segments().unwrap().into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn rows_are_chained_read_newest_first_and_carried_on_by_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (log(dir.path()), log(dir.path()));
        one.append(&[entry(0, "a"), entry(0, "b")]).unwrap();
        two.append(&[entry(0, "c")]).unwrap();
        let head = one.append(&[entry(1, "d\n{\"mac\":\"")]).unwrap();
        assert_eq!((head.seq, two.head().unwrap()), (4, head));
        assert_eq!(segments(dir.path()).len(), 2, "one for each day");
        let what = |filter: &Filter, most| -> Vec<String> {
            two.read(filter, most).unwrap().into_iter().map(|row| row.what).collect()
        };
        assert_eq!(what(&Filter::default(), 10).len(), 4);
        assert_eq!(what(&Filter { before: Some(4), ..Filter::default() }, 2), ["c", "b"]);
        let from = Some(Timestamp::from_secs(1_700_000_000 + 86_400));
        assert_eq!(what(&Filter { from, ..Filter::default() }, 10).len(), 1);
        assert_eq!(what(&Filter { who: Some("bob".into()), ..Filter::default() }, 10).len(), 0);
        let verified = two.verify(Some(head)).unwrap();
        assert_eq!(verified, Verified { first: 1, head, has_head: Some(true) });
        assert_eq!(Head::parse(&head.to_text()), Some(head));
    }

    #[test]
    fn a_row_that_is_changed_removed_or_put_in_is_found() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path()).append(&[entry(0, "a"), entry(0, "b"), entry(0, "c"), entry(1, "d"), entry(1, "e")]).unwrap();
        let head = log(dir.path()).head().unwrap();
        let path = segments(dir.path()).remove(0);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let changed = lines[1].replace("\"what\":\"b\"", "\"what\":\"x\"");
        for (spoilt, at) in [
            (joined(&[lines[0], &changed, lines[2]]), 2),
            (joined(&[lines[0], lines[2]]), 2),
            (joined(&[lines[1], lines[2]]), 1),
            (joined(&[lines[0], lines[1], lines[1], lines[2]]), 3),
            (joined(&[lines[0], "{}", lines[1], lines[2]]), 2),
        ] {
            std::fs::write(&path, spoilt).unwrap();
            match log(dir.path()).verify(None) {
                Err(AuditError::Broken { line, .. }) => assert_eq!(line, at),
                other => panic!("{other:?}"),
            }
        }
        // A segment whose rows are all gone at its end breaks at the next one.
        std::fs::write(&path, joined(&lines[..2])).unwrap();
        assert!(log(dir.path()).verify(None).is_err());
        // The newest rows can be cut off unseen, but not below a head that was logged.
        std::fs::write(&path, text).unwrap();
        std::fs::remove_file(&segments(dir.path())[1]).unwrap();
        assert_eq!(log(dir.path()).verify(None).unwrap().head.seq, 3);
        assert_eq!(log(dir.path()).verify(Some(head)).unwrap().has_head, Some(false));
        std::fs::write(dir.path().join(DIRECTORY).join(KEY), "00".repeat(32)).unwrap();
        assert!(AuditLog::open(dir.path(), None).err().unwrap().to_string().contains("begun with another key"));
        std::fs::remove_file(dir.path().join(DIRECTORY).join(KEY_CHECK)).unwrap();
        assert!(matches!(log(dir.path()).verify(None), Err(AuditError::Broken { line: 1, .. })), "another key");
    }

    #[test]
    fn a_torn_line_is_cut_off_and_recorded() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path()).append(&[entry(0, "a")]).unwrap();
        let path = segments(dir.path()).remove(0);
        let whole = std::fs::read_to_string(&path).unwrap();
        for torn in [format!("{whole}{{\"seq\":2,"), whole[..whole.len() - 1].to_owned()] {
            std::fs::write(&path, &torn).unwrap();
            log(dir.path()).append(&[entry(0, "b")]).unwrap();
            let rows = log(dir.path()).read(&Filter::default(), 10).unwrap();
            assert_eq!(rows[0].what, "b");
            assert_eq!(rows[1].action, Action::Repair, "{torn}");
            log(dir.path()).verify(None).unwrap();
        }
    }

    #[test]
    fn old_segments_go_and_the_chain_goes_on_from_the_anchor() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        for day in 0..5 {
            log.append(&[entry(day, "a"), entry(day, "b")]).unwrap();
        }
        let early = Head { seq: 2, mac: log.mac_of(2).unwrap() };
        let edge = Head { seq: 6, mac: log.mac_of(6).unwrap() };
        let at = |day: i64| Timestamp::from_secs(1_700_000_000 + day * 86_400);
        assert_eq!(log.prune(at(-1), at(5)).unwrap(), 0);
        assert_eq!(log.prune(at(3), at(5)).unwrap(), 6);
        let verified = log.verify(Some(early)).unwrap();
        assert_eq!((verified.first, verified.head.seq, verified.has_head), (7, 11, None));
        assert_eq!(log.verify(Some(edge)).unwrap().has_head, Some(true));
        assert_eq!(log.read(&Filter::default(), 1).unwrap()[0].action, Action::Prune);
        // All but the newest.
        assert_eq!(log.prune(at(100), at(6)).unwrap(), 4);
        assert_eq!(AuditLog::open(dir.path(), None).unwrap().verify(None).unwrap().first, 11);
        let anchor = dir.path().join(DIRECTORY).join(ANCHOR);
        let text = std::fs::read_to_string(&anchor).unwrap().replace("\"seq\":10", "\"seq\":9");
        std::fs::write(&anchor, text).unwrap();
        assert!(log.verify(None).is_err(), "a changed anchor");
    }

    #[test]
    fn the_key_is_private_and_is_not_made_anew_for_a_log_with_rows() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path()).append(&[entry(0, "a")]).unwrap();
        let key = dir.path().join(DIRECTORY).join(KEY);
        std::fs::remove_file(&key).unwrap();
        assert!(AuditLog::open(dir.path(), None).err().unwrap().to_string().contains("has no key at"));
        let elsewhere = dir.path().join("elsewhere");
        assert!(AuditLog::open(dir.path(), Some(&elsewhere)).is_err());
        private::replace(&elsewhere, "no key").unwrap();
        assert!(matches!(AuditLog::open(dir.path(), Some(&elsewhere)), Err(AuditError::Key(_))));
        let a = log(tempfile::tempdir().unwrap().path()).pseudonym("4930123");
        assert_eq!(a.len(), 16);
        assert_ne!(a, log(tempfile::tempdir().unwrap().path()).pseudonym("4930123"));
    }
}
