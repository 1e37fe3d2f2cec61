//! What a release is judged by.

mod answers;
mod exact;
mod failures;
mod feedback;
mod finite;
mod groups;
mod histogram;
mod lowest;
mod metric;
mod named;
mod snapshot;
mod sources;
#[cfg(test)]
mod tests;
mod users;
mod window;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mlops_core::{Observer, Prediction, Response, Role, Variant};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use answers::Answers;
use feedback::Attributions;
use sources::Sources;
use window::{Counts, Window, Windows};

pub use feedback::{Attribution, Feedback, FeedbackCounts};
pub use groups::UserGroups;
pub use histogram::Latencies;
pub use metric::MetricEvidence;
pub use snapshot::{EvidenceSnapshot, VariantEvidence};
pub use users::Users;

/// Counts what becomes of the predictions of each variant: an [`Observer`] to be given to
/// [`Routed`](crate::Routed), and asked by the [`Controller`](crate::Controller).
///
/// * Only answers that callers got count, not those of shadows.
/// * Errors by which the caller is at fault say nothing about the variant and are left out. The others are
///   counted by their class.
/// * Numeric metrics come from the answers themselves ([`watch_output`](Self::watch_output)), or from
///   wherever they are known ([`record`](Self::record), [`feedback`](Self::feedback)).
/// * Evidence comes in **windows**. The controller begins one with every step, so that each step judges
///   what was seen at its own share; data from before would mix times of day unequally between the
///   variants. The window before is kept.
/// * An outcome, a value or an answer counts in the window in which it arrives; feedback by id counts in
///   the window of its answer.
/// * Snapshots of replicas [merge](EvidenceSnapshot::merge) without loss.
///
/// **Memory is fixed.** Each of two windows takes some 20 KiB per variant, 10 KiB per variant and metric, and
/// 18 KiB per variant if users are counted, with room for 64 variants and 64 metrics; what finds no room is
/// [counted](Self::dropped). Feedback takes 8 bytes per id that is remembered.
///
/// **Recording is quick**: some atomic additions for requests and outcomes, no lock. A value takes one of four
/// locks, whichever is free, for some tens of nanoseconds.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::{Observer, Prediction, Request, Response, Role, Variant};
/// use mlops_rollout::Evidence;
///
/// let evidence = Evidence::new().with_feedback(65_536);
/// let canary = Variant::new("canary")?;
/// let (request, response) = (Request::default().with_id("a-17"), Response::default());
/// let prediction = Prediction::new(&request, Ok(&response), Duration::from_millis(3));
/// evidence.observe(&prediction.of_variant(&canary, Role::Primary));
///
/// evidence.record_outcome(&canary, true); // days later: the label came, and the prediction was right
/// evidence.record("revenue", &canary, 12.5);
/// evidence.feedback("a-17", ("stars", 4.0)); // the variant is looked up
///
/// let seen = &evidence.snapshot().current[&canary];
/// assert_eq!((seen.successes, seen.failures, seen.good), (1, 0, 1));
/// assert_eq!(seen.metrics["revenue"].mean(), Some(12.5));
/// assert_eq!(seen.metrics["stars"].mean(), Some(4.0));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Evidence {
    windows: ArcSwap<Windows>,
    sources: Sources,
    counts_users: bool,
    answers: Option<Answers>,
    attributions: Attributions,
    dropped: AtomicU64,
    seed: u64,
}

