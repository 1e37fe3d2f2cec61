//! Rows of JSON, an object per line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use mlops_core::{Error, Result};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::files::{Counted, Opened, Origin, select};
use super::options::batch_rows;
use super::reading::Reading;
use super::{Table, TableColumn, TableOptions};

/// Most bytes of a line.
const LINE: u64 = 64 << 20;

/// Batches of a JSON Lines file. The first one tells which columns there are.
struct Batches {
    lines: Lines,
    names: Vec<String>,
    options: TableOptions,
    readings: Vec<Reading>,
    first: Option<Table>,
}

/// The lines that are not blank.
struct Lines {
    origin: Origin,
    reader: BufReader<Counted>,
    line: String,
    rows: u64,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Missing,
    Boolean(bool),
    Integer(f64),
    Float(f64),
    Text(String),
    Nested,
}

/// The columns of some rows, all of one length.
#[derive(Default)]
struct Cells {
    names: Vec<String>,
    positions: HashMap<String, usize>,
    columns: Vec<Vec<Cell>>,
    rows: usize,
    /// Whether other columns than these are none of ours (`Some(true)`), a fault, or new ones.
    others: Others,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Others {
    #[default]
    Added,
    Ignored,
    Refused,
}

pub(super) fn open(origin: Origin, file: Counted, options: TableOptions) -> Result<Opened> {
    let reader = BufReader::with_capacity(1 << 16, file);
    let mut lines = Lines { origin, reader, line: String::new(), rows: 0 };
    let mut cells = match &options.columns {
        Some(columns) => {
            select(&lines.origin, columns, &options)?;
            Cells::of(columns, Others::Ignored)
        }
        None => Cells::default(),
    };
    let mut limit = batch_rows(1);
    while cells.rows < limit && lines.read(&mut cells)? {
        limit = batch_rows(cells.names.len());
    }
    if cells.rows == 0 {
        return Err(Error::invalid_input(format!("{} is empty: it has no row", lines.origin)));
    }
    select(&lines.origin, &cells.names, &options)?;
    let readings = cells.names.iter().zip(&cells.columns).map(|(name, column)| {
        let inferred = column.iter().filter_map(|cell| cell.reading(&options)).reduce(Reading::and);
        Reading::decided(inferred, options.kinds.get(name).copied())
    });
    let readings: Vec<Reading> = readings.collect();
    let names = cells.names.clone();
    let first = Some(cells.table(&lines.origin, 0, &readings, &options)?);
    Ok(Opened { names: names.clone(), batches: Box::new(Batches { lines, names, options, readings, first }) })
}

impl Iterator for Batches {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Result<Table>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let (before, limit) = (self.lines.rows, batch_rows(self.names.len()));
        let others = if self.options.columns.is_some() { Others::Ignored } else { Others::Refused };
        let mut cells = Cells::of(&self.names, others);
        while cells.rows < limit {
            match self.lines.read(&mut cells) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Some(Err(error)),
            }
        }
        (cells.rows > 0).then(|| cells.table(&self.lines.origin, before, &self.readings, &self.options))
    }
}

impl Lines {
    /// Adds the next row to `cells`; false at the end.
    fn read(&mut self, cells: &mut Cells) -> Result<bool> {
        loop {
            self.line.clear();
            let read = self.reader.by_ref().take(LINE + 1).read_line(&mut self.line);
            let read = read.map_err(|error| self.origin.unreadable(error))? as u64;
            if read == 0 {
                return Ok(false);
            }
            let row = self.rows + 1;
            if read > LINE {
                let origin = &self.origin;
                return Err(Error::invalid_input(format!(
                    "{origin}, row {row}: a line of more than {LINE} bytes"
                )));
            }
            let line = self.line.trim_start_matches('\u{feff}').trim_ascii();
            if line.is_empty() {
                continue;
            }
            let fault = |what: String| Error::invalid_input(format!("{}, row {row}: {what}", self.origin));
            let Row(values) = serde_json::from_str(line).map_err(|error| {
                fault("the line is no JSON object of one value per column".to_owned()).with_source(error)
            })?;
            cells.push(values).map_err(fault)?;
            self.rows = row;
            return Ok(true);
        }
    }
}

impl Cells {
    fn of(names: &[String], others: Others) -> Self {
        Self {
            names: names.to_vec(),
            positions: names.iter().cloned().zip(0..).collect(),
            columns: vec![Vec::new(); names.len()],
            rows: 0,
            others,
        }
    }

