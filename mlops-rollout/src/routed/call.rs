//! One call of one variant.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use mlops_core::{Error, Model, Request, Response, Result};

/// Asks the model; a panic is an error of this call. The request is handed over at once, so that the future need not
/// hold it.
pub(super) fn answer(
    model: &dyn Model,
    request: Request,
) -> impl Future<Output = Result<Response>> + Send + '_ {
    let asked = catch_unwind(AssertUnwindSafe(|| model.predict(request)));
    async move {
        let answered = match asked {
            Ok(asked) => AssertUnwindSafe(asked).catch_unwind().await,
            Err(payload) => Err(payload),
        };
        answered.unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
    }
}
