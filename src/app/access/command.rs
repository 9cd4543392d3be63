//! `auscult user`, `auscult token` and `auscult audit`: changes of users and tokens in the files of a data directory, which a running
//! program reads again within a second, and a look at the audit log.

use super::super::config::Config;
use super::directory;
use anyhow::{Context, anyhow, bail};
use auscult_access::audit::{Action, AuditLog, Entry, Filter, Head};
use auscult_access::{AccessFile, NewToken, NewUser, Principal, Role, Scope};
use auscult_core::units::{Nanos, Timestamp};
use clap::{Args, Subcommand};
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the first one closes the service to everybody else.
    Add {
        name: String,
        /// viewer (figures), operator (calls and parties), investigator (SIP messages) or admin (audit log).
        #[arg(long)]
        role: String,
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        password: PasswordArgs,
        /// No password: the user comes through a trusted proxy, or signs in at the provider (access.oidc.link_users).
        #[arg(long, conflicts_with_all = ["password_file"])]
        no_password: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List users, their roles and scopes.
    List {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Set the password of a user; sessions of the user end.
    Password {
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Set role and scope of a user, in force at the next request.
    Role {
        name: String,
        #[arg(long)]
        role: String,
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Remove a user; sessions of the user end.
    Remove {
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an API token and print it once.
    Add {
        name: String,
        /// viewer, operator, investigator or admin.
        #[arg(long)]
        role: String,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Days until it expires; without it never.
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List tokens, without their texts.
    List {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Revoke the token of this name or id, in force at the next request.
    Revoke {
        token: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Follow the chain from its beginning to its end; an error names the first row that does not fit.
    Verify {
        /// A head that was logged before (`12:0a1b...`): the chain must have it.
        #[arg(long)]
        head: Option<String>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Print the newest rows, the newest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Of this user or token only.
        #[arg(long)]
        who: Option<String>,
        /// About this number, as the API searches for it.
        #[arg(long)]
        number: Option<String>,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// Where the data directory is.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Configuration file.
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Directory of the embedded store and the spool, as for `run`.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What a user or token may see.
#[derive(Debug, Args)]
pub struct ScopeArgs {
    /// Rows of this trunk only; may be given several times.
    #[arg(long = "trunk", value_name = "NAME")]
    trunks: Vec<String>,
    /// Rows of this probe only; may be given several times.
    #[arg(long = "probe", value_name = "NAME")]
    probes: Vec<String>,
}

/// Where a password comes from: the terminal, unless a file is named.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// File whose first line is the password; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// The directory for access, its audit log and who gives the command.
struct CommandContext {
    dir: PathBuf,
    audit: AuditLog,
    by: Principal,
    data: PathBuf,
}

impl PlaceArgs {
    fn open(&self) -> anyhow::Result<CommandContext> {
        let config = self.config.as_deref().map_or_else(Config::default_config, Config::load)?;
        let data = self.data.clone().unwrap_or(config.store.data);
        check_owner(&data)?;
        let dir = directory(&data);
        let audit = AuditLog::open(&dir, config.access.audit_key_file.as_deref()).context("the audit log")?;
        let by = Principal::command(&commander());
        Ok(CommandContext { dir, audit, by, data })
    }
}

/// Files that another user than the program's makes here could not be read by it.
pub(in crate::app) fn check_owner(data: &Path) -> anyhow::Result<()> {
    auscult_store::private::restrict_umask();
    let about = match std::fs::metadata(data) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return auscult_store::private::create_dir(data)
                .with_context(|| format!("cannot create the data directory {}", data.display()));
        }
        about => about.with_context(|| format!("cannot look at {}", data.display()))?,
    };
    let user = rustix::process::geteuid().as_raw();
    if about.uid() != user {
        let owner = user_of(about.uid());
        bail!("{} belongs to {owner}: give the command as that user (sudo -u {owner} auscult ...)", data.display());
    }
    Ok(())
}

/// Who gives the command: the user, and whom sudo names behind it.
pub fn commander() -> String {
    let user = user_of(rustix::process::getuid().as_raw());
    match std::env::var("SUDO_USER") {
        Ok(person) if !person.is_empty() && person != user => format!("{user} (sudo: {person})"),
        _ => user,
    }
}

/// Name of a user of this host, or the number of one who has none.
pub(in crate::app) fn user_of(id: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    };
    users.lines().find_map(of_line).unwrap_or_else(|| id.to_string())
}

impl CommandContext {
    /// Changes users or tokens and records it.
    fn change<T>(
        &self,
        action: Action,
        what: String,
        change: impl FnOnce(&mut AccessFile) -> Result<T, auscult_access::AccessError>,
    ) -> anyhow::Result<T> {
        let done = AccessFile::change(&self.dir, change)?;
        let entry = Entry::of(&self.by, None, action, what, super::super::wall_clock());
        self.audit.append(&[entry]).context("the change is made, and cannot be recorded in the audit log")?;
        Ok(done)
    }
}

impl ScopeArgs {
    fn scope(&self) -> Scope {
        let some = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
        Scope { probes: some(&self.probes), trunks: some(&self.trunks) }
    }
}

fn role_of(name: &str) -> anyhow::Result<Role> {
    let names = Role::ALL.map(Role::name).join(", ");
    Role::parse(name).ok_or_else(|| anyhow!("there is no role {name:?}: choose one of {names}"))
}

/// Role and scope in words.
fn rights(role: Role, scope: &Scope) -> String {
    let list = |what: &str, names: &Option<Vec<String>>| {
        names.as_ref().map(|names| format!(" {what} {}", names.join(", "))).unwrap_or_default()
    };
    format!("{}{}{}", role.name(), list("trunks", &scope.trunks), list("probes", &scope.probes))
}

impl PasswordArgs {
    fn read(&self, name: &str) -> anyhow::Result<String> {
        let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        match &self.password_file {
            Some(path) if path == Path::new("-") => {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).context("cannot read the password from standard input")?;
                Ok(first_line(line))
            }
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Ok(first_line(text.with_context(|| format!("cannot read the password from {}", path.display()))?))
            }
            None if !std::io::stdin().is_terminal() => {
                bail!(
                    "a password is asked for on a terminal; otherwise give --password-file FILE (- is standard input)"
                )
            }
            None => {
                let first = rpassword::prompt_password(format!("Password of {name}: "))
                    .context("cannot ask for the password")?;
                let second = rpassword::prompt_password("The same again: ").context("cannot ask for the password")?;
                if first != second {
                    bail!("the two passwords differ; nothing was changed");
                }
                Ok(first)
            }
        }
    }
}

pub fn user(command: &UserCommand, out: &mut impl Write) -> anyhow::Result<()> {
    let now = super::super::wall_clock();
    match command {
        UserCommand::Add { name, role, scope, password, no_password, place } => {
            let (role, scope, place) = (role_of(role)?, scope.scope(), place.open()?);
            let password = if *no_password { None } else { Some(password.read(name)?) };
            let what = format!("{name}: {}", rights(role, &scope));
            let new = NewUser { name, role, scope, password: password.as_deref() };
            let first = place.change(Action::UserAdd, what.clone(), |file| {
                let first = !file.has_users();
                file.add_user(&new, now)?;
                Ok(first)
            })?;
            writeln!(out, "added {what}")?;
            if first {
                writeln!(out, "from now on everybody has to sign in, and /metrics needs a token (auscult token add)")?;
            }
        }
        UserCommand::List { place } => {
            for user in AccessFile::load(&place.open()?.dir)?.users() {
                let password = if user.has_password { "" } else { ", no password" };
                writeln!(
                    out,
                    "{}: {}{password}, since {}",
                    user.name,
                    rights(user.role, &user.scope),
                    day(user.created_at)
                )?;
            }
        }
        UserCommand::Password { name, password, place } => {
            let place = place.open()?;
            let password = password.read(name)?;
            place.change(Action::UserChange, format!("{name}: password"), |file| file.set_password(name, &password))?;
            writeln!(out, "the password of {name} is set; sessions of {name} end")?;
        }
        UserCommand::Role { name, role, scope, place } => {
            let (role, scope) = (role_of(role)?, scope.scope());
            let what = format!("{name}: {}", rights(role, &scope));
            place.open()?.change(Action::UserChange, what.clone(), |file| file.set_role(name, role, scope))?;
            writeln!(out, "{what}")?;
        }
        UserCommand::Remove { name, place } => {
            let place = place.open()?;
            let last = place.change(Action::UserRemove, name.clone(), |file| {
                file.remove_user(name)?;
                Ok(!file.has_users())
            })?;
            writeln!(out, "removed {name}")?;
            if last {
                let data = place.data.display();
                writeln!(out, "{data} has no users any more: a service on loopback is open to everybody on this host")?;
            }
        }
    }
    Ok(out.flush()?)
}

pub fn token(command: &TokenCommand, out: &mut impl Write) -> anyhow::Result<()> {
    let now = super::super::wall_clock();
    match command {
        TokenCommand::Add { name, role, scope, expires, place } => {
            let (role, scope) = (role_of(role)?, scope.scope());
            let expires_at = expires.map(|days| now + Nanos::from_secs(i64::from(days) * 86_400));
            let until = expires_at.map(|at| format!(" until {}", day(at))).unwrap_or_default();
            let what = format!("{name}: {}{until}", rights(role, &scope));
            let new = NewToken { name, role, scope, expires_at };
            let (id, text) = place.open()?.change(Action::TokenAdd, what.clone(), |file| file.add_token(&new, now))?;
            eprintln!("token {id}, {what}; its text is shown this once:");
            writeln!(out, "{text}")?;
        }
        TokenCommand::List { place } => {
            for token in AccessFile::load(&place.open()?.dir)?.tokens() {
                let until = match token.expires_at {
                    Some(at) if at <= now => format!(", expired {}", day(at)),
                    Some(at) => format!(", until {}", day(at)),
                    None => String::new(),
                };
                let rights = rights(token.role, &token.scope);
                writeln!(out, "{} {}: {rights}, since {}{until}", token.id, token.name, day(token.created_at))?;
            }
        }
        TokenCommand::Revoke { token, place } => {
            let place = place.open()?;
            let name = place.change(Action::TokenRevoke, token.clone(), |file| file.revoke_token(token))?;
            writeln!(out, "revoked {name}")?;
        }
    }
    Ok(out.flush()?)
}

pub fn audit(command: &AuditCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify { head, place } => {
            let asked = head.as_deref().map(|text| {
                Head::parse(text)
                    .ok_or_else(|| anyhow!("--head must be a number, a colon and 64 hexadecimal digits, as logged"))
            });
            let verified = place.open()?.audit.verify(asked.transpose()?).context("the audit log is not whole")?;
            if verified.has_head == Some(false) {
                bail!(
                    "the audit log is not whole: it does not have the head that was logged; rows after it were removed or made anew"
                );
            }
            writeln!(out, "whole: rows {} to {}, head {}", verified.first, verified.head.seq, verified.head.to_text())?;
            if head.is_some() && verified.has_head.is_none() {
                writeln!(out, "the head that was given is older than the rows that are kept")?;
            }
        }
        AuditCommand::List { limit, who, number, place } => {
            let place = place.open()?;
            let number = number.as_deref().map(|number| {
                let number = auscult_store::query::PhoneNumber::parse(number)?;
                Ok::<_, auscult_store::query::QueryError>(format!(
                    "number=hmac:{}",
                    place.audit.pseudonym(number.as_str())
                ))
            });
            let number = number.transpose()?;
            let filter = Filter { who: who.clone(), ..Filter::default() };
            let most = if number.is_some() { usize::MAX } else { *limit };
            let rows = place.audit.read(&filter, most)?;
            let is_about = |what: &str| number.as_ref().is_none_or(|number| what.contains(number.as_str()));
            for row in rows.into_iter().filter(|row| is_about(&row.what)).take(*limit) {
                let role = row.role.map_or("-", Role::name);
                let from = row.from.map_or_else(|| "-".to_owned(), |from| from.to_string());
                let (via, action, outcome) = (row.via.name(), row.action.name(), row.outcome.name());
                writeln!(
                    out,
                    "{} {} {} {via} {role} {from} {action} {outcome} {}",
                    row.seq, row.at, row.who, row.what
                )?;
            }
        }
    }
    Ok(out.flush()?)
}

/// The date of a time.
fn day(at: Timestamp) -> String {
    at.to_rfc3339().chars().take(10).collect()
}
