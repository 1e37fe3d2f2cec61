use super::*;
use crate::kernels::conv::{Convolution, Geometry};
use crate::kernels::epilogue::{Activation, Bias, Epilogue};
use crate::kernels::testing::{Random, assert_close, instruction_sets};

fn all_threads() -> [Threads; 2] {
    [Threads::single(), Threads::new(3).unwrap()]
}

fn blocked(input: &[f32], images: usize, channels: usize, pixels: usize) -> Vec<f32> {
    let mut out = vec![7.0; images * channels.next_multiple_of(BLOCK) * pixels];
    to_blocks(input, channels, pixels, &mut out, &Threads::single());
    out
}

fn plain(input: &[f32], images: usize, channels: usize, pixels: usize) -> Vec<f32> {
    let mut out = vec![7.0; images * channels * pixels];
    from_blocks(input, channels, pixels, &mut out, &Threads::single());
    out
}

#[test]
fn blocks_hold_channels_side_by_side() {
    let mut random = Random::new(1);
    for (images, channels, pixels) in
        [(1, 16, 16), (2, 24, 49), (3, 5, 7), (1, 33, 1), (2, 48, 130), (1, 16, 0)]
    {
        let input = random.values(images * channels * pixels);
        let blocks = blocked(&input, images, channels, pixels);
        let each = channels.next_multiple_of(BLOCK);
        for (index, value) in blocks.iter().enumerate() {
            let (image, within) = (index / (each * pixels), index % (each * pixels));
            let channel = within / (pixels * BLOCK) * BLOCK + within % BLOCK;
            let pixel = within / BLOCK % pixels;
            let expected =
                if channel < channels { input[(image * channels + channel) * pixels + pixel] } else { 0.0 };
            assert_eq!(*value, expected, "channel {channel} of {channels}, pixel {pixel} of {pixels}");
        }
        assert_eq!(plain(&blocks, images, channels, pixels), input);
    }
}

#[test]
fn means_are_over_pixels() {
    let mut random = Random::new(2);
    for (images, channels, pixels) in [(1, 16, 1), (2, 40, 49), (1, 3, 6)] {
        let input = random.values(images * channels * pixels);
        let mut out = vec![7.0; images * channels.next_multiple_of(BLOCK)];
        means(&blocked(&input, images, channels, pixels), pixels, &mut out, &Threads::single());
        let expected: Vec<f32> =
            input.chunks_exact(pixels).map(|channel| channel.iter().sum::<f32>() / pixels as f32).collect();
        assert_close(&plain(&out, images, channels, 1), &expected, 1e-5, &format!("{pixels} pixels"));
    }
}

#[test]
fn pointwise_agrees_with_the_plain_layout() {
    let mut random = Random::new(3);
    let (threads, mut scratch) = (all_threads(), Vec::new());
    for round in 0..120 {
        let mut pick = |values: &[usize]| values[random.below(values.len())];
        let (images, size) = (pick(&[1, 2]), [pick(&[1, 3, 7, 14]), pick(&[1, 2, 7, 13, 28])]);
        let (inputs, outputs) = (pick(&[1, 16, 24, 96, 300, 530]), pick(&[3, 16, 20, 32, 47, 96]));
        let pixels = size[0] * size[1];
        let input = random.values(images * inputs * pixels);
        let (weights, bias) = (random.values(inputs * outputs), random.values(outputs));
        let residual = Some(random.values(images * outputs * pixels)).filter(|_| round % 3 == 0);
        let activation = [Activation::None, Activation::Relu, Activation::Silu][random.below(3)];
        let geometry =
            Geometry { groups: 1, kernel: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0; 4] };
        let epilogue = Epilogue { bias: Bias::PerRow(&bias), residual: residual.as_deref(), activation };
        let mut expected = vec![0.0; images * outputs * pixels];
        let dims = [images, inputs, size[0], size[1]];
        Convolution::new(weights.as_slice(), outputs, inputs, geometry).run(
            &input,
            dims,
            &epilogue,
            &mut expected,
            &mut scratch,
            &threads[0],
        );
        let input = blocked(&input, images, inputs, pixels);
        let residual = residual.map(|residual| blocked(&residual, images, outputs, pixels));
        for arch in instruction_sets() {
            let pointwise = Pointwise::new_for(arch, &weights, Some(&bias), outputs, inputs);
            for threads in &threads {
                let mut out = vec![7.0; images * pointwise.out_blocks() * pixels * BLOCK];
                pointwise.run(&input, pixels, residual.as_deref(), activation, &mut out, threads);
                let what = format!("{dims:?} to {outputs}, {arch:?}");
                assert_close(&plain(&out, images, outputs, pixels), &expected, 1e-4, &what);
            }
        }
    }
}

