//! What a monitor looks at, and when its windows end.

use mlops_core::{Error, Result};

use crate::Rules;

/// Options of a [`Monitor`](crate::Monitor).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MonitorOptions {
    /// The tests and their thresholds.
    pub rules: Rules,
    /// When a window ends. Default [`Window::UntilReset`].
    pub window: Window,
    /// The share of predictions that is looked at, in (0, 1]. Default 1.
    pub sampling: f64,
    /// Whether predictions of shadows count. They are made from copies of requests, so every input would
    /// count twice. Default false.
    pub shadows: bool,
    /// Whether failed predictions count. Callers retry them, so an input would count at every attempt, and
    /// what a signature refuses never reached the model. Default false.
    pub failures: bool,
}

/// When a window of live values ends and the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Window {
    /// When [`Monitor::reset`](crate::Monitor::reset) is called. Reports are about the running window.
    UntilReset,
    /// After so many rows. Reports are about the last complete window; before the first is complete, about
    /// the running one. A window has a few rows more when a batch or other threads run over its end.
    Rows(u64),
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            window: Window::UntilReset,
            sampling: 1.0,
            shadows: false,
            failures: false,
        }
    }
}

impl MonitorOptions {
    /// Sets the tests and their thresholds.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets when a window ends.
    #[must_use]
    pub fn with_window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Sets the share of predictions that is looked at.
    #[must_use]
    pub fn with_sampling(mut self, share: f64) -> Self {
        self.sampling = share;
        self
    }

    /// Sets whether predictions of shadows count.
    #[must_use]
    pub fn with_shadows(mut self, shadows: bool) -> Self {
        self.shadows = shadows;
        self
    }

    /// Sets whether failed predictions count.
    #[must_use]
    pub fn with_failures(mut self, failures: bool) -> Self {
        self.failures = failures;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.rules.check()?;
        if self.window == Window::Rows(0) {
            return Err(Error::invalid_input("a window needs at least one row"));
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
