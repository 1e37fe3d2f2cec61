//! What has to shrink together when a layer loses channels.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::network::{Cut, Network};
use crate::engine::onnx::compress::artifact::{Use, attribute, float, int, label, operator};
use crate::engine::onnx::proto::NodeProto;

/// Operators that work on each element by itself.
const ELEMENTWISE: [&str; 31] = [
    "Abs",
    "Celu",
    "Clip",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Cos",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
    "Tan",
    "ThresholdedRelu",
];

/// Operators that combine elements at the same place.
const COMBINING: [&str; 8] = ["Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Min", "Max"];

/// A layer, what follows it up to the next layers, and how much each of its channels matters.
#[derive(Debug)]
pub(super) struct Chain {
    /// The number of channels.
    pub(super) channels: usize,
    /// The constants of the layer and of what follows it.
    pub(super) own: Vec<Cut>,
    /// The weights of the next layers.
    pub(super) next: Vec<Cut>,
    /// Depthwise convolutions on the way.
    pub(super) depthwise: Vec<usize>,
    /// Values that have the channels.
    pub(super) values: HashSet<String>,
    /// How strongly each channel comes out of the layer, times how strongly it goes into the next ones.
    pub(super) importance: Vec<f64>,
}

/// Where the channels of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Channels {
    /// 1 for the last axis, 2 for the one before.
    from_back: usize,
    /// The number of axes, where known.
    rank: Option<usize>,
    /// Whether the axis holds several entries for each channel, one after another.
    flattened: bool,
}

impl Channels {
    fn is_second(self) -> bool {
        self.rank == Some(self.from_back + 1) && !self.flattened
    }
}

/// The constant weights of a layer with outputs of its own.
#[derive(Debug)]
struct Layer {
    weights: Cut,
    bias: Option<Cut>,
    channels: Channels,
}

/// Whether a node is a layer: a product with, or convolution by, constant weights.
pub(super) fn is_layer(network: &Network, node: usize) -> bool {
    let weights = network.input((node, 1)).and_then(|name| network.constant(name));
    let rank = weights.map(|weights| weights.shape.len());
    match operator(&network.artifact().nodes()[node]) {
        Some("Conv") => rank.is_some_and(|rank| rank >= 3) && network.group(node) == 1,
        Some("Gemm" | "MatMul") => rank == Some(2),
        _ => false,
    }
}

/// Follows the channels of a layer to where they end. In words why they cannot be removed, if they cannot.
pub(super) fn follow(network: &Network, node: usize) -> Result<Chain, String> {
    let layer = layer(network, node)?;
    let name = network.input(layer.weights.reader).unwrap_or_default();
    let weights = network.constant(name).ok_or("its weights are no FP32 constants")?;
    if network.uses(name).len() > 1 {
        return Err("other layers share its weights".to_owned());
    }
    let count = weights.shape[layer.weights.axis];
    if count == 0 {
        return Err("it has no outputs".to_owned());
    }
    let mut walk = Walk {
        network,
        count,
        known: HashMap::new(),
        pending: BTreeSet::new(),
        strength: Strength::of(weights.squares(layer.weights.axis, 1)),
        outgoing: vec![0.0; count],
        own: vec![layer.weights],
        next: Vec::new(),
        depthwise: Vec::new(),
    };
    walk.strength.head = Some(walk.give(node, layer.channels)?);
    let proto = &network.artifact().nodes()[node];
    walk.strength.scale.fill(float(proto, "alpha", 1.0).into());
    if let Some(bias) = layer.bias {
        let beta = float(proto, "beta", 1.0);
        let shift =
            walk.per_channel(&bias).ok_or("its bias is no FP32 constant with one element for each output")?;
        walk.strength.shift = shift.iter().map(|bias| bias * f64::from(beta)).collect();
        walk.own.push(bias);
    }
    while let Some(next) = walk.pending.pop_first() {
        walk.pass(next)?;
    }
    if walk.next.is_empty() {
        return Err("no layer follows it".to_owned());
    }
    let incoming = walk.strength.sizes();
    let importance = incoming.iter().zip(&walk.outgoing).map(|(size, square)| size * square.sqrt()).collect();
    Ok(Chain {
        channels: count,
        own: walk.own,
        next: walk.next,
        depthwise: walk.depthwise,
        values: walk.known.into_keys().collect(),
        importance,
    })
}

