//! Tensors in the memory of the processor, as operators see them.

use std::ops::Deref;
use std::sync::Arc;

use half::{bf16, f16};
use mlops_core::{DType, Element, Error, Result, Tensor};
use smallvec::SmallVec;

use super::limits::largest_tensor;

/// The length of each dimension, outermost first.
pub(crate) type Shape = SmallVec<[usize; 6]>;

/// Elements in row-major order: owned and shared by reference count, or the memory of a tensor of the caller.
///
/// Cloning shares. [`into_vec`](Self::into_vec) gives the memory back for working in place when nobody else has it.
#[derive(Debug, Clone)]
pub(crate) struct Buffer<T>(Memory<T>);

#[derive(Debug, Clone)]
enum Memory<T> {
    Owned(Arc<Vec<T>>),
    /// A tensor of type `T`; checked when the buffer was made.
    Caller(Arc<dyn Lent<T>>),
}

/// Memory that belongs to a tensor from outside.
trait Lent<T>: Send + Sync + std::fmt::Debug {
    fn elements(&self) -> &[T];
}

impl<T: Element> Lent<T> for Tensor {
    fn elements(&self) -> &[T] {
        self.as_slice().unwrap_or(&[])
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Memory::Owned(elements) => elements,
            Memory::Caller(tensor) => tensor.elements(),
        }
    }
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(elements: Vec<T>) -> Self {
        Self(Memory::Owned(Arc::new(elements)))
    }
}

impl<T: Clone> Buffer<T> {
    /// The elements for writing: the very memory when this is its only owner, a copy when not.
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self.0 {
            Memory::Owned(elements) => Arc::unwrap_or_clone(elements),
            Memory::Caller(tensor) => tensor.elements().to_vec(),
        }
    }

    /// The elements, when nobody else has them.
    pub(crate) fn into_unshared(self) -> Option<Vec<T>> {
        match self.0 {
            Memory::Owned(elements) => Arc::into_inner(elements),
            Memory::Caller(_) => None,
        }
    }

    /// Whether this is the only owner, so that [`into_vec`](Self::into_vec) will not copy.
    pub(crate) fn is_unshared(&self) -> bool {
        matches!(&self.0, Memory::Owned(elements) if Arc::strong_count(elements) == 1)
    }
}

macro_rules! element_types {
    ($($variant:ident $type:ty, $dtype:ident;)*) => {
        /// The elements of a tensor, by type.
        #[derive(Debug, Clone)]
        pub(crate) enum Data {
            $($variant(Buffer<$type>),)*
        }

        $(impl Scalar for $type {
            const DTYPE: DType = DType::$dtype;

            fn wrap(buffer: Buffer<Self>) -> Data {
                Data::$variant(buffer)
            }

            fn unwrap(data: &Data) -> Option<&Buffer<Self>> {
                match data {
                    Data::$variant(buffer) => Some(buffer),
                    _ => None,
                }
            }

            fn take(data: Data) -> std::result::Result<Buffer<Self>, Data> {
                match data {
                    Data::$variant(buffer) => Ok(buffer),
                    other => Err(other),
                }
            }
        })*

        impl Data {
            /// The type of the elements; strings are BYTES.
            pub(crate) fn dtype(&self) -> DType {
                match self {
                    $(Self::$variant(_) => <$type as Scalar>::DTYPE,)*
                }
            }

            pub(crate) fn len(&self) -> usize {
                match self {
                    $(Self::$variant(buffer) => buffer.len(),)*
                }
            }
        }
    };
}

/// A type of which tensors are made.
pub(crate) trait Scalar:
    Clone + PartialEq + Default + Send + Sync + std::fmt::Debug + 'static
{
    const DTYPE: DType;
    fn wrap(buffer: Buffer<Self>) -> Data;
    fn unwrap(data: &Data) -> Option<&Buffer<Self>>;
    fn take(data: Data) -> std::result::Result<Buffer<Self>, Data>;
}

element_types! {
    Bool bool, Bool;
    U8 u8, Uint8;
    U16 u16, Uint16;
    U32 u32, Uint32;
    U64 u64, Uint64;
    I8 i8, Int8;
    I16 i16, Int16;
    I32 i32, Int32;
    I64 i64, Int64;
    F16 f16, Fp16;
    Bf16 bf16, Bf16;
    F32 f32, Fp32;
    F64 f64, Fp64;
    Text String, Bytes;
}

