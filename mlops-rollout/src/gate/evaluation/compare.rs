//! How much worse one model is than another.

use std::fmt;

use mlops_core::stats::{ConfusionMatrix, welch_t_test};

use super::estimate::{Estimate, matrix_of};
use super::measure::{OfMatrix, of_matrix, share_of};
use super::{Evaluation, Metric, Unmeasured, resample};

/// How much of a metric the candidate loses.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::gate) struct Loss {
    pub(in crate::gate) candidate: f64,
    pub(in crate::gate) champion: f64,
    /// Positive when the candidate is worse; `None` where there is no interval for it.
    pub(in crate::gate) estimate: Option<Estimate>,
    pub(in crate::gate) pairing: Pairing,
}

/// Whether the two models answered the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Pairing {
    Same(usize),
    Different(usize, usize),
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(rows) => write!(f, "{rows} rows of both"),
            Self::Different(ours, theirs) => write!(f, "{ours} rows against {theirs} others"),
        }
    }
}

/// What could not be measured, and of whom.
pub(in crate::gate) type Fault = (&'static str, Unmeasured);

/// How much worse `candidate` is than `champion`.
pub(in crate::gate) fn drop_of(
    candidate: &Evaluation,
    champion: &Evaluation,
    metric: Metric,
    lower_is_better: bool,
) -> Result<Loss, Fault> {
    let before = champion.measure(metric).map_err(|fault| ("champion", fault))?;
    let after = candidate.measure(metric).map_err(|fault| ("candidate", fault))?;
    let (better, worse) = if lower_is_better { (candidate, champion) } else { (champion, candidate) };
    let (drop, pairing) = if candidate.has_rows_of(champion) {
        let drop = if lower_is_better { after - before } else { before - after };
        (paired(better, worse, metric, drop).map(Some), Pairing::Same(candidate.rows()))
    } else {
        (apart(better, worse, metric), Pairing::Different(candidate.rows(), champion.rows()))
    };
    let estimate = drop.map_err(|fault| ("candidate", fault))?;
    Ok(Loss { candidate: after, champion: before, estimate, pairing })
}

/// The metric of the first minus that of the second, on the same rows.
fn paired(
    first: &Evaluation,
    second: &Evaluation,
    metric: Metric,
    difference: f64,
) -> Result<Estimate, Unmeasured> {
    if let (Some(firsts), Some(seconds)) = (first.row_scores(metric)?, second.row_scores(metric)?) {
        let differences: Vec<f64> = firsts.iter().zip(&seconds).map(|(one, other)| one - other).collect();
        return Estimate::of_mean(&differences);
    }
    let rows = first.rows();
    let decisions = (first.binary_rows(metric), second.binary_rows(metric));
    let error = match (of_matrix(metric), decisions) {
        (Some(figure), (Some((labels, firsts)), Some((_, seconds)))) => {
            of_decisions(&labels, &firsts, &seconds, figure)?
        }
        _ => resample::rows(rows, |picked| {
            let figure = |rows: &Evaluation| rows.select(picked).measure(metric).ok();
            Some(figure(first)? - figure(second)?)
        })?,
    };
    Ok(Estimate::normal(difference, error, rows))
}

/// The standard error of the difference of a figure of decisions, over the eight ways in which a label and two
/// decisions can come together.
fn of_decisions(
    labels: &[bool],
    firsts: &[bool],
    seconds: &[bool],
    figure: OfMatrix,
) -> Result<f64, Unmeasured> {
    let mut cells = [0.0; 8];
    for ((label, first), second) in labels.iter().zip(firsts).zip(seconds) {
        cells[4 * usize::from(*label) + 2 * usize::from(*first) + usize::from(*second)] += 1.0;
    }
    resample::cells(cells, |[a, b, c, d, e, f, g, h]| {
        let first = matrix_of([a + b, c + d, e + f, g + h]);
        let second = matrix_of([a + c, b + d, e + g, f + h]);
        Some(figure(&first).ok()? - figure(&second).ok()?)
    })
}

/// The metric of the first minus that of the second, on different rows, where there is an interval for it.
fn apart(first: &Evaluation, second: &Evaluation, metric: Metric) -> Result<Option<Estimate>, Unmeasured> {
    if let (Some(firsts), Some(seconds)) = (first.row_scores(metric)?, second.row_scores(metric)?) {
        return Ok(Some(Estimate::Normal(welch_t_test(&firsts, &seconds)?)));
    }
    let share = |rows: &Evaluation| {
        let (labels, decisions) = rows.binary_rows(metric)?;
        share_of(metric, &ConfusionMatrix::new(&labels, &decisions, None).ok()?)
    };
    Ok(share(first).zip(share(second)).map(|(first, second)| Estimate::Shares(first, second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop(candidate: &Evaluation, champion: &Evaluation, metric: Metric) -> Loss {
        drop_of(candidate, champion, metric, false).unwrap()
    }

    #[test]
    fn the_paired_interval_of_accuracy_is_that_of_agresti_and_min() {
        // 8 rows only the champion has right, 3 only the candidate, of 200.
        let labels = vec![true; 200];
        let says = |wrong: std::ops::Range<usize>| (0..200).map(move |row| !wrong.contains(&row));
        let champion = Evaluation::decisions(labels.clone(), says(0..3)).unwrap();
        let candidate = Evaluation::decisions(labels, says(10..18)).unwrap();
        let found = drop(&candidate, &champion, Metric::Accuracy);
        assert_eq!((found.champion, found.candidate), (0.985, 0.96));
        assert_eq!(found.pairing, Pairing::Same(200));
        let interval = found.estimate.unwrap().interval(0.95).unwrap();
        // Their formula: (b - c)/(n + 2) ± 1.96 √(b + c + 1 - (b - c)²/(n + 2))/(n + 2).
        let half = 1.96 * (12.0_f64 - 25.0 / 202.0).sqrt() / 202.0;
        assert!((interval.upper - (0.025 + half)).abs() < 0.004, "{interval:?} {half}");
        assert!((interval.lower - (0.025 - half)).abs() < 0.004, "{interval:?} {half}");
    }

    #[test]
    fn rows_that_differ_are_compared_as_two_samples() {
        let evaluation = |right: usize, of: usize| {
            Evaluation::decisions(vec![true; of], (0..of).map(|row| row < right)).unwrap()
        };
        let found = drop(&evaluation(48, 80), &evaluation(56, 70), Metric::Recall);
        assert_eq!(found.pairing, Pairing::Different(80, 70));
        let interval = found.estimate.unwrap().interval(0.95).unwrap();
        assert!((interval.lower - 0.0524).abs() < 1e-4 && (interval.upper - 0.3339).abs() < 1e-4);
        assert_eq!(drop(&evaluation(48, 80), &evaluation(56, 70), Metric::F1).estimate, None);
    }

    #[test]
    fn a_mean_of_row_scores_is_a_paired_t_test() {
        let actual = [1.0, 2.0, 3.0, 4.0];
        let champion = Evaluation::regression(actual, [1.0, 2.0, 3.0, 4.0]).unwrap();
        let candidate = Evaluation::regression(actual, [2.0, 2.0, 5.0, 5.0]).unwrap();
        let found = drop_of(&candidate, &champion, Metric::MeanAbsoluteError, true).unwrap();
        let Some(Estimate::Normal(test)) = found.estimate else { panic!("{found:?}") };
        // Differences 1, 0, 2, 1: mean 1, variance 2/3.
        assert!((test.difference - 1.0).abs() < 1e-12 && test.dof == 3.0);
        assert!((test.standard_error - (2.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }
}
