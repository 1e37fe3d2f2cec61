//! The fused `Attention`: `softmax(scale q k' + mask) v`, in the place of the products, transposes and softmax that spell
//! it out.
//!
//! Inputs: q, k, v, each of four dimensions laid out as the attributes `q_layout`, `k_layout` and `v_layout` say, and an
//! optional mask that is added to the scores `[batch, heads, queries, keys]`. All of them broadcast as the operands of
//! `MatMul` and `Add` do. The layouts are `bhsd` (heads before rows) and `bshd` (rows before heads); `out_layout` is
//! that of the output, which has four dimensions. `scale` is the factor. A query whose scores are all minus infinity
//! gets `NaN`, as a softmax that is spelled out gives.

use mlops_core::{Error, Result};

use super::core::{Bias, Scaling, Scores, Sizes, View, output_count};
use super::plain::{Unseeing, attend};
use crate::engine::onnx::ops::floats::{are_half, from_doubles, to_doubles, widened, wrong_type};
use crate::engine::onnx::ops::support::{broadcast, expanded, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape};
use crate::engine::onnx::value::Inputs;
use crate::kernels::attention::{Attention, Heads, Layout, Mask};

#[derive(Debug)]
struct FusedAttention {
    scale: f32,
    layouts: [Layout; 3],
    out: Layout,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let layout = |name: &str| match attributes.text(name)?.map_or("bhsd", String::as_str) {
        "bhsd" => Ok(Layout::HeadsFirst),
        "bshd" => Ok(Layout::RowsFirst),
        other => Err(Error::invalid_input(format!("there is no layout `{other}`"))),
    };
    Ok(Box::new(FusedAttention {
        scale: attributes.float("scale", 1.0)?,
        layouts: [layout("q_layout")?, layout("k_layout")?, layout("v_layout")?],
        out: layout("out_layout")?,
    }))
}

/// An operand: lengths and strides as [batch, heads, rows, dim].
struct Operand {
    lengths: [usize; 4],
    strides: [usize; 4],
}

impl Operand {
    fn new(tensor: &HostTensor, layout: Layout) -> Result<Self> {
        let wrong = || Error::engine(format!("attention of a tensor of shape {:?}", tensor.shape()));
        let first = 4_usize.checked_sub(tensor.rank()).filter(|&first| first < 3).ok_or_else(wrong)?;
        let (mut lengths, mut steps) = ([1; 4], [0; 4]);
        lengths[first..].copy_from_slice(tensor.shape());
        steps[first..].copy_from_slice(&strides(tensor.shape()));
        if layout == Layout::RowsFirst {
            lengths.swap(1, 2);
            steps.swap(1, 2);
        }
        Ok(Self { lengths, strides: steps })
    }

    /// Where the rows are, when the first three lengths are repeated to these.
    fn view<'a, T>(&self, data: &'a [T], wanted: [usize; 3]) -> Result<View<'a, T>> {
        let step = |axis: usize| {
            if self.lengths[axis] == wanted[axis] {
                Ok(self.strides[axis])
            } else if self.lengths[axis] == 1 {
                Ok(0)
            } else {
                Err(Error::engine(format!("{:?} cannot be broadcast to {wanted:?}", &self.lengths[..3])))
            }
        };
        Ok(View { data, batch_stride: step(0)?, head_stride: step(1)?, row_stride: step(2)? })
    }
}

