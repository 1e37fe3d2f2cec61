//! One call of one variant.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use mlops_core::{Error, Model, Request, Response, Result};

/// Asks the model; a panic is an error of this call.
pub(super) async fn answer(model: &dyn Model, request: Request) -> Result<Response> {
    let call = AssertUnwindSafe(async { model.predict(request).await });
    call.catch_unwind().await.unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
}
