//! How many requests each client may send.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use mlops_core::{Clock, Error, Instant, Result};

use super::Caller;
use super::caller::{CallerName, Method};

/// How many requests each client may send: so many a second, and so many at once after a pause.
///
/// The limiter is the generic cell rate algorithm (ITU-T I.371): one number per client. Of so many
/// [clients](Self::with_clients) the number is kept; those beyond share one, so that nobody fills the memory
/// by coming from ever new addresses.
///
/// ```
/// use mlops_serve::server::access::Rate;
///
/// let rate = Rate::new(50, 200)?.with_clients(10_000);
/// assert!(Rate::new(0, 1).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    quota: Quota,
    clients: usize,
}

impl Rate {
    /// `per_second` requests a second, and `burst` at once.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when one of them is zero.
    pub fn new(per_second: u32, burst: u32) -> Result<Self> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(rate), Some(burst)) => {
                Ok(Self { quota: Quota::per_second(rate).allow_burst(burst), clients: 100_000 })
            }
            _ => Err(Error::invalid_input("a rate and its burst are at least one request")),
        }
    }

    /// How many clients are counted each on its own; 100 000 unless set, some 10 MB.
    #[must_use]
    pub fn with_clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }
}

/// A client has sent more than its [`Rate`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateExceeded {
    retry_after: Duration,
}

impl RateExceeded {
    /// After how long the next request will be admitted.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }
}

impl fmt::Display for RateExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.retry_after.as_secs_f64();
        write!(f, "you send more requests than you may; try again in {seconds:.3} s")
    }
}

impl std::error::Error for RateExceeded {}

/// [`Error::Overloaded`].
impl From<RateExceeded> for Error {
    fn from(exceeded: RateExceeded) -> Self {
        Self::overloaded(exceeded.to_string())
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Client {
    Named(Method, CallerName),
    /// An IPv6 address counts as its network of 64 bits: that is what one subscriber gets, and it holds more
    /// addresses than could be counted.
    Address(IpAddr),
    /// Nothing is known about the client, or there are too many to know them all.
    Other,
}

impl Client {
    pub(super) fn of(caller: &Caller) -> Self {
        match caller.identity() {
            Some((method, name)) => Self::Named(method, name.clone()),
            None => Self::at(caller.address().map(|address| address.ip())),
        }
    }

    pub(super) fn at(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Address(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            Some(address @ IpAddr::V4(_)) => Self::Address(address),
            None => Self::Other,
        }
    }
}

/// The rate at work: what each client has sent of late.
pub(super) struct Limiter {
    rate: Rate,
    cells: RateLimiter<Client, Cells, Ticks, NoOpMiddleware<Instant>>,
    clock: Arc<dyn Clock>,
    swept: Mutex<Instant>,
}

impl Limiter {
    pub(super) fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let swept = Mutex::new(clock.instant());
        let cells = Cells { cells: Mutex::default(), limit: rate.clients };
        let cells = RateLimiter::new(rate.quota, cells, Ticks(Arc::clone(&clock)));
        Self { rate, cells, clock, swept }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts one request of the client.
    pub(super) fn admit(&self, client: &Client) -> Result<(), RateExceeded> {
        let now = self.clock.instant();
        self.sweep(now);
        self.cells.check_key(client).map_err(|until| RateExceeded { retry_after: until.wait_time_from(now) })
    }

    /// Forgets clients that have been quiet so long that it makes no difference: when there is no room for
    /// more, and at most once a second, because it takes a look at all of them.
    fn sweep(&self, now: Instant) {
        if self.cells.len() < self.rate.clients {
            return;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(*swept) >= Duration::from_secs(1) {
            *swept = now;
            self.cells.retain_recent();
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("rate", &self.rate).finish_non_exhaustive()
    }
}

/// Our clock, for the rate limiter.
#[derive(Debug)]
struct Ticks(Arc<dyn Clock>);

impl governor::clock::Clock for Ticks {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.instant()
    }
}

/// The state of each client, for a limited number of them.
#[derive(Debug)]
struct Cells {
    cells: Mutex<HashMap<Client, Nanos>>,
    limit: usize,
}

impl Cells {
    fn lock(&self) -> MutexGuard<'_, HashMap<Client, Nanos>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Cells {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut cells = self.lock();
        if let Some(state) = cells.get_mut(client) {
            let (outcome, new) = measure(Some(*state))?;
            *state = new;
            return Ok(outcome);
        }
        let client = if cells.len() < self.limit { client } else { &Client::Other };
        let (outcome, new) = measure(cells.get(client).copied())?;
        cells.insert(client.clone(), new);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<Client> for Cells {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().retain(|_, state| *state > drop_below);
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::ManualClock;

    use super::*;

    fn limiter(rate: Rate) -> (Limiter, ManualClock) {
        let clock = ManualClock::default();
        (Limiter::new(rate, Arc::new(clock.clone())), clock)
    }

    fn from(address: &str) -> Client {
        Client::at(Some(address.parse().unwrap()))
    }

    #[test]
    fn a_client_gets_its_burst_and_then_its_rate() {
        let (limiter, clock) = limiter(Rate::new(10, 3).unwrap());
        let client = from("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(limiter.admit(&client), Ok(()));
        }
        let retry_after = limiter.admit(&client).unwrap_err().retry_after();
        assert_eq!(retry_after, Duration::from_millis(100));
        assert_eq!(limiter.admit(&from("192.0.2.2")), Ok(()), "another client is not concerned");
        clock.advance(retry_after);
        assert_eq!(limiter.admit(&client), Ok(()));
        assert!(limiter.admit(&client).is_err());
        clock.advance(Duration::from_secs(3600));
        assert_eq!((0..10).filter(|_| limiter.admit(&client).is_ok()).count(), 3);
    }

    #[test]
    fn clients_beyond_the_limit_share_one_count_and_quiet_ones_make_room() {
        let (limiter, clock) = limiter(Rate::new(1, 1).unwrap().with_clients(2));
        assert_eq!(limiter.admit(&from("192.0.2.1")), Ok(()));
        assert_eq!(limiter.admit(&from("192.0.2.2")), Ok(()));
        assert_eq!(limiter.admit(&from("192.0.2.3")), Ok(()));
        for host in 4..=255 {
            assert!(limiter.admit(&from(&format!("192.0.2.{host}"))).is_err());
        }
        assert_eq!(limiter.cells.len(), 3, "the two, and the one for all others");
        clock.advance(Duration::from_secs(60));
        assert_eq!(limiter.admit(&from("192.0.2.4")), Ok(()));
        assert_eq!(limiter.cells.len(), 1);
    }

    #[test]
    fn one_network_of_64_bits_is_one_client() {
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:1"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
    }
}
