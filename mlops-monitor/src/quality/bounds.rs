//! Ranges with two, one or no ends.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::value::written;
use crate::ValueKind;

/// Counts beyond it are not told apart in documents.
pub(super) const LARGEST: u64 = 1 << 53;

/// A range of numbers. An end that is strict does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) min: Bound<f64>,
    pub(super) max: Bound<f64>,
}

/// The ends as they stand in a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ends {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) strict_min: bool,
    pub(super) strict_max: bool,
}

/// A range of counts, both ends belonging to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountBounds {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

impl Ends {
    pub(super) fn of(range: impl RangeBounds<f64>) -> Self {
        let end = |bound: Bound<&f64>| match bound {
            Bound::Included(end) => (Some(*end), false),
            Bound::Excluded(end) => (Some(*end), true),
            Bound::Unbounded => (None, false),
        };
        let ((min, strict_min), (max, strict_max)) = (end(range.start_bound()), end(range.end_bound()));
        Self { min, max, strict_min, strict_max }
    }

    /// The range, if a number lies in it.
    pub(super) fn bounds(self) -> Result<Bounds> {
        let Self { min, max, strict_min, strict_max } = self;
        for (name, end, strict) in [("min", min, strict_min), ("max", max, strict_max)] {
            if end.is_some_and(|end| !end.is_finite()) {
                return Err(Error::invalid_input(format!(
                    "`{name}` has to be a finite number; leave it out for no limit"
                )));
            }
            if strict && end.is_none() {
                return Err(Error::invalid_input(format!("`strict_{name}` without `{name}`")));
            }
        }
        match (min, max) {
            (None, None) => return Err(Error::invalid_input("it needs `min`, `max` or both")),
            (Some(min), Some(max)) if min > max || (min == max && (strict_min || strict_max)) => {
                let strict = if min == max { " strictly" } else { "" };
                return Err(Error::invalid_input(format!(
                    "no number lies{strict} between `min` {min} and `max` {max}"
                )));
            }
            _ => {}
        }
        let bound = |end: Option<f64>, strict| match end {
            None => Bound::Unbounded,
            Some(end) if strict => Bound::Excluded(end),
            Some(end) => Bound::Included(end),
        };
        Ok(Bounds { min: bound(min, strict_min), max: bound(max, strict_max) })
    }
}

impl Bounds {
    /// Whether a finite number lies in the range; infinities never do.
    pub(super) fn contain(&self, number: f64) -> bool {
        number.is_finite() && (self.min, self.max).contains(&number)
    }

    /// Where the whole of `[low, high]` lies: inside, outside, or in both (`None`).
    pub(super) fn contain_all(&self, low: f64, high: f64) -> Option<bool> {
        let apart = !match self.min {
            Bound::Included(min) => high >= min,
            Bound::Excluded(min) => high > min,
            Bound::Unbounded => true,
        } || !match self.max {
            Bound::Included(max) => low <= max,
            Bound::Excluded(max) => low < max,
            Bound::Unbounded => true,
        };
        match (apart, self.contain(low) && self.contain(high)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }
}

impl CountBounds {
    pub(super) fn of(range: impl RangeBounds<u64>) -> Self {
        let min = match range.start_bound() {
            Bound::Included(min) => Some(*min),
            Bound::Excluded(min) => Some(min.saturating_add(1)),
            Bound::Unbounded => None,
        };
        let max = match range.end_bound() {
            Bound::Included(max) => Some(*max),
            Bound::Excluded(0) => return Self { min: Some(1), max: Some(0) },
            Bound::Excluded(max) => Some(max - 1),
            Bound::Unbounded => None,
        };
        Self { min, max }
    }

    pub(super) fn check(&self) -> Result<()> {
        match (self.min, self.max) {
            (None, None) => Err(Error::invalid_input("it needs `min`, `max` or both")),
            (Some(end), _) | (_, Some(end)) if end > LARGEST => Err(Error::invalid_input(format!(
                "{end} is too large for a count; at most {LARGEST} is possible"
            ))),
            (Some(min), Some(max)) if min > max => {
                Err(Error::invalid_input(format!("no count lies between `min` {min} and `max` {max}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn contain(&self, count: u64) -> bool {
        self.min.is_none_or(|min| min <= count) && self.max.is_none_or(|max| count <= max)
    }
}

/// `at least 0 and below 1`
impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number| written(number, ValueKind::Float);
        let min = self.min.map(|min| (if self.strict_min { "above" } else { "at least" }, number(min)));
        let max = self.max.map(|max| (if self.strict_max { "below" } else { "at most" }, number(max)));
        write_ends(f, min, max)
    }
}

impl fmt::Display for CountBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, max] = [("at least", self.min), ("at most", self.max)]
            .map(|(word, end)| end.map(|end| (word, end.to_string())));
        write_ends(f, min, max)
    }
}

fn write_ends(
    f: &mut fmt::Formatter<'_>,
    min: Option<(&str, String)>,
    max: Option<(&str, String)>,
) -> fmt::Result {
    let both = min.is_some() && max.is_some();
    if let Some((word, end)) = min {
        write!(f, "{word} {end}")?;
    }
    if both {
        f.write_str(" and ")?;
    }
    max.map_or(Ok(()), |(word, end)| write!(f, "{word} {end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_belong_to_a_range_unless_they_are_strict() {
        let bounds = |range: (Bound<f64>, Bound<f64>)| Ends::of(range).bounds().unwrap();
        let closed = bounds((Bound::Included(0.0), Bound::Included(1.0)));
        let open = bounds((Bound::Excluded(0.0), Bound::Excluded(1.0)));
        assert_eq!([0.0, 0.5, 1.0, 1.1].map(|x| closed.contain(x)), [true, true, true, false]);
        assert_eq!([0.0, 0.5, 1.0].map(|x| open.contain(x)), [false, true, false]);
        let half = bounds((Bound::Included(0.0), Bound::Unbounded));
        assert!(half.contain(1e300) && !half.contain(f64::INFINITY) && !half.contain(f64::NAN));
    }

    #[test]
    fn an_interval_lies_inside_outside_or_across() {
        let bounds = Ends::of(0.0..=1.0).bounds().unwrap();
        assert_eq!(bounds.contain_all(0.0, 1.0), Some(true));
        assert_eq!(bounds.contain_all(1.5, 2.0), Some(false));
        assert_eq!(bounds.contain_all(-2.0, -1.0), Some(false));
        assert_eq!(bounds.contain_all(0.5, 1.5), None);
        assert_eq!(bounds.contain_all(-1.0, 2.0), None);
    }

    #[test]
    fn ranges_without_a_number_are_refused() {
        for (min, max) in [(1.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (1.0, f64::NAN)] {
            assert!(Ends::of(min..=max).bounds().is_err(), "{min} {max}");
        }
        assert!(Ends::of(..).bounds().is_err());
        assert!(Ends::of(1.0..1.0).bounds().is_err());
        assert!(CountBounds { min: Some(3), max: Some(2) }.check().is_err());
        assert!(CountBounds::of(0..0).check().is_err());
        assert!(CountBounds::of(..).check().is_err());
    }
}
