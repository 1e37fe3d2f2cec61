//! How a model is loaded.

use std::num::NonZeroUsize;
use std::time::Duration;

use mlops_core::Signature;

use super::limits::Limits;

/// Options of [`OnnxEngine::load_with`](super::OnnxEngine::load_with).
///
/// ```
/// use mlops_serve::engine::onnx::OnnxOptions;
///
/// let options = OnnxOptions::new().with_threads(std::num::NonZeroUsize::MIN.saturating_add(1));
/// assert_eq!(options.threads().get(), 2);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OnnxOptions {
    threads: NonZeroUsize,
    signature: Option<Signature>,
    optimize: bool,
    limits: Limits,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OnnxOptions {
    /// One thread, the signature of the file, optimised.
    #[must_use]
    pub fn new() -> Self {
        Self { threads: NonZeroUsize::MIN, signature: None, optimize: true, limits: Limits::default() }
    }

    /// How many threads one call may use, the calling thread included.
    ///
    /// They belong to this engine alone. One, the default, is best for throughput: calls from several threads then
    /// share nothing and scale with the cores. More make a lone call on a large model faster; they stay awake for a fifth
    /// of a millisecond after an operation, which shows as processor time.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// The signature to use instead of the one the file declares: when the file leaves shapes open, names no batch
    /// dimension, or when inputs should be [finite](mlops_core::TensorSpec::finite).
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.signature = Some(signature);
        self
    }

    /// Runs the nodes as they are in the file: for finding out whether a rewrite is to blame.
    #[must_use]
    pub fn without_optimization(mut self) -> Self {
        self.optimize = false;
        self
    }

    /// The most elements that a tensor may have, 2<sup>31</sup> by default. A few bytes of a file, or of a request, can
    /// ask for any number; a tensor that would have more is an error.
    #[must_use]
    pub fn with_largest_tensor(mut self, elements: usize) -> Self {
        self.limits.elements = elements;
        self
    }

    /// The longest time a call may take; there is no limit by default. A file that one does not trust may hold a loop
    /// that never ends. Time is looked at before each step, so that a call may take as much longer as a step does.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.limits.time = Some(limit);
        self
    }

    /// The number of threads of a call.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    pub(super) fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn optimizes(&self) -> bool {
        self.optimize
    }
}
