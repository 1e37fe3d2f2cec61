//! How far large artifacts are on their way.

use std::fmt;
use std::sync::Arc;

use mlops_core::Artifact;

/// How far one artifact is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// What is transferred.
    pub artifact: Artifact,
    /// Bytes that are done.
    pub done: u64,
}

/// Into the registry or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the registry.
    Upload,
    /// Out of the registry.
    Download,
}

/// Who wants to know.
#[derive(Clone, Default)]
pub(crate) struct Progress(Option<Arc<dyn Fn(Transfer) + Send + Sync>>);

impl Progress {
    pub(crate) fn to(listener: impl Fn(Transfer) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn tell(&self, transfer: Transfer) {
        if let Some(listener) = &self.0 {
            listener(transfer);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress" } else { "nobody" })
    }
}
