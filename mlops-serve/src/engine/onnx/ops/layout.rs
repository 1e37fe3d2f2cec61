//! Other arrangements of the same elements: reshape, transpose, concat, split, pad, tile.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
