//! The scored rows, written part by part.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlops_core::{Error, Result};
use serde::Serialize;

use super::batches::{Batch, Closes};
use super::call::Answer;
use super::encode::Fault;
use super::failure::OnFile;
use super::folder::{Folder, PartSummary};
use super::job::Job;
use super::record::Position;
use super::table::Table;
use super::writer::{self, Writer};

/// A batch, and what came of it.
pub(super) struct Scored {
    pub(super) batch: Batch,
    pub(super) answers: Vec<Answer>,
    pub(super) faults: Vec<Fault>,
}

/// What was written of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) file: usize,
    pub(super) scored: u64,
    pub(super) quarantined: u64,
    pub(super) end: Position,
    pub(super) closes: Closes,
}

/// Writes batches that come in order.
pub(super) struct Output {
    /// `None` when it was closed.
    folder: Option<Folder>,
    job: Arc<Job>,
    max_errors: u64,
    quarantined: u64,
    part: Option<Part>,
}

/// The part that is being written.
struct Part {
    path: PathBuf,
    rows: Box<dyn Writer>,
    quarantine: Option<BufWriter<File>>,
    scored: u64,
    quarantined: u64,
}

/// A line of the quarantine.
#[derive(Serialize)]
struct Quarantined<'a> {
    file: &'a str,
    row: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    reason: &'a str,
    record: serde_json::Value,
}

impl Output {
    pub(super) fn new(folder: Folder, job: Arc<Job>, max_errors: u64, quarantined: u64) -> Self {
        Self { folder: Some(folder), job, max_errors, quarantined, part: None }
    }

    pub(super) fn write(&mut self, scored: Scored) -> Result<Written> {
        let Some(folder) = &self.folder else { return Err(Error::internal("the output is closed")) };
        let Scored { batch, answers, mut faults } = scored;
        let part = match &mut self.part {
            Some(part) => part,
            none => none.insert(Part::start(folder, &self.job, &batch)?),
        };
        let table = Table::new(&batch.layout, &batch.records, &answers, &mut faults)?;
        part.rows.write(&table).on_file("write", &part.path)?;
        part.scored += table.len() as u64;
        faults.sort_unstable_by_key(|fault| fault.row);
        let quarantine = folder.unfinished_quarantine(batch.file, batch.part);
        for fault in &faults {
            self.quarantined += 1;
            part.quarantine(&quarantine, &self.job, &batch, fault)?;
            if self.quarantined > self.max_errors {
                return Err(too_many(self.max_errors, &self.job, &batch, fault));
            }
        }
        let written = Written {
            file: batch.file,
            scored: table.len() as u64,
            quarantined: faults.len() as u64,
            end: batch.end,
            closes: batch.closes,
        };
        if batch.closes != Closes::Nothing
            && let Some(part) = self.part.take()
        {
            part.finish(folder, &batch)?;
        }
        Ok(written)
    }

    /// Lets go of the folder, so that another run may write there.
    pub(super) fn close(&mut self) {
        (self.part, self.folder) = (None, None);
    }
}

impl Part {
    fn start(folder: &Folder, job: &Job, batch: &Batch) -> Result<Self> {
        let path = folder.unfinished(batch.file, batch.part);
        let rows = File::create(&path).and_then(|file| writer::start(job.format, &batch.layout, file));
        let rows = rows.on_file("write", &path)?;
        Ok(Self { path, rows, quarantine: None, scored: 0, quarantined: 0 })
    }

    /// Writes down a row that was not scored, and why.
    fn quarantine(&mut self, path: &Path, job: &Job, batch: &Batch, fault: &Fault) -> Result<()> {
        let Some(record) = batch.records.get(fault.row) else {
            return Err(Error::internal("a fault of a row that is not there"));
        };
        let entry = Quarantined {
            file: &job.files[batch.file].name,
            row: record.row,
            line: record.line,
            reason: &fault.reason,
            record: record.raw(),
        };
        let mut write = || {
            let file = match &mut self.quarantine {
                Some(file) => file,
                none => none.insert(BufWriter::new(File::create(path)?)),
            };
            serde_json::to_writer(&mut *file, &entry)?;
            file.write_all(b"\n")
        };
        write().on_file("write", path)?;
        self.quarantined += 1;
        Ok(())
    }

    fn finish(self, folder: &Folder, batch: &Batch) -> Result<()> {
        let Self { path, rows, quarantine, scored, quarantined } = self;
        let write = || {
            let file = rows.finish()?;
            file.sync_all()?;
            Ok(file.metadata()?.len())
        };
        let bytes = write().on_file("write", &path)?;
        if let Some(quarantine) = quarantine {
            let flushed = quarantine.into_inner().map_err(std::io::IntoInnerError::into_error);
            let path = folder.unfinished_quarantine(batch.file, batch.part);
            flushed.and_then(|file| file.sync_all()).on_file("write", &path)?;
        }
        let last = batch.closes == Closes::File;
        let summary = PartSummary { scored, quarantined, bytes, end: batch.end, last };
        folder.finish(batch.file, batch.part, &summary)
    }
}

fn too_many(max_errors: u64, job: &Job, batch: &Batch, fault: &Fault) -> Error {
    let row = batch.records.get(fault.row).map_or(0, |record| record.row);
    Error::invalid_input(format!(
        "more than {max_errors} rows cannot be scored; the last one is row {row} of {}: {}",
        job.files[batch.file].name, fault.reason
    ))
}
