//! What flows between the steps of a plan.

use std::sync::Arc;

use mlops_core::{Error, Result};

use super::tensor::{HostTensor, Scalar};

/// A value of a graph at run time.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Tensor(HostTensor),
    Sequence(Arc<Vec<HostTensor>>),
    /// An optional that holds nothing.
    Nothing,
    /// A tensor in the memory of a GPU.
    #[cfg(feature = "burn")]
    Device(super::device::DeviceTensor),
}

impl From<HostTensor> for Value {
    fn from(tensor: HostTensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<Vec<HostTensor>> for Value {
    fn from(tensors: Vec<HostTensor>) -> Self {
        Self::Sequence(Arc::new(tensors))
    }
}

impl Value {
    /// Reads a tensor back from the memory of a device.
    #[cfg(feature = "burn")]
    pub(crate) fn read_back(&mut self) -> Result<()> {
        if let Self::Device(tensor) = self {
            *self = Self::Tensor(tensor.download()?);
        }
        Ok(())
    }

    /// The tensor.
    pub(crate) fn into_tensor(self) -> Result<HostTensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            other => Err(Error::engine(format!("a tensor is needed, not {}", other.kind()))),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Tensor(_) => "a tensor",
            Self::Sequence(_) => "a sequence",
            Self::Nothing => "an empty optional",
            #[cfg(feature = "burn")]
            Self::Device(_) => "a tensor on the device",
        }
    }
}

/// The inputs of an operator: explicit ones first, then the values its subgraphs capture.
///
/// A value that nobody needs afterwards is owned by nobody else, so that taking it and working in place costs no
/// copy.
#[derive(Debug)]
pub(crate) struct Inputs<'a>(&'a mut [Option<Value>]);

impl<'a> Inputs<'a> {
    pub(crate) fn new(values: &'a mut [Option<Value>]) -> Self {
        Self(values)
    }

    /// The number of inputs, left-out ones included.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the input at that place is given.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(Option::is_some)
    }

    /// The tensor at that place.
    pub(crate) fn tensor(&self, index: usize) -> Result<&HostTensor> {
        self.optional(index)?.ok_or_else(|| missing(index))
    }

    /// The tensor at that place; `None` when it is left out.
    pub(crate) fn optional(&self, index: usize) -> Result<Option<&HostTensor>> {
        match self.0.get(index).and_then(Option::as_ref) {
            None => Ok(None),
            Some(Value::Tensor(tensor)) => Ok(Some(tensor)),
            Some(other) => Err(wrong(index, other, "a tensor")),
        }
    }

    /// The elements of the tensor at that place, which must be of type `T`.
    pub(crate) fn elements<T: Scalar>(&self, index: usize) -> Result<&[T]> {
        self.tensor(index)?.elements()
    }

    /// The integers at that place; `None` when it is left out.
    pub(crate) fn optional_i64s(&self, index: usize) -> Result<Option<Vec<i64>>> {
        self.optional(index)?.map(HostTensor::to_i64s).transpose()
    }

    /// Every tensor, in order; left-out ones are skipped.
    pub(crate) fn tensors(&self) -> Result<Vec<&HostTensor>> {
        (0..self.len()).filter_map(|index| self.optional(index).transpose()).collect()
    }

    /// Takes the tensor at that place away.
    pub(crate) fn take(&mut self, index: usize) -> Result<HostTensor> {
        match self.take_value(index)? {
            Value::Tensor(tensor) => Ok(tensor),
            other => Err(wrong(index, &other, "a tensor")),
        }
    }

    /// The sequence at that place.
    pub(crate) fn sequence(&self, index: usize) -> Result<&Arc<Vec<HostTensor>>> {
        match self.value(index)? {
            Value::Sequence(tensors) => Ok(tensors),
            other => Err(wrong(index, other, "a sequence")),
        }
    }

    /// Takes the sequence at that place away: its tensors for changing, in place when nobody else has them.
    pub(crate) fn take_sequence(&mut self, index: usize) -> Result<Vec<HostTensor>> {
        match self.take_value(index)? {
            Value::Sequence(tensors) => Ok(Arc::unwrap_or_clone(tensors)),
            other => Err(wrong(index, &other, "a sequence")),
        }
    }

    /// Whatever is at that place.
    pub(crate) fn value(&self, index: usize) -> Result<&Value> {
        self.0.get(index).and_then(Option::as_ref).ok_or_else(|| missing(index))
    }

    /// Whether any of them is in the memory of a device.
    #[cfg(feature = "burn")]
    pub(crate) fn any_on_device(&self) -> bool {
        self.0.iter().any(|value| matches!(value, Some(Value::Device(_))))
    }

    /// Reads back what is in the memory of a device.
    #[cfg(feature = "burn")]
    pub(crate) fn read_back(&mut self) -> Result<()> {
        for value in self.0.iter_mut().flatten() {
            value.read_back()?;
        }
        Ok(())
    }

    /// Takes whatever is at that place away.
    pub(crate) fn take_value(&mut self, index: usize) -> Result<Value> {
        self.0.get_mut(index).and_then(Option::take).ok_or_else(|| missing(index))
    }
}

fn missing(index: usize) -> Error {
    Error::engine(format!("input {index} is missing"))
}

fn wrong(index: usize, value: &Value, wanted: &str) -> Error {
    let kind = value.kind();
    Error::engine(format!("input {index} must be {wanted}, not {kind}"))
}
