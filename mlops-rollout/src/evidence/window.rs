//! What is counted between two steps of a release.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mlops_core::{Error, Variant};

use super::VariantEvidence;
use super::failures::Failures;
use super::groups::SharedGroups;
use super::histogram::Histogram;
use super::metric::{Metric, priority};
use super::named::Named;
use super::users::{SharedUsers, Users};

/// Variants that a window has room for.
pub(super) const MOST_VARIANTS: usize = 64;
/// Metrics that a variant has room for.
pub(super) const MOST_METRICS: usize = 64;

#[derive(Debug)]
pub(super) struct Windows {
    /// How many windows were begun before the current one.
    pub(super) number: u64,
    pub(super) current: Arc<Window>,
    pub(super) previous: Arc<Window>,
}

/// What was seen of each variant.
#[derive(Debug)]
pub(super) struct Window {
    seed: u64,
    variants: Named<Variant, Counts>,
}

#[derive(Debug)]
pub(super) struct Counts {
    seed: u64,
    pub(super) failures: Failures,
    pub(super) successes: Histogram,
    good: AtomicU64,
    bad: AtomicU64,
    users: SharedUsers,
    groups: SharedGroups,
    nameless: AtomicU64,
    metrics: Named<Arc<str>, Metric>,
}

impl Windows {
    pub(super) fn new(seed: u64) -> Self {
        Self { number: 0, current: Arc::new(Window::new(seed)), previous: Arc::new(Window::new(seed)) }
    }

    pub(super) fn next(&self, seed: u64) -> Self {
        let number = self.number + 1;
        let current = Arc::new(Window::new(priority(seed, number)));
        Self { number, current, previous: Arc::clone(&self.current) }
    }
}

impl Window {
    fn new(seed: u64) -> Self {
        Self { seed, variants: Named::new(MOST_VARIANTS) }
    }

    /// Counts something of a variant. False when there is no room for it.
    pub(super) fn count(&self, variant: &Variant, add: impl FnOnce(&Counts)) -> bool {
        let name = variant.as_str();
        self.variants.with(name, || variant.clone(), || Counts::new(seed_for(self.seed, name)), add)
    }

    pub(super) fn snapshot(&self) -> BTreeMap<Variant, VariantEvidence> {
        self.variants.collect(Counts::snapshot)
    }
}

impl Counts {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            failures: Failures::default(),
            successes: Histogram::new(),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            users: SharedUsers::default(),
            groups: SharedGroups::new(),
            nameless: AtomicU64::new(0),
            metrics: Named::new(MOST_METRICS),
        }
    }

    pub(super) fn answered(&self, latency: Duration) {
        self.successes.record(latency);
    }

    pub(super) fn failed(&self, error: &Error) {
        self.failures.count(error);
    }

    pub(super) fn outcome(&self, good: bool) {
        let outcome = if good { &self.good } else { &self.bad };
        outcome.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request of the user of that hash; who has none counts as a new one.
    pub(super) fn user(&self, hash: Option<u64>, failed: bool) {
        let nameless = || priority(self.seed, self.nameless.fetch_add(1, Ordering::Relaxed));
        let hash = hash.unwrap_or_else(nameless);
        self.users.offer(hash, ());
        self.groups.add(hash, failed);
    }

    /// False when there is no room for another metric.
    pub(super) fn metric(&self, name: &str, value: f64, before: Option<f64>) -> bool {
        let make = || Metric::new(seed_for(self.seed, name));
        self.metrics.with(name, || Arc::from(name), make, |metric| metric.record(value, before))
    }

    fn snapshot(&self) -> VariantEvidence {
        let latencies = self.successes.snapshot();
        let failures_by_class = self.failures.snapshot();
        let metrics: BTreeMap<Arc<str>, _> = self.metrics.collect(Metric::snapshot);
        VariantEvidence {
            successes: latencies.count(),
            failures: failures_by_class.values().sum(),
            good: self.good.load(Ordering::Relaxed),
            bad: self.bad.load(Ordering::Relaxed),
            latencies,
            failures_by_class,
            metrics: metrics.into_iter().map(|(name, metric)| (name.to_string(), metric)).collect(),
            users: Users::of(&self.users),
            groups: self.groups.snapshot(),
        }
    }
}

fn seed_for(seed: u64, name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), seed)
}
