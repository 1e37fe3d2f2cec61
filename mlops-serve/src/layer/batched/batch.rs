//! Requests that become one, and its answer that becomes theirs.

use mlops_core::{Dimension, Error, Result, Signature, Tensor, TensorSpec, Tensors};

use super::fill::Fill;
use super::join::join;
use super::split::split;
use crate::executor::pool::Group;
use crate::executor::rows;

/// How many rows a request has, and with which others it can be in one batch. Without a group it is computed alone:
/// it has no row, or no input that is by row.
pub(super) fn group(signature: &Signature, inputs: &Tensors, is_padded: bool) -> (usize, Option<Group>) {
    let Some(rows @ 1..) = rows(signature, inputs) else { return (1, None) };
    let mut group = Group { lengths: Vec::new(), shared: Vec::new() };
    for spec in signature.inputs() {
        let tensor = inputs.get(spec.name());
        if spec.is_optional() {
            group.lengths.push(usize::from(tensor.is_some()));
        }
        let Some(tensor) = tensor else { continue };
        match spec.batch_axis() {
            Some(_) if is_padded => {}
            Some(_) => group.lengths.extend(free_axes(spec).map(|axis| tensor.shape()[axis])),
            None => group.shared.push(tensor.clone()),
        }
    }
    (rows, Some(group))
}

/// Requests of one group, as one.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) inputs: Tensors,
    /// How many rows each request has.
    rows: Vec<usize>,
    free: Vec<FreeAxis>,
}

/// A free dimension of an input, in the batch and in each request.
#[derive(Debug, PartialEq)]
struct FreeAxis {
    joined: usize,
    own: Vec<usize>,
}

impl Batch {
    /// Joins the inputs of requests, which have so many rows.
    ///
    /// # Errors
    /// [`Error::Internal`] when they are not of one group, or cannot be padded to one shape.
    pub(super) fn join(
        signature: &Signature,
        requests: &[&Tensors],
        rows: Vec<usize>,
        fill: Option<&Fill>,
    ) -> Result<Self> {
        let mut batch = Self { inputs: Tensors::new(), rows, free: Vec::new() };
        for spec in signature.inputs() {
            let name = spec.name();
            let parts: Vec<&Tensor> = requests.iter().filter_map(|inputs| inputs.get(name)).collect();
            if parts.is_empty() {
                continue;
            }
            if parts.len() < requests.len() {
                return Err(Error::internal(format!("only some requests of a batch have input `{name}`")));
            }
            let Some(axis) = spec.batch_axis() else {
                batch.inputs.insert(name, parts[0].clone());
                continue;
            };
            let joined = join(&parts, axis, fill)?;
            if fill.is_some() {
                batch.free.extend(free_axes(spec).map(|axis| FreeAxis {
                    joined: joined.shape()[axis],
                    own: parts.iter().map(|part| part.shape()[axis]).collect(),
                }));
            }
            batch.inputs.insert(name, joined);
        }
        batch.check_lengths(signature)?;
        Ok(batch)
    }

    /// The rows of all requests.
    pub(super) fn total_rows(&self) -> usize {
        self.rows.iter().sum()
    }

    /// The outputs of each request: its rows, cut back to its own lengths where the batch has padded ones. What is not
    /// by row goes to every request.
    ///
    /// # Errors
    /// [`Error::Engine`] when the outputs break the signature, or have not as many rows as the inputs.
    pub(super) fn split(&self, signature: &Signature, outputs: &Tensors) -> Result<Vec<Tensors>> {
        check(signature, outputs)?;
        let mut answers = vec![Tensors::new(); self.rows.len()];
        for spec in signature.outputs() {
            let Some(tensor) = outputs.get(spec.name()) else { continue };
            match spec.batch_axis() {
                Some(axis) => {
                    let (expected, actual) = (self.total_rows(), tensor.shape()[axis]);
                    if actual != expected {
                        let name = spec.name();
                        let what = format!("output `{name}` has {actual} rows for a batch of {expected}");
                        return Err(Error::engine(what));
                    }
                    let parts = split(tensor, axis, &self.shapes(spec, tensor, axis))?;
                    for (answer, part) in answers.iter_mut().zip(parts) {
                        answer.insert(spec.name(), part);
                    }
                }
                None => {
                    for answer in &mut answers {
                        answer.insert(spec.name(), tensor.clone());
                    }
                }
            }
        }
        Ok(answers)
    }

    /// The shape of an output for each request.
    fn shapes(&self, spec: &TensorSpec, whole: &Tensor, axis: usize) -> Vec<Vec<usize>> {
        let shape = |(request, rows): (usize, &usize)| {
            let mut shape = whole.shape().to_vec();
            shape[axis] = *rows;
            for free in free_axes(spec) {
                let matching = self.free.iter().find(|input| input.joined == whole.shape()[free]);
                shape[free] = matching.map_or(shape[free], |input| input.own[request]);
            }
            shape
        };
        self.rows.iter().enumerate().map(shape).collect()
    }

    /// Outputs are cut back by length. That is ambiguous when two inputs are of one length in the batch, but not in the
    /// requests.
    fn check_lengths(&self, signature: &Signature) -> Result<()> {
        let is_ambiguous =
            |one: &FreeAxis| self.free.iter().any(|other| one.joined == other.joined && one.own != other.own);
        let is_cut = signature.outputs().iter().any(|spec| free_axes(spec).next().is_some());
        if is_cut && self.free.iter().any(is_ambiguous) {
            return Err(Error::internal("how outputs would be cut back is ambiguous"));
        }
        Ok(())
    }
}

