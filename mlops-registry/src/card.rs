//! The model card: what a person should know of a version, in Markdown.

use std::fmt::Write;

use mlops_core::ModelVersion;

/// Renders a version as Markdown: its description, what it takes and gives, how well it did, where it comes from. The
/// sections follow Mitchell et al., [Model Cards for Model Reporting](https://arxiv.org/abs/1810.03993) (2019), as far
/// as a registry knows them.
#[must_use]
pub fn model_card(version: &ModelVersion) -> String {
    let mut card = format!("# {}\n\n", version.id);
    if let Some(reason) = &version.deprecated {
        paragraph(&mut card, &format!("**Deprecated:** {reason}"));
    }
    paragraph(&mut card, &version.description);
    let aliases: Vec<_> = version.aliases.iter().map(|alias| format!("`{alias}`")).collect();
    let by = if version.registered_by.is_empty() { "" } else { " by " };
    let registered = format!("Registered at {}{by}{}.", version.registered_at, version.registered_by);
    paragraph(&mut card, &registered);
    if !aliases.is_empty() {
        paragraph(&mut card, &format!("Aliases: {}.", aliases.join(", ")));
    }
    let tensors = |direction: &'static str, specs: &[mlops_core::TensorSpec]| {
        let row = move |spec: &mlops_core::TensorSpec| {
            let shape: Vec<_> = spec.shape().iter().map(ToString::to_string).collect();
            [
                direction.to_owned(),
                spec.name().to_owned(),
                spec.dtype().to_string(),
                format!("[{}]", shape.join(", ")),
            ]
        };
        specs.iter().map(row).collect::<Vec<_>>()
    };
    let mut rows = tensors("input", version.signature.inputs());
    rows.extend(tensors("output", version.signature.outputs()));
    table(&mut card, "Inputs and outputs", ["", "name", "type", "shape"], rows);
    let pair = |(name, value): (&String, String)| [name.clone(), value];
    let metrics = version.metrics.iter().map(|(name, value)| pair((name, value.to_string())));
    table(&mut card, "Metrics", ["metric", "value"], metrics.collect());
    let reports = version.reports.iter().map(|report| {
        let verdict = match report.passed {
            None => "",
            Some(true) => "passed",
            Some(false) => "failed",
        };
        let metrics: Vec<_> = report.metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
        [
            report.name.clone(),
            verdict.to_owned(),
            metrics.join(", "),
            report.summary.clone(),
            report.at.to_string(),
        ]
    });
    table(&mut card, "Reports", ["report", "verdict", "metrics", "summary", "at"], reports.collect());
    let approvals = version.approvals.iter().map(|approval| {
        [approval.alias.to_string(), approval.by.clone(), approval.at.to_string(), approval.comment.clone()]
    });
    table(&mut card, "Approvals", ["alias", "by", "at", "comment"], approvals.collect());
    let parameters = version.parameters.iter().map(|(name, value)| pair((name, value.clone())));
    table(&mut card, "Parameters", ["parameter", "value"], parameters.collect());
    let tags = version.tags.iter().map(|(name, value)| pair((name, value.clone())));
    table(&mut card, "Tags", ["tag", "value"], tags.collect());
    table(&mut card, "Lineage", ["", ""], lineage(version));
    let artifacts = version
        .artifacts
        .iter()
        .map(|(name, artifact)| [name.clone(), artifact.size.to_string(), artifact.digest.to_string()]);
    table(&mut card, "Artifacts", ["artifact", "bytes", "digest"], artifacts.collect());
    card.truncate(card.trim_end().len());
    card.push('\n');
    card
}

fn lineage(version: &ModelVersion) -> Vec<[String; 2]> {
    let lineage = &version.lineage;
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| [name.to_owned(), value]));
    };
    row("data set", lineage.data.map(|digest| digest.to_string()));
    row("rows", lineage.data_rows.map(|rows| rows.to_string()));
    row("code", lineage.code.clone());
    row("run", lineage.run.clone());
    for parent in &lineage.parents {
        row("made from", Some(parent.to_string()));
    }
    for (name, value) in &lineage.environment {
        row(name, Some(value.clone()));
    }
    rows
}

fn paragraph(card: &mut String, text: &str) {
    if !text.trim().is_empty() {
        card.push_str(text.trim());
        card.push_str("\n\n");
    }
}

fn table<const N: usize>(card: &mut String, title: &str, columns: [&str; N], rows: Vec<[String; N]>) {
    if rows.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(card, "## {title}\n\n| {} |\n|{}", columns.join(" | "), " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(card, "| {} |", row.map(|text| cell(&text)).join(" | "));
    }
    card.push('\n');
}

/// Text as the cell of a table, which it can neither end nor break.
pub(crate) fn cell(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.join("<br>").replace('\\', "\\\\").replace('|', "\\|")
}
