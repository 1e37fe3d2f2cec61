//! Tensors as bytes behind the JSON: the binary extension.

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use mlops_core::{Dimension, Error, Result, Signature, Tensor, Tensors};

/// How long the JSON is; what comes after it are tensors.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

pub(super) fn header_length(headers: &HeaderMap) -> Result<Option<usize>> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| {
        Error::invalid_input(format!(
            "the header `{HEADER_LENGTH}` is {value:?}; expected the length of the JSON in bytes"
        ))
    })
}

/// The JSON and the tensors behind it.
pub(super) fn split(length: usize, mut body: Bytes) -> Result<(Bytes, Bytes)> {
    if length > body.len() {
        return Err(Error::invalid_input(format!(
            "the header `{HEADER_LENGTH}` says {length} bytes of JSON, but the body has {}",
            body.len()
        )));
    }
    let json = body.split_to(length);
    Ok((json, body))
}

/// The only input of a model, when the body is nothing but its bytes: a request without JSON.
///
/// One row comes, and at most one other dimension is not fixed: that one follows from the number of bytes.
pub(super) fn raw_input(body: Bytes, signature: &Signature) -> Result<Tensors> {
    let [spec] = signature.inputs() else {
        let what = "a body without JSON is for models of one input; this one has several";
        return Err(Error::invalid_input(what));
    };
    let mut known = 1_usize;
    let mut open = None;
    let mut shape = Vec::with_capacity(spec.shape().len());
    for (axis, dimension) in spec.shape().iter().enumerate() {
        let length = match dimension {
            Dimension::Fixed(length) => *length,
            Dimension::Batch => 1,
            Dimension::Free if open.is_none() => {
                open = Some(axis);
                1
            }
            Dimension::Free => {
                let what = format!(
                    "a body without JSON does not tell the shape of `{}`, which has several free dimensions",
                    spec.name()
                );
                return Err(Error::invalid_input(what));
            }
        };
        known = known.saturating_mul(length);
        shape.push(length);
    }
    let (bytes, elements) = match spec.dtype().size() {
        Some(size) => (body.clone(), body.len() / size),
        // An element is all of the body.
        None => {
            let element = Tensor::from_byte_strings(&[1], [&body]).map_err(|cause| cause.of(spec.name()))?;
            (element.to_bytes(), 1)
        }
    };
    if let Some(axis) = open {
        shape[axis] = elements.checked_div(known).unwrap_or(0);
    }
    let tensor = Tensor::from_bytes(spec.dtype(), &shape, bytes).map_err(|cause| cause.of(spec.name()))?;
    Ok(Tensors::new().with(spec.name(), tensor))
}
