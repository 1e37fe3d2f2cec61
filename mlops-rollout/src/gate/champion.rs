//! What the candidate is compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlops_core::{Model, Signature};

use super::Evaluation;

/// The model that is serving now, as far as gates compare with it.
#[derive(Debug, Clone)]
pub struct Champion {
    signature: Signature,
    model: Option<Arc<dyn Model>>,
    metrics: BTreeMap<String, f64>,
    evaluation: Option<Evaluation>,
    size: Option<u64>,
    memory: Option<u64>,
}

impl Champion {
    /// A champion of that signature.
    #[must_use]
    pub fn new(signature: Signature) -> Self {
        Self { signature, model: None, metrics: BTreeMap::new(), evaluation: None, size: None, memory: None }
    }

    /// A champion that can be asked.
    pub fn of(model: impl Model) -> Self {
        let champion = Self::new(model.signature().clone());
        Self { model: Some(Arc::new(model)), ..champion }
    }

    /// Adds a metric measured offline, on the data the candidate was measured on.
    #[must_use]
    pub fn with_metric(self, name: impl Into<String>, value: f64) -> Self {
        self.with_metrics([(name, value)])
    }

    /// Adds metrics measured offline, on the data the candidate was measured on.
    #[must_use]
    pub fn with_metrics(mut self, metrics: impl IntoIterator<Item = (impl Into<String>, f64)>) -> Self {
        self.metrics.extend(metrics.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// Sets what it answered to rows whose truth is known, best to those of the candidate in the same order.
    #[must_use]
    pub fn with_evaluation(mut self, evaluation: Evaluation) -> Self {
        self.evaluation = Some(evaluation);
        self
    }

    /// Sets the size of its artifacts, in bytes.
    #[must_use]
    pub fn with_size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Sets the memory it takes while it serves, in bytes.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// What it takes and gives.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The model, where it can be asked.
    #[must_use]
    pub fn model(&self) -> Option<&dyn Model> {
        self.model.as_deref()
    }

    /// The metric of that name, as it was given.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).copied()
    }

    /// What it answered to rows whose truth is known.
    #[must_use]
    pub fn evaluation(&self) -> Option<&Evaluation> {
        self.evaluation.as_ref()
    }

    /// The size of its artifacts, in bytes.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The memory it takes while it serves, in bytes.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }
}
