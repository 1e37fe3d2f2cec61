//! Which steps run, and where each value is used for the last time.

use std::collections::HashSet;

use super::{Place, Step};

/// Some of the steps of a plan, in order.
#[derive(Debug)]
pub(super) struct Schedule(Vec<Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) step: usize,
    /// Bit by bit, which of the step's inputs nobody needs afterwards. Inputs beyond the 64th are never moved.
    last_uses: u64,
}

impl Entry {
    /// Whether the value of that input can be moved into the step.
    pub(super) fn is_last_use(&self, input: usize) -> bool {
        input < 64 && self.last_uses >> input & 1 == 1
    }
}

impl Schedule {
    pub(super) fn new(
        steps: &[Step],
        outputs: &[Place],
        order: impl DoubleEndedIterator<Item = usize>,
    ) -> Self {
        let mut needed: HashSet<usize> = outputs.iter().filter_map(|place| slot(*place)).collect();
        let mut entries: Vec<Entry> = order.rev().map(|step| Entry { step, last_uses: 0 }).collect();
        for entry in &mut entries {
            // From the back, so that of several uses by one step the last one moves the value.
            for (index, place) in steps[entry.step].inputs.iter().enumerate().rev() {
                if let Some(slot) = place.and_then(slot)
                    && needed.insert(slot)
                    && index < 64
                {
                    entry.last_uses |= 1 << index;
                }
            }
        }
        entries.reverse();
        Self(entries)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }
}

fn slot(place: Place) -> Option<usize> {
    match place {
        Place::Slot(slot) => Some(slot),
        Place::Constant(_) => None,
    }
}
