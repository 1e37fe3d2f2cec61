//! One model in service.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use metrics::Gauge;
use mlops_core::metrics::REQUESTS_IN_FLIGHT;
use mlops_core::reexports::semver::Version;
use mlops_core::{Error, Instant, Model, ModelName, Request, Response, Result, Signature};

use super::statistics::{self, Statistics};

/// A model under its name, and all that is counted of its calls.
pub(crate) struct Served {
    name: ModelName,
    version: Option<Version>,
    model: Arc<dyn Model>,
    statistics: Statistics,
    in_flight: Gauge,
}

impl Served {
    pub(crate) fn new(name: ModelName, version: Option<Version>, model: Arc<dyn Model>) -> Self {
        Self {
            statistics: Statistics::new(),
            in_flight: metrics::gauge!(REQUESTS_IN_FLIGHT, "model" => name.to_string()),
            name,
            version,
            model,
        }
    }

    pub(crate) fn name(&self) -> &ModelName {
        &self.name
    }

    pub(crate) fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    pub(crate) fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }

    pub(crate) fn signature(&self) -> &Signature {
        self.model.signature()
    }

    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Asks the model. A panic is an error of this call; one that is given up is counted as such.
    pub(crate) async fn predict(&self, request: Request) -> Result<Response> {
        let asked = Asked::begin(self, statistics::rows(&request.inputs));
        let answer = AssertUnwindSafe(async { self.model.predict(request).await }).catch_unwind().await;
        let result = answer.unwrap_or_else(|payload| Err(Error::panicked(&*payload)));
        asked.finish(result.as_ref());
        result
    }
}

/// A call under way: counted as one in flight for as long as it lives, and once with what came of it. Not a
/// [`Call`](mlops_core::Call), which would want a copy of the request.
struct Asked<'a> {
    served: &'a Served,
    rows: u64,
    began: Instant,
    counted: bool,
}

impl<'a> Asked<'a> {
    fn begin(served: &'a Served, rows: u64) -> Self {
        served.in_flight.increment(1.0);
        Self { served, rows, began: Instant::now(), counted: false }
    }

    fn finish(mut self, result: Result<&Response, &Error>) {
        self.count(result);
    }

    fn count(&mut self, result: Result<&Response, &Error>) {
        self.counted = true;
        self.served.statistics.count(self.rows, result, self.began.elapsed());
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.counted {
            self.count(Err(&Error::deadline_exceeded("the call was given up")));
        }
        self.served.in_flight.decrement(1.0);
    }
}
