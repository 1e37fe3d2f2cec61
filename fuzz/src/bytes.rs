//! Bytes changed here and there.

use crate::tree::Random;

/// Changes `bytes` in one place: by one of `words`, by a piece of `other`, by less or more of what is there.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    let place = random.below(bytes.len() + 1);
    let end = (place + random.below(12)).min(bytes.len());
    match random.below(6) {
        0 => drop(bytes.drain(place..end)),
        1 => drop(bytes.splice(place..end, words[random.below(words.len())].iter().copied())),
        2 => drop(bytes.splice(place..place, words[random.below(words.len())].iter().copied())),
        3 => {
            let from = random.below(other.len() + 1);
            let to = (from + random.below(40)).min(other.len());
            drop(bytes.splice(place..end, other[from..to].iter().copied()));
        }
        4 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
        _ => {
            let copy = bytes[place..end].repeat(1 + random.below(40));
            drop(bytes.splice(place..place, copy));
        }
    }
    bytes.truncate(1 << 16);
}
