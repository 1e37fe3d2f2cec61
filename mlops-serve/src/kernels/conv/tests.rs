use super::*;
use crate::kernels::epilogue::Activation;
use crate::kernels::math::activate;
use crate::kernels::testing::{Random, assert_close, instruction_sets};

/// A convolution in plain loops and double precision.
fn naive(
    weights: &[f32],
    out_channels: usize,
    geometry: &Geometry,
    input: &[f32],
    [images, channels, height, width]: [usize; 4],
    epilogue: &Epilogue<'_>,
) -> Vec<f32> {
    let Some([out_height, out_width]) = geometry.output_size([height, width]) else { return Vec::new() };
    let group_in = channels / geometry.groups;
    let group_out = out_channels / geometry.groups;
    let mut out = Vec::new();
    for image in 0..images {
        for channel in 0..out_channels {
            for y in 0..out_height {
                for x in 0..out_width {
                    let mut sum = 0.0f64;
                    for c in 0..group_in {
                        for ky in 0..geometry.kernel[0] {
                            for kx in 0..geometry.kernel[1] {
                                let iy = (y * geometry.strides[0] + ky * geometry.dilations[0])
                                    .wrapping_sub(geometry.pads[0]);
                                let ix = (x * geometry.strides[1] + kx * geometry.dilations[1])
                                    .wrapping_sub(geometry.pads[1]);
                                if iy < height && ix < width {
                                    let c_in = channel / group_out * group_in + c;
                                    let value = input[((image * channels + c_in) * height + iy) * width + ix];
                                    let weight = weights[((channel * group_in + c) * geometry.kernel[0]
                                        + ky)
                                        * geometry.kernel[1]
                                        + kx];
                                    sum += f64::from(value) * f64::from(weight);
                                }
                            }
                        }
                    }
                    if let Bias::PerRow(bias) = epilogue.bias {
                        sum += f64::from(bias[channel]);
                    }
                    if let Some(residual) = epilogue.residual {
                        sum += f64::from(residual[out.len()]);
                    }
                    out.push(sum as f32);
                }
            }
        }
    }
    activate(&epilogue.activation, &mut out);
    out
}

#[derive(Debug)]
struct Case {
    dims: [usize; 4],
    out_channels: usize,
    geometry: Geometry,
}

fn check(case: &Case, random: &mut Random, scratch: &mut Vec<f32>, threads: &[Threads]) {
    let Case { dims, out_channels, geometry } = case;
    let depth = dims[1] / geometry.groups * geometry.kernel[0] * geometry.kernel[1];
    let weights = random.values(out_channels * depth);
    let input = random.values(dims.iter().product());
    let bias = random.values(*out_channels);
    let size = geometry.output_size([dims[2], dims[3]]).map_or(0, |[height, width]| height * width);
    let len = dims[0] * out_channels * size;
    let residual = random.values(len);
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::Clip { min: -0.2, max: 0.3 },
    ];
    let epilogue = Epilogue {
        bias: [Bias::None, Bias::PerRow(&bias)][random.below(2)],
        residual: [None, Some(&residual[..])][random.below(2)],
        activation: activations[random.below(activations.len())],
    };
    let expected = naive(&weights, *out_channels, geometry, &input, *dims, &epilogue);
    let sets = instruction_sets();
    let arch = sets[random.below(sets.len())];
    let convolution = Convolution::new_for(arch, weights.as_slice(), *out_channels, dims[1], *geometry);
    let nd = ConvolutionNd::new(&weights, *out_channels, dims[1], nd_geometry(geometry));
    for threads in threads {
        let mut out = vec![9.0; len];
        convolution.run(&input, *dims, &epilogue, &mut out, scratch, threads);
        assert_close(&out, &expected, 1e-4, &format!("{case:?} {arch:?}"));
        let mut out = vec![9.0; len];
        nd.run(&input, dims, &epilogue, &mut out, scratch, threads);
        assert_close(&out, &expected, 1e-4, &format!("any rank, {case:?}"));
    }
}

