//! Pipelines: steps before and after a model, and small graphs of models, over named tensors.
//!
//! * A [`Step`] is a plain function over tensors that says what it takes and gives.
//!   [`preprocessed`](crate::ServeExt::preprocessed) and [`postprocessed`](crate::ServeExt::postprocessed) put one
//!   before or after a model; [`steps`] holds those that most models need.
//! * A [`Graph`] runs several models, each as soon as its inputs are there. [`Graph::sequence`] feeds each model with
//!   what the one before it gave; [`Graph::ensemble`] asks several the same.
//! * A [`Switch`] chooses one model for a request, a [`Cascade`] asks a second one where the first is not sure.
//!
//! All of them are models, so they nest and take every other layer.
//!
//! # What is checked when
//! The signature of the whole is derived from its parts, and what cannot fit is refused when the pipeline is made, all
//! of it at once: a tensor that nothing gives, another type or rank, two fixed lengths that differ. A free dimension
//! that meets a fixed one may fit; that is seen at each call, by the part that takes it.
//!
//! # Rows
//! The whole has a batch dimension only where the batch runs through all its parts, so that requests may be joined
//! before it. Where some part takes or gives the rows as a dimension of another kind, every batch dimension of the
//! whole is a free one; its parts can still be batched by themselves.
//!
//! # Errors
//! The error of a part keeps its variant, and its text says which part it comes from:
//! ``invalid input: step `one_hot(color)`: element 3 is 7, ...``.
//!
//! ```
//! use mlops_core::{DType, Dimension, Model, Signature, TensorSpec, Tensors};
//! use mlops_serve::layer::pipeline::{Step, steps::{Argmax, Softmax, Standardize}};
//! use mlops_serve::{EngineExt, ServeExt};
//!
//! # fn main() -> Result<(), mlops_core::Error> {
//! # let columns = |name, count: usize| TensorSpec::new(name, DType::Fp32, [Dimension::Batch, count.into()]);
//! # let signature = Signature::new([columns("features", 2)], [columns("logits", 2)])?;
//! # let classifier = Step::new("classifier", signature, |mut tensors| {
//! #     Ok(Tensors::new().with("logits", tensors.remove("features").unwrap()))
//! # }).inline();
//! let model = classifier // takes `features`, gives `logits`
//!     .preprocessed(Standardize::new("features", [10.0, 0.5], [2.0, 0.1]))?
//!     .postprocessed(Softmax::new("logits").into_output("probabilities"))?
//!     .postprocessed(Argmax::new("probabilities", "class").with_labels(["cat", "dog"]))?;
//!
//! let outputs = model.signature().outputs();
//! assert_eq!(outputs.iter().map(TensorSpec::name).collect::<Vec<_>>(), ["probabilities", "class"]);
//! assert_eq!(outputs[1].to_string(), "BYTES [batch]");
//! # Ok(())
//! # }
//! ```

mod cascade;
mod fit;
mod graph;
mod place;
mod postprocessed;
mod preprocessed;
mod rows;
mod step;
pub mod steps;
mod switch;

pub use cascade::Cascade;
pub use graph::{Graph, Node};
pub use postprocessed::{Postprocess, Postprocessed};
pub use preprocessed::{Preprocess, Preprocessed};
pub use step::Step;
pub use switch::Switch;
