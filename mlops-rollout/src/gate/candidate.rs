//! What gates look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlops_core::{Model, Request};

use super::{Champion, Evaluation};

/// A model that wants to be released, and what is known of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Candidate {
    model: Arc<dyn Model>,
    known: Arc<Known>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    metrics: BTreeMap<String, f64>,
    evaluation: Option<Evaluation>,
    champion: Option<Champion>,
    samples: Vec<Request>,
    stored: Option<Arc<dyn Model>>,
    size: Option<u64>,
    memory: Option<u64>,
}

impl Candidate {
    /// A candidate of which nothing else is known.
    pub fn new(model: impl Model) -> Self {
        Self { model: Arc::new(model), known: Arc::default() }
    }

    /// Adds a metric measured offline: `accuracy`, `log_loss`. One that can be computed from the rows of the
    /// [evaluation](Self::with_evaluation) is computed from them.
    #[must_use]
    pub fn with_metric(self, name: impl Into<String>, value: f64) -> Self {
        self.with_metrics([(name, value)])
    }

    /// Adds metrics measured offline, such as those of a registered version.
    #[must_use]
    pub fn with_metrics(self, metrics: impl IntoIterator<Item = (impl Into<String>, f64)>) -> Self {
        let metrics = metrics.into_iter().map(|(name, value)| (name.into(), value));
        self.knowing(|known| known.metrics.extend(metrics))
    }

    /// Sets what it answered to rows whose truth is known.
    #[must_use]
    pub fn with_evaluation(self, evaluation: Evaluation) -> Self {
        self.knowing(|known| known.evaluation = Some(evaluation))
    }

    /// Sets what it would replace.
    #[must_use]
    pub fn with_champion(self, champion: Champion) -> Self {
        self.knowing(|known| known.champion = Some(champion))
    }

    /// Adds requests like those it will serve.
    #[must_use]
    pub fn with_samples(self, samples: impl IntoIterator<Item = Request>) -> Self {
        self.knowing(|known| known.samples.extend(samples))
    }

    /// Sets the model as it comes back from the stored artifact, which is what will be served.
    #[must_use]
    pub fn with_stored(self, model: impl Model) -> Self {
        self.knowing(|known| known.stored = Some(Arc::new(model)))
    }

    /// Sets the size of its artifacts, in bytes.
    #[must_use]
    pub fn with_size(self, bytes: u64) -> Self {
        self.knowing(|known| known.size = Some(bytes))
    }

    /// Sets the memory it takes while it serves, in bytes.
    #[must_use]
    pub fn with_memory(self, bytes: u64) -> Self {
        self.knowing(|known| known.memory = Some(bytes))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &dyn Model {
        &*self.model
    }

    /// The metric of that name, as it was given.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.known.metrics.get(name).copied()
    }

    /// What it answered to rows whose truth is known.
    #[must_use]
    pub fn evaluation(&self) -> Option<&Evaluation> {
        self.known.evaluation.as_ref()
    }

    /// What it would replace.
    #[must_use]
    pub fn champion(&self) -> Option<&Champion> {
        self.known.champion.as_ref()
    }

    /// Requests like those it will serve.
    #[must_use]
    pub fn samples(&self) -> &[Request] {
        &self.known.samples
    }

    /// The model as it comes back from the stored artifact.
    #[must_use]
    pub fn stored(&self) -> Option<&dyn Model> {
        self.known.stored.as_deref()
    }

    /// The size of its artifacts, in bytes.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.known.size
    }

    /// The memory it takes while it serves, in bytes.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.known.memory
    }

    fn knowing(mut self, change: impl FnOnce(&mut Known)) -> Self {
        change(Arc::make_mut(&mut self.known));
        self
    }
}
