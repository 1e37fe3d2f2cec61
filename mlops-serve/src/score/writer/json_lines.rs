//! JSON Lines: one object per row.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Writer;
use crate::score::table::{Layout, Table};

pub(super) struct JsonLinesWriter {
    layout: Arc<Layout>,
    file: BufWriter<File>,
}

/// One row as an object.
struct Object<'a> {
    layout: &'a Layout,
    table: &'a Table<'a>,
    row: usize,
}

impl JsonLinesWriter {
    pub(super) fn start(file: File, layout: Arc<Layout>) -> Self {
        Self { layout, file: BufWriter::new(file) }
    }
}

impl Writer for JsonLinesWriter {
    fn write(&mut self, table: &Table<'_>) -> io::Result<()> {
        for row in 0..table.len() {
            serde_json::to_writer(&mut self.file, &Object { layout: &self.layout, table, row })?;
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<File> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { layout, table, row } = *self;
        let kept = layout.kept.iter().enumerate();
        let kept = kept.map(|(index, (_, column))| (&*column.name, table.kept(row, index)));
        let outputs = layout.outputs.iter().enumerate();
        let outputs = outputs.map(|(index, spec)| (spec.name(), table.output(row, index)));
        serializer.collect_map(kept.chain(outputs))
    }
}
