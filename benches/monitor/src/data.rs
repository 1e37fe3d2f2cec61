//! The data that all systems are given: the same for the same seed.

use std::f64::consts::{PI, TAU};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::Failure;

/// Two tables of the same columns.
#[derive(Debug)]
pub struct DataSet {
    pub name: &'static str,
    pub reference: Side,
    pub current: Side,
}

/// One table, column by column.
#[derive(Debug)]
pub struct Side {
    pub numbers: Vec<Vec<f64>>,
    /// Positions in a dictionary.
    pub codes: Vec<Vec<u32>>,
}

impl DataSet {
    /// Normal, lognormal, heavy-tailed, integer-like and zero-inflated columns in turn, of many scales and offsets; a
    /// third of them drifts a little. Categories are few to many, the first ones the most frequent.
    pub fn new(name: &'static str, rows: usize, numeric: usize, categorical: usize) -> Self {
        let mut random = Random(0x5EED ^ rows as u64);
        let mut side = |current: bool| Side {
            numbers: (0..numeric)
                .map(|column| {
                    let shift = if current && column % 3 == 0 { 0.05 } else { 0.0 };
                    (0..rows).map(|_| random.number(column, shift)).collect()
                })
                .collect(),
            codes: (0..categorical)
                .map(|column| (0..rows).map(|_| random.code(categories(column))).collect())
                .collect(),
        };
        Self { name, reference: side(false), current: side(true) }
    }

    /// Columns of one kind, of a reference and a current table of so many rows.
    pub fn of_kind(
        name: &'static str,
        rows: [usize; 2],
        columns: usize,
        mut value: impl FnMut(&mut Random, usize) -> f64,
    ) -> Self {
        let mut random = Random(0xF00D ^ columns as u64);
        let [reference, current] = [0, 1].map(|side| {
            let numbers =
                (0..columns).map(|_| (0..rows[side]).map(|_| value(&mut random, side)).collect()).collect();
            Side { numbers, codes: Vec::new() }
        });
        Self { name, reference, current }
    }

    /// How many rows the reference and the current table have.
    pub fn rows(&self) -> [usize; 2] {
        [&self.reference, &self.current].map(|side| side.numbers.first().map_or(0, Vec::len))
    }

    /// What the columns take, of both sides, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |side: &Side| 8 * side.numbers.len() + 4 * side.codes.len();
        let [reference, current] = self.rows();
        reference * of(&self.reference) + current * of(&self.current)
    }

    /// How many numbers there are, of both sides.
    pub fn numbers(&self) -> usize {
        self.rows().iter().sum::<usize>() * self.reference.numbers.len()
    }

    /// Writes the columns one after the other, as little-endian numbers.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        for (name, side) in [("reference", &self.reference), ("current", &self.current)] {
            let mut numbers = File::create(folder.join(format!("{}-{name}.f64", self.name)))?;
            for column in &side.numbers {
                numbers.write_all(bytemuck::cast_slice(column))?;
            }
            let mut codes = File::create(folder.join(format!("{}-{name}.u32", self.name)))?;
            for column in &side.codes {
                codes.write_all(bytemuck::cast_slice(column))?;
            }
        }
        Ok(())
    }
}

/// How many categories a categorical column has.
pub fn categories(column: usize) -> usize {
    [2, 5, 12, 30, 80][column % 5]
}

/// Xorshift with a multiplication (Vigna, 2016).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    pub fn cauchy(&mut self) -> f64 {
        (PI * (self.uniform() - 0.5)).tan()
    }

    fn number(&mut self, column: usize, shift: f64) -> f64 {
        let scale = 10.0_f64.powi(column as i32 % 7 - 3);
        let offset = [0.0, 0.0, 100.0][column % 3];
        let value = match column % 5 {
            0 => self.normal() + shift + offset,
            1 => (self.normal() + shift).exp(),
            2 => self.cauchy() + shift + offset,
            3 => return (25.0 * (self.normal() + shift).abs()).floor(),
            _ if self.uniform() < 0.6 - shift => return 0.0,
            _ => (self.normal() + shift).exp(),
        };
        value * scale
    }

    fn code(&mut self, categories: usize) -> u32 {
        (categories as f64 * self.uniform().powi(2)) as u32
    }
}
