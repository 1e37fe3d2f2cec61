//! Arithmetic on plain slices, on the processor.

pub(crate) mod attention;
pub(crate) mod blocked;
pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod gemm;
pub(crate) mod integer;
pub(crate) mod math;
pub(crate) mod normalize;
pub(crate) mod parallel;
pub(crate) mod pool;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod shuffle;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod transpose;
pub(crate) mod trees;
pub(crate) mod vector;
