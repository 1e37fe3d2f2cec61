//! Single weights are set to zero.

use mlops_core::{Error, Result};

use super::artifact::{Artifact, nothing_done};
use super::changes::{Change, Compressed, Skipped};
use super::storage::Stored;
use super::weights::{Part, part, weights};

/// Among which weights the smallest are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scope {
    /// Among those of each tensor: all layers become equally sparse.
    #[default]
    Tensor,
    /// Among those of the whole model: layers of small weights become sparser than others.
    Model,
}

/// Sets the weights of the smallest magnitude to zero, and stores the others with their places
/// ([Han et al., 2015](https://arxiv.org/abs/1506.02626), without training in between).
///
/// `sparsity`, between 0 and 1, is the share of weights that are zero afterwards, rounded to whole weights. What is
/// pruned are the factors of products, convolutions and recurrent layers that are FP32 constants of at least two
/// dimensions and 1,024 elements. They become sparse tensors of the ONNX format where that is smaller, which it is
/// from a sparsity of about one half on. Runtimes fill in the zeros again at load: the file shrinks, speed and memory
/// stay as they are. [`fp16_weights`](super::fp16_weights) and [`int8_weights`](super::int8_weights) afterwards keep
/// the sparseness.
///
/// # Errors
/// [`Error::InvalidInput`] when the bytes are no valid ONNX model, its weights are kept in other files, or `sparsity`
/// is not between 0 and 1; [`Error::Unsupported`] when there are no such weights, or the file would not become
/// smaller.
pub fn prune_magnitude(model: &[u8], sparsity: f64, scope: Scope) -> Result<Compressed> {
    if !(sparsity > 0.0 && sparsity < 1.0) {
        return Err(Error::invalid_input(format!(
            "the sparsity must be between 0 and 1, and {sparsity} is not"
        )));
    }
    let mut artifact = Artifact::open(model)?;
    let uses = artifact.uses();
    let mut skipped = Vec::new();
    let mut chosen = Vec::new();
    for weight in weights(&artifact) {
        let Some(elements) = artifact.floats(&weight.name) else { continue };
        if elements.iter().any(|element| element.is_nan()) {
            skipped.push(Skipped::new(weight.name, "it has elements that are no number"));
            continue;
        }
        match part(&artifact, &weight, &uses) {
            Some(Part::Factor { .. }) => chosen.push((weight, elements)),
            Some(Part::Table { .. }) => {
                skipped.push(Skipped::new(weight.name, "it is a table: small entries are no less needed"));
            }
            None => skipped.push(Skipped::new(weight.name, "it is no factor of a product or convolution")),
        }
    }
    match scope {
        Scope::Tensor => {
            for (_, elements) in &mut chosen {
                zero_smallest(&mut [elements], sparsity);
            }
        }
        Scope::Model => {
            let mut all: Vec<&mut Vec<f32>> = chosen.iter_mut().map(|(_, elements)| elements).collect();
            zero_smallest(&mut all, sparsity);
        }
    }
    let mut changes = Vec::new();
    for (weight, elements) in chosen {
        let bytes_before = artifact.size_of(&weight.name);
        let zeros = elements.iter().filter(|element| **element == 0.0).count();
        let stored = Stored::smallest(&weight.name, &weight.shape, &elements);
        let how = if stored.is_sparse() { "stored sparsely" } else { "stored in full" };
        let what = format!("{zeros} of {:?} zero, {how}", weight.shape);
        let bytes_after = stored.size();
        artifact.store(stored);
        changes.push(Change { tensor: weight.name, what, bytes_before, bytes_after });
    }
    if changes.is_empty() {
        return Err(nothing_done("no weights can be pruned", &skipped));
    }
    let pruned = Compressed { model: artifact.finish(), changes, skipped };
    if pruned.model.len() >= model.len() {
        return Err(Error::unsupported(format!(
            "with a sparsity of {sparsity} the file would not become smaller: that takes about one half, or weights that have not been pruned before"
        )));
    }
    Ok(pruned)
}

/// Sets the given share of all elements to zero, those of the smallest magnitude; of equal ones the first.
/// Elements that are zero already count.
fn zero_smallest(tensors: &mut [&mut Vec<f32>], share: f64) {
    // The bits of positive floats are in the order of the floats.
    let mut magnitudes: Vec<u32> =
        tensors.iter().flat_map(|elements| elements.iter().map(|element| element.abs().to_bits())).collect();
    let count = (share * magnitudes.len() as f64).round() as usize;
    let Some(last) = count.checked_sub(1) else { return };
    let (below, threshold, _) = magnitudes.select_nth_unstable(last);
    let threshold = *threshold;
    let mut ties = 1 + below.iter().filter(|magnitude| **magnitude == threshold).count();
    for element in tensors.iter_mut().flat_map(|elements| elements.iter_mut()) {
        let magnitude = element.abs().to_bits();
        if magnitude < threshold {
            *element = 0.0;
        } else if magnitude == threshold && ties > 0 {
            *element = 0.0;
            ties -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_share_of_zeros_is_exact_and_the_largest_stay(
            first in prop::collection::vec(prop::sample::select(vec![0.5_f32, -0.5, 1.0, -2.0, 3.0, 7.5]), 1..200),
            second in prop::collection::vec(1e-3_f32..1e3, 1..200),
            share in 0.0_f64..1.0,
        ) {
            let (mut a, mut b) = (first.clone(), second.clone());
            zero_smallest(&mut [&mut a, &mut b], share);
            let total = first.len() + second.len();
            let pairs = || first.iter().zip(&a).chain(second.iter().zip(&b));
            let zeroed: Vec<f32> =
                pairs().filter(|(_, after)| **after == 0.0).map(|(before, _)| before.abs()).collect();
            prop_assert_eq!(zeroed.len(), (share * total as f64).round() as usize);
            let kept = pairs().filter(|(_, after)| **after != 0.0);
            let largest_zeroed = zeroed.iter().copied().fold(0.0, f32::max);
            for (before, after) in kept {
                prop_assert_eq!(before, after);
                prop_assert!(before.abs() >= largest_zeroed);
            }
        }
    }
}
