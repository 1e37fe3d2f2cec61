//! Bytes on their way into and out of a registry.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;

use super::Artifact;
use crate::Result;

/// The bytes of an artifact, piece by piece.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + 'static>>;

/// Where the bytes of a new artifact come from: memory, a file, or another registry. What is large need not
/// be in memory: a registry reads files and streams piece by piece.
///
/// ```
/// use mlops_core::Content;
///
/// let small = Content::from(&b"..."[..]);
/// let large = Content::file("model/weights.safetensors");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Content {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file, which must not change until the registration has answered.
    File(PathBuf),
    /// Bytes that are known by their digest, and can be read again and again.
    Stream(StreamedContent),
}

/// Bytes that are known by their digest before they are read.
#[derive(Clone)]
pub struct StreamedContent {
    artifact: Artifact,
    open: Arc<dyn Fn() -> ByteStream + Send + Sync>,
}

impl Content {
    /// The content of a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// The bytes that `open` gives each time it is called; they must be those of `artifact`.
    pub fn streamed(artifact: Artifact, open: impl Fn() -> ByteStream + Send + Sync + 'static) -> Self {
        Self::Stream(StreamedContent { artifact, open: Arc::new(open) })
    }
}

impl StreamedContent {
    /// What the bytes must turn out to be.
    #[must_use]
    pub fn artifact(&self) -> Artifact {
        self.artifact
    }

    /// Reads the bytes from their beginning.
    #[must_use]
    pub fn open(&self) -> ByteStream {
        (self.open)()
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Stream(stream) => stream.fmt(f),
        }
    }
}

impl fmt::Debug for StreamedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stream of {} bytes", self.artifact.size)
    }
}
