//! Time, injected wherever it matters.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use web_time::Instant;

/// A source of time. Windows, bake times and audit records ask it, never the system, so that every one of
/// them is tested deterministically and can be simulated at any speed.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock, for records. It may jump, both ways.
    fn now(&self) -> Timestamp;

    /// The monotonic clock, for durations and deadlines. It never goes back.
    fn instant(&self) -> Instant;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until it is told to move. Clones share their time.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::{Clock, ManualClock};
///
/// let clock = ManualClock::default();
/// let before = clock.instant();
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(clock.instant() - before, Duration::from_secs(90));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: Arc<Mutex<(Timestamp, Instant)>>,
}

impl ManualClock {
    /// A clock whose wall time is `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { time: Arc::new(Mutex::new((now, Instant::now()))) }
    }

    /// Moves both clocks ahead.
    pub fn advance(&self, duration: Duration) {
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        time.0 = time.0.saturating_add(duration).unwrap_or(Timestamp::MAX);
        time.1 = time.1.checked_add(duration).unwrap_or(time.1);
    }

    /// Lets the wall clock jump, as an operator or NTP does. The monotonic clock does not notice.
    pub fn set_wall(&self, now: Timestamp) {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

/// Starts at the Unix epoch.
impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Timestamp::UNIX_EPOCH)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn instant(&self) -> Instant {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn instant(&self) -> Instant {
        (**self).instant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_jumps_without_the_monotonic_one() {
        let clock = ManualClock::default();
        let shared = clock.clone();
        let start = clock.instant();
        clock.advance(Duration::from_secs(60));
        clock.set_wall(Timestamp::UNIX_EPOCH);
        assert_eq!(shared.now(), Timestamp::UNIX_EPOCH);
        assert_eq!(shared.instant() - start, Duration::from_secs(60));
        clock.advance(Duration::MAX / 4);
    }
}
