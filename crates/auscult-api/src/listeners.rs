//! Who listens to the live events: bounded in all and by client, with a place for every newcomer.

use super::metrics::{MetricFamily, Sample};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Listeners at once; each costs a connection and a snapshot every second.
pub(super) const MAX_LISTENERS: usize = 64;
/// Listeners at once of one client ([`auscult_http::client_of`]). Loopback has no such bound: a proxy there has many clients behind it.
pub(super) const MAX_OF_CLIENT: usize = 16;

/// The open event streams. A newcomer always gets in: where there are too many, the oldest stream of the client that
/// has most of them ends.
#[derive(Default)]
pub(super) struct Listeners {
    open: Mutex<Vec<Arc<Listener>>>,
    evicted: AtomicU64,
}

struct Listener {
    client: Option<IpAddr>,
    evicted: AtomicBool,
    wake: Notify,
}

/// The place of one event stream, given back when dropped.
pub(super) struct ListenerPlace {
    listener: Arc<Listener>,
    all: Arc<Listeners>,
}

impl Listeners {
    /// A place for a client; `None` where its address is not to be distinguished from others'.
    pub fn join(self: &Arc<Self>, client: Option<IpAddr>) -> ListenerPlace {
        let listener = Arc::new(Listener { client, evicted: AtomicBool::new(false), wake: Notify::new() });
        let mut open = self.open();
        let own = open.iter().filter(|other| other.client == client).count();
        if client.is_some() && own >= MAX_OF_CLIENT {
            self.evict(&mut open, client);
        } else if open.len() >= MAX_LISTENERS {
            let largest = largest(&open, client);
            self.evict(&mut open, largest);
        }
        open.push(listener.clone());
        ListenerPlace { listener, all: self.clone() }
    }

    /// Ends the oldest stream of a client. Streams are in the order in which they were opened.
    fn evict(&self, open: &mut Vec<Arc<Listener>>, client: Option<IpAddr>) {
        let Some(oldest) = open.iter().position(|other| other.client == client) else { return };
        let listener = open.remove(oldest);
        listener.evicted.store(true, Relaxed);
        listener.wake.notify_one();
        self.evicted.fetch_add(1, Relaxed);
    }

    pub fn families(&self) -> [MetricFamily; 2] {
        let (open, evicted) = (self.open().len(), self.evicted.load(Relaxed));
        [
            MetricFamily {
                name: "auscult_live_listeners",
                help: "Open streams of live events",
                samples: vec![Sample::gauge([], open as f64)],
            },
            MetricFamily {
                name: "auscult_live_listeners_evicted",
                help: "Streams of live events that ended because a newer one needed the place",
                samples: vec![Sample::counter([], evicted)],
            },
        ]
    }

    /// A poisoned lock still guards a whole list.
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client with most streams once the newcomer's is added; of equals the one whose stream is the oldest.
fn largest(open: &[Arc<Listener>], newcomer: Option<IpAddr>) -> Option<IpAddr> {
    let mut counts: HashMap<Option<IpAddr>, (usize, usize)> = HashMap::new();
    for (age, listener) in open.iter().enumerate() {
        counts.entry(listener.client).or_insert((0, age)).0 += 1;
    }
    if let Some((count, _)) = counts.get_mut(&newcomer) {
        *count += 1;
    }
    counts.into_iter().max_by_key(|(_, (count, age))| (*count, std::cmp::Reverse(*age))).and_then(|(client, _)| client)
}

impl ListenerPlace {
    /// Ends when a newer stream needs the place.
    pub async fn evicted(self: Arc<Self>) {
        self.listener.wake.notified().await;
    }

    pub fn is_evicted(&self) -> bool {
        self.listener.evicted.load(Relaxed)
    }
}

impl Drop for ListenerPlace {
    fn drop(&mut self) {
        self.all.open().retain(|other| !Arc::ptr_eq(other, &self.listener));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    fn evicted(places: &[ListenerPlace]) -> Vec<usize> {
        (0..places.len()).filter(|i| places[*i].is_evicted()).collect()
    }

    #[test]
    fn two_hundred_streams_of_one_client_shut_no_other_out() {
        let all = Arc::new(Listeners::default());
        let other = all.join(client(1));
        let flood: Vec<_> = (0..200).map(|_| all.join(client(2))).collect();
        let newcomer = all.join(client(3));
        assert!(!other.is_evicted() && !newcomer.is_evicted());
        assert_eq!(evicted(&flood), (0..200 - MAX_OF_CLIENT).collect::<Vec<_>>());
        assert_eq!(all.open().len(), MAX_OF_CLIENT + 2);
        assert_eq!(all.families()[1].samples, [Sample::counter([], 200 - MAX_OF_CLIENT as u64)]);
    }

    #[test]
    fn clients_behind_one_proxy_may_take_all_places_and_newcomers_still_get_in() {
        let all = Arc::new(Listeners::default());
        let proxied: Vec<_> = (0..MAX_LISTENERS).map(|_| all.join(None)).collect();
        assert!(evicted(&proxied).is_empty());
        let newcomers: Vec<_> = (1..=3).map(|n| all.join(client(n))).collect();
        assert!(evicted(&newcomers).is_empty());
        assert_eq!(evicted(&proxied), [0, 1, 2]);
        let again = all.join(None);
        assert!(!again.is_evicted());
        assert_eq!(evicted(&proxied), [0, 1, 2, 3], "its own oldest goes");
    }

    #[test]
    fn places_are_given_back_and_the_largest_client_pays() {
        let all = Arc::new(Listeners::default());
        let mut held: Vec<_> = (0..MAX_LISTENERS as u8).map(|n| all.join(client(n % 32))).collect();
        held.push(all.join(client(5)));
        assert_eq!(evicted(&held), [5], "the newcomer's client has most with it");
        held.truncate(10);
        assert_eq!(all.open().len(), 9);
        held.extend((0..55).map(|n| all.join(client(100 + n))));
        assert_eq!(evicted(&held), [5], "all fit");
    }
}
