//! JSON Lines: one object per line, by `serde_json`.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mlops_core::Result;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::{Column, Kind, Limit, Reader, Source};
use crate::score::failure::OnFile;
use crate::score::record::{Content, Position, Record};

/// An open file whose first row was looked at.
pub(super) struct JsonLinesSource {
    lines: Lines,
    columns: Vec<Column>,
}

/// Reads the rows of a file.
struct JsonLinesReader {
    lines: Lines,
    wanted: Members,
}

/// Reads the lines of a file, none of them into more memory than allowed.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    limit: Limit,
    position: Position,
}

impl JsonLinesSource {
    pub(super) fn open(path: &Path, limit: Limit) -> Result<Self> {
        let file = BufReader::new(File::open(path).on_file("read", path)?);
        let mut lines = Lines { path: path.to_owned(), file, limit, position: Position::default() };
        let first = lines.next()?.and_then(|(_, line)| serde_json::from_str(&line.ok()?).ok());
        let names = first.unwrap_or_else(Map::new).into_iter().map(|(name, _)| name);
        let columns = names.map(|name| Column { name, kind: Kind::Text }).collect();
        Ok(Self { lines, columns })
    }
}

impl Source for JsonLinesSource {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_uniform(&self) -> bool {
        false
    }

    fn read_from(mut self: Box<Self>, wanted: &[String], position: Position) -> Result<Box<dyn Reader>> {
        self.lines.seek(position)?;
        let wanted = wanted.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        Ok(Box::new(JsonLinesReader { lines: self.lines, wanted: Members(wanted) }))
    }
}

impl Reader for JsonLinesReader {
    fn read(&mut self, rows: usize) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let from = self.lines.position.byte;
        while records.len() < rows
            && !self.lines.limit.is_reached(from, self.lines.position.byte)
            && let Some((line, text)) = self.lines.next()?
        {
            let content = match text {
                Err(unreadable) => unreadable,
                Ok(text) => match self.wanted.of(&text) {
                    Ok(members) => Content::Line { line: text, members },
                    Err(cause) => Content::Unreadable { raw: text.into(), reason: cause.to_string() },
                },
            };
            records.push(Record { row: self.lines.position.row, line: Some(line), content });
        }
        Ok(records)
    }

    fn position(&self) -> Position {
        self.lines.position
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// So much of a line that is too long is shown.
const SHOWN: usize = 1_000;

impl Lines {
    /// The next line that is not blank, and its number: its text, or why there is none.
    fn next(&mut self) -> Result<Option<(u64, Result<String, Content>)>> {
        loop {
            let (start, limit) = (self.position.byte, self.limit.0 as u64);
            let mut bytes = Vec::new();
            let read = std::io::Read::take(&mut self.file, limit + 1).read_until(b'\n', &mut bytes);
            let mut read = read.on_file("read", &self.path)? as u64;
            if read == 0 {
                return Ok(None);
            }
            let too_long = read > limit && bytes.last() != Some(&b'\n');
            if too_long {
                read += self.file.skip_until(b'\n').on_file("read", &self.path)? as u64;
            }
            self.position.byte += read;
            self.position.line += 1;
            if start == 0 && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes.trim_ascii().is_empty() && !too_long {
                continue;
            }
            self.position.row += 1;
            bytes.truncate(if too_long { SHOWN } else { bytes.trim_ascii_end().len() });
            let unreadable = |bytes: &[u8], reason: String| Content::Unreadable {
                raw: String::from_utf8_lossy(bytes).into(),
                reason,
            };
            let text = if too_long {
                Err(unreadable(&bytes, format!("the line is longer than {limit} bytes")))
            } else {
                String::from_utf8(bytes)
                    .map_err(|error| unreadable(error.as_bytes(), error.utf8_error().to_string()))
            };
            return Ok(Some((self.position.line, text)));
        }
    }

    fn seek(&mut self, position: Position) -> Result<()> {
        self.file.seek(SeekFrom::Start(position.byte)).on_file("read", &self.path)?;
        self.position = position;
        Ok(())
    }
}

/// The wanted members of an object, and where each goes.
struct Members(HashMap<String, usize>);

impl Members {
    fn of(&self, line: &str) -> serde_json::Result<Vec<Json>> {
        let mut json = serde_json::Deserializer::from_str(line);
        let members = self.deserialize(&mut json)?;
        json.end()?;
        Ok(members)
    }
}

impl<'de> DeserializeSeed<'de> for &Members {
    type Value = Vec<Json>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Vec<Json>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Members {
    type Value = Vec<Json>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object per line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Vec<Json>, A::Error> {
        let mut members = vec![None; self.0.len()];
        while let Some(name) = object.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.0.get(&*name).and_then(|index| members.get_mut(*index)) {
                None => drop(object.next_value::<IgnoredAny>()?),
                Some(Some(_)) => return Err(A::Error::custom(format!("`{name}` comes twice"))),
                Some(slot) => *slot = Some(object.next_value()?),
            }
        }
        Ok(members.into_iter().map(Option::unwrap_or_default).collect())
    }
}
