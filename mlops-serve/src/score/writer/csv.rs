//! CSV, by the crate `csv`. A list takes a column per element.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::Writer;
use crate::score::table::{Layout, Table, flat_names};
use crate::score::value::Value;

pub(super) struct CsvWriter {
    layout: Arc<Layout>,
    csv: csv::Writer<File>,
}

impl CsvWriter {
    pub(super) fn start(file: File, delimiter: u8, layout: Arc<Layout>) -> io::Result<Self> {
        let mut csv = csv::WriterBuilder::new().delimiter(delimiter).from_writer(file);
        for (_, column) in &layout.kept {
            csv.write_field(&column.name)?;
        }
        for name in layout.outputs.iter().filter_map(flat_names).flatten() {
            csv.write_field(name)?;
        }
        csv.write_record(None::<&[u8]>)?;
        Ok(Self { layout, csv })
    }

    fn field(&mut self, value: &Value<'_>) -> io::Result<()> {
        Ok(self.csv.write_field(value.text().as_bytes())?)
    }
}

impl Writer for CsvWriter {
    fn write(&mut self, table: &Table<'_>) -> io::Result<()> {
        let layout = Arc::clone(&self.layout);
        for row in 0..table.len() {
            for column in 0..layout.kept.len() {
                self.field(&table.kept(row, column))?;
            }
            for (output, spec) in layout.outputs.iter().enumerate() {
                match table.output(row, output) {
                    Value::List(elements) => elements.iter().try_for_each(|element| self.field(element))?,
                    // An output that the model may leave out.
                    Value::Null => {
                        let columns = flat_names(spec).unwrap_or_default().len();
                        (0..columns).try_for_each(|_| self.field(&Value::Null))?;
                    }
                    value => self.field(&value)?,
                }
            }
            self.csv.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<File> {
        self.csv.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}
