//! How good the order of candidates is.

use std::sync::Arc;

use mlops_core::stats::StatsError;
use mlops_core::stats::ranking::{
    Gain, mean, ndcg_at, precision_at, ranked_average_precision, recall_at, reciprocal_rank,
};

use super::task::{Predicted, Truth};

/// The candidates from the first place to the last: by falling scores, and of equal scores as they came.
pub(super) fn order_of(scores: &[f64]) -> Arc<[u32]> {
    let mut order: Vec<u32> = (0_u32..).take(scores.len()).collect();
    order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
    order.into()
}

/// The grades of the candidates from the first place to the last, if these are a ranking and its label.
pub(super) fn grades_of(predicted: &Predicted, truth: &Truth) -> Option<Vec<f64>> {
    let Predicted::Ranking(order) = predicted else { return None };
    match truth {
        Truth::Grades(grades) => {
            order.iter().map(|candidate| grades.get(*candidate as usize).copied()).collect()
        }
        Truth::Class(chosen) => {
            Some(order.iter().map(|candidate| f64::from(u8::from(candidate == chosen))).collect())
        }
        _ => None,
    }
}

/// Normalised discounted cumulative gain of the first places, where a candidate is relevant at all.
pub(super) fn gain(grades: &[f64], at: usize) -> Result<f64, StatsError> {
    ndcg_at(grades, at, Gain::Linear)
}

/// Means over queries, each with how many queries it is of: those for which it is defined.
pub(super) fn metrics(queries: &[Vec<f64>], at: usize) -> Vec<(String, Result<f64, StatsError>, u64)> {
    let relevant: Vec<(Vec<bool>, u64)> = queries
        .iter()
        .map(|grades| {
            let relevant: Vec<bool> = grades.iter().map(|grade| *grade > 0.0).collect();
            let total = relevant.iter().filter(|relevant| **relevant).count() as u64;
            (relevant, total)
        })
        .collect();
    let answered = relevant.iter().filter(|(_, total)| *total > 0).count() as u64;
    let all = queries.len() as u64;
    vec![
        (format!("ndcg@{at}"), mean(queries.iter().map(|grades| gain(grades, at))), answered),
        ("mrr".to_owned(), mean_of(&relevant, |relevant, _| reciprocal_rank(relevant)), all),
        ("map".to_owned(), mean_of(&relevant, ranked_average_precision), answered),
        (format!("precision@{at}"), mean_of(&relevant, |relevant, _| precision_at(relevant, at)), all),
        (
            format!("recall@{at}"),
            mean_of(&relevant, |relevant, total| recall_at(relevant, at, total)),
            answered,
        ),
    ]
}

fn mean_of(
    queries: &[(Vec<bool>, u64)],
    figure: impl Fn(&[bool], u64) -> Result<f64, StatsError>,
) -> Result<f64, StatsError> {
    mean(queries.iter().map(|(relevant, total)| figure(relevant, *total)))
}
