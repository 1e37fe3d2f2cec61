use super::*;
use crate::kernels::vector::instruction_sets::on_every_instruction_set;

fn data(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed * 2 + 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// One query at a time in f64, from the formula.
fn oracle(
    attention: &Attention,
    [query, key, value]: [Heads<'_>; 3],
    mask: Option<Mask<'_>>,
    layout: Layout,
) -> Vec<f64> {
    let a = attention;
    let mut out = vec![0.0; a.batch * a.heads * a.queries * a.value_dim];
    for b in 0..a.batch {
        for h in 0..a.heads {
            let kh = h / (a.heads / a.key_heads);
            for i in 0..a.queries {
                let at = |t: Heads<'_>, head: usize, row: usize, d: usize| {
                    f64::from(t.data[b * t.batch_stride + head * t.head_stride + row * t.row_stride + d])
                };
                let seen = a.causal_past.map_or(a.keys, |past| a.keys.min(i + past + 1));
                let scores: Vec<f64> = (0..seen)
                    .map(|j| {
                        let dot: f64 = (0..a.dim).map(|d| at(query, h, i, d) * at(key, kh, j, d)).sum();
                        let score = dot * f64::from(a.scale);
                        let score =
                            a.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh());
                        score
                            + mask.map_or(0.0, |m| {
                                f64::from(
                                    m.data[b * m.batch_stride + h * m.head_stride + i * m.row_stride + j],
                                )
                            })
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                for d in 0..a.value_dim {
                    let total: f64 = scores
                        .iter()
                        .enumerate()
                        .map(|(j, s)| (s - largest).exp() * at(value, kh, j, d))
                        .sum();
                    let place = match layout {
                        Layout::HeadsFirst => ((b * a.heads + h) * a.queries + i) * a.value_dim + d,
                        Layout::RowsFirst => ((b * a.queries + i) * a.heads + h) * a.value_dim + d,
                    };
                    out[place] = total / sum;
                }
            }
        }
    }
    out
}

fn check(a: &Attention, mask_kind: usize, threads: &Threads) {
    let q = data(a.batch * a.heads * a.queries * a.dim, 3);
    let k = data(a.batch * a.key_heads * a.keys * a.dim, 5);
    let v = data(a.batch * a.key_heads * a.keys * a.value_dim, 7);
    let mut full = data(a.batch * a.heads * a.queries * a.keys, 11);
    for (i, value) in full.iter_mut().enumerate() {
        // Never all keys of a query, and with the greatest distance from what floats hold.
        if i % a.keys % 5 == 4 {
            *value = [f32::MIN, f32::NEG_INFINITY][i % 2];
        }
    }
    let mask = match mask_kind {
        0 => None,
        1 => Some(Mask { data: &full, batch_stride: a.keys, head_stride: 0, row_stride: 0 }),
        2 => Some(Mask { data: &full, batch_stride: 0, head_stride: 0, row_stride: a.keys }),
        _ => Some(Mask {
            data: &full,
            batch_stride: a.heads * a.queries * a.keys,
            head_stride: a.queries * a.keys,
            row_stride: a.keys,
        }),
    };
    for layout in [Layout::HeadsFirst, Layout::RowsFirst] {
        let heads = |data, heads, rows, dim| match layout {
            Layout::HeadsFirst => Heads::heads_first(data, heads, rows, dim),
            Layout::RowsFirst => Heads::rows_first(data, heads, rows, dim),
        };
        let [query, key, value] = [
            heads(&q, a.heads, a.queries, a.dim),
            heads(&k, a.key_heads, a.keys, a.dim),
            heads(&v, a.key_heads, a.keys, a.value_dim),
        ];
        let mut out = vec![f32::NAN; a.batch * a.heads * a.queries * a.value_dim];
        a.run(query, key, value, mask, &mut out, layout, threads);
        let exact = oracle(a, [query, key, value], mask, layout);
        for (i, (&ours, exact)) in out.iter().zip(exact).enumerate() {
            assert!(
                (f64::from(ours) - exact).abs() < 2e-5,
                "{a:?} {layout:?} mask {mask_kind} [{i}]: {ours} {exact}"
            );
        }
    }
}

#[test]
fn attention_agrees_with_its_formula() {
    on_every_instruction_set(|| {
        let base = Attention {
            batch: 2,
            heads: 4,
            key_heads: 4,
            queries: 1,
            keys: 1,
            dim: 8,
            value_dim: 8,
            scale: 0.35,
            causal_past: None,
            soft_cap: None,
        };
        let single = Threads::single();
        for (queries, keys) in [(1, 1), (1, 40), (3, 7), (4, 9), (17, 33), (40, 150), (70, 20), (5, 300)] {
            for (dim, value_dim) in [(32, 32), (64, 64), (5, 19), (33, 1), (8, 100)] {
                for mask in 0..4 {
                    check(&Attention { queries, keys, dim, value_dim, ..base }, mask, &single);
                }
                let grouped = Attention {
                    queries,
                    keys,
                    dim,
                    value_dim,
                    heads: 4,
                    key_heads: 2,
                    soft_cap: Some(1.5),
                    ..base
                };
                check(&grouped, 0, &single);
                check(&Attention { causal_past: Some(0), ..grouped }, 0, &single);
                check(&Attention { causal_past: Some(6), key_heads: 1, ..grouped }, 0, &single);
            }
        }
        let two = Threads::new(2).unwrap();
        check(&Attention { queries: 200, keys: 150, dim: 64, value_dim: 64, ..base }, 1, &two);
    });
}

#[test]
fn large_scores_do_not_overflow() {
    on_every_instruction_set(|| {
        let a = Attention {
            batch: 1,
            heads: 1,
            key_heads: 1,
            queries: 20,
            keys: 400,
            dim: 16,
            value_dim: 16,
            scale: 400.0,
            causal_past: None,
            soft_cap: None,
        };
        let q = data(20 * 16, 3);
        let k = data(400 * 16, 5);
        let v = data(400 * 16, 7);
        let [query, key, value] = [
            Heads::heads_first(&q, 1, 20, 16),
            Heads::heads_first(&k, 1, 400, 16),
            Heads::heads_first(&v, 1, 400, 16),
        ];
        let mut out = vec![0.0; 20 * 16];
        a.run(query, key, value, None, &mut out, Layout::HeadsFirst, &Threads::single());
        let exact = oracle(&a, [query, key, value], None, Layout::HeadsFirst);
        for (&ours, exact) in out.iter().zip(exact) {
            assert!((f64::from(ours) - exact).abs() < 2e-3, "{ours} {exact}");
        }
    });
}

#[test]
fn a_query_that_sees_nothing_gets_nan_and_the_others_do_not() {
    on_every_instruction_set(|| {
        for queries in [2, 6, 40] {
            let a = Attention {
                batch: 1,
                heads: 1,
                key_heads: 1,
                queries,
                keys: 300,
                dim: 4,
                value_dim: 4,
                scale: 1.0,
                causal_past: None,
                soft_cap: None,
            };
            let x = data(300 * 4, 3);
            let mut mask = vec![0.0; queries * 300];
            mask[..300].fill(f32::NEG_INFINITY);
            // The second sees the last key only.
            mask[300..599].fill(f32::NEG_INFINITY);
            let rows = Heads::heads_first(&x, 1, 300, 4);
            let mask = Mask { data: &mask, batch_stride: 0, head_stride: 0, row_stride: 300 };
            let mut out = vec![0.0; queries * 4];
            a.run(rows, rows, rows, Some(mask), &mut out, Layout::HeadsFirst, &Threads::single());
            assert!(out[..4].iter().all(|x| x.is_nan()));
            assert!(out[4..8].iter().zip(&x[299 * 4..]).all(|(a, b)| (a - b).abs() < 1e-6));
            assert!(out[4..].iter().all(|x| !x.is_nan()));
        }
    });
}
