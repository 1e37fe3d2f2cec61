//! What the values of a column are read as.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{TableColumn, ValueKind, Values};

/// What the values of a column are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Boolean,
    Integer,
    Float,
    /// Dates and times, as microseconds since the Unix epoch.
    Time,
    Text,
}

impl Reading {
    /// What a word is by itself.
    pub(super) fn of(word: &str) -> Self {
        if word.parse::<i64>().is_ok() {
            Self::Integer
        } else if word.parse::<f64>().is_ok() {
            Self::Float
        } else if bool_of(word).is_some() {
            Self::Boolean
        } else if time_of(word).is_some() {
            Self::Time
        } else {
            Self::Text
        }
    }

    /// What both can be read as.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Integer | Self::Float, Self::Integer | Self::Float) => Self::Float,
            _ => Self::Text,
        }
    }

    /// What a column is read as whose values are `inferred`, if it has any, and which is said to hold `kind`.
    pub(super) fn decided(inferred: Option<Self>, kind: Option<ValueKind>) -> Self {
        match kind {
            None => inferred.unwrap_or(Self::Float),
            Some(ValueKind::Integer) if inferred == Some(Self::Time) => Self::Time,
            Some(ValueKind::Boolean) => Self::Boolean,
            Some(ValueKind::Integer) => Self::Integer,
            Some(ValueKind::Float) => Self::Float,
            Some(ValueKind::Text) => Self::Text,
        }
    }

    /// The number that a word says, if it can be read so.
    pub(super) fn number(self, word: &str) -> Option<f64> {
        match self {
            Self::Boolean => bool_of(word),
            Self::Integer | Self::Float => word.parse().ok(),
            Self::Time => time_of(word),
            Self::Text => None,
        }
    }

    /// A column of numbers that were read so. Whole numbers among which there is a fraction are just numbers.
    pub(super) fn column(self, numbers: Vec<f64>) -> TableColumn {
        let kind = match self {
            Self::Boolean => ValueKind::Boolean,
            Self::Time => ValueKind::Integer,
            Self::Integer if numbers.iter().all(|number| number.is_nan() || number.fract() == 0.0) => {
                ValueKind::Integer
            }
            _ => ValueKind::Float,
        };
        TableColumn { kind, values: Values::Numbers(numbers) }
    }

    /// What the values are called in errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "true and false",
            Self::Integer | Self::Float => "numbers",
            Self::Time => "dates and times",
            Self::Text => "text",
        }
    }
}

fn bool_of(word: &str) -> Option<f64> {
    match word {
        "true" | "True" | "TRUE" => Some(1.0),
        "false" | "False" | "FALSE" => Some(0.0),
        _ => None,
    }
}

/// Dates and times of ISO 8601, in UTC where no offset is given.
fn time_of(word: &str) -> Option<f64> {
    let [a, b, c, d, b'-', ..] = word.as_bytes() else { return None };
    if ![a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let timestamp = word.parse::<Timestamp>().ok().or_else(|| {
        let time: DateTime = word.parse().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(timestamp.as_microsecond() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_they_look_like() {
        for (word, reading, number) in [
            ("12", Reading::Integer, Some(12.0)),
            ("-1e3", Reading::Float, Some(-1000.0)),
            ("99999999999999999999", Reading::Float, Some(1e20)),
            ("inf", Reading::Float, Some(f64::INFINITY)),
            ("true", Reading::Boolean, Some(1.0)),
            ("FALSE", Reading::Boolean, Some(0.0)),
            ("1970-01-02", Reading::Time, Some(86_400e6)),
            ("1970-01-01T00:00:01.5Z", Reading::Time, Some(1.5e6)),
            ("1970-01-01 01:00:00+01:00", Reading::Time, Some(0.0)),
            ("1970-01-01T00:01", Reading::Time, Some(60e6)),
            ("1970-13-01", Reading::Text, None),
            ("Oslo", Reading::Text, None),
            ("1,5", Reading::Text, None),
            ("tru", Reading::Text, None),
        ] {
            assert_eq!((Reading::of(word), Reading::of(word).number(word)), (reading, number), "{word}");
        }
        assert!(Reading::of("NaN").number("NaN").is_some_and(f64::is_nan));
    }
}
