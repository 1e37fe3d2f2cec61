//! The assignment of users to variants as other tools do it, so that an experiment can move over without
//! moving its users.
//!
//! Each maps a name of the experiment and a user to a place, always the same, and allocates nothing for
//! names of usual length. For experiments that begin here use the sticky router of `mlops-rollout`, whose
//! hash is better and faster.
//!
//! | tool | function | place |
//! |---|---|---|
//! | GrowthBook SDK, hash version 2 | [`growthbook_v2`] | `[0, 1)` in steps of 1/10,000 |
//! | GrowthBook SDK, hash version 1 | [`growthbook_v1`] | `[0, 1)` in steps of 1/1,000 |
//! | Unleash, gradual rollout | [`unleash_percentage`] | 1 to 100 |
//! | Unleash, variants | [`unleash_variant`] | 1 to 1,000 |

use smallvec::SmallVec;

/// Where Unleash begins to hash for variants, so that they do not depend on the rollout.
const UNLEASH_VARIANT_SEED: u32 = 86_028_157;

/// The place of a user in a GrowthBook experiment of hash version 2, in `[0, 1)`.
///
/// `fnv(decimal(fnv(seed + user))) mod 10,000 / 10,000` with [`fnv1a_32`].
///
/// ```
/// use mlops_core::stats::sticky::growthbook_v2;
///
/// assert_eq!(growthbook_v2("exp-1", "user-324892"), 0.9356);
/// ```
#[must_use]
pub fn growthbook_v2(seed: &str, user: &str) -> f64 {
    let first = fnv1a_32(seed.encode_utf16().chain(user.encode_utf16()));
    f64::from(fnv1a_32(decimal(first)) % 10_000) / 10_000.0
}

/// The place of a user in a GrowthBook experiment of hash version 1, in `[0, 1)`.
///
/// `fnv(user + seed) mod 1,000 / 1,000` with [`fnv1a_32`]. Places in experiments with similar names
/// depend on each other, which is why there is version 2.
///
/// ```
/// use mlops_core::stats::sticky::growthbook_v1;
///
/// assert_eq!(growthbook_v1("exp-1", "user-324892"), 0.736);
/// ```
#[must_use]
pub fn growthbook_v1(seed: &str, user: &str) -> f64 {
    f64::from(fnv1a_32(user.encode_utf16().chain(seed.encode_utf16())) % 1_000) / 1_000.0
}

/// The place of a user in a gradual rollout of Unleash, from 1 to 100: enabled if not above the percentage.
///
/// ```
/// use mlops_core::stats::sticky::unleash_percentage;
///
/// assert_eq!(unleash_percentage("exp-1", "user-324892"), 14);
/// ```
#[must_use]
pub fn unleash_percentage(group: &str, user: &str) -> u32 {
    unleash(group, user, 0, 100)
}

/// The place of a user among the variants of an Unleash toggle, from 1 to 1,000.
///
/// ```
/// use mlops_core::stats::sticky::unleash_variant;
///
/// assert_eq!(unleash_variant("exp-1", "user-324892"), 896);
/// ```
#[must_use]
pub fn unleash_variant(group: &str, user: &str) -> u32 {
    unleash(group, user, UNLEASH_VARIANT_SEED, 1_000)
}

fn unleash(group: &str, user: &str, seed: u32, places: u32) -> u32 {
    let mut text = SmallVec::<[u8; 128]>::new();
    text.extend_from_slice(group.as_bytes());
    text.push(b':');
    text.extend_from_slice(user.as_bytes());
    murmur3_x86_32(&text, seed) % places + 1
}

/// The digits of a number.
fn decimal(number: u32) -> impl Iterator<Item = u16> {
    (0..10)
        .rev()
        .map(move |place| number / 10_u32.pow(place))
        .enumerate()
        .skip_while(|(place, leading)| *place < 9 && *leading == 0)
        .map(|(_, leading)| u16::from(b'0') + (leading % 10) as u16)
}

/// FNV-1a of 32 bits over UTF-16 code units, which is what JavaScript's `charCodeAt` yields.
///
/// Equal to FNV-1a over bytes for ASCII. Source: Fowler, Noll & Vo, RFC 9923.
///
/// ```
/// use mlops_core::stats::sticky::fnv1a_32;
///
/// assert_eq!(fnv1a_32("foobar".encode_utf16()), 0xbf9c_f968);
/// ```
pub fn fnv1a_32(units: impl IntoIterator<Item = u16>) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    units.into_iter().fold(OFFSET, |hash, unit| (hash ^ u32::from(unit)).wrapping_mul(PRIME))
}

/// MurmurHash3, the variant for x86 of 32 bits.
///
/// Source: Appleby, *SMHasher*, 2011 (public domain).
///
/// ```
/// use mlops_core::stats::sticky::murmur3_x86_32;
///
/// assert_eq!(murmur3_x86_32(b"Hello, world!", 1_234), 0xfaf6_cdb3);
/// ```
#[must_use]
pub fn murmur3_x86_32(bytes: &[u8], seed: u32) -> u32 {
    let scramble = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let little_endian =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |block, &byte| block << 8 | u32::from(byte));

    let blocks = bytes.chunks_exact(4);
    let tail = little_endian(blocks.remainder());
    let mut hash = blocks.fold(seed, |hash, block| {
        let mixed = (hash ^ scramble(little_endian(block))).rotate_left(13);
        mixed.wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    hash ^= scramble(tail) ^ bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors_of_murmur3() {
        let vectors: [(&[u8], u32, u32); 9] = [
            (b"", 0, 0),
            (b"", 1, 0x514e_28b7),
            (b"", u32::MAX, 0x81f1_6f39),
            (&[0xff; 4], 0, 0x7629_3b50),
            (&[0x21, 0x43, 0x65, 0x87], 0, 0xf55b_516b),
            (&[0x21, 0x43, 0x65, 0x87], 0x5082_edee, 0x2362_f9de),
            (&[0x21, 0x43, 0x65], 0, 0x7e4a_8634),
            (&[0x21, 0x43], 0, 0xa0f7_b07a),
            (&[0x21], 0, 0x7266_1cf4),
        ];
        for (bytes, seed, hash) in vectors {
            assert_eq!(murmur3_x86_32(bytes, seed), hash, "{bytes:?} {seed}");
        }
    }

    #[test]
    fn digits_are_those_of_a_number_as_text() {
        for number in [0, 7, 10, 907, 1_000_000_000, u32::MAX] {
            assert!(decimal(number).eq(number.to_string().encode_utf16()), "{number}");
        }
    }

    #[test]
    fn published_vectors_of_fnv() {
        for (text, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(fnv1a_32(text.encode_utf16()), hash, "{text}");
        }
    }

    #[test]
    fn places_are_spread_evenly() {
        let users: Vec<String> = (0..10_000).map(|user| format!("user-{user}")).collect();
        let share =
            |is_low: &dyn Fn(&str) -> bool| users.iter().filter(|user| is_low(user)).count() as f64 / 1e4;
        let shares = [
            share(&|user| growthbook_v2("checkout", user) < 0.3),
            share(&|user| growthbook_v1("checkout", user) < 0.3),
            share(&|user| unleash_percentage("checkout", user) <= 30),
            share(&|user| unleash_variant("checkout", user) <= 300),
        ];
        for share in shares {
            assert!((share - 0.3).abs() < 0.02, "{shares:?}");
        }
    }
}
