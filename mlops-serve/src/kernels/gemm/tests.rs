use super::*;
use crate::kernels::epilogue::Activation;
use crate::kernels::testing::{Random, assert_close, instruction_sets};

/// The product in plain loops and double precision.
fn naive(a: MatrixRef<'_>, b: MatrixRef<'_>, epilogue: &Epilogue<'_>, out_row_stride: usize) -> Vec<f32> {
    let mut out = vec![0.0; a.rows * b.columns];
    for i in 0..a.rows {
        for j in 0..b.columns {
            let mut sum = 0.0f64;
            for p in 0..a.columns {
                sum += f64::from(a.data[i * a.row_stride + p * a.column_stride])
                    * f64::from(b.data[p * b.row_stride + j * b.column_stride]);
            }
            let bias = match epilogue.bias {
                Bias::None => 0.0,
                Bias::PerColumn(bias) => bias[j],
                Bias::PerRow(bias) => bias[i],
            };
            let residual = epilogue.residual.map_or(0.0, |residual| residual[i * out_row_stride + j]);
            let value = &mut out[i * b.columns + j];
            *value = (sum + f64::from(bias) + f64::from(residual)) as f32;
            crate::kernels::math::activate(&epilogue.activation, std::slice::from_mut(value));
        }
    }
    out
}

const ACTIVATIONS: [Activation; 14] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Clip { min: -0.5, max: 1.5 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::HardSigmoid { alpha: 0.2, beta: 0.4 },
    Activation::HardSwish,
    Activation::Elu(0.7),
    Activation::Softplus,
    Activation::Mish,
];

#[test]
fn products_agree_with_plain_loops() {
    let mut random = Random::new(1);
    let threads = Threads::new(3).unwrap();
    let single = Threads::single();
    let mut scratch = Vec::new();
    let sizes = [0, 1, 2, 3, 5, 7, 8, 13, 16, 17, 25, 31, 32, 33, 40, 64, 100];
    let mut shapes: Vec<[usize; 3]> =
        (0..300).map(|_| [0; 3].map(|_| sizes[random.below(sizes.len())])).collect();
    shapes.extend([
        [1, 300, 1000],
        [3, 700, 65],
        [30, 600, 70],
        [130, 513, 129],
        [400, 257, 33],
        [12, 1024, 640],
        [770, 40, 90],
    ]);
    for (case, [m, k, n]) in shapes.into_iter().enumerate() {
        let out_row_stride = n + random.below(3);
        let (a_data, b_data) = (random.values(m * k), random.values(k * n));
        let a = match random.below(2) {
            0 => MatrixRef::row_major(&a_data, m, k),
            _ => MatrixRef::row_major(&a_data, k, m).transposed(),
        };
        let b = match random.below(2) {
            0 => MatrixRef::row_major(&b_data, k, n),
            _ => MatrixRef::row_major(&b_data, n, k).transposed(),
        };
        let bias = random.values(m.max(n));
        let residual = random.values(m * out_row_stride);
        let epilogue = Epilogue {
            bias: [Bias::None, Bias::PerColumn(&bias), Bias::PerRow(&bias)][random.below(3)],
            residual: [None, Some(&residual[..])][random.below(2)],
            activation: ACTIVATIONS[case % ACTIVATIONS.len()],
        };
        let expected = naive(a, b, &epilogue, out_row_stride);
        let sets = instruction_sets();
        let arch = sets[case % sets.len()];
        let packed = PackedB::pack_for(arch, b);
        assert_eq!((packed.rows(), packed.columns()), (k, n));
        for threads in [&single, &threads] {
            for dynamic in [false, true] {
                let mut out = vec![7.0; m * out_row_stride];
                if dynamic {
                    gemm_dynamic_for(arch, &mut out, out_row_stride, a, b, &epilogue, &mut scratch, threads);
                } else {
                    gemm(&mut out, out_row_stride, a, &packed, &epilogue, &mut scratch, threads);
                }
                let mut actual = Vec::new();
                if n > 0 {
                    for row in out.chunks(out_row_stride) {
                        actual.extend_from_slice(&row[..n]);
                        assert!(row[n..].iter().all(|&value| value == 7.0), "wrote between the rows");
                    }
                }
                assert_close(&actual, &expected, 1e-4, &format!("{m}x{k}x{n} {epilogue:?}"));
            }
        }
    }
}

#[test]
fn infinities_and_nan_are_not_skipped() {
    let mut scratch = Vec::new();
    for m in [1, 2, 5, 40] {
        let mut a_data = vec![0.0; m * 3];
        a_data[0] = 1.0;
        let b_data = [1.0, f32::NAN, f32::INFINITY, 2.0, f32::INFINITY, 1.0];
        let b = PackedB::pack(MatrixRef::row_major(&b_data, 3, 2));
        let mut out = vec![0.0; m * 2];
        let epilogue = Epilogue { activation: Activation::Relu, ..Epilogue::default() };
        gemm(
            &mut out,
            2,
            MatrixRef::row_major(&a_data, m, 3),
            &b,
            &epilogue,
            &mut scratch,
            &Threads::single(),
        );
        assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
    }
}