fn layer(network: &Network, index: usize) -> Result<Layer, String> {
    let node = &network.artifact().nodes()[index];
    let cut = |input: usize, axis: usize| Cut { reader: (index, input), axis, entries: 1 };
    let shape_of =
        |input: usize| -> Option<&[usize]> { Some(&network.constant(network.input((index, input))?)?.shape) };
    let weights = shape_of(1).ok_or("its weights are no FP32 constants")?;
    let second = Channels { from_back: weights.len() - 1, rank: Some(weights.len()), flattened: false };
    match operator(node) {
        Some("Conv") => {
            let bias = network.input((index, 2)).map(|_| cut(2, 0));
            Ok(Layer { weights: cut(1, 0), bias, channels: second })
        }
        Some("Gemm") => {
            let axis = usize::from(int(node, "transB", 0) == 0);
            let columns = weights[axis];
            let bias = match (network.input((index, 2)), shape_of(2)) {
                (None, _) => None,
                (Some(_), Some([] | [1] | [1, 1])) if columns > 1 => None,
                (Some(_), Some([length])) if *length == columns => Some(cut(2, 0)),
                (Some(_), Some([1, length])) if *length == columns => Some(cut(2, 1)),
                _ => return Err("its bias is no FP32 constant with one element for each output".to_owned()),
            };
            Ok(Layer { weights: cut(1, axis), bias, channels: second })
        }
        _ => {
            let last = Channels { from_back: 1, rank: None, flattened: false };
            Ok(Layer { weights: cut(1, 1), bias: None, channels: last })
        }
    }
}

/// How strongly each channel comes out of a layer, followed through scalings and shifts.
#[derive(Debug)]
struct Strength {
    /// The square of the norm of the weights.
    squares: Vec<f64>,
    scale: Vec<f64>,
    shift: Vec<f64>,
    /// The value up to which it is known.
    head: Option<String>,
    /// Whether everything so far was a scaling or shift.
    linear: bool,
}

impl Strength {
    fn of(squares: Vec<f64>) -> Self {
        let (scale, shift) = (vec![1.0; squares.len()], vec![0.0; squares.len()]);
        Self { squares, scale, shift, head: None, linear: true }
    }

    fn sizes(&self) -> Vec<f64> {
        let parts = self.squares.iter().zip(&self.scale).zip(&self.shift);
        parts.map(|((square, scale), shift)| (square * scale * scale + shift * shift).sqrt()).collect()
    }

    fn multiply(&mut self, factors: &[f64]) {
        for (index, factor) in factors.iter().enumerate() {
            self.scale[index] *= factor;
            self.shift[index] *= factor;
        }
    }

    /// Adds, as long as what came before was linear: behind an activation, a shift says little.
    fn add(&mut self, terms: &[f64], sign: f64) {
        if self.linear {
            self.shift.iter_mut().zip(terms).for_each(|(shift, term)| *shift += sign * term);
        }
    }
}

/// A walk along the channels of a layer.
struct Walk<'a> {
    network: &'a Network,
    count: usize,
    known: HashMap<String, Channels>,
    /// Nodes that read what is known, in order.
    pending: BTreeSet<usize>,
    strength: Strength,
    /// The squares of what the next layers multiply each channel by.
    outgoing: Vec<f64>,
    own: Vec<Cut>,
    next: Vec<Cut>,
    depthwise: Vec<usize>,
}

