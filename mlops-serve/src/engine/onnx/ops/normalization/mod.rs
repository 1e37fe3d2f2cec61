//! Batch, layer, instance, group and other normalisation.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
