//! The stream of what a rollout does.

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::{self, error::RecvError};

use super::audit::Transition;

/// So many transitions are kept for a subscriber that does not listen.
const KEPT: usize = 256;

/// What a rollout does, from the moment of subscribing: see [`Controller::subscribe`](crate::Controller::subscribe).
#[derive(Debug)]
pub struct Transitions(broadcast::Receiver<Transition>);

/// One thing that a subscriber hears.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Heard {
    /// The rollout moved.
    Moved(Box<Transition>),
    /// It moved so many times while the subscriber did not listen, and these are lost to it: 256 are kept.
    /// The [audit](crate::Controller::audit) has them.
    Missed(u64),
}

impl Transitions {
    /// What comes next; `None` once the controller is gone.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(transition) => Some(Heard::Moved(Box::new(transition))),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Heard> + Send {
        unfold(self, async |mut transitions| Some((transitions.next().await?, transitions)))
    }
}

/// The other end.
#[derive(Debug)]
pub(super) struct Announcer(broadcast::Sender<Transition>);

impl Announcer {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    pub(super) fn subscribe(&self) -> Transitions {
        Transitions(self.0.subscribe())
    }

    pub(super) fn announce(&self, transition: &Transition) {
        // An error says that nobody listens.
        let _ = self.0.send(transition.clone());
    }
}
