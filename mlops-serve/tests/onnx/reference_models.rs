//! The ONNX engine computes what onnxruntime computes, on whole models.
//!
//! Small models are committed. Larger ones are generated where Python is there with the packages of
//! `scripts/reference/requirements.txt`: the interpreter is `MLOPS_REFERENCE_PYTHON`, else the one that
//! `scripts/ci-setup` installs. `MLOPS_REFERENCE_MODELS=bert` runs only models whose name contains the text.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use mlops_core::{Engine, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::{OnnxEngine, OnnxOptions};

use crate::support::compare::difference;
use crate::support::reference::{Case, Reference, folders, python};

/// How far an output may be from onnxruntime's, as a share of its largest magnitude.
const TOLERANCE: f64 = 1e-4;

#[test]
fn committed_models_answer_as_onnxruntime_does() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx"), &on_the_processor());
}

/// What is run on GPUs. The first run on a device compiles and tunes its kernels: seconds on a GPU, a minute for each model
/// on software Vulkan. `MLOPS_REFERENCE_MODELS=` runs all of them.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
const ON_GPUS: [&str; 3] = ["bert", "bert_fused", "detector_suppressed"];

/// A GPU, or software Vulkan.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
#[test]
fn committed_models_answer_so_on_every_gpu() {
    let gpus: Vec<Way> = Device::available()
        .into_iter()
        .filter(|available| available.device != Device::Cpu)
        .map(|available| Way {
            name: available.to_string(),
            device: available.device,
            options: OnnxOptions::new(),
        })
        .collect();
    if gpus.is_empty() {
        crate::support::skip("there is no GPU and no software Vulkan: scripts/ci-setup installs the latter");
        return;
    }
    let all = std::env::var_os("MLOPS_REFERENCE_MODELS").is_some();
    let chosen = |name: &str| all || ON_GPUS.contains(&name);
    check_some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx"), &gpus, &chosen);
}

#[test]
fn generated_models_answer_as_onnxruntime_does() {
    let Some(python) = python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    if cfg!(debug_assertions) && std::env::var_os("MLOPS_REFERENCE_MODELS").is_none() {
        println!("the generated models are checked with --release: without optimisation they take minutes");
        return;
    }
    let models = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference-models");
    let generator = root.join("scripts/reference/generate.py");
    let status = Command::new(python).arg(generator).arg(&models).status().unwrap();
    assert!(status.success(), "the generator of reference models failed: {status}");
    check(&models, &on_the_processor());
}

/// How a model is run.
struct Way {
    name: String,
    device: Device,
    options: OnnxOptions,
}

fn on_the_processor() -> Vec<Way> {
    let threads = NonZeroUsize::MIN.saturating_add(1);
    let ways = [
        ("as written", OnnxOptions::new().without_optimization()),
        ("optimized", OnnxOptions::new()),
        ("on two threads", OnnxOptions::new().with_threads(threads)),
    ];
    ways.map(|(name, options)| Way { name: name.to_owned(), device: Device::Cpu, options }).into()
}

/// Runs every case of every model in the folder and prints a table; fails at the end if anything was wrong.
fn check(root: &Path, ways: &[Way]) {
    check_some(root, ways, &|_| true);
}

fn check_some(root: &Path, ways: &[Way], chosen: &dyn Fn(&str) -> bool) {
    let filter = std::env::var("MLOPS_REFERENCE_MODELS").unwrap_or_default();
    let mut failures = Vec::new();
    let mut count = 0;
    println!("{:32} {:>5} {:>9} {:>8}", "model", "cases", "error", "seconds");
    for folder in folders(root) {
        let reference = Reference::read(&folder);
        if !reference.name.contains(&filter) || !chosen(&reference.name) {
            continue;
        }
        count += 1;
        let began = Instant::now();
        let (worst, wrong) = answers(&reference, ways);
        let verdict = if wrong.is_empty() { format!("{worst:9.1e}") } else { format!("{:>9}", "WRONG") };
        let seconds = began.elapsed().as_secs_f64();
        println!("{:32} {:5} {verdict} {seconds:8.2}", reference.name, reference.cases.len());
        failures.extend(wrong.into_iter().map(|what| format!("{}: {what}", reference.name)));
    }
    assert!(count > 0, "no model's name contains `{filter}`");
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// The largest difference over all cases, and everything that is wrong.
fn answers(reference: &Reference, ways: &[Way]) -> (f64, Vec<String>) {
    let mut worst = 0.0_f64;
    let mut wrong = Vec::new();
    for Way { name: way, device, options } in ways {
        let load = || OnnxEngine::load_with(reference.model.clone(), device.clone(), options);
        let engine = match caught(load) {
            Ok(engine) => engine,
            Err(cause) => {
                wrong.push(format!("{way}: not loaded: {cause}"));
                break; // for the other ways, the reason would be the same
            }
        };
        for (number, case) in reference.cases.iter().enumerate() {
            let mut report =
                |what: String| wrong.push(format!("{way}, case {number} (batch {}): {what}", case.batch));
            if let Err(violations) = engine.signature().check(&case.inputs) {
                report(format!("the signature refuses the inputs: {violations}"));
            }
            match caught(|| engine.run(&case.inputs)) {
                Ok(outputs) => {
                    if let Err(violations) = engine.signature().check_outputs(&outputs) {
                        report(format!("the signature does not fit the outputs: {violations}"));
                    }
                    worst = worst.max(compare(case, &outputs, &mut report));
                }
                Err(cause) => report(cause),
            }
        }
    }
    (worst, wrong)
}

fn compare(case: &Case, outputs: &Tensors, report: &mut impl FnMut(String)) -> f64 {
    let mut worst = 0.0_f64;
    for (name, expected) in case.outputs.iter() {
        let compared = match outputs.get(name) {
            Some(actual) => difference(expected, actual, TOLERANCE),
            None => Err("is not there".to_owned()),
        };
        match compared {
            Ok(difference) => worst = worst.max(difference),
            Err(what) => report(format!("output `{name}` {what}")),
        }
    }
    worst
}

/// What `action` gives, or in words why it failed, by error or panic.
fn caught<T>(action: impl FnOnce() -> mlops_core::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => result.map_err(|cause| cause.to_string()),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("panicked: {}", message.unwrap_or_default()))
        }
    }
}
