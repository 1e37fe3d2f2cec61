//! What is scored and how: what must not change between a run and the one that goes on with it.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use mlops_core::{Error, ModelId, Result, Signature};
use serde::{Deserialize, Serialize};

use super::failure::OnFile;
use super::format::Format;
use super::mapping::Columns;

/// The description of a job. It is stored with the outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) model: Option<ModelId>,
    pub(super) signature: Signature,
    pub(super) columns: Columns,
    pub(super) format: Format,
    pub(super) part_rows: u64,
    pub(super) record_bytes: usize,
    pub(super) files: Vec<InputFile>,
}

/// A file of the input, and what tells that it has not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InputFile {
    /// The path below the folder that is read, or the name of the only file.
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) bytes: u64,
    /// In nanoseconds since 1970, where the file system knows it.
    modified: Option<u64>,
}

impl Job {
    /// # Errors
    /// [`Error::Conflict`] that says what differs.
    pub(super) fn require_same(&self, stored: &Self) -> Result<()> {
        let differs = if self.model != stored.model {
            "the id of the model".to_owned()
        } else if self.signature != stored.signature {
            "the signature of the model".to_owned()
        } else if self.columns != stored.columns {
            "what columns are taken, filled or kept".to_owned()
        } else if self.format != stored.format {
            "the format of the output".to_owned()
        } else if self.part_rows != stored.part_rows {
            "the number of rows per part".to_owned()
        } else if self.record_bytes != stored.record_bytes {
            "the greatest length of a record".to_owned()
        } else if let Some(file) = self.files.iter().find(|file| !stored.files.contains(file)) {
            format!("the input `{}`", file.name)
        } else if self.files.len() != stored.files.len() {
            "the list of input files, of which some are gone,".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::conflict(format!(
            "{differs} is not what this output was begun with; write elsewhere, or restart the job"
        )))
    }
}

/// The file, or all files of the folder, in the order of their names. Names that begin with a dot or an underscore
/// are passed over, as Spark and Hive do: they are not data.
pub(super) fn files(input: &Path, format: Option<Format>) -> Result<Vec<(PathBuf, InputFile)>> {
    let mut paths = Vec::new();
    if fs::metadata(input).on_file("read", input)?.is_dir() {
        collect(input, &mut paths)?;
        paths.sort();
    } else {
        paths.push(input.to_owned());
    }
    if paths.is_empty() {
        return Err(Error::not_found(format!("there is no file to score in {}", input.display())));
    }
    let describe = |path: PathBuf| {
        let metadata = fs::metadata(&path).on_file("read", &path)?;
        let name = path.strip_prefix(input).ok().filter(|name| !name.as_os_str().is_empty());
        let name = name.or_else(|| path.file_name().map(Path::new)).unwrap_or(&path);
        let file = InputFile {
            name: name.to_string_lossy().replace('\\', "/"),
            format: format.map_or_else(|| Format::of(&path), Ok)?,
            bytes: metadata.len(),
            modified: modified(&metadata),
        };
        Ok((path, file))
    };
    paths.into_iter().map(describe).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).on_file("read", folder)? {
        let path = entry.on_file("read", folder)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if fs::metadata(&path).on_file("read", &path)?.is_dir() {
            collect(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn modified(metadata: &Metadata) -> Option<u64> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}
