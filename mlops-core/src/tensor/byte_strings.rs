//! Elements of varying length: each a 4-byte little-endian length, then that many bytes.

use super::TensorError;

const PREFIX: usize = size_of::<u32>();

/// The elements of a BYTES tensor in row-major order. Made by [`Tensor::byte_strings`](super::Tensor::byte_strings).
#[derive(Debug, Clone)]
pub struct ByteStrings<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> ByteStrings<'a> {
    /// `bytes` must have passed [`check`] for `count` elements.
    pub(super) fn new(count: usize, bytes: &'a [u8]) -> Self {
        Self { left: count, bytes }
    }
}

impl<'a> Iterator for ByteStrings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (element, rest) = split_first(self.bytes).ok()?;
        self.bytes = rest;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ByteStrings<'_> {}

/// Proves that `bytes` holds exactly `count` elements.
pub(super) fn check(shape: &[usize], count: usize, bytes: &[u8]) -> Result<(), TensorError> {
    let mut rest = bytes;
    let mut found = 0;
    while !rest.is_empty() {
        (_, rest) = split_first(rest).map_err(|Short { expected, actual }| TensorError::Truncated {
            index: found,
            expected,
            actual,
        })?;
        found += 1;
    }
    if found != count {
        return Err(TensorError::ElementCount { shape: shape.to_vec(), expected: count, actual: found });
    }
    Ok(())
}

/// How many elements there are, and their encoding.
pub(super) fn encode<S: AsRef<[u8]>>(
    strings: impl IntoIterator<Item = S>,
) -> Result<(usize, Vec<u8>), TensorError> {
    let mut encoded = Vec::new();
    let mut count = 0;
    for string in strings {
        append(&mut encoded, count, string.as_ref())?;
        count += 1;
    }
    Ok((count, encoded))
}

/// Appends the element that has the given index.
pub(super) fn append(encoded: &mut Vec<u8>, index: usize, element: &[u8]) -> Result<(), TensorError> {
    let length = u32::try_from(element.len())
        .map_err(|_| TensorError::ElementTooLong { index, length: element.len() })?;
    encoded.extend_from_slice(&length.to_le_bytes());
    encoded.extend_from_slice(element);
    Ok(())
}

/// How many bytes an element needs, and how many are there.
struct Short {
    expected: usize,
    actual: usize,
}

/// The first element and what follows it.
fn split_first(bytes: &[u8]) -> Result<(&[u8], &[u8]), Short> {
    let short = |expected| Short { expected, actual: bytes.len() };
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>().ok_or_else(|| short(PREFIX))?;
    let length = u32::from_le_bytes(*prefix) as usize;
    rest.split_at_checked(length).ok_or_else(|| short(PREFIX.saturating_add(length)))
}

#[cfg(test)]
mod tests {
    use super::super::{DType, Tensor, TensorError};

    #[test]
    fn strings_of_any_bytes_round_trip() {
        let strings = [&b""[..], b"\xff\x00", b"text"];
        let tensor = Tensor::from_byte_strings(&[3, 1], strings).unwrap();
        assert_eq!(tensor.byte_strings().unwrap().collect::<Vec<_>>(), strings);
        let again = Tensor::from_bytes(DType::Bytes, &[3, 1], tensor.to_bytes()).unwrap();
        assert_eq!(again, tensor);
        assert_eq!(tensor.strings().unwrap_err(), TensorError::NotUtf8 { index: 1 });
    }

    #[test]
    fn truncated_missing_and_surplus_elements_are_refused() {
        let error = |count: usize, bytes: &'static [u8]| {
            Tensor::from_bytes(DType::Bytes, &[count], bytes).unwrap_err().to_string()
        };
        assert_eq!(
            error(1, b"\x05\0\0\0abc"),
            "element 0 of a BYTES tensor is truncated: it needs 9 bytes, but 7 are left"
        );
        assert_eq!(
            error(1, b"\xff\xff"),
            "element 0 of a BYTES tensor is truncated: it needs 4 bytes, but 2 are left"
        );
        assert_eq!(error(2, b"\x01\0\0\0a"), "shape [2] holds 2 elements, but 1 came");
        assert_eq!(error(0, b"\x01\0\0\0a"), "shape [0] holds 0 elements, but 1 came");
    }
}
