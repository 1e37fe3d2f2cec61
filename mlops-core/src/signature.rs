//! What a model takes and gives: names, types and shapes, checked in one place.

mod change;
mod violation;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{DType, Error, Result, Tensor, Tensors};

pub use change::{Change, Difference};
pub use violation::{Direction, Violation, Violations};

/// The named, typed and shaped inputs and outputs of a model.
///
/// ```
/// use mlops_core::{DType, Dimension, Signature, Tensor, TensorSpec, Tensors};
///
/// let signature = Signature::new(
///     [TensorSpec::new("pixels", DType::Fp32, [Dimension::Batch, Dimension::Fixed(64)]).finite()],
///     [TensorSpec::new("scores", DType::Fp32, [Dimension::Batch, Dimension::Fixed(10)])],
/// )?;
///
/// let good = Tensors::new().with("pixels", Tensor::from_vec(&[1, 64], vec![0.5_f32; 64])?);
/// assert!(signature.check(&good).is_ok());
///
/// let bad = Tensors::new().with("pixel", Tensor::from_vec(&[64], vec![0_i64; 64])?);
/// assert_eq!(
///     signature.check(&bad).unwrap_err().to_string(),
///     "input `pixels` is missing (expected FP32 [batch, 64] finite); \
///      input `pixel` is unknown (the model takes `pixels`)"
/// );
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

/// One named tensor of a [`Signature`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    name: String,
    #[serde(rename = "datatype")]
    dtype: DType,
    shape: Vec<Dimension>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    finite: bool,
}

/// One dimension of a [`TensorSpec`].
///
/// In serde it is a number, `"batch"` or `"free"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Exactly this length.
    Fixed(usize),
    /// The rows of the batch: any length, the same in every tensor of a call. Requests may be joined
    /// along it.
    Batch,
    /// Any length.
    Free,
}

impl Signature {
    /// A signature of these inputs and outputs.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a name is empty or comes twice on one side, or a tensor has more than
    /// one batch dimension.
    pub fn new(
        inputs: impl IntoIterator<Item = TensorSpec>,
        outputs: impl IntoIterator<Item = TensorSpec>,
    ) -> Result<Self> {
        let signature = Self { inputs: inputs.into_iter().collect(), outputs: outputs.into_iter().collect() };
        for (direction, specs) in
            [(Direction::Input, &signature.inputs), (Direction::Output, &signature.outputs)]
        {
            for (index, spec) in specs.iter().enumerate() {
                let name = spec.name.as_str();
                if name.is_empty() {
                    return Err(Error::invalid_input(format!("{direction} {index} has no name")));
                }
                if specs[..index].iter().any(|other| other.name == name) {
                    return Err(Error::invalid_input(format!("{direction} `{name}` comes twice")));
                }
                if spec.shape.iter().filter(|dimension| **dimension == Dimension::Batch).count() > 1 {
                    return Err(Error::invalid_input(format!(
                        "{direction} `{name}` has more than one batch dimension; call the others free"
                    )));
                }
            }
        }
        Ok(signature)
    }

    /// What the model takes.
    #[must_use]
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// What the model gives.
    #[must_use]
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// Checks the inputs of a call and reports every fault at once.
    ///
    /// # Errors
    /// All [`Violations`]: missing, unknown, wrong type, wrong rank, wrong length, batch dimensions that
    /// disagree, NaN or infinity where [`TensorSpec::finite`] forbids them.
    pub fn check(&self, inputs: &Tensors) -> Result<(), Violations> {
        check_all(Direction::Input, &self.inputs, inputs)
    }

    /// Checks the outputs of a call, as [`check`](Self::check) does the inputs.
    ///
    /// # Errors
    /// All [`Violations`].
    pub fn check_outputs(&self, outputs: &Tensors) -> Result<(), Violations> {
        check_all(Direction::Output, &self.outputs, outputs)
    }

    /// What it means for callers when a model with this signature is replaced by one with `next`.
    ///
    /// ```
    /// use mlops_core::{Change, DType, Dimension, Signature, TensorSpec};
    ///
    /// let of = |scores: usize| {
    ///     Signature::new(
    ///         [TensorSpec::new("x", DType::Fp32, [Dimension::Batch])],
    ///         [TensorSpec::new("scores", DType::Fp32, [Dimension::Batch, Dimension::Fixed(scores)])],
    ///     )
    /// };
    /// let change = of(10)?.change_to(&of(12)?);
    /// assert!(change.is_breaking());
    /// assert_eq!(change.to_string(), "breaking: output `scores` changes from FP32 [batch, 10] to FP32 [batch, 12]");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn change_to(&self, next: &Self) -> Change {
        change::between(self, next)
    }
}

