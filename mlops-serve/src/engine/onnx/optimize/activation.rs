//! Activation functions: those that are spelled out become one node, and a node that has one applies it itself.

use crate::engine::onnx::graph::{Attribute, Domain, Graph, Node, ValueId};
use crate::engine::onnx::optimize::pattern::{Factors, Replacement, View, replace};

/// `x * sigmoid(x)`, `0.5 x (1 + erf(x / sqrt 2))` and their like become one node.
pub(super) fn recognise(graph: &mut Graph) -> bool {
    replace(graph, |view, node| {
        if !node.is("Mul") && !node.is("Div") {
            return None;
        }
        let factors = view.factors(node);
        let (name, x) = gelu(view, &factors).or_else(|| gate(view, &factors))?;
        let replacement = Replacement::new(view, node, Domain::Fused, "Activation", [Some(x)]);
        Some(replacement.with_attribute("activation", Attribute::Text(name.into())))
    })
}

/// x gated by a function of itself.
fn gate(view: &View<'_>, factors: &Factors) -> Option<(&'static str, ValueId)> {
    let [a, b] = *factors.values.as_slice() else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
        if let Some(sigmoid) = view.sole(Some(gate), "Sigmoid") {
            return (sigmoid.input(0) == Some(x) && factors.constant_is(1.0)).then_some(("silu", x));
        }
        if let Some(hard) = view.sole(Some(gate), "HardSigmoid") {
            let alpha = hard.attributes.float("alpha", 0.2).ok()?;
            let beta = hard.attributes.float("beta", 0.5).ok()?;
            let same = hard.input(0) == Some(x) && factors.constant_is(1.0);
            return (same && (alpha - 1.0 / 6.0).abs() < 1e-6 && beta == 0.5).then_some(("hard_swish", x));
        }
        let clip = view.sole(Some(gate), "Clip")?;
        let bounds = (view.scalar(clip.input(1)), view.scalar(clip.input(2)));
        let shifted = view.sole(clip.input(0), "Add")?;
        let (inner, three) = view.operands(shifted);
        let matches = bounds == (Some(0.0), Some(6.0))
            && view.scalar(three) == Some(3.0)
            && inner == Some(x)
            && factors.constant_is(1.0 / 6.0);
        matches.then_some(("hard_swish", x))
    })
}

/// `0.5 x (1 + erf(x / sqrt 2))`, or its approximation by tanh (Hendrycks and Gimpel, 2016).
fn gelu(view: &View<'_>, factors: &Factors) -> Option<(&'static str, ValueId)> {
    let [a, b] = *factors.values.as_slice() else { return None };
    if !factors.constant_is(0.5) {
        return None;
    }
    [(a, b), (b, a)].into_iter().find_map(|(x, sum)| {
        let add = view.sole(Some(sum), "Add")?;
        let (inner, one) = view.operands(add);
        if view.scalar(one) != Some(1.0) {
            return None;
        }
        if let Some(erf) = view.sole(inner, "Erf") {
            let scaled = factors_of(view, erf.input(0))?;
            let matches = scaled.values == [x] && scaled.constant_is(std::f32::consts::FRAC_1_SQRT_2);
            return matches.then_some(("gelu", x));
        }
        let tanh = view.sole(inner, "Tanh")?;
        let outer = factors_of(view, tanh.input(0))?;
        let [polynomial] = *outer.values.as_slice() else { return None };
        let polynomial = view.sole(Some(polynomial), "Add")?;
        let cubic = [polynomial.input(0), polynomial.input(1)];
        let cubic = if cubic[0] == Some(x) { cubic[1] } else { cubic[0] };
        let linear = [polynomial.input(0), polynomial.input(1)].contains(&Some(x));
        let matches =
            linear && outer.constant_is((2.0 / std::f32::consts::PI).sqrt()) && is_cubic(view, cubic, x);
        matches.then_some(("gelu_tanh", x))
    })
}