impl Operator for FusedAttention {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let (q, k, v) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.tensor(2)?);
        let mask = inputs.optional(3)?;
        let operands = [
            Operand::new(q, self.layouts[0])?,
            Operand::new(k, self.layouts[1])?,
            Operand::new(v, self.layouts[2])?,
        ];
        let [q_operand, k_operand, v_operand] = &operands;
        let mask_lengths = match mask {
            None => [1; 4],
            Some(mask) => {
                let first = 4_usize.checked_sub(mask.rank());
                let first = first.ok_or_else(|| Error::engine("a mask of more than four dimensions"))?;
                let mut lengths = [1; 4];
                lengths[first..].copy_from_slice(mask.shape());
                lengths
            }
        };
        let common = broadcast([
            &q_operand.lengths[..2],
            &k_operand.lengths[..2],
            &v_operand.lengths[..2],
            &mask_lengths[..2],
        ])?;
        let pair = |a: usize, b: usize| broadcast([&[a][..], &[b][..]]).map(|shape| shape[0]);
        let sizes = Sizes {
            batch: common[0],
            heads: common[1],
            key_heads: common[1],
            queries: pair(q_operand.lengths[2], mask_lengths[2])?,
            keys: pair(k_operand.lengths[2], mask_lengths[3])?,
            dim: q_operand.lengths[3],
            value_dim: v_operand.lengths[3],
        };
        if k_operand.lengths[3] != sizes.dim || v_operand.lengths[2] != sizes.keys {
            return Err(Error::engine(format!(
                "queries {:?}, keys {:?} and values {:?} do not fit",
                q.shape(),
                k.shape(),
                v.shape()
            )));
        }
        let count = output_count(&sizes)?;
        let &Sizes { batch, heads, queries, keys, value_dim, .. } = &sizes;
        let (q_rows, k_rows) = ([batch, heads, queries], [batch, heads, keys]);
        let shape = Shape::from_slice(&match self.out {
            Layout::HeadsFirst => [batch, heads, queries, value_dim],
            Layout::RowsFirst => [batch, queries, heads, value_dim],
        });
        match q.data() {
            Data::F32(q) => {
                let query = q_operand.view(q, q_rows)?;
                let key = k_operand.view(k.elements::<f32>()?, k_rows)?;
                let value = v_operand.view(v.elements::<f32>()?, k_rows)?;
                let repeated;
                let mask = match mask {
                    None => None,
                    Some(mask) => {
                        let mut data = mask.elements::<f32>()?;
                        let mut lengths = mask_lengths;
                        if lengths[3] != keys {
                            lengths[3] = keys;
                            repeated = expanded(&lengths, &mask_lengths, data)?;
                            data = &repeated;
                        }
                        let [batch_stride, head_stride, row_stride] = mask_strides(lengths);
                        Some(Mask { data, batch_stride, head_stride, row_stride })
                    }
                };
                let &Sizes { batch, heads, key_heads, queries, keys, dim, value_dim } = &sizes;
                let scale = self.scale;
                let (causal_past, soft_cap) = (None, None);
                let attention = Attention {
                    batch,
                    heads,
                    key_heads,
                    queries,
                    keys,
                    dim,
                    value_dim,
                    scale,
                    causal_past,
                    soft_cap,
                };
                let mut out = context.memory.floats(count);
                let [query, key, value] = [query, key, value].map(|view| Heads {
                    data: view.data,
                    batch_stride: view.batch_stride,
                    head_stride: view.head_stride,
                    row_stride: view.row_stride,
                });
                if keys == 0 {
                    out.fill(0.0); // The product over no keys.
                } else {
                    attention.run(query, key, value, mask, &mut out, self.out, context.threads);
                }
                one(HostTensor::new(shape, out)?)
            }
            Data::F64(q_elements) => {
                let (k, v) = (to_doubles(k)?, to_doubles(v)?);
                let bias = mask.map(|mask| -> Result<Bias> {
                    let data = to_doubles(mask)?.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
                    let mut lengths = mask_lengths;
                    lengths[3] = keys;
                    let data = expanded(&lengths, &mask_lengths, &data)?;
                    let [batch_stride, head_stride, row_stride] = mask_strides(lengths);
                    Ok(Bias { data, batch_stride, head_stride, row_stride })
                });
                let scores = Scores { bias: bias.transpose()?, causal_past: None };
                let attended = attend(
                    &sizes,
                    Scaling { scale: self.scale, soft_cap: None },
                    &scores,
                    q_operand.view(q_elements, q_rows)?,
                    k_operand.view(&k, k_rows)?,
                    v_operand.view(&v, k_rows)?,
                    self.out,
                    None,
                    Unseeing::NotANumber,
                );
                one(from_doubles(&shape, attended.out, q.dtype())?)
            }
            _ => Err(wrong_type(q)),
        }
    }
}

