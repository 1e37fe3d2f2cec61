//! Chains of convolutions of one pixel and of one channel work on maps in blocks of sixteen channels.
//!
//! A depthwise convolution brings its input into blocks; what follows stays in them as long as it can, and only what
//! cannot read blocks gets the plain layout back. For the processor only.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::engine::onnx::graph::{Attribute, Domain, Graph, Node, ValueId};

/// Channels below which blocks would be emptier than full.
const FEW_CHANNELS: usize = 9;

/// Channels up to which a convolution reads a plain map as it is.
const PLAIN_CHANNELS: usize = 8;

/// How a node works on blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Pointwise,
    Depthwise,
    /// A convolution of a plain map of few channels.
    Entry,
    /// Global average pooling.
    Mean,
    /// Element by element.
    Single,
    /// Element by element, of two inputs.
    Pair,
}

/// Puts the blocked form in the place of every node that has one. Returns whether there were any.
pub(super) fn lay_out(graph: &mut Graph) -> bool {
    let (forms, channels) = forms(graph);
    if !forms.contains(&Some(Form::Depthwise)) {
        return false;
    }
    let mut plain_readers: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    for (node, &form) in graph.nodes.iter().zip(&forms) {
        let in_blocks = form.map_or(&[][..], |form| blocked_inputs(node, form));
        let plain = node.inputs.iter().enumerate().filter(|(index, _)| !in_blocks.contains(index));
        plain_readers.extend(plain.filter_map(|(_, value)| *value).chain(node.captured.iter().copied()));
    }
    let mut in_blocks: HashMap<ValueId, ValueId> = HashMap::new();
    for (mut node, form) in std::mem::take(&mut graph.nodes).into_iter().zip(forms) {
        let Some(form) = form else {
            graph.nodes.push(node);
            continue;
        };
        for &index in blocked_inputs(&node, form) {
            let Some(plain) = node.inputs[index] else { continue };
            let value = match in_blocks.get(&plain) {
                Some(&value) => value,
                None => {
                    let value = convert(graph, &node, "ToBlocks", channels[&plain], plain, None);
                    in_blocks.insert(plain, value);
                    value
                }
            };
            node.inputs[index] = Some(value);
        }
        let Some(plain) = node.output(0) else { continue };
        let name = graph.value_name(plain).clone();
        let value = graph.add_value(name, None);
        in_blocks.insert(plain, value);
        node.outputs = vec![Some(value)];
        let operator = match form {
            Form::Pointwise => Some(("BlockedConv", "pointwise")),
            Form::Depthwise => Some(("BlockedConv", "depthwise")),
            Form::Entry => Some(("BlockedConv", "entry")),
            Form::Mean => Some(("BlockedMean", "")),
            Form::Single | Form::Pair => None,
        };
        if let Some((operator, form)) = operator {
            (node.domain, node.operator) = (Domain::Fused, operator.into());
            node.attributes.insert("form", Attribute::Text(form.into()));
        }
        let like = node.clone();
        graph.nodes.push(node);
        if plain_readers.contains(&plain) {
            convert(graph, &like, "FromBlocks", channels[&plain], value, Some(plain));
        }
    }
    true
}

/// The places of the inputs that are in blocks.
fn blocked_inputs(node: &Node, form: Form) -> &'static [usize] {
    match form {
        Form::Pointwise | Form::Depthwise if node.input(3).is_some() => &[0, 3],
        Form::Pointwise | Form::Depthwise | Form::Mean | Form::Single => &[0],
        Form::Pair => &[0, 1],
        Form::Entry => &[],
    }
}

/// Appends a node that changes the layout of a value. Returns the value it makes.
fn convert(
    graph: &mut Graph,
    like: &Node,
    operator: &str,
    channels: usize,
    from: ValueId,
    to: Option<ValueId>,
) -> ValueId {
    let name = graph.value_name(from).clone();
    let to = to.unwrap_or_else(|| graph.add_value(name, None));
    let mut node = Node {
        name: like.name.clone(),
        domain: Domain::Fused,
        operator: operator.into(),
        opset: like.opset,
        inputs: vec![Some(from)],
        outputs: vec![Some(to)],
        attributes: Default::default(),
        captured: Vec::new(),
    };
    node.attributes.insert("channels", Attribute::Int(channels as i64));
    graph.nodes.push(node);
    to
}

