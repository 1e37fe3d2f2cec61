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

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use mlops_core::{DType, Dimension, Engine, Signature, Tensor, TensorSpec, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::{OnnxEngine, OnnxOptions};
use ndarray_npy::ReadableElement;
use serde_json::Value;

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
    /// Measures latencies. Inputs that are not given are zeros, with a batch of one.
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
    let mut inputs = Tensors::new();
    for argument in &arguments.input {
        read_input(argument, engine.signature(), &mut inputs)?;
    }
    if arguments.bench || arguments.profile {
        fill_in(engine.signature(), &mut inputs)?;
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

fn read_input(argument: &str, signature: &Signature, inputs: &mut Tensors) -> Result<(), Failure> {
    let (name, file) = match argument.split_once('=') {
        Some((name, file)) => (Some(name), Path::new(file)),
        None => (None, Path::new(argument)),
    };
    if file.extension().is_some_and(|extension| extension == "json") {
        let Value::Object(fields) = serde_json::from_slice(&std::fs::read(file)?)? else {
            return Err(format!("{} holds no JSON object of names and values", file.display()).into());
        };
        for (name, value) in fields {
            let tensor = from_json(&value, spec(signature, &name)?)?;
            inputs.insert(name, tensor);
        }
        return Ok(());
    }
    let spec = match (name, signature.inputs()) {
        (Some(name), _) => spec(signature, name)?,
        (None, [only]) => only,
        (None, several) => {
            let names: Vec<&str> = several.iter().map(TensorSpec::name).collect();
            return Err(format!("say which input it is: NAME=FILE with one of {}", names.join(", ")).into());
        }
    };
    inputs.insert(spec.name(), from_npy(file, spec.dtype())?);
    Ok(())
}

fn spec<'a>(signature: &'a Signature, name: &str) -> Result<&'a TensorSpec, Failure> {
    let found = signature.inputs().iter().find(|spec| spec.name() == name);
    found.ok_or_else(|| format!("the model has no input `{name}`").into())
}

fn from_npy(file: &Path, dtype: DType) -> Result<Tensor, Failure> {
    fn read<T: ReadableElement>(file: &Path) -> Result<ndarray::ArrayD<T>, Failure> {
        ndarray_npy::read_npy(file).map_err(|cause| format!("{}: {cause}", file.display()).into())
    }
    Ok(match dtype {
        DType::Bool => read::<bool>(file)?.into(),
        DType::Uint8 => read::<u8>(file)?.into(),
        DType::Int8 => read::<i8>(file)?.into(),
        DType::Int32 => read::<i32>(file)?.into(),
        DType::Int64 => read::<i64>(file)?.into(),
        DType::Fp32 => read::<f32>(file)?.into(),
        DType::Fp64 => read::<f64>(file)?.into(),
        other => return Err(format!("give {other} as JSON").into()),
    })
}

/// Nested lists, in the type the model asks for.
fn from_json(value: &Value, spec: &TensorSpec) -> Result<Tensor, Failure> {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(items) = inner {
        shape.push(items.len());
        match items.first() {
            Some(first) => inner = first,
            None => break,
        }
    }
    let field =
        serde_json::json!({ "name": spec.name(), "shape": shape, "datatype": spec.dtype(), "data": value });
    let mut read: Tensors = serde_json::from_value(Value::Array(vec![field]))?;
    read.remove(spec.name()).ok_or_else(|| "no tensor".into())
}

/// Zeros for the inputs that are missing.
fn fill_in(signature: &Signature, inputs: &mut Tensors) -> Result<(), Failure> {
    for spec in signature.inputs() {
        if inputs.get(spec.name()).is_some() {
            continue;
        }
        let shape: Vec<usize> = spec
            .shape()
            .iter()
            .map(|dimension| match dimension {
                Dimension::Fixed(length) => *length,
                Dimension::Batch | Dimension::Free => 1,
            })
            .collect();
        let size = spec.dtype().size().ok_or_else(|| format!("give the strings of `{}`", spec.name()))?;
        let bytes = vec![0_u8; shape.iter().product::<usize>() * size];
        inputs.insert(spec.name(), Tensor::from_bytes(spec.dtype(), &shape, bytes)?);
        println!("`{}` is not given: zeros of shape {shape:?}", spec.name());
    }
    Ok(())
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
