//! Recurrent layers over whole sequences: LSTM, GRU and the plain RNN, with the formulas and the weight layouts of ONNX's
//! operators (sequence first).
//!
//! The input is multiplied by its weights for many time steps at once; each step then multiplies the previous hidden
//! state by the recurrent weights, packed once, and passes the gates through their activations in one fused pass.

mod gates;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::gates::{finish_gru, finish_gru_reset, finish_lstm, finish_rnn};
use crate::kernels::epilogue::{Activation, Bias, Epilogue};
use crate::kernels::gemm::{MatrixRef, PackedB, gemm};
use crate::kernels::parallel::Threads;

/// Products with the input that are computed ahead of their time steps: a quarter of a second-level cache of 1 MiB.
const AHEAD: usize = 1 << 16;

/// What happens in a time step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Gates in the order input, output, forget, cell.
    Lstm {
        /// `[directions, 3 hidden]`: for input, output and forget gate.
        peepholes: Option<&'a [f32]>,
        /// Whether the forget gate is one minus the input gate.
        input_forget: bool,
    },
    /// Gates in the order update, reset, hidden.
    Gru {
        /// Whether the reset gate is applied after the multiplication by the recurrent weights, not before.
        linear_before_reset: bool,
    },
    Rnn,
}

impl Cell<'_> {
    fn gates(&self) -> usize {
        match self {
            Self::Lstm { .. } => 4,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }

    fn activations(&self) -> usize {
        match self {
            Self::Lstm { .. } => 3,
            Self::Gru { .. } => 2,
            Self::Rnn => 1,
        }
    }
}

/// Which way the sequence is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Reverse,
    /// Forward, then reverse.
    Bidirectional,
}

/// A layer as the file describes it.
#[derive(Clone, Debug)]
pub(crate) struct RecurrentSpec<'a> {
    pub(crate) cell: Cell<'a>,
    pub(crate) direction: Direction,
    pub(crate) input_size: usize,
    pub(crate) hidden_size: usize,
    /// `[directions, gates hidden, input]`
    pub(crate) weights: &'a [f32],
    /// `[directions, gates hidden, hidden]`
    pub(crate) recurrent_weights: &'a [f32],
    /// `[directions, 2 gates hidden]`: of the input, then of the recurrence.
    pub(crate) bias: Option<&'a [f32]>,
    /// Per direction 3 (LSTM: gates, cell, hidden), 2 (GRU: gates, hidden) or 1; none for the defaults.
    pub(crate) activations: Vec<Activation>,
    /// What enters the activation of a gate is kept within plus and minus this.
    pub(crate) clip: Option<f32>,
}

/// What a layer is run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecurrentInput<'a> {
    /// `[steps, batch, input]`
    pub(crate) x: &'a [f32],
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    /// Steps of each sequence of the batch, if not all; the outputs beyond them are zero.
    pub(crate) lengths: Option<&'a [usize]>,
    /// `[directions, batch, hidden]`, zero if not given.
    pub(crate) initial_hidden: Option<&'a [f32]>,
    /// Likewise, LSTM only.
    pub(crate) initial_cell: Option<&'a [f32]>,
}

/// Where the results go.
#[derive(Debug)]
pub(crate) struct RecurrentOutput<'a> {
    /// `[steps, directions, batch, hidden]`
    pub(crate) hidden: Option<&'a mut [f32]>,
    /// `[directions, batch, hidden]`: after the last step of each sequence, zero if it has none.
    pub(crate) last_hidden: Option<&'a mut [f32]>,
    /// Likewise, LSTM only.
    pub(crate) last_cell: Option<&'a mut [f32]>,
}

/// A layer with packed weights.
#[derive(Debug)]
pub(crate) struct Recurrent {
    kind: Kind,
    reverse_first: bool,
    input_size: usize,
    hidden_size: usize,
    clip: Option<f32>,
    directions: Vec<Weights>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lstm { input_forget: bool },
    Gru { linear_before_reset: bool },
    Rnn,
}

/// The weights of one direction.
#[derive(Debug)]
struct Weights {
    input: PackedB,
    recurrent: PackedB,
    /// GRU that resets before it multiplies: the recurrent weights of the hidden gate.
    recurrent_hidden: Option<PackedB>,
    /// What is added to the products with the input.
    bias: Vec<f32>,
    /// GRU that multiplies before it resets: what is added to the products with the hidden state.
    recurrent_bias: Vec<f32>,
    peepholes: Option<Vec<f32>>,
    activations: Vec<Activation>,
}

