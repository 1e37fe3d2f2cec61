//! Calls that block, off the threads that must stay responsive.

use mlops_core::{Error, Result};

/// Runs `work` on the pool for blocking calls, or right here when there is no runtime.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(|cause| {
            Error::internal("a blocking task of the rollout store died").with_source(cause)
        })?,
        Err(_) => work(),
    }
}
