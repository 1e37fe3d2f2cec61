//! The rows of the input, as calls to be made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlops_core::{Result, Signature};

use super::encode::{Fault, Group, encode};
use super::folder::Finished;
use super::job::Job;
use super::mapping::Mapping;
use super::reader::{self, Limit, Reader};
use super::record::{Position, Record};
use super::table::Layout;

/// Consecutive rows of one part of one file.
pub(super) struct Batch {
    pub(super) file: usize,
    pub(super) part: usize,
    pub(super) layout: Arc<Layout>,
    pub(super) records: Vec<Record>,
    pub(super) groups: Vec<Group>,
    pub(super) faults: Vec<Fault>,
    /// Where in the file the next batch begins.
    pub(super) end: Position,
    pub(super) closes: Closes,
}

/// What ends with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closes {
    Nothing,
    Part,
    File,
}

/// Reads all files, one after the other, from where they are not finished.
pub(super) struct Batches {
    job: Arc<Job>,
    batch_rows: usize,
    /// The files that are left, the next one last.
    files: Vec<(usize, PathBuf, Finished)>,
    open: Option<Open>,
}

/// The file that is read.
struct Open {
    file: usize,
    part: usize,
    mapping: Mapping,
    layout: Arc<Layout>,
    reader: Box<dyn Reader>,
    /// The rows after the ones that were given away, to know whether those were the last.
    ahead: Vec<Record>,
    rows_in_part: u64,
}

impl Batches {
    pub(super) fn new(
        job: Arc<Job>,
        batch_rows: usize,
        files: Vec<PathBuf>,
        finished: Vec<Finished>,
    ) -> Self {
        let files = files.into_iter().zip(finished).enumerate();
        let left = files.filter(|(_, (_, finished))| !finished.all);
        let mut files: Vec<_> = left.map(|(index, (path, finished))| (index, path, finished)).collect();
        files.reverse();
        Self { job, batch_rows, files, open: None }
    }

    /// The next rows; `None` when all files are read.
    pub(super) fn next(&mut self) -> Result<Option<Batch>> {
        let Self { job, batch_rows, files, open: current } = self;
        let open = match current {
            Some(open) => open,
            None => match files.pop() {
                None => return Ok(None),
                Some((file, path, finished)) => {
                    current.insert(Open::new(job, *batch_rows, file, &path, &finished)?)
                }
            },
        };
        let batch = open.next(job.part_rows, *batch_rows)?;
        if batch.closes == Closes::File {
            *current = None;
        }
        Ok(Some(batch))
    }
}

impl Open {
    fn new(job: &Job, batch_rows: usize, file: usize, path: &Path, finished: &Finished) -> Result<Self> {
        let source = reader::open(path, job.files[file].format, Limit(job.record_bytes))?;
        let mapping = Mapping::of(path, &*source, &job.signature, &job.columns)?;
        let outputs = Signature::outputs(&job.signature).to_vec();
        let layout = Arc::new(Layout { kept: mapping.kept.clone(), outputs });
        let mut reader = source.read_from(&mapping.wanted, finished.position)?;
        let ahead = reader.read(left(job.part_rows, 0, batch_rows))?;
        Ok(Self { file, part: finished.parts, mapping, layout, reader, ahead, rows_in_part: 0 })
    }

    fn next(&mut self, part_rows: u64, batch_rows: usize) -> Result<Batch> {
        let (part, end) = (self.part, self.reader.position());
        let records = std::mem::take(&mut self.ahead);
        self.rows_in_part += records.len() as u64;
        let is_full = self.rows_in_part >= part_rows;
        if is_full {
            self.part += 1;
            self.rows_in_part = 0;
        }
        self.ahead = self.reader.read(left(part_rows, self.rows_in_part, batch_rows))?;
        let closes = match (self.ahead.is_empty(), is_full) {
            (true, _) => Closes::File,
            (false, true) => Closes::Part,
            (false, false) => Closes::Nothing,
        };
        let (groups, faults) = encode(&self.mapping, &records)?;
        let layout = Arc::clone(&self.layout);
        Ok(Batch { file: self.file, part, layout, records, groups, faults, end, closes })
    }
}

/// How many rows the next batch of a part may have.
fn left(part_rows: u64, rows_in_part: u64, batch_rows: usize) -> usize {
    usize::try_from(part_rows - rows_in_part).map_or(batch_rows, |left| left.min(batch_rows))
}
