//! Attention that is spelled out becomes one node that never holds all scores at once.

use crate::engine::onnx::graph::{Attribute, Domain, Graph, Node, ValueId};
use crate::engine::onnx::optimize::pattern::{Replacement, View, replace};

/// `softmax(scale q k' + mask) v` ([Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)), with the transposes
/// that bring heads before rows and back.
pub(super) fn recognise(graph: &mut Graph) -> bool {
    replace(graph, |view, node| {
        if !node.is("MatMul") {
            return None;
        }
        let softmax = view.sole(node.input(0), "Softmax")?;
        let axis = softmax.attributes.int("axis", if softmax.opset < 13 { 1 } else { -1 }).ok()?;
        if axis != -1 && axis != 3 {
            return None;
        }
        let mut scale = 1.0;
        let mut mask = None;
        let mut scores = softmax.input(0);
        if let Some(add) = view.sole(scores, "Add") {
            let is_scores = |value| unscaled(view, value).is_some();
            let (first, second) = (add.input(0), add.input(1));
            let (inner, other) = if is_scores(first) { (first, second) } else { (second, first) };
            (scores, mask) = (inner, other);
        }
        let (product, factor) = unscaled(view, scores)?;
        scale *= factor;
        let (q, factor) = scaled(view, product.input(0));
        scale *= factor;
        let (k, factor) = scaled(view, product.input(1));
        scale *= factor;
        let (q, q_layout) = heads(view, q);
        let (k, k_layout, factor) = transposed_heads(view, k)?;
        scale *= factor;
        let (v, v_layout) = heads(view, node.input(1));
        let replacement = Replacement::new(view, node, Domain::Fused, "Attention", [q, k, v, mask])
            .with_attribute("scale", Attribute::Float(scale))
            .with_attribute("q_layout", layout(q_layout))
            .with_attribute("k_layout", layout(k_layout))
            .with_attribute("v_layout", layout(v_layout))
            .with_attribute("out_layout", layout(Layout::HeadsFirst));
        Some(replacement)
    }) | replace(graph, |view, node| {
        // The transpose that brings rows before heads again.
        if !is_transpose(node, &[0, 2, 1, 3]) {
            return None;
        }
        let attention = view.maker(node.input(0)).filter(|_| view.uses(node.input(0)) == 1)?;
        if attention.domain != Domain::Fused || &*attention.operator != "Attention" {
            return None;
        }
        let inputs = attention.inputs.iter().copied();
        let replacement = Replacement::new(view, node, Domain::Fused, "Attention", inputs)
            .with_attributes_of(attention)
            .with_attribute("out_layout", layout(Layout::RowsFirst));
        Some(replacement)
    })
}

/// How a tensor of four dimensions is laid out.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// [batch, heads, rows, dim]
    HeadsFirst,
    /// [batch, rows, heads, dim]
    RowsFirst,
}

fn layout(layout: Layout) -> Attribute {
    Attribute::Text(match layout {
        Layout::HeadsFirst => "bhsd".into(),
        Layout::RowsFirst => "bshd".into(),
    })
}

/// The product under a scaling by a constant, and the constant.
fn unscaled<'a>(view: &View<'a>, value: Option<ValueId>) -> Option<(&'a Node, f32)> {
    let (inner, factor) = scaled(view, value);
    view.sole(inner, "MatMul").map(|product| (product, factor))
}

/// The value under a scaling by a constant, and the constant.
fn scaled(view: &View<'_>, value: Option<ValueId>) -> (Option<ValueId>, f32) {
    if let Some(node) = view.sole(value, "Mul") {
        let (inner, factor) = view.operands(node);
        if let Some(factor) = view.scalar(factor) {
            return (inner, factor);
        }
    }
    if let Some(node) = view.sole(value, "Div")
        && let Some(divisor) = view.scalar(node.input(1))
    {
        return (node.input(0), divisor.recip());
    }
    (value, 1.0)
}

/// The value before a transpose that brings heads before rows.
fn heads(view: &View<'_>, value: Option<ValueId>) -> (Option<ValueId>, Layout) {
    match view.sole(value, "Transpose") {
        Some(node) if is_transpose(node, &[0, 2, 1, 3]) => (node.input(0), Layout::RowsFirst),
        _ => (value, Layout::HeadsFirst),
    }
}

/// The keys before the transpose that brings their rows last.
fn transposed_heads(view: &View<'_>, value: Option<ValueId>) -> Option<(Option<ValueId>, Layout, f32)> {
    let node = view.sole(value, "Transpose")?;
    if is_transpose(node, &[0, 2, 3, 1]) {
        return Some((node.input(0), Layout::RowsFirst, 1.0));
    }
    if is_transpose(node, &[0, 1, 3, 2]) {
        let (keys, factor) = scaled(view, node.input(0));
        let (keys, layout) = heads(view, keys);
        return Some((keys, layout, factor));
    }
    None
}

fn is_transpose(node: &Node, permutation: &[i64]) -> bool {
    node.is("Transpose")
        && node.attributes.ints("perm").is_ok_and(|perm| perm.is_some_and(|perm| perm == permutation))
}
