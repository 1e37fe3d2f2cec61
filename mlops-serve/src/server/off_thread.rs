//! Work that blocks, away from the threads of the runtime.

use mlops_core::{Error, Result};

/// Runs `work` on a thread that may block. A panic is an error.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failure| {
        Err(match failure.try_into_panic() {
            Ok(payload) => Error::panicked(&*payload),
            Err(_cancelled) => Error::unavailable("the runtime shuts down"),
        })
    })
}
