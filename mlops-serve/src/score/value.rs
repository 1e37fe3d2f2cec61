//! One value of a row, whatever file it came from or goes to.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// What a column holds in one row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    /// A field of a CSV file, which has no types: it is whatever it can be read as.
    Field(&'a str),
    Text(&'a str),
    Bool(bool),
    /// Wide enough for INT64 and UINT64.
    Integer(i128),
    Single(f32),
    Double(f64),
    List(Vec<Value<'a>>),
    Object(&'a Map<String, Json>),
}

impl Value<'_> {
    /// Whether there is no value for a column that is not text. CSV writes such as an empty field.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Field(field) => field.trim().is_empty(),
            _ => false,
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            other => match other.integer()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
        }
    }

    /// The value as a whole number; 3.0 is one, as tools write it that turn columns with nulls into floats.
    pub(super) fn integer(&self) -> Option<i128> {
        // Every integer up to here is its own f64; beyond, a float says nothing exact.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let whole = |value: f64| (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i128);
        match self {
            Self::Integer(value) => Some(*value),
            Self::Bool(value) => Some(i128::from(*value)),
            Self::Single(value) => whole(f64::from(*value)),
            Self::Double(value) => whole(*value),
            Self::Field(field) => {
                let field = field.trim();
                let number = field.parse().ok().or_else(|| field.parse().ok().and_then(whole));
                number.or_else(|| truth(field).map(i128::from))
            }
            _ => None,
        }
    }

    pub(super) fn single(&self) -> Option<f32> {
        let fits = |value: f64| Some(value as f32).filter(|single| single.is_finite() || !value.is_finite());
        match self {
            Self::Single(value) => Some(*value),
            Self::Double(value) => fits(*value),
            // Parsed as it is, not by way of f64, which would round twice.
            Self::Field(field) => match field.trim().parse::<f32>() {
                Ok(value) => Some(value).filter(|value| value.is_finite() || !has_digit(field)),
                Err(_) => truth(field.trim()).map(f32::from),
            },
            other => other.integer().and_then(|value| fits(value as f64)),
        }
    }

    pub(super) fn double(&self) -> Option<f64> {
        match self {
            Self::Single(value) => Some(f64::from(*value)),
            Self::Double(value) => Some(*value),
            Self::Field(field) => match field.trim().parse::<f64>() {
                Ok(value) => Some(value).filter(|value| value.is_finite() || !has_digit(field)),
                Err(_) => truth(field.trim()).map(f64::from),
            },
            other => other.integer().map(|value| value as f64),
        }
    }

    /// The value as the text of one field: empty for a null, and JSON for lists and objects.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Field(text) | Self::Text(text) => Cow::Borrowed(text),
            Self::Single(value) if !value.is_finite() => Cow::Owned(value.to_string()),
            Self::Double(value) if !value.is_finite() => Cow::Owned(value.to_string()),
            other => Cow::Owned(serde_json::to_string(other).unwrap_or_default()),
        }
    }

    /// The value in a message: JSON, shortened.
    pub(super) fn shown(&self) -> String {
        const LONGEST: usize = 40;
        let mut text = serde_json::to_string(self).unwrap_or_default();
        if let Some((end, _)) = text.char_indices().nth(LONGEST) {
            text.truncate(end);
            text.push('…');
        }
        text
    }
}

/// The words by which CSV files say true and false.
fn truth(field: &str) -> Option<bool> {
    match field {
        _ if field.eq_ignore_ascii_case("true") => Some(true),
        _ if field.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Tells `1e999`, which overflows, from `inf`.
fn has_digit(field: &str) -> bool {
    field.bytes().any(|byte| byte.is_ascii_digit())
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::String(text) => Self::Text(text),
            Json::Array(elements) => Self::List(elements.iter().map(Self::from).collect()),
            Json::Object(object) => Self::Object(object),
            Json::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(integer), _) => Self::Integer(integer),
                (None, Some(double)) => Self::Double(double),
                (None, None) => Self::Null,
            },
        }
    }
}

/// As JSON, which knows no NaN and no infinity: they are null.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Field(text) | Self::Text(text) => serializer.serialize_str(text),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i128(*value),
            Self::Single(value) => serializer.serialize_f32(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::List(elements) => serializer.collect_seq(elements),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_can_be_read_as() {
        let field = Value::Field;
        assert_eq!(
            (field(" 7").integer(), field("7.0").integer(), field("7.5").integer()),
            (Some(7), Some(7), None)
        );
        assert_eq!(
            (field("True").boolean(), field("0").boolean(), field("2").boolean()),
            (Some(true), Some(false), None)
        );
        assert_eq!(
            (field("0.1").single(), field("TRUE").single(), field("x").single()),
            (Some(0.1), Some(1.0), None)
        );
        assert!(field("NaN").double().is_some_and(f64::is_nan));
        assert_eq!(field("-inf").double(), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn numbers_that_do_not_fit_are_no_infinities() {
        assert_eq!((Value::Field("1e39").single(), Value::Field("1e39").double()), (None, Some(1e39)));
        assert_eq!((Value::Field("1e999").double(), Value::Double(1e39).single()), (None, None));
        assert_eq!(Value::Double(f64::INFINITY).single(), Some(f32::INFINITY));
        assert_eq!(
            (Value::Double(1e300).integer(), Value::Field("18446744073709551615").integer()),
            (None, Some(u64::MAX.into()))
        );
    }

    #[test]
    fn typed_text_is_no_number() {
        assert_eq!(
            (Value::Text("1").integer(), Value::Text("1").single(), Value::Text("true").boolean()),
            (None, None, None)
        );
    }

    #[test]
    fn values_are_written_in_their_shortest_form() {
        assert_eq!(Value::Single(0.1).text(), "0.1");
        assert_eq!(Value::Double(f64::NAN).text(), "NaN");
        assert_eq!(Value::List(vec![Value::Integer(1), Value::Null]).text(), "[1,null]");
        assert_eq!(Value::Integer(u64::MAX.into()).text(), "18446744073709551615");
        assert_eq!(Value::Text(&"ab".repeat(40)).shown().chars().count(), 41);
    }
}
