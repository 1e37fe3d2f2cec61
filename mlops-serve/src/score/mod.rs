//! Scoring of many rows: of files, and of streams.
//!
//! * [`Scoring`] scores CSV, JSON Lines and Parquet (feature `parquet`) of any size through any
//!   [`Model`](mlops_core::Model), in bounded memory. It goes on where it was ended, and sets bad rows apart.
//! * [`ScoreStreamExt`] scores whatever comes as a [`Stream`](futures_core::Stream), with back-pressure.
//!
//! Neither needs a certain async runtime.

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
mod stream;
mod table;
mod thread;
mod value;
mod writer;

pub use format::Format;
pub use progress::Progress;
pub use scoring::Scoring;
pub use stream::{InFlight, ScoreStreamExt};
