//! `LSTM`, `GRU` and `RNN`: attributes, inputs and outputs, and which way of computing fits them.
//!
//! Single precision goes to the kernels; double precision, and functions of gates that the kernels do not have, to
//! [`plain`](super::plain).

use std::sync::Arc;

use mlops_core::{Error, Result};

use super::activations::{Gate, parse};
use super::plain::{Plain, Run};
use crate::engine::onnx::ops::floats::{are_half, constant_singles, from_doubles, to_doubles, widened};
use crate::engine::onnx::ops::support::repeated;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::recurrent::{Cell, Direction, Recurrent, RecurrentInput, RecurrentOutput, RecurrentSpec};

/// Which cell, with what is special about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lstm { input_forget: bool },
    Gru { linear_before_reset: bool },
    Rnn,
}

impl Kind {
    pub(super) fn gates(self) -> usize {
        match self {
            Self::Lstm { .. } => 4,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }
}

#[derive(Debug)]
struct Layer {
    kind: Kind,
    direction: Direction,
    hidden_size: usize,
    gates: Vec<Gate>,
    clip: Option<f32>,
    /// Whether the batch comes before the steps.
    batch_first: bool,
    wanted: [bool; 3],
    /// The layer with packed weights, if they are all constant.
    packed: Option<Arc<Recurrent>>,
}

pub(super) fn lstm(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let input_forget = source.node.attributes.flag("input_forget", false)?;
    build(source, Kind::Lstm { input_forget }, &[Gate::Sigmoid, Gate::Tanh, Gate::Tanh])
}

pub(super) fn gru(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let linear_before_reset = source.node.attributes.flag("linear_before_reset", false)?;
    build(source, Kind::Gru { linear_before_reset }, &[Gate::Sigmoid, Gate::Tanh])
}

pub(super) fn rnn(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Kind::Rnn, &[Gate::Tanh])
}

fn build(source: &Source<'_>, kind: Kind, defaults: &[Gate]) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let direction = match attributes.text("direction")?.map_or("forward", String::as_str) {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        other => return Err(Error::invalid_input(format!("there is no direction `{other}`"))),
    };
    let directions = if direction == Direction::Bidirectional { 2 } else { 1 };
    let hidden_size = usize::try_from(attributes.int("hidden_size", 0)?).ok().filter(|&size| size > 0);
    let recurrent = source.constant(2).map(HostTensor::shape);
    let hidden_size = hidden_size.or(recurrent.and_then(|shape| shape.last().copied()));
    let mut layer = Layer {
        kind,
        direction,
        hidden_size: hidden_size
            .ok_or_else(|| Error::invalid_input("the attribute `hidden_size` is missing"))?,
        gates: parse(attributes, defaults, directions)?,
        clip: attributes.optional_float("clip")?,
        batch_first: attributes.flag("layout", false)?,
        wanted: [source.wants(0), source.wants(1), source.wants(2)],
        packed: None,
    };
    layer.packed = layer.packed_constants(source);
    Ok(Box::new(layer))
}

impl Layer {
    fn directions(&self) -> usize {
        if self.direction == Direction::Bidirectional { 2 } else { 1 }
    }

    /// `None` when an input is not constant, or does not fit: then the run says so.
    fn packed_constants(&self, source: &Source<'_>) -> Option<Arc<Recurrent>> {
        let input_size = *source.constant(1)?.shape().last()?;
        let optional = |index: usize| match source.node.input(index) {
            None => Some(None),
            Some(_) => Some(Some(constant_singles(source.constant(index))?)),
        };
        let (weights, recurrent) = (optional(1)??, optional(2)??);
        let (bias, peepholes) = (optional(3)?, optional(7)?);
        self.recurrent(input_size, &weights, &recurrent, bias.as_deref(), peepholes.as_deref())?
            .ok()
            .map(Arc::new)
    }

    /// The layer for the kernels; `None` when they lack a function of a gate.
    fn recurrent(
        &self,
        input_size: usize,
        weights: &[f32],
        recurrent_weights: &[f32],
        bias: Option<&[f32]>,
        peepholes: Option<&[f32]>,
    ) -> Option<Result<Recurrent, String>> {
        let activations = self.gates.iter().map(|gate| gate.kernel()).collect::<Option<Vec<_>>>()?;
        let cell = match self.kind {
            Kind::Lstm { input_forget } => Cell::Lstm { peepholes, input_forget },
            Kind::Gru { linear_before_reset } => Cell::Gru { linear_before_reset },
            Kind::Rnn => Cell::Rnn,
        };
        Some(Recurrent::new(&RecurrentSpec {
            cell,
            direction: self.direction,
            input_size,
            hidden_size: self.hidden_size,
            weights,
            recurrent_weights,
            bias,
            activations,
            clip: self.clip,
        }))
    }
}

