//! Windows that move over the spatial dimensions of a tensor.

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::Attributes;

/// The attributes of a window, as the node gives them.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    pads: Option<Vec<usize>>,
    auto_pad: AutoPad,
    /// Whether a window that only begins within the input counts.
    ceil: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AutoPad {
    NotSet,
    Valid,
    SameUpper,
    SameLower,
}

/// A window over an input of certain lengths.
#[derive(Debug)]
pub(super) struct Geometry {
    input: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    before: Vec<usize>,
    pub(super) output: Vec<usize>,
}

/// The longest kernel, stride, dilation or padding that is taken for one.
const LONGEST: usize = 1 << 20;

/// The most elements of a window.
const LARGEST: usize = 1 << 24;

impl Window {
    pub(super) fn parse(attributes: &Attributes) -> Result<Self> {
        let lengths = |name: &str, least: usize| -> Result<Option<Vec<usize>>> {
            let Some(given) = attributes.ints(name)? else { return Ok(None) };
            let fits = |&value: &i64| {
                usize::try_from(value).ok().filter(|value| *value >= least && *value <= LONGEST)
            };
            given.iter().map(fits).collect::<Option<Vec<_>>>().map(Some).ok_or_else(|| {
                Error::invalid_input(format!("the attribute `{name}` must not have numbers as in {given:?}"))
            })
        };
        let auto_pad = match attributes.text("auto_pad")?.map_or("NOTSET", String::as_str) {
            "NOTSET" | "" => AutoPad::NotSet,
            "VALID" => AutoPad::Valid,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            other => return Err(Error::invalid_input(format!("`auto_pad` cannot be `{other}`"))),
        };
        Ok(Self {
            kernel: lengths("kernel_shape", 1)?,
            strides: lengths("strides", 1)?,
            dilations: lengths("dilations", 1)?,
            pads: lengths("pads", 0)?,
            auto_pad,
            ceil: attributes.flag("ceil_mode", false)?,
        })
    }

    /// The window over an input with those spatial lengths.
    pub(super) fn over(&self, input: &[usize], kernel: &[usize]) -> Result<Geometry> {
        let rank = input.len();
        let or = |given: &Option<Vec<usize>>, default: usize, count: usize| {
            given.clone().unwrap_or_else(|| vec![default; count])
        };
        let (strides, dilations) = (or(&self.strides, 1, rank), or(&self.dilations, 1, rank));
        let pads = or(&self.pads, 0, 2 * rank);
        if [kernel.len(), strides.len(), dilations.len(), pads.len() / 2] != [rank; 4] {
            return Err(Error::engine(format!(
                "kernel, strides, dilations and pads do not all belong to {rank} dimensions"
            )));
        }
        if crate::engine::onnx::ops::support::product(kernel) > LARGEST || kernel.contains(&0) {
            return Err(Error::engine(format!("the kernel {kernel:?} is none that could be computed")));
        }
        let (mut before, mut output) = (Vec::with_capacity(rank), Vec::with_capacity(rank));
        for index in 0..rank {
            let (length, stride) = (input[index], strides[index]);
            let extent = (kernel[index] - 1).saturating_mul(dilations[index]).saturating_add(1);
            let (first, last) = match self.auto_pad {
                AutoPad::NotSet => (pads[index], pads[index + rank]),
                AutoPad::Valid => (0, 0),
                same => {
                    let covered = (length.div_ceil(stride).max(1) - 1).saturating_mul(stride);
                    let total = covered.saturating_add(extent).saturating_sub(length);
                    let less = total / 2;
                    if same == AutoPad::SameUpper { (less, total - less) } else { (total - less, less) }
                }
            };
            let padded = length.saturating_add(first).saturating_add(last);
            let Some(room) = padded.checked_sub(extent) else {
                return Err(Error::engine(format!(
                    "a window of {extent} does not fit into a padded length of {padded}"
                )));
            };
            let mut places = if self.ceil { room.div_ceil(stride) } else { room / stride } + 1;
            if self.ceil && (places - 1).saturating_mul(stride) >= length.saturating_add(first) {
                places -= 1; // it would begin in the padding at the end
            }
            before.push(first);
            output.push(places);
        }
        let kernel = kernel.to_vec();
        Ok(Geometry { input: input.to_vec(), kernel, strides, dilations, before, output })
    }
}

impl Geometry {
    /// The number of places of the window.
    pub(super) fn places(&self) -> usize {
        crate::engine::onnx::ops::support::product(&self.output)
    }

    /// Where in a plane of the input the elements of the window at a place are; `None` in the padding.
    pub(super) fn window(&self, place: usize, offsets: &mut Vec<Option<usize>>) {
        offsets.clear();
        offsets.push(Some(0));
        let mut rest = place;
        let mut corner = vec![0; self.output.len()];
        for (corner, (&length, &stride)) in corner.iter_mut().zip(self.output.iter().zip(&self.strides)).rev()
        {
            *corner = rest % length * stride;
            rest /= length;
        }
        for (dimension, &corner) in corner.iter().enumerate() {
            let (length, before) = (self.input[dimension], self.before[dimension]);
            let outer = std::mem::take(offsets);
            for offset in outer {
                offsets.extend((0..self.kernel[dimension]).map(|index| {
                    let position = corner + index * self.dilations[dimension];
                    let position = position.checked_sub(before).filter(|&position| position < length)?;
                    Some(offset? * length + position)
                }));
            }
        }
    }
}
