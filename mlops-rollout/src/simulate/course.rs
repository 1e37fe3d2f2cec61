//! A number that changes with time.

use std::f64::consts::TAU;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

const DAY: f64 = 86_400.0;

/// A number over the time since the rollout began: a request rate, a failure rate, a slowdown.
///
/// Numbers are constant courses. In serde a course is a number, or says its `kind`:
/// `{ kind = "growing", from = 0.01, per_hour = 0.002 }`.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::Course;
///
/// let hours = |hours: u64| Duration::from_secs(3_600 * hours);
/// let leak = Course::growing(0.01, 0.002);
/// assert_eq!((leak.at(hours(0)), leak.at(hours(5))), (0.01, 0.02));
/// let nightly = Course::daily(1_000.0, 0.8);
/// assert_eq!((nightly.at(hours(0)).round(), nightly.at(hours(12)).round()), (200.0, 1_800.0));
/// let seven_of_ten = Course::bursts(0.001, 0.1, 7 * hours(1), 10 * hours(1));
/// assert_eq!((seven_of_ten.at(hours(6)), seven_of_ten.at(hours(7))), (0.1, 0.001));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "Tagged")]
pub struct Course(Tagged);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Tagged {
    Constant {
        value: f64,
    },
    Growing {
        from: f64,
        per_hour: f64,
    },
    Daily {
        mean: f64,
        swing: f64,
    },
    Bursts {
        usual: f64,
        burst: f64,
        #[serde(with = "compact::required")]
        lasting: Duration,
        #[serde(with = "compact::required")]
        every: Duration,
    },
}

impl Course {
    /// Always the same.
    #[must_use]
    pub fn constant(value: f64) -> Self {
        Self(Tagged::Constant { value })
    }

    /// Grows evenly, as what leaks does; by a negative number per hour it shrinks.
    #[must_use]
    pub fn growing(from: f64, per_hour: f64) -> Self {
        Self(Tagged::Growing { from, per_hour })
    }

    /// Up and down once a day: `mean · (1 - swing · cos(2π t / 24 h))`. The rollout begins at midnight,
    /// when it is least. `swing` lies in [0, 1].
    #[must_use]
    pub fn daily(mean: f64, swing: f64) -> Self {
        Self(Tagged::Daily { mean, swing })
    }

    /// `burst` for as long as `lasting`, then `usual`, and so again `every` so often.
    #[must_use]
    pub fn bursts(usual: f64, burst: f64, lasting: Duration, every: Duration) -> Self {
        Self(Tagged::Bursts { usual, burst, lasting, every })
    }

    /// Its value so long after the beginning.
    #[must_use]
    pub fn at(&self, elapsed: Duration) -> f64 {
        let seconds = elapsed.as_secs_f64();
        match self.0 {
            Tagged::Constant { value } => value,
            Tagged::Growing { from, per_hour } => from + per_hour * seconds / 3_600.0,
            Tagged::Daily { mean, swing } => mean * (1.0 - swing * (TAU * seconds / DAY).cos()),
            Tagged::Bursts { usual, burst, lasting, every } => {
                let within = seconds.rem_euclid(every.as_secs_f64());
                if within < lasting.as_secs_f64() { burst } else { usual }
            }
        }
    }

    /// What is wrong with it as a number that must begin and peak within `range`.
    pub(super) fn fault(&self, what: &str, range: RangeInclusive<f64>) -> Option<String> {
        let (numbers, other) = match self.0 {
            Tagged::Constant { value } => ([value; 2], None),
            Tagged::Growing { from, per_hour } => {
                let fault = format!("grows by {per_hour} per hour; that must be finite");
                ([from; 2], (!per_hour.is_finite()).then_some(fault))
            }
            Tagged::Daily { mean, swing } => {
                let fault = format!("swings by {swing}; that must be in [0, 1]");
                (
                    [mean * (1.0 - swing), mean * (1.0 + swing)],
                    (!(0.0..=1.0).contains(&swing)).then_some(fault),
                )
            }
            Tagged::Bursts { usual, burst, lasting, every } => {
                let fault = format!("bursts for {lasting:?} every {every:?}; it must be shorter than that");
                ([usual, burst], (lasting >= every).then_some(fault))
            }
        };
        let outside = numbers.into_iter().find(|number| !number.is_finite() || !range.contains(number));
        let outside = outside.map(|number| {
            let (least, most) = (range.start(), range.end());
            match most.is_finite() {
                true => format!("is {number}; it must be in [{least}, {most}]"),
                false => format!("is {number}; it must be finite and at least {least}"),
            }
        });
        other.or(outside).map(|fault| format!("{what} {fault}"))
    }
}

impl From<f64> for Course {
    fn from(value: f64) -> Self {
        Self::constant(value)
    }
}

impl From<Course> for Tagged {
    fn from(course: Course) -> Self {
        course.0
    }
}

impl<'de> Deserialize<'de> for Course {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrTable)
    }
}

/// By hand, because serde's untagged enums do not say which field is at fault.
struct NumberOrTable;

impl<'de> Visitor<'de> for NumberOrTable {
    type Value = Course;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a table with its kind: constant, growing, daily or bursts")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Course, E> {
        Ok(Course::constant(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Course, E> {
        Ok(Course::constant(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Course, E> {
        Ok(Course::constant(value as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Course, A::Error> {
        Tagged::deserialize(MapAccessDeserializer::new(fields)).map(Course)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn serde_takes_numbers_and_tables_and_says_what_is_wrong() {
        let read = |json: &str| serde_json::from_str::<Course>(json);
        assert_eq!(read("0.5").unwrap(), Course::constant(0.5));
        assert_eq!(read("3").unwrap(), Course::constant(3.0));
        for course in [
            Course::constant(1.0),
            Course::growing(0.1, 0.2),
            Course::daily(5.0, 0.5),
            Course::bursts(0.1, 0.2, 7 * MINUTE, 10 * MINUTE),
        ] {
            let json = serde_json::to_string(&course).unwrap();
            assert_eq!(read(&json).unwrap(), course, "{json}");
        }
        for (bad, said) in [
            (r#"{"kind":"growing","from":0.1,"per_day":1}"#, "per_day"),
            (r#"{"kind":"growing","from":0.1}"#, "per_hour"),
            (r#"{"kind":"shrinking"}"#, "shrinking"),
            (r#""fast""#, "a number, or a table"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_faults() {
        let fault = |course: Course| course.fault("the rate", 0.0..=1.0);
        assert_eq!(fault(Course::growing(0.0, 5.0)), None);
        assert_eq!(fault(Course::constant(1.5)).unwrap(), "the rate is 1.5; it must be in [0, 1]");
        for bad in [
            Course::constant(f64::NAN),
            Course::constant(-0.1),
            Course::growing(0.1, f64::INFINITY),
            Course::daily(0.9, 0.5),
            Course::daily(0.5, 1.5),
            Course::bursts(0.1, 2.0, MINUTE, 2 * MINUTE),
            Course::bursts(0.1, 0.2, MINUTE, MINUTE),
            Course::bursts(0.1, 0.2, Duration::ZERO, Duration::ZERO),
        ] {
            assert!(fault(bad).is_some(), "{bad:?}");
        }
        assert!(Course::constant(f64::INFINITY).fault("it", 0.0..=f64::INFINITY).is_some());
    }
}
