//! Arithmetic, comparison and logic, element by element, with broadcasting; casts.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
