//! `Einsum`: sums of products by the convention of Einstein, as NumPy's `einsum` reads it.
//!
//! Operands are brought together one after the other. What only one of two operands has, and nobody needs later, is
//! summed first; the rest is a matrix product for each combination of the labels that both keep.

use std::collections::BTreeMap;

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use crate::engine::onnx::ops::floats::wrong_type;
use crate::engine::onnx::ops::linear::product::{Matrix, Multiply};
use crate::engine::onnx::ops::support::{product, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count, for_numbers};
use crate::engine::onnx::value::Inputs;

/// What a dimension is called: a letter, or a place in the ellipsis counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

#[derive(Debug)]
struct Einsum {
    terms: Vec<Term>,
    output: Option<Term>,
}

/// The letters before and after an ellipsis.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    before: Vec<char>,
    /// `None` where there is no ellipsis.
    after: Option<Vec<char>>,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let equation = source.node.attributes.text("equation")?;
    let equation = equation.ok_or_else(|| Error::invalid_input("the attribute `equation` is missing"))?;
    let malformed = |what: &str| Error::invalid_input(format!("the equation `{equation}` {what}"));
    let text: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (text.as_str(), None),
    };
    let parse = |term: &str| Term::parse(term).ok_or_else(|| malformed("has a term that is not of letters"));
    let terms = left.split(',').map(parse).collect::<Result<Vec<Term>>>()?;
    let output = right.map(parse).transpose()?;
    if terms.len() != source.node.inputs.len() {
        return Err(malformed(&format!("is not one of {} operands", source.node.inputs.len())));
    }
    if let Some(output) = &output {
        let mut letters: Vec<char> = output.letters().collect();
        letters.sort_unstable();
        if letters.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(malformed("names a dimension of the output twice"));
        }
        if letters.iter().any(|letter| !terms.iter().any(|term| term.letters().any(|known| known == *letter)))
        {
            return Err(malformed("has a dimension in the output that no operand has"));
        }
    }
    Ok(Box::new(Einsum { terms, output }))
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let letters = |text: &str| -> Option<Vec<char>> {
            text.chars().all(|letter| letter.is_ascii_alphabetic()).then(|| text.chars().collect())
        };
        match text.split_once("...") {
            None => Some(Self { before: letters(text)?, after: None }),
            Some((before, after)) => Some(Self { before: letters(before)?, after: Some(letters(after)?) }),
        }
    }

    fn letters(&self) -> impl Iterator<Item = char> + '_ {
        self.before.iter().chain(self.after.iter().flatten()).copied()
    }

    /// The labels of the dimensions, when the ellipsis stands for that many.
    fn labels(&self, ellipsis: usize) -> Vec<Label> {
        let ellipsis = if self.after.is_some() { ellipsis } else { 0 };
        let before = self.before.iter().map(|&letter| Label::Letter(letter));
        let middle = (0..ellipsis).rev().map(Label::Ellipsis);
        before.chain(middle).chain(self.after.iter().flatten().map(|&letter| Label::Letter(letter))).collect()
    }
}

impl Operator for Einsum {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let tensors = inputs.tensors()?;
        let first = *tensors.first().ok_or_else(|| Error::engine("there are no operands"))?;
        for_numbers!(first.data(), |elements| {
            one(self.evaluate(elements, &tensors, context)?)
        }, _other => Err(wrong_type(first)))
    }
}

/// A tensor whose dimensions have names, each once.
#[derive(Debug)]
struct Named<T> {
    labels: Vec<Label>,
    elements: Vec<T>,
}

