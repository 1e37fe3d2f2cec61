//! Counters per variant and segment.

use std::sync::{Arc, OnceLock};

use crate::counters::CounterOptions;
use crate::{Counters, Counts, Profile};

/// What has no room in a table of names is counted under this one.
pub(crate) const OTHER: &str = "other";
/// The longest name that gets an entry.
const LONGEST: usize = 128;

/// The counters of each variant and segment: made when the first prediction of a group comes, and never more
/// than there is room for.
#[derive(Debug)]
pub(crate) struct Groups {
    profile: Arc<Profile>,
    options: CounterOptions,
    variants: Names,
    segments: Names,
    /// Variant by variant.
    counters: Box<[OnceLock<Counters>]>,
}

/// Names in the order of their first appearance, of which there is room for so many.
#[derive(Debug)]
struct Names(Box<[OnceLock<Box<str>>]>);

impl Groups {
    pub(crate) fn new(
        profile: Arc<Profile>,
        options: CounterOptions,
        variants: usize,
        segments: usize,
    ) -> Self {
        let groups = (variants + 1) * (segments + 1);
        Self {
            profile,
            options,
            variants: Names::new(variants),
            segments: Names::new(segments),
            counters: (0..groups).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The counters of a group. Allocates for the first prediction of a group, and for no other.
    pub(crate) fn counters(&self, variant: &str, segment: &str) -> Option<&Counters> {
        let group =
            self.variants.position(variant) * (self.segments.0.len() + 1) + self.segments.position(segment);
        let counters = || Counters::with_options(Arc::clone(&self.profile), self.options);
        Some(self.counters.get(group)?.get_or_init(counters))
    }

    /// All counters there are, each with its group.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Counters)> {
        self.counters.iter().enumerate().filter_map(|(group, counters)| Some((group, counters.get()?)))
    }

    /// Ends the window of every group.
    pub(crate) fn rotate(&self) -> Vec<(usize, Arc<Counts>)> {
        self.all().map(|(group, counters)| (group, Arc::new(counters.rotate()))).collect()
    }

    /// The counts of every group as they are now.
    pub(crate) fn snapshot(&self) -> Vec<(usize, Arc<Counts>)> {
        self.all().map(|(group, counters)| (group, Arc::new(counters.snapshot()))).collect()
    }

    /// The names of the variant and the segment of a group.
    pub(crate) fn names(&self, group: usize) -> (&str, &str) {
        let segments = self.segments.0.len() + 1;
        (self.variants.name(group / segments), self.segments.name(group % segments))
    }
}

impl Names {
    fn new(room: usize) -> Self {
        Self((0..room).map(|_| OnceLock::new()).collect())
    }

    /// The position of a name, or where a free one is given to it; behind the last when there is none.
    fn position(&self, name: &str) -> usize {
        if name.len() > LONGEST {
            return self.0.len();
        }
        let mut slots = self.0.iter();
        let found = slots.position(|slot| match slot.get() {
            Some(known) => **known == *name,
            None => slot.set(name.into()).is_ok() || slot.get().is_some_and(|known| **known == *name),
        });
        found.unwrap_or(self.0.len())
    }

    fn name(&self, position: usize) -> &str {
        self.0.get(position).and_then(OnceLock::get).map_or(OTHER, |name| name)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_place_and_the_rest_share_one() {
        let names = Names::new(2);
        let positions = ["b", "a", "b", "c", "", "a", &"x".repeat(200)].map(|name| names.position(name));
        assert_eq!(positions, [0, 1, 0, 2, 2, 1, 2]);
        assert_eq!([0, 1, 2].map(|position| names.name(position)), ["b", "a", OTHER]);
        assert_eq!(Names::new(0).position("a"), 0);
    }
}
