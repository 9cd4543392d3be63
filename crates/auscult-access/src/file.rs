//! Users and tokens as they are kept: one JSON file, replaced as a whole under a lock.

use super::password;
use super::private::{self, Lock};
use super::role::{Role, Scope};
use super::secret;
use auscult_core::units::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FILE: &str = "users.json";
const LOCK: &str = "users.lock";
const VERSION: u32 = 1;
/// Most users and tokens.
const MOST: usize = 10_000;
/// Longest name of a user or token.
const MAX_NAME: usize = 64;

/// Why users and tokens could not be read or changed; one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} cannot be understood: {why}; restore it from a copy", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} is of a newer version of this program ({version}); this one knows {VERSION}", path.display())]
    Newer { path: PathBuf, version: u32 },
    #[error("{}: it was there at the start and is gone; users and tokens stay as they were until the next start", path.display())]
    Gone { path: PathBuf },
    #[error("{0}")]
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub name: String,
    pub role: Role,
    /// argon2id in PHC string format; absent for users whom a proxy or a provider vouches for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Scope::is_all")]
    pub scope: Scope,
    /// Seconds since 1970.
    pub created_at: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    /// Eight hexadecimal digits, to name it without its secret.
    pub id: String,
    pub name: String,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Scope::is_all")]
    pub scope: Scope,
    /// SHA-256 of the token, hexadecimal.
    pub hash: String,
    pub created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// Users and tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessFile {
    version: u32,
    #[serde(default)]
    pub(super) users: Vec<User>,
    #[serde(default)]
    pub(super) tokens: Vec<Token>,
}

impl Default for AccessFile {
    fn default() -> Self {
        AccessFile { version: VERSION, users: Vec::new(), tokens: Vec::new() }
    }
}

/// A user to add.
pub struct NewUser<'a> {
    pub name: &'a str,
    pub role: Role,
    pub scope: Scope,
    /// None for users whom a proxy or a provider vouches for.
    pub password: Option<&'a str>,
}

/// A token to add.
pub struct NewToken<'a> {
    pub name: &'a str,
    pub role: Role,
    pub scope: Scope,
    pub expires_at: Option<Timestamp>,
}

/// A user as lists show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    pub name: String,
    pub role: Role,
    pub scope: Scope,
    pub has_password: bool,
    pub created_at: Timestamp,
}

/// A token as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedToken {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

fn checked_name(name: &str) -> Result<String, AccessError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
        return Err(AccessError::Refused(format!(
            "{name:?} cannot be a name: it needs 1 to {MAX_NAME} letters, digits and . _ @ -"
        )));
    }
    Ok(name.to_owned())
}

fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000_000_000)
}

impl AccessFile {
    /// Reads the file of a directory; a directory without one has no users.
    ///
    /// # Errors
    /// It cannot be read or understood, or others may read it.
    pub fn load(dir: &Path) -> Result<AccessFile, AccessError> {
        Ok(Self::load_if_there(dir)?.unwrap_or_default())
    }

    pub(super) fn load_if_there(dir: &Path) -> Result<Option<AccessFile>, AccessError> {
        let path = dir.join(FILE);
        let text =
            private::read(&path).map_err(|source| AccessError::Io { what: "read", path: path.clone(), source })?;
        let Some(text) = text else { return Ok(None) };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |e: serde_json::Error| AccessError::Damaged { path: path.clone(), why: e.to_string() };
        let Versioned { version } = serde_json::from_str(&text).map_err(damaged)?;
        if version > VERSION {
            return Err(AccessError::Newer { path, version });
        }
        let file: AccessFile = serde_json::from_str(&text).map_err(damaged)?;
        Ok(Some(file))
    }

