//! Recurrent networks.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
