//! Runs of bytes in files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use mlops_core::{Artifact, ByteStream, Content, Digester, Error, Result};

use crate::blobs::{Proof, proven};
use crate::off_thread::off_thread;
use crate::store_error::io_error;

/// Where bytes are: in a file of their own, or in a part of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    file: Arc<Path>,
    start: u64,
    size: u64,
}

const PIECE: u64 = 1 << 20;

impl Place {
    /// A whole file, which must be a plain one: whoever made the folder may have put a link or a pipe there.
    /// `None` when there is nothing.
    pub(crate) fn whole(file: &Path) -> Result<Option<Self>> {
        let meta = match file.symlink_metadata() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            meta => meta.map_err(|cause| unreadable(file, cause))?,
        };
        if !meta.is_file() {
            return Err(Error::invalid_input(format!("{} is not a plain file", file.display())));
        }
        Ok(Some(Self { file: file.into(), start: 0, size: meta.len() }))
    }

    /// A part of it; `None` when that would end behind it.
    pub(crate) fn part(&self, start: u64, size: u64) -> Option<Self> {
        let end = start.checked_add(size)?;
        (end <= self.size).then(|| Self { file: Arc::clone(&self.file), start: self.start + start, size })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes. Blocks, and takes as much memory as they do: ask for the size before.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        let read = || {
            let mut bytes = Vec::new();
            self.open()?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|cause| unreadable(&self.file, cause))?;
        self.check(bytes.len() as u64).map(|()| bytes)
    }

    /// Their digest and size. Blocks.
    pub(crate) fn describe(&self) -> Result<Artifact> {
        let describe = || {
            let (mut reader, mut piece) = (self.open()?, vec![0; PIECE as usize]);
            let (mut digester, mut size) = (Digester::new(), 0);
            loop {
                match reader.read(&mut piece)? {
                    0 => return Ok(Artifact { digest: digester.finish(), size }),
                    read => {
                        digester.update(&piece[..read]);
                        size += read as u64;
                    }
                }
            }
        };
        let artifact = describe().map_err(|cause| unreadable(&self.file, cause))?;
        self.check(artifact.size).map(|()| artifact)
    }

    /// The bytes as the content of an artifact. That they are the right ones is proven each time they are
    /// read.
    pub(crate) fn content(self, artifact: Artifact, what: String) -> Content {
        Content::streamed(artifact, move || {
            proven(self.clone().pieces(), Proof::new(artifact, what.clone()), |_| {})
        })
    }

    fn pieces(self) -> ByteStream {
        Box::pin(stream::try_unfold((self, None), |(place, reader)| async move {
            off_thread(move || {
                let read = |reader: Option<io::Take<File>>| {
                    let mut reader = reader.map_or_else(|| place.open(), Ok)?;
                    let mut piece = Vec::with_capacity(PIECE.min(reader.limit()) as usize);
                    Read::by_ref(&mut reader).take(PIECE).read_to_end(&mut piece)?;
                    Ok((piece, reader))
                };
                let (piece, reader) = read(reader).map_err(|cause| unreadable(&place.file, cause))?;
                Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (place, Some(reader)))))
            })
            .await
        }))
    }

    fn open(&self) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.start))?;
        Ok(file.take(self.size))
    }

    /// Files shrink while they are read.
    fn check(&self, read: u64) -> Result<()> {
        if read == self.size {
            return Ok(());
        }
        Err(Error::integrity(format!("{} has become shorter while it was read", self.file.display())))
    }
}

fn unreadable(file: &Path, cause: io::Error) -> Error {
    let what = format!("{} cannot be read", file.display());
    match cause.kind() {
        io::ErrorKind::NotFound => Error::not_found(what).with_source(cause),
        _ => io_error(what, cause),
    }
}
