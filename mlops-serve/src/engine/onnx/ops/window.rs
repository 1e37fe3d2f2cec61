//! Windows that slide over spatial dimensions, as convolutions and poolings have them.

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use crate::engine::onnx::graph::Attributes;

/// A number for each spatial dimension.
pub(super) type PerAxis = SmallVec<[usize; 3]>;

/// The attributes `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode`.
#[derive(Debug, Clone)]
pub(super) struct Window {
    kernel: Option<PerAxis>,
    strides: Option<PerAxis>,
    dilations: Option<PerAxis>,
    padding: Padding,
    ceil: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Padding {
    /// Before every axis, then after every axis.
    Explicit(Option<PerAxis>),
    /// As many outputs as strides fit in the input; an odd one goes to the end.
    SameUpper,
    /// As `SameUpper`; an odd one goes to the start.
    SameLower,
    None,
}

/// A window on an input of known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) kernel: PerAxis,
    pub(super) strides: PerAxis,
    pub(super) dilations: PerAxis,
    pub(super) pads_begin: PerAxis,
    pub(super) pads_end: PerAxis,
    pub(super) output: PerAxis,
}

/// The largest kernel size, stride, dilation or padding, so that arithmetic on them cannot overflow.
const LARGEST: usize = 1 << 40;

impl Window {
    pub(super) fn parse(attributes: &Attributes) -> Result<Self> {
        let auto_pad = attributes.text("auto_pad")?.map_or("NOTSET", String::as_str);
        let padding = match auto_pad {
            "NOTSET" | "" => Padding::Explicit(sizes(attributes, "pads", 0)?),
            "SAME_UPPER" => Padding::SameUpper,
            "SAME_LOWER" => Padding::SameLower,
            "VALID" => Padding::None,
            other => return Err(Error::invalid_input(format!("there is no auto_pad `{other}`"))),
        };
        Ok(Self {
            kernel: sizes(attributes, "kernel_shape", 1)?,
            strides: sizes(attributes, "strides", 1)?,
            dilations: sizes(attributes, "dilations", 1)?,
            padding,
            ceil: attributes.flag("ceil_mode", false)?,
        })
    }

    /// The kernel, which must have been given.
    pub(super) fn kernel(&self) -> Result<&[usize]> {
        self.kernel.as_deref().ok_or_else(|| Error::invalid_input("the attribute `kernel_shape` is missing"))
    }

