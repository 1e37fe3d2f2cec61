//! The bytes of artifacts, by their digest.

mod staged;

use std::io::Read;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use mlops_core::{Artifact, ByteStream, Content, Digest, Digester, Error, Result};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart};

use self::staged::Staged;
use crate::off_thread::off_thread;
use crate::progress::{Direction, Progress, Transfer};
use crate::state::BlobEntry;
use crate::store_error::{io_error, store_error};

#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    pub(crate) progress: Progress,
    /// The folder that the store is in, if it is in one.
    pub(crate) local: Option<Arc<FilePath>>,
}

/// Content that was read once, to know what it is.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) artifact: Artifact,
    content: Content,
    /// The content, if it is in the folder of the store already.
    staged: Option<Staged>,
}

/// What is larger goes piece by piece, so that no more than a few pieces are in memory.
const PIECE: u64 = 8 << 20;

/// S3 takes at most 10,000 pieces of an object.
const MAX_PIECES: u64 = 9_000;

/// How many pieces are under way at once.
const IN_FLIGHT: usize = 4;

impl Blobs {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        let folder = prefix.clone().join("blobs").join("sha256");
        Self { store, folder, progress: Progress::default(), local: None }
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Finds out the digest and the size of what `content` holds. A file is copied into the folder of the store
    /// meanwhile, so that it is read and its digest made once only; unless somebody wants to be told how far it is,
    /// which cannot be told of a blob without a name.
    pub(crate) async fn describe(&self, content: &Content) -> Result<Described> {
        let content = content.clone();
        match (&content, &self.local) {
            (Content::File(path), Some(local)) if !self.progress.is_wanted() => {
                let (path, folder) = (path.clone(), local.join(self.folder.as_ref()));
                let (artifact, staged) = off_thread(move || stage(&path, &folder)).await?;
                Ok(Described { artifact, content, staged: Some(staged) })
            }
            _ => Ok(Described { artifact: describe(&content).await?, content, staged: None }),
        }
    }

    /// Makes sure that a blob is there, durably and unharmed. It may be there already if it is used: then a version
    /// in the log names it, which proves that it was written to the end.
    pub(crate) async fn put(&self, described: &Described, entry: BlobEntry) -> Result<()> {
        let Described { artifact, content, staged } = described;
        let artifact = *artifact;
        let file = self.file(&artifact.digest, entry.generation);
        if entry.uses > 0 && self.holds(&file, artifact).await? {
            return Ok(());
        }
        let written = if self.put_staged(&file, staged.as_ref()).await? {
            Ok(())
        } else if artifact.size <= PIECE {
            self.put_whole(&file, artifact, content).await
        } else {
            self.put_in_pieces(&file, artifact, content).await
        };
        written?;
        tracing::debug!(%file, size = artifact.size, "blob written");
        Ok(())
    }

    /// Whether there was a copy to put there.
    async fn put_staged(&self, file: &Path, staged: Option<&Staged>) -> Result<bool> {
        let (Some(staged), Some(local)) = (staged.cloned(), &self.local) else { return Ok(false) };
        let (there, file) = (local.join(file.as_ref()), file.clone());
        let failed = move |cause| io_error(format!("{file} could not be written"), cause);
        off_thread(move || staged.put(&there).map_err(failed)).await
    }

    async fn put_whole(&self, file: &Path, artifact: Artifact, content: &Content) -> Result<()> {
        let mut bytes = match content {
            Content::Bytes(bytes) => bytes.clone(),
            content => {
                let mut whole = Vec::new();
                let mut pieces = pieces(content, PIECE);
                while let Some(piece) = pieces.try_next().await? {
                    whole.extend_from_slice(&piece);
                    if whole.len() as u64 > artifact.size {
                        break;
                    }
                }
                whole.into()
            }
        };
        if !matches!(content, Content::Bytes(_)) {
            let what = format!("{content:?}");
            bytes = off_thread(move || artifact.digest.verify(&what, &bytes).map(|()| bytes)).await?;
        }
        let written = self.store.put(file, bytes.into()).await;
        written.map_err(|cause| store_error(format!("{file} could not be written"), cause))?;
        self.tell(Direction::Upload, artifact, artifact.size);
        Ok(())
    }

