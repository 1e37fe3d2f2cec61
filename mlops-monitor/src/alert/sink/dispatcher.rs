//! Alerts on their way to all who are to know.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::join_all;
use metrics::counter;
use mlops_core::Error;
use mlops_core::metrics::ALERTS_SENT_TOTAL;

use super::Sink;
use super::queue::Queue;
use crate::alert::Alert;

/// Gives alerts to several sinks, without waiting for any.
///
/// Each sink has a queue of its own, so that one that is slow, fails or panics harms no other. A queue that
/// is full lets its oldest alert go. What becomes of alerts is counted in [`ALERTS_SENT_TOTAL`], by sink, as
/// `ok`, `error` or `dropped`.
///
/// Nothing is sent until the [`Delivery`] runs, on whatever runtime there is:
///
/// ```
/// use mlops_monitor::alert::{Dispatcher, LogSink, Sink};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let (dispatcher, delivery) = Dispatcher::new([Box::new(LogSink) as Box<dyn Sink>], 1_000);
/// let delivery = tokio::spawn(delivery);
/// dispatcher.send(&[]);
/// drop(dispatcher); // what is on its way is still sent
/// delivery.await
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Dispatcher {
    sinks: Vec<(String, Arc<Queue<Arc<Alert>>>)>,
}

/// The future that sends what a [`Dispatcher`] was given. It ends when the dispatcher has been dropped and
/// all is sent.
#[must_use = "nothing is sent unless the delivery runs"]
pub struct Delivery(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Dispatcher {
    /// Sends to these sinks; up to `capacity` alerts wait for each.
    pub fn new(sinks: impl IntoIterator<Item = Box<dyn Sink>>, capacity: usize) -> (Self, Delivery) {
        let (mut queues, mut deliveries) = (Vec::new(), Vec::new());
        for sink in sinks {
            let queue = Arc::new(Queue::new(capacity));
            queues.push((sink.name().to_owned(), Arc::clone(&queue)));
            deliveries.push(deliver(sink, queue));
        }
        (Self { sinks: queues }, Delivery(Box::pin(async { drop(join_all(deliveries).await) })))
    }

    /// Puts the alerts on their way. Takes a moment, whatever the sinks do.
    pub fn send(&self, alerts: &[Alert]) {
        for alert in alerts {
            let alert = Arc::new(alert.clone());
            for (name, queue) in &self.sinks {
                if let Some(dropped) = queue.push(Arc::clone(&alert)) {
                    tracing::warn!(sink = %name, id = %dropped.id, "too many alerts wait; the oldest is dropped");
                    count(name, "dropped");
                }
            }
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        for (_, queue) in &self.sinks {
            queue.close();
        }
    }
}

async fn deliver(sink: Box<dyn Sink>, queue: Arc<Queue<Arc<Alert>>>) {
    let name = sink.name().to_owned();
    while let Some(alert) = queue.next().await {
        let sent = AssertUnwindSafe(sink.send(&alert)).catch_unwind().await;
        let fault = match sent {
            Ok(Ok(())) => {
                count(&name, "ok");
                continue;
            }
            Ok(Err(fault)) => fault,
            Err(_) => Error::internal("the sink panicked"),
        };
        tracing::error!(sink = %name, id = %alert.id, alert = %alert, %fault, "an alert could not be sent");
        count(&name, "error");
    }
}

fn count(sink: &str, outcome: &'static str) {
    counter!(ALERTS_SENT_TOTAL, "sink" => sink.to_owned(), "outcome" => outcome).increment(1);
}

impl Future for Delivery {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
