//! Small enough.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::Result;

use super::{Candidate, Champion, Finding, Gate};

/// The artifacts of the candidate, or the memory it takes, must not be larger than a number of bytes, or than
/// the champion's by more than a ratio.
///
/// The number is the one [that was given](Candidate::with_size), or what a closure
/// [measures](Self::measured_by) on the candidate. What is not known is inconclusive.
///
/// ```
/// use mlops_rollout::{Candidate, SizeCeiling};
///
/// let artifacts = SizeCeiling::of_artifacts(50 << 20).with_max_growth(1.2);
/// let memory = SizeCeiling::of_memory(1 << 30).measured_by(|candidate: &Candidate| {
///     // Ask the allocator, or the system, before and after loading it.
///     # let _ = candidate;
///     Ok(200 << 20)
/// });
/// ```
#[derive(Clone)]
pub struct SizeCeiling {
    of: SizeOf,
    ceiling: Option<u64>,
    max_growth: Option<f64>,
    measure: Option<Measure>,
}

type Measure = Arc<dyn Fn(&Candidate) -> Result<u64> + Send + Sync>;

/// Of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SizeOf {
    Artifacts,
    Memory,
}

impl SizeCeiling {
    /// The artifacts may have so many bytes.
    #[must_use]
    pub fn of_artifacts(bytes: u64) -> Self {
        Self::of(SizeOf::Artifacts, Some(bytes))
    }

    /// The model may take so many bytes while it serves.
    #[must_use]
    pub fn of_memory(bytes: u64) -> Self {
        Self::of(SizeOf::Memory, Some(bytes))
    }

    /// And not more than `ratio` times those of the champion.
    #[must_use]
    pub fn with_max_growth(mut self, ratio: f64) -> Self {
        self.max_growth = Some(ratio);
        self
    }

    /// Asks `measure` for the bytes of the candidate. An error of it fails the gate.
    #[must_use]
    pub fn measured_by(
        mut self,
        measure: impl Fn(&Candidate) -> Result<u64> + Send + Sync + 'static,
    ) -> Self {
        self.measure = Some(Arc::new(measure));
        self
    }

    pub(super) fn of(of: SizeOf, ceiling: Option<u64>) -> Self {
        Self { of, ceiling, max_growth: None, measure: None }
    }

    pub(super) fn fault(&self) -> Option<String> {
        if self.ceiling.is_none() && self.max_growth.is_none() {
            return Some("no ceiling is set; set `bytes` or `max_growth`".to_owned());
        }
        let ratio = self.max_growth.filter(|ratio| !(*ratio > 0.0 && ratio.is_finite()))?;
        Some(format!("`max_growth` is {ratio}; it must be a positive, finite ratio"))
    }

    fn judge(&self, candidate: &Candidate) -> Finding {
        let (known, of_champion): (_, fn(&Champion) -> Option<u64>) = match self.of {
            SizeOf::Artifacts => (candidate.size(), Champion::size),
            SizeOf::Memory => (candidate.memory(), Champion::memory),
        };
        let bytes = match &self.measure {
            Some(measure) => match measure(candidate) {
                Ok(bytes) => bytes,
                Err(error) => return Finding::failed(format!("it could not be measured: {error}")),
            },
            None => match known {
                Some(bytes) => bytes,
                None => return Finding::inconclusive(format!("the size of the {} is not known", self.of)),
            },
        };
        let before = match (self.max_growth, candidate.champion().and_then(of_champion)) {
            (Some(_), None) => {
                return Finding::inconclusive(format!("the size of the champion's {} is not known", self.of));
            }
            (_, before) => before.unwrap_or(0),
        };
        let growth = self.max_growth.map(|ratio| ratio * before as f64);
        let too_large = self.ceiling.is_some_and(|ceiling| bytes > ceiling);
        let grew = growth.is_some_and(|most| bytes as f64 > most);
        let mut reasons = Vec::new();
        if let Some(ceiling) = self.ceiling {
            let relation = if too_large { "above" } else { "within" };
            reasons.push(format!("{bytes} bytes are {relation} {ceiling}"));
        }
        if let Some(ratio) = self.max_growth {
            let relation = if grew { "above" } else { "within" };
            reasons.push(format!("{bytes} bytes are {relation} {ratio} times the champion's {before}"));
        }
        let reason = reasons.join("; ");
        let finding = if too_large || grew { Finding::failed(reason) } else { Finding::passed(reason) };
        finding
            .with_evidence("bytes", bytes as f64)
            .with_evidence("ceiling", self.ceiling.map_or(f64::NAN, |ceiling| ceiling as f64))
            .with_evidence("growth_ceiling", growth.unwrap_or(f64::NAN))
    }
}

#[async_trait]
impl Gate for SizeCeiling {
    fn name(&self) -> String {
        match self.of {
            SizeOf::Artifacts => "size ceiling".to_owned(),
            SizeOf::Memory => "memory ceiling".to_owned(),
        }
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.fault().map_or_else(|| self.judge(candidate), Finding::inconclusive)
    }
}

impl fmt::Display for SizeOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Artifacts => "artifacts",
            Self::Memory => "memory",
        })
    }
}

impl fmt::Debug for SizeCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, ceiling, max_growth, measure } = self;
        f.debug_struct("SizeCeiling")
            .field("of", of)
            .field("ceiling", ceiling)
            .field("max_growth", max_growth)
            .field("is_measured", &measure.is_some())
            .finish()
    }
}
