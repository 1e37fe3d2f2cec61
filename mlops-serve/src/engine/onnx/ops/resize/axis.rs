//! One axis of a resampling: which inputs make an output, and with which weights.

use mlops_core::{Error, Result};

/// How the coordinate of an output is mapped to one of the input; as in the specification of `Resize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    CropAndResize,
}

impl Coordinates {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "half_pixel" | "tf_half_pixel_for_nn" => Self::HalfPixel,
            "half_pixel_symmetric" => Self::HalfPixelSymmetric,
            "pytorch_half_pixel" => Self::PytorchHalfPixel,
            "align_corners" => Self::AlignCorners,
            "asymmetric" => Self::Asymmetric,
            "tf_crop_and_resize" => Self::CropAndResize,
            _ => return None,
        })
    }
}

/// Which of two neighbours is the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nearest {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Floor when the length grows, ceil when it shrinks: onnxruntime's reading of versions before 11.
    Simple,
}

impl Nearest {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "round_prefer_floor" => Self::PreferFloor,
            "round_prefer_ceil" => Self::PreferCeil,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            _ => return None,
        })
    }
}

/// How neighbours are weighted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    /// The coefficient of cubic interpolation (Keys, 1981); linear without.
    pub(super) cubic: Option<f32>,
    pub(super) antialias: bool,
    pub(super) exclude_outside: bool,
}

/// The inputs that make each output, as many for each.
#[derive(Debug, Clone)]
pub(super) struct Taps {
    /// Weights for each output.
    pub(super) count: usize,
    pub(super) places: Vec<usize>,
    pub(super) weights: Vec<f32>,
    /// Whether every output is the input at its place.
    pub(super) identity: bool,
}

/// The most weights of an axis.
const MOST_TAPS: f32 = 1e9;

/// An axis that may change its length.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) scale: f32,
    /// The part of the input that is seen, of `CropAndResize` only.
    pub(super) region: [f32; 2],
    /// Whether nothing happens along this axis.
    pub(super) fixed: bool,
}

impl Axis {
    pub(super) fn unchanged(length: usize) -> Self {
        Self { input: length, output: length, scale: 1.0, region: [0.0, 1.0], fixed: true }
    }

    /// The coordinate in the input of an output. In single precision, as onnxruntime computes it: ties and truncations
    /// depend on it.
    fn source(&self, coordinates: Coordinates, output: usize) -> f32 {
        let (x, scale, input) = (output as f32, self.scale, self.input as f32);
        let exact = scale * input;
        let half_pixel = (x + 0.5) / scale - 0.5;
        match coordinates {
            Coordinates::HalfPixel => half_pixel,
            Coordinates::PytorchHalfPixel if self.output <= 1 => 0.0,
            Coordinates::PytorchHalfPixel => half_pixel,
            Coordinates::HalfPixelSymmetric => {
                let offset = input / 2.0 * (1.0 - self.output as f32 / exact);
                offset + half_pixel
            }
            Coordinates::AlignCorners if exact == 1.0 => 0.0,
            Coordinates::AlignCorners => x * (input - 1.0) / (exact - 1.0),
            Coordinates::Asymmetric => x / scale,
            Coordinates::CropAndResize => {
                let [start, end] = self.region;
                if self.output > 1 {
                    start * (input - 1.0) + x * (end - start) * (input - 1.0) / (self.output as f32 - 1.0)
                } else {
                    0.5 * (start + end) * (input - 1.0)
                }
            }
        }
    }

    /// Which outputs lie outside of the input.
    pub(super) fn outside(&self, coordinates: Coordinates) -> Result<Vec<bool>> {
        let mut outside = reserve(self.output)?;
        outside.extend((0..self.output).map(|output| {
            let x = self.source(coordinates, output);
            !self.fixed && !(0.0..=self.input as f32 - 1.0).contains(&x)
        }));
        Ok(outside)
    }

    /// The nearest input of each output.
    pub(super) fn nearest(&self, coordinates: Coordinates, rounding: Nearest) -> Result<Vec<usize>> {
        let mut places = reserve(self.output)?;
        if self.fixed {
            places.extend(0..self.output);
            return Ok(places);
        }
        let last = self.input.saturating_sub(1);
        places.extend((0..self.output).map(|output| {
            let x = self.source(coordinates, output);
            let place = match rounding {
                Nearest::PreferFloor if x == x.floor() + 0.5 => x.floor(),
                Nearest::PreferFloor => x.round(),
                Nearest::PreferCeil if x == x.floor() + 0.5 => x.ceil(),
                Nearest::PreferCeil => x.round(),
                Nearest::Simple if self.scale < 1.0 => x.ceil(),
                Nearest::Floor | Nearest::Simple => x.floor(),
                Nearest::Ceil => x.ceil(),
            };
            (place.max(0.0) as usize).min(last)
        }));
        Ok(places)
    }

    /// The neighbours of each output and their weights.
    pub(super) fn taps(&self, coordinates: Coordinates, filter: &Filter) -> Result<Taps> {
        if self.fixed {
            return Ok(Taps { count: 1, places: Vec::new(), weights: Vec::new(), identity: true });
        }
        let radius = if filter.cubic.is_some() { 2.0 } else { 1.0 };
        // A wider filter sees more inputs, so that none is skipped when there are fewer outputs.
        let shrink = if filter.antialias { self.scale.min(1.0) } else { 1.0 };
        let reach = (radius / shrink).ceil();
        let count = 2.0 * reach;
        if count * self.output as f32 > MOST_TAPS || count.is_nan() {
            return Err(Error::engine(format!(
                "resizing {} to {} sees too many neighbours",
                self.input, self.output
            )));
        }
        let (reach, count) = (reach as isize, count as usize);
        let mut places = reserve(count * self.output)?;
        let mut weights: Vec<f32> = reserve(count * self.output)?;
        let last = self.input.saturating_sub(1) as isize;
        for output in 0..self.output {
            let x = self.source(coordinates, output);
            let x = if x.is_finite() { x.clamp(-1e9, 1e9) } else { 0.0 };
            let base = x.floor() as isize;
            let first = weights.len();
            for place in base - reach + 1..=base + reach {
                let distance = ((place as f32 - x) * shrink).abs();
                let weight = match filter.cubic {
                    Some(a) => cubic(distance, a),
                    None => (1.0 - distance).max(0.0),
                };
                let outside = place < 0 || place > last;
                weights.push(if outside && filter.exclude_outside { 0.0 } else { weight });
                places.push(place.clamp(0, last.max(0)) as usize);
            }
            if filter.antialias || filter.exclude_outside {
                let sum: f32 = weights[first..].iter().sum();
                if sum != 0.0 {
                    weights[first..].iter_mut().for_each(|weight| *weight /= sum);
                }
            }
        }
        Ok(Taps { count, places, weights, identity: false })
    }
}

/// The kernel of cubic convolution (R. Keys, "Cubic convolution interpolation for digital image processing", 1981).
fn cubic(distance: f32, a: f32) -> f32 {
    if distance <= 1.0 {
        ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0
    } else if distance < 2.0 {
        ((distance - 5.0) * distance + 8.0) * distance * a - 4.0 * a
    } else {
        0.0
    }
}

fn reserve<T>(length: usize) -> Result<Vec<T>> {
    crate::engine::onnx::ops::support::reserve(length)
}
