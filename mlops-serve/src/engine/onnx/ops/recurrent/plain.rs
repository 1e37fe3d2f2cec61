//! Recurrent layers in double precision, by the equations of the specification.

use super::activations::Gate;
use super::cell::Kind;

/// A layer. Weights of gates lie in the order of the specification: input, output, forget, cell; update, reset, hidden.
pub(super) struct Plain<'a> {
    pub(super) kind: Kind,
    pub(super) input: usize,
    pub(super) hidden: usize,
    pub(super) clip: Option<f64>,
    /// `[directions, gates hidden, input]`
    pub(super) weights: Vec<f64>,
    /// `[directions, gates hidden, hidden]`
    pub(super) recurrent: Vec<f64>,
    /// `[directions, 2 gates hidden]`
    pub(super) bias: Option<Vec<f64>>,
    /// `[directions, 3 hidden]`
    pub(super) peepholes: Option<Vec<f64>>,
    /// As many for each direction.
    pub(super) gates: &'a [Gate],
}

/// Sequences, and what becomes of them.
pub(super) struct Run<'a> {
    /// `[steps, batch, input]`
    pub(super) x: Vec<f64>,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) directions: usize,
    pub(super) reverse_first: bool,
    pub(super) lengths: Option<&'a [usize]>,
    /// `[steps, directions, batch, hidden]`, zero at first.
    pub(super) outputs: Vec<f64>,
    /// `[directions, batch, hidden]`: the initial state, then the last one.
    pub(super) hidden: Vec<f64>,
    pub(super) cell: Vec<f64>,
}

impl Plain<'_> {
    pub(super) fn run(&self, run: &mut Run<'_>) {
        for direction in 0..run.directions {
            let reverse = run.reverse_first || direction == 1;
            for item in 0..run.batch {
                let length = run.lengths.map_or(run.steps, |lengths| lengths[item]);
                for step in 0..length {
                    let time = if reverse { length - 1 - step } else { step };
                    let x = &run.x[(time * run.batch + item) * self.input..][..self.input];
                    let state = (direction * run.batch + item) * self.hidden;
                    let hidden = &mut run.hidden[state..][..self.hidden];
                    let cell = &mut run.cell[state..][..self.hidden];
                    self.step(direction, x, hidden, cell);
                    let place = (time * run.directions + direction) * run.batch + item;
                    run.outputs[place * self.hidden..][..self.hidden].copy_from_slice(hidden);
                }
            }
        }
    }

    fn step(&self, direction: usize, x: &[f64], hidden: &mut [f64], cell: &mut [f64]) {
        let (size, rows) = (self.hidden, self.kind.gates() * self.hidden);
        let gates = &self.gates[direction * self.gates.len() / self.directions_of_gates()..];
        let weights = &self.weights[direction * rows * self.input..][..rows * self.input];
        let recurrent = &self.recurrent[direction * rows * size..][..rows * size];
        let bias = |row: usize| self.bias.as_ref().map_or(0.0, |bias| bias[direction * 2 * rows + row]);
        let from_input = |row: usize| dot(&weights[row * self.input..], x) + bias(row);
        let from_state = |row: usize, state: &[f64]| dot(&recurrent[row * size..], state) + bias(rows + row);
        let clip = |value: f64| self.clip.map_or(value, |clip| value.clamp(-clip.abs(), clip.abs()));
        let previous = hidden.to_vec();
        match self.kind {
            Kind::Rnn => {
                for (unit, hidden) in hidden.iter_mut().enumerate() {
                    *hidden = gates[0].of(clip(from_input(unit) + from_state(unit, &previous)));
                }
            }
            Kind::Gru { linear_before_reset } => {
                let sum = |row: usize| from_input(row) + from_state(row, &previous);
                let reset: Vec<f64> = (0..size).map(|unit| gates[0].of(clip(sum(size + unit)))).collect();
                let gated: Vec<f64> =
                    reset.iter().zip(&previous).map(|(reset, state)| reset * state).collect();
                for (unit, hidden) in hidden.iter_mut().enumerate() {
                    let update = gates[0].of(clip(sum(unit)));
                    let row = 2 * size + unit;
                    let candidate = from_input(row)
                        + if linear_before_reset {
                            reset[unit] * from_state(row, &previous)
                        } else {
                            from_state(row, &gated)
                        };
                    *hidden = (1.0 - update) * gates[1].of(clip(candidate)) + update * previous[unit];
                }
            }
            Kind::Lstm { input_forget } => {
                for unit in 0..size {
                    let peephole = |gate: usize, cell: f64| {
                        let weights = self.peepholes.as_ref();
                        weights.map_or(0.0, |weights| weights[(direction * 3 + gate) * size + unit] * cell)
                    };
                    let sum = |gate: usize| {
                        from_input(gate * size + unit) + from_state(gate * size + unit, &previous)
                    };
                    let before = cell[unit];
                    let input = gates[0].of(clip(sum(0) + peephole(0, before)));
                    let forget = if input_forget {
                        1.0 - input
                    } else {
                        gates[0].of(clip(sum(2) + peephole(2, before)))
                    };
                    let after = forget * before + input * gates[1].of(clip(sum(3)));
                    let output = gates[0].of(clip(sum(1) + peephole(1, after)));
                    cell[unit] = after;
                    hidden[unit] = output * gates[2].of(after);
                }
            }
        }
    }

    /// For how many directions there are functions of gates.
    fn directions_of_gates(&self) -> usize {
        let each = match self.kind {
            Kind::Lstm { .. } => 3,
            Kind::Gru { .. } => 2,
            Kind::Rnn => 1,
        };
        self.gates.len() / each
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