impl Einsum {
    fn evaluate<T: Multiply>(
        &self,
        _first: &[T],
        tensors: &[&HostTensor],
        context: &mut Context<'_>,
    ) -> Result<HostTensor> {
        if tensors.len() != self.terms.len() {
            return Err(Error::engine(format!("{} operands are needed", self.terms.len())));
        }
        let mut labels = Vec::with_capacity(tensors.len());
        let mut ellipsis = 0;
        for (term, tensor) in self.terms.iter().zip(tensors) {
            let letters = term.letters().count();
            let rest = tensor.rank().checked_sub(letters).filter(|&rest| rest == 0 || term.after.is_some());
            let rest = rest.ok_or_else(|| {
                Error::engine(format!("an operand has {} dimensions, but its term does not", tensor.rank()))
            })?;
            ellipsis = ellipsis.max(if term.after.is_some() { rest } else { 0 });
            labels.push(term.labels(rest));
        }
        let lengths = lengths(&labels, tensors)?;
        let output = match &self.output {
            Some(output) => output.labels(ellipsis),
            None => self.implicit(ellipsis),
        };
        let shape: Shape = output.iter().map(|label| lengths.get(label).copied().unwrap_or(1)).collect();
        element_count(&shape)?;
        let mut result: Option<Named<T>> = None;
        for (index, (own, tensor)) in labels.iter().zip(tensors).enumerate() {
            let later = &labels[index + 1..];
            let needed =
                |label: Label| output.contains(&label) || later.iter().any(|term| term.contains(&label));
            let earlier = result.as_ref().map_or(&[][..], |named| &named.labels);
            let operand = Self::prepare(own, tensor, |label| needed(label) || earlier.contains(&label))?;
            result = Some(match result {
                None => operand,
                Some(earlier) => combine(earlier, operand, &lengths, needed, context)?,
            });
        }
        let result = result.ok_or_else(|| Error::engine("there are no operands"))?;
        // Labels whose length is 1 everywhere were left out on the way.
        let kept: Vec<Label> = output.iter().copied().filter(|label| result.labels.contains(label)).collect();
        HostTensor::new(shape, permuted(&result, &kept, &lengths))
    }

    /// The output in the absence of an arrow: the ellipsis, then the letters that appear once, in their order.
    fn implicit(&self, ellipsis: usize) -> Vec<Label> {
        let mut letters: BTreeMap<char, usize> = BTreeMap::new();
        for letter in self.terms.iter().flat_map(Term::letters) {
            *letters.entry(letter).or_default() += 1;
        }
        let once =
            letters.into_iter().filter(|&(_, count)| count == 1).map(|(letter, _)| Label::Letter(letter));
        (0..ellipsis).rev().map(Label::Ellipsis).chain(once).collect()
    }

    /// An operand as a tensor of named dimensions: diagonals taken where a label is repeated, dimensions that nobody
    /// needs summed, those of length 1 left out.
    fn prepare<T: Multiply>(
        labels: &[Label],
        tensor: &HostTensor,
        needed: impl Fn(Label) -> bool,
    ) -> Result<Named<T>> {
        let mut kept: Vec<(Label, usize, usize)> = Vec::new();
        let mut summed: Vec<(Label, usize, usize)> = Vec::new();
        for ((&label, &length), &stride) in labels.iter().zip(tensor.shape()).zip(&strides(tensor.shape())) {
            if length == 1 {
                continue; // There is nothing to sum, and repeating is the business of the product.
            }
            let list = if needed(label) { &mut kept } else { &mut summed };
            match list.iter_mut().find(|(known, ..)| *known == label) {
                Some((.., known_stride)) => *known_stride += stride,
                None => list.push((label, length, stride)),
            }
        }
        let elements: &[T] = tensor.elements()?;
        let view = |list: &[(Label, usize, usize)]| -> SmallVec<[(usize, usize); 6]> {
            list.iter().map(|&(_, length, stride)| (length, stride)).collect()
        };
        let inner = view(&summed);
        let mut out = Vec::with_capacity(kept.iter().map(|&(_, length, _)| length).product());
        for_each_offset(&view(&kept), |start| {
            if inner.is_empty() {
                out.push(elements[start]);
                return;
            }
            let mut sum = T::ZERO;
            for_each_offset(&inner, |offset| sum = sum.plus(elements[start + offset]));
            out.push(sum);
        });
        Ok(Named { labels: kept.iter().map(|&(label, ..)| label).collect(), elements: out })
    }
}

/// The length of every label.
fn lengths(labels: &[Vec<Label>], tensors: &[&HostTensor]) -> Result<BTreeMap<Label, usize>> {
    let mut lengths: BTreeMap<Label, usize> = BTreeMap::new();
    for (labels, tensor) in labels.iter().zip(tensors) {
        for (&label, &length) in labels.iter().zip(tensor.shape()) {
            let known = lengths.entry(label).or_insert(length);
            if *known == 1 {
                *known = length;
            } else if length != *known && length != 1 {
                let known = *known;
                return Err(Error::engine(format!(
                    "a dimension of the equation is {known} here and {length} there"
                )));
            }
        }
    }
    Ok(lengths)
}

