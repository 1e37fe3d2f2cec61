//! The ONNX project's own backend tests of single operators, as scripts/reference/node_tests.py writes them.
//!
//! They are looked for in the folder that `MLOPS_ONNX_NODE_TESTS` names, else in
//! `target/onnx-node-tests`. `MLOPS_ONNX_NODE_TEST_FILTER` runs only tests whose name contains the text.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use super::decode::{self, ExternalData};
use super::plan::{Plan, Workspace};
use super::proto::TensorProto;
use super::tensor::{Data, HostTensor};
use super::value::Value;
use crate::kernels::parallel::Threads;

/// What became of a test.
#[derive(Debug)]
enum Outcome {
    Passed,
    /// Refused at load.
    Refused(String),
    Failed(String),
}

fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MLOPS_ONNX_NODE_TESTS") {
        return Some(folder.into());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/onnx-node-tests");
    folder.is_dir().then_some(folder)
}

fn run(test: &Path) -> Outcome {
    let bytes = match std::fs::read(test.join("model.onnx")) {
        Ok(bytes) => Bytes::from(bytes),
        Err(cause) => return Outcome::Failed(cause.to_string()),
    };
    let model = match decode::decode(&bytes, &ExternalData::in_folder(test)) {
        Ok(model) => model,
        Err(cause) => return Outcome::Refused(cause.to_string()),
    };
    for optimized in [false, true] {
        let mut graph = model.graph.clone();
        if optimized && let Err(cause) = super::optimize::optimize(&mut graph) {
            return Outcome::Refused(cause.to_string());
        }
        let plan = match Plan::new(&graph, &mut super::ops::build) {
            Ok(plan) => plan,
            Err(cause) => return Outcome::Refused(cause.to_string()),
        };
        for case in 0.. {
            let folder = test.join(format!("test_data_set_{case}"));
            if !folder.is_dir() {
                break;
            }
            let values = |direction: &str, count: usize| -> Result<Vec<Value>, String> {
                (0..count).map(|index| read(&folder.join(format!("{direction}_{index}.pb")))).collect()
            };
            let (inputs, expected) =
                match (values("input", graph.inputs.len()), values("output", graph.outputs.len())) {
                    (Ok(inputs), Ok(expected)) => (inputs, expected),
                    (Err(cause), _) | (_, Err(cause)) => return Outcome::Refused(cause),
                };
            let mut workspace = Workspace::default();
            // Twice: the second run takes the plan that is specialised for these shapes, and used memory.
            for _ in 0..2 {
                let inputs = inputs.clone().into_iter();
                let run = || plan.run(inputs, &mut workspace, &Threads::single(), None);
                let outputs = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
                    Ok(Ok(outputs)) => outputs,
                    Ok(Err(cause)) => return Outcome::Failed(format!("optimized {optimized}: {cause}")),
                    Err(_) => return Outcome::Failed(format!("optimized {optimized}: panicked")),
                };
                for (index, (actual, expected)) in outputs.iter().zip(&expected).enumerate() {
                    if let Err(cause) = compare(actual, expected) {
                        return Outcome::Failed(format!("optimized {optimized}: output {index}: {cause}"));
                    }
                }
            }
        }
    }
    Outcome::Passed
}

/// A `.pb` file holds a tensor, a sequence or an optional; which, only the model says. A tensor is by far the usual.
fn read(path: &Path) -> Result<Value, String> {
    let bytes = std::fs::read(path).map_err(|cause| cause.to_string())?;
    let proto = TensorProto::decode(Bytes::from(bytes)).map_err(|cause| format!("no tensor: {cause}"))?;
    if proto.data_type.is_none() {
        return Err("a sequence or optional as input or output".into());
    }
    decode::tensor(proto).map(Value::Tensor).map_err(|cause| cause.to_string())
}

fn compare(actual: &Value, expected: &Value) -> Result<(), String> {
    let (Value::Tensor(actual), Value::Tensor(expected)) = (actual, expected) else {
        return Err("no tensors".into());
    };
    if actual.shape() != expected.shape() || actual.dtype() != expected.dtype() {
        let [a, b] = [actual, expected].map(|tensor| format!("{} {:?}", tensor.dtype(), tensor.shape()));
        return Err(format!("{a} instead of {b}"));
    }
    let (a, b) = (floats(actual), floats(expected));
    if let (Some(a), Some(b)) = (a, b) {
        let tolerance = match expected.data() {
            Data::Bf16(_) => 1e-2,
            Data::F16(_) => 2e-3,
            _ => 1e-3, // the tolerance of the ONNX project's own runner
        };
        let wrong = a.iter().zip(&b).position(|(a, b)| {
            !(a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-7 + tolerance * b.abs())
        });
        return match wrong {
            None => Ok(()),
            Some(index) => Err(format!("element {index} is {} instead of {}", a[index], b[index])),
        };
    }
    let [a, b] = [actual, expected].map(|tensor| format!("{:?}", tensor.data()));
    if a == b { Ok(()) } else { Err(format!("{a:.200} instead of {b:.200}")) }
}

fn floats(tensor: &HostTensor) -> Option<Vec<f64>> {
    match tensor.data() {
        Data::F32(elements) => Some(elements.iter().map(|&value| value.into()).collect()),
        Data::F64(elements) => Some(elements.to_vec()),
        Data::F16(elements) => Some(elements.iter().map(|&value| value.into()).collect()),
        Data::Bf16(elements) => Some(elements.iter().map(|&value| value.into()).collect()),
        _ => None,
    }
}

#[test]
fn the_backend_tests_of_onnx_pass() {
    let Some(folder) = folder() else {
        assert!(std::env::var_os("MLOPS_REQUIRE_ALL").is_none(), "the ONNX backend tests are not there");
        println!("SKIPPED: the ONNX backend tests are not there; scripts/ci-setup installs them");
        return;
    };
    let filter = std::env::var("MLOPS_ONNX_NODE_TEST_FILTER").unwrap_or_default();
    let mut tests: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    tests.sort();
    let (mut passed, mut refused, mut failed) = (0, Vec::new(), Vec::new());
    for test in tests {
        let name = test.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.contains(&filter) {
            continue;
        }
        match run(&test) {
            Outcome::Passed => passed += 1,
            Outcome::Refused(why) => refused.push(format!("{name}: {why}")),
            Outcome::Failed(why) => failed.push(format!("{name}: {why}")),
        }
    }
    for line in &refused {
        println!("refused {line}");
    }
    for line in &failed {
        println!("FAILED {line}");
    }
    println!("{passed} passed, {} refused, {} failed", refused.len(), failed.len());
    assert!(failed.is_empty());
}
