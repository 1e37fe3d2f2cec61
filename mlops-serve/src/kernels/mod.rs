//! Arithmetic on plain slices, on the processor.

pub(crate) mod parallel;
pub(crate) mod trees;
