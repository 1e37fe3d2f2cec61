//! When a number is worth an alert, and when it no longer is.

use std::fmt;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// When a number is worth an alert, and when it no longer is.
///
/// A number on the threshold is not yet beyond it. Between the threshold and the clear threshold an alert
/// that fires goes on and one that does not stays quiet, so that a number that trembles about the threshold
/// makes one alert, not many:
///
/// ```
/// use mlops_monitor::alert::Condition;
///
/// let condition = Condition::above(0.2).with_clear(0.1)?;
/// assert!(condition.breached_by(0.21) && !condition.breached_by(0.2));
/// assert!(condition.cleared_by(0.1) && !condition.cleared_by(0.15));
/// assert!(Condition::above(0.2).with_clear(0.3).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The number is above the threshold. It is clear at `clear` and below.
    Above {
        /// The threshold.
        threshold: f64,
        /// At most the threshold.
        clear: f64,
    },
    /// The number is below the threshold. It is clear at `clear` and above.
    Below {
        /// The threshold.
        threshold: f64,
        /// At least the threshold.
        clear: f64,
    },
    /// The number is outside the range. It is clear within `clear`, ends included.
    Outside {
        /// The range, ends included.
        range: (f64, f64),
        /// A range within it.
        clear: (f64, f64),
    },
    /// There is no such signal.
    Absent,
}

impl Condition {
    /// The number is above the threshold.
    #[must_use]
    pub fn above(threshold: f64) -> Self {
        Self::Above { threshold, clear: threshold }
    }

    /// The number is below the threshold.
    #[must_use]
    pub fn below(threshold: f64) -> Self {
        Self::Below { threshold, clear: threshold }
    }

    /// The number is below `low` or above `high`.
    #[must_use]
    pub fn outside(low: f64, high: f64) -> Self {
        Self::Outside { range: (low, high), clear: (low, high) }
    }

    /// Hysteresis: an alert that fires ends only when the number is back at `clear`, on the good side of the
    /// threshold.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `clear` is beyond the threshold or the condition has not one threshold.
    pub fn with_clear(self, clear: f64) -> Result<Self> {
        match self {
            Self::Above { threshold, .. } => Self::Above { threshold, clear },
            Self::Below { threshold, .. } => Self::Below { threshold, clear },
            Self::Outside { .. } => {
                return Err(Error::invalid_input(format!(
                    "clear = {clear} is one number; a range is cleared by a range: clear = [low, high]"
                )));
            }
            Self::Absent => return Err(Error::invalid_input("a rule about absence has no `clear`")),
        }
        .checked()
    }

    /// Hysteresis of [`outside`](Self::outside): an alert that fires ends only when the number is back within
    /// this range.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the range is not within that of the condition, or it has none.
    pub fn with_clear_range(self, low: f64, high: f64) -> Result<Self> {
        match self {
            Self::Outside { range, .. } => Self::Outside { range, clear: (low, high) }.checked(),
            _ => Err(Error::invalid_input(format!(
                "clear = [{low}, {high}] is a range; only `outside` is cleared by one"
            ))),
        }
    }

    /// Whether the number is worth an alert. NaN never is.
    #[must_use]
    pub fn breached_by(&self, number: f64) -> bool {
        match *self {
            Self::Above { threshold, .. } => number > threshold,
            Self::Below { threshold, .. } => number < threshold,
            Self::Outside { range: (low, high), .. } => number < low || number > high,
            Self::Absent => false,
        }
    }

    /// Whether the number ends an alert.
    #[must_use]
    pub fn cleared_by(&self, number: f64) -> bool {
        match *self {
            Self::Above { clear, .. } => number <= clear,
            Self::Below { clear, .. } => number >= clear,
            Self::Outside { clear: (low, high), .. } => (low..=high).contains(&number),
            Self::Absent => !number.is_nan(),
        }
    }

    /// The greater, the worse.
    pub(crate) fn badness(&self, number: f64) -> f64 {
        match *self {
            Self::Above { .. } => number,
            Self::Below { .. } => -number,
            Self::Outside { range: (low, high), .. } => (low - number).max(number - high),
            Self::Absent => 0.0,
        }
    }

    pub(crate) fn checked(self) -> Result<Self> {
        let (numbers, right, what) = match self {
            Self::Above { threshold, clear } => ([threshold, clear, 0.0, 0.0], clear <= threshold, "above"),
            Self::Below { threshold, clear } => ([threshold, clear, 0.0, 0.0], clear >= threshold, "below"),
            Self::Outside { range: (low, high), clear: (from, to) } => {
                ([low, high, from, to], low <= from && from <= to && to <= high, "outside")
            }
            Self::Absent => return Ok(self),
        };
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(Error::invalid_input(format!("a threshold of `{what}` is not a finite number")));
        }
        if !right {
            return Err(Error::invalid_input(format!(
                "`{what}` would be cleared by numbers that breach it ({self}); `clear` has to be on the good side \
                 of the threshold"
            )));
        }
        Ok(self)
    }
}

/// `above 0.2, clear at 0.1`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Above { threshold, clear } | Self::Below { threshold, clear } => {
                let side = if matches!(self, Self::Above { .. }) { "above" } else { "below" };
                write!(f, "{side} {threshold}")?;
                if clear == threshold { Ok(()) } else { write!(f, ", clear at {clear}") }
            }
            Self::Outside { range, clear } => {
                write!(f, "outside {} to {}", range.0, range.1)?;
                if clear == range { Ok(()) } else { write!(f, ", clear within {} to {}", clear.0, clear.1) }
            }
            Self::Absent => f.write_str("absent"),
        }
    }
}
