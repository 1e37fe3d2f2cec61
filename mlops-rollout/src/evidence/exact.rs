//! Sums of numbers without rounding.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Numbers are taken as multiples of 2⁻⁹⁶; what is finer is cut off.
const FRACTION_BITS: i32 = 96;
/// Magnitudes from 2⁹⁵ on are refused, so that 2⁶³ squares fit.
const LIMIT: f64 = (1_u128 << 95) as f64;

/// A number as `± mantissa · 2^(shift - 96)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    negative: bool,
    mantissa: u64,
    shift: u32,
}

impl Fixed {
    pub(super) const ZERO: Self = Self { negative: false, mantissa: 0, shift: 0 };

    /// `None` for what is no number, or of a magnitude of 2⁹⁵ (4 · 10²⁸) or more.
    pub(super) fn new(value: f64) -> Option<Self> {
        if value.is_nan() || value.abs() >= LIMIT {
            return None;
        }
        let bits = value.abs().to_bits();
        let exponent = (bits >> 52) as i32;
        if exponent == 0 {
            return Some(Self::ZERO); // zero and what is below 2⁻¹⁰²²
        }
        let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
        // The exponent of the mantissa's last bit is `exponent - 1075`.
        let shift = exponent - 1_075 + FRACTION_BITS;
        let mantissa =
            if shift < 0 { mantissa.checked_shr(shift.unsigned_abs()).unwrap_or(0) } else { mantissa };
        Some(Self { negative: value < 0.0, mantissa, shift: shift.max(0).unsigned_abs() })
    }
}

/// A sum of [`Fixed`]s, or of products of two, in two's complement over 64·N bits, the lowest first.
///
/// Additions commute to the last bit. So the parts that threads and replicas add up give the sum of all,
/// whatever came in which order, and a variance does not cancel however far the mean lies from zero.
/// Kulisch, "Computer Arithmetic and Validity", 2nd edition, 2013, chapter 8, calls it a complete register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exact<const N: usize>([u64; N]);

/// A sum of numbers.
pub(super) type Sum = Exact<4>;
/// A sum of products of two numbers.
pub(super) type ProductSum = Exact<7>;
/// What the moments are computed in.
type Wide = Exact<8>;

impl<const N: usize> Exact<N> {
    pub(super) const ZERO: Self = Self([0; N]);

    pub(super) fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, other) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = limb.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
    }

    /// Adds `± magnitude · 2^shift` of the last place.
    fn add_shifted(&mut self, negative: bool, magnitude: u128, shift: u32) {
        let (first, bit) = ((shift / 64) as usize, shift % 64);
        let low = magnitude << bit;
        let high = if bit == 0 { 0 } else { (magnitude >> (128 - bit)) as u64 };
        let mut term = Self::ZERO;
        for (limb, part) in term.0.iter_mut().skip(first).zip([low as u64, (low >> 64) as u64, high]) {
            *limb = part;
        }
        self.add(&if negative { term.negated() } else { term });
    }

    fn negated(&self) -> Self {
        let mut negated = Self(self.0.map(|limb| !limb));
        let mut one = Self::ZERO;
        if let Some(last) = one.0.first_mut() {
            *last = 1;
        }
        negated.add(&one);
        negated
    }

    fn is_negative(&self) -> bool {
        self.0.last().is_some_and(|limb| limb >> 63 == 1)
    }

    fn magnitude(&self) -> Self {
        if self.is_negative() { self.negated() } else { *self }
    }

    /// The product, in eight limbs.
    fn times<const M: usize>(&self, other: &Exact<M>) -> Wide {
        let (one, two) = (self.magnitude(), other.magnitude());
        let mut product = Wide::ZERO;
        for (place, limb) in one.0.iter().enumerate() {
            for (other_place, other) in two.0.iter().enumerate() {
                let shift = 64 * (place + other_place) as u32;
                product.add_shifted(false, u128::from(*limb) * u128::from(*other), shift);
            }
        }
        if self.is_negative() == other.is_negative() { product } else { product.negated() }
    }

    /// The value over `2^scale`, to the rounding of a float.
    fn over_power_of_two(&self, scale: i32) -> f64 {
        let magnitude =
            self.magnitude().0.iter().rev().fold(0.0, |value, limb| value * 2_f64.powi(64) + *limb as f64);
        let value = magnitude * 2_f64.powi(-scale);
        if self.is_negative() { -value } else { value }
    }
}

impl Sum {
    pub(super) fn add_number(&mut self, number: Fixed) {
        self.add_shifted(number.negative, u128::from(number.mantissa), number.shift);
    }

    /// Over `count`.
    pub(super) fn mean(&self, count: u64) -> f64 {
        self.over_power_of_two(FRACTION_BITS) / count as f64
    }
}

impl ProductSum {
    pub(super) fn add_product(&mut self, one: Fixed, other: Fixed) {
        let product = u128::from(one.mantissa) * u128::from(other.mantissa);
        self.add_shifted(one.negative != other.negative, product, one.shift + other.shift);
    }

