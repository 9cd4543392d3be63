//! How many queries run at once, and which is next: the queries of one client in order, clients in turn.

use super::QueryError;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bounds of one gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct GateLimits {
    /// Queries that run at once. One client with a known address may have half of them, rounded up.
    pub running: usize,
    /// Queries that wait.
    pub waiting: usize,
    /// Queries of one client with a known address that wait.
    pub waiting_of_client: usize,
    /// Longest wait.
    pub patience: Duration,
}

/// Admits queries. Clients whose address is not known (`None`) count as one, without the bounds for one.
#[derive(Debug)]
pub(super) struct Gate {
    limits: GateLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    running_of: HashMap<Option<IpAddr>, usize>,
    /// Clients that wait, the next one first, each with its queries in order.
    waiting: VecDeque<(Option<IpAddr>, VecDeque<oneshot::Sender<Permit>>)>,
}

/// One running query's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    /// `None` once it was given back.
    of: Option<(Arc<Gate>, Option<IpAddr>)>,
}

impl Gate {
    pub fn new(limits: GateLimits) -> Arc<Gate> {
        Arc::new(Gate { limits, state: Mutex::default() })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`QueryError::TooMany`] when this client has too many waiting already, [`QueryError::Busy`] when all clients
    /// together have, or no place became free in time.
    pub async fn enter(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Permit, QueryError> {
        let turn = {
            let mut state = self.state();
            state.forget_those_who_left();
            if state.running < self.limits.running && state.may_run(client, &self.limits) {
                state.start(client);
                return Ok(self.permit(client));
            }
            let own = state.waiting.iter().find(|(other, _)| *other == client).map_or(0, |(_, queue)| queue.len());
            if client.is_some() && own >= self.limits.waiting_of_client {
                return Err(QueryError::TooMany);
            }
            if state.waiting.iter().map(|(_, queue)| queue.len()).sum::<usize>() >= self.limits.waiting {
                return Err(QueryError::Busy);
            }
            let (sender, turn) = oneshot::channel();
            match state.waiting.iter_mut().find(|(other, _)| *other == client) {
                Some((_, queue)) => queue.push_back(sender),
                None => state.waiting.push_back((client, VecDeque::from([sender]))),
            }
            turn
        };
        match tokio::time::timeout(self.limits.patience, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(QueryError::Busy),
        }
    }

    fn permit(self: &Arc<Self>, client: Option<IpAddr>) -> Permit {
        Permit { of: Some((self.clone(), client)) }
    }

    /// Gives a place back, and to those who wait for one.
    fn release(self: &Arc<Self>, client: Option<IpAddr>) {
        self.state().stop(client);
        loop {
            let next = {
                let mut state = self.state();
                let next = if state.running < self.limits.running { state.next(&self.limits) } else { None };
                if let Some((client, _)) = &next {
                    state.start(*client);
                }
                next
            };
            let Some((client, turn)) = next else { return };
            if let Err(mut unwanted) = turn.send(self.permit(client)) {
                // Its query gave up meanwhile.
                unwanted.of = None;
                self.state().stop(client);
            }
        }
    }

    /// A poisoned lock still guards whole counts.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_run(&self, client: Option<IpAddr>, limits: &GateLimits) -> bool {
        let own = self.running_of.get(&client).copied().unwrap_or(0);
        client.is_none() || own < limits.running.div_ceil(2)
    }

    fn start(&mut self, client: Option<IpAddr>) {
        self.running += 1;
        *self.running_of.entry(client).or_insert(0) += 1;
    }

    fn stop(&mut self, client: Option<IpAddr>) {
        self.running -= 1;
        if let Some(own) = self.running_of.get_mut(&client) {
            *own -= 1;
            if *own == 0 {
                self.running_of.remove(&client);
            }
        }
    }

    /// The oldest query of the first client in turn that may run one more; the client goes to the end.
    fn next(&mut self, limits: &GateLimits) -> Option<(Option<IpAddr>, oneshot::Sender<Permit>)> {
        self.forget_those_who_left();
        let place = self.waiting.iter().position(|(client, _)| self.may_run(*client, limits))?;
        let (client, mut queue) = self.waiting.remove(place)?;
        let turn = queue.pop_front()?;
        if !queue.is_empty() {
            self.waiting.push_back((client, queue));
        }
        Some((client, turn))
    }

    fn forget_those_who_left(&mut self) {
        for (_, queue) in &mut self.waiting {
            queue.retain(|turn| !turn.is_closed());
        }
        self.waiting.retain(|(_, queue)| !queue.is_empty());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((gate, client)) = self.of.take() {
            gate.release(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    const LIMITS: GateLimits =
        GateLimits { running: 3, waiting: 8, waiting_of_client: 4, patience: Duration::from_secs(3600) };

    fn client(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    type Entering = Pin<Box<dyn Future<Output = Result<Permit, QueryError>>>>;

    fn entering(gate: &Arc<Gate>, client: Option<IpAddr>) -> Entering {
        let gate = gate.clone();
        let mut entering: Entering = Box::pin(async move { gate.enter(client).await });
        assert!(poll(&mut entering).is_none(), "it has to wait");
        entering
    }

    fn poll(entering: &mut Entering) -> Option<Result<Permit, QueryError>> {
        match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn clients_take_turns_whatever_one_of_them_asks() {
        let gate = Gate::new(LIMITS);
        let mut running = vec![gate.enter(client(1)).await.unwrap(), gate.enter(client(1)).await.unwrap()];
        let mut flood: Vec<_> = (0..4).map(|_| entering(&gate, client(1))).collect();
        assert!(matches!(gate.enter(client(1)).await, Err(QueryError::TooMany)));
        let other = gate.enter(client(2)).await.expect("one client has no more than half of the places");
        let mut third = entering(&gate, client(3));
        drop(running.pop());
        assert!(poll(&mut flood[0]).is_some_and(|turn| turn.is_ok_and(|permit| {
            running.push(permit);
            true
        })));
        drop(running.pop());
        let permit = poll(&mut third).expect("clients in turn").unwrap();
        assert!(poll(&mut flood[1]).is_none());
        drop((permit, other));
        assert!(poll(&mut flood[1]).is_some());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_forgets_who_left() {
        let gate = Gate::new(LIMITS);
        let running: Vec<_> = [gate.enter(None).await, gate.enter(None).await, gate.enter(None).await].into();
        let mut waiting: Vec<_> = (0..8).map(|_| entering(&gate, None)).collect();
        assert!(matches!(gate.enter(client(1)).await, Err(QueryError::Busy)));
        drop(waiting.remove(0));
        let mut newcomer = entering(&gate, client(1));
        drop(running);
        assert!(poll(&mut waiting[0]).is_some() && poll(&mut newcomer).is_some(), "no place is lost to who left");
        drop((waiting, newcomer));
        let state = gate.state();
        assert_eq!((state.running, state.waiting.len(), state.running_of.len()), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_to_come_back() {
        let gate = Gate::new(GateLimits { running: 1, ..LIMITS });
        let held = gate.enter(None).await.unwrap();
        assert!(matches!(gate.enter(None).await, Err(QueryError::Busy)));
        drop(held);
        assert!(gate.enter(None).await.is_ok());
    }
}
