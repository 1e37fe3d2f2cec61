//! What has changed: the overview, and every feature.

use mlops_core::{Assessment, Verdict};

use super::block::{Block, Cell, Column, Fact, Section, Table};
use super::catalogue::{Catalogue, Entry};
use super::chart::{Chart, Figure};
use super::document::ReportDocument;
use super::format::{count, counted, number, p_value, percent};
use super::trend::primary;
use crate::{DriftReport, FeatureDrift};

/// Features that the overview shows.
const WORST: usize = 6;

/// The most important, in a sentence.
pub(super) fn headline(report: &DriftReport) -> String {
    let features = counted(report.features.len(), "feature", "features");
    match (of_verdict(report, Verdict::Drifted), of_verdict(report, Verdict::Warning)) {
        (0, 0) if report.verdict == Verdict::TooFewSamples => {
            format!("Too few rows to say anything about {features}.")
        }
        (0, 0) => format!("No evidence of change in {features}."),
        (0, 1) => format!("1 of {features} is worth a look; none has drifted."),
        (0, warnings) => format!("{} of {features} are worth a look; none has drifted.", count(warnings)),
        (1, _) => format!("1 of {features} has drifted."),
        (drifted, _) => format!("{} of {features} have drifted.", count(drifted)),
    }
}

/// What is to be seen first.
pub(super) fn overview(document: &ReportDocument) -> Section {
    let report = &document.drift;
    let verdicts = [Verdict::Drifted, Verdict::Warning, Verdict::Stable, Verdict::TooFewSamples];
    let mut facts = vec![
        Fact::new("Current rows", count(report.rows)),
        Fact::new("Reference rows", count(report.reference_rows)),
        Fact::new("Features", count(report.features.len() as u64)),
    ];
    if report.dropped > 0 {
        facts.push(Fact::new("Left out", count(report.dropped)).with_note("did not fit the profile"));
    }
    let summary = format!(
        "{} current rows against {} of the reference.",
        count(report.rows),
        count(report.reference_rows)
    );
    let mut section = Section::new("overview", "Overview", summary)
        .with(Block::Facts(facts))
        .with(Block::Tally(verdicts.map(|verdict| (verdict.into(), of_verdict(report, verdict))).to_vec()));
    let worst = report.by_severity().into_iter().filter(|feature| feature.verdict >= Verdict::Warning);
    let figures: Vec<Figure> = worst
        .filter_map(|feature| {
            let at = report.features.iter().position(|it| std::ptr::eq(it, feature))?;
            let chart = Chart::Distribution(document.distributions.get(at)?.clone());
            let figure = Figure::new(feature.feature.as_str(), chart);
            Some(figure.with_status(feature.verdict).with_link(format!("f{at}")))
        })
        .take(WORST)
        .collect();
    if !figures.is_empty() {
        section =
            section.with(Block::Text("What has changed the most:".to_owned())).with(Block::Gallery(figures));
    }
    section
}

/// Every feature.
pub(super) fn section(document: &ReportDocument) -> Section {
    let report = &document.drift;
    let score =
        report.features.iter().find_map(primary).map_or("score".to_owned(), |test| test_name(&test.test));
    let mut catalogue = Catalogue::new("features", score).with_measure("adjusted p").with_measure("missing");
    for feature in report.by_severity() {
        if let Some(at) = report.features.iter().position(|it| std::ptr::eq(it, feature)) {
            catalogue.entries.push(entry(document, feature, at));
        }
    }
    Section::new(
        "drift",
        "Drift",
        "Every feature, the strongest change first; each opens to its distribution and tests.",
    )
    .with_status(report.verdict)
    .with(Block::Catalogue(catalogue))
    .with(Block::Details { title: "How to read this".to_owned(), blocks: explanation(report) })
}

