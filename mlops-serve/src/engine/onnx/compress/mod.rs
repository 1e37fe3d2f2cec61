//! Smaller and faster models: from an artifact to an artifact.

mod artifact;
mod changes;
mod half;
mod int8;
mod magnitude;
mod quantize;
mod report;
mod storage;
mod structured;
mod weights;

pub use changes::{Change, Compressed, Skipped};
pub use half::{bf16_weights, fp16_weights};
pub use int8::int8_weights;
pub use magnitude::{Scope, prune_magnitude};
pub use report::{Agreement, Report};
pub use structured::prune_structured;
