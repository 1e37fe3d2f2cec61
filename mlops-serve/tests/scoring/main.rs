//! Files and streams that are scored.

#[path = "../support/mod.rs"]
mod support;

mod jobs;
#[cfg(feature = "parquet")]
mod parquet;
mod resume;
mod stream;
