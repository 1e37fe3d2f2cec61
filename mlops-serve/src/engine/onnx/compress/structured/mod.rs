//! Whole outputs of layers are removed.

mod chain;
mod network;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use mlops_core::{Error, Result};

use super::artifact::{label, nothing_done};
use super::changes::{Compressed, Skipped};
use chain::{Chain, follow, is_layer};
use network::Network;

/// Removes the given share of the neurons and channels inside the model, those that matter least: smaller, and faster
/// by about what is saved in multiplications, with dense tensors as before.
///
/// A layer (`Gemm`, `MatMul` or `Conv` with FP32 constants as weights) loses outputs where all that follows up to the
/// next layers can lose them as well: biases, batch normalisation, activation functions, also those spelled out,
/// pooling, depthwise convolutions, flattening. The inputs of the next layers shrink accordingly. Outputs that are
/// added to those of other layers (residual connections), reshaped, or given to the caller stay; the
/// [skipped](Compressed::skipped) layers say why. From each layer `fraction` of the outputs is removed, rounded down.
///
/// How much an output matters is estimated from the weights alone: the norm of what makes it, bias and batch
/// normalisation included, times the norm of what reads it. This extends the norms of filters of
/// [Li et al. (2017)](https://arxiv.org/abs/1608.08710) so that it does not depend on how two layers share a factor
/// between them. An output that nothing reads costs nothing; beyond those, expect to train the model again if
/// `fraction` is large, and measure with a [`Report`](super::Report) before.
///
/// Prune first: weights that were converted to fewer bits are no FP32 constants any more.
///
/// # Errors
/// [`Error::InvalidInput`] when the bytes are no valid ONNX model, its weights are kept in other files, or `fraction`
/// is not between 0 and 1; [`Error::Unsupported`] when no layer can be pruned, with the reasons.
pub fn prune_structured(model: &[u8], fraction: f64) -> Result<Compressed> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::invalid_input(format!(
            "the fraction must be between 0 and 1, and {fraction} is not"
        )));
    }
    let mut network = Network::open(model)?;
    let mut skipped = Vec::new();
    let mut values = HashSet::new();
    for node in 0..network.artifact().nodes().len() {
        if !is_layer(&network, node) {
            continue;
        }
        let name = label(&network.artifact().nodes()[node]);
        let chain = match follow(&network, node) {
            Ok(chain) => chain,
            Err(reason) => {
                skipped.push(Skipped::new(name, format!("its outputs cannot be removed: {reason}")));
                continue;
            }
        };
        let removed = (chain.channels as f64 * fraction) as usize;
        if removed == 0 {
            let reason = format!("{fraction} of its {} outputs is less than one", chain.channels);
            skipped.push(Skipped::new(name, reason));
            continue;
        }
        let kept = most_important(&chain, chain.channels - removed);
        chain.own.iter().chain(&chain.next).for_each(|cut| network.cut(cut, &kept));
        chain.depthwise.iter().for_each(|&node| network.set_group(node, kept.len()));
        values.extend(chain.values);
    }
    if values.is_empty() {
        return Err(nothing_done("no layer can be pruned", &skipped));
    }
    let (model, changes) = network.finish(&values);
    Ok(Compressed { model, changes, skipped })
}

/// The channels that matter most, in ascending order; of equal ones the first.
fn most_important(chain: &Chain, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..chain.channels).collect();
    order.sort_by(|&a, &b| chain.importance[b].total_cmp(&chain.importance[a]).then(a.cmp(&b)));
    order.truncate(count);
    order.sort_unstable();
    order
}
