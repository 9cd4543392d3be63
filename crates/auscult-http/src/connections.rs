//! Which connections are open, what each is doing, and which one goes when another needs its place.

use super::client_of;
use super::limits::{CloseReason, ConnectionCounters, HttpLimits};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Connections closed in one search for a place: a search looks at all of them, and a flood would make it run for each.
const EVICTED_AT_ONCE: usize = 8;

/// The connections of one listener.
pub(super) struct Connections {
    limits: HttpLimits,
    counters: Arc<ConnectionCounters>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    next: u64,
    places: HashMap<u64, Arc<Shared>>,
}

/// One open connection. Clones are the same place.
#[derive(Clone)]
pub(super) struct Connection {
    shared: Arc<Shared>,
}

/// Owns a place: gives it back when dropped, also by a task that panicked.
pub(super) struct OwnedConnection(Connection);

impl std::ops::Deref for OwnedConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for OwnedConnection {
    fn drop(&mut self) {
        self.0.close(CloseReason::Shutdown);
    }
}

struct Shared {
    number: u64,
    client: Option<IpAddr>,
    limits: HttpLimits,
    counters: Arc<ConnectionCounters>,
    state: Mutex<State>,
    evict: Notify,
    open: Weak<Mutex<Open>>,
}

/// What a connection is doing. Requests on one connection follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The head of a request is on its way; a new connection is here from its accept.
    Head,
    /// Between two requests.
    Idle,
    /// A request is being answered.
    Busy,
}

struct State {
    phase: Phase,
    since: Instant,
    answer: Waiting,
    closed: bool,
}

/// Time spent waiting for a client to send or take bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    since: Option<Instant>,
    before: Duration,
    bytes: u64,
}

impl Waiting {
    pub fn blocked(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub fn moved(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        if let Some(since) = self.since.take() {
            self.before += now.saturating_duration_since(since);
        }
    }

    /// When waiting has lasted too long: in one piece, or in all for the bytes that moved. `None` while it does not wait.
    pub fn deadline(&self, limits: &HttpLimits) -> Option<Instant> {
        let earned = Duration::from_secs(self.bytes / limits.least_rate.max(1));
        let left = (limits.stall_timeout + earned).saturating_sub(self.before);
        Some(self.since? + left.min(limits.stall_timeout))
    }
}

impl Connections {
    pub fn new(limits: HttpLimits, counters: Arc<ConnectionCounters>) -> Connections {
        Connections { limits, counters, open: Arc::default() }
    }

    /// A place for a connection from this address; `None` (counted) when it must be closed at once. Where places have
    /// run out, connections without a request in progress are closed for it.
    pub fn admit(&self, address: IpAddr, now: Instant) -> Option<OwnedConnection> {
        self.counters.accepted();
        let client = client_of(address);
        let mut open = lock(&self.open);
        if let Some(client) = client {
            let own = |place: &Shared| place.client == Some(client);
            if open.count(own) >= self.limits.per_client.max(1) && !open.evict(own, 1, now) {
                self.counters.closed(CloseReason::OverClientLimit);
                return None;
            }
            let for_remote = self.limits.connections - self.limits.connections / 16;
            let remote = |place: &Shared| place.client.is_some();
            if open.count(remote) >= for_remote.max(1) && !open.evict(remote, EVICTED_AT_ONCE, now) {
                self.counters.closed(CloseReason::OverLimit);
                return None;
            }
        }
        if open.places.len() >= self.limits.connections.max(1) && !open.evict(|_| true, EVICTED_AT_ONCE, now) {
            self.counters.closed(CloseReason::OverLimit);
            return None;
        }
        let number = open.next;
        open.next += 1;
        let shared = Arc::new(Shared {
            number,
            client,
            limits: self.limits,
            counters: self.counters.clone(),
            state: Mutex::new(State { phase: Phase::Head, since: now, answer: Waiting::default(), closed: false }),
            evict: Notify::new(),
            open: Arc::downgrade(&self.open),
        });
        open.places.insert(number, shared.clone());
        Some(OwnedConnection(Connection { shared }))
    }

    /// Closes connections without a request, because descriptors or memory have run out.
    pub fn free_some(&self, now: Instant) {
        lock(&self.open).evict(|_| true, EVICTED_AT_ONCE, now);
    }
}

impl Open {
    fn count(&self, of: impl Fn(&Shared) -> bool) -> usize {
        self.places.values().filter(|place| of(place)).count()
    }

    /// Closes up to `most` connections that wait, all of the client that has most of them, those first that wait
    /// longest. False when none waits.
    fn evict(&mut self, of: impl Fn(&Shared) -> bool, most: usize, now: Instant) -> bool {
        let mut waiting: HashMap<Option<IpAddr>, Vec<(Instant, u64)>> = HashMap::new();
        for place in self.places.values().filter(|place| of(place)) {
            if let Some(since) = place.waits_since(now) {
                waiting.entry(place.client).or_default().push((since, place.number));
            }
        }
        // The address is compared too, so that equal counts do not depend on the order of a hash table.
        let Some((_, mut places)) = waiting.into_iter().max_by_key(|(client, all)| (all.len(), *client)) else {
            return false;
        };
        // At most half of them: with few there is no flood to keep up with.
        let most = most.min(places.len().div_ceil(2));
        places.sort_unstable();
        for (_, number) in places.into_iter().take(most) {
            if let Some(place) = self.places.remove(&number) {
                place.close(CloseReason::Evicted);
                place.evict.notify_one();
            }
        }
        true
    }
}

impl Connection {
    pub fn limits(&self) -> &HttpLimits {
        &self.shared.limits
    }

