//! The device's operators against the processor's, on burn's own backend for the processor (flex).

use std::path::Path;

use ::burn::tensor::Device as BurnDevice;
use mlops_core::DType;

use super::Placement;
use crate::engine::onnx::decode::{self, ExternalData};
use crate::engine::onnx::graph::{Graph, Kind, Length};
use crate::engine::onnx::ops;
use crate::engine::onnx::optimize;
use crate::engine::onnx::plan::{Plan, Workspace};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Value;
use crate::kernels::parallel::Threads;

/// Inputs of that graph: waves for floats, small numbers for integers. `None` when it takes something else.
fn inputs(graph: &Graph) -> Option<Vec<Value>> {
    let input = |id: &crate::engine::onnx::graph::ValueId| {
        let Some(Kind::Tensor { dtype, shape: Some(shape) }) = &graph.values[id.0].kind else { return None };
        let lengths = shape.iter().map(|length| match length {
            Length::Fixed(length) => *length,
            Length::Symbol(_) | Length::Unknown => 8,
        });
        let shape: Shape = lengths.collect();
        let count = shape.iter().product();
        let tensor = match dtype {
            DType::Fp32 => {
                HostTensor::new(shape, (0..count).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>())
            }
            DType::Int64 => HostTensor::new(shape, (0..count).map(|i| i as i64 % 2).collect::<Vec<_>>()),
            _ => return None,
        };
        tensor.ok().map(Value::Tensor)
    };
    graph.inputs.iter().map(input).collect()
}

fn run(plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>, String> {
    let mut workspace = Workspace::default();
    let mut outputs = plan
        .run(inputs.iter().cloned(), &mut workspace, &Threads::single(), None)
        .map_err(|cause| cause.to_string())?;
    outputs.iter_mut().try_for_each(|value| value.read_back().map_err(|cause| cause.to_string()))?;
    Ok(outputs)
}

fn largest_difference(actual: &[Value], expected: &[Value]) -> Result<f64, String> {
    let mut largest = 0.0_f64;
    for (actual, expected) in actual.iter().zip(expected) {
        let (Value::Tensor(actual), Value::Tensor(expected)) = (actual, expected) else {
            return Err("no tensors".into());
        };
        if actual.shape() != expected.shape() || actual.dtype() != expected.dtype() {
            return Err(format!("{:?} instead of {:?}", actual.shape(), expected.shape()));
        }
        let (Ok(actual), Ok(expected)) = (actual.elements::<f32>(), expected.elements::<f32>()) else {
            continue;
        };
        let scale = expected.iter().fold(1e-6_f32, |scale, value| scale.max(value.abs()));
        let differences = actual.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs() / scale));
        largest =
            differences.fold(largest, |largest, d| if d.is_nan() { f64::INFINITY } else { largest.max(d) });
    }
    Ok(largest)
}

#[test]
fn models_give_the_same_on_a_device() {
    let mut models: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("model.onnx"))
        .filter(|path| path.is_file())
        .collect();
    models.sort();
    let (mut compared, mut on_device, mut wrong) = (0, 0, Vec::new());
    for path in models {
        let name = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let mut graph =
            decode::decode(&std::fs::read(&path).unwrap().into(), &ExternalData::default()).unwrap().graph;
        optimize::optimize(&mut graph).unwrap();
        let Some(inputs) = inputs(&graph) else { continue };
        let host = Plan::new(&graph, &mut ops::build).unwrap();
        // Some models cannot take the made-up inputs; then the device need not either.
        let Ok(expected) = run(&host, &inputs) else { continue };
        let mut placement = Placement::at(BurnDevice::flex().as_dispatch().clone());
        let device = Plan::new(&graph, &mut |source| placement.build(source)).unwrap();
        compared += 1;
        on_device += usize::from(!placement.uploaded.is_empty());
        match run(&device, &inputs).and_then(|actual| largest_difference(&actual, &expected)) {
            Ok(difference) if difference <= 1e-4 => {}
            Ok(difference) => wrong.push(format!("{name}: differs by {difference:.1e}")),
            Err(what) => wrong.push(format!("{name}: {what}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        compared >= 30 && on_device >= 20,
        "only {compared} models compared, {on_device} of them on the device"
    );
}
