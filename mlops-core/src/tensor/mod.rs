//! The unit of data that passes through the house.

mod buffer;
mod byte_strings;
mod error;
mod json;

use std::fmt;

use bytes::Bytes;
use ndarray::{Array, ArrayD, ArrayViewD, Dimension, IxDyn};
use smallvec::SmallVec;

use crate::{DType, Element};
use buffer::Buffer;

pub use byte_strings::ByteStrings;
pub use error::TensorError;
pub(crate) use json::{ReadTensor, TensorFields, TensorJson};
pub use json::{Scalar, TensorBuilder};

#[cfg(target_endian = "big")]
compile_error!(
    "tensors hold the little-endian bytes of the Open Inference Protocol; big-endian machines are not supported"
);

/// An immutable n-dimensional array of one [`DType`], in row-major order, cheap to clone.
///
/// Memory is shared, never copied by a clone, and aligned for its type from the moment the tensor
/// exists: [`from_bytes`](Tensor::from_bytes) copies once if what comes in is not. So every later
/// [`view`](Tensor::view) borrows.
///
/// ```
/// use mlops_core::{DType, Tensor};
/// use ndarray::array;
///
/// let tensor = Tensor::from(array![[1.0_f32, 2.0], [3.0, 4.0]]); // takes the memory, no copy
/// assert_eq!((tensor.dtype(), tensor.shape()), (DType::Fp32, &[2, 2][..]));
///
/// let view = tensor.view::<f32>()?; // borrows
/// assert_eq!(view[[1, 0]], 3.0);
///
/// let array = tensor.into_array::<f32>()?; // gives the memory back, no copy
/// assert_eq!(array.sum(), 10.0);
/// # Ok::<(), mlops_core::TensorError>(())
/// ```
///
/// Equality is equality of type, shape and bytes: a NaN equals the same NaN, and 0.0 differs from -0.0.
///
/// In serde it has the form of the Open Inference Protocol, `{"shape": [2], "datatype": "FP32", "data":
/// [1.0, 2.0]}`; `data` may be flat or nested, and nesting that is ragged or contradicts the shape is an
/// error. JSON knows no NaN and no infinity, so writing one is an error too.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: SmallVec<[usize; 4]>,
    buffer: Buffer,
}

impl Tensor {
    /// Takes the elements in row-major order, without a copy.
    ///
    /// # Errors
    /// [`TensorError::ElementCount`] when their number is not the product of `shape`.
    pub fn from_vec<T: Element>(shape: &[usize], elements: Vec<T>) -> Result<Self, TensorError> {
        let expected = element_count(T::DTYPE, shape)?;
        if elements.len() != expected {
            return Err(TensorError::ElementCount {
                shape: shape.to_vec(),
                expected,
                actual: elements.len(),
            });
        }
        Ok(Self { dtype: T::DTYPE, shape: shape.into(), buffer: Buffer::from_vec(elements) })
    }

