//! Tensors as lists of numbers.

use std::fmt::Display;

use mlops_core::{DType, Element, Error, Result, Tensor, TensorError};

use super::protocol::InferTensorContents;

/// The tensor whose elements stand in the list that is for its type.
pub(super) fn read(dtype: DType, shape: &[usize], contents: InferTensorContents) -> Result<Tensor> {
    check_list(dtype, &contents)?;
    let tensor = match dtype {
        DType::Bool => Tensor::from_vec(shape, contents.bool_contents),
        DType::Uint8 => narrow::<_, u8>(shape, contents.uint_contents),
        DType::Uint16 => narrow::<_, u16>(shape, contents.uint_contents),
        DType::Uint32 => Tensor::from_vec(shape, contents.uint_contents),
        DType::Uint64 => Tensor::from_vec(shape, contents.uint64_contents),
        DType::Int8 => narrow::<_, i8>(shape, contents.int_contents),
        DType::Int16 => narrow::<_, i16>(shape, contents.int_contents),
        DType::Int32 => Tensor::from_vec(shape, contents.int_contents),
        DType::Int64 => Tensor::from_vec(shape, contents.int64_contents),
        DType::Fp32 => Tensor::from_vec(shape, contents.fp32_contents),
        DType::Fp64 => Tensor::from_vec(shape, contents.fp64_contents),
        DType::Bytes => Tensor::from_byte_strings(shape, contents.bytes_contents),
        DType::Fp16 | DType::Bf16 => return Err(only_raw(dtype)),
    };
    Ok(tensor?)
}

/// The elements of a tensor in the list that is for its type; an error where it [has none](has_list).
pub(super) fn write(tensor: &Tensor) -> Result<InferTensorContents> {
    let mut contents = InferTensorContents::default();
    match tensor.dtype() {
        DType::Bool => contents.bool_contents = elements::<bool, _>(tensor)?,
        DType::Uint8 => contents.uint_contents = elements::<u8, _>(tensor)?,
        DType::Uint16 => contents.uint_contents = elements::<u16, _>(tensor)?,
        DType::Uint32 => contents.uint_contents = elements::<u32, _>(tensor)?,
        DType::Uint64 => contents.uint64_contents = elements::<u64, _>(tensor)?,
        DType::Int8 => contents.int_contents = elements::<i8, _>(tensor)?,
        DType::Int16 => contents.int_contents = elements::<i16, _>(tensor)?,
        DType::Int32 => contents.int_contents = elements::<i32, _>(tensor)?,
        DType::Int64 => contents.int64_contents = elements::<i64, _>(tensor)?,
        DType::Fp32 => contents.fp32_contents = elements::<f32, _>(tensor)?,
        DType::Fp64 => contents.fp64_contents = elements::<f64, _>(tensor)?,
        DType::Bytes => {
            let whole = tensor.to_bytes();
            contents.bytes_contents =
                tensor.byte_strings()?.map(|element| whole.slice_ref(element)).collect();
        }
        DType::Fp16 | DType::Bf16 => return Err(only_raw(tensor.dtype())),
    }
    Ok(contents)
}

/// Whether the protocol has a list for elements of that type.
pub(super) fn has_list(dtype: DType) -> bool {
    list_of(dtype).is_some()
}

fn list_of(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "bool_contents",
        DType::Uint8 | DType::Uint16 | DType::Uint32 => "uint_contents",
        DType::Uint64 => "uint64_contents",
        DType::Int8 | DType::Int16 | DType::Int32 => "int_contents",
        DType::Int64 => "int64_contents",
        DType::Fp32 => "fp32_contents",
        DType::Fp64 => "fp64_contents",
        DType::Bytes => "bytes_contents",
        DType::Fp16 | DType::Bf16 => return None,
    })
}

fn only_raw(dtype: DType) -> Error {
    Error::invalid_input(format!("{dtype} travels in `raw_input_contents` only"))
}

