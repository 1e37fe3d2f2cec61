//! Replacing a model while it is in use.

mod retired;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use mlops_core::{Error, Model, Request, Response, Result, Signature, Tensors};

use super::narrowed::Narrowed;
use crate::sync::{self, ArcSwap, Mutex, lock};
use retired::Slot;

pub use retired::Retired;

/// A model that can be replaced while requests are in flight; none of them fails for it.
///
/// * A request finishes on the model it began on. Taking the current model costs one atomic increment, and
///   never waits for a replacement.
/// * The signature is that of the first model, for good: a replacement that would break callers who know it
///   is [`Error::Conflict`], and nothing changes. One that accepts more or gives more may come, but callers
///   see what they were promised: further inputs are refused and further outputs left out.
/// * The old model is dropped when its last request has left, on a thread of its own, since that may take
///   long (worker threads are joined, memory of a GPU is freed). [`Retired::drained`] waits for it.
///
/// A cache belongs inside (`HotSwap::new(model.cached(..))`), so that it goes with the model whose answers
/// it holds.
///
/// ```
/// use mlops_core::{Model, Result, Tensors};
/// use mlops_serve::layer::HotSwap;
///
/// async fn release(serving: &HotSwap, next: impl Model, samples: &[Tensors]) -> Result<()> {
///     let old = serving.swap_warm(next, samples).await?; // on an error the old one serves on
///     old.drained().await; // its memory is free
///     Ok(())
/// }
/// ```
pub struct HotSwap {
    signature: Signature,
    current: ArcSwap<Slot>,
    swapping: Mutex<()>,
}

impl HotSwap {
    /// Serves `model` until it is replaced.
    pub fn new(model: impl Model) -> Self {
        let signature = model.signature().clone();
        Self {
            signature,
            current: ArcSwap::from_pointee(Slot::new(Arc::new(model))),
            swapping: Mutex::new(()),
        }
    }

    /// Replaces the model at once.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the signature of `model` breaks callers of this one;
    /// [`Error::Unavailable`] when no thread can be started to drop the old model on. Nothing has changed
    /// then.
    pub fn swap(&self, model: impl Model) -> Result<Retired> {
        self.put(self.fitting(model)?)
    }

    /// Runs `samples` on `model`, one after the other, and then replaces the old one. So what is done once
    /// (kernels compiled, memory allocated) is done before the first request.
    ///
    /// # Errors
    /// Those of [`swap`](Self::swap), and what `model` answers to a sample; a panic is
    /// [`Error::Engine`]. Nothing has changed then.
    pub async fn swap_warm(&self, model: impl Model, samples: &[Tensors]) -> Result<Retired> {
        let model = self.fitting(model)?;
        for inputs in samples {
            caught(model.predict(Request::new(inputs.clone()))).await?;
        }
        self.put(model)
    }

    /// Waits for a model, warms it on `samples` as [`swap_warm`](Self::swap_warm) does, and replaces the old
    /// one, which serves meanwhile.
    ///
    /// ```
    /// use mlops_core::{Model, Result, Tensors};
    /// use mlops_serve::layer::HotSwap;
    ///
    /// async fn upgrade<M: Model>(
    ///     serving: &HotSwap, fetched: impl Future<Output = Result<Vec<u8>>> + Send, parse: fn(&[u8]) -> Result<M>,
    /// ) -> Result<()> {
    ///     serving.load(async { parse(&fetched.await?) }, &[]).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`swap_warm`](Self::swap_warm), and what `loading` ends in; a panic is [`Error::Engine`].
    /// Nothing has changed then.
    pub async fn load<M: Model>(
        &self,
        loading: impl Future<Output = Result<M>> + Send,
        samples: &[Tensors],
    ) -> Result<Retired> {
        let model = caught(loading).await?;
        self.swap_warm(model, samples).await
    }

    fn fitting(&self, model: impl Model) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(Narrowed::new(model, &self.signature, "the new model")?))
    }

    fn put(&self, model: Arc<dyn Model>) -> Result<Retired> {
        let _one_at_a_time = lock(&self.swapping);
        let old = self.current.load_full();
        let retired = old.retire()?;
        self.current.store(sync::Arc::new(Slot::new(model)));
        Ok(retired)
    }
}

#[async_trait]
impl Model for HotSwap {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let slot = self.current.load_full();
        slot.model().predict(request).await
    }
}

impl fmt::Debug for HotSwap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotSwap").field("current", self.current.load_full().model()).finish_non_exhaustive()
    }
}

/// What comes of `future`; a panic is an error.
async fn caught<T>(future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
}

#[cfg(all(test, loom))]
mod orders {
    use std::sync::atomic::{AtomicBool, Ordering};

    use loom::future::block_on;
    use loom::thread;
    use mlops_core::{DType, Dimension, TensorSpec};

    use super::*;

    /// Sees to it that it is not dropped while it answers.
    #[derive(Debug)]
    struct Numbered {
        signature: Signature,
        number: i32,
        dropped: Arc<AtomicBool>,
    }

    #[async_trait]
    impl Model for Numbered {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        async fn predict(&self, _request: Request) -> Result<Response> {
            assert!(!self.dropped.load(Ordering::SeqCst));
            thread::yield_now();
            assert!(!self.dropped.load(Ordering::SeqCst));
            Ok(Response::new(Tensors::new().with("y", vec![self.number])))
        }
    }

    impl Drop for Numbered {
        fn drop(&mut self) {
            self.dropped.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn loom_a_request_finishes_on_the_model_it_began_on_which_is_gone_when_it_is_said_to_be() {
        let spec = |name| TensorSpec::new(name, DType::Int32, [Dimension::Batch]);
        let signature = Signature::new([spec("x")], [spec("y")]).unwrap();
        loom::model(move || {
            let dropped = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
            let model = |number: i32| Numbered {
                signature: signature.clone(),
                number,
                dropped: Arc::clone(&dropped[usize::from(number > 0)]),
            };
            let serving = Arc::new(HotSwap::new(model(0)));
            let asked = Arc::clone(&serving);
            let asking = thread::spawn(move || {
                let request = Request::new(Tensors::new().with("x", vec![0_i32]));
                let outputs = block_on(asked.predict(request)).unwrap().outputs;
                outputs.require("y").unwrap().as_slice::<i32>().unwrap()[0]
            });
            let retired = serving.swap(model(1)).unwrap();
            block_on(retired.drained());
            assert!(dropped[0].load(Ordering::SeqCst), "it is gone");
            assert!(!dropped[1].load(Ordering::SeqCst), "this one serves");
            assert!(matches!(asking.join().unwrap(), 0 | 1));
        });
    }
}
