//! Gates are asked apart, so that one that panics or never ends fails alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Candidate, Finding, Gate, GateOutcome};

/// Asks one gate, on a thread of its own.
///
/// A gate that waits is dropped when its time is up or nobody waits for the answer; one that never yields its
/// thread cannot be stopped and keeps that thread.
pub(super) async fn ask(gate: &Arc<dyn Gate>, candidate: &Candidate) -> GateOutcome {
    let name = catch_unwind(AssertUnwindSafe(|| gate.name()));
    let name = name.unwrap_or_else(|_| "a gate without a name".to_owned());
    let warns_only = catch_unwind(AssertUnwindSafe(|| gate.warns_only())).unwrap_or(false);
    let finding = check_apart(gate, candidate).await;
    tracing::info!(gate = name, verdict = %finding.verdict, warns_only, reason = finding.reason, "gate");
    GateOutcome::new(name, warns_only, finding)
}

async fn check_apart(gate: &Arc<dyn Gate>, candidate: &Candidate) -> Finding {
    let (abort, registration) = AbortHandle::new_pair();
    let (tell, told) = oneshot::channel();
    let _abandoned = AbortOnDrop(abort.clone());
    let (gate, candidate, runtime) = (Arc::clone(gate), candidate.clone(), Handle::try_current().ok());
    let watch = move || {
        let finding = watch(gate, candidate, runtime, &abort, registration);
        // Nobody may wait for it any more.
        let _ = tell.send(finding);
    };
    match thread::Builder::new().name("gate-watch".to_owned()).spawn(watch) {
        Ok(_) => told.await.unwrap_or_else(|_| Finding::failed("the gate gave no answer")),
        Err(error) => no_thread(&error),
    }
}

/// Waits for the gate as long as it may take.
fn watch(
    gate: Arc<dyn Gate>,
    candidate: Candidate,
    runtime: Option<Handle>,
    abort: &AbortHandle,
    registration: AbortRegistration,
) -> Finding {
    let limit = catch_unwind(AssertUnwindSafe(|| gate.time_limit())).unwrap_or(super::TIME_LIMIT);
    let (tell, told) = mpsc::sync_channel(1);
    let check = move || {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let check = Abortable::new(async { gate.check(&candidate).await }, registration);
            match runtime {
                Some(runtime) => runtime.block_on(check),
                None => pollster::block_on(check),
            }
        }));
        // The watch may have given up.
        let _ = tell.send(answer);
    };
    if let Err(error) = thread::Builder::new().name("gate".to_owned()).spawn(check) {
        return no_thread(&error);
    }
    match told.recv_timeout(limit) {
        Ok(Ok(Ok(finding))) => finding,
        Ok(Ok(Err(_aborted))) => Finding::failed("the gate was abandoned"),
        Ok(Err(panic)) => Finding::failed(format!("the gate itself panicked: {}", message(&*panic))),
        Err(RecvTimeoutError::Timeout) => {
            abort.abort();
            Finding::failed(format!("the gate did not end within {limit:?}"))
        }
        Err(RecvTimeoutError::Disconnected) => Finding::failed("the gate gave no answer"),
    }
}

fn no_thread(error: &std::io::Error) -> Finding {
    Finding::failed(format!("there is no thread to ask the gate on: {error}"))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
