//! One model in service.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use metrics::Gauge;
use mlops_core::metrics::REQUESTS_IN_FLIGHT;
use mlops_core::reexports::semver::Version;
use mlops_core::{Call, Error, Model, ModelName, Request, Response, Result, Signature};

use super::Statistics;

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
        let _in_flight = InFlight::enter(&self.in_flight);
        let copy = request.clone();
        let call = Call::begin(&self.statistics, &copy);
        let answer = AssertUnwindSafe(async { self.model.predict(request).await }).catch_unwind().await;
        let result = answer.unwrap_or_else(|payload| Err(Error::panicked(&*payload)));
        call.finish(result.as_ref());
        result
    }
}

/// Counts a request for as long as it lives.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
