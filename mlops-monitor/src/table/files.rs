//! Files of rows: CSV, Parquet and JSON Lines.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlops_core::{Error, Result};

use super::{Table, TableOptions, csv, json, parquet};

/// Reads the rows of a file in batches of bounded size: at most 65,536 rows, fewer of a table with more than 128
/// columns.
///
/// | extension | is |
/// |---|---|
/// | `csv`, `tsv` | RFC 4180 in UTF-8, with a line of names; fields between commas or tabs |
/// | `parquet`, `pq` | Parquet |
/// | `jsonl`, `ndjson`, `json` | a JSON object per line |
///
/// **Kinds.** Parquet says what its columns hold. Else the first batch tells: whole numbers, numbers (`NaN` and
/// `inf` are), `true` and `false`, dates and times of ISO 8601 (UTC where no offset is given; microseconds), or,
/// if it is none of these throughout, text. A column without any value is one of numbers. A later value that does
/// not fit is an error that names row and column, never a silent change; [`TableOptions::kinds`] says what a
/// column holds beforehand. Only whole numbers may be followed by fractions.
///
/// **Missing** are empty fields, nulls, NaN, absent members of JSON objects, and what
/// [`TableOptions::missing`] says. White space around numbers is skipped, that of text is its own. Blank lines are
/// no rows.
///
/// ```
/// use mlops_monitor::{Table, TableReader};
///
/// # let folder = tempfile::tempdir().map_err(|error| mlops_core::Error::internal(error.to_string()))?;
/// let path = folder.path().join("people.csv");
/// # std::fs::write(&path, "age,city\n31,Oslo\n,Bergen\n").map_err(|error| mlops_core::Error::internal(error.to_string()))?;
/// let mut reader = TableReader::open(&path)?;
/// assert_eq!(reader.names().collect::<Vec<_>>(), ["age", "city"]);
/// let mut rows = 0;
/// while let Some(table) = reader.next() {
///     rows += table?.rows();
///     println!("{} of {} bytes", reader.bytes_read(), reader.bytes_total());
/// }
/// assert_eq!(rows, 2);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct TableReader {
    path: PathBuf,
    names: Vec<String>,
    batches: Option<Batches>,
    read: Arc<AtomicU64>,
    total: u64,
}

type Batches = Box<dyn Iterator<Item = Result<Table>> + Send>;

/// A file whose columns are known.
pub(super) struct Opened {
    pub(super) names: Vec<String>,
    pub(super) batches: Batches,
}

/// What file it is, for errors.
#[derive(Debug, Clone)]
pub(super) struct Origin(PathBuf);

/// A file that tells how much of it was read.
pub(super) struct Counted {
    pub(super) file: File,
    pub(super) read: Arc<AtomicU64>,
}

impl TableReader {
    /// Opens a file by its extension, and reads all its columns.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such file, [`Error::InvalidInput`] when it is empty, damaged, or has
    /// an unknown extension, a column without a name, or two of one name.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, TableOptions::default())
    }

    /// Opens a file by its extension, with options.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); [`Error::InvalidInput`] when a column that an option names is not there.
    pub fn open_with(path: impl AsRef<Path>, options: TableOptions) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let origin = Origin(path.clone());
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let extension = extension.to_ascii_lowercase();
        let known = ["csv", "tsv", "parquet", "pq", "jsonl", "ndjson", "json"];
        if !known.contains(&extension.as_str()) {
            return Err(Error::invalid_input(format!(
                "{origin} has none of the extensions that say how to read it: {}",
                known.join(", ")
            )));
        }
        let file = File::open(&path).map_err(|error| origin.unreadable(error))?;
        let total = file.metadata().map_err(|error| origin.unreadable(error))?.len();
        let read = Arc::new(AtomicU64::new(0));
        let file = Counted { file, read: Arc::clone(&read) };
        let Opened { names, batches } = match extension.as_str() {
            "csv" => csv::open(origin, file, b',', options)?,
            "tsv" => csv::open(origin, file, b'\t', options)?,
            "parquet" | "pq" => parquet::open(origin, file, options)?,
            _ => json::open(origin, file, options)?,
        };
        Ok(Self { path, names, batches: Some(batches), read, total })
    }

    /// The names of the columns, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// How much of the file was read, in bytes: at most [`bytes_total`](Self::bytes_total).
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed).min(self.total)
    }

    /// How long the file was when it was opened, in bytes.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.total
    }
}

/// After an error there is nothing more.
impl Iterator for TableReader {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Result<Table>> {
        let next = self.batches.as_mut()?.next();
        if !matches!(next, Some(Ok(_))) {
            self.batches = None;
        }
        next
    }
}

impl fmt::Debug for TableReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableReader")
            .field("path", &self.path)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The positions of the columns that shall be read, in the order that was asked for.
pub(super) fn select(origin: &Origin, names: &[String], options: &TableOptions) -> Result<Vec<usize>> {
    let fault = |what: String| Error::invalid_input(format!("{origin} {what}"));
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(fault(format!("has no name for column {}", index + 1)));
        }
        if names[..index].contains(name) {
            return Err(fault(format!("has two columns `{name}`")));
        }
    }
    let position = |wanted: &String| {
        let known = || names.iter().take(20).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let position = names.iter().position(|name| name == wanted);
        position.ok_or_else(|| fault(format!("has no column `{wanted}`; it has {}", known())))
    };
    options.kinds.keys().try_for_each(|name| position(name).map(drop))?;
    match &options.columns {
        Some(columns) => columns.iter().map(position).collect(),
        None => Ok((0..names.len()).collect()),
    }
}

impl Origin {
    pub(super) fn unreadable(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::not_found(format!("file {self}")),
            _ => Error::unavailable(format!("{self} cannot be read")).with_source(error),
        }
    }

    pub(super) fn broken(&self, error: impl fmt::Display) -> Error {
        Error::invalid_input(format!("{self} is not what its extension says, or damaged: {error}"))
    }

    /// A value that is not what its column holds.
    pub(super) fn misfit(&self, row: u64, column: &str, holds: &str, value: &str) -> Error {
        let value: String = value.chars().take(40).collect();
        Error::invalid_input(format!(
            "{self}, row {row}: column `{column}` holds {holds}, but here `{value}`; say that it holds text, or that \
             such a value is a missing one"
        ))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.display())
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
