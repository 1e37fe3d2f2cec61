//! furnace-server, around the same engine as ours: what differs is the server.

use furnace::{HostTensor, IoSpec, Model, ModelError, Server, TensorModel, Values};
use mlops_core::{DType, Dimension, Engine, Tensor, TensorSpec, Tensors};
use mlops_serve::engine::onnx::OnnxEngine;

use super::Ports;
use crate::{Failure, MODEL_NAME};

pub(super) async fn serve(engine: OnnxEngine, batch: usize, ports: Ports) -> Result<(), Failure> {
    let specs = |specs: &[TensorSpec]| specs.iter().map(spec).collect::<Result<Vec<_>, Failure>>();
    let inputs = specs(engine.signature().inputs())?;
    let outputs = specs(engine.signature().outputs())?;
    Server::new()
        .port(ports.http)
        .max_batch_size(batch)
        .configure(|config| config.grpc_port = Some(ports.grpc))
        .model(Model::custom(Served { engine, inputs, outputs }))
        .serve()
        .await?;
    Ok(())
}

/// The engine as furnace knows models.
#[derive(Debug)]
struct Served {
    engine: OnnxEngine,
    inputs: Vec<IoSpec>,
    outputs: Vec<IoSpec>,
}

/// Without the batch, which furnace keeps apart.
fn spec(spec: &TensorSpec) -> Result<IoSpec, Failure> {
    let (DType::Fp32, [Dimension::Batch, items @ ..]) = (spec.dtype(), spec.shape()) else {
        return Err(format!("`{}` is {spec}; furnace is measured with FP32 [batch, ...]", spec.name()).into());
    };
    let shape: Vec<Option<usize>> = items
        .iter()
        .map(|dimension| match dimension {
            Dimension::Fixed(length) => Some(*length),
            Dimension::Batch | Dimension::Free => None,
        })
        .collect();
    Ok(IoSpec::new(spec.name(), furnace::DataType::Fp32, &shape))
}

impl TensorModel for Served {
    fn name(&self) -> &str {
        MODEL_NAME
    }

    fn backend(&self) -> &str {
        "cpu"
    }

    fn inputs(&self) -> Vec<IoSpec> {
        self.inputs.clone()
    }

    fn outputs(&self) -> Vec<IoSpec> {
        self.outputs.clone()
    }

    fn run(&self, inputs: Vec<HostTensor>) -> furnace::Result<Vec<HostTensor>> {
        self.compute(inputs).map_err(|cause| ModelError::InferenceFailed(cause.to_string()).into())
    }
}

impl Served {
    fn compute(&self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, Failure> {
        let mut tensors = Tensors::new();
        for (spec, HostTensor { shape, values }) in self.inputs.iter().zip(inputs) {
            let Values::F32(values) = values else { return Err("furnace gave integers".into()) };
            tensors.insert(spec.name.as_str(), Tensor::from_vec(&shape, values)?);
        }
        let outputs = self.engine.run(&tensors)?;
        let output = |spec: &IoSpec| {
            let tensor = outputs.require(&spec.name)?;
            let values = Values::F32(tensor.as_slice::<f32>()?.to_vec());
            Ok(HostTensor { shape: tensor.shape().to_vec(), values })
        };
        self.outputs.iter().map(output).collect()
    }
}
