//! The same plan on a GPU: steps that burn can compute run there, the others on the processor.
//!
//! Floating-point tensors live on the device from the first step that is worth the way; integers, booleans and
//! strings stay where shapes and indices are needed. A step with no operator for the device reads its inputs
//! back. So every model that loads for the processor loads for every device.

mod elementwise;
mod layout;
mod lower;
mod network;
mod tensor;
#[cfg(all(test, feature = "cpu"))]
mod tests;

use std::collections::HashMap;

use ::burn::backend::DispatchDevice;
use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::graph::{Graph, ValueId};
use super::ops::{self, Context, Operator, Outputs, Source};
use super::value::{Inputs, Value};
use crate::engine::Device;

pub(crate) use tensor::DeviceTensor;

/// Makes the operators of a plan for a device.
#[derive(Debug)]
pub(crate) struct Placement {
    device: DispatchDevice,
    /// Constants that are on the device already.
    uploaded: HashMap<ValueId, DeviceTensor>,
}

impl Placement {
    /// A placement on a device, which is opened.
    pub(crate) fn on(device: &Device) -> Result<Self> {
        Ok(Self::at(device.open()?.as_dispatch().clone()))
    }

    pub(crate) fn at(device: DispatchDevice) -> Self {
        Self { device, uploaded: HashMap::new() }
    }

    /// The operator of a node, on the device if it can be there.
    pub(crate) fn build(&mut self, source: &Source<'_>) -> Result<Box<dyn Operator>> {
        let Some(lowered) = lower::lower(source)? else {
            return Ok(Box::new(OnProcessor(ops::build(source)?)));
        };
        let constants: Vec<Option<DeviceTensor>> = source
            .node
            .inputs
            .iter()
            .map(|input| self.constant(source.graph, *input))
            .collect::<Result<_>>()?;
        Ok(Box::new(OnDevice {
            operator: lowered.operator,
            always: lowered.always,
            otherwise: if lowered.always { None } else { Some(ops::build(source)?) },
            constants,
            device: self.device.clone(),
        }))
    }

    fn constant(&mut self, graph: &Graph, input: Option<ValueId>) -> Result<Option<DeviceTensor>> {
        let (Some(id), Some(tensor)) = (input, graph.constant(input)) else { return Ok(None) };
        if tensor.elements::<f32>().is_err() || tensor.is_empty() {
            return Ok(None);
        }
        if let Some(uploaded) = self.uploaded.get(&id) {
            return Ok(Some(uploaded.clone()));
        }
        let uploaded = DeviceTensor::upload(tensor, &self.device)?;
        self.uploaded.insert(id, uploaded.clone());
        Ok(Some(uploaded))
    }
}

/// What a node computes, on the device.
pub(super) trait DeviceOperator: std::fmt::Debug + Send + Sync {
    /// Computes the outputs, or declines with `None`: the operator of the processor then does it.
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<Option<SmallVec<[DeviceTensor; 1]>>>;
}

/// The inputs of a [`DeviceOperator`].
pub(super) struct DeviceInputs<'a> {
    values: &'a Inputs<'a>,
    constants: &'a [Option<DeviceTensor>],
    pub(super) device: &'a DispatchDevice,
}

impl DeviceInputs<'_> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.values.has(index)
    }

    /// The floating-point tensor at that place, on the device; `None` if it is of another type.
    pub(super) fn float(&self, index: usize) -> Result<Option<DeviceTensor>> {
        if let Some(Some(constant)) = self.constants.get(index) {
            return Ok(Some(constant.clone()));
        }
        match self.values.value(index)? {
            Value::Device(tensor) => Ok(Some(tensor.clone())),
            Value::Tensor(tensor) if tensor.elements::<f32>().is_ok() && !tensor.is_empty() => {
                DeviceTensor::upload(tensor, self.device).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The tensor at that place, which is on the processor.
    pub(super) fn host(&self, index: usize) -> Result<&super::tensor::HostTensor> {
        self.values.tensor(index)
    }
}

/// A step on the device, if its inputs are there or it is worth the way; else on the processor.
#[derive(Debug)]
struct OnDevice {
    operator: Box<dyn DeviceOperator>,
    always: bool,
    otherwise: Option<Box<dyn Operator>>,
    constants: Vec<Option<DeviceTensor>>,
    device: DispatchDevice,
}

impl Operator for OnDevice {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if self.always || inputs.any_on_device() {
            let mut arguments =
                DeviceInputs { values: inputs, constants: &self.constants, device: &self.device };
            if let Some(outputs) = self.operator.run(&mut arguments)? {
                return Ok(outputs.into_iter().map(Value::Device).collect());
            }
        }
        match &self.otherwise {
            Some(operator) => {
                inputs.read_back()?;
                operator.run(inputs, context)
            }
            None => {
                Err(Error::engine("its inputs are of a type or shape it cannot compute with on this device"))
            }
        }
    }
}

/// A step that the device has no operator for.
#[derive(Debug)]
struct OnProcessor(Box<dyn Operator>);

impl Operator for OnProcessor {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        inputs.read_back()?;
        self.0.run(inputs, context)
    }
}
