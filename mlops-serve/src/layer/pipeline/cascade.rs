//! A second model for the rows of which the first is not sure.

use std::fmt;

use async_trait::async_trait;
use mlops_core::{Error, Model, Reason, Request, Response, Result, Signature, TensorSpec, Tensors};

use super::place::{caught, within};
use super::steps::real::{self, Real as _, with_real};
use super::{fit, rows};

/// A cheap model answers what it is sure of, an expensive one the rest.
///
/// The smaller model sees every request. A function of its outputs says for each row whether the answer stands; the
/// other rows, and only they, go to the larger model, and its answers take their place. So a row gets the same answer
/// alone and in a batch. A request whose signature has no batch dimension is one row.
///
/// The smaller model says the signature; the larger may take more and promise more, and what it gives beyond the
/// signature is left out. Where some row went on, the response says [`Reason::Other`]`("escalated")`, and its timings
/// are those of both models.
///
/// The idea is that of Viola and Jones,
/// [Rapid Object Detection using a Boosted Cascade of Simple Features](https://doi.org/10.1109/CVPR.2001.990517) (2001).
///
/// ```
/// # use mlops_core::{DType, Dimension, Signature, TensorSpec, Tensors};
/// use mlops_core::Model;
/// use mlops_serve::layer::pipeline::Step;
/// use mlops_serve::{EngineExt, ServeExt};
///
/// # fn model() -> mlops_core::Result<impl Model> {
/// #     let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)]);
/// #     let signature = Signature::new([spec("x")], [spec("probabilities")])?;
/// #     Ok(Step::new("", signature, |mut t| Ok(Tensors::new().with("probabilities", t.remove("x").unwrap()))).inline())
/// # }
/// # fn main() -> mlops_core::Result<()> {
/// # let (small, large) = (model()?, model()?);
/// let model = small.cascaded(large, "probabilities", 0.9)?; // rows whose best class has less than 0.9 go to `large`
/// # let _ = model;
/// # Ok(())
/// # }
/// ```
pub struct Cascade<S, L> {
    smaller: S,
    larger: L,
    sure: Box<Sure>,
    batched: bool,
}

type Sure = dyn Fn(&Tensors) -> Result<Vec<bool>> + Send + Sync;

impl<S: Model, L: Model> Cascade<S, L> {
    /// `sure` says of each row of the smaller model's outputs whether it stands.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `larger` cannot answer in the place of `smaller`, or when one of them takes rows and
    /// has an output without, or the other way round.
    pub fn new(
        smaller: S,
        larger: L,
        sure: impl Fn(&Tensors) -> Result<Vec<bool>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let signature = smaller.signature();
        fit::stands_in(signature, larger.signature(), "the larger model")?;
        for signature in [signature, larger.signature()] {
            if !fit::keeps_rows(signature.inputs(), signature.outputs()) {
                return Err(Error::invalid_input(
                    "the outputs of a cascade's models must all have a batch dimension if the inputs have one, \
                     and none otherwise",
                ));
            }
        }
        let batched = signature.inputs().iter().any(|spec| spec.batch_axis().is_some());
        Ok(Self { smaller, larger, sure: Box::new(sure), batched })
    }

    /// A row stands where the greatest value of `output`, a floating-point tensor, is at least `threshold`, rounded to
    /// the type of the tensor. NaN is never sure.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); and [`Error::InvalidInput`] for an output that is not there, is no floating-point
    /// tensor or has its batch dimension elsewhere than first, and for a threshold that is NaN.
    pub fn by_score(smaller: S, larger: L, output: &str, threshold: f64) -> Result<Self> {
        let spec = fit::require(smaller.signature().outputs(), output)?.clone();
        if threshold.is_nan() {
            return Err(Error::invalid_input("the threshold of a cascade is NaN"));
        }
        if spec.batch_axis().is_some_and(|axis| axis != 0) {
            return Err(Error::invalid_input(format!(
                "the batch dimension of `{output}` ({spec}) is not the first"
            )));
        }
        real::check(&spec)?;
        Self::new(smaller, larger, move |outputs| sure_rows(outputs, &spec, threshold))
    }

    /// The rows that do not stand.
    fn unsure(&self, outputs: &Tensors) -> Result<(usize, Vec<usize>)> {
        let sure =
            caught(|| (self.sure)(outputs)).map_err(|error| within(error, "the condition of the cascade"))?;
        let rows = if self.batched { rows::count(self.smaller.signature().outputs(), outputs) } else { 1 };
        if sure.len() != rows {
            let said = sure.len();
            let what = format!("the condition of the cascade judged {said} rows, but there are {rows}");
            return Err(Error::internal(what));
        }
        Ok((rows, (0..rows).filter(|row| !sure[*row]).collect()))
    }
}

#[async_trait]
impl<S: Model, L: Model> Model for Cascade<S, L> {
    fn signature(&self) -> &Signature {
        self.smaller.signature()
    }

    async fn predict(&self, mut request: Request) -> Result<Response> {
        let signature = self.smaller.signature();
        signature.check(&request.inputs)?;
        let first = self.smaller.predict(request.clone()).await;
        let first = first.map_err(|error| within(error, "the smaller model of the cascade"))?;
        let (rows, unsure) = self.unsure(&first.outputs)?;
        if unsure.is_empty() {
            return Ok(first);
        }
        let all = unsure.len() == rows;
        if !all {
            request.inputs = rows::select(signature.inputs(), &request.inputs, &unsure)?;
        }
        let second = self.larger.predict(request).await;
        let mut second = second.map_err(|error| within(error, "the larger model of the cascade"))?;
        second.outputs = fit::only_known(signature, second.outputs);
        if !all {
            second.outputs =
                rows::replace(signature.outputs(), &first.outputs, &second.outputs, &unsure, rows)?;
        }
        second.timings.queue = second.timings.queue.saturating_add(first.timings.queue);
        second.timings.compute = second.timings.compute.saturating_add(first.timings.compute);
        second.reason = Some(Reason::Other("escalated".into()));
        Ok(second)
    }
}

impl<S: fmt::Debug, L: fmt::Debug> fmt::Debug for Cascade<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cascade")
            .field("smaller", &self.smaller)
            .field("larger", &self.larger)
            .finish_non_exhaustive()
    }
}

fn sure_rows(outputs: &Tensors, spec: &TensorSpec, threshold: f64) -> Result<Vec<bool>> {
    let scores = outputs.require(spec.name())?;
    let rows = if spec.batch_axis().is_some() { scores.shape().first().copied().unwrap_or(0) } else { 1 };
    if scores.is_empty() && rows > 0 {
        return Err(Error::engine(format!("`{}` has no values to be sure by", spec.name())));
    }
    let columns = scores.len().checked_div(rows).unwrap_or(1);
    with_real!(scores.dtype(), T => {
        let threshold = T::from_f64(threshold);
        let stands = |row: &[T]| row.iter().any(|value| *value >= threshold);
        Ok(scores.as_slice::<T>()?.chunks(columns).map(stands).collect())
    })
}
