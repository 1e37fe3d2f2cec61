//! Answers kept for those who ask the same.

mod answer;
mod encoding;
mod failure;
mod key;
#[cfg(feature = "redis")]
mod redis;
#[cfg(test)]
mod tests;
mod tier;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use metrics::{Counter, counter};
use mlops_core::metrics::{CACHE_HITS_TOTAL, CACHE_MISSES_TOTAL};
use mlops_core::{Digest, Error, Instant, Model, ModelName, Request, Response, Result, Signature};
use moka::sync::Cache;

use answer::{Answer, Found, From};
use key::{Key, Keys};
use tier::SharedTier;

use super::flights::{Flight, Flights};

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use redis::RedisTier;
pub use tier::CacheTier;

/// How much a [`Cached`] model keeps, and for how long.
///
/// ```
/// use std::time::Duration;
/// use mlops_serve::layer::Caching;
///
/// let caching = Caching::new(64 << 20).with_time_to_live(Duration::from_secs(300)).ignoring_context();
/// # let _ = caching;
/// ```
#[derive(Debug)]
#[must_use]
pub struct Caching {
    capacity: u64,
    time_to_live: Option<Duration>,
    time_to_idle: Option<Duration>,
    ignores_context: bool,
    name: Option<ModelName>,
    tier: Option<(Arc<dyn CacheTier>, Digest)>,
    tier_timeout: Duration,
}

/// A model that answers what it was asked before without asking again.
///
/// * **The same** are requests with the same tensors (names in any order; types, shapes and bytes) and the
///   same routing context, since a routed model may answer another caller otherwise;
///   [`Caching::ignoring_context`] is for models that do not look at it. Requests are told apart by SHA-256,
///   so nobody can make one that gets the answer of another.
/// * **Single flight:** who asks what is being computed waits for that answer. The computation belongs to
///   all who wait for it: it goes on while one of them is there, whoever came first. A request does not
///   join what is less urgent than itself, and asks again when the time of what it joined runs out before
///   its own. Any other error is an error of all who waited. None is kept. A panic of the model is an error.
/// * **Bounded:** answers are kept up to a number of bytes, the most used ones first (TinyLFU), no longer
///   than their time to live, and not beyond their time to idle.
/// * **The response** has the id of its own request. Where the model was not asked, its timings are zero.
///   Hits and misses are counted ([`CACHE_HITS_TOTAL`], [`CACHE_MISSES_TOTAL`]).
///
/// The cache does not know when the model changes: put it inside of what replaces models
/// (`HotSwap::new(model.cached(..))`), or call [`invalidate_all`](Self::invalidate_all). A request that waits
/// for another's answer does not watch its own deadline meanwhile: [`TimedOut`](super::TimedOut) outside does.
///
/// A [`CacheTier`] lets replicas share answers. It is asked when memory has none, and told what was
/// computed, both within [`Caching::with_tier_timeout`]. When it is away, slow, or holds nonsense, that is a
/// miss, never an error. After a failure it is left alone for a second. It needs a tokio runtime with its timer
/// enabled.
///
/// ```
/// use mlops_core::Model;
/// use mlops_serve::{ServeExt, layer::Caching};
///
/// fn quick(model: impl Model) -> impl Model {
///     model.cached(Caching::new(64 << 20))
/// }
/// ```
pub struct Cached<M> {
    shared: Arc<Shared<M>>,
}

/// What computations hold on to, for they may outlive the call that began them.
struct Shared<M> {
    model: M,
    keys: Keys,
    answers: Cache<Key, Arc<Answer>>,
    flights: Flights<Key, Outcome>,
    tier: Option<SharedTier>,
    /// What was asked before the last invalidation is kept under keys that are no longer looked up.
    generation: AtomicU64,
    counts: Counts,
}

/// What a [`Cached`] model keeps in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheUsage {
    /// How many answers.
    pub answers: u64,
    /// How many bytes: their tensors, and an estimate of what is around them.
    pub bytes: u64,
}

