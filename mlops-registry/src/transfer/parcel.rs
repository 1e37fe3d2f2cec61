//! A version on its way into another registry.

use std::collections::BTreeMap;

use mlops_core::{
    Artifact, Content, Deprecation, Error, ModelId, ModelVersion, NewReport, NewVersion, Registry, Report,
    Result, Selector,
};

use crate::limits;

/// What became of a version that was copied or imported.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Arrival {
    /// The version as it is there now.
    pub version: ModelVersion,
    /// Whether it was there before, with the same content.
    pub was_there: bool,
}

/// A version on its way, with what has happened to it since it was registered.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) id: ModelId,
    pub(crate) new: NewVersion,
    pub(crate) artifacts: BTreeMap<String, Artifact>,
    pub(crate) reports: Vec<Report>,
    pub(crate) deprecated: Option<String>,
}

impl Parcel {
    /// `version`, whose artifacts have the content that `content` tells by their names.
    pub(crate) fn new(
        version: &ModelVersion,
        mut content: impl FnMut(&str, Artifact) -> Result<Content>,
    ) -> Result<Self> {
        let id = version.id.clone();
        let mut new = NewVersion::new(id.name.clone(), version.signature.clone())
            .with_version(id.version.clone())
            .with_description(&version.description)
            .with_lineage(version.lineage.clone())
            .by(&version.registered_by);
        for (name, artifact) in &version.artifacts {
            new = new.with_artifact(name, content(name, *artifact)?);
        }
        new.metrics = version.metrics.clone();
        new.parameters = version.parameters.clone();
        new.tags = version.tags.clone();
        let (artifacts, reports) = (version.artifacts.clone(), version.reports.clone());
        Ok(Self { id, new, artifacts, reports, deprecated: version.deprecated.clone() })
    }

    /// Brings it there, unless it is there already. `actor` says what others have reported.
    pub(crate) async fn deliver<R: Registry + ?Sized>(self, to: &R, actor: &str) -> Result<Arrival> {
        let (mut version, was_there) = self.arrive(to).await?;
        let id = self.id;
        for report in self.reports {
            if version.reports.iter().any(|known| is_same(known, &report)) {
                continue;
            }
            let summary = attributed(&report);
            let mut new = NewReport::evaluation(id.clone(), &report.name).with_summary(&summary).by(actor);
            new.passed = report.passed;
            new.metrics = report.metrics.clone();
            let event = to.report(new).await?;
            version.reports.push(Report { summary, at: event.at, by: event.actor, ..report });
        }
        if let (Some(reason), None) = (self.deprecated, &version.deprecated) {
            to.deprecate(Deprecation::new(id.clone(), &reason).by(actor)).await?;
            version.deprecated = Some(reason);
        }
        Ok(Arrival { version, was_there })
    }

    /// The version as it is there, and whether it was there before.
    async fn arrive<R: Registry + ?Sized>(&self, to: &R) -> Result<(ModelVersion, bool)> {
        let Self { id, new, .. } = self;
        let selector = Selector::Version(id.version.clone());
        match to.resolve(&id.name, &selector).await {
            Ok(there) => return Ok((self.recognise(there)?, true)),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        match to.register(new.clone()).await {
            // Somebody else may have brought it in the meantime.
            Err(conflict @ Error::Conflict { .. }) => match to.resolve(&id.name, &selector).await {
                Ok(there) => Ok((self.recognise(there)?, true)),
                Err(_) => Err(conflict),
            },
            registered => Ok((registered?, false)),
        }
    }

    /// Whether it is what is there by its name and number. What changes later, as tags do, may differ.
    fn recognise(&self, there: ModelVersion) -> Result<ModelVersion> {
        let Self { id, new, .. } = self;
        let parts = [
            ("signature", new.signature == there.signature),
            ("artifacts", self.artifacts == there.artifacts),
            ("metrics", new.metrics == there.metrics),
            ("parameters", new.parameters == there.parameters),
            ("description", new.description == there.description),
            ("lineage", new.lineage == there.lineage),
        ];
        let differ: Vec<_> = parts.iter().filter(|(_, same)| !same).map(|(part, _)| *part).collect();
        if differ.is_empty() {
            return Ok(there);
        }
        Err(Error::conflict(format!(
            "{id} is registered already, and differs in {}; versions are immutable, so \
             bring this one by another number",
            differ.join(", ")
        )))
    }
}

/// How the line begins that says who wrote a report that somebody else has carried here.
const REPORTED: &str = "(Reported at ";

/// The summary of a report, with who wrote it and when; that is kept on every further way.
fn attributed(report: &Report) -> String {
    let Report { summary, at, by, .. } = report;
    if summary.lines().last().is_some_and(|line| line.starts_with(REPORTED)) {
        return summary.clone();
    }
    let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
    let gap = if summary.is_empty() { "" } else { "\n\n" };
    let attributed = format!("{summary}{gap}{REPORTED}{at}{by})");
    if attributed.len() > limits::MAX_TEXT_BYTES { summary.clone() } else { attributed }
}

fn is_same(known: &Report, report: &Report) -> bool {
    (&known.name, known.passed, &known.metrics) == (&report.name, report.passed, &report.metrics)
        && attributed(known) == attributed(report)
}
