//! What the features are called, and where in the inputs of a model they are.

use std::collections::HashSet;

use mlops_core::{Error, Result, Tensor, Tensors};

use crate::numbers::{Numbers, visit_numbers};

/// The features of a model, in order, and the columns of the input tensors that hold them.
///
/// ```
/// use mlops_monitor::{Features, TensorFeatures};
///
/// let features = Features::new([
///     TensorFeatures::column("age"),
///     TensorFeatures::columns("customer", ["income", "tenure"]),
///     TensorFeatures::grid("pixels", "pixel", [2, 2]),
/// ])?;
/// let names: Vec<_> = features.names().collect();
/// assert_eq!(names, ["age", "income", "tenure", "pixel_0_0", "pixel_0_1", "pixel_1_0", "pixel_1_1"]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    tensors: Vec<TensorFeatures>,
}

/// The features that one input tensor holds: one per element of a row.
///
/// A tensor fits when its type is numeric or BOOL, its first dimension is the batch, and the others
/// multiply to the number of features; so `[batch, 64]` and `[batch, 8, 8]` both hold 64 features, and
/// `[batch]` holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFeatures {
    tensor: String,
    names: Vec<String>,
}

/// Why a tensor could not be read as rows of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    Missing,
    DType,
    Shape,
}

impl Features {
    /// The features of these tensors, in this order.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no feature, a name is empty, or a tensor or a feature comes
    /// twice.
    pub fn new(tensors: impl IntoIterator<Item = TensorFeatures>) -> Result<Self> {
        let features = Self { tensors: tensors.into_iter().collect() };
        if features.tensors.is_empty() {
            return Err(Error::invalid_input("a profile needs at least one feature"));
        }
        let (mut tensors, mut names) = (HashSet::new(), HashSet::new());
        for TensorFeatures { tensor, names: columns } in &features.tensors {
            if tensor.is_empty() || columns.is_empty() {
                return Err(Error::invalid_input(format!("tensor `{tensor}` has no name or no features")));
            }
            if !tensors.insert(tensor) {
                return Err(Error::invalid_input(format!("tensor `{tensor}` comes twice")));
            }
            for name in columns {
                if name.is_empty() || !names.insert(name) {
                    return Err(Error::invalid_input(format!(
                        "feature `{name}` of tensor `{tensor}` has no name or comes twice"
                    )));
                }
            }
        }
        Ok(features)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().flat_map(TensorFeatures::names)
    }

    /// How many features there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.names.len()).sum()
    }

    /// Whether there is none. There always is one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The tensors that hold them, in order.
    #[must_use]
    pub fn tensors(&self) -> &[TensorFeatures] {
        &self.tensors
    }

    /// The values of each feature, copied out of `inputs`.
    pub(crate) fn columns(&self, inputs: &Tensors) -> Result<Vec<Vec<f64>>> {
        let mut columns = Vec::with_capacity(self.len());
        for features in &self.tensors {
            let tensor = inputs.require(&features.tensor)?;
            let width = features.names.len();
            features
                .rows_in(tensor)
                .and_then(|_| {
                    visit_numbers(tensor, Columns { width, into: &mut columns }).ok_or(Misfit::DType)
                })
                .map_err(|_| {
                    Error::invalid_input(format!(
                        "{tensor:?} `{}` does not hold rows of {width} numbers",
                        features.tensor
                    ))
                })?;
        }
        Ok(columns)
    }
}

impl TensorFeatures {
    /// One feature in a tensor of the same name: `[batch]` or `[batch, 1]`.
    pub fn column(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { tensor: name.clone(), names: vec![name] }
    }

    /// A tensor whose rows hold these features, in row-major order.
    pub fn columns(tensor: impl Into<String>, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { tensor: tensor.into(), names: names.into_iter().map(Into::into).collect() }
    }

    /// A tensor whose rows are arrays of this shape: features `prefix_0_0`, `prefix_0_1`, ... in row-major
    /// order.
    pub fn grid(tensor: impl Into<String>, prefix: &str, shape: impl AsRef<[usize]>) -> Self {
        let mut names = vec![prefix.to_owned()];
        for &length in shape.as_ref() {
            names = names.iter().flat_map(|name| (0..length).map(move |i| format!("{name}_{i}"))).collect();
        }
        Self { tensor: tensor.into(), names }
    }

    /// The name of the tensor.
    #[must_use]
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// The names of its features, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// How many rows `tensor` holds, if its shape fits.
    pub(crate) fn rows_in(&self, tensor: &Tensor) -> Result<usize, Misfit> {
        match tensor.shape() {
            [rows, row @ ..] if row.iter().product::<usize>() == self.names.len() => Ok(*rows),
            _ => Err(Misfit::Shape),
        }
    }
}

impl Misfit {
    /// The reason as a metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing_tensor",
            Self::DType => "data_type",
            Self::Shape => "shape",
        }
    }
}

/// Splits row-major rows into columns.
struct Columns<'a> {
    width: usize,
    into: &'a mut Vec<Vec<f64>>,
}

impl Numbers for Columns<'_> {
    type Output = ();

    fn visit<T: Copy>(self, values: &[T], to_f64: impl Fn(T) -> f64) {
        for column in 0..self.width {
            let values = values.get(column..).unwrap_or_default().iter().step_by(self.width);
            self.into.push(values.map(|value| to_f64(*value)).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_features_are_refused() {
        for tensors in [
            vec![],
            vec![TensorFeatures::column("")],
            vec![TensorFeatures::columns("t", [""; 0])],
            vec![TensorFeatures::grid("t", "p", [2, 0])],
            vec![TensorFeatures::column("a"), TensorFeatures::column("a")],
            vec![TensorFeatures::column("a"), TensorFeatures::columns("t", ["b", "a"])],
        ] {
            assert!(Features::new(tensors).is_err());
        }
    }

    #[test]
    fn columns_come_from_any_numeric_type_and_any_shape_of_that_many() {
        let features = Features::new([
            TensorFeatures::column("flag"),
            TensorFeatures::columns("pair", ["a", "b"]),
            TensorFeatures::grid("grid", "g", [1, 2]),
        ])
        .unwrap();
        let inputs = Tensors::new()
            .with("flag", vec![true, false])
            .with("pair", ndarray::array![[1_i64, 2], [3, 4]])
            .with("grid", ndarray::array![[[0.5_f32, f32::NAN]], [[1.5, 2.5]]]);
        let columns = features.columns(&inputs).unwrap();
        assert_eq!(columns[..4], [vec![1.0, 0.0], vec![1.0, 3.0], vec![2.0, 4.0], vec![0.5, 1.5]]);
        assert!(columns[4][0].is_nan());

        let text = Tensor::from_byte_strings(&[2], ["x", "y"]).unwrap();
        assert!(features.columns(&inputs.clone().with("flag", text)).is_err());
        assert!(features.columns(&inputs.with("pair", vec![1.0_f64, 2.0])).is_err());
    }
}
