//! An input that callers need not send.

use std::sync::Arc;

use bytes::Bytes;
use mlops_core::{Error, Result, Signature, Tensor, TensorSpec, Tensors};

use crate::layer::pipeline::{Preprocess, Step, fit};

/// An input of a model that is always the same, and that callers no longer send.
///
/// Where the model takes it by rows, the constant is one row, and every row of the call gets it. How many there are is
/// seen from another required input, so there must be one with a batch dimension.
///
/// ```
/// use mlops_core::Tensor;
/// use mlops_serve::layer::pipeline::steps::Constant;
///
/// let one = Constant::new("temperature", Tensor::from(vec![0.7_f32]));
/// # let _ = one;
/// ```
#[derive(Debug, Clone)]
pub struct Constant {
    name: String,
    value: Tensor,
}

impl Constant {
    /// The input of that name is always `value`; where it has a batch dimension, which must be the first, `value` is one
    /// row of it, without that dimension.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Tensor>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl Preprocess for Constant {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        let Self { name, value } = self;
        let spec = fit::require(needed, &name)?;
        match spec.batch_axis() {
            None => whole(spec, value),
            Some(0) => {
                let counts = |other: &&TensorSpec| other.name() != name && !other.is_optional();
                let rows = needed.iter().filter(counts).find(|other| other.batch_axis().is_some());
                by_rows(spec, value, rows)
            }
            Some(_) => Err(Error::invalid_input(format!(
                "the batch dimension of `{name}` ({spec}) is not the first"
            ))),
        }
    }
}

fn whole(spec: &TensorSpec, value: Tensor) -> Result<Step> {
    check(spec, &value)?;
    let (title, name) = (format!("constant({})", spec.name()), Arc::<str>::from(spec.name()));
    Ok(Step::new(title, Signature::new([], [spec.clone()])?, move |_| {
        Ok(Tensors::new().with(Arc::clone(&name), value.clone()))
    }))
}

fn by_rows(spec: &TensorSpec, row: Tensor, counted: Option<&TensorSpec>) -> Result<Step> {
    let name = spec.name().to_owned();
    let Some((counted, axis)) = counted.and_then(|counted| Some((counted, counted.batch_axis()?))) else {
        return Err(Error::invalid_input(format!(
            "no other required input says how many rows of `{name}` there are"
        )));
    };
    let one: Vec<usize> = [1].iter().chain(row.shape()).copied().collect();
    let row = row.reshape(&one)?;
    check(spec, &row)?;
    let signature = Signature::new([counted.clone()], [counted.clone(), spec.clone()])?;
    let counted = counted.name().to_owned();
    Ok(Step::new(format!("constant({name})"), signature, move |tensors| {
        let by = tensors.require(&counted)?;
        let rows = by.shape().get(axis).copied().unwrap_or(0);
        // Elements that were sent bound how many there are to make.
        if by.is_empty() && rows > 0 {
            return Err(Error::invalid_input(format!("the {rows} rows of `{counted}` are empty")));
        }
        let repeated = repeat(&row, rows)?;
        Ok(tensors.with(name.as_str(), repeated))
    }))
}

/// Whether the constant is what the model takes.
fn check(spec: &TensorSpec, value: &Tensor) -> Result<()> {
    let alone = Signature::new([spec.clone()], [])?;
    Ok(alone.check(&Tensors::new().with(spec.name(), value.clone()))?)
}

/// The only row of a tensor that many times.
fn repeat(row: &Tensor, rows: usize) -> Result<Tensor> {
    let mut shape = row.shape().to_vec();
    if let Some(first) = shape.first_mut() {
        *first = rows;
    }
    let bytes = row.as_bytes();
    let mut repeated = Vec::new();
    let fits = bytes.len().checked_mul(rows).is_some_and(|length| repeated.try_reserve_exact(length).is_ok());
    if !fits {
        return Err(Error::invalid_input(format!("{rows} rows are too many")));
    }
    for _ in 0..rows {
        repeated.extend_from_slice(bytes);
    }
    Ok(Tensor::from_bytes(row.dtype(), &shape, Bytes::from(repeated))?)
}

#[cfg(test)]
mod tests {
    use mlops_core::DType;
    use mlops_core::Dimension::{Batch, Fixed, Free};

    use super::*;

    fn needed() -> [TensorSpec; 3] {
        [
            TensorSpec::new("t", DType::Fp32, [Batch, Fixed(2)]),
            TensorSpec::new("word", DType::Bytes, [Batch]),
            TensorSpec::new("k", DType::Int64, [Fixed(1)]),
        ]
    }

    #[test]
    fn a_constant_is_given_as_it_is() {
        let step = Constant::new("k", vec![7_i64]).before(&needed()).unwrap();
        assert_eq!(step.apply(Tensors::new()).unwrap(), Tensors::new().with("k", vec![7_i64]));
    }

    #[test]
    fn every_row_gets_the_constant_row() {
        let words = Tensor::from_byte_strings(&[2], ["a", "b"]).unwrap();
        let step = Constant::new("t", vec![1.0_f32, 2.0]).before(&needed()).unwrap();
        let given = step.apply(Tensors::new().with("word", words.clone())).unwrap();
        let twice = Tensor::from_vec(&[2, 2], vec![1.0_f32, 2.0, 1.0, 2.0]).unwrap();
        assert_eq!((given.get("t"), given.get("word")), (Some(&twice), Some(&words)));

        let word = Tensor::from_byte_strings(&[], ["same"]).unwrap();
        let step = Constant::new("word", word).before(&needed()).unwrap();
        let rows = Tensor::from_vec(&[3, 2], vec![0.0_f32; 6]).unwrap();
        let given = step.apply(Tensors::new().with("t", rows)).unwrap();
        assert_eq!(given.get("word").unwrap().strings().unwrap(), ["same"; 3]);
    }

    #[test]
    fn rows_without_elements_make_no_rows() {
        let specs =
            [TensorSpec::new("t", DType::Fp32, [Batch]), TensorSpec::new("x", DType::Fp32, [Batch, Free])];
        let step = Constant::new("t", Tensor::from_vec(&[], vec![1.0_f32]).unwrap()).before(&specs).unwrap();
        let x =
            |shape: &[usize]| Tensors::new().with("x", Tensor::from_vec(shape, Vec::<f32>::new()).unwrap());
        assert_eq!(step.apply(x(&[0, 3])).unwrap().get("t").unwrap().shape(), [0]);
        let error = step.apply(x(&[1 << 50, 0])).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    }

    #[test]
    fn a_constant_that_does_not_fit_is_refused() {
        for (constant, expected) in [
            (Constant::new("k", vec![7_i32]), "`k` has data type INT32, expected INT64"),
            (Constant::new("t", vec![7.0_f32]), "`t` has shape [1, 1], expected [batch, 2]"),
            (Constant::new("z", vec![7_i32]), "there is no tensor `z`"),
        ] {
            let error = constant.before(&needed()).unwrap_err();
            assert!(
                matches!(error, Error::InvalidInput(_)) && error.to_string().contains(expected),
                "{error}"
            );
        }
        let alone = Constant::new("t", vec![1.0_f32, 2.0]).before(&needed()[..1]).unwrap_err().to_string();
        assert!(alone.contains("no other required input says how many rows of `t` there are"), "{alone}");
    }
}
