//! The default variant in the place of one that fails.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::counter;
use mlops_core::metrics::ROLLOUT_FALLBACKS_TOTAL;
use mlops_core::{Error, Instant, Reason, Request, Variant};
use serde::{Deserialize, Serialize};

/// When the default variant answers in the place of one that fails. Errors by which the caller is at fault are
/// never a reason: another model would say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fallback {
    /// Never: the caller gets the error.
    #[default]
    Never,
    /// When the variant took no work, being overloaded or away: for models that must not run twice for a request.
    OnUnavailable,
    /// When it failed by its own fault in any way, panics included.
    OnFailure,
}

/// The policy, and how often it was needed.
#[derive(Debug, Default)]
pub(super) struct Fallbacks {
    policy: Fallback,
    counts: Mutex<BTreeMap<Variant, u64>>,
}

impl Fallbacks {
    pub(super) fn new(policy: Fallback) -> Self {
        Self { policy, counts: Mutex::default() }
    }

    pub(super) fn are_on(&self) -> bool {
        self.policy != Fallback::Never
    }

    /// Whether the default is to answer after this error, while the caller still waits.
    pub(super) fn cover(&self, error: &Error, request: &Request) -> bool {
        let covered = match self.policy {
            Fallback::Never => false,
            Fallback::OnUnavailable => error.is_retryable(),
            Fallback::OnFailure => !error.is_caller_fault(),
        };
        covered && request.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }

    /// Counts one, and says why the default answers.
    pub(super) fn begin(&self, failed: &Variant, error: &Error) -> Reason {
        *self.counts().entry(failed.clone()).or_default() += 1;
        counter!(ROLLOUT_FALLBACKS_TOTAL, "variant" => failed.to_string()).increment(1);
        Reason::Other(format!("fallback: the variant `{failed}` failed ({})", error.label()).into())
    }

    pub(super) fn count(&self, variant: &Variant) -> u64 {
        self.counts().get(variant).copied().unwrap_or_default()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Variant, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn callers_faults_and_late_requests_are_never_covered() {
        let covers = |policy, error: &Error| Fallbacks::new(policy).cover(error, &Request::default());
        let faults = [Error::invalid_input(""), Error::not_found(""), Error::permission_denied("")];
        for error in &faults {
            assert!(
                !covers(Fallback::OnFailure, error) && !covers(Fallback::OnUnavailable, error),
                "{error}"
            );
        }
        for (error, unavailable) in [
            (Error::overloaded(""), true),
            (Error::unavailable(""), true),
            (Error::engine(""), false),
            (Error::deadline_exceeded(""), false),
        ] {
            assert!(covers(Fallback::OnFailure, &error) && !covers(Fallback::Never, &error), "{error}");
            assert_eq!(covers(Fallback::OnUnavailable, &error), unavailable, "{error}");
        }
        let on = Fallbacks::new(Fallback::OnFailure);
        let until = |deadline| Request::default().with_deadline(deadline);
        assert!(on.cover(&Error::engine(""), &until(Instant::now() + Duration::from_secs(60))));
        assert!(!on.cover(&Error::engine(""), &until(Instant::now())));
    }
}