/// The sizes of a run.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    input: usize,
}

impl Operator for Layer {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let &[first, second, input] = x.shape() else {
            return Err(Error::engine(format!(
                "a sequence of three dimensions is needed, not {:?}",
                x.shape()
            )));
        };
        let (steps, batch) = if self.batch_first { (second, first) } else { (first, second) };
        let sizes = Sizes { steps, batch, input };
        let lengths = self.lengths(inputs, &sizes)?;
        match x.data() {
            Data::F32(_) => {
                let now;
                let layer = match &self.packed {
                    Some(packed) => &**packed,
                    None => {
                        let optional = |index: usize| -> Result<Option<&[f32]>> {
                            inputs.optional(index)?.map(HostTensor::elements::<f32>).transpose()
                        };
                        let (weights, recurrent) = (inputs.elements(1)?, inputs.elements(2)?);
                        let peepholes =
                            if matches!(self.kind, Kind::Lstm { .. }) { optional(7)? } else { None };
                        let layer = self.recurrent(input, weights, recurrent, optional(3)?, peepholes);
                        let Some(layer) = layer else {
                            return self.run_plain(inputs, &sizes, lengths.as_deref());
                        };
                        now = layer.map_err(Error::engine)?;
                        &now
                    }
                };
                self.run_single(layer, inputs, &sizes, lengths.as_deref(), context)
            }
            _ => self.run_plain(inputs, &sizes, lengths.as_deref()),
        }
    }

    fn has_taken(&self, input: usize) -> bool {
        self.packed.is_some() && matches!(input, 1 | 2 | 3 | 7)
    }
}

impl Layer {
    fn lengths(&self, inputs: &Inputs<'_>, sizes: &Sizes) -> Result<Option<Vec<usize>>> {
        let Some(lengths) = inputs.optional_i64s(4)? else { return Ok(None) };
        let length = |&length: &i64| usize::try_from(length).ok().filter(|&length| length <= sizes.steps);
        let fitting = lengths.iter().map(length).collect::<Option<Vec<usize>>>();
        match fitting.filter(|lengths| lengths.len() == sizes.batch) {
            // All of full length: nothing is special.
            Some(lengths) if lengths.iter().all(|&length| length == sizes.steps) => Ok(None),
            Some(lengths) => Ok(Some(lengths)),
            None => Err(Error::engine(format!(
                "the lengths {lengths:?} do not fit {} sequences of {} steps",
                sizes.batch, sizes.steps
            ))),
        }
    }

    fn run_single(
        &self,
        layer: &Recurrent,
        inputs: &Inputs<'_>,
        sizes: &Sizes,
        lengths: Option<&[usize]>,
        context: &mut Context<'_>,
    ) -> Result<Outputs> {
        let &Sizes { steps, batch, input } = sizes;
        let (directions, hidden) = (self.directions(), self.hidden_size);
        let state = |index: usize| -> Result<Option<Vec<f32>>> {
            let Some(tensor) = inputs.optional(index)? else { return Ok(None) };
            let elements = tensor.elements::<f32>()?;
            if !self.batch_first {
                return Ok(Some(elements.to_vec()));
            }
            check_state(elements.len(), batch * directions * hidden)?;
            Ok(Some(swapped(elements, batch, directions, hidden)))
        };
        let initial_hidden = state(5)?;
        let initial_cell = if matches!(self.kind, Kind::Lstm { .. }) { state(6)? } else { None };
        let x_elements = inputs.elements::<f32>(0)?;
        let swapped_x = self.batch_first.then(|| swapped(x_elements, batch, steps, input));
        let state_count = element_count(&[directions, batch, hidden])?;
        let count = element_count(&[steps, directions, batch, hidden])?;
        let mut outputs = context.memory.floats(if self.wanted[0] { count } else { 0 });
        let mut last_hidden = vec![0.0; state_count];
        let mut last_cell = vec![0.0; state_count];
        let is_lstm = matches!(self.kind, Kind::Lstm { .. });
        if steps == 0 || batch == 0 {
            last_hidden
                .iter_mut()
                .zip(initial_hidden.iter().flatten())
                .for_each(|(last, first)| *last = *first);
            last_cell.iter_mut().zip(initial_cell.iter().flatten()).for_each(|(last, first)| *last = *first);
        } else {
            layer
                .run(
                    &RecurrentInput {
                        x: swapped_x.as_deref().unwrap_or(x_elements),
                        steps,
                        batch,
                        lengths,
                        initial_hidden: initial_hidden.as_deref(),
                        initial_cell: initial_cell.as_deref(),
                    },
                    RecurrentOutput {
                        hidden: self.wanted[0].then_some(&mut outputs[..]),
                        last_hidden: Some(&mut last_hidden),
                        last_cell: is_lstm.then_some(&mut last_cell[..]),
                    },
                    &mut context.memory.scratch,
                    context.threads,
                )
                .map_err(Error::engine)?;
        }
        self.outputs(sizes, outputs, last_hidden, last_cell)
    }

