//! Versions on their way: from one registry into another, into files and folders, and back.
//!
//! ```
//! use mlops_core::{ModelName, NewVersion, Registry, Signature};
//! use mlops_registry::ObjectStoreRegistry;
//! use mlops_registry::transfer::{self, Copying, Import};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("fraud.tar");
//! let (laboratory, production) = (ObjectStoreRegistry::in_memory(), ObjectStoreRegistry::in_memory());
//! let new = NewVersion::new(ModelName::new("fraud")?, Signature::new([], [])?);
//! let version = laboratory.register(new.with_artifact("weights", &b"..."[..]).by("ci")).await?;
//!
//! // From registry to registry,
//! let copied = transfer::copy(&laboratory, &production, &version.id, &Copying::by("alice")).await?;
//! assert_eq!(copied.version.artifacts, version.artifacts);
//!
//! // or as a file, to where there is no network.
//! transfer::export_file(&laboratory, std::slice::from_ref(&version.id), &file).await?;
//! let imported = transfer::import_file(&production, &file, &Import::new().by("alice")).await?;
//! assert!(imported[0].was_there);
//! # Ok(())
//! # }
//! ```
//!
//! # What travels
//! Everything that makes a version: its number, signature, artifacts, metrics, parameters, description and
//! lineage, who registered it; its tags; the reports about it, whose summaries say from now on who wrote them
//! and when; the warning against it. What belongs to a registry stays there: aliases, approvals, signatures,
//! and when the version was registered in it. A version that is there already, with the same content, is left
//! as it is but for reports and a warning that are not there yet; with other content it is a
//! [`Conflict`](mlops_core::Error::Conflict).
//!
//! # Layouts
//! Folders and files are image layouts of the
//! [OCI image specification](https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md), version
//! 1.1, and the models in them follow [CNCF ModelPack](https://github.com/modelpack/model-spec). So what
//! carries container images carries models, into registries of containers and back:
//!
//! ```text
//! skopeo copy oci:FOLDER:fraud:1.0.0 docker://HOST/models/fraud:1.0.0
//! skopeo copy oci-archive:FILE:fraud:1.0.0 docker://HOST/models/fraud:1.0.0
//! ```
//!
//! What is in a layout:
//!
//! ```text
//! oci-layout
//! index.json                names the manifests: `fraud:1.0.0`
//! blobs/sha256/27fe...      a manifest
//! blobs/sha256/9a01...      its configuration: who made what, and when
//! blobs/sha256/ab34...      a layer for each artifact: its bytes, by their digest in the registry
//! blobs/sha256/6f0c...      README.md: the model card
//! blobs/sha256/c77e...      mlops/version.json: all that is known of the version
//! ```
//!
//! The last is how an import restores the version. It comes as a document of ModelPack, so that its other
//! programs know what to do with it, and is told from others by an annotation. Nothing in a layout depends on
//! when or where it was written: the same version in the same state gives the same bytes.
//!
//! # Models that other programs have packed
//! Without that document a model can be imported, too, once [`Import::with_signature`] has said what it takes
//! and gives. Its name and version are those of its configuration, if they can be, or those of
//! [`Import::with_id`]. Its files become artifacts: those of raw layers, and those in archives that are not
//! compressed. Paths become names with `_` for `/`. Layers that are not ModelPack's, such as the Kitfile of
//! KitOps, are left out. Compressed layers are [`Unsupported`](mlops_core::Error::Unsupported).
//!
//! # Whom an import trusts
//! Nobody. Nothing is registered before every digest of everything that is imported has been proven. Nothing
//! is unpacked: files are read where they lie in the archive. Refused are links, devices, sparse files, two
//! files of one name, names that lead elsewhere, documents of more than 16 MiB, or of 256 MiB together. But
//! that a layout is whole does not say whose it is: keep [`Exported::manifest`] apart from it, or sign it.

mod archive;
mod document;
mod export;
mod import;
mod layout;
mod new_file;
mod oci;
mod package;
mod parcel;
mod place;

use std::path::Path;

use futures_util::{FutureExt, TryStreamExt};
use mlops_core::{Content, ModelId, ModelVersion, Registry, Result, Selector};

pub use self::export::Exported;
pub use self::import::Import;
use self::layout::Layout;
pub use self::parcel::Arrival;
use self::parcel::Parcel;
use crate::off_thread::off_thread;

/// Who copies.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Copying {
    /// Who says, in the other registry, what others have reported of the version. Who registered it stays the
    /// same.
    pub actor: String,
}

impl Copying {
    /// Says who copies.
    pub fn by(actor: impl Into<String>) -> Self {
        Self { actor: actor.into() }
    }
}

