//! `StringConcat`, `StringSplit` and `RegexFullMatch`.

use mlops_core::{Error, Result};
use smallvec::smallvec;

use super::pattern::Pattern;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};

/// Joins strings in pairs, with broadcasting.
#[derive(Debug)]
struct StringConcat;

pub(super) fn string_concat(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(StringConcat))
}

impl Operator for StringConcat {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let shape = broadcast(a.shape(), b.shape())?;
        let count = element_count(&shape)?;
        let (a, b) = (Broadcast::new(a, &shape)?, Broadcast::new(b, &shape)?);
        let mut joined = Vec::new();
        joined.try_reserve_exact(count).map_err(|_| too_large(&shape))?;
        joined.extend((0..count).map(|index| format!("{}{}", a.at(index), b.at(index))));
        one(HostTensor::new(shape, joined)?)
    }
}

fn too_large(shape: &[usize]) -> Error {
    Error::engine(format!("strings of the shape {shape:?} do not fit in memory"))
}

fn broadcast(a: &[usize], b: &[usize]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    let at =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let lengths = (0..rank).map(|axis| match (at(a, axis), at(b, axis)) {
        (a, b) if a == b => Ok(a),
        (1, length) | (length, 1) => Ok(length),
        _ => Err(Error::engine(format!("the shapes {a:?} and {b:?} do not fit each other"))),
    });
    lengths.collect()
}

/// Strings that are seen in a larger shape.
struct Broadcast<'a> {
    strings: &'a [String],
    /// Of each dimension of the larger shape, innermost first: its length, and the step in the strings.
    steps: Vec<(usize, usize)>,
}

impl<'a> Broadcast<'a> {
    fn new(tensor: &'a HostTensor, shape: &[usize]) -> Result<Self> {
        let mut stride = 1;
        let own = tensor.shape().iter().rev().copied().chain(std::iter::repeat(1));
        let steps = shape.iter().rev().zip(own).map(|(&length, own)| {
            let step = if own == 1 { 0 } else { stride };
            stride *= own;
            (length, step)
        });
        Ok(Self { strings: tensor.elements()?, steps: steps.collect() })
    }

    fn at(&self, index: usize) -> &str {
        let mut rest = index;
        let mut place = 0;
        for &(length, step) in &self.steps {
            place += rest % length * step;
            rest /= length;
        }
        &self.strings[place]
    }
}

/// Cuts strings at a delimiter, or at white space.
#[derive(Debug)]
struct StringSplit {
    /// Empty for white space.
    delimiter: String,
    most: Option<usize>,
}

pub(super) fn string_split(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(StringSplit {
        delimiter: attributes.text("delimiter")?.cloned().unwrap_or_default(),
        // A negative number of cuts is no limit, as in Python.
        most: attributes.optional_int("maxsplit")?.and_then(|most| usize::try_from(most).ok()),
    }))
}

impl StringSplit {
    fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let parts = self.most.map_or(usize::MAX, |most| most.saturating_add(1));
        if !self.delimiter.is_empty() {
            return text.splitn(parts, &*self.delimiter).collect();
        }
        let white = char::is_whitespace;
        let mut split = Vec::new();
        let mut rest = text.trim_matches(white);
        while !rest.is_empty() {
            if split.len() + 1 == parts {
                split.push(rest);
                break;
            }
            let end = rest.find(white).unwrap_or(rest.len());
            split.push(&rest[..end]);
            rest = rest[end..].trim_start_matches(white);
        }
        split
    }
}

impl Operator for StringSplit {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let split: Vec<Vec<&str>> = input.elements::<String>()?.iter().map(|text| self.split(text)).collect();
        let longest = split.iter().map(Vec::len).max().unwrap_or(0);
        let counts: Vec<i64> = split.iter().map(|parts| parts.len() as i64).collect();
        let counts = HostTensor::new(Shape::from_slice(input.shape()), counts)?;
        let mut shape = Shape::from_slice(input.shape());
        shape.push(longest);
        let padded = pad(&split, &shape, "")?;
        Ok(smallvec![Value::Tensor(HostTensor::new(shape, padded)?), Value::Tensor(counts)])
    }
}

/// Lists of strings as rows of that shape, filled up with another string.
pub(super) fn pad(lists: &[Vec<&str>], shape: &[usize], filling: &str) -> Result<Vec<String>> {
    let count = element_count(shape)?;
    let mut padded = Vec::new();
    padded.try_reserve_exact(count).map_err(|_| too_large(shape))?;
    let length = shape.last().copied().unwrap_or(1);
    for list in lists {
        padded.extend(list.iter().copied().map(str::to_owned));
        padded.extend(std::iter::repeat_n(filling.to_owned(), length.saturating_sub(list.len())));
    }
    Ok(padded)
}

/// Whether each string matches a pattern from its beginning to its end.
#[derive(Debug)]
struct RegexFullMatch {
    pattern: Pattern,
}

pub(super) fn regex_full_match(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let pattern = source.node.attributes.text("pattern")?.map_or("", String::as_str);
    Ok(Box::new(RegexFullMatch { pattern: Pattern::new(pattern)? }))
}

impl Operator for RegexFullMatch {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let texts = input.elements::<String>()?;
        let matches: Vec<bool> = texts.iter().map(|text| self.pattern.is_full_match(text)).collect();
        one(HostTensor::new(Shape::from_slice(input.shape()), matches)?)
    }
}
