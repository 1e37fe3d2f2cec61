//! From a tile of sums to a block of the output.

use pulp::Simd;

use super::BLOCK;
use crate::kernels::epilogue::Activation;

/// How the pixels of one block of a tile are written.
pub(super) struct Finish<'a> {
    /// From the first value of the block on.
    pub(super) tile: &'a [f32],
    /// Values from one pixel to the next in the tile.
    pub(super) width: usize,
    /// Added first; laid out as the output.
    pub(super) residual: Option<&'a [f32]>,
    /// Only cheap activations are applied here.
    pub(super) activation: Activation,
}

impl Finish<'_> {
    /// Writes as many pixels as `out` has.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&self, simd: S, out: &mut [f32]) {
        // The activations that are met most get a loop of their own.
        match self.activation {
            Activation::None => self.write_with::<S>(simd, out, |value| value),
            Activation::Relu => {
                self.write_with::<S>(simd, out, |value| Activation::Relu.apply_cheap(simd, value));
            }
            Activation::Clip { min, max } => {
                self.write_with::<S>(simd, out, |value| {
                    Activation::Clip { min, max }.apply_cheap(simd, value)
                });
            }
            other => self.write_with::<S>(simd, out, |value| other.apply_cheap(simd, value)),
        }
    }

    #[inline(always)]
    fn write_with<S: Simd>(&self, simd: S, out: &mut [f32], activate: impl Fn(S::f32s) -> S::f32s) {
        for (pixel, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let sums = S::as_simd_f32s(&self.tile[pixel * self.width..][..BLOCK]).0;
            let residual = self.residual.map(|residual| &residual[pixel * BLOCK..][..BLOCK]);
            for (vector, (out, &sum)) in S::as_mut_simd_f32s(out).0.iter_mut().zip(sums).enumerate() {
                let residual = residual.map(|residual| S::as_simd_f32s(residual).0[vector]);
                *out = activate(residual.map_or(sum, |residual| simd.add_f32s(sum, residual)));
            }
        }
    }
}
