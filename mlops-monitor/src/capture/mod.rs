//! Requests and responses as they were, sampled, on an object store.
//!
//! A [`CaptureObserver`] watches predictions, takes a share of them and writes them to an object store as Parquet or
//! JSON Lines, a file at a time. It never waits on the request path: what it has no room for it drops and counts. Named
//! fields are removed, masked or hashed before anything is written. [`read()`] gives the rows of a span of time back as
//! [`Table`](crate::Table)s: a reference made of real traffic.
//!
//! ```
//! use futures_util::TryStreamExt;
//! use mlops_core::{Observer, Prediction, Request, Response, Tensors};
//! use mlops_monitor::capture::{self, CaptureObserver, CaptureOptions, Field, Redaction};
//! use object_store::memory::InMemory;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> mlops_core::Result<()> {
//! let store = Arc::new(InMemory::new());
//! let options = CaptureOptions::default().with_redaction(Field::input("name"), Redaction::Remove);
//! let observer = CaptureObserver::start(store.clone(), "captured/fraud", options)?;
//!
//! // Give it to `model.observed(..)`; here it is called by hand.
//! let request = Request::new(Tensors::new().with("amount", vec![12.5_f32])).with_id("a-17");
//! let response = Response::new(Tensors::new().with("score", vec![0.9_f32]));
//! observer.observe(&Prediction::new(&request, Ok(&response), Duration::from_millis(2)));
//! assert_eq!(observer.shutdown().await.written, 1);
//!
//! let tables: Vec<_> = capture::read(store, "captured/fraud", ..).await?.try_collect().await?;
//! assert_eq!(tables[0].column("input.amount").and_then(|amount| amount.as_numbers()), Some(&[12.5][..]));
//! # Ok(())
//! # }
//! ```
//!
//! # What is written
//! One row per row of a request. Tensors whose first dimension is not that of all others cannot be told apart by row;
//! then the whole request is one row.
//!
//! | column | is |
//! |---|---|
//! | `time` | when the prediction had finished, microseconds, UTC |
//! | `id`, `row` | the id of the request, and which of its rows |
//! | `model`, `version`, `variant`, `role` | who answered, and whether the caller got it: `primary`, `shadow` |
//! | `outcome`, `latency_seconds` | `ok` or the label of the error; from the call to the answer |
//! | `attributes` | the routing attributes, as a JSON object |
//! | *feature* | one per feature, where [`CaptureOptions::with_features`] names them |
//! | `input.NAME`, `output.NAME` | every other tensor: a value where a row is one element, else a list |
//!
//! Elements keep their type (BF16 becomes 32-bit floats; BYTES are text, or binary in a file where one of them is no
//! text). What a prediction does not have is null.
//!
//! Objects are called `PREFIX/year=2026/month=11/day=22/FIRST_LAST-UUID.parquet`, the times being those of the first
//! and the last prediction in them: sorted by name they are sorted by time, and no two replicas write the same. An
//! object is there whole or not at all.
//!
//! # What is lost
//! Records wait in memory for their file to fill, at most [`CaptureOptions::max_age`]. A process that dies loses those,
//! and nothing that was counted as written.

mod columns;
mod format;
mod object;
mod observer;
mod options;
mod read;
mod record;
mod redact;
mod writer;

pub use observer::{CaptureObserver, CaptureStats};
pub use options::{CaptureOptions, Failures, Format};
pub use read::read;
pub use redact::{Field, HashKey, Redaction};
