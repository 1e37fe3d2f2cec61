//! What is taken of a prediction on the caller's thread.

use std::sync::Arc;

use mlops_core::reexports::jiff::Timestamp;
use mlops_core::{Error, ModelId, Prediction, RoutingContext, Tensor, Tensors, Variant};

/// About what the columns that every row has take.
const ROW: usize = 64;

/// A prediction as it was. Tensors share the memory of the request and the response.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) id: Option<Arc<str>>,
    pub(super) context: RoutingContext,
    pub(super) inputs: Tensors,
    pub(super) outputs: Tensors,
    pub(super) model: Option<Arc<ModelId>>,
    pub(super) variant: Option<Variant>,
    pub(super) role: &'static str,
    pub(super) outcome: &'static str,
    pub(super) latency_seconds: f64,
    /// About how many bytes it takes in a file.
    pub(super) bytes: usize,
}

impl Record {
    pub(super) fn of(prediction: &Prediction<'_>, time: Timestamp) -> Self {
        let Prediction { request, result, variant, role, latency, .. } = prediction;
        let outputs = result.map(|response| response.outputs.clone()).unwrap_or_default();
        let mut record = Self {
            time,
            id: request.id.clone(),
            context: request.context.clone(),
            bytes: 0,
            inputs: request.inputs.clone(),
            outputs,
            model: result.ok().and_then(|response| response.model.clone()),
            variant: variant.cloned(),
            role: role.name(),
            outcome: result.map_or_else(Error::label, |_| "ok"),
            latency_seconds: latency.as_secs_f64(),
        };
        record.bytes = record.size();
        record
    }

    /// The first dimension that all tensors share, if it is one and not 0.
    pub(super) fn rows(&self) -> Option<usize> {
        let mut rows = self.tensors().map(|tensor| tensor.shape().first().copied());
        let first = rows.next()??;
        (first > 0 && rows.all(|rows| rows == Some(first))).then_some(first)
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.inputs.iter().chain(self.outputs.iter()).map(|(_, tensor)| tensor)
    }

    /// Of its tensors, and of what every row says of the whole request.
    fn size(&self) -> usize {
        let text: usize = self.context.attributes().map(|(name, value)| name.len() + value.len()).sum();
        let row = ROW + text + self.id.as_ref().map_or(0, |id| id.len());
        let tensors: usize = self.tensors().map(|tensor| tensor.as_bytes().len()).sum();
        tensors.saturating_add(row.saturating_mul(self.rows().unwrap_or(1)))
    }
}
