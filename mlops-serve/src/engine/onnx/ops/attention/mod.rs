//! Attention and rotary embeddings.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
