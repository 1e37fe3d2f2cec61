//! Metrics of rankings: search results, recommendations.
//!
//! A ranking is a slice from the first place to the last: of gains (0 for what is irrelevant), or of whether
//! each item is relevant. One that was cut short is judged as it is.
//!
//! | function | question |
//! |---|---|
//! | [`ndcg_at`] | How close is the order to the best one? |
//! | [`reciprocal_rank`] | How far up is the first relevant item? |
//! | [`ranked_average_precision`] | How pure is the ranking wherever it finds something? |
//! | [`precision_at`], [`recall_at`] | What of the first k is relevant, and how much is missed? |
//!
//! The mean over queries ([`mean`]) of reciprocal ranks is MRR, that of average precisions MAP.

use super::{StatsError, invalid, require_sample, undefined};

/// How a grade of relevance becomes a gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gain {
    /// The grade itself.
    #[default]
    Linear,
    /// `2^grade - 1`: the top grades count far more (Burges et al., ICML 2005).
    Exponential,
}

impl Gain {
    fn of(self, grade: f64) -> f64 {
        match self {
            Self::Linear => grade,
            Self::Exponential => grade.exp2() - 1.0,
        }
    }
}

/// Discounted cumulative gain of the first `k` places, `Σ gain_i / log₂(i + 1)` with places from 1.
///
/// `grades` are finite and non-negative. Source: Järvelin & Kekäläinen, ACM TOIS 20(4), 2002.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`], and [`StatsError::InvalidParameter`] when `k` is
/// zero or a grade is negative or infinite.
///
/// ```
/// use mlops_core::stats::ranking::{Gain, dcg_at};
///
/// assert_eq!(dcg_at(&[3.0, 0.0, 2.0], 3, Gain::Linear)?, 4.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn dcg_at(grades: &[f64], k: usize, gain: Gain) -> Result<f64, StatsError> {
    require_grades(grades)?;
    require_places(k)?;
    Ok(discounted(grades.iter().copied(), k, gain))
}

fn discounted(grades: impl Iterator<Item = f64>, k: usize, gain: Gain) -> f64 {
    grades.take(k).zip(2_u64..).map(|(grade, place)| gain.of(grade) / (place as f64).log2()).sum()
}

/// Normalised discounted cumulative gain of the first `k` places, in `[0, 1]`: [`dcg_at`] over that of the
/// best order of the same items.
///
/// # Errors
///
/// As [`dcg_at`]; [`StatsError::Undefined`] when no item has a gain.
///
/// ```
/// use mlops_core::stats::ranking::{Gain, ndcg_at};
///
/// assert_eq!(ndcg_at(&[3.0, 2.0, 0.0], 3, Gain::Linear)?, 1.0);
/// assert!(ndcg_at(&[0.0, 2.0, 3.0], 3, Gain::Linear)? < 0.7);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn ndcg_at(grades: &[f64], k: usize, gain: Gain) -> Result<f64, StatsError> {
    let actual = dcg_at(grades, k, gain)?;
    let best = discounted(super::sorted(grades.to_vec()).into_iter().rev(), k, gain);
    if best == 0.0 {
        return Err(undefined("no item is relevant: leave such queries out"));
    }
    Ok((actual / best).min(1.0))
}

/// One over the place of the first relevant item; 0 when there is none.
///
/// Source: Voorhees, "The TREC-8 question answering track report", 1999.
///
/// # Errors
///
/// [`StatsError::EmptySample`].
///
/// ```
/// use mlops_core::stats::ranking::reciprocal_rank;
///
/// assert_eq!(reciprocal_rank(&[false, true, true])?, 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn reciprocal_rank(relevant: &[bool]) -> Result<f64, StatsError> {
    require_ranking(relevant)?;
    let first = relevant.iter().position(|&relevant| relevant);
    Ok(first.map_or(0.0, |index| 1.0 / (index as f64 + 1.0)))
}

