//! Sessions of people who signed in: in memory, ended by time, by their user's removal and by a restart.

use super::role::Principal;
use super::secret;
use auscult_core::units::{Nanos, Timestamp};
use std::collections::HashMap;

/// Sessions at once, and of one user; one more ends the one that was used least recently.
const MOST: usize = 4096;
const MOST_OF_USER: usize = 32;

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Without a request.
    pub idle: Nanos,
    /// From sign-in on.
    pub longest: Nanos,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits { idle: Nanos::from_secs(8 * 3600), longest: Nanos::from_secs(24 * 3600) }
    }
}

/// What a session depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// A user of the file with the password of this hash.
    Password([u8; 32]),
    /// A user of the file whom a provider vouched for.
    File,
    /// What a provider said at sign-in, alone.
    Provider,
    /// The same, until the file has a user of the name.
    ProviderUntilFile,
}

pub struct Session {
    pub principal: Principal,
    pub bond: Bond,
    begun: Timestamp,
    used: Timestamp,
}

/// All sessions, by the hash of their secret.
#[derive(Default)]
pub struct Sessions {
    limits: SessionLimits,
    open: HashMap<[u8; 32], Session>,
}

impl Sessions {
    pub fn new(limits: SessionLimits) -> Sessions {
        Sessions { limits, open: HashMap::new() }
    }

    /// Begins a session and returns its secret.
    ///
    /// # Errors
    /// No random bytes.
    pub fn begin(&mut self, principal: Principal, bond: Bond, now: Timestamp) -> std::io::Result<String> {
        let secret = secret::new_secret()?;
        let limits = self.limits;
        self.open.retain(|_, session| limits.end(session) > now);
        while self.of_user(&principal.name) >= MOST_OF_USER {
            self.end_oldest(|session| session.principal.name == principal.name);
        }
        if self.open.len() >= MOST {
            self.end_oldest(|_| true);
        }
        self.open.insert(secret::hash(&secret), Session { principal, bond, begun: now, used: now });
        Ok(secret)
    }

    /// The session of a secret and when it ends if nothing more comes; none when it has ended.
    pub fn find(&mut self, secret: &str, now: Timestamp) -> Option<(&Session, Timestamp)> {
        let key = secret::hash(secret);
        let limits = self.limits;
        let session = self.open.get_mut(&key).filter(|session| limits.end(session) > now)?;
        session.used = session.used.max(now);
        let end = limits.end(session);
        Some((session, end))
    }

    /// The session of a secret, without using it.
    pub fn look(&self, secret: &str, now: Timestamp) -> Option<&Session> {
        self.open.get(&secret::hash(secret)).filter(|session| self.limits.end(session) > now)
    }

    pub fn end(&mut self, secret: &str) -> Option<Principal> {
        self.open.remove(&secret::hash(secret)).map(|session| session.principal)
    }

    fn of_user(&self, name: &str) -> usize {
        self.open.values().filter(|session| *session.principal.name == *name).count()
    }

    fn end_oldest(&mut self, of: impl Fn(&Session) -> bool) {
        let oldest = self.open.iter().filter(|(_, session)| of(session)).min_by_key(|(_, session)| session.used);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.open.remove(&key);
        }
    }
}

impl SessionLimits {
    fn end(&self, session: &Session) -> Timestamp {
        (session.used + self.idle).min(session.begun + self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Principal {
        Principal { name: name.into(), ..Principal::open() }
    }

    #[test]
    fn sessions_end_when_idle_after_their_longest_time_and_at_sign_out() {
        let limits = SessionLimits { idle: Nanos::from_secs(60), longest: Nanos::from_secs(150) };
        let mut sessions = Sessions::new(limits);
        let at = Timestamp::from_secs;
        let secret = sessions.begin(named("a"), Bond::Provider, at(1000)).unwrap();
        assert_eq!(sessions.find(&secret, at(1059)).map(|(_, end)| end), Some(at(1119)));
        assert_eq!(sessions.find(&secret, at(1118)).map(|(_, end)| end), Some(at(1150)), "the longest time");
        assert!(sessions.find(&secret, at(1150)).is_none());
        let idle = sessions.begin(named("a"), Bond::Provider, at(2000)).unwrap();
        assert!(sessions.find(&idle, at(2060)).is_none());
        let out = sessions.begin(named("a"), Bond::Provider, at(3000)).unwrap();
        assert!(sessions.end(&out).is_some() && sessions.find(&out, at(3000)).is_none());
        assert!(sessions.find("guess", at(3000)).is_none());
    }

    #[test]
    fn sessions_are_bounded_in_all_and_for_each_user() {
        let mut sessions = Sessions::default();
        let first = sessions.begin(named("a"), Bond::Provider, Timestamp::from_secs(1)).unwrap();
        for i in 0..40 {
            sessions.begin(named("a"), Bond::Provider, Timestamp::from_secs(2 + i)).unwrap();
        }
        assert_eq!(sessions.open.len(), MOST_OF_USER);
        assert!(sessions.find(&first, Timestamp::from_secs(50)).is_none());
        for i in 0..5000 {
            sessions.begin(named(&format!("u{i}")), Bond::Provider, Timestamp::from_secs(50)).unwrap();
        }
        assert!(sessions.open.len() <= MOST);
    }
}
