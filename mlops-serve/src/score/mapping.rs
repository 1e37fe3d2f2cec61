//! Which columns of a file are which inputs of the model.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use mlops_core::{Dimension, Error, Result, Signature, TensorSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::reader::{Column, Kind, Source};

/// What the user said about columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Columns {
    /// The columns of an input that are not called as it is.
    pub(super) inputs: BTreeMap<String, Vec<String>>,
    /// What stands in for nulls, by column.
    pub(super) fill: BTreeMap<String, Json>,
    /// The columns that are copied to the output.
    pub(super) kept: Vec<String>,
}

/// The columns of one file, as inputs of the model.
#[derive(Debug)]
pub(super) struct Mapping {
    /// The names of the columns that are read, each once. All indices are into these.
    pub(super) wanted: Vec<String>,
    /// What stands in for nulls in each of them.
    pub(super) fill: Vec<Json>,
    pub(super) inputs: Vec<Input>,
    /// The columns that are copied, in order.
    pub(super) kept: Vec<(usize, Column)>,
}

/// One input of the model.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) spec: TensorSpec,
    /// The columns whose values, one after the other, are a row of the input. A value may be a list.
    pub(super) columns: Vec<usize>,
}

/// Refuses signatures whose rows cannot be rows of a file, and columns for inputs that do not exist.
pub(super) fn check(signature: &Signature, columns: &Columns) -> Result<()> {
    for spec in signature.inputs().iter().filter(|spec| !spec.is_optional()).chain(signature.outputs()) {
        if spec.batch_axis() != Some(0) {
            let what = format!(
                "the model's `{}` is {spec}; to score files, the first dimension of every input and output \
                 must be the batch",
                spec.name()
            );
            return Err(Error::Unsupported { what });
        }
    }
    for spec in signature.inputs() {
        if spec.shape().iter().filter(|dimension| **dimension == Dimension::Free).count() > 1 {
            let what = format!(
                "the model's `{}` is {spec}; values in a row say the length of one free dimension only",
                spec.name()
            );
            return Err(Error::Unsupported { what });
        }
    }
    let known = |name: &str| signature.inputs().iter().any(|spec| spec.name() == name);
    if let Some(unknown) = columns.inputs.keys().find(|name| !known(name)) {
        let names: Vec<_> = signature.inputs().iter().map(TensorSpec::name).collect();
        let names = names.join("`, `");
        return Err(Error::invalid_input(format!(
            "columns are given for the input `{unknown}`, which the model does not have; it has `{names}`"
        )));
    }
    Ok(())
}

impl Mapping {
    /// Finds the columns of a file.
    pub(super) fn of(
        path: &Path,
        file: &dyn Source,
        signature: &Signature,
        columns: &Columns,
    ) -> Result<Self> {
        let mut mapping = Self { wanted: Vec::new(), fill: Vec::new(), inputs: Vec::new(), kept: Vec::new() };
        let mut indices = HashMap::new();
        let mut want = |name: String| {
            *indices.entry(name).or_insert_with_key(|name| {
                mapping.fill.push(columns.fill.get(name).cloned().unwrap_or_default());
                mapping.wanted.push(name.clone());
                mapping.wanted.len() - 1
            })
        };
        let mut missing = Vec::new();
        let known: HashMap<_, _> = file.columns().iter().map(|column| (&*column.name, column)).collect();
        let has = |name: &str| known.contains_key(name);
        for spec in signature.inputs().iter().filter(|spec| spec.batch_axis() == Some(0)) {
            let names = names(spec, columns, has);
            let absent: Vec<_> = names.iter().filter(|name| !has(name)).cloned().collect();
            if !absent.is_empty() && spec.is_optional() && !columns.inputs.contains_key(spec.name()) {
                continue;
            }
            missing.extend(absent);
            let columns = names.into_iter().map(&mut want).collect();
            mapping.inputs.push(Input { spec: spec.clone(), columns });
        }
        for name in &columns.kept {
            let column = match known.get(&**name) {
                Some(column) => Column::clone(column),
                None => {
                    missing.push(name.clone());
                    Column { name: name.clone(), kind: Kind::Text }
                }
            };
            mapping.kept.push((want(name.clone()), column));
        }
        if file.is_uniform() && !missing.is_empty() {
            return Err(Error::invalid_input(format!(
                "{} lacks the columns `{}`; it has `{}`. Rename them, or say which columns an input takes",
                path.display(),
                shortened(missing),
                shortened(file.columns().iter().map(|column| column.name.clone()).collect())
            )));
        }
        let used = |name: &String| mapping.wanted.contains(name);
        if let Some(unused) = columns.fill.keys().find(|name| !used(name)) {
            return Err(Error::invalid_input(format!(
                "a value is given for nulls in the column `{unused}`, but no input takes it"
            )));
        }
        Ok(mapping)
    }
}

/// The columns of an input: those the user named, else the one of its name, else `name_0`, `name_1`, ...
fn names(spec: &TensorSpec, columns: &Columns, has: impl Fn(&str) -> bool) -> Vec<String> {
    let name = spec.name();
    if let Some(named) = columns.inputs.get(name) {
        return named.clone();
    }
    let numbered = |index: usize| format!("{name}_{index}");
    if has(name) || !has(&numbered(0)) {
        return vec![name.to_owned()];
    }
    match elements(spec) {
        Some(count) => (0..count).map(numbered).collect(),
        None => (0..).map(numbered).take_while(|name| has(name)).collect(),
    }
}

/// How many elements a row of the tensor has, unless a dimension is free.
pub(super) fn elements(spec: &TensorSpec) -> Option<usize> {
    spec.shape().iter().try_fold(1_usize, |product, dimension| match dimension {
        Dimension::Fixed(length) => product.checked_mul(*length),
        Dimension::Batch => Some(product),
        Dimension::Free => None,
    })
}

/// The names in a message.
fn shortened(mut names: Vec<String>) -> String {
    const MOST: usize = 20;
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let names = names.join("`, `");
    if more == 0 { names } else { format!("{names}` and {more} more, such as `…") }
}
