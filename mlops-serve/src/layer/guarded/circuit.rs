//! The state machine of a circuit breaker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mlops_core::Instant;

use super::CircuitBreaker;

#[derive(Debug)]
pub(super) struct Circuit {
    breaker: CircuitBreaker,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts the changes of phase: what began in one says nothing in another.
    era: u64,
}

#[derive(Debug)]
enum Phase {
    /// The outcomes of the last calls, the latest last: whether each failed.
    Closed(VecDeque<bool>),
    /// No call passes until then; `None` is the end of time.
    Open(Option<Instant>),
    /// A probe is under way.
    HalfOpen,
}

/// A call that may be made. Dropped without a word, it says nothing of the model.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    circuit: &'a Circuit,
    era: u64,
}

impl Circuit {
    pub(super) fn new(breaker: CircuitBreaker) -> Self {
        Self { breaker, state: Mutex::new(State { phase: Phase::Closed(VecDeque::new()), era: 0 }) }
    }

    /// Lets a call pass, or not.
    pub(super) fn pass(&self) -> Option<Passage<'_>> {
        let mut state = self.lock();
        match state.phase {
            Phase::Closed(_) => {}
            Phase::Open(until) if until.is_some_and(|until| until <= self.breaker.clock.instant()) => {
                state.enter(Phase::HalfOpen);
            }
            Phase::Open(_) | Phase::HalfOpen => return None,
        }
        Some(Passage { circuit: self, era: state.era })
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.lock().phase, Phase::Closed(_))
    }

    /// Takes note of a call that began in that era; `None` where it says nothing.
    fn note(&self, era: u64, failed: Option<bool>) {
        let mut state = self.lock();
        if state.era != era {
            return;
        }
        let opens = match (&mut state.phase, failed) {
            (Phase::Closed(outcomes), Some(failed)) => {
                outcomes.push_back(failed);
                if outcomes.len() > self.breaker.calls {
                    outcomes.pop_front();
                }
                failed && self.too_many(outcomes)
            }
            (Phase::HalfOpen, Some(false)) => {
                state.enter(Phase::Closed(VecDeque::new()));
                false
            }
            (Phase::HalfOpen, Some(true)) => true,
            (Phase::HalfOpen, None) => {
                // The next call is the probe.
                state.enter(Phase::Open(Some(self.breaker.clock.instant())));
                false
            }
            (Phase::Closed(_), None) | (Phase::Open(_), _) => false,
        };
        if opens {
            state.enter(Phase::Open(self.breaker.clock.instant().checked_add(self.breaker.pause)));
        }
    }

    fn too_many(&self, outcomes: &VecDeque<bool>) -> bool {
        let failures = outcomes.iter().filter(|failed| **failed).count();
        outcomes.len() == self.breaker.calls && failures as f64 >= self.breaker.share * outcomes.len() as f64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
    }
}

impl Passage<'_> {
    /// The model answered.
    pub(super) fn answered(self) {
        self.circuit.note(self.era, Some(false));
    }

    /// The model failed.
    pub(super) fn failed(self) {
        self.circuit.note(self.era, Some(true));
    }
}

/// After `answered` or `failed` of a probe the era is another; otherwise there is nothing to undo.
impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.circuit.note(self.era, None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mlops_core::ManualClock;

    use super::*;

    fn circuit(calls: usize, share: f64) -> (Circuit, ManualClock) {
        let clock = ManualClock::default();
        let breaker = CircuitBreaker::new(calls).with_failure_share(share).with_clock(clock.clone());
        (Circuit::new(breaker.with_pause(Duration::from_secs(5))), clock)
    }

    fn call(circuit: &Circuit, outcomes: &str) {
        for outcome in outcomes.chars() {
            let passage = circuit.pass().unwrap();
            match outcome {
                '.' => passage.answered(),
                'x' => passage.failed(),
                _ => drop(passage),
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let (circuit, _) = circuit(3, 1.0);
        call(&circuit, "xx.xx.xx-.xx");
        assert!(!circuit.is_open());
        call(&circuit, "x");
        assert!(circuit.is_open() && circuit.pass().is_none());
    }

    #[test]
    fn a_share_of_failures_opens_it_once_enough_calls_were_made() {
        let (circuit, _) = circuit(4, 0.5);
        call(&circuit, "xx.");
        assert!(!circuit.is_open(), "three calls are too few to say");
        call(&circuit, ".");
        assert!(!circuit.is_open(), "an answer does not open it");
        call(&circuit, ".x");
        assert!(!circuit.is_open(), "one of the last four");
        call(&circuit, "x");
        assert!(circuit.is_open());
    }

    #[test]
    fn one_probe_after_the_pause_decides() {
        let (circuit, clock) = circuit(1, 1.0);
        call(&circuit, "x");
        clock.advance(Duration::from_millis(4999));
        assert!(circuit.pass().is_none());
        clock.advance(Duration::from_millis(1));
        let probe = circuit.pass().unwrap();
        assert!(circuit.pass().is_none(), "one at a time");
        probe.failed();
        assert!(circuit.pass().is_none(), "another pause");
        clock.advance(Duration::from_secs(5));
        call(&circuit, ".");
        assert!(!circuit.is_open());
    }

    #[test]
    fn a_probe_that_says_nothing_gives_its_turn_to_the_next_call() {
        let (circuit, clock) = circuit(1, 1.0);
        call(&circuit, "x");
        clock.advance(Duration::from_secs(5));
        call(&circuit, "--.");
        assert!(!circuit.is_open());
    }

    #[test]
    fn calls_of_an_earlier_phase_say_nothing_in_a_later_one() {
        let (circuit, clock) = circuit(2, 1.0);
        let slow: Vec<_> = (0..5).map(|_| circuit.pass().unwrap()).collect();
        call(&circuit, "xx");
        clock.advance(Duration::from_secs(5));
        let probe = circuit.pass().unwrap();
        let mut slow = slow.into_iter();
        slow.next().unwrap().answered();
        assert!(circuit.is_open(), "it was no probe");
        probe.answered();
        slow.for_each(Passage::failed);
        assert!(!circuit.is_open(), "those calls are of the time before");
    }

    #[test]
    fn an_endless_pause_overflows_nothing() {
        let breaker = CircuitBreaker::new(0).with_pause(Duration::MAX);
        let circuit = Circuit::new(breaker);
        call(&circuit, "x");
        assert!(circuit.pass().is_none());
    }
}
