//! Layers: models that wrap a model, as a layer of tower wraps a service.

use mlops_core::Model;

/// The layers of this crate, in fluent form.
pub trait ServeExt: Model + Sized {}

impl<M: Model> ServeExt for M {}
