//! Data frames: rows of columns, on their way into the inputs.

use std::collections::HashMap;

use mlops_core::{Dimension, InvalidInput, Signature, TensorSpec, Tensors};

use super::csv;
use crate::http::nested::Column;

/// The rows of a data frame, as far as they have come.
pub(super) struct Frame<'s> {
    names: Vec<String>,
    positions: HashMap<String, usize>,
    inputs: Inputs<'s>,
    rows: usize,
}

/// Where the columns go.
enum Inputs<'s> {
    /// Each into the input of its name.
    Named(Vec<Column<'s>>),
    /// All, in their order, into the rows of the only input.
    Matrix(Column<'s>),
}

impl<'s> Frame<'s> {
    pub(super) fn new(signature: &'s Signature, names: Vec<String>) -> Result<Self, InvalidInput> {
        let mut positions = HashMap::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            if positions.insert(name.clone(), position).is_some() {
                let name = name.escape_debug();
                return Err(InvalidInput::Other(format!("column `{name}` comes twice")));
            }
        }
        let inputs = match matrix(signature, &names) {
            Some((spec, Dimension::Fixed(length))) if length != names.len() => {
                let (name, came) = (spec.name(), names.len());
                return Err(InvalidInput::Other(format!(
                    "input `{name}` takes {length} columns, but {came} came"
                )));
            }
            Some((spec, _)) => Inputs::Matrix(Column::new(spec).with_missing_values()),
            None => Inputs::Named(named(signature, &names)?),
        };
        Ok(Self { names, positions, inputs, rows: 0 })
    }

    /// The names of the columns, in their order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Which column has that name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// How many rows have come.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Where the next cell of the column at that position goes, and how many arrays are around it.
    pub(super) fn cell(&mut self, position: usize) -> (&mut Column<'s>, usize) {
        match &mut self.inputs {
            Inputs::Named(columns) => (&mut columns[position], 1),
            Inputs::Matrix(matrix) => (matrix, 2),
        }
    }

    /// Takes a row of as many texts as there are columns.
    pub(super) fn push_texts<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<(), InvalidInput> {
        for (position, text) in texts.enumerate().take(self.names.len()) {
            let (column, depth) = self.cell(position);
            column.push(csv::scalar(text, column.spec().dtype()), depth)?;
        }
        self.end_row()
    }

    /// Ends a row of which every cell has come.
    pub(super) fn end_row(&mut self) -> Result<(), InvalidInput> {
        self.rows += 1;
        match &mut self.inputs {
            Inputs::Named(_) => Ok(()),
            Inputs::Matrix(matrix) => matrix.close_array(1, self.names.len()),
        }
    }

    pub(super) fn finish(self) -> Result<Tensors, InvalidInput> {
        let columns = match self.inputs {
            Inputs::Named(columns) => columns,
            Inputs::Matrix(matrix) => vec![matrix],
        };
        let mut inputs = Tensors::new();
        for mut column in columns {
            column.close_array(0, self.rows)?;
            inputs.insert(column.spec().name(), column.finish()?);
        }
        Ok(inputs)
    }
}

/// The only input and the length of its rows, if it has rows, and the column is not simply that input.
fn matrix<'s>(signature: &'s Signature, names: &[String]) -> Option<(&'s TensorSpec, Dimension)> {
    let [spec] = signature.inputs() else { return None };
    let [_, length] = spec.shape() else { return None };
    let is_input = names == [spec.name()] && *length != Dimension::Fixed(1);
    (!is_input).then_some((spec, *length))
}

fn named<'s>(signature: &'s Signature, names: &[String]) -> Result<Vec<Column<'s>>, InvalidInput> {
    let inputs = signature.inputs();
    let column = |name: &String| {
        inputs
            .iter()
            .find(|spec| spec.name() == name)
            .map(|spec| Column::new(spec).with_missing_values())
            .ok_or_else(|| {
                let known = inputs.iter().map(TensorSpec::name).collect::<Vec<_>>().join("`, `");
                let name = name.escape_debug();
                InvalidInput::Other(format!("column `{name}` is no input; inputs are `{known}`"))
            })
    };
    names.iter().map(column).collect()
}
