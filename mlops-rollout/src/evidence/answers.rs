//! Who answered which request.

use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mlops_core::Variant;
use xxhash_rust::xxh3::xxh3_64;

const VARIANT_BITS: u32 = 8;
const WINDOW_BITS: u32 = 12;
const TAG_SHIFT: u32 = VARIANT_BITS + WINDOW_BITS;

/// Which variant answered the requests of late, by the hash of their id: a table of fixed size in which a new
/// id takes the place of an old one.
///
/// A slot holds 44 bits of the hash, 12 of the number of the window, and the variant. So one unknown id in 2⁴⁴
/// is taken for a known one.
#[derive(Debug)]
pub(super) struct Answers {
    slots: Box<[AtomicU64]>,
    variants: ArcSwap<Vec<Variant>>,
}

impl Answers {
    /// A table of so many slots, rounded up to a power of two.
    pub(super) fn new(capacity: usize) -> Self {
        let slots = capacity.clamp(1, 1 << 30).next_power_of_two();
        Self { slots: (0..slots).map(|_| AtomicU64::new(0)).collect(), variants: ArcSwap::default() }
    }

    pub(super) fn remember(&self, id: &str, variant: &Variant, window: u64) {
        let Some(variant) = self.index(variant) else { return };
        let hash = xxh3_64(id.as_bytes());
        if let Some(slot) = self.slot(hash) {
            let window = (window % (1 << WINDOW_BITS)) << VARIANT_BITS;
            slot.store(tag(hash) | window | variant, Ordering::Relaxed);
        }
    }

    /// Who answered it, and how many windows ago.
    pub(super) fn find(&self, id: &str, window: u64) -> Option<(Variant, u64)> {
        let hash = xxh3_64(id.as_bytes());
        let entry = self.slot(hash)?.load(Ordering::Relaxed);
        let variant = entry % (1 << VARIANT_BITS);
        if tag(entry) != tag(hash) || variant == 0 {
            return None;
        }
        let variant = self.variants.load().get(variant as usize - 1).cloned()?;
        let answered = (entry >> VARIANT_BITS) % (1 << WINDOW_BITS);
        Some((variant, window.wrapping_sub(answered) % (1 << WINDOW_BITS)))
    }

    fn slot(&self, hash: u64) -> Option<&AtomicU64> {
        self.slots.get(hash as usize & (self.slots.len() - 1))
    }

    /// The number of a variant, from 1; `None` when there are too many.
    fn index(&self, variant: &Variant) -> Option<u64> {
        let place = |variants: &[Variant]| variants.iter().position(|known| known == variant);
        let known = place(&self.variants.load());
        let index = known.or_else(|| {
            self.variants.rcu(|variants| {
                let mut variants = Vec::clone(variants);
                if place(&variants).is_none() && variants.len() < (1 << VARIANT_BITS) - 1 {
                    variants.push(variant.clone());
                }
                variants
            });
            place(&self.variants.load())
        });
        index.map(|index| index as u64 + 1)
    }
}

fn tag(hash: u64) -> u64 {
    hash >> TAG_SHIFT << TAG_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_until_others_take_their_place() {
        let (a, b) = (Variant::new("a").unwrap(), Variant::new("b").unwrap());
        let answers = Answers::new(1_000);
        assert_eq!((answers.slots.len(), answers.find("x", 0)), (1_024, None));
        answers.remember("x", &a, 4_095);
        assert_eq!(answers.find("x", 4_095), Some((a.clone(), 0)));
        assert_eq!(answers.find("x", 4_097), Some((a.clone(), 2)));
        answers.remember("x", &b, 4_097);
        assert_eq!(answers.find("x", 4_097), Some((b.clone(), 0)));
        assert_eq!(answers.find("y", 4_097), None);

        (0..1_024).for_each(|index| answers.remember(&format!("id-{index}"), &a, 9));
        let known = (0..1_024).filter(|index| answers.find(&format!("id-{index}"), 9).is_some()).count();
        // Every slot that is hit keeps its last: 1 - 1/e of all, 647 of 1024.
        assert!((600..700).contains(&known), "{known}");
    }
}
