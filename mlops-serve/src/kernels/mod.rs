//! Arithmetic on plain slices, on the processor.

pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod math;
pub(crate) mod normalize;
pub(crate) mod parallel;
pub(crate) mod reduce;
pub(crate) mod vector;
pub(crate) mod trees;
