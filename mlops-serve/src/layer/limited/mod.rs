//! No more work than agreed.

mod account;
mod accounts;
mod clock;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use governor::Quota;
use mlops_core::{Clock, Error, Model, Request, Response, Result, Signature, SystemClock};

use account::Terms;
use accounts::Accounts;
use clock::Ticks;

/// What a [`Limited`] model takes: so many requests at a time, so many per second, of all or of each key.
///
/// ```
/// use mlops_serve::layer::Limits;
///
/// let of_all = Limits::new().with_concurrency(64);
/// let of_each_user = Limits::new().with_rate(20.0, 5).per_key();
/// let of_each_tenant = Limits::new().with_concurrency(8).per_attribute("tenant");
/// # let _ = (of_all, of_each_user, of_each_tenant);
/// ```
#[must_use]
pub struct Limits {
    concurrency: Option<usize>,
    rate: Option<(f64, u32)>,
    key: Option<Box<KeyOf>>,
    max_keys: usize,
    clock: Arc<dyn Clock>,
}

/// What a request is counted under.
type KeyOf = dyn Fn(&Request) -> Option<Arc<str>> + Send + Sync;

/// A model that refuses what exceeds its limits with [`Error::Overloaded`], at once, and says which limit it
/// was.
///
/// A request holds its place from the call to the answer, or until its caller gives up. Rates are those of a
/// token bucket, counted by GCRA. Wrong inputs count too.
///
/// Limits of each key and of all are two layers: `model.limited(of_all)?.limited(of_each_user)?`. Put the
/// narrower one outside, so that what it refuses uses up nothing of the wider one.
///
/// ```
/// use mlops_core::{Model, Result};
/// use mlops_serve::{ServeExt, layer::Limits};
///
/// fn fair(model: impl Model) -> Result<impl Model> {
///     model.limited(Limits::new().with_rate(20.0, 5).per_key())
/// }
/// ```
pub struct Limited<M> {
    model: M,
    accounts: Accounts,
    key: Option<Box<KeyOf>>,
}

impl Limits {
    /// No limit yet.
    pub fn new() -> Self {
        Self { concurrency: None, rate: None, key: None, max_keys: 10_000, clock: Arc::new(SystemClock) }
    }

    /// At most that many requests at a time.
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = Some(requests);
        self
    }

    /// At most that many requests per second in the long run, and at most `burst` at once after a rest.
    pub fn with_rate(mut self, per_second: f64, burst: u32) -> Self {
        self.rate = Some((per_second, burst));
        self
    }

    /// Each [routing key](mlops_core::RoutingContext::key) has limits of its own.
    pub fn per_key(self) -> Self {
        self.per(|request| request.context.key().map(Arc::from))
    }

    /// Each value of a [routing attribute](mlops_core::RoutingContext::attribute) has limits of its own.
    pub fn per_attribute(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.per(move |request| request.context.attribute(&name).map(Arc::from))
    }

    /// Each value that `key` gives has limits of its own. Requests for which it gives none share one.
    pub fn per(mut self, key: impl Fn(&Request) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        self.key = Some(Box::new(key));
        self
    }

    /// How many keys are remembered at a time: 10,000 unless set. Those that have used up nothing are
    /// forgotten when there is no room; while there is none all the same, further keys share the limits of
    /// requests without a key.
    pub fn with_max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// The clock that rates are counted by: that of the system unless set.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn terms(&self) -> Result<Terms> {
        let invalid = |what: String| Err(Error::invalid_input(what));
        if self.concurrency.is_none() && self.rate.is_none() {
            return invalid("these limits limit nothing; set a concurrency or a rate".to_owned());
        }
        if self.concurrency == Some(0) {
            return invalid("a concurrency of 0 would refuse every request".to_owned());
        }
        let quota = match self.rate {
            None => None,
            Some((per_second, burst)) => {
                let period = Duration::try_from_secs_f64(per_second.recip()).ok();
                match (period.and_then(Quota::with_period), NonZeroU32::new(burst)) {
                    (Some(quota), Some(burst)) => Some(quota.allow_burst(burst)),
                    (_, None) => return invalid("a burst of 0 would refuse every request".to_owned()),
                    (None, _) => {
                        return invalid(format!(
                            "{per_second} is no rate; it is a number of requests per second above 0 and up to 10⁹"
                        ));
                    }
                }
            }
        };
        Ok(Terms::new(self.concurrency, self.rate, quota, Ticks::new(Arc::clone(&self.clock))))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Model> Limited<M> {
    /// Limits `model`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for limits that limit nothing or refuse everything, and for a rate that is no
    /// positive number.
    pub fn new(model: M, limits: Limits) -> Result<Self> {
        let terms = limits.terms()?;
        Ok(Self { model, accounts: Accounts::new(terms, limits.max_keys), key: limits.key })
    }
}

#[async_trait]
impl<M: Model> Model for Limited<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let key = self.key.as_ref().and_then(|key| key(&request));
        let _place = self.accounts.admit(key.as_ref())?;
        self.model.predict(request).await
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .field("keyed", &self.key.is_some())
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

impl<M: fmt::Debug> fmt::Debug for Limited<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited")
            .field("model", &self.model)
            .field("accounts", &self.accounts)
            .finish_non_exhaustive()
    }
}
