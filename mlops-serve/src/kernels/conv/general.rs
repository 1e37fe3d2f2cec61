//! Convolutions of any number of dimensions, and transposed convolutions, by way of whole patches in memory.

use pulp::Arch;

use crate::kernels::epilogue::{Bias, Epilogue};
use crate::kernels::gemm::finish::finish_in_place;
use crate::kernels::gemm::{MatrixRef, gemm_dynamic};
use crate::kernels::parallel::Threads;

/// Values of patches gathered at a time.
const PATCH_VALUES: usize = 1 << 20;

/// Everything about a convolution but its channels and weights, each list holding one number for each dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GeometryNd {
    /// Number of groups; inputs and outputs of different groups do not meet.
    pub(crate) groups: usize,
    /// Sizes of the kernel.
    pub(crate) kernel: Vec<usize>,
    /// Steps between outputs (of a transposed convolution: between inputs).
    pub(crate) strides: Vec<usize>,
    /// Steps between kernel elements.
    pub(crate) dilations: Vec<usize>,
    /// Zeros before the input (of a transposed convolution: outputs cut off).
    pub(crate) pads_begin: Vec<usize>,
    /// Zeros after the input (of a transposed convolution: outputs cut off).
    pub(crate) pads_end: Vec<usize>,
}

impl GeometryNd {
    fn extent(&self, axis: usize) -> Option<usize> {
        self.kernel[axis].checked_sub(1)?.checked_mul(self.dilations[axis])?.checked_add(1)
    }

    /// Sizes of the output of a convolution; `None` where the kernel is larger than the padded input.
    pub(crate) fn output_size(&self, input: &[usize]) -> Option<Vec<usize>> {
        let size = |(axis, &input): (usize, &usize)| {
            let padded = input.checked_add(self.pads_begin[axis])?.checked_add(self.pads_end[axis])?;
            Some(padded.checked_sub(self.extent(axis)?)?.checked_div(self.strides[axis])? + 1)
        };
        input.iter().enumerate().map(size).collect()
    }

    /// Calls `visit(small, large)` with the positions, in the smaller space and in the larger one, that meet under
    /// the kernel element `element` (a flat index). The larger space is the input of a convolution and the output of
    /// a transposed one. `visit(small, None)` means that the position lies in the padding.
    fn for_each_position(
        &self,
        mut element: usize,
        small: &[usize],
        large: &[usize],
        positions: std::ops::Range<usize>,
        mut visit: impl FnMut(usize, Option<usize>),
    ) {
        let rank = small.len();
        let mut offset = vec![0; rank];
        for axis in (0..rank).rev() {
            offset[axis] = element % self.kernel[axis] * self.dilations[axis];
            element /= self.kernel[axis];
        }
        let mut index = vec![0; rank];
        let mut rest = positions.start;
        for axis in (0..rank).rev() {
            index[axis] = rest % small[axis];
            rest /= small[axis];
        }
        for position in positions {
            let mut flat = Some(0);
            for axis in 0..rank {
                let at =
                    (index[axis] * self.strides[axis] + offset[axis]).wrapping_sub(self.pads_begin[axis]);
                flat = flat.filter(|_| at < large[axis]).map(|flat| flat * large[axis] + at);
            }
            visit(position, flat);
            for axis in (0..rank).rev() {
                index[axis] += 1;
                if index[axis] < small[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
    }
}

/// The part of an epilogue that belongs to `rows` rows of `row_len` values from `first_row` on; `first` counts the
/// rows over all images.
fn part<'a>(
    epilogue: &Epilogue<'a>,
    first_row: usize,
    first: usize,
    rows: usize,
    row_len: usize,
) -> Epilogue<'a> {
    Epilogue {
        bias: match epilogue.bias {
            Bias::PerRow(bias) => Bias::PerRow(&bias[first_row..][..rows]),
            _ => Bias::None,
        },
        residual: epilogue.residual.map(|residual| &residual[first * row_len..][..rows * row_len]),
        activation: epilogue.activation,
    }
}

/// A convolution of any number of dimensions.
#[derive(Debug)]
pub(crate) struct ConvolutionNd {
    weights: Vec<f32>,
    out_channels: usize,
    in_channels: usize,
    geometry: GeometryNd,
}

impl ConvolutionNd {
    /// A convolution from `in_channels` to `out_channels` (both over all groups) with weights `[O, C / groups, ..]`.
    pub(crate) fn new(
        weights: &[f32],
        out_channels: usize,
        in_channels: usize,
        geometry: GeometryNd,
    ) -> Self {
        Self { weights: weights.to_vec(), out_channels, in_channels, geometry }
    }

