//! Where the files of a layout are.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlops_core::{Artifact, Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::archive;
use super::oci::{Descriptor, INDEX_FILE, Index, LAYOUT_FILE, LAYOUT_VERSION, LayoutFile};
use super::place::Place;

/// Bytes of one document. Registries take manifests of up to 4 MiB. ([OCI distribution specification
/// 1.1](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md))
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// Bytes of all documents that are read of one layout.
const MAX_DOCUMENTS_BYTES: u64 = 256 << 20;

/// A layout that is read. Its methods block.
#[derive(Debug)]
pub(crate) struct Layout {
    files: Files,
    /// For errors.
    what: String,
    /// Bytes of documents that may still be read.
    left: Cell<u64>,
}

#[derive(Debug)]
enum Files {
    Folder(PathBuf),
    Archive(BTreeMap<String, Place>),
}

impl Layout {
    pub(crate) fn folder(folder: &Path) -> Result<Self> {
        Self { files: Files::Folder(folder.to_owned()), ..Self::of(folder) }.checked()
    }

    pub(crate) fn archive(file: &Path) -> Result<Self> {
        let what = file.display().to_string();
        let archive =
            Place::whole(file)?.ok_or_else(|| Error::not_found(format!("there is no file {what}")))?;
        Self { files: Files::Archive(archive::files(&archive, &what)?), ..Self::of(file) }.checked()
    }

    fn of(path: &Path) -> Self {
        Self {
            files: Files::Archive(BTreeMap::new()),
            what: path.display().to_string(),
            left: Cell::new(MAX_DOCUMENTS_BYTES),
        }
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn index(&self) -> Result<Index> {
        self.index_as()
    }

    /// What the index names, with all that it says of it.
    pub(crate) fn index_entries(&self) -> Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct AnyIndex {
            manifests: Option<Vec<Value>>,
        }
        Ok(self.index_as::<AnyIndex>()?.manifests.unwrap_or_default())
    }

    /// The document that a descriptor describes; `kind` says of what.
    pub(crate) fn document<T: DeserializeOwned>(&self, kind: &str, descriptor: &Descriptor) -> Result<T> {
        let name = format!("the {kind} {}", descriptor.artifact()?.digest);
        let bytes = self.document_bytes(&name, descriptor)?;
        parse(&self.named(&name), &bytes)
    }

    pub(crate) fn document_bytes(&self, name: &str, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let artifact = descriptor.artifact()?;
        let bytes = self.read(name, &self.blob(artifact)?)?;
        artifact.digest.verify(&self.named(name), &bytes)?;
        Ok(bytes)
    }

    /// Where a blob is. Its size is right; whether its bytes are, is for the caller to prove.
    pub(crate) fn blob(&self, artifact: Artifact) -> Result<Place> {
        let name = format!("blobs/sha256/{}", artifact.digest.hex());
        let place = self.find(&name)?.ok_or_else(|| {
            Error::integrity(format!("{} is incomplete: there is no {name}; copy it again", self.what))
        })?;
        if place.size() != artifact.size {
            return Err(Error::integrity(format!(
                "{} has {} bytes instead of {}",
                self.named(&name),
                place.size(),
                artifact.size
            )));
        }
        Ok(place)
    }

    /// For errors.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{name} of {}", self.what)
    }

    fn checked(self) -> Result<Self> {
        let none = |why: String| Error::invalid_input(format!("{} is no OCI image layout: {why}", self.what));
        let marker =
            self.find(LAYOUT_FILE)?.ok_or_else(|| none(format!("there is no file {LAYOUT_FILE}")))?;
        let LayoutFile { image_layout_version } = self.parse(LAYOUT_FILE, &marker)?;
        if image_layout_version != LAYOUT_VERSION {
            let version: String = image_layout_version.chars().take(20).collect();
            return Err(Error::unsupported(format!(
                "{} is a layout of version {version:?}; known is {LAYOUT_VERSION}",
                self.what
            )));
        }
        Ok(self)
    }

    fn index_as<T: DeserializeOwned>(&self) -> Result<T> {
        let index = self.find(INDEX_FILE)?;
        let index =
            index.ok_or_else(|| Error::invalid_input(format!("{} has no {INDEX_FILE}", self.what)))?;
        self.parse(INDEX_FILE, &index)
    }

    fn find(&self, name: &str) -> Result<Option<Place>> {
        match &self.files {
            Files::Folder(folder) => Place::whole(&folder.join(name)),
            Files::Archive(files) => Ok(files.get(name).cloned()),
        }
    }

    fn parse<T: DeserializeOwned>(&self, name: &str, place: &Place) -> Result<T> {
        parse(&self.named(name), &self.read(name, place)?)
    }

    fn read(&self, name: &str, place: &Place) -> Result<Vec<u8>> {
        let size = place.size();
        if size > MAX_DOCUMENT_BYTES {
            return Err(Error::invalid_input(format!(
                "{} has {size} bytes; at most {MAX_DOCUMENT_BYTES} are allowed",
                self.named(name)
            )));
        }
        let left = self.left.get().checked_sub(size).ok_or_else(|| {
            Error::invalid_input(format!(
                "the documents of {} have more than {MAX_DOCUMENTS_BYTES} bytes together",
                self.what
            ))
        })?;
        self.left.set(left);
        place.read()
    }
}

fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|cause| Error::invalid_input(format!("{what} is not what it should be")).with_source(cause))
}