/// Checks that outputs are those of the signature.
///
/// # Errors
/// [`Error::Engine`] when they are not.
pub(super) fn check(signature: &Signature, outputs: &Tensors) -> Result<()> {
    signature
        .check_outputs(outputs)
        .map_err(|violations| Error::engine("the outputs break the signature").with_source(violations))
}

fn free_axes(spec: &TensorSpec) -> impl Iterator<Item = usize> {
    let free = |(_, dimension): &(usize, &Dimension)| **dimension == Dimension::Free;
    spec.shape().iter().enumerate().filter(free).map(|(axis, _)| axis)
}

#[cfg(test)]
mod tests {
    use mlops_core::DType;

    use super::*;

    const BATCH: Dimension = Dimension::Batch;
    const FREE: Dimension = Dimension::Free;

    fn signature() -> Signature {
        Signature::new(
            [
                TensorSpec::new("tokens", DType::Int64, [BATCH, FREE]),
                TensorSpec::new("bias", DType::Int64, [BATCH]).optional(),
                TensorSpec::new("scale", DType::Fp32, [1_usize; 0]).optional(),
            ],
            [
                TensorSpec::new("states", DType::Int64, [FREE, BATCH]),
                TensorSpec::new("about", DType::Bytes, [Dimension::Fixed(1)]),
            ],
        )
        .unwrap()
    }

    fn tokens(rows: usize, length: usize) -> Tensors {
        Tensors::new().with("tokens", Tensor::from_vec(&[rows, length], vec![1_i64; rows * length]).unwrap())
    }

    #[test]
    fn requests_are_grouped_by_inputs_lengths_and_what_they_share() {
        let group = |inputs: &Tensors| group(&signature(), inputs, false);
        let plain = tokens(2, 3);
        assert_eq!(group(&plain), group(&tokens(2, 3)));
        assert_eq!(group(&plain).0, 2);
        let with_bias = plain.clone().with("bias", vec![1_i64, 2]);
        let scaled = |scale: f32| plain.clone().with("scale", Tensor::from_vec(&[], vec![scale]).unwrap());
        for other in [tokens(2, 4), with_bias, scaled(1.0)] {
            assert_ne!(group(&plain).1, group(&other).1, "{other:?}");
        }
        assert_eq!(group(&scaled(1.0)), group(&scaled(1.0)));
        assert_ne!(group(&scaled(1.0)), group(&scaled(2.0)));
        assert_eq!(
            super::group(&signature(), &tokens(1, 3), true),
            super::group(&signature(), &tokens(1, 9), true)
        );
    }

    #[test]
    fn what_has_no_row_is_alone() {
        assert_eq!(group(&signature(), &tokens(0, 3), false), (1, None));
        let scale = TensorSpec::new("scale", DType::Fp32, [1_usize; 0]);
        let unbatched = Signature::new([scale], []).unwrap();
        let inputs = Tensors::new().with("scale", Tensor::from_vec(&[], vec![1.0_f32]).unwrap());
        assert_eq!(group(&unbatched, &inputs, false), (1, None));
    }

    fn outputs(length: usize, rows: usize) -> Tensors {
        let states: Vec<i64> = (0..).take(length * rows).collect();
        Tensors::new()
            .with("states", Tensor::from_vec(&[length, rows], states).unwrap())
            .with("about", Tensor::from_byte_strings(&[1], ["v1"]).unwrap())
    }

    #[test]
    fn padded_outputs_are_cut_back_to_the_lengths_of_the_request() {
        let (short, long) = (tokens(1, 2), tokens(2, 3));
        let batch = Batch::join(&signature(), &[&short, &long], vec![1, 2], Some(&Fill::new(0.0))).unwrap();
        assert_eq!(
            batch.inputs.get("tokens").unwrap().as_slice::<i64>().unwrap(),
            [1, 1, 0, 1, 1, 1, 1, 1, 1]
        );
        let answers = batch.split(&signature(), &outputs(3, 3)).unwrap();
        let states = |answer: &Tensors| answer.get("states").cloned().unwrap();
        assert_eq!(states(&answers[0]), Tensor::from_vec(&[2, 1], vec![0_i64, 3]).unwrap());
        assert_eq!(states(&answers[1]), Tensor::from_vec(&[3, 2], vec![1_i64, 2, 4, 5, 7, 8]).unwrap());
        assert_eq!(answers[0].get("about"), answers[1].get("about"));
    }

    #[test]
    fn lengths_that_cannot_be_told_apart_are_not_padded() {
        let spec = |name| TensorSpec::new(name, DType::Uint8, [BATCH, FREE]);
        let signature = Signature::new([spec("a"), spec("b")], [spec("y")]).unwrap();
        let request = |a: usize, b: usize| {
            let of = |length: usize| Tensor::from_vec(&[1, length], vec![0_u8; length]).unwrap();
            Tensors::new().with("a", of(a)).with("b", of(b))
        };
        let (one, other) = (request(3, 2), request(2, 3));
        let joined =
            |requests: &[&Tensors]| Batch::join(&signature, requests, vec![1, 1], Some(&Fill::new(0.0)));
        assert!(joined(&[&one, &other]).is_err());
        assert!(joined(&[&one, &request(2, 1)]).is_ok());
    }

    #[test]
    fn outputs_that_break_the_signature_are_the_engines_fault() {
        let batch = Batch::join(&signature(), &[&tokens(1, 2), &tokens(1, 2)], vec![1, 1], None).unwrap();
        let error = |outputs: &Tensors| batch.split(&signature(), outputs).unwrap_err().to_string();
        assert_eq!(error(&outputs(2, 3)), "engine failed: output `states` has 3 rows for a batch of 2");
        assert_eq!(error(&Tensors::new()), "engine failed: the outputs break the signature");
    }
}
