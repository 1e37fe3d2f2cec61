//! The tensors of requests and responses.

use bytes::Bytes;
use mlops_core::{DType, Error, InvalidInput, Result, Tensor, Tensors};

use super::contents;
use super::protocol::InferTensorContents;
use super::protocol::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::protocol::model_infer_response::InferOutputTensor;

/// How the elements of all tensors of a message travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As little-endian bytes, beside the descriptions of the tensors.
    Raw,
    /// As lists of numbers, in the descriptions.
    Typed,
}

/// The tensors of a request, and how they came.
pub(super) fn read(described: Vec<InferInputTensor>, raw: Vec<Bytes>) -> Result<(Tensors, Form)> {
    for tensor in &described {
        refuse_shared_memory(&tensor.name, tensor.parameters.keys())?;
    }
    // Some clients send empty `contents` beside raw contents.
    let has_elements = |contents: &InferTensorContents| *contents != InferTensorContents::default();
    let form = if !raw.is_empty() {
        let filled = |tensor: &&InferInputTensor| tensor.contents.as_deref().is_some_and(has_elements);
        if let Some(InferInputTensor { name, .. }) = described.iter().find(filled) {
            let what = format!("tensor `{name}` has `contents`, but there are `raw_input_contents` too");
            return Err(Error::invalid_input(what));
        }
        Form::Raw
    } else if described.iter().any(|tensor| tensor.contents.is_some()) {
        Form::Typed
    } else {
        Form::Raw
    };
    if !raw.is_empty() && raw.len() != described.len() {
        return Err(Error::invalid_input(format!(
            "there are {} `raw_input_contents` for {} inputs; each input has one, or none has",
            raw.len(),
            described.len()
        )));
    }
    let mut raw = raw.into_iter();
    let mut tensors = Vec::with_capacity(described.len());
    for InferInputTensor { name, datatype, shape, contents, .. } in described {
        let of_tensor = |cause: Error| in_tensor(&name, cause);
        let dtype: DType = datatype.parse().map_err(of_tensor)?;
        let shape = lengths(shape).map_err(of_tensor)?;
        let tensor = match raw.next() {
            Some(bytes) => Tensor::from_bytes(dtype, &shape, bytes).map_err(Error::from),
            None => contents::read(dtype, &shape, contents.map(|contents| *contents).unwrap_or_default()),
        };
        tensors.push((name.as_str().into(), tensor.map_err(of_tensor)?));
    }
    Ok((Tensors::distinct(tensors)?, form))
}

/// The outputs as they go out: their descriptions, and their bytes where these travel apart.
pub(super) struct Written {
    pub(super) outputs: Vec<InferOutputTensor>,
    pub(super) raw: Vec<Bytes>,
}

/// In the form of the request, unless a type among the outputs can only travel as bytes; then all do.
pub(super) fn write(outputs: &[(&str, &Tensor)], form: Form) -> Result<Written> {
    let typed = form == Form::Typed && outputs.iter().all(|(_, tensor)| contents::has_list(tensor.dtype()));
    let mut written = Written {
        outputs: Vec::with_capacity(outputs.len()),
        raw: Vec::with_capacity(if typed { 0 } else { outputs.len() }),
    };
    for (name, tensor) in outputs {
        let mut described = InferOutputTensor {
            name: (*name).to_owned(),
            datatype: tensor.dtype().name().to_owned(),
            shape: tensor.shape().iter().map(|length| i64::try_from(*length).unwrap_or(i64::MAX)).collect(),
            ..InferOutputTensor::default()
        };
        if typed {
            described.contents = Some(Box::new(contents::write(tensor)?));
        } else {
            written.raw.push(tensor.to_bytes());
        }
        written.outputs.push(described);
    }
    Ok(written)
}

