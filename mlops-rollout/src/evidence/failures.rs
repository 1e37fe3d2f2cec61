//! Failures by what kind of error they were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use mlops_core::Error;

/// The errors that are not the caller's fault, as [`Error::label`] calls them; the last takes the rest.
const CLASSES: [&str; 7] =
    ["engine", "deadline_exceeded", "overloaded", "unavailable", "integrity", "internal", "other"];

#[derive(Debug, Default)]
pub(super) struct Failures([AtomicU64; CLASSES.len()]);

impl Failures {
    pub(super) fn count(&self, error: &Error) {
        let label = error.label();
        let class = CLASSES.iter().position(|class| *class == label).unwrap_or(CLASSES.len() - 1);
        if let Some(count) = self.0.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> BTreeMap<String, u64> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        CLASSES
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(class, count)| ((*class).to_owned(), count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_side_error_has_its_class() {
        let failures = Failures::default();
        let errors = [
            Error::engine(""),
            Error::deadline_exceeded(""),
            Error::overloaded(""),
            Error::unavailable(""),
            Error::integrity(""),
            Error::internal(""),
        ];
        for error in &errors {
            assert!(!error.is_caller_fault());
            failures.count(error);
        }
        failures.count(&errors[0]);
        let counts = failures.snapshot();
        assert_eq!((counts["engine"], counts["internal"], counts.get("other")), (2, 1, None));
        assert_eq!(counts.values().sum::<u64>(), 7);
    }
}
