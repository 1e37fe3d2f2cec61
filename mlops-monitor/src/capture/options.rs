//! What is captured, and when a file is full.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Error, Result, SystemClock};

use super::redact::{Field, Redaction};
use crate::Features;

/// The most bytes that a file may be given to hold: offsets in it have 32 bits.
const LARGEST_FILE: usize = 1 << 29;

/// The columns that every file has.
const RESERVED: [&str; 10] =
    ["time", "id", "row", "model", "version", "variant", "role", "outcome", "latency_seconds", "attributes"];

/// Options of a [`CaptureObserver`](super::CaptureObserver).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CaptureOptions {
    /// The share of predictions that is taken, in (0, 1]: by a hash of the request's id, so that all replicas and all
    /// variants take the same requests; those without an id are spread evenly. Default 1.
    pub sampling: f64,
    /// Which failed predictions are taken. Default [`Failures::Sampled`].
    pub failures: Failures,
    /// Whether predictions of shadows are taken. Default true.
    pub shadows: bool,
    /// How files are written. Default [`Format::Parquet`].
    pub format: Format,
    /// The names of features: each gets a column of its own. Default none.
    pub features: Option<Features>,
    /// Fields that are not written as they are. Default none.
    pub redactions: Vec<(Field, Redaction)>,
    /// How many predictions may wait to be looked at; more are dropped. Default 4,096.
    pub queue: usize,
    /// How many bytes of tensors may wait to be looked at; more are dropped. Default 64 MiB.
    pub queue_bytes: usize,
    /// A file of so many rows is full. Default 100,000.
    pub max_rows: usize,
    /// A file of so many bytes, before it is compressed, is full. Default 64 MiB, at most 512 MiB.
    pub max_bytes: usize,
    /// A file is written when its first record is so old, by the clock. Default 60 s.
    pub max_age: Duration,
    /// How often a file is put before its records are given up. Default 6.
    pub attempts: u32,
    /// How long to wait after the first failed attempt; twice as long after each further one. Default 100 ms.
    pub back_off: Duration,
    /// How many files may be on their way to the store; while they are, no more are made. Default 2.
    pub uploads: usize,
    /// The source of time. Default [`SystemClock`].
    pub clock: Arc<dyn Clock>,
}

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Columns, compressed by Zstandard.
    Parquet,
    /// One JSON object per line. Numbers that are not finite are null, and binary is hexadecimal.
    JsonLines,
}

/// Which failed predictions are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failures {
    /// None.
    Never,
    /// The same share as of others.
    Sampled,
    /// All.
    Always,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            sampling: 1.0,
            failures: Failures::Sampled,
            shadows: true,
            format: Format::Parquet,
            features: None,
            redactions: Vec::new(),
            queue: 4096,
            queue_bytes: 64 << 20,
            max_rows: 100_000,
            max_bytes: 64 << 20,
            max_age: Duration::from_secs(60),
            attempts: 6,
            back_off: Duration::from_millis(100),
            uploads: 2,
            clock: Arc::new(SystemClock),
        }
    }
}

impl CaptureOptions {
    /// Sets the share of predictions that is taken.
    #[must_use]
    pub fn with_sampling(mut self, share: f64) -> Self {
        self.sampling = share;
        self
    }

    /// Sets which failed predictions are taken.
    #[must_use]
    pub fn with_failures(mut self, failures: Failures) -> Self {
        self.failures = failures;
        self
    }

    /// Sets whether predictions of shadows are taken.
    #[must_use]
    pub fn with_shadows(mut self, shadows: bool) -> Self {
        self.shadows = shadows;
        self
    }

    /// Sets how files are written.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Gives each of these features a column of its own.
    #[must_use]
    pub fn with_features(mut self, features: Features) -> Self {
        self.features = Some(features);
        self
    }

    /// Adds a field that is not written as it is. Where a tensor and a feature in it both have a redaction, the stricter
    /// counts: what removes, then what masks, then what hashes.
    #[must_use]
    pub fn with_redaction(mut self, field: Field, redaction: Redaction) -> Self {
        self.redactions.push((field, redaction));
        self
    }

    /// Sets how many predictions, and how many bytes of their tensors, may wait.
    #[must_use]
    pub fn with_queue(mut self, predictions: usize, bytes: usize) -> Self {
        (self.queue, self.queue_bytes) = (predictions, bytes);
        self
    }

    /// Sets how many rows fill a file.
    #[must_use]
    pub fn with_max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    /// Sets how many bytes fill a file, before it is compressed.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how long a record waits for its file to fill.
    #[must_use]
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets how often a file is put, and how long to wait after the first failure.
    #[must_use]
    pub fn with_retries(mut self, attempts: u32, back_off: Duration) -> Self {
        (self.attempts, self.back_off) = (attempts, back_off);
        self
    }

    /// Sets how many files may be on their way to the store.
    #[must_use]
    pub fn with_uploads(mut self, uploads: usize) -> Self {
        self.uploads = uploads;
        self
    }

    /// Sets the source of time.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(self.sampling > 0.0 && self.sampling <= 1.0) {
            let share = self.sampling;
            return Err(Error::invalid_input(format!(
                "the sampling share is {share}; it has to be above 0, at most 1"
            )));
        }
        for (name, number) in [
            ("queue", self.queue),
            ("queue_bytes", self.queue_bytes),
            ("max_rows", self.max_rows),
            ("max_bytes", self.max_bytes),
            ("attempts", self.attempts as usize),
            ("uploads", self.uploads),
        ] {
            if number == 0 {
                return Err(Error::invalid_input(format!("`{name}` is 0; it has to be at least 1")));
            }
        }
        if self.max_bytes > LARGEST_FILE {
            let bytes = self.max_bytes;
            return Err(Error::invalid_input(format!(
                "`max_bytes` is {bytes}; at most {LARGEST_FILE} are possible"
            )));
        }
        let is_taken = |name: &&str| {
            RESERVED.contains(name) || name.starts_with("input.") || name.starts_with("output.")
        };
        if let Some(name) = self.features.iter().flat_map(Features::names).find(is_taken) {
            return Err(Error::invalid_input(format!(
                "a feature cannot be called `{name}`: it could not be told from the columns that files have anyway"
            )));
        }
        for (field, redaction) in &self.redactions {
            if let Field::Feature(name) = field
                && self.features.as_ref().is_none_or(|features| features.names().all(|known| known != name))
            {
                return Err(Error::invalid_input(format!("`{name}` is to be redacted but is no feature")));
            }
            redaction.check(field)?;
        }
        Ok(())
    }
}

impl Format {
    /// How the names of its files end.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::JsonLines => "jsonl",
        }
    }
}
