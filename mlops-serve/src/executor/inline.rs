//! Computing on the calling thread.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Engine, Error, Model, ModelId, Request, Response, Result, Signature, Timings};

use super::compute;

/// A model that runs its engine on the calling thread.
///
/// Inputs are checked before, outputs after; a request whose deadline has passed is not computed; and
/// a panic of the engine is an error of that call alone.
#[derive(Debug)]
pub struct Inline<E> {
    engine: E,
    id: Option<Arc<ModelId>>,
}

impl<E: Engine> Inline<E> {
    /// Wraps an engine.
    pub fn new(engine: E) -> Self {
        Self { engine, id: None }
    }

    /// Says which model and version this is; every response carries it.
    #[must_use]
    pub fn with_id(mut self, id: ModelId) -> Self {
        self.id = Some(Arc::new(id));
        self
    }
}

#[async_trait]
impl<E: Engine> Model for Inline<E> {
    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.engine.signature().check(&request.inputs)?;
        let started = mlops_core::Instant::now();
        if request.deadline.is_some_and(|deadline| deadline <= started) {
            return Err(Error::deadline_exceeded("the request came after its own deadline"));
        }
        let outputs = compute(&self.engine, &request.inputs)?;
        let mut response = Response::new(outputs)
            .with_id(request.id)
            .with_timings(Timings { queue: Duration::ZERO, compute: started.elapsed() });
        response.model.clone_from(&self.id);
        Ok(response)
    }
}