/// Mean precision at the places of the relevant items; one that is not in the ranking counts 0.
///
/// `relevant_total` is how many relevant items there are, in the ranking or not. Source: Manning, Raghavan &
/// Schütze, *Introduction to Information Retrieval*, 2008, section 8.4.
///
/// # Errors
///
/// [`StatsError::EmptySample`]; [`StatsError::InvalidParameter`] when there are fewer relevant items than
/// the ranking holds; [`StatsError::Undefined`] when there are none.
///
/// ```
/// use mlops_core::stats::ranking::ranked_average_precision;
///
/// assert_eq!(ranked_average_precision(&[true, false, true, false], 2)?, (1.0 + 2.0 / 3.0) / 2.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn ranked_average_precision(relevant: &[bool], relevant_total: u64) -> Result<f64, StatsError> {
    require_relevant(relevant, relevant_total)?;
    let places = relevant.iter().enumerate().filter(|(_, relevant)| **relevant);
    let precisions = places.zip(1_u64..).map(|((index, _), found)| found as f64 / (index as f64 + 1.0));
    Ok(precisions.sum::<f64>() / relevant_total as f64)
}

/// Share of the first `k` places that is relevant. Places that the ranking does not fill count as not.
///
/// # Errors
///
/// [`StatsError::EmptySample`]; [`StatsError::InvalidParameter`] when `k` is zero.
///
/// ```
/// use mlops_core::stats::ranking::precision_at;
///
/// assert_eq!(precision_at(&[true, false, true, false], 2)?, 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn precision_at(relevant: &[bool], k: usize) -> Result<f64, StatsError> {
    require_ranking(relevant)?;
    require_places(k)?;
    Ok(found_at(relevant, k) / k as f64)
}

/// Share of the relevant items that is in the first `k` places.
///
/// `relevant_total` is how many relevant items there are, in the ranking or not.
///
/// # Errors
///
/// As [`ranked_average_precision`]; [`StatsError::InvalidParameter`] when `k` is zero.
///
/// ```
/// use mlops_core::stats::ranking::recall_at;
///
/// assert_eq!(recall_at(&[true, false, true, false], 2, 4)?, 0.25);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn recall_at(relevant: &[bool], k: usize, relevant_total: u64) -> Result<f64, StatsError> {
    require_relevant(relevant, relevant_total)?;
    require_places(k)?;
    Ok(found_at(relevant, k) / relevant_total as f64)
}

