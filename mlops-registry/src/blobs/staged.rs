//! Files on their way into a folder: read once, their digest made while they are copied.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlops_core::{Artifact, Digester};

use crate::journal::random_name;
use crate::registry::create_folder;

/// A copy of a file that is no blob yet. It is gone when the last of these is.
#[derive(Debug, Clone)]
pub(crate) struct Staged(Arc<Copy>);

#[derive(Debug)]
struct Copy {
    path: PathBuf,
    file: File,
}

/// So much is read, added to the digest and written at a time: little enough to stay close to the processor.
const STEP: usize = 256 << 10;

impl Staged {
    /// Copies what is in `content` into `folder`, and says what it is.
    pub(super) fn copy(content: &mut File, folder: &Path) -> io::Result<(Artifact, Self)> {
        create_folder(folder)?;
        // Garbage is collected by such names, should this process be killed.
        let path = folder.join(format!("{}#1", random_name()));
        let file = File::create_new(&path)?;
        let mut copy = Copy { path, file };
        let (mut digester, mut size, mut step) = (Digester::new(), 0, vec![0; STEP]);
        loop {
            match content.read(&mut step)? {
                0 => break,
                read => {
                    digester.update(&step[..read]);
                    copy.file.write_all(&step[..read])?;
                    size += read as u64;
                }
            }
        }
        Ok((Artifact { digest: digester.finish(), size }, Self(Arc::new(copy))))
    }

    /// Makes it the content of `blob`, whatever that was before; durably. Whether the copy was still there: one that
    /// waited for very long is garbage.
    pub(super) fn put(&self, blob: &Path) -> io::Result<bool> {
        let Copy { path, file } = &*self.0;
        let folder = create_folder(blob.parent().unwrap_or(blob))?;
        file.sync_all()?;
        // The copy stays: it is needed again where garbage is collected just now.
        let second = path.with_extension("#2");
        match std::fs::hard_link(path, &second) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
            linked => linked?,
        }
        std::fs::rename(&second, blob)?;
        if cfg!(unix) {
            File::open(folder)?.sync_all()?;
        }
        Ok(true)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_file(&self.path) {
            tracing::debug!(file = %self.path.display(), %cause, "a copy could not be removed");
        }
    }
}
