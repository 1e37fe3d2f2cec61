//! How it came to this: the verdicts and scores of earlier windows.

use mlops_core::{Assessment, Error, Result, Verdict};
use serde::{Deserialize, Serialize};

use super::block::{Block, Cell, Column, Section, Table};
use super::chart::{Chart, Figure, Lines, Pen};
use super::format::{count, counted};
use crate::{DriftReport, FeatureDrift};

/// Features whose course is shown beside that of all.
const SHOWN: usize = 6;

/// The verdicts and scores of windows that follow each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trend {
    /// The features, in the order of the scores.
    pub features: Vec<String>,
    /// The windows, the oldest first.
    pub windows: Vec<TrendWindow>,
}

/// One window of a [`Trend`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrendWindow {
    /// When or what it was: `2026-11-17`, `rows 1 to 10,000`.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// The worst verdict of any feature.
    pub verdict: Verdict,
    /// How many features have drifted.
    pub drifted: u64,
    /// How many features are worth a look.
    pub warnings: u64,
    /// The score of each feature's first test, to six decimals; `None` with too few samples.
    pub scores: Vec<Option<f64>>,
    /// The score from which on that is drift.
    pub thresholds: Vec<Option<f64>>,
}

impl Trend {
    /// A trend without windows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next window.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it has other features than those before.
    pub fn push(&mut self, name: impl Into<String>, report: &DriftReport) -> Result<()> {
        let features: Vec<String> = report.features.iter().map(|feature| feature.feature.clone()).collect();
        if self.windows.is_empty() {
            self.features = features;
        } else if self.features != features {
            return Err(Error::invalid_input("the windows of a trend have to have the same features"));
        }
        let verdicts = |verdict| report.features.iter().filter(|it| it.verdict == verdict).count() as u64;
        let first = |feature: &FeatureDrift| primary(feature).cloned();
        let tests: Vec<Option<Assessment>> = report.features.iter().map(first).collect();
        let short = |number: f64| (number * 1e6).round() / 1e6;
        self.windows.push(TrendWindow {
            name: name.into(),
            rows: report.rows,
            verdict: report.verdict,
            drifted: verdicts(Verdict::Drifted),
            warnings: verdicts(Verdict::Warning),
            scores: tests.iter().map(|test| test.as_ref().and_then(|test| test.score).map(short)).collect(),
            thresholds: tests
                .iter()
                .map(|test| test.as_ref().and_then(|test| test.threshold).map(short))
                .collect(),
        });
        Ok(())
    }

    /// How many features had moved in each window.
    pub(super) fn verdicts(&self) -> Option<Chart> {
        if self.windows.len() < 2 {
            return None;
        }
        let per_window = |number: fn(&TrendWindow) -> u64| {
            self.windows.iter().map(|window| Some(number(window) as f64)).collect()
        };
        let lines = Lines::new(self.windows.iter().map(|window| window.name.as_str()))
            .with("Drifted", Pen::Bad, per_window(|window| window.drifted))
            .with("Warning", Pen::Notice, per_window(|window| window.warnings));
        Some(Chart::Lines(lines))
    }

    /// The score of the feature at `index` in each window.
    pub(super) fn scores(&self, index: usize) -> Option<Chart> {
        if self.windows.len() < 2 {
            return None;
        }
        let per_window = |numbers: fn(&TrendWindow) -> &Vec<Option<f64>>| -> Vec<Option<f64>> {
            self.windows.iter().map(|window| numbers(window).get(index).copied().flatten()).collect()
        };
        let (scores, thresholds) =
            (per_window(|window| &window.scores), per_window(|window| &window.thresholds));
        let mut lines = Lines::new(self.windows.iter().map(|window| window.name.as_str())).with(
            "Score",
            Pen::Current,
            scores,
        );
        if thresholds.iter().any(Option::is_some) {
            lines = lines.with("Threshold", Pen::Limit, thresholds);
        }
        Some(Chart::Lines(lines))
    }

    /// The section of a page; `drift` is the report beside it.
    pub(super) fn section(&self, drift: &DriftReport) -> Section {
        let summary =
            format!("How it came to this, over {}.", counted(self.windows.len(), "window", "windows"));
        let mut section = Section::new("trend", "Trend", summary);
        if let Some(chart) = self.verdicts() {
            section = section.with(Block::Chart(Figure::new("Features that moved, by window", chart)));
        }
        let worst = drift.by_severity();
        let figures = worst.iter().filter_map(|feature| {
            let index = self.features.iter().position(|name| *name == feature.feature)?;
            let at = drift.features.iter().position(|it| it.feature == feature.feature)?;
            let figure = Figure::new(feature.feature.as_str(), self.scores(index)?);
            Some(figure.with_status(feature.verdict).with_link(format!("f{at}")))
        });
        let figures: Vec<Figure> = figures.take(SHOWN).collect();
        if !figures.is_empty() {
            section = section.with(Block::Gallery(figures));
        }
        section.with(Block::Details {
            title: "All windows".to_owned(),
            blocks: vec![Block::Table(self.table())],
        })
    }

    fn table(&self) -> Table {
        let columns = [
            Column::text("Window"),
            Column::text("Verdict"),
            Column::number("Rows"),
            Column::number("Drifted"),
            Column::number("Warning"),
        ];
        let mut table = Table::new("Windows, the oldest first", columns);
        for window in &self.windows {
            table.push([
                window.name.as_str().into(),
                Cell::Status(window.verdict.into()),
                count(window.rows).into(),
                count(window.drifted).into(),
                count(window.warnings).into(),
            ]);
        }
        table
    }
}

/// The test that a feature is sorted by: the first.
pub(super) fn primary(feature: &FeatureDrift) -> Option<&Assessment> {
    feature.assessments.first()
}
