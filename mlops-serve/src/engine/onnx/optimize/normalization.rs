//! Layer normalisation that is spelled out becomes one node.

use crate::engine::onnx::graph::{Attribute, Domain, Graph, Node, ValueId};
use crate::engine::onnx::optimize::pattern::{Replacement, View, replace};
use crate::engine::onnx::tensor::HostTensor;

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last axis
/// ([Ba, Kiros and Hinton, 2016](https://arxiv.org/abs/1607.06450)).
pub(super) fn recognise(graph: &mut Graph) -> bool {
    replace(graph, |view, node| {
        if !node.is("Add") {
            return None;
        }
        let (scaled, beta) = view.operands(node);
        let scaled = view.sole(scaled, "Mul")?;
        let (normalised, gamma) = view.operands(scaled);
        let [gamma_shape, beta_shape] = [view.constant(gamma)?, view.constant(beta)?].map(HostTensor::shape);
        if gamma_shape.len() != 1 || gamma_shape != beta_shape {
            return None;
        }
        view.floats(gamma)?;
        view.floats(beta)?;
        let (x, epsilon) = normalised_input(view, normalised)?;
        let mut replacement =
            Replacement::new(view, node, Domain::Onnx, "LayerNormalization", [Some(x), gamma, beta])
                .with_attribute("axis", Attribute::Int(-1))
                .with_attribute("epsilon", Attribute::Float(epsilon));
        replacement.set_opset(17);
        Some(replacement)
    })
}

/// x and epsilon of `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)`.
fn normalised_input(view: &View<'_>, value: Option<ValueId>) -> Option<(ValueId, f32)> {
    let division = view.sole(value, "Div")?;
    let centred = centred(view, division.input(0))?;
    let root = view.sole(division.input(1), "Sqrt")?;
    let sum = view.sole(root.input(0), "Add")?;
    let (variance, epsilon) = view.operands(sum);
    let epsilon = view.scalar(epsilon)?;
    let mean = mean_over_last(view, variance)?;
    let square = view.maker(mean.input(0))?;
    let is_power = square.is("Pow") && view.scalar(square.input(1)) == Some(2.0);
    let is_product = square.is("Mul") && square.input(0) == square.input(1);
    if !is_power && !is_product {
        return None;
    }
    let base = square.input(0);
    let same = base == division.input(0) || self::centred(view, base) == Some(centred);
    (same && epsilon > 0.0).then_some((centred, epsilon))
}

/// x of `x - mean(x)`.
fn centred(view: &View<'_>, value: Option<ValueId>) -> Option<ValueId> {
    let difference = view.maker(value).filter(|node| node.is("Sub"))?;
    let mean = mean_over_last(view, difference.input(1))?;
    (mean.input(0) == difference.input(0)).then_some(difference.input(0)?)
}

fn mean_over_last<'a>(view: &View<'a>, value: Option<ValueId>) -> Option<&'a Node> {
    let node = view.maker(value).filter(|node| node.is("ReduceMean"))?;
    let axes = match node.attributes.ints("axes").ok()? {
        Some(axes) => axes.clone(),
        None => view.constant(node.input(1))?.to_i64s().ok()?,
    };
    (axes == [-1] && node.attributes.flag("keepdims", true).ok()?).then_some(node)
}
