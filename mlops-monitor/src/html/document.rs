//! Everything that a report knows, as one document.

use jiff::Timestamp;
use mlops_core::{Clock, Error, Result};
use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::{Page, Trend, drift};
use crate::performance::PerformanceReport;
use crate::quality::QualityReport;
use crate::{Counts, DriftReport, Profile};

const FORMAT: &str = "mlops-report";
const VERSION: u32 = 1;

/// Everything that a report knows: what is stored as JSON, and what a page is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReportDocument {
    /// What kind of document it is: `mlops-report`.
    pub format: String,
    /// The version of the format.
    pub version: u32,
    /// What it is about: a model version, two files.
    pub subject: String,
    /// When it was made.
    pub generated_at: Timestamp,
    /// What the current values say about each feature.
    pub drift: DriftReport,
    /// What each feature looks like, in the order of [`drift`](Self::drift); empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distributions: Vec<Distribution>,
    /// How it came to this, window by window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<Trend>,
    /// Which expectations the current values meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityReport>,
    /// How good the predictions were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<PerformanceReport>,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

impl ReportDocument {
    /// A report about `subject`.
    pub fn new(subject: impl Into<String>, clock: &dyn Clock, drift: DriftReport) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            subject: subject.into(),
            generated_at: clock.now(),
            drift,
            distributions: Vec::new(),
            trend: None,
            quality: None,
            performance: None,
        }
    }

    /// Adds what each feature looks like: in the reference, and in the counts that the report was made of.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the counts belong to another profile, or the report to other features.
    pub fn with_distributions(mut self, profile: &Profile, counts: &Counts) -> Result<Self> {
        profile.check(counts)?;
        if !self.drift.features.iter().map(|feature| feature.feature.as_str()).eq(profile.features().names())
        {
            return Err(Error::invalid_input("the drift report is about other features than the profile"));
        }
        let features = profile.feature_profiles().iter().zip(&counts.features);
        self.distributions = features.map(|(feature, current)| Distribution::of(feature, current)).collect();
        Ok(self)
    }

    /// Adds how it came to this.
    #[must_use]
    pub fn with_trend(mut self, trend: Trend) -> Self {
        self.trend = Some(trend);
        self
    }

    /// Adds which expectations the current values meet.
    #[must_use]
    pub fn with_quality(mut self, quality: QualityReport) -> Self {
        self.quality = Some(quality);
        self
    }

    /// Adds how good the predictions were.
    #[must_use]
    pub fn with_performance(mut self, performance: PerformanceReport) -> Self {
        self.performance = Some(performance);
        self
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// None that a report can cause; [`Error::Internal`] otherwise.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::internal("a report could not be written").with_source(error))
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`Error::Integrity`] when the bytes are no report, [`Error::Unsupported`] when they are one of a later
    /// format.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let broken = |error| Error::integrity("the bytes are no report").with_source(error);
        let Header { format, version } = serde_json::from_slice(bytes).map_err(broken)?;
        if format != FORMAT {
            return Err(Error::integrity(format!("the document is no `{FORMAT}`")));
        }
        if version != VERSION {
            return Err(Error::Unsupported {
                what: format!("report format {version}; this release reads format {VERSION}"),
            });
        }
        serde_json::from_slice(bytes).map_err(broken)
    }

    /// The report as a page. It does not hold the JSON; [`Page::with_data`] adds it, with a button to save it.
    #[must_use]
    pub fn page(&self) -> Page {
        let mut page = Page::new("Drift report", &self.subject, self.generated_at)
            .with_status(self.drift.verdict, drift::headline(&self.drift));
        page = page.with(drift::overview(self)).with(drift::section(self));
        if let Some(trend) = &self.trend {
            page = page.with(trend.section(&self.drift));
        }
        if let Some(quality) = &self.quality {
            page = page.with(quality.section());
        }
        if let Some(performance) = &self.performance {
            page = page.with(performance.section());
        }
        page
    }
}
