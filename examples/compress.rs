//! Makes an ONNX model smaller or faster, and says what that costs.
//!
//! ```text
//! cargo run --release --example compress -- --model m.onnx                             # every method
//! cargo run --release --example compress -- --model m.onnx --method int8 --output s.onnx
//! cargo run --release --example compress -- --model m.onnx --input x=rows.npy          # compared on your rows
//! ```
//!
//! Size, latency and agreement are those of both models on the same inputs; real ones say more than random ones.

#[path = "shared/inputs.rs"]
mod inputs;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use mlops_core::Engine;
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::OnnxEngine;
use mlops_serve::engine::onnx::compress::{
    Compressed, Report, Scope, bf16_weights, fp16_weights, int8_weights, prune_magnitude, prune_structured,
};

#[derive(Debug, Parser)]
#[command(about = "Makes an ONNX model smaller or faster")]
struct Arguments {
    /// The file of the model.
    #[arg(long)]
    model: PathBuf,
    /// What to do; without it, everything is tried.
    #[arg(long)]
    method: Option<Method>,
    /// The share of weights, or of channels, that is pruned.
    #[arg(long, default_value_t = 0.5)]
    fraction: f64,
    /// Where the new model goes.
    #[arg(long, requires = "method")]
    output: Option<PathBuf>,
    /// `NAME=FILE.npy`, `FILE.npy` for the only input, or a JSON object of names and nested lists. May come several times.
    #[arg(long)]
    input: Vec<String>,
    /// Rows of the inputs that are not given.
    #[arg(long, default_value_t = 1)]
    rows: usize,
    /// Names every tensor that was changed, or left.
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    /// Weights of 16 bits.
    Fp16,
    /// Weights of 16 bits, with the range of 32.
    Bf16,
    /// Weights of 8 bits.
    Int8,
    /// The smallest weights become zero and are not stored.
    PruneWeights,
    /// The channels that matter least are removed.
    PruneChannels,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let model = std::fs::read(&arguments.model)?;
    let engine = OnnxEngine::load(model.clone(), Device::Cpu)?;
    let mut inputs = inputs::read(&arguments.input, engine.signature())?;
    inputs::fill_in(engine.signature(), arguments.rows, &mut inputs)?;
    engine.signature().check(&inputs)?;
    let methods = arguments.method.as_ref().map_or(Method::value_variants(), std::slice::from_ref);
    for &method in methods {
        let name = method.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        println!("\n{name}");
        let compressed = match apply(method, &model, arguments.fraction) {
            Ok(compressed) => compressed,
            Err(cause) if arguments.method.is_none() => {
                println!("{cause}");
                continue;
            }
            Err(cause) => return Err(cause.into()),
        };
        if arguments.verbose {
            println!("{compressed}");
        }
        println!("{}", Report::measure(&model, &compressed.model, std::slice::from_ref(&inputs))?);
        if let Some(output) = &arguments.output {
            std::fs::write(output, &compressed.model)?;
        }
    }
    Ok(())
}

fn apply(method: Method, model: &[u8], fraction: f64) -> mlops_core::Result<Compressed> {
    match method {
        Method::Fp16 => fp16_weights(model),
        Method::Bf16 => bf16_weights(model),
        Method::Int8 => int8_weights(model),
        Method::PruneWeights => prune_magnitude(model, fraction, Scope::default()),
        Method::PruneChannels => prune_structured(model, fraction),
    }
}
