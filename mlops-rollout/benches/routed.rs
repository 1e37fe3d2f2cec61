//! What it costs a request that a model is routed, watched and shadowed.
//!
//! ```text
//! cargo bench -p mlops-rollout --bench routed
//! ```
//!
//! The last lines compare the medians of the run with each other, and the latencies of requests with and without
//! shadows, measured one by one in turns.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::hint::{black_box, spin_loop};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use criterion::Criterion;
use futures_util::FutureExt;
use mlops_core::{
    DType, Dimension, Model, Request, Response, Result, RoutingContext, Signature, Tensor, TensorSpec,
    Tensors, Variant,
};
use mlops_rollout::{Evidence, Fallback, Routed, Shadowed, Sticky, TrafficSplit};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    predictions(&mut criterion);
    criterion.final_summary();
    compare_medians();
    let only_tested = std::env::args().any(|argument| argument == "--test");
    compare_tails(if only_tested { 1 } else { 40 });
}

/// Computes nothing, so that only what surrounds it is measured.
#[derive(Debug)]
struct Nothing(Signature);

#[async_trait]
impl Model for Nothing {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        Ok(Response::new(request.inputs).with_id(request.id))
    }
}

fn nothing() -> Nothing {
    let spec = || TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(64)]);
    Nothing(Signature::new([spec()], [spec()]).expect("a valid signature"))
}

fn routed() -> Routed {
    let [stable, canary, _] = variants();
    let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
    split.set(&canary, 0.25).expect("a share of a known variant");
    Routed::new(stable, nothing(), Sticky::new(split, "salt"))
        .with_variant(canary, nothing())
        .expect("the same signature")
}

/// Every request is seen by a third variant too.
fn shadowed(share: f64) -> Routed {
    let [stable, canary, next] = variants();
    let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
    split.set(&canary, 0.25).expect("a share of a known variant");
    let router = Shadowed::new(Sticky::new(split, "salt"), next.clone(), share).expect("a share");
    let with = |routed: Routed, variant| routed.with_variant(variant, nothing()).expect("the same signature");
    with(with(Routed::new(stable, nothing(), router), canary), next).observed_by(Arc::new(Evidence::new()))
}

fn variants() -> [Variant; 3] {
    ["stable", "canary", "next"].map(|name| Variant::new(name).expect("a valid name"))
}

fn request() -> Request {
    let x = Tensor::from_vec(&[1, 64], vec![0.5_f32; 64]).expect("64 values");
    Request::new(Tensors::new().with("x", x))
        .with_context(RoutingContext::new().with_key("user-00000000017"))
        .with_id("a-1")
}

fn predictions(criterion: &mut Criterion) {
    let request = request();
    let mut group = criterion.benchmark_group("routed");
    let mut bench = |name: &str, model: &dyn Model| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| model.predict(black_box(&request).clone()).now_or_never().expect("never waits"));
        });
    };
    bench("bare", &nothing());
    bench("routed", &routed());
    bench("routed, evidence", &routed().observed_by(Arc::new(Evidence::new())));
    let evidence = Arc::new(Evidence::new());
    bench("routed, evidence, fallback", &routed().with_fallback(Fallback::OnFailure).observed_by(evidence));
    group.finish();
}

/// Differences of the medians that this run left behind.
fn compare_medians() {
    let Some(bare) = median("bare") else { return };
    for layered in ["routed", "routed, evidence", "routed, evidence, fallback"] {
        if let Some(ns) = median(layered) {
            println!("{layered}: {:.0} ns more than the model alone ({ns:.0} against {bare:.0})", ns - bare);
        }
    }
}

/// In nanoseconds, as criterion wrote it down.
fn median(function: &str) -> Option<f64> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let path = target.join("criterion/routed").join(function).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// At 20,000 requests a second, in turns, so that what else happens on the machine happens to both.
fn compare_tails(turns: u32) {
    const REQUESTS: usize = 10_000;
    let (without, with) = (shadowed(0.0), shadowed(1.0));
    let [mut plain, mut copied] = [Vec::new(), Vec::new()];
    for _ in 0..turns {
        for (model, latencies) in [(&without, &mut plain), (&with, &mut copied)] {
            latencies.extend((0..REQUESTS).map(|_| paced(model)));
        }
    }
    let [_, _, next] = variants();
    let quantile = |latencies: &mut Vec<Duration>, q: f64| {
        latencies.sort_unstable();
        let index = (q * latencies.len() as f64) as usize;
        latencies.get(index).copied().unwrap_or_default()
    };
    for q in [0.5, 0.9, 0.99, 0.999] {
        let (plain, copied) = (quantile(&mut plain, q), quantile(&mut copied, q));
        let more = copied.as_nanos() as i128 - plain.as_nanos() as i128;
        println!(
            "p{}: {plain:?} without shadows, {copied:?} with every request shadowed: {more} ns more",
            100.0 * q
        );
    }
    let report = with.shadow_report(&next);
    println!(
        "{} copies taken, {} dropped, {} compared",
        report.copies, report.dropped, report.comparison.compared
    );
}

/// How long one request takes, and then a pause until 50 us are over.
fn paced(model: &Routed) -> Duration {
    let request = request();
    let began = Instant::now();
    black_box(model.predict(request).now_or_never().expect("never waits").expect("never fails"));
    let took = began.elapsed();
    while began.elapsed() < Duration::from_micros(50) {
        spin_loop();
    }
    took
}
