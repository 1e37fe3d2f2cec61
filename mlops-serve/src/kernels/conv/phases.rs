//! The padded input, split by the remainder of row and column modulo a stride.
//!
//! With the stride divided out, the inputs that one kernel element meets at neighbouring outputs are neighbours in
//! memory, whatever the stride. A channel becomes planes `[row phase][column phase][rows][columns]`; element (y, x) of
//! the padded input lies in plane (y mod s, x mod s) at (y / s, x / s).

use std::ops::Range;

use pulp::Simd;

use super::{Geometry, Shape};
use crate::kernels::shuffle::{STEP, deinterleave};

/// How a channel is laid out in planes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PhaseLayout {
    strides: [usize; 2],
    /// Zeros above and left of the input.
    before: [usize; 2],
    input: [usize; 2],
    /// Phases that are kept, rows and columns.
    phases: [usize; 2],
    /// Rows and columns of a plane.
    plane: [usize; 2],
    /// Distance between the planes: there is room for a vector behind each.
    plane_len: usize,
}

impl PhaseLayout {
    /// For `steps` positions of a window of `extent` elements, `strides` apart, over an input with `before` zeros
    /// above and left of it.
    pub(crate) fn new(
        input: [usize; 2],
        before: [usize; 2],
        strides: [usize; 2],
        extent: [usize; 2],
        steps: [usize; 2],
    ) -> Self {
        let phases = [0, 1].map(|axis| strides[axis].min(extent[axis]));
        let plane = [0, 1].map(|axis| steps[axis] + (extent[axis] - 1) / strides[axis]);
        let plane_len = plane[0] * plane[1] + STEP;
        Self { strides, before, input, phases, plane, plane_len }
    }

    /// The layout for the rows `rows` of the windows of a geometry, and how many rows of the input it leaves out.
    #[inline(always)]
    pub(crate) fn of_rows(
        shape: &Shape<'_>,
        strides: [usize; 2],
        extent: [usize; 2],
        rows: Range<usize>,
        columns: usize,
    ) -> (Self, usize) {
        let [top, left, ..] = shape.geometry.pads;
        let [height, width] = shape.input;
        let above = top.saturating_sub(rows.start * strides[0]);
        let skipped = (rows.start * strides[0]).saturating_sub(top).min(height);
        let layout =
            Self::new([height - skipped, width], [above, left], strides, extent, [rows.len(), columns]);
        (layout, skipped)
    }

    /// Distance between the rows of a plane.
    #[inline(always)]
    pub(crate) fn pitch(&self) -> usize {
        self.plane[1]
    }

    /// Values a channel takes.
    #[inline(always)]
    pub(crate) fn channel_len(&self) -> usize {
        self.phases[0] * self.phases[1] * self.plane_len
    }

    /// Where the element at (`y`, `x`) of the padded input lies within its channel.
    #[inline(always)]
    pub(crate) fn offset(&self, y: usize, x: usize) -> usize {
        let phase = (y % self.strides[0]) * self.phases[1] + x % self.strides[1];
        phase * self.plane_len + y / self.strides[0] * self.plane[1] + x / self.strides[1]
    }

    /// Where the input of each kernel element at the first output lies in the planes of a channel.
    pub(crate) fn taps(&self, geometry: &Geometry) -> Vec<usize> {
        let mut taps = Vec::with_capacity(geometry.kernel[0] * geometry.kernel[1]);
        for ky in 0..geometry.kernel[0] {
            for kx in 0..geometry.kernel[1] {
                taps.push(self.offset(ky * geometry.dilations[0], kx * geometry.dilations[1]));
            }
        }
        taps
    }

    /// Writes the planes of the channel that begins at `channel` in `input` to the beginning of `planes`.
    #[inline(always)]
    pub(crate) fn fill<S: Simd>(&self, simd: S, input: &[f32], channel: usize, planes: &mut [f32]) {
        match self.strides[1] {
            1 => self.fill_stride::<S, 1, 16>(simd, input, channel, planes),
            2 => self.fill_stride::<S, 2, 32>(simd, input, channel, planes),
            4 => self.fill_stride::<S, 4, 64>(simd, input, channel, planes),
            _ => self.fill_any_stride(input, channel, planes),
        }
    }