impl Recurrent {
    /// Packs the weights of a layer.
    ///
    /// # Errors
    /// Words for weights, biases, peepholes or activations whose number does not fit the sizes.
    pub(crate) fn new(spec: &RecurrentSpec<'_>) -> Result<Self, String> {
        let (gates, hidden, input) = (spec.cell.gates(), spec.hidden_size, spec.input_size);
        let count = if spec.direction == Direction::Bidirectional { 2 } else { 1 };
        let expect = |what: &str, length: usize, expected: usize| {
            if length == expected {
                Ok(())
            } else {
                Err(format!("the recurrent layer has {length} {what}; its sizes ask for {expected}"))
            }
        };
        if hidden == 0 {
            return Err("the recurrent layer has a hidden size of 0".to_owned());
        }
        expect("weights", spec.weights.len(), count * gates * hidden * input)?;
        expect("recurrent weights", spec.recurrent_weights.len(), count * gates * hidden * hidden)?;
        if let Some(bias) = spec.bias {
            expect("biases", bias.len(), count * 2 * gates * hidden)?;
        }
        let peepholes = if let Cell::Lstm { peepholes, .. } = spec.cell { peepholes } else { None };
        if let Some(peepholes) = peepholes {
            expect("peephole weights", peepholes.len(), count * 3 * hidden)?;
        }
        let per_direction = spec.cell.activations();
        let defaults = match spec.cell {
            Cell::Lstm { .. } => vec![Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
            Cell::Gru { .. } => vec![Activation::Sigmoid, Activation::Tanh],
            Cell::Rnn => vec![Activation::Tanh],
        };
        if !spec.activations.is_empty() {
            expect("activations", spec.activations.len(), count * per_direction)?;
        }

        let pack = |weights: &[f32], rows: usize, columns: usize| {
            PackedB::pack(MatrixRef::row_major(weights, rows, columns).transposed())
        };
        let directions = (0..count).map(|direction| {
            let part =
                |all: &[f32], length: usize| all[direction * length..(direction + 1) * length].to_vec();
            let recurrent = part(spec.recurrent_weights, gates * hidden * hidden);
            let both = spec.bias.map(|bias| part(bias, 2 * gates * hidden));
            let both = both.unwrap_or_else(|| vec![0.0; 2 * gates * hidden]);
            let (input_bias, after) = both.split_at(gates * hidden);
            let mut bias = input_bias.to_vec();
            let mut recurrent_bias = Vec::new();
            // The biases are added up where nothing comes between the two products.
            let late = if spec.cell == (Cell::Gru { linear_before_reset: true }) {
                2 * hidden
            } else {
                gates * hidden
            };
            for (bias, &after) in bias[..late].iter_mut().zip(after) {
                *bias += after;
            }
            if late < gates * hidden {
                recurrent_bias = vec![0.0; late];
                recurrent_bias.extend_from_slice(&after[late..]);
            }
            let split = spec.cell == (Cell::Gru { linear_before_reset: false });
            let first = if split { 2 * hidden } else { gates * hidden };
            Weights {
                input: pack(&part(spec.weights, gates * hidden * input), gates * hidden, input),
                recurrent: pack(&recurrent[..first * hidden], first, hidden),
                recurrent_hidden: split.then(|| pack(&recurrent[first * hidden..], hidden, hidden)),
                bias,
                recurrent_bias,
                peepholes: peepholes.map(|all| part(all, 3 * hidden)),
                activations: match spec
                    .activations
                    .get(direction * per_direction..(direction + 1) * per_direction)
                {
                    Some(activations) => activations.to_vec(),
                    None => defaults.clone(),
                },
            }
        });
        let directions = directions.collect();
        let kind = match spec.cell {
            Cell::Lstm { input_forget, .. } => Kind::Lstm { input_forget },
            Cell::Gru { linear_before_reset } => Kind::Gru { linear_before_reset },
            Cell::Rnn => Kind::Rnn,
        };
        Ok(Self {
            kind,
            reverse_first: spec.direction == Direction::Reverse,
            input_size: input,
            hidden_size: hidden,
            clip: spec.clip,
            directions,
        })
    }

    /// Runs the layer over a batch of sequences. `scratch` is kept by the caller between calls.
    ///
    /// # Errors
    /// Words for an input or output whose length does not fit the sizes.
    pub(crate) fn run(
        &self,
        input: &RecurrentInput<'_>,
        mut output: RecurrentOutput<'_>,
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) -> Result<(), String> {
        self.check(input, &output)?;
        if let Some(hidden) = &mut output.hidden {
            // Only sequences that end early leave something unwritten.
            if input.lengths.is_some() {
                hidden.fill(0.0);
            }
        }
        for number in 0..self.directions.len() {
            self.run_direction(number, input, &mut output, scratch, threads);
        }
        Ok(())
    }

    fn check(&self, input: &RecurrentInput<'_>, output: &RecurrentOutput<'_>) -> Result<(), String> {
        let expect = |what: &str, length: Option<usize>, expected: usize| match length {
            Some(length) if length != expected => Err(format!(
                "the {what} of the recurrent layer has {length} values; its sizes ask for {expected}"
            )),
            _ => Ok(()),
        };
        let state = self.directions.len() * input.batch * self.hidden_size;
        expect("input", Some(input.x.len()), input.steps * input.batch * self.input_size)?;
        expect("initial hidden state", input.initial_hidden.map(<[f32]>::len), state)?;
        expect("initial cell state", input.initial_cell.map(<[f32]>::len), state)?;
        expect("list of sequence lengths", input.lengths.map(<[usize]>::len), input.batch)?;
        expect("output", output.hidden.as_deref().map(<[f32]>::len), input.steps * state)?;
        expect("last hidden state", output.last_hidden.as_deref().map(<[f32]>::len), state)?;
        expect("last cell state", output.last_cell.as_deref().map(<[f32]>::len), state)?;
        match input.lengths.and_then(|lengths| lengths.iter().find(|&&length| length > input.steps)) {
            Some(length) => Err(format!("a sequence of length {length} was given in {} steps", input.steps)),
            None => Ok(()),
        }
    }

    fn run_direction(
        &self,
        number: usize,
        input: &RecurrentInput<'_>,
        output: &mut RecurrentOutput<'_>,
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let weights = &self.directions[number];
        let &RecurrentInput { x, steps, batch, lengths, .. } = input;
        let hidden = self.hidden_size;
        let row = weights.bias.len();
        let reverse = self.reverse_first || number == 1;

        // Sequences of different lengths meet their steps at different times, so all of them are needed at once.
        let together = match lengths {
            Some(_) => steps,
            None => (AHEAD / (batch * row).max(1)).clamp(1, steps.max(1)),
        };
        let sizes = [
            together * batch * row,
            batch * row,
            batch * row,
            batch * hidden,
            batch * hidden,
            batch * hidden,
        ];
        let length = sizes.iter().sum();
        if scratch.len() < length {
            scratch.resize(length, 0.0);
        }
        let mut rest = scratch.as_mut_slice();
        let [projected, gathered, gates, state, cell, reset] = sizes.map(|size| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(size);
            rest = after;
            part
        });
        // Operands that lie row by row need no scratch of the multiplication.
        let mut none = Vec::new();
        let epilogue = Epilogue { bias: Bias::PerColumn(&weights.bias), ..Epilogue::default() };
        let mut project = |times: Range<usize>, out: &mut [f32]| {
            let x = &x[times.start * batch * self.input_size..times.end * batch * self.input_size];
            let from = MatrixRef::row_major(x, times.len() * batch, self.input_size);
            gemm(
                &mut out[..times.len() * batch * row],
                row,
                from,
                &weights.input,
                &epilogue,
                &mut none,
                threads,
            );
        };
        if lengths.is_some() {
            project(0..steps, projected);
        }

        let place = number * batch * hidden..(number + 1) * batch * hidden;
        match input.initial_hidden {
            Some(initial) => state.copy_from_slice(&initial[place.clone()]),
            None => state.fill(0.0),
        }
        match input.initial_cell {
            Some(initial) => cell.copy_from_slice(&initial[place.clone()]),
            None => cell.fill(0.0),
        }

        let mut ahead = 0..0;
        let length_of = |item: usize| lengths.map_or(steps, |lengths| lengths[item]);
        for step in 0..steps {
            // The time step of an item; those whose sequence is over keep their state.
            let time = |item: usize| if reverse { (length_of(item) - 1).wrapping_sub(step) } else { step };
            let from_input: &[f32] = if lengths.is_some() {
                for item in (0..batch).filter(|&item| step < length_of(item)) {
                    let source = &projected[(time(item) * batch + item) * row..][..row];
                    gathered[item * row..][..row].copy_from_slice(source);
                }
                gathered
            } else {
                let time = time(0);
                if !ahead.contains(&time) {
                    let first = if reverse { (time + 1).saturating_sub(together) } else { time };
                    ahead = first..(first + together).min(steps);
                    project(ahead.clone(), projected);
                }
                &projected[(time - ahead.start) * batch * row..][..batch * row]
            };
            let active = |item: usize| step < length_of(item);
            self.step(weights, from_input, batch, active, [gates, state, cell, reset], threads);
            if let Some(out) = &mut output.hidden {
                for item in (0..batch).filter(|&item| active(item)) {
                    let place = ((time(item) * self.directions.len() + number) * batch + item) * hidden;
                    out[place..place + hidden].copy_from_slice(&state[item * hidden..][..hidden]);
                }
            }
        }
        for item in (0..batch).filter(|&item| length_of(item) == 0) {
            state[item * hidden..][..hidden].fill(0.0);
            cell[item * hidden..][..hidden].fill(0.0);
        }
        if let Some(last) = &mut output.last_hidden {
            last[place.clone()].copy_from_slice(state);
        }
        if let Some(last) = &mut output.last_cell {
            last[place].copy_from_slice(cell);
        }
    }

