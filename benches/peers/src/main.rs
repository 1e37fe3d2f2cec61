//! Latency, load time and memory of ONNX models: `mlops-serve` beside onnxruntime, tract and burn's generated code.
//!
//! ```text
//! python scripts/reference/generate.py target/bench-models --bench
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- \
//!     --models target/bench-models --onnxruntime PATH/libonnxruntime.so
//! ```
//!
//! The systems take turns, a few calls each, so that a change in the machine's mood meets all of them. Ratios are of
//! medians within one run.

mod inputs;
mod measure;
mod peer;

use std::path::PathBuf;
use std::process::Command;

use clap::Parser;

use measure::Measured;
use peer::{Kind, Setup};

#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with one folder for each model.
    #[arg(long)]
    models: PathBuf,
    /// onnxruntime's shared library, as PyPI's package has it in `onnxruntime/capi`.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Only models whose name contains one of these texts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these systems.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<Kind>,
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    batches: Vec<usize>,
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Seconds for each combination of model, batch and threads, shared by the systems.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Two callers at once instead of one: how much more they get done.
    #[arg(long)]
    scaling: bool,
    /// For ours: the time of each step of one call, the longest first.
    #[arg(long)]
    profile: bool,
    /// Measures load time and peak memory of one system on one model, in this process, and nothing else.
    #[arg(long, hide = true)]
    footprint: Option<PathBuf>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(model) = &arguments.footprint {
        return measure::print_footprint(arguments.systems[0], &setup(&arguments, model.clone(), 1, 1));
    }
    let mut models: Vec<PathBuf> = std::fs::read_dir(&arguments.models)?
        .filter_map(|entry| Some(entry.ok()?.path().join("model.onnx")))
        .filter(|path| path.is_file())
        .filter(|path| {
            let name = name(path);
            arguments.only.is_empty() || arguments.only.iter().any(|text| name.contains(text.as_str()))
        })
        .collect();
    models.sort();
    let systems = if arguments.systems.is_empty() { Kind::all().to_vec() } else { arguments.systems.clone() };
    for model in models {
        if arguments.profile {
            measure::print_profile(&setup(&arguments, model, arguments.batches[0], arguments.threads[0]))?;
            continue;
        }
        for &threads in &arguments.threads {
            for &batch in &arguments.batches {
                let setup = setup(&arguments, model.clone(), batch, threads);
                report(&systems, &setup, arguments.seconds, arguments.scaling);
            }
        }
        if !arguments.scaling {
            footprints(&systems, &arguments, &model)?;
        }
    }
    Ok(())
}

fn setup(arguments: &Arguments, model: PathBuf, batch: usize, threads: usize) -> Setup {
    Setup { model, batch, threads, onnxruntime: arguments.onnxruntime.clone() }
}

fn name(model: &std::path::Path) -> String {
    let folder = model.parent().and_then(|folder| folder.file_name());
    folder.unwrap_or_default().to_string_lossy().into_owned()
}

fn report(systems: &[Kind], setup: &Setup, seconds: f64, scaling: bool) {
    let name = name(&setup.model);
    println!("{name}, batch {}, threads {}", setup.batch, setup.threads);
    if scaling {
        for &system in systems {
            match measure::scaling(system, setup, seconds) {
                Ok(ratio) => {
                    println!("    {system:<12} two callers get {ratio:.2} times as much done as one")
                }
                Err(cause) => println!("    {system:<12} {cause}"),
            }
        }
        return;
    }
    let measured = measure::side_by_side(systems, setup, seconds);
    let reference = measured
        .iter()
        .find(|(system, _)| *system == Kind::Onnxruntime)
        .and_then(|(_, result)| result.as_ref().ok().map(Measured::median));
    for (system, result) in &measured {
        match result {
            Ok(times) => {
                let median = times.median();
                let ratio = reference
                    .map_or(String::new(), |reference| format!("{:6.2} x onnxruntime", median / reference));
                println!(
                    "    {system:<12} median {:>10.1} us  p99 {:>10.1} us  {:>10.0} rows/s  {ratio}",
                    median * 1e6,
                    times.quantile(0.99) * 1e6,
                    setup.batch as f64 / median,
                );
            }
            Err(cause) => println!("    {system:<12} {cause}"),
        }
    }
}

/// Each system in a process of its own, so that memory is its own.
fn footprints(systems: &[Kind], arguments: &Arguments, model: &std::path::Path) -> Result<(), Failure> {
    println!("{}, load time and peak memory", name(model));
    for system in systems {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--models").arg(&arguments.models).arg("--footprint").arg(model);
        command.arg("--systems").arg(system.to_string());
        if let Some(library) = &arguments.onnxruntime {
            command.arg("--onnxruntime").arg(library);
        }
        let output = command.output()?;
        let text = if output.status.success() { output.stdout } else { output.stderr };
        let text = String::from_utf8_lossy(&text);
        // A cause may come with a backtrace.
        println!("    {system:<12} {}", text.lines().next().unwrap_or_default());
    }
    Ok(())
}