    /// Adds a row; says what is wrong with it.
    fn push(&mut self, row: Vec<(String, Cell)>) -> Result<(), String> {
        for (name, cell) in row {
            let position = match self.positions.get(&name) {
                Some(position) => *position,
                None if self.others == Others::Ignored => continue,
                None if self.others == Others::Refused => {
                    return Err(format!(
                        "column `{name}` comes for the first time; list the columns to read, if it is to be ignored"
                    ));
                }
                None => {
                    self.names.push(name.clone());
                    self.columns.push(vec![Cell::Missing; self.rows]);
                    self.positions.insert(name.clone(), self.names.len() - 1);
                    self.names.len() - 1
                }
            };
            match &mut self.columns[position] {
                _ if cell == Cell::Nested => {
                    return Err(format!(
                        "column `{name}` holds an array or an object; only single values are columns"
                    ));
                }
                column if column.len() > self.rows => return Err(format!("column `{name}` comes twice")),
                column => column.push(cell),
            }
        }
        self.rows += 1;
        self.columns.iter_mut().for_each(|column| column.resize(self.rows, Cell::Missing));
        Ok(())
    }

    fn table(
        self,
        origin: &Origin,
        before: u64,
        readings: &[Reading],
        options: &TableOptions,
    ) -> Result<Table> {
        let named = self.names.into_iter().zip(self.columns).zip(readings);
        let columns = named.map(|((name, cells), reading)| {
            if *reading == Reading::Text {
                let words: Vec<_> = cells.iter().map(|cell| cell.word(options)).collect();
                return Ok((name, TableColumn::words(words.iter().map(Option::as_deref))));
            }
            let number = |(index, cell): (usize, &Cell)| {
                cell.number(*reading, options).ok_or_else(|| {
                    let word = cell.word(options).unwrap_or_default();
                    origin.misfit(before + index as u64 + 1, &name, reading.name(), &word)
                })
            };
            let numbers = cells.iter().enumerate().map(number).collect::<Result<_>>()?;
            Ok((name, reading.column(numbers)))
        });
        Table::new(columns.collect::<Result<Vec<_>>>()?)
    }
}

impl Cell {
    fn reading(&self, options: &TableOptions) -> Option<Reading> {
        match self {
            Self::Missing | Self::Nested => None,
            Self::Boolean(_) => Some(Reading::Boolean),
            Self::Integer(_) => Some(Reading::Integer),
            Self::Float(_) => Some(Reading::Float),
            Self::Text(text) if options.is_missing(text) => None,
            Self::Text(text) if Reading::of(text) == Reading::Time => Some(Reading::Time),
            Self::Text(_) => Some(Reading::Text),
        }
    }

    /// The number, NaN if missing; `None` if it cannot be read so.
    fn number(&self, reading: Reading, options: &TableOptions) -> Option<f64> {
        match (self, reading) {
            (Self::Missing, _) => Some(f64::NAN),
            (Self::Boolean(truth), Reading::Boolean) => Some(f64::from(u8::from(*truth))),
            (Self::Integer(number) | Self::Float(number), Reading::Integer | Reading::Float) => Some(*number),
            (Self::Text(text), _) if options.is_missing(text) => Some(f64::NAN),
            (Self::Text(text), reading) => reading.number(text),
            _ => None,
        }
    }

    fn word(&self, options: &TableOptions) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing | Self::Nested => None,
            Self::Boolean(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
            Self::Integer(number) | Self::Float(number) => Some(number.to_string().into()),
            Self::Text(text) => (!options.is_missing(text)).then_some(Cow::Borrowed(text)),
        }
    }
}

/// The names and values of a line, in its order.
struct Row(Vec<(String, Cell)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut row = Vec::new();
                while let Some(member) = map.next_entry()? {
                    row.push(member);
                }
                Ok(Row(row))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = Cell;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Cell, E> {
                Ok(Cell::Missing)
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Cell, E> {
                Ok(Cell::Boolean(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Cell, E> {
                Ok(Cell::Integer(value as f64))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Cell, E> {
                Ok(Cell::Integer(value as f64))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Cell, E> {
                Ok(Cell::Float(value))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Cell, E> {
                Ok(Cell::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell::Nested)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Cell, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell::Nested)
            }
        }

        deserializer.deserialize_any(Value)
    }
}
