//! Who a request comes from: users and tokens of the file as they are now, and sessions.

use super::file::{AccessError, AccessFile, User};
use super::password;
use super::role::{Principal, Role, Scope, Via};
use super::secret;
use super::session::{Bond, Session, SessionLimits, Sessions};
use super::throttle::Throttle;
use auscult_core::units::{Nanos, Timestamp};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Passwords that are compared at once: each takes 19 MiB and tens of milliseconds of a processor.
const COMPARED_AT_ONCE: usize = 2;

/// The result of a sign-in.
#[derive(Debug)]
pub struct SignIn {
    /// The secret of the session, for the browser's cookie only.
    pub secret: String,
    pub principal: Principal,
    /// When the session ends if nothing more comes.
    pub ends: Timestamp,
}

/// A user as the provider describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    /// Given by what the provider says of them; none when it says nothing that gives one.
    pub role: Option<Role>,
    /// A user of the file with the same name is the same person, with the role and scope of the file. Users must not be able to
    /// choose their name at the provider then.
    pub linked: bool,
}

/// Why a sign-in was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum SignInError {
    /// No such user, no password, or another one.
    Wrong,
    /// Too many failures; how long to wait.
    Wait(Nanos),
    /// Other passwords are being compared.
    Busy,
    /// The provider knows the user, but no role is given to that user here; the reason.
    Refused(String),
    /// No random bytes.
    Failed(String),
}

/// What the file looked like when it was read: modification time, inode and size.
type Stamp = Option<(i64, i64, u64, u64)>;

struct Loaded {
    file: Arc<AccessFile>,
    /// Which token has this hash, so that the time of a look-up is the same for one and for thousands.
    tokens: Arc<HashMap<[u8; 32], usize>>,
    stamp: Stamp,
}

impl Loaded {
    fn new(file: AccessFile, stamp: Stamp) -> Loaded {
        let hashes = file.tokens.iter().enumerate();
        let tokens = hashes.filter_map(|(i, token)| Some((secret::from_hex(&token.hash)?, i))).collect();
        Loaded { file: Arc::new(file), tokens: Arc::new(tokens), stamp }
    }
}

/// The one place that says who a request comes from.
pub struct Access {
    dir: PathBuf,
    /// Requests need no sign-in as long as there are no users.
    may_be_open: bool,
    loaded: RwLock<Loaded>,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    comparing: Mutex<usize>,
    /// The last look could not read the file, which was said.
    unread: AtomicBool,
}

fn stamp(dir: &Path) -> Stamp {
    let about = std::fs::metadata(AccessFile::path(dir)).ok()?;
    Some((about.mtime(), about.mtime_nsec(), about.ino(), about.size()))
}

impl Access {
    /// Reads users and tokens of `dir`. `may_be_open`: only this host reaches the service, and nothing else vouches for users.
    ///
    /// # Errors
    /// As [`AccessFile::load`].
    pub fn open(dir: &Path, may_be_open: bool, limits: SessionLimits) -> Result<Access, AccessError> {
        let stamp = stamp(dir);
        let file = AccessFile::load(dir)?;
        Ok(Access {
            dir: dir.to_path_buf(),
            may_be_open,
            loaded: RwLock::new(Loaded::new(file, stamp)),
            sessions: Mutex::new(Sessions::new(limits)),
            throttle: Mutex::default(),
            comparing: Mutex::new(0),
            unread: AtomicBool::new(false),
        })
    }

    /// Without users, and without a file that could bring some.
    pub fn without_users() -> Access {
        Access {
            dir: PathBuf::new(),
            may_be_open: true,
            loaded: RwLock::new(Loaded::new(AccessFile::default(), None)),
            sessions: Mutex::default(),
            throttle: Mutex::default(),
            comparing: Mutex::new(0),
            unread: AtomicBool::new(false),
        }
    }

    /// Reads the file again when it has changed; whether it had. To be called every second.
    ///
    /// # Errors
    /// As [`AccessFile::load`], and [`AccessError::Gone`]; users and tokens stay as they were. Said once for each change.
    pub fn refresh(&self) -> Result<bool, AccessError> {
        let now = stamp(&self.dir);
        if self.loaded.read().unwrap_or_else(PoisonError::into_inner).stamp == now {
            return Ok(false);
        }
        let read = AccessFile::load_if_there(&self.dir);
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let was_there = loaded.stamp.is_some();
        if let Err(e @ AccessError::Io { .. }) = read {
            // It is tried again at the next look: descriptors run out and come back.
            return if self.unread.swap(true, Relaxed) { Ok(false) } else { Err(e) };
        }
        self.unread.store(false, Relaxed);
        loaded.stamp = now;
        match read? {
            Some(file) => *loaded = Loaded::new(file, now),
            // A file that is moved away must not open the service.
            None if was_there => return Err(AccessError::Gone { path: AccessFile::path(&self.dir) }),
            None => {}
        }
        Ok(true)
    }

