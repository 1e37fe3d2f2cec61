//! What is believed of the arms.

use std::cmp::Ordering;

/// What an arm has earned: the posterior of its mean reward is Beta(1 + won, 1 + lost).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Earned {
    pub(super) won: f64,
    pub(super) lost: f64,
}

/// Points of the grid for each arm, over its mean plus and minus [`WIDTH`] standard deviations.
const POINTS: u32 = 256;
const WIDTH: f64 = 8.0;

impl Earned {
    /// The mean of the posterior.
    pub(super) fn mean(self) -> f64 {
        (1.0 + self.won) / (2.0 + self.won + self.lost)
    }

    fn deviation(self) -> f64 {
        let (mean, count) = (self.mean(), 2.0 + self.won + self.lost);
        (mean * (1.0 - mean) / (count + 1.0)).sqrt()
    }

    /// The logarithm of the density but for a constant, which is the same at all points: no special
    /// function is needed. The prior keeps it finite between 0 and 1.
    fn log_density(self, at: f64) -> f64 {
        // Nothing won at 0, or lost at 1, is no reason for a density of 0 there.
        let times = |count: f64, log: f64| if count > 0.0 { count * log } else { 0.0 };
        times(self.won, at.ln()) + times(self.lost, (-at).ln_1p())
    }
}

/// The probability of each arm to be the best of all, which is the share that Thompson sampling gives it.
///
/// `P(i is best) = ∫ f_i(x) Π_{j≠i} F_j(x) dx` by the midpoint rule, where the densities are made to sum
/// up to 1 on the grid, on which each of them has its own points. Within 0.002 of the exact value.
///
/// Source: Scott, "A modern Bayesian look at the multi-armed bandit", Applied Stochastic Models in
/// Business and Industry 26, 2010, equation 2.
pub(super) fn probabilities_to_be_best(arms: &[Earned]) -> Vec<f64> {
    let edges = edges(arms);
    let cells: Vec<(f64, f64)> =
        edges.iter().zip(edges.iter().skip(1)).map(|(low, high)| (low.midpoint(*high), high - low)).collect();
    let masses: Vec<Vec<f64>> = arms.iter().map(|arm| masses(*arm, &cells)).collect();
    // Below each cell, and half of what is in it.
    let below: Vec<Vec<f64>> = masses
        .iter()
        .map(|masses| {
            let mut sum = 0.0;
            masses
                .iter()
                .map(|mass| {
                    sum += mass;
                    sum - mass / 2.0
                })
                .collect()
        })
        .collect();
    let best = masses.iter().enumerate().map(|(arm, masses)| {
        let others = below.iter().enumerate().filter(|(other, _)| *other != arm);
        let product = others.fold(masses.clone(), |product, (_, below)| {
            product.iter().zip(below).map(|(product, below)| product * below).collect()
        });
        product.iter().sum::<f64>()
    });
    normalised(best.collect())
}

/// From 0 to 1, dense where an arm is.
fn edges(arms: &[Earned]) -> Vec<f64> {
    let mut edges = vec![0.0, 1.0];
    for arm in arms {
        let (mean, reach) = (arm.mean(), WIDTH * arm.deviation());
        let (low, high) = ((mean - reach).max(0.0), (mean + reach).min(1.0));
        let step = (high - low) / f64::from(POINTS);
        edges.extend((0..=POINTS).map(|point| (low + f64::from(point) * step).clamp(0.0, 1.0)));
    }
    edges.sort_unstable_by(f64::total_cmp);
    edges.dedup();
    edges
}

fn masses(arm: Earned, cells: &[(f64, f64)]) -> Vec<f64> {
    let logs: Vec<f64> = cells.iter().map(|(middle, _)| arm.log_density(*middle)).collect();
    let greatest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    normalised(logs.iter().zip(cells).map(|(log, (_, width))| (log - greatest).exp() * width).collect())
}

/// Scaled to sum up to 1.
fn normalised(mut values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
    values
}

/// 1 for the arm with the greatest mean, shared evenly by those that are equal.
pub(super) fn greediest(arms: &[Earned]) -> Vec<f64> {
    let greatest = arms.iter().map(|arm| arm.mean()).max_by(f64::total_cmp).unwrap_or_default();
    let is_best = |arm: &Earned| arm.mean().total_cmp(&greatest) == Ordering::Equal;
    normalised(arms.iter().map(|arm| f64::from(u8::from(is_best(arm)))).collect())
}

#[cfg(test)]
mod tests {
    use mlops_core::stats::{BinomialSample, probability_to_beat};
    use proptest::prelude::*;

    use super::*;

    fn earned(won: u64, lost: u64) -> Earned {
        Earned { won: won as f64, lost: lost as f64 }
    }

    #[test]
    fn arms_of_which_nothing_is_known_are_as_good() {
        for count in 1..8 {
            let shares = probabilities_to_be_best(&vec![earned(0, 0); count]);
            assert!(shares.iter().all(|share| (share - 1.0 / count as f64).abs() < 1e-9), "{shares:?}");
        }
        assert_eq!(greediest(&[earned(1, 1), earned(0, 0), earned(0, 1)]), [0.5, 0.5, 0.0]);
    }

    /// Of three uniform posteriors and one that is surely the best, or the worst.
    #[test]
    fn the_best_of_several_is_found() {
        let known = |won, lost| {
            probabilities_to_be_best(&[earned(0, 0), earned(0, 0), earned(0, 0), earned(won, lost)])
        };
        // Around x = 1/2 it is the best if three uniform ones lie below: 1/8.
        assert!((known(100_000, 100_000)[3] - 0.125).abs() < 0.002, "{:?}", known(100_000, 100_000));
        assert!(known(100_000, 0)[3] > 0.999);
        assert!(known(0, 100_000)[3] < 0.001);
    }

    proptest! {
        #[test]
        fn two_arms_agree_with_the_exact_sum(
            (won, lost, other_won, other_lost) in (0..2_000_u64, 0..2_000_u64, 0..300_u64, 0..50_000_u64),
        ) {
            let sample = |won, lost| BinomialSample::new(won, won + lost);
            let (one, other) = (earned(won, lost), earned(other_won, other_lost));
            let shares = probabilities_to_be_best(&[one, other]);
            prop_assert!((shares[0] + shares[1] - 1.0).abs() < 1e-12);
            if won + lost > 0 && other_won + other_lost > 0 {
                let exact = probability_to_beat(sample(won, lost).unwrap(), sample(other_won, other_lost).unwrap());
                prop_assert!((shares[1] - exact.unwrap()).abs() < 0.002, "{shares:?}");
            }
        }

        #[test]
        fn shares_are_shares_whatever_was_earned(
            arms in prop::collection::vec((0.0..1e12_f64, 0.0..1e12_f64), 1..6),
        ) {
            let arms: Vec<_> = arms.into_iter().map(|(won, lost)| Earned { won, lost }).collect();
            for shares in [probabilities_to_be_best(&arms), greediest(&arms)] {
                prop_assert!(shares.iter().all(|share| (0.0..=1.0 + 1e-9).contains(share)), "{shares:?}");
                prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
            }
        }
    }
}
