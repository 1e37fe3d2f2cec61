//! Ready-made steps.
//!
//! Each is a recipe: it becomes a [`Step`](super::Step) in view of the tensors of the model it is put before or after,
//! so types and shapes need not be said again.
//!
//! | before a model | |
//! |---|---|
//! | [`Lookup`] | words become numbers by a vocabulary |
//! | [`OneHot`] | numbers become rows with a single one |
//! | [`Constant`] | an input that callers need not send |
//!
//! | before or after | |
//! |---|---|
//! | [`Rename`] | other names |
//! | [`Cast`], [`Reshape`] | another type or shape for callers |
//! | [`Standardize`] | (x - mean) / scale by column, and its inverse |
//! | [`Clip`] | bounds |
//!
//! | after a model | |
//! |---|---|
//! | [`Select`] | leaves outputs out |
//! | [`Softmax`] | logits become probabilities |
//! | [`Argmax`], [`TopK`] | the best class or classes, by name |
//! | [`Threshold`] | a score becomes yes or no |
//! | [`Mean`], [`Vote`] | the members of an ensemble become one |
//!
//! Arithmetic is on the floating-point types FP16, BF16, FP32 and FP64, and in FP64 inside; [`Cast`] makes them of
//! others.

mod cast;
mod classes;
mod clip;
mod constant;
mod lookup;
mod mean;
mod members;
mod one_hot;
pub(super) mod real;
mod rename;
mod reshape;
mod select;
mod softmax;
mod standardize;
mod threshold;
mod vote;

pub use cast::Cast;
pub use classes::{Argmax, TopK};
pub use clip::Clip;
pub use constant::Constant;
pub use lookup::Lookup;
pub use mean::Mean;
pub use one_hot::OneHot;
pub use rename::Rename;
pub use reshape::Reshape;
pub use select::Select;
pub use softmax::Softmax;
pub use standardize::Standardize;
pub use threshold::Threshold;
pub use vote::Vote;