    fn run_plain(&self, inputs: &Inputs<'_>, sizes: &Sizes, lengths: Option<&[usize]>) -> Result<Outputs> {
        let &Sizes { steps, batch, input } = sizes;
        let (directions, hidden, gates) = (self.directions(), self.hidden_size, self.kind.gates());
        let x = inputs.tensor(0)?;
        let required = |index: usize, length: usize| -> Result<Vec<f64>> {
            let tensor = inputs.tensor(index)?;
            if tensor.len() != length {
                let actual = tensor.len();
                return Err(Error::engine(format!(
                    "input {index} must have {length} elements, not {actual}"
                )));
            }
            to_doubles(tensor)
        };
        let optional = |index: usize, length: usize| -> Result<Option<Vec<f64>>> {
            inputs.optional(index)?.map(|_| required(index, length)).transpose()
        };
        let state_count = element_count(&[directions, batch, hidden])?;
        let state = |index: usize| -> Result<Vec<f64>> {
            let elements = optional(index, state_count)?.unwrap_or_else(|| vec![0.0; state_count]);
            Ok(if self.batch_first { swapped(&elements, batch, directions, hidden) } else { elements })
        };
        let is_lstm = matches!(self.kind, Kind::Lstm { .. });
        let elements = to_doubles(x)?;
        let layer = Plain {
            kind: self.kind,
            input,
            hidden,
            clip: self.clip.map(f64::from),
            weights: required(1, directions * gates * hidden * input)?,
            recurrent: required(2, directions * gates * hidden * hidden)?,
            bias: optional(3, directions * 2 * gates * hidden)?,
            peepholes: if is_lstm { optional(7, directions * 3 * hidden)? } else { None },
            gates: &self.gates,
        };
        let mut run = Run {
            x: if self.batch_first { swapped(&elements, batch, steps, input) } else { elements },
            steps,
            batch,
            directions,
            reverse_first: self.direction == Direction::Reverse,
            lengths,
            outputs: repeated(0.0, element_count(&[steps, directions, batch, hidden])?)?,
            hidden: state(5)?,
            cell: if is_lstm { state(6)? } else { vec![0.0; state_count] },
        };
        layer.run(&mut run);
        let outputs = self.outputs(sizes, run.outputs, run.hidden, run.cell)?;
        let typed = outputs.into_iter().map(|value| match value {
            Value::Tensor(tensor) => {
                let shape = Shape::from_slice(tensor.shape());
                from_doubles(&shape, tensor.into_elements()?, x.dtype()).map(Value::Tensor)
            }
            other => Ok(other),
        });
        typed.collect()
    }

    /// The outputs in the layout that is asked for.
    fn outputs<T: crate::engine::onnx::tensor::Scalar + Copy>(
        &self,
        sizes: &Sizes,
        outputs: Vec<T>,
        hidden: Vec<T>,
        cell: Vec<T>,
    ) -> Result<Outputs> {
        let &Sizes { steps, batch, .. } = sizes;
        let (directions, size) = (self.directions(), self.hidden_size);
        let state = |elements: Vec<T>| {
            if self.batch_first {
                let elements = swapped(&elements, directions, batch, size);
                return HostTensor::new([batch, directions, size].as_slice(), elements);
            }
            HostTensor::new([directions, batch, size].as_slice(), elements)
        };
        let sequence = if !self.wanted[0] {
            Value::Nothing
        } else if self.batch_first {
            // [steps, directions, batch, size] to [batch, steps, directions, size]
            let elements = swapped(&outputs, steps * directions, batch, size);
            HostTensor::new([batch, steps, directions, size].as_slice(), elements)?.into()
        } else {
            HostTensor::new([steps, directions, batch, size].as_slice(), outputs)?.into()
        };
        let mut all: Outputs = [sequence, state(hidden)?.into()].into_iter().collect();
        if matches!(self.kind, Kind::Lstm { .. }) {
            all.push(state(cell)?.into());
        }
        Ok(all)
    }
}

fn check_state(given: usize, needed: usize) -> Result<()> {
    if given == needed {
        return Ok(());
    }
    Err(Error::engine(format!("an initial state must have {needed} elements, not {given}")))
}

/// `[first, second, inner]` as `[second, first, inner]`.
fn swapped<T: Copy>(elements: &[T], first: usize, second: usize, inner: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(elements.len());
    for other in 0..second {
        for one in 0..first {
            out.extend_from_slice(&elements[(one * second + other) * inner..][..inner]);
        }
    }
    out
}
