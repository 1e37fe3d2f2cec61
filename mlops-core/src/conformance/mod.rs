//! The contract of each trait as a test suite that every implementation runs: those of this house, and
//! yours.
//!
//! Each function takes an implementation (or a way to make fresh ones), exercises it, and **panics with the
//! broken promise** when it does not hold, as a test should. None needs a runtime: await it in a test of
//! whatever runtime the implementation needs.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

pub mod drift;
pub mod model;
pub mod registry;
pub mod router;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Runs two futures at once, in turns.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    poll_fn(move |context| {
        if a_done.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            a_done = Some(output);
        }
        if b_done.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            b_done = Some(output);
        }
        match (a_done.take(), b_done.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (a_done, b_done) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