    /// Takes raw little-endian elements in row-major order, as the binary extension of the protocol
    /// carries them (a BYTES element is a 4-byte length and its bytes).
    ///
    /// No copy is made if the bytes are aligned for `dtype`; if not, they are copied here, once.
    ///
    /// # Errors
    /// When the number of bytes does not fit type and shape, a BOOL is neither 0 nor 1, or the lengths of
    /// BYTES elements do not add up.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: impl Into<Bytes>) -> Result<Self, TensorError> {
        let bytes = bytes.into();
        let elements = element_count(dtype, shape)?;
        if let Some(size) = dtype.size() {
            let expected = elements * size; // `element_count` has ruled out overflow
            if bytes.len() != expected {
                let (shape, actual) = (shape.to_vec(), bytes.len());
                return Err(TensorError::ByteCount { dtype, shape, expected, actual });
            }
        } else {
            byte_strings::check(shape, elements, &bytes)?;
        }
        if dtype == DType::Bool
            && let Some(index) = bytes.iter().position(|byte| *byte > 1)
        {
            return Err(TensorError::NotBool { index, value: bytes[index] });
        }
        Ok(Self { dtype, shape: shape.into(), buffer: aligned(dtype, bytes) })
    }

    /// A BYTES tensor of the given strings, in row-major order.
    ///
    /// ```
    /// use mlops_core::Tensor;
    ///
    /// let cities = Tensor::from_byte_strings(&[2], ["Oslo", "Rome"])?;
    /// assert_eq!(cities.strings()?, ["Oslo", "Rome"]);
    /// # Ok::<(), mlops_core::TensorError>(())
    /// ```
    ///
    /// # Errors
    /// [`TensorError::ElementCount`] when their number is not the product of `shape`;
    /// [`TensorError::ElementTooLong`] for a string of 4 GiB or more.
    pub fn from_byte_strings<S: AsRef<[u8]>>(
        shape: &[usize],
        strings: impl IntoIterator<Item = S>,
    ) -> Result<Self, TensorError> {
        let expected = element_count(DType::Bytes, shape)?;
        let (actual, bytes) = byte_strings::encode(strings)?;
        if actual != expected {
            return Err(TensorError::ElementCount { shape: shape.to_vec(), expected, actual });
        }
        Ok(Self { dtype: DType::Bytes, shape: shape.into(), buffer: Buffer::Bytes(bytes.into()) })
    }

    /// The type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The length of each dimension, outermost first. Empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The raw little-endian bytes, borrowed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.as_bytes()
    }

    /// The raw little-endian bytes, shared: no copy is made.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.buffer.to_shared()
    }

    /// The elements in row-major order, borrowed.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] when the tensor holds another type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], TensorError> {
        let wrong = || TensorError::WrongDType { expected: T::DTYPE, actual: self.dtype };
        if self.dtype != T::DTYPE {
            return Err(wrong());
        }
        // Alignment, length and bit patterns were checked on entry, so this cast succeeds.
        bytemuck::checked::try_cast_slice(self.as_bytes()).map_err(|_| wrong())
    }

    /// The tensor as an ndarray view, borrowed.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] when the tensor holds another type.
    pub fn view<T: Element>(&self) -> Result<ArrayViewD<'_, T>, TensorError> {
        let elements = self.as_slice::<T>()?;
        ArrayViewD::from_shape(IxDyn(&self.shape), elements).map_err(|_| self.shape_overflow())
    }

    /// The tensor as an owned ndarray: without a copy if it was made from an array or a vector of `T` and
    /// this is the last clone of it, else copied.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] when the tensor holds another type.
    pub fn into_array<T: Element>(self) -> Result<ArrayD<T>, TensorError> {
        if self.dtype != T::DTYPE {
            return Err(TensorError::WrongDType { expected: T::DTYPE, actual: self.dtype });
        }
        let Self { dtype, shape, buffer } = self;
        let elements = match buffer.into_vec::<T>() {
            Ok(elements) => elements,
            Err(buffer) => Self { dtype, shape: shape.clone(), buffer }.as_slice::<T>()?.to_vec(),
        };
        ArrayD::from_shape_vec(IxDyn(&shape), elements)
            .map_err(|_| TensorError::ShapeOverflow { shape: shape.to_vec(), dtype })
    }

    /// The elements of a BYTES tensor, borrowed, in row-major order.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] when the tensor holds another type.
    pub fn byte_strings(&self) -> Result<ByteStrings<'_>, TensorError> {
        if self.dtype != DType::Bytes {
            return Err(TensorError::WrongDType { expected: DType::Bytes, actual: self.dtype });
        }
        Ok(ByteStrings::new(self.len(), self.as_bytes()))
    }

    /// The elements of a BYTES tensor as text, borrowed, in row-major order.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] when the tensor holds another type, [`TensorError::NotUtf8`] when an
    /// element is no text.
    pub fn strings(&self) -> Result<Vec<&str>, TensorError> {
        self.byte_strings()?
            .enumerate()
            .map(|(index, bytes)| std::str::from_utf8(bytes).map_err(|_| TensorError::NotUtf8 { index }))
            .collect()
    }

    /// The same elements in another shape, without a copy.
    ///
    /// # Errors
    /// [`TensorError::ElementCount`] when the shapes differ in their number of elements.
    pub fn reshape(mut self, shape: &[usize]) -> Result<Self, TensorError> {
        let expected = element_count(self.dtype, shape)?;
        if expected != self.len() {
            return Err(TensorError::ElementCount { shape: shape.to_vec(), expected, actual: self.len() });
        }
        self.shape = shape.into();
        Ok(self)
    }

    /// The index of the first NaN or infinity, in row-major order; `None` when all elements are finite or
    /// the type knows only finite values.
    #[must_use]
    pub fn first_not_finite(&self) -> Option<usize> {
        fn position<T: Element>(tensor: &Tensor, finite: impl Fn(&T) -> bool) -> Option<usize> {
            tensor.as_slice::<T>().ok()?.iter().position(|value| !finite(value))
        }
        match self.dtype {
            DType::Fp16 => position::<half::f16>(self, |value| value.is_finite()),
            DType::Bf16 => position::<half::bf16>(self, |value| value.is_finite()),
            DType::Fp32 => position::<f32>(self, |value| value.is_finite()),
            DType::Fp64 => position::<f64>(self, |value| value.is_finite()),
            _ => None,
        }
    }

    fn shape_overflow(&self) -> TensorError {
        TensorError::ShapeOverflow { shape: self.shape.to_vec(), dtype: self.dtype }
    }
}

