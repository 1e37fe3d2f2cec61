//! A layer that refuses requests which are not as expected.

use mlops_core::reexports::async_trait::async_trait;
use mlops_core::{Error, Model, Request, Response, Result, Signature, Tensor, Tensors};

use super::options::CheckOptions;
use super::places::Places;
use super::report::{Finding, Outcome};
use super::state::{Check, State, Tally};
use super::suite::Suite;
use crate::{Features, Source};

/// A model that refuses requests which are not as expected, before they reach the model it wraps.
///
/// What is expected is about the values and rows of one request: `not_null`, `type`, `between`, `in_set`,
/// `match_regex`, `length` and `pair`, with their `mostly`. A request without rows passes.
///
/// ```
/// use mlops_core::Model;
/// use mlops_monitor::quality::{CheckOptions, Checked, Expectation, Suite};
/// use mlops_monitor::{Features, TensorFeatures};
///
/// fn checked(model: impl Model) -> mlops_core::Result<impl Model> {
///     let suite = Suite::new([Expectation::between("age", 0.0..=120.0)])?;
///     let features = Features::new([TensorFeatures::columns("customer", ["age", "income"])])?;
///     Checked::new(model, suite, features, CheckOptions::default())
/// }
/// ```
#[derive(Debug)]
pub struct Checked<M> {
    model: M,
    suite: Suite,
    features: Features,
    places: Vec<Places>,
    options: CheckOptions,
}

impl<M: Model> Checked<M> {
    /// Wraps `model`. The columns of the expectations are `features` of its inputs.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when an expectation is not about single requests, or about a column that is no feature of
    /// the inputs.
    pub fn new(model: M, suite: Suite, features: Features, options: CheckOptions) -> Result<Self> {
        let place = |check: &Check| {
            let places = Places::of(check, &features)?;
            let expectation = &check.expectation;
            if !check.only_counts() {
                let of = expectation.column().map_or(String::new(), |column| format!(" of `{column}`"));
                let name = expectation.name();
                return Err(Error::invalid_input(format!(
                    "`{name}`{of} is not about single requests; check it in batches or by a `QualityObserver`"
                )));
            }
            Ok(places)
        };
        if let Some(output) = features.tensors().iter().find(|features| features.source() == Source::Output) {
            return Err(Error::invalid_input(format!(
                "`{}` is an output; only inputs can be refused",
                output.tensor()
            )));
        }
        let places = suite.checks().iter().map(place).collect::<Result<_>>()?;
        Ok(Self { model, suite, features, places, options })
    }

    /// # Errors
    /// [`Error::InvalidInput`] that names every expectation that is not met, and the first values that do not fit.
    fn check(&self, inputs: &Tensors) -> Result<()> {
        let fitting =
            self.features.tensors().iter().map(|features| {
                inputs.get(features.tensor()).filter(|tensor| features.rows_in(tensor).is_ok())
            });
        let tensors: Vec<Option<&Tensor>> = fitting.collect();
        let checks = self.suite.checks().iter().zip(&self.places);
        let faults: Vec<String> =
            checks.filter_map(|(check, places)| self.fault(check, places, &tensors)).collect();
        if faults.is_empty() { Ok(()) } else { Err(Error::invalid_input(faults.join("; "))) }
    }

    fn fault(&self, check: &Check, places: &Places, tensors: &[Option<&Tensor>]) -> Option<String> {
        let text = &check.expectation;
        if let Some(missing) = places.missing(tensors) {
            let tensor = self.features.tensors().get(missing).map_or("", |features| features.tensor());
            return Some(format!("{text}: there is no tensor `{tensor}` of fitting shape"));
        }
        let mut state = State::of_request(check.is_redacted(&self.options), self.options.offenders, None);
        state.see(check, places.sources(tensors)?);
        let finding = state.finding(check, 0, Tally::default());
        (finding.outcome == Outcome::Failed).then(|| said(&finding))
    }
}

/// `age is at least 0: 2 of 3 do not fit (row 0: -1; ...)`
fn said(finding: &Finding) -> String {
    let Finding { text, checked, violations, offenders, .. } = finding;
    let mut examples: Vec<String> = offenders.iter().map(ToString::to_string).collect();
    if (examples.len() as u64) < *violations {
        examples.push("...".to_owned());
    }
    format!("{text}: {violations} of {checked} do not fit ({})", examples.join("; "))
}

#[async_trait]
impl<M: Model> Model for Checked<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.check(&request.inputs)?;
        self.model.predict(request).await
    }
}
