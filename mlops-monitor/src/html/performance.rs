//! How good predictions were, on the page.

use super::block::{Block, Cell, Column, Fact, Section, Table};
use super::chart::{Chart, Figure, Lines, Pen};
use super::format::{count, number, percent};
use crate::performance::{Metric, PerformanceReport, PerformanceSlice, Reliability};

/// Segments that the table shows.
const SEGMENTS: usize = 100;
/// Metrics that the table of segments shows.
const METRICS: usize = 6;

impl PerformanceReport {
    /// The report as a section of a page.
    #[must_use]
    pub fn section(&self) -> Section {
        let variants: Vec<&PerformanceSlice> =
            self.slices.iter().filter(|slice| slice.segment.is_none()).collect();
        let predictions: u64 = variants.iter().map(|slice| slice.predictions).sum();
        let labelled: u64 = variants.iter().map(|slice| slice.labelled).sum();
        let summary = format!("{} of {} predictions have labels.", count(labelled), count(predictions));
        let mut section = Section::new("performance", "Performance", summary);
        for slice in &variants {
            section.blocks.extend(self.blocks(slice));
        }
        if let Some(segments) = self.segments() {
            section = section.with(Block::Table(segments));
        }
        if !self.fairness.is_empty() {
            section = section.with(Block::Table(self.fairness_table()));
        }
        let labels = Block::Facts(self.label_facts());
        section.with(Block::Details { title: "What became of labels".to_owned(), blocks: vec![labels] })
    }

    /// One variant.
    fn blocks(&self, slice: &PerformanceSlice) -> Vec<Block> {
        let mut facts = vec![
            Fact::new("Predictions", count(slice.predictions)),
            Fact::new("With labels", count(slice.labelled))
                .with_note(slice.coverage().map_or(String::new(), percent)),
        ];
        if !slice.variant.is_empty() {
            facts.insert(0, Fact::new("Variant", slice.variant.as_str()));
        }
        if let Some(delay) = slice.delay.filter(|delay| delay.p99 > 0.0) {
            let note = format!("nine of ten within {}", duration(delay.p90));
            facts.push(Fact::new("Labels took", duration(delay.median)).with_note(note));
        }
        let mut blocks = vec![Block::Facts(facts)];
        if slice.labelled < self.min_labels {
            let text = format!("Too few labels to judge: at least {} are needed.", count(self.min_labels));
            blocks.push(Block::Text(text));
        }
        if !slice.metrics.is_empty() || !slice.estimated.is_empty() {
            blocks.push(Block::Table(metrics(slice)));
        }
        if !slice.reliability.is_empty() {
            let figure = Figure::new(
                "Calibration: share of positives by probability",
                reliability(&slice.reliability),
            );
            blocks.push(Block::Chart(figure));
        }
        blocks
    }

    /// The first metrics of each value of each attribute.
    fn segments(&self) -> Option<Table> {
        let slices = || self.slices.iter().filter(|slice| slice.segment.is_some());
        let mut names: Vec<&str> = Vec::new();
        for metric in slices().flat_map(|slice| &slice.metrics) {
            if names.len() < METRICS && !names.contains(&metric.name.as_str()) {
                names.push(&metric.name);
            }
        }
        slices().next()?;
        let columns = [Column::text("Segment"), Column::number("Predictions"), Column::number("With labels")];
        let metrics = names.iter().map(|name| Column::number(title(name)));
        let mut table = Table::new("Segments", columns.into_iter().chain(metrics));
        for slice in slices().take(SEGMENTS) {
            let mut name = slice.segment_label();
            if !slice.variant.is_empty() {
                name = format!("{} · {name}", slice.variant);
            }
            let values =
                names.iter().map(|name| slice.metric(name).map_or("–".to_owned(), |it| number(it.value)));
            let cells = [name, count(slice.predictions), count(slice.labelled)];
            table.push(cells.into_iter().chain(values).map(Cell::from));
        }
        Some(table)
    }

