//! A tiny model: a logistic regression that takes its time and fails now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Error, Model, Request, Response, Result, Signature, Tensor, TensorSpec, Tensors,
};

#[derive(Debug)]
pub struct Scorer {
    signature: Signature,
    weights: [f32; 4],
    latency: Duration,
    failing: f64,
    asked: AtomicU64,
}

impl Scorer {
    pub fn new(weights: [f32; 4]) -> Result<Self> {
        let features =
            TensorSpec::new("features", DType::Fp32, [Dimension::Batch, Dimension::Fixed(weights.len())]);
        let score = TensorSpec::new("score", DType::Fp32, [Dimension::Batch]);
        let signature = Signature::new([features], [score])?;
        Ok(Self { signature, weights, latency: Duration::ZERO, failing: 0.0, asked: AtomicU64::new(0) })
    }

    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Fails this share of the requests.
    pub fn with_failing(mut self, share: f64) -> Self {
        self.failing = share;
        self
    }

    /// Whether this request is one of those that fail: by a hash of its number, so that no user is spared.
    fn fails(&self) -> bool {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let hash = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((hash ^ (hash >> 29)) >> 11) as f64 / ((1_u64 << 53) as f64) < self.failing
    }
}

#[async_trait]
impl Model for Scorer {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let tensor =
            request.inputs.get("features").ok_or_else(|| Error::invalid_input("`features` is missing"))?;
        let rows = tensor.view::<f32>()?;
        let scores = rows.outer_iter().map(|row| {
            let sum: f32 = row.iter().zip(&self.weights).map(|(value, weight)| value * weight).sum();
            1.0 / (1.0 + (-sum).exp())
        });
        let scores: Vec<f32> = scores.collect();
        tokio::time::sleep(self.latency).await;
        if self.fails() {
            return Err(Error::engine("the scorer had a bad moment"));
        }
        let outputs = Tensors::new().with("score", Tensor::from_vec(&[scores.len()], scores)?);
        Ok(Response::new(outputs).with_id(request.id))
    }
}
