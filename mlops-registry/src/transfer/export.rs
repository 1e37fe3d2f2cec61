//! Versions into layouts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use mlops_core::{Artifact, ByteStream, Digest, Error, ModelId, ModelVersion, Registry, Result, Selector};
use serde_json::{Value, json};

use super::archive;
use super::layout::Layout;
use super::new_file::NewFile;
use super::oci::{Descriptor, INDEX, INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, LayoutFile, REFERENCE};
use super::package::{Package, encode};
use super::place::Place;
use crate::blobs::{Proof, proven};
use crate::off_thread::off_thread;
use crate::registry::create_folder;
use crate::store_error::io_error;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Which version.
    pub id: ModelId,
    /// How the layout names it: `fraud:1.0.0`.
    pub reference: String,
    /// The digest of its manifest, in which those of all its files are contained. Who signs it, or keeps it
    /// elsewhere, has the whole.
    pub manifest: Digest,
}

/// The packages of these versions.
pub(crate) async fn packages<R: Registry + ?Sized>(registry: &R, ids: &[ModelId]) -> Result<Vec<Package>> {
    if ids.is_empty() {
        return Err(Error::invalid_input("an export of no versions"));
    }
    let mut packages = Vec::with_capacity(ids.len());
    for id in ids {
        let version = registry.resolve(&id.name, &Selector::Version(id.version.clone())).await?;
        packages.push(off_thread(move || Package::new(version)).await?);
    }
    Ok(packages)
}

pub(crate) fn exported(packages: &[Package]) -> Result<Vec<Exported>> {
    let exported = |package: &Package| {
        Ok(Exported {
            id: package.version.id.clone(),
            reference: package.descriptor.reference().unwrap_or_default().to_owned(),
            manifest: package.descriptor.artifact()?.digest,
        })
    };
    packages.iter().map(exported).collect()
}

/// Writes what is missing to a folder; the index last, so that it never names what is not there.
pub(crate) async fn to_folder<R: Registry + ?Sized>(
    registry: &R,
    packages: &[Package],
    folder: &Path,
) -> Result<()> {
    let blobs = folder.join("blobs").join("sha256");
    let index = prepare(folder.to_owned(), blobs.clone()).await?;
    let mut written = BTreeSet::new();
    for package in packages {
        for (artifact, content) in contents(registry, package) {
            let file = blobs.join(artifact.digest.hex());
            if written.insert(artifact.digest) && !holds(file.clone(), artifact).await? {
                write(&file, content.open().await?).await?;
            }
        }
    }
    let index = index_of(index, packages)?;
    write(&folder.join(LAYOUT_FILE), whole(layout_file()?)).await?;
    write(&folder.join(INDEX_FILE), whole(encode(&index)?)).await
}

/// Writes an archive of a layout, from its beginning to its end.
pub(crate) async fn to_archive<R: Registry + ?Sized>(
    registry: &R,
    packages: &[Package],
    file: &Path,
) -> Result<()> {
    let mut archive = NewFile::create(file).await?;
    for (name, bytes) in
        [(LAYOUT_FILE, layout_file()?), (INDEX_FILE, encode(&index_of(Vec::new(), packages)?)?)]
    {
        archive = put(archive, name, bytes.len() as u64, whole(bytes)).await?;
    }
    let mut written = BTreeSet::new();
    for package in packages {
        for (artifact, content) in contents(registry, package) {
            if written.insert(artifact.digest) {
                let name = format!("blobs/sha256/{}", artifact.digest.hex());
                archive = put(archive, &name, artifact.size, content.open().await?).await?;
            }
        }
    }
    archive.write(archive::end()).await?.finish().await
}

/// The bytes of an artifact, proven whatever the registry does.
pub(crate) async fn open_artifact<R: Registry + ?Sized>(
    registry: &R,
    version: &ModelVersion,
    name: &str,
) -> Result<ByteStream> {
    let bytes = registry.fetch_stream(version, name).await?;
    let what = format!("the artifact `{name}` of {}", version.id);
    let artifact = version.artifacts.get(name).copied();
    let artifact =
        artifact.ok_or_else(|| Error::not_found(format!("{} has no artifact `{name}`", version.id)))?;
    Ok(proven(bytes, Proof::new(artifact, what), |_| {}))
}

/// A blob that is still to be read.
enum Blob<'a, R: ?Sized> {
    Made(Bytes),
    Artifact(&'a R, &'a ModelVersion, &'a str),
}

impl<R: Registry + ?Sized> Blob<'_, R> {
    async fn open(self) -> Result<ByteStream> {
        match self {
            Self::Made(bytes) => Ok(whole(bytes)),
            Self::Artifact(registry, version, name) => open_artifact(registry, version, name).await,
        }
    }
}

/// The documents come first, so that who reads an archive from its beginning knows what follows.
fn contents<'a, R: Registry + ?Sized>(
    registry: &'a R,
    package: &'a Package,
) -> impl Iterator<Item = (Artifact, Blob<'a, R>)> {
    let made = package.blobs.iter().rev().map(|(artifact, bytes)| (*artifact, Blob::Made(bytes.clone())));
    let version = &package.version;
    let artifacts = version.artifacts.iter();
    made.chain(artifacts.map(move |(name, artifact)| (*artifact, Blob::Artifact(registry, version, name))))
}

/// Makes the folders of a layout, or finds those of one that is there; returns what its index names.
async fn prepare(folder: PathBuf, blobs: PathBuf) -> Result<Vec<Value>> {
    off_thread(move || {
        let fresh = !folder.join(INDEX_FILE).exists();
        if fresh && folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) && !blobs.is_dir() {
            return Err(Error::conflict(format!(
                "{} is neither empty nor an OCI image layout; take another folder",
                folder.display()
            )));
        }
        create_folder(&blobs)
            .map_err(|cause| io_error(format!("no layout in {}", folder.display()), cause))?;
        if fresh { Ok(Vec::new()) } else { Layout::folder(&folder)?.index_entries() }
    })
    .await
}

/// An index of what was there, but for what has the names of the new.
fn index_of(mut entries: Vec<Value>, packages: &[Package]) -> Result<Value> {
    for Package { descriptor, .. } in packages {
        entries.retain(|entry| entry["annotations"][REFERENCE].as_str() != descriptor.reference());
        entries.push(value(descriptor)?);
    }
    Ok(json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }))
}

fn value(descriptor: &Descriptor) -> Result<Value> {
    serde_json::to_value(descriptor)
        .map_err(|cause| Error::internal("a descriptor cannot be written as JSON").with_source(cause))
}

fn layout_file() -> Result<Vec<u8>> {
    encode(&LayoutFile { image_layout_version: LAYOUT_VERSION.to_owned() })
}

fn whole(bytes: impl Into<Bytes>) -> ByteStream {
    let bytes = bytes.into();
    Box::pin(stream::iter([Ok(bytes)]))
}

async fn holds(file: PathBuf, artifact: Artifact) -> Result<bool> {
    off_thread(move || match Place::whole(&file)? {
        Some(place) if place.size() == artifact.size => Ok(place.describe()? == artifact),
        _ => Ok(false),
    })
    .await
}

async fn put(archive: NewFile, name: &str, size: u64, content: ByteStream) -> Result<NewFile> {
    let archive = archive.write(archive::header(name, size)?).await?;
    archive.write_all(content).await?.write(archive::padding(size)).await
}

/// Writes a file, in place of what has its name.
pub(crate) async fn write(file: &Path, content: ByteStream) -> Result<()> {
    NewFile::create(file).await?.write_all(content).await?.finish().await
}
