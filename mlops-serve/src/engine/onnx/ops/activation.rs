//! Activation functions: element by element, in floating point.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
