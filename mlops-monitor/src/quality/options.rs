//! What reports keep, and what is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Error, Result, SystemClock};

use crate::Span;

/// Options of a [`Checker`](super::Checker).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckOptions {
    /// How many offenders of each expectation a report names: the first that came. Default 20.
    pub offenders: usize,
    /// Columns whose values no report shows. Default none.
    pub redacted: BTreeSet<String>,
    /// How many distinct values `unique` remembers per column, at 10 to 20 bytes each. With more it is undecided unless
    /// it has failed before. Default 1,000,000.
    pub distinct_limit: usize,
    /// How many values `quantile` keeps, at 8 bytes each. With more it judges by a sample of them, and is undecided when
    /// that is too near to a limit to tell. Default 100,000.
    pub quantile_limit: usize,
}

/// Options of a [`QualityObserver`](super::QualityObserver).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObserverOptions {
    /// What reports keep.
    pub check: CheckOptions,
    /// How long a window is; with none, windows end when [`rotate`](super::QualityObserver::rotate) is called. One of
    /// rows has a few more when a batch or other threads run over its end. Default none.
    pub window: Option<Span>,
    /// The share of predictions that is looked at, in (0, 1]. Default 1.
    pub sampling: f64,
    /// Whether predictions of shadows are looked at. They are made from copies of requests. Default false.
    pub shadows: bool,
    /// Whether failed predictions are looked at. What a signature refuses is among them. Default false.
    pub failures: bool,
    /// The time of windows. Default [`SystemClock`].
    pub clock: Arc<dyn Clock>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { offenders: 20, redacted: BTreeSet::new(), distinct_limit: 1_000_000, quantile_limit: 100_000 }
    }
}

impl Default for ObserverOptions {
    fn default() -> Self {
        Self {
            check: CheckOptions::default(),
            window: None,
            sampling: 1.0,
            shadows: false,
            failures: false,
            clock: Arc::new(SystemClock),
        }
    }
}

impl CheckOptions {
    /// Sets how many offenders of each expectation a report names.
    #[must_use]
    pub fn with_offenders(mut self, offenders: usize) -> Self {
        self.offenders = offenders;
        self
    }

    /// Hides the values of these columns from reports.
    #[must_use]
    pub fn with_redacted(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.redacted.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Sets how many distinct values `unique` remembers per column.
    #[must_use]
    pub fn with_distinct_limit(mut self, limit: usize) -> Self {
        self.distinct_limit = limit;
        self
    }

    /// Sets how many values `quantile` keeps.
    #[must_use]
    pub fn with_quantile_limit(mut self, limit: usize) -> Self {
        self.quantile_limit = limit;
        self
    }
}

impl ObserverOptions {
    /// Sets what reports keep.
    #[must_use]
    pub fn with_check(mut self, check: CheckOptions) -> Self {
        self.check = check;
        self
    }

    /// Sets how long a window is.
    #[must_use]
    pub fn with_window(mut self, window: Span) -> Self {
        self.window = Some(window);
        self
    }

    /// Sets the source of time.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the share of predictions that is looked at.
    #[must_use]
    pub fn with_sampling(mut self, share: f64) -> Self {
        self.sampling = share;
        self
    }

    /// Sets whether predictions of shadows are looked at.
    #[must_use]
    pub fn with_shadows(mut self, shadows: bool) -> Self {
        self.shadows = shadows;
        self
    }

    /// Sets whether failed predictions are looked at.
    #[must_use]
    pub fn with_failures(mut self, failures: bool) -> Self {
        self.failures = failures;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.window {
            Some(Span::Rows(0)) => return Err(Error::invalid_input("a window needs at least one row")),
            Some(Span::Time(Duration::ZERO)) => return Err(Error::invalid_input("a window needs some time")),
            _ => {}
        }
        if !(self.sampling > 0.0 && self.sampling <= 1.0) {
            let share = self.sampling;
            return Err(Error::invalid_input(format!(
                "the sampling share is {share}; it has to be above 0, at most 1"
            )));
        }
        Ok(())
    }
}
