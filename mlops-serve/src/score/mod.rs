//! Scoring of many rows.
//!
//! * [`Scoring`] scores CSV, JSON Lines and Parquet (feature `parquet`) of any size through any
//!   [`Model`](mlops_core::Model), in bounded memory. It goes on where it was ended, and sets bad rows apart.
//!
//! It needs no certain async runtime.

#[cfg(feature = "parquet")]
mod arrow;
mod batches;
mod call;
mod encode;
mod failure;
mod folder;
mod format;
mod job;
mod mapping;
mod output;
mod progress;
mod reader;
mod record;
mod scoring;
mod table;
mod thread;
mod value;
mod writer;

pub use format::Format;
pub use progress::Progress;
pub use scoring::Scoring;
