//! What the iterations of a loop give, one after the other.

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::{Kind, Length};
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, for_any, zeros};

/// Tensors of one shape and type, as one with a new first dimension.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    gathered: Option<(Shape, Data)>,
    count: usize,
}

impl Accumulator {
    /// Adds the tensor of an iteration.
    pub(super) fn push(&mut self, tensor: HostTensor, memory: &Memory) -> Result<()> {
        fn extended<T: Scalar>(mut elements: Vec<T>, more: &HostTensor, memory: &Memory) -> Result<Data> {
            memory.extend(&mut elements, more.elements()?)?;
            Ok(T::wrap(elements.into()))
        }
        self.count += 1;
        let (shape, data) = match self.gathered.take() {
            None => tensor.into_parts(),
            Some((shape, _)) if shape.as_slice() != tensor.shape() => {
                return Err(Error::engine(format!(
                    "an output of the graph inside had the shape {shape:?} and now has {:?}",
                    tensor.shape()
                )));
            }
            Some((shape, data)) => {
                (shape, for_any!(data, |elements| extended(elements.into_vec(), &tensor, memory)?))
            }
        };
        self.gathered = Some((shape, data));
        Ok(())
    }

    /// All tensors. Without any, the shape is what the file says of them, with 0 for what it leaves open.
    pub(super) fn finish(self, declared: Option<&Kind>) -> Result<HostTensor> {
        let mut shape = Shape::from_slice(&[self.count]);
        match (self.gathered, declared) {
            (Some((own, data)), _) => {
                shape.extend_from_slice(&own);
                HostTensor::from_data(shape, data)
            }
            (None, Some(Kind::Tensor { dtype, shape: lengths })) => {
                shape.extend(lengths.iter().flatten().map(|length| match length {
                    Length::Fixed(length) => *length,
                    Length::Symbol(_) | Length::Unknown => 0,
                }));
                zeros(*dtype, shape)
            }
            (None, _) => Err(Error::engine(
                "nothing was computed, and the file does not say which type the output would have had",
            )),
        }
    }
}
