//! Products and convolutions with constant weights take in what follows them: normalisation, bias, residual.

use crate::engine::onnx::graph::{Domain, Graph, Node, ValueId};
use crate::engine::onnx::optimize::pattern::{Replacement, View, replace};
use crate::engine::onnx::tensor::HostTensor;

/// A product with a constant matrix becomes `Linear`: inputs, weights [K, N], and maybe a bias [N].
pub(super) fn recognise(graph: &mut Graph) -> bool {
    let products = replace(graph, |view, node| {
        let weights = view.constant(node.input(1))?;
        if weights.rank() != 2 || weights.elements::<f32>().is_err() {
            return None;
        }
        if node.is("MatMul") {
            let inputs = [node.input(0), node.input(1)];
            return Some(Replacement::new(view, node, Domain::Fused, "Linear", inputs));
        }
        if node.is("Gemm") { gemm(view, node, weights) } else { None }
    });
    let biases = replace(graph, |view, node| {
        let (product, bias) = added_constant(view, node)?;
        let is_linear = product.domain == Domain::Fused && &*product.operator == "Linear";
        if !is_linear || product.inputs.len() != 2 || product.attributes.contains("activation") {
            return None;
        }
        let columns = *view.constant(product.input(1))?.shape().last()?;
        let bias = view.constant(bias)?;
        let is_row = bias.shape().last() == Some(&columns) && bias.len() == columns && bias.rank() <= 2;
        if !is_row {
            return None;
        }
        let bias = bias.clone().reshaped([columns].as_slice()).ok()?;
        let inputs = product.inputs.iter().copied();
        Some(Replacement::new(view, node, Domain::Fused, "Linear", inputs).with_constant(2, "bias", bias))
    });
    products | biases
}

/// `alpha x w' + beta c` with constant weights and a constant row `c`.
fn gemm(view: &View<'_>, node: &Node, weights: &HostTensor) -> Option<Replacement> {
    if node.attributes.flag("transA", false).ok()? {
        return None;
    }
    let alpha = node.attributes.float("alpha", 1.0).ok()?;
    let beta = node.attributes.float("beta", 1.0).ok()?;
    let (mut rows, mut columns) = (weights.shape()[0], weights.shape()[1]);
    let mut elements = weights.elements::<f32>().ok()?.to_vec();
    if node.attributes.flag("transB", false).ok()? {
        elements = transposed(&elements, rows, columns);
        (rows, columns) = (columns, rows);
    }
    elements.iter_mut().for_each(|element| *element *= alpha);
    let weights = HostTensor::new([rows, columns].as_slice(), elements).ok()?;
    let replacement = Replacement::new(view, node, Domain::Fused, "Linear", [node.input(0)]);
    let replacement = replacement.with_constant(1, "weights", weights);
    if node.input(2).is_none() {
        return Some(replacement);
    }
    let bias = view.floats(node.input(2))?;
    let bias: Vec<f32> = match bias.len() {
        1 => vec![bias[0] * beta; columns],
        length if length == columns => bias.iter().map(|element| element * beta).collect(),
        _ => return None,
    };
    let rank = view.constant(node.input(2))?.shape().iter().filter(|&&length| length != 1).count();
    let is_row = rank == 0 || view.constant(node.input(2))?.shape().last() == Some(&columns);
    is_row.then(|| replacement.with_constant(2, "bias", HostTensor::vector(bias)))
}

fn transposed(elements: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| elements[row * columns + column])).collect()
}

/// The node whose result, used nowhere else, is added to a constant.
fn added_constant<'a>(view: &View<'a>, node: &Node) -> Option<(&'a Node, Option<ValueId>)> {
    if !node.is("Add") {
        return None;
    }
    let (value, constant) = view.operands(node);
    view.floats(constant)?;
    let product = view.maker(value).filter(|_| view.uses(value) == 1)?;
    Some((product, constant))
}