/// The product of two operands over the labels that both have and nobody needs later.
fn combine<T: Multiply>(
    a: Named<T>,
    b: Named<T>,
    lengths: &BTreeMap<Label, usize>,
    needed: impl Fn(Label) -> bool,
    context: &mut Context<'_>,
) -> Result<Named<T>> {
    let both = |label: &Label| a.labels.contains(label) && b.labels.contains(label);
    let batch: Vec<Label> = a.labels.iter().copied().filter(|label| both(label) && needed(*label)).collect();
    let depth: Vec<Label> = a.labels.iter().copied().filter(|label| both(label) && !needed(*label)).collect();
    // What only the left operand has and nobody needs could not be summed when it was made, so it is here.
    let (rows, left): (Vec<Label>, Vec<Label>) =
        a.labels.iter().copied().filter(|label| !both(label)).partition(|&label| needed(label));
    let columns: Vec<Label> = b.labels.iter().copied().filter(|label| !both(label)).collect();
    let size = |labels: &[Label]| product(&labels.iter().map(|label| lengths[label]).collect::<Shape>());
    let (batches, row_count, depth_count, column_count) =
        (size(&batch), size(&rows), size(&depth), size(&columns));
    let left_elements = {
        let order: Vec<Label> = [&batch[..], &rows, &depth, &left].concat();
        let elements = permuted(&a, &order, lengths);
        let extra = size(&left);
        if left.is_empty() {
            elements
        } else {
            elements
                .chunks(extra.max(1))
                .map(|group| group.iter().fold(T::ZERO, |sum, &x| sum.plus(x)))
                .collect()
        }
    };
    let right_elements = permuted(&b, &[&batch[..], &depth, &columns].concat(), lengths);
    let labels = [&batch[..], &rows, &columns].concat();
    let shape: Shape = labels.iter().map(|label| lengths[label]).collect();
    let mut out = vec![T::ZERO; element_count(&shape)?];
    let (left_size, right_size) = (row_count * depth_count, depth_count * column_count);
    let each = row_count * column_count;
    if each > 0 && depth_count > 0 {
        for index in 0..batches {
            let a =
                Matrix::row_major(&left_elements[index * left_size..][..left_size], row_count, depth_count);
            let b = Matrix::row_major(
                &right_elements[index * right_size..][..right_size],
                depth_count,
                column_count,
            );
            let out = &mut out[index * each..][..each];
            T::multiply(out, a, b, &mut context.memory.scratch, context.threads);
        }
    }
    Ok(Named { labels, elements: out })
}

/// The elements with the dimensions in another order.
fn permuted<T: Multiply>(tensor: &Named<T>, order: &[Label], lengths: &BTreeMap<Label, usize>) -> Vec<T> {
    if tensor.labels == order {
        return tensor.elements.clone();
    }
    let shape: Shape = tensor.labels.iter().map(|label| lengths[label]).collect();
    let strides = strides(&shape);
    let view: SmallVec<[(usize, usize); 6]> = order
        .iter()
        .filter_map(|label| tensor.labels.iter().position(|own| own == label))
        .map(|place| (shape[place], strides[place]))
        .collect();
    let mut out = Vec::with_capacity(tensor.elements.len());
    for_each_offset(&view, |offset| out.push(tensor.elements[offset]));
    out
}

/// Visits the offsets of a view of (length, stride) dimensions, the last one fastest.
fn for_each_offset(view: &[(usize, usize)], mut visit: impl FnMut(usize)) {
    if view.iter().any(|&(length, _)| length == 0) {
        return;
    }
    let Some((&(last_length, last_stride), outer)) = view.split_last() else { return visit(0) };
    let mut position: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer.len());
    let mut start = 0;
    loop {
        for step in 0..last_length {
            visit(start + step * last_stride);
        }
        let mut axis = outer.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            let (length, stride) = outer[axis];
            position[axis] += 1;
            start += stride;
            if position[axis] < length {
                break;
            }
            position[axis] = 0;
            start -= stride * length;
        }
    }
}
