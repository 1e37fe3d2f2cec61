//! Runs an ONNX model on a device that is chosen at run time.
//!
//! ```text
//! cargo run --release --example infer -- --model m.onnx                                # says what it takes
//! cargo run --release --example infer -- --model m.onnx --input x=rows.npy             # an input from NumPy
//! cargo run --release --example infer -- --model m.onnx --input inputs.json            # {"x": [[1.0, 2.0]]}
//! cargo run --release --example infer -- --model m.onnx --input x.npy --bench          # how long it takes
//! ```
//!
//! `--device` is `cpu`, or, in a build with the feature, `wgpu`, `wgpu:NAME` or `cuda:0`.

#[path = "shared/inputs.rs"]
mod inputs;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use mlops_core::{Dimension, Engine, Signature, TensorSpec, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::{OnnxEngine, OnnxOptions};

#[derive(Debug, Parser)]
#[command(about = "Runs an ONNX model")]
struct Arguments {
    /// The file of the model.
    #[arg(long)]
    model: PathBuf,
    /// Where it computes.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// `NAME=FILE.npy`, `FILE.npy` for the only input, or a JSON object of names and nested lists. May come several times.
    #[arg(long)]
    input: Vec<String>,
    /// How many threads one call uses.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Measures latencies. Inputs that are not given are random, with a batch of one.
    #[arg(long)]
    bench: bool,
    /// Says how long each step takes.
    #[arg(long)]
    profile: bool,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let options = OnnxOptions::new().with_threads(arguments.threads);
    let engine = OnnxEngine::load_file(&arguments.model, arguments.device.clone(), &options)?;
    println!(
        "loaded on {} in {:.1} ms, {} steps",
        arguments.device,
        milliseconds(started.elapsed()),
        engine.steps()
    );
    print_signature(engine.signature());
    let mut inputs = inputs::read(&arguments.input, engine.signature())?;
    if arguments.bench || arguments.profile {
        inputs::fill_in(engine.signature(), 1, &mut inputs)?;
    } else if inputs.is_empty() {
        return Ok(());
    }
    engine.signature().check(&inputs)?;
    if arguments.profile {
        print_profile(&engine, &inputs)?;
    }
    if arguments.bench {
        return bench(&engine, &inputs);
    }
    for (name, tensor) in engine.run(&inputs)?.iter() {
        println!("{name}: {}", serde_json::to_string(tensor)?);
    }
    Ok(())
}

fn print_signature(signature: &Signature) {
    for (direction, specs) in [("input ", signature.inputs()), ("output", signature.outputs())] {
        for spec in specs {
            println!("{direction} {}: {} {}", spec.name(), spec.dtype(), shape(spec));
        }
    }
}

fn shape(spec: &TensorSpec) -> String {
    let lengths: Vec<String> = spec
        .shape()
        .iter()
        .map(|dimension| match dimension {
            Dimension::Fixed(length) => length.to_string(),
            Dimension::Batch => "batch".to_owned(),
            Dimension::Free => "any".to_owned(),
        })
        .collect();
    format!("[{}]", lengths.join(", "))
}

fn bench(engine: &OnnxEngine, inputs: &Tensors) -> Result<(), Failure> {
    const SPAN: Duration = Duration::from_secs(3);
    let first = Instant::now();
    engine.run(inputs)?;
    let first = first.elapsed();
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < SPAN || times.len() < 10 {
        let call = Instant::now();
        engine.run(inputs)?;
        times.push(call.elapsed());
    }
    times.sort();
    let quantile = |level: f64| microseconds(times[((times.len() - 1) as f64 * level).round() as usize]);
    println!("first call {:.1} us, then {} calls:", microseconds(first), times.len());
    for (name, level) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        println!("  {name} {:>10.1} us", quantile(level));
    }
    Ok(())
}

fn print_profile(engine: &OnnxEngine, inputs: &Tensors) -> Result<(), Failure> {
    engine.run(inputs)?;
    let mut steps = engine.profile(inputs)?;
    steps.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    for (label, time) in steps {
        println!("  {:>10.1} us  {label}", microseconds(time));
    }
    Ok(())
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
