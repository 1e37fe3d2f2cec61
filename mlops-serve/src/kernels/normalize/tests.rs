use super::*;
use crate::kernels::vector::instruction_sets::on_every_instruction_set;

fn data(length: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / 8_388_608.0 - 1.0) * scale
        })
        .collect()
}

fn assert_close(ours: &[f32], exact: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), exact.len());
    for (i, (&ours, &exact)) in ours.iter().zip(exact).enumerate() {
        let distance = (f64::from(ours) - exact).abs();
        assert!(distance <= tolerance * (1.0 + exact.abs()), "{what}[{i}]: {ours} is not {exact}");
    }
}

fn softmax_exact(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
    row.iter().map(|x| (x - largest).exp() / sum).collect()
}

fn normal_exact(row: &[f64], epsilon: f64, centred: bool) -> Vec<f64> {
    let count = row.len() as f64;
    let mean = if centred { row.iter().sum::<f64>() / count } else { 0.0 };
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    row.iter().map(|x| (x - mean) / (variance + epsilon).sqrt()).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

const COLUMNS: [usize; 10] = [1, 2, 3, 7, 16, 17, 31, 64, 100, 257];

#[test]
fn softmax_agrees_with_f64() {
    on_every_instruction_set(|| {
        for columns in COLUMNS {
            for scale in [1.0, 30.0, 1e4] {
                let x = data(5 * columns, scale);
                let mask = data(columns, 3.0);
                let (mut plain, mut masked, mut logarithm) = (x.clone(), x.clone(), x.clone());
                softmax_rows(&mut plain, columns);
                softmax_rows_masked(&mut masked, columns, 0.125, &mask);
                log_softmax_rows(&mut logarithm, columns);
                for row in 0..5 {
                    let place = row * columns..(row + 1) * columns;
                    let exact = softmax_exact(&wide(&x[place.clone()]));
                    assert_close(&plain[place.clone()], &exact, 1e-6, "softmax");
                    let largest = wide(&x[place.clone()]).into_iter().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = wide(&x[place.clone()]).iter().map(|x| (x - largest).exp()).sum();
                    let logs: Vec<f64> =
                        wide(&x[place.clone()]).iter().map(|x| x - largest - sum.ln()).collect();
                    assert_close(&logarithm[place.clone()], &logs, 2e-6, "log softmax");
                    let input: Vec<f64> =
                        x[place.clone()].iter().zip(&mask).map(|(&x, &m)| f64::from(x * 0.125 + m)).collect();
                    assert_close(
                        &masked[place],
                        &softmax_exact(&input),
                        5e-5 * f64::from(scale.max(1.0)).min(2.0),
                        "masked",
                    );
                }
            }
        }
    });
}

#[test]
fn softmax_follows_ieee_at_the_edges() {
    on_every_instruction_set(|| {
        let mut row = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        softmax_rows(&mut row, 3);
        assert_eq!(row, [0.0, 1.0, 0.0]);
        let mut nothing = [f32::NEG_INFINITY; 3];
        softmax_rows(&mut nothing, 3);
        assert!(nothing.iter().all(|x| x.is_nan()));
        let mut row = [1.0, f32::NAN, 2.0, 3.0];
        softmax_rows(&mut row, 4);
        assert!(row.iter().all(|x| x.is_nan()));
        let mut row = [f32::MIN, f32::MAX];
        softmax_rows(&mut row, 2);
        assert_eq!(row, [0.0, 1.0]);
    });
}

#[test]
fn softmax_along_a_middle_axis_agrees_with_rows() {
    on_every_instruction_set(|| {
        for (outer, axis, inner) in [(2, 5, 3), (1, 7, 16), (3, 1, 40), (2, 21, 33)] {
            let x = data(outer * axis * inner, 5.0);
            let (mut plain, mut logarithm) = (x.clone(), x.clone());
            softmax_axis(&mut plain, axis, inner);
            log_softmax_axis(&mut logarithm, axis, inner);
            for o in 0..outer {
                for i in 0..inner {
                    let at = |a: usize| (o * axis + a) * inner + i;
                    let column: Vec<f64> = (0..axis).map(|a| f64::from(x[at(a)])).collect();
                    let exact = softmax_exact(&column);
                    let ours: Vec<f32> = (0..axis).map(|a| plain[at(a)]).collect();
                    assert_close(&ours, &exact, 1e-6, "softmax axis");
                    let ours: Vec<f32> = (0..axis).map(|a| logarithm[at(a)]).collect();
                    let exact: Vec<f64> = exact.iter().map(|x| x.ln()).collect();
                    assert_close(&ours, &exact, 2e-6, "log softmax axis");
                }
            }
        }
    });
}

#[test]
fn row_normalisations_agree_with_f64() {
    on_every_instruction_set(|| {
        for columns in COLUMNS {
            let mut x = data(4 * columns, 2.0);
            for value in &mut x {
                *value += 100.0;
            }
            let residual = data(4 * columns, 1.0);
            let (gamma, beta, bias) = (data(columns, 1.5), data(columns, 0.5), data(columns, 0.7));
            let mut out = vec![f32::NAN; x.len()];
            layer_norm_rows(&x, columns, &gamma, Some(&beta), 1e-5, &mut out);
            let mut plain = vec![f32::NAN; x.len()];
            layer_norm_rows(&x, columns, &gamma, None, 1e-5, &mut plain);
            let mut root = vec![f32::NAN; x.len()];
            rms_norm_rows(&x, columns, &gamma, 1e-5, &mut root);
            let mut fused = vec![f32::NAN; x.len()];
            let mut sum = vec![f32::NAN; x.len()];
            residual_layer_norm_rows(
                &x,
                &residual,
                Some(&bias),
                columns,
                &gamma,
                Some(&beta),
                1e-5,
                Some(&mut sum),
                &mut fused,
            );
            let mut without_sum = vec![f32::NAN; x.len()];
            residual_layer_norm_rows(
                &x,
                &residual,
                Some(&bias),
                columns,
                &gamma,
                Some(&beta),
                1e-5,
                None,
                &mut without_sum,
            );
            assert_eq!(fused, without_sum);
            for row in 0..4 {
                let place = row * columns..(row + 1) * columns;
                let affine = |normal: &[f64], beta: Option<&[f32]>| -> Vec<f64> {
                    normal
                        .iter()
                        .enumerate()
                        .map(|(i, x)| x * f64::from(gamma[i]) + beta.map_or(0.0, |beta| f64::from(beta[i])))
                        .collect()
                };
                let exact = normal_exact(&wide(&x[place.clone()]), 1e-5, true);
                // One column has a variance of zero: rounding of the mean shows divided by sqrt(epsilon).
                assert_close(&out[place.clone()], &affine(&exact, Some(&beta)), 1e-4, "layer norm");
                assert_close(&plain[place.clone()], &affine(&exact, None), 1e-4, "layer norm without beta");
                let exact = normal_exact(&wide(&x[place.clone()]), 1e-5, false);
                assert_close(&root[place.clone()], &affine(&exact, None), 1e-6, "rms norm");
                let sums: Vec<f32> =
                    (0..columns).map(|i| x[place.start + i] + residual[place.start + i] + bias[i]).collect();
                assert_eq!(&sum[place.clone()], &sums);
                let exact = normal_exact(&wide(&sums), 1e-5, true);
                assert_close(&fused[place], &affine(&exact, Some(&beta)), 1e-4, "residual layer norm");
            }
        }
    });
}

#[test]
fn group_and_batch_norm_agree_with_f64() {
    on_every_instruction_set(|| {
        for (channels, inner, groups) in [(6, 10, 3), (4, 49, 4), (8, 1, 2), (5, 33, 1)] {
            let x = data(2 * channels * inner, 3.0);
            let (gamma, beta) = (data(channels, 1.0), data(channels, 2.0));
            let mut out = vec![f32::NAN; x.len()];
            group_norm(&x, channels, inner, groups, &gamma, &beta, 1e-3, &mut out);
            let length = channels / groups * inner;
            for (block, (x, out)) in x.chunks(length).zip(out.chunks(length)).enumerate() {
                let exact: Vec<f64> = normal_exact(&wide(x), 1e-3, true)
                    .into_iter()
                    .enumerate()
                    .map(|(i, x)| {
                        let channel = block % groups * (channels / groups) + i / inner;
                        x * f64::from(gamma[channel]) + f64::from(beta[channel])
                    })
                    .collect();
                assert_close(out, &exact, 1e-5, "group norm");
            }

            let (mean, variance): (Vec<f32>, Vec<f32>) =
                (data(channels, 1.0), data(channels, 1.0).iter().map(|x| x * x + 0.1).collect());
            let (scale, shift) = fold_batch_norm(&gamma, &beta, &mean, &variance, 1e-5);
            scale_shift_channels(&x, inner, &scale, &shift, &mut out);
            for (i, (&ours, &x)) in out.iter().zip(&x).enumerate() {
                let c = i / inner % channels;
                let exact = (f64::from(x) - f64::from(mean[c])) / (f64::from(variance[c]) + 1e-5).sqrt()
                    * f64::from(gamma[c])
                    + f64::from(beta[c]);
                assert!((f64::from(ours) - exact).abs() < 1e-5 * (1.0 + exact.abs()));
            }
        }
    });
}