impl Evidence {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        let seed = RandomState::new().hash_one(0_u8);
        Self {
            windows: ArcSwap::from_pointee(Windows::new(seed)),
            sources: Sources::default(),
            counts_users: false,
            answers: None,
            attributions: Attributions::default(),
            dropped: AtomicU64::new(0),
            seed,
        }
    }

    /// Draws the same samples for the same seed. Replicas whose evidence is merged need different ones.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.windows = ArcSwap::from_pointee(Windows::new(seed));
        self.seed = seed;
        self
    }

    /// Takes a metric from each answer: a score, a length, a share of refusals. Where `value` has none for an
    /// answer, nothing is recorded; where it panics, a refused value is.
    ///
    /// ```
    /// use mlops_core::Response;
    /// use mlops_rollout::Evidence;
    ///
    /// let evidence = Evidence::new().watch_output("score", |response: &Response| {
    ///     let scores = response.outputs.get("score")?.view::<f32>().ok()?;
    ///     scores.first().map(|score| f64::from(*score))
    /// });
    /// ```
    #[must_use]
    pub fn watch_output(
        mut self,
        metric: impl Into<String>,
        value: impl Fn(&Response) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        self.sources.add_output(metric.into(), value);
        self
    }

    /// Says what was known of a unit before the release, such as last month's value of the same metric, by its
    /// routing key: what [`MeanCheck::with_cuped`](crate::MeanCheck::with_cuped) takes out of the comparison.
    /// It must not depend on the variant. Units without a key or an answer count as 0.
    #[must_use]
    pub fn with_covariate(
        mut self,
        metric: impl Into<String>,
        before: impl Fn(&str) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        self.sources.add_covariate(metric.into(), before);
        self
    }

    /// Counts distinct users, by routing key: where users are assigned for good and some send many requests, requests
    /// do not follow the shares, users do ([`SrmCheck`](crate::SrmCheck)). And where those who fail once fail again,
    /// requests tell less than as many users would: checks of failures are then as sure as the
    /// [groups of users](UserGroups) allow.
    #[must_use]
    pub fn with_users(mut self) -> Self {
        self.counts_users = true;
        self
    }

    /// Remembers who answered which request, for [`feedback`](Self::feedback): as many ids, rounded up to a
    /// power of two, as there are answers while feedback may come. A new id may take the place of an old one:
    /// after as many answers as there is room for, one id in e is left.
    #[must_use]
    pub fn with_feedback(mut self, ids: usize) -> Self {
        self.answers = Some(Answers::new(ids));
        self
    }

    /// Adds the outcome of one prediction of `variant`: whether it was what the business wants, such as a
    /// right class, an accepted offer, no chargeback. Call it whenever the outcome becomes known.
    pub fn record_outcome(&self, variant: &Variant, good: bool) {
        self.count(variant, |counts| counts.outcome(good));
    }

    /// Adds a value of a metric of `variant`: revenue, watch time, tokens.
    ///
    /// One value per unit of assignment (the user, where users are sticky) makes the statistics true; many
    /// values of one user are not independent, and checks would be too sure of them.
    pub fn record(&self, metric: &str, variant: &Variant, value: f64) {
        self.record_value(&self.windows.load().current, metric, variant, None, value);
    }

    /// [`record`](Self::record), with the routing key of the unit, so that its
    /// [covariate](Self::with_covariate) is known.
    pub fn record_for(&self, metric: &str, variant: &Variant, key: &str, value: f64) {
        self.record_value(&self.windows.load().current, metric, variant, Some(key), value);
    }

    /// Adds what became known of the answer to the request of that id: `true` or `false` for an outcome,
    /// `("stars", 4.0)` for a metric. It counts for the variant that answered, in the window in which it did.
    /// Needs [`with_feedback`](Self::with_feedback).
    pub fn feedback<'a>(&self, id: &str, feedback: impl Into<Feedback<'a>>) -> Attribution {
        let windows = self.windows.load();
        let answer = self.answers.as_ref().and_then(|answers| answers.find(id, windows.number));
        let attribution = match answer {
            None => Attribution::Unknown,
            Some((_, 2..)) => Attribution::Late,
            Some((variant, ago)) => {
                let window = if ago == 0 { &windows.current } else { &windows.previous };
                match feedback.into() {
                    Feedback::Outcome(good) => self.count_in(window, &variant, |counts| counts.outcome(good)),
                    Feedback::Value(metric, value) => {
                        self.record_value(window, metric, &variant, None, value);
                    }
                }
                Attribution::Counted
            }
        };
        self.attributions.add(attribution);
        attribution
    }

    /// How much feedback found its answer.
    #[must_use]
    pub fn feedback_counts(&self) -> FeedbackCounts {
        self.attributions.snapshot()
    }

    /// How much was left out because there were too many variants or metrics.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// All counts, now.
    #[must_use]
    pub fn snapshot(&self) -> EvidenceSnapshot {
        let windows = self.windows.load();
        EvidenceSnapshot { current: windows.current.snapshot(), previous: windows.previous.snapshot() }
    }

    /// Begins a new window; the present one becomes the one before.
    pub fn begin_window(&self) {
        self.windows.rcu(|windows| windows.next(self.seed));
    }

    fn count(&self, variant: &Variant, add: impl FnOnce(&Counts)) {
        self.count_in(&self.windows.load().current, variant, add);
    }

    fn count_in(&self, window: &Window, variant: &Variant, add: impl FnOnce(&Counts)) {
        if !window.count(variant, add) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record_value(&self, window: &Window, metric: &str, variant: &Variant, key: Option<&str>, value: f64) {
        let before = self.sources.covariate(metric, key);
        self.count_in(window, variant, |counts| self.add_value(counts, metric, value, before));
    }

    fn add_value(&self, counts: &Counts, metric: &str, value: f64, before: Option<f64>) {
        if !counts.metric(metric, value, before) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count_user(&self, counts: &Counts, key: Option<&str>, failed: bool) {
        // Another seed than that of any router, so that who is sampled and who is assigned is independent.
        const SEED: u64 = 0x7573_6572_735f_3031;
        if self.counts_users {
            let key = key.filter(|key| !key.is_empty());
            counts.user(key.map(|key| xxh3_64_with_seed(key.as_bytes(), SEED)), failed);
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
        let key = prediction.request.context.key();
        let windows = self.windows.load();
        match prediction.result {
            Ok(response) => {
                self.count_in(&windows.current, variant, |counts| {
                    counts.answered(prediction.latency);
                    self.count_user(counts, key, false);
                    for (metric, value) in self.sources.outputs(response) {
                        self.add_value(counts, metric, value, self.sources.covariate(metric, key));
                    }
                });
                if let (Some(answers), Some(id)) = (&self.answers, &prediction.request.id) {
                    answers.remember(id, variant, windows.number);
                }
            }
            Err(error) if error.is_caller_fault() => {}
            Err(error) => self.count_in(&windows.current, variant, |counts| {
                counts.failed(error);
                self.count_user(counts, key, true);
            }),
        }
    }
}
