//! `RotaryEmbedding`: pairs of elements turned by angles that grow with the position
//! ([Su et al., 2021](https://arxiv.org/abs/2104.09864)).

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, widened};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct RotaryEmbedding {
    interleaved: bool,
    /// Elements of a head that are turned; all when it is 0.
    turned: usize,
    heads: usize,
    /// Where cosines, sines and positions are among the inputs.
    cosines: usize,
    sines: usize,
    positions: usize,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(parse(source, [1, 2, 3])?))
}

/// onnxruntime's operator of the same name, whose inputs come in another order.
pub(super) fn microsoft(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    if source.node.attributes.flag("is_packed_batching", false)? {
        return Err(Error::unsupported("packed batches are not supported"));
    }
    Ok(Box::new(parse(source, [2, 3, 1])?))
}

fn parse(source: &Source<'_>, [cosines, sines, positions]: [usize; 3]) -> Result<RotaryEmbedding> {
    let attributes = &source.node.attributes;
    let size = |name: &str| -> Result<usize> {
        usize::try_from(attributes.int(name, 0)?)
            .map_err(|_| Error::invalid_input(format!("the attribute `{name}` must not be negative")))
    };
    Ok(RotaryEmbedding {
        interleaved: attributes.flag("interleaved", false)?,
        turned: size("rotary_embedding_dim")?,
        heads: size("num_heads")?,
        cosines,
        sines,
        positions,
    })
}

impl Operator for RotaryEmbedding {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let cosines = inputs.tensor(self.cosines)?;
        let half = cosines.shape().last().copied().unwrap_or(0);
        let wrong = || {
            Error::engine(format!(
                "angles of shape {:?} do not fit an input of {:?}",
                cosines.shape(),
                x.shape()
            ))
        };
        let (batch, heads, length, dim, heads_first) = match *x.shape() {
            [batch, heads, length, dim] => (batch, heads, length, dim, true),
            [batch, length, hidden] => {
                // onnxruntime's operator takes the size of a head from the angles.
                let heads = if self.heads > 0 { self.heads } else { hidden / (2 * half).max(1) };
                if heads == 0 || hidden % heads != 0 {
                    return Err(Error::engine(format!("{hidden} elements do not make {heads} heads")));
                }
                (batch, heads, length, hidden / heads, false)
            }
            _ => return Err(wrong()),
        };
        let turned = if self.turned == 0 { dim } else { self.turned };
        if half * 2 != turned || turned > dim || inputs.tensor(self.sines)?.shape() != cosines.shape() {
            return Err(wrong());
        }
        let (cosines, sines) = (cosines.elements::<f32>()?, inputs.elements::<f32>(self.sines)?);
        let rows = cosines.len() / half.max(1);
        let positions = inputs.optional_i64s(self.positions)?;
        let row = |item: usize, step: usize| -> Result<usize> {
            let place = match positions.as_deref() {
                None => return Some(item * length + step).filter(|&row| row < rows).ok_or_else(wrong),
                // One position is that of the first step of all sequences.
                Some(&[first]) if batch * length != 1 => first.saturating_add(step as i64),
                Some(positions) => *positions.get(item * length + step).ok_or_else(wrong)?,
            };
            let row = usize::try_from(place).ok().filter(|&row| row < rows);
            row.ok_or_else(|| {
                Error::engine(format!("there are no angles for the position {place} of {rows}"))
            })
        };
        let elements = x.elements::<f32>()?;
        let mut out = context.memory.floats(elements.len());
        out.copy_from_slice(elements);
        for item in 0..batch {
            for step in 0..length {
                let row = row(item, step)?;
                let (cosines, sines) = (&cosines[row * half..][..half], &sines[row * half..][..half]);
                for head in 0..heads {
                    let place = if heads_first {
                        (item * heads + head) * length + step
                    } else {
                        (item * length + step) * heads + head
                    };
                    self.turn(
                        &elements[place * dim..][..turned],
                        cosines,
                        sines,
                        &mut out[place * dim..][..turned],
                    );
                }
            }
        }
        one(HostTensor::new(x.shape(), out)?)
    }
}

impl RotaryEmbedding {
    fn turn(&self, x: &[f32], cosines: &[f32], sines: &[f32], out: &mut [f32]) {
        let half = cosines.len();
        let turned = |a: f32, b: f32, cosine: f32, sine: f32| (cosine * a - sine * b, sine * a + cosine * b);
        let angles = cosines.iter().zip(sines);
        if self.interleaved {
            for ((x, out), (&cosine, &sine)) in x.chunks_exact(2).zip(out.chunks_exact_mut(2)).zip(angles) {
                (out[0], out[1]) = turned(x[0], x[1], cosine, sine);
            }
            return;
        }
        let ((first, second), (out_first, out_second)) = (x.split_at(half), out.split_at_mut(half));
        let pairs = first.iter().zip(second).zip(out_first.iter_mut().zip(out_second));
        for (((&a, &b), (out_a, out_b)), (&cosine, &sine)) in pairs.zip(angles) {
            (*out_a, *out_b) = turned(a, b, cosine, sine);
        }
    }
}
