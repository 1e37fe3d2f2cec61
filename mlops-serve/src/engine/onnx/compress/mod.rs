//! Smaller and faster models: from an artifact to an artifact.
//!
//! Each function takes the bytes of an ONNX file and gives those of another, which any runtime can load, with a list of
//! what was changed and what was not, and why. [`Report`] compares both on inputs of yours.
//!
//! ```
//! # fn main() -> mlops_core::Result<()> {
//! # let model = include_bytes!("../../../../tests/data/onnx/digits/model.onnx");
//! # use mlops_core::{Tensor, Tensors};
//! use mlops_serve::engine::onnx::compress::{Report, int8_weights};
//!
//! let small = int8_weights(model)?;
//! let rows = Tensors::new().with("pixels", Tensor::from_vec(&[2, 64], vec![0.5_f32; 128])?);
//! let report = Report::measure(model, &small.model, &[rows])?;
//! assert!(report.bytes_after < report.bytes_before);
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! What to expect, as `examples/compress.rs` measured it on one thread of an AVX-512 processor (a multilayer perceptron of
//! 2.4 million weights with 8 rows, ResNet-18 with one image, an encoder of 4 layers by 256 with 128 tokens; their weights
//! are random), and on a model trained on handwritten digits with its 1,797 images:
//!
//! | | file smaller by | calls faster by | same class for digits |
//! |---|---|---|---|
//! | [`fp16_weights`], [`bf16_weights`] | 2.0 | 1.0 | 100 % |
//! | [`int8_weights`] | 3.7 to 4.0 | 1.0 | 99.9 % |
//! | [`prune_magnitude`], half of the weights | 1.1 to 1.3 | 1.0 | 99.2 % |
//! | [`prune_magnitude`], 80 % of the weights | 3.1 (digits) | 1.0 | 82 % |
//! | [`prune_structured`], a quarter of the channels | 1.6 (digits) | 1.5 | 99.4 % |
//! | [`prune_structured`], half of the channels | 3.6 (perceptron), 1.9 (ResNet), 1.4 (encoder), 2.9 (digits) | 3.4, 1.7, 1.5, 2.5 | 94 % |
//!
//! Pruning is by weights alone, without training in between; untrained networks do not survive it.
//!
//! Activations stay FP32: the products of 8-bit matrices that safe Rust reaches (pairs of 16-bit products, without the
//! instructions for four 8-bit ones) took 1.2 to 1.6 times as long as those of FP32 for 32 rows and more, so a model
//! with quantised activations would only be slower. Models that come quantised run nevertheless.

mod artifact;
mod changes;
mod half;
mod int8;
mod magnitude;
mod quantize;
mod report;
mod storage;
mod structured;
mod weights;

pub use changes::{Change, Compressed, Skipped};
pub use half::{bf16_weights, fp16_weights};
pub use int8::int8_weights;
pub use magnitude::{Scope, prune_magnitude};
pub use report::{Agreement, Report};
pub use structured::prune_structured;
