//! Texts changed here and there, by bytes and by words that parsers stumble over.

use crate::tree::Random;

/// Changes `text` in one place, perhaps by a part of another one.
pub fn mutate(text: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    let place = random.below(text.len() + 1);
    let end = (place + random.below(12)).min(text.len());
    match random.below(6) {
        0 => drop(text.drain(place..end)),
        1 => drop(text.splice(place..end, words[random.below(words.len())].iter().copied())),
        2 => drop(text.splice(place..place, words[random.below(words.len())].iter().copied())),
        3 => {
            let from = random.below(other.len() + 1);
            let to = (from + random.below(40)).min(other.len());
            drop(text.splice(place..end, other[from..to].iter().copied()));
        }
        4 if place < text.len() => text[place] ^= 1 << random.below(8),
        _ => {
            let copy = text[place..end].repeat(1 + random.below(40));
            drop(text.splice(place..place, copy));
        }
    }
    text.truncate(1 << 16);
}