    /// Writes the convolution of `input` `[N, C, ..]` (`dims`) to `out` `[N, O, ..]`; the bias is `Bias::PerRow`.
    pub(crate) fn run(
        &self,
        input: &[f32],
        dims: &[usize],
        epilogue: &Epilogue<'_>,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let [images, _, size @ ..] = dims else { return };
        let Some(out_size) = self.geometry.output_size(size) else { return };
        let groups = self.geometry.groups.max(1);
        let (group_in, group_out) = (self.in_channels / groups, self.out_channels / groups);
        let elements: usize = self.geometry.kernel.iter().product();
        let (depth, in_len) = (group_in * elements, size.iter().product::<usize>());
        let positions: usize = out_size.iter().product();
        let step = (PATCH_VALUES / depth.max(1)).clamp(1, positions.max(1));
        let mut patches = vec![0.0; depth * step];
        for group in 0..images * groups {
            let first = group * group_out;
            let channels = group % groups * group_out;
            let input = &input[group * group_in * in_len..][..group_in * in_len];
            let out = &mut out[first * positions..][..group_out * positions];
            let epilogue = part(epilogue, channels, first, group_out, positions);
            let weights = &self.weights[channels * depth..][..group_out * depth];
            for start in (0..positions).step_by(step) {
                let count = step.min(positions - start);
                threads.for_each_chunk_mut(&mut patches[..depth * count], count, |row, patch| {
                    let input = &input[row / elements * in_len..][..in_len];
                    let range = start..start + count;
                    self.geometry.for_each_position(
                        row % elements,
                        &out_size,
                        size,
                        range,
                        |position, source| {
                            patch[position - start] = source.map_or(0.0, |source| input[source]);
                        },
                    );
                });
                let epilogue =
                    Epilogue { residual: epilogue.residual.map(|residual| &residual[start..]), ..epilogue };
                gemm_dynamic(
                    &mut out[start..],
                    positions,
                    MatrixRef::row_major(weights, group_out, depth),
                    MatrixRef::row_major(&patches, depth, count),
                    &epilogue,
                    scratch,
                    threads,
                );
            }
        }
    }
}

/// A transposed convolution of any number of dimensions (ONNX `ConvTranspose`).
#[derive(Debug)]
pub(crate) struct ConvolutionTransposed {
    /// `[groups, O / groups * kernel, C / groups]`
    weights: Vec<f32>,
    in_channels: usize,
    out_channels: usize,
    geometry: GeometryNd,
    output_padding: Vec<usize>,
}

impl ConvolutionTransposed {
    /// A transposed convolution from `in_channels` to `out_channels` (both over all groups) with weights
    /// `[C, O / groups, ..]`; `output_padding` is added to the end of the output.
    pub(crate) fn new(
        weights: &[f32],
        in_channels: usize,
        out_channels: usize,
        geometry: GeometryNd,
        output_padding: Vec<usize>,
    ) -> Self {
        let groups = geometry.groups.max(1);
        let group_in = in_channels / groups;
        let rows = weights.len() / in_channels.max(1);
        let mut transposed = Vec::with_capacity(weights.len());
        for group in weights.chunks_exact((group_in * rows).max(1)) {
            for row in 0..rows {
                transposed.extend(group.iter().skip(row).step_by(rows));
            }
        }
        Self { weights: transposed, in_channels, out_channels, geometry, output_padding }
    }

    /// Sizes of the output; `None` where the pads cut off more than there is.
    pub(crate) fn output_size(&self, input: &[usize]) -> Option<Vec<usize>> {
        let geometry = &self.geometry;
        let size = |(axis, &input): (usize, &usize)| {
            let steps = input.checked_sub(1)?.checked_mul(geometry.strides[axis])?;
            let whole = steps.checked_add(geometry.extent(axis)?)?.checked_add(self.output_padding[axis])?;
            whole.checked_sub(geometry.pads_begin[axis])?.checked_sub(geometry.pads_end[axis])
        };
        input.iter().enumerate().map(size).collect()
    }

    /// Writes the transposed convolution of `input` `[N, C, ..]` (`dims`) to `out` `[N, O, ..]`; the bias is
    /// `Bias::PerRow`.
    pub(crate) fn run(
        &self,
        input: &[f32],
        dims: &[usize],
        epilogue: &Epilogue<'_>,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        threads: &Threads,
    ) {
        let [images, _, size @ ..] = dims else { return };
        let Some(out_size) = self.output_size(size) else { return };
        let groups = self.geometry.groups.max(1);
        let (group_in, group_out) = (self.in_channels / groups, self.out_channels / groups);
        let elements: usize = self.geometry.kernel.iter().product();
        let rows = group_out * elements;
        let (in_len, out_len) = (size.iter().product::<usize>(), out_size.iter().product::<usize>());
        let mut columns = vec![0.0; rows * in_len];
        for group in 0..images * groups {
            let first = group * group_out;
            let input = &input[group * group_in * in_len..][..group_in * in_len];
            let out = &mut out[first * out_len..][..group_out * out_len];
            let weights = &self.weights[group % groups * rows * group_in..][..rows * group_in];
            gemm_dynamic(
                &mut columns,
                in_len,
                MatrixRef::row_major(weights, rows, group_in),
                MatrixRef::row_major(input, group_in, in_len),
                &Epilogue::default(),
                scratch,
                threads,
            );
            threads.for_each_chunk_mut(out, out_len, |channel, out| {
                out.fill(0.0);
                for element in 0..elements {
                    let column = &columns[(channel * elements + element) * in_len..][..in_len];
                    self.geometry.for_each_position(
                        element,
                        size,
                        &out_size,
                        0..in_len,
                        |position, target| {
                            if let Some(target) = target {
                                out[target] += column[position];
                            }
                        },
                    );
                }
            });
            let epilogue = part(epilogue, group % groups * group_out, first, group_out, out_len);
            finish_in_place(Arch::new(), out, out_len, &epilogue);
        }
    }
}