/// Takes the memory of the array without a copy if it is contiguous in row-major order; otherwise (a
/// transposed array, say) its elements are copied into that order.
impl<T: Element, D: Dimension> From<Array<T, D>> for Tensor {
    fn from(array: Array<T, D>) -> Self {
        let shape = SmallVec::from_slice(array.shape());
        let len = array.len();
        let elements = if array.is_standard_layout() {
            let (mut elements, offset) = array.into_raw_vec_and_offset();
            if let Some(offset @ 1..) = offset {
                elements.drain(..offset);
            }
            elements.truncate(len);
            elements
        } else {
            array.iter().copied().collect()
        };
        Self { dtype: T::DTYPE, shape, buffer: Buffer::from_vec(elements) }
    }
}

/// A tensor of rank 1.
impl<T: Element> From<Vec<T>> for Tensor {
    fn from(elements: Vec<T>) -> Self {
        let shape = SmallVec::from_slice(&[elements.len()]);
        Self { dtype: T::DTYPE, shape, buffer: Buffer::from_vec(elements) }
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Tensor {}

/// Type and shape only: requests are logged, their data is not.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?})", self.dtype, &self.shape[..])
    }
}

/// The product of the shape, if an array of that many elements (and their bytes) can exist at all.
///
/// As in ndarray, the product of the non-zero lengths must fit too, so that an empty tensor of absurd
/// shape is refused here rather than at its first view.
fn element_count(dtype: DType, shape: &[usize]) -> Result<usize, TensorError> {
    let size = dtype.size().unwrap_or(1);
    let extent = shape
        .iter()
        .filter(|length| **length != 0)
        .try_fold(size, |product, length| product.checked_mul(*length))
        .filter(|bytes| isize::try_from(*bytes).is_ok());
    match extent {
        None => Err(TensorError::ShapeOverflow { shape: shape.to_vec(), dtype }),
        Some(_) if shape.contains(&0) => Ok(0),
        Some(bytes) => Ok(bytes / size),
    }
}

