//! Limits of time that cost nothing where there is nothing to wait for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

pin_project! {
    /// A future and the time it has. The timer is made when the future first has to wait: most answers are there at
    /// once, and a timer takes a lock that all threads share.
    pub(crate) struct Patience<F, T> {
        #[pin]
        future: F,
        make_timer: Option<T>,
        #[pin]
        timer: Option<Sleep>,
    }
}

/// The time was up.
#[derive(Debug)]
pub(crate) struct Elapsed;

impl<F, T: FnOnce() -> Sleep> Patience<F, T> {
    pub(crate) fn new(future: F, make_timer: T) -> Self {
        Self { future, make_timer: Some(make_timer), timer: None }
    }
}

impl<F: Future, T: FnOnce() -> Sleep> Future for Patience<F, T> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        if let Some(make_timer) = this.make_timer.take() {
            this.timer.set(Some(make_timer()));
        }
        let Some(timer) = this.timer.as_pin_mut() else { return Poll::Pending };
        ready!(timer.poll(context));
        Poll::Ready(Err(Elapsed))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_there_needs_no_timer_and_what_does_not_come_is_given_up() {
        assert!(Patience::new(ready(7), || unreachable!()).await.is_ok_and(|seven| seven == 7));
        let began = Instant::now();
        let late = Patience::new(pending::<()>(), || sleep(Duration::from_secs(3))).await;
        assert!(late.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        let soon = async {
            sleep(Duration::from_secs(1)).await;
            "soon"
        };
        assert_eq!(Patience::new(soon, || sleep(Duration::from_secs(2))).await.unwrap(), "soon");
    }
}
