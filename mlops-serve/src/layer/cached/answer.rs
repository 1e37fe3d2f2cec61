//! What is kept of a response.

use std::sync::Arc;

use mlops_core::reexports::bytes::Bytes;
use mlops_core::{ModelId, Reason, Response, Tensor, Tensors, Timings, Variant};

/// All of a response but what belongs to one request: its id and its timings.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) outputs: Tensors,
    pub(super) model: Option<Arc<ModelId>>,
    pub(super) variant: Option<Variant>,
    pub(super) reason: Option<Reason>,
}

/// An answer, where it was, and how long it took to compute.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) answer: Arc<Answer>,
    pub(super) from: From,
    pub(super) timings: Timings,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum From {
    Memory,
    Tier,
    Model,
}

/// Estimates of what the allocator, the tables of the cache and the headers of a tensor take.
const ANSWER_OVERHEAD: usize = 320;
const TENSOR_OVERHEAD: usize = 160;

impl Answer {
    /// Outputs are copied, for they may be parts of something larger (the outputs of a whole batch, the body
    /// of a request) that must not be kept alive for them.
    pub(super) fn new(response: Response) -> Self {
        let Response { outputs, model, variant, reason, .. } = response;
        let outputs = outputs.into_iter().map(|(name, tensor)| (name, compact(tensor))).collect();
        Self { outputs, model, variant, reason }
    }

    pub(super) fn respond(&self) -> Response {
        let mut response = Response::new(self.outputs.clone());
        response.model.clone_from(&self.model);
        response.variant.clone_from(&self.variant);
        response.reason.clone_from(&self.reason);
        response
    }

    /// How many bytes it takes, about.
    pub(super) fn weight(&self) -> u32 {
        let tensor = |(name, tensor): (&str, &Tensor)| TENSOR_OVERHEAD + name.len() + tensor.as_bytes().len();
        let bytes = ANSWER_OVERHEAD + self.outputs.iter().map(tensor).sum::<usize>();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

impl Found {
    pub(super) fn new(answer: Arc<Answer>, from: From) -> Self {
        Self { answer, from, timings: Timings::default() }
    }
}

fn compact(tensor: Tensor) -> Tensor {
    let bytes = Bytes::copy_from_slice(tensor.as_bytes());
    // The same type, shape and bytes are a tensor again.
    Tensor::from_bytes(tensor.dtype(), tensor.shape(), bytes).unwrap_or(tensor)
}

#[cfg(test)]
mod tests {
    use mlops_core::DType;

    use super::*;

    #[test]
    fn a_row_of_a_large_batch_does_not_keep_the_batch() {
        let batch = Bytes::from(vec![0_u8; 1 << 20]);
        let row = Tensor::from_bytes(DType::Fp32, &[1, 4], batch.slice(16..32)).unwrap();
        let answer = Answer::new(Response::new(Tensors::new().with("y", row.clone())));
        drop(row);
        assert!(batch.is_unique(), "the answer holds a copy of its own");
        assert!(answer.weight() < 1024, "{}", answer.weight());
    }
}
