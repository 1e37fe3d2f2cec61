use super::*;
use crate::kernels::vector::instruction_sets::on_every_instruction_set;

fn data(length: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut state = seed * 2 + 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / 8_388_608.0 - 1.0) * scale
        })
        .collect()
}

fn apply(activation: Activation, clip: Option<f32>, x: f64) -> f64 {
    let x = clip.map_or(x, |clip| x.clamp(-f64::from(clip), f64::from(clip)));
    match activation {
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(alpha) if x < 0.0 => f64::from(alpha) * x,
        Activation::LeakyRelu(_) | Activation::None => x,
        other => panic!("the oracle does not know {other:?}"),
    }
}

/// The operators' formulas, one value at a time in f64: outputs, last hidden, last cell.
#[allow(clippy::needless_range_loop)] // as the formulas have it
fn oracle(spec: &RecurrentSpec<'_>, input: &RecurrentInput<'_>) -> [Vec<f64>; 3] {
    let (h, n, gates) = (spec.hidden_size, spec.input_size, spec.cell.gates());
    let count = if spec.direction == Direction::Bidirectional { 2 } else { 1 };
    let mut y = vec![0.0; input.steps * count * input.batch * h];
    let (mut last_h, mut last_c) = (vec![0.0; count * input.batch * h], vec![0.0; count * input.batch * h]);
    for d in 0..count {
        let reverse = d == 1 || spec.direction == Direction::Reverse;
        let per = spec.cell.activations();
        let f: Vec<Activation> = if spec.activations.is_empty() {
            [Activation::Sigmoid, Activation::Tanh, Activation::Tanh][usize::from(per == 1)..].to_vec()
        } else {
            spec.activations[d * per..(d + 1) * per].to_vec()
        };
        let w = |g: usize, i: usize, k: usize| f64::from(spec.weights[((d * gates + g) * h + i) * n + k]);
        let r = |g: usize, i: usize, k: usize| {
            f64::from(spec.recurrent_weights[((d * gates + g) * h + i) * h + k])
        };
        let b = |half: usize, g: usize, i: usize| {
            spec.bias.map_or(0.0, |bias| f64::from(bias[(d * 2 * gates + half * gates + g) * h + i]))
        };
        for item in 0..input.batch {
            let at = |all: Option<&[f32]>, i: usize| {
                all.map_or(0.0, |all| f64::from(all[(d * input.batch + item) * h + i]))
            };
            let mut state: Vec<f64> = (0..h).map(|i| at(input.initial_hidden, i)).collect();
            let mut cell: Vec<f64> = (0..h).map(|i| at(input.initial_cell, i)).collect();
            let length = input.lengths.map_or(input.steps, |lengths| lengths[item]);
            for step in 0..length {
                let t = if reverse { length - 1 - step } else { step };
                let x = |g: usize, i: usize| -> f64 {
                    let x = &input.x[(t * input.batch + item) * n..][..n];
                    b(0, g, i) + (0..n).map(|k| w(g, i, k) * f64::from(x[k])).sum::<f64>()
                };
                let past = |g: usize, i: usize, state: &[f64]| -> f64 {
                    b(1, g, i) + (0..h).map(|k| r(g, i, k) * state[k]).sum::<f64>()
                };
                let act = |which: usize, value: f64| apply(f[which], spec.clip, value);
                let before = state.clone();
                match spec.cell {
                    Cell::Lstm { peepholes, input_forget } => {
                        let p =
                            |g: usize, i: usize| peepholes.map_or(0.0, |p| f64::from(p[(d * 3 + g) * h + i]));
                        for (i, state) in state.iter_mut().enumerate() {
                            let input_gate = act(0, x(0, i) + past(0, i, &before) + p(0, i) * cell[i]);
                            let forget = if input_forget {
                                1.0 - input_gate
                            } else {
                                act(0, x(2, i) + past(2, i, &before) + p(2, i) * cell[i])
                            };
                            cell[i] = forget * cell[i] + input_gate * act(1, x(3, i) + past(3, i, &before));
                            let output = act(0, x(1, i) + past(1, i, &before) + p(1, i) * cell[i]);
                            *state = output * apply(f[2], None, cell[i]);
                        }
                    }
                    Cell::Gru { linear_before_reset } => {
                        let z: Vec<f64> = (0..h).map(|i| act(0, x(0, i) + past(0, i, &before))).collect();
                        let reset: Vec<f64> = (0..h).map(|i| act(0, x(1, i) + past(1, i, &before))).collect();
                        let product: Vec<f64> = (0..h).map(|i| reset[i] * before[i]).collect();
                        for i in 0..h {
                            let sum = if linear_before_reset {
                                x(2, i) + reset[i] * past(2, i, &before)
                            } else {
                                x(2, i) + past(2, i, &product)
                            };
                            state[i] = (1.0 - z[i]) * act(1, sum) + z[i] * before[i];
                        }
                    }
                    Cell::Rnn => {
                        for i in 0..h {
                            state[i] = act(0, x(0, i) + past(0, i, &before));
                        }
                    }
                }
                let place = ((t * count + d) * input.batch + item) * h;
                y[place..place + h].copy_from_slice(&state);
            }
            if length == 0 {
                state.fill(0.0);
                cell.fill(0.0);
            }
            let place = (d * input.batch + item) * h;
            last_h[place..place + h].copy_from_slice(&state);
            last_c[place..place + h].copy_from_slice(&cell);
        }
    }
    [y, last_h, last_c]
}

