//! What an optimisation did to a model.

use std::fmt;

use bytes::Bytes;

/// An optimised model, and what was done to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Compressed {
    /// The artifact: a valid ONNX file for any runtime.
    pub model: Bytes,
    /// What was changed, tensor by tensor, in the order of the file.
    pub changes: Vec<Change>,
    /// What could have been changed but was not.
    pub skipped: Vec<Skipped>,
}

/// What was done to one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its name.
    pub tensor: String,
    /// What was done, in words.
    pub what: String,
    /// The bytes it took in the file.
    pub bytes_before: usize,
    /// The bytes that it, and what it needs, take now.
    pub bytes_after: usize,
}

/// A tensor, or a layer, that was left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its name.
    pub tensor: String,
    /// Why.
    pub reason: String,
}

impl Skipped {
    pub(super) fn new(tensor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { tensor: tensor.into(), reason: reason.into() }
    }
}

impl fmt::Display for Compressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        for skipped in &self.skipped {
            writeln!(f, "left: {skipped}")?;
        }
        write!(f, "{} tensors changed, {} left", self.changes.len(), self.skipped.len())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, what, bytes_before, bytes_after } = self;
        write!(f, "{tensor}: {what}, {bytes_before} -> {bytes_after} bytes")
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tensor, self.reason)
    }
}
