//! Load: the same request over and over, from many connections at once, each waiting for its answer.

mod grpc;
mod wrk;

use std::time::Duration;

use crate::Failure;
use crate::wire::{Call, Wire};

pub use grpc::Connection as GrpcConnection;

/// What clients saw during one window.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub requests: u64,
    pub time: Duration,
    pub p50: Duration,
    pub p99: Duration,
}

/// Sends `call` to a port of this machine.
///
/// # Errors
/// One failed request fails all: a server that refuses is fast.
pub async fn run(
    wire: Wire,
    port: u16,
    call: &Call,
    connections: usize,
    time: Duration,
) -> Result<Seen, Failure> {
    match wire {
        Wire::Json | Wire::Binary => wrk::run(port, call, connections, time).await,
        Wire::Grpc => grpc::run(port, call, connections, time).await,
    }
}
