//! CSV, by the crate `csv`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::{ByteRecord, ReaderBuilder, StringRecord};
use mlops_core::{Error, Result};

use super::{Column, Kind, Limit, Reader, Source};
use crate::score::failure::{OnFile, malformed};
use crate::score::record::{Content, Position, Record};

/// An open CSV file whose header was read.
pub(super) struct CsvSource {
    path: PathBuf,
    reader: csv::Reader<Bounded<File>>,
    columns: Vec<Column>,
    limit: Limit,
}

/// Reads the rows of a CSV file.
struct CsvReader {
    path: PathBuf,
    reader: csv::Reader<Bounded<File>>,
    width: usize,
    wanted: Arc<[usize]>,
    limit: Limit,
    rows: u64,
}

impl CsvSource {
    pub(super) fn open(path: &Path, delimiter: u8, limit: Limit) -> Result<Self> {
        let file = Bounded { inner: File::open(path).on_file("read", path)?, left: 0 };
        // Rows of another width are told from others here: they are to be kept, not skipped.
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(file);
        reader.get_mut().left = limit.0;
        let header = reader.byte_headers().map_err(|cause| failed(path, 0, limit, cause))?;
        let name = |field: &[u8]| {
            let name = std::str::from_utf8(field).map_err(|cause| malformed(path, "its header", cause))?;
            Ok(Column { name: name.trim().to_owned(), kind: Kind::Text })
        };
        let columns = header.iter().map(name).collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), reader, columns, limit })
    }
}

impl Source for CsvSource {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn read_from(mut self: Box<Self>, wanted: &[String], position: Position) -> Result<Box<dyn Reader>> {
        let index = |name: &String| {
            let mut found = self.columns.iter().enumerate().filter(|(_, column)| column.name == *name);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                (None, _) => Err(malformed(&self.path, "its header", format!("there is no column `{name}`"))),
                (Some(_), Some(_)) => {
                    Err(malformed(&self.path, "its header", format!("the column `{name}` comes twice")))
                }
            }
        };
        let wanted = wanted.iter().map(index).collect::<Result<_>>()?;
        if position != Position::default() {
            let mut start = csv::Position::new();
            start.set_byte(position.byte).set_line(position.line + 1).set_record(position.row + 1);
            self.reader.seek(start).map_err(|cause| failed(&self.path, position.row, self.limit, cause))?;
        }
        let Self { path, reader, columns, limit } = *self;
        Ok(Box::new(CsvReader { path, reader, width: columns.len(), wanted, limit, rows: position.row }))
    }
}

impl CsvReader {
    fn record(&self, record: ByteRecord) -> Record {
        let line = record.position().map(csv::Position::line);
        let fields = record.len();
        let content = match StringRecord::from_byte_record(record) {
            Err(error) => {
                let reason = error.utf8_error().to_string();
                let raw = error.into_byte_record().iter().map(String::from_utf8_lossy).collect();
                Content::Unreadable { raw, reason }
            }
            Ok(record) if fields != self.width => {
                let reason = format!("the row has {fields} fields, but the header has {}", self.width);
                Content::Unreadable { raw: record.iter().collect(), reason }
            }
            Ok(fields) => Content::Fields { fields, wanted: Arc::clone(&self.wanted) },
        };
        Record { row: self.rows, line, content }
    }
}

impl Reader for CsvReader {
    fn read(&mut self, rows: usize) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let from = self.reader.position().byte();
        while records.len() < rows && !self.limit.is_reached(from, self.reader.position().byte()) {
            let mut record = ByteRecord::new();
            self.reader.get_mut().left = self.limit.0;
            match self.reader.read_byte_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {
                    self.rows += 1;
                    records.push(self.record(record));
                }
                Err(cause) => return Err(failed(&self.path, self.rows, self.limit, cause)),
            }
        }
        Ok(records)
    }

    fn position(&self) -> Position {
        let position = self.reader.position();
        Position { row: self.rows, line: position.line() - 1, byte: position.byte() }
    }
}

/// The error of a file whose rows cannot be told apart any more.
fn failed(path: &Path, rows_before: u64, limit: Limit, cause: csv::Error) -> Error {
    let row = rows_before + 1;
    match cause.into_kind() {
        csv::ErrorKind::Io(cause) if cause.kind() == io::ErrorKind::FileTooLarge => {
            let why = format!("it is longer than {} bytes; is a quote not closed?", limit.0);
            malformed(path, format!("row {row}"), why)
        }
        csv::ErrorKind::Io(cause) => match Err::<(), _>(cause).on_file("read", path) {
            Err(error) => error,
            Ok(()) => Error::internal("an error is no success"),
        },
        other => malformed(path, format!("row {row}"), format!("{other:?}")),
    }
}

/// A file of which no more than `left` bytes may be read before that is set anew: an open quote must not
/// read a whole file into memory.
struct Bounded<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
