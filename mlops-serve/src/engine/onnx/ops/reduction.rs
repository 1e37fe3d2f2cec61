//! Reductions along axes, softmax and cumulative sums.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
