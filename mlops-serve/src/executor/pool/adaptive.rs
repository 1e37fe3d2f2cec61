//! How many requests may wait, found by measuring how long they do.

use std::time::Duration;

use mlops_core::Instant;

/// Additive increase, multiplicative decrease, of the room in a queue.
///
/// When a request has waited longer than the target, a tenth of the room goes; when one has waited less, and the room
/// was needed, one more may wait. That rule converges to a fair and efficient share: Chiu and Jain, *Analysis of the
/// Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks*, 1989. As in TCP, what entered
/// before the last decrease does not count again.
#[derive(Debug)]
pub(super) struct Adaptive {
    target: Duration,
    least: usize,
    most: usize,
    room: usize,
    was_full: bool,
    decreased: Option<Instant>,
}

impl Adaptive {
    /// Between `least` and `most` requests may wait; it begins with `most`.
    pub(super) fn new(target: Duration, least: usize, most: usize) -> Self {
        Self { target, least: least.min(most), most, room: most, was_full: false, decreased: None }
    }

    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// There was no room for a request.
    pub(super) fn refused(&mut self) {
        self.was_full = true;
    }

    /// A request that waited since `queued` is taken `now`.
    pub(super) fn taken(&mut self, queued: Instant, now: Instant) {
        if self.decreased.is_some_and(|decreased| queued < decreased) {
            return;
        }
        if now.saturating_duration_since(queued) > self.target {
            self.room = (self.room - self.room.div_ceil(10)).max(self.least);
            (self.decreased, self.was_full) = (Some(now), false);
        } else if self.was_full {
            self.room = (self.room + 1).min(self.most);
            self.was_full = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(10);

    #[test]
    fn long_waits_take_room_away_once_per_round_trip() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(TARGET, 4, 100);
        let late = start + 2 * TARGET;
        for _ in 0..50 {
            adaptive.taken(start, late); // all of them were let in before the first decrease
        }
        assert_eq!(adaptive.room(), 90);
        adaptive.taken(late, late + 2 * TARGET);
        assert_eq!(adaptive.room(), 81);
    }

    #[test]
    fn it_never_leaves_its_bounds() {
        let mut now = Instant::now();
        let mut adaptive = Adaptive::new(TARGET, 4, 6);
        for _ in 0..20 {
            let queued = now;
            now += 2 * TARGET;
            adaptive.taken(queued, now);
        }
        assert_eq!(adaptive.room(), 4);
        for _ in 0..20 {
            adaptive.refused();
            adaptive.taken(now, now);
        }
        assert_eq!(adaptive.room(), 6);
    }

    #[test]
    fn room_that_nobody_needs_does_not_grow() {
        let now = Instant::now();
        let mut adaptive = Adaptive::new(TARGET, 1, 100);
        adaptive.taken(now, now + 2 * TARGET);
        adaptive.taken(now + 2 * TARGET, now + 2 * TARGET);
        assert_eq!(adaptive.room(), 90);
    }

    /// A server that computes `rate` requests per millisecond, and more callers than it can serve.
    #[test]
    fn under_overload_waits_settle_near_the_target() {
        let (mut now, millisecond) = (Instant::now(), Duration::from_millis(1));
        let mut adaptive = Adaptive::new(TARGET, 1, 1000);
        let mut waiting = std::collections::VecDeque::new();
        let mut waits = Vec::new();
        for _ in 0..5000 {
            for _ in 0..20 {
                if waiting.len() < adaptive.room() { waiting.push_back(now) } else { adaptive.refused() }
            }
            now += millisecond;
            for _ in 0..5 {
                if let Some(queued) = waiting.pop_front() {
                    adaptive.taken(queued, now);
                    waits.push(now - queued);
                }
            }
        }
        let settled = &waits[waits.len() / 2..];
        let mean = settled.iter().sum::<Duration>() / u32::try_from(settled.len()).unwrap();
        assert!((TARGET / 2..TARGET * 3 / 2).contains(&mean), "{mean:?}");
    }
}
