//! Executors and layers, called without a server.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use mlops_core::{Engine, Model, Request, Tensor, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::OnnxEngine;
use mlops_serve::layer::Caching;
use mlops_serve::{EngineExt, ServeExt, Workers};
use serde::Serialize;

use crate::Failure;
use crate::run::median;
use crate::sample::Sample;
use crate::server::batching;

/// One way to call an engine.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub way: &'static str,
    /// The time of a call that is alone; the median.
    pub lone_us: f64,
    /// What many callers get done at once.
    pub calls_per_second: f64,
}

/// A model with its figures.
struct Candidate {
    way: &'static str,
    model: Arc<dyn Model>,
    lone: Vec<Duration>,
    calls: usize,
    time: Duration,
}

/// The ways take turns.
const TURNS: u32 = 20;
const CALLERS: usize = 64;

/// The engine itself, and the ways to make a model of it; the first is what the others are compared with.
pub async fn measure(sample: &Sample, time: Duration) -> Result<Vec<Figure>, Failure> {
    let engine = Arc::new(OnnxEngine::load(std::fs::read(&sample.model)?, Device::Cpu)?);
    let row = Tensor::from_vec(&[1, sample.input.row.len()], sample.input.row.clone())?;
    let inputs = Tensors::new().with(sample.input.name.as_str(), row);
    let workers = Workers::new(std::thread::available_parallelism()?.get()).with_queue(CALLERS);
    let mut candidates = [
        Candidate::new("inline", Arc::clone(&engine).inline()),
        Candidate::new("on workers", Arc::clone(&engine).on_workers(workers)?),
        Candidate::new("batched", Arc::clone(&engine).inline().batched(batching()?)?),
        Candidate::new("cached", Arc::clone(&engine).inline().cached(Caching::new(1 << 20))),
    ];
    let mut bare = Vec::new();
    for _ in 0..TURNS {
        let end = Instant::now() + time / TURNS;
        while Instant::now() < end {
            let began = Instant::now();
            black_box(engine.run(&inputs)?);
            bare.push(began.elapsed());
        }
        for candidate in &mut candidates {
            candidate.call_alone(&inputs, time / TURNS).await?;
            candidate.call_together(&inputs, time / TURNS).await?;
        }
    }
    let lone_us = microseconds(&bare);
    let bare = Figure { way: "bare engine", lone_us, calls_per_second: 1e6 / lone_us };
    Ok(std::iter::once(bare).chain(candidates.map(Candidate::figure)).collect())
}

impl Candidate {
    fn new(way: &'static str, model: impl Model) -> Self {
        Self { way, model: Arc::new(model), lone: Vec::new(), calls: 0, time: Duration::ZERO }
    }

    async fn call_alone(&mut self, inputs: &Tensors, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let request = Request::new(inputs.clone());
            let began = Instant::now();
            black_box(self.model.predict(request).await?);
            self.lone.push(began.elapsed());
        }
        Ok(())
    }

    async fn call_together(&mut self, inputs: &Tensors, time: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        let callers = (0..CALLERS).map(|_| {
            let (model, inputs) = (Arc::clone(&self.model), inputs.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while began.elapsed() < time {
                    black_box(model.predict(Request::new(inputs.clone())).await?);
                    calls += 1;
                    tokio::task::yield_now().await;
                }
                Ok::<usize, mlops_core::Error>(calls)
            })
        });
        for calls in try_join_all(callers).await? {
            self.calls += calls?;
        }
        self.time += began.elapsed();
        Ok(())
    }

    fn figure(self) -> Figure {
        Figure {
            way: self.way,
            lone_us: microseconds(&self.lone),
            calls_per_second: self.calls as f64 / self.time.as_secs_f64(),
        }
    }
}

fn microseconds(times: &[Duration]) -> f64 {
    median(times.iter().map(|time| time.as_secs_f64() * 1e6))
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, lone_us, calls_per_second } = self;
        write!(f, "  {way:<16} lone {lone_us:>8.1} us   {CALLERS} callers {calls_per_second:>10.0} calls/s")
    }
}