impl TensorSpec {
    /// A tensor of that name, type and shape; required, and any value allowed.
    pub fn new(
        name: impl Into<String>,
        dtype: DType,
        shape: impl IntoIterator<Item = impl Into<Dimension>>,
    ) -> Self {
        let shape = shape.into_iter().map(Into::into).collect();
        Self { name: name.into(), dtype, shape, optional: false, finite: false }
    }

    /// A call may leave this tensor out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// NaN and infinities are refused.
    #[must_use]
    pub fn finite(mut self) -> Self {
        self.finite = true;
        self
    }

    /// The name of the tensor.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Its dimensions, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[Dimension] {
        &self.shape
    }

    /// Whether a call may leave it out.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether NaN and infinities are refused.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.finite
    }

    /// Which dimension is the batch, if one is.
    #[must_use]
    pub fn batch_axis(&self) -> Option<usize> {
        self.shape.iter().position(|dimension| *dimension == Dimension::Batch)
    }
}

impl From<usize> for Dimension {
    fn from(length: usize) -> Self {
        Self::Fixed(length)
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => length.fmt(f),
            Self::Batch => f.write_str("batch"),
            Self::Free => f.write_str("free"),
        }
    }
}

/// Type and shape: `FP32 [batch, 64]`.
impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dtype, Dimensions(&self.shape))?;
        f.write_str(if self.finite { " finite" } else { "" })?;
        f.write_str(if self.optional { " optional" } else { "" })
    }
}

/// A shape: `[batch, 64]`.
struct Dimensions<'a>(&'a [Dimension]);

impl fmt::Display for Dimensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, dimension) in self.0.iter().enumerate() {
            let separator = if axis == 0 { "" } else { ", " };
            write!(f, "{separator}{dimension}")?;
        }
        f.write_str("]")
    }
}

impl Serialize for Dimension {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(length) => length.serialize(serializer),
            named => serializer.collect_str(named),
        }
    }
}

impl<'de> Deserialize<'de> for Dimension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Name {
            Batch,
            Free,
        }
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a length, `batch` or `free`")]
        enum Form {
            Fixed(usize),
            Named(Name),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Fixed(length) => Self::Fixed(length),
            Form::Named(Name::Batch) => Self::Batch,
            Form::Named(Name::Free) => Self::Free,
        })
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            inputs: Vec<TensorSpec>,
            outputs: Vec<TensorSpec>,
        }
        let Form { inputs, outputs } = Form::deserialize(deserializer)?;
        Self::new(inputs, outputs).map_err(serde::de::Error::custom)
    }
}

fn check_all(direction: Direction, specs: &[TensorSpec], tensors: &Tensors) -> Result<(), Violations> {
    let mut faults = Vec::new();
    let mut batch = None;
    let mut present = 0;
    for spec in specs {
        match tensors.get(&spec.name) {
            Some(tensor) => {
                present += 1;
                check_one(direction, spec, tensor, &mut batch, &mut faults);
            }
            None if spec.optional => {}
            None => faults.push(Violation::Missing { direction, expected: spec.clone() }),
        }
    }
    if present < tensors.len() {
        let known = || specs.iter().map(|spec| spec.name.clone()).collect();
        faults.extend(
            tensors
                .names()
                .filter(|name| !specs.iter().any(|spec| spec.name == **name))
                .map(|name| Violation::Unknown { direction, tensor: name.to_owned(), known: known() }),
        );
    }
    if faults.is_empty() { Ok(()) } else { Err(Violations::new(faults)) }
}

