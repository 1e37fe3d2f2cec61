//! The elements of an input under a window, place by place.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::support::product;
use crate::engine::onnx::ops::window::{Placement, Window};
use crate::engine::onnx::tensor::Shape;

/// Where elements of a window in the padding are said to be.
pub(super) const OUTSIDE: usize = usize::MAX;

/// The most elements of a window.
const LARGEST: usize = 1 << 24;

/// A window over the spatial dimensions of an input.
#[derive(Debug)]
pub(super) struct Patches {
    input: Shape,
    placement: Placement,
}

impl Patches {
    /// `kernel` is that of the weights, where there are any; else the window has its own.
    pub(super) fn new(window: &Window, kernel: Option<&[usize]>, input: &[usize]) -> Result<Self> {
        let placement = window.place(kernel, input)?;
        let size = product(&placement.kernel);
        if size == 0 || size > LARGEST {
            let kernel = &placement.kernel;
            return Err(Error::engine(format!("a kernel of {kernel:?} cannot be computed")));
        }
        Ok(Self { input: Shape::from_slice(input), placement })
    }

    /// The spatial lengths of the output.
    pub(super) fn output(&self) -> &[usize] {
        &self.placement.output
    }

    /// The number of places of the window.
    pub(super) fn places(&self) -> usize {
        product(self.output())
    }

    /// Where in a plane of the input the elements of the window at a place are; [`OUTSIDE`] in the padding.
    pub(super) fn at(&self, place: usize, offsets: &mut Vec<usize>) {
        let Placement { kernel, strides, dilations, pads_begin, output, .. } = &self.placement;
        offsets.clear();
        offsets.push(0);
        let mut behind = self.places(); // places of the dimensions behind
        let mut rest = place;
        for (dimension, &length) in self.input.iter().enumerate() {
            behind /= output[dimension].max(1);
            let corner = rest / behind.max(1) * strides[dimension];
            rest %= behind.max(1);
            let outer = offsets.len();
            // From the end, so that what is still to be read is not overwritten.
            offsets.resize(outer * kernel[dimension], OUTSIDE);
            for index in (0..outer).rev() {
                let offset = offsets[index];
                for step in 0..kernel[dimension] {
                    let position = (corner + step * dilations[dimension])
                        .checked_sub(pads_begin[dimension])
                        .filter(|&position| position < length);
                    offsets[index * kernel[dimension] + step] = match position {
                        Some(position) if offset != OUTSIDE => offset * length + position,
                        _ => OUTSIDE,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::graph::{Attribute, Attributes};

    #[test]
    fn a_window_meets_padding_at_the_borders() {
        let mut attributes = Attributes::default();
        attributes.insert("kernel_shape", Attribute::Ints(vec![2, 2]));
        attributes.insert("strides", Attribute::Ints(vec![2, 1]));
        attributes.insert("pads", Attribute::Ints(vec![1, 0, 0, 1]));
        let patches = Patches::new(&Window::parse(&attributes).unwrap(), None, &[3, 2]).unwrap();
        assert_eq!(patches.output(), [2, 2]);
        let windows: Vec<_> = (0..patches.places())
            .map(|place| {
                let mut offsets = Vec::new();
                patches.at(place, &mut offsets);
                offsets
            })
            .collect();
        let expected = [
            [OUTSIDE, OUTSIDE, 0, 1],
            [OUTSIDE, OUTSIDE, 1, OUTSIDE],
            [2, 3, 4, 5],
            [3, OUTSIDE, 5, OUTSIDE],
        ];
        assert_eq!(windows, expected);
    }
}
