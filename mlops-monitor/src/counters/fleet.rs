//! The counts of a fleet.

use std::collections::BTreeMap;

use mlops_core::{Error, Result};

use crate::{Counts, Profile};

/// Collects the counts of many replicas, window by window: what they push, or what is pulled from them.
///
/// The sum of a window is what one process would have counted that had made all the predictions. A replica
/// that sends its counts of a window again replaces what it sent before, so that sending may be repeated.
///
/// ```
/// use mlops_monitor::{Counters, Features, FleetCounts, Profile, Rules, TensorFeatures};
///
/// let features = Features::new([TensorFeatures::columns("x", ["age"])])?;
/// let profile = Profile::from_array(ndarray::Array2::<f64>::eye(1).view(), features)?;
/// let (one, two) = (Counters::new(profile.clone()), Counters::new(profile.clone()));
/// one.observe_row(&[31.0])?;
/// two.observe_row(&[47.0])?;
///
/// let mut fleet = FleetCounts::new(&profile, 24);
/// fleet.push("pod-1", 0, one.rotate())?;
/// fleet.push("pod-2", 0, two.rotate())?;
/// let counts = fleet.sum(0).unwrap();
/// assert_eq!(counts.rows, 2);
/// let report = Rules::default().report(&profile, &counts)?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FleetCounts {
    /// Of no row, in the bins of the profile.
    zero: Counts,
    most_windows: usize,
    windows: BTreeMap<u64, BTreeMap<String, Counts>>,
}

impl FleetCounts {
    /// Collects counts in the bins of `profile`, and remembers so many windows, the latest (at least one).
    #[must_use]
    pub fn new(profile: &Profile, most_windows: usize) -> Self {
        Self { zero: Counts::zero(profile), most_windows: most_windows.max(1), windows: BTreeMap::new() }
    }

    /// Takes the counts of a replica in a window. Windows are numbered by the caller, alike on all replicas,
    /// as [`Monitor::windows`](crate::Monitor::windows) does with windows of time.
    ///
    /// Returns whether this is new: not, when the replica has sent counts of the window before, which are
    /// replaced.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the counts belong to another profile, or the window is older than all that
    /// are remembered. Then nothing has changed.
    pub fn push(&mut self, replica: impl Into<String>, window: u64, counts: Counts) -> Result<bool> {
        self.zero.clone().merge(&counts)?;
        if let Some(oldest) = self.windows.keys().next()
            && self.windows.len() >= self.most_windows
            && window < *oldest
        {
            return Err(Error::invalid_input(format!(
                "window {window} is over: the oldest that is remembered is {oldest}"
            )));
        }
        let new = self.windows.entry(window).or_default().insert(replica.into(), counts).is_none();
        while self.windows.len() > self.most_windows {
            self.windows.pop_first();
        }
        Ok(new)
    }

    /// The windows that are remembered, in order.
    pub fn windows(&self) -> impl Iterator<Item = u64> {
        self.windows.keys().copied()
    }

    /// The replicas that have sent counts of a window, in the order of their names.
    pub fn replicas(&self, window: u64) -> impl Iterator<Item = &str> {
        self.windows.get(&window).into_iter().flat_map(|replicas| replicas.keys().map(String::as_str))
    }

    /// The counts of all replicas in a window; `None` when there are none.
    #[must_use]
    pub fn sum(&self, window: u64) -> Option<Counts> {
        self.add(self.windows.get(&window)?.values())
    }

    /// The counts of all replicas in all windows that are remembered; `None` when there are none.
    #[must_use]
    pub fn sum_of_all(&self) -> Option<Counts> {
        self.add(self.windows.values().flat_map(BTreeMap::values))
    }

    fn add<'a>(&self, counts: impl Iterator<Item = &'a Counts>) -> Option<Counts> {
        Counts::sum(counts).filter(|sum| sum.profile == self.zero.profile)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Counters, Features, TensorFeatures};

    fn profile(width: usize) -> Profile {
        let names = (0..width).map(|i| format!("f{i}"));
        let features = Features::new([TensorFeatures::columns("x", names)]).unwrap();
        let rows = ndarray::Array2::from_shape_fn((50, width), |(row, column)| (row * (column + 1)) as f64);
        Profile::from_array(rows.view(), features).unwrap()
    }

    fn counts(counters: &Counters, values: impl Iterator<Item = u32>) -> Counts {
        values.for_each(|value| counters.observe_row(&[f64::from(value)]).unwrap());
        counters.rotate()
    }

    #[test]
    fn the_answer_of_the_fleet_is_that_of_one_process() {
        let one = Counters::new(profile(1));
        let mut fleet = FleetCounts::new(one.profile(), 2);
        for replica in 0..5 {
            let counts = counts(&one, 0..10 * replica);
            assert!(fleet.push(format!("pod-{replica}"), 7, counts.clone()).unwrap());
            assert!(!fleet.push(format!("pod-{replica}"), 7, counts).unwrap());
        }
        let all = counts(&one, (0..5).flat_map(|replica| 0..10 * replica));
        assert_eq!((fleet.sum(7), fleet.sum_of_all()), (Some(all.clone()), Some(all)));
        assert_eq!(fleet.replicas(7).count(), 5);
        assert_eq!(fleet.sum(8), None);
    }

    #[test]
    fn strangers_and_late_comers_are_refused() {
        let mut fleet = FleetCounts::new(&profile(1), 2);
        assert!(fleet.push("pod", 3, Counters::new(profile(2)).rotate()).is_err());
        assert_eq!(fleet.sum_of_all(), None);
        for (window, remembered) in [(3, vec![3]), (1, vec![1, 3]), (4, vec![3, 4])] {
            fleet.push("pod", window, Counters::new(profile(1)).rotate()).unwrap();
            assert_eq!(fleet.windows().collect::<Vec<_>>(), remembered);
        }
        assert!(fleet.push("pod", 2, Counters::new(profile(1)).rotate()).is_err());
    }
}
