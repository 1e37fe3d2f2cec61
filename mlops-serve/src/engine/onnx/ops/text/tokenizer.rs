//! `Tokenizer` of onnxruntime, which exporters of text pipelines write: strings cut into tokens.

use mlops_core::{Error, Result};

use super::pattern::Pattern;
use super::strings::pad;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Inputs;

/// Marks the beginning and the end of a text.
const MARKS: [&str; 2] = ["\x02", "\x03"];

#[derive(Debug)]
enum Cut {
    /// Every character is a token.
    Characters,
    /// What is between matches of the first pattern, and in that between matches of the second, and so on.
    Between(Vec<Pattern>),
    /// What matches.
    Matches(Pattern),
}

#[derive(Debug)]
struct Tokenizer {
    cut: Cut,
    marks: bool,
    /// Fills up the lists of tokens.
    filling: String,
    /// The least number of characters of a token.
    shortest: usize,
}

pub(super) fn tokenizer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let shortest = usize::try_from(attributes.int("mincharnum", 1)?).ok().filter(|&count| count > 0);
    let shortest = shortest.ok_or_else(|| Error::invalid_input("`mincharnum` must be positive"))?;
    let cut = match (attributes.texts("separators")?, attributes.text("tokenexp")?.map_or("", String::as_str))
    {
        (Some(separators), _) if !separators.is_empty() => match &separators[..] {
            [only] if only.is_empty() => Cut::Characters,
            separators => {
                Cut::Between(separators.iter().map(|text| Pattern::new(text)).collect::<Result<_>>()?)
            }
        },
        (_, "") => return Err(Error::invalid_input("either separators or tokenexp is needed")),
        (_, ".") => Cut::Characters,
        (_, pattern) => Cut::Matches(Pattern::new(pattern)?),
    };
    if matches!(cut, Cut::Characters) && shortest > 1 {
        return Err(Error::invalid_input("tokens of one character cannot have more"));
    }
    let filling = attributes.text("pad_value")?.cloned().unwrap_or_default();
    Ok(Box::new(Tokenizer { cut, marks: attributes.flag("mark", false)?, filling, shortest }))
}

impl Operator for Tokenizer {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let mut shape = Shape::from_slice(input.shape());
        if !matches!(shape.len(), 1 | 2) {
            return Err(Error::engine(format!("texts [c] or [n, c] are needed, not the shape {shape:?}")));
        }
        if input.is_empty() {
            shape.pop();
            shape.push(0);
            return one(HostTensor::new(shape, Vec::<String>::new())?);
        }
        let mut tokens: Vec<Vec<&str>> =
            input.elements::<String>()?.iter().map(|text| self.tokens(text)).collect();
        let mut longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
        if self.marks && longest > 0 {
            longest += MARKS.len();
            for tokens in &mut tokens {
                tokens.insert(0, MARKS[0]);
                tokens.push(MARKS[1]);
            }
        }
        shape.push(longest);
        let padded = pad(&tokens, &shape, &self.filling)?;
        one(HostTensor::new(shape, padded)?)
    }
}

impl Tokenizer {
    fn tokens<'a>(&self, text: &'a str) -> Vec<&'a str> {
        match &self.cut {
            Cut::Characters => text.split_inclusive(|_| true).collect(),
            Cut::Between(patterns) => {
                let mut parts = vec![text];
                for pattern in patterns {
                    parts = parts.iter().flat_map(|part| self.between(pattern, part)).collect();
                }
                parts
            }
            Cut::Matches(pattern) => self.matches(pattern, text),
        }
    }

    fn is_long_enough(&self, token: &str) -> bool {
        token.chars().nth(self.shortest - 1).is_some()
    }

    fn between<'a>(&self, pattern: &Pattern, text: &'a str) -> Vec<&'a str> {
        let mut parts = Vec::new();
        let mut start = 0;
        while let Some((from, to)) = pattern.find(text, start) {
            parts.push(&text[start..from]);
            start = if to > from { to } else { from + character(text, from) };
        }
        parts.push(text.get(start..).unwrap_or_default());
        parts.retain(|part| self.is_long_enough(part));
        parts
    }

    fn matches<'a>(&self, pattern: &Pattern, text: &'a str) -> Vec<&'a str> {
        let mut tokens = Vec::new();
        let mut start = 0;
        while self.is_long_enough(text)
            && let Some((from, to)) = pattern.find(text, start)
        {
            if self.is_long_enough(&text[from..to]) {
                tokens.push(&text[from..to]);
                start = to;
            } else {
                start = from + character(text, from);
            }
        }
        tokens
    }
}

/// The length of the character there, at least 1.
fn character(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}
