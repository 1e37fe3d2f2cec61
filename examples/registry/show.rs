//! Tables for people, JSON for programs.

use comfy_table::{Table, presets};
use mlops_core::{AuditEvent, ModelVersion};
use serde::Serialize;

type Failure = Box<dyn std::error::Error>;

/// How answers are shown.
#[derive(Clone, Copy)]
pub struct Show {
    pub json: bool,
}

impl Show {
    /// One answer: as JSON, or as `people` are told.
    pub fn answer(self, answer: &impl Serialize, people: impl FnOnce()) -> Result<(), Failure> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(answer)?);
        } else {
            people();
        }
        Ok(())
    }

    pub fn versions(self, versions: &[ModelVersion]) -> Result<(), Failure> {
        self.answer(&versions, || {
            let rows = versions.iter().map(|version| {
                let metrics: Vec<_> =
                    version.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
                let tags: Vec<_> =
                    version.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
                vec![
                    version.id.name.to_string(),
                    version.id.version.to_string(),
                    aliases(version),
                    metrics.join(", "),
                    tags.join(", "),
                    time(version.registered_at),
                    version.registered_by.clone(),
                    version
                        .deprecated
                        .clone()
                        .map(|reason| format!("deprecated: {reason}"))
                        .unwrap_or_default(),
                ]
            });
            table(&["model", "version", "aliases", "metrics", "tags", "registered", "by", ""], rows);
        })
    }

    pub fn version(self, version: &ModelVersion) -> Result<(), Failure> {
        self.answer(version, || {
            self.versions(std::slice::from_ref(version)).ok();
            if !version.description.is_empty() {
                println!("{}", version.description);
            }
            let artifacts = version.artifacts.iter().map(|(name, artifact)| {
                vec![name.clone(), artifact.size.to_string(), artifact.digest.to_string()]
            });
            table(&["artifact", "bytes", "digest"], artifacts);
            let reports = version.reports.iter().map(|report| {
                let verdict = report.passed.map_or("", |passed| if passed { "passed" } else { "failed" });
                vec![report.name.clone(), verdict.to_owned(), report.summary.clone(), time(report.at)]
            });
            table(&["report", "verdict", "summary", "at"], reports);
        })
    }

    pub fn events(self, events: &[AuditEvent]) -> Result<(), Failure> {
        self.answer(&events, || {
            let rows = events
                .iter()
                .map(|event| vec![time(event.at), event.actor.clone(), event.change.to_string()]);
            table(&["at", "by", "what"], rows);
        })
    }

    pub fn event(self, event: &AuditEvent) -> Result<(), Failure> {
        self.answer(event, || println!("{}: {}", event.model, event.change))
    }
}

/// Nothing for no rows.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec());
    table.add_rows(rows);
    if !table.is_empty() {
        println!("{table}");
    }
}

pub fn aliases(version: &ModelVersion) -> String {
    version.aliases.iter().map(|alias| format!("@{alias}")).collect::<Vec<_>>().join(" ")
}

pub fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