    /// One time step of all active items of the batch.
    fn step(
        &self,
        weights: &Weights,
        from_input: &[f32],
        batch: usize,
        active: impl Fn(usize) -> bool,
        [gates, state, cell, reset]: [&mut [f32]; 4],
        threads: &Threads,
    ) {
        let hidden = self.hidden_size;
        let row = weights.bias.len();
        let mut none = Vec::new();
        let added = Epilogue { residual: Some(from_input), ..Epilogue::default() };
        let (gate, inner, outer) = match *weights.activations.as_slice() {
            [gate] => (gate, gate, gate),
            [gate, inner] => (gate, inner, inner),
            [gate, inner, outer, ..] => (gate, inner, outer),
            [] => return,
        };
        let items = || (0..batch).filter(|&item| active(item));
        let values = |item: usize| item * hidden..(item + 1) * hidden;
        match self.kind {
            Kind::Lstm { input_forget } => {
                let previous = MatrixRef::row_major(state, batch, hidden);
                gemm(gates, row, previous, &weights.recurrent, &added, &mut none, threads);
                for item in items() {
                    let gates = &mut gates[item * row..][..row];
                    let (cell, state) = (&mut cell[values(item)], &mut state[values(item)]);
                    let peepholes = weights.peepholes.as_deref();
                    finish_lstm(gates, cell, state, peepholes, input_forget, self.clip, [gate, inner, outer]);
                }
            }
            Kind::Gru { linear_before_reset: true } => {
                let previous = MatrixRef::row_major(state, batch, hidden);
                let epilogue =
                    Epilogue { bias: Bias::PerColumn(&weights.recurrent_bias), ..Epilogue::default() };
                gemm(gates, row, previous, &weights.recurrent, &epilogue, &mut none, threads);
                for item in items() {
                    let from_input = &from_input[item * row..][..row];
                    let gates = &mut gates[item * row..][..row];
                    finish_gru(from_input, gates, &mut state[values(item)], self.clip, [gate, inner]);
                }
            }
            Kind::Gru { linear_before_reset: false } => {
                let previous = MatrixRef::row_major(state, batch, hidden);
                gemm(gates, row, previous, &weights.recurrent, &added, &mut none, threads);
                for item in items() {
                    let gates = &mut gates[item * row..][..2 * hidden];
                    finish_gru_reset(gates, &state[values(item)], &mut reset[values(item)], self.clip, gate);
                }
                if let Some(recurrent) = &weights.recurrent_hidden {
                    let previous = MatrixRef::row_major(reset, batch, hidden);
                    let (out, added) = (&mut gates[2 * hidden..], &from_input[2 * hidden..]);
                    let added = Epilogue { residual: Some(added), ..Epilogue::default() };
                    gemm(out, row, previous, recurrent, &added, &mut none, threads);
                }
                for item in items() {
                    let gates = &mut gates[item * row..][..row];
                    gates::finish_gru_hidden(gates, &mut state[values(item)], self.clip, inner);
                }
            }
            Kind::Rnn => {
                let previous = MatrixRef::row_major(state, batch, hidden);
                gemm(gates, row, previous, &weights.recurrent, &added, &mut none, threads);
                for item in items() {
                    finish_rnn(&mut gates[item * row..][..row], &mut state[values(item)], self.clip, gate);
                }
            }
        }
    }
}
