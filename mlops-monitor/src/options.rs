//! What a monitor looks at, and when its windows end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Error, Request, Result, SystemClock};

use crate::{CounterOptions, Rules};

/// The shortest window of time, and the longest.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The most panes of a sliding window.
const MOST_PANES: usize = 1_000;

/// Options of a [`Monitor`](crate::Monitor).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MonitorOptions {
    /// The tests and their thresholds.
    pub rules: Rules,
    /// When a window ends. Default [`Window::UntilReset`].
    pub window: Window,
    /// How many of the last complete windows are remembered, for trends. Each takes 2 KB per feature. Default 30.
    pub history: usize,
    /// The share of predictions that is looked at, in (0, 1]. Default 1.
    pub sampling: f64,
    /// Whether predictions of shadows count. They are made from copies of requests, so every input would
    /// count twice. Default false.
    pub shadows: bool,
    /// Whether failed predictions count. Callers retry them, so an input would count at every attempt, and
    /// what a signature refuses never reached the model. Default false.
    pub failures: bool,
    /// How many variants are counted apart; the rest is counted as `other`. Default 4.
    pub most_variants: usize,
    /// By what requests are counted apart. Default [`Segments::none`].
    pub segments: Segments,
    /// The memory of the counters of each variant and segment.
    pub counters: CounterOptions,
    /// The output that says how sure the model is. Default none.
    pub confidence: Option<String>,
    /// The time of windows. Default [`SystemClock`].
    pub clock: Arc<dyn Clock>,
}

/// When a window of live values ends and the next one begins.
///
/// Reports are about the last window that is complete; before the first is, about what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Window {
    /// When [`Monitor::reset`](crate::Monitor::reset) is called. Reports are about the running window.
    UntilReset,
    /// After so many rows. A window has a few rows more when a batch or other threads run over its end.
    Rows(u64),
    /// After so much time. Windows begin at multiples of it since the Unix epoch, on all replicas alike; so the
    /// first one is shorter. A window without rows is a window.
    Time(Duration),
    /// A window that moves on by a part of its length: the last `panes` complete parts. The counts of each
    /// part are kept, 2 KB per feature.
    Sliding {
        /// How long the whole window is.
        length: Span,
        /// Of how many parts it is made: 2 to 1,000.
        panes: usize,
    },
}

/// How long something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// So many rows.
    Rows(u64),
    /// So much time.
    Time(Duration),
}

/// By what requests are counted apart: each segment has counters and reports of its own.
///
/// The first [`with_most`](Self::with_most) segments that come are counted apart. Later ones, requests that
/// belong to none and segments with names of more than 128 bytes are counted together, as `other`: a caller who
/// makes up names cannot make the monitor grow.
///
/// ```
/// use mlops_monitor::{MonitorOptions, Segments};
///
/// let by_country = MonitorOptions::default().with_segments(Segments::by_attribute("country").with_most(20));
/// let by_kind = MonitorOptions::default().with_segments(Segments::by(|request| {
///     Some(if request.context.key().is_some() { "customer" } else { "visitor" })
/// }));
/// ```
#[derive(Clone)]
pub struct Segments {
    by: By,
    most: usize,
}

type SegmentOf = dyn for<'a> Fn(&'a Request) -> Option<&'a str> + Send + Sync;

#[derive(Clone)]
enum By {
    Nothing,
    Attribute(Arc<str>),
    Request(Arc<SegmentOf>),
}

impl Window {
    /// How long one of its panes is.
    pub(crate) fn pane(self) -> Option<Span> {
        match self {
            Self::UntilReset => None,
            Self::Rows(rows) => Some(Span::Rows(rows)),
            Self::Time(time) => Some(Span::Time(time)),
            Self::Sliding { length: Span::Rows(rows), panes } => Some(Span::Rows(rows / panes.max(1) as u64)),
            Self::Sliding { length: Span::Time(time), panes } => {
                Some(Span::Time(time / u32::try_from(panes.max(1)).unwrap_or(u32::MAX)))
            }
        }
    }

    /// Of how many panes it is made.
    pub(crate) fn panes(self) -> usize {
        match self {
            Self::UntilReset => 0,
            Self::Rows(_) | Self::Time(_) => 1,
            Self::Sliding { panes, .. } => panes,
        }
    }

