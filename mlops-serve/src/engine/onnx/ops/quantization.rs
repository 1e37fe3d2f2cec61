//! Quantised numbers and arithmetic on them.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
