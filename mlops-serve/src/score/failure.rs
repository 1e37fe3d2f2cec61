//! Files that cannot be read or written, as errors.

use std::io;
use std::path::Path;

use mlops_core::{Error, Result};

/// Says which file an operation failed on.
pub(super) trait OnFile<T> {
    /// `doing` is the operation: `read`, `write`.
    fn on_file(self, doing: &str, path: &Path) -> Result<T>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on_file(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|cause| {
            let what = format!("cannot {doing} {}", path.display());
            match cause.kind() {
                io::ErrorKind::NotFound => Error::not_found(what),
                io::ErrorKind::PermissionDenied => Error::permission_denied(what),
                // A full disk, an interrupted mount: whoever makes room can go on with the same call.
                _ => Error::unavailable(format!("{what}: {cause}")),
            }
            .with_source(cause)
        })
    }
}

/// A file that is not what its format demands.
pub(super) fn malformed(path: &Path, place: impl std::fmt::Display, why: impl std::fmt::Display) -> Error {
    Error::invalid_input(format!("{} is malformed at {place}: {why}", path.display()))
}
