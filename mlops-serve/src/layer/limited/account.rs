//! What one key has used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use mlops_core::{Error, Result};

use super::clock::Ticks;

/// What each account may use.
#[derive(Debug)]
pub(super) struct Terms {
    concurrency: Option<usize>,
    rate: Option<(f64, u32)>,
    quota: Option<Quota>,
    clock: Ticks,
}

/// What was used of it.
#[derive(Debug)]
pub(super) struct Account {
    in_flight: AtomicUsize,
    rate: Option<RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Nanos>>>,
}

/// The place of a request in flight; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place(Arc<Account>);

impl Terms {
    /// `quota` is that of `rate`, which is kept for messages.
    pub(super) fn new(
        concurrency: Option<usize>,
        rate: Option<(f64, u32)>,
        quota: Option<Quota>,
        clock: Ticks,
    ) -> Self {
        Self { concurrency, rate, quota, clock }
    }

    pub(super) fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// An account of which nothing is used.
    pub(super) fn open(&self) -> Arc<Account> {
        let rate = self.quota.map(|quota| RateLimiter::direct_with_clock(quota, self.clock.clone()));
        Arc::new(Account { in_flight: AtomicUsize::new(0), rate })
    }

    /// A place in flight, if there is one and the rate allows for it. A refusal uses up nothing.
    pub(super) fn admit(&self, account: Arc<Account>, key: Option<&str>) -> Result<Place> {
        let of = key.map(|key| format!(" of `{}`", key.escape_debug())).unwrap_or_default();
        let before = account.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(account);
        if let Some(limit) = self.concurrency.filter(|limit| before >= *limit) {
            return Err(Error::overloaded(format!("{limit} requests{of} are in flight, the limit")));
        }
        if let (Some(limiter), Some((per_second, burst))) = (&place.0.rate, self.rate) {
            limiter.check().map_err(|refused| {
                let wait = refused.wait_time_from(self.now());
                Error::overloaded(format!(
                    "requests{of} exceed the limit of {per_second} per second with bursts of {burst}; \
                     the next is taken in {wait:?}"
                ))
            })?;
        }
        Ok(place)
    }

    /// Whether the account is as one that was just opened, so that it need not be remembered.
    pub(super) fn is_unused(&self, account: &Arc<Account>) -> bool {
        let burst = self.quota.map(|quota| quota.burst_size());
        Arc::strong_count(account) == 1
            && match (&account.rate, burst) {
                // Only a full bucket has the whole burst to give. It is taken, but the account goes.
                (Some(limiter), Some(burst)) => matches!(limiter.check_n(burst), Ok(Ok(()))),
                _ => true,
            }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
