//! What a computation may use: a file says what is computed, and a few bytes can ask for any amount.
//!
//! The limits hold for the calling thread, where all shapes are computed, until [`within`] returns.

use std::cell::Cell;
use std::time::{Duration, Instant};

use mlops_core::{Error, Result};

/// The most elements of a tensor unless told otherwise.
pub(crate) const LARGEST_TENSOR: usize = 1 << 31;

/// Limits of a computation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most elements of a tensor.
    pub(crate) elements: usize,
    /// The longest time.
    pub(crate) time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { elements: LARGEST_TENSOR, time: None }
    }
}

thread_local! {
    static ELEMENTS: Cell<usize> = const { Cell::new(LARGEST_TENSOR) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Puts the limits back that held before.
struct Before {
    elements: usize,
    deadline: Option<Instant>,
}

impl Drop for Before {
    fn drop(&mut self) {
        ELEMENTS.set(self.elements);
        DEADLINE.set(self.deadline);
    }
}

/// Computes something within limits, and within those that hold already.
pub(crate) fn within<R>(limits: Limits, compute: impl FnOnce() -> R) -> R {
    let before = Before { elements: ELEMENTS.get(), deadline: DEADLINE.get() };
    ELEMENTS.set(limits.elements.min(before.elements));
    if let Some(deadline) = limits.time.and_then(|time| Instant::now().checked_add(time)) {
        DEADLINE.set(Some(before.deadline.map_or(deadline, |before| before.min(deadline))));
    }
    let result = compute();
    drop(before);
    result
}

/// The most elements a tensor may have at the moment.
pub(crate) fn largest_tensor() -> usize {
    ELEMENTS.get()
}

/// Whether there is time left.
///
/// # Errors
/// [`Error::DeadlineExceeded`] when there is not.
pub(crate) fn check_time() -> Result<()> {
    match DEADLINE.get() {
        Some(deadline) if Instant::now() >= deadline => {
            Err(Error::deadline_exceeded("the computation took longer than it may"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_narrow_and_are_put_back() {
        let limits = |elements| Limits { elements, time: None };
        within(limits(10), || {
            assert_eq!(largest_tensor(), 10);
            within(limits(20), || assert_eq!(largest_tensor(), 10));
            within(limits(5), || assert_eq!(largest_tensor(), 5));
            assert_eq!(largest_tensor(), 10);
        });
        assert_eq!(largest_tensor(), LARGEST_TENSOR);
        let caught = std::panic::catch_unwind(|| within(limits(1), || panic!("inside")));
        assert!(caught.is_err());
        assert_eq!(largest_tensor(), LARGEST_TENSOR);
    }

    #[test]
    fn time_runs_out() {
        check_time().unwrap();
        let limits = Limits { time: Some(Duration::ZERO), ..Limits::default() };
        let refused = within(limits, check_time).unwrap_err();
        assert!(matches!(refused, Error::DeadlineExceeded { .. }), "{refused}");
        check_time().unwrap();
    }
}
