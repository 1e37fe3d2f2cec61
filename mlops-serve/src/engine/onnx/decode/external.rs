//! Weights that are kept in files beside the model.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use mlops_core::{DType, Error, Result};

use crate::engine::onnx::proto::StringStringEntryProto;

/// Where to look for weights outside the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExternalData {
    folder: Option<PathBuf>,
    reading: RefCell<Reading>,
}

/// How often the same bytes of external data may be used, on average.
const SHARING: u64 = 8;

/// What has been read.
#[derive(Debug, Clone, Default)]
struct Reading {
    /// The files, and their sizes.
    files: HashMap<PathBuf, u64>,
    /// The bytes of the tensors that have been read from them.
    read: u64,
}

impl ExternalData {
    /// Files in this folder, and in no other.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { folder: Some(folder.to_path_buf()), ..Self::default() }
    }

    /// The bytes of a tensor of `count` elements.
    pub(super) fn read(
        &self,
        entries: &[StringStringEntryProto],
        count: usize,
        dtype: DType,
    ) -> Result<Bytes> {
        let entry = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key.as_deref() == Some(key));
            entry.and_then(|entry| entry.value.as_deref())
        };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
                Error::invalid_input(format!("the {key} `{text}` of its external data is no number"))
            }),
        };
        let location = entry("location")
            .ok_or_else(|| Error::invalid_input("its data is external, but no location is given"))?;
        let size = dtype.size().ok_or_else(|| Error::unsupported("external strings are not supported"))?;
        let expected = (count as u64).saturating_mul(size as u64);
        let length = number("length")?.unwrap_or(expected);
        if length != expected {
            let what = format!("its external data has {length} bytes, but its shape needs {expected}");
            return Err(Error::invalid_input(what));
        }
        self.slice(location, number("offset")?.unwrap_or(0), length)
    }

    fn slice(&self, location: &str, offset: u64, length: u64) -> Result<Bytes> {
        let folder = self.folder.as_ref().ok_or_else(|| {
            Error::invalid_input(format!(
                "its data is in the file `{location}`; load the model with `OnnxEngine::load_file`, or save it in one file"
            ))
        })?;
        let path = self.inside(folder, location)?;
        let unreadable = |cause: std::io::Error| {
            Error::invalid_input(format!("the external data `{location}` cannot be read: {cause}"))
        };
        let metadata = path.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Error::invalid_input(format!("the external data `{location}` is no file")));
        }
        let available = metadata.len();
        if offset.checked_add(length).is_none_or(|end| end > available) {
            let what = format!(
                "the external data `{location}` has {available} bytes; {length} are needed from byte {offset} on"
            );
            return Err(Error::invalid_input(what));
        }
        self.count(&path, available, length)?;
        let mut file = File::open(path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes.into())
    }

    /// Counts bytes to be read. Tensors may share their data, but not so that a small file becomes a large model.
    fn count(&self, path: &Path, available: u64, length: u64) -> Result<()> {
        let mut reading = self.reading.borrow_mut();
        reading.files.insert(path.to_path_buf(), available);
        reading.read = reading.read.saturating_add(length);
        let limit = reading
            .files
            .values()
            .fold(0, |sum: u64, &size| sum.saturating_add(size))
            .saturating_mul(SHARING);
        if reading.read > limit {
            return Err(Error::invalid_input(format!(
                "the tensors of the model have more than {SHARING} times the bytes of its external data"
            )));
        }
        Ok(())
    }

    /// The file at `location`, which must not lead out of the folder, not even by a symbolic link.
    fn inside(&self, folder: &Path, location: &str) -> Result<PathBuf> {
        let outside = || {
            Error::invalid_input(format!(
                "its data is at `{location}`, which is outside the folder of the model"
            ))
        };
        let relative = Path::new(location);
        if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(outside());
        }
        let unreadable = |cause: std::io::Error| {
            Error::invalid_input(format!("the external data `{location}` cannot be read: {cause}"))
        };
        let folder = folder.canonicalize().map_err(unreadable)?;
        let path = folder.join(relative).canonicalize().map_err(unreadable)?;
        if path.starts_with(&folder) { Ok(path) } else { Err(outside()) }
    }
}