    /// Path of the file in its directory.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Changes the file of a directory, alone among threads and processes.
    ///
    /// # Errors
    /// As [`AccessFile::load`], what `change` refuses, and what the disk refuses; nothing has changed then.
    pub fn change<T>(
        dir: &Path,
        change: impl FnOnce(&mut AccessFile) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let io = |what, path: &Path| {
            let path = path.to_path_buf();
            move |source| AccessError::Io { what, path, source }
        };
        private::create_dir(dir).map_err(io("create", dir))?;
        let lock = dir.join(LOCK);
        let _lock = Lock::wait(&lock).map_err(io("lock", &lock))?;
        let mut file = AccessFile::load(dir)?;
        let done = change(&mut file)?;
        let text = serde_json::to_string_pretty(&file).map_err(|e| AccessError::Refused(e.to_string()))?;
        let path = dir.join(FILE);
        private::replace(&path, &text).map_err(io("write", &path))?;
        Ok(done)
    }

    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Adds a user. The first one has to be an admin, since nobody could read the audit log otherwise.
    ///
    /// # Errors
    /// The name is taken or none, the password is refused, or there are too many.
    pub fn add_user(&mut self, new: &NewUser, now: Timestamp) -> Result<(), AccessError> {
        let name = checked_name(new.name)?;
        if self.users.iter().any(|user| user.name == name) {
            return Err(AccessError::Refused(format!("there is a user {name} already")));
        }
        if self.users.len() >= MOST {
            return Err(AccessError::Refused(format!("there are {MOST} users already")));
        }
        if self.users.is_empty() && (new.role != Role::Admin || !new.scope.is_all()) {
            return Err(AccessError::Refused(
                "the first user must have role admin, without a scope: from then on everybody has to sign in".into(),
            ));
        }
        let password = new.password.map(|password| kept(&name, password)).transpose()?;
        let (role, scope) = (new.role, new.scope.clone());
        self.users.push(User { name, role, password, scope, created_at: seconds(now) });
        Ok(())
    }

    /// Sets the password of a user; sessions of the user end.
    ///
    /// # Errors
    /// There is no such user, or the password is refused.
    pub fn set_password(&mut self, name: &str, password: &str) -> Result<(), AccessError> {
        self.user_mut(name)?.password = Some(kept(name, password)?);
        Ok(())
    }

    /// Sets role and scope of a user, in force at the next request.
    ///
    /// # Errors
    /// There is no such user, or no admin without a scope would be left.
    pub fn set_role(&mut self, name: &str, role: Role, scope: Scope) -> Result<(), AccessError> {
        let user = self.user_mut(name)?;
        (user.role, user.scope) = (role, scope);
        self.has_admin()
    }

    /// Removes a user; sessions of the user end.
    ///
    /// # Errors
    /// There is no such user, or others would be left without an admin.
    pub fn remove_user(&mut self, name: &str) -> Result<(), AccessError> {
        self.user_mut(name)?;
        self.users.retain(|user| user.name != name);
        if self.users.is_empty() { Ok(()) } else { self.has_admin() }
    }

    fn has_admin(&self) -> Result<(), AccessError> {
        let is_admin = |user: &User| user.role == Role::Admin && user.scope.is_all();
        match self.users.iter().any(is_admin) {
            true => Ok(()),
            false => Err(AccessError::Refused(
                "this is the last admin without a scope: add another one first (auscult user add --role admin)".into(),
            )),
        }
    }

    fn user_mut(&mut self, name: &str) -> Result<&mut User, AccessError> {
        let found = self.users.iter_mut().find(|user| user.name == name);
        found.ok_or_else(|| AccessError::Refused(format!("there is no user {name}; see `auscult user list`")))
    }

    /// Adds a token and returns its id and text, which is kept nowhere.
    ///
    /// # Errors
    /// The name is taken or none, or there are too many.
    pub fn add_token(&mut self, new: &NewToken, now: Timestamp) -> Result<(String, String), AccessError> {
        let name = checked_name(new.name)?;
        if self.tokens.iter().any(|token| token.name == name) {
            return Err(AccessError::Refused(format!("there is a token {name} already; revoke it first")));
        }
        if self.tokens.len() >= MOST {
            return Err(AccessError::Refused(format!("there are {MOST} tokens already")));
        }
        let random = |source| AccessError::Io { what: "get random bytes for", path: PathBuf::from("a token"), source };
        let text = format!("{}{}", secret::TOKEN_PREFIX, secret::new_secret().map_err(random)?);
        let id = secret::hex(&secret::random::<4>().map_err(random)?);
        self.tokens.push(Token {
            id: id.clone(),
            name,
            role: new.role,
            scope: new.scope.clone(),
            hash: secret::hex(&secret::hash(&text)),
            created_at: seconds(now),
            expires_at: new.expires_at.map(seconds),
        });
        Ok((id, text))
    }

    /// Revokes the token of this name or id, in force at the next request; returns its name.
    ///
    /// # Errors
    /// There is no such token.
    pub fn revoke_token(&mut self, name_or_id: &str) -> Result<String, AccessError> {
        let found = self.tokens.iter().position(|token| token.name == name_or_id || token.id == name_or_id);
        let found = found
            .ok_or_else(|| AccessError::Refused(format!("there is no token {name_or_id}; see `auscult token list`")))?;
        Ok(self.tokens.remove(found).name)
    }

