//! How many sign-ins may fail: per address, per user and in all, as token buckets in tables of bounded size.

use auscult_core::units::{Nanos, Timestamp};
use std::collections::HashMap;
use std::net::IpAddr;

/// Failures that a full bucket has place for, and how long one takes to be forgiven.
#[derive(Clone, Copy)]
struct Rate {
    burst: i64,
    refill: Nanos,
}

const OF_ADDRESS: Rate = Rate { burst: 10, refill: Nanos::from_secs(6) };
/// Of one user from all addresses but loopback, so that a stranger who guesses cannot keep a local operator out.
const OF_USER: Rate = Rate { burst: 20, refill: Nanos::from_secs(3) };
const OF_ALL: Rate = Rate { burst: 200, refill: Nanos::from_millis(200) };

/// Addresses, and users, that are remembered; of more the one that is forgiven first goes.
const MOST: usize = 4096;

/// Remembers failures as the time at which all of them are forgiven.
#[derive(Default)]
pub struct Throttle {
    addresses: HashMap<Option<IpAddr>, Timestamp>,
    users: HashMap<String, Timestamp>,
    all: Option<Timestamp>,
}

impl Throttle {
    /// How long this client has to wait before it may try again; `None` when it may now. `client` is `None` on loopback.
    pub fn wait(&self, client: Option<IpAddr>, user: &str, now: Timestamp) -> Option<Nanos> {
        let user = client.and_then(|_| self.users.get(user));
        [
            over(self.addresses.get(&client), OF_ADDRESS, now),
            over(user, OF_USER, now),
            over(self.all.as_ref().filter(|_| client.is_some()), OF_ALL, now),
        ]
        .into_iter()
        .flatten()
        .max()
    }

    /// Counts a failure.
    pub fn failed(&mut self, client: Option<IpAddr>, user: &str, now: Timestamp) {
        add(&mut self.addresses, client, OF_ADDRESS, now);
        if client.is_some() {
            add(&mut self.users, user.chars().take(64).collect(), OF_USER, now);
            self.all = Some(self.all.unwrap_or(now).max(now) + OF_ALL.refill);
        }
    }
}

/// How long until a bucket has place for one more.
fn over(forgiven: Option<&Timestamp>, rate: Rate, now: Timestamp) -> Option<Nanos> {
    let full = Nanos(rate.refill.0 * rate.burst);
    let waits = *forgiven? - now + rate.refill - full;
    (waits > Nanos(0)).then_some(waits)
}

fn add<K: Eq + std::hash::Hash + Clone>(table: &mut HashMap<K, Timestamp>, key: K, rate: Rate, now: Timestamp) {
    if table.len() >= MOST && !table.contains_key(&key) {
        table.retain(|_, forgiven| *forgiven > now);
        if table.len() >= MOST
            && let Some(first) = table.iter().min_by_key(|(_, forgiven)| **forgiven).map(|(key, _)| key.clone())
        {
            table.remove(&first);
        }
    }
    let forgiven = table.entry(key).or_insert(now);
    *forgiven = (*forgiven).max(now) + rate.refill;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    /// Tries that are let through before one has to wait.
    fn tries(throttle: &mut Throttle, mut client: impl FnMut(u32) -> Option<IpAddr>, now: Timestamp) -> u32 {
        (0..1000)
            .take_while(|i| {
                let client = client(*i);
                let may = throttle.wait(client, "alice", now).is_none();
                throttle.failed(client, "alice", now);
                may
            })
            .count() as u32
    }

    #[test]
    fn one_address_has_ten_tries_and_one_more_every_six_seconds() {
        let (mut throttle, start) = (Throttle::default(), Timestamp::from_secs(1000));
        assert_eq!(tries(&mut throttle, |_| address(1), start), 10);
        let later = start + Nanos::from_secs(3600);
        assert_eq!(throttle.wait(address(1), "alice", later), None);
        assert_eq!(tries(&mut throttle, |_| address(1), later), 10);
        assert!(throttle.wait(address(1), "alice", later).unwrap() <= Nanos::from_secs(12));
    }

    #[test]
    fn many_addresses_share_the_tries_of_a_user_and_loopback_has_its_own() {
        let (mut throttle, now) = (Throttle::default(), Timestamp::from_secs(1000));
        assert_eq!(tries(&mut throttle, address, now), 20);
        assert!(throttle.wait(address(9999), "alice", now).is_some());
        assert!(throttle.wait(address(9999), "bob", now).is_none());
        assert!(throttle.wait(None, "alice", now).is_none(), "the operator on the host gets in");
    }

    #[test]
    fn tables_are_bounded() {
        let mut throttle = Throttle::default();
        for i in 0..6_000 {
            throttle.failed(address(i), &format!("user {i}"), Timestamp::from_secs(1000));
        }
        assert!(throttle.addresses.len() <= MOST && throttle.users.len() <= MOST);
        assert!(throttle.wait(address(70_000), "new", Timestamp::from_secs(1000)).is_some(), "too many in all");
        assert!(throttle.wait(address(70_000), "new", Timestamp::from_secs(1_000_000)).is_none());
    }
}
