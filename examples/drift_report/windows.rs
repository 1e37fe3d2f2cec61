//! Current rows, counted in windows as even as can be, though nobody knows how many rows are to come.

use mlops_core::Result;
use mlops_monitor::{Counters, Counts, Profile, Table};

use super::schema::Schema;

/// Rows of the first pieces.
const PIECE: u64 = 512;
/// The fewest rows of a window.
const LEAST: u64 = 200;

/// Counts rows in pieces. When there are too many pieces, neighbours are added up, which is exact.
pub struct Windows<'a> {
    schema: &'a Schema,
    counters: Counters,
    pieces: Vec<Counts>,
    rows_per_piece: u64,
    most_pieces: usize,
}

/// Counts of rows that follow each other.
pub struct Window {
    pub name: String,
    pub counts: Counts,
}

impl<'a> Windows<'a> {
    pub fn new(schema: &'a Schema, profile: Profile, windows: usize) -> Self {
        let (counters, most_pieces) = (Counters::new(profile), 4 * windows);
        Self { schema, counters, pieces: Vec::new(), rows_per_piece: PIECE, most_pieces }
    }

    /// Counts the rows of a table.
    pub fn push(&mut self, table: &Table) -> Result<()> {
        let mut start = 0;
        while start < table.rows() {
            let room = self.rows_per_piece - self.counters.rows().min(self.rows_per_piece - 1);
            let end = table.rows().min(start + room as usize);
            self.counters.observe(&self.schema.tensors(table, start..end)?);
            start = end;
            if self.counters.rows() >= self.rows_per_piece {
                self.pieces.push(self.counters.rotate());
                self.make_room()?;
            }
        }
        Ok(())
    }

    /// All rows together, and at most `windows` windows of them.
    pub fn finish(mut self, windows: usize) -> Result<(Counts, Vec<Window>)> {
        self.pieces.push(self.counters.rotate());
        let rows: u64 = self.pieces.iter().map(|piece| piece.rows).sum();
        let windows = (windows as u64).min(rows / LEAST).max(1);
        let (mut all, mut made) = (None::<Counts>, Vec::<Window>::new());
        let mut before = 0;
        for piece in self.pieces.into_iter().filter(|piece| piece.rows > 0) {
            let first = before + 1;
            let begins = made.len() as u64 * rows / windows <= before && (made.len() as u64) < windows;
            before += piece.rows;
            match &mut all {
                Some(all) => all.merge(&piece)?,
                None => all = Some(piece.clone()),
            }
            match made.last_mut() {
                Some(window) if !begins => window.counts.merge(&piece)?,
                _ => made.push(Window { name: first.to_string(), counts: piece }),
            }
        }
        let mut end = 0;
        for window in &mut made {
            end += window.counts.rows;
            window.name = format!("rows {} to {end}", window.name);
        }
        Ok((all.unwrap_or_else(|| self.counters.snapshot()), made))
    }

    fn make_room(&mut self) -> Result<()> {
        if self.pieces.len() < self.most_pieces {
            return Ok(());
        }
        let mut pieces = Vec::with_capacity(self.most_pieces);
        let mut rest = std::mem::take(&mut self.pieces).into_iter();
        while let Some(mut piece) = rest.next() {
            if let Some(next) = rest.next() {
                piece.merge(&next)?;
            }
            pieces.push(piece);
        }
        self.pieces = pieces;
        self.rows_per_piece *= 2;
        Ok(())
    }
}