/// The form of each node that has one, and the channels of values that are known to be maps.
fn forms(graph: &Graph) -> (Vec<Option<Form>>, HashMap<ValueId, usize>) {
    let mut channels: HashMap<ValueId, usize> = HashMap::new();
    let mut in_blocks: HashSet<ValueId> = HashSet::new();
    let mut forms = Vec::with_capacity(graph.nodes.len());
    let read_in_blocks = read_in_blocks(graph);
    for node in &graph.nodes {
        let known = |index: usize| node.input(index).and_then(|value| channels.get(&value)).copied();
        let blocked = |index: usize| node.input(index).is_some_and(|value| in_blocks.contains(&value));
        let mut form = None;
        let mut made = None;
        let mut read = None;
        if let Some(convolution) = convolution(graph, node) {
            let outputs = convolution.outputs;
            let fits = known(0).is_none_or(|inputs| inputs == convolution.inputs)
                && (node.input(3).is_none() || blocked(3) && known(3) == Some(outputs));
            form = match convolution.form {
                Some(Form::Pointwise) if !blocked(0) => None,
                Some(Form::Entry)
                    if node.input(3).is_some()
                        || node.output(0).is_none_or(|output| !read_in_blocks.contains(&output)) =>
                {
                    None
                }
                form => form.filter(|_| fits),
            };
            (made, read) = (Some(outputs), Some(convolution.inputs));
        } else if node.outputs.len() <= 1 {
            if node.is("GlobalAveragePool") {
                made = known(0);
                form = Some(Form::Mean).filter(|_| blocked(0));
            } else if is_unary(graph, node) {
                made = known(0);
                form = Some(Form::Single).filter(|_| blocked(0));
            } else if (node.is("Add") || node.is("Mul") || node.is("Sub")) && known(0) == known(1) {
                made = known(0);
                form = Some(Form::Pair).filter(|_| made.is_some() && (blocked(0) || blocked(1)));
            }
        }
        if let (Some(output), Some(made)) = (node.output(0), made) {
            channels.insert(output, made);
            if form.is_some() {
                in_blocks.insert(output);
            }
        }
        if let (Some(input), Some(read), true) = (node.input(0), read, form.is_some()) {
            channels.insert(input, read);
        }
        forms.push(form);
    }
    leave_lonely(graph, &mut forms);
    (forms, channels)
}

/// Values that depthwise convolutions read.
fn read_in_blocks(graph: &Graph) -> HashSet<ValueId> {
    let depthwise = graph.nodes.iter().filter(|node| {
        convolution(graph, node).is_some_and(|convolution| convolution.form == Some(Form::Depthwise))
    });
    depthwise.filter_map(|node| node.input(0)).collect()
}

/// A depthwise convolution alone is not worth the change of layout.
fn leave_lonely(graph: &Graph, forms: &mut [Option<Form>]) {
    let made: HashSet<ValueId> = chosen(graph, forms).filter_map(|node| node.output(0)).collect();
    let read: HashSet<ValueId> = chosen(graph, forms).flat_map(Node::reads).collect();
    for (node, form) in graph.nodes.iter().zip(forms) {
        let has_company = node.input(0).is_some_and(|input| made.contains(&input))
            || node.output(0).is_some_and(|output| read.contains(&output));
        if *form == Some(Form::Depthwise) && !has_company {
            *form = None;
        }
    }
}

fn chosen<'a>(graph: &'a Graph, forms: &'a [Option<Form>]) -> impl Iterator<Item = &'a Node> {
    graph.nodes.iter().zip(forms).filter_map(|(node, form)| form.map(|_| node))
}

/// A convolution of maps with constant weights and bias.
struct Convolution {
    inputs: usize,
    outputs: usize,
    form: Option<Form>,
}

fn convolution(graph: &Graph, node: &Node) -> Option<Convolution> {
    let is_conv = node.is("Conv") || node.domain == Domain::Fused && &*node.operator == "Conv";
    let weights = graph.constant(node.input(1)).filter(|_| is_conv)?;
    weights.elements::<f32>().ok()?;
    if node.input(2).is_some() {
        let bias = graph.constant(node.input(2))?;
        bias.elements::<f32>().ok().filter(|bias| bias.len() == weights.shape()[0])?;
    }
    let &[outputs, group_in, height, width] = weights.shape() else { return None };
    let groups = usize::try_from(node.attributes.int("group", 1).ok()?).ok()?;
    let inputs = group_in.checked_mul(groups)?;
    let every = |name: &str, value: i64| {
        let values = node.attributes.ints(name).ok()?;
        Some(values.is_none_or(|values| values.iter().all(|&given| given == value)))
    };
    let form = if groups == inputs && groups == outputs && groups >= FEW_CHANNELS && height * width > 0 {
        Some(Form::Depthwise)
    } else if groups == 1
        && [height, width] == [1, 1]
        && every("strides", 1)?
        && every("pads", 0)?
        && inputs > 0
    {
        Some(Form::Pointwise)
    } else if groups == 1 && (1..=PLAIN_CHANNELS).contains(&inputs) && height * width > 0 {
        Some(Form::Entry)
    } else {
        None
    };
    Some(Convolution { inputs, outputs, form })
}

/// Whether the node changes every element of its first input by itself.
fn is_unary(graph: &Graph, node: &Node) -> bool {
    const UNARY: [&str; 13] = [
        "Abs",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mish",
        "Neg",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Swish",
        "Tanh",
    ];
    let clip = node.is("Clip")
        && node.inputs.iter().skip(1).flatten().all(|bound| graph.constant(Some(*bound)).is_some());
    let named = node.domain == Domain::Onnx && UNARY.contains(&&*node.operator);
    let recognised = node.domain == Domain::Fused && &*node.operator == "Activation";
    clip || named || recognised
}
