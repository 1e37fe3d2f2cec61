//! Strings.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
