//! Matrix products.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
