//! The async runtime that the model was made in, for models inside that need one.

/// A runtime, or none.
#[derive(Debug, Clone)]
pub(super) struct Runtime {
    #[cfg(feature = "timer")]
    handle: Option<tokio::runtime::Handle>,
}

impl Runtime {
    /// The runtime of the calling thread.
    pub(super) fn current() -> Self {
        Self {
            #[cfg(feature = "timer")]
            handle: tokio::runtime::Handle::try_current().ok(),
        }
    }

    /// Runs `f` so that what it polls finds the runtime.
    pub(super) fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        #[cfg(feature = "timer")]
        let _entered = self.handle.as_ref().map(tokio::runtime::Handle::enter);
        f()
    }
}
