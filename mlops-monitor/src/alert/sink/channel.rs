//! Alerts for the program itself.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_channel::mpsc::{Receiver, Sender, channel};
use mlops_core::{Error, Result};

use super::Sink;
use crate::alert::Alert;

/// Hands alerts to the program itself, through a channel: a stream for tasks, `try_recv` for all else.
///
/// It never waits: while the program does not take them, alerts beyond the capacity fail.
#[derive(Debug)]
pub struct ChannelSink {
    sender: Mutex<Sender<Alert>>,
}

/// More than anybody will read.
const MOST: usize = 1 << 20;

impl ChannelSink {
    /// A sink, and the end that receives. The channel holds one alert more than `capacity`, at most a million.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, Receiver<Alert>) {
        let (sender, receiver) = channel(capacity.min(MOST));
        (Self { sender: Mutex::new(sender) }, receiver)
    }
}

#[async_trait]
impl Sink for ChannelSink {
    fn name(&self) -> &str {
        "channel"
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        // A clone of the sender would bring a place of its own, and the channel would have no bound.
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.try_send(alert.clone()).map_err(|cause| {
            if cause.is_full() {
                Error::overloaded("the channel for alerts is full; its receiver takes none")
            } else {
                Error::unavailable("nobody receives from the channel for alerts any more")
            }
        })
    }
}