/// Refuses elements in a list that is not for the type.
fn check_list(dtype: DType, contents: &InferTensorContents) -> Result<()> {
    let lists = [
        ("bool_contents", contents.bool_contents.is_empty()),
        ("int_contents", contents.int_contents.is_empty()),
        ("int64_contents", contents.int64_contents.is_empty()),
        ("uint_contents", contents.uint_contents.is_empty()),
        ("uint64_contents", contents.uint64_contents.is_empty()),
        ("fp32_contents", contents.fp32_contents.is_empty()),
        ("fp64_contents", contents.fp64_contents.is_empty()),
        ("bytes_contents", contents.bytes_contents.is_empty()),
    ];
    let expected = list_of(dtype).ok_or_else(|| only_raw(dtype))?;
    match lists.iter().find(|(list, empty)| !empty && *list != expected) {
        None => Ok(()),
        Some((list, _)) => Err(Error::invalid_input(format!(
            "elements of {dtype} belong into `{expected}`, but `{list}` came"
        ))),
    }
}

fn narrow<W: Copy + Display, T: Element + TryFrom<W>>(
    shape: &[usize],
    wide: Vec<W>,
) -> Result<Tensor, TensorError> {
    let narrowed = wide.iter().enumerate().map(|(index, value)| {
        T::try_from(*value).map_err(|_| TensorError::WrongElement {
            index,
            value: value.to_string(),
            dtype: T::DTYPE,
        })
    });
    Tensor::from_vec(shape, narrowed.collect::<Result<Vec<T>, _>>()?)
}

fn elements<T: Element, W: From<T>>(tensor: &Tensor) -> Result<Vec<W>> {
    Ok(tensor.as_slice::<T>()?.iter().map(|element| W::from(*element)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(tensor: impl Into<Tensor>) {
        let tensor = tensor.into();
        let contents = write(&tensor).unwrap();
        assert_eq!(read(tensor.dtype(), tensor.shape(), contents).unwrap(), tensor);
    }

    #[test]
    fn every_type_that_has_a_list_round_trips() {
        round_trip(vec![true, false]);
        round_trip(vec![0, u8::MAX]);
        round_trip(vec![0, u16::MAX]);
        round_trip(vec![0, u32::MAX]);
        round_trip(vec![0, u64::MAX]);
        round_trip(vec![i8::MIN, i8::MAX]);
        round_trip(vec![i16::MIN, i16::MAX]);
        round_trip(vec![i32::MIN, i32::MAX]);
        round_trip(vec![i64::MIN, i64::MAX]);
        round_trip(vec![f32::MIN, f32::INFINITY]);
        round_trip(vec![f64::MIN, f64::NEG_INFINITY]);
        round_trip(Tensor::from_byte_strings(&[3], [&b""[..], b"\xff\x00", b"text"]).unwrap());
        round_trip(Vec::<f32>::new());
    }

    #[test]
    fn elements_out_of_range_and_in_the_wrong_list_are_refused() {
        let ints = |values: &[i32]| InferTensorContents {
            int_contents: values.to_vec(),
            ..InferTensorContents::default()
        };
        for (dtype, contents, expected) in [
            (DType::Int8, ints(&[0, 128]), "element 1 is 128, which is no INT8"),
            (DType::Int16, ints(&[-40_000, 0]), "element 0 is -40000, which is no INT16"),
            (DType::Int32, ints(&[1]), "shape [2] holds 2 elements, but 1 came"),
            (
                DType::Fp32,
                ints(&[1, 2]),
                "elements of FP32 belong into `fp32_contents`, but `int_contents` came",
            ),
            (DType::Fp16, ints(&[1, 2]), "FP16 travels in `raw_input_contents` only"),
            (DType::Bf16, ints(&[]), "BF16 travels in `raw_input_contents` only"),
        ] {
            let error = read(dtype, &[2], contents).unwrap_err().to_string();
            assert!(error.contains(expected), "{dtype}\n  says: {error}");
        }
        let two = InferTensorContents { fp32_contents: vec![1.0, 2.0], ..ints(&[1, 2]) };
        assert!(read(DType::Int32, &[2], two).unwrap_err().to_string().contains("`fp32_contents` came"));
    }
}