/// The mean of a figure over queries; those for which it is undefined are left out.
///
/// # Errors
///
/// The first error that is not [`StatsError::Undefined`]; [`StatsError::Undefined`] when no query is left.
///
/// ```
/// use mlops_core::stats::ranking::{mean, reciprocal_rank};
///
/// let queries = [vec![false, true], vec![true, false]];
/// assert_eq!(mean(queries.iter().map(|ranking| reciprocal_rank(ranking)))?, 0.75);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn mean(figures: impl IntoIterator<Item = Result<f64, StatsError>>) -> Result<f64, StatsError> {
    let (mut sum, mut queries) = (0.0, 0_u64);
    for figure in figures {
        match figure {
            Ok(figure) => {
                sum += figure;
                queries += 1;
            }
            Err(StatsError::Undefined { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if queries == 0 {
        return Err(undefined("no query has a figure: pass at least one with a relevant item"));
    }
    Ok(sum / queries as f64)
}

fn found_at(relevant: &[bool], k: usize) -> f64 {
    relevant.iter().take(k).filter(|relevant| **relevant).count() as f64
}

fn require_ranking(relevant: &[bool]) -> Result<(), StatsError> {
    if relevant.is_empty() { Err(StatsError::EmptySample { what: "relevant" }) } else { Ok(()) }
}

fn require_places(k: usize) -> Result<(), StatsError> {
    if k == 0 { Err(invalid("k", "0 is below 1")) } else { Ok(()) }
}

fn require_relevant(relevant: &[bool], relevant_total: u64) -> Result<(), StatsError> {
    require_ranking(relevant)?;
    let found = found_at(relevant, relevant.len());
    if found > relevant_total as f64 {
        return Err(invalid(
            "relevant_total",
            format!("{relevant_total} is below the {found} relevant items of the ranking"),
        ));
    }
    if relevant_total == 0 { Err(undefined("no item is relevant: leave such queries out")) } else { Ok(()) }
}

fn require_grades(grades: &[f64]) -> Result<(), StatsError> {
    require_sample("grades", grades)?;
    match grades.iter().find(|grade| !(grade.is_finite() && **grade >= 0.0)) {
        Some(grade) => Err(invalid("grades", format!("{grade} is not a non-negative finite number"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Computed with scikit-learn 1.9, and the exponential gain by hand.
    #[test]
    fn known_rankings() {
        let grades = [3.0, 2.0, 3.0, 0.0, 1.0, 2.0];
        for (k, dcg, ndcg) in [
            (3, 5.761_859_507_142_915, 0.977_781_361_630_504_8),
            (6, 6.861_126_688_593_501, 0.960_808_194_336_061_6),
        ] {
            assert!((dcg_at(&grades, k, Gain::Linear).unwrap() - dcg).abs() < 1e-12);
            assert!((ndcg_at(&grades, k, Gain::Linear).unwrap() - ndcg).abs() < 1e-12);
        }
        let exponential = dcg_at(&[2.0, 1.0], 2, Gain::Exponential).unwrap();
        assert!((exponential - (3.0 + 1.0 / 3_f64.log2())).abs() < 1e-12);
        let precision = ranked_average_precision(&[false, true, false, true, true], 3).unwrap();
        assert!((precision - 0.533_333_333_333_333_3).abs() < 1e-12);
    }

    #[test]
    fn queries_without_an_answer_are_left_out() {
        let queries = [&[0.0, 0.0][..], &[0.0, 1.0]];
        let ndcg = mean(queries.map(|grades| ndcg_at(grades, 2, Gain::Linear))).unwrap();
        assert!((ndcg - 1.0 / 3_f64.log2()).abs() < 1e-12);
        assert!(matches!(mean([]), Err(StatsError::Undefined { .. })));
        assert!(matches!(mean([precision_at(&[], 1)]), Err(StatsError::EmptySample { .. })));
    }

    #[test]
    fn bad_input_is_an_error() {
        for grades in [&[-1.0][..], &[f64::INFINITY], &[f64::NAN], &[]] {
            assert!(dcg_at(grades, 1, Gain::Linear).is_err(), "{grades:?}");
        }
        assert!(dcg_at(&[1.0], 0, Gain::Linear).is_err());
        assert!(matches!(recall_at(&[true, true], 1, 1), Err(StatsError::InvalidParameter { .. })));
        assert!(matches!(recall_at(&[false], 1, 0), Err(StatsError::Undefined { .. })));
    }

    proptest! {
        #[test]
        fn figures_lie_in_their_range(
            relevant in vec(any::<bool>(), 1..40), missed in 0_u64..10, k in 1_usize..50,
        ) {
            let total = relevant.iter().filter(|relevant| **relevant).count() as u64 + missed;
            let grades: Vec<f64> = relevant.iter().map(|&relevant| f64::from(relevant)).collect();
            for figure in [
                reciprocal_rank(&relevant), precision_at(&relevant, k), recall_at(&relevant, k, total),
                ranked_average_precision(&relevant, total), ndcg_at(&grades, k, Gain::Linear),
            ].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&figure));
            }
        }

        #[test]
        fn the_best_order_is_one(mut grades in vec(0.0_f64..5.0, 1..30), k in 1_usize..40) {
            grades[0] += 0.1;
            grades.sort_by(|a, b| b.total_cmp(a));
            for gain in [Gain::Linear, Gain::Exponential] {
                prop_assert_eq!(ndcg_at(&grades, k, gain).unwrap(), 1.0);
            }
        }
    }
}