/// Batch normalisation, scaling and shifting of the channels of a convolution become part of its weights.
pub(super) fn fold_into_convolutions(graph: &mut Graph) -> bool {
    replace(graph, |view, node| {
        if node.is("BatchNormalization") {
            let convolution = constant_convolution(view, node.input(0))?;
            let parameters = [1, 2, 3, 4].map(|index| view.floats(node.input(index)));
            let [Some(gamma), Some(beta), Some(mean), Some(variance)] = parameters else { return None };
            if node.attributes.flag("training_mode", false).ok()? || node.output(1).is_some() {
                return None;
            }
            let epsilon = node.attributes.float("epsilon", 1e-5).ok()?;
            let channels = gamma.len();
            if [beta.len(), mean.len(), variance.len()] != [channels; 3] {
                return None;
            }
            let scale: Vec<f32> = (0..channels)
                .map(|c| (f64::from(gamma[c]) / (f64::from(variance[c]) + f64::from(epsilon)).sqrt()) as f32)
                .collect();
            let shift: Vec<f32> = (0..channels).map(|c| beta[c] - mean[c] * scale[c]).collect();
            return rescaled(view, node, convolution, &scale, &shift);
        }
        let (value, constant) = view.operands(node);
        let (is_add, is_mul) = (node.is("Add"), node.is("Mul"));
        if !is_add && !is_mul {
            return None;
        }
        let convolution = constant_convolution(view, value)?;
        let channels = view.constant(convolution.input(1))?.shape()[0];
        let spatial = view.constant(convolution.input(1))?.rank() - 2;
        let elements = per_channel(view.constant(constant)?, channels, spatial)?;
        if is_add {
            rescaled(view, node, convolution, &vec![1.0; channels], &elements)
        } else {
            rescaled(view, node, convolution, &elements, &vec![0.0; channels])
        }
    })
}

/// A convolution with constant weights and bias whose result is used nowhere else.
fn constant_convolution<'a>(view: &View<'a>, value: Option<ValueId>) -> Option<&'a Node> {
    let node = view.sole(value, "Conv")?;
    view.floats(node.input(1))?;
    if node.input(2).is_some() {
        view.floats(node.input(2))?;
    }
    (view.constant(node.input(1))?.rank() >= 3).then_some(node)
}

/// The elements of a constant that has one for each channel: [C, 1, 1], [1, C, 1, 1], or a single one.
fn per_channel(constant: &HostTensor, channels: usize, spatial: usize) -> Option<Vec<f32>> {
    let elements = constant.elements::<f32>().ok()?;
    if elements.len() == 1 && constant.rank() <= spatial + 2 {
        return Some(vec![elements[0]; channels]);
    }
    let shape = constant.shape();
    let axis = shape.len().checked_sub(spatial + 1)?;
    let matches = axis <= 1 && elements.len() == channels && shape[axis] == channels;
    matches.then(|| elements.to_vec())
}

/// The convolution that gives `scale * result + shift` for each channel.
fn rescaled(
    view: &View<'_>,
    root: &Node,
    convolution: &Node,
    scale: &[f32],
    shift: &[f32],
) -> Option<Replacement> {
    let weights = view.constant(convolution.input(1))?;
    let channels = weights.shape()[0];
    if scale.len() != channels || channels == 0 {
        return None;
    }
    let mut elements = weights.elements::<f32>().ok()?.to_vec();
    let each = elements.len() / channels;
    for (filter, scale) in elements.chunks_exact_mut(each.max(1)).zip(scale) {
        filter.iter_mut().for_each(|weight| *weight *= scale);
    }
    let bias: Vec<f32> = match view.floats(convolution.input(2)) {
        Some(bias) if bias.len() != channels => return None,
        Some(bias) => (0..channels).map(|c| bias[c] * scale[c] + shift[c]).collect(),
        None => shift.to_vec(),
    };
    let weights = HostTensor::new(weights.shape(), elements).ok()?;
    let replacement = Replacement::new(view, root, Domain::Onnx, "Conv", [convolution.input(0)])
        .with_attributes_of(convolution)
        .with_constant(1, "weights", weights)
        .with_constant(2, "bias", HostTensor::vector(bias));
    Some(replacement)
}

/// A product or convolution whose result is added to another value adds it while its results are at hand.
pub(super) fn absorb_residuals(graph: &mut Graph) -> bool {
    replace(graph, |view, node| {
        if !node.is("Add") || view.constant(node.input(0)).is_some() || view.constant(node.input(1)).is_some()
        {
            return None;
        }
        // The later of the two, when both could: the other is then there already.
        [(1, 0), (0, 1)].into_iter().find_map(|(product, residual)| {
            let (product, residual) = (node.input(product), node.input(residual));
            let maker = view.maker(product).filter(|_| view.uses(product) == 1 && product != residual)?;
            let operator = match (&maker.domain, &*maker.operator) {
                (Domain::Fused, "Linear") => "Linear",
                (Domain::Onnx, "Conv") if view.floats(maker.input(1)).is_some() => "Conv",
                _ => return None,
            };
            if maker.attributes.contains("activation") || maker.input(3).is_some() {
                return None;
            }
            let inputs = [maker.input(0), maker.input(1), maker.input(2), residual];
            Some(Replacement::new(view, node, Domain::Fused, operator, inputs).with_attributes_of(maker))
        })
    })
}
