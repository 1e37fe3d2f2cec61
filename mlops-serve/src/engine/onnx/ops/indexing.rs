//! Reading and writing by index: gather, scatter, slice, top-k, and what searches.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
