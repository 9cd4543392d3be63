//! The provider at which users sign in: what it has to answer, sign-ins that are under way, and what came of them.

use super::metrics::{MetricFamily, Sample};
use auscult_access::{Identity, PendingSignIns};
use auscult_core::units::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Conversations with the provider at once: each holds a thread for as long as the provider takes to answer.
const AT_ONCE: usize = 8;

/// A provider that says who somebody is. Its calls block for as long as the provider takes, within bounds of their own.
pub trait IdentityProvider: Send + Sync {
    /// Shown on the page.
    fn name(&self) -> &str;

    /// Where the browser has to go for this state.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`].
    fn authorization(&self, state: &str, now: Timestamp) -> Result<Authorization, ProviderError>;

    /// Who came back with this code.
    ///
    /// # Errors
    /// [`ProviderError`].
    fn identity(&self, code: &str, expected: &Expected, now: Timestamp) -> Result<Identity, ProviderError>;
}

/// The beginning of a sign-in.
pub struct Authorization {
    /// Address at the provider.
    pub url: String,
    pub expected: Expected,
}

/// What the provider's answer has to fit.
pub struct Expected {
    /// In the identity token.
    pub nonce: String,
    /// PKCE (RFC 7636): shown to the provider with the code.
    pub verifier: String,
}

/// Why a provider did not say who somebody is; one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// It did not answer, or nothing that can be used.
    Unavailable(String),
    /// It refused, or what it said of somebody does not hold.
    Refused(String),
}

/// What is known again when the browser comes back.
pub(super) struct Remembered {
    pub expected: Expected,
    pub return_to: String,
}

/// The provider and the sign-ins that are under way there.
pub(super) struct Provider {
    with: Arc<dyn IdentityProvider>,
    pending: Mutex<PendingSignIns<Remembered>>,
    places: Arc<Semaphore>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    begun: AtomicU64,
    succeeded: AtomicU64,
    failed: [AtomicU64; Failure::ALL.len()],
}

/// Why somebody did not get in; the page has a sentence for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Unavailable,
    Refused,
    Expired,
    NoRole,
    TooMany,
    Busy,
}

impl Failure {
    const ALL: [Failure; 6] =
        [Failure::Unavailable, Failure::Refused, Failure::Expired, Failure::NoRole, Failure::TooMany, Failure::Busy];

    pub fn code(self) -> &'static str {
        match self {
            Failure::Unavailable => "provider_unavailable",
            Failure::Refused => "provider_refused",
            Failure::Expired => "expired",
            Failure::NoRole => "no_role",
            Failure::TooMany => "too_many_sign_ins",
            Failure::Busy => "busy",
        }
    }
}

impl Provider {
    pub fn new(with: Arc<dyn IdentityProvider>) -> Provider {
        Provider {
            with,
            pending: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            counters: Counters::default(),
        }
    }

    pub fn name(&self) -> &str {
        self.with.name()
    }

    /// Sign-ins that are under way.
    pub fn pending(&self) -> MutexGuard<'_, PendingSignIns<Remembered>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the provider on a thread that may block, when one is free for it.
    pub async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn IdentityProvider) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, Failed> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Err(Failed(Failure::Busy, "other sign-ins wait for the provider".to_owned()));
        };
        let with = self.with.clone();
        let asked = tokio::task::spawn_blocking(move || {
            // Held until the provider has answered, also when the browser has gone.
            let _place = place;
            ask(&*with)
        });
        match asked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(ProviderError::Unavailable(why))) => Err(Failed(Failure::Unavailable, why)),
            Ok(Err(ProviderError::Refused(why))) => Err(Failed(Failure::Refused, why)),
            Err(e) => Err(Failed(Failure::Unavailable, e.to_string())),
        }
    }

    pub fn count(&self, failure: Failure) {
        let at = Failure::ALL.iter().position(|each| *each == failure);
        if let Some(counter) = at.and_then(|at| self.counters.failed.get(at)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub fn count_begun(&self) {
        self.counters.begun.fetch_add(1, Relaxed);
    }

    pub fn count_succeeded(&self) {
        self.counters.succeeded.fetch_add(1, Relaxed);
    }

    pub fn family(&self) -> MetricFamily {
        let c = &self.counters;
        let mut samples = vec![
            Sample::counter([("outcome", "begun")], c.begun.load(Relaxed)),
            Sample::counter([("outcome", "succeeded")], c.succeeded.load(Relaxed)),
        ];
        for (failure, n) in Failure::ALL.iter().zip(&c.failed) {
            samples.push(Sample::counter([("outcome", failure.code())], n.load(Relaxed)));
        }
        MetricFamily {
            name: "auscult_provider_sign_ins",
            help: "Sign-ins at the OpenID Connect provider that began, and what came of them",
            samples,
        }
    }
}

/// Why a sign-in failed: what the page says, and what the audit log has.
pub(super) struct Failed(pub Failure, pub String);
