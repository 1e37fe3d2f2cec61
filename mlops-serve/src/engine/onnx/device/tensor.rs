//! Tensors in the memory of a device.

use std::fmt;

use ::burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use ::burn::backend::{Dispatch, DispatchDevice, DispatchTensor};
use ::burn::tensor::{Shape as BurnShape, Tensor as BurnTensor, TensorData};
use mlops_core::{Error, Result};

use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};

/// An n-dimensional array of FP32 on a device, cheap to clone.
///
/// burn has no tensors without dimensions: such a one is a vector of one element there.
#[derive(Clone)]
pub(crate) struct DeviceTensor {
    shape: Shape,
    tensor: DispatchTensor,
}

impl fmt::Debug for DeviceTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceTensor").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl DeviceTensor {
    /// What burn has computed, which must have that shape but for the rank of a scalar.
    pub(super) fn new(shape: impl Into<Shape>, tensor: DispatchTensor) -> Self {
        Self { shape: shape.into(), tensor }
    }

    /// What burn has computed, in the shape burn gives it.
    pub(super) fn of(tensor: DispatchTensor) -> Self {
        use ::burn::backend::TensorMetadata;
        let shape = Shape::from_slice(tensor.shape().as_slice());
        Self { shape, tensor }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn rank(&self) -> usize {
        self.shape.len()
    }

    pub(super) fn into_burn(self) -> DispatchTensor {
        self.tensor
    }

    /// The same elements in another shape of the same size.
    pub(super) fn reshaped(self, shape: &[usize]) -> Result<Self> {
        if element_count(shape)? != element_count(&self.shape)? {
            let from = &self.shape;
            return Err(Error::engine(format!("the shape {from:?} cannot become {shape:?}")));
        }
        if *self.shape == *shape {
            return Ok(self);
        }
        let tensor = Dispatch::float_reshape(self.tensor, burn_shape(shape));
        Ok(Self { shape: Shape::from_slice(shape), tensor })
    }

    /// With dimensions of length one in front, so that it has that rank.
    pub(super) fn with_rank(self, rank: usize) -> Result<Self> {
        if self.rank() >= rank {
            return Ok(self);
        }
        let mut shape = Shape::from_elem(1, rank - self.rank());
        shape.extend_from_slice(&self.shape);
        self.reshaped(&shape)
    }

    /// Copies a tensor of FP32 to the device.
    pub(super) fn upload(tensor: &HostTensor, device: &DispatchDevice) -> Result<Self> {
        let elements = tensor.elements::<f32>()?.to_vec();
        let data = TensorData::new(elements, burn_shape(tensor.shape()));
        let shape = Shape::from_slice(tensor.shape());
        Ok(Self { shape, tensor: Dispatch::float_from_data(data, device) })
    }

    /// Reads the elements back; waits for the device.
    pub(crate) fn download(&self) -> Result<HostTensor> {
        let count = element_count(&self.shape)?;
        let flat = Dispatch::float_reshape(self.tensor.clone(), BurnShape::from(vec![count]));
        let data = BurnTensor::<1>::from_dispatch(flat)
            .try_into_data()
            .map_err(|cause| Error::unavailable(format!("the device does not give its results: {cause}")))?;
        let elements = data
            .try_into_vec_as::<f32>()
            .map_err(|cause| Error::engine(format!("the device gives another type than FP32: {cause}")))?;
        HostTensor::new(self.shape.clone(), elements)
    }
}

/// Integers on the device, as indices.
pub(super) fn upload_integers(
    integers: Vec<i64>,
    shape: &[usize],
    device: &DispatchDevice,
) -> DispatchTensor {
    Dispatch::int_from_data(TensorData::new(integers, burn_shape(shape)), device)
}

/// Booleans on the device, as a mask.
pub(super) fn upload_booleans(
    booleans: Vec<bool>,
    shape: &[usize],
    device: &DispatchDevice,
) -> DispatchTensor {
    Dispatch::bool_from_data(TensorData::new(booleans, burn_shape(shape)), device)
}

/// burn's form of a shape: a scalar has one dimension there.
pub(super) fn burn_shape(shape: &[usize]) -> BurnShape {
    if shape.is_empty() { BurnShape::from(vec![1]) } else { BurnShape::from(shape.to_vec()) }
}
