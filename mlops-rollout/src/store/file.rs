//! Rollouts in a folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use mlops_core::{Error, Result};

use super::off_thread::off_thread;
use super::{Appended, LOG, NOTE_SUFFIX, NOTES, RolloutStore, StoreName, random, record_file, window_folder};

/// Remembers in a folder of a file system that several processes may share: one file per record.
///
/// A record is written aside, synchronised to the disk, and then linked to its name, which fails where the
/// name is taken. So it is there as a whole or not at all, whenever a process is killed or the power goes.
/// The file system must know hard links; NTFS and those of Linux and macOS do.
///
/// Of a writer that was killed a hidden file may stay behind. Nothing reads it, and the next record takes
/// it away.
///
/// ```
/// use mlops_rollout::{Appended, FileRolloutStore, RolloutStore, StoreName};
///
/// # futures_util::FutureExt::now_or_never(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let store = FileRolloutStore::new(folder);
/// let name = StoreName::new("fraud-2.0.0")?;
/// assert_eq!(store.append(&name, 1, b"begun").await?, Appended::Done);
///
/// let another_process = FileRolloutStore::new(folder);
/// assert_eq!(another_process.append(&name, 1, b"begun").await?, Appended::Taken);
/// # Ok::<(), mlops_core::Error>(()) }).unwrap()?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileRolloutStore {
    folder: PathBuf,
}

impl FileRolloutStore {
    /// Remembers in that folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn log(&self, rollout: &StoreName) -> PathBuf {
        self.folder.join(rollout.as_str()).join(LOG)
    }

    fn notes_of(&self, rollout: &StoreName, window: u64) -> PathBuf {
        self.folder.join(rollout.as_str()).join(NOTES).join(window_folder(window))
    }
}

#[async_trait]
impl RolloutStore for FileRolloutStore {
    async fn append(&self, rollout: &StoreName, number: u64, record: &[u8]) -> Result<Appended> {
        let (log, record) = (self.log(rollout), record.to_vec());
        off_thread(move || {
            let file = log.join(record_file(number));
            create(&log, number, &record).map_err(|cause| {
                let what = "could not be written; look whether it was before you try again";
                store_error(format!("{} {what}", file.display()), cause)
            })
        })
        .await
    }

    async fn read(&self, rollout: &StoreName, number: u64) -> Result<Option<Vec<u8>>> {
        let file = self.log(rollout).join(record_file(number));
        off_thread(move || {
            absent_is_none(fs::read(&file))
                .map_err(|cause| store_error(format!("{} cannot be read", file.display()), cause))
        })
        .await
    }

    async fn put_note(
        &self,
        rollout: &StoreName,
        window: u64,
        author: &StoreName,
        note: &[u8],
    ) -> Result<()> {
        let (folder, author, note) = (self.notes_of(rollout, window), author.clone(), note.to_vec());
        off_thread(move || {
            let file = folder.join(format!("{author}{NOTE_SUFFIX}"));
            replace(&folder.join(format!(".{author}")), &file, &note)
                .map_err(|cause| store_error(format!("{} could not be written", file.display()), cause))
        })
        .await
    }

    async fn notes(&self, rollout: &StoreName, window: u64) -> Result<Vec<(StoreName, Vec<u8>)>> {
        let folder = self.notes_of(rollout, window);
        off_thread(move || {
            read_notes(&folder)
                .map_err(|cause| store_error(format!("{} cannot be read", folder.display()), cause))
        })
        .await
    }
}

fn create(log: &Path, number: u64, record: &[u8]) -> io::Result<Appended> {
    let file = log.join(record_file(number));
    if file.try_exists()? {
        return Ok(Appended::Taken);
    }
    fs::create_dir_all(log)?;
    let aside = log.join(format!(".{}.{:016x}", record_file(number), random()));
    let linked = write_synced(&aside, record).and_then(|()| fs::hard_link(&aside, &file));
    let _ = fs::remove_file(&aside);
    match linked {
        Ok(()) => {
            let folders = log.ancestors().take(if number == 1 { 3 } else { 1 });
            folders.filter(|folder| !folder.as_os_str().is_empty()).try_for_each(sync_folder)?;
            tidy(log, number);
            Ok(Appended::Done)
        }
        // Also when the winner has already tidied up after us.
        Err(_) if file.try_exists()? => Ok(Appended::Taken),
        Err(cause) => Err(cause),
    }
}

/// Takes away what writers of earlier numbers have left: they have been answered, or killed.
fn tidy(log: &Path, number: u64) {
    let Ok(entries) = fs::read_dir(log) else { return };
    let current = format!(".{}", record_file(number));
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with('.') && *name < *current) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn replace(aside: &Path, file: &Path, note: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    write_synced(aside, note)?;
    fs::rename(aside, file)
}

fn read_notes(folder: &Path) -> io::Result<Vec<(StoreName, Vec<u8>)>> {
    let Some(entries) = absent_is_none(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut notes = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let author = name.to_str().and_then(|name| StoreName::new(name.strip_suffix(NOTE_SUFFIX)?).ok());
        if let Some(author) = author {
            notes.push((author, fs::read(entry.path())?));
        }
    }
    Ok(notes)
}

fn write_synced(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere folders cannot be opened, and the file system's journal keeps their order.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn store_error(what: String, cause: io::Error) -> Error {
    use io::ErrorKind as Kind;
    let error = match cause.kind() {
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Error::PermissionDenied { what },
        Kind::NotADirectory | Kind::InvalidFilename => Error::invalid_input(what),
        _ => Error::unavailable(what),
    };
    error.with_source(cause)
}
