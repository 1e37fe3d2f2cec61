//! Locks, atomics and swaps, for which loom steps in where it looks for races.

#[cfg(not(loom))]
pub(crate) use arc_swap::ArcSwap;
#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, atomic};
#[cfg(loom)]
pub(crate) use stand_in::ArcSwap;
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, atomic};

/// What loom cannot look into.
#[cfg(loom)]
mod stand_in {
    use std::sync::{Arc, PoisonError};

    use super::Mutex;

    /// In the place of `arc_swap`, whose own tests prove that it does what a lock would do.
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        }
    }
}
