//! One call of one variant, and its report.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use mlops_core::{Error, Model, Observer, Prediction, Request, Response, Result, Role, Variant};
use web_time::Instant;

/// Asks the model; a panic is an error of this call.
pub(super) async fn answer(model: &dyn Model, request: Request) -> Result<Response> {
    let call = AssertUnwindSafe(async { model.predict(request).await });
    call.catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::engine(format!("the model panicked: {}", text.unwrap_or("without a message")))
}

/// A call under way. It is reported once: when it has finished, or when its caller gives up.
pub(super) struct Call<'a, O: Observer> {
    observer: &'a O,
    request: &'a Request,
    variant: &'a Variant,
    role: Role,
    began: Instant,
    reported: bool,
}

impl<'a, O: Observer> Call<'a, O> {
    pub(super) fn begin(observer: &'a O, request: &'a Request, variant: &'a Variant, role: Role) -> Self {
        Self { observer, request, variant, role, began: Instant::now(), reported: false }
    }

    /// Reports what came of it, and says how long it took.
    pub(super) fn finish(mut self, result: Result<&Response, &Error>) -> Duration {
        self.report(result)
    }

    fn report(&mut self, result: Result<&Response, &Error>) -> Duration {
        self.reported = true;
        let latency = self.began.elapsed();
        let prediction = Prediction::new(self.request, result, latency).of_variant(self.variant, self.role);
        self.observer.observe(&prediction);
        latency
    }
}

impl<O: Observer> Drop for Call<'_, O> {
    fn drop(&mut self) {
        if !self.reported {
            self.report(Err(&Error::deadline_exceeded("the caller gave up before the answer was there")));
        }
    }
}