    async fn put_in_pieces(&self, file: &Path, artifact: Artifact, content: &Content) -> Result<()> {
        let failed = |cause| store_error(format!("{file} could not be written"), cause);
        let size = PIECE.max(artifact.size.div_ceil(MAX_PIECES));
        let upload = self.store.put_multipart(file).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, size as usize);
        match self.send(&mut upload, artifact, content, size).await {
            Ok(()) => upload.finish().await.map(drop).map_err(failed),
            Err(error) => {
                if let Err(cause) = upload.abort().await {
                    tracing::warn!(%file, %cause, "an upload could not be taken back");
                }
                Err(error)
            }
        }
    }

    async fn send(
        &self,
        upload: &mut WriteMultipart,
        artifact: Artifact,
        content: &Content,
        size: u64,
    ) -> Result<()> {
        let failed = |cause| store_error(format!("{content:?} could not be written"), cause);
        let mut proof = Proof::new(artifact, format!("{content:?}"));
        // The digest of bytes in memory was made of these very bytes.
        let proven = matches!(content, Content::Bytes(_));
        let mut pieces = pieces(content, size);
        while let Some(piece) = pieces.try_next().await? {
            upload.wait_for_capacity(IN_FLIGHT).await.map_err(failed)?;
            let (done, length) = (proof.done, piece.len() as u64);
            // The store writes while the digest is made.
            upload.put(piece.clone());
            proof = if proven { Proof { done: done + length, ..proof } } else { proof.add(piece).await? };
            self.tell(Direction::Upload, artifact, proof.done);
        }
        if proven { Ok(()) } else { proof.finish() }
    }

    /// Reads a blob and proves it; `what` names it in errors. `None` when it is not there.
    pub(crate) async fn read(
        &self,
        artifact: Artifact,
        generation: u64,
        what: &str,
    ) -> Result<Option<Bytes>> {
        let file = self.file(&artifact.digest, generation);
        let failed = |cause| store_error(format!("{what}, in {file}, cannot be read"), cause);
        let found = match self.store.get(&file).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        check_size(&found.meta, artifact, what)?;
        let bytes = found.bytes().await.map_err(failed)?;
        self.tell(Direction::Download, artifact, artifact.size);
        let what = format!("{what}, in {file},");
        off_thread(move || artifact.digest.verify(&what, &bytes).map(|()| Some(bytes))).await
    }

    /// Reads a blob piece by piece, and proves it at the end. `None` when it is not there.
    pub(crate) async fn stream(
        &self,
        artifact: Artifact,
        generation: u64,
        what: &str,
    ) -> Result<Option<ByteStream>> {
        let file = self.file(&artifact.digest, generation);
        let what = format!("{what}, in {file},");
        match self.store.head(&file).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => {
                let meta = found.map_err(|cause| store_error(format!("{what} cannot be read"), cause))?;
                check_size(&meta, artifact, &what)?;
            }
        }
        let (store, named) = (Arc::clone(&self.store), what.clone());
        let offsets = (0..artifact.size).step_by(PIECE as usize);
        let pieces = stream::iter(offsets).map(move |offset| {
            let (store, file, what) = (Arc::clone(&store), file.clone(), named.clone());
            let range = offset..(offset + PIECE).min(artifact.size);
            async move {
                let piece = store.get_range(&file, range).await;
                piece.map_err(|cause| store_error(format!("{what} cannot be read"), cause))
            }
        });
        let blobs = self.clone();
        let told = move |done| blobs.tell(Direction::Download, artifact, done);
        Ok(Some(proven(Box::pin(pieces.buffered(2)), Proof::new(artifact, what), told)))
    }

    /// The file of a blob. The first two digits make a folder, for file systems that dislike large ones.
    pub(crate) fn file(&self, digest: &Digest, generation: u64) -> Path {
        let hex = digest.hex();
        let name = if generation == 0 { hex.clone() } else { format!("{hex}.{generation}") };
        self.folder.clone().join(&hex[..2]).join(name)
    }

    /// Whether a file holds these bytes, to the last one.
    async fn holds(&self, file: &Path, artifact: Artifact) -> Result<bool> {
        let generation = generation_of(file).map_or(0, |(_, generation)| generation);
        let quiet = Self { progress: Progress::default(), ..self.clone() };
        let stream = match quiet.stream(artifact, generation, "a blob").await {
            Ok(Some(stream)) => stream,
            Ok(None) | Err(Error::Integrity { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        match stream.try_for_each(async |_| Ok(())).await {
            Ok(()) => Ok(true),
            Err(Error::Integrity { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn tell(&self, direction: Direction, artifact: Artifact, done: u64) {
        self.progress.tell(Transfer { direction, artifact, done });
    }
}

/// Which blob a file holds, and of which generation, by its name.
pub(crate) fn generation_of(file: &Path) -> Option<(Digest, u64)> {
    let name = file.filename()?;
    let (hex, generation) = match name.split_once('.') {
        Some((hex, generation)) => (hex, generation.parse().ok().filter(|generation| *generation > 0)?),
        None => (name, 0),
    };
    Some((format!("sha256:{hex}").parse().ok()?, generation))
}

fn check_size(meta: &ObjectMeta, artifact: Artifact, what: &str) -> Result<()> {
    if meta.size == artifact.size {
        return Ok(());
    }
    let (file, size) = (&meta.location, meta.size);
    Err(Error::integrity(format!("{what}, in {file}, has {size} bytes instead of {}", artifact.size)))
}

/// The digest and the size of what `content` holds.
async fn describe(content: &Content) -> Result<Artifact> {
    match content {
        Content::Bytes(bytes) => {
            let bytes = bytes.clone();
            off_thread(move || Ok(Artifact { digest: Digest::of(&bytes), size: bytes.len() as u64 })).await
        }
        Content::File(path) => {
            let path = path.clone();
            off_thread(move || describe_file(&path).map_err(|cause| unreadable(&path, cause))).await
        }
        Content::Stream(stream) => Ok(stream.artifact()),
        other => Err(Error::unsupported(format!("{other:?} as the content of an artifact"))),
    }
}

fn stage(path: &FilePath, folder: &FilePath) -> Result<(Artifact, Staged)> {
    let mut file = std::fs::File::open(path).map_err(|cause| unreadable(path, cause))?;
    let failed =
        |cause| io_error(format!("{} could not be copied to {}", path.display(), folder.display()), cause);
    Staged::copy(&mut file, folder).map_err(failed)
}

fn describe_file(path: &FilePath) -> std::io::Result<Artifact> {
    let mut file = std::fs::File::open(path)?;
    let (mut digester, mut size, mut piece) = (Digester::new(), 0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Artifact { digest: digester.finish(), size }),
            read => {
                digester.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
}

/// The content, in pieces of that size.
fn pieces(content: &Content, size: u64) -> ByteStream {
    match content {
        Content::Bytes(bytes) => {
            let bytes = bytes.clone();
            let offsets = (0..bytes.len()).step_by(size as usize);
            let pieces =
                offsets.map(move |offset| Ok(bytes.slice(offset..(offset + size as usize).min(bytes.len()))));
            Box::pin(stream::iter(pieces))
        }
        Content::File(path) => file_pieces(path.clone(), size),
        Content::Stream(content) => content.open(),
        other => {
            let error = Error::unsupported(format!("{other:?} as the content of an artifact"));
            Box::pin(stream::iter([Err(error)]))
        }
    }
}

fn file_pieces(path: PathBuf, size: u64) -> ByteStream {
    Box::pin(stream::try_unfold((path, None), move |(path, file)| async move {
        off_thread(move || {
            let read = |file: Option<std::fs::File>| {
                let mut file = file.map_or_else(|| std::fs::File::open(&path), Ok)?;
                let mut piece = Vec::with_capacity(size as usize);
                Read::by_ref(&mut file).take(size).read_to_end(&mut piece)?;
                Ok((piece, file))
            };
            let (piece, file) = read(file).map_err(|cause| unreadable(&path, cause))?;
            Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (path, Some(file)))))
        })
        .await
    }))
}

fn unreadable(path: &FilePath, cause: std::io::Error) -> Error {
    let what = format!("the file {} cannot be read", path.display());
    match cause.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(what).with_source(cause),
        _ => io_error(what, cause),
    }
}

/// What is to be proven of bytes that come piece by piece.
pub(crate) struct Proof {
    artifact: Artifact,
    what: String,
    digester: Digester,
    done: u64,
}

impl Proof {
    pub(crate) fn new(artifact: Artifact, what: String) -> Self {
        Self { artifact, what, digester: Digester::new(), done: 0 }
    }

    /// Takes the next bytes in, off this thread.
    pub(crate) async fn add(mut self, piece: Bytes) -> Result<Self> {
        self.done += piece.len() as u64;
        if self.done > self.artifact.size {
            let (what, size) = (&self.what, self.artifact.size);
            return Err(Error::integrity(format!("{what} has more than the {size} bytes it should have")));
        }
        off_thread(move || {
            self.digester.update(&piece);
            Ok(self)
        })
        .await
    }

    /// That was all.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { artifact, what, digester, done } = self;
        let digest = digester.finish();
        if digest == artifact.digest {
            return Ok(());
        }
        Err(Error::integrity(format!(
            "{what} should have digest {}, but its {done} bytes have {digest}",
            artifact.digest
        )))
    }
}

/// The stream, with an error at its end if it was not what it should be.
pub(crate) fn proven(pieces: ByteStream, proof: Proof, told: impl Fn(u64) + Send + 'static) -> ByteStream {
    Box::pin(stream::try_unfold(Some((pieces, proof, told)), async |state| {
        let Some((mut pieces, proof, told)) = state else { return Ok(None) };
        match pieces.try_next().await? {
            Some(piece) => {
                let proof = proof.add(piece.clone()).await?;
                told(proof.done);
                Ok(Some((piece, Some((pieces, proof, told)))))
            }
            None => proof.finish().map(|()| None),
        }
    }))
}
