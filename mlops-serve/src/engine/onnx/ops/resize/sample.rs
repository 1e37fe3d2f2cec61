//! `GridSample`: interpolates where a grid says.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, to_doubles, widened};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::{product, repeated};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count, for_numbers};
use crate::engine::onnx::value::Inputs;

#[derive(Debug, Clone, Copy)]
struct GridSample {
    mode: Mode,
    padding: Padding,
    align_corners: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let wrong =
        |name: &str, given: &str| Error::invalid_input(format!("the attribute `{name}` cannot be `{given}`"));
    let mode = match attributes.text("mode")?.map_or("linear", String::as_str) {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        other => return Err(wrong("mode", other)),
    };
    let padding = match attributes.text("padding_mode")?.map_or("zeros", String::as_str) {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        other => return Err(wrong("padding_mode", other)),
    };
    let align_corners = attributes.flag("align_corners", false)?;
    Ok(Box::new(GridSample { mode, padding, align_corners }))
}

impl Operator for GridSample {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let (x, grid) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let mismatch = || {
            let (x, grid) = (x.shape(), grid.shape());
            Error::engine(format!("a grid of shape {grid:?} does not fit an input of shape {x:?}"))
        };
        let ([images, channels, size @ ..], [grid_images, out_size @ .., rank]) = (x.shape(), grid.shape())
        else {
            return Err(mismatch());
        };
        if images != grid_images || *rank != size.len() || out_size.len() != size.len() || size.is_empty() {
            return Err(mismatch());
        }
        let mut shape = Shape::from_slice(&[*images, *channels]);
        shape.extend_from_slice(out_size);
        let count = element_count(&shape)?;
        if x.is_empty() && count > 0 {
            return Err(mismatch());
        }
        let points = to_doubles(grid)?;
        for_numbers!(x.data(), |elements| {
            let mut out = repeated(Default::default(), count)?;
            self.sample(elements, size, *channels, &points, product(out_size), &mut out);
            one(HostTensor::new(shape, out)?)
        }, _other => Err(Error::engine(format!("elements of type {} cannot be interpolated", x.dtype()))))
    }
}

impl GridSample {
    fn sample<T: Number>(
        &self,
        x: &[T],
        size: &[usize],
        channels: usize,
        points: &[f64],
        positions: usize,
        out: &mut [T],
    ) {
        let (rank, in_len) = (size.len(), product(size));
        let mut corners: Vec<(usize, f64)> = Vec::new();
        for (index, point) in points.chunks_exact(rank).enumerate() {
            let (image, position) = (index / positions, index % positions);
            corners.clear();
            corners.push((0, 1.0));
            for (axis, &length) in size.iter().enumerate() {
                // The last axis comes first in a point.
                let neighbours = self.neighbours(point[rank - 1 - axis], length);
                let outer = std::mem::take(&mut corners);
                corners.extend(outer.into_iter().flat_map(|(place, weight)| {
                    let inner = neighbours.iter().flatten();
                    inner.map(move |&(neighbour, share)| (place * length + neighbour, weight * share))
                }));
            }
            for channel in 0..channels {
                let x = &x[(image * channels + channel) * in_len..][..in_len];
                let value = corners.iter().map(|&(place, weight)| x[place].to_f64() * weight).sum();
                out[(image * channels + channel) * positions + position] = T::from_f64(value);
            }
        }
    }

    /// The elements along an axis that a coordinate between -1 and 1 looks at, and their weights.
    fn neighbours(&self, coordinate: f64, length: usize) -> [Option<(usize, f64)>; 4] {
        let last = length as f64 - 1.0;
        let (low, high) = if self.align_corners { (0.0, last) } else { (-0.5, last + 0.5) };
        let mut x = if self.align_corners {
            (coordinate + 1.0) / 2.0 * last
        } else {
            ((coordinate + 1.0) * length as f64 - 1.0) / 2.0
        };
        if !x.is_finite() {
            x = -1e9; // far outside
        }
        if self.mode == Mode::Nearest {
            x = x.round_ties_even();
        }
        if x < low || x > high {
            match self.padding {
                Padding::Zeros => {}
                // A cubic kernel looks at the border beyond it, as PyTorch and onnxruntime do.
                Padding::Border if self.mode == Mode::Cubic => {}
                Padding::Border => x = x.clamp(0.0, last),
                Padding::Reflection => x = reflected(x, low, high),
            }
        }
        let at = |place: f64, weight: f64| -> Option<(usize, f64)> {
            let inside = place >= 0.0 && place <= last;
            let place = match self.padding {
                _ if inside => place,
                Padding::Zeros => return None,
                Padding::Border => place.clamp(0.0, last),
                Padding::Reflection => reflected(place, low, high).clamp(0.0, last),
            };
            Some((place as usize, weight))
        };
        let base = x.floor();
        let fraction = x - base;
        match self.mode {
            Mode::Nearest => [at(x.round_ties_even(), 1.0), None, None, None],
            Mode::Linear => [at(base, 1.0 - fraction), at(base + 1.0, fraction), None, None],
            Mode::Cubic => [-1.0, 0.0, 1.0, 2.0].map(|step| at(base + step, cubic((step - fraction).abs()))),
        }
    }
}

/// Reflects a coordinate at the borders until it lies between them.
fn reflected(x: f64, low: f64, high: f64) -> f64 {
    let range = high - low;
    if range <= 0.0 {
        return low.max(0.0);
    }
    let folded = (x - low).rem_euclid(2.0 * range);
    low + if folded > range { 2.0 * range - folded } else { folded }
}

/// The kernel of cubic convolution with the coefficient -0.75, for distances up to 2.
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.75;
    if distance <= 1.0 {
        ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
    } else {
        ((distance - 5.0) * distance + 8.0) * distance * A - 4.0 * A
    }
}