    pub fn users(&self) -> Vec<ListedUser> {
        let listed = |user: &User| ListedUser {
            name: user.name.clone(),
            role: user.role,
            scope: user.scope.clone(),
            has_password: user.password.is_some(),
            created_at: Timestamp::from_secs(user.created_at),
        };
        self.users.iter().map(listed).collect()
    }

    pub fn tokens(&self) -> Vec<ListedToken> {
        let listed = |token: &Token| ListedToken {
            id: token.id.clone(),
            name: token.name.clone(),
            role: token.role,
            scope: token.scope.clone(),
            created_at: Timestamp::from_secs(token.created_at),
            expires_at: token.expires_at.map(Timestamp::from_secs),
        };
        self.tokens.iter().map(listed).collect()
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }
}

impl Token {
    /// Whether it has not expired.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| seconds(now) < end)
    }
}

fn kept(name: &str, password: &str) -> Result<String, AccessError> {
    password::check_password(name, password).map_err(AccessError::Refused)?;
    password::hash(password).map_err(|source| AccessError::Io {
        what: "hash the password of",
        path: PathBuf::from(name),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn user(name: &str, role: Role) -> NewUser<'_> {
        NewUser { name, role, scope: Scope::all(), password: None }
    }

    #[test]
    fn the_first_user_is_an_admin_and_the_last_admin_stays() {
        let mut file = AccessFile::default();
        assert!(file.add_user(&user("v", Role::Viewer), NOW).is_err() && !file.has_users());
        file.add_user(&user("root", Role::Admin), NOW).unwrap();
        file.add_user(&user("v", Role::Viewer), NOW).unwrap();
        assert!(file.add_user(&user("v", Role::Viewer), NOW).unwrap_err().to_string().contains("already"));
        assert!(file.clone().remove_user("root").unwrap_err().to_string().contains("last admin"));
        assert!(file.clone().set_role("root", Role::Viewer, Scope::all()).is_err());
        let narrow = Scope { probes: None, trunks: Some(vec!["a".into()]) };
        assert!(file.clone().set_role("root", Role::Admin, narrow).is_err());
        file.remove_user("v").unwrap();
        file.remove_user("root").unwrap();
        assert!(!file.has_users());
        for name in ["", "a b", "é", &"x".repeat(65), "../x"] {
            assert!(file.add_user(&user(name, Role::Admin), NOW).is_err(), "{name}");
        }
    }

    #[test]
    fn changes_are_kept_and_a_refused_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("access");
        assert_eq!(AccessFile::load(&dir).unwrap(), AccessFile::default());
        AccessFile::change(&dir, |file| file.add_user(&user("root", Role::Admin), NOW)).unwrap();
        let refused = AccessFile::change(&dir, |file| {
            file.add_user(&user("more", Role::Admin), NOW)?;
            file.add_user(&user("more", Role::Admin), NOW)
        });
        assert!(refused.is_err());
        assert_eq!(AccessFile::load(&dir).unwrap().users().len(), 1);
        std::fs::write(dir.join(FILE), "{\"version\": 1, \"users\": [{}]}").unwrap();
        assert!(matches!(AccessFile::load(&dir), Err(AccessError::Damaged { .. })));
        std::fs::write(dir.join(FILE), "{\"version\": 2, \"of_a_later_one\": 1}").unwrap();
        assert!(matches!(AccessFile::load(&dir), Err(AccessError::Newer { version: 2, .. })));
    }

    #[test]
    fn a_token_is_kept_as_its_hash_and_revoked_by_name_or_id() {
        let mut file = AccessFile::default();
        let end = Timestamp::from_secs(1_700_000_100);
        let new = NewToken { name: "prometheus", role: Role::Viewer, scope: Scope::all(), expires_at: Some(end) };
        let (id, text) = file.add_token(&new, NOW).unwrap();
        assert!(text.starts_with("auscult_") && !serde_json::to_string(&file).unwrap().contains(&text));
        assert_eq!(file.tokens[0].hash, secret::hex(&secret::hash(&text)));
        assert!(file.tokens[0].is_valid(NOW) && !file.tokens[0].is_valid(end));
        assert!(file.add_token(&new, NOW).is_err());
        assert_eq!(file.revoke_token(&id).unwrap(), "prometheus");
        assert!(file.tokens().is_empty() && file.revoke_token(&id).is_err());
    }
}