    fn fairness_table(&self) -> Table {
        let columns = [
            Column::text("Attribute"),
            Column::text("Variant"),
            Column::number("Groups"),
            Column::number("Demographic parity"),
            Column::number("as a ratio"),
            Column::number("Equal opportunity"),
            Column::number("Equalized odds"),
        ];
        let mut table =
            Table::new("Fairness: greatest differences between groups; 0 is equal treatment", columns);
        for fairness in &self.fairness {
            table.push([
                fairness.attribute.as_str().into(),
                fairness.variant.as_str().into(),
                count(fairness.groups as u64).into(),
                number(fairness.demographic_parity_difference).into(),
                fairness.demographic_parity_ratio.map_or("–".to_owned(), number).into(),
                number(fairness.equal_opportunity_difference).into(),
                Cell::from(number(fairness.equalized_odds_difference)),
            ]);
        }
        table
    }

    fn label_facts(&self) -> Vec<Fact> {
        let labels = &self.labels;
        let dropped: u64 = self.dropped.values().sum();
        [
            ("Joined", labels.joined, ""),
            ("Late", labels.late, "their prediction had been let go"),
            ("Duplicate", labels.duplicate, "the same label again"),
            ("Conflicting", labels.conflicting, "the first one stays"),
            ("Unknown", labels.unknown, "no such prediction"),
            ("Waiting", labels.waiting, "for their prediction"),
            ("Expired", self.expired, "predictions without a label"),
            ("Not kept", dropped, "predictions"),
        ]
        .into_iter()
        .map(|(label, number, note)| Fact::new(label, count(number)).with_note(note))
        .collect()
    }
}

/// Each metric, and what was expected of it before the labels came.
fn metrics(slice: &PerformanceSlice) -> Table {
    let columns = [
        Column::text("Metric"),
        Column::number("Value"),
        Column::number("95% interval"),
        Column::number("Expected without labels"),
        Column::number("Pairs"),
    ];
    let mut table =
        Table::new("Metrics; what is expected without labels assumes calibrated probabilities", columns);
    let only_estimated = slice.estimated.iter().filter(|metric| slice.metric(&metric.name).is_none());
    for (metric, known) in
        slice.metrics.iter().map(|metric| (metric, true)).chain(only_estimated.map(|metric| (metric, false)))
    {
        let Metric { name, value, interval, samples, .. } = metric;
        let interval = interval.filter(|_| known);
        table.push([
            title(name).into(),
            if known { number(*value) } else { "–".to_owned() }.into(),
            interval
                .map_or("–".to_owned(), |(low, high)| format!("{} to {}", number(low), number(high)))
                .into(),
            slice.estimate(name).map_or("–".to_owned(), |metric| number(metric.value)).into(),
            Cell::from(count(*samples)),
        ]);
    }
    table
}

fn reliability(bins: &[Reliability]) -> Chart {
    let lines = Lines::new(bins.iter().map(|bin| number((bin.mean_probability * 1e3).round() / 1e3)))
        .with(
            "Perfectly calibrated",
            Pen::Reference,
            bins.iter().map(|bin| Some(bin.mean_probability)).collect(),
        )
        .with("Share of positives", Pen::Current, bins.iter().map(|bin| Some(bin.positive_rate)).collect());
    Chart::Lines(lines.with_percent())
}

/// `roc_auc` as `ROC AUC`.
fn title(metric: &str) -> String {
    match metric {
        "roc_auc" => "ROC AUC".to_owned(),
        "pr_auc" | "average_precision" => "Average precision".to_owned(),
        "f1" => "F1".to_owned(),
        "mae" | "mse" | "rmse" | "mape" | "smape" | "ece" | "mcc" => metric.to_uppercase(),
        "r2" => "R²".to_owned(),
        other => {
            let mut name = other.replace('_', " ");
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            name
        }
    }
}

/// Seconds, in the unit that suits them.
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{} s", number(seconds)),
        seconds if seconds < 7200.0 => format!("{} min", number((seconds / 60.0).round())),
        seconds if seconds < 172_800.0 => format!("{} h", number((seconds / 3600.0).round())),
        seconds => format!("{} days", number((seconds / 86_400.0).round())),
    }
}
