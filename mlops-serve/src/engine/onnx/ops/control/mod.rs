//! Branches and loops with graphs inside; sequences and optionals.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
