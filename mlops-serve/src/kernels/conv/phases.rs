//! The padded input, split by the remainder of row and column modulo a stride.
//!
//! With the stride divided out, the inputs that one kernel element meets at neighbouring outputs are neighbours in
//! memory, whatever the stride. A channel becomes planes `[row phase][column phase][rows][columns]`; element (y, x) of
//! the padded input lies in plane (y mod s, x mod s) at (y / s, x / s).

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
    /// The planes are the input itself.
    identity: bool,
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
        let identity = phases == [1, 1] && strides == [1, 1] && before == [0, 0] && plane == input;
        Self { strides, before, input, phases, plane, identity }
    }

    /// Whether the input needs no preparation.
    pub(crate) fn is_identity(&self) -> bool {
        self.identity
    }

    /// Distance between the rows of a plane.
    #[inline(always)]
    pub(crate) fn pitch(&self) -> usize {
        self.plane[1]
    }

    /// Values a channel takes.
    #[inline(always)]
    pub(crate) fn channel_len(&self) -> usize {
        self.phases[0] * self.phases[1] * self.plane[0] * self.plane[1]
    }

    /// Where the element at (`y`, `x`) of the padded input lies within its channel.
    #[inline(always)]
    pub(crate) fn offset(&self, y: usize, x: usize) -> usize {
        let phase = (y % self.strides[0]) * self.phases[1] + x % self.strides[1];
        (phase * self.plane[0] + y / self.strides[0]) * self.plane[1] + x / self.strides[1]
    }

    /// Writes the planes of one channel.
    #[inline(always)]
    pub(crate) fn fill(&self, channel: &[f32], planes: &mut [f32]) {
        let [height, width] = self.input;
        let mut rows = planes.chunks_exact_mut(self.plane[1]);
        for row_phase in 0..self.phases[0] {
            for column_phase in 0..self.phases[1] {
                // Columns of the plane that lie within the input.
                let start = (self.before[1].saturating_sub(column_phase)).div_ceil(self.strides[1]);
                let end = (width + self.before[1]).saturating_sub(column_phase).div_ceil(self.strides[1]);
                let (start, end) = (start.min(self.plane[1]), end.min(self.plane[1]));
                let end = end.max(start);
                for row in 0..self.plane[0] {
                    let Some(out) = rows.next() else { return };
                    let y = (row * self.strides[0] + row_phase).wrapping_sub(self.before[0]);
                    if y >= height || start == end {
                        out.fill(0.0);
                        continue;
                    }
                    out[..start].fill(0.0);
                    out[end..].fill(0.0);
                    let first = start * self.strides[1] + column_phase - self.before[1];
                    let source = &channel[y * width..][..width][first..];
                    copy_strided(source, self.strides[1], &mut out[start..end]);
                }
            }
        }
    }
}

/// Every `stride`th value.
#[inline(always)]
fn copy_strided(source: &[f32], stride: usize, out: &mut [f32]) {
    match stride {
        1 => out.copy_from_slice(&source[..out.len()]),
        2 => copy_every::<2>(source, out),
        4 => copy_every::<4>(source, out),
        _ => {
            for (out, value) in out.iter_mut().zip(source.iter().step_by(stride)) {
                *out = *value;
            }
        }
    }
}

#[inline(always)]
fn copy_every<const STRIDE: usize>(source: &[f32], out: &mut [f32]) {
    let (groups, rest) = source.as_chunks::<STRIDE>();
    let (out, last) = out.split_at_mut(out.len().min(groups.len()));
    for (out, group) in out.iter_mut().zip(groups) {
        *out = group[0];
    }
    if let ([out], Some(value)) = (last, rest.first()) {
        *out = *value;
    }
}