    fn file(&self) -> Arc<AccessFile> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).file.clone()
    }

    /// Whether nobody has to sign in.
    pub fn is_open(&self) -> bool {
        self.may_be_open && !self.file().has_users()
    }

    /// Whether somebody can sign in with a password.
    pub fn has_passwords(&self) -> bool {
        self.file().users.iter().any(|user| user.password.is_some())
    }

    /// Who has this API token; none when it does not exist, was revoked or has expired.
    pub fn of_token(&self, text: &str, now: Timestamp) -> Option<Principal> {
        let (file, tokens) = {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            (loaded.file.clone(), loaded.tokens.clone())
        };
        let token = file.tokens.get(*tokens.get(&secret::hash(text))?)?;
        if !token.is_valid(now) {
            return None;
        }
        Some(Principal {
            name: token.name.as_str().into(),
            role: token.role,
            scope: token.scope.clone(),
            via: Via::Token,
        })
    }

    /// A user whom somebody else vouches for: a proxy or a provider. None when there is no such user.
    pub fn of_name(&self, name: &str, via: Via) -> Option<Principal> {
        self.file().user(name).map(|user| principal(user, via))
    }

    /// Who has this session and when it ends. Role and scope of a user of the file are those of this moment.
    pub fn of_session(&self, text: &str, now: Timestamp) -> Option<(Principal, Timestamp)> {
        let file = self.file();
        let mut sessions = self.sessions();
        let (session, ends) = sessions.find(text, now)?;
        let found = current(&file, session);
        if found.is_none() {
            sessions.end(text);
        }
        found.map(|principal| (principal, ends))
    }

    /// As [`Access::of_session`], without keeping the session from ending.
    pub fn of_session_unused(&self, text: &str, now: Timestamp) -> Option<Principal> {
        let file = self.file();
        current(&file, self.sessions().look(text, now)?)
    }

    /// Compares a password and begins a session. Takes tens of milliseconds of a processor: not for an event loop.
    ///
    /// # Errors
    /// [`SignInError`].
    pub fn sign_in(
        &self,
        user: &str,
        password: &str,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<SignIn, SignInError> {
        if let Some(wait) = self.throttle().wait(client, user, now) {
            return Err(SignInError::Wait(wait));
        }
        let _place = self.place().ok_or(SignInError::Busy)?;
        let file = self.file();
        let found = file.user(user);
        let kept = found.and_then(|user| user.password.as_deref());
        let right = password.len() <= password::MAX_PASSWORD && password::is_right(password, kept);
        match found.filter(|_| right) {
            Some(user) => self.begin(principal(user, Via::Password), Bond::Password(kept_hash(user)), now),
            None => {
                self.throttle().failed(client, user, now);
                Err(SignInError::Wrong)
            }
        }
    }

    /// Begins a session of somebody whom a provider vouches for.
    ///
    /// # Errors
    /// [`SignInError::Refused`]: no role is given, or the name is that of a user of the file and not linked to it; and
    /// [`SignInError::Failed`].
    pub fn begin_session(&self, identity: &Identity, now: Timestamp) -> Result<SignIn, SignInError> {
        let (principal, bond) = resolve(&self.file(), identity).map_err(|why| SignInError::Refused(why.to_owned()))?;
        self.begin(principal, bond, now)
    }

    fn begin(&self, principal: Principal, bond: Bond, now: Timestamp) -> Result<SignIn, SignInError> {
        let failed = |e: std::io::Error| SignInError::Failed(e.to_string());
        let mut sessions = self.sessions();
        let secret = sessions.begin(principal.clone(), bond, now).map_err(failed)?;
        let ends = sessions.find(&secret, now).map_or(now, |(_, ends)| ends);
        Ok(SignIn { secret, principal, ends })
    }

    /// Ends a session; whose it was.
    pub fn sign_out(&self, text: &str) -> Option<Principal> {
        self.sessions().end(text)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> Option<ComparePlace<'_>> {
        let mut comparing = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        if *comparing >= COMPARED_AT_ONCE {
            return None;
        }
        *comparing += 1;
        Some(ComparePlace(&self.comparing))
    }
}

