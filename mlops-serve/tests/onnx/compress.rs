//! Optimised artifacts are valid ONNX: onnxruntime answers with them what this engine answers with them. They are
//! smaller, and not far from the models they were made from.
//!
//! `MLOPS_BENCH_MODELS=FOLDER cargo test --release -p mlops-serve --test onnx figures -- --ignored --nocapture`
//! prints what each optimisation gains and costs; `python scripts/reference/generate.py FOLDER --bench` makes the models.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;

use mlops_core::{Engine, Error, Result, Tensor, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::OnnxEngine;
use mlops_serve::engine::onnx::compress::{
    Compressed, Report, Scope, bf16_weights, fp16_weights, int8_weights, prune_magnitude, prune_structured,
};

use crate::support::compare::difference;
use crate::support::reference::{Reference, folders, python};

/// How far an output may be from onnxruntime's, as a share of its largest magnitude.
const TOLERANCE: f64 = 1e-4;

/// The rows of the digits from which the model was trained.
const LEARNED: usize = 1437;

type Optimisation = fn(&[u8]) -> Result<Compressed>;

/// Every optimisation, and some one after another.
const OPTIMISATIONS: [(&str, Optimisation); 9] = [
    ("fp16_weights", fp16_weights),
    ("bf16_weights", bf16_weights),
    ("int8_weights", int8_weights),
    ("prune_magnitude_80", |model| prune_magnitude(model, 0.8, Scope::Tensor)),
    ("prune_magnitude_80_model", |model| prune_magnitude(model, 0.8, Scope::Model)),
    ("prune_magnitude_80_fp16", |model| fp16_weights(&prune_magnitude(model, 0.8, Scope::Tensor)?.model)),
    ("prune_magnitude_80_int8", |model| int8_weights(&prune_magnitude(model, 0.8, Scope::Tensor)?.model)),
    ("prune_structured_25", |model| prune_structured(model, 0.25)),
    ("prune_structured_25_int8", |model| int8_weights(&prune_structured(model, 0.25)?.model)),
];

#[test]
fn trained_digits_stay_readable() {
    let model = committed("digits");
    let (samples, labels) = digits(100);
    for (name, optimise) in OPTIMISATIONS {
        let compressed = optimise(&model).unwrap();
        let report = Report::measure_with_labels(&model, &compressed.model, &samples, &labels).unwrap();
        println!("{name}\n{report}\n");
        assert!(compressed.model.len() < model.len(), "{name}");
        assert_eq!(report.bytes_after, compressed.model.len());
        let (before, after) = report.accuracy.unwrap();
        assert!(before > 0.9, "{name}: {before}");
        let (loss, relative, top_1) = match name {
            "fp16_weights" => (0.001, 1e-3, 0.999),
            "bf16_weights" => (0.006, 1e-2, 0.99),
            "int8_weights" => (0.006, 2e-2, 0.99),
            _ => (0.25, 1.0, 0.75),
        };
        assert!(before - after <= loss, "{name}: accuracy {before} before and {after} after");
        let [scores] = report.outputs.as_slice() else { panic!("{:?}", report.outputs) };
        assert!(scores.max_relative <= relative, "{name}: {report}");
        assert!(scores.top_1.unwrap() >= top_1, "{name}: {report}");
    }
}

#[test]
fn a_report_of_the_same_model_twice_finds_no_difference() {
    let model = committed("digits");
    let (samples, labels) = digits(1);
    let report = Report::measure_with_labels(&model, &model, &samples[..20], &labels[..20]).unwrap();
    let [scores] = report.outputs.as_slice() else { panic!("{:?}", report.outputs) };
    assert_eq!((scores.max_absolute, scores.max_relative, scores.top_1), (0.0, 0.0, Some(1.0)));
    assert!((scores.cosine - 1.0).abs() < 1e-9);
    assert_eq!(report.bytes_before, report.bytes_after);
    assert!(report.to_string().contains("accuracy"));
}

#[test]
fn a_report_needs_samples_and_models_that_compare() {
    let (model, other) = (committed("digits"), committed("mlp"));
    let (samples, labels) = digits(1);
    let invalid = |result: Result<Report>| matches!(result, Err(Error::InvalidInput(_)));
    assert!(invalid(Report::measure(&model, &model, &[])));
    assert!(invalid(Report::measure(&model, b"no model", &samples[..1])));
    assert!(Report::measure(&model, &other, &samples[..1]).is_err());
    assert!(invalid(Report::measure_with_labels(&model, &model, &samples[..2], &labels[..1])));
    assert!(invalid(Report::measure_with_labels(&model, &model, &samples[..1], &[vec![0, 1]])));
}

#[test]
fn damaged_models_are_refused_or_changed_but_never_panic() {
    for name in ["digits", "mlp", "bert", "mobilenet_v2", "lstm", "two_towers", "quantized_mlp"] {
        let model = committed(name);
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for round in 0..60 {
            let mut damaged = model.clone();
            if round % 4 == 0 {
                damaged.truncate(next(model.len()));
            } else {
                // Early bytes are those of nodes; later ones are mostly weights.
                let within = if round % 2 == 0 { model.len() } else { model.len().min(3000) };
                (0..=round % 5).for_each(|_| damaged[next(within)] = next(256) as u8);
            }
            for (way, optimise) in OPTIMISATIONS {
                match catch_unwind(|| optimise(&damaged)) {
                    Ok(Ok(_) | Err(Error::InvalidInput(_) | Error::Unsupported { .. })) => {}
                    Ok(Err(other)) => panic!("{name}, {way}, round {round}: {other}"),
                    Err(_) => panic!("{name}, {way}, round {round}: panicked"),
                }
            }
        }
    }
}

#[test]
fn what_cannot_become_smaller_is_refused() {
    let forests = committed("random_forest");
    for (name, optimise) in OPTIMISATIONS {
        let refused = optimise(&forests).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{name}: {refused}");
    }
    let digits = committed("digits");
    let refused = prune_magnitude(&digits, 0.2, Scope::Tensor).unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }) && refused.to_string().contains("smaller"));
    for sparsity in [0.0, 1.0, -1.0, f64::NAN] {
        let refused = prune_magnitude(&digits, sparsity, Scope::Model);
        assert!(matches!(refused, Err(Error::InvalidInput(_))), "{sparsity}");
    }
    let halved = fp16_weights(&digits).unwrap();
    assert!(matches!(fp16_weights(&halved.model), Err(Error::Unsupported { .. })), "twice is once");
}

