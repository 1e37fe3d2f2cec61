//! What columns there are, and whether two files have the same.

use std::path::{Path, PathBuf};

use mlops_core::{Error, Result, Tensor, Tensors};
use mlops_monitor::{
    Features, Table, TableColumn, TableOptions, TableReader, TensorFeatures, ValueKind, Values,
};

use super::arguments::Arguments;

/// The columns of a file.
pub struct Schema {
    path: PathBuf,
    columns: Vec<SchemaColumn>,
    missing: Vec<String>,
}

struct SchemaColumn {
    name: String,
    kind: ValueKind,
    /// Whether the first rows hold no value, so that the kind says nothing.
    empty: bool,
}

impl Schema {
    /// The columns of the file at `path`, by its first rows.
    pub fn of(path: &Path, arguments: &Arguments) -> Result<Self> {
        let options = TableOptions::default().with_missing(&arguments.missing);
        let mut reader = TableReader::open_with(path, options)?;
        let first = reader.next().transpose()?.filter(|table| table.rows() > 0);
        let Some(first) = first else {
            return Err(Error::invalid_input(format!("`{}` has no rows", path.display())));
        };
        let columns = first.columns().map(|(name, column)| SchemaColumn {
            name: name.to_owned(),
            kind: column.kind(),
            empty: column.missing() == column.len(),
        });
        Ok(Self { path: path.to_owned(), columns: columns.collect(), missing: arguments.missing.clone() })
    }

    /// Leaves columns out.
    pub fn without(mut self, ignored: &[String]) -> Result<Self> {
        self.require(ignored)?;
        self.columns.retain(|column| !ignored.contains(&column.name));
        if self.columns.is_empty() {
            return Err(Error::invalid_input("every column is left out; there is nothing to compare"));
        }
        Ok(self)
    }

    /// Proves that the columns are there.
    pub fn require<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Result<()> {
        let unknown = names.into_iter().find(|name| !self.columns.iter().any(|column| column.name == **name));
        match unknown {
            None => Ok(()),
            Some(name) => Err(Error::invalid_input(format!(
                "`{}` has no column `{name}`; it has {}",
                self.path.display(),
                list(self.columns.iter().map(|column| column.name.as_str()))
            ))),
        }
    }

    /// Proves that `current` can be compared with this reference. The order of columns does not matter, and columns
    /// that only `current` has are none of its business: returns their names.
    pub fn check<'a>(&self, current: &'a Self) -> Result<Vec<&'a str>> {
        let find = |schema: &'a Self, name: &str| schema.columns.iter().find(|column| column.name == name);
        let absent = self.columns.iter().filter(|column| find(current, &column.name).is_none());
        let absent: Vec<&str> = absent.map(|column| column.name.as_str()).collect();
        if !absent.is_empty() {
            return Err(Error::invalid_input(format!(
                "`{}` lacks columns of the reference: {}; leave them out with --ignore",
                current.path.display(),
                list(absent)
            )));
        }
        for column in &self.columns {
            let Some(other) = find(current, &column.name) else { continue };
            let comparable = (column.kind == ValueKind::Text) == (other.kind == ValueKind::Text);
            if !comparable && !column.empty && !other.empty {
                return Err(Error::invalid_input(format!(
                    "column `{}` holds {} in `{}`, but {} in `{}`; leave it out with --ignore, or say with --missing \
                     which words stand for missing values",
                    column.name,
                    kind(column.kind),
                    self.path.display(),
                    kind(other.kind),
                    current.path.display()
                )));
            }
        }
        let extra =
            current.columns.iter().filter(|column| !self.columns.iter().any(|it| it.name == column.name));
        Ok(extra.map(|column| column.name.as_str()).collect())
    }

    /// How files are read so that all have these columns, in this order.
    pub fn options(&self) -> TableOptions {
        let options = TableOptions::default()
            .with_columns(self.columns.iter().map(|column| column.name.as_str()))
            .with_missing(&self.missing);
        let texts = self.columns.iter().filter(|column| column.kind == ValueKind::Text);
        texts.fold(options, |options, column| options.with_kind(column.name.as_str(), ValueKind::Text))
    }

    /// One feature per column.
    pub fn features(&self, categorical: &[String]) -> Result<Features> {
        self.require(categorical)?;
        Features::new(self.columns.iter().map(|SchemaColumn { name, .. }| {
            let feature = TensorFeatures::column(name.as_str());
            if categorical.contains(name) { feature.categorical() } else { feature }
        }))
    }

    /// Rows of a table as tensors, one per column.
    pub fn tensors(&self, table: &Table, rows: std::ops::Range<usize>) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for SchemaColumn { name, kind, .. } in &self.columns {
            if let Some(column) = table.column(name) {
                tensors = tensors.with(name.as_str(), tensor(column, *kind, rows.clone())?);
            }
        }
        Ok(tensors)
    }
}

/// Rows of a column: BYTES where the reference holds text.
fn tensor(column: &TableColumn, kind: ValueKind, rows: std::ops::Range<usize>) -> Result<Tensor> {
    let size = [rows.len()];
    match (column.values(), kind) {
        (Values::Words(words), _) => {
            let words = words.iter().skip(rows.start).take(rows.len());
            Ok(Tensor::from_byte_strings(&size, words.map(Option::unwrap_or_default))?)
        }
        (Values::Numbers(numbers), ValueKind::Text) => {
            let text = |number: &f64| if number.is_nan() { String::new() } else { number.to_string() };
            Ok(Tensor::from_byte_strings(&size, numbers[rows].iter().map(text))?)
        }
        (Values::Numbers(numbers), _) => Ok(Tensor::from(numbers[rows].to_vec())),
    }
}

fn kind(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Boolean => "true and false",
        ValueKind::Integer => "whole numbers",
        ValueKind::Text => "text",
        _ => "numbers",
    }
}

/// The first of many names.
fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        0..=SHOWN => names.join(", "),
        more => format!("{} and {} more", names[..SHOWN].join(", "), more - SHOWN),
    }
}
