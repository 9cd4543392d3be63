//! How much connections may take, and what became of them, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bounds of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at once. A sixteenth of them is kept for loopback, so that a local operator gets in.
    pub connections: usize,
    /// Connections at once from one client ([`super::client_of`]). Does not apply to loopback.
    pub per_client: usize,
    /// Longest request line and header fields together, bytes; more is answered with 431. Fields are at most 100.
    pub head_bytes: usize,
    /// Most memory of the read buffer, and of what is written at once, bytes; at least 8192.
    pub buffer_bytes: usize,
    /// From the first byte of a request (of a new connection: from its accept) to the end of its head. Of a new connection
    /// the TLS handshake is in it.
    pub head_timeout: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub idle_timeout: Duration,
    /// Longest pause inside a request's body, and of a client that does not take its answer.
    pub stall_timeout: Duration,
    /// Least bytes for each second in which the program waits for the client to send its body or take its answer,
    /// averaged over a request and beyond `stall_timeout`.
    pub least_rate: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            connections: 1024,
            per_client: 128,
            head_bytes: 16 << 10,
            buffer_bytes: 32 << 10,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(30),
            least_rate: 1 << 10,
        }
    }
}

/// Why a connection ended, or was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed it, asked for it, or broke the protocol.
    Client,
    Shutdown,
    HeadTimeout,
    IdleTimeout,
    SlowBody,
    SlowReader,
    /// No TLS handshake came about: the client refused the certificate, offered nothing in common, or sent something else.
    Handshake,
    /// It waited for a request, or its client took nothing, while a new one needed its place.
    Evicted,
    /// Not taken: all places serve requests.
    OverLimit,
    /// Not taken: all places of its client serve requests.
    OverClientLimit,
}

impl CloseReason {
    pub const ALL: [CloseReason; 10] = [
        CloseReason::Client,
        CloseReason::Shutdown,
        CloseReason::HeadTimeout,
        CloseReason::IdleTimeout,
        CloseReason::SlowBody,
        CloseReason::SlowReader,
        CloseReason::Handshake,
        CloseReason::Evicted,
        CloseReason::OverLimit,
        CloseReason::OverClientLimit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Client => "client",
            CloseReason::Shutdown => "shutdown",
            CloseReason::HeadTimeout => "head_timeout",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::SlowBody => "slow_body",
            CloseReason::SlowReader => "slow_reader",
            CloseReason::Handshake => "handshake",
            CloseReason::Evicted => "evicted",
            CloseReason::OverLimit => "over_limit",
            CloseReason::OverClientLimit => "over_client_limit",
        }
    }
}

/// What became of the connections of one server since its start.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    accepted: AtomicU64,
    accept_failed: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
}

/// The counters at one moment. Connections that are open are those accepted and not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionSnapshot {
    /// Connections the kernel handed over, those closed at once included.
    pub accepted: u64,
    /// Failed calls of `accept`: no descriptor or no memory.
    pub accept_failed: u64,
    pub closed: Vec<(&'static str, u64)>,
}

impl ConnectionSnapshot {
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.closed.iter().map(|(_, n)| n).sum())
    }

    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed.iter().find(|(name, _)| *name == reason.name()).map_or(0, |(_, n)| *n)
    }
}

impl ConnectionCounters {
    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(super) fn accept_failed(&self) {
        self.accept_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self, reason: CloseReason) {
        self.closed[reason as usize].fetch_add(1, Relaxed);
    }

    pub fn snapshot(&self) -> ConnectionSnapshot {
        // Closed ones are read first, so that their sum is never above `accepted`.
        let closed = CloseReason::ALL.map(|reason| (reason.name(), self.closed[reason as usize].load(Relaxed)));
        ConnectionSnapshot {
            closed: closed.to_vec(),
            accepted: self.accepted.load(Relaxed),
            accept_failed: self.accept_failed.load(Relaxed),
        }
    }
}