/// The bytes in memory that is aligned for elements of `dtype`.
fn aligned(dtype: DType, bytes: Bytes) -> Buffer {
    fn keep_or_copy<T: Element + bytemuck::AnyBitPattern>(bytes: Bytes) -> Buffer {
        if bytes.as_ptr().addr().is_multiple_of(align_of::<T>()) {
            Buffer::Bytes(bytes)
        } else {
            Buffer::from_vec(bytemuck::allocation::pod_collect_to_vec::<u8, T>(&bytes))
        }
    }
    match dtype.size() {
        Some(2) => keep_or_copy::<u16>(bytes),
        Some(4) => keep_or_copy::<u32>(bytes),
        Some(8) => keep_or_copy::<u64>(bytes),
        _ => Buffer::Bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_owned_array_goes_in_and_comes_back_without_a_copy() {
        let array = Array2::<f32>::zeros((16, 64));
        let address = array.as_ptr();
        let tensor = Tensor::from(array);
        assert_eq!(tensor.view::<f32>().unwrap().as_ptr(), address);
        assert_eq!(tensor.as_bytes().as_ptr(), address.cast());
        assert_eq!(tensor.to_bytes().as_ptr(), address.cast());
        assert_eq!(tensor.clone().view::<f32>().unwrap().as_ptr(), address);
        assert_eq!(tensor.into_array::<f32>().unwrap().as_ptr(), address);
    }

    #[test]
    fn a_shared_tensor_is_copied_out_and_stays_intact() {
        let tensor = Tensor::from(array![1_i64, 2, 3]);
        let mut array = tensor.clone().into_array::<i64>().unwrap();
        array[0] = 9;
        assert_eq!(tensor.as_slice::<i64>().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn aligned_bytes_are_shared_and_misaligned_ones_copied_once() {
        let source = Bytes::from_owner(AlignedBytes([0_u64; 4]));
        let aligned = Tensor::from_bytes(DType::Fp32, &[4], source.slice(8..24)).unwrap();
        assert_eq!(aligned.as_bytes().as_ptr(), source[8..].as_ptr());

        let misaligned = Tensor::from_bytes(DType::Fp32, &[4], source.slice(1..17)).unwrap();
        assert_ne!(misaligned.as_bytes().as_ptr(), source[1..].as_ptr());
        assert_eq!(misaligned.view::<f32>().unwrap().len(), 4);
    }

    struct AlignedBytes([u64; 4]);

    impl AsRef<[u8]> for AlignedBytes {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }

    #[test]
    fn transposed_and_sliced_arrays_keep_their_meaning() {
        let array = array![[1_u8, 2, 3], [4, 5, 6]];
        assert_eq!(Tensor::from(array.clone().reversed_axes()).as_slice::<u8>().unwrap(), [1, 4, 2, 5, 3, 6]);
        let lower = array.slice_move(ndarray::s![1.., ..]);
        assert_eq!(Tensor::from(lower).as_slice::<u8>().unwrap(), [4, 5, 6]);
    }

    #[test]
    fn every_fixed_size_type_round_trips_through_its_bytes() {
        fn check<T: Element>(elements: &[T]) {
            let tensor = Tensor::from(elements.to_vec());
            let again = Tensor::from_bytes(T::DTYPE, tensor.shape(), tensor.to_bytes()).unwrap();
            assert_eq!(again, tensor);
            assert_eq!(again.as_slice::<T>().unwrap(), elements);
        }
        check(&[true, false]);
        check(&[0_u8, u8::MAX]);
        check(&[0_u16, u16::MAX]);
        check(&[0_u32, u32::MAX]);
        check(&[0_u64, u64::MAX]);
        check(&[i8::MIN, i8::MAX]);
        check(&[i16::MIN, i16::MAX]);
        check(&[i32::MIN, i32::MAX]);
        check(&[i64::MIN, i64::MAX]);
        check(&[f16::MIN, f16::MAX]);
        check(&[bf16::MIN, bf16::MAX]);
        check(&[f32::MIN, f32::MAX]);
        check(&[f64::MIN, f64::MAX]);
    }

    #[test]
    fn wrong_counts_types_and_patterns_are_named() {
        assert_eq!(
            Tensor::from_vec(&[2, 2], vec![1_u8, 2, 3]).unwrap_err().to_string(),
            "shape [2, 2] holds 4 elements, but 3 came"
        );
        assert_eq!(
            Tensor::from_bytes(DType::Fp32, &[2], vec![0_u8; 7]).unwrap_err().to_string(),
            "FP32 of shape [2] takes 8 bytes, but 7 came"
        );
        assert_eq!(
            Tensor::from_bytes(DType::Bool, &[3], vec![0_u8, 1, 7]).unwrap_err(),
            TensorError::NotBool { index: 2, value: 7 }
        );
        assert_eq!(
            Tensor::from(vec![1_i64]).view::<f32>().unwrap_err().to_string(),
            "expected data type FP32, but the tensor holds INT64"
        );
        for shape in [&[usize::MAX, 2][..], &[1 << 62, 2], &[usize::MAX, usize::MAX, 0]] {
            let error = Tensor::from_bytes(DType::Fp64, shape, Bytes::new()).unwrap_err();
            assert!(matches!(error, TensorError::ShapeOverflow { .. }), "{error}");
        }
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_found_in_every_float_type() {
        assert_eq!(Tensor::from(vec![1.0_f32, f32::NAN]).first_not_finite(), Some(1));
        assert_eq!(Tensor::from(vec![f64::INFINITY]).first_not_finite(), Some(0));
        assert_eq!(Tensor::from(vec![f16::ONE, f16::NAN]).first_not_finite(), Some(1));
        assert_eq!(Tensor::from(vec![bf16::ONE, bf16::NEG_INFINITY]).first_not_finite(), Some(1));
        assert_eq!(Tensor::from(vec![1.0_f32, 2.0]).first_not_finite(), None);
        assert_eq!(Tensor::from(vec![1_i64]).first_not_finite(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            dtype in 0..DType::ALL.len(),
            shape in prop::collection::vec(prop_oneof![0..5_usize, Just(usize::MAX), Just(1 << 40)], 0..5),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            if let Ok(tensor) = Tensor::from_bytes(DType::ALL[dtype], &shape, bytes) {
                let _ = (tensor.first_not_finite(), tensor.byte_strings().map(Iterator::count));
                let _ = (tensor.view::<f32>().is_ok(), tensor.view::<bool>().is_ok());
                let _ = (serde_json::to_string(&tensor).is_ok(), tensor.strings().is_ok());
            }
        }
    }
}