type Outcome = Result<Found, Arc<Error>>;

/// How many computations a request joins whose time runs out before its own; then it begins one.
const MOST_JOINED: u32 = 3;

/// moka refuses longer times.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Caching {
    /// Keeps answers of up to that many bytes in memory, for as long as there is room. 0 keeps none, but
    /// those who ask the same at the same time still share one computation.
    pub fn new(bytes: u64) -> Self {
        Self {
            capacity: bytes,
            time_to_live: None,
            time_to_idle: None,
            ignores_context: false,
            name: None,
            tier: None,
            tier_timeout: Duration::from_millis(20),
        }
    }

    /// For how long an answer is kept after it was computed; in a tier for as long again. At most a century.
    pub fn with_time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time.min(CENTURY));
        self
    }

    /// For how long an answer is kept in memory after it was last asked for. At most a century.
    pub fn with_time_to_idle(mut self, time: Duration) -> Self {
        self.time_to_idle = Some(time.min(CENTURY));
        self
    }

    /// Requests with the same tensors are the same, whoever asks: for models that do not look at the
    /// routing context.
    pub fn ignoring_context(mut self) -> Self {
        self.ignores_context = true;
        self
    }

    /// The label `model` of the metrics; empty unless set.
    pub fn with_name(mut self, name: ModelName) -> Self {
        self.name = Some(name);
        self
    }

    /// Shares answers with all who use the same tier for the same `model`: the digest of its artifact, or of
    /// whatever else tells its versions apart.
    pub fn with_tier(mut self, tier: impl CacheTier, model: Digest) -> Self {
        self.tier = Some((Arc::new(tier), model));
        self
    }

    /// How long one access to the tier may take: 20 ms unless set.
    pub fn with_tier_timeout(mut self, timeout: Duration) -> Self {
        self.tier_timeout = timeout;
        self
    }
}

impl<M: Model> Cached<M> {
    /// Keeps the answers of `model`. Install the recorder of metrics first.
    pub fn new(model: M, caching: Caching) -> Self {
        let mut answers = Cache::builder()
            .max_capacity(caching.capacity)
            .weigher(|_: &Key, answer: &Arc<Answer>| answer.weight());
        if let Some(time) = caching.time_to_live {
            answers = answers.time_to_live(time);
        }
        if let Some(time) = caching.time_to_idle {
            answers = answers.time_to_idle(time);
        }
        let keys = Keys::new(caching.tier.as_ref().map(|(_, model)| model), caching.ignores_context);
        let (timeout, time_to_live) = (caching.tier_timeout, caching.time_to_live);
        let counts = Counts::new(caching.name.as_ref());
        let tier = caching.tier.map(|(tier, _)| SharedTier::new(tier, timeout, time_to_live));
        let (answers, flights, generation) = (answers.build(), Flights::new(), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { model, keys, answers, flights, tier, generation, counts }) }
    }

    /// Forgets all answers in memory. What is being computed is answered to those who wait for it already,
    /// and to nobody else. What a tier holds stays there: it belongs to the digest of the model.
    pub fn invalidate_all(&self) {
        self.shared.generation.fetch_add(1, Ordering::Relaxed);
        self.shared.answers.invalidate_all();
    }

    /// What is kept in memory now. Does the clean-up that is due first, so it is for operators, not for the
    /// way of a request.
    #[must_use]
    pub fn usage(&self) -> CacheUsage {
        let answers = &self.shared.answers;
        answers.run_pending_tasks();
        CacheUsage { answers: answers.entry_count(), bytes: answers.weighted_size() }
    }
}

#[async_trait]
impl<M: Model> Model for Cached<M> {
    fn signature(&self) -> &Signature {
        self.shared.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let shared = &self.shared;
        shared.model.signature().check(&request.inputs)?;
        let key = shared.keys.of(&request, shared.generation.load(Ordering::Relaxed));
        if let Some(answer) = shared.answers.get(&key) {
            shared.counts.memory.increment(1);
            return Ok(answer.respond().with_id(request.id));
        }
        // Apart, so that the future of a hit is small.
        Box::pin(shared.ask(key, request)).await
    }
}

