//! A tensor from values that come one by one.

use std::fmt;

use super::super::{Tensor, TensorError};
use super::elements::{Elements, Scalar};
use super::nesting::Nesting;
use crate::DType;

/// Takes the values of nested arrays one by one, in row-major order, straight into memory of their type, and proves that
/// the arrays are not ragged: what a reader of JSON, CSV or the like needs that knows the type beforehand.
///
/// Depths count the arrays around a value or an array. Every array is closed with its length, the inner ones first.
///
/// ```
/// use mlops_core::{DType, Scalar, TensorBuilder};
///
/// let mut builder = TensorBuilder::new(DType::Fp32); // [[1, 2.5], [3, 4]]
/// for row in [[Scalar::Unsigned(1), Scalar::Float(2.5)], [Scalar::Unsigned(3), Scalar::Unsigned(4)]] {
///     for value in row {
///         builder.push(value, 2)?;
///     }
///     builder.close_array(1, row.len())?;
/// }
/// builder.close_array(0, 2)?;
///
/// let tensor = builder.build(&[2, 2])?;
/// assert_eq!(tensor.as_slice::<f32>()?, [1.0, 2.5, 3.0, 4.0]);
/// # Ok::<(), mlops_core::TensorError>(())
/// ```
pub struct TensorBuilder {
    dtype: DType,
    values: NestedValues,
}

/// The same while the type may still be unknown.
pub(super) struct NestedValues {
    elements: Elements,
    nesting: Nesting,
}

impl TensorBuilder {
    /// No value yet, of a tensor of that type.
    #[must_use]
    pub fn new(dtype: DType) -> Self {
        Self { dtype, values: NestedValues::new(Some(dtype), 0) }
    }

    /// Takes the next value, which has `depth` arrays around it.
    ///
    /// # Errors
    /// [`TensorError::WrongElement`] when it does not fit the type; [`TensorError::Ragged`] when values before it had
    /// another depth.
    #[inline]
    pub fn push(&mut self, value: Scalar<'_>, depth: usize) -> Result<(), TensorError> {
        self.values.push(value, depth)
    }

    /// Ends an array of that length, which has `depth` arrays around it.
    ///
    /// # Errors
    /// [`TensorError::Ragged`] when one before it at the same depth had another length.
    pub fn close_array(&mut self, depth: usize, length: usize) -> Result<(), TensorError> {
        self.values.close_array(depth, length)
    }

    /// The lengths of the arrays closed until now, the outermost first.
    #[must_use]
    pub fn nested_shape(&self) -> Vec<usize> {
        self.values.nesting.shape()
    }

    /// The tensor of that shape. Values in one array or none may have any shape of so many elements.
    ///
    /// # Errors
    /// [`TensorError::NestedShape`] when the arrays are nested otherwise; [`TensorError::ElementCount`] when the number
    /// of values is not the product of `shape`.
    pub fn build(self, shape: &[usize]) -> Result<Tensor, TensorError> {
        self.values.build(self.dtype, shape)
    }
}

impl NestedValues {
    /// Values of an unknown type are kept until it is known. There will be about `expected` of them.
    pub(super) fn new(dtype: Option<DType>, expected: usize) -> Self {
        let elements = match dtype {
            Some(dtype) => Elements::with_capacity(dtype, expected),
            None => Elements::Untyped(Vec::new()),
        };
        Self { elements, nesting: Nesting::default() }
    }

    #[inline]
    pub(super) fn push(&mut self, value: Scalar<'_>, depth: usize) -> Result<(), TensorError> {
        self.nesting.scalar(depth)?;
        self.elements.push(value)
    }

    pub(super) fn close_array(&mut self, depth: usize, length: usize) -> Result<(), TensorError> {
        self.nesting.array(depth, length)
    }

    pub(super) fn build(self, dtype: DType, shape: &[usize]) -> Result<Tensor, TensorError> {
        let nested_shape = self.nesting.shape();
        if nested_shape.len() > 1 && nested_shape != shape {
            return Err(TensorError::NestedShape { expected: shape.to_vec(), actual: nested_shape });
        }
        self.elements.into_tensor(dtype, shape)
    }
}

/// Type and nesting only, as of tensors.
impl fmt::Debug for TensorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorBuilder")
            .field("dtype", &self.dtype)
            .field("nested_shape", &self.nested_shape())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_stand_beside_text() {
        let mut builder = TensorBuilder::new(DType::Bytes);
        builder.push(Scalar::Bytes(&[0xff, 0]), 1).unwrap();
        builder.push(Scalar::Text("text"), 1).unwrap();
        let tensor = builder.build(&[2]).unwrap();
        assert_eq!(tensor.byte_strings().unwrap().collect::<Vec<_>>(), [&[0xff, 0][..], b"text"]);
        let error = TensorBuilder::new(DType::Fp32).push(Scalar::Bytes(&[0xff, 0]), 1).unwrap_err();
        assert_eq!(error.to_string(), "element 0 is 2 bytes, which is no FP32");
    }

    #[test]
    fn rows_of_different_length_are_refused_at_the_row() {
        let mut builder = TensorBuilder::new(DType::Int8);
        builder.push(Scalar::Signed(-1), 2).unwrap();
        builder.close_array(1, 1).unwrap();
        builder.push(Scalar::Signed(-2), 2).unwrap();
        builder.push(Scalar::Signed(-3), 2).unwrap();
        assert_eq!(builder.close_array(1, 2), Err(TensorError::Ragged { depth: 1, expected: 1, actual: 2 }));
    }

    #[test]
    fn a_value_without_an_array_is_a_scalar() {
        let mut builder = TensorBuilder::new(DType::Bool);
        builder.push(Scalar::Bool(true), 0).unwrap();
        assert!(builder.nested_shape().is_empty());
        assert_eq!(builder.build(&[]).unwrap().as_slice::<bool>().unwrap(), [true]);
    }
}