    /// A column stride the compiler knows; `SPAN` is `STRIDE * STEP`.
    #[inline(always)]
    fn fill_stride<S: Simd, const STRIDE: usize, const SPAN: usize>(
        &self,
        simd: S,
        input: &[f32],
        channel: usize,
        planes: &mut [f32],
    ) {
        let [height, width] = self.input;
        let columns = self.plane[1];
        // Columns of the planes that lie within the input.
        let inside: [_; STRIDE] = std::array::from_fn(|phase| {
            let start = self.before[1].saturating_sub(phase).div_ceil(STRIDE).min(columns);
            let end = (width + self.before[1]).saturating_sub(phase).div_ceil(STRIDE);
            (start, end.clamp(start, columns))
        });
        for row_phase in 0..self.phases[0] {
            for row in 0..self.plane[0] {
                let at = row_phase * self.phases[1] * self.plane_len + row * columns;
                let y = (row * self.strides[0] + row_phase).wrapping_sub(self.before[0]);
                if y >= height {
                    for phase in 0..self.phases[1] {
                        zero(&mut planes[at + phase * self.plane_len..][..columns]);
                    }
                    continue;
                }
                let source = channel + y * width;
                for column in (0..columns).step_by(STEP) {
                    // What lies left and right of the row is read as well, and made zero below.
                    let from = (source + column * STRIDE).checked_sub(self.before[1]);
                    let span = from.and_then(|from| input.get(from..)?.first_chunk::<SPAN>());
                    for phase in 0..STRIDE {
                        if phase >= self.phases[1] {
                            break;
                        }
                        let out = &mut planes[at + phase * self.plane_len + column..];
                        match (span, out.first_chunk_mut::<STEP>()) {
                            (Some(span), Some(out)) => {
                                deinterleave::<S, STRIDE, SPAN>(simd, span, phase, out);
                            }
                            _ => {
                                let len = STEP.min(columns - column);
                                self.copy_slowly(&input[source..][..width], column, phase, &mut out[..len]);
                            }
                        }
                    }
                }
                for (phase, (start, end)) in inside.into_iter().enumerate().take(self.phases[1]) {
                    let out = &mut planes[at + phase * self.plane_len..][..columns];
                    zero(&mut out[..start]);
                    zero(&mut out[end..]);
                }
            }
        }
    }

    #[inline(never)]
    fn fill_any_stride(&self, input: &[f32], channel: usize, planes: &mut [f32]) {
        let [height, width] = self.input;
        for row_phase in 0..self.phases[0] {
            for phase in 0..self.phases[1] {
                for row in 0..self.plane[0] {
                    let at = (row_phase * self.phases[1] + phase) * self.plane_len + row * self.plane[1];
                    let out = &mut planes[at..][..self.plane[1]];
                    let y = (row * self.strides[0] + row_phase).wrapping_sub(self.before[0]);
                    if y < height {
                        self.copy_slowly(&input[channel + y * width..][..width], 0, phase, out);
                    } else {
                        zero(out);
                    }
                }
            }
        }
    }

    /// Columns from `column` on of a phase of one row of the input.
    fn copy_slowly(&self, source: &[f32], column: usize, phase: usize, out: &mut [f32]) {
        for (column, out) in (column..).zip(out) {
            let x = (column * self.strides[1] + phase).wrapping_sub(self.before[1]);
            *out = source.get(x).copied().unwrap_or_default();
        }
    }
}

/// Zeros, few of them mostly: too few for a call.
#[inline(always)]
fn zero(values: &mut [f32]) {
    match values {
        [] => {}
        [a] => *a = 0.0,
        [a, b] => (*a, *b) = (0.0, 0.0),
        [a, b, c] => (*a, *b, *c) = (0.0, 0.0, 0.0),
        _ => values.fill(0.0),
    }
}
