//! The clock of the house as one that governor reads.

use std::sync::Arc;

use governor::clock;
use governor::nanos::Nanos;
use mlops_core::{Clock, Instant};

/// Time since the clock was taken into use.
#[derive(Debug, Clone)]
pub(super) struct Ticks {
    clock: Arc<dyn Clock>,
    start: Instant,
}

impl Ticks {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.instant();
        Self { clock, start }
    }
}

impl clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.clock.instant().saturating_duration_since(self.start).into()
    }
}
