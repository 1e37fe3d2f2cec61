//! onnxruntime's `EmbedLayerNormalization`: the sum of the embeddings of words, positions and segments, normalised.

use mlops_core::{Error, Result};

use super::rows::for_each_rows;
use crate::engine::onnx::ops::floats::{are_half, vector, widened};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::normalize::layer_norm_rows;

#[derive(Debug)]
struct EmbedLayerNormalization {
    epsilon: f32,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    if source.node.attributes.flag("mask_index_type", false)? {
        return Err(Error::unsupported("a mask index of type 1 is not supported"));
    }
    Ok(Box::new(EmbedLayerNormalization { epsilon: source.node.attributes.float("epsilon", 1e-12)? }))
}

impl Operator for EmbedLayerNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 2)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let ids = inputs.tensor(0)?;
        let &[batch, length] = ids.shape() else {
            return Err(Error::engine("the words must be [batch, length]"));
        };
        let words = Table::new(inputs, 2)?;
        let (positions, columns) = (Table::new(inputs, 3)?, words.columns);
        let segments = inputs.has(4).then(|| Table::new(inputs, 4)).transpose()?;
        let ids = ids.to_i64s()?;
        let check = |given: &[i64], what: &str| {
            if given.len() == ids.len() {
                Ok(())
            } else {
                Err(Error::engine(format!("every word needs a {what}")))
            }
        };
        let segment_ids = inputs.optional_i64s(1)?;
        let position_ids = inputs.optional_i64s(8)?;
        if let Some(segment_ids) = &segment_ids {
            check(segment_ids, "segment")?;
        }
        if positions.columns != columns || segments.as_ref().is_some_and(|table| table.columns != columns) {
            return Err(Error::engine("the embeddings are not of the same length"));
        }
        let shape = Shape::from_slice(&[batch, length, columns]);
        let mut sum = context.memory.floats(element_count(&shape)?);
        for (index, (row, &word)) in sum.chunks_exact_mut(columns.max(1)).zip(&ids).enumerate() {
            let position = match &position_ids {
                // One row of positions may serve all sequences.
                Some(given) => *given.get(index).or_else(|| given.get(index % length)).unwrap_or(&-1),
                None => (index % length) as i64,
            };
            row.copy_from_slice(words.row(word)?);
            let position = positions.row(position)?;
            row.iter_mut().zip(position).for_each(|(sum, value)| *sum += value);
            if let (Some(table), Some(given)) = (&segments, &segment_ids) {
                row.iter_mut().zip(table.row(given[index])?).for_each(|(sum, value)| *sum += value);
            }
        }
        let gamma = vector(inputs, 5, columns)?.ok_or_else(|| Error::engine("input 5 is missing"))?;
        let beta = vector(inputs, 6, columns)?;
        let mut out = context.memory.floats(sum.len());
        for_each_rows(&mut out, columns, context.threads, |first, out| {
            layer_norm_rows(&sum[first..][..out.len()], columns, gamma, beta, self.epsilon, out);
        });
        // How many words of each sequence the mask lets through.
        let counts: Vec<i32> = match inputs.optional_i64s(7)? {
            Some(mask) => {
                check(&mask, "mask")?;
                mask.chunks(length.max(1))
                    .map(|row| row.iter().filter(|&&word| word != 0).count() as i32)
                    .collect()
            }
            None => vec![0; batch],
        };
        let counts = HostTensor::new([batch].as_slice(), counts)?;
        let (out, sum) = (HostTensor::new(shape.clone(), out)?, HostTensor::new(shape, sum)?);
        Ok([Value::from(out), counts.into(), sum.into()].into_iter().collect())
    }
}

/// Embeddings, one in each row.
struct Table<'a> {
    elements: &'a [f32],
    columns: usize,
}

impl<'a> Table<'a> {
    fn new(inputs: &'a Inputs<'_>, index: usize) -> Result<Self> {
        let tensor = inputs.tensor(index)?;
        let &[_, columns] = tensor.shape() else {
            return Err(Error::engine(format!("input {index} must be a matrix of embeddings")));
        };
        Ok(Self { elements: tensor.elements()?, columns })
    }

    fn row(&self, index: i64) -> Result<&'a [f32]> {
        let rows = self.elements.len() / self.columns.max(1);
        let row = usize::try_from(index).ok().filter(|&row| row < rows);
        let row = row.ok_or_else(|| Error::engine(format!("there is no embedding {index} of {rows}")))?;
        Ok(&self.elements[row * self.columns..][..self.columns])
    }
}
