//! `StringNormalizer`: changes the case of strings, and drops some of them.

use std::collections::HashSet;

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Inputs;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
    Kept,
}

impl Case {
    /// Each character changes to one other, as in C; the locale is not looked at.
    fn apply(self, text: &str) -> String {
        match self {
            Self::Kept => text.to_owned(),
            Self::Lower => text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect(),
            Self::Upper => {
                let upper = |c: char| match c.to_uppercase() {
                    mut one if one.len() == 1 => one.next().unwrap_or(c),
                    _ => c,
                };
                text.chars().map(upper).collect()
            }
        }
    }
}

#[derive(Debug)]
struct StringNormalizer {
    change: Case,
    /// The case in which strings and stop words are compared.
    compared: Case,
    stop_words: HashSet<String>,
}

pub(super) fn string_normalizer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let change = match attributes.text("case_change_action")?.map_or("NONE", String::as_str) {
        "NONE" => Case::Kept,
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        other => return Err(Error::invalid_input(format!("there is no case_change_action `{other}`"))),
    };
    let compared = match change {
        _ if attributes.flag("is_case_sensitive", false)? => Case::Kept,
        Case::Upper => Case::Upper,
        Case::Lower | Case::Kept => Case::Lower,
    };
    let stop_words = attributes.texts("stopwords")?.map_or(&[][..], Vec::as_slice);
    let stop_words = stop_words.iter().map(|word| compared.apply(word)).collect();
    Ok(Box::new(StringNormalizer { change, compared, stop_words }))
}

impl Operator for StringNormalizer {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let row = match input.shape() {
            [_] => false,
            [1, _] => true,
            other => {
                return Err(Error::engine(format!(
                    "strings [c] or [1, c] are needed, not the shape {other:?}"
                )));
            }
        };
        let kept = input.elements::<String>()?.iter().filter(|text| {
            self.stop_words.is_empty() || !self.stop_words.contains(&self.compared.apply(text))
        });
        let mut changed: Vec<String> = kept.map(|text| self.change.apply(text)).collect();
        if changed.is_empty() {
            changed.push(String::new());
        }
        let shape: &[usize] = if row { &[1, changed.len()] } else { &[changed.len()] };
        one(HostTensor::new(Shape::from_slice(shape), changed)?)
    }
}
