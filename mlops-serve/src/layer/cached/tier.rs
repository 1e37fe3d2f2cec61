//! Answers shared by several processes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::reexports::bytes::Bytes;
use mlops_core::{Error, Instant, Result, Signature};
use tokio::time::timeout;

use super::answer::Answer;
use super::encoding::{decode, encode};
use super::key::Key;

/// A store of bytes by key that replicas share, behind the memory of a [`Cached`](super::Cached) model.
///
/// It may forget anything at any time. What it gives is checked before it is used; but who may write to it
/// decides what callers are answered, so guard it as you guard the model.
#[async_trait]
pub trait CacheTier: fmt::Debug + Send + Sync + 'static {
    /// What is kept under `key`, if anything is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store is away.
    async fn get(&self, key: &[u8; 32]) -> Result<Option<Bytes>>;

    /// Keeps `value` under `key`, in the place of what was there, for `time_to_live` or, without one, for as
    /// long as there is room.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store is away.
    async fn set(&self, key: &[u8; 32], value: Bytes, time_to_live: Option<Duration>) -> Result<()>;
}

/// A tier that is never waited for long, and never fails.
#[derive(Debug)]
pub(super) struct SharedTier {
    tier: Arc<dyn CacheTier>,
    timeout: Duration,
    time_to_live: Option<Duration>,
    /// After a failure it is left alone until then.
    resting: Mutex<Option<Instant>>,
}

const REST: Duration = Duration::from_secs(1);

impl SharedTier {
    pub(super) fn new(tier: Arc<dyn CacheTier>, timeout: Duration, time_to_live: Option<Duration>) -> Self {
        Self { tier, timeout, time_to_live, resting: Mutex::new(None) }
    }

    /// The answer, if the tier has it, is there, and what it has fits the signature.
    pub(super) async fn find(&self, key: &Key, signature: &Signature) -> Option<Answer> {
        let bytes = self.access(self.tier.get(key.digest())).await??;
        let answer = decode(bytes).and_then(|answer| {
            signature.check_outputs(&answer.outputs)?;
            Ok(answer)
        });
        answer.inspect_err(|error| tracing::warn!(%error, "a shared answer cannot be used")).ok()
    }

    /// Keeps the answer, if the tier is there.
    pub(super) async fn keep(&self, key: &Key, answer: &Answer) {
        self.access(self.tier.set(key.digest(), encode(answer), self.time_to_live)).await;
    }

    async fn access<T>(&self, access: impl Future<Output = Result<T>>) -> Option<T> {
        if self.rests() {
            return None;
        }
        let slow = || Error::deadline_exceeded(format!("the tier took longer than {:?}", self.timeout));
        match timeout(self.timeout, access).await.unwrap_or_else(|_elapsed| Err(slow())) {
            Ok(result) => Some(result),
            Err(error) => {
                *self.resting() = Instant::now().checked_add(REST);
                tracing::warn!(%error, "shared answers are left alone for {REST:?}");
                None
            }
        }
    }

    fn rests(&self) -> bool {
        self.resting().is_some_and(|until| Instant::now() < until)
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
