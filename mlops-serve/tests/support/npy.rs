//! Arrays in the [format of `numpy.save`](https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).

use mlops_core::{DType, Tensor};

/// Reads the first array and leaves the bytes after it: `numpy.save` can write several one after another.
///
/// # Panics
/// When it is no such array, or one of big-endian elements, of Python objects or in column-major order.
pub(crate) fn read(bytes: &mut &[u8]) -> Tensor {
    assert_eq!(take(bytes, 6), b"\x93NUMPY", "not an array of numpy.save");
    let version = take(bytes, 2)[0];
    let length = match version {
        1 => usize::from(u16::from_le_bytes(take(bytes, 2).try_into().unwrap())),
        _ => u32::from_le_bytes(take(bytes, 4).try_into().unwrap()) as usize,
    };
    // A literal of Python: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 8), }
    let header = std::str::from_utf8(take(bytes, length)).unwrap();
    assert!(between(header, "'fortran_order':", ",").trim() == "False", "column-major order: {header}");
    let dtype = dtype(between(header, "'descr': '", "'"));
    let shape: Vec<usize> = between(header, "'shape': (", ")")
        .split(',')
        .map(str::trim)
        .filter(|length| !length.is_empty())
        .map(|length| length.parse().unwrap())
        .collect();
    let size = dtype.size().unwrap() * shape.iter().product::<usize>();
    Tensor::from_bytes(dtype, &shape, take(bytes, size).to_vec()).unwrap()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    assert!(bytes.len() >= count, "the array ends too early");
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, text) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    text.split_once(end).unwrap_or_else(|| panic!("no {end} in {text}")).0
}

fn dtype(descriptor: &str) -> DType {
    match descriptor {
        "|b1" => DType::Bool,
        "|u1" => DType::Uint8,
        "<u2" => DType::Uint16,
        "<u4" => DType::Uint32,
        "<u8" => DType::Uint64,
        "|i1" => DType::Int8,
        "<i2" => DType::Int16,
        "<i4" => DType::Int32,
        "<i8" => DType::Int64,
        "<f2" => DType::Fp16,
        "<f4" => DType::Fp32,
        "<f8" => DType::Fp64,
        _ => panic!("elements of type {descriptor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(header: &str, elements: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), elements].concat()
    }

    #[test]
    fn one_array_is_read_after_another() {
        let floats = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
        let mut file = array("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }     \n", &floats);
        file.extend(array("{'descr': '|b1', 'fortran_order': False, 'shape': (), }\n", &[1]));
        let mut rest = &file[..];
        assert_eq!(read(&mut rest), Tensor::from_vec(&[2, 1], vec![1.5_f32, -2.0]).unwrap());
        assert_eq!(read(&mut rest), Tensor::from_vec(&[], vec![true]).unwrap());
        assert!(rest.is_empty());
    }
}
