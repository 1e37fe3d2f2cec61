//! The bytes of a new artifact, measured on their way to a server.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use mlops_core::{Artifact, ByteStream, Content, Digester, Error, Result};
use tokio::io::AsyncReadExt;

/// Bytes that are read from a file at once.
const PIECE: usize = 256 << 10;

/// Bytes that are ready to be sent.
pub(crate) struct Opened {
    name: String,
    pub(crate) size: u64,
    /// What they must turn out to be, when that is known.
    expected: Option<Artifact>,
    bytes: ByteStream,
}

/// What has been sent.
pub(crate) struct Measure {
    name: String,
    size: u64,
    expected: Option<Artifact>,
    sent: Arc<Mutex<Sent>>,
}

#[derive(Default)]
struct Sent {
    digester: Digester,
    size: u64,
    failure: Option<Error>,
}

impl Opened {
    /// Finds out how many bytes there are.
    ///
    /// `NotFound` when there is no such file, `InvalidInput` when it is none.
    pub(crate) async fn new(name: &str, content: Content) -> Result<Self> {
        let name = name.to_owned();
        let (size, expected, bytes): (_, _, ByteStream) = match content {
            Content::Bytes(bytes) => (bytes.len() as u64, None, Box::pin(stream::iter([Ok(bytes)]))),
            Content::File(path) => {
                let (size, bytes) = open(&name, &path).await?;
                (size, None, bytes)
            }
            Content::Stream(content) => (content.artifact().size, Some(content.artifact()), content.open()),
            _ => return Err(Error::unsupported(format!("the content of `{name}` is of an unknown kind"))),
        };
        Ok(Self { name, size, expected, bytes })
    }

    /// The bytes, no more of them than `size`, and what will have measured them.
    pub(crate) fn measured(self) -> (Measure, impl Stream<Item = Result<Bytes>> + Send + 'static) {
        let Self { name, size, expected, bytes } = self;
        let sent = Arc::new(Mutex::new(Sent::default()));
        let measure = Measure { name: name.clone(), size, expected, sent: Arc::clone(&sent) };
        let measured = bytes.map(Some).chain(stream::iter([None])).filter_map(move |piece| {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            std::future::ready(match piece {
                Some(Ok(piece)) => Some(Ok(sent.take(piece, size))),
                Some(Err(error)) => sent.fail(error),
                None if sent.size < size => {
                    let actual = sent.size;
                    sent.fail(Error::integrity(format!(
                        "the content of `{name}` should have {size} bytes, but ends after {actual}"
                    )))
                }
                None => None,
            })
        });
        (measure, measured)
    }
}

impl Sent {
    /// The bytes that are sent of `piece`: no more than there are left of `size`.
    fn take(&mut self, piece: Bytes, size: u64) -> Bytes {
        let room = usize::try_from(size - self.size).unwrap_or(usize::MAX);
        let piece = piece.slice(..piece.len().min(room));
        self.digester.update(&piece);
        self.size += piece.len() as u64;
        piece
    }

    /// Keeps what went wrong, and ends the upload with another error, which nobody sees.
    fn fail(&mut self, error: Error) -> Option<Result<Bytes>> {
        self.failure = Some(error);
        Some(Err(Error::unavailable("the content ends early")))
    }
}

impl Measure {
    /// What was sent, after an upload that ended like this.
    ///
    /// `Integrity` when it is not what it should be, and whatever error the content gave.
    pub(crate) fn finish(self, uploaded: Result<()>) -> Result<Artifact> {
        let Self { name, size, expected, sent } = self;
        let Sent { digester, failure, .. } =
            std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(failure) = failure {
            return Err(failure);
        }
        uploaded?;
        let artifact = Artifact { digest: digester.finish(), size };
        match expected {
            Some(expected) if expected != artifact => Err(Error::integrity(format!(
                "the content of `{name}` should have digest {}, but its {size} bytes have {}",
                expected.digest, artifact.digest
            ))),
            _ => Ok(artifact),
        }
    }
}

async fn open(name: &str, path: &Path) -> Result<(u64, ByteStream)> {
    let failed = |cause: std::io::Error| {
        let what = format!("the content of `{name}`, the file {}, cannot be read", path.display());
        let error = match cause.kind() {
            ErrorKind::NotFound => Error::not_found(what),
            ErrorKind::PermissionDenied => Error::permission_denied(what),
            _ => Error::unavailable(what),
        };
        error.with_source(cause)
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::invalid_input(format!("the content of `{name}`, {}, is no file", path.display())));
    }
    let what = format!("the content of `{name}`, the file {}, cannot be read", path.display());
    let pieces = stream::try_unfold(file, move |mut file| {
        let what = what.clone();
        async move {
            let mut piece = Vec::with_capacity(PIECE);
            let mut limited = (&mut file).take(PIECE as u64);
            let failed = |cause| Error::unavailable(what).with_source(cause);
            let count = limited.read_to_end(&mut piece).await.map_err(failed)?;
            Ok((count > 0).then(|| (Bytes::from(piece), file)))
        }
    });
    Ok((metadata.len(), Box::pin(pieces)))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use mlops_core::Digest;

    use super::*;

    /// All that would be sent, and what it is found to be.
    async fn send(content: Content) -> (Vec<u8>, Result<Artifact>) {
        let (measure, stream) = Opened::new("weights", content).await.unwrap().measured();
        let sent = stream.try_fold(Vec::new(), async |mut all, piece| {
            all.extend_from_slice(&piece);
            Ok(all)
        });
        match sent.await {
            Ok(sent) => (sent, measure.finish(Ok(()))),
            Err(error) => (Vec::new(), measure.finish(Err(error))),
        }
    }

    fn streamed(claim: &[u8], pieces: Vec<&'static [u8]>) -> Content {
        let artifact = Artifact { digest: Digest::of(claim), size: claim.len() as u64 };
        Content::streamed(artifact, move || {
            Box::pin(stream::iter(pieces.clone().into_iter().map(|piece| match piece {
                b"!" => Err(Error::overloaded("the source")),
                piece => Ok(Bytes::from_static(piece)),
            })))
        })
    }

    #[tokio::test]
    async fn content_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let bytes: Vec<u8> = (0..600_000_u32).map(|n| n as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let expected = Artifact { digest: Digest::of(&bytes), size: 600_000 };
        for content in [Content::from(bytes.clone()), Content::file(&path)] {
            let (sent, artifact) = send(content).await;
            assert!(sent == bytes && artifact.unwrap() == expected);
        }
        assert!(send(streamed(b"abc", vec![b"a", b"", b"bc"])).await.1.is_ok());
        for (pieces, label) in [
            (vec![&b"ab"[..]], "integrity"),
            (vec![b"ab", b"d"], "integrity"),
            (vec![b"ab", b"!"], "overloaded"),
        ] {
            let (_, refused) = send(streamed(b"abc", pieces)).await;
            assert_eq!(refused.unwrap_err().label(), label);
        }
        let label = async |content| Opened::new("weights", content).await.err().unwrap().label();
        assert_eq!(label(Content::file(folder.path().join("missing"))).await, "not_found");
        assert_eq!(label(Content::file(folder.path())).await, "invalid_input");
    }
}