#[test]
fn onnxruntime_answers_the_same_with_every_artifact() {
    let Some(python) = python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    if cfg!(debug_assertions) {
        println!("the artifacts are compared with --release: without optimisation it takes minutes");
        return;
    }
    let references = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compressed-from");
    let run = |script: &str, folder: &Path| {
        let status =
            Command::new(&python).arg(root.join("scripts/reference").join(script)).arg(folder).status();
        assert!(status.unwrap().success(), "{script} failed");
    };
    run("generate.py", &references);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compressed-models");
    let _ = fs::remove_dir_all(&folder);
    let mut made = 0;
    for reference in [
        "heavy_mlp",
        "mlp_softmax",
        "digits",
        "resnet18",
        "mobilenet_v2",
        "efficientnet",
        "bert",
        "gpt2",
        "bidirectional_lstm",
        "two_towers",
    ] {
        let origin = references.join(reference);
        let model = fs::read(origin.join("model.onnx")).unwrap();
        for (name, optimise) in OPTIMISATIONS {
            let compressed = match optimise(&model) {
                Ok(compressed) => compressed,
                Err(Error::Unsupported { what }) => {
                    println!("{reference}: no {name}: {what}");
                    continue;
                }
                Err(other) => panic!("{reference}, {name}: {other}"),
            };
            let place = folder.join(format!("{reference}.{name}"));
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("model.onnx"), &compressed.model).unwrap();
            fs::write(place.join("made_from"), origin.to_str().unwrap()).unwrap();
            made += 1;
        }
    }
    assert!(made >= 75, "only {made} artifacts");
    run("answer.py", &folder);
    let mut failures = Vec::new();
    for folder in folders(&folder) {
        let reference = Reference::read(&folder);
        match worst_difference(&reference) {
            Ok(worst) => println!("{:44} {worst:9.1e}", reference.name),
            Err(what) => failures.push(format!("{}: {what}", reference.name)),
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    fs::remove_dir_all(&folder).unwrap();
}

fn worst_difference(reference: &Reference) -> Result<f64, String> {
    let mut worst = 0.0_f64;
    let engine = OnnxEngine::load(reference.model.clone(), Device::Cpu).map_err(|cause| cause.to_string())?;
    for case in &reference.cases {
        let outputs = engine.run(&case.inputs).map_err(|cause| cause.to_string())?;
        for (name, expected) in case.outputs.iter() {
            let actual = outputs.get(name).ok_or("an output is missing")?;
            let difference = difference(expected, actual, TOLERANCE);
            worst = worst.max(difference.map_err(|what| format!("output `{name}` {what}"))?);
        }
    }
    Ok(worst)
}

#[test]
#[ignore = "measures: give it a quiet machine, the release profile and MLOPS_BENCH_MODELS"]
fn figures() {
    let models =
        std::env::var("MLOPS_BENCH_MODELS").unwrap_or_else(|_| panic!("MLOPS_BENCH_MODELS is not set"));
    let filter = std::env::var("MLOPS_REFERENCE_MODELS").unwrap_or_default();
    println!(
        "| model | optimisation | bytes | smaller | ms before | ms after | faster | max relative | cosine | same top | accuracy |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let more: [(&str, Optimisation); 3] = [
        ("prune_magnitude_50", |model| prune_magnitude(model, 0.5, Scope::Tensor)),
        ("prune_structured_50", |model| prune_structured(model, 0.5)),
        ("prune_structured_50_fp16", |model| fp16_weights(&prune_structured(model, 0.5)?.model)),
    ];
    for name in ["digits", "heavy_mlp", "resnet18", "mobilenet_v2", "bert", "lstm"] {
        if !name.contains(&filter) {
            continue;
        }
        let reference = Reference::read(&Path::new(&models).join(name));
        let (samples, labels) = match name {
            "digits" => digits(1),
            _ => (reference.cases.iter().take(1).map(|case| case.inputs.clone()).collect(), Vec::new()),
        };
        for (optimisation, optimise) in OPTIMISATIONS.into_iter().chain(more) {
            let compressed = match optimise(&reference.model) {
                Ok(compressed) => compressed,
                Err(cause) => {
                    println!("| {name} | {optimisation} | {cause} |");
                    continue;
                }
            };
            let report = if labels.is_empty() {
                Report::measure(&reference.model, &compressed.model, &samples)
            } else {
                Report::measure_with_labels(&reference.model, &compressed.model, &samples, &labels)
            };
            println!("| {name} | {optimisation} | {} |", row(&report.unwrap()));
        }
    }
}

fn row(report: &Report) -> String {
    let [before, after] = [report.latency_before, report.latency_after].map(|time| 1e3 * time.as_secs_f64());
    let last = report.outputs.last().unwrap();
    format!(
        "{} | {:.2} | {before:.4} | {after:.4} | {:.2} | {:.1e} | {:.5} | {} | {}",
        report.bytes_after,
        report.bytes_before as f64 / report.bytes_after as f64,
        before / after,
        last.max_relative,
        last.cosine,
        last.top_1.map_or_else(String::new, |share| format!("{:.1} %", 100.0 * share)),
        report.accuracy.map_or_else(String::new, |(a, b)| format!("{:.1} -> {:.1} %", 100.0 * a, 100.0 * b)),
    )
}

fn committed(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx").join(name);
    fs::read(folder.join("model.onnx")).unwrap()
}

/// The digits that the model was not trained on, in batches, and what they are.
fn digits(batch: usize) -> (Vec<Tensors>, Vec<Vec<usize>>) {
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/data/digits.csv");
    let text = fs::read_to_string(csv).unwrap();
    let rows: Vec<Vec<u8>> = text
        .lines()
        .skip(1 + LEARNED)
        .map(|row| row.split(',').map(|n| n.parse().unwrap()).collect())
        .collect();
    assert_eq!(rows.len(), 1797 - LEARNED);
    let batches = rows.chunks(batch).map(|rows| {
        let pixels: Vec<f32> =
            rows.iter().flat_map(|row| row[..64].iter().map(|&pixel| pixel.into())).collect();
        let pixels = Tensor::from_vec(&[rows.len(), 64], pixels).unwrap();
        (Tensors::new().with("pixels", pixels), rows.iter().map(|row| row[64].into()).collect())
    });
    batches.unzip()
}
