//! Where metrics come from.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlops_core::Response;

/// What takes values from answers, and knows what units were like before.
#[derive(Default)]
pub(super) struct Sources {
    outputs: Vec<(String, Box<Extractor>)>,
    covariates: Vec<(String, Box<Lookup>)>,
}

type Extractor = dyn Fn(&Response) -> Option<f64> + Send + Sync;
type Lookup = dyn Fn(&str) -> Option<f64> + Send + Sync;

impl Sources {
    pub(super) fn add_output(
        &mut self,
        metric: String,
        value: impl Fn(&Response) -> Option<f64> + Send + Sync + 'static,
    ) {
        self.outputs.push((metric, Box::new(value)));
    }

    pub(super) fn add_covariate(
        &mut self,
        metric: String,
        before: impl Fn(&str) -> Option<f64> + Send + Sync + 'static,
    ) {
        self.covariates.push((metric, Box::new(before)));
    }

    /// The values of an answer. Code that panics must not take the answer from its caller: it gives NaN.
    pub(super) fn outputs(&self, response: &Response) -> impl Iterator<Item = (&str, f64)> {
        self.outputs.iter().filter_map(move |(metric, value)| {
            let value = catch_unwind(AssertUnwindSafe(|| value(response))).unwrap_or(Some(f64::NAN))?;
            Some((metric.as_str(), value))
        })
    }

    /// What was known of a unit before, where anything can be.
    pub(super) fn covariate(&self, metric: &str, key: Option<&str>) -> Option<f64> {
        let (_, before) = self.covariates.iter().find(|(known, _)| known == metric)?;
        catch_unwind(AssertUnwindSafe(|| key.and_then(before))).unwrap_or(None)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("outputs", &self.outputs.iter().map(|(metric, _)| metric).collect::<Vec<_>>())
            .field("covariates", &self.covariates.iter().map(|(metric, _)| metric).collect::<Vec<_>>())
            .finish()
    }
}
