//! From the sums of a time step to its hidden state, for one item of the batch.

use pulp::{Simd, WithSimd};

use crate::kernels::epilogue::Activation;
use crate::kernels::math::{activate, clip as clip_values, hyperbolic_tangent, logistic};
use crate::kernels::vector::{Vector, dispatch};

/// `gates` holds the sums for input, output, forget and cell gate; `cell` and `state` are updated.
pub(super) fn finish_lstm(
    gates: &mut [f32],
    cell: &mut [f32],
    state: &mut [f32],
    peepholes: Option<&[f32]>,
    input_forget: bool,
    clip: Option<f32>,
    activations: [Activation; 3],
) {
    let defaults = [Activation::Sigmoid, Activation::Tanh, Activation::Tanh];
    if activations == defaults && peepholes.is_none() && clip.is_none() && !input_forget {
        dispatch(FinishLstm { gates, cell, state });
        return;
    }
    let hidden = cell.len();
    let [gate, inner, outer] = activations;
    let (input, rest) = gates.split_at_mut(hidden);
    let (output, rest) = rest.split_at_mut(hidden);
    let (forget, candidate) = rest.split_at_mut(hidden);
    if let Some(peepholes) = peepholes {
        add_product(input, &peepholes[..hidden], cell);
        add_product(forget, &peepholes[2 * hidden..], cell);
    }
    finish_gate(input, clip, gate);
    if input_forget {
        for (forget, &input) in forget.iter_mut().zip(&*input) {
            *forget = 1.0 - input;
        }
    } else {
        finish_gate(forget, clip, gate);
    }
    finish_gate(candidate, clip, inner);
    for (((cell, &forget), &input), &candidate) in cell.iter_mut().zip(&*forget).zip(&*input).zip(&*candidate)
    {
        *cell = forget * *cell + input * candidate;
    }
    if let Some(peepholes) = peepholes {
        add_product(output, &peepholes[hidden..2 * hidden], cell);
    }
    finish_gate(output, clip, gate);
    state.copy_from_slice(cell);
    activate(&outer, state);
    for (state, &output) in state.iter_mut().zip(&*output) {
        *state *= output;
    }
}

/// GRU that multiplies before it resets. `from_input` and `gates` hold the two products for update, reset and hidden gate.
pub(super) fn finish_gru(
    from_input: &[f32],
    gates: &mut [f32],
    state: &mut [f32],
    clip: Option<f32>,
    activations: [Activation; 2],
) {
    if activations == [Activation::Sigmoid, Activation::Tanh] && clip.is_none() {
        dispatch(FinishGru { from_input, gates, state });
        return;
    }
    let hidden = state.len();
    let [gate, inner] = activations;
    for (gate, &from_input) in gates.iter_mut().zip(&from_input[..2 * hidden]) {
        *gate += from_input;
    }
    let (both, candidate) = gates.split_at_mut(2 * hidden);
    finish_gate(both, clip, gate);
    let (_, reset) = both.split_at(hidden);
    for ((candidate, &reset), &from_input) in candidate.iter_mut().zip(reset).zip(&from_input[2 * hidden..]) {
        *candidate = from_input + reset * *candidate;
    }
    finish_gru_hidden(gates, state, clip, inner);
}

/// GRU that resets before it multiplies, first half: `gates` holds the sums for update and reset gate, and `reset` becomes
/// the state that the hidden gate sees.
pub(super) fn finish_gru_reset(
    gates: &mut [f32],
    state: &[f32],
    reset: &mut [f32],
    clip: Option<f32>,
    gate: Activation,
) {
    finish_gate(gates, clip, gate);
    for ((reset, &gate), &state) in reset.iter_mut().zip(&gates[state.len()..]).zip(state) {
        *reset = gate * state;
    }
}

/// The end of a GRU's step: `gates` holds the finished update gate, whatever, and the sum for the hidden gate.
pub(super) fn finish_gru_hidden(gates: &mut [f32], state: &mut [f32], clip: Option<f32>, inner: Activation) {
    let hidden = state.len();
    let (update, rest) = gates.split_at_mut(hidden);
    let candidate = &mut rest[hidden..];
    finish_gate(candidate, clip, inner);
    for ((state, &update), &candidate) in state.iter_mut().zip(&*update).zip(&*candidate) {
        *state = (1.0 - update) * candidate + update * *state;
    }
}

/// `gates` holds the sums.
pub(super) fn finish_rnn(gates: &mut [f32], state: &mut [f32], clip: Option<f32>, activation: Activation) {
    finish_gate(gates, clip, activation);
    state.copy_from_slice(gates);
}

fn finish_gate(sums: &mut [f32], clip: Option<f32>, activation: Activation) {
    if let Some(bound) = clip {
        clip_values(-bound, bound, sums);
    }
    activate(&activation, sums);
}

/// `sums += a b`
fn add_product(sums: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

/// [`finish_lstm`] with the default activations.
struct FinishLstm<'a> {
    gates: &'a [f32],
    cell: &'a mut [f32],
    state: &'a mut [f32],
}

impl WithSimd for FinishLstm<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { gates, cell, state } = self;
        let hidden = cell.len();
        let state = &mut state[..hidden];
        let [input, output, forget, candidate] =
            [0, 1, 2, 3].map(|gate: usize| &gates[gate * hidden..(gate + 1) * hidden]);
        for start in (0..hidden).step_by(Vector::<S>::LANES) {
            let end = (start + Vector::<S>::LANES).min(hidden);
            let load = |gate: &[f32]| Vector::load(simd, &gate[start..end]);
            let kept = logistic(load(forget)) * Vector::load(simd, &cell[start..end]);
            let value = logistic(load(input)).mul_add(hyperbolic_tangent(load(candidate)), kept);
            value.store(&mut cell[start..end]);
            (logistic(load(output)) * hyperbolic_tangent(value)).store(&mut state[start..end]);
        }
    }
}

/// [`finish_gru`] with the default activations.
struct FinishGru<'a> {
    from_input: &'a [f32],
    gates: &'a [f32],
    state: &'a mut [f32],
}

impl WithSimd for FinishGru<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { from_input, gates, state } = self;
        let hidden = state.len();
        let part = |all: &'_ [f32], gate: usize, start: usize, end: usize| {
            Vector::load(simd, &all[gate * hidden + start..gate * hidden + end])
        };
        for start in (0..hidden).step_by(Vector::<S>::LANES) {
            let end = (start + Vector::<S>::LANES).min(hidden);
            let update = logistic(part(from_input, 0, start, end) + part(gates, 0, start, end));
            let reset = logistic(part(from_input, 1, start, end) + part(gates, 1, start, end));
            let sum = reset.mul_add(part(gates, 2, start, end), part(from_input, 2, start, end));
            let candidate = hyperbolic_tangent(sum);
            let state = &mut state[start..end];
            // (1 - z) h' + z h = h' + z (h - h')
            let previous = Vector::load(simd, state);
            update.mul_add(previous - candidate, candidate).store(state);
        }
    }
}
