//! Chance that repeats.

/// The generator SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Puts a random choice of `count` elements, each as likely, in front.
    pub(super) fn choose(&mut self, order: &mut [usize], count: usize) {
        for place in 0..count {
            let left = (order.len() - place) as u128;
            let step = (u128::from(self.next()) * left) >> 64;
            order.swap(place, place + step as usize);
        }
    }
}
