//! How constants are put into a file: all elements, or only those that are not zero.

use half::{bf16, f16};
use prost::Message;
use prost::encoding::encoded_len_varint;

use crate::engine::onnx::decode::SPARSE_LIMIT;
use crate::engine::onnx::proto::{SparseTensorProto, TensorProto, data_type};

/// A constant as it stands in a file.
#[derive(Debug)]
pub(super) enum Stored {
    Dense(TensorProto),
    Sparse(SparseTensorProto),
}

/// A type of elements that constants are stored in.
pub(super) trait Stores: Copy {
    const TYPE: i32;
    /// Whether all bits are 0, as those are that a sparse tensor leaves out.
    fn is_zero(self) -> bool;
    fn write(self, bytes: &mut Vec<u8>);
}

macro_rules! stores {
    ($($type:ty, $constant:ident;)*) => {
        $(impl Stores for $type {
            const TYPE: i32 = data_type::$constant;

            fn is_zero(self) -> bool {
                self.to_le_bytes() == [0; size_of::<Self>()]
            }

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

stores! { f32, FLOAT; f16, FLOAT16; bf16, BFLOAT16; i8, INT8; i64, INT64; }

impl Stored {
    /// All elements.
    pub(super) fn dense<T: Stores>(name: &str, shape: &[usize], elements: &[T]) -> Self {
        Self::Dense(tensor(name, shape, elements.iter().copied()))
    }

    /// Whichever takes fewer bytes: all elements, or those that are not zero and their places.
    ///
    /// Places are stored as numbers of variable length, two to four bytes for most, rather than as eight raw bytes:
    /// with FP32 elements this pays as soon as half of them are zero.
    pub(super) fn smallest<T: Stores>(name: &str, shape: &[usize], elements: &[T]) -> Self {
        let filled = || elements.iter().enumerate().filter(|(_, element)| !element.is_zero());
        let places: usize = filled().map(|(place, _)| encoded_len_varint(place as u64)).sum();
        let count = filled().count();
        let sparse = places + count * size_of::<T>();
        if count == 0 || sparse >= size_of_val(elements) || elements.len() > SPARSE_LIMIT {
            return Self::dense(name, shape, elements);
        }
        let values = tensor(name, &[count], filled().map(|(_, element)| *element));
        let indices = TensorProto {
            dims: lengths(&[count]),
            data_type: Some(data_type::INT64),
            int64_data: filled().map(|(place, _)| place as i64).collect(),
            ..TensorProto::default()
        };
        let sparse = SparseTensorProto { values: Some(values), indices: Some(indices), dims: lengths(shape) };
        Self::Sparse(sparse)
    }

    pub(super) fn name(&self) -> &str {
        let tensor = match self {
            Self::Dense(tensor) => Some(tensor),
            Self::Sparse(tensor) => tensor.values.as_ref(),
        };
        tensor.and_then(|tensor| tensor.name.as_deref()).unwrap_or_default()
    }

    /// The number of bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Dense(tensor) => tensor.encoded_len(),
            Self::Sparse(tensor) => tensor.encoded_len(),
        }
    }

    pub(super) fn is_sparse(&self) -> bool {
        matches!(self, Self::Sparse(_))
    }
}

fn tensor<T: Stores>(name: &str, shape: &[usize], elements: impl Iterator<Item = T>) -> TensorProto {
    let mut bytes = Vec::with_capacity(elements.size_hint().0 * size_of::<T>());
    elements.for_each(|element| element.write(&mut bytes));
    TensorProto {
        name: Some(name.to_owned()),
        dims: lengths(shape),
        data_type: Some(T::TYPE),
        raw_data: Some(bytes.into()),
        ..TensorProto::default()
    }
}

fn lengths(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&length| length as i64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::decode;

    fn read_back(stored: Stored) -> Vec<f32> {
        let tensor = match stored {
            Stored::Dense(tensor) => decode::tensor(tensor),
            Stored::Sparse(tensor) => decode::dense(tensor),
        };
        let tensor = tensor.unwrap();
        assert_eq!(tensor.shape(), [4, 50]);
        tensor.into_elements().unwrap()
    }

    #[test]
    fn few_elements_are_stored_sparsely_and_read_back_as_they_were() {
        for filled in [0, 1, 20, 100, 150, 200] {
            let elements: Vec<f32> =
                (0..200).map(|i| if i < filled { i as f32 - 7.5 } else { 0.0 }).collect();
            let stored = Stored::smallest("w", &[4, 50], &elements);
            assert_eq!(stored.is_sparse(), (1..=150).contains(&filled), "{filled} elements");
            assert!(stored.size() <= Stored::dense("w", &[4, 50], &elements).size() + 20);
            assert_eq!(read_back(stored), elements);
        }
    }

    #[test]
    fn a_negative_zero_keeps_its_sign() {
        let mut elements = vec![0.0_f32; 200];
        elements[3] = -0.0;
        let stored = Stored::smallest("w", &[4, 50], &elements);
        assert!(stored.is_sparse());
        assert!(read_back(stored)[3].is_sign_negative());
    }
}