    /// Whether padding is given, or none, whatever the size of the input.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.padding, Padding::Explicit(_) | Padding::None)
    }

    /// Strides for that many axes.
    pub(super) fn strides(&self, rank: usize) -> Result<PerAxis> {
        per_axis(&self.strides, rank, 1, "strides")
    }

    /// Dilations for that many axes.
    pub(super) fn dilations(&self, rank: usize) -> Result<PerAxis> {
        per_axis(&self.dilations, rank, 1, "dilations")
    }

    /// Padding before and after each of that many axes, where it does not depend on the input.
    pub(super) fn pads(&self, rank: usize) -> Result<(PerAxis, PerAxis)> {
        let zeros = PerAxis::from_elem(0, rank);
        match &self.padding {
            Padding::Explicit(Some(pads)) => {
                if pads.len() != 2 * rank {
                    let given = pads.len();
                    return Err(Error::invalid_input(format!("{} pads are needed, not {given}", 2 * rank)));
                }
                Ok((PerAxis::from_slice(&pads[..rank]), PerAxis::from_slice(&pads[rank..])))
            }
            _ => Ok((zeros.clone(), zeros)),
        }
    }

    /// Whether the attribute asks for SAME_UPPER.
    pub(super) fn is_same_upper(&self) -> bool {
        self.padding == Padding::SameUpper
    }

    /// The window over an input of that spatial size. `kernel` is that of the weights, where there are any.
    ///
    /// # Errors
    /// When the kernel is larger than the padded input, or lists are not of the rank of the input.
    pub(super) fn place(&self, kernel: Option<&[usize]>, input: &[usize]) -> Result<Placement> {
        let rank = input.len();
        let kernel = match (kernel, &self.kernel) {
            (Some(kernel), Some(own)) if kernel != own.as_slice() => {
                return Err(Error::invalid_input(format!(
                    "the weights have a kernel of {kernel:?}, but the attribute `kernel_shape` says {own:?}"
                )));
            }
            (Some(kernel), _) => PerAxis::from_slice(kernel),
            (None, _) => PerAxis::from_slice(self.kernel()?),
        };
        if kernel.len() != rank {
            return Err(Error::engine(format!(
                "a kernel of {kernel:?} does not fit {rank} spatial dimensions"
            )));
        }
        let (strides, dilations) = (self.strides(rank)?, self.dilations(rank)?);
        let (mut pads_begin, mut pads_end) = self.pads(rank)?;
        let mut output = PerAxis::new();
        for axis in 0..rank {
            let (length, stride) = (input[axis], strides[axis]);
            let too_large = || {
                Error::engine(format!(
                    "a kernel of {kernel:?} with its dilations does not fit an input of {input:?}"
                ))
            };
            let extent = kernel[axis].checked_sub(1).and_then(|steps| steps.checked_mul(dilations[axis]));
            let extent =
                extent.filter(|&extent| extent < LARGEST && length < LARGEST).ok_or_else(too_large)? + 1;
            if matches!(self.padding, Padding::SameUpper | Padding::SameLower) {
                let outputs = length.div_ceil(stride);
                let needed = (outputs.max(1) - 1) * stride + extent;
                let total = needed.saturating_sub(length);
                let smaller = total / 2;
                let (begin, end) = match self.padding {
                    Padding::SameUpper => (smaller, total - smaller),
                    _ => (total - smaller, smaller),
                };
                (pads_begin[axis], pads_end[axis]) = (begin, end);
                output.push(outputs);
                continue;
            }
            let padded = length + pads_begin[axis] + pads_end[axis];
            let room = padded.checked_sub(extent).ok_or_else(too_large)?;
            let mut outputs = room / stride + 1;
            // A window that would start in the padding after the input is left out.
            if self.ceil && room % stride != 0 && outputs * stride < length + pads_begin[axis] {
                outputs += 1;
            }
            output.push(outputs);
        }
        Ok(Placement { kernel, strides, dilations, pads_begin, pads_end, output })
    }
}

impl Placement {
    /// Which kernel elements of the window at `output` lie between `low` and `high`, positions counted from the start
    /// of the input, and where the first one is.
    pub(super) fn taps(
        &self,
        axis: usize,
        output: usize,
        low: isize,
        high: isize,
    ) -> (isize, std::ops::Range<usize>) {
        let dilation = self.dilations[axis] as isize;
        let start = (output * self.strides[axis]) as isize - self.pads_begin[axis] as isize;
        let first = if start >= low {
            0
        } else {
            (low - start).div_euclid(dilation) + isize::from((low - start) % dilation != 0)
        };
        let last = if start >= high { 0 } else { (high - 1 - start).div_euclid(dilation) + 1 };
        let kernel = self.kernel[axis] as isize;
        let (first, last) = (first.min(kernel), last.clamp(0, kernel));
        (start, first as usize..last.max(first) as usize)
    }
}

/// A list of integers of at least `least`.
fn sizes(attributes: &Attributes, name: &str, least: i64) -> Result<Option<PerAxis>> {
    let Some(values) = attributes.ints(name)? else { return Ok(None) };
    let size = |&value: &i64| {
        let size = usize::try_from(value).ok().filter(|&size| value >= least && size < LARGEST);
        size.ok_or_else(|| {
            Error::invalid_input(format!("the attribute `{name}` holds {value}, which cannot be"))
        })
    };
    values.iter().map(size).collect::<Result<PerAxis>>().map(Some)
}

fn per_axis(values: &Option<PerAxis>, rank: usize, default: usize, name: &str) -> Result<PerAxis> {
    match values {
        None => Ok(PerAxis::from_elem(default, rank)),
        Some(values) if values.len() == rank => Ok(values.clone()),
        Some(values) => {
            let given = values.len();
            Err(Error::engine(format!("{given} {name} were given for {rank} spatial dimensions")))
        }
    }
}
