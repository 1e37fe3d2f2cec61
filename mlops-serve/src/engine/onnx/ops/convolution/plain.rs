//! Convolution in double precision, by its definition.

use crate::engine::onnx::ops::support::{product, strides};
use crate::engine::onnx::ops::window::Placement;

/// The convolution of `x` `[N, C, ..]` with `weights` `[O, C / groups, ..]`. Sizes are checked by the caller.
pub(super) fn convolve(
    placement: &Placement,
    groups: usize,
    x_shape: &[usize],
    x: &[f64],
    weights: &[f64],
    bias: Option<&[f64]>,
) -> Vec<f64> {
    let (images, in_channels, size) = (x_shape[0], x_shape[1], &x_shape[2..]);
    let (in_len, elements) = (product(size), product(&placement.kernel));
    let group_in = in_channels / groups;
    let out_channels = weights.len() / (group_in * elements).max(1);
    let group_out = out_channels / groups;
    let positions = product(&placement.output);
    let mut out = Vec::with_capacity(images * out_channels * positions);
    let mut taps = Vec::new();
    for image in 0..images {
        for channel in 0..out_channels {
            let first_channel = image * in_channels + channel / group_out.max(1) * group_in;
            let weights = &weights[channel * group_in * elements..][..group_in * elements];
            for position in 0..positions {
                taps.clear();
                collect_taps(placement, size, position, &mut taps);
                let mut sum = bias.map_or(0.0, |bias| bias[channel]);
                for (inner, weights) in weights.chunks_exact(elements.max(1)).enumerate() {
                    let x = &x[(first_channel + inner) * in_len..][..in_len];
                    sum += taps.iter().map(|&(element, at)| weights[element] * x[at]).sum::<f64>();
                }
                out.push(sum);
            }
        }
    }
    out
}

/// The kernel elements that lie on the input when the window is at that position, with the places they lie on.
fn collect_taps(placement: &Placement, size: &[usize], position: usize, taps: &mut Vec<(usize, usize)>) {
    taps.push((0, 0));
    let output = strides(&placement.output);
    for (axis, &length) in size.iter().enumerate() {
        let at = position / output[axis] % placement.output[axis];
        let (start, range) = placement.taps(axis, at, 0, length as isize);
        let kernel = placement.kernel[axis];
        let outer = std::mem::take(taps);
        taps.extend(outer.into_iter().flat_map(|(element, place)| {
            range.clone().map(move |tap| {
                let on_axis = (start + (tap * placement.dilations[axis]) as isize) as usize;
                (element * kernel + tap, place * length + on_axis)
            })
        }));
    }
}
