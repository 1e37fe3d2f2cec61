//! Whether a value was seen before, in bounded memory.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::value::{Cell, read_number, written};
use crate::ValueKind;

/// Remembers up to a limit of distinct values: numbers by their bits, text by a keyed 64-bit hash, of which two in a
/// million words are the same with a chance of 3 in 10⁸. 10 to 20 bytes per value.
#[derive(Debug)]
pub(super) struct Distinct {
    numbers: HashSet<u64>,
    words: HashSet<u64>,
    hasher: RandomState,
    limit: usize,
    /// A value came that there was no room for: what follows is not known to be new.
    overflowed: bool,
}

impl Distinct {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            numbers: HashSet::new(),
            words: HashSet::new(),
            hasher: RandomState::new(),
            limit,
            overflowed: false,
        }
    }

    /// Whether it was certainly seen before.
    pub(super) fn is_known(&mut self, cell: Cell<'_>) -> bool {
        let full = self.numbers.len() + self.words.len() >= self.limit;
        let (values, value) = match cell {
            Cell::Number(number, _) => (&mut self.numbers, bits(number)),
            Cell::Text(text) => match as_written(text) {
                Some(number) => (&mut self.numbers, bits(number)),
                None => (&mut self.words, self.hasher.hash_one(text.as_bytes())),
            },
            Cell::Binary(bytes) => (&mut self.words, self.hasher.hash_one(bytes)),
        };
        if values.contains(&value) {
            return true;
        }
        if full {
            self.overflowed = true;
        } else {
            values.insert(value);
        }
        false
    }

    /// Whether values came that there was no room for.
    pub(super) fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// How many distinct values are remembered.
    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.words.len()
    }
}

/// Of a number by value: -0 is 0.
fn bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

/// The number that is written as this text, and no other: 12, but not 012.
fn as_written(text: &str) -> Option<f64> {
    read_number(text).filter(|number| written(*number, ValueKind::Float) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_up_to_the_limit() {
        let mut distinct = Distinct::new(3);
        let number = |number| Cell::Number(number, ValueKind::Float);
        let seen = [number(0.0), number(-0.0), Cell::Text("a"), Cell::Text("a"), number(1.0), number(0.0)];
        assert_eq!(seen.map(|cell| distinct.is_known(cell)), [false, true, false, true, false, true]);
        assert!(!distinct.has_overflowed());
        assert!(!distinct.is_known(number(2.0)) && !distinct.is_known(number(2.0)));
        assert!(distinct.has_overflowed() && distinct.is_known(number(1.0)));
    }
}
