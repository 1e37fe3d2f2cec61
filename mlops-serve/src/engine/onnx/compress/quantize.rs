//! Floats as small integers with a scale.

/// The largest code: symmetric, so that -128 is not used.
const LARGEST: f32 = 127.0;

/// Numbers as codes and scales: `codes[i] * scales[channel of i]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantized {
    pub(super) codes: Vec<i8>,
    /// One for each index on the axis of the channels.
    pub(super) scales: Vec<f32>,
    /// How many elements of the same channel follow one another.
    inner: usize,
}

impl Quantized {
    /// Quantises finite elements with a scale for each index on `axis` of the shape.
    pub(super) fn per_channel(elements: &[f32], shape: &[usize], axis: usize) -> Self {
        let channels = shape[axis];
        let inner = shape[axis + 1..].iter().product::<usize>().max(1);
        let mut largest = vec![0.0_f32; channels];
        for (run, index) in elements.chunks(inner).zip((0..channels).cycle()) {
            largest[index] = run.iter().fold(largest[index], |largest, element| largest.max(element.abs()));
        }
        let scales: Vec<f32> = largest.into_iter().map(scale).collect();
        let mut codes = Vec::with_capacity(elements.len());
        for (run, scale) in elements.chunks(inner).zip(scales.iter().cycle()) {
            codes.extend(run.iter().map(|element| code(*element, *scale)));
        }
        Self { codes, scales, inner }
    }

    /// The numbers that the codes stand for.
    pub(super) fn values(&self) -> impl Iterator<Item = f32> {
        let runs = self.codes.chunks(self.inner).zip(self.scales.iter().cycle());
        runs.flat_map(|(run, scale)| run.iter().map(move |&code| f32::from(code) * scale))
    }

    /// The root of the mean squared error, as a share of the root of the mean square of the elements.
    pub(super) fn relative_error(&self, elements: &[f32]) -> f64 {
        let squares = self.values().zip(elements).fold((0.0, 0.0), |(error, size), (value, element)| {
            let (value, element) = (f64::from(value), f64::from(*element));
            (error + (value - element).powi(2), size + element * element)
        });
        if squares.1 > 0.0 { (squares.0 / squares.1).sqrt() } else { 0.0 }
    }
}

/// The scale with which the largest magnitude gets the largest code.
fn scale(largest: f32) -> f32 {
    let scale = largest / LARGEST;
    if scale >= f32::MIN_POSITIVE { scale } else { f32::MIN_POSITIVE }
}

/// The nearest code; halves go to the even one, as in `QuantizeLinear`.
fn code(element: f32, scale: f32) -> i8 {
    (element / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_element_changes_by_more_than_half_its_scale(
            elements in prop::collection::vec(-1e3_f32..1e3, 2 * 3 * 5),
            magnitude in -30_i32..30,
            axis in 0_usize..3,
        ) {
            let elements: Vec<f32> = elements.into_iter().map(|value| value * 2.0_f32.powi(magnitude)).collect();
            let shape = [2, 3, 5];
            let quantized = Quantized::per_channel(&elements, &shape, axis);
            prop_assert_eq!(quantized.scales.len(), shape[axis]);
            let strides = [15, 5, 1];
            for (index, (value, element)) in quantized.values().zip(&elements).enumerate() {
                let scale = f64::from(quantized.scales[index / strides[axis] % shape[axis]]);
                let error = (f64::from(value) - f64::from(*element)).abs();
                // Beyond half the scale only what the rounding of the FP32 product and quotient adds.
                prop_assert!(error <= scale * (0.5 + 127.0 * 3e-7), "{error} with scale {scale}");
            }
        }

        #[test]
        fn codes_survive_a_second_quantisation(elements in prop::collection::vec(-10_f32..10.0, 24)) {
            let once = Quantized::per_channel(&elements, &[4, 6], 0);
            let values: Vec<f32> = once.values().collect();
            prop_assert_eq!(Quantized::per_channel(&values, &[4, 6], 0).codes, once.codes);
        }
    }

    #[test]
    fn zeros_and_tiny_numbers_have_a_scale_too() {
        let quantized = Quantized::per_channel(&[0.0, 0.0, 1e-44, -1e-44], &[2, 2], 0);
        assert_eq!(quantized.codes, [0, 0, 0, 0]);
        assert!(quantized.scales.iter().all(|scale| scale.is_normal()));
    }

    #[test]
    fn channels_lie_along_the_axis() {
        let quantized = Quantized::per_channel(&[127.0, 1.27, -254.0, 0.02], &[2, 2], 1);
        assert_eq!(quantized.scales, [2.0, 0.01]);
        assert_eq!(quantized.codes, [64, 127, -127, 2]);
        assert!(quantized.relative_error(&[128.0, 1.27, -254.0, 0.02]) < 1e-7);
        assert!(quantized.relative_error(&[127.0, 1.27, -254.0, 0.02]) > 1e-3);
    }
}
