//! How sure a model is of its predictions.

use metrics::histogram;
use mlops_core::metrics::PREDICTION_CONFIDENCE;
use mlops_core::{Response, Tensor};

use crate::numbers::{Numbers, visit_numbers};

/// Records the confidence of each row of a response.
pub(super) fn record(response: &Response, output: &str) {
    let Some(tensor) = response.outputs.get(output) else { return };
    let model = response.model.as_ref().map(ToString::to_string).unwrap_or_default();
    let variant = response.variant.as_ref().map(ToString::to_string).unwrap_or_default();
    let histogram = histogram!(PREDICTION_CONFIDENCE, "model" => model, "variant" => variant);
    record_rows(tensor, |confidence| histogram.record(confidence));
}

/// What is no probability is left out.
fn record_rows(tensor: &Tensor, record: impl FnMut(f64)) {
    let classes = tensor.shape().iter().skip(1).product::<usize>();
    if !tensor.shape().is_empty() && classes > 0 {
        _ = visit_numbers(tensor, Confidence { classes, record });
    }
}

struct Confidence<F> {
    classes: usize,
    record: F,
}

impl<F: FnMut(f64)> Numbers for Confidence<F> {
    type Output = ();

    fn visit<T: Copy>(mut self, values: &[T], to_f64: impl Fn(T) -> f64) {
        for row in values.chunks_exact(self.classes) {
            let most = row.iter().map(|value| to_f64(*value)).fold(f64::NAN, f64::max);
            let confidence = if self.classes == 1 { most.max(1.0 - most) } else { most };
            if (0.0..=1.0).contains(&confidence) {
                (self.record)(confidence);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_probability_is_the_confidence() {
        let confidences = |tensor: Tensor| {
            let mut all = Vec::new();
            record_rows(&tensor, |confidence| all.push(confidence));
            all
        };
        assert_eq!(confidences(ndarray::array![[0.2, 0.5, 0.3], [0.75, 0.0, 0.25]].into()), [0.5, 0.75]);
        assert_eq!(confidences(vec![0.25, 0.75, f64::NAN, 3.0].into()), [0.75, 0.75]);
        assert!(confidences(Tensor::from_byte_strings(&[1], ["a"]).unwrap()).is_empty());
        assert!(confidences(Tensor::from_vec(&[], vec![0.5]).unwrap()).is_empty());
    }
}
