//! A report, gathered from all stores and windows.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use mlops_core::stats::Fairness;

use super::{Code, PerformanceMonitor, REASONS, Slice, lock, slices_of};
use crate::performance::estimate::expected;
use crate::performance::report::{
    ErrorChanges, GroupFairness, PerformanceReport, PerformanceSlice, Reliability,
};
use crate::performance::sample::Sample;
use crate::performance::store::hash;
use crate::performance::tally::Tally;
use crate::performance::task::Predicted;

/// Entries that a report reads while it holds a store.
const CHUNK: usize = 256;

impl PerformanceMonitor {
    /// What is known of the windows that are wanted, together.
    pub(super) fn report_of(&self, wanted: impl Fn(i64) -> bool) -> PerformanceReport {
        self.flush();
        let oldest = self.oldest();
        let wanted = |window: i64| window >= oldest && wanted(window);
        let mut slices: BTreeMap<Slice, Gathered> = BTreeMap::new();
        let new = || Gathered::new(self.options.sample);
        let mut labels = self.counts.read();
        for shard in &self.shards {
            let held = lock(shard);
            labels.waiting += held.store.waiting() as u64;
            for ((_, group), rows) in held.predicted.iter().filter(|((window, _), _)| wanted(*window)) {
                for slice in slices_of(group) {
                    slices.entry(slice).or_insert_with(new).predictions += rows;
                }
            }
            drop(held);
            let mut next = 0;
            loop {
                let held = lock(shard);
                let (entries, after) = held.store.entries_from(next, CHUNK);
                let mut read = 0;
                for entry in entries {
                    read += 1;
                    if !wanted(entry.window) {
                        continue;
                    }
                    for slice in slices_of(&entry.group) {
                        let rows = &mut slices.entry(slice).or_insert_with(new).rows;
                        for (index, row) in entry.rows.iter().enumerate() {
                            rows.add(hash(&entry.id, index as u64), row.predicted.clone());
                        }
                    }
                }
                next = after;
                if read < CHUNK {
                    break;
                }
            }
        }
        for (window, tallies) in lock(&self.tallies).iter() {
            if wanted(*window) {
                for (slice, tally) in tallies {
                    slices.entry(*slice).or_insert_with(new).tally.merge(tally);
                }
            }
        }
        let fairness = self.fairness(&slices);
        let dropped = REASONS
            .iter()
            .zip(&self.dropped)
            .map(|(reason, count)| ((*reason).to_owned(), count.load(Ordering::Relaxed)));
        let mut slices: Vec<_> = slices.into_iter().map(|(slice, found)| self.slice(slice, &found)).collect();
        slices.sort_by(|a, b| (&a.variant, &a.segment).cmp(&(&b.variant, &b.segment)));
        PerformanceReport {
            slices,
            fairness,
            changes: self.error_changes(oldest),
            labels,
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            expired: self.expired.load(Ordering::Relaxed),
            min_labels: self.options.min_labels,
        }
    }

    fn slice(&self, (variant, segment): Slice, found: &Gathered) -> PerformanceSlice {
        let segment = segment.map(|(attribute, value)| {
            (self.options.segments[attribute].clone(), self.segments[attribute].name(value))
        });
        let reliability = found.tally.reliability().into_iter().map(|bin| Reliability {
            rows: bin.count,
            mean_probability: bin.mean_probability,
            positive_rate: bin.positive_rate,
        });
        PerformanceSlice {
            variant: self.variants.name(variant),
            segment,
            predictions: found.predictions,
            labelled: found.tally.labelled(),
            delay: found.tally.delay(),
            metrics: found.tally.metrics(&self.task),
            estimated: expected(&self.task, self.calibration.as_ref(), &found.rows),
            reliability: reliability.collect(),
        }
    }

    fn error_changes(&self, oldest: i64) -> Vec<ErrorChanges> {
        let Some(changes) = &self.changes else { return Vec::new() };
        let changes = lock(changes);
        let variants = changes.variants().map(|(variant, stream)| ErrorChanges {
            variant: self.variants.name(variant),
            labels: stream.errors,
            changes: stream.changes,
            changed: stream.changed_in.is_some_and(|window| window >= oldest),
            warns: stream.warns,
        });
        variants.collect()
    }

    /// How the values of each attribute compare, for each variant.
    fn fairness(&self, slices: &BTreeMap<Slice, Gathered>) -> Vec<GroupFairness> {
        let mut matrices: BTreeMap<(Code, usize), Vec<_>> = BTreeMap::new();
        for ((variant, segment), found) in slices {
            if let (Some((attribute, value)), Some(matrix)) = (segment, found.tally.matrix())
                && found.tally.labelled() >= self.options.min_labels
            {
                matrices.entry((*variant, *attribute)).or_default().push((*value, matrix));
            }
        }
        let compared = matrices.into_iter().filter(|(_, groups)| groups.len() > 1);
        let fairness = compared.filter_map(|((variant, attribute), groups)| {
            let number = groups.len();
            let fairness = Fairness::of_matrices(groups).ok()?;
            Some(GroupFairness {
                variant: self.variants.name(variant),
                attribute: self.options.segments[attribute].clone(),
                groups: number,
                demographic_parity_difference: fairness.demographic_parity_difference(),
                demographic_parity_ratio: fairness.demographic_parity_ratio().ok(),
                equal_opportunity_difference: fairness.equal_opportunity_difference(),
                equalized_odds_difference: fairness.equalized_odds_difference(),
            })
        });
        fairness.collect()
    }
}

/// What was found of a slice.
#[derive(Debug)]
struct Gathered {
    predictions: u64,
    tally: Tally,
    /// Rows with and without labels.
    rows: Sample<Predicted>,
}

impl Gathered {
    fn new(sample: usize) -> Self {
        Self { predictions: 0, tally: Tally::new(sample), rows: Sample::new(sample) }
    }
}