/// One of the passwords that are compared now.
struct ComparePlace<'a>(&'a Mutex<usize>);

impl Drop for ComparePlace<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

fn principal(user: &User, via: Via) -> Principal {
    Principal { name: user.name.as_str().into(), role: user.role, scope: user.scope.clone(), via }
}

/// What ends a session when it changes.
fn kept_hash(user: &User) -> [u8; 32] {
    secret::hash(user.password.as_deref().unwrap_or_default())
}

/// Who somebody is here whom a provider vouches for, or why nobody.
fn resolve(file: &AccessFile, identity: &Identity) -> Result<(Principal, Bond), &'static str> {
    let name = identity.name.as_str();
    if identity.linked
        && let Some(user) = file.user(name)
    {
        return Ok((principal(user, Via::Oidc), Bond::File));
    }
    if file.users.iter().any(|user| user.name.eq_ignore_ascii_case(name)) {
        return Err("a user of this name exists here and is not linked to the one at the provider");
    }
    let role = identity.role.ok_or("nothing that the provider says gives a role")?;
    let bond = if identity.linked { Bond::ProviderUntilFile } else { Bond::Provider };
    Ok((Principal { name: name.into(), role, scope: Scope::all(), via: Via::Oidc }, bond))
}

/// Who has a session at this moment; nobody when what it depends on has changed.
fn current(file: &AccessFile, session: &Session) -> Option<Principal> {
    let user = || file.user(&session.principal.name);
    let of_file = |user: &User| principal(user, session.principal.via);
    match session.bond {
        Bond::Password(hash) => user().filter(|user| kept_hash(user) == hash).map(of_file),
        Bond::File => user().map(of_file),
        Bond::Provider => Some(session.principal.clone()),
        Bond::ProviderUntilFile => Some(user().map_or_else(|| session.principal.clone(), of_file)),
    }
}

impl Principal {
    /// Somebody on the host of the probe who gives commands.
    pub fn command(user: &str) -> Principal {
        let name = if user.is_empty() { "unknown" } else { user };
        Principal { name: name.into(), role: Role::Admin, scope: Scope::all(), via: Via::Command }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewToken, NewUser};

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const PASSWORD: &str = "four words and more";

    struct Rig {
        dir: tempfile::TempDir,
        access: Access,
    }

    impl Rig {
        fn new(may_be_open: bool) -> Rig {
            let dir = tempfile::tempdir().unwrap();
            let access = Access::open(dir.path(), may_be_open, SessionLimits::default()).unwrap();
            Rig { dir, access }
        }

        fn change<T>(&self, change: impl FnOnce(&mut AccessFile) -> Result<T, AccessError>) -> T {
            let changed = AccessFile::change(self.dir.path(), change).unwrap();
            assert!(self.access.refresh().unwrap());
            changed
        }

        fn with_admin() -> Rig {
            let rig = Rig::new(true);
            let admin = NewUser { name: "root", role: Role::Admin, scope: Scope::all(), password: Some(PASSWORD) };
            rig.change(|file| file.add_user(&admin, NOW));
            rig
        }
    }

    #[test]
    fn the_first_user_closes_it_and_a_lost_file_does_not_open_it() {
        let rig = Rig::new(true);
        assert!(rig.access.is_open() && !Rig::new(false).access.is_open());
        let admin = NewUser { name: "root", role: Role::Admin, scope: Scope::all(), password: None };
        rig.change(|file| file.add_user(&admin, NOW));
        assert!(!rig.access.is_open());
        std::fs::remove_file(AccessFile::path(rig.dir.path())).unwrap();
        assert!(matches!(rig.access.refresh(), Err(AccessError::Gone { .. })));
        assert!(!rig.access.is_open() && !rig.access.refresh().unwrap(), "said once");
        std::fs::write(AccessFile::path(rig.dir.path()), "{").unwrap();
        assert!(rig.access.refresh().is_err() && !rig.access.is_open());
        assert!(rig.access.of_name("root", Via::Proxy).is_some(), "the old state stays");
    }

