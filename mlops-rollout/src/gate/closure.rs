//! Closures are gates.

use std::fmt;

use async_trait::async_trait;

use super::{Candidate, Finding, Gate};

/// A gate made of a closure, which answers with a [`Finding`] or a [`Judgement`](crate::Judgement).
///
/// ```
/// use mlops_rollout::{Candidate, Finding, FnGate};
///
/// let documented = FnGate::new("parameters are known", |candidate: &Candidate| {
///     match candidate.metric("parameters") {
///         Some(count) => Finding::passed(format!("{count} parameters")).with_evidence("parameters", count),
///         None => Finding::inconclusive("nobody has counted them"),
///     }
/// });
/// ```
pub struct FnGate<F> {
    name: String,
    check: F,
}

/// A gate made of an asynchronous closure: to ask somebody, to fetch something.
///
/// ```
/// use mlops_core::{ModelExt, Request};
/// use mlops_rollout::{AsyncFnGate, Candidate, Finding};
///
/// let answers = AsyncFnGate::new("answers at all", |candidate: Candidate| async move {
///     match candidate.model().predict(Request::default()).await {
///         Ok(_) => Finding::passed("it answers"),
///         Err(error) => Finding::failed(error.to_string()),
///     }
/// });
/// ```
pub struct AsyncFnGate<F> {
    name: String,
    check: F,
}

impl<F, A> FnGate<F>
where
    F: Fn(&Candidate) -> A + Send + Sync + 'static,
    A: Into<Finding>,
{
    /// Asks `check`.
    pub fn new(name: impl Into<String>, check: F) -> Self {
        Self { name: name.into(), check }
    }
}

impl<F, P, A> AsyncFnGate<F>
where
    F: Fn(Candidate) -> P + Send + Sync + 'static,
    P: Future<Output = A> + Send,
    A: Into<Finding>,
{
    /// Asks `check`, and waits for it.
    pub fn new(name: impl Into<String>, check: F) -> Self {
        Self { name: name.into(), check }
    }
}

#[async_trait]
impl<F, A> Gate for FnGate<F>
where
    F: Fn(&Candidate) -> A + Send + Sync + 'static,
    A: Into<Finding>,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        (self.check)(candidate).into()
    }
}

#[async_trait]
impl<F, P, A> Gate for AsyncFnGate<F>
where
    F: Fn(Candidate) -> P + Send + Sync + 'static,
    P: Future<Output = A> + Send,
    A: Into<Finding>,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        (self.check)(candidate.clone()).await.into()
    }
}

impl<F> fmt::Debug for FnGate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnGate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for AsyncFnGate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFnGate").field("name", &self.name).finish_non_exhaustive()
    }
}