fn nd_geometry(geometry: &Geometry) -> GeometryNd {
    GeometryNd {
        groups: geometry.groups,
        kernel: geometry.kernel.to_vec(),
        strides: geometry.strides.to_vec(),
        dilations: geometry.dilations.to_vec(),
        pads_begin: geometry.pads[..2].to_vec(),
        pads_end: geometry.pads[2..].to_vec(),
    }
}

fn all_threads() -> [Threads; 2] {
    [Threads::single(), Threads::new(3).unwrap()]
}

#[test]
fn random_convolutions_agree_with_plain_loops() {
    let mut random = Random::new(5);
    let (threads, mut scratch) = (all_threads(), Vec::new());
    let channels = [1, 2, 3, 5, 8, 12, 16, 20, 33];
    for _ in 0..300 {
        let mut pick = |values: &[usize]| values[random.below(values.len())];
        let groups = pick(&[1, 1, 1, 2, 4]);
        let case = Case {
            dims: [
                pick(&[1, 1, 2, 0]),
                groups * pick(&channels),
                1 + pick(&[0, 1, 2, 5, 6, 9, 13, 20]),
                1 + pick(&[0, 1, 4, 6, 11, 13, 20, 36]),
            ],
            out_channels: groups * pick(&channels),
            geometry: Geometry {
                groups,
                kernel: [pick(&[1, 1, 2, 3, 3, 5, 7]), pick(&[1, 2, 3, 3, 5])],
                strides: [pick(&[1, 1, 2, 3]), pick(&[1, 1, 2, 3, 4])],
                dilations: [pick(&[1, 1, 2]), pick(&[1, 1, 3])],
                pads: [pick(&[0, 1, 2, 4]), pick(&[0, 1, 3]), pick(&[0, 1, 5]), pick(&[0, 1, 2])],
            },
        };
        check(&case, &mut random, &mut scratch, &threads);
    }
}

#[test]
fn winograd_agrees_with_plain_loops() {
    let mut random = Random::new(6);
    let (threads, mut scratch) = (all_threads(), Vec::new());
    let sizes =
        [[4, 4], [7, 7], [8, 9], [5, 30], [9, 9], [14, 14], [10, 71], [13, 22], [28, 28], [33, 40], [12, 65]];
    for size in sizes {
        for channels in [[16, 16], [17, 40], [33, 29]] {
            for pads in [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 2, 1, 0], [3, 0, 0, 5]] {
                let geometry =
                    Geometry { groups: 1, kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads };
                let case =
                    Case { dims: [1, channels[0], size[0], size[1]], out_channels: channels[1], geometry };
                check(&case, &mut random, &mut scratch, &threads);
            }
        }
    }
}

#[test]
fn depthwise_agrees_with_plain_loops() {
    let mut random = Random::new(7);
    let (threads, mut scratch) = (all_threads(), Vec::new());
    for _ in 0..200 {
        let mut pick = |values: &[usize]| values[random.below(values.len())];
        let groups = pick(&[2, 3, 8, 19, 40]);
        let kernel = pick(&[1, 3, 3, 5, 7]);
        let pad = pick(&[0, kernel / 2]);
        let case = Case {
            dims: [pick(&[1, 3]), groups, pick(&[1, 7, 14, 30]), pick(&[5, 7, 16, 28, 35])],
            out_channels: groups * pick(&[1, 1, 2]),
            geometry: Geometry {
                groups,
                kernel: [kernel, kernel],
                strides: [pick(&[1, 2]); 2],
                dilations: [pick(&[1, 1, 2]); 2],
                pads: [pad; 4],
            },
        };
        check(&case, &mut random, &mut scratch, &threads);
    }
}

