//! Evidence as plain data.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::Variant;
use serde::{Deserialize, Serialize};

use super::Latencies;

/// What was seen of each variant, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EvidenceSnapshot {
    /// Since the present window began.
    pub current: BTreeMap<Variant, VariantEvidence>,
    /// In the whole window before it.
    pub previous: BTreeMap<Variant, VariantEvidence>,
}

impl EvidenceSnapshot {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was seen of a variant in the present window.
    #[must_use]
    pub fn with_current(mut self, variant: Variant, evidence: VariantEvidence) -> Self {
        self.current.insert(variant, evidence);
        self
    }

    /// Adds what was seen of a variant in the window before.
    #[must_use]
    pub fn with_previous(mut self, variant: Variant, evidence: VariantEvidence) -> Self {
        self.previous.insert(variant, evidence);
        self
    }
}

/// What was seen of one variant in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VariantEvidence {
    /// Requests that were answered.
    pub successes: u64,
    /// Requests that failed by the fault of the variant, those included whose caller gave up waiting.
    pub failures: u64,
    /// Outcomes that were good: [`record_outcome`](super::Evidence::record_outcome).
    pub good: u64,
    /// Outcomes that were bad.
    pub bad: u64,
    /// How long the answers took.
    pub latencies: Latencies,
}

impl VariantEvidence {
    /// So many answered and failed requests, and nothing else.
    #[must_use]
    pub fn new(successes: u64, failures: u64) -> Self {
        Self { successes, failures, ..Self::default() }
    }

    /// Adds outcomes.
    #[must_use]
    pub fn with_outcomes(mut self, good: u64, bad: u64) -> Self {
        (self.good, self.bad) = (good, bad);
        self
    }

    /// Adds how long the answers took.
    #[must_use]
    pub fn with_latencies(mut self, latencies: impl IntoIterator<Item = Duration>) -> Self {
        self.latencies = latencies.into_iter().collect();
        self
    }

    /// Requests that say something about the variant: answered and failed ones.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// Outcomes that came back.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        self.good.saturating_add(self.bad)
    }
}
