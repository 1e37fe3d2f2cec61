//! `Resize` and its predecessor `Upsample`: which axes change, from which length to which.

use mlops_core::{Error, Result};

use super::axis::{Axis, Coordinates, Filter, Nearest};
use super::{nearest, weighted};
use crate::engine::onnx::ops::floats::to_doubles;
use crate::engine::onnx::ops::support::axes;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct Resize {
    mode: Mode,
    coordinates: Coordinates,
    extrapolation: f32,
    axes: Option<Vec<i64>>,
    policy: Policy,
    places: Places,
    /// `scales` as an attribute.
    scales: Option<Vec<f32>>,
}

#[derive(Debug)]
enum Mode {
    Nearest(Nearest),
    Weighted(Filter),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// Which input is what; versions of the operators differ.
#[derive(Debug)]
struct Places {
    regions: Option<usize>,
    scales: usize,
    sizes: Option<usize>,
}

pub(super) fn resize(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let text = |name: &str, default: &'static str| -> Result<&str> {
        Ok(attributes.text(name)?.map_or(default, String::as_str))
    };
    let wrong =
        |name: &str, given: &str| Error::invalid_input(format!("the attribute `{name}` cannot be `{given}`"));
    if source.node.opset < 11 {
        return simple(source, Places { regions: None, scales: 1, sizes: None }, None);
    }
    let mode = text("mode", "nearest")?;
    let nearest_mode = text("nearest_mode", "round_prefer_floor")?;
    let mode = if mode == "nearest" {
        Mode::Nearest(Nearest::parse(nearest_mode).ok_or_else(|| wrong("nearest_mode", nearest_mode))?)
    } else {
        let cubic = match mode {
            "linear" => None,
            "cubic" => Some(attributes.float("cubic_coeff_a", -0.75)?),
            other => return Err(wrong("mode", other)),
        };
        Mode::Weighted(Filter {
            cubic,
            antialias: attributes.flag("antialias", false)?,
            exclude_outside: attributes.flag("exclude_outside", false)?,
        })
    };
    let name = "coordinate_transformation_mode";
    let coordinates = text(name, "half_pixel")?;
    let policy = match text("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => Policy::Stretch,
        "not_larger" => Policy::NotLarger,
        "not_smaller" => Policy::NotSmaller,
        other => return Err(wrong("keep_aspect_ratio_policy", other)),
    };
    Ok(Box::new(Resize {
        mode,
        coordinates: Coordinates::parse(coordinates).ok_or_else(|| wrong(name, coordinates))?,
        extrapolation: attributes.float("extrapolation_value", 0.0)?,
        axes: attributes.ints("axes")?.cloned(),
        policy,
        places: Places { regions: Some(1), scales: 2, sizes: Some(3) },
        scales: None,
    }))
}

pub(super) fn upsample(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    if source.node.opset >= 10 {
        return Err(Error::unsupported("version 10 of ai.onnx replaced Upsample by Resize"));
    }
    let scales = match source.node.opset {
        ..9 => {
            let scales = source.node.attributes.floats("scales")?;
            Some(scales.ok_or_else(|| Error::invalid_input("the attribute `scales` is missing"))?.clone())
        }
        _ => None,
    };
    simple(source, Places { regions: None, scales: 1, sizes: None }, scales)
}

/// As it was before version 11.
fn simple(source: &Source<'_>, places: Places, scales: Option<Vec<f32>>) -> Result<Box<dyn Operator>> {
    let mode = match source.node.attributes.text("mode")?.map_or("nearest", String::as_str) {
        "nearest" => Mode::Nearest(Nearest::Simple),
        "linear" | "bilinear" => {
            Mode::Weighted(Filter { cubic: None, antialias: false, exclude_outside: false })
        }
        other => return Err(Error::invalid_input(format!("the attribute `mode` cannot be `{other}`"))),
    };
    Ok(Box::new(Resize {
        mode,
        coordinates: Coordinates::Asymmetric,
        extrapolation: 0.0,
        axes: None,
        policy: Policy::Stretch,
        places,
        scales,
    }))
}

impl Operator for Resize {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let changes = self.changes(inputs)?;
        let x = inputs.tensor(0)?;
        let shape: Shape = changes.iter().map(|axis| axis.output).collect();
        element_count(&shape)?;
        if x.is_empty() && !shape.contains(&0) {
            return Err(Error::engine(format!("nothing cannot be resized to {shape:?}")));
        }
        one(match &self.mode {
            Mode::Nearest(rounding) => {
                let maps: Vec<Vec<usize>> = changes
                    .iter()
                    .map(|axis| axis.nearest(self.coordinates, *rounding))
                    .collect::<Result<_>>()?;
                let outside = self.outside(&changes)?;
                nearest::resize(x, shape, &maps, outside.as_deref(), self.extrapolation, context)?
            }
            Mode::Weighted(filter) => {
                let maps = changes
                    .iter()
                    .map(|axis| axis.taps(self.coordinates, filter))
                    .collect::<Result<Vec<_>>>()?;
                let outside = self.outside(&changes)?;
                weighted::resize(x, shape, &maps, outside.as_deref(), self.extrapolation, context)?
            }
        })
    }
}