impl Walk<'_> {
    /// The only output of a node has the channels. Gives its name.
    fn give(&mut self, index: usize, channels: Channels) -> Result<String, String> {
        let node = &self.network.artifact().nodes()[index];
        let mut outputs = node.output.iter().filter(|name| !name.is_empty());
        let (Some(output), None) = (outputs.next(), outputs.next()) else {
            return Err(format!("{} has several outputs", label(node)));
        };
        for reading in self.network.uses(output) {
            match *reading {
                Use::Input(reader, _) => drop(self.pending.insert(reader)),
                Use::Inside(_) => return Err("a graph inside of a node reads them".to_owned()),
                Use::Caller => return Err("they are an output of the model".to_owned()),
            }
        }
        self.known.insert(output.clone(), channels);
        Ok(output.clone())
    }

    fn channels(&self, index: usize, input: usize) -> Option<Channels> {
        self.known.get(self.network.input((index, input))?).copied()
    }

    /// Goes through a node that reads the channels.
    fn pass(&mut self, index: usize) -> Result<(), String> {
        let node = &self.network.artifact().nodes()[index];
        let inputs = node.input.len();
        let reads: Vec<usize> = (0..inputs).filter(|&input| self.channels(index, input).is_some()).collect();
        let operator = operator(node).unwrap_or_default();
        let (Some(first), 1) = (self.channels(index, 0), reads.len()) else {
            return if COMBINING.contains(&operator) { self.combine(index) } else { Err(refusal(node)) };
        };
        match operator {
            "Dropout" if self.network.input((index, 2)).is_some() => Err(refusal(node)),
            name if ELEMENTWISE.contains(&name) => {
                let output = self.give(index, first)?;
                self.follow_head(index, output, false);
                Ok(())
            }
            name if COMBINING.contains(&name) => self.combine(index),
            "BatchNormalization" if first.is_second() => self.normalise(index, first),
            "MaxPool" | "AveragePool" | "LpPool" | "GlobalAveragePool" | "GlobalMaxPool"
                if first.is_second() =>
            {
                self.give(index, first).map(drop)
            }
            "ReduceMean" | "ReduceMax" | "ReduceSum" => self.reduce(index, first),
            "Squeeze" => self.squeeze(index, first),
            "Flatten" | "Reshape" if self.flattens(index) && first.rank.is_some() => {
                let is_flat = first.rank == Some(2);
                if !is_flat && !first.is_second() {
                    return Err(refusal(node));
                }
                let flattened = !is_flat || first.flattened;
                self.give(index, Channels { from_back: 1, rank: Some(2), flattened }).map(drop)
            }
            "Conv" if first.is_second() => self.convolve(index, first),
            "ConvTranspose" if first.is_second() && self.network.group(index) == 1 => {
                self.end(index, 0, first)
            }
            "Gemm" if first.rank == Some(2) && first.from_back == 1 && int(node, "transA", 0) == 0 => {
                self.end(index, usize::from(int(node, "transB", 0) != 0), first)
            }
            "MatMul" if first.from_back == 1 => {
                let rank = self.constant_shape(index, 1).map_or(0, <[usize]>::len);
                if rank == 0 { Err(refusal(node)) } else { self.end(index, rank.saturating_sub(2), first) }
            }
            _ => Err(refusal(node)),
        }
    }

    fn constant_shape(&self, index: usize, input: usize) -> Option<&[usize]> {
        Some(&self.network.constant(self.network.input((index, input))?)?.shape)
    }

    /// The elements of a constant that has one for each channel and nothing else.
    fn per_channel(&self, cut: &Cut) -> Option<Vec<f64>> {
        let constant = self.network.constant(self.network.input(cut.reader)?)?;
        let matches =
            constant.elements.len() == self.count && constant.shape.get(cut.axis) == Some(&self.count);
        matches.then(|| constant.elements.iter().map(|&element| f64::from(element)).collect())
    }

    /// The channels go through a node that reads nothing else of the walk.
    fn follow_head(&mut self, index: usize, output: String, linear: bool) {
        let head = self.strength.head.take();
        let continues = head.is_some_and(|head| {
            self.network.input((index, 0)) == Some(&head) && self.network.uses(&head).len() == 1
        });
        if continues {
            self.strength.head = Some(output);
            self.strength.linear &= linear;
        }
    }

    /// Elements are combined with constants or with others of the same layer.
    fn combine(&mut self, index: usize) -> Result<(), String> {
        let node = &self.network.artifact().nodes()[index];
        let inputs = node.input.len();
        let values: Vec<Channels> = (0..inputs).filter_map(|input| self.channels(index, input)).collect();
        let channels = values[0];
        if values.iter().any(|other| *other != channels) {
            return Err(refusal(node));
        }
        let mut cuts = Vec::new();
        for input in (0..inputs).filter(|&input| self.channels(index, input).is_none()) {
            let Some(shape) = self.constant_shape(index, input) else {
                let name = self.network.input((index, input)).unwrap_or_default();
                if self.network.artifact().constant(name).is_some_and(|constant| constant.len() == 1) {
                    continue; // an exponent of another type
                }
                return Err(format!("{} combines them with the outputs of other layers", label(node)));
            };
            if channels.rank.is_some_and(|rank| shape.len() > rank) {
                return Err(refusal(node));
            }
            let Some(axis) = shape.len().checked_sub(channels.from_back) else { continue };
            if shape[axis] != 1 || self.count == 1 {
                cuts.push(self.cut(index, input, axis, channels)?);
            }
        }
        let output = self.give(index, channels)?;
        self.combine_strength(index, &cuts, output);
        self.own.extend(cuts);
        Ok(())
    }

    /// Follows how a constant scales or shifts the channels, when it is a plain one.
    fn combine_strength(&mut self, index: usize, cuts: &[Cut], output: String) {
        let node = &self.network.artifact().nodes()[index];
        let name = operator(node).unwrap_or_default();
        let constant = match cuts {
            [cut] if cut.entries == 1 => self.per_channel(cut),
            _ => None,
        };
        let head = self.strength.head.clone();
        let position = node.input.iter().position(|input| Some(input) == head.as_ref());
        let (Some(constant), Some(position), 2) = (constant, position, node.input.len()) else {
            self.strength.head = None;
            return;
        };
        if head.is_none_or(|head| self.network.uses(&head).len() != 1) {
            self.strength.head = None;
            return;
        }
        match (name, position) {
            ("Add", _) => self.strength.add(&constant, 1.0),
            ("Sub", 0) => self.strength.add(&constant, -1.0),
            ("Mul", _) => self.strength.multiply(&constant),
            ("Div", 0) => {
                let inverse: Vec<f64> = constant.iter().map(|divisor| divisor.recip()).collect();
                self.strength.multiply(&inverse);
            }
            _ => self.strength.linear = false,
        }
        self.strength.head = Some(output);
    }

    /// The cut of a constant along the axis of the channels.
    fn cut(&self, index: usize, input: usize, axis: usize, channels: Channels) -> Result<Cut, String> {
        let node = &self.network.artifact().nodes()[index];
        let length =
            self.constant_shape(index, input).and_then(|shape| shape.get(axis)).copied().unwrap_or(0);
        let entries = length / self.count;
        let fits = entries * self.count == length && (entries == 1 || channels.flattened && entries > 1);
        if fits { Ok(Cut { reader: (index, input), axis, entries }) } else { Err(refusal(node)) }
    }

    fn normalise(&mut self, index: usize, channels: Channels) -> Result<(), String> {
        let node = &self.network.artifact().nodes()[index];
        if int(node, "training_mode", 0) != 0 {
            return Err(refusal(node));
        }
        let cuts: Vec<Cut> =
            (1..5).map(|input| self.cut(index, input, 0, channels)).collect::<Result<_, String>>()?;
        let parameters: Option<Vec<Vec<f64>>> = cuts.iter().map(|cut| self.per_channel(cut)).collect();
        let Some([gamma, beta, mean, variance]) = parameters.as_deref() else { return Err(refusal(node)) };
        let epsilon = f64::from(float(node, "epsilon", 1e-5));
        let factor: Vec<f64> = gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
        let output = self.give(index, channels)?;
        self.follow_head(index, output, true);
        if self.strength.head.is_some() {
            self.strength.add(mean, -1.0);
            self.strength.multiply(&factor);
            self.strength.add(beta, 1.0);
        }
        self.own.extend(cuts);
        Ok(())
    }

    /// The axes a node names, none of them negative.
    fn axes(&self, index: usize, rank: usize) -> Option<Vec<usize>> {
        let node = &self.network.artifact().nodes()[index];
        let axes = match attribute(node, "axes") {
            Some(axes) => axes.ints.clone(),
            None => self.network.artifact().constant(self.network.input((index, 1))?)?.to_i64s().ok()?,
        };
        let axes =
            axes.into_iter().map(|axis| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }));
        let mut axes = axes.collect::<Result<Vec<usize>, _>>().ok()?;
        axes.sort_unstable();
        axes.dedup();
        (!axes.is_empty()).then_some(axes)
    }

    fn reduce(&mut self, index: usize, channels: Channels) -> Result<(), String> {
        let node = &self.network.artifact().nodes()[index];
        let keeps = int(node, "keepdims", 1) != 0;
        self.without_axes(index, channels, keeps)
    }

    fn squeeze(&mut self, index: usize, channels: Channels) -> Result<(), String> {
        self.without_axes(index, channels, false)
    }

    /// Other axes are reduced to one element or taken out.
    fn without_axes(&mut self, index: usize, channels: Channels, keeps: bool) -> Result<(), String> {
        let node = &self.network.artifact().nodes()[index];
        let rank = channels.rank.ok_or_else(|| refusal(node))?;
        let axes = self.axes(index, rank).ok_or_else(|| refusal(node))?;
        let own = rank - channels.from_back;
        if axes.contains(&own) {
            return Err(refusal(node));
        }
        let channels = if keeps {
            channels
        } else {
            let behind = axes.iter().filter(|&&axis| axis > own).count();
            let (rank, from_back) = (rank.checked_sub(axes.len()), channels.from_back.checked_sub(behind));
            let from_back = from_back.filter(|&place| place > 0).ok_or_else(|| refusal(node))?;
            Channels { from_back, rank: Some(rank.ok_or_else(|| refusal(node))?), ..channels }
        };
        self.give(index, channels).map(drop)
    }

    /// Whether a node keeps the first axis and joins all others.
    fn flattens(&self, index: usize) -> bool {
        let node = &self.network.artifact().nodes()[index];
        if operator(node) == Some("Flatten") {
            return int(node, "axis", 1) == 1;
        }
        let shape = self.network.input((index, 1)).and_then(|name| self.network.artifact().constant(name));
        let shape = shape.and_then(|shape| shape.to_i64s().ok());
        shape.is_some_and(|shape| shape == [0, -1]) && int(node, "allowzero", 0) == 0
    }

    fn convolve(&mut self, index: usize, channels: Channels) -> Result<(), String> {
        let node = &self.network.artifact().nodes()[index];
        let group = self.network.group(index);
        let shape = self.constant_shape(index, 1).ok_or_else(|| refusal(node))?;
        if channels.rank != Some(shape.len()) {
            return Err(refusal(node));
        }
        if group == 1 {
            return self.end(index, 1, channels);
        }
        if group != self.count || shape[0] != self.count || shape[1] != 1 {
            return Err(format!("{} works on groups of them", label(node)));
        }
        let weights = self.cut(index, 1, 0, channels)?;
        let bias = match self.network.input((index, 2)) {
            Some(_) => Some(self.cut(index, 2, 0, channels)?),
            None => None,
        };
        let squares = self.network.constant(self.network.input((index, 1)).unwrap_or_default());
        let norms: Vec<f64> = squares
            .map(|weights| weights.squares(0, 1))
            .unwrap_or_default()
            .into_iter()
            .map(f64::sqrt)
            .collect();
        let output = self.give(index, channels)?;
        self.follow_head(index, output, true);
        if self.strength.head.is_some() {
            self.strength.multiply(&norms);
            if let Some(bias) = bias.as_ref().and_then(|bias| self.per_channel(bias)) {
                self.strength.add(&bias, 1.0);
            }
        }
        self.own.push(weights);
        self.own.extend(bias);
        self.depthwise.push(index);
        Ok(())
    }

    /// The channels end in a layer that sums over them with weights whose `axis` belongs to them.
    fn end(&mut self, index: usize, axis: usize, channels: Channels) -> Result<(), String> {
        let node = &self.network.artifact().nodes()[index];
        let weights = self.network.input((index, 1)).and_then(|name| self.network.constant(name));
        let weights = weights.ok_or_else(|| refusal(node))?;
        let cut = self.cut(index, 1, axis, channels)?;
        let squares = weights.squares(axis, cut.entries);
        self.outgoing.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        self.next.push(cut);
        Ok(())
    }
}

fn refusal(node: &NodeProto) -> String {
    format!("{} needs all of them", label(node))
}