#[test]
fn every_cell_and_option_agrees_with_its_formula() {
    on_every_instruction_set(|| {
        let single = Threads::single();
        let mut scratch = Vec::new();
        let mut checked = 0;
        for (hidden, inputs, steps, batch) in [(1, 1, 1, 1), (5, 3, 4, 2), (16, 8, 6, 1), (33, 20, 7, 3)] {
            for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
                for options in 0..64_usize {
                    let count = if direction == Direction::Bidirectional { 2 } else { 1 };
                    let peepholes = data(count * 3 * hidden, 50, 0.5);
                    let on = |bit: usize| options >> bit & 1 == 1;
                    for kind in 0..5 {
                        let cell = match kind {
                            0 => Cell::Lstm {
                                peepholes: on(0).then_some(peepholes.as_slice()),
                                input_forget: false,
                            },
                            1 => Cell::Lstm {
                                peepholes: on(0).then_some(peepholes.as_slice()),
                                input_forget: true,
                            },
                            2 => Cell::Gru { linear_before_reset: false },
                            3 => Cell::Gru { linear_before_reset: true },
                            _ => Cell::Rnn,
                        };
                        let gates = cell.gates();
                        let weights = data(count * gates * hidden * inputs, 51, 1.0 / (inputs as f32).sqrt());
                        let recurrent_weights =
                            data(count * gates * hidden * hidden, 52, 0.7 / (hidden as f32).sqrt());
                        let bias = data(count * 2 * gates * hidden, 53, 0.4);
                        let others = [
                            Activation::Sigmoid,
                            Activation::LeakyRelu(0.1),
                            Activation::Tanh,
                            Activation::Relu,
                        ];
                        let activations = if on(1) {
                            (0..count * cell.activations()).map(|i| others[i % 4]).collect()
                        } else {
                            Vec::new()
                        };
                        let spec = RecurrentSpec {
                            cell,
                            direction,
                            input_size: inputs,
                            hidden_size: hidden,
                            weights: &weights,
                            recurrent_weights: &recurrent_weights,
                            bias: on(2).then_some(bias.as_slice()),
                            activations,
                            clip: on(3).then_some(0.3),
                        };
                        let x = data(steps * batch * inputs, 54, 1.0);
                        let lengths: Vec<usize> = (0..batch)
                            .map(|item| (steps + 1).saturating_sub(4 * item))
                            .map(|l| l.min(steps))
                            .collect();
                        let state = count * batch * hidden;
                        let (initial_hidden, initial_cell) = (data(state, 55, 1.0), data(state, 56, 1.0));
                        let input = RecurrentInput {
                            x: &x,
                            steps,
                            batch,
                            lengths: on(4).then_some(lengths.as_slice()),
                            initial_hidden: on(5).then_some(initial_hidden.as_slice()),
                            initial_cell: on(5).then_some(initial_cell.as_slice()),
                        };
                        let mut ours =
                            [vec![f32::NAN; steps * state], vec![f32::NAN; state], vec![f32::NAN; state]];
                        let [hidden_out, last_hidden, last_cell] = &mut ours;
                        let output = RecurrentOutput {
                            hidden: Some(hidden_out),
                            last_hidden: Some(last_hidden),
                            last_cell: Some(last_cell),
                        };
                        let layer = Recurrent::new(&spec).unwrap();
                        layer.run(&input, output, &mut scratch, &single).unwrap();
                        let exact = oracle(&spec, &input);
                        for (which, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
                            for (i, (&ours, &exact)) in ours.iter().zip(exact).enumerate() {
                                let close = (f64::from(ours) - exact).abs() < 2e-5 * (1.0 + exact.abs());
                                assert!(
                                    close,
                                    "{cell:?} {direction:?} {options:b} output {which} [{i}]: {ours} {exact}"
                                );
                            }
                        }
                        checked += 1;
                    }
                }
            }
        }
        assert_eq!(checked, 4 * 3 * 64 * 5);
    });
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    on_every_instruction_set(|| {
        let zeros = vec![0.0; 1000];
        let spec = RecurrentSpec {
            cell: Cell::Gru { linear_before_reset: true },
            direction: Direction::Forward,
            input_size: 2,
            hidden_size: 3,
            weights: &zeros[..18],
            recurrent_weights: &zeros[..27],
            bias: Some(&zeros[..18]),
            activations: Vec::new(),
            clip: None,
        };
        let layer = Recurrent::new(&spec).unwrap();
        assert!(
            Recurrent::new(&RecurrentSpec { weights: &zeros[..17], ..spec.clone() })
                .unwrap_err()
                .contains("17 weights")
        );
        assert!(Recurrent::new(&RecurrentSpec { recurrent_weights: &zeros[..9], ..spec.clone() }).is_err());
        assert!(Recurrent::new(&RecurrentSpec { bias: Some(&zeros[..9]), ..spec.clone() }).is_err());
        assert!(
            Recurrent::new(&RecurrentSpec { activations: vec![Activation::Tanh], ..spec.clone() }).is_err()
        );
        let input = RecurrentInput {
            x: &zeros[..8],
            steps: 2,
            batch: 2,
            lengths: None,
            initial_hidden: None,
            initial_cell: None,
        };
        let run = |input: RecurrentInput<'_>, hidden: usize| {
            let mut out = vec![0.0; hidden];
            let output = RecurrentOutput { hidden: Some(&mut out), last_hidden: None, last_cell: None };
            layer.run(&input, output, &mut Vec::new(), &Threads::single())
        };
        assert!(run(input, 12).is_ok());
        assert!(run(input, 11).is_err());
        assert!(run(RecurrentInput { x: &zeros[..7], ..input }, 12).is_err());
        assert!(
            run(RecurrentInput { lengths: Some(&[1, 3]), ..input }, 12).unwrap_err().contains("length 3")
        );
        assert!(run(RecurrentInput { initial_hidden: Some(&zeros[..5]), ..input }, 12).is_err());
    });
}