/// Runs an expression with the elements of any type: `for_any!(tensor.data(), |elements| elements.len())`.
macro_rules! for_any {
    ($data:expr, |$buffer:ident| $body:expr) => {
        match $data {
            $crate::engine::onnx::tensor::Data::Bool($buffer) => $body,
            $crate::engine::onnx::tensor::Data::U8($buffer) => $body,
            $crate::engine::onnx::tensor::Data::U16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::U32($buffer) => $body,
            $crate::engine::onnx::tensor::Data::U64($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I8($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I32($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I64($buffer) => $body,
            $crate::engine::onnx::tensor::Data::F16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::Bf16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::F32($buffer) => $body,
            $crate::engine::onnx::tensor::Data::F64($buffer) => $body,
            $crate::engine::onnx::tensor::Data::Text($buffer) => $body,
        }
    };
}

/// Runs an expression with the elements when they are numbers, and another when they are booleans or strings:
/// `for_numbers!(tensor.data(), |elements| .., other => ..)`.
macro_rules! for_numbers {
    ($data:expr, |$buffer:ident| $body:expr, $other:ident => $otherwise:expr) => {
        match $data {
            $crate::engine::onnx::tensor::Data::U8($buffer) => $body,
            $crate::engine::onnx::tensor::Data::U16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::U32($buffer) => $body,
            $crate::engine::onnx::tensor::Data::U64($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I8($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I32($buffer) => $body,
            $crate::engine::onnx::tensor::Data::I64($buffer) => $body,
            $crate::engine::onnx::tensor::Data::F16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::Bf16($buffer) => $body,
            $crate::engine::onnx::tensor::Data::F32($buffer) => $body,
            $crate::engine::onnx::tensor::Data::F64($buffer) => $body,
            $other => $otherwise,
        }
    };
}

pub(crate) use {for_any, for_numbers};

/// An n-dimensional array in the memory of the processor, in row-major order, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HostTensor {
    shape: Shape,
    data: Data,
}

impl HostTensor {
    /// Takes the elements; their number must be the product of the shape.
    pub(crate) fn new<T: Scalar>(shape: impl Into<Shape>, elements: impl Into<Buffer<T>>) -> Result<Self> {
        Self::from_data(shape.into(), T::wrap(elements.into()))
    }

    pub(crate) fn from_data(shape: Shape, data: Data) -> Result<Self> {
        let expected = element_count(&shape)?;
        if data.len() != expected {
            let actual = data.len();
            return Err(Error::engine(format!("{actual} elements do not make the shape {shape:?}")));
        }
        Ok(Self { shape, data })
    }

    /// A tensor without dimensions.
    pub(crate) fn scalar<T: Scalar>(element: T) -> Self {
        Self { shape: Shape::new(), data: T::wrap(vec![element].into()) }
    }

    /// A tensor of one dimension.
    pub(crate) fn vector<T: Scalar>(elements: Vec<T>) -> Self {
        let shape = Shape::from_slice(&[elements.len()]);
        Self { shape, data: T::wrap(elements.into()) }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.len() == 0
    }

    pub(crate) fn dtype(&self) -> DType {
        self.data.dtype()
    }

    pub(crate) fn data(&self) -> &Data {
        &self.data
    }

    pub(crate) fn into_parts(self) -> (Shape, Data) {
        (self.shape, self.data)
    }

    /// The elements, which must be of type `T`.
    pub(crate) fn elements<T: Scalar>(&self) -> Result<&[T]> {
        match T::unwrap(&self.data) {
            Some(buffer) => Ok(buffer),
            None => Err(self.wrong_type(T::DTYPE)),
        }
    }

    /// The elements for writing; a copy only when somebody else has them too.
    pub(crate) fn into_elements<T: Scalar>(self) -> Result<Vec<T>> {
        match T::take(self.data) {
            Ok(buffer) => Ok(buffer.into_vec()),
            Err(data) => Err(Self { shape: self.shape, data }.wrong_type(T::DTYPE)),
        }
    }

    /// Whether nobody else has the elements, so that writing to them costs no copy.
    pub(crate) fn is_unshared(&self) -> bool {
        for_any!(&self.data, |elements| elements.is_unshared())
    }

    /// The same elements in another shape of the same size.
    pub(crate) fn reshaped(self, shape: impl Into<Shape>) -> Result<Self> {
        Self::from_data(shape.into(), self.data)
    }

    /// Integers of any width as `i64`: indices, axes, shapes.
    pub(crate) fn to_i64s(&self) -> Result<Vec<i64>> {
        match &self.data {
            Data::I64(elements) => Ok(elements.to_vec()),
            Data::I32(elements) => Ok(elements.iter().map(|&value| value.into()).collect()),
            Data::I16(elements) => Ok(elements.iter().map(|&value| value.into()).collect()),
            Data::I8(elements) => Ok(elements.iter().map(|&value| value.into()).collect()),
            Data::U8(elements) => Ok(elements.iter().map(|&value| value.into()).collect()),
            Data::U16(elements) => Ok(elements.iter().map(|&value| value.into()).collect()),
            Data::U32(elements) => Ok(elements.iter().map(|&value| value.into()).collect()),
            _ => Err(self.wrong_type(DType::Int64)),
        }
    }

    /// The only element of a tensor of one element, which must be of type `T`.
    pub(crate) fn to_scalar<T: Scalar>(&self) -> Result<T> {
        match self.elements::<T>()? {
            [only] => Ok(only.clone()),
            several => Err(Error::engine(format!("one element is needed, not {}", several.len()))),
        }
    }

    fn wrong_type(&self, wanted: DType) -> Error {
        let dtype = self.dtype();
        Error::engine(format!("{wanted} is needed, not {dtype}"))
    }
}

/// The number of elements of a shape.
///
/// # Errors
/// When there are more than [a tensor may have](largest_tensor), lengths of 0 left aside: so that no product of some of
/// the lengths overflows either.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize> {
    let largest = largest_tensor();
    let all = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length.max(1)));
    match all {
        Some(count) if count <= largest => Ok(if shape.contains(&0) { 0 } else { count }),
        _ => Err(Error::invalid_input(format!(
            "the shape {shape:?} has more elements than the {largest} a tensor may have"
        ))),
    }
}

/// An input of a call: its memory is read where it is.
impl TryFrom<&Tensor> for HostTensor {
    type Error = Error;

    fn try_from(tensor: &Tensor) -> Result<Self> {
        let data = match tensor.dtype() {
            DType::Bool => lent::<bool>(tensor),
            DType::Uint8 => lent::<u8>(tensor),
            DType::Uint16 => lent::<u16>(tensor),
            DType::Uint32 => lent::<u32>(tensor),
            DType::Uint64 => lent::<u64>(tensor),
            DType::Int8 => lent::<i8>(tensor),
            DType::Int16 => lent::<i16>(tensor),
            DType::Int32 => lent::<i32>(tensor),
            DType::Int64 => lent::<i64>(tensor),
            DType::Fp16 => lent::<f16>(tensor),
            DType::Bf16 => lent::<bf16>(tensor),
            DType::Fp32 => lent::<f32>(tensor),
            DType::Fp64 => lent::<f64>(tensor),
            DType::Bytes => {
                let strings: Vec<String> = tensor.strings()?.into_iter().map(str::to_owned).collect();
                Data::Text(strings.into())
            }
        };
        Self::from_data(Shape::from_slice(tensor.shape()), data)
    }
}

fn lent<T: Scalar + Element>(tensor: &Tensor) -> Data {
    T::wrap(Buffer(Memory::Caller(Arc::new(tensor.clone()))))
}

/// An output of a call: the memory goes along.
impl TryFrom<HostTensor> for Tensor {
    type Error = Error;

    fn try_from(tensor: HostTensor) -> Result<Self> {
        let HostTensor { shape, data } = tensor;
        let tensor = match data {
            Data::Bool(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::U8(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::U16(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::U32(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::U64(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::I8(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::I16(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::I32(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::I64(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::F16(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::Bf16(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::F32(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::F64(elements) => Self::from_vec(&shape, elements.into_vec()),
            Data::Text(strings) => Self::from_byte_strings(&shape, strings.iter()),
        };
        Ok(tensor?)
    }
}

/// A tensor of zeros, `false` or empty strings.
pub(crate) fn zeros(dtype: DType, shape: Shape) -> Result<HostTensor> {
    fn data<T: Scalar>(count: usize) -> Data {
        T::wrap(vec![T::default(); count].into())
    }
    let count = element_count(&shape)?;
    let data = match dtype {
        DType::Bool => data::<bool>(count),
        DType::Uint8 => data::<u8>(count),
        DType::Uint16 => data::<u16>(count),
        DType::Uint32 => data::<u32>(count),
        DType::Uint64 => data::<u64>(count),
        DType::Int8 => data::<i8>(count),
        DType::Int16 => data::<i16>(count),
        DType::Int32 => data::<i32>(count),
        DType::Int64 => data::<i64>(count),
        DType::Fp16 => data::<f16>(count),
        DType::Bf16 => data::<bf16>(count),
        DType::Fp32 => data::<f32>(count),
        DType::Fp64 => data::<f64>(count),
        DType::Bytes => data::<String>(count),
    };
    HostTensor::from_data(shape, data)
}
