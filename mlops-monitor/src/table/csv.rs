//! Rows of comma-separated values.

use std::io::Seek;
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::csv::reader::Format;
use arrow::csv::{Reader, ReaderBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use mlops_core::{Error, Result};

use super::files::{Counted, Opened, Origin, select};
use super::options::batch_rows;
use super::reading::Reading;
use super::{Table, TableColumn, TableOptions};

/// Batches of a CSV file. Every field is taken as text first, and then as what its column holds.
struct Batches {
    origin: Origin,
    reader: Reader<Counted>,
    names: Vec<String>,
    options: TableOptions,
    /// What the columns hold, once the first batch is known.
    readings: Vec<Reading>,
    rows: u64,
}

pub(super) fn open(
    origin: Origin,
    mut file: Counted,
    delimiter: u8,
    options: TableOptions,
) -> Result<Opened> {
    let format = Format::default().with_header(true).with_delimiter(delimiter);
    let (header, _) = format.infer_schema(&mut file.file, Some(0)).map_err(|error| origin.broken(error))?;
    file.file.rewind().map_err(|error| origin.unreadable(error))?;
    let names: Vec<String> = header.fields().iter().map(|field| field.name().clone()).collect();
    let names: Vec<String> = names
        .into_iter()
        .enumerate()
        .map(|(i, name)| if i == 0 { name.trim_start_matches('\u{feff}').to_owned() } else { name })
        .collect();
    if names.is_empty() {
        return Err(Error::invalid_input(format!(
            "{origin} is empty: it has no line with the names of columns"
        )));
    }
    let selected = select(&origin, &names, &options)?;
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let reader = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_format(format)
        .with_batch_size(batch_rows(selected.len()))
        .with_projection(selected.clone())
        .build(file)
        .map_err(|error| origin.broken(error))?;
    let names: Vec<String> = selected.into_iter().map(|index| names[index].clone()).collect();
    let batches = Batches { origin, reader, names: names.clone(), options, readings: Vec::new(), rows: 0 };
    Ok(Opened { names, batches: Box::new(batches) })
}

impl Batches {
    fn table(&mut self, batch: &RecordBatch) -> Result<Table> {
        let columns: Vec<&StringArray> =
            batch.columns().iter().filter_map(|column| column.as_string_opt()).collect();
        if self.readings.is_empty() {
            let readings = self.names.iter().zip(&columns).map(|(name, column)| {
                let words = words(column, &self.options).flatten();
                let inferred = words.map(|word| Reading::of(word.trim_ascii())).reduce(Reading::and);
                Reading::decided(inferred, self.options.kinds.get(name).copied())
            });
            self.readings = readings.collect();
        }
        let named = self.names.iter().zip(&self.readings).zip(columns);
        let table = named
            .map(|((name, reading), column)| Ok((name.clone(), self.column(name, *reading, column)?)))
            .collect::<Result<Vec<_>>>()
            .and_then(Table::new)?;
        self.rows += table.rows() as u64;
        Ok(table)
    }

    fn column(&self, name: &str, reading: Reading, column: &StringArray) -> Result<TableColumn> {
        let words = words(column, &self.options);
        if reading == Reading::Text {
            return Ok(TableColumn::words(words));
        }
        let number = |(index, word): (usize, Option<&str>)| match word {
            None => Ok(f64::NAN),
            Some(word) => reading
                .number(word)
                .ok_or_else(|| self.origin.misfit(self.rows + index as u64 + 1, name, reading.name(), word)),
        };
        Ok(reading.column(words.enumerate().map(number).collect::<Result<_>>()?))
    }
}

fn words<'a>(column: &'a StringArray, options: &'a TableOptions) -> impl Iterator<Item = Option<&'a str>> {
    column.iter().map(|word| word.filter(|word| !options.is_missing(word.trim_ascii())))
}

impl Iterator for Batches {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Result<Table>> {
        Some(match self.reader.next()? {
            Ok(batch) => self.table(&batch),
            Err(error) => Err(self.origin.broken(error)),
        })
    }
}
