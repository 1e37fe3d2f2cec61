//! A model that says which one it is, and knows whether it still lives.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Error, Model, Request, Response, Result, Signature, Tensor, TensorSpec, Tensors,
};
use tokio::sync::Semaphore;

/// Says its number when the gate lets it, and counts itself while it lives. Its weights take memory.
#[derive(Debug)]
pub(crate) struct Numbered {
    signature: Signature,
    number: f32,
    gate: Arc<Semaphore>,
    alive: Arc<AtomicUsize>,
    in_flight: AtomicUsize,
    _weights: Vec<u8>,
}

/// What the versions of a model share.
#[derive(Clone)]
pub(crate) struct Family {
    pub(crate) gate: Arc<Semaphore>,
    alive: Arc<AtomicUsize>,
}

impl Family {
    pub(crate) fn new(gate: usize) -> Self {
        Self { gate: Arc::new(Semaphore::new(gate)), alive: Arc::default() }
    }

    pub(crate) fn model(&self, number: f32, weights: usize) -> Numbered {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Numbered {
            signature: Signature::new([], [TensorSpec::new("number", DType::Fp32, [Dimension::Batch])])
                .unwrap(),
            number,
            gate: Arc::clone(&self.gate),
            alive: Arc::clone(&self.alive),
            in_flight: AtomicUsize::new(0),
            _weights: vec![1; weights],
        }
    }

    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Model for Numbered {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let _pass = self.gate.acquire().await.map_err(|_closed| Error::unavailable("the gate"))?;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let number = Tensors::new().with("number", Tensor::from(vec![self.number]));
        Ok(Response::new(number).with_id(request.id))
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        assert_eq!(self.in_flight.load(Ordering::SeqCst), 0, "a model was dropped under its requests");
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) async fn number(model: &impl Model) -> f32 {
    let response = model.predict(Request::default()).await.expect("no request fails");
    response.outputs.require("number").unwrap().as_slice::<f32>().unwrap()[0]
}