/// Copies a version from one registry into another. Artifacts go piece by piece.
///
/// # Errors
/// [`NotFound`](mlops_core::Error::NotFound) when there is no such version,
/// [`Conflict`](mlops_core::Error::Conflict) when the other registry has another one of that number,
/// [`Integrity`](mlops_core::Error::Integrity) when an artifact is harmed, and those of the registries.
pub async fn copy<F, T>(from: &F, to: &T, id: &ModelId, options: &Copying) -> Result<Arrival>
where
    F: Registry + Clone,
    T: Registry + ?Sized,
{
    let version = from.resolve(&id.name, &Selector::Version(id.version.clone())).await?;
    let parcel = Parcel::new(&version, |name, artifact| {
        let (from, version, name) = (from.clone(), version.clone(), name.to_owned());
        Ok(Content::streamed(artifact, move || {
            let (from, version, name) = (from.clone(), version.clone(), name.clone());
            let opened = async move { export::open_artifact(&from, &version, &name).await };
            Box::pin(opened.into_stream().try_flatten())
        }))
    })?;
    parcel.deliver(to, &options.actor).await
}

/// Writes versions to a layout in `folder`, which is made if it is not there. To one that is there they are
/// added; what has their names is replaced, and the blobs stay. Two exports into one folder must not run at
/// once.
///
/// # Errors
/// [`NotFound`](mlops_core::Error::NotFound) when there is no such version,
/// [`Conflict`](mlops_core::Error::Conflict) when there is something else in the folder,
/// [`Integrity`](mlops_core::Error::Integrity) when an artifact is harmed, and those of the registry and the
/// file system.
pub async fn export_layout<R: Registry + ?Sized>(
    registry: &R,
    ids: &[ModelId],
    folder: impl AsRef<Path>,
) -> Result<Vec<Exported>> {
    let packages = export::packages(registry, ids).await?;
    export::to_folder(registry, &packages, folder.as_ref()).await?;
    export::exported(&packages)
}

/// Writes versions to one file: a tar archive of a layout. It appears when it is complete and on disk, in
/// place of what has its name; on an error nothing is left.
///
/// # Errors
/// As those of [`export_layout`].
pub async fn export_file<R: Registry + ?Sized>(
    registry: &R,
    ids: &[ModelId],
    file: impl AsRef<Path>,
) -> Result<Vec<Exported>> {
    let packages = export::packages(registry, ids).await?;
    export::to_archive(registry, &packages, file.as_ref()).await?;
    export::exported(&packages)
}

/// Registers the versions of a layout in a folder, in the order of its index. Nothing is registered unless
/// all of it is unharmed; then one by one, so that an error of the registry can leave those before it. To do
/// it again is safe.
///
/// # Errors
/// [`NotFound`](mlops_core::Error::NotFound) when there is no such layout, or no model in it;
/// [`InvalidInput`](mlops_core::Error::InvalidInput) when it is none, or holds what it must not;
/// [`Integrity`](mlops_core::Error::Integrity) when it is harmed or incomplete;
/// [`Unsupported`](mlops_core::Error::Unsupported) when another program wrote it in a way that this one
/// cannot read; [`Conflict`](mlops_core::Error::Conflict) when the registry has another version of a number;
/// and those of the registry.
pub async fn import_layout<R: Registry + ?Sized>(
    registry: &R,
    folder: impl AsRef<Path>,
    import: &Import,
) -> Result<Vec<Arrival>> {
    let (folder, wanted) = (folder.as_ref().to_owned(), import.clone());
    let parcels = off_thread(move || import::parcels(&Layout::folder(&folder)?, &wanted)).await?;
    deliver(registry, parcels, import).await
}

/// Registers the versions of a layout in a tar archive. As [`import_layout`], and the archive need not be
/// trusted.
///
/// # Errors
/// As those of [`import_layout`].
pub async fn import_file<R: Registry + ?Sized>(
    registry: &R,
    file: impl AsRef<Path>,
    import: &Import,
) -> Result<Vec<Arrival>> {
    let (file, wanted) = (file.as_ref().to_owned(), import.clone());
    let parcels = off_thread(move || import::parcels(&Layout::archive(&file)?, &wanted)).await?;
    deliver(registry, parcels, import).await
}

/// Writes an artifact to a file. It appears when it is proven and on disk, in place of what has its name; on
/// an error nothing is left.
///
/// # Errors
/// [`NotFound`](mlops_core::Error::NotFound) when there is no such artifact, or no folder for the file;
/// [`Integrity`](mlops_core::Error::Integrity) when it is harmed, and those of the registry and the file
/// system.
pub async fn download<R: Registry + ?Sized>(
    registry: &R,
    version: &ModelVersion,
    artifact: &str,
    file: impl AsRef<Path>,
) -> Result<()> {
    export::write(file.as_ref(), export::open_artifact(registry, version, artifact).await?).await
}

async fn deliver<R: Registry + ?Sized>(
    registry: &R,
    parcels: Vec<Parcel>,
    import: &Import,
) -> Result<Vec<Arrival>> {
    let mut arrivals = Vec::with_capacity(parcels.len());
    for parcel in parcels {
        arrivals.push(parcel.deliver(registry, &import.actor).await?);
    }
    Ok(arrivals)
}