/// `0.044715 x^3`
fn is_cubic(view: &View<'_>, value: Option<ValueId>, x: ValueId) -> bool {
    let Some(factors) = factors_of(view, value) else { return false };
    if !factors.constant_is(0.044_715) {
        return false;
    }
    match *factors.values.as_slice() {
        [power] => view
            .sole(Some(power), "Pow")
            .is_some_and(|pow| pow.input(0) == Some(x) && view.scalar(pow.input(1)) == Some(3.0)),
        [a, b, c] => a == x && b == x && c == x,
        _ => false,
    }
}

fn factors_of(view: &View<'_>, value: Option<ValueId>) -> Option<Factors> {
    let node = view.maker(value)?;
    (node.is("Mul") || node.is("Div")).then(|| view.factors(node))
}

/// A product or convolution followed by an activation applies it to its results while they are at hand.
pub(super) fn absorb(graph: &mut Graph) -> bool {
    replace(graph, |view, node| {
        let (name, parameters) = activation(view, node)?;
        let product = view.maker(node.input(0)).filter(|_| view.uses(node.input(0)) == 1)?;
        let operator = fusible(view, product)?;
        let inputs = product.inputs.iter().copied();
        let mut replacement = Replacement::new(view, node, Domain::Fused, operator, inputs)
            .with_attributes_of(product)
            .with_attribute("activation", Attribute::Text(name.into()));
        if !parameters.is_empty() {
            replacement = replacement.with_attribute("activation_parameters", Attribute::Floats(parameters));
        }
        Some(replacement)
    })
}

/// The fused operator that can apply an activation for this node, if it has none yet.
fn fusible(view: &View<'_>, node: &Node) -> Option<&'static str> {
    if node.attributes.contains("activation") {
        return None;
    }
    match (&node.domain, &*node.operator) {
        (Domain::Fused, "Linear") => Some("Linear"),
        (Domain::Fused, "Conv") => Some("Conv"),
        (Domain::Onnx, "Conv") if view.floats(node.input(1)).is_some() => Some("Conv"),
        _ => None,
    }
}

/// The name and parameters of an activation function that is a node.
fn activation(view: &View<'_>, node: &Node) -> Option<(&'static str, Vec<f32>)> {
    let parameter = |name: &str, default: f32| node.attributes.float(name, default).ok();
    if node.domain == Domain::Fused && &*node.operator == "Activation" {
        let name = node.attributes.text("activation").ok()??;
        let names = ["gelu", "gelu_tanh", "silu", "hard_swish"];
        return names.into_iter().find(|known| known == name).map(|name| (name, Vec::new()));
    }
    if node.domain != Domain::Onnx {
        return None;
    }
    Some(match &*node.operator {
        "Relu" => ("relu", vec![]),
        "Sigmoid" => ("sigmoid", vec![]),
        "Tanh" => ("tanh", vec![]),
        "HardSwish" => ("hard_swish", vec![]),
        "Softplus" => ("softplus", vec![]),
        "Mish" => ("mish", vec![]),
        "LeakyRelu" => ("leaky_relu", vec![parameter("alpha", 0.01)?]),
        "Elu" => ("elu", vec![parameter("alpha", 1.0)?]),
        "HardSigmoid" => ("hard_sigmoid", vec![parameter("alpha", 0.2)?, parameter("beta", 0.5)?]),
        "Swish" if parameter("alpha", 1.0)? == 1.0 => ("silu", vec![]),
        "Gelu" => match node.attributes.text("approximate").ok()?.map(String::as_str) {
            None | Some("none") => ("gelu", vec![]),
            Some("tanh") => ("gelu_tanh", vec![]),
            Some(_) => return None,
        },
        "Clip" if node.opset < 11 => {
            ("clip", vec![parameter("min", f32::NEG_INFINITY)?, parameter("max", f32::INFINITY)?])
        }
        "Clip" => {
            let bound = |index: usize, open: f32| match node.input(index) {
                None => Some(open),
                bound => view.scalar(bound),
            };
            ("clip", vec![bound(1, f32::NEG_INFINITY)?, bound(2, f32::INFINITY)?])
        }
        _ => return None,
    })
}