    /// The covariance of `count` pairs, with the divisor `count - 1`, where this is the sum of their products
    /// and those are their sums: `(n Σxy - Σx Σy) / (n (n - 1))`.
    pub(super) fn covariance(&self, one: &Sum, other: &Sum, count: u64) -> f64 {
        let mut products = self.times(&Exact([count]));
        products.add(&one.times(other).negated());
        let count = count as f64;
        products.over_power_of_two(2 * FRACTION_BITS) / count / (count - 1.0)
    }
}

/// Hexadecimal digits, with a sign.
impl<const N: usize> fmt::Display for Exact<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self.magnitude().0.iter().rev().map(|limb| format!("{limb:016x}")).collect();
        let digits = digits.trim_start_matches('0');
        let sign = if self.is_negative() { "-" } else { "" };
        write!(f, "{sign}{}", if digits.is_empty() { "0" } else { digits })
    }
}

impl<const N: usize> Serialize for Exact<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Exact<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.as_str()),
        };
        let mut sum = Self::ZERO;
        for (place, digit) in digits.bytes().rev().enumerate() {
            let value = char::from(digit).to_digit(16).filter(|_| place < 16 * N);
            let value = value.ok_or_else(|| {
                de::Error::custom(format!("`{text}` is no hexadecimal number of up to {} digits", 16 * N))
            })?;
            sum.add_shifted(false, u128::from(value), 4 * place as u32);
        }
        Ok(if negative { sum.negated() } else { sum })
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::stats::welch_t_test;
    use proptest::prelude::*;

    use super::*;

    fn sums(values: &[f64]) -> (Sum, ProductSum) {
        let (mut sum, mut squares) = (Sum::ZERO, ProductSum::ZERO);
        for value in values {
            let number = Fixed::new(*value).unwrap();
            sum.add_number(number);
            squares.add_product(number, number);
        }
        (sum, squares)
    }

    fn variance(values: &[f64]) -> f64 {
        let (sum, squares) = sums(values);
        squares.covariance(&sum, &sum, values.len() as u64)
    }

    #[test]
    fn nothing_is_rounded_away() {
        let (sum, _) = sums(&[1e28, 1.0, 2.0_f64.powi(-96), -1e28, -1.0]);
        assert_eq!(sum.mean(1), 2.0_f64.powi(-96));
        // 1e16 + {0, 2, 4}: a variance of 4, which sums of squares in floats lose whole.
        assert_eq!(variance(&[1e16, 1e16 + 2.0, 1e16 + 4.0]), 4.0);
        assert_eq!(variance(&[-0.1; 7]), 0.0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, LIMIT, -f64::MAX] {
            assert!(Fixed::new(value).is_none(), "{value}");
        }
        let largest = LIMIT.next_down();
        let (sum, squares) = sums(&[largest, -largest, largest, f64::MIN_POSITIVE, 5e-324, -0.0]);
        assert_eq!(sum.mean(1), largest);
        assert!((squares.over_power_of_two(192) / largest / largest - 3.0).abs() < 1e-15);
    }

    #[test]
    fn covariance_is_signed() {
        let pairs = [(1.0, 6.0), (2.0, 4.0), (3.0, 2.0)]
            .map(|(x, y)| (Fixed::new(x).unwrap(), Fixed::new(y).unwrap()));
        let (mut x, mut y, mut products) = (Sum::ZERO, Sum::ZERO, ProductSum::ZERO);
        for (one, other) in pairs {
            x.add_number(one);
            y.add_number(other);
            products.add_product(one, other);
        }
        assert_eq!(products.covariance(&x, &y, 3), -2.0);
    }

    proptest! {
        #[test]
        fn any_order_and_any_grouping_give_the_same(
            mut values in prop::collection::vec(-1e12..1e12_f64, 1..60), cut in 0_usize..60,
        ) {
            let whole = sums(&values);
            let (first, second) = values.split_at(cut.min(values.len()));
            let (mut merged, other) = (sums(second), sums(first));
            merged.0.add(&other.0);
            merged.1.add(&other.1);
            prop_assert_eq!(merged, whole);
            values.reverse();
            prop_assert_eq!(sums(&values), whole);
        }

        #[test]
        fn moments_are_those_of_the_values(values in prop::collection::vec(-1e3..1e3_f64, 2..60)) {
            let (sum, _) = sums(&values);
            let of_welch = welch_t_test(&values, &[0.0, 0.0]).unwrap();
            let count = values.len() as u64;
            prop_assert!((sum.mean(count) - of_welch.difference).abs() <= 1e-9);
            let expected = of_welch.standard_error.powi(2) * count as f64;
            prop_assert!((variance(&values) - expected).abs() <= 1e-9 * (1.0 + expected));
        }

        #[test]
        fn text_keeps_every_bit(values in prop::collection::vec(-1e20..1e20_f64, 0..9)) {
            let (sum, squares) = sums(&values);
            let json = serde_json::to_string(&(sum, squares)).unwrap();
            prop_assert_eq!(serde_json::from_str::<(Sum, ProductSum)>(&json).unwrap(), (sum, squares));
        }
    }

    #[test]
    fn text_that_is_no_number_is_refused() {
        for bad in ["\"xyz\"", "\"--1\"", "3", &format!("\"{}\"", "f".repeat(65))] {
            assert!(serde_json::from_str::<Sum>(bad).is_err(), "{bad}");
        }
    }
}
