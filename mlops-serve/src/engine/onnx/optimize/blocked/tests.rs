//! Random networks of the kind that works on blocks, with and without.

use super::*;
use crate::engine::onnx::ops;
use crate::engine::onnx::optimize::{lay_out as lay_out_maps, optimize};
use crate::engine::onnx::plan::{Plan, Workspace};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::Value;
use crate::kernels::parallel::Threads;
use crate::kernels::testing::{Random, assert_close};

struct Network {
    graph: Graph,
    random: Random,
    /// The value that was made last, and its channels.
    last: (ValueId, usize),
}

impl Network {
    fn new(seed: u64, channels: usize) -> Self {
        let mut graph = Graph::default();
        let input = graph.add_value("input", None);
        graph.inputs.push(input);
        Self { graph, random: Random::new(seed), last: (input, channels) }
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[ValueId],
        attributes: &[(&'static str, Attribute)],
    ) -> ValueId {
        let output = self.graph.add_value(operator, None);
        let mut node = Node {
            name: operator.into(),
            domain: Domain::Onnx,
            operator: operator.into(),
            opset: 17,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(output)],
            attributes: Default::default(),
            captured: Vec::new(),
        };
        for (name, attribute) in attributes {
            node.attributes.insert(*name, attribute.clone());
        }
        self.graph.nodes.push(node);
        output
    }

    fn constant(&mut self, shape: &[usize]) -> ValueId {
        let scale = (shape.iter().skip(1).product::<usize>() as f32).sqrt().recip();
        let elements: Vec<f32> =
            self.random.values(shape.iter().product()).iter().map(|value| value * scale).collect();
        self.graph.add_constant("constant", HostTensor::new(shape, elements).unwrap())
    }

    fn convolution(
        &mut self,
        x: (ValueId, usize),
        outputs: usize,
        kernel: usize,
        stride: i64,
        groups: usize,
    ) -> ValueId {
        let weights = self.constant(&[outputs, x.1 / groups, kernel, kernel]);
        let bias = self.constant(&[outputs]);
        let pad = (kernel / 2) as i64;
        let attributes = [
            ("group", Attribute::Int(groups as i64)),
            ("pads", Attribute::Ints(vec![pad; 4])),
            ("strides", Attribute::Ints(vec![stride; 2])),
        ];
        self.node("Conv", &[x.0, weights, bias], &attributes)
    }

    fn step(&mut self) {
        let (x, channels) = self.last;
        let wanted = [12, 16, 24, 40][self.random.below(4)];
        self.last = match self.random.below(11) {
            0 => (self.convolution(self.last, wanted, 3, 1, 1), wanted),
            1 | 2 => (self.convolution(self.last, wanted, 1, 1, 1), wanted),
            3 => (self.convolution(self.last, channels, 3, 2, channels), channels),
            4 | 5 => (self.convolution(self.last, channels, 5, 1, channels), channels),
            6 => (self.node("Relu", &[x], &[]), channels),
            7 => (self.node("Sigmoid", &[x], &[]), channels),
            8 => {
                let other = self.convolution(self.last, channels, 1, 1, 1);
                (self.node("Add", &[other, x], &[]), channels)
            }
            9 => {
                let mean = self.node("GlobalAveragePool", &[x], &[]);
                let squeezed = self.convolution((mean, channels), 4, 1, 1, 1);
                let squeezed = self.node("Relu", &[squeezed], &[]);
                let gate = self.convolution((squeezed, 4), channels, 1, 1, 1);
                let gate = self.node("Sigmoid", &[gate], &[]);
                (self.node("Mul", &[x, gate], &[]), channels)
            }
            _ => {
                let kernel = Attribute::Ints(vec![2, 2]);
                (
                    self.node("MaxPool", &[x], &[("kernel_shape", kernel.clone()), ("strides", kernel)]),
                    channels,
                )
            }
        };
        if self.random.below(6) == 0 {
            self.graph.outputs.push(self.last.0);
        }
    }
}

fn run(graph: &Graph, input: &HostTensor) -> Result<Vec<HostTensor>, String> {
    let plan = Plan::new(graph, &mut ops::build).map_err(|cause| cause.to_string())?;
    let inputs = vec![Value::Tensor(input.clone())].into_iter();
    let outputs = plan.run(inputs, &mut Workspace::default(), &Threads::new(2).unwrap(), None);
    let outputs = outputs.map_err(|cause| cause.to_string())?;
    outputs.into_iter().map(|value| value.into_tensor().map_err(|cause| cause.to_string())).collect()
}

fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| &*node.operator).collect()
}

