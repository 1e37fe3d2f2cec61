//! Axes.

/// At most `most + 1` round numbers (1, 2 or 5 times a power of ten apart) from `from` to `to`; none where
/// the range is empty.
pub(super) fn ticks(from: f64, to: f64, most: usize) -> Vec<f64> {
    let span = to - from;
    if !(span > 0.0 && span.is_finite()) {
        return Vec::new();
    }
    let rough = span / most.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999_999);
    let step = step.unwrap_or(10.0 * power);
    let first = (from / step).ceil();
    (0..=most + 1)
        .map(|index| (first + index as f64) * step)
        .take_while(|tick| *tick <= to + 1e-9 * span)
        .map(|tick| if tick.abs() < 1e-9 * step { 0.0 } else { tick })
        .collect()
}

/// Where `value` is between `from` and `to`, 0 to 1; in the middle where the range is empty.
pub(super) fn position(value: f64, from: f64, to: f64) -> f64 {
    let position = (value - from) / (to - from);
    if position.is_finite() { position.clamp(0.0, 1.0) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 1.0, 4), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(-13.0, 21.0, 4), [-10.0, 0.0, 10.0, 20.0]);
        assert_eq!(ticks(3.0, 3.0, 4), [0.0; 0]);
        assert_eq!(ticks(f64::MIN, f64::MAX, 4), [0.0; 0]);
    }

    proptest! {
        #[test]
        fn ticks_are_few_and_inside(from in -1e9..1e9, span in 1e-6..1e9, most in 1_usize..10) {
            let (to, ticks) = (from + span, ticks(from, from + span, most));
            prop_assert!(ticks.len() <= most + 1);
            prop_assert!(ticks.iter().all(|tick| *tick >= from - 1e-3 * span && *tick <= to + 1e-3 * span));
        }
    }
}
