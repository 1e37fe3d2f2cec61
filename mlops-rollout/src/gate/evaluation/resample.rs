//! Standard errors of figures that have no formula for one: the spread of the figure over redrawn rows.
//!
//! The bootstrap of Efron, "Bootstrap methods: another look at the jackknife", The Annals of Statistics 7(1),
//! 1979. More rows than [`MOST_ROWS`] are redrawn that many at a time and the spread scaled by √(m/n), the m out
//! of n bootstrap of Bickel, Götze & van Zwet, Statistica Sinica 7, 1997. The draws are the same each time, so
//! that the same rows give the same verdict.

use super::Unmeasured;

/// Enough for a standard error to be good to three percent.
const REDRAWS: usize = 500;

const MOST_ROWS: usize = 50_000;

const SEED: u64 = 0x6d6c_6f70_735f_7267;

/// The standard error of a figure of `count` rows, by drawing rows with replacement.
pub(super) fn rows(count: usize, figure: impl Fn(&[usize]) -> Option<f64>) -> Result<f64, Unmeasured> {
    let mut draws = Draws(SEED);
    let mut picked = vec![0; count.min(MOST_ROWS)];
    spread(count, picked.len(), || {
        picked.fill_with(|| draws.below(count));
        figure(&picked)
    })
}

/// The standard error of a figure of counts, by drawing counts of the same total.
///
/// Half a row is added to each cell, as Agresti & Min, "Simple improved confidence intervals for comparing
/// matched proportions", Statistics in Medicine 24, 2005, add it: two models that never disagreed on a hundred
/// rows may do so on the next one.
pub(super) fn cells<const N: usize>(
    cells: [f64; N],
    figure: impl Fn(&[f64; N]) -> Option<f64>,
) -> Result<f64, Unmeasured> {
    let count = cells.iter().sum::<f64>() as usize;
    let total = count as f64 + N as f64 / 2.0;
    let mut bounds = [0.0; N];
    let mut sum = 0.0;
    for (bound, cell) in bounds.iter_mut().zip(cells) {
        sum += (cell + 0.5) / total;
        *bound = sum;
    }
    let mut draws = Draws(SEED);
    let drawn = count.min(MOST_ROWS);
    spread(count, drawn, || {
        let mut found = [0.0; N];
        for _ in 0..drawn {
            let at = draws.unit();
            let cell = bounds.iter().position(|bound| at < *bound).unwrap_or(N - 1);
            found[cell] += 1.0;
        }
        figure(&found)
    })
}

fn spread(count: usize, drawn: usize, mut redraw: impl FnMut() -> Option<f64>) -> Result<f64, Unmeasured> {
    if count < 2 {
        return Err(Unmeasured::TooLittle("undefined: one row has no variance".to_owned()));
    }
    let figures: Vec<f64> = (0..REDRAWS).filter_map(|_| redraw()).collect();
    if figures.len() < REDRAWS - REDRAWS / 10 {
        let undefined = REDRAWS - figures.len();
        return Err(Unmeasured::TooLittle(format!(
            "undefined in {undefined} of {REDRAWS} redraws of the rows: a class is too rare"
        )));
    }
    let (_, variance) = mean_and_variance(&figures);
    if !variance.is_finite() {
        return Err(Unmeasured::Bad("the predictions are too large to compare".to_owned()));
    }
    Ok((variance * drawn as f64 / count as f64).sqrt())
}

/// Mean and variance (divisor n - 1) of at least two values.
pub(super) fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0))
}

/// SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_a_mean_is_its_standard_error() {
        let values: Vec<f64> = (0..400).map(|row| f64::from(row % 20)).collect();
        let mean =
            |picked: &[usize]| Some(picked.iter().map(|row| values[*row]).sum::<f64>() / picked.len() as f64);
        let found = rows(values.len(), mean).unwrap();
        let (_, variance) = mean_and_variance(&values);
        let expected = (variance / 400.0).sqrt();
        assert!((found / expected - 1.0).abs() < 0.1, "{found} {expected}");
    }

    #[test]
    fn a_share_of_many_rows_is_redrawn_in_part_and_scaled() {
        let share = |cells: &[f64; 2]| Some(cells[1] / (cells[0] + cells[1]));
        for count in [2_000.0, 1_000_000.0_f64] {
            let found = cells([count * 0.8, count * 0.2], share).unwrap();
            let expected = (0.16 / count).sqrt();
            assert!((found / expected - 1.0).abs() < 0.15, "{count}: {found} {expected}");
        }
    }

    #[test]
    fn cells_that_were_never_seen_are_drawn_too() {
        let never = |cells: &[f64; 2]| Some(cells[1] / (cells[0] + cells[1]));
        assert!(cells([100.0, 0.0], never).unwrap() > 0.004);
        assert!(cells([1.0, 0.0], never).is_err());
        assert!(matches!(cells([50.0, 50.0], |_| None), Err(Unmeasured::TooLittle(_))));
    }
}
