//! Evidence as plain data.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::Variant;
use serde::{Deserialize, Serialize};

use super::{Latencies, MetricEvidence, UserGroups, Users};

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

    /// Adds what another replica saw in its windows, to the bit as if one had seen it all.
    ///
    /// ```
    /// use mlops_core::Variant;
    /// use mlops_rollout::{EvidenceSnapshot, VariantEvidence};
    ///
    /// let canary = Variant::new("canary")?;
    /// let here = EvidenceSnapshot::new().with_current(canary.clone(), VariantEvidence::new(90, 2));
    /// let mut all = EvidenceSnapshot::new().with_current(canary.clone(), VariantEvidence::new(10, 1));
    /// all.merge(&here);
    /// assert_eq!(all.current[&canary], VariantEvidence::new(100, 3));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [(&mut self.current, &other.current), (&mut self.previous, &other.previous)] {
            for (variant, evidence) in theirs {
                ours.entry(variant.clone()).or_default().merge(evidence);
            }
        }
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
    /// The failures, by what [`Error::label`](mlops_core::Error::label) calls them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures_by_class: BTreeMap<String, u64>,
    /// Numeric metrics, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricEvidence>,
    /// Who was served, if [that is counted](super::Evidence::with_users).
    #[serde(default, skip_serializing_if = "Users::is_empty")]
    pub users: Users,
    /// How alike the requests of one user are, if users are counted.
    #[serde(default, skip_serializing_if = "UserGroups::is_empty")]
    pub groups: UserGroups,
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

    /// Adds a numeric metric.
    #[must_use]
    pub fn with_metric(mut self, name: impl Into<String>, metric: MetricEvidence) -> Self {
        self.metrics.insert(name.into(), metric);
        self
    }

    /// Adds who was served.
    #[must_use]
    pub fn with_users(mut self, users: Users) -> Self {
        self.users = users;
        self
    }

    /// Adds how alike the requests of one user are.
    #[must_use]
    pub fn with_groups(mut self, groups: UserGroups) -> Self {
        self.groups = groups;
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

    /// Adds what another replica saw.
    pub fn merge(&mut self, other: &Self) {
        let counts = [
            (&mut self.successes, other.successes),
            (&mut self.failures, other.failures),
            (&mut self.good, other.good),
            (&mut self.bad, other.bad),
        ];
        for (ours, theirs) in counts {
            *ours = ours.saturating_add(theirs);
        }
        self.latencies.merge(&other.latencies);
        for (class, count) in &other.failures_by_class {
            let ours = self.failures_by_class.entry(class.clone()).or_default();
            *ours = ours.saturating_add(*count);
        }
        for (name, metric) in &other.metrics {
            self.metrics.entry(name.clone()).or_default().merge(metric);
        }
        self.users.merge(&other.users);
        self.groups.merge(&other.groups);
    }
}
