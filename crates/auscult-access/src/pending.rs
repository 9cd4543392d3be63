//! Sign-ins at a provider that are under way: what has to be known again when the browser comes back.

use super::secret;
use auscult_core::units::{Nanos, Timestamp};
use std::collections::HashMap;
use std::net::IpAddr;

/// How long one may take.
const LONGEST: Nanos = Nanos::from_secs(600);
/// Sign-ins under way at once. Of more, the oldest of the address with most of them ends.
const MOST: usize = 1024;
/// Of one address but loopback, behind which others may be.
const MOST_OF_ADDRESS: usize = 20;

/// What a sign-in is recognised by when the browser comes back.
#[derive(Debug)]
pub struct SignInKey {
    /// Goes to the provider and comes back in the address.
    pub state: String,
    /// Stays in the browser.
    pub browser: String,
}

impl SignInKey {
    /// # Errors
    /// No random bytes.
    pub fn new() -> std::io::Result<SignInKey> {
        Ok(SignInKey { state: secret::new_secret()?, browser: secret::new_secret()? })
    }

    /// Distinguishes the sign-ins of one browser without saying their state: eight hexadecimal digits.
    pub fn label(state: &str) -> String {
        secret::hex(&secret::hash(state)[..4])
    }
}

/// Why a sign-in is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingError {
    /// It took too long, was used already, or never began.
    Unknown,
    /// It began in another browser.
    OtherBrowser,
}

struct Pending<T> {
    browser: [u8; 32],
    client: Option<IpAddr>,
    begun: Timestamp,
    kept: T,
}

/// All sign-ins that are under way, by the hash of their state.
pub struct PendingSignIns<T> {
    open: HashMap<[u8; 32], Pending<T>>,
}

impl<T> Default for PendingSignIns<T> {
    fn default() -> Self {
        PendingSignIns { open: HashMap::new() }
    }
}

impl<T> PendingSignIns<T> {
    /// Whether this client may begin one more. `client` is `None` on loopback.
    pub fn may_begin(&mut self, client: Option<IpAddr>, now: Timestamp) -> bool {
        self.open.retain(|_, pending| pending.lasts(now));
        client.is_none() || self.of_client(client) < MOST_OF_ADDRESS
    }

    /// Keeps what has to be known again.
    pub fn begin(&mut self, key: &SignInKey, client: Option<IpAddr>, kept: T, now: Timestamp) {
        self.open.retain(|_, pending| pending.lasts(now));
        if self.open.len() >= MOST {
            self.end_one();
        }
        let pending = Pending { browser: secret::hash(&key.browser), client, begun: now, kept };
        self.open.insert(secret::hash(&key.state), pending);
    }

    /// What was kept, once. `browser` is what the browser brought along.
    ///
    /// # Errors
    /// [`PendingError`]. One that is asked for from another browser goes on in its own.
    pub fn take(&mut self, state: &str, browser: Option<&str>, now: Timestamp) -> Result<T, PendingError> {
        let key = secret::hash(state);
        let pending = self.open.get(&key).filter(|pending| pending.lasts(now)).ok_or(PendingError::Unknown)?;
        if !browser.is_some_and(|browser| secret::equal(&secret::hash(browser), &pending.browser)) {
            return Err(PendingError::OtherBrowser);
        }
        self.open.remove(&key).map(|pending| pending.kept).ok_or(PendingError::Unknown)
    }

    fn of_client(&self, client: Option<IpAddr>) -> usize {
        self.open.values().filter(|pending| pending.client == client).count()
    }

    fn end_one(&mut self) {
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for pending in self.open.values() {
            *counts.entry(pending.client).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(client, _)| client);
        let of_most = self.open.iter().filter(|(_, pending)| Some(pending.client) == most);
        if let Some(key) = of_most.min_by_key(|(_, pending)| pending.begun).map(|(key, _)| *key) {
            self.open.remove(&key);
        }
    }
}

impl<T> Pending<T> {
    fn lasts(&self, now: Timestamp) -> bool {
        now < self.begun + LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn begun(pending: &mut PendingSignIns<u32>, client: Option<IpAddr>, n: u32, now: Timestamp) -> SignInKey {
        let key = SignInKey::new().unwrap();
        pending.begin(&key, client, n, now);
        key
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn a_state_is_taken_once_by_its_own_browser_and_in_time() {
        let mut pending = PendingSignIns::default();
        let (a, b) = (begun(&mut pending, None, 1, NOW), begun(&mut pending, None, 2, NOW));
        assert_eq!(pending.take(&a.state, None, NOW), Err(PendingError::OtherBrowser));
        assert_eq!(pending.take(&a.state, Some(&b.browser), NOW), Err(PendingError::OtherBrowser));
        assert_eq!(pending.take(&a.browser, Some(&a.browser), NOW), Err(PendingError::Unknown));
        assert_eq!(pending.take(&a.state, Some(&a.browser), NOW), Ok(1));
        assert_eq!(pending.take(&a.state, Some(&a.browser), NOW), Err(PendingError::Unknown), "a replay");
        let late = NOW + Nanos::from_secs(600);
        assert_eq!(pending.take(&b.state, Some(&b.browser), late), Err(PendingError::Unknown));
        assert_ne!(SignInKey::label(&a.state), SignInKey::label(&b.state));
        assert_eq!(SignInKey::label(&a.state).len(), 8);
    }

    #[test]
    fn one_address_has_twenty_and_many_addresses_do_not_end_those_of_others() {
        let mut pending = PendingSignIns::default();
        let honest = begun(&mut pending, address(7), 7, NOW);
        let mut begins = 0;
        while pending.may_begin(address(1), NOW) {
            begun(&mut pending, address(1), begins, NOW);
            begins += 1;
        }
        assert_eq!(begins, 20);
        assert!(pending.may_begin(None, NOW) && pending.may_begin(address(2), NOW));
        for i in 0..1_500 {
            begun(&mut pending, address(1000 + i / 20), i, NOW);
        }
        assert!(pending.open.len() <= MOST);
        assert_eq!(pending.take(&honest.state, Some(&honest.browser), NOW), Ok(7));
        assert!(pending.may_begin(address(1), NOW + Nanos::from_secs(600)));
        assert!(pending.open.is_empty());
    }
}
