//! Regions and boxes of images.

use super::Entry;

pub(super) const OPERATORS: &[Entry] = &[];
