//! Work that blocks, on threads of its own, awaited from any runtime.

use std::sync::mpsc;
use std::thread::Builder;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use mlops_core::{Error, Result};

/// A thread that owns `S` and does with it what it is asked to, in order.
///
/// Dropping this ends the thread after what it was asked already.
#[derive(Debug)]
pub(super) struct OnThread<S> {
    work: mpsc::Sender<Work<S>>,
}

type Work<S> = Box<dyn FnOnce(&mut S) + Send>;

impl<S: Send + 'static> OnThread<S> {
    pub(super) fn start(name: &str, mut state: S) -> Result<Self> {
        let (sender, work) = mpsc::channel::<Work<S>>();
        spawn(name, move || {
            for work in work {
                work(&mut state);
            }
        })?;
        Ok(Self { work: sender })
    }

    /// Begins the work at once, even before the answer is waited for.
    pub(super) fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> Result<R> + Send + 'static,
    ) -> BoxFuture<'static, Result<R>> {
        let (answer, answered) = oneshot::channel();
        // Both fail only when the other side has gone, and then there is nobody to tell.
        let _ = self.work.send(Box::new(move |state| drop(answer.send(work(state)))));
        Box::pin(awaited(answered))
    }
}

/// Does `work` on a thread of its own.
pub(super) async fn on_thread<R: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    let (answer, answered) = oneshot::channel();
    spawn(name, move || drop(answer.send(work())))?;
    awaited(answered).await
}

/// Waits on a thread, so that no runtime's timer is needed. For waits that are rare.
pub(super) async fn sleep(duration: Duration) -> Result<()> {
    let wait = move || {
        std::thread::sleep(duration);
        Ok(())
    };
    on_thread("score-wait", wait).await
}

async fn awaited<R>(answered: oneshot::Receiver<Result<R>>) -> Result<R> {
    let ended = |_canceled| Err(Error::internal("a thread of the scoring ended before its answer"));
    answered.await.unwrap_or_else(ended)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = Builder::new().name(name.to_owned()).spawn(work);
    let failed = |cause| Error::unavailable("a thread for scoring cannot be started").with_source(cause);
    spawned.map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_and_begins_before_it_is_awaited() {
        let thread = OnThread::start("test", Vec::new()).unwrap();
        let add = |number: i32| {
            thread.call(move |list| {
                list.push(number);
                Ok(())
            })
        };
        let (first, second) = (add(1), add(2));
        let seen = thread.call(|list| Ok(list.clone())).await.unwrap();
        assert_eq!(seen, [1, 2]);
        second.await.unwrap();
        first.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_this_call_and_the_next_ones() {
        let thread = OnThread::start("test", ()).unwrap();
        for _ in 0..2 {
            let error = thread.call(|()| -> Result<()> { panic!("broken") }).await.unwrap_err();
            assert!(matches!(error, Error::Internal { .. }), "{error:?}");
        }
    }
}
