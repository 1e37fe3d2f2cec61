//! The digits of `examples/data/digits.csv`, split once and for all.

use std::error::Error;
use std::path::Path;

use ndarray::{Array2, ArrayView1, Axis, s};

pub const PIXELS: usize = 64;
pub const SIDE: usize = 8;
pub const CLASSES: usize = 10;

/// Images, one a row, and the digit each shows.
#[derive(Clone)]
pub struct Digits {
    pub pixels: Array2<f32>,
    pub labels: Vec<i64>,
}

/// Three parts that share no image.
pub struct Split {
    /// What models are trained on; the reference of drift monitoring.
    pub train: Digits,
    /// What they are judged by before a release.
    pub holdout: Digits,
    /// What users send.
    pub live: Digits,
}

impl Digits {
    pub fn load(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            format!("{} cannot be read: {cause}; run this from the repository", path.display())
        })?;
        let mut pixels = Vec::new();
        let mut labels = Vec::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let values = line.split(',').map(str::parse::<u8>).collect::<Result<Vec<_>, _>>();
            let values = values.map_err(|cause| format!("line {}: {cause}", index + 1))?;
            let (label, image) = values.split_last().ok_or("an empty line")?;
            if image.len() != PIXELS {
                return Err(format!("line {}: {} pixels instead of {PIXELS}", index + 1, image.len()).into());
            }
            pixels.extend(image.iter().map(|value| f32::from(*value)));
            labels.push(i64::from(*label));
        }
        Ok(Self { pixels: Array2::from_shape_vec((labels.len(), PIXELS), pixels)?, labels })
    }

    /// Shuffled by `seed`: half to train on, a quarter to judge by, a quarter for the users.
    pub fn split(&self, seed: u64) -> Split {
        let mut order: Vec<usize> = (0..self.len()).collect();
        Random(seed).shuffle(&mut order);
        let (train, rest) = order.split_at(self.len() / 2);
        let (holdout, live) = rest.split_at(rest.len() / 2);
        Split { train: self.select(train), holdout: self.select(holdout), live: self.select(live) }
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn image(&self, index: usize) -> ArrayView1<'_, f32> {
        self.pixels.row(index)
    }

    /// As a scanner with 4 bits a pixel delivers them: 16 becomes 15.
    pub fn as_four_bit_export(&self) -> Self {
        Self { pixels: self.pixels.mapv(|value| value.min(15.0)), labels: self.labels.clone() }
    }

    /// As a camera with dust on its lens delivers them: the pixels of a block have lost most of their ink.
    pub fn with_dust(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Self {
        let mut dusty = self.clone();
        for (row, column) in rows.flat_map(|row| columns.clone().map(move |column| (row, column))) {
            dusty.pixels.slice_mut(s![.., row * SIDE + column]).mapv_inplace(|value| (value * 0.3).round());
        }
        dusty
    }

    fn select(&self, rows: &[usize]) -> Self {
        let labels = rows.iter().map(|row| self.labels[*row]).collect();
        Self { pixels: self.pixels.select(Axis(0), rows), labels }
    }
}

/// A small generator (splitmix64), so that every run tells the same story.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last + 1));
        }
    }
}
