//! How the run is told: chapters, sentences and tables.

use std::fmt::Display;

use comfy_table::{Table, presets};
use mlops_core::{ModelVersion, Variant};

use crate::traffic::Burst;

pub fn chapter(title: impl Display) {
    println!("\n== {title}");
}

pub fn say(sentence: impl Display) {
    println!("{sentence}");
}

pub fn table<C: Into<comfy_table::Cell>>(header: &[&str], rows: impl IntoIterator<Item = Vec<C>>) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec());
    table.add_rows(rows);
    println!("{table}");
}

pub fn versions<const N: usize>(versions: [&ModelVersion; N]) {
    table(&["version", "network", "epochs", "accuracy", "log loss", "weights"], versions.map(version_row));
}

fn version_row(version: &ModelVersion) -> Vec<String> {
    let parameter = |name: &str| version.parameters.get(name).cloned().unwrap_or_default();
    let metric =
        |name: &str| version.metrics.get(name).map(|value| format!("{value:.4}")).unwrap_or_default();
    let weights = version.artifacts.get("weights");
    vec![
        version.id.version.to_string(),
        parameter("architecture"),
        parameter("epochs"),
        metric("accuracy"),
        metric("log_loss"),
        weights
            .map(|artifact| format!("{} bytes, {:.21}...", artifact.size, artifact.digest))
            .unwrap_or_default(),
    ]
}

pub fn step_row(planned: f64, burst: &Burst, candidate: &Variant) -> Vec<String> {
    let right = |of_candidate: bool| {
        let of = |(variant, _): &(&Variant, _)| (*variant == candidate) == of_candidate;
        let answers = burst.variants.iter().find(of).map(|(_, answers)| answers);
        answers.map_or_else(|| "-".to_owned(), |answers| format!("{} of {}", answers.right, answers.count))
    };
    vec![
        format!("{:.0} %", planned * 100.0),
        format!("{:.1} %", burst.candidate_share(candidate) * 100.0),
        burst.requests.to_string(),
        right(false),
        burst.failed_on_stable.to_string(),
        right(true),
        burst.failed_on_candidate.to_string(),
    ]
}
