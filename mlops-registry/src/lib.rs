//! A model registry as a library: immutable versions, verified artifacts, aliases, lineage and audit, on a
//! folder or on any object store, without a server.
//!
//! ```
//! use mlops_core::{
//!     Alias, AliasMove, DType, Dimension, ModelName, NewVersion, Registry, Selector, Signature, TensorSpec,
//! };
//! use mlops_registry::ObjectStoreRegistry;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("registry");
//! let registry = ObjectStoreRegistry::local(path).await?;
//!
//! let signature = Signature::new(
//!     [TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)])],
//!     [TensorSpec::new("y", DType::Fp32, [Dimension::Batch])],
//! )?;
//! let fraud = ModelName::new("fraud")?;
//! let new = NewVersion::new(fraud.clone(), signature)
//!     .with_artifact("weights", &b"..."[..])
//!     .with_metric("auc", 0.97)
//!     .by("ci");
//! let version = registry.register(new).await?;
//! assert_eq!(version.id.to_string(), "fraud 1.0.0");
//!
//! let champion = Alias::new("champion")?;
//! let promote = AliasMove::new(fraud.clone(), champion.clone(), version.id.version.clone())
//!     .expecting(None)
//!     .by("alice")
//!     .because("first release");
//! registry.move_alias(promote).await?;
//!
//! let champion = registry.resolve(&fraud, &Selector::Alias(champion)).await?;
//! assert_eq!(registry.fetch(&champion, "weights").await?, &b"..."[..]);
//!
//! let history = registry.history(&fraud).await?;
//! let told: Vec<_> = history.iter().map(|event| format!("{}: {}", event.actor, event.change)).collect();
//! assert_eq!(told, ["ci: registered 1.0.0", "alice: @champion: none -> 1.0.0 (first release)"]);
//! # Ok(())
//! # }
//! ```
//!
//! # How it is stored
//!
//! ```text
//! log/0.../00000000000000000001.json   the first transition: something was registered, moved or tagged
//! log/0.../00000000000000000002.json   the second
//! blobs/sha256/ab/ab34...              artifacts, by their digest
//! checkpoints/latest.json              where the latest checkpoint is
//! ```
//!
//! * **The log is the sole authority.** The state of the registry is the fold of its transitions. A version
//!   is there when its transition is; its blobs were written before. So a process killed at any moment
//!   leaves nothing half done, at worst blobs that nobody names.
//! * **A number is taken once.** A transition is written with create-if-absent: of two writers one gets the
//!   number. The other folds what the first wrote, looks whether its own intent still holds, and takes the
//!   next number. That is all there is to concurrency: tasks, processes and machines agree without a lock.
//! * **The log is a chain.** Each transition holds its own digest and that of its predecessor, so that one
//!   that was edited, truncated, removed or put in does not go unnoticed; every such thing is an
//!   [`Integrity`](mlops_core::Error::Integrity) error that names the file.
//! * **Opening is quick.** Every thousandth transition writes a checkpoint of the state. Who opens a registry reads
//!   that, and only the transitions after it. A checkpoint says nothing that the log does not say; one that is lost
//!   or harmed is passed over.
//! * **Deletion is safe.** What nobody names is [collected](ObjectStoreRegistry::collect_garbage): announced in the
//!   log, then deleted. Bytes that are needed again are written to another file, so that a late deletion harms nobody.
//! * **Reads are current.** Every read first looks for the next transition, and so sees all that was
//!   acknowledged before it began, by whatever process. Who asks on every request asks a
//!   [live view](ObjectStoreRegistry::live) instead, which follows in the background.
//!
//! # Features
//! `s3`, `gcs`, `azure`: buckets ([`open_url`](ObjectStoreRegistry::open_url)). `sign`: signatures over versions, and
//! trust in what is signed. `mlflow`: the same trait over an MLflow server (`MlflowRegistry`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod blobs;
mod card;
mod checkpoint;
#[cfg(feature = "cloud")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "s3", feature = "gcs", feature = "azure"))))]
pub mod cloud;
mod collect;
mod document;
mod journal;
mod lifecycle;
pub mod limits;
mod lineage;
mod live;
mod log;
#[cfg(feature = "mlflow")]
#[cfg_attr(docsrs, doc(cfg(feature = "mlflow")))]
mod mlflow;
mod off_thread;
mod progress;
mod registry;
mod rules;
pub mod runs;
mod state;
mod store_error;
pub mod transfer;
mod trust;
mod url;
mod verify;
mod watch;

pub use card::model_card;
pub use collect::{Garbage, GarbageCollection, GarbageFile, GarbageKind};
pub use lifecycle::{NewApproval, Protecting};
pub use lineage::LineageGraph;
pub use live::LiveView;
#[cfg(feature = "mlflow")]
#[cfg_attr(docsrs, doc(cfg(feature = "mlflow")))]
pub use mlflow::MlflowRegistry;
pub use progress::{Direction, Transfer};
pub use registry::ObjectStoreRegistry;
pub use trust::{PublicKey, VersionSignature};
#[cfg(feature = "sign")]
pub use trust::{SigningKey, TrustPolicy};
pub use verify::{Fault, Verification};

/// The crate whose types are part of this API, in the version it is built with.
pub mod reexports {
    pub use object_store;
}
