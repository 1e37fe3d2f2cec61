//! What gates look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlops_core::{Model, Request, Signature};

/// A model that wants to be released, and what is known of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    model: Arc<dyn Model>,
    metrics: BTreeMap<String, f64>,
    champion: Option<Champion>,
    samples: Vec<Request>,
}

/// The model that is serving now, as far as gates compare with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Champion {
    signature: Signature,
    metrics: BTreeMap<String, f64>,
}

impl Candidate {
    /// A candidate of which nothing else is known.
    pub fn new(model: impl Model) -> Self {
        Self { model: Arc::new(model), metrics: BTreeMap::new(), champion: None, samples: Vec::new() }
    }

    /// Adds a metric measured offline: `accuracy`, `log_loss`.
    #[must_use]
    pub fn with_metric(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics.insert(name.into(), value);
        self
    }

    /// Adds metrics measured offline, such as those of a registered version.
    #[must_use]
    pub fn with_metrics(mut self, metrics: impl IntoIterator<Item = (impl Into<String>, f64)>) -> Self {
        self.metrics.extend(metrics.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// Sets what it would replace.
    #[must_use]
    pub fn with_champion(mut self, champion: Champion) -> Self {
        self.champion = Some(champion);
        self
    }

    /// Adds requests like those it will serve.
    #[must_use]
    pub fn with_samples(mut self, samples: impl IntoIterator<Item = Request>) -> Self {
        self.samples.extend(samples);
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &dyn Model {
        &*self.model
    }

    /// The metric of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).copied()
    }

    /// What it would replace.
    #[must_use]
    pub fn champion(&self) -> Option<&Champion> {
        self.champion.as_ref()
    }

    /// Requests like those it will serve.
    #[must_use]
    pub fn samples(&self) -> &[Request] {
        &self.samples
    }
}

impl Champion {
    /// A champion of that signature.
    #[must_use]
    pub fn new(signature: Signature) -> Self {
        Self { signature, metrics: BTreeMap::new() }
    }

    /// Adds a metric measured offline, on the data the candidate was measured on.
    #[must_use]
    pub fn with_metric(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics.insert(name.into(), value);
        self
    }

    /// Adds metrics measured offline, on the data the candidate was measured on.
    #[must_use]
    pub fn with_metrics(mut self, metrics: impl IntoIterator<Item = (impl Into<String>, f64)>) -> Self {
        self.metrics.extend(metrics.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// What it takes and gives.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The metric of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).copied()
    }
}
