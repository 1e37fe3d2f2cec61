//! How much data is enough.

use serde::{Deserialize, Serialize};

/// So many samples of each variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplesNeeded {
    /// Of the stable variant.
    pub stable: u64,
    /// Of the candidate.
    pub candidate: u64,
}

impl SamplesNeeded {
    /// So many of each variant.
    #[must_use]
    pub fn each(samples: u64) -> Self {
        Self { stable: samples, candidate: samples }
    }

    /// At least so many of each.
    pub(super) fn at_least(self, samples: u64) -> Self {
        Self { stable: self.stable.max(samples), candidate: self.candidate.max(samples) }
    }
}

/// What a check has to go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples {
    /// Of what: `requests`.
    pub(super) what: &'static str,
    /// Of the stable variant; `None` where it does not matter.
    pub(super) stable: Option<u64>,
    /// Of the candidate.
    pub(super) candidate: u64,
}

impl Samples {
    /// What is still missing, in numbers and in words; `None` when nothing is. One of each is needed at least.
    pub(super) fn missing(&self, needed: SamplesNeeded) -> Option<(SamplesNeeded, String)> {
        let candidate = needed.candidate.max(1).saturating_sub(self.candidate);
        let stable = self.stable.map_or(0, |present| needed.stable.max(1).saturating_sub(present));
        let what = self.what;
        let words = |who: &str, more: u64, present: u64| {
            let needed = present.saturating_add(more);
            (more > 0).then(|| format!("{more} more {what} of the {who} are needed ({present} of {needed})"))
        };
        let words: Vec<String> = [
            words("candidate", candidate, self.candidate),
            words("stable variant", stable, self.stable.unwrap_or_default()),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!words.is_empty()).then(|| (SamplesNeeded { stable, candidate }, words.join("; ")))
    }

    /// What is missing until there is `factor` times as much, in numbers and in words.
    pub(super) fn missing_to_grow(&self, factor: f64) -> (SamplesNeeded, String) {
        let more = |present: u64| ((factor - 1.0) * present as f64).ceil() as u64;
        let needed = SamplesNeeded { stable: self.stable.map_or(0, more), candidate: more(self.candidate) };
        let (what, more) = (self.what, needed.candidate);
        (
            needed,
            format!("some {more} more {what} of the candidate will tell if the numbers stay as they are"),
        )
    }
}

/// By which factor the data must grow, staying as they are, until they decide; `None` where even 2⁴⁰ times as
/// much would not.
pub(super) fn growth(decides: impl Fn(f64) -> bool) -> Option<f64> {
    let mut high = (1..=40).map(|doubled| 2_f64.powi(doubled)).find(|factor| decides(*factor))?;
    let mut low = high / 2.0;
    for _ in 0..10 {
        let middle = 0.5 * (low + high);
        if decides(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_numbers_and_words() {
        let samples = Samples { what: "requests", stable: Some(3), candidate: 0 };
        let (more, words) = samples.missing(SamplesNeeded::each(10)).unwrap();
        assert_eq!(more, SamplesNeeded { stable: 7, candidate: 10 });
        assert_eq!(
            words,
            "10 more requests of the candidate are needed (0 of 10); \
             7 more requests of the stable variant are needed (3 of 10)"
        );
        assert!(samples.missing(SamplesNeeded::each(0)).is_some(), "nothing is never enough");
        let alone = Samples { stable: None, candidate: 10, ..samples };
        assert!(alone.missing(SamplesNeeded::each(10)).is_none());
    }

    #[test]
    fn growth_is_found_to_a_thousandth() {
        let factor = growth(|factor| factor >= 37.3).unwrap();
        assert!((37.3..37.34).contains(&factor), "{factor}");
        assert_eq!(growth(|_| false), None);
    }
}