#[test]
fn depthwise_agrees_with_the_plain_layout() {
    let mut random = Random::new(4);
    let (threads, mut scratch) = (all_threads(), Vec::new());
    for round in 0..200 {
        let mut pick = |values: &[usize]| values[random.below(values.len())];
        let (images, channels) = (pick(&[1, 2]), pick(&[2, 16, 24, 70]));
        let size = [pick(&[1, 3, 7, 14]), pick(&[1, 2, 7, 13, 28])];
        let mut pair =
            |values: &[usize]| [values[random.below(values.len())], values[random.below(values.len())]];
        let ([top, left], [bottom, right]) = (pair(&[0, 1, 2]), pair(&[0, 1, 3]));
        let geometry = Geometry {
            groups: channels,
            kernel: pair(&[1, 3, 3, 5]),
            strides: pair(&[1, 1, 2, 3]),
            dilations: pair(&[1, 1, 2]),
            pads: [top, left, bottom, right],
        };
        let Some(out_size) = geometry.output_size(size) else { continue };
        let (pixels_in, pixels_out) = (size[0] * size[1], out_size[0] * out_size[1]);
        let input = random.values(images * channels * pixels_in);
        let weights = random.values(channels * geometry.kernel[0] * geometry.kernel[1]);
        let bias = random.values(channels);
        let residual = Some(random.values(images * channels * pixels_out)).filter(|_| round % 3 == 0);
        let activation = [Activation::None, Activation::Relu, Activation::Silu][random.below(3)];
        let epilogue = Epilogue { bias: Bias::PerRow(&bias), residual: residual.as_deref(), activation };
        let mut expected = vec![0.0; images * channels * pixels_out];
        let dims = [images, channels, size[0], size[1]];
        Convolution::new(weights.as_slice(), channels, channels, geometry).run(
            &input,
            dims,
            &epilogue,
            &mut expected,
            &mut scratch,
            &threads[0],
        );
        let input = blocked(&input, images, channels, pixels_in);
        let residual = residual.map(|residual| blocked(&residual, images, channels, pixels_out));
        for arch in instruction_sets() {
            let depthwise = Depthwise::new_for(arch, &weights, Some(&bias), channels);
            for threads in &threads {
                let mut out = vec![7.0; images * depthwise.blocks() * pixels_out * BLOCK];
                depthwise.run(
                    &geometry,
                    &input,
                    size,
                    residual.as_deref(),
                    activation,
                    &mut out,
                    &mut scratch,
                    threads,
                );
                let what = format!("{dims:?}, {geometry:?}, {arch:?}");
                assert_close(&plain(&out, images, channels, pixels_out), &expected, 1e-4, &what);
            }
        }
    }
}

#[test]
fn entries_agree_with_the_plain_layout() {
    let mut random = Random::new(5);
    let (threads, mut scratch) = (all_threads(), Vec::new());
    for _ in 0..150 {
        let mut pick = |values: &[usize]| values[random.below(values.len())];
        let (images, inputs, outputs) = (pick(&[1, 2]), pick(&[1, 3, 4]), pick(&[3, 16, 24, 47]));
        let size = [pick(&[1, 3, 7, 14]), pick(&[1, 2, 7, 13, 30])];
        let mut pair =
            |values: &[usize]| [values[random.below(values.len())], values[random.below(values.len())]];
        let ([top, left], [bottom, right]) = (pair(&[0, 1, 2]), pair(&[0, 1, 3]));
        let geometry = Geometry {
            groups: 1,
            kernel: pair(&[1, 3, 3, 7]),
            strides: pair(&[1, 2, 2, 3]),
            dilations: pair(&[1, 1, 2]),
            pads: [top, left, bottom, right],
        };
        let Some(out_size) = geometry.output_size(size) else { continue };
        let pixels = out_size[0] * out_size[1];
        let input = random.values(images * inputs * size[0] * size[1]);
        let weights = random.values(outputs * inputs * geometry.kernel[0] * geometry.kernel[1]);
        let bias = random.values(outputs);
        let activation = [Activation::None, Activation::Relu, Activation::Silu][random.below(3)];
        let epilogue = Epilogue { bias: Bias::PerRow(&bias), residual: None, activation };
        let mut expected = vec![0.0; images * outputs * pixels];
        let dims = [images, inputs, size[0], size[1]];
        Convolution::new(weights.as_slice(), outputs, inputs, geometry).run(
            &input,
            dims,
            &epilogue,
            &mut expected,
            &mut scratch,
            &threads[0],
        );
        for arch in instruction_sets() {
            let entry = Entry::new_for(arch, &weights, Some(&bias), outputs, inputs);
            for threads in &threads {
                let mut out = vec![7.0; images * entry.out_blocks() * pixels * BLOCK];
                entry.run(&geometry, &input, size, activation, &mut out, &mut scratch, threads);
                let what = format!("{dims:?} to {outputs}, {geometry:?}, {arch:?}");
                assert_close(&plain(&out, images, outputs, pixels), &expected, 1e-4, &what);
            }
        }
    }
}