impl Resize {
    /// The outputs of each axis that lie outside of the input, where these get a value of their own.
    fn outside(&self, changes: &[Axis]) -> Result<Option<Vec<Vec<bool>>>> {
        if self.coordinates != Coordinates::CropAndResize {
            return Ok(None);
        }
        let outside: Vec<Vec<bool>> =
            changes.iter().map(|axis| axis.outside(self.coordinates)).collect::<Result<_>>()?;
        Ok(outside.iter().flatten().any(|&outside| outside).then_some(outside))
    }

    /// Every axis of the input, whether it changes or not.
    fn changes(&self, inputs: &Inputs<'_>) -> Result<Vec<Axis>> {
        let x = inputs.tensor(0)?;
        let rank = x.rank();
        let chosen: Vec<usize> = match &self.axes {
            Some(given) => axes(given, rank)?.to_vec(),
            None => (0..rank).collect(),
        };
        let mut changes: Vec<Axis> = x.shape().iter().map(|&length| Axis::unchanged(length)).collect();
        if self.coordinates == Coordinates::CropAndResize {
            let regions = match self.places.regions.map(|place| inputs.optional(place)).transpose()?.flatten()
            {
                Some(regions) => to_doubles(regions)?,
                None => return Err(Error::engine("tf_crop_and_resize needs regions")),
            };
            if regions.len() != 2 * chosen.len() {
                let given = regions.len();
                return Err(Error::engine(format!(
                    "{} ends of regions are needed, not {given}",
                    2 * chosen.len()
                )));
            }
            for (index, &axis) in chosen.iter().enumerate() {
                changes[axis].region = [regions[index] as f32, regions[chosen.len() + index] as f32];
                changes[axis].fixed = false;
            }
        }
        let given = |tensor: Option<&HostTensor>| tensor.filter(|tensor| !tensor.is_empty()).cloned();
        let sizes = given(self.places.sizes.map(|place| inputs.optional(place)).transpose()?.flatten());
        if let Some(sizes) = sizes {
            let sizes = sizes.to_i64s()?;
            check_count(sizes.len(), chosen.len())?;
            self.apply_sizes(&mut changes, &chosen, &sizes)?;
            return Ok(changes);
        }
        let scales = match &self.scales {
            Some(scales) => scales.clone(),
            None => match given(inputs.optional(self.places.scales)?) {
                Some(scales) => scales.elements::<f32>()?.to_vec(),
                None => return Err(Error::engine("neither scales nor sizes are given")),
            },
        };
        check_count(scales.len(), chosen.len())?;
        for (&scale, &axis) in scales.iter().zip(&chosen) {
            if !(scale > 0.0 && scale.is_finite()) {
                return Err(Error::engine(format!("a scale must be positive, not {scale}")));
            }
            let axis = &mut changes[axis];
            let part = if self.coordinates == Coordinates::CropAndResize {
                axis.region[1] - axis.region[0]
            } else {
                1.0
            };
            let length = (axis.input as f32 * part * scale).floor();
            if !(0.0..=1e12).contains(&length) {
                return Err(Error::engine(format!("a scale of {scale} makes no length of {}", axis.input)));
            }
            axis.output = length as usize;
            axis.scale = scale;
            axis.fixed = axis.fixed && scale == 1.0;
        }
        Ok(changes)
    }

    fn apply_sizes(&self, changes: &mut [Axis], chosen: &[usize], sizes: &[i64]) -> Result<()> {
        let wrong = || Error::engine(format!("the sizes {sizes:?} cannot be"));
        let sizes = sizes.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size < 1 << 40));
        let sizes = sizes.collect::<Option<Vec<usize>>>().ok_or_else(wrong)?;
        let scales = sizes.iter().zip(chosen).map(|(&size, &axis)| size as f32 / changes[axis].input as f32);
        let common = match self.policy {
            Policy::Stretch => None,
            Policy::NotLarger => Some(scales.fold(f32::INFINITY, f32::min)),
            Policy::NotSmaller => Some(scales.fold(f32::NEG_INFINITY, f32::max)),
        };
        if common.is_some_and(|common| !common.is_finite()) {
            return Err(wrong());
        }
        for (&size, &axis) in sizes.iter().zip(chosen) {
            let axis = &mut changes[axis];
            match common {
                None => {
                    axis.output = size;
                    axis.scale = size as f32 / axis.input.max(1) as f32;
                }
                Some(common) => {
                    axis.output = (common * axis.input as f32 + 0.5).floor() as usize;
                    axis.scale = common;
                }
            }
            axis.fixed = axis.fixed && axis.output == axis.input;
        }
        Ok(())
    }
}

fn check_count(given: usize, needed: usize) -> Result<()> {
    if given == needed {
        return Ok(());
    }
    Err(Error::engine(format!("{needed} scales or sizes are needed, not {given}")))
}