/// Refuses what clients may ask of an output beside its name, and this server does not do.
pub(super) fn check_requested(outputs: &[InferRequestedOutputTensor]) -> Result<()> {
    for InferRequestedOutputTensor { name, parameters } in outputs {
        refuse_shared_memory(name, parameters.keys())?;
        if parameters.contains_key("classification") {
            let what = format!("output `{name}` is asked for as classes; this server gives tensors");
            return Err(Error::unsupported(what));
        }
    }
    Ok(())
}

/// A client that put its data there would get an answer to something else.
fn refuse_shared_memory<'a>(tensor: &str, mut parameters: impl Iterator<Item = &'a String>) -> Result<()> {
    if parameters.any(|name| name.starts_with("shared_memory_")) {
        let what =
            format!("tensor `{tensor}` is in shared memory; this server takes and gives messages only");
        return Err(Error::unsupported(what));
    }
    Ok(())
}

fn lengths(shape: Vec<i64>) -> Result<Vec<usize>> {
    if shape.iter().any(|length| *length < 0) {
        return Err(Error::invalid_input(format!("shape {shape:?} has a negative length")));
    }
    Ok(shape.into_iter().map(|length| usize::try_from(length).unwrap_or(usize::MAX)).collect())
}

/// The same error, naming the tensor it is about.
fn in_tensor(name: &str, error: Error) -> Error {
    match error {
        Error::InvalidInput(InvalidInput::Tensor { source, .. }) => source.of(name).into(),
        Error::InvalidInput(fault) => Error::invalid_input(format!("tensor `{name}`: {fault}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn input(contents: Option<InferTensorContents>) -> InferInputTensor {
        InferInputTensor {
            name: "x".to_owned(),
            datatype: "INT32".to_owned(),
            shape: vec![1],
            contents: contents.map(Box::new),
            ..InferInputTensor::default()
        }
    }

    #[test]
    fn the_form_is_typed_only_where_contents_came_instead_of_bytes() {
        let seven = InferTensorContents { int_contents: vec![7], ..InferTensorContents::default() };
        let empty = InferTensorContents::default();
        let expected = Tensors::new().with("x", vec![7_i32]);
        for (contents, raw, form) in [
            (Some(seven.clone()), None, Form::Typed),
            (None, Some(&b"\x07\0\0\0"[..]), Form::Raw),
            (Some(empty), Some(b"\x07\0\0\0"), Form::Raw),
        ] {
            let raw = raw.map(Bytes::from_static).into_iter().collect();
            assert_eq!(read(vec![input(contents)], raw).unwrap(), (expected.clone(), form));
        }
        assert!(read(vec![input(Some(seven))], vec![Bytes::from_static(b"\x07\0\0\0")]).is_err());
        assert_eq!(read(Vec::new(), Vec::new()).unwrap(), (Tensors::new(), Form::Raw));
    }

    #[test]
    fn one_output_without_a_list_makes_all_raw() {
        let (whole, half) = (Tensor::from(vec![1_i32]), Tensor::from(vec![f16::ONE]));
        let typed = write(&[("a", &whole)], Form::Typed).unwrap();
        assert!(typed.raw.is_empty() && typed.outputs[0].contents.is_some());
        let mixed = write(&[("a", &whole), ("b", &half)], Form::Typed).unwrap();
        assert_eq!(mixed.raw, [whole.to_bytes(), half.to_bytes()]);
        assert!(mixed.outputs.iter().all(|output| output.contents.is_none()));
    }

    #[test]
    fn raw_elements_are_not_copied_where_they_are_aligned() {
        let bytes = Tensor::from(vec![7_i32, 8]).to_bytes();
        let address = bytes.as_ptr();
        let described = InferInputTensor { shape: vec![2], ..input(None) };
        let (tensors, _) = read(vec![described], vec![bytes]).unwrap();
        let tensor = tensors.get("x").unwrap();
        assert_eq!(tensor.as_bytes().as_ptr(), address);
        assert_eq!(write(&[("x", tensor)], Form::Raw).unwrap().raw[0].as_ptr(), address);
    }
}
