//! What the features are called, and where in the inputs and outputs of a model they are.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use mlops_core::{DType, Error, Result, Tensor, Tensors};

use crate::numbers::{Numbers, visit_numbers};
use crate::{Table, TableColumn, Words};

/// The features of a model, in order, and the columns of the tensors that hold them.
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

/// The features that one tensor holds: one per element of a row.
///
/// A tensor fits when its first dimension is the batch, and the others multiply to the number of features; so
/// `[batch, 64]` and `[batch, 8, 8]` both hold 64 features, and `[batch]` holds one.
///
/// The elements of a BYTES tensor are categories; an empty one is a missing value. Numbers and BOOL are numbers,
/// unless [`categorical`](Self::categorical) says that they stand for categories.
///
/// ```
/// use mlops_monitor::{Features, TensorFeatures};
///
/// let features = Features::new([
///     TensorFeatures::columns("customer", ["income", "postcode"]).with_categorical(["postcode"]),
///     TensorFeatures::column("city"), // BYTES: categorical by itself
///     TensorFeatures::column("label").categorical().of_output(),
///     TensorFeatures::column("score").of_output(),
/// ])?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFeatures {
    source: Source,
    tensor: String,
    names: Vec<String>,
    categorical: BTreeSet<String>,
}

/// Where the tensor of a feature is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the inputs of a prediction.
    #[default]
    Input,
    /// In its outputs.
    Output,
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
    /// [`Error::InvalidInput`] when there is no feature, a name is empty, a tensor of one source or a feature
    /// comes twice, or what is said to be categorical is no feature.
    pub fn new(tensors: impl IntoIterator<Item = TensorFeatures>) -> Result<Self> {
        let features = Self { tensors: tensors.into_iter().collect() };
        if features.tensors.is_empty() {
            return Err(Error::invalid_input("a profile needs at least one feature"));
        }
        let (mut tensors, mut names) = (HashSet::new(), HashSet::new());
        for TensorFeatures { source, tensor, names: columns, categorical } in &features.tensors {
            if tensor.is_empty() || columns.is_empty() {
                return Err(Error::invalid_input(format!("tensor `{tensor}` has no name or no features")));
            }
            if !tensors.insert((source, tensor)) {
                return Err(Error::invalid_input(format!("tensor `{tensor}` comes twice")));
            }
            if let Some(name) = categorical.iter().find(|name| !columns.contains(name)) {
                return Err(Error::invalid_input(format!(
                    "`{name}` is said to be categorical, but is no feature of tensor `{tensor}`"
                )));
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

    /// One feature per column of a table, each in an input tensor of its name: BYTES where the column is text.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no column, or one without a name.
    pub fn of_table(table: &Table) -> Result<Self> {
        Self::new(table.names().map(TensorFeatures::column))
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

    /// Whether each feature is said to be categorical, in order.
    pub(crate) fn categorical(&self) -> impl Iterator<Item = bool> {
        self.tensors
            .iter()
            .flat_map(|tensor| tensor.names.iter().map(|name| tensor.categorical.contains(name)))
    }

    /// The column of each feature.
    pub(crate) fn columns_of<'a>(&self, table: &'a Table) -> Result<Vec<&'a TableColumn>> {
        let column = |name| {
            table.column(name).ok_or_else(|| Error::invalid_input(format!("there is no column `{name}`")))
        };
        self.names().map(column).collect()
    }

    /// The values of each feature, copied out of `inputs` and `outputs`.
    pub(crate) fn columns(&self, inputs: &Tensors, outputs: &Tensors) -> Result<Vec<TableColumn>> {
        let mut columns = Vec::with_capacity(self.len());
        for features in &self.tensors {
            let tensor = features.tensor_in(inputs, outputs);
            let tensor = tensor.ok_or_else(|| {
                Error::invalid_input(format!(
                    "there is no {} tensor `{}`",
                    features.source.name(),
                    features.tensor
                ))
            })?;
            features.append_columns(tensor, &mut columns).map_err(|_| {
                let (name, width) = (&features.tensor, features.names.len());
                Error::invalid_input(format!("{tensor:?} `{name}` does not hold rows of {width} values"))
            })?;
        }
        Ok(columns)
    }
}

impl Source {
    /// As it is written: `input`, `output`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl TensorFeatures {
    /// One feature in a tensor of the same name: `[batch]` or `[batch, 1]`.
    pub fn column(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::columns(name.clone(), [name])
    }

    /// A tensor whose rows hold these features, in row-major order.
    pub fn columns(tensor: impl Into<String>, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { source: Source::Input, tensor: tensor.into(), names, categorical: BTreeSet::new() }
    }

    /// A tensor whose rows are arrays of this shape: features `prefix_0_0`, `prefix_0_1`, ... in row-major
    /// order.
    pub fn grid(tensor: impl Into<String>, prefix: &str, shape: impl AsRef<[usize]>) -> Self {
        let mut names = vec![prefix.to_owned()];
        for &length in shape.as_ref() {
            names = names.iter().flat_map(|name| (0..length).map(move |i| format!("{name}_{i}"))).collect();
        }
        Self::columns(tensor, names)
    }

    /// Says that the numbers of all features of the tensor stand for categories: labels, codes, flags.
    #[must_use]
    pub fn categorical(mut self) -> Self {
        self.categorical.extend(self.names.iter().cloned());
        self
    }

    /// Says that the numbers of these features stand for categories.
    #[must_use]
    pub fn with_categorical(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.categorical.extend(names.into_iter().map(Into::into));
        self
    }

    /// Says that the tensor is one of the outputs of a prediction: then what drifts is what the model says.
    #[must_use]
    pub fn of_output(mut self) -> Self {
        self.source = Source::Output;
        self
    }

    /// Where the tensor is.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether the feature of that name is said to be categorical.
    #[must_use]
    pub fn is_categorical(&self, name: &str) -> bool {
        self.categorical.contains(name)
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

    /// The tensor of that name, where it is.
    pub(crate) fn tensor_in<'a>(&self, inputs: &'a Tensors, outputs: &'a Tensors) -> Option<&'a Tensor> {
        match self.source {
            Source::Input => inputs.get(&self.tensor),
            Source::Output => outputs.get(&self.tensor),
        }
    }

    /// The values of each feature, copied out of the tensor.
    fn append_columns(&self, tensor: &Tensor, columns: &mut Vec<TableColumn>) -> Result<(), Misfit> {
        self.rows_in(tensor)?;
        let width = self.names.len();
        if tensor.dtype() != DType::Bytes {
            return visit_numbers(tensor, Columns { width, into: columns }).ok_or(Misfit::DType);
        }
        let elements: Vec<_> = tensor.byte_strings().map_err(|_| Misfit::DType)?.map(word_of).collect();
        columns.extend((0..width).map(|column| {
            let column = elements.get(column..).unwrap_or_default().iter().step_by(width);
            let words: Words = column.map(|word| (!word.is_empty()).then_some(&**word)).collect();
            TableColumn::from(words)
        }));
        Ok(())
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

/// What an element of a BYTES tensor says; what is no UTF-8 in it is replaced.
pub(crate) fn word_of(element: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(element)
}

/// Splits row-major rows into columns.
struct Columns<'a> {
    width: usize,
    into: &'a mut Vec<TableColumn>,
}

impl Numbers for Columns<'_> {
    type Output = ();

    fn visit<T: Copy>(self, values: &[T], to_f64: impl Fn(T) -> f64) {
        for column in 0..self.width {
            let values = values.get(column..).unwrap_or_default().iter().step_by(self.width);
            self.into.push(TableColumn::floats(values.map(|value| to_f64(*value)).collect()));
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
            vec![TensorFeatures::column("a"), TensorFeatures::column("a").of_output()],
            vec![TensorFeatures::column("a").with_categorical(["b"])],
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
        let none = Tensors::new();
        let columns = features.columns(&inputs, &none).unwrap();
        let columns: Vec<_> = columns.iter().map(|column| column.as_numbers().unwrap()).collect();
        assert_eq!(columns[..4], [[1.0, 0.0], [1.0, 3.0], [2.0, 4.0], [0.5, 1.5]]);
        assert!(columns[4][0].is_nan());
        assert!(features.columns(&inputs.with("pair", vec![1.0_f64, 2.0]), &none).is_err());
    }

    #[test]
    fn words_come_from_bytes_and_outputs_from_the_outputs() {
        let features = Features::new([
            TensorFeatures::columns("x", ["city", "country"]),
            TensorFeatures::column("label").of_output(),
        ])
        .unwrap();
        let x = Tensor::from_byte_strings(&[2, 2], [&b"Oslo"[..], b"NO", b"\xff", b""]).unwrap();
        let (inputs, outputs) = (Tensors::new().with("x", x), Tensors::new().with("label", vec![3_i64, 4]));
        let columns = features.columns(&inputs, &outputs).unwrap();
        let words = |column: &TableColumn| {
            column.as_words().unwrap().iter().map(|word| word.map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(words(&columns[0]), [Some("Oslo".to_owned()), Some("\u{fffd}".to_owned())]);
        assert_eq!(words(&columns[1]), [Some("NO".to_owned()), None]);
        assert_eq!(columns[2].as_numbers(), Some(&[3.0, 4.0][..]));
        let error = features.columns(&inputs, &inputs).unwrap_err();
        assert_eq!(error.to_string(), "invalid input: there is no output tensor `label`");
    }
}
