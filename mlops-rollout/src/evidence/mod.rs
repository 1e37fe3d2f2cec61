//! What a release is judged by.

mod histogram;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mlops_core::{Observer, Prediction, Role, Variant};

use histogram::Histogram;

pub use histogram::Latencies;
pub use snapshot::{EvidenceSnapshot, VariantEvidence};

/// Counts what becomes of the predictions of each variant: an [`Observer`] to be given to
/// [`Routed`](crate::Routed), and asked by the [`Controller`](crate::Controller).
///
/// * Only answers that callers got count, not those of shadows.
/// * Errors by which the caller is at fault say nothing about the variant and are left out.
/// * Recording takes some atomic additions and never blocks; memory is fixed, some 20 KiB per variant and
///   window.
/// * Evidence comes in **windows**. The controller begins one with every step, so that each step judges
///   what was seen at its own share; data from before would mix times of day unequally between the
///   variants. The window before is kept.
/// * An outcome or an answer counts in the window in which it arrives.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::{Observer, Prediction, Request, Response, Role, Variant};
/// use mlops_rollout::Evidence;
///
/// let (evidence, canary) = (Evidence::new(), Variant::new("canary")?);
/// let (request, response) = (Request::default(), Response::default());
/// let prediction = Prediction::new(&request, Ok(&response), Duration::from_millis(3));
/// evidence.observe(&prediction.of_variant(&canary, Role::Primary));
/// evidence.record_outcome(&canary, true); // days later: the label came, and the prediction was right
///
/// let seen = &evidence.snapshot().current[&canary];
/// assert_eq!((seen.successes, seen.failures, seen.good), (1, 0, 1));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Evidence {
    windows: ArcSwap<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    current: Arc<Window>,
    previous: Arc<Window>,
}

/// Few variants, so a list is the fastest map. It is replaced when a new one shows up.
#[derive(Debug, Default)]
struct Window(ArcSwap<Vec<(Variant, Arc<Counts>)>>);

#[derive(Debug)]
struct Counts {
    failures: AtomicU64,
    good: AtomicU64,
    bad: AtomicU64,
    successes: Histogram,
}

impl Evidence {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { windows: ArcSwap::default() }
    }

    /// Adds the outcome of one prediction of `variant`: whether it was what the business wants, such as a
    /// right class, an accepted offer, no chargeback. Call it whenever the outcome becomes known.
    pub fn record_outcome(&self, variant: &Variant, good: bool) {
        self.count(variant, |counts| {
            let outcome = if good { &counts.good } else { &counts.bad };
            outcome.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// All counts, now.
    #[must_use]
    pub fn snapshot(&self) -> EvidenceSnapshot {
        let windows = self.windows.load();
        EvidenceSnapshot { current: windows.current.snapshot(), previous: windows.previous.snapshot() }
    }

    /// Begins a new window; the present one becomes the one before.
    pub fn begin_window(&self) {
        self.windows
            .rcu(|windows| Windows { current: Arc::default(), previous: Arc::clone(&windows.current) });
    }

    fn count(&self, variant: &Variant, add: impl FnOnce(&Counts)) {
        let windows = self.windows.load();
        let counts = windows.current.0.load();
        match find(&counts, variant) {
            Some(counts) => add(counts),
            None => add(&windows.current.insert(variant)),
        }
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Evidence {
    fn observe(&self, prediction: &Prediction<'_>) {
        let (Some(variant), Role::Primary) = (prediction.variant, prediction.role) else { return };
        match prediction.result {
            Ok(_) => self.count(variant, |counts| counts.successes.record(prediction.latency)),
            Err(error) if error.is_caller_fault() => {}
            Err(_) => self.count(variant, |counts| {
                counts.failures.fetch_add(1, Ordering::Relaxed);
            }),
        }
    }
}

impl Window {
    fn insert(&self, variant: &Variant) -> Arc<Counts> {
        let new = Arc::new(Counts::new());
        self.0.rcu(|known| {
            let mut all = Vec::clone(known);
            if find(&all, variant).is_none() {
                all.push((variant.clone(), Arc::clone(&new)));
            }
            all
        });
        find(&self.0.load(), variant).map_or(new, Arc::clone)
    }

    fn snapshot(&self) -> BTreeMap<Variant, VariantEvidence> {
        self.0.load().iter().map(|(variant, counts)| (variant.clone(), counts.snapshot())).collect()
    }
}

fn find<'a>(counts: &'a [(Variant, Arc<Counts>)], variant: &Variant) -> Option<&'a Arc<Counts>> {
    counts.iter().find(|(known, _)| known == variant).map(|(_, counts)| counts)
}

impl Counts {
    fn new() -> Self {
        Self {
            failures: AtomicU64::new(0),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            successes: Histogram::new(),
        }
    }

    fn snapshot(&self) -> VariantEvidence {
        let latencies = self.successes.snapshot();
        VariantEvidence {
            successes: latencies.count(),
            failures: self.failures.load(Ordering::Relaxed),
            good: self.good.load(Ordering::Relaxed),
            bad: self.bad.load(Ordering::Relaxed),
            latencies,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mlops_core::{Error, Request, Response};

    use super::*;

    fn variant(name: &str) -> Variant {
        Variant::new(name).unwrap()
    }

    fn observe(evidence: &Evidence, variant: &Variant, role: Role, result: &Result<(), Error>) {
        let (request, response) = (Request::default(), Response::default());
        let result = result.as_ref().map(|()| &response);
        evidence
            .observe(&Prediction::new(&request, result, Duration::from_micros(5)).of_variant(variant, role));
    }

    #[test]
    fn callers_faults_and_shadows_are_left_out() {
        let (evidence, a) = (Evidence::new(), variant("a"));
        observe(&evidence, &a, Role::Primary, &Ok(()));
        observe(&evidence, &a, Role::Primary, &Err(Error::engine("down")));
        observe(&evidence, &a, Role::Primary, &Err(Error::invalid_input("bad request")));
        observe(&evidence, &a, Role::Shadow, &Err(Error::engine("down")));
        evidence.record_outcome(&a, false);
        let seen = &evidence.snapshot().current[&a];
        assert_eq!((seen.successes, seen.failures, seen.good, seen.bad), (1, 1, 0, 1));
        assert_eq!((seen.requests(), seen.outcomes(), seen.latencies.count()), (2, 1, 1));
    }

    #[test]
    fn a_new_window_is_empty_and_the_last_is_kept() {
        let (evidence, a) = (Evidence::new(), variant("a"));
        observe(&evidence, &a, Role::Primary, &Ok(()));
        evidence.begin_window();
        observe(&evidence, &a, Role::Primary, &Err(Error::engine("down")));
        let snapshot = evidence.snapshot();
        assert_eq!(snapshot.previous[&a].successes, 1);
        assert_eq!(snapshot.current[&a], VariantEvidence::new(0, 1));
        let json = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<EvidenceSnapshot>(&json).unwrap(), snapshot);
    }

    #[test]
    fn nothing_is_lost_when_many_threads_meet_a_new_variant() {
        let evidence = Evidence::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for name in ["a", "b", "c"] {
                        (0..1_000).for_each(|_| evidence.record_outcome(&variant(name), true));
                    }
                });
            }
        });
        assert!(evidence.snapshot().current.values().all(|seen| seen.good == 4_000));
    }
}