/// Strides of the first three dimensions; 0 where there is one element.
fn mask_strides(lengths: [usize; 4]) -> [usize; 3] {
    let steps = strides(&lengths);
    [0, 1, 2].map(|axis| if lengths[axis] == 1 { 0 } else { steps[axis] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::graph::Attribute;
    use crate::engine::onnx::ops::testing::fused;
    use crate::kernels::testing::{Random, assert_close};

    /// An element of a tensor of four dimensions, those of length 1 being repeated.
    fn at(elements: &[f32], lengths: [usize; 4], place: [usize; 4]) -> f32 {
        elements[lengths.iter().zip(place).fold(0, |index, (&length, at)| index * length + at % length)]
    }

    #[test]
    fn layouts_and_broadcasting_are_those_of_the_products_it_stands_for() {
        let mut random = Random::new(3);
        let (queries, keys, dim) = (3, 5, 4);
        // Batch and heads of q, k, v and the whole mask.
        for [q, k, v, mask] in [
            [[2, 2, 0, 0], [2, 2, 0, 0], [2, 2, 0, 0], [1, 1, 1, keys]],
            [[1, 2, 0, 0], [2, 1, 0, 0], [1, 1, 0, 0], [2, 1, queries, keys]],
            [[2, 2, 0, 0], [2, 2, 0, 0], [2, 2, 0, 0], [2, 2, queries, 1]],
        ] {
            let q = [q[0], q[1], queries, dim];
            let (k, v) = ([k[0], k[1], keys, dim], [v[0], v[1], keys, dim]);
            let values = [q, k, v, mask].map(|lengths| random.values(lengths.iter().product()));
            for rows_first in [false, true] {
                let laid_out = |lengths: [usize; 4], elements: &[f32]| {
                    let [b, h, s, d] = lengths;
                    if !rows_first {
                        return Some(HostTensor::new(lengths.as_slice(), elements.to_vec()).unwrap());
                    }
                    let swapped = (0..b * h * s * d)
                        .map(|i| at(elements, lengths, [i / (s * h * d), i / d % h, i / (h * d) % s, i % d]));
                    Some(HostTensor::new([b, s, h, d].as_slice(), swapped.collect::<Vec<f32>>()).unwrap())
                };
                let layout = || Attribute::Text(if rows_first { "bshd" } else { "bhsd" }.into());
                let attributes = [
                    ("scale", Attribute::Float(0.5)),
                    ("q_layout", layout()),
                    ("k_layout", layout()),
                    ("v_layout", layout()),
                    ("out_layout", Attribute::Text("bhsd".into())),
                ];
                let inputs = [
                    laid_out(q, &values[0]),
                    laid_out(k, &values[1]),
                    laid_out(v, &values[2]),
                    Some(HostTensor::new(mask.as_slice(), values[3].clone()).unwrap()),
                ];
                let out = fused("Attention", attributes, inputs, &[], 1).unwrap().remove(0);
                let mut expected = Vec::new();
                for place in 0..2 * 2 * queries {
                    let (b, h, i) = (place / (2 * queries), place / queries % 2, place % queries);
                    let score = |j: usize| {
                        let dot: f32 = (0..dim)
                            .map(|d| at(&values[0], q, [b, h, i, d]) * at(&values[1], k, [b, h, j, d]))
                            .sum();
                        (0.5 * dot + at(&values[3], mask, [b, h, i, j])).exp()
                    };
                    let sum: f32 = (0..keys).map(score).sum();
                    expected.extend((0..dim).map(|d| {
                        (0..keys).map(|j| score(j) / sum * at(&values[2], v, [b, h, j, d])).sum::<f32>()
                    }));
                }
                assert_eq!(out.shape(), [2, 2, queries, dim]);
                assert_close(out.elements().unwrap(), &expected, 1e-5, "attention");
            }
        }
    }
}
