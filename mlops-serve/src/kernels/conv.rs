//! Convolution of 32-bit floats in the layout of ONNX `Conv`: input `[N, C, H, W]`, weights `[O, C / groups, kH, kW]`.
//!
//! Which algorithm runs is decided from the sizes: Winograd's for square 3x3 kernels of stride 1, a direct loop for
//! depthwise convolutions, and matrix multiplication on patches gathered on the fly for the rest.

mod depthwise;
mod depthwise_blocked;
mod general;
mod implicit_gemm;
mod phases;
#[cfg(test)]
mod tests;
mod winograd;

use std::sync::{Arc, OnceLock};

use pulp::Arch;

pub(crate) use self::general::{ConvolutionNd, ConvolutionTransposed, GeometryNd};
use self::winograd::WinogradWeights;
use crate::kernels::epilogue::{Bias, Epilogue};
use crate::kernels::gemm::{MatrixRef, PackedA, PackedB};
use crate::kernels::parallel::Threads;

/// Multiply-adds below which threads cost more than they save (about 20 us of one core).
const PARALLEL_WORK: usize = 1 << 20;

/// Everything about a two-dimensional convolution but its channels and weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Number of groups; inputs and outputs of different groups do not meet.
    pub(crate) groups: usize,
    /// Height and width of the kernel.
    pub(crate) kernel: [usize; 2],
    /// Step between outputs, in input rows and columns.
    pub(crate) strides: [usize; 2],
    /// Step between kernel elements, in input rows and columns.
    pub(crate) dilations: [usize; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub(crate) pads: [usize; 4],
}

impl Geometry {
    /// Height and width of the output; `None` where the kernel is larger than the padded input.
    pub(crate) fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let size = |axis: usize| {
            let extent =
                (self.kernel[axis].checked_sub(1)?).checked_mul(self.dilations[axis])?.checked_add(1)?;
            let padded = input[axis].checked_add(self.pads[axis])?.checked_add(self.pads[axis + 2])?;
            Some(padded.checked_sub(extent)?.checked_div(self.strides[axis])? + 1)
        };
        Some([size(0)?, size(1)?])
    }
}

/// A convolution whose weights are known; they are brought into the shape an algorithm wants when it first runs.
#[derive(Debug)]
pub(crate) struct Convolution {
    geometry: Geometry,
    out_channels: usize,
    weights: Arc<[f32]>,
    arch: Arch,
    left: OnceLock<Vec<PackedA>>,
    right: OnceLock<Vec<PackedB>>,
    winograd_four: OnceLock<WinogradWeights>,
    winograd_two: OnceLock<WinogradWeights>,
}

impl Convolution {
    /// A convolution from `in_channels` to `out_channels` (both over all groups). Both must be multiples of
    /// `geometry.groups`, and `weights` must hold `[out_channels, in_channels / groups, kH, kW]` values.
    pub(crate) fn new(
        weights: impl Into<Arc<[f32]>>,
        out_channels: usize,
        in_channels: usize,
        geometry: Geometry,
    ) -> Self {
        Self::new_for(Arch::new(), weights, out_channels, in_channels, geometry)
    }

    /// The same for an instruction set.
    fn new_for(
        arch: Arch,
        weights: impl Into<Arc<[f32]>>,
        out_channels: usize,
        in_channels: usize,
        geometry: Geometry,
    ) -> Self {
        let weights = weights.into();
        let taps = geometry.kernel[0] * geometry.kernel[1];
        debug_assert_eq!(weights.len() * geometry.groups.max(1), out_channels * in_channels * taps);
        Self {
            geometry,
            out_channels,
            weights,
            arch,
            left: OnceLock::new(),
            right: OnceLock::new(),
            winograd_four: OnceLock::new(),
            winograd_two: OnceLock::new(),
        }
    }

