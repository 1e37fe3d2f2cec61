//! The end of a model: after its last request, and not on the thread of that request.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use futures_channel::oneshot;
use mlops_core::{Error, Model, Result};

/// A model in use. Each request holds it by an [`Arc`], so that its fields are dropped when the last one has
/// left; in their order, so that the model is let go before the end of `in_use` says so.
#[derive(Debug)]
pub(super) struct Slot {
    model: Arc<dyn Model>,
    in_use: OnceLock<mpsc::Sender<Infallible>>,
}

/// A model that was replaced.
///
/// It is dropped when the last request that began on it has left, whether anybody waits for that or not.
#[derive(Debug)]
pub struct Retired {
    alive: oneshot::Receiver<Infallible>,
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
        let (in_use, unused) = mpsc::channel();
        let (living, alive) = oneshot::channel::<Infallible>();
        let model = Arc::clone(&self.model);
        thread::Builder::new()
            .name("mlops-retire".to_owned())
            .spawn(move || {
                // Nothing is ever sent: this ends when the slot is dropped.
                let _ = unused.recv();
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
