//! Writing a row of a finished tile to the output.

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::epilogue::{Activation, Bias, Epilogue};

/// What is added to one row of a tile, and the activation that follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowEpilogue<'a> {
    /// Add to what the output holds.
    pub(crate) accumulate: bool,
    pub(crate) row_bias: f32,
    pub(crate) column_bias: Option<&'a [f32]>,
    pub(crate) residual: Option<&'a [f32]>,
    /// Only cheap activations are applied here.
    pub(crate) activation: Activation,
}

impl RowEpilogue<'_> {
    /// The epilogue of what begins `from` values later.
    #[inline(always)]
    fn skip(&self, from: usize) -> Self {
        Self {
            column_bias: self.column_bias.map(|bias| &bias[from..]),
            residual: self.residual.map(|residual| &residual[from..]),
            ..*self
        }
    }
}

/// Writes rows of a tile, `VECTORS` whole vectors wide, to `rows` from `column` on, with a bias for each row.
#[inline(always)]
fn finish_whole<S: Simd, const VECTORS: usize>(
    simd: S,
    tile: &[f32],
    rows: &mut [&mut [f32]],
    column: usize,
    bias: Option<&[f32]>,
    activate: impl Fn(S::f32s) -> S::f32s,
) {
    let tile = S::as_simd_f32s(tile).0.as_chunks::<VECTORS>().0;
    for (index, (row, tile)) in rows.iter_mut().zip(tile).enumerate() {
        let bias = simd.splat_f32s(bias.map_or(0.0, |bias| bias[index]));
        let Some(out) = S::as_mut_simd_f32s(&mut row[column..]).0.first_chunk_mut::<VECTORS>() else {
            return;
        };
        for vector in 0..VECTORS {
            out[vector] = activate(simd.add_f32s(tile[vector], bias));
        }
    }
}

/// [`finish_whole`] for the most frequent epilogues; `false` for others, and nothing is done.
#[inline(always)]
pub(crate) fn finish_simple_tile<S: Simd>(
    simd: S,
    vectors: usize,
    tile: &[f32],
    rows: &mut [&mut [f32]],
    column: usize,
    bias: Option<&[f32]>,
    activation: Activation,
) -> bool {
    let zero = simd.splat_f32s(0.0);
    let relu = |value| simd.select_f32s(simd.less_than_f32s(value, zero), zero, value);
    match (vectors, activation) {
        (1, Activation::Relu) => finish_whole::<S, 1>(simd, tile, rows, column, bias, relu),
        (2, Activation::Relu) => finish_whole::<S, 2>(simd, tile, rows, column, bias, relu),
        (1, Activation::None) => finish_whole::<S, 1>(simd, tile, rows, column, bias, |value| value),
        (2, Activation::None) => finish_whole::<S, 2>(simd, tile, rows, column, bias, |value| value),
        _ => return false,
    }
    true
}

/// Writes the first `out.len()` values of `tile` to `out`.
#[inline(always)]
pub(crate) fn finish_row<S: Simd>(simd: S, tile: &[f32], out: &mut [f32], epilogue: &RowEpilogue<'_>) {
    let len = out.len();
    let whole = len - len % S::F32_LANES;
    finish_vectors(simd, tile, &mut out[..whole], epilogue);
    if whole == len {
        return;
    }
    if whole > 0 && !epilogue.accumulate {
        // The last vector once more, ending at the end.
        let from = len - S::F32_LANES;
        finish_vectors(simd, &tile[from..], &mut out[from..], &epilogue.skip(from));
        return;
    }
    let epilogue = epilogue.skip(whole);
    for (index, (out, &tile)) in out[whole..].iter_mut().zip(&tile[whole..]).enumerate() {
        let mut value = tile + epilogue.row_bias;
        if epilogue.accumulate {
            value += *out;
        }
        if let Some(bias) = epilogue.column_bias {
            value += bias[index];
        }
        if let Some(residual) = epilogue.residual {
            value += residual[index];
        }
        *out = epilogue.activation.apply_cheap_scalar(value);
    }
}

/// [`finish_row`] for whole vectors.
#[inline(always)]
fn finish_vectors<S: Simd>(simd: S, tile: &[f32], out: &mut [f32], epilogue: &RowEpilogue<'_>) {
    let out = S::as_mut_simd_f32s(out).0;
    let tile = S::as_simd_f32s(tile).0;
    let row_bias = simd.splat_f32s(epilogue.row_bias);
    let column_bias = epilogue.column_bias.map(|bias| S::as_simd_f32s(bias).0);
    let residual = epilogue.residual.map(|residual| S::as_simd_f32s(residual).0);
    for (index, (out, &tile)) in out.iter_mut().zip(tile).enumerate() {
        let mut value = simd.add_f32s(tile, row_bias);
        if epilogue.accumulate {
            value = simd.add_f32s(value, *out);
        }
        if let Some(bias) = column_bias {
            value = simd.add_f32s(value, bias[index]);
        }
        if let Some(residual) = residual {
            value = simd.add_f32s(value, residual[index]);
        }
        *out = epilogue.activation.apply_cheap(simd, value);
    }
}

impl<'a> RowEpilogue<'a> {
    /// The epilogue of `len` values from `first` on of row `row`, rows being `row_len` long.
    #[inline(always)]
    pub(crate) fn of_channel(
        epilogue: &Epilogue<'a>,
        row: usize,
        row_len: usize,
        first: usize,
        len: usize,
    ) -> Self {
        Self {
            accumulate: false,
            row_bias: match epilogue.bias {
                Bias::PerRow(bias) => bias[row],
                _ => 0.0,
            },
            column_bias: None,
            residual: epilogue.residual.map(|residual| &residual[row * row_len + first..][..len]),
            activation: epilogue.activation,
        }
    }
}

/// Applies the epilogue to finished sums, rows of which are `row_len` long.
pub(crate) fn finish_in_place(arch: Arch, out: &mut [f32], row_len: usize, epilogue: &Epilogue<'_>) {
    struct InPlace<'a, 'b> {
        out: &'b mut [f32],
        row_len: usize,
        epilogue: &'a Epilogue<'a>,
    }
    impl WithSimd for InPlace<'_, '_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            const STEP: usize = 256;
            let mut copy = [0.0; STEP];
            for (row, out) in self.out.chunks_mut(self.row_len.max(1)).enumerate() {
                for (index, out) in out.chunks_mut(STEP).enumerate() {
                    let copy = &mut copy[..out.len()];
                    copy.copy_from_slice(out);
                    let epilogue =
                        RowEpilogue::of_channel(self.epilogue, row, self.row_len, index * STEP, out.len());
                    finish_row(simd, copy, out, &epilogue);
                }
                self.epilogue.activation.apply_rest(out);
            }
        }
    }
    arch.dispatch(InPlace { out, row_len, epilogue });
}
