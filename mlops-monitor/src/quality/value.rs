//! Single values: those that expectations name, and those that are held against them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ValueKind;

/// A value that an expectation names: a number, text, true or false.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, text, true or false")]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
}

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    /// NaN is none of them: it is a missing value.
    Number(f64, ValueKind),
    Text(&'a str),
    /// Bytes that are no text.
    Binary(&'a [u8]),
}

impl Value {
    /// The number it is, where it is one. True is 1.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Boolean(value) => Some(f64::from(u8::from(*value))),
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::Text(_) => None,
        }
    }
}

impl<'a> Cell<'a> {
    pub(super) fn of_bytes(bytes: &'a [u8]) -> Self {
        str::from_utf8(bytes).map_or(Self::Binary(bytes), Self::Text)
    }

    /// The number it is or reads as.
    pub(super) fn as_number(self) -> Option<f64> {
        match self {
            Self::Number(number, _) => Some(number),
            Self::Text(text) => read_number(text),
            Self::Binary(_) => None,
        }
    }
}

/// The number that `text` reads as: decimal, with or without an exponent, or an infinity. Never NaN.
pub(super) fn read_number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}

/// A number as it is written: whole ones without a fraction, booleans as words.
pub(super) fn written(number: f64, kind: ValueKind) -> String {
    match kind {
        ValueKind::Boolean if number == 0.0 => "false".to_owned(),
        ValueKind::Boolean if number == 1.0 => "true".to_owned(),
        _ if number.abs() >= 1e15 || (number != 0.0 && number.abs() < 1e-5) => format!("{number:e}"),
        _ => number.to_string(),
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, kind) => f.write_str(&written(*number, *kind)),
            Self::Text(text) => f.write_str(text),
            Self::Binary(bytes) => write!(f, "{} bytes that are no text", bytes.len()),
        }
    }
}

/// Text in quotes, so that it cannot be taken for a number.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => f.write_str(&written(*value, ValueKind::Float)),
            Self::Text(value) => write!(f, "`{value}`"),
        }
    }
}

macro_rules! values {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

values! {
    bool => Boolean,
    i32 => Integer,
    i64 => Integer,
    f32 => Number,
    f64 => Number,
    &str => Text,
    String => Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        let float = |number| written(number, ValueKind::Float);
        assert_eq!([3.0, -0.5, 1e20, 1e-9].map(float), ["3", "-0.5", "1e20", "1e-9"]);
        assert_eq!(written(1.0, ValueKind::Boolean), "true");
    }

    #[test]
    fn words_read_as_numbers_or_do_not() {
        assert_eq!(
            [" 12 ", "1e3", "-inf"].map(read_number),
            [Some(12.0), Some(1e3), Some(f64::NEG_INFINITY)]
        );
        assert_eq!(["", "n/a", "NaN", "0x10", "1,5"].map(read_number), [None; 5]);
    }
}
