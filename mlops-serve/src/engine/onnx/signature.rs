//! What a graph takes and gives, read from the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use mlops_core::{DType, Dimension, Error, Result, Signature, TensorSpec};

use super::graph::{Attribute, Domain, Graph, Kind, Length, ValueId};

/// The signature a file declares. An output whose shape it leaves open is looked up in `probed`.
pub(crate) fn signature(
    graph: &Graph,
    probed: &dyn Fn(usize) -> Option<(DType, Vec<Length>)>,
) -> Result<Signature> {
    let batch = Batch::of(graph);
    let inputs = graph.inputs.iter().map(|&id| {
        let name = graph.value_name(id);
        match &graph.values[id.0].kind {
            Some(Kind::Tensor { dtype, shape: Some(shape) }) => Ok(batch.spec(name, *dtype, shape)),
            Some(Kind::Tensor { shape: None, .. }) | None => Err(Error::unsupported(format!(
                "the file does not say what shape the input `{name}` has: say it with `OnnxOptions::with_signature`"
            ))),
            Some(_) => Err(Error::unsupported(format!("the input `{name}` is no tensor"))),
        }
    });
    let inputs: Vec<TensorSpec> = inputs.collect::<Result<_>>()?;
    let outputs = graph.outputs.iter().enumerate().map(|(index, &id)| {
        let name = graph.value_name(id);
        match &graph.values[id.0].kind {
            Some(Kind::Tensor { dtype, shape: Some(shape) }) => {
                let shape = match probed(index) {
                    Some((_, found)) => batch.reconciled(shape, &found),
                    None => shape.clone(),
                };
                Ok(batch.spec(name, *dtype, &shape))
            }
            _ if zip_map_classes(graph, id).is_some() => {
                let classes = zip_map_classes(graph, id).unwrap_or_default();
                Ok(batch.spec(name, DType::Fp32, &[batch.length(), Length::Fixed(classes)]))
            }
            Some(Kind::Sequence(_) | Kind::Optional(_) | Kind::Map { .. }) => {
                Err(Error::unsupported(format!("the output `{name}` is no tensor")))
            }
            _ => match probed(index) {
                Some((dtype, found)) => Ok(batch.spec(name, dtype, &batch.reconciled(&found, &found))),
                None => Err(Error::unsupported(format!(
                    "the file does not say what shape the output `{name}` has: say it with \
                     `OnnxOptions::with_signature`"
                ))),
            },
        }
    });
    let outputs: Vec<TensorSpec> = outputs.collect::<Result<_>>()?;
    Signature::new(inputs, outputs)
}

/// The number of classes of a `ZipMap` that makes the value. Its maps are given as a tensor of scores.
fn zip_map_classes(graph: &Graph, id: ValueId) -> Option<usize> {
    let mut makers = graph.nodes.iter().filter(|node| node.output(0) == Some(id));
    let node = makers.find(|node| node.domain == Domain::Ml && &*node.operator == "ZipMap")?;
    node.attributes.iter().find_map(|(_, attribute)| match attribute {
        Attribute::Ints(labels) => Some(labels.len()),
        Attribute::Texts(labels) => Some(labels.len()),
        _ => None,
    })
}

/// Which dimension of the file is the batch: one whose symbol says so, else an open first dimension that all inputs
/// which have one share.
struct Batch {
    symbol: Option<Arc<str>>,
    /// Open first dimensions without a name are the batch as well.
    unnamed: bool,
}

impl Batch {
    fn of(graph: &Graph) -> Self {
        let shapes: Vec<&[Length]> = graph
            .inputs
            .iter()
            .filter_map(|id| match &graph.values[id.0].kind {
                Some(Kind::Tensor { shape: Some(shape), .. }) => Some(&**shape),
                _ => None,
            })
            .collect();
        let symbols = shapes.iter().copied().flatten().filter_map(|length| match length {
            Length::Symbol(symbol) => Some(symbol),
            _ => None,
        });
        let named = symbols.clone().find(|symbol| says_batch(symbol));
        if let Some(symbol) = named {
            return Self { symbol: Some(Arc::clone(symbol)), unnamed: false };
        }
        let first = |shape: &&[Length]| shape.first().cloned();
        let open: BTreeSet<Option<Arc<str>>> = shapes
            .iter()
            .filter_map(first)
            .filter_map(|length| match length {
                Length::Fixed(_) => None,
                Length::Symbol(symbol) => Some(Some(symbol)),
                Length::Unknown => Some(None),
            })
            .collect();
        let mut open = open.into_iter();
        match (open.next(), open.next()) {
            (Some(None), None) => Self { symbol: None, unnamed: true },
            (Some(symbol), None) => Self { symbol, unnamed: false },
            _ => Self { symbol: None, unnamed: false },
        }
    }

    /// A length that is recognised as the batch.
    fn length(&self) -> Length {
        self.symbol.clone().map_or(Length::Unknown, Length::Symbol)
    }

    /// What a file declares, corrected where a run has found a length to be open. (Some exporters write the length of
    /// the one row they traced.) An open first dimension is the batch.
    fn reconciled(&self, declared: &[Length], found: &[Length]) -> Vec<Length> {
        if declared.len() != found.len() {
            return found.to_vec();
        }
        let open = |axis: usize| if axis == 0 { self.length() } else { Length::Unknown };
        let lengths = declared.iter().zip(found).enumerate();
        lengths
            .map(|(axis, lengths)| match lengths {
                (Length::Fixed(_) | Length::Unknown, Length::Unknown) => open(axis),
                (declared, _) => declared.clone(),
            })
            .collect()
    }

    fn spec(&self, name: &Arc<str>, dtype: DType, shape: &[Length]) -> TensorSpec {
        let mut seen = false;
        let dimensions = shape.iter().enumerate().map(|(axis, length)| {
            let batch = match length {
                Length::Fixed(length) => return Dimension::Fixed(*length),
                Length::Symbol(symbol) => self.symbol.as_ref() == Some(symbol),
                Length::Unknown => self.unnamed && axis == 0,
            };
            if batch && !std::mem::replace(&mut seen, true) { Dimension::Batch } else { Dimension::Free }
        });
        TensorSpec::new(&**name, dtype, dimensions.collect::<Vec<_>>())
    }
}

fn says_batch(symbol: &str) -> bool {
    symbol == "N" || symbol.to_ascii_lowercase().contains("batch")
}
