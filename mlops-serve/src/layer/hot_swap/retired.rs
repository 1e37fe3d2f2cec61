//! The end of a model: after its last request, and not on the thread of that request.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock, PoisonError};

use futures_channel::oneshot;
use mlops_core::{Error, Model, Result};

use crate::sync::{self, Condvar, Mutex, lock, thread};

/// A model in use. Each request holds it by an [`Arc`], so that its fields are dropped when the last one has
/// left; in their order, so that the model is let go before the end of `in_use` says so.
#[derive(Debug)]
pub(super) struct Slot {
    model: Arc<dyn Model>,
    in_use: OnceLock<InUse>,
}

/// A model that was replaced.
///
/// It is dropped when the last request that began on it has left, whether anybody waits for that or not.
#[derive(Debug)]
pub struct Retired {
    alive: oneshot::Receiver<Infallible>,
}

/// Whether the last request has left.
#[derive(Debug, Default)]
struct Ended {
    ended: Mutex<bool>,
    changed: Condvar,
}

/// Says so when it is dropped, with its slot.
#[derive(Debug)]
struct InUse(sync::Arc<Ended>);

impl Ended {
    fn wait(&self) {
        let mut ended = lock(&self.ended);
        while !*ended {
            ended = self.changed.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *lock(&self.0.ended) = true;
        self.0.changed.notify_all();
    }
}

impl Slot {
    pub(super) fn new(model: Arc<dyn Model>) -> Self {
        Self { model, in_use: OnceLock::new() }
    }

    pub(super) fn model(&self) -> &dyn Model {
        &*self.model
    }

    /// Starts the thread that waits for the last request and then drops the model.
    pub(super) fn retire(&self) -> Result<Retired> {
        let ended = sync::Arc::new(Ended::default());
        let in_use = InUse(sync::Arc::clone(&ended));
        let (living, alive) = oneshot::channel::<Infallible>();
        let model = Arc::clone(&self.model);
        thread::Builder::new()
            .name("mlops-retire".to_owned())
            .spawn(move || {
                ended.wait();
                drop(model);
                drop(living);
            })
            .map_err(|cause| {
                Error::unavailable("a thread to drop the old model on cannot be started").with_source(cause)
            })?;
        self.in_use.set(in_use).map_err(|_| Error::internal("a model was retired twice"))?;
        Ok(Retired { alive })
    }
}

impl Retired {
    /// Waits until the last request has left the model, it has been dropped, and its memory returned.
    pub async fn drained(self) {
        // Nothing is ever sent: this ends when the other end is dropped.
        let _ = self.alive.await;
    }
}
