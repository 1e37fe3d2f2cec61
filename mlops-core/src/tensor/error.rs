//! What can be wrong with a tensor by itself.

use crate::DType;

/// A tensor that cannot be built, read or written as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The shape declares more elements or bytes than memory can address.
    #[error("shape {shape:?} overflows: {dtype} of that shape has more bytes than fit into memory")]
    ShapeOverflow {
        /// The declared shape.
        shape: Vec<usize>,
        /// The declared type.
        dtype: DType,
    },
    /// The number of elements is not the product of the shape.
    #[error("shape {shape:?} holds {expected} elements, but {actual} came")]
    ElementCount {
        /// The declared shape.
        shape: Vec<usize>,
        /// The product of the shape.
        expected: usize,
        /// How many elements there are.
        actual: usize,
    },
    /// The number of bytes is not what type and shape demand.
    #[error("{dtype} of shape {shape:?} takes {expected} bytes, but {actual} came")]
    ByteCount {
        /// The declared type.
        dtype: DType,
        /// The declared shape.
        shape: Vec<usize>,
        /// How many bytes type and shape demand.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// The tensor holds another type than was asked for.
    #[error("expected data type {expected}, but the tensor holds {actual}")]
    WrongDType {
        /// The type asked for.
        expected: DType,
        /// The type of the tensor.
        actual: DType,
    },
    /// A byte of a BOOL tensor is neither 0 nor 1.
    #[error("element {index} of a BOOL tensor is {value}; only 0 and 1 are allowed")]
    NotBool {
        /// Which element, in row-major order.
        index: usize,
        /// The byte found.
        value: u8,
    },
    /// A BYTES tensor ends in the middle of an element.
    #[error(
        "element {index} of a BYTES tensor is truncated: it needs {expected} bytes, but {actual} are left"
    )]
    Truncated {
        /// Which element, in row-major order.
        index: usize,
        /// How many bytes the element needs, its 4-byte length included.
        expected: usize,
        /// How many are left.
        actual: usize,
    },
    /// An element of a BYTES tensor is longer than its 4-byte length can say.
    #[error("element {index} of a BYTES tensor has {length} bytes; at most 4294967295 are allowed")]
    ElementTooLong {
        /// Which element, in row-major order.
        index: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// An element of a BYTES tensor was asked for as text, but is not UTF-8.
    #[error("element {index} of a BYTES tensor is not UTF-8; JSON carries text only, send it as binary")]
    NotUtf8 {
        /// Which element, in row-major order.
        index: usize,
    },
    /// A floating-point element cannot be written as JSON.
    #[error("element {index} is {value}, which JSON cannot express; send the tensor as binary")]
    NotFinite {
        /// Which element, in row-major order.
        index: usize,
        /// NaN or an infinity.
        value: f64,
    },
    /// A JSON value does not fit the data type: 300 for UINT8, 1.5 for INT64, text for FP32.
    #[error("element {index} is {value}, which is no {dtype}")]
    WrongElement {
        /// Which element, in row-major order.
        index: usize,
        /// What came, shortened.
        value: String,
        /// The declared type.
        dtype: DType,
    },
    /// Nested JSON arrays of different lengths at the same depth.
    #[error("ragged data: at depth {depth} an array has {actual} items where its sibling has {expected}")]
    Ragged {
        /// How deep, the outermost array being 0.
        depth: usize,
        /// The length of the first array at that depth.
        expected: usize,
        /// The length of the one that differs.
        actual: usize,
    },
    /// Nested JSON arrays whose nesting is not the declared shape.
    #[error("the data is nested as {actual:?}, but the declared shape is {expected:?}")]
    NestedShape {
        /// The declared shape.
        expected: Vec<usize>,
        /// The lengths of the nested arrays.
        actual: Vec<usize>,
    },
}