impl<M: Model> Shared<M> {
    /// Gets the answer from whoever computes it, or begins to.
    async fn ask(self: &Arc<Self>, key: Key, request: Request) -> Result<Response> {
        let (mut flight, mut joined) = self.join(key, &request);
        let mut outcome = flight.await;
        let mut times_joined = 1;
        while joined && ran_out_before(&request, &outcome) {
            (flight, joined) = if times_joined < MOST_JOINED {
                self.join(key, &request)
            } else {
                (
                    self.flights.begin(key, request.priority, Arc::clone(self).find(key, request.clone())),
                    false,
                )
            };
            outcome = flight.await;
            times_joined += 1;
        }
        self.counts.take_note(joined, &outcome);
        let found = outcome.map_err(failure::of_one)?;
        if let (Some(tier), From::Model, false) = (&self.tier, found.from, joined) {
            tier.keep(&key, &found.answer).await;
        }
        Ok(found.answer.respond().with_timings(found.timings).with_id(request.id))
    }

    fn join(self: &Arc<Self>, key: Key, request: &Request) -> (Flight<Outcome>, bool) {
        self.flights.join(key, request.priority, || Arc::clone(self).find(key, request.clone()))
    }

    /// Finds the answer, or computes and keeps it.
    async fn find(self: Arc<Self>, key: Key, request: Request) -> Outcome {
        // Who computed it before may have finished since memory was looked at.
        if let Some(answer) = self.answers.get(&key) {
            return Ok(Found::new(answer, From::Memory));
        }
        if let Some(tier) = &self.tier
            && let Some(answer) = tier.find(&key, self.model.signature()).await
        {
            let answer = Arc::new(answer);
            self.answers.insert(key, Arc::clone(&answer));
            return Ok(Found::new(answer, From::Tier));
        }
        let call = AssertUnwindSafe(async { self.model.predict(request).await });
        let result = call.catch_unwind().await.unwrap_or_else(|payload| Err(Error::panicked(&*payload)));
        let response = result.map_err(Arc::new)?;
        let timings = response.timings;
        let answer = Arc::new(Answer::new(response));
        self.answers.insert(key, Arc::clone(&answer));
        Ok(Found { timings, ..Found::new(answer, From::Model) })
    }
}

/// Whether the time of another's request ran out, while that of this one has not.
fn ran_out_before(request: &Request, outcome: &Outcome) -> bool {
    matches!(outcome, Err(error) if matches!(**error, Error::DeadlineExceeded { .. }))
        && request.deadline.is_none_or(|deadline| deadline > Instant::now())
}

/// Where answers came from.
struct Counts {
    memory: Counter,
    flight: Counter,
    tier: Counter,
    misses: Counter,
}

impl Counts {
    fn new(name: Option<&ModelName>) -> Self {
        let model = name.map(ModelName::to_string).unwrap_or_default();
        let hits = |from| counter!(CACHE_HITS_TOTAL, "model" => model.clone(), "from" => from);
        Self {
            memory: hits("memory"),
            flight: hits("flight"),
            tier: hits("tier"),
            misses: counter!(CACHE_MISSES_TOTAL, "model" => model.clone()),
        }
    }

    fn take_note(&self, joined: bool, outcome: &Outcome) {
        let count = match outcome {
            _ if joined => &self.flight,
            Ok(Found { from: From::Memory, .. }) => &self.memory,
            Ok(Found { from: From::Tier, .. }) => &self.tier,
            Ok(Found { from: From::Model, .. }) | Err(_) => &self.misses,
        };
        count.increment(1);
    }
}

impl<M: fmt::Debug> fmt::Debug for Cached<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("model", &self.shared.model)
            .field("answers", &self.shared.answers.entry_count())
            .field("tier", &self.shared.tier)
            .finish_non_exhaustive()
    }
}
