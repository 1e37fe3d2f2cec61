//! Arithmetic on plain slices, on the processor.

pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod gemm;
pub(crate) mod math;
pub(crate) mod normalize;
pub(crate) mod parallel;
pub(crate) mod reduce;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod trees;
pub(crate) mod vector;