fn entry(document: &ReportDocument, feature: &FeatureDrift, at: usize) -> Entry {
    let mut entry = Entry::new(format!("f{at}"), &*feature.feature, feature.verdict);
    entry.score = primary(feature).and_then(|test| Some((test.score?, test.threshold)));
    entry.measures = vec![feature.adjusted_p_value.map_or("–".to_owned(), p_value), percent(feature.missing)];
    if let Some(distribution) = document.distributions.get(at) {
        let chart = Chart::Distribution(distribution.clone());
        entry.glyph = Some(chart.clone());
        entry.blocks.push(Block::Chart(Figure::new("", chart)));
        if let Some(summary) = distribution.summary {
            entry.blocks.push(Block::Facts(vec![
                Fact::new("Reference mean", number(summary.mean)),
                Fact::new("Standard deviation", number(summary.std)),
                Fact::new("Least", number(summary.min)),
                Fact::new("Greatest", number(summary.max)),
                Fact::new("Missing now", percent(feature.missing))
                    .with_note(format!("{} of the reference", percent(feature.reference_missing))),
            ]));
        }
    }
    entry.blocks.push(Block::Table(tests(feature)));
    if let Some(chart) = document.trend.as_ref().and_then(|trend| trend.scores(at)) {
        entry.blocks.push(Block::Chart(Figure::new("Over windows", chart)));
    }
    entry
}

/// The outcome of each test.
fn tests(feature: &FeatureDrift) -> Table {
    let columns = [
        Column::text("Test"),
        Column::text("Verdict"),
        Column::number("Score"),
        Column::number("Threshold"),
        Column::number("p"),
        Column::number("Reference values"),
        Column::number("Current values"),
    ];
    let mut table = Table::new(format!("Tests of {}", feature.feature), columns);
    let or_none = |value: Option<f64>, text: fn(f64) -> String| value.map_or("–".to_owned(), text);
    for test in &feature.assessments {
        table.push([
            test_name(&test.test).into(),
            Cell::Status(test.verdict.into()),
            or_none(test.score, number).into(),
            or_none(test.threshold, number).into(),
            or_none(test.p_value, p_value).into(),
            count(test.reference_size).into(),
            count(test.current_size).into(),
        ]);
    }
    table
}

/// What the words and the tests of this report mean.
fn explanation(report: &DriftReport) -> Vec<Block> {
    let mut blocks = vec![Block::Text(
        "A feature has drifted when its change is large and chance does not explain it; it is worth a look when \
         the change is significant but small. The bar of a score reaches its middle at the threshold. Adjusted p \
         is the least false-discovery rate over all features at which this one would be named. Values below and \
         above the range of the reference, new ones and missing ones stand beside the chart."
            .to_owned(),
    )];
    let mut tests: Vec<&str> = Vec::new();
    for Assessment { test, .. } in report.features.iter().flat_map(|feature| &feature.assessments) {
        if !tests.contains(&test.as_str()) {
            tests.push(test);
        }
    }
    let mut table =
        Table::new("The tests of this report", [Column::text("Test"), Column::text("What it measures")]);
    for test in tests {
        table.push([test_name(test).into(), test_meaning(test).into()]);
    }
    blocks.push(Block::Table(table));
    blocks
}

fn test_name(test: &str) -> String {
    match test {
        "psi" => "PSI".to_owned(),
        "ks" => "Kolmogorov-Smirnov".to_owned(),
        "chi_square" => "Chi-square".to_owned(),
        "jensen_shannon" => "Jensen-Shannon".to_owned(),
        "wasserstein" => "Wasserstein".to_owned(),
        other => {
            let mut name = other.replace('_', " ");
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            name
        }
    }
}

fn test_meaning(test: &str) -> &'static str {
    match test {
        "psi" => {
            "Population stability index over the deciles of the reference: how much probability moved between them. Customary bands are 0.1 and 0.2; the threshold is higher where chance alone reaches that."
        }
        "ks" => "The largest difference of the two distribution functions, 0 to 1.",
        "chi_square" => {
            "Whether the categories come as often as in the reference; both sides count as samples."
        }
        "jensen_shannon" => "The distance of the two distributions from their mixture, 0 to 1.",
        "wasserstein" => {
            "How far values had to be moved to turn the one distribution into the other, in standard deviations of the reference."
        }
        "missing" | "missing_rate" => {
            "Whether values are missing more often, or less often, than in the reference."
        }
        "new_categories" => "The share of values that the reference does not know.",
        "range" | "range_violations" => "The share of values outside of the range of the reference.",
        _ => "A test of the host.",
    }
}

fn of_verdict(report: &DriftReport, verdict: Verdict) -> u64 {
    report.features.iter().filter(|feature| feature.verdict == verdict).count() as u64
}
