//! Files that appear whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use mlops_core::{ByteStream, Result};

use crate::off_thread::off_thread;
use crate::store_error::io_error;

/// A file on its way: it is written beside its name, and gets it when it is complete and on disk. Dropped
/// before, it leaves nothing.
pub(crate) struct NewFile {
    /// `None` when it is no longer to be removed.
    file: Option<File>,
    temporary: PathBuf,
    target: PathBuf,
}

impl NewFile {
    pub(crate) async fn create(target: &Path) -> Result<Self> {
        let target = target.to_owned();
        off_thread(move || {
            let created = create_beside(&target);
            let (file, temporary) = created.map_err(|cause| unwritable(&target, cause))?;
            Ok(Self { file: Some(file), temporary, target })
        })
        .await
    }

    pub(crate) async fn write(mut self, bytes: Bytes) -> Result<Self> {
        off_thread(move || {
            let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&bytes));
            written.map_err(|cause| unwritable(&self.target, cause)).map(|()| self)
        })
        .await
    }

    pub(crate) async fn write_all(mut self, mut pieces: ByteStream) -> Result<Self> {
        while let Some(piece) = pieces.try_next().await? {
            self = self.write(piece).await?;
        }
        Ok(self)
    }

    /// Gives the file its name, in place of what has it.
    pub(crate) async fn finish(mut self) -> Result<()> {
        off_thread(move || self.name().map_err(|cause| unwritable(&self.target, cause))).await
    }

    fn name(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        fs::rename(&self.temporary, &self.target)?;
        self.file = None;
        if cfg!(unix) {
            // An entry is durable when the folder that holds it is.
            File::open(folder_of(&self.target))?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(cause) = fs::remove_file(&self.temporary)
        {
            tracing::warn!(file = %self.temporary.display(), %cause, "a temporary file could not be removed");
        }
    }
}

fn create_beside(target: &Path) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if target.file_name().is_none() || target.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, "this is no name for a file"));
    }
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = folder_of(target).join(format!(".mlops-{}-{count}.part", process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // Of a process of this number that did not come to its end.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (file, temporary)),
        }
    }
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unwritable(target: &Path, cause: io::Error) -> mlops_core::Error {
    let what = format!("{} cannot be written", target.display());
    match cause.kind() {
        io::ErrorKind::NotFound => mlops_core::Error::not_found(what).with_source(cause),
        _ => io_error(what, cause),
    }
}
