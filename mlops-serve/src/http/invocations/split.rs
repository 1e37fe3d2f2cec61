//! Data frames as pandas writes them with `orient="split"`: the names of the columns apart from the rows.

use std::fmt;

use mlops_core::{Signature, Tensors};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::frame::Frame;
use crate::http::json;

/// Reads `{"columns": [...], "data": [[...], ...]}`.
pub(super) struct Split<'s>(pub(super) &'s Signature);

impl<'de> DeserializeSeed<'de> for Split<'_> {
    type Value = Tensors;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tensors, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum SplitField {
    Columns,
    Data,
    #[serde(other)]
    Ignored,
}

impl<'de> Visitor<'de> for Split<'_> {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `columns` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Tensors, A::Error> {
        let (mut names, mut data) = (None::<Vec<ColumnName>>, None::<&RawValue>);
        while let Some(field) = object.next_key()? {
            match field {
                SplitField::Columns if names.is_some() => return Err(A::Error::duplicate_field("columns")),
                SplitField::Columns => names = Some(object.next_value()?),
                SplitField::Data if data.is_some() => return Err(A::Error::duplicate_field("data")),
                // `columns` may come after it.
                SplitField::Data => data = Some(object.next_value()?),
                SplitField::Ignored => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        let names = names.ok_or_else(|| A::Error::missing_field("columns"))?;
        let data = data.ok_or_else(|| A::Error::missing_field("data"))?;
        let names = names.into_iter().map(|name| name.0).collect();
        let mut frame = Frame::new(self.0, names).map_err(A::Error::custom)?;
        json::read_part(data, Rows(&mut frame)).map_err(A::Error::custom)?;
        frame.finish().map_err(A::Error::custom)
    }
}

/// The name of a column: text, or the number that pandas gives to columns without a name.
struct ColumnName(String);

impl<'de> Deserialize<'de> for ColumnName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected the name of a column")]
        enum Form {
            Text(String),
            Number(i64),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::Text(text) => text,
            Form::Number(number) => number.to_string(),
        }))
    }
}

struct Rows<'a, 's>(&'a mut Frame<'s>);

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(Row(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

struct Row<'a, 's>(&'a mut Frame<'s>);

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {} cells", self.0.names().len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut cells: A) -> Result<(), A::Error> {
        let (row, expected) = (self.0.rows(), self.0.names().len());
        let wrong = |came: &str| {
            A::Error::custom(format!("row {row} has {came} cells, but there are {expected} columns"))
        };
        for position in 0..expected {
            let (column, depth) = self.0.cell(position);
            cells.next_element_seed(column.next_value(depth))?.ok_or_else(|| wrong(&position.to_string()))?;
        }
        if cells.next_element::<IgnoredAny>()?.is_some() {
            return Err(wrong("more"));
        }
        self.0.end_row().map_err(A::Error::custom)
    }
}