/// `batch` is the first batch dimension met, and the tensor it was met in.
fn check_one<'a>(
    direction: Direction,
    spec: &'a TensorSpec,
    tensor: &Tensor,
    batch: &mut Option<(usize, &'a TensorSpec)>,
    faults: &mut Vec<Violation>,
) {
    let name = || spec.name.clone();
    if tensor.dtype() != spec.dtype {
        let (expected, actual) = (spec.dtype, tensor.dtype());
        faults.push(Violation::DType { direction, tensor: name(), expected, actual });
    }
    let fits = |(dimension, length): (&Dimension, &usize)| match dimension {
        Dimension::Fixed(expected) => expected == length,
        Dimension::Batch | Dimension::Free => true,
    };
    if tensor.shape().len() != spec.shape.len() || !spec.shape.iter().zip(tensor.shape()).all(fits) {
        let (expected, actual) = (spec.shape.clone(), tensor.shape().to_vec());
        faults.push(Violation::Shape { direction, tensor: name(), expected, actual });
    } else if let Some(axis) = spec.batch_axis() {
        let rows = tensor.shape()[axis];
        let (expected, first) = *batch.get_or_insert((rows, spec));
        if rows != expected {
            let other = first.name.clone();
            faults.push(Violation::Batch { direction, tensor: name(), actual: rows, other, expected });
        }
    }
    if spec.finite
        && let Some(index) = tensor.first_not_finite()
    {
        faults.push(Violation::NotFinite { direction, tensor: name(), index });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signature() -> Signature {
        Signature::new(
            [
                TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)]).finite(),
                TensorSpec::new("mask", DType::Bool, [Dimension::Batch, Dimension::Free]).optional(),
            ],
            [TensorSpec::new("y", DType::Fp32, [Dimension::Batch])],
        )
        .unwrap()
    }

    fn x(rows: usize) -> Tensor {
        Tensor::from_vec(&[rows, 2], vec![0.0_f32; rows * 2]).unwrap()
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let mask = Tensor::from_vec(&[3, 4], vec![true; 12]).unwrap();
        let nan = Tensor::from_vec(&[2, 2], vec![0.0, f32::NAN, 0.0, 0.0]).unwrap();
        let inputs = Tensors::new().with("x", nan).with("mask", mask).with("z", vec![1_u8]);
        let violations = signature().check(&inputs).unwrap_err();
        assert_eq!(
            violations.to_string(),
            "input `x` has a NaN or infinity at element 1, which is forbidden; \
             input `mask` has 3 rows, but `x` has 2; \
             input `z` is unknown (the model takes `x`, `mask`)"
        );
        assert_eq!(violations.iter().count(), 3);
    }

    #[test]
    fn types_ranks_and_lengths_are_compared() {
        let wrong = Tensors::new().with("x", Tensor::from_vec(&[1, 3], vec![1_i64, 2, 3]).unwrap());
        assert_eq!(
            signature().check(&wrong).unwrap_err().to_string(),
            "input `x` has data type INT64, expected FP32; input `x` has shape [1, 3], expected [batch, 2]"
        );
        let flat = Tensors::new().with("x", vec![1.0_f32, 2.0]);
        assert_eq!(
            signature().check(&flat).unwrap_err().to_string(),
            "input `x` has shape [2], expected [batch, 2]"
        );
        assert!(signature().check(&Tensors::new().with("x", x(0))).is_ok());
        let missing = signature().check_outputs(&Tensors::new()).unwrap_err().to_string();
        assert_eq!(missing, "output `y` is missing (expected FP32 [batch])");
    }

    #[test]
    fn serde_keeps_all_and_refuses_what_new_refuses() {
        let json = serde_json::to_string(&signature()).unwrap();
        assert_eq!(
            json,
            r#"{"inputs":[{"name":"x","datatype":"FP32","shape":["batch",2],"finite":true},{"name":"mask","datatype":"BOOL","shape":["batch","free"],"optional":true}],"outputs":[{"name":"y","datatype":"FP32","shape":["batch"]}]}"#
        );
        assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature());
        for (json, expected) in [
            (r#"{"inputs":[{"name":"","datatype":"FP32","shape":[]}],"outputs":[]}"#, "input 0 has no name"),
            (
                r#"{"inputs":[],"outputs":[{"name":"a","datatype":"FP32","shape":["batch","batch"]}]}"#,
                "more than one batch dimension",
            ),
            (
                r#"{"inputs":[{"name":"a","datatype":"FP32","shape":["wide"]}],"outputs":[]}"#,
                "`batch` or `free`",
            ),
            (r#"{"inputs":[{"name":"a","datatype":"FP32","shape":[-1]}],"outputs":[]}"#, "expected a length"),
        ] {
            let error = serde_json::from_str::<Signature>(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}\n  says: {error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_documents_never_panic(
            bytes in any::<Vec<u8>>(), shape in "[\\[\\]{},0-9e.\\-\"a-z:]{0,30}", name in any::<String>(),
        ) {
            let _ = serde_json::from_slice::<Signature>(&bytes);
            let name = serde_json::to_string(&name).unwrap();
            let json = format!(
                r#"{{"inputs":[{{"name":{name},"datatype":"FP32","shape":[{shape}]}}],"outputs":[]}}"#
            );
            let _ = serde_json::from_str::<Signature>(&json);
        }
    }
}
