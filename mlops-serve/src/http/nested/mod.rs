//! Tensors as nested JSON arrays, in the protocols that tell no types: the types are those of the signature.

mod column;
mod inputs;
mod outputs;

pub(super) use column::Column;
pub(super) use inputs::{Columns, Instances};
pub(super) use outputs::{ByColumn, ByRow, Outputs};
