//! How a model is loaded.

use std::num::NonZeroUsize;

use mlops_core::Signature;

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
        Self { threads: NonZeroUsize::MIN, signature: None, optimize: true }
    }

    /// How many threads one call may use, the calling thread included.
    ///
    /// They belong to this engine alone. One, the default, is best for throughput: calls from several threads then
    /// share nothing and scale with the cores. More make a lone call on a large model faster.
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

    /// The number of threads of a call.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    pub(super) fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    pub(super) fn optimizes(&self) -> bool {
        self.optimize
    }
}
