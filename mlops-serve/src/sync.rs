//! What threads meet at: that of the standard library, or loom's, where every order of events is tried.

use std::sync::PoisonError;

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

#[cfg(not(loom))]
pub(crate) use arc_swap::ArcSwap;
#[cfg(loom)]
pub(crate) use stand_in::ArcSwap;

/// Locks. Nothing panics while it holds one of these locks halfway through a change, so a poisoned one is sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What loom cannot look into.
#[cfg(loom)]
mod stand_in {
    use super::{Arc, Mutex, lock};

    /// In the place of `arc_swap`, whose own tests prove that it does what a lock would do.
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&lock(&self.0))
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            // Dropped when nobody is locked out any more.
            let _before = std::mem::replace(&mut *lock(&self.0), value);
        }
    }
}