    /// Writes the convolution of `input` `[N, C, H, W]` (`dims`) to `out` `[N, O, outH, outW]`.
    ///
    /// Rows of the epilogue are output channels: the bias is `Bias::PerRow`. Does nothing where the kernel is larger
    /// than the padded input. Sizes are the caller's to check: a mismatch panics in a slice index.
    pub(crate) fn run(
        &self,
        input: &[f32],
        dims: [usize; 4],
        epilogue: &Epilogue<'_>,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let [images, channels, height, width] = dims;
        let Some(out_size) = self.geometry.output_size([height, width]) else { return };
        let groups = self.geometry.groups.max(1);
        let (group_in, group_out) = (channels / groups, self.out_channels / groups);
        let pixels = out_size[0] * out_size[1];
        let depth = group_in * self.geometry.kernel[0] * self.geometry.kernel[1];
        if images == 0 || group_out == 0 || pixels == 0 {
            return;
        }
        let single = Threads::single();
        let small = images * self.out_channels * pixels * depth < PARALLEL_WORK;
        let threads = if small { &single } else { threads };
        let shape = Shape { geometry: &self.geometry, input: [height, width], output: out_size };
        if group_in == 1 && groups > 1 {
            depthwise::run(self, &shape, input, epilogue, out, scratch, threads);
            return;
        }
        for image in 0..images {
            for group in 0..groups {
                let input = &input[(image * channels + group * group_in) * height * width..]
                    [..group_in * height * width];
                let first = (image * groups + group) * group_out * pixels;
                let out = &mut out[first..][..group_out * pixels];
                let epilogue = Epilogue {
                    bias: match epilogue.bias {
                        Bias::PerRow(bias) => Bias::PerRow(&bias[group * group_out..][..group_out]),
                        _ => Bias::None,
                    },
                    residual: epilogue.residual.map(|residual| &residual[first..][..group_out * pixels]),
                    activation: epilogue.activation,
                };
                if let Some(winograd) = self.winograd(&shape, group_in) {
                    winograd.run(self.arch, &shape, input, &epilogue, out, scratch, threads);
                } else if implicit_gemm::prefers_transposed(self.arch, group_out, depth, pixels) {
                    let weights = &self.right()[group];
                    implicit_gemm::run_transposed(
                        weights, &shape, group_in, input, &epilogue, out, scratch, threads,
                    );
                } else {
                    let weights = &self.left()[group];
                    implicit_gemm::run(
                        self.arch, weights, &shape, group_in, input, &epilogue, out, scratch, threads,
                    );
                }
            }
        }
    }

    /// The weights of every group as left operand.
    fn left(&self) -> &[PackedA] {
        self.left.get_or_init(|| self.groups().map(|weights| PackedA::pack_for(self.arch, weights)).collect())
    }

    /// The transposed weights of every group as right operand.
    fn right(&self) -> &[PackedB] {
        self.right.get_or_init(|| {
            self.groups().map(|weights| PackedB::pack_for(self.arch, weights.transposed())).collect()
        })
    }

    /// The weights of every group as matrix `[O / groups, depth]`.
    fn groups(&self) -> impl Iterator<Item = MatrixRef<'_>> {
        let rows = self.out_channels / self.geometry.groups.max(1);
        let depth = self.weights.len() / self.out_channels.max(1);
        self.weights
            .chunks_exact((rows * depth).max(1))
            .map(move |weights| MatrixRef::row_major(weights, rows, depth))
    }

    /// The weights for Winograd's algorithm where it pays.
    fn winograd(&self, shape: &Shape<'_>, group_in: usize) -> Option<&WinogradWeights> {
        let tile = winograd::tile(shape, group_in, self.out_channels)?;
        let cell = if tile == 4 { &self.winograd_four } else { &self.winograd_two };
        Some(cell.get_or_init(|| {
            WinogradWeights::new(self.arch, &self.weights, self.out_channels, group_in, tile)
        }))
    }
}

/// A geometry applied to an input of known size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
}