/// So many products with the input that they are computed piece by piece.
#[test]
fn long_sequences_give_the_same_as_all_at_once() {
    let (hidden, inputs, steps, batch) = (33, 5, 11, 150);
    assert!(4 * hidden * batch * steps > 2 * AHEAD);
    let x = data(steps * batch * inputs, 1, 1.0);
    let (weights, recurrent_weights) = (data(8 * hidden * inputs, 2, 0.4), data(8 * hidden * hidden, 3, 0.4));
    for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
        let count = if direction == Direction::Bidirectional { 2 } else { 1 };
        let spec = RecurrentSpec {
            cell: Cell::Lstm { peepholes: None, input_forget: false },
            direction,
            input_size: inputs,
            hidden_size: hidden,
            weights: &weights[..count * 4 * hidden * inputs],
            recurrent_weights: &recurrent_weights[..count * 4 * hidden * hidden],
            bias: None,
            activations: Vec::new(),
            clip: None,
        };
        let layer = Recurrent::new(&spec).unwrap();
        let all = vec![steps; batch];
        let run = |lengths| {
            let input =
                RecurrentInput { x: &x, steps, batch, lengths, initial_hidden: None, initial_cell: None };
            let mut hidden_out = vec![f32::NAN; steps * count * batch * hidden];
            let output =
                RecurrentOutput { hidden: Some(&mut hidden_out), last_hidden: None, last_cell: None };
            layer.run(&input, output, &mut Vec::new(), &Threads::single()).unwrap();
            hidden_out
        };
        assert_eq!(run(None), run(Some(all.as_slice())), "{direction:?}");
    }
}