    #[test]
    fn a_session_follows_its_user() {
        let rig = Rig::with_admin();
        let wrong = rig.access.sign_in("root", "four words and less", None, NOW).unwrap_err();
        assert_eq!(wrong, SignInError::Wrong);
        assert_eq!(rig.access.sign_in("nobody", PASSWORD, None, NOW).unwrap_err(), SignInError::Wrong);
        let operator = NewUser { name: "op", role: Role::Operator, scope: Scope::all(), password: Some(PASSWORD) };
        rig.change(|file| file.add_user(&operator, NOW));
        let signed_in = rig.access.sign_in("op", PASSWORD, None, NOW).unwrap();
        let role = |secret: &str| rig.access.of_session(secret, NOW).map(|(principal, _)| principal.role);
        assert_eq!(role(&signed_in.secret), Some(Role::Operator));
        rig.change(|file| file.set_role("op", Role::Viewer, Scope::all()));
        assert_eq!(role(&signed_in.secret), Some(Role::Viewer));
        rig.change(|file| file.set_password("op", "quite another one"));
        assert_eq!(role(&signed_in.secret), None, "another password ends it");
        let again = rig.access.sign_in("op", "quite another one", None, NOW).unwrap();
        rig.change(|file| file.remove_user("op"));
        assert_eq!(role(&again.secret), None);
    }

    #[test]
    fn guessing_is_slowed_down_and_a_revoked_token_ends() {
        let rig = Rig::with_admin();
        let stranger = Some("192.0.2.1".parse().unwrap());
        let tries = (0..100).take_while(|_| rig.access.sign_in("root", "x", stranger, NOW) == Err(SignInError::Wrong));
        assert_eq!(tries.count(), 10);
        assert!(matches!(rig.access.sign_in("root", PASSWORD, stranger, NOW), Err(SignInError::Wait(_))));
        assert!(rig.access.sign_in("root", PASSWORD, None, NOW).is_ok(), "the host itself gets in");
        let new = NewToken { name: "grafana", role: Role::Viewer, scope: Scope::all(), expires_at: None };
        let (_, text) = rig.change(|file| file.add_token(&new, NOW));
        assert_eq!(rig.access.of_token(&text, NOW).map(|p| (p.role, p.via)), Some((Role::Viewer, Via::Token)));
        rig.change(|file| file.revoke_token("grafana"));
        assert_eq!(rig.access.of_token(&text, NOW), None);
        let short = NewToken { name: "short", role: Role::Viewer, scope: Scope::all(), expires_at: Some(NOW) };
        let (_, text) = rig.change(|file| file.add_token(&short, NOW));
        assert_eq!((rig.access.of_token(&text, NOW), rig.access.of_token("auscult_", NOW)), (None, None));
    }

    fn identity(name: &str, role: Option<Role>, linked: bool) -> Identity {
        Identity { name: name.to_owned(), role, linked }
    }

    #[test]
    fn a_name_at_a_provider_is_no_user_of_the_file_unless_they_are_linked() {
        let rig = Rig::with_admin();
        for name in ["root", "Root", "ROOT"] {
            let taken = rig.access.begin_session(&identity(name, Some(Role::Viewer), false), NOW);
            assert!(matches!(taken, Err(SignInError::Refused(why)) if why.contains("not linked")), "{name}");
        }
        let none = rig.access.begin_session(&identity("eve", None, false), NOW);
        assert!(matches!(none, Err(SignInError::Refused(why)) if why.contains("gives a role")));
        let role = |secret: &str| rig.access.of_session(secret, NOW).map(|(p, _)| (p.role, p.via));
        let eve = rig.access.begin_session(&identity("eve", Some(Role::Viewer), false), NOW).unwrap();
        let bob = rig.access.begin_session(&identity("bob", Some(Role::Viewer), true), NOW).unwrap();
        let root = rig.access.begin_session(&identity("root", None, true), NOW).unwrap();
        assert_eq!(role(&root.secret), Some((Role::Admin, Via::Oidc)), "role of the file");
        assert!(rig.access.begin_session(&identity("Root", None, true), NOW).is_err(), "another name");
        // Users of these names are added later.
        for name in ["eve", "bob"] {
            let new = NewUser { name, role: Role::Admin, scope: Scope::all(), password: None };
            rig.change(|file| file.add_user(&new, NOW));
        }
        assert_eq!(role(&eve.secret), Some((Role::Viewer, Via::Oidc)), "takes over nothing");
        assert_eq!(role(&bob.secret), Some((Role::Admin, Via::Oidc)));
        assert_eq!(rig.access.of_session_unused(&eve.secret, NOW).map(|p| p.role), Some(Role::Viewer));
        rig.change(|file| file.remove_user("root"));
        assert_eq!(rig.access.of_session_unused(&root.secret, NOW), None, "removed from the file");
        assert_eq!(role(&root.secret), None);
    }

    impl PartialEq for SignIn {
        fn eq(&self, other: &Self) -> bool {
            self.secret == other.secret
        }
    }
}