    fn check(self) -> Result<()> {
        if let Self::Sliding { panes, .. } = self
            && !(2..=MOST_PANES).contains(&panes)
        {
            return Err(Error::invalid_input(format!(
                "a sliding window of {panes} panes; it has 2 to {MOST_PANES}"
            )));
        }
        match self.pane() {
            Some(Span::Rows(0)) => {
                Err(Error::invalid_input("a window needs at least one row, and in every pane"))
            }
            Some(Span::Time(time)) if !(SHORTEST..=LONGEST).contains(&time) => Err(Error::invalid_input(
                format!("a window or pane of {time:?}; it lasts from {SHORTEST:?} to a hundred years"),
            )),
            _ => Ok(()),
        }
    }
}

impl Segments {
    const MOST: usize = 16;

    /// All requests together.
    #[must_use]
    pub fn none() -> Self {
        Self { by: By::Nothing, most: 0 }
    }

    /// By an attribute of the [`RoutingContext`](mlops_core::RoutingContext).
    #[must_use]
    pub fn by_attribute(name: impl Into<Arc<str>>) -> Self {
        Self { by: By::Attribute(name.into()), most: Self::MOST }
    }

    /// By anything about the request.
    #[must_use]
    pub fn by(segment: impl for<'a> Fn(&'a Request) -> Option<&'a str> + Send + Sync + 'static) -> Self {
        Self { by: By::Request(Arc::new(segment)), most: Self::MOST }
    }

    /// Sets how many segments are counted apart. Default 16.
    #[must_use]
    pub fn with_most(mut self, segments: usize) -> Self {
        self.most = segments;
        self
    }

    /// How many segments are counted apart.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// The segment that a request belongs to.
    #[must_use]
    pub fn of<'a>(&self, request: &'a Request) -> Option<&'a str> {
        match &self.by {
            By::Nothing => None,
            By::Attribute(name) => request.context.attribute(name),
            By::Request(segment) => segment(request),
        }
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            By::Nothing => f.write_str("Segments(none)"),
            By::Attribute(name) => write!(f, "Segments({} by attribute {name:?})", self.most),
            By::Request(_) => write!(f, "Segments({} by a function)", self.most),
        }
    }
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            window: Window::UntilReset,
            history: 30,
            sampling: 1.0,
            shadows: false,
            failures: false,
            most_variants: 4,
            segments: Segments::none(),
            counters: CounterOptions::default(),
            confidence: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl MonitorOptions {
    /// Sets the tests and their thresholds.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets when a window ends.
    #[must_use]
    pub fn with_window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Sets how many of the last complete windows are remembered.
    #[must_use]
    pub fn with_history(mut self, windows: usize) -> Self {
        self.history = windows;
        self
    }

    /// Sets the share of predictions that is looked at.
    #[must_use]
    pub fn with_sampling(mut self, share: f64) -> Self {
        self.sampling = share;
        self
    }

    /// Sets whether predictions of shadows count.
    #[must_use]
    pub fn with_shadows(mut self, shadows: bool) -> Self {
        self.shadows = shadows;
        self
    }

    /// Sets whether failed predictions count.
    #[must_use]
    pub fn with_failures(mut self, failures: bool) -> Self {
        self.failures = failures;
        self
    }

    /// Sets how many variants are counted apart.
    #[must_use]
    pub fn with_most_variants(mut self, variants: usize) -> Self {
        self.most_variants = variants;
        self
    }

    /// Sets by what requests are counted apart.
    #[must_use]
    pub fn with_segments(mut self, segments: Segments) -> Self {
        self.segments = segments;
        self
    }

    /// Sets the memory of the counters.
    #[must_use]
    pub fn with_counters(mut self, counters: CounterOptions) -> Self {
        self.counters = counters;
        self
    }

    /// Names the output that says how sure the model is: probabilities of the classes, `[batch, classes]`, whose
    /// greatest is the confidence; or `[batch]` or `[batch, 1]`, the probability of one of two classes, with that
    /// of the other being the rest. Recorded in [`PREDICTION_CONFIDENCE`](mlops_core::metrics::PREDICTION_CONFIDENCE).
    #[must_use]
    pub fn with_confidence(mut self, output: impl Into<String>) -> Self {
        self.confidence = Some(output.into());
        self
    }

    /// Sets the time of windows.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        const MOST_GROUPS: usize = 100_000;
        self.rules.check()?;
        self.window.check()?;
        if !(self.sampling > 0.0 && self.sampling <= 1.0) {
            let share = self.sampling;
            return Err(Error::invalid_input(format!(
                "the sampling share is {share}; it has to be above 0, at most 1"
            )));
        }
        let (variants, segments) = (self.most_variants, self.segments.most());
        if variants.saturating_add(1).saturating_mul(segments.saturating_add(1)) > MOST_GROUPS {
            return Err(Error::invalid_input(format!(
                "{variants} variants with {segments} segments each are too many to count apart"
            )));
        }
        Ok(())
    }
}
