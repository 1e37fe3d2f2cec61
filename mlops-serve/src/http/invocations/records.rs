//! Data frames as pandas writes them with `orient="records"`: an object per row.

use std::fmt;

use mlops_core::{Signature, Tensors};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::frame::Frame;
use crate::http::json;

/// Reads `[{"column": ..., ...}, ...]`.
pub(super) struct Records<'s>(pub(super) &'s Signature);

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = Tensors;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tensors, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Tensors, A::Error> {
        // The first record says which columns there are, and their order.
        let Some(first) = records.next_element::<Record<'de>>()? else {
            let what = "no record came to say which columns there are; send `dataframe_split` for no rows";
            return Err(A::Error::custom(what));
        };
        let names = first.0.iter().map(|(name, _)| name.clone()).collect();
        let mut frame = Frame::new(self.0, names).map_err(A::Error::custom)?;
        let mut next = Some(first);
        while let Some(record) = next {
            push_record(&mut frame, record)?;
            next = records.next_element()?;
        }
        frame.finish().map_err(A::Error::custom)
    }
}

/// The cells of an object, in its order, still to be read.
struct Record<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;

        impl<'de> Visitor<'de> for Cells {
            type Value = Record<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Record<'de>, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = object.next_entry()? {
                    cells.push(cell);
                }
                Ok(Record(cells))
            }
        }

        deserializer.deserialize_map(Cells)
    }
}

/// Records have their columns in any order.
fn push_record<E: Error>(frame: &mut Frame<'_>, record: Record<'_>) -> Result<(), E> {
    let row = frame.rows();
    let mut cells: Vec<Option<&RawValue>> = vec![None; frame.names().len()];
    for (name, cell) in record.0 {
        let Some(position) = frame.position(&name) else {
            let name = name.escape_debug();
            return Err(E::custom(format!("record {row} has a column `{name}`, which the first has not")));
        };
        if cells[position].replace(cell).is_some() {
            let name = name.escape_debug();
            return Err(E::custom(format!("column `{name}` comes twice in record {row}")));
        }
    }
    for (position, cell) in cells.into_iter().enumerate() {
        let Some(cell) = cell else {
            let name = frame.names()[position].escape_debug();
            return Err(E::custom(format!("record {row} has no column `{name}`, which the first has")));
        };
        let (column, depth) = frame.cell(position);
        json::read_part(cell, column.next_value(depth)).map_err(E::custom)?;
    }
    frame.end_row().map_err(E::custom)
}