/// The error of every algorithm, against double precision, in units of the output's scale.
#[test]
fn winograd_error_is_small() {
    let mut random = Random::new(8);
    for (channels, size, step, bound) in [(64, 24, 4, 1e-5), (256, 14, 4, 2e-5), (256, 7, 2, 4e-6)] {
        let geometry =
            Geometry { groups: 1, kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1; 4] };
        let input: Vec<f32> =
            random.values(channels * size * size).iter().map(|value| value.max(0.0)).collect();
        let weights = random.values(16 * channels * 9);
        let dims = [1, channels, size, size];
        let expected = naive(&weights, 16, &geometry, &input, dims, &Epilogue::default());
        let convolution = Convolution::new(weights.as_slice(), 16, channels, geometry);
        let shape = Shape { geometry: &geometry, input: [size, size], output: [size, size] };
        assert_eq!(winograd::tile(&shape, channels, 16), Some(step));
        let mut out = vec![0.0; expected.len()];
        convolution.run(&input, dims, &Epilogue::default(), &mut out, &mut Vec::new(), &Threads::single());
        let scale = (expected.iter().map(|value| value * value).sum::<f32>() / expected.len() as f32).sqrt();
        let error = expected.iter().zip(&out).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale;
        assert!(error < bound, "step {step}, {channels} channels: {error:e}");
    }
}

#[test]
fn transposed_convolutions_agree_with_plain_loops() {
    let mut random = Random::new(9);
    let mut scratch = Vec::new();
    for _ in 0..150 {
        let mut pick = |values: &[usize]| values[random.below(values.len())];
        let groups = pick(&[1, 1, 2]);
        let (images, group_in, group_out) = (pick(&[1, 2]), pick(&[1, 3, 4]), pick(&[1, 2, 5]));
        let size = [pick(&[1, 3, 4]), pick(&[1, 2, 5]), pick(&[1, 4])];
        let mut triple = |values: &[usize]| vec![pick(values), pick(values), pick(values)];
        let geometry = GeometryNd {
            groups,
            kernel: triple(&[1, 2, 3]),
            strides: triple(&[1, 2]),
            dilations: triple(&[1, 2]),
            pads_begin: triple(&[0, 0, 1]),
            pads_end: triple(&[0, 1]),
        };
        let output_padding = triple(&[0, 1]);
        let elements: usize = geometry.kernel.iter().product();
        let weights = random.values(groups * group_in * group_out * elements);
        let bias = random.values(groups * group_out);
        let in_len: usize = size.iter().product();
        let input = random.values(images * groups * group_in * in_len);
        let convolution = ConvolutionTransposed::new(
            &weights,
            groups * group_in,
            groups * group_out,
            geometry.clone(),
            output_padding,
        );
        let Some(out_size) = convolution.output_size(&size) else { continue };
        let out_len: usize = out_size.iter().product();
        let mut expected = Vec::new();
        for image in 0..images {
            for channel in 0..groups * group_out {
                let mut sums = vec![f64::from(bias[channel]); out_len];
                for c in 0..group_in {
                    let c_in = channel / group_out * group_in + c;
                    for position in 0..in_len {
                        let at = [
                            position / (size[1] * size[2]),
                            position / size[2] % size[1],
                            position % size[2],
                        ];
                        for element in 0..elements {
                            let [_, k1, k2] = geometry.kernel[..] else { unreachable!() };
                            let k = [element / (k1 * k2), element / k2 % k1, element % k2];
                            let to: Vec<usize> = (0..3)
                                .map(|axis| {
                                    (at[axis] * geometry.strides[axis] + k[axis] * geometry.dilations[axis])
                                        .wrapping_sub(geometry.pads_begin[axis])
                                })
                                .collect();
                            if to.iter().zip(&out_size).all(|(to, size)| to < size) {
                                let weight =
                                    weights[(c_in * group_out + channel % group_out) * elements + element];
                                let value = input[(image * groups * group_in + c_in) * in_len + position];
                                sums[(to[0] * out_size[1] + to[1]) * out_size[2] + to[2]] +=
                                    f64::from(weight) * f64::from(value);
                            }
                        }
                    }
                }
                expected.extend(sums.iter().map(|&sum| (sum as f32).max(0.0)));
            }
        }
        let epilogue = Epilogue { bias: Bias::PerRow(&bias), residual: None, activation: Activation::Relu };
        let dims = [images, groups * group_in, size[0], size[1], size[2]];
        let mut out = vec![4.0; expected.len()];
        convolution.run(&input, &dims, &epilogue, &mut out, &mut scratch, &Threads::new(2).unwrap());
        assert_close(&out, &expected, 1e-4, &format!("{convolution:?}"));
    }
}
