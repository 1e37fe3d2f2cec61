//! The folder of the outputs, and what of it is finished.
//!
//! ```text
//! part-00000-00000.csv                     scored rows: which input file, which part of it
//! _quarantine/part-00000-00000.jsonl       the rows of that part that could not be scored
//! _scoring/job.json                        what is scored, and how
//! _scoring/part-00000-00000.json           how many rows the part has, and where in the input it ends
//! _scoring/lock                            held by the process that writes
//! ```
//!
//! Every file is written under a temporary name, brought to the disk and renamed, that of the rows last: **a part
//! that is there is finished**, and is never written again.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use mlops_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure::OnFile;
use super::job::Job;
use super::record::Position;

/// The folder, locked.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    extension: &'static str,
    lock: File,
}

/// How far one input file is scored.
#[derive(Debug, Clone, Default)]
pub(super) struct Finished {
    pub(super) parts: usize,
    pub(super) position: Position,
    pub(super) quarantined: u64,
    /// Whether nothing of the file is left.
    pub(super) all: bool,
}

/// What is stored about a finished part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PartSummary {
    pub(super) scored: u64,
    pub(super) quarantined: u64,
    /// The size of the part.
    pub(super) bytes: u64,
    /// Where in the input file the next part begins.
    pub(super) end: Position,
    /// Whether there is no next part.
    pub(super) last: bool,
}

const STATE: &str = "_scoring";
const QUARANTINE: &str = "_quarantine";

impl Folder {
    /// Opens or makes the folder for a job, and says how far each of its input files is.
    pub(super) fn open(path: &Path, job: &Job, restart: bool) -> Result<(Self, Vec<Finished>)> {
        let state = path.join(STATE);
        let is_begun = |job: &Path| job.try_exists().on_file("read", job);
        let description = state.join("job.json");
        if !is_begun(&description)? {
            require_empty(path)?;
        }
        fs::create_dir_all(&state).on_file("make the folder", &state)?;
        let lock_path = state.join("lock");
        let lock = File::create(&lock_path).on_file("write", &lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(cause)) => return Err(cause).on_file("lock", &lock_path),
            Err(TryLockError::WouldBlock) => {
                let what = format!("another run is writing to {}; wait for its end", path.display());
                return Err(Error::conflict(what));
            }
        }
        let folder = Self { path: path.to_owned(), extension: job.format.extension(), lock };
        if restart {
            folder.clear()?;
        }
        if is_begun(&description)? {
            job.require_same(&read_json(&description)?)?;
        } else {
            write_json(&description, job)?;
        }
        let finished = (0..job.files.len()).map(|file| folder.finished(file)).collect::<Result<_>>()?;
        Ok((folder, finished))
    }

    /// Where a part is written until it is finished.
    pub(super) fn unfinished(&self, file: usize, part: usize) -> PathBuf {
        self.path.join(STATE).join(stem(file, part) + ".tmp")
    }

    /// Where the bad rows of a part are written until it is finished.
    pub(super) fn unfinished_quarantine(&self, file: usize, part: usize) -> PathBuf {
        self.path.join(STATE).join(stem(file, part) + ".quarantine.tmp")
    }

    /// Makes a part final. Its files are complete and on the disk, under their unfinished names.
    pub(super) fn finish(&self, file: usize, part: usize, summary: &PartSummary) -> Result<()> {
        let quarantine = self.path.join(QUARANTINE);
        let rows = quarantine.join(stem(file, part) + ".jsonl");
        if summary.quarantined > 0 {
            fs::create_dir_all(&quarantine).on_file("make the folder", &quarantine)?;
            fs::rename(self.unfinished_quarantine(file, part), &rows).on_file("write", &rows)?;
            sync(&quarantine)?;
        } else if rows.exists() {
            // Left by a run that was ended before this part was final, when the model fared worse.
            fs::remove_file(&rows).on_file("remove", &rows)?;
        }
        write_json(&self.summary(file, part), summary)?;
        let path = self.part(file, part);
        fs::rename(self.unfinished(file, part), &path).on_file("write", &path)?;
        sync(&self.path)
    }

    /// Removes what jobs have written here, and nothing else. Their description goes last, so that this can be ended
    /// at any moment, and done again.
    fn clear(&self) -> Result<()> {
        for below in ["", QUARANTINE, STATE] {
            let folder = self.path.join(below);
            if !folder.exists() {
                continue;
            }
            for entry in fs::read_dir(&folder).on_file("read", &folder)? {
                let path = entry.on_file("read", &folder)?.path();
                if is_of_part(&path) {
                    fs::remove_file(&path).on_file("remove", &path)?;
                }
            }
            sync(&folder)?;
        }
        // It may hold what is not ours; then it stays.
        let _ = fs::remove_dir(self.path.join(QUARANTINE));
        let job = self.path.join(STATE).join("job.json");
        if job.exists() { fs::remove_file(&job).on_file("remove", &job) } else { Ok(()) }
    }

    fn finished(&self, file: usize) -> Result<Finished> {
        let mut finished = Finished::default();
        while !finished.all {
            let part = self.part(file, finished.parts);
            if !part.try_exists().on_file("read", &part)? {
                break;
            }
            let metadata = fs::metadata(&part).on_file("read", &part)?;
            let summary: PartSummary = read_json(&self.summary(file, finished.parts))?;
            if metadata.len() != summary.bytes {
                return Err(Error::integrity(format!(
                    "{} was written with {} bytes, but has {}; restart the job",
                    part.display(),
                    summary.bytes,
                    metadata.len()
                )));
            }
            finished.parts += 1;
            finished.position = summary.end;
            finished.quarantined += summary.quarantined;
            finished.all = summary.last;
        }
        Ok(finished)
    }

    fn part(&self, file: usize, part: usize) -> PathBuf {
        self.path.join(format!("{}.{}", stem(file, part), self.extension))
    }

    fn summary(&self, file: usize, part: usize) -> PathBuf {
        self.path.join(STATE).join(stem(file, part) + ".json")
    }
}

/// Closing the file would not do: a process that the host is just starting holds a copy of it for a moment.
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

fn stem(file: usize, part: usize) -> String {
    format!("part-{file:05}-{part:05}")
}

/// Whether a file is one of a part, by its name: `part-00000-00000.` and anything.
fn is_of_part(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbers =
        name.strip_prefix("part-").and_then(|name| name.split_once('.')).map(|(numbers, _)| numbers);
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers
        .and_then(|numbers| numbers.split_once('-'))
        .is_some_and(|(file, part)| is_number(file) && is_number(part))
}

/// Refuses a folder that holds anything, when there is no job that may have written it.
fn require_empty(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).on_file("read", folder)? {
        let name = entry.on_file("read", folder)?.file_name();
        if name != STATE {
            return Err(Error::conflict(format!(
                "{} holds `{}`, which no scoring job has written; choose an empty folder",
                folder.display(),
                name.display()
            )));
        }
    }
    Ok(())
}

/// Brings a folder to the disk: which files it has, and under which names.
fn sync(folder: &Path) -> Result<()> {
    // Only Unix opens folders as files; elsewhere a rename is as durable as the file system makes it.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).on_file("write", folder)
    } else {
        Ok(())
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let unfinished = path.with_extension("json.tmp");
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().on_file("write", path)?;
    path.parent().map_or(Ok(()), sync)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let read = || Ok(serde_json::from_slice(&fs::read(path)?)?);
    read().map_err(|cause: std::io::Error| {
        let what = format!("{} does not say how far the job is; restart it", path.display());
        Error::integrity(what).with_source(cause)
    })
}
