//! `RoiAlign` ([He et al., 2017](https://arxiv.org/abs/1703.06870)) and `MaxRoiPool`
//! ([Girshick, 2015](https://arxiv.org/abs/1504.08083)): regions of a feature map, brought to one size.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, from_doubles, to_doubles, widened};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct RoiAlign {
    max: bool,
    half_pixel: bool,
    output: [usize; 2],
    /// Samples along each side of a cell; as many as it has pixels when it is 0.
    sampling: usize,
    scale: f64,
}

/// The most samples of a cell. More are asked for only by regions that are far larger than any map.
const MOST_SAMPLES: f64 = 1e6;

fn positive(value: i64, name: &str) -> Result<usize> {
    let value = usize::try_from(value).ok().filter(|&value| value > 0 && value < 1 << 24);
    value.ok_or_else(|| Error::invalid_input(format!("the attribute `{name}` must be positive")))
}

pub(super) fn align(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let choice = |name: &str, default: &'static str, other: &'static str| -> Result<bool> {
        match attributes.text(name)?.map_or(default, String::as_str) {
            given if given == default => Ok(true),
            given if given == other => Ok(false),
            given => Err(Error::invalid_input(format!("the attribute `{name}` cannot be `{given}`"))),
        }
    };
    let mode = "coordinate_transformation_mode";
    let half_pixel = choice(mode, "half_pixel", "output_half_pixel")?;
    Ok(Box::new(RoiAlign {
        max: !choice("mode", "avg", "max")?,
        half_pixel: half_pixel && (source.node.opset >= 16 || attributes.contains(mode)),
        output: [
            positive(attributes.int("output_height", 1)?, "output_height")?,
            positive(attributes.int("output_width", 1)?, "output_width")?,
        ],
        sampling: usize::try_from(attributes.int("sampling_ratio", 0)?).unwrap_or(0),
        scale: attributes.float("spatial_scale", 1.0)?.into(),
    }))
}

impl Operator for RoiAlign {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let regions = inputs.tensor(1)?;
        let images = inputs.tensor(2)?.to_i64s()?;
        let (&[batch, channels, height, width], &[count, 4]) = (x.shape(), regions.shape()) else {
            return Err(Error::engine(
                "the input must be [batch, channels, height, width], the regions [count, 4]",
            ));
        };
        if images.len() != count {
            return Err(Error::engine(format!(
                "{count} regions need as many batch indices, not {}",
                images.len()
            )));
        }
        let regions = to_doubles(regions)?;
        let shape = Shape::from_slice(&[count, channels, self.output[0], self.output[1]]);
        let mut out = Vec::with_capacity(element_count(&shape)?);
        let plane = height * width;
        for (region, &image) in regions.chunks_exact(4).zip(&images) {
            let image = usize::try_from(image).ok().filter(|&image| image < batch);
            let image =
                image.ok_or_else(|| Error::engine(format!("a region lies on no image of {batch}")))?;
            let cells = self.cells(region, height, width)?;
            for channel in 0..channels {
                let first = (image * channels + channel) * plane;
                match x.data() {
                    Data::F32(x) => self.pool(&x[first..][..plane], &cells, &mut out),
                    Data::F64(x) => self.pool(&x[first..][..plane], &cells, &mut out),
                    _ => return Err(Error::engine(format!("floats are needed, not {}", x.dtype()))),
                }
            }
        }
        one(from_doubles(&shape, out, x.dtype())?)
    }
}

/// The pixels and weights of each sample of a cell.
type Cell = Vec<[(usize, f64); 4]>;

impl RoiAlign {
    fn cells(&self, region: &[f64], height: usize, width: usize) -> Result<Vec<Cell>> {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        // x first, y second
        let start = [region[0], region[1]].map(|value| value * self.scale - offset);
        let end = [region[2], region[3]].map(|value| value * self.scale - offset);
        let least = if self.half_pixel { f64::NEG_INFINITY } else { 1.0 };
        let [rows, columns] = self.output;
        let side = |axis: usize| (end[axis] - start[axis]).max(least);
        let size = [side(0) / columns as f64, side(1) / rows as f64];
        let samples =
            size.map(|size| if self.sampling > 0 { self.sampling as f64 } else { size.ceil().max(0.0) });
        let count = samples[0] * samples[1];
        if count > MOST_SAMPLES || count.is_nan() {
            return Err(Error::engine(format!("the region {region:?} is too large")));
        }
        let counts = samples.map(|count| count as usize);
        let mut cells = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            for column in 0..columns {
                let at = |axis: usize, cell: usize, sample: usize| {
                    start[axis]
                        + cell as f64 * size[axis]
                        + (sample as f64 + 0.5) * size[axis] / samples[axis]
                };
                let mut cell = Vec::with_capacity(counts[0] * counts[1]);
                for sample in 0..counts[0] * counts[1] {
                    let y = at(1, row, sample / counts[0]);
                    let x = at(0, column, sample % counts[0]);
                    cell.push(corners(y, x, height, width));
                }
                cells.push(cell);
            }
        }
        Ok(cells)
    }

    fn pool<T: Number>(&self, x: &[T], cells: &[Cell], out: &mut Vec<f64>) {
        for cell in cells {
            let weighted = cell
                .iter()
                .map(|corners| corners.map(|(at, weight)| weight * x.get(at).map_or(0.0, |x| x.to_f64())));
            out.push(if self.max {
                // The maximum of the weighted corners, not of the interpolated samples: so it is specified.
                let largest = |corners: [f64; 4]| corners.into_iter().fold(f64::NEG_INFINITY, f64::max);
                if cell.is_empty() { 0.0 } else { weighted.map(largest).fold(f64::NEG_INFINITY, f64::max) }
            } else {
                weighted.flatten().sum::<f64>() / cell.len().max(1) as f64
            });
        }
    }
}

