//! What the vocabulary costs: tensors in and out, a routing decision, a routed and observed prediction.
//!
//! ```text
//! cargo bench --bench vocabulary
//! ```
//!
//! The last lines compare the medians of the run with each other.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::Criterion;
use futures_util::FutureExt;
use mlops_core::{
    DType, Dimension, Engine, Model, ModelExt, Request, Result, Router, RoutingContext, Signature, Tensor,
    TensorSpec, Tensors, Variant,
};
use mlops_rollout::{Evidence, Routed, Sticky, TrafficSplit, Weighted};
use mlops_serve::EngineExt;
use ndarray::ArrayD;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    tensors(&mut criterion);
    routers(&mut criterion);
    predictions(&mut criterion);
    criterion.final_summary();
    compare();
}

/// A batch of 16 rows of 1,024 floats: 64 KiB.
fn tensors(criterion: &mut Criterion) {
    let shape = [16, 1024];
    let mut group = criterion.benchmark_group("tensor");
    group.bench_function("from an owned array and back", |bencher| {
        let mut array = Some(ArrayD::<f32>::zeros(&shape[..]));
        bencher.iter(|| {
            let tensor = Tensor::from(array.take().expect("given back by every turn"));
            array = tensor.into_array::<f32>().ok();
        });
    });
    group.bench_function("view", |bencher| {
        let tensor = Tensor::from(ArrayD::<f32>::zeros(&shape[..]));
        bencher.iter(|| black_box(&tensor).view::<f32>().map(|view| view.len()));
    });
    group.bench_function("clone", |bencher| {
        let tensor = Tensor::from(ArrayD::<f32>::zeros(&shape[..]));
        bencher.iter(|| black_box(&tensor).clone());
    });
    group.bench_function("copy of the same bytes", |bencher| {
        let array = ArrayD::<f32>::zeros(&shape[..]);
        bencher.iter(|| black_box(&array).clone());
    });
    group.finish();
}

fn routers(criterion: &mut Criterion) {
    let split = canary_split(0.25);
    let weighted = Weighted::new(split.clone());
    let sticky = Sticky::new(split, "salt");
    let anonymous = RoutingContext::new();
    let user = RoutingContext::new().with_key("user-00000000017"); // 16 bytes
    let mut group = criterion.benchmark_group("route");
    group.bench_function("weighted", |bencher| bencher.iter(|| weighted.route(black_box(&anonymous))));
    group.bench_function("sticky", |bencher| bencher.iter(|| sticky.route(black_box(&user))));
    group.finish();
}

/// An engine that computes nothing, so that only what surrounds it is measured.
#[derive(Debug)]
struct Nothing(Signature);

impl Engine for Nothing {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        Ok(inputs.clone())
    }
}

fn nothing() -> impl Model {
    let spec = || TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(64)]);
    Nothing(Signature::new([spec()], [spec()]).expect("a valid signature")).inline()
}

fn predictions(criterion: &mut Criterion) {
    let x = Tensor::from_vec(&[1, 64], vec![0.5_f32; 64]).expect("64 values");
    let request = Request::new(Tensors::new().with("x", x))
        .with_context(RoutingContext::new().with_key("user-00000000017"))
        .with_id("a-1");
    let mut group = criterion.benchmark_group("predict");
    let mut bench = |name: &str, model: &dyn Model| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| model.predict(black_box(&request).clone()).now_or_never().expect("never waits"));
        });
    };
    bench("bare", &nothing());
    bench("observed", &nothing().observed(Arc::new(Evidence::new())));
    bench("routed", &routed());
    bench("routed and observed", &routed().observed_by(Arc::new(Evidence::new())));
    group.finish();
}

fn routed() -> Routed {
    let [stable, canary] = variants();
    Routed::new(stable, nothing(), Sticky::new(canary_split(0.25), "salt"))
        .with_variant(canary, nothing())
        .expect("the same signature")
}

fn canary_split(share: f64) -> TrafficSplit {
    let [stable, canary] = variants();
    let split = TrafficSplit::new(stable, [canary.clone()]);
    split.set(&canary, share).expect("a share of a known variant");
    split
}

fn variants() -> [Variant; 2] {
    ["stable", "canary"].map(|name| Variant::new(name).expect("a valid name"))
}

/// Differences and ratios of the medians that this run left behind.
fn compare() {
    let over = |group: &str, layered: &str, bare: &str| {
        let (Some(layered_ns), Some(bare_ns)) = (median(group, layered), median(group, bare)) else { return };
        let (difference, ratio) = (layered_ns - bare_ns, layered_ns / bare_ns);
        println!(
            "{group}: {layered} - {bare}: {difference:.0} ns ({layered_ns:.0} against {bare_ns:.0}, ratio {ratio:.3})"
        );
    };
    over("tensor", "from an owned array and back", "copy of the same bytes");
    over("predict", "observed", "bare");
    over("predict", "routed", "bare");
    over("predict", "routed and observed", "bare");
}

/// In nanoseconds, as criterion wrote it down.
fn median(group: &str, function: &str) -> Option<f64> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let path = target.join("criterion").join(group).join(function).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}
