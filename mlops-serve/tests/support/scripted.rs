//! A model that does what a test says.
#![allow(dead_code, clippy::unwrap_used)]

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt};
use mlops_core::{
    DType, Dimension, Error, Model, Request, Response, Result, Signature, TensorSpec, Tensors, Timings,
};

/// Gives its input `x` back as `y`, after the script has run and unless it fails. The script is told the
/// number of the call, from 0.
pub(crate) struct Scripted {
    signature: Signature,
    script: Box<dyn Fn(usize, Request) -> BoxFuture<'static, Result<()>> + Send + Sync>,
    calls: AtomicUsize,
}

pub(crate) const TIMINGS: Timings =
    Timings { queue: std::time::Duration::from_millis(3), compute: std::time::Duration::from_millis(4) };

impl Scripted {
    pub(crate) fn new<F>(script: impl Fn(usize, Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]).finite();
        Self {
            signature: Signature::new([spec("x")], [spec("y")]).unwrap(),
            script: Box::new(move |call, request| script(call, request).boxed()),
            calls: AtomicUsize::new(0),
        }
    }

    /// Answers at once.
    pub(crate) fn echo() -> Self {
        Self::new(|_, _| async { Ok(()) })
    }

    /// Fails with what `error` makes of the number of the call, if anything.
    pub(crate) fn failing(error: impl Fn(usize) -> Option<Error> + Send + Sync + 'static) -> Self {
        Self::new(move |call, _| std::future::ready(error(call).map_or(Ok(()), Err)))
    }

    /// How often it was asked what fits.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Model for Scripted {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        (self.script)(call, request.clone()).await?;
        let outputs = Tensors::new().with("y", request.inputs.require("x")?.clone());
        Ok(Response::new(outputs).with_id(request.id).with_timings(TIMINGS))
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

pub(crate) fn inputs(x: f32) -> Tensors {
    Tensors::new().with("x", vec![x])
}

pub(crate) fn request(x: f32) -> Request {
    Request::new(inputs(x))
}

pub(crate) fn answered(response: &Response) -> f32 {
    response.outputs.require("y").unwrap().as_slice::<f32>().unwrap()[0]
}

/// Lets the future run as far as it can, which must not be to its end.
pub(crate) async fn started<T>(future: &mut (impl Future<Output = T> + Unpin)) {
    std::future::poll_fn(|context| {
        assert!(std::pin::Pin::new(&mut *future).poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}