#[test]
fn networks_give_the_same_on_blocks() {
    let (mut compared, mut blocked) = (0, 0);
    for seed in 0..60 {
        let channels = [3, 24][seed as usize % 2];
        let mut network = Network::new(seed, channels);
        for _ in 0..10 {
            network.step();
        }
        let Network { mut graph, last, .. } = network;
        graph.outputs.push(last.0);
        optimize(&mut graph).unwrap();
        let mut laid_out = graph.clone();
        lay_out_maps(&mut laid_out);
        let input = Random::new(seed).values(2 * channels * 18 * 18);
        let input = HostTensor::new([2, channels, 18, 18].as_slice(), input).unwrap();
        // Some networks shrink maps until a pooling has nothing left.
        let (Ok(expected), actual) = (run(&graph, &input), run(&laid_out, &input)) else { continue };
        let actual = actual.unwrap();
        compared += 1;
        blocked += usize::from(operators(&laid_out).contains(&"BlockedConv"));
        for (actual, expected) in actual.iter().zip(&expected) {
            assert_eq!(actual.shape(), expected.shape());
            let what = format!("seed {seed}: {:?}", operators(&laid_out));
            assert_close(actual.elements().unwrap(), expected.elements().unwrap(), 1e-4, &what);
        }
    }
    assert!(
        compared >= 40 && blocked >= 20,
        "only {compared} networks compared, {blocked} of them on blocks"
    );
}

#[test]
fn a_chain_changes_its_layout_at_its_ends_only() {
    let mut network = Network::new(1, 3);
    let stem = (network.convolution(network.last, 16, 3, 2, 1), 16);
    let depthwise = network.convolution(stem, 16, 3, 1, 16);
    let pointwise = network.convolution((depthwise, 16), 24, 1, 1, 1);
    let mean = network.node("GlobalAveragePool", &[pointwise], &[]);
    let Network { mut graph, .. } = network;
    graph.outputs.push(mean);
    optimize(&mut graph).unwrap();
    lay_out_maps(&mut graph);
    let expected = ["BlockedConv", "BlockedConv", "BlockedConv", "BlockedMean", "FromBlocks"];
    assert_eq!(operators(&graph), expected);
}

#[test]
fn a_depthwise_convolution_alone_stays_as_it_is() {
    let mut network = Network::new(1, 16);
    let depthwise = network.convolution(network.last, 16, 3, 1, 16);
    let Network { mut graph, .. } = network;
    graph.outputs.push(depthwise);
    optimize(&mut graph).unwrap();
    lay_out_maps(&mut graph);
    assert_eq!(operators(&graph), ["Conv"]);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let mut network = Network::new(1, 24);
    let depthwise = network.convolution(network.last, 24, 3, 1, 24);
    let pointwise = network.convolution((depthwise, 24), 24, 1, 1, 1);
    let Network { mut graph, .. } = network;
    graph.outputs.push(pointwise);
    lay_out_maps(&mut graph);
    for shape in [&[1, 20, 5, 5][..], &[1, 24, 5], &[24]] {
        let input = HostTensor::new(shape, vec![0.5_f32; shape.iter().product()]).unwrap();
        let message = run(&graph, &input).unwrap_err();
        assert!(message.contains("the input must have"), "{message}");
    }
}
