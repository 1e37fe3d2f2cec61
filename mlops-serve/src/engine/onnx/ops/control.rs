//! Branches, loops, sequences and optionals.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