    /// Bytes came from the client.
    pub fn received(&self, now: Instant) {
        let mut state = lock(&self.shared.state);
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, now);
        }
    }

    pub fn request_begins(&self, now: Instant) {
        let mut state = lock(&self.shared.state);
        (state.phase, state.since, state.answer) = (Phase::Busy, now, Waiting::default());
    }

    /// The last byte of the answer was handed to the connection.
    pub fn request_ends(&self, now: Instant) {
        let mut state = lock(&self.shared.state);
        (state.phase, state.since) = (Phase::Idle, now);
    }

    /// The client does not take what is written.
    pub fn write_blocked(&self, now: Instant) {
        lock(&self.shared.state).answer.blocked(now);
    }

    pub fn written(&self, bytes: usize, now: Instant) {
        lock(&self.shared.state).answer.moved(bytes, now);
    }

    /// When the connection has to be closed if nothing changes before, and why.
    pub fn deadline(&self) -> Option<(Instant, CloseReason)> {
        let limits = &self.shared.limits;
        let state = lock(&self.shared.state);
        let waits = match state.phase {
            Phase::Head => Some((state.since + limits.head_timeout, CloseReason::HeadTimeout)),
            Phase::Idle => Some((state.since + limits.idle_timeout, CloseReason::IdleTimeout)),
            Phase::Busy => None,
        };
        let stalls = state.answer.deadline(limits).map(|at| (at, CloseReason::SlowReader));
        [waits, stalls].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Ends at the deadline or when the place is taken away; for a connection whose state does not change meanwhile.
    pub async fn expired(&self) -> CloseReason {
        let deadline = self.deadline();
        let at_deadline = async {
            match deadline {
                Some((at, reason)) => {
                    tokio::time::sleep_until(at).await;
                    reason
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = at_deadline => reason,
            () = self.evicted() => CloseReason::Evicted,
        }
    }

    /// Ends when the place is taken away.
    pub async fn evicted(&self) {
        self.shared.evict.notified().await;
    }

    /// Counts the end of the connection, once, and gives the place back.
    pub fn close(&self, reason: CloseReason) {
        self.shared.close(reason);
        if let Some(open) = self.shared.open.upgrade() {
            lock(&open).places.remove(&self.shared.number);
        }
    }

    /// The client did not begin TLS where it has to; what comes next is an answer that says so.
    pub fn sent_no_tls(&self) {
        self.shared.close(CloseReason::Handshake);
    }

    /// A request's body came too slowly; the request fails, and with it its connection.
    pub fn body_was_slow(&self) {
        self.shared.close(CloseReason::SlowBody);
    }
}

impl Shared {
    fn close(&self, reason: CloseReason) {
        if !std::mem::replace(&mut lock(&self.state).closed, true) {
            self.counters.closed(reason);
        }
    }

    /// Since when it waits for its client without working for it; `None` while it works.
    fn waits_since(&self, now: Instant) -> Option<Instant> {
        let state = lock(&self.state);
        match state.phase {
            Phase::Head | Phase::Idle => Some(state.since),
            // A full buffer is usual for a moment of a large answer.
            Phase::Busy => state.answer.since.filter(|since| now.saturating_duration_since(*since) > SLOW),
        }
    }
}

/// A client that takes nothing for this long may lose its place to another one.
const SLOW: Duration = Duration::from_secs(1);

/// A poisoned lock still guards whole values: none is left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HttpLimits = HttpLimits {
        connections: 32,
        per_client: 4,
        head_bytes: 8192,
        buffer_bytes: 8192,
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(30),
        least_rate: 1000,
    };

    fn places() -> Connections {
        Connections::new(LIMITS, Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn closed(places: &Connections, reason: CloseReason) -> u64 {
        places.counters.snapshot().closed_for(reason)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn each_phase_has_its_deadline() {
        let (places, start) = (places(), Instant::now());
        let place = places.admit(ip("192.0.2.1"), start).unwrap();
        assert_eq!(place.deadline(), Some((start + seconds(10), CloseReason::HeadTimeout)));
        place.received(start + seconds(9));
        assert_eq!(place.deadline().unwrap().0, start + seconds(10), "bytes of a head do not move its deadline");
        place.request_begins(start + seconds(9));
        assert_eq!(place.deadline(), None);
        place.request_ends(start + seconds(20));
        assert_eq!(place.deadline(), Some((start + seconds(80), CloseReason::IdleTimeout)));
        place.received(start + seconds(70));
        assert_eq!(place.deadline(), Some((start + seconds(80), CloseReason::HeadTimeout)));
    }

    #[test]
    fn a_client_that_takes_nothing_or_a_little_at_a_time_runs_out_of_time() {
        let (places, start) = (places(), Instant::now());
        let place = places.admit(ip("192.0.2.1"), start).unwrap();
        place.request_begins(start);
        place.write_blocked(start);
        assert_eq!(place.deadline(), Some((start + seconds(30), CloseReason::SlowReader)));
        place.written(5000, start + seconds(20));
        assert_eq!(place.deadline(), None, "nothing waits to be written");
        place.write_blocked(start + seconds(20));
        // 30 s and 5 s for 5,000 bytes, of which 20 are gone.
        assert_eq!(place.deadline().unwrap().0, start + seconds(35));
        place.written(1_000_000, start + seconds(30));
        place.write_blocked(start + seconds(40));
        assert_eq!(place.deadline().unwrap().0, start + seconds(70), "no single pause is longer, whatever was earned");
        place.request_ends(start + seconds(41));
        assert_eq!(place.deadline().unwrap().1, CloseReason::SlowReader, "the last bytes still have to go");
        place.written(1, start + seconds(42));
        assert_eq!(place.deadline().unwrap().1, CloseReason::IdleTimeout);
    }

    #[test]
    fn half_open_connections_go_for_new_ones_oldest_of_the_largest_client_first() {
        let (places, start) = (places(), Instant::now());
        let mut held = Vec::new();
        for n in 0..32u64 {
            held.push(places.admit(ip("127.0.0.1"), start + seconds(n)).unwrap());
        }
        held[0].request_begins(start + seconds(40));
        let newcomer = places.admit(ip("198.51.100.1"), start + seconds(50));
        assert!(newcomer.is_some());
        assert_eq!(closed(&places, CloseReason::Evicted), EVICTED_AT_ONCE as u64);
        let open = lock(&places.open);
        let gone: Vec<u64> = (0..32).filter(|n| !open.places.contains_key(n)).collect();
        assert_eq!(gone, (1..=8).collect::<Vec<_>>(), "0 serves a request");
    }

    #[test]
    fn requests_in_progress_keep_their_places_and_loopback_has_some_of_its_own() {
        let (places, start) = (places(), Instant::now());
        let mut held = Vec::new();
        for n in 0..30 {
            let place = places.admit(ip(&format!("192.0.2.{n}")), start).unwrap();
            place.request_begins(start);
            held.push(place);
        }
        assert!(places.admit(ip("192.0.2.99"), start).is_none());
        assert_eq!(closed(&places, CloseReason::OverLimit), 1);
        for _ in 0..2 {
            let place = places.admit(ip("::1"), start).expect("a sixteenth is kept for loopback");
            place.request_begins(start);
            held.push(place);
        }
        assert!(places.admit(ip("127.0.0.1"), start).is_none());
        held[3].write_blocked(start);
        assert!(places.admit(ip("127.0.0.1"), start).is_none(), "blocked for a moment only");
        let late = start + seconds(2);
        assert!(places.admit(ip("127.0.0.1"), late).is_some(), "one that takes nothing may go");
        assert_eq!(closed(&places, CloseReason::OverLimit), 3);
        held[5].close(CloseReason::Client);
        assert!(places.admit(ip("192.0.2.99"), late).is_some(), "places are given back");
        let now = places.counters.snapshot();
        assert_eq!((now.accepted, now.open()), (37, 30), "{now:?}");
    }

    #[test]
    fn one_client_closes_its_own_connections_only() {
        let (places, start) = (places(), Instant::now());
        let other = places.admit(ip("192.0.2.7"), start).unwrap();
        let mine = |n: u64| places.admit(ip("2001:db8::1"), start + seconds(n));
        let held: Vec<OwnedConnection> = (0..4).map(|n| mine(n).unwrap()).collect();
        for place in &held[1..] {
            place.request_begins(start);
        }
        let fifth = mine(9).expect("the idle one goes");
        assert_eq!(closed(&places, CloseReason::Evicted), 1);
        fifth.request_begins(start);
        assert!(mine(9).is_none());
        assert!(places.admit(ip("2001:db8::2"), start).is_none(), "the same /64");
        assert_eq!(closed(&places, CloseReason::OverClientLimit), 2);
        assert!(places.admit(ip("2001:db8:0:1::2"), start).is_some());
        assert!(lock(&places.open).places.contains_key(&other.shared.number));
    }

    #[test]
    fn an_end_is_counted_once() {
        let places = places();
        let place = places.admit(ip("192.0.2.1"), Instant::now()).unwrap();
        place.body_was_slow();
        place.close(CloseReason::Client);
        drop(place);
        let now = places.counters.snapshot();
        assert_eq!((now.open(), now.closed_for(CloseReason::SlowBody)), (0, 1));
        drop(places.admit(ip("192.0.2.1"), Instant::now()));
        assert_eq!((places.counters.snapshot().open(), lock(&places.open).places.len()), (0, 0));
    }
}