/// The pixels around a place and their weights; all zero outside of the map.
fn corners(y: f64, x: f64, height: usize, width: usize) -> [(usize, f64); 4] {
    let inside = y >= -1.0 && y <= height as f64 && x >= -1.0 && x <= width as f64;
    if !inside || height == 0 || width == 0 {
        return [(0, 0.0); 4];
    }
    let neighbours = |place: f64, length: usize| {
        let place = place.max(0.0);
        let low = place as usize;
        if low + 1 >= length { (length - 1, length - 1, 0.0) } else { (low, low + 1, place - low as f64) }
    };
    let (top, bottom, down) = neighbours(y, height);
    let (left, right, across) = neighbours(x, width);
    [
        (top * width + left, (1.0 - down) * (1.0 - across)),
        (top * width + right, (1.0 - down) * across),
        (bottom * width + left, down * (1.0 - across)),
        (bottom * width + right, down * across),
    ]
}

#[derive(Debug)]
struct MaxRoiPool {
    output: [usize; 2],
    scale: f64,
}

pub(super) fn max_pool(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let Some(&[rows, columns]) = attributes.ints("pooled_shape")?.map(Vec::as_slice) else {
        return Err(Error::invalid_input("the attribute `pooled_shape` must be a height and a width"));
    };
    Ok(Box::new(MaxRoiPool {
        output: [positive(rows, "pooled_shape")?, positive(columns, "pooled_shape")?],
        scale: attributes.float("spatial_scale", 1.0)?.into(),
    }))
}

impl Operator for MaxRoiPool {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let regions = inputs.tensor(1)?;
        let (&[batch, channels, height, width], &[count, 5]) = (x.shape(), regions.shape()) else {
            return Err(Error::engine(
                "the input must be [batch, channels, height, width], the regions [count, 5]",
            ));
        };
        let regions = to_doubles(regions)?;
        let shape = Shape::from_slice(&[count, channels, self.output[0], self.output[1]]);
        element_count(&shape)?;
        match x.data() {
            Data::F32(elements) => {
                let out = self.pool(elements, [batch, channels, height, width], &regions)?;
                one(HostTensor::new(shape, out)?)
            }
            Data::F64(elements) => {
                let out = self.pool(elements, [batch, channels, height, width], &regions)?;
                one(HostTensor::new(shape, out)?)
            }
            _ => Err(Error::engine(format!("floats are needed, not {}", x.dtype()))),
        }
    }
}

impl MaxRoiPool {
    fn pool<T: Number>(&self, x: &[T], shape: [usize; 4], regions: &[f64]) -> Result<Vec<T>> {
        let [batch, channels, height, width] = shape;
        let mut out = Vec::new();
        for region in regions.chunks_exact(5) {
            if !(region[0] >= 0.0 && region[0] < batch as f64) {
                return Err(Error::engine(format!("a region lies on no image of {batch}")));
            }
            let image = region[0] as usize;
            let [left, top, right, bottom] = [1, 2, 3, 4].map(|index| (region[index] * self.scale).round());
            let rows = spans(top, bottom, self.output[0], height);
            let columns = spans(left, right, self.output[1], width);
            for channel in 0..channels {
                let plane = &x[(image * channels + channel) * height * width..][..height * width];
                for row_span in &rows {
                    for column_span in &columns {
                        let cell =
                            row_span.clone().flat_map(|row| &plane[row * width..][column_span.clone()]);
                        let largest = cell.copied().reduce(T::larger);
                        out.push(largest.unwrap_or(T::ZERO));
                    }
                }
            }
        }
        Ok(out)
    }
}

/// The pixels of each cell along one side of a region, both ends of which belong to it.
fn spans(start: f64, end: f64, cells: usize, length: usize) -> Vec<std::ops::Range<usize>> {
    let size = (end - start + 1.0).max(1.0) / cells as f64;
    let clamp = |place: f64| (start + place).clamp(0.0, length as f64) as usize;
    (0..cells)
        .map(|cell| {
            let first = clamp((cell as f64 * size).floor());
            let last = clamp(((cell + 1) as f64 * size).ceil());
            first..last.max(first)
        })
        .collect()
}
