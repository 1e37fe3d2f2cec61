//! Lists of integers that say what to do: attributes in old operator sets, inputs in newer ones.

use std::borrow::Cow;

use mlops_core::Result;

use crate::engine::onnx::ops::Source;
use crate::engine::onnx::value::Inputs;

/// Where an operator finds a list of integers.
#[derive(Debug, Clone)]
pub(in crate::engine::onnx::ops) enum Integers {
    Known(Vec<i64>),
    Input(usize),
    Absent,
}

impl Integers {
    /// The attribute of that name.
    pub(in crate::engine::onnx::ops) fn attribute(source: &Source<'_>, name: &str) -> Result<Self> {
        Ok(match source.node.attributes.ints(name)? {
            Some(values) => Self::Known(values.clone()),
            None => Self::Absent,
        })
    }

    /// The input at that place.
    pub(in crate::engine::onnx::ops) fn input(source: &Source<'_>, index: usize) -> Result<Self> {
        Ok(match (source.constant(index), source.node.input(index)) {
            (Some(constant), _) => Self::Known(constant.to_i64s()?),
            (None, Some(_)) => Self::Input(index),
            (None, None) => Self::Absent,
        })
    }

    /// The attribute of that name before operator set `since`, the input at that place from then on.
    pub(in crate::engine::onnx::ops) fn attribute_until(
        since: i64,
        source: &Source<'_>,
        name: &str,
        index: usize,
    ) -> Result<Self> {
        if source.node.opset < since { Self::attribute(source, name) } else { Self::input(source, index) }
    }

    /// The integers; `None` when they are not given.
    pub(in crate::engine::onnx::ops) fn get(&self, inputs: &Inputs<'_>) -> Result<Option<Cow<'_, [i64]>>> {
        match self {
            Self::Known(values) => Ok(Some(Cow::Borrowed(values))),
            Self::Input(index) => Ok(inputs.optional_i64s(*index)?.map(Cow::Owned)),
            Self::Absent => Ok(None),
        }
    }
}
